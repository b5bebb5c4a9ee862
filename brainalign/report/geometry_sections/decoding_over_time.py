"""The section on categories decoded over time, of recordings and of studies of images alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays
from brainalign.report.geometry_sections.decoding_figures import (
    decoded_courses,
    decoded_pairs,
    decoded_square,
    decoded_windows,
    sensor_courses,
)
from brainalign.report.kit import (
    CAPTIONS,
    LEVEL,
    DecodedTimes,
    Panel,
    Section,
    html_table,
    number,
    p_equals,
    p_number,
    topomaps,
)

SHOWN_TIMES = 5  # topographies
FEW_SENSORS = 16  # below it colours between sensors would be mere interpolation


def decoding_section(decoded: DecodedTimes, targets: pd.DataFrame, *, findings: bool = True) -> Section:
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
    panels = [
        Panel("windows", "Windows as a whole", CAPTIONS["decodedwindows"], decoded_windows(windows, measure), windows),
        Panel("decoded", "Moment by moment", CAPTIONS["decodedcourse"], figure, scores),
        Panel(
            "square",
            "Trained at one time, tested at another",
            CAPTIONS["decodedsquare"],
            decoded_square(squares["generalization"], squares["significant"], squares["square_times"], chance, measure),
        ),
    ]
    placed = targets[["x_mm", "y_mm", "z_mm"]].notna().all(axis=1).all()
    effects = tables["timesensors"]
    if placed and len(targets) >= FEW_SENSORS:
        panels.append(_heads(effects, targets, facts))
    else:
        title, caption = "Where categories differ", CAPTIONS["decodedsensors"]
        panels.append(Panel("sensors", title, caption, sensor_courses(effects, _effect(facts)), effects))
    names = _conditions(squares, facts)
    if len(names) > 2:
        shown = decoded_pairs(squares["pairs"], squares["pair_times"], names)
        panels.append(Panel("pairs", "Every pair of conditions", CAPTIONS["decodedpairs"], shown))
    return Section(
        "decoding", "Categories over time", panels, decoding_findings(decoded) if findings else [], [_table(windows)]
    )


def decoding_findings(decoded: DecodedTimes) -> list[str]:
    """Write the findings of decoding over time as sentences that follow from the numbers alone."""
    windows, peaks = decoded.tables["timewindows"], decoded.tables["timepeaks"]
    names = " against ".join(decoded.facts["categories"]) if len(decoded.facts["categories"]) == 2 else "categories"
    found = []
    for _, row in windows[windows["group"] == "all"].iterrows():
        beside = "" if np.isnan(row["logistic"]) else f"; logistic regression {number(row['logistic'])}"
        verdict = "not above chance" if row["p"] >= LEVEL else "above chance"
        interval = "" if np.isnan(row["low"]) else f", {number(row['low'])} to {number(row['high'])}"
        when = "before the stimulus (a control), " if row["control"] else ""
        if row["control"] and row["p"] < LEVEL:
            when, verdict = "before the stimulus (a control that FAILS), ", "above chance, where nothing may be"
        found.append(
            f"{names}, {row['scheme']}, {when}{1000 * row['start_s']:.0f} to {1000 * row['stop_s']:.0f} ms: "
            f"{decoded.facts['measure']} {number(row['score'])}{interval} ({verdict}: permuted "
            f"{number(row['null_mean'])}, p {p_equals(row['p'], 4)}{beside})."
        )
    return found + [_latency_sentence(row) for _, row in peaks.iterrows()]


def _latency_sentence(row: pd.Series[Any]) -> str:
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


def _heads(effects: pd.DataFrame, targets: pd.DataFrame, facts: Mapping[str, Any]) -> Panel:
    after = effects[effects["time_s"] >= 0]
    strength = after.assign(size=after["effect"].abs()).groupby("time_s")["size"].mean()
    times = np.linspace(0, float(strength.index[-1]), SHOWN_TIMES + 2)[1:-1]
    best = float(strength.index[int(strength.to_numpy().argmax())])
    shown = sorted({best, *(time for time in times if abs(time - best) > 0.02)})
    figure = topomaps(effects.rename(columns={"effect": "r"}), targets, shown, label=_effect(facts))
    return Panel("decodedheads", "Where categories differ", CAPTIONS["decodedheads"], figure, effects)


def _effect(facts: Mapping[str, Any]) -> str:
    two = len(facts["categories"]) == 2
    return f"area under the curve − .5\n({facts['categories'][1]} larger)" if two else "share of variance"


def _conditions(squares: Arrays, facts: Mapping[str, Any]) -> list[str]:
    """Return the conditions in the order of the pairs."""
    return [str(name) for name in facts.get("conditions", facts["categories"])] if "pairs" in squares else []


def _table(windows: pd.DataFrame) -> Any:
    header = ["scheme", "sensors", "window", "score", "interval", "permuted", "p", "logistic", "folds", "trials"]
    rows = [
        [
            row["scheme"],
            row["group"],
            f"{row['window']}{' (control)' if row['control'] else ''}",
            number(row["score"]),
            "–" if np.isnan(row["low"]) else f"{number(row['low'])} to {number(row['high'])}",
            number(row["null_mean"]),
            p_number(row["p"], 4),
            number(row["logistic"]),
            str(row["n_folds"]),
            str(row["n_trials"]),
        ]
        for _, row in windows.iterrows()
    ]
    return html_table(header, rows, "Windows decoded as a whole")
