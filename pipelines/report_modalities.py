"""report_modalities: a space that EEG, MEG and fMRI share, on one page.

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
from brainalign.report import SPACE_TABLES, ModalityMaterial, render_modalities_page
from brainalign.settings import Config, ModalityStudy, load_descriptors, parse


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("report_modalities", __doc__)
    parser.add_argument("--dataset")
    parser.add_argument("--incomplete", action="store_true", help="every dataset in which something failed")
    return run_stage(parser, _report, argv)


def _report(arguments: argparse.Namespace, provenance: Provenance) -> None:
    config = parse(Config, arguments.settings, "configuration")
    for dataset, descriptor in load_descriptors(config).items():
        if not isinstance(descriptor, ModalityStudy) or arguments.dataset not in (None, dataset):
            continue
        material = ModalityMaterial(config, dataset, descriptor)
        if arguments.incomplete:
            material.failures = failures_of(config, dataset, "")
            if not material.failures:
                continue
        else:
            for suffix in SPACE_TABLES:
                path = artifact_path(config.results, dataset, suffix)
                material.sidecars[path.name] = load_sidecar(path)
                material.tables[suffix] = load(path, pd.DataFrame, provenance)
                if suffix == "spaceretrieval":
                    material.fitted = material.sidecars[path.name]["details"]
        page = render_modalities_page(material)
        write_report(page, descriptor, config.results, dataset, None, incomplete=bool(material.failures))


if __name__ == "__main__":
    raise SystemExit(main())
