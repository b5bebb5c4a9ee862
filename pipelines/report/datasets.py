"""Pages of datasets: all subjects of a study of images, and studies whose results have no subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays
from brainalign.io import read_parquet, table_path
from brainalign.pipelines.report.shelf import Shelf
from brainalign.report import (
    ALIGNMENT_TABLES,
    CONCEPT_TABLES,
    CONVERGENCE_TABLES,
    IDENTIFICATION_TABLES,
    MATCHING_TABLES,
    SERIES_TABLES,
    SPACE_TABLES,
    TEXT_TABLES,
    ConceptMaterial,
    FailedControl,
    ModalityMaterial,
    Section,
    SeriesMaterial,
    TextMaterial,
    convergence_section,
    failed_identification,
    fit_label,
    group_sections,
    identification_section,
    matching_section,
    no_convergence,
    no_identification,
    no_matching,
    render_concepts_page,
    render_failed_group,
    render_group_page,
    render_modalities_page,
    render_rdm_page,
    render_series_page,
    render_text_page,
)
from brainalign.study import (
    ModalityStudy,
    RdmStudy,
    SentenceStudy,
    SeriesStudy,
    Study,
    TripletStudy,
)
from brainalign.workflow import LEAST_SUBJECTS


def rdm_page(shelf: Shelf, descriptor: RdmStudy, _: Sequence[str]) -> str:
    """Draw the page of published dissimilarity matrices."""
    if shelf.failures:
        return render_failed_group(shelf.dataset, descriptor.title, 0, shelf.failures)
    rdms = shelf.fetch("rdm", Arrays)
    assert rdms is not None  # nothing has failed
    return render_rdm_page(
        descriptor, shelf.run.config, shelf.table("comparison"), shelf.table("differences"), rdms, shelf.sidecars
    )


def concepts_page(shelf: Shelf, descriptor: TripletStudy, _: Sequence[str]) -> str:
    """Draw the page of odd-one-out judgements."""
    material = shelf.material(ConceptMaterial, descriptor)
    if not shelf.failures:
        shelf.fetch("triplets", object)
        asked = shelf.run.config.aligned_models(shelf.dataset)
        material.tables = shelf.tables((*CONCEPT_TABLES, *(ALIGNMENT_TABLES if asked else ())))
        material.prepared, material.fitted = shelf.details("triplets"), shelf.details("choices")
        material.aligned = shelf.details("alignment")
    return render_concepts_page(material)


def text_page(shelf: Shelf, descriptor: SentenceStudy, _: Sequence[str]) -> str:
    """Draw the page of sentences decoded from EEG."""
    material = shelf.material(TextMaterial, descriptor)
    if not shelf.failures:
        for suffix in ("responses", "splits"):
            shelf.fetch(suffix, object)
        material.prepared = shelf.details("responses")
        # Signals are large, and the page draws none.
        material.targets = read_parquet(table_path(shelf.run.artifact("responses", shelf.dataset), "targets"))
        material.ledger = shelf.table("ledger")
        for decoder in shelf.run.config.decode.decoders:
            material.decoders[decoder] = shelf.tables(TEXT_TABLES, method=decoder)
            material.said[decoder] = shelf.details("controls", method=decoder)
    return render_text_page(material)


def modalities_page(shelf: Shelf, descriptor: ModalityStudy, _: Sequence[str]) -> str:
    """Draw the page of modalities in one space."""
    material = shelf.material(ModalityMaterial, descriptor)
    if not shelf.failures:
        shelf.fetch("modalities", object)
        material.tables = shelf.tables(SPACE_TABLES)
        material.fitted = shelf.details("spaceretrieval")
    return render_modalities_page(material)


def series_page(shelf: Shelf, descriptor: SeriesStudy, _: Sequence[str]) -> str:
    """Draw the page of time series of regions."""
    material = shelf.material(SeriesMaterial, descriptor)
    if not shelf.failures:
        for suffix in ("series", "maskedmodel"):
            shelf.fetch(suffix, object)
        material.prepared, material.fitted = shelf.details("series"), shelf.details("maskedmodel")
        traces: Mapping[str, Any] = shelf.fetch("filledtraces", Arrays) or {}
        material.traces = {name: np.asarray(values) for name, values in traces.items()}
        material.tables = shelf.tables(SERIES_TABLES)
    return render_series_page(material)


def group_page(shelf: Shelf, descriptor: Study, subjects: Sequence[str]) -> str:
    """Draw the page over all subjects who saw images: those that are whole."""
    config, dataset, failures = shelf.run.config, shelf.dataset, shelf.failures
    if not subjects:
        return render_failed_group(dataset, descriptor.title, len(descriptor.subjects), failures)
    tables = {}
    for suffix in ("summary", "differences", "recovery"):
        parts = [
            shelf.table(suffix, subject=name).assign(subject=name, modality=_modality(descriptor, name))
            for name in subjects
        ]
        tables[suffix] = _labelled(shelf, pd.concat(parts, ignore_index=True))
    controls = [
        fit_label(config, dataset, name, method)
        for name, method in config.fits_of(dataset)
        if config.models[name].random
    ]
    summary = tables["summary"]
    # After a failure the ceiling over subjects may be missing, or of subjects that are gone.
    shared = shelf.table("ceiling") if not failures else pd.DataFrame()
    scores = summary[summary["chosen"] & (summary["quantity"] == "mean r")]
    named, failed_controls = _identification(shelf, descriptor, bool(failures))
    return render_group_page(
        dataset,
        descriptor.title,
        scores,
        tables["differences"],
        [
            *group_sections(scores, tables["recovery"], shared, controls, config.confidence),
            _convergence(shelf, bool(failures)),
            named,
            _matching(shelf, bool(failures)),
        ],
        controls=controls,
        notes=[
            "Every score is of the layer that scores best inside the training stimuli (the first one where nothing is "
            "scored there, as with a single penalty; all layers where they are fitted jointly), over reliable targets "
            "(ceiling above the threshold). "
            "Intervals are over images: they say nothing of other subjects.",
            *descriptor.notes,
        ],
        confidence=config.confidence,
        failed_controls=failed_controls,
        failures=failures,
        sidecars=shelf.sidecars,
    )


def _convergence(shelf: Shelf, failed: bool) -> Section:
    """Return the section on convergence scores, or why there are none."""
    options = shelf.run.config.convergence_of(shelf.dataset)
    if not options.networks:
        return no_convergence(
            "No convergence scores: the configuration names no network of this study, with its twin of random weights, "
            "under converge.networks."
        )
    if failed:
        return no_convergence("No convergence scores: something they need failed; see Errors.")
    tables = shelf.tables(CONVERGENCE_TABLES)
    return convergence_section(tables, " and ".join(options.origins))


def _identification(shelf: Shelf, descriptor: Study, failed: bool) -> tuple[Section, list[FailedControl]]:
    """Return the section on regions named across subjects, or why there is none, and its controls that failed."""
    n_scanned = len(descriptor.scanned)
    if n_scanned < LEAST_SUBJECTS:
        few = no_identification(
            f"No regions are named across subjects, and no figure is drawn: that needs {LEAST_SUBJECTS} or more fMRI "
            f"subjects (one is tested, one chooses thresholds, one is compared with), and this study has {n_scanned}."
        )
        return few, []
    if failed:
        return no_identification("No regions are named across subjects: something that needs failed; see Errors."), []
    tables = shelf.tables(IDENTIFICATION_TABLES)
    about = shelf.details("regions")
    section = identification_section(tables, about, shelf.run.config.confidence)
    return section, failed_identification(tables["regions"], about)


def _matching(shelf: Shelf, failed: bool) -> Section:
    """Return the section on networks beside networks, or why there is none."""
    if not shelf.run.config.matching_of(shelf.dataset).models:
        return no_matching(
            "No networks were compared with each other: the configuration names none under match.models."
        )
    if failed:
        return no_matching("No networks were compared with each other: something failed; see Errors.")
    return matching_section(shelf.tables(MATCHING_TABLES))


def _modality(descriptor: Study, subject: str) -> str:
    """Name the modality of a subject in words of the table's header."""
    files = descriptor.recordings[subject]
    return str(getattr(files, "picks", "fMRI")).upper() if files.format == "epochs" else "fMRI"


def _labelled(shelf: Shelf, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which models carry the name of their method, where there are several."""
    names = {}
    for end in ("", "_a", "_b"):
        if f"method{end}" in table:
            pairs = zip(table[f"model{end}"], table[f"method{end}"], strict=True)
            labels = [fit_label(shelf.run.config, shelf.dataset, *pair) if pd.notna(pair[0]) else "" for pair in pairs]
            names[f"model{end}"] = np.array(labels, dtype=object)
    return table.assign(**names)


DATASET_PAGES: dict[str, Any] = {
    "responses": group_page,
    "rdms": rdm_page,
    "judgements": concepts_page,
    "sentences": text_page,
    "modalities": modalities_page,
    "series": series_page,
}
