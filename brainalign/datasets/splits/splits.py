"""Which trials train and which test: made once, stored, and checked for leaks before anything is fitted."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_columns, check_folds, listed
from brainalign.io import MISSING
from brainalign.study import Split

MAX_FOLDS = 1000
Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def group_labels(trials: pd.DataFrame, leave_out: str | None) -> "pd.Series[str]":
    """Return the group of each trial: its stimulus, its run (numbered anew in every session), or a column's entry."""
    if leave_out == "run":
        return "ses-" + trials["session"] + "_run-" + trials["run"]
    column = {"stimulus": "stimulus_id"}.get(str(leave_out), str(leave_out))
    check_columns("leave_out: the trials", trials, [column], "give run, session, stimulus, or one of these")
    labels = trials[column].astype(str)
    if len(empty := trials["trial_id"][labels.isin(MISSING)]):
        what = f"{len(empty)} of {len(labels)} trials have an empty {column} ({listed(empty.tolist())})"
        raise BrainalignError(f"{what}; fill it, or leave these trials out of the table and of the data")
    return labels


def check_trials_known(splits: pd.DataFrame, trials: pd.DataFrame) -> None:
    """Raise where splits name trials that the responses do not have."""
    if unknown := sorted(set(splits["trial_id"]) - set(trials["trial_id"])):
        raise BrainalignError(
            f"{len(unknown)} trials of the splits are not among the responses ({listed(unknown)}); run prepare again"
        )


def make_splits(trials: pd.DataFrame, split: Split, seed: int) -> pd.DataFrame:
    """Return a row per fold and trial: trial_id, stimulus_id, group, split (train | test), fold, seed.

    Every combination of `split.size` groups is left out once, or all are drawn into `split.folds` test sets.

    Parameters
    ----------
    trials : DataFrame
        The table of `Responses`.
    split : Split
    seed : int

    Raises
    ------
    BrainalignError
        If too few groups would remain for training, or there are more than `MAX_FOLDS` combinations.
    """
    groups = group_labels(trials, split.leave_out)
    names = pd.unique(groups)
    size = split.size if split.folds is None else -(-len(names) // split.folds)
    many = split.plural
    if len(names) < max(size + 2, split.folds or 0):
        remedy = "record more or leave out fewer"
        raise BrainalignError(f"leaving out {size} of {len(names)} {many} leaves fewer than 2 to train on; {remedy}")
    n_folds = comb(len(names), size) if split.folds is None else split.folds
    if n_folds > MAX_FOLDS:
        remedy = "use a smaller size, or folds"
        raise BrainalignError(f"every {size} of {len(names)} {many} left out makes {n_folds:,} folds; {remedy}")
    drawn = np.random.default_rng(seed).permutation(np.sort(np.asarray(names, dtype=object)))
    parts = combinations(names, size) if split.folds is None else np.array_split(drawn, split.folds)
    tested = np.concatenate([groups.isin(left_out) for left_out in parts])
    table = trials[["trial_id", "stimulus_id"]].assign(group=groups.to_numpy(), fold=0, seed=seed)
    fold, side = np.repeat(np.arange(n_folds), len(trials)), np.where(tested, "test", "train")
    return pd.concat([table] * n_folds, ignore_index=True).assign(fold=fold, split=side)


def folds_of(splits: pd.DataFrame, trials: pd.DataFrame) -> Folds:
    """Return (train rows, test rows) of every fold, after checking that no group is on both sides.

    Parameters
    ----------
    splits : DataFrame
        From `make_splits`.
    trials : DataFrame (n_trials)
        The table of the responses the rows refer to.

    Raises
    ------
    BrainalignError
        If a group occurs in train and test of one fold, or a trial of the splits is not among the responses.
    """
    check_trials_known(splits, trials)
    rows = pd.Series(np.arange(len(trials)), index=trials["trial_id"])
    folds = []
    for fold, table in splits.groupby("fold", sort=True):
        train, test = table[table["split"] == "train"], table[table["split"] == "test"]
        leaked = test[test["group"].isin(table["group"][table["split"] != "test"])]
        if len(leaked):
            raise BrainalignError(
                f"fold {fold}: {leaked['group'].nunique()} group(s) occur in both train and test (trials "
                f"{listed(leaked['trial_id'].tolist())}); split by stimulus or run, not by trial"
            )
        folds.append((rows[train["trial_id"]].to_numpy(), rows[test["trial_id"]].to_numpy()))
    check_folds(folds, len(trials))
    return folds
