"""Representational dissimilarity matrices, as matrix products over any leading dimensions.

Crossnobis distances are squared Mahalanobis distances without the bias of noise: differences of conditions in one run
are multiplied with those of another run, whose noise is independent.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Features, Values, label_codes
from brainalign.checks import BrainalignError, check_choice, check_rows, listed
from brainalign.geometry.rdms.array_kind import Kind, as_kind_of, float64_of, namespace_of
from brainalign.geometry.rdms.covariance import Precision, Whitening, whitening_of

WHITENED = ("crossnobis", "mahalanobis")
PRIOR_RATE = 1.0  # of the Poisson distance, which adds a tenth of an observation at it
PRIOR_WEIGHT = 0.1


@dataclass(frozen=True)
class _Design:
    """Codes of the rows of patterns, in order of first appearance."""

    conditions: NDArray[np.intp]
    runs: NDArray[np.intp]
    condition_names: NDArray[Any]
    run_names: NDArray[Any]

    def condition_means(self, patterns: Any) -> Any:
        """Return the mean over all rows of each condition, (..., n_conditions, n_channels)."""
        return _means(patterns, self.conditions, len(self.condition_names))

    def run_means(self, patterns: Any) -> tuple[Any, NDArray[np.bool_]]:
        """Return means of each condition in each run (..., n_runs, n_conditions, n_channels), and where there is one.

        Zero where a run does not hold a condition.
        """
        shape = len(self.run_names), len(self.condition_names)
        cells = self.runs * shape[1] + self.conditions
        means = _means(patterns, cells, shape[0] * shape[1])
        present = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape) > 0
        return means.reshape(*patterns.shape[:-2], *shape, patterns.shape[-1]), present


def design_of(n_rows: int, conditions: NDArray[Any] | None, runs: NDArray[Any] | None) -> _Design:
    """Return the design that labels of rows describe; without runs there is one.

    Without conditions, a row is a condition of its run, and every run lists the same conditions in the same order.
    """
    given, coded = {"conditions": conditions, "runs": runs}, {}
    for name, labels in given.items():
        if labels is not None:
            coded[name] = label_codes(name, labels)
            check_rows(name, len(coded[name][0]), "patterns", n_rows, "give one label per row of patterns")
    run_codes, run_names = coded.get("runs", (np.zeros(n_rows, dtype=np.intp), np.zeros(1)))
    if "conditions" not in coded:
        sizes = np.bincount(run_codes, minlength=1)
        if (sizes != sizes[0]).any():
            raise BrainalignError(
                f"run '{run_names[0]}' has {sizes[0]} rows and run '{run_names[int(np.argmax(sizes != sizes[0]))]}' "
                f"{sizes[sizes != sizes[0]][0]}; give conditions, so that rows can be matched"
            )
        coded["conditions"] = pd.factorize(pd.Series(run_codes).groupby(run_codes).cumcount().to_numpy())
    codes, names = coded["conditions"]
    return _Design(codes, run_codes, names, run_names)


def _means(patterns: Any, cells: NDArray[np.intp], n_cells: int) -> Any:
    """Return the mean of the rows of each cell, (..., n_cells, n_channels); zero for a cell without rows."""
    counts = np.bincount(cells, minlength=n_cells)
    order = np.argsort(cells, kind="stable")
    starts = np.cumsum(counts) - counts
    if (counts == counts[0]).all():
        return _block_means(patterns, order, int(counts[0]))
    shape = *patterns.shape[:-2], n_cells, patterns.shape[-1]
    means = namespace_of(patterns).zeros(shape, dtype=patterns.dtype, device=patterns.device)
    for size in np.unique(counts[counts > 0]):  # as many products as there are numbers of repeats
        which = np.flatnonzero(counts == size)
        rows = starts[which][:, None] + np.arange(size)
        means[..., which, :] = _block_means(patterns, order[rows.ravel()], int(size))
    return means


def _block_means(patterns: Any, rows: NDArray[np.intp], size: int) -> Any:
    """Return means over each `size` of the rows, in their order."""
    if len(rows) != patterns.shape[-2] or (rows[1:] < rows[:-1]).any():
        patterns = patterns[..., rows, :]
    return patterns if size == 1 else patterns.reshape(*patterns.shape[:-2], -1, size, patterns.shape[-1]).mean(axis=-2)


def _pair_differences(gram: Any) -> Any:
    """Return K_ii + K_jj − K_ij − K_ji of every pair, (..., n_pairs)."""
    i, j = np.triu_indices(gram.shape[-1], 1)
    return gram[..., i, i] + gram[..., j, j] - gram[..., i, j] - gram[..., j, i]


def _euclidean(patterns: Any, design: _Design, whitening: Whitening | None) -> Any:
    """Return squared Euclidean distances of mean patterns divided by the number of channels."""
    centred = _centred(design.condition_means(patterns))
    return _squared(centred, centred)


def _mahalanobis(patterns: Any, design: _Design, whitening: Whitening | None) -> Any:
    """Return squared Mahalanobis distances of mean patterns divided by the number of channels."""
    if whitening is None or whitening.per_run:
        raise BrainalignError(
            f"mahalanobis takes one precision for all runs; got {'one per run' if whitening else 'none'} (euclidean "
            "takes none, crossnobis one per run)"
        )
    centred = _centred(design.condition_means(patterns))
    return _squared(centred, whitening.covariances[0].solve(centred))


def _correlation(patterns: Any, design: _Design, whitening: Whitening | None) -> Any:
    """Return one minus Pearson's r between mean patterns; NaN where a pattern is constant."""
    xp, means = namespace_of(patterns), design.condition_means(patterns)
    centred = means - means.mean(axis=-1, keepdims=True)
    norm, size = (xp.sqrt((x * x).sum(axis=-1, keepdims=True)) for x in (centred, means))
    unit = centred / xp.where(norm <= 1e-12 * size, np.nan, norm)
    i, j = np.triu_indices(unit.shape[-2], 1)
    return 1 - (unit @ unit.swapaxes(-1, -2))[..., i, j]


def _poisson(patterns: Any, design: _Design, whitening: Whitening | None) -> Any:
    """Return the symmetrised Kullback-Leibler divergence of Poisson rates divided by the number of channels.

    Mean rates m are drawn towards a prior; the distance is the mean over channels of (m_i − m_j)(log m_i − log m_j).
    """
    if bool((patterns < 0).any()):
        raise BrainalignError(
            f"poisson distances are between rates, which are not negative; got {float(patterns.min()):.3g}; "
            "give counts or choose another distance"
        )
    xp, rates = namespace_of(patterns), design.condition_means(patterns)
    rates = (rates + PRIOR_RATE * PRIOR_WEIGHT) / (1 + PRIOR_WEIGHT)
    return _pair_differences(_centred(rates) @ _centred(xp.log(rates)).swapaxes(-1, -2)) / rates.shape[-1]


def _centred(patterns: Any) -> Any:
    # Distances ignore what all conditions share; taking it out first keeps their digits.
    return patterns - patterns.mean(axis=-2, keepdims=True)


def _squared(left: Any, right: Any) -> Any:
    gram = left @ right.swapaxes(-1, -2)
    return namespace_of(gram).clip(_pair_differences(gram) / left.shape[-1], 0, None)


def _crossnobis(patterns: Any, design: _Design, whitening: Whitening | None) -> Any:
    """Return the mean product of differences over all pairs of different runs, per channel. Negative values stay.

    With every condition in every run and one precision, products over pairs of runs are products of sums less products
    within runs. Otherwise every pair of conditions takes the runs that hold both, each pair of runs counting the same;
    differences within a run are free of whatever the run adds to all its conditions.
    """
    n_runs = len(design.run_names)
    if n_runs < 2:
        raise BrainalignError(f"crossnobis multiplies runs with each other and needs 2 or more; got {n_runs}")
    means, present = design.run_means(patterns)
    _check_shared(present, design)
    if present.all() and (whitening is None or not whitening.per_run):
        return _balanced(means, whitening) / means.shape[-1]
    return _by_pairs_of_runs(means, present, whitening) / means.shape[-1]


def _check_shared(present: NDArray[np.bool_], design: _Design) -> None:
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
    if n_missing := int((np.triu(n_shared < 2, 1)).sum()):
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
    return _pair_differences(total - within) / (n_runs * (n_runs - 1))


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
            products = _pair_differences(centred[..., a, :, :] @ other.swapaxes(-1, -2))
            total = total + xp.where(as_kind_of(held, means) > 0, products, 0.0)
            n_products += held
    return total / as_kind_of(np.where(n_products > 0, n_products, np.nan), means)


DISTANCES = {
    "correlation": _correlation,
    "crossnobis": _crossnobis,
    "euclidean": _euclidean,
    "mahalanobis": _mahalanobis,
    "poisson": _poisson,
}


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
    values: Any = float64_of(patterns, "patterns")
    if values.ndim < 2 or 0 in values.shape[-2:]:
        raise BrainalignError(f"patterns have shape {tuple(values.shape)}; give rows × channels, at least one each")
    design, whitening = design_of(values.shape[-2], conditions, runs), None
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


def feature_rdms(
    layers: Mapping[str, Features], stimulus_ids: Sequence[str], distance: str
) -> dict[str, NDArray[np.floating[Any]]]:
    """Return the RDM (n_pairs,) of every layer, of these stimuli in their order, matched by id; one layer is held."""

    def of(features: Features) -> NDArray[np.floating[Any]]:
        values = stimulus_features(features, stimulus_ids)
        return rdm(values.reshape(len(values), -1), distance)

    return {name: of(features) for name, features in layers.items()}


def stimulus_features(features: Features, stimulus_ids: Sequence[str]) -> Values:
    """Return the features (n_stimuli, ...) of chosen stimuli, matched by id."""
    return np.asarray(features.values[features.rows_of(stimulus_ids)])
