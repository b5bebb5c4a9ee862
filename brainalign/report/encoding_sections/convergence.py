"""The convergence of model and brain: scores with every null, in space, time and training, or why there are none."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from brainalign.report import kit

CONVERGENCE_TABLES = ("convergence", "areas", "latencies", "curves", "halftimes", "maps")
TITLE = "Convergence of model and brain"
MEAN = "mean"
P_VALUES = ("p_layers", "p_areas", "p_latencies", "p_stimuli", "p_independent_areas")
NEEDED = {"encoding": ("images",), "spatial": ("layers", "areas"), "temporal": ("layers", "latencies")}


def convergence_section(tables: Mapping[str, pd.DataFrame], origin: str) -> kit.Section:
    """Return the section on convergence.

    Tables are the artifacts of the converge stage, by the names in `CONVERGENCE_TABLES`; distances are measured from
    the region `origin`.
    """
    scores = tables["convergence"]
    panels: list[kit.Panel] = []
    blocks: list[Markup] = []
    paragraphs = [text.format(origin=origin or "an origin (none was named)") for text in kit.EXPLAINED["convergence"]]
    for model in pd.unique(scores["model"]):
        mine = {name: table[table["model"] == model] for name, table in tables.items()}
        paragraphs += _verdicts(str(model), mine["convergence"])
        blocks.append(_table(str(model), mine["convergence"]))
        panels += _panels(str(model), mine, origin)
    return kit.Section("convergence", TITLE, panels, paragraphs, blocks)


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
            twin = f"random weights: {kit.number(random['value']) if pd.notna(random['value']) else 'none'}"
            if pd.isna(trained["value"]):
                said.append(f"{score}: none ({trained['reason']}); {twin}")
                continue
            nulls = {"layers": trained["p_layers"], "areas": trained["p_areas"], "images": trained["p_stimuli"]}
            nulls["latencies"] = trained.get("p_latencies", np.nan)
            passed = all(pd.notna(nulls[name]) and nulls[name] <= kit.LEVEL for name in NEEDED[str(score)])
            given = ", ".join(f"p ({name}) {kit.p_number(nulls[name], 4)}" for name in NEEDED[str(score)])
            verdict = "above its nulls" if passed else "not above its nulls"
            said.append(f"{score} {kit.number(trained['value'])}, {verdict} ({given}); {twin}")
        if here["score"].nunique():
            said[-1] += f" [{_name(subject)}, {measured}]"
    return [f"{model}: {'; '.join(said)}."] if said else []


def _table(model: str, scores: pd.DataFrame) -> Markup:
    header = ["weights", "subject", "score", "value", "regions or layers", "p (layers)", "p (areas)", "p (latencies)"]
    header += ["p (images)", "assumes independent areas", "why none"]
    rows: list[list[str | Markup]] = []
    for _, row in scores.iterrows():
        subject = _name(row["subject"])
        if row["subject"] == MEAN:
            subject += f" (n = {int(row['n_subjects'])})"
        name = model if row["network"] == "trained" else f"{row['random']} (random)"
        cells = [name, f"{subject}, {row['measured']}", str(row["score"])]
        if pd.isna(row["value"]):
            rows.append([*cells, "none", str(int(row["n"])), *["–"] * 5, str(row["reason"])])
            continue
        value = kit.number(row["value"])
        if pd.notna(row["low"]):
            value += f" [{kit.number(row['low'])}, {kit.number(row['high'])}]"
        if pd.notna(row.get("ceiling_r", np.nan)):
            value += f" (ceiling {kit.number(row['ceiling_r'])})"
        p = {name: kit.p_number(row.get(name, np.nan), 4) for name in P_VALUES}
        p["p_areas"] += f" ({row['area_null']})" if row["area_null"] else ""
        rows.append([*cells, value, str(int(row["n"])), *p.values(), ""])
    return kit.html_table(header, rows, f"Convergence of {model}")


def _panels(model: str, tables: Mapping[str, pd.DataFrame], origin: str) -> list[kit.Panel]:
    panels = []
    areas, layers, curves = tables["areas"], tables["latencies"], tables["curves"]
    scores = tables["convergence"]

    def panel(kind: str, label: str, title: str, figure: Figure, numbers: pd.DataFrame, **values: Any) -> None:
        values |= {"id": f"{kind}{model}{label}", "model": model, "origin": origin}
        panels.append(kit.captioned(kind, title, figure, numbers, **values))

    for who in _shown(areas) if len(areas) else []:
        mine = _of(areas, who)
        if not np.isfinite(mine["distance_mm"].astype(float)).any():
            continue  # without distances there is nothing to draw them against; the table says why
        by_network = [list(_of(layers, who, network)["layer"]) for network in NETWORKS]
        titles = [_title(_of(scores, who, network), network, "spatial") for network in NETWORKS]
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
        firsts: dict[str, str] = {}  # a subject per way of measuring: curves of several would cover each other
        for measured, subject in _shown(curves):
            firsts.setdefault(measured, subject)
        some = [pd.concat([_of(table, who) for who in firsts.items()]) for table in (curves, tables["halftimes"])]
        words = ", ".join(f"{_name(subject)}, {measured}" for measured, subject in firsts.items())
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


def _title(scores: pd.DataFrame, network: str, score: str) -> str:
    row = scores[scores["score"] == score].iloc[0]
    if pd.isna(row["value"]):
        return f"{network} weights: no {score} score"
    text = f"{network} weights: {score} {kit.number(row['value'])}, n = {int(row['n'])}\np (layers) "
    text += kit.p_equals(row["p_layers"], 4)
    return text + (f", p (areas) {kit.p_equals(row['p_areas'], 4)}" if pd.notna(row["p_areas"]) else "")


NETWORKS = ("trained", "random")
MOST_NAMES = 40  # of areas
LEAST_DISTANCE = 1e-9
MOST_UNSCORED = 3  # so many decided areas have no spatial score, and no line


def layers_by_distance(areas: pd.DataFrame, layers: Sequence[Sequence[str]], titles: Sequence[str]) -> Figure:
    """Draw the best layer of every area against its distance, for the trained network and for its twin.

    areas: A row per network ("trained", "random") and area of one subject: area, distance_mm, number, decided. layers:
    Names of the layers of both networks.
    """
    figure, axes = kit.new_figure(9.0, 3.8, 2)
    for ax, network, names, title in zip(axes, NETWORKS, layers, titles, strict=True):
        mine = areas[(areas["network"] == network) & areas["number"].notna()]
        decided = mine["decided"].to_numpy(dtype=bool)
        colour = kit.COLOURS[0] if network == "trained" else kit.GREY
        x, y = mine["distance_mm"].to_numpy(dtype=float), mine["number"].to_numpy(dtype=float)
        ax.plot(x[~decided], y[~decided], "o", color="white", markeredgecolor=kit.GREY, markersize=5, label="undecided")
        ax.plot(x[decided], y[decided], "o", color=colour, markersize=6, label=f"decided, {network} weights")
        if decided.sum() > MOST_UNSCORED and np.ptp(x[decided]) > LEAST_DISTANCE:
            line = np.polyfit(x[decided], y[decided], 1)
            ends = np.array([x[decided].min(), x[decided].max()])
            ax.plot(ends, np.polyval(line, ends), color=colour, linewidth=0.8, linestyle="--")
        # Names stand above and below the points in turn along each layer, so that neighbours stay apart.
        near = mine[decided].sort_values(["number", "distance_mm"])
        for turn, (_, area) in zip(near.groupby("number").cumcount(), near.iterrows(), strict=True):
            if len(near) <= MOST_NAMES:
                place = area["distance_mm"], area["number"]
                kit.name_point(ax, str(area["area"]), place, (0, -11 if turn % 2 else 6), size=6, ha="center")
        ax.set_yticks(range(len(names)), names, fontsize=7)
        ax.set_ylim(-0.6, len(names) - 0.4)
        ax.margins(x=0.15)  # room for the names
        kit.label_axes(ax, title, x="distance from the origin (mm)", size=8)
    kit.legend_below(figure, axes, 3)
    return figure


def latency_of_layers(layers: pd.DataFrame, titles: Sequence[str]) -> Figure:
    """Draw the latency of every decided layer with its interval, a panel per subject, both networks in each.

    layers: A row per subject, network and layer: number, layer, latency_s, latency_low_s, latency_high_s, decided.
    titles: By subject, in the order of their first row.
    """
    subjects = list(pd.unique(layers["subject"]))
    figure, axes, _ = kit.panel_grid(len(subjects), 3, (3.0, 3.6), margin=(1.2, 0.0), least=5.0)
    for ax, subject, title in zip(axes, subjects, titles, strict=False):
        mine = layers[layers["subject"] == subject]
        for network, colour, marker in zip(NETWORKS, (kit.COLOURS[0], kit.GREY), "oD", strict=True):
            rows = mine[(mine["network"] == network) & mine["decided"].astype(bool)]
            middle = 1000 * rows["latency_s"].to_numpy(dtype=float)
            ends = 1000 * rows[["latency_low_s", "latency_high_s"]].to_numpy(dtype=float).T
            spread = np.abs(ends - middle).reshape(2, -1)
            # Networks of different depth share the axis: the first and the last layer of each lie at its ends.
            depth = max(int(mine.loc[mine["network"] == network, "number"].max()), 1)
            beside = 0.0 if marker == "o" else 0.025  # marks of one place and time would hide each other
            x, label = rows["number"].to_numpy(dtype=float) / depth + beside, f"{network} weights"
            marks = ax.errorbar(x, middle, spread, fmt=marker, color=colour, markersize=5, capsize=3, label=label)
            kit.name_marks(marks, rows["layer"].tolist())
        first = mine[mine["network"] == "trained"]
        last = max(len(first) - 1, 1)
        ax.set_xticks(list(first["number"] / last), list(first["layer"]), rotation=60, ha="right", fontsize=7)
        ax.set_xlim(-0.08, 1.08)
        kit.label_axes(ax, title, y="time of the largest score (ms)", size=8)
    kit.legend_below(figure, axes, 2)
    return figure


def half_time_curves(curves: pd.DataFrame, half_times: pd.DataFrame) -> Figure:
    """Draw scores over training as shares of what they end with, and the half-time of every area.

    curves: score, area ("" for all areas), step, value; of subjects measured in different ways, one of each.
    half_times: score, area, final, half_time, low, high.
    """
    figure, (left, right) = kit.new_figure(9.0, 3.8, 2)
    for k, (_, row) in enumerate(half_times[half_times["area"] == ""].iterrows()):
        mine = curves[(curves["score"] == row["score"]) & (curves["area"] == "")].sort_values("step")
        if not row["final"] > 0:
            continue
        shares = mine["value"] / row["final"]
        left.plot(mine["step"], shares, "o-", color=kit.COLOURS[k], markersize=3, linewidth=1.2, label=row["score"])
        if np.isfinite(row["half_time"]):
            left.plot(row["half_time"], 0.5, "D", color=kit.COLOURS[k], markersize=7, markeredgecolor="black")
            if np.isfinite(row["low"]):
                left.hlines(0.5 + 0.02 * (k + 1), row["low"], row["high"], color=kit.COLOURS[k], linewidth=2)
    left.axhline(0.5, color=kit.GREY, linestyle="--", linewidth=0.8)
    left.axhline(0, color=kit.GREY, linewidth=0.6)
    left.set_ylabel("share of the final score", fontsize=8)
    areas = half_times[(half_times["area"] != "") & half_times["half_time"].notna()].sort_values("half_time")
    y = np.arange(len(areas))
    right.hlines(y, areas["low"].to_numpy(float), areas["high"].to_numpy(float), color=kit.COLOURS[0], linewidth=1.2)
    right.plot(areas["half_time"].to_numpy(float), y, "o", color=kit.COLOURS[0], markersize=4)
    right.set_yticks(y if len(areas) <= MOST_NAMES else [], list(areas["area"]) if len(areas) <= MOST_NAMES else [])
    kit.label_axes(right, f"encoding, {len(areas)} areas", ticks="y", size=8)
    steps = np.unique(curves["step"].to_numpy(dtype=float))
    for ax in (left, right):
        # Steps usually grow tenfold; the first is often 0.
        ax.set_xscale("symlog", linthresh=float(steps[steps > 0].min()))
        ax.set_xlim(float(steps.min()), 1.15 * float(steps.max()))
        ax.set_xlabel("training step", fontsize=8)
    kit.legend_below(figure, [left], 3)
    return figure


def map_correlations(rows: pd.DataFrame) -> Figure:
    """Draw the correlation of each quantity with each cortical map over the band of unrelated maps.

    quantity, map, r, q, null_sd, n.
    """
    quantities, maps = list(pd.unique(rows["quantity"])), list(pd.unique(rows["map"]))
    figure, axes = kit.new_figure(1.6 + 2.6 * len(quantities), 1.3 + 0.36 * len(maps), len(quantities))
    for k, (ax, quantity) in enumerate(zip(axes, quantities, strict=True)):
        mine = rows[rows["quantity"] == quantity].set_index("map").reindex(maps)
        for place, (_, row) in enumerate(mine.iterrows()):
            if not np.isfinite(row["r"]):
                ax.text(0, place, "no value", fontsize=6, va="center", ha="center", color="#555555")
                continue
            band = 1.96 * row["null_sd"]
            ax.fill_betweenx(
                [place - 0.42, place + 0.42], -band, band, color=kit.NULL, linewidth=0, label="95 % of unrelated maps"
            )
            ax.barh(place, row["r"], height=0.5, color=kit.COLOURS[0] if row["q"] <= 0.05 else "#a8c8de")
            side = "left" if row["r"] >= 0 else "right"
            offset = 0.03 if row["r"] >= 0 else -0.03
            ax.text(row["r"] + offset, place, f"q {kit.p_number(row['q'])}", fontsize=6, va="center", ha=side)
        ax.axvline(0, color=kit.GREY, linewidth=0.6)
        ax.set_xlim(-1.25, 1.25)
        ax.set_yticks(range(len(maps)), maps if k == 0 else [], fontsize=7)
        ax.set_ylim(len(maps) - 0.5, -0.5)
        kit.label_axes(ax, f"{quantity}, {int(mine['n'].max())} areas", x="r over areas", size=8)
    kit.legend_below(figure, axes, 2)
    return figure
