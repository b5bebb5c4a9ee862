"""Whitening of sensors: noise of unit variance, uncorrelated between sensors of a type; fitted on training epochs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows

MAX_SAMPLES = 100_000  # a covariance of 306 sensors is as good with these as with more


@dataclass(frozen=True)
class Whitener:
    """A linear map of sensors that whitens their noise.

    Attributes
    ----------
    matrix : array (n_sensors, n_sensors)
        Symmetric inverse square root of the noise covariance, block by sensor type, so that a whitened sensor stays
        as near as possible to the sensor it was.
    shrinkage : dict
        By sensor type: 0 is the sample covariance, 1 a multiple of the identity.
    rank : dict
        By sensor type; below the number of sensors after an average reference or signal-space separation.
    """

    matrix: Values
    shrinkage: dict[str, float]
    rank: dict[str, int]

    def transform(self, values: Values) -> Values:
        """Return whitened values, in standard deviations of the noise."""
        check_rows(
            "the second axis of values", values.shape[1], "the whitener", len(self.matrix), "select the same sensors"
        )
        if values.ndim == 2:
            return np.asarray(values @ self.matrix.T, dtype=values.dtype)
        return np.asarray(np.matmul(self.matrix, values), dtype=values.dtype)


def noise_source(times: Values, stimulus_ids: Sequence[str]) -> Literal["baseline", "residuals"]:
    """Choose the source of the noise of training epochs: repeats where there are some, else the baseline.

    Raises BrainalignError if no stimulus was shown twice and nothing was recorded before the stimulus.
    """
    if len(set(stimulus_ids)) < len(stimulus_ids):
        return "residuals"
    if times[0] >= 0:
        raise BrainalignError(
            f"no training image was shown twice and the epochs start at {times[0]:.3f} s, so there is no noise to "
            "whiten by; set epochs.whiten: false, or keep a baseline (tmin_s below 0)"
        )
    return "baseline"


def fit_whitener(
    values: Values,
    times: Values,
    targets: pd.DataFrame,
    *,
    noise: Literal["baseline", "residuals"] = "residuals",
    stimulus_ids: Sequence[str] | None = None,
    shrinkage: Literal["ledoit_wolf", "oas"] = "ledoit_wolf",
) -> Whitener:
    """Estimate the noise covariance on training epochs and return its inverse square root.

    Parameters
    ----------
    values : array (n_trials, n_sensors, n_times)
        TRAINING epochs only: test epochs would leak into the weights of the sensors.
    times : array (n_times,)
        Seconds from stimulus onset.
    targets : DataFrame (n_sensors)
        target_id and sensor_type.
    noise : {"baseline", "residuals"}
        What counts as noise: samples before the stimulus, or deviations from the mean over the repeats of a stimulus.
    stimulus_ids : sequence of str (n_trials,), optional
        Needed for residuals.
    shrinkage : {"ledoit_wolf", "oas"}

    References
    ----------
    Guggenmos, Sterzer & Cichy (2018), NeuroImage 173, doi:10.1016/j.neuroimage.2018.02.044
    Ledoit & Wolf (2004), J. Multivariate Analysis 88, doi:10.1016/S0047-259X(03)00096-4
    """
    check_choice("noise", noise, ("baseline", "residuals"))
    check_choice("shrinkage", shrinkage, ("ledoit_wolf", "oas"))
    check_rows("the third axis of values", values.shape[2], "times", len(times), "give a time per sample")
    check_rows("the second axis of values", values.shape[1], "targets", len(targets), "give a row per sensor")
    inside = times < (0 if noise == "baseline" else np.inf)
    if not inside.any():
        raise BrainalignError(
            f"no time of the {noise}: the epochs last from {times[0]:.3f} to {times[-1]:.3f} s; keep a baseline (tmin "
            "below 0) or use noise='residuals'"
        )
    part = np.asarray(values[:, :, inside], dtype=np.float64)
    check_finite("the training epochs", part, "drop the sensors or epochs with NaN")
    samples = _residuals(part, stimulus_ids) if noise == "residuals" else part - part.mean(axis=2, keepdims=True)
    if noise == "baseline":
        n_times = part.shape[2]  # the mean of a baseline of n samples takes 1 / n of its variance
        samples = samples * np.sqrt(n_times / (n_times - 1)) if n_times > 1 else part - part.mean(axis=0)
    flat = np.moveaxis(samples, 1, 2).reshape(-1, part.shape[1])  # (n_trials * n_times, n_sensors)
    flat = flat[:: max(1, -(-len(flat) // MAX_SAMPLES))]
    matrix = np.zeros((part.shape[1], part.shape[1]))
    shrunk, ranks = {}, {}
    for kind in pd.unique(targets["sensor_type"]):
        rows = np.flatnonzero(targets["sensor_type"] == kind)
        matrix[np.ix_(rows, rows)], shrunk[kind], ranks[kind] = _inverse_root(flat[:, rows], shrinkage)
    return Whitener(matrix, shrunk, ranks)


def _residuals(values: Values, stimulus_ids: Sequence[str] | None) -> Values:
    """Return deviations from the mean of each stimulus, scaled up for the degrees of freedom the means take."""
    if stimulus_ids is None:
        raise BrainalignError("noise='residuals' needs stimulus_ids; pass the column of the training trials")
    check_rows("stimulus_ids", len(stimulus_ids), "values", len(values), "give the stimulus of every trial")
    codes = pd.factorize(np.asarray(stimulus_ids))[0]
    counts = np.bincount(codes)
    if (counts < 2).all():
        raise BrainalignError(
            f"none of the {len(counts)} training stimuli was shown twice, so there are no residuals; use "
            "noise='baseline'"
        )
    sums = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(sums, codes, values)
    residuals = (values - (sums / counts[:, None, None])[codes])[counts[codes] > 1]
    return np.asarray(residuals * np.sqrt(len(residuals) / (len(residuals) - int((counts > 1).sum()))))


def _inverse_root(samples: Values, method: str) -> tuple[Values, float, int]:
    """Return the inverse square root of the shrunk covariance within the space the samples span.

    Shrinking towards a multiple of the identity keeps eigenvectors, so directions that an average reference removed
    can stay removed: shrinkage over all sensors would call them noise-free and blow them up.
    """
    from sklearn.covariance import OAS, LedoitWolf

    spectrum, vectors = np.linalg.eigh(samples.T @ samples / len(samples))
    kept = spectrum > 1e-8 * spectrum[-1]
    if not kept.any():
        raise BrainalignError("the noise of these sensors is zero; drop flat sensors before whitening")
    model = {"ledoit_wolf": LedoitWolf, "oas": OAS}[method](assume_centered=True, store_precision=False)
    model.fit(samples @ vectors[:, kept])
    values, axes = np.linalg.eigh(model.covariance_)
    basis = vectors[:, kept] @ axes
    return (basis / np.sqrt(values)) @ basis.T, float(model.shrinkage_), int(kept.sum())
