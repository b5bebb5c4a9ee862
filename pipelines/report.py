"""report: everything the other stages left for one subject, as one self-contained page.

With --incomplete, after a failure: a page per subject on whatever there is, with an errors section.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any, TypeVar

import pandas as pd
from nibabel.nifti1 import Nifti1Image

from brainalign.arrays import Arrays, Responses
from brainalign.artifacts import artifact_path, load, load_sidecar
from brainalign.checks import BrainalignError
from brainalign.files import write_atomically
from brainalign.pipelines import run_stage, stage_parser
from brainalign.plan import jobs, report_path
from brainalign.provenance import Provenance
from brainalign.report import Failure, Material, render_page, sections
from brainalign.settings import Config, load_descriptor, parse
from brainalign.statistics.summary import Encoding

T = TypeVar("T")

LOG_LINES = 12  # of a failed job's log


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("report", __doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="JSON: the whole configuration")
    parser.add_argument("--dataset")
    parser.add_argument("--subject")
    parser.add_argument("--incomplete", action="store_true", help="every subject whose report is missing")
    return run_stage(parser, _report, argv)


def _report(arguments: argparse.Namespace, provenance: Provenance) -> None:
    config = parse(Config, arguments.config, "configuration")
    if not arguments.incomplete:
        _write(_gather(config, arguments.dataset, arguments.subject, [], provenance))
        return
    for dataset, use in config.datasets.items():
        for subject in load_descriptor(use.descriptor).subjects:
            failures = _failures(config, dataset, subject)
            if failures:
                _write(_gather(config, dataset, subject, failures, provenance))


def _write(material: Material) -> None:
    place = (material.config.results, material.dataset, material.subject)
    path = report_path(*place, incomplete=bool(material.failures))
    page = render_page(material, sections(material))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write_text(page, encoding="utf-8"))
    if not material.failures:
        report_path(*place, incomplete=True).unlink(missing_ok=True)
    print(f"report: {path}")


def _failures(config: Config, dataset: str, subject: str) -> list[Failure]:
    """Return every job of a subject that left no finished artifact; the report itself is being made."""
    failures = []
    for job in jobs(config):
        labels = dict(job.labels)
        if job.dataset != dataset or labels.get("subject", subject) != subject or job.stage == "report":
            continue
        try:
            load_sidecar(job.output)
        except BrainalignError:
            log = job.log.read_text(errors="replace").strip() if job.log.exists() else ""
            last = "\n".join(log.splitlines()[-LOG_LINES:])
            message = last or "did not run: something it needs failed before it"
            failures.append(Failure(job.stage, ", ".join(f"{k} {v}" for k, v in labels.items()), message))
    # What failed comes before what waited for it.
    return sorted(failures, key=lambda failure: failure.message.startswith("did not run"))


def _gather(config: Config, dataset: str, subject: str, failures: list[Failure], provenance: Provenance) -> Material:
    descriptor = load_descriptor(config.datasets[dataset].descriptor)
    material = Material(config, dataset, descriptor, subject, failures=failures)

    def fetch(suffix: str, kind: type[T], **labels: str) -> T | None:
        path = artifact_path(config.results, dataset, suffix, **labels)
        try:
            material.sidecars[path.name] = load_sidecar(path)
            return load(path, kind, provenance)
        except BrainalignError:
            if failures:
                return None
            raise

    material.responses = fetch("responses", Responses, subject=subject)
    material.splits = fetch("splits", pd.DataFrame, subject=subject)
    material.ceiling = fetch("ceiling", pd.DataFrame, subject=subject)
    material.mask = fetch("mask", Nifti1Image, subject=subject)
    material.bold = fetch("bold", Nifti1Image, subject=subject)
    for model in config.models_of(dataset):
        fetch("features", object, model=model)
    for model in config.models_of(dataset):
        for method in config.methods_of(dataset):
            labels: dict[str, Any] = {"subject": subject, "model": model, "method": method}
            scores = fetch("scores", pd.DataFrame, **labels)
            identification = fetch("identification", pd.DataFrame, **labels)
            null = fetch("null", pd.DataFrame, **labels)
            if scores is not None and identification is not None and null is not None:
                material.encodings[model, method] = Encoding(scores, identification, null)
    material.rdms = fetch("rdm", Arrays, subject=subject)
    if material.rdms is not None:
        rdm_name = artifact_path(config.results, dataset, "rdm", subject=subject).name
        material.conditions = material.sidecars[rdm_name]["details"]["conditions"]
    material.comparison = fetch("comparison", pd.DataFrame, subject=subject)
    material.decoding = fetch("decoding", pd.DataFrame, subject=subject)
    material.summary = fetch("summary", pd.DataFrame, subject=subject)
    return material


if __name__ == "__main__":
    raise SystemExit(main())
