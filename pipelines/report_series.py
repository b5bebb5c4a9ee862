"""report_series: hidden regions filled in, networks in embeddings, traits and states of people, on one page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per dataset with an errors section.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays
from brainalign.artifacts import artifact_path, load, load_sidecar
from brainalign.pipelines import run_stage, stage_parser
from brainalign.pipelines.report import failures_of, write_report
from brainalign.provenance import Provenance
from brainalign.report import SERIES_TABLES, SeriesMaterial, render_series_page
from brainalign.settings import Config, SeriesStudy, load_descriptors, parse


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("report_series", __doc__)
    parser.add_argument("--dataset")
    parser.add_argument("--incomplete", action="store_true", help="every dataset in which something failed")
    return run_stage(parser, _report, argv)


def _report(arguments: argparse.Namespace, provenance: Provenance) -> None:
    config = parse(Config, arguments.settings, "configuration")
    for dataset, descriptor in load_descriptors(config).items():
        if not isinstance(descriptor, SeriesStudy) or arguments.dataset not in (None, dataset):
            continue
        material = SeriesMaterial(config, dataset, descriptor)
        if arguments.incomplete:
            material.failures = failures_of(config, dataset, "")
            if not material.failures:
                continue
        else:
            _gather(material, provenance)
        page = render_series_page(material)
        write_report(page, descriptor, config.results, dataset, None, incomplete=bool(material.failures))


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
