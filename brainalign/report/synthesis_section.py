"""Images a region would prefer: what guidance gained, who agrees, and what else would have done as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from brainalign.report.image_material import ImageMaterial
from brainalign.report.page import Panel, Section
from brainalign.report.sentences import number
from brainalign.report.synthesis_captions import SYNTHESIS_CAPTIONS
from brainalign.report.synthesis_figures import nulls, scale_sweep, specificity, step_trace
from brainalign.report.synthesis_images import failures, gallery, minimal_pairs
from brainalign.report.synthesis_words import (
    caveats,
    contests,
    matched_sentence,
    specific_sentence,
    verdict,
    warning,
)
from brainalign.report.synthesised import JUDGES, PLAUSIBLE, SynthesisedImages
from brainalign.report.tables import html_table

__all__ = ["MOST_REGIONS", "synthesis_section"]

MOST_REGIONS = 6  # of galleries, curves and rows of a sheet: a page holds 30 figures
AGAINST = {
    "unguided": "unguided, same seeds",
    "recurrent": "unguided, same recurrence",
    "best of n": "best of n",
    "evolved": "evolved in noise space",
    "natural": "natural, top by guide",
    "natural true": "natural, top by truth",
    "null": "encoders of shuffled responses",
}
CONDITIONS = ("unguided", "recurrent", "best of n", "evolved", "guided", "matched", "natural", "natural true", "null")
OTHERS = {"guided": "guided", "matched": "guided, contrast and luminance matched"}


def synthesis_section(material: ImageMaterial) -> Section | None:
    """Return the section on synthesised images; None where none were made."""
    study = material.synthesised
    if study is None or not study.regions:
        return None
    shown = study.regions[:MOST_REGIONS]
    paragraphs = [*caveats(study), *(verdict(study, region) for region in study.regions)]
    paragraphs += [specific_sentence(study), *contests(study), matched_sentence(study)]
    if len(study.regions) > len(shown):
        paragraphs.append(
            f"Images and curves of the first {len(shown)} of {len(study.regions)} regions are drawn; all stand in the "
            "tables."
        )
    blocks = [*_warnings(study), *_encoders(study), _gains(study, material.config.confidence), _means(study)]
    return Section(
        "synthesis", "Images a region would prefer", _panels(study, shown), list(filter(None, paragraphs)), blocks
    )


def _panels(study: SynthesisedImages, shown: list[str]) -> list[Panel]:
    words = {"scores": " / ".join(JUDGES[judge] for judge in study.judges)}
    words["invalid"] = " ✗: no valid image of this world." if study.known("valid") else ""
    words["n"] = str(len(study.rows("guided", shown[0])))
    captions = {name: " ".join(text.format(**words).split()) for name, text in SYNTHESIS_CAPTIONS.items()}
    conditions = set(study.table["condition"])
    own = study.table[study.table["scored"] == study.table["region"]]
    panels = [
        Panel(f"gallery{k}", f"Images for {region}", captions["gallery"], gallery(study, region))
        for k, region in enumerate(shown)
    ]
    if "unguided" in conditions:
        panels.append(
            Panel("pairs", "The same seeds, guided for each region", captions["pairs"], minimal_pairs(study, shown))
        )
        panels.append(
            Panel("specificity", "Whose response rises", captions["specificity"], specificity(study), study.gains)
        )
    if "null" in conditions and "unguided" in conditions:
        caption = f"{captions['nulls']} {_resolution(study)}"
        numbers = study.table[study.table["condition"] == "null"].groupby(["null", "scored"])[study.judges].mean()
        panels.append(Panel("nulls", "Encoders of shuffled responses", caption, nulls(study), numbers.reset_index()))
    if "sweep" in conditions:
        swept = own[own["condition"] == "sweep"]
        numbers = swept.groupby(["region", "scale"], sort=False)[[*study.judges, *study.plausible]].mean().reset_index()
        panels.append(Panel("sweep", "Scale of guidance", captions["sweep"], scale_sweep(study, shown), numbers))
    if len(study.steps):
        panels.append(Panel("trace", "From noise to image", captions["trace"], step_trace(study, shown), study.steps))
    panels.append(Panel("failures", "The worst images", captions["failures"], failures(study, shown)))
    return panels


def _resolution(study: SynthesisedImages) -> str:
    """Return what the number of null encoders allows."""
    m = study.n_nulls
    return (
        f"With {m} encoders p cannot fall below {number(1 / (m + 1))}; it is not corrected for the number of regions."
    )


def _warnings(study: SynthesisedImages) -> list[Markup]:
    found = [text for text in (warning(study, region) for region in study.regions) if text]
    if not found:
        return []
    items = Markup("").join(Markup("<p>{}</p>").format(text) for text in found)
    title = (
        f"Warning: in {len(found)} of {len(study.regions)} regions the guiding encoder rises and another judge does "
        "not follow."
    )
    return [Markup('<div class="check found"><b>{}</b>{}</div>').format(title, items)]


def _encoders(study: SynthesisedImages) -> list[Markup]:
    """Return how well both encoders predict held-out images: a poor one guides to nothing."""
    sides: Mapping[str, Any] = {side: study.guides.get(side, {}).get("r", {}) for side in ("guide", "check")}
    if not all(sides.values()):
        return []
    rows = [[region, *(number(sides[side].get(region, float("nan"))) for side in sides)] for region in study.regions]
    title = "Held-out r of the region's mean response"
    return [html_table(["region", "guiding encoder", "checking encoder"], rows, title)]


def _gains(study: SynthesisedImages, confidence: float) -> Markup:
    """Return what guided images have more than every control, by every judge."""
    scores = [*study.judges, *study.plausible]
    rows = []
    for region in study.regions:
        for condition, name in OTHERS.items():
            for against, control in AGAINST.items():
                if condition == "matched" and against not in ("unguided", "null"):
                    continue
                found = [study.gain(region, against, score, condition) for score in scores]
                if any(gain is not None for gain in found):
                    rows.append([region, name, control, *map(_cell, found)])
    header = ["region", "images", "against", *((JUDGES | PLAUSIBLE)[score] for score in scores)]
    note = (
        f"Gains in standard deviations over natural images (validity and typicality: shares), {confidence:.0%} "
        "intervals over images, p not corrected. Against encoders of shuffled responses: over their mean, the interval "
        "is that of single ones."
    )
    return html_table(header, rows, "Gains") + Markup('<p class="soft">{}</p>').format(note)


def _cell(gain: pd.Series[Any] | None) -> str:
    if gain is None:
        return "–"
    return f"{number(gain['gain'], 2)} ({number(gain['low'], 2)} to {number(gain['high'], 2)}; p {_p(gain['p'])})"


def _p(p: float) -> str:
    return "–" if pd.isna(p) else "< .001" if p < 0.001 else f"= {number(p)}"


def _means(study: SynthesisedImages) -> Markup:
    """Return the means of every condition, contrast and luminance with them."""
    scores = [*study.judges, *study.plausible, "contrast", "luminance"]
    names = {**AGAINST, **OTHERS}
    rows = []
    for region in study.regions:
        for condition in CONDITIONS:
            mine = study.rows(condition, region)
            if len(mine):
                means = [number(float(mine[score].mean()), 2) for score in scores]
                rows.append([region, names[condition], f"{len(mine):,}", *means])
    header = ["region", "images", "n", *((JUDGES | PLAUSIBLE).get(score, score) for score in scores)]
    table = html_table(header, rows, "Means of every condition")
    return Markup(
        "<details><summary>Means of every condition, with contrast and luminance</summary>{}</details>"
    ).format(table)
