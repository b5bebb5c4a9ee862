"""The page of a subject whose recordings were decoded: what could be told apart, when, and what that does not show."""

from __future__ import annotations

from typing import Any

import pandas as pd

from brainalign.arrays import Responses
from brainalign.config import DecodeTimesSettings
from brainalign.report.geometry_sections import decoding_findings, decoding_section
from brainalign.report.kit import (
    Chapter,
    Section,
    Shelf,
    SubjectMaterial,
    decoded_times_of,
    failed_windows,
    number,
    p_equals,
)

ACROSS, WITHIN = "recordings left out", "within recordings"


def gather_recordings(shelf: Shelf) -> SubjectMaterial | None:
    """Gather what was decoded of a subject; None where features are fitted as well, whose chapter tells of it."""
    if shelf.each("splits"):
        return None
    responses, decoded = shelf.fetch("responses", Responses), decoded_times_of(shelf)
    return shelf.material(SubjectMaterial, responses=responses, decoded=decoded)


def recordings_chapter(material: SubjectMaterial) -> Chapter:
    """Tell of one subject whose recordings were decoded."""
    decoded, sections = material.decoded, [_data(material)]
    windows = pd.DataFrame() if decoded is None else decoded.tables["timewindows"]
    if decoded is not None and material.responses is not None:
        sections.append(decoding_section(decoded, material.responses.targets, findings=False))
    return Chapter(
        f"Subject {material.subject}",
        [section for section in sections if section is not None],
        [] if decoded is None else decoding_findings(decoded) + list(material.descriptor.notes),
        _cards(windows),
        headline=_headline(windows),
        interval_note="Intervals: over recordings.",
        summary=windows,
        methods=_methods(material),
        failed_controls=failed_windows(decoded),
    )


def _data(material: SubjectMaterial) -> Section | None:
    if material.responses is None:
        return None
    trials = material.responses.trials
    counts = trials.groupby("category").size()
    details = material.details("responses")
    rejected = sum(details.get("n_rejected", []))
    return Section(
        "data",
        "Data",
        paragraphs=[
            f"{len(trials):,} trials ({', '.join(f'{n:,} {name}' for name, n in counts.items())}) of "
            f"{trials['run'].nunique()} recordings of one person, {len(material.responses.targets)} sensors; "
            f"{rejected} trials were left out (too large, or cut by an end of a recording).",
            "Whatever is found here holds for this person and these recordings; it is no statement about people.",
            *(f"Note: {warning}" for warning in details.get("warnings", [])),
        ],
    )


def _cards(windows: pd.DataFrame) -> list[dict[str, str]]:
    rows = windows[windows["group"] == "all"] if len(windows) else windows
    return [
        {
            "name": f"{row['window']}{', control' if row['control'] else ''}",
            "value": number(row["score"]),
            "control": f"chance {number(row['chance'])}, permuted {number(row['null_mean'])}, "
            f"p {p_equals(row['p'], 4)}",
            "split": row["scheme"],
        }
        for _, row in rows.iterrows()
    ]


def _headline(windows: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for _, row in windows.iterrows():
        shared = {"split": row["scheme"], "layer": row["window"], "n": row["n_trials"], "chance": row["chance"]}
        shared |= {"quantity": f"score, sensors {row['group']}", "model": "sensors"}
        fields = ("low", "high", "null_mean", "p")
        rows.append(shared | {"method": "discriminant", "value": row["score"]} | {name: row[name] for name in fields})
        nothing = dict.fromkeys(fields, float("nan"))
        rows.append(shared | {"method": "logistic", "value": row["logistic"]} | nothing)
    return rows


def _methods(material: SubjectMaterial) -> list[tuple[str, tuple[str, ...]]]:
    """List the paragraphs of the methods with the keys of their references; on decoding only where it was done."""
    texts: list[tuple[str, tuple[str, ...]]] = [(_reading(material), ())]
    options, decoded = material.config.decode_times, material.decoded
    if decoded is None:
        return texts
    noise = "whitened by the noise covariance of the training trials of each fold, and " * (options.noise != "none")
    windows = decoded.tables["timewindows"]
    logistic = ", by it and by logistic regression" * bool(windows["logistic"].notna().any())
    texts.append(
        (
            f"Sensors were {noise}standardised. At every moment a linear discriminant with the shrinkage of Ledoit and "
            f"Wolf was trained and tested; windows are decoded from all their samples at once{logistic}.",
            ("ledoitwolf", *["sklearn"] * bool(logistic)),
        )
    )
    schemes = set(windows["scheme"])
    splits = "Whole recordings were left out in turn. " * (ACROSS in schemes)
    if WITHIN in schemes:
        splits += (
            f"Within recordings, {options.n_folds} contiguous folds, and no training trial whose epoch overlaps that "
            "of a test trial. "
        )
    texts.append(
        (
            f"{splits}Permutations exchange labels within recordings and train anew ({options.permutations} times; "
            f"{options.square_permutations} for generalisation over time); clusters are compared with the largest of "
            "each permutation; their borders carry no guarantee.",
            ("maxstat",),
        )
    )
    texts.append(
        (
            f"Latencies are of {_where(options)}: the largest score, the centre above half the height, and the rise to "
            "that height. Beside them stands the highest hump, called undecided where it does not beat the next one by "
            f"two standard errors. Intervals resample test trials within recordings ({options.draws} draws), in the "
            "same window.",
            ("bootstrap",),
        )
    )
    return texts


def _reading(material: SubjectMaterial) -> str:
    """Describe the preparation of epochs from files; epochs saved by MNE are neither filtered nor rejected."""
    cut, files = material.descriptor.epochs, material.descriptor.subjects[material.subject]
    start, stop = (1000 * moment for moment in cut.span_s)
    span = f"cut from {start:.0f} to {stop:.0f} ms"
    if files.format == "epochs":
        first = "their start" if cut.tmin_s is None else f"{start:.0f} ms"
        last = "their end" if cut.tmax_s is None else f"{stop:.0f} ms"
        span = f"cut from {first} to {last}"
        text = f"Epochs saved by MNE-Python were read as they were filtered, and {span}"
    else:
        band = "not filtered" if cut.band_hz is None else f"filtered from {cut.band_hz[0]:g} to {cut.band_hz[1]:g} Hz"
        source = "with MNE-Python" if files.format == "bids" else "from files of a Muse headset"
        text = f"Recordings were read {source}, {band}, {span}"
    if cut.baseline_s is not None:
        start, stop = (1000 * moment for moment in cut.baseline_s)
        text += f"; the mean from {start:.0f} to {stop:.0f} ms was subtracted"
    if cut.reject_uv is not None and files.format != "epochs":
        text += f"; epochs in which an EEG channel spans more than {cut.reject_uv:g} µV were left out"
    if cut.decimate > 1:
        text += f"; one of {cut.decimate} samples was kept"
    return f"{text}."


def _where(options: DecodeTimesSettings) -> str:
    if options.latency_window_s is not None:
        start, stop = (1000 * moment for moment in options.latency_window_s)
        return f"the window asked for ({start:.0f} to {stop:.0f} ms)"
    return "the first hump after the stimulus (from the first three moments in a row above the permuted null)"
