"""Geometry that changes: dissimilarities at every moment, and how alike the geometries of two moments are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows, numbers
from brainalign.geometry.inference import compare
from brainalign.geometry.rdms import Precision, rdm


def rdm_movie(
    values: Values,
    method: str,
    conditions: NDArray[Any] | None = None,
    runs: NDArray[Any] | None = None,
    precision: Precision | None = None,
    bin_size: int = 1,
) -> Values:
    """Return dissimilarities (n_times // bin_size, n_pairs) of conditions at every moment, as one batched product.

    Parameters
    ----------
    values : array (n_trials, n_channels, n_times)
    method, conditions, runs
        As for `rdm`.
    precision : array (n_channels, n_channels) or (n_times or n_bins, n_channels, n_channels), optional
        Inverse noise covariance, shared or of each moment; or `NoiseCovariance`, one or a list.
    bin_size : int
        Successive samples that are averaged first; samples that fill no bin at the end are left out.

    Raises
    ------
    BrainalignError
        If there are fewer samples than a bin has, precision is of other moments, or as `rdm` does.
    """
    values = numbers("values", values)
    if values.ndim != 3 or not 1 <= bin_size <= values.shape[2]:
        raise BrainalignError(
            f"a movie needs values (n_trials, n_channels, n_times) and bins of 1 to n_times samples; got shape "
            f"{values.shape} and bin_size {bin_size}"
        )
    n_bins = values.shape[2] // bin_size
    parts = np.asarray(values[:, :, : n_bins * bin_size], dtype=np.float64)
    frames = np.moveaxis(parts.reshape(*parts.shape[:2], n_bins, bin_size).mean(axis=3), 2, 0)
    if not isinstance(precision, Sequence) and getattr(precision, "ndim", 2) == 2:
        return rdm(frames, method, conditions, runs, precision)
    each: Any = precision
    check_rows("precision", len(each), "the movie", n_bins, "give one of each, or a shared one", "moments")
    return np.stack([rdm(frame, method, conditions, runs, noise) for frame, noise in zip(frames, each, strict=True)])


def rdm_time_generalization(movie: Values, other: Values | None = None, method: str = "pearson") -> Values:
    """Compare the RDMs of every two moments, (n_times, n_other_times): RDM(t) with RDM(t').

    `other` is a movie of other trials (another half, another subject): without it the noise of a trial is in both RDMs,
    and neighbours in time look alike because they share it.
    """
    return np.asarray(compare(movie, movie if other is None else other, method))
