import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import peak_bytes, run_step
from made import muse_table, write_yaml

from brainalign import datasets
from brainalign.datasets import formats, studies
from brainalign.io import load_sidecar
from brainalign.study import load_descriptor

EPOCHS = {"band_hz": None, "tmin_s": -0.1, "tmax_s": 0.4}
DECODED: dict[str, Any] = {"markers": {"1": "house", "2": "face"}, "epochs": EPOCHS}


def eeg(n: int, seed: int, drift: float = 0.0) -> np.ndarray:
    """Return epochs (n, 8, 50) of a signal common to all, noise, and a slow walk of every channel."""
    rng = np.random.default_rng(seed)
    evoked = 3 * np.sin(np.linspace(0, 9, 50)) * np.random.default_rng(99).normal(size=(8, 1))
    walk = drift * np.cumsum(rng.normal(size=(n, 8)), axis=0)
    offsets = walk[:, :, None] + drift * rng.normal(size=(n, 8, 1)) * np.linspace(0, 1, 50) + 20 * drift
    return evoked + offsets + rng.normal(size=(n, 8, 50))


def patterns(n: int, seed: int) -> np.ndarray:
    """Return volumes (n, 300) in scanner units: an anatomy that is the same in all, and 1 % of change."""
    rng = np.random.default_rng(seed)
    return np.random.default_rng(7).uniform(200, 2000, 300) * (1 + 0.01 * rng.normal(size=(n, 300)))


def known(values, name: str = "t", place: str = "1"):
    return formats.fingerprint(values, [f"{name}{k}" for k in range(len(values))], [place] * len(values))


WRITTEN = {
    "as it was": lambda values: values, "in single precision": lambda values: values.astype(np.float32),
    "in 16 bits": lambda values: np.round(values / (step := np.abs(values).max() / 32767)).astype(np.int16) * step,
    "in text of six digits": lambda values: np.array([float(f"{x:.6g}") for x in values.ravel()]).reshape(values.shape),
    "in another order": lambda values: values[::-1], "in part": lambda values: values[5:15],
}  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("make", [eeg, lambda n, seed: eeg(n, seed) * (np.arange(8) != 2)[:, None], patterns])
def test_a_recording_is_known_again_however_it_was_written(make, written) -> None:
    first, second = make(40, 1), make(40, 2)
    copy = WRITTEN[written](first)
    # Half of the second recording is its own: whole trials are compared, not recordings.
    pairs = formats.copied_trials({"01": known(first, "a"), "02": known(np.concatenate([second, copy]), "b", "2")})
    rows = {"in another order": range(39, -1, -1), "in part": range(5, 15)}.get(written, range(40))
    expected = [(f"b{40 + row}", f"a{of}") for row, of in enumerate(rows)]
    assert sorted(zip(pairs["trial_b"], pairs["trial_a"], strict=True)) == sorted(expected)


UNLIKE = {
    "noise": lambda seed: eeg(200, seed), "slow drift": lambda seed: eeg(200, seed, drift=50.0),
    "an anatomy": lambda seed: patterns(200, seed),
    "few targets": lambda seed: np.random.default_rng(seed).normal(size=(200, 8)),
    "one loud target": lambda seed: patterns(200, seed) * np.where(np.arange(300) == 0, 1e5, 1),
    "counts of few spikes": lambda seed: np.random.default_rng(seed).poisson(0.3, size=(200, 40)).astype(float),
    "repeats of a stimulus": lambda seed: np.tile(patterns(50, 0), (4, 1)) + patterns(200, seed),
    "flat and missing trials": lambda seed: np.where(np.arange(200)[:, None] < 20, np.nan, np.zeros((200, 30))),
}  # fmt: skip


@pytest.mark.parametrize("data", UNLIKE)
def test_trials_of_their_own_are_no_copies(data) -> None:
    make = UNLIKE[data]
    assert formats.copied_trials({"01": known(make(3), place="1"), "02": known(make(4), place="2")}).empty


@pytest.mark.parametrize("places", [1, 5])
def test_a_huge_artefact_makes_no_other_trials_copies(places: int) -> None:
    values = np.random.default_rng(5).normal(size=(100, 32))
    values[[7, 60]] *= 1e4
    assert formats.copied_trials({f"{k:02d}": known(values[[k]]) for k in range(30)}).empty
    ids, at = [f"t{k}" for k in range(100)], [str(k % places) for k in range(100)]
    assert formats.copied_trials({"01": formats.fingerprint(values, ids, at)}).empty
    values[90] = values[20] * (1 + 1e-5)
    found = formats.copied_trials({"01": formats.fingerprint(values, ids, at)})
    assert found[["trial_a", "trial_b"]].to_numpy().tolist() == [["t20", "t90"]]


def test_targets_silent_in_most_trials_do_not_hide_a_copy() -> None:
    """Their quartiles are what rounding left of channels that are dead nine times in ten."""
    first, other = eeg(40, 1), eeg(40, 2)
    for seed, values in enumerate((first, other)):
        values[np.arange(40) % 10 != 0, :6] = 1 + 1e-12 * np.random.default_rng(seed).normal(size=(36, 6, 50))
    pairs = formats.copied_trials({"01": known(first), "02": known(first.astype(np.float32)), "03": known(other)})
    assert set(pairs["part_a"] + pairs["part_b"]) == {"0102"}
    assert (pairs["trial_a"] == pairs["trial_b"]).sum() == len(pairs) == 40


def test_what_is_kept_of_a_trial_by_hand_takes_little_memory(monkeypatch: pytest.MonkeyPatch, rng) -> None:
    """All values of a small trial; of series what a line of each channel leaves; of a large one the same 256."""
    maps, series, large = rng.normal(size=(5, 7)), rng.normal(size=(4, 3, 6)).cumsum(axis=2), rng.normal(size=(3, 300))
    line, channels = np.column_stack([np.ones(6), np.arange(6)]), series.reshape(12, 6).T
    left = (channels - line @ np.linalg.lstsq(line, channels, rcond=None)[0]).T
    for block in (1 << 19, 40):
        monkeypatch.setattr("brainalign.datasets.formats.copies.BLOCK_VALUES", block)
        kept = formats.fingerprint(maps, list("abcde"), list("11223"))
        np.testing.assert_array_equal(kept.values, maps.astype(np.float32))
        assert (kept.trials.tolist(), kept.places.tolist(), kept.shape) == (list("abcde"), list("11223"), (7,))
        np.testing.assert_allclose(known(series).values, left.reshape(4, 18), atol=1e-6)
        pairs = series[:, :, :2]  # through two points any line goes
        np.testing.assert_array_equal(known(pairs).values, pairs.reshape(4, 6).astype(np.float32))
        some = known(large)
        assert some.values.shape == (3, 256)
        columns = [large[0].astype(np.float32).tolist().index(value) for value in some.values[0].tolist()]
        assert columns == sorted(set(columns))
        np.testing.assert_array_equal(some.values, large[:, columns].astype(np.float32))
    values = np.zeros((100, 64, 1000), dtype=np.float32)  # 26 MB; 3 * 51 MB where all are held in float64
    assert peak_bytes(lambda: known(values)) < 25e6
    assert known(values).values.shape == (100, 256)


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("factor", [0.93, 1.07])
def test_how_near_a_copy_is(silent: bool, factor: float) -> None:
    """In units of the spread within recordings, the median over them: below a hundredth of it in the mean square."""
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(size=(41, 60)) * scale for scale in (1, 5, 2)])
    if silent:  # in most trials: quartiles say nothing, and the standard deviation counts
        values *= rng.uniform(size=values.shape) < 0.3
    recordings = np.repeat([0, 1, 2], 41)

    def spread() -> np.ndarray:
        parts = [values[recordings == k] for k in range(3)]
        low, high = np.percentile(parts, [25, 75], axis=1)
        return np.median(np.where(high > low, (high - low) / 1.349, np.std(parts, axis=1, ddof=1)), axis=0)

    for _ in range(3):  # the copy itself changes the spread a little
        values[100] = values[7] + 0.01 * factor * spread() * np.where(np.arange(60) % 2, 1, -1)
    names, places = [f"t{k}" for k in range(123)], [f"r{k}" for k in recordings]
    assert np.sqrt(np.mean(((values[100] - values[7]) / spread()) ** 2)) == pytest.approx(0.01 * factor, rel=0.02)
    found = formats.copied_trials({"x": formats.fingerprint(values, names, places)})
    assert found.to_numpy().tolist() == ([["x", "r0", "t7", "x", "r2", "t100"]] if factor < 1 else [])


def test_pairs_of_copies_are_a_table() -> None:
    values, others = patterns(6, 1), patterns(4, 2)
    values[5], values[3], others[2] = values[1], values[0], values[1]
    parts = {"b": formats.fingerprint(values, list("uvwxyz"), list("112233"))}
    parts |= {"a": formats.fingerprint(others, list("klmn"), list("1112"))}
    columns = ["part_a", "place_a", "trial_a", "part_b", "place_b", "trial_b"]
    rows = [("b", "1", "u", "b", "2", "x"), ("b", "1", "v", "b", "3", "z")]
    rows += [("b", "1", "v", "a", "1", "m"), ("b", "3", "z", "a", "1", "m")]
    pd.testing.assert_frame_equal(formats.copied_trials(parts), pd.DataFrame(rows, columns=columns), check_dtype=False)
    problems = formats.copy_problems(formats.copied_trials(parts), "here")
    levels = [("error", ("u", "x")), ("error", ("v", "z")), ("warning", ("v", "m")), ("warning", ("z", "m"))]
    assert [(p.level, p.rows) for p in problems] == levels
    twice = "; a recording seems to be there twice: leave one copy out"
    told = "1 pairs of trials of b 1 and of b 2 have the same signals (u = x), and one copy trains what is tested on"
    assert problems[0].what == f"{told} the other{twice}"
    assert problems[2].what == f"1 pairs of trials of b 1 and of a 1 have the same signals (v = m){twice}"
    same = formats.copied_trials({"x": formats.fingerprint(values[[0, 1, 0]], list("abc"), ["1", "1", "1"])})
    what = formats.copy_problems(same, "here")[0].what
    assert what.startswith("1 pairs of trials within x 1 have the same signals (a = c)")


def test_copies_stop_where_they_lie_on_two_sides() -> None:
    values, names = eeg(20, 1), [f"t{k}" for k in range(23)]
    twice = formats.fingerprint(np.concatenate([values, values[:3]]), names, ["1"] * 20 + ["2"] * 3)
    pairs = formats.copied_trials({"01": twice})
    (problem,) = formats.copy_problems(pairs, "subjects.01")
    assert (problem.level, problem.rows) == ("error", ("t0", "t1", "t2", "t20", "t21", "t22"))

    def split(tested: list[str]) -> pd.DataFrame:
        sides = {f"t{k}": "test" if f"t{k}" in tested else "train" for k in range(23)}
        return pd.DataFrame({"trial_id": [*sides], "fold": 0, "split": [*sides.values()]})

    (problem,) = formats.copy_problems(pairs, "x", [split(["t0", "t20", "t1", "t21", "t2", "t22"])])
    assert problem.level == "warning"
    problems = formats.copy_problems(pairs, "x", [split(["t0", "t20", "t5"]), split(["t1"])])
    assert sorted((p.level, len(p.rows)) for p in problems) == [("error", 2), ("warning", 4)]
    # Other subjects are pages of their own: a copy there leaks into no test, but counts twice in a group.
    (other,) = formats.copy_problems(formats.copied_trials({"01": known(values), "02": known(values)}), "x")
    assert other.level == "warning"


def test_files_of_the_same_bytes_are_named(tmp_path: Path, rng: np.random.Generator) -> None:
    content = {name: rng.bytes(300_000) for name in "abc"}
    content["copy of a"] = content["a"]
    for at in (150_001, 99_000):
        content[f"a, one bit at {at}"] = content["a"][:at] + bytes([content["a"][at] ^ 1]) + content["a"][at + 1 :]
    content |= {"empty": b"", "empty too": b""}
    files = {}
    for number, (name, data) in enumerate(content.items()):
        files[name] = tmp_path / f"{number}.bin"
        files[name].write_bytes(data)
    assert formats.copied_files(files | {"folder": tmp_path}) == [("a", "copy of a")]


def levels(path: Path) -> list[tuple[str, str]]:
    return [(problem.level, problem.where) for problem in datasets.audit_study(load_descriptor(path)).problems]


def run_prepare(path: Path, subject: str, to: Path) -> int:
    names = ("responses.safetensors", "splits.parquet", "ceiling.parquet", "noise.safetensors")
    outputs = {name.partition(".")[0]: to / name for name in (*names, "mask.nii.gz", "bold.nii.gz")}
    to.mkdir(exist_ok=True)
    files = {"inputs": {"descriptor": path, "folder": path.parent}, "outputs": outputs}
    return run_step("prepare_blocks", {"prepare": {"n_halvings": 2}}, **files, labels={"subject": subject})


def test_a_run_or_an_image_that_is_there_twice(small, tmp_path, fails) -> None:
    path = small.write()
    descriptor = yaml.safe_load(path.read_text())
    shutil.copy(small.folder / "bold.nii.gz", small.folder / "other.nii.gz")
    descriptor["recordings"]["2"] = descriptor["recordings"]["1"] | {"bold": "other.nii.gz"}
    assert sorted(levels(write_yaml(path, descriptor))) == [("warning", "recordings.2.bold"), ("warning", "subjects")]
    # Written in another way, the bytes differ, and the signals tell.
    image = nibabel.load(small.folder / "bold.nii.gz")
    other = nibabel.Nifti1Image(image.get_fdata(), image.affine)
    other.header.set_zooms(image.header.get_zooms())
    other.header.set_xyzt_units(*image.header.get_xyzt_units())
    nibabel.save(other, small.folder / "other.nii.gz")
    assert levels(path) == [("warning", "subjects")]
    descriptor["recordings"]["2"]["bold"] = "bold.nii.gz"
    assert run_prepare(write_yaml(path, descriptor), "2", tmp_path / "out") == 0
    (note,) = load_sidecar(tmp_path / "out" / "responses.safetensors")["details"]["warnings"]
    assert "same bytes" in note
    volumes, runs = small.volumes(), np.array([line.split()[1] for line in small.labels])
    volumes[..., np.flatnonzero(runs == "2")[4:9]] = volumes[..., np.flatnonzero(runs == "0")[4:9]]
    path = small.write(volumes=volumes)
    assert ("error", "small: recordings.1.bold") in levels(path)
    fails("5 pairs of trials of run 0 and of run 2", run_prepare, path, "1", tmp_path / "out")


def test_trials_of_a_test_image_in_training_stop(scenes) -> None:
    path, trials = scenes.write(), scenes.trials
    tested = trials["stimulus_id"].isin(scenes.scenes["stimulus_id"][: scenes.n_test]).to_numpy()
    one, other = np.flatnonzero(tested)[0], np.flatnonzero(~tested)[3]
    for hemi in ("L", "R"):
        file = scenes.folder / f"{hemi}_betas.func.gii"
        image = nibabel.load(file)
        image.darrays[other].data[:] = image.darrays[one].data
        nibabel.save(image, file)
    (problem,) = datasets.audit_study(load_descriptor(path)).errors
    assert (problem.where, set(problem.rows)) == ("recordings.01", {trials["trial_id"][one], trials["trial_id"][other]})


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    for number in range(3):
        muse_table(number).to_csv(tmp_path / f"{number}.csv", index=False)
    # The third again, in few digits after the point, and without its beginning.
    muse_table(2).iloc[900:].round(3).to_csv(tmp_path / "again.csv", index=False)
    return with_recordings(tmp_path / "twice.yaml", s1=["0.csv", "1.csv", "2.csv"])


def with_recordings(path: Path, **subjects: list[str]) -> Path:
    files = {name[1:]: {"format": "muse", "recordings": recordings} for name, recordings in subjects.items()}
    return write_yaml(path, DECODED | {"name": "twice", "recordings": files})


def run_prepare_recordings(path: Path, subject: str, to: Path) -> int:
    files = {"inputs": {"descriptor": path}, "outputs": {"responses": to / "responses.safetensors"}}
    return run_step("prepare_recordings", **files, labels={"subject": subject})


@pytest.mark.parametrize("second", ["0.csv", "again.csv"])
def test_a_recording_that_is_there_twice_stops(recorded, second, tmp_path, fails) -> None:
    first = "0.csv" if second == "0.csv" else "2.csv"
    (tmp_path / "copy.csv").write_bytes((tmp_path / second).read_bytes())
    path = with_recordings(recorded, s1=[first, "1.csv", "copy.csv"])
    assert ("error", "recordings.1") in levels(path)
    fails("have the same signals", run_prepare_recordings, path, "1", tmp_path)


def test_a_recording_of_two_people_is_told(recorded, tmp_path) -> None:
    assert levels(recorded) == []
    path = with_recordings(recorded, s1=["0.csv", "1.csv"], s2=["2.csv", "1.csv"])
    assert [level for level, _ in levels(path)] == ["warning", "warning"]
    assert run_prepare_recordings(path, "2", tmp_path) == 0
    (note,) = load_sidecar(tmp_path / "responses.safetensors")["details"]["warnings"]
    assert "1.csv" in note


def test_modalities_series_and_matrices(rng: np.random.Generator) -> None:
    signals = rng.normal(size=(40, 6, 20))
    signals[31] = signals[3]
    signals[8] = signals[7]
    trials = pd.DataFrame({"stimulus_id": [f"i{k}" for k in range(40)], "subject": "01"})
    trials["split"] = np.where(np.arange(40) < 30, "train", "test")
    problems = studies.modality_copies(studies.ModalityData(pd.DataFrame(), None, {"eeg": signals}, {"eeg": trials}))
    assert {(problem.level, problem.rows) for problem in problems} == {("error", ("3", "31")), ("warning", ("7", "8"))}
    series = rng.normal(size=(6, 50, 9)).astype(np.float32)
    series[5], series[1] = series[2], series[0]
    people = pd.DataFrame({"subject": list("aabbcc"), "run": list("121212"), "split": "", "n_frames": 50})
    study = formats.RegionRuns(series, people, pd.DataFrame({"region_id": list("abcdefghi"), "network": "n"}), 1.0, [])
    found = {(problem.level, problem.rows) for problem in formats.series_copies(study)}
    assert found == {("error", ("2", "5")), ("warning", ("0", "1"))}
    matrices = rng.uniform(size=(4, 2, 45))
    assert formats.rdm_copies({"it": matrices}) == []
    matrices[3, 0] = matrices[1, 1]
    (problem,) = formats.rdm_copies({"it": matrices})
    assert (problem.level, problem.rows) == ("error", ("3", "6"))
    assert "subject 2 session 2 and of subject 4 session 1" in problem.what


def copies_of(descriptor: dict[str, Any], path: Path) -> list[tuple[str, set[str]]]:
    found = formats.copied_recordings(load_descriptor(write_yaml(path, descriptor | {"name": "folders"})))
    return [(p.level, {word.rstrip(");") for word in p.what.split() if word.startswith("/")}) for p in found]


@pytest.mark.parametrize(("kind", "ending"), [("volume", "desc-preproc_bold.nii.gz"), ("cifti", "bold.dtseries.nii")])
def test_of_derivatives_only_the_series_that_are_read_are_compared(tmp_path, kind, ending) -> None:
    def write(name: str, content: bytes) -> str:
        file = tmp_path / "deriv" / f"sub-{name[:2]}" / "func" / f"sub-{name}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return str(file)

    sidecar = ending.replace(".dtseries.nii", ".json").replace(".nii.gz", ".json")
    for subject in ("01", "02", "03"):
        stem = f"{subject}_task-rest"
        write(f"{stem}_{ending}", f"series of {subject}".encode())
        write(f"{stem}_{sidecar}", b'{"RepetitionTime": 2.0}')
        write(f"{stem}_desc-brain_mask.nii.gz", b"the mask of the template")
        write(f"{stem}_desc-brain_mask.json", b'{"Type": "Brain"}')
        write(f"{stem}_desc-confounds_timeseries.tsv", b"rot_x\n0\n")
        write(f"{subject}_task-film_{ending}", b"another task")
        write(f"{subject}_task-film_{sidecar}", b'{"RepetitionTime": 2.0}')
    write(f"03_task-rest_{ending}", b"series of 01")  # whom the table leaves out
    (tmp_path / "people.csv").write_text("subject\nsub-01\n02\n")
    for name in ("atlas.nii.gz", "names.csv"):
        (tmp_path / name).write_bytes(b"series of 01")
    scans = {"atlas": "atlas.nii.gz", "names": "names.csv", "kind": kind, "task": "rest"}
    files = {"format": "series", "people": "people.csv", "derivatives": "deriv", "scans": scans}
    descriptor, path = {"recordings": {"all": files}}, tmp_path / "series.yaml"
    assert copies_of(descriptor, path) == []
    copy = write(f"02_task-rest_{ending}", b"series of 01")
    assert copies_of(descriptor, path) == [("error", {copy, copy.replace("sub-02", "sub-01")})]


def test_tables_of_series_of_one_name_are_told_apart(tmp_path) -> None:
    for subject in ("1", "2"):
        (tmp_path / subject).mkdir()
        (tmp_path / subject / "rest.csv").write_text(f"a,b\n{subject},0\n")
    (tmp_path / "people.csv").write_text("subject,path\n1,1/rest.csv\n2,2/rest.csv\n")
    descriptor = {"recordings": {"all": {"format": "series", "people": "people.csv", "tr_s": 2.0}}}
    assert copies_of(descriptor, tmp_path / "series.yaml") == []
    shutil.copy(tmp_path / "1" / "rest.csv", tmp_path / "2" / "rest.csv")
    both = {str(tmp_path / subject / "rest.csv") for subject in "12"}
    assert copies_of(descriptor, tmp_path / "series.yaml") == [("error", both)]


@pytest.mark.parametrize("session", [None, "01"])
def test_of_a_bids_folder_only_the_recordings_that_are_read_are_compared(tmp_path, session) -> None:
    def write(name: str, content: bytes, session: str | None = session) -> str:
        place = f"sub-01/ses-{session}" if session else "sub-01"
        file = tmp_path / "bids" / place / "meg" / f"{place.replace('/', '_')}_{name}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return str(file)

    names = [f"task-face_run-{run}_meg.fif" for run in ("1", "2", "10")]
    one, other, not_read = [write(name, name.encode()) for name in names]
    assert Path(not_read).write_bytes(Path(one).read_bytes())
    for content, at in ((b"crosstalk", session), (b"crosstalk", "02")):
        write("acq-crosstalk_meg.fif", content, at)
    write("acq-crosstalk2_meg.fif", b"crosstalk")
    write("task-faces_run-1_meg.fif", b"another task")
    write("task-noise_meg.fif", b"another task")
    write("task-face_run-1_meg.json", b"{}")
    write("task-face_run-2_meg.json", b"{}")
    if session:  # else all sessions of the task are read
        write("task-face_run-1_meg.fif", Path(one).read_bytes(), "02")
    files = {"format": "bids", "root": "bids", "participant": "01", "task": "face", "runs": ["1", "2"]}
    files |= {"datatype": "meg", "session": session}
    descriptor, path = DECODED | {"recordings": {"1": files}}, tmp_path / "meg.yaml"
    assert copies_of(descriptor, path) == []
    assert Path(other).write_bytes(Path(one).read_bytes())
    assert copies_of(descriptor, path) == [("error", {one, other})]
    files["runs"] = None  # the only file of the task: whatever its run
    assert copies_of(descriptor, path) == [("error", {not_read, one}), ("error", {not_read, other})]
