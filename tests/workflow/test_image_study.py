"""The whole workflow on a small study of images in real formats: what was planted is found, and reruns are minimal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from jobs import run_step
from PIL import Image

from brainalign.arrays import Layers, Responses
from brainalign.features import EfficientNetExtractor
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.pipelines.summarize.summarize_images import _recovery as planted_and_recovered
from brainalign.simulation import render

EVERYTHING = {
    "extract": 2,
    "prepare": 2,
    "encode_images": 6,
    "compare_images": 2,
    "summarize_images": 2,
    "report": 2,
    "summarize_group": 1,
    "converge": 1,
    "match": 1,
    "report_group": 1,
}
ALONE = [stage for stage in EVERYTHING if stage not in ("converge", "match")]  # of a network without a twin
BANDED = {"encoder": "banded", "models": ["net"], "n_candidates": 5, "cv": 3, "device": "cpu"}
NETWORK = {"extractor": "efficientnet", "layers": ["block2", "block4"], "image_size": 64, "crop": False}
FEATURES = "stimuli/features/model-net_features.safetensors"
REPORTS = {"report": 2, "report_group": 1}
PREPARED = ("responses", "splits", "ceiling")
SECTIONS = {
    "01": ("data", "maps", "layers", "partition", "geometry", "ceilings"),
    "02": ("data", "time", "partition", "geometry", "ceilings"),
}


def patterns(study) -> np.ndarray:
    """Return the first principal components of a layer over the images: what the responses follow."""
    images = torch.from_numpy(render(study.scenes, study.size)).permute(0, 3, 1, 2) / 255
    features, _ = EfficientNetExtractor(image_size=64, crop=False).features(images, ["block4"])
    values = features["block4"].numpy().astype(np.float64)
    left, scale, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    return left[:, :3] * scale[:3]


def configure(checkout, name: str, **changes: object) -> str:
    """Write a configuration of the study of images whose results lie in results/scenes."""
    content = {
        "results": "results/scenes",
        "datasets": {"scenes": {"descriptor": "scenes/scenes.yaml"}},
        "models": {"net": NETWORK, "untrained": NETWORK | {"weights": "random"}},
        "methods": {"ridge": {"encoder": "ridge", "cv": 3, "device": "cpu"}, "banded": BANDED},
        "encode_images": {"permutations": 100, "draws": 100},
        "compare_images": {"permutations": 100, "draws": 100},
        "contest": {"trained": ["net/ridge"], "untrained": ["untrained/ridge"]},
        "converge": {"networks": {"net": {"random": "untrained", "method": "ridge"}}, "origin": "seen"},
        "match": {"models": ["net", "untrained"], "stimuli": 40, "units": 20, "draws": 2},
    } | changes
    (checkout.root / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return f"{name}.yaml"


@pytest.fixture(scope="module")
def finished(make_checkout, make_image_study):
    """A checkout in which the study of images has run."""
    checkout = make_checkout("images")
    study = make_image_study(checkout.root / "scenes", n_images=72, n_test=24, size=64, n_vertices=10_242, n_roi=200)
    study.write(patterns(study))
    config = configure(checkout, "scenes")
    assert checkout.run(config, "--cores", "2") == EVERYTHING
    return checkout


@pytest.fixture(scope="module")
def results(finished) -> Path:
    return finished.root / "results" / "scenes" / "scenes"


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """Write other content into a file for a while; its times come back too."""
    before, times = path.read_bytes(), path.stat()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_second_run_has_nothing_to_do(finished) -> None:
    assert finished.jobs("scenes.yaml") == {}


def table(results: Path, subject: str, kind: str, suffix: str, **labels: str) -> pd.DataFrame:
    name = "".join(f"_{key}-{value}" for key, value in labels.items())
    return pd.read_parquet(results / f"sub-{subject}" / kind / f"sub-{subject}{name}_{suffix}.parquet")


def test_planted_regions_and_times_are_found_and_no_others(results: Path) -> None:
    profile = table(results, "01", "encoding", "profile", model="net", method="ridge")
    best = profile[profile["layer"] == "block4"].set_index("group")
    assert best.loc["seen", "r"] > 0.8
    assert best.loc["seen", "p_fwer"] < 0.02
    assert abs(best.loc["unseen", "r"]) < 0.05
    assert best.loc["unseen", "p"] > 0.05
    assert profile["null_mean"].abs().max() < 0.05  # predictions exchanged between test images
    assert profile["control_r"].abs().max() < 0.25  # refitted on exchanged responses: one draw, all vertices alike
    course = table(results, "02", "encoding", "profile", model="net", method="ridge")
    course = course[(course["layer"] == "block4") & (course["group"] != "reliable targets")]
    times = course["group"].astype(float)
    planted = times > 0.07
    assert (course["r"][planted] > 0.25).all()
    assert (course["p_fwer"][planted] < 0.05).all()
    assert (course["p_fwer"][~planted] > 0.05).all()
    assert abs(course["r"][~planted].mean()) < 0.06


def test_layers_are_told_apart_where_something_is_planted(results: Path) -> None:
    decisions = table(results, "01", "encoding", "preference", model="net", method="ridge").set_index("roi")
    assert decisions.loc["seen", "best"] == "block4"
    assert decisions.loc["seen", "decided"]
    assert not decisions.loc["unseen", "decided"]
    assert decisions.loc["unseen", "reason"]
    latencies = table(results, "02", "encoding", "preference", model="net", method="ridge").set_index("layer")
    assert latencies.loc["block4", "onset"] == pytest.approx(0.08, abs=0.021)
    clusters = table(results, "02", "encoding", "clusters", model="net", method="ridge")
    found = clusters[clusters["p"] < 0.05]
    assert len(found) == 2  # one per layer
    assert (found["start"] >= 0.05).all()
    assert (found["stop"] > 0.29).all()


def test_the_planted_layer_carries_the_joint_fit(results: Path) -> None:
    """block4 was planted in the region and, from 80 ms on, in half of the sensors; the refit control finds neither."""
    table_of = {s: table(results, s, "encoding", "partition", model="net", method="banded") for s in ("01", "02")}
    parts = table_of["01"].set_index(["group", "layer"])
    assert parts.loc[("seen", "block4"), "low"] > 2 * parts.loc[("seen", "block2"), "high"]
    assert parts.loc[("seen", "all layers"), "split"] > 0.5
    assert parts.loc["unseen", "split"].max() < 0.02
    assert parts["control_split"].max() < 0.1
    course = table_of["02"][~table_of["02"]["joint"] & (table_of["02"]["group"] != "reliable targets")]
    course = course.assign(planted=course["group"].astype(float) > 0.07)
    means = course.groupby(["layer", "planted"])["split"].mean()
    assert means["block4", True] > 0.1
    assert means.drop(index=("block2", True)).drop(index=("block4", True)).max() < 0.01


def test_random_weights_predict_less(results: Path) -> None:
    for subject in ("01", "02"):
        summary = table(results, subject, "summary", "summary")
        chosen = summary[summary["chosen"] & (summary["quantity"] == "mean r") & (summary["method"] == "ridge")]
        chosen = chosen.set_index("model")
        assert chosen.loc["net", "low"] > chosen.loc["untrained", "high"]
        differences = table(results, subject, "geometry", "differences")
        assert (differences.loc[differences["model_b"] == "untrained", "low"] > 0).all()


def test_the_trained_network_wins_the_planted_region(results: Path) -> None:
    contest = table(results, "01", "summary", "contest")
    best = contest[contest["winner"]].set_index("region")
    assert best.loc["seen", ["family", "layer", "decided"]].tolist() == ["trained", "block4", True]
    assert "unseen" not in best.index or not best.loc["unseen", "decided"]  # its reliable targets are so by chance
    assert table(results, "02", "summary", "contest").empty
    assert 'id="contest"' in (results / "sub-01.html").read_text(encoding="utf-8")
    assert 'id="contest"' not in (results / "sub-02.html").read_text(encoding="utf-8")


def test_geometry_of_the_planted_region(results: Path) -> None:
    comparison = table(results, "01", "geometry", "comparison")
    fits = comparison.set_index(["model", "layer", "group"])
    assert fits.loc[("net", "block4", "seen"), "score"] > 0.5
    assert fits.loc[("net", "block4", "seen"), "p_fwer"] < 0.02
    assert (comparison.loc[comparison["group"] == "unseen", "p_fwer"] > 0.05).all()
    assert abs(comparison["null_mean"]).max() < 0.05


def test_every_report_is_small_self_contained_and_whole(results: Path) -> None:
    for subject, sections in SECTIONS.items():
        page = (results / f"sub-{subject}.html").read_text(encoding="utf-8")
        assert 100_000 < len(page.encode()) < 5e6
        for section in (*sections, "summary", "methods", "provenance"):
            assert f'id="{section}"' in page, section
        assert 'id="errors"' not in page
        assert 'src="http' not in page
        assert 'id="recovery"' not in page  # nothing is known of what was planted: this is not a simulated study
        assert "runs have trials in more than one split" in page  # the warning of the audit
    page = (results / "group.html").read_text(encoding="utf-8")
    assert len(page) < 5e6
    for part in ('id="scores"', 'id="comparisons"', "sub-01", "sub-02", "EEG"):
        assert part in page


def test_convergence_says_why_it_has_no_score(results: Path) -> None:
    """Two regions and two layers have an encoding score, and no order in space or time."""
    scores = pd.read_parquet(results / "group" / "convergence" / "convergence.parquet")
    found = scores.set_index(["network", "subject", "score"])
    assert found.loc[("trained", "01", "encoding"), "value"] > found.loc[("random", "01", "encoding"), "value"]
    spatial = found.loc[("trained", "01", "spatial")]
    assert np.isnan(spatial["value"])
    assert spatial["reason"].endswith("of 2 areas have a decided best layer; a spatial score needs 4")
    assert "a temporal score needs 3" in found.loc[("trained", "02", "temporal"), "reason"]
    page = (results / "group.html").read_text(encoding="utf-8")
    assert 'id="convergence"' in page
    assert "a spatial score needs 4" in page


@pytest.mark.parametrize(
    ("change", "reruns"),
    [
        ({"compare_images": {"permutations": 100, "draws": 110}}, {"compare_images": 2}),
        ({"summarize": {"q": 0.1}}, {"summarize_images": 2}),
        (
            {"encode_images": {"permutations": 110, "draws": 100}},
            {"encode_images": 6, "summarize_images": 2, "converge": 1},
        ),
        ({"contest": {}}, {"summarize_images": 1}),  # sensors lie in no region
        # Of studies of another kind; the report's settings are the whole configuration.
        ({"encode": {"run_permutations": 3}, "compare": {"permutations": 3}, "compare_rdms": {"draws": 200}}, {}),
    ],
)
def test_a_changed_option_reruns_what_depends_on_it(
    finished, change: dict[str, object], reruns: dict[str, int]
) -> None:
    assert finished.jobs(configure(finished, "changed", **change)) == reruns | REPORTS


def test_another_network_leaves_the_first_one_alone(finished) -> None:
    models = {"net": NETWORK, "untrained": NETWORK | {"weights": "random", "layers": ["block2"]}}
    expected = EVERYTHING | {"extract": 1, "encode_images": 2}
    del expected["prepare"], expected["summarize_group"]
    assert finished.jobs(configure(finished, "changed", models=models)) == expected


@pytest.mark.parametrize(
    ("key", "value", "reruns"),
    [
        ("title", "Another title", REPORTS),
        (
            "epochs",
            {"tmax_s": 0.2},
            {"prepare": 1, "encode_images": 3, "compare_images": 1, "summarize_images": 1, "summarize_group": 1}
            | {"converge": 1}
            | REPORTS,
        ),
        (
            "splits",
            {"drawn": {"share": 0.3}},
            {rule: n for rule, n in EVERYTHING.items() if rule not in ("extract", "match")},  # of features alone
        ),
    ],
)
def test_a_changed_descriptor_reruns_what_depends_on_it(
    finished, key: str, value: object, reruns: dict[str, int]
) -> None:
    path = finished.root / "scenes" / "scenes.yaml"
    content = yaml.safe_load(path.read_text()) | {key: value}
    with changed(path, yaml.safe_dump(content, sort_keys=False).encode()):
        assert finished.jobs("scenes.yaml") == reruns


def copy_of(checkout, folder: Path):
    """Return a copy of the checkout, its results and what snakemake knows of them, to do harm to."""
    shutil.copytree(checkout.root, folder / "root", symlinks=True)
    return replace(checkout, root=folder / "root")


def test_one_other_image_costs_one_row(finished, results: Path, tmp_path: Path) -> None:
    """Everything that reads images or follows from them runs again; of the features a single row is computed."""
    checkout = copy_of(finished, tmp_path)
    assert checkout.jobs("scenes.yaml") == {}
    images = sorted((checkout.root / "scenes" / "stimuli" / "images").glob("*.png"))
    Image.open(images[5]).rotate(90).save(images[5])
    assert checkout.jobs("scenes.yaml") == EVERYTHING
    checkout.snakemake("scenes.yaml", "--cores", "2", "--until", "extract")
    before = load(results / FEATURES, Layers)["block4"].values
    copied = checkout.root / results.relative_to(finished.root) / FEATURES
    after = load(copied, Layers)["block4"].values
    assert load_sidecar(copied)["details"]["n_rows_reused"] == len(images) - 1
    different = (before != after).any(axis=1)
    assert np.flatnonzero(different).tolist() == [5]


def test_a_subject_that_fails_takes_nothing_with_it(finished, results: Path, tmp_path: Path) -> None:
    checkout = copy_of(finished, tmp_path)
    epochs = checkout.root / "scenes" / "eeg-epo.fif"
    epochs.write_bytes(epochs.read_bytes()[:5000])
    assert checkout.snakemake("scenes.yaml", "--cores", "2", check=False).returncode != 0
    copied = checkout.root / results.relative_to(finished.root)
    page = (copied / "sub-02_incomplete.html").read_text(encoding="utf-8")
    assert 'id="errors"' in page
    assert "prepare stopped" in page
    assert "truncated, or not epochs that MNE saved" in page
    assert 'id="figure-course"' not in page  # scores of the epochs as they were
    assert not (copied / "sub-01_incomplete.html").exists()
    assert (copied / "sub-01.html").read_bytes() == (results / "sub-01.html").read_bytes()


@pytest.fixture(scope="module")
def simulated(make_checkout):
    """A checkout in which the smallest simulated study has run: one subject, EEG, the generating network itself."""
    checkout = make_checkout("simulated")
    content = yaml.safe_load((checkout.root / "data" / "simulated.yaml").read_text())
    size = {"n_shared": 20, "n_unique": 40, "fmri_subjects": 0, "meg_subjects": 0, "eeg_subjects": 1}
    content["simulate"] = size | {"n_training_scenes": 100, "n_epochs": 1}
    content["recordings"] = {"01": {"format": "epochs", "epochs": "sub-01/sub-01_eeg-epo.fif", "picks": "eeg"}}
    del content["decoded"]
    (checkout.root / "simulated.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    generator = {"extractor": "vision", "weights": "results/scenes/simulated/raw/generator"}
    config = configure(
        checkout,
        "config",
        datasets={"simulated": {"descriptor": "simulated.yaml"}},
        models={"generator": generator | {"layers": ["embedder", "encoder.stages.1"]}},
        contest={},
        methods={"ridge": {"encoder": "ridge", "cv": 3, "device": "cpu"}},
        converge={},
        match={},
    )
    stages = ("simulate", *ALONE)
    assert checkout.run(config, "--cores", "2") == dict.fromkeys(stages, 1)
    return checkout


def test_a_simulated_study_shows_what_was_planted(simulated) -> None:
    results = simulated.root / "results" / "scenes" / "simulated"
    page = (results / "sub-01.html").read_text(encoding="utf-8")
    assert 'id="recovery"' in page
    assert 'id="figure-plantedlatencies"' in page
    assert 'id="figure-plantedceilings"' not in page  # sensors were whitened: their ceilings are not those planted
    recovery = pd.read_parquet(results / "sub-01" / "summary" / "sub-01_recovery.parquet")
    assert set(recovery["what"]) == {"latency"}
    assert recovery["planted_ms"].tolist() == [80.0, 180.0]


def test_planted_ceilings_are_found_at_every_time(simulated, tmp_path: Path) -> None:
    """Times of the truth and of a file differ in the last digit, and 0 may be -0."""
    raw = simulated.root / "results" / "scenes" / "simulated" / "raw"
    content = yaml.safe_load((simulated.root / "simulated.yaml").read_text()) | {"epochs": {"whiten": False}}
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(content))
    paths = {suffix: artifact_path(tmp_path, "simulated", suffix, subject="01") for suffix in PREPARED}
    inputs = {"descriptor": tmp_path / "plain.yaml", "folder": raw, "stimuli": raw / "stimuli" / "stimuli.tsv"}
    assert run_step("prepare", inputs=inputs, outputs=paths, labels={"subject": "01"}) == 0
    responses, ceiling = load(paths["responses"], Responses), load(paths["ceiling"], pd.DataFrame)
    decisions = table(raw.parent, "01", "encoding", "preference", model="generator", method="ridge")
    found = planted_and_recovered(
        raw / "truth", "01", responses, ceiling, decisions.assign(model="generator", method="ridge")
    )
    ceilings = found[found["what"] == "ceiling"]
    assert len(ceilings) == len(ceiling)
    assert ceilings["planted"].notna().all()
    assert np.corrcoef(ceilings["planted"], ceilings["ceiling"])[0, 1] > 0.5


def test_what_the_workflow_made_itself_is_no_new_input(simulated) -> None:
    """Images, epochs and weights were not there when the first run was planned."""
    assert simulated.jobs("config.yaml") == {}
    path = simulated.root / "simulated.yaml"
    content = yaml.safe_load(path.read_text())
    content["simulate"]["n_unique"] = 41
    with changed(path, yaml.safe_dump(content, sort_keys=False).encode()):
        assert simulated.jobs("config.yaml") == dict.fromkeys(("simulate", *ALONE), 1)


def test_networks_are_compared_with_each_other(results: Path) -> None:
    """The network and its twin, layer by layer, with nulls; on the page of the group."""
    pairs = pd.read_parquet(results / "group" / "matching" / "similarity.parquet")
    assert set(zip(pairs["model_a"], pairs["model_b"], strict=True)) == {("net", "untrained")}
    assert len(pairs) == 4 * 4  # layers of both, measures
    assert set(pairs["n_stimuli"]) == {40}
    assert pairs["null"].notna().all()
    dimensions = pd.read_parquet(results / "group" / "matching" / "dimensions.parquet")
    assert set(dimensions["n"]) == {40}
    assert set(dimensions["model"]) == {"net", "untrained"}
    page = (results / "group.html").read_text(encoding="utf-8")
    assert 'id="matching"' in page
    assert "Most alike layers of every pair of networks" in page
