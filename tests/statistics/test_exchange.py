"""Permutations and draws keep units whole and blocks apart."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.checks import BrainalignError
from brainalign.statistics import Exchange

UNITS = np.repeat(np.arange(12), 3)
BLOCKS = np.repeat(["train", "test"], [24, 12])
LABELS = np.where(UNITS % 3 == 0, "a", "b")


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


def test_units_with_two_labels_are_refused() -> None:
    with pytest.raises(BrainalignError, match=r"1 units have several labels \(first: 0\)"):
        Exchange(np.where(np.arange(36) == 0, "b", LABELS), UNITS, BLOCKS)
