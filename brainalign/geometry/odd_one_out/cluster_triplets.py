"""Triplets of known make-up: two objects of one group and one of another, all of one group, or of three groups.

Groups are categories, or clusters of a network's features where nobody named any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite

LEVELS = ("fine", "boundary", "coarse")  # by how many groups a triplet is of: 1, 2, 3


def cluster_objects(features: Values, n_clusters: int = 500, seed: int = 0) -> NDArray[np.int64]:
    """Return the k-means cluster of every object.

    Parameters
    ----------
    features : array (n_objects, n_features)
        Of a teacher, so that clusters are people's.
    n_clusters : int
    seed : int

    Returns
    -------
    array (n_objects,)

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
    """Return the level of abstraction a triplet asks about.

    Parameters
    ----------
    triplets : array (n_triplets, 3)
    groups : array (n_objects,)
        Category or cluster of every object.

    Returns
    -------
    array (n_triplets,)
        "fine": three objects of one group; "boundary": two of one, one of another; "coarse": of three groups.
    """
    a, b, c = np.unique(np.asarray(groups), return_inverse=True)[1][np.asarray(triplets)].T
    equal = (a == b).astype(int) + (a == c) + (b == c)  # 3, 1 or 0 pairs
    return np.where(equal == 3, "fine", np.where(equal == 1, "boundary", "coarse"))


def draw_triplets(
    groups: NDArray[Any], n_triplets: int, rng: np.random.Generator, level: str = "boundary"
) -> NDArray[np.int64]:
    """Draw triplets of one level; every group is as probable as any other.

    Parameters
    ----------
    groups : array (n_objects,)
    n_triplets : int
        Drawn with repetition.
    rng : Generator
    level : {"fine", "boundary", "coarse"}
        See `triplet_levels`. Of "boundary", the object of another group comes last: the 2-within, 1-across triplets
        that a student learns from.

    Returns
    -------
    array (n_triplets, 3)

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
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.bincount(group)
    order = np.argsort(group, kind="stable")
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
