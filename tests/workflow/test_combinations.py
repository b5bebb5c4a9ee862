"""Weighted combinations of layers: through the stage into the table and the page of a study of RDMs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import run_step

from brainalign.arrays import Arrays, Features, Layers, Responses
from brainalign.config import Config
from brainalign.geometry import rdm
from brainalign.io import Provenance, load_sidecar, save
from brainalign.report import StudyMaterial, rdms_chapter, render_page
from brainalign.study import Study, parse

N = 16
SETTINGS = {
    "draws": 100,
    "feature_distance": "euclidean",
    "combinations": {"mixed": {"model": "net", "layers": ["a", "b", "c"]}},
    "combination_draws": 20,
    "combination_permutations": 39,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of artifacts: four people and a monkey whose geometry mixes layers a and b; a network, three random."""
    folder, rng = tmp_path_factory.mktemp("combinations"), np.random.default_rng(0)
    names = [f"i{k}" for k in range(N)]
    layers = {name: rng.normal(size=(N, 6)).astype(np.float32) for name in "abc"}
    truth = rdm(layers["a"], "euclidean") + rdm(layers["b"], "euclidean")
    sets = {"human": truth + rng.normal(size=(4, 1, len(truth))), "monkey": truth + rng.normal(size=(1, 1, len(truth)))}
    save(
        folder / "references.safetensors",
        Arrays(sets | {"model_V1": rng.uniform(size=len(truth))}),
        Provenance("prepare_rdms", {}, "0" * 64),
        sets=list(sets),
        models=["V1"],
        stimuli=names,
        categories=["x"] * N,
    )
    stimuli = pd.DataFrame({"stimulus_id": names})
    random = {f"{name}_draw{k}": rng.normal(size=(N, 6)).astype(np.float32) for name in "abc" for k in range(3)}
    for model, found in (("net", layers), ("random", random)):
        content = Layers({name: Features(values, stimuli, name) for name, values in found.items()})
        save(folder / f"model-{model}_features.safetensors", content, Provenance("extract", {}, "0" * 64))
    return folder


def run(study: Path, settings: dict[str, object]) -> int:
    files = {"rdm": "rdm.safetensors", "comparison": "comparison.parquet", "differences": "differences.parquet"}
    outputs = {name: study / file for name, file in files.items()} | {"rsatoolbox": study / "rdms.hdf5"}
    features = [study / f"model-{model}_features.safetensors" for model in ("net", "random")]
    inputs = {"references": study / "references.safetensors", "features": features}
    return run_step("compare_rdms", {"compare_rdms": settings, "confidence": 0.95}, inputs=inputs, outputs=outputs)


def test_a_combination_is_one_more_row_with_ceiling_chance_and_control(study: Path) -> None:
    assert run(study, SETTINGS) == 0
    table = pd.read_parquet(study / "comparison.parquet")
    row = table[table["kind"] == "combination"].set_index("reference")
    single = table[(table["kind"] == "layer") & (table["reference"] == "human")]["score"].max()
    assert row.loc["human", "score"] > single  # two layers explain more than one
    assert row.loc["human", "null_high"] < row.loc["human", "score"] <= row.loc["human", "ceiling_high"] + 0.1
    assert row["null_p"].max() == 1 / 40
    assert row.loc["human", "selected"] < row.loc["human", "score"] - 0.05  # one layer is half of the truth
    assert row.loc["human", "selected"] < single + 0.05
    assert row.loc["human", "gain"] == pytest.approx(row.loc["human", "score"] - row.loc["human", "selected"])
    assert np.isnan(row.loc["monkey", "ceiling_low"])
    weights = [float(word) for word in row.loc["human", "weights"].split()]
    assert min(weights[:2]) > 0.35
    assert weights[2] < 0.1
    control = table[(table["kind"] == "random weights") & (table["layer"] == "mixed")].set_index("reference")
    assert control["n"].tolist() == [3, 3]
    assert control.loc["human", "mean"] < row.loc["human", "score"] - 0.3
    about: dict[str, object] = {"name": "small", "title": "t", "citation": {"text": "c"}, "licence": "l", "source": "s"}
    about["recordings"] = {name: {"format": "kriegeskorte92"} for name in ("human", "monkey")}
    descriptor = parse(Study, about, "descriptor")
    config = Config.model_validate(
        {
            "datasets": {"small": {"descriptor": "small.yaml"}},
            "models": {"net": {"extractor": "random"}},
            "methods": {"ridge": {"encoder": "ridge"}},
            "compare_rdms": SETTINGS,
        }
    )
    sidecars = {"rdm.safetensors": load_sidecar(study / "rdm.safetensors")}
    rdms = Arrays({"set_human": np.arange(N * (N - 1) / 2)})
    tables = {"comparison": table, "differences": pd.read_parquet(study / "differences.parquet")}
    material = StudyMaterial(config, "small", descriptor, tables=tables, arrays={"rdm": rdms}, sidecars=sidecars)
    page = render_page(material, [rdms_chapter(material)])
    assert "net mixed reaches" in page
    assert "refitted with images exchanged" in page
    assert "The best single layer, chosen on the same parts, reaches" in page


def test_unknown_layers_are_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(study, SETTINGS | {"combinations": {"mixed": {"model": "net", "layers": ["a", "z"]}}}) == 2
    assert "mixed combines z, but the layers of net are a, b, c" in capsys.readouterr().err


def test_regions_get_a_row_per_combination_and_its_twin(study: Path) -> None:
    """Two repeats of every image; one region mixes layers a and b, the other follows nothing."""
    rng, names = np.random.default_rng(1), [f"i{k}" for k in range(N)]
    layers = {name: rng.normal(size=(N, 6)).astype(np.float32) for name in "abc"}
    stimuli = pd.DataFrame({"stimulus_id": names})
    for model in ("net", "twin"):
        found = layers if model == "net" else {name: rng.normal(size=(N, 6)).astype(np.float32) for name in "abc"}
        content = Layers({name: Features(values, stimuli, name) for name, values in found.items()})
        save(study / f"model-{model}_features.safetensors", content, Provenance("extract", {}, "0" * 64))
    signal = np.hstack([layers["a"] @ rng.normal(size=(6, 30)), layers["b"] @ rng.normal(size=(6, 30))])
    values = np.hstack([signal, np.zeros((N, 20))])[np.tile(np.arange(N), 2)] + rng.normal(size=(2 * N, 80))
    trials = pd.DataFrame({"trial_id": [f"t{k}" for k in range(2 * N)], "stimulus_id": names * 2})
    trials = trials.assign(session="s", run="1", repeat=np.repeat([0, 1], N), onset_s=0.0)
    rois = [["seen"]] * 60 + [["unseen"]] * 20
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(80)], "kind": "voxel", "hemi": "L", "roi": rois})
    responses = Responses(values.astype(np.float32), trials, targets, "z")
    save(study / "responses.safetensors", responses, Provenance("prepare", {}, "0" * 64))
    splits = trials[["trial_id", "stimulus_id"]].assign(group="all", split="test", fold=0, seed=0)
    save(study / "splits.parquet", splits, Provenance("prepare", {}, "0" * 64))
    features = [study / f"model-{model}_features.safetensors" for model in ("net", "twin")]
    inputs = {"responses": study / "responses.safetensors", "splits": study / "splits.parquet", "features": features}
    outputs = {"rdm": study / "images_rdm.safetensors", "comparison": study / "images_comparison.parquet"}
    outputs["rsatoolbox"] = study / "images_rdms.hdf5"
    settings = {"compare_images": SETTINGS | {"permutations": 19, "combination_draws": 60}}
    assert run_step("compare_images", settings, inputs=inputs, outputs=outputs) == 0
    table = pd.read_parquet(study / "images_comparison.parquet")
    row = table[table["kind"] == "combination"].set_index(["group", "model"])
    assert set(row.index) == {(group, model) for group in ("seen", "unseen") for model in ("net", "twin")}
    assert row.loc[("seen", "net"), "p"] == 1 / 40
    assert row.loc[("seen", "net"), "score"] > row.loc[("seen", "twin"), "score"] + 0.2
    assert row.loc[("seen", "net"), "score"] > row.loc[("seen", "net"), "null_high"]
    assert row.loc[("unseen", "net"), "p"] > 0.05
    assert row["se"].loc["seen"].gt(0).all()
