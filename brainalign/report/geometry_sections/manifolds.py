"""Capacity and collapse of categories over the layers of networks, each beside what shuffled categories give."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.report.kit import check_columns, html_table, legend_below, model_colours, new_figure, number

DRAWN = {
    "capacity": "capacity α",
    "nc1": "NC1",
    "cdnv": "CDNV",
    "simplex": "NC2, from a simplex",
    "accuracy": "nearest mean correct",
}
WRITTEN = {"nc3": "NC3", "agreement": "NC4, agreement"}
LOGARITHMIC = ("nc1", "cdnv")
TOLD = ("capacity", "radius", "dimension", "nc1", "cdnv", "simplex", "accuracy", "nc3", "agreement")
MOST_FEATURES = 4  # rows of the figure


def manifold_profiles(table: pd.DataFrame) -> Figure:
    """Draw capacity and collapse over layers, the null as a band: a row per feature, a column per measure.

    Parameters
    ----------
    table : DataFrame
        A row per model, layer (number), feature and measure: value, null_low, null_high. Lines are models over relative
        depth; with the columns `network` and `step` of checkpoints, layers over training steps.
    """
    check_columns("the table of manifolds", table, ["model", "number", "feature", "measure", "value", "null_low"])
    check_columns("the table of manifolds", table, ["null_high", "network", "step", "layer"])
    features = list(pd.unique(table["feature"]))[:MOST_FEATURES]
    training = bool((table["step"] >= 0).any())
    lines = table["network"] + " " + table["layer"] if training else table["model"]
    colours = model_colours(list(pd.unique(lines)))
    figure, axes = new_figure(9.0, 0.6 + 2.1 * len(features), len(DRAWN), len(features))
    for row, feature in enumerate(features):
        for column, (measure, title) in enumerate(DRAWN.items()):
            ax = axes[row * len(DRAWN) + column]
            part = table[(table["feature"] == feature) & (table["measure"] == measure)]
            for name in colours:
                mine = part[lines.loc[part.index] == name].sort_values("step" if training else "number")
                depth = mine["step"] if training else mine["number"] / max(mine["number"].max(), 1)
                _line(ax, depth, mine, colours[name], str(name))
            if not np.isfinite(part["value"].astype(float)).any():
                ax.text(0.5, 0.5, "no value", transform=ax.transAxes, fontsize=7, ha="center")
                ax.set(xticks=[], yticks=[])
            elif measure in LOGARITHMIC:
                _logarithmic(ax, part)
            if training:
                ax.set_xscale("symlog", linthresh=1)
            ax.set_title(title if row == 0 else "", fontsize=8)
            ax.set_xlabel("training step" if training else "relative depth", fontsize=7)
            ax.set_ylabel(str(feature) if column == 0 else "", fontsize=8)
            ax.tick_params(which="both", labelsize=6)
    legend_below(figure, axes, 4)
    return figure


def _line(ax: Axes, x: pd.Series[float], mine: pd.DataFrame, colour: str, label: str) -> None:
    low, high = (mine[name].astype(float).to_numpy() for name in ("null_low", "null_high"))
    largest = np.finfo(np.float32).max  # an infinite CDNV is a band without an upper end
    low, high = np.minimum(low, largest), np.minimum(high, largest)
    ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.vlines(x, low, high, color=colour, alpha=0.18, linewidth=4)  # a layer between two without a value has no band
    ax.plot(x, mine["value"].astype(float), "o-", color=colour, markersize=2.5, linewidth=1, label=label)


def _logarithmic(ax: Axes, part: pd.DataFrame) -> None:
    """Scale an axis by what is finite and above 0; bands may go on beyond it."""
    seen = part[["value", "null", "null_low"]].to_numpy(dtype=float)
    seen = seen[np.isfinite(seen) & (seen > 0)]
    ax.set_yscale("log")
    if len(seen):
        ax.set_ylim(seen.min() / 1.5, seen.max() * 2)


def manifold_table(table: pd.DataFrame) -> Markup:
    """Return, per network and feature, the layer with the largest capacity, every measure beside its null.

    Parameters
    ----------
    table : DataFrame
        As for `manifold_profiles`, with n_categories, n_each and n_left_out.
    """
    header = ["network", "feature", "layer of largest capacity", "categories × stimuli (left out)"]
    header += [(DRAWN | WRITTEN).get(name, name) for name in TOLD]
    rows = []
    for (model, feature), part in table.groupby(["model", "feature"], sort=False):
        capacity = part[part["measure"] == "capacity"]
        seen = capacity[np.isfinite(capacity["value"].astype(float))]
        if seen.empty:
            rows.append([str(model), str(feature), f"none: {capacity['note'].iloc[0]}", *["–"] * (1 + len(TOLD))])
            continue
        best = seen.iloc[int(seen["value"].astype(float).argmax())]
        mine = part[part["layer"] == best["layer"]].set_index("measure")
        sizes = f"{int(best['n_categories'])} × {int(best['n_each'])} ({int(best['n_left_out'])})"
        cells = [_beside_null(mine.loc[name]) for name in TOLD]
        rows.append([str(model), str(feature), str(best["layer"]), sizes, *cells])
    return html_table(header, rows, "Capacity and collapse of categories, and of shuffled ones (median)")


def _beside_null(row: pd.Series[float]) -> str:
    words = ["∞" if np.isinf(row[name]) else number(row[name]) for name in ("value", "null")]
    return "–" if pd.isna(row["value"]) else f"{words[0]} (shuffled {words[1]})"


def manifold_notes(table: pd.DataFrame) -> list[str]:
    """Return a sentence per feature that has no manifolds, and why."""
    noted = table[(table["measure"] == "capacity") & (table["note"] != "") & (table["n_each"] == 0)]
    noted = noted.drop_duplicates("feature")
    return [f"No capacity or collapse of {row['feature']}: {row['note']}." for _, row in noted.iterrows()]
