"""Tables of synthesis: gains of guided images over every control, and the means of every condition."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from brainalign.report.kit import JUDGES, PLAUSIBLE, SynthesisedImages, html_table, number, p_equals

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


def gains_table(study: SynthesisedImages) -> Markup:
    """Tabulate the gains of guided images over every control (columns), by every judge of every region (rows)."""
    rows: list[list[str | Markup]] = []
    made = study.gains[["condition", "against"]].drop_duplicates().itertuples(index=False)
    there = {tuple(pair) for pair in made}
    controls = [control for control in CONTROLS if control[:2] in there]
    for region in study.regions:
        scores = [score for score in (*study.judges, *study.plausible) if study.known(score, region)]
        for score in scores:
            found = [study.gain(region, against, score, condition) for condition, against, _ in controls]
            rows.append([region if score == scores[0] else "", (JUDGES | PLAUSIBLE)[score], *map(_cell, found)])
    return html_table(["region", "judge", *(name for _, _, name in controls)], rows, "Gains")


def _cell(gain: pd.Series[Any] | None) -> str | Markup:
    if gain is None:
        return "–"
    interval = f"{number(gain['low'], 2)} to {number(gain['high'], 2)}"
    text = Markup('<b>{}</b> <span class="soft">p {}<br>{}</span>')
    return text.format(number(gain["gain"], 2), p_equals(gain["p"]), interval)


def means_table(study: SynthesisedImages) -> Markup:
    """Return the means of every condition, contrast and luminance with them."""
    scores = [*study.judges, *study.plausible, "contrast", "luminance"]
    rows = []
    for region in study.regions:
        for condition, name in CONDITIONS.items():
            mine = study.rows(condition, region)
            if len(mine):
                means = [number(float(mine[score].mean()), 2) for score in scores]
                rows.append([region, name, f"{len(mine):,}", *means])
            if condition == "guided" and len(kept := study.kept(region)) < len(mine):
                means = [number(float(kept[score].mean()), 2) for score in scores]
                rows.append([region, "guided, best by guide", f"{len(kept):,}", *means])
    header = ["region", "images", "n", *((JUDGES | PLAUSIBLE).get(score, score) for score in scores)]
    table = html_table(header, rows, "Means of every condition")
    return Markup(
        "<details><summary>Means of every condition, with contrast and luminance</summary>{}</details>"
    ).format(table)
