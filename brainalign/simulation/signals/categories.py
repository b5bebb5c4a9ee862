"""Epochs of two categories that differ at planted latencies, by a pattern that lasts or by one that moves on.

    sensors(trial, t) = ± amplitude / 2 · Σ_k pattern_k · exp(−(t − peak_k)² / (2 width²)) + noise

The noise is smooth in time and independent between sensors, of unit standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from brainalign.checks import BrainalignError, check_choice


@dataclass(frozen=True)
class CategoryEpochs:
    """Trials of several recordings.

    Attributes
    ----------
    values : array (n_trials, n_sensors, n_times)
    labels : array (n_trials,) of "a" or "b"
    recordings : array (n_trials,) of int
    times : array (n_times,)
        Seconds from the stimulus.
    """

    values: NDArray[np.float64]
    labels: NDArray[np.str_]
    recordings: NDArray[np.intp]
    times: NDArray[np.float64]


def category_epochs(
    n_trials: int = 240,
    n_recordings: int = 6,
    n_sensors: int = 5,
    *,
    peaks_s: Sequence[float] = (0.17,),
    width_s: float = 0.04,
    amplitude: float = 1.5,
    code: Literal["lasting", "moving"] = "lasting",
    step_s: float = 0.01,
    smoothness: float = 1.5,
    seed: int = 0,
) -> CategoryEpochs:
    """Draw epochs from -.1 to .5 s.

    Parameters
    ----------
    n_trials, n_recordings, n_sensors : int
    peaks_s : sequence of float
        When the categories differ.
    width_s : float
        Standard deviation of each peak.
    amplitude : float
        Distance of the categories at a peak, in standard deviations of the noise; 0: nothing to find.
    code : {"lasting", "moving"}
        One pattern at all peaks, or one for each, orthogonal to the others.
    step_s : float
        From one sample to the next.
    smoothness : float
        Standard deviation of the filter of the noise, in samples.
    seed : int

    Raises
    ------
    BrainalignError
        If there are more moving patterns than sensors.
    """
    check_choice("code", code, ("lasting", "moving"))
    if code == "moving" and len(peaks_s) > n_sensors:
        raise BrainalignError(f"{len(peaks_s)} orthogonal patterns need as many sensors; there are {n_sensors}")
    rng = np.random.default_rng([seed, 0xCA7])
    times = np.arange(-0.1, 0.5 - 1e-9, step_s)
    patterns = np.linalg.qr(rng.normal(size=(n_sensors, n_sensors)))[0]
    side = rng.integers(2, size=n_trials)
    values = gaussian_filter1d(rng.normal(size=(n_trials, n_sensors, len(times))), smoothness, axis=2)
    values /= values.std()
    for k, peak in enumerate(peaks_s):
        pattern = patterns[:, k if code == "moving" else 0]
        course = np.exp(-0.5 * ((times - peak) / width_s) ** 2)
        values += amplitude * (side - 0.5)[:, None, None] * pattern[:, None] * course
    recordings = np.arange(n_trials) * n_recordings // n_trials
    return CategoryEpochs(values, np.array(["a", "b"])[side], recordings, times)
