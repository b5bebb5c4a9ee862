"""Designs of delayed features: X_d[i] = X[i − d] within a run, zero before its start and after its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows


def delayed_features(values: NDArray[Any], delays: Sequence[int], runs: NDArray[Any]) -> NDArray[Any]:
    """Delay features by whole rows within runs.

    Parameters
    ----------
    values : array (n_rows, n_features)
    delays : sequence of int
        In rows; negative ones look ahead.
    runs : array (n_rows,)
        The run of each row; rows of one run stand together.

    Returns
    -------
    array (n_rows, n_delays * n_features)
        Delay by delay.

    Raises
    ------
    BrainalignError
        If rows of a run do not stand together, or there is another number of them than of `values`.

    Examples
    --------
    >>> delayed_features(np.array([[1], [2], [3]]), (0, 1), np.array(["a", "a", "b"])).tolist()
    [[1, 0], [2, 1], [3, 0]]
    """
    check_rows("features", len(values), "runs", len(runs), "give the run of every row")
    starts = np.flatnonzero(np.r_[True, runs[1:] != runs[:-1]])
    if len(starts) != len(set(runs[starts].tolist())):
        raise BrainalignError("rows of a run do not stand together; sort them by run, and by time within runs")
    n_rows, n_features = values.shape
    design = np.zeros((n_rows, len(delays), n_features), dtype=values.dtype)
    for start, stop in zip(starts, [*starts[1:], n_rows], strict=True):
        for k, delay in enumerate(delays):
            low, high = max(start, start + delay), min(stop, stop + delay)
            if low < high:
                design[low:high, k] = values[low - delay : high - delay]
    return design.reshape(n_rows, -1)
