from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.datasets import folds_of, make_splits
from brainalign.study import Split


@pytest.fixture
def trials() -> pd.DataFrame:
    rows = [(s, r, x) for s in "12" for r in "12" for x in "adcb"]
    table = pd.DataFrame(rows, columns=["session", "run", "stimulus_id"])
    return table.assign(trial_id=[f"t{k}" for k in range(len(rows))])


TOLD = {
    "run": (Split(leave_out="run"), None),
    "pairs": (Split(leave_out="stimulus", size=2), list(combinations("adcb", 2))),
    "session": (Split(leave_out="story"), [("c",), ("a",), ("b",)]),
    "drawn": (Split(leave_out="stimulus", folds=3), None),
}


@pytest.mark.parametrize("case", TOLD)
def test_every_row_of_every_fold(trials: pd.DataFrame, case: str) -> None:
    """Runs, told apart by session; pairs of stimuli; a column of a lab's own; stimuli drawn into folds."""
    rule, left_out = TOLD[case]
    trials["story"] = np.array(list("cab"))[np.arange(16) % 3]
    groups = trials[{"run": "run", "session": "story"}.get(case, "stimulus_id")]
    if case == "run":
        groups = "ses-" + trials["session"] + "_run-" + trials["run"]
        left_out = [(name,) for name in groups.unique()]
    elif case == "drawn":
        left_out = np.array_split(np.random.default_rng(7).permutation(list("adcb")), 3)
    told = trials[["trial_id", "stimulus_id"]].assign(group=groups)
    tables = [
        told.assign(fold=fold, seed=7, split=np.where(groups.isin(left), "test", "train"))
        for fold, left in enumerate(left_out)
    ]
    splits = make_splits(trials, rule, seed=7)
    pd.testing.assert_frame_equal(splits, pd.concat(tables, ignore_index=True))
    folds = folds_of(splits.iloc[::-1], trials)
    for table, (train, test) in zip(tables, folds, strict=True):
        assert train.tolist() == np.flatnonzero(table["split"] == "train")[::-1].tolist()
        assert test.tolist() == np.flatnonzero(table["split"] == "test")[::-1].tolist()


def test_limits_of_folds_and_leaks(trials: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = make_splits(trials, Split(leave_out="stimulus", size=2), seed=0)
    rows = splits.index[(splits["fold"] == 3) & (splits["split"] == "test")]
    for side in ("train", "val"):
        splits.loc[rows[0], "split"] = side  # one trial of a tested stimulus slips into training
        refused(r"^fold 3: 1 group\(s\) occur in both train and test \(trials t5, t9, t13\)", folds_of, splits, trials)
    splits = make_splits(trials, Split(leave_out="run"), seed=0)
    refused(r"^4 trials of the splits are not among the responses \(t12, t13, t14.*\)", folds_of, splits, trials[:12])
    assert make_splits(trials[:12], Split(leave_out="run"), seed=0)["fold"].nunique() == 3
    refused("^leaving out 1 of 2 runs leaves fewer than 2", make_splits, trials[:8], Split(leave_out="run"), seed=0)
    triples = Split(leave_out="stimulus", size=3)
    refused("^leaving out 3 of 4 stimuli leaves fewer than 2 to train on", make_splits, trials, triples, seed=0)
    assert make_splits(trials, Split(leave_out="stimulus", folds=4), seed=0)["fold"].nunique() == 4
    refused("^leaving out 1 of 4 stimuli", make_splits, trials, Split(leave_out="stimulus", folds=5), seed=0)
    pairs = Split(leave_out="stimulus", size=2)
    monkeypatch.setattr("brainalign.datasets.splits.splits.MAX_FOLDS", 6)
    assert make_splits(trials, pairs, seed=0)["fold"].nunique() == 6
    monkeypatch.setattr("brainalign.datasets.splits.splits.MAX_FOLDS", 5)
    refused("^every 2 of 4 stimuli left out makes 6 folds; use a smaller", make_splits, trials, pairs, seed=0)
    told = trials.assign(story="a")
    refused(r"no column 'storey' \(did you mean 'story'", make_splits, told, Split(leave_out="storey"), seed=0)
