from typing import Literal

import numpy as np
import pytest
import torch
from sklearn.model_selection import GroupKFold
from sklearn_ridge import cv_scores

from brainalign.encoding import Ridge
from brainalign.kernels import reference
from brainalign.regression import FewFilters, design_of, few_filters, layout

ALPHAS = torch.logspace(-1, 5, 20, dtype=torch.float64)
ONCE = torch.ones((), dtype=torch.float64)


def features(n: int, p: int, decay: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.asarray(rng.normal(size=(n, p)) * 3 * np.arange(1.0, p + 1) ** -decay, dtype=np.float32)


@pytest.mark.parametrize("spread", [1.0, 1e2, 1e4, 1e6])
def test_every_filter_is_a_combination_of_few(spread: float) -> None:
    d = torch.logspace(0, float(np.log10(spread)), 300, dtype=torch.float64) * 3
    found = few_filters(d, ALPHAS, 20, torch.float32, ONCE)
    assert found.filters.dtype == torch.float32
    exact = 1 / (d + ALPHAS[:, None])
    shrinkage = (d * exact).amax(dim=1, keepdim=True)
    error = d * (found.weights.double() @ found.filters.double() - exact) / shrinkage
    assert error.abs().max() < 4e-6
    n_filters = len(found.filters)
    assert few_filters(d, ALPHAS, n_filters - 1, torch.float32, ONCE) is None
    many = few_filters(d, ALPHAS, 20, torch.float64, ONCE)  # which keeps its own digits
    assert len(many.filters) > n_filters or spread == 1
    assert (d * (many.weights @ many.filters - exact) / shrinkage).abs().max() < 1e-13


def test_filters_are_closer_where_held_out_rows_reach_further() -> None:
    """Rows a thousand times larger than training rows along the smallest axis multiply what its filters are off by."""
    d = torch.logspace(0, 4, 300, dtype=torch.float64) * 3
    reach = torch.ones_like(d)
    reach[0] = 1e3
    exact = d / (d + ALPHAS[:, None])
    found = [few_filters(d, ALPHAS, 20, torch.float32, some) for some in (ONCE, reach)]
    errors = [(d * (few.weights.double() @ few.filters.double()) - exact)[:, 0].abs().max() for few in found if few]
    plain, closer = errors
    assert closer < 1e-7 < plain / 3


def test_moments_are_those_of_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    n_rows, rank, n_targets = 7, 30, 11
    basis, z, observed = (
        torch.randn(size, generator=generator, dtype=torch.float64)
        for size in ((n_rows, rank), (rank, n_targets), (n_rows, n_targets))
    )
    d = torch.linspace(1, 50, rank, dtype=torch.float64)
    few = few_filters(d, ALPHAS, 20, torch.float64, ONCE)
    found = few.moments(few.mix(basis) @ z, observed, totals=True)
    expected = reference.prediction_moments(basis, 1 / (d + ALPHAS[:, None]), z, observed)
    for ours, right in zip(found, expected, strict=True):
        assert ours is not None
        torch.testing.assert_close(ours, right, rtol=1e-9, atol=1e-12)
    assert few.moments(few.mix(basis) @ z, observed, totals=False)[0] is None


@pytest.mark.parametrize("metric", ["r2", "r"])
@pytest.mark.parametrize(("shape", "decay"), [((96, 400), 0.5), ((128, 60), 0), ((128, 100), 0.3)])
def test_many_runs_left_out_one_by_one(shape: tuple[int, int], decay: float, metric: Literal["r2", "r"]) -> None:
    """Runs of different length, rows out of order, fewer rows than features and more: float64 scikit-learn's scores."""
    n, t = shape[0], 12
    X = features(*shape, decay) + 2
    rng = np.random.default_rng(1)
    signal = X @ rng.normal(size=(shape[1], t))
    Y = (signal / signal.std(axis=0) + 1.5 * rng.normal(size=(n, t)) + 5).astype(np.float32)
    runs = rng.permutation(np.repeat(np.arange(16), rng.permutation(np.r_[np.full(8, n // 16 - 1), [n // 16 + 1] * 8])))
    how = {"solver": "auto", "metric": metric, "dtype": torch.float32}
    folds = design_of(torch.as_tensor(X), layout(n, "groups", runs), ALPHAS, **how).folds
    assert any(isinstance(fold.form, FewFilters) for fold in folds)
    ridge = Ridge(ALPHAS.tolist(), cv="groups", metric=metric).fit(X, Y, groups=runs)
    expected = cv_scores(X, Y, list(GroupKFold(16).split(X, groups=runs)), ALPHAS.tolist(), metric)
    assert (np.abs(ridge.cv_scores_ - expected) / (1 + np.abs(expected))).max() < 1e-5
    chosen = expected[np.searchsorted(ALPHAS.numpy(), ridge.alpha_), np.arange(t)]
    assert (expected.max(axis=0) - chosen < 1e-5).all()


def test_five_folds_of_a_wide_spectrum_have_no_few() -> None:
    X = torch.as_tensor(features(100, 300, 1))
    folds = design_of(X, layout(100, 5, None), ALPHAS, solver="auto", metric="r2", dtype=torch.float32).folds
    assert not any(isinstance(fold.form, FewFilters) for fold in folds)
