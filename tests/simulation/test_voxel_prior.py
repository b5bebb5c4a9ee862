from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from sklearn.linear_model import Ridge as SklearnRidge
from worlds.small import linear_gaussian_reference

from brainalign.simulation import voxel_prior_world


def test_plants_what_it_says() -> None:
    world, rng = voxel_prior_world(seed=3), np.random.default_rng(0)
    images = world.images(20_000, rng)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1)
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(images.T)))
    assert spread[-1] / spread[0] == pytest.approx(3, abs=0.5)  # the planted ratio, a little less on the sphere
    weights = world.weights(40_000, rng)
    np.testing.assert_allclose(np.cov(weights), world.prior_covariance, atol=0.1)
    on, off = (np.linalg.eigvalsh(np.cov(world.weights(40_000, rng, on_prior=flag)[:-1])) for flag in (True, False))
    assert on[-3:].sum() / on.sum() > 0.9
    assert off[-3:].sum() / off.sum() < 0.25
    assert off.sum() == pytest.approx(on.sum(), rel=0.05)
    few = weights[:, :50]
    signal = images @ few[:-1] + few[-1]
    np.testing.assert_allclose(world.noise_sd(few, 1.5) / signal.std(axis=0), 1.5, rtol=0.05)
    np.testing.assert_array_equal(voxel_prior_world(seed=3).basis, world.basis)


def test_reference_is_ridge_where_the_prior_is_isotropic() -> None:
    world, rng = voxel_prior_world(), np.random.default_rng(1)
    X, Y = world.images(30, rng), rng.normal(size=(30, 4))
    covariance = 4 * np.eye(17)
    covariance[-1, -1] = 1e5  # as good as a free intercept
    found = linear_gaussian_reference(X, Y, np.full(4, 0.6), np.zeros(17), covariance)
    expected = SklearnRidge(alpha=0.36 / 4).fit(X, Y)
    np.testing.assert_allclose(found[:-1].T, expected.coef_, atol=1e-5)
    np.testing.assert_allclose(found[-1], expected.intercept_, atol=1e-5)


def test_reference_is_the_posterior_mean() -> None:
    """Truth and its estimate: E[w | y] leaves errors that no linear function of y explains, of the posterior's size."""
    world, rng = voxel_prior_world(), np.random.default_rng(2)
    X, weights = world.images(15, rng), world.weights(20_000, rng)
    Y = X @ weights[:-1] + weights[-1] + 0.5 * rng.normal(size=(15, 20_000))
    found = linear_gaussian_reference(X, Y, np.full(20_000, 0.5), world.prior_mean, world.prior_covariance)
    error = weights - found
    assert np.abs(error @ Y.T / 20_000).max() < 0.05
    design = np.column_stack([X, np.ones(15)])
    posterior = np.linalg.inv(np.linalg.inv(world.prior_covariance) + design.T @ design / 0.25)
    np.testing.assert_allclose(np.trace(np.cov(error)), np.trace(posterior), rtol=0.03)


def test_more_features_than_latents() -> None:
    refused("n_features is 2 but n_latents 3", voxel_prior_world, n_features=2)
