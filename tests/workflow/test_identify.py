"""Stage identify on RDM artifacts of subjects, and the section that its tables make in the report of the group."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import RANDOM, ImageRun, run_all, run_step
from worlds.region_geometries import region_patterns

from brainalign.arrays import Arrays
from brainalign.geometry import BASELINES, identify_regions, layer_agreement, rdm, square_rdms, threshold_family
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.report import IDENTIFICATION_TABLES, identification_section

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


def test_a_run_names_regions_of_three_subjects(make_image_study, tmp_path: Path) -> None:
    study = make_image_study(tmp_path / "scenes")
    subjects = dict.fromkeys(("01", "02", "03"), study.descriptor()["recordings"]["01"])
    study.write()
    (study.folder / "scenes.yaml").write_text(json.dumps(study.descriptor(recordings=subjects)))
    run = ImageRun(study, {"models": {"one": RANDOM}, "identify": {"draws": 100, "shuffles": 20}}, pages=())(*subjects)
    run_all(run.config, "summarize_group", "identify", "report_group")
    rows = run.table("regions").set_index("name")
    assert list(rows.index) == ["raw", *BASELINES, "nested"]
    assert rows.loc["rank", "accuracy"] == 1
    details = load_sidecar(Path(run.path("regions")))["details"]
    assert (details["n_subjects"], details["n_regions"]) == (3, 2)
    page = run.page("group")
    assert 'id="errors"' not in page
    section = page[page.index('id="identification"') :]
    section = section[: section.index("</section>")]
    assert re.search(r'<figure id="figure-identification">.*?src="data:image/png;base64,[^"]{5000}', section, re.S)
    (table,) = re.findall(r"<table>(?:(?!</table>).)*rank RSA: the baseline.*?</table>", section, re.S)
    assert re.findall(r"<tr><td>([a-z-]+(?: clip)?)", table) == ["raw", *BASELINES, "nested"]
    assert "of 6 regions are named (chance .500; regions relabelled 20 times: mean" in section
