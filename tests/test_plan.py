from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.config import Config, TableModel, load_config, load_descriptors
from brainalign.study import Shape, ZucoFiles, known_shape, load_descriptor, parse, shape_of
from brainalign.workflow import (
    STEPS,
    Job,
    PlannedJob,
    Run,
    code_digest,
    estimate,
    image_state,
    job_of,
    jobs,
    planned,
    reached,
    step_digest,
    wants_gpu,
)


@pytest.fixture
def demo(root: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(root)
    return load_config("snakemake/config/demo.yaml")


BLOCKS = {"extract": 4, "prepare_blocks": 1, "encode": 5, "compare": 1, "searchlight": 1, "summarize": 1, "report": 1}
SIMULATED = {
    "simulate": 1,
    "extract": 8,
    "prepare": 4,
    "pretrain": 1,
    "encode_images": 15,
    "converge": 1,
    "match": 1,
    "compare_images": 4,
    "decode_times": 1,
    "searchlight": 1,
    "caption": 1,
    "guide": 1,
    "synthesize": 1,
    "directions": 1,
    "ground": 1,
    "ground_regions": 1,
    "summarize_images": 4,
    "report": 4,
    "summarize_group": 1,
    "report_group": 1,
}
SENTENCES = {"prepare_sentences": 1, "extract": 1, "decode": 2, "report_group": 1}
SHARED = {"prepare_modalities": 1, "decode_modalities": 1, "report_group": 1}
SERIES = {"prepare_series": 1, "decode_series": 1, "report_group": 1}
RECORDINGS = {"prepare_recordings": 1, "decode_times": 1, "report": 1}
MATRICES = {"prepare_rdms": 1, "extract": 2, "compare_rdms": 1, "report_group": 1}


# Seconds of a core that stages of the demo took, without the studies that need files of others (benchmarks/plan.py;
# two quiet cores). Stages of less than ten seconds are counted in the last.
MEASURED_S = {
    "simulate": 20.0,
    "prepare": 10.9,
    "extract": 62.3,
    "pretrain": 26.3,
    "encode": 58.4,
    "encode_images": 125.6,
    "compare_images": 31.7,
    "decode": 29.8,
    "decode_modalities": 18.6,
    "decode_series": 30.6,
    "guide": 10.7,
    "synthesize": 65.2,
    "directions": 34.3,
    "report": 34.0,
    "others": 82.7,
}


def by_stage(planned: list[PlannedJob], dataset: str) -> Counter[str]:
    return Counter(job.stage for job in planned if job.dataset == dataset)


def test_the_job_list_follows_from_the_configuration(
    demo: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINALIGN_DATA", str(tmp_path))
    for name in load_descriptor("data/kriegeskorte92.yaml").recordings["humanIT"].files:
        (tmp_path / "kriegeskorte92").mkdir(exist_ok=True)
        (tmp_path / "kriegeskorte92" / name).touch()
    for path in load_descriptor("data/n170.yaml").recordings["1"].recordings:
        (tmp_path / "eeg-n170" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "eeg-n170" / path).touch()
    planned = jobs(demo)
    assert by_stage(planned, "haxby-slice") == BLOCKS
    assert by_stage(planned, "simulated") == SIMULATED
    assert by_stage(planned, "kriegeskorte92") == MATRICES
    assert by_stage(planned, "eeg-n170") == RECORDINGS
    assert by_stage(planned, "simulated-sentences") == SENTENCES
    assert by_stage(planned, "simulated-modalities") == SHARED
    assert by_stage(planned, "simulated-series") == SERIES
    # Two scanned subjects are too few to be told apart by others, and the demo has no judgements, videos or stories.
    other = {"identify", "prepare_triplets", "concepts", "align", "prepare_events", "prepare_runs", "encode_runs"}
    other |= {"correlate_subjects", "summarize_runs", "map_subjects"}
    other |= {"rollout", "dynamics"}
    assert {job.stage for job in planned} == set(STEPS) - other
    assert len({job.output for job in planned}) == len(planned)
    assert len({job.log for job in planned}) == len(planned)
    assert all(job.cost.memory_mb > 0 and job.cost.seconds > 0 for job in planned)


def test_a_dataset_is_planned_under_any_name(demo: Config) -> None:
    """Costs know the descriptor, whose name need not be that of the dataset in the configuration."""
    content = demo.model_dump(mode="json")
    # The weights of the simulated study lie in a folder of its name.
    names = {name: name if name == "simulated" else f"my-{name}" for name in content["datasets"]}
    content["datasets"] = {names[name]: use for name, use in content["datasets"].items()}
    renamed = parse(Config, content, "test")
    assert [job.cost for job in jobs(renamed)] == [job.cost for job in jobs(demo)]


def test_an_optional_dataset_is_left_out_where_its_files_are_not(
    demo: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINALIGN_DATA", str(tmp_path))
    always = {"haxby-slice", "simulated", "simulated-sentences", "simulated-modalities", "simulated-series"}
    assert set(load_descriptors(demo)) == always
    assert {job.dataset for job in jobs(demo)} == always
    use = demo.datasets["kriegeskorte92"].model_copy(update={"optional": False})
    needed = demo.model_copy(update={"datasets": {"kriegeskorte92": use}, "contest": {}})
    assert [job.stage for job in jobs(needed)].count("compare_rdms") == 1  # planned, and missing files stop the run
    with pytest.raises(BrainalignError, match=r"humanIT.files.1: no file 92_behavRDMs.mat in .*BRAINALIGN_DATA"):
        load_descriptors(needed)["kriegeskorte92"].all_files()


def test_the_plan_is_what_the_demo_took(demo: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it within a factor of 1.5, every stage of more than ten seconds within 2."""
    monkeypatch.setenv("BRAINALIGN_DATA", str(tmp_path))
    planned: Counter[str] = Counter()
    for job in jobs(demo):
        planned[job.stage if job.stage in MEASURED_S else "others"] += job.cost.seconds
    assert {name: 0.5 <= planned[name] / took <= 2 for name, took in MEASURED_S.items()} == dict.fromkeys(
        MEASURED_S, True
    )
    assert 1 / 1.5 <= planned.total() / sum(MEASURED_S.values()) <= 1.5


def test_a_study_of_images_with_two_methods(scenes, tmp_path: Path) -> None:
    content = {
        "results": str(tmp_path / "results"),
        "datasets": {"scenes": {"descriptor": str(scenes.write())}},
        "models": {"net": {"extractor": "efficientnet"}, "captions": {"extractor": "sentence", "weights": "x"}},
        "methods": {name: {"encoder": "ridge"} for name in ("ridge", "pooled")},
    }
    planned = jobs(parse(Config, content, "test"))
    assert by_stage(planned, "scenes") == {
        "extract": 2,
        "prepare": 2,
        "encode_images": 8,
        "compare_images": 2,
        "summarize_images": 2,
        "report": 2,
        "summarize_group": 1,
        "report_group": 1,
    }
    (group,) = [job for job in planned if job.stage == "report_group"]
    assert group.output == tmp_path / "results" / "scenes" / "group.html"


def test_regions_are_named_across_three_scanned_subjects_or_more(scenes, tmp_path: Path) -> None:
    content = {
        "results": str(tmp_path / "results"),
        "models": {"net": {"extractor": "efficientnet"}},
        "methods": {"ridge": {"encoder": "ridge"}},
    }
    files = scenes.descriptor()["recordings"]
    for n, expected in ((2, 0), (3, 1)):
        subjects = {f"{k:02d}": files["01"] for k in range(n)} | {"eeg": files["02"]}
        path = scenes.write(recordings=subjects)
        planned = jobs(parse(Config, content | {"datasets": {"scenes": {"descriptor": str(path)}}}, "test"))
        found = [job for job in planned if job.stage == "identify"]
        assert len(found) == expected
    assert found[0].output == tmp_path / "results" / "scenes" / "group" / "identify" / "regions.parquet"


def test_the_state_of_images(scenes) -> None:
    scenes.write()
    table = scenes.folder / "stimuli" / "stimuli.tsv"
    state = image_state(table)
    assert image_state(table) == state
    image = sorted((table.parent / "images").glob("*.png"))[7]
    os.utime(image, ns=(0, 0))
    touched = image_state(table)
    image.unlink()
    assert len({state, touched, image_state(table)}) == 3
    content = pd.read_csv(table, sep="\t")
    content[["stimulus_id", "path"]].to_csv(table.with_suffix(".csv"), index=False)
    content[["stimulus_id", "path"]].to_parquet(table.with_suffix(".parquet"))
    assert image_state(table.with_suffix(".csv")) == image_state(table.with_suffix(".parquet")) == image_state(table)


# Of one job each: data large enough that every term of an estimate weighs, and options unlike their defaults.
SIZES = {
    "simulated": Shape(runs=12, trials=9000, targets=70_000),
    "haxby-slice": Shape(runs=7, trials=900, targets=50_000),
    "n170": Shape(runs=3, trials=700, targets=30),
}
ROUTING = {"encoder": "routing", "models": ["generatortokens"], "epochs": 30, "baselines": []}
CORE = {"encoder": "response_optimised", "models": ["pixels"], "n_channels": [16, 32], "kernel_sizes": [5, 3]}
CORE |= {"pool": [3, 2], "seeds": [0, 1], "epochs": 20, "baselines": ["gaussian"]}
FEW = {"encoder": "in_context", "models": ["generator"], "sizes": [10, 30], "n_repeats": 3, "n_voxels": 40}
FEW |= {"n_steps": [10, 100, 60], "seeds": [3, 4], "context_sizes": [9, 90]}
CODES = {"encoder": "dictionary", "models": ["generator"], "width": 300, "epochs": 70, "n_active": 5}
COSTS: list[tuple[str, str, dict[str, dict[str, object]], tuple[int, int, float]]] = [
    ("simulate", "simulated", {}, (2500, 635, 250)),
    ("prepare", "simulated", {}, (13016, 65, 2403.259)),
    ("extract generator", "simulated", {}, (1500, 38, 100)),
    ("summarize_images", "simulated", {}, (13016, 65, 5)),
    ("summarize_group", "simulated", {}, (13016, 65, 5)),
    ("report", "simulated", {}, (13016, 132, 5)),
    ("report_group", "simulated", {}, (13016, 67, 5)),
    ("guide", "simulated", {}, (13516, 110, 10)),
    ("decode_times", "simulated", {}, (1200, 12, 5)),
    ("compare_images", "simulated", {}, (13016, 202, 5)),
    ("converge", "simulated", {}, (1500, 4, 5)),
    ("match", "simulated", {}, (1500, 9, 1)),
    ("ground", "simulated", {}, (2500, 8, 20)),
    ("ground_regions", "simulated", {}, (13016, 3, 5)),
    ("prepare_rdms", "simulated", {}, (1500, 2, 20)),
    ("guide", "simulated", {"synthesize": {"views": 7}}, (13516, 218, 10)),
    ("caption", "simulated", {"caption": {"nulls": 23, "draws": 900}}, (11113, 232, 5)),
    ("searchlight generator", "simulated", {"searchlight": {"permutations": 700}}, (20426, 43, 8.0)),
    ("decode_times", "n170", {"decode_times": {"permutations": 900, "square_permutations": 390}}, (1200, 31, 5)),
    ("decode_times", "simulated", {"decode_times": {"permutations": 900, "square_permutations": 390}}, (1200, 100, 5)),
    ("compare_images", "simulated", {"compare_images": {"permutations": 700, "draws": 900}}, (13016, 888, 5)),
    ("ground_regions", "simulated", {"ground": {"draws": 9000}}, (13016, 32, 5)),
    ("ground", "simulated", {"ground": {"n_steps": 900, "batch_size": 40}}, (2500, 12, 20)),
    ("identify", "simulated", {"identify": {"draws": 900}}, (2500, 480, 1)),
    ("match", "simulated", {"match": {"draws": 7, "features": ["shape", "size"]}}, (1500, 15, 1)),
    ("synthesize", "simulated", {}, (2000, 69, 20)),
    (
        "synthesize",
        "simulated",
        {"synthesize": {"n_images": 30, "n_nulls": 3, "n_null_images": 20, "scales": [1, 2, 3], "regions": None}},
        (2000, 337, 20),
    ),
    ("directions", "simulated", {}, (2500, 38, 8.0)),
    (
        "directions",
        "simulated",
        {"directions": {"methods": ["supervised", "pullback", "pca"]}, "synthesize": {"steps": 70}},
        (2500, 238, 12.5),
    ),
    ("encode_images generator ridge", "simulated", {}, (15620, 147, 20)),
    ("encode_images generatormaps ridge", "simulated", {}, (15620, 437, 20)),
    ("encode_images generator banded", "simulated", {}, (15620, 292, 20)),
    ("encode_images efficientnet ridge", "simulated", {}, (15620, 176, 20)),
    ("encode_images minilm ridge", "simulated", {}, (15620, 31, 20)),
    (
        "encode_images generator banded",
        "simulated",
        {"encode_images": {"permutations": 900, "draws": 700}},
        (15620, 462, 20),
    ),
    ("encode_images generatortokens routing", "simulated", {"methods": {"routing": ROUTING}}, (31240, 126, 20)),
    (
        "encode_images generatortokens routing",
        "simulated",
        {"methods": {"routing": ROUTING | {"baselines": ["tokens", "second_order", "mean"]}}},
        (31240, 126, 20),
    ),
    (
        "encode_images generatortokens routing",
        "simulated",
        {"methods": {"routing": ROUTING | {"baselines": ["factorized", "gaussian"]}}},
        (31240, 220, 20),
    ),
    (
        "encode_images generatortokens routing",
        "simulated",
        {"methods": {"routing": ROUTING | {"controls": ["content", "position"]}}},
        (31240, 220, 20),
    ),
    (
        "encode_images generatortokens routing",
        "simulated",
        {"methods": {"routing": ROUTING | {"ensemble": True}}},
        (31240, 126, 20),
    ),
    (
        "encode_images generatortokens routing",
        "simulated",
        {"methods": {"routing": ROUTING | {"seeds": [0, 1, 2]}}},
        (31240, 314, 20),
    ),
    (
        "encode_images generatortokens field",
        "simulated",
        {"methods": {"field": {"encoder": "gaussian", "models": ["generatortokens"], "epochs": 30, "restarts": 3}}},
        (31240, 456, 20),
    ),
    ("encode_images pixels core", "simulated", {"methods": {"core": CORE}}, (31873, 252, 20)),
    (
        "encode_images pixels core",
        "simulated",
        {"methods": {"core": CORE}, "models": {"pixels": {"extractor": "pixels", "image_size": 64}}},
        (33771, 349, 20),
    ),
    (
        "encode_images generator core",
        "simulated",
        {"methods": {"core": CORE | {"models": ["pixels", "generator"]}}},
        (31240, 1697, 20),
    ),
    ("encode_images generator codes", "simulated", {"methods": {"codes": CODES}}, (15620, 695, 20)),
    (
        "encode_images generator codes",
        "simulated",
        {"methods": {"codes": CODES | {"coding": "matching_pursuit", "seeds": [5]}}},
        (15620, 695, 20),
    ),
    ("encode_images generator few", "simulated", {"methods": {"few": FEW}}, (31240, 294, 20)),
    (
        "encode_images generator few",
        "simulated",
        {"methods": {"few": FEW | {"network": "clip", "context_sizes": [90, 90]}}},
        (31240, 58947, 20),
    ),
    ("pretrain generator few", "simulated", {"methods": {"few": FEW}}, (13516, 288, 50.0)),
    (
        "pretrain generator few",
        "simulated",
        {"methods": {"few": FEW | {"network": "clip", "context_sizes": [90, 90]}}},
        (13516, 2031, 50.0),
    ),
    ("prepare_blocks", "haxby-slice", {}, (21299, 174, 1888.275)),
    ("extract minilm", "haxby-slice", {}, (1500, 5, 20)),
    ("extract onehot", "haxby-slice", {}, (1500, 2, 20)),
    ("extract untrainedmaps", "haxby-slice", {}, (1500, 25, 20)),
    ("extract random", "haxby-slice", {}, (1500, 2, 20)),
    ("extract pixels", "haxby-slice", {}, (1500, 2, 20)),
    ("extract wordings", "haxby-slice", {}, (1500, 5, 20)),
    (
        "encode minilm ridge",
        "haxby-slice",
        {"encode": {"run_permutations": 300, "stimulus_permutations": 500}},
        (2960, 6410, 6.0),
    ),
    (
        "encode minilm fixed",
        "haxby-slice",
        {"encode": {"run_permutations": 300, "stimulus_permutations": 500}},
        (2960, 1662, 6.0),
    ),
    (
        "encode random ridge",
        "haxby-slice",
        {"encode": {"run_permutations": 300, "stimulus_permutations": 500}},
        (2960, 1406, 6.0),
    ),
    (
        "encode wordings ridge",
        "haxby-slice",
        {"encode": {"run_permutations": 300, "stimulus_permutations": 500}},
        (2960, 33446, 6.0),
    ),
    (
        "encode onehot ridge",
        "haxby-slice",
        {"encode": {"run_permutations": 300, "stimulus_permutations": 500}},
        (2960, 850, 6.0),
    ),
    (
        "encode minilm ridge",
        "haxby-slice",
        {"methods": {"ridge": {"encoder": "ridge", "cv": "groups", "alphas": [1, 2, 3]}}},
        (2960, 3343, 6.0),
    ),
    ("compare", "haxby-slice", {}, (15769, 4052, 1)),
    ("compare", "haxby-slice", {"compare": {"distances": ["correlation"]}}, (800, 2, 1)),
    ("prepare_sentences", "simulated-sentences", {}, (1540, 6, 13.5)),
    ("decode _ ridge", "simulated-sentences", {}, (2081, 6, 5)),
    ("decode _ writer", "simulated-sentences", {}, (2081, 24, 5)),
    ("decode", "simulated-sentences", {"decode": {"seeds": [0, 1, 2]}}, (2081, 10, 5)),
    ("decode _ writer", "simulated-sentences", {"decode": {"seeds": [0, 1, 2]}}, (2081, 65, 5)),
    ("decode_series", "simulated-series", {}, (2500, 30, 20)),
    (
        "decode_series",
        "simulated-series",
        {
            "decode_series": {
                "model": {"design": "full", "schedule": "plateau", "batch_size": 40},
                "ablations": ["self loops"],
                "folds": 7,
                "repeats": 3,
                "permutations": 90,
            }
        },
        (2500, 587, 20),
    ),
    ("decode_modalities", "simulated-series", {}, (3000, 19, 50)),
    ("decode_modalities", "simulated-series", {"decode_modalities": {"steps": 2000, "beside": []}}, (3000, 19, 50)),
    ("concepts", "simulated-series", {}, (3000, 18420, 10)),
    (
        "concepts",
        "simulated-series",
        {"concepts": {"methods": ["sparse"], "starts": 7, "alphas": [0.1, 0.2], "epochs": 30, "n_dims": 50}},
        (3000, 960, 10),
    ),
    (
        "align",
        "simulated-series",
        {
            "align": {
                "teacher": "generator",
                "students": ["pixels", "minilm"],
                "penalties": [0.1, 0.2, 0.3],
                "steps": 700,
            }
        },
        (4000, 570, 10),
    ),
    (
        "rollout mine",
        "simulated-series",
        {"dynamics": {"models": {"mine": {"function": "a:b", "heads": ["mlp", "lstm"]}}, "training_steps": 3000}},
        (3000, 180, 50),
    ),
    ("compare_rdms", "simulated-series", {"compare_rdms": {"draws": 700}}, (1500, 20, 20)),
    ("encode_runs", "simulated", {"encode_runs": {"permutations": 300}}, (29839, 60903967, 70.0)),
]


@pytest.mark.parametrize(("job", "study", "changes", "cost"), COSTS)
def test_a_job_costs(
    demo: Config, job: str, study: str, changes: dict[str, dict[str, object]], cost: tuple[int, int, float]
) -> None:
    """Exact values, which an edit of an estimate changes: whether they are near what was measured is asked above."""
    content = demo.model_dump(mode="json")
    for section, options in changes.items():
        content[section] |= options
    descriptor = load_descriptor(f"data/{study}.yaml")
    descriptor = descriptor.model_copy(update={"shape": SIZES.get(study)})
    found = estimate(*job.split()[:1], parse(Config, content, "test"), descriptor, *job.split()[1:])
    assert (found.memory_mb, found.seconds, round(found.disk_mb, 3)) == cost


def test_a_release_whose_files_say_nothing_is_planned_as_large(demo: Config) -> None:
    declared = load_descriptor("data/haxby-slice.yaml")
    measured = declared.model_copy(update={"shape": None})
    assert estimate("encode", demo, measured, "minilm", "ridge") == estimate(
        "encode", demo, declared, "minilm", "ridge"
    )
    elsewhere = measured.model_copy(update={"name": "elsewhere", "folder": Path("nowhere")})  # its files are not found
    assert estimate("encode", demo, elsewhere, "minilm", "ridge").memory_mb > 10_000


def test_eeg_of_a_release_is_planned_by_its_files(demo: Config) -> None:
    study = load_descriptor("data/simulated-sentences.yaml")
    releases: list[dict[str, object]] = [{}, {"subjects": ["ZAB", "ZDM"]}, {"tasks": ["NR"]}]
    files = {
        str(k): parse(ZucoFiles, {"format": "zuco", "folder": "z"} | given, "test") for k, given in enumerate(releases)
    }
    study = study.model_copy(update={"simulate": None, "recordings": files})
    per_file = 350 * 104 * 1280 * 4 / 2**20  # of sentences, channels and samples in float32
    assert estimate("prepare_sentences", demo, study).disk_mb == pytest.approx((18 * 2 + 2 * 2 + 18) * per_file)


def test_features_of_a_table_are_counted_in_its_file(demo: Config, tmp_path: Path) -> None:
    study = load_descriptor("data/simulated.yaml").model_copy(update={"shape": SIZES["simulated"]})
    seconds = {}
    for width in (30, 60):
        np.save(tmp_path / f"{width}.npy", np.zeros((4, width // 10, 10)))
        model = parse(TableModel, {"extractor": "table", "file": str(tmp_path / f"{width}.npy")}, "test")
        config = demo.model_copy(update={"models": {"own": model}})
        seconds[width] = estimate("encode_runs", config, study).seconds
    # Alone, all, all again for this one, and without it nothing: three projections of four delays each.
    work = 2.0 * 12 * 9000 * 70_000 * demo.encode_runs.permutations / 2e10
    assert seconds == {width: 2 + round(3 * 4 * width * work) for width in (30, 60)}


def test_digests_follow_the_files_they_cover() -> None:
    fit, image_fit, geometry = "encode/encode", "encode/encode_images", "compare/compare"
    assert len({code_digest(program) for program in (fit, image_fit, geometry)}) == 3
    assert code_digest(fit) == code_digest(fit)
    assert {"regression/ridge.py", "kernels/__init__.py", "io/artifacts.py"} & reached(fit).keys()
    assert not [name for name in reached(fit) if name.startswith(("geometry/", "report/", "decoding/", "config/"))]
    assert not [name for name in reached(geometry) if name.startswith(("encoding/", "report/", "datasets/checks/"))]
    assert {"report/templates/page.html", "report/pages/images.py"} <= reached("report/report").keys()
    refused("no program encode/encodin ", code_digest, "encode/encodin")


def a_small_run(small, **changes: object) -> Run:
    content = {
        "datasets": {"small": {"descriptor": str(small.write())}},
        "models": {"onehot": {"extractor": "onehot"}, "random": {"extractor": "random"}},
        "methods": {"ridge": {"encoder": "ridge"}},
    }
    return Run(parse(Config, content | changes, "test"))


def edited(monkeypatch: pytest.MonkeyPatch, run: Run, dataset: str, file: Path) -> set[tuple[str, str]]:
    """Return step and method of the jobs whose digest of code follows an edit of a file."""

    def digests() -> dict[tuple[str, str], str]:
        code_digest.cache_clear()
        return {(step.name, of.get("method", "")): step_digest(run, step, of) for step, of in planned(run, dataset)}

    before, content = digests(), Path.read_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: content(path) + b"#" if path == file else content(path))
        after = digests()
    code_digest.cache_clear()
    return {job for job in before if before[job] != after[job]}


# What a run makes of this, and that files on the way to a result follow, is asked of Snakemake in test_small_study.py.
@pytest.mark.parametrize(
    ("file", "steps"),
    [
        ("brainalign/geometry/rdms/dissimilarity.py", {"compare"}),
        ("brainalign/features/tables.py", {"extract"}),
        ("brainalign/report/kit/captions.py", {"report"}),
        ("brainalign/report/templates/page.html", {"report"}),
        ("brainalign/cli.py", set()),
        ("pipelines/compare/compare.py", {"compare"}),
    ],
)
def test_an_edit_reruns_the_steps_that_use_the_file(
    small, root: Path, monkeypatch: pytest.MonkeyPatch, file: str, steps: set[str]
) -> None:
    assert {step for step, _ in edited(monkeypatch, a_small_run(small), "small", root / file)} == steps


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"compare": {"permutations": 60}}, {"compare", "report"}),
        ({"summarize": {"q": 0.1}}, {"summarize", "report"}),
        ({"confidence": 0.9}, {"compare", "summarize", "report"}),
        ({"prepare": {"n_halvings": 50}}, {"prepare_blocks", "report"}),
    ],
)
def test_a_setting_is_told_to_the_steps_that_use_it(small, changes: dict[str, object], steps: set[str]) -> None:
    plain, other = (
        {(step.name, *of.values()): job_of(run, step, of).settings for step, of in planned(run)}
        for run in (a_small_run(small), a_small_run(small, **changes))
    )
    assert {job[0] for job in plain if plain[job] != other[job]} == steps


def test_an_edit_to_in_context_code_reruns_no_ridge_fit(
    demo: Config, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, file = Run(demo), root / "brainalign/encoding/in_context/study.py"
    fits = {of["method"] for step, of in planned(run, "simulated") if step.name == "encode_images"}
    assert fits == {"ridge", "banded", "routing", "core", "few"}
    changed = edited(monkeypatch, run, "simulated", file)
    assert {method for step, method in changed if step == "encode_images"} == {"few"}


def test_a_gpu_is_asked_for_where_it_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    base = {
        "datasets": {"d": {"descriptor": "x"}},
        "models": {"m": {"extractor": "onehot"}},
        "methods": {name: {"encoder": "ridge", "device": name} for name in ("auto", "cpu", "cuda")},
    }
    config = parse(Config, base, "test")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert [wants_gpu(config, method) for method in ("auto", "cpu", "cuda")] == [True, False, True]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [wants_gpu(config, method) for method in ("auto", "cpu", "cuda")] == [False, False, True]


@pytest.mark.parametrize(("method", "model"), [("banded", "generator"), ("routing", "generatortokens")])
def test_methods_are_planned_where_they_are_used(demo: Config, method: str, model: str) -> None:
    fits = [labels for job in jobs(demo) if (labels := dict(job.labels)).get("method") == method]
    assert fits == [{"subject": "01", "model": model, "method": method}]


def test_networks_are_pretrained_once_per_subject_model_and_method(demo: Config) -> None:
    few = {"encoder": "in_context", "models": ["efficientnet"], "subjects": ["01", "02"], "n_repeats": 2}
    content = demo.model_dump(mode="json")
    content["methods"]["few"] = few
    del content["models"]["efficientnet"]["subjects"]
    content["datasets"]["haxby-slice"]["methods"] = ["ridge"]
    config = parse(Config, content, "test")
    planned = jobs(config)
    trained = [dict(job.labels) for job in planned if job.stage == "pretrain"]
    expected = {"model": "efficientnet", "method": "few"}
    assert trained == [{"subject": subject} | expected for subject in ("01", "02")]
    (first, *_) = [job for job in planned if job.stage == "pretrain"]
    assert first.output.name == "sub-01_model-efficientnet_method-few_network.safetensors"
    order = [(job.stage, dict(job.labels).get("subject")) for job in planned if job.dataset == "simulated"]
    places = [order.index(("prepare", "02")), order.index(("pretrain", "01"))]
    encoded = [k for k, job in enumerate(planned) if dict(job.labels) == trained[0] and job.stage == "encode_images"]
    assert places == sorted(places)
    assert encoded[0] > planned.index(first)


def test_jobs_travel_in_files_named_by_what_they_say(tmp_path: Path) -> None:
    settings = {"a": {"text": "it's \"quoted\" 'äöü'"}, "b": [1, None]}
    job = Job("compare", settings, {"rdm": [tmp_path / "a b", tmp_path / "c"]}, {"comparison": tmp_path / "d"}, seed=3)
    path = job.write(tmp_path / "new")
    stamp = path.stat().st_mtime_ns
    assert Job.read(path) == job
    assert Job.read(path).write(tmp_path / "new") == path
    assert path.stat().st_mtime_ns == stamp  # an equal one is left alone: other jobs may be reading it
    others = [replace(job, settings=settings | {"b": [1, 0]}), replace(job, inputs={}), replace(job, seed=4)]
    assert len({path, *(other.write(tmp_path / "new") for other in others)}) == 4
    assert len(list((tmp_path / "new").iterdir())) == 4


def test_every_job_of_a_run_says_what_it_is_asked(demo: Config) -> None:
    run = Run(demo)
    for step, of in planned(run):
        job = job_of(run, step, of)
        assert job.seed == demo.seed
        assert job.labels == of
        assert list(job.outputs) == [*step.writes, *step.makes]
        assert json.loads(json.dumps(job.settings)) == job.settings


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "holds a list"), ("{", "Expecting"), (None, "no such file"), ("{}", "missing"), ('{"stp": 1}', "stp")],
)
def test_files_that_hold_no_job_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "job.json"
    if text is not None:
        path.write_text(text)
    refused(f"job.json.*{message}", Job.read, path)


@pytest.mark.parametrize(("names", "n"), [((), 0), (("a", "b"), 2)])
def test_a_job_wants_one_file_where_one_is_asked_for(names: tuple[str, ...], n: int) -> None:
    job = Job("compare", {}, {"rdm": [Path(name) for name in names]})
    assert job.has("rdm") == bool(n)
    assert len(job.paths("rdm")) == n
    refused(f"compare wants one file 'rdm' and was given {n}", job.path, "rdm")


def test_sizes_come_from_headers_and_tables(small, scenes, root: Path) -> None:
    """Without `shape`: of volumes voxels in the mask and blocks, of betas the rows of trials and vertices."""
    blocks = load_descriptor(small.write())
    assert known_shape(blocks) == Shape(runs=4, trials=16, targets=60)
    images = load_descriptor(scenes.write())
    declared, measured = images.shape, known_shape(images.model_copy(update={"shape": None}))
    assert (measured.trials, measured.targets) == (declared.trials, declared.targets)
    simulated = load_descriptor(root / "data" / "simulated.yaml")
    measured = known_shape(simulated.model_copy(update={"shape": None}))
    assert (measured.trials, measured.targets) == (simulated.shape.trials, simulated.shape.targets)
    (small.folder / "mask.nii.gz").write_bytes(b"no image")
    broken = load_descriptor(small.folder / "small.yaml").model_copy(update={"title": "again", "licence": "other"})
    assert known_shape(broken) is None
    assert shape_of(broken).trials == 10_000


def test_a_file_of_a_list_holds_the_targets_of_the_others(scenes) -> None:
    """Of CIFTI the last axis, of volumes the mask, of each hemisphere its first file: the others are other trials."""
    study = load_descriptor(scenes.write()).model_copy(update={"shape": None})
    n_trials, folder = len(scenes.trials), scenes.folder

    def n_targets(**files: object) -> int:
        given = {"format": "betas", "trials": "trials.tsv"} | files
        (folder / "scenes.yaml").write_text(yaml.safe_dump(scenes.descriptor(recordings={"1": given}, shape=None)))
        shape = known_shape(load_descriptor(folder / "scenes.yaml"))
        assert shape.trials == n_trials
        return shape.targets

    axes = nibabel.cifti2.cifti2_axes
    cortex = axes.BrainModelAxis.from_surface(np.arange(300), 642, name="CortexLeft")
    maps = axes.ScalarAxis([f"map {number}" for number in range(n_trials)])
    nibabel.save(nibabel.Cifti2Image(np.zeros((n_trials, 300), np.float32), (maps, cortex)), folder / "b.dscalar.nii")
    assert n_targets(betas="b.dscalar.nii") == n_targets(betas=["b.dscalar.nii"] * 2) == 300
    mask = np.zeros((10, 10, 20), np.float32)
    mask[:4], mask[5] = 1, np.nan
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), folder / "mask.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.zeros((10, 10, 20, 2), np.float32), np.eye(4)), folder / "ses.nii.gz")
    assert n_targets(betas=["ses.nii.gz"] * 10, mask="mask.nii.gz") == 800
    betas = study.recordings["01"].betas
    assert n_targets(betas={hemi: [str(path)] * 3 for hemi, path in betas.items()}) == 2 * 642
    nibabel.save(nibabel.MGHImage(np.zeros((642, 1, 1, 2), np.float32), np.eye(4)), folder / "R.mgz")
    assert n_targets(betas={"L": str(betas["L"]), "R": ["R.mgz", "R.mgz"]}) == 2 * 642


@pytest.mark.parametrize("damage", ["deflate", "header", "size"])
def test_a_damaged_mask_says_no_size(small, damage: str) -> None:
    descriptor, path = load_descriptor(small.write()), small.folder / "mask.nii.gz"
    raw = bytearray(gzip.decompress(path.read_bytes()))
    if damage == "header":
        raw[70:72] = b"\x99\x99"  # the code of the data type
    elif damage == "size":
        raw[42:48] = b"\xff\x7f" * 3
    packed = bytearray(gzip.compress(bytes(raw)))
    if damage == "deflate":
        packed[10:60] = b"\xff" * 50
    path.write_bytes(packed)
    assert known_shape(descriptor.model_copy(update={"title": damage})) is None


def test_a_small_study_is_planned_as_small(small) -> None:
    """Four runs of sixty voxels, of which the descriptor gives no size, were planned as a large release."""
    planned = jobs(a_small_run(small).config)
    assert max(job.cost.memory_mb for job in planned) < 2000
    assert sum(job.cost.seconds for job in planned) < 300
    assert sum(job.cost.disk_mb for job in planned) < 100
