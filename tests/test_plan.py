from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from brainalign.checks import BrainalignError
from brainalign.plan import estimate, jobs, library_digest, wants_gpu
from brainalign.settings import Config, load_config, load_descriptor, parse


@pytest.fixture
def demo(root: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(root)
    return load_config("snakemake/config/demo.yaml")


def test_the_job_list_follows_from_the_configuration(demo: Config) -> None:
    planned = jobs(demo)
    assert Counter(job.stage for job in planned) == {
        "extract": 4,
        "prepare": 1,
        "encode": 12,
        "compare": 1,
        "summarize": 1,
        "report": 1,
    }
    assert len({job.output for job in planned}) == len(planned)
    assert len({job.log for job in planned}) == len(planned)


def test_costs_grow_with_sizes(demo: Config) -> None:
    small = load_descriptor(demo.datasets["haxby-slice"].descriptor)
    large = small.model_copy(update={"shape": small.shape.model_copy(update={"trials": 30_000, "targets": 300_000})})
    for stage in ("prepare", "encode"):
        less = estimate(stage, demo, small, "minilm", "ridge")
        more = estimate(stage, demo, large, "minilm", "ridge")
        assert more.memory_mb > 10 * less.memory_mb
        assert more.seconds > less.seconds
    with_null = estimate("encode", demo, large, "minilm", "ridge")
    without = estimate("encode", demo, large, "random", "fixed")
    assert with_null.seconds > without.seconds
    unknown = small.model_copy(update={"shape": None})
    assert estimate("encode", demo, unknown, "minilm", "ridge").memory_mb > 10_000


def test_digests_follow_the_files_they_cover() -> None:
    digests = {library_digest("encoding"), library_digest("geometry"), library_digest("encoding", "kernels")}
    assert len(digests) == 3
    assert library_digest("encoding") in digests
    assert library_digest("report") != library_digest("simulation")
    with pytest.raises(BrainalignError, match="no folder 'encodin'"):
        library_digest("encodin")


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
