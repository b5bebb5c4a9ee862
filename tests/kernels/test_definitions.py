"""The definitions themselves, against scipy and by hand: the kernels are only as right as these are."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.distance import pdist

from brainalign.kernels import apply_alpha, correlation_rdms, cross_product, reference


def test_correlation_distances_are_those_of_scipy() -> None:
    patterns = torch.randn((3, 9, 20), generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 5
    patterns[1, 4] = 0.1  # a constant row has no correlation
    expected = np.stack([pdist(each.numpy(), "correlation") for each in patterns])
    constant = np.array([4 in pair for pair in zip(*np.triu_indices(9, 1), strict=True)])
    expected[1, constant] = np.nan
    for found in (correlation_rdms(patterns), reference.correlation_rdms(patterns)):
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_products_with_targets_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    X, Y, scale = rng.normal(size=(30, 4)), rng.integers(-3000, 3000, size=(30, 6)), rng.uniform(0.1, 1, size=6)
    whole = torch.as_tensor(Y.astype(np.int16))
    for way in (cross_product, reference.cross_product):
        found = way(torch.as_tensor(X), whole, torch.as_tensor(scale))
        np.testing.assert_allclose(found.numpy(), X.T @ (Y * scale), rtol=1e-12)


def test_every_target_is_divided_by_its_own_penalty() -> None:
    rng = np.random.default_rng(1)
    to_coef, z, d, a = rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.uniform(1, 9, 3), rng.uniform(1, 9, 4)
    expected = np.stack([to_coef @ (z[:, t] / (d + a[t])) for t in range(4)], axis=1)
    given = [torch.as_tensor(part) for part in (to_coef, d, a, z)]
    out = torch.empty((4, 5), dtype=torch.float64)
    apply_alpha(*given, out=out.T)
    for found in (out.T, apply_alpha(*given), reference.apply_alpha(*given)):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
