from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from sklearn.linear_model import LogisticRegression

from brainalign.statistics import identification, linear_classification, pair_matching


def test_perfect_predictions_are_identified() -> None:
    patterns = np.random.default_rng(0).normal(size=(3, 8, 20))
    correct, chosen = identification(patterns * 2 + 1, patterns)  # correlation ignores scale and offset
    assert (correct == 1).all()
    assert (chosen == np.arange(8)).all()
    assert (pair_matching(patterns, patterns) == 1).all()


def test_swapped_predictions_are_not() -> None:
    patterns = np.random.default_rng(0).normal(size=(2, 20))
    correct, chosen = identification(patterns[::-1], patterns)
    assert (correct == 0).all()
    assert chosen.tolist() == [1, 0]
    assert pair_matching(patterns[::-1], patterns).tolist() == [0]


def test_ties_share_the_credit() -> None:
    patterns = np.random.default_rng(0).normal(size=(4, 20))
    same = np.repeat(patterns[:1], 4, axis=0).astype(np.float32)
    assert identification(same, patterns)[0].tolist() == [0.25] * 4
    assert (pair_matching(same, patterns) == 0.5).all()
    assert identification(np.zeros((4, 20)), patterns)[0].tolist() == [0.25] * 4


def test_noise_is_at_chance() -> None:
    predicted, measured = np.random.default_rng(0).normal(size=(2, 3000, 8, 20))
    correct = identification(predicted, measured)[0]
    assert correct.mean() == pytest.approx(1 / 8, abs=0.006)
    assert pair_matching(predicted[:, :2], measured[:, :2]).mean() == pytest.approx(0.5, abs=0.03)


def test_patterns_need_targets() -> None:
    refused("2 targets or more", identification, np.zeros((3, 1)), np.zeros((3, 1)))


def test_linear_classification_is_sklearns_on_held_out_rows() -> None:
    rng = np.random.default_rng(0)
    labels = np.tile(["a", "b", "c"], 20)
    responses = rng.normal(size=(60, 5)) + (labels[:, None] == np.array(["a", "b", "c", "a", "b"]))
    folds = [(np.flatnonzero(np.arange(60) // 15 != k), np.flatnonzero(np.arange(60) // 15 == k)) for k in range(4)]
    found = linear_classification(responses, labels, folds)
    expected = []
    for train, test in folds:
        mean, sd = responses[train].mean(axis=0), responses[train].std(axis=0)
        model = LogisticRegression(max_iter=2000).fit((responses[train] - mean) / sd, labels[train])
        expected.append(model.score((responses[test] - mean) / sd, labels[test]))
    np.testing.assert_allclose(found, expected)
    assert 0.4 < found.mean() < 1


def test_labels_shuffled_within_folds_are_at_chance() -> None:
    rng = np.random.default_rng(1)
    labels = np.tile(["a", "b", "c"], 20)
    folds = [(np.flatnonzero(np.arange(60) // 15 != k), np.flatnonzero(np.arange(60) // 15 == k)) for k in range(4)]
    accuracies = [linear_classification(rng.normal(size=(60, 4)), labels, folds).mean() for _ in range(40)]
    assert abs(np.mean(accuracies) - 1 / 3) < 4 * np.std(accuracies) / np.sqrt(40)
