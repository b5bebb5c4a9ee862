"""What all figures share: the canvas, colours of models and layers, files within the size budget, several as one."""

import io
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator
from PIL import Image, ImageDraw, ImageFont

# Colours that stay apart for colour-blind readers (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
# Of more models than that: dark shades of five hues before lighter ones, so that no colour means two of them.
MORE_COLOURS = tuple(map(to_hex, matplotlib.colormaps["tab20b"](np.arange(20).reshape(5, 4).T.ravel())))
GREY = "#8c8c8c"  # controls: random weights, permuted
NULL = "#d4d4d4"  # bands of what chance gives
CEILING = "#f0dfb4"  # bands of what noise leaves to be predicted
CEILING_LINE: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 0.8, "label": "noise ceiling"}
HIDDEN = "#c4c4c4"  # vertices that are masked: not significant, low ceiling, undecided
MOST_MARKS = 2000  # one by one; more are drawn as a density or as pixels
MOST_PIXELS = 1000  # width of a figure
MOST_BYTES = 200_000  # of a figure's file
SMALL_BYTES = 30_000  # below it fewer colours gain nothing
MOST_SIDE = 16_383  # pixels of a WebP in either direction


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return an empty figure (inches, 110 dots each) and its axes, row by row."""
    figure = Figure(figsize=(min(width, MOST_PIXELS / 110), height), dpi=110, layout="constrained")
    axes = [figure.add_subplot(rows, columns, k + 1) for k in range(rows * columns)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def panel_grid(
    n: int, most: int, panel: tuple[float, float], margin: tuple[float, float] = (0.0, 0.0), least: float = 0.0
) -> tuple[Figure, list[Axes], int]:
    """Return an empty figure of n panels, at most so many in a row, its axes, and the panels in a row.

    Sizes of a panel and of what is beside all are in inches (width, height), as is the least width of the figure.
    Places that are left over are not seen.
    """
    columns = max(min(n, most), 1)
    rows = max(-(-n // columns), 1)
    figure, axes = new_figure(max(margin[0] + panel[0] * columns, least), margin[1] + panel[1] * rows, columns, rows)
    for ax in axes[n:]:
        ax.set_visible(False)
    return figure, axes[:n], columns


def label_axes(
    ax: Axes, title: str = "", x: str = "", y: str = "", ticks: Literal["", "x", "y", "both"] = "", size: int = 9
) -> None:
    """Write title and names of axes in the sizes that figures share; numbers of the axes in `ticks` are small."""
    if title:
        ax.set_title(title, fontsize=size)
    if x:
        ax.set_xlabel(x, fontsize=8)
    if y:
        ax.set_ylabel(y, fontsize=8)
    if ticks:
        ax.tick_params(axis=ticks, labelsize=7)


def cell_text(ax: Axes, row: int, column: int, text: str, *, dark: bool, size: int = 7, **style: Any) -> None:
    """Write into the middle of a cell of a matrix, white where it is dark."""
    colour = "white" if dark else "black"
    ax.text(column, row, text, ha="center", va="center", fontsize=size, color=colour, **style)


def band(ax: Axes, x: Any, low: Any, high: Any, colour: str, label: str, **style: Any) -> None:
    """Shade what lies between two curves, or between two numbers over a stretch of x."""
    ax.fill_between(x, low, high, color=colour, linewidth=0, label=label, **style)


def name_point(
    ax: Axes, text: str, place: tuple[float, float], offset: tuple[float, float], size: int = 7, ha: str = "left"
) -> None:
    """Write a name so many points beside a place."""
    ax.annotate(text, place, xytext=offset, textcoords="offset points", fontsize=size, ha=ha)


def model_colours(models: Sequence[str], controls: Sequence[str] = (), others: Sequence[str] = ()) -> dict[str, str]:
    """Return a colour per model of the study by its first place, the same in all figures; controls, others are grey."""
    known = [model for model in models if model not in controls]
    palette = COLOURS + MORE_COLOURS
    colours = {model: palette[known.index(model) % len(palette)] for model in known}
    return dict.fromkeys([*controls, *others], GREY) | colours


def layer_colours(layers: Sequence[str]) -> dict[str, str]:
    """Return a colour per layer, from the first (dark) to the last (light): neighbours in depth look alike."""
    # The last twentieth of viridis is a yellow that is hard to see on white.
    places = np.linspace(0, 0.95, max(len(layers), 2))[: len(layers)]
    return {layer: to_hex(matplotlib.colormaps["viridis"](place)) for layer, place in zip(layers, places, strict=True)}


def share_axis(axes: Sequence[Axes], *, x: bool = False, y: bool = True) -> None:
    """Give all axes the same limits, so that panels can be compared by eye."""
    for name in [*["xlim"] * x, *["ylim"] * y] if axes else ():
        low, high = zip(*(getattr(ax, f"get_{name}")() for ax in axes), strict=True)
        for ax in axes:
            ax.set(**{name: (min(low), max(high))})


def fit_names(figure: Figure) -> Figure:
    """Cut the middle of names beside axes, and of titles, that would push away what is drawn or run into each other."""
    for ax in figure.axes:
        grid = ax.get_subplotspec()
        wide = 72 * figure.get_figwidth() / grid.get_gridspec().ncols if grid else np.inf  # points
        ax.title.set_text(_cut(ax.title, 0.85 * wide))  # which stands over the axes alone
        for axis in (ax.xaxis, ax.yaxis):
            names = axis.get_ticklabels() if isinstance(axis.get_major_locator(), FixedLocator) else []
            short = [_cut(name, 0.6 * wide) for name in names]
            if len({*short}) == len({name.get_text() for name in names}) and any("…" in name for name in short):
                axis.set_ticklabels(short)
    return figure


def _cut(text: Text, points: float) -> str:
    """Return a line without its middle where it is too wide: ends of names tell layers and regions apart."""
    said, most = text.get_text(), max(4, points / (0.6 * float(text.get_fontsize())))
    return said if len(said) <= most or "\n" in said else f"{said[: int(most / 3)]}…{said[1 - int(most * 2 / 3) :]}"


def legend_name(name: object) -> str:
    """Return a name from data as legends show it: they leave out those that begin with "_"."""
    return f"\u200b{name}" if str(name).startswith("_") else str(name)


def drawn_marks(ax: Axes) -> list[tuple[Any, str]]:
    """List what a legend of these axes names (handle, label), but for what has no place: a ceiling nobody knows."""
    return [pair for pair in zip(*ax.get_legend_handles_labels(), strict=True) if _has_a_place(pair[0])]


def _has_a_place(handle: Any) -> bool:
    """Return whether a line or an area has one; lines without any points stand for others in a legend."""
    if isinstance(handle, Line2D):
        points = [np.asarray(handle.get_xydata(), dtype=float)]
        return not len(points[0]) or bool(np.isfinite(points[0]).all(axis=1).any())
    if isinstance(handle, LineCollection | PolyCollection):
        return any(np.isfinite(path.vertices).all(axis=1).any() for path in handle.get_paths())
    return True


def legend_below(figure: Figure, axes: Sequence[Axes], columns: int) -> Figure:
    """Return the figure with one legend of all axes below them, every label once, in as many of the columns as fit."""
    handles = {label: handle for ax in axes for handle, label in drawn_marks(ax)}
    for n in range(min(columns, len(handles)), 0, -1):
        legend = figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=n, fontsize=7, frameon=False
        )
        if n == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    return figure


def picture_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG or WebP of at most MOST_PIXELS width and MOST_BYTES."""
    return compressed(drawn(figure))


def drawn(figure: Figure) -> Image.Image:
    """Return the pixels of a figure, at most MOST_PIXELS wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL.Image import fromarray

    figure.set_dpi(min(figure.dpi, MOST_PIXELS / figure.get_figwidth()))
    for ground in (figure.patch, *(ax.patch for ax in figure.axes)):  # the page has its own, light or dark
        if to_hex(ground.get_facecolor()) == "#ffffff":
            ground.set_alpha(0)
    canvas = FigureCanvasAgg(figure)
    # savefig would draw twice, once for the layout alone.
    canvas.draw()  # type: ignore[no-untyped-call]
    return fromarray(np.asarray(canvas.buffer_rgba()))  # type: ignore[no-untyped-call]


def compressed(picture: Image.Image) -> bytes:
    """Return a small picture as PNG, others as WebP, what is transparent with it.

    Photographs and noise, which are larger than MOST_BYTES without loss, keep their size and lose fine detail first,
    then pixels. What WebP cannot hold is shrunk to it.
    """
    buffer = io.BytesIO()
    picture.save(buffer, format="png")
    if len(buffer.getvalue()) <= SMALL_BYTES:
        return buffer.getvalue()
    if max(picture.size) <= MOST_SIDE:
        buffer = io.BytesIO()
        picture.save(buffer, format="webp", lossless=True)
    for quality, scale in ((80, 1.0), (60, 1.0), (40, 1.0), (20, 1.0), (20, 0.7), (20, 0.5), (20, 0.3), (5, 0.2)):
        if len(buffer.getvalue()) <= MOST_BYTES:
            break
        shrunk = min(scale, MOST_SIDE / max(picture.size))
        smaller = picture.resize((max(1, round(picture.width * shrunk)), max(1, round(picture.height * shrunk))))
        buffer = io.BytesIO()
        smaller.save(buffer, format="webp", quality=quality, alpha_quality=quality)
    return buffer.getvalue()


STRIP = 22  # pixels above each figure, for its letter and title
GAP = 8  # pixels between figures


def letter(place: int) -> str:
    """Return the letter of a figure: A to Z, then AA, AB and so on."""
    before, last = divmod(place, len(ascii_uppercase))
    return (letter(before - 1) if before else "") + ascii_uppercase[last]


def composite(figures: Sequence[tuple[str, Figure]]) -> bytes:
    """Return (letter and title, figure) in their order as one PNG or WebP within the budget of one figure.

    A title that is wider than its figure is cut: it stands in the caption too.
    """
    tiles = [_tile(title, figure) for title, figure in figures]
    places, x, y, height = [], 0, 0, 0
    for tile in tiles:
        if x and x + tile.width > MOST_PIXELS:
            x, y, height = 0, y + height + GAP, 0
        places.append((x, y))
        x, height = x + tile.width + GAP, max(height, tile.height)
    width = max(x + tile.width for tile, (x, _) in zip(tiles, places, strict=True))
    picture = Image.new("RGBA", (width, y + height))
    for tile, place in zip(tiles, places, strict=True):
        picture.paste(tile, place)
    return compressed(picture)


def _tile(title: str, figure: Figure) -> Image.Image:
    """Return a figure with a strip above it, in the font of matplotlib, so that letters are the same everywhere."""
    picture = drawn(figure)
    tile = Image.new("RGBA", (picture.width, picture.height + STRIP))
    ImageDraw.Draw(tile).text((6, 4), title, fill="black", font=ImageFont.truetype(findfont("DejaVu Sans:bold"), 13))
    tile.paste(picture, (0, STRIP))
    return tile
