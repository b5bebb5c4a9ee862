"""Odd-one-out judgements: which of three objects does not belong, how often that is predicted, and how often it can be.

A triplet is a row of three different objects, the odd one last: people found the first two most similar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice, check_finite

__all__ = [
    "CHANCE",
    "TripletCeilings",
    "TripletSplit",
    "check_triplets",
    "choice_probabilities",
    "object_similarities",
    "odd_column_shares",
    "odd_one_out_accuracy",
    "repeated_ceilings",
    "shuffled_triplets",
    "split_objects",
    "split_triplets",
    "triplet_ceilings",
    "triplet_keys",
]

Values = NDArray[np.floating[Any]]
Triplets = NDArray[np.integer[Any]]

CHANCE = 1 / 3
PAIRS = ((1, 2), (0, 2), (0, 1))  # of a triplet: what remains without its first, second, last object
TIED = 1e-12  # of the largest similarity: what rounding may differ by
SMOOTHING = 3.0  # judgements of a pair that are worth as much as knowing nothing of it
SPECTRAL_DIMENSIONS = 20


def check_triplets(triplets: Triplets, n_objects: int, all_shown: bool = False) -> NDArray[np.int64]:
    """Return triplets as whole numbers, after looking for what cannot be one.

    Parameters
    ----------
    triplets : array (n_triplets, 3)
    n_objects : int
    all_shown : bool
        Whether every object must be in some triplet.

    Raises
    ------
    BrainalignError
        If there are no triplets, they are no triples of different objects from 0 to `n_objects` - 1, or an object that
        must be shown is not.
    """
    rows = np.asarray(triplets)
    if rows.ndim != 2 or rows.shape[1] != 3 or not len(rows) or rows.dtype.kind not in "iu":
        raise BrainalignError(
            f"triplets must be whole numbers of shape (n_triplets, 3), at least one; got {rows.dtype} {rows.shape}"
        )
    rows = rows.astype(np.int64)
    low, high = int(rows.min()), int(rows.max())
    if low < 0 or high >= n_objects:
        raise BrainalignError(
            f"triplets name objects {low} to {high}, but the {n_objects} objects are numbered from 0 to "
            f"{n_objects - 1}; subtract the number of the first object"
        )
    a, b, c = rows.T
    twice = np.flatnonzero((a == b) | (a == c) | (b == c))
    if len(twice):
        raise BrainalignError(
            f"{len(twice)} triplets hold the same object twice (first: row {twice[0]}, {rows[twice[0]].tolist()}); "
            "a triplet has three different objects"
        )
    if all_shown:
        missing = np.setdiff1d(np.arange(n_objects), rows)
        if len(missing):
            raise BrainalignError(
                f"{len(missing)} of {n_objects} objects are in no triplet (first: {missing[0]}); nothing is known of "
                "them, so leave them out"
            )
    return rows


def triplet_keys(triplets: Triplets) -> NDArray[np.int64]:
    """Return a number per triplet that is the same for the same three objects in any order.

    Parameters
    ----------
    triplets : array (n_triplets, 3)
    """
    a, b, c = np.sort(np.asarray(triplets, dtype=np.int64), axis=1).T
    n = int(c.max(initial=0)) + 1
    return np.asarray((a * n + b) * n + c)


# ------------------------------------------------------------------------------------------------------ predictions


def object_similarities(embedding: Values, kind: Literal["dot", "cosine"] = "dot") -> NDArray[np.float64]:
    """Return similarities of all pairs of objects.

    Parameters
    ----------
    embedding : array (n_objects, n_dimensions)
    kind : {"dot", "cosine"}
        Dot products, or those of vectors of unit length; an object without length is similar to none.

    Returns
    -------
    array (n_objects, n_objects)
    """
    check_choice("kind", kind, ("dot", "cosine"))
    rows = np.asarray(embedding, dtype=np.float64)
    if kind == "cosine":
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.where(length > 0, rows / np.where(length > 0, length, 1), 0)
    return np.asarray(rows @ rows.T)


def _of_pairs(similarities: Values, triplets: Triplets) -> NDArray[np.float64]:
    """Return the similarity of the pair that remains without each object, (n_triplets, 3)."""
    values = np.asarray(similarities, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise BrainalignError(
            f"similarities must have a row and a column per object; got shape {values.shape}; an embedding goes "
            "through object_similarities first"
        )
    rows = check_triplets(triplets, len(values))
    check_finite("similarities", values, "leave out the objects that have none")
    return np.stack([values[rows[:, i], rows[:, j]] for i, j in PAIRS], axis=1)


def choice_probabilities(similarities: Values, triplets: Triplets) -> NDArray[np.float64]:
    """Return how probable each object of a triplet is to be the odd one: softmax over the pairs that remain.

    Parameters
    ----------
    similarities : array (n_objects, n_objects)
        See `object_similarities`.
    triplets : array (n_triplets, 3)

    Returns
    -------
    array (n_triplets, 3)
        The last column belongs to the choice that was made.
    """
    pairs = _of_pairs(similarities, triplets)
    raised = np.exp(pairs - pairs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def odd_one_out_accuracy(similarities: Values, triplets: Triplets, probabilities: Values | None = None) -> float:
    """Return how often the most similar pair of a triplet leaves the odd one.

    Pairs that are equally similar share the prediction: 1/3 where all three are, as of an object without features. A
    largest one would be found among them all the same, and it would always be the first.

    Parameters
    ----------
    similarities : array (n_objects, n_objects)
    triplets : array (n_triplets, 3)
        The odd one last.
    probabilities : array (n_triplets, 3), optional
        How probable each object is to be chosen, where that is known: the expected accuracy, without the noise of
        single choices.
    """
    pairs = _of_pairs(similarities, triplets)
    largest = pairs.max(axis=1, keepdims=True)
    tied = pairs >= largest - TIED * np.abs(pairs).max(axis=1, keepdims=True)
    share = tied / tied.sum(axis=1, keepdims=True)
    return float(share[:, 2].mean() if probabilities is None else (share * probabilities).sum(axis=1).mean())


def shuffled_triplets(triplets: Triplets, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the same triplets with an odd one drawn at random: what is left where there is nothing to learn."""
    return np.asarray(rng.permuted(np.asarray(triplets, dtype=np.int64), axis=1))


# --------------------------------------------------------------------------------------------------------- ceilings


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


# ----------------------------------------------------------------------------------------------------------- splits


@dataclass(frozen=True)
class TripletSplit:
    """Rows of a table of triplets for training and for the test.

    Attributes
    ----------
    train, test : array (n,)
    unseen : array (n_unseen,)
        Objects that are in no training triplet and in every test triplet three times; none where triplets are split.
    """

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    unseen: NDArray[np.intp]


def split_triplets(triplets: Triplets, test_share: float, rng: np.random.Generator) -> TripletSplit:
    """Split triplets such that the same three objects, judged again, never are on both sides.

    Parameters
    ----------
    triplets : array (n_triplets, 3)
    test_share : float
        Of the different triplets.
    rng : Generator

    Raises
    ------
    BrainalignError
        If one side would be empty.
    """
    _, kind = np.unique(triplet_keys(triplets), return_inverse=True)
    n = int(kind.max()) + 1
    n_test = round(test_share * n)
    if not 0 < n_test < n:
        raise BrainalignError(f"a share of {test_share} of {n} triplets leaves one side empty; choose another share")
    tested = np.zeros(n, dtype=bool)
    tested[rng.permutation(n)[:n_test]] = True
    rows = tested[kind]
    return TripletSplit(np.flatnonzero(~rows), np.flatnonzero(rows), np.zeros(0, dtype=np.intp))


def split_objects(triplets: Triplets, n_objects: int, test_share: float, rng: np.random.Generator) -> TripletSplit:
    """Split objects: training triplets hold seen objects only, test triplets unseen ones only; others are left out.

    Parameters
    ----------
    triplets : array (n_triplets, 3)
    n_objects : int
    test_share : float
        Of the objects. About its third power is the share of test triplets.
    rng : Generator

    Raises
    ------
    BrainalignError
        If one side would be empty.
    """
    rows = check_triplets(triplets, n_objects)
    unseen = np.zeros(n_objects, dtype=bool)
    unseen[rng.permutation(n_objects)[: round(test_share * n_objects)]] = True
    held = unseen[rows].sum(axis=1)
    train, test = np.flatnonzero(held == 0), np.flatnonzero(held == 3)
    if not len(train) or not len(test):
        raise BrainalignError(
            f"with {int(unseen.sum())} of {n_objects} objects unseen, {len(train)} triplets are left for training and "
            f"{len(test)} for the test; choose another share, or collect more triplets"
        )
    return TripletSplit(train, test, np.flatnonzero(unseen))


# ---------------------------------------------------------------------------------------- is the odd one really last


def odd_column_shares(
    triplets: Triplets, n_objects: int, rng: np.random.Generator, similarities: Values | None = None
) -> NDArray[np.float64]:
    """Return how well each column of a table of triplets serves as the odd one: that of the last must be largest.

    With similarities from elsewhere (a published embedding), the share of triplets in which the pair without that
    column is the most similar one. Without: similarities are estimated from half of the triplets, under the hypothesis
    that this column is the odd one, as the leading components of how often pairs remain; and scored on the other half.

    Parameters
    ----------
    triplets : array (n_triplets, 3)
    n_objects : int
    rng : Generator
    similarities : array (n_objects, n_objects), optional

    Returns
    -------
    array (3,)
    """
    rows = check_triplets(triplets, n_objects)
    orders = [(*pair, odd) for odd, pair in enumerate(PAIRS)]
    if similarities is not None:
        return np.array([odd_one_out_accuracy(similarities, rows[:, order]) for order in orders])
    split = split_triplets(rows, 0.5, rng)
    shares = []
    for order in orders:
        found = _spectral_similarities(rows[split.train][:, order], n_objects)
        shares.append(odd_one_out_accuracy(found, rows[split.test][:, order]))
    return np.array(shares)


def _spectral_similarities(triplets: Triplets, n: int) -> NDArray[np.float64]:
    remaining, shown = np.zeros(n * n), np.zeros(n * n)
    for k, (i, j) in enumerate(PAIRS):
        places = triplets[:, i] * n + triplets[:, j]
        counts = np.bincount(places, minlength=n * n)
        shown += counts
        remaining += counts if k == 2 else 0
    square = [(counts.reshape(n, n) + counts.reshape(n, n).T) for counts in (remaining, shown)]
    excess = (square[0] - CHANCE * square[1]) / (square[1] + SMOOTHING)
    values, vectors = np.linalg.eigh(excess)
    kept = np.argsort(np.abs(values))[-min(SPECTRAL_DIMENSIONS, max(n // 4, 1)) :]
    return np.asarray((vectors[:, kept] * values[kept]) @ vectors[:, kept].T)
