"""Figure of regions named across subjects: accuracy over both thresholds, and the baselines with their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.report.kit import COLOURS, GREY, NULL, check_columns, new_figure

MARKS = {"rank": "s", "upper clip": "^", "geo-topological": "D", "topological": "o"}


def identification_figure(surface: pd.DataFrame, rows: pd.DataFrame, chance: float) -> Figure:
    """Draw accuracy over lower and upper threshold, with the families, beside what it must be compared with.

    Parameters
    ----------
    surface : DataFrame
        A row per pair of thresholds: lower, upper, family, accuracy, chosen (by how many subjects' others).
    rows : DataFrame
        Baselines and the nested choice: name, lower, upper, accuracy, low, high, null_mean, null_high.
    chance : float
    """
    check_columns("the table of thresholds", surface, ["lower", "upper", "family", "accuracy", "chosen"])
    check_columns("the table of baselines", rows, ["name", "lower", "upper", "accuracy", "low", "high", "null_high"])
    figure, (left, right) = new_figure(9.0, 4.2, 2)
    _draw_surface(figure, left, surface, rows, chance)
    _draw_rows(right, rows, chance)
    return figure


def _draw_surface(figure: Figure, ax: Axes, surface: pd.DataFrame, rows: pd.DataFrame, chance: float) -> None:
    levels = np.unique(surface[["lower", "upper"]].to_numpy(dtype=float))
    step = float(np.diff(levels).min())
    n = round(1 / step) + 1
    values, family = np.full((n, n), np.nan), np.full((n, n), "", dtype=object)
    row, column = (np.round(surface[name].to_numpy(dtype=float) / step).astype(int) for name in ("upper", "lower"))
    values[row, column], family[row, column] = surface["accuracy"], surface["family"]
    edges = (-step / 2, 1 + step / 2)
    picture = ax.imshow(
        values, origin="lower", extent=(*edges, *edges), vmin=min(chance, np.nanmin(values)), cmap="viridis"
    )
    figure.colorbar(picture, ax=ax, shrink=0.7, label="accuracy")
    _outline(ax, family, step)
    for name, part in surface.groupby("family", sort=False):
        if name != "intermediate":
            x, y = part["lower"].mean(), part["upper"].mean()
            place = {"local": (0.42, 0.1), "global": (0.98, 0.7), "topology": (0.86, 0.5), "geometry": (0.3, 1.1)}
            ax.annotate(
                str(name),
                (x, y),
                place[str(name)],
                fontsize=7,
                ha="center",
                va="center",
                arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": GREY},
            )
    for name, mark in MARKS.items():
        mine = rows[rows["name"] == name]
        ax.plot(mine["lower"], mine["upper"], mark, color="white", markeredgecolor="black", markersize=6, label=name)
    chosen = surface[surface["chosen"] > 0]
    ax.plot(chosen["lower"], chosen["upper"], "*", color=COLOURS[5], markersize=8, label="chosen (nested)")
    ax.legend(fontsize=6, loc="lower right", frameon=False)
    ax.set_xlim(*edges)
    ax.set_ylim(edges[0], 1.15)
    ax.set_xlabel("lower threshold (quantile)", fontsize=8)
    ax.set_ylabel("upper threshold (quantile)", fontsize=8)
    ax.tick_params(labelsize=7)


def _outline(ax: Axes, family: np.ndarray, step: float) -> None:
    """Draw a line wherever two neighbours on the grid belong to different families."""
    n = len(family)
    for row in range(n):
        for column in range(n):
            x, y = column * step, row * step
            if column + 1 < n and family[row, column] and family[row, column + 1] not in ("", family[row, column]):
                ax.plot([x + step / 2] * 2, [y - step / 2, y + step / 2], color="white", linewidth=0.9)
            if row + 1 < n and family[row, column] and family[row + 1, column] not in ("", family[row, column]):
                ax.plot([x - step / 2, x + step / 2], [y + step / 2] * 2, color="white", linewidth=0.9)


def _draw_rows(ax: Axes, rows: pd.DataFrame, chance: float) -> None:
    shown = rows.iloc[::-1]
    y = np.arange(len(shown))
    for k, (_, row) in enumerate(shown.iterrows()):
        colour = COLOURS[5] if row["name"] == "nested" else GREY if row["name"] == "raw" else COLOURS[0]
        ax.plot([row["low"], row["high"]], [k, k], color=colour, linewidth=1.5)
        ax.plot(row["accuracy"], k, "o", color=colour, markersize=6)
    rank = float(rows.loc[rows["name"] == "rank", "accuracy"].iloc[0])
    ax.axvline(rank, color=COLOURS[0], linewidth=0.8, linestyle="--")
    ax.text(rank, len(shown) - 0.45, "rank", fontsize=7, ha="center", va="bottom", color=COLOURS[0])
    ax.axvline(chance, color="black", linewidth=0.8, linestyle=":")
    ax.text(chance, len(shown) - 0.45, "chance", fontsize=7, ha="center", va="bottom")
    null = rows.loc[rows["name"] == "nested"].iloc[0]
    if pd.notna(null["null_high"]):
        k = int(np.flatnonzero((shown["name"] == "nested").to_numpy())[0])
        ax.barh(k, float(null["null_high"]), height=0.5, color=NULL, zorder=0)
    ax.set_yticks(y, list(shown["name"]), fontsize=8)
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.set_xlim(0, 1.02)
    ax.set_xlabel("share of regions named correctly", fontsize=8)
    ax.tick_params(axis="x", labelsize=7)
