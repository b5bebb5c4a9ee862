"""report_concepts: odd-one-out judgements, their dimensions, networks and regions beside them, on one page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per dataset with an errors section.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd

from brainalign.artifacts import artifact_path, load, load_sidecar
from brainalign.pipelines import run_stage, stage_parser
from brainalign.pipelines.report import failures_of, write_report
from brainalign.provenance import Provenance
from brainalign.report import ALIGNMENT_TABLES, CONCEPT_TABLES, ConceptMaterial, render_concepts_page
from brainalign.settings import Config, TripletStudy, load_descriptors, parse


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("report_concepts", __doc__)
    parser.add_argument("--dataset")
    parser.add_argument("--incomplete", action="store_true", help="every dataset in which something failed")
    return run_stage(parser, _report, argv)


def _report(arguments: argparse.Namespace, provenance: Provenance) -> None:
    config = parse(Config, arguments.settings, "configuration")
    for dataset, descriptor in load_descriptors(config).items():
        if not isinstance(descriptor, TripletStudy) or arguments.dataset not in (None, dataset):
            continue
        material = ConceptMaterial(config, dataset, descriptor)
        if arguments.incomplete:
            material.failures = failures_of(config, dataset, "")
            if not material.failures:
                continue
        else:
            _gather(material, provenance)
        page = render_concepts_page(material)
        write_report(page, descriptor, config.results, dataset, None, incomplete=bool(material.failures))


def _gather(material: ConceptMaterial, provenance: Provenance) -> None:
    asked = material.config.aligned_models(material.dataset)
    for suffix in ("triplets", *CONCEPT_TABLES, *(ALIGNMENT_TABLES if asked else ())):
        path = artifact_path(material.config.results, material.dataset, suffix)
        material.sidecars[path.name] = load_sidecar(path)
        if suffix == "triplets":
            material.prepared = material.sidecars[path.name]["details"]
            continue
        material.tables[suffix] = load(path, pd.DataFrame, provenance)
        if suffix == "choices":
            material.fitted = material.sidecars[path.name]["details"]
        if suffix == "alignment":
            material.aligned = material.sidecars[path.name]["details"]


if __name__ == "__main__":
    raise SystemExit(main())
