"""Networks against published RDMs: fits with ceilings and random weights, curves over layers, matrices."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.condensed import condensed_rdms
from brainalign.report import kit

PICTURE_POINTS, MOST_NAMED = 22, 30  # side of a picture in the plane; conditions whose names can be read there


def reference_bars(
    rows: pd.DataFrame,
    random: pd.DataFrame | None = None,
    models: Sequence[str] | None = None,
    controls: Sequence[str] = (),
) -> Figure:
    """Draw the fit of models to reference RDMs with standard error, ceiling band and random weights.

    Parameters
    ----------
    rows : DataFrame
        A row per reference and bar: reference (set of RDMs), model, layer ("" where there are none), score, se,
        ceiling_low, ceiling_high (of the reference; NaN where it has one RDM).
    random : DataFrame, optional
        reference, model, layer, mean, sd, n (initialisations) of networks with random weights.
    models, controls : sequence of str, optional
        Models of the study that know the stimuli, for colours that agree with other figures; others are grey.
    """
    references = list(pd.unique(rows["reference"]))
    shown = list(pd.unique(rows["model"]))
    colours = kit.model_colours(models or shown, controls, shown)
    most = int(rows.groupby("reference").size().max())
    figure, axes, _ = kit.panel_grid(len(references), 2, (4.5, 0.55 + 0.2 * most), margin=(0.0, 0.7), least=9.0)
    for ax, reference in zip(axes, references, strict=False):
        part = rows[rows["reference"] == reference].reset_index(drop=True)
        band = part[["ceiling_low", "ceiling_high"]].iloc[0].astype(float)
        if band.notna().all():
            ax.axvspan(*band, color=kit.CEILING, zorder=0, label="noise ceiling")
        for line, row in part.iterrows():
            ax.barh(line, row["score"], color=colours[row["model"]], height=0.7, zorder=2)
            if np.isfinite(row["se"]):
                low, high = row["score"] - row["se"], row["score"] + row["se"]
                ax.hlines(line, low, high, color="black", linewidth=1.2, zorder=3)
            _random_mark(ax, int(str(line)), row, random)
            if row.get("kind") == "combination":
                _own_marks(ax, int(str(line)), row)
        names = [kit.layer_name(row) for _, row in part.iterrows()]
        ax.set_yticks(range(len(names)), names, fontsize=7)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.axvline(0, color="black", linewidth=0.6)
        kit.label_axes(ax, reference, x="fit of the RDMs", ticks="x")
    kit.share_axis(axes, x=True, y=False)
    return kit.legend_below(figure, axes, 3)


def _own_marks(ax: Axes, line: int, row: "pd.Series[Any]") -> None:
    """Draw ceiling and chance of a cross-validated bar, which are not those of the others."""
    label = "ceiling of held-out parts"
    if np.isfinite(row["ceiling_low"]):
        low, width = row["ceiling_low"], row["ceiling_high"] - row["ceiling_low"]
        ax.barh(line, width, left=low, height=0.7, fill=False, edgecolor="#a87d1d", label=label, zorder=4)
    chance = [row["null_mean"], row["null_high"]]
    ax.plot(chance, [line, line], "|-", color="black", markersize=8, label="images exchanged: mean, 95 %", zorder=4)
    label = "best layer, chosen on other parts"
    ax.plot(row.get("selected", np.nan), line, "X", color="white", markeredgecolor="black", label=label, zorder=5)


def _random_mark(ax: Axes, line: int, row: "pd.Series[Any]", random: pd.DataFrame | None) -> None:
    """Draw mean and sd of random weights over the bar of the same layer."""
    if random is None:
        return
    same = kit.rows_where(random, **row[["reference", "model", "layer"]])
    for _, control in same.iterrows():
        label = f"random weights, mean ± sd of {int(control['n'])}"
        style: dict[str, Any] = {"color": "#555555", "markersize": 4, "capsize": 3, "markeredgecolor": "white"}
        ax.errorbar(control["mean"], line, xerr=control["sd"], fmt="d", label=label, zorder=4, **style)


def layer_curves(
    rows: pd.DataFrame,
    random: pd.DataFrame | None = None,
    models: Sequence[str] | None = None,
    combined: pd.DataFrame | None = None,
) -> Figure:
    """Draw the fit over the layers of each network, a panel per reference, with the verdict below its title.

    Parameters
    ----------
    rows : DataFrame
        A row per reference, model and layer: score, se, ceiling_low, ceiling_high, best, p_max.
    random : DataFrame, optional
        As for `reference_bars`: drawn as a grey band of one sd.
    models : sequence of str, optional
        Every model of the study, for colours that agree with other figures.
    combined : DataFrame, optional
        Combinations of layers: reference, model, layer (their name), score; dashed lines across all layers, and dotted
        ones where the best single layer was chosen on the same parts (selected).
    """
    references = list(pd.unique(rows["reference"]))
    colours = kit.model_colours(models or list(pd.unique(rows["model"])))
    figure, axes, _ = kit.panel_grid(len(references), 2, (3.9, 3.5), margin=(1.2, 0.0))
    for ax, reference in zip(axes, references, strict=False):
        part = rows[rows["reference"] == reference]
        _curve_panel(ax, part, None if random is None else random[random["reference"] == reference], colours)
        if combined is not None:
            for _, row in combined[combined["reference"] == reference].iterrows():
                name, colour = kit.legend_name(f"{row['model']} {row['layer']}"), colours.get(row["model"], kit.GREY)
                ax.axhline(row["score"], color=colour, linestyle="--", linewidth=1.2, label=f"{name}, held out")
                best = f"{name}: best layer, held out"
                ax.axhline(row["selected"], color=colour, linestyle=":", linewidth=1.2, label=best)
        ax.set_title(reference, fontsize=9)
    kit.share_axis(axes)
    return kit.legend_below(figure, axes, 4)


def _curve_panel(ax: Axes, rows: pd.DataFrame, random: pd.DataFrame | None, colours: Mapping[str, str]) -> None:
    """Draw one reference set; the words under the curves follow from the max-statistic."""
    band = rows[["ceiling_low", "ceiling_high"]].iloc[0].astype(float)
    if band.notna().all():
        ax.axhspan(*band, color=kit.CEILING, label="noise ceiling", zorder=0)
    for model, part in rows.groupby("model", sort=False):
        x = np.arange(len(part)) if rows["model"].nunique() == 1 else np.linspace(0, 1, len(part))
        line = ax.errorbar(
            x, part["score"], part["se"], fmt="o-", color=colours[str(model)],
            markersize=3, capsize=2, linewidth=1.2, label=kit.legend_name(model),
        )  # fmt: skip
        kit.name_marks(line, part["layer"].tolist())
        for place in np.flatnonzero(part["best"].to_numpy(dtype=bool)):
            top = x[place], part["score"].iloc[place]
            (star,) = ax.plot(*top, "*", color=colours[str(model)], markersize=12, label="best layer")
            kit.name_marks(star, [part["layer"].iloc[place]])
        control = None if random is None else random[random["model"] == model].set_index("layer").reindex(part["layer"])
        if control is not None and control["mean"].notna().any():
            some = control["mean"].notna().to_numpy()
            mean, sd = control["mean"].to_numpy()[some], control["sd"].to_numpy()[some]
            ax.fill_between(x[some], mean - sd, mean + sd, color=kit.NULL, linewidth=0, zorder=0)
            label = f"random weights, mean ± sd of {int(control['n'].max())}"
            ax.plot(x[some], mean, "--", color=kit.GREY, linewidth=1, label=label)
        if rows["model"].nunique() == 1:
            step = -(-len(part) // 12)
            ax.set_xticks(x[::step], list(part["layer"])[::step], rotation=60, ha="right", fontsize=7)
    ax.set_xlabel("relative depth (0 first layer, 1 last)" if rows["model"].nunique() > 1 else "layer", fontsize=8)
    ax.axhline(0, color=kit.GREY, linewidth=0.6)
    ax.set_ylabel("fit of the RDMs", fontsize=8)
    verdicts = []
    for model, part in rows.groupby("model", sort=False):
        best = part.loc[part["best"].astype(bool), "layer"]
        verdicts.append(f"{model}: {f'best {best.iloc[0]}' if len(best) == 1 else 'no layer is called best'}")
    ax.text(0.02, 0.98, "\n".join(verdicts), transform=ax.transAxes, fontsize=7, va="top", color="#333333")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + (0.06 + 0.055 * len(verdicts)) * (high - low))  # room for the verdicts


def rdm_panel(rdms: Mapping[str, NDArray[np.floating]], categories: Sequence[str], title: str, id: str) -> kit.Panel:
    """Return RDMs as ranks, in every order of `in_orders`; arguments are those of `rdm_grid`."""
    views = in_orders(rdms, categories, title, id, partial(rdm_grid, rdms, categories))
    first_order = (
        views[0].title[0].lower() + views[0].title[1:] + "; buttons put them into other orders" * bool(views[1:])
    )
    panel = kit.captioned("referencerdms", title, views[0].figure, id=id, order=first_order)
    return replace(panel, orders=views if len(views) > 1 else ())


def in_orders(
    rdms: Mapping[str, NDArray[np.floating]],
    categories: Sequence[str],
    title: str,
    id: str,
    draw: Callable[[NDArray[np.intp]], Figure],
) -> tuple[kit.Panel, ...]:
    """Draw RDMs in the orders that their conditions have: by category where there are some, as given, by likeness.

    Likeness is that of the first RDM (average linkage).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    n = len(categories)
    orders = {"by category": _by_category(categories)} if 1 < len(set(categories)) < n else {}
    orders["as given"] = np.arange(n)
    name, first = next(iter(rdms.items()))
    if n > 2 and np.isfinite(first).all():
        near = np.asarray(first) - min(first.min(), 0)  # crossnobis may be negative
        orders[f"by likeness in {name}"] = leaves_list(linkage(near, "average", optimal_ordering=True))
    drawn: dict[str, NDArray[np.intp]] = {}
    for which, order in orders.items():
        if not any(np.array_equal(order, other) for other in drawn.values()):
            drawn[which] = order
    return tuple(
        kit.Panel(f"{id}{k}", which[0].upper() + which[1:], title, draw(order))
        for k, (which, order) in enumerate(drawn.items())
    )


def _by_category(categories: Sequence[str]) -> NDArray[np.intp]:
    """Return the order that groups categories, in the order of their first conditions."""
    names = list(dict.fromkeys(categories))
    return np.argsort([names.index(name) for name in categories], kind="stable")


def _blocks(categories: Sequence[str]) -> tuple[list[str], list[float], list[float]]:
    """Return the names of neighbours of one category, the middle of each block and the borders between them."""
    blocks = [(name, len(list(same))) for name, same in groupby(categories)]
    sizes = np.array([size for _, size in blocks])
    ends = np.cumsum(sizes)
    return [name for name, _ in blocks], list(ends - sizes / 2 - 0.5), list(ends[:-1] - 0.5)


def rdm_grid(
    rdms: Mapping[str, NDArray[np.floating]], categories: Sequence[str], order: NDArray[np.intp] | None = None
) -> Figure:
    """Draw RDMs as matrices of ranks, categories named where their conditions stand together.

    Ranks (0 most alike, 1 most different), because RDMs of networks, spikes and judgements have different units.

    Parameters
    ----------
    rdms : mapping
        Condensed dissimilarities (n_pairs,) by name.
    categories : sequence of str
        Of each condition, in the order of the RDMs.
    order : array of int, optional
        Of the conditions in the drawing; by category, in order of first appearance, where none is given.
    """
    from scipy.stats import rankdata

    n = len(categories)
    order = _by_category(categories) if order is None else order
    names, middles, borders = _blocks([categories[k] for k in order])
    if not 1 < len(names) == len(set(names)) <= MOST_NAMED:  # no categories, or their conditions stand apart
        names, middles, borders = [], [], []
    figure, axes, columns = kit.panel_grid(len(rdms), 3, (2.75, 2.7), margin=(0.8, 0.5))
    upper = np.triu_indices(n, 1)
    image: Any = None
    for k, (ax, (name, given)) in enumerate(zip(axes, rdms.items(), strict=False)):
        pairs = condensed_rdms(f"the RDM {name!r}", given)
        if len(pairs) != n * (n - 1) // 2:
            raise BrainalignError(
                f"the RDM {name!r} has {len(pairs)} pairs but {n} categories make {n * (n - 1) // 2}; give one "
                "category per condition"
            )
        matrix = np.zeros((n, n))
        matrix[upper] = (rankdata(pairs, nan_policy="omit") - 1) / max(np.isfinite(pairs).sum() - 1, 1)
        matrix += matrix.T
        image = ax.imshow(matrix[np.ix_(order, order)], cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
        for border in borders:
            ax.axhline(border, color="white", linewidth=0.5)
            ax.axvline(border, color="white", linewidth=0.5)
        ax.set_xticks(middles, names, rotation=60, ha="right", fontsize=6)
        ax.set_yticks(middles, names if k % columns == 0 else [], fontsize=6)
        ax.tick_params(length=0)
        ax.set_title(name, fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.6, label="rank of dissimilarity", pad=0.01)
    return figure


def mds_categories(
    points: NDArray[np.floating], categories: Sequence[str], pictures: Sequence[NDArray[np.uint8]] = ()
) -> Figure:
    """Draw conditions in the plane, as marks or pictures in the colour of their category.

    Parameters
    ----------
    points : array (n_conditions, 2)
        From `brainalign.report.pages.blocks_figures.mds_points`.
    categories : sequence of str
    pictures : sequence of arrays (size, size, 3)
        Of every condition.
    """
    names = list(dict.fromkeys(categories))
    figure, (ax,) = kit.new_figure(*((9.0, 6.2) if len(pictures) else (6.6, 4.2)))
    markers, n_colours = "osD^vP", len(kit.COLOURS)
    if MOST_NAMED < len(names) == len(categories):  # colours that no legend can explain
        (marks,) = ax.plot(*points.T, "o", color=kit.COLOURS[0], alpha=0.85)
        kit.name_marks(marks, names)
        names = []
    for k, name in enumerate(names):
        here = np.array([category == name for category in categories])
        colour, marker = kit.COLOURS[k % n_colours], markers[k // n_colours % len(markers)]
        (x, y), label = points[here].T, kit.legend_name(f"{name} ({here.sum()})")
        ax.scatter(x, y, s=26, color=colour, marker=marker, alpha=0.85, label=label)
        for place in np.flatnonzero(here) if len(pictures) else ():
            frame = {"edgecolor": colour, "linewidth": 1.5}
            picture = OffsetImage(pictures[int(place)], zoom=PICTURE_POINTS / len(pictures[int(place)]))
            ax.add_artist(AnnotationBbox(picture, points[place], pad=0.05, bboxprops=frame))
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if len(categories) > len(names) > 0:
        return kit.legend_below(figure, [ax], 6)
    ax.margins(0.25)
    for name, place in zip(categories, points, strict=True) if names and len(names) <= MOST_NAMED else ():
        kit.name_point(ax, name, place, (5, 4), size=8)
    return figure
