from __future__ import annotations

import numpy as np
import pytest
import rsatoolbox
import scipy.sparse.linalg
import torch
from refusals import refused
from scipy.stats import rankdata, spearmanr

from brainalign.checks import BrainalignError
from brainalign.geometry import (
    COMPARISONS,
    FlexibleModel,
    compare,
    dual_bootstrap,
    flexible_permutation_test,
    geotopological,
    rdm,
    rdm_noise_ceiling,
    rdm_partial_test,
    rdm_permutation_places,
    rdm_permutation_test,
    replicate_rdms,
    session_average,
)
from brainalign.geometry.rdms import rank_rdms


@pytest.fixture
def stacks() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(5, 28)), rng.uniform(size=(3, 28))
    b[0, :9] = b[0, 0]  # ties
    return a, b


TOOLBOX = {
    "spearman": "spearman",
    "rho-a": "rho-a",
    "tau-a": "tau-a",
    "pearson": "corr",
    "cosine": "cosine",
    "whitened-pearson": "corr_cov",
    "whitened-cosine": "cosine_cov",
}


def test_every_comparison_has_a_reference() -> None:
    assert set(TOOLBOX) == set(COMPARISONS)


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau")
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("method", TOOLBOX)
def test_equals_rsatoolbox(stacks: tuple[np.ndarray, np.ndarray], method: str, missing: bool) -> None:
    a, b = stacks
    a[1, :6] = a[1, 6]
    if missing:  # rsatoolbox needs the same pairs missing everywhere
        a[:, [3, 17]] = b[:, [3, 17]] = np.nan
    expected = rsatoolbox.rdm.compare(rsatoolbox.rdm.RDMs(a), rsatoolbox.rdm.RDMs(b), method=TOOLBOX[method])
    np.testing.assert_allclose(compare(a, b, method), expected, atol=1e-10, rtol=0)
    descriptors = {"index": np.arange(len(a))}
    expected = rsatoolbox.inference.boot_noise_ceiling(
        rsatoolbox.rdm.RDMs(a, rdm_descriptors=descriptors), method=TOOLBOX[method], rdm_descriptor="index"
    )
    np.testing.assert_allclose(rdm_noise_ceiling(a, method), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", TOOLBOX)
def test_missing_pairs_are_left_out_per_comparison(stacks: tuple[np.ndarray, np.ndarray], method: str) -> None:
    a, b = stacks
    whole = compare(a, b, method)
    a[0, [3, 17]] = b[1, 5] = a[4] = np.nan
    found = compare(a, b, method)
    assert np.isnan(found[4]).all()
    np.testing.assert_allclose(found[1:4, [0, 2]], whole[1:4, [0, 2]])
    kept = np.delete(np.arange(28), [3, 5, 17])
    if "whitened" not in method:
        np.testing.assert_allclose(found[0, 1], compare(a[0, kept], b[1, kept], method)[0, 0])


def covariance_of_pairs(n: int, sigma: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(n, 1)
    contrasts = np.eye(n)[i] - np.eye(n)[j]
    return np.square(contrasts @ sigma @ contrasts.T)


@pytest.mark.parametrize("n", [4, 9, 14])
@pytest.mark.parametrize("share_missing", [0, 0.15, 0.4])
@pytest.mark.parametrize("noise", ["equal", "unequal", "correlated"])
def test_whitening_equals_the_inverse_of_the_covariance_written_out(n: int, share_missing: float, noise: str) -> None:
    """Every RDM lacks pairs of its own."""
    rng = np.random.default_rng(10)
    n_pairs, mixing = n * (n - 1) // 2, rng.normal(size=(n, n))
    sigma = {
        "equal": np.eye(n),
        "unequal": np.diag(rng.uniform(0.2, 3, n)),
        "correlated": mixing @ mixing.T + np.eye(n),
    }
    V = covariance_of_pairs(n, sigma[noise])
    rdms = rng.uniform(size=(5, n_pairs))
    rdms[rng.uniform(size=rdms.shape) < share_missing] = np.nan
    given = {"equal": None, "unequal": np.diag(sigma["unequal"]), "correlated": sigma["correlated"]}[noise]
    for method in ("whitened-cosine", "whitened-pearson"):
        found = compare(rdms[:3], rdms[3:], method, given)
        for r, c in np.ndindex(3, 2):
            seen = np.isfinite(rdms[r]) & np.isfinite(rdms[3 + c])
            if seen.sum() < 2:
                assert np.isnan(found[r, c])
                continue
            x, y = rdms[r, seen], rdms[3 + c, seen]
            if method == "whitened-pearson":
                x, y = x - x.mean(), y - y.mean()
            solved = np.linalg.solve(V[np.ix_(seen, seen)], np.stack([x, y], axis=1)).T
            expected = x @ solved[1] / np.sqrt((x @ solved[0]) * (y @ solved[1]))
            assert found[r, c] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("method", ["whitened-cosine", "whitened-pearson"])
def test_correlated_noise_equals_rsatoolbox_with_an_exact_solver(
    method: str, missing: bool, stacks: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It solves by conjugate gradients to five digits, which hides the others."""
    a, b = stacks
    if missing:
        a[:, [3, 17, 20]] = b[:, [3, 17, 20]] = np.nan
    mixing = np.random.default_rng(4).normal(size=(8, 8))
    sigma = mixing @ mixing.T + np.eye(8)
    as_given = compare(a, b, method, sigma)
    theirs = rsatoolbox.rdm.compare(*map(rsatoolbox.rdm.RDMs, (a, b)), method=TOOLBOX[method], sigma_k=sigma)
    np.testing.assert_allclose(as_given, theirs, atol=1e-4)
    monkeypatch.setattr(
        scipy.sparse.linalg, "cg", lambda V, x, atol: (np.linalg.solve(getattr(V, "toarray", lambda: V)(), x), 0)
    )
    theirs = rsatoolbox.rdm.compare(*map(rsatoolbox.rdm.RDMs, (a, b)), method=TOOLBOX[method], sigma_k=sigma)
    np.testing.assert_allclose(as_given, theirs, atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", TOOLBOX)
def test_tensors_in_tensors_out_and_inputs_unchanged(method: str, stacks: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = stacks
    a[2, 5] = np.nan
    before = a.tobytes(), b.tobytes()
    found = compare(torch.from_numpy(a), torch.from_numpy(b), method)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found, compare(a, b, method), atol=1e-12)
    assert (a.tobytes(), b.tobytes()) == before


def test_spearman_is_scipys(stacks: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = stacks
    assert compare(a[0], b[0], "spearman")[0, 0] == pytest.approx(spearmanr(a[0], b[0]).statistic)


def test_a_constant_rdm_has_no_ranks() -> None:
    one_hot = rdm(np.eye(8), "correlation")
    assert np.isnan(compare(np.arange(28.0), one_hot, "spearman")).all()
    assert np.isfinite(compare(np.arange(28.0), one_hot, "cosine")).all()


def test_the_permutation_test_finds_a_planted_geometry_and_not_another() -> None:
    rng = np.random.default_rng(1)
    latent = rng.normal(size=(8, 5))
    truth = rdm(latent, "euclidean")
    replicates = truth + rng.normal(size=(6, 28)) * 0.3
    test = rdm_permutation_test(replicates, truth, "spearman", 500, rng)
    assert test.p < 0.01
    low, high = rdm_noise_ceiling(replicates, "spearman")
    assert low - 0.05 < test.score <= high
    other = rdm_permutation_test(replicates, rng.uniform(size=28), "spearman", 500, rng)
    assert other.p > 0.01
    assert abs(other.null.mean()) < 0.05


def test_no_permutation_tests_a_constant_rdm() -> None:
    rng = np.random.default_rng(2)
    test = rdm_permutation_test(rng.uniform(size=(4, 28)), np.ones(28), "cosine", 50, rng)
    assert np.isfinite(test.score)
    assert np.isnan(test.p)


def test_replicates_are_disjoint_pairs_of_runs() -> None:
    rng = np.random.default_rng(3)
    runs = np.repeat(["r1", "r2", "r3", "r4", "r5"], 4)
    conditions = np.concatenate([np.arange(4)] + [rng.permutation(4) for _ in range(4)])
    patterns = rng.normal(size=(20, 15))
    found = replicate_rdms(patterns, "crossnobis", conditions, runs)
    assert found.shape == (2, 6)  # the fifth run joins no pair
    cube = np.stack([patterns[runs == r][np.argsort(conditions[runs == r])] for r in ("r3", "r4")])
    i, j = np.triu_indices(4, 1)
    by_hand = ((cube[0, i] - cube[0, j]) * (cube[1, i] - cube[1, j])).mean(axis=1)
    np.testing.assert_allclose(found[1], by_hand, atol=1e-12)


@pytest.mark.filterwarnings("ignore:1 of 10 pairs of conditions share fewer than 2 runs")
def test_replicates_of_other_conditions_stay_aligned() -> None:
    """Conditions 0 to 3 in the first pair of runs, 1 to 4 in the second: absent ones are missing pairs."""
    rng = np.random.default_rng(4)
    runs = np.repeat([1, 2, 3, 4], 4)
    conditions = np.r_[0:4, 0:4, 1:5, 1:5]
    means = rng.normal(size=(5, 40)) * np.arange(1, 6)[:, None]
    patterns = means[conditions] + 0.1 * rng.normal(size=(16, 40))
    for method in ("crossnobis", "correlation"):
        found = replicate_rdms(patterns, method, conditions, runs)
        i, j = np.triu_indices(5, 1)
        np.testing.assert_array_equal(np.isnan(found), [j == 4, i == 0])
        whole = rdm(patterns, method, conditions, runs)
        both = (i > 0) & (j < 4)
        np.testing.assert_allclose(found[:, both], np.tile(whole[both], (2, 1)), rtol=0.1)
        assert compare(found[:1], found[1:], "pearson")[0, 0] > 0.95
        assert rdm_noise_ceiling(found, "spearman")[0] > 0.8


def test_bad_input() -> None:
    refused("28 and 36 pairs", compare, np.ones(28), np.ones(36), "cosine")
    refused("2 or more; got 1", rdm_noise_ceiling, np.ones((1, 28)), "cosine")
    refused("did you mean 'spearman'", compare, np.ones(28), np.ones(28), "sperman")
    refused("28 dissimilarities are infinite", compare, np.full(28, np.inf), np.ones(28), "cosine")
    refused("sigma_k has 3 rows", compare, np.ones(28), np.ones(28), "whitened-cosine", np.eye(3))
    with pytest.raises(BrainalignError, match="not symmetric and positive definite"):
        compare(np.ones(28), np.ones(28), "whitened-cosine", np.ones((8, 8)) - 2 * np.eye(8))
    with pytest.raises(BrainalignError, match=r"sigma_k of shape \(8, 8\) has 1 NaN"):
        compare(np.ones(28), np.ones(28), "whitened-cosine", np.r_[np.nan, np.ones(7)])


def test_session_averages_are_ranks_of_mean_ranks(stacks: tuple[np.ndarray, np.ndarray]) -> None:
    a, _ = stacks
    sessions = np.stack([a[:2] * 100, a[2:4]], axis=1)  # (2 subjects, 2 sessions): scale must not weigh
    expected = [rankdata((rankdata(x) + rankdata(y)) / 2) for x, y in sessions]
    np.testing.assert_allclose(session_average(sessions), expected)
    sessions[0, 1, 4] = np.nan
    assert np.isfinite(session_average(sessions)).all()
    sessions[0, 0, 4] = np.nan
    assert np.argwhere(np.isnan(session_average(sessions))).tolist() == [[0, 4]]


def test_many_rdms_are_ranked_as_each_of_them_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks, whatever is missing; values that differ by rounding are tied, on the scale of their own RDM."""
    monkeypatch.setitem(rank_rdms.__globals__, "RANKED_AT_ONCE", 50)
    rng = np.random.default_rng(3)
    rdms = rng.integers(0, 6, size=(40, 15)) * 10.0 ** rng.integers(-9, 9, size=(40, 1))
    nearly = rdms * (1 + 1e-14 * rng.normal(size=rdms.shape))
    nearly[::7, 3:5] = np.nan
    nearly[5] = np.nan
    ranks = rank_rdms(nearly)
    for row, missing, values in zip(ranks, np.isnan(nearly), rdms, strict=True):
        np.testing.assert_array_equal(row[~missing], rankdata(values[~missing]))
        assert np.isnan(row[missing]).all()


def test_one_huge_entry_leaves_the_order_of_the_others() -> None:
    """Also in all that ranks for itself: the bootstrap, cross-validation, places, topology."""
    values = np.random.default_rng(5).random(45)
    for factor in (1e13, 1e40):
        huge = np.append(values[:-1], factor)
        for method in ("spearman", "rho-a", "tau-a"):
            assert compare(huge, rankdata(huge), method)[0, 0] == pytest.approx(1)
        np.testing.assert_array_equal(geotopological(huge, 0, 1), (rankdata(huge) - 1) / 44)
        both = np.stack([huge, values])
        draws = np.zeros((1, 2), dtype=int), np.arange(10)[None]
        found = dual_bootstrap(both, rankdata(huge), "spearman", draws=draws)
        assert found.draws["both"][0, 0] == pytest.approx(1)


def test_distances_equal_but_for_rounding_are_ties() -> None:
    rng = np.random.default_rng(6)
    two = (np.arange(12) < 3)[:, None] * rng.normal(size=20)  # nine copies of one pattern, three of another
    exact = rdm((np.arange(12) < 3)[:, None] * 1.0, "euclidean")
    noisy = rdm(two, "euclidean") + 1e-15 * rng.normal(size=66)
    assert len(np.unique(noisy)) > 40
    assert len(np.unique(rank_rdms(noisy[None]))) == 2
    assert compare(noisy, exact, "spearman")[0, 0] == pytest.approx(1)
    constant = 0.3 + 1e-16 * rng.normal(size=66)
    assert np.isnan(compare(np.where(np.arange(66) < 9, np.nextafter(0.3, 1), constant), exact, "pearson")).all()


def test_a_constant_subject_is_left_out_and_counted() -> None:
    rng = np.random.default_rng(7)
    truth = rdm(rng.normal(size=(12, 5)), "euclidean")
    others = rdm(rng.normal(size=(2, 12, 5)), "euclidean")
    rdms = truth + rng.normal(size=(6, 66))
    with_one = np.insert(rdms, 2, 0.3, axis=0)
    tests = {
        "whole": lambda x: rdm_permutation_test(x, truth, "pearson", 99, np.random.default_rng(8)),
        "partial": lambda x: rdm_partial_test(x, truth, others, "pearson", 99, np.random.default_rng(8)),
    }
    for test in tests.values():
        expected, found = test(rdms), test(with_one)
        assert found.p == pytest.approx(expected.p)
        assert found.score == pytest.approx(expected.score)
        np.testing.assert_allclose(found.null, expected.null)
        assert (found.n_undefined, expected.n_undefined) == (1, 0)
        assert np.isnan(found.per_replicate[2])
        assert np.isnan(test(with_one[[2]]).p)
    model = FlexibleModel(np.concatenate([truth[None], others]))
    flexible = flexible_permutation_test(with_one, model, "pearson", 9, np.random.default_rng(8), 2)
    assert flexible.n_undefined == 1
    assert flexible.p == 0.1
    places = rdm_permutation_places(with_one[None], truth[None], "pearson", 99, np.random.default_rng(8))
    np.testing.assert_allclose(places.scores, expected := compare(rdms, truth, "pearson").mean(keepdims=True))
    assert np.isfinite(places.p).all()
    assert expected > 0
