import numpy as np
import pytest
from refusals import refused
from worlds.region_geometries import region_patterns

import brainalign.geometry as g
from brainalign.geometry.topology import RankedRdms

CELLS = np.array([(0.0, 1.0), (0.0, 0.5), (0.2, 0.8), (0.45, 0.55), (0.5, 0.5), (0.9, 1.0), (0.1, 0.35)])


@pytest.fixture(scope="module")
def rdms() -> np.ndarray:
    return g.rdm(region_patterns("outliers", 5, 3, 12, seed=3), "euclidean")


def centroid_accuracy(rdms: np.ndarray, who: list[int], copies: np.ndarray | None = None) -> np.ndarray:
    """Return hits of each subject by the definition: correlations with means of unit-variance RDMs."""
    copies = np.ones(len(rdms)) if copies is None else copies
    centred = rdms - rdms.mean(axis=-1, keepdims=True)
    unit = centred / np.linalg.norm(centred, axis=-1, keepdims=True)
    hits = np.zeros(len(rdms))
    for s in who:
        rest = [t for t in who if t != s]
        mean = np.average(unit[rest], axis=0, weights=copies[rest])
        hits[s] = (g.compare(rdms[s], mean, "pearson").argmax(axis=1) == np.arange(rdms.shape[1])).sum()
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


@pytest.mark.parametrize("ties", [False, True])
def test_all_thresholds_at_once_equal_one_transform_after_another(rdms: np.ndarray, ties: bool) -> None:
    flat = rdms.reshape(15, -1)
    flat = np.round(flat, 0) if ties else flat
    for gram, (lower, upper) in zip(RankedRdms(flat).grams(CELLS), CELLS, strict=True):
        forms = g.geotopological(flat, lower, upper)
        np.testing.assert_allclose(gram, np.nan_to_num(g.compare(forms, forms, "pearson")), atol=1e-12)


def test_accuracy_and_nested_choice_follow_their_definitions(rdms: np.ndarray) -> None:
    found = g.identify_regions(rdms, CELLS)
    forms = [g.geotopological(rdms, *cell) for cell in CELLS]
    hits = np.array([centroid_accuracy(some, list(range(5))) for some in forms])
    np.testing.assert_allclose(found.accuracy, hits.sum(axis=1) / 15)
    assert found.raw == pytest.approx(centroid_accuracy(rdms, list(range(5))).sum() / 15)
    total = 0.0
    for s in range(5):
        inner = [centroid_accuracy(some, [t for t in range(5) if t != s]).sum() for some in forms]
        best = np.flatnonzero(np.isclose(inner, max(inner)))
        chosen = int(np.flatnonzero((found.cells == found.chosen[s]).all(axis=1))[0])
        assert chosen in best
        total += hits[chosen, s]
    assert (found.nested, found.chance) == (pytest.approx(total / 15), pytest.approx(1 / 3))
    assert (found.n_tested, found.n_pairs, found.n_missing_pairs) == (15, 66, 0)
    alone = rdms.copy()
    alone[1:, 1] = np.nan
    assert g.identify_regions(alone).n_tested == 10  # nobody else has the second region of the first subject


def test_thresholds_are_chosen_by_others_and_shuffled_regions_are_at_chance(rdms: np.ndarray) -> None:
    found = g.identify_regions(rdms, CELLS)
    spoilt = rdms.copy()
    spoilt[0] = np.random.default_rng(0).random(spoilt[0].shape)  # whose own thresholds do not depend on it
    np.testing.assert_array_equal(g.identify_regions(spoilt, CELLS).chosen[0], found.chosen[0])
    null = g.identify_regions(rdms, CELLS, n_shuffles=200, rng=np.random.default_rng(0))
    assert abs(null.shuffled.mean() - 1 / 3) <= 3 * null.shuffled.std() / np.sqrt(200) + 0.02
    assert null.shuffled_best.mean() > null.shuffled.mean() + 0.05  # looking for the maximum is optimistic
    for call, message in (
        (lambda: g.identify_regions(rdms[:2]), "3 or more subjects; got 2"),
        (lambda: g.identify_regions(rdms[:, :1]), "2 or more regions; got 1"),
        (lambda: g.identify_regions(rdms[0]), "n_subjects, n_regions, n_pairs"),
        (lambda: g.identify_regions(rdms, n_boot=3), "need rng"),
        (lambda: found.at(0.3, 0.31), "not on the grid"),
        (lambda: g.identify_regions(rdms * np.nan), "0 of 66 pairs"),
    ):
        refused(message, call)


def test_layers_against_regions(rdms: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    true = rdms.mean(axis=0)  # a layer for each region
    layers = np.concatenate([true, rng.random((2, 66))])
    found = g.layer_agreement(rdms, layers, {"rank": (0.0, 1.0), "raw": None})
    assert found["rank"].best.tolist() == [0, 1, 2]
    assert found["rank"].agreement.min() >= 0.6
    np.testing.assert_allclose(found["rank"].fit[3], g.compare(rdms[3], layers, "spearman"))
    np.testing.assert_allclose(found["raw"].fit[3], g.compare(rdms[3], layers, "pearson"))
    gone = rdms.copy()
    gone[:, 1] = np.nan
    assert g.layer_agreement(gone, layers, {"rank": (0.0, 1.0)})["rank"].best.tolist() == [0, -1, 2]
    refused("66 pairs and those of layers 65", g.layer_agreement, rdms, layers[:, 1:], {"raw": None})
