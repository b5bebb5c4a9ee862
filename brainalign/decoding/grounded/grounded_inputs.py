"""What grounded language takes: word vectors, scenes with places, and captions as numbers of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, listed

Captions = Sequence[Sequence[int] | NDArray[Any]]


def checked_words(words: Values) -> NDArray[np.float64]:
    """Return word vectors (n_words, n_text).

    Raises
    ------
    BrainalignError
        If they have another shape or are not finite.
    """
    text = np.asarray(words, dtype=np.float64)
    if text.ndim != 2:
        raise BrainalignError(f"word vectors of shape {text.shape} must be (n_words, n_text)")
    check_finite("word vectors", text, "leave those words out")
    return text


def checked_scenes(scenes: Values) -> NDArray[np.float32]:
    """Return scenes (n_scenes, n_locations, n_channels).

    Raises
    ------
    BrainalignError
        If they have another shape or are not finite.
    """
    seen = np.asarray(scenes, dtype=np.float32)
    if seen.ndim != 3:
        raise BrainalignError(
            f"scenes of shape {seen.shape} must be (n_scenes, n_locations, n_channels); take features that keep their "
            "places, for example pooling: tokens"
        )
    check_finite("scenes", seen, "extract those features again")
    return seen


def checked_captions(captions: Captions, n_words: int) -> tuple[Tensor, Tensor]:
    """Return word numbers (n_captions, most words), 0 where a caption is over, and where there is a word.

    Raises
    ------
    BrainalignError
        If a caption is empty or names a word that has no vector.
    """
    lengths = np.array([len(words) for words in captions])
    if not lengths.all():
        first = int(np.flatnonzero(lengths == 0)[0])
        raise BrainalignError(
            f"{int((lengths == 0).sum())} of {len(lengths)} captions hold no word (first: number {first}); leave them "
            "out"
        )
    flat = np.concatenate([np.asarray(each, dtype=np.int64) for each in captions])
    check_numbers(flat, n_words)
    present = np.arange(lengths.max()) < lengths[:, None]
    numbers = np.zeros(present.shape, dtype=np.int64)
    numbers[present] = flat
    return torch.from_numpy(numbers), torch.from_numpy(present)


def check_numbers(words: NDArray[Any], n_words: int) -> None:
    """Raise unless every word has a vector.

    Raises
    ------
    BrainalignError
        If a number lies outside 0 to n_words − 1.
    """
    if len(words) and (words.min() < 0 or words.max() >= n_words):
        raise BrainalignError(
            f"words are numbered {words.min()} to {words.max()}, but there are {n_words} word vectors; number them by "
            "row, from 0"
        )


def same_words(captions: Captions) -> NDArray[np.intp]:
    """Return the number (n_captions,) of the set of words that each caption holds.

    Raises
    ------
    BrainalignError
        If it is the same for all.
    """
    sets = pd.factorize(pd.Series([tuple(sorted({int(word) for word in each})) for each in captions]))[0]
    if sets.max() == 0:
        raise BrainalignError(f"all {len(captions)} captions hold the same words; nothing tells the scenes apart")
    return np.asarray(sets)


def checked_relations(relations: pd.DataFrame, n_scenes: int) -> NDArray[np.intp]:
    """Return the scene (n,) of every relation.

    Raises
    ------
    BrainalignError
        If a column is missing, there is no row, or a scene does not exist.
    """
    missing = [name for name in ("scene", "subject", "object", "relation") if name not in relations]
    if missing:
        raise BrainalignError(f"relations lack {listed(missing)}; give scene, subject, object and relation")
    where = relations["scene"].to_numpy(dtype=np.intp)
    if len(where) == 0 or where.min() < 0 or where.max() >= n_scenes:
        raise BrainalignError(f"relations name scenes that are not among the {n_scenes}; number them from 0")
    return where
