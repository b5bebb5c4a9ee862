from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.encoding import EmpiricalBayesRidge, Ridge, WeightPrior, scaling_curve
from brainalign.simulation import voxel_prior_world
from brainalign.statistics import explained_variance, pearson

WORLD = voxel_prior_world()
PRIOR = WeightPrior(WORLD.prior_mean, WORLD.prior_covariance)


def study(n_images: int = 300, n_voxels: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X, weights = WORLD.images(n_images, rng), WORLD.weights(n_voxels, rng)
    return X, X @ weights[:-1] + WORLD.noise_sd(weights, 1.0) * rng.normal(size=(n_images, n_voxels))


class Recorder:
    """Remembers the contexts it was fitted on."""

    seen: list[np.ndarray] = []  # noqa: RUF012 (clones share it on purpose)

    def __sklearn_clone__(self) -> Recorder:
        return self

    def fit(self, X: np.ndarray, Y: np.ndarray) -> Recorder:
        self.seen.append(X)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.repeat(X[:, :1], 40, axis=1)


def test_contexts_are_disjoint_and_never_scored() -> None:
    X, Y = study()
    recorder = Recorder()
    table = scaling_curve({"recorder": recorder}, X, Y, test=np.arange(250, 300), sizes=(10, 50), n_repeats=5)
    rows = [[int(np.flatnonzero((x == X).all(axis=1))[0]) for x in context] for context in recorder.seen]
    assert [len(context) for context in rows] == [10] * 5 + [50] * 5
    for repeats in (rows[:5], rows[5:]):
        every = np.concatenate(repeats)
        assert len(set(every)) == len(every)
        assert every.max() < 250
    assert len(table) == 3 * 2 * 5 * 40
    assert set(table["method"]) == {"recorder", "ridge_pooled", "ridge_per_target"}
    mine = table[(table["method"] == "recorder") & (table["size"] == 10) & (table["repeat"] == 2)]
    expected = np.repeat(X[250:, :1], 40, axis=1)
    np.testing.assert_allclose(mine["r"], pearson(Y[250:], expected))
    np.testing.assert_allclose(mine["explained_variance"], explained_variance(Y[250:], expected))


def test_curves_rise_and_the_prior_helps() -> None:
    X, Y = study()
    options = {"test": np.arange(300) >= 200, "sizes": (10, 20, 40), "prior": PRIOR, "seed": 1}
    table = scaling_curve({}, X, Y, **options)
    mean = table.groupby(["method", "size"])["explained_variance"].mean().unstack()
    assert (mean.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    assert mean.loc["empirical_bayes", 10] > mean.loc["ridge_pooled", 10] + 0.1
    assert mean.loc["ridge_pooled", 10] > mean.loc["ridge_per_target", 10]
    again = scaling_curve({}, X, Y, **options)
    assert table.equals(again)


def test_encoders_are_not_changed() -> None:
    X, Y = study()
    ridge = Ridge()
    scaling_curve({"mine": ridge}, X, Y, test=np.arange(200, 300), sizes=(20,), n_repeats=1)
    assert not hasattr(ridge, "coef_")


def test_clear_errors() -> None:
    X, Y = study()
    with pytest.raises(BrainalignError, match="5 disjoint contexts of 60 need 300 images but 250"):
        scaling_curve({}, X, Y, test=np.arange(50), sizes=(10, 60))
    taken = {"empirical_bayes": EmpiricalBayesRidge(PRIOR)}
    with pytest.raises(BrainalignError, match="named empirical_bayes are baselines"):
        scaling_curve(taken, X, Y, test=np.arange(50), sizes=(10,), prior=PRIOR)
    refused("X has 300 rows but Y has 299", scaling_curve, {}, X, Y[:-1], test=np.arange(50), sizes=(10,))
