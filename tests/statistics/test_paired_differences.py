"""Paired differences: corrected p against its definition, size and power of the family, equal models."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm, t

from brainalign.checks import BrainalignError
from brainalign.statistics import paired_differences_p

PAIRS = np.array(list(combinations(range(4), 2)))


def test_equals_the_definition() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(50, 3)) * [1, 2, 3] + 0.5
    differences = np.array([0.1, -3.0, 40.0])
    spread = draws.std(axis=0, ddof=1)
    largest = (np.abs(draws - draws.mean(axis=0)) / spread).max(axis=1)
    z = [norm.isf(t(19).sf(abs(d) / (s * np.sqrt(20 / 19)))) for d, s in zip(differences, spread, strict=True)]
    expected = [(1 + sum(largest >= each)) / 51 for each in z]
    np.testing.assert_allclose(paired_differences_p(differences, draws, 20), expected)
    assert expected[0] > 0.5
    assert expected[2] == 1 / 51  # however many pairs


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
    any_called = (families(rng, 1500, 0.0) < 0.05).any(axis=1)
    bound = any_called.mean() + 1.645 * any_called.std() / np.sqrt(len(any_called))
    assert bound <= 0.075
    assert any_called.mean() > 0.02  # p times six would call fewer, and with 100 draws none at all
    p = families(rng, 200, 0.6)
    assert (p[:, PAIRS[:, 0] == 0] < 0.05).mean() >= 0.8
    assert (p[:, PAIRS[:, 0] != 0] < 0.05).any(axis=1).mean() <= 0.075


def test_models_that_are_the_same_cannot_be_told_apart() -> None:
    draws = np.column_stack([np.zeros(30), np.full(30, 0.2), np.random.default_rng(0).normal(size=30)])
    assert paired_differences_p(np.array([0.0, 0.2, 9.0]), draws, 20).tolist() == [1.0, 1.0, 1 / 31]
    assert paired_differences_p(np.empty(0), np.empty((30, 0)), 20).tolist() == []


def test_a_column_of_draws_for_each_difference() -> None:
    with pytest.raises(BrainalignError, match="differences has 2 rows but columns of draws has 3"):
        paired_differences_p(np.zeros(2), np.zeros((5, 3)), 20)
