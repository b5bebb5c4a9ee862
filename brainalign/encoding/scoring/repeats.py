"""Averages over the repeats of a stimulus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Rows, Values
from brainalign.checks import check_rows


@dataclass(frozen=True)
class Averages:
    """One row per stimulus, in order of first appearance (sorted ids would put categories into contiguous folds).

    Attributes
    ----------
    ids : array (n_stimuli,)
    values : array (n_stimuli, n_targets)
    counts : array (n_stimuli,) of int
        Trials behind each average.
    first : array (n_stimuli,) of int
        The first trial of each stimulus.
    """

    ids: NDArray[Any]
    values: Values
    counts: Rows
    first: Rows


def average_repeats(values: Values, stimulus_ids: NDArray[Any]) -> Averages:
    """Return the averages over the trials of each stimulus; sums are in float64.

    In the type of the values, or one of fractions that holds them where those are whole numbers.

    Parameters
    ----------
    values : array (n_trials, n_targets)
    stimulus_ids : array (n_trials,)

    Raises
    ------
    BrainalignError
        If there is not one id per trial.

    Examples
    --------
    >>> average_repeats(np.array([[1.0], [5.0], [3.0]]), np.array(["b", "a", "b"])).values
    array([[2.],
           [5.]])
    """
    check_rows("stimulus_ids", len(stimulus_ids), "values", len(values), "give one stimulus id per trial")
    codes, _ = pd.factorize(np.asarray(stimulus_ids))
    counts = np.bincount(codes)
    first = np.unique(codes, return_index=True)[1]
    ids = np.asarray(stimulus_ids)[first]
    dtype = np.result_type(values.dtype, np.float32)
    if len(ids) == len(codes):
        return Averages(ids, values.astype(dtype, copy=False), counts, first)
    sums = np.zeros((len(ids), values.shape[1]))
    nth = pd.Series(codes).groupby(codes).cumcount().to_numpy()
    for repeat in range(counts.max()):  # at most one trial of every stimulus: plain indexing adds, and is fast
        rows = nth == repeat
        sums[codes[rows]] += values[rows]
    return Averages(ids, (sums / counts[:, None]).astype(dtype), counts, first)
