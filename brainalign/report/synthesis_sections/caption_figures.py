"""Figures of captions: score by temperature, scores beside controls, words by region."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainalign.report.kit import COLOURS, GREY, check_columns, new_figure

LABELS = {
    "encoder": "encoder",
    "caption": "caption",
    "permuted": "captions of other voxels",
    "frequent": "most frequent caption",
    "bankmean": "mean of the bank (T → 0)",
    "nearest": "nearest image (T → ∞)",
    "shuffled": "shuffled responses",
}
MOST_REGIONS = 9


def temperature_figure(curve: pd.DataFrame) -> Figure:
    """Draw scores of validation images over temperatures; the limits stand at both ends.

    Parameters
    ----------
    curve : DataFrame
        temperature, score, se, chosen.
    """
    check_columns("the table of temperatures", curve, ["temperature", "score", "se", "chosen"])
    curve = curve.sort_values("temperature").reset_index(drop=True)
    figure, (ax,) = new_figure(6.0, 3.2)
    x = np.arange(len(curve))
    limit = ((curve["temperature"] == 0) | np.isinf(curve["temperature"])).to_numpy()
    error = 2 * curve["se"].fillna(0).to_numpy()
    ax.errorbar(x[~limit], curve["score"][~limit], error[~limit], color=COLOURS[0], marker="o", markersize=4, capsize=2)
    ax.errorbar(x[limit], curve["score"][limit], error[limit], color=GREY, marker="x", linestyle="none", capsize=2)
    chosen = curve["chosen"].to_numpy(dtype=bool)
    ax.plot(x[chosen], curve["score"][chosen], "o", color=COLOURS[1], markersize=8)
    names = ["∞" if np.isinf(value) else f"{value:g}" for value in curve["temperature"]]
    ax.set_xticks(x, names)
    ax.axhline(0, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlabel("temperature", fontsize=8)
    ax.set_ylabel("r of captions, validation images", fontsize=8)
    ax.tick_params(labelsize=8)
    return figure


def caption_scores_figure(scores: pd.DataFrame) -> Figure:
    """Draw mean r of captions, the encoder and controls by region.

    Parameters
    ----------
    scores : DataFrame
        region, of, r, low, high, n.
    """
    check_columns("the table of caption scores", scores, ["region", "of", "r", "low", "high", "n"])
    sizes = scores.groupby("region", sort=False)["n"].first()
    regions = sizes[sizes > 0].sort_values(ascending=False, kind="stable").index[:MOST_REGIONS].tolist()
    columns = min(3, len(regions))
    rows = -(-len(regions) // columns)
    figure, axes = new_figure(3.2 * columns, 0.6 + 1.9 * rows, columns, rows)
    for k, (ax, region) in enumerate(zip(axes, regions, strict=False)):
        part = scores[scores["region"] == region].set_index("of").reindex(list(LABELS))
        y = np.arange(len(part))[::-1]
        for at, (name, row) in zip(y, part.iterrows(), strict=True):
            colour = COLOURS[0] if name in ("encoder", "caption") else GREY
            ax.plot([row["low"], row["high"]], [at, at], color=colour, linewidth=1.5)
            ax.plot(row["r"], at, "o" if name != "encoder" else "D", color=colour, markersize=5)
        ax.axvline(0, color="black", linewidth=0.6, linestyle=":")
        ax.axvline(part.loc["caption", "r"], color=COLOURS[0], linewidth=0.6, linestyle="--")
        ax.set_yticks(y, list(LABELS.values()) if k % columns == 0 else [""] * len(y), fontsize=7)
        ax.set_title(f"{region} ({int(part['n'].iloc[0])} voxels)", fontsize=8)
        ax.tick_params(axis="x", labelsize=7)
    for ax in axes[len(regions) :]:
        ax.axis("off")
    return figure


def noun_figure(shares: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw the share of voxels of each region whose caption holds each word.

    Parameters
    ----------
    shares : mapping of mappings
        Share by region and word.
    """
    table = pd.DataFrame(shares).T.dropna(how="all")
    figure, (ax,) = new_figure(min(9.0, 2.2 + 0.55 * table.shape[1]), 1.2 + 0.32 * len(table))
    values = table.to_numpy(dtype=float)
    picture = ax.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    if values.size <= 200:
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if value < 0.6 else "black"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    ax.set_xticks(range(table.shape[1]), [str(name) for name in table], rotation=45, ha="right", fontsize=8)
    ax.set_yticks(range(len(table)), [str(name) for name in table.index], fontsize=8)
    figure.colorbar(picture, ax=ax, shrink=0.8, label="share of voxels")
    return figure
