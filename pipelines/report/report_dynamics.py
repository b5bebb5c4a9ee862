"""report_dynamics: models of videos beside one subject's neurons, as one self-contained page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per subject on whatever there is.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from brainalign.checks import BrainalignError
from brainalign.config import Config
from brainalign.io import Provenance, artifact_path, load, load_sidecar
from brainalign.pipelines.report.report import report_subjects, write_report
from brainalign.report import DYNAMICS_TABLES, DynamicsMaterial, Failure, render_dynamics_page
from brainalign.study import VideoStudy, load_descriptor


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    return report_subjects("report_dynamics", __doc__, VideoStudy, _write, argv)


def _write(config: Config, dataset: str, subject: str, failures: list[Failure], provenance: Provenance) -> None:
    material = _gather(config, dataset, subject, failures, provenance)
    page = render_dynamics_page(material)
    write_report(page, material.descriptor, config.results, dataset, subject, incomplete=bool(material.failures))


def _gather(
    config: Config, dataset: str, subject: str, failures: list[Failure], provenance: Provenance
) -> DynamicsMaterial:
    descriptor = load_descriptor(config.datasets[dataset].descriptor, VideoStudy)
    material = DynamicsMaterial(config, dataset, descriptor, subject, failures=failures)
    try:
        if not {"rollout", "dynamics"} & {failure.stage for failure in failures}:
            for model, use in config.dynamics.models.items():
                path = artifact_path(config.results, dataset, "rollouts", model=model)
                material.sidecars[path.name] = load_sidecar(path)
                if use.heads:
                    material.trained_on[model] = material.sidecars[path.name]["details"]["trained_on"]
            for suffix in DYNAMICS_TABLES:
                path = artifact_path(config.results, dataset, suffix, subject=subject)
                material.sidecars[path.name] = load_sidecar(path)
                material.facts = material.sidecars[path.name]["details"]
                material.tables[suffix] = load(path, pd.DataFrame, provenance)
    except BrainalignError:
        if not failures:
            raise
    return material


if __name__ == "__main__":
    raise SystemExit(main())
