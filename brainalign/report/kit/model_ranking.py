"""Models from the best to the worst in one picture, with what cannot be told apart joined."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainalign.report.kit.canvas import CEILING, GREY, NULL, label_axes, model_colours, new_figure

MOST_MODELS = 12  # of the first figure
Pairs = Collection[tuple[str, str]]
Ceiling = float | tuple[float, float]


def ranked_models(
    table: pd.DataFrame, tied: Pairs = (), *, measure: str, ceiling: Ceiling = np.nan, models: Sequence[str] = ()
) -> Figure:
    """Draw models from the best to the worst with intervals, chance and ceiling; bars join what cannot be told apart.

    Parameters
    ----------
    table : DataFrame
        A row per fit of a model (or its name); null is what chance gives. Controls are grey, and left out last of more
        than `MOST_MODELS`.
    tied : collection of pairs of names
    measure : str
        What the values are.
    ceiling : float or (float, float)
        What noise leaves to be predicted, or its lower and upper bound; NaN where it is not known.
    models : sequence of str
        Of the study, in its order, which gives colours; what is none of them is black. By default those of the table.
    """
    rows, key = ranked(table), "model" if "model" in table else "name"
    colours = model_colours(models or list(pd.unique(table.loc[~table["control"], key])))
    figure, (ax,) = new_figure(5.4, 0.9 + 0.3 * len(rows))
    for place, (_, row) in enumerate(rows.iterrows()):
        colour = GREY if row["control"] else colours.get(row[key], "black")
        if np.isfinite(row["null"]):
            ax.plot([row["null"]] * 2, [place - 0.35, place + 0.35], color=NULL, linewidth=3, solid_capstyle="butt")
        ax.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.6)
        ax.plot(row["value"], place, "o", color=colour, markersize=5)
    limit, most = np.broadcast_to(ceiling, 2)
    if np.isfinite(limit):
        ax.axvline(limit, color="black", linestyle="--", linewidth=0.8)
        if limit < most:
            ax.axvspan(limit, most, color=CEILING, linewidth=0, zorder=0, label="noise ceiling")
        ax.annotate("ceiling", (limit, -0.6), fontsize=7, ha="right", va="bottom", annotation_clip=False)
    for k, (first, last) in enumerate(joined(list(rows["name"]), tied)):
        side = 1.02 + 0.025 * k
        ax.plot([side] * 2, [first - 0.3, last + 0.3], color="black", linewidth=2, transform=ax.get_yaxis_transform(),
            clip_on=False, solid_capstyle="butt",
        )  # fmt: skip
    ax.axvline(0, color=GREY, linewidth=0.6)
    ax.set_yticks(range(len(rows)), rows["name"], fontsize=9)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    left_out = int(table["value"].notna().sum()) - len(rows)
    label_axes(ax, x=measure + f" ({left_out} lower ones not drawn)" * bool(left_out), ticks="x")
    return figure


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Sort models from the best to the worst; of many the worst go, controls stay."""
    rows = table[table["value"].notna()].sort_values("value", ascending=False, kind="stable")
    kept = rows["control"] | (~rows["control"]).cumsum().le(max(MOST_MODELS - int(rows["control"].sum()), 3))
    return rows[kept].reset_index(drop=True)


def joined(names: Sequence[str], tied: Pairs) -> list[tuple[int, int]]:
    """List the longest runs of names, from the best to the worst, no two of which can be told apart (first, last)."""
    alike = {frozenset(pair) for pair in tied}
    runs: list[tuple[int, int]] = []
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and all(
            frozenset((names[k], names[last + 1])) in alike for k in range(first, last + 1)
        ):
            last += 1
        if last > first and not (runs and runs[-1][1] >= last):
            runs.append((first, last))
    return runs
