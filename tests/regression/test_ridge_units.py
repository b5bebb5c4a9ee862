"""Ridge regression in any unit, with weights of rows, on every path, against scikit-learn in float64."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from dask.distributed import Client, LocalCluster
from refusals import refused
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

from brainalign.encoding import BandedRidge, Ridge
from brainalign.regression import fit_distributed

ALPHAS = (0.3, 10.0, 300.0)
N_TARGETS = 6
# X times, Y times, added to Y.
UNITS = {
    "plain": (1.0, 1.0, 0.0),
    "tiny features": (1e-11, 1.0, 0.0),
    "tesla": (1.0, 1e-25, 0.0),
    "huge targets": (1.0, 1e18, 0.0),
    "offset": (1.0, 1.0, 1e6),
    "all": (1e-20, 1e-18, 3e-12),
    "large features": (1e15, 1e5, 0.0),
}
# Rows, features, folds.
PATHS = {"primal": (90, 12, 5), "dual": (40, 90, 5), "svd": (60, 12, 5), "many folds": (120, 40, "groups")}


def world(path: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return features, targets, groups, and weights that differ a hundredfold."""
    n, p, _ = PATHS[path]
    rng = np.random.default_rng([seed, n, p])
    X = rng.normal(size=(n, p)) + 1
    if path == "svd":
        X[:, 0] *= 1e7
    noise = rng.normal(size=(n, N_TARGETS)) * rng.uniform(0.3, 4, N_TARGETS)
    Y = X / X.std(axis=0) @ rng.normal(size=(p, N_TARGETS)) / np.sqrt(p) + noise
    return X, Y, np.arange(n) % (24 if path == "many folds" else 10), 10 ** rng.uniform(-1, 1, n)


def reference(
    X: np.ndarray, Y: np.ndarray, groups: np.ndarray, cv: object, weights: np.ndarray | None, alphas: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (n_alphas, n_targets) and fitted values of the best alpha (n_rows, n_targets)."""
    splitter = LeaveOneGroupOut() if cv == "groups" else GroupKFold(cv)
    folds = list(splitter.split(X, groups=groups))
    scores, fitted = np.zeros((len(alphas), Y.shape[1])), []
    for a, alpha in enumerate(alphas):
        for train, test in folds:
            of = (None, None) if weights is None else (weights[train], weights[test])
            model = SklearnRidge(alpha=alpha, solver="svd").fit(X[train], Y[train], sample_weight=of[0])
            predicted = model.predict(X[test])
            scores[a] += r2_score(Y[test], predicted, multioutput="raw_values", sample_weight=of[1]) / len(folds)
        fitted.append(SklearnRidge(alpha=alpha, solver="svd").fit(X, Y, sample_weight=weights).predict(X))
    return scores, np.take_along_axis(np.stack(fitted), scores.argmax(axis=0)[None, None], axis=0)[0]


@cache
def known(path: str, weighted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return what scikit-learn finds in a world of seed 0, whatever its unit."""
    X, Y, groups, weights = world(path)
    smallest = 1e-3 if path == "svd" else 1.0
    alphas = tuple(smallest * a for a in ALPHAS)
    return reference(X, Y, groups, PATHS[path][2], weights if weighted else None, alphas)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as connected,
    ):
        yield connected


def agree(found: Ridge | BandedRidge, X: object, Y: np.ndarray, expected: tuple[np.ndarray, np.ndarray]) -> None:
    scores, fitted = expected
    assert (np.abs(found.cv_scores_ - scores) / (1 + np.abs(scores))).max() < 1e-5
    assert (np.abs(found.predict(X) - fitted) / Y.std(axis=0)).max() < 1e-5


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("path", PATHS)
def test_equals_scikit_learn_in_any_unit(path: str, unit: str, weighted: bool) -> None:
    (X, Y, groups, weights), (of_x, of_y, shift) = world(path), UNITS[unit]
    cv, smallest = PATHS[path][2], 1e-3 if path == "svd" else 1.0
    sample_weight = weights if weighted else None
    scores, fitted = known(path, weighted)
    ridge = Ridge([smallest * a * of_x**2 for a in ALPHAS], cv=cv, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # says that it takes the SVD
        ridge.fit(X * of_x, Y * of_y + shift, groups=groups, sample_weight=sample_weight)
    assert (ridge.decomposition_ == "svd") == (path == "svd")
    agree(ridge, X * of_x, Y * of_y, (scores, fitted * of_y + shift))
    by_hand = (X * of_x) @ ridge.coef_.astype(np.float64) + ridge.intercept_
    assert (np.abs(by_hand - fitted * of_y - shift) / (Y * of_y).std(axis=0)).max() < 1e-4
    expected = r2_score(Y, fitted, multioutput="raw_values", sample_weight=sample_weight)
    found = ridge.score_targets(X * of_x, Y * of_y + shift, sample_weight)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("unit", ["plain", "all"])
@pytest.mark.parametrize("path", ["primal", "dual", "svd"])
def test_the_same_on_files_and_workers(path: str, unit: str, weighted: bool, tmp_path: Path, client: Client) -> None:
    (X, Y, groups, weights), (of_x, of_y, shift) = world(path, 1), UNITS[unit]
    smallest = 1e-3 if path == "svd" else 1.0
    given = {"groups": groups, "sample_weight": weights if weighted else None}
    expected = reference(X, Y, groups, 5, given["sample_weight"], tuple(smallest * a for a in ALPHAS))
    ridge = Ridge([smallest * a * of_x**2 for a in ALPHAS], device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        fit_distributed(ridge, X * of_x, Y * of_y + shift, coef=tmp_path / "c.npy", client=client, shard=4, **given)
    agree(ridge, X * of_x, Y * of_y, (expected[0], expected[1] * of_y + shift))


def test_integers_stored_with_a_tiny_scale(tmp_path: Path, client: Client) -> None:
    X, Y, groups, _ = world("primal", 2)
    stored = np.round(Y * 3000).astype(np.int16)
    expected = reference(X, stored / 3000, groups, 5, None, ALPHAS)
    ridge = Ridge(ALPHAS, device="cpu")
    options = {"groups": groups, "scale": 1e-25 / 3000, "client": client}
    fit_distributed(ridge, X, stored, coef=tmp_path / "c.npy", **options)
    agree(ridge, X, stored * 1e-25 / 3000, (expected[0], expected[1] * 1e-25))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("unit", ["tesla", "all"])
def test_bands_in_any_unit(unit: str, weighted: bool) -> None:
    (X, Y, groups, weights), (of_x, of_y, shift) = world("primal", 3), UNITS[unit]
    shares, sample_weight = np.array([[0.3, 0.7], [1.0, 0.0]]), weights if weighted else None
    banded = BandedRidge([a * of_x**2 for a in ALPHAS], candidates=shares, device="cpu")
    bands = [X[:, :5] * of_x, X[:, 5:] * of_x]
    banded.fit(bands, Y * of_y + shift, groups=groups, sample_weight=sample_weight)
    each = [reference(X * np.repeat(s, [5, 7]) ** 0.5, Y, groups, 5, sample_weight, ALPHAS) for s in shares]
    scores = np.stack([scores.max(axis=0) for scores, _ in each])
    fitted = np.where(scores[0] > scores[1], each[0][1], each[1][1])
    agree(banded, bands, Y * of_y, (scores, fitted * of_y + shift))


def test_a_band_in_another_unit_than_the_others() -> None:
    """With a share of 1 it stands alone, where the unit of the other must not count."""
    X, Y, groups, _ = world("primal", 4)
    bands, shares = [X[:, :5] * 1e-13, X[:, 5:]], np.array([[1.0, 0.0]])
    banded = BandedRidge([a * 1e-26 for a in ALPHAS], candidates=shares, device="cpu").fit(bands, Y, groups=groups)
    scores, fitted = reference(X[:, :5], Y, groups, 5, None, ALPHAS)
    agree(banded, bands, Y, (scores.max(axis=0)[None], fitted))


@pytest.mark.parametrize("path", ["primal", "dual"])
def test_a_weight_is_as_many_copies_in_the_same_fold(path: str) -> None:
    X, Y, groups, _ = world(path, 5)
    counts = np.arange(len(X)) % 4  # 0: left out
    copies = np.repeat(np.arange(len(X)), counts)
    for metric in ("r2", "r"):
        options = {"cv": "groups", "metric": metric, "dtype": "float64", "device": "cpu"}
        weighed = Ridge(ALPHAS, **options).fit(X, Y, groups=groups, sample_weight=counts * 1e30)
        copied = Ridge([a * 1e-30 for a in ALPHAS], **options).fit(X[copies], Y[copies], groups=groups[copies])
        scaled = Ridge([a * 1e30 for a in ALPHAS], **options)
        scaled.fit(X, Y, groups=groups, sample_weight=counts * 1e30)
        plain = Ridge(ALPHAS, **options).fit(X[copies], Y[copies], groups=groups[copies])
        np.testing.assert_allclose(scaled.cv_scores_, plain.cv_scores_, atol=1e-9)
        np.testing.assert_allclose(scaled.predict(X), plain.predict(X), atol=1e-9)
        np.testing.assert_allclose(weighed.predict(X), copied.predict(X), atol=1e-9)
        found, expected = plain.score_targets(X, Y, counts), plain.score_targets(X[copies], Y[copies])
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_one_alpha_for_all_in_any_unit() -> None:
    X, Y, groups, weights = world("primal", 6)
    units = 10.0 ** np.arange(-24, 24, 8)  # each target in its own
    given = {"groups": groups, "sample_weight": weights}
    plain, scaled = (Ridge(ALPHAS, per_target_alpha=False, device="cpu").fit(X, y, **given) for y in (Y, Y * units))
    np.testing.assert_array_equal(plain.alpha_, scaled.alpha_)
    np.testing.assert_allclose(scaled.predict(X) / units, plain.predict(X), atol=1e-5)


def test_a_power_of_two_changes_no_bit() -> None:
    X, Y, groups, _ = world("dual", 7)
    plain, scaled = (Ridge(ALPHAS, device="cpu").fit(X, Y * factor, groups=groups) for factor in (1.0, 2.0**60))
    np.testing.assert_array_equal(scaled.cv_scores_, plain.cv_scores_)
    np.testing.assert_array_equal(scaled.coef_, plain.coef_ * np.float32(2.0) ** 60)


def test_what_no_float_holds_is_refused() -> None:
    X, Y, _, weights = world("primal")
    refused("leave the range of float32", Ridge((1e40,), device="cpu").fit, X * 1e20, Y * 1e-25)
    assert np.isfinite(Ridge((1e40,), dtype="float64", device="cpu").fit(X * 1e20, Y * 1e-25).coef_).all()
    refused("range of float64", Ridge(device="cpu").fit, X * 1e200, Y)
    for wrong, message in (
        (-weights, ">= 0"),
        (weights * np.nan, ">= 0"),
        (weights[1:], "89 rows"),
        (weights * 0, "above 0"),
        (weights[:, None], r"shape \(90, 1\)"),
        (["a"] * 90, "type"),
        (np.arange(90) < 18, "outside a fold"),
    ):
        refused(message, Ridge(device="cpu").fit, X, Y, sample_weight=wrong)
