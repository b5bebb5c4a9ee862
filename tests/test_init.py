"""`brainalign init`: a folder of every kind becomes a YAML of at most 15 lines that `check` and `plan` take."""

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import mne
import mne_bids
import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from nibabel.cifti2 import BrainModelAxis, LabelAxis, ScalarAxis
from PIL import Image

from brainalign.cli import main

rng = np.random.default_rng(11)
NAMES = ("cat", "dog", "car")


def images(folder: Path, names: list[str]) -> None:
    (folder / "images").mkdir()
    for name in names:
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype="uint8")).save(folder / "images" / f"{name}.png")


def blocks(folder: Path) -> None:
    labels = [line for run in range(4) for name in NAMES for line in [f"rest {run}"] * 3 + [f"{name} {run}"] * 4]
    bold = nibabel.Nifti1Image(100 + rng.normal(size=(5, 5, 3, len(labels))).astype("float32"), np.eye(4))
    bold.header.set_zooms((2.0, 2.0, 2.0, 2.0))
    nibabel.save(bold, folder / "sub-01_bold.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones((5, 5, 3), "uint8"), bold.affine), folder / "sub-01_mask.nii.gz")
    (folder / "sub-01_labels.txt").write_text("\n".join(labels) + "\n")
    images(folder, list(NAMES))


def trials_of(names: list[str], folder: Path, n_runs: int = 3) -> int:
    shown = [(name, run) for run in range(n_runs) for name in rng.permutation(names)]
    pd.DataFrame(shown, columns=["stimulus_id", "run"]).to_csv(folder / "trials.tsv", sep="\t", index=False)
    return len(shown)


def shown_images(folder: Path) -> int:
    """Write forty images and their trials, and return how many these are."""
    names = [f"p{k:02d}" for k in range(40)]
    images(folder, names)
    return trials_of(names, folder)


def arrays(folder: Path) -> None:
    np.save(folder / "rates.npy", rng.normal(size=(shown_images(folder), 12)))


def electrodes(folder: Path) -> None:
    np.save(folder / "ecog.npy", rng.normal(size=(shown_images(folder), 4, 11)))


def betas(folder: Path) -> None:
    values = rng.normal(size=(4, 4, 3, shown_images(folder))).astype("float32")
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / "betas.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 3), "uint8"), np.eye(4)), folder / "mask.nii.gz")


def own_vectors(folder: Path) -> None:
    names = [f"w{k}" for k in range(6)]
    np.save(folder / "rates.npy", rng.normal(size=(trials_of(names, folder, 6), 10)))
    (folder / "stimuli.csv").write_text("stimulus_id\n" + "\n".join(names) + "\n")
    np.savez(folder / "vectors.npz", stimulus_id=np.array(names), words=rng.normal(size=(6, 4)))


def rdms(folder: Path) -> None:
    images(folder, [f"p{k:02d}" for k in range(12)])
    for region in ("V1", "IT"):
        np.save(folder / f"{region}_rdms.npy", rng.uniform(0.1, 1, (5, 12 * 11 // 2)))


def epochs(folder: Path) -> None:
    names = [f"p{k:02d}" for k in range(30)]
    images(folder, names)
    info = mne.create_info(["Cz", "Pz", "Oz"], 50.0, "eeg")
    shown = pd.DataFrame({"stimulus_id": np.tile(names, 2), "session": np.repeat([0, 1], 30)})
    data = mne.EpochsArray(rng.normal(size=(60, 3, 30)) * 1e-6, info, tmin=-0.1, metadata=shown, verbose="error")
    data.save(folder / "sub-01-epo.fif", verbose="error")


def story(folder: Path) -> None:
    runs = ["run1", "run2", "run3"]
    words = [pd.DataFrame({"run": run, "onset_s": np.arange(1, 200, 0.5), "text": "word"}) for run in runs]
    pd.concat(words).to_csv(folder / "words.tsv", sep="\t", index=False)
    for run in runs:
        np.save(folder / f"{run}.npy", rng.normal(size=(100, 8)))


def film(folder: Path) -> None:
    """Runs, a film each and nothing else; of five frames a second two are looked at."""
    for run in ("run1", "run2", "run3"):
        np.save(folder / f"sub-01_{run}.npy", rng.normal(size=(60, 8)))
        with av.open(str(folder / f"{run}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=5, width=8, height=8, pix_fmt="gray")
            for _ in range(600):
                frame = rng.integers(0, 255, (8, 8), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
            container.mux(stream.encode())


def fmriprep(folder: Path) -> None:
    images(folder, [f"img{k}" for k in range(6)])
    raw, func = folder / "raw" / "sub-02" / "func", folder / "derivatives" / "fmriprep" / "sub-02" / "func"
    raw.mkdir(parents=True)
    func.mkdir(parents=True)
    for run in "123":
        stem = f"sub-02_task-look_run-{run}"
        events = pd.DataFrame({"onset": 4 + 8.0 * np.arange(6), "duration": 2.0, "trial_type": "image"})
        events["stimulus_id"] = [f"img{k}" for k in rng.permutation(6)]
        events.to_csv(raw / f"{stem}_events.tsv", sep="\t", index=False)
        bold = nibabel.Nifti1Image(500 + rng.normal(size=(3, 3, 2, 40)).astype("float32"), np.eye(4))
        bold.header.set_zooms((2.0, 2.0, 2.0, 1.5))
        nibabel.save(bold, func / f"{stem}_space-MNI_desc-preproc_bold.nii.gz")
        mask = nibabel.Nifti1Image(np.ones((3, 3, 2), "uint8"), np.eye(4))
        nibabel.save(mask, func / f"{stem}_space-MNI_desc-brain_mask.nii.gz")
        (func / f"{stem}_space-MNI_desc-preproc_bold.json").write_text('{"RepetitionTime": 1.5, "StartTime": 0.75}')
        names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
        motion = pd.DataFrame(rng.normal(size=(40, 6)), columns=names)
        motion.to_csv(func / f"{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False)


def bids(folder: Path) -> None:
    raw = mne.io.RawArray(rng.normal(size=(3, 12_000)) * 1e-5, mne.create_info(["Cz", "Pz", "Oz"], 100.0, "eeg"))
    raw.info["line_freq"] = 50
    raw.set_annotations(mne.Annotations(1 + np.arange(80) * 1.4, 0.1, np.tile(["face", "house"], 40)))
    for run in ("1", "2"):
        place = mne_bids.BIDSPath(subject="01", task="faces", run=run, datatype="eeg", root=folder)
        mne_bids.write_raw_bids(raw, place, allow_preload=True, format="BrainVision", verbose="error")
        raw = mne.io.RawArray(rng.normal(size=(3, 12_000)) * 1e-5, raw.info).set_annotations(raw.annotations)


def bids_of_images(folder: Path) -> None:
    bids(folder)
    images(folder, [f"p{k:02d}" for k in range(20)])
    for path in folder.rglob("*_events.tsv"):
        shown = [f"stimuli/p{k:02d}.png" for k in rng.permutation(np.tile(np.arange(20), 4))]
        pd.read_csv(path, sep="\t").assign(stim_file=shown).to_csv(path, sep="\t", index=False)


def stories_of_fmriprep(folder: Path) -> None:
    """Runs of three tasks in two spaces; events name a word each."""
    fmriprep(folder)
    for path in folder.rglob("*_task-look_run-*"):
        path.rename(path.with_name(re.sub("task-look_run-", "task-story", path.name)))
    for path in folder.rglob("*_desc-*.nii.gz"):
        path.with_name(path.name.replace("space-MNI", "space-T1w")).write_bytes(path.read_bytes())
    (folder / "raw" / "dataset_description.json").write_text('{"Name": "stories", "BIDSVersion": "1.9.0"}')
    for path in folder.rglob("*_events.tsv"):
        words = pd.DataFrame({"onset": np.arange(0, 55, 0.5), "duration": 0.4, "word": "again"})
        words.to_csv(path, sep="\t", index=False)


def grayordinates(folder: Path) -> None:
    names = [f"p{k:02d}" for k in range(40)]
    images(folder, names)
    axis = BrainModelAxis.from_mask(np.arange(32492) < 200, "CortexLeft")
    scalars = ScalarAxis([f"b{k}" for k in range(trials_of(names, folder))])
    maps = nibabel.Cifti2Image(rng.normal(size=(len(scalars), len(axis))).astype("float32"), (scalars, axis))
    maps.to_filename(folder / "sub-04_betas.dscalar.nii")
    labels = LabelAxis(["areas"], {0: ("???", (0, 0, 0, 0)), 1: ("V1", (1, 0, 0, 1)), 2: ("IT", (0, 0, 1, 1))})
    keys = nibabel.Cifti2Image(np.repeat([1, 2], 100)[None].astype("float32"), (labels, axis))
    keys.to_filename(folder / "areas.dlabel.nii")


KINDS = (
    fmriprep,
    stories_of_fmriprep,
    grayordinates,
    bids,
    bids_of_images,
    blocks,
    arrays,
    electrodes,
    betas,
    own_vectors,
    rdms,
    epochs,
    story,
    film,
)


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_what_init_writes_runs(make: Callable[[Path], None], tmp_path: Path, capsys) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    make(folder)
    assert main(["init", str(folder), "--yes"]) == 0
    written = (folder / "study.yaml").read_text()
    assert len(written.splitlines()) <= 15
    pictured = (folder / "images").is_dir() and make not in (blocks, stories_of_fmriprep)
    assert ("stimuli: stimuli.tsv\n" in written) == pictured
    assert main(["check", str(folder / "study.yaml")]) == 0, capsys.readouterr().out
    assert main(["plan", str(folder / "study.yaml")]) == 0
    assert "report" in capsys.readouterr().out


def test_vectors_regions_and_test_stimuli_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"w{k:02d}" for k in range(30)]
    n = trials_of(names, tmp_path, 3)
    np.save(tmp_path / "rates.npy", rng.normal(size=(n, 4)))
    pd.DataFrame({"stimulus_id": names, "test": np.arange(30) % 3 == 0}).to_csv(tmp_path / "words.csv", index=False)
    pd.DataFrame({"roi": ["V4", "V4", "IT", "IT"]}).to_csv(tmp_path / "cells.csv", index=False)
    vectors = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"], index=pd.Index(names, name="stimulus_id"))
    vectors.to_parquet(tmp_path / "a-net.parquet")
    vectors.to_csv(tmp_path / "a_net.csv")
    vectors.to_csv(tmp_path / "other.csv")
    assert main(["init", str(tmp_path)]) == 0  # nothing is left to ask
    study = yaml.safe_load((tmp_path / "study.yaml").read_text())
    del study["name"]
    files = {"format": "array", "values": "rates.npy", "trials": "trials.tsv", "targets": "cells.csv"}
    models = {"anet": "a-net.parquet", "anet2": "a_net.csv", "other": "other.csv"}
    assert study == {
        "stimuli": "words.csv",
        "recordings": {"01": files},
        "splits": {"held": {"column": "test", "value": "True"}},
        "models": {name: {"extractor": "table", "file": file} for name, file in models.items()},
    }
    assert main(["check", str(tmp_path / "study.yaml")]) == 0
    assert {"V4 2", "IT 2"} <= set(re.findall(r"(?:V4|IT) 2", re.sub(r"[│\s]+", " ", capsys.readouterr().out)))


def test_everyone_whose_data_lie_in_a_folder_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is called sub-01; trials name images with their ending; another array has as many rows as nothing."""
    names = [f"p{k:02d}" for k in range(40)]
    images(tmp_path, names)
    people = ("anna", "annabo", "bo")  # a name within another's
    for name in people:
        (tmp_path / name).mkdir()
        n = trials_of([f"{one}.png" for one in names], tmp_path / name)
        np.save(tmp_path / name / "betas.npy", rng.normal(size=(n, 6)))
        np.save(tmp_path / name / "weights.npy", np.ones((n + 1, 6)))
    assert main(["init", str(tmp_path), "--yes"]) == 0
    files = {name: {"values": f"{name}/betas.npy", "trials": f"{name}/trials.tsv"} for name in people}
    described = yaml.safe_load((tmp_path / "study.yaml").read_text())
    assert described["recordings"] == {name: {"format": "array", **of} for name, of in files.items()}
    assert main(["check", str(tmp_path / "study.yaml")]) == 0
    assert "3 subject(s), 40 stimuli" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "study.yaml").unlink()
    for name in files:
        trials = tmp_path / name / "trials.tsv"
        trials.write_text(trials.read_text().replace("stimulus_id", "image", 1))
    assert main(["init", str(tmp_path), "--yes"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(r"anna/trials.tsv has the columns .*image.* but no stimulus_id: call that of", said)


def test_a_long_entry_is_a_line_a_person_while_there_is_room(tmp_path: Path) -> None:
    bids(tmp_path)
    study = tmp_path / "study.yaml"
    for n_people, lines in ((2, 2), (9, 9), (30, 0)):
        for person in range(2, n_people + 1):
            shutil.copytree(tmp_path / "sub-01", tmp_path / f"sub-{person:02d}", dirs_exist_ok=True)
            for path in (tmp_path / f"sub-{person:02d}").rglob("sub-01*"):
                path.rename(path.with_name(path.name.replace("sub-01", f"sub-{person:02d}")))
        study.unlink(missing_ok=True)
        assert main(["init", str(tmp_path), "--yes"]) == 0
        written = study.read_text()
        assert len(written.splitlines()) <= 15
        assert len(re.findall(r"^  \S+: {format: bids.*}$", written, re.MULTILINE)) == lines
        assert len(yaml.safe_load(written)["recordings"]) == n_people


def test_matrices_are_known_by_their_shape_where_no_trials_are(tmp_path: Path) -> None:
    rdms(tmp_path)
    for region in ("V1", "IT"):
        (tmp_path / f"{region}_rdms.npy").rename(tmp_path / f"{region}.npy")
    files = {region: {"format": "rdms", "file": f"{region}.npy"} for region in ("V1", "IT")}
    assert main(["init", str(tmp_path), "--yes"]) == 0
    assert yaml.safe_load((tmp_path / "study.yaml").read_text())["recordings"] == files
    (tmp_path / "study.yaml").unlink()
    (tmp_path / "IT.npy").unlink()
    np.save(tmp_path / "V1.npy", np.ones((trials_of([f"p{k:02d}" for k in range(12)], tmp_path), 66)))
    assert main(["init", str(tmp_path), "--yes"]) == 0
    assert "format: array" in (tmp_path / "study.yaml").read_text()


def test_what_is_asked_is_taken_and_named_where_nobody_answers(tmp_path: Path, monkeypatch, capsys) -> None:
    assert main(["init", str(tmp_path)]) == 2
    assert "none of its 0 files is what a study is made of" in capsys.readouterr().err
    blocks(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["init", str(tmp_path)]) == 2
    assert "repetition time in seconds" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "study.yaml").exists()
    monkeypatch.setattr("builtins.input", lambda *_: "1.5")
    assert main(["init", str(tmp_path)]) == 0
    assert "tr_s: 1.5" in (tmp_path / "study.yaml").read_text()
    assert main(["init", str(tmp_path)]) == 2  # nothing is overwritten


def test_a_repetition_time_says_where_it_is_from(tmp_path: Path) -> None:
    blocks(tmp_path)
    bold = nibabel.load(tmp_path / "sub-01_bold.nii.gz")
    image = nibabel.Nifti1Image(bold.get_fdata(dtype="float32"), bold.affine)
    for zoom, unit, tr_s, known in (
        (0.72, "sec", "0.72", "as the header says"),
        (1500.0, "msec", "1.5", "as the header says"),
        (1.0, "sec", "1.0", "1 in a header may mean unknown"),
        (0.0, "sec", "2.0", "the header says none"),
    ):
        image.header.set_zooms((2.0, 2.0, 2.0, zoom))
        image.header.set_xyzt_units("mm", unit)
        nibabel.save(image, tmp_path / "sub-01_bold.nii.gz")
        (tmp_path / "study.yaml").unlink(missing_ok=True)
        assert main(["init", str(tmp_path), "--yes"]) == 0
        written = (tmp_path / "study.yaml").read_text()
        assert f"tr_s: {tr_s}" in written
        assert f"# repetition time in seconds ({known}): change it where" in written


def test_the_seconds_of_samples_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    electrodes(tmp_path)
    answers = iter(["-0.2 0.8", ""])
    monkeypatch.setattr("builtins.input", lambda *_: next(answers))
    assert main(["init", str(tmp_path)]) == 0
    np.testing.assert_allclose(np.loadtxt(tmp_path / "times.txt"), np.linspace(-0.2, 0.8, 11))
    (tmp_path / "study.yaml").unlink()
    assert main(["init", str(tmp_path), "--yes"]) == 0  # the file that lies there is taken
    assert "times_s: times.txt" in (tmp_path / "study.yaml").read_text()


@pytest.mark.acceptance
@pytest.mark.parametrize("make", [own_vectors, rdms], ids=lambda make: make.__name__)
def test_a_folder_becomes_a_page(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path)
    assert main(["init", str(tmp_path), "--yes"]) == 0
    few = "encode: {permutations: 100}\ncompare: {draws: 100}\n"
    (tmp_path / "study.yaml").write_text((tmp_path / "study.yaml").read_text() + few)
    assert main(["run", str(tmp_path / "study.yaml"), "--cores", "1"]) == 0
    assert '<li><div><a href="' in (tmp_path / "results" / "index.html").read_text()
    assert main(["report", str(tmp_path / "study.yaml"), "--figures", str(tmp_path / "figures")]) == 0
    pages = [path.parent for path in (tmp_path / "figures").rglob("references.bib")]
    assert len(pages) == len(list((tmp_path / "results").glob("*/*.html")))
    assert all(len(list(page.glob("*.svg"))) == len(list(page.glob("*.pdf"))) > 0 for page in pages)
