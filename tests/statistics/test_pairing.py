from itertools import combinations

import numpy as np
import pytest
from refusals import refused

from brainalign.statistics import Exchange, crossed_bootstrap, exchanged, paired_differences_p, pairing_test

UNITS = np.repeat(np.arange(12), 3)
BLOCKS = np.repeat(["train", "test"], [24, 12])
LABELS = np.where(UNITS % 3 == 0, "a", "b")
PAIRS = np.array(list(combinations(range(4), 2)))


def test_pairs_equal_permutations_done_by_hand() -> None:
    rng = np.random.default_rng(0)
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


def test_stimuli_stay_in_their_group() -> None:
    groups = np.array([0, 0, 0, 1, 1, 1])
    orders = exchanged(np.arange(6), 6, groups, 40, np.random.default_rng(0))
    assert (groups[orders] == groups).all()
    # Answers that only know the group are at chance once stimuli are exchanged within it, and above it otherwise.
    scores = (groups[:, None] == groups).astype(float)
    assert pairing_test(scores, np.arange(6), groups, 100).p == 1
    assert pairing_test(np.tile(scores, (2, 1)), np.tile(np.arange(6), 2), None, 400).p < 0.2
    refused("groups of one", pairing_test, scores, np.arange(6), np.arange(6))
    refused("not per trial", pairing_test, scores, np.arange(6), np.zeros(4))


def test_p_is_uniform_when_there_is_nothing() -> None:
    rng = np.random.default_rng(2)
    ps = [pairing_test(rng.normal(size=(40, 10)), np.arange(40) % 10, n_permutations=99, seed=k).p for k in range(300)]
    assert 0.02 < np.mean(np.array(ps) <= 0.05) < 0.09
    assert abs(np.mean(ps) - 0.5) < 0.06


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
    # Trials drawn as if they were independent are far too sure.
    assert found.high - found.low > 1.5 * (effects.std() / np.sqrt(300) * 2 * 1.96)
    assert found.n == 25
    refused("distinct stimuli", crossed_bootstrap, np.ones(20), np.zeros(20), np.arange(20) % 3)
    gap = np.r_[np.ones(19), np.nan]
    refused("1 values that are not finite", crossed_bootstrap, gap, np.zeros(20), np.arange(20))
    for n_subjects, n_stimuli in ((19, 20), (20, 19)):
        refused("one label", crossed_bootstrap, np.ones(20), np.zeros(n_subjects), np.arange(n_stimuli))


def test_units_stay_whole_and_blocks_keep_their_labels() -> None:
    rng = np.random.default_rng(0)
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


def test_models_that_are_the_same_differ_by_chance() -> None:
    rng = np.random.default_rng(0)
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
