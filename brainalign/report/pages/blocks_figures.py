"""Figures of the report: tables and arrays in, matplotlib figures out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.condensed import condensed_rdms
from brainalign.report.kit import COLOURS, GREY, MOST_MARKS, model_colours, new_figure, panel_grid

MOST_NAMED = 30  # stimuli whose names and numbers can be read in a figure
MARKERS = "os^D"  # one after the other, where there are more models than colours


def split_matrix(splits: pd.DataFrame) -> Figure:
    """Draw which groups each fold tests (rows are folds), one panel per split."""
    names = pd.unique(splits["name"])
    figure, axes, _ = panel_grid(len(names), 2, (4.4, 3.2))
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


def identification_scores(rows: pd.DataFrame, classification: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw identification of every model and method with intervals, chance, permuted mean and the linear classifier.

    Parameters
    ----------
    rows : DataFrame
        Headline rows "identification": model, method, value, low, high, chance, null_mean.
    classification : DataFrame
        Headline row of the linear classifier.
    models : sequence of str
        Every model of the study; those with a row are drawn, in this order.
    """
    methods = list(pd.unique(rows["method"]))
    shown = [name for name in models if name in set(rows["model"])]
    step = min(0.16, 0.8 / max(len(shown), 1))  # all models of a method stand over its name
    tested = [model for model in shown if rows.loc[rows["model"] == model, "null_mean"].notna().any()]
    figure, (ax,) = new_figure(7.6, 3.4)
    for k, model in enumerate(shown):
        part = rows[rows["model"] == model].set_index("method").reindex(methods).dropna(subset=["value"])
        x = np.array([methods.index(method) for method in part.index]) + (k - (len(shown) - 1) / 2) * step
        interval = np.maximum([part["value"] - part["low"], part["high"] - part["value"]], 0)
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k // len(COLOURS) % len(MARKERS)]
        ax.errorbar(x, part["value"], interval, fmt=marker, color=colour, capsize=3, label=model)
        label = "permuted (mean)" if model in tested[:1] else ""
        ax.plot(x, part["null_mean"], linestyle="none", marker="_", color=GREY, markersize=12, label=label)
    for _, row in classification.iterrows():
        interval = [[row["value"] - row["low"]], [row["high"] - row["value"]]]
        ax.errorbar(len(methods), row["value"], interval, fmt="D", color="black", capsize=3)
    ax.axhline(rows["chance"].iloc[0], color="black", linestyle=":", linewidth=1, label="chance")
    ax.set_xticks(range(len(methods) + len(classification)), [*methods, *["logistic"] * len(classification)])
    ax.set(ylabel="share identified", ylim=(-0.03, 1.03), xlim=(-0.6, len(methods) + len(classification) - 0.4))
    ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def null_histogram(null: NDArray[Any], observed: float, chance: float, quantity: str) -> Figure:
    """Draw a permutation distribution with the observed value and chance."""
    figure, (ax,) = new_figure(5.2, 2.6)
    ax.hist(null, bins=30, color=GREY)
    ax.axvline(observed, color=COLOURS[5], linewidth=2, label=f"observed {observed:.3f}")
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
    figure, (ax,) = new_figure(6.8, 3.2)
    bins = np.linspace(0, 1, 30)
    ax.hist(
        null, bins=bins.tolist(), color="#c8c8c8", weights=np.full(len(null), 1 / max(len(null), 1)), label="permuted"
    )
    if len(null):
        ax.axvline(np.quantile(null, 0.95), color=GREY, linestyle="--", linewidth=1, label="95 % of permuted")
    top = ax.get_ylim()[1]
    ax.plot(
        random_spaces, np.full(len(random_spaces), top * 0.05), "|", color="black", markersize=9, label="random spaces"
    )
    for k, (name, value) in enumerate(observed.items()):
        if name == headline:
            ax.axvline(value, color=COLOURS[5], linewidth=2, label=f"{name} {value:.3f}")
        else:
            label = "single wordings" if k == 1 else None
            ax.plot(value, top * (0.45 + 0.07 * (k % 6)), "o", color=COLOURS[0], markersize=5, label=label)
    ax.axvline(0.5, color="black", linestyle=":", linewidth=1, label="chance")
    ax.set(xlabel="share of pairs matched", ylabel="share of permutations", xlim=(0, 1.02))
    ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def confusion_matrix(items: pd.DataFrame, conditions: Sequence[str], labels: Sequence[str]) -> Figure:
    """Draw how often each shown stimulus (rows) was identified as each (columns)."""
    codes = {name: k for k, name in enumerate(conditions)}
    counts = np.zeros((len(codes), len(codes)))
    np.add.at(counts, (items["item"].map(codes), items["chosen"].map(codes)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (ax,) = new_figure(4.6, 4.0)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.argwhere(counts > 0) if len(labels) <= MOST_NAMED else ():
        colour = "white" if shares[i, j] > 0.55 else "black"
        ax.text(j, i, f"{shares[i, j]:.2f}".lstrip("0"), ha="center", va="center", fontsize=7, color=colour)
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
        Every model of the study in its order, for colours that agree with other figures.
    random_weights : sequence of str
        Models of random weights: grey and dashed.
    """
    panels = list(rows.groupby("quantity", sort=False))
    colours = model_colours(models, random_weights)
    figure, axes, _ = panel_grid(len(panels), 2, (4.2, 2.7), least=8.4)
    for ax, (quantity, part) in zip(axes, panels, strict=False):
        depths: dict[str, list[str]] = {}
        for model, of in part.groupby("model", sort=False):
            depths[str(model)] = list(of["layer"])
            # Networks of different depth share the axis: the first and last layer of each lie at its ends.
            x = np.linspace(0, 1, len(of))
            style = "--" if model in random_weights else "-"
            ax.plot(x, of["value"], f"o{style}", color=colours[str(model)], markersize=3, linewidth=1.2, label=model)
            if of["null_mean"].notna().any():
                ax.plot(x, of["null_mean"], "_", color=GREY, markersize=7)
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
    figure, (ax,) = new_figure(4.4, 3.4)
    ax.hist(ceiling, bins=40, color=COLOURS[0])
    ax.axvline(0, color="black", linestyle=":", linewidth=1)
    ax.axvline(threshold, color=COLOURS[5], linewidth=1.5, label=f"threshold {threshold:g}")
    ax.set(xlabel="noise ceiling (share of variance that repeats)", ylabel="targets")
    ax.legend(fontsize=8, frameon=False)
    return figure


def score_against_ceiling(scores: pd.DataFrame, threshold: float) -> Figure:
    """Draw signed r² against the noise ceiling of each target, or their density where there are many.

    Targets above the threshold whose score exceeds their ceiling (a normalised score above 1) are marked and counted.
    """
    figure, (ax,) = new_figure(4.6, 4.2)
    x, y = scores["ceiling"].to_numpy(), scores["r2_signed"].to_numpy()
    above = (x > threshold) & (y > x)
    if len(scores) > MOST_MARKS:
        cells = ax.hexbin(x, y, gridsize=45, bins="log", mincnt=1, cmap="Blues")
        figure.colorbar(cells, ax=ax, shrink=0.7, label="targets")
    else:
        colours = np.where(x > threshold, COLOURS[0], "#c8c8c8")
        ax.scatter(x, y, s=8, color=colours, alpha=0.7, linewidths=0)
    ax.axvline(threshold, color=COLOURS[5], linewidth=1, label=f"threshold {threshold:g}")
    ax.axline((0, 0), slope=1, color="black", linewidth=1, linestyle="--", label="score = ceiling")
    ax.axhline(0, color=GREY, linewidth=0.6)
    label = f"above the ceiling: {above.sum():,} of {(x > threshold).sum():,}"
    ax.plot(x[above], y[above], "^", color=COLOURS[5], markersize=4 if above.sum() < 200 else 2, label=label)
    ax.set(xlabel="noise ceiling (variance)", ylabel="r · |r|")
    figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=2)
    return figure


def alpha_histogram(
    alphas: Mapping[str, NDArray[Any]],
    grids: Mapping[str, Sequence[float]],
    edges: Mapping[str, Sequence[float]],
    targets: str = "targets",
) -> Figure:
    """Draw how often each penalty was chosen, one panel per method, with the share at the edges of its grid."""
    figure, axes, _ = panel_grid(len(alphas), 2, (4.2, 2.9))
    for ax, (method, values) in zip(axes, alphas.items(), strict=False):
        # An alpha of 0 has no logarithm; it is drawn one step below the smallest other one.
        grid = np.sort(np.asarray(grids[method], dtype=float))
        positions = np.log10(np.where(grid > 0, grid, grid[grid > 0].min() / 10))
        nearest = np.abs(np.asarray(values)[:, None] - grid).argmin(axis=1)
        shares = np.bincount(nearest, minlength=len(grid)) / len(values)
        ax.bar(positions, shares, width=np.diff(positions).min() * 0.8, color=COLOURS[0])
        low, high = edges[method]
        ax.set_title(f"{method}\nat the edges: {low:.0%} low, {high:.0%} high", fontsize=9)
        ax.set(xlabel="log10 alpha", ylabel=f"share of {targets}")
    return figure


def rdm_matrices(rdms: Mapping[str, NDArray[Any]], labels: Sequence[str]) -> Figure:
    """Draw RDMs as matrices, each on its own scale."""
    figure, axes, columns = panel_grid(len(rdms), 3, (3.0, 3.0))
    i, j = np.triu_indices(len(labels), 1)
    for k, (ax, (name, pairs)) in enumerate(zip(axes, rdms.items(), strict=False)):
        matrix = np.zeros((len(labels), len(labels)))
        matrix[i, j] = matrix[j, i] = condensed_rdms(name, pairs)
        image = ax.imshow(matrix, cmap="magma", vmin=min(0.0, float(np.nanmin(matrix))))
        ax.set_title(name, fontsize=9)
        places, names = _some(labels)
        ax.set_xticks(places, names, rotation=60, ha="right", fontsize=6)
        ax.set_yticks(places, names if k % columns == 0 else [], fontsize=6)
        figure.colorbar(image, ax=ax, shrink=0.65).ax.tick_params(labelsize=6)
    return figure


def mds_points(pairs: NDArray[Any], n_conditions: int) -> NDArray[Any]:
    """Return points (n_conditions, 2) whose distances are nearest to those of an RDM (classical scaling)."""
    from sklearn.manifold import ClassicalMDS

    i, j = np.triu_indices(n_conditions, 1)
    distances = np.zeros((n_conditions, n_conditions))
    # Crossnobis values are squared distances, and noise can make them negative.
    distances[i, j] = distances[j, i] = np.sqrt(np.maximum(condensed_rdms("pairs", pairs), 0))
    return np.asarray(ClassicalMDS(n_components=2, metric="precomputed").fit_transform(distances))


def mds(points: NDArray[Any], labels: Sequence[str]) -> Figure:
    """Draw conditions in the plane."""
    figure, (ax,) = new_figure(4.4, 3.6)
    ax.scatter(points[:, 0], points[:, 1], color=[COLOURS[k % len(COLOURS)] for k in range(len(labels))], s=45)
    for label, (x, y) in zip(labels, points, strict=True) if len(labels) <= MOST_NAMED else ():
        ax.annotate(label, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.margins(0.25)
    return figure


def rsa_bars(comparison: pd.DataFrame) -> Figure:
    """Draw the fit of every model's RDM with interval, permuted mean and ceiling band, a panel per measure."""
    panels = list(comparison.groupby(["distance", "comparison"], sort=False))
    models = list(pd.unique(comparison["model"]))
    figure, axes, _ = panel_grid(len(panels), 2, (3.9, 2.9))
    for ax, ((distance, measure), part) in zip(axes, panels, strict=False):
        band = part[["ceiling_low", "ceiling_high"]].iloc[0].astype(float)
        if band.notna().all():
            ax.axhspan(*band, color="#dddddd", label="noise ceiling")
        for k, model in enumerate(models):
            rows = part[part["model"] == model]
            value = rows["score"].mean()
            if np.isnan(value):
                ax.text(k, 0, "undefined", ha="center", va="bottom", fontsize=7, rotation=90)
                continue
            ax.bar(k, value, color=COLOURS[k % len(COLOURS)], width=0.6)
            if len(rows) == 1:
                row = rows.iloc[0]
                if np.isfinite(row["low"]):
                    ax.vlines(k, row["low"], row["high"], color="black", linewidth=1.2)
                label = f"p={row['p']:.2g}" if np.isfinite(row["p"]) else "no test"
                ax.text(k, max(value, row["high"], 0), label, ha="center", va="bottom", fontsize=7)
            else:
                ax.plot(np.full(len(rows), k), rows["score"], ".", color="black", markersize=3)
            ax.plot([k - 0.3, k + 0.3], [rows["null_mean"].mean()] * 2, color="black", linestyle=":", linewidth=1.2)
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set_xticks(range(len(models)), models, fontsize=8)
        ax.set(title=f"{distance} RDM, {measure}", ylabel="fit")
        ax.title.set_fontsize(9)
    return figure
