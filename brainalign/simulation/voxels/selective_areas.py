"""What selective areas answer to, as functions of the scene's own variables: red, crosses, blue circles, large
things, things on the left."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.simulation.voxels.scenes import COLOURS, RADIUS, SHAPES, TEXTURES

Floats = NDArray[np.float64]


def _red(scenes: pd.DataFrame) -> Floats:
    return np.asarray(scenes["colour"] == "red", dtype=np.float64)


def _cross(scenes: pd.DataFrame) -> Floats:
    return np.asarray(scenes["shape"] == "cross", dtype=np.float64)


def _blue_circle(scenes: pd.DataFrame) -> Floats:
    return np.asarray((scenes["colour"] == "blue") & (scenes["shape"] == "circle"), dtype=np.float64)


def _large(scenes: pd.DataFrame) -> Floats:
    return (scenes["size"].to_numpy(float) / RADIUS[1]) ** 2  # area, as a share of the largest


def _leftside(scenes: pd.DataFrame) -> Floats:
    return 1 - scenes["x"].to_numpy(float)


PREFERENCES = {
    "red": _red,
    "cross": _cross,
    "bluecircle": _blue_circle,
    "large": _large,
    "leftside": _leftside,
}


def _z(values: Floats) -> Floats:
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def preferences(scenes: pd.DataFrame) -> pd.DataFrame:
    """Return the true response of every selective area to every scene, z-scored over scenes.

    Parameters
    ----------
    scenes : DataFrame (n_scenes)

    Returns
    -------
    DataFrame (n_scenes)
        A column per entry of `PREFERENCES`, index stimulus_id.
    """
    columns = {name: _z(response(scenes)) for name, response in PREFERENCES.items()}
    return pd.DataFrame(columns, index=pd.Index(scenes["stimulus_id"]))


def scene_variables(scenes: pd.DataFrame) -> Floats:
    """Return all variables of scenes as numbers (categories one-hot), z-scored: (n_scenes, n_variables)."""
    menus: dict[str, Collection[str]] = {"shape": SHAPES, "colour": COLOURS, "texture": TEXTURES}
    columns = [(scenes[name] == option).to_numpy(float) for name, options in menus.items() for option in options]
    columns += [scenes[name].to_numpy(float) for name in ("size", "x", "y", "ground")]
    return _z(np.stack(columns, axis=1))
