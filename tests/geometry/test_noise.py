from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import rsatoolbox
import torch
from refusals import refused

from brainalign.geometry import NOISE_COVARIANCES, noise_covariance, noise_precision, rdm
from brainalign.geometry.rdms import LowRankCovariance, WholeCovariance, mean_covariance

TOOLBOX = {"shrink-diagonal": "shrinkage_diag", "shrink-identity": "shrinkage_eye", "diag": "diag", "full": "full"}


def residuals_of(n: int, p: int, seed: int = 0) -> np.ndarray:
    """Return correlated residuals of channels whose noise differs in size."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(p) + rng.normal(size=(p, p)) / np.sqrt(p) / 2
    return rng.normal(size=(n, p)) @ mixing * rng.uniform(0.5, 3, p)


@pytest.mark.parametrize("method", TOOLBOX)
@pytest.mark.parametrize(("n", "p"), [(60, 12), (30, 29), (20, 50)])
@pytest.mark.parametrize("dof", [None, 15])
def test_equals_rsatoolbox(method: str, n: int, p: int, dof: int | None) -> None:
    if method == "full" and min(n - 1, dof or n) < p:
        return  # singular
    assert set(TOOLBOX) == set(NOISE_COVARIANCES)
    residuals = residuals_of(n, p)
    before = residuals.tobytes()
    found = noise_covariance(residuals, dof, method)
    assert residuals.tobytes() == before
    covariance = rsatoolbox.data.noise.cov_from_residuals(residuals, dof, TOOLBOX[method])
    scale = np.abs(covariance).max()
    np.testing.assert_allclose(found.matrix() / scale, covariance / scale, atol=1e-10, rtol=0)
    precision = rsatoolbox.data.noise.prec_from_residuals(residuals, dof, TOOLBOX[method])
    np.testing.assert_allclose(noise_precision(residuals, dof, method), precision, atol=1e-10, rtol=1e-10)
    of_tensor = noise_precision(torch.from_numpy(residuals), dof, method)
    assert isinstance(of_tensor, torch.Tensor)
    np.testing.assert_allclose(of_tensor, precision, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("method", TOOLBOX)
@pytest.mark.parametrize(("n", "p"), [(60, 12), (20, 50)])
def test_all_forms_of_a_covariance_agree(method: str, n: int, p: int) -> None:
    if method == "full" and n < p:
        return
    noise = noise_covariance(residuals_of(n, p), method=method)
    assert isinstance(noise, WholeCovariance) == (n > p and method != "diag")
    covariance, precision = noise.matrix(), noise.precision()
    np.testing.assert_allclose(covariance @ precision, np.eye(p), atol=1e-9)
    patterns = np.random.default_rng(2).normal(size=(2, 3, p))
    np.testing.assert_allclose(noise.solve(patterns), patterns @ precision, atol=1e-9)
    np.testing.assert_allclose(noise.solve(torch.from_numpy(patterns)), noise.solve(patterns), atol=1e-12)
    rows, labels = np.random.default_rng(3).normal(size=(12, p)), (np.tile(np.arange(4), 3), np.repeat(np.arange(3), 4))
    for measure in ("mahalanobis", "crossnobis"):
        expected = rdm(rows, measure, *labels, precision)
        for given in (rows, torch.from_numpy(rows)):
            np.testing.assert_allclose(rdm(given, measure, *labels, noise), expected, atol=1e-10)


def test_means_of_covariances_stay_small_where_they_can() -> None:
    for p, kind in ((50, LowRankCovariance), (30, WholeCovariance)):
        parts = [noise_covariance(residuals_of(20, p, seed)) for seed in range(2)]
        mean = mean_covariance(parts)
        assert isinstance(mean, kind)
        np.testing.assert_allclose(mean.matrix(), (parts[0].matrix() + parts[1].matrix()) / 2, atol=1e-12)


def peak_bytes(function: Callable[[], object]) -> int:
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(("method", "most"), [("shrink-diagonal", 0.25), ("shrink-identity", 0.25), ("diag", 0.1)])
def test_many_channels_need_no_matrix_of_channels(method: str, most: float) -> None:
    rng, p = np.random.default_rng(0), 1500
    residuals, patterns = rng.normal(size=(40, p)), rng.normal(size=(20, p))
    assert peak_bytes(lambda: noise_covariance(residuals, method=method).solve(patterns)) < most * 8 * p**2


@pytest.mark.parametrize("method", ["shrink-diagonal", "shrink-identity", "full"])
def test_few_channels_need_one_matrix_of_channels(method: str) -> None:
    rng, p = np.random.default_rng(0), 400
    residuals, patterns = rng.normal(size=(420, p)), rng.normal(size=(20, p))
    noise = noise_covariance(residuals, method=method)
    assert peak_bytes(lambda: noise.solve(patterns)) < 0.2 * 8 * p**2
    # Beside the matrix, only copies of the residuals.
    assert peak_bytes(lambda: noise_covariance(residuals, method=method)) < 8 * p**2 + 4 * residuals.nbytes


def test_noise_precision_bad_input() -> None:
    refused("1 channels never deviate", noise_precision, np.c_[np.arange(4.0), np.zeros(4)], dof=3)
    steady = np.random.default_rng(5).normal(size=(12, 4)) * [1, 1, 0, 1] + 0.1  # whatever rounding leaves of it
    refused(r"1 channels never deviate \(first: 2\)", noise_covariance, steady)
    refused("0 degrees of freedom", noise_precision, np.ones((4, 2)), dof=0)
    rows = np.random.default_rng(0).normal(size=(10, 12))
    refused("do not determine the covariance of 12 channels", noise_covariance, rows, method="full")
    refused("do not determine the covariance of 9 channels", noise_covariance, rows[:, :9], dof=5, method="full")
    refused("not positive definite", noise_covariance, np.c_[rows[:, :3], rows[:, :3].sum(axis=1)], method="full")
    refused("did you mean 'full'", noise_covariance, rows, method="ful")
    refused("2 NaN", noise_covariance, np.where(np.arange(12) < 2, np.nan, rows[:1]))
    refused("rows × channels", noise_covariance, rows[0])
