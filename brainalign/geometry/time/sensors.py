"""Where on the head categories differ, and when: an effect of every sensor at every moment, with its permutations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import check_rows


def sensor_effects(values: Values, labels: NDArray[Any], permuted: NDArray[Any]) -> tuple[Values, Values]:
    """Return the effect of the category on every sensor at every moment, over all trials.

    Parameters
    ----------
    values : array (n_trials, n_sensors, n_times)
    labels : array (n_trials,)
    permuted : array (n_permutations, n_trials)
        Labels under the null.

    Returns
    -------
    effect : array (n_sensors, n_times)
        Of two categories the area under the curve of the sensor itself minus .5, positive where the second of the
        sorted two is larger; of more, the share of variance between categories. Nothing is fitted or held out.
    null : array (n_permutations, n_sensors, n_times)

    Raises
    ------
    BrainalignError
        If shapes do not fit.
    """
    from scipy.stats import rankdata

    check_rows("labels", len(labels), "values", len(values), "give the category of every trial")
    names = np.unique(labels)
    stack = np.concatenate([np.asarray(labels)[None], permuted])
    flat = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    if len(names) == 2:
        second = (stack == names[1]).astype(np.float64)
        n = second.sum(axis=1, keepdims=True)
        found = (second @ rankdata(flat, axis=0) - n * (n + 1) / 2) / (n * (len(values) - n)) - 0.5
    else:
        centred = flat - flat.mean(axis=0)
        between = np.zeros((len(stack), flat.shape[1]))
        for name in names:
            member = (stack == name).astype(np.float64)
            between += (member @ centred) ** 2 / member.sum(axis=1, keepdims=True)
        total = (centred**2).sum(axis=0)
        found = between / np.where(total > 0, total, 1)
    found = found.reshape(len(stack), *values.shape[1:])
    return found[0], found[1:]
