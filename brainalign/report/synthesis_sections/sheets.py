"""Sheets and curves of synthesised images: conditions side by side, the worst ones, scales, steps and null encoders."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from brainalign.checks import BrainalignError
from brainalign.report import kit

DOTS = 110  # per inch, as in every figure
SIDE = 96  # pixels of an image: three for each of a prior of 32
GAP, MARGIN, NOTE, HEADER = 10, 132, 15, 20  # pixels
MOST_COLUMNS = (kit.MOST_PIXELS - MARGIN) // (SIDE + GAP)


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
    """Draw rows of images, names above their columns."""
    n = max((len(strip.images) for strip in strips), default=0)
    if not 0 < n <= MOST_COLUMNS:
        raise BrainalignError(f"a sheet has 1 to {MOST_COLUMNS} images in a row; got {n}; show fewer")
    top = HEADER if columns else 4
    width, height = MARGIN + n * (SIDE + GAP), top + len(strips) * (SIDE + NOTE + GAP)
    figure = Figure(figsize=(width / DOTS, height / DOTS), dpi=DOTS)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    sheet, filled = np.full((height, width, 3), 255, dtype=np.uint8), np.zeros((height, width))
    words: dict[str, Any] = {"parse_math": False, "fontsize": 6.5, "ha": "center", "va": "top"}
    for row, strip in enumerate(strips):
        y = top + row * (SIDE + NOTE + GAP)
        # At the left edge and wrapped by hand: names of conditions are short, those of regions may be long.
        name = textwrap.fill(strip.name, 18, max_lines=4, placeholder=" …")
        ax.text(4, y + SIDE / 2, name, parse_math=False, fontsize=8, va="center")
        for column, (image, note) in enumerate(zip(strip.images, strip.notes, strict=True)):
            x = MARGIN + column * (SIDE + GAP)
            if image is None:
                continue
            shown = _resized(image)
            above, left = (SIDE - shown.shape[0]) // 2, (SIDE - shown.shape[1]) // 2
            place = np.s_[y + above : y + above + shown.shape[0], x + left : x + left + shown.shape[1]]
            sheet[place], filled[place] = shown, 1
            ax.text(x + SIDE / 2, y + SIDE + 2, note, **words)
    for column, name in enumerate(columns):
        ax.text(MARGIN + column * (SIDE + GAP) + SIDE / 2, 3, name, **words)
    ax.imshow(sheet, extent=(0, width, height, 0), interpolation="nearest", aspect="auto", alpha=filled)
    return figure


def _resized(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image that fits its place: small ones enlarged by a whole number, large ones shrunk."""
    longest = max(image.shape[:2])
    if longest <= SIDE:
        times = SIDE // longest
        return image.repeat(times, axis=0).repeat(times, axis=1)
    size = (max(1, round(image.shape[1] * SIDE / longest)), max(1, round(image.shape[0] * SIDE / longest)))
    return np.asarray(Image.fromarray(image).resize(size), dtype=np.uint8)


GALLERY = {
    "unguided": "unguided",
    "prompted": "its caption alone",
    "best of n": "best of n",
    "guided": "guided",
    "natural": "natural, top by guide",
}
FAILED_BY = {"check": "by check", "true": "by truth", "valid": "valid", "typical": "typical"}
N_WORST = 2  # images per region and judge
INVALID = " ✗"


def gallery(study: kit.SynthesisedImages, region: str) -> Figure:
    """Draw a region's images of every condition, the first of each: none is picked by hand.

    Seeds are the columns of the conditions that share them (unguided, guided); best-of-n and natural images are in the
    order of the guiding encoder's prediction.
    """
    strips, seeds = [], list(study.rows("guided", region)["seed"][:MOST_COLUMNS])
    for condition, name in GALLERY.items():
        rows = study.rows(condition, region)
        if rows.empty:
            continue
        if condition in ("unguided", "prompted", "guided"):
            rows = rows.set_index("seed", drop=False).reindex(seeds).dropna(subset=["image"])
        else:
            rows = rows.sort_values("guide", ascending=False, kind="stable")
        strips.append(_strip(study, name, rows[:MOST_COLUMNS]))
    return contact_sheet(strips, [f"seed {seed}" for seed in seeds])


def minimal_pairs(study: kit.SynthesisedImages, regions: Sequence[str]) -> Figure:
    """Draw what the same seed becomes unguided and guided for each region: whatever differs, guidance did."""
    seeds = list(study.rows("unguided", regions[0])["seed"][:MOST_COLUMNS])
    plain = study.rows("unguided", regions[0]).set_index("seed").reindex(seeds)
    strips = [Strip("unguided", [study.images[int(row)] for row in plain["image"]], [""] * len(seeds))]
    for region in regions:
        own = study.rows("guided", region).set_index("seed").reindex(seeds)
        before = study.rows("unguided", region).set_index("seed").reindex(seeds)
        notes = [
            " / ".join(_signed(own[judge][seed] - before[judge][seed]) for judge in study.judges) for seed in seeds
        ]
        strips.append(Strip(f"guided for {region}", [study.images[int(row)] for row in own["image"]], notes))
    return contact_sheet(strips, [f"seed {seed}" for seed in seeds])


def failures(study: kit.SynthesisedImages, regions: Sequence[str]) -> Figure:
    """Draw the worst of each region: of the half the guiding encoder likes best, those another judge likes least."""
    judges = [judge for judge in FAILED_BY if study.known(judge)]
    strips = []
    for region in regions:
        rows = study.rows("guided", region)
        liked = rows[rows["guide"] >= rows["guide"].median()]
        worst = [liked.nsmallest(N_WORST, judge) if study.known(judge, region) else liked[:0] for judge in judges]
        found = [_strip(study, region, rows) for rows in worst]
        blanks = [N_WORST - len(strip.images) for strip in found]
        images = [image for strip, n in zip(found, blanks, strict=True) for image in (*strip.images, *[None] * n)]
        notes = [note for strip, n in zip(found, blanks, strict=True) for note in (*strip.notes, *[""] * n)]
        strips.append(Strip(region, images, notes))
    return contact_sheet(strips, [f"least {FAILED_BY[judge]}" for judge in judges for _ in range(N_WORST)])


def _strip(study: kit.SynthesisedImages, name: str, rows: pd.DataFrame) -> Strip:
    notes = [_note(study, row) for _, row in rows.iterrows()]
    return Strip(name, [study.images[int(row)] for row in rows["image"]], notes)


def _note(study: kit.SynthesisedImages, row: "pd.Series[Any]") -> str:
    """Write the scores of an image by every judge, in the order of JUDGES, and whether it shows nothing valid."""
    said = " / ".join(_tenths(row[judge]) for judge in kit.JUDGES if study.known(judge))
    return said + (INVALID if study.known("valid") and row["valid"] < 0.5 else "")


def _signed(value: float) -> str:
    return f"{'+' if value >= 0.05 else ''}{_tenths(value)}"


def _tenths(value: float) -> str:
    return kit.number(round(value, 1) + 0.0, 1)  # -0.04 is 0, not -0


STEP_COLUMNS = {
    "score": "guiding encoder (SD)",
    "grad_rms": "gradient, RMS",
    "d_rms": "change of the image, RMS",
    "clipped": "share clipped",
}


def scale_sweep(study: kit.SynthesisedImages, regions: Sequence[str]) -> Figure:
    """Draw what every judge says of images guided more and more strongly, a line per region."""
    swept = study.table[(study.table["condition"] == "sweep") & (study.table["scored"] == study.table["region"])]
    scales = sorted(swept["scale"].unique())
    used = study.table.loc[study.table["condition"] == "guided", "scale"].iloc[0]
    judges = {name: label for name, label in (kit.JUDGES | kit.PLAUSIBLE).items() if study.known(name)}
    figure, axes = kit.new_figure(max(1.0 + 1.9 * len(judges), 5.0), 2.9, len(judges))
    colours = kit.model_colours(regions)
    for ax, (judge, label) in zip(axes, judges.items(), strict=True):
        for region in regions:
            means = swept[swept["region"] == region].groupby("scale")[judge].mean().reindex(scales)
            name = kit.legend_name(region)
            ax.plot(range(len(scales)), means, "o-", color=colours[region], markersize=3, linewidth=1.1, label=name)
        if used in scales:
            ax.axvline(scales.index(used), color=kit.GREY, linestyle=":", linewidth=0.9, label="scale used")
        ax.set_xticks(range(len(scales)), [f"{scale:g}" for scale in scales], fontsize=7)
        kit.label_axes(ax, label, x="guidance scale")
        if judge in kit.PLAUSIBLE:
            ax.set_ylim(-0.03, 1.03)
    kit.share_axis(axes[: len(study.judges)])
    axes[0].set_ylabel("SD over natural images", fontsize=8)
    return kit.legend_below(figure, axes, 4)


def specificity(study: kit.SynthesisedImages) -> Figure:
    """Draw the gain of every region (column) from guidance for every region (row), for each judge but the guide."""
    judges = [judge for judge in study.judges if judge != "guide"]
    tables = {judge: study.specificity(judge) for judge in judges}
    n = len(study.regions)  # rows; columns are those that the judge knows
    side = min(max(1.7 + 0.55 * n, 2.8), 4.4)
    figure, axes = kit.new_figure(side * len(judges) + 0.9, side + 0.3, len(judges))
    largest = max(float(np.nanmax(np.abs(table.to_numpy()))) for table in tables.values()) or 1.0
    for ax, (judge, table) in zip(axes, tables.items(), strict=True):
        picture = ax.imshow(table.to_numpy(), cmap="RdBu_r", vmin=-largest, vmax=largest)
        turned: dict[str, Any] = {"rotation": 40, "ha": "right"} if n > 3 else {}
        ax.set_xticks(range(table.shape[1]), list(table.columns), fontsize=7, **turned)
        ax.set_yticks(range(n), study.regions, fontsize=7)
        kit.label_axes(ax, kit.JUDGES[judge], x="region that answers")
        for row, region in enumerate(table.index):
            for column, scored in enumerate(table.columns):
                value, weight = table.to_numpy()[row, column], "bold" if region == scored else "normal"
                dark = abs(value) > 0.6 * largest
                kit.cell_text(ax, row, column, kit.number(value, 2), dark=dark, fontweight=weight)
        if judge == judges[0]:
            ax.set_ylabel("region guided for", fontsize=8)
    figure.colorbar(picture, ax=axes, label="gain over unguided (SD)", shrink=0.8)
    return figure


def step_trace(study: kit.SynthesisedImages, regions: Sequence[str]) -> Figure:
    """Draw score, gradient, change and share clipped over the steps from noise to image, a line per region."""
    figure, axes = kit.new_figure(9.0, 2.8, len(STEP_COLUMNS))
    colours = kit.model_colours(regions)
    for ax, (column, label) in zip(axes, STEP_COLUMNS.items(), strict=True):
        for region in regions:
            mine = study.steps[study.steps["region"] == region].sort_values("step")
            ax.plot(mine["step"], mine[column], color=colours[region], linewidth=1.2, label=kit.legend_name(region))
        kit.label_axes(ax, label, x="step, from noise to image")
        if column == "grad_rms" and (study.steps[column] > 0).any():
            ax.set_yscale("log")
    axes[-1].set_ylim(-0.03, 1.03)
    return kit.legend_below(figure, axes, 4)


def nulls(study: kit.SynthesisedImages) -> Figure:
    """Draw the mean response to images of every null encoder, and among them those of the region's own encoder."""
    judges = [judge for judge in study.judges if judge != "guide"]
    figure, axes = kit.new_figure(max(1.2 + 0.8 * len(study.regions) * len(judges), 5.0), 3.3, len(judges))
    for ax, judge in zip(axes, judges, strict=True):
        regions = [region for region in study.regions if study.known(judge, region)]
        for place, region in enumerate(regions):
            _null_column(ax, study, judge, place, region)
        ax.set_xticks(range(len(regions)), regions, fontsize=7)
        if len(regions) > 4:
            ax.tick_params(axis="x", rotation=40)
        ax.set_title(kit.JUDGES[judge], fontsize=9)
        ax.set_xlim(-0.6, len(regions) - 0.4)
        ax.axhline(0, color=kit.NULL, linewidth=0.7, zorder=0)
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.14 * (high - low))  # room for p
    axes[0].set_ylabel("mean over images (SD)", fontsize=8)
    return kit.legend_below(figure, axes, 3)


def _null_column(ax: Axes, study: kit.SynthesisedImages, judge: str, place: int, region: str) -> None:
    shuffled = study.rows("null", region)
    means = shuffled.groupby("null")[judge].mean()
    own, plain = (study.rows(condition, region) for condition in ("guided", "unguided"))
    # Null encoders may have had fewer seeds.
    own, plain = (rows[rows["seed"].isin(shuffled["seed"])] for rows in (own, plain))
    x = place + np.linspace(-0.16, 0.16, max(len(means), 2))[: len(means)]
    ax.plot(x, means, "o", color=kit.GREY, markersize=3, alpha=0.8, label="null encoders")
    ax.hlines(plain[judge].mean(), place - 0.28, place + 0.28, color="black", linewidth=1, label="unguided")
    ax.plot(place, own[judge].mean(), "D", color=kit.COLOURS[0], markersize=6, label="guided for the region")
    gain = study.gain(region, "null", judge)
    if gain is not None:
        top = max(float(own[judge].mean()), float(means.max()))
        kit.name_point(ax, f"p {kit.p_equals(gain['p'])}", (place, top), (0, 6), ha="center")
