"""Stage caption on planted preferences of a small study: words, scores, controls, errors; the section of the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import run_step

from brainalign.arrays import Features, Layers, Responses
from brainalign.config import Config
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.pipelines.synthesize.caption import _common, _in_order
from brainalign.report import ImageMaterial
from brainalign.report.synthesis_sections import caption_methods, voxel_captions_section
from brainalign.simulation import captioned_voxels, clear_scenes, labelled_embeddings
from brainalign.study import Study, parse

BY = Provenance("test", {}, "")
N_IMAGES, N_VOXELS = 240, 24
OUTPUTS = ("captions", "captionscores", "captiontemperatures")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """Write responses of 24 voxels, the last four without any signal, shown twice each."""
    folder = tmp_path_factory.mktemp("captions")
    scenes = clear_scenes(N_IMAGES, seed=1)
    signal, planted = captioned_voxels(scenes, {"colour": 0.8, "shape": 0.8}, N_VOXELS, noise_sd=0.3, seed=1)
    rng = np.random.default_rng(0)
    values = np.tile(signal, (2, 1)) + 0.5 * rng.normal(size=(2 * N_IMAGES, N_VOXELS))
    values[:, -4:] = rng.normal(size=(2 * N_IMAGES, 4))
    names = np.tile(scenes["stimulus_id"], 2)
    trials = pd.DataFrame({"trial_id": [f"t{k}" for k in range(len(names))], "stimulus_id": names, "session": "1"})
    trials = trials.assign(run="1", repeat=np.repeat([0, 1], N_IMAGES), onset_s=0.0)
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(N_VOXELS)], "kind": "vertex", "hemi": "L"})
    targets = targets.assign(roi=[["V1"] if k < 12 else ["V2"] for k in range(N_VOXELS)], vertex=range(N_VOXELS))
    targets[["x_mm", "y_mm", "z_mm"]] = 0.0
    split = np.where(np.isin(names, scenes["stimulus_id"][:60]), "test", "train")
    splits = trials[["trial_id", "stimulus_id"]].assign(group=names, split=split, fold=0, seed=0)
    ceiling = pd.DataFrame({"target_id": targets["target_id"], "ceiling": [0.8] * 20 + [0.3] * 2 + [0.0] * 2})
    embeddings = labelled_embeddings(scenes, ("colour", "shape"), seed=1).astype(np.float32)
    table = scenes.assign(size=scenes["size"].astype(str), path="")
    features = Layers(
        {"first": Features(embeddings[:, :3], table, "first"), "last": Features(embeddings, table, "last")}
    )
    content = {"responses": Responses(values, trials, targets, "z"), "splits": splits, "ceiling": ceiling}
    for suffix, each in content.items():
        save(artifact_path(folder, "d", suffix, subject="1"), each, BY)
    save(artifact_path(folder, "d", "features", model="net"), features, BY)
    return folder, planted


def run(folder: Path, ceiling_threshold: float = 0.2, **options: object) -> int:
    given = {"permutations": 99, "draws": 100, "nulls": 9, "temperatures": [3, 30], "model": "net"} | options
    settings = {"caption": given, "model": {}, "ceiling_threshold": ceiling_threshold, "confidence": 0.95}
    inputs, outputs = (
        {name: artifact_path(folder, "d", name, subject="1") for name in names}
        for names in (("responses", "splits", "ceiling"), OUTPUTS)
    )
    inputs["features"] = artifact_path(folder, "d", "features", model="net")
    return run_step("caption", settings, inputs=inputs, outputs=outputs)


def table(folder: Path, suffix: str) -> pd.DataFrame:
    return load(artifact_path(folder, "d", suffix, subject="1"), pd.DataFrame)


def test_planted_attributes_are_said(study: tuple[Path, pd.DataFrame]) -> None:
    folder, planted = study
    assert run(folder, attributes=["colour", "shape", "size"], words={"size": ["small", "medium", "large"]}) == 0
    found = table(folder, "captions")
    assert len(found) == 22
    for name in ("colour", "shape"):
        truth, said = planted[name].to_numpy()[:20], found[name].to_numpy()[:20]
        assert (truth == said)[truth != ""].mean() >= 0.9
    assert found["caption"].str.contains("any size").sum() >= 18
    assert (found["caption"][20:] == "").all()
    assert (found["q"][:20] <= 0.05).all()
    scores = table(folder, "captionscores").set_index(["region", "of"])
    for control in ("permuted", "frequent", "bankmean", "shuffled"):
        assert scores.loc[("reliable targets", control), "gain_low"] > 0.1
    assert scores.loc[("V2", "caption"), "n_silent"] == 2
    curve = table(folder, "captiontemperatures")
    assert curve["chosen"].sum() == 1
    assert curve["temperature"].tolist() == [0, 3, 30, np.inf]
    about = load_sidecar(artifact_path(folder, "d", "captions", subject="1"))["details"]
    assert about["attributes"]["size"] == ["small", "medium", "large"]
    assert about["nouns"]["V1"]["red"] == pytest.approx((found["colour"][:12] == "red").mean())
    about = {"name": "d", "stimuli": "s.tsv", "splits": {"shared": {"column": "set", "value": "shared"}}}
    about |= {"recordings": {"1": {"format": "betas", "betas": "b.nii", "trials": "t.tsv"}}, "folder": "."}
    content = {"models": {"net": {"extractor": "efficientnet"}}, "methods": {"ridge": {"encoder": "ridge"}}}
    config = parse(Config, content | {"datasets": {"d": {"descriptor": "d.yaml"}}}, "configuration")
    material = ImageMaterial(config, "d", parse(Study, about, "descriptor"), "1")
    material.responses = load(artifact_path(folder, "d", "responses", subject="1"), Responses)
    material.captions = {suffix: table(folder, suffix) for suffix in OUTPUTS}
    paths = [artifact_path(folder, "d", suffix, subject="1") for suffix in OUTPUTS]
    material.sidecars |= {path.name: load_sidecar(path) for path in paths}
    assert voxel_captions_section(material).panels
    assert len(caption_methods(material)) == 1


@pytest.mark.parametrize("captioner", ["vocabulary", "nearest"])
def test_captions_of_images_are_given_to_voxels(study: tuple[Path, pd.DataFrame], captioner: str) -> None:
    folder, planted = study
    assert run(folder, captioner=captioner, temperature=20) == 0
    found = table(folder, "captions")
    hits = [
        value in text.split()
        for name in ("colour", "shape")
        for text, value in zip(found["caption"][:20], planted[name][:20], strict=True)
        if value
    ]
    assert np.mean(hits) >= 0.8


def test_a_function_of_the_user_writes_captions(study: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    folder, _ = study
    (tmp_path / "mine.py").write_text("def write(points):\n    return [f'{len(row)} numbers' for row in points]\n")
    assert run(folder, captioner=f"{tmp_path / 'mine.py'}:write", temperature=20) == 0
    found = table(folder, "captions")
    assert (found["caption"] == "48 numbers").all()
    assert found["r"].isna().all()  # nothing embeds its texts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "lost"}, "did you mean 'last'"),
        ({"attributes": ["color"]}, "did you mean 'colour'"),
        ({"captioner": "vocabulary", "phrases": ["a dog"]}, "a model that embeds texts"),
        ({"captioner": "atributes"}, "did you mean 'attributes'"),
        ({"captioner": "prefix"}, "go together"),
        ({"temperature": 0}, "above 0"),
    ],
)
def test_bad_options(
    study: tuple[Path, pd.DataFrame], options: dict[str, object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(study[0], **options) == 2
    assert message in capsys.readouterr().err


def test_no_reliable_voxel_is_no_caption(study: tuple[Path, pd.DataFrame]) -> None:
    assert run(study[0], ceiling_threshold=0.9) == 0
    assert table(study[0], "captions").empty
    about = load_sidecar(artifact_path(study[0], "d", "captions", subject="1"))["details"]
    assert about["reason"] == "no noise ceiling lies above 0.9"


def test_words_of_captions_are_counted_once_in_each_and_stand_in_one_order() -> None:
    texts = pd.Series(["a thing with a zebra", "Zebra thing thing-like thing", "the apple", ""])
    assert _common(texts, 4) == ("thing", "zebra", "apple", "thing-like")
    many = pd.Series([" ".join(f"word{letter}" for letter in "qwertyuiopasdf")])
    assert _common(many) == tuple(f"word{letter}" for letter in "adefiopqrstu")
    words = ["small", "medium", "large"]
    assert _in_order(np.array(["large", "small", "large"]), words) == ["small", "large"]
    assert _in_order(np.array(["large", "tiny", "large"]), words) == ["large", "tiny"]
