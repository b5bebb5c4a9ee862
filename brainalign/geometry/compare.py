"""Comparisons of RDMs with RDMs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from brainalign.checks import BrainalignError, check_choice, check_finite

__all__ = ["COMPARISONS", "compare", "unit_rdms"]

Values = NDArray[np.floating[Any]]


def compare(rdms_a: Values, rdms_b: Values, method: str) -> Values:
    """Compare every RDM of one stack with every RDM of another.

    Parameters
    ----------
    rdms_a : array (n_a, n_pairs) or (n_pairs,)
    rdms_b : array (n_b, n_pairs) or (n_pairs,)
    method : {"spearman", "cosine"}
        Cosine keeps the zero of crossnobis distances; under no relation it is still positive, because distances are:
        judge it against permutations.

    Returns
    -------
    array (n_a, n_b)
        NaN where an RDM is constant (spearman) or zero (cosine).

    Raises
    ------
    BrainalignError
        If the RDMs have different numbers of pairs, or hold NaN.
    """
    a, b = np.atleast_2d(rdms_a), np.atleast_2d(rdms_b)
    if a.shape[1] != b.shape[1]:
        raise BrainalignError(
            f"RDMs of {a.shape[1]} and {b.shape[1]} pairs cannot be compared; use the same conditions for both"
        )
    return np.asarray(unit_rdms(a, method) @ unit_rdms(b, method).T)


def unit_rdms(rdms: Values, method: str) -> Values:
    """Return RDMs transformed so that their inner products are the comparison; a row that cannot be is NaN."""
    check_choice("method", method, COMPARISONS)
    check_finite("RDMs", rdms, "find the constant pattern behind them and drop its condition")
    transformed = COMPARISONS[method](np.asarray(rdms, dtype=np.float64))
    norm = np.linalg.norm(transformed, axis=1, keepdims=True)
    return np.asarray(transformed / np.where(norm > 0, norm, np.nan))


def _ranks(rdms: Values) -> Values:
    # Distances equal but for rounding are ties: one-hot features have one distance, not 28.
    scale = np.abs(rdms).max(axis=1, keepdims=True)
    ranks = rankdata(np.round(rdms / np.where(scale > 0, scale, 1), 12), axis=1)
    return np.asarray(ranks - ranks.mean(axis=1, keepdims=True))


def _identity(rdms: Values) -> Values:
    return rdms


COMPARISONS = {"spearman": _ranks, "cosine": _identity}
