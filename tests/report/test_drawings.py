"""Figures that are part of the page: what each mark tells, which stay pictures, ink of the theme, several as one."""

import io
import re
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pages
import pandas as pd
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from pages import DARK, check, dumped, needs_browser, words
from PIL import Image

from brainalign.config import Config
from brainalign.report import kit
from brainalign.report.encoding_sections import layer_profile
from brainalign.report.geometry_sections import rdm_panel
from brainalign.report.pages import blocks_figures


def told(figure: Figure) -> list[str]:
    ((_, drawing),) = kit.Panel("p", "P", "c", figure).drawings
    return [unescape(title) for title in re.findall(r"<title>(.*?)</title>", drawing)]


def test_marks_tell_the_rows_of_their_table(rng: np.random.Generator) -> None:
    table = pd.DataFrame({"name": ["a", "<b>", "c"], "value": [0.31, 0.234567, -0.02], "null": 0.01})
    table = table.assign(low=table["value"] - 0.05, high=table["value"] + 0.05, control=table["name"] == "c")
    mixed = table.sample(3, random_state=1)
    figure = kit.model_ranking.ranked_models(mixed, [("a", "<b>")], measure="mean r", ceiling=0.6)
    assert told(figure) == [f"mean r {row['value']:.3g}, {row['name']}" for _, row in table.iterrows()]
    scores = pd.DataFrame({"ceiling": rng.uniform(0.2, 0.8, 30), "r2_signed": rng.uniform(0, 0.9, 30)})
    scores = scores.assign(reliable=True)
    scores.loc[3, "r2_signed"] = np.nan  # is not drawn
    every = [f"noise ceiling (variance) {x:.3g}, r · |r| {y:.3g}" for x, y, _ in scores.dropna().to_numpy()]
    above = scores[scores["r2_signed"] > scores["ceiling"]]
    label = f"above the ceiling: {len(above)} of 30, noise ceiling"
    said = told(blocks_figures.score_against_ceiling(scores, 0.1))
    assert [title for title in said if not title.startswith("above")] == every
    assert len(above) == sum(title.startswith(label) for title in said) > 0
    figure = Figure()
    figure.add_subplot(xlabel="log10 alpha", ylabel="share").bar([-1, 0, 1], [0.75, 0, 0.25])
    assert told(figure) == [f"log10 alpha {x}, share {y:g}" for x, y in zip((-1, 0, 1), (0.75, 0, 0.25), strict=True)]
    figure = Figure()
    ax = figure.add_subplot()
    ax.set_yticks([0, 1], ["_early", "late"])
    ax.barh([0, 1], [0.2, -0.1], left=[1, 0], label="net")
    ax.errorbar([0.5], [0], [0.1], fmt="o", label="mean", capsize=2)
    ax.plot([0.2], [0.5], "o")  # between two ticks
    assert told(figure) == ["net, 0.2, _early", "net, -0.1, late", "0.2", "mean, 0.5, _early"]
    figure = Figure()
    ax = figure.add_subplot()
    ax.plot([0, 1], [0, 1])
    ax.plot([0.5], [-0.1], "v", transform=ax.transAxes, clip_on=False)
    assert told(figure) == []


def test_marks_tell_the_layers_of_their_own_network() -> None:
    names = {"_orig_mod": [f"_{k}" for k in range(12)], "net": ["first", "last"]}
    rows = pd.DataFrame([(model, layer) for model in names for layer in names[model]], columns=["model", "layer"])
    rows = rows.assign(roi="V1", r=np.linspace(0.1, 0.3, 14), se=0.01, null_mean=0.0, null_high=0.03, ceiling_r=0.6)
    figure = layer_profile(rows.assign(decided=True, reason=""))
    assert {"\u200b_orig_mod", "net"} < {text.get_text() for text in figure.legends[0].get_texts()}
    said = [title.split(", ")[-2] for title in told(figure)]
    assert sorted(said) == sorted([*rows["layer"], "_11", "last"])  # and the star of each
    table = rows.assign(quantity="r", value=rows["r"], null_mean=np.nan, chance=0.0)
    figure = blocks_figures.layer_scores(table, list(names))
    assert [title.split(", ")[-2] for title in told(figure)] == rows["layer"].tolist()


def noisy(*shape: int) -> Figure:
    figure = Figure()
    ax, values = figure.add_subplot(), np.random.default_rng(0).normal(size=shape)
    ax.imshow(values) if len(shape) > 1 else ax.plot(values, ".")
    return figure


def test_pixels_and_many_marks_stay_pictures() -> None:
    """Parts of one figure go apart, letters in order; what would swell the page as SVG does not become one."""
    for figure in (noisy(5, 5), noisy(2 * kit.MOST_BYTES // 100)):
        panel = kit.Panel("p", "P", "c", figure)
        assert panel.drawings == []
        assert panel.image.startswith("data:image/")
    parts = [kit.Panel("y", "Marks", "c", noisy(50)), kit.Panel("x", "Pixels", "c", noisy(5, 5))]
    panel, turned = (kit.together("all", "All", each)[0] for each in (parts, parts[::-1]))
    ((name, drawing),) = panel.drawings
    assert (name, drawing.count("<title>")) == ("A  Marks", 50)
    assert (turned.drawings, len(panel.image) > 1000) == ([], True)  # B would stand above A
    assert kit.Panel("p", "P", "c", noisy(50)).image == ""
    pairs = [kit.Panel(f"n{k}", f"N{k}", "c", noisy(600)) for k in range(2)]
    assert len(kit.together("two", "Two", pairs)[0].drawings) == 0 < len(pairs[0].drawings)
    for n in (10, 300, 900):
        ((_, drawing),) = kit.Panel("p", "P", "c", noisy(n)).drawings
        assert drawing.count("<title>") == n
        assert len(drawing) <= kit.MOST_BYTES


def page(figure: Figure, *more: kit.Panel) -> str:
    """Return a page with one figure, named as data might name it, and more."""
    panel = kit.Panel(f"p{pages.EVIL}", "P", "c", figure)
    of = kit.StudyMaterial(Config.model_construct(), "x", SimpleNamespace(title="t"))
    return kit.render_page(of, [kit.Chapter("", [kit.Section("s", "Section", [panel, *more])])])


def black_bar() -> Figure:
    figure = Figure()
    figure.add_subplot().bar([pages.EVIL], [1.0], color=kit.COLOURS[6], label=pages.EVIL)
    return figure


def test_what_a_mark_tells_is_escaped() -> None:
    drawn = page(black_bar())
    assert pages.EVIL not in drawn
    assert "<title>&lt;img src=x" in drawn


@needs_browser
@pytest.mark.parametrize(("flags", "ink", "paper"), [
    ((), "rgb(28, 30, 33)", "rgb(255, 255, 255)"), ((DARK,), "rgb(232, 234, 237)", "rgb(169, 175, 184)"),
])  # fmt: skip
def test_black_is_the_ink_of_the_theme(tmp_path: Path, flags: tuple[str, ...], ink: str, paper: str, probed) -> None:
    """Pictures have a ground for black ink; they open large, matrices are reordered, and volumes are cut."""
    values = np.full((3, 3, 3), 0.1)
    values[1, 1, 1] = 1.0
    image, mask = (nibabel.Nifti1Image(each, np.diag([2.0, 2.0, 2.0, 1.0])) for each in (values, np.ones((3, 3, 3))))
    viewer = kit.volume_viewer(image, mask, None, label="r", vmax=1.0, diverging=True)
    rdms = rdm_panel({"net": np.arange(6.0)[::-1]}, list("aaaa"), "RDMs", "rdm")
    shown = page(black_bar(), rdms, kit.Panel("volume", "Volume", "", None, html=viewer))
    probe = """<script>addEventListener("load", () => {
      const style = (name) => getComputedStyle(document.querySelector(name));
      document.body.dataset.ink = [style(".drawing path:has(> title)").fill, style(".drawing text").fill,
        style("body").color, style("figure img").backgroundColor].join("|");
      const orders = [...document.querySelectorAll(".order")];
      const image = orders[1].querySelector("img");
      document.querySelectorAll(".orders button")[1].click();
      image.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
      const [dialog, large] = ["dialog", "dialog img"].map((name) => document.querySelector(name));
      const opened = [dialog.open, large.clientWidth >= 2 * image.clientWidth, document.activeElement.textContent];
      document.activeElement.click();
      setTimeout(() => {
        const slider = document.querySelectorAll(".volume input")[2];
        slider.value = 1;
        slider.dispatchEvent(new Event("input", {bubbles: true}));
        const cut = document.querySelectorAll(".volume canvas")[2].getContext("2d").getImageData(1, 1, 1, 1).data;
        document.body.dataset.moved = [orders.map((order) => order.hidden), ...opened, dialog.open, cut.join(" "),
          slider.nextElementSibling.textContent].join("|");
      }, 900);
    });</script>"""
    content = dumped(tmp_path, probed(shown, probe), "--virtual-time-budget=4000", *flags)
    (found,) = re.findall('data-ink="([^"]*)"', content)
    assert found.split("|") == [*[ink] * 3, paper]
    (moved,) = re.findall('data-moved="([^"]*)"', content)
    assert moved.split("|") == ["true,false", "true", "true", "Close", "false", "103 0 31 255", "2 mm"]


def two_panels(width: float) -> Figure:
    figure = Figure(figsize=(width, 3), dpi=110, layout="constrained")
    for k in range(2):
        ax = figure.add_subplot(1, 2, k + 1)
        ax.plot([0, 1], label="curve")
        ax.set_title(f"panel {k}")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center")
    return figure


@needs_browser
def test_panels_of_a_wide_figure_stand_below_each_other_on_a_phone(tmp_path: Path, probed) -> None:
    """Both panels and the legend are views into the drawing, which hold what is theirs."""
    assert 'class="panel"' not in page(two_panels(4.5))
    probe = """<script>addEventListener("load", () => {
      const box = (each) => each.getBoundingClientRect();
      const shown = [...document.querySelectorAll(".drawing svg")].filter((each) => box(each).width > 0);
      const places = shown.map((each) => [each.getAttribute("class"), Math.round(box(each).width)].join(" "));
      const tops = shown.map((each) => box(each).top);
      document.body.dataset.seen = [...places, tops.every((top, k) => !k || top > tops[k - 1])].join("|");
    });</script>"""
    for width, classes in ((1200, ["whole"]), (500, ["panel"] * 3)):
        flags = (f"--window-size={width},900",)
        (found,) = re.findall('data-seen="([^"]*)"', dumped(tmp_path, probed(page(two_panels(9)), probe), *flags))
        *shown, below = found.split("|")
        assert [each.split()[0] for each in shown] == classes
        assert below == "true"
        assert all(int(each.split()[1]) > 300 for each in shown[:2])
    html = page(two_panels(9))
    views = re.findall(r'<svg viewBox="([^"]*)" width="\d+pt" class="panel"><use href="#([^"]*)"/>', html)
    assert {f'id="{name}"' in html for _, name in views} == {True}
    (first, second, legend) = ([float(part) for part in view.split()] for view, _ in views)
    assert first[0] + first[2] < second[0] + 20  # left of each other
    assert abs(legend[0] + legend[2] / 2 - 324) < 10  # in the middle of 9 inches


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
