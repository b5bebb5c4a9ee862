"""Scores over the head: marks, places and labels are those of the tables."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest
from drawn import curves, panels
from made import responses_of
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch

from brainalign.report.geometry_sections import evoked_section
from brainalign.report.kit import COLOURS, GREY, HEAD_RADIUS, flatten_positions, topomaps

SIZES = {-0.05: 0.9, 0.05: 0.02, 0.1: 0.3, 0.15: 0.05, 0.2: 0.4, 0.25: 0.38, 0.3: 0.39, 0.35: 0.1}


@pytest.fixture(scope="module")
def sensors() -> pd.DataFrame:
    places = mne.channels.make_standard_montage("biosemi64").get_positions()["ch_pos"]
    table = pd.DataFrame(1000 * np.array(list(places.values())), columns=["x_mm", "y_mm", "z_mm"])
    return table.assign(target_id=list(places), sensor_type="eeg")


def head_scores(sensors: pd.DataFrame) -> pd.DataFrame:
    back = np.exp(-(((sensors["y_mm"] + 80) / 40) ** 2))
    parts = [pd.DataFrame({"target_id": sensors["target_id"], "time_s": t, "r": s * back}) for t, s in SIZES.items()]
    return pd.concat(parts, ignore_index=True).assign(significant=lambda table: table["r"] > 0.15)


def white(ax: Axes) -> int:
    return sum(len(line.get_xdata()) for line in ax.lines if line.get_markerfacecolor() == "white")


def test_topomaps_mark_significant_sensors_at_the_peaks(sensors: pd.DataFrame) -> None:
    scores = head_scores(sensors)
    *heads, _ = panels(topomaps(scores, sensors))
    assert [ax.get_title() for ax in heads] == ["100 ms", "200 ms"]
    sure = scores.groupby("time_s")["significant"].sum()
    assert [white(ax) for ax in heads] == [sure[0.1], sure[0.2]]
    assert heads[0].images[0].get_clim() == heads[1].images[0].get_clim()
    values = np.ma.masked_invalid(heads[1].images[0].get_array())
    rows = np.flatnonzero(np.nanmax(values.filled(np.nan), axis=1) > 0.35)
    assert rows.max() < values.shape[0] / 2  # the patch is at the back: the lower half of the picture
    (rising, _) = panels(topomaps(scores[scores["time_s"] < 0.15], sensors))
    assert rising.get_title() == "100 ms"  # no peak: the largest
    twice = pd.concat([sensors, sensors.assign(target_id=sensors["target_id"] + "b")], ignore_index=True)
    magnetometers = sensors.assign(target_id=sensors["target_id"] + "m", sensor_type="mag")
    kinds = pd.concat([twice.assign(sensor_type="grad"), magnetometers])
    scores = pd.DataFrame({"target_id": kinds["target_id"], "time_s": 0.1, "r": 0.2, "significant": True})
    figure = topomaps(scores, kinds)
    labels = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert labels == ["grad: r on test stimuli", "mag: r on test stimuli"]
    assert [white(ax) for ax in panels(figure)] == [64, 64]  # one time has no course


def test_a_sensor_without_a_score_leaves_the_others(sensors: pd.DataFrame, made_figures: list[Any]) -> None:
    scores = head_scores(sensors)
    for n, drawn in ((63, 1), (2, 0)):
        r = scores["r"].where(scores["target_id"].isin(sensors["target_id"][-n:]))
        head, *_ = panels(topomaps(scores.assign(r=r), sensors))
        assert len(head.images) == drawn
        assert all(np.isfinite(np.ma.compressed(image.get_array())).mean() > 0.7 for image in head.images)
    made_figures.clear()  # interpolation differs between machines


def test_heads_are_linked_to_their_times_on_the_course_of_every_sensor(sensors: pd.DataFrame) -> None:
    scores = head_scores(sensors)
    figure = topomaps(scores, sensors)
    *heads, course = panels(figure)
    wide = scores.pivot(index="time_s", columns="target_id", values="r")
    grey = [line for line in course.lines if line.get_color() == GREY]
    drawn = [line.get_ydata() for line in grey if len(line.get_xdata()) == len(SIZES)]
    assert np.sort(np.array(drawn).T, axis=1) == pytest.approx(np.sort(wide.to_numpy(), axis=1))
    blue = np.array([line.get_ydata() for line in course.lines if line.get_color() == COLOURS[0]])
    assert np.isfinite(blue).sum() == scores["significant"].sum()
    black = [line for line in course.lines if line.get_color() == "black"]
    (strength,) = [line.get_ydata() for line in black if line.get_linewidth() > 1]
    assert strength == pytest.approx(np.sqrt((wide**2).mean(axis=1)))
    links = [artist for artist in figure.artists if isinstance(artist, ConnectionPatch)]
    assert [link.xy2[0] for link in links] == pytest.approx([100, 200])
    assert [link.coords1 for link in links] == [head.transAxes for head in heads]


def test_what_stimuli_evoke_stands_at_its_peaks(sensors: pd.DataFrame) -> None:
    times, rng = np.arange(-0.1, 0.4, 0.01), np.random.default_rng(0)
    back = np.exp(-(((sensors["y_mm"] + 80) / 40) ** 2)).to_numpy()[:, None]
    waves = [back * np.exp(-(((times - at) / 0.03) ** 2)) for at in (0.1, 0.25)]
    names = np.array(["face", "house"] * 30)
    values = np.array([3 * waves[0] - 4 * (name == "house") * waves[1] for name in names])
    values += rng.normal(0, 0.5, values.shape)
    targets = dict(sensors, kind="sensor", hemi="")
    whole = replace(responses_of(values, names, targets=targets, times=times, category=names), units="µV")
    section = evoked_section(SimpleNamespace(responses=whole))
    assert section.title == "Event-related potential"
    strength = np.sqrt((whole.values.mean(axis=0) ** 2).mean(axis=0)).max()
    drawn = "p = .01, against the largest from onset on in 99 draws of signs of trials."
    said = f"Over 60 trials the mean response is largest at 100 ms: {strength:.3g} µV, root mean square over sensors"
    assert section.paragraphs == [f"{said}; {drawn}"]
    quiet = replace(whole, values=rng.normal(size=values.shape))
    assert "p = .0" not in evoked_section(SimpleNamespace(responses=quiet)).paragraphs[0]
    *heads, _ = panels(section.panels[0].figure)
    assert [ax.get_title() for ax in heads] == ["100 ms", "250 ms"]
    axes = panels(evoked_section(SimpleNamespace(responses=whole.select(targets=np.arange(4)))).panels[0].figure)
    assert [ax.get_title() for ax in axes] == list(sensors["target_id"][:4])
    for k, ax in enumerate(axes):
        for name, ((x, y),) in curves(ax).items():
            mean = whole.values[(whole.trials["category"] == name.split()[0]).to_numpy(), k].mean(axis=0)
            assert name in ("face (30)", "house (30)")
            assert (x, y) == (pytest.approx(1000 * whole.times), pytest.approx(mean))
    lost = replace(whole, targets=whole.targets.assign(x_mm=np.nan))
    assert "the strongest 16 of 64 sensors" in evoked_section(SimpleNamespace(responses=lost)).panels[0].title
    assert evoked_section(SimpleNamespace(responses=None)) is None
    kinds = lost.targets.assign(sensor_type=["mag"] * 32 + ["grad"] * 32)
    values = lost.values[..., ::-1] * np.where(kinds["sensor_type"] == "mag", 1e-6, 1)[:, None]
    two = replace(lost, targets=kinds, values=values, units="T (mag), T/m (grad)")
    strength = np.sqrt((values[:, :32].mean(axis=0) ** 2).mean(axis=0))[times >= 0].max()
    said = f"{strength:.3g} T (mag), root mean square over sensors (mag); p = .01, "
    assert said in evoked_section(SimpleNamespace(responses=two)).paragraphs[0]
    many = whole.trials.assign(category=[f"c{k}" for k in range(len(whole.trials))])
    (ax, *_) = panels(evoked_section(SimpleNamespace(responses=replace(lost, trials=many))).panels[0].figure)
    assert list(curves(ax)) == ["all trials (60)"]


def test_positions_keep_left_right_and_front_and_lie_in_the_head(sensors: pd.DataFrame) -> None:
    plane = flatten_positions(sensors[["x_mm", "y_mm", "z_mm"]].to_numpy() / 1000)
    assert np.hypot(*plane.T).max() <= HEAD_RADIUS * 1.001
    named = dict(zip(sensors["target_id"], plane, strict=True))
    assert np.hypot(*named["Cz"]) < 0.01
    assert named["T7"][0] < -0.05 < 0.05 < named["T8"][0]
    assert named["Fpz"][1] > 0.05 > -0.05 > named["Oz"][1]
