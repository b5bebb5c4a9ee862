"""The page over all subjects of whom runs or stimuli were left out: what tells stimuli apart in whom, and maps."""

import pandas as pd

from brainalign.report import kit
from brainalign.report.encoding_sections import group_regions, region_rows
from brainalign.report.pages.answers import answer_of_group
from brainalign.report.pages.group import best_in_subjects, failed_chapter, group_figure, group_of
from brainalign.report.pages.group_maps import group_maps, mapped_findings

QUANTITIES = ("identification", "pair matching", "classification")


def gather_group_of_blocks(shelf: kit.Shelf) -> kit.StudyMaterial | None:
    """Gather the summaries of the subjects that are whole, and the maps over all; None on any other page."""
    if shelf.page.subject or shelf.page.descriptor.holds_out or shelf.each("groupscores"):
        return None
    material = shelf.material(kit.StudyMaterial)
    if not material.failures:
        material.tables |= shelf.tables(["grouptargets", "groupmaps"])
    summaries = {name: shelf.fetch("summary", pd.DataFrame, subject=name) for name in shelf.whole}
    if parts := [table.assign(subject=name) for name, table in summaries.items() if table is not None]:
        material.tables["summary"] = pd.concat(parts, ignore_index=True)
    profiles = [
        region_rows(material, fit, profile).assign(subject=name)
        for name in shelf.whole
        for fit in material.config.fits_of(material.dataset, name)
        if (profile := shelf.fetch("profile", pd.DataFrame, subject=name, model=fit[0], method=fit[1])) is not None
    ]
    material.tables["profile"] = pd.concat(profiles or [pd.DataFrame()], ignore_index=True)
    return material


def group_of_blocks_chapter(material: kit.StudyMaterial) -> kit.Chapter:
    """Tell of every model in every subject, and where models predict all of those in one space."""
    n = len(material.descriptor.recordings)
    if "summary" not in material.tables:
        return failed_chapter(n)
    told = _told(material)
    modelled = told[told["kind"] != "classifier"]
    controls = list(told.loc[told["kind"] == "control", "model"].unique())
    figure = group_figure(told, list(modelled["model"].unique()), controls)
    panel = kit.captioned("groupblocks", "Stimuli told apart", figure, told, confidence=material.config.confidence)
    words = {
        "question": "Do models tell the stimuli apart in everybody?",
        "measure": str(told["quantity"].iloc[0]),
        "beside": "which suffices where every stimulus is trained on",
    }
    return kit.Chapter(
        group_of(n),
        [
            kit.Section("prediction", "Models in every subject", [panel], [best_in_subjects(modelled, controls)]),
            *group_regions(material),
            *group_maps(material),
        ],
        [*mapped_findings(material), *material.descriptor.notes],
        answer=answer_of_group(modelled, controls, n, n_permutations=modelled["n_null"].max(), **words),
        summary=told,
    )


def _told(material: kit.StudyMaterial) -> pd.DataFrame:
    """Return a row per quantity and split, subject, and fit or classifier; of several layers the row over all."""
    rows = material.tables["summary"]
    rows = rows[rows["quantity"].isin(QUANTITIES)]
    keys = ["subject", "model", "method", "split", "quantity"]
    pooled = rows.assign(pooled=rows["layer"] == "all").groupby(keys)["pooled"].transform("any")
    rows = rows[(rows["layer"] == "all") | ~pooled]
    kinds = dict.fromkeys(material.uninformed, "control") | {"none": "classifier"}
    labels = [
        material.fit_label(model, method) if model != "none" else f"{method} classifier"
        for model, method in zip(rows["model"], rows["method"], strict=True)
    ]
    return rows.assign(
        quantity=rows["quantity"] + ", " + rows["split"], kind=rows["model"].map(kinds).fillna("model"), model=labels
    )
