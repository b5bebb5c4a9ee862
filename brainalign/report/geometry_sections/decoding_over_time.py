"""Categories decoded over time: what could be told apart, when, for how long, and what that does not show."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.report import kit
from brainalign.report.geometry_sections.evoked import FEW_SENSORS, evoked_section

ACROSS, WITHIN = "recordings left out", "within recordings"


def gather_recordings(shelf: kit.Shelf) -> kit.SubjectMaterial | None:
    """Gather what was decoded of a subject; None where features are fitted as well, whose chapter tells of it."""
    if shelf.each("splits") or shelf.each("runscores"):
        return None
    responses, decoded = shelf.fetch("responses", Responses), kit.decoded_times_of(shelf)
    return shelf.material(kit.SubjectMaterial, responses=responses, decoded=decoded)


def recordings_chapter(material: kit.SubjectMaterial) -> kit.Chapter:
    """Tell of one subject whose recordings were decoded."""
    decoded, sections, answer = material.decoded, [_data(material), evoked_section(material)], None
    windows = pd.DataFrame() if decoded is None else decoded.tables["timewindows"]
    if decoded is not None and material.responses is not None:
        section = decoding_section(decoded, material.responses.targets, findings=False)
        answer = _answer(decoded, section)
        sections.append(section)
    return kit.Chapter(
        f"Subject {material.subject}",
        [section for section in sections if section is not None],
        [] if decoded is None else decoding_findings(decoded) + list(material.descriptor.notes),
        _cards(windows),
        answer,
        summary=windows,
        methods=decoding_methods(material, windows),
        failed_controls=[*kit.failed_windows(decoded)],
    )


def _data(material: kit.SubjectMaterial) -> kit.Section | None:
    if material.responses is None:
        return None
    trials = material.responses.trials
    counts, n_recordings = trials.groupby("category").size(), len(trials.groupby(["session", "run"]))
    details = material.details("responses")
    rejected, bad = sum(details.get("n_rejected", [])), details.get("n_bad_sensors", 0)
    return kit.Section(
        "data",
        "Data",
        paragraphs=[
            f"{len(trials):,} trials ({', '.join(f'{n:,} {name}' for name, n in counts.items())}) of "
            f"{n_recordings} recording{'s' * (n_recordings > 1)} of one person, "
            f"{len(material.responses.targets)} sensors{f' ({bad} bad or flat ones are left out)' if bad else ''}; "
            f"{rejected} trials were left out (too large, or cut by an end of a recording).",
            "Whatever is found here holds for this person and these recordings; it is no statement about people.",
            *(f"Note: {warning}" for warning in details.get("warnings", [])),
        ],
    )


def _answer(decoded: kit.DecodedTimes, section: kit.Section) -> kit.Answer:
    """Say whether categories can be told apart after the marker, when, and not before it; the course goes on top."""
    kinds = ("timewindows", "timescores", "timepeaks", "timeclusters")
    windows, scores, peaks, clusters = (decoded.tables[kind] for kind in kinds)
    group, scheme = (str(windows[name].iloc[0]) for name in ("group", "scheme"))
    measure = str(decoded.facts["measure"])
    rows = windows[(windows["group"] == group) & (windows["scheme"] == scheme)]
    after, before = rows[~rows["control"].astype(bool)].iloc[0], rows[rows["control"].astype(bool)]
    holds = bool(after["p"] < kit.LEVEL)
    names = " and ".join(", ".join(map(str, decoded.facts["categories"])).rsplit(", ", 1))
    words = f"{names[0].upper()}{names[1:]} {'can' if holds else 'are not shown to'} be told apart after the marker: "
    words += f"{measure} {kit.number(after['score'])}{kit.interval(after)}, chance {kit.number(after['chance'])}, "
    words += f"p {kit.p_equals(after['p'])}{kit.least_p(after['p'], decoded.facts.get('n_permutations', 0))}, {scheme}."
    numbers = _cards(rows)[:2]
    decided = peaks[(peaks["group"] == group) & peaks["decided"].astype(bool)] if holds and len(peaks) else peaks[:0]
    for _, peak in decided[:1].iterrows():
        when, low, high = (f"{1000 * peak[name]:.0f}" for name in ("peak", "peak_low", "peak_high"))
        words += f" In the {peak['hump']} the score peaks at {when} ms [{low} to {high}]."
        numbers.append({"name": f"peak, {peak['hump']}", "value": f"{when} ms", "control": f"[{low} to {high}] ms"})
    for _, row in before.iterrows():
        words += (
            f" Before the marker, where nothing can be told: {kit.number(row['score'])} (p {kit.p_equals(row['p'])})."
        )
    course = next(panel for panel in section.panels if panel.id == "decoded")
    if scores["group"].nunique() == 1:
        section.panels.remove(course)
    figure = decoded_courses(scores[scores["group"] == group], clusters, peaks, measure)
    panel = kit.captioned("decodedcourse", "Moment by moment", figure, course.numbers, id="course")
    question = "Do the recordings tell categories apart, and when?"
    return kit.Answer(question, "Yes." if holds else "Not shown.", words, holds, panel, numbers)


def _cards(windows: pd.DataFrame) -> list[dict[str, str]]:
    rows = windows[windows["group"] == "all"] if len(windows) else windows
    return [
        {
            "name": f"{row['window']}{', control' if row['control'] else ''}",
            "value": kit.number(row["score"]),
            "control": f"{kit.interval(row)}, chance {kit.number(row['chance'])}, permuted "
            f"{kit.number(row['null_mean'])}, p {kit.p_equals(row['p'])}".lstrip(", "),
            "split": row["scheme"],
        }
        for _, row in rows.iterrows()
    ]


def decoding_methods(material: kit.StudyMaterial, windows: pd.DataFrame) -> list[tuple[str, tuple[str, ...]]]:
    """List paragraphs on the recordings of the subject of a page, and on how these windows were decoded, if any."""
    texts: list[tuple[str, tuple[str, ...]]] = [(kit.recordings_text(material), ())]
    options = material.config.decode_times
    if windows.empty:
        return texts
    schemes, noise = set(windows["scheme"]), "whitened by the noise covariance of the training trials of each fold"
    noise = (noise + " (not for windows)" * (schemes <= {ACROSS, WITHIN}) + ", and ") * (options.noise != "none")
    logistic = ", by it and by logistic regression" * bool(windows["logistic"].notna().any())
    text = (
        f"Sensors were {noise}standardised. At every moment a linear discriminant with the shrinkage of Ledoit and "
        f"Wolf was trained and tested; windows are decoded from the means of every two of their samples{logistic}."
    )
    texts.append((text, ("ledoitwolf", *["sklearn"] * bool(logistic))))
    splits = "Whole recordings were left out in turn. " * (ACROSS in schemes)
    if WITHIN in schemes:
        splits += (
            f"Within recordings, {options.n_folds} contiguous folds, and no training trial whose epoch overlaps that "
            "of a test trial. "
        )
    text = (
        f"{splits}Permutations exchange labels of trials (of whole blocks where categories come in blocks) within "
        "recordings, or of stimuli where categories have several that were shown again and again, and train anew "
        f"({options.permutations} times; {options.square_permutations} for generalisation over time); clusters are "
        "compared with the largest of each permutation; their borders carry no guarantee."
    )
    texts.append((text, ("maxstat",)))
    where = "the first hump after the stimulus (from the first three moments in a row above the permuted null)"
    if options.latency_window_s is not None:
        start, stop = (1000 * moment for moment in options.latency_window_s)
        where = f"the window asked for ({start:.0f} to {stop:.0f} ms)"
    text = (
        f"Latencies are of {where}: the largest score, the centre above half the height, and the rise to "
        "that height. Beside them stands the highest hump, called undecided where it does not beat the next one by "
        f"two standard errors. Intervals resample test trials within recordings ({options.draws} draws), in the "
        "same window."
    )
    texts.append((text, ("bootstrap",)))
    return texts


def decoded_courses(rows: pd.DataFrame, clusters: pd.DataFrame, peaks: pd.DataFrame, measure: str) -> Figure:
    """Draw the score over time of every group of sensors, with its null, significant clusters and latencies.

    rows: group, time_s, score, null_low, null_high, chance. clusters: Of all kinds: group, kind, start_s, stop_s, p.
    peaks: group, decided, centre, centre_low, centre_high, rise, rise_low, rise_high (s).
    """
    groups = list(pd.unique(rows["group"]))
    figure, axes = kit.new_figure(1.2 + 2.9 * len(groups), 3.1, len(groups))
    colours = [kit.COLOURS[k % len(kit.COLOURS)] for k in range(len(groups))]
    for ax, group, colour in zip(axes, groups, colours, strict=True):
        part = rows[rows["group"] == group]
        x = 1000 * part["time_s"]
        kit.band(ax, x, part["null_low"], part["null_high"], kit.NULL, "permuted labels, 95 %")
        ax.plot(x, part["score"], color=colour, linewidth=1.3)
        ax.axhline(part["chance"].iloc[0], color=kit.GREY, linewidth=0.6)
        ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
        kit.label_axes(ax, group, x="time from the marker (ms)", ticks="both")
    kit.share_axis(axes)
    axes[0].set_ylabel(measure, fontsize=8)
    for ax, group, colour in zip(axes, groups, colours, strict=True):
        bottom, top = ax.get_ylim()
        mine = clusters[(clusters["group"] == group) & (clusters["kind"] == "time") & (clusters["p"] < 0.05)]
        for _, row in mine.iterrows():
            height = bottom + 0.02 * (top - bottom)
            ax.hlines(height, 1000 * row["start_s"], 1000 * row["stop_s"], color=colour, linewidth=4)
        for _, peak in peaks[(peaks["group"] == group) & peaks["decided"].astype(bool)].iterrows():
            for name, share, marker in (("rise", 0.9, "|"), ("centre", 0.96, "o")):
                low, middle, high = (1000 * peak[key] for key in (f"{name}_low", name, f"{name}_high"))
                height = bottom + share * (top - bottom)
                ax.hlines(height, low, high, color="black", linewidth=1)
                label = {"rise": "rise to half height", "centre": "centre of the hump"}[name]
                ax.plot(middle, height, marker, color="black", markersize=5, label=label)
    return kit.legend_below(figure, axes, min(len(groups), 3))


def decoded_square(
    score: NDArray[Any], significant: NDArray[Any], times_s: NDArray[Any], chance: float, measure: str
) -> Figure:
    """Draw generalisation over time: rows train, columns test; outlined where a cluster is significant.

    score, significant: array (n_times, n_times). chance: middle of the colours. measure: what they show.
    """
    figure, (ax,) = kit.new_figure(5.2, 4.3)
    edges = _edges_ms(times_s)
    reach = max(float(np.abs(score - chance).max()), 1e-6)
    image = ax.imshow(
        score, origin="lower", extent=(*edges, *edges), cmap="RdBu_r", vmin=chance - reach, vmax=chance + reach
    )
    if significant.any() and not significant.all():
        ax.contour(
            1000 * times_s, 1000 * times_s, significant.astype(float), levels=[0.5], colors="black", linewidths=0.8
        )
    ax.plot(edges, edges, color=kit.GREY, linewidth=0.6)
    for draw in (ax.axvline, ax.axhline):
        draw(0, color="black", linewidth=0.8, linestyle=":")
    kit.label_axes(ax, x="tested at (ms)", y="trained at (ms)")
    figure.colorbar(image, ax=ax, shrink=0.8, label=measure)
    return figure


def _edges_ms(times_s: NDArray[Any]) -> tuple[float, float]:
    """Return where cells of an image begin and end whose middles are times."""
    half = np.ptp(times_s) / max(len(times_s) - 1, 1) / 2
    return 1000 * float(times_s[0] - half), 1000 * float(times_s[-1] + half)


def decoded_pairs(pairs: NDArray[Any], times_s: NDArray[Any], conditions: Sequence[str]) -> Figure:
    """Draw the area under the curve of every pair of conditions over time.

    pairs: Row-major upper triangle.
    """
    first, second = np.triu_indices(len(conditions), 1)
    names = [f"{conditions[i]} against {conditions[j]}" for i, j in zip(first.tolist(), second.tolist(), strict=True)]
    figure, (ax,) = kit.new_figure(6.5, 1.4 + min(0.22 * len(names), 5))
    reach = max(float(np.nanmax(np.abs(pairs - 0.5))), 1e-6)
    extent = (*_edges_ms(times_s), len(names) - 0.5, -0.5)
    image = ax.imshow(pairs.T, aspect="auto", extent=extent, cmap="RdBu_r", vmin=0.5 - reach, vmax=0.5 + reach)
    ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
    if len(names) <= 24:
        ax.set_yticks(range(len(names)), names, fontsize=7)
    else:
        ax.set_ylabel(f"{len(names)} pairs", fontsize=8)
    ax.set_xlabel("time from onset (ms)", fontsize=8)
    figure.colorbar(image, ax=ax, shrink=0.9, label="area under the curve")
    return figure


def sensor_courses(effects: pd.DataFrame, label: str) -> Figure:
    """Draw the effect at every sensor over time, thick where it is part of a significant cluster.

    target_id, time_s, effect, significant.
    """
    figure, (ax,) = kit.new_figure(6.0, 3.2)
    for k, (name, part) in enumerate(effects.groupby("target_id", sort=False)):
        colour, x = kit.COLOURS[k % len(kit.COLOURS)], 1000 * part["time_s"]
        ax.plot(x, part["effect"], color=colour, linewidth=0.9, label=kit.legend_name(name))
        ax.plot(x, part["effect"].where(part["significant"]), color=colour, linewidth=3)
    ax.axhline(0, color=kit.GREY, linewidth=0.6)
    ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
    kit.label_axes(ax, x="time from the marker (ms)", y=label)
    return kit.legend_below(figure, [ax], 8)


def decoding_section(decoded: kit.DecodedTimes, targets: pd.DataFrame, *, findings: bool = True) -> kit.Section:
    """Return the section: when, where, and for how long categories can be told apart.

    Parameters
    ----------
    decoded : DecodedTimes
    targets : DataFrame
        The sensors; without positions, or with few of them, courses are drawn instead of topographies.
    findings : bool
        Whether the section says in sentences what was found, or the page does already.
    """
    tables, squares, facts = decoded.tables, decoded.squares, decoded.facts
    scores, windows, peaks = (tables[name] for name in ("timescores", "timewindows", "timepeaks"))
    measure, chance = str(facts["measure"]), float(scores["chance"].iloc[0])
    figure = decoded_courses(scores, tables["timeclusters"], peaks, measure)
    square = decoded_square(squares["generalization"], squares["significant"], squares["square_times"], chance, measure)
    panels = [
        kit.captioned("decodedwindows", "Windows as a whole", _ranked(windows, measure), windows, id="windows"),
        kit.captioned("decodedcourse", "Moment by moment, by group of sensors", figure, scores, id="decoded"),
        kit.captioned("decodedsquare", "Trained at one time, tested at another", square, id="square"),
    ]
    effects = tables["timesensors"]
    if kit.lie_on_the_head(targets) and len(targets) >= FEW_SENSORS:
        heads = kit.topomaps(effects.rename(columns={"effect": "r"}), targets, label=_effect(facts))
        panels.append(kit.captioned("decodedheads", "Where categories differ", heads, effects))
    else:
        title, caption = "Where categories differ", kit.CAPTIONS["decodedsensors"]
        panels.append(kit.Panel("sensors", title, caption, sensor_courses(effects, _effect(facts)), effects))
    names = [str(name) for name in facts.get("conditions", facts["categories"])] if "pairs" in squares else []
    if len(names) > 2:
        shown = decoded_pairs(squares["pairs"], squares["pair_times"], names)
        panels.append(kit.captioned("decodedpairs", "Every pair of conditions", shown, id="pairs"))
    told = decoding_findings(decoded)[: None if findings else 1] + [note for note in [facts.get("note")] if note]
    return kit.Section("decoding", "Categories over time", panels, told, [_table(windows)])


def _ranked(windows: pd.DataFrame, measure: str) -> Figure:
    """Draw whole windows from the best to the worst; those before the stimulus are controls."""
    names = windows["group"] + ", " + windows["window"]
    names = names if windows["scheme"].nunique() == 1 else names + " (" + windows["scheme"] + ")"
    rows = windows.assign(name=names, value=windows["score"], null=windows["null_95"])
    measure = f"{measure}, chance {kit.number(rows['chance'].iloc[0])}"
    return kit.ranked_models(rows.astype({"control": bool}), measure=measure)


def decoding_findings(decoded: kit.DecodedTimes) -> list[str]:
    """Write the findings of decoding over time as sentences that follow from the numbers alone."""
    windows, peaks = decoded.tables["timewindows"], decoded.tables["timepeaks"]
    names = " against ".join(decoded.facts["categories"]) if len(decoded.facts["categories"]) == 2 else "categories"
    found = []
    for _, row in windows[windows["group"] == "all"].iterrows():
        beside = "" if np.isnan(row["logistic"]) else f"; logistic regression {kit.number(row['logistic'])}"
        verdict = "not above chance" if row["p"] >= kit.LEVEL else "above chance"
        interval = "" if np.isnan(row["low"]) else f", {kit.number(row['low'])} to {kit.number(row['high'])}"
        when = "before the stimulus (a control), " if row["control"] else ""
        if row["control"] and row["p"] < kit.LEVEL:
            when, verdict = "before the stimulus (a control that FAILS), ", "above chance, where nothing may be"
        found.append(
            f"{names}, {row['scheme']}, {when}{1000 * row['start_s']:.0f} to {1000 * row['stop_s']:.0f} ms: "
            f"{decoded.facts['measure']} {kit.number(row['score'])}{interval} ({verdict}: permuted "
            f"{kit.number(row['null_mean'])}, {kit.p_value(row['p'], decoded.facts.get('n_permutations', 0))}{beside})."
        )
    return found + [_latency_sentence(row) for _, row in peaks.iterrows()]


def _latency_sentence(row: "pd.Series[Any]") -> str:
    """Return the latency of one hump, as in MNE the peak between two times, and its centre and rise beside."""
    between = f"{1000 * row['start_s']:.0f} to {1000 * row['stop_s']:.0f} ms"
    where = f"Latency, sensors {row['group']}, {row['hump']} ({between})"
    if not row["decided"]:
        return f"{where}: undecided ({row['reason']})."
    peak, centre, rise = (
        f"{1000 * row[name]:.0f} ms ({1000 * row[f'{name}_low']:.0f} to {1000 * row[f'{name}_high']:.0f})"
        for name in ("peak", "centre", "rise")
    )
    return f"{where}: peak {peak}, centre {centre}, rise to half height {rise}."


def _effect(facts: Mapping[str, Any]) -> str:
    two = len(facts["categories"]) == 2
    return f"area under the curve − .5\n({facts['categories'][1]} larger)" if two else "share of variance"


def _table(windows: pd.DataFrame) -> Any:
    columns: kit.Columns = {
        "scheme": lambda row: row["scheme"],
        "sensors": lambda row: row["group"],
        "window": lambda row: f"{row['window']}{' (control)' if row['control'] else ''}",
        "score": lambda row: kit.number(row["score"]),
        "interval": kit.between,
        "permuted": lambda row: kit.number(row["null_mean"]),
        "p": lambda row: kit.p_number(row["p"], 4),
        "logistic": lambda row: kit.number(row["logistic"]),
        "folds": lambda row: str(row["n_folds"]),
        "trials": lambda row: str(row["n_trials"]),
    }
    return kit.row_table(windows, columns, "Windows decoded as a whole")
