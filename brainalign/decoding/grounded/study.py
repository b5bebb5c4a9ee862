"""Words grounded in the images of a study, beside words grounded in shuffled ones and a linear map.

Scenes are found by their captions: one that other scenes share cannot tell them apart, so those are left out of each
other's galleries. And words of captions predict regions, by the mean of their vectors in several spaces:

    x(image) = mean over the words of its caption of their vectors            response = x β, ridge regression

Every space is scaled to the same total variance over training images, so that the same penalties mean the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import statistics
from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_finite, check_rows
from brainalign.decoding.grounded.model import GroundedLanguage, same_words
from brainalign.decoding.scoring import stimulus_interval, way_accuracy
from brainalign.regression import Ridge
from brainalign.statistics.classification import TIE

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
    confidence: float = 0.95,
    seed: int = 0,
) -> GroundStudy:
    """Ground words in training images, and retrieve test images by their captions.

    Parameters
    ----------
    model, control : GroundedLanguage
        Not fitted yet; of the same options. The second is fitted to shuffled pairs, with the weight decay of the first.
    text : array (n_words, n_text)
        Vectors of a text model.
    said : array (n_images, n_words)
        Which words captions hold.
    images : array (n_images, n_locations, n_channels)
    train, test : array (n_images,) of bool
    n_permutations, confidence, seed : int, float, int

    Raises
    ------
    BrainalignError
        If an image is in both parts, or a part has fewer than two images with words.
    """
    spoken, both = said.any(axis=1), int((train & test).sum())
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
    control.weight_decay = model.weight_decay_
    control.fit(text, captions, images[elsewhere])
    asked, sets = [numbers[k] for k in held], same_words([numbers[k] for k in held])
    scores = {
        "grounded": model.scores(asked, images[held]),
        "ridge": _linear(text, said, images, mine, held),
        "shuffled": control.scores(asked, images[held]),
    }
    options: dict[str, Any] = {"n_permutations": n_permutations, "confidence": confidence, "seed": seed}
    tables = [
        scene_retrieval(each, sets, best=scores["grounded"], **options).assign(space=name)
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
    predicted = statistics.held_out_prediction(
        Ridge(ALPHAS, per_target_alpha=False), places[mine], vectors[: len(mine)], places[held], standardise=True
    )
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
    confidence: float = 0.95,
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
        Beside 2-way: first among so many, the mean over all galleries; left out where the whole one is not larger.
    n_permutations, n_draws, confidence, seed : int, int, float, int

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
    n_gallery, rows, member = 1 + rivals.sum(axis=1), [], (codes[:, None] == np.arange(len(kinds))).astype(float)
    drawn = np.zeros(len(scores)), codes, n_draws, seed, confidence
    for name, accuracy in _measures(n_gallery, n_ways):
        hits = _hits(scores, rivals, n_gallery, accuracy)
        own, apart = np.diagonal(hits), [np.nan] * 3
        if best is not None:
            ahead = np.diagonal(_hits(best, rivals, n_gallery, accuracy)) - own
            apart = [float(ahead.mean()), *stimulus_interval(ahead, *drawn)]
        # All scenes of a set get the words of another set; they keep their galleries, and count as often.
        of_set = (member / member.sum(axis=0)).T @ hits @ member * len(kinds) / len(scores)
        test = statistics.pairing_test(of_set, np.arange(len(kinds)), n_permutations=n_permutations, seed=seed)
        low, high = stimulus_interval(own, *drawn)
        row: dict[str, Any] = {"measure": name, "value": test.value, "low": low, "high": high}
        row |= {"chance": float(np.mean([accuracy[n].mean() for n in n_gallery])), **test.against_null()}
        row |= {"n_gallery": int(n_gallery.min()), "n_scenes": len(scores), "n_sets": len(kinds)}
        rows.append(row | dict(zip(("difference", "difference_low", "difference_high"), apart, strict=True)))
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
    ways = (2, n_ways) if 2 < n_ways < least else (2,)  # of weak signals 2-way tells most
    return found + [(f"{k}-way", {int(n): way_accuracy(int(n), k) for n in sizes}) for k in ways]


def caption_vectors(said: NDArray[Any], vectors: Values) -> NDArray[np.float64]:
    """Return the mean vector of the words of every caption (n_images, n_dimensions).

    Parameters
    ----------
    said : array (n_images, n_words)
        Whether, or how often, a caption holds a word.
    vectors : array (n_words, n_dimensions)
    """
    check_rows("words", said.shape[1], "vectors", len(vectors), "give one vector per word")
    total = np.asarray(said, dtype=np.float64).sum(axis=1, keepdims=True)
    if not total.all():
        raise BrainalignError(f"{int((total == 0).sum())} captions hold none of the words; leave those images out")
    return np.asarray(said / total @ np.asarray(vectors, dtype=np.float64))


def word_regions(
    spaces: Mapping[str, tuple[Values, Values]],
    train: Values,
    test: Values,
    regions: Mapping[str, NDArray[np.intp]],
    regress: Callable[[Values, Values], statistics.Regressor],
    *,
    ceiling: Values | None = None,
    n_permutations: int = 1000,
    n_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict the responses to held-out images from every space.

    Parameters
    ----------
    spaces : mapping of (array (n_train, n_dimensions), array (n_test, n_dimensions))
        Vectors of captions; the first one is compared with each of the others.
    train, test : array (n_train, n_targets), array (n_test, n_targets)
        Mean responses to images.
    regions : mapping of arrays of target numbers
    regress : callable
        Fits targets on vectors, penalties chosen inside the training images.
    ceiling : array (n_targets,), optional
        Share of variance that can be explained.
    n_permutations, n_draws : int
        Test images exchanged; test images drawn anew, the same ones for all spaces.
    confidence, seed : float, int

    Returns
    -------
    DataFrame
        A row per space and region: encoder (the space), group (the region), r (mean over targets), low, high,
        difference (of the first space minus this one) with difference_low and difference_high, null_low and null_high
        (the middle 95 % of exchanges), p, q (false discovery rate over the regions of a space), ceiling_r, n_targets.
    """
    names, rows = list(regions), list(regions.values())
    limit = np.full(len(names), np.nan)
    if ceiling is not None and np.isfinite(ceiling).any():
        limit = statistics.group_means(np.sqrt(np.maximum(ceiling, 0)), rows)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    # As in `family_contest`: percentiles as they are call 8 % of equal spaces apart, and cover r of 10 images in 90 %.
    widening = statistics.interval_widening(len(train), len(test), confidence)
    first: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    tables = []
    for name, (mine, held) in spaces.items():
        check_rows(f"{name}, training", len(mine), "responses", len(train), "give one row per training image")
        check_rows(f"{name}, test", len(held), "responses", len(test), "give one row per test image")
        centre = mine.mean(axis=0)
        scale = np.sqrt(np.square(mine - centre).sum(axis=1).mean())
        if scale == 0:
            raise BrainalignError(f"all training captions have the same vector in the space {name}; leave it out")
        predicted = np.asarray(regress((mine - centre) / scale, train).predict((held - centre) / scale))
        r = statistics.group_means(statistics.pearson(predicted, test), rows)
        draws = statistics.bootstrap_correlations(predicted, test, rows, n_draws=n_draws, seed=seed)
        null = statistics.permuted_correlations(predicted, test, n_permutations, [seed, 0x3D5], groups=rows).group_r
        first = first or (r, draws)
        apart = first[0] - r
        low, high = np.clip(r + widening * (np.quantile(draws, tails, axis=0) - r), -1, 1)
        apart_low, apart_high = apart + widening * (np.quantile(first[1] - draws, tails, axis=0) - apart)
        null_low, null_high = np.quantile(null, [0.025, 0.975], axis=0)
        p = np.where(np.isfinite(r), (1 + (null >= r - 1e-9).sum(axis=0)) / (1 + n_permutations), np.nan)
        found = {"encoder": name, "group": names, "r": r, "low": low, "high": high}
        found |= {"difference": apart, "difference_low": apart_low, "difference_high": apart_high}
        found |= {"null_low": null_low, "null_high": null_high, "p": p, "q": statistics.fdr(p)}
        tables.append(pd.DataFrame(found | {"ceiling_r": limit, "n_targets": [len(each) for each in rows]}))
    return pd.concat(tables, ignore_index=True)
