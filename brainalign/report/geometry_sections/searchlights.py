"""Maps of searchlights: where the geometry of the brain is that of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.report.kit import (
    CAPTIONS,
    FAMILY_LEVEL,
    Panel,
    Section,
    SubjectMaterial,
    around,
    best_layer,
    details_of,
    searchlight_sentence,
    target_map,
    together,
)


def searchlight_section(material: SubjectMaterial) -> Section | None:
    """Draw, for every model, the fit of its best layer around every centre, and what of it is above chance."""
    if not material.searchlights or material.responses is None:
        return None
    panels: list[Panel] = []
    paragraphs = []
    for model, table in material.searchlights.items():
        details = details_of(material, model)
        paragraphs.append(searchlight_sentence(model, table, details, material.responses.targets))
        layer = best_layer(table)
        if layer is None:
            continue
        mine = table[table["layer"] == layer]
        found = mine["p_anywhere"] < FAMILY_LEVEL
        numbers = {name: details[name] for name in ("comparison", "distance")}
        numbers |= {"level": FAMILY_LEVEL, "around": around(details, mine), "threshold": details["threshold_anywhere"]}
        caption = " ".join(CAPTIONS["searchlight"].format(**numbers).split())
        title = f"{model} ({layer})"
        label = f"fit of RDMs ({details['comparison']})"
        everywhere = _draw(material, mine, mine["score"].to_numpy(), found.to_numpy(), label)
        if everywhere is None:
            paragraphs.append(f"No map of {title} is drawn: maps for other tools lie beside its table.")
            continue
        parts = [Panel(f"searchlight-{model}", f"Searchlight: {title}", caption, everywhere, mine)]
        if found.any():
            shown = np.where(found, mine["score"], np.nan)
            above = _draw(material, mine, shown, found.to_numpy(), f"{label} where p < {FAMILY_LEVEL:g}, corrected")
            text = " ".join(CAPTIONS["searchlightabove"].format(level=FAMILY_LEVEL, n=int(found.sum())).split())
            parts.append(Panel(f"searchlightabove-{model}", f"Above chance: {title}", text, above))
        panels += together(f"searchlight-{model}", f"Searchlight: {title}", parts)
    return Section("searchlight", "Searchlights", panels, paragraphs)


def _draw(
    material: SubjectMaterial,
    table: pd.DataFrame,
    values: NDArray[np.floating[Any]],
    found: NDArray[np.bool_],
    label: str,
) -> Figure | None:
    """Return a map of the values of the centres; None where they have no place."""
    assert material.responses is not None
    vmax = float(np.ceil(10 * np.nanmax(np.abs(table["score"]))) / 10) or 1.0
    order = pd.Index(table["target_id"]).get_indexer(pd.Index(material.responses.targets["target_id"]))
    full = np.where(order >= 0, values[order], np.nan)
    drawn = target_map(material, full, label=label, vmax=vmax, outline=np.where(order >= 0, found[order], 0))
    return None if drawn is None else drawn.figure
