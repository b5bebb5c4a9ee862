"""Several figures as one picture: side by side while they fit, each under a letter and its title."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from brainalign.report.kit.canvas import MOST_BYTES, MOST_PIXELS, compressed, drawn

STRIP = 22  # pixels above each figure, for its letter and title
GAP = 8  # pixels between figures


def letter(place: int) -> str:
    """Return the letter of a figure: A to Z, then AA, AB and so on."""
    before, last = divmod(place, len(ascii_uppercase))
    return (letter(before - 1) if before else "") + ascii_uppercase[last]


def composite(figures: Sequence[tuple[str, Figure]], most: int = MOST_BYTES) -> bytes:
    """Return figures as one PNG or WebP of at most MOST_PIXELS width and `most` bytes.

    Parameters
    ----------
    figures : sequence of (title, figure)
        In the order of their letters. A title that is wider than its figure is cut: it stands in the caption too.
    most : int
    """
    tiles = [_tile(f"{letter(k)}  {title}", figure) for k, (title, figure) in enumerate(figures)]
    places, x, y, height = [], 0, 0, 0
    for tile in tiles:
        if x and x + tile.width > MOST_PIXELS:
            x, y, height = 0, y + height + GAP, 0
        places.append((x, y))
        x, height = x + tile.width + GAP, max(height, tile.height)
    width = max(x + tile.width for tile, (x, _) in zip(tiles, places, strict=True))
    picture = Image.new("RGB", (width, y + height), "white")
    for tile, place in zip(tiles, places, strict=True):
        picture.paste(tile, place)
    return compressed(picture, most)


def _tile(title: str, figure: Figure) -> Image.Image:
    """Return a figure with a strip above it, in the font of matplotlib, so that letters are the same everywhere."""
    picture = drawn(figure).convert("RGB")
    tile = Image.new("RGB", (picture.width, picture.height + STRIP), "white")
    font = ImageFont.truetype(findfont("DejaVu Sans:bold"), 13)
    ImageDraw.Draw(tile).text((6, 4), title, fill="black", font=font)
    tile.paste(picture, (0, STRIP))
    return tile
