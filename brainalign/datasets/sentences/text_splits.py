"""Splits of sentences by their text: drawn texts, left-out blocks and left-out subjects."""

from typing import Any

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError, check_columns, listed
from brainalign.datasets.sentences.near_texts import text_groups

COLUMNS = ["trial_id", "stimulus_id", "group", "split", "fold", "seed"]


def make_text_split(
    sentences: pd.DataFrame, *, test: float = 0.1, val: float = 0.1, seed: int = 0, similarity: float = 0.95
) -> pd.DataFrame:
    """Return a row per trial, split by text: every trial of a text, and of texts all but the same, is on one side.

    Texts that occur in several tasks or releases train. Test texts are drawn within each task; those that validate are
    drawn from the remaining training texts.

    Parameters
    ----------
    sentences : DataFrame
        trial_id, stimulus_id, text, dataset, task; as in `TextRecordings`.
    test, val : float
        Shares of the texts that occur in one task; `val` may be 0.
    seed : int
    similarity : float
        Texts above it are one text; see `near_duplicate_texts`.

    Returns
    -------
    DataFrame
        trial_id, stimulus_id, group, split (train | val | test), fold (0), seed.

    Raises
    ------
    BrainalignError
        If shares are not possible, or leave no text to train, validate or test.
    """
    if not (0 < test < 1 and 0 <= val < 1 and test + val < 1):
        raise BrainalignError(f"test is {test} and val {val}; give shares above 0 that leave some texts to train")
    groups = _groups(sentences, similarity)
    place = sentences["dataset"] + " " + sentences["task"]
    n_places = place.groupby(groups).nunique()
    alone = n_places.index[n_places == 1]
    home = place.groupby(groups).first()[alone]
    rng = np.random.default_rng(seed)
    side = pd.Series("train", index=n_places.index)
    for name in sorted(set(home)):
        texts = rng.permutation(home.index[home == name].to_numpy(dtype=object))
        n_test, n_val = round(test * len(texts)), round(val * len(texts))
        side[texts[:n_test]] = "test"
        side[texts[n_test : n_test + n_val]] = "val"
    for wanted in ["train", "test", *(["val"] if val else [])]:
        if wanted not in set(side):
            raise BrainalignError(
                f"no text is left for {wanted}: {len(side)} different texts, of which {len(alone)} occur in one task "
                "only; give more sentences or other shares"
            )
    table = sentences[["trial_id", "stimulus_id"]].assign(group=groups, split=groups.map(side), fold=0, seed=seed)
    return table[COLUMNS].reset_index(drop=True)


def _groups(sentences: pd.DataFrame, similarity: float) -> "pd.Series[Any]":
    """Return the group of texts of every trial, named by the first text of it."""
    check_columns("the table of sentences", sentences, ("trial_id", "stimulus_id", "text", "dataset", "task"))
    texts = sentences.drop_duplicates("stimulus_id")
    first = texts["stimulus_id"].groupby(text_groups(texts["text"].tolist(), similarity)).transform("first")
    return sentences["stimulus_id"].map(dict(zip(texts["stimulus_id"], first, strict=True)))


def order_blocks(sentences: pd.DataFrame, size: int) -> "pd.Series[Any]":
    """Return the block of every trial: so many sentences of a task in the order in which they were read.

    All who read the sentences of a task in one order share its blocks, so that leaving out a block leaves out its texts
    in every subject. Of the sentences the columns dataset, task and row are read; `size` is sentences per block.
    """
    if size < 1:
        raise BrainalignError(f"blocks of {size} sentences; give 1 or more")
    number = (sentences["row"] // size).astype(str).str.zfill(3)
    return sentences["dataset"] + "-" + sentences["task"] + "-block" + number


def leave_out(
    sentences: pd.DataFrame, column: str, splits: pd.DataFrame | None = None, *, similarity: float = 0.95
) -> pd.DataFrame:
    """Return a fold per value of a column, in which the trials that have it are tested.

    No text is on both sides. Without `splits` (blocks), trials of other values whose text is tested are left out of
    the fold; with them (subjects, who read the same texts), the left-out subject is tested on the test texts, and the
    others train and validate on theirs.

    Parameters
    ----------
    sentences : DataFrame
        As in `make_text_split`, with the column.
    column : str
        For example "subject", or "block" from `order_blocks`.
    splits : DataFrame, optional
        From `make_text_split`.
    similarity : float
        See `make_text_split`; of the splits where they are given.

    Returns
    -------
    DataFrame
        trial_id, stimulus_id, group, split, fold, seed, left_out (the value); no rows for unused trials.

    Raises
    ------
    BrainalignError
        If there is no such column or one value only, or a fold has nothing to train or to test.
    """
    check_columns("the table of sentences", sentences, [column])
    values = sorted(set(sentences[column]))
    if len(values) < 2:
        raise BrainalignError(f"{column} has one value only ({listed(values)}); leaving it out leaves nothing to train")
    if splits is None:
        base = sentences[["trial_id", "stimulus_id"]].assign(group=_groups(sentences, similarity), seed=0, split="")
    else:
        base = sentences[["trial_id"]].merge(splits.drop(columns="fold"), on="trial_id", how="left", validate="1:1")
        if base["split"].isna().any():
            lost = base["trial_id"][base["split"].isna()].tolist()
            raise BrainalignError(f"{len(lost)} trials are in no split ({listed(lost)}); split the same table")
    base = base.assign(left_out=sentences[column].to_numpy()).reset_index(drop=True)
    folds = []
    for fold, value in enumerate(values):
        inside = base["left_out"].eq(value)
        if splits is None:
            tested, side = inside, np.where(inside, "test", "train")
            used = inside | ~base["group"].isin(base["group"][inside])
        else:
            tested = inside & base["split"].eq("test")
            side = base["split"].to_numpy()
            used = tested | (~inside & base["split"].ne("test"))
        if not tested.any() or not (used & ~tested).any():
            raise BrainalignError(
                f"leaving out {column} {value!r} leaves {int(tested.sum())} trials to test and "
                f"{int((used & ~tested).sum())} to train"
                + ("; where all read the same texts, give splits from make_text_split" if splits is None else "")
            )
        folds.append(base.assign(split=side, fold=fold, left_out=value)[used])
    return pd.concat(folds, ignore_index=True)[[*COLUMNS, "left_out"]]
