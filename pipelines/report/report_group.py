"""report_group: all subjects of a study on one page: models and subjects compared; or networks and reference RDMs.

With --incomplete, after a failure: a page per dataset with the subjects that are whole, and an errors section.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays
from brainalign.config import Config, load_descriptors
from brainalign.io import Provenance, artifact_path, load, load_sidecar
from brainalign.pipelines import run_stage, stage_parser
from brainalign.pipelines.report.report import end_of_log, failures_of, write_report
from brainalign.report import (
    CONVERGENCE_TABLES,
    IDENTIFICATION_TABLES,
    MATCHING_TABLES,
    FailedControl,
    Failure,
    Section,
    convergence_section,
    failed_identification,
    fit_label,
    group_sections,
    identification_section,
    matching_section,
    no_convergence,
    no_identification,
    no_matching,
    render_failed_group,
    render_group_page,
    render_rdm_page,
)
from brainalign.study import ImageStudy, RdmStudy, parse, scanned_subjects
from brainalign.workflow import LEAST_SUBJECTS, group_report_path, log_path, subjects_of

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("report_group", __doc__)
    parser.add_argument("--dataset")
    parser.add_argument("--incomplete", action="store_true", help="every dataset in which something failed")
    return run_stage(parser, _report, argv)


def _report(arguments: argparse.Namespace, provenance: Provenance) -> None:
    config = parse(Config, arguments.settings, "configuration")
    descriptors = load_descriptors(config)
    for dataset in descriptors if arguments.incomplete else [arguments.dataset]:
        descriptor = descriptors[dataset]
        if not isinstance(descriptor, ImageStudy | RdmStudy):
            continue
        by_subject = _failures(config, dataset, descriptor) if arguments.incomplete else {}
        failures = list({failure: None for found in by_subject.values() for failure in found})
        if arguments.incomplete and not failures:
            group_report_path(config.results, dataset, incomplete=True).unlink(missing_ok=True)
            continue
        # Where the page itself failed ("") there is no use in drawing it again.
        whole = [name for name in subjects_of(descriptor) if "" not in by_subject and not by_subject.get(name)]
        material = _Material(config, dataset, provenance)
        if isinstance(descriptor, ImageStudy) and whole:
            page = _image_page(material, descriptor, whole, failures)
        elif isinstance(descriptor, RdmStudy) and not failures:
            page = _rdm_page(material, descriptor)
        else:
            page = render_failed_group(dataset, descriptor.title, len(subjects_of(descriptor)), failures)
        write_report(page, descriptor, config.results, dataset, None, incomplete=bool(failures))


def _failures(config: Config, dataset: str, descriptor: ImageStudy | RdmStudy) -> dict[str, list[Failure]]:
    """List the failures by subject; a subject's own page is no part of the group's."""
    found = {name: failures_of(config, dataset, name) for name in subjects_of(descriptor) or [""]}
    found = {name: [failure for failure in mine if failure.stage != "report_images"] for name, mine in found.items()}
    if not any(found.values()) and not group_report_path(config.results, dataset).exists():
        asked = {
            "converge": ("convergence", bool(config.convergence_of(dataset).networks)),
            "identify": ("regions", len(scanned_subjects(descriptor)) >= LEAST_SUBJECTS),
            "match": ("similarity", bool(config.matching_of(dataset).models)),
        }
        for stage, (suffix, wanted) in asked.items():
            done = artifact_path(config.results, dataset, suffix).with_suffix(".json").exists()
            if wanted and not done:
                return {stage: [Failure(stage, "", end_of_log(log_path(config.results, dataset, stage)))]}
        return {"": [Failure("report_group", "", end_of_log(log_path(config.results, dataset, "report_group")))]}
    return found


@dataclass
class _Material:
    """What a page draws from, with the sidecars of what was read."""

    config: Config
    dataset: str
    provenance: Provenance
    sidecars: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def fetch(self, suffix: str, kind: type[T], **labels: str) -> T:
        path = artifact_path(self.config.results, self.dataset, suffix, **labels)
        self.sidecars[path.name] = load_sidecar(path)
        return load(path, kind, self.provenance)

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table in which models carry the name of their method, where there are several."""
        names = {}
        for end in ("", "_a", "_b"):
            if f"method{end}" in table:
                pairs = zip(table[f"model{end}"], table[f"method{end}"], strict=True)
                labels = [fit_label(self.config, self.dataset, *pair) if pd.notna(pair[0]) else "" for pair in pairs]
                names[f"model{end}"] = np.array(labels, dtype=object)
        return table.assign(**names)


def _rdm_page(material: _Material, descriptor: RdmStudy) -> str:
    comparison, differences = (material.fetch(name, pd.DataFrame) for name in ("comparison", "differences"))
    rdms = material.fetch("rdm", Arrays)
    return render_rdm_page(descriptor, material.config, comparison, differences, rdms, material.sidecars)


def _image_page(material: _Material, descriptor: ImageStudy, subjects: list[str], failures: list[Failure]) -> str:
    config, dataset = material.config, material.dataset
    tables = {}
    for suffix in ("summary", "differences", "recovery"):
        parts = [
            material.fetch(suffix, pd.DataFrame, subject=name).assign(
                subject=name, modality=_modality(descriptor, name)
            )
            for name in subjects
        ]
        tables[suffix] = material.labelled(pd.concat(parts, ignore_index=True))
    controls = [
        fit_label(config, dataset, name, method)
        for name, method in config.fits_of(dataset)
        if config.models[name].random
    ]
    summary = tables["summary"]
    # After a failure the ceiling over subjects may be missing, or of subjects that are gone.
    shared = material.fetch("ceiling", pd.DataFrame) if not failures else pd.DataFrame()
    scores = summary[summary["chosen"] & (summary["quantity"] == "mean r")]
    named, failed_controls = _identification(material, descriptor, bool(failures))
    return render_group_page(
        dataset,
        descriptor.title,
        scores,
        tables["differences"],
        [
            *group_sections(scores, tables["recovery"], shared, controls, config.confidence),
            _convergence(material, bool(failures)),
            named,
            _matching(material, bool(failures)),
        ],
        controls=controls,
        notes=[
            "Every score is of the layer that scores best inside the training images (the first one where nothing is "
            "scored there, as with a single penalty; all layers where they are fitted jointly), over reliable targets "
            "(ceiling above the threshold). "
            "Intervals are over images: they say nothing of other subjects.",
            *descriptor.notes,
        ],
        confidence=config.confidence,
        failed_controls=failed_controls,
        failures=failures,
        sidecars=material.sidecars,
    )


def _convergence(material: _Material, failed: bool) -> Section:
    """Return the section on convergence scores, or why there are none."""
    options = material.config.convergence_of(material.dataset)
    if not options.networks:
        return no_convergence(
            "No convergence scores: the configuration names no network of this study, with its twin of random weights, "
            "under converge.networks."
        )
    if failed:
        return no_convergence("No convergence scores: something they need failed; see Errors.")
    tables = {name: material.fetch(name, pd.DataFrame) for name in CONVERGENCE_TABLES}
    return convergence_section(tables, " and ".join(options.origins))


def _identification(material: _Material, descriptor: ImageStudy, failed: bool) -> tuple[Section, list[FailedControl]]:
    """Return the section on regions named across subjects, or why there is none, and its controls that failed."""
    n_scanned = len(scanned_subjects(descriptor))
    if n_scanned < LEAST_SUBJECTS:
        few = no_identification(
            f"No regions are named across subjects, and no figure is drawn: that needs {LEAST_SUBJECTS} or more fMRI "
            f"subjects (one is tested, one chooses thresholds, one is compared with), and this study has {n_scanned}."
        )
        return few, []
    if failed:
        return no_identification("No regions are named across subjects: something that needs failed; see Errors."), []
    tables = {name: material.fetch(name, pd.DataFrame) for name in IDENTIFICATION_TABLES}
    path = artifact_path(material.config.results, material.dataset, "regions")
    about = material.sidecars[path.name]["details"]
    section = identification_section(tables, about, material.config.confidence)
    return section, failed_identification(tables["regions"], about)


def _matching(material: _Material, failed: bool) -> Section:
    """Return the section on networks beside networks, or why there is none."""
    if not material.config.matching_of(material.dataset).models:
        return no_matching(
            "No networks were compared with each other: the configuration names none under match.models."
        )
    if failed:
        return no_matching("No networks were compared with each other: something failed; see Errors.")
    return matching_section({name: material.fetch(name, pd.DataFrame) for name in MATCHING_TABLES})


def _modality(descriptor: ImageStudy, subject: str) -> str:
    """Name the modality of a subject in words of the table's header."""
    files = descriptor.subjects[subject]
    return str(getattr(files, "picks", "fMRI")).upper() if files.format == "epochs" else "fMRI"


if __name__ == "__main__":
    raise SystemExit(main())
