"""Encoders of regions from views: in units of each feature's spread, silent ones excepted."""

from __future__ import annotations

import numpy as np

from brainalign.encoding import fit_regions


def test_features_are_in_units_of_their_spread() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1, 40, 5)) * [0.5, 1, 1, 5, 20] + 3
    Y = rng.normal(size=(40, 2)) + X[0, :, :2] / [0.5, 1]
    found = fit_regions(X, Y, (10.0,))
    scaled = (X[0] - X[0].mean(axis=0)) / X[0].std(axis=0)
    weights = np.linalg.solve(scaled.T @ scaled + 10 * np.eye(5), scaled.T @ (Y - Y.mean(axis=0)))
    np.testing.assert_allclose(found.coef, weights / X[0].std(axis=0)[:, None], rtol=1e-3, atol=1e-5)


def test_units_that_only_a_view_wakes_are_not_blown_up() -> None:
    rng = np.random.default_rng(1)
    views = np.concatenate([rng.normal(size=(2, 60, 4)), np.zeros((2, 60, 1))], axis=2)
    views[1, :, 4] = 1e-3 * rng.normal(size=60)
    found = fit_regions(views, rng.normal(size=(60, 3)) + views[0, :, :3], (1.0,))
    awake = 1e-3 * np.abs(found.coef[4]).max()  # what a unit of that size adds to a prediction
    assert awake < 0.5 * np.abs(found.coef[:4]).max()
