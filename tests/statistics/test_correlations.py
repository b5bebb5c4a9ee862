from __future__ import annotations

import time

import numpy as np
import pytest
from refusals import refused
from scipy.stats import pearsonr

from brainalign.statistics import bootstrap_correlations, group_means, pearson, permuted_correlations


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    measured = 1000 + rng.normal(size=(25, 300))
    return measured + 2 * rng.normal(size=measured.shape), measured


def orders(n: int, n_rows: int) -> np.ndarray:
    return np.random.default_rng(1).permuted(np.tile(np.arange(n_rows), (n, 1)), axis=1)


def test_permuted_equal_to_scipy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, measured = pair
    rows = orders(40, 25)
    mask = np.arange(300) % 3 == 0
    found = permuted_correlations(predicted, measured, rows, groups=[np.arange(290, 300), mask], n_maps=7)
    plain = np.array([[pearsonr(predicted[o, t], measured[:, t]).statistic for t in range(300)] for o in rows])
    np.testing.assert_allclose(found.maps, plain[:7], atol=2e-6)
    np.testing.assert_allclose(found.max_r, plain.max(axis=1), atol=2e-6)
    np.testing.assert_allclose(found.mean_r, plain.mean(axis=1), atol=2e-6)
    np.testing.assert_allclose(
        found.group_r, np.c_[plain[:, 290:].mean(axis=1), plain[:, mask].mean(axis=1)], atol=2e-6
    )
    observed = np.array([pearsonr(predicted[:, t], measured[:, t]).statistic for t in range(300)])
    np.testing.assert_array_equal(found.n_reached, (plain >= observed - 1e-7).sum(axis=0))


def test_the_unpermuted_order_is_a_tie(pair: tuple[np.ndarray, np.ndarray]) -> None:
    found = permuted_correlations(*pair, np.arange(25)[None])
    assert (found.n_reached == 1).all()


def test_bootstrap_equal_to_loops(pair: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, measured = pair
    groups = [np.arange(3), np.array([5])]
    found = bootstrap_correlations(predicted, measured, groups, n_draws=30, seed=3)
    counts = np.random.default_rng(3).multinomial(25, np.full(25, 1 / 25), size=30)
    for draw, count in zip(found, counts, strict=True):
        rows = np.repeat(np.arange(25), count)
        r = [pearsonr(predicted[rows, t], measured[rows, t]).statistic for t in (0, 1, 2, 5)]
        np.testing.assert_allclose(draw, [np.mean(r[:3]), r[3]], atol=1e-5)


def test_bootstrap_spread_is_the_sampling_spread() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(300):
        measured = rng.normal(size=(60, 20))
        found.append(pearson(measured + rng.normal(size=(60, 20)), measured).mean())
    measured = rng.normal(size=(60, 20))
    draws = bootstrap_correlations(measured + rng.normal(size=(60, 20)), measured, [np.arange(20)])
    assert draws.std() == pytest.approx(np.std(found), rel=0.2)


def test_undefined_targets_do_not_enter(pair: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, measured = (array.copy() for array in pair)
    predicted[:, 0] = 0.1  # a constant whose mean is not exact
    predicted[:, 299] = 3.0
    groups = [np.array([0, 1]), np.array([0, 299])]
    found = permuted_correlations(predicted, measured, orders(5, 25), groups=groups)
    alone = permuted_correlations(predicted[:, 1:2], measured[:, 1:2], orders(5, 25), groups=[np.array([0])])
    np.testing.assert_allclose(found.group_r[:, 0], alone.group_r[:, 0], atol=1e-6)
    assert np.isnan(found.group_r[:, 1]).all()
    draws = bootstrap_correlations(predicted, measured, groups, n_draws=5)
    assert np.isfinite(draws[:, 0]).all()
    assert np.isnan(draws[:, 1]).all()
    nothing = permuted_correlations(predicted[:, :1], measured[:, :1], orders(5, 25))
    assert np.isnan(nothing.max_r).all()
    assert np.isnan(nothing.mean_r).all()


def test_group_means() -> None:
    r = np.array([0.1, np.nan, 0.5, 0.2])
    found = group_means(r, [np.array([0, 1, 2]), np.array([1]), np.array([False, False, True, True])])
    np.testing.assert_allclose(found, [0.3, np.nan, 0.35])
    refused("group 0 names target 4, but there are 4", group_means, r, [np.array([4])])


def test_fast_enough() -> None:
    """20,000 targets x 100 stimuli x 1,000 permutations in 20 s: here a tenth of the targets, with slack."""
    rng = np.random.default_rng(5)
    predicted, measured = rng.normal(size=(2, 100, 2000)).astype(np.float32)
    started = time.process_time()
    permuted_correlations(predicted, measured, orders(1000, 100), groups=[np.arange(2000)], n_maps=200)
    bootstrap_correlations(predicted, measured, [np.arange(2000)], n_draws=1000)
    assert time.process_time() - started < 4
