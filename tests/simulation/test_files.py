"""The simulate stage: ordinary readers load its files and give back what was planted."""

import hashlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from jobs import run_step
from PIL import Image
from refusals import refused

from brainalign.simulation import LAYERS, activations, draw_scenes, render, rest_networks, schedule, simulate_rest

TINY = {"n_shared": 12, "n_unique": 28, "fmri_subjects": 1, "n_training_scenes": 64, "n_epochs": 1}
TINY |= {"meg_sensors": "mag", "n_rest_volumes": 60}


def run(folder: Path, seed: int = 0, **changes: object) -> int:
    outputs = {"listing": folder / "simulated.json", "stimuli": folder / "stimuli" / "stimuli.tsv"}
    settings = {"simulate": TINY | changes}
    return run_step("simulate", settings, inputs={"folder": folder}, outputs=outputs, seed=seed)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    assert run(folder) == 0
    return folder


def test_sidecar_names_every_file(study: Path) -> None:
    record = json.loads((study / "simulated.json").read_text())
    found = {p.relative_to(study).as_posix() for p in study.rglob("*") if p.is_file()} - {"simulated.json"}
    assert set(record["files"]) == found
    for name, entry in record["files"].items():
        assert hashlib.sha256((study / name).read_bytes()).hexdigest() == entry["sha256"]
    assert record["details"]["subjects"] == {"01": "fmri", "02": "meg", "03": "eeg"}


def test_stimuli(study: Path) -> None:
    table = pd.read_csv(study / "stimuli/stimuli.tsv", sep="\t")
    assert table["set"].value_counts().to_dict() == {"unique": 28, "shared": 12}
    for path, image in zip(table["path"], render(draw_scenes(40, 0), 128), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(study / "stimuli" / path)), image)


def test_betas_and_areas(study: Path) -> None:
    trials = pd.read_csv(study / "sub-01/sub-01_trials.tsv", sep="\t", dtype=str)
    truth = pd.read_parquet(study / "truth/vertices.parquet")
    for hemi in "LR":
        betas = nibabel.load(study / f"sub-01/sub-01_hemi-{hemi}_betas.func.gii")
        values = np.stack([darray.data for darray in betas.darrays])
        assert values.shape == (len(trials), 10242) == (120, 10242)
        assert [darray.meta["Name"] for darray in betas.darrays] == trials["trial_id"].tolist()
        assert np.isfinite(values).all()
        labels = nibabel.load(study / f"sub-01/sub-01_hemi-{hemi}_rois.label.gii")
        names = labels.labeltable.get_labels_as_dict()
        rois = np.array([names[key] for key in labels.darrays[0].data])
        mine = truth[truth["hemi"] == hemi]
        np.testing.assert_array_equal(np.where(rois == "???", "", rois), mine["roi"])
        assert mine.groupby("roi").size().min() >= 10
        assert set(mine.loc[mine["kind"] == "what", "layer"]) == set(LAYERS)


def test_epochs(study: Path) -> None:
    import mne

    sensors = pd.read_parquet(study / "truth/sensors.parquet")
    for subject, kind, n, scale in (("02", "meg", 102, 1e-13), ("03", "eeg", 64, 1e-5)):
        epochs = mne.read_epochs(study / f"sub-{subject}/sub-{subject}_{kind}-epo.fif", verbose=False)
        values = epochs.get_data()
        assert values.shape == (80, n, 61)
        assert 0.5 * scale < values.std() < 2 * scale
        assert list(epochs.metadata) == ["trial_id", "stimulus_id", "session", "run", "repeat", "onset_s"]
        assert epochs.metadata.groupby("stimulus_id").size().eq(2).all()
        assert epochs.tmin == pytest.approx(-0.1)
        mine = sensors[sensors["subject"] == subject]
        assert (list(mine["target_id"].unique()), len(mine)) == (epochs.ch_names, n * 61)
        assert mne.channels.find_layout(epochs.info) is not None  # topomaps can be drawn


def test_generator_loads_as_any_hugging_face_model(study: Path) -> None:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(study / "generator", local_files_only=True).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) < 500_000
    names = dict(model.named_modules())
    assert all(layer in names for layer in LAYERS)
    found = activations(model, render(draw_scenes(3, 0), 128))
    assert list(found) == ["embedder", *(f"encoder.stages.{k}" for k in range(4))]
    assert [values.shape[:3] for values in found.values()] == [(3, n, n) for n in (32, 32, 16, 8, 4)]


def test_same_seed_same_bytes_and_another_differs(study: Path, tmp_path: Path) -> None:
    only_fmri = {"meg_subjects": 0, "eeg_subjects": 0}
    assert run(tmp_path / "a", **only_fmri) == 0
    assert run(tmp_path / "b", seed=1, **only_fmri) == 0
    for name in ("stimuli/stimuli.tsv", "sub-01/sub-01_hemi-L_betas.func.gii", "sub-01/sub-01_rest.tsv"):
        here = (study / name).read_bytes()
        assert (tmp_path / "a" / name).read_bytes() == here
        assert (tmp_path / "b" / name).read_bytes() != here


def test_bad_settings_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, n_repeat=2) == 2
    assert "did you mean 'n_repeats'" in capsys.readouterr().err
    assert run(tmp_path, image_size=100) == 2
    assert "multiple of 128" in capsys.readouterr().err


def test_what_cannot_be_simulated_is_refused() -> None:
    refused("fewer sessions", schedule, ["a"], 1, 2, 0)
    refused("lag", simulate_rest, rest_networks(["ventral1", "dorsal1"]), 4, 0)
