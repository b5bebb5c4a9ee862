"""All layers and seeds of a trained encoder as one: what that gains, and which layers are read where."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainalign.report.kit import (
    CAPTIONS,
    ImageMaterial,
    Panel,
    check_columns,
    layer_colours,
    legend_below,
    new_figure,
    number,
    p_equals,
)
from brainalign.statistics import RELIABLE


def layer_weights(rows: pd.DataFrame) -> Figure:
    """Draw the weight of every layer in every region, side by side: the weights of a region sum to 1.

    Parameters
    ----------
    rows : DataFrame
        A row per group and layer: group, layer, weight. Both in the order of their first row.
    """
    check_columns("the table of weights", rows, ("group", "layer", "weight"))
    groups, layers = list(pd.unique(rows["group"])), list(pd.unique(rows["layer"]))
    figure, (ax,) = new_figure(6.5, 1.2 + 0.28 * len(groups))
    start = np.zeros(len(groups))
    for layer, colour in layer_colours(layers).items():
        weight = rows[rows["layer"] == layer].set_index("group")["weight"].reindex(groups).fillna(0).to_numpy()
        ax.barh(groups, weight, left=start, color=colour, edgecolor="white", linewidth=0.5, label=layer)
        start = start + weight
    ax.axvline(1, color="black", linewidth=0.6)
    ax.set_xlim(0, 1.02)
    ax.set_xlabel("weight in the ensemble, mean over targets")
    ax.tick_params(axis="y", labelsize=7)
    ax.invert_yaxis()
    legend_below(figure, [ax], 5)
    return figure


def ensemble_panel(material: ImageMaterial, model: str, method: str) -> Panel | None:
    """Return the figure of which layers are read, with its table; None where layers were not combined."""
    table = material.encodings[model, method].ensemble
    if table.empty:
        return None
    alone = table[table["layer"] != table["layer"].iloc[0]].dropna(subset=["weight"])
    shown = alone[(alone["group"] == RELIABLE) == material.timed]
    shown = shown if len(shown) else alone
    label = material.label(model, method)
    return Panel(
        f"layerweights{model}{method}",
        f"Layers that {label} reads",
        CAPTIONS["layerweights"],
        layer_weights(shown),
        table,
    )


def ensemble_sentence(material: ImageMaterial, model: str, method: str) -> str | None:
    """Say what all layers together reach, and how far they are ahead of each layer alone."""
    encoding = material.encodings[model, method]
    if encoding.ensemble.empty:
        return None
    name = encoding.ensemble["layer"].iloc[0]
    own = encoding.ensemble[(encoding.ensemble["layer"] == name) & (encoding.ensemble["group"] == RELIABLE)].iloc[0]
    rows = encoding.baselines[(encoding.baselines["layer"] == name) & (encoding.baselines["group"] == RELIABLE)]
    apart = [
        f"{row['encoder'].partition(', ')[2]} {number(row['difference'])} ({number(row['difference_low'])} to "
        f"{number(row['difference_high'])})"
        for _, row in rows.iloc[1:].iterrows()
    ]
    return (
        f"{material.label(model, method)}, all layers and seeds as one: mean r over reliable targets "
        f"{number(own['r'])} ({number(own['low'])} to {number(own['high'])}; exchanged predictions "
        f"{number(own['null_mean'])}, refitted on exchanged responses {number(own['control_r'])}; "
        f"p {p_equals(own['p'], 4)}). Ahead of single layers by: {'; '.join(apart)}."
    )
