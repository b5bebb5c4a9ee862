"""Figures of the report: tables and arrays in, matplotlib figures out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.condensed import condensed_rdms, square_rdms
from brainalign.report import kit

MOST_NAMED, MOST_NUMBERED = 30, 12  # stimuli whose names, and whose numbers in cells, can be read in a figure


def split_matrix(splits: pd.DataFrame) -> Figure:
    """Draw which groups each fold tests (rows are folds), one panel per split."""
    names = pd.unique(splits["name"])
    figure, axes, _ = kit.panel_grid(len(names), 2, (4.4, 3.2))
    for ax, name in zip(axes, names, strict=False):
        part = splits[splits["name"] == name]
        tested = part.assign(test=part["split"] == "test").pivot_table(
            index="fold", columns="group", values="test", aggfunc="max", sort=False
        )
        ax.imshow(tested.to_numpy(dtype=float), cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
        ax.set(title=f"{name}: {len(tested)} folds", xlabel="group (dark: tested, light: trained on)", ylabel="fold")
        short = [str(group).split("_")[-1] for group in tested.columns]
        step = -(-len(short) // 24)  # more labels than this cannot be read
        ax.set_xticks(range(0, len(short), step), short[::step], rotation=60, ha="right", fontsize=7)
    return figure


def null_histogram(null: NDArray[Any], observed: float, chance: float, quantity: str) -> Figure:
    """Draw a permutation distribution with the observed value and chance."""
    figure, (ax,) = kit.new_figure(5.2, 2.6)
    ax.hist(null, bins=30, color=kit.GREY)
    ax.axvline(observed, color=kit.COLOURS[5], linewidth=2, label=f"observed {observed:.3f}")
    ax.axvline(chance, color="black", linestyle=":", label=f"chance {chance:.3f}")
    ax.set(xlabel=quantity, ylabel=f"of {len(null)} permutations")
    ax.legend(fontsize=8, frameon=False)
    return figure


def zero_shot(observed: Mapping[str, float], null: NDArray[Any], random_spaces: NDArray[Any], headline: str) -> Figure:
    """Draw zero-shot matching: the permutation null, random spaces, every wording, and the headline space.

    Parameters
    ----------
    observed : mapping
        Score by name of space, the headline space among them.
    null : array (n_permutations,)
        Of the headline space.
    random_spaces : array (n_spaces,)
        Scores of spaces without meaning.
    headline : str
    """
    figure, (ax,) = kit.new_figure(6.8, 3.2)
    bins = np.linspace(0, 1, 30)
    ax.hist(
        null, bins=bins.tolist(), color="#c8c8c8", weights=np.full(len(null), 1 / max(len(null), 1)), label="permuted"
    )
    if len(null):
        ax.axvline(np.quantile(null, 0.95), color="black", ls="--", lw=1, zorder=3, label="95 % of permuted")
    top = ax.get_ylim()[1]
    ax.plot(
        random_spaces, np.full(len(random_spaces), top * 0.05), "|", color="black", markersize=9, label="random spaces"
    )
    for k, (name, value) in enumerate(observed.items()):
        if name == headline:
            ax.axvline(value, color=kit.COLOURS[5], linewidth=2, label=kit.legend_name(f"{name} {value:.3f}"))
        else:
            label = "single wordings" if k == 1 else None
            ax.plot(value, top * (0.45 + 0.07 * (k % 6)), "o", color=kit.COLOURS[0], markersize=5, label=label)
    ax.axvline(0.5, color="black", linestyle=":", linewidth=1, label="chance")
    ax.set(xlabel="share of pairs matched", ylabel="share of permutations", xlim=(0, 1.02))
    ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def confusion_matrix(items: pd.DataFrame, conditions: Sequence[str], labels: Sequence[str]) -> Figure:
    """Draw how often each shown stimulus (rows) was identified as each (columns)."""
    table = pd.crosstab(items["item"], items["chosen"])
    counts = table.reindex(index=list(conditions), columns=list(conditions), fill_value=0).to_numpy()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (ax,) = kit.new_figure(4.6, 4.0)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.argwhere(counts > 0) if len(labels) <= MOST_NUMBERED else ():
        kit.cell_text(ax, i, j, f"{shares[i, j]:.2f}".lstrip("0"), dark=shares[i, j] > 0.55)
    places, names = _some(labels)
    ax.set_xticks(places, names, rotation=60, ha="right", fontsize=8)
    ax.set_yticks(places, names, fontsize=8)
    ax.set(xlabel="identified as", ylabel="shown")
    figure.colorbar(image, ax=ax, shrink=0.7, label="share")
    return figure


def _some(labels: Sequence[str]) -> tuple[range, list[str]]:
    """Return the places and names of the labels that can be read: all of a few, some of many."""
    step = -(-len(labels) // MOST_NAMED)
    return range(0, len(labels), step), list(labels)[::step]


def layer_scores(rows: pd.DataFrame, models: Sequence[str], random_weights: Sequence[str] = ()) -> Figure:
    """Draw every score over the layers of networks, a panel per quantity, with chance and the mean of permutations.

    Parameters
    ----------
    rows : DataFrame
        A row per quantity, model and layer: value, chance and null_mean (NaN where there is none). Layers in order.
    models : sequence of str
        Models of the study that know the stimuli, for colours that agree with other figures; others are grey.
    random_weights : sequence of str
        Models of random weights: grey and dashed.
    """
    panels = list(rows.groupby("quantity", sort=False))
    colours = kit.model_colours(models, random_weights, list(rows["model"]))
    figure, axes, _ = kit.panel_grid(len(panels), 2, (4.2, 2.7), least=8.4)
    for ax, (quantity, part) in zip(axes, panels, strict=False):
        depths: dict[str, list[str]] = {}
        for model, of in part.groupby("model", sort=False):
            depths[str(model)] = list(of["layer"])
            # Networks of different depth share the axis: the first and last layer of each lie at its ends.
            x = np.linspace(0, 1, len(of))
            style = "--" if model in random_weights else "-"
            label, colour = kit.legend_name(model), colours[str(model)]
            lines = ax.plot(x, of["value"], f"o{style}", color=colour, markersize=3, linewidth=1.2, label=label)
            if of["null_mean"].notna().any():
                lines += ax.plot(x, of["null_mean"], "_", color=kit.GREY, markersize=7)
            for line in lines:
                kit.name_marks(line, depths[str(model)])
        if part["chance"].notna().any():
            ax.axhline(part["chance"].dropna().iloc[0], color="black", linestyle=":", linewidth=1)
        longest = max(depths.values(), key=len)
        step = -(-len(longest) // 8)
        places = np.linspace(0, 1, len(longest))[::step]
        ax.set_xticks(list(places), longest[::step], rotation=60, ha="right", fontsize=7)
        ax.set_title(str(quantity), fontsize=9)
        if len(set(map(tuple, depths.values()))) > 1:
            ax.set_xlabel("relative depth (names: the deepest)", fontsize=7)
    axes[0].legend(fontsize=7, frameon=False)
    return figure


def ceiling_histogram(ceiling: NDArray[Any], threshold: float) -> Figure:
    """Draw the distribution of noise ceilings over targets; left of 0 is what the estimator gives without signal."""
    figure, (ax,) = kit.new_figure(4.4, 3.4)
    ax.hist(ceiling, bins=40, color=kit.COLOURS[0])
    ax.axvline(0, color="black", linestyle=":", linewidth=1)
    ax.axvline(threshold, color=kit.COLOURS[5], linewidth=1.5, label=f"threshold {threshold:g}")
    ax.set(xlabel="noise ceiling (share of variance that repeats)", ylabel="targets")
    ax.locator_params(axis="y", integer=True)
    ax.legend(fontsize=8, frameon=False)
    return figure


def score_against_ceiling(scores: pd.DataFrame, threshold: float) -> Figure:
    """Draw signed r² against the noise ceiling of each target, or their density where there are many.

    Reliable targets whose score exceeds their ceiling (a normalised score above 1) are marked and counted.
    """
    figure, (ax,) = kit.new_figure(4.6, 4.2)
    x, y, reliable = (scores[name].to_numpy() for name in ("ceiling", "r2_signed", "reliable"))
    above = reliable & (y > x)
    if len(scores) > kit.MOST_MARKS:
        cells = ax.hexbin(x, y, gridsize=45, bins="log", mincnt=1, cmap="Blues")
        figure.colorbar(cells, ax=ax, shrink=0.7, label="targets")
    else:
        colours = np.where(reliable, kit.COLOURS[0], "#c8c8c8")
        ax.scatter(x, y, s=8, color=colours, alpha=0.7, linewidths=0)
    ax.axvline(threshold, color=kit.COLOURS[5], linewidth=1, label=f"threshold {threshold:g}")
    ax.axline((0, 0), slope=1, color="black", linewidth=1, linestyle="--", label="score = ceiling")
    ax.axhline(0, color=kit.GREY, linewidth=0.6)
    label = f"above the ceiling: {above.sum():,} of {reliable.sum():,}"
    ax.plot(x[above], y[above], "^", color=kit.COLOURS[5], markersize=4 if above.sum() < 200 else 2, label=label)
    ax.set(xlabel="noise ceiling (variance)", ylabel="r · |r|")
    figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=2)
    return figure


def rdm_matrices(rdms: Mapping[str, NDArray[Any]], labels: Sequence[str], order: NDArray[np.intp]) -> Figure:
    """Draw RDMs as matrices, each on its own scale; labels are as the RDMs are, conditions drawn in this order."""
    figure, axes, columns = kit.panel_grid(len(rdms), 3, (3.0, 3.0))
    i, j = np.triu_indices(len(labels), 1)
    for k, (ax, (name, pairs)) in enumerate(zip(axes, rdms.items(), strict=False)):
        matrix = np.zeros((len(labels), len(labels)))
        matrix[i, j] = matrix[j, i] = condensed_rdms(name, pairs)
        image = ax.imshow(matrix[np.ix_(order, order)], cmap="magma", vmin=min(0.0, float(np.nanmin(matrix))))
        ax.set_title(name, fontsize=9)
        places, names = _some([labels[of] for of in order])
        many = len(names) > MOST_NUMBERED
        ax.set_xticks(places, names, rotation=90 if many else 60, ha="center" if many else "right", fontsize=6)
        ax.set_yticks(places, names if k % columns == 0 else [], fontsize=6)
        figure.colorbar(image, ax=ax, shrink=0.65).ax.tick_params(labelsize=6)
    return figure


def mds_points(pairs: NDArray[Any]) -> NDArray[Any]:
    """Return points (n_conditions, 2) whose distances are nearest to those of an RDM (classical scaling)."""
    from sklearn.manifold import ClassicalMDS

    # Crossnobis values are squared distances, and noise can make them negative.
    distances = square_rdms(np.sqrt(np.maximum(condensed_rdms("pairs", pairs), 0)))
    return np.asarray(ClassicalMDS(n_components=2, metric="precomputed").fit_transform(distances))


def rsa_ranking(rows: pd.DataFrame, controls: Sequence[str], measure: str, models: Sequence[str] = ()) -> Figure:
    """Draw models by the fit of their RDM with interval, permuted mean, ceiling; of several layers mean and range."""
    of = rows.groupby("model", sort=False)
    table = of[["low", "high", "null_mean", "p"]].mean().assign(value=of["score"].mean())
    several = (of.size() > 1).to_numpy()
    table.loc[several, ["low", "high"]] = of["score"].agg(["min", "max"]).to_numpy()[several]
    table.loc[several, "p"] = np.nan  # of each layer
    tested = [f"{name}, p {kit.p_equals(p)}" if np.isfinite(p) else name for name, p in table["p"].items()]
    table = table.assign(name=np.array(tested, dtype=object), null=table["null_mean"]).reset_index()
    low, high = rows[["ceiling_low", "ceiling_high"]].iloc[0]
    table = table.assign(control=table["model"].isin(controls))
    return kit.ranked_models(table, measure=measure, ceiling=(low, high), models=models)
