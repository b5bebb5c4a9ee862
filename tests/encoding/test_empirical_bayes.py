from __future__ import annotations

import numpy as np
import pytest
import torch
from refusals import refused
from worlds.small import linear_gaussian_reference

from brainalign.encoding import EmpiricalBayesRidge, Ridge, WeightPrior, estimate_prior, prior_of_weights
from brainalign.simulation import voxel_prior_world
from brainalign.statistics import explained_variance


def responses(n_images: int, n_voxels: int, ratio: float, seed: int) -> tuple[np.ndarray, ...]:
    world, rng = voxel_prior_world(), np.random.default_rng(seed)
    X, weights = world.images(n_images, rng), world.weights(n_voxels, rng)
    noise = world.noise_sd(weights, ratio)
    return X, X @ weights[:-1] + weights[-1] + noise * rng.normal(size=(n_images, n_voxels)), weights, noise


def test_prior_is_recovered_where_plain_covariance_is_too_large() -> None:
    world = voxel_prior_world()
    subjects = [responses(120, 400, 1.5, seed)[:2] for seed in range(3)]
    truth = np.trace(world.prior_covariance)
    prior = estimate_prior(subjects)
    # Least squares adds its own variance to every direction; 1,200 voxels fix the trace to about 5 %.
    plain = np.hstack([np.linalg.lstsq(np.c_[X, np.ones(len(X))], Y)[0] for X, Y in subjects])
    assert np.trace(np.cov(plain)) > 1.15 * truth
    assert np.trace(prior.covariance) == pytest.approx(truth, rel=0.1)
    assert np.linalg.eigvalsh(prior.covariance).min() > 0
    shared = np.linalg.eigh(prior.covariance)[1][:-1, -3:]
    angles = np.linalg.svd(np.linalg.qr(shared)[0].T @ np.linalg.qr(world.basis)[0], compute_uv=False)
    assert angles.min() > 0.95


def test_prior_of_known_weights() -> None:
    rng = np.random.default_rng(0)
    coef, intercept = rng.normal(size=(4, 50)), rng.normal(size=50) + 3
    prior = prior_of_weights(torch.as_tensor(coef), torch.as_tensor(intercept))
    np.testing.assert_allclose(prior.covariance, np.cov(np.vstack([coef, intercept])) + 1e-6 * np.eye(5))
    assert prior.mean[-1] == pytest.approx(intercept.mean())
    assert np.count_nonzero(prior.independent().covariance) == 5


def test_equals_the_reference_at_its_own_noise() -> None:
    world = voxel_prior_world()
    X, Y, _, _ = responses(25, 12, 1.0, 5)
    fitted = EmpiricalBayesRidge(WeightPrior(world.prior_mean, world.prior_covariance)).fit(X, Y)
    expected = linear_gaussian_reference(X, Y, np.sqrt(fitted.noise_), world.prior_mean, world.prior_covariance)
    np.testing.assert_allclose(np.vstack([fitted.coef_, fitted.intercept_]), expected, atol=1e-9)
    np.testing.assert_allclose(fitted.predict(X), X @ expected[:-1] + expected[-1])


def test_noise_by_marginal_likelihood() -> None:
    """Against the density itself, and against the planted noise where there are many images."""
    world = voxel_prior_world()
    X, Y, _, noise = responses(400, 200, 1.5, 6)
    prior = WeightPrior(world.prior_mean, world.prior_covariance)
    fitted = EmpiricalBayesRidge(prior, tuple(np.logspace(-2, 1, 61))).fit(X, Y)
    assert np.median(fitted.noise_ / noise**2) == pytest.approx(1, abs=0.05)
    few = EmpiricalBayesRidge(prior).fit(X[:12], Y[:12, :1])
    design = np.column_stack([X[:12], np.ones(12)])

    def log_density(variance: float) -> float:
        covariance = design @ prior.covariance @ design.T + variance * np.eye(12)
        return -0.5 * (np.linalg.slogdet(covariance)[1] + Y[:12, 0] @ np.linalg.solve(covariance, Y[:12, 0]))

    grid = np.array(few.noise_shares) * Y[:12, 0].var()
    assert few.noise_[0] == grid[np.argmax([log_density(value) for value in grid])]


def test_a_known_prior_beats_ridge_from_few_images() -> None:
    train, test = responses(300, 400, 1.5, 1), responses(20, 200, 1.5, 2)
    X = voxel_prior_world().images(300, np.random.default_rng(9))
    truth = X @ test[2][:-1] + test[2][-1]
    informed = EmpiricalBayesRidge(estimate_prior([train[:2]])).fit(*test[:2])
    pooled = Ridge((0.1, 1.0, 10.0, 100.0), per_target_alpha=False).fit(*test[:2])
    gain = explained_variance(truth, informed.predict(X)).mean() - explained_variance(truth, pooled.predict(X)).mean()
    assert gain > 0.15


def test_clear_errors() -> None:
    X, Y, *_ = responses(10, 5, 1.0, 0)
    refused("10 images for 16 features and a bias", estimate_prior, [(X, Y)])
    refused(r"mean has shape \(17,\) but its covariance \(16, 16\)", WeightPrior, np.zeros(17), np.eye(16))
    prior = WeightPrior(np.zeros(17), np.eye(17))
    refused(r"X has shape \(10, 15\) but the prior knows 16 features", EmpiricalBayesRidge(prior).fit, X[:, 1:], Y)
    refused("cannot use roi", EmpiricalBayesRidge(prior).fit, X, Y, roi=np.array(["a"] * 5))
