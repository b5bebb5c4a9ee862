"""`brainalign init`: a folder of every kind becomes a YAML of at most 15 lines that `check` and `plan` take."""

import io
import itertools
import json
import re
import shutil
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import av
import h5py
import mne
import mne_bids
import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
import zarr
from made import write_table
from nibabel.cifti2 import BrainModelAxis, LabelAxis, ScalarAxis
from numpy.typing import NDArray
from PIL import Image
from refusals import refused
from rsatoolbox.rdm import RDMs
from scipy.io import savemat, wavfile
from scipy.spatial.distance import squareform

from brainalign.arrays import Responses
from brainalign.cli import main
from brainalign.commands import init_study
from brainalign.datasets import audit_study, read_array, read_rdm_study, read_subject
from brainalign.datasets.formats import read_block_labels
from brainalign.datasets.studies import read_categories, read_continuous
from brainalign.io import read_text_table
from brainalign.study import Study, load_descriptor, read_vectors
from worlds import labs

rng = np.random.default_rng(11)
NAMES = ("cat", "dog", "car")


def init_anew(folder: Path) -> int:
    (folder / "study.yaml").unlink(missing_ok=True)
    return main(["init", str(folder), "--yes"])


def described(folder: Path) -> Study:
    assert init_anew(folder) == 0
    return load_descriptor(folder / "study.yaml")


def responses_to(shown: Iterable[str], values: NDArray[Any], study: Study, who: str = "01") -> Responses:
    """Read the responses of someone, which must be these values, to these stimuli in this order."""
    responses = read_subject(study, who, as_they_are=True)
    np.testing.assert_array_equal(responses.values, values.astype(np.float32))
    assert responses.trials["stimulus_id"].tolist() == [*shown]
    return responses


def remove(paths: Iterable[Path]) -> None:
    for path in [*paths]:
        path.unlink()


def images(folder: Path, names: list[str]) -> None:
    (folder / "images").mkdir()
    for name in names:
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype="uint8")).save(folder / "images" / f"{name}.png")


def scan(path: Path, values: NDArray[Any], step_s: float = 1.0) -> None:
    image = nibabel.Nifti1Image(values.astype("float32"), np.eye(4))
    image.header.set_zooms((2.0, 2.0, 2.0, step_s)[: values.ndim])
    nibabel.save(image, path)


def trials_of(names: list[str], folder: Path, n_runs: int = 3) -> int:
    shown = [(name, run) for run in range(n_runs) for name in rng.permutation(names)]
    pd.DataFrame(shown, columns=["stimulus_id", "run"]).to_csv(folder / "trials.tsv", sep="\t", index=False)
    return len(shown)


def electrodes(folder: Path) -> None:
    images(folder, names := [f"p{k:02d}" for k in range(40)])
    np.save(folder / "ecog.npy", rng.normal(size=(trials_of(names, folder), 11, 4)))
    (folder / "channels.tsv").write_text("name\nA1\nA2\nA3\nA4\n")  # which of the two axes is of times


def own_vectors(folder: Path) -> None:
    names = [f"w{k}" for k in range(6)]
    np.save(folder / "rates.npy", rng.normal(size=(trials_of(names, folder, 6), 10)))
    (folder / "stimuli.csv").write_text("stimulus_id\n" + "\n".join(names) + "\n")
    np.savez(folder / "embeddings.npz", stimulus_id=np.array(names), words=rng.normal(size=(6, 4)))


def epochs(folder: Path) -> None:
    images(folder, names := [f"p{k:02d}" for k in range(30)])
    info = mne.create_info(["Cz", "Pz", "Oz"], 50.0, "eeg")
    events, codes = np.arange(30)[:, None] * [1, 0, 1], {name: k for k, name in enumerate(names)}
    for session in (1, 2):
        data = mne.EpochsArray(rng.normal(size=(30, 3, 30)) * 1e-6, info, events, -0.1, codes, verbose="error")
        data.save(folder / f"sub-01_ses-{session}-epo.fif", verbose="error")


def film(folder: Path) -> None:
    for run in ("run1", "run2", "run3"):
        np.save(folder / f"sub-01_{run}.npy", rng.normal(size=(60, 8)))
        with av.open(str(folder / f"{run}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=5, width=8, height=8, pix_fmt="gray")
            for frame in rng.integers(0, 255, (600, 8, 8), dtype=np.uint8):
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
        events["stim_file"] = [f"img{k}.png" for k in rng.permutation(6)]
        rest = pd.DataFrame({"onset": [1, 2, 3], "duration": 1, "trial_type": ["cue", "rest", "key"]})
        pd.concat([rest, events]).to_csv(raw / f"{stem}_events.tsv", sep="\t", index=False, na_rep="n/a")
        scan(func / f"{stem}_space-MNI_desc-preproc_bold.nii.gz", 500 + rng.normal(size=(3, 3, 2, 40)), 1.5)
        scan(func / f"{stem}_space-MNI_desc-brain_mask.nii.gz", np.ones((3, 3, 2)))
        (func / f"{stem}_space-MNI_desc-preproc_bold.json").write_text('{"RepetitionTime": 1.5, "StartTime": 0.75}')
        moved = {f"{kind}_{axis}": rng.normal(size=40) for kind in ("trans", "rot") for axis in "xyz"}
        write_table(func / f"{stem}_desc-confounds_timeseries.tsv", **moved)
    for path in func.glob("*_desc-*.nii.gz"):
        path.with_name(path.name.replace("space-MNI", "space-T1w")).write_bytes(path.read_bytes())


def bids(folder: Path, places: tuple[tuple[str | None, str], ...] = ((None, "1"), (None, "2"))) -> None:
    raw = mne.io.RawArray(rng.normal(size=(3, 12_000)) * 1e-5, mne.create_info(["Cz", "Pz", "Oz"], 100.0, "eeg"))
    raw.info["line_freq"] = 50
    raw.set_annotations(mne.Annotations(1 + np.arange(80) * 1.4, 0.1, np.tile(["face", "house"], 40)))
    for session, run in places:
        place = mne_bids.BIDSPath("01", session=session, task="faces", run=run, datatype="eeg", root=folder)
        mne_bids.write_raw_bids(raw, place, allow_preload=True, format="BrainVision", verbose="error")
        raw = mne.io.RawArray(rng.normal(size=(3, 12_000)) * 1e-5, raw.info).set_annotations(raw.annotations)


def bids_of_images(folder: Path) -> None:
    bids(folder)
    images(folder, [f"p{k:02d}" for k in range(20)])
    for path in folder.rglob("*_events.tsv"):
        shown = [f"stimuli/p{k:02d}.png" for k in rng.permutation(80) % 20]
        write_table(path, **read_text_table(path).assign(stim_file=shown))


def stories_of_fmriprep(folder: Path) -> None:
    fmriprep(folder)
    for path in folder.rglob("*_task-look_run-*"):
        path.rename(path.with_name(re.sub("task-look_run-", "task-story", path.name)))
    (folder / "raw" / "dataset_description.json").write_text('{"Name": "stories", "BIDSVersion": "1.9.0"}')
    for path in folder.rglob("*_events.tsv"):
        write_table(path, onset=np.arange(0, 55, 0.5), duration=0.4, word="again")


def grayordinates(folder: Path) -> None:
    images(folder, names := [f"p{k:02d}" for k in range(40)])
    axis = BrainModelAxis.from_mask(np.arange(32492) < 200, "CortexLeft")
    scalars = ScalarAxis([f"b{k}" for k in range(trials_of(names, folder))])
    maps = nibabel.Cifti2Image(rng.normal(size=(len(scalars), len(axis))).astype("float32"), (scalars, axis))
    maps.to_filename(folder / "sub-04_betas.dscalar.nii")
    labels = LabelAxis(["areas"], {0: ("???", (0, 0, 0, 0)), 1: ("V1", (1, 0, 0, 1)), 2: ("IT", (0, 0, 1, 1))})
    keys = nibabel.Cifti2Image(np.repeat([1, 2], 100)[None].astype("float32"), (labels, axis))
    keys.to_filename(folder / "areas.dlabel.nii")


def story_in_volumes(folder: Path) -> None:
    """TextGrids and sounds, and two people in folders of their own, whose grids differ; one scan was cut short."""
    for place in ("words", "audio", "P1", "P2"):
        (folder / place).mkdir()
    head = 'File type = "ooTextFile"\n"TextGrid"\n0\n120\n<exists>\n1\n"IntervalTier"\n"words"\n0\n120\n'
    for run in ("wheels", "1", "legacy"):
        grid = "".join(f'{k}\n{k + 1}\n"{"word" if k % 5 else ""}"\n' for k in range(120))
        (folder / "words" / f"{run}.TextGrid").write_text(f"{head}120\n{grid}")
        wavfile.write(folder / "audio" / f"{run}.wav", 100, rng.normal(0, 3000, 12_000).astype(np.int16))
        for person, shape in (("P1", (3, 3, 2)), ("P2", (4, 2, 2))):
            n_volumes = 64 if (person, run) == ("P2", "1") else 84
            scan(folder / person / f"{run}.nii.gz", rng.normal(size=(*shape, n_volumes)), 1.5)
            scan(folder / person / "brainmask.nii.gz", np.ones(shape))
            scan(folder / person / "atlas.nii.gz", np.ones(shape))


def cells_of_matlab(folder: Path) -> None:
    """Trials x times x cells of version 7.3 beside their times; vectors are all that is known of stimuli."""
    names = [f"tex{k}" for k in range(30)]
    shown = rng.permutation(np.repeat(names, rng.integers(1, 4, 30)))
    pd.DataFrame({"stimulus_id": shown, "trial": range(len(shown), 0, -1)}).to_csv(folder / "order.csv", index=False)
    write_table(folder / "model.csv", stimulus_id=names, a=rng.normal(size=30), b=rng.normal(size=30))
    with h5py.File(folder / "mua.mat", "w", userblock_size=512) as file:
        file["mua"], file["t"] = rng.normal(size=(4, 9, len(shown))), np.linspace(-0.1, 0.3, 9)[:, None]


def blocks_in_runs(folder: Path) -> None:
    images(folder, list(NAMES))
    for person in ("07", "12"):
        place = folder / f"sub-{person}" / "func"
        place.mkdir(parents=True)
        for run in (1, 2, 3):
            stem, shown = f"sub-{person}_task-oneback_run-{run}", np.repeat(rng.permutation(NAMES), 3)
            onsets = 4 + 1.5 * np.arange(9) + 6.0 * np.repeat(np.arange(3), 3)
            write_table(place / f"{stem}_events.tsv", onset=onsets, duration=1.0, trial_type=shown)
            scan(place / f"{stem}_bold.nii.gz", 100 + rng.normal(size=(3, 3, 2, 26 + run)), 1.5)
        scan(place / "brain_mask.nii.gz", np.ones((3, 3, 2)))


def betas_of_sessions(folder: Path) -> None:
    images(folder, names := [f"p{k:02d}" for k in range(40)])
    columns = {"stimulus_id": names, "path": [f"images/{name}.png" for name in names]}
    pd.DataFrame(columns | {"part": np.repeat(["Test", "Train"], 20)}).to_csv(folder / "pictures.csv", index=False)
    for person in ("s1", "s2"):
        (folder / person).mkdir()
        shown = rng.permutation(np.repeat(names, rng.integers(1, 4, 40)))
        sessions = np.repeat([9, 10], [30, len(shown) - 30])
        write_table(folder / person / "design.csv", session=sessions, stimulus_id=shown)
        for session, n in (("9", 30), ("10", len(shown) - 30)):
            scan(folder / person / f"betas_session{session}.nii.gz", rng.normal(size=(3, 3, 2, n)))
        for name, values in (("brainmask", np.ones((3, 3, 2))), ("rois", np.arange(18).reshape(3, 3, 2) % 3)):
            scan(folder / person / f"{name}.nii.gz", values)


def rdms_of_matlab(folder: Path) -> None:
    images(folder, [f"p{k:02d}" for k in range(12)])
    stacks = {name: [squareform(rng.uniform(0.1, 1, 66)) for _ in range(5)] for name in ("V1", "IT")}
    savemat(folder / "RDMs.mat", {name: np.stack(matrices, axis=2) for name, matrices in stacks.items()})
    savemat(folder / "modelRDMs.mat", {"animacy": stacks["V1"][0]})


def bids_of_sessions(folder: Path) -> None:
    bids(folder, (("a", "1"), ("a", "2"), ("b", "1")))
    for path in [*folder.rglob("*ses-b_task-faces_run-1_*")]:
        other = path.read_bytes().replace(b"task-faces", b"task-words").replace(b"house", b"verbs")
        path.with_name(path.name.replace("task-faces", "task-words")).write_bytes(other)


KINDS = (story_in_volumes, cells_of_matlab, blocks_in_runs, betas_of_sessions, rdms_of_matlab, bids_of_sessions)
KINDS += (fmriprep, stories_of_fmriprep, grayordinates, bids_of_images, electrodes, own_vectors, epochs, film)
KINDS += (labs.blocks, labs.betas, labs.rdms, labs.story)


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_what_init_writes_runs(make: Callable[[Path], None], tmp_path: Path, capsys) -> None:
    make(folder := tmp_path)
    assert main(["init", str(folder), "--yes"]) == 0
    written = (folder / "study.yaml").read_text()
    assert len(written.splitlines()) <= 15
    pictured = any(folder.glob("*/*.png")) and make not in (blocks_in_runs, betas_of_sessions, stories_of_fmriprep)
    assert ("stimuli: stimuli.tsv" in written) == pictured
    assert main(["check", str(folder / "study.yaml")]) == 0, capsys.readouterr().out
    assert main(["plan", str(folder / "study.yaml")]) == 0
    assert "report" in capsys.readouterr().out


def test_people_runs_sessions_and_arrays_are_told_apart(tmp_path: Path) -> None:
    def written(make: Callable[[Path], None]) -> tuple[dict[str, Any], Study]:
        (folder := tmp_path / make.__name__).mkdir()
        make(folder)
        study = described(folder)
        return yaml.safe_load((folder / "study.yaml").read_text()), study

    story, _ = written(story_in_volumes)
    assert (story["stimuli"], story["continuous"]) == ("words", {"sounds": "audio/*.wav"})
    for person in ("P1", "P2"):
        files = {run: f"{person}/{run}.nii.gz" for run in ("1", "legacy", "wheels")}
        expected = {"format": "runs", "files": files, "mask": f"{person}/brainmask.nii.gz", "tr_s": 1.5}
        expected["rois"] = {"areas": f"{person}/atlas.nii.gz"}
        assert story["recordings"][person] == expected
    cells, study = written(cells_of_matlab)
    files = {"values": "mua.mat", "key": "mua", "trials": "order.csv", "times_s": "times.txt", "times_axis": 1}
    place = tmp_path / "cells_of_matlab"
    assert "(as trials are listed) or trial: change it where table is wrong" in (place / "study.yaml").read_text()
    order = pd.read_csv(place / "order.csv").rename(columns={"trial": "index"})
    order.sort_values("stimulus_id").to_csv(place / "order.csv", index=False)  # when the array may not be sorted so
    assert [*read_subject(described(place), "01").trials["stimulus_id"]] == [*order["stimulus_id"][::-1]]
    assert cells["recordings"] == {"01": {"format": "array"} | files}
    assert cells["models"] == {"model": {"extractor": "table", "file": "model.csv"}}
    with h5py.File(tmp_path / "cells_of_matlab" / "mua.mat") as file:
        np.testing.assert_allclose(read_subject(study, "01").values, np.moveaxis(file["mua"][()], 2, 0), atol=1e-6)
    written(fmriprep)
    remove([*(tmp_path / "fmriprep").rglob("*.png"), tmp_path / "fmriprep" / "stimuli.tsv"])
    assert described(tmp_path / "fmriprep").glm.stimulus_column == "stim_file"  # all are of one trial_type
    content, study = written(blocks_in_runs)
    files = [f"sub-12/func/sub-12_task-oneback_run-{run}_events.tsv" for run in (1, 2, 3)]
    assert content["recordings"]["12"]["events"] == files
    responses = read_subject(study, "12")
    assert responses.trials.groupby("run").size().to_dict() == {"1": 3, "2": 3, "3": 3}
    assert responses.trials["onset_s"].tolist() == [4.5, 15.0, 25.5] * 3  # volumes whose middle lies inside
    content, study = written(betas_of_sessions)
    assert content["recordings"]["s2"]["betas"] == [f"s2/betas_session{k}.nii.gz" for k in (9, 10)]
    trials = read_subject(study, "s2").trials["stimulus_id"].tolist()
    for design in (tmp_path / "betas_of_sessions").glob("*/design.csv"):  # a table of each session instead
        for session, of in pd.read_csv(design, dtype=str).groupby("session"):
            of.drop(columns="session").to_csv(design.with_name(f"trials_session{session}.csv"), index=False)
        design.unlink()
    assert read_subject(described(tmp_path / "betas_of_sessions"), "s2").trials["stimulus_id"].tolist() == trials
    assert content["recordings"]["s2"]["rois"] == {"areas": "s2/rois.nii.gz"}
    assert content["splits"] == {"held": {"column": "part", "value": "Test"}}
    assert written(rdms_of_matlab)[0]["recordings"]["IT"] == {"format": "rdms", "file": "RDMs.mat", "key": "IT"}
    place = tmp_path / "bids_of_images"
    assert written(bids_of_images)[0]["recordings"]["01"]["names"] == "file stem"
    for folder in "ab":  # of the same names
        shutil.copytree(place / "images", place / "stimuli" / folder)
    shutil.rmtree(place / "images")
    (place / "stimuli.tsv").unlink()
    for path in place.rglob("*_events.tsv"):
        events = pd.read_csv(path, sep="\t")
        events["stim_file"] = [f"{'ab'[k % 2]}/{Path(name).name}" for k, name in enumerate(events["stim_file"])]
        events.to_csv(path, sep="\t", index=False)
    assert read_subject(described(place), "01").trials["stimulus_id"].tolist()[-80:] == events["stim_file"].tolist()
    responses = read_subject(written(bids_of_sessions)[1], "01")
    assert responses.targets.set_index("target_id")["y_mm"].idxmin() == "Oz"  # which names alone tell
    assert responses.trials.groupby("run", sort=False)["session"].first().to_dict() == {"1": "a", "2": "a", "3": "b"}


def test_vectors_regions_and_test_stimuli_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"w{k:02d}" for k in range(30)]
    np.save(tmp_path / "rates.npy", rng.normal(size=(trials_of(names, tmp_path, 3), 4)))
    stimuli = pd.DataFrame({"stimulus_id": names, "kind": "word", "test": np.arange(30) % 3 // 2})
    stimuli.to_csv(tmp_path / "words.CSV", index=False)
    pd.DataFrame({"roi": ["V4", "V4", "IT", "IT"]}).to_csv(tmp_path / "cells.csv", index=False)
    vectors = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"], index=pd.Index(names, name="stimulus_id"))
    vectors.to_parquet(tmp_path / "a-net.parquet")
    vectors.to_csv(tmp_path / "a_net.csv")
    np.savez(tmp_path / "other.npz", stimulus_id=names, last=vectors)  # told by its ids
    assert main(["init", str(tmp_path)]) == 0  # nothing is left to ask
    study = yaml.safe_load((tmp_path / "study.yaml").read_text())
    files = {"format": "array", "values": "rates.npy", "trials": "trials.tsv", "targets": "cells.csv"}
    models = {"anet": "a-net.parquet", "anet2": "a_net.csv", "other": "other.npz"}
    assert (study["stimuli"], study["recordings"]) == ("words.CSV", {"01": files})
    assert study["splits"] == {"held": {"column": "test", "value": "1"}}
    assert study["models"] == {name: {"extractor": "table", "file": file} for name, file in models.items()}
    for column, n, value in (("shared1000", 2, "1"), ("isTrain", 2, "0"), ("fold", 3, "")):
        stimuli.assign(**{"test": "no", column: np.arange(30) % n}).to_csv(tmp_path / "words.CSV", index=False)
        described(tmp_path)
        held = {"column": column, "value": value} if value else {"leave_out": column}
        assert yaml.safe_load((tmp_path / "study.yaml").read_text())["splits"] == {"held": held}
    assert main(["check", str(tmp_path / "study.yaml")]) == 0
    assert {"V4 2", "IT 2"} <= set(re.findall(r"(?:V4|IT) 2", re.sub(r"[│\s]+", " ", capsys.readouterr().out)))
    remove(path for path in tmp_path.iterdir() if path.name != "a_net.csv")
    (tmp_path / "a_net.csv").rename(tmp_path / "mine.csv")
    responses = pd.DataFrame(rng.normal(size=(30, 3)), names, ["v_0", "v_1", "v_2"])
    responses.to_csv(tmp_path / "responses.csv", index_label="image")
    np.save(tmp_path / "layer4.npy", vectors)
    assert main(["init", str(tmp_path), "--yes"]) == 0  # tables of responses beside arrays of features
    study = yaml.safe_load((tmp_path / "study.yaml").read_text())
    assert study["recordings"]["01"]["values"] == "responses_renamed_values.npy"
    units = read_text_table(tmp_path / "responses_renamed_units.tsv")
    assert not any(units["roi"])  # all are called v, which is no area then
    assert [of["file"] for of in study["models"].values()] == ["layer4.npy", "mine.csv"]


def test_everyone_whose_data_lie_in_a_folder_is_described(tmp_path: Path, capsys, fails) -> None:
    """Nobody is called sub-01; trials name images with their ending; another array has as many rows as nothing."""
    images(tmp_path, names := [f"p{k:02d}" for k in range(40)])
    people = ("anna", "annabo", "bo")  # a name within another's
    for name in people:
        (tmp_path / name).mkdir()
        n = trials_of([f"{one}.png" for one in names], tmp_path / name)
        for area, size in (("V4", 2), ("IT", 4)):
            np.save(tmp_path / name / f"{area}.npy", rng.normal(size=(n, size)))
        np.save(tmp_path / name / "weights.npy", np.ones((n + 1, 6)))
        (tmp_path / name / "._trials.tsv").write_bytes(b"\xff")  # of macOS
    study = described(tmp_path)
    files = {name: (f"sub-{name}_joined.npy", f"{name}/trials.tsv") for name in people}
    assert {name: (str(of.values), str(of.trials)) for name, of in study.recordings.items()} == files
    responses = read_subject(study, "bo", as_they_are=True)
    for area, rows in responses.regions().items():
        np.testing.assert_allclose(responses.values[:, rows], np.load(tmp_path / "bo" / f"{area}.npy"), rtol=1e-6)
    assert main(["check", str(tmp_path / "study.yaml")]) == 0
    assert "3 subject(s), 40 stimuli" in " ".join(capsys.readouterr().out.split())
    for name in files:
        trials = tmp_path / name / "trials.tsv"
        trials.write_text(trials.read_text().replace("stimulus_id", "shown", 1).replace(".png", ".bmp"))
        trials.rename(trials.with_name("design.tsv"))
    fails("anna/design.tsv has the columns shown, run but no stimulus_id", init_anew, tmp_path)


def test_nobody_gets_the_files_of_others_and_no_session_is_left_out(tmp_path: Path, fails) -> None:
    names = [f"w{k:02d}" for k in range(24)]

    def write(table: str, array: str) -> None:
        n = trials_of(names, tmp_path)
        (tmp_path / "trials.tsv").rename(tmp_path / table)
        np.save(tmp_path / array, rng.normal(size=(n, 5)))

    def recordings() -> Any:
        described(tmp_path)
        return yaml.safe_load((tmp_path / "study.yaml").read_text())["recordings"]

    for k in (1, 2):
        write(f"sub-0{k}_trials.tsv", f"sub-{k}_resp.npy")
    assert [files["trials"] for files in recordings().values()] == ["sub-01_trials.tsv", "sub-02_trials.tsv"]
    tables = [pd.read_csv(path, sep="\t") for path in sorted(tmp_path.glob("*_trials.tsv"))]
    pd.concat(tables, keys=[1, 2], names=["participant"]).reset_index(0).to_csv(tmp_path / "both.csv", index=False)
    (tmp_path / "sub-02_trials.tsv").unlink()
    (tmp_path / "sub-01_trials.tsv").rename(tmp_path / "sub-01.away")
    assert [files["trials"] for files in recordings().values()] == ["sub-1_both.tsv", "sub-2_both.tsv"]
    remove(tmp_path.glob("*both*"))
    (tmp_path / "sub-01.away").rename(tmp_path / "sub-01_trials.tsv")
    fails("subject 2: sub-01_trials.tsv are called after others", init_anew, tmp_path)
    (tmp_path / "sub-01_trials.tsv").rename(tmp_path / "trials.tsv")
    assert [files["trials"] for files in recordings().values()] == ["trials.tsv"] * 2
    remove(tmp_path.iterdir())
    for k in (9, 10):
        write(f"sub-01_ses-{k}_trials.tsv", f"sub-01_ses-{k}_betas.npy")
    assert recordings()["01"]["values"] == "sub-01_joined.npy"
    parts = [np.load(tmp_path / f"sub-01_ses-{k}_betas.npy") for k in (9, 10)]
    np.testing.assert_array_equal(np.load(tmp_path / "sub-01_joined.npy"), np.concatenate(parts))
    (tmp_path / "sub-01_ses-10_betas.npy").rename(tmp_path / "sub-01_ses-10_raw.npy")
    fails("has 2 files of responses", init_anew, tmp_path)
    (tmp_path / "sub-01_ses-10_trials.tsv").unlink()
    assert recordings()["01"]["values"] == "sub-01_ses-9_betas.npy"
    assert "which is read: change it where sub-01_ses-9_betas.npy is wrong" in (tmp_path / "study.yaml").read_text()
    remove({*tmp_path.glob("*.npy"), *tmp_path.glob("*joined*")})
    np.savez(tmp_path / "sub-01.npz", **{"ses-10": parts[1][1:], "ses-9": parts[0]})
    assert recordings()["01"]["key"] == "ses-9"
    assert "which of ses-10, ses-9 is read" in (tmp_path / "study.yaml").read_text()
    trials = pd.read_csv(tmp_path / "sub-01_ses-9_trials.tsv", sep="\t")
    trials[1:].to_csv(tmp_path / "sub-01_ses-10_trials.tsv", sep="\t", index=False)
    assert recordings()["01"]["values"] == "sub-01_joined.npy"
    np.testing.assert_array_equal(np.load(tmp_path / "sub-01_joined.npy"), np.concatenate([parts[0], parts[1][1:]]))


def test_people_and_test_stimuli_are_those_that_files_and_folders_name(tmp_path: Path) -> None:
    names, orders, own = [f"w{k:02d}" for k in range(24)], {}, {}
    pd.DataFrame({"stimulus_id": names, "text": names}).to_csv(tmp_path / "stimuli.csv", index=False)

    def held() -> list[str]:
        stimuli = read_text_table(tmp_path / study.stimuli)
        return stimuli.loc[stimuli[study.held_out[1].column or "text"] == "test", "stimulus_id"].tolist()

    for who in ("ann", "bob"):
        (tmp_path / who / "neural").mkdir(parents=True)
        shown = pd.DataFrame({"stimulus_id": rng.permutation(names * 2)})
        shown.assign(is_test=shown["stimulus_id"] < "w08").to_csv(tmp_path / who / "trials.csv", index=False)
        for kind in ("lfp", "spikes"):
            np.save(tmp_path / who / "neural" / f"{kind}.npy", rng.normal(size=(48, 4)))
            orders[f"{who}{kind}"] = shown["stimulus_id"].tolist()
    study = described(tmp_path)
    assert {who: read_subject(study, who).trials["stimulus_id"].tolist() for who in study.recordings} == orders
    assert held() == names[:8]
    for k, who in enumerate(("ann", "bob")):
        shutil.rmtree(tmp_path / who)
        own[f"sub{k}_rates"] = rng.normal(size=(24, 4 + k))
        own[f"sub{k}_stim"] = np.r_[rng.permutation(names[9:]), rng.permutation(names[:9])]
    for marks in ({"test_idx": np.arange(15, 24)}, {"split": np.repeat(["train", "val"], [15, 9])}):
        remove(tmp_path.glob("*.tsv"))
        np.savez(tmp_path / "all.npz", **own, **marks)
        study = described(tmp_path)
        for who in study.recordings:
            responses_to(own[f"sub{who}_stim"], own[f"sub{who}_rates"], study, who)
        assert ([*study.recordings], held()) == (["0", "1"], names[:9])
    remove([tmp_path / "all.npz", *tmp_path.glob("*.tsv")])
    for part, shown in (("train", names[9:]), ("test", names[:9])):  # a table for each
        np.save(tmp_path / f"{part}_rates.npy", rng.normal(size=(len(shown), 4)))
        (tmp_path / f"{part}_trials.csv").write_text("\n".join(["stimulus_id", *shown]))
    study = described(tmp_path)
    assert held() == names[:9]
    remove(tmp_path.glob("*_*"))
    values, shown = rng.normal(size=(2, 12, 4)), np.stack([rng.permutation(names[:12]), names[12:]]).astype(object)
    parts = {"train_rates": values[1], "y_train": shown[1], "test_rates": values[0], "y_test": shown[0]}
    savemat(tmp_path / "all.mat", parts)  # as they may lie in one file
    responses_to(shown.ravel(), np.concatenate(values), study := described(tmp_path))
    assert held() == names[:12]


def planted(study: Study, who: str) -> tuple[list[int], list[int]]:
    """Return the numbers that responses hold in their first column, and those that names of images shown end in."""
    responses, table = read_subject(study, who, as_they_are=True), read_text_table(study.folder / study.stimuli)
    paths = dict(zip(table["stimulus_id"], table["path"], strict=True))
    shown = [int(Path(paths[name]).stem[-2:]) for name in responses.trials["stimulus_id"]]
    return responses.values[:, 0].round().astype(int).tolist(), shown


def of_images(numbers: NDArray[np.int64], n: int = 5) -> NDArray[np.float32]:
    return numbers[..., None] + 0.01 * rng.normal(size=(*numbers.shape, n)).astype(np.float32)


def test_rows_stay_with_the_orders_sessions_and_sets_that_files_name(tmp_path: Path, fails) -> None:
    images(tmp_path, [f"im{k:02d}" for k in range(1, 21)])
    every = np.arange(1, 21)

    def table(name: str, numbers: Iterable[int], **columns: Any) -> None:
        shown = [f"im{k:02d}.png" for k in numbers]
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pd.DataFrame({"image": shown, **columns}).to_csv(tmp_path / name, index=False)

    def check(*people: str, **sizes: int) -> None:
        study = described(tmp_path)
        assert [*study.recordings] == [*people]
        for who in people:
            held, shown = planted(study, who)
            assert (held, len(held)) == (shown, sizes["n"])
        remove(path for path in tmp_path.rglob("*.*") if path.suffix != ".png")

    order, rows = rng.permutation(every), np.tile(rng.permutation(20), 2)
    listed = np.array([f"im{k:02d}.png" for k in order], dtype=object)
    savemat(tmp_path / "all.mat", {"resp": of_images(order[rows]), "img_no": rows + 1.0, "imgNames": listed})
    check("01", n=40)  # numbers are of the list, not those in the names that it has
    for who, (run, shown) in itertools.product(("S1", "S2", "sub-3"), enumerate((order, every[::-1], order[::-1]))):
        table(f"{who}/run{run}_order.csv", mine := np.roll(shown, int(who[-1])))
        np.save(tmp_path / who / f"run{run}_beta.npy", of_images(mine))
    check("S1", "S2", "3", n=60)  # which show each image once, in an order of their own
    for ending in ("npy", "nii.gz"):
        table("trials.csv", np.r_[order, order[::-1]], session=np.repeat([2, 1], 20))  # the last is listed first
        for day, shown in ((2, order), (1, order[::-1])):
            values = of_images(shown, 18)
            if ending == "npy":
                np.save(tmp_path / f"ses-{day}_betas.npy", values)
            else:
                scan(tmp_path / f"ses-{day}_betas.nii.gz", values.T.reshape(3, 3, 2, 20))
                scan(tmp_path / "mask.nii.gz", np.ones((3, 3, 2)))
        check("01", n=40)
    train, test = order[:12], order[12:]
    repeats = of_images(np.tile(test, (3, 1)))
    repeats[2, 5] = np.nan  # was not repeated as often
    table("stim_train.csv", train)
    table("stim_test.csv", test)
    np.save(tmp_path / "responses_train.npy", of_images(train))
    np.save(tmp_path / "responses_test.npy", repeats)
    check("01", n=12 + 3 * 8 - 1)
    arrays = {}
    for who, (name, shown) in itertools.product(("sub1", "sub2"), (("train", train), ("test", test))):
        mine = rng.permutation(shown)
        arrays |= {f"{who}_{name}_data": of_images(mine), f"{who}_{name}_stim": [f"im{k:02d}" for k in mine]}
    np.savez(tmp_path / "data.npz", **arrays)
    check("1", "2", n=20)
    table("units_first.csv", every)
    # Cells x images x more repeats than cells.
    np.save(tmp_path / "cells.npy", of_images(np.tile(every, (9, 1))).transpose(2, 1, 0))
    pd.DataFrame({"unit_id": range(5), "depth": 0.5}).to_csv(tmp_path / "units.csv", index=False)
    check("01", n=180)
    for who in ("ada", "bea"):
        table(f"{who}/trials.csv", mine := rng.permutation(np.tile(order, 2)), rt=0.5)
        counts = pd.DataFrame(of_images(mine), columns=[f"V4_{k}" for k in range(5)])
        counts = counts if who == "ada" else counts.T.rename_axis("voxel_id").set_axis(range(5)).reset_index()
        counts.to_csv(tmp_path / who / "counts.csv", index=False)
    check("ada", "bea", n=40)
    moments = {"image": listed.repeat(3), "time": [0, 0.1, 0.2] * 20} | dict.fromkeys(("Cz", "Pz", "Oz"), 0.1)
    pd.DataFrame(moments).to_csv(tmp_path / "epochs.csv")
    fails("3 rows each, of their moments (time)", init_anew, tmp_path)
    (tmp_path / "epochs.csv").unlink()
    savemat(tmp_path / "all.mat", {"x": np.eye(20)[rows], "names": listed})
    fails("has a single 1 in each row", init_anew, tmp_path)
    (tmp_path / "all.mat").unlink()
    for area in ("LHPPA", "RHPPA", "LO", "FFA-1"):
        np.savez(tmp_path / f"{area}.npz", betas=of_images(order), image=listed.astype(str))
    regions = read_subject(described(tmp_path), "01").regions()
    assert {area: len(rows) for area, rows in regions.items()} == {"FFA-1": 5, "LHPPA": 5, "LO": 5, "RHPPA": 5}
    remove(tmp_path.glob("*.[tny]*"))
    for day in (1, 2):  # tables of other sessions than the arrays
        np.save(tmp_path / f"ses-{day}_betas.npy", of_images(order))
        table(f"ses-{day + 1}_trials.csv", order)
    assert init_anew(tmp_path) == 2


def test_trials_that_are_left_out_take_their_rows_along(tmp_path: Path, fails) -> None:
    """Rows in which nothing was shown, in the ways of labs, and those that a column excludes; images are planted."""
    images(tmp_path, [f"im{k:02d}" for k in range(20)])
    rows, is_bad = rng.permutation(np.repeat([*range(20), -1], 3)), np.isin(np.arange(63), [5, 40, 41])
    values, no, table = of_images(rows, 18), "3 by what shows nothing", tmp_path / "trials.csv"
    named = {word: [word if k < 0 else f"im{k:02d}.png" for k in rows] for word in ("", "blank", "n/a", "fixation")}
    ways: list[dict[str, Any]] = [{"image": of, "run": np.arange(63) // 21} for of in named.values()]
    ways += [{"stimulus_name": "natural_scenes", "frame": rows * 1.0}]
    ways += [{"stimulus_id": np.where(rows < 0, np.nan, rows)}, ways[2] | {"exclude": is_bad}]
    mixed = {"stimulus_name": np.where(rows < 0, "movie", "natural_scenes"), "frame": abs(rows) * 1.0, "bad": is_bad}
    for k, columns in enumerate([*ways, ways[1] | {"bad": is_bad * 1.0}, mixed]):
        inside = columns if k in (1, 6) else {}  # the file of the array
        pd.DataFrame(columns).to_csv(table, index=False)
        np.savez(tmp_path / "betas.npz", betas=values, **inside)
        if k in (3, 7):
            scan(tmp_path / "betas.nii.gz", values.T.reshape(3, 3, 2, 63))
            scan(tmp_path / "mask.nii.gz", np.ones((3, 3, 2)))
        remove([tmp_path / "betas.npz"] * (k in (3, 7)) + [table] * bool(inside))
        kept = (rows >= 0) & ~(is_bad & (k > 5))
        assert planted(described(tmp_path), "01") == (rows[kept].tolist(), rows[kept].tolist())
        assert no + ", 3 by " * (k > 5) in (tmp_path / "study.yaml").read_text()
        remove(path for path in tmp_path.rglob("*.*") if path.suffix != ".png")
    np.save(tmp_path / "betas.npy", values)
    for doubt in (np.where(is_bad, "blink", ""), ~is_bad):
        pd.DataFrame(ways[0] | {"rejected": doubt}).to_csv(table, index=False)
        fails("what rejected says of trials to be left out", init_anew, tmp_path)
    ratings = {"image": [f"im{k:02d}" for k in range(1, 13)], "trial": range(12), "rejected": 6 * ["slow", "ok"]}
    pd.DataFrame(ratings).to_csv(tmp_path / "ratings.csv", index=False)  # of no responses: nothing is asked
    pd.DataFrame({"area": 9 * ["V4"] + 9 * ["IT"]}).to_csv(tmp_path / "units.csv", index=False)
    for path in sorted(tmp_path.glob("images/*.png"), reverse=True):
        path.rename(path.with_stem(f"im{int(path.stem[2:]) + 1:02d}"))
    for code in ([f"im{k + 1:02d}" if k >= 0 else "0" for k in rows], rows + 1):  # 0 is none of 20 images
        pd.DataFrame({"image": code}).to_csv(table, index=False)
        held, shown = planted(study := described(tmp_path), "01")
        assert ([k + 1 for k in held], len(held)) == (shown, 60)
        assert {area: len(of) for area, of in read_subject(study, "01").regions().items()} == {"IT": 9, "V4": 9}
        (tmp_path / "ratings.csv").unlink(missing_ok=True)
    shutil.rmtree(tmp_path / "images")
    words = ["rest" if k < 0 else f"word {k}" for k in rows]  # which was read, where no list says otherwise
    pd.DataFrame({"stimulus_id": words}).to_csv(table, index=False)
    responses_to(words, values, described(tmp_path))


def test_names_inside_files_tell_people_sessions_and_good_trials(tmp_path: Path, fails) -> None:
    images(tmp_path, names := [f"im{k:02d}" for k in range(20)])
    rows, other = (rng.permutation(np.repeat(np.arange(20), 3)) for _ in "ab")
    called, times = np.array(["LG1", "LG2"]), np.linspace(-100, 850, 7)
    np.savez(tmp_path / "all.npz", resp_A=of_images(rows), stim_A=rows, resp_B=of_images(other), stim_B=other)
    study = described(tmp_path)
    assert [planted(study, who) for who in "AB"] == [(of.tolist(), of.tolist()) for of in (rows, other)]
    remove(tmp_path.glob("*.*"))
    inside = {"data": of_images(rows, 2)[..., None] * np.ones(7), "stim": rows, "ch_names": called, "times": times}
    for day in "12":
        np.savez(tmp_path / f"ses-{day}.npz", allow_pickle=False, **inside)
    responses = read_subject(described(tmp_path), "01")
    assert (len(responses.trials), responses.targets["target_id"].tolist()) == (120, [*called])
    np.testing.assert_allclose(responses.times, times / 1000, atol=1e-6)
    for changed, words in (
        ({"ch_names": called[::-1]}, "ses-2_units.tsv has LG2, LG1 where ses-1_units.tsv has LG1, LG2; save both"),
        ({"times": times + 50}, "and 4 more where ses-1.npz has -100, 58.3333333333333"),
    ):
        np.savez(tmp_path / "ses-2.npz", allow_pickle=False, **(inside | changed))
        fails(words, init_anew, tmp_path)
    remove(tmp_path.glob("*.*"))
    (tmp_path / "results").mkdir()  # of the lab's own, beside its own YAML
    (tmp_path / "lab.yaml").touch()
    np.save(tmp_path / "results" / "betas.npy", of_images(np.where(is_good := np.arange(60) % 4 > 0, rows, 99)))
    write_table(tmp_path / "results" / "trials.csv", image=rows, task=30 * ["see", "recall"], accepted=is_good)
    assert planted(described(tmp_path), "01") == (rows[is_good].tolist(), rows[is_good].tolist())
    assert "rows are read whatever task says" in (tmp_path / "study.yaml").read_text()
    write_table(tmp_path / "results" / "trials.csv", video=[f"{names[k]}.mp4" for k in rows])
    (tmp_path / "im00.mp4").touch()
    shutil.rmtree(tmp_path / "images")
    fails("im00.mp4: no model sees or hears clips of single trials; save a vector of each", init_anew, tmp_path)
    images(tmp_path, names)
    np.save(tmp_path / "results" / "betas.npy", of_images(rng.permutation(20)))
    (tmp_path / "results" / "trials.csv").rename(tmp_path / "trials.tsv.gz")  # in another order than names
    fails("trials.tsv.gz: is packed; unpack it", init_anew, tmp_path)


def test_a_blank_cell_hides_no_responses_and_quotes_no_runs(tmp_path: Path) -> None:
    shown = [(f"w{k % 6}", k // 6, *rng.normal(size=4).round(3)) for k in range(24)]
    table = pd.DataFrame(shown, columns=["stimulus_id", "run", *(f"V1_{k}" for k in range(1, 5))])
    table.loc[3, "V1_3"] = np.nan
    table.to_csv(tmp_path / "all.tsv", sep="\t", decimal=",", quoting=2, index=False)
    table[["stimulus_id", "run"]].to_csv(tmp_path / "few.csv", sep=";", quoting=2, index=False)
    (tmp_path / "few.csv").write_text("sep=;\n" + (tmp_path / "few.csv").read_text())  # as Excel takes it
    refused("separated by semicolons", read_text_table, tmp_path / "few.csv")
    (tmp_path / "few.csv").unlink()
    study = described(tmp_path)
    assert "1 of 4 targets are NaN, infinite or -999 in some session (V1_3)" in str(audit_study(study).problems)
    assert pd.read_csv(tmp_path / study.recordings["01"].trials, sep="\t")["run"].tolist() == table["run"].tolist()


def test_tables_whose_columns_are_called_otherwise_are_written_anew(tmp_path: Path) -> None:
    """Eight images are shown four times as often: those are for testing."""
    images(tmp_path, [f"p{k:02d}" for k in range(40)])
    names = [f"C:\\stim\\p{k:02d}" for k in range(40)]  # as another machine calls them
    shown = [f"{name}.png" for day in range(3) for name in [*rng.permutation(names), *3 * names[20:28]]]
    presented = pd.DataFrame({"Image": shown, "day": np.repeat(["mon", "tue", "wed"], 64)})
    presented = presented.assign(comment=96 * ["a, b", ""])
    presented.to_csv(tmp_path / "presented.csv", index=False)
    presented[:9].to_csv(tmp_path / "few.csv", index=False)  # of no row of the array
    cells = pd.DataFrame({"unit": ["u1", "u2", "u3"], "acronym": ["V4", "V4", "IT"], "depth": [0.5, 1, 2]})
    cells.to_csv(tmp_path / "cells.csv", index=False, sep=";", decimal=",")  # as spreadsheets of half of Europe
    np.save(tmp_path / "counts.npy", rng.poisson(5, size=(192, 3)))
    assert main(["init", str(tmp_path), "--yes"]) == 0
    written = (tmp_path / "study.yaml").read_text()
    assert "presented_renamed.tsv is presented.csv with stimulus_id for Image, session for day" in written
    assert yaml.safe_load(written)["splits"] == {"held": {"column": "set", "value": "test"}}
    stimuli = pd.read_csv(tmp_path / "stimuli.tsv", sep="\t", index_col=0)
    assert stimuli.index[stimuli["set"] == "test"].tolist() == [f"{name}.png" for name in names[20:28]]
    responses = read_subject(load_descriptor(tmp_path / "study.yaml"), "01")
    assert responses.trials["stimulus_id"].tolist() == shown
    assert responses.trials["session"].tolist() == presented["day"].tolist()
    np.testing.assert_array_equal(responses.regions()["V4"], [0, 1])
    assert pd.read_csv(tmp_path / "cells_renamed.tsv", sep="\t")["depth"].tolist() == [0.5, 1, 2]
    renamed = tmp_path / "presented_renamed.tsv"
    trials = read_text_table(renamed).assign(fold=lambda of: np.where(of["stimulus_id"] < names[8], "val", "train"))
    trials.to_csv(renamed, sep="\t", index=False)
    # The trials are called as studies call them, the cells are not.
    remove(tmp_path / name for name in ("stimuli.tsv", "presented.csv", "cells_renamed.tsv"))
    files = described(tmp_path).recordings["01"]
    assert (files.trials, files.targets) == (Path("presented_renamed.tsv"), Path("cells_renamed.tsv"))
    stimuli = pd.read_csv(tmp_path / "stimuli.tsv", sep="\t", index_col=0)  # trials say which were for testing
    assert stimuli.index[stimuli["set"] == "test"].tolist() == [f"{name}.png" for name in names[:8]]
    remove([tmp_path / "counts.npy", *tmp_path.glob("*.tsv")])
    assert init_anew(tmp_path) == 2
    assert not list(tmp_path.glob("*_renamed.tsv"))


def test_what_arrays_say_of_their_own_rows_is_taken_from_them(tmp_path: Path) -> None:
    """Texts in MATLAB's cells, channels x times x trials, times in milliseconds, images that trials number."""
    images(tmp_path, [f"{letter}b" for letter in "cadefghijklmnopqrstuvwxyzAB"])
    order = rng.permutation(np.repeat(np.arange(27), 3))
    data = rng.normal(size=(2, 5, 81))
    with h5py.File(tmp_path / "eeg.mat", "w", userblock_size=512) as file:  # as MATLAB turns it around
        file["data"], file["times"], file["stim"] = data.T, np.arange(5)[:, None] * 50.0, 1.0 + order[None]
        for name in ("Oz", "Pz"):
            file[f"#refs#/{name}"] = np.array([[ord(letter)] for letter in name], dtype="uint16")
        file["channel"] = np.array([[file["#refs#/Oz"].ref, file["#refs#/Pz"].ref]], dtype=h5py.ref_dtype)
    responses = read_subject(described(tmp_path), "01")
    assert responses.targets["target_id"].tolist() == ["Oz", "Pz"]
    np.testing.assert_allclose(responses.times, [0, 0.05, 0.1, 0.15, 0.2])
    np.testing.assert_array_equal(responses.values, data.transpose(2, 0, 1).astype(np.float32))
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    for listing in (names, names[::-1]):
        pictures = pd.read_csv(tmp_path / "stimuli.tsv", sep="\t", index_col=0, dtype=str)["path"]
        assert [Path(pictures[name]).name for name in responses.trials["stimulus_id"]] == [listing[k] for k in order]
        said = "{} is Ab.png, {} zb.png: correct stimuli.tsv if not".format(*(1, 27)[:: 1 if listing is names else -1])
        assert said in (tmp_path / "study.yaml").read_text()
        (tmp_path / "list.json").write_text(json.dumps({"files": names[::-1]}))  # says another order than the alphabet
        (tmp_path / "stimuli.tsv").unlink()
        described(tmp_path)
    remove([tmp_path / "eeg.mat", *tmp_path.glob("*.t*")])
    shown, areas = [names[k].encode() for k in order], np.repeat(["V1", "IT"], 4)
    np.savez(tmp_path / "sub-a.npz", betas=rng.normal(size=(8, 81)), names=shown, area=areas)
    responses = read_subject(described(tmp_path), "a")
    assert (responses.values.shape, list(responses.regions())) == ((81, 8), ["IT", "V1"])
    assert (tmp_path / "sub-a_trials.tsv").read_text().split()[1:] == [names[k] for k in order]
    np.save(tmp_path / "eye.npy", rng.normal(size=(2, 81)))  # of trials, too, but others have them as rows
    np.save(tmp_path / "rates.npy", rng.normal(size=(81, 4)))
    savemat(tmp_path / "shown.mat", {"path": np.array(shown)[:, None].astype(object)})  # which is no responses
    (tmp_path / "sub-a.npz").unlink()
    assert [one.values.name for one in described(tmp_path).recordings.values()] == ["rates.npy"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_everything_becomes_arrays_of_each_person(tmp_path: Path, ending: str, fails, monkeypatch) -> None:
    images(tmp_path, names := [f"p{k:02d}" for k in range(10)])
    values = rng.normal(size=(2, 30, 4)).astype(np.float32)
    tables = [pd.DataFrame(table, columns=["V1_1", "V1_2", "IT_1", "IT_2"]) for table in values]
    shown = [f"{name}.png" for name in names] * 3
    told = {"image": shown, "session": np.repeat([1, 2, 3], 10), "RT_ms": range(30), "luminance": np.arange(30.0)}
    table = pd.concat([one.assign(**told, **{"Subject ID": who}) for one, who in zip(tables, "ab", strict=True)])
    np.savez(tmp_path / "features.npz", stimulus_id=[f"{name}.png" for name in names], own=rng.normal(size=(10, 3)))
    table = table.sample(60, random_state=0).sort_index(kind="stable")
    table.to_csv(tmp_path / "all.csv", index=False) if ending == "csv" else table.to_parquet(tmp_path / "all.parquet")
    before = {*tmp_path.rglob("*")}

    def left(*_: object) -> str:
        (tmp_path / "copied.txt").touch()
        raise EOFError

    monkeypatch.setattr("builtins.input", left)
    assert main(["init", str(tmp_path)]) == 2  # nobody answers: nothing stays but what others wrote meanwhile
    assert {*tmp_path.rglob("*")} == before | {tmp_path / "copied.txt"}
    study = described(tmp_path)
    assert set(study.recordings) == {"a", "b"}
    assert "file: features.npz" in (tmp_path / "study.yaml").read_text()
    for name, own in zip("ab", values, strict=True):
        responses = responses_to(shown, own, study, name)  # in the order of its rows
        assert {area: len(rows) for area, rows in responses.regions().items()} == {"IT": 2, "V1": 2}
    remove(tmp_path.glob("*all*"))
    table[["V1_1", "V1_2", "image", "session"]].to_csv(tmp_path / "all.csv", index=False)  # too few to be responses
    (tmp_path / "more.xlsx").touch()
    fails("Save the sheets of more.xlsx as .csv.", init_anew, tmp_path)


def test_a_row_per_trial_and_neuron_becomes_an_array_of_each_person(tmp_path: Path) -> None:
    images(tmp_path, names := [f"p{k:02d}" for k in range(12)])
    keys = [(who, day, name, cell) for who in "ab" for day in "12" for name in names for cell in ("n1", "n2", "n3")]
    table = pd.DataFrame(keys, columns=["subject", "day", "image", "neuron"])
    table["area"], table["depth"] = table["neuron"].map({"n1": "V4", "n2": "IT", "n3": "IT"}), table["neuron"].str[1:]
    table["trial"] = range(len(table))
    table["rt"], table["rate"] = table.groupby(["subject", "day", "image"]).ngroup(), rng.normal(size=len(table))
    table = table[(table["subject"] != "a") | (table["day"] != "1") | (table["neuron"] != "n2")]  # not recorded then
    table.sample(frac=1, random_state=0).sort_values("day", kind="stable").to_csv(tmp_path / "rates.csv", index=False)
    study = described(tmp_path)
    for who in "ab":
        responses = read_subject(study, who, as_they_are=True)
        assert (responses.values.shape, len(responses.regions()["IT"])) == ((24, 3), 2)
        asked = table[table["subject"] == who].set_index(["day", "image", "neuron"])["rate"]
        trials = responses.trials[["session", "stimulus_id"]].itertuples(index=False)
        for values, (day, name) in zip(responses.values, trials, strict=True):
            np.testing.assert_allclose(values, asked[day, name].reindex(responses.targets["target_id"]), rtol=1e-6)
    remove(tmp_path.glob("*.[cnt]*"))
    means = rng.normal(size=(24, 2, 3))  # of areas, which have rows, but no cells
    keys = [(name, run, who, area) for run in "12" for name in names for who in "ab" for area in ("V1", "IT", "FFA")]
    table = pd.DataFrame(keys, columns=["item", "run", "subject", "roi"])
    write_table(tmp_path / "long.csv", **table, r=means.ravel())
    assert responses_to(names * 2, means[:, 1], described(tmp_path), "b").regions()["IT"].tolist() == [1]


@pytest.mark.parametrize("labels", ["sub-{}_y.npy", "{}_Labels.txt", "{}_class.txt"])
def test_arrays_with_a_file_of_labels_are_decoded(tmp_path: Path, labels: str, capsys) -> None:
    shown, times = np.repeat(["house", "face"], 20), np.linspace(-0.1, 0.3, 9)
    for name in ("a", "b"):
        np.save(tmp_path / f"{labels.partition('{')[0]}{name}_X.npy", rng.normal(size=(40, 3, 9)))
        mine, file = np.roll(shown, 7 * (name == "b")), tmp_path / labels.format(name)
        np.save(file, mine) if file.suffix == ".npy" else file.write_text("\n".join(mine))
    np.save(tmp_path / "times.npy", times * 1000)
    (tmp_path / "channel_names.txt").write_text("Fz\nCz\nPz\n")  # called so by nobody that is known
    (tmp_path / "electrodes.txt").write_text("Fz\nCz\nPz\n")
    study = described(tmp_path)
    assert not study.is_fitted
    for name in ("a", "b"):
        responses = read_categories(study, name)
        assert responses.trials["category"].tolist() == np.roll(shown, 7 * (name == "b")).tolist()
        assert responses.targets["target_id"].tolist() == ["Fz", "Cz", "Pz"]
        np.testing.assert_allclose(responses.times, times)
        np.testing.assert_allclose(np.diff(responses.trials["onset_s"]), 0.8)  # one after the other
    assert main(["check", str(tmp_path / "study.yaml")]) == 0
    assert "analyses: decode_times" in capsys.readouterr().out


def test_an_assembly_in_netcdf_is_described(tmp_path: Path) -> None:
    images(tmp_path, [f"im{k}" for k in range(12)])
    shown, values = [f"im{k}" for k in np.tile(np.arange(12), 3)], rng.normal(size=(36, 5, 1))
    for animals, people in (("AAAAA", {"01": [*range(5)]}), ("ABABB", {"A": [0, 2], "B": [1, 3, 4]})):
        with h5py.File(tmp_path / "assembly.nc", "w") as file:
            file["data"], file["time_bin_start"], file["repetition"] = values, [70], np.repeat(np.arange(3), 12)
            for name, texts in (("image_id", shown), ("neuroid_id", "abcde"), ("region", "VVIII"), ("animal", animals)):
                file.create_dataset(name, data=[*texts], dtype=h5py.string_dtype())
            file["neuron"] = np.zeros(5)  # the size of a dimension
            file["neuron"].attrs["NAME"] = np.bytes_("This is a netCDF dimension but not a netCDF variable.         5")
        for who, columns in [*people.items()] * 2:  # described twice alike
            responses = responses_to(shown, values[:, columns, 0], described(tmp_path), who)
            told = zip(responses.targets["target_id"], responses.targets["roi"].str[0], strict=True)
            assert [*told] == [("abcde"[k], "VVIII"[k]) for k in columns]
        remove(tmp_path.glob("*.[nt]*"))
    (tmp_path / "old.nc").write_bytes(b"CDF\x01")
    refused("is NetCDF 3, not 4; save it anew", read_array, tmp_path / "old.nc", tmp_path / "trials.tsv")
    np.savez(tmp_path / "all.npz", betas=values[..., 0], image=shown, subject=np.repeat([1, 2], 18))  # rows of people
    assert read_subject(described(tmp_path), "2").trials["stimulus_id"].tolist() == shown[18:]


@pytest.mark.parametrize("file", ["experiment.mat", "experiment.h5"])
def test_structs_of_matlab_and_groups_of_hdf5_are_looked_into(tmp_path: Path, file: str) -> None:
    images(tmp_path, names := [f"im{k:02d}" for k in range(20)])
    shown, values = [*names, *rng.permutation(names).tolist()], rng.normal(size=(40, 5)).astype(np.float32)
    own = pd.DataFrame({"image": names, "size": range(20)}).to_csv(sep="\t", index=False)
    (tmp_path / "stimuli.tsv").write_text(own)  # is never written over
    fields = {"rates": values, "image": np.array(shown, dtype=object), "area": np.array([*"VVVIT"], dtype=object)}
    fields |= {"isi": np.ones(40), "validTrials": np.arange(40) > 2}
    if file.endswith(".mat"):
        savemat(tmp_path / file, {"exp": fields, "version": 2.0})
    else:
        with h5py.File(tmp_path / file, "w") as stored:
            for day, name in ((day, name) for day in (0, 1) for name in fields):
                rows = slice(None) if name == "area" else np.s_[20 * day : 20 * day + 20]
                stored[f"day{9 + day}/{name}"] = fields[name][rows]
    responses = responses_to(shown, values, described(tmp_path))
    assert {area: len(rows) for area, rows in responses.regions().items()} == {"I": 1, "T": 1, "V": 3}
    assert (tmp_path / "stimuli.tsv").read_text() == own
    assert "validTrials says: mark others in left_out" in (tmp_path / "study.yaml").read_text() or file.endswith(".h5")
    if file.endswith(".mat"):
        refused("holds no array 'rates'.*it has .*exp/rates", read_array, tmp_path / file, Path("t.tsv"), key="rates")
        remove(tmp_path.glob("*_*"))
        orders = {"s1": shown, "s2": shown[::-1]}
        people = {who: fields | {"image": np.array(order, dtype=object)} for who, order in orders.items()}
        savemat(tmp_path / file, {"exp": people})  # structs in a struct
        study = described(tmp_path)
        assert {who: read_subject(study, who).trials["stimulus_id"].tolist() for who in study.recordings} == orders
        return
    remove(tmp_path.glob("*_*"))
    with h5py.File(tmp_path / file, "w") as stored:  # groups that are people; trials lie behind
        for k, who in enumerate(("sub-A1", "B-2")):
            stored[f"{who}/rates"], stored[f"{who}/image"] = values[:, : 3 + k].T, shown[20 * k :] + shown[: 20 * k]
    study = described(tmp_path)
    for k, who in enumerate(("A1", "B2")):
        responses_to(shown[20 * k :] + shown[: 20 * k], values[:, : 3 + k], study, who)
    remove(tmp_path.glob("*_*"))
    with h5py.File(tmp_path / file, "a") as stored:  # people who have sessions are not taken for one
        for who, day in (("sub-A1", 1), ("sub-A1", 2), ("B-2", 1), ("B-2", 2)):
            stored[f"{who}/ses{day}/rates"], stored[f"{who}/ses{day}/image"] = values.T, shown
        del stored["sub-A1/rates"], stored["B-2/rates"]
    assert init_anew(tmp_path) == 2
    with h5py.File(tmp_path / file, "w") as stored:
        stored["a/rates"], stored["a/image"] = np.ones((40, 3, 11)) + rng.normal(size=(40, 3, 1)), shown
        stored["a"].attrs["fs"], stored["a/rates"].attrs["tmin"] = [100.0], -0.02
    np.testing.assert_allclose(read_subject(described(tmp_path), "01").times, np.arange(-2, 9) / 100)


@pytest.mark.parametrize("version", ["5", "7.3", "struct"])
def test_cells_of_matlab_are_people(tmp_path: Path, version: str) -> None:
    images(tmp_path, [f"im{k:02d}" for k in range(1, 21)])
    shown = [np.tile(rng.permutation(20) + 1.0, 2) for _ in range(2)]
    values = [rng.normal(size=(40, 5 + k)) for k in range(2)]
    cells = {"betas": np.array([*values, None], dtype=object)[:2], "order": np.array([*shown, None], dtype=object)[:2]}
    cells["subjects"] = np.array(["an-na", "bob"], dtype=object)
    if version == "struct":
        people = np.zeros((1, 2), dtype=[(name, "O") for name in cells])
        people[0] = [*zip(*(of.tolist() for of in cells.values()), strict=True)]
        savemat(tmp_path / "all.mat", {"people": people})
    elif version == "5":
        savemat(tmp_path / "all.mat", cells | {"tr": 2.0})
    else:
        with h5py.File(tmp_path / "all.mat", "w", userblock_size=512) as file:
            file["tr"] = [[2.0]]
            for name, of in cells.items():
                for k, part in enumerate(of):
                    stored = [[ord(letter)] for letter in part] if name == "subjects" else np.atleast_2d(part).T
                    file[f"#refs#/{name}{k}"] = np.array(stored, "uint16" if name == "subjects" else float)
                file[name] = np.array([[file[f"#refs#/{name}{k}"].ref] for k in range(2)], dtype=h5py.ref_dtype)
    study = described(tmp_path)
    assert [*study.recordings] == ["anna", "bob"]
    for who, own, order in zip(study.recordings, values, shown, strict=True):
        responses_to([f"{number:.0f}" for number in order], own, study, who)


@pytest.mark.parametrize("ending", [".png", ""])
def test_images_of_folders_are_named_as_trials_name_them(tmp_path: Path, ending: str, fails) -> None:
    """The same names in several folders, which are categories, or sets where one is held out."""
    for folders, column in ((("cat", "dog", "car"), "category"), (("train", "test"), "set")):
        (tmp_path / "scenes").mkdir()
        for folder in folders:
            images(tmp_path, [f"{k:02d}" for k in range(9)])
            (tmp_path / "images").rename(tmp_path / "scenes" / folder)
        names = [f"{folder}/{k:02d}{ending}" for folder in folders for k in range(9)]
        np.save(tmp_path / "rates.npy", rng.normal(size=(trials_of(names, tmp_path), 5)))
        study = described(tmp_path)
        table = pd.read_csv(tmp_path / "stimuli.tsv", sep="\t", dtype=str).set_index("stimulus_id")
        assert set(table.index) == set(names)
        assert table[column].tolist() == [name.split("/")[0] for name in table.index]
        assert all(row["path"].endswith(f"{name.removesuffix('.png')}.png") for name, row in table.iterrows())
        held = study.held_out[1]
        assert (held.column, held.value) == (("set", "test") if column == "set" else (None, None))
        assert main(["check", str(tmp_path / "study.yaml")]) == 0
        if column == "category":  # which another column than that of names tells
            parted = read_text_table(tmp_path / "trials.tsv")["stimulus_id"].str.split("/", expand=True)
            parted.set_axis(["category", "image"], axis=1).to_csv(tmp_path / "trials.tsv", sep="\t", index=False)
            (tmp_path / "stimuli.tsv").unlink()
            fails("write car/00.png, not the folder", init_anew, tmp_path)
            remove(tmp_path.glob("trials*"))
        if column == "set":  # a Y for each set, and an X that is of nobody
            remove(tmp_path.glob("*.[tn]*"))
            parts = {name: rng.normal(size=(9, 5)).astype(np.float32) for name in ("X_test", "Y_test", "Y_train")}
            for name, part in parts.items():
                np.save(tmp_path / f"{name}.npy", np.r_[part, part] if name == "X_test" else part)
            responses = read_subject(described(tmp_path), "01", as_they_are=True)
            np.testing.assert_array_equal(responses.values, np.r_[parts["Y_test"], parts["Y_train"]])
            assert responses.trials["stimulus_id"].str[:5].tolist() == ["test/"] * 9 + ["train"] * 9
        shutil.rmtree(tmp_path / "scenes")
        (tmp_path / "stimuli.tsv").unlink(missing_ok=True)


def test_repeats_beside_their_stimuli_are_found(tmp_path: Path) -> None:
    images(tmp_path, names := [f"im{k:02d}" for k in range(20)])
    values = rng.normal(size=(20, 3, 8, 6)).astype(np.float32)
    np.savez(tmp_path / "psth.npz", rates=values, image=names, times_ms=np.arange(6) * 20)
    np.savez(tmp_path / "mean.npz", rates=values[..., 0], image=names)
    for kept, other in (("psth", "mean"), ("mean", "psth")):
        (tmp_path / f"{other}.npz").rename(tmp_path / "kept.away")
        rates = values.reshape(60, 8, 6)
        responses_to(np.repeat(names, 3), rates if kept == "psth" else rates[..., 0], described(tmp_path))
        assert "axis, from 0, of repeats in 20 x 3 x 8" in (tmp_path / "study.yaml").read_text()  # to be corrected
        (tmp_path / "kept.away").rename(tmp_path / f"{other}.npz")
        remove(tmp_path.glob("*.t*"))
    remove(tmp_path.glob("*.npz"))
    np.save(tmp_path / "betas.npy", values[..., 0].swapaxes(0, 1))  # of a person each; targets are no volumes
    (tmp_path / "bold.json").write_text('{"RepetitionTime": 2}')
    np.testing.assert_array_equal(read_subject(described(tmp_path), "03", as_they_are=True).values, values[:, 2, :, 0])
    remove(tmp_path.glob("*.[nty]*"))
    shown = np.stack([rng.permutation(20) for _ in range(2)])
    for k, order in enumerate(shown):  # as GLMsingle and NSD write them: places are axes, a session shows each once
        np.save(tmp_path / f"ses-{k}_betas.npy", values[order, 0, None, None, :, 0])
        pd.DataFrame({"trial": range(20), "73KID": order}).to_csv(tmp_path / f"ses-{k}_design.csv", index=False)
    responses = responses_to(map(str, shown.ravel()), values[shown.ravel(), 0, :, 0], described(tmp_path))
    remove(tmp_path.glob("*.[nty]*"))
    for k in (0, 1):  # and with a table a run beside the array of all
        (tmp_path / f"ses-{k}_design.csv").rename(tmp_path / f"run-{k + 1}_design.csv")
    np.save(tmp_path / "betas.npy", values[shown.ravel(), 0, None, None, :, 0])
    again = read_subject(described(tmp_path), "01", as_they_are=True).trials
    assert again["stimulus_id"].equals(responses.trials["stimulus_id"])
    assert again["run"].tolist() == ["1"] * 20 + ["2"] * 20
    write_table(tmp_path / "stim_info.csv", nsdId=range(20), caption=[f"scene {k}" for k in range(20)])  # from 0
    for k, order in enumerate(shown):
        write_table(tmp_path / f"run-{k + 1}_design.csv", **{"trial": range(20), "73KID": order + 1})
    assert read_subject(described(tmp_path), "01").trials["stimulus_id"].equals(again["stimulus_id"])


def test_runs_of_grayordinates_have_an_events_file_each(tmp_path: Path) -> None:
    images(tmp_path, names := [f"im{k:02d}" for k in range(8)])
    shown = rng.permutation([f"images/{name}.png" for name in names * 2])
    axes = ScalarAxis([*names]), BrainModelAxis.from_mask(np.arange(32492) < 5, "CortexLeft")
    for run, values in enumerate(betas := rng.normal(size=(2, 8, 5))):
        (place := tmp_path / "ciftify" / "sub-01" / "results" / f"see_run-{run}").mkdir(parents=True)  # as NOD has it
        nibabel.Cifti2Image(values, axes).to_filename(place / f"task-see_run-{run}_beta.dscalar.nii")
        write_table(tmp_path / f"sub-01_task-see_run-{run}_events.tsv", onset=range(8), stim_file=shown[8 * run :][:8])
    responses_to(shown, betas.reshape(16, 5), described(tmp_path))


def test_rows_are_stimuli_in_order_where_no_table_says_more(tmp_path: Path) -> None:
    """Each subject has images of its own, or a table lists them; files that are no arrays of numbers are left out."""
    for person in ("subj01", "subj02"):
        (tmp_path / person / "fmri").mkdir(parents=True)
        images(tmp_path / person, [f"train-{k}" for k in range(30)])
        scan(tmp_path / person / "fmri" / "betas.nii.gz", rng.normal(size=(4, 1, 1, 30)))
        scan(tmp_path / person / "mask.nii.gz", np.ones((4, 1, 1)))
        np.save(tmp_path / person / "areas.npy", {0: "V1"}, allow_pickle=True)
    study, written = described(tmp_path), (tmp_path / "study.yaml").read_text()
    assert "# 2 file(s) left out: " in written
    assert "trials are taken to be in order, subj01/images/train-0 to subj01/images/train-29" in written
    for who in ("01", "02"):
        assert [*read_subject(study, who).trials["stimulus_id"]] == [f"subj{who}/images/train-{k}" for k in range(30)]
    shutil.rmtree(tmp_path / "subj02")
    for path in tmp_path.rglob("trials.tsv"):  # a table of the lab's own is never written over
        path.write_text("shown\nmine\n")
    assert init_anew(tmp_path) == 2
    assert [path.read_text() for path in tmp_path.rglob("trials.tsv")] == ["shown\nmine\n"]
    remove(tmp_path.rglob("trials.tsv"))
    pd.DataFrame({"stimulus_id": [f"w{k}" for k in range(30)], "text": "word"}).to_csv(tmp_path / "stimuli.csv")
    shutil.rmtree(tmp_path / "subj01")
    zarr.save(str(tmp_path / "rates.zarr"), values := rng.normal(size=(30, 4)))
    (tmp_path / "seen.txt").write_text("\n".join(f"w{k}" for k in range(29, -1, -1)))  # says another order
    responses_to([f"w{k}" for k in range(29, -1, -1)], values, described(tmp_path))


def test_a_long_entry_is_a_line_a_person_while_there_is_room(tmp_path: Path) -> None:
    bids(tmp_path)
    study = tmp_path / "study.yaml"
    for n_people, lines in ((2, 2), (9, 9), (30, 0)):
        for person in range(2, n_people + 1):
            shutil.copytree(tmp_path / "sub-01", tmp_path / f"sub-{person:02d}", dirs_exist_ok=True)
            for path in (tmp_path / f"sub-{person:02d}").rglob("sub-01*"):
                path.rename(path.with_name(path.name.replace("sub-01", f"sub-{person:02d}")))
        described(tmp_path)
        written = study.read_text()
        assert len(written.splitlines()) <= 15
        assert len(re.findall(r"^  \S+: {format: bids.*}$", written, re.MULTILINE)) == lines
        assert len(yaml.safe_load(written)["recordings"]) == n_people


def test_answers_and_copies_in_bids_are_not_read(tmp_path: Path) -> None:
    bids_of_images(tmp_path)
    shutil.copytree(tmp_path / "sub-01", tmp_path / "sourcedata" / "sub-01")
    for path in sorted(tmp_path.glob("sub-01/**/*_events.tsv")):
        events = pd.read_csv(path, sep="\t")
        answers = events.assign(onset=events["onset"] + 0.5, trial_type="response")  # which name the image again
        pd.concat([events, answers, events[:1].assign(trial_type="boundary")]).to_csv(path, sep="\t", index=False)
    study = described(tmp_path)
    assert read_subject(study, "01").trials["onset_s"].tolist() == 2 * events["onset"].tolist()
    assert study.recordings["01"].root == Path()
    path.rename(tmp_path / "task-faces_events.tsv")  # which holds where nothing stands below
    marks = next(tmp_path.glob("sub-01/**/*_channels.tsv"))
    marks.write_text(marks.read_text().replace("good", "bad", 1))
    pd.DataFrame({"stimulus_id": [f"p{k:02d}" for k in range(20)], "a": 0.5, "b": 1}).to_csv(tmp_path / "vectors.csv")
    write_table(tmp_path / "ages.csv", age=[33])
    responses = read_subject(study := described(tmp_path), "01")
    assert "# not read: ages.csv\n" in (tmp_path / "study.yaml").read_text()
    assert responses.trials["stimulus_id"].tolist()[-80:] == [Path(name).stem for name in events["stim_file"]]
    assert responses.targets["target_id"].tolist() == ["Pz", "Oz"]
    assert "vectors: {extractor: table, file: vectors.csv}" in (tmp_path / "study.yaml").read_text()
    assert tmp_path / "task-faces_events.tsv" in study.inputs("01")
    remove([*tmp_path.glob("images/*"), tmp_path / "stimuli.tsv"])
    assert {*read_categories(described(tmp_path), "01").trials["category"]} == {"face", "house"}


def test_passages_are_left_out_as_wholes(tmp_path: Path) -> None:
    betas, said = rng.normal(size=(24, 9)), [f"This is sentence {k}" for k in range(24)]
    content = {"betas": betas, "keySentences": np.array(said, dtype=object)[:, None]}
    savemat(tmp_path / "P1.mat", content | {"labelsPassageForEachSentence": np.arange(24)[:, None] // 4})
    assert described(tmp_path).splits["held"].leave_out == "passage"
    remove(tmp_path.iterdir())
    np.save(tmp_path / "P1.npy", betas)
    for n, expected in ((4, ("passage_id", 5)), (8, (None, None))):  # three are too few for five parts
        table = {"stimulus_id": range(24), "text": said, "topic": np.arange(24) // 12, "passage_id": np.arange(24) // n}
        write_table(tmp_path / "stimuli.csv", **table)
        split = described(tmp_path).splits["held"]
        assert (split.leave_out, split.folds) == expected


def test_matrices_are_known_by_their_shape_where_no_trials_are(tmp_path: Path) -> None:
    labs.rdms(tmp_path)
    names = [path.stem for path in (tmp_path / "photos").iterdir()]
    for k, pairs in enumerate(rng.random((2, 78 * 77 // 2))):
        pd.DataFrame(squareform(pairs), names, names).to_csv(tmp_path / f"model{k}_rdm.csv")
        np.save(tmp_path / f"sub-{k}_LO_rdm.npy", squareform(pairs))
    read = read_rdm_study(described(tmp_path))
    assert ([*read.models], [*read.sets]) == (["model0_rdm", "model1_rdm"], ["IT", "V1", "LO"])
    np.testing.assert_array_equal(read.sets["LO"][1, 0], pairs)  # a file each, one set
    remove([*tmp_path.glob("model*"), *tmp_path.glob("*LO*")])
    for region in ("V1", "IT"):
        (tmp_path / f"{region}_rdms.npy").rename(tmp_path / f"{region}.npy")
    files = {name: of.file for name, of in described(tmp_path).recordings.items()}
    assert files == {"V1": Path("V1.npy"), "IT": Path("IT.npy")}
    savemat(tmp_path / "V2.mat", {"sim": np.stack([squareform(pairs), squareform(pairs + 1)], axis=2)})  # subjects last
    np.testing.assert_array_equal(read_rdm_study(described(tmp_path)).sets["V2"][:, 0], [pairs, pairs + 1])
    (tmp_path / "V2.mat").unlink()
    np.savez(tmp_path / "IT.npz", a=1 - np.corrcoef(rng.normal(size=(78, 5))), b=squareform(pairs))  # but for rounding
    RDMs(pairs, pattern_descriptors={"name": names[::-1]}).save(tmp_path / "LO_rdm.hdf5", "hdf5")
    np.savez(tmp_path / "FFA_rdm.npz", rdm=squareform(pairs), shown=names[::-1])  # says its order, as stimuli do not
    np.savez(tmp_path / "features.npz", layer=rng.normal(size=(78, 3)), shown=names)
    read = read_rdm_study(described(tmp_path))
    assert (read.stimuli["stimulus_id"].tolist(), [*read.sets]) == (names[::-1], ["FFA", "LO"])
    np.testing.assert_allclose([read.sets[name][0, 0] for name in read.sets], [pairs, pairs])
    assert "models:  # features_ids.tsv are the rows of features.npz" in (tmp_path / "study.yaml").read_text()
    remove([*tmp_path.glob("*_rdm.*"), *tmp_path.glob("features*"), *tmp_path.glob("*_ordered.tsv")])
    areas = ("EVC", "FFA")
    people = [f"{area} | {who} | Session: 1" for area in areas for who in "ab"]
    for told in ([f"{area} | hIT" for area in areas], areas, people):  # as the toolbox for RSA has it
        structs = np.zeros(len(told), dtype=[("RDM", "O"), ("name", "O"), ("color", "O")])
        structs[:] = [(squareform(pairs + k), name, [0.0, 0.0, 1.0]) for k, name in enumerate(told)]
        savemat(tmp_path / "RDMs.mat", {"RDMs": structs.reshape(2, -1)})
        sets = read_rdm_study(described(tmp_path)).sets
        found = np.concatenate([sets[area][:, 0] for area in areas])
        np.testing.assert_allclose(found, [pairs + k for k in range(len(told))])
    remove(tmp_path.glob("*RDMs*"))
    assert {of.format for of in described(tmp_path).recordings.values()} == {"rdms"}
    remove(tmp_path.glob("IT.np*"))
    for shape in ((trials_of(names, tmp_path), 78 * 77 // 2), (78, 78)):
        np.save(tmp_path / "V1.npy", rng.normal(size=shape))
        assert described(tmp_path).recordings["01"].format == "array"
        (tmp_path / "trials.tsv").unlink()


def test_what_is_asked_is_taken_and_named_where_nobody_answers(tmp_path: Path, monkeypatch, capsys, fails) -> None:
    (tmp_path / "trials.txt").write_text("trial\timage\n1\tcat\n")
    np.save(tmp_path / "lfp.npy", {"lfp": np.ones((2, 9))}, allow_pickle=True)
    write_table(tmp_path / "behav.csv", trial=[1, 2], rt=[0.3, 0.4])
    (tmp_path / "a_ieeg.edf").touch()
    refused(r": Save \S*lfp.npy anew.* trials.txt .tsv, .* of a_ieeg.edf as", init_study, tmp_path, lambda *_: "")
    np.save(tmp_path / "iscell.npy", np.ones((9, 2)))
    refused("its traces go on; average spks", init_study, tmp_path, lambda *_: "")
    remove(tmp_path.iterdir())
    savemat(tmp_path / "data_face.mat", {"F": np.ones((2, 9)), "ChannelFlag": np.ones((2, 1))})  # of Brainstorm
    (tmp_path / "notes.csv").touch()
    savemat(tmp_path / "a.mat", {"alice": {"stim": np.ones((9, 4)), "brain": np.ones((9, 5))}})  # runs of a story
    assert main(["init", str(tmp_path)]) == 2
    assert re.search("epochs of MNE.* run of a.mat.* its 3 files", " ".join(capsys.readouterr().err.split()))
    mne.EvokedArray(np.ones((1, 9)), mne.create_info(1, 9.0, "eeg")).save(tmp_path / "s-ave.fif", verbose="error")
    [(tmp_path / name).touch() for name in ("s-eve.fif", "s.edf")]
    fails("Cut s.edf into epochs with mne.Epochs", main, ["init", str(tmp_path)])
    fails("s-ave.fif holds means: save the single trials", main, ["init", str(tmp_path)])
    remove(tmp_path.glob("s*"))
    words = pd.DataFrame({"word": ["a", "b"]})
    data = mne.EpochsArray(np.ones((2, 1, 9)), mne.create_info(1, 9.0, "eeg"), metadata=words, verbose="error")
    data.save(tmp_path / "words-epo.fif", verbose="error")
    fails("words-epo.fif: its metadata has the columns word, but no", main, ["init", str(tmp_path)])
    remove(tmp_path.iterdir())
    np.save(tmp_path / "rates.npy", np.ones((trials_of([*"123"], tmp_path), 4)))
    np.save(tmp_path / "shown.npy", np.ones((3, 8, 8, 3)))
    assert main(["init", str(tmp_path)]) == 2
    said = "numbers tell what was shown, which no model can read; add images .*shown.npy: holds images; save each as"
    assert re.search(said, " ".join(capsys.readouterr().err.split()))
    write_table(tmp_path / "stimuli.csv", stimulus_id=[1, 2, 3], size=4)
    fails("numbers tell what was shown, which no model can read", init_anew, tmp_path)
    remove(tmp_path.iterdir())
    np.save(tmp_path / "rates.npy", np.ones((trials_of(["cat", "dog"], tmp_path), 4)))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("photos/cat.png", b"")
    fails("photos.zip holds what was shown (cat); unpack it", main, ["init", str(tmp_path)])
    remove(tmp_path.iterdir())
    labs.blocks(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    fails("repetition time in seconds", main, ["init", str(tmp_path)])
    assert not (tmp_path / "study.yaml").exists()
    monkeypatch.setattr("builtins.input", lambda *_: "1.5")
    assert main(["init", str(tmp_path)]) == 0
    assert "tr_s: 1.5" in (tmp_path / "study.yaml").read_text()
    assert main(["init", str(tmp_path)]) == 2  # nothing is overwritten


def test_a_repetition_time_says_where_it_is_from(tmp_path: Path) -> None:
    labs.blocks(tmp_path)
    bold = nibabel.load(tmp_path / "sub-01_bold.nii.gz")
    image = nibabel.Nifti1Image(bold.get_fdata(dtype="float32"), bold.affine)
    for zoom, unit, tr_s, known in (
        (0.72, "sec", "0.72", "as the header says"), (1500.0, "msec", "1.5", "as the header says"),
        (1.0, "sec", "1.0", "1 in a header may mean unknown"), (0.0, "sec", "2.0", "the header says none"),
    ):  # fmt: skip
        image.header.set_zooms((2.0, 2.0, 2.0, zoom))
        image.header.set_xyzt_units("mm", unit)
        nibabel.save(image, tmp_path / "sub-01_bold.nii.gz")
        described(tmp_path)
        for said in (f"tr_s: {tr_s}", f"# repetition time in seconds ({known}): change it where"):
            assert said in (tmp_path / "study.yaml").read_text()


def test_a_list_of_conditions_for_each_run_labels_its_volumes(tmp_path: Path, fails) -> None:
    blocks_in_runs(tmp_path)
    for person in ("07", "12"):
        scan(tmp_path / f"sub-{person}" / "func" / "A1_mask.nii.gz", np.arange(18).reshape(3, 3, 2) % 3 == 1)
    assert read_subject(described(tmp_path), "12").regions()["A1"].tolist() == [*range(1, 18, 3)]
    remove(tmp_path.rglob("A1_mask.nii.gz"))
    (tmp_path / "study.yaml").unlink()
    before = {who: read_block_labels(described(tmp_path), who) for who in ("07", "12")}
    remove(tmp_path.rglob("*_events.tsv"))
    fails("..._events.tsv beside it (onset, duration, trial_type)", init_anew, tmp_path)
    for who, volumes in before.items():
        for run, of in volumes.groupby("run"):
            (tmp_path / f"sub-{who}" / f"sub-{who}_run-{run}_conditions.txt").write_text("\n".join(of["label"]))
    study = described(tmp_path)
    for who, volumes in before.items():
        pd.testing.assert_frame_equal(read_block_labels(study, who), volumes)
    remove(tmp_path.glob("*_joined_*"))
    for path in [*tmp_path.rglob("*_conditions.txt")]:  # a map of a stimulus each, none of them twice in turn
        path.write_text("\n".join(np.resize(NAMES, len(path.read_text().splitlines()))))
    trials = read_subject(described(tmp_path), "07").trials
    assert trials["stimulus_id"].tolist() == [name for run in (1, 2, 3) for name in np.resize(NAMES, 26 + run)]


def test_a_clock_is_read_where_it_stands(tmp_path: Path) -> None:
    """In a .json beside the array, in numbers of its file; times there do not make people of cells."""
    electrodes(tmp_path)
    at = tmp_path / "eeg.json"
    for told in ({"SamplingFrequency": "100 Hz", "info": {"tmin_ms": -50}}, {"sampling_rate": 100, "t0": -0.05}):
        at.write_text(json.dumps(told))
        np.testing.assert_allclose(read_subject(described(tmp_path), "01").times, np.arange(-5, 6) / 100)
        (tmp_path / "times.txt").unlink()
    at.write_text('{"fs": 1000, "tmin": -5}')  # ms: 5 s before an image 10 ms tell nothing of it
    np.testing.assert_allclose(read_subject(described(tmp_path), "01").times, np.arange(-5, 6) / 1000)
    (tmp_path / "times.txt").unlink()
    (tmp_path / "raw.json").write_text('{"fs": 100}')  # which of the two is not said
    described(tmp_path)
    assert "0 1 is wrong" in (tmp_path / "study.yaml").read_text()
    rates = np.load(tmp_path / "ecog.npy")[:, :, :3]
    remove([path for name in ("*.json", "ecog*", "times*", "channels*") for path in tmp_path.glob(name)])
    areas = np.array(["V1", "V1", "IT"])
    clock = {"sfreq": 100.0, "tmin": -0.05, "targets": np.arange(3), "area": areas}
    for file in ({"t": np.arange(-5, 6) * 10.0, "area": areas}, clock):
        savemat(tmp_path / "ecog.mat", {"psth": rates.transpose(2, 0, 1), **file})
        responses = read_subject(described(tmp_path), "01")
        np.testing.assert_allclose(responses.times, np.arange(-5, 6) / 100)
        assert responses.values.shape == (120, 3, 11)
        assert responses.targets["roi"].str[0].tolist() == areas.tolist()
        remove([*tmp_path.glob("times*"), *tmp_path.glob("ecog_*")])
    np.savez(tmp_path / "ecog.npz", rates=rates[:, :3], times_ms=[-20, 0, 20])
    (tmp_path / "ecog.mat").unlink()
    np.testing.assert_allclose(read_subject(described(tmp_path), "01").times, [-0.02, 0, 0.02])
    for bins in ({"bin_edges": [-30, -10, 10, 30]}, {"time_start": [-30, -10, 10], "time_end": [-10, 10, 30]}):
        np.savez(tmp_path / "ecog.npz", rates=rates[:, :3], **{name: np.array(at) / 1000 for name, at in bins.items()})
        remove(tmp_path.glob("times*"))
        np.testing.assert_allclose(read_subject(described(tmp_path), "01").times, [-0.02, 0, 0.02])
    assert "axis, from 0, of times in 120 x 3 x 3: change it where 2" in (tmp_path / "study.yaml").read_text()
    remove([tmp_path / "ecog.npz", *tmp_path.glob("times*")])
    for who, rate in (("sub-1", 100), ("sub-2", 50)):  # each has a clock, and keeps it when all is described again
        told = {"fs": rate} | ({"area": areas} if rate == 50 else {})
        np.savez(tmp_path / f"{who}.npz", rates=rates.transpose(0, 2, 1), **told)
    for study in (described(tmp_path), described(tmp_path)):
        for who, rate in (("1", 100), ("2", 50)):
            np.testing.assert_allclose(read_subject(study, who).times, np.arange(11) / rate)


def test_what_lies_beside_is_read_or_named(tmp_path: Path) -> None:
    """Trials in the folder of their array, lists of whose vectors are, tables of words, masks of areas."""
    names, tables = [f"w{k}" for k in range(24)], {}
    for folder, file in (("fmri", "betas.npy"), ("meg", "rates.npy")):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / file, rng.normal(size=(trials_of(names, tmp_path / folder), 5)))
        tables[f"{folder}{file[:-4]}"] = read_text_table(tmp_path / folder / "trials.tsv")["stimulus_id"].tolist()
    order, vectors = rng.permutation(names), np.arange(72.0).reshape(24, 3)
    (tmp_path / "list.txt").write_text("\n".join(f"/photos/{name}.png" for name in order))
    np.save(tmp_path / "features.npy", vectors)
    np.savez(tmp_path / "embedding.npz", layer=vectors, label=order, version=1)
    (tmp_path / "notes.txt").write_bytes(b"\xff")
    pd.DataFrame(vectors, pd.Index(order, name="word")).to_csv(tmp_path / "glove.csv")
    (tmp_path / "cells.csv").write_text("id,depth\na,1\n")
    (tmp_path / "net.safetensors").touch()
    study = described(tmp_path)
    assert {who: read_subject(study, who).trials["stimulus_id"].tolist() for who in study.recordings} == tables
    written = (tmp_path / "study.yaml").read_text()
    assert "# not read: cells.csv, net.safetensors\n" in written
    for of in yaml.safe_load(written)["models"].values():
        found = read_vectors(tmp_path / of["file"], tmp_path / of["ids"] if "ids" in of else None, of.get("layers"))
        assert (len(found.layers), found.rows_of(order).tolist()) == (1, [*range(24)]), of
    shutil.rmtree(tmp_path / "meg")
    (tmp_path / "fmri" / "betas.npy").unlink()
    at = np.arange(18).reshape(3, 3, 2)
    scan(tmp_path / "fmri" / "betas.nii.gz", rng.normal(size=(3, 3, 2, 72)))
    for k, area in enumerate(("V1", "FFA")):
        scan(tmp_path / "fmri" / f"{area}_mask.nii.gz", at % 3 == k)
    regions = read_subject(described(tmp_path), "01").regions()
    assert [regions[area].tolist() for area in ("FFA", "V1")] == [[*range(1, 12, 2)], [*range(0, 12, 2)]]


def test_epochs_take_trials_beside_them_and_what_their_codes_mean(tmp_path: Path, fails) -> None:
    images(tmp_path, names := [f"p{k:02d}" for k in range(9)])
    shown = np.repeat([*range(9)], 3)
    events = np.c_[np.arange(27), 0 * shown, (shown + 4) % 9 + 1]
    data = mne.EpochsArray(rng.normal(size=(27, 2, 9)), mne.create_info(2, 50.0, "eeg"), events, verbose="error")
    data.save(tmp_path / "s-epo.fif", verbose="error")
    for rows in ([*range(9)], [*shown, 0, 1]):  # either column may be meant; of trials, some of which were rejected
        columns = {"trial": range(1, len(rows) + 1), "code": [(k + 4) % 9 + 1 for k in rows]}
        pd.DataFrame(columns | {"file": [f"{names[k]}.png" for k in rows]}).to_csv(tmp_path / "triggers.csv")
        if len(rows) == 9:
            fails("numbers of images: trial of triggers.csv, code of", init_anew, tmp_path)
            refused("must be one of 'code of.*got 'cod'", init_study, tmp_path, lambda _, default: default or "cod")
    trials = read_subject(described(tmp_path), "01").trials["stimulus_id"]
    paths = pd.read_csv(tmp_path / "stimuli.tsv", sep="\t", dtype=str).set_index("stimulus_id")["path"]
    assert [Path(paths[name]).stem for name in trials] == [names[k] for k in shown]
    remove([tmp_path / "stimuli.tsv", tmp_path / "triggers.csv"])
    mne.EpochsArray(data.get_data(), data.info, verbose="error").save(tmp_path / "s-epo.fif", overwrite=True)
    trials_of(names, tmp_path)
    trials = read_subject(described(tmp_path), "01").trials
    pd.testing.assert_frame_equal(trials[["stimulus_id", "run"]], read_text_table(tmp_path / "trials.tsv"))
    data.events[:, 2], data.event_id = shown % 2, {"face": 0, "house": 1}  # of which a table says more
    data.save(tmp_path / "s-epo.fif", overwrite=True, verbose="error")
    pd.testing.assert_series_equal(read_subject(described(tmp_path), "01").trials["run"], trials["run"])
    remove(tmp_path.glob("*.tsv"))
    data.metadata = pd.DataFrame({"block": range(27), "picture": [f"{names[k]}.png" for k in shown]})
    data.save(tmp_path / "s-epo.fif", overwrite=True)
    pd.DataFrame({"image": names, "a": 0.5, "b": range(9)}).to_csv(tmp_path / "mine.csv", index=False)
    trials = read_subject(described(tmp_path), "01").trials.astype({"run": int})
    assert trials[["run", "stimulus_id"]].to_numpy().tolist() == data.metadata.to_numpy().tolist()
    assert "file: mine_renamed.tsv" in (tmp_path / "study.yaml").read_text()


def test_epochs_leave_out_what_their_table_excludes_and_hold_it_or_not(tmp_path: Path, fails) -> None:
    images(tmp_path, names := [f"p{k:02d}" for k in range(9)])
    shown, is_bad = rng.permutation(np.repeat([*range(9)], 3)), np.isin(np.arange(27), [0, 7, 20])
    values = 1e-6 * shown[:, None, None] + 1e-8 * rng.normal(size=(27, 2, 9))
    table = pd.DataFrame({"stimulus_id": [f"{names[k]}.png" for k in shown], "rejected": is_bad})
    raw = mne.io.RawArray(np.zeros((2, 99)), info := mne.create_info(2, 50.0, "eeg"), verbose="error")
    events = np.c_[np.arange(54), np.zeros(54, int), np.tile([1, 2], 27)]  # answers are ignored
    cut = mne.Epochs(raw, events, {"image": 1}, 0, 0.16, baseline=None, preload=True, verbose="error")
    cut._data[:] = values
    cut.drop(is_bad, verbose="error")
    every, kept = (mne.EpochsArray(of, info, verbose="error") for of in (values, values[~is_bad]))
    told = mne.EpochsArray(values, info, metadata=table, verbose="error")
    for data in (every, kept, cut, told):
        data.save(tmp_path / "s-epo.fif", overwrite=True, verbose="error")
        table.to_csv(tmp_path / "trials.csv", index=False)
        (tmp_path / "trials.csv").unlink() if data is told else None
        responses = read_subject(described(tmp_path), "01")
        assert responses.trials["stimulus_id"].tolist() == table["stimulus_id"][~is_bad].tolist()
        np.testing.assert_allclose(responses.values[:, 0, 0], shown[~is_bad], atol=0.1)
        assert "leave out 3 of 27 trials, 3 by rejected" in (tmp_path / "study.yaml").read_text()
    told.metadata = table.rename(columns={"stimulus_id": "category"})
    told.save(tmp_path / "s-epo.fif", overwrite=True, verbose="error")
    fails("metadata say in rejected which epochs do not count", init_anew, tmp_path)


def test_lists_of_runs_and_sets_of_matlab_say_what_rows_are(tmp_path: Path, fails) -> None:
    """As BOLD5000 and TVSD have them; rows of vectors are those of a list in an order of its own."""
    images(tmp_path, names := [f"p{k:02d}" for k in range(20)])
    order, study = rng.permutation(20), tmp_path / "study.yaml"
    np.save(tmp_path / "features.npy", np.c_[order, order**2])
    (tmp_path / "filenames.txt").write_text("\n".join(names[k] for k in order))
    shown = {who: rng.permutation([*range(20), *range(4)]) for who in ("CSI1", "CSI2")}
    for who, rows in shown.items():
        savemat(tmp_path / f"{who}_ROIs.mat", {area: of_images(rows) for area in ("LHPPA", "RHOPA")})
        for k, part in enumerate(np.split(rows, 12)):  # the tenth run is not the second
            lines = [f"{'rep_' if of < 4 else ''}{names[of]}.png\n" for of in part]
            (tmp_path / f"{who}_sess{k // 11 + 1}_run{k % 11 + 1}.txt").write_text("".join(lines))
    assert planted(described(tmp_path), "CSI2") == (shown["CSI2"].tolist(), shown["CSI2"].tolist())
    ids = yaml.safe_load(study.read_text())["models"]["features"]["ids"]
    assert [*read_text_table(tmp_path / ids)["stimulus_id"]] == [f"{names[k]}.png" for k in order]
    (tmp_path / "CSI2_sess1_run3.txt").unlink()
    fails("none is as long as sub-CSI2_lists_trials.tsv, 22 trials", init_anew, tmp_path)
    remove(tmp_path.glob("CSI*"))
    sets = {"train": order[:14], "test": order[14:]}
    paths = {kind: np.array([f"x/{names[k]}.png" for k in rows], object) for kind, rows in sets.items()}
    savemat(tmp_path / "imgs.mat", {f"{kind}_imgs": {"path": of} for kind, of in paths.items()})
    train, repeats = of_images(sets["train"], 9), of_images(np.tile(sets["test"], (3, 1)), 9)
    for values in (train, train.T):
        with h5py.File(tmp_path / "mua.mat", "w", userblock_size=512) as file:  # whose axes MATLAB turns around
            file["train_MUA"], file["test_MUA"], file["test_MUA_reps"] = values, repeats.mean(axis=0), repeats
        held, rows = planted(described(tmp_path), "01")
        assert (held, len(held)) == (rows, 14 + 3 * 6)
    remove(tmp_path.glob("*.*"))  # as vim-1 has them: voxels first, images in grey
    values = of_images(order, 9)
    savemat(tmp_path / "r.mat", {"dataTrnS1": values.T, "dataTrnS2": values.T[:7], "dataValS1": values.T[:, :8]})
    savemat(tmp_path / "stimuli.mat", {"stimTrn": np.ones((16, 16, 20)), "stimVal": np.ones((16, 16, 8))})
    assert described(tmp_path).recordings.keys() == {"01"}
    said = "stimuli.mat: holds images; save .*which of dataTrnS1, dataTrnS2, dataValS1 is read"
    assert re.search(said, study.read_text(), re.DOTALL)
    remove([*tmp_path.glob("*.*"), *tmp_path.glob("images/*")])
    read = np.array([f"The cat sees {k} dogs." for k in order], object)
    savemat(tmp_path / "P01.mat", {"examples": values, "keySentences": read[:, None]})  # of Pereira
    responses_to(read, values, described(tmp_path))


def test_files_of_bdpy_are_taken_apart_and_training_and_test_joined(tmp_path: Path, fails) -> None:
    """As Horikawa and DeepRecon have them: voxels among other columns, and codes of images that each file counts."""
    images(tmp_path, [f"n01440764_{k}" for k in range(10, 30)])
    test, train = np.tile(rng.permutation(np.arange(24, 30)), 3), rng.permutation(np.arange(10, 24))
    keys, marks = ["VoxelData", "ROI_V1", "ROI_VC", "voxel_x", "Run", "DataType", "Label"], np.full((7, 6), np.nan)
    marks[:4, 1:4] = [1, 1, 1], [0, 1, 0], [1, 1, 1], [1.5, 2.5, 3.5]
    marks[[4, 5, 6], [0, 4, 5]] = 1

    def save(name: str, shown: NDArray[Any], labels: NDArray[Any], sets: Any = 1, *, named: bool = False) -> None:
        with h5py.File(tmp_path / name, "w") as file:
            file["dataset"] = np.c_[np.arange(len(shown)) // 4, of_images(shown, 3), 0 * shown + sets, labels]
            file["metadata/key"], file["metadata/value"] = keys, marks
            for code, number in zip(labels, shown, strict=True) if named else ():
                file.require_dataset(f"vmap/Label/{code}", (), "S12")[()] = f"n01440764_{number}"

    save("sub-01_imagery_VC.h5", train[:4], train[:4])
    for named in (False, True):
        save("sub-01_naturalImageTest_VC.h5", test, test - 23.0, named=named)
        save("sub-01_naturalImageTraining_VC.h5", train, train - 9.0, named=named)
        if not named:
            fails("1, 2, 3 and 3 more are numbers of training and of test", init_anew, tmp_path)
    for who in ("01", "1"):
        rows, study = [*test, *train], described(tmp_path)
        assert planted(study, who) == (rows, rows)
        responses, stimuli = read_subject(study, who), read_text_table(study.folder / study.stimuli)
        assert {*stimuli["path"][stimuli["set"] == "test"].str[-6:-4]} == {*map(str, test)}
        assert {area: [*of] for area, of in responses.regions().items()} == {"V1": [1], "VC": [0, 1, 2]}
        assert responses.targets["x_mm"].tolist() == [1.5, 2.5, 3.5]
        assert responses.trials[["session", "run"]].drop_duplicates().shape[0] in (8, 9)  # of two files, or one
        remove(tmp_path.glob("sub*.h5"))
        shown, sets = np.r_[rows, 12, 13], np.r_[np.full(18, 2), np.full(14, 1), [3, 3]]  # the last were imagined
        save("Subject1.h5", shown, 1440764 + shown / 1e6, sets)


def test_copies_follow_their_files_and_names_of_images_need_no_ending(tmp_path: Path, fails) -> None:
    images(tmp_path, names := [f"p{k:02d}" for k in range(20)])
    order = [*rng.permutation(names)]
    shown = [f"{name}.png" for name in 3 * order]
    np.savez(tmp_path / "S1.npz", rates=rng.normal(size=(60, 4)))
    cues = pd.DataFrame({"distractor": shown[1:] + shown[:1], "target": shown})
    cues.to_csv(tmp_path / "trials.csv", index=False)
    fails("with what was shown: distractor, target: files do not say which", init_anew, tmp_path)
    vectors = pd.DataFrame(rng.normal(size=(20, 2)), names, ["a", "b"])
    vectors.to_csv(tmp_path / "mine.csv", index_label="image")
    for column in ("distractor", "target"):  # the lab corrects its file, and looks again
        cues[[column]].to_csv(tmp_path / "trials.csv", index=False)
        if column == "target":
            assert "trials.csv was changed" in str(audit_study(load_descriptor(tmp_path / "study.yaml")).errors)
        assert read_subject(described(tmp_path), "01").trials["stimulus_id"].tolist() == cues[column].tolist()
        file = yaml.safe_load((tmp_path / "study.yaml").read_text())["models"]["mine"]["file"]
        table = pd.read_csv(tmp_path / file, sep="\t", index_col="stimulus_id")
        np.testing.assert_allclose(table.loc[[f"{name}.png" for name in names]], vectors)
    remove(filter(Path.is_file, tmp_path.iterdir()))
    savemat(tmp_path / "S1.mat", {"R": np.ones((20, 4)), "bildnr_x": [int(name[1:]) + 1 for name in order]})
    fails("S1.mat: bildnr_x counts 20 in another order", init_anew, tmp_path)


def test_words_beside_sounds_or_films_are_read(tmp_path: Path) -> None:
    film(tmp_path)
    rows = "".join(f"run{run},w{k},{k}\n" for run in (1, 2, 3) for k in range(30))
    (tmp_path / "words.csv").write_text("story,word,start\n" + rows)
    (tmp_path / "bold.json").write_text('{"RepetitionTime": 1.5}')
    study = described(tmp_path)
    assert study.stimuli == Path("words_renamed.tsv")
    assert study.recordings["01"].tr_s == 1.5
    (tmp_path / "bold.json").write_text('{"SamplingFrequency": 64}')
    assert described(tmp_path).recordings["01"].sfreq_hz == 64  # so that 60 rows are a second
    assert "begin after its end" in str(audit_study(load_descriptor(tmp_path / "study.yaml")).problems)
    remove(tmp_path.glob("words*"))
    for run in (1, 2, 3):
        (tmp_path / f"words_run0{run}.csv").write_text(f"word,start_ms,end (ms)\na,{run}000,{run}500\n")
    np.save(tmp_path / "features.npy", np.ones((3, 2)))
    for films in ("*.none", "*.mkv"):  # beside them, and alone
        remove(tmp_path.glob(films))
        words = read_text_table(tmp_path / described(tmp_path).stimuli)
        assert "features: {extractor: table, file: features.npy}" in (tmp_path / "study.yaml").read_text()
        assert words["run"].tolist() == ["run1", "run2", "run3"]
        assert words[["onset_s", "duration_s"]].astype(float).to_numpy().tolist() == [[1, 0.5], [2, 0.5], [3, 0.5]]


def test_series_of_regions_in_tables_are_the_responses_to_stories(tmp_path: Path, fails) -> None:
    """As parcellations are saved: a file for each person and story, with an index, with names of regions or without."""
    signals = {(who, run): rng.normal(size=(60, 3)).round(4) for who in ("AB", "CD") for run in ("sea", "wood", "hill")}
    for run in ("sea", "wood", "hill"):
        (tmp_path / f"{run}.tsv").write_text("onset\tword\n" + "".join(f"{2 * k}\tw{k}\n" for k in range(50)))
    for named, names in ((True, ["V1", "A1", "IFG"]), (False, ["parcel-0001", "parcel-0002", "parcel-0003"])):
        for (who, run), values in signals.items():
            (file := tmp_path / "bold" / who / f"{run}.csv").parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(values, columns=["V1", "A1", "IFG"]).to_csv(file, index=named, header=named)
        (tmp_path / "bold" / "AB" / "sea_motion.csv").write_text("x,y\n" + "0.5,0.25\n" * 60)
        study = described(tmp_path)
        for (who, run), values in signals.items():
            np.testing.assert_array_equal(np.load(tmp_path / study.recordings[who].files[run]), values)
        assert read_continuous(study, "CD").responses.targets["target_id"].tolist() == names
    remove(path for path in tmp_path.glob("bold/*/*") if path.name != "sea.csv")  # one run of a person is no story
    fails("sea.csv as .npy", init_anew, tmp_path)


def test_images_are_known_in_other_letters_and_asked_for_in_doubt(tmp_path: Path, fails) -> None:
    letters = [f"B\u00e4r {k:02d}" for k in range(20)]  # one letter here, two on disks of macOS
    images(tmp_path, [unicodedata.normalize("NFD", name).upper() for name in letters])
    np.save(tmp_path / "rates.npy", of_images(rows := rng.permutation(np.tile(range(20), 3))))
    (tmp_path / "plan.csv").write_bytes("Bild\n\u4e2d\u6587".encode("gbk"))
    fails("plan.csv: not a readable table", init_anew, tmp_path)  # of another alphabet
    plan = {"Lauf": np.repeat([1, 2, 3], 20), "Bild": [f"{letters[k]}.png" for k in rows], "Zeit": "0,5"}
    for encoding in ("cp1252", "utf-16", "utf-8-sig"):  # as spreadsheets save it
        pd.DataFrame(plan).to_csv(tmp_path / "plan.csv", sep=";", index=False, encoding=encoding)
        assert planted(study := described(tmp_path), "01") == (rows.tolist(), rows.tolist())
        assert read_subject(study, "01").trials["run"].tolist() == plan["Lauf"].astype(str).tolist()
        assert main(["check", str(tmp_path / "study.yaml")]) == 0
    remove(tmp_path.glob("*.[cty]*"))
    np.save(tmp_path / "rates.npy", rng.normal(size=(trials_of([f"S{k:3d}" for k in range(1, 16)], tmp_path), 5)))
    answers = iter(["1", ""])  # the number of the first image, what is held out
    init_study(tmp_path, lambda _, default: next(answers) or default)
    paths = pd.read_csv(tmp_path / "stimuli.tsv", sep="\t").set_index("stimulus_id")["path"]
    assert [paths[name][-6:-4] for name in ("S  1", "S 15")] == ["00", "14"]


def test_the_seconds_of_samples_are_asked_for(tmp_path: Path) -> None:
    electrodes(tmp_path)
    answers = iter(["-0.2 0.8", ""])
    init_study(tmp_path, lambda _, default: next(answers) or default)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "times.txt"), np.linspace(-0.2, 0.8, 11))
    assert described(tmp_path).recordings["01"].times_s == Path("times.txt")  # the file that lies there is taken
    (tmp_path / "times.txt").unlink()
    for _ in range(2):  # a guess does not become knowledge
        described(tmp_path)
        assert "0 1 is wrong" in (tmp_path / "study.yaml").read_text()


@pytest.mark.acceptance
@pytest.mark.parametrize("make", [own_vectors, labs.rdms], ids=lambda make: make.__name__)
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
