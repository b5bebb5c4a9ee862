"""The page over all subjects who saw images: every model in every subject, what they share, what was planted."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from brainalign.report import geometry_sections, kit
from brainalign.report.encoding_sections import CONVERGENCE_TABLES, convergence_section, recovered_words
from brainalign.report.pages.answers import answer_of_group
from brainalign.report.pages.group_maps import group_maps, mapped_findings


def group_of(n: int) -> str:
    """Name the page of a group of subjects."""
    return f"Group of {n} subjects"


def gather_group(shelf: kit.Shelf) -> kit.StudyMaterial | None:
    """Gather the summaries of the subjects that are whole, and what is of all of them; None on a page of one."""
    if shelf.page.subject:
        return None
    material, study = shelf.material(kit.StudyMaterial), shelf.page.descriptor
    for suffix in ("summary", "differences", "recovery") if shelf.whole else ():
        parts = []
        for name in shelf.whole:
            table = shelf.fetch(suffix, pd.DataFrame, subject=name)
            assert table is not None  # this subject is whole
            parts.append(table.assign(subject=name, modality=_modality(study, name)))
        material.tables[suffix] = _labelled(material, pd.concat(parts, ignore_index=True))
    if not material.failures:  # else what is of all subjects may be missing, or of subjects that are gone
        for suffixes in (
            ["ceiling"],
            ["grouptargets", "groupmaps"],
            CONVERGENCE_TABLES,
            geometry_sections.IDENTIFICATION_TABLES,
            geometry_sections.MATCHING_TABLES,
        ):
            material.tables |= shelf.tables(suffixes)
    return material


def group_chapter(material: kit.StudyMaterial) -> kit.Chapter:
    """Tell of every model in every subject, and of what is of all of them."""
    config, study, tables = material.config, material.descriptor, material.tables
    if "summary" not in tables:
        return failed_chapter(len(study.recordings))
    controls = material.fit_labels(material.uninformed)
    summary = tables["summary"]
    known = (summary["quantity"] == "mean r") | ((summary["quantity"] == "r²/ceiling") & summary["value"].notna())
    scores = summary[summary["chosen"] & known]
    shared, failed = tables.get("ceiling", pd.DataFrame()), []
    if "regions" in tables:
        failed = geometry_sections.failed_identification(tables["regions"], material.details("regions"))
    alone = "groupmaps" not in tables and len(study.recordings) > 1
    notes = [
        *["No map over subjects: none share a space that the recordings name (space: MNI152)."] * alone,
        "Every score is of the layer that scores best inside the training stimuli (the first one where nothing is "
        "scored there, as with a single penalty; all layers where they are fitted jointly), over reliable targets. "
        "Intervals are over stimuli: they say nothing of other subjects.",
        *study.notes,
    ]
    sections = [
        *group_maps(material),
        *group_sections(scores, tables["recovery"], shared, controls, config.confidence),
        *_over_subjects(material),
    ]
    chapter = scores_chapter(scores, tables["differences"], sections, controls, notes, config.confidence, failed)
    chapter.findings = mapped_findings(material)
    return chapter


def scores_chapter(
    scores: pd.DataFrame,
    comparisons: pd.DataFrame | None = None,
    sections: Sequence[kit.Section] = (),
    controls: Sequence[str] = (),
    notes: Sequence[str] = (),
    confidence: float = 0.95,
    failed_controls: Sequence[kit.FailedControl] = (),
) -> kit.Chapter:
    """Tell of the scores of a group of subjects.

    Parameters
    ----------
    scores : DataFrame
        See `score_table`.
    comparisons : DataFrame, optional
        See `comparison_table`.
    sections : sequence of Section
        What follows the tables.
    controls : sequence of str
        Models that are controls.
    notes : sequence of str
        What the reader must know about the comparison.
    confidence : float
        Of the intervals in `scores`.
    failed_controls : sequence of FailedControl
        Besides controls that predict better than a trained network, which `comparisons` tell.
    """
    compared = comparisons is not None and len(comparisons) > 0
    table_note = f"In brackets: the {100 * confidence:.0f} % interval of each score. Bold: the largest of its subject "
    table_note += "and quantity" + "; whether it is better is said under Comparisons" * compared
    table_note += ". Grey: a control."
    n, n_models = scores["subject"].nunique(), scores["model"].nunique()
    said = f"{len(scores)} scores of {n_models} model{'s' * (n_models > 1)} in {n} subject{'s' * (n > 1)}."
    whole = [*sections, scores_section(kit.score_table(scores, controls), scores, [said, *notes], table_note)]
    if comparisons is not None and compared:
        n_called = sum(kit.better_model(row) != "tie" for row in comparisons.to_dict("records"))
        text = (
            f"{n_called} of {len(comparisons)} differences between models are called, the others are ties as far as "
            "these data can tell. Called: its interval leaves out 0, and p, corrected for all pairs, is below .05."
        )
        table = kit.folded("All comparisons", kit.comparison_table(comparisons))
        whole.append(kit.Section("comparisons", "Comparisons", paragraphs=[text], blocks=[table]))
    failed = [*failed_comparisons(comparisons, controls), *failed_controls]
    answer = answer_of_group(scores, controls, n, beside="what models know is beyond it")
    return kit.Chapter(group_of(n), whole, answer=answer, failed_controls=failed)


def scores_section(table: Markup, scores: pd.DataFrame, notes: Sequence[str], caption: str) -> kit.Section:
    """Return the section on scores of a group: what to know of them, a table on request, and its numbers."""
    panel = kit.Panel("scores", "Scores", caption, None, scores, html=kit.folded("All scores", table))
    return kit.Section("scores", "Models and subjects", [panel], list(notes))


def failed_chapter(n_subjects: int) -> kit.Chapter:
    """Tell that a failure left nothing to compare."""
    text = "Nothing is whole enough to be compared: see Errors."
    return kit.Chapter(group_of(n_subjects), [kit.Section("scores", "Models and subjects", paragraphs=[text])])


def _modality(study: Any, subject: str) -> str:
    """Name the modality of a subject in words of the table's header."""
    files = study.recordings[subject]
    if files.format == "array":
        # Of cells, electrodes, parcels: the descriptor does not say; without times in no unit of those with them.
        return "array over time" if study.modality(subject) == "meeg" else "array"
    sensors = getattr(files, "picks", None) or getattr(files, "datatype", None)
    return str(sensors).upper() if sensors else "M/EEG" if study.modality(subject) == "meeg" else "fMRI"


def _labelled(material: kit.StudyMaterial, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which models carry the name of their method, where there are several."""
    names = {}
    for end in ("", "_a", "_b"):
        if f"method{end}" in table:
            pairs = zip(table[f"model{end}"], table[f"method{end}"], strict=True)
            fits = [material.fit_label(*pair) if pd.notna(pair[0]) else "" for pair in pairs]
            names[f"model{end}"] = np.array(fits, dtype=object)
    return table.assign(**names)


def _over_subjects(material: kit.StudyMaterial) -> Iterator[kit.Section]:
    """Yield the sections on what was made of all subjects at once."""
    tables = material.tables
    if CONVERGENCE_TABLES[0] in tables:
        origins = material.config.convergence_of(material.dataset).origins
        yield convergence_section({name: tables[name] for name in CONVERGENCE_TABLES}, " and ".join(origins))
    if geometry_sections.IDENTIFICATION_TABLES[0] in tables:
        yield geometry_sections.identification_section(tables, material.details("regions"), material.config.confidence)
    if geometry_sections.MATCHING_TABLES[0] in tables:
        yield geometry_sections.matching_section(tables)


def group_figure(rows: pd.DataFrame, models: Sequence[str] | None = None, controls: Sequence[str] = ()) -> Figure:
    """Draw every model in every subject of one modality, with intervals; a panel per quantity.

    Parameters
    ----------
    rows : DataFrame
        As for `brainalign.report.kit.tables.score_table`, of one modality; ceiling (on the scale of value, or NaN)
        draws the subject's noise ceiling, chance (the same in all rows of a quantity) what guessing gives.
    models : sequence of str, optional
        Every model of the study, for colours that agree with other figures.
    controls : sequence of str
        Models drawn in grey.
    """
    quantities, subjects = list(pd.unique(rows["quantity"])), list(pd.unique(rows["subject"]))
    shown = list(pd.unique(rows["model"]))
    colours = kit.model_colours(models or shown, controls)
    figure, axes, _ = kit.panel_grid(len(quantities), 2, (3.9, 3.3), margin=(1.2, 0.0))
    for ax, quantity in zip(axes, quantities, strict=False):
        part = rows[rows["quantity"] == quantity]
        for k, model in enumerate(shown):
            mine = part[part["model"] == model].set_index("subject").reindex(subjects)
            x = np.arange(len(subjects)) + 0.7 * ((k + 0.5) / len(shown) - 0.5)
            spread = np.nan_to_num([mine["value"] - mine["low"], mine["high"] - mine["value"]]).clip(0)
            marker = "Dsv^"[list(controls).index(model) % 4] if model in controls else "o"
            ax.errorbar(
                x, mine["value"], spread, fmt=marker, color=colours.get(model, kit.GREY),
                markersize=5, capsize=3, label=kit.legend_name(model),
            )  # fmt: skip
        if "ceiling" in part.columns:
            for k, level in enumerate(part.groupby("subject")["ceiling"].first().reindex(subjects)):
                ax.hlines(level, k - 0.42, k + 0.42, color="black", linestyle="--", linewidth=1, label="noise ceiling")
        chance = float(part["chance"].iloc[0]) if "chance" in part.columns else 0.0
        ax.axhline(chance, color=kit.GREY, linewidth=1 if chance else 0.6, linestyle=":" if chance else "-")
        ax.set_xticks(range(len(subjects)), [f"sub-{subject}" for subject in subjects], fontsize=8)
        ax.set_xlim(-0.6, len(subjects) - 0.4)
        kit.label_axes(ax, quantity, ticks="y")
    return kit.legend_below(figure, axes, 4)


def failed_comparisons(comparisons: pd.DataFrame | None, controls: Sequence[str]) -> Iterator[kit.FailedControl]:
    """Return controls, of random weights or features, that predict better than models that know the stimuli."""
    for _, row in (pd.DataFrame() if comparisons is None else comparisons).iterrows():
        sign = 1 if row["low"] > 0 else -1 if row["high"] < 0 else 0
        better, other = (row["model_a"], row["model_b"])[::sign] if sign else ("", "")
        if row["p"] < kit.LEVEL and better in controls and other not in controls:
            yield kit.FailedControl(
                f"sub-{row['subject']}: a control, {better}, predicts better than {other}: difference of "
                f"{row['quantity']}",
                abs(float(row["difference"])),
                f"What {other} predicts is no evidence of what it learned.",
                p=float(row["p"]),
                section="comparisons",
            )


def group_sections(
    scores: pd.DataFrame, recovery: pd.DataFrame, shared: pd.DataFrame, controls: Sequence[str], confidence: float
) -> list[kit.Section]:
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
        Models that are controls.
    confidence : float
    """
    models, sections = list(pd.unique(scores["model"])), []
    for modality, rows in scores.groupby("modality", sort=False):
        figure = group_figure(rows, models, controls)
        panel = kit.captioned(
            "group", f"Models in every subject, {modality}", figure, rows, id=f"group{modality}",
            confidence=confidence, intervals=rows["low"].notna().any(),
        )  # fmt: skip
        panels = [panel] if rows["value"].notna().any() else []
        sections.append(kit.Section(f"modality{modality}", str(modality), panels, [best_in_subjects(rows, controls)]))
    if len(shared):
        sections.append(_shared(shared))
    if len(recovery):
        sections.append(_recovered(recovery))
    return sections


def best_in_subjects(rows: pd.DataFrame, controls: Sequence[str]) -> str:
    """State which model scores highest in how many subjects, by the first quantity, beside the best control.

    A control is not named for it, and takes from the models the subjects in whom it scores higher. Columns are
    quantity, subject, model, value.
    """
    quantity = str(rows["quantity"].iloc[0])
    rows = rows[rows["quantity"] == quantity].dropna(subset=["value"])
    if rows.empty:
        return f"No model has {quantity} in any subject: no target repeats well enough to be predicted."
    highest = rows[rows["value"] == rows.groupby("subject")["value"].transform("max")]
    alone, n = len(highest) == highest["subject"].nunique(), rows["subject"].nunique()
    means = rows.groupby("model")["value"].mean().sort_values(ascending=False)
    beside = [f"best control {name} {kit.number(means[name])}" for name in means.index if name in controls]
    counts = highest["model"].value_counts()
    models = [model for model in means.index if model not in controls] or [*means.index]
    name = max(models, key=lambda model: counts.get(model, 0))  # of as many subjects, the one with the largest mean
    fitted = (rows["model"] == name).sum()
    extent = "on average" if fitted == n else f"in the {fitted} it was fitted to"
    value = f"{quantity} {kit.number(means[name])} {extent}"
    if len(means) == 1:
        return f"{name}: {value}."
    highest_in = f"scores highest{'' if alone else ', alone or with others,'} in {counts.get(name, 0)} of {n}"
    return f"{name} {highest_in} subject{'s' * (n > 1)}, {'; '.join([value, *beside[:1]])}."


def _shared(table: pd.DataFrame) -> kit.Section:
    """Return the ceilings across subjects, a row per region: what a model of nothing but what they share can reach."""
    rows = []
    for (subjects, group), part in table.groupby(["subjects", "group"], sort=False):
        low, high = kit.number(part["lower"].mean()), kit.number(part["upper"].mean())
        rows.append([str(group), str(subjects), f"{low} to {high}", f"{part['n_targets'].iloc[0]:,}"])
    text = (
        f"{rows[0][0]}: the ceiling across subjects is {rows[0][2]} ({rows[0][1]}). "
        f"Signed r² of each subject's responses to the {int(table['n_images'].iloc[0])} test stimuli all saw with the "
        "mean of the other subjects (lower end) and of all subjects (upper end), averaged over targets and subjects, "
        "target by target. Near 0: the subjects' patterns differ from target to target, and only a model fitted to "
        "each subject can predict them."
    )
    header = ["region", "subjects", "ceiling across subjects", "targets"]
    block = kit.html_table(header, rows, "Ceiling across subjects")
    return kit.Section("shared", "What subjects share", paragraphs=[text], blocks=[block])


def _recovered(recovery: pd.DataFrame) -> kit.Section:
    """Return a table of how much of what was planted came back, per subject."""
    rows = [
        [str(subject), str(mine["modality"].iloc[0]), what, found]
        for subject, mine in recovery.groupby("subject", sort=True)
        for what, found in recovered_words(mine)
    ]
    told = [f"Subject {subject}, {what}: {found}." for subject, _, what, found in rows[:1]]
    table = kit.html_table(["subject", "modality", "what", "recovered"], rows, "Planted against recovered")
    return kit.Section("recovery", "Planted against recovered", paragraphs=told, blocks=[table])
