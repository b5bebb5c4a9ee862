"""The page over all subjects whose recordings were decoded: windows in every subject, and their courses together."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainalign.report import kit
from brainalign.report.geometry_sections import decoding_methods
from brainalign.report.pages.answers import answer_of_group
from brainalign.report.pages.group import best_in_subjects, group_figure, group_of


@dataclass
class GroupOfRecordings(kit.StudyMaterial):
    """What was decoded of every subject."""

    decoded: dict[str, kit.DecodedTimes] = field(default_factory=dict)


def gather_group_of_recordings(shelf: kit.Shelf) -> GroupOfRecordings | None:
    """Gather what was decoded of every subject; None of fewer than two, and on the page of one."""
    names = [labels["subject"] for labels in shelf.each("timewindows") if labels["subject"] in shelf.whole]
    if shelf.page.subject or len(names) < 2:
        return None
    found = {name: kit.decoded_times_of(shelf, subject=name) for name in names}
    whole = {name: times for name, times in found.items() if times is not None}
    return shelf.material(GroupOfRecordings, decoded=whole) if whole else None


def group_of_recordings_chapter(material: GroupOfRecordings) -> kit.Chapter:
    """Tell in how many subjects categories can be told apart, when, and whether a control failed in one."""
    decoded = material.decoded
    n, measure = len(decoded), str(next(iter(decoded.values())).facts["measure"])
    windows = _of_all(decoded, "timewindows")
    windows = windows[windows["scheme"] == windows["scheme"].iloc[0]]
    told = windows.assign(model="decoding (" + windows["window"] + ")", value=windows["score"], quantity=measure)
    controls = list(told.loc[told["control"].astype(bool), "model"].unique())
    scores = _of_all(decoded, "timescores")
    sure: dict[str, Any] = {"confidence": material.config.confidence, "intervals": told["low"].notna().any()}
    panels = [
        kit.captioned("groupdecoded", "Course in every subject", group_courses(scores, measure), scores),
        kit.captioned("group", "Windows in every subject", group_figure(told, controls=controls), told, **sure),
    ]
    words = {"question": "Do recordings tell categories apart in everybody?", "measure": measure}
    failed = [
        replace(control, name=f"Subject {name}: {control.name}")
        for name, times in decoded.items()
        for control in kit.failed_windows(times)
    ]
    return kit.Chapter(
        group_of(n),
        [kit.Section("decoding", "Categories over time", panels, [best_in_subjects(told, controls)])],
        answer=answer_of_group(told, controls, n, n_permutations=material.config.decode_times.permutations, **words),
        summary=told,
        methods=_methods(material),
        failed_controls=failed,
    )


def _methods(material: GroupOfRecordings) -> list[tuple[str, tuple[str, ...]]]:
    """List what was done to every subject, in the words of the page of the first one, and what over subjects."""
    first, times = next(iter(material.decoded.items()))
    n = len(material.decoded)
    text = (
        f"All of this was done in each of the {n} subjects by itself, and p is that of each. Over subjects stand the "
        "mean and its standard error; whether more of them are above chance than luck allows follows from the binomial "
        f"distribution ({kit.LEVEL:g} in each)."
    )
    return [*decoding_methods(replace(material, subject=first), times.tables["timewindows"]), (text, ())]


def _of_all(decoded: dict[str, kit.DecodedTimes], suffix: str) -> pd.DataFrame:
    """Return the rows of all sensors of every subject."""
    table = pd.concat([times.tables[suffix].assign(subject=name) for name, times in decoded.items()], ignore_index=True)
    return table[table["group"] == "all"]


def group_courses(scores: pd.DataFrame, measure: str) -> Figure:
    """Draw the score over time of every subject, and their mean with its standard error.

    scores: subject, time_s, score, chance. Times that some subjects lack are left out of the mean.
    """
    wide = scores.assign(time_s=scores["time_s"].round(4)).pivot(index="time_s", columns="subject", values="score")
    whole = wide.dropna()
    mean, error = whole.mean(axis=1), whole.std(axis=1) / np.sqrt(whole.shape[1])
    figure, (ax,) = kit.new_figure(6.4, 3.4)
    for name in wide:
        ax.plot(1000 * wide.index, wide[name], color=kit.GREY, linewidth=0.7)
    ax.fill_between(1000 * whole.index, mean - error, mean + error, color=kit.COLOURS[0], alpha=0.3, linewidth=0)
    ax.plot(1000 * whole.index, mean, color=kit.COLOURS[0], linewidth=2, label=f"mean of {wide.shape[1]} subjects")
    ax.axhline(scores["chance"].iloc[0], color="black", linewidth=0.8, linestyle=":")
    ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
    kit.label_axes(ax, x="time from onset (ms)", y=measure, ticks="both")
    return kit.legend_below(figure, [ax], 1)
