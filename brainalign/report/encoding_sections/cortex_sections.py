"""Sections of a subject in the scanner: maps of scores where they lie, and layers by region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.report.encoding_sections.layers import layer_preference_maps, layer_profile, roi_layer_heatmap
from brainalign.report.kit import (
    CAPTIONS,
    ImageMaterial,
    Panel,
    Section,
    SubjectMaterial,
    SurfaceMap,
    flat_maps,
    on_fsaverage,
    score_histogram,
    significant,
    surface_map,
    surface_viewer,
    target_map,
    together,
)
from brainalign.statistics import RELIABLE

MOST_PANELS = 40  # panels of a figure: those of a whole atlas would be higher than a picture file may be


def maps_section(material: ImageMaterial) -> Section | None:
    """Return maps of the first model: score, ceiling, best layer of each region and its margin.

    None without fits, and of responses over time.
    """
    if material.timed or not material.encodings or material.responses is None:
        return None
    (model, method), encoding = next(iter(material.encodings.items()))
    layer, targets, stimuli = material.chosen(model, method), material.responses.targets, material.nouns.stimuli
    best: Sequence[SurfaceMap] = ()
    if on_fsaverage(targets):
        best = _preference_maps(targets, encoding.preference, list(pd.unique(encoding.profile["layer"])), model)
    return score_maps(
        material,
        encoding.scores[encoding.scores["layer"] == layer],
        f"{model} ({layer})",
        tested=f"on test {stimuli}",
        repeats=f"averages over the repeats of the test {stimuli}",
        best=best,
        model=model,
    )


def score_maps(
    material: SubjectMaterial,
    scores: pd.DataFrame,
    name: str,
    *,
    tested: str,
    repeats: str,
    limit: float = float("nan"),
    best: Sequence[SurfaceMap] = (),
    model: str = "",
) -> Section:
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
    if on_fsaverage(targets):
        return _on_the_cortex(material, scores, name, tested, best, model)
    aligned = targets[["target_id"]].merge(scores, on="target_id", how="left")
    r, significant_ones = aligned["r"].to_numpy(dtype=float), (aligned["q"] < level).to_numpy()
    values: dict[str, Any] = {"name": name, "tested": tested, "q": level, "n": int(significant_ones.sum())}
    numbers = scores[["target_id", "r", "r2_normalized", "ceiling", "p", "q"]]
    top = _end_of_scale(np.abs(r))
    drawn = target_map(material, r, label=f"Pearson r {tested}", vmax=top, outline=significant_ones)
    if drawn is None:
        figure = score_histogram(scores, level, limit=limit, targets=material.nouns.targets)
        text = CAPTIONS["scorehistogram"].format(**values, targets=material.nouns.targets)
        return Section("maps", "Scores", [Panel("scorehistogram", f"Scores of {name}", text, figure, numbers)])
    text = CAPTIONS["targetmap"].format(**values, where=drawn.where)
    panels = [Panel("scoremap", f"Score of {name}", text, drawn.figure, numbers)]
    ceiling = aligned["ceiling"].to_numpy(dtype=float)
    if (ceiling > 0).any():
        shown, end = np.where(ceiling > 0, ceiling, np.nan), _end_of_scale(ceiling)
        label = "noise ceiling (share of variance)"
        if drawn := target_map(material, shown, label=label, vmax=end, diverging=False):
            text = CAPTIONS["ceilingmap"].format(repeats=repeats, Targets=material.nouns.targets.capitalize())
            panels.append(Panel("ceilingmap", "Noise ceiling", text, drawn.figure))
    return Section("maps", "Maps", panels)


def _end_of_scale(values: NDArray[Any]) -> float:
    """Return the end of a colour scale: the largest value, rounded up."""
    return float(np.ceil(10 * np.nanmax(values, initial=0.0)) / 10) or 1.0


def _on_the_cortex(
    material: SubjectMaterial, scores: pd.DataFrame, name: str, tested: str, best: Sequence[SurfaceMap], model: str
) -> Section:
    """Return maps on fsaverage5, to turn and flattened."""
    assert material.responses is not None
    targets = material.responses.targets
    scores = scores.merge(targets.loc[targets["vertex"] >= 0, ["target_id", "hemi", "vertex"]])
    level, threshold = material.config.summarize.q, material.config.ceiling_threshold
    by_ceiling = threshold if scores["ceiling"].notna().any() else None  # no stimulus was repeated
    shown = scores.assign(
        r=significant(scores, "r", q=level, ceiling=by_ceiling),
        normalized=significant(scores, "r2_normalized", q=level, ceiling=by_ceiling),
        reliable=scores["ceiling"].where(scores["ceiling"] > threshold),
    )
    maps = [
        surface_map(shown, "r", title=f"r of {name}", unit=f"Pearson r {tested}"),
        surface_map(shown, "normalized", title="r² / noise ceiling", unit="share of the ceiling"),
        surface_map(shown, "reliable", title="noise ceiling", unit="share of variance that repeats"),
        *best,
    ]
    hidden = f"q ≥ {level:g} (false discovery rate)"
    hidden += f", or a ceiling at or below {threshold:g}" if by_ceiling is not None else "; no ceiling is known"
    normalized = ""
    if by_ceiling is not None:
        normalized = (
            f"{int((shown['normalized'] > 1).sum()):,} normalised scores lie above 1: estimation error of score and "
            "ceiling, never clipped; many would mean ceilings too low to divide by. "
        )
    numbers = scores[["target_id", "r", "r2_normalized", "ceiling", "p", "q"]]
    caption = CAPTIONS["surface"].format(hidden=hidden, normalized=normalized)
    flat = _flat_caption(maps[0], len(scores), hidden, tested)
    panels = [
        Panel("surface", "Inflated", caption, None, numbers, html=surface_viewer(maps)),
        Panel("flat", f"Flattened: {maps[0].title}", flat, flat_maps(maps[0])),
    ]
    if best:
        caption = CAPTIONS["preference"].format(model=model, n_undecided=len(scores) - best[0].n_shown, n=len(scores))
        panels.append(Panel("flatlayers", f"Flattened: {best[0].title}", caption, flat_maps(best[0])))
    return Section("maps", "Maps", together("surface", "Maps on fsaverage5", panels))


def _flat_caption(drawn: SurfaceMap, n: int, hidden: str, tested: str) -> str:
    """Write the caption of the flat map of r; it counts the values beyond the end of the scale where there are any."""
    beyond = int((drawn.values > drawn.vmax).sum())
    pointed = f", {beyond:,} of them with a larger r than the scale's end (pointed)" if beyond else ""
    return CAPTIONS["flatmap"].format(hidden=hidden, n_shown=drawn.n_shown, n=n, pointed=pointed, tested=tested)


def _preference_maps(
    targets: pd.DataFrame, preference: pd.DataFrame, layers: list[str], model: str
) -> tuple[SurfaceMap, ...]:
    """Return maps of the best layer of every region, and of its margin."""
    vertices = targets[["hemi", "vertex", "roi"]].explode("roi").dropna(subset=["roi"])
    vertices = vertices.drop_duplicates(["hemi", "vertex"])
    table = vertices.merge(preference, on="roi")
    if table.empty:
        return ()
    return layer_preference_maps(table.rename(columns={"best": "layer"}), layers, model)


def layers_section(material: ImageMaterial) -> Section | None:
    """Return the section on layers by region; None of recordings over time, or where no layer is fitted by itself."""
    if not material.of_layers or material.timed:
        return None
    rows = pd.concat([_profile_rows(material, key) for key in material.of_layers], ignore_index=True)
    if rows.empty:
        return None
    first = material.label(*next(iter(material.of_layers)))
    n_regions = rows["roi"].nunique()
    drawn = _largest_regions(rows)
    some = ""
    if n_regions > MOST_PANELS:
        some = f" Drawn are the {MOST_PANELS} of {n_regions} regions with most targets."
    panels = [
        Panel(
            "profile",
            "Mean r over layers",
            CAPTIONS["profile"] + (f"{some} The numbers are of all." if some else ""),
            layer_profile(drawn, material.labels(material.models), material.labels(material.controls)),
            rows,
        ),
        Panel(
            "heatmap",
            f"Regions and layers of {first}",
            CAPTIONS["heatmap"].format(model=first) + some,
            roi_layer_heatmap(drawn, first),
        ),
    ]
    return Section("layers", "Layers", together("layers", "Layers by region", panels))


def _largest_regions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the regions to draw: all, or those of most targets where there are many."""
    if rows["roi"].nunique() <= MOST_PANELS:
        return rows
    sizes = rows.drop_duplicates("roi").set_index("roi")["n_targets"]
    return rows[rows["roi"].isin(sizes.nlargest(MOST_PANELS).index)]


def _profile_rows(material: ImageMaterial, key: tuple[str, str]) -> pd.DataFrame:
    encoding = material.encodings[key]
    profile = encoding.profile[encoding.profile["group"] != RELIABLE].rename(columns={"group": "roi"})
    decisions = encoding.preference[["roi", "decided", "reason"]]
    return profile.merge(decisions, on="roi").assign(model=material.label(*key))
