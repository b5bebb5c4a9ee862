from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import explained_variance_score, r2_score

from brainalign.statistics import (
    explained_variance,
    identification,
    linear_classification,
    noise_ceiling,
    normalized_r2,
    pair_matching,
    pearson,
    r2,
    signed_r2,
)


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    measured = rng.normal(size=(30, 7)) + 5
    return measured, (measured + rng.normal(size=(30, 7))).astype(np.float32)


def test_against_scipy_and_sklearn(pair: tuple[np.ndarray, np.ndarray]) -> None:
    measured, predicted = pair
    expected = [stats.pearsonr(m, p).statistic for m, p in zip(measured.T, predicted.T.astype(float), strict=True)]
    np.testing.assert_allclose(pearson(measured, predicted), expected, atol=1e-12)
    np.testing.assert_allclose(r2(measured, predicted), r2_score(measured, predicted, multioutput="raw_values"))
    np.testing.assert_allclose(
        explained_variance(measured, predicted),
        explained_variance_score(measured, predicted, multioutput="raw_values"),
        rtol=1e-6,
    )


def test_explained_variance_ignores_an_offset_and_r2_does_not(pair: tuple[np.ndarray, np.ndarray]) -> None:
    measured, _ = pair
    np.testing.assert_allclose(explained_variance(measured, measured + 3), 1)
    assert (r2(measured, measured + 3) < 0).all()


def test_batches_are_scored_one_by_one() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 4, 10, 3))
    for k in range(4):
        np.testing.assert_allclose(pearson(a, b, axis=1)[k], pearson(a[k], b[k]))
        np.testing.assert_allclose(r2(a, b, axis=1)[k], r2(a[k], b[k]))


def test_what_is_undefined_is_nan() -> None:
    constant, varied = np.ones((5, 1)), np.arange(5.0)[:, None]
    assert np.isnan(pearson(constant, varied)).all()
    assert np.isnan(r2(constant, varied)).all()
    assert np.isnan(normalized_r2(np.array([0.5, 0.5]), np.array([0.0, -0.1]))).all()


@pytest.mark.parametrize("value", [0.1, 1000.3, -7e-5, 1e9 / 3])
def test_a_constant_that_centring_does_not_make_zero_is_constant(value: float) -> None:
    constant, varied = np.full((7, 1), value), np.random.default_rng(0).normal(size=(7, 1))
    assert np.isnan(pearson(constant, constant)).all()
    assert np.isnan(pearson(constant, varied)).all()
    assert np.isnan(pearson(varied, constant)).all()
    assert np.isnan(r2(constant, varied)).all()
    assert np.isnan(explained_variance(constant, varied)).all()
    assert np.isnan(noise_ceiling(np.full((4, 30, 1), value), n_halvings=5)).all()
    # What varies little beside a large mean still varies, in float32 by one step of rounding.
    little = 1000 + 1e-6 * varied
    np.testing.assert_allclose(pearson(little, varied), 1)
    step = np.full((7, 1), value, dtype=np.float32)
    assert np.isnan(pearson(step, varied)).all()
    step[3] = np.nextafter(step[3], np.float32(np.inf))
    assert np.isfinite([pearson(step, varied), r2(step, varied), explained_variance(step, varied)]).all()


def test_normalised_r2_divides_by_a_variance_and_is_not_clipped() -> None:
    r = np.array([0.6, -0.6, 0.9])
    ceiling = np.array([0.36, 0.36, 0.5])
    np.testing.assert_allclose(normalized_r2(r, ceiling), [1.0, -1.0, 1.62])
    np.testing.assert_allclose(signed_r2(r), [0.36, -0.36, 0.81])


def test_shapes_must_agree() -> None:
    refused(r"\(5, 1\) and \(5, 2\)", pearson, np.ones((5, 1)), np.ones((5, 2)))


# --- identification ---------------------------------------------------------------------------------------------------


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
