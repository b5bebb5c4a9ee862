"""report_concepts: odd-one-out judgements, their dimensions, networks and regions beside them, on one page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per dataset with an errors section.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from brainalign.config import Config
from brainalign.io import Provenance, artifact_path, load, load_sidecar
from brainalign.pipelines.report.report import report_datasets
from brainalign.report import ALIGNMENT_TABLES, CONCEPT_TABLES, ConceptMaterial, Failure, render_concepts_page
from brainalign.study import TripletStudy


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    return report_datasets("report_concepts", __doc__, TripletStudy, _page, argv)


def _page(
    config: Config, dataset: str, descriptor: TripletStudy, failures: list[Failure], provenance: Provenance
) -> str:
    material = ConceptMaterial(config, dataset, descriptor)
    material.failures = failures
    if not failures:
        _gather(material, provenance)
    return render_concepts_page(material)


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
