"""Scores over the head at chosen times, interpolated by MNE, above the course of every sensor."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from numpy.typing import NDArray

from brainalign.report.kit.canvas import COLOURS, GREY, label_axes

HEAD_RADIUS = 0.095  # m, of the circle that topomaps draw as the head
ON_THE_HEAD = {"eeg", "mag", "grad"}  # types of sensors, as MNE names them; electrodes in the brain have others
DOT = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 3.5, "linewidth": 0}
MOST_HEADS, LEAST_PEAK = 5, 0.1  # in a row, and the least prominence of their times as a share of the largest
FEWEST_PLACES = 3
FINE_MM = 1.0  # sensors nearer than this lie at one place (the two gradiometers of a Neuromag triplet)


def lie_on_the_head(targets: pd.DataFrame) -> bool:
    """Tell whether all targets are sensors of EEG or MEG whose places are known."""
    columns = targets.reindex(columns=["x_mm", "y_mm", "z_mm", "sensor_type"])
    return bool(columns.notna().all(axis=None)) and set(columns["sensor_type"]) <= ON_THE_HEAD


def flatten_positions(positions_m: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return sensors (n, 3; m, head coordinates) in the plane (n, 2): angle from the vertex as distance, m.

    The sphere that fits the sensors best is unrolled from its top. Its equator falls on the circle of the head, or,
    where sensors lie lower, the lowest of them does: MNE fills the circle and would leave those outside without colour.
    """
    points = np.asarray(positions_m, dtype=float)
    # |x|² = 2 c·x + (R² − |c|²) is linear in the centre c.
    solution, *_ = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(axis=1), rcond=None)
    x, y, z = (points - solution[:3]).T
    polar, around = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    plane: NDArray[np.float64] = (
        np.c_[np.cos(around), np.sin(around)] * (polar / max(np.pi / 2, polar.max(initial=0)) * HEAD_RADIUS)[:, None]
    )
    return plane


def topomaps(scores: pd.DataFrame, targets: pd.DataFrame, *, label: str = "r on test stimuli") -> Figure:
    """Draw scores over the head at their peaks after onset; significant sensors are marked by white dots.

    Below, where there are several times, stands the course of every sensor, its significant part in colour, with a line
    from every head to its time.

    Parameters
    ----------
    scores : DataFrame
        A row per target_id and time_s, of every time: r, significant (bool).
    targets : DataFrame
        A row per sensor: target_id, x_mm, y_mm, z_mm (head coordinates), sensor_type. A row of heads per type;
        gradiometers at one place are averaged.
    label : str
        What the colours show.
    """
    types = list(pd.unique(targets["sensor_type"]))
    parts = [scores[scores["target_id"].isin(targets.loc[targets["sensor_type"] == of, "target_id"])] for of in types]
    each = [part.assign(r=part["r"] ** 2).groupby("time_s")["r"].mean() ** 0.5 for part in parts]
    strength = pd.concat([one / (one.max() or 1.0) for one in each], axis=1)  # types have units of their own
    chosen = _peak_times(strength.sum(axis=1))
    rows = (1.75, 1.7) if scores["time_s"].nunique() > 1 else (1.75,)  # inches, of each type
    size = max(1.0 + 1.5 * len(chosen), 5.0 if len(rows) > 1 else 0), 0.5 + sum(rows) * len(types)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    grid = figure.add_gridspec(len(rows) * len(types), len(chosen), height_ratios=rows * len(types))
    for place, kind, part in zip(range(0, len(rows) * len(types), len(rows)), types, parts, strict=True):
        here = targets[targets["sensor_type"] == kind]
        values = {time: _at_places(here, part[part["time_s"] == time]) for time in chosen}
        vmax = max(float(np.abs(r).max(initial=0)) for _, r, _ in values.values()) or 1.0
        heads = [figure.add_subplot(grid[place, column]) for column in range(len(chosen))]
        image: Any = None
        for ax, (time, (places, r, marked)) in zip(heads, values.items(), strict=True):
            image = _topomap(ax, places, r, marked, vmax)
            ax.set_title(f"{1000 * time:.0f} ms", fontsize=9)
        bar = figure.colorbar(image, ax=heads, shrink=0.8, pad=0.01, aspect=12)
        named = label if len(types) == 1 else f"{kind}: {label}"
        bar.set_label(named, fontsize=8)
        bar.ax.tick_params(labelsize=7)
        if len(rows) > 1:
            below = figure.add_subplot(grid[place + 1, :])
            _courses(below, part, named)
            times: Any = below.get_xaxis_transform()
            for ax, time in zip(heads, chosen, strict=True):  # a line from every head to its time
                below.axvline(1000 * time, color=GREY, linewidth=0.8)
                line = ConnectionPatch((0.5, 0.0), (1000 * time, 1), ax.transAxes, times, color=GREY, linewidth=0.8)
                line.set_in_layout(False)
                figure.add_artist(line)
    return figure


def _peak_times(strength: "pd.Series[float]") -> list[float]:
    """Return the times of the most prominent peaks after onset, at most `MOST_HEADS`; without any of the largest."""
    from scipy.signal import find_peaks

    times, values = strength.index.to_numpy(dtype=float), np.nan_to_num(strength.to_numpy(dtype=float))
    after = np.where(times >= 0, values, 0.0)
    places, found = find_peaks(after, prominence=LEAST_PEAK * after.max())
    most = np.sort(places[np.argsort(found["prominences"])[::-1][:MOST_HEADS]])
    return [float(time) for time in times[most if len(most) else [int(after.argmax())]]]


def _courses(ax: Axes, scores: pd.DataFrame, label: str) -> None:
    """Draw the course of every sensor, its significant part in colour, and the root mean square over all."""
    values, sure = (scores.pivot(index="time_s", columns="target_id", values=name) for name in ("r", "significant"))
    x: NDArray[np.float64] = 1000 * values.index.to_numpy(dtype=float)
    ax.plot(x, values, color=GREY, linewidth=0.5)
    ax.plot(x, values.where(sure.eq(True)), color=COLOURS[0], linewidth=0.9)
    ax.plot(x, np.sqrt((values**2).mean(axis=1)), color="black", linewidth=1.6)
    ax.axhline(0, color=GREY, linewidth=0.6)
    ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlim(float(x[0]), float(x[-1]))
    label_axes(ax, x="time from onset (ms)", y=label, ticks="both")


def _at_places(
    targets: pd.DataFrame, scores: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return places (n, 3; m), mean r and whether any sensor there is significant, for sensors with a score."""
    joined = targets.merge(scores[["target_id", "r", "significant"]].dropna(subset="r"), on="target_id")
    xyz = ["x_mm", "y_mm", "z_mm"]
    rounded = (joined[xyz] / FINE_MM).round().rename(columns={name: f"at_{name}" for name in xyz})
    grouped = joined.join(rounded).groupby(list(rounded.columns), sort=False)
    places = grouped[xyz].mean().to_numpy(dtype=float) / 1000
    return places, grouped["r"].mean().to_numpy(dtype=float), grouped["significant"].any().to_numpy(dtype=bool)


def _topomap(
    ax: Axes, places: NDArray[np.float64], r: NDArray[np.float64], marked: NDArray[np.bool_], vmax: float
) -> Any:
    """Draw one head, interpolated by MNE; an empty one where too few places have a score to interpolate."""
    from mne.viz import plot_topomap

    if len(r) < FEWEST_PLACES:
        turn = np.linspace(0, 2 * np.pi, 100)
        ax.plot(HEAD_RADIUS * np.cos(turn), HEAD_RADIUS * np.sin(turn), color="black", linewidth=1)
        ax.set_aspect("equal")
        ax.set_axis_off()
        return ScalarMappable(Normalize(-vmax, vmax), "RdBu_r")
    image, _ = plot_topomap(
        r,
        flatten_positions(places),
        axes=ax,
        show=False,
        sphere=(0.0, 0.0, 0.0, HEAD_RADIUS),
        cmap="RdBu_r",
        vlim=(-vmax, vmax),
        sensors="k,",
        mask=marked,
        mask_params=DOT,
        contours=0,
    )
    return image
