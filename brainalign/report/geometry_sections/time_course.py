"""Sections of a subject of MEG or EEG: scores over time, latencies of layers, topographies, geometry over time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.report.geometry_sections.timecourse import layer_latencies, rsa_over_time, score_over_time
from brainalign.report.kit import CAPTIONS, ImageMaterial, Material, Panel, Section, SubjectMaterial, topomaps
from brainalign.statistics import RELIABLE
from brainalign.statistics.summary import Encoding

SHOWN_TIMES = 5  # topographies


def course_section(material: ImageMaterial) -> Section | None:
    """Return the section on scores over time (s from the stimulus), latencies of layers and topographies.

    None where nothing was fitted, or responses have no times.
    """
    if not material.timed or not material.encodings or material.responses is None:
        return None
    rows = pd.concat([_course(material, key) for key in material.encodings], ignore_index=True)
    peaks = pd.concat([_peaks(material, key) for key in material.encodings], ignore_index=True)
    model, method = next(iter(material.encodings))
    chosen = _of_chosen_layers(material, rows)
    clusters = _clusters(material)
    figure = score_over_time(
        chosen,
        clusters,
        _of_chosen_layers(material, peaks),
        models=material.labels(material.models),
        random_weights=material.labels(material.controls),
    )
    panels = [Panel("course", "Score over time", CAPTIONS["timecourse"], figure, rows)]
    separate = [material.label(*key) for key in material.of_layers]
    if separate:
        first, peaks = separate[0], peaks[peaks["model"].isin(separate)]
        every = score_over_time(rows[rows["model"] == first], peaks=peaks[peaks["model"] == first])
        title = f"Score over time, every layer of {first}"
        panels.append(Panel("courselayers", title, CAPTIONS["timecourse"], every))
        figure = layer_latencies(peaks)
        panels.append(Panel("latencies", "When each layer predicts best", CAPTIONS["latency"], figure, peaks))
    panels += list(_topographies(material, model, method))
    return Section("time", "Scores over time", panels)


def _of_chosen_layers(material: ImageMaterial, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the layer of every fit that was chosen in training."""
    chosen = {(material.label(*key), material.chosen(*key)) for key in material.encodings}
    return table[[pair in chosen for pair in zip(table["model"], table["layer"], strict=True)]]


def _course(material: ImageMaterial, key: tuple[str, str]) -> pd.DataFrame:
    encoding = material.encodings[key]
    mean = encoding.profile[encoding.profile["group"] != RELIABLE]
    mean = mean.assign(time_s=mean["group"].astype(float), mean_r=mean["r"])
    # Of every layer the sensor with the largest mean score over time: shown, not tested.
    by_sensor = encoding.scores.groupby(["layer", "target_id"])["r"].mean().dropna()
    best = by_sensor.groupby("layer").idxmax().map(lambda pair: pair[1])
    scores = encoding.scores[encoding.scores["target_id"] == encoding.scores["layer"].map(best)]
    table = mean.merge(
        scores.assign(time_s=scores["time_s"].round(4))[["layer", "time_s", "r"]].rename(columns={"r": "best_r"}),
        on=["layer", "time_s"],
        how="left",
    )
    columns = ["layer", "time_s", "mean_r", "low", "high", "best_r", "null_mean", "null_low", "null_high", "p_fwer"]
    return table[columns].assign(model=material.label(*key))


def _peaks(material: ImageMaterial, key: tuple[str, str]) -> pd.DataFrame:
    names = {"peak": "peak_s", "peak_low": "low_s", "peak_high": "high_s"}
    table = material.encodings[key].preference.rename(columns=names)
    return table[["layer", "peak_s", "low_s", "high_s", "onset", "decided", "reason"]].assign(
        model=material.label(*key)
    )


def _clusters(material: ImageMaterial) -> pd.DataFrame:
    """Return when significant clusters of the layer chosen in training last; those that overlap in time as one."""
    rows = []
    for (model, method), encoding in material.encodings.items():
        layer = material.chosen(model, method)
        mine = encoding.clusters[(encoding.clusters["layer"] == layer) & (encoding.clusters["p"] < 0.05)]
        spans: list[list[float]] = []
        for _, cluster in mine.sort_values("start").iterrows():
            if spans and cluster["start"] <= spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], cluster["stop"])
                spans[-1][2] = max(spans[-1][2], cluster["p"])
            else:
                spans.append([cluster["start"], cluster["stop"], cluster["p"]])
        name = material.label(model, method)
        rows += [{"model": name, "layer": layer, "start_s": a, "stop_s": b, "p": p} for a, b, p in spans]
    return pd.DataFrame(rows, columns=["model", "layer", "start_s", "stop_s", "p"])


def _topographies(material: ImageMaterial, model: str, method: str) -> Iterator[Panel]:
    """Yield maps of the head at times after the stimulus; sensors of a significant cluster are marked."""
    if material.responses is None or material.responses.times is None:
        return
    encoding = material.encodings[model, method]
    layer = material.chosen(model, method)
    after = material.responses.times[material.responses.times >= 0]
    times = after[np.linspace(0.15 * len(after), 0.85 * len(after), SHOWN_TIMES).astype(int)]
    scores = encoding.scores[(encoding.scores["layer"] == layer) & encoding.scores["time_s"].isin(times)]
    clusters = encoding.clusters[(encoding.clusters["layer"] == layer) & (encoding.clusters["p"] < 0.05)]
    marks = [_inside(clusters, *pair) for pair in zip(scores["target_id"], scores["time_s"], strict=True)]
    yield from _heads(
        material.responses.targets, scores.assign(significant=marks), times, f"{model}, {layer}", "r on test stimuli"
    )


def _heads(targets: pd.DataFrame, scores: pd.DataFrame, times: NDArray[Any], name: str, label: str) -> Iterator[Panel]:
    """Yield maps of the head at some times; nothing where sensors have no place."""
    placed = targets.reindex(columns=["x_mm", "y_mm", "z_mm", "sensor_type"]).notna().all(axis=None)
    if placed and len(times):
        figure = topomaps(scores, targets, times.tolist(), label=label)
        yield Panel("topography", f"Topography of r ({name})", CAPTIONS["topomap"], figure)


def _inside(clusters: pd.DataFrame, sensor: str, time: float) -> bool:
    here = clusters[(clusters["start"] <= time) & (clusters["stop"] >= time)]
    return any(sensor in set(sensors) for sensors in here["sensors"])


def left_out_course_section(material: Material) -> Section | None:
    """Return the section on scores over time of runs left out in turn: every model with the first method.

    Each is the mean over its layers; those of networks are also drawn one by one. None where nothing was fitted.
    """
    if not material.encodings or material.responses is None:
        return None
    first = material.first
    rows = pd.concat(
        [
            _left_out_course(encoding, first.split).assign(model=model)
            for (model, method), encoding in material.encodings.items()
            if method == first.method
        ],
        ignore_index=True,
    )
    pooled = rows.groupby(["model", "time_s"], sort=False, as_index=False).mean(numeric_only=True).assign(layer="all")
    names: dict[str, Any] = {
        "models": material.models,
        "random_weights": material.controls,
        "measure": f"r in {material.tested}",
    }
    figure = score_over_time(pooled, **names)
    caption = CAPTIONS["leftoutcourse"].format(tested=material.tested)
    panels = [Panel("course", f"Score over time ({first.method})", caption, figure, rows)]
    for model in material.layered_models:
        if (model, first.method) in material.encodings:
            every = score_over_time(rows[rows["model"] == model], **names)
            title = f"Score over time, every layer of {model}"
            panels.append(Panel(f"courselayers-{model}", title, caption, every))
    scores, name = first.of(first.encoding.scores), f"{material.name_of(first.model, first.layer)}, {first.method}"
    course = scores.groupby("time_s")["r"].mean()
    if course.isna().all():
        return Section("time", "Scores over time", panels, [f"{name}: no sensor has a score."])
    times = course.index.to_numpy(dtype=float)
    peak = float(times[np.nanargmax(course.to_numpy())])
    after = times[times >= 0]
    shown = np.unique([peak, *after[:: -(-len(after) // SHOWN_TIMES)]]) if len(after) else np.array([peak])
    panels += _heads(
        material.responses.targets, scores.assign(significant=scores["p_fwer"] < 0.05), shown, name, names["measure"]
    )
    text = (
        f"{name}: the mean over sensors is largest at {1000 * peak:.0f} ms. On heads, white dots are p < .05, "
        "corrected by the maximum over sensors and times."
    )
    return Section("time", "Scores over time", panels, [text])


def _left_out_course(encoding: Encoding, split: str) -> pd.DataFrame:
    """Return a row per layer and time: mean r over sensors, r of the best one, and what permutations stay below."""
    scores = encoding.scores[encoding.scores["split"] == split]
    by_sensor = scores.groupby(["layer", "target_id"])["r"].mean().dropna()
    best = by_sensor.groupby("layer").idxmax().map(lambda pair: pair[1])
    of_best = scores[scores["target_id"] == scores["layer"].map(best)].set_index(["layer", "time_s"])["r"]
    rows = scores.groupby(["layer", "time_s"], sort=False)["r"].mean().rename("mean_r").reset_index()
    keys = pd.MultiIndex.from_frame(rows[["layer", "time_s"]])
    limits = encoding.null[encoding.null["split"] == split].groupby("layer")["max_r"].quantile(0.95)
    largest = rows["layer"].map(limits).astype(float)
    # Chance of the mean over sensors was not kept, so that no band is drawn under it.
    return rows.assign(best_r=of_best.reindex(keys).to_numpy(), null_low=0.0, null_high=np.nan, best_null_high=largest)


def rsa_course_section(material: SubjectMaterial) -> Section | None:
    """Return the section on the fit of RDMs over time; None where no layer has one."""
    if material.comparison is None:
        return None
    table = material.comparison
    rows = table.assign(
        time_s=table["group"].astype(float),
        low=table["score"] - 2 * table["se"],
        high=table["score"] + 2 * table["se"],
        null_low=2 * table["null_mean"] - table["null_high"],
    )
    best = best_layers(rows)
    if best.empty:
        return None
    figure = rsa_over_time(best, models=material.models, random_weights=material.controls)
    return Section("geometry", "Geometry over time", [Panel("rsa", "RSA over time", CAPTIONS["rsatime"], figure, best)])


def best_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one layer per model, given an error for its largest mean fit, and of combined layers."""
    combined = table["kind"].eq("combination") if "kind" in table else False
    return table[table["se"].notna() | combined]
