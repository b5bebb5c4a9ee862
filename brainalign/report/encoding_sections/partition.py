"""What each layer of a network adds to the prediction, where all layers are fitted jointly."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.config import BandedRidgeMethod
from brainalign.report import kit
from brainalign.statistics import RELIABLE

SCORES = {"r2": "R²", "r": "r"}
CONTROLS = {"r2": "below 0 rather than above, since predicting noise costs R²", "r": "about 0"}
JOINT, CEILING, CONTROL = "joint score", "noise ceiling", "refit on exchanged responses"


def partition_bars(rows: pd.DataFrame, score: str) -> Figure:
    """Draw what each layer adds, a panel per region: bars that add up to the black one, with controls and ceiling.

    rows: A row per group (region) and layer, and one of their sum (joint): split, low, high, control_split, ceiling.
    Layers in the order of their first row.
    """
    regions = list(pd.unique(rows["group"]))
    colours = kit.layer_colours(list(pd.unique(rows.loc[~rows["joint"], "layer"])))
    figure, axes, columns = kit.panel_grid(len(regions), 4, (2.1, 2.0), margin=(1.2, 0.7), least=5.2)
    for k, (ax, region) in enumerate(zip(axes, regions, strict=False)):
        _region(ax, rows[rows["group"] == region], colours)
        ax.set_title(region, fontsize=9)
        if k % columns == 0:
            ax.set_ylabel(f"mean part of {score}", fontsize=8)
    kit.share_axis(axes)
    kit.legend_below(figure, axes, 4)
    return figure


def _region(ax: Axes, rows: pd.DataFrame, colours: dict[str, str]) -> None:
    """Draw the bars of one region; the joint one stands apart."""
    for x, (_, row) in enumerate(rows.iterrows()):
        place = x + 0.6 * bool(row["joint"])
        name = JOINT if row["joint"] else kit.legend_name(row["layer"])
        ax.bar(place, row["split"], 0.8, color="black" if row["joint"] else colours[row["layer"]], label=name)
        # An interval of a bootstrap may leave out the value itself.
        ax.vlines(place, row["low"], row["high"], color=kit.GREY if row["joint"] else "black", linewidth=1)
        diamond: dict[str, Any] = {"color": "white", "markeredgecolor": kit.GREY, "markersize": 4, "zorder": 3}
        ax.plot(place, row["control_split"], "D", label=CONTROL, **diamond)
    ceiling = rows["ceiling"].iloc[0]
    if np.isfinite(ceiling):
        ax.axhline(ceiling, color="black", linestyle="--", linewidth=0.8, label=CEILING)
    ax.axhline(0, color=kit.GREY, linewidth=0.6)
    ax.set_xticks([])
    ax.tick_params(axis="y", labelsize=7)


def partition_over_time(rows: pd.DataFrame, score: str) -> Figure:
    """Draw what each layer adds at each time; the joint score is black.

    rows: As for `partition_bars`; groups are times in s.
    """
    colours = kit.layer_colours(list(pd.unique(rows.loc[~rows["joint"], "layer"])))
    figure, (ax,) = kit.new_figure(8.0, 3.6)
    for layer, part in rows.groupby("layer", sort=False):
        joint = bool(part["joint"].iloc[0])
        time_ms, colour = 1000 * part["group"].astype(float), "black" if joint else colours[str(layer)]
        ax.plot(time_ms, part["split"], color=colour, linewidth=1.4, label=JOINT if joint else kit.legend_name(layer))
        ax.fill_between(time_ms, part["low"], part["high"], color=colour, alpha=0.15, linewidth=0)
        if joint:
            ax.plot(time_ms, part["control_split"], color=kit.GREY, linewidth=1, label=CONTROL)
            if part["ceiling"].notna().any():
                ax.plot(time_ms, part["ceiling"], color="black", linestyle="--", linewidth=0.8, label=CEILING)
    ax.axhline(0, color=kit.GREY, linewidth=0.6)
    ax.axvline(0, color=kit.GREY, linewidth=0.6)
    ax.set(xlabel="time from stimulus onset (ms)", ylabel=f"mean part of {score}")
    kit.legend_below(figure, [ax], 4)
    return figure


def partition_section(material: kit.Material | kit.ImageMaterial) -> kit.Section | None:
    """Return the section on joint fits; None where there is none."""
    panels, paragraphs = [], []
    for (model, name), encoding in material.encodings.items():
        method = material.config.methods[name]
        if not isinstance(method, BandedRidgeMethod) or encoding.partition.empty:
            continue
        score, label = SCORES[method.metric], material.fit_label(model, name)
        table, over = encoding.partition, "test stimuli"
        if isinstance(material, kit.Material):
            table, over = table[table["name"] == table["name"].iloc[0]], material.tested
        rows = table[table["group"] != RELIABLE]
        if rows.empty:  # no regions: all reliable targets as one
            rows = table
        kind, draw = ("partitiontime", partition_over_time) if material.timed else ("partition", partition_bars)
        words: dict[str, Any] = {"model": label, "score": score, "control": CONTROLS[method.metric], "over": over}
        title = f"What each layer of {label} adds"
        words["confidence"] = material.config.confidence
        panels.append(kit.captioned(kind, title, draw(rows, score), rows, id=f"partition{model}{name}", **words))
        paragraphs += [_sentence(label, score, table), *penalty_ends(label, encoding.scores, method.alphas)]
    told = [text for text in paragraphs if text]
    return kit.Section("partition", "What each layer adds", panels, told) if panels else None


def _sentence(label: str, score: str, table: pd.DataFrame) -> str:
    """Return the split over all reliable targets in words."""
    rows = table[table["group"] == RELIABLE]
    if rows["split"].isna().any():
        return ""
    parts = [f"{row['layer']} {kit.with_interval(row, 'split')}" for _, row in rows[~rows["joint"]].iterrows()]
    joint = rows[rows["joint"]].iloc[0]
    return (
        f"{label}, mean over {int(joint['n_targets']):,} reliable targets: all layers reach {score} "
        f"{kit.with_interval(joint, 'split')}, refitted on exchanged responses {kit.number(joint['control_split'])}; "
        f"noise ceiling {kit.number(joint['ceiling'])}. Of this add: {'; '.join(parts)}."
    )


def penalty_ends(label: str, scores: pd.DataFrame, alphas: Sequence[float]) -> list[str]:
    """Say how many targets chose a penalty at an end of the grid; nothing where none is chosen."""
    if len(alphas) < 2:
        return []
    low, high = (float(np.isclose(scores["alpha"], edge).mean()) for edge in (min(alphas), max(alphas)))
    return [
        f"{label}: of {len(scores):,} targets {kit.number(low)} chose the smallest penalty, {min(alphas):g}, and "
        f"{kit.number(high)} the largest, {max(alphas):g}. The largest silences targets without signal; many at the "
        "smallest call for a wider grid."
    ]
