"""The compare stages with every distance they offer; searchlights on a planted ball of voxels and a patch of cortex."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from jobs import run_step
from made import responses_of, splits_of
from rsatoolbox.rdm import load_rdm
from scipy.stats import spearmanr, t
from seeded.recorded import Record

from brainalign import geometry
from brainalign.arrays import Arrays, Features, Layers, Responses
from brainalign.datasets.formats import load_mesh
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.report.geometry_sections import searchlight_sentence

N_STIMULI, N_RUNS, N_TARGETS = 7, 6, 9
RECORD = Record(Path(__file__).parent / "recorded_stages.json")
NAMES = [f"thing{k}" for k in range(N_STIMULI)]


def files(folder: Path, *suffixes: str) -> dict[str, Path]:
    return {suffix: artifact_path(folder, "d", suffix, subject="01") for suffix in suffixes}


LAYERS = ("true", "other", "single", "equal")


@pytest.fixture
def study(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, Responses, np.ndarray, dict[str, np.ndarray]]:
    """Write responses to every stimulus in every run, splits that test all of them, noise, and features, one true."""
    truth = rng.normal(size=(N_STIMULI, N_TARGETS))
    rows = np.concatenate([np.arange(N_STIMULI)] + [rng.permutation(N_STIMULI) for _ in range(N_RUNS - 1)])
    runs = np.repeat(np.arange(N_RUNS), N_STIMULI).astype(str)
    values = (truth[rows] + 0.3 * rng.normal(size=(len(rows), N_TARGETS))).astype(np.float32)
    responses = responses_of(values, np.array(NAMES)[rows], roi=["V1"] * N_TARGETS, run=runs)
    where, provenance = files(tmp_path, "responses", "splits", "noise"), Provenance("prepare_blocks", {}, "")
    save(where["responses"], responses, provenance)
    save(where["splits"], splits_of(responses, NAMES), provenance)
    residuals = rng.normal(size=(50, N_TARGETS)).astype(np.float32)
    save(where["noise"], Arrays(residuals=residuals), provenance, dof=40)
    stimuli = pd.DataFrame({"stimulus_id": NAMES})
    features = (truth, rng.normal(size=(N_STIMULI, 4)), truth[:, :1], np.eye(N_STIMULI))
    made = {name: Features(X.astype(np.float32), stimuli, name) for name, X in zip(LAYERS, features, strict=True)}
    save(artifact_path(tmp_path, "d", "features", model="net"), Layers(made), provenance)
    models = {name: geometry.rdm(layer.values, "correlation") for name, layer in made.items()}
    return tmp_path, responses, residuals, models


def run(folder: Path, settings: dict[str, object], *, in_turn: bool = False) -> int:
    if in_turn:
        one = load(files(folder, "splits")["splits"], pd.DataFrame)
        save(files(folder, "splits")["splits"], pd.concat([one, one]), Provenance("prepare", {}, ""))
    inputs = files(folder, "responses", "splits", "noise")
    inputs |= {"features": artifact_path(folder, "d", "features", model="net")}
    outputs = files(folder, "rdm", "comparison", "regionfits") | {"rsatoolbox": folder / "rdms.hdf5"}
    return run_step("compare", {"compare": settings, "confidence": 0.95}, inputs=inputs, outputs=outputs, seed=3)


def test_blocks(study: tuple[Path, Responses, np.ndarray, dict[str, np.ndarray]]) -> None:
    """RDMs are those of the library; of every layer, the fit and its test are on record, or why there is none."""
    folder, responses, residuals, models = study
    distances = ["crossnobis", "correlation", "euclidean", "mahalanobis"]
    assert run(folder, {"distances": distances, "permutations": 50}, in_turn=True) == 0
    where = files(folder, "rdm", "comparison")
    found, noise = load(where["rdm"], Arrays), geometry.noise_covariance(residuals, 40)
    labels = responses.trials["stimulus_id"].to_numpy(), responses.trials["run"].to_numpy()
    for distance in distances:
        precision = noise if distance in ("crossnobis", "mahalanobis") else None
        expected = geometry.rdm(responses.values, distance, *labels, precision)
        np.testing.assert_allclose(found[distance], expected, rtol=1e-5)
    table = load(where["comparison"], pd.DataFrame)
    assert (table.loc[table["layer"] == "true", "score"] > 0.5).all()
    RECORD.check("compare", {"table": table, **found})
    order = np.argsort(labels[0], kind="stable")
    left = (order[labels[1][order] != str(run)] for run in range(N_RUNS))
    without = [geometry.rdm(responses.values[rows], "correlation", labels[0][rows]) for rows in left]
    fits = np.array([spearmanr(one, models["true"]).statistic for one in without])
    reach = t.ppf(0.975, N_RUNS - 1) * np.sqrt((N_RUNS - 1) / N_RUNS * np.square(fits - fits.mean()).sum())
    row = table[table["layer"] == "true"].set_index(["distance", "comparison"]).loc["correlation", "spearman"]
    assert (row["low"], row["high"]) == pytest.approx((row["score"] - reach, min(row["score"] + reach, 1)), abs=1e-5)
    theirs = geometry.from_rsatoolbox(load_rdm(str(folder / "rdms.hdf5"), file_type="hdf5"))
    assert theirs.of_rdms["name"].tolist() == [*distances, *(f"net {layer}" for layer in LAYERS)]
    assert theirs.subjects.tolist() == theirs.of_rdms["session"].tolist() == [1] * 8
    assert theirs.conditions.tolist() == NAMES


def test_patterns_shown_once(study: tuple[Path, Responses, np.ndarray, dict[str, np.ndarray]]) -> None:
    """Without a list of distances no repeats are multiplied, and the one RDM there is is compared."""
    folder, responses, _, models = study
    one = responses.select(trials=np.arange(N_STIMULI))
    save(files(folder, "responses")["responses"], one, BY)
    save(files(folder, "splits")["splits"], splits_of(one, NAMES), BY)
    assert run(folder, {"permutations": 50}, in_turn=True) == 0
    table = load(files(folder, "comparison")["comparison"], pd.DataFrame).set_index(["layer", "comparison"])
    assert (set(table["distance"]), table["ceiling_low"].notna().any()) == ({"correlation"}, False)
    mine = geometry.rdm(one.values, "correlation")
    assert table["score"]["true", "spearman"] == pytest.approx(spearmanr(mine, models["true"]).statistic, abs=1e-6)
    assert table["p"]["true", "spearman"] <= 0.05


@pytest.mark.parametrize("distance", ["correlation", "crossnobis", "euclidean"])
def test_images(study: tuple[Path, Responses, np.ndarray, dict[str, np.ndarray]], distance: str) -> None:
    folder, responses, _, models = study
    assert run(folder, {"distances": [distance], "permutations": 50, "draws": 100}) == 0
    where, trials = files(folder, "rdm", "comparison"), responses.trials
    found = load(where["rdm"], Arrays)
    average = geometry.rdm(responses.values, distance, trials["stimulus_id"].to_numpy(), trials["run"].to_numpy())
    np.testing.assert_allclose(found["responses"][0], average, rtol=1e-4, atol=1e-6)
    table = load(where["comparison"], pd.DataFrame)
    assert min(table["ceiling_low"].min(), table["score"][0]) > 0.5
    assert table["score"][0] == pytest.approx(spearmanr(average, models["true"]).statistic, abs=1e-6)
    RECORD.check(f"compare images {distance}", {"table": table, **found})


@pytest.mark.parametrize(("kept", "n"), [(42, 7), (21, 3)])
def test_images_of_training_count_where_they_were_shown_as_often(study, kept: int, n: int) -> None:
    folder, responses, *_ = study
    some = responses.select(trials=responses.trials["stimulus_id"].isin(NAMES[:3]).to_numpy() | (np.arange(42) < kept))
    save(files(folder, "responses")["responses"], some, BY)
    save(files(folder, "splits")["splits"], splits_of(some, NAMES[:3]), BY)
    assert run(folder, {"permutations": 50, "draws": 100}) == 0
    assert len(load_sidecar(files(folder, "rdm")["rdm"])["details"]["conditions"]) == n


def test_images_compared_topologically(study: tuple[Path, Responses, np.ndarray, dict[str, np.ndarray]]) -> None:
    folder, responses, _, models = study
    responses = responses.select(trials=np.arange(len(responses.trials) - 2))  # two images have a repeat less
    save(files(folder, "responses")["responses"], responses, BY)
    save(files(folder, "splits")["splits"], splits_of(responses, NAMES), BY)
    settings = {"comparisons": ["geotopological"], "thresholds": [0.3, 0.6], "permutations": 50, "draws": 100}
    assert run(folder, settings) == 0
    path = files(folder, "comparison")["comparison"]
    table = load(path, pd.DataFrame).set_index("layer").loc[["true", "other"]]
    assert load_sidecar(path)["details"]["thresholds"] == [0.3, 0.6]
    average = geometry.rdm(responses.values, "correlation", responses.trials["stimulus_id"].to_numpy())
    forms = [geometry.geotopological(rdms, 0.3, 0.6) for rdms in (average, np.stack([models["true"], models["other"]]))]
    np.testing.assert_allclose(table["score"], geometry.compare(*forms, "pearson")[0], atol=1e-6)
    RECORD.check("compare images topologically", table)


BY = Provenance("test", {}, "")
N_SHOWN, N_BLOCKS, N_VERTICES = 10, 4, 642
OPTIONS = {"radius_mm": 6.0, "feature_distance": "euclidean"}
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


def search(folder: Path, responses: Responses, layers: dict[str, np.ndarray], options: dict, **inputs: object) -> int:
    stimuli = pd.DataFrame({"stimulus_id": [f"s{k}" for k in range(N_SHOWN)]})
    features = Layers({name: Features(X.astype(np.float32), stimuli, name) for name, X in layers.items()})
    paths = {name: artifact_path(folder, "d", name, subject="1") for name in ("responses", *inputs)}
    paths["features"] = artifact_path(folder, "d", "features", model="net")
    for name, content in {"responses": responses, "features": features, **inputs}.items():
        save(paths[name], content, BY, **({"dof": 150} if name == "noise" else {}))
    settings = {"searchlight": {"permutations": 199} | options}
    return run_step("searchlight", settings, inputs=paths, outputs={"searchlight": found_at(folder)})


def found_at(folder: Path) -> Path:
    return artifact_path(folder, "d", "searchlight", subject="1", model="net")


def in_runs(values: np.ndarray, n_runs: int, targets: pd.DataFrame) -> Responses:
    runs = np.repeat(np.arange(n_runs), N_SHOWN).astype(str)
    return responses_of(values, [f"s{k}" for k in range(N_SHOWN)] * n_runs, targets=dict(targets), run=runs)


def test_a_planted_ball(tmp_path: Path) -> None:
    """Features as patterns in the ball around voxel (3, 3, 1), a mask with a corner cut off, and residuals."""
    rng, inside = np.random.default_rng(0), np.ones((7, 6, 3), dtype=bool)
    inside[5:, 4:] = False
    voxels = np.argwhere(inside)
    targets = pd.DataFrame(voxels, columns=["i", "j", "k"])
    targets[["x_mm", "y_mm", "z_mm"]] = 3.0 * voxels
    planted, true = np.linalg.norm(voxels - [3, 3, 1], axis=1) <= 2, np.zeros((N_SHOWN, len(voxels)))
    true[:, planted] = features = rng.normal(size=(N_SHOWN, planted.sum()))
    values = np.tile(true, (N_BLOCKS, 1)) + 0.7 * rng.normal(size=(N_BLOCKS * N_SHOWN, len(voxels)))
    residuals = rng.normal(size=(160, len(voxels)))
    layers = {"net": features, "other": rng.normal(size=(N_SHOWN, 6))}
    responses = in_runs(values, N_BLOCKS, targets)
    mask = nibabel.Nifti1Image(inside.astype(np.uint8), AFFINE)
    assert search(tmp_path, responses, layers, OPTIONS, mask=mask, noise=Arrays(residuals=residuals)) == 0
    table, record = load(found_at(tmp_path), pd.DataFrame), load_sidecar(found_at(tmp_path))
    assert len(table) == 2 * inside.sum()
    net = table[table["layer"] == "net"].reset_index(drop=True)
    best = net.loc[net["score"].idxmax()]
    voxel = responses.targets.set_index("target_id").loc[best["target_id"], ["i", "j", "k"]].to_numpy(dtype=float)
    assert np.linalg.norm(voxel - [3, 3, 1]) <= 1
    assert best["p_anywhere"] <= 0.05
    # What the table says of a centre is what the library says of its voxels.
    members = geometry.volume_neighbourhoods(np.argwhere(inside), AFFINE, 6.0).members[[40]].indices
    precision = geometry.noise_precision(residuals[:, members], 150)
    trials, values = responses.trials, responses.values[:, members]
    mine = geometry.rdm(values, "crossnobis", trials["stimulus_id"].to_numpy(), trials["run"].to_numpy(), precision)
    model = geometry.rdm(layers["net"].astype(np.float32), "euclidean")
    assert net["score"][40] == pytest.approx(np.corrcoef(mine, model)[0, 1], abs=1e-6)
    image = nibabel.load(found_at(tmp_path).with_name("sub-1_model-net_searchlight_statmap.nii.gz"))
    np.testing.assert_array_equal(np.isfinite(image.get_fdata()[..., 0]), inside)
    np.testing.assert_allclose(image.get_fdata()[..., 0][inside], net["score"], atol=1e-6)
    assert "centres exceed chance" in searchlight_sentence("net", table, record["details"], responses.targets)


def test_images_on_the_surface(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(N_SHOWN, 6))
    tables, values = [], []
    for hemi in ("R", "L"):  # hemispheres and vertices in any order
        mesh = load_mesh(hemi, N_VERTICES)
        assert np.median(mesh.coordinates[:, 0]) * {"L": -1, "R": 1}[hemi] > 20  # mm; left is negative
        length = np.linalg.norm(mesh.coordinates - mesh.coordinates[200], axis=1)
        vertices = rng.permutation(N_VERTICES)[: N_VERTICES - 20]
        own = rng.normal(size=(2 * N_SHOWN, N_VERTICES))
        if hemi == "L":
            near = length < 25
            own[:, near] += 2 * np.tile(features @ rng.normal(size=(6, near.sum())), (2, 1))
        tables.append(pd.DataFrame({"hemi": hemi, "vertex": vertices}))
        tables[-1][["x_mm", "y_mm", "z_mm"]] = mesh.coordinates[vertices]
        values.append(own[:, vertices])
    targets = pd.concat(tables, ignore_index=True)
    targets["target_id"] = targets["hemi"] + targets["vertex"].astype(str)
    responses = in_runs(np.concatenate(values, axis=1), 2, targets.assign(kind="vertex"))
    splits = splits_of(responses, responses.trials["stimulus_id"])
    assert search(tmp_path, responses, {"net": features}, {"radius_mm": 25.0}, splits=splits) == 0
    table = load(found_at(tmp_path), pd.DataFrame)
    place = targets.set_index("target_id").loc[table.loc[table["score"].idxmax()]["target_id"]]
    assert place["hemi"] == "L"
    assert np.linalg.norm(place[["x_mm", "y_mm", "z_mm"]].astype(float) - load_mesh("L", 642).coordinates[200]) < 25
    wall = {hemi: set(np.flatnonzero(~load_mesh(hemi, N_VERTICES).cortex)) for hemi in "LR"}
    centres = targets.set_index("target_id").loc[table["target_id"]]
    assert not any(vertex in wall[hemi] for hemi, vertex in zip(centres["hemi"], centres["vertex"], strict=True))
    for hemi in "LR":
        image = nibabel.load(found_at(tmp_path).with_name(f"sub-1_model-net_searchlight_hemi-{hemi}_statmap.func.gii"))
        assert image.meta["AnatomicalStructurePrimary"] == {"L": "CortexLeft", "R": "CortexRight"}[hemi]
        shown, mine = image.darrays[0].data, centres["hemi"].to_numpy() == hemi
        np.testing.assert_allclose(shown[centres["vertex"].to_numpy()[mine]], table["score"][mine], atol=1e-6)
