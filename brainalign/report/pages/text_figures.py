"""Figures of sentences decoded from EEG: the control matrix, retrieval, averages, subjects, labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from brainalign.report.kit import COLOURS, GREY, check_columns, legend_below, model_colours, new_figure

WORDS = {"brain": "EEG", "shuffled": "shuffled pairs"}
LEVEL = 0.01


def matrix_figure(controls: pd.DataFrame) -> Figure:
    """Draw the control matrix, a panel per measure; cells without brain signals that are above chance are outlined.

    Parameters
    ----------
    controls : DataFrame
        trained, tested, measure, value, chance, p.
    """
    check_columns("the control matrix", controls, ["trained", "tested", "measure", "value", "chance", "p"])
    measures = list(pd.unique(controls["measure"]))
    trained, tested = list(pd.unique(controls["trained"])), list(pd.unique(controls["tested"]))
    figure, axes = new_figure(9.0, 0.6 + len(measures) * (0.75 + 0.36 * len(trained)), 1, len(measures))
    for ax, measure in zip(axes, measures, strict=True):
        cells = controls[controls["measure"] == measure].set_index(["trained", "tested"])
        values = np.array([[cells.loc[(a, b), "value"] for b in tested] for a in trained], dtype=float)
        ax.imshow(values, cmap="Blues", vmin=0, vmax=max(1e-9, 1.15 * values.max()), aspect="auto")
        for i, a in enumerate(trained):
            for j, b in enumerate(tested):
                cell = cells.loc[(a, b)]
                dark = values[i, j] > 0.6 * values.max()
                star = "*" if cell["p"] <= LEVEL else ""
                ax.text(
                    j, i, f"{values[i, j]:.3f}{star}", ha="center", va="center", fontsize=8, color="w" if dark else "k"
                )
                empty = a != "brain" or b not in {"brain", "phase-randomised", "time-reversed"}
                if empty and cell["p"] <= LEVEL:
                    ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=COLOURS[5], linewidth=2))
        ax.set_xticks(range(len(tested)), [WORDS.get(name, name) for name in tested], fontsize=8)
        ax.set_yticks(range(len(trained)), [WORDS.get(name, name) for name in trained], fontsize=8)
        chance = float(cells.loc[("brain", "brain"), "chance"])
        ax.set_title(f"{measure} (chance {chance:.3f})", fontsize=9, loc="left")
        ax.set_ylabel("trained on", fontsize=8)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    axes[-1].set_xlabel("tested on", fontsize=8)
    return figure


def rank_figure(ranks: Mapping[str, pd.Series], n_gallery: int) -> Figure:
    """Draw how often the right sentence is among the first k, by k, a line per decoder.

    Parameters
    ----------
    ranks : mapping of Series
        Rank of the true sentence of every test trial, by decoder.
    n_gallery : int
    """
    figure, (ax,) = new_figure(5.2, 3.2)
    colours = model_colours(list(ranks))
    k = np.arange(1, n_gallery + 1)
    for name, values in ranks.items():
        share = (values.to_numpy()[:, None] <= k).mean(axis=0)
        ax.step(k, share, where="post", color=colours[name], label=name, linewidth=1.5)
    ax.plot(k, k / n_gallery, color="black", linestyle=":", linewidth=0.8, label="chance")
    ax.set_xscale("log")
    ax.set_xlim(1, n_gallery)
    ax.set_ylim(0, 1.02)
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if tick <= n_gallery]
    ax.set_xticks(ticks, [str(tick) for tick in ticks], fontsize=7)
    ax.minorticks_off()
    ax.set_xlabel(f"k, of {n_gallery} sentences", fontsize=8)
    ax.set_ylabel("true sentence among the first k", fontsize=8)
    ax.tick_params(axis="y", labelsize=7)
    legend_below(figure, [ax], 4)
    return figure


def averaged_figure(averaged: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw top-1 by how many subjects or repeats are averaged, with what halves of them reach; a panel for each.

    Parameters
    ----------
    averaged : mapping of DataFrame
        By decoder: over, n_averaged, value, sd, ceiling, chance.
    """
    kinds = list(dict.fromkeys(kind for table in averaged.values() for kind in table["over"]))
    figure, axes = new_figure(4.4 * len(kinds), 3.2, len(kinds))
    colours = model_colours(list(averaged))
    for ax, kind in zip(axes, kinds, strict=True):
        for name, table in averaged.items():
            part = table[table["over"] == kind]
            ax.errorbar(
                part["n_averaged"], part["value"], yerr=part["sd"], color=colours[name], marker="o", markersize=4,
                capsize=2, linewidth=1.2, label=name,
            )  # fmt: skip
            halves = part[part["ceiling"].notna()]
            ax.plot(
                halves["n_averaged"], halves["ceiling"], color=colours[name], marker="s", markersize=4,
                markerfacecolor="none", linestyle="--", linewidth=0.8, label=f"{name}: halves find each other",
            )  # fmt: skip
        part = next(iter(averaged.values()))
        ax.axhline(float(part["chance"].iloc[0]), color="black", linestyle=":", linewidth=0.8, label="chance")
        ax.set_xticks(sorted(set(part.loc[part["over"] == kind, "n_averaged"])))
        ax.set_ylim(0, 1.02)
        ax.set_xlabel(f"{kind} averaged", fontsize=8)
        ax.set_ylabel("top-1", fontsize=8)
        ax.tick_params(labelsize=7)
    legend_below(figure, axes, 3)
    return figure


def subject_figure(subjects: Mapping[str, pd.DataFrame], chance: float) -> Figure:
    """Draw top-1 of every subject and seed, a colour per decoder.

    Parameters
    ----------
    subjects : mapping of DataFrame
        By decoder: subject, seed, top-1.
    chance : float
    """
    names = list(dict.fromkeys(name for table in subjects.values() for name in table["subject"]))
    figure, (ax,) = new_figure(max(4.4, 1.2 + 0.5 * len(names)), 2.8)
    colours = model_colours(list(subjects))
    for k, (decoder, table) in enumerate(subjects.items()):
        shift = 0.6 * (k - (len(subjects) - 1) / 2) / max(len(subjects), 1)
        x = table["subject"].map({name: place for place, name in enumerate(names)}) + shift
        ax.plot(x, table["top-1"], "o", color=colours[decoder], markersize=4, alpha=0.7, label=decoder)
    ax.axhline(chance, color="black", linestyle=":", linewidth=0.8, label="chance")
    ax.set_xticks(range(len(names)), names, fontsize=7, rotation=45 if len(names) > 10 else 0)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("subject", fontsize=8)
    ax.set_ylabel("top-1, a point per seed", fontsize=8)
    ax.tick_params(axis="y", labelsize=7)
    legend_below(figure, [ax], 4)
    return figure


def confusion_figure(confusions: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw which label sentences of each label are given, as shares of rows; a panel per decoder.

    Parameters
    ----------
    confusions : mapping of DataFrame
        By decoder: true, told, n.
    """
    figure, axes = new_figure(3.3 * len(confusions), 3.0, len(confusions))
    for ax, (name, table) in zip(axes, confusions.items(), strict=True):
        labels = sorted(set(table["true"]) | set(table["told"]))
        counts = table.pivot_table(index="true", columns="told", values="n", aggfunc="sum").reindex(
            index=labels, columns=labels, fill_value=0
        )
        filled = counts.fillna(0).to_numpy(dtype=float)
        shares = filled / np.maximum(filled.sum(axis=1, keepdims=True), 1)
        ax.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for i, row in enumerate(shares):
            for j, share in enumerate(row):
                ax.text(j, i, f"{share:.2f}", ha="center", va="center", fontsize=8, color="w" if share > 0.6 else "k")
        ax.set_xticks(range(len(labels)), labels, fontsize=7, rotation=30)
        ax.set_yticks(range(len(labels)), labels if ax is axes[0] else [""] * len(labels), fontsize=7)
        ax.set_xlabel("told", fontsize=8)
        ax.set_title(name, fontsize=9, color=GREY if filled.sum() == 0 else "black")
        ax.spines[:].set_visible(False)
    axes[0].set_ylabel("true", fontsize=8)
    return figure
