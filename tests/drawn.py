"""What an eye reads off a figure: marks, their places and labels, and what cannot be right in any figure. The readers
return numbers as they are drawn, so that a test can hold them against the table behind the figure. `watched` looks
at every figure that becomes an image."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

NOTHING = ("None", "none", "", " ", None)
SMALLEST = 0.8  # inches of a panel with its labels
# Axes whose marks may lie outside, by what stands at their side, with the reason.
CLIPPED = {"explained variance": "ridge with a penalty each can fall far below any other line (few_images.LOWEST)"}


class Point(NamedTuple):
    """A mark of one place."""

    x: float
    y: float
    colour: str
    hollow: bool
    marker: str
    label: str


class Bar(NamedTuple):
    """A rectangle from (x, y) to (x2, y2)."""

    x: float
    y: float
    x2: float
    y2: float
    colour: str


def panels(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.axes if ax.get_visible() and ax.get_label() != "<colorbar>"]


def points(ax: Axes, marker: str | None = None, colour: str | None = None) -> list[Point]:
    """Return every mark in the order of drawing: of lines, of error bars (not their caps), of scatters."""
    caps = {id(cap) for box in ax.containers if isinstance(box, ErrorbarContainer) for cap in box[1]}
    names = {id(box[0]): str(box.get_label()) for box in ax.containers if isinstance(box, ErrorbarContainer)}
    marks = []
    for line in ax.lines:
        if line.get_marker() in NOTHING or id(line) in caps or line.get_transform() is not ax.transData:
            continue
        face = line.get_markerfacecolor()
        hollow = face in NOTHING or to_hex(face) == "#ffffff"
        about = to_hex(line.get_color()), hollow, str(line.get_marker()), names.get(id(line), str(line.get_label()))
        marks += [Point(x, y, *about) for x, y in zip(*_floats(line), strict=True) if np.isfinite([x, y]).all()]
    for scatter in ax.collections:
        if isinstance(scatter, PathCollection):
            places = np.asarray(scatter.get_offsets(), dtype=float)
            colours = np.resize(scatter.get_facecolors(), (len(places), 4))
            pairs, label = zip(places, colours, strict=True), str(scatter.get_label())
            marks += [Point(*place, to_hex(shade), False, "scatter", label) for place, shade in pairs]
    return [mark for mark in marks if marker in (None, mark.marker) and colour in (None, mark.colour)]


def _floats(line: Line2D) -> tuple[list[float], list[float]]:
    return tuple([float(value) for value in values] for values in line.get_data(orig=False))  # type: ignore[return-value]


def bars(ax: Axes) -> list[Bar]:
    boxes = [box for box in ax.patches if isinstance(box, Rectangle)]
    boxes = [box for box in boxes if box.get_data_transform() is ax.transData]
    return [Bar(*map(float, box.get_bbox().extents), to_hex(box.get_facecolor())) for box in boxes]


def zones(ax: Axes) -> list[tuple[float, float]]:
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    boxes, ends = [box for box in boxes if box.get_data_transform() is not ax.transData], []
    for box in boxes:
        vertical = box.get_data_transform() is ax.get_xaxis_transform(which="grid")
        start, length = (box.get_x(), box.get_width()) if vertical else (box.get_y(), box.get_height())
        ends.append((start, start + length))
    return ends


def levels(ax: Axes, axis: str = "y") -> dict[str, list[float]]:
    """Return the places of lines across a whole axis (axhline: "y", axvline: "x") by their label."""
    across = ax.get_yaxis_transform(which="grid") if axis == "y" else ax.get_xaxis_transform(which="grid")
    found: dict[str, list[float]] = {}
    for line in ax.lines:
        if line.get_transform() is across:  # equal ones may be those of data, before limits are known
            value = float(np.asarray(line.get_ydata() if axis == "y" else line.get_xdata(), dtype=float)[0])
            label = str(line.get_label())
            found.setdefault("" if label.startswith("_") else label, []).append(value)
    return found


def spans(ax: Axes, colour: str | None = None) -> list[tuple[float, float, float, float]]:
    """Return the ends (x, y, x2, y2) of every error bar and of every line of hlines and vlines."""
    ends = []
    for lines in (of for of in ax.collections if isinstance(of, LineCollection)):
        shades = [to_hex(shade) for shade in lines.get_colors()]
        segments = [of for k, of in enumerate(lines.get_segments()) if colour in (None, shades[k % len(shades)])]
        ends += [(*of[0], *of[-1]) for of in segments if len(of)]
    return [tuple(map(float, end)) for end in ends if np.isfinite(end).all()]  # type: ignore[misc]


def bands(ax: Axes, across: str = "x") -> list[dict[float, tuple[float, float]]]:
    """Return the lower and upper end of every filled band, by its place along an axis."""
    found = []
    for area in ax.collections:
        if isinstance(area, PolyCollection):
            band: dict[float, list[float]] = {}
            for path in area.get_paths():
                for x, y in path.vertices:
                    key, value = (x, y) if across == "x" else (y, x)
                    band.setdefault(round(float(key), 6), []).append(float(value))
            found.append({key: (min(values), max(values)) for key, values in band.items()})
    return found


def curves(ax: Axes) -> dict[str, list[tuple[list[float], list[float]]]]:
    """Return the places of every line by its label, "" for those without; not of lines across a whole axis."""
    across = [transform(which="grid") for transform in (ax.get_yaxis_transform, ax.get_xaxis_transform)]
    names = {id(box[0]): str(box.get_label()) for box in ax.containers if isinstance(box, ErrorbarContainer)}
    found: dict[str, list[tuple[list[float], list[float]]]] = {}
    for line in ax.lines:
        if not any(line.get_transform() is one for one in across) and line.get_linestyle() not in NOTHING:
            label = names.get(id(line), str(line.get_label()))
            found.setdefault("" if label.startswith("_") else label, []).append(_floats(line))
    return found


def ticks(ax: Axes, axis: str = "x") -> dict[float, str]:
    of = ax.xaxis if axis == "x" else ax.yaxis
    places = np.asarray(of.get_ticklocs(), dtype=float)
    return dict(zip(places.tolist(), of.get_major_formatter().format_ticks(places), strict=True))


def over(ax: Axes, marks: list[Point], axis: str = "x") -> dict[str, list[float]]:
    """Return the values of marks by the label that stands nearest, in the order of their places there."""
    found: dict[str, list[tuple[float, float]]] = {}
    for mark in marks:
        at, value = (mark.x, mark.y) if axis == "x" else (mark.y, mark.x)
        found.setdefault(_label_at(ax, axis, at), []).append((at, value))
    return {label: [value for _, value in sorted(pairs)] for label, pairs in found.items()}


def _label_at(ax: Axes, axis: str, at: float) -> str:
    labels = ticks(ax, axis)
    place = min(labels, key=lambda place: abs(place - at))
    assert abs(place - at) < 0.5, f"what is at {at} stands over no label of {list(labels.values())}"
    return labels[place]


def scored(ax: Axes, names: dict[str, str]) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return value and ends of the interval of every mark, by the label it stands over and the name of its colour."""
    found = {}
    for name, colour in names.items():
        ends = {round(x, 6): (low, high) for x, low, x2, high in spans(ax, colour) if x == x2}
        for mark in points(ax, colour=colour):
            found[_label_at(ax, "x", mark.x), name] = (mark.y, *ends.get(round(mark.x, 6), ()))
    return found


def near(table: pd.DataFrame) -> dict[Hashable, object]:
    """Return the rows of a table by its index, as `scored` returns what is drawn."""
    rows = zip(table.index, table.to_numpy(dtype=float), strict=True)
    return {key: pytest.approx(tuple(row[np.isfinite(row)])) for key, row in rows}


def lengths(ax: Axes, axis: str = "x") -> dict[str, list[tuple[float, float]]]:
    middle = (lambda bar: (bar.x + bar.x2) / 2) if axis == "x" else (lambda bar: (bar.y + bar.y2) / 2)
    found: dict[str, list[tuple[float, float]]] = {}
    for bar in sorted(bars(ax), key=middle):
        ends = (bar.y, bar.y2) if axis == "x" else (bar.x, bar.x2)
        found.setdefault(_label_at(ax, axis, middle(bar)), []).append(ends)
    return found


def cells(ax: Axes, number: int = 0) -> np.ndarray:
    """Return the values of an image, rows from the top of its table."""
    return np.ma.filled(np.ma.asarray(ax.images[number].get_array(), dtype=float), np.nan)


def words(ax: Axes) -> list[tuple[float, float, str]]:
    return [(*map(float, getattr(text, "xy", text.get_position())), text.get_text()) for text in ax.texts]


def legend(figure: Figure) -> dict[str, str]:
    boxes = [*figure.legends, *(box for ax in panels(figure) if (box := ax.get_legend()))]
    found: dict[str, str] = {}
    for box in boxes:
        for handle, text in zip(box.legend_handles, box.get_texts(), strict=True):
            shade = handle.get_color() if hasattr(handle, "get_color") else handle.get_facecolor()
            shade = np.asarray(shade)[0] if np.ndim(shade) > 1 else shade
            found[text.get_text()] = to_hex(shade)
    return found


def problems_of(figure: Figure) -> list[str]:
    """Return what cannot be right: marks outside their axes, labels given twice, panels with nothing in them."""
    problems = _problems_of_panels(figure)
    clipped = any(ax.get_ylabel() in CLIPPED for ax in panels(figure))  # panels in a row name it once
    for number, ax in enumerate(panels(figure)):
        where = f"panel {number} ({ax.get_title() or ax.get_ylabel()!r})"
        if not clipped:
            x, y = (sorted(limits) for limits in (ax.get_xlim(), ax.get_ylim()))
            for mark in [*points(ax), *bars(ax)]:
                if not np.isfinite(mark[:2]).all():
                    continue  # matplotlib draws no such mark
                places = [(x, value) for value in (mark[0:4:2] if isinstance(mark, Bar) else mark[:1])] + [(y, mark[1])]
                slack = [1e-6 * (high - low) for (low, high), _ in places]
                if not all(a - s <= value <= b + s for ((a, b), value), s in zip(places, slack, strict=True)):
                    problems.append(f"{where}: {mark} lies outside {x}, {y}")
        for axis in (ax.xaxis, ax.yaxis):
            if isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):
                problems += [f"{where}: two labels {name!r}" for name in _twice(axis.get_majorticklabels())]
        for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
            if isinstance(axis.get_major_locator(), FixedLocator) and 0 in levels(ax, name).get("", []):
                problems.append(f"{where}: the line at 0 of {name} lies among places that have names, not values")
        if ax.axison and not ax.has_data() and not ax.texts:
            problems.append(f"{where} is empty")
    for box in [*figure.legends, *(box for ax in panels(figure) if (box := ax.get_legend()))]:
        problems += [f"two entries {name!r} of a legend" for name in _twice(box.get_texts())]
    for box in figure.legends:
        width, texts = box.get_window_extent().width, [text.get_text() for text in box.get_texts()]
        if width > figure.bbox.width + 1:
            problems.append(f"a legend of {width:.0f} pixels on {figure.bbox.width:.0f}: {texts}")
    return problems


def gaps_of(figure: Figure) -> list[str]:
    """Return axes of names, one place apart, that reach further than a place beyond the first or the last."""
    problems = []
    for ax in panels(figure):
        for axis in (ax.xaxis, ax.yaxis):
            places = np.asarray(axis.get_majorticklocs(), dtype=float)
            low, high = sorted(axis.get_view_interval())
            named = isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter) and not ax.images
            is_in_steps = named and len(places) and (np.diff(places) == 1).all()
            if is_in_steps and (low < places.min() - 1 or high > places.max() + 1):
                problems.append(f"{ax.get_title()!r}: names from {places.min():g} to {places.max():g} in {low, high}")
    return problems


def _problems_of_panels(figure: Figure) -> list[str]:
    """Return what is wrong with a grid of panels: too small ones, rows and columns of which none is seen."""
    problems, specs = [], [spec for ax in panels(figure) if (spec := ax.get_subplotspec())]
    for shape in {spec.get_gridspec().get_geometry() for spec in specs}:
        mine = [spec for spec in specs if spec.get_gridspec().get_geometry() == shape]
        height, width = figure.get_size_inches()[::-1] / shape
        if min(width, height) < SMALLEST:
            problems.append(f"panels of {width:.1f} by {height:.1f} inches are too small to read")
        ratios = mine[0].get_gridspec().get_height_ratios()
        rows = {k for k, ratio in enumerate(ratios) if ratio > 0.1 * max(ratios)}  # less is a row taken out
        rows -= {k for spec in mine for k in spec.rowspan}
        columns = set(range(shape[1])) - {k for spec in mine for k in spec.colspan}
        if rows or columns:
            problems.append(f"no panel is seen in rows {sorted(rows)} and columns {sorted(columns)} of {shape}")
    return problems


def _twice(texts: list) -> list[str]:
    return [name for name, count in Counter(text.get_text() for text in texts if text.get_text()).items() if count > 1]


@contextmanager
def followed(kind: type, method: str, tell: Callable[[Any], object]) -> Iterator[None]:
    """Tell of each object of a kind, from here on, whenever a method of it has ended."""
    plain = getattr(kind, method)

    def and_told(one: Any, *arguments: object, **options: object) -> None:
        plain(one, *arguments, **options)
        tell(one)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, method, and_told)
        yield


@contextmanager
def collected() -> Iterator[list[Figure]]:
    """Collect every figure that is made from here on, whether it becomes an image or not."""
    figures: list[Figure] = []
    with followed(Figure, "__init__", figures.append):
        yield figures


@contextmanager
def unarranged() -> Iterator[None]:
    """Draw figures where they were made: arranging panels is two thirds of a picture, and decides no word or number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)
        yield


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect the problems of every figure that becomes an image from here on."""
    problems: list[str] = []
    with followed(FigureCanvasAgg, "draw", lambda canvas: problems.extend(problems_of(canvas.figure))):
        yield problems
