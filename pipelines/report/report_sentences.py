"""report_sentences: decoders of sentences with the controls they are shown with, on one page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per dataset with an errors section.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from brainalign.config import Config
from brainalign.io import Provenance, artifact_path, load, load_sidecar, table_path
from brainalign.pipelines.report.report import report_datasets
from brainalign.report import TEXT_TABLES, Failure, TextMaterial, render_text_page
from brainalign.study import SentenceStudy


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    return report_datasets("report_sentences", __doc__, SentenceStudy, _page, argv)


def _page(
    config: Config, dataset: str, descriptor: SentenceStudy, failures: list[Failure], provenance: Provenance
) -> str:
    material = TextMaterial(config, dataset, descriptor)
    material.failures = failures
    if not failures:
        _gather(material, provenance)
    return render_text_page(material)


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
