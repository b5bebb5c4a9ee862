"""The section on networks aligned with people's choices: what a teacher and its students gain, and where."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainalign.report import kit

ALIGNMENT_TABLES = ("alignment", "alignedregions")
TITLE = "Networks aligned with judgements"
UNSEEN, REPEATED = "unseen objects", "repeated"
LEVELS = {
    "all": "all triplets",
    "fine": "fine: of one group",
    "boundary": "boundary: two of one",
    "coarse": "coarse: of three",
}
MARKS = {
    "shuffled choices": (kit.GREY, "x", "of shuffled choices"),
    "unaligned teacher": (kit.GREY, "+", "of an unaligned teacher"),
    "unaligned": (kit.COLOURS[1], "o", "as it is"),
    "aligned": (kit.COLOURS[0], "o", "aligned"),
}


def alignment_section(tables: Mapping[str, pd.DataFrame], about: Mapping[str, Any]) -> kit.Section:
    """Return the section on networks that were aligned, with the reason where none were.

    Tables are the artifacts of the align stage, by the names in `ALIGNMENT_TABLES`, `about` the details of the first
    one.
    """
    if ALIGNMENT_TABLES[0] not in tables:
        reason = "No network was aligned with these judgements: align.teacher names none of its models."
        return kit.Section("alignment", TITLE, paragraphs=[reason])
    scores, regions = (tables[name] for name in ALIGNMENT_TABLES)
    shown = scores[scores["split"] == UNSEEN]
    panels = [kit.captioned("alignment", "Before and after, unseen objects", alignment_figure(shown, about), scores)]
    header = ["network", "level", "triplets", "as it is", "aligned", "gain ± se", "of shuffled choices"]
    blocks = [kit.html_table([*header, "of an unaligned teacher"], _rows(shown), TITLE)]
    if len(regions):
        header = ["network", "region", "as it is", "aligned", "ceiling"]
        blocks.append(kit.html_table(header, _regions(regions), "Regions"))
    return kit.Section("alignment", TITLE, panels, _sentences(scores, regions, about), blocks)


def failed_alignment(scores: pd.DataFrame) -> Iterator[kit.FailedControl]:
    """Return networks that predict choices better after an alignment with shuffled choices.

    Artifact `alignment`; a control fails when it is above the network as it is by more than two standard errors, and by
    no less than the aligned network.
    """
    shown = scores[(scores["split"] == UNSEEN) & (scores["level"] == "all")]
    for (model, layer), part in shown.groupby(["model", "layer"], sort=False):
        of = kit.by_name(part, "control")
        if "shuffled choices" not in of:
            continue
        shuffled, plain, aligned = (of[name] for name in ("shuffled choices", "unaligned", "aligned"))
        gain = shuffled["accuracy"] - plain["accuracy"]
        if gain > 2 * shuffled["gain_se"] and gain >= aligned["gain"]:
            yield kit.FailedControl(
                f"{model} {layer} aligned with shuffled choices, accuracy on unseen objects",
                float(shuffled["accuracy"]),
                f"As it is the network reaches {kit.number(plain['accuracy'])}, aligned "
                f"{kit.number(aligned['accuracy'])}: the gain needs no judgement of anybody.",
                1 / 3,
                section="alignment",
            )


def alignment_figure(scores: pd.DataFrame, about: Mapping[str, Any]) -> Figure:
    """Draw the accuracy of every network before and after, a panel per level of abstraction.

    scores: model, layer, control, level, accuracy, gain_se; of one split. about: ceilings, with accuracy_low and
    accuracy_high, or None.
    """
    levels = [level for level in LEVELS if level in set(scores["level"])]
    networks = list(dict.fromkeys(zip(scores["model"], scores["layer"], strict=True)))[::-1]
    figure, axes = kit.new_figure(1.8 + 1.9 * len(levels), 1.3 + 0.32 * len(networks), len(levels))
    for k, (ax, level) in enumerate(zip(axes, levels, strict=True)):
        ax.axvline(1 / 3, color="black", linewidth=0.8, linestyle=":", label="chance")
        if level == "all" and about["ceilings"]:
            bounds = about["ceilings"]["accuracy_low"], about["ceilings"]["accuracy_high"]
            ax.axvspan(*bounds, color=kit.NULL, zorder=0, label="ceiling, bounds")
        for control, (colour, mark, label) in MARKS.items():
            rows = scores[(scores["level"] == level) & (scores["control"] == control)]
            y = [networks.index(key) for key in zip(rows["model"], rows["layer"], strict=True)]
            error = 1.96 * np.nan_to_num(rows["gain_se"]) if control == "aligned" else None
            ax.errorbar(rows["accuracy"], y, xerr=error, fmt=mark, color=colour, markersize=5, capsize=2, label=label)
        names = [f"{model} {layer}" for model, layer in networks]
        ax.set_yticks(range(len(networks)), names if k == 0 else [""] * len(networks), fontsize=8)
        ax.set_ylim(-0.6, len(networks) - 0.4)
        kit.label_axes(ax, LEVELS[level], x="accuracy", ticks="x", size=8)
    return kit.legend_below(figure, axes, 3)


def _sentences(scores: pd.DataFrame, regions: pd.DataFrame, about: Mapping[str, Any]) -> list[str]:
    model, layer = about["teacher"]
    first = scores[(scores["role"] == "teacher") & (scores["split"] == UNSEEN) & (scores["level"] == "all")]
    of = kit.by_name(first, "control")
    sentences = [
        f"An affine map of {model} {layer} was fitted to {about['n_train']:,} choices among "
        f"{about['n_objects'] - about['n_unseen']:,} objects, kept near a multiple of the identity (penalty "
        f"{about['penalty']:g}, chosen on held-out objects of these). On {int(of['aligned']['n_triplets']):,} triplets "
        f"of {about['n_unseen']:,} objects that it never saw, it predicts {kit.number(of['aligned']['accuracy'])} of "
        f"the choices instead of {kit.number(of['unaligned']['accuracy'])} (difference "
        f"{kit.number(of['aligned']['gain'])}, standard error over objects {kit.number(of['aligned']['gain_se'])}); "
        f"fitted to shuffled choices {kit.number(of['shuffled choices']['accuracy'])}.",
        "Other networks learned its probabilities of choices, not the choices themselves, through an affine map of "
        "their own, on triplets of two objects of one cluster and one of another. Networks as they are get the "
        "temperature that fits the training choices best. Groups of objects are clusters of the embedding of these "
        "judgements, so that they say where networks gain, not how people think.",
    ]
    again = scores[(scores["split"] == REPEATED) & (scores["level"] == "all")]
    if again["uncertainty_r"].notna().any():
        parts = [
            f"{model} {kit.number(rows['unaligned']['uncertainty_r'], 2)} before and "
            f"{kit.number(rows['aligned']['uncertainty_r'], 2)} after"
            for model, part in again.groupby("model", sort=False)
            if (rows := kit.by_name(part, "control"))
        ]
        sentences.append(
            f"Where people are unsure, over {int(again['n_triplets'].iloc[0]):,} triplets that several people judged "
            "(none of them in training, though their objects may be): Spearman's r of the entropies of choices, "
            f"{'; '.join(parts)}."
        )
    if regions.empty:
        sentences.append("No brain regions stand beside aligned features: concepts.regions_of names no dataset.")
    else:
        sentences.append(
            "Regions: Spearman's r of their dissimilarities with those of features before and after; all objects that "
            "are test images of all subjects, those of training among them, since no map was fitted to responses."
        )
    return sentences


def _rows(scores: pd.DataFrame) -> list[list[str]]:
    rows = []
    for (model, layer, level), part in scores.groupby(["model", "layer", "level"], sort=False):
        of = kit.by_name(part, "control")
        aligned = of["aligned"]
        names = ("unaligned", "aligned", *list(MARKS)[:2])
        plain, after, *beside = (kit.number(of[name]["accuracy"]) if name in of else "–" for name in names)
        gain = f"{kit.number(aligned['gain'])} ± {kit.number(aligned['gain_se'])}"
        rows.append([f"{model} {layer}", str(level), f"{int(aligned['n_triplets']):,}", plain, after, gain, *beside])
    return rows


def _regions(regions: pd.DataFrame) -> list[list[str]]:
    rows = []
    for (model, layer, region), part in regions.groupby(["model", "layer", "region"], sort=False):
        plain, aligned = (kit.by_name(part, "control")[name] for name in ("unaligned", "aligned"))
        scores = [f"{kit.number(row['score'])} (p {kit.p_equals(row['p'])})" for row in (plain, aligned)]
        ceiling = kit.between(aligned, "ceiling_low", "ceiling_high")
        rows.append([f"{model} {layer}", str(region), *scores, ceiling])
    return rows
