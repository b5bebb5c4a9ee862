"""report_modalities: a space that EEG, MEG and fMRI share, on one page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per dataset with an errors section.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from brainalign.config import Config
from brainalign.io import Provenance, artifact_path, load, load_sidecar
from brainalign.pipelines.report.report import report_datasets
from brainalign.report import SPACE_TABLES, Failure, ModalityMaterial, render_modalities_page
from brainalign.study import ModalityStudy


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    return report_datasets("report_modalities", __doc__, ModalityStudy, _page, argv)


def _page(
    config: Config, dataset: str, descriptor: ModalityStudy, failures: list[Failure], provenance: Provenance
) -> str:
    material = ModalityMaterial(config, dataset, descriptor)
    material.failures = failures
    if not failures:
        prepared = artifact_path(config.results, dataset, "modalities")
        material.sidecars[prepared.name] = load_sidecar(prepared)
        for suffix in SPACE_TABLES:
            path = artifact_path(config.results, dataset, suffix)
            material.sidecars[path.name] = load_sidecar(path)
            material.tables[suffix] = load(path, pd.DataFrame, provenance)
            if suffix == "spaceretrieval":
                material.fitted = material.sidecars[path.name]["details"]
    return render_modalities_page(material)


if __name__ == "__main__":
    raise SystemExit(main())
