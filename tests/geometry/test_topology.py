import numpy as np
import pytest
from refusals import refused
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm.transform import geotopological_transform  # rdm.transform itself is hidden by a function
from scipy.sparse.csgraph import csgraph_from_dense, dijkstra
from scipy.spatial.distance import pdist, squareform
from worlds.regions import region_patterns

import brainalign.geometry as g
from brainalign.condensed import square_rdms
from brainalign.geometry import dependence_test, geodesic, geotopological, rdm, threshold_grid
from brainalign.geometry.rdms import rank_rdms
from brainalign.geometry.topology import RankedRdms
from brainalign.geometry.topology.geotopology import _clipped


@pytest.fixture
def rdms() -> np.ndarray:
    return np.sqrt(rdm(np.random.default_rng(0).normal(size=(5, 12, 4)), "euclidean"))


def closed_form(d: np.ndarray, lower: float, upper: float) -> np.ndarray:
    a, b = np.quantile(d, [lower, upper])
    return np.array([0 if x <= a else 1 if x >= b else (x - a) / (b - a) for x in d])


def test_the_closed_form_and_that_of_rsatoolbox_where_it_is_right(rdms: np.ndarray) -> None:
    d = 10 * rdms[0]  # positive, with the upper quantile above 1
    theirs = geotopological_transform(RDMs(d.copy()[None]), 0.2, 0.8).get_vectors()[0]
    np.testing.assert_allclose(geotopological(d, 0.2, 0.8, rank=False), theirs, atol=1e-12)
    for scale in (10, 1, 0.1, 1e-6, 1e6):
        for x in (scale * rdms[0], scale * (rdms[0] - rdms[0].mean())):  # negative ones keep their order
            np.testing.assert_allclose(geotopological(x, rank=False), closed_form(x, 0.2, 0.8), atol=1e-9)
            ranks = rank_rdms(x[None])[0]  # which ignore increasing transforms
            for cell in ((0.2, 0.8), (0.45, 0.55), (0.0, 1.0)):
                np.testing.assert_allclose(geotopological(x, *cell), closed_form(ranks, *cell), atol=1e-9)
            np.testing.assert_array_equal(geotopological(x), geotopological(x, 0.2, 0.8))
    for rank in (True, False):  # equal quantiles give a binary RDM
        np.testing.assert_array_equal(geotopological(d, 0.5, 0.5, rank), d > np.median(d))
    onehot = np.sqrt(2) * (1 + 1e-15 * np.random.default_rng(0).normal(size=28))  # equal but for rounding
    assert np.isnan(geotopological(onehot)).all()


def test_b6_and_b8_the_closest_pair_stays_and_missing_infinite_and_constant_rdms(rdms: np.ndarray) -> None:
    d = rdms[0] - rdms[0].min()  # the closest pair is at zero
    i, j = np.triu_indices(12, 1)
    for k in (3, 5, 9):  # sparse and dense
        square = square_rdms(d[None])[0]
        ranks = np.argsort(np.argsort(square + np.diag([np.inf] * 12), axis=1), axis=1)
        lengths = csgraph_from_dense(np.where((ranks < k) | (k > ranks.T), square, np.inf), null_value=np.inf)
        found = geodesic(d, neighbors=k)
        np.testing.assert_allclose(found.rdms, dijkstra(lengths)[i, j], atol=1e-12)
        assert (found.rdms[d.argmin()], found.n_components) == (0, 1)
    np.testing.assert_allclose(geodesic(rdms[0], quantile=1.0).rdms, rdms[0])  # a metric is its own geodesic
    d = rdms.copy()
    d[0, 7], d[1] = np.nan, 3.0
    found = geotopological(d)
    assert np.isnan(found).sum() == 1 + d.shape[1]
    seen = np.isfinite(d[0])
    np.testing.assert_allclose(found[0, seen], closed_form(rank_rdms(d[:1])[0, seen], 0.2, 0.8), atol=1e-12)
    np.testing.assert_array_equal(found[2:], geotopological(rdms[2:]))
    refused("1 dissimilarities are infinite", geotopological, np.where(np.arange(66) == 3, np.inf, rdms[0]))


@pytest.mark.parametrize("n", [3, 6, 10])
def test_a_model_of_categories_stays_what_it_is(n: int) -> None:
    """Of few categories or many: both quantiles may be of the pairs between them, which are most."""
    categories = rdm(np.eye(n)[np.arange(4 * n) % n], "euclidean")
    np.testing.assert_array_equal(geotopological(categories), categories > 0.1)


@pytest.mark.parametrize(("how", "far"), [("nan", np.nan), ("max_finite", 2.0), ("largest", np.nan)])
def test_parts_that_nothing_joins(how: str, far: float) -> None:
    place = np.array([0.0, 1, 2, 100, 101])
    i, j = np.triu_indices(5, 1)
    found = geodesic(place[j] - place[i], neighbors=1, disconnected=how)
    np.testing.assert_array_equal(found.rdms, [1, 2, far, far, 1, *[far] * 4, np.nan if how == "largest" else 1])
    assert found.n_components == 2


def test_mistakes_are_named(rdms: np.ndarray) -> None:
    refused("got 0.8 and 0.2", geotopological, rdms[0], 0.8, 0.2)
    refused("65 is not a number of pairs", geotopological, rdms[0, :-1])
    refused("exactly one of", geodesic, rdms[0])
    refused("exactly one of", geodesic, rdms[0], neighbors=3, quantile=0.1)
    refused("between 1 and 11", geodesic, rdms[0], neighbors=12)
    refused(r"in \(0, 1\]", geodesic, rdms[0], quantile=0.0)
    refused("negative length", geodesic, rdms[0] - 1, quantile=0.5)
    refused("disconnected must be one of", geodesic, rdms[0], neighbors=2, disconnected="zero")


def centred(d: np.ndarray) -> np.ndarray:
    centre = np.eye(len(d)) - 1 / len(d)
    return centre @ d @ centre


def test_all_cells_in_one_product_equal_the_definition(rng: np.random.Generator) -> None:
    x = rng.normal(size=(12, 2))
    y = x[:, :1] ** 2 + 0.1 * rng.normal(size=(12, 1))
    found, again = dependence_test(x, y, 19, np.random.default_rng(1), step=0.25), np.random.default_rng(1)
    orders, grid = [np.arange(12), *(again.permutation(12) for _ in range(19))], threshold_grid(0.25)
    forms = [[squareform(_clipped(pdist(v)[None], *cell, False)[0]) for cell in grid] for v in (x, y)]
    moved = [[centred(b[np.ix_(o, o)]) for o in orders] for b in forms[1]]
    values = np.array([[[(centred(a) * b).sum() for b in of] for of in moved] for a in forms[0]])
    z = (values - values.mean(axis=-1, keepdims=True)) / values.std(axis=-1, keepdims=True)
    largest = z.max(axis=(0, 1))
    assert (found.z, found.p) == (pytest.approx(largest[0]), pytest.approx((largest >= largest[0] - 1e-9).mean()))
    k, j = np.unravel_index(z[:, :, 0].argmax(), z.shape[:2])
    assert found.thresholds == (tuple(grid[k]), tuple(grid[j]))
    a, b = centred(forms[0][k]), centred(forms[1][j])
    assert found.correlation == pytest.approx(np.sqrt((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())))
    plain = [(centred(squareform(pdist(x))) * centred(squareform(pdist(y))[np.ix_(o, o)])).sum() for o in orders]
    assert found.plain_p == pytest.approx((np.array(plain) >= plain[0] - 1e-9).mean())
    assert (found.n, found.n_permutations, found.n_cells, found.n_flat) == (12, 19, len(grid) ** 2, 0)
    order = rng.permutation(12)
    other = dependence_test(1e5 * x[order] - 3, 1e-3 * y[order], 1, rng, step=0.25)
    assert other.plain_correlation == pytest.approx(found.plain_correlation)


def test_too_few_observations_or_permutations_are_refused(rng: np.random.Generator) -> None:
    for a, b, n, message in (
        (np.zeros(5), np.zeros(6), 9, "x has 5 rows but y has 6"),
        (np.zeros(3), np.zeros(3), 9, "4 or more observations; got 3"),
        (np.array([0, 1, 2, np.nan]), np.zeros(4), 9, "NaN or infinite"),
        (np.zeros(5), np.zeros(5), 0, "1 or more; got 0"),
    ):
        refused(message, dependence_test, a, b, n, rng)


def test_what_does_not_vary_has_no_p(rng: np.random.Generator) -> None:
    found = dependence_test(np.ones(10), rng.normal(size=10), 19, rng, step=0.25)
    assert (np.isnan([found.p, found.z]).all(), found.n_flat) == (True, found.n_cells)
    binary = dependence_test(np.arange(20) % 2, np.arange(20) % 2, 99, rng, step=0.25)
    assert (binary.p, binary.n_flat) == (0.01, 0)  # every pair of thresholds shows the two categories


CELLS = np.array([(0.0, 1.0), (0.0, 0.5), (0.2, 0.8), (0.45, 0.55), (0.5, 0.5), (0.9, 1.0), (0.1, 0.35)])


@pytest.fixture(scope="module")
def region_rdms() -> np.ndarray:
    return g.rdm(region_patterns("outliers", 5, 3, 12, seed=3), "euclidean")


def centroid_accuracy(region_rdms: np.ndarray, who: list[int], copies: np.ndarray | None = None) -> np.ndarray:
    """Return hits of each subject by the definition: correlations with means of unit-variance RDMs."""
    copies = np.ones(len(region_rdms)) if copies is None else copies
    centred = region_rdms - region_rdms.mean(axis=-1, keepdims=True)
    unit, hits = centred / np.linalg.norm(centred, axis=-1, keepdims=True), np.zeros(len(region_rdms))
    for s in who:
        rest = [t for t in who if t != s]
        mean = np.average(unit[rest], axis=0, weights=copies[rest])
        hits[s] = (g.compare(region_rdms[s], mean, "pearson").argmax(axis=1) == np.arange(region_rdms.shape[1])).sum()
    return hits


def test_the_grid_and_its_families() -> None:
    grid = g.threshold_grid()
    assert len(grid) == 21 * 20 / 2 + 19
    assert (grid[:, 0] <= grid[:, 1]).all()
    families = {name: [tuple(cell) for cell in grid if g.threshold_family(*cell) == name] for name in g.FAMILIES}
    assert sum(map(len, families.values())) == len(grid)
    # Sums of steps are not exact.
    assert families["topology"] == [(a, b) for a, b in map(tuple, grid) if 0.39 < a <= b < 0.61]
    assert {(0.0, 0.8), (0.2, 1.0), (0.1, 0.9), (0.0, 1.0)} <= {tuple(np.round(c, 2)) for c in families["geometry"]}
    assert all(a + b <= 0.4 + 1e-9 for a, b in families["local"])
    assert all(a + b >= 1.6 - 1e-9 for a, b in families["global"])
    refused("step must divide 1", g.threshold_grid, 0.3)


@pytest.mark.parametrize("ties", ["none", "steps", "categories"])
def test_all_thresholds_at_once_equal_one_transform_after_another(region_rdms: np.ndarray, ties: str) -> None:
    flat = region_rdms.reshape(15, -1)
    few = np.quantile(flat, 0.3, axis=1, keepdims=True)
    flat = {"none": flat, "steps": np.round(flat, 0), "categories": (flat > few).astype(float)}[ties]
    for gram, (lower, upper) in zip(RankedRdms(flat).grams(CELLS), CELLS, strict=True):
        forms = g.geotopological(flat, lower, upper)
        np.testing.assert_allclose(gram, np.nan_to_num(g.compare(forms, forms, "pearson")), atol=1e-12)


def test_accuracy_and_nested_choice_follow_their_definitions(region_rdms: np.ndarray) -> None:
    found, forms = g.identify_regions(region_rdms, CELLS), [g.geotopological(region_rdms, *cell) for cell in CELLS]
    hits = np.array([centroid_accuracy(some, list(range(5))) for some in forms])
    np.testing.assert_allclose(found.accuracy, hits.sum(axis=1) / 15)
    assert found.raw == pytest.approx(centroid_accuracy(region_rdms, list(range(5))).sum() / 15)
    total = 0.0
    for s in range(5):
        inner = [centroid_accuracy(some, [t for t in range(5) if t != s]).sum() for some in forms]
        chosen = int(np.flatnonzero((found.cells == found.chosen[s]).all(axis=1))[0])
        assert chosen in np.flatnonzero(np.isclose(inner, max(inner)))
        total += hits[chosen, s]
        assert (found.nearest[s] == [0, 1, 2]).sum() == hits[chosen, s]
    assert (found.nested, found.chance) == (pytest.approx(total / 15), pytest.approx(1 / 3))
    assert (found.n_tested, found.n_pairs, found.n_missing_pairs) == (15, 66, 0)
    alone = region_rdms.copy()
    alone[1:, 1] = np.nan
    left = g.identify_regions(alone, CELLS, n_shuffles=20, rng=np.random.default_rng(0))
    assert (left.n_tested, left.chance, left.shuffled.mean() <= 0.5) == (10, 0.5, True)  # nobody else has it


def test_thresholds_are_chosen_by_others_and_shuffled_regions_are_at_chance(region_rdms: np.ndarray) -> None:
    found, spoilt = g.identify_regions(region_rdms, CELLS), region_rdms.copy()
    spoilt[0] = np.random.default_rng(0).random(spoilt[0].shape)  # whose own thresholds do not depend on it
    np.testing.assert_array_equal(g.identify_regions(spoilt, CELLS).chosen[0], found.chosen[0])
    null = g.identify_regions(region_rdms, CELLS, n_shuffles=200, rng=np.random.default_rng(0))
    assert abs(null.shuffled.mean() - 1 / 3) <= 3 * null.shuffled.std() / np.sqrt(200) + 0.02
    assert null.shuffled_best.mean() > null.shuffled.mean() + 0.05  # looking for the maximum is optimistic
    for call, message in (
        (lambda: g.identify_regions(region_rdms[:2]), "3 or more subjects; got 2"),
        (lambda: g.identify_regions(region_rdms[:, :1]), "2 or more regions; got 1"),
        (lambda: g.identify_regions(region_rdms[0]), "n_subjects, n_regions, n_pairs"),
        (lambda: g.identify_regions(region_rdms, n_boot=3), "rng is None"),
        (lambda: found.at(0.3, 0.31), "not on the grid"),
        (lambda: g.identify_regions(region_rdms * np.nan), "0 of 66 pairs"),
    ):
        refused(message, call)


def test_layers_against_regions(region_rdms: np.ndarray, rng: np.random.Generator) -> None:
    layers = np.concatenate([region_rdms.mean(axis=0), rng.random((2, 66))])  # a layer for each region
    found = g.layer_agreement(region_rdms, layers, {"rank": (0.0, 1.0), "raw": None})
    assert found["rank"].best.tolist() == [0, 1, 2]
    assert found["rank"].agreement.min() >= 0.6
    np.testing.assert_allclose(found["rank"].fit[3], g.compare(region_rdms[3], layers, "spearman"))
    np.testing.assert_allclose(found["raw"].fit[3], g.compare(region_rdms[3], layers, "pearson"))
    some = region_rdms + rng.normal(size=region_rdms.shape) * 2
    some[0, 1] = np.nan  # a region that a subject does not have
    noisy = g.layer_agreement(some, layers, {"raw": None})["raw"]
    for region, fit in enumerate(np.moveaxis(noisy.fit, 1, 0)):
        kept = fit[np.isfinite(fit).all(axis=1)]
        hits = [np.delete(kept, k, 0).sum(axis=0).argmax() == one.argmax() for k, one in enumerate(kept)]
        assert noisy.agreement[region] == pytest.approx(np.mean(hits)) != 1
    gone = region_rdms.copy()
    gone[:, 1] = np.nan
    assert g.layer_agreement(gone, layers, {"rank": (0.0, 1.0)})["rank"].best.tolist() == [0, -1, 2]
    refused("66 pairs but one of layers has 65", g.layer_agreement, region_rdms, layers[:, 1:], {"raw": None})
