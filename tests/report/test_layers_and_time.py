"""Figures of layers and of time: marks, labels and bands are those of the tables; what is undecided has no mark."""

from __future__ import annotations

import mne
import numpy as np
import pandas as pd
import pytest

from brainalign.checks import BrainalignError
from brainalign.report import (
    layer_latencies,
    layer_profile,
    roi_layer_heatmap,
    rsa_over_time,
    score_over_time,
    topomaps,
)
from brainalign.report.encoding_sections import PROFILE_COLUMNS
from brainalign.report.kit import GREY, HEAD_RADIUS, flatten_positions, model_colours, picture_bytes

LAYERS = [f"block{k}" for k in range(5)]


def profiles() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for k, roi in enumerate(["V1", "V4", "IT", "noise"]):
        for model, top in (("effnet", 0.5), ("effnetrandom", 0.1)):
            for layer, name in enumerate(LAYERS):
                r = (k < 3) * top * np.exp(-((layer - 2 * k) ** 2) / 2) + rng.normal(0, 0.005)
                rows.append((roi, model, name, r, 0.01, 0.0, 0.04, 0.7, k < 3, "" if k < 3 else "at its null"))
    return pd.DataFrame(rows, columns=PROFILE_COLUMNS)


def series(model: str = "effnet") -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    time_s = np.arange(-0.1, 0.5, 0.01)
    rows, clusters, peaks = [], [], []
    for k, layer in enumerate(LAYERS):
        peak = 0.1 + 0.03 * k
        r = (k < 4) * 0.3 * np.exp(-(((time_s - peak) / 0.04) ** 2))
        rows.append(pd.DataFrame({"model": model, "layer": layer, "time_s": time_s, "mean_r": r, "best_r": 2 * r}))
        if k < 4:
            clusters.append((model, layer, peak - 0.03, peak + 0.04, 0.002))
        clusters.append((model, layer, 0.4, 0.42, 0.31))
        peaks.append((model, layer, peak, peak - 0.01, peak + 0.012, k < 4, "" if k < 4 else "at its null"))
    table = pd.concat(rows).assign(null_low=-0.03, null_high=0.03, best_null_high=0.1)
    return (
        table,
        pd.DataFrame(clusters, columns=["model", "layer", "start_s", "stop_s", "p"]),
        pd.DataFrame(peaks, columns=["model", "layer", "peak_s", "low_s", "high_s", "decided", "reason"]),
    )


def test_profiles_star_the_best_layer_only_where_decided() -> None:
    figure = layer_profile(profiles(), random_weights=["effnetrandom"])
    panels = {ax.get_title(): ax for ax in figure.axes if ax.get_visible()}
    assert list(panels) == ["V1", "V4", "IT", "noise"]
    stars = {
        name: [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "*"] for name, ax in panels.items()
    }
    assert stars == {"V1": [0.0], "V4": [0.5], "IT": [1.0], "noise": []}
    assert any("undecided" in text.get_text() for text in panels["noise"].texts)
    assert len({ax.get_ylim() for ax in panels.values()}) == 1  # panels can be compared by eye
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "effnetrandom (random weights)" in labels
    assert "noise ceiling (r)" in labels
    assert "permuted, mean to upper end" in labels
    assert len(labels) == len(set(labels))
    assert len(picture_bytes(figure)) <= 200_000


@pytest.mark.parametrize(("n", "words"), [(3, "undecided: net0, net1, net2"), (4, "undecided: 4 models (no star)")])
def test_undecided_models_are_named_while_their_names_leave_room(n: int, words: str) -> None:
    one = profiles().query("roi == 'noise' and model == 'effnet'")
    figure = layer_profile(pd.concat([one.assign(model=f"net{k}") for k in range(n)]))
    (text,) = (text.get_text() for text in figure.axes[0].texts)
    assert text.replace("\n", " ") == words


def test_the_heat_map_marks_decided_regions_and_greys_the_others() -> None:
    rows = profiles()
    figure = roi_layer_heatmap(rows, "effnet")
    ax = figure.axes[0]
    np.testing.assert_allclose(
        ax.images[0].get_array(),
        rows[rows["model"] == "effnet"]
        .pivot(index="roi", columns="layer", values="r")
        .loc[["V1", "V4", "IT", "noise"]],
    )
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines] == [(0, 0), (2, 1), (4, 2)]
    assert [text.get_text() for text in ax.texts] == ["?"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["V1", "V4", "IT", "noise"]


def test_colours_follow_the_model_not_its_place() -> None:
    everything = model_colours(["a", "b", "c"], ["c"])
    assert everything["c"] == GREY
    figure = layer_profile(profiles().replace({"model": {"effnet": "b"}}), ["a", "b"], ["effnetrandom"])
    drawn = {container.get_label(): container.lines[0].get_color() for container in figure.axes[0].containers}
    assert drawn == {"b": everything["b"], "effnetrandom (random weights)": GREY}


def test_scores_over_time_show_clusters_with_p_and_decided_peaks() -> None:
    rows, clusters, peaks = series()
    figure = score_over_time(rows, clusters, peaks)
    mean, best, bars = figure.axes
    assert mean.get_title() == "mean over sensors"
    assert len(bars.patches) == len(clusters) == 9
    assert sum(bar.get_alpha() == 1 for bar in bars.patches) == 4
    assert [text.get_text() for text in bars.texts].count("p=.002") == 4
    assert sum(line.get_marker() == "o" for line in mean.lines) == 4  # the fifth layer is undecided
    curve = next(line for line in best.lines if line.get_label() == "block0")
    assert curve.get_xdata()[np.argmax(curve.get_ydata())] == pytest.approx(100, abs=1)  # ms
    assert "ms" in bars.get_xlabel()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*LAYERS, "permuted"]
    assert len(picture_bytes(figure)) <= 200_000
    assert len(score_over_time(rows).axes[0].lines) == len(LAYERS) + 2  # alone: curves, onset, zero


def test_latencies_of_undecided_layers_have_words_not_marks() -> None:
    _, _, peaks = series()
    ax = layer_latencies(peaks).axes[0]
    marks = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    np.testing.assert_allclose(marks, [100, 130, 160, 190])
    assert [text.get_text() for text in ax.texts] == ["undecided: at its null"]
    with pytest.raises(BrainalignError, match="block4"):
        layer_latencies(peaks, layers=LAYERS[:4])


def test_rsa_over_time_has_a_panel_per_comparison_with_its_ceiling() -> None:
    rows, clusters, _ = series()
    rows = rows.rename(columns={"mean_r": "score"}).assign(ceiling_low=0.4, ceiling_high=0.6)
    rows = rows.assign(low=rows["score"] - 0.02, high=rows["score"] + 0.02)
    both = pd.concat([rows.assign(comparison=name) for name in ("spearman", "cosine")])
    figure = rsa_over_time(both, clusters)
    assert [ax.get_title() for ax in figure.axes] == ["spearman", "cosine"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["p=.002"] * 4  # significant ones alone
    assert "noise ceiling" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


@pytest.fixture(scope="module")
def sensors() -> pd.DataFrame:
    places = mne.channels.make_standard_montage("biosemi64").get_positions()["ch_pos"]
    table = pd.DataFrame(1000 * np.array(list(places.values())), columns=["x_mm", "y_mm", "z_mm"])
    return table.assign(target_id=list(places), sensor_type="eeg")


def head_scores(sensors: pd.DataFrame) -> pd.DataFrame:
    back = np.exp(-(((sensors["y_mm"] + 80) / 40) ** 2))
    parts = [
        pd.DataFrame(
            {"target_id": sensors["target_id"], "time_s": time, "r": size * back, "significant": size * back > 0.15}
        )
        for time, size in ((0.05, 0.02), (0.1, 0.3), (0.15, 0.4))
    ]
    return pd.concat(parts, ignore_index=True)


def test_topomaps_mark_significant_sensors_at_the_nearest_times(sensors: pd.DataFrame) -> None:
    scores = head_scores(sensors)
    figure = topomaps(scores, sensors, [0.051, 0.149])
    heads = figure.axes[:2]
    assert [ax.get_title() for ax in heads] == ["50 ms", "150 ms"]
    white = [sum(len(line.get_xdata()) for line in ax.lines if line.get_markerfacecolor() == "white") for ax in heads]
    assert white == [0, int(scores[scores["time_s"] == 0.15]["significant"].sum())]
    assert heads[0].images[0].get_clim() == heads[1].images[0].get_clim()
    values = np.ma.masked_invalid(heads[1].images[0].get_array())
    rows = np.flatnonzero(np.nanmax(values.filled(np.nan), axis=1) > 0.35)
    assert rows.max() < values.shape[0] / 2  # the patch is at the back: the lower half of the picture
    assert "r on test stimuli" in figure.axes[-1].get_ylabel()
    assert len(picture_bytes(figure)) <= 200_000


def test_positions_keep_left_right_and_front_and_lie_in_the_head(sensors: pd.DataFrame) -> None:
    plane = flatten_positions(sensors[["x_mm", "y_mm", "z_mm"]].to_numpy() / 1000)
    assert np.hypot(*plane.T).max() <= HEAD_RADIUS * 1.001
    named = dict(zip(sensors["target_id"], plane, strict=True))
    assert np.hypot(*named["Cz"]) < 0.01
    assert named["T7"][0] < -0.05 < 0.05 < named["T8"][0]
    assert named["Fpz"][1] > 0.05 > -0.05 > named["Oz"][1]


def test_two_gradiometers_at_one_place_are_one_mark(sensors: pd.DataFrame) -> None:
    twice = pd.concat([sensors, sensors.assign(target_id=sensors["target_id"] + "b")], ignore_index=True)
    kinds = pd.concat(
        [twice.assign(sensor_type="grad"), sensors.assign(target_id=sensors["target_id"] + "m", sensor_type="mag")]
    )
    scores = pd.DataFrame({"target_id": kinds["target_id"], "time_s": 0.1, "r": 0.2, "significant": True})
    figure = topomaps(scores, kinds, [0.1])
    heads = [ax for ax in figure.axes if ax.images]
    assert [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()] == [
        "grad: r on test stimuli",
        "mag: r on test stimuli",
    ]
    for ax in heads[:2]:
        assert sum(len(line.get_xdata()) for line in ax.lines if line.get_markerfacecolor() == "white") == 64


def test_sensors_without_a_position_are_named(sensors: pd.DataFrame) -> None:
    lost = sensors.assign(x_mm=sensors["x_mm"].where(sensors["target_id"] != "Oz"))
    with pytest.raises(BrainalignError, match=r"1 of 64 sensors have no position .first: 'Oz'."):
        topomaps(head_scores(sensors), lost, [0.1])
