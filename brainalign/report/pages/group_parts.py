"""The sections of the group page of a study of images: a figure per modality, and what a simulation planted."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from brainalign.report.kit import CAPTIONS, Panel, Section, html_table, number
from brainalign.report.pages.group import group_figure

MIN_AREAS = 3  # fewer have no rank correlation


def group_sections(
    scores: pd.DataFrame, recovery: pd.DataFrame, shared: pd.DataFrame, controls: Sequence[str], confidence: float
) -> list[Section]:
    """Return the sections of the group page.

    Parameters
    ----------
    scores : DataFrame
        A row per quantity, modality, subject and model: value, low, high, n.
    recovery : DataFrame
        What was planted and found, with subject and modality; no rows for measured data.
    shared : DataFrame
        Leave-one-subject-out ceilings: subjects, group, subject, lower, upper, n_targets, n_images; or no rows.
    controls : sequence of str
        Models with random weights.
    confidence : float
    """
    models = list(pd.unique(scores["model"]))
    sections = []
    for modality, rows in scores.groupby("modality", sort=False):
        figure = group_figure(rows, models, controls)
        caption = CAPTIONS["group"].format(confidence=confidence)
        panel = Panel(f"group{modality}", f"Models in every subject, {modality}", caption, figure, rows)
        sections.append(Section(f"modality{modality}", str(modality), [panel]))
    if len(shared):
        sections.append(_shared(shared))
    if len(recovery):
        sections.append(_recovered(recovery))
    return sections


def _shared(table: pd.DataFrame) -> Section:
    """Return the ceilings across subjects, a row per region: what a model of nothing but what they share can reach."""
    rows = []
    for (subjects, group), part in table.groupby(["subjects", "group"], sort=False):
        low, high = number(part["lower"].mean()), number(part["upper"].mean())
        rows.append([str(group), str(subjects), f"{low} to {high}", f"{part['n_targets'].iloc[0]:,}"])
    text = (
        f"Signed r² of each subject's responses to the {int(table['n_images'].iloc[0])} test images all saw with the "
        "mean of the other subjects (lower end) and of all subjects (upper end), averaged over targets and subjects, "
        "target by target. Near 0: the subjects' patterns differ from target to target, and only a model fitted to "
        "each subject can predict them."
    )
    header = ["region", "subjects", "ceiling across subjects", "targets"]
    block = html_table(header, rows, "Ceiling across subjects")
    return Section("shared", "What subjects share", paragraphs=[text], blocks=[block])


def _recovered(recovery: pd.DataFrame) -> Section:
    """Return a table of how much of what was planted came back, per subject."""
    rows = []
    for subject, mine in recovery.groupby("subject", sort=True):
        modality = mine["modality"].iloc[0]
        for model, layers in mine[mine["what"] == "layer"].groupby("model", sort=False):
            decided = layers[layers["decided"].astype(bool)]
            depths = decided[["planted_depth", "recovered_depth"]].astype(float)
            exact = int((decided["planted_layer"] == decided["recovered_layer"]).sum())
            found = "no rank correlation: constant depths"
            if len(decided) < MIN_AREAS:
                found = f"no rank correlation: {len(decided)} decided area(s)"
            elif (depths.nunique() > 1).all():
                rho = float(depths.corr("spearman").to_numpy()[0, 1])
                found = f"Spearman of depths {rho:.2f}"
            if set(layers["planted_layer"]) & set(layers["recovered_layer"]):
                found += f"; {exact} of {len(decided)} layers exact"
            rows.append(
                [str(subject), modality, f"layers with {model}", f"{found}; {len(layers) - len(decided)} undecided"]
            )
        for model, peaks in mine[mine["what"] == "latency"].groupby("model", sort=False):
            decided = peaks[peaks["decided"].astype(bool)]
            error = (decided["recovered_ms"] - decided["planted_ms"]).abs().max()
            found = f"largest error {error:.0f} ms in {len(decided)} decided of {len(peaks)}"
            if decided.empty:
                found = f"none of {len(peaks)} latencies is decided"
            rows.append([str(subject), modality, f"latencies with {model}", found])
        selective = mine[mine["what"] == "preference"]
        if len(selective):
            decided = selective[selective["decided"].astype(bool)]
            exact = int((decided["planted_preference"] == decided["recovered_preference"]).sum())
            found = f"{exact} of {len(decided)} exact; {len(selective) - len(decided)} undecided"
            rows.append([str(subject), modality, "preferences of areas", found])
        ceilings = mine[mine["what"] == "ceiling"].reindex(columns=["planted", "ceiling"]).dropna()
        if ceilings.empty:
            continue
        gaps = ceilings.groupby(ceilings["planted"].round(2))[["planted", "ceiling"]].mean()
        error = (gaps["ceiling"] - gaps["planted"]).abs().max()
        rows.append([str(subject), modality, "ceilings", f"largest |mean − planted| of a level {error:.3f}"])
    table = html_table(["subject", "modality", "what", "recovered"], rows, "Planted against recovered")
    return Section("recovery", "Planted against recovered", blocks=[table])
