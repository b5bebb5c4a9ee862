from __future__ import annotations

import numpy as np
import pytest
import rsatoolbox
from scipy.stats import rankdata, spearmanr

from brainalign.checks import BrainalignError
from brainalign.geometry import (
    COMPARISONS,
    compare,
    rdm,
    rdm_noise_ceiling,
    rdm_permutation_test,
    replicate_rdms,
    session_average,
)


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


@pytest.mark.parametrize("n_missing", [0, 5])
@pytest.mark.parametrize("independent", [True, False])
def test_whitening_equals_the_inverse_of_the_covariance_written_out(n_missing: int, independent: bool) -> None:
    rng = np.random.default_rng(10)
    n = 9
    i, j = np.triu_indices(n, 1)
    mixing = rng.normal(size=(n, n))
    sigma = np.eye(n) if independent else mixing @ mixing.T + np.eye(n)
    contrasts = np.eye(n)[i] - np.eye(n)[j]
    V = np.square(contrasts @ sigma @ contrasts.T)
    a, b = rng.uniform(size=(2, 36))
    seen = np.arange(36) >= n_missing
    inverse = np.linalg.inv(V[np.ix_(seen, seen)])
    x, y = a[seen], b[seen]
    expected = x @ inverse @ y / np.sqrt((x @ inverse @ x) * (y @ inverse @ y))
    a[~seen] = np.nan
    found = compare(a, b, "whitened-cosine", None if independent else sigma)
    assert found[0, 0] == pytest.approx(expected, abs=1e-11)


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


def test_bad_input() -> None:
    with pytest.raises(BrainalignError, match="28 and 36 pairs"):
        compare(np.ones(28), np.ones(36), "cosine")
    with pytest.raises(BrainalignError, match="2 or more; got 1"):
        rdm_noise_ceiling(np.ones((1, 28)), "cosine")
    with pytest.raises(BrainalignError, match="did you mean 'spearman'"):
        compare(np.ones(28), np.ones(28), "sperman")
    with pytest.raises(BrainalignError, match="28 dissimilarities are infinite"):
        compare(np.full(28, np.inf), np.ones(28), "cosine")
    with pytest.raises(BrainalignError, match="sigma_k has 3 rows"):
        compare(np.ones(28), np.ones(28), "whitened-cosine", np.eye(3))


def test_session_averages_are_ranks_of_mean_ranks(stacks: tuple[np.ndarray, np.ndarray]) -> None:
    a, _ = stacks
    sessions = np.stack([a[:2] * 100, a[2:4]], axis=1)  # (2 subjects, 2 sessions): scale must not weigh
    expected = [rankdata((rankdata(x) + rankdata(y)) / 2) for x, y in sessions]
    np.testing.assert_allclose(session_average(sessions), expected)
    sessions[0, 1, 4] = np.nan
    assert np.isfinite(session_average(sessions)).all()
    sessions[0, 0, 4] = np.nan
    assert np.argwhere(np.isnan(session_average(sessions))).tolist() == [[0, 4]]
