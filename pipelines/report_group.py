"""report_group: all subjects of a study on one page: models and subjects compared; or networks and reference RDMs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from brainalign.arrays import Arrays
from brainalign.artifacts import artifact_path, load, load_sidecar
from brainalign.files import write_atomically, write_json
from brainalign.pipelines import run_stage, stage_parser
from brainalign.pipelines.report import dataset_description
from brainalign.plan import group_report_path
from brainalign.provenance import Provenance
from brainalign.report import group_sections, render_group_page, render_rdm_page
from brainalign.settings import Config, ImageStudy, RdmStudy, load_descriptors, parse


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("report_group", __doc__)
    parser.add_argument("--dataset", required=True)
    return run_stage(parser, _report, argv)


def _report(arguments: argparse.Namespace, provenance: Provenance) -> None:
    config = parse(Config, arguments.settings, "configuration")
    descriptor = load_descriptors(config)[arguments.dataset]
    sidecars: dict[str, Mapping[str, Any]] = {}

    def fetch(suffix: str, **labels: str) -> pd.DataFrame:
        path = artifact_path(config.results, arguments.dataset, suffix, **labels)
        sidecars[path.name] = load_sidecar(path)
        return load(path, pd.DataFrame, provenance)

    if isinstance(descriptor, RdmStudy):
        path = artifact_path(config.results, arguments.dataset, "rdm")
        rdms = load(path, Arrays, provenance)
        sidecars[path.name] = load_sidecar(path)
        page = render_rdm_page(descriptor, config, fetch("comparison"), fetch("differences"), rdms, sidecars)
    elif isinstance(descriptor, ImageStudy):
        tables = {
            suffix: pd.concat(
                [
                    fetch(suffix, subject=subject).assign(subject=subject, modality=_modality(descriptor, subject))
                    for subject in descriptor.subjects
                ],
                ignore_index=True,
            )
            for suffix in ("summary", "differences", "recovery")
        }
        controls = [name for name in config.models_of(arguments.dataset) if config.models[name].random]
        scores = tables["summary"][tables["summary"]["chosen"] & tables["summary"]["quantity"].isin(["mean r"])]
        page = render_group_page(
            arguments.dataset,
            descriptor.title,
            scores,
            tables["differences"],
            group_sections(scores, tables["recovery"], controls, config.confidence),
            controls=controls,
            notes=[
                "Every score is of the layer that was chosen inside the training images, over reliable targets "
                "(ceiling above the threshold); the number of subjects allows no claim about a population.",
                *descriptor.notes,
            ],
            confidence=config.confidence,
            sidecars=sidecars,
        )
    path = group_report_path(config.results, arguments.dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write_text(page, encoding="utf-8"))
    write_json(path.parent / "dataset_description.json", dataset_description(descriptor))
    print(f"report: {path}")


def _modality(descriptor: ImageStudy, subject: str) -> str:
    """Return how a subject was measured, in words of the table's header."""
    files = descriptor.subjects[subject]
    return str(getattr(files, "picks", "fMRI")).upper() if files.format == "epochs" else "fMRI"


if __name__ == "__main__":
    raise SystemExit(main())
