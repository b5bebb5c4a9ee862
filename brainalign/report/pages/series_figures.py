"""Figures of a masked model of regions: R² of hidden regions, networks, embeddings, courses, traits and states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.report.kit import COLOURS, GREY, NULL, check_columns, legend_below, new_figure

KIND_COLOURS = {"model": COLOURS[0], "baseline": COLOURS[1], "null": GREY, "ablation": COLOURS[4]}
PREDICTORS = {"masked model": COLOURS[0], "lagged Gaussian": COLOURS[1], "instantaneous Gaussian": COLOURS[2]}
MOST_NETWORKS = len(COLOURS)


def filled_figure(filled: pd.DataFrame) -> Figure:
    """Draw R² of hidden regions, a panel per kind of hiding, a row per predictor.

    Parameters
    ----------
    filled : DataFrame
        name, kind, hidden, network, r2, low, high.
    """
    check_columns("the table of filled regions", filled, ["name", "kind", "hidden", "network", "r2", "low", "high"])
    rows = filled[filled["network"] == ""]
    views = list(pd.unique(rows["hidden"]))
    names = list(pd.unique(rows["name"]))[::-1]
    figure, axes = new_figure(3.4 + 2.8 * len(views), 1.0 + 0.3 * len(names), len(views))
    for k, (ax, view) in enumerate(zip(axes, views, strict=True)):
        part = rows[rows["hidden"] == view].set_index("name")
        for place, name in enumerate(names):
            row = part.loc[name]
            low, high = max(row["r2"] - row["low"], 0), max(row["high"] - row["r2"], 0)
            style: dict[str, Any] = {"color": KIND_COLOURS[row["kind"]], "markersize": 5, "capsize": 2}
            ax.errorbar(row["r2"], place, xerr=[[low], [high]], fmt="o", label=row["kind"], **style)
        ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
        ax.set_yticks(range(len(names)), names if k == 0 else [""] * len(names), fontsize=8)
        ax.set_ylim(-0.6, len(names) - 0.4)
        ax.set_title(f"hidden: {view}", fontsize=9)
        ax.set_xlabel("R² of hidden regions", fontsize=8)
        ax.tick_params(axis="x", labelsize=7)
    legend_below(figure, axes, 4)
    return figure


def filled_networks_figure(filled: pd.DataFrame) -> Figure:
    """Draw R² within every network for the model and the Gaussians, a panel per kind of hiding.

    Parameters
    ----------
    filled : DataFrame
        As `filled_figure`.
    """
    check_columns("the table of filled regions", filled, ["name", "hidden", "network", "r2"])
    rows = filled[(filled["network"] != "") & filled["name"].isin(list(PREDICTORS))]
    views, networks = list(pd.unique(rows["hidden"])), list(pd.unique(rows["network"]))
    figure, axes = new_figure(max(5.0, 1.5 + 0.75 * len(networks)), 2.2 * len(views) + 0.5, 1, len(views))
    for ax, view in zip(axes, views, strict=True):
        part = rows[rows["hidden"] == view].set_index(["name", "network"])
        for k, (name, colour) in enumerate(PREDICTORS.items()):
            values = [part.loc[(name, network), "r2"] for network in networks]
            ax.bar(np.arange(len(networks)) + 0.27 * (k - 1), values, width=0.25, color=colour, label=name)
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set_xticks(range(len(networks)), networks, fontsize=8, rotation=45 if len(networks) > 8 else 0)
        ax.set_title(f"hidden: {view}", fontsize=9)
        ax.set_ylabel("R²", fontsize=8)
        ax.tick_params(axis="y", labelsize=7)
    legend_below(figure, axes, 3)
    return figure


def embedding_figure(places: pd.DataFrame) -> Figure:
    """Draw the embeddings of regions on two axes, in the colours of their networks.

    Parameters
    ----------
    places : DataFrame
        region_id, network, x, y, share.
    """
    check_columns("the map of regions", places, ["network", "x", "y", "share"])
    networks = list(pd.unique(places["network"]))
    figure, (ax,) = new_figure(6.0, 4.2)
    for k, network in enumerate(networks):
        part = places[places["network"] == network]
        marker = "os^vDPX*"[k // MOST_NETWORKS % 8]
        ax.scatter(part["x"], part["y"], s=22, color=COLOURS[k % MOST_NETWORKS], marker=marker, label=network)
    share = float(places["share"].iloc[0])
    ax.set_xlabel(f"first axis (both: {share:.0%} of variance)", fontsize=8)
    ax.set_ylabel("second axis", fontsize=8)
    ax.tick_params(labelsize=7)
    legend_below(figure, [ax], 6)
    return figure


def traces_figure(traces: Mapping[str, NDArray[Any]], names: list[str], tr_s: float, most_s: float = 120.0) -> Figure:
    """Draw hidden regions over time, as measured and as filled in.

    Parameters
    ----------
    traces : mapping
        true, model, gaussian (n_traces, n_frames).
    names : list of str (n_traces)
    tr_s, most_s : float
        Repetition time, and how much of a run is drawn.
    """
    n = min(traces["true"].shape[1], max(2, int(most_s / tr_s)))
    times = np.arange(n) * tr_s
    figure, axes = new_figure(9.0, 0.5 + 1.15 * len(names), 1, len(names))
    for k, (ax, name) in enumerate(zip(axes, names, strict=True)):
        ax.plot(times, traces["true"][k, :n], color="black", linewidth=0.8, label="measured")
        ax.plot(times, traces["gaussian"][k, :n], color=COLOURS[1], linewidth=1.1, label="lagged Gaussian")
        ax.plot(times, traces["model"][k, :n], color=COLOURS[0], linewidth=1.1, label="masked model")
        ax.set_title(name, fontsize=8, loc="left", pad=2)
        ax.tick_params(labelsize=7)
        if k < len(names) - 1:
            ax.set_xticklabels([])
    axes[-1].set_xlabel("time, s", fontsize=8)
    legend_below(figure, axes, 3)
    return figure


def person_figure(scores: pd.DataFrame) -> Figure:
    """Draw how well labels of people are predicted from each kind of features, a panel per label.

    Parameters
    ----------
    scores : DataFrame
        label, name, metric, score, low, high, chance, null_high.
    """
    check_columns("the table of people", scores, ["label", "name", "metric", "score", "low", "high", "chance"])
    labels = list(pd.unique(scores["label"]))
    most = int(scores.groupby("label").size().max())
    figure, axes = new_figure(3.0 + 3.0 * len(labels), 1.1 + 0.32 * most, len(labels))
    for ax, label in zip(axes, labels, strict=True):
        part = scores[scores["label"] == label].iloc[::-1].reset_index(drop=True)
        for place, row in part.iterrows():
            ends = np.nan_to_num([row["score"] - row["low"], row["high"] - row["score"]]).clip(min=0)
            ax.errorbar(row["score"], place, xerr=ends[:, None], fmt="o", color=COLOURS[0], markersize=5, capsize=2)
            if pd.notna(row["null_high"]):
                height: dict[str, Any] = {
                    "height": 0.7,
                    "color": NULL,
                    "zorder": 0,
                    "label": "up to the largest of permuted labels",
                }
                ax.barh(place, row["null_high"] - row["chance"], left=row["chance"], **height)
        ax.axvline(part["chance"].iloc[0], color="black", linewidth=0.8, linestyle=":", label="chance")
        ax.set_yticks(range(len(part)), part["name"], fontsize=8)
        ax.set_title(label, fontsize=9)
        ax.set_xlabel(part["metric"].iloc[0], fontsize=8)
        ax.tick_params(axis="x", labelsize=7)
    legend_below(figure, axes, 2)
    return figure
