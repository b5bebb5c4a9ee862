"""What is known of the words of captions, from columns of the images that they are said of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows


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
