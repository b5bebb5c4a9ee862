from typing import Any

import numpy as np
import pytest
from mne.decoding import ReceptiveField
from refusals import refused

from brainalign.regression import BandedRidge, DelayedFeatures, Ridge

RUNS = np.repeat(["b", "a", "c"], [7, 2, 5])
MANY = np.repeat(["d", "b", "e", "a"], [50, 5, 40, 30])  # the second not longer than the largest delay


def written_out(X: np.ndarray, delays: tuple[int, ...], runs: np.ndarray) -> np.ndarray:
    expected = np.zeros((len(X), len(delays), X.shape[1]), dtype=X.dtype)
    for row in range(len(X)):
        for k, delay in enumerate(delays):
            source = row - delay
            if 0 <= source < len(X) and runs[source] == runs[row]:
                expected[row, k] = X[source]
    return expected.reshape(len(X), -1)


def drawn(n_features: int, delays: tuple[int, ...], runs: np.ndarray = MANY) -> tuple[np.ndarray, ...]:
    """Features with a mean, the design written out, and responses."""
    rng = np.random.default_rng(n_features)
    X = rng.normal(size=(len(runs), n_features)) + 3
    design = written_out(X, delays, runs)
    Y = design @ rng.normal(size=(design.shape[1], 6)) / np.sqrt(design.shape[1])
    return X, design, Y + rng.normal(size=Y.shape)


@pytest.mark.parametrize("delays", [(0, 1, 3), (-2, 0), (6, 7), (2,)])
def test_designs_are_those_written_out(delays: tuple[int, ...]) -> None:
    """Runs of unequal length, one not longer than a delay; nothing crosses from run to run."""
    X = np.random.default_rng(0).normal(size=(14, 3))
    design, expected = DelayedFeatures(X, delays, RUNS), written_out(X, delays, RUNS)
    np.testing.assert_array_equal(design.rows()[:].numpy(), expected)
    np.testing.assert_array_equal(design[RUNS != "a"].rows()[:].numpy(), expected[RUNS != "a"])
    assert design.shape == expected.shape


@pytest.mark.parametrize("options", [{"groups": MANY}, {"groups": MANY, "sample_weight": np.arange(125) % 4}, {}])
@pytest.mark.parametrize("n_features", [6, 70])  # fewer columns than rows, and more
@pytest.mark.parametrize("delays", [(1, 2, 3), (-6, 0, 4)])
def test_ridge_is_that_of_a_design_written_out(delays, n_features: int, options: dict[str, Any]) -> None:
    X, explicit, Y = drawn(n_features, delays)
    design = DelayedFeatures(X, delays, MANY)
    mine, theirs = (Ridge(dtype="float64").fit(Z, Y, **options) for Z in (design, explicit))
    np.testing.assert_allclose(mine.cv_scores_, theirs.cv_scores_, atol=1e-9)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, atol=1e-9)
    held = np.isin(MANY, ["b"])
    np.testing.assert_allclose(mine.predict(design[held]), theirs.predict(explicit[held]), atol=1e-9)


def test_bands_are_those_written_out() -> None:
    bands, (_, design, Y) = ((1, 2), (0, -1, 6)), drawn(5, (1, 2))
    Xs = [drawn(5, bands[0])[0], drawn(50, bands[1])[0]]
    delayed = [DelayedFeatures(X, delays, MANY) for X, delays in zip(Xs, bands, strict=True)]
    explicit = [design, written_out(Xs[1], bands[1], MANY)]
    options = {"n_candidates": 5, "cv": "groups", "dtype": "float64"}
    mine, theirs = (BandedRidge(**options).fit(Z, Y, groups=MANY) for Z in (delayed, explicit))
    np.testing.assert_array_equal(mine.deltas_, theirs.deltas_)
    np.testing.assert_allclose(mine.predict(delayed), theirs.predict(explicit), atol=1e-8)
    np.testing.assert_allclose(mine.split_scores(delayed, Y), theirs.split_scores(explicit, Y), atol=1e-8)


def test_lags_have_the_weights_of_receptive_fields_within_runs() -> None:
    """MNE has no intercept: silent ends of runs leave all lags of centred features a mean of zero."""
    rng, lags, shape = np.random.default_rng(0), np.arange(-3, 9), (4, 200, 3)  # runs, samples, features
    X = np.zeros(shape)
    X[:, 8:-8] = rng.normal(size=(4, 184, 3))
    X[:, 8:-8] -= X[:, 8:-8].mean(axis=(0, 1))
    Y = np.roll(X, 5, axis=1) + rng.normal(size=shape)
    Y -= Y.mean(axis=(0, 1))
    theirs = ReceptiveField(-3 / 64, 8 / 64, 64, estimator=20.0).fit(X.swapaxes(0, 1), Y.swapaxes(0, 1)).coef_
    design = DelayedFeatures(X.reshape(800, 3), lags, np.repeat(np.arange(4), 200))
    mine = Ridge(alphas=20.0).fit(design, Y.reshape(800, 3)).coef_
    np.testing.assert_allclose(mine.reshape(12, 3, 3), theirs.transpose(2, 1, 0), atol=2e-6)
    refused("rows of a run do not stand together", DelayedFeatures, np.ones((3, 1)), (0,), ["a", "b", "a"])
    refused("14", DelayedFeatures, np.ones((3, 1)), (0,), RUNS)
    design = DelayedFeatures(np.ones((14, 1)), (0, 1), RUNS)
    refused("b are chosen in part", design.__getitem__, np.arange(14) < 3)
    refused("give a mask", design.__getitem__, slice(7))
    refused("whole rows, not in seconds", DelayedFeatures, np.ones((14, 1)), (2.0, 4.0), RUNS)
    refused("NaN", Ridge().fit, DelayedFeatures(np.full((14, 1), np.nan), (0, 1), RUNS), np.eye(14))
