"""Random effects over subjects: t as scipy's, p as an exact test by hand, and a family-wise error of the level."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from brainalign.statistics import sign_flip_test


def test_t_and_p_are_those_of_an_exact_test() -> None:
    scores = np.random.default_rng(0).normal(0.4, 1, size=(7, 5))
    scores[:, 4] = np.nan
    t, p, p_fwer = sign_flip_test(scores, 0)
    np.testing.assert_allclose(t[:4], stats.ttest_1samp(scores[:, :4], 0).statistic)
    every = [stats.ttest_1samp(scores[:, :4] * np.array(f)[:, None], 0).statistic for f in product((1, -1), repeat=7)]
    null = np.array(every)
    np.testing.assert_allclose(p[:4], (null >= t[:4] - 1e-9).mean(axis=0))
    # Errors of the mean by hand, and the median of root mean squares beside them.
    errors = [stats.sem(scores[:, :4] * np.array(f)[:, None]) for f in product((1, -1), repeat=7)]
    null = null * errors / (errors + np.median(np.sqrt((scores[:, :4] ** 2).mean(axis=0))) / np.sqrt(7))
    assert (null[0] < t[:4]).all()
    np.testing.assert_allclose(p_fwer[:4], (null.max(axis=1)[:, None] >= null[0] - 1e-9).mean(axis=0))
    assert np.isnan([t[4], p[4], p_fwer[4]]).all()


def test_many_subjects_are_flipped_at_random() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(20, 3)) + np.array([0, 0.6, 2])
    _, p, p_fwer = sign_flip_test(scores, 0)
    expected = stats.ttest_1samp(scores, 0, alternative="greater").pvalue
    np.testing.assert_allclose(p, np.maximum(expected, 1 / 4096), atol=0.02)
    assert p_fwer[2] == 1 / 4096
    assert (p_fwer >= p).all()


@pytest.mark.parametrize("n", [5, 9])
def test_family_wise_error_is_the_level(n: int) -> None:
    """Forty targets that depend on each other, with noise of another size in every subject; 300 maps of nothing."""
    rng = np.random.default_rng(n)
    mixing = rng.normal(size=(10, 40))
    wrong = 0
    for _ in range(300):
        noise = (rng.normal(size=(n, 10)) @ mixing + rng.normal(size=(n, 40))) * rng.uniform(0.5, 2, size=(n, 1))
        wrong += bool((sign_flip_test(noise, 0)[2] <= 0.05).any())
    assert stats.binomtest(wrong, 300, 0.05, alternative="greater").pvalue > 0.01
    assert wrong > 0  # nor is it conservative beyond use


def test_six_subjects_find_a_patch_in_a_brain() -> None:
    """Where the largest t is that of a target that happens not to vary."""
    rng = np.random.default_rng(3)
    scores = rng.normal(0, 0.2, size=(6, 4000))
    scores[:, :80] += 0.8
    _, _, p_fwer = sign_flip_test(scores, 0)
    assert (p_fwer[:80] <= 0.05).mean() > 0.9
    assert (p_fwer[80:] > 0.05).all()
