import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made import responses_of
from PIL import Image
from refusals import refused
from scipy.io import wavfile

from brainalign.datasets import studies
from brainalign.study import Study, parse

LENGTHS = {"b": 40, "a": 33, "c": 36}
FILES: dict[str, Any] = {"b": ["b1.npy", "b2.npy"], "a": "a.npy", "c": "c.npy"}
SOUNDS = {"sounds": {run: f"{run}.wav" for run in "bac"}}
FILMS = {"films": {run: run for run in "bac"}, "fps": 2.0}


def study(folder: Path, stimuli: str | None = "events.tsv", files=None, **options: Any) -> Study:
    recorded = {"format": "runs", "tr_s": 2.0, "files": FILES} | (files or {})
    content = {"name": "s", "folder": folder, "recordings": {"01": recorded}, "continuous": options}
    content |= {"splits": {"runs": {"leave_out": "run"}}} | ({"stimuli": stimuli} if stimuli else {})
    return parse(Study, content, "test")


def expected_drifts(n: int, step_s: float, detrend: str, high_pass_hz: float) -> np.ndarray:
    """A constant, a line where one is taken out, and cosines of so many half cycles as the cut-off lets through."""
    time = (np.arange(n) + 0.5) / n
    cosines = [np.cos(np.pi * k * time) for k in range(1, 1 + int(np.floor(2 * n * step_s * high_pass_hz)))]
    return np.stack([np.ones(n), *([time] if detrend == "linear" else []), *cosines], axis=1)


@pytest.mark.parametrize(("detrend", "high_pass_hz"), [("linear", 0.0), ("none", 0.02), ("linear", 0.03)])
def test_slow_drifts_are_a_line_and_cosines(detrend: str, high_pass_hz: float) -> None:
    found = studies.slow_drifts(45, 1.5, detrend, high_pass_hz)
    wanted = expected_drifts(45, 1.5, detrend, high_pass_hz)
    assert found.shape == wanted.shape == (45, {0.0: 2, 0.02: 3, 0.03: 6}[high_pass_hz])
    np.testing.assert_allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-12)
    np.testing.assert_allclose(found @ (found.T @ wanted), wanted, atol=1e-12)


def test_every_presentation_has_its_own_confounds(rng: np.random.Generator) -> None:
    rows = pd.DataFrame({"run": "a", "onset_s": np.arange(30.0)})
    moved = {2: rng.normal(size=(30, 2)), 10: rng.normal(size=(30, 1)), 1: rng.normal(size=(30, 1)) @ [[1.0, -2.0]]}
    for number, values in moved.items():
        for column, name in zip(values.T, "xy", strict=False):
            rows[f"confound {number} {name}"] = column
    rows["confound 3 z"] = np.nan  # of another run
    bases, drifts = studies.run_drifts(rows, 2.0, "linear", 0.02), expected_drifts(30, 2.0, "linear", 0.02)
    assert [basis.shape[1] for basis in bases] == [5, 5, 6]  # of two that are alike one is left; in order of their text
    for basis, number in zip(bases, (1, 10, 2), strict=True):
        together = np.column_stack([drifts, moved[number]])
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-9)
        np.testing.assert_allclose(basis @ (basis.T @ together), together, atol=1e-9)
    (alone,) = studies.run_drifts(rows[["run", "onset_s"]], 2.0, "linear", 0.02)
    np.testing.assert_array_equal(alone, studies.slow_drifts(30, 2.0, "linear", 0.02))


@pytest.fixture
def arrays(tmp_path: Path) -> dict[str, np.ndarray]:
    """Runs of four targets; the third is constant in one presentation of one run."""
    rng, found = np.random.default_rng(1), {}
    for name, n in (("b1", 40), ("b2", 40), ("a", 33), ("c", 36)):
        found[name] = 500 + rng.normal(size=(n, 4)) * [1, 2, 3, 4] + np.linspace(0, 9, n)[:, None]
    found["b2"][:, 2] = 7.0
    for name, values in found.items():
        np.save(tmp_path / f"{name}.npy", values)
    return found


def test_rows_are_trimmed_cleaned_and_averaged(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    about = study(tmp_path, files={"first_row_s": 5.0}, trim_s=[6.0, 4.0], high_pass_hz=0.02)
    found = studies.read_continuous(about, "01")
    assert (found.presentations, found.n_dropped) == ({"b": 2, "a": 1, "c": 1}, 1)
    kept = [0, 1, 3]
    heard: dict[str, list[np.ndarray]] = {}
    for run, names in {"b": ["b1", "b2"], "a": ["a"], "c": ["c"]}.items():
        for name in names:
            rows = arrays[name][3:-2][:, kept]
            drifts = expected_drifts(len(rows), 2.0, "linear", 0.02)
            clean = rows - drifts @ np.linalg.lstsq(drifts, rows, rcond=None)[0]
            heard.setdefault(run, []).append(clean / clean.std(axis=0))
    means = [np.mean(parts, axis=0) for parts in heard.values()]
    np.testing.assert_allclose(found.responses.values, np.concatenate([m / m.std(axis=0) for m in means]), atol=2e-4)
    rows = [(run, 5 + 2 * (3 + k + 0.5), f"{run}_{k}") for run in heard for k in range(LENGTHS[run] - 5)]
    trials = pd.DataFrame(rows, columns=["run", "onset_s", "trial_id"])
    trials = trials.assign(stimulus_id=trials["trial_id"], session="", repeat=1)
    pd.testing.assert_frame_equal(found.responses.trials, trials)
    assert found.responses.units == "z"
    assert found.responses.targets["target_id"].tolist() == ["parcel-0001", "parcel-0002", "parcel-0004"]
    assert found.responses.targets.index.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.repeats.values, np.concatenate(heard["b"]), atol=2e-4)
    twice = pd.concat([trials[trials["run"] == "b"].assign(repeat=k) for k in (1, 2)], ignore_index=True)
    twice["trial_id"] += "_" + twice["repeat"].astype(str)
    pd.testing.assert_frame_equal(found.repeats.trials, twice)
    fast = study(tmp_path, files={"tr_s": None, "sfreq_hz": 4.0}, detrend="none")
    # Samples: no row left out, no drift but the mean, an onset each.
    read = studies.read_continuous(fast, "01").responses
    assert read.trials["onset_s"].tolist() == [k / 4 for run in ("b", "a", "c") for k in range(LENGTHS[run])]
    assert read.targets["target_id"].iloc[0] == "sensor-0001"
    centred = arrays["a"] - arrays["a"].mean(axis=0)
    np.testing.assert_allclose(read.values[40:73], (centred / centred.std(axis=0))[:, kept], atol=2e-4)


def test_runs_that_do_not_fit(tmp_path: Path, arrays) -> None:
    np.save(tmp_path / "d.npy", np.ones((36, 5)))
    for files, message in (
        ({"files": FILES | {"c": ["c.npy", "a.npy"]}}, "files.c: presentations have 33, 36 rows; cut"),
        ({"files": FILES | {"c": ["c.npy", "d.npy"]}}, r"d.npy: an array of float64 and shape \(36, 5\), where"),
        ({"files": FILES | {"b": "b1.npy"}, "repeats": "again"}, "no file holds several .* in an array 'again'"),
    ):
        refused(message, studies.read_continuous, study(tmp_path, files=files, trim_s=[0, 0]), "01")
    message = r"^recordings.01.files.a: 33 rows leave 18 after trimming 10 and 5; a run needs 20: "
    refused(message, studies.read_continuous, study(tmp_path, trim_s=[20, 10]), "01")


def made(onsets: dict[str, np.ndarray]) -> studies.ContinuousRuns:
    trials = pd.concat([pd.DataFrame({"run": run, "onset_s": at}) for run, at in onsets.items()], ignore_index=True)
    values = np.random.default_rng(0).normal(size=(len(trials), 2)).astype(np.float32)
    responses = responses_of(values, [f"t{k}" for k in range(len(trials))], **trials)
    return studies.ContinuousRuns(responses, None, dict.fromkeys(onsets, 1), 0)


RUNS = {"b": np.arange(1.0, 100), "a": np.arange(1.0, 80)}
FITTING = {"b": [5, 60, 95.0], "a": [3, 75.0]}
WHOLE = "every run goes on long after its last event"
IN_MINUTES = f"{WHOLE} (63.1 s beside 79 s); correct tr_s, or give onsets in seconds, if these"
NONE_LEFT = "no event is left when its first row begins (0.5 s beside 1 s); correct first_row_s, trim_s or onsets, in"
CUT = "10% of its events begin after its end (120 s beside 99 s); right where the recording was cut short, else give "
EXCHANGED = "10% of its events begin after its end (120 s beside 99 s); a goes on long after the last event: correct "
TOO_LATE = "60% of its events begin after its end (123 s beside 99 s); give onsets in seconds from the start of the run"


def test_events_outside_of_their_run() -> None:
    for events, where, what in (
        (FITTING | {"z": [1e6]}, None, ""), ({"b": [5, 79.1], "a": [3, 63.1]}, "stimuli", IN_MINUTES),
        ({"b": [5, 79.3], "a": [3, 63.1]}, None, ""),
        ({"b": [5, 79.1]}, "stimuli", f"{WHOLE} (79.1 s beside 99 s); correct tr_s, or give onsets "),
        (FITTING | {"a": [0.25, 0.5]}, "recordings.7.files.a", NONE_LEFT), (FITTING | {"a": [0.5, 1.0]}, None, ""),
        (FITTING | {"b": [*range(1, 20), 120.0]}, None, ""),
        (FITTING | {"b": [*range(1, 19), 119.0, 120.0]}, None, ""),
        (FITTING | {"b": [*range(1, 18), 95, 119.5, 120.0]}, "recordings.7.files.b", CUT),
        ({"b": [*range(1, 18), 95, 119.5, 120.0], "a": [3, 60.0]}, "recordings.7.files.b", EXCHANGED),
        (FITTING | {"b": [5, 60, 121, 122, 123]}, "recordings.7.files.b", TOO_LATE),
    ):  # fmt: skip
        table = pd.DataFrame([(run, at) for run, onsets in events.items() for at in onsets], columns=["run", "onset_s"])
        found = studies.outside_problems("7", made(RUNS), table)
        told = [(where, "warning" if where == "stimuli" or what == CUT else "error")] if where else []
        assert [(p.where, p.level) for p in found] == told
        assert all(p.what.startswith(what) for p in found)


def test_runs_that_are_there_twice_or_without_events(tmp_path: Path) -> None:
    runs = made({"b": np.arange(1.0, 9), "a": np.arange(1.0, 9), "c": np.arange(1.0, 9)})
    values, trials = runs.responses.values, runs.responses.trials
    values[16:] = values[8:16]
    nothing = pd.DataFrame({"run": [], "onset_s": []})
    (problem,) = studies.outside_problems("7", runs, nothing)
    assert (problem.where, problem.level) == ("recordings.7.files", "error")
    assert problem.what == "a and c hold the same numbers, one a copy of the other; name the file of each"
    # Of what was presented twice the presentations are looked at, not their mean; and they beside other runs.
    again = pd.concat([trials[:8].assign(repeat=k) for k in (1, 2)], ignore_index=True)
    again["trial_id"] += "_" + again["repeat"].astype(str)
    heard = replace(runs.responses, values=np.concatenate([values[:8], values[8:16]]), trials=again)
    found = studies.outside_problems("7", replace(runs, repeats=heard, presentations={"b": 2, "a": 1, "c": 1}), nothing)
    assert [p.what.partition(" hold")[0] for p in found] == [f"b (presentation 2) and {run}" for run in "ac"]
    recorded = {"format": "runs", "tr_s": 2.0}
    content = {"name": "s", "folder": tmp_path, "stimuli": "events.tsv", "splits": {"runs": {"leave_out": "run"}}}
    files = {name: {run: f"{name}{run}.npy" for run in runs} for name, runs in {"2": "cad", "1": "abe"}.items()}
    content["recordings"] = {name: recorded | {"files": of} for name, of in files.items()}
    about, events = parse(Study, content, "test"), pd.DataFrame({"run": [*"bzbyae"]})
    found = studies.continuous_problems(about, events)
    unknown = "c, d: no event is of such a run; the table has a, b, e and 2 more: use one name"
    unrecorded = "y, z: nobody was recorded in these runs; left out"
    told = [("recordings.2.files", "error", unknown), ("stimuli", "warning", unrecorded)]
    assert [(p.where, p.level, p.what) for p in found] == told
    assert studies.continuous_problems(about, events[:0]) == []


def test_events_of_a_table(tmp_path: Path) -> None:
    lines = ["story\tonset\tword\tpath", "b\t2.5\tthe\tx.png", "a\t1\tdog\ty.png", "b\t0.5\truns\tz.png"]
    (tmp_path / "events.tsv").write_text("\n".join(lines))
    rows = [("b_00001", "b", 2.5, "the", "x.png"), ("a_00001", "a", 1.0, "dog", "y.png")]
    rows += [("b_00002", "b", 0.5, "runs", "z.png")]
    expected = pd.DataFrame(rows, columns=["stimulus_id", "run", "onset_s", "caption", "path"]).assign(duration_s=0.0)
    pd.testing.assert_frame_equal(studies.read_events(study(tmp_path)), expected)
    named = "run\tstory\tonset\tonset_s\tword\ttext\nb\tx\t9\t2\tno\tdog\n"  # of two names the usual one is read
    both = saved(tmp_path / "both", "task-b_events.tsv", named)
    alone = studies.read_events(study(tmp_path, "both/task-b_events.tsv"))
    for found in (alone, studies.read_event_files(both), studies.events.read_bids_events(both, ["task-b"])):
        assert {*found} - {"stimulus_id", "duration_s"} == {"run", "onset_s", "caption"}
        assert (float(found["onset_s"][0]), found["caption"][0]) == (2.0, "dog")
    for duration in ("-1", "inf"):
        (tmp_path / "events.tsv").write_text(f"run\tonset_s\tduration_s\na\t-3\t0\na\t1\t{duration}\n")
        refused(f"duration_s is '{duration}' in row 2; give seconds", studies.read_events, study(tmp_path))
    (tmp_path / "events.tsv").write_text("run\tonset_s\nb\t2\na\tnan\n")
    refused("onset_s is 'nan' in row 2; give seconds", studies.read_events, study(tmp_path))


def test_frames_and_pieces_of_sound_are_given_to_models(tmp_path: Path) -> None:
    # Sounds of 2.75 and 1.25 s; a film of three frames at two per second, and one of one.
    for run, seconds in (("b", 2.75), ("a", 1.25), ("c", 1.0)):
        wavfile.write(tmp_path / f"{run}.wav", 800, np.zeros(int(800 * seconds), dtype=np.int16))
        (tmp_path / run).mkdir()
        for name in ("frame10.png", "frame9.png", "frame2.PNG") if run == "b" else ("x.png",):
            Image.new("L", (2, 2)).save(tmp_path / run / name)
        (tmp_path / run / "notes.txt").write_text("no frame")
    about = study(tmp_path, **SOUNDS, **FILMS)
    shown = [("b", 1, "b/frame2.PNG"), ("b", 2, "b/frame9.png"), ("b", 3, "b/frame10.png"), ("a", 1, "a/x.png")]
    shown += [("c", 1, "c/x.png")]
    rows = [(f"{r}_film{k:06d}", r, (k - 1) / 2, 0.5, "film", str(tmp_path / path)) for r, k, path in shown]
    frames = pd.DataFrame(rows, columns=["stimulus_id", "run", "onset_s", "duration_s", "sampled", "path"])
    pd.testing.assert_frame_equal(studies.film_frames(about), frames)
    heard, counts = studies.sampled_stimuli(about, "sound", 4.0), {"b": 11, "a": 5, "c": 4}
    pieces = [(f"{run}_sound{k + 1:06d}", run, k / 4, 0.25) for run, n in counts.items() for k in range(n)]
    expected = pd.DataFrame(pieces, columns=["stimulus_id", "run", "onset_s", "duration_s"])
    expected = expected.assign(sampled="sound", path=[str(tmp_path / f"{run}.wav") for run in expected["run"]])
    pd.testing.assert_frame_equal(heard, expected)
    seconds = {"sounds": {"b": 2.75, "a": 1.25, "c": 1.0}, "films": {"b": 1.5, "a": 0.5, "c": 0.5}}
    rows = [(f"continuous.{kind}.{run}", run, n) for kind, runs in seconds.items() for run, n in runs.items()]
    lengths = pd.DataFrame(rows, columns=["where", "run", "seconds"])
    pd.testing.assert_frame_equal(studies.signal_lengths(about), lengths)
    for stimuli, signals, taken in (
        ("events.tsv", SOUNDS | FILMS, {"": None, "caption": None, "path": "film", "film": "film", "sound": "sound"}),
        (None, SOUNDS | FILMS, {"": "film", "caption": "film", "path": "film", "film": "film", "sound": "sound"}),
        ("events.tsv", SOUNDS, {"": None, "path": None, "sound": "sound"}),
        (None, SOUNDS, {"": "sound", "path": "sound", "sound": "sound"}),
        ("events.tsv", {}, {"": None, "path": None}),
    ):
        about = study(tmp_path, stimuli, **signals)
        for reads, signal in taken.items():
            found = studies.sampled_stimuli(about, reads, 4.0)
            assert (None if found is None else set(found["sampled"])) == (None if signal is None else {signal}), reads
    for where, run, seconds, what in (
        ("continuous.sounds.b", "b", 97.0, None), ("continuous.sounds.b", "b", 159.0, None),
        ("continuous.sounds.z", "z", 1.0, None), ("continuous.sounds.b", "b", 96.5, TOO_SHORT),
        ("continuous.films.a", "a", 140.0, CUT_SHORT), ("continuous.films.a", "a", 158.0, TOO_LONG),
    ):  # fmt: skip
        lengths = pd.DataFrame([(where, run, seconds)], columns=["where", "run", "seconds"])
        found = studies.signal_problems(study(tmp_path, **SOUNDS, **FILMS), "01", made(RUNS), lengths)
        told = [] if what is None else [(where, "warning" if what == CUT_SHORT else "error")]
        assert [(p.where, p.level) for p in found] == told
        assert all(problem.what.startswith(what) for problem in found)


TOO_SHORT = "lasts 96.5 s, but rows of subject 01 go on to 99 s: give the whole of it, or trim the end of runs"
CUT_SHORT = "lasts 140 s, but rows of subject 01 go on to 79 s: right where the recording was cut short, else give that"
TOO_LONG = "lasts 158 s, but rows of subject 01 go on to 79 s: one run each is wanted, from its start; or correct fps"

WORDS = [(0.5, 0.25, "the"), (0.75, 0.5, 'dog "Rex"'), (2.0, 1.0, "[barks] 3.5")]
LONG = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
LONG += "xmin = 0\nxmax = 4\ntiers? <exists>\nsize = 3\nitem []:\n"
SHORT = 'File type = "ooTextFile"\n"TextGrid"\n\n0\n4\n<exists>\n1\n"IntervalTier"\n"all"\n0\n4\n3\n'
SHORT += '0.5\n0.75\n"the"\n0.75\n1.25\n"dog ""Rex"""\n2\n3\n"[barks] 3.5"\n'
SRT = '1\n00:00:00,500 --> 00:00:00,750\nthe\n\n2\n00:00:00,750 --> 00:00:01,250\ndog\n"Rex"\n\n'
SRT += "3\n00:00:02,000 --> 00:00:03,000\n[barks] 3.5\n"


def tier(number: int, kind: str, name: str, *entries: str) -> str:
    what = "points" if kind == "TextTier" else "intervals"
    lines = [f"item [{number}]:", f'class = "{kind}"', f'name = "{name}"', "xmin = 0", "xmax = 4"]
    lines.append(f"{what}: size = {len(entries)}")
    keys = ("number", "mark") if kind == "TextTier" else ("xmin", "xmax", "text")
    for k, entry in enumerate(entries, start=1):
        lines.append(f"{what} [{k}]:")
        lines += [f"    {key} = {value}" for key, value in zip(keys, entry.split("|"), strict=True)]
    return "".join(f"    {line}\n" for line in lines)


LONG += tier(1, "IntervalTier", "phones", '0|4|"DH"')
LONG += tier(2, "TextTier", "clicks", '1.5|"left"', '2.5|"right"')
LONG += tier(3, "IntervalTier", "Words", '0.5|0.75|"the"', '0.75|1.25|"dog ""Rex"""', '1.25|2|""', '2|3|"[barks] 3.5"')


def saved(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding=encoding)
    return folder


@pytest.mark.parametrize(("name", "text", "encoding"), [
    ("one.TextGrid", LONG, "utf-8"), ("one.TextGrid", LONG, "utf-16"), ("one.TextGrid", SHORT, "utf-8-sig"),
    ("one.srt", SRT, "utf-16"),
    ("one.tsv", "onset_s\tduration_s\ttext\n0.5\t0.25\tthe\n0.75\t0.5\tdog Rex\n2\t1\t[barks] 3.5\n", "utf-8"),
    ("one.ctm", ";; words\nx 1 0.5 0.25 the\nx 1 0.75 0.5 dog 0.9\nx 1 2.0 1.0 [barks]\n", "utf-8"),
])  # fmt: skip
def test_every_form_holds_the_same_words(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    found = studies.read_event_files(saved(tmp_path / "words", name, text, encoding))
    times = found[["onset_s", "duration_s"]].astype(float).to_numpy().tolist()
    assert times == [pytest.approx(word[:2]) for word in WORDS]
    first = {".ctm": ["the", "dog", "[barks]"], ".tsv": ["the", "dog Rex", "[barks] 3.5"]}
    assert found["caption"].tolist() == first.get(Path(name).suffix, [word[2] for word in WORDS])
    assert set(found["run"]) == {"one"}


def test_subtitles_count_hours_and_minutes(tmp_path: Path) -> None:
    found = studies.read_event_files(saved(tmp_path / "words", "film.srt", "7\n01:02:03,004 --> 02:03:04,005\nlate\n"))
    assert found.loc[0, ["onset_s", "duration_s"]].astype(float).tolist() == pytest.approx([3723.004, 3661.001])


def test_a_tier_is_chosen(tmp_path: Path) -> None:
    folder = saved(tmp_path / "words", "one.TextGrid", LONG)
    clicks = studies.read_event_files(folder, "clicks")
    assert clicks[["onset_s", "duration_s", "caption"]].to_numpy().tolist() == [[1.5, 0.0, "left"], [2.5, 0.0, "right"]]
    refused("continuous.tier must be one of .*phones.*got 'nouns'", studies.read_event_files, folder, "nouns")
    saved(folder, "one.TextGrid", LONG.replace('"Words"', '"speech"'))
    refused("has the tiers phones, clicks, speech; say which with continuous.tier", studies.read_event_files, folder)
    saved(folder, "participants.tsv", "participant_id\tage\nsub-01\t30\n")  # which is no run
    pd.testing.assert_frame_equal(studies.read_event_files(folder, "clicks"), clicks)


def test_a_study_takes_a_folder_of_runs(tmp_path: Path) -> None:
    saved(tmp_path / "words", "one.srt", SRT)
    saved(tmp_path / "words", "two.TextGrid", SHORT)
    saved(tmp_path / "words", "three.ctm", "x 1 0.5 0.25 the\n")
    recorded = {"01": {"format": "runs", "tr_s": 2.0, "files": {run: f"{run}.npy" for run in ("one", "two", "three")}}}
    content = {"name": "s", "folder": tmp_path, "stimuli": "words", "recordings": recorded}
    events = studies.read_events(parse(Study, content | {"splits": {"runs": {"leave_out": "run"}}}, "test"))
    assert events["run"].value_counts().to_dict() == {"one": 3, "two": 3, "three": 1}
    assert events["stimulus_id"].tolist()[:2] == ["one_00001", "one_00002"]
    assert events["caption"].tolist()[-1] == "[barks] 3.5"


@pytest.mark.parametrize(("name", "text", "message"), [
    ("one.TextGrid", "nothing", "no TextGrid"), ("one.TextGrid", LONG[:600], "no TextGrid"),
    ("one.ctm", "x 1 soon 0.25 the\n", "no CTM file"), ("one.srt", "1\n0:00 -> 0:01\nthe\n", "no SRT file"),
    ("one.TextGrid", re.sub(r'"(the|dog|\[barks).*"', '""', SHORT), "holds no event"),
    ("one.txt", "the", "no file of events"),
])  # fmt: skip
def test_what_is_no_annotation_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    refused(message, studies.read_event_files, saved(tmp_path / "words", name, text))
