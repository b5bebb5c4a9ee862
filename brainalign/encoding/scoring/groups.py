"""The targets whose scores are averaged: of each region, or all sensors at a time, and those that repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.statistics import RELIABLE


def target_groups(responses: Responses, ceiling: NDArray[np.floating], threshold: float) -> dict[str, NDArray[np.intp]]:
    """Return numbers of flat targets by region, or for M/EEG of all sensors by time in s; then the reliable targets.

    Parameters
    ----------
    responses : Responses
    ceiling : array (n_targets,), share of variance
        Of flat targets, sensor × time; NaN where not known. Without any, every target that varies counts as reliable.
    threshold : float
        That the ceiling of a reliable target exceeds.
    """
    if responses.times is not None:
        flat = np.arange(responses.values[0].size).reshape(responses.values.shape[1:])
        groups = {f"{time:.4f}": flat[:, k] for k, time in enumerate(responses.times)}
    else:
        exploded = responses.targets["roi"].explode().dropna()
        groups = {str(roi): np.asarray(rows, dtype=np.intp) for roi, rows in exploded.groupby(exploded).groups.items()}
    # Without repeats there is no ceiling to choose by, and every target counts.
    known = np.isfinite(ceiling).any()
    groups[RELIABLE] = np.flatnonzero(np.nan_to_num(ceiling) > threshold if known else ceiling != 0)
    return groups


def target_columns(responses: Responses) -> dict[str, NDArray[Any]]:
    """Build the columns that name every flat target: its id, and the time where there is one."""
    targets = responses.targets["target_id"].to_numpy()
    if responses.times is None:
        return {"target_id": targets}
    return {"target_id": np.repeat(targets, len(responses.times)), "time_s": np.tile(responses.times, len(targets))}
