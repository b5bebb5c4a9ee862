"""Permutation tests, false discovery rate and bootstrap intervals."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from brainalign.arrays import Rows, Values, label_codes
from brainalign.checks import BrainalignError, check_choice, generator, listed, numbers

Labels = NDArray[Any]
MIN_UNITS = 6  # below it the interval covers less than it says
# A false discovery rate over thousands of targets needs smaller p than the permutations of one group's mean do.
FEW, LONGER = 10, 10  # reached in fewer permutations than this, a target goes on to so many times as many


def permute_within(groups: Labels, n_permutations: int, rng: np.random.Generator, units: Labels | None = None) -> Rows:
    """Return row orders (n_permutations, n_rows) that shuffle rows within their group only.

    Groups are, for example, the run of each row: exchangeable under the null of no stimulus effect. Rows of one of
    `units`, for example a stimulus, stay together; every unit of a group has as many rows.
    """
    (codes, labels), rng = label_codes("groups", groups, sort=True), generator(rng)
    orders = np.tile(np.arange(len(codes)), (n_permutations, 1))
    for code, label in enumerate(labels):
        rows = np.flatnonzero(codes == code)
        each = rows[:, None] if units is None else _by_unit(rows, np.asarray(units), label)
        orders[:, each] = each[rng.permuted(np.tile(np.arange(len(each)), (n_permutations, 1)), axis=1)]
    return orders


def _by_unit(rows: Rows, units: NDArray[Any], group: Any) -> Rows:
    """Return the rows of a group (n_units, n_rows of each), units in the order of their first row."""
    names, first, codes, counts = np.unique(units[rows], return_index=True, return_inverse=True, return_counts=True)
    if (counts != counts[0]).any():
        odd = int(np.argmax(counts != counts[0]))
        raise BrainalignError(
            f"units can be exchanged as wholes only if all have as many rows in a group; '{names[0]}' has {counts[0]} "
            f"and '{names[odd]}' {counts[odd]} in '{group}'; exchange their features instead (exchange_features)"
        )
    order = np.argsort(np.argsort(np.argsort(first))[codes], kind="stable")
    return np.asarray(rows[order].reshape(len(names), -1))


def exchange_features(
    stimulus_ids: Labels, groups: Labels, n_permutations: int, rng: np.random.Generator, wholes: Labels | None = None
) -> Rows:
    """Return the rows (n_permutations, n_rows) whose features each row takes, when stimuli of a group exchange theirs.

    All rows of a stimulus in a group take those of one other stimulus there, however many rows either has. One group
    for all rows exchanges the features of a stimulus alike everywhere. `wholes` are as of `permute_stimuli`.
    """
    (group, labels), ids, rng = label_codes("groups", groups, sort=True), np.asarray(stimulus_ids), generator(rng)
    donors = np.empty((n_permutations, len(ids)), dtype=np.intp)
    for code in range(len(labels)):
        rows = np.flatnonzero(group == code)
        _, first, codes = np.unique(ids[rows], return_index=True, return_inverse=True)
        donors[:, rows] = rows[first][_orders(rows[first], wholes, n_permutations, rng)[:, codes]]
    return donors


def permute_stimuli(
    stimulus_ids: Labels, groups: Labels, n_permutations: int, rng: np.random.Generator, wholes: Labels | None = None
) -> Rows:
    """Return row orders that exchange stimuli as wholes: in every group, each stimulus takes the place of another.

    The null of zero-shot prediction: which features belong to which stimulus is arbitrary. Every group must hold every
    stimulus, each as often as the others. Row numbers are (n_permutations, n_rows). Stimuli of one label of `wholes`
    (n_rows,), such as a passage, stay together, in their order, and take the places of another with as many.
    """
    names, first, stimulus = np.unique(stimulus_ids, return_index=True, return_inverse=True)
    labels, group = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(labels), len(names)), dtype=int)
    np.add.at(counts, (group, stimulus), 1)
    most = counts.max(axis=1, keepdims=True)
    if (counts != most).any():
        g, s = np.argwhere(counts != most)[0]
        raise BrainalignError(
            f"responses to stimuli can be exchanged as wholes only if every group holds each of them as often; "
            f"'{names[s]}' occurs {counts[g, s]} times in '{labels[g]}', another {most[g, 0]} times; exchange their "
            "features instead (exchange_features), or drop incomplete groups"
        )
    sorted_rows = np.lexsort((stimulus, group))
    exchanged = _orders(first, wholes, n_permutations, rng)
    orders = np.empty((n_permutations, len(group)), dtype=np.intp)
    for part in np.split(sorted_rows, np.cumsum(counts.sum(axis=1))[:-1]):
        rows = part.reshape(len(names), -1)
        orders[:, rows] = rows[exchanged]
    return orders


def _orders(first: Rows, wholes: Labels | None, n_permutations: int, rng: np.random.Generator) -> Rows:
    """Draw orders (n_permutations, n_stimuli) of stimuli whose first rows these are."""
    orders, rng = np.tile(np.arange(len(first)), (n_permutations, 1)), generator(rng)
    if wholes is None:
        return rng.permuted(orders, axis=1)
    _, codes, sizes = np.unique(np.asarray(wholes)[first], return_inverse=True, return_counts=True)
    parts = np.split(np.lexsort((first, codes)), np.cumsum(sizes)[:-1])
    for size in np.unique(sizes):
        alike = np.stack([part for part in parts if len(part) == size])
        orders[:, alike] = alike[rng.permuted(np.tile(np.arange(len(alike)), (n_permutations, 1)), axis=1)]
    return orders


def permutation_test(observed: Values, null: Values, correct: Literal["none", "max"] = "none") -> Values:
    """Return one-sided p values (1 + #{null >= observed}) / (1 + n_permutations); NaN where `observed` is NaN.

    Parameters
    ----------
    observed : array (n_targets,) or scalar
    null : array (n_permutations, n_targets) or (n_permutations,)
        The same statistic under permutation; for "max" the maxima over targets (n_permutations,) will do.
    correct : {"none", "max"}
        "max" compares with the largest value over targets of each permutation, which controls the family-wise error.

    References
    ----------
    Nichols TE, Holmes AP (2002). Nonparametric permutation tests for functional neuroimaging. Human Brain Mapping
    15:1-25. doi:10.1002/hbm.1058
    Phipson B, Smyth GK (2010). Permutation p-values should never be zero. doi:10.2202/1544-6115.1585
    """
    check_choice("correct", correct, {"none", "max"})
    observed, null = np.asarray(observed, dtype=np.float64), np.asarray(null)
    if correct == "none" and null.shape[1:] != observed.shape:
        raise BrainalignError(
            f"null has shape {null.shape}; give (n_permutations, ...) of what was observed, of shape {observed.shape}"
        )
    # The same value reached by another order of sums is a tie, and ties count against the observed.
    least = observed - 1e-9 * np.abs(observed)
    if correct == "max":
        maxima = np.sort(null if null.ndim == 1 else np.nanmax(null, axis=1))
        reached = len(maxima) - np.searchsorted(maxima, least, side="left")
        n = len(maxima)
    else:
        reached = (null >= least).sum(axis=0)
        n = len(null) - np.isnan(null).sum(axis=0)  # a permutation without a score says nothing
    return np.where(np.isnan(observed), np.nan, (1 + reached) / (1 + n))


def fdr(p: Values) -> Values:
    """Return q values: the false discovery rate at which each test would be called (Benjamini and Hochberg 1995).

    NaN marks tests that were not made; they stay NaN and do not count.
    """
    q, made = np.full(np.shape(p), np.nan), ~np.isnan(p)
    if made.any():
        from scipy.stats import false_discovery_control  # takes a second to import

        q[made] = false_discovery_control(np.asarray(p)[made], method="bh")
    return q


@dataclass(frozen=True)
class Interval:
    """A mean over independent units and its confidence interval."""

    mean: float
    low: float
    high: float
    n: int


def cross_validated_interval(scores: Values, test_share: float, confidence: float = 0.95) -> Interval:
    """Return the mean over folds (`MIN_UNITS` or more) with the corrected resampled t interval.

    Folds share training data, so their scores vary together and the plain standard error is too small. Nadeau and
    Bengio add the ratio of test to training data (`test_share`: test rows per training row in a fold) to 1/n; for
    leave-one-run-out that is somewhat too much, and the interval errs on the wide side. Every row is tested in one fold
    only.

    References
    ----------
    Nadeau C, Bengio Y (2003). Inference for the generalization error. Machine Learning 52:239-281.
    doi:10.1023/A:1024068626366
    """
    scores = _units(scores)
    n = len(scores)
    error = scores.std(ddof=1) * np.sqrt(1 / n + test_share)
    reach = stdtrit(n - 1, (1 + confidence) / 2) * error
    return Interval(float(scores.mean()), float(scores.mean() - reach), float(scores.mean() + reach), n)


def _units(values: Values) -> Values:
    values = numbers("values", values, np.float64)
    if values.ndim != 1 or len(values) < MIN_UNITS or not np.isfinite(values).all():
        got = f"{len(values)} ({listed(values.tolist(), 6)})" if values.ndim == 1 else f"shape {values.shape}"
        raise BrainalignError(f"an interval needs {MIN_UNITS} finite units or more; got {got}; report them themselves")
    return values


def expanded_tail(n: int, confidence: float) -> float:
    """Compute the share of draws of n units below an expanded percentile interval, and above it; see `bootstrap`."""
    return float(ndtr(-stdtrit(n - 1, (1 + confidence) / 2) * np.sqrt(n / (n - 1))))


def bootstrap(values: Values, confidence: float = 0.95, n_draws: int = 5000, seed: int = 0) -> Interval:
    """Return the mean over units with an expanded percentile bootstrap interval.

    The plain percentile interval is too narrow for the dozen runs or subjects there usually are; taking its
    percentiles further out, at Φ(−t·√(n / (n − 1))) with Student's t, gives it the width of a t interval for normal
    data and keeps what the bootstrap gives: asymmetry, and ends within the range of the values.

    Parameters
    ----------
    values : array (n_units,)
        One number per independent unit: run, subject, stimulus. Never per trial of one unit, nor per fold.
    confidence : float
    n_draws : int
    seed : int

    Raises
    ------
    BrainalignError
        With fewer than `MIN_UNITS` units or a NaN among them.

    References
    ----------
    Hesterberg TC (2015). What teachers should know about the bootstrap. The American Statistician 69:371-386.
    doi:10.1080/00031305.2015.1089789
    """
    values = _units(values)
    n = len(values)
    draws = np.random.default_rng(seed).choice(values, size=(n_draws, n)).mean(axis=1)
    tail = expanded_tail(n, confidence)
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high), n)
