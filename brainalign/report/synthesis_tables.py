"""Tables of synthesis: gains of guided images over every control, and the means of every condition."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from brainalign.report.sentences import number
from brainalign.report.synthesised import JUDGES, PLAUSIBLE, SynthesisedImages
from brainalign.report.tables import html_table

__all__ = ["gains_table", "means_table"]

AGAINST = {
    "unguided": "unguided",
    "recurrent": "unguided, same recurrence",
    "best of n": "best of n",
    "evolved": "evolved",
    "natural": "natural by guide",
    "natural true": "natural by truth",
    "null": "null encoders",
}
GAINS = [*(("guided", against) for against in AGAINST), ("matched", "unguided"), ("matched", "null")]
CONDITIONS = ("unguided", "recurrent", "best of n", "evolved", "guided", "matched", "natural", "natural true", "null")
OTHERS = {"guided": "guided", "matched": "guided, contrast and luminance matched"}


def gains_table(study: SynthesisedImages) -> Markup:
    """Return what guided images have more than every control, by every judge."""
    scores = [*study.judges, *study.plausible]
    rows: list[list[str | Markup]] = []
    for region in study.regions:
        for condition, against in GAINS:
            found = [study.gain(region, against, score, condition) for score in scores]
            if any(gain is not None for gain in found):
                first = not rows or all(row[0] != region for row in rows)
                matched = ", images matched" if condition == "matched" else ""
                rows.append([region if first else "", f"{AGAINST[against]}{matched}", *map(_cell, found)])
    header = ["region", "guided against", *((JUDGES | PLAUSIBLE)[score] for score in scores)]
    return html_table(header, rows, "Gains")


def _cell(gain: pd.Series[Any] | None) -> str | Markup:
    if gain is None:
        return "–"
    interval = f"{number(gain['low'], 2)} to {number(gain['high'], 2)}"
    text = Markup('<b>{}</b><br><span class="soft">{}<br>p {}</span>')
    return text.format(number(gain["gain"], 2), interval, _p(gain["p"]))


def _p(p: float) -> str:
    return "–" if pd.isna(p) else "< .001" if p < 0.001 else f"= {number(p)}"


def means_table(study: SynthesisedImages) -> Markup:
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
