"""Scores where they lie in the brain, and layers by region: where the data decide which is best, and where not."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtr

from brainalign.report import kit
from brainalign.statistics import RELIABLE, fdr

NOWHERE = "where they lie is not known"
MOST_PANELS = 40  # panels of a figure: those of a whole atlas would be higher than a picture file may be


def maps_section(material: kit.ImageMaterial) -> kit.Section | None:
    """Return maps of the model that predicts best: score, ceiling, best layer of each region and its margin.

    None without fits, and of responses over time.
    """
    if material.timed or not material.encodings or material.responses is None:
        return None
    model, method = fit = material.leading(material.encodings)
    layer, targets, stimuli = material.chosen(model, method), material.responses.targets, material.nouns.stimuli
    best: Sequence[kit.SurfaceMap] = ()
    layered = material.leading(material.of_layers or material.encodings)
    if kit.drawn_vertices(targets) is not None:
        shown = material.encodings[layered]
        best = _preference_maps(targets, shown.preference, list(pd.unique(shown.profile["layer"])), layered[0])
    return score_maps(
        material,
        material.encodings[fit].scores.query("layer == @layer"),
        kit.space_name(model, layer),
        tested=f"on test {stimuli}",
        repeats=f"averages over the repeats of the test {stimuli}",
        best=best,
        model=layered[0],
    )


def score_maps(
    material: kit.SubjectMaterial,
    scores: pd.DataFrame,
    name: str,
    *,
    tested: str,
    repeats: str,
    limit: float = float("nan"),
    best: Sequence[kit.SurfaceMap] = (),
    model: str = "",
) -> kit.Section:
    """Return maps of a score and its ceiling where the targets lie, or their distribution where they have no place.

    Parameters
    ----------
    material : SubjectMaterial
        With responses.
    scores : DataFrame
        A row per target: r, r2_normalized, ceiling, p, q.
    name : str
        What predicts: a model and its layer.
    tested, repeats : str
        On what the scores are, and the variance of what the ceiling is a share of.
    limit : float
        What the largest r of a permuted map stays below in 95 % of permutations.
    best : sequence of SurfaceMap
        Best layers of regions and their margin, for maps of the cortex.
    model : str
        Whose layers these are.
    """
    assert material.responses is not None
    targets, level = material.responses.targets, material.config.summarize.q
    said = [predicted_share(scores, name, material.nouns.targets, level)]
    vertices = kit.drawn_vertices(targets)
    if vertices is not None:
        panels = _on_the_cortex(material, scores, vertices, name, tested, best, model)
        return kit.Section("maps", "Maps", kit.together("surface", "Maps on fsaverage5", panels), said)
    aligned = targets[["target_id"]].merge(scores, on="target_id", how="left")
    r, significant_ones = aligned["r"].to_numpy(dtype=float), (aligned["q"] < level).to_numpy()
    values: dict[str, Any] = {"name": name, "tested": tested, "q": level, "n": int(significant_ones.sum())}
    numbers = scores[["target_id", "r", "r2_normalized", "ceiling", "p", "q"]]
    top = _end_of_scale(np.abs(r))
    drawn = kit.target_map(material, r, label=f"Pearson r {tested}", vmax=top, outline=significant_ones)
    if drawn is None:
        figure = kit.score_histogram(scores, level, limit=limit, targets=material.nouns.targets)
        space = targets.attrs.get("space", {}).get("name", "")
        why = f"no surface of {space} comes with this software" if "vertex" in targets and space else NOWHERE
        text = kit.CAPTIONS["scorehistogram"].format(**values, targets=material.nouns.targets, why=why)
        panels = [kit.Panel("scorehistogram", f"Scores of {name}", text, figure, numbers)]
        return kit.Section("maps", "Scores", panels, said)
    text = kit.CAPTIONS["targetmap"].format(**values, where=drawn.where)
    panels = [kit.Panel("scoremap", f"Score of {name}", text, drawn.figure, numbers, html=drawn.slices)]
    panels += panels_in_mni(targets, r, aligned["q"], level, label=f"Pearson r {tested}", vmax=top)
    ceiling = aligned["ceiling"].to_numpy(dtype=float)
    if (ceiling > 0).any():
        shown, end = np.where(ceiling > 0, ceiling, np.nan), _end_of_scale(ceiling)
        label = "noise ceiling (share of variance)"
        if drawn := kit.target_map(material, shown, label=label, vmax=end, diverging=False):
            text = kit.CAPTIONS["ceilingmap"].format(repeats=repeats, Targets=material.nouns.targets.capitalize())
            panels.append(kit.Panel("ceilingmap", "Noise ceiling", text, drawn.figure, html=drawn.slices))
    return kit.Section("maps", "Maps", panels, said)


def predicted_share(scores: pd.DataFrame, name: str, targets: str, level: float) -> str:
    """State how many targets are predicted above chance, and how well.

    `scores` has a row per target: r; q, held against `level`, NaN of targets not tested. `name` is what predicts,
    `targets` the noun.
    """
    n_tested, n = scores["q"].notna().sum(), len(scores)
    among = f"{n_tested:,} tested {targets} (of {n:,})" if 0 < n_tested < n else f"{n:,} {targets}"
    above = f" of {among} above chance (q < {level:g})"
    found = f"{(scores['q'] < level).sum():,}{above}" if n_tested else f"{among}, not tested"
    return f"{name}: {found}; r {kit.number(scores['r'].median())} (median) to {kit.number(scores['r'].max())}."


def panels_in_mni(
    targets: pd.DataFrame, r: NDArray[Any], q: "pd.Series[Any]", level: float, *, label: str, vmax: float
) -> list[kit.Panel]:
    """Return panels of scores in a standard head: of those above chance where that is tested; none in other spaces."""
    tested = bool(q.notna().any())
    shown = np.where(q < level, r, np.nan) if tested else r
    text = f"targets with q < {level:g} (false discovery rate)" if tested else "all targets; none was tested"
    drawn = kit.maps_in_mni(targets, shown, label=label, vmax=vmax)
    return [kit.captioned(key, kit.IN_MNI[key], figure, shown=text) for key, figure in drawn.items()]


def _end_of_scale(values: NDArray[Any]) -> float:
    """Return the end of a colour scale: the largest value, rounded up."""
    return float(np.ceil(10 * np.nanmax(values, initial=0.0)) / 10) or 1.0


def _on_the_cortex(
    material: kit.SubjectMaterial,
    scores: pd.DataFrame,
    vertices: pd.DataFrame,
    name: str,
    tested: str,
    best: Sequence[kit.SurfaceMap],
    model: str,
) -> list[kit.Panel]:
    """Return maps on fsaverage5, to turn and flattened."""
    assert material.responses is not None
    numbers = scores[["target_id", "r", "r2_normalized", "ceiling", "p", "q"]]
    scores = scores.merge(vertices)
    level, threshold = material.config.summarize.q, material.config.ceiling_threshold
    by_ceiling = threshold if scores["ceiling"].notna().any() else None  # no stimulus was repeated
    shown = scores.assign(
        r=kit.significant(scores, "r", q=level, ceiling=by_ceiling),
        normalized=kit.significant(scores, "r2_normalized", q=level, ceiling=by_ceiling),
        reliable=scores["ceiling"].where(scores["ceiling"] > threshold),
    )
    maps = [
        kit.surface_map(shown, "r", title=f"r of {name}", unit=f"Pearson r {tested}"),
        kit.surface_map(shown, "normalized", title="r² / noise ceiling", unit="share of the ceiling"),
        kit.surface_map(shown, "reliable", title="noise ceiling", unit="share of variance that repeats"),
        *best,
    ]
    hidden = f"q ≥ {level:g} (false discovery rate)"
    hidden += f", or a ceiling at or below {threshold:g}" if by_ceiling is not None else "; no ceiling is known"
    targets = material.responses.targets
    if len(vertices) != (targets["vertex"] >= 0).sum():
        mesh = targets.attrs["space"]["name"]
        hidden += f"; of {len(targets):,} vertices of {mesh} those are drawn that lie on vertices of fsaverage5"
    normalized = ""
    if by_ceiling is not None:
        normalized = (
            f"{(shown['normalized'] > 1).sum():,} of {shown['normalized'].notna().sum():,} normalised scores drawn lie "
            "above 1: estimation error of score and ceiling, never clipped; many would mean ceilings too low. "
        )
    beyond = int((maps[0].values > maps[0].vmax).sum())
    words: dict[str, Any] = {"hidden": hidden, "n": len(scores), "n_shown": maps[0].n_shown, "tested": tested}
    words["pointed"] = f", {beyond:,} of them with a larger r than the scale's end (pointed)" if beyond else ""
    html = kit.surface_viewer(maps)
    panels = [
        kit.captioned("surface", "Inflated", None, numbers, html=html, hidden=hidden, normalized=normalized),
        kit.captioned("flatmap", f"Flattened: {maps[0].title}", kit.flat_maps(maps[0]), id="flat", **words),
    ]
    if best:
        title, words = f"Flattened: {best[0].title}", {"model": model, "n": len(scores), "id": "flatlayers"}
        words["n_undecided"] = len(scores) - best[0].n_shown
        panels.append(kit.captioned("preference", title, kit.flat_maps(best[0]), **words))
    return panels


def _preference_maps(
    targets: pd.DataFrame, preference: pd.DataFrame, layers: list[str], model: str
) -> tuple[kit.SurfaceMap, ...]:
    """Return maps of the best layer of every region, and of its margin."""
    drawn = kit.drawn_vertices(targets)
    assert drawn is not None
    vertices = drawn.merge(targets[["target_id", "roi"]]).explode("roi").dropna(subset=["roi"])
    vertices = vertices.drop_duplicates(["hemi", "vertex"])
    table = vertices.merge(preference, on="roi")
    if table.empty:
        return ()
    return layer_preference_maps(table.rename(columns={"best": "layer"}), layers, model)


def layers_section(material: kit.ImageMaterial) -> kit.Section | None:
    """Return the section on layers by region; None of recordings over time, or where no layer is fitted by itself."""
    if not material.of_layers or material.timed:
        return None
    rows = pd.concat([_profile_rows(material, key) for key in material.of_layers], ignore_index=True)
    if rows.empty:
        return None
    leading, n_regions = material.fit_label(*material.leading(material.of_layers)), rows["roi"].nunique()
    first = leading if (rows["model"] == leading).any() else rows["model"].iloc[0]
    drawn, some = rows, ""
    if n_regions > MOST_PANELS:
        sizes = rows.drop_duplicates("roi").set_index("roi")["n_targets"]
        drawn = rows[rows["roi"].isin(sizes.nlargest(MOST_PANELS).index)]
        some = f" Drawn are the {MOST_PANELS} of {n_regions} regions with most targets."
    n_layers = rows.groupby("model")["layer"].nunique()
    deep, controls = n_layers.max() > 1, material.fit_labels(material.controls)
    panels = [
        kit.captioned(
            "profile" if deep else "regionscores",
            "Mean r over layers" if deep else "Mean r by region",
            layer_profile(drawn, material.fit_labels(material.models), controls),
            rows,
            id="profile",
            random=rows["model"].isin(controls).any(),
            ceiling=rows["ceiling_r"].notna().any(),
            drawn=some and f"{some} The numbers are of all.",
        )
    ]
    if n_layers[first] > 1:
        caption = kit.CAPTIONS["heatmap"].format(model=first) + some
        panels.append(kit.Panel("heatmap", f"Regions and layers of {first}", caption, roi_layer_heatmap(drawn, first)))
    panels = kit.together("layers", "Layers by region", panels)
    best = rows[rows["model"] == first].sort_values("r", ascending=False).iloc[0]
    among = f", of {n_regions} regions" * (n_regions > 1)
    name = kit.space_name(first, best["layer"]) if n_layers[first] > 1 else first
    text = f"{name} scores highest in {best['roi']}{among}: mean r {kit.number(best['r'])}"
    # The null of the best region, layer and informed fit is the largest of all of them, permutation by permutation.
    informed = [fit for fit in material.of_layers if fit[0] not in material.uninformed] or [*material.of_layers]
    nulls = [null for fit in informed if (null := material.encodings[fit].null) is not None]
    p = (1 + (np.max(nulls, axis=0) >= best["r"]).sum()) / (1 + len(nulls[0])) if nulls else np.nan
    over = "regions" + ", layers" * bool(n_layers[first] > 1) + ", models" * (len(informed) > 1)
    text += kit.corrected_p(p, " and ".join(over.rsplit(", ", 1)))
    if n_layers[first] > 1:
        key = {material.fit_label(*fit): fit for fit in material.of_layers}[first]
        preference = material.encodings[key].preference.drop_duplicates("roi")
        decided = preference["decided"].astype(bool)
        text += f"; which layer is the best is decided in {decided.sum()} of {n_regions}"
        if n_regions > 1 and decided.any():
            above_second = 2 * ndtr(-preference["margin"] / preference["margin_se"])
            q = fdr(np.maximum(preference["p"], above_second).to_numpy(dtype=float))
            text += f" (one by one; corrected for regions, in {(decided & (q <= kit.LEVEL)).sum()})"
    return kit.Section("layers", "Layers" if deep else "Regions", panels, [f"{text}."])


def _profile_rows(material: kit.ImageMaterial, key: tuple[str, str]) -> pd.DataFrame:
    encoding = material.encodings[key]
    profile = encoding.profile[encoding.profile["group"] != RELIABLE].rename(columns={"group": "roi"})
    return profile.merge(encoding.preference[["roi", "decided", "reason"]], on="roi").assign(
        model=material.fit_label(*key)
    )


PROFILE_COLUMNS = ("roi", "model", "layer", "r", "se", "null_mean", "null_high", "ceiling_r", "decided", "reason")
MOST_NAMES = 3  # of undecided models in a panel: more would cover the curves


def layer_preference_maps(
    table: pd.DataFrame, layers: Sequence[str], model: str
) -> tuple[kit.SurfaceMap, kit.SurfaceMap]:
    """Return the map of preferred layers and the map of their margin; undecided vertices are not shown in the first.

    Parameters
    ----------
    table : DataFrame
        A row per vertex: hemi, vertex, layer (the best), margin (its r minus that of the second best), decided
        (bool). The margin is shown wherever it is a number, so that the reader sees how near undecided vertices were.
    layers : sequence of str
        From the first to the last.
    model : str
    """
    kit.check_columns("the table of layer preferences", table, ["hemi", "vertex", "layer", "margin", "decided"])
    shown = table.assign(preferred=table["layer"].astype(object).where(table["decided"].astype(bool), None))
    title, unit, colours = f"Best layer of {model}", "layer (grey: undecided)", kit.layer_colours(layers)
    margin: dict[str, Any] = {"title": f"Margin of the best layer of {model}", "unit": "difference in r"}
    return (
        kit.surface_map(shown, "preferred", title=title, unit=unit, kind="categorical", categories=colours),
        kit.surface_map(shown, "margin", **margin, vmin=0.0),
    )


def layer_profile(
    rows: pd.DataFrame,
    models: Sequence[str] | None = None,
    random_weights: Sequence[str] = (),
    measure: str = "mean r on test stimuli",
) -> Figure:
    """Draw mean r (or another score) per layer with its error, a panel per region, with controls and ceiling.

    Parameters
    ----------
    rows : DataFrame
        A row per roi, model and layer: r, se (over targets or stimuli), null_mean and null_high (mean and upper end
        of permuted responses), ceiling_r (square root of the ceiling), decided (bool, of the roi and model), reason.
        Layers in the order of their first row.
    models : sequence of str, optional
        Models of the study that know the stimuli, for colours that agree with other figures; others are grey.
    random_weights : sequence of str
        Models of random weights: grey and dashed.
    """
    kit.check_columns("the table of layer profiles", rows, PROFILE_COLUMNS)
    rois, shown = list(pd.unique(rows["roi"])), list(pd.unique(rows["model"]))
    colours = kit.model_colours(models or shown, random_weights, shown)
    figure, axes, columns = kit.panel_grid(len(rois), 4, (2.1, 2.3), margin=(1.2, 0.7), least=5.2)
    for k, (ax, roi) in enumerate(zip(axes, rois, strict=False)):
        _profile_panel(ax, rows[rows["roi"] == roi], colours, random_weights)
        ax.set_title(roi, fontsize=9)
        if k % columns == 0:
            ax.set_ylabel(measure, fontsize=8)
    kit.share_axis(axes)
    kit.legend_below(figure, axes, min(columns + 1, 4))
    return figure


def _profile_panel(ax: Axes, rows: pd.DataFrame, colours: dict[str, str], random_weights: Sequence[str]) -> None:
    """Draw one region."""
    undecided = []
    most = max(len(part) for _, part in rows.groupby("model"))
    for model, part in rows.groupby("model", sort=False):
        # Networks of different depth share the axis: the first and last layer of each lie at its ends.
        x = np.linspace(0, 1, len(part)) if part["layer"].nunique() < most else np.arange(len(part)) / max(most - 1, 1)
        control = model in random_weights
        name = f"{model} (random)" if control else str(model)
        style = "--" if control else "-"
        line = ax.errorbar(
            x, part["r"], part["se"], fmt=f"o{style}", color=colours[str(model)],
            markersize=3, linewidth=1.2, capsize=2, label=kit.legend_name(name),
        )  # fmt: skip
        kit.name_marks(line, part["layer"].tolist())
        if not control:
            # Of one layer the band is a little wider than its mark: between one point and itself nothing is seen.
            across, band = (x, part) if len(part) > 1 else (x + np.array([-0.04, 0.04]), part.iloc[[0, 0]])
            label = "permuted, mean to upper end"
            kit.band(ax, across, band["null_mean"], band["null_high"], kit.NULL, label, alpha=0.6)
            if bool(part["decided"].iloc[0]):
                best = int(np.nanargmax(part["r"].to_numpy()))
                place, colour = (x[best], part["r"].iloc[best]), colours[str(model)]
                (star,) = ax.plot(*place, "*", color=colour, markersize=10, label="best layer, decided")
                kit.name_marks(star, [part["layer"].iloc[best]])
            elif part["layer"].nunique() > 1 and pd.notna(part["reason"].iloc[0]):  # else nothing was to decide
                undecided.append(str(model))
    if rows["ceiling_r"].notna().any():
        ax.axhline(rows["ceiling_r"].mean(), color="black", linestyle="--", linewidth=0.8, label="noise ceiling (r)")
    ax.axhline(0, color=kit.GREY, linewidth=0.6)
    longest = max((part for _, part in rows.groupby("model", sort=False)), key=len)
    layers = longest["layer"].tolist()
    step = -(-len(layers) // 8)
    places = np.arange(len(layers))[::step] / max(len(layers) - 1, 1)
    differ = rows.groupby("model")["layer"].agg(tuple).nunique() > 1
    ticks = layers[::step] if len(layers) > 1 or not differ else [""]  # a layer each has no depth, nor one name
    ax.set_xticks(list(places), ticks, rotation=60, ha="right", fontsize=7)
    ax.tick_params(axis="y", labelsize=7)
    if differ and len(layers) > 1:
        ax.set_xlabel(f"relative depth (layers of {longest['model'].iloc[0]})", fontsize=7)
    if undecided:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.3 * (high - low))  # room for the words
        few = len(undecided) <= MOST_NAMES
        text = "undecided: " + (", ".join(undecided) if few else f"{len(undecided)} models (no star)")
        ax.text(0.03, 0.99, textwrap.fill(text, 30), transform=ax.transAxes, fontsize=6, va="top", color="#555555")


def roi_layer_heatmap(rows: pd.DataFrame, model: str) -> Figure:
    """Draw r of every region (row) and layer (column); a dot marks the best layer, grey and "?" an undecided region.

    Rows are as for `layer_profile`; those of `model` are drawn.
    """
    kit.check_columns("the table of layer profiles", rows, PROFILE_COLUMNS)
    part = rows[rows["model"] == model]
    rois, layers = list(pd.unique(part["roi"])), list(pd.unique(part["layer"]))
    grid = part.pivot_table(index="roi", columns="layer", values="r", sort=False).reindex(index=rois, columns=layers)
    values = grid.to_numpy(dtype=float)
    decided = part.groupby("roi", sort=False)["decided"].first().reindex(rois).to_numpy(dtype=bool)
    figure, (ax,) = kit.new_figure(2.4 + 0.48 * len(layers), 1.5 + 0.34 * len(rois))
    top = float(np.nanmax(values, initial=0.05))
    image = ax.imshow(values, cmap="viridis", vmin=min(0.0, float(np.nanmin(values))), vmax=top, aspect="auto")
    for row in np.flatnonzero(decided):
        best = int(np.nanargmax(values[row]))
        ax.plot(best, row, "o", markerfacecolor="white", markeredgecolor="black", markersize=7)
    for row in np.flatnonzero(~decided):
        ax.text(len(layers) - 0.4, float(row), "?", fontsize=9, va="center", color="#555555")
        ax.axhspan(row - 0.5, row + 0.5, facecolor=kit.HIDDEN, alpha=0.55)
    ax.set_xlim(-0.5, len(layers) - 0.5)
    ax.set_xticks(range(len(layers)), layers, rotation=60, ha="right", fontsize=8)
    ax.set_yticks(range(len(rois)), rois, fontsize=8)
    ax.set(xlabel=f"layer of {model}", ylabel="region")
    figure.colorbar(image, ax=ax, shrink=0.8, label="mean r", pad=0.06)
    return figure
