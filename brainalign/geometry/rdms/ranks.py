"""Ranks of dissimilarities. Those that are equal but for rounding are ties: one-hot features have one distance, not 28.

What rounding is, an entry's neighbours say, not the largest entry: one that is 10¹³ times larger leaves the order of
all others as it is.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values

RANKED_AT_ONCE = 1_000_000  # dissimilarities
ROUNDING = 1e-12  # of the larger of two neighbours, or of what most entries reach
COMMON = 0.75  # share of entries among which zeros and their rounding are looked for


def equal_masks(seen: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """Yield the rows that share a pattern of present pairs, and that pattern."""
    if seen.all():
        yield np.arange(len(seen)), np.ones(seen.shape[1], dtype=bool)
        return
    masks, group = np.unique(seen, axis=0, return_inverse=True)
    for number, mask in enumerate(masks):
        yield np.flatnonzero(group.ravel() == number), mask


def are_constant(rdms: Values) -> NDArray[np.bool_]:
    """Find the RDMs (n_rdms, n_pairs) whose dissimilarities are all the same, but for rounding."""
    return np.asarray(np.ptp(rdms, axis=-1) <= ROUNDING * np.abs(rdms).max(axis=-1))


def sorted_ties(rdms: Values) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the order of every complete RDM (n_rdms, n_pairs), and for sorted entries the number of their tie from 0.

    Neighbours in that order are tied where they differ by less than 10⁻¹² of the larger one, or of the upper quartile
    of all entries, next to which rounded zeros are zeros.
    """
    order = np.argsort(rdms, axis=1, kind="stable")
    values = np.take_along_axis(rdms, order, axis=1)
    size = np.abs(values)
    kth = min(int(COMMON * size.shape[1]), size.shape[1] - 1)
    scale = np.maximum(np.maximum(size[:, 1:], size[:, :-1]), np.partition(size, kth, axis=1)[:, kth, None])
    ties = np.zeros(values.shape, dtype=np.intp)
    np.cumsum(np.diff(values, axis=1) > ROUNDING * scale, axis=1, out=ties[:, 1:])
    return order, ties


def tie_ends(ties: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the first and the last entry that every sorted entry (n_rdms, n_pairs) is tied with."""
    place, change = np.arange(ties.shape[1]), np.diff(ties, axis=1) != 0
    edge = np.ones((len(ties), 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, change]), place, 0), axis=1)
    last = np.where(np.hstack([change, edge]), place, len(place))
    return first, np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]


def mean_ranks(rdms: Values) -> NDArray[np.float64]:
    """Return ranks from 1 within each complete RDM (n_rdms, n_pairs), ties at their mean."""
    order, ties = sorted_ties(rdms)
    first, last = tie_ends(ties)
    ranks = np.empty(ties.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=1)
    return ranks


def dense_codes(values: Values) -> NDArray[np.intp]:
    """Return 0, 1, 2, ... for the different values of one complete RDM in ascending order."""
    [order], [ties] = sorted_ties(values[None])
    codes: NDArray[np.intp] = np.empty_like(ties)
    codes[order] = ties
    return codes


def rank_rdms(rdms: Values) -> Values:
    """Return ranks from 1 within each RDM, ties at their mean; missing pairs stay NaN."""
    ranks = np.full(rdms.shape, np.nan)
    for rows, seen in equal_masks(np.isfinite(rdms)):
        if seen.any():
            # A permutation test ranks thousands of RDMs: many at once, as far as memory allows.
            for block in np.array_split(rows, max(1, len(rows) * int(seen.sum()) // RANKED_AT_ONCE)):
                ranks[np.ix_(block, seen)] = mean_ranks(rdms[np.ix_(block, seen)])
    return ranks
