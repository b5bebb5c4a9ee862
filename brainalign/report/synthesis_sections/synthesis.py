"""Images a region would prefer: what guidance gained, who agrees, and what else would have done as well."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from brainalign.report import kit
from brainalign.report.synthesis_sections import sheets
from brainalign.report.synthesis_sections.synthesis_words import (
    caveats,
    contests,
    matched_sentence,
    specific_sentence,
    verdict,
    warning,
)

TITLE = "Images a region would prefer"
MOST_DRAWN = 6  # of galleries, curves and rows of a sheet: a page holds 30 figures
GALLERIES = 2  # of a figure: photographs of more would lose detail in its 200 kB


def synthesis_section(material: kit.ImageMaterial) -> kit.Section | None:
    """Return the section on synthesised images; None where none were made."""
    study = material.synthesised
    if study is None or not study.regions:
        return None
    panels = _panels(study, material.config.confidence)
    return kit.Section("synthesis", TITLE, panels, synthesis_text(study), synthesis_blocks(study))


def synthesis_text(study: kit.SynthesisedImages) -> list[str]:
    """State the claims that a study allows, region by region, and the caveats."""
    texts = [*caveats(study), *(verdict(study, region) for region in study.regions)]
    texts += [specific_sentence(study), *contests(study), matched_sentence(study)]
    if len(study.regions) > MOST_DRAWN:
        texts.append(
            f"Images and curves of {MOST_DRAWN} of {len(study.regions)} regions are drawn, those the guiding encoder "
            "predicts best; all stand in the tables."
        )
    return [text for text in texts if text]


def synthesis_blocks(study: kit.SynthesisedImages) -> list[Markup]:
    """Return warnings where there are some, and how good the encoders are."""
    blocks, found = [], [text for text in (warning(study, region) for region in study.regions) if text]
    if found:
        items = Markup("").join(Markup("<p>{}</p>").format(text) for text in found)
        title = (
            f"Warning: in {len(found)} of {len(study.regions)} regions the guiding encoder rises and another judge "
            "does not follow."
        )
        blocks = [Markup('<div class="check found"><b>{}</b>{}</div>').format(title, items)]
    return [*blocks, *_encoders(study)]


def _panels(study: kit.SynthesisedImages, confidence: float) -> list[kit.Panel]:
    # Of many regions those are drawn that the guiding encoder predicts best.
    ranked = sorted(study.regions, key=lambda region: -np.nan_to_num(study.encoder_r(region), nan=-1.0))
    shown = [region for region in study.regions if region in ranked[:MOST_DRAWN]]
    words: dict[str, Any] = {"scores": " / ".join(kit.JUDGES[judge] for judge in study.judges)}
    words["invalid"] = " ✗: no valid image of this world." if study.known("valid") else ""
    words["contrasts"] = " (of one region against another: a difference of these)" if study.contrasts else ""
    words["confidence"] = f"{confidence:.0%}"
    words |= {"n": str(len(study.rows("guided", shown[0]))), "n_nulls": study.n_nulls}
    words["least"] = kit.number(1 / (study.n_nulls + 1))
    panel = partial(kit.captioned, **words)
    conditions = set(study.table["condition"])
    own = study.table[study.table["scored"] == study.table["region"]]
    panels = []
    for k in range(0, len(shown), GALLERIES):
        regions = shown[k : k + GALLERIES]
        drawn = [
            panel("gallery", f"Images for {region}", sheets.gallery(study, region), id=f"gallery{k + place}")
            for place, region in enumerate(regions)
        ]
        panels += kit.together(f"galleries{k}", f"Images for {' and '.join(regions)}", drawn)
    responses, amounts = [], []
    if "unguided" in conditions:
        panels.append(panel("pairs", "The same seeds, guided for each region", sheets.minimal_pairs(study, shown)))
        responses.append(panel("specificity", "Whose response rises", sheets.specificity(study), study.gains))
    tables = [
        panel("gains", "Gains over every control", None, study.gains, html=gains_table(study)),
        panel("means", "Means of every condition", None, html=means_table(study)),
    ]
    if "null" in conditions and "unguided" in conditions:
        numbers = study.table[study.table["condition"] == "null"].groupby(["null", "scored"])[study.judges].mean()
        responses.append(panel("nulls", "Encoders of shuffled responses", sheets.nulls(study), numbers.reset_index()))
    if "sweep" in conditions:
        swept = own[own["condition"] == "sweep"]
        numbers = swept.groupby(["region", "scale"], sort=False)[[*study.judges, *study.plausible]].mean().reset_index()
        amounts.append(panel("sweep", "Scale of guidance", sheets.scale_sweep(study, shown), numbers))
    if len(study.steps):
        amounts.append(panel("trace", "From noise to image", sheets.step_trace(study, shown), study.steps))
    return [
        *panels,
        *kit.together("responses", "Whose response rises, and by chance", responses),
        *kit.together("gains", "Gains and means", tables),
        *kit.together("amounts", "Scale of guidance, and its steps", amounts),
        panel("failures", "The worst images", sheets.failures(study, shown)),
    ]


def _encoders(study: kit.SynthesisedImages) -> list[Markup]:
    """Tabulate the r of both encoders on held-out images: a poor one guides to nothing."""
    r: Mapping[str, Any] = study.guides.get("r", {})
    if not {"guide", "check"} <= set(r):
        return []
    columns = {
        "guiding encoder": r["guide"]["prior"],
        "checking encoder": r["check"]["prior"],
        "guiding, images in full size": r["guide"]["full"],
        "checking, images in full size": r["check"]["full"],
        "null encoders": r.get("null", {}).get("prior", {}),
    }
    rows = [
        [region, *(kit.number(of.get(region, float("nan"))) for of in columns.values())]
        for region in r["guide"]["prior"]
    ]
    title = "r of the mean response of a region, images that no encoder was fitted to, at the size of synthesised ones"
    return [kit.html_table(["region", *columns], rows, title) + Markup('<p class="soft">{}.</p>').format(title)]


# Condition of the images, control, and how the column is called.
CONTROLS = (
    ("guided", "unguided", "unguided"),
    ("guided", "recurrent", "same recurrence"),
    ("guided", "prompted", "its caption alone"),
    ("guided", "best of n", "best of n"),
    ("guided", "evolved", "evolved"),
    ("guided", "natural", "natural"),
    ("guided", "null", "null encoders"),
    ("matched", "unguided", "matched: unguided"),
)
CONDITIONS = {
    "unguided": "unguided",
    "recurrent": "unguided, same recurrence",
    "prompted": "prompted by a caption, not guided",
    "best of n": "best of n",
    "evolved": "evolved",
    "guided": "guided",
    "matched": "guided, contrast and luminance matched",
    "natural": "natural by guide",
    "natural true": "natural by truth",
    "null": "null encoders",
}


def gains_table(study: kit.SynthesisedImages) -> Markup:
    """Tabulate the gains of guided images over every control (columns), by every judge of every region (rows)."""
    rows: list[list[str | Markup]] = []
    there = set(zip(study.gains["condition"], study.gains["against"], strict=True))
    controls = [control for control in CONTROLS if control[:2] in there]
    for region in study.regions:
        scores = [score for score in (*study.judges, *study.plausible) if study.known(score, region)]
        for score in scores:
            found = [study.gain(region, against, score, condition) for condition, against, _ in controls]
            rows.append([region if score == scores[0] else "", (kit.JUDGES | kit.PLAUSIBLE)[score], *map(_cell, found)])
    return kit.html_table(["region", "judge", *(name for _, _, name in controls)], rows, "Gains")


def _cell(gain: "pd.Series[Any] | None") -> str | Markup:
    if gain is None:
        return "–"
    interval = f"{kit.number(gain['low'], 2)} to {kit.number(gain['high'], 2)}"
    text = Markup('<b>{}</b> <span class="soft">p {}<br>{}</span>')
    return text.format(kit.number(gain["gain"], 2), kit.p_equals(gain["p"]), interval)


def means_table(study: kit.SynthesisedImages) -> Markup:
    """Return the means of every condition, contrast and luminance with them."""
    scores = [*study.judges, *study.plausible, "contrast", "luminance"]
    rows = []
    for region in study.regions:
        for condition, name in CONDITIONS.items():
            mine = study.rows(condition, region)
            if len(mine):
                means = [kit.number(float(mine[score].mean()), 2) for score in scores]
                rows.append([region, name, f"{len(mine):,}", *means])
            if condition == "guided" and len(kept := study.kept(region)) < len(mine):
                means = [kit.number(float(kept[score].mean()), 2) for score in scores]
                rows.append([region, "guided, best by guide", f"{len(kept):,}", *means])
    header = ["region", "images", "n", *((kit.JUDGES | kit.PLAUSIBLE).get(score, score) for score in scores)]
    table = kit.html_table(header, rows, "Means of every condition")
    return kit.folded("Means of every condition, with contrast and luminance", table)
