"""Figures of grounded words: images retrieved by captions, and words on their principal axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.report.kit import COLOURS, GREY, NULL, check_columns, legend_below, new_figure

LABELS = {"grounded": "grounded words", "ridge": "ridge to text vectors", "shuffled": "grounded in shuffled images"}
MARKERS = {"grounded": "o", "ridge": "s", "shuffled": "x"}


def retrieval_figure(table: pd.DataFrame) -> Figure:
    """Draw how often an image is found by its caption, with intervals, chance and the band of exchanged captions.

    Parameters
    ----------
    table : DataFrame
        A row per space and measure: space, measure, value, low, high, chance, null_mean, null_sd.
    """
    columns = ("space", "measure", "value", "low", "high", "chance", "null_mean", "null_sd")
    check_columns("the table of retrieval", table, columns)
    measures, spaces = list(pd.unique(table["measure"])), list(pd.unique(table["space"]))
    figure, (ax,) = new_figure(6.0, 3.2)
    step = min(0.18, 0.8 / len(spaces))
    for k, space in enumerate(spaces):
        mine = table[table["space"] == space].set_index("measure").reindex(measures)
        x = np.arange(len(measures)) + step * (k - (len(spaces) - 1) / 2)
        colour = "black" if space == "shuffled" else COLOURS[k % len(COLOURS)]
        ax.vlines(x, mine["low"], mine["high"], color=colour, linewidth=1.4)
        ax.plot(x, mine["value"], MARKERS.get(space, "^"), color=colour, markersize=5, label=LABELS.get(space, space))
    first = table[table["space"] == spaces[0]].set_index("measure").reindex(measures)
    for place, (_, row) in enumerate(first.iterrows()):
        once = "" if place == 0 else "_"
        low, high = row["null_mean"] - 2 * row["null_sd"], row["null_mean"] + 2 * row["null_sd"]
        left, right = place - 0.4, place + 0.4
        ax.fill_between(
            [left, right], max(low, 0), high, color=NULL, linewidth=0, zorder=0, label=f"{once}exchanged captions"
        )
        ax.hlines(row["chance"], left, right, color="black", linestyle=":", linewidth=0.8, label=f"{once}chance")
    ax.set_xticks(range(len(measures)), measures)
    ax.set_ylabel("share of held-out images")
    ax.set_ylim(0, 1.03)
    legend_below(figure, [ax], 3)
    return figure


def words_figure(positions: NDArray[np.floating[Any]], words: Sequence[str], axes: pd.DataFrame) -> Figure:
    """Draw words on their first two principal axes; of more than 60, those furthest out.

    Parameters
    ----------
    positions : array (n_words, n_axes)
    words : sequence of str
    axes : DataFrame
        axis, variance, name.
    """
    figure, (ax,) = new_figure(6.4, 5.0)
    second = positions[:, 1] if positions.shape[1] > 1 else np.zeros(len(positions))
    shown = np.argsort(-np.hypot(positions[:, 0], second))[:60]
    ax.axhline(0, color=GREY, linewidth=0.5)
    ax.axvline(0, color=GREY, linewidth=0.5)
    ax.plot(positions[shown, 0], second[shown], ".", color=COLOURS[0], markersize=4)
    for k in shown:
        ax.annotate(str(words[k]), (positions[k, 0], second[k]), xytext=(3, 2), textcoords="offset points", fontsize=8)
    labels = [
        f"axis {row['axis']}{': ' + str(row['name']) if row['name'] else ''} ({row['variance']:.0%} of variance)"
        for _, row in axes.head(2).iterrows()
    ]
    ax.set_xlabel(labels[0])
    ax.set_ylabel(labels[1] if len(labels) > 1 else "")
    ax.margins(0.12)
    return figure
