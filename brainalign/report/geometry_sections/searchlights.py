"""Searchlights: where the geometry of the brain is that of a model, in maps and in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.report import kit

FAMILY_LEVEL = 0.05  # family-wise, over centres and layers


def searchlight_section(material: kit.SubjectMaterial) -> kit.Section | None:
    """Draw, for every model, the fit of its best layer around every centre, and what of it is above chance."""
    if not material.searchlights or material.responses is None:
        return None
    panels: list[kit.Panel] = []
    paragraphs = []
    for model, table in material.searchlights.items():
        details = material.details(f"model-{model}_searchlight")
        paragraphs.append(searchlight_sentence(model, table, details, material.responses.targets))
        layer = best_layer(table)
        if layer is None:
            continue
        mine = table[table["layer"] == layer]
        found = mine["p_anywhere"] < FAMILY_LEVEL
        numbers: dict[str, Any] = {name: details[name] for name in ("comparison", "distance")}
        numbers |= {"level": FAMILY_LEVEL, "threshold": details["threshold_anywhere"]}
        numbers["around"] = around(details, mine, material.responses.targets)
        title, name = f"{model} ({layer})", f"searchlight-{model}"
        label = f"fit of RDMs ({details['comparison']})"
        everywhere = _draw(material, mine, mine["score"].to_numpy(), found.to_numpy(), label)
        if everywhere is None:
            paragraphs.append(f"No map of {title} is drawn: maps for other tools lie beside its table.")
            continue
        numbers |= {"id": name, "html": everywhere.slices}
        parts = [kit.captioned("searchlight", f"Searchlight: {title}", everywhere.figure, mine, **numbers)]
        if found.any():
            over = np.where(found, mine["score"], np.nan)
            above = _draw(material, mine, over, found.to_numpy(), f"{label} where p < {FAMILY_LEVEL:g}, corrected")
            assert above is not None  # as everywhere
            numbers = {"level": FAMILY_LEVEL, "n": int(found.sum()), "html": above.slices}
            numbers["id"] = f"searchlightabove-{model}"
            parts.append(kit.captioned("searchlightabove", f"Above chance: {title}", above.figure, **numbers))
        panels += kit.together(name, f"Searchlight: {title}", parts)
    return kit.Section("searchlight", "Searchlights", panels, paragraphs)


def _draw(
    material: kit.SubjectMaterial,
    table: pd.DataFrame,
    values: NDArray[np.floating[Any]],
    found: NDArray[np.bool_],
    label: str,
) -> kit.TargetMap | None:
    """Return a map of the values of the centres; None where they have no place."""
    assert material.responses is not None
    vmax = float(np.ceil(10 * np.nanmax(np.abs(table["score"]))) / 10) or 1.0
    order = pd.Index(table["target_id"]).get_indexer(pd.Index(material.responses.targets["target_id"]))
    full = np.where(order >= 0, values[order], np.nan)
    return kit.target_map(material, full, label=label, vmax=vmax, outline=np.where(order >= 0, found[order], 0))


def searchlights_of(shelf: kit.Shelf) -> dict[str, pd.DataFrame]:
    """Gather the searchlights of a subject, by model."""
    tables = {of["model"]: shelf.fetch("searchlight", pd.DataFrame, **of) for of in shelf.each("searchlight")}
    return {model: table for model, table in tables.items() if table is not None}


def searchlight_sentence(model: str, table: pd.DataFrame, details: Mapping[str, Any], targets: pd.DataFrame) -> str:
    """State a model's searchlight result: how many centres exceed the largest fit by chance, and the best centre."""
    layer, lost = best_layer(table), sum(details["n_nan"].values())
    without = f" {lost:,} fits are undefined and count as none." if lost else ""
    if layer is None:
        return f"{model}: no centre has a fit; its geometry has no distances, or the patterns are constant.{without}"
    mine = table[table["layer"] == layer]
    n_found, n = int((mine["p_anywhere"] < FAMILY_LEVEL).sum()), int(mine["score"].notna().sum())
    threshold = details["threshold_anywhere"]
    limit = (
        f"the largest fit over centres{' and layers' if table['layer'].nunique() > 1 else ''} in "
        f"{details['permutations']:,} exchanges of {details['n_stimuli']} stimuli exceeds {kit.number(threshold)} in "
        "5 % of them"
    )
    best = mine.iloc[int(np.nanargmax(mine["score"].to_numpy()))]
    place = targets.set_index("target_id").loc[best["target_id"], ["x_mm", "y_mm", "z_mm"]]
    where = f"{', '.join(f'{axis:.0f}' for axis in place)} mm; " if place.notna().all() else ""
    top = (
        f"the best of {layer} is {kit.number(best['score'])} around {best['target_id']} ({where}"
        f"p {kit.p_equals(best['p_anywhere'], 4)})"
    )
    if not n_found:
        return f"{model}: no centre exceeds chance: {limit}, and {top}.{without}"
    return f"{kit.space_name(model, layer)}: {n_found:,} of {n:,} centres exceed chance: {limit}; {top}.{without}"


def searchlight_methods(material: kit.SubjectMaterial) -> list[tuple[str, list[str]]]:
    """Describe the searchlights, with the keys of the references; empty where none was run."""
    if not material.searchlights or material.responses is None:
        return []
    model, table = next(iter(material.searchlights.items()))
    details, targets = material.details(f"model-{model}_searchlight"), material.responses.targets
    noise = {"full": "whitened by the noise covariance of its voxels (Schäfer-Strimmer shrinkage per neighbourhood)"}
    noise["diagonal"] = "scaled by the noise of each voxel"
    whitened = f", {noise[details['noise']]}" if details["noise"] in noise else ""
    text = (
        f"Searchlights: {details['distance']} distances between stimuli within {around(details, table, targets)} of "
        f"every centre{whitened}; compared with {details['feature_distance']} distances of features by "
        f"{details['comparison']}. Stimuli of the features were exchanged {details['permutations']:,} times, alike for "
        "all centres; a fit counts as above chance when it exceeds the largest over centres and layers in 95 % of them."
    )
    return [(text, ["searchlight", "maxstat", *["surfacesearchlight"] * ("vertex" in targets)])]


def best_layer(table: pd.DataFrame) -> str | None:
    """Return the layer with the largest fit; None where no centre has one."""
    scores = table["score"]
    return None if scores.isna().all() else str(table["layer"].iloc[int(np.nanargmax(scores.to_numpy()))])


def around(details: Mapping[str, Any], table: pd.DataFrame, targets: pd.DataFrame) -> str:
    """Return the size of neighbourhoods in words; on a surface they are measured along its mesh."""
    usual = int(table["n_channels"].median())
    if details["radius_mm"] is None:
        return f"the {usual} nearest vertices"
    along = " along the cortex" * ("vertex" in targets)
    return f"{details['radius_mm']:g} mm{along} ({usual} voxels or vertices usually)"
