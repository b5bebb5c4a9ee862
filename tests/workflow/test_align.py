"""Stage align: a network that hides superordinate categories learns them from judgements, and its section says so."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import run_step
from pydantic import ValidationError

from brainalign.arrays import Arrays, Features, Layers
from brainalign.config import AlignSettings
from brainalign.geometry import (
    object_similarities,
    odd_one_out_accuracy,
    rdm,
    region_table,
    repeated_ceilings,
    split_objects,
    square_rdms,
    unrepeated,
)
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.report import ALIGNMENT_TABLES, alignment_section
from brainalign.simulation import abstraction_world

BY = Provenance("test", {}, "")
OUTPUTS = ("aligned", "alignment", "alignedregions")
OPTIONS = {"teacher": "one", "clusters": 12, "groups": 10, "triplets": 5000, "penalties": [1e-4, 1e-3], "draws": 20}


class Study:
    """160 objects, each with features of two networks; `people` judge; two subjects' V1 sees look-alikes, IT kinds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.world = folder, abstraction_world(10, 8, 2, seed=4)
        rng = np.random.default_rng(0)
        n = len(self.world.basic)
        self.ids = [f"object{k:03d}" for k in range(n)]
        drawn = np.unique(np.sort(rng.integers(n, size=(20_000, 3)), axis=1), axis=0)
        drawn = rng.permutation(drawn[(np.diff(drawn, axis=1) > 0).all(axis=1)])
        self.triplets = self.world.judge(drawn[:-80], rng)[0]
        self.repeats = self.world.judge(np.repeat(drawn[-80:], 12, axis=0), rng)[0]
        self.save("triplets", Arrays({"triplets": self.triplets, "repeats": self.repeats}), stimuli=self.ids)
        kinds = np.eye(10)[self.world.superordinate].astype(np.float32)  # what an embedding of judgements might hold
        self.save("concepts", Arrays({"sparse": kinds}), stimuli=self.ids)
        layers = {
            "one": {"deep": self.world.features, "noise": rng.normal(size=(n, 12))},
            "two": {"l0": self.world.others},
        }
        order = rng.permutation(n)  # rows of another order are matched by stimulus
        stimuli = pd.DataFrame({"stimulus_id": np.array(self.ids)[order]})
        for model, values in layers.items():
            made = {k: Features(10 * v[order].astype(np.float32), stimuli, k) for k, v in values.items()}
            self.save("features", Layers(made), model=model)
        self.rdms, self.shown = [], rng.permutation(n)[:60]
        shown = self.shown
        for subject in ("01", "02"):
            patterns = [np.eye(10)[labels[shown]] for labels in (self.world.lookalike, self.world.superordinate)]
            rdms = [rdm(p + 0.2 * rng.normal(size=p.shape), "euclidean") for p in patterns]
            self.rdms.append(rdms)
            path = artifact_path(folder, "brains", "rdm", subject=subject)
            about = {"conditions": [self.ids[k] for k in shown], "groups": ["V1", "IT"]}
            save(path, Arrays({"responses": np.stack(rdms)}), BY, **about)

    def save(self, suffix: str, content: object, *, model: str | None = None, **about: object) -> None:
        save(self.path(suffix, **({"model": model} if model else {})), content, BY, **about)

    def path(self, suffix: str, **labels: str) -> Path:
        return artifact_path(self.folder, "people", suffix, **labels)

    def run(self, **options: object) -> int:
        concepts = {"methods": ["sparse"], "permutations": 19, "regions_of": "brains"}
        inputs = {
            "triplets": self.path("triplets"),
            "concepts": self.path("concepts"),
            "features": [self.path("features", model=model) for model in ("one", "two")],
            "regions": [artifact_path(self.folder, "brains", "rdm", subject=subject) for subject in ("01", "02")],
        }
        outputs = {name: self.path(name) for name in OUTPUTS}
        return run_step(
            "align", {"align": OPTIONS | options, "concepts": concepts}, inputs=inputs, outputs=outputs, seed=1
        )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Study(tmp_path_factory.mktemp("align"))
    assert made.run() == 0
    return made


def test_networks_gain_on_unseen_objects_and_controls_do_not(study: Study) -> None:
    about = load_sidecar(study.path("alignment"))["details"]
    assert about["teacher"] == ["one", "deep"]  # the layer of noise predicts nothing
    scores = pd.read_parquet(study.path("alignment")).set_index(["model", "control", "split", "level"])
    assert set(scores["role"]) == {"teacher", "student"}
    for model in ("one", "two"):
        aligned = scores.loc[model, "aligned", "unseen objects", "all"]
        assert aligned["gain"] > max(0.12, 3 * aligned["gain_se"])
        assert aligned["n_triplets"] < 0.04 * len(study.triplets)  # three unseen objects each
        assert scores.loc[model, "shuffled choices", "unseen objects", "all"]["gain"] < 0.05
        doubts = scores["uncertainty_r"].loc[model, :, "repeated", "all"]
        assert doubts["aligned"] > doubts["unaligned"] + 0.2
    assert scores.loc["two", "unaligned teacher", "unseen objects", "all"]["gain"] < 0.05
    assert scores["ceiling"].loc[:, :, "repeated"].notna().all()
    assert about["ceilings"]["accuracy_low"] > 0.6


def test_weights_and_features_are_written(study: Study) -> None:
    found = load(study.path("aligned"), Arrays)
    details = load_sidecar(study.path("aligned"))["details"]
    assert details["layers"] == {"one": "deep", "two": "l0"}
    raw = {"one": 10 * study.world.features, "two": 10 * study.world.others}
    for model, values in raw.items():
        expected = values @ found[f"{model}_weight"].T + found[f"{model}_bias"]
        np.testing.assert_allclose(found[model], expected, atol=1e-3 * np.abs(expected).max())
        before, after = (odd_one_out_accuracy(object_similarities(v), study.triplets) for v in (values, found[model]))
        assert after > before + 0.1


def test_aligned_features_stand_beside_brains(study: Study) -> None:
    about = load_sidecar(study.path("alignment"))["details"]
    triplets = unrepeated(study.triplets, study.repeats, 160)
    split = split_objects(triplets, 160, 0.25, np.random.default_rng(1))
    expected = {"teacher": ["one", "deep"], "n_train": len(split.train), "n_unseen": 40, "n_objects": 160}
    assert about | expected == about
    assert about["penalty"] in OPTIONS["penalties"]
    assert about["ceilings"] == pytest.approx(asdict(repeated_ceilings(study.repeats, 160)))
    shown = np.sort(study.shown)  # in the order of all objects
    i, j = np.triu_indices(60, 1)
    order = np.argsort(study.shown)
    rdms = {
        region: np.stack([square_rdms(of[k])[order[i], order[j]] for of in study.rdms])
        for k, region in enumerate(("V1", "IT"))
    }
    aligned = load(study.path("aligned"), Arrays)
    tables = {name: pd.read_parquet(study.path(name)) for name in ALIGNMENT_TABLES}
    assert alignment_section(tables, about).panels
    table = pd.read_parquet(study.path("alignedregions"))
    for model in ("one", "two"):
        mine = table[(table["model"] == model) & (table["control"] == "aligned")].reset_index(drop=True)
        expected = region_table(rdms, aligned[model][shown], 19, 1)
        pd.testing.assert_frame_equal(mine[expected.columns], expected, rtol=1e-3, atol=1e-4)
    rows = table[["model", "layer", "control", "region"]].to_numpy().tolist()
    assert rows == [
        [model, layer, control, region]
        for model, layer in (("one", "deep"), ("two", "l0"))
        for control in ("unaligned", "aligned")
        for region in ("V1", "IT")
    ]
    scores = pd.read_parquet(study.path("alignedregions")).set_index(["model", "region", "control"])["score"]
    for model in ("one", "two"):
        assert scores[model, "IT", "aligned"] > scores[model, "IT", "unaligned"] + 0.1
        assert scores[model, "V1", "aligned"] < scores[model, "V1", "unaligned"] - 0.05


def test_what_cannot_be_aligned(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.run(teacher="three") == 2
    assert "teacher 'three' has no features; those given are of one, two" in capsys.readouterr().err
    with pytest.raises(ValidationError, match="penalties"):
        AlignSettings(penalties=(1.0,))
    assert AlignSettings(teacher="one").models_of(["two", "one"]) == ["one", "two"]
    assert AlignSettings(teacher="one", students=("one",)).models_of(["two", "one"]) == ["one"]
    assert AlignSettings(teacher="one").models_of(["two"]) == []
