"""The words of captions that can be grounded: content words that several training images share and not all do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows
from brainalign.decoding.text_measures import FUNCTION_WORDS, words

__all__ = ["caption_words", "word_attributes"]


def caption_words(
    texts: Sequence[Sequence[str]], train: NDArray[np.bool_], min_images: int = 3
) -> tuple[list[str], NDArray[np.bool_]]:
    """Return the words, in order of the alphabet, and which captions hold which (n_images, n_words).

    Parameters
    ----------
    texts : sequence (n_images) of sequences of str
        The captions of every image, as many as it has.
    train : array (n_images,) of bool
        Words are chosen by these images alone.
    min_images : int
        Training images that hold a word; a word that all of them hold says nothing and is left out too.

    Raises
    ------
    BrainalignError
        If rows do not fit, or fewer than three words are left.

    Examples
    --------
    >>> texts = [["a red cat"], ["a red dog"], ["the cat sits"], ["blue dog"]]
    >>> found, said = caption_words(texts, np.ones(4, dtype=bool), min_images=2)
    >>> found, said[0].tolist()
    (['cat', 'dog', 'red'], [True, False, True])
    """
    check_rows("texts", len(texts), "train", len(train), "give the captions of every image")
    sets = [{word for text in of for word in words(text)} - FUNCTION_WORDS for of in texts]
    counts = pd.Series([word for of, mine in zip(sets, train, strict=True) if mine for word in of]).value_counts()
    most = int(np.sum(train))
    found = sorted(str(word) for word, n in counts.items() if min_images <= n < most)
    if len(found) < 3:
        raise BrainalignError(
            f"{len(found)} content words stand in the captions of {min_images} or more of {most} training images, but "
            "not of all; grounding needs three, and captions that differ"
        )
    return found, np.array([[word in of for word in found] for of in sets])


def word_attributes(said: NDArray[np.bool_], columns: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of every column over the images that a word is said of (n_words, n_columns).

    Parameters
    ----------
    said : array (n_images, n_words)
        Of training images.
    columns : DataFrame (n_images, n_columns)
        Numbers.

    Raises
    ------
    BrainalignError
        If a column holds what is no number.
    """
    check_rows("columns", len(columns), "said", len(said), "give one row per image")
    numbers = columns.apply(pd.to_numeric, errors="coerce")
    wrong: list[Any] = [name for name in columns if numbers[name].isna().any()]
    if wrong:
        raise BrainalignError(f"column {wrong[0]!r} of the images holds what is no number; leave it out of attributes")
    values = numbers.to_numpy(dtype=np.float64)
    return pd.DataFrame((said.T @ values) / said.sum(axis=0)[:, None], columns=list(map(str, columns)))
