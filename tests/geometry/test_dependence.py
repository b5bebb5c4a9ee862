"""The adaptive dependence test against its definition cell by cell, and its limits; size and power are in recovery/."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from scipy.spatial.distance import pdist, squareform

from brainalign.geometry import dependence_test, threshold_grid
from brainalign.geometry.topology.geotopology import _clipped


def centred(d: np.ndarray) -> np.ndarray:
    centre = np.eye(len(d)) - 1 / len(d)
    return centre @ d @ centre


def test_all_cells_in_one_product_equal_the_definition() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 2))
    y = x[:, :1] ** 2 + 0.1 * rng.normal(size=(12, 1))
    found = dependence_test(x, y, 19, np.random.default_rng(1), step=0.25)
    again = np.random.default_rng(1)
    orders = [np.arange(12), *(again.permutation(12) for _ in range(19))]
    grid = threshold_grid(0.25)
    forms = [[squareform(_clipped(pdist(v)[None], *cell, False)[0]) for cell in grid] for v in (x, y)]
    values = np.array(
        [[[(centred(a) * centred(b[np.ix_(o, o)])).sum() for o in orders] for b in forms[1]] for a in forms[0]]
    )
    z = (values - values.mean(axis=-1, keepdims=True)) / values.std(axis=-1, keepdims=True)
    largest = z.max(axis=(0, 1))
    assert found.z == pytest.approx(largest[0])
    assert found.p == pytest.approx((largest >= largest[0] - 1e-9).mean())
    k, j = np.unravel_index(z[:, :, 0].argmax(), z.shape[:2])
    assert found.thresholds == (tuple(grid[k]), tuple(grid[j]))
    a, b = centred(forms[0][k]), centred(forms[1][j])
    assert found.correlation == pytest.approx(np.sqrt((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())))
    plain = [(centred(squareform(pdist(x))) * centred(squareform(pdist(y))[np.ix_(o, o)])).sum() for o in orders]
    assert found.plain_p == pytest.approx((np.array(plain) >= plain[0] - 1e-9).mean())
    assert (found.n, found.n_permutations, found.n_cells, found.n_flat) == (12, 19, len(grid) ** 2, 0)


def test_the_scale_and_order_of_observations_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20))
    one = dependence_test(x, y, 1, rng, step=0.25)
    order = rng.permutation(20)
    other = dependence_test(1e5 * x[order] - 3, 1e-3 * y[order], 1, rng, step=0.25)
    assert one.plain_correlation == pytest.approx(other.plain_correlation)


def test_what_does_not_vary_has_no_p() -> None:
    rng = np.random.default_rng(0)
    found = dependence_test(np.ones(10), rng.normal(size=10), 19, rng, step=0.25)
    assert np.isnan(found.p)
    assert np.isnan(found.z)
    assert found.n_flat == found.n_cells
    binary = dependence_test(np.arange(20) % 2, np.arange(20) % 2, 99, rng, step=0.25)
    assert binary.p == 0.01
    assert 0 < binary.n_flat < binary.n_cells


@pytest.mark.parametrize(
    ("x", "y", "n", "message"),
    [
        (np.zeros(5), np.zeros(6), 9, "x has 5 rows but y has 6"),
        (np.zeros(3), np.zeros(3), 9, "4 or more observations; got 3"),
        (np.array([0, 1, 2, np.nan]), np.zeros(4), 9, "NaN or infinite"),
        (np.zeros(5), np.zeros(5), 0, "1 or more; got 0"),
    ],
)
def test_mistakes_are_named(x: np.ndarray, y: np.ndarray, n: int, message: str) -> None:
    refused(message, dependence_test, x, y, n, np.random.default_rng(0))
