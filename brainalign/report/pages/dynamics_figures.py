"""Models of videos beside neurons: scores where frames were hidden and shown, and geometry frame by frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainalign.report.kit import COLOURS, GREY, NULL, check_columns, legend_below, new_figure, share_axis

TITLES = {"occluded": "frames hidden", "visible": "frames shown"}


def followed_bars(rows: pd.DataFrame) -> Figure:
    """Draw every model and control with its interval, an axis per epoch; grey bars: 95 % of exchanged conditions.

    Parameters
    ----------
    rows : DataFrame
        Of one region: network, name, role, epoch, r_normalized, low, high, null_95.
    """
    check_columns("the table of scores", rows, ["network", "name", "role", "epoch", "r_normalized", "null_95"])
    epochs = [epoch for epoch in TITLES if (rows["epoch"] == epoch).any()]
    labels = list(dict.fromkeys(zip(rows["network"], rows["name"], rows["role"], strict=True)))
    labels.sort(key=lambda label: label[2] != "model")  # stable: controls below all models
    networks = list(dict.fromkeys(rows["network"]))
    figure, axes = new_figure(3.2 + 2.8 * len(epochs), 1.3 + 0.27 * len(labels), len(epochs))
    for ax, epoch in zip(axes, epochs, strict=True):
        part = rows[rows["epoch"] == epoch].set_index(["network", "name"])
        for place, (network, name, role) in enumerate(labels):
            row = part.loc[(network, name)]
            model = role == "model"
            colour = COLOURS[networks.index(network) % len(COLOURS)] if model else GREY
            ax.barh(place, max(row["null_95"], 0), height=0.8, color=NULL, label="conditions exchanged, 95 %")
            ax.hlines(place, row["low"], row["high"], color=colour, linewidth=1.2)
            ax.plot(row["r_normalized"], place, "o", color=colour, markerfacecolor=colour if model else "white")
        ax.axvline(0, color="black", linewidth=0.6)
        ax.axvline(1, color="black", linewidth=0.8, linestyle=":", label="ceiling")
        ax.set_yticks(range(len(labels)), [])
        ax.invert_yaxis()
        ax.set_title(TITLES[epoch], fontsize=9)
        ax.set_xlabel("r / √reliability", fontsize=8)
        ax.tick_params(labelsize=8)
    names = [", ".join(part for part in (network, name) if part) for network, name, _ in labels]
    axes[0].set_yticks(range(len(labels)), names, fontsize=7)
    share_axis(axes, x=True, y=False)
    legend_below(figure, axes, 2)
    return figure


def followed_movies(rows: pd.DataFrame, frame_s: float | None = None) -> Figure:
    """Draw how alike the geometry of models and neurons is at every frame; shaded where conditions are hidden.

    Parameters
    ----------
    rows : DataFrame
        Of one region: network, name, role, time (frame), hidden (share of conditions), score, null_95.
    frame_s : float, optional
        Seconds per frame.
    """
    check_columns("the table of movies", rows, ["network", "name", "role", "time", "hidden", "score", "null_95"])
    figure, (ax,) = new_figure(7.2, 3.6)
    first = rows.drop_duplicates("time").sort_values("time")
    scale = 1 if frame_s is None else frame_s
    x = scale * first["time"].to_numpy()
    shade = ax.twinx()
    shade.fill_between(x, 0, first["hidden"], step="mid", color=NULL, linewidth=0, alpha=0.6)
    shade.set_ylim(0, 1)
    shade.set_ylabel("share of conditions hidden", fontsize=8)
    shade.tick_params(labelsize=8)
    ax.set_zorder(shade.get_zorder() + 1)
    ax.patch.set_visible(False)
    n_models = 0
    styles = iter(["--", ":", "-.", (0, (1, 3)), (0, (5, 1)), (0, (3, 1, 1, 1))] * 10)
    for (network, name, role), part in rows.groupby(["network", "name", "role"], sort=False):
        if part["score"].isna().all():  # it tells no conditions apart
            continue
        label = ", ".join(text for text in (str(network), str(name)) if text)
        x = scale * part["time"].to_numpy()
        if role == "model":
            ax.plot(x, part["score"], color=COLOURS[n_models % len(COLOURS)], linewidth=1.6, label=label)
            n_models += 1
        else:
            ax.plot(x, part["score"], color=GREY, linewidth=0.9, linestyle=next(styles), label=label)
    highest = rows.groupby("time")["null_95"].max()
    ax.plot(
        scale * np.asarray(highest.index), highest, color="black", linewidth=0.6, label="conditions exchanged, 95 %"
    )
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xlabel("frame" if frame_s is None else "time (s)", fontsize=8)
    ax.set_ylabel("RDM of model against neurons (Spearman)", fontsize=8)
    ax.tick_params(labelsize=8)
    legend_below(figure, [ax], 3)
    return figure
