"""The contents of a page: chapters in their order, each where the run makes the artifact that it is of."""

from collections.abc import Callable
from typing import Any

from brainalign.report.geometry_sections import gather_recordings, recordings_chapter
from brainalign.report.kit import Chapter, Section, Shelf, render_page
from brainalign.report.pages import (
    blocks_chapter,
    concepts_chapter,
    continuous_chapter,
    dynamics_chapter,
    gather_blocks,
    gather_concepts,
    gather_continuous,
    gather_dynamics,
    gather_group,
    gather_group_of_blocks,
    gather_group_of_runs,
    gather_images,
    gather_modalities,
    gather_rdms,
    gather_series,
    gather_text,
    group_chapter,
    group_of_blocks_chapter,
    group_of_runs_chapter,
    images_chapter,
    modalities_chapter,
    rdms_chapter,
    series_chapter,
    text_chapter,
)
from brainalign.report.table_sections import TABLE_SECTIONS

# By artifact: how its chapter is gathered from the shelf (None: told in another), and drawn.
CHAPTERS: dict[str, tuple[Callable[[Shelf], Any], Callable[[Any], Chapter]]] = {
    "decoding": (gather_blocks, blocks_chapter),
    "recovery": (gather_images, images_chapter),
    "runscores": (gather_continuous, continuous_chapter),
    "responses": (gather_recordings, recordings_chapter),
    "dynamics": (gather_dynamics, dynamics_chapter),
    "ceiling": (gather_group, group_chapter),
    "groupmaps": (gather_group_of_blocks, group_of_blocks_chapter),
    "groupscores": (gather_group_of_runs, group_of_runs_chapter),
    "references": (gather_rdms, rdms_chapter),
    "choices": (gather_concepts, concepts_chapter),
    "controls": (gather_text, text_chapter),
    "spaceretrieval": (gather_modalities, modalities_chapter),
    "maskedmodel": (gather_series, series_chapter),
}


def draw_page(shelf: Shelf) -> str:
    """Return the HTML of the page of a subject or a dataset, made of the chapters that the run has for it."""
    return render_page(shelf.page, draw_chapters(shelf))


def draw_chapters(shelf: Shelf) -> list[Chapter]:
    """Draw the chapters of the page of a subject or a dataset, those that the run has for it."""
    chapters = []
    for suffix, (gather, chapter) in CHAPTERS.items():
        if shelf.each(suffix) and (material := gather(shelf)) is not None:
            chapters.append(chapter(material))
    return [*chapters, Chapter(sections=_table_sections(shelf))]


def _table_sections(shelf: Shelf) -> list[Section]:
    """Draw the sections of steps that need no more than their tables, of those that the run has for this page."""
    sections = []
    for step, suffixes, labels in shelf.jobs:
        if step in TABLE_SECTIONS and (tables := shelf.tables(suffixes, **labels)):
            sections.append(TABLE_SECTIONS[step](tables, shelf.page.details(suffixes[0])))
    return sections
