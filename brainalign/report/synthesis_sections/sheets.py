"""Sheets of small images in rows, with a line of words under each: every pixel of a small image stays a square."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from brainalign.checks import BrainalignError
from brainalign.report.kit import MOST_PIXELS

DOTS = 110  # per inch, as in every figure
SIDE = 96  # pixels of an image: three for each of a prior of 32
GAP, MARGIN, NOTE, HEADER = 10, 132, 15, 20  # pixels
MOST_COLUMNS = (MOST_PIXELS - MARGIN) // (SIDE + GAP)


@dataclass(frozen=True)
class Strip:
    """One row of a sheet.

    Parameters
    ----------
    name : str
        At its left.
    images : sequence of array (height, width, 3), uint8
        None leaves a place empty.
    notes : sequence of str
        Under each image.
    """

    name: str
    images: Sequence[NDArray[np.uint8] | None]
    notes: Sequence[str]


def contact_sheet(strips: Sequence[Strip], columns: Sequence[str] = ()) -> Figure:
    """Draw rows of images.

    Parameters
    ----------
    strips : sequence of Strip
    columns : sequence of str
        Above each column.

    Raises
    ------
    BrainalignError
        If there is no image, or more than fit in a row.
    """
    n = max((len(strip.images) for strip in strips), default=0)
    if not 0 < n <= MOST_COLUMNS:
        raise BrainalignError(f"a sheet has 1 to {MOST_COLUMNS} images in a row; got {n}; show fewer")
    top = HEADER if columns else 4
    width, height = MARGIN + n * (SIDE + GAP), top + len(strips) * (SIDE + NOTE + GAP)
    figure = Figure(figsize=(width / DOTS, height / DOTS), dpi=DOTS)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    sheet = np.full((height, width, 3), 255, dtype=np.uint8)
    words: dict[str, Any] = {"parse_math": False, "fontsize": 6.5, "ha": "center", "va": "top"}
    for row, strip in enumerate(strips):
        y = top + row * (SIDE + NOTE + GAP)
        # At the left edge and wrapped by hand: names of conditions are short, those of regions may be long.
        ax.text(4, y + SIDE / 2, _wrapped(strip.name), parse_math=False, fontsize=8, va="center")
        for column, (image, note) in enumerate(zip(strip.images, strip.notes, strict=True)):
            x = MARGIN + column * (SIDE + GAP)
            if image is None:
                continue
            shown = _resized(image)
            above, left = (SIDE - shown.shape[0]) // 2, (SIDE - shown.shape[1]) // 2
            sheet[y + above : y + above + shown.shape[0], x + left : x + left + shown.shape[1]] = shown
            ax.text(x + SIDE / 2, y + SIDE + 2, note, **words)
    for column, name in enumerate(columns):
        ax.text(MARGIN + column * (SIDE + GAP) + SIDE / 2, 3, name, **words)
    ax.imshow(sheet, extent=(0, width, height, 0), interpolation="nearest", aspect="auto")
    return figure


def _resized(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image that fits its place: small ones enlarged by a whole number, large ones shrunk."""
    longest = max(image.shape[:2])
    if longest <= SIDE:
        times = SIDE // longest
        return image.repeat(times, axis=0).repeat(times, axis=1)
    size = (max(1, round(image.shape[1] * SIDE / longest)), max(1, round(image.shape[0] * SIDE / longest)))
    return np.asarray(Image.fromarray(image).resize(size), dtype=np.uint8)


def _wrapped(name: str, width: int = 18) -> str:
    """Return a name in lines of at most so many letters, four of them at most."""
    return "\n".join(textwrap.wrap(name, width, max_lines=4, placeholder=" …"))
