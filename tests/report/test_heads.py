"""Scores over the head: marks, places and labels are those of the tables."""

import mne
import numpy as np
import pandas as pd
import pytest
from drawn import panels
from refusals import refused

from brainalign.report import topomaps
from brainalign.report.kit import HEAD_RADIUS, flatten_positions


@pytest.fixture(scope="module")
def sensors() -> pd.DataFrame:
    places = mne.channels.make_standard_montage("biosemi64").get_positions()["ch_pos"]
    table = pd.DataFrame(1000 * np.array(list(places.values())), columns=["x_mm", "y_mm", "z_mm"])
    return table.assign(target_id=list(places), sensor_type="eeg")


def head_scores(sensors: pd.DataFrame) -> pd.DataFrame:
    back = np.exp(-(((sensors["y_mm"] + 80) / 40) ** 2))
    sizes = ((0.05, 0.02), (0.1, 0.3), (0.15, 0.4))
    parts = [pd.DataFrame({"target_id": sensors["target_id"], "time_s": t, "r": size * back}) for t, size in sizes]
    return pd.concat(parts, ignore_index=True).assign(significant=lambda table: table["r"] > 0.15)


def test_topomaps_mark_significant_sensors_at_the_nearest_times(sensors: pd.DataFrame) -> None:
    scores = head_scores(sensors)
    figure = topomaps(scores, sensors, [0.051, 0.149])
    heads = figure.axes[:2]
    assert [ax.get_title() for ax in heads] == ["50 ms", "150 ms"]
    assert [ax.get_title() for ax in panels(topomaps(scores, sensors, [0.149, 0.151, 0.05]))] == ["150 ms", "50 ms"]
    white = [sum(len(line.get_xdata()) for line in ax.lines if line.get_markerfacecolor() == "white") for ax in heads]
    assert white == [0, int(scores[scores["time_s"] == 0.15]["significant"].sum())]
    assert heads[0].images[0].get_clim() == heads[1].images[0].get_clim()
    values = np.ma.masked_invalid(heads[1].images[0].get_array())
    rows = np.flatnonzero(np.nanmax(values.filled(np.nan), axis=1) > 0.35)
    assert rows.max() < values.shape[0] / 2  # the patch is at the back: the lower half of the picture
    twice = pd.concat([sensors, sensors.assign(target_id=sensors["target_id"] + "b")], ignore_index=True)
    magnetometers = sensors.assign(target_id=sensors["target_id"] + "m", sensor_type="mag")
    kinds = pd.concat([twice.assign(sensor_type="grad"), magnetometers])
    scores = pd.DataFrame({"target_id": kinds["target_id"], "time_s": 0.1, "r": 0.2, "significant": True})
    figure = topomaps(scores, kinds, [0.1])
    labels = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert labels == ["grad: r on test stimuli", "mag: r on test stimuli"]
    for ax in [ax for ax in figure.axes if ax.images][:2]:
        assert sum(len(line.get_xdata()) for line in ax.lines if line.get_markerfacecolor() == "white") == 64


def test_positions_keep_left_right_and_front_and_lie_in_the_head(sensors: pd.DataFrame) -> None:
    plane = flatten_positions(sensors[["x_mm", "y_mm", "z_mm"]].to_numpy() / 1000)
    assert np.hypot(*plane.T).max() <= HEAD_RADIUS * 1.001
    named = dict(zip(sensors["target_id"], plane, strict=True))
    assert np.hypot(*named["Cz"]) < 0.01
    assert named["T7"][0] < -0.05 < 0.05 < named["T8"][0]
    assert named["Fpz"][1] > 0.05 > -0.05 > named["Oz"][1]
    lost = sensors.assign(x_mm=sensors["x_mm"].where(sensors["target_id"] != "Oz"))
    refused("1 of 64 sensors have no position .first: 'Oz'.", topomaps, head_scores(sensors), lost, [0.1])
