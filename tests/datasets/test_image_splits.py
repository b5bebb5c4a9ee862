from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from made import responses_of
from refusals import refused

from brainalign.datasets import complete_trials, folds_of, leakage_audit, make_image_split, make_splits, stop_on
from brainalign.datasets.checks import inspect_responses, inspect_trials, roi_sizes, space_problems
from brainalign.datasets.formats import ImageAudit
from brainalign.datasets.splits import repeats_cube, split_card, split_rows
from brainalign.study import Split

SHARED = [f"s{k}" for k in range(5)]
MNI = {"x_mm": (-100, 100), "y_mm": (-140, 105), "z_mm": (-90, 125)}


def make_trials(repeats, seed=0) -> pd.DataFrame:
    ids = np.random.default_rng(seed).permutation([name for name, n in repeats.items() for _ in range(n)])
    quarter = np.arange(len(ids)) * 4 // len(ids)
    table = pd.DataFrame({"stimulus_id": ids, "session": (quarter // 2 + 1).astype(str)})
    return complete_trials(table.assign(run=(quarter % 2 + 1).astype(str)), "test")


@pytest.fixture
def trials() -> pd.DataFrame:
    return make_trials(dict.fromkeys(SHARED, 3) | {f"u{k}": 1 for k in range(30)})


def images(*pairs, kind="near-duplicate") -> ImageAudit:
    table = pd.DataFrame(pairs, columns=["stimulus_a", "stimulus_b"])
    return ImageAudit(pd.DataFrame(), table.assign(kind=kind, n_bits=0))


def expected_splits(trials, tested, validated, seed) -> pd.DataFrame:
    tables = []
    for fold, (test, val) in enumerate(zip(tested, validated, strict=True)):
        ids = trials["stimulus_id"]
        split = np.where(ids.isin(test), "test", np.where(ids.isin(val), "val", "train")).astype(object)
        table = trials[["trial_id", "stimulus_id"]].assign(group=ids, split=split, fold=fold, seed=seed, inner=ids)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("listed", [True, False])
def test_stimuli_are_listed_or_drawn_by_the_seed(trials, seed, listed) -> None:
    random, names = np.random.default_rng(seed), np.unique(trials["stimulus_id"])  # whatever the order of trials
    tested = SHARED if listed else random.permutation(names)[:10].tolist()  # 0.3 of 35
    val = random.permutation([name for name in names if name not in tested])[: 6 if listed else 5]
    splits = make_image_split(trials, test=SHARED if listed else 0.3, val=0.2, seed=seed)
    pd.testing.assert_frame_equal(splits, expected_splits(trials, [tested], [val], seed))
    ((train, test),) = folds_of(splits, trials)
    for rows, side in ((train, "train"), (test, "test")):
        assert rows.tolist() == np.flatnonzero(splits["split"] == side).tolist()
        assert split_rows(splits, trials)[side].tolist() == rows.tolist()
    assert not [problem for problem in leakage_audit(splits, trials) if problem.level == "error"]
    by_run = make_image_split(trials, test=np.array(SHARED) if listed else 0.3, val=0.2, seed=seed, inner="run")
    pd.testing.assert_frame_equal(by_run.drop(columns="inner"), splits.drop(columns="inner"))
    assert by_run["inner"].tolist() == ("ses-" + trials["session"] + "_run-" + trials["run"]).tolist()


def test_folds_test_every_stimulus_once_and_near_duplicates_stay_together(trials) -> None:
    tested = np.array_split(np.random.default_rng(3).permutation(np.unique(trials["stimulus_id"])), 5)
    splits = make_image_split(trials, folds=5, seed=3)
    pd.testing.assert_frame_equal(splits, expected_splits(trials, tested, [[]] * 5, 3))
    assert make_image_split(trials, folds=35, seed=3)["fold"].nunique() == 35
    assert make_image_split(trials, folds=2, seed=3)["fold"].nunique() == 2
    assert not [problem for problem in leakage_audit(splits, trials) if problem.level == "error"]
    pairs = pd.DataFrame({"stimulus_a": ["u1", "u2", "u5"], "stimulus_b": ["u2", "u3", "u6"]})
    for seed in range(5):
        splits = make_image_split(trials, test=0.5, val=0.3, seed=seed, together=pairs)
        side = splits.drop_duplicates("stimulus_id").set_index("stimulus_id")["split"]
        assert side["u1"] == side["u2"] == side["u3"]
        assert side["u5"] == side["u6"]
        assert not [p for p in leakage_audit(splits, trials, images(*pairs.to_numpy())) if p.level == "error"]


def test_splits_that_cannot_be_made(trials) -> None:
    for options, message in (
        ({}, "exactly one of them"),
        ({"test": SHARED, "folds": 3}, "exactly one of them"),
        ({"test": "shared"}, "test is 'shared'; give a list of stimulus ids"),
        ({"test": 1.5}, "give a share between 0 and 1"),
        ({"test": ["S0"]}, r"none of the 1 stimuli of test was shown \(S0\); stimuli are called"),
        ({"test": ["ss0"]}, r"none of the 1 stimuli of test was shown \(ss0\) \(did you mean 's0'"),
        ({"test": ["s0", "s0"]}, "lists s0 more than once"),
        ({"folds": 36}, "folds is 36 for 35 stimuli; give 2 to 35"),
        ({"folds": 1}, "folds is 1 for 35 stimuli; give 2 to 35"),
        ({"test": 1.0}, "test is 1.0, which is 35 of 35 stimuli"),
        ({"test": 0.0}, "test is 0.0, which is 0 of 35 stimuli"),
        ({"test": 0.01}, "test is 0.01, which is 0 of 35 stimuli"),
        ({"test": 0.99}, "test is 0.99, which is 35 of 35 stimuli"),
        ({"test": [*SHARED, *(f"u{k}" for k in range(29))]}, "leaves 1 stimuli to train on"),
    ):
        refused(message, make_image_split, trials, seed=0, **options)


def test_a_leak_stops_and_names_the_rows(trials) -> None:
    splits = make_image_split(trials, test=SHARED, seed=0)
    row = splits.index[splits["stimulus_id"] == "s2"][1]
    splits.loc[row, ["split", "group"]] = ["train", "elsewhere"]  # split by trial: groups do not show it
    folds_of(splits, trials)
    problems = leakage_audit(splits, trials)
    leak = next(problem for problem in problems if problem.level == "error")
    assert set(leak.rows) == set(trials["trial_id"][trials["stimulus_id"] == "s2"])
    refused(r"fold 0: 1 stimuli occur in more than one split \(s2; trials trial-\d+", stop_on, problems)
    splits.loc[row, ["split", "group"]] = ["val", "s2"]  # validation is a side too
    assert any("s2" in str(problem) for problem in leakage_audit(splits, trials) if problem.level == "error")
    by_run = trials.assign(stimulus_id=(trials["session"] + trials["run"]).astype(int))  # 11 and "11" are one
    assert leakage_audit(make_image_split(by_run, test=["11"], seed=0), by_run) == []  # nor do runs straddle
    splits, changed = make_image_split(trials, test=SHARED, seed=0), trials.copy()
    train = changed.index[changed["stimulus_id"] == "u4"][0]
    changed.loc[train, "stimulus_id"] = "s1"  # the trials were corrected after the splits were made
    texts = [str(problem) for problem in leakage_audit(splits, changed) if problem.level == "error"]
    assert any("1 trials show another stimulus" in text for text in texts)
    assert any("1 stimuli occur in more than one split (s1" in text for text in texts)


def test_stale_and_empty_splits(trials) -> None:
    splits = make_image_split(trials, test=SHARED, seed=0)
    found = leakage_audit(pd.concat([splits, splits[-2:]]), trials.iloc[5:])
    twice, absent = ("trial-0043", "trial-0044"), tuple(f"trial-000{k}" for k in range(5))
    assert [(problem.level, problem.rows) for problem in found[:2]] == [("error", twice), ("error", absent)]
    assert found[0].what.startswith("2 trials occur more than once (trial-0043, trial-0044); make")
    assert found[1].what.startswith("5 trials are not among the responses (trial-0000, ")
    for side, other in (("train", "test"), ("test", "train")):
        unused, empty = leakage_audit(splits[splits["split"] == side], trials)[:2]
        assert (unused.level, empty.level, empty.rows) == ("warning", "error", ())
        assert set(unused.rows) == set(splits["trial_id"][splits["split"] == other])
        assert empty.what == f"there is no {other} trial; make the splits again"


def test_the_card_by_hand() -> None:
    """Numbers that differ from column to column: duplicates within and across, repeats, sessions, runs shared."""
    shown = [("a", "1", "1"), ("a", "1", "1"), ("a", "2", "1"), ("b", "1", "2"), ("c", "1", "2")]
    shown += [("c", "2", "2"), ("d", "2", "3"), ("e", "1", "1"), ("f", "2", "4")]
    trials = complete_trials(pd.DataFrame(shown, columns=["stimulus_id", "session", "run"]), "test")
    split = trials["stimulus_id"].map({"a": "test", "b": "val"}).fillna("train")
    splits = trials[["trial_id", "stimulus_id"]].assign(fold=2, split=split)
    pairs = [("d", "e", "duplicate"), ("a", "b", "duplicate"), ("c", "f", "near-duplicate")]
    pairs += [("a", "d", "near-duplicate"), ("f", "b", "near-duplicate"), ("z", "a", "near-duplicate")]
    audit = ImageAudit(pd.DataFrame(), pd.DataFrame(pairs, columns=["stimulus_a", "stimulus_b", "kind"]))
    columns = ["name", "fold", "split", "n_stimuli", "n_trials", "repeats_min", "repeats_median", "repeats_max"]
    columns += ["n_sessions", "n_runs", "n_runs_shared", "n_duplicates", "n_duplicates_across"]
    columns += ["n_near_duplicates", "n_near_duplicates_across"]
    rows = [
        ("x", 2, "train", 4, 5, 1, 1.0, 2, 2, 5, 2, 1.0, 0.0, 1.0, 2.0),
        ("x", 2, "val", 1, 1, 1, 1.0, 1, 1, 1, 1, 0.0, 1.0, 0.0, 1.0),
        ("x", 2, "test", 1, 3, 3, 3.0, 3, 2, 2, 1, 0.0, 1.0, 0.0, 1.0),
    ]
    expected = pd.DataFrame(rows, columns=columns)
    # Shuffled rows of the splits, and a second split, whose rows come first as its name does.
    both = pd.concat([splits.assign(name="x").iloc[::-1], splits.assign(name="w", split="train")])
    found = split_card(both, trials, audit)
    assert found["name"].tolist() == ["w", "x", "x", "x"]
    pd.testing.assert_frame_equal(found[1:].reset_index(drop=True), expected, check_dtype=False)
    bare = split_card(splits, trials)
    assert bare["name"].tolist() == [""] * 3
    assert bare[columns[-4:]].isna().all(axis=None)
    refused(r"^1 trials of the splits are not among the responses \(trial-0008\)", split_card, splits, trials[:-1])
    straddling, error, warning = leakage_audit(splits.assign(name="x"), trials, audit, near="warning")
    assert {p.where for p in (straddling, error, warning)} == {"splits.x: fold 2"}
    assert [p.level for p in leakage_audit(splits, trials, audit)] == ["warning", "error", "error"]  # unless asked
    assert (error.level, error.rows) == ("error", ("trial-0000", "trial-0001", "trial-0002", "trial-0003"))
    assert (warning.level, warning.rows) == ("warning", tuple(f"trial-000{k}" for k in (0, 1, 2, 3, 6, 8)))
    assert error.what.startswith("1 pairs of duplicate images lie on two sides: a (test) and b (val); leave one")
    pairs = "a (test) and d (train), f (train) and b (val)"
    assert warning.what.startswith(f"2 pairs of near-duplicate images lie on two sides: {pairs}; leave")
    runs = [p for p in leakage_audit(splits, trials) if p.where == "splits: fold 2"]
    assert [(p.level, p.rows) for p in runs] == [("warning", ("ses-1_run-1", "ses-1_run-2"))]
    assert runs[0].what.startswith("2 of 6 runs have trials in more than one split (ses-1_run-1, ses-1_run-2); noise")


@pytest.mark.parametrize("times", [(), (4,)])
def test_repeats_stand_side_by_side(times) -> None:
    trials = make_trials({"a": 3, "b": 3, "c": 3})
    values = np.random.default_rng(0).normal(size=(9, 2, *times))
    responses = responses_of(values, trials["stimulus_id"], times=np.arange(4) if times else None)
    cube, average = repeats_cube(responses), responses.average_repeats()
    np.testing.assert_allclose(cube.mean(axis=0), average.values)
    for column, name in enumerate(average.trials["stimulus_id"]):
        np.testing.assert_array_equal(cube[:, column], values[trials["stimulus_id"] == name])


def test_unequal_repeats() -> None:
    trials = make_trials({"a": 3, "b": 2, "c": 1})
    responses = responses_of(np.random.default_rng(0).normal(size=(6, 2)), trials["stimulus_id"])
    refused(r"shown 1 to 3 times \(fewest: c\)", repeats_cube, responses)
    cube = repeats_cube(responses, unequal="nan")
    np.testing.assert_allclose(np.nanmean(cube, axis=0), responses.average_repeats().values)
    assert np.isfinite(cube[..., 0]).sum() == 6
    refused("1 of 3 stimuli were shown once", repeats_cube, responses, unequal="fewest")
    once = (trials["stimulus_id"] == "c").to_numpy()
    refused("1 of 1 stimuli were shown once", repeats_cube, responses.select(trials=once))
    assert repeats_cube(responses.select(trials=~once), unequal="fewest").shape == (2, 2, 2)


def test_trials_against_the_table_of_stimuli(trials) -> None:
    names = [*SHARED, *(f"u{k}" for k in range(30))]
    assert inspect_trials("x", trials, names, SHARED) == []
    unknown, never = inspect_trials("x", trials, [*names[:-1], "u99"], SHARED)
    assert unknown.what.startswith("1 stimuli were shown that the table of stimuli lacks (u29) (did you mean 'u")
    assert never.what == "1 of 35 stimuli of the table were never shown to this subject (u99)"
    assert [(p.level, p.rows) for p in (unknown, never)] == [("error", ("u29",)), ("warning", ("u99",))]
    told = "none of the 1 test stimuli was shown to this subject; check the ids"
    assert [(p.level, p.what) for p in inspect_trials("x", trials, names, ["s77"])] == [("error", told)]
    lost, none, repeats = inspect_trials("x", trials, ["q1", "q2"])
    assert [p.level for p in (lost, none, repeats)] == ["error", "error", "warning"]
    assert none.what == "none of the 2 stimuli of the table was shown; check the ids"
    assert repeats.what == "stimuli have 1 to 3 repeats (median 1); ceilings allow for it"
    assert set(repeats.rows) == set(names) - set(SHARED)
    tested, all_of_them = (trials, names, ["u1", "u0"]), (make_trials({"u0": 1, "u1": 1}), ["u0", "u1"])
    for kind, given in {"test stimuli": tested, "stimuli": all_of_them}.items():
        (once,) = inspect_trials("x", *given)
        assert (once.level, set(once.rows)) == ("warning", {"u0", "u1"})
        assert once.what.startswith(f"zero repeats: all 2 {kind} were shown once, so there is no noise ceiling")


def test_values_and_rois() -> None:
    trials, values = make_trials({"a": 2, "b": 2}), np.random.default_rng(0).normal(size=(4, 5))
    of = partial(responses_of, stimuli=trials["stimulus_id"], **trials)
    rois = [["V1"], ["V1", "early"], ["V1"], ["V4"], ["V4", "IT", "a"]]
    assert inspect_responses("x", of(values, roi=[["V1"]] * 5)) == []
    values[0, 3] = -999
    values[:2, 4] = 1.0  # the first session
    broken, flat, small = inspect_responses("x", of(values, roi=rois))
    remedy = "shrink the mask, or set bad_targets (bad_channels) to drop, which leaves them out and counts them"
    assert str(broken) == f"x: 1 of 5 targets are NaN, infinite or -999 in some session (v3); {remedy}"
    assert str(flat) == f"x: 1 of 5 targets are constant in some session (v4); {remedy}"
    assert str(small) == "x: 3 ROIs have fewer than 2 targets (early 1, IT 1, a 1); join or leave them out"
    told = [("error", ("v3",)), ("error", ("v4",)), ("warning", ("early", "IT", "a"))]
    assert [(p.level, p.rows) for p in (broken, flat, small)] == told
    over_time = of(np.stack([values, np.where(np.arange(5) == 4, values + 1, 0)], axis=2), roi=rois, times=np.arange(2))
    assert [p.rows for p in inspect_responses("x", over_time)] == [("v3",), ("early", "IT", "a")]
    values[1] = np.nan
    assert "1 trials hold no number (rows 2): drop" in str(inspect_responses("x", of(values))[0])
    targets = of(values, roi=rois).targets.assign(hemi=["R", "L", "R", "L", "L"])
    sizes = [("V1", "R", 2), ("V1", "L", 1), ("early", "L", 1), ("V4", "L", 2), ("IT", "L", 1), ("a", "L", 1)]
    pd.testing.assert_frame_equal(roi_sizes(targets), pd.DataFrame(sizes, columns=["roi", "hemi", "n_targets"]))


@pytest.mark.parametrize("axis", MNI)
@pytest.mark.parametrize("end", [0, 1])
def test_places_outside_of_a_standard_head(axis: str, end: int) -> None:
    limit, beyond = MNI[axis][end], (-1, 1)[end]
    targets = pd.DataFrame({name: np.zeros(41) for name in MNI} | {"target_id": "t"})
    targets.loc[40] = [np.nan, np.nan, np.nan, "t"]  # unknown, and not counted
    targets.loc[[3, 7], axis] = [limit + beyond, limit]
    targets.loc[4, axis] = limit + beyond
    assert space_problems("x", "MNI152", targets) == []  # 2 of 40 are not more than one in twenty
    targets.loc[5, axis] = limit + 9 * beyond
    (problem,) = space_problems("x", "mni152", targets)
    low, high = sorted((0, limit + 9 * beyond))
    spans = ", ".join(f"{name[0]} {low} to {high}" if name == axis else f"{name[0]} 0 to 0" for name in MNI)
    assert (problem.where, problem.level) == ("x.space", "error")
    head = f"{spans} mm; it has x -100 to 100, y -140 to 105, z -90 to 125"
    told = f"space is mni152, but 8% of its targets lie outside of that head ({head}); give mm, or space: scanner"
    assert problem.what == told
    assert space_problems("x", "scanner", targets) == space_problems("x", "", targets) == []
    (nowhere,) = space_problems("x", "MNI152", targets.assign(**dict.fromkeys(MNI, np.nan)))
    assert nowhere.what.startswith("space is MNI152, but no target has x_mm, y_mm, z_mm; give")
    (mesh,) = space_problems("x", "fsaverage5", targets)
    assert mesh.what == "space is fsaverage5, a mesh, but its targets are no vertices; give MNI152 or scanner"
    vertices = targets.assign(vertex=[*range(40), -1])
    (drawn,) = space_problems("x", "MNI152", vertices.assign(y_mm=[np.nan, *[0.0] * 40]))
    assert (drawn.where, drawn.level) == ("x", "warning")
    assert drawn.what.startswith("its targets are vertices of a mesh; scores are written, but not drawn: give surfaces")
    assert space_problems("x", "fsaverage5", vertices) == []  # every vertex has a place; the voxel beside them none
    named = vertices.assign(y_mm=np.nan)
    named.attrs["space"] = {"name": "fsaverage6"}
    assert space_problems("x", "MNI152", named) == []


@pytest.fixture
def sessions() -> pd.DataFrame:
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
def test_every_row_of_every_fold(sessions: pd.DataFrame, case: str) -> None:
    """Runs, told apart by session; pairs of stimuli; a column of a lab's own; stimuli drawn into folds."""
    rule, left_out = TOLD[case]
    sessions["story"] = np.array(list("cab"))[np.arange(16) % 3]
    groups = sessions[{"run": "run", "session": "story"}.get(case, "stimulus_id")]
    if case == "run":
        groups = "ses-" + sessions["session"] + "_run-" + sessions["run"]
        left_out = [(name,) for name in groups.unique()]
    elif case == "drawn":
        left_out = np.array_split(np.random.default_rng(7).permutation(list("abcd")), 3)
    told = sessions[["trial_id", "stimulus_id"]].assign(group=groups)
    sides = [np.where(groups.isin(left), "test", "train") for left in left_out]
    tables = [told.assign(fold=k, seed=7, split=split) for k, split in enumerate(sides)]
    splits = make_splits(sessions, rule, seed=7)
    pd.testing.assert_frame_equal(splits, pd.concat(tables, ignore_index=True))
    for table, (train, test) in zip(tables, folds_of(splits.iloc[::-1], sessions), strict=True):
        assert train.tolist() == np.flatnonzero(table["split"] == "train")[::-1].tolist()
        assert test.tolist() == np.flatnonzero(table["split"] == "test")[::-1].tolist()


def test_limits_of_folds_and_leaks(sessions: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = make_splits(sessions, Split(leave_out="stimulus", size=2), seed=0)
    rows = splits.index[(splits["fold"] == 3) & (splits["split"] == "test")]
    for side in ("train", "val"):
        splits.loc[rows[0], "split"] = side  # one trial of a tested stimulus slips into training
        refused(r"^fold 3: 1 group\(s\) occur in both train and test \(trials t5, t9, t13", folds_of, splits, sessions)
    splits = make_splits(sessions, Split(leave_out="run"), seed=0)
    refused(r"^4 trials of the splits are not among the responses \(t12, t13, t14.*\)", folds_of, splits, sessions[:12])
    assert make_splits(sessions[:12], Split(leave_out="run"), seed=0)["fold"].nunique() == 3
    refused("^leaving out 1 of 2 runs leaves fewer than 2", make_splits, sessions[:8], Split(leave_out="run"), seed=0)
    triples = Split(leave_out="stimulus", size=3)
    refused("^leaving out 3 of 4 stimuli leaves fewer than 2 to train on", make_splits, sessions, triples, seed=0)
    assert make_splits(sessions, Split(leave_out="stimulus", folds=4), seed=0)["fold"].nunique() == 4
    refused("^leaving out 1 of 4 stimuli", make_splits, sessions, Split(leave_out="stimulus", folds=5), seed=0)
    pairs = Split(leave_out="stimulus", size=2)
    monkeypatch.setattr("brainalign.datasets.splits.splits.MAX_FOLDS", 6)
    assert make_splits(sessions, pairs, seed=0)["fold"].nunique() == 6
    monkeypatch.setattr("brainalign.datasets.splits.splits.MAX_FOLDS", 5)
    refused("^every 2 of 4 stimuli left out makes 6 folds; use a smaller", make_splits, sessions, pairs, seed=0)
    told = sessions.assign(story=["", "a", "b", "c"] * 4)
    refused(r"^4 of 16 trials have an empty story \(t0, t4,", make_splits, told, Split(leave_out="story"), seed=0)
    refused(r"no column 'storey' \(did you mean 'story'", make_splits, told, Split(leave_out="storey"), seed=0)
