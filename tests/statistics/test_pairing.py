from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.statistics import crossed_bootstrap, exchanged, pairing_test


def test_pairs_equal_permutations_done_by_hand() -> None:
    rng = np.random.default_rng(0)
    scores, shown = rng.normal(size=(30, 9)), rng.integers(7, size=30)  # two stimuli are never shown
    found = pairing_test(scores, shown, n_permutations=50, seed=3)
    assert found.value == pytest.approx(np.mean([scores[i, j] for i, j in enumerate(shown)]))
    stimuli = np.unique(shown)
    orders = exchanged(stimuli, 9, None, 50, np.random.default_rng(3))
    by_hand = [np.mean([scores[i, dict(zip(stimuli, o, strict=True))[j]] for i, j in enumerate(shown)]) for o in orders]
    np.testing.assert_allclose(found.null, by_hand)
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


def test_repeated_trials_of_a_stimulus_do_not_make_a_null_narrower() -> None:
    """Ten copies of every answer are no more evidence than one."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(12, 12))
    once = pairing_test(scores, np.arange(12), n_permutations=300)
    often = pairing_test(np.repeat(scores, 10, axis=0), np.repeat(np.arange(12), 10), n_permutations=300)
    np.testing.assert_allclose(once.null, often.null)
    assert once.p == often.p


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
    naive = effects.std() / np.sqrt(300) * 2 * 1.96
    assert found.high - found.low > 1.5 * naive
    alone = crossed_bootstrap(effects[subject == 0], subject[subject == 0], stimulus[subject == 0])
    assert alone.low < effects[subject == 0].mean() < alone.high
    refused("distinct stimuli", crossed_bootstrap, np.ones(20), np.zeros(20), np.arange(20) % 3)
