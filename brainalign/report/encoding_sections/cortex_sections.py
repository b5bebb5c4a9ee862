"""Sections of a subject in the scanner: maps on the cortex, and layers by region."""

from __future__ import annotations

import pandas as pd

from brainalign.report.encoding_sections.layers import layer_preference_maps, layer_profile, roi_layer_heatmap
from brainalign.report.kit import (
    CAPTIONS,
    FSAVERAGE,
    ImageMaterial,
    Panel,
    Section,
    SurfaceMap,
    flat_maps,
    significant,
    surface_map,
    surface_viewer,
    together,
)
from brainalign.statistics import RELIABLE

MOST_PANELS = 40  # panels of a figure: those of a whole atlas would be higher than a picture file may be


def maps_section(material: ImageMaterial) -> Section | None:
    """Return maps of the first model: score, ceiling, best layer of each region and its margin; None without fits."""
    if not material.encodings or material.responses is None:
        return None
    targets = material.responses.targets
    if "vertex" not in targets or not FSAVERAGE[0] < targets["vertex"].max() < FSAVERAGE[1]:
        return None  # another mesh
    (model, method), encoding = next(iter(material.encodings.items()))
    layer = material.chosen(model, method)
    scores = encoding.scores[encoding.scores["layer"] == layer].merge(targets[["target_id", "hemi", "vertex"]])
    level, threshold = material.config.summarize.q, material.config.ceiling_threshold
    by_ceiling = threshold if scores["ceiling"].notna().any() else None  # no image was repeated
    shown = scores.assign(
        r=significant(scores, "r", q=level, ceiling=by_ceiling),
        normalized=significant(scores, "r2_normalized", q=level, ceiling=by_ceiling),
        reliable=scores["ceiling"].where(scores["ceiling"] > threshold),
    )
    maps = [
        surface_map(shown, "r", title=f"r of {model} ({layer})", unit="Pearson r on test images"),
        surface_map(shown, "normalized", title="r² / noise ceiling", unit="share of the ceiling"),
        surface_map(shown, "reliable", title="noise ceiling", unit="share of variance that repeats"),
    ]
    maps += _preference_maps(targets, encoding.preference, list(pd.unique(encoding.profile["layer"])), model)
    hidden = f"q ≥ {level:g} (false discovery rate)"
    hidden += f", or a ceiling at or below {threshold:g}" if by_ceiling is not None else "; no ceiling is known"
    normalized = ""
    if by_ceiling is not None:
        normalized = (
            f"{int((shown['normalized'] > 1).sum()):,} normalised scores lie above 1: estimation error of score and "
            "ceiling, never clipped; many would mean ceilings too low to divide by. "
        )
    numbers = scores[["target_id", "r", "r2_normalized", "ceiling", "p", "q"]]
    panels = [
        Panel(
            "surface",
            "Inflated",
            CAPTIONS["surface"].format(hidden=hidden, normalized=normalized),
            None,
            numbers,
            html=surface_viewer(maps),
        ),
        Panel("flat", f"Flattened: {maps[0].title}", _flat_caption(maps[0], len(scores), hidden), flat_maps(maps[0])),
    ]
    if len(maps) > 3:
        caption = CAPTIONS["preference"].format(model=model, n_undecided=len(scores) - maps[3].n_shown, n=len(scores))
        panels.append(Panel("flatlayers", f"Flattened: {maps[3].title}", caption, flat_maps(maps[3])))
    return Section("maps", "Maps", together("surface", "Maps on fsaverage5", panels))


def _flat_caption(drawn: SurfaceMap, n: int, hidden: str) -> str:
    """Write the caption of the flat map of r; it counts the values beyond the end of the scale where there are any."""
    beyond = int((drawn.values > drawn.vmax).sum())
    pointed = f", {beyond:,} of them with a larger r than the scale's end (pointed)" if beyond else ""
    return CAPTIONS["flatmap"].format(hidden=hidden, n_shown=drawn.n_shown, n=n, pointed=pointed)


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
