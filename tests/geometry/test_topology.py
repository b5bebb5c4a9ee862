"""Geo-topological and geodesic transforms: closed forms, hand-built graphs, and what rsatoolbox 0.3.2 gets wrong."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm.transform import geotopological_transform  # rdm.transform itself is hidden by a function
from scipy.spatial.distance import pdist, squareform

from brainalign.condensed import square_rdms
from brainalign.geometry import compare, dependence_test, geodesic, geotopological, rdm, threshold_grid
from brainalign.geometry.rdms import rank_rdms
from brainalign.geometry.topology.geotopology import _clipped


@pytest.fixture
def rdms() -> np.ndarray:
    patterns = np.random.default_rng(0).normal(size=(5, 12, 4))
    return np.sqrt(rdm(patterns, "euclidean"))


def closed_form(d: np.ndarray, lower: float, upper: float) -> np.ndarray:
    a, b = np.quantile(d, [lower, upper])
    return np.array([0 if x <= a else 1 if x >= b else (x - a) / (b - a) for x in d])


def test_rgtm_is_its_closed_form_and_that_of_rsatoolbox_where_it_is_right(rdms: np.ndarray) -> None:
    d = 10 * rdms[0]  # positive, with the upper quantile above 1
    ours = geotopological(d, 0.2, 0.8, rank=False)
    theirs = geotopological_transform(RDMs(d.copy()[None]), 0.2, 0.8).get_vectors()[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    np.testing.assert_allclose(ours, closed_form(d, 0.2, 0.8), atol=1e-12)


@pytest.mark.parametrize("scale", [0.1, 1e-6, 1e6])
def test_b1_the_scale_does_not_matter(rdms: np.ndarray, scale: float) -> None:
    for rank in (True, False):
        np.testing.assert_allclose(geotopological(scale * rdms, rank=rank), geotopological(rdms, rank=rank), atol=1e-9)


def test_b2_a_stack_is_transformed_one_by_one(rdms: np.ndarray) -> None:
    stack = rdms * np.array([1, 2, 5, 10, 100])[:, None]
    for rank in (True, False):
        alone = np.stack([geotopological(d, 0.3, 0.6, rank) for d in stack])
        np.testing.assert_array_equal(geotopological(stack, 0.3, 0.6, rank), alone)
        np.testing.assert_array_equal(geotopological(stack[:4].reshape(2, 2, -1), 0.3, 0.6, rank)[1, 1], alone[3])
    for options in ({"neighbors": 3}, {"quantile": 0.4}, {"threshold": (0.1, 0.5)}):
        alone = np.stack([geodesic(d, **options).rdms for d in stack])
        found = geodesic(stack, **options)
        np.testing.assert_array_equal(found.rdms, alone)
        assert found.n_components.shape == (5,)


def test_b3_inputs_stay_as_they_were(rdms: np.ndarray) -> None:
    before = rdms.tobytes()
    geotopological(rdms)
    geotopological(rdms, rank=False)
    for options in ({"neighbors": 1}, {"quantile": 0.1}, {"threshold": (0.1, 0.3)}):
        geodesic(rdms, **options, disconnected="max_finite")
    assert rdms.tobytes() == before


def test_b4_negative_dissimilarities_keep_their_order(rdms: np.ndarray) -> None:
    d = rdms[0] - rdms[0].mean()
    order = np.argsort(d)
    for rank in (True, False):
        assert (np.diff(geotopological(d, 0.2, 0.8, rank)[order]) >= 0).all()
    np.testing.assert_allclose(geotopological(d, 0.2, 0.8, rank=False), closed_form(d, 0.2, 0.8), atol=1e-12)


def test_b5_equal_quantiles_give_a_binary_rdm(rdms: np.ndarray) -> None:
    for rank in (True, False):
        found = geotopological(rdms[0], 0.5, 0.5, rank)
        np.testing.assert_array_equal(found, rdms[0] > np.median(rdms[0]))


def min_plus(lengths: np.ndarray) -> np.ndarray:
    """Return shortest paths by the definition."""
    paths = lengths.copy()
    np.fill_diagonal(paths, 0)
    for _ in range(len(paths)):
        paths = np.min(paths[:, :, None] + paths[None], axis=1)
    return paths


def test_b6_the_closest_pair_stays_closest_and_paths_are_shortest(rdms: np.ndarray) -> None:
    d = rdms[0] - rdms[0].min()  # the closest pair is at zero
    i, j = np.triu_indices(12, 1)
    for k in (3, 5, 9):  # sparse and dense
        square = square_rdms(d[None])[0]
        ranks = np.argsort(np.argsort(square + np.diag([np.inf] * 12), axis=1), axis=1)
        lengths = np.where((ranks < k) | (k > ranks.T), square, np.inf)
        found = geodesic(d, neighbors=k)
        np.testing.assert_allclose(found.rdms, min_plus(lengths)[i, j], atol=1e-12)
        assert found.rdms[d.argmin()] == 0
        assert found.n_components == 1
    np.testing.assert_allclose(geodesic(rdms[0], quantile=1.0).rdms, rdms[0])  # a metric is its own geodesic


def test_b7_edges_below_the_lower_threshold_are_kept_with_length_zero() -> None:
    """Two groups of four on a line, each at distance 1 of its neighbours, the groups 2 apart."""
    place = np.array([0.0, 1, 2, 3, 5, 6, 7, 8])
    i, j = np.triu_indices(8, 1)
    d = place[j] - place[i]
    # of 28 pairs 6 are at 1 and 5 at 2: ranks 3.5 and 9 of 28, so that x is .093 and .296
    found = geodesic(d, threshold=(0.2, 0.4))
    x = (np.array([3.5, 9.0]) - 1) / 27
    a, b = np.quantile(geotopological(d, 0, 1) * (1 - x[0]) + x[0], [0.2, 0.4])
    two = np.clip((x[1] - a) / (b - a), 0, 1)
    assert 0 < two < 1
    within = (i < 4) == (j < 4)
    np.testing.assert_allclose(found.rdms[within], 0, atol=1e-12)
    np.testing.assert_allclose(found.rdms[~within], two, atol=1e-12)  # through the pair that is 2 apart
    assert found.n_components == 1


def test_b8_missing_infinite_and_constant_rdms_have_a_rule(rdms: np.ndarray) -> None:
    d = rdms.copy()
    d[0, 7], d[1] = np.nan, 3.0
    found = geotopological(d)
    assert np.isnan(found).sum() == 1 + d.shape[1]
    seen = np.isfinite(d[0])
    np.testing.assert_allclose(found[0, seen], closed_form(rank_rdms(d[:1])[0, seen], 0.2, 0.8), atol=1e-12)
    np.testing.assert_array_equal(found[2:], geotopological(rdms[2:]))
    refused("1 dissimilarities are infinite", geotopological, np.where(np.arange(66) == 3, np.inf, rdms[0]))
    assert geodesic(d[1], threshold=(0.2, 0.8)).n_components == 0
    assert np.isnan(geodesic(d[1], threshold=(0.2, 0.8)).rdms).all()
    around = geodesic(d[0], quantile=1.0).rdms[7]  # a path around the missing pair
    square = square_rdms(np.where(seen, d[0], np.inf)[None])[0]
    assert around == pytest.approx(np.min(square[0] + np.where(np.arange(12) == 0, np.inf, square[8])))


@pytest.mark.parametrize(("how", "far"), [("nan", np.nan), ("max_finite", 2.0), ("largest", np.nan)])
def test_parts_that_nothing_joins(how: str, far: float) -> None:
    place = np.array([0.0, 1, 2, 100, 101])
    i, j = np.triu_indices(5, 1)
    found = geodesic(place[j] - place[i], neighbors=1, disconnected=how)
    small = np.nan if how == "largest" else 1.0
    np.testing.assert_array_equal(found.rdms, [1, 2, far, far, 1, far, far, far, far, small])
    assert found.n_components == 2


def test_t1_ranks_ignore_increasing_transforms(rdms: np.ndarray) -> None:
    for lower, upper in ((0.2, 0.8), (0.45, 0.55), (0.5, 0.5), (0.0, 1.0)):
        expected = geotopological(rdms, lower, upper)
        for warp in (np.exp, np.log, np.square, lambda d: 3 * d**3 + 2):
            np.testing.assert_array_equal(geotopological(warp(rdms), lower, upper), expected)
    np.testing.assert_allclose(geotopological(rdms, 0, 1), (rank_rdms(rdms) - 1) / 65, atol=1e-15)
    spearman = compare(rdms[:1], rdms[1:], "spearman")
    np.testing.assert_allclose(
        compare(geotopological(rdms[:1], 0, 1), geotopological(rdms[1:], 0, 1), "pearson"), spearman
    )


def test_distances_equal_but_for_rounding_are_ties() -> None:
    onehot = np.sqrt(2) * (1 + 1e-15 * np.random.default_rng(0).normal(size=28))
    assert np.isnan(geotopological(onehot)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: geotopological(d, 0.8, 0.2), "got 0.8 and 0.2"),
        (lambda d: geotopological(d[:-1]), "65 is not a number of pairs"),
        (lambda d: geodesic(d), "exactly one of"),
        (lambda d: geodesic(d, neighbors=3, quantile=0.1), "exactly one of"),
        (lambda d: geodesic(d, neighbors=12), "between 1 and 11"),
        (lambda d: geodesic(d, quantile=0.0), "in \\(0, 1\\]"),
        (lambda d: geodesic(d - 1, quantile=0.5), "negative length"),
        (lambda d: geodesic(d, neighbors=2, disconnected="zero"), "disconnected must be one of"),
    ],
)
def test_mistakes_are_named(rdms: np.ndarray, call, message: str) -> None:
    refused(message, call, rdms[0])


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
def test_what_cannot_be_tested_is_named(x: np.ndarray, y: np.ndarray, n: int, message: str) -> None:
    refused(message, dependence_test, x, y, n, np.random.default_rng(0))
