"""Stage match: related networks stand out from their nulls, unrelated ones do not; dimension over training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import run_step
from pydantic import ValidationError

from brainalign import geometry
from brainalign.arrays import Features, Layers
from brainalign.config import MatchSettings
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.pipelines.compare import match
from brainalign.pipelines.compare.concepts import layers_of
from brainalign.regression import Ridge
from brainalign.report import MATCHING_TABLES, matching_section
from brainalign.workflow import Job

N, SEED, BY = 160, 2, Provenance("test", {}, "")
OUTPUTS = ("similarity", "dimensions", "featurebias", "manifolds")
MEASURES = ["cka", "procrustes", "one_to_one", "soft", "cca", "predicts", "predicted"]


class Networks:
    """`seen` and `again` share 12 units (in another order, with noise); `other` shares none; `half` is early `seen`."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder, self.ids = folder, [f"image{k:03d}" for k in range(N)]
        kind = np.tile(["face", "house"], N // 2)
        # A third of circles and of squares, a few of the other two: too few stars for halves of four.
        shape = np.random.default_rng(1).permutation(np.repeat(["circle", "square", "cross", "star"], [60, 60, 35, 5]))
        centres = dict(zip(np.unique(shape), 3 * np.random.default_rng(2).normal(size=(4, 200)), strict=True))
        shaped = np.stack([centres[name] for name in shape]) + np.random.default_rng(3).normal(size=(N, 200)) * 3
        units = rng.normal(size=(N, 12))
        units[:, 0] = 3 * (kind == "face") + 0.1 * rng.normal(size=N)
        self.models = {
            "seen": [rng.normal(size=(N, 200)), units],
            "again": [units[:, rng.permutation(12)] + 0.3 * rng.normal(size=(N, 12))],
            "other": [rng.normal(size=(N, 8)), np.ones((N, 3)), shaped],
            "half": [rng.normal(size=(N, 200)), units[:, :1] * np.ones(12) + 0.05 * rng.normal(size=(N, 12))],
        }
        for model, layers in self.models.items():
            order = rng.permutation(N)  # rows of another order are matched by stimulus
            stimuli = pd.DataFrame({"stimulus_id": np.array(self.ids)[order]})
            made = {f"l{k}": Features(X[order].astype(np.float32), stimuli, f"l{k}") for k, X in enumerate(layers)}
            save(self.path("features", model=model), Layers(made), BY, pooling="mean")
        table = pd.DataFrame({"stimulus_id": self.ids, "kind": kind, "shape": shape, "noise": rng.normal(size=N)})
        table["place"] = [f"place{k % 32}" for k in range(N)]  # five images each
        table.to_csv(folder / "stimuli.tsv", sep="\t", index=False)

    def path(self, suffix: str, **labels: str) -> Path:
        return artifact_path(self.folder, "planted", suffix, **labels)

    def run(self, checkpoints: dict[str, dict[int, str]] | None = None, **options: object) -> int:
        content = {"models": ["seen", "again", "other"], "measures": MEASURES, "draws": 2} | options
        settings = {"match": content, "checkpoints": checkpoints or {}}
        models = [*content["models"], *(m for of in settings["checkpoints"].values() for m in of.values())]  # type: ignore[misc]
        inputs = {
            "features": [self.path("features", model=model) for model in dict.fromkeys(models)],
            "stimuli": self.folder / "stimuli.tsv",
        }
        return run_step(
            "match", settings, inputs=inputs, outputs={name: self.path(name) for name in OUTPUTS}, seed=SEED
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        return {name: pd.read_parquet(self.path(name)) for name in MATCHING_TABLES}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    made = Networks(tmp_path_factory.mktemp("match"))
    checkpoints = {"seen": {0: "half", 100: "seen"}}
    assert made.run(checkpoints, features=["kind", "shape", "noise"]) == 0
    return made


def test_what_is_shared_stands_out(networks: Networks) -> None:
    pairs = networks.tables()["similarity"].set_index(["model_a", "layer_a", "model_b", "layer_b", "measure"])
    assert not {a == b for a, _, b, _, _ in pairs.index} & {True}
    shared = pairs.loc["seen", "l1", "again", "l0"]
    for measure, least in {"cka": 0.9, "procrustes": 0.9, "one_to_one": 0.9, "soft": 0.9, "cca": 0.9}.items():
        assert shared.loc[measure, "value"] > least
        assert shared.loc[measure, "null_high"] < shared.loc[measure, "value"] - 0.3
    assert abs(shared.loc["one_to_one", "null"]) < 0.1
    assert shared.loc["one_to_one", "null"] < shared.loc["one_to_one", "rotated"] < 0.6
    assert np.isnan(shared.loc["cka", "rotated"])
    assert shared.loc["predicts", "value"] > 0.8
    assert shared.loc["predicts", "null_high"] < 0.1
    nothing = pairs.loc["seen", "l1", "other", "l0"]
    assert abs(nothing.loc["cka", "value"]) < 0.03
    assert abs(nothing.loc["one_to_one", "value"]) < 0.15


def test_what_cannot_be_computed_says_why(networks: Networks) -> None:
    pairs = networks.tables()["similarity"].set_index(["model_a", "layer_a", "model_b", "layer_b", "measure"])
    wide = pairs.loc["seen", "l0", "again", "l0"].loc["cca"]
    assert np.isnan(wide["value"])
    assert wide["note"] == "cca of 200 units on 160 stimuli is 1 whatever they represent"
    constant = pairs.loc["seen", "l1", "other", "l1"]
    assert constant["value"].drop("predicted").isna().all()
    assert (constant["note"].drop("predicted") != "").all()


def test_categories_stand_out_where_they_are_planted(networks: Networks) -> None:
    table = networks.tables()["manifolds"]
    assert set(table["feature"]) == {"kind", "shape"}  # a number is no category
    assert set(table.loc[table["feature"] == "kind", "n_each"]) == {20}
    sizes = table.loc[table["feature"] == "shape", ["n_categories", "n_each", "n_left_out"]]
    assert sizes.drop_duplicates().to_numpy().tolist() == [[3, 20, 1]]
    layers = table[table["step"] < 0].set_index(["model", "layer", "feature", "measure"])
    planted, nothing = layers.loc["other", "l2", "shape"], layers.loc["other", "l2", "kind"]
    assert planted.loc["capacity", "value"] > 1.5 * planted.loc["capacity", "null_high"]
    for measure in ("nc1", "cdnv"):
        assert planted.loc[measure, "value"] < planted.loc[measure, "null_low"] / 3
        assert nothing.loc[measure, "value"] > nothing.loc[measure, "null_low"] / 2
    assert planted.loc["accuracy", "value"] > 0.95
    assert nothing.loc["capacity", "value"] == pytest.approx(nothing.loc["capacity", "null"], rel=0.1)
    assert layers.loc[("seen", "l1", "kind", "cdnv"), "value"] < layers.loc[("seen", "l1", "kind", "cdnv"), "null_low"]
    assert set(layers.loc["seen", "l1", "kind"].loc["simplex":"uniformity", "note"]) == {
        "two means always lie opposite"
    }
    constant = layers.loc["other", "l1", "shape"]
    assert constant["value"].isna().all()
    assert set(constant["note"]) == {"the same for all stimuli"}
    training = table[(table["step"] >= 0) & (table["measure"] == "cdnv") & (table["feature"] == "kind")]
    assert set(zip(training["network"], training["step"], training["layer"], strict=True)) == {
        ("seen", step, layer) for step in (0, 100) for layer in ("l0", "l1")
    }
    late = training.set_index(["step", "layer"])["value"]
    assert late[0, "l1"] < 0.3 * late[100, "l1"]  # at first there is nothing else


def test_numbers_are_those_of_the_library(networks: Networks) -> None:
    """Of the stimuli in the order of the first model; every layer stands at its place, and as a step of its network."""
    tables = networks.tables()
    found = {model: load(networks.path("features", model=model), Layers) for model in networks.models}
    ids = next(iter(found["seen"].values())).stimuli["stimulus_id"].tolist()
    layers = layers_of(found, ids)
    some = {key: layers[key] for key in (("seen", "l1"), ("again", "l0"))}
    ridge = Ridge(np.logspace(-3, 6, 10), cv=10, dtype="float64")
    expected = geometry.compare_networks(some, MEASURES, draws=2, regressor=ridge, seed=SEED)
    pairs = tables["similarity"]
    mine = pairs[(pairs["model_a"] == "seen") & (pairs["layer_a"] == "l1") & (pairs["model_b"] == "again")]
    pd.testing.assert_frame_equal(mine.reset_index(drop=True), expected, rtol=1e-4, atol=1e-8)
    dimensions = tables["dimensions"]
    places = dimensions[["model", "layer", "number", "network", "step", "n_units"]].drop_duplicates()
    assert places.to_numpy().tolist() == [
        ["seen", "l0", 0, "", -1, 200],
        ["seen", "l0", 0, "seen", 100, 200],
        ["seen", "l1", 1, "", -1, 12],
        ["seen", "l1", 1, "seen", 100, 12],
        ["again", "l0", 0, "", -1, 12],
        ["other", "l0", 0, "", -1, 8],
        ["other", "l1", 1, "", -1, 3],
        ["other", "l2", 2, "", -1, 200],
        ["half", "l0", 0, "seen", 0, 200],
        ["half", "l1", 1, "seen", 0, 12],
    ]
    ours = dimensions[(dimensions["model"] == "half") & (dimensions["layer"] == "l1")]
    assert ours["value"].tolist() == pytest.approx(
        geometry.compare_dimensions({"": layers["half", "l1"]})["value"].tolist(), rel=1e-6, nan_ok=True
    )
    bias = tables["featurebias"]
    assert bias[["model", "layer", "number", "feature"]].to_numpy().tolist() == [
        [model, layer, int(layer[1]), feature]
        for model, layer in layers
        if model != "half"
        for feature in ("kind", "shape", "noise")
    ]
    stimuli = pd.read_csv(networks.folder / "stimuli.tsv", sep="\t").set_index("stimulus_id").loc[ids]
    known = {name: stimuli[name].to_numpy() for name in ("kind", "shape", "noise")}
    one_alpha = Ridge(np.logspace(-3, 6, 10), cv=10, per_target_alpha=False, dtype="float64")
    expected = geometry.feature_bias(layers["again", "l0"], known, one_alpha, seed=SEED)
    mine = bias[bias["model"] == "again"].reset_index(drop=True)[expected.columns]
    pd.testing.assert_frame_equal(mine, expected, rtol=1e-4)
    drawn = geometry.balanced_categories(known["shape"], 20, SEED)
    given = geometry.rotated_to_fewer(layers["other", "l2"])[drawn.rows], drawn.labels
    every_fold = Ridge(np.logspace(-3, 6, 10), per_target_alpha=False, dtype="float64")
    expected = geometry.category_manifolds(*given, every_fold, 2, 100, SEED)
    manifolds = tables["manifolds"]
    mine = manifolds[(manifolds["layer"] == "l2") & (manifolds["feature"] == "shape")]
    np.testing.assert_allclose(mine["value"], expected["value"], rtol=1e-4)
    np.testing.assert_allclose(mine["null_low"], expected["null_low"], rtol=1e-4)
    about = load_sidecar(networks.path("manifolds"))["details"]
    assert about["categories"] == {"kind": {"each": 20, "left_out": []}, "shape": {"each": 20, "left_out": ["star"]}}
    assert about["n_stimuli"] == N


def test_the_section_shows_nulls_and_reasons(networks: Networks) -> None:
    section = matching_section(networks.tables())
    ids = [panel.id for panel in section.panels[:4]]
    assert ids == ["matchingpairs", "matchinglayers", "matchingtraining", "matchingbias"]
    assert [panel.id for panel in section.panels[4:]] == ["matchingmanifolds", "matchingmanifoldtraining"]
    for panel in section.panels:
        assert "Good:" in panel.caption
        assert "Bad:" in panel.caption
        assert panel.figure is not None
    assert 1000 < len(section.panels[0].image) < 270_000
    assert "3 × 20 (1)" in str(section.blocks[1])
    assert "none: " not in str(section.blocks[1])
    table = str(section.blocks[0])
    assert "seen, again" in table
    assert "is 1 whatever they represent" in table
    grid = section.panels[0].figure.axes[0].images[0].get_array()  # type: ignore[union-attr]
    assert grid.max() == pytest.approx(networks.tables()["similarity"].query("measure == 'cka'")["value"].max())


def test_mistakes_end_with_a_message(networks: Networks, capsys: pytest.CaptureFixture[str]) -> None:
    assert networks.run(measures=["cka"], features=["kind", "colour"]) == 2
    assert "match.features: stimuli.tsv has no column colour; its columns are" in capsys.readouterr().err
    with pytest.raises(ValidationError, match="measures"):
        MatchSettings(measures=("hungarian",))  # type: ignore[arg-type]


def test_fewer_stimuli_are_drawn_and_said(networks: Networks) -> None:
    assert networks.run(models=["again", "other"], measures=["cka"], stimuli=50) == 0
    tables = networks.tables()
    assert set(tables["similarity"]["n_stimuli"]) == set(tables["dimensions"]["n"]) == {50}
    assert tables["featurebias"].empty
    assert tables["manifolds"].empty


def test_categories_of_too_few_stimuli_are_counted(networks: Networks) -> None:
    assert networks.run(models=["again", "other"], measures=["cka"], features=["place"]) == 0
    tables = networks.tables()
    [reason] = set(tables["manifolds"]["note"])
    assert reason == "0 of 32 categories have 8 or more stimuli; two are needed"
    section = matching_section(tables)
    assert f"No capacity or collapse of place: {reason}." in section.paragraphs
    assert "matchingmanifolds" not in [panel.id for panel in section.panels]


def test_ids_of_stimuli_keep_their_zeros(tmp_path: Path) -> None:
    table = pd.DataFrame({"stimulus_id": ["001", "002"], "size": [1.5, 2.0], "kind": ["a", "b"]})
    table.to_csv(tmp_path / "stimuli.tsv", sep="\t", index=False)
    options = MatchSettings(features=("size", "kind"))
    known = match._known(Job("match", {}, {"stimuli": [tmp_path / "stimuli.tsv"]}), ["002", "001"], options)
    assert known["size"].tolist() == [2.0, 1.5]
    assert known["kind"].tolist() == ["b", "a"]
