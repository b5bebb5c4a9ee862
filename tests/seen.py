"""Accounts, for a record, of what a figure draws and what a piece of a page says."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import Any

import drawn
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FuncFormatter
from seeded.recorded import NUMBER, summary

from brainalign.report.kit import Chapter, Panel, Section

MARKS = (drawn.points, drawn.bars, drawn.zones, drawn.spans, drawn.words, drawn.bands)


def account_of(figure: Figure) -> list[Any]:
    panels = []
    for ax in drawn.panels(figure):
        marks: list[Any] = [read(ax) for read in MARKS]
        marks += [drawn.levels(ax, "x"), drawn.levels(ax, "y"), drawn.curves(ax)]
        marks += [image.get_array() for image in ax.images]
        formats = {"x": ax.xaxis.get_major_formatter(), "y": ax.yaxis.get_major_formatter()}
        marks += [drawn.ticks(ax, axis) for axis in "xy" if isinstance(formats[axis], FixedFormatter | FuncFormatter)]
        marks.append([ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), ax.get_xlim(), ax.get_ylim()])
        panels.append([summary(mark) for mark in [*marks, _style(ax)]])
    return ["", *panels, summary([drawn.legend(figure), *figure.get_size_inches()])]


def piece_of(piece: Section | Panel | Chapter) -> list[Any]:
    """Return the kind of a piece of a page, its name, and a summary of every text and table in it."""
    apart = ("figure", "panels", "sections", "orders")
    content = [getattr(piece, part.name) for part in fields(piece) if part.name not in apart]
    return [type(piece).__name__, str(getattr(piece, "id", "")), *map(summary, _leaves(content))]


def _style(ax: Axes) -> list[Any]:
    """Return how marks are drawn, not where."""
    axes, of_scale = (ax.xaxis, ax.yaxis), ("base", "linthresh")
    scales = [(axis.get_scale(), *(getattr(axis.get_transform(), name, 0.0) for name in of_scale)) for axis in axes]
    lines = [(line.get_linestyle(), line.get_linewidth(), line.get_alpha()) for line in ax.lines]
    images = [(image.get_clim(), image.get_extent(), image.origin) for image in ax.images]
    areas = [(area.get_clim(), area.get_array(), area.get_linewidths(), area.get_alpha()) for area in ax.collections]
    texts = [(str(text.get_fontweight()), getattr(text, "xyann", 0)) for text in ax.texts]
    return [scales, lines, images, areas, texts, [box.get_alpha() for box in ax.patches], ax.get_title(loc="left")]


def _leaves(content: Any) -> Iterator[Any]:
    """Yield what of a piece is summed up by itself: a text with numbers, a column; then all else at once."""
    others, waiting = [], [content]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, pd.DataFrame):
            yield from ([str(column), part[column].tolist()] for column in part)
        elif isinstance(part, dict):
            waiting = [*part.items(), *waiting]
        elif isinstance(part, Sequence) and not isinstance(part, str):
            waiting = [*part, *waiting]
        elif isinstance(part, str) and NUMBER.search(part):
            yield part
        else:
            others.append(part)
    yield others


@contextmanager
def made_pieces() -> Iterator[list[Any]]:
    """Collect every section, panel and chapter that is made from here on."""
    made: list[Any] = []
    with ExitStack() as stack:
        for kind in (Section, Panel, Chapter):
            stack.enter_context(drawn.followed(kind, "__init__", made.append))
        yield made
