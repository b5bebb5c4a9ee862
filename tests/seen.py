"""What tests make, in short, held against a record: a change that no test asked about is seen, too.

A record says nothing of right or wrong, that is what the tests are for. Where a change is meant, look at what it does,
then write the record anew: `RECORD=1 python -m pytest tests/report`. Kept are, of every kind of mark of a
panel, text and column of a table, how many numbers there are, two moments of them in order, a checksum of the words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from zlib import crc32

import drawn
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FuncFormatter

from brainalign.report.kit import Chapter, Panel, Section

TOLERANCE = 2e-3  # of moments: other processors round otherwise
NUMBER = re.compile(r"(?<![\w.#])[-−+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?")
MARKS = (drawn.points, drawn.bars, drawn.zones, drawn.spans, drawn.words, drawn.bands)


def account_of(figure: Figure) -> list[Any]:
    """Return for every panel and kind of mark: how many numbers, how many finite ones, two moments, a checksum."""
    panels = []
    for ax in drawn.panels(figure):
        marks: list[Any] = [read(ax) for read in MARKS]
        marks += [drawn.levels(ax, "x"), drawn.levels(ax, "y"), drawn.curves(ax)]
        marks += [image.get_array() for image in ax.images]
        marks += [drawn.ticks(ax, axis) for axis in "xy" if _is_named(ax, axis)]
        marks.append([ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), ax.get_xlim(), ax.get_ylim()])
        panels.append([_summary(mark) for mark in marks])
    return [*panels, _summary(drawn.legend(figure))]


def piece_of(piece: Section | Panel | Chapter) -> list[Any]:
    """Return the kind of a piece of a page, its name, and a summary of every text and table in it."""
    content = [getattr(piece, part.name) for part in fields(piece) if part.name not in ("figure", "panels", "sections")]
    leaves = [*_leaves(content)]
    return [type(piece).__name__, str(getattr(piece, "id", "")), *(_summary(leaf) for leaf in leaves)]


def _is_named(ax: Any, axis: str) -> bool:
    formatter = (ax.xaxis if axis == "x" else ax.yaxis).get_major_formatter()
    return isinstance(formatter, FixedFormatter | FuncFormatter)


def _leaves(content: Any) -> Iterator[Any]:
    """Yield what of a piece is summed up by itself: a text with numbers, a column; then all else at once."""
    others = []
    waiting = [content]
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


def _summary(content: Any) -> list[float]:
    parts = [*_parts(content)]
    numbers = np.array([part for part in parts if not isinstance(part, str)], dtype=float)
    finite = np.arcsinh(numbers[np.isfinite(numbers)])  # large ones do not hide small ones
    moments = [finite.mean(), (finite * np.linspace(1, 2, len(finite))).mean()] if len(finite) else []
    words = "|".join(part for part in parts if isinstance(part, str))
    return [len(numbers), len(finite), *(float(f"{moment:.4g}") for moment in moments), crc32(words.encode())]


def _parts(content: Any) -> Iterator[str | float]:
    """Yield the texts and numbers of anything in order."""
    if isinstance(content, str):
        text = re.sub(r"data:[^\"']+", "", content)
        yield from (float(number.replace("−", "-").replace(",", "")) for number in NUMBER.findall(text))
        yield NUMBER.sub("#", text)
    elif isinstance(content, bool | int | float | np.number | np.bool_):
        yield float(content)
    elif isinstance(content, pd.DataFrame):
        yield from map(str, content.columns)
        for column in content:
            yield from _parts(content[column].tolist())
    elif isinstance(content, np.ndarray) and content.dtype.kind in "OUS":
        yield from _parts(content.tolist())
    elif isinstance(content, np.ndarray):
        yield from map(float, np.ma.filled(np.ma.asarray(content, dtype=float), np.nan).ravel())
    elif isinstance(content, dict):
        yield from _parts(list(content.items()))
    elif isinstance(content, Sequence | set):
        for part in content:
            yield from _parts(part)
    elif hasattr(content, "__dataclass_fields__") and not isinstance(content, Panel):
        yield from _parts([getattr(content, part.name) for part in fields(content)])


@contextmanager
def made_pieces() -> Iterator[list[Any]]:
    """Collect every section, panel and chapter that is made from here on."""
    made: list[Any] = []
    plain = {kind: kind.__init__ for kind in (Section, Panel, Chapter)}

    def watched(init: Any) -> Any:
        def and_kept(self: Any, *arguments: Any, **options: Any) -> None:
            init(self, *arguments, **options)
            made.append(self)

        return and_kept

    for kind, init in plain.items():
        kind.__init__ = watched(init)  # type: ignore[misc]
    try:
        yield made
    finally:
        for kind, init in plain.items():
            kind.__init__ = init  # type: ignore[misc]


@dataclass
class Record:
    """What the tests of one file made when it was last looked at; what they share is made by whichever comes first."""

    path: Path
    writes: bool
    accounts: list[list[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.path.exists() and not self.writes:
            self.accounts = json.loads(self.path.read_text())

    def unknown(self, account: list[Any]) -> bool:
        """Tell whether nothing like it is on record; a record that is written takes it."""
        known = any(_alike(account, one) for one in self.accounts)
        if self.writes and not known:
            self.accounts.append(account)
        return not known and not self.writes

    def close(self) -> None:
        """Write a record that was to be written."""
        if self.writes:
            lines = sorted({json.dumps(account, separators=(",", ":")) for account in self.accounts})
            self.path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.isclose(one, other, rtol=TOLERANCE, atol=1e-6))
    return bool(one == other)
