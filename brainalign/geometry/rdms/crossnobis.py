"""Crossnobis distances: squared Mahalanobis distances without the bias of noise.

Differences of conditions in one run are multiplied with those of another run, whose noise is independent.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, listed
from brainalign.geometry.rdms.array_kind import as_kind_of, namespace_of
from brainalign.geometry.rdms.design import Design
from brainalign.geometry.rdms.distances import pair_differences
from brainalign.geometry.rdms.whitening import Whitening


def crossnobis(patterns: Any, design: Design, whitening: Whitening | None) -> Any:
    """Return the mean product of differences over all pairs of different runs, per channel. Negative values stay.

    With every condition in every run and one precision, products over pairs of runs are products of sums less products
    within runs. Otherwise every pair of conditions takes the runs that hold both, each pair of runs counting the same;
    differences within a run are free of whatever the run adds to all its conditions.

    Parameters
    ----------
    patterns : array (..., n_rows, n_channels), float64
    design : Design
    whitening : Whitening, optional

    Returns
    -------
    array (..., n_pairs)
        NaN for conditions that share fewer than 2 runs; a warning counts them.

    Raises
    ------
    BrainalignError
        With fewer than 2 runs, or a condition that shares 2 runs with no other.

    References
    ----------
    Walther A et al. (2016). Reliability of dissimilarity measures for multi-voxel pattern analysis. NeuroImage
    137:188-200. doi:10.1016/j.neuroimage.2015.12.012
    """
    n_runs = len(design.run_names)
    if n_runs < 2:
        raise BrainalignError(f"crossnobis multiplies runs with each other and needs 2 or more; got {n_runs}")
    means, present = design.run_means(patterns)
    _check_shared(present, design)
    if present.all() and (whitening is None or not whitening.per_run):
        return _balanced(means, whitening) / means.shape[-1]
    return _by_pairs_of_runs(means, present, whitening) / means.shape[-1]


def _check_shared(present: NDArray[np.bool_], design: Design) -> None:
    if present.all():
        return
    n_shared = present.T.astype(int) @ present
    np.fill_diagonal(n_shared, 0)
    alone = (n_shared < 2).all(axis=1)
    if alone.any():
        raise BrainalignError(
            f"{int(alone.sum())} conditions share 2 or more runs with no other condition "
            f"({listed(design.condition_names[alone].tolist())}); crossnobis needs that: drop them"
        )
    n_missing = int((np.triu(n_shared < 2, 1)).sum())
    if n_missing:
        n_pairs = len(n_shared) * (len(n_shared) - 1) // 2
        warnings.warn(
            f"{n_missing} of {n_pairs} pairs of conditions share fewer than 2 runs: their distances are NaN",
            RuntimeWarning,
            stacklevel=4,
        )


def _balanced(means: Any, whitening: Whitening | None) -> Any:
    n_runs, n_conditions, _ = means.shape[-3:]
    total, within = _sums_of_products(means, whitening)
    # Differences ignore what a run adds to all conditions. Taking it out first costs as much as two products, and is
    # needed only where it is so large that its products take the digits of the others.
    k = np.arange(n_conditions)
    size = within[..., k, k].sum(axis=-1)
    if bool((size - within.sum(axis=-1).sum(axis=-1) / n_conditions < 1e-2 * size).any()):
        total, within = _sums_of_products(means - means.mean(axis=-2, keepdims=True), whitening)
    return pair_differences(total - within) / (n_runs * (n_runs - 1))


def _sums_of_products(means: Any, whitening: Whitening | None) -> tuple[Any, Any]:
    """Return the products of sums over runs, and the sum of products within runs, (..., n_conditions, n_conditions)."""
    right = means if whitening is None else whitening.covariances[0].solve(means)
    total = means.sum(axis=-3)
    between = total @ (total if whitening is None else right.sum(axis=-3)).swapaxes(-1, -2)
    within = 0
    for run in range(means.shape[-3]):
        within = within + means[..., run, :, :] @ right[..., run, :, :].swapaxes(-1, -2)
    return between, within


def _by_pairs_of_runs(means: Any, present: NDArray[np.bool_], whitening: Whitening | None) -> Any:
    xp, n_runs = namespace_of(means), len(present)
    weights = as_kind_of(present.astype(np.float64), means)[..., None]  # (n_runs, n_conditions, 1)
    centred = (means - (means * weights).sum(axis=-2, keepdims=True) / weights.sum(axis=-2, keepdims=True)) * weights
    shared = whitening is not None and not whitening.per_run
    right = whitening.covariances[0].solve(centred) if whitening is not None and shared else centred
    i, j = np.triu_indices(present.shape[1], 1)
    total, n_products = 0, np.zeros(len(i))
    for a in range(n_runs):
        for b in range(a + 1, n_runs):
            other = right[..., b, :, :]
            if whitening is not None and whitening.per_run:
                other = whitening.of_runs(a, b).solve(other)
            both = present[a] & present[b]
            held = both[i] & both[j]
            products = pair_differences(centred[..., a, :, :] @ other.swapaxes(-1, -2))
            total = total + xp.where(as_kind_of(held, means) > 0, products, 0.0)
            n_products += held
    counts = as_kind_of(np.where(n_products > 0, n_products, np.nan), means)
    return total / counts
