import gzip
import os
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from brainalign.datasets import audit, audit_study
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
    for content, message in (
        (b"", "empty; give one line 'label run' per volume"),
        (b"\xff\xfe\x00", "not a text file"),
    ):
        (small.folder / "labels.txt").write_bytes(content)
        assert message in found(path)


def test_mistakes_in_studies_of_blocks(small, make_study) -> None:
    def said(*messages: str, study=small, **changes: object) -> None:
        text = found(study.write(**changes))
        for message in messages:
            assert message in text

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
    many = "splits.five: every 5 of 20 stimuli left out makes 15,504 folds; use a smaller size"
    study = make_study(small.folder, n_stimuli=20, n_runs=3)
    said(many, study=study, splits=runs | {"five": {"leave_out": "stimulus", "size": 5}})


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


def errors(path: Path) -> str:
    return told(path)[0]


def edit(path: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes, sort_keys=False))
    return path


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
    (folder / "study.yaml").write_text(yaml.safe_dump({"name": "lab"} | about))
    return folder / "study.yaml"


def test_what_series_runs_and_videos_hold(tmp_path: Path) -> None:
    """The facts of studies of other kinds than responses to images, in the words that `check` prints."""
    rng = np.random.default_rng(0)
    for k, n in enumerate((30, 24, 26)):
        np.save(tmp_path / f"{k}.npy", rng.normal(size=(n, 5)))
    (tmp_path / "people.tsv").write_text("subject\tpath\n1\t0.npy\n2\t1.npy\n1\t2.npy\n")
    regions = pd.DataFrame({"region_id": [f"r{k}" for k in range(5)], "network": list("aabac")})
    regions.to_csv(tmp_path / "regions.tsv", sep="\t", index=False)
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
    what = "neural has 4 conditions of 3 frames, but the videos have (3, 4); use the same order and frames"
    assert [(p.where, p.what) for p in found.problems] == [("recordings.3", what)]


def test_images_missing_unreadable_alike_and_twice(scenes) -> None:
    path = scenes.write()
    images = sorted((scenes.folder / "stimuli" / "images").glob("*.png"))
    pixels, other = np.asarray(Image.open(images[2]), dtype=np.int16), images[22].read_bytes()
    Image.fromarray(np.clip(pixels + 2, 0, 255).astype(np.uint8)).save(images[22])
    stop, warn = told(path)
    assert stop == ""
    assert "1 pairs of near-duplicate images lie on two sides" in warn
    edit(path, splits={"shared": {"column": "set", "value": "shared"}})
    assert "1 pairs of near-duplicate images lie on two sides" in errors(path)
    images[22].write_bytes(other)
    images[0].unlink()
    images[1].write_bytes(b"no picture")
    images[20].write_bytes(images[21].read_bytes())  # both are trained on
    stop, warn = told(path)
    assert "images: 1 of 24 images are missing: scene0000" in stop
    assert "images: 1 of 24 images are unreadable: scene0001" in stop
    assert "1 pairs of stimuli are the same file: scene0020 and scene0021" in warn
    assert "scene0020" not in stop
    images[2].write_bytes(other)
    stop = errors(path)
    assert "recordings.01: splits.shared: fold 0: 1 pairs of duplicate images lie on two sides" in stop
    assert "scene0002 (test) and scene0022 (train)" in stop


def test_bad_targets_trials_and_their_images(scenes) -> None:
    path = scenes.write()
    values = np.random.default_rng(0).normal(size=(48, scenes.n_vertices)).astype(np.float32)
    values[3, 5] = np.nan
    values[:24, 7] = 1.0  # constant within the first session
    nibabel.save(betas_image(values, scenes.trials["trial_id"], "L"), scenes.folder / "L_betas.func.gii")
    text = errors(path)
    assert "recordings.01: 1 of 1284 targets are NaN or infinite in some session (vertex-L-5)" in text
    assert "recordings.01: 1 of 1284 targets are constant in some session (vertex-L-7)" in text
    edit(path, betas={"bad_targets": "drop"})
    stop, warn = told(path)
    assert stop == ""
    assert "(vertex-L-5)" in warn
    values[:, : scenes.n_roi] = np.nan
    for hemi in ("L", "R"):
        nibabel.save(betas_image(values, scenes.trials["trial_id"], hemi), scenes.folder / f"{hemi}_betas.func.gii")
    assert "recordings.01: every target of ROI seen holds NaN or is constant; check the maps" in errors(path)
    path = scenes.write()
    trials = scenes.trials
    trials[trials["stimulus_id"] != "scene0007"].to_csv(scenes.folder / "trials.tsv", sep="\t", index=False)
    assert "there are 48 maps but" in errors(path)
    table = scenes.folder / "trials.tsv"
    trials.replace({"stimulus_id": {"scene0007": "scene0008"}}).to_csv(table, sep="\t", index=False)
    text = told(path)[1]
    assert "1 of 24 stimuli of the table were never shown to this subject (scene0007)" in text
    assert "stimuli have 2 to 4 repeats (median 2); ceilings allow for it" in text
    trials.replace({"stimulus_id": {"scene0007": "scene0007x"}}).to_csv(table, sep="\t", index=False)
    assert "1 stimuli were shown that the table of stimuli lacks (scene0007x)" in errors(path)


def test_epochs_without_any_noise_to_whiten_by(make_image_study, tmp_path: Path) -> None:
    """They have no ceiling, and leave the baseline to whiten by; without one, whitening would stop the run."""
    study = make_image_study(tmp_path / "once", n_repeats=1)
    stop, warn = told(study.write())
    assert stop == ""
    assert "recordings.01: zero repeats: all 10 test stimuli were shown once" in warn
    path = study.write(epochs={"tmin_s": 0.02})
    assert "no training image was shown twice and the epochs start at 0.020 s" in errors(path)
    assert errors(edit(path, epochs={"tmin_s": 0.02, "whiten": False})) == ""


def test_recordings_too_short_for_folds(tmp_path: Path) -> None:
    """Folds are of two trials or more: an error where no number of folds would do, else a warning."""
    import mne

    info = mne.create_info(["Cz", "Pz"], 100.0, "eeg", verbose="error")

    def problems(n_trials: int, **columns: object) -> list[tuple[str, str]]:
        rng = np.random.default_rng(n_trials)
        metadata = pd.DataFrame({"category": (list("xy") * n_trials)[:n_trials], "onset_s": np.arange(n_trials) * 2.0})
        values = 1e-6 * rng.normal(size=(n_trials, 2, 61))
        epochs = mne.EpochsArray(values, info, tmin=-0.2, metadata=metadata.assign(**columns), verbose="error")
        epochs.save(tmp_path / "a-epo.fif", overwrite=True, verbose="error")
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
    text = errors(path)  # every subject is looked at though one is broken
    assert "recordings.01: " in text
    assert "L_betas.func.gii: truncated, or not of the format its name says" in text
    assert "recordings.02.epochs: no file eeg-epo.fif in" in text


def test_what_the_descriptor_and_the_table_of_images_say(scenes) -> None:
    path = scenes.write()
    for changes, message in (
        ({"splits": {"a": {"column": "sett", "value": "shared"}}}, "no column 'sett' (did you mean 'set'?)"),
        ({"splits": {"a": {"column": "set", "value": "sharde"}}}, "no image has 'sharde' in column 'set' (did you"),
        ({"splits": {"a": {"share": 0.99}}}, "give a share between 0 and 1 that leaves some on both sides"),
        ({"stimuli": "stimuli/stimulus.tsv"}, "stimuli: no file stimuli/stimulus.tsv in"),
        ({"sha256": {"trials.tsv": "0" * 64}}, "sha256: "),
    ):
        assert message in errors(edit(path, **scenes.descriptor(**changes)))
    path = scenes.write()
    table = scenes.folder / "stimuli" / "stimuli.tsv"
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
    told = "\n".join(map(str, audit_study(load_descriptor(path)).errors))
    assert "1 pairs of duplicate texts lie on two sides: scene0002 (test) and scene0021 (train)" in told
    content.rename(columns={"path": "paths"}).to_csv(table, sep="\t", index=False)
    edit(path, decoded=["02"], epochs={"tmin_s": 0.02})  # no baseline, but images shown twice to whiten by
    assert errors(path) == ""
    content.drop(columns="category").to_csv(table, sep="\t", index=False)
    assert "give their table a column category" in errors(path)
    pd.concat([content, content[:1]]).to_csv(table, sep="\t", index=False)
    assert "1 stimulus ids are there twice (scene0000); keep one each" in errors(path)


def test_files_may_be_made_by_the_workflow_or_not_be_there(root: Path, tmp_path: Path, monkeypatch) -> None:
    found = audit_study(load_descriptor(root / "data" / "simulated.yaml"))
    assert found.problems == []
    assert any("made by the workflow" in fact for fact in found.facts)
    monkeypatch.setenv("BRAINALIGN_DATA", str(tmp_path))
    assert "humanIT.files.1: no file 92_behavRDMs.mat in" in errors(root / "data" / "kriegeskorte92.yaml")


@pytest.mark.skipif(not KRIEGESKORTE.exists(), reason="kriegeskorte92 is not in BRAINALIGN_DATA: not checked")
def test_rdms(root: Path, tmp_path: Path) -> None:
    path = root / "data" / "kriegeskorte92.yaml"
    found = audit_study(load_descriptor(path))
    assert (found.errors, found.facts) == ([], ["92 stimuli, 8 published models"])
    assert found.tables["matrices"].set_index("set").loc["humanIT"].tolist() == [4, 2, 4186]
    content = yaml.safe_load(path.read_text())
    content["recordings"]["humanITT"] = content["recordings"].pop("humanIT")
    content["sha256"]["92_modelRDMs.mat"] = "0" * 64
    (tmp_path / "k.yaml").write_text(yaml.safe_dump(content))
    text = errors(tmp_path / "k.yaml")
    assert "got 'humanITT' (did you mean 'humanIT'?)" in text
    assert "92_modelRDMs.mat is not the file the descriptor names (sha256 differs); download it again from http" in text
