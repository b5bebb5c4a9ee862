"""report_series: hidden regions filled in, networks in embeddings, traits and states of people, on one page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per dataset with an errors section.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays
from brainalign.config import Config
from brainalign.io import Provenance, artifact_path, load, load_sidecar
from brainalign.pipelines.report.report import report_datasets
from brainalign.report import SERIES_TABLES, Failure, SeriesMaterial, render_series_page
from brainalign.study import SeriesStudy


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    return report_datasets("report_series", __doc__, SeriesStudy, _page, argv)


def _page(
    config: Config, dataset: str, descriptor: SeriesStudy, failures: list[Failure], provenance: Provenance
) -> str:
    material = SeriesMaterial(config, dataset, descriptor)
    material.failures = failures
    if not failures:
        _gather(material, provenance)
    return render_series_page(material)


def _gather(material: SeriesMaterial, provenance: Provenance) -> None:
    for suffix in ("series", "maskedmodel", "filledtraces", *SERIES_TABLES):
        path = artifact_path(material.config.results, material.dataset, suffix)
        material.sidecars[path.name] = load_sidecar(path)
        if suffix == "series":
            material.prepared = material.sidecars[path.name]["details"]
        elif suffix == "maskedmodel":
            material.fitted = material.sidecars[path.name]["details"]
        elif suffix == "filledtraces":
            traces = load(path, Arrays, provenance)
            material.traces = {name: np.asarray(values) for name, values in traces.items()}
        else:
            material.tables[suffix] = load(path, pd.DataFrame, provenance)


if __name__ == "__main__":
    raise SystemExit(main())
