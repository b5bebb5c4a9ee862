"""The best coupling of two sets of units in which every unit has the same weight: exact, at any two sizes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import coo_array

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite

Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]

REPLICATED = 4  # copies of units are assigned where they are at most so many times the larger set: the faster way
FIRST = 12  # best partners of every unit that the first linear programme knows
OPTIMAL = 1e-9  # a reduced cost above it may still improve the coupling
MOST_ROUNDS = 100


def best_coupling(gain: Values) -> Pairs:
    """Return the coupling T >= 0 with row sums 1/p and column sums 1/q that maximises the sum of T * gain.

    Equal sizes, and sizes with a small common multiple, are an assignment problem of (copies of) units; the
    rest is a linear programme over the best partners of every unit, to which pairs are added until the dual prices
    prove that none is missing. Both are exact.

    Parameters
    ----------
    gain : array (p, q)

    Returns
    -------
    rows, columns : array (n_pairs,)
    weights : array (n_pairs,)
        Above 0, with sum 1; at most p + q - 1 pairs.

    Raises
    ------
    BrainalignError
        If a gain is not finite.

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
    known = _first_pairs(gain)
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
        known |= _best_of_each(missing, FIRST, OPTIMAL)
    raise BrainalignError(f"the coupling of {p} with {q} units did not settle in {MOST_ROUNDS} rounds")


def _first_pairs(gain: Values) -> NDArray[np.bool_]:
    """Return the best partners of every unit, and the steps from corner to corner that make a coupling possible."""
    p, q = gain.shape
    known = _best_of_each(gain, FIRST, -np.inf)
    edges = np.unique(np.concatenate([np.arange(p) * q, np.arange(q) * p]))  # in units of 1 / (p q)
    known[edges // q, edges // p] = True
    return known


def _best_of_each(gain: Values, most: int, above: float) -> NDArray[np.bool_]:
    """Select the pairs among the `most` best of their row or column, and above a level."""
    chosen = np.zeros(gain.shape, dtype=bool)
    for axis in (0, 1):
        n = min(most, gain.shape[axis])
        best = np.argpartition(gain, -n, axis=axis).take(range(-n, 0), axis=axis)
        np.put_along_axis(chosen, best, True, axis=axis)
    return chosen & (gain > above)
