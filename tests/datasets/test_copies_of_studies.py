"""A recording that is in a study twice: named by `check`, and stopped by the stage that prepares it where it leaks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import run_step

from brainalign.datasets import (
    ModalityData,
    RegionRuns,
    audit_study,
    copied_recordings,
    modality_copies,
    rdm_copies,
    series_copies,
)
from brainalign.io import load_sidecar
from brainalign.study import load_descriptor


def levels(path: Path) -> list[tuple[str, str]]:
    return [(problem.level, problem.where) for problem in audit_study(load_descriptor(path)).problems]


# ---------------------------------------------------------------------------------------------------------- blocks


def run_prepare(path: Path, subject: str, to: Path) -> int:
    names = ("responses.safetensors", "splits.parquet", "ceiling.parquet", "noise.safetensors")
    outputs = {name.partition(".")[0]: to / name for name in (*names, "mask.nii.gz", "bold.nii.gz")}
    to.mkdir(exist_ok=True)
    labels, settings = {"subject": subject}, {"prepare": {"n_halvings": 2}}
    return run_step(
        "prepare_blocks", settings, inputs={"descriptor": path, "folder": path.parent}, outputs=outputs, labels=labels
    )


def test_a_run_that_is_there_twice_stops(small, tmp_path, capsys) -> None:
    volumes = small.volumes()
    runs = np.array([line.split()[1] for line in small.labels])
    volumes[..., np.flatnonzero(runs == "2")[4:9]] = volumes[..., np.flatnonzero(runs == "0")[4:9]]
    path = small.write(volumes=volumes)
    assert ("error", "small: recordings.1.bold") in levels(path)
    assert run_prepare(path, "1", tmp_path / "out") == 2
    assert "5 pairs of trials of run 0 and of run 2" in capsys.readouterr().err


def test_one_image_under_two_subjects_is_told(small, tmp_path) -> None:
    path = small.write()
    descriptor = yaml.safe_load(path.read_text())
    shutil.copy(small.folder / "bold.nii.gz", small.folder / "other.nii.gz")
    descriptor["recordings"]["2"] = descriptor["recordings"]["1"] | {"bold": "other.nii.gz"}
    path.write_text(yaml.safe_dump(descriptor))
    assert sorted(levels(path)) == [("warning", "recordings.2.bold"), ("warning", "subjects")]
    # Written in another way, the bytes differ, and the signals tell.
    image = nibabel.load(small.folder / "bold.nii.gz")
    other = nibabel.Nifti1Image(image.get_fdata(), image.affine)
    other.header.set_zooms(image.header.get_zooms())
    other.header.set_xyzt_units(*image.header.get_xyzt_units())
    nibabel.save(other, small.folder / "other.nii.gz")
    assert levels(path) == [("warning", "subjects")]
    descriptor["recordings"]["2"]["bold"] = "bold.nii.gz"
    path.write_text(yaml.safe_dump(descriptor))
    assert run_prepare(path, "2", tmp_path / "out") == 0
    (note,) = load_sidecar(tmp_path / "out" / "responses.safetensors")["details"]["warnings"]
    assert "same bytes" in note


# ---------------------------------------------------------------------------------------------------------- images


def test_trials_of_a_test_image_in_training_stop(scenes) -> None:
    path = scenes.write()
    trials = scenes.trials
    tested = trials["stimulus_id"].isin(scenes.scenes["stimulus_id"][: scenes.n_test]).to_numpy()
    one, other = np.flatnonzero(tested)[0], np.flatnonzero(~tested)[3]
    for hemi in ("L", "R"):
        file = scenes.folder / f"{hemi}_betas.func.gii"
        image = nibabel.load(file)
        image.darrays[other].data[:] = image.darrays[one].data
        nibabel.save(image, file)
    found = audit_study(load_descriptor(path))
    (problem,) = found.errors
    assert problem.where == "recordings.01"
    assert set(problem.rows) == {trials["trial_id"][one], trials["trial_id"][other]}


# ------------------------------------------------------------------------------------------------------ recordings


def muse(path: Path, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = 5120
    table = pd.DataFrame({"timestamps": 1.5e9 + np.arange(n) / 256})
    for name in ("TP9", "AF7", "AF8", "TP10", "Right AUX"):
        table[name] = 10 * rng.normal(size=n)
    table["Marker0"] = 0
    at = np.arange(200, n - 200, 205)
    table.loc[at, "Marker0"] = np.resize([1, 2], len(at))
    table.to_csv(path, index=False)
    return table


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    tables = [muse(tmp_path / f"{number}.csv", number) for number in range(3)]
    # The third again, in single digits after the point, and without its beginning.
    shorter = tables[2].iloc[900:].round(3)
    shorter.to_csv(tmp_path / "again.csv", index=False)
    descriptor: dict[str, Any] = {
        "name": "twice",
        "title": "EEG",
        "citation": {"text": "Nobody (2026). Simulated."},
        "licence": "CC0",
        "source": "tests",
        "recordings": {"1": {"format": "muse", "recordings": ["0.csv", "1.csv", "2.csv"]}},
        "markers": {"1": "house", "2": "face"},
        "epochs": {"band_hz": None, "tmin_s": -0.1, "tmax_s": 0.4},
        "windows": {"n170": [0.14, 0.2]},
        "sensors": {"temporal": ["TP9", "TP10"]},
    }
    path = tmp_path / "twice.yaml"
    path.write_text(yaml.safe_dump(descriptor))
    return path


def with_recordings(path: Path, **subjects: list[str]) -> Path:
    descriptor = yaml.safe_load(path.read_text())
    descriptor["recordings"] = {
        name.removeprefix("s"): {"format": "muse", "recordings": files} for name, files in subjects.items()
    }
    path.write_text(yaml.safe_dump(descriptor))
    return path


def run_prepare_recordings(path: Path, subject: str, to: Path) -> int:
    outputs = {"responses": to / "responses.safetensors"}
    labels = {"subject": subject}
    return run_step("prepare_recordings", inputs={"descriptor": path}, outputs=outputs, labels=labels)


def test_recordings_of_their_own_pass(recorded) -> None:
    assert levels(recorded) == []


@pytest.mark.parametrize("second", ["0.csv", "again.csv"])
def test_a_recording_that_is_there_twice_stops(recorded, second, tmp_path, capsys) -> None:
    first = "0.csv" if second == "0.csv" else "2.csv"
    (tmp_path / "copy.csv").write_bytes((tmp_path / second).read_bytes())
    path = with_recordings(recorded, s1=[first, "1.csv", "copy.csv"])
    assert ("error", "recordings.1") in levels(path)
    assert run_prepare_recordings(path, "1", tmp_path) == 2
    assert "have the same signals" in capsys.readouterr().err


def test_a_recording_of_two_people_is_told(recorded, tmp_path) -> None:
    path = with_recordings(recorded, s1=["0.csv", "1.csv"], s2=["2.csv", "1.csv"])
    assert [level for level, _ in levels(path)] == ["warning", "warning"]
    assert run_prepare_recordings(path, "2", tmp_path) == 0
    (note,) = load_sidecar(tmp_path / "responses.safetensors")["details"]["warnings"]
    assert "1.csv" in note


# ------------------------------------------------------------------------------------- modalities, series, matrices


def test_modalities_series_and_matrices() -> None:
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(40, 6, 20))
    signals[31] = signals[3]
    signals[8] = signals[7]
    trials = pd.DataFrame({"stimulus_id": [f"i{k}" for k in range(40)], "subject": "01"})
    trials["split"] = np.where(np.arange(40) < 30, "train", "test")
    problems = modality_copies(ModalityData(pd.DataFrame(), None, {"eeg": signals}, {"eeg": trials}))
    assert sorted((problem.level, problem.rows) for problem in problems) == [
        ("error", ("3", "31")),
        ("warning", ("7", "8")),
    ]

    series = rng.normal(size=(6, 50, 9)).astype(np.float32)
    series[5], series[1] = series[2], series[0]
    people = pd.DataFrame({"subject": list("aabbcc"), "run": list("121212"), "split": "", "n_frames": 50})
    study = RegionRuns(series, people, pd.DataFrame({"region_id": list("abcdefghi"), "network": "n"}), 1.0, [])
    levels_of = {problem.rows: problem.level for problem in series_copies(study)}
    assert levels_of == {("2", "5"): "error", ("0", "1"): "warning"}

    matrices = rng.uniform(size=(4, 2, 45))
    assert rdm_copies({"it": matrices}) == []
    matrices[3, 0] = matrices[1, 1]
    (problem,) = rdm_copies({"it": matrices})
    assert problem.level == "error"
    assert "subject 2 session 2 and of subject 4 session 1" in problem.what


# ------------------------------------------------------------------------------- folders: only the files that are read


def copies_of(descriptor: dict[str, Any], path: Path) -> list[tuple[str, set[str]]]:
    """Return level and names of the two files of every problem."""
    told = descriptor | {
        "name": "folders",
        "title": "Folders",
        "citation": {"text": "Nobody (2026). Simulated."},
        "licence": "CC0",
        "source": "tests",
    }
    path.write_text(yaml.safe_dump(told))
    problems = copied_recordings(load_descriptor(path))
    return [
        (problem.level, {word.rstrip(");") for word in problem.what.split() if word.startswith("/")})
        for problem in problems
    ]


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
    descriptor = {"kind": "series", "files": {"people": "people.csv", "derivatives": "deriv", "scans": scans}}
    path = tmp_path / "series.yaml"
    assert copies_of(descriptor, path) == []
    copy = write(f"02_task-rest_{ending}", b"series of 01")
    assert copies_of(descriptor, path) == [("error", {copy, copy.replace("sub-02", "sub-01")})]


def test_tables_of_series_of_one_name_are_told_apart(tmp_path) -> None:
    for subject in ("1", "2"):
        (tmp_path / subject).mkdir()
        (tmp_path / subject / "rest.csv").write_text(f"a,b\n{subject},0\n")
    (tmp_path / "people.csv").write_text("subject,path\n1,1/rest.csv\n2,2/rest.csv\n")
    descriptor = {"kind": "series", "files": {"people": "people.csv"}, "tr_s": 2.0}
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
    write("task-face_run-1_meg.fif", Path(one).read_bytes(), "02")
    files = {"format": "bids", "root": "bids", "participant": "01", "task": "face", "runs": ["1", "2"]}
    files |= {"datatype": "meg", "session": session}
    descriptor = {
        "recordings": {"1": files},
        "markers": {"1": "house", "2": "face"},
        "epochs": {"tmin_s": -0.1, "tmax_s": 0.4},
        "windows": {"n170": [0.14, 0.2]},
        "sensors": {"temporal": ["TP9", "TP10"]},
    }
    path = tmp_path / "meg.yaml"
    assert copies_of(descriptor, path) == []
    assert Path(other).write_bytes(Path(one).read_bytes())
    assert copies_of(descriptor, path) == [("error", {one, other})]
    files["runs"] = None  # the only file of the task: whatever its run
    assert copies_of(descriptor, path) == [("error", {not_read, one}), ("error", {not_read, other})]
