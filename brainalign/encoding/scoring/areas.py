"""Where areas lie and how far apart: centroids with the right hemisphere mirrored onto the left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values

AXES = ["x_mm", "y_mm", "z_mm"]


def area_places(targets: pd.DataFrame, groups: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Return the centroid of every area, the right hemisphere mirrored.

    A region usually has a part in each hemisphere. The midpoint of both would lie between the hemispheres, as far from
    V1 for a lateral region as for a medial one; mirrored, distances are those within a hemisphere.

    Parameters
    ----------
    targets : DataFrame (n_targets)
        x_mm (negative on the left), y_mm, z_mm; hemi "L", "R", or "" where x tells the side.
    groups : sequence of arrays of target numbers

    Returns
    -------
    array (n_areas, 3)
        NaN for an area without coordinates.
    """
    if not set(AXES) <= set(targets.columns):
        return np.full((len(groups), 3), np.nan)
    places = targets[AXES].to_numpy(dtype=np.float64, copy=True)
    hemi = targets["hemi"].to_numpy(dtype=str)
    right = (hemi == "R") | ((hemi == "") & (places[:, 0] > 0))
    places[right, 0] *= -1
    known = np.isfinite(places).all(axis=1)
    kept = [np.asarray(rows)[known[rows]] for rows in groups]
    return np.array([places[rows].mean(axis=0) if len(rows) else np.full(3, np.nan) for rows in kept]).reshape(-1, 3)


def separations(places: Values) -> NDArray[np.float64]:
    """Return straight distances between areas (n_areas, n_areas), in the unit of their places."""
    return np.asarray(np.linalg.norm(places[:, None] - places, axis=2), dtype=np.float64)
