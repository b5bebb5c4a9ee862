from itertools import combinations, product

import numpy as np
import pytest
from refusals import refused
from scipy import stats

import brainalign.statistics as st
from brainalign.statistics import Exchange, crossed_bootstrap, exchanged, paired_differences_p, pairing_test


def test_permutations_stay_within_and_units_together() -> None:
    groups = np.array(["a", "b", "a", "b", "a", "c"])
    orders = st.permute_within(groups.tolist(), 500, 0)
    assert (groups[orders] == groups).all()
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    # Every arrangement of the three rows of "a" is about as frequent as any other.
    _, counts = np.unique(orders[:, [0, 2, 4]], axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 0.001
    groups, units = np.array([0, 0, 0, 0, 1, 1, 1]), np.array(list("abab") + list("cab"))
    for order in st.permute_within(groups, 30, np.random.default_rng(0), units):
        assert (groups[order] == groups).all()
        assert sorted(order) == list(range(7))
        for rows in (np.arange(4), np.arange(4, 7)):
            assert len({*zip(units[rows], units[order[rows]], strict=True)}) == len(set(units[rows]))
    once = st.permute_within(groups[4:], 5, np.random.default_rng(1))
    np.testing.assert_array_equal(st.permute_within(groups[4:], 5, np.random.default_rng(1), units[4:]), once)
    uneven = np.zeros(3, dtype=int), 1, np.random.default_rng(0), np.array(list("aba"))
    refused("'a' has 2 and 'b' 1 in '0'", st.permute_within, *uneven)


@pytest.mark.parametrize("names", ["abcdbadccdab", "abbabaab"])  # once, and twice in every run
def test_permute_stimuli_exchanges_them_alike_in_every_group(names: str) -> None:
    stimuli, rng = np.array(list(names)), np.random.default_rng(1)
    runs = np.arange(len(names)) // 4
    for order in st.permute_stimuli(stimuli, runs, 50, rng):
        assert (runs[order] == runs).all()
        assert sorted(order) == list(range(len(names)))
        assert len({*zip(stimuli, stimuli[order], strict=True)}) == len(set(names))  # the same exchange in all runs
    stimuli, wholes = np.array([*"abcdefg" * 2]), np.array([1, 1, 2, 2, 3, 3, 3] * 2)
    orders = st.permute_stimuli(stimuli, np.repeat([0, 1], 7), 20, rng, wholes)
    for rows in (orders, st.exchange_features(stimuli, np.zeros(14), 20, rng, wholes)):
        assert {"".join(some) for some in stimuli[rows]} == {"abcdefg" * 2, "cdabefg" * 2}
    refused("'b' occurs 0 times in '1'", st.permute_stimuli, np.array(list("abacc")), np.array([0, 0, 1, 1, 0]), 5, rng)


def test_exchanged_features_and_p_values_that_count_the_observed_and_fdr() -> None:
    stimuli, runs = np.array(list("aabc" + "abbbc")), np.array([0] * 4 + [1] * 5)
    seen = set()
    for donors in st.exchange_features(stimuli.tolist(), runs[:, None], 200, 3):
        assert (runs[donors] == runs).all()
        for run in (0, 1):
            pairs = {*zip(stimuli[runs == run], stimuli[donors[runs == run]], strict=True)}
            assert len(pairs) == len({new for _, new in pairs}) == 3
            seen.add((run, *sorted(pairs)))
    assert len(seen) == 12  # all orders of three stimuli in both runs
    null = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])
    np.testing.assert_allclose(st.permutation_test(np.array([2.0, 5.0]), null), [2 / 4, 1 / 4])
    np.testing.assert_allclose(st.permutation_test(np.array([2.0, 5.0]), null, "max"), [3 / 4, 1 / 4])
    np.testing.assert_allclose(st.permutation_test(np.array([2.0, 5.0]), null.max(axis=1), "max"), [3 / 4, 1 / 4])
    np.testing.assert_allclose(st.permutation_test(np.array(0.1 + 0.2), np.array([0.3])), 1.0)  # equal but for rounding
    assert st.permutation_test(np.array([2.0]), np.array([[1.0], [np.nan], [np.nan]])) == 1 / 2
    assert np.isnan(st.permutation_test(np.array([np.nan]), null[:, :1])).all()
    refused(r"null has shape \(2,\)", st.permutation_test, null, np.array([2.0, 5.0]))
    refused("did you mean 'max'", st.permutation_test, np.array([2.0, 5.0]), null, "maxx")
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.5])
    np.testing.assert_allclose(st.fdr(p)[[0, 1, 3, 4]], [0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert np.isnan(st.fdr(p)[2])


def test_bootstrap_reports_the_mean_and_brackets_it() -> None:
    values = np.random.default_rng(0).normal(loc=2, size=40)
    found = st.bootstrap(values, 0.8, 700, seed=3)
    drawn = np.random.default_rng(3).choice(values, size=(700, 40)).mean(axis=1)
    tail = stats.norm.cdf(-stats.t.ppf(0.9, 39) * np.sqrt(40 / 39))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [tail, 1 - tail])))
    assert (found.mean, found.n) == (pytest.approx(values.mean()), 40)
    constant = st.bootstrap(np.full(7, 0.5))
    assert constant.low == constant.mean == constant.high
    for units, got in (([0.1, 0.2], "2"), (np.ones((7, 3)), "shape")):
        refused(f"needs 6 finite units or more; got {got}", st.bootstrap, units)
    refused("nan", st.bootstrap, np.full(8, np.nan))


def test_the_interval_over_folds_is_corrected_and_p_of_an_exact_test() -> None:
    scores = np.array([0.5, 0.6, 0.4, 0.7, 0.5, 0.55])
    interval = st.cross_validated_interval(scores, test_share=1 / 5)
    reach = stats.t.ppf(0.975, 5) * scores.std(ddof=1) * np.sqrt(1 / 6 + 1 / 5)
    assert (interval.mean, interval.high - interval.mean) == (pytest.approx(scores.mean()), pytest.approx(reach))
    assert interval.mean - interval.low == pytest.approx(reach)
    refused("got 3", st.cross_validated_interval, scores[:3], 0.5)
    scores = np.random.default_rng(0).normal(0.4, 1, size=(7, 5))
    scores[0, 3], scores[:, 4] = 0, np.nan  # to flip 0 is a tie
    t, p, p_fwer = st.sign_flip_test(scores, 0)
    np.testing.assert_allclose(t[:4], stats.ttest_1samp(scores[:, :4], 0).statistic)
    every = [stats.ttest_1samp(scores[:, :4] * np.array(f)[:, None], 0).statistic for f in product((1, -1), repeat=7)]
    null = np.array(every)
    np.testing.assert_allclose(p[:4], (null >= t[:4] - 1e-9).mean(axis=0))
    # Errors of the mean by hand, and the median of root mean squares beside them.
    errors = [stats.sem(scores[:, :4] * np.array(f)[:, None]) for f in product((1, -1), repeat=7)]
    null = null * errors / (errors + np.median(np.sqrt((scores[:, :4] ** 2).mean(axis=0))) / np.sqrt(7))
    assert (null[0] < t[:4]).all()
    np.testing.assert_allclose(p_fwer[:4], (null.max(axis=1)[:, None] >= null[0] - 1e-9).mean(axis=0))
    assert np.isnan([t[4], p[4], p_fwer[4]]).all()


def test_many_subjects_are_flipped_at_random() -> None:
    scores = np.random.default_rng(1).normal(size=(20, 3)) + np.array([0, 0.6, 2])
    _, p, p_fwer = st.sign_flip_test(scores, 0)
    expected = stats.ttest_1samp(scores, 0, alternative="greater").pvalue
    np.testing.assert_allclose(p, np.maximum(expected, 1 / 4096), atol=0.02)
    assert p_fwer[2] == 1 / 4096
    assert (p_fwer >= p).all()


UNITS = np.repeat(np.arange(12), 3)
BLOCKS = np.repeat(["train", "test"], [24, 12])
LABELS = np.where(UNITS % 3 == 0, "a", "b")
PAIRS = np.array(list(combinations(range(4), 2)))


def test_pairs_equal_permutations_done_by_hand_within_groups(rng: np.random.Generator) -> None:
    scores, shown = rng.normal(size=(30, 9)), rng.integers(7, size=30)  # two stimuli are never shown
    found = pairing_test(scores, shown, n_permutations=50, seed=3)
    assert found.value == pytest.approx(np.mean([scores[i, j] for i, j in enumerate(shown)]))
    stimuli = np.unique(shown)
    orders = exchanged(stimuli, 9, None, 50, np.random.default_rng(3))
    by_hand = [np.mean([scores[i, dict(zip(stimuli, o, strict=True))[j]] for i, j in enumerate(shown)]) for o in orders]
    np.testing.assert_allclose(found.null, by_hand)
    assert (found.null_mean, found.null_sd) == pytest.approx((np.mean(by_hand), np.std(by_hand, ddof=1)))
    assert (found.n_trials, found.n_stimuli) == (30, len(stimuli))
    assert found.p == (1 + np.sum(np.array(by_hand) >= found.value)) / 51
    assert all(sorted(order) == list(stimuli) for order in orders)
    groups = np.array([0, 0, 0, 1, 1, 1])
    assert (groups[exchanged(np.arange(6), 6, groups, 40, np.random.default_rng(0))] == groups).all()
    # Answers that only know the group are at chance once stimuli are exchanged within it, and above it otherwise.
    scores = (groups[:, None] == groups).astype(float)
    assert pairing_test(scores, np.arange(6), groups, 100).p == 1
    assert pairing_test(np.tile(scores, (2, 1)), np.tile(np.arange(6), 2), None, 400).p < 0.2
    refused("groups of one", pairing_test, scores, np.arange(6), np.arange(6))
    refused("not per trial", pairing_test, scores, np.arange(6), np.zeros(4))


def test_crossed_bootstrap_covers() -> None:
    """Effects of subjects, of stimuli and of trials; truth 0."""
    rng = np.random.default_rng(4)
    subject, stimulus = (axis.ravel() for axis in np.indices((12, 25)))
    inside = []
    for k in range(150):
        effects = 0.5 * rng.normal(size=12)[subject] + 0.5 * rng.normal(size=25)[stimulus] + rng.normal(size=300)
        found = crossed_bootstrap(effects, subject, stimulus, n_draws=300, seed=k)
        inside.append(found.low <= 0 <= found.high)
    assert np.mean(inside) >= 0.89
    lone = [crossed_bootstrap(x, subject, stimulus, n_draws=300) for x in rng.normal(size=(40, 300))]  # trials alone
    assert np.mean([some.high - some.low for some in lone]) * np.sqrt(300) < 6.5  # 4.7 by Student's t, of draws 7.6
    few = [rng.normal(size=7) for _ in range(300)]  # stimuli of one subject
    whose, shown = (axis.ravel() for axis in np.indices((3, 25)))  # three people who differ much: draws cover .82
    three = [rng.normal(size=3)[whose] + 0.5 * rng.normal(size=25)[shown] + rng.normal(size=75) for _ in range(200)]
    found_three = [crossed_bootstrap(x, whose, shown, n_draws=300, seed=k) for k, x in enumerate(three)]
    assert np.mean([some.low <= 0 <= some.high for some in found_three]) >= 0.93
    found_few = [crossed_bootstrap(x, np.zeros(7), np.arange(7), n_draws=300, seed=k) for k, x in enumerate(few)]
    assert np.mean([some.low <= 0 <= some.high for some in found_few]) >= 0.93
    # Trials drawn as if they were independent are far too sure.
    assert found.high - found.low > 1.5 * (effects.std() / np.sqrt(300) * 2 * 1.96)
    assert found.n == 25
    refused("distinct stimuli", crossed_bootstrap, np.ones(20), np.zeros(20), np.arange(20) % 3)
    refused("subjects has 10 missing labels", crossed_bootstrap, np.ones(20), ["a", None] * 10, np.arange(20))
    refused("1 values that are not finite", crossed_bootstrap, np.r_[np.ones(19), np.nan], np.zeros(20), np.arange(20))
    for n_subjects, n_stimuli in ((19, 20), (20, 19)):
        refused("one label", crossed_bootstrap, np.ones(20), np.zeros(n_subjects), np.arange(n_stimuli))


def test_units_stay_whole_and_blocks_keep_their_labels(rng: np.random.Generator) -> None:
    exchange = Exchange(LABELS, UNITS, BLOCKS)
    permuted = exchange.permuted(50, rng)
    assert permuted.shape == (50, 36)
    for row in permuted:
        assert all(len(set(row[unit == UNITS])) == 1 for unit in range(12))
        for block in ("train", "test"):
            assert sorted(row[block == BLOCKS]) == sorted(LABELS[block == BLOCKS])
    assert len({tuple(row) for row in permuted}) > 20
    weights = exchange.draws(200, rng)
    for block in ("train", "test"):
        for label in "ab":
            rows = (block == BLOCKS) & (label == LABELS)
            assert (weights[:, rows].sum(axis=1) == rows.sum()).all()
    assert weights.mean() == pytest.approx(1)
    assert weights.var() == pytest.approx(1 - np.mean([1 / 3, 1 / 3, 1 / 6, 1 / 6, 1 / 6]), abs=0.2)
    mixed, across = np.where(np.arange(36) == 0, "b", LABELS), np.where(np.arange(36) > 22, "test", BLOCKS)
    refused(r"1 units have several labels \(first: 0\)", Exchange, mixed, UNITS, BLOCKS)
    refused(r"1 units have several blocks \(first: 7\)", Exchange, LABELS, UNITS, across)
    refused("give one per trial", Exchange, LABELS, UNITS[:9], BLOCKS)
    refused("give one per trial", Exchange, LABELS, UNITS, BLOCKS[:9])


def test_models_that_are_the_same_differ_by_chance(rng: np.random.Generator) -> None:
    draws = rng.normal(size=(50, 3))
    same = np.column_stack([np.zeros(30), np.full(30, 0.2), rng.normal(size=30)])  # models that are the same
    assert paired_differences_p(np.array([0.0, 0.2, 9.0]), same, 20).tolist() == [1.0, 1.0, 1 / 31]
    assert paired_differences_p(np.empty(0), np.empty((30, 0)), 20).tolist() == []
    refused("differences has 2 rows but columns of draws has 3", paired_differences_p, np.zeros(2), draws, 20)


def families(rng: np.random.Generator, n: int, lead: float) -> np.ndarray:
    """Return p of every pair of four models, the first ahead by `lead`; scores of 100 images, which models share."""
    found = []
    for _ in range(n):
        scores = rng.normal(size=(100, 1)) + rng.normal(size=(100, 4))
        scores[:, 0] += lead
        weights = rng.multinomial(100, np.full(100, 0.01), size=200) / 100
        first, second = PAIRS.T
        draws, means = weights @ scores, scores.mean(axis=0)
        found.append(paired_differences_p(means[first] - means[second], draws[:, first] - draws[:, second], 100))
    return np.array(found)


def test_size_and_power_of_the_family() -> None:
    rng = np.random.default_rng(1)
    any_called = (families(rng, 800, 0.0) < 0.05).any(axis=1)
    assert any_called.mean() + 1.645 * any_called.std() / np.sqrt(len(any_called)) <= 0.075
    assert any_called.mean() > 0.02  # p times six would call fewer, and with 100 draws none at all
    p = families(rng, 200, 0.6)
    assert (p[:, PAIRS[:, 0] == 0] < 0.05).mean() >= 0.8
    assert (p[:, PAIRS[:, 0] != 0] < 0.05).any(axis=1).mean() <= 0.075
