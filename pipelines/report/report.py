"""report: everything the other stages left for one subject, as one self-contained page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per subject on whatever there is,
with an errors section.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from nibabel.nifti1 import Nifti1Image

import brainalign
from brainalign.arrays import Arrays, Responses
from brainalign.checks import BrainalignError
from brainalign.config import Config, load_descriptors
from brainalign.io import (
    Provenance,
    artifact_path,
    entities_of,
    file_digest,
    load,
    load_sidecar,
    write_atomically,
    write_json,
)
from brainalign.pipelines import run_stage, stage_parser
from brainalign.report import Failure, Material, render_page, sections
from brainalign.statistics.summary import Encoding
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
    load_descriptor,
    parse,
)
from brainalign.workflow import Job, group_report_path, jobs, report_path, subjects_of

T = TypeVar("T")

# Inputs that no stage saves as an artifact, besides the files of a descriptor.
OUTSIDE = {"weights", "images", "truth", "mesh_L", "mesh_R", "stimuli", "captions", "norms", "bank"}
OF_ALL = {"summarize_group", "converge", "identify", "report_group"}  # they wait for all subjects; see report_group
LOG_LINES = 12  # of a failed job's log
WAITING = "did not run: something it needs failed before it"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    return report_subjects("report", __doc__, BlockStudy, _write, argv)


def report_subjects(
    stage: str,
    doc: str | None,
    kind: type[Descriptor],
    write: Callable[[Config, str, str, list[Failure], Provenance], None],
    argv: Sequence[str] | None,
) -> int:
    """Run a stage that writes a page per subject: of the one asked for, or with --incomplete wherever something failed.

    Parameters
    ----------
    stage : str
    doc : str or None
        Of the stage, for --help.
    kind : type
        Of the datasets whose subjects have such a page.
    write : callable
        Given configuration, dataset, subject and what failed: gathers, renders and writes.
    argv : sequence of str, optional
    """
    parser = stage_parser(stage, doc)
    parser.add_argument("--dataset")
    parser.add_argument("--subject")
    parser.add_argument("--incomplete", action="store_true", help="every subject whose report is missing")

    def run(arguments: argparse.Namespace, provenance: Provenance) -> None:
        config = parse(Config, arguments.settings, "configuration")
        for dataset, descriptor in load_descriptors(config).items():
            if not isinstance(descriptor, kind) or arguments.dataset not in (None, dataset):
                continue
            for subject in subjects_of(descriptor):
                if arguments.subject not in (None, subject):
                    continue
                failures = failures_of(config, dataset, subject) if arguments.incomplete else []
                if failures or not arguments.incomplete:
                    write(config, dataset, subject, failures, provenance)
                else:  # what failed before has been mended, maybe without another run of the report
                    report_path(config.results, dataset, subject, incomplete=True).unlink(missing_ok=True)

    return run_stage(parser, run, argv)


def report_datasets(
    stage: str,
    doc: str | None,
    kind: type[Descriptor],
    render: Callable[[Config, str, Any, list[Failure], Provenance], str],
    argv: Sequence[str] | None,
) -> int:
    """Run a stage that writes a page per dataset: of the one asked for, or with --incomplete wherever something failed.

    Parameters
    ----------
    stage : str
    doc : str or None
        Of the stage, for --help.
    kind : type
        Of the datasets that have such a page.
    render : callable
        Given configuration, dataset, its descriptor and what failed: returns the page, of failures alone where there
        are some.
    argv : sequence of str, optional
    """
    parser = stage_parser(stage, doc)
    parser.add_argument("--dataset")
    parser.add_argument("--incomplete", action="store_true", help="every dataset in which something failed")

    def run(arguments: argparse.Namespace, provenance: Provenance) -> None:
        config = parse(Config, arguments.settings, "configuration")
        for dataset, descriptor in load_descriptors(config).items():
            if not isinstance(descriptor, kind) or arguments.dataset not in (None, dataset):
                continue
            failures = failures_of(config, dataset, "") if arguments.incomplete else []
            if failures or not arguments.incomplete:
                page = render(config, dataset, descriptor, failures, provenance)
                write_report(page, descriptor, config.results, dataset, None, incomplete=bool(failures))
            else:
                group_report_path(config.results, dataset, incomplete=True).unlink(missing_ok=True)

    return run_stage(parser, run, argv)


def _write(config: Config, dataset: str, subject: str, failures: list[Failure], provenance: Provenance) -> None:
    material = _gather(config, dataset, subject, failures, provenance)
    page = render_page(material, sections(material))
    write_report(page, material.descriptor, config.results, dataset, subject, incomplete=bool(material.failures))


def write_report(
    page: str, descriptor: Descriptor, results: str | Path, dataset: str, subject: str | None, *, incomplete: bool
) -> None:
    """Write a page with the description of its dataset; a whole one takes the place of an incomplete one.

    Parameters
    ----------
    page : str
        HTML.
    descriptor : Descriptor
    results : str or Path
        The folder of all results.
    dataset : str
        The key of the dataset in the configuration.
    subject : str or None
        None: the page of the group.
    incomplete : bool
        Whether something failed that the page would show.
    """
    mine = partial(group_report_path, results, dataset)
    place = mine if subject is None else partial(report_path, results, dataset, subject)
    path = place(incomplete=incomplete)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write_text(page, encoding="utf-8"))
    write_json(path.parent / "dataset_description.json", dataset_description(descriptor))
    if not incomplete:
        place(incomplete=True).unlink(missing_ok=True)
    print(f"report: {path}")


def dataset_description(descriptor: Descriptor) -> dict[str, object]:
    """Describe the dataset for the root of derivatives, as BIDS wants it."""
    return {
        "Name": f"brainalign results of {descriptor.title}",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "License": descriptor.licence,
        "GeneratedBy": [{"Name": "brainalign", "Version": brainalign.__version__}],
        "SourceDatasets": [{"URL": descriptor.source, "DOI": descriptor.citation.doi or ""}],
    }


def failures_of(config: Config, dataset: str, subject: str) -> list[Failure]:
    """Return every job of a subject whose result is missing, or was made from what is no longer there."""
    failures: list[Failure] = []
    finished: list[tuple[Job, dict[str, str]]] = []  # with the digests of what each has read
    pages: list[Job] = []
    for job in jobs(config):
        if job.dataset != dataset or dict(job.labels).get("subject", subject) != subject or job.stage in OF_ALL:
            continue
        if job.stage.startswith("report"):
            pages.append(job)
        elif job.stage == "simulate":
            failures += [] if job.output.exists() else [_failure(job, end_of_log(job.log))]
        else:
            try:
                finished.append((job, load_sidecar(job.output)["inputs"]))
            except BrainalignError:
                failures.append(_failure(job, end_of_log(job.log)))
    current = _raw_digests(config, dataset, subject) | _of_others(config, dataset, subject)
    for job, file in _outdated(finished, current):
        failures.append(_failure(job, f"{WAITING} (its result is of an earlier {file})"))
    if not failures:  # nothing else failed, so where a page is missing the report itself did
        failures = [_failure(job, end_of_log(job.log)) for job in pages if not job.output.exists()]
    # What failed comes before what waited for it.
    return sorted(failures, key=lambda failure: failure.message.startswith(WAITING))


def _failure(job: Job, message: str) -> Failure:
    return Failure(job.stage, ", ".join(f"{key} {value}" for key, value in job.labels), message)


def _outdated(finished: Sequence[tuple[Job, dict[str, str]]], current: dict[str, str]) -> list[tuple[Job, str]]:
    """Return every job that read what is no longer there, with the first such file.

    Parameters
    ----------
    finished : sequence of (Job, dict of str)
        With the digests of what each has read.
    current : dict of str
        Digests of what lay there before; those of what the jobs left are added.
    """
    outdated, waiting = [], list(finished)
    while waiting:
        later = []
        for job, inputs in waiting:
            changed = [file for file, digest in inputs.items() if current.get(file, digest) != digest]
            if changed:
                outdated.append((job, changed[0]))
            elif inputs.keys() <= current.keys() | OUTSIDE:
                current |= _left_by(job)
            else:
                later.append((job, inputs))
        if len(later) == len(waiting):  # what they read, no job that is up to date has left
            known = current.keys() | OUTSIDE
            return outdated + [(job, next(file for file in inputs if file not in known)) for job, inputs in later]
        waiting = later
    return outdated


def _left_by(job: Job) -> dict[str, str]:
    """Return the digests of all files that a job saved."""
    found: dict[str, str] = {}
    for path in job.output.parent.glob("*.json"):
        if entities_of(path) == entities_of(job.output):
            files = json.loads(path.read_text()).get("files", {})
            found |= {file: entry["sha256"] for file, entry in files.items()}
    return found


def _raw_digests(config: Config, dataset: str, subject: str) -> dict[str, str]:
    descriptor = load_descriptors(config)[dataset]
    try:
        files = {}
        if isinstance(descriptor, ModalityStudy | RdmStudy | SentenceStudy | SeriesStudy | TripletStudy):
            files = descriptor.found_files()
        elif isinstance(descriptor, BlockStudy | ImageStudy | RecordingStudy | VideoStudy):
            files = descriptor.files(subject)
        return {field: file_digest(path) for field, path in files.items() if path.is_file()}
    except BrainalignError:
        return {}


def _of_others(config: Config, dataset: str, subject: str) -> dict[str, str]:
    """Return digests of other subjects' artifacts that networks of this one, or words, were trained on."""
    found: dict[str, str] = {}
    descriptor = load_descriptors(config)[dataset]
    other = config.concepts.regions_of
    if other is not None and isinstance(descriptor, TripletStudy):
        for path in Path(config.results, other).glob("sub-*/geometry/*_rdm.json"):
            found |= {file: entry["sha256"] for file, entry in json.loads(path.read_text())["files"].items()}
    pretrained = any(config.pretraining_of(method) for _, method in config.fits_of(dataset, subject))
    if pretrained or config.grounded(dataset, descriptor):
        for other in subjects_of(descriptor):
            for suffix in ("responses", "splits") if other != subject else ():
                try:
                    record = load_sidecar(artifact_path(config.results, dataset, suffix, subject=other))
                except BrainalignError:  # not finished: what was trained on it is out of date
                    continue
                found |= {file: entry["sha256"] for file, entry in record["files"].items()}
    return found


def end_of_log(log: Path) -> str:
    """Read the last lines of a job's log, or say that it never ran."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return "\n".join(lines[-LOG_LINES:]) or WAITING


def _gather(config: Config, dataset: str, subject: str, failures: list[Failure], provenance: Provenance) -> Material:
    descriptor = load_descriptor(config.datasets[dataset].descriptor, BlockStudy)
    material = Material(config, dataset, descriptor, subject, failures=failures)

    out_of_date = {(failure.stage, failure.job) for failure in failures}

    def fetch(suffix: str, kind: type[T], **labels: str) -> T | None:
        path = artifact_path(config.results, dataset, suffix, **labels)
        try:
            record = load_sidecar(path)
            if (record["stage"], ", ".join(f"{key} {value}" for key, value in labels.items())) in out_of_date:
                return None
            content = load(path, kind, provenance) if kind is not object else None
        except BrainalignError:
            if failures:
                return None
            raise
        material.sidecars[path.name] = record
        return content

    material.responses = fetch("responses", Responses, subject=subject)
    material.splits = fetch("splits", pd.DataFrame, subject=subject)
    material.ceiling = fetch("ceiling", pd.DataFrame, subject=subject)
    material.mask = fetch("mask", Nifti1Image, subject=subject)
    material.bold = fetch("bold", Nifti1Image, subject=subject)
    for model in config.models_of(dataset):
        fetch("features", object, model=model)
    for model, method in config.fits_of(dataset, subject):
        labels: dict[str, Any] = {"subject": subject, "model": model, "method": method}
        scores = fetch("scores", pd.DataFrame, **labels)
        identification = fetch("identification", pd.DataFrame, **labels)
        null = fetch("null", pd.DataFrame, **labels)
        if scores is not None and identification is not None and null is not None:
            material.encodings[model, method] = Encoding(scores, identification, null)
    material.rdms = fetch("rdm", Arrays, subject=subject)
    if material.responses is not None:
        material.conditions = list(pd.unique(material.responses.trials["stimulus_id"]))
    material.comparison = fetch("comparison", pd.DataFrame, subject=subject)
    for model in config.searchlights_of(dataset, descriptor, subject):
        searchlight = fetch("searchlight", pd.DataFrame, subject=subject, model=model)
        if searchlight is not None:
            material.searchlights[model] = searchlight
    material.decoding = fetch("decoding", pd.DataFrame, subject=subject)
    material.summary = fetch("summary", pd.DataFrame, subject=subject)
    return material


if __name__ == "__main__":
    raise SystemExit(main())
