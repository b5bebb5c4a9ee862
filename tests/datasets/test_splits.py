from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.datasets import folds_of, make_splits
from brainalign.study import Split


@pytest.fixture
def trials() -> pd.DataFrame:
    rows = [(s, r, x) for s in "12" for r in "12" for x in "abcd"]
    table = pd.DataFrame(rows, columns=["session", "run", "stimulus_id"])
    return table.assign(trial_id=[f"t{k}" for k in range(len(rows))])


def test_every_run_is_tested_once_and_runs_are_told_apart_by_session(trials: pd.DataFrame) -> None:
    folds = folds_of(make_splits(trials, Split(leave_out="run"), seed=0), trials)
    assert len(folds) == 4
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == list(range(16))
    for train, test in folds:
        assert not set(train) & set(test)
        assert len(train) + len(test) == 16
        assert len(trials.iloc[test][["session", "run"]].drop_duplicates()) == 1


def test_every_pair_of_stimuli_is_left_out_once(trials: pd.DataFrame) -> None:
    folds = folds_of(make_splits(trials, Split(leave_out="stimulus", size=2), seed=0), trials)
    left_out = {tuple(sorted(set(trials["stimulus_id"].iloc[test]))) for _, test in folds}
    assert left_out == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")}
    for train, test in folds:
        assert not set(trials["stimulus_id"].iloc[train]) & set(trials["stimulus_id"].iloc[test])


def test_a_leak_stops_and_names_the_rows(trials: pd.DataFrame) -> None:
    splits = make_splits(trials, Split(leave_out="stimulus", size=2), seed=0)
    rows = splits.index[(splits["fold"] == 3) & (splits["split"] == "test")]
    splits.loc[rows[0], "split"] = "train"  # one trial of a tested stimulus slips into training
    refused(r"fold 3: 1 group\(s\) occur in both train and test \(trials t\d+", folds_of, splits, trials)


def test_splits_of_other_responses_are_refused(trials: pd.DataFrame) -> None:
    splits = make_splits(trials, Split(leave_out="run"), seed=0)
    refused("4 trials of the splits are not among the responses", folds_of, splits, trials[:12])


def test_too_few_groups(trials: pd.DataFrame) -> None:
    refused("leaves fewer than 2 to train on", make_splits, trials[:8], Split(leave_out="run"), seed=0)


def test_any_column_of_the_trials_is_left_out(trials: pd.DataFrame) -> None:
    """By session and by a column of a lab's own; drawn into folds, every group is tested once."""
    told = trials.assign(
        story=np.where(np.arange(len(trials)) % 3 == 0, "a", np.where(np.arange(len(trials)) % 3 == 1, "b", "c"))
    )
    folds = folds_of(make_splits(told, Split(leave_out="story"), seed=0), told)
    assert [set(told["story"].iloc[test]) for _, test in folds] == [{"a"}, {"b"}, {"c"}]
    drawn = make_splits(trials, Split(leave_out="stimulus", folds=3), seed=1)
    tested = drawn[drawn["split"] == "test"]
    assert drawn["fold"].nunique() == 3
    assert sorted(tested["trial_id"]) == sorted(trials["trial_id"])
    assert tested.groupby("stimulus_id")["fold"].nunique().max() == 1
    other = make_splits(trials, Split(leave_out="stimulus", folds=3), seed=2)
    assert not other["split"].equals(drawn["split"])
    refused(r"no column 'storey' \(did you mean 'story'", make_splits, told, Split(leave_out="storey"), seed=0)
