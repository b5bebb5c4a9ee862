"""Jobs run in the process of a test: one step on given files, or every job of a run."""

import inspect
import json
import os
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Self

import numpy as np
import pandas as pd
import psutil
import yaml
from made import write_yaml

import brainalign
from brainalign.arrays import Responses
from brainalign.config import Config
from brainalign.io import artifact_path, load
from brainalign.pipelines import run_job
from brainalign.study import parse
from brainalign.workflow import STEPS, Job, Run, incomplete_pages, job_of, planned, reached, settings_of

Files = str | Path | Iterable[str | Path]


def run_step(
    step: str,
    settings: Mapping[str, Any] | None = None,
    *,
    inputs: Mapping[str, Files] | None = None,
    outputs: Mapping[str, str | Path] | None = None,
    labels: Mapping[str, str] | None = None,
    seed: int = 0,
) -> int:
    """Run a step on files by suffix, one or several of each; settings travel as JSON, as in a run."""
    lists = {name: [of] if isinstance(of, str | Path) else of for name, of in (inputs or {}).items()}
    whole = {name: [Path(file) for file in files] for name, files in lists.items()}
    places = {name: Path(place) for name, place in (outputs or {}).items()}
    return run_job(Job(step, json.loads(json.dumps(settings or {})), whole, places, labels=labels or {}, seed=seed))


def described(folder: Path, recorded: dict[str, object], stimuli: str = "stimuli.tsv", **split: object) -> Path:
    """Write the descriptor of a subject, 01, and of one split."""
    content = {"name": "mine", "stimuli": stimuli, "recordings": {"01": recorded}, "splits": {"held": split}}
    return write_yaml(folder / "mine.yaml", content)


def prepare(descriptor: Path, stimuli: Path, subject: str) -> tuple[Responses, pd.DataFrame, pd.DataFrame]:
    kinds = {"responses.safetensors": Responses, "splits.parquet": pd.DataFrame, "ceiling.parquet": pd.DataFrame}
    places = {name: descriptor.parent / f"sub-{subject}_{name}" for name in kinds}
    inputs = {"descriptor": descriptor, "folder": "nowhere", "stimuli": stimuli}
    outputs = {name.partition(".")[0]: place for name, place in places.items()}
    assert run_step("prepare", inputs=inputs, outputs=outputs, labels={"subject": subject}) == 0
    return tuple(load(places[name], kind) for name, kind in kinds.items())


@contextmanager
def kept(*paths: str | Path) -> Iterator[None]:
    """Give files back afterwards, as old as they were."""
    before = {Path(path): (Path(path).read_bytes(), Path(path).stat()) for path in paths}
    try:
        yield
    finally:
        for path, (content, about) in before.items():
            path.write_bytes(content)
            os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def run_all(config: Config, *steps: str, subjects: Collection[str] = ()) -> None:
    """Run every job of a run in this process, or those of some steps or subjects, in the order of dependence."""
    run = Run(config)
    for step, of in planned(run):
        left_out = subjects and of.get("subject", "") not in ("", *subjects)
        if (not steps or {step.name, step.rule}.intersection(steps)) and not left_out:
            assert run_job(job_of(run, step, of)) == 0, f"{step.name} {dict(of)}"


def config_of(descriptor: Path, **sections: object) -> Config:
    """Return the configuration of one study with ridge, whose results lie beside its descriptor."""
    name = yaml.safe_load(descriptor.read_text())["name"]
    content = {"results": str(descriptor.parent / "results"), "methods": {"ridge": {"encoder": "ridge"}}}
    return parse(Config, content | {"datasets": {name: {"descriptor": str(descriptor)}}} | sections, "configuration")


def asked(config: Config) -> dict[tuple[str, ...], list[object]]:
    """Return by job what Snakemake knows it by beside its files and code: settings, what it watches, its seed."""
    run = Run(config)
    return {
        (step.rule, *of.values()): [settings_of(run, step, of), step.watches(run, of), config.seed]
        for step, of in planned(run)
    }


def reruns(known: Mapping[tuple[str, ...], object], config: Config, *edited: Path) -> dict[str, int]:
    """Count by step the jobs that run again: other ones than are known, and those that read what was edited or made."""
    run, now = Run(config), asked(config)
    made, found = set(map(str, edited)), Counter[str]()
    for step, of in planned(run):
        job = (step.rule, *of.values())
        read = {str(path) for files in step.reads.values() for path in files(run, of)}
        if known.get(job) != now[job] or made & read:
            made |= {str(path) for path in step.outputs(run, of).values()}
            found[step.rule] += 1
    return dict(found)


class Rows:
    """Takes what an extractor writes of n stimuli, of which some are there: values by layer."""

    def __init__(self, n_rows: int, given: tuple[int, ...] = ()) -> None:
        self.done = np.isin(np.arange(n_rows), given)
        self.layers: dict[str, np.ndarray] = {}
        self.grids: dict[str, tuple[int, int]] = {}
        self.sizes: list[int] = []

    @property
    def pending(self) -> np.ndarray:
        return np.flatnonzero(~self.done)

    def write(self, rows: np.ndarray, values: dict[str, np.ndarray], grids: dict | None = None) -> None:
        assert not self.done[rows].any()
        self.done[rows] = True
        self.sizes.append(len(rows))
        self.grids |= grids or {}
        for name, tensor in values.items():
            if name not in self.layers:
                self.layers[name] = np.full((len(self.done), *tensor.shape[1:]), np.nan, dtype=tensor.dtype)
            self.layers[name][rows] = tensor


def draw_page(config: Config, dataset: str, subject: str | None = None) -> int:
    labels = {"dataset": dataset} if subject is None else {"dataset": dataset, "subject": subject}
    whole = {"configuration": config.model_dump(mode="json")}
    return run_step("report" if subject else "report_group", whole, labels=labels)


def draw_incomplete(config: Config) -> int:
    """Draw pages of whatever there is wherever something failed, as after a failed run."""
    return run_job(incomplete_pages(Run(config, check=False)))


def files_entered(job: Callable[[], object]) -> set[Path]:
    """Return the files of the library and its programs in which a function ran; import is no running."""
    optimized = inspect.CO_OPTIMIZED  # bodies of modules and of classes are not
    root = Path(brainalign.__file__).parents[1]
    entered: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_flags & optimized:
            entered.add(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        job()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    ours = [root / folder for folder in ("brainalign", "kernels", "pipelines")]
    return {Path(file) for file in entered if any(Path(file).is_relative_to(folder) for folder in ours)}


def outside_its_digest(job: Job) -> set[Path]:
    """Run a job, and return the files that it entered and whose edit would not rerun it."""
    step = STEPS[job.step]
    covered = set(reached(f"{step.folder}/{step.name}", tuple(job.without)).values())
    # What a run is told, and the workflow itself, reach a step through its parameters; see digests.BASE_FILES.
    apart = tuple(Path(brainalign.__file__).parent / folder for folder in ("config", "study", "workflow"))
    runner, entered = Path(run_job.__code__.co_filename), files_entered(lambda: run_job(job))
    assert len(entered & covered) > 10  # it ran
    return {path for path in entered - covered - {runner} if not any(path.is_relative_to(folder) for folder in apart)}


RANDOM = {"extractor": "random", "n_features": 4}
OF_A_SUBJECT = ("extract", "prepare", "encode_held_out", "compare", "summarize_held_out")


@dataclass
class ImageRun:
    """Every step of the small study of images, as a run takes them; `changes` replace parts of the config."""

    study: Any
    changes: dict[str, object] = field(default_factory=dict)
    pages: Collection[str] = ("01", "02", "group")

    def __post_init__(self) -> None:
        self.descriptor = self.study.folder / "scenes.yaml"
        few = {"permutations": 100, "draws": 100}
        content = {"results": str(self.study.folder / "results"), "encode": few, "compare": few}
        content |= {"datasets": {"scenes": {"descriptor": str(self.descriptor)}}}
        content |= {"models": {"two": RANDOM | {"n_draws": 2}, "one": RANDOM}}
        content |= {"methods": {"ridge": {"encoder": "ridge", "cv": 3, "device": "cpu"}}}
        self.config = parse(Config, content | self.changes, "configuration")

    def path(self, suffix: str, **labels: str) -> str:
        return str(artifact_path(self.config.results, "scenes", suffix, **labels))

    def table(self, suffix: str, **labels: str) -> pd.DataFrame:
        return pd.read_parquet(self.path(suffix, **labels))

    def page(self, name: str) -> str:
        return (self.study.folder / "results" / "scenes" / f"{name}.html").read_text(encoding="utf-8")

    def __call__(self, *subjects: str) -> Self:
        run_all(self.config, *OF_A_SUBJECT, subjects=subjects)
        for subject in subjects:
            assert subject not in self.pages or draw_page(self.config, "scenes", subject) == 0
        if set(subjects) == {"01", "02"}:
            run_all(self.config, "summarize_group")
            assert "group" not in self.pages or draw_page(self.config, "scenes") == 0
        return self


def peak_bytes(function: Callable[[], object]) -> int:
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def wait_for(ended: list[psutil.Process]) -> None:
    """Wait for the end of processes, which nobody may be left to reap."""
    for process in ended:
        with suppress(psutil.NoSuchProcess):
            while process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
