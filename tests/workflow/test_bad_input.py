"""Studies of images, sound and not: stages stop with a line that says what and the remedy; what was made stays.

What readers of files refuse is asked of them, in tests/datasets.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import config_of, run_all

from brainalign.arrays import Responses
from brainalign.config import Config
from brainalign.datasets import fit_whitener, read_subject
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.statistics import noise_ceiling_from_share, signal_share
from brainalign.study import load_descriptor

NETWORK = {"extractor": "efficientnet", "layers": ["block2"], "image_size": 32, "crop": False}


@pytest.fixture
def config(scenes) -> Config:
    return config_of(scenes.write(), models={"net": NETWORK})


def path(config: Config, suffix: str, **labels: str) -> Path:
    return artifact_path(config.results, "scenes", suffix, **labels)


def test_a_sound_study_is_prepared(scenes, config: Config) -> None:
    run_all(config, "prepare")
    kinds, tested = scenes.scenes.set_index("stimulus_id")["category"], scenes.scenes["stimulus_id"][: scenes.n_test]
    for subject in ("01", "02"):
        table, splits = (load(path(config, name, subject=subject), pd.DataFrame) for name in ("ceiling", "splits"))
        assert set(splits.loc[splits["split"] == "test", "stimulus_id"]) == set(tested)
        assert (splits.groupby("stimulus_id")["split"].nunique() == 1).all()
        responses = load(path(config, "responses", subject=subject), Responses)
        shown = responses.trials["stimulus_id"]
        assert responses.trials["category"].tolist() == kinds[shown].tolist()
        share = signal_share(responses.values, shown.to_numpy()).ravel()
        np.testing.assert_allclose(table["signal_share"], share, rtol=1e-4, atol=1e-6)
        repeats = shown[shown.isin(tested)].value_counts().to_numpy()
        np.testing.assert_allclose(table["ceiling"], noise_ceiling_from_share(share, repeats), rtol=1e-4, atol=1e-6)
        assert table["target_id"].unique().tolist() == responses.targets["target_id"].tolist()
        details = load_sidecar(path(config, "splits", subject=subject))["details"]
        card = [(row["split"], row["n_stimuli"], row["n_trials"]) for row in details["card"]]
        assert card == [("train", 14, 28), ("test", 10, 20)]
        (warning,) = details["warnings"]
        assert warning.startswith("splits.shared: fold 0: 4 of 4 runs have trials in more than one split (ses-s0_run-1")
        if subject == "01":
            ceiling, rois = table["ceiling"].to_numpy(), responses.targets["roi"].map(lambda names: "seen" in names)
            assert np.median(ceiling[rois]) > 0.6 > 0.3 > np.median(ceiling[~rois])
            continue
        raw = read_subject(load_descriptor(scenes.folder / "scenes.yaml"), "02")
        train = ~shown.isin(tested).to_numpy()
        noise = {"noise": "residuals", "stimulus_ids": shown[train].tolist()}
        whitener = fit_whitener(raw.values[train], raw.times, raw.targets, **noise)
        np.testing.assert_allclose(responses.values, whitener.transform(raw.values), rtol=1e-5, atol=1e-6)
        assert responses.units == "noise standard deviations"
        about = load_sidecar(path(config, "responses", subject="02"))["details"]
        assert (about["noise"], about["rank"], about["whitened"]) == ("residuals", whitener.rank, "on training epochs")
        assert about["shrinkage"]["eeg"] == pytest.approx(whitener.shrinkage["eeg"])
        assert (about["n_trials"], about["n_targets"]) == (48, 12)


def test_what_was_computed_stays_whatever_stops_a_stage(scenes, config: Config, capsys) -> None:
    def stopped(step: str) -> str:
        capsys.readouterr()
        with pytest.raises(AssertionError, match=step):
            run_all(config, step, subjects=["01"])
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    run_all(config, "prepare", "extract", subjects=["01"])
    images = sorted((scenes.folder / "stimuli" / "images").glob("*.png"))
    third, fourth = (image.read_bytes() for image in images[3:5])
    images[3].unlink()
    images[4].write_bytes(fourth[:100])
    said = stopped("prepare")
    assert f"1 of 24 images are missing: {images[3].stem}" in said
    assert "correct the paths or copy the files" in said
    assert f"1 of 24 images are unreadable: {images[4].stem}" in said
    assert f"1 of 24 stimuli have no image file ({images[3].stem}" in stopped("extract")
    images[3].write_bytes(third)
    assert images[4].name in stopped("extract")
    images[4].write_bytes(fourth)
    load(path(config, "responses", subject="01"), Responses)
    run_all(config, "extract")
    assert load_sidecar(path(config, "features", model="net"))["details"]["n_rows_reused"] == 24


def test_a_share_is_drawn_by_stimulus_and_from_the_seed(scenes) -> None:
    config = config_of(scenes.write(splits={"drawn": {"share": 0.25}}), models={"net": NETWORK})
    run_all(config, "prepare")
    splits, other = (pd.read_parquet(path(config, "splits", subject=subject)) for subject in ("01", "02"))
    assert splits.loc[splits["split"] == "test", "stimulus_id"].nunique() == 6
    assert (splits.groupby("stimulus_id")["split"].nunique() == 1).all()
    both = splits.drop_duplicates("stimulus_id").merge(other.drop_duplicates("stimulus_id"), on="stimulus_id")
    assert (both["split_x"] == both["split_y"]).all()  # subjects are tested on the same images
