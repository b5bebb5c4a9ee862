"""Similarity of representations: closed forms, invariances, and what each measure says of unrelated units."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from scipy.linalg import subspace_angles
from scipy.spatial import procrustes
from sklearn.cross_decomposition import CCA

from brainalign.geometry import (
    SIMILARITIES,
    canonical_correlations,
    cka,
    procrustes_angle,
    pwcca,
    shuffled_units,
    similarity,
    svcca,
)

N, P, SEEDS = 200, 30, 6


def worlds(seed: int) -> dict[str, np.ndarray]:
    """Units of falling variance, and copies in another order, turned, mapped, and unrelated ones like them."""
    rng = np.random.default_rng(seed)
    falling = np.arange(1, P + 1) ** -0.3
    X = rng.normal(size=(N, P)) * falling
    return {
        "X": X,
        "permuted": X[:, rng.permutation(P)],
        "rotated": X @ np.linalg.qr(rng.normal(size=(P, P)))[0],
        "mapped": X @ rng.normal(size=(P, P)),
        "independent": rng.normal(size=(N, P)) * falling,
    }


def mean_of(copy: str, method: str) -> float:
    drawn = [worlds(seed) for seed in range(SEEDS)]
    return float(np.mean([similarity(world["X"], world[copy], method) for world in drawn]))


@pytest.fixture(scope="module")
def world() -> dict[str, np.ndarray]:
    return worlds(0)


@pytest.mark.parametrize("method", SIMILARITIES)
def test_a_permuted_copy_is_the_same(method: str, world: dict[str, np.ndarray]) -> None:
    assert similarity(world["X"], world["permuted"], method) == pytest.approx(1, abs=1e-10)


def test_what_each_measure_ignores(world: dict[str, np.ndarray]) -> None:
    X, rotated, mapped = world["X"], world["rotated"], world["mapped"]
    for method in ("cka", "plain_cka", "cca", "svcca", "pwcca", "procrustes"):
        assert similarity(X, rotated, method) == pytest.approx(1, abs=1e-10)
    assert procrustes_angle(X, rotated) == pytest.approx(0, abs=1e-6)
    for method in ("one_to_one", "soft"):
        assert mean_of("rotated", method) == pytest.approx(0.35, abs=0.02)
    assert similarity(X, mapped, "cca") == pytest.approx(1, abs=1e-10)
    assert similarity(X, mapped, "pwcca") == pytest.approx(1, abs=1e-10)
    assert mean_of("mapped", "cka") == pytest.approx(0.77, abs=0.03)


def test_unrelated_units(world: dict[str, np.ndarray]) -> None:
    X, Y = world["X"], world["independent"]
    assert abs(similarity(X, Y, "cka")) < 0.02
    assert mean_of("independent", "plain_cka") == pytest.approx(0.09, abs=0.01)
    rng = np.random.default_rng(1)
    white = {p: (rng.normal(size=(100, p)), rng.normal(size=(100, p))) for p in (50, 500, 5000)}
    for p, plain in ((50, 0.34), (500, 0.83), (5000, 0.98)):
        assert cka(*white[p], debiased=False) == pytest.approx(plain, abs=0.02)
        assert abs(cka(*white[p])) < 0.05
    assert abs(cka(X, shuffled_units(X, rng))) < 0.03


def test_debiased_cka_against_u_centred_matrices() -> None:
    """The inner product of U-centred Gram matrices (Székely & Rizzo 2014), wide and narrow."""
    rng = np.random.default_rng(2)
    latent = rng.normal(size=(20, 4))
    X = latent @ rng.normal(size=(4, 3)) + 5
    Y = latent @ rng.normal(size=(4, 60)) + rng.normal(size=(20, 60)) - 3
    centred = []
    for Z in (X, Y):
        K, n = Z @ Z.T, len(Z)
        np.fill_diagonal(K, 0)
        K = K - K.sum(0) / (n - 2) - K.sum(1)[:, None] / (n - 2) + K.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(K, 0)
        centred.append(K)
    K, L = centred
    assert cka(X, Y) == pytest.approx((K * L).sum() / np.sqrt((K**2).sum() * (L**2).sum()), abs=1e-12)
    H = np.eye(20) - 1 / 20
    K, L = (H @ Z @ Z.T @ H for Z in (X, Y))
    assert cka(X, Y, debiased=False) == pytest.approx((K * L).sum() / np.linalg.norm(K) / np.linalg.norm(L), abs=1e-12)


def test_canonical_correlations_against_scipy_and_sklearn() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(80, 5))
    Y = X @ rng.normal(size=(5, 4)) + 2 * rng.normal(size=(80, 4))
    found = canonical_correlations(X, Y)
    angles = np.cos(subspace_angles(X - X.mean(0), Y - Y.mean(0)))
    assert found == pytest.approx(np.sort(angles)[::-1], abs=1e-10)
    scores = CCA(n_components=2, tol=1e-10, max_iter=5000).fit_transform(X, Y)
    first = [np.corrcoef(scores[0][:, k], scores[1][:, k])[0, 1] for k in range(2)]
    assert found[:2] == pytest.approx(first, abs=1e-4)
    # Copies of a unit add nothing to the space.
    assert canonical_correlations(np.hstack([X, X[:, :2]]), Y) == pytest.approx(found, abs=1e-10)
    # Weighted by how much of the units of X their variates account for, here from the eigenvectors of CCA itself.
    Z, W = X - X.mean(0), Y - Y.mean(0)
    map_x, map_y = Z @ np.linalg.pinv(Z), W @ np.linalg.pinv(W)
    values, variates = np.linalg.eigh(map_x @ map_y @ map_x)
    weights = np.abs(variates[:, -4:].T @ Z).sum(1)
    assert pwcca(X, Y) == pytest.approx(weights @ np.sqrt(values[-4:]) / weights.sum(), abs=1e-10)


def test_svcca_leaves_out_small_components() -> None:
    rng = np.random.default_rng(4)
    signal = rng.normal(size=(300, 3))
    X, Y = (signal @ rng.normal(size=(3, 40)) + 0.01 * rng.normal(size=(300, 40)) for _ in range(2))
    assert svcca(X, Y) > 0.99
    assert similarity(X, Y, "cca") < 0.5


def test_procrustes_against_scipy() -> None:
    rng = np.random.default_rng(5)
    X, Y = rng.normal(size=(12, 30)), rng.normal(size=(12, 30))
    disparity = procrustes(X, Y)[2]  # 1 - cos², with scale
    assert np.cos(procrustes_angle(X, Y)) ** 2 == pytest.approx(1 - disparity, abs=1e-10)
    narrow = Y[:, :4]
    filled = np.hstack([narrow, np.zeros((12, 26))])
    assert procrustes_angle(X, narrow) == pytest.approx(procrustes_angle(X, filled), abs=1e-10)


def test_offset_and_scale_change_nothing(world: dict[str, np.ndarray]) -> None:
    X, Y = world["X"], world["independent"]
    for method in SIMILARITIES:
        assert similarity(3 * X + 100, Y - 7, method) == pytest.approx(similarity(X, Y, method), abs=1e-8)


def test_mistakes_are_named() -> None:
    rng = np.random.default_rng(6)
    X = rng.normal(size=(20, 20))
    refused("CCA of X with 20 dimensions on 20 stimuli is 1 whatever", similarity, X, X[:, :3], "cca")
    refused(r"SVCCA .* of X with 19 dimensions", svcca, np.eye(20), X[:, :3])
    refused("X has 20 rows but Y has 19", cka, X, X[1:])
    refused("did you mean 'cka'", similarity, X, X, "ckaa")
    refused("average or flatten the places", cka, X[:, None], X)
    refused("2 NaN or infinite", cka, np.where(X.max() == X, np.nan, np.where(X.min() == X, np.inf, X)), X)
    refused("needs 4 stimuli or more; got 3", cka, X[:3], X[:3])
    constant = np.ones((20, 2))
    for method in SIMILARITIES:
        assert np.isnan(similarity(constant, X[:, :3], method))
