"""Words grounded in the images of a study, beside words grounded in shuffled ones and a linear map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_finite
from brainalign.decoding.grounded.model import GroundedLanguage, same_words
from brainalign.decoding.grounded.regions import caption_vectors
from brainalign.decoding.scoring import stimulus_interval, way_accuracy
from brainalign.regression import Ridge
from brainalign.statistics import held_out_prediction, pairing_test
from brainalign.statistics.pattern_identification import TIE

TOP = (1, 5, 10)  # ranks in the whole gallery that count
ALPHAS = tuple(np.logspace(-2, 6, 17))


@dataclass(frozen=True)
class GroundStudy:
    """What grounding found.

    Attributes
    ----------
    model : GroundedLanguage
    spaces : dict of arrays (n_words, n_dimensions)
        Vectors of words: "grounded", "text", and "shuffled" (grounded in images of other captions).
    retrieval : DataFrame
        Of held-out images by their captions: `scene_retrieval` of every space ("ridge": text vectors predicted from the
        mean place of an image), with a column `space`.
    """

    model: GroundedLanguage
    spaces: dict[str, NDArray[np.float64]]
    retrieval: pd.DataFrame


def ground_study(
    model: GroundedLanguage,
    control: GroundedLanguage,
    text: Values,
    said: NDArray[np.bool_],
    images: Values,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    *,
    n_permutations: int = 1000,
    seed: int = 0,
) -> GroundStudy:
    """Ground words in training images, and retrieve test images by their captions.

    Parameters
    ----------
    model, control : GroundedLanguage
        Not fitted yet; of the same options. The second is fitted to shuffled pairs.
    text : array (n_words, n_text)
        Vectors of a text model.
    said : array (n_images, n_words)
        Which words captions hold.
    images : array (n_images, n_locations, n_channels)
    train, test : array (n_images,) of bool
    n_permutations, seed : int

    Raises
    ------
    BrainalignError
        If an image is in both parts, or a part has fewer than two images with words.
    """
    spoken = said.any(axis=1)
    both = int((train & test).sum())
    if both:
        raise BrainalignError(f"{both} images are in training and test; an image belongs to one of them")
    mine, held = np.flatnonzero(train & spoken), np.flatnonzero(test & spoken)
    if min(len(mine), len(held)) < 2:
        raise BrainalignError(
            f"{len(mine)} training and {len(held)} test images have captions with known words; both need two or more"
        )
    numbers = [np.flatnonzero(row) for row in said]
    captions = [numbers[k] for k in mine]
    model.fit(text, captions, images[mine])
    elsewhere = np.random.default_rng([seed, 0x5BF]).permutation(mine)
    control.fit(text, captions, images[elsewhere])
    asked, sets = [numbers[k] for k in held], same_words([numbers[k] for k in held])
    scores = {
        "grounded": model.scores(asked, images[held]),
        "ridge": _linear(text, said, images, mine, held),
        "shuffled": control.scores(asked, images[held]),
    }
    tables = [
        scene_retrieval(each, sets, best=scores["grounded"], n_permutations=n_permutations, seed=seed).assign(
            space=name
        )
        for name, each in scores.items()
    ]
    spaces = {"grounded": model.embed(), "text": np.asarray(text, dtype=np.float64), "shuffled": control.embed()}
    return GroundStudy(model, spaces, pd.concat(tables, ignore_index=True))


def _linear(
    text: Values, said: NDArray[np.bool_], images: Values, mine: NDArray[np.intp], held: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return cosines of captions with what ridge regression makes of the mean places of images."""
    places = np.asarray(images, dtype=np.float64).mean(axis=1)
    vectors = caption_vectors(said[np.concatenate([mine, held])], text)
    vectors -= vectors[: len(mine)].mean(axis=0)
    ridge = Ridge(ALPHAS, per_target_alpha=False)
    predicted = held_out_prediction(ridge, places[mine], vectors[: len(mine)], places[held], standardise=True)
    asked, found = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (vectors[len(mine) :], predicted))
    return np.asarray(asked @ found.T)


def scene_retrieval(
    scores: Values,
    sets: Rows,
    *,
    best: Values | None = None,
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
    for name, accuracy in _measures(n_gallery, n_ways):
        hits = _hits(scores, rivals, n_gallery, accuracy)
        own = np.diagonal(hits)
        apart = [np.nan] * 3
        if best is not None:
            ahead = np.diagonal(_hits(best, rivals, n_gallery, accuracy)) - own
            apart = [float(ahead.mean()), *stimulus_interval(ahead, np.zeros(len(own)), codes, n_draws, seed)]
        of_set = np.stack([hits[:, codes == k].mean(axis=1) for k in range(len(kinds))], axis=1)
        # Sets change places, with all their captions; the right pairs are those of caption and scene, not of sets.
        test = pairing_test(of_set, codes, n_permutations=n_permutations, seed=seed)
        low, high = stimulus_interval(own, np.zeros(len(own)), codes, n_draws, seed)
        rows.append(
            {
                "measure": name,
                "value": test.value,
                "low": low,
                "high": high,
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


def _measures(n_gallery: Rows, n_ways: int) -> list[tuple[str, dict[int, Values]]]:
    """Return every measure, as the score of each rank by the size of the gallery."""
    sizes, least = np.unique(n_gallery), int(n_gallery.min())
    found = [(f"top-{k}", {int(n): (np.arange(1, n + 1) <= k).astype(float) for n in sizes}) for k in TOP if k < least]
    if n_ways < least:
        found.append((f"{n_ways}-way", {int(n): way_accuracy(int(n), n_ways) for n in sizes}))
    return found
