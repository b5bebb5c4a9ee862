"""Splits of odd-one-out judgements: by triplets, and by objects of which training has seen nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_folds, listed
from brainalign.geometry.odd_one_out.triplets import Triplets, check_triplets, triplet_keys


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
    return split_objects_in_turn(triplets, n_objects, test_share, 1, rng)[0]


def split_objects_in_turn(
    triplets: Triplets, n_objects: int, test_share: float, n_splits: int, rng: np.random.Generator
) -> list[TripletSplit]:
    """Split objects several times; no object is unseen twice, so that the test triplets of splits share none.

    Parameters
    ----------
    triplets, n_objects, test_share, rng
        As for `split_objects`.
    n_splits : int
        At most 1 / test_share.

    Raises
    ------
    BrainalignError
        If there are not so many splits, or one side of one would be empty.
    """
    rows = check_triplets(triplets, n_objects)
    size = round(test_share * n_objects)
    if n_splits * size > n_objects:
        raise BrainalignError(
            f"{n_splits} splits with {size} of {n_objects} objects unseen in turn need {n_splits * size} objects; "
            "choose fewer splits or a smaller share"
        )
    order = rng.permutation(n_objects)
    found = []
    for k in range(n_splits):
        unseen = np.isin(np.arange(n_objects), order[k * size : (k + 1) * size])
        held = unseen[rows].sum(axis=1)
        train, test = np.flatnonzero(held == 0), np.flatnonzero(held == 3)
        if not len(train) or not len(test):
            raise BrainalignError(
                f"with {size} of {n_objects} objects unseen, {len(train)} triplets are left for training and "
                f"{len(test)} for the test; choose another share, or collect more triplets"
            )
        found.append(TripletSplit(train, test, np.flatnonzero(unseen)))
    return found


def check_triplets_apart(train: Triplets, tests: Mapping[str, Triplets]) -> None:
    """Raise if the same three objects, in any order, are trained on and tested.

    Parameters
    ----------
    train : array (n_train, 3)
    tests : mapping of array (n, 3)
        By the name of the split.

    Raises
    ------
    BrainalignError
        If a split has no triplet, or shares one with training.
    """
    for name, test in tests.items():
        keys = triplet_keys(np.concatenate([train, test]))  # of both, since keys depend on the largest number
        check_folds([(np.arange(len(train)), np.arange(len(train), len(keys)))], len(keys), ("train", name))
        both = np.isin(keys[len(train) :], keys[: len(train)])
        if both.any():
            raise BrainalignError(
                f"{both.sum()} of {len(test)} triplets of the split {name!r} are trained on (rows "
                f"{listed(np.flatnonzero(both).tolist())}); split by triplets (split_triplets) or by objects"
            )
