"""Sensors that tell two categories apart at some moments.

    sensors(trial, t) = ± amplitude / 2 · Σ_k pattern_k · exp(−(t − peak_k)² / (2 width²)) + noise

The noise is smooth in time and independent between sensors, of unit standard deviation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d


@dataclass(frozen=True)
class CategoryEpochs:
    values: NDArray[np.float64]  # (n_trials, n_sensors, n_times)
    labels: NDArray[np.str_]  # (n_trials,) of "a" or "b"
    recordings: NDArray[np.intp]  # (n_trials,) of int
    times: NDArray[np.float64]  # (n_times,): seconds from the stimulus


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
    """Draw epochs from -.1 to .5 s; categories differ by `amplitude` standard deviations of the noise at the peaks. One
    pattern at all peaks (lasting), or one for each, orthogonal to the others (moving); `width_s` is the standard
    deviation of a peak, `smoothness` that of the noise's filter, in samples."""
    rng, times = np.random.default_rng([seed, 0xCA7]), np.arange(-0.1, 0.5 - 1e-9, step_s)
    patterns = np.linalg.qr(rng.normal(size=(n_sensors, n_sensors)))[0]
    side = rng.integers(2, size=n_trials)
    values = gaussian_filter1d(rng.normal(size=(n_trials, n_sensors, len(times))), smoothness, axis=2)
    values /= values.std()
    for k, peak in enumerate(peaks_s):
        pattern = patterns[:, k if code == "moving" else 0]
        course = np.exp(-0.5 * ((times - peak) / width_s) ** 2)
        values += amplitude * (side - 0.5)[:, None, None] * pattern[:, None] * course
    return CategoryEpochs(values, np.array(["a", "b"])[side], np.arange(n_trials) * n_recordings // n_trials, times)
