"""What a run will do and what it will cost, before anything runs; the workflow rules use the same numbers.

Never imports torch: Snakemake reads this file while it builds the DAG.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pandas as pd

from brainalign.artifacts import artifact_path
from brainalign.checks import BrainalignError, check_choice
from brainalign.devices import visible_gpus
from brainalign.methods import ResponseOptimisedMethod
from brainalign.settings import (
    BandedRidgeMethod,
    BlockStudy,
    Config,
    Descriptor,
    ImageStudy,
    InContextMethod,
    PixelsModel,
    RdmStudy,
    TrainedMethod,
    load_descriptors,
)

__all__ = [
    "STAGES",
    "Cost",
    "Job",
    "estimate",
    "group_report_path",
    "image_state",
    "jobs",
    "library_digest",
    "log_path",
    "report_path",
    "subjects_of",
    "wants_gpu",
]

# The folders each stage may import: their code is part of what its results depend on (a test follows the imports).
STAGES = {
    "simulate": ("simulation",),
    "prepare": ("datasets", "statistics"),
    "prepare_images": ("datasets", "statistics"),
    "prepare_rdms": ("datasets",),
    "extract": ("features",),
    "pretrain": ("datasets", "encoding", "features", "kernels", "statistics"),
    "encode": ("datasets", "encoding", "features", "kernels", "statistics"),
    "encode_images": ("datasets", "encoding", "features", "kernels", "statistics"),
    "compare": ("datasets", "geometry", "statistics"),
    "compare_images": ("datasets", "geometry", "statistics"),
    "compare_rdms": ("geometry", "statistics"),
    "converge": ("datasets", "encoding", "features", "kernels", "statistics"),
    "match": ("geometry", "statistics"),
    "summarize": ("datasets", "statistics"),
    "summarize_images": ("simulation", "statistics"),
    "summarize_group": ("statistics",),
    "report": ("report", "statistics"),
    "report_images": ("report", "statistics"),
    "report_group": ("report", "statistics"),
}

# Base files that take part in every result. The others hold the workflow itself: a new option of one stage in
# settings.py must not rerun the others, and the values that matter reach a stage through its parameters.
BASE_FILES = ("arrays.py", "artifacts.py", "checks.py", "devices.py", "files.py", "provenance.py")

CODE = (".py", ".html")  # what a library folder is made of

DEFAULT_SHAPE = (12, 10_000, 100_000)  # runs, trials, targets: for a descriptor that does not give its shape
MB = 2**20


@cache
def library_digest(*folders: str) -> str:
    """Return the sha256 of the library code that `folders` and the base hold.

    Snakemake takes it as a parameter of a rule, so an edit reruns the stages that may use it and no other.

    Raises
    ------
    BrainalignError
        If a folder does not exist.
    """
    root = Path(__file__).parent
    files = [root / name for name in BASE_FILES]
    for folder in folders:
        # kernels lies elsewhere in a checkout; find_spec knows where, without importing it.
        spec = importlib.util.find_spec(f"brainalign.{folder}")
        if spec is None or not spec.submodule_search_locations:
            raise BrainalignError(f"brainalign has no folder {folder!r}")
        found = sorted(Path(spec.submodule_search_locations[0]).rglob("*"))
        files += [file for file in found if file.suffix in CODE and not file.parent.name.startswith(".")]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.parent.name}/{file.name}".encode() + file.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Cost:
    """Estimate for one job: memory at once, time on one core, what it leaves on disk."""

    memory_mb: int
    seconds: int
    disk_mb: float


@dataclass(frozen=True)
class Job:
    """One job of the workflow."""

    stage: str
    dataset: str
    labels: tuple[tuple[str, str], ...]
    output: Path
    log: Path
    cost: Cost


def log_path(results: str | Path, dataset: str, stage: str, **labels: str) -> Path:
    """Return where a job writes its log."""
    name = "_".join(f"{'sub' if key == 'subject' else key}-{value}" for key, value in labels.items())
    return Path(results, dataset, "logs", stage, f"{name or stage}.log")


def report_path(results: str | Path, dataset: str, subject: str, *, incomplete: bool = False) -> Path:
    """Return where a subject's report lies; one made after a failure has a name of its own."""
    return Path(results, dataset, f"sub-{subject}{'_incomplete' if incomplete else ''}.html")


def image_state(table: str | Path) -> str:
    """Return a digest of where the images of a table lie, how large they are and when they were written.

    A parameter of the rules that read them, rather than thousands of inputs: a touched image reruns them, and extract
    recomputes the rows whose bytes changed. A missing image is left to the audit, which names all of them.

    Parameters
    ----------
    table : path
        .tsv, .csv or .parquet with the column path, relative to the table; nothing is checked here.
    """
    table = Path(table)
    paths: Iterable[str]
    if table.suffix == ".parquet":
        paths = pd.read_parquet(table).get("path", [])
    else:
        separator = "," if table.suffix == ".csv" else "\t"
        paths = pd.read_csv(table, sep=separator, dtype=str, keep_default_na=False).get("path", [])
    digest = hashlib.sha256()
    for path in paths:
        try:
            found = (table.parent / path).stat()
            digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{path} missing\n".encode())
    return digest.hexdigest()


def wants_gpu(config: Config, method: str) -> bool:
    """Return whether jobs of a method take turns at a GPU: asked for, or left open where there is one."""
    device = config.methods[method].device
    return device == "cuda" or (device == "auto" and bool(visible_gpus()))


def group_report_path(results: str | Path, dataset: str, *, incomplete: bool = False) -> Path:
    """Return where the report over all subjects of a dataset lies; one made after a failure has a name of its own."""
    return Path(results, dataset, f"group{'_incomplete' if incomplete else ''}.html")


def estimate(stage: str, config: Config, descriptor: Descriptor, model: str = "", method: str = "") -> Cost:
    """Return the cost of one job of a stage: fixed parts measured on two 2.5-GHz cores, the rest from sizes.

    Parameters
    ----------
    stage : str
    config, descriptor
    model, method : str
        Names in the configuration, for the stages that have them.

    Raises
    ------
    BrainalignError
        If the stage is unknown.
    """
    check_choice("stage", stage, STAGES)
    if isinstance(descriptor, BlockStudy):
        return _block_cost(stage, config, descriptor, model, method)
    if isinstance(descriptor, ImageStudy):
        if stage == "converge":  # nulls of every network, in every subject and in their mean
            return Cost(1500, 30 + 15 * len(config.converge.networks) * (1 + len(descriptor.subjects)), 5)
        if stage == "match":  # every pair of layers of every pair of models, with nulls
            pairs = len(config.match.models) * (len(config.match.models) - 1) // 2
            return Cost(1500, 10 + 2 * pairs * len(config.match.measures) * config.match.draws, 1)
        if stage == "pretrain":
            return _pretraining_cost(config, descriptor, model, method)
        if stage != "encode_images":
            return _image_cost(stage, descriptor, 1.0)
        if isinstance(config.methods[method], InContextMethod):
            return _context_cost(config, descriptor, model, method)
        if config.methods[method].trained:
            cost = _training_cost(config, descriptor, model, method)
        else:
            cost = _image_cost(stage, descriptor, _searches(config, method))
        return replace(cost, memory_mb=cost.memory_mb + _pixels_mb(config, descriptor, model))
    return Cost(1500, 30, 20)


def _searches(config: Config, method: str) -> float:
    """Return how much longer a method takes than a fit per layer: each set of shares decomposes the layers anew."""
    options = config.methods.get(method)
    return 1 + options.n_candidates / 20 if isinstance(options, BandedRidgeMethod) else 1.0


def _image_cost(stage: str, descriptor: ImageStudy, searches: float) -> Cost:
    """Return the cost of a job of a study of images; responses are held once as read and once as averaged."""
    shape = descriptor.shape
    _, trials, targets = (shape.runs, shape.trials, shape.targets) if shape else DEFAULT_SHAPE
    values_mb = 4 * trials * targets / MB
    if stage == "extract":
        return Cost(1500, 60, 100)
    if stage == "simulate":
        return Cost(2500, 60, 250)
    if stage == "encode_images":
        return Cost(1200 + round(6 * values_mb), 10 + round(searches * 4e-6 * trials * targets), 20)
    disk_mb = values_mb if stage == "prepare_images" else 5
    return Cost(1000 + round(5 * values_mb), 15 + round(1e-6 * trials * targets), disk_mb)


def _training_cost(config: Config, descriptor: ImageStudy, model: str, method: str) -> Cost:
    """Return the cost of training on tokens, with the control and all that is trained beside it.

    Sizes of feature maps are not known before they are extracted: some hundred tokens are assumed.
    """
    options = config.methods[method]
    assert isinstance(options, TrainedMethod)
    base = _image_cost("encode_images", descriptor, 1.0)
    shape = descriptor.shape
    _, trials, targets = (shape.runs, shape.trials, shape.targets) if shape else DEFAULT_SHAPE
    n_layers = len(getattr(config.models[model], "layers", None) or range(4))
    n_beside = len({"factorized", "gaussian"}.intersection(options.baselines)) + len(getattr(options, "controls", ()))
    trainings = n_layers * len(options.seeds) * (2 + n_beside)
    seconds = base.seconds + trainings * getattr(options, "restarts", 1) * options.epochs * trials * targets * 2e-8
    if isinstance(options, ResponseOptimisedMethod):
        each = _core_operations(options, config.models[model]) / 1e10
        seconds += n_layers * len(options.seeds) * 2 * options.epochs * trials * each
    return Cost(2 * base.memory_mb, round(seconds), base.disk_mb)


def _core_operations(options: ResponseOptimisedMethod, model: object) -> float:
    """Return the operations of one image in training: a convolution, and its gradients to weights and input."""
    side, n_inputs = (model.image_size, 3) if isinstance(model, PixelsModel) else (16, 64)
    total = 0
    for n_channels, size, pool in zip(options.n_channels, options.kernel_sizes, options.pool, strict=True):
        total += 3 * 2 * side**2 * size**2 * n_inputs * n_channels
        side, n_inputs = math.ceil(side / pool), n_channels
    return total


def _pixels_mb(config: Config, descriptor: ImageStudy, model: str) -> int:
    """Return the memory of pixels, which are large: as read, by trial, by split, and as ridge scales them."""
    options = config.models[model]
    trials = descriptor.shape.trials if descriptor.shape else DEFAULT_SHAPE[1]
    return round(6 * 12 * options.image_size**2 * trials / MB) if isinstance(options, PixelsModel) else 0


def _pretraining_cost(config: Config, descriptor: ImageStudy, model: str, method: str) -> Cost:
    """Return the cost of meta-training a network per layer and seed; the published sizes are meant for a GPU."""
    options = config.methods[method]
    assert isinstance(options, InContextMethod)
    base = _image_cost("prepare_images", descriptor, 1.0)
    n_layers = len(getattr(config.models[model], "layers", None) or range(4))
    low, high = options.context_sizes
    images = high if low == high else (high - low) / math.log(high / low)  # mean size of log-uniform contexts
    step = (0.04 if options.network == "small" else 1.0) * options.n_voxels / 48 * images / 36
    seconds = base.seconds * len(descriptor.subjects) + n_layers * len(options.seeds) * sum(options.n_steps) * step
    return Cost(base.memory_mb + 500, round(seconds), 5.0 * n_layers * len(options.seeds))


def _context_cost(config: Config, descriptor: ImageStudy, model: str, method: str) -> Cost:
    """Return the cost of reading weights off contexts of several sizes, with and without their responses in order."""
    options = config.methods[method]
    assert isinstance(options, InContextMethod)
    base = _image_cost("encode_images", descriptor, 1.0)
    targets = descriptor.shape.targets if descriptor.shape else DEFAULT_SHAPE[2]
    n_layers = len(getattr(config.models[model], "layers", None) or range(4))
    images = 2 * options.n_repeats * sum(options.sizes) + 2 * options.context_sizes[1]
    per_image = 5e-6 if options.network == "small" else 2e-3  # seconds of a forward pass, per target and image
    seconds = base.seconds + n_layers * len(options.seeds) * images * targets * per_image
    return Cost(2 * base.memory_mb, round(seconds), base.disk_mb)


def _block_cost(stage: str, config: Config, descriptor: BlockStudy, model: str, method: str) -> Cost:
    shape = descriptor.shape
    _, trials, targets = (shape.runs, shape.trials, shape.targets) if shape else DEFAULT_SHAPE
    values_mb = 4 * trials * targets / MB
    if stage == "prepare":
        # All volumes, in float32 and in nilearn's float64; a trial is some ten volumes.
        return Cost(700 + round(120 * values_mb), 10 + round(values_mb), 11 * values_mb)
    if stage == "extract":
        return Cost(900, 8, 1)
    if stage == "encode":
        # Every fold decomposes its features once; the rest grows with targets and permutations.
        seconds = _layers(config, descriptor, model) * sum(
            folds * (0.004 + n_sets * targets * work / 1.4e10)
            for n_sets, folds, work in _response_sets(config, descriptor, model, method)
        )
        return Cost(900 + round(12 * values_mb), 5 + round(seconds), 1e-4 * targets + 1)
    if stage == "compare":
        whitened = targets if "crossnobis" in config.compare.distances else 0
        return Cost(800 + round(4 * 8 * whitened**2 / MB), 10 + round(whitened**3 / 1e9), 1)
    return Cost(800, 8 if stage == "summarize" else 25, 3)


def _layers(config: Config, descriptor: BlockStudy, model: str) -> int:
    """Return how many layers a model has."""
    options = config.models[model]
    if options.extractor == "random":
        return options.n_draws
    each = options.extractor == "sentence" and options.wordings == "each"
    return len(next(iter(descriptor.stimuli.values())).texts) if each else 1


def _response_sets(config: Config, descriptor: BlockStudy, model: str, method: str) -> Iterator[tuple[int, int, float]]:
    """Yield (response sets, outer folds, floating point operations per target and fold) of an encode job's splits."""
    shape = descriptor.shape
    runs, trials, _ = (shape.runs, shape.trials, shape.targets) if shape else DEFAULT_SHAPE
    settings = config.methods[method]
    assert not isinstance(settings, TrainedMethod | InContextMethod)  # refused for studies of blocks
    inner = 0 if len(settings.alphas) == 1 else min(runs, settings.cv if isinstance(settings.cv, int) else runs)
    rank = min(len(descriptor.stimuli), trials)
    for name, split in descriptor.splits.items():
        permuted = config.models[model].permute
        by_run = split.leave_out == "run"
        n = config.encode.run_permutations if by_run else config.encode.stimulus_permutations
        folds = math.comb(runs if by_run else len(descriptor.stimuli), split.size)
        work = 4 * rank * trials + inner * rank * (2 * trials + len(settings.alphas) * (rank + 12))
        yield 1 + (n if permuted is None or name in permuted else 0), folds, work


def jobs(config: Config) -> list[Job]:
    """Return every job of a run, in order of their dependence: it follows from the configuration alone."""
    planned = []
    for dataset, descriptor in load_descriptors(config).items():
        for stage, suffix, labels in _stages_of(config, dataset, descriptor):
            cost = estimate(stage, config, descriptor, labels.get("model", ""), labels.get("method", ""))
            log = log_path(config.results, dataset, stage, **labels)
            if suffix == "":
                output = config.raw_folder(dataset) / "simulated.json"
            elif suffix == "html":
                subject = labels.get("subject")
                output = (
                    report_path(config.results, dataset, subject)
                    if subject
                    else group_report_path(config.results, dataset)
                )
            else:
                output = artifact_path(config.results, dataset, suffix, **labels)
            planned.append(Job(stage, dataset, tuple(labels.items()), output, log, cost))
    return planned


def _stages_of(config: Config, dataset: str, descriptor: Descriptor) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield (stage, suffix of its main artifact, labels) of every job of a dataset."""
    models = config.models_of(dataset)
    if isinstance(descriptor, RdmStudy):
        yield "prepare_rdms", "references", {}
        yield from (("extract", "features", {"model": model}) for model in models)
        yield "compare_rdms", "comparison", {}
        yield "report_group", "html", {}
        return
    images = isinstance(descriptor, ImageStudy)
    of_kind = "_images" if images else ""
    if isinstance(descriptor, ImageStudy) and descriptor.simulate:
        yield "simulate", "", {}
    yield from (("extract", "features", {"model": model}) for model in models)
    for subject in subjects_of(descriptor):
        yield f"prepare{of_kind}", "responses", {"subject": subject}
    for subject in subjects_of(descriptor):
        own = {"subject": subject}
        for model, method in config.fits_of(dataset, subject):
            if isinstance(config.methods[method], InContextMethod):
                yield "pretrain", "network", own | {"model": model, "method": method}
            yield f"encode{of_kind}", "scores", own | {"model": model, "method": method}
        yield f"compare{of_kind}", "comparison", own
        yield f"summarize{of_kind}", "summary", own
        yield f"report{of_kind}", "html", own
    if images:
        yield "summarize_group", "ceiling", {}
        if config.convergence_of(dataset).networks:
            yield "converge", "convergence", {}
        if config.matching_of(dataset).models:
            yield "match", "similarity", {}
        yield "report_group", "html", {}


def subjects_of(descriptor: Descriptor) -> list[str]:
    """Return the subjects of a dataset that has responses."""
    return list(descriptor.subjects) if isinstance(descriptor, BlockStudy | ImageStudy) else []
