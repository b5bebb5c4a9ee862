"""The compare stages with every distance they offer, on artifacts written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import run_step

from brainalign.arrays import Arrays, Features, Layers, Responses
from brainalign.geometry import noise_covariance, rdm
from brainalign.io import Provenance, artifact_path, load, save

N_STIMULI, N_RUNS, N_TARGETS = 7, 4, 9
NAMES = [f"thing{k}" for k in range(N_STIMULI)]


def files(folder: Path, *suffixes: str) -> dict[str, Path]:
    return {suffix: artifact_path(folder, "d", suffix, subject="01") for suffix in suffixes}


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Responses, np.ndarray]:
    """Write responses to every stimulus in every run, splits that test all of them, noise, and the true features."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(N_STIMULI, N_TARGETS))
    rows = np.concatenate([np.arange(N_STIMULI)] + [rng.permutation(N_STIMULI) for _ in range(N_RUNS - 1)])
    runs = np.repeat(np.arange(N_RUNS), N_STIMULI).astype(str)
    values = (truth[rows] + 0.3 * rng.normal(size=(len(rows), N_TARGETS))).astype(np.float32)
    trials = pd.DataFrame({"trial_id": [f"t{k}" for k in range(len(rows))], "stimulus_id": np.array(NAMES)[rows]})
    trials = trials.assign(session="1", run=runs, repeat=runs.astype(int) + 1, onset_s=0.0)
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(N_TARGETS)], "kind": "voxel", "hemi": "L"})
    targets["roi"] = [["V1"]] * N_TARGETS
    responses, provenance = Responses(values, trials, targets, "z"), Provenance("prepare_blocks", {}, "")
    where = files(tmp_path, "responses", "splits", "noise")
    save(where["responses"], responses, provenance)
    save(where["splits"], pd.DataFrame({"trial_id": trials["trial_id"], "split": "test"}), provenance)
    residuals = rng.normal(size=(50, N_TARGETS)).astype(np.float32)
    save(where["noise"], Arrays(residuals=residuals), provenance, dof=40)
    stimuli = pd.DataFrame({"stimulus_id": NAMES})
    layer = Features(truth.astype(np.float32), stimuli, "true")
    save(artifact_path(tmp_path, "d", "features", model="net"), Layers(true=layer), provenance)
    return tmp_path, responses, residuals


def run(step: str, folder: Path, noise: str, settings: dict[str, object]) -> int:
    inputs = files(folder, "responses", noise) | {"features": artifact_path(folder, "d", "features", model="net")}
    outputs = files(folder, "rdm", "comparison") | {"rsatoolbox": folder / "rdms.hdf5"}
    return run_step(step, {step: settings, "confidence": 0.95}, inputs=inputs, outputs=outputs)


def test_blocks(study: tuple[Path, Responses, np.ndarray]) -> None:
    folder, responses, residuals = study
    distances = ["crossnobis", "correlation", "euclidean", "mahalanobis"]
    assert run("compare", folder, "noise", {"distances": distances, "permutations": 50}) == 0
    where = files(folder, "rdm", "comparison")
    found, noise = load(where["rdm"], Arrays), noise_covariance(residuals, 40)
    labels = responses.trials["stimulus_id"].to_numpy(), responses.trials["run"].to_numpy()
    for distance in distances:
        precision = noise if distance in ("crossnobis", "mahalanobis") else None
        np.testing.assert_allclose(found[distance], rdm(responses.values, distance, *labels, precision), rtol=1e-5)
    table = load(where["comparison"], pd.DataFrame)
    assert set(table["distance"]) == set(distances)
    assert (table["score"] > 0.5).all()


@pytest.mark.parametrize("distance", ["correlation", "crossnobis", "euclidean"])
def test_images(study: tuple[Path, Responses, np.ndarray], distance: str) -> None:
    folder, responses, _ = study
    settings = {"distance": distance, "permutations": 50, "draws": 100}
    assert run("compare_images", folder, "splits", settings) == 0
    where = files(folder, "rdm", "comparison")
    labels = responses.trials["stimulus_id"].to_numpy(), responses.trials["run"].to_numpy()
    found = load(where["rdm"], Arrays)["responses"]
    np.testing.assert_allclose(found[0], rdm(responses.values, distance, *labels), rtol=1e-4, atol=1e-6)
    [row] = load(where["comparison"], pd.DataFrame).to_dict("records")
    assert row["ceiling_low"] > 0.5
    assert row["score"] > 0.5
    assert np.isfinite(row["se"])


def test_crossnobis_needs_repeats(
    study: tuple[Path, Responses, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, responses, _ = study
    once = responses.select(trials=(responses.trials["run"] == "0").to_numpy())
    save(files(folder, "responses")["responses"], once, Provenance("prepare_blocks", {}, ""))
    settings = {"distance": "crossnobis", "permutations": 50, "draws": 100}
    assert run("compare_images", folder, "splits", settings) == 2
    assert "some stimuli that are compared were shown once" in capsys.readouterr().err
