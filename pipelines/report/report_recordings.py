"""report_recordings: what was decoded from one subject's recordings, as one self-contained page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per subject on whatever there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pandas as pd

from brainalign.arrays import Arrays, Responses
from brainalign.checks import BrainalignError
from brainalign.config import Config
from brainalign.io import Provenance, artifact_path, load, load_sidecar
from brainalign.pipelines.report.report import report_subjects, write_report
from brainalign.report import DECODED_TABLES, DecodedTimes, Failure, RecordingMaterial, render_recordings_page
from brainalign.study import RecordingStudy, load_descriptor

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    return report_subjects("report_recordings", __doc__, RecordingStudy, _write, argv)


def _write(config: Config, dataset: str, subject: str, failures: list[Failure], provenance: Provenance) -> None:
    material = _gather(config, dataset, subject, failures, provenance)
    page = render_recordings_page(material)
    write_report(page, material.descriptor, config.results, dataset, subject, incomplete=bool(material.failures))


def _gather(
    config: Config, dataset: str, subject: str, failures: list[Failure], provenance: Provenance
) -> RecordingMaterial:
    descriptor = load_descriptor(config.datasets[dataset].descriptor, RecordingStudy)
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
