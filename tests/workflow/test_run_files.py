"""Runs of a story as laboratories keep them: GIFTI, CIFTI, and what fMRIPrep wrote."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import run_all
from nibabel.cifti2 import BrainModelAxis, Cifti2Header, Cifti2Image, SeriesAxis
from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiLabel, GiftiLabelTable, GiftiMetaData
from refusals import refused
from worlds.story import configured, described

from brainalign.config import Config
from brainalign.datasets import audit_study, read_continuous, read_events, run_drifts, slow_drifts, stop_on
from brainalign.io import artifact_path
from brainalign.simulation import story, write_story
from brainalign.study import Shape, known_shape, load_descriptor, parse


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story")
    write_story(story(3, 75, 6, explained=0.8, n_features=(12, 7), seed=21), folder)
    return folder


def test_surfaces_and_grayordinates_hold_the_same(folder: Path, tmp_path: Path) -> None:
    """A GIFTI per hemisphere and run, a dtseries per run: the responses of the table they were written from."""
    for name in ("words.tsv", "targets.tsv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    labels = GiftiLabelTable()
    labels.labels = [GiftiLabel(key) for key in (0, 1)]
    for label, name in zip(labels.labels, ("???", "first"), strict=True):
        label.label = name
    marked = GiftiDataArray(np.eye(1, 642, dtype=np.int32)[0], "NIFTI_INTENT_LABEL", "NIFTI_TYPE_INT32")
    nibabel.save(GiftiImage(labeltable=labels, darrays=[marked]), tmp_path / "areas.label.gii")
    vertices = [BrainModelAxis.from_surface(np.arange(642), 642, f"CORTEX_{side}") for side in ("LEFT", "RIGHT")]
    for run in range(1, 4):
        values = np.random.default_rng(run).normal(size=(75, 2 * 642)).astype(np.float32)
        np.save(tmp_path / f"story{run}.npy", values)
        for side, part in (("L", values[:, :642]), ("R", values[:, 642:])):
            arrays = [GiftiDataArray(row, datatype="NIFTI_TYPE_FLOAT32") for row in part]
            meta = GiftiMetaData({"AnatomicalStructurePrimary": {"L": "CortexLeft", "R": "CortexRight"}[side]})
            nibabel.save(GiftiImage(darrays=arrays, meta=meta), tmp_path / f"story{run}_hemi-{side}.func.gii")
        header = Cifti2Header.from_axes((SeriesAxis(0, 2.0, 75), vertices[0] + vertices[1]))
        nibabel.save(Cifti2Image(values, header), tmp_path / f"story{run}.dtseries.nii")
    described(tmp_path, 3, targets=None)
    expected = read_continuous(load_descriptor(tmp_path / "story.yaml"), "01").responses.values
    sides = {"files": "*_hemi-L.func.gii", "right": "*_hemi-R.func.gii", "rois": {"L": "areas.label.gii"}}
    for files in (sides, {"files": "*.dtseries.nii", "rois": {"L": "areas.label.gii"}}):
        described(tmp_path, 3, targets=None, **files)
        study = load_descriptor(tmp_path / "story.yaml")
        assert known_shape(study) == Shape(runs=3, trials=225, targets=2 * 642)
        read = read_continuous(study, "01").responses
        np.testing.assert_array_equal(read.values, expected)
        assert read.targets["target_id"].iloc[[0, -1]].tolist() == ["vertex-L-0", "vertex-R-641"]
        assert read.targets["roi"].map(len).tolist() == [1] + 1283 * [0]
        assert read.targets.attrs["space"]["n_vertices"] == {"L": 642, "R": 642}
    wrong = {
        "header of bold says 2 s": {"files": "*.dtseries.nii", "tr_s": 1.5},
        "holds CortexRight, .* as hemisphere L; swap": sides | {"files": "*_hemi-R.func.gii"},
        "of surfaces files are the left hemisphere": {"files": "*_hemi-L.func.gii"},
        "story3 has other files": sides | {"right": {f"story{k}": "a.gii" for k in range(1, 3)}},
    }
    for message, files in wrong.items():
        described(tmp_path, **{"targets": None} | files)
        refused(message, lambda: read_continuous(load_descriptor(tmp_path / "story.yaml"), "01"))
    described(tmp_path, 3, targets=None, **sides)
    (tmp_path / "story3_hemi-L.json").write_text('{"RepetitionTime": 2.5}')
    refused("tr_s is 2, .* 2.5 s", read_continuous, load_descriptor(tmp_path / "story.yaml"), "01")


STUDY: dict[str, object] = {"name": "story", "stimuli": "bids", "splits": {"s": {"leave_out": "run"}}}
STUDY |= {"recordings": {"01": {"format": "runs", "derivatives": "derivatives"}}}


def bids(folder: Path, story: Path) -> None:
    """Write three runs as fMRIPrep does, with motion on top of responses, and their words as BIDS events."""
    raw, func = folder / "bids" / "sub-01" / "func", folder / "derivatives" / "sub-01" / "ses-1" / "func"
    for made in (raw, func):
        made.mkdir(parents=True)
    (folder / "bids" / "dataset_description.json").write_text("{}")
    words = pd.read_csv(story / "words.tsv", sep="\t")
    affine, rng = np.diag([3.0, 3.0, 3.0, 1.0]), np.random.default_rng(8)
    for run in range(1, 4):
        stem = f"task-story_run-{run}"
        events = words[words["run"] == f"story{run}"].rename(columns={"onset_s": "onset", "duration_s": "duration"})
        press = pd.DataFrame({"onset": [3.0], "duration": [0.0], "text": ["n/a"]})
        pd.concat([press, events]).drop(columns="run").to_csv(raw / f"sub-01_{stem}_events.tsv", sep="\t", index=False)
        motion = rng.normal(size=(75, 7)).cumsum(axis=0)
        values = np.load(story / f"story{run}.npy") + motion @ rng.normal(size=(7, 24))
        inside = np.ones((4, 3, 3), dtype=np.uint8)
        inside[3, :, run % 3] = 0
        volumes = np.full((4, 3, 3, 75), 9.0, dtype=np.float32)
        volumes[:2, :, :] = values[:, :18].T.reshape(2, 3, 3, 75)
        volumes[2, :2, :] = values[:, 18:].T.reshape(2, 3, 75)
        image = nibabel.Nifti1Image(volumes, affine)
        image.header.set_zooms((3, 3, 3, 2.0))
        name = f"sub-01_ses-1_{stem}_space-MNI152NLin2009cAsym"
        nibabel.save(image, func / f"{name}_desc-preproc_bold.nii.gz")
        (func / f"{name}_desc-preproc_bold.json").write_text('{"RepetitionTime": 2.0}')
        nibabel.save(nibabel.Nifti1Image(inside, affine), func / f"{name}_desc-brain_mask.nii.gz")
        columns = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z", "csf"]
        table = pd.DataFrame(motion, columns=columns).assign(constant=1.0, white=["n/a"] + [0.5] * 74)
        table.to_csv(func / f"sub-01_ses-1_{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False)


def test_what_fmriprep_wrote_is_found_and_confounds_are_regressed_out(folder: Path, tmp_path: Path) -> None:
    """No list of files: motion is taken out of responses and of features, as one regression with both would."""
    bids(tmp_path, folder)
    content = STUDY | {"continuous": {"confounds": ["trans_*", "rot_*", "csf", "constant"]}}
    (tmp_path / "story.yaml").write_text(yaml.safe_dump(content))
    study = load_descriptor(tmp_path / "story.yaml")
    files = study.recordings["01"]
    assert list(files.files) == ["task-story_run-1", "task-story_run-2", "task-story_run-3"]
    assert (files.space, files.tr_s, known_shape(study).trials) == ("MNI152NLin2009cAsym", 2.0, 225)
    assert not audit_study(study).errors
    events = read_events(study)
    words = pd.read_csv(folder / "words.tsv", sep="\t")
    assert len(events) == words["run"].isin(["story1", "story2", "story3"]).sum()
    read = read_continuous(study, "01")
    assert read.n_dropped == 3 * 3 * 3 - 24  # voxels inside of all masks that never change
    moved, rows = read.responses.values, read.responses.trials
    confounds = rows[[name for name in rows if name.startswith("confound 1 ")]].to_numpy()
    described(tmp_path, 3, targets=None, files={f"story{k}": str(folder / f"story{k}.npy") for k in range(1, 4)})
    still = read_continuous(load_descriptor(tmp_path / "story.yaml"), "01").responses.values
    x = np.random.default_rng(0).normal(size=60) + confounds[:60, 0]
    (basis,) = run_drifts(rows[:60], 2.0, "linear", 0.01)
    assert np.abs(basis.T @ confounds[:60]).max() > 1
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-9)
    drifts = slow_drifts(60, 2.0, "linear", 0.01)
    assert basis.shape[1] == drifts.shape[1] + 7  # the constant column is no confound
    together = np.linalg.lstsq(np.column_stack([x, drifts, confounds[:60]]), still[:60, 0], rcond=None)[0][0]
    cleared = x - basis @ (basis.T @ x)
    residual = still[:60] - basis @ (basis.T @ still[:60])
    assert cleared @ residual[:, 0] / (cleared @ cleared) == pytest.approx(together)
    np.testing.assert_allclose(moved[:60], residual / residual.std(axis=0), atol=1e-3)
    config = configured(tmp_path).model_dump(mode="json")
    (tmp_path / "story.yaml").write_text(yaml.safe_dump(content))
    kept = words["run"].isin(["story1", "story2", "story3"])
    np.save(tmp_path / "language.npy", np.load(folder / "language.npy")[kept])
    config["models"] = {"language": config["models"]["language"]}
    config = parse(Config, config | {"encode_runs": {"permutations": 19, "n_candidates": 2}}, "test")
    run_all(config, "prepare_events", "prepare_runs", "extract", "encode_runs")
    scores = pd.read_parquet(artifact_path(config.results, "story", "runtargets", subject="01"))
    r = scores.set_index("model")["r"]
    groups = pd.read_csv(folder / "targets.tsv", sep="\t")["roi"].to_numpy()
    assert r["language"].to_numpy()[groups == "language"].mean() > 0.2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: next(f.rglob("*run-2_events.tsv")).unlink(), "no .*of task-story_run-2"),
        (lambda f: next(f.rglob("*run-2_desc-conf*")).write_text("csf\n1\n"), "no confound 'trans_x'"),
        (lambda f: next(f.rglob("*run-2_desc-conf*")).unlink(), "confounds_timeseries.tsv"),
        (lambda f: next(f.rglob("*run-2*_bold.json")).write_text('{"RepetitionTime": 3}'), "tr_s is 2, .* says 3 s"),
        (lambda f: f.joinpath("derivatives/sub-01").rename(f / "derivatives/sub-1"), "no folder sub-01 in derivatives"),
        (
            lambda f: (run := next(f.rglob("*run-2*_bold.nii.gz"))).rename(
                run.with_name("sub-01_task-story_run-2_space-T1w_desc-preproc_bold.nii.gz")
            ),
            "there is MNI152NLin2009cAsym, T1w",
        ),
    ],
)
def test_gaps_in_derivatives_are_named(folder: Path, tmp_path: Path, spoil, message: str) -> None:
    bids(tmp_path, folder)
    spoil(tmp_path)
    (tmp_path / "story.yaml").write_text(yaml.safe_dump(STUDY))
    refused(message, lambda: stop_on(audit_study(load_descriptor(tmp_path / "story.yaml")).errors))
