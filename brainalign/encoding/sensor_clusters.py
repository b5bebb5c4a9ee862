"""Clusters of scores over neighbouring sensors and times, against permuted test images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.encoding.held_out_scores import HeldOut
from brainalign.statistics import cluster_permutation

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["score_clusters", "sensor_adjacency"]

N_NEIGHBOURS = 6  # of a sensor


def score_clusters(found: HeldOut, responses: Responses, quantile: float) -> pd.DataFrame:
    """Return a row per cluster of r over sensors and times, from the permuted maps of an evaluation.

    Parameters
    ----------
    found : HeldOut
        With `null_maps`.
    responses : Responses
        That were encoded: sensors with their places, and times.
    quantile : float
        Of the null, above which a sensor and time takes part.
    """
    shape = responses.values.shape[1:]
    test = cluster_permutation(
        np.nan_to_num(found.r).reshape(shape),
        found.null_maps,
        sensor_adjacency(responses),
        threshold=quantile,
        kind="quantile",
        times=responses.times,
    )
    return test.table(responses.targets["target_id"].tolist())


def sensor_adjacency(responses: Responses) -> csr_array[Any]:
    """Return which sensors are neighbours: the nearest ones, and those that call this one near; types apart.

    Nearest places rather than triangles, because the two gradiometers of a place coincide.
    """
    # Imported here, so that encoding without sensors does not pay for it.
    from scipy.sparse import lil_array
    from sklearn.neighbors import kneighbors_graph

    places = responses.targets[["x_mm", "y_mm", "z_mm"]]
    adjacency = lil_array((len(places), len(places)), dtype=bool)
    if places.isna().any(axis=None):
        return adjacency.tocsr()  # without positions none are neighbours: clusters run over time only
    for kind in pd.unique(responses.targets["sensor_type"]):
        rows = np.flatnonzero(responses.targets["sensor_type"] == kind)
        n_neighbours = min(N_NEIGHBOURS, len(rows) - 1)
        if n_neighbours > 0:
            near = kneighbors_graph(places.to_numpy()[rows], n_neighbours).toarray().astype(bool)
            adjacency[np.ix_(rows, rows)] = near | near.T
    return adjacency.tocsr()
