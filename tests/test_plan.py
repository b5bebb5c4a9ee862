import gzip
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import nibabel
import numpy as np
import pandas as pd
import pytest
from jobs import config_of
from made import write_yaml
from refusals import refused
from seeded.recorded import Record

from brainalign import workflow
from brainalign.config import ClusterSettings, Config, TableModel, load_config, load_descriptors
from brainalign.study import RunFiles, Shape, ZucoFiles, has_unknown_size, known_shape, load_descriptor, parse, shape_of
from brainalign.workflow import STEPS, Job, Run, code_digest, estimate, image_state, jobs, planned, reached, step_digest


@pytest.fixture
def demo(root: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(root)
    return load_config("snakemake/config/demo.yaml")


BLOCKS = {"extract": 4, "prepare_blocks": 1, "encode": 5, "compare": 1, "searchlight": 1, "summarize": 1, "report": 1}
ONCE = ("simulate", "pretrain", "converge", "match", "decode_times", "searchlight", "caption", "guide", "synthesize")
ONCE += ("directions", "ground", "ground_regions", "summarize_group", "report_group")
SIMULATED = dict.fromkeys(ONCE, 1) | {"extract": 8, "prepare": 4, "encode_held_out": 15}
SIMULATED |= dict.fromkeys(("compare", "summarize_held_out", "report"), 4)
STAGES = {
    "haxby-slice": BLOCKS,
    "simulated": SIMULATED,
    "simulated-sentences": {"prepare_sentences": 1, "extract": 1, "decode": 2, "report_group": 1},
    "simulated-modalities": {"prepare_modalities": 1, "decode_modalities": 1, "report_group": 1},
    "simulated-series": {"prepare_series": 1, "decode_series": 1, "report_group": 1},
    "eeg-n170": {"prepare_recordings": 1, "decode_times": 1, "report": 1},
    "kriegeskorte92": {"prepare_rdms": 1, "extract": 2, "compare_rdms": 1, "report_group": 1},
}

# Seconds of a core that stages of the demo took, without the studies that need files of others (benchmarks/plan.py;
# two quiet cores). Stages of less than ten seconds are counted in the last.
MEASURED_S = {"simulate": 20.0, "prepare": 10.9, "extract": 62.3, "pretrain": 26.3, "encode": 58.4}
MEASURED_S |= {"encode_held_out": 125.6, "compare": 31.7, "decode": 29.8, "decode_modalities": 18.6}
MEASURED_S |= {"decode_series": 30.6, "guide": 10.7, "synthesize": 65.2, "directions": 34.3, "report": 34.0}
MEASURED_S |= {"others": 82.7}


def test_the_job_list_follows_from_the_configuration(demo: Config, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BRAINALIGN_DATA", str(tmp_path))
    for name in load_descriptor("data/kriegeskorte92.yaml").recordings["humanIT"].files:
        (tmp_path / "kriegeskorte92").mkdir(exist_ok=True)
        (tmp_path / "kriegeskorte92" / name).touch()
    for path in load_descriptor("data/n170.yaml").recordings["1"].recordings:
        (tmp_path / "eeg-n170" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "eeg-n170" / path).touch()
    planned = jobs(demo)
    assert {name: Counter(job.rule for job in planned if job.dataset == name) for name in demo.datasets} == STAGES
    for method, model in (("banded", "generator"), ("routing", "generatortokens")):
        fits = [labels for job in planned if (labels := dict(job.labels)).get("method") == method]
        assert fits == [{"subject": "01", "model": model, "method": method}]
    # Two scanned subjects are too few to be told apart by others, and the demo has no judgements, videos or stories.
    other = {"identify", "prepare_triplets", "concepts", "align", "prepare_events", "prepare_runs", "encode_continuous"}
    other |= {"simulate_story", "correlate_subjects", "map_subjects_continuous", "map_subjects", "rollout", "dynamics"}
    assert ({job.rule for job in planned}, len({job.output for job in planned})) == (set(STEPS) - other, len(planned))
    assert len({job.log for job in planned}) == len(planned)
    assert all(job.cost.memory_mb > 0 and job.cost.seconds > 0 for job in planned)


def test_jobs_end_after_those_whose_files_they_read(demo: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a second for every job, the end of each is the length of the longest chain to it."""
    monkeypatch.setattr("brainalign.workflow.plan.estimate", lambda *_: SimpleNamespace(seconds=1))
    ends = {dataset: {} for dataset in demo.datasets}
    for job in jobs(demo):
        ends[job.dataset].setdefault(job.rule, set()).add(job.end_s)
    blocks = {"encode": {2}, "compare": {2}, "searchlight": {2}} | {"summarize": {3}, "report": {4}}
    assert ends["haxby-slice"] == blocks | {"extract": {1}, "prepare_blocks": {1}}
    # In-context encoding waits for its networks, and so does the page of subject 01.
    images = {"simulate": {1}, "prepare": {2}, "pretrain": {3}, "encode_held_out": {3, 4}, "report": {5, 6}}
    assert ends["simulated"] | images == ends["simulated"]


def test_a_dataset_is_planned_under_any_name(demo: Config) -> None:
    """Costs know the descriptor, whose name need not be that of the dataset in the configuration."""
    content = demo.model_dump(mode="json")
    # The weights of the simulated study lie in a folder of its name.
    names = {name: name if name == "simulated" else f"my-{name}" for name in content["datasets"]}
    content["datasets"] = {names[name]: use for name, use in content["datasets"].items()}
    assert [job.cost for job in jobs(parse(Config, content, "test"))] == [job.cost for job in jobs(demo)]


def test_the_plan_is_what_the_demo_took(demo: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it within a factor of 1.5, every stage of more than ten seconds within 2."""
    monkeypatch.setenv("BRAINALIGN_DATA", str(tmp_path))
    always = {"haxby-slice", "simulated", "simulated-sentences", "simulated-modalities", "simulated-series"}
    assert set(load_descriptors(demo)) == always
    seconds: Counter[str] = Counter()
    for job in jobs(demo):
        assert job.dataset in always
        seconds[job.rule if job.rule in MEASURED_S else "others"] += job.cost.seconds
    assert {name for name, took in MEASURED_S.items() if not 0.5 <= seconds[name] / took <= 2} == set()
    assert 1 / 1.5 <= seconds.total() / sum(MEASURED_S.values()) <= 1.5
    use = demo.datasets["kriegeskorte92"].model_copy(update={"optional": False})
    needed = demo.model_copy(update={"datasets": {"kriegeskorte92": use}, "contest": {}})
    assert [job.rule for job in jobs(needed)].count("compare_rdms") == 1  # planned, and missing files stop the run
    missing = r"humanIT.files.1: no file 92_behavRDMs.mat in .*BRAINALIGN_DATA"
    refused(missing, load_descriptors(needed)["kriegeskorte92"].all_files)


def test_a_study_of_images_with_two_methods_and_scanned_subjects(scenes, tmp_path: Path) -> None:
    content = {"results": str(tmp_path / "results")}
    content |= {"models": {"net": {"extractor": "efficientnet"}, "captions": {"extractor": "sentence", "weights": "x"}}}
    content |= {"methods": {name: {"encoder": "ridge"} for name in ("ridge", "pooled")}}
    files, subjects = scenes.descriptor()["recordings"], ("01", "02", "03")
    for n in (2, 3):
        path = scenes.write(recordings=dict.fromkeys(subjects[:n], files["01"]) | {"eeg": files["02"]})
        planned = jobs(parse(Config, content | {"datasets": {"scenes": {"descriptor": str(path)}}}, "test"))
        per_subject = dict.fromkeys(("prepare", "compare", "summarize_held_out", "report"), n + 1)
        once = dict.fromkeys(("summarize_group", "report_group", *(["identify"] if n == 3 else [])), 1)
        expected = per_subject | once | {"extract": 2, "encode_held_out": 4 * (n + 1)}
        assert Counter(job.rule for job in planned) == expected  # three or more are told apart by regions
    outputs = {job.rule: job.output.relative_to(tmp_path / "results" / "scenes") for job in planned}
    assert outputs["report_group"] == Path("group.html")
    alone = content | {"datasets": {"scenes": {"descriptor": str(scenes.write(recordings={"01": files["01"]}))}}}
    assert not {"summarize_group", "report_group"} & {job.rule for job in jobs(parse(Config, alone, "test"))}
    matched = alone | {"match": {"models": ["net", "captions"]}}  # which is of no subject
    assert {"match", "report_group"} <= {job.rule for job in jobs(parse(Config, matched, "test"))}
    assert outputs["identify"] == Path("group/identify/regions.parquet")


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
SIZES = {"simulated": Shape(runs=12, trials=9000, targets=70_000)}
SIZES |= {"haxby-slice": Shape(runs=7, trials=900, targets=50_000), "n170": Shape(runs=3, trials=700, targets=30)}
Changes = dict[str, dict[str, object]]


def routing(**changes: object) -> Changes:
    method = {"encoder": "routing", "models": ["generatortokens"], "epochs": 30, "baselines": []}
    return {"methods": {"routing": method | changes}}


def core(image_size: int | None = None, **changes: object) -> Changes:
    method = {"encoder": "response_optimised", "models": ["pixels"], "n_channels": [16, 32], "kernel_sizes": [5, 3]}
    method |= {"pool": [3, 2], "seeds": [0, 1], "epochs": 20, "baselines": ["gaussian"]}
    models = {"models": {"pixels": {"extractor": "pixels", "image_size": image_size}}} if image_size else {}
    return {"methods": {"core": method | changes}} | models


def few(**changes: object) -> Changes:
    method = {"encoder": "in_context", "models": ["generator"], "sizes": [10, 30], "n_repeats": 3, "n_voxels": 40}
    method |= {"n_steps": [10, 100, 60], "seeds": [3, 4], "context_sizes": [9, 90]}
    return {"methods": {"few": method | changes}}


def asked(section: str, **options: object) -> Changes:
    return {section: options}


GUIDED = asked("synthesize", n_images=30, n_nulls=3, n_null_images=20, scales=[1, 2, 3], regions=None)
PATHS = asked("directions", methods=["supervised", "pullback", "pca"]) | asked("synthesize", steps=70)
CODES = {"encoder": "dictionary", "models": ["generator"], "width": 300, "epochs": 70, "n_active": 5}
FIELD = {"encoder": "gaussian", "models": ["generatortokens"], "epochs": 30, "restarts": 3}
FOLDED = {"encoder": "ridge", "cv": "groups", "alphas": [1, 2, 3]}
SENSORS = asked("decode_times", permutations=900, square_permutations=390)
BLOCKWISE = asked("encode", permutations=300)
GRAPH = {"design": "full", "schedule": "plateau", "batch_size": 40}
SUBJECTS = asked("decode_series", model=GRAPH, ablations=["self loops"], folds=7, repeats=3, permutations=90)
SPARSE = asked("concepts", methods=["sparse"], starts=7, alphas=[0.1, 0.2], epochs=30, n_dims=50)
STUDENTS = {"students": ["pixels", "minilm"], "penalties": [0.1, 0.2, 0.3], "steps": 700}
ROLLED = {"mine": {"function": "a:b", "heads": ["mlp", "lstm"]}}
PLAIN = """simulate, prepare, extract generator, summarize_held_out, summarize_group, report, report_group, guide
decode_times, compare, converge, match, ground, ground_regions, prepare_rdms, synthesize, directions
encode_held_out generator ridge, encode_held_out generator banded"""
COSTS: dict[str, list[tuple[str, Changes]]] = {
    "simulated": [
        *((job, {}) for job in re.split(", |\n", PLAIN)), ("guide", asked("synthesize", views=7)),
        ("caption", asked("caption", nulls=23, draws=900)), ("decode_times", SENSORS), ("synthesize", GUIDED),
        ("searchlight generator", asked("searchlight", permutations=700)), ("directions", PATHS),
        ("compare", asked("compare", permutations=700, draws=900)), ("ground_regions", asked("ground", draws=9000)),
        ("ground", asked("ground", n_steps=900, batch_size=40)), ("identify", asked("identify", draws=900)),
        ("match", asked("match", draws=7, features=["shape", "size"])),
        ("encode_held_out generator banded", asked("encode", permutations=900, draws=700)),
        ("encode_held_out generatortokens routing", routing()),
        ("encode_held_out generatortokens routing", routing(baselines=["factorized", "gaussian"])),
        ("encode_held_out generatortokens routing", routing(controls=["content", "position"])),
        ("encode_held_out generatortokens routing", routing(seeds=[0, 1, 2])),
        ("encode_held_out generatortokens field", asked("methods", field=FIELD)),
        ("encode_held_out pixels core", core()),
        ("encode_held_out generator core", core(models=["pixels", "generator"])),
        ("encode_held_out generator codes", asked("methods", codes=CODES)), ("encode_held_out generator few", few()),
        ("encode_held_out generator few", few(context_sizes=[90, 90], network="clip")),
        ("pretrain generator few", few()),
        ("pretrain generator few", few(context_sizes=[90, 90], network="clip")),
    ],
    "n170": [("decode_times", SENSORS)],
    "haxby-slice": [
        ("prepare_blocks", {}), ("extract minilm", {}), ("extract untrainedmaps", {}), ("extract pixels", {}),
        ("encode minilm ridge", BLOCKWISE), ("encode minilm fixed", BLOCKWISE), ("encode wordings ridge", BLOCKWISE),
        ("encode minilm ridge", asked("methods", ridge=FOLDED)), ("compare", {}),
        ("compare", asked("compare", distances=["correlation"])),
        ("encode minilm own", asked("methods", own={"encoder": "estimator", "estimator": "a:B"})),
    ],
    "simulated-sentences": [
        ("prepare_sentences", {}), ("decode _ ridge", {}), ("decode _ writer", {}),
        ("decode", asked("decode", seeds=[0, 1, 2])), ("decode _ writer", asked("decode", seeds=[0, 1, 2])),
    ],
    "simulated-series": [
        ("decode_series", {}), ("decode_series", SUBJECTS), ("decode_modalities", {}), ("concepts", {}),
        ("concepts", SPARSE), ("align", asked("align", teacher="generator", **STUDENTS)),
        ("rollout mine", asked("dynamics", models=ROLLED, training_steps=3000)),
    ],
}  # fmt: skip


def test_jobs_cost(demo: Config, recorded: Record) -> None:
    """Exact values, which an edit of an estimate changes: whether they are near what was measured is asked above."""
    whole, found = demo.model_dump(mode="json"), {}
    for study, cases in COSTS.items():
        descriptor = load_descriptor(f"data/{study}.yaml").model_copy(update={"shape": SIZES.get(study)})
        for k, (job, changes) in enumerate(cases):
            content = whole | {section: whole[section] | options for section, options in changes.items()}
            kind, *labels = job.split()
            found[f"{study} {k} {job}"] = estimate(kind, parse(Config, content, "test"), descriptor, *labels)
    recorded.check("jobs", found, 1e-7)


def test_what_files_say_decides_what_is_planned_as_large(demo: Config, small) -> None:
    declared = load_descriptor("data/haxby-slice.yaml")
    measured = declared.model_copy(update={"shape": None})
    known, found = (estimate("encode", demo, study, "minilm", "ridge") for study in (declared, measured))
    assert known == found
    elsewhere = measured.model_copy(update={"name": "elsewhere", "folder": Path("nowhere")})  # its files are not found
    assert estimate("encode", demo, elsewhere, "minilm", "ridge").memory_mb > 10_000
    planned = jobs(a_small_run(small).config)  # four runs of sixty voxels, of which the descriptor gives no size
    assert max(job.cost.memory_mb for job in planned) < 2000
    assert sum(job.cost.seconds for job in planned) < 300
    assert sum(job.cost.disk_mb for job in planned) < 100


def test_eeg_of_a_release_is_planned_by_its_files(demo: Config) -> None:
    study = load_descriptor("data/simulated-sentences.yaml")
    releases: list[dict[str, object]] = [{}, {"subjects": ["ZAB", "ZDM"]}, {"tasks": ["NR"]}]
    given = {str(k): {"format": "zuco", "folder": "z"} | release for k, release in enumerate(releases)}
    files = {name: parse(ZucoFiles, content, "test") for name, content in given.items()}
    study = study.model_copy(update={"simulate": None, "recordings": files})
    per_file = 350 * 104 * 1280 * 4 / 2**20  # of sentences, channels and samples in float32
    assert estimate("prepare_sentences", demo, study).disk_mb == pytest.approx((18 * 2 + 2 * 2 + 18) * per_file)


@pytest.mark.parametrize(("widths", "clock", "shape", "seconds", "memory_mb"), [
    ([30], {"tr_s": 1.5}, (10, 1200, 300), 19.5, 527), ([300, 100, 20], {"tr_s": 1.5}, (4, 1600, 200), 372, 726),
    ([3], {"sfreq_hz": 64}, (5, 28_800, 10), 29, 912), ([3], {"sfreq_hz": 64}, (5, 57_600, 32), 105, 1182),
])  # fmt: skip
def test_stories_are_planned_by_rows_delays_and_widths(
    widths, clock, shape, seconds, memory_mb, demo: Config, tmp_path: Path, monkeypatch
) -> None:
    """Seconds of a core and memory that were measured, of runs, rows and targets."""
    monkeypatch.setattr("brainalign.workflow.estimates.operations_per_s", lambda: 7e10)
    models = {}
    for width in widths:
        np.save(tmp_path / f"{width}.npy", np.zeros((4, width)))
        models[str(width)] = parse(TableModel, {"extractor": "table", "file": str(tmp_path / f"{width}.npy")}, "test")
    files = parse(RunFiles, {"format": "runs", "files": {"a": "a.npy", "b": "b.npy"}} | clock, "test")
    size = Shape(runs=shape[0], trials=shape[1], targets=shape[2])
    study = load_descriptor("data/simulated-story.yaml").model_copy(update={"recordings": {"01": files}, "shape": size})
    config = demo.model_copy(update={"models": models})
    cost = estimate("encode_continuous", config, study)
    assert estimate("extract", config, study, str(widths[0])).seconds == 1
    assert 1 / 1.5 < cost.seconds / seconds < 1.5
    assert 1 / 1.3 < cost.memory_mb / memory_mb < 1.3


def test_rdms_are_planned_by_their_files(demo: Config, tmp_path: Path) -> None:
    """Seconds measured with two layers and 500 draws, of sets, subjects and stimuli."""
    np.savez(tmp_path / "own.npz", a=np.zeros((2, 3)), b=np.zeros((2, 3)), stimulus_id=list("ab"))
    model = parse(TableModel, {"extractor": "table", "file": str(tmp_path / "own.npz")}, "test")
    compare = demo.compare.model_copy(update={"draws": 500})
    config = demo.model_copy(update={"models": {"own": model}, "compare": compare})
    for n_sets, n_subjects, n, seconds in ((2, 12, 300, 47.4), (1, 6, 450, 28.1), (3, 30, 120, 30.8)):
        np.save(tmp_path / "rdms.npy", np.broadcast_to(np.float32(0), (n_subjects, n * (n - 1) // 2)))
        pd.DataFrame({"stimulus_id": range(n)}).to_csv(tmp_path / "stimuli.tsv", sep="\t", index=False)
        sets = {f"R{k}": {"format": "rdms", "file": "rdms.npy"} for k in range(n_sets)}
        study = {"name": "own", "stimuli": "stimuli.tsv", "recordings": sets}
        planned = estimate("compare_rdms", config, load_descriptor(write_yaml(tmp_path / "study.yaml", study))).seconds
        assert 1 / 1.5 < planned / seconds < 1.5


@pytest.mark.parametrize(("images", "targets", "widths", "cluster", "seconds", "memory_mb"), [
    (10_000, 20_000, 4 * [2048], None, 226, 2530), (2500, 20_000, 4 * [2048], None, 129, 1410),
    (400, 20_000, [300], ClusterSettings(workers=2), None, 1382),
    (1200, 80_000, [300], ClusterSettings(workers=2), None, 1735),
])  # fmt: skip
def test_ridge_is_planned_by_the_width_of_layers(
    images, targets, widths, cluster, seconds, memory_mb, demo: Config, tmp_path: Path, monkeypatch
) -> None:
    """A tenth of images is held out; of workers that share the fits memory is that of all processes together."""
    monkeypatch.setattr("brainalign.workflow.estimates.operations_per_s", lambda: 1e11)
    zeros = {f"layer{k}": np.broadcast_to(np.float32(0), (4, width)) for k, width in enumerate(widths)}
    np.savez(tmp_path / "own.npz", **zeros, stimulus_id=list("abcd"))
    model = parse(TableModel, {"extractor": "table", "file": str(tmp_path / "own.npz")}, "test")
    config = demo.model_copy(update={"models": {"own": model}, "cluster": cluster})
    monkeypatch.setattr("brainalign.workflow.estimates.count_stimuli", lambda study: study.shape.trials // 3)
    shape = {"shape": Shape(runs=12, trials=3 * images, targets=targets)}
    study = load_descriptor("data/simulated.yaml").model_copy(update=shape)
    cost = estimate("encode_held_out", config, study, "own", "ridge")
    assert seconds is None or 1 / 1.5 < cost.seconds / seconds < 1.5
    assert 1 / 1.3 < cost.memory_mb / memory_mb < 1.3


def test_digests_follow_the_files_they_cover() -> None:
    fit, geometry = "encode/encode", "compare/compare"
    apart = ("pipelines/encode/held_out.py", "pipelines/encode/continuous.py")
    assert len({code_digest(fit), code_digest(fit, apart), code_digest(geometry)}) == 3
    assert "encoding/scoring/dictionary_study.py" in reached(fit).keys() - reached(fit, apart).keys()
    assert code_digest(fit) == code_digest(fit)
    assert {"regression/ridge.py", "kernels/__init__.py", "io/artifacts.py"} & reached(fit).keys()
    assert not [name for name in reached(fit) if name.startswith(("geometry/", "report/", "decoding/", "config/"))]
    assert not [name for name in reached(geometry) if name.startswith(("encoding/", "report/", "datasets/checks/"))]
    assert {"report/templates/page.html", "report/pages/images.py"} <= reached("report/report").keys()
    refused("no program encode/encodin ", code_digest, "encode/encodin")


def a_small_run(small) -> Run:
    return Run(config_of(small.write(), models={"onehot": {"extractor": "onehot"}, "random": {"extractor": "random"}}))


@pytest.mark.parametrize("n", [1, 2])
def test_recordings_of_several_subjects_have_a_page_over_them(tmp_path: Path, n: int) -> None:
    files = {"format": "muse", "recordings": ["a.csv"]}
    content = {"name": "muse", "epochs": {"tmin_s": -0.1, "tmax_s": 0.4}}
    content |= {"recordings": {str(k): files for k in range(n)}, "markers": {"1": "house", "2": "face"}}
    (tmp_path / "a.csv").touch()
    study, page = write_yaml(tmp_path / "muse.yaml", content), {"dataset": "muse"}
    run = Run(config_of(study, models={"onehot": {"extractor": "onehot"}}))
    assert (page in [of for step, of in planned(run) if step.rule == "report_group"]) == (n > 1)
    shown = [(step.name, of["subject"]) for step, of in workflow.page_jobs(run, page)]
    assert shown == [("decode_times", str(k)) for k in range(n)]


def edited(monkeypatch: pytest.MonkeyPatch, run: Run, dataset: str, file: Path) -> set[tuple[str, str]]:
    """Return step and method of the jobs whose digest of code follows an edit of a file."""

    def digests() -> dict[tuple[str, str], str]:
        code_digest.cache_clear()
        return {(step.rule, of.get("method", "")): step_digest(run, step, of) for step, of in planned(run, dataset)}

    before, content = digests(), Path.read_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: content(path) + b"#" if path == file else content(path))
        after = digests()
    code_digest.cache_clear()
    return {job for job in before if before[job] != after[job]}


# What a run makes of this, and that files on the way to a result follow, is asked of Snakemake in test_small_study.py.
def test_an_edit_reruns_the_steps_that_use_the_file(small, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_small_run(small)
    for file, steps in {
        "brainalign/geometry/rdms/dissimilarity.py": {"compare"}, "brainalign/features/tables.py": {"extract"},
        "brainalign/report/kit/captions.py": {"report"}, "brainalign/report/templates/page.html": {"report"},
        "brainalign/cli.py": set(), "pipelines/compare/compare.py": {"compare"},
    }.items():  # fmt: skip
        assert {step for step, _ in edited(monkeypatch, run, "small", root / file)} == steps, file


def test_an_edit_to_in_context_code_reruns_no_ridge_fit(demo: Config, root: Path, monkeypatch) -> None:
    run, file = Run(demo), root / "brainalign/encoding/in_context/study.py"
    fits = {of["method"] for step, of in planned(run, "simulated") if step.rule == "encode_held_out"}
    assert fits == {"ridge", "banded", "routing", "core", "few"}
    changed = edited(monkeypatch, run, "simulated", file)
    assert {method for step, method in changed if step == "encode_held_out"} == {"few"}


def test_a_gpu_is_asked_for_where_it_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = {name: {"encoder": "ridge", "device": name} for name in ("auto", "cpu", "cuda")}
    models = {name: {"extractor": "vision", "weights": "x", "device": name} for name in methods}
    base = {"datasets": {"d": {"descriptor": "x"}}, "models": models | {"m": {"extractor": "onehot"}}}
    config = parse(Config, base | {"methods": methods}, "test")
    extract, run = STEPS["extract"], cast(Run, SimpleNamespace(config=config))
    for visible in ("0", ""):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert [workflow.wants_gpu(config, method) for method in methods] == [bool(visible), False, True]
        assert [extract.device(run, {"model": model}) for model in config.models] == [bool(visible), False, True, False]


def test_jobs_travel_in_files_named_by_what_they_say_or_are_refused(tmp_path: Path) -> None:
    settings = {"a": {"text": "it's \"quoted\" 'äöü'"}, "b": [1, None]}
    job = Job("compare", settings, {"rdm": [tmp_path / "a b", tmp_path / "c"]}, {"comparison": tmp_path / "d"}, seed=3)
    path = job.write(tmp_path / "new")
    stamp = path.stat().st_mtime_ns
    assert (Job.read(path), Job.read(path).write(tmp_path / "new")) == (job, path)
    assert path.stat().st_mtime_ns == stamp  # an equal one is left alone: other jobs may be reading it
    others = [replace(job, settings=settings | {"b": [1, 0]}), replace(job, inputs={}), replace(job, seed=4)]
    assert len({path, *(other.write(tmp_path / "new") for other in others)}) == 4
    assert len(list((tmp_path / "new").iterdir())) == 4
    path = tmp_path / "job.json"
    refused("job.json.*no such file", Job.read, path)
    for text, message in (("[1]", "holds a list"), ("{", "Expecting"), ("{}", "missing"), ('{"stp": 1}', "stp")):
        path.write_text(text)
        refused(f"job.json.*{message}", Job.read, path)
    for names, n in [((), 0), (("a", "b"), 2)]:
        job = Job("compare", {}, {"rdm": [Path(name) for name in names]})
        assert (job.has("rdm"), len(job.paths("rdm"))) == (bool(n), n)
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
    of_series = load_descriptor(root / "data" / "simulated-series.yaml")  # whose jobs do not grow with their data
    assert [has_unknown_size(study) for study in (blocks, broken, of_series)] == [False, True, False]


def test_a_damaged_mask_says_no_size(small) -> None:
    for damage in ("deflate", "header", "size"):
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


def test_a_file_of_a_list_holds_the_targets_of_the_others(scenes) -> None:
    """Of CIFTI the last axis, of volumes the mask, of each hemisphere its first file: the others are other trials."""
    study = load_descriptor(scenes.write()).model_copy(update={"shape": None})
    n_trials, folder = len(scenes.trials), scenes.folder

    def n_targets(**files: object) -> int:
        content = scenes.descriptor(recordings={"1": {"format": "betas", "trials": "trials.tsv"} | files}, shape=None)
        shape = known_shape(load_descriptor(write_yaml(folder / "scenes.yaml", content)))
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
