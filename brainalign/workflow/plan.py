"""What a run will do and what it will cost, before anything runs; the workflow rules use the same numbers.

Never imports torch: Snakemake reads this file while it builds the DAG.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from brainalign.config import Config, InContextMethod, load_descriptors
from brainalign.devices import visible_gpus
from brainalign.io import artifact_path, read_parquet, read_text_table
from brainalign.study import (
    BlockStudy,
    Descriptor,
    ImageStudy,
    ModalityStudy,
    RdmStudy,
    RecordingStudy,
    SentenceStudy,
    SeriesStudy,
    TripletStudy,
    VideoStudy,
    scanned_subjects,
)
from brainalign.workflow.estimates import Cost, estimate
from brainalign.workflow.stages import BASE_FILES, STAGES, library_digest, settings_file

__all__ = [
    "BASE_FILES",
    "LEAST_SUBJECTS",
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
    "scanned_subjects",
    "settings_file",
    "subjects_of",
    "wants_device",
    "wants_gpu",
]


LEAST_SUBJECTS = 3  # to name regions across subjects: one is tested, one chooses thresholds, one is the mean


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
        paths = read_parquet(table).get("path", [])
    else:
        paths = read_text_table(table).get("path", [])
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
    return wants_device(config.methods[method].device)


def wants_device(device: str) -> bool:
    """Return whether a job with this option takes turns at a GPU."""
    return device == "cuda" or (device == "auto" and bool(visible_gpus()))


def group_report_path(results: str | Path, dataset: str, *, incomplete: bool = False) -> Path:
    """Return where the report over all subjects of a dataset lies; one made after a failure has a name of its own."""
    return Path(results, dataset, f"group{'_incomplete' if incomplete else ''}.html")


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
    if isinstance(descriptor, TripletStudy):
        yield "prepare_triplets", "triplets", {}
        yield from (("extract", "features", {"model": model}) for model in models)
        yield "concepts", "concepts", {}
        if config.aligned_models(dataset):
            yield "align", "aligned", {}
        yield "report_concepts", "html", {}
        return
    if isinstance(descriptor, SentenceStudy):
        yield "prepare_sentences", "responses", {}
        yield from (("extract", "features", {"model": model}) for model in models)
        yield from (("decode", "controls", {"method": name}) for name in config.decode.decoders)
        yield "report_sentences", "html", {}
        return
    if isinstance(descriptor, ModalityStudy):
        yield "prepare_modalities", "modalities", {}
        if descriptor.vectors_file is None and config.decode_modalities.model:
            yield "extract", "features", {"model": config.decode_modalities.model}
        yield "decode_modalities", "spaceretrieval", {}
        yield "report_modalities", "html", {}
        return
    if isinstance(descriptor, SeriesStudy):
        yield "prepare_series", "series", {}
        yield "decode_series", "filled", {}
        yield "report_series", "html", {}
        return
    if isinstance(descriptor, RecordingStudy):
        for subject in descriptor.subjects:
            yield "prepare_recordings", "responses", {"subject": subject}
            yield "decode_times", "timescores", {"subject": subject}
            yield "report_recordings", "html", {"subject": subject}
        return
    if isinstance(descriptor, VideoStudy):
        yield from (("rollout", "rollouts", {"model": model}) for model in config.dynamics.models)
        for subject in descriptor.subjects:
            yield "dynamics", "dynamics", {"subject": subject}
            yield "report_dynamics", "html", {"subject": subject}
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
        for model in config.searchlights_of(dataset, descriptor, subject):
            yield "searchlight", "searchlight", own | {"model": model}
        if config.synthesises(dataset, descriptor, subject):
            yield "guide", "guides", own
            yield "synthesize", "synthesis", own
        if config.directs(dataset, descriptor, subject):
            yield "directions", "directionscores", own
        if subject in config.captioned(dataset, descriptor):
            yield "caption", "captions", own
        if subject in config.grounded(dataset, descriptor):
            yield "ground_regions", "groundedregions", own
        if isinstance(descriptor, ImageStudy) and subject in descriptor.decoded:
            yield "decode_times", "timescores", own
        yield f"summarize{of_kind}", "summary", own
        yield f"report{of_kind}", "html", own
    if images:
        if config.grounded(dataset, descriptor):
            yield "ground", "groundedwords", {}
        yield "summarize_group", "ceiling", {}
        if config.convergence_of(dataset).networks:
            yield "converge", "convergence", {}
        if config.matching_of(dataset).models:
            yield "match", "similarity", {}
        if len(scanned_subjects(descriptor)) >= LEAST_SUBJECTS:
            yield "identify", "regions", {}
        yield "report_group", "html", {}


def subjects_of(descriptor: Descriptor) -> list[str]:
    """Return the subjects of a dataset that has responses."""
    if isinstance(descriptor, BlockStudy | ImageStudy | RecordingStudy | VideoStudy):
        return list(descriptor.subjects)
    return []
