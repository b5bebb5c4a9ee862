"""Which dimensions of an embedding are found again from other starts, judged on objects that did not match them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Reproducibility:
    """How well the dimensions of one start are found again from the others.

    Attributes
    ----------
    reference : int
        The start whose dimensions are found again best, on average.
    r : array (n_dimensions,)
        Of the reference: mean |r| with the dimension that matches it, over the other starts; 0 where one has none.
    reproducible : array (n_dimensions,)
        r above the threshold.
    means : array (n_starts,)
        Mean r if each start were the reference.
    """

    reference: int
    r: Values
    reproducible: NDArray[np.bool_]
    means: Values


def match_dimensions(a: Values, b: Values) -> tuple[Values, NDArray[np.intp]]:
    """Pair dimensions of two embeddings one to one such that the sum of |r| over objects is largest.

    Parameters
    ----------
    a, b : array (n_objects, n_a), (n_objects, n_b)

    Returns
    -------
    r : array (n_a,)
        |r| with its partner; 0 without one.
    partner : array (n_a,)
        Column of b; -1 without one.
    """
    check_rows("one embedding", len(a), "the other", len(b), "both must be of the same objects")
    return _paired(_correlations(a, b))


def reproducible_dimensions(
    embeddings: Sequence[Values], least: float = 0.8, rng: np.random.Generator | None = None
) -> Reproducibility:
    """Match the dimensions of every start with those of every other on half of the objects; correlate on the others.

    Both halves take both roles. Matching and judging on the same objects would find chance matches among many
    dimensions.

    Parameters
    ----------
    embeddings : sequence of array (n_objects, n_dimensions)
        From different starts, 20 or more for a figure that is to be reported.
    least : float
        |r| above which a dimension counts as reproducible.
    rng : Generator, optional
        Draws the halves; even and odd rows where not given.

    Raises
    ------
    BrainalignError
        With fewer than two starts, or fewer than six objects.
    """
    if len(embeddings) < 2 or len(embeddings[0]) < 6:
        n_objects = len(embeddings[0]) if len(embeddings) else 0
        raise BrainalignError(
            f"reproducibility needs 2 or more starts and 6 or more objects; got {len(embeddings)} and {n_objects}"
        )
    n = len(embeddings[0])
    order = np.arange(n) if rng is None else rng.permutation(n)
    halves = [order[::2], order[1::2]]
    found = []
    for s, reference in enumerate(embeddings):
        others = [_found_again(reference, other, halves) for t, other in enumerate(embeddings) if t != s]
        found.append(np.mean(others, axis=0))
    means = np.array([values.mean() if len(values) else 0.0 for values in found])
    best = int(means.argmax())
    return Reproducibility(best, found[best], found[best] > least, means)


def _found_again(a: Values, b: Values, halves: list[NDArray[np.intp]]) -> Values:
    total = np.zeros(a.shape[1])
    for matched, judged in (halves, halves[::-1]):
        _, partner = _paired(_correlations(a[matched], b[matched]))
        r = _correlations(a[judged], b[judged])
        has = partner >= 0
        total[has] += r[np.flatnonzero(has), partner[has]]
    return np.asarray(total / 2)


def _correlations(a: Values, b: Values) -> Values:
    """Return |r| of all pairs of columns; 0 where one is constant."""
    units = []
    for values in (a, b):
        centred = values - values.mean(axis=0)
        size = np.linalg.norm(centred, axis=0)
        varies = size > 1e-12 * np.maximum(np.abs(values).max(axis=0, initial=0), 1e-300) * np.sqrt(len(values))
        units.append(np.where(varies, centred / np.where(varies, size, 1), 0))
    return np.asarray(np.abs(units[0].T @ units[1]))


def _paired(r: Values) -> tuple[Values, NDArray[np.intp]]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-r)
    partner = np.full(len(r), -1, dtype=np.intp)
    partner[rows] = columns
    return np.where(partner >= 0, r[np.arange(len(r)), partner] if r.shape[1] else 0, 0), partner
