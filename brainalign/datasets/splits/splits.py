"""Which trials train and which test: made once, stored, and checked for leaks before anything is fitted."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_folds, listed
from brainalign.study import Split

MAX_FOLDS = 1000
PLURAL: dict[str | None, str] = {"run": "runs", "stimulus": "stimuli"}
Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def group_labels(trials: pd.DataFrame, leave_out: str | None) -> pd.Series[str]:
    """Return the group of each trial: its stimulus, or its run (runs are numbered anew in every session)."""
    if leave_out == "stimulus":
        return trials["stimulus_id"]
    return "ses-" + trials["session"] + "_run-" + trials["run"]


def make_splits(trials: pd.DataFrame, split: Split, seed: int) -> pd.DataFrame:
    """Return a row per fold and trial: trial_id, stimulus_id, group, split (train | test), fold, seed.

    Every combination of `split.size` groups is left out once, so nothing here is random; the seed is recorded for
    splits that draw.

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
    if len(names) < split.size + 2:
        raise BrainalignError(
            f"leaving out {split.size} of {len(names)} {PLURAL[split.leave_out]} leaves fewer than 2 to train on; "
            "record more or leave out fewer"
        )
    n_folds = comb(len(names), split.size)
    if n_folds > MAX_FOLDS:
        raise BrainalignError(
            f"every {split.size} of {len(names)} {PLURAL[split.leave_out]} left out makes {n_folds:,} folds; "
            "use a smaller size"
        )
    folds = []
    for fold, left_out in enumerate(combinations(names, split.size)):
        table = trials[["trial_id", "stimulus_id"]].assign(group=groups.to_numpy(), fold=fold, seed=seed)
        folds.append(table.assign(split=np.where(groups.isin(left_out), "test", "train")))
    return pd.concat(folds, ignore_index=True)


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
    rows = pd.Series(np.arange(len(trials)), index=trials["trial_id"])
    unknown = sorted(set(splits["trial_id"]) - set(rows.index))
    if unknown:
        raise BrainalignError(
            f"{len(unknown)} trials of the splits are not among the responses ({listed(unknown)}); run prepare again"
        )
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
