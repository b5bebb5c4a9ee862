"""The section on regions named across subjects: the surface over thresholds, its baselines and the verdict in words."""

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.report import kit

MARKS = {"rank": "s", "upper clip": "^", "geo-topological": "D", "topological": "o"}


def identification_figure(surface: pd.DataFrame, rows: pd.DataFrame, chance: float) -> Figure:
    """Draw accuracy over lower and upper threshold, with the families, beside what it must be compared with.

    surface: A row per pair of thresholds: lower, upper, family, accuracy, chosen (by how many subjects' others). rows:
    Baselines and the nested choice: name, lower, upper, accuracy, low, high, null_mean, null_high.
    """
    figure, (left, right) = kit.new_figure(9.0, 4.2, 2)
    _draw_surface(figure, left, surface, rows, chance)
    _draw_rows(right, rows, chance)
    return figure


def _draw_surface(figure: Figure, ax: Axes, surface: pd.DataFrame, rows: pd.DataFrame, chance: float) -> None:
    step = float(np.diff(np.unique(surface[["lower", "upper"]].to_numpy(dtype=float))).min())
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
    place = {"local": (0.42, 0.1), "global": (0.98, 0.7), "topology": (0.86, 0.5), "geometry": (0.3, 1.1)}
    arrow = {"arrowstyle": "-", "linewidth": 0.6, "color": kit.GREY}
    for name, (x, y) in surface.groupby("family", sort=False)[["lower", "upper"]].mean().iterrows():
        if name in place:
            ax.annotate(name, (x, y), place[name], fontsize=7, ha="center", va="center", arrowprops=arrow)
    for name, mark in MARKS.items():
        mine = rows[rows["name"] == name]
        ax.plot(mine["lower"], mine["upper"], mark, color="white", markeredgecolor="black", markersize=6, label=name)
    chosen = surface[surface["chosen"] > 0]
    ax.plot(chosen["lower"], chosen["upper"], "*", color=kit.COLOURS[5], markersize=8, label="chosen (nested)")
    ax.legend(fontsize=6, loc="lower right", frameon=False)
    ax.set(xlim=edges, ylim=(edges[0], 1.15))
    kit.label_axes(ax, x="lower threshold (quantile)", y="upper threshold (quantile)", ticks="both")


def _outline(ax: Axes, family: np.ndarray, step: float) -> None:
    """Draw a line wherever two neighbours on the grid belong to different families."""
    for cells, turn in ((family, 1), (family.T, -1)):
        left, right = cells[:, :-1], cells[:, 1:]
        for row, column in np.argwhere((left != right) & (left != "") & (right != "")):
            x, y = [(column + 0.5) * step] * 2, [(row - 0.5) * step, (row + 0.5) * step]
            ax.plot(*(x, y)[::turn], color="white", linewidth=0.9)


def _draw_rows(ax: Axes, rows: pd.DataFrame, chance: float) -> None:
    shown = rows.iloc[::-1]
    y = np.arange(len(shown))
    for k, (_, row) in enumerate(shown.iterrows()):
        colour = kit.COLOURS[5] if row["name"] == "nested" else kit.GREY if row["name"] == "raw" else kit.COLOURS[0]
        ax.plot([row["low"], row["high"]], [k, k], color=colour, linewidth=1.5)
        ax.plot(row["accuracy"], k, "o", color=colour, markersize=6)
        if pd.notna(row["null_high"]):
            ax.barh(k, float(row["null_high"]), height=0.5, color=kit.NULL, zorder=0)
    rank = float(rows.loc[rows["name"] == "rank", "accuracy"].iloc[0])
    for at, name, colour, style in ((rank, "rank", kit.COLOURS[0], "--"), (chance, "chance", "black", ":")):
        ax.axvline(at, color=colour, linewidth=0.8, linestyle=style)
        ax.text(at, len(shown) - 0.45, name, fontsize=7, ha="center", va="bottom", color=colour)
    ax.set_yticks(y, list(shown["name"]), fontsize=8)
    ax.set(xlim=(0, 1.02), ylim=(-0.6, len(shown) - 0.4))
    kit.label_axes(ax, x="share of regions named correctly", ticks="x")


IDENTIFICATION_TABLES = ("regions", "thresholds", "agreement")
TITLE = "Regions named across subjects (topological RSA)"
CLEAR = 2.0  # standard errors that a difference needs before it is claimed
ABOUT = {
    "raw": "dissimilarities as they are",
    "rank": "rank RSA: the baseline",
    "upper clip": "far pairs made equal, near ones kept: the control",
    "geo-topological": "near and far pairs made equal",
    "topological": "near against far, little between",
    "nested": "thresholds that the other subjects choose",
}


def identification_section(
    tables: Mapping[str, pd.DataFrame], about: Mapping[str, Any], confidence: float = 0.95
) -> kit.Section:
    """Return the section on regions named across subjects.

    Parameters
    ----------
    tables : mapping of DataFrames
        The artifacts of the identify stage, by the names in `IDENTIFICATION_TABLES`.
    about : mapping
        Details of the first of them: chance, counts, and a reason where there is no result.
    confidence : float
        Of the intervals.
    """
    rows, surface, agreement = (tables[name] for name in IDENTIFICATION_TABLES)
    if rows.empty:
        return kit.Section("identification", TITLE, paragraphs=[f"No regions are named: {about['reason']}."])
    figure = identification_figure(surface, rows, float(about["chance"]))
    words: dict[str, Any] = {"id": "identification", "chance": about["chance"], "confidence": confidence}
    panel = kit.captioned("identification surface", "Accuracy over all thresholds", figure, surface, **words)
    found = [_nested(rows, surface, about), identification_verdict(rows), _sizes(about)]
    paragraphs = [*found, *kit.EXPLAINED["identification"]]
    blocks = [_table(rows)]
    if len(agreement):
        blocks.append(_layers(agreement))
        paragraphs.append(
            "Layers against regions, the last table: the layer whose transformed RDM has the largest mean r with that "
            "of the region, and the share of subjects whose own best layer is the one that the others say (chance: one "
            "over the number of layers where subjects share nothing; what they share leads them to one layer of any "
            "network, unrelated ones too). A layer that changes with the transform is no property of the region."
        )
    return kit.Section("identification", TITLE, [panel], paragraphs, blocks)


def failed_identification(rows: pd.DataFrame, about: Mapping[str, Any]) -> list[kit.FailedControl]:
    """Return relabelled regions that are named above chance.

    Of the artifact `regions` and its details; accuracy after relabelling may be above chance by three standard errors
    of its mean.
    """
    rows, chance = rows[rows["null_mean"].notna()], about["chance"]
    if rows.empty:  # of one region, which is not named
        return []
    limits = chance + kit.SPREADS * (rows["null_high"] - rows["null_mean"]) / kit.TO_95 / np.sqrt(about["n_shuffles"])
    return [
        kit.FailedControl(
            f"Regions named after relabelling them ({row['name']}), mean of {about['n_shuffles']}",
            float(row["null_mean"]),
            "Relabelled regions have no name to be found, so that accuracies of this section are too high.",
            float(chance),
            limit=float(limit),
            section="identification",
        )
        for (_, row), limit in zip(rows.iterrows(), limits, strict=True)
        if row["null_mean"] > limit
    ]


def identification_verdict(rows: pd.DataFrame) -> str:
    """Say what may be claimed of topology: it must beat ranks and the upper clip by 2 standard errors each.

    Columns are name, accuracy, over_rank, over_rank_se, over_clip, over_clip_se.
    """
    of = kit.by_name(rows, "name")
    topological, clip = of["topological"], of["upper clip"]
    over_rank = _clear(topological["over_rank"], topological["over_rank_se"])
    over_clip = _clear(topological["over_clip"], topological["over_clip_se"])
    clip_over_rank = _clear(clip["over_rank"], clip["over_rank_se"])
    given = (
        f"topological − rank {_gap(topological, 'over_rank')}, topological − upper clip "
        f"{_gap(topological, 'over_clip')}, upper clip − rank {_gap(clip, 'over_rank')}"
    )
    if over_rank > 0 and over_clip > 0:
        said = "topology names more regions than ranks, and than clipping far pairs alone"
    elif over_rank > 0 or clip_over_rank > 0:
        said = "robust clipping suffices: nothing here needs topology"
    elif over_rank < 0:
        said = "ranks name more regions than topology"
    else:
        said = "topology and ranks name equally many regions as far as these data can tell"
    return f"Verdict: {said} ({given}; differences ± standard error)."


def _clear(difference: float, se: float) -> int:
    """Return the sign of a difference of more than 2 standard errors, else 0."""
    return int(np.sign(difference)) if abs(difference) > CLEAR * se else 0


def _gap(row: "Mapping[Hashable, Any] | pd.Series[Any]", column: str) -> str:
    return f"{kit.signed(row[column])} ± {kit.number(row[f'{column}_se'])}"


def _nested(rows: pd.DataFrame, surface: pd.DataFrame, about: Mapping[str, Any]) -> str:
    row, chosen = kit.by_name(rows, "name")["nested"], surface[surface["chosen"] > 0]
    cells = ", ".join(
        f"({kit.number(a, 2)}, {kit.number(b, 2)})" for a, b in zip(chosen["lower"], chosen["upper"], strict=True)
    )
    names, nearest = about["regions"], about["nearest"]
    pairs = ((names[r], names[q]) for row in nearest for r, q in enumerate(row) if q >= 0 and q != r)
    swaps = [f"{region} as {other} (subjects: {n})" for (region, other), n in Counter(pairs).most_common()]
    return (
        f"With thresholds chosen on the other subjects {kit.number(row['accuracy'])} of {about['n_tested']} regions "
        f"are named (chance {kit.number(float(about['chance']))}; regions relabelled {about['n_shuffles']} times: mean "
        f"{kit.number(row['null_mean'])}, 95 % point {kit.number(row['null_high'])}, p {kit.p_equals(row['p'], 4)}); "
        f"chosen were {cells}. The maximum of the surface, {kit.number(float(surface['accuracy'].max()))}, was found "
        f"by looking: with regions relabelled such a maximum is {kit.number(float(about['best_of_shuffled']))} on "
        "average, not chance."
        + f" Named otherwise: {', '.join(swaps[:8])}{' and rarer ones' * (len(swaps) > 8)}."
        * bool(swaps)
    )


def _sizes(about: Mapping[str, Any]) -> str:
    text = (
        f"{about['n_subjects']} subjects, {about['n_regions']} regions, {about['n_stimuli']} stimuli, "
        f"{about['n_pairs']} pairs. Standard errors are of {about['n_draws']} draws of subjects and stimuli, the same "
        f"for all thresholds, and too large where most regions are named: draws hold fewer different ones of both; a "
        f"draw went without {about['mean_dropped_pairs']:.0f} pairs on average, of stimuli that were not drawn."
    )
    if about["n_missing_pairs"]:
        text += f" {about['n_missing_pairs']} pairs are missing in some RDM and left out of all."
    return text + "".join(f" In {about[count]} draws {what}." for count, what in _DRAWS.items() if about[count])


_DRAWS = {
    "draws_with_vanished_regions": "some region was left with one subject",
    "undefined_draws": "thresholds could not be chosen: fewer than 3 subjects came up who share regions",
}


def _table(rows: pd.DataFrame) -> Markup:
    header = ["RDMs", "what it keeps", "accuracy", "interval", "p", "over rank", "over upper clip"]
    cells = []
    for _, row in rows.iterrows():
        name = str(row["name"])
        quantiles = "" if pd.isna(row["lower"]) else f" ({kit.number(row['lower'], 2)}, {kit.number(row['upper'], 2)})"
        over = ["–" if name == own else _gap(row, column) for own, column in _OVER.items()]
        found = [kit.number(row["accuracy"]), kit.between(row), kit.p_number(row["p"], 4)]
        cells.append([f"{name}{quantiles}", ABOUT.get(name, ""), *found, *over])
    return kit.html_table(header, cells, "Regions named across subjects")


_OVER = {"rank": "over_rank", "upper clip": "over_clip"}


def _layers(agreement: pd.DataFrame) -> Markup:
    """Return a row per model and region, a column per transform."""
    transforms, cells = list(pd.unique(agreement["transform"])), []
    for (model, region), part in agreement.groupby(["model", "region"], sort=False):
        mine = part.set_index("transform").reindex(transforms)
        shown = [
            f"{layer} (r {kit.number(r)}, {kit.number(share, 2)} agree)" if layer else "–"
            for layer, r, share in zip(mine["layer"], mine["r"], mine["agreement"], strict=True)
        ]
        cells.append([str(model), str(region), *shown])
    return kit.html_table(["model", "region", *transforms], cells, "Layers against regions")
