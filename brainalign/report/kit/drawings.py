"""Figures as SVG of the page itself: text can be selected, black is the ink of the theme, marks tell their values."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FuncFormatter
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike, NDArray

from brainalign.report.kit.canvas import NULL

THEME = {"#000000": "currentColor", "#555555": "currentColor", "#ffffff": "var(--page)", NULL: "var(--line)"}
# What makes a drawing large: the fonts that might stand in for its own, and places beyond hundredths of a point.
FONTS, PLACES = r"(font-family:|font: [\w. ]*?px)[^;\"]*", r' (?:d|x|y|transform)="[^"]*"'
WIDE = 5.0  # inches; narrower figures can be read on a phone
Place = Callable[[float], str]  # what names a place on an axis
AXES_BYTES, MARK_BYTES, POINT_BYTES = 8000, 200, 20  # of axes with ticks, of a mark, of a point of a line


def name_marks(line: Any, names: Sequence[str]) -> None:
    """Say what the marks of a line stand for: ticks name few of many layers, and those of one network of several."""
    marks = line[0] if isinstance(line, ErrorbarContainer) else line
    marks.names_along_x = [*map(str, names)]


def drawing_bytes(figure: Figure) -> float:
    """Estimate the size of a figure as SVG; infinite for one that holds pixels."""
    size = AXES_BYTES * len(figure.axes)
    for ax in figure.axes:
        if ax.images or ax.artists or any(isinstance(area, QuadMesh) for area in ax.collections):
            return float("inf")
        size += MARK_BYTES * (len(ax.patches) + len(ax.texts))
        for line in ax.lines:
            size += (MARK_BYTES if _has_marks(line) else POINT_BYTES) * len(np.asarray(line.get_xydata()))
        for area in ax.collections:
            size += MARK_BYTES * max(len(np.asarray(area.get_offsets())), len(area.get_paths()))
            size += POINT_BYTES * sum(len(path) for path in area.get_paths())
    return size


def drawing(figure: Figure, name: str) -> Markup:
    """Return a figure as SVG whose ids begin with a name; a mark under the pointer tells its values."""
    titles = {}
    for k, (mark, said) in enumerate(_marks(figure)):
        mark.set_gid(f"mark-{k}")
        titles[f"mark-{k}"] = said
    for ground in (figure.patch, *(ax.patch for ax in figure.axes)):
        ground.set(facecolor="none", edgecolor="none")
    buffer, dpi = io.StringIO(), figure.dpi
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]  # one pass
    figure.set_dpi(dpi)
    svg = buffer.getvalue()
    svg = re.sub("|".join(THEME), lambda colour: THEME[colour[0]], svg[svg.index("<svg") :])
    svg = re.sub(r'<metadata>.*?</metadata>|\sxmlns(:\w+)?="[^"]*"', "", svg, flags=re.DOTALL)
    svg = re.sub(FONTS, lambda font: f"{font[1]} 'DejaVu Sans', sans-serif", svg)
    svg = re.sub(PLACES, lambda places: re.sub(r"(\.\d\d)\d+", r"\1", places[0]), svg)
    groups = re.compile(r'^( *)<g id="(mark-\d+)">.*?^\1</g>', re.DOTALL | re.MULTILINE)  # others stand within
    svg = re.sub(r"\n\s+", "\n", groups.sub(lambda group: _titled(group[0], titles[group[2]]), svg))
    prefix = re.sub(r"\W", lambda sign: f"-{ord(sign[0]):x}", name)
    svg = re.sub(r'(\bid="|url\(#|href="#)', lambda before: f"{before[0]}{prefix}-", svg)
    stacked = _stacked(figure, prefix)
    return Markup(svg.replace("<svg ", '<svg class="whole" ', 1) + stacked if stacked else svg)


def _stacked(figure: Figure, name: str) -> str:
    """Return every panel of a wide figure, and its legends, as a view into its drawing, for narrow screens."""
    width, height = 72 * figure.get_size_inches()
    axes = [ax for ax in figure.axes if ax.get_visible() and ax.get_label() != "<colorbar>"]
    bare = [ax for ax in axes if len(ax.get_yticks()) and not any(name.get_text() for name in ax.get_yticklabels())]
    if len(axes) < 2 or width <= 72 * WIDE or bare:  # a panel alone would not say what its rows are
        return ""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]  # one: it remembers widths
    boxes = [part.get_tightbbox(renderer) for part in [*axes, *figure.legends]]
    views = [box.transformed(Affine2D().scale(72 / figure.dpi)).padded(4) for box in boxes if box is not None]
    return "".join(
        f'<svg viewBox="{box.x0:.1f} {height - box.y1:.1f} {box.width:.1f} {box.height:.1f}" width="{box.width:.0f}pt" '
        f'class="panel"><use href="#{name}-figure_1"/></svg>'
        for box in views
    )


def _titled(group: str, titles: Sequence[str]) -> str:
    """Write titles into the marks of a group, unless some of them lie outside of the figure and are not drawn."""
    tag = "use" if "<use" in group else "path"
    if group.count(f"<{tag}") != len(titles):
        return group
    each = iter(titles)
    return re.sub(
        rf"<{tag}([^>]*)/>", lambda mark: f"<{tag}{mark[1]}><title>{escape(next(each))}</title></{tag}>", group
    )


def _marks(figure: Figure) -> Iterator[tuple[Artist, list[str]]]:
    """Yield every artist with marks, and what each mark says: its name in the legend and its place on both axes."""
    for ax in figure.axes:
        x, y = _place(ax.xaxis), _place(ax.yaxis)
        boxes = [box for box in ax.containers if isinstance(box, ErrorbarContainer)]
        errors, caps = {box[0]: box.get_label() for box in boxes}, {cap for box in boxes for cap in box[1]}
        for line in ax.lines:
            if _has_marks(line) and line.get_transform() is ax.transData and line not in caps:
                said, names = errors.get(line, line.get_label()), getattr(line, "names_along_x", None)
                yield line, _said(said, line.get_xydata(), x, y, names)
        for cloud in (area for area in ax.collections if isinstance(area, PathCollection)):
            yield cloud, _said(cloud.get_label(), cloud.get_offsets(), x, y)
        for bars in (box for box in ax.containers if isinstance(box, BarContainer)):
            for bar, value in zip(bars.patches, np.asarray(bars.datavalues), strict=True):
                place = bar.get_x() + bar.get_width() / 2, value
                if bars.orientation == "horizontal":
                    place = value, bar.get_y() + bar.get_height() / 2
                yield bar, _said(bars.get_label(), [place], x, y)


def _said(label: object, points: ArrayLike, x: Place, y: Place, names: Sequence[str] | None = None) -> list[str]:
    """Write what every mark says that is drawn: those that have a place; `names` stand for places along x."""
    places: NDArray[np.float64] = np.ma.filled(np.ma.asarray(points, dtype=float), np.nan)
    of = "" if str(label).startswith("_") else str(label)
    along = names or [x(a) for a, _ in places]
    parts = [(of, name, y(b)) for name, (a, b) in zip(along, places, strict=True) if np.isfinite([a, b]).all()]
    return [", ".join(filter(None, each)) for each in parts]


def _has_marks(line: matplotlib.lines.Line2D) -> bool:
    return line.get_marker() not in ("", " ", "none", "None", None)


def _place(axis: Axis) -> Place:
    """Make what names a place on an axis: by the label of the tick there, or by a number after the axis's title."""
    ticks, title = np.asarray(axis.get_ticklocs(), dtype=float), axis.get_label_text()
    formatter = axis.get_major_formatter()
    if not len(ticks) or not isinstance(formatter, FixedFormatter | FuncFormatter):
        return lambda value: f"{title} {value:.3g}".strip()
    names, near = formatter.format_ticks(ticks.tolist()), 0.45 * np.diff(np.sort(ticks)).min(initial=np.inf)

    def named(value: float) -> str:
        k = int(np.abs(ticks - value).argmin())
        return names[k] if abs(ticks[k] - value) <= near else f"{title} {value:.3g}" * bool(title)

    return named
