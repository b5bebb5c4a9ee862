from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from scipy import stats

from brainalign.checks import BrainalignError
from brainalign.statistics import (
    bootstrap,
    cross_validated_interval,
    exchange_features,
    fdr,
    permutation_test,
    permute_stimuli,
    permute_within,
)


def test_permute_within_stays_within() -> None:
    groups = np.array(["a", "b", "a", "b", "a", "c"])
    orders = permute_within(groups, 500, np.random.default_rng(0))
    assert (groups[orders] == groups).all()
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    # Every arrangement of the three rows of "a" is about as frequent as any other.
    _, counts = np.unique(orders[:, [0, 2, 4]], axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 0.001


def test_permute_stimuli_exchanges_them_alike_in_every_group() -> None:
    rng = np.random.default_rng(1)
    runs = np.repeat([0, 1, 2], 4)
    stimuli = np.concatenate([rng.permutation(list("abcd")) for _ in range(3)])
    for order in permute_stimuli(stimuli, runs, 50, rng):
        assert (runs[order] == runs).all()
        mapping = {(new, old) for new, old in zip(stimuli, stimuli[order], strict=True)}
        assert len(mapping) == 4  # one and the same exchange in all runs


def test_permute_stimuli_needs_complete_groups() -> None:
    with pytest.raises(BrainalignError, match="'b' occurs 0 times in '1'"):
        permute_stimuli(np.array(["a", "b", "a", "c", "c"]), np.array([0, 0, 1, 1, 0]), 5, np.random.default_rng(0))


def test_units_stay_together_within_groups() -> None:
    groups = np.array([0, 0, 0, 0, 1, 1, 1])
    units = np.array(list("abab") + list("cab"))
    for order in permute_within(groups, 30, np.random.default_rng(0), units):
        assert (groups[order] == groups).all()
        assert sorted(order) == list(range(7))
        for group in (0, 1):
            rows = np.flatnonzero(groups == group)
            assert len({*zip(units[rows], units[order[rows]], strict=True)}) == len(set(units[rows]))
    once = permute_within(groups[4:], 5, np.random.default_rng(1))
    np.testing.assert_array_equal(permute_within(groups[4:], 5, np.random.default_rng(1), units[4:]), once)
    with pytest.raises(BrainalignError, match="'a' has 2 and 'b' 1 in '0'"):
        permute_within(np.zeros(3, dtype=int), 1, np.random.default_rng(0), np.array(list("aba")))


def test_stimuli_shown_twice_in_a_group_are_exchanged_as_wholes() -> None:
    stimuli, runs = np.array(list("abba" + "baab")), np.repeat([0, 1], 4)
    for order in permute_stimuli(stimuli, runs, 20, np.random.default_rng(2)):
        assert (runs[order] == runs).all()
        assert len({*zip(stimuli, stimuli[order], strict=True)}) == 2
        assert sorted(order) == list(range(8))


def test_features_are_exchanged_whatever_the_number_of_rows() -> None:
    stimuli, runs = np.array(list("aabc" + "abbbc")), np.array([0] * 4 + [1] * 5)
    seen = set()
    for donors in exchange_features(stimuli, runs, 200, np.random.default_rng(3)):
        assert (runs[donors] == runs).all()
        for run in (0, 1):
            pairs = {*zip(stimuli[runs == run], stimuli[donors[runs == run]], strict=True)}
            assert len(pairs) == len({new for _, new in pairs}) == 3
            seen.add((run, *sorted(pairs)))
    assert len(seen) == 12  # all orders of three stimuli in both runs


def test_p_values_count_the_observed_and_ties() -> None:
    null = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])
    np.testing.assert_allclose(permutation_test(np.array([2.0, 5.0]), null), [2 / 4, 1 / 4])
    np.testing.assert_allclose(permutation_test(np.array([2.0, 5.0]), null, "max"), [3 / 4, 1 / 4])
    np.testing.assert_allclose(permutation_test(np.array([2.0, 5.0]), null.max(axis=1), "max"), [3 / 4, 1 / 4])
    np.testing.assert_allclose(permutation_test(np.array(0.1 + 0.2), np.array([0.3])), 1.0)  # equal but for rounding
    assert np.isnan(permutation_test(np.array([np.nan]), null[:, :1])).all()


def test_fdr_is_benjamini_hochberg_and_skips_nan() -> None:
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.5])
    np.testing.assert_allclose(fdr(p)[[0, 1, 3, 4]], [0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert np.isnan(fdr(p)[2])


def test_bootstrap_reports_the_mean_and_brackets_it() -> None:
    values = np.random.default_rng(0).normal(loc=2, size=40)
    interval = bootstrap(values)
    assert interval.mean == pytest.approx(values.mean())
    # For normal values it is close to Student's interval.
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert interval.low == pytest.approx(low, abs=0.05)
    assert interval.high == pytest.approx(high, abs=0.05)
    found = bootstrap(values, 0.8, 700, seed=3)
    drawn = np.random.default_rng(3).choice(values, size=(700, 40)).mean(axis=1)
    tail = stats.norm.cdf(-stats.t.ppf(0.9, 39) * np.sqrt(40 / 39))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [tail, 1 - tail])))
    assert (found.n, interval.n) == (40, 40)


def test_the_interval_over_folds_is_the_corrected_t_interval() -> None:
    scores = np.array([0.5, 0.6, 0.4, 0.7, 0.5, 0.55])
    interval = cross_validated_interval(scores, test_share=1 / 5)
    reach = stats.t.ppf(0.975, 5) * scores.std(ddof=1) * np.sqrt(1 / 6 + 1 / 5)
    assert interval.mean == pytest.approx(scores.mean())
    assert interval.high - interval.mean == pytest.approx(reach)
    assert interval.mean - interval.low == pytest.approx(reach)
    refused("got 3", cross_validated_interval, scores[:3], 0.5)


def test_bootstrap_needs_units() -> None:
    refused("needs 6 finite units or more; got 2", bootstrap, np.array([0.1, 0.2]))
    refused("nan", bootstrap, np.full(8, np.nan))
    constant = bootstrap(np.full(7, 0.5))
    assert (constant.low, constant.high) == (constant.mean, constant.mean)
