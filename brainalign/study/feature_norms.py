"""Feature norms of words: a CSV with a row per word, `word` and a column of numbers per norm."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError, check_unique, did_you_mean, listed
from brainalign.io import MISSING, read_text_table

LEAST_NORMS = 10  # words with norms


def read_feature_norms(path: str | Path) -> pd.DataFrame:
    """Return norms (n_words, n_norms), words in lower case as the index.

    Raises BrainalignError if there is no column `word`, a word stands twice, or a norm is no number. The file is comma-
    separated, or tab-separated where its name ends in .tsv.
    """
    path = Path(path)
    if not path.is_file():
        raise BrainalignError(f"there is no file {path} with feature norms; correct the path, or leave it out")
    table = read_text_table(path, "\t" if path.suffix == ".tsv" else ",").replace(list(MISSING), np.nan)
    if "word" not in table or len(table.columns) < 2:
        raise BrainalignError(
            f"{path} has the columns {listed(list(table))}; feature norms need `word`"
            f"{did_you_mean('word', map(str, table))} and a column of numbers per norm"
        )
    words = table.pop("word").fillna("").str.strip().str.lower()
    check_unique(path, words, "words", "keep one row of each")
    numbers: pd.DataFrame = table.apply(pd.to_numeric, errors="coerce")
    wrong = [str(name) for name in table if (numbers[name].isna() & table[name].notna()).any()]
    if wrong or np.isinf(numbers.to_numpy(dtype=float)).any():
        raise BrainalignError(f"{path}: {listed(wrong or list(table))} holds no finite numbers; correct them")
    numbers.index = pd.Index(words, name="word")
    return numbers


def norms_of_words(path: str | Path, words: Sequence[str]) -> pd.DataFrame:
    """Return the norms of some words (n_words, n_norms), NaN where a word has none; ten or more must have all."""
    norms = read_feature_norms(path)
    known = norms.dropna().index.intersection(pd.Index(words))
    if len(known) < LEAST_NORMS:
        raise BrainalignError(
            f"{path} has all norms of {len(known)} of the {len(words)} words of captions ({listed(list(words), 5)}); "
            f"{LEAST_NORMS} are needed, so that some can be held out"
        )
    return norms.reindex(list(words))
