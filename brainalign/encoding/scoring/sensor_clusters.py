"""Clusters of scores over neighbouring sensors and times, against permuted test images."""

from __future__ import annotations

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.encoding.scoring.held_out_scores import HeldOut
from brainalign.statistics import cluster_permutation, sensor_adjacency


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
        sensor_adjacency(responses.targets),
        threshold=quantile,
        kind="quantile",
        times=responses.times,
    )
    return test.table(responses.targets["target_id"].tolist())
