"""Stages encode_images and converge on a planted hierarchy: scores, twins of random weights, half-times, maps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Features, Layers, Responses
from brainalign.artifacts import artifact_path, load, save
from brainalign.pipelines import converge, encode_images
from brainalign.provenance import Provenance
from brainalign.settings import EncodeImagesSettings, RidgeMethod
from brainalign.simulation import Hierarchy, hierarchy

ENCODED = ("scores", "null", "profile", "preference", "clusters", "bands", "partition", "baselines", "fields", "halves")
CONVERGED = ("convergence", "areas", "latencies", "curves", "halftimes")
STEPS = (0, 2, 8, 32, 128)
N_TEST = 240
BY = Provenance("test", {}, "")


def places_of(separation: np.ndarray) -> np.ndarray:
    """Return points in a plane with these distances (n, 3), by classical scaling."""
    n = len(separation)
    centre = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-centre @ separation**2 @ centre / 2)
    plane = vectors[:, -2:] * np.sqrt(values[-2:])
    return np.column_stack([plane - [200, 0], np.zeros(n)])  # on the left


@dataclass
class Study:
    """A planted hierarchy as artifacts: fMRI subjects 01 and 02 (half of the voxels each), sensors 03."""

    folder: Path
    world: Hierarchy

    def __post_init__(self) -> None:
        n = len(self.world.voxels)
        self.ids = [f"image{k:03d}" for k in range(n)]
        trials = pd.DataFrame({"trial_id": self.ids, "stimulus_id": self.ids, "session": "1", "run": "1"})
        trials = trials.assign(repeat=0, onset_s=np.arange(n, dtype=float))
        split = np.where(np.arange(n) < N_TEST, "test", "train")
        splits = pd.DataFrame({"trial_id": self.ids, "stimulus_id": self.ids, "group": self.ids, "split": split})
        self.splits = splits.assign(name="shared", fold=0, seed=0)
        centre = places_of(self.world.separation_mm)
        for k, subject in enumerate(("01", "02")):
            mine = np.arange(k, len(self.world.area), 2)
            area = self.world.area[mine]
            targets = pd.DataFrame({"target_id": [f"v{v}" for v in mine], "kind": "voxel", "hemi": "L"})
            targets["roi"] = [[f"area{a:02d}"] for a in area]
            for axis, name in enumerate(("x_mm", "y_mm", "z_mm")):
                targets[name] = centre[area, axis]
            self._write(subject, Responses(self.world.voxels[:, mine].astype(np.float32), trials, targets, "z"))
        sensors = self.world.sensors[:, ::3].astype(np.float32)
        targets = pd.DataFrame({"target_id": [f"s{k}" for k in range(sensors.shape[1])], "kind": "sensor", "hemi": ""})
        targets = targets.assign(roi=[[]] * len(targets), sensor_type="eeg", x_mm=np.nan, y_mm=np.nan, z_mm=np.nan)
        self._write("03", Responses(sensors, trials, targets, "V", self.world.times_s))

    def path(self, suffix: str, **labels: str) -> Path:
        return artifact_path(self.folder, "planted", suffix, **labels)

    def _write(self, subject: str, responses: Responses) -> None:
        save(self.path("responses", subject=subject), responses, BY)
        save(self.path("splits", subject=subject), self.splits, BY)
        ceiling = pd.DataFrame({"ceiling": np.full(responses.values[0].size, 0.3)})
        save(self.path("ceiling", subject=subject), ceiling, BY)

    def encode(self, model: str, layers: list[np.ndarray], *subjects: str) -> None:
        stimuli = pd.DataFrame({"stimulus_id": self.ids})
        features = Layers(
            {f"layer{k}": Features(X.astype(np.float32), stimuli, f"layer{k}") for k, X in enumerate(layers)}
        )
        save(self.path("features", model=model), features, BY, pooling="mean")
        settings = {
            "method": RidgeMethod(encoder="ridge", cv=3, device="cpu").model_dump(mode="json"),
            "encode": EncodeImagesSettings(permutations=200, draws=200).model_dump(mode="json"),
            "confidence": 0.95,
        }
        settings["method"] = {k: v for k, v in settings["method"].items() if k not in ("models", "subjects")}
        for subject in subjects:
            labels = {"subject": subject, "model": model, "method": "ridge"}
            arguments = ["--settings", json.dumps(settings), "--features", str(self.path("features", model=model))]
            for suffix in ("responses", "splits", "ceiling"):
                arguments += [f"--{suffix}", str(self.path(suffix, subject=subject))]
            for suffix in ENCODED:
                arguments += [f"--{suffix}", str(self.path(suffix, **labels))]
            assert encode_images.main(arguments) == 0

    def converge(self, models: list[str], subjects: list[str], maps: Path | None = None, **options: object) -> int:
        settings = {"converge": {"origin": "area00", "permutations": 1000, "spins": 200} | options, "confidence": 0.95}
        halves = [
            str(self.path("halves", subject=subject, model=model, method="ridge"))
            for model in models
            for subject in subjects
        ]
        arguments = ["--settings", json.dumps(settings), "--halves", *halves]
        arguments += [] if maps is None else ["--maps", str(maps)]
        arguments += [part for suffix in CONVERGED for part in (f"--{suffix}", str(self.path(suffix)))]
        return converge.main([*arguments, "--correlations", str(self.path("maps"))])

    def table(self, suffix: str) -> pd.DataFrame:
        return load(self.path(suffix), pd.DataFrame)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    world = hierarchy(seed=0)
    study = Study(tmp_path_factory.mktemp("planted"), world)
    everyone = ("01", "02", "03")
    study.encode("net", world.layers, *everyone)
    study.encode("untrained", world.random_layers, *everyone)
    study.encode("copies", [world.layers[2]] * 4, *everyone)
    return study


PAIR = {"random": "untrained", "method": "ridge"}


def row(table: pd.DataFrame, score: str, subject: str, network: str = "trained") -> pd.Series:
    mine = table[(table["score"] == score) & (table["subject"] == subject) & (table["network"] == network)]
    assert len(mine) == 1
    return mine.iloc[0]


def test_a_planted_hierarchy_is_found(study: Study) -> None:
    assert study.converge(["net", "untrained"], ["01", "02", "03"], networks={"net": PAIR}) == 0
    scores = study.table("convergence")
    print(scores.drop(columns=["model", "random", "method", "measured"]).round(4).to_string())
    assert row(scores, "spatial", "mean")["value"] >= 0.9
    assert row(scores, "temporal", "03")["value"] >= 0.95
