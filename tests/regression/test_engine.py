import os
import subprocess
import sys
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from refusals import refused
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, KFold
from sklearn_ridge import cv_scores

from brainalign.encoding import BandedRidge, Ridge, fit_layers
from brainalign.regression import FewFilters, design_of, few_filters, layout, spectrum

ALPHAS = tuple(np.logspace(-1, 5, 7).tolist())


def features(n: int, p: int, decay: float, seed: int = 0) -> np.ndarray:
    """Return features whose standard deviations along hidden axes fall as rank ** -decay."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(p, p)))[0]
    return np.asarray(rng.normal(size=(n, p)) * 30 * np.arange(1.0, p + 1) ** -decay @ axes)


def targets(X: np.ndarray, t: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    signal = X @ rng.normal(size=(X.shape[1], t))
    return np.asarray(signal / signal.std(axis=0) + rng.normal(size=(len(X), t)) * 2)


@pytest.mark.parametrize("decay", [0, 0.5, 1, 2, 4])
@pytest.mark.parametrize(("n", "p"), [(200, 40), (120, 80), (90, 60), (60, 150), (400, 8)])
def test_float32_keeps_its_digits_whatever_the_spectrum(n: int, p: int, decay: float) -> None:
    """Condition numbers of X'X from 1 to 1e15: the scores stay within 1e-5 of scikit-learn's in float64."""
    X = features(n, p, decay).astype(np.float32)
    Y = targets(X, 30).astype(np.float32)
    expected, ridge = cv_scores(X, Y, list(KFold(5).split(X)), ALPHAS), Ridge(ALPHAS).fit(X, Y)
    assert (np.abs(ridge.cv_scores_ - expected) / (1 + np.abs(expected))).max() < 1e-5
    assert (expected.max(axis=0) - expected[[ALPHAS.index(a) for a in ridge.alpha_], np.arange(30)] < 1e-5).all()
    for target in range(0, 30, 7):
        exact = SklearnRidge(alpha=ridge.alpha_[target], solver="svd").fit(X.astype(float), Y[:, target].astype(float))
        assert np.linalg.norm(ridge.coef_[:, target] - exact.coef_) / np.linalg.norm(exact.coef_) < 1e-4


@pytest.mark.parametrize("sizes", [[40, 30, 20, 10], [70, 3, 3, 24], [1, 1, 98]])
def test_folds_of_any_size(sizes: list[int]) -> None:
    X = features(100, 12, 0.5)
    Y, groups = targets(X, 6), np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    folds = [split for split in GroupKFold(len(sizes)).split(X, groups=groups) if len(split[1]) > 1]
    ridge = Ridge(ALPHAS, cv="groups", dtype="float64").fit(X, Y, groups=groups)
    np.testing.assert_allclose(ridge.cv_scores_, cv_scores(X, Y, folds, ALPHAS), atol=1e-8)


def test_what_products_cannot_hold_is_decomposed_by_svd_and_said() -> None:
    X = features(60, 5, 0) * np.logspace(0, -9, 5)
    Y = targets(X * np.logspace(0, 9, 5), 4)
    with pytest.warns(RuntimeWarning, match="decomposed by SVD"):
        ridge = Ridge((0.0,), dtype="float64").fit(X, Y)
    assert ridge.decomposition_ == "svd"
    expected = np.linalg.lstsq(X - X.mean(axis=0), Y - Y.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(ridge.coef_, expected, rtol=1e-6)
    with pytest.warns(RuntimeWarning, match="decomposed by SVD"):
        several = Ridge((1e-18, 1e-16), dtype="float64").fit(X, Y)
    assert (several.cv_scores_ > -1).all()
    assert Ridge(ALPHAS).fit(X / X.std(axis=0), Y).decomposition_ == "gram"


@pytest.mark.parametrize("X", [
    np.repeat(features(40, 4, 0), 3, axis=1),  # every column three times
    np.c_[features(40, 4, 0), np.full(40, 7.0)],  # a constant column
    features(40, 1, 0),
    np.ones((40, 3)),  # nothing varies: predict the mean
    np.eye(8)[np.arange(40) % 8],  # one-hot: equal eigenvalues
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_deficient_features(X: np.ndarray, dtype: str) -> None:
    Y = np.random.default_rng(0).normal(size=(40, 3)) + X[:, :1]
    ridge, expected = Ridge(ALPHAS, dtype=dtype).fit(X, Y), cv_scores(X, Y, list(KFold(5).split(X)), ALPHAS)
    np.testing.assert_allclose(ridge.cv_scores_, expected, atol=1e-5 if dtype == "float32" else 1e-9)
    assert np.isfinite(ridge.coef_).all()


def sparse(n: int, p: int, amplitude: float) -> np.ndarray:
    """Return features of which the first varies within one fold alone, and the second in a single row."""
    X = np.random.default_rng(2).normal(size=(n, p))
    X[:, :2] = 0
    X[40:48, 0], X[3, 1] = amplitude, amplitude
    return X


@pytest.mark.parametrize(("X", "n_runs"), [
    (30 * np.random.default_rng(2).normal(size=(100, 80)), 5),  # as many training rows as features
    (np.random.default_rng(2).normal(size=(160, 150)), 16),
    (100 * np.random.default_rng(2).normal(size=(160, 128)), 5), (sparse(128, 60, 30), 16),
    (sparse(128, 20, 1000), 16), (sparse(128, 300, 1000), 16), (sparse(128, 20, 1), 4),
])  # fmt: skip
@pytest.mark.parametrize("smallest", [0.0, 1e-6, 0.1])
def test_what_training_rows_lack_is_not_magnified(X: np.ndarray, n_runs: int, smallest: float) -> None:
    """Held-out rows reach into directions in which training rows have next to nothing but rounding."""
    runs, rng = np.repeat(np.arange(n_runs), len(X) // n_runs), np.random.default_rng(3)
    X = X.astype(np.float32)
    Y = X[:, 2:] @ rng.normal(size=(X.shape[1] - 2, 20)) / X[:, 2:].std() / 8
    Y = (Y + rng.normal(size=(len(X), 20))).astype("f")
    alphas = (smallest, 1.0, 1e3, 1e5)
    expected = np.zeros((4, 20))
    for run in range(n_runs):
        train, test = runs != run, runs == run
        centre, mean = X[train].astype(float).mean(axis=0), Y[train].astype(float).mean(axis=0)
        u, s, v = np.linalg.svd(X[train] - centre, full_matrices=False)
        kept = s > s[0] * 1e-12
        onto = u[:, kept].T @ (Y[train] - mean)
        for k, alpha in enumerate(alphas):
            coef = v[kept].T @ ((s[kept] / (s[kept] ** 2 + alpha))[:, None] * onto)
            expected[k] += r2_score(Y[test], (X[test] - centre) @ coef + mean, multioutput="raw_values") / n_runs
    found = Ridge(alphas, cv="groups").fit(X, Y, groups=runs)
    assert (np.abs(found.cv_scores_ - expected) / (1 + np.abs(expected))).max() < 1e-5
    chosen = expected[[alphas.index(alpha) for alpha in found.alpha_], np.arange(20)]
    assert (expected.max(axis=0) - chosen < 1e-5).all()


def test_smallest_inputs() -> None:
    X, Y = np.array([[0.0], [1.0]]), np.array([[1.0], [3.0]])
    ridge = Ridge((1.0,)).fit(X, Y)
    np.testing.assert_allclose(ridge.predict(X), SklearnRidge(alpha=1.0).fit(X, Y[:, 0]).predict(X)[:, None], rtol=1e-6)
    # Two rows, two folds of one row: no score can be defined, so the largest alpha is taken and the scores say NaN.
    undecided = Ridge((1.0, 2.0), cv=2).fit(X, Y)
    assert undecided.alpha_.tolist() == [2.0]
    assert np.isnan(undecided.cv_scores_).all()
    assert np.isfinite(Ridge(ALPHAS, cv=3).fit(np.arange(9.0)[:, None], np.arange(9.0)[:, None] ** 2).cv_scores_).all()


def test_layers_share_targets_and_equal_separate_fits() -> None:
    layers = {"a": features(70, 9, 0), "b": features(70, 200, 1, seed=3), "c": features(70, 20, 2, seed=4)}
    Y, groups = targets(layers["a"], 11), np.arange(70) % 6
    together = {name: Ridge(ALPHAS, per_target_alpha=name != "c") for name in layers}
    fit_layers(together, layers, Y, groups=groups)
    for name, X in layers.items():
        alone = Ridge(ALPHAS, per_target_alpha=name != "c").fit(X, Y, groups=groups)
        np.testing.assert_array_equal(together[name].alpha_, alone.alpha_)
        np.testing.assert_allclose(together[name].coef_, alone.coef_, atol=1e-6)
        np.testing.assert_allclose(together[name].cv_scores_, alone.cv_scores_, atol=1e-6)
    first, designs = Ridge(ALPHAS), {}
    made = first.fit(layers["b"], Y, groups=groups, designs=designs) and designs["X"]
    again, alone = (Ridge(ALPHAS).fit(layers["b"], Y[::-1], groups=groups, designs=some) for some in (designs, None))
    assert designs["X"] is made
    np.testing.assert_array_equal(again.coef_, alone.coef_)
    refused("'b' differs", fit_layers, {"a": Ridge(), "b": Ridge(cv=3)}, {"a": layers["a"], "b": layers["b"]}, Y)
    refused("encoders are for a but layers are b", fit_layers, {"a": Ridge()}, {"b": layers["b"]}, Y)
    short = {"a": layers["a"], "b": np.zeros((5, 2))}
    refused("b has 5 rows but Y has 70", fit_layers, {"a": Ridge(), "b": Ridge()}, short, Y)


def test_layout_blocks_maps_of_integers_and_axes_that_run_backwards(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = layout(7, "groups", np.array(list("abacbca")))
    np.testing.assert_array_equal(order.order, [0, 2, 6, 1, 4, 3, 5])
    assert order.tests == [slice(0, 3), slice(3, 5), slice(5, 7)]
    assert layout(10, 5, None).order is None
    X = features(50, 20, 1)
    Y = (targets(X, 23) * 300).astype(np.int16)
    whole = Ridge(ALPHAS, dtype="float64").fit(X, Y.astype(float))
    np.save(tmp_path / "betas.npy", Y)
    mapped = Ridge(ALPHAS, dtype="float64").fit(X, np.load(tmp_path / "betas.npy", mmap_mode="r"))
    back = Ridge(ALPHAS, dtype="float64").fit(X[:, ::-1], Y[:, ::-1])
    slices = "brainalign.regression.ridge.blocks_of"
    monkeypatch.setattr(slices, lambda n, *_: [slice(i, min(i + 4, n)) for i in range(0, n, 4)])
    for found, turn in ((mapped, 1), (back, -1), (Ridge(ALPHAS, dtype="float64").fit(X, Y), 1)):
        np.testing.assert_allclose(found.coef_[::turn, ::turn], whole.coef_, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(found.alpha_[::turn], whole.alpha_)
    np.testing.assert_allclose(back.score_targets(X[:, ::-1], Y[:, ::-1])[::-1], whole.score_targets(X, Y), atol=1e-9)


@pytest.mark.parametrize(("eigenvalues", "quick"), [
    (np.geomspace(1, 10, 200), True), (np.geomspace(1, 1e4, 200), False),
    (np.r_[0, 0.004, np.geomspace(1, 10, 198)], True),  # one known to be 0, one small: found again in float64
    (np.r_[0, 0.004, 0.005, 0.006, np.geomspace(1, 10, 196)], False),
])  # fmt: skip
def test_float32_eigenvectors_only_where_they_suffice(eigenvalues: NDArray[np.float64], quick: bool) -> None:
    """The quick way is taken for a narrow spectrum alone, but for few; both give the same matrix back."""
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(200, 200)))[0]
    matrix = torch.as_tensor(axes * eigenvalues @ axes.T)
    values, vectors, single = spectrum(matrix.clone(), null=int(eigenvalues[0] == 0), single=True)
    assert single is quick
    vectors = vectors.double()
    torch.testing.assert_close((vectors * values) @ vectors.T, matrix, atol=1e-5 if quick else 1e-10, rtol=0)
    small = eigenvalues < 0.1
    np.testing.assert_allclose(values[small], eigenvalues[small], atol=1e-9)
    np.testing.assert_allclose(abs((vectors.T @ axes).diagonal())[small], 1, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("n", "p"), [(400, 300), (3000, 65), (200, 700)])
@pytest.mark.parametrize("decay", [0, 1])
def test_the_gpu_gives_what_the_cpu_gives(n: int, p: int, decay: float) -> None:
    X = features(n, p, decay).astype(np.float32)
    Y = targets(X, 257).astype(np.float32)
    for metric in ("r2", "r"):
        slow, fast = (Ridge(ALPHAS, metric=metric, device=device).fit(X, Y) for device in ("cpu", "cuda"))
        # R² is 1 less a ratio of squares: rows hardly more than columns and no penalty make it −12.
        np.testing.assert_allclose(fast.cv_scores_, slow.cv_scores_, atol=1e-5, rtol=1e-5)
        same, ordered = fast.alpha_ == slow.alpha_, np.sort(slow.cv_scores_, axis=0)
        assert (same | (ordered[-1] - ordered[-2] < 1e-4)).mean() > 0.98  # equal scores leave the choice to rounding
        assert (np.linalg.norm(fast.coef_ - slow.coef_, axis=0) / np.linalg.norm(slow.coef_, axis=0))[same].max() < 1e-4
    halves = [X[:, : p // 2], X[:, p // 2 :]]
    slow, fast = (BandedRidge(ALPHAS, 5, device=device).fit(halves, Y) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(fast.cv_scores_, slow.cv_scores_, atol=2e-5)


INTERPRETED = """
import importlib
from unittest.mock import Mock

import numpy as np, torch
import brainalign.kernels as kernels
from brainalign.encoding import BandedRidge, Ridge

rng, alphas = np.random.default_rng(0), (0.1, 10.0, 1000.0)
serving = False


def served(*tensors):
    return serving and all(t.dtype in (torch.float32, torch.int16) for t in tensors)


kernels.served = kernels.held_out.__globals__["served"] = served
spies = []
for path in ("score_triton.prediction_moments", "gram_triton.cross_product", "gram_triton.apply_alpha"):
    name, function = path.split(".")
    module = importlib.import_module(f"brainalign.kernels.{name}")
    spies.append(Mock(wraps=getattr(module, function)))
    setattr(module, function, spies[-1])
for n, p, metric in [(48, 20, "r2"), (30, 70, "r"), (45, 4, "r")]:
    X = rng.normal(size=(n, p)).astype(np.float32)
    Y = (X @ rng.normal(size=(p, 5)) + 2 * rng.normal(size=(n, 5))).astype(np.float32)
    found, bands = [], [X[:, :2], X[:, 2:]]
    for serving in (False, True):
        found.append([Ridge(alphas, 3, metric=metric).fit(X, Y)])
        found[-1] += [BandedRidge(alphas, candidates=[[0.3, 0.7]], cv=2).fit(bands, Y)] if p == 4 else []
    for plain, triton in zip(*found):
        np.testing.assert_allclose(triton.cv_scores_, plain.cv_scores_, atol=1e-5)
        np.testing.assert_array_equal(triton.alpha_, plain.alpha_)
        np.testing.assert_allclose(triton.intercept_, plain.intercept_, atol=1e-4)
    print("same", n, p, metric)
assert all(spy.called for spy in spies), spies
"""


def test_the_engine_on_the_gpu_kernels_in_their_interpreter() -> None:
    """Every way of the folds, with the kernels that a GPU would run."""
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-P", "-c", INTERPRETED], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("same") == 3


PENALTIES = torch.logspace(-1, 5, 20, dtype=torch.float64)
ONCE = torch.ones((), dtype=torch.float64)


def falling(n: int, p: int, decay: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.asarray(rng.normal(size=(n, p)) * 3 * np.arange(1.0, p + 1) ** -decay, dtype=np.float32)


@pytest.mark.parametrize("spread", [1.0, 1e2, 1e4, 1e6])
def test_every_filter_is_a_combination_of_few(spread: float) -> None:
    d = torch.logspace(0, float(np.log10(spread)), 300, dtype=torch.float64) * 3
    found = few_filters(d, PENALTIES, 20, torch.float32, ONCE)
    assert found.filters.dtype == torch.float32
    exact = 1 / (d + PENALTIES[:, None])
    shrinkage = (d * exact).amax(dim=1, keepdim=True)
    assert (d * (found.weights.double() @ found.filters.double() - exact) / shrinkage).abs().max() < 4e-6
    n_filters = len(found.filters)
    assert few_filters(d, PENALTIES, n_filters - 1, torch.float32, ONCE) is None
    many = few_filters(d, PENALTIES, 20, torch.float64, ONCE)  # which keeps its own digits
    assert len(many.filters) > n_filters or spread == 1
    assert (d * (many.weights @ many.filters - exact) / shrinkage).abs().max() < 1e-13


def test_filters_are_closer_where_held_out_rows_reach_further() -> None:
    """Rows a thousand times larger than training rows along the smallest axis multiply what its filters are off by."""
    d = torch.logspace(0, 4, 300, dtype=torch.float64) * 3
    reach = torch.ones_like(d)
    reach[0] = 1e3
    exact = d / (d + PENALTIES[:, None])
    found = [few_filters(d, PENALTIES, 20, torch.float32, some) for some in (ONCE, reach)]
    errors = [(d * (few.weights.double() @ few.filters.double()) - exact)[:, 0].abs().max() for few in found if few]
    plain, closer = errors
    assert closer < 1e-7 < plain / 3


@pytest.mark.parametrize("metric", ["r2", "r"])
@pytest.mark.parametrize(("shape", "decay"), [((96, 400), 0.5), ((128, 60), 0), ((128, 100), 0.3)])
def test_many_runs_left_out_one_by_one(shape: tuple[int, int], decay: float, metric: Literal["r2", "r"]) -> None:
    """Runs of different length, rows out of order, fewer rows than features and more: float64 scikit-learn's scores."""
    n, t = shape[0], 12
    X, rng = falling(*shape, decay) + 2, np.random.default_rng(1)
    signal = X @ rng.normal(size=(shape[1], t))
    Y = (signal / signal.std(axis=0) + 1.5 * rng.normal(size=(n, t)) + 5).astype(np.float32)
    runs = rng.permutation(np.repeat(np.arange(16), rng.permutation(np.r_[np.full(8, n // 16 - 1), [n // 16 + 1] * 8])))
    how = {"solver": "auto", "metric": metric, "dtype": torch.float32}
    folds = design_of(torch.as_tensor(X), layout(n, "groups", runs), PENALTIES, **how).folds
    assert any(isinstance(fold.form, FewFilters) for fold in folds)
    ridge = Ridge(PENALTIES.tolist(), cv="groups", metric=metric).fit(X, Y, groups=runs)
    expected = cv_scores(X, Y, list(GroupKFold(16).split(X, groups=runs)), PENALTIES.tolist(), metric)
    assert (np.abs(ridge.cv_scores_ - expected) / (1 + np.abs(expected))).max() < 1e-5
    chosen = expected[np.searchsorted(PENALTIES.numpy(), ridge.alpha_), np.arange(t)]
    assert (expected.max(axis=0) - chosen < 1e-5).all()


def test_five_folds_of_a_wide_spectrum_have_no_few() -> None:
    X = torch.as_tensor(falling(100, 300, 1))
    folds = design_of(X, layout(100, 5, None), PENALTIES, solver="auto", metric="r2", dtype=torch.float32).folds
    assert not any(isinstance(fold.form, FewFilters) for fold in folds)
