"""Representational dissimilarity matrices, as matrix products over any leading dimensions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice
from brainalign.geometry.rdms.array_kind import Kind, float64_of, namespace_of
from brainalign.geometry.rdms.crossnobis import crossnobis
from brainalign.geometry.rdms.design import design_of
from brainalign.geometry.rdms.distances import correlation, euclidean, mahalanobis, poisson
from brainalign.geometry.rdms.whitening import Precision, whitening_of

DISTANCES = {
    "correlation": correlation,
    "crossnobis": crossnobis,
    "euclidean": euclidean,
    "mahalanobis": mahalanobis,
    "poisson": poisson,
}
WHITENED = ("crossnobis", "mahalanobis")


def rdm(
    patterns: Kind,
    method: str,
    conditions: NDArray[Any] | None = None,
    runs: NDArray[Any] | None = None,
    precision: Precision | None = None,
) -> Kind:
    """Return dissimilarities of every pair of conditions.

    Parameters
    ----------
    patterns : array (..., n_rows, n_channels), numpy or torch
        Rows are observations. Every leading index is an item of its own: a subject, region, moment, searchlight.
    method : str
        A key of `DISTANCES`. "correlation": one minus Pearson's r. "euclidean", "mahalanobis" (with `precision`):
        squared, divided by the number of channels. "crossnobis": the unbiased Mahalanobis distance, from products of
        different `runs`; with noise alone it is 0 on average, so it can be negative. "poisson": symmetrised
        divergence of rates.
    conditions : array (n_rows,), optional
        Label per row; conditions keep the order of their first appearance. Without labels a row is a condition (of
        its run, where `runs` is given: then every run must list the same conditions in the same order).
    runs : array (n_rows,), optional
        Of crossnobis alone, which averages the rows of a condition within a run; a run may lack conditions. All other
        distances are between means over all rows of a condition.
    precision : array (n_channels, n_channels) or covariance of `noise_covariance`, or one per run, optional
        Inverse covariance of the noise of channels, for the distances in `WHITENED`. One per run, in the order of their
        first appearance, for crossnobis only: runs a and b are multiplied by the inverse of the mean of their
        covariances.

    Returns
    -------
    array (..., n_pairs), float64, numpy or torch like `patterns`
        Row-major upper triangle. NaN where a correlation is undefined because a pattern is constant, where conditions
        share fewer than 2 runs, and everywhere in an item of several that holds a NaN or an infinity; warnings count
        the last two.

    Raises
    ------
    BrainalignError
        If labels or precision do not fit, precision is singular or indefinite, no item is finite, crossnobis has fewer
        than 2 runs or a condition shares 2 runs with no other, or Poisson rates are negative.

    References
    ----------
    Walther A, Nili H, Ejaz N, Alink A, Kriegeskorte N, Diedrichsen J (2016). Reliability of dissimilarity measures
    for multi-voxel pattern analysis. NeuroImage 137:188-200. doi:10.1016/j.neuroimage.2015.12.012
    Schuett HH, Kipnis AD, Diedrichsen J, Kriegeskorte N (2023). Statistical inference on representational geometries.
    eLife 12:e82566. doi:10.7554/eLife.82566

    Examples
    --------
    >>> rdm(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]]), "euclidean").round(9).tolist()
    [2.0, 8.0, 10.0]
    """
    check_choice("method", method, DISTANCES)
    if patterns.ndim < 2 or 0 in patterns.shape[-2:]:
        raise BrainalignError(
            f"patterns have shape {tuple(patterns.shape)}; give rows × channels, at least one of each"
        )
    values: Any = float64_of(patterns)
    design = design_of(values.shape[-2], conditions, runs)
    whitening = None
    if precision is not None:
        if method not in WHITENED:
            instead = "mahalanobis" if method == "euclidean" else "crossnobis or mahalanobis"
            raise BrainalignError(f"{method} distances use no precision; choose {instead}, or leave it out")
        whitening = whitening_of(precision, values.shape[-1], len(design.run_names))
    with np.errstate(invalid="ignore"):
        found: Kind = DISTANCES[method](values, design, whitening)
    if not bool(namespace_of(found).isfinite(found).all()):  # only then is it worth looking at all values
        found = _without_items_that_are_not_finite(found, values)
    return found


def _without_items_that_are_not_finite(found: Any, values: Any) -> Any:
    """Return RDMs with NaN for every item whose patterns hold a NaN or an infinity, and count them."""
    xp = namespace_of(values)
    finite = xp.isfinite(values)
    if bool(finite.all()):
        return found
    defined = finite.reshape(*values.shape[:-2], -1).all(axis=-1)
    n_bad, n_items = int((~defined).sum()), int(np.prod(values.shape[:-2]))
    channels = np.flatnonzero(np.asarray((~finite).reshape(-1, values.shape[-1]).any(axis=0).tolist()))
    which = f"NaN or infinite values in {len(channels)} of {values.shape[-1]} channels (first: {channels[0]})"
    if n_bad == n_items:
        raise BrainalignError(f"patterns of shape {tuple(values.shape)} have {which}; drop the channels or rows")
    warnings.warn(f"{n_bad} of {n_items} RDMs are NaN: their patterns have {which}", RuntimeWarning, stacklevel=3)
    return xp.where(defined[..., None], found, np.nan)
