from __future__ import annotations

import numpy as np
import pytest
import rsatoolbox
from scipy.stats import spearmanr

from brainalign.checks import BrainalignError
from brainalign.geometry import compare, rdm, rdm_noise_ceiling, rdm_permutation_test, replicate_rdms


@pytest.fixture
def stacks() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(5, 28)), rng.uniform(size=(3, 28))
    b[0, :9] = b[0, 0]  # ties
    return a, b


@pytest.mark.parametrize("method", ["spearman", "cosine"])
def test_equals_rsatoolbox(stacks: tuple[np.ndarray, np.ndarray], method: str) -> None:
    a, b = stacks
    expected = rsatoolbox.rdm.compare(rsatoolbox.rdm.RDMs(a), rsatoolbox.rdm.RDMs(b), method=method)
    np.testing.assert_allclose(compare(a, b, method), expected, atol=1e-10, rtol=0)
    descriptors = {"index": np.arange(len(a))}
    expected = rsatoolbox.inference.boot_noise_ceiling(
        rsatoolbox.rdm.RDMs(a, rdm_descriptors=descriptors), method=method, rdm_descriptor="index"
    )
    np.testing.assert_allclose(rdm_noise_ceiling(a, method), expected, atol=1e-10, rtol=0)


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
    with pytest.raises(BrainalignError, match="NaN"):
        compare(np.full(28, np.nan), np.ones(28), "cosine")
