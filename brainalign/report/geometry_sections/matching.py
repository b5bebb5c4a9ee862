"""The section on networks beside networks: similarity with nulls, dimension over layers, known features, categories."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.report import kit

MATCHING_TABLES = ("similarity", "dimensions", "featurebias", "manifolds")
TITLE = "Networks beside networks"
MOST_PAIRS = 6  # panels of a figure
MOST_NAMES = 12  # layer names on an axis


def matching_section(tables: Mapping[str, pd.DataFrame]) -> kit.Section:
    """Return the section on networks beside networks.

    Tables are the artifacts of the match stage, by the names in `MATCHING_TABLES`.
    """
    pairs, dimensions, bias, manifolds = (tables[name] for name in MATCHING_TABLES)
    n = int(dimensions["n"].iloc[0]) if len(dimensions) else 0
    panels: list[kit.Panel] = []
    blocks: list[Markup] = []
    if len(pairs):
        blocks.append(_table(pairs))
        first = str(pairs["measure"].iloc[0])
        shown = pairs[pairs["measure"] == first]
        few = kit.drawn_of(MOST_PAIRS, shown.groupby(["model_a", "model_b"]).ngroups)
        title = f"Layers of two networks, {first}{few}"
        panels.append(kit.captioned("matchingpairs", title, pair_heatmaps(shown), shown, measure=first))
    early, late = dimensions["step"] < 0, dimensions["step"] >= 0
    for name, rows, over in (
        ("layers", dimensions[early], "layers, from first to last"),
        ("training", dimensions[late], "training steps, a line per layer"),
    ):
        if len(rows):
            title, figure, place = f"Dimension over {name}", dimension_profiles(rows), f"matching{name}"
            panels.append(kit.captioned("matchingdimension", title, figure, rows, id=place, over=over))
    if len(bias):
        panels.append(kit.captioned("matchingbias", "What known features fill", feature_shares(bias), bias))
    if len(manifolds):
        blocks.append(manifold_table(manifolds[manifolds["step"] < 0]))
        panels += _manifolds(manifolds)
    noted = manifolds[(manifolds["measure"] == "capacity") & (manifolds["note"] != "") & (manifolds["n_each"] == 0)]
    notes = noted.drop_duplicates("feature")[["feature", "note"]].to_numpy()
    paragraphs = [text.format(n=n) for text in kit.EXPLAINED["matching"]]
    paragraphs += [f"No capacity or collapse of {feature}: {note}." for feature, note in notes]
    return kit.Section("matching", TITLE, panels, paragraphs, blocks)


def _manifolds(table: pd.DataFrame) -> list[kit.Panel]:
    """Return the figures of categories over layers and over training, without features that have none."""
    measured, panels = table[table["n_each"] > 0], []
    for name, over, part in (
        ("matchingmanifolds", "layers", measured[measured["step"] < 0]),
        ("matchingmanifoldtraining", "training", measured[measured["step"] >= 0]),
    ):
        if len(part):
            few = kit.drawn_of(MOST_FEATURES, part["feature"].nunique())
            title = f"Categories over {over}: capacity and collapse{few}"
            panels.append(kit.captioned("matchingmanifolds", title, manifold_profiles(part), part, id=name, over=over))
    return panels


def _table(pairs: pd.DataFrame) -> Markup:
    """Return, per pair of networks and measure, the most alike layers and what their nulls reach."""
    header = ["networks", "measure", "most alike layers", "value", "null (mean, largest)", "turned", "stimuli"]
    header += ["why none"]
    rows = []
    for (a, b, measure), part in pairs.groupby(["model_a", "model_b", "measure"], sort=False):
        cells = [f"{a}, {b}", str(measure)]
        seen = part[np.isfinite(part["value"].astype(float))]
        if seen.empty:
            rows.append([*cells, "none", *["–"] * 4, str(part["note"].iloc[0])])
            continue
        best = seen.iloc[int(seen["value"].astype(float).argmax())]
        null = f"{kit.number(best['null'])}, {kit.number(best['null_high'])}"
        turned, reasons = kit.number(best["rotated"]), part["note"][part["note"] != ""]
        missing = f"{len(reasons)} pairs: {reasons.iloc[0]}" if len(reasons) else ""
        layers = f"{best['layer_a']}, {best['layer_b']}"
        rows.append([*cells, layers, kit.number(best["value"]), null, turned, str(int(best["n_stimuli"])), missing])
    return kit.html_table(header, rows, "Most alike layers of every pair of networks")


def pair_heatmaps(pairs: pd.DataFrame) -> Figure:
    """Draw the similarity of every layer of one network with every layer of another, a panel per pair.

    Of one measure: model_a, layer_a, model_b, layer_b, value.
    """
    groups = list(pairs.groupby(["model_a", "model_b"], sort=False))[:MOST_PAIRS]
    figure, axes, _ = kit.panel_grid(len(groups), 3, (3.2, 3.3), margin=(1.0, 0.0))
    for ax, ((a, b), part) in zip(axes, groups, strict=False):
        rows, names = list(pd.unique(part["layer_a"])), list(pd.unique(part["layer_b"]))
        grid = part.pivot(index="layer_a", columns="layer_b", values="value").loc[rows, names].to_numpy(dtype=float)
        image = ax.imshow(grid, vmin=0, vmax=1, cmap="viridis", aspect="auto", origin="lower")
        every = [max(1, -(-len(some) // MOST_NAMES)) for some in (rows, names)]
        ax.set_yticks(range(0, len(rows), every[0]), rows[:: every[0]], fontsize=6)
        ax.set_xticks(range(0, len(names), every[1]), names[:: every[1]], fontsize=6, rotation=60, ha="right")
        kit.label_axes(ax, x=str(b), y=str(a))
    figure.colorbar(image, ax=axes, shrink=0.8).ax.tick_params(labelsize=7)
    return figure


def dimension_profiles(table: pd.DataFrame) -> Figure:
    """Draw every measure of dimension over the layers of each network, or over training steps, deeper layers darker.

    A row per model, layer and measure: number (of the layer, from 0), value, step (-1 but for checkpoints, which have
    the column network).
    """
    measures = [str(name) for name in pd.unique(table[np.isfinite(table["value"].astype(float))]["measure"])]
    training = bool((table["step"] >= 0).any())
    keys, along = (["network", "number"], "step") if training else (["model"], "number")
    colours, last = kit.model_colours(list(pd.unique(table["model"]))), max(int(table["number"].max()), 1)
    figure, axes, _ = kit.panel_grid(len(measures), 3, (3.0, 2.9), margin=(1.0, 0.0))
    for ax, measure in zip(axes, measures, strict=True):
        for key, line in table.groupby(keys, sort=False):
            mine = line[line["measure"] == measure].sort_values(along)
            x = mine["step"] if training else mine["number"] / max(mine["number"].max(), 1)
            colour = str(0.75 - 0.7 * float(line["number"].iloc[0]) / last) if training else colours[str(key[0])]
            label = kit.legend_name(" ".join(map(str, key)))
            ax.plot(x, mine["value"], "o-", color=colour, markersize=3, linewidth=1, label=label)
        if training:
            ax.set_xscale("symlog", linthresh=1)
        kit.label_axes(ax, measure, x="training step" if training else "relative depth", ticks="both", size=8)
    if not training:
        kit.legend_below(figure, axes, 4)
    return figure


def feature_shares(table: pd.DataFrame) -> Figure:
    """Draw the share of variance that known features fill over layers, against how well they can be read out.

    A row per model, layer and feature: number, explained, decodability.
    """
    models, features = list(pd.unique(table["model"])), list(pd.unique(table["feature"]))
    colours = kit.model_colours(features)
    figure, axes, _ = kit.panel_grid(len(models), 3, (3.0, 2.9), margin=(1.0, 0.0))
    for ax, model in zip(axes, models, strict=False):
        for feature in features:
            mine = table[(table["model"] == model) & (table["feature"] == feature)].sort_values("number")
            x, shown, colour = mine["number"], mine["decodability"].clip(lower=0), colours[feature]
            name = kit.legend_name(feature)
            ax.plot(x, mine["explained"], "o-", color=colour, markersize=4, label=f"{name}: variance")
            ax.plot(x, shown, ":", color=colour, label=f"{name}: read out")
        ax.axhline(0, color=kit.GREY, linewidth=0.6)
        ax.set_ylim(-0.03, 1.03)
        kit.label_axes(ax, str(model), x="layer", ticks="both", size=8)
    return kit.legend_below(figure, axes, 4)


DRAWN = {
    "capacity": "capacity α",
    "nc1": "NC1",
    "cdnv": "CDNV",
    "simplex": "NC2, from a simplex",
    "accuracy": "nearest mean correct",
}
WRITTEN = {"nc3": "NC3", "agreement": "NC4, agreement"}
LOGARITHMIC = ("nc1", "cdnv")
TOLD = ("capacity", "radius", "dimension", "nc1", "cdnv", "simplex", "accuracy", "nc3", "agreement")
MOST_FEATURES = 4  # rows of the figure


def manifold_profiles(table: pd.DataFrame) -> Figure:
    """Draw capacity and collapse over layers, the null as a band: a row per feature, a column per measure.

    A row per model, layer (number), feature and measure: value, null_low, null_high. Lines are models over relative
    depth; with the columns `network` and `step` of checkpoints, layers over training steps.
    """
    features = list(pd.unique(table["feature"]))[:MOST_FEATURES]
    training = bool((table["step"] >= 0).any())
    lines = table["network"] + " " + table["layer"] if training else table["model"]
    colours = kit.model_colours(list(pd.unique(lines)))
    figure, axes = kit.new_figure(9.0, 0.6 + 2.1 * len(features), len(DRAWN), len(features))
    for row, feature in enumerate(features):
        for column, (measure, title) in enumerate(DRAWN.items()):
            ax = axes[row * len(DRAWN) + column]
            part = table[(table["feature"] == feature) & (table["measure"] == measure)]
            for name in colours:
                mine = part[lines.loc[part.index] == name].sort_values("step" if training else "number")
                depth = mine["step"] if training else mine["number"] / max(mine["number"].max(), 1)
                _band_line(ax, depth, mine, colours[name], kit.legend_name(name))
            if not np.isfinite(part["value"].astype(float)).any():
                ax.text(0.5, 0.5, "no value", transform=ax.transAxes, fontsize=7, ha="center")
                ax.set(xticks=[], yticks=[])
            elif measure in LOGARITHMIC:
                _logarithmic(ax, part)
            if training:
                ax.set_xscale("symlog", linthresh=1)
            kit.label_axes(
                ax,
                title if row == 0 else "",
                x="training step" if training else "relative depth",
                y=str(feature) if column == 0 else "",
                size=8,
            )
            ax.tick_params(which="both", labelsize=6)
    return kit.legend_below(figure, axes, 4)


def _band_line(ax: Axes, x: "pd.Series[float]", mine: pd.DataFrame, colour: str, label: str) -> None:
    low, high = (mine[name].astype(float).to_numpy() for name in ("null_low", "null_high"))
    largest = np.finfo(np.float32).max  # an infinite CDNV is a band without an upper end
    low, high = np.minimum(low, largest), np.minimum(high, largest)
    ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.vlines(x, low, high, color=colour, alpha=0.18, linewidth=4)  # a layer between two without a value has no band
    ax.plot(x, mine["value"].astype(float), "o-", color=colour, markersize=2.5, linewidth=1, label=label)


def _logarithmic(ax: Axes, part: pd.DataFrame) -> None:
    """Scale an axis by what is finite and above 0; bands may go on beyond it."""
    seen = part[["value", "null", "null_low"]].to_numpy(dtype=float)
    seen = seen[np.isfinite(seen) & (seen > 0)]
    ax.set_yscale("log")
    if len(seen):
        ax.set_ylim(seen.min() / 1.5, seen.max() * 2)


def manifold_table(table: pd.DataFrame) -> Markup:
    """Return, per network and feature, the layer with the largest capacity, every measure beside its null.

    As for `manifold_profiles`, with n_categories, n_each and n_left_out.
    """
    header = ["network", "feature", "layer of largest capacity", "categories × stimuli (left out)"]
    header += [(DRAWN | WRITTEN).get(name, name) for name in TOLD]
    rows = []
    for (model, feature), part in table.groupby(["model", "feature"], sort=False):
        capacity = part[part["measure"] == "capacity"]
        seen = capacity[np.isfinite(capacity["value"].astype(float))]
        if seen.empty:
            rows.append([str(model), str(feature), f"none: {capacity['note'].iloc[0]}", *["–"] * (1 + len(TOLD))])
            continue
        best = seen.iloc[int(seen["value"].astype(float).argmax())]
        mine = part[part["layer"] == best["layer"]].set_index("measure")
        sizes = f"{int(best['n_categories'])} × {int(best['n_each'])} ({int(best['n_left_out'])})"
        cells = [_beside_null(mine.loc[name]) for name in TOLD]
        rows.append([str(model), str(feature), str(best["layer"]), sizes, *cells])
    return kit.html_table(header, rows, "Capacity and collapse of categories, and of shuffled ones (median)")


def _beside_null(row: "pd.Series[float]") -> str:
    words = ["∞" if np.isinf(row[name]) else kit.number(row[name]) for name in ("value", "null")]
    return "–" if pd.isna(row["value"]) else f"{words[0]} (shuffled {words[1]})"
