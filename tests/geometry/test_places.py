from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from brainalign.checks import BrainalignError
from brainalign.geometry import compare, rdm, rdm_permutation_clusters, rdm_permutation_places, rdm_permutation_test
from brainalign.geometry.inference import METHODS

N = 12


@pytest.fixture
def world() -> tuple[np.ndarray, np.ndarray]:
    """RDMs of four places, the first driven by the first of three models."""
    rng = np.random.default_rng(3)
    models = np.stack([rdm(rng.normal(size=(N, 6)), "euclidean") for _ in range(3)])
    places = np.stack([rdm(rng.normal(size=(N, 20)), "euclidean") for _ in range(4)])
    places[0] = models[0] + 0.1 * models[0].std() * rng.normal(size=models.shape[1])
    return places, models


@pytest.mark.parametrize("method", METHODS)
def test_scores_and_nulls_equal_a_plain_loop(world: tuple[np.ndarray, np.ndarray], method: str) -> None:
    places, models = world
    found = rdm_permutation_places(places, models, method, 50, np.random.default_rng(0))
    np.testing.assert_allclose(found.scores, compare(places, models, method), atol=1e-12)
    rng, (i, j) = np.random.default_rng(0), np.triu_indices(N, 1)
    null = []
    for _ in range(50):
        order = rng.permutation(N)
        moved = []
        for model in models:
            square = np.zeros((N, N))
            square[i, j] = square[j, i] = model
            moved.append(square[np.ix_(order, order)][i, j])
        null.append(compare(places, np.stack(moved), method))
    stack = np.stack(null)
    np.testing.assert_allclose(found.p, (1 + (stack >= found.scores).sum(axis=0)) / 51)
    largest = stack.max(axis=1, keepdims=True)
    np.testing.assert_allclose(found.p_fwer, (1 + (largest >= found.scores).sum(axis=0)) / 51)
    np.testing.assert_allclose(found.null_mean, stack.mean(axis=0), atol=1e-12)


def test_the_planted_place_is_found_and_no_other(world: tuple[np.ndarray, np.ndarray]) -> None:
    found = rdm_permutation_places(*world, "spearman", 999, np.random.default_rng(1))
    assert np.argwhere(found.p_fwer == 0.001).tolist() == [[0, 0]]  # no permutation of any place reaches it


def test_the_null_holds_its_level() -> None:
    rng = np.random.default_rng(5)
    worst = []
    for _ in range(150):
        places = np.stack([rdm(rng.normal(size=(10, 8)), "correlation") for _ in range(3)])
        model = rdm(rng.normal(size=(10, 8)), "correlation")
        worst.append(rdm_permutation_places(places, model[None], "spearman", 99, rng).p_fwer.min())
    assert 0.01 <= np.mean(np.array(worst) <= 0.05) <= 0.10  # .05 ± 3 SE of 150 draws


def test_undefined_rdms_are_nan_and_harm_no_other(world: tuple[np.ndarray, np.ndarray]) -> None:
    places, models = world
    whole = rdm_permutation_places(places, models, "spearman", 50, np.random.default_rng(0))
    broken = places.copy()
    broken[1], broken[2, 3] = 1.0, np.nan
    found = rdm_permutation_places(broken, models, "spearman", 50, np.random.default_rng(0))
    assert np.isnan(found.scores[1:3]).all()
    assert np.isnan(found.p_fwer[1:3]).all()
    np.testing.assert_allclose(found.scores[[0, 3]], whole.scores[[0, 3]])


def test_other_stimuli_are_refused(world: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(BrainalignError, match=r"66 pairs and those of models 65"):
        rdm_permutation_places(world[0], world[1][:, :-1], "spearman", 9, np.random.default_rng(0))


def test_repeats_are_averaged_after_the_comparison(world: tuple[np.ndarray, np.ndarray]) -> None:
    places, models = world
    repeats = np.stack([places, places[::-1]], axis=1)  # (n_places, 2, n_pairs)
    found = rdm_permutation_places(repeats, models, "spearman", 50, np.random.default_rng(0))
    single = compare(places, models, "spearman")
    np.testing.assert_allclose(found.scores, (single + single[::-1]) / 2, atol=1e-12)
    assert found.p[0, 0] == 1 / 51


def test_a_planted_cluster_of_neighbours_and_moments_is_found_and_no_other() -> None:
    """Two of three neighbouring centres follow the model at moments 3 to 5; one place has no RDM."""
    rng = np.random.default_rng(8)
    model = rdm(rng.normal(size=(N, 6)), "euclidean")
    rdms = rdm(rng.normal(size=(3, 8, N, 20)), "euclidean")
    rdms[:2, 3:6] += 6 * model
    rdms[2, 0] = np.nan
    chain = sparse.coo_array(np.eye(3, k=1) + np.eye(3, k=-1))
    found = rdm_permutation_clusters(
        rdms, model, "whitened-cosine", 199, rng, chain, threshold=1.64, times=np.arange(8) * 10.0
    )
    first = found.clusters[0]
    assert first.p == 1 / 200
    assert first.mask[:2, 3:6].all()
    assert (first.start, first.stop) == (30.0, 50.0)
    assert all(cluster.p > 0.05 for cluster in found.clusters[1:])
    assert not any(cluster.mask[2, 0] for cluster in found.clusters)


def test_few_stimuli_are_warned_of() -> None:
    rng = np.random.default_rng(9)
    with pytest.warns(RuntimeWarning, match="4 stimuli have 24 orders"):
        rdm_permutation_places(rng.uniform(size=(2, 6)), rng.uniform(size=(1, 6)), "cosine", 9, rng)


@pytest.mark.parametrize("method", ["spearman", "pearson", "whitened-cosine"])
def test_exchanges_that_change_nothing_count_as_reached(method: str) -> None:
    """Two categories of four: 1,152 of the 40,320 orders leave the model as it is, so no p is below .029."""
    model = rdm(np.repeat(np.eye(2), 4, axis=0), "euclidean")
    rng = np.random.default_rng(10)
    places = 10 * model + rng.uniform(size=(5, 28))
    found = rdm_permutation_places(places, model[None], method, 2000, np.random.default_rng(0))
    single = [rdm_permutation_test(p[None], model, method, 2000, np.random.default_rng(1)).p for p in places]
    np.testing.assert_allclose(single, 0.029, atol=0.011)  # 3 SE
    np.testing.assert_allclose(found.p[:, 0], 0.029, atol=0.011)
    assert (found.p_fwer >= found.p).all()
