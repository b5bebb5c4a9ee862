"""Splits of odd-one-out judgements, by triplets or by unseen objects; and triplets of known make-up.

Two objects of one group and one of another, all of one group, or of three groups: groups are categories, or clusters
of a network's features where nobody named any.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_folds, generator, listed
from brainalign.geometry.odd_one_out.triplets import Triplets, check_triplets, triplet_keys

LEVELS = ("fine", "boundary", "coarse")  # by how many groups a triplet is of: 1, 2, 3


@dataclass(frozen=True)
class TripletSplit:
    """Rows of a table of triplets for training and for the test.

    Objects in `unseen` are in no training triplet, and test triplets hold no other; none where triplets are split.
    """

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    unseen: NDArray[np.intp]


def split_triplets(triplets: Triplets, test_share: float, rng: np.random.Generator) -> TripletSplit:
    """Split triplets such that the same three objects, judged again, never are on both sides.

    The share is of the different triplets.

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
    tested[generator(rng).permutation(n)[:n_test]] = True
    rows = tested[kind]
    return TripletSplit(np.flatnonzero(~rows), np.flatnonzero(rows), np.zeros(0, dtype=np.intp))


def split_objects(triplets: Triplets, n_objects: int, test_share: float, rng: np.random.Generator) -> TripletSplit:
    """Split objects: training triplets hold seen objects only, test triplets unseen ones only; others are left out.

    The share is of the objects; about its third power is the share of test triplets.
    """
    return split_objects_in_turn(triplets, n_objects, test_share, 1, rng)[0]


def split_objects_in_turn(
    triplets: Triplets, n_objects: int, test_share: float, n_splits: int, rng: np.random.Generator
) -> list[TripletSplit]:
    """Split objects several times; no object is unseen twice, so that the test triplets of splits share none."""
    rows = check_triplets(triplets, n_objects)
    size = round(test_share * n_objects)
    if n_splits * test_share <= 1:  # shares that all objects are enough for, rounded down where need be
        size = min(size, n_objects // n_splits)
    if n_splits * size > n_objects:
        raise BrainalignError(
            f"{n_splits} splits with {size} of {n_objects} objects unseen in turn need {n_splits * size} objects; "
            "choose fewer splits or a smaller share"
        )
    order, found = generator(rng).permutation(n_objects), []
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
    """Raise if the same three objects, in any order, are trained on and tested (triplets by the name of the split)."""
    for name, test in tests.items():
        keys = triplet_keys(np.concatenate([train, test]))  # of both, since keys depend on the largest number
        check_folds([(np.arange(len(train)), np.arange(len(train), len(keys)))], len(keys), ("train", name))
        both = np.isin(keys[len(train) :], keys[: len(train)])
        if both.any():
            raise BrainalignError(
                f"{both.sum()} of {len(test)} triplets of the split {name!r} are trained on (rows "
                f"{listed(np.flatnonzero(both).tolist())}); split by triplets (split_triplets) or by objects"
            )


def cluster_objects(features: Values, n_clusters: int = 50, seed: int = 0) -> NDArray[np.int64]:
    """Return the k-means cluster of every object; features are a teacher's, so that clusters are people's.

    Raises
    ------
    BrainalignError
        If there are not more objects than clusters, or a feature is not finite.
    """
    from sklearn.cluster import KMeans

    rows = np.asarray(features, dtype=np.float64)
    check_finite("features", rows, "leave these objects out")
    if not 2 <= n_clusters < len(rows):
        raise BrainalignError(
            f"cannot make {n_clusters} clusters of {len(rows)} objects; give at least 2, and fewer than objects"
        )
    return np.asarray(KMeans(n_clusters, n_init=3, random_state=seed).fit_predict(rows), dtype=np.int64)


def triplet_levels(triplets: NDArray[np.integer[Any]], groups: NDArray[Any]) -> NDArray[np.str_]:
    """Return the level of abstraction a triplet asks about, by the category or cluster of every object.

    "fine": three objects of one group; "boundary": two of one, one of another; "coarse": of three groups.
    """
    a, b, c = np.unique(np.asarray(groups), return_inverse=True)[1][np.asarray(triplets)].T
    equal = (a == b).astype(int) + (a == c) + (b == c)  # 3, 1 or 0 pairs
    return np.where(equal == 3, "fine", np.where(equal == 1, "boundary", "coarse"))


def draw_triplets(
    groups: NDArray[Any], n_triplets: int, rng: np.random.Generator, level: str = "boundary"
) -> NDArray[np.int64]:
    """Draw triplets (n_triplets, 3) of one level; every group is as probable as any other.

    Parameters
    ----------
    groups : array (n_objects,)
    n_triplets : int
        Drawn with repetition.
    rng : Generator
    level : {"fine", "boundary", "coarse"}
        See `triplet_levels`. Of "boundary", the object of another group comes last: the 2-within, 1-across triplets
        that a student learns from.

    Raises
    ------
    BrainalignError
        If no group has enough objects, or there are not enough groups.

    References
    ----------
    Muttenthaler L, Greff K, Born F, Spitzer B, Kornblith S, Mozer MC, Müller KR, Unterthiner T, Lampinen AK (2025).
    Aligning machine and human visual representations across abstraction levels. Nature 647:349-355.
    doi:10.1038/s41586-025-09631-6
    """
    check_choice("level", level, LEVELS)
    (names, group), rng = np.unique(np.asarray(groups), return_inverse=True), generator(rng)
    counts, order = np.bincount(group), np.argsort(group, kind="stable")
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    within = {"fine": 3, "boundary": 2, "coarse": 1}[level]
    large = np.flatnonzero(counts >= within)
    if not len(large) or len(names) < LEVELS.index(level) + 1:
        raise BrainalignError(
            f"a {level} triplet takes {within} objects of a group and {LEVELS.index(level) + 1} groups; got "
            f"{len(names)} groups, the largest of {counts.max()} objects: take fewer clusters, or more objects"
        )

    def members(of: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.asarray(order[first[of] + (rng.random(len(of)) * counts[of]).astype(np.intp)])

    mine = large[rng.integers(len(large), size=n_triplets)]
    objects, groups_drawn = [members(mine)], [mine]
    for _ in range(within - 1):
        objects.append(_unlike(objects, lambda rows: members(mine[rows])))
    for _ in range(3 - within):
        groups_drawn.append(_unlike(groups_drawn, lambda rows: rng.integers(len(names), size=len(rows))))
        objects.append(members(groups_drawn[-1]))
    return np.stack(objects, axis=1).astype(np.int64)


def _unlike(drawn: list[NDArray[np.intp]], draw: Callable[[NDArray[np.intp]], NDArray[np.intp]]) -> NDArray[np.intp]:
    """Draw one more per row, again wherever it was drawn before."""
    more = draw(np.arange(len(drawn[0])))
    while len(again := np.flatnonzero(np.any([more == some for some in drawn], axis=0))):
        more[again] = draw(again)
    return more
