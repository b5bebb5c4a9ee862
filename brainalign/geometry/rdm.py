"""Representational dissimilarity matrices, as matrix products over any leading dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows

__all__ = ["DISTANCES", "rdm", "runs_by_conditions"]

Values = NDArray[np.floating[Any]]


def rdm(
    patterns: Values,
    method: str,
    conditions: NDArray[Any] | None = None,
    runs: NDArray[Any] | None = None,
    precision: Values | None = None,
) -> Values:
    """Return dissimilarities of every pair of conditions.

    Parameters
    ----------
    patterns : array (..., n_rows, n_channels)
        Rows are observations.
    method : str
        A key of `DISTANCES`: "crossnobis" (needs `runs`), "correlation", "euclidean".
    conditions : array (n_rows,), optional
        Label per row; conditions keep the order of their first appearance. Without labels a row is a condition (of
        its run, where `runs` is given: then every run must list the same conditions in the same order).
    runs : array (n_rows,), optional
        Crossnobis multiplies differences of different runs; the other distances average over runs.
    precision : array (n_channels, n_channels), optional
        Inverse noise covariance; turns Euclidean distances into Mahalanobis ones.

    Returns
    -------
    array (..., n_pairs), float64
        Row-major upper triangle. NaN where a correlation is undefined because a pattern is constant.

    Raises
    ------
    BrainalignError
        If labels do not fit, a condition is missing in a run, or crossnobis has fewer than 2 runs.

    References
    ----------
    Walther A, Nili H, Ejaz N, Alink A, Kriegeskorte N, Diedrichsen J (2016). Reliability of dissimilarity measures
    for multi-voxel pattern analysis. NeuroImage 137:188-200. doi:10.1016/j.neuroimage.2015.12.012

    Examples
    --------
    >>> rdm(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]]), "euclidean").tolist()
    [2.0, 8.0, 10.0]
    """
    check_choice("method", method, DISTANCES)
    patterns = np.asarray(patterns, dtype=np.float64)
    check_finite("patterns", patterns, "drop the channels or rows that hold them")
    if precision is not None:
        if precision.shape != (patterns.shape[-1],) * 2:
            raise BrainalignError(
                f"precision has shape {precision.shape} but patterns have {patterns.shape[-1]} channels; "
                "estimate it on the same channels"
            )
        if method == "correlation":
            raise BrainalignError("correlation distance uses no precision; whiten the patterns or choose crossnobis")
        patterns = patterns @ np.linalg.cholesky(precision)  # P = L L', so whitening is a product with L
    cube = runs_by_conditions(patterns, conditions, runs)  # (..., n_runs, n_conditions, n_channels)
    return DISTANCES[method](cube)


def runs_by_conditions(patterns: Values, conditions: NDArray[Any] | None, runs: NDArray[Any] | None) -> Values:
    """Return the mean pattern of each condition in each run."""
    n_rows = patterns.shape[-2]
    run_codes, run_names = pd.factorize(np.zeros(n_rows) if runs is None else np.asarray(runs))
    if conditions is None:
        labels: NDArray[Any] = pd.Series(run_codes).groupby(run_codes).cumcount().to_numpy()
    else:
        labels = np.asarray(conditions)
    remedy = "give one label per row of patterns"
    check_rows("conditions", len(labels), "patterns", n_rows, remedy)
    check_rows("runs", len(run_codes), "patterns", n_rows, remedy)
    codes, names = pd.factorize(labels)
    counts = np.zeros((len(run_names), len(names)))
    np.add.at(counts, (run_codes, codes), 1)
    if (counts == 0).any():
        run, condition = np.argwhere(counts == 0)[0]
        raise BrainalignError(
            f"condition '{names[condition]}' is missing in run '{run_names[run]}'; drop that run or that condition"
        )
    weights = np.zeros((counts.size, n_rows))
    weights[run_codes * len(names) + codes, np.arange(n_rows)] = 1 / counts[run_codes, codes]
    means = weights @ patterns
    return np.asarray(means.reshape(*patterns.shape[:-2], *counts.shape, patterns.shape[-1]))


def _pairs(gram: Values) -> Values:
    """Return K_ii + K_jj − 2 K_ij of every pair."""
    i, j = np.triu_indices(gram.shape[-1], 1)
    return np.asarray(gram[..., i, i] + gram[..., j, j] - 2 * gram[..., i, j])


def _euclidean(cube: Values) -> Values:
    """Squared distance divided by the number of channels."""
    patterns = cube.mean(axis=-3)
    patterns = patterns - patterns.mean(axis=-2, keepdims=True)  # against cancellation
    squared = _pairs(patterns @ np.swapaxes(patterns, -1, -2)) / patterns.shape[-1]
    return np.asarray(np.maximum(squared, 0))


def _correlation(cube: Values) -> Values:
    """One minus Pearson's r between patterns."""
    patterns = cube.mean(axis=-3)
    centred = patterns - patterns.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(centred, axis=-1, keepdims=True)
    constant = norm <= 1e-12 * np.linalg.norm(patterns, axis=-1, keepdims=True)
    unit = centred / np.where(constant, np.nan, norm)
    i, j = np.triu_indices(unit.shape[-2], 1)
    return np.asarray(1 - (unit @ np.swapaxes(unit, -1, -2))[..., i, j])


def _crossnobis(cube: Values) -> Values:
    """Unbiased squared Mahalanobis distance: products of differences of different runs. Negative values stay."""
    n_runs, _, n_channels = cube.shape[-3:]
    if n_runs < 2:
        raise BrainalignError(f"crossnobis multiplies runs with each other and needs 2 or more; got {n_runs}")
    cube = cube - cube.mean(axis=-2, keepdims=True)  # differences of conditions ignore what a run shares
    total = cube.sum(axis=-3)
    within = (cube @ np.swapaxes(cube, -1, -2)).sum(axis=-3)
    gram = (total @ np.swapaxes(total, -1, -2) - within) / (n_runs * (n_runs - 1))
    return np.asarray(_pairs(gram) / n_channels)


DISTANCES = {"crossnobis": _crossnobis, "correlation": _correlation, "euclidean": _euclidean}
