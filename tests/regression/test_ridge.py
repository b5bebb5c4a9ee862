import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dask.distributed import Client
from refusals import refused
from sklearn.base import clone
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, cross_val_predict
from sklearn_ridge import cv_scores
from torch.utils.flop_counter import FlopCounterMode

from brainalign.arrays import StoredArray
from brainalign.encoding import BandedRidge, Ridge
from brainalign.regression import cluster, fit_distributed
from brainalign.statistics import pearson

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from ridge_cost import ridge_cost

ALPHAS = (0.01, 0.3, 10.0, 300.0, 1e4)


def data(n: int, p: int, t: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 2
    Y = X @ rng.normal(size=(p, t)) / np.sqrt(p) + rng.normal(size=(n, t)) * rng.uniform(0.3, 4, size=t) + 50
    return X, Y, np.arange(n) % 7


@pytest.mark.parametrize(("n", "p"), [(90, 12), (40, 120), (30, 30)])
@pytest.mark.parametrize("metric", ["r2", "r"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-9)])
def test_equals_sklearn_per_alpha(n: int, p: int, metric: str, dtype: str, tolerance: float) -> None:
    X, Y, groups = data(n, p, 40)
    ridge = Ridge(ALPHAS, cv=5, metric=metric, dtype=dtype).fit(X, Y, groups=groups)
    expected = cv_scores(X, Y, list(GroupKFold(5).split(X, groups=groups)), ALPHAS, metric)
    assert (np.abs(ridge.cv_scores_ - expected) / (1 + np.abs(expected))).max() < tolerance
    # The same alphas, but where their float64 scores are as good as equal.
    best, chosen = expected.max(axis=0), expected[[ALPHAS.index(a) for a in ridge.alpha_], np.arange(40)]
    assert (best - chosen < 1e-5).all()
    for alpha in np.unique(ridge.alpha_):
        reference, these = SklearnRidge(alpha=alpha).fit(X, Y), ridge.alpha_ == alpha
        scale = np.abs(reference.coef_[these]).max()
        np.testing.assert_allclose(ridge.coef_.T[these], reference.coef_[these], atol=1e-4 * scale)
        np.testing.assert_allclose(ridge.predict(X)[:, these], reference.predict(X)[:, these], rtol=1e-4)


def test_pooled_alpha_is_the_best_on_average_and_grids_of_one_zero_or_equal_penalties() -> None:
    X, Y, groups = data(60, 10, 12)
    rare = np.c_[Y, (np.arange(60) == 7) + 1e-3 * Y[:, 0]]  # a target that hardly varies in most folds
    pooled = Ridge(ALPHAS, per_target_alpha=False, dtype="float64").fit(X, rare, groups=groups)
    assert set(pooled.alpha_) == {ALPHAS[pooled.cv_scores_[:, :12].mean(axis=1).argmax()]}
    left = [cross_val_predict(SklearnRidge(alpha=a), X, rare, groups=groups, cv=GroupKFold(5)) - rare for a in ALPHAS]
    errors = np.square(left).sum(axis=1)
    np.testing.assert_allclose((1 - pooled.cv_scores_) / (1 - pooled.cv_scores_[0]), errors / errors[0], rtol=1e-6)
    roi = np.array(["x"] * 5 + ["y"] * 7)
    by_roi = Ridge(ALPHAS, per_target_alpha=False, dtype="float64").fit(X, Y, groups=groups, roi=roi)
    for label in ("x", "y"):
        alone = Ridge(ALPHAS, per_target_alpha=False, dtype="float64").fit(X, Y[:, roi == label], groups=groups)
        np.testing.assert_allclose(by_roi.coef_[:, roi == label], alone.coef_)
    X, Y, groups = data(60, 10, 50)
    ridge = Ridge((1e-3, 1.0, 1e6)).fit(X, np.random.default_rng(0).normal(size=Y.shape), groups=groups)
    assert ridge.alpha_at_edge_[1] == (ridge.alpha_ == 1e6).mean() > 0.5
    one = Ridge((1.0,), cv="groups", per_target_alpha=False, dtype="float64").fit(X, Y)  # nothing to choose
    assert np.isnan(one.cv_scores_).all()
    np.testing.assert_allclose(one.coef_.T, SklearnRidge(alpha=1.0).fit(X, Y).coef_, rtol=1e-8)
    equal = Ridge((2.0, 2.0 + 1e-13, 1.0), dtype="float32").fit(np.zeros_like(X), Y, groups=groups)
    assert set(equal.alpha_) == {2.0 + 1e-13}  # the larger one
    few, rest = X[:9], Y[:9]  # fewer rows than features: least squares of the smallest norm
    expected = np.linalg.lstsq(few - few.mean(axis=0), rest - rest.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(Ridge((0.0,), dtype="float64").fit(few, rest).coef_, expected, atol=1e-8)


@pytest.mark.parametrize("metric", ["r2", "r"])
def test_tensors_scores_and_a_large_mean(metric: str) -> None:
    X, Y, groups = data(60, 6, 5)
    tensors = torch.as_tensor(X), torch.as_tensor(Y)
    plain, ridge = (Ridge(ALPHAS, metric=metric).fit(*given, groups=groups) for given in ((X, Y), tensors))
    assert isinstance(ridge.coef_, torch.Tensor)
    assert isinstance(ridge.predict(tensors[0]), torch.Tensor)
    np.testing.assert_allclose(ridge.coef_.numpy(), plain.coef_)
    np.testing.assert_allclose(ridge.score_targets(*tensors).numpy(), plain.score_targets(X, Y))
    predicted = plain.predict(X)
    expected = r2_score(Y, predicted, multioutput="raw_values") if metric == "r2" else pearson(Y, predicted)
    np.testing.assert_allclose(plain.score_targets(X, Y), expected, rtol=1e-5)
    far = Ridge(ALPHAS, metric=metric).fit(X + 1e5, Y, groups=groups)
    np.testing.assert_allclose(far.predict(X + 1e5), predicted, atol=1e-4)


GIVEN = dict(zip(("X", "Y", "groups"), data(30, 4, 3), strict=True))
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@pytest.mark.parametrize(("options", "change", "message"), [
    ({}, {"X": np.zeros((5, 2))}, "X has 5 rows but Y has 30"),
    ({}, {"X": np.zeros((30, 2, 2))}, r"X has shape \(30, 2, 2\)"),
    ({}, {"X": np.zeros((30, 0))}, r"X has shape \(30, 0\): it has no columns"),
    ({}, {"Y": np.full((30, 3), np.nan)}, "90 NaN"), ({}, {"groups": np.zeros(30)}, "needs 2 groups or more"),
    ({}, {"groups": np.zeros(3)}, "groups has 3 rows but X has 30"), ({}, {"grid": (2, 2)}, "cannot use grid"),
    ({}, {"semantics": np.zeros(3)}, "cannot use semantics"),
    ({}, {"roi": np.zeros(3)}, "only with per_target_alpha=False"),
    ({"solver": "primel"}, {}, "did you mean 'primal'"), ({"alphas": ()}, {}, "at least one"),
    ({"alphas": (-1.0,)}, {}, ">= 0"), ({"cv": "groups"}, {"groups": None}, "fit got no groups"),
    ({"cv": "group"}, {}, "cv is 'group'; give a number of folds"),
    ({"cv": 1}, {}, "cv is 1; give a number of folds"), ({"device": "gpu"}, {}, "device must be one of"),
    pytest.param({"device": "cuda"}, {}, "no GPU", marks=NO_GPU),
])  # fmt: skip
def test_bad_input(options: dict[str, object], change: dict[str, object], message: str) -> None:
    refused(message, Ridge(**options).fit, **GIVEN | change)


def test_a_constant_target_is_its_mean_and_changes_no_other() -> None:
    found = Ridge(ALPHAS).fit(**GIVEN | {"Y": np.c_[GIVEN["Y"], np.full(30, 0.3)]}).predict(GIVEN["X"])
    np.testing.assert_allclose(found[:, 3], 0.3, rtol=1e-6)
    np.testing.assert_allclose(found[:, :3], Ridge(ALPHAS).fit(**GIVEN).predict(GIVEN["X"]), rtol=1e-5)


def test_folds_of_one_row_choose_no_penalty() -> None:
    """One row has no R²: fewer folds are made of few rows, and groups of one row are refused."""
    X = np.random.default_rng(3).normal(size=(5, 2))
    assert (Ridge(ALPHAS).fit(X, X @ [[1.0], [2.0]]).alpha_ == min(ALPHAS)).all()
    assert np.isfinite(Ridge(ALPHAS).fit(X, X, groups=np.arange(5)).cv_scores_).all()
    refused("5 groups of one row, and one row has no R²", Ridge(ALPHAS, cv="groups").fit, X, X, groups=np.arange(5))


def test_other_widths_are_refused() -> None:
    ridge = Ridge().fit(**GIVEN)
    for wrong in (GIVEN["Y"][:, 0], GIVEN["Y"][:, :1], GIVEN["Y"][:1]):
        refused(r"Y has shape .* but predictions have \(30, 3\)", ridge.score_targets, GIVEN["X"], wrong)
    refused(r"shape \(1, 3\) but the encoder was fitted on 4", ridge.predict, np.zeros((1, 3)))


@pytest.mark.parametrize("dtype", ["bool", "u2", "u4", "u8", ">f4", ">i2", "f2"])
def test_types_that_torch_hardly_knows(dtype: str) -> None:
    X, Y, _ = data(40, 4, 3)
    X, Y = (np.round(100 + 20 * array) for array in (X, Y))
    X, Y = (array > np.median(array) if dtype == "bool" else array for array in (X, Y))
    found, expected = (Ridge(ALPHAS).fit(X.astype(kind), Y.astype(kind)) for kind in (dtype, "f8"))
    np.testing.assert_allclose(found.cv_scores_, expected.cv_scores_, atol=1e-6)
    np.testing.assert_array_equal(found.alpha_, expected.alpha_)


FEW_ALPHAS = (0.3, 10.0, 300.0)
N_TARGETS = 6
# X times, Y times, added to Y.
UNITS = {
    "plain": (1.0, 1.0, 0.0), "tiny features": (1e-11, 1.0, 0.0), "tesla": (1.0, 1e-25, 0.0),
    "huge targets": (1.0, 1e18, 0.0), "offset": (1.0, 1.0, 1e6), "all": (1e-20, 1e-18, 3e-12),
    "large features": (1e15, 1e5, 0.0),
}  # fmt: skip
# Rows, features, folds.
PATHS = {"primal": (90, 12, 5), "dual": (40, 90, 5), "svd": (60, 12, 5), "many folds": (120, 40, "groups")}
PENALTIES = {path: np.array(FEW_ALPHAS) * (1e-3 if path == "svd" else 1.0) for path in PATHS}


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
    scores = cv_scores(X, Y, list(splitter.split(X, groups=groups)), alphas, weights=weights)
    models = [SklearnRidge(alpha=alpha, solver="svd").fit(X, Y, sample_weight=weights) for alpha in alphas]
    fitted = [model.predict(X) for model in models]
    return scores, np.take_along_axis(np.stack(fitted), scores.argmax(axis=0)[None, None], axis=0)[0]


@cache
def known(path: str, weighted: bool) -> tuple[np.ndarray, np.ndarray]:
    X, Y, groups, weights = world(path)
    return reference(X, Y, groups, PATHS[path][2], weights if weighted else None, tuple(PENALTIES[path]))


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with cluster(n_workers=1, processes=False) as connected:
        yield connected


def agree(found: Ridge | BandedRidge, X: object, Y: np.ndarray, expected: tuple[np.ndarray, np.ndarray]) -> None:
    scores, fitted = expected
    assert (np.abs(found.cv_scores_ - scores) / (1 + np.abs(scores))).max() < 1e-5
    assert (np.abs(found.predict(X) - fitted) / Y.std(axis=0)).max() < 1e-5


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # says that it takes the SVD
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("path", PATHS)
def test_equals_scikit_learn_in_any_unit(path: str, unit: str, weighted: bool) -> None:
    (X, Y, groups, weights), (of_x, of_y, shift) = world(path), UNITS[unit]
    sample_weight = weights if weighted else None
    scores, fitted = known(path, weighted)
    ridge = Ridge(PENALTIES[path] * of_x**2, cv=PATHS[path][2], device="cpu")
    ridge.fit(X * of_x, Y * of_y + shift, groups=groups, sample_weight=sample_weight)
    assert (ridge.decomposition_ == "svd") == (path == "svd")
    agree(ridge, X * of_x, Y * of_y, (scores, fitted * of_y + shift))
    by_hand = (X * of_x) @ ridge.coef_.astype(np.float64) + ridge.intercept_
    assert (np.abs(by_hand - fitted * of_y - shift) / (Y * of_y).std(axis=0)).max() < 1e-4
    expected = r2_score(Y, fitted, multioutput="raw_values", sample_weight=sample_weight)
    np.testing.assert_allclose(ridge.score_targets(X * of_x, Y * of_y + shift, sample_weight), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("unit", ["plain", "all"])
@pytest.mark.parametrize("path", ["primal", "dual", "svd"])
def test_the_same_on_files_and_workers(path: str, unit: str, weighted: bool, tmp_path: Path, client: Client) -> None:
    (X, Y, groups, weights), (of_x, of_y, shift) = world(path, 1), UNITS[unit]
    given = {"groups": groups, "sample_weight": weights if weighted else None}
    expected = reference(X, Y, groups, 5, given["sample_weight"], tuple(PENALTIES[path]))
    ridge = Ridge(PENALTIES[path] * of_x**2, device="cpu")
    fit_distributed(ridge, X * of_x, Y * of_y + shift, coef=tmp_path / "c.npy", client=client, shard=4, **given)
    agree(ridge, X * of_x, Y * of_y, (expected[0], expected[1] * of_y + shift))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("unit", ["tesla", "all"])
def test_bands_in_any_unit(unit: str, weighted: bool) -> None:
    (X, Y, groups, weights), (of_x, of_y, shift) = world("primal", 3), UNITS[unit]
    shares, sample_weight = np.array([[0.3, 0.7], [1.0, 0.0]]), weights if weighted else None
    banded = BandedRidge([a * of_x**2 for a in FEW_ALPHAS], candidates=shares, device="cpu")
    bands = [X[:, :5] * of_x, X[:, 5:] * of_x]
    banded.fit(bands, Y * of_y + shift, groups=groups, sample_weight=sample_weight)
    each = [reference(X * np.repeat(s, [5, 7]) ** 0.5, Y, groups, 5, sample_weight, FEW_ALPHAS) for s in shares]
    scores = np.stack([scores.max(axis=0) for scores, _ in each])
    agree(banded, bands, Y * of_y, (scores, np.where(scores[0] > scores[1], each[0][1], each[1][1]) * of_y + shift))


def test_a_band_in_another_unit_than_the_others() -> None:
    """With a share of 1 it stands alone, where the unit of the other must not count."""
    X, Y, groups, _ = world("primal", 4)
    bands, shares = [X[:, :5] * 1e-13, X[:, 5:]], np.array([[1.0, 0.0]])
    banded = BandedRidge([a * 1e-26 for a in FEW_ALPHAS], candidates=shares, device="cpu").fit(bands, Y, groups=groups)
    scores, fitted = reference(X[:, :5], Y, groups, 5, None, FEW_ALPHAS)
    agree(banded, bands, Y, (scores.max(axis=0)[None], fitted))


@pytest.mark.parametrize("path", ["primal", "dual"])
def test_a_weight_is_as_many_copies_in_the_same_fold(path: str) -> None:
    X, Y, groups, _ = world(path, 5)
    counts = np.arange(len(X)) % 4  # 0: left out
    copies = np.repeat(np.arange(len(X)), counts)
    for metric in ("r2", "r"):
        options = {"cv": "groups", "metric": metric, "dtype": "float64", "device": "cpu"}
        weighed = Ridge(FEW_ALPHAS, **options).fit(X, Y, groups=groups, sample_weight=counts * 1e30)
        copied = Ridge([a * 1e-30 for a in FEW_ALPHAS], **options).fit(X[copies], Y[copies], groups=groups[copies])
        scaled = Ridge([a * 1e30 for a in FEW_ALPHAS], **options)
        scaled.fit(X, Y, groups=groups, sample_weight=counts * 1e30)
        plain = Ridge(FEW_ALPHAS, **options).fit(X[copies], Y[copies], groups=groups[copies])
        np.testing.assert_allclose(scaled.cv_scores_, plain.cv_scores_, atol=1e-9)
        np.testing.assert_allclose(scaled.predict(X), plain.predict(X), atol=1e-9)
        np.testing.assert_allclose(weighed.predict(X), copied.predict(X), atol=1e-9)
        double = Ridge([a * 2 for a in FEW_ALPHAS], **options).fit(X, Y, groups=groups, sample_weight=2.0)
        unweighted = Ridge(FEW_ALPHAS, **options).fit(X, Y, groups=groups)
        np.testing.assert_allclose(double.predict(X), unweighted.predict(X), atol=1e-9)
        found, expected = plain.score_targets(X, Y, counts), plain.score_targets(X[copies], Y[copies])
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("path", PATHS)
def test_features_in_a_file_are_as_in_memory(path: str, tmp_path: Path, client: Client) -> None:
    """Rows in another order than in the file, among others, and scaled as they are read."""
    X, Y, groups, weights = world(path)
    order, factor = np.random.default_rng(0).permutation(len(X) + 3)[: len(X)], 2.0 ** (np.arange(X.shape[1]) % 5)
    whole = np.full((len(X) + 3, X.shape[1]), np.nan)
    whole[order] = X / factor + 3
    whole.tofile(tmp_path / "X.bin")
    stored = StoredArray(tmp_path / "X.bin", 0, whole.shape, whole.dtype, order, standard=(0 * factor + 3, factor))
    given: dict[str, Any] = {"groups": groups, "sample_weight": weights}
    for encoder, read, held in (
        (Ridge(FEW_ALPHAS, cv=PATHS[path][2], device="cpu"), stored, X),
        (BandedRidge(FEW_ALPHAS, n_candidates=3, device="cpu"), [stored, stored], [X, X]),
    ):
        found, expected = (clone(encoder).fit(some, Y, **given) for some in (read, held))
        np.testing.assert_allclose(found.predict(read), expected.predict(held), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.cv_scores_, expected.cv_scores_, rtol=1e-5, atol=1e-6)
    ridge = Ridge(FEW_ALPHAS, device="cpu")
    fit_distributed(ridge, stored, Y, coef=tmp_path / "c.npy", client=client, **given)
    np.testing.assert_allclose(ridge.predict(X), clone(ridge).fit(X, Y, **given).predict(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("metric", ["r2", "r"])
def test_every_target_in_a_unit_of_its_own(metric: str, pooled: bool) -> None:
    """Squares of squares leave the range of float32; powers of two change no bit."""
    X, Y, groups, weights = world("primal", 6)
    ridge = Ridge(FEW_ALPHAS, metric=metric, per_target_alpha=not pooled, device="cpu")
    units = (np.ones(6), 10.0 ** np.arange(-24, 24, 8), 2.0 ** np.arange(-60, 60, 20))
    plain, scaled, exact = (clone(ridge).fit(X, Y * u, groups=groups, sample_weight=weights) for u in units)
    np.testing.assert_array_equal(plain.alpha_, scaled.alpha_)
    np.testing.assert_allclose(scaled.cv_scores_, plain.cv_scores_, atol=1e-5)
    np.testing.assert_allclose(scaled.predict(X) / units[1], plain.predict(X), atol=1e-5)
    np.testing.assert_array_equal(exact.cv_scores_, plain.cv_scores_)
    np.testing.assert_array_equal(exact.coef_, plain.coef_ * np.float32(units[2]))


def test_what_no_float_holds_is_refused() -> None:
    X, Y, _, weights = world("primal")
    refused("leave the range of float32", Ridge((1e40,), device="cpu").fit, X * 1e20, Y * 1e-25)
    assert np.isfinite(Ridge((1e40,), dtype="float64", device="cpu").fit(X * 1e20, Y * 1e-25).coef_).all()
    refused("range of float64", Ridge(device="cpu").fit, X * 1e200, Y)
    for wrong, message in (
        (-weights, ">= 0"), (weights * np.nan, ">= 0"), (weights[1:], "89 rows"), (weights * 0, "above 0"),
        (weights[:, None], r"shape \(90, 1\)"), (["a"] * 90, "type"), (np.arange(90) < 18, "outside a fold"),
    ):  # fmt: skip
        refused(message, Ridge(device="cpu").fit, X, Y, sample_weight=wrong)


@pytest.mark.parametrize(("n", "p"), [(400, 100), (150, 600)])
def test_a_fit_costs_what_the_model_says(n: int, p: int, products_of_torch: None, rng: np.random.Generator) -> None:
    """All products of `Ridge.fit`; decompositions and Gram matrices are LAPACK's and BLAS's own, out of sight."""
    X = rng.normal(size=(n, p)) / np.sqrt(np.arange(1, p + 1))  # a spectrum with few eigenvalues near each other
    Y = rng.normal(size=(n, 2000))
    with FlopCounterMode(display=False) as counter:
        Ridge(tuple(np.logspace(-1, 5, 20)), device="cpu").fit(X, Y)
    cost = ridge_cost(n, p, 2000)
    expected = cost.rotation + cost.projection + cost.scoring + cost.refit
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.05)
