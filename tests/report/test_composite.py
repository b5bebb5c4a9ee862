"""Several figures as one: where each lies, that it keeps its pixels, its letter, its caption and its numbers."""

import io
import re
from html import unescape
from types import SimpleNamespace

import numpy as np
import pages
import pandas as pd
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from pages import check, words
from PIL import Image

from brainalign.config import Config
from brainalign.report import kit

EVIL = f"{pages.EVIL}$x$"
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def filled(colour: tuple[int, ...], width: int, height: int) -> Figure:
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow([[colour]], aspect="auto")
    ax.set_axis_off()
    return figure


def test_figures_stand_side_by_side_while_they_fit() -> None:
    sizes = ((400, 100), (500, 60), (300, 80))
    figures = [(f"t{k}", filled(colour, *size)) for k, (colour, size) in enumerate(zip(COLOURS, sizes, strict=True))]
    picture = np.asarray(Image.open(io.BytesIO(kit.composite(figures))).convert("RGB"))
    assert picture.shape == (2 * kit.STRIP + 100 + kit.GAP + 80, 400 + kit.GAP + 500, 3)
    corners = (
        (0, kit.STRIP), (400 + kit.GAP, kit.STRIP), (0, 2 * kit.STRIP + 100 + kit.GAP),
    )  # the third goes below the higher first  # fmt: skip
    for (x, y), (width, height), colour in zip(corners, sizes, COLOURS, strict=True):
        assert (picture[y : y + height, x : x + width] == colour).all()
        assert (picture[y - kit.STRIP : y, x : x + width] < 100).any()  # letter and title
    coloured = (picture.max(axis=2) == 255) & (picture.min(axis=2) == 0)
    assert coloured.sum() == sum(width * height for width, height in sizes)  # nothing lies on anything


def test_letters_go_on_after_z() -> None:
    assert [kit.letter(k) for k in (0, 1, 25, 26, 27, 52)] == ["A", "B", "Z", "AA", "AB", "BA"]
    (_, first, *_) = panels()
    assert (kit.together("all", "All", [first]), kit.together("all", "All", [])) == ([first], [])
    (viewer, *_) = panels()
    (panel,) = kit.together("tables", "Tables", [viewer, viewer])
    assert panel.image == ""
    assert "<img" not in rendered(kit.Section("s", "Section", [panel]))


def test_many_figures_of_noise_keep_to_the_budget_of_one() -> None:
    noisy = []
    for k in range(4):
        figure = Figure(figsize=(20, 5), dpi=100)
        figure.add_axes((0, 0, 1, 1)).imshow(np.random.default_rng(k).random((300, 900)), aspect="auto")
        noisy.append((EVIL, figure))
    content = kit.composite(noisy)
    assert len(content) <= kit.MOST_BYTES
    assert Image.open(io.BytesIO(content)).width <= kit.MOST_PIXELS
    high = Image.fromarray(np.random.default_rng(0).integers(0, 256, (17_000, 24, 3), dtype=np.uint8))
    small = Image.open(io.BytesIO(kit.compressed(high)))
    assert small.format == "WEBP"
    assert small.height <= 16_383
    assert small.width / small.height == pytest.approx(24 / 17_000, rel=0.05)


def rendered(section: kit.Section) -> str:
    page = kit.StudyMaterial(Config.model_construct(), "x", SimpleNamespace(title="t"))
    return kit.render_page(page, [kit.Chapter("", [section])]).partition("<main>")[2]


def panels() -> list[kit.Panel]:
    said = (("first", EVIL, "alike"), ("second", "Second", f"other {EVIL}"), ("third", "Third", f"other {EVIL}"))
    drawn = zip(said, COLOURS, (0, 1, 1), strict=True)
    viewer = kit.Panel("viewer", "Turned", "alike", None, html=Markup("<canvas></canvas>"))
    return [viewer, *(kit.Panel(*text, filled(shade, 60, 60), pd.DataFrame({"a": [k]})) for text, shade, k in drawn)]


def test_every_part_has_its_name_its_caption_and_its_numbers() -> None:
    (panel,) = kit.together("all", "All", panels())
    # One caption for two.
    assert [names for names, _, _ in panel.notes] == [f"Turned; A, {EVIL}", "B, Second; C, Third"]
    assert panel.alt == f"All: Turned; A, {EVIL}; B, Second; C, Third"
    page = rendered(kit.Section("s", "Section", [panel]))
    assert page.count("<figure") == page.count("<img") == page.count("<canvas>") == 1
    assert re.findall(r'download="x_([^"]+).csv"', page) == ["first", "second", "third"]
    assert f'alt="{panel.alt}"' in unescape(page)
    assert "<img src=x" not in page
    text = words(page)
    check(text, f"Turned; A, {EVIL}. alike Numbers (CSV)")
    check(text, f"B, Second; C, Third. other {EVIL} Numbers of Second (CSV) Numbers of Third (CSV)")
