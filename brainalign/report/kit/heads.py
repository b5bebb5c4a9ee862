"""Scores over the head at chosen times, interpolated by MNE."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.report.kit.canvas import check_columns, new_figure

HEAD_RADIUS = 0.095  # m, of the circle that topomaps draw as the head
ON_THE_HEAD = {"eeg", "mag", "grad"}  # types of sensors, as MNE names them; electrodes in the brain have others
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
    polar = np.arctan2(np.hypot(x, y), z)
    around = np.arctan2(y, x)
    plane: NDArray[np.float64] = (
        np.c_[np.cos(around), np.sin(around)] * (polar / max(np.pi / 2, polar.max(initial=0)) * HEAD_RADIUS)[:, None]
    )
    return plane


def topomaps(
    scores: pd.DataFrame, targets: pd.DataFrame, times_s: Sequence[float], *, label: str = "r on test stimuli"
) -> Figure:
    """Draw scores over the head at chosen times; significant sensors are marked by white dots.

    Parameters
    ----------
    scores : DataFrame
        A row per target_id and time_s: r, significant (bool).
    targets : DataFrame
        A row per sensor: target_id, x_mm, y_mm, z_mm (head coordinates), sensor_type. A row of heads per type;
        gradiometers at one place are averaged.
    times_s : sequence of float
        The sample nearest to each is drawn.
    label : str
        What the colours show.
    """
    check_columns("the table of scores per sensor", scores, ["target_id", "time_s", "r", "significant"])
    check_columns("the table of sensors", targets, ["target_id", "x_mm", "y_mm", "z_mm", "sensor_type"])
    placed = targets[["x_mm", "y_mm", "z_mm"]].notna().all(axis=1)
    if not placed.all():
        raise BrainalignError(
            f"{int((~placed).sum())} of {len(targets)} sensors have no position (first: "
            f"{targets.loc[~placed, 'target_id'].iloc[0]!r}); set a montage in the epochs before drawing topomaps"
        )
    times = np.unique(scores["time_s"].to_numpy(dtype=float))
    chosen = list(dict.fromkeys(float(times[np.abs(times - time).argmin()]) for time in times_s))
    types = list(pd.unique(targets["sensor_type"]))
    figure, axes = new_figure(1.0 + 1.5 * len(chosen), 0.5 + 1.75 * len(types), len(chosen), len(types))
    for row, kind in enumerate(types):
        here = targets[targets["sensor_type"] == kind]
        values = {time: _at_places(here, scores[scores["time_s"] == time]) for time in chosen}
        vmax = max(float(np.nanmax(np.abs(r))) for _, r, _ in values.values()) or 1.0
        line = axes[row * len(chosen) : (row + 1) * len(chosen)]
        image: Any = None
        for ax, (time, (places, r, marked)) in zip(line, values.items(), strict=True):
            image = _topomap(ax, places, r, marked, vmax)
            ax.set_title(f"{1000 * time:.0f} ms", fontsize=9)
        bar = figure.colorbar(image, ax=line, shrink=0.8, pad=0.01, aspect=12)
        bar.set_label(label if len(types) == 1 else f"{kind}: {label}", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return figure


def _at_places(
    targets: pd.DataFrame, scores: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return places (n, 3; m), mean r and whether any sensor there is significant, for sensors with a score."""
    joined = targets.merge(scores[["target_id", "r", "significant"]], on="target_id")
    xyz = ["x_mm", "y_mm", "z_mm"]
    rounded = (joined[xyz] / FINE_MM).round().rename(columns={name: f"at_{name}" for name in xyz})
    grouped = joined.join(rounded).groupby(list(rounded.columns), sort=False)
    places = grouped[xyz].mean().to_numpy(dtype=float) / 1000
    return places, grouped["r"].mean().to_numpy(dtype=float), grouped["significant"].any().to_numpy(dtype=bool)


def _topomap(
    ax: Axes, places: NDArray[np.float64], r: NDArray[np.float64], marked: NDArray[np.bool_], vmax: float
) -> Any:
    """Draw one head, interpolated by MNE."""
    from mne.viz import plot_topomap

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
        mask_params={
            "marker": "o",
            "markerfacecolor": "white",
            "markeredgecolor": "black",
            "markersize": 3.5,
            "linewidth": 0,
        },
        contours=0,
    )
    return image
