"""The section on the convergence of model and brain: scores with every null, figures, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from brainalign.report.encoding_sections.convergence_figures import (
    half_time_curves,
    latency_of_layers,
    layers_by_distance,
    map_correlations,
)
from brainalign.report.kit import CAPTIONS, Panel, Section, html_table, number, p_equals, p_number

CONVERGENCE_TABLES = ("convergence", "areas", "latencies", "curves", "halftimes", "maps")
TITLE = "Convergence of model and brain"
MEAN = "mean"
LEVEL = 0.05
EXPLAINED = (
    "Encoding: mean r over regions of the layer chosen on one half of the test images, scored on the other half. "
    "Spatial: correlation over regions of the number of the best layer with distance from {origin} (straight, "
    "within a hemisphere: the right one mirrored); only regions whose best layer is decided take part. Temporal: "
    "correlation over layers of their number with the time of their largest mean r over sensors; only decided "
    "layers take part.",
    "Each score has the nulls that apply, all one-sided: p (layers) puts the layers in every other order (a random "
    "sample of orders beyond 8 layers); p (areas) asks whether unrelated maps, as smooth as the observed one, would "
    "do; p (images) exchanges predictions between test images. A claim about space needs p (layers) and p (areas). "
    "The last column assumes independent areas, which no cortex has: it is far too small and shown for comparison "
    "only. The mean over subjects is the score of their averaged scores, permutations and draws; its p is of that "
    "average, with the subjects as they are. Its interval, over resampled subjects, is given from 5 subjects on.",
)


def no_convergence(reason: str) -> Section:
    """Return the section where there are no scores, with the reason and no figure."""
    return Section("convergence", TITLE, paragraphs=[reason])


def convergence_section(tables: Mapping[str, pd.DataFrame], origin: str) -> Section:
    """Return the section on convergence.

    Parameters
    ----------
    tables : mapping of DataFrames
        The artifacts of the converge stage, by the names in `CONVERGENCE_TABLES`.
    origin : str
        The region that distances are measured from.
    """
    scores = tables["convergence"]
    panels: list[Panel] = []
    blocks: list[Markup] = []
    paragraphs = [text.format(origin=origin or "an origin (none was named)") for text in EXPLAINED]
    for model in pd.unique(scores["model"]):
        mine = {name: table[table["model"] == model] for name, table in tables.items()}
        paragraphs += _verdicts(str(model), mine["convergence"])
        blocks.append(_table(str(model), mine["convergence"]))
        panels += _panels(str(model), mine, origin)
    return Section("convergence", TITLE, panels, paragraphs, blocks)


def _name(subject: object) -> str:
    return "mean of subjects" if subject == MEAN else f"sub-{subject}"


def _shown(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (how measured, subject) of what is drawn: the mean where there is one, else every subject."""
    found = []
    for measured, part in table.groupby("measured", sort=False):
        subjects = list(pd.unique(part["subject"]))
        found += [(str(measured), MEAN)] if MEAN in subjects else [(str(measured), str(name)) for name in subjects]
    return found


def _verdicts(model: str, scores: pd.DataFrame) -> list[str]:
    """Say what the nulls allow to be said of the trained network, and what its twin reaches."""
    said = []
    for measured, subject in _shown(scores):
        here = _of(scores, (measured, subject))
        for score, part in here.groupby("score", sort=False):
            if "," in str(score):
                continue  # the secondary form is in the table
            trained, random = (part[part["network"] == name].iloc[0] for name in ("trained", "random"))
            twin = f"random weights: {number(random['value'])}" if pd.notna(random["value"]) else "random weights: none"
            if pd.isna(trained["value"]):
                said.append(f"{score}: none ({trained['reason']}); {twin}")
                continue
            nulls = {"layers": trained["p_layers"], "areas": trained["p_areas"], "images": trained["p_stimuli"]}
            needed = {"encoding": ("images",), "spatial": ("layers", "areas"), "temporal": ("layers",)}[str(score)]
            passed = all(pd.notna(nulls[name]) and nulls[name] <= LEVEL for name in needed)
            given = ", ".join(f"p ({name}) {number(nulls[name], 4)}" for name in needed)
            verdict = "above its nulls" if passed else "not above its nulls"
            said.append(f"{score} {number(trained['value'])}, {verdict} ({given}); {twin}")
        if here["score"].nunique():
            said[-1] += f" [{_name(subject)}, {measured}]"
    return [f"{model}: {'; '.join(said)}."] if said else []


def _table(model: str, scores: pd.DataFrame) -> Markup:
    header = ["weights", "subject", "score", "value", "regions or layers", "p (layers)", "p (areas)", "p (images)"]
    header += ["assumes independent areas", "why none"]
    rows: list[list[str | Markup]] = []
    for _, row in scores.iterrows():
        subject = _name(row["subject"])
        if row["subject"] == MEAN:
            subject += f" (n = {int(row['n_subjects'])})"
        name = model if row["network"] == "trained" else f"{row['random']} (random)"
        cells = [name, f"{subject}, {row['measured']}", str(row["score"])]
        if pd.isna(row["value"]):
            rows.append([*cells, "none", str(int(row["n"])), *["–"] * 4, str(row["reason"])])
            continue
        value = number(row["value"])
        if pd.notna(row["low"]):
            value += f" [{number(row['low'])}, {number(row['high'])}]"
        if pd.notna(row.get("ceiling_r", np.nan)):
            value += f" (ceiling {number(row['ceiling_r'])})"
        areas = p_number(row.get("p_areas", np.nan), 4)
        areas += f" ({row['area_null']})" if row["area_null"] else ""
        independent = p_number(row.get("p_independent_areas", np.nan), 4)
        p = [p_number(row.get(name, np.nan), 4) for name in ("p_layers", "p_stimuli")]
        rows.append([*cells, value, str(int(row["n"])), p[0], areas, p[1], independent, ""])
    return html_table(header, rows, f"Convergence of {model}")


def _panels(model: str, tables: Mapping[str, pd.DataFrame], origin: str) -> list[Panel]:
    panels = []
    areas, layers, curves = tables["areas"], tables["latencies"], tables["curves"]
    scores = tables["convergence"]

    def panel(kind: str, label: str, title: str, figure: Figure, numbers: pd.DataFrame, **values: object) -> None:
        caption = " ".join(CAPTIONS[kind].format(model=model, origin=origin, **values).split())
        panels.append(Panel(f"{kind}{model}{label}", title, caption, figure, numbers, vector=True))

    for who in _shown(areas) if len(areas) else []:
        mine = _of(areas, who)
        if not np.isfinite(mine["distance_mm"].astype(float)).any():
            continue  # without distances there is nothing to draw them against; the table says why
        networks = ("trained", "random")
        by_network = [list(_of(layers, who, network)["layer"]) for network in networks]
        titles = [_title(_of(scores, who, network), network, "spatial") for network in networks]
        title = f"Best layer of {model} against distance, {_name(who[1])}"
        panel("convergencespace", who[1], title, layers_by_distance(mine, by_network, titles), mine)
    timed = layers[layers["latency_s"].notna()] if len(layers) else layers
    if len(timed) and timed["decided"].astype(bool).any():
        everyone = _shown(timed)
        parts = [_of(layers, who).assign(subject=f"{_name(who[1])}, {who[0]}") for who in everyone]
        names = [f"{_name(who[1])}, {who[0]}" for who in everyone]
        titles = [_title(_of(scores, who, "trained"), "trained", "temporal") for who in everyone]
        both = [f"{name}\n{title}" for name, title in zip(names, titles, strict=True)]
        drawn = pd.concat(parts, ignore_index=True)
        panel("convergencetime", "", f"Latency of the layers of {model}", latency_of_layers(drawn, both), drawn)
    if len(curves):
        firsts = _first_of_each(curves)
        some = [pd.concat([_of(table, who) for who in firsts]) for table in (curves, tables["halftimes"])]
        words = ", ".join(f"{_name(subject)}, {measured}" for measured, subject in firsts)
        figure = half_time_curves(*some)
        panel("halftimes", "", f"Convergence of {model} over training", figure, some[1], who=words)
    maps = tables["maps"]
    subjects = list(pd.unique(maps["subject"])) if len(maps) else []
    for subject in [MEAN] if MEAN in subjects else subjects:
        mine = maps[(maps["subject"] == subject) & maps["r"].notna()]
        if len(mine):
            nulls = " and ".join(str(name) for name in pd.unique(mine["null"]))
            title = f"{model}: correlation with cortical maps, {_name(subject)}"
            panel("convergencemaps", str(subject), title, map_correlations(mine), mine, nulls=nulls)
    return panels


def _of(table: pd.DataFrame, who: tuple[str, str], network: str | None = None) -> pd.DataFrame:
    """Return the rows of one (how measured, subject), and of one network."""
    mine = table[(table["measured"] == who[0]) & (table["subject"] == who[1])]
    return mine if network is None else mine[mine["network"] == network]


def _first_of_each(curves: pd.DataFrame) -> list[tuple[str, str]]:
    """Return one (how measured, subject) per way of measuring: curves of several would cover each other."""
    found: dict[str, str] = {}
    for measured, subject in _shown(curves):
        found.setdefault(measured, subject)
    return list(found.items())


def _title(scores: pd.DataFrame, network: str, score: str) -> str:
    row = scores[scores["score"] == score].iloc[0]
    if pd.isna(row["value"]):
        return f"{network} weights: no {score} score"
    text = f"{network} weights: {score} {number(row['value'])}, n = {int(row['n'])}\np (layers) "
    text += p_equals(row["p_layers"], 4)
    return text + (f", p (areas) {p_equals(row['p_areas'], 4)}" if pd.notna(row.get("p_areas", np.nan)) else "")
