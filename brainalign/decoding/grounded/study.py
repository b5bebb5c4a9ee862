"""Words grounded in the images of a study, beside words grounded in shuffled ones and a linear map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.decoding.grounded.grounded_inputs import same_words
from brainalign.decoding.grounded.model import GroundedLanguage
from brainalign.decoding.grounded.regions import caption_vectors
from brainalign.decoding.grounded.scenes import scene_retrieval
from brainalign.regression import Ridge
from brainalign.statistics import held_out_prediction

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
