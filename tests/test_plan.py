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
from brainalign.config import Config, load_config, load_descriptors
from brainalign.study import Shape, known_shape, load_descriptor, parse, shape_of
from brainalign.workflow import (
    STEPS,
    Cost,
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


def test_costs_of_studies_of_images_grow_with_sizes(demo: Config) -> None:
    small = load_descriptor("data/simulated.yaml")
    assert small.shape is not None
    large = small.model_copy(update={"shape": small.shape.model_copy(update={"targets": 300_000})})
    for stage in ("prepare", "encode_images", "compare_images"):
        less, more = (estimate(stage, demo, study, "generator", "ridge") for study in (small, large))
        assert more.memory_mb > less.memory_mb
        assert more.seconds > less.seconds


def test_joint_fits_are_planned_where_they_are_used(demo: Config) -> None:
    fits = {labels["model"] for job in jobs(demo) if (labels := dict(job.labels)).get("method") == "banded"}
    assert fits == {"generator"}
    study = load_descriptor("data/simulated.yaml")
    one, joint = (estimate("encode_images", demo, study, "generator", method) for method in ("ridge", "banded"))
    assert joint.seconds > one.seconds


def test_costs_grow_with_sizes(demo: Config) -> None:
    small = load_descriptor(demo.datasets["haxby-slice"].descriptor)
    large = small.model_copy(update={"shape": small.shape.model_copy(update={"trials": 30_000, "targets": 300_000})})
    for stage in ("prepare_blocks", "encode"):
        less = estimate(stage, demo, small, "minilm", "ridge")
        more = estimate(stage, demo, large, "minilm", "ridge")
        assert more.memory_mb > 10 * less.memory_mb
        assert more.seconds > less.seconds
    wide = small.model_copy(update={"shape": small.shape.model_copy(update={"trials": 1000, "targets": 10_000})})
    # Four copies of ten volumes per trial and two matrices of targets, in float64.
    held_mb = 8 * (4 * 10 * 1000 * 10_000 + 2 * 10_000**2) / 2**20
    noisy = demo.model_copy(update={"compare": demo.compare.model_copy(update={"distances": ("crossnobis",)})})
    assert held_mb < estimate("compare", noisy, wide).memory_mb < 1.5 * held_mb
    with_null = estimate("encode", demo, large, "minilm", "ridge")
    without = estimate("encode", demo, large, "random", "fixed")
    assert with_null.seconds > without.seconds
    unknown = small.model_copy(update={"shape": None})
    assert estimate("encode", demo, unknown, "minilm", "ridge") == estimate("encode", demo, small, "minilm", "ridge")
    elsewhere = unknown.model_copy(update={"name": "elsewhere", "folder": Path("nowhere")})  # its files are not found
    assert estimate("encode", demo, elsewhere, "minilm", "ridge").memory_mb > 10_000


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


def test_what_is_trained_beside_a_method_costs_its_time(demo: Config) -> None:
    study = load_descriptor("data/simulated.yaml")
    base = demo.methods["routing"].model_copy(update={"baselines": (), "controls": ()})
    seconds = {}
    for name, options in {
        "alone": {},
        "ridge": {"baselines": ("tokens", "second_order", "mean")},
        "read-outs": {"baselines": ("factorized", "gaussian")},
        "controls": {"controls": ("content", "position")},
        "ensemble": {"ensemble": True},
    }.items():
        changed = demo.model_copy(update={"methods": {"routing": base.model_copy(update=options)}})
        seconds[name] = estimate("encode_images", changed, study, "generatortokens", "routing").seconds
    assert seconds["alone"] == seconds["ridge"] == seconds["ensemble"] < seconds["read-outs"] == seconds["controls"]


def test_trained_methods_are_planned_where_they_are_used(demo: Config) -> None:
    fits = [labels for job in jobs(demo) if (labels := dict(job.labels)).get("method") == "routing"]
    assert fits == [{"subject": "01", "model": "generatortokens", "method": "routing"}]
    study = load_descriptor("data/simulated.yaml")
    more = demo.methods["routing"].model_copy(update={"seeds": (0, 1, 2)})
    several = demo.model_copy(update={"methods": demo.methods | {"routing": more}})
    one, three = (estimate("encode_images", c, study, "generatortokens", "routing") for c in (demo, several))
    assert three.seconds > one.seconds


def test_costs_of_cores_grow_with_images_and_channels(demo: Config) -> None:
    study = load_descriptor("data/simulated.yaml")

    def cost(size: int, **options: object) -> Cost:
        content = demo.model_dump(mode="json")
        content["models"] |= {"pixels": {"extractor": "pixels", "image_size": size}}
        content["methods"] |= {"core": {"encoder": "response_optimised", "models": ["pixels"]} | options}
        return estimate("encode_images", parse(Config, content, "test"), study, "pixels", "core")

    small, large = cost(32), cost(64)
    assert study.shape is not None
    assert large.memory_mb - small.memory_mb > 4 * 12 * (64**2 - 32**2) * study.shape.trials / 2**20
    assert large.seconds > small.seconds
    assert cost(32, n_channels=[32, 64, 64]).seconds > small.seconds


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
    study = load_descriptor("data/simulated.yaml")

    def seconds(stage: str, **changes: object) -> int:
        other = parse(Config, content | {"methods": content["methods"] | {"few": few | changes}}, "test")
        return estimate(stage, other, study, "efficientnet", "few").seconds

    assert seconds("pretrain", seeds=[0, 1]) > 1.8 * seconds("pretrain")  # one more network per layer
    assert 10 < seconds("pretrain", network="clip") / seconds("pretrain") < 30
    assert seconds("encode_images", sizes=[10, 200]) > seconds("encode_images", sizes=[10])
    unknown = study.model_copy(update={"shape": None, "simulate": None})  # and none of its files are there
    assert estimate("encode_images", config, unknown, "efficientnet", "few").seconds > seconds("encode_images")


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


def test_a_small_study_is_planned_as_small(small, tmp_path: Path) -> None:
    """Four runs of sixty voxels, of which the descriptor gives no size, were planned as a large release."""
    content = {
        "results": str(tmp_path / "results"),
        "datasets": {"small": {"descriptor": str(small.write())}},
        "models": {"onehot": {"extractor": "onehot"}},
        "methods": {"ridge": {"encoder": "ridge"}},
    }
    planned = jobs(parse(Config, content, "test"))
    assert max(job.cost.memory_mb for job in planned) < 2000
    assert sum(job.cost.seconds for job in planned) < 300
    assert sum(job.cost.disk_mb for job in planned) < 100
