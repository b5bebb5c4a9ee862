"""How well odd-one-out choices can be predicted at all: two ceilings that answer different questions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.geometry.odd_one_out.triplets import Triplets, check_triplets, triplet_keys


@dataclass(frozen=True)
class TripletCeilings:
    """How well choices can be predicted. The two answer different questions and are never compared.

    Attributes
    ----------
    accuracy : float
        E[max p]: of whoever always names the most frequent choice. The ceiling of `odd_one_out_accuracy`. Of repeated
        judgements the mean of the two bounds.
    agreement : float
        E[sum p²]: how often two people agree. The ceiling of a model that draws its choices as people do.
    accuracy_low, accuracy_high : float
        Bounds of the first: each choice against the most frequent one of the others, and of all including itself.
    n_triplets : int
        Different triplets.
    """

    accuracy: float
    agreement: float
    accuracy_low: float
    accuracy_high: float
    n_triplets: int


def triplet_ceilings(probabilities: Values) -> TripletCeilings:
    """Return both ceilings of choices whose probabilities are known.

    Parameters
    ----------
    probabilities : array (n_triplets, 3)
    """
    p = np.asarray(probabilities, dtype=np.float64)
    best = float(p.max(axis=1).mean())
    return TripletCeilings(best, float((p**2).sum(axis=1).mean()), best, best, len(p))


def repeated_ceilings(triplets: Triplets, n_objects: int) -> TripletCeilings:
    """Estimate both ceilings from triplets that were judged more than once.

    Agreement is the share of equal choices among pairs of judgements, which is unbiased. The most frequent choice of
    few judgements is not: with all judgements in it it is too high, without the judgement that it is to predict too
    low, so that the ceiling of accuracy lies between.

    Parameters
    ----------
    triplets : array (n_judgements, 3)
        The odd one last; the first two in any order.
    n_objects : int

    Raises
    ------
    BrainalignError
        If no triplet was judged twice.
    """
    rows = check_triplets(triplets, n_objects)
    ordered = np.sort(rows, axis=1)
    kinds, inverse = np.unique(triplet_keys(rows), return_inverse=True)
    counts = np.zeros((len(kinds), 3))
    np.add.at(counts, (inverse, (ordered == rows[:, 2:]).argmax(axis=1)), 1)
    counts = counts[counts.sum(axis=1) > 1]
    if not len(counts):
        raise BrainalignError(f"none of {len(rows)} triplets was judged twice: there is no ceiling to be estimated")
    n = counts.sum(axis=1)
    agreement = float(((counts * (counts - 1)).sum(axis=1) / (n * (n - 1))).mean())
    high = float((counts.max(axis=1) / n).mean())
    hits = np.zeros(len(counts))
    for k in range(3):  # a judgement of kind k, predicted by the others
        others = counts - np.eye(3)[k]
        top = others == others.max(axis=1, keepdims=True)
        hits += counts[:, k] * top[:, k] / top.sum(axis=1)
    low = float((hits / n).mean())
    return TripletCeilings((low + high) / 2, agreement, low, high, len(counts))
