"""Which sensors lie next to each other: what clusters grow over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from scipy.sparse import csr_array

N_NEIGHBOURS = 6  # of a sensor


def sensor_adjacency(targets: pd.DataFrame) -> csr_array[Any]:
    """Find the neighbours of sensors: the nearest ones, and those that call this one near; types apart.

    Nearest places rather than triangles, because the two gradiometers of a place coincide.

    Parameters
    ----------
    targets : DataFrame
        Of sensors: sensor_type, x_mm, y_mm, z_mm; without positions none are neighbours.
    """
    # Imported here, so that stages without sensors do not pay for it.
    from scipy.sparse import lil_array
    from sklearn.neighbors import kneighbors_graph

    places = targets[["x_mm", "y_mm", "z_mm"]]
    adjacency = lil_array((len(places), len(places)), dtype=bool)
    if places.isna().any(axis=None):
        return adjacency.tocsr()  # without positions none are neighbours: clusters run over time only
    for kind in pd.unique(targets["sensor_type"]):
        rows = np.flatnonzero(targets["sensor_type"] == kind)
        n_neighbours = min(N_NEIGHBOURS, len(rows) - 1)
        if n_neighbours > 0:
            near = kneighbors_graph(places.to_numpy()[rows], n_neighbours).toarray().astype(bool)
            adjacency[np.ix_(rows, rows)] = near | near.T
    return adjacency.tocsr()
