"""Pages of subjects: what each kind of study has to show of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from brainalign.arrays import Arrays, Responses
from brainalign.io import open_picture, read_parquet, read_text_table
from brainalign.pipelines.report.shelf import Shelf
from brainalign.report import (
    CAPTION_TABLES,
    DECODED_TABLES,
    DYNAMICS_TABLES,
    GROUNDING_TABLES,
    SYNTHESIS_TABLES,
    TABLE_SECTIONS,
    DecodedTimes,
    DynamicsMaterial,
    FoundDirections,
    ImageEncoding,
    ImageMaterial,
    Material,
    RecordingMaterial,
    Section,
    SubjectMaterial,
    SynthesisedImages,
    render_dynamics_page,
    render_image_page,
    render_page,
    render_recordings_page,
    sections,
)
from brainalign.statistics.summary import Encoding
from brainalign.study import Study, VideoStudy
from brainalign.workflow import STEPS

THUMBNAIL = 96  # pixels
FIT_TABLES = ("scores", "profile", "preference", "clusters", "partition", "baselines", "ensemble", "curve")


def study_page(shelf: Shelf, descriptor: Study, subject: str) -> str:
    """Draw the page of a subject: of categories decoded over time, or of predictions, by how these are scored."""
    if not descriptor.is_fitted:
        return recordings_page(shelf, descriptor, subject)
    return (image_page if descriptor.holds_out else block_page)(shelf, descriptor, subject)


def block_page(shelf: Shelf, descriptor: Study, subject: str) -> str:
    """Draw the page of a subject of whom runs or stimuli were left out in turn."""
    material = shelf.material(Material, descriptor, subject)
    config, dataset = shelf.run.config, shelf.dataset
    material.responses = shelf.fetch("responses", Responses, subject=subject)
    material.splits = shelf.fetch("splits", pd.DataFrame, subject=subject)
    material.ceiling = shelf.fetch("ceiling", pd.DataFrame, subject=subject)
    _background(shelf, material)
    for model in config.models_of(dataset):
        shelf.fetch("features", object, model=model)
    for model, method in config.fits_of(dataset, subject):
        labels: dict[str, Any] = {"subject": subject, "model": model, "method": method}
        tables = shelf.tables(("scores", "identification", "null"), **labels)
        if tables:
            material.encodings[model, method] = Encoding(**tables)
    material.rdms = shelf.fetch("rdm", Arrays, subject=subject)
    if material.responses is not None:
        material.conditions = list(pd.unique(material.responses.trials["stimulus_id"]))
    material.comparison = shelf.fetch("comparison", pd.DataFrame, subject=subject)
    for model in config.searchlights_of(dataset, descriptor, subject):
        searchlight = shelf.fetch("searchlight", pd.DataFrame, subject=subject, model=model)
        if searchlight is not None:
            material.searchlights[model] = searchlight
    material.decoding = shelf.fetch("decoding", pd.DataFrame, subject=subject)
    material.summary = shelf.fetch("summary", pd.DataFrame, subject=subject)
    return render_page(material, [*sections(material), *_table_sections(shelf, subject)])


def image_page(shelf: Shelf, descriptor: Study, subject: str) -> str:
    """Draw the page of a subject with a set of stimuli held out."""
    material = image_material(shelf, descriptor, subject)
    return render_image_page(material, _table_sections(shelf, subject))


def image_material(shelf: Shelf, descriptor: Study, subject: str) -> ImageMaterial:
    """Gather what the page of a subject who saw images is drawn from."""
    material = shelf.material(ImageMaterial, descriptor, subject)
    config, dataset = shelf.run.config, shelf.dataset
    material.responses = shelf.fetch("responses", Responses, subject=subject)
    material.splits = shelf.fetch("splits", pd.DataFrame, subject=subject)
    material.ceiling = shelf.fetch("ceiling", pd.DataFrame, subject=subject)
    _background(shelf, material)
    for model in config.models_of(dataset):
        shelf.fetch("features", object, model=model)
    for model, method in config.fits_of(dataset, subject):
        labels = {"subject": subject, "model": model, "method": method}
        tables = shelf.tables(FIT_TABLES, **labels)
        fields = shelf.fetch("fields", Arrays, **labels)
        if config.pretraining_of(method):
            shelf.fetch("network", object, **labels)
        if tables:
            material.encodings[model, method] = ImageEncoding(**tables, fields=fields)
            wanted = material.fields_of(model, method)["stimuli"]
            material.pictures |= _pictures(descriptor, [name for name in wanted if name not in material.pictures])
    material.rdms = shelf.fetch("rdm", Arrays, subject=subject)
    material.comparison = shelf.fetch("comparison", pd.DataFrame, subject=subject)
    if subject in descriptor.decoded_subjects:
        material.decoded = _decoded(shelf, subject)
    for model in config.searchlights_of(dataset, descriptor, subject):
        searchlight = shelf.fetch("searchlight", pd.DataFrame, subject=subject, model=model)
        if searchlight is not None:
            material.searchlights[model] = searchlight
    if config.synthesises(dataset, descriptor, subject):
        shelf.fetch("guides", object, subject=subject)
        made = shelf.tables(SYNTHESIS_TABLES, subject=subject)
        images = shelf.fetch("synthesized", Arrays, subject=subject)
        if images is not None and made:
            table, gains, steps = (made[suffix] for suffix in SYNTHESIS_TABLES)
            about = material.details("synthesized")
            material.synthesised = SynthesisedImages(images["images"], table, gains, steps, about, about["cost"])
    if config.directs(dataset, descriptor, subject):
        shelf.fetch("directions", object, subject=subject)
        scores = shelf.fetch("directionscores", pd.DataFrame, subject=subject)
        images = shelf.fetch("directionimages", Arrays, subject=subject)
        if scores is not None and images is not None:
            cosines = pd.DataFrame(material.details("directionscores")["cosines"])
            material.directions = FoundDirections(images["images"], scores, cosines)
    if subject in config.captioned(dataset, descriptor):
        material.captions = shelf.tables(CAPTION_TABLES, subject=subject)
    if subject in config.grounded(dataset, descriptor):
        shelf.fetch("grounding", object)
        known_words = shelf.tables(GROUNDING_TABLES)
        material.grounded_words = shelf.fetch("groundedwords", Arrays)
        material.grounded_regions = shelf.fetch("groundedregions", pd.DataFrame, subject=subject)
        if material.grounded_words is not None and known_words:
            material.grounding = known_words
            wanted = material.details("groundedwords")["shown_stimuli"]
            material.pictures |= _pictures(descriptor, [name for name in wanted if name not in material.pictures])
    material.summary = shelf.fetch("summary", pd.DataFrame, subject=subject)
    material.differences = shelf.fetch("differences", pd.DataFrame, subject=subject)
    material.recovery = shelf.fetch("recovery", pd.DataFrame, subject=subject)
    material.contest = shelf.fetch("contest", pd.DataFrame, subject=subject)
    material.winners = shelf.fetch("winners", pd.DataFrame, subject=subject)
    return material


def _background(shelf: Shelf, material: SubjectMaterial) -> None:
    """Fetch what maps are drawn on, where volumes are read as blocks."""
    if material.descriptor.in_blocks:
        material.mask = shelf.fetch("mask", Nifti1Image, subject=material.subject)
        material.bold = shelf.fetch("bold", Nifti1Image, subject=material.subject)


def _pictures(descriptor: Study, names: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Return small copies of some images; those that are no longer there are left out."""
    table = descriptor.stimulus_table()
    if not names or table is None:
        return {}
    stimuli = read_parquet(table) if table.suffix == ".parquet" else read_text_table(table)
    if "path" not in stimuli:
        return {}
    paths = stimuli.set_index("stimulus_id")["path"]
    found = {}
    for name in names:
        path = table.parent / str(paths.get(name, ""))
        if path.is_file():
            image = open_picture(path).convert("RGB")
            found[name] = np.asarray(image.resize((THUMBNAIL, THUMBNAIL)), dtype=np.uint8)
    return found


def _table_sections(shelf: Shelf, subject: str) -> list[Section]:
    """Draw the sections of steps that need no more than their tables, of those that the run has for this subject."""
    found, of = [], {"dataset": shelf.dataset, "subject": subject}
    for name, draw in TABLE_SECTIONS.items():
        step = STEPS[name]
        if of in step.of(shelf.run) and (tables := shelf.tables(step.writes, subject=subject)):
            found.append(draw(tables, shelf.details(step.writes[0], subject=subject)))
    return found


def recordings_page(shelf: Shelf, descriptor: Study, subject: str) -> str:
    """Draw the page of a subject whose recordings were decoded over time."""
    material = shelf.material(RecordingMaterial, descriptor, subject)
    material.responses = shelf.fetch("responses", Responses, subject=subject)
    material.decoded = _decoded(shelf, subject)
    return render_recordings_page(material)


def _decoded(shelf: Shelf, subject: str) -> DecodedTimes | None:
    """Gather the decoding over time, where all of it is there."""
    tables = shelf.tables(DECODED_TABLES, subject=subject)
    squares = shelf.fetch("timesquares", Arrays, subject=subject)
    if squares is None or not tables:
        return None
    return DecodedTimes(tables, squares, shelf.details("timesquares", subject=subject))


def dynamics_page(shelf: Shelf, descriptor: VideoStudy, subject: str) -> str:
    """Draw the page of a subject who saw videos."""
    material = shelf.material(DynamicsMaterial, descriptor, subject)
    for model, use in shelf.run.config.dynamics.models.items():
        shelf.fetch("rollouts", object, model=model)
        if use.heads and (noted := shelf.details("rollouts", model=model)):
            material.trained_on[model] = noted["trained_on"]
    material.tables = shelf.tables(DYNAMICS_TABLES, subject=subject)
    material.facts = shelf.details(DYNAMICS_TABLES[-1], subject=subject) if material.tables else {}
    return render_dynamics_page(material)


SUBJECT_PAGES: dict[str, Any] = {
    "responses": study_page,
    "videos": dynamics_page,
}
