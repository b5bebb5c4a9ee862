"""Stage identify on RDM artifacts of subjects, and the section that its tables make in the report of the group."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import RANDOM, ImageRun, run_all, run_step
from seeded.recorded import Record
from worlds.region_geometries import region_patterns

from brainalign.arrays import Arrays
from brainalign.geometry import BASELINES, rdm
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.report.geometry_sections import IDENTIFICATION_TABLES, identification_section

REGIONS = ["V1", "V2", "V4", "IT"]
N_STIMULI = 18
OPTIONS = {"stimuli": 16, "draws": 100, "shuffles": 20}


def write(folder: Path, patterns: np.ndarray, regions: list[str]) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    layers = rng.normal(size=(2, N_STIMULI, 5))
    layers[0] = patterns[:, 0].mean(axis=0)[:, :5] * 10
    for s, of_subject in enumerate(patterns):
        order = rng.permutation(N_STIMULI)
        kept = regions[:-1] if s == 0 and len(regions) > 2 else regions
        paths.append(artifact_path(folder, "study", "rdm", subject=f"{s + 1:02d}"))
        responses = rdm(of_subject[: len(kept), order], "correlation")
        about = {"groups": kept, "models": [["net", "first"], ["net", "second"]]}
        about |= {"conditions": [f"image{k:02d}" for k in order]}
        rdms = Arrays(responses=responses, models=rdm(layers[:, order], "euclidean"))
        save(paths[-1], rdms, Provenance("test", {}, ""), **about)
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


def test_tables_are_as_they_were_and_one_region_is_a_reason(outputs, tmp_path, patterns) -> None:
    found, about = tables(outputs), load_sidecar(outputs["regions"])["details"]
    counts = ("n_subjects", "n_regions", "n_stimuli", "n_tested")
    assert [about[name] for name in counts] == [5, 4, 16, 19]
    assert (about["regions"], about["subjects"], about["reason"]) == (REGIONS, ["01", "02", "03", "04", "05"], "")
    rows, surface, agreement = found.values()
    assert (len(rows), len(surface), agreement["layer"][0]) == (2 + len(BASELINES), 229, "first")
    Record(Path(__file__).parent / "recorded_stages.json").check("identify", found | {"about": about})
    found = run(tmp_path, write(tmp_path, patterns[:, :1], ["all"]))
    section = identification_section(tables(found), load_sidecar(found["regions"])["details"])
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
    assert "of 6 regions are named (chance .500; regions relabelled 20 times: mean" in page
