"""Rules that stages, `check` and `plan` share: each with the least that is enough, and what is just too little."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign import study
from brainalign.study import RunFiles, check_dynamics, check_neural, check_repeated, check_vectors, parse
from brainalign.study.continuous import ContinuousOptions, check_continuous, in_one_space

ONSETS, LOST = np.arange(8.0), np.r_[np.nan, np.arange(1.0, 8)]
TIMES = np.array([-0.1, 0.0, 0.1, 0.2, 0.3])


def test_what_is_enough() -> None:
    for rule, enough, too_little, message in (
        ("test_stimuli", (list("abcdefg"),), (list("abcdeff"),), "7 test stimuli or more; got 6; hold"),
        ("categories", (["a", "b"], "accuracy"), (["a"], "accuracy"), r"1 categories \(a\), but accuracy needs"),
        ("categories", (["a", "b"], "auc"), (list("abc"), "auc"), r"3 categories \(a, b, c\), but auc needs"),
        ("categories", (list("abc"), "accuracy"), ([], "auc"), r"0 categories \(\), but auc needs exactly two"),
        ("folds_within", (list("aaaabbbb"), ONSETS, 2), (list("aaaaabbb"), ONSETS, 2), "of the 3 trials of 'b'"),
        ("folds_within", (["a"] * 8, ONSETS, 4), (["a"] * 8, ONSETS, 5), "5 folds of the 8 trials of 'a'; use 2"),
        ("folds_within", (["a"] * 8, ONSETS, 2), (["a"] * 8, ONSETS, 1), "1 folds of the 8 trials"),
        ("folds_within", (["a"] * 8, ONSETS, 2), (["a"] * 8, LOST, 2), "1 of 8 trials have no onset"),
        ("halves", (40,), (39,), "39 training images make halves of 19; guide and check need 20 each"),
        ("contexts", (60, [10, 20], 3), (59, [20, 10], 3), "3 disjoint contexts of 20 need 60 .* are 59; lower"),
        ("shared_stimuli", (20,), (19,), "models share 19 stimuli; comparing them needs 20 or more"),
        ("shared_objects", (list("abcdefg"), 9, 2), ([], 9, 2), r"0 of 9 objects .* its 2 fMRI subjects \(none\)"),
        ("shared_objects", (list("abcdefg"), 7, 1), (list("abcdef"), 9, 2), r"6 of 9 .*\(a, b, c and 3 more\)"),
        ("combination", ("n", "m", ["b", "a"], ["a", "b"]), ("n", "m", ["b", "c"], ["a", "b"]), "combines c, but"),
        ("combination", ("both", "m", None, ["a", "b"]), ("both", "m", None, ["a"]), "combines m, but the layers"),
        ("repeated", ("crossnobis", 2), ("crossnobis", 1), "crossnobis multiplies repeats"),
        ("latency_window", (TIMES, (0.1, 0.3)), (TIMES, (0.11, 0.3)), r"0\.11 to 0\.3 s holds 2 .* go -0\.1 to"),
        ("latency_window", (TIMES, None), (TIMES, (-0.1, 0.0)), "holds 2 samples"),
        ("repetition_time", (2.0, (3, 3, 3, 2.019), "sec"), (2.0, (3, 3, 3, 2.021), "sec"), "is 2, .* says 2.021"),
        ("repetition_time", (2.0, (3, 3, 3, 1), "sec"), (2.0, (3, 3, 3, 1.5), "sec"), "is 2, .* says 1.5 s"),
        ("repetition_time", (2.0, (3, 3, 3, 2000), "unknown"), (1.0, (3, 3, 3, 2000), "unknown"), "is 1, .* says 2 s"),
        ("repetition_time", (2.0, (3, 3, 3, 0), "sec"), (2.0, (3, 3, 3, 720), "msec"), "is 2, .* says 0.72 s"),
        ("repetition_time", (2.0, (3, 3, 3), "sec"), (2.0, (3, 3, 3, 60), "unknown"), "says 60 s"),
        ("repetition_time", (2.0, (3, 3, 3, 2e6), "usec"), (2.0, (3, 3, 3, 61), "unknown"), "says 0.061 s"),
    ):
        check = getattr(study, f"check_{rule}")
        check(*enough)
        refused(message, check, *too_little)


def test_other_distances_vectors_and_headers() -> None:
    check_repeated("euclidean", 1)
    check_vectors("head", tokens=False)
    refused("layer 'head' holds tokens", check_vectors, "head", tokens=True)
    for tr_s, zooms, doubted in [(2, 1, True), (1.009, 1, False), (1.02, 1, True), (2, 1.1, False)]:
        assert bool(study.guessed_repetition_time(tr_s, (3, 3, 3, zooms))) == doubted
        assert study.guessed_repetition_time(tr_s, (3, 3, zooms)) == ""


def test_frames_of_videos_and_neurons_beside_them() -> None:
    visible = np.ones((3, 9), dtype=bool)
    assert check_dynamics(visible) == 9
    visible[1, 5:7] = visible[2, 6] = False
    assert check_dynamics(visible, context=4, folds=3) == check_dynamics(visible, context=4, folds=2) == 5
    refused("conditions show 5 frames .* after a context of 5", check_dynamics, visible, context=5)
    for folds in (1, 4):
        refused(rf"folds must be 2 to .* \(3\); got {folds}", check_dynamics, visible, folds=folds)
    visible, neural = np.ones((3, 6), dtype=bool), np.ones((3, 6, 4, 2))
    neural[1, 4:] = np.nan
    expected = np.ones((3, 6), dtype=bool)
    expected[1, 4:] = False
    np.testing.assert_array_equal(check_neural(neural, visible), expected)
    for wrong in (neural[..., :1], neural[..., 0], neural[:2], neural[:, :5]):
        refused("give .n_conditions, n_times, n_neurons, n_repeats. with two", check_neural, wrong, visible)
    neural[2, 3, :, 1] = np.nan
    refused("NaN in some neurons or repeats of 1 frames .first: condition 2, frame 3", check_neural, neural, visible)


def runs(**options: object) -> RunFiles:
    given = {"format": "runs", "files": {f"r{k}": f"r{k}.npy" for k in range(4)}}
    return parse(RunFiles, given | (options or {"tr_s": 2.0}), "test")


def test_a_clock_suggests_what_suits_it() -> None:
    for clock, delays, high_pass, trim in (
        ({"tr_s": 2.0}, [1, 2, 3, 4], 0.01, (10, 5)), ({"tr_s": 1.5}, [1, 2, 3, 4, 5, 6], 0.01, (13, 7)),
        ({"tr_s": 5.0}, [1, 2], 0.01, (4, 2)), ({"sfreq_hz": 10.0}, list(range(-1, 7)), 0.0, (0, 0)),
        ({"tr_s": 0.3}, [7, 14, 21, 28], 0.01, (67, 33)), ({"tr_s": 0.29}, [0, 1, 2], 0.0, (0, 0)),
    ):  # fmt: skip
        options, files = ContinuousOptions(), runs(**clock)
        assert (options.delays(files), options.high_pass(files), options.trim(files)) == (delays, high_pass, trim)
        given = ContinuousOptions(delays_s=(0.0, 60.0, -30.0), high_pass_hz=0.02, trim_s=(4.0, 8.0))
        at = runs(tr_s=2.0)
        assert (given.delays(at), given.high_pass(at), given.trim(at)) == ([0, 30, -15], 0.02, (2, 4))
    spaces = {"a": "MNI", "b": "MNI", "c": "T1w", "d": "T1w", "e": "fsaverage", "f": "MNI"}
    asked = SimpleNamespace(recordings=spaces, space_of=spaces.__getitem__)
    together = {"a": ["b", "f"], "b": ["a", "f"], "c": [], "d": [], "e": [], "f": ["a", "b"]}
    assert {name: in_one_space(asked, name) for name in spaces} == together


def studied(rule: dict[str, object] | None = None, **options: object) -> SimpleNamespace:
    """Return what is asked of a study whose four runs are left out in turn."""
    split = SimpleNamespace(**({"leave_out": "run", "size": 1, "folds": None} | (rule or {})))
    return SimpleNamespace(splits={"s": split}, continuous=ContinuousOptions(**options), recordings={"01": runs()})


def test_runs_fit_their_clock_and_folds() -> None:
    for fine, wrong, message in (
        (studied({"leave_out": "story"}), studied({"leave_out": "stimulus"}), "whole runs are left out; give runs"),
        (studied(), studied({"size": 2}), "whole runs are left out"),
        (studied({"folds": 2}), studied({"folds": 2}, test_sets={"t": ("r0",)}), "files: 3 runs to train on"),
        (studied(test_sets={"t": ("r0",)}), studied(test_sets={"t": ("r0", "r1")}), "files: 2 runs to train on"),
        (studied(), studied(test_sets={"t": ("r9",)}), r"r9 is in two sets, or no run of a recording"),
        (studied(), studied(test_sets={"t": ("r0",), "u": ("r0",)}), "r0 is in two sets"),
        (studied(delays_s=(60.0,)), studied(delays_s=(2.0, -62.0)), "-62 s is no delay of responses; .* 60 at most"),
        (studied(delays_s=(4.0,)), studied(delays_s=(4.0, 5.0, 7.0)), "5, 7 are no multiples of the 2 s between rows"),
        (studied(high_pass_hz=0.05), studied(high_pass_hz=0.051), "0.051 Hz leaves little of rows 2 s apart; give"),
    ):
        check_continuous(fine)
        with pytest.raises(ValueError, match=message):
            check_continuous(wrong)


def test_searchlights_are_placed_where_an_array_has_voxels(tmp_path) -> None:
    array = {"format": "array", "values": "v.npy", "trials": "t.tsv"}
    recordings = {"numbered": array} | {name: array | {"targets": f"{name}.csv"} for name in ("cells", "voxels")}
    (tmp_path / "cells.csv").write_text("target_id,x_mm\n")
    (tmp_path / "voxels.csv").write_text("i,j,k\n")
    content = {"name": "s", "stimuli": "s.csv", "recordings": recordings, "splits": {"s": {"share": 0.2}}}
    described = parse(study.Study, content, "test").model_copy(update={"folder": tmp_path})
    described.recordings["a lab's format"] = described.recordings["cells"].model_copy(update={"format": "units"})
    assert (described.searched, described.scanned) == (["voxels"], list(described.recordings))


def test_a_column_is_read_from_tables_of_any_kind(tmp_path) -> None:
    table = pd.DataFrame({"stimulus_id": ["a", "b"], "path": ["x", ""]})
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    (tmp_path / "t.txt").write_text("a\n\n b \n")
    for kind in ("parquet", "csv", "tsv", "txt"):
        assert study.table_column(tmp_path / f"t.{kind}", "stimulus_id") == ["a", "b"]
    assert study.table_column(tmp_path / "t.tsv", "path") == ["x"]
    assert study.table_column(tmp_path / "t.parquet", "none") == study.table_column(tmp_path / "t.csv", "none") == []
