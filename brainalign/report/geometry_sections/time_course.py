"""The section of a subject of MEG or EEG: scores over time, latencies of layers, topographies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from brainalign.report.geometry_sections.timecourse import layer_latencies, score_over_time
from brainalign.report.kit import CAPTIONS, ImageMaterial, Panel, Section, topomaps
from brainalign.statistics import RELIABLE

SHOWN_TIMES = 5  # topographies


def course_section(material: ImageMaterial) -> Section | None:
    """Return the section on scores over time (s from the stimulus), latencies of layers and topographies.

    None where nothing was fitted.
    """
    if not material.encodings or material.responses is None:
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
    responses = material.responses
    if (
        responses is None
        or responses.times is None
        or responses.targets[["x_mm", "y_mm", "z_mm"]].isna().any(axis=None)
    ):
        return
    encoding = material.encodings[model, method]
    layer = material.chosen(model, method)
    after = responses.times[responses.times >= 0]
    times = after[np.linspace(0.15 * len(after), 0.85 * len(after), SHOWN_TIMES).astype(int)]
    scores = encoding.scores[(encoding.scores["layer"] == layer) & encoding.scores["time_s"].isin(times)]
    clusters = encoding.clusters[(encoding.clusters["layer"] == layer) & (encoding.clusters["p"] < 0.05)]
    marks = [_inside(clusters, *pair) for pair in zip(scores["target_id"], scores["time_s"], strict=True)]
    figure = topomaps(scores.assign(significant=marks), responses.targets, times.tolist())
    yield Panel("topography", f"Topography of r ({model}, {layer})", CAPTIONS["topomap"], figure)


def _inside(clusters: pd.DataFrame, sensor: str, time: float) -> bool:
    here = clusters[(clusters["start"] <= time) & (clusters["stop"] >= time)]
    return any(sensor in set(sensors) for sensors in here["sensors"])
