"""The contents of a page: chapters in their order, each where the run makes the artifact that it is of."""

from collections.abc import Callable
from typing import Any

from brainalign.report import pages
from brainalign.report.geometry_sections import gather_recordings, recordings_chapter
from brainalign.report.kit import Chapter, Shelf, render_page
from brainalign.report.table_sections import TABLE_SECTIONS

# By artifact: how its chapter is gathered from the shelf (None: told in another), and drawn.
CHAPTERS: dict[str, tuple[Callable[[Shelf], Any], Callable[[Any], Chapter]]] = {
    "decoding": (pages.gather_blocks, pages.blocks_chapter),
    "recovery": (pages.gather_images, pages.images_chapter),
    "runscores": (pages.gather_continuous, pages.continuous_chapter),
    "responses": (gather_recordings, recordings_chapter),
    "dynamics": (pages.gather_dynamics, pages.dynamics_chapter),
    "ceiling": (pages.gather_group, pages.group_chapter),
    "groupmaps": (pages.gather_group_of_blocks, pages.group_of_blocks_chapter),
    "groupscores": (pages.gather_group_of_runs, pages.group_of_runs_chapter),
    "timewindows": (pages.gather_group_of_recordings, pages.group_of_recordings_chapter),
    "references": (pages.gather_rdms, pages.rdms_chapter),
    "choices": (pages.gather_concepts, pages.concepts_chapter),
    "controls": (pages.gather_text, pages.text_chapter),
    "spaceretrieval": (pages.gather_modalities, pages.modalities_chapter),
    "maskedmodel": (pages.gather_series, pages.series_chapter),
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
    sections = [
        TABLE_SECTIONS[step](tables, shelf.page.details(suffixes[0]))
        for step, suffixes, labels in shelf.jobs
        if step in TABLE_SECTIONS and (tables := shelf.tables(suffixes, **labels))
    ]
    return [*chapters, Chapter(sections=sections)]
