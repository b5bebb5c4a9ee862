"""Areas under the curve of many labellings or resampled sets of trials at once, and of single sensors over time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import check_rows
from brainalign.statistics.scores import is_constant


def auc(decisions: Values, positive: NDArray[np.bool_]) -> Values:
    """Return the share of pairs (positive, negative) in which the positive decides higher; ties count half.

    `decisions` (..., n_trials) and `positive` of that shape give (...), NaN where one class is missing.

    Examples
    --------
    >>> float(auc(np.array([0.1, 0.4, 0.3, 0.9]), np.array([False, False, True, True])))
    0.75
    """
    from scipy.stats import rankdata

    decisions = np.asarray(decisions, dtype=np.float64)
    positive = np.broadcast_to(positive, decisions.shape)
    n = decisions.shape[-1]
    keys = np.sort(_keys(decisions, positive), axis=-1)
    if ((keys[..., 1:] | 1) == (keys[..., :-1] | 1)).any():
        rank_sum = np.where(positive, rankdata(decisions, axis=-1), 0).sum(axis=-1)
    else:
        rank_sum = (keys & 1) @ np.arange(1, n + 1)
    n_positive = positive.sum(axis=-1)
    pairs = n_positive * (n - n_positive)
    return np.asarray((rank_sum - n_positive * (n_positive + 1) / 2) / np.where(pairs > 0, pairs, np.nan))


def _keys(decisions: Values, positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return integers in the order of the decisions whose last bit is the label: sorting them sorts both.

    The bits of floating-point numbers order as integers do, those of negative ones reversed. Sorting numbers is several
    times faster than finding the order of them; the bit that is lost decides only between numbers one part in 10¹⁵
    apart, which are compared anew.
    """
    bits = np.ascontiguousarray(decisions + 0.0).view(np.int64)  # + 0.0: negative zero becomes zero
    ordered = bits ^ ((bits >> 63) & np.int64(0x7FFFFFFFFFFFFFFF))
    return np.asarray((ordered & ~np.int64(1)) | positive)


def auc_draws(decisions: Values, positive: NDArray[np.bool_], weights: Values) -> Values:
    """Return areas under the curve (n_draws, n_times) of weighted trials: of draws, weights are multiplicities.

    Decisions are (n_trials, n_times), weights (n_draws, n_trials). NaN where a draw holds one class only. A trial never
    meets copies of itself, because they are of its own class; equal decisions of two classes count half.
    """
    found = np.empty((len(weights), decisions.shape[1]))
    up, down = weights * positive, weights * ~positive
    pairs = up.sum(axis=1) * down.sum(axis=1)
    for time, column in enumerate(np.asarray(decisions, dtype=np.float64).T):
        order = np.argsort(column, kind="stable")
        _, start, counts = np.unique(column[order], return_index=True, return_counts=True)
        below = np.cumsum(down[:, order], axis=1)
        before = np.concatenate([np.zeros((len(weights), 1)), below], axis=1)
        lower = np.repeat(before[:, start], counts, axis=1)
        upper = np.repeat(before[:, start + counts], counts, axis=1)
        found[:, time] = (up[:, order] * (lower + upper)).sum(axis=1) / 2
    return found / np.where(pairs > 0, pairs, np.nan)[:, None]


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
        found = np.where(is_constant(total, (flat**2).sum(axis=0)), 0, between / np.where(total > 0, total, 1))
    found = found.reshape(len(stack), *values.shape[1:])
    return found[0], found[1:]
