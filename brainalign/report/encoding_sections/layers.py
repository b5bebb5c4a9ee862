"""Which layer of a network predicts which part of the brain, where the data decide it and where they do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.report.kit import (
    GREY,
    HIDDEN,
    NULL,
    SurfaceMap,
    check_columns,
    layer_colours,
    legend_below,
    model_colours,
    new_figure,
    share_axis,
    surface_map,
)

PROFILE_COLUMNS = ("roi", "model", "layer", "r", "se", "null_mean", "null_high", "ceiling_r", "decided", "reason")
MOST_NAMES = 3  # of undecided models in a panel: more would cover the curves


def layer_preference_maps(table: pd.DataFrame, layers: Sequence[str], model: str) -> tuple[SurfaceMap, SurfaceMap]:
    """Return the map of preferred layers and the map of their margin; undecided vertices are not shown in the first.

    Parameters
    ----------
    table : DataFrame
        A row per vertex: hemi, vertex, layer (the best), margin (its r minus that of the second best), decided
        (bool). The margin is shown wherever it is a number, so that the reader sees how near undecided vertices were.
    layers : sequence of str
        From the first to the last.
    model : str

    Raises
    ------
    BrainalignError
        If a column is missing or a layer is not among `layers`.
    """
    check_columns("the table of layer preferences", table, ["hemi", "vertex", "layer", "margin", "decided"])
    decided = table["decided"].astype(bool)
    shown = table.assign(preferred=table["layer"].astype(object).where(decided, None))
    preferred = surface_map(
        shown,
        "preferred",
        title=f"Best layer of {model}",
        unit="layer (grey: undecided)",
        kind="categorical",
        categories=layer_colours(layers),
    )
    return preferred, surface_map(
        shown, "margin", title=f"Margin of the best layer of {model}", unit="difference in r", vmin=0.0
    )


def layer_profile(
    rows: pd.DataFrame, models: Sequence[str] | None = None, random_weights: Sequence[str] = ()
) -> Figure:
    """Draw mean r per layer with its standard error, a panel per region, with controls and ceiling.

    Parameters
    ----------
    rows : DataFrame
        A row per roi, model and layer: r, se (over targets or stimuli), null_mean and null_high (mean and upper end
        of permuted responses), ceiling_r (square root of the ceiling), decided (bool, of the roi and model), reason.
        Layers in the order of their first row.
    models : sequence of str, optional
        Every model of the study in its order, for colours that agree with other figures.
    random_weights : sequence of str
        Models of random weights: grey and dashed.
    """
    check_columns("the table of layer profiles", rows, PROFILE_COLUMNS)
    rois, shown = list(pd.unique(rows["roi"])), list(pd.unique(rows["model"]))
    colours = model_colours(models or shown, random_weights)
    columns = min(len(rois), 4)
    n_rows = -(-len(rois) // columns)
    figure, axes = new_figure(max(1.2 + 2.1 * columns, 5.2), 0.7 + 2.3 * n_rows, columns, n_rows)
    for ax in axes[len(rois) :]:
        ax.set_visible(False)
    for k, (ax, roi) in enumerate(zip(axes, rois, strict=False)):
        _profile_panel(ax, rows[rows["roi"] == roi], colours, random_weights)
        ax.set_title(roi, fontsize=9)
        if k % columns == 0:
            ax.set_ylabel("mean r on test stimuli", fontsize=8)
    share_axis(axes[: len(rois)])
    legend_below(figure, axes[: len(rois)], min(columns + 1, 4))
    return figure


def _profile_panel(ax: Axes, rows: pd.DataFrame, colours: dict[str, str], random_weights: Sequence[str]) -> None:
    """Draw one region."""
    undecided = []
    most = max(len(part) for _, part in rows.groupby("model"))
    for model, part in rows.groupby("model", sort=False):
        # Networks of different depth share the axis: the first and last layer of each lie at its ends.
        x = np.linspace(0, 1, len(part)) if part["layer"].nunique() < most else np.arange(len(part)) / max(most - 1, 1)
        control = model in random_weights
        name = f"{model} (random weights)" if control else str(model)
        style = "--" if control else "-"
        ax.errorbar(
            x,
            part["r"],
            part["se"],
            fmt=f"o{style}",
            color=colours[str(model)],
            markersize=3,
            linewidth=1.2,
            capsize=2,
            label=name,
        )
        if not control:
            ax.fill_between(
                x,
                part["null_mean"],
                part["null_high"],
                color=NULL,
                alpha=0.6,
                linewidth=0,
                label="permuted, mean to upper end",
            )
            if bool(part["decided"].iloc[0]):
                best = int(part["r"].to_numpy().argmax())
                ax.plot(
                    x[best],
                    part["r"].iloc[best],
                    "*",
                    color=colours[str(model)],
                    markersize=10,
                    label="best layer, decided",
                )
            else:
                undecided.append(str(model))
    ax.axhline(rows["ceiling_r"].mean(), color="black", linestyle="--", linewidth=0.8, label="noise ceiling (r)")
    ax.axhline(0, color=GREY, linewidth=0.6)
    longest = max((part for _, part in rows.groupby("model", sort=False)), key=len)
    _layer_ticks(ax, list(longest["layer"]))
    if rows.groupby("model")["layer"].agg(tuple).nunique() > 1:
        ax.set_xlabel(f"relative depth (layers of {longest['model'].iloc[0]})", fontsize=7)
    if undecided:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.3 * (high - low))  # room for the words
        few = len(undecided) <= MOST_NAMES
        text = _wrapped("undecided: " + (", ".join(undecided) if few else f"{len(undecided)} models (no star)"))
        ax.text(0.03, 0.99, text, transform=ax.transAxes, fontsize=6, va="top", color="#555555")


def _layer_ticks(ax: Axes, layers: Sequence[str]) -> None:
    step = -(-len(layers) // 8)
    places = np.arange(len(layers))[::step] / max(len(layers) - 1, 1)
    ax.set_xticks(list(places), list(layers[::step]), rotation=60, ha="right", fontsize=7)
    ax.tick_params(axis="y", labelsize=7)


def _wrapped(text: str, width: int = 30) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))


def roi_layer_heatmap(rows: pd.DataFrame, model: str) -> Figure:
    """Draw r of every region (row) and layer (column); a dot marks the best layer, grey and "?" an undecided region.

    Parameters
    ----------
    rows : DataFrame
        As for `layer_profile`; the rows of `model` are drawn.
    model : str
    """
    check_columns("the table of layer profiles", rows, PROFILE_COLUMNS)
    part = rows[rows["model"] == model]
    rois, layers = list(pd.unique(part["roi"])), list(pd.unique(part["layer"]))
    grid = part.pivot_table(index="roi", columns="layer", values="r", sort=False).reindex(index=rois, columns=layers)
    values = grid.to_numpy(dtype=float)
    decided = part.groupby("roi", sort=False)["decided"].first().reindex(rois).to_numpy(dtype=bool)
    figure, (ax,) = new_figure(2.4 + 0.48 * len(layers), 1.5 + 0.34 * len(rois))
    top = float(np.nanmax(values, initial=0.05))
    image = ax.imshow(values, cmap="viridis", vmin=min(0.0, float(np.nanmin(values))), vmax=top, aspect="auto")
    for row in np.flatnonzero(decided):
        best = int(np.nanargmax(values[row]))
        ax.plot(best, row, "o", markerfacecolor="white", markeredgecolor="black", markersize=7)
    for row in np.flatnonzero(~decided):
        ax.text(len(layers) - 0.4, float(row), "?", fontsize=9, va="center", color="#555555")
        ax.axhspan(row - 0.5, row + 0.5, facecolor=HIDDEN, alpha=0.55)
    ax.set_xlim(-0.5, len(layers) - 0.5)
    ax.set_xticks(range(len(layers)), layers, rotation=60, ha="right", fontsize=8)
    ax.set_yticks(range(len(rois)), rois, fontsize=8)
    ax.set(xlabel=f"layer of {model}", ylabel="region")
    figure.colorbar(image, ax=ax, shrink=0.8, label="mean r", pad=0.06)
    return figure
