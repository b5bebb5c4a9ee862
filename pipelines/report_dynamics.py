"""report_dynamics: models of videos beside one subject's neurons, as one self-contained page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per subject on whatever there is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd

from brainalign.artifacts import artifact_path, load, load_sidecar
from brainalign.checks import BrainalignError
from brainalign.pipelines import run_stage, stage_parser
from brainalign.pipelines.report import failures_of, write_report
from brainalign.provenance import Provenance
from brainalign.report import DYNAMICS_TABLES, DynamicsMaterial, Failure, render_dynamics_page
from brainalign.settings import Config, VideoStudy, load_descriptors, parse


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("report_dynamics", __doc__)
    parser.add_argument("--dataset")
    parser.add_argument("--subject")
    parser.add_argument("--incomplete", action="store_true", help="every subject whose report is missing")
    return run_stage(parser, _report, argv)


def _report(arguments: argparse.Namespace, provenance: Provenance) -> None:
    config = parse(Config, arguments.settings, "configuration")
    for dataset, descriptor in load_descriptors(config).items():
        if not isinstance(descriptor, VideoStudy) or arguments.dataset not in (None, dataset):
            continue
        for subject in descriptor.subjects:
            if arguments.subject not in (None, subject):
                continue
            failures = failures_of(config, dataset, subject) if arguments.incomplete else []
            if failures or not arguments.incomplete:
                _write(_gather(config, dataset, descriptor, subject, failures, provenance))


def _write(material: DynamicsMaterial) -> None:
    page = render_dynamics_page(material)
    place = (material.config.results, material.dataset, material.subject)
    write_report(page, material.descriptor, *place, incomplete=bool(material.failures))


def _gather(
    config: Config,
    dataset: str,
    descriptor: VideoStudy,
    subject: str,
    failures: list[Failure],
    provenance: Provenance,
) -> DynamicsMaterial:
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
