"""Which units of two networks do the same: one to one, each its best, or softly; scored on stimuli not matched on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from brainalign.arrays import Values
from brainalign.checks import check_choice, check_rows
from brainalign.geometry.network_similarity.correlations import (
    correlation_blocks,
    cross_correlations,
    pair_correlations,
    unit_norm,
)
from brainalign.geometry.network_similarity.transport import best_coupling

Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]


@dataclass(frozen=True)
class UnitMatch:
    """Matched units, and how well they agree.

    Attributes
    ----------
    units_x, units_y : array (n_pairs,)
        Numbers of the matched units.
    weights : array (n_pairs,)
        Share of each pair in the score; their sum is 1.
    r : array (n_pairs,)
        Correlation of the pair on the stimuli that score it; NaN where a unit is constant there.
    score : float
        Weighted mean of r over pairs where it is defined.
    score_fit : float
        The same on the stimuli that the match was made on: above 0 for unrelated units.
    n_constant : int
        Units left out because they are constant on the stimuli of the match.
    n_undefined : int
        Pairs without r.
    held_out : bool
        Whether other stimuli than those of the match score it.
    """

    units_x: NDArray[np.intp]
    units_y: NDArray[np.intp]
    weights: NDArray[np.float64]
    r: NDArray[np.float64]
    score: float
    score_fit: float
    n_constant: int
    n_undefined: int
    held_out: bool


def match_units(
    X: Values, Y: Values, method: str = "one_to_one", held_out: tuple[Values, Values] | None = None
) -> UnitMatch:
    """Match the units of two networks by the correlation of their responses to the same stimuli.

    Parameters
    ----------
    X, Y : array (n_stimuli, p), (n_stimuli, q)
        Stimuli that the match is made on.
    method : str
        A key of `MATCHINGS`: "one_to_one" (the assignment with the largest sum of correlations; of unequal numbers
        the worst are left over), "forward" and "backward" (semi-matching: every unit of X, or of Y, and its best
        partner, which may serve several), "soft" (the coupling with marginals 1/p and 1/q; for p = q the one-to-one).
    held_out : (array (m, p), array (m, q)), optional
        Other stimuli, which score the match. Without them the stimuli of the match do, and nobody should believe it.

    Returns
    -------
    UnitMatch

    Raises
    ------
    BrainalignError
        If rows or units do not fit, or a value is not finite.

    Notes
    -----
    Correlations keep their sign: a unit and its negative are not the same unit. `cross_correlations` are streamed in
    float64; "forward" and "backward" never hold all of them.

    References
    ----------
    Li Y, Yosinski J, Clune J, Lipson H, Hopcroft J (2016). Convergent learning: do different neural networks learn the
    same representations? ICLR. arXiv:1511.07543. Soft: see `best_coupling`.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> match_units(X, X[:, [2, 0, 1]]).units_y.tolist()
    [1, 2, 0]
    """
    check_choice("method", method, MATCHINGS)
    left, right = (_varying(Z) for Z in (X, Y))
    rows, columns, weights = MATCHINGS[method](X[:, left], Y[:, right])
    rows, columns = left[rows], right[columns]
    r_fit = pair_correlations(X, Y, rows, columns)
    r = r_fit
    if held_out is not None:
        for name, fit, other in (("X", X, held_out[0]), ("Y", Y, held_out[1])):
            check_rows(f"held-out {name}.T", other.shape[1], f"{name}.T", fit.shape[1], "give the same units")
        r = pair_correlations(*held_out, rows, columns)
    n_constant = X.shape[1] + Y.shape[1] - len(left) - len(right)
    return UnitMatch(
        rows,
        columns,
        weights,
        r,
        _mean(r, weights),
        _mean(r_fit, weights),
        n_constant,
        int(np.isnan(r).sum()),
        held_out is not None,
    )


def _varying(values: Values) -> NDArray[np.intp]:
    """Return the units that are not constant, a block at a time."""
    blocks = range(0, values.shape[1], 1024)
    return np.flatnonzero(np.concatenate([(unit_norm(values[:, k : k + 1024]) != 0).any(axis=0) for k in blocks]))


def _mean(r: Values, weights: Values) -> float:
    seen = np.isfinite(r)
    return float(weights[seen] @ r[seen] / weights[seen].sum()) if seen.any() else float("nan")


def _one_to_one(X: Values, Y: Values) -> Pairs:
    rows, columns = linear_sum_assignment(cross_correlations(X, Y), maximize=True)
    return rows, columns, np.full(len(rows), 1 / max(len(rows), 1))


def _forward(X: Values, Y: Values) -> Pairs:
    best, partner = np.full(X.shape[1], -np.inf), np.zeros(X.shape[1], dtype=np.intp)
    for first, second, r in correlation_blocks(X, Y):
        rows = slice(first, first + len(r))
        largest, where = r.max(axis=1), r.argmax(axis=1) + second
        better = largest > best[rows]
        best[rows][better], partner[rows][better] = largest[better], where[better]
    return np.arange(X.shape[1]), partner, np.full(X.shape[1], 1 / max(X.shape[1], 1))


def _backward(X: Values, Y: Values) -> Pairs:
    columns, rows, weights = _forward(Y, X)
    return rows, columns, weights


def _soft(X: Values, Y: Values) -> Pairs:
    if not (X.shape[1] and Y.shape[1]):
        return _one_to_one(X, Y)  # nothing varies: no pair
    return best_coupling(cross_correlations(X, Y))


MATCHINGS: dict[str, Callable[[Values, Values], Pairs]] = {
    "one_to_one": _one_to_one,
    "forward": _forward,
    "backward": _backward,
    "soft": _soft,
}


def shuffled_units(values: Values, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return units each in an order of stimuli of its own: what matching finds where units share nothing.

    Parameters
    ----------
    values : array (n_stimuli, n_units)
    rng : numpy Generator
    """
    return np.asarray(rng.permuted(np.asarray(values, dtype=np.float64), axis=0))


def rotated_copy(values: Values, rng: np.random.Generator, *others: Values) -> list[NDArray[np.float64]]:
    """Return representations in axes turned at random: the same geometry, without any unit of before.

    What matching of units finds beyond this is about units; what it finds here is about the space they span.

    Parameters
    ----------
    values : array (n_stimuli, n_units)
    rng : numpy Generator
    others : arrays (any number, n_units)
        The same units on other stimuli, turned alike.

    Returns
    -------
    list of array
        Of the shapes given.
    """
    stacked = np.concatenate([np.asarray(part, dtype=np.float64) for part in (values, *others)])
    n, p = stacked.shape
    middle = stacked.mean(axis=0)
    scores = stacked - middle
    if p > n:  # rows span n axes: only what becomes of those is drawn
        scores = np.asarray(np.linalg.qr(scores.T, mode="r")).T
    axes, triangle = np.linalg.qr(rng.normal(size=(p, scores.shape[1])))
    turned = scores @ (axes * np.sign(np.diag(triangle))).T  # signs make the rotation uniform
    ends = np.cumsum([len(values), *(len(part) for part in others)])[:-1]
    return np.split(turned, ends)
