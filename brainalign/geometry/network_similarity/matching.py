"""Which units of two networks do the same: one to one, each its best, softly, or in groups; scored on other stimuli."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import coo_array

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows, generator, numbers
from brainalign.geometry.network_similarity.unit_pairing import (
    correlation_blocks,
    cross_correlations,
    pair_correlations,
    unit_norm,
)

Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]

REPLICATED = 4  # copies of units are assigned where they are at most so many times the larger set: the faster way
FIRST = 12  # best partners of every unit that the first linear programme knows, and each further one learns
OPTIMAL = 1e-9  # a reduced cost above it may still improve the coupling
MOST_ROUNDS = 100


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
    """

    units_x: NDArray[np.intp]
    units_y: NDArray[np.intp]
    weights: NDArray[np.float64]
    r: NDArray[np.float64]
    score: float


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
    X, Y = numbers("X", X), numbers("Y", Y)
    check_rows("X", len(X), "Y", len(Y), "both must represent the same stimuli, in the same order")
    left, right = (_varying(Z) for Z in (X, Y))
    rows, columns, weights = MATCHINGS[method](X[:, left], Y[:, right])
    rows, columns = left[rows], right[columns]
    judged = (X, Y) if held_out is None else held_out
    for name, fit, other in zip("XY", (X, Y), judged, strict=True):
        check_rows(f"held-out {name}.T", other.shape[1], f"{name}.T", fit.shape[1], "give the same units")
    r = pair_correlations(*judged, rows, columns)
    seen = np.isfinite(r)
    score = float(weights[seen] @ r[seen] / weights[seen].sum()) if seen.any() else float("nan")
    return UnitMatch(rows, columns, weights, r, score)


def _varying(values: Values) -> NDArray[np.intp]:
    """Return the units that are not constant, a block at a time."""
    blocks = range(0, values.shape[1], 1024)
    return np.flatnonzero(np.concatenate([(unit_norm(values[:, k : k + 1024]) != 0).any(axis=0) for k in blocks]))


def _one_to_one(X: Values, Y: Values) -> Pairs:
    rows, columns = linear_sum_assignment(cross_correlations(X, Y), maximize=True)
    return rows, columns, np.full(len(rows), 1 / max(len(rows), 1))


def _forward(X: Values, Y: Values) -> Pairs:
    if not Y.shape[1]:
        return _one_to_one(X, Y)  # nothing varies: no pair
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
    """Return units each in an order of stimuli of its own: what matching finds where units share nothing."""
    return np.asarray(generator(rng).permuted(np.asarray(values, dtype=np.float64), axis=0))


def rotated_copy(values: Values, rng: np.random.Generator, *others: Values) -> list[NDArray[np.float64]]:
    """Return representations, shaped as given, in axes turned at random: the same geometry, without any unit of before.

    What matching of units finds beyond this is about units; what it finds here is about the space they span.

    Parameters
    ----------
    values : array (n_stimuli, n_units)
    rng : numpy Generator
    others : arrays (any number, n_units)
        The same units on other stimuli, turned alike.
    """
    stacked = np.concatenate([np.asarray(part, dtype=np.float64) for part in (values, *others)])
    n, p = stacked.shape
    scores = stacked - stacked.mean(axis=0)
    if p > n:  # rows span n axes: only what becomes of those is drawn
        scores = np.asarray(np.linalg.qr(scores.T, mode="r")).T
    axes, triangle = np.linalg.qr(generator(rng).normal(size=(p, scores.shape[1])))
    turned = scores @ (axes * np.sign(np.diag(triangle))).T  # signs make the rotation uniform
    return np.split(turned, np.cumsum([len(values), *(len(part) for part in others)])[:-1])


def best_coupling(gain: Values) -> Pairs:
    """Return the coupling T >= 0 with row sums 1/p and column sums 1/q that maximises the sum of T * gain (p, q).

    Equal sizes, and sizes with a small common multiple, are an assignment problem of (copies of) units; the
    rest is a linear programme over the best partners of every unit, to which pairs are added until the dual prices
    prove that none is missing. Both are exact. Rows, columns and weights (above 0, with sum 1) are those of the pairs
    that carry any: p + q - 1 at most.

    References
    ----------
    Khosla M, Williams AH (2024). Soft matching distance: a metric on neural representations that captures single-neuron
    tuning. Proceedings of UniReps. arXiv:2311.09466
    """
    gain = np.asarray(gain, dtype=np.float64)
    check_finite("gain", gain, "leave out the units that hold them")
    p, q = gain.shape
    size = math.lcm(p, q)
    if size <= REPLICATED * max(p, q):
        rows, columns = linear_sum_assignment(
            np.repeat(np.repeat(gain, size // p, axis=0), size // q, axis=1), maximize=True
        )
        pairs, counts = np.unique(rows // (size // p) * q + columns // (size // q), return_counts=True)
        return pairs // q, pairs % q, counts / size
    return _by_columns(gain)


def _by_columns(gain: Values) -> Pairs:
    """Solve the transport problem over a growing list of pairs: most never carry any weight."""
    p, q = gain.shape
    whole = math.lcm(p, q)
    supply = np.concatenate([np.full(p, whole // p), np.full(q, whole // q)]).astype(np.float64)  # whole numbers
    known = _best_of_each(gain, -np.inf)
    # And the steps from corner to corner that make a coupling possible, in units of 1 / (p q).
    edges = np.unique(np.concatenate([np.arange(p) * q, np.arange(q) * p]))
    known[edges // q, edges // p] = True
    for _ in range(MOST_ROUNDS):
        rows, columns = np.nonzero(known)
        n = len(rows)
        ends = coo_array(
            (np.ones(2 * n), (np.concatenate([rows, p + columns]), np.tile(np.arange(n), 2))), shape=(p + q, n)
        )
        found = linprog(-gain[rows, columns], A_eq=ends.tocsr(), b_eq=supply, bounds=(0, None), method="highs")
        if not found.success:
            raise BrainalignError(f"no coupling of {p} with {q} units was found: {found.message}")
        prices = found.eqlin.marginals
        missing = gain + prices[:p, None] + prices[None, p:]  # above 0: the pair would improve the coupling
        missing[known] = -np.inf
        if missing.max() <= OPTIMAL:
            carried = np.round(found.x).astype(np.int64)  # vertices of a transport problem are whole numbers
            kept = carried > 0
            return rows[kept], columns[kept], carried[kept] / whole
        known |= _best_of_each(missing, OPTIMAL)
    raise BrainalignError(f"the coupling of {p} with {q} units did not settle in {MOST_ROUNDS} rounds")


def _best_of_each(gain: Values, above: float) -> NDArray[np.bool_]:
    """Select the pairs among the `FIRST` best of their row or column, and above a level."""
    chosen = np.zeros(gain.shape, dtype=bool)
    for axis in (0, 1):
        n = min(FIRST, gain.shape[axis])
        np.put_along_axis(chosen, np.argpartition(gain, -n, axis=axis).take(range(-n, 0), axis=axis), True, axis=axis)
    return chosen & (gain > above)
