"""Maps over subjects who share a space: what models predict in all of them, and where."""

from __future__ import annotations

from typing import Any

import numpy as np

from brainalign.report import kit
from brainalign.statistics import SHARING


def group_maps(material: kit.StudyMaterial) -> list[kit.Section]:
    """Draw the maps over subjects in one space; nothing where there are none."""
    if not len(material.tables.get("groupmaps", ())):  # nobody's space is another's
        return []
    targets, maps, panels = material.tables["grouptargets"], material.tables["groupmaps"], []
    told = maps[~maps["model"].astype(str).str.partition(" (")[0].isin(material.uninformed)]  # a method in brackets
    for (quantity, model), rows in told.groupby(["quantity", "model"], sort=False):
        values = targets[["target_id"]].merge(rows, how="left")
        alone = f"R² common to {model}" if SHARING in str(model) else f"unique R² of {model}"
        what = f"r of {model}" if quantity == "r" else alone
        top = max(float(values["mean"].abs().max()), 1e-3)
        certain = (values["p_fwer"] < kit.LEVEL).to_numpy()
        drawn = kit.place_map(targets, values["mean"].to_numpy(), label=f"mean {what}", vmax=top, outline=certain)
        if drawn is None:
            return []
        tested = (
            f"Outlined, where the kind of map has outlines: p < .05 over subjects and stimuli, corrected for all "
            f"targets ({int(certain.sum()):,} of {len(certain):,})."
            if rows["p_fwer"].notna().any()
            else "Five subjects or more, with p in each, would be tested; this is a description."
        )
        place = f"groupmap-{quantity}-{model}".replace(SHARING, "-").replace(" ", "-")
        options: dict[str, Any] = {"id": place, "what": what, "n": int(rows["n_subjects"].iloc[0])}
        options |= {"where": drawn.where, "html": drawn.slices}
        panels.append(kit.captioned("groupmap", what, drawn.figure, rows, tested=tested, **options))
    return [kit.Section("maps", "Maps over subjects", panels, mapped_findings(material)[:1])] if panels else []


def mapped_findings(material: kit.StudyMaterial) -> list[str]:
    """Write what holds over subjects in one space as sentences that follow from the numbers alone."""
    if not len(material.tables.get("groupmaps", ())):
        return []
    found, maps = [], material.tables["groupmaps"]
    for model, rows in maps[maps["quantity"] == "r"].groupby("model", sort=False):
        n, mean = int(rows["n_subjects"].iloc[0]), kit.number(float(np.nanmean(rows["mean"])))
        where = (
            f"{int((rows['p_fwer'] < kit.LEVEL).sum()):,} of {len(rows):,} shared targets are predicted over subjects "
            "and stimuli (p < .05, sign flips and p within subjects, corrected for all targets)"
            if rows["p_fwer"].notna().any()
            else "too few subjects, or no p in each, for a test over subjects"
        )
        found.append(f"{model}: mean r {mean} over {len(rows):,} targets and over {n} subjects in one space; {where}.")
    return found
