"""Sheets of synthesised images: every condition side by side, the same seed for every region, and the worst ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from brainalign.report.kit import JUDGES, SynthesisedImages, number
from brainalign.report.synthesis_sections.sheets import MOST_COLUMNS, Strip, contact_sheet

GALLERY = {
    "unguided": "unguided",
    "prompted": "its caption alone",
    "best of n": "best of n",
    "guided": "guided",
    "natural": "natural, top by guide",
}
FAILED_BY = {"check": "by check", "true": "by truth", "valid": "valid", "typical": "typical"}
N_WORST = 2  # images per region and judge
INVALID = " ✗"


def gallery(study: SynthesisedImages, region: str) -> Figure:
    """Draw a region's images of every condition, the first of each: none is picked by hand.

    Seeds are the columns of the conditions that share them (unguided, guided); best-of-n and natural images are in the
    order of the guiding encoder's prediction.
    """
    strips, seeds = [], list(study.rows("guided", region)["seed"][:MOST_COLUMNS])
    for condition, name in GALLERY.items():
        rows = study.rows(condition, region)
        if rows.empty:
            continue
        if condition in ("unguided", "prompted", "guided"):
            rows = rows.set_index("seed", drop=False).reindex(seeds).dropna(subset=["image"])
        else:
            rows = rows.sort_values("guide", ascending=False, kind="stable")
        strips.append(_strip(study, name, rows[:MOST_COLUMNS]))
    return contact_sheet(strips, [f"seed {seed}" for seed in seeds])


def minimal_pairs(study: SynthesisedImages, regions: Sequence[str]) -> Figure:
    """Draw what the same seed becomes unguided and guided for each region: whatever differs, guidance did."""
    seeds = list(study.rows("unguided", regions[0])["seed"][:MOST_COLUMNS])
    plain = study.rows("unguided", regions[0]).set_index("seed").reindex(seeds)
    strips = [Strip("unguided", [study.images[int(row)] for row in plain["image"]], [""] * len(seeds))]
    for region in regions:
        own = study.rows("guided", region).set_index("seed").reindex(seeds)
        before = study.rows("unguided", region).set_index("seed").reindex(seeds)
        notes = [
            " / ".join(_signed(own[judge][seed] - before[judge][seed]) for judge in study.judges) for seed in seeds
        ]
        strips.append(Strip(f"guided for {region}", [study.images[int(row)] for row in own["image"]], notes))
    return contact_sheet(strips, [f"seed {seed}" for seed in seeds])


def failures(study: SynthesisedImages, regions: Sequence[str]) -> Figure:
    """Draw the worst of each region: of the half the guiding encoder likes best, those another judge likes least."""
    judges = [judge for judge in FAILED_BY if study.known(judge)]
    strips = []
    for region in regions:
        rows = study.rows("guided", region)
        liked = rows[rows["guide"] >= rows["guide"].median()]
        worst = [liked.nsmallest(N_WORST, judge) if study.known(judge, region) else liked[:0] for judge in judges]
        found = [_strip(study, region, rows) for rows in worst]
        blanks = [N_WORST - len(strip.images) for strip in found]
        images = [image for strip, n in zip(found, blanks, strict=True) for image in (*strip.images, *[None] * n)]
        notes = [note for strip, n in zip(found, blanks, strict=True) for note in (*strip.notes, *[""] * n)]
        strips.append(Strip(region, images, notes))
    columns = [f"least {FAILED_BY[judge]}" for judge in judges for _ in range(N_WORST)]
    return contact_sheet(strips, columns)


def _strip(study: SynthesisedImages, name: str, rows: pd.DataFrame) -> Strip:
    notes = [_note(study, row) for _, row in rows.iterrows()]
    return Strip(name, [study.images[int(row)] for row in rows["image"]], notes)


def _note(study: SynthesisedImages, row: pd.Series[Any]) -> str:
    """Write the scores of an image by every judge, in the order of JUDGES, and whether it shows nothing valid."""
    said = " / ".join(_tenths(row[judge]) for judge in JUDGES if study.known(judge))
    return said + (INVALID if study.known("valid") and row["valid"] < 0.5 else "")


def _signed(value: float) -> str:
    return f"{'+' if value >= 0.05 else ''}{_tenths(value)}"


def _tenths(value: float) -> str:
    return number(round(value, 1) + 0.0, 1)  # -0.04 is 0, not -0
