"""Odd-one-out judgements: which of three objects does not belong, and how often that is predicted.

A triplet is a row of three different objects, the odd one last: people found the first two most similar.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite

Triplets = NDArray[np.integer[Any]]

CHANCE = 1 / 3
PAIRS = ((1, 2), (0, 2), (0, 1))  # of a triplet: what remains without its first, second, last object
TIED = 1e-12  # of the largest similarity: what rounding may differ by


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
    given = np.asarray(triplets)
    if given.ndim != 2 or given.shape[1] != 3 or not len(given) or given.dtype.kind not in "iu":
        raise BrainalignError(
            f"triplets must be whole numbers of shape (n_triplets, 3), at least one; got {given.dtype} {given.shape}"
        )
    rows: NDArray[np.int64] = given.astype(np.int64)
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


def pair_similarities(similarities: Values, triplets: Triplets) -> NDArray[np.float64]:
    """Return the similarity of the pair that remains without each object of a triplet.

    Parameters
    ----------
    similarities : array (n_objects, n_objects)
    triplets : array (n_triplets, 3)

    Returns
    -------
    array (n_triplets, 3)

    Raises
    ------
    BrainalignError
        If similarities are not square or not finite, or triplets name other objects.
    """
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
    """Compute the probability of each object of a triplet to be the odd one: softmax over the pairs that remain.

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
    pairs = pair_similarities(similarities, triplets)
    raised = np.exp(pairs - pairs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def odd_one_out_accuracy(similarities: Values, triplets: Triplets, probabilities: Values | None = None) -> float:
    """Compute the share of triplets whose most similar pair leaves the odd one.

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
    share = odd_one_out_shares(similarities, triplets)
    return float(share[:, 2].mean() if probabilities is None else (share * probabilities).sum(axis=1).mean())


def odd_one_out_shares(similarities: Values, triplets: Triplets) -> NDArray[np.float64]:
    """Split each prediction over the objects of a triplet: 1 or 0, shares where pairs are tied.

    Parameters
    ----------
    similarities : array (n_objects, n_objects)
    triplets : array (n_triplets, 3)

    Returns
    -------
    array (n_triplets, 3)
    """
    pairs = pair_similarities(similarities, triplets)
    largest = pairs.max(axis=1, keepdims=True)
    tied = pairs >= largest - TIED * np.abs(pairs).max(axis=1, keepdims=True)
    return np.asarray(tied / tied.sum(axis=1, keepdims=True))


def shuffled_triplets(triplets: Triplets, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the same triplets with an odd one drawn at random: what is left where there is nothing to learn."""
    return np.asarray(rng.permuted(np.asarray(triplets, dtype=np.int64), axis=1))
