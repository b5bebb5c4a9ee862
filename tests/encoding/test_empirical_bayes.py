import numpy as np
import pytest
from refusals import refused
from worlds.small import linear_gaussian_reference

from brainalign.encoding import EmpiricalBayesRidge, Ridge, WeightPrior, estimate_prior, scaling_curve
from brainalign.simulation import voxel_prior_world
from brainalign.statistics import explained_variance, pearson

WORLD = voxel_prior_world()
PRIOR = WeightPrior(WORLD.prior_mean, WORLD.prior_covariance)


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
    assert np.count_nonzero(prior.independent().covariance) == len(prior.mean)
    shared = np.linalg.eigh(prior.covariance)[1][:-1, -3:]
    angles = np.linalg.svd(np.linalg.qr(shared)[0].T @ np.linalg.qr(world.basis)[0], compute_uv=False)
    assert angles.min() > 0.95


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


def test_clear_errors() -> None:
    X, Y, *_ = responses(10, 5, 1.0, 0)
    refused("10 images for 16 features and a bias", estimate_prior, [(X, Y)])
    refused(r"mean has shape \(17,\) but its covariance \(16, 16\)", WeightPrior, np.zeros(17), np.eye(16))
    prior = WeightPrior(np.zeros(17), np.eye(17))
    refused(r"X has shape \(10, 15\) but the prior knows 16 features", EmpiricalBayesRidge(prior).fit, X[:, 1:], Y)
    refused("cannot use roi", EmpiricalBayesRidge(prior).fit, X, Y, roi=np.array(["a"] * 5))


def study(n_images: int = 300, n_voxels: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X, weights = WORLD.images(n_images, rng), WORLD.weights(n_voxels, rng)
    return X, X @ weights[:-1] + WORLD.noise_sd(weights, 1.0) * rng.normal(size=(n_images, n_voxels))


class Recorder:
    seen: list[np.ndarray] = []  # noqa: RUF012 (clones share it on purpose)

    def __sklearn_clone__(self) -> "Recorder":
        return self

    def fit(self, X: np.ndarray, Y: np.ndarray) -> "Recorder":
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
    options, ridge = {"test": np.arange(300) >= 200, "sizes": (10, 20, 40), "prior": PRIOR, "seed": 1}, Ridge()
    table = scaling_curve({"mine": ridge}, X, Y, **options)
    assert not hasattr(ridge, "coef_")
    mean = table.groupby(["method", "size"])["explained_variance"].mean().unstack()
    assert (mean.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    assert mean.loc["empirical_bayes", 10] > mean.loc["ridge_pooled", 10] + 0.1
    assert mean.loc["ridge_pooled", 10] > mean.loc["ridge_per_target", 10]


def test_clear_errors_of_scaling_curve() -> None:
    X, Y = study()
    test, taken = np.arange(50), {"empirical_bayes": EmpiricalBayesRidge(PRIOR)}
    refused("5 disjoint contexts of 60 need 300", scaling_curve, {}, X, Y, test=test, sizes=(10, 60))
    refused("named empirical_bayes", scaling_curve, taken, X, Y, test=test, sizes=(10,), prior=PRIOR)
    refused("X has 300 rows but Y has 299", scaling_curve, {}, X, Y[:-1], test=np.arange(50), sizes=(10,))
