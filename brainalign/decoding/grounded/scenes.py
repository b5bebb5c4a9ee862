"""Scenes found by their captions, from how well every caption fits every scene.

A caption that other scenes share cannot tell them apart: those scenes are left out of each other's galleries, and the
gallery counts what is left.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_finite
from brainalign.decoding.scoring import way_accuracy
from brainalign.statistics import MIN_UNITS, crossed_bootstrap, pairing_test
from brainalign.statistics.pattern_identification import TIE


def scene_retrieval(
    scores: Values,
    sets: Rows,
    *,
    best: Values | None = None,
    top: tuple[int, ...] = (1, 5, 10),
    n_ways: int = 100,
    n_permutations: int = 1000,
    n_draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Retrieve every scene by its caption among scenes whose captions hold other words.

    Parameters
    ----------
    scores : array (n, n)
        Of caption i (row) with scene j; scene i is the one that caption i was written of.
    sets : array (n,) of int
        Which words a caption holds, as numbers: scenes of one set do not compete.
    best : array (n, n), optional
        Scores of another model of the same captions and scenes, which these are compared with.
    top : tuple of int
        Top-k in the whole gallery.
    n_ways : int
        Also: first among so many, the mean over all galleries; left out where the whole gallery is not larger.
    n_permutations, n_draws, seed : int

    Returns
    -------
    DataFrame
        A row per measure: measure, value, low, high, chance, null_mean, null_sd, p (sets of words exchanged among
        captions), n_gallery (the smallest), n_scenes, n_sets; difference (`best` minus these scores, NaN where it is
        not given) with its paired interval difference_low, difference_high.

    Raises
    ------
    BrainalignError
        If scores are not square or not finite, or all captions hold the same words.
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or len(sets) != len(scores):
        raise BrainalignError(f"scores {scores.shape} must be (n, n), with n sets; got {len(sets)} sets")
    check_finite("scores", scores, "ground again, with a lower learning rate")
    kinds, codes = np.unique(sets, return_inverse=True)
    if len(kinds) < 2:
        raise BrainalignError(f"all {len(sets)} captions hold the same words; nothing to retrieve")
    rivals = codes[:, None] != codes[None]
    n_gallery = 1 + rivals.sum(axis=1)
    rows = []
    for name, accuracy in _measures(n_gallery, top, n_ways):
        hits = _hits(scores, rivals, n_gallery, accuracy)
        own = np.diagonal(hits)
        apart = [np.nan] * 3
        if best is not None:
            ahead = np.diagonal(_hits(best, rivals, n_gallery, accuracy)) - own
            apart = [float(ahead.mean()), np.nan, np.nan]
            if len(kinds) >= MIN_UNITS:
                between = crossed_bootstrap(ahead, np.zeros(len(own)), codes, n_draws=n_draws, seed=seed)
                apart[1:] = [between.low, between.high]
        of_set = np.stack([hits[:, codes == k].mean(axis=1) for k in range(len(kinds))], axis=1)
        # Sets change places, with all their captions; the right pairs are those of caption and scene, not of sets.
        test = pairing_test(of_set, codes, n_permutations=n_permutations, seed=seed)
        enough = len(kinds) >= MIN_UNITS
        interval = crossed_bootstrap(own, np.zeros(len(own)), codes, n_draws=n_draws, seed=seed) if enough else None
        rows.append(
            {
                "measure": name,
                "value": test.value,
                "low": interval.low if interval else np.nan,
                "high": interval.high if interval else np.nan,
                "chance": float(np.mean([accuracy[n].mean() for n in n_gallery])),
                "null_mean": test.null_mean,
                "null_sd": test.null_sd,
                "p": test.p,
                "n_gallery": int(n_gallery.min()),
                "n_scenes": len(scores),
                "n_sets": len(kinds),
                "difference": apart[0],
                "difference_low": apart[1],
                "difference_high": apart[2],
            }
        )
    return pd.DataFrame(rows)


def _hits(
    scores: Values, rivals: NDArray[np.bool_], n_gallery: Rows, accuracy: dict[int, Values]
) -> NDArray[np.float64]:
    """Compute the accuracy of caption i if scene j were its own; rivals are then the scenes of other words than j's."""
    hits = np.zeros(scores.shape)
    for j in range(len(scores)):
        rank = 1 + (scores[:, rivals[j]] >= scores[:, [j]] - TIE).sum(axis=1)
        hits[:, j] = accuracy[int(n_gallery[j])][rank - 1]
    return hits


def _measures(n_gallery: Rows, top: tuple[int, ...], n_ways: int) -> list[tuple[str, dict[int, Values]]]:
    """Return every measure, as the score of each rank by the size of the gallery."""
    sizes, least = np.unique(n_gallery), int(n_gallery.min())
    found = [(f"top-{k}", {int(n): (np.arange(1, n + 1) <= k).astype(float) for n in sizes}) for k in top if k < least]
    if n_ways < least:
        found.append((f"{n_ways}-way", {int(n): way_accuracy(int(n), n_ways) for n in sizes}))
    return found
