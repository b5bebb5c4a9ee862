"""report_sentences: decoders of sentences with the controls they are shown with, on one page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per dataset with an errors section.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd

from brainalign.artifact_names import table_path
from brainalign.artifacts import artifact_path, load, load_sidecar
from brainalign.pipelines import run_stage, stage_parser
from brainalign.pipelines.report import failures_of, write_report
from brainalign.provenance import Provenance
from brainalign.report import TEXT_TABLES, TextMaterial, render_text_page
from brainalign.settings import Config, SentenceStudy, load_descriptors, parse


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("report_sentences", __doc__)
    parser.add_argument("--dataset")
    parser.add_argument("--incomplete", action="store_true", help="every dataset in which something failed")
    return run_stage(parser, _report, argv)


def _report(arguments: argparse.Namespace, provenance: Provenance) -> None:
    config = parse(Config, arguments.settings, "configuration")
    for dataset, descriptor in load_descriptors(config).items():
        if not isinstance(descriptor, SentenceStudy) or arguments.dataset not in (None, dataset):
            continue
        material = TextMaterial(config, dataset, descriptor)
        if arguments.incomplete:
            material.failures = failures_of(config, dataset, "")
            if not material.failures:
                continue
        else:
            _gather(material, provenance)
        page = render_text_page(material)
        write_report(page, descriptor, config.results, dataset, None, incomplete=bool(material.failures))


def _gather(material: TextMaterial, provenance: Provenance) -> None:
    results, dataset = material.config.results, material.dataset
    for suffix in ("responses", "splits", "ledger"):
        path = artifact_path(results, dataset, suffix)
        material.sidecars[path.name] = load_sidecar(path)
        if suffix == "responses":
            material.prepared = material.sidecars[path.name]["details"]
            # Signals are large, and the page draws none.
            material.targets = pd.read_parquet(table_path(path, "targets"))
        if suffix == "ledger":
            material.ledger = load(path, pd.DataFrame, provenance)
    for decoder in material.config.decode.decoders:
        tables: dict[str, pd.DataFrame] = {}
        for suffix in TEXT_TABLES:
            path = artifact_path(results, dataset, suffix, method=decoder)
            material.sidecars[path.name] = load_sidecar(path)
            tables[suffix] = load(path, pd.DataFrame, provenance)
            if suffix == "controls":
                material.said[decoder] = material.sidecars[path.name]["details"]
        material.decoders[decoder] = tables


if __name__ == "__main__":
    raise SystemExit(main())
