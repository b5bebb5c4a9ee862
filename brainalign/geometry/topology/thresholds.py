"""All pairs of thresholds of the geo-topological transform at once: the grid, its families, and products of RDMs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.geometry.rdms import sorted_ties

SLACK = 1e-3  # sums of steps of .05 are not exact
FAMILIES = ("local", "global", "geometry", "topology", "intermediate")


def threshold_grid(step: float = 0.05) -> Values:
    """Return all (lower, upper) with lower ≤ upper on a grid, (n_cells, 2).

    Equal ones give binary RDMs; those at 0 and at 1 are left out, because they tell no pairs apart.

    Raises
    ------
    BrainalignError
        If the step does not divide 1.
    """
    n = round(1 / step)
    if n < 1 or abs(n * step - 1) > SLACK:
        raise BrainalignError(f"step must divide 1, as .05 does; got {step}")
    levels = np.arange(n + 1) / n
    lower, upper = np.triu_indices(n + 1)
    inside = (lower < upper) | ((lower > 0) & (lower < n))
    return np.column_stack([levels[lower[inside]], levels[upper[inside]]])


def threshold_family(lower: float, upper: float) -> str:
    """Classify a pair of thresholds by what it looks at, as one of `FAMILIES`.

    References
    ----------
    Lin B, Kriegeskorte N (2024). The topology and geometry of neural representations. PNAS 121:e2317881121.
    doi:10.1073/pnas.2317881121

    Examples
    --------
    >>> [threshold_family(*cell) for cell in ((0, 0.2), (0.9, 1), (0, 1), (0.45, 0.55), (0.2, 0.8))]
    ['local', 'global', 'geometry', 'topology', 'intermediate']
    """
    middle = (lower + upper) / 2
    if middle <= 0.2 + SLACK:
        return "local"
    if middle >= 0.8 - SLACK:
        return "global"
    if upper - lower >= 0.8 - SLACK:
        return "geometry"
    return "topology" if lower >= 0.4 - SLACK and upper <= 0.6 + SLACK else "intermediate"


class RankedRdms:
    """RDMs in the order of their dissimilarities: sorted once for all thresholds and all draws of stimuli.

    Parameters
    ----------
    rdms : array (n_rdms, n_pairs)
        Without missing pairs.
    """

    def __init__(self, rdms: Values) -> None:
        self.order, self.groups = sorted_ties(rdms)

    def grams(self, cells: Values, weights: NDArray[np.intp] | None = None) -> Values:
        """Return Pearson's r between all transformed RDMs at every pair of thresholds.

        Parameters
        ----------
        cells : array (n_cells, 2)
            Lower and upper thresholds.
        weights : array (n_pairs,) of int, optional
            How often each pair is there, as after drawing stimuli with replacement.

        Returns
        -------
        array (n_cells, n_rdms, n_rdms)
            Zero rows for RDMs that are constant after the transform.
        """
        counts = np.ones(self.order.shape[1], dtype=np.intp) if weights is None else weights
        x, levels, quantiles = self._ranks(cells, counts)
        kept = counts[counts > 0].astype(np.float64)
        found = np.empty((len(cells), len(x), len(x)))
        even = bool((kept == kept[0]).all())
        for gram, (lower, upper) in zip(found, np.searchsorted(levels, cells), strict=True):
            a, width = quantiles[:, lower, None], (quantiles[:, upper] - quantiles[:, lower])[:, None]
            binary = width == 0
            forms = x - a
            if binary.any():
                steps = forms > 0
            forms *= 1 / np.where(binary, 1, width)
            np.clip(forms, 0, 1, out=forms)
            if binary.any():
                forms = np.where(binary, steps, forms)
            gram[:] = _correlations(forms, kept, even)
        return found

    def _ranks(self, cells: Values, counts: NDArray[np.intp]) -> tuple[Values, Values, Values]:
        """Return ranks in [0, 1] of the pairs that are there, the levels of all thresholds, and the quantiles there."""
        drawn = counts[self.order]
        there = drawn > 0
        n_rdms, n_kept = len(drawn), int((counts > 0).sum())
        drawn = drawn[there].reshape(n_rdms, n_kept)
        groups = self.groups[there].reshape(n_rdms, n_kept)
        column = (np.cumsum(counts > 0) - 1)[self.order[there]].reshape(n_rdms, n_kept)
        reached = np.cumsum(drawn, axis=1)
        n = int(reached[0, -1])
        first, last = (_ends_of_ties(groups, k) for k in (0, 1))
        before = np.take_along_axis(reached - drawn, first, axis=1)
        ranks = (before + np.take_along_axis(reached, last, axis=1) - 1) / 2 / max(n - 1, 1)
        levels = np.unique(cells)
        place = levels * (n - 1)
        low = np.minimum(np.floor(place), max(n - 2, 0))
        quantiles = np.empty((n_rdms, len(levels)))
        for row, of_rdm, ends in zip(quantiles, ranks, reached, strict=True):
            below, above = (of_rdm[np.searchsorted(ends, np.minimum(low + k, n - 1), side="right")] for k in (0, 1))
            row[:] = below + (place - low) * (above - below)
        x = np.empty_like(ranks)
        np.put_along_axis(x, column, ranks, axis=1)
        return x, levels, quantiles


def _ends_of_ties(groups: NDArray[Any], end: int) -> NDArray[np.intp]:
    """Return for every sorted entry the first (0) or last (1) index that is tied with it."""
    n = groups.shape[1]
    index = np.broadcast_to(np.arange(n), groups.shape)
    change = np.diff(groups, axis=1) != 0
    edge = np.ones((len(groups), 1), dtype=bool)
    if end == 0:
        return np.asarray(np.maximum.accumulate(np.where(np.hstack([edge, change]), index, 0), axis=1))
    marked = np.where(np.hstack([change, edge]), index, n)
    return np.asarray(np.minimum.accumulate(marked[:, ::-1], axis=1)[:, ::-1])


def normalised_gram(rows: Values, weights: Values) -> Values:
    """Return weighted Pearson's r between rows (n_rows, n_pairs); zero where a row is constant."""
    # Of any scale, so that what the mean loses by rounding is small.
    scale = np.abs(rows).max(axis=1, keepdims=True)
    return _correlations(rows / np.where(scale > 0, scale, 1), weights, False)


def _correlations(forms: Values, weights: Values, even: bool) -> Values:
    """Return r between rows of values up to 1: products less those of the means, which saves passes over the rows."""
    total = weights.sum()
    mean = forms @ weights / total
    gram = forms @ forms.T * weights[0] if even else (forms * weights) @ forms.T
    gram -= total * np.outer(mean, mean)
    norm = np.sqrt(np.maximum(np.diag(gram), 0))
    varies = norm > 1e-7 * np.sqrt(total)
    scale = varies / np.where(varies, norm, 1)
    return np.asarray(gram * scale[:, None] * scale)
