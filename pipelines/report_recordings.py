"""report_recordings: what was decoded from one subject's recordings, as one self-contained page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per subject on whatever there is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TypeVar

import pandas as pd

from brainalign.arrays import Arrays, Responses
from brainalign.artifacts import artifact_path, load, load_sidecar
from brainalign.checks import BrainalignError
from brainalign.pipelines import run_stage, stage_parser
from brainalign.pipelines.report import failures_of, write_report
from brainalign.provenance import Provenance
from brainalign.report import DECODED_TABLES, DecodedTimes, Failure, RecordingMaterial, render_recordings_page
from brainalign.settings import Config, RecordingStudy, load_descriptors, parse

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("report_recordings", __doc__)
    parser.add_argument("--dataset")
    parser.add_argument("--subject")
    parser.add_argument("--incomplete", action="store_true", help="every subject whose report is missing")
    return run_stage(parser, _report, argv)


def _report(arguments: argparse.Namespace, provenance: Provenance) -> None:
    config = parse(Config, arguments.settings, "configuration")
    for dataset, descriptor in load_descriptors(config).items():
        if not isinstance(descriptor, RecordingStudy) or arguments.dataset not in (None, dataset):
            continue
        for subject in descriptor.subjects:
            if arguments.subject not in (None, subject):
                continue
            failures = failures_of(config, dataset, subject) if arguments.incomplete else []
            if failures or not arguments.incomplete:
                _write(_gather(config, dataset, descriptor, subject, failures, provenance))


def _write(material: RecordingMaterial) -> None:
    page = render_recordings_page(material)
    place = (material.config.results, material.dataset, material.subject)
    write_report(page, material.descriptor, *place, incomplete=bool(material.failures))


def _gather(
    config: Config,
    dataset: str,
    descriptor: RecordingStudy,
    subject: str,
    failures: list[Failure],
    provenance: Provenance,
) -> RecordingMaterial:
    material = RecordingMaterial(config, dataset, descriptor, subject, failures=failures)
    failed = {failure.stage for failure in failures}

    def fetch(suffix: str, kind: type[T]) -> T:
        path = artifact_path(config.results, dataset, suffix, subject=subject)
        material.sidecars[path.name] = load_sidecar(path)
        return load(path, kind, provenance)

    try:
        if "prepare_recordings" not in failed:
            material.responses = fetch("responses", Responses)
        if not failed & {"prepare_recordings", "decode_times"}:
            tables = {suffix: fetch(suffix, pd.DataFrame) for suffix in DECODED_TABLES}
            squares = fetch("timesquares", Arrays)
            facts = load_sidecar(artifact_path(config.results, dataset, "timesquares", subject=subject))["details"]
            material.decoded = DecodedTimes(tables, squares, facts)
    except BrainalignError:
        if not failures:
            raise
    return material


if __name__ == "__main__":
    raise SystemExit(main())
