"""Stages encode and converge on a planted hierarchy: scores, twins of random weights, half-times, maps. Of several
subjects, and of sensors, tests/recovery/test_simulated_study.py asks the same of the library."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jobs import run_step
from made import responses_of, splits_of
from scipy.stats import spearmanr
from worlds.hierarchy import Hierarchy, hierarchy, smooth_maps

from brainalign.arrays import Arrays, Features, Layers
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.pipelines.encode import converge as stage
from brainalign.workflow import STEPS

CHECKPOINTS = (0, 2, 8, 32, 128)
N_TEST = 240
BY = Provenance("test", {}, "")


def places_of(separation: np.ndarray) -> np.ndarray:
    """Return points in a plane with these distances (n, 3), by classical scaling."""
    n = len(separation)
    centre = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-centre @ separation**2 @ centre / 2)
    return np.column_stack([vectors[:, -2:] * np.sqrt(values[-2:]) - [200, 0], np.zeros(n)])  # on the left


@dataclass
class Study:
    """A planted hierarchy as artifacts of a subject with fMRI, who has every second voxel."""

    folder: Path
    world: Hierarchy

    def __post_init__(self) -> None:
        self.ids = [f"image{k:03d}" for k in range(len(self.world.voxels))]
        area, voxels = self.world.area[::2], self.world.voxels[:, ::2].astype(np.float32)
        places = dict(zip(("x_mm", "y_mm", "z_mm"), places_of(self.world.separation_mm)[area].T, strict=True))
        responses = responses_of(voxels, self.ids, roi=[f"area{a:02d}" for a in area], targets=places)
        save(self.path("responses", subject="01"), responses, BY)
        save(self.path("splits", subject="01"), splits_of(responses, self.ids[:N_TEST]), BY)
        ceiling = pd.DataFrame({"ceiling": np.full(responses.values.shape[1], 0.3), "repeats_q": 0.01})
        save(self.path("ceiling", subject="01"), ceiling, BY)

    def path(self, suffix: str, **labels: str) -> Path:
        return artifact_path(self.folder, "planted", suffix, **labels)

    def encode(self, model: str, layers: list[np.ndarray]) -> None:
        stimuli = pd.DataFrame({"stimulus_id": self.ids})
        made = {f"layer{k}": Features(X.astype(np.float32), stimuli, f"layer{k}") for k, X in enumerate(layers)}
        save(self.path("features", model=model), Layers(made), BY, pooling="mean")
        settings = {"method": {"encoder": "ridge", "cv": 3, "device": "cpu"}, "ceiling_threshold": 0.2}
        settings |= {"encode": {"permutations": 100, "draws": 100}, "confidence": 0.95}
        inputs = {suffix: self.path(suffix, subject="01") for suffix in ("responses", "splits", "ceiling")}
        inputs["features"] = self.path("features", model=model)
        outputs = {suffix: self.path(suffix, **fit(model)) for suffix in STEPS["encode_held_out"].writes}
        assert run_step("encode", settings, inputs=inputs, outputs=outputs) == 0

    def converge(self, models: list[str], maps: Path, **options: object) -> int:
        settings = {"converge": {"origin": "area00", "permutations": 1000, "spins": 200} | options, "confidence": 0.95}
        inputs = {"halves": [self.path("halves", **fit(model)) for model in models], "published": maps}
        outputs = {suffix: self.path(suffix) for suffix in STEPS["converge"].writes}
        return run_step("converge", settings, inputs=inputs, outputs=outputs)

    def table(self, suffix: str) -> pd.DataFrame:
        return load(self.path(suffix), pd.DataFrame)


def fit(model: str) -> dict[str, str]:
    return {"subject": "01", "model": model, "method": "ridge"}


def test_a_hierarchy_half_times_and_maps_are_found_in_training(tmp_path: Path) -> None:
    """Features go from noise to the true layer, deeper ones later; a map of that order is found, unrelated ones not."""
    world, rng = hierarchy(seed=0), np.random.default_rng(7)
    # Layers have nothing in common: no area is predicted before its own layer is.
    layers = [rng.normal(size=layer.shape) for layer in world.layers]
    source = np.round(world.depth).astype(int)[world.area]
    signal = np.column_stack([layers[k] @ rng.normal(size=layers[k].shape[1]) for k in source])
    voxels = 0.7 * signal / signal.std(axis=0) + rng.normal(size=signal.shape)
    world, rng = replace(world, layers=layers, voxels=voxels), np.random.default_rng(1)
    study = Study(tmp_path, world)
    study.encode("net", world.layers)
    study.encode("untrained", world.random_layers)
    half = 2.0 * 2.0 ** np.arange(len(world.layers))
    for step in CHECKPOINTS[:-1]:
        share = step / (step + half)
        mixed = [w * X + (1 - w) * rng.normal(size=X.shape) for w, X in zip(share, world.layers, strict=True)]
        study.encode(f"step{step}", mixed)
    checkpoints = {step: f"step{step}" for step in CHECKPOINTS[:-1]} | {CHECKPOINTS[-1]: "net"}
    later = half[np.round(world.depth).astype(int)]
    unrelated, places = smooth_maps(world.separation_mm, 20, 3, seed=5), places_of(world.separation_mm)
    sphere = np.column_stack([np.full(18, -100.0), places[:, 0] + 200, places[:, 1]])
    table = pd.DataFrame({"area": [f"area{k:02d}" for k in range(18)]})
    table[["sphere_x", "sphere_y", "sphere_z"]] = sphere
    table["later"] = later * (1 + 0.1 * rng.normal(size=18))
    for k, values in enumerate(unrelated):
        table[f"unrelated{k}"] = values
    table.to_csv(tmp_path / "maps.tsv", sep="\t", index=False)
    models = ["net", "untrained", *(f"step{step}" for step in CHECKPOINTS[:-1])]
    options = {"networks": {"net": {"random": "untrained", "method": "ridge"}}, "checkpoints": {"net": checkpoints}}
    assert study.converge(models, tmp_path / "maps.tsv", **options) == 0
    scores = study.table("convergence").set_index(["score", "network"])
    assert scores.loc[("spatial", "trained"), "value"] >= 0.9
    assert scores.loc[("spatial", "trained"), ["p_layers", "p_areas"]].max() < 0.01
    assert scores.loc[("spatial", "random"), "reason"]
    assert scores.loc[("encoding", "trained"), "value"] > scores.loc[("encoding", "random"), "value"] + 0.2
    path = study.path("halves", **fit("net"))
    details, arrays = load_sidecar(path)["details"], load(path, Arrays)
    assert (details["n_stimuli"], details["measured"]) == ([N_TEST // 2, N_TEST // 2], "fMRI")
    assert np.abs(arrays["choice_r"] - arrays["r"]).min() > 0  # other images, other numbers
    times = study.table("halftimes")
    of_area = times[(times["score"] == "encoding") & (times["area"] != "")].set_index("area")
    assert spearmanr(of_area["half_time_from_start"], later).statistic >= 0.9
    maps = study.table("maps")
    planted = maps[(maps["map"] == "later") & maps["quantity"].str.startswith("half-time")]
    assert (planted["q"] <= 0.05).tolist() == [True, True]
    assert (maps.loc[maps["map"] != "later", "q"] > 0.05).all()


def test_what_is_held_against_maps() -> None:
    areas = pd.DataFrame({
        "subject": ["02", "02", "01", "01", "01"], "network": ["trained"] * 4 + ["random"],
        "decided": [True, False, True, True, True], "area": ["V1", "V2", "V1", "V2", "V1"], "number": [3, 1, 0, 2, 4],
    })  # fmt: skip
    half = pd.DataFrame({
        "subject": ["01", "01", "03", "01"], "score": ["encoding"] * 3 + ["spatial"], "area": ["V1", "", "V2", "V1"],
        "half_time": [5.0, 6.0, 7.0, 8.0], "half_time_from_start": [1.0, 2.0, 3.0, 4.0],
    })  # fmt: skip
    of_start, expected = "half-time from the first checkpoint", {"02": {"best layer": {"V1": 3}}}
    expected |= {"01": {"best layer": {"V1": 0, "V2": 2}, "half-time": {"V1": 5.0}, of_start: {"V1": 1.0}}}
    expected |= {"03": {"half-time": {"V2": 7.0}, of_start: {"V2": 3.0}}}
    assert (stage._values(areas, half), stage._values(areas[:0], half[:0])) == (expected, {})
