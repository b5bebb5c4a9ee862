"""Stage searchlight on a planted ball of voxels and a planted patch of cortex: tables, maps, section of the report."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from jobs import run_step

from brainalign.arrays import Arrays, Features, Layers, Responses
from brainalign.datasets import load_mesh
from brainalign.geometry import noise_precision, rdm, volume_neighbourhoods
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.report.geometry_sections import searchlight_sentence

BY = Provenance("test", {}, "")
N_STIMULI, N_RUNS, N_VERTICES = 10, 4, 642
OPTIONS = {"radius_mm": 6.0, "feature_distance": "euclidean"}
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


def run(folder: Path, responses: Responses, layers: dict[str, np.ndarray], options: dict, **inputs: object) -> int:
    """Save artifacts and run the stage; inputs are other artifacts by suffix."""
    stimuli = pd.DataFrame({"stimulus_id": [f"s{k}" for k in range(N_STIMULI)]})
    features = Layers({name: Features(X.astype(np.float32), stimuli, name) for name, X in layers.items()})
    paths = {name: path_of(folder, name) for name in ("responses", *inputs)}
    paths["features"] = artifact_path(folder, "d", "features", model="net")
    for name, content in {"responses": responses, "features": features, **inputs}.items():
        save(paths[name], content, BY, **({"dof": 150} if name == "noise" else {}))
    settings = {"searchlight": {"permutations": 199} | options}
    return run_step("searchlight", settings, inputs=paths, outputs={"searchlight": found_at(folder)})


def path_of(folder: Path, suffix: str) -> Path:
    return artifact_path(folder, "d", suffix, subject="1")


def found_at(folder: Path) -> Path:
    return artifact_path(folder, "d", "searchlight", subject="1", model="net")


def trials_of(n_runs: int) -> pd.DataFrame:
    names = [f"s{k}" for k in range(N_STIMULI)] * n_runs
    runs = np.repeat(np.arange(n_runs), N_STIMULI)
    table = pd.DataFrame({"trial_id": [f"t{k}" for k in range(len(names))], "stimulus_id": names})
    return table.assign(session="1", run=runs.astype(str), repeat=runs, onset_s=0.0)


@pytest.fixture(scope="module")
def blocks() -> tuple[Responses, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Features as patterns in the ball around voxel (3, 3, 1), a mask with a corner cut off, and residuals."""
    rng = np.random.default_rng(0)
    inside = np.ones((7, 6, 3), dtype=bool)
    inside[5:, 4:] = False
    voxels = np.argwhere(inside)
    targets = pd.DataFrame(voxels, columns=["i", "j", "k"])
    targets.insert(0, "target_id", [f"v{k}" for k in range(len(voxels))])
    targets = targets.assign(kind="voxel", hemi="", roi=[[] for _ in voxels])
    targets[["x_mm", "y_mm", "z_mm"]] = 3.0 * voxels
    planted = np.linalg.norm(voxels - [3, 3, 1], axis=1) <= 2
    true = np.zeros((N_STIMULI, len(voxels)))
    true[:, planted] = features = rng.normal(size=(N_STIMULI, planted.sum()))
    values = np.tile(true, (N_RUNS, 1)) + 0.7 * rng.normal(size=(N_RUNS * N_STIMULI, len(voxels)))
    residuals = rng.normal(size=(160, len(voxels)))
    layers = {"net": features, "other": rng.normal(size=(N_STIMULI, 6))}
    return Responses(values, trials_of(N_RUNS), targets, "z"), layers, inside, residuals


def test_blocks(blocks: tuple, tmp_path: Path) -> None:
    responses, layers, inside, residuals = blocks
    mask = nibabel.Nifti1Image(inside.astype(np.uint8), AFFINE)
    noise = Arrays(residuals=residuals)
    assert run(tmp_path, responses, layers, OPTIONS, mask=mask, noise=noise) == 0
    table, record = load(found_at(tmp_path), pd.DataFrame), load_sidecar(found_at(tmp_path))
    assert len(table) == 2 * inside.sum()
    net = table[table["layer"] == "net"].reset_index(drop=True)
    best = net.loc[net["score"].idxmax()]
    voxel = responses.targets.set_index("target_id").loc[best["target_id"], ["i", "j", "k"]].to_numpy(dtype=float)
    assert np.linalg.norm(voxel - [3, 3, 1]) <= 1
    assert best["p_anywhere"] <= 0.05
    assert (table["p_anywhere"] >= table["p_fwer"]).all()
    # What the table says of a centre is what the library says of its voxels.
    around = volume_neighbourhoods(np.argwhere(inside), AFFINE, 6.0)
    members = around.members[[40]].indices
    precision = noise_precision(residuals[:, members], 150)
    trials = responses.trials
    values = responses.values[:, members]
    mine = rdm(values, "crossnobis", trials["stimulus_id"].to_numpy(), trials["run"].to_numpy(), precision)
    model = rdm(layers["net"].astype(np.float32), "euclidean")
    assert net["score"][40] == pytest.approx(np.corrcoef(mine, model)[0, 1], abs=1e-6)
    assert net["n_channels"][40] == len(members)
    image = nibabel.load(found_at(tmp_path).with_name("sub-1_model-net_searchlight_statmap.nii.gz"))
    np.testing.assert_array_equal(np.isfinite(image.get_fdata()[..., 0]), inside)
    np.testing.assert_allclose(image.get_fdata()[..., 0][inside], net["score"], atol=1e-6)
    np.testing.assert_array_equal(image.affine, AFFINE)
    assert record["details"]["distance"] == "crossnobis"
    assert record["details"]["noise"] == "full"
    assert not list(found_at(tmp_path).parent.glob("*.partial*"))
    assert "centres exceed chance" in searchlight_sentence("net", table, record["details"], responses.targets)


def test_a_radius_below_the_voxel_size_is_an_error(
    blocks: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses, layers, inside, residuals = blocks
    mask = nibabel.Nifti1Image(inside.astype(np.uint8), AFFINE)
    assert run(tmp_path, responses, layers, {"radius_mm": 2.0}, mask=mask, noise=Arrays(residuals=residuals)) == 2
    assert "radius_mm is 2, but voxels are 3 mm wide" in capsys.readouterr().err


def test_images_on_the_surface(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(N_STIMULI, 6))
    tables, values = [], []
    for hemi in ("R", "L"):  # hemispheres and vertices in any order
        mesh = load_mesh(hemi, N_VERTICES)
        assert np.median(mesh.coordinates[:, 0]) * {"L": -1, "R": 1}[hemi] > 20  # mm; left is negative
        assert len(mesh.faces) == 2 * N_VERTICES - 4
        assert len(np.unique(np.sort(mesh.faces[:, [0, 1]], axis=1), axis=0)) <= 3 * N_VERTICES - 6
        length = np.linalg.norm(mesh.coordinates - mesh.coordinates[200], axis=1)
        vertices = rng.permutation(N_VERTICES)[: N_VERTICES - 20]
        own = rng.normal(size=(2 * N_STIMULI, N_VERTICES))
        if hemi == "L":
            near = length < 25
            own[:, near] += 2 * np.tile(features @ rng.normal(size=(6, near.sum())), (2, 1))
        tables.append(pd.DataFrame({"hemi": hemi, "vertex": vertices}))
        tables[-1][["x_mm", "y_mm", "z_mm"]] = mesh.coordinates[vertices]
        values.append(own[:, vertices])
    targets = pd.concat(tables, ignore_index=True)
    targets.insert(0, "target_id", [f"{row['hemi']}{row['vertex']}" for _, row in targets.iterrows()])
    targets = targets.assign(kind="vertex", roi=[[] for _ in range(len(targets))])
    trials = trials_of(2)
    splits = pd.DataFrame({"trial_id": trials["trial_id"], "split": "test"})
    responses = Responses(np.concatenate(values, axis=1), trials, targets, "z")
    assert run(tmp_path, responses, {"net": features}, {"radius_mm": 25.0}, splits=splits) == 0
    table = load(found_at(tmp_path), pd.DataFrame)
    best = table.loc[table["score"].idxmax()]
    place = targets.set_index("target_id").loc[best["target_id"]]
    assert place["hemi"] == "L"
    assert np.linalg.norm(place[["x_mm", "y_mm", "z_mm"]].astype(float) - load_mesh("L", 642).coordinates[200]) < 25
    assert best["p_fwer"] <= 0.05
    wall = {hemi: set(np.flatnonzero(~load_mesh(hemi, N_VERTICES).cortex)) for hemi in "LR"}
    assert wall["L"]
    centres = targets.set_index("target_id").loc[table["target_id"]]
    assert not any(vertex in wall[hemi] for hemi, vertex in zip(centres["hemi"], centres["vertex"], strict=True))
    for hemi in "LR":
        map_path = found_at(tmp_path).with_name(f"sub-1_model-net_searchlight_hemi-{hemi}_statmap.func.gii")
        image = nibabel.load(map_path)
        assert image.meta["AnatomicalStructurePrimary"] == {"L": "CortexLeft", "R": "CortexRight"}[hemi]
        shown = image.darrays[0].data
        mine = centres["hemi"].to_numpy() == hemi
        np.testing.assert_allclose(shown[centres["vertex"].to_numpy()[mine]], table["score"][mine], atol=1e-6)
        assert np.isfinite(shown).sum() == mine.sum()
