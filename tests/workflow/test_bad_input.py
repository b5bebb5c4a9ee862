"""Bad input of studies of images: the stage stops with a line that says what and the remedy; what was made stays.

What readers of files refuse is asked of them, in tests/datasets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jobs import run_step

from brainalign.arrays import Responses
from brainalign.datasets import fit_whitener, read_subject
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.statistics import noise_ceiling_from_share, signal_share
from brainalign.study import load_descriptor

NETWORK = {"extractor": "efficientnet", "layers": ["block2"], "image_size": 32, "crop": False}


class Stages:
    """Runs stages on the small study of images, as a person would."""

    def __init__(self, study, capsys: pytest.CaptureFixture[str]) -> None:
        self.study = study
        self.descriptor = study.write()
        self.capsys = capsys
        self.results = study.folder / "results"

    def path(self, suffix: str, **labels: str) -> Path:
        return artifact_path(self.results, "scenes", suffix, **labels)

    def prepare(self, subject: str = "01") -> str:
        """Return what the stage printed when it stopped; nothing when it ran to its end."""
        inputs = {"descriptor": self.descriptor, "folder": "nowhere", "stimuli": self.stimuli}
        outputs = {suffix: self.path(suffix, subject=subject) for suffix in ("responses", "splits", "ceiling")}
        return self._run("prepare", inputs=inputs, outputs=outputs, labels={"subject": subject})

    def extract(self, name: str = "net", **model: object) -> str:
        files = {"features": self.path("features", model=name)}
        return self._run("extract", {"model": model}, inputs={"stimuli": self.stimuli}, outputs=files)

    @property
    def stimuli(self) -> Path:
        return self.study.folder / "stimuli" / "stimuli.tsv"

    @property
    def n_rows_reused(self) -> int:
        return int(load_sidecar(self.path("features", model="net"))["details"]["n_rows_reused"])

    def _run(self, *step: Any, **files: Any) -> str:
        self.capsys.readouterr()
        status = run_step(*step, **files)
        printed = self.capsys.readouterr().err
        assert "Traceback" not in printed
        assert status in (0, 2)
        return printed if status else ""


@pytest.fixture
def stages(scenes, capsys: pytest.CaptureFixture[str]) -> Stages:
    return Stages(scenes, capsys)


def test_a_sound_study_is_prepared(stages: Stages) -> None:
    assert stages.prepare() == ""
    assert stages.prepare("02") == ""
    splits = pd.read_parquet(stages.path("splits", subject="01"))
    tested = set(splits.loc[splits["split"] == "test", "stimulus_id"])
    assert tested == set(stages.study.scenes["stimulus_id"][: stages.study.n_test])
    assert (splits.groupby("stimulus_id")["split"].nunique() == 1).all()
    kinds = stages.study.scenes.set_index("stimulus_id")["category"]
    for subject in ("01", "02"):
        table = pd.read_parquet(stages.path("ceiling", subject=subject))
        responses = load(stages.path("responses", subject=subject), Responses)
        shown = responses.trials["stimulus_id"]
        assert responses.trials["category"].tolist() == kinds[shown].tolist()
        share = signal_share(responses.values, shown.to_numpy())
        np.testing.assert_allclose(table["signal_share"], share.ravel(), rtol=1e-4, atol=1e-6)
        repeats = shown[shown.isin(tested)].value_counts().to_numpy()
        np.testing.assert_allclose(
            table["ceiling"], noise_ceiling_from_share(share.ravel(), repeats), rtol=1e-4, atol=1e-6
        )
        assert table["target_id"].unique().tolist() == responses.targets["target_id"].tolist()
        details = load_sidecar(stages.path("splits", subject=subject))["details"]
        assert [(row["split"], row["n_stimuli"], row["n_trials"]) for row in details["card"]] == [
            ("train", 14, 28),
            ("test", 10, 20),
        ]
        (warning,) = details["warnings"]
        assert warning.startswith("splits.shared: fold 0: 4 of 4 runs have trials in more than one split (ses-s0_run-1")
        if subject == "01":
            ceiling, rois = table["ceiling"].to_numpy(), responses.targets["roi"].map(lambda names: "seen" in names)
            assert np.median(ceiling[rois]) > 0.6 > 0.3 > np.median(ceiling[~rois])
            continue
        raw = read_subject(load_descriptor(stages.descriptor), "02")
        train = ~shown.isin(tested).to_numpy()
        noise = {"noise": "residuals", "stimulus_ids": shown[train].tolist()}
        whitener = fit_whitener(raw.values[train], raw.times, raw.targets, **noise)
        np.testing.assert_allclose(responses.values, whitener.transform(raw.values), rtol=1e-5, atol=1e-6)
        assert responses.units == "noise standard deviations"
        about = load_sidecar(stages.path("responses", subject="02"))["details"]
        assert (about["noise"], about["rank"], about["whitened"]) == ("residuals", whitener.rank, "on training epochs")
        assert about["shrinkage"]["eeg"] == pytest.approx(whitener.shrinkage["eeg"])
        assert (about["n_trials"], about["n_targets"]) == (48, 12)


def test_missing_and_unreadable_images(stages: Stages) -> None:
    assert stages.prepare() == ""
    assert stages.extract(**NETWORK) == ""
    images = sorted((stages.study.folder / "stimuli" / "images").glob("*.png"))
    third, fourth = (image.read_bytes() for image in images[3:5])
    images[3].unlink()
    images[4].write_bytes(fourth[:100])
    found = stages.prepare()
    assert f"1 of 24 images are missing: {images[3].stem}" in found
    assert "correct the paths or copy the files" in found
    assert f"1 of 24 images are unreadable: {images[4].stem}" in found
    assert f"1 of 24 stimuli have no image file ({images[3].stem}" in stages.extract(**NETWORK)
    images[3].write_bytes(third)
    assert images[4].name in stages.extract(**NETWORK)
    images[4].write_bytes(fourth)
    load(stages.path("responses", subject="01"), Responses)  # what was computed before is still there
    assert stages.extract(**NETWORK) == ""
    assert stages.n_rows_reused == 24


def test_an_unknown_layer_names_the_nearest(stages: Stages) -> None:
    assert stages.extract(**NETWORK) == ""
    found = stages.extract(**NETWORK | {"layers": ["blok2"]})
    assert "the network has no layer 'blok2'; did you mean 'block2' or" in found
    assert stages.extract(**NETWORK) == ""
    assert stages.n_rows_reused == 24


def test_a_share_is_drawn_by_stimulus_and_from_the_seed(stages: Stages) -> None:
    stages.study.write(splits={"drawn": {"share": 0.25}})
    assert stages.prepare() == ""
    splits = pd.read_parquet(stages.path("splits", subject="01"))
    assert splits.loc[splits["split"] == "test", "stimulus_id"].nunique() == 6
    assert (splits.groupby("stimulus_id")["split"].nunique() == 1).all()
    assert stages.prepare("02") == ""
    other = pd.read_parquet(stages.path("splits", subject="02"))
    both = splits.drop_duplicates("stimulus_id").merge(other.drop_duplicates("stimulus_id"), on="stimulus_id")
    assert (both["split_x"] == both["split_y"]).all()  # subjects are tested on the same images
