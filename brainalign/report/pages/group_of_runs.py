"""The page over all subjects for whom a stimulus went on: their scores side by side, and maps over those in a space."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from brainalign.report.kit import LEVEL, Chapter, Panel, Section, Shelf, StudyMaterial, captioned, number, place_map
from brainalign.report.pages.answers import answer_of_group
from brainalign.report.pages.continuous import EVERYWHERE
from brainalign.report.pages.group import group_figure, group_of
from brainalign.statistics import RELIABLE

CAPTIONS = {
    "grouprunscores": """
        r in runs left out of every model in every subject, mean over the targets of a region, with 95 % intervals over
        the runs of that subject, which say nothing of other subjects. Good: the same order of models in everybody.
        Bad: one subject alone carries it, or a control (grey) is as good.""",
    "grouprunmap": """
        Mean over {n} subjects of {what}, at the targets that all of them have. {tested} {where}""",
}
_panel = partial(captioned, captions=CAPTIONS)


def gather_group_of_runs(shelf: Shelf) -> StudyMaterial | None:
    """Gather the scores of all subjects and the maps over them; None on a page of one."""
    if shelf.page.subject:
        return None
    return shelf.study(["groupscores", "grouptargets", "groupmaps"])


def group_of_runs_chapter(material: StudyMaterial) -> Chapter:
    """Tell of every model in every subject, and where models predict all of those in one space."""
    kind, tables = group_of(len(material.descriptor.recordings)), material.tables
    if not tables:
        return Chapter(kind)
    scores = tables["groupscores"]
    told = scores[(scores["kind"] != "layer") & (scores["test_set"] == "")].rename(columns={"r": "value"})
    told = told.assign(quantity=told["region"]).drop(columns="ceiling")
    controls = [*material.uninformed, *told.loc[told["kind"] == "control", "model"].unique()]
    figure = group_figure(told, list(told["model"].unique()), controls)
    sections = [
        Section("prediction", "Models in every subject", [_panel("grouprunscores", "r by region", figure, told)])
    ]
    if maps := _maps(material):
        sections.append(Section("groupmaps", "Maps over subjects", maps))
    first = told[told["region"].isin((RELIABLE, EVERYWHERE)) & (told["kind"] != "joint")]
    answer = answer_of_group(first, controls, first["subject"].nunique())
    return Chapter(kind, sections, _findings(tables["groupmaps"], material), answer=answer, summary=told)


def _maps(material: StudyMaterial) -> list[Panel]:
    targets, maps, panels = material.tables["grouptargets"], material.tables["groupmaps"], []
    told = maps[~maps["model"].isin(material.uninformed)]
    for (quantity, model), rows in told.groupby(["quantity", "model"], sort=False) if len(told) else ():
        values = targets[["target_id"]].merge(rows, how="left")
        what = f"r of {model}" if quantity == "r" else f"unique R² of {model}"
        top = max(float(values["mean"].abs().max()), 1e-3)
        certain = (values["p_fwer"] < LEVEL).to_numpy()
        drawn = place_map(targets, values["mean"].to_numpy(), label=f"mean {what}", vmax=top, outline=certain)
        if drawn is None:
            return []
        tested = (
            f"Outlined, where the kind of map has outlines: p < .05 over subjects, corrected for all targets "
            f"({int(certain.sum()):,} of {len(certain):,})."
            if rows["p_fwer"].notna().any()
            else "Five subjects or more would be tested; this is a description."
        )
        options: dict[str, Any] = {"id": f"groupmap-{quantity}-{model}".replace(" ", "-"), "what": what}
        options["n"] = int(rows["n_subjects"].iloc[0])
        panels.append(_panel("grouprunmap", what, drawn.figure, rows, tested=tested, where=drawn.where, **options))
    return panels


def _findings(maps: pd.DataFrame, material: StudyMaterial) -> list[str]:
    """Write what holds over subjects as sentences that follow from the numbers alone."""
    found = []
    for model, rows in maps[maps["quantity"] == "r"].groupby("model", sort=False) if len(maps) else ():
        n, mean = int(rows["n_subjects"].iloc[0]), number(float(np.nanmean(rows["mean"])))
        where = (
            f"{int((rows['p_fwer'] < LEVEL).sum()):,} of {len(rows):,} shared targets are predicted over subjects "
            "(p < .05, sign flips, corrected for all targets)"
            if rows["p_fwer"].notna().any()
            else "too few subjects for a test over subjects"
        )
        found.append(f"{model}: mean r {mean} over {n} subjects in one space; {where}.")
    return [*found, *material.descriptor.notes]
