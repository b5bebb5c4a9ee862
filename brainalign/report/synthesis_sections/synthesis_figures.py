"""Curves and bars of synthesis: the scale of guidance, whose region gains, how a sample came about, null encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.report.kit import (
    COLOURS,
    GREY,
    JUDGES,
    NULL,
    PLAUSIBLE,
    SynthesisedImages,
    check_columns,
    legend_below,
    model_colours,
    new_figure,
    number,
    p_equals,
    share_axis,
)

STEP_COLUMNS = {
    "score": "guiding encoder (SD)",
    "grad_rms": "gradient, RMS",
    "d_rms": "change of the image, RMS",
    "clipped": "share clipped",
}


def scale_sweep(study: SynthesisedImages, regions: Sequence[str]) -> Figure:
    """Draw what every judge says of images guided more and more strongly, a line per region."""
    swept = study.table[(study.table["condition"] == "sweep") & (study.table["scored"] == study.table["region"])]
    scales = sorted(swept["scale"].unique())
    used = study.table.loc[study.table["condition"] == "guided", "scale"].iloc[0]
    judges = {name: label for name, label in (JUDGES | PLAUSIBLE).items() if study.known(name)}
    figure, axes = new_figure(max(1.0 + 1.9 * len(judges), 5.0), 2.9, len(judges))
    colours = model_colours(regions)
    for ax, (judge, label) in zip(axes, judges.items(), strict=True):
        for region in regions:
            means = swept[swept["region"] == region].groupby("scale")[judge].mean().reindex(scales)
            ax.plot(range(len(scales)), means, "o-", color=colours[region], markersize=3, linewidth=1.1, label=region)
        if used in scales:
            ax.axvline(scales.index(used), color=GREY, linestyle=":", linewidth=0.9, label="scale used")
        ax.set_xticks(range(len(scales)), [f"{scale:g}" for scale in scales], fontsize=7)
        ax.set_title(label, fontsize=9)
        ax.set_xlabel("guidance scale", fontsize=8)
        if judge in PLAUSIBLE:
            ax.set_ylim(-0.03, 1.03)
    share_axis(axes[: len(study.judges)])
    axes[0].set_ylabel("SD over natural images", fontsize=8)
    legend_below(figure, axes, 4)
    return figure


def specificity(study: SynthesisedImages) -> Figure:
    """Draw the gain of every region (column) from guidance for every region (row), for each judge but the guide."""
    judges = [judge for judge in study.judges if judge != "guide"]
    tables = {judge: study.specificity(judge) for judge in judges}
    n = len(study.regions)  # rows; columns are those that the judge knows
    side = min(max(1.7 + 0.55 * n, 2.8), 4.4)
    figure, axes = new_figure(side * len(judges) + 0.9, side + 0.3, len(judges))
    largest = max(float(np.nanmax(np.abs(table.to_numpy()))) for table in tables.values()) or 1.0
    for ax, (judge, table) in zip(axes, tables.items(), strict=True):
        picture = ax.imshow(table.to_numpy(), cmap="RdBu_r", vmin=-largest, vmax=largest)
        turned: dict[str, Any] = {"rotation": 40, "ha": "right"} if n > 3 else {}
        ax.set_xticks(range(table.shape[1]), list(table.columns), fontsize=7, **turned)
        ax.set_yticks(range(n), study.regions, fontsize=7)
        ax.set_xlabel("region that answers", fontsize=8)
        ax.set_title(JUDGES[judge], fontsize=9)
        for row, region in enumerate(table.index):
            for column, scored in enumerate(table.columns):
                value = table.to_numpy()[row, column]
                dark = abs(value) > 0.6 * largest
                colour, weight = "white" if dark else "black", "bold" if region == scored else "normal"
                ax.text(
                    column, row, number(value, 2), ha="center", va="center", fontsize=7, color=colour, fontweight=weight
                )
        if judge == judges[0]:
            ax.set_ylabel("region guided for", fontsize=8)
    figure.colorbar(picture, ax=axes, label="gain over unguided (SD)", shrink=0.8)
    return figure


def step_trace(study: SynthesisedImages, regions: Sequence[str]) -> Figure:
    """Draw score, gradient, change and share clipped over the steps from noise to image, a line per region."""
    check_columns("the trace of steps", study.steps, ["region", "step", *STEP_COLUMNS])
    figure, axes = new_figure(9.0, 2.8, len(STEP_COLUMNS))
    colours = model_colours(regions)
    for ax, (column, label) in zip(axes, STEP_COLUMNS.items(), strict=True):
        for region in regions:
            mine = study.steps[study.steps["region"] == region].sort_values("step")
            ax.plot(mine["step"], mine[column], color=colours[region], linewidth=1.2, label=region)
        ax.set_title(label, fontsize=9)
        ax.set_xlabel("step, from noise to image", fontsize=8)
        positive = study.steps[column] > 0
        if column == "grad_rms" and positive.any():
            ax.set_yscale("log")
    axes[-1].set_ylim(-0.03, 1.03)
    legend_below(figure, axes, 4)
    return figure


def nulls(study: SynthesisedImages) -> Figure:
    """Draw the mean response to images of every null encoder, and among them those of the region's own encoder."""
    judges = [judge for judge in study.judges if judge != "guide"]
    figure, axes = new_figure(max(1.2 + 0.8 * len(study.regions) * len(judges), 5.0), 3.3, len(judges))
    for ax, judge in zip(axes, judges, strict=True):
        regions = [region for region in study.regions if study.known(judge, region)]
        for place, region in enumerate(regions):
            _null_column(ax, study, judge, place, region)
        ax.set_xticks(range(len(regions)), regions, fontsize=7)
        if len(regions) > 4:
            ax.tick_params(axis="x", rotation=40)
        ax.set_title(JUDGES[judge], fontsize=9)
        ax.set_xlim(-0.6, len(regions) - 0.4)
        ax.axhline(0, color=NULL, linewidth=0.7, zorder=0)
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.14 * (high - low))  # room for p
    axes[0].set_ylabel("mean over images (SD)", fontsize=8)
    legend_below(figure, axes, 3)
    return figure


def _null_column(ax: Axes, study: SynthesisedImages, judge: str, place: int, region: str) -> None:
    shuffled = study.rows("null", region)
    shuffled = shuffled[shuffled["scored"] == region]
    means = shuffled.groupby("null")[judge].mean()
    own = study.rows("guided", region)
    own = own[own["seed"].isin(shuffled["seed"])]  # null encoders may have had fewer seeds
    plain = study.rows("unguided", region)
    plain = plain[plain["seed"].isin(shuffled["seed"])]
    x = place + np.linspace(-0.16, 0.16, max(len(means), 2))[: len(means)]
    ax.plot(x, means, "o", color=GREY, markersize=3, alpha=0.8, label="null encoders")
    ax.hlines(plain[judge].mean(), place - 0.28, place + 0.28, color="black", linewidth=1, label="unguided")
    ax.plot(place, own[judge].mean(), "D", color=COLOURS[0], markersize=6, label="guided for the region")
    gain = study.gain(region, "null", judge)
    if gain is not None:
        top = max(float(own[judge].mean()), float(means.max()))
        ax.annotate(
            f"p {p_equals(gain['p'])}", (place, top), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=7
        )
