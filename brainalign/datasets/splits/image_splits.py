"""Splits of image studies: by stimulus, never by trial."""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_apart, check_choice, did_you_mean, listed
from brainalign.datasets.splits.splits import check_trials_known, group_labels


def make_image_split(
    trials: pd.DataFrame,
    *,
    test: Sequence[str] | float | None = None,
    val: Sequence[str] | float | None = None,
    folds: int | None = None,
    seed: int,
    together: pd.DataFrame | None = None,
    inner: Literal["stimulus", "run"] = "stimulus",
) -> pd.DataFrame:
    """Return a row per fold and trial: trial_id, stimulus_id, group, split, fold, seed, inner.

    Parameters
    ----------
    trials : DataFrame
        The table of `Responses`.
    test : sequence of str or float
        The test stimuli (those a subject never saw are passed over); or the share of
        stimuli to draw.
    val : sequence of str or float, optional
        The same for validation; a share is of the stimuli that are not tested.
    folds : int, optional
        Instead of `test`: every stimulus is tested in one of so many disjoint folds.
    seed : int
        Of the drawing, recorded in the table. Subjects who saw the same stimuli are tested on the same, whatever the
        order.
    together : DataFrame, optional
        stimulus_a, stimulus_b: pairs (near-duplicates) that what is drawn keeps on one side.
    inner : {"stimulus", "run"}
        What cross-validation inside the training data must keep together, written to the column `inner`.

    Returns
    -------
    DataFrame
        `group` is what no fold has on two sides: the stimulus, or the first of those kept together.

    Raises
    ------
    BrainalignError
        If test and folds are both given or both missing, a share or a number of folds is out of range, none of the
        listed stimuli was shown, a stimulus is listed twice, or too few are left to train on.
    """
    check_choice("inner", inner, ("stimulus", "run"))
    if (test is None) == (folds is None):
        raise BrainalignError("give test (stimuli or a share) or folds (a number), exactly one of them")
    groups = _groups(trials, together)
    random, stimuli = np.random.default_rng(seed), trials["stimulus_id"]
    if folds is not None:
        names = np.sort(np.asarray(groups.unique()))
        if not 2 <= folds <= len(names):
            raise BrainalignError(f"folds is {folds} for {len(names)} stimuli; give 2 to {len(names)}")
        tested = [np.asarray(groups.isin(part)) for part in np.array_split(random.permutation(names), folds)]
    else:
        tested = [_chosen("test", test, stimuli, groups, np.ones(len(trials), dtype=bool), random)]
    tables = []
    for fold, test_rows in enumerate(tested):
        split = np.where(test_rows, "test", "train").astype(object)
        if val is not None:
            split[_chosen("val", val, stimuli, groups, ~test_rows, random)] = "val"
        n_train = stimuli[split == "train"].nunique()
        if n_train < 2:
            raise BrainalignError(
                f"{test_rows.sum()} of {len(trials)} trials are tested, which leaves {n_train} stimuli to train on; "
                "test fewer"
            )
        table = trials[["trial_id", "stimulus_id"]].assign(group=groups, split=split, fold=fold, seed=seed)
        tables.append(table.assign(inner=groups if inner == "stimulus" else group_labels(trials, "run")))
    return pd.concat(tables, ignore_index=True)


def split_rows(splits: pd.DataFrame, trials: pd.DataFrame, fold: int = 0) -> dict[str, NDArray[np.intp]]:
    """Return the rows of the responses in each split (train, val, test) of one fold.

    Raises
    ------
    BrainalignError
        If there is no such fold, a trial has two sides, or is not among the responses.
    """
    table = splits[splits["fold"] == fold]
    if not len(table):
        raise BrainalignError(f"the splits have no fold {fold}; they have {listed(sorted(splits['fold'].unique()), 8)}")
    rows = pd.Index(trials["trial_id"]).get_indexer(pd.Index(table["trial_id"]))
    check_trials_known(table, trials)
    sides = {name: rows[(table["split"] == name).to_numpy()] for name in ("train", "val", "test")}
    for one, other in combinations(sides, 2):
        check_apart(sides[one], sides[other], "rows", "make the splits again", (one, other))
    return sides


def _groups(trials: pd.DataFrame, together: pd.DataFrame | None) -> "pd.Series[str]":
    """Return the stimulus of each trial, or the first of the stimuli it is kept together with."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while name in parent:
            name = parent[name]
        return name

    if together is not None:
        for a, b in zip(together["stimulus_a"], together["stimulus_b"], strict=True):
            first, second = sorted((root(a), root(b)))
            if first != second:
                parent[second] = first
    return trials["stimulus_id"].map(root)


def _chosen(
    name: str,
    wanted: Sequence[str] | float | None,
    stimuli: "pd.Series[str]",
    groups: "pd.Series[str]",
    free: NDArray[np.bool_],
    random: np.random.Generator,
) -> NDArray[np.bool_]:
    """Return the trials of the listed stimuli, or of a drawn share of the groups, among the free trials."""
    if isinstance(wanted, str):
        raise BrainalignError(f"{name} is {wanted!r}; give a list of stimulus ids or a share")
    if isinstance(wanted, int | float):
        names = np.sort(np.asarray(groups[free].unique()))  # in whatever order a subject saw them
        count = round(wanted * len(names))
        if not 0 < wanted < 1 or not 0 < count < len(names):
            remedy = "give a share between 0 and 1 that leaves some on both sides"
            raise BrainalignError(f"{name} is {wanted}, which is {count} of {len(names)} stimuli; {remedy}")
        return np.asarray(free & groups.isin(random.permutation(names)[:count]))
    listed_ids = [str(stimulus) for stimulus in (() if wanted is None else wanted)]
    if twice := sorted({*pd.Series(listed_ids, dtype=object)[lambda ids: ids.duplicated()]}):
        raise BrainalignError(f"{name} lists {listed(twice)} more than once; list each stimulus once")
    chosen = np.asarray(free & stimuli.map(str).isin(listed_ids))
    if not chosen.any():
        shown = pd.unique(stimuli[free])
        near = did_you_mean(listed_ids[0], shown) if listed_ids else ""
        raise BrainalignError(
            f"none of the {len(listed_ids)} stimuli of {name} was shown ({listed(listed_ids)}){near}; stimuli are "
            f"called {listed(shown.tolist())}"
        )
    return chosen
