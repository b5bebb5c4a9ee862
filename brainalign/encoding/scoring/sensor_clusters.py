"""Clusters of scores over neighbouring sensors and times, against permuted test images."""

from __future__ import annotations

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.encoding.scoring.held_out_scores import HeldOut
from brainalign.statistics import cluster_permutation, sensor_adjacency

QUANTILE = 0.95  # of the null at each sensor and time, above which it takes part


def score_clusters(found: HeldOut, responses: Responses) -> pd.DataFrame:
    """Return a row per cluster of r over sensors and times, from the permuted maps of an evaluation.

    Parameters
    ----------
    found : HeldOut
        With `null_maps`.
    responses : Responses
        That were encoded: sensors with their places, and times.
    """
    shape = responses.values.shape[1:]
    test = cluster_permutation(
        np.nan_to_num(found.r).reshape(shape),
        found.null_maps,
        sensor_adjacency(responses.targets),
        threshold=QUANTILE,
        kind="quantile",
        times=responses.times,
    )
    return test.table(responses.targets["target_id"].tolist())
