import numpy as np
import pytest
from refusals import refused
from scipy.linalg import subspace_angles
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial import procrustes
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Lasso, LinearRegression, Ridge

import brainalign.geometry as g

N, P = 300, 24
IGNORED = ("cka", "plain_cka", "cca", "svcca", "pwcca", "procrustes")  # what these do not see: rotations


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Units, a noisy copy in another order, and the order."""
    rng = np.random.default_rng(0)
    X, order = rng.normal(size=(2 * N, P)), rng.permutation(P)
    return X, X[:, order] + 0.7 * rng.normal(size=(2 * N, P)), order


def coupled(gain: np.ndarray) -> float:
    rows, columns, weights = g.best_coupling(gain)
    p, q = gain.shape
    assert np.bincount(rows, weights, p) == pytest.approx(np.full(p, 1 / p))
    assert np.bincount(columns, weights, q) == pytest.approx(np.full(q, 1 / q))
    assert len(rows) <= p + q - 1
    return float(weights @ gain[rows, columns])


@pytest.mark.parametrize(("p", "q"), [(9, 9), (6, 12), (12, 7), (45, 30), (33, 20), (1, 5)])
def test_coupling_against_the_whole_linear_programme(p: int, q: int) -> None:
    gain = np.random.default_rng(p * q).normal(size=(p, q))
    ends = np.vstack([np.kron(np.eye(p), np.ones(q)), np.kron(np.ones(p), np.eye(q))])
    whole = linprog(-gain.ravel(), A_eq=ends, b_eq=np.r_[np.full(p, 1 / p), np.full(q, 1 / q)])
    assert coupled(gain) == pytest.approx(-whole.fun, abs=1e-10)
    if p == q:
        assert coupled(gain) == pytest.approx(gain[linear_sum_assignment(gain, maximize=True)].mean(), abs=1e-12)


def test_coupling_of_many_units_with_ties() -> None:
    """Copies of one network: the best coupling is known, and every price is tied."""
    X = np.random.default_rng(1).normal(size=(50, 11))
    gain = g.cross_correlations(np.repeat(X, 9, axis=1), np.repeat(X, 10, axis=1))
    assert coupled(gain) == pytest.approx(1, abs=1e-12)
    refused("1 NaN or infinite", g.best_coupling, np.array([[0, np.nan]]))


@pytest.mark.parametrize("method", g.MATCHINGS)
def test_planted_pairs_are_found(method: str, pair: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, Y, order = pair
    found = g.match_units(X[:N], Y[:N], method, (X[N:], Y[N:]))
    assert (order[found.units_y] == found.units_x).all()
    assert (found.score, found.weights.sum()) == (pytest.approx(1 / np.sqrt(1.49), abs=0.02), pytest.approx(1))
    for way in ("forward", "backward", "one_to_one"):
        refused("X has 10 rows but Y has 600", g.match_units, X[:10], Y, way)
    refused("held-out Y.T has 3 rows but Y.T has 24", g.match_units, X, Y, "soft", (X, Y[:, :3]))
    refused("method must be one of 'backward', 'forward', 'one_to_one', 'soft'", g.match_units, X, Y, "hungarian")


def test_nulls_stand_where_they_should(pair: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, Y, _ = pair
    rng = np.random.default_rng(2)
    shuffled = g.shuffled_units(Y, rng)
    turned_fit, turned = g.rotated_copy(Y[:N], rng, Y[N:])
    for method in g.MATCHINGS:
        null = g.match_units(X[:N], shuffled[:N], method, (X[N:], shuffled[N:]))
        assert abs(null.score) < 0.03
        fitted = g.match_units(X[:N], shuffled[:N], method)
        assert fitted.score > 0.08  # why nobody should believe the stimuli of the match
        assert null.score + 0.1 < g.match_units(X[:N], turned_fit, method, (X[N:], turned)).score < 0.4
    # Every unit keeps its own values; every geometry its distances.
    assert (np.sort(shuffled, axis=0) == np.sort(Y, axis=0)).all()
    whole, centred = np.vstack([turned_fit, turned]), Y - Y.mean(0)
    assert np.allclose(whole @ whole.T, centred @ centred.T, atol=1e-9)
    worlds = [{("a", "1"): one, ("b", "1"): other} for one, other in rng.normal(size=(40, 2, 40, 20))]
    wide = [g.compare_networks(world, ("one_to_one",), draws=9).eval("null_high - null")[0] for world in worlds]
    assert np.mean(wide) < 0.067  # .075 where one half alone is scored


def test_wide_copies_are_turned_without_their_units_and_ridge_both_ways() -> None:
    X = np.random.default_rng(3).normal(size=(12, 500)) + 2
    (turned,) = g.rotated_copy(X, np.random.default_rng(4))
    centred = X - X.mean(0)
    assert turned.shape == X.shape
    assert np.allclose(turned @ turned.T, centred @ centred.T, atol=1e-8)
    # Y is a noisy part of X: it is predicted from X up to its noise, X from it only in part.
    rng = np.random.default_rng(6)
    X = rng.normal(size=(400, 6))
    Y = X[:, :2] + rng.normal(size=(400, 2))
    forward, backward = g.linear_predictivity(X, Y, Ridge(1.0))
    assert (forward, backward) == (pytest.approx(0.5, abs=0.06), pytest.approx(0.5 * 2 / 6, abs=0.06))
    turned = Y @ np.linalg.qr(rng.normal(size=(2, 2)))[0]
    assert g.linear_predictivity(X, turned, Ridge(1.0)) == pytest.approx((forward, backward), abs=1e-8)
    assert g.linear_predictivity(X, X[:, ::-1], LinearRegression()) == pytest.approx((1, 1), abs=1e-10)
    assert max(g.linear_predictivity(X, rng.normal(size=(400, 2)), Ridge(1.0))) < 0.02
    units = rng.normal(size=(60, 300))
    networks = {("a", "1"): units, ("b", "1"): units[:, :3]}
    found = g.compare_networks(networks, ("predicts",), regressor=Lasso(0.1), draws=1)
    assert found["value"][0] > 0.9  # of single units, which a rotation would mix
    refused(r"folds must be 2 to the number of stimuli \(4\); got 5", g.linear_predictivity, X[:4], Y[:4], Ridge())


@pytest.mark.parametrize("method", g.SIMILARITIES)
def test_what_each_measure_ignores(method: str, rng: np.random.Generator) -> None:
    """The order of units, offsets and scales; most rotations, and CCA any invertible map. A constant is undefined."""
    X, Y = rng.normal(size=(2, 200, 30)) * np.arange(1, 31) ** -0.3  # units of falling variance
    assert g.similarity(X, X[:, rng.permutation(30)], method) == pytest.approx(1, abs=1e-10)
    assert g.similarity(3 * X + 100, Y - 7, method) == pytest.approx(g.similarity(X, Y, method), abs=1e-8)
    if method in IGNORED:
        assert g.similarity(X, X @ np.linalg.qr(rng.normal(size=(30, 30)))[0], method) == pytest.approx(1, abs=1e-10)
    if method in ("cca", "pwcca"):
        assert g.similarity(X, X @ rng.normal(size=(30, 30)), method) == pytest.approx(1, abs=1e-10)
    assert np.isnan(g.similarity(np.ones((200, 2)), X[:, :3], method))


def test_mistakes_of_similarity_are_named() -> None:
    X = np.random.default_rng(6).normal(size=(20, 20))
    refused("CCA of X with 20 dimensions on 20 stimuli is 1 whatever", g.similarity, X, X[:, :3], "cca")
    refused("SVCCA .* of X with 19 dimensions", g.svcca, np.eye(20), X[:, :3])
    refused("X has 20 rows but Y has 19", g.cka, X, X[1:])
    refused("did you mean 'cka'", g.similarity, X, X, "ckaa")
    refused("average or flatten the places", g.cka, X[:, None], X)
    refused("2 NaN or infinite", g.cka, np.where(X.max() == X, np.nan, np.where(X.min() == X, np.inf, X)), X)
    refused("1 NaN or infinite", g.cka, np.ma.masked_equal(X, X.max()), X)
    refused("needs 4 stimuli or more; got 3", g.cka, X[:3], X[:3])


def test_debiased_cka_against_u_centred_matrices() -> None:
    """The inner product of U-centred Gram matrices (Székely & Rizzo 2014), wide and narrow."""
    rng = np.random.default_rng(2)
    latent = rng.normal(size=(20, 4))
    X = latent @ rng.normal(size=(4, 3)) + 5
    Y, centred = latent @ rng.normal(size=(4, 60)) + rng.normal(size=(20, 60)) - 3, []
    for Z in (X, Y):
        K, n = Z @ Z.T, len(Z)
        np.fill_diagonal(K, 0)
        K = K - K.sum(0) / (n - 2) - K.sum(1)[:, None] / (n - 2) + K.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(K, 0)
        centred.append(K)
    K, L = centred
    assert g.cka(X, Y) == pytest.approx((K * L).sum() / np.sqrt((K**2).sum() * (L**2).sum()), abs=1e-12)
    H = np.eye(20) - 1 / 20
    K, L = (H @ Z @ Z.T @ H for Z in (X, Y))
    aligned = (K * L).sum() / np.linalg.norm(K) / np.linalg.norm(L)
    assert g.cka(X, Y, debiased=False) == pytest.approx(aligned, abs=1e-12)


def test_canonical_correlations_against_scipy_and_sklearn() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(80, 5))
    Y = X @ rng.normal(size=(5, 4)) + 2 * rng.normal(size=(80, 4))
    found = g.canonical_correlations(X, Y)
    assert found == pytest.approx(np.sort(np.cos(subspace_angles(X - X.mean(0), Y - Y.mean(0))))[::-1], abs=1e-10)
    scores = CCA(n_components=2, tol=1e-10, max_iter=5000).fit_transform(X, Y)
    assert found[:2] == pytest.approx([np.corrcoef(scores[0][:, k], scores[1][:, k])[0, 1] for k in range(2)], abs=1e-4)
    # Copies of a unit add nothing to the space.
    assert g.canonical_correlations(np.hstack([X, X[:, :2]]), Y) == pytest.approx(found, abs=1e-10)
    # Weighted by how much of the units of X their variates account for, here from the eigenvectors of CCA itself.
    Z, W = X - X.mean(0), Y - Y.mean(0)
    map_x, map_y = Z @ np.linalg.pinv(Z), W @ np.linalg.pinv(W)
    values, variates = np.linalg.eigh(map_x @ map_y @ map_x)
    weights = np.abs(variates[:, -4:].T @ Z).sum(1)
    assert g.pwcca(X, Y) == pytest.approx(weights @ np.sqrt(values[-4:]) / weights.sum(), abs=1e-10)
    signal = rng.normal(size=(300, 3))  # of which SVCCA alone leaves small components out
    X, Y = (signal @ rng.normal(size=(3, 40)) + 0.01 * rng.normal(size=(300, 40)) for _ in range(2))
    assert g.svcca(X, Y) > 0.99
    assert g.similarity(X, Y, "cca") < 0.5


def test_procrustes_against_scipy_and_layers_with_and_without_nulls() -> None:
    rng = np.random.default_rng(5)
    X, Y = rng.normal(size=(12, 30)), rng.normal(size=(12, 30))
    disparity = procrustes(X, Y)[2]  # 1 - cos², with scale
    assert g.similarity(X, Y, "procrustes") ** 2 == pytest.approx(1 - disparity, abs=1e-10)
    narrow = Y[:, :4]
    filled = np.hstack([narrow, np.zeros((12, 26))])
    assert g.similarity(X, narrow, "procrustes") == pytest.approx(g.similarity(X, filled, "procrustes"), abs=1e-10)
    x = np.random.default_rng(7).normal(size=(16, 4))
    layers = {("a", "1"): x, ("b", "1"): x @ np.ones((4, 7)) + 0.1, ("c", "flat"): np.ones((16, 3))}
    found = g.compare_networks(layers, ("forward", "backward", "soft"), draws=2)
    assert found["value"].notna().tolist() == [True] * 3 + [False] * 6  # of a constant layer there are no pairs
    assert g.compare_networks(layers, ("cka", "soft"), draws=0).iloc[0][["null", "null_high", "rotated"]].isna().all()
    refused("predictions of one layer from another need a regressor", g.compare_networks, layers, ("predicts",))
    refused("b 1 has 15 rows", g.compare_networks, layers | {("b", "1"): x[1:]}, ("cka",))
