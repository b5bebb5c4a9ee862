"""Figures of odd-one-out judgements: accuracy up to its ceiling, dimensions found again, networks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.report.kit import COLOURS, GREY, NULL, check_columns, legend_below, model_colours, new_figure

COLOUR_OF = {"embedding": COLOURS[0], "reproducible": COLOURS[4], "baseline": COLOURS[1], "published": COLOURS[2]}
KINDS = {
    "embedding": "{name} embedding",
    "reproducible": "{name}, dimensions found again",
    "control": "{name}, fitted to shuffled choices",
    "baseline": "{name}, no training",
    "published": "published embedding",
}
PERMUTED = "95 % of permuted objects"
SPLITS = {"triplets": "held-out triplets", "repeated": "triplets judged several times"}


def accuracy_figure(choices: pd.DataFrame) -> Figure:
    """Draw the accuracy of every candidate between chance and the ceiling, a panel per split.

    Parameters
    ----------
    choices : DataFrame
        name, kind, split, accuracy, se, chance, ceiling_low, ceiling_high.
    """
    check_columns("the table of choices", choices, ["name", "kind", "split", "accuracy", "se", "ceiling_low"])
    splits = list(pd.unique(choices["split"]))
    n = max(len(choices[choices["split"] == split]) for split in splits)
    figure, axes = new_figure(3.4 + 2.8 * len(splits), 1.1 + 0.3 * n, len(splits))
    for k, (ax, split) in enumerate(zip(axes, splits, strict=True)):
        part = choices[choices["split"] == split].iloc[::-1]
        y = np.arange(len(part))
        _between(ax, part.iloc[0], part["accuracy"])
        for place, (_, row) in zip(y, part.iterrows(), strict=True):
            colour = COLOUR_OF.get(row["kind"], GREY)
            ax.errorbar(row["accuracy"], place, xerr=1.96 * row["se"], fmt="o", color=colour, markersize=5, capsize=2)
        names = [KINDS[kind].format(name=name) for name, kind in zip(part["name"], part["kind"], strict=True)]
        ax.set_yticks(y, names if k == 0 else [""] * len(y), fontsize=8)
        ax.set_title(SPLITS.get(split, split), fontsize=9)
        ax.set_xlabel("accuracy", fontsize=8)
        ax.tick_params(axis="x", labelsize=7)
        ax.set_ylim(-0.6, len(part) - 0.4)
    legend_below(figure, axes, 3)
    return figure


def _between(ax: Axes, row: pd.Series, values: pd.Series[float] | pd.DataFrame) -> None:
    """Draw chance and the ceiling, across an axis that holds all accuracies."""
    ax.axvline(row["chance"], color="black", linewidth=0.8, linestyle=":", label="chance")
    if pd.notna(row["ceiling_low"]):
        ax.axvspan(row["ceiling_low"], row["ceiling_high"], color=NULL, zorder=0, label="ceiling of accuracy, bounds")
    seen = np.append(values.to_numpy(dtype=float), row["ceiling_high"])
    ax.set_xlim(np.nanmin([0.3, *seen]) - 0.05, np.nanmax([0.7, *seen]) + 0.05)


def reproducibility_figure(dimensions: pd.DataFrame, least_r: float) -> Figure:
    """Draw how well every dimension is found again from other starts, a panel per method.

    Parameters
    ----------
    dimensions : DataFrame
        method, dimension, r, reproducible.
    least_r : float
    """
    check_columns("the table of dimensions", dimensions, ["method", "dimension", "r", "reproducible"])
    methods = list(pd.unique(dimensions["method"]))
    figure, axes = new_figure(4.4 * max(len(methods), 1), 2.6, max(len(methods), 1))
    for ax, method in zip(axes, methods, strict=False):
        part = dimensions[dimensions["method"] == method]
        colours = [COLOURS[0] if kept else GREY for kept in part["reproducible"]]
        ax.bar(part["dimension"], part["r"], color=colours, width=0.8)
        ax.axhline(least_r, color="black", linewidth=0.8, linestyle="--")
        ax.set_ylim(0, 1.02)
        ax.set_title(f"{method}: {int(part['reproducible'].sum())} of {len(part)} found again", fontsize=9)
        ax.set_xlabel("dimension, largest first", fontsize=8)
        ax.set_ylabel("|r| with other starts", fontsize=8)
        ax.tick_params(labelsize=7)
        if len(part) <= 20:
            ax.set_xticks(part["dimension"])
    return figure


def network_figure(networks: pd.DataFrame, choices: pd.DataFrame) -> Figure:
    """Draw networks' layers: as they are on held-out triplets, and read out on triplets of unseen objects.

    Parameters
    ----------
    networks : DataFrame
        model, layer, cosine, null_high, unseen, unseen_sd, unseen_null_high.
    choices : DataFrame
        For chance and ceiling.
    """
    check_columns("the table of networks", networks, ["model", "layer", "cosine", "null_high", "unseen"])
    shown = networks.iloc[::-1]
    colours = model_colours(list(pd.unique(networks["model"])))
    figure, axes = new_figure(9.0, 1.2 + 0.26 * len(shown), 2)
    y = np.arange(len(shown))
    about = (("cosine", "null_high", "as they are, held-out triplets"), ("unseen", "unseen_null_high", ""))
    for k, (ax, (value, high, title)) in enumerate(zip(axes, about, strict=True)):
        _between(ax, choices.iloc[0], shown[[value, high]])
        ax.barh(y, shown[high] - 0.25, left=0.25, height=0.7, color="#ececec", zorder=0, label=PERMUTED)
        sd = np.nan_to_num(shown["unseen_sd"]) if value == "unseen" else np.zeros(len(shown))
        for place, (_, row), spread in zip(y, shown.iterrows(), sd, strict=True):
            ax.errorbar(row[value], place, xerr=spread, fmt="o", color=colours[row["model"]], markersize=5, capsize=2)
        names = [f"{model} {layer}" for model, layer in zip(shown["model"], shown["layer"], strict=True)]
        ax.set_yticks(y, names if k == 0 else [""] * len(y), fontsize=7)
        ax.set_ylim(-0.6, len(shown) - 0.4)
        ax.set_title(title or "dimensions read out, unseen objects", fontsize=9)
        ax.set_xlabel("odd-one-out accuracy", fontsize=8)
        ax.tick_params(axis="x", labelsize=7)
    legend_below(figure, axes, 3)
    return figure


def readout_grid(readouts: pd.DataFrame, networks: pd.DataFrame) -> Figure:
    """Draw the held-out R² of every dimension from every layer; a dot where it is not above its null.

    Parameters
    ----------
    readouts : DataFrame
        model, layer, dimension, r2, null_high.
    networks : DataFrame
        For the order of the layers.
    """
    check_columns("the table of read-outs", readouts, ["model", "layer", "dimension", "r2", "null_high"])
    layers = list(zip(networks["model"], networks["layer"], strict=True))
    numbers = list(pd.unique(readouts["dimension"]))
    by = readouts.set_index(["model", "layer", "dimension"])
    values = np.array([[by.loc[(*layer, number), "r2"] for number in numbers] for layer in layers], dtype=float)
    nulls = np.array([[by.loc[(*layer, number), "null_high"] for number in numbers] for layer in layers], dtype=float)
    figure, (ax,) = new_figure(2.4 + 0.3 * len(numbers), 1.0 + 0.26 * len(layers))
    picture = ax.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    bar = figure.colorbar(picture, ax=ax, shrink=0.9)
    bar.set_label("held-out R²", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    row, column = np.nonzero(~(values > nulls))
    ax.plot(column, row, ".", color="white", markersize=4)
    ax.set_xticks(range(len(numbers)), [str(number) for number in numbers], fontsize=7)
    ax.set_yticks(range(len(layers)), [f"{model} {layer}" for model, layer in layers], fontsize=7)
    ax.set_xlabel("dimension", fontsize=8)
    return figure


def region_figure(regions: pd.DataFrame) -> Figure:
    """Draw how well the geometry of brain regions fits judged similarity, with its null and ceiling.

    Parameters
    ----------
    regions : DataFrame
        region, score, null_high, ceiling_low, ceiling_high.
    """
    check_columns("the table of regions", regions, ["region", "score", "null_high", "ceiling_low", "ceiling_high"])
    figure, (ax,) = new_figure(max(5.2, 1.2 + 0.5 * len(regions)), 3.0)
    x = np.arange(len(regions))
    ax.bar(x, regions["score"], color=COLOURS[0], width=0.6, label="regions")
    ax.bar(x, regions["null_high"], color=NULL, width=0.75, zorder=0, label=PERMUTED)
    for place, (_, row) in zip(x, regions.iterrows(), strict=True):
        if pd.notna(row["ceiling_low"]):
            span = [row["ceiling_low"], row["ceiling_high"]]
            ax.fill_between(
                [place - 0.4, place + 0.4], *span, color=COLOURS[1], alpha=0.35, linewidth=0, label="ceiling"
            )
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xticks(x, list(regions["region"]), fontsize=8, rotation=45 if len(regions) > 8 else 0)
    ax.set_ylabel("Spearman's r", fontsize=8)
    ax.tick_params(axis="y", labelsize=7)
    legend_below(figure, [ax], 3)
    return figure
