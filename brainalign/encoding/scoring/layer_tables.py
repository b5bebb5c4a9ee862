"""What the evaluations of several layers say together: the best one of a region, latencies, draws to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.encoding.scoring.held_out_scores import HeldOut
from brainalign.statistics import RELIABLE, Latency, RegionDraws, layer_preference, region_draws, score_latency

Results = Mapping[str, HeldOut]


def preference_table(results: Results) -> pd.DataFrame:
    """Return the best layer of every region, from evaluations by layer; over all reliable targets without regions."""
    names = next(iter(results.values())).groups
    rois = [k for k, name in enumerate(names) if name != RELIABLE] or [0]
    return layer_preference(
        np.stack([found.group_r[rois] for found in results.values()], axis=-1),
        np.stack([found.group_draws[:, rois] for found in results.values()], axis=-1),
        np.stack([found.group_null[:, rois] for found in results.values()], axis=-1),
        [names[k] for k in rois],
        list(results),
    )


def latency_table(results: Results, times: NDArray[np.floating]) -> pd.DataFrame:
    """Return peak and onset of every layer after the stimulus.

    Parameters
    ----------
    results : mapping of HeldOut by layer
        Whose first groups are the times.
    times : array (n_times,), s from stimulus onset
    """
    rows = []
    for layer, found in results.items():
        n = len(times)  # the groups are the times, then the reliable targets
        row: dict[str, Any] = dict.fromkeys((entry.name for entry in fields(Latency)), np.nan)
        row |= {"decided": False, "reason": "no score: predictions or responses are constant"}
        if np.isfinite(found.group_r[:n]).all():
            row = vars(
                score_latency(
                    found.group_r[:n], found.group_draws[:, :n], found.group_null[:, :n], times, window=(0.0, np.inf)
                )
            )
        rows.append({"layer": layer} | row)
    return pd.DataFrame(rows)


def layer_draws(
    results: Results,
    groups: Mapping[str, NDArray[np.intp]],
    n_train: int,
    *,
    n_draws: int,
    n_permutations: int,
    seed: int,
) -> RegionDraws:
    """Return draws and null of every region's reliable targets: the ones that all encoders are scored on.

    Parameters
    ----------
    results : mapping of HeldOut by layer
    groups : mapping of arrays of target numbers
        Regions, and the reliable targets; empty where targets lie in none.
    n_train : int
        Training stimuli.
    n_draws, n_permutations, seed : int
    """
    regions = {name: np.intersect1d(rows, groups[RELIABLE]) for name, rows in groups.items()}
    regions = {name: rows for name, rows in regions.items() if len(rows)}
    sizes = {"n_draws": n_draws, "n_permutations": n_permutations, "seed": seed}
    draws, null = {}, {}
    for layer, found in results.items() if regions else ():
        draws[layer], null[layer] = region_draws(found.predicted, found.measured, regions, **sizes)
    test_ids = next(iter(results.values())).test_ids.tolist()
    return RegionDraws(regions, draws, null, test_ids, n_train)
