"""Figures of a space that modalities share: retrieval between them, over averaged repeats, and its geometry."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainalign.report.kit import COLOURS, GREY, NULL, cell_text, label_axes, legend_below, new_figure

DECODERS = {"joint": COLOURS[0], "ridge": COLOURS[1], "unimodal": COLOURS[2]}


def direction_matrix(retrieval: pd.DataFrame, measure: str) -> Figure:
    """Draw how often one modality (row) retrieves the image in another (column), joint space and ridge side by side."""
    rows = retrieval[(retrieval["kind"] == "modalities") & (retrieval["measure"] == measure)]
    names = list(pd.unique(rows["query"]))
    decoders = [name for name in ("joint", "ridge") if name in set(rows["decoder"])]
    figure, axes = new_figure(1.2 + 3.1 * max(len(decoders), 1), 1.2 + 0.65 * max(len(names), 2), max(len(decoders), 1))
    top = float(rows["value"].max()) if len(rows) else 1.0
    for ax, decoder in zip(axes, decoders, strict=False):
        part = rows[rows["decoder"] == decoder].set_index(["query", "gallery"])
        matrix = part["value"].unstack().reindex(index=names, columns=names).to_numpy(dtype=float)
        ax.imshow(matrix, cmap="viridis", vmin=0, vmax=top)
        for (i, j), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                p = part.loc[(names[i], names[j]), "p"]
                said = f"{value:.2f}" + ("" if p <= 0.05 else " n.s.")
                cell_text(ax, i, j, said, dark=value < 0.6 * top, size=8)
        ax.set_xticks(range(len(names)), names, fontsize=8)
        ax.set_yticks(range(len(names)), names, fontsize=8)
        label_axes(ax, f"{decoder}, {measure}", x="looked for in")
    axes[0].set_ylabel("asked by", fontsize=8)
    return figure


def within_bars(retrieval: pd.DataFrame, measure: str) -> Figure:
    """Draw how often single subjects of each modality, and all fused, retrieve the image vector, with nulls."""
    rows = retrieval[retrieval["kind"].isin(["image", "fused"]) & (retrieval["measure"] == measure)]
    places = list(dict.fromkeys(zip(rows["kind"], rows["query"], strict=True)))
    figure, (ax,) = new_figure(7.4, 3.2)
    shown = [name for name in DECODERS if name in set(rows["decoder"])]
    for x, (kind, query) in enumerate(places):
        part = rows[(rows["kind"] == kind) & (rows["query"] == query)].set_index("decoder")
        nulls = part[~part.index.isin([*DECODERS, "one layer", "low level"])]
        ax.hlines(part["chance"].iloc[0], x - 0.4, x + 0.4, color="black", linestyle=":", label="chance")
        high = part["null_mean"].iloc[0] + 1.645 * part["null_sd"].iloc[0]
        ax.fill_between([x - 0.4, x + 0.4], 0, high, color=NULL, label="95 % of exchanged images")
        for k, name in enumerate(shown):
            if name in part.index:
                row, error = part.loc[name], None
                if np.isfinite(row["low"]):
                    error = [[max(row["value"] - row["low"], 0)], [max(row["high"] - row["value"], 0)]]
                ax.errorbar(x + (k - 1) * 0.2, row["value"], error, fmt="o", color=DECODERS[name], capsize=3,
                            label=name)  # fmt: skip
        ax.plot(np.full(len(nulls), x + 0.36), nulls["value"], "x", color=GREY, label="nulls" if len(nulls) else None)
    ax.set_xticks(range(len(places)), ["all fused" if kind == "fused" else query for kind, query in places], fontsize=8)
    ax.set_ylabel(measure, fontsize=8)
    ax.set_ylim(0, 1.03)
    return legend_below(figure, [ax], 6)


def space_curves(curve: pd.DataFrame, measure: str) -> Figure:
    """Draw retrieval of the image against the number of averaged repeats, a line per modality, dashed its ceiling."""
    figure, (ax,) = new_figure(6.4, 3.2)
    rows = curve[curve["measure"] == measure]
    for k, (name, part) in enumerate(rows.groupby("modality", sort=False)):
        colour = COLOURS[k % len(COLOURS)]
        ax.errorbar(part["n_averaged"], part["value"], part["sd"], fmt="o-", color=colour, capsize=2, label=name)
        ax.plot(part["n_averaged"], part["ceiling"], "--", color=colour, linewidth=1)
    ax.axhline(rows["chance"].iloc[0], color="black", linestyle=":", linewidth=0.8, label="chance")
    ax.set_xscale("log", base=2)
    counts = sorted(set(rows["n_averaged"]))
    ax.set_xticks(counts, [str(count) for count in counts])
    label_axes(ax, x="repeats averaged", y=measure)
    ax.set_ylim(0, 1.03)
    return legend_below(figure, [ax], 5)


def space_geometry(geometry: pd.DataFrame) -> Figure:
    """Draw Spearman's r of dissimilarities in the space with those of the image vectors, with exchanged images."""
    sources = list(pd.unique(geometry["source"]))
    figure, (ax,) = new_figure(6.4, 3.0)
    colours = {"joint": COLOURS[0], "ridge": COLOURS[1], "shuffled": GREY}
    n = geometry["decoder"].nunique()
    step = min(0.25, 0.8 / n)
    for k, (decoder, part) in enumerate(geometry.groupby("decoder", sort=False)):
        x = np.array([sources.index(source) for source in part["source"]]) + step * (k - (n - 1) / 2)
        ax.bar(x, part["r"], 0.92 * step, color=colours.get(str(decoder), GREY), label=decoder)
        ax.hlines(part["null_high"], x - step / 2, x + step / 2, color="black", linewidth=1.2,
                  label="" if k else "95 % of exchanged images")  # fmt: skip
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xticks(range(len(sources)), sources, fontsize=8)
    ax.set_ylabel("Spearman's r", fontsize=8)
    return legend_below(figure, [ax], 4)
