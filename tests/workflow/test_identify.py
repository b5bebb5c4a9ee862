"""Stage identify on RDM artifacts of subjects, and the section that its tables make in the report of the group."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import RANDOM, ImageRun, run_all, run_step
from nibabel.loadsave import save as save_image

from brainalign.arrays import Arrays, Features, Layers, Responses
from brainalign.geometry import (
    BASELINES,
    compare,
    geotopological,
    identify_regions,
    layer_agreement,
    rdm,
    square_rdms,
    threshold_family,
)
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.report import IDENTIFICATION_TABLES, Section, identification_section, identification_verdict
from brainalign.simulation import betas_image, region_patterns

REGIONS = ["V1", "V2", "V4", "IT"]
N_STIMULI = 18
OPTIONS = {"stimuli": 16, "draws": 100, "shuffles": 20}


def write(folder: Path, patterns: np.ndarray, regions: list[str]) -> list[Path]:
    """Write the RDM artifact of every subject, each with its stimuli in an order of its own; subject 01 lacks IT."""
    rng = np.random.default_rng(0)
    paths = []
    layers = rng.normal(size=(2, N_STIMULI, 5))
    layers[0] = patterns[:, 0].mean(axis=0)[:, :5] * 10
    for s, of_subject in enumerate(patterns):
        order = rng.permutation(N_STIMULI)
        kept = regions[:-1] if s == 0 and len(regions) > 2 else regions
        path = artifact_path(folder, "study", "rdm", subject=f"{s + 1:02d}")
        save(
            path,
            Arrays(
                responses=rdm(of_subject[: len(kept), order], "correlation"), models=rdm(layers[:, order], "euclidean")
            ),
            Provenance("test", {}, ""),
            groups=kept,
            models=[["net", "first"], ["net", "second"]],
            conditions=[f"image{k:02d}" for k in order],
        )
        paths.append(path)
    return paths


def run(folder: Path, paths: list[Path]) -> dict[str, Path]:
    settings = {"identify": OPTIONS, "confidence": 0.95}
    outputs = {name: artifact_path(folder, "study", name) for name in IDENTIFICATION_TABLES}
    assert run_step("identify", settings, inputs={"rdm": paths}, outputs=outputs, seed=3) == 0
    return outputs


@pytest.fixture(scope="module")
def patterns() -> np.ndarray:
    return region_patterns("outliers", 5, 4, N_STIMULI, seed=0, signal=2.0)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, patterns: np.ndarray) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("identify")
    return run(folder, write(folder, patterns, REGIONS))


def tables(outputs: dict[str, Path]) -> dict[str, pd.DataFrame]:
    return {name: load(path, pd.DataFrame) for name, path in outputs.items()}


def test_tables_are_those_of_the_library(outputs: dict[str, Path], patterns: np.ndarray) -> None:
    """The same from patterns in one order, with the images that the stage drew."""
    rows, surface, agreement = tables(outputs).values()
    about = load_sidecar(outputs["regions"])["details"]
    (path,) = (outputs["regions"].parents[2] / "sub-01").rglob("*_rdm.safetensors")
    conditions = load_sidecar(path)["details"]["conditions"]
    rng = np.random.default_rng(3)
    images = np.sort(rng.choice(N_STIMULI, 16, replace=False))
    numbers = [int(conditions[k].removeprefix("image")) for k in images]
    rdms = rdm(patterns[:, :, numbers], "correlation")
    rdms[0, 3] = np.nan
    found = identify_regions(rdms, n_boot=100, n_shuffles=20, rng=rng)
    counts = ("chance", "n_subjects", "n_regions", "n_stimuli", "n_pairs", "n_tested", "n_missing_pairs")
    expected = {name: getattr(found, name) for name in counts} | {
        "n_draws": 100,
        "n_shuffles": 20,
        "mean_dropped_pairs": found.dropped_pairs.mean(),
        "draws_with_vanished_regions": (found.vanished > 0).sum(),
        "undefined_draws": np.isnan(found.nested_draws).sum(),
        "best_of_shuffled": found.shuffled_best.mean(),
    }
    assert {name: about[name] for name in expected} == pytest.approx(expected)
    assert (about["n_subjects"], about["n_regions"], about["n_stimuli"], about["n_tested"]) == (5, 4, 16, 19)
    assert (about["regions"], about["subjects"], about["reason"]) == (REGIONS, ["01", "02", "03", "04", "05"], "")
    values = {"raw": (np.nan, np.nan, found.raw, found.raw_draws)}
    values |= {k: (*c, found.accuracy[found.at(*c)], found.draws[:, found.at(*c)]) for k, c in BASELINES.items()}
    values["nested"] = (np.nan, np.nan, found.nested, found.nested_draws)
    table = []
    for name, (lower, upper, value, draws) in values.items():
        se = np.nanstd(draws, ddof=1)
        row = [name, lower, upper, value, se, max(value - 1.959964 * se, 0), min(value + 1.959964 * se, 1)]
        for other in ("rank", "upper clip"):
            row += [value - values[other][2], np.nanstd(draws - values[other][3], ddof=1)]
        null = [np.nan] * 3
        if name == "nested":
            reached = (found.shuffled >= value - 1e-9).sum()
            null = [found.shuffled.mean(), np.quantile(found.shuffled, 0.95), (1 + reached) / 21]
        table.append(row + null)
    columns = ["name", "lower", "upper", "accuracy", "se", "low", "high", "over_rank", "over_rank_se", "over_clip"]
    columns += ["over_clip_se", "null_mean", "null_high", "p"]
    pd.testing.assert_frame_equal(rows, pd.DataFrame(table, columns=columns))
    expected = pd.DataFrame(found.cells, columns=["lower", "upper"]).assign(
        family=[threshold_family(*cell) for cell in found.cells],
        accuracy=found.accuracy,
        se=np.nanstd(found.draws, axis=0, ddof=1),
        chosen=[sum(np.allclose(cell, own) for own in found.chosen) for cell in found.cells],
    )
    pd.testing.assert_frame_equal(surface, expected)
    assert len(surface) == 229
    i, j = np.triu_indices(16, 1)
    models = square_rdms(load(path, Arrays)["models"])[:, images[i], images[j]]
    table = []
    for transform, some in layer_agreement(rdms, models, {"raw": None, **BASELINES}).items():
        for k, region in enumerate(REGIONS):
            best, seen = some.best[k], slice(1 if region == "IT" else 0, None)
            r = some.fit[seen, k, best].mean()
            table.append(("net", region, transform, ("first", "second")[best], r, some.agreement[k], 0.5, 4 + (k < 3)))
    columns = ["model", "region", "transform", "layer", "r", "agreement", "chance", "n"]
    pd.testing.assert_frame_equal(agreement, pd.DataFrame(table, columns=columns), check_dtype=False, rtol=1e-4)
    assert agreement["layer"][0] == "first"


def test_one_region_is_a_reason_and_no_failure(tmp_path: Path, patterns: np.ndarray) -> None:
    found = run(tmp_path, write(tmp_path, patterns[:, :1], ["all"]))
    about = load_sidecar(found["regions"])["details"]
    section = identification_section(tables(found), about)
    assert not section.panels
    assert "needs 2 or more regions; got 1" in section.paragraphs[0]


def section(outputs: dict[str, Path]) -> Section:
    return identification_section(tables(outputs), load_sidecar(outputs["regions"])["details"])


def test_the_section_shows_the_surface_beside_ranks(outputs: dict[str, Path]) -> None:
    found = section(outputs)
    (panel,) = found.panels
    assert panel.figure is not None
    left, right = panel.figure.axes[:2]
    assert {text.get_text() for text in left.texts} == {"local", "global", "geometry", "topology"}
    assert [label.get_text() for label in right.get_yticklabels()] == ["nested", *reversed(BASELINES), "raw"]
    assert {"rank", "chance"} == {text.get_text() for text in right.texts}
    shown = left.images[0].get_array()
    assert np.isfinite(shown).sum() == 229
    rank = tables(outputs)["regions"].set_index("name").loc["rank", "accuracy"]
    assert shown[20, 0] == pytest.approx(rank)
    text = " ".join(found.paragraphs)
    assert "Verdict: " in text
    assert "rank RSA stands beside it" in text
    assert "was found by looking" in text
    assert "first (r" in found.blocks[1]
    assert len(panel.image) < 4 / 3 * 200_000 + 100


@pytest.mark.parametrize(
    ("topological", "clip", "over_clip", "said"),
    [
        (0.10, 0.12, -0.02, "robust clipping suffices"),
        (0.10, 0.01, 0.09, "topology names more regions than ranks, and than clipping far pairs alone"),
        (0.03, 0.01, 0.02, "equally many regions"),
        (0.01, 0.10, -0.09, "robust clipping suffices"),
        (-0.10, -0.01, -0.09, "ranks name more regions"),
    ],
)
def test_the_verdict_follows_from_two_standard_errors(
    topological: float, clip: float, over_clip: float, said: str
) -> None:
    rows = pd.DataFrame(
        {
            "name": ["upper clip", "topological"],
            "over_rank": [clip, topological],
            "over_clip": [0.0, over_clip],
            "over_rank_se": 0.02,
            "over_clip_se": [0.0, 0.02],
        }
    )
    assert said in identification_verdict(rows)


def test_regions_are_compared_topologically_beside_ranks(tmp_path: Path) -> None:
    """Stage compare_images with both RDMs transformed: Pearson of the transforms, Spearman in a column of its own."""
    rng = np.random.default_rng(0)
    patterns = region_patterns("isotropic", 2, 2, 14, seed=1).transpose(0, 2, 1, 3).reshape(28, 120)
    ids = [f"image{k:02d}" for k in range(14)]
    trials = pd.DataFrame({"trial_id": [f"t{k}" for k in range(28)], "stimulus_id": ids * 2, "session": "1"})
    trials = trials.assign(run="1", repeat=np.repeat([0, 1], 14), onset_s=0.0)
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(120)], "kind": "voxel", "hemi": "L"})
    targets["roi"] = [["V1"]] * 60 + [["IT"]] * 60
    splits = trials[["trial_id", "stimulus_id"]].assign(group=ids * 2, split="test", name="s", fold=0, seed=0)
    stimuli = pd.DataFrame({"stimulus_id": ids})
    values = {name: rng.normal(size=(14, 6)).astype(np.float32) for name in ("first", "second")}
    layers = Layers({name: Features(X, stimuli, name) for name, X in values.items()})
    by = Provenance("test", {}, "")
    inputs, paths = (
        {name: artifact_path(tmp_path, "study", name, subject="01") for name in names}
        for names in (("responses", "splits"), ("rdm", "comparison"))
    )
    inputs["features"] = artifact_path(tmp_path, "study", "features", model="net")
    save(inputs["responses"], Responses(patterns.astype(np.float32), trials, targets, "z"), by)
    save(inputs["splits"], splits, by)
    save(inputs["features"], layers, by, pooling="mean")
    settings = {"comparison": "geotopological", "thresholds": [0.3, 0.6], "permutations": 50, "draws": 100}
    outputs = paths | {"rsatoolbox": tmp_path / "rdms.hdf5"}
    assert run_step("compare_images", {"compare_images": settings}, inputs=inputs, outputs=outputs) == 0
    table = load(paths["comparison"], pd.DataFrame)
    assert load_sidecar(paths["comparison"])["details"]["thresholds"] == [0.3, 0.6]
    for k, region in enumerate(("V1", "IT")):
        repeats = rdm(patterns.astype(np.float32).reshape(2, 14, 2, 60)[:, :, k], "correlation")
        models = np.stack([rdm(layers[name].values, "correlation") for name in ("first", "second")])
        mine = table[table["group"] == region].set_index("layer").loc[["first", "second"]]
        forms = [geotopological(rdms, 0.3, 0.6) for rdms in (repeats, models)]
        np.testing.assert_allclose(mine["score"], compare(*forms, "pearson").mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(mine["rank_score"], compare(repeats, models, "spearman").mean(axis=0), atol=1e-6)
        assert mine["p"].between(1 / 51, 1).all()
        assert (mine["ceiling_low"] <= mine["ceiling_high"]).all()


def test_a_run_names_regions_of_three_subjects(make_image_study, tmp_path: Path) -> None:
    study = make_image_study(tmp_path / "scenes")
    betas = {hemi: f"{hemi}_betas.func.gii" for hemi in ("L", "R")}
    labels = {hemi: f"{hemi}_rois.label.gii" for hemi in ("L", "R")}
    subjects = {
        f"{s:02d}": {
            "format": "betas",
            "betas": {hemi: f"{s}_{file}" for hemi, file in betas.items()},
            "rois": labels,
            "trials": "trials.tsv",
        }
        for s in (1, 2, 3)
    }
    study.write(recordings=subjects)
    rng = np.random.default_rng(0)
    rows = pd.Index(study.scenes["stimulus_id"]).get_indexer(pd.Index(study.trials["stimulus_id"]))
    shown = rng.normal(size=(2, study.n_images, 4))[:, rows]  # what each region shows of the images
    for subject in subjects.values():
        for file in subject["betas"].values():
            values = rng.normal(size=(len(rows), study.n_vertices)).astype(np.float32)
            for k, latents in enumerate(shown):
                region = slice(k * study.n_roi, (k + 1) * study.n_roi)
                values[:, region] += latents @ rng.normal(size=(4, study.n_roi))
            save_image(betas_image(values, study.trials["trial_id"], file[2]), study.folder / file)
    options = {"models": {"one": RANDOM}, "identify": {"draws": 100, "shuffles": 20}}
    run = ImageRun(study, options, pages=())
    run(*subjects)
    run_all(run.config, "summarize_group")
    run_all(run.config, "identify", "report_group")
    rows = run.table("regions").set_index("name")
    assert list(rows.index) == ["raw", *BASELINES, "nested"]
    assert rows.loc["rank", "accuracy"] == 1  # two planted geometries, strong in every subject
    details = load_sidecar(Path(run.path("regions")))["details"]
    assert (details["n_subjects"], details["n_regions"]) == (3, 2)
    page = run.page("group")
    assert 'id="errors"' not in page
    section = page[page.index('id="identification"') :]
    section = section[: section.index("</section>")]
    (picture,) = re.findall(r'<figure id="figure-identification">.*?src="data:image/png;base64,([^"]+)"', section, re.S)
    assert len(picture) > 5000
    (table,) = re.findall(r"<table>(?:(?!</table>).)*rank RSA: the baseline.*?</table>", section, re.S)
    names = re.findall(r"<tr><td>([a-z-]+(?: clip)?)", table)
    assert names == ["raw", *BASELINES, "nested"]
    assert table.count("<td>1.000</td>") >= 4
    assert "of 6 regions are named (chance .500; regions relabelled 20 times: mean" in section
