import gzip
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import run_step
from made import save_epochs, write_table, write_yaml
from pages import check
from PIL import Image
from worlds.labs import volume

from brainalign.cli import main
from brainalign.datasets import audit, audit_study
from brainalign.io import load, load_sidecar
from brainalign.simulation import betas_image
from brainalign.study import load_descriptor

KRIEGESKORTE = Path(os.environ.get("BRAINALIGN_DATA", "nowhere"), "kriegeskorte92")
SIDES = {"train": 14, "test": 10}


def found(path) -> str:
    return "\n".join(str(problem) for problem in audit(load_descriptor(path)))


def test_files_that_are_not_there_or_not_whole(small) -> None:
    path = small.write()
    (small.folder / "mask.nii.gz").unlink()
    text = found(path)
    assert text.startswith("small: recordings.1.mask: no file mask.nii.gz in ")
    assert "BRAINALIGN_DATA" in text
    small.write()
    bold = small.folder / "bold.nii.gz"
    whole = bold.read_bytes()
    other_type = bytearray(gzip.decompress(whole))
    other_type[70:72] = b"\x99\x99"  # the code of the data type
    for content in (whole[: len(whole) // 2], gzip.compress(b"not an image"), gzip.compress(bytes(other_type))):
        bold.write_bytes(content)
        assert "truncated, or not of the format its name says" in found(path)
    empty = "empty; give one line 'label run' per volume"
    for content, message in ((b"", empty), (b"\xff\xfe\x00", "not a text file")):
        (small.folder / "labels.txt").write_bytes(content)
        assert message in found(path)


def test_mistakes_in_studies_of_blocks(small, make_study) -> None:
    def said(*messages: str, study=small, **changes: object) -> None:
        check(found(study.write(**changes)), *messages)

    said("the mask has shape (6, 5, 3) but bold has (6, 5, 2); resample it", mask=np.ones((6, 5, 3)))
    said("save it without the last axis", mask=np.ones((*small.shape, 1)))
    said("selects 0 voxel(s); patterns need 2 or more", mask=np.zeros(small.shape))
    said("give a 4-D image", volumes=small.volumes()[..., 0])
    said("sha256 differs", sha256={"bold.nii.gz": "0" * 64})
    sizes = ("runs: says 3 at most but there are 4", "trials: says 15 at most but there are 16")
    too_large = {"runs": 3, "trials": 15, "targets": 59}
    said(*sizes, "shape.targets: says 59 at most but the mask has 60 voxels", shape=too_large)
    pictured = {name: {"path": f"{name[-1]}.png"} for name in small.names}
    said("small: stimuli.thing2.path: no file 2.png in", stimuli=pictured)
    labels = small.labels
    said("labels: 91 lines for 92 volumes of bold", labels=labels[:-1])
    said("line 2 is 'thing0'; each line must be 'label run'", labels=["rest 0", "thing0", *labels[2:]])
    said("labels: there is one run only ('0')", labels=[f"{line.split()[0]} 0" for line in labels])
    unknown = "unknown category 'thing33' (did you mean 'thing3'?); add it under stimuli"
    said(unknown, "stimuli: thing3 never shown", labels=[line.replace("thing3", "thing33") for line in labels])
    lacking = "run 2 has no block of thing1; a held-out run is identified among all categories"
    said(lacking, labels=[line.replace("thing1 2", "rest 2") for line in labels])
    said("every volume is labelled 'rest': no stimulus is shown", labels=[f"rest {line.split()[1]}" for line in labels])
    mixed = [f"{name} {int(run) % 2}" for name, run in map(str.split, labels)]
    said("a run number comes back after another run", labels=mixed)
    runs = {"runs": {"leave_out": "run"}}
    few = "splits.all: leaving out 3 of 4 stimuli leaves fewer than 2 to train on"
    said(few, splits=runs | {"all": {"leave_out": "stimulus", "size": 3}})
    said("every block is a single volume", study=make_study(small.folder, block=1))
    files = small.descriptor()["recordings"]["1"] | {"rois": {"V1": "V1.nii.gz"}}
    nibabel.save(nibabel.Nifti1Image(np.ones((6, 5, 3)), np.eye(4)), small.folder / "V1.nii.gz")
    said("small: recordings.1.rois: ", "V1.nii.gz: has the grid (6, 5, 3) but", recordings={"1": files})


def test_nothing_is_wrong_with_sound_blocks(small, root) -> None:
    assert found(root / "data" / "haxby-slice.yaml") == ""
    path = small.write(shape={"runs": 4, "trials": 16, "targets": 70})  # another subject may have more
    (small.folder / "labels.txt").write_text("\n".join(small.labels) + "\n\n")  # blank lines at the end are nothing
    assert found(path) == ""
    image = nibabel.load(small.folder / "bold.nii.gz")
    # Whose header has no unit of time.
    nibabel.save(nibabel.MGHImage(image.get_fdata(dtype=np.float32), image.affine), small.folder / "bold.mgz")
    path.write_text(path.read_text().replace("bold.nii.gz", "bold.mgz"))
    assert found(path) == ""


def test_nan_and_constant_voxels(small) -> None:
    volumes = small.volumes()
    volumes[0, 0, 0, 3] = np.nan
    volumes[1, 1, 1] = 7.0
    volumes[2, 2, 0, :23] = 5.0  # within the first run only
    text = found(small.write(volumes=volumes))
    assert "bold: 1 of 60 voxels inside the mask are NaN or infinite in some run (voxels (0, 0, 0))" in text
    assert "bold: 2 of 60 voxels inside the mask are constant in some run (voxels (1, 1, 1), (2, 2, 0))" in text
    assert "set fmri.bad_voxels: drop" in text


def told(path: Path) -> tuple[str, str]:
    found = audit_study(load_descriptor(path))
    return "\n".join(map(str, found.errors)), "\n".join(map(str, found.warnings))


def edit(path: Path, **changes: object) -> Path:
    return write_yaml(path, yaml.safe_load(path.read_text()) | changes)


def test_a_sound_study(scenes) -> None:
    found = audit_study(load_descriptor(scenes.write()))
    assert (found.errors, found.facts) == ([], ["2 subject(s), 24 stimuli", "splits: shared"])
    columns = ["subject", "trials", "stimuli", "repeats", "sessions", "runs", "targets", "times", "units"]
    rows = [("01", 48, 24, "2 to 2 (median 2)", 2, 4, 1284, 0, "percent signal change")]
    rows += [("02", 48, 24, "2 to 2 (median 2)", 2, 4, 12, 20, "µV")]
    pd.testing.assert_frame_equal(found.tables["responses"], pd.DataFrame(rows, columns=columns))
    sizes = found.tables["targets in ROIs of recordings.01"]
    assert (list(sizes), sizes.to_numpy().tolist()) == (["roi", "L", "R"], [["seen", 60, 60], ["unseen", 60, 60]])
    columns = ["subject", "name", "split", "stimuli", "trials", "fewest repeats", "most", "runs", "runs shared"]
    columns += ["duplicates across", "near-duplicates across"]
    rows = [(s, "shared", side, n, 2 * n, 2, 2, 4, 4, 0, 0) for s in ("01", "02") for side, n in SIDES.items()]
    card = found.tables["splits"].reset_index(drop=True)
    pd.testing.assert_frame_equal(card, pd.DataFrame(rows, columns=columns), check_dtype=False)
    assert list(found.tables) == ["targets in ROIs of recordings.01", "responses", "splits"]
    told = "\n".join(map(str, found.warnings))
    for subject in ("01", "02"):
        assert f"recordings.{subject}: splits.shared: fold 0: 4 of 4 runs have trials in more than one split" in told


def written(folder: Path, **about: object) -> Path:
    return write_yaml(folder / "study.yaml", {"name": "lab"} | about)


def test_what_series_runs_and_videos_hold(tmp_path: Path, rng: np.random.Generator) -> None:
    """The facts of studies of other kinds than responses to images, in the words that `check` prints."""
    for k, n in enumerate((30, 24, 26)):
        np.save(tmp_path / f"{k}.npy", rng.normal(size=(n, 5)))
    (tmp_path / "people.tsv").write_text("subject\tpath\n1\t0.npy\n2\t1.npy\n1\t2.npy\n")
    write_table(tmp_path / "regions.tsv", region_id=[f"r{k}" for k in range(5)], network=list("aabac"))
    files: dict[str, object] = {"format": "series", "people": "people.tsv", "regions": "regions.tsv", "tr_s": 0.75}
    found = audit_study(load_descriptor(written(tmp_path, recordings={"all": files})))
    assert found.facts == ["2 subjects, 3 runs of 24 frames (0.75 s each), 5 regions in 3 networks"]
    assert found.problems == []
    (tmp_path / "words.tsv").write_text("run\tonset_s\n" + "".join(f"{run}\t{at}\n" for run in "bac" for at in (3, 40)))
    files = {"format": "runs", "tr_s": 2.0, "files": {"b": ["0.npy", "0b.npy"], "a": "1.npy", "c": "2.npy"}}
    np.save(tmp_path / "0b.npy", np.column_stack([np.ones(30), rng.normal(size=(30, 4))]))
    about: dict[str, object] = {"recordings": {"7": files}, "splits": {"runs": {"leave_out": "run"}}}
    about |= {"stimuli": "words.tsv", "continuous": {"trim_s": [2, 2]}}
    found = audit_study(load_descriptor(written(tmp_path, **about)))
    said = "subject 7: 74 rows of 3 runs, 4 targets, 1 dropped; 1 runs presented more than once"
    assert (found.facts, found.problems) == (["6 events in 3 runs", said], [])
    np.save(tmp_path / "1.npy", rng.normal(size=(21, 5)))
    (problem,) = audit_study(load_descriptor(tmp_path / "study.yaml")).errors
    assert problem.where == "recordings.7"
    assert "files.a: 21 rows leave 19 after" in problem.what
    visible = np.ones((3, 4))
    visible[0, 1:3] = visible[2, 3] = 0
    np.savez(tmp_path / "frames.npz", frames=np.zeros((3, 4, 2, 2)), visible=visible)
    for name, shape in {"1": (3, 4, 6, 2), "2": (3, 4, 5, 7), "3": (4, 3, 5, 7)}.items():
        np.savez(tmp_path / f"n{name}.npz", neural=rng.normal(size=shape))
    recorded = {name: {"format": "neural", "neural": f"n{name}.npz"} for name in "123"}
    found = audit_study(load_descriptor(written(tmp_path, stimuli="frames.npz", recordings=recorded)))
    assert found.facts == ["3 subject(s)", "3 of 12 frames hidden"]
    columns = ["subject", "conditions", "frames", "neurons", "repeats"]
    rows = [("1", 3, 4, 6, 2), ("2", 3, 4, 5, 7), ("3", 4, 3, 5, 7)]
    pd.testing.assert_frame_equal(found.tables["neurons"], pd.DataFrame(rows, columns=columns))
    assert [str(p)[:43] for p in found.problems] == ["recordings.3: neural has shape (4, 3, 5, 7)"]


def test_images_missing_unreadable_alike_and_twice(scenes) -> None:
    path, images = scenes.write(), sorted((scenes.folder / "stimuli" / "images").glob("*.png"))
    pixels, other = np.asarray(Image.open(images[2]), dtype=np.int16), images[22].read_bytes()
    Image.fromarray(np.clip(pixels + 2, 0, 255).astype(np.uint8)).save(images[22])
    stop, warn = told(path)
    assert stop == ""
    assert "1 pairs of near-duplicate images lie on two sides" in warn
    edit(path, splits={"shared": {"column": "set", "value": "shared"}})
    assert "1 pairs of near-duplicate images lie on two sides" in told(path)[0]
    images[22].write_bytes(other)
    images[0].unlink()
    images[1].write_bytes(b"no picture")
    images[20].write_bytes(images[21].read_bytes())  # both are trained on
    stop, warn = told(path)
    lost = "images: 1 of 24 images are missing: scene0000", "images: 1 of 24 images are unreadable: scene0001"
    check(stop, *lost, unsaid=["scene0020"])
    assert "1 pairs of stimuli are the same file: scene0020 and scene0021" in warn
    images[2].write_bytes(other)
    stop = told(path)[0]
    assert "recordings.01: splits.shared: fold 0: 1 pairs of duplicate images lie on two sides" in stop
    assert "scene0002 (test) and scene0022 (train)" in stop


def test_bad_targets_trials_and_their_images(scenes) -> None:
    path = scenes.write()
    values = np.random.default_rng(0).normal(size=(48, scenes.n_vertices)).astype(np.float32)
    values[3, 5] = np.nan
    values[:24, 7] = 1.0  # constant within the first session
    nibabel.save(betas_image(values, scenes.trials["trial_id"], "L"), scenes.folder / "L_betas.func.gii")
    text = told(path)[0]
    assert "recordings.01: 1 of 1284 targets are NaN, infinite or -999 in some session (vertex-L-5)" in text
    assert "recordings.01: 1 of 1284 targets are constant in some session (vertex-L-7)" in text
    edit(path, betas={"bad_targets": "drop"})
    stop, warn = told(path)
    assert stop == ""
    assert "(vertex-L-5)" in warn
    path, trials = scenes.write(), scenes.trials
    table = scenes.folder / "trials.tsv"
    trials.replace({"stimulus_id": {"scene0007": "scene0007x"}}).to_csv(table, sep="\t", index=False)
    stop, warn = told(path)
    assert "1 stimuli were shown that the table of stimuli lacks (scene0007x)" in stop
    assert "1 of 24 stimuli of the table were never shown to this subject (scene0007)" in warn


def test_epochs_without_any_noise_to_whiten_by(make_image_study, tmp_path: Path) -> None:
    """They have no ceiling, and leave the baseline to whiten by; without one, whitening would stop the run."""
    study = make_image_study(tmp_path / "once", n_repeats=1)
    stop, warn = told(study.write())
    assert stop == ""
    assert "recordings.01: zero repeats: all 10 test stimuli were shown once" in warn
    path = study.write(epochs={"tmin_s": 0.02})
    assert "no training image was shown twice and the epochs start at 0.020 s" in told(path)[0]
    study.write_epochs(study.trials, np.zeros((24, 1)), kinds=["mag", "grad"] * 6)
    path.write_text(path.read_text().replace("picks: eeg", "picks: meg"))
    stop, warn = told(edit(path, epochs={"tmin_s": 0.02, "whiten": False}))
    assert (stop, "patterns mix fT (mag), fT/cm (grad), and larger numbers weigh more" in warn) == ("", True)


def test_recordings_too_short_for_folds(tmp_path: Path) -> None:
    """Folds are of two trials or more: an error where no number of folds would do, else a warning."""

    def problems(n_trials: int, **columns: object) -> list[tuple[str, str]]:
        rng = np.random.default_rng(n_trials)
        metadata = pd.DataFrame({"category": (list("xy") * n_trials)[:n_trials], "onset_s": np.arange(n_trials) * 2.0})
        values, table = rng.normal(size=(n_trials, 2, 61)), metadata.assign(**columns)
        save_epochs(tmp_path / "a-epo.fif", values, ["Cz", "Pz"], table, rate_hz=100.0, tmin=-0.2)
        files = {"format": "epochs", "epochs": ["a-epo.fif"]}
        path = written(tmp_path, recordings={"1": files}, epochs={"tmin_s": -0.1, "tmax_s": 0.3})
        return [(problem.level, problem.what) for problem in audit_study(load_descriptor(path)).problems]

    assert problems(10) == []
    for n_trials, columns, level, what in (
        (9, {}, "warning", "5 folds of the 9 trials"),
        (3, {}, "error", "2 folds of the 3 trials"),
        (10, {"onset_s": np.nan}, "error", "10 of 10 trials have no onset_s"),
    ):
        ((found, said),) = problems(n_trials, **columns)
        assert found == level
        assert what in said


def test_subjects_with_other_channels_or_broken_files(scenes) -> None:
    path = scenes.write()
    names = ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Cz", "POz")
    scenes.write_epochs(scenes.trials, np.zeros((48, 1)), names, "other-epo.fif")
    subjects = scenes.descriptor()["recordings"]
    subjects["03"] = {"format": "epochs", "epochs": "other-epo.fif", "picks": "eeg"}
    edit(path, recordings=subjects)
    stop, warn = told(path)
    assert stop == ""
    assert "recordings.03: against recordings.02: 12 channels but 12 expected: lacks Pz (did you mean 'POz'?)" in warn
    (scenes.folder / "L_betas.func.gii").write_bytes(b"<?xml")
    (scenes.folder / "eeg-epo.fif").unlink()
    said = "L_betas.func.gii: truncated, or not of the format its name says"
    # Every subject is looked at though one is broken.
    check(told(path)[0], "recordings.01: ", said, "recordings.02.epochs: no file eeg-epo.fif in")


def test_what_the_descriptor_and_the_table_of_images_say(scenes) -> None:
    path = scenes.write()
    for changes, message in (
        ({"splits": {"a": {"column": "sett", "value": "shared"}}}, "no column 'sett' (did you mean 'set'?)"),
        ({"splits": {"a": {"column": "set", "value": "sharde"}}}, "no image has 'sharde' in column 'set' (did you"),
        ({"stimuli": "stimuli/stimulus.tsv"}, "stimuli: no file stimuli/stimulus.tsv in"),
        ({"sha256": {"trials.tsv": "0" * 64}}, "sha256: "),
        ({"decoded": ["02"], "sensors": {"a": ["Xz"]}, "windows": {"w": [0, 9]}}, "Xz not recorded from 02\nwindows.w"),
        ({"decoded": ["02"], "windows": {"w": [-1e-3, 0]}}, "windows.w: -0.001 to 0 s hold no sample of 02"),
    ):
        assert message in told(edit(path, **scenes.descriptor(**changes)))[0]
    path, table = scenes.write(), scenes.folder / "stimuli" / "stimuli.tsv"
    content = pd.read_csv(table, sep="\t", dtype=str)
    content.rename(columns={"path": "paths"}).to_csv(table, sep="\t", index=False)
    found = audit_study(load_descriptor(path))
    assert found.errors == []
    assert "no column 'path' (did you mean 'paths'?), so no image was looked at" in "\n".join(map(str, found.warnings))
    assert found.tables["splits"][["duplicates across", "near-duplicates across"]].isna().all(axis=None)
    said = content.drop(columns=["path", "caption"], errors="ignore")
    said = said.assign(text=[f"thing {k}" for k in range(len(content))])
    said.loc[2, "text"], said.loc[21, "text"] = "The old house.", "the old  HOUSE"
    said.to_csv(table, sep="\t", index=False)
    assert "1 pairs of duplicate texts lie on two sides: scene0002 (test) and scene0021 (train)" in told(path)[0]
    content.rename(columns={"path": "paths"}).to_csv(table, sep="\t", index=False)
    edit(path, decoded=["02"], epochs={"tmin_s": 0.02})  # no baseline, but images shown twice to whiten by
    assert told(path)[0] == ""
    content.assign(category=content["category"].where(content.index > 0, "")).to_csv(table, sep="\t", index=False)
    assert "trials have an empty category (" in told(path)[0]
    content.drop(columns="category").to_csv(table, sep="\t", index=False)
    assert "give their table a column category" in told(path)[0]
    pd.concat([content, content[:1]]).to_csv(table, sep="\t", index=False)
    assert "1 stimulus ids are there twice (scene0000); keep one each" in told(path)[0]


def test_files_may_be_made_by_the_workflow_or_not_be_there(root: Path, tmp_path: Path, monkeypatch) -> None:
    found = audit_study(load_descriptor(root / "data" / "simulated.yaml"))
    assert found.problems == []
    assert any("made by the workflow" in fact for fact in found.facts)
    monkeypatch.setenv("BRAINALIGN_DATA", str(tmp_path))
    assert "humanIT.files.1: no file 92_behavRDMs.mat in" in told(root / "data" / "kriegeskorte92.yaml")[0]


@pytest.mark.skipif(not KRIEGESKORTE.exists(), reason="kriegeskorte92 is not in BRAINALIGN_DATA: not checked")
def test_rdms(root: Path, tmp_path: Path) -> None:
    path = root / "data" / "kriegeskorte92.yaml"
    found = audit_study(load_descriptor(path))
    assert (found.errors, found.facts) == ([], ["92 stimuli, 8 published models"])
    assert found.tables["matrices"].set_index("set").loc["humanIT"].tolist() == [4, 2, 4186]
    content = yaml.safe_load(path.read_text())
    content["recordings"]["humanITT"] = content["recordings"].pop("humanIT")
    content["sha256"]["92_modelRDMs.mat"] = "0" * 64
    text = told(write_yaml(tmp_path / "k.yaml", content))[0]
    assert "got 'humanITT' (did you mean 'humanIT'?)" in text
    assert "92_modelRDMs.mat is not the file the descriptor names (sha256 differs); download it again from http" in text


NAMES = [f"p{k:02d}" for k in range(30)]
RUNS = [f"run{k}" for k in (1, 2, 3)]
Spoil = Callable[[Path, dict[str, Any]], object]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("lab"), np.random.default_rng(3)
    np.save(folder / "values.npy", rng.normal(size=(90, 12)))
    shown = np.concatenate([rng.permutation(NAMES) for _ in range(3)])
    write_table(folder / "trials.tsv", stimulus_id=shown, session=np.repeat(["1", "2", "3"], 30))
    write_table(folder / "stimuli.tsv", stimulus_id=NAMES, set=["test"] * 10 + ["train"] * 20)
    write_table(folder / "vectors.tsv", stimulus_id=NAMES, a=rng.normal(size=30), b=rng.normal(size=30))
    nibabel.save(volume(rng.normal(size=(90, 18)), (3, 3, 2)), folder / "betas.nii.gz")
    nibabel.save(volume(np.ones(18), (3, 3, 2)), folder / "mask.nii.gz")
    for run in RUNS:
        np.save(folder / f"{run}.npy", rng.normal(size=(100, 10)))
        nibabel.save(volume(rng.normal(size=(100, 18)), (3, 3, 2), 2.0), folder / f"{run}.nii.gz")
    onsets = np.tile(np.arange(1, 196, 3.0), 3)
    write_table(folder / "words.tsv", run=np.repeat(RUNS, 65), onset_s=onsets, duration_s=0.2, text="word")
    np.save(folder / "of_words.npy", rng.normal(size=(195, 3)))
    for region in ("V1", "IT"):
        np.save(folder / f"{region}.npy", rng.uniform(0.1, 1, size=(3, 435)))
    return folder


def described(kind: str) -> dict[str, Any]:
    study: dict[str, Any] = {"name": "lab", "stimuli": "stimuli.tsv"}
    study["models"] = {"own": {"extractor": "table", "file": "vectors.tsv"}}
    files = {
        "arrays": {"format": "array", "values": "values.npy", "trials": "trials.tsv"},
        "betas": {"format": "betas", "betas": "betas.nii.gz", "mask": "mask.nii.gz", "trials": "trials.tsv"},
        "runs": {"format": "runs", "tr_s": 2.0, "files": {run: f"{run}.npy" for run in RUNS}},
        "volumes": {"format": "runs", "tr_s": 2.0, "files": {run: f"{run}.nii.gz" for run in RUNS}},
    }
    if kind == "rdms":
        return study | {"recordings": {name: {"format": "rdms", "file": f"{name}.npy"} for name in ("V1", "IT")}}
    study["recordings"], study["splits"] = {"01": files[kind]}, {"held": {"column": "set", "value": "test"}}
    if kind in ("runs", "volumes"):
        study |= {"stimuli": "words.tsv", "splits": {"runs": {"leave_out": "run"}}}
        study["models"]["own"]["file"] = "of_words.npy"
        study["recordings"]["01"] |= {"mask": "mask.nii.gz"} if kind == "volumes" else {}
    return study


def values(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    return lambda folder, study: np.save(folder / name, change(np.load(folder / name)))


def table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame], separator: str = "\t") -> Spoil:
    def spoil(folder: Path, study: dict[str, Any]) -> None:
        change(pd.read_csv(folder / name, sep="\t", dtype=str)).to_csv(folder / name, sep=separator, index=False)

    return spoil


def recording(**changes: object) -> Spoil:
    return lambda folder, study: study["recordings"]["01"].update(changes)


def key(**changes: object) -> Spoil:
    return lambda folder, study: study.update(changes)


def image(name: str, *shape: int, value: float = 1) -> Spoil:
    content = nibabel.Nifti1Image(np.full(shape, value, "float32"), np.eye(4))
    return lambda folder, study: nibabel.save(content, folder / name)


def one_target_left_out(folder: Path, study: dict[str, Any]) -> None:
    values("values.npy", lambda v: v[:, :1])(folder, study)
    study["splits"] = {"s": {"leave_out": "stimulus", "folds": 5}}


def no_category(folder: Path, study: dict[str, Any]) -> None:
    values("values.npy", lambda v: np.stack([v, v**2, v**3], axis=2))(folder, study)
    table("trials.tsv", lambda t: t.assign(category=["", "face", "house"] * 30))(folder, study)
    study["recordings"]["01"]["times_s"] = [0.0, 0.1, 0.2]
    del study["splits"], study["models"]


MISTAKES: list[tuple[str, Spoil, str]] = [
    ("arrays", no_category, "30 of 90 trials have an empty category (trial-0000, trial-0003,"),
    ("arrays", one_target_left_out, "there is one target, and patterns over targets tell"),
    ("arrays", values("values.npy", lambda v: v[:, 0]), "its array has shape (90,); give rows x targets"),
    ("arrays", recording(values=["values.npy"]), "recordings.01.values: give the path of one file"),
    ("arrays", table("trials.tsv", lambda t: t, ";"), "separated by semicolons, not by tabs as its name says"),
    ("arrays", table("trials.tsv", lambda t: t.assign(stimulus_id=t["stimulus_id"] + ".png")), "did you mean 'p00'"),
    ("arrays", key(splits={"share": 0.2}), "splits.share: give names with what they stand for"),
    ("arrays", key(recordings={"01": {"values": "values.npy"}}), "recordings.01.format: this key is required"),
    ("arrays", key(name="my lab"), "name: a name is of letters and digits; of a data set also of hyphens"),
    ("arrays", table("vectors.tsv", lambda t: t.assign(a=1, b=2)), "is the same for all 30 stimuli"),
    ("betas", image("mask.nii.gz", 3, 3, 2, 2), "has shape (3, 3, 2, 2), where one volume is wanted"),
    ("betas", image("betas.nii.gz", 3, 3, 2), "has shape (3, 3, 2); give a 4-D image, a volume per trial"),
    ("runs", values("run2.npy", np.transpose), "shape (10, 100), where (rows, 10 targets) of numbers are wanted; turn"),
    ("runs", recording(files={run: ["run1.npy"] * 2 for run in RUNS}), "(presentation 1) and run1 (presentation 2)"),
    ("runs", recording(tr_s=2000), "a repetition time is given in seconds"),
    ("runs", table("words.tsv", lambda t: t.assign(run=t["run"].str[-1])), "no event is of such a run; the table has"),
    ("runs", table("words.tsv", lambda t: t.iloc[:-1]), "holds 195 vectors but there are 194 stimuli"),
    ("runs", key(continuous={"trim_s": 20}), "continuous.trim_s: give a list"),
    ("volumes", image("mask.nii.gz", 3, 3, 2, value=0), "mask.nii.gz: selects no voxel"),
    ("volumes", image("run1.nii.gz", 3, 3, 2), "has shape (3, 3, 2); give a 4-D image"),
    ("volumes", recording(key="bold"), "key and repeats name arrays, but the files are volumes"),
    ("rdms", values("V1.npy", lambda v: v[:, :400]), "V1.npy of shape (3, 400): 400 is not a number of pairs"),
    ("rdms", values("V1.npy", lambda v: v[[0, 1, 2, 0]].T), "V1.npy of shape (435, 4) (do subjects stand behind"),
    ("rdms", values("V1.npy", lambda v: v * np.nan), "RDM set 'V1' holds no number"),
    ("rdms", values("V1.npy", np.ones_like), "RDM set 'V1' holds nothing but 1"),
    ("rdms", lambda folder, study: shutil.copy(folder / "V1.npy", folder / "IT.npy"), "holds the same numbers as"),
]


@pytest.mark.parametrize(("kind", "spoil", "message"), MISTAKES, ids=[message for *_, message in MISTAKES])
def test_a_mistake_is_answered_in_a_sentence(lab: Path, tmp_path: Path, capsys, kind: str, spoil, message: str) -> None:
    folder, study = tmp_path / "lab", described(kind)
    shutil.copytree(lab, folder)
    spoil(folder, study)
    assert main(["check", str(write_yaml(folder / "study.yaml", study))]) != 0
    written = capsys.readouterr()
    told = re.sub(r"[│┃\s]+", " ", written.out + written.err)
    assert re.search(".*".join(map(re.escape, message.split(".*"))), told), told
    assert "Traceback" not in told


def test_copies_of_stimuli_left_out_are_in_one_fold_or_told_of(lab: Path, tmp_path: Path) -> None:
    folder, study = tmp_path / "lab", described("arrays")
    shutil.copytree(lab, folder)
    write_table(folder / "stimuli.tsv", stimulus_id=NAMES, text=[f"text {k % 15}" for k in range(30)])
    study["splits"] = {name: {"leave_out": "stimulus", name: n} for name, n in (("folds", 5), ("size", 2))}
    (warning,) = audit_study(load_descriptor(write_yaml(folder / "study.yaml", study))).warnings
    assert "15 pairs of stimuli are the same text: p00 and p15, p01" in warning.what
    inputs = {"descriptor": folder / "study.yaml", "folder": "nowhere", "stimuli": folder / "stimuli.tsv"}
    places = [folder / name for name in ("responses.safetensors", "splits.parquet", "ceiling.parquet")]
    outputs = {place.stem: place for place in places}
    assert run_step("prepare", {"prepare": {}}, inputs=inputs, outputs=outputs, labels={"subject": "01"}, seed=3) == 0
    splits = load(outputs["splits"], pd.DataFrame).query("name == 'folds' and split == 'test'")
    folds = splits.drop_duplicates("stimulus_id").set_index("stimulus_id")["fold"].loc[NAMES].to_numpy()
    np.testing.assert_array_equal(folds[:15], folds[15:])
    assert load_sidecar(outputs["responses"])["details"]["warnings"] == [str(warning)]
    table("trials.tsv", lambda t: t.assign(theme=t["stimulus_id"].str[1]))(folder, study)  # p00: 0, its copy p15: 1
    write_yaml(folder / "study.yaml", study | {"splits": {"s": {"leave_out": "theme"}}})
    (error,) = audit_study(load_descriptor(folder / "study.yaml")).errors
    assert "15 pairs of stimuli are the same text in another theme, so that one trains while" in error.what
    assert run_step("prepare", {"prepare": {}}, inputs=inputs, outputs=outputs, labels={"subject": "01"}, seed=3) == 2


@pytest.mark.parametrize("kind", ["arrays", "betas", "runs", "volumes", "rdms"])
def test_nothing_is_wrong_with_the_files_themselves(lab: Path, kind: str) -> None:
    assert main(["check", str(write_yaml(lab / f"{kind}.yaml", described(kind)))]) == 0
