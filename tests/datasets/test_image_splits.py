"""Splits by stimulus, the audit that stops leaks, the card, and repeats side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.arrays import Responses
from brainalign.datasets import (
    ImageAudit,
    complete_trials,
    folds_of,
    inspect_responses,
    inspect_trials,
    leakage_audit,
    make_image_split,
    repeats_cube,
    roi_sizes,
    split_card,
    split_rows,
    stop_on,
)


def make_trials(repeats, seed=0) -> pd.DataFrame:
    """Return trials with so many repeats of each stimulus, in a random order over two sessions of two runs."""
    ids = np.random.default_rng(seed).permutation([name for name, n in repeats.items() for _ in range(n)])
    quarter = np.arange(len(ids)) * 4 // len(ids)
    table = pd.DataFrame({"stimulus_id": ids, "session": (quarter // 2 + 1).astype(str)})
    return complete_trials(table.assign(run=(quarter % 2 + 1).astype(str)), "test")


SHARED = [f"s{k}" for k in range(5)]


@pytest.fixture
def trials() -> pd.DataFrame:
    return make_trials(dict.fromkeys(SHARED, 3) | {f"u{k}": 1 for k in range(30)})


def images(*pairs, kind="near-duplicate") -> ImageAudit:
    table = pd.DataFrame(pairs, columns=["stimulus_a", "stimulus_b"])
    return ImageAudit(pd.DataFrame(), table.assign(kind=kind, n_bits=0))


def test_listed_stimuli_are_tested_with_all_their_repeats(trials) -> None:
    splits = make_image_split(trials, test=SHARED, val=0.2, seed=3)
    assert list(splits)[:6] == ["trial_id", "stimulus_id", "group", "split", "fold", "seed"]
    by_split = splits.groupby("split")["stimulus_id"].agg(set)
    assert by_split["test"] == set(SHARED)
    assert len(by_split["val"]) == 6
    assert len(by_split["train"]) == 24
    assert (splits["split"] == "test").sum() == 15
    (train, test), *rest = folds_of(splits, trials)
    assert not rest
    assert set(trials["stimulus_id"].iloc[test]) == set(SHARED)
    assert len(train) == 24
    rows = split_rows(splits, trials)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(45))
    assert [problem for problem in leakage_audit(splits, trials) if problem.level == "error"] == []


def test_drawing_follows_the_seed(trials) -> None:
    one, again, other = (make_image_split(trials, test=0.3, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, again)
    assert (one["split"] != other["split"]).any()
    sides = one.groupby("stimulus_id")["split"].nunique()
    assert (sides == 1).all()
    assert one.loc[one["split"] == "test", "stimulus_id"].nunique() == round(0.3 * 35)


def test_folds_test_every_stimulus_once(trials) -> None:
    splits = make_image_split(trials, folds=5, seed=0)
    tested = splits[splits["split"] == "test"]
    assert sorted(tested["trial_id"]) == sorted(trials["trial_id"])
    assert len(folds_of(splits, trials)) == 5
    assert not [problem for problem in leakage_audit(splits, trials) if problem.level == "error"]


def test_near_duplicates_are_kept_together_when_asked(trials) -> None:
    pairs = pd.DataFrame({"stimulus_a": ["u1", "u2", "u5"], "stimulus_b": ["u2", "u3", "u6"]})
    for seed in range(5):
        splits = make_image_split(trials, test=0.5, val=0.3, seed=seed, together=pairs)
        side = splits.drop_duplicates("stimulus_id").set_index("stimulus_id")["split"]
        assert side["u1"] == side["u2"] == side["u3"]
        assert side["u5"] == side["u6"]
        assert not [p for p in leakage_audit(splits, trials, images(*pairs.to_numpy())) if p.level == "error"]


def test_inner_groups(trials) -> None:
    splits = make_image_split(trials, test=SHARED, seed=0, inner="run")
    assert set(splits["inner"]) == {f"ses-{s}_run-{r}" for s in "12" for r in "12"}
    assert (make_image_split(trials, test=SHARED, seed=0)["inner"] == splits["group"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one of them"),
        ({"test": SHARED, "folds": 3}, "exactly one of them"),
        ({"test": "shared"}, "test is 'shared'; give a list of stimulus ids"),
        ({"test": 1.5}, "give a share between 0 and 1"),
        ({"test": ["S0"]}, r"none of the 1 stimuli of test was shown \(S0\)"),
        ({"test": ["s0", "s0"]}, "lists s0 more than once"),
        ({"folds": 36}, "folds is 36 for 35 stimuli"),
        ({"test": [*SHARED, *(f"u{k}" for k in range(29))]}, "leaves 1 stimuli to train on"),
    ],
)
def test_splits_that_cannot_be_made(trials, options, message) -> None:
    refused(message, make_image_split, trials, seed=0, **options)


# ------------------------------------------------------------------------------------------------------------ leaks


def test_a_leak_stops_and_names_the_rows(trials) -> None:
    splits = make_image_split(trials, test=SHARED, seed=0)
    row = splits.index[splits["stimulus_id"] == "s2"][1]
    splits.loc[row, ["split", "group"]] = ["train", "elsewhere"]  # split by trial: groups do not show it
    folds_of(splits, trials)
    problems = leakage_audit(splits, trials)
    leak = next(problem for problem in problems if problem.level == "error")
    assert set(leak.rows) == set(trials["trial_id"][trials["stimulus_id"] == "s2"])
    refused(r"fold 0: 1 stimuli occur in more than one split \(s2; trials trial-\d+", stop_on, problems)


def test_validation_is_a_side_too(trials) -> None:
    splits = make_image_split(trials, test=SHARED, val=0.2, seed=0)
    row = splits.index[splits["stimulus_id"] == "s2"][1]
    splits.loc[row, "split"] = "val"
    assert any("s2" in str(problem) for problem in leakage_audit(splits, trials) if problem.level == "error")
    refused("occur in both", folds_of, splits, trials)


def test_the_responses_say_what_was_shown(trials) -> None:
    splits = make_image_split(trials, test=SHARED, seed=0)
    changed = trials.copy()
    train = changed.index[changed["stimulus_id"] == "u4"][0]
    changed.loc[train, "stimulus_id"] = "s1"  # the trials were corrected after the splits were made
    texts = [str(problem) for problem in leakage_audit(splits, changed) if problem.level == "error"]
    assert any("1 trials show another stimulus" in text for text in texts)
    assert any("1 stimuli occur in more than one split (s1" in text for text in texts)


@pytest.mark.parametrize("kind", ["duplicate", "near-duplicate"])
def test_one_image_under_two_names_is_a_leak(trials, kind) -> None:
    splits = make_image_split(trials, test=SHARED, seed=0)
    found = leakage_audit(splits, trials, images(("s1", "u7"), ("u1", "u2"), ("s2", "s3"), kind=kind))
    leak = next(problem for problem in found if problem.level == "error")
    assert f"1 pairs of {kind} images lie on two sides: s1 (test) and u7 (train)" in str(leak)
    assert set(leak.rows) == set(trials["trial_id"][trials["stimulus_id"].isin(["s1", "u7"])])
    lenient = leakage_audit(splits, trials, images(("s1", "u7"), kind=kind), near="warning")
    assert any(problem.level == "error" for problem in lenient) == (kind == "duplicate")


def test_straddling_runs_are_warned_of(trials) -> None:
    splits = make_image_split(trials, test=SHARED, seed=0)
    warnings = [problem for problem in leakage_audit(splits, trials) if problem.level == "warning"]
    assert "4 of 4 runs have trials in more than one split (ses-1_run-1" in str(warnings[0])
    by_run = trials.assign(stimulus_id=trials["session"] + trials["run"])
    apart = make_image_split(by_run, test=["11"], seed=0)
    assert leakage_audit(apart, by_run) == []


def test_stale_and_empty_splits(trials) -> None:
    splits = make_image_split(trials, test=SHARED, seed=0)
    texts = "\n".join(map(str, leakage_audit(splits, trials.iloc[5:])))
    assert "5 trials are not among the responses" in texts
    assert "there is no test trial" in "\n".join(map(str, leakage_audit(splits[splits["split"] == "train"], trials)))


def test_the_card(trials) -> None:
    splits = make_image_split(trials, test=SHARED, val=0.2, seed=0).assign(name="images")
    in_train = splits["stimulus_id"][splits["split"] == "train"].iloc[:2].tolist()
    card = split_card(splits, trials, images(("s1", in_train[0]), in_train)).set_index("split")
    test, train = card.loc["test"], card.loc["train"]
    assert test[["n_stimuli", "n_trials", "repeats_min", "repeats_median", "repeats_max"]].tolist() == [5, 15, 3, 3, 3]
    assert train[["n_stimuli", "n_trials", "repeats_max"]].tolist() == [24, 24, 1]
    assert (train["n_near_duplicates"], train["n_near_duplicates_across"]) == (1, 1)
    assert (test["n_near_duplicates"], test["n_near_duplicates_across"], test["n_duplicates"]) == (0, 1, 0)
    assert test["n_sessions"] == 2
    assert test["n_runs_shared"] == test["n_runs"]
    assert split_card(splits, trials)["n_duplicates"].isna().all()


# ------------------------------------------------------------------------------------------------- repeats, inspection


def responses_of(trials, values, rois=None) -> Responses:
    n = values.shape[1]
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(n)], "kind": "vertex", "hemi": ["L"] * n})
    targets["roi"] = pd.Series(rois or [[] for _ in range(n)], dtype=object)
    return Responses(values, trials, targets, "z", np.arange(values.shape[2]) / 10 if values.ndim == 3 else None)


@pytest.mark.parametrize("times", [(), (4,)])
def test_repeats_stand_side_by_side(times) -> None:
    trials = make_trials({"a": 3, "b": 3, "c": 3})
    values = np.random.default_rng(0).normal(size=(9, 2, *times))
    responses = responses_of(trials, values)
    cube = repeats_cube(responses)
    average = responses.average_repeats()
    np.testing.assert_allclose(cube.mean(axis=0), average.values)
    for column, name in enumerate(average.trials["stimulus_id"]):
        np.testing.assert_array_equal(cube[:, column], values[trials["stimulus_id"] == name])


def test_unequal_repeats() -> None:
    trials = make_trials({"a": 3, "b": 2, "c": 1})
    responses = responses_of(trials, np.random.default_rng(0).normal(size=(6, 2)))
    refused(r"shown 1 to 3 times \(fewest: c\)", repeats_cube, responses)
    cube = repeats_cube(responses, unequal="nan")
    np.testing.assert_allclose(np.nanmean(cube, axis=0), responses.average_repeats().values)
    assert np.isfinite(cube[..., 0]).sum() == 6
    refused("1 of 3 stimuli were shown once", repeats_cube, responses, unequal="fewest")
    two = responses.select(trials=(trials["stimulus_id"] != "c").to_numpy())
    assert repeats_cube(two, unequal="fewest").shape == (2, 2, 2)


def test_zero_repeats() -> None:
    trials = make_trials({"a": 1, "b": 1})
    refused("2 of 2 stimuli were shown once", repeats_cube, responses_of(trials, np.zeros((2, 1))))
    (problem,) = inspect_trials("subjects.01", trials, ["a", "b"])
    assert "zero repeats: all 2 stimuli were shown once, so there is no noise ceiling" in str(problem)


def test_trials_against_the_table_of_stimuli(trials) -> None:
    names = [*SHARED, *(f"u{k}" for k in range(30))]
    assert inspect_trials("x", trials, names, SHARED) == []
    unknown, never = inspect_trials("x", trials, [*names[:-1], "u99"], SHARED)
    assert "1 stimuli were shown that the table of stimuli lacks (u29)" in str(unknown)
    assert "u99" in str(never)
    assert (unknown.level, never.level) == ("error", "warning")
    assert "none of the 1 test stimuli" in str(inspect_trials("x", trials, names, ["s77"])[0])
    assert "none of the 2 stimuli" in "\n".join(map(str, inspect_trials("x", trials, ["q1", "q2"])))


def test_values_and_rois() -> None:
    trials = make_trials({"a": 4, "b": 4})
    values = np.random.default_rng(0).normal(size=(8, 5))
    rois = [["V1"], ["V1", "early"], ["V1"], [], []]
    assert inspect_responses("x", responses_of(trials, values, [["V1"]] * 5)) == []
    values[0, 3] = np.nan
    values[:4, 4] = 1.0  # the first session
    broken, flat, small = inspect_responses("x", responses_of(trials, values, rois))
    assert "1 of 5 targets are NaN or infinite in some session (v3)" in str(broken)
    assert flat.rows == ("v4",)
    assert "1 ROIs have fewer than 2 targets (early 1)" in str(small)
    assert roi_sizes(responses_of(trials, values, rois).targets).to_numpy().tolist() == [
        ["V1", "L", 3],
        ["early", "L", 1],
    ]
