from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.simulation import linear_world
from brainalign.statistics import noise_ceiling, normalized_r2, pearson, spearman_brown, split_half_reliability


def test_spearman_brown_by_hand() -> None:
    np.testing.assert_allclose(spearman_brown(np.array([0.5]), 2), 2 / 3)
    np.testing.assert_allclose(spearman_brown(spearman_brown(np.array([0.3]), 5), 1 / 5), 0.3)
    # encoders.md: n·rho1 / (1 + (n − 1)·rho1) = ncsnr² / (ncsnr² + 1/n)
    ncsnr = 0.7
    rho = ncsnr**2 / (1 + ncsnr**2)
    np.testing.assert_allclose(spearman_brown(np.array(rho), 3), ncsnr**2 / (ncsnr**2 + 1 / 3))


def test_split_half_by_hand_with_two_repeats() -> None:
    rng = np.random.default_rng(0)
    repeats = rng.normal(size=(2, 20, 5))
    np.testing.assert_allclose(split_half_reliability(repeats, n_halvings=3), pearson(repeats[0], repeats[1]))


@pytest.mark.parametrize("n_repeats", [3, 4])
@pytest.mark.parametrize("n_averaged", [1, 3])
def test_planted_ceilings_are_recovered(n_repeats: int, n_averaged: int) -> None:
    planted = np.repeat([0.0, 0.05, 0.1, 0.3, 0.6], 60)
    world = linear_world(1000, 20, n_repeats, planted, seed=n_repeats)
    found = noise_ceiling(world.repeats, n_averaged, n_halvings=20)
    truth = spearman_brown(planted, n_averaged)
    for level in np.unique(planted):
        these = planted == level
        assert found[these].mean() == pytest.approx(truth[these].mean(), abs=0.02)


def test_a_perfect_model_has_a_normalised_score_of_one() -> None:
    world = linear_world(2000, 20, 4, np.full(40, 0.3), seed=5)
    ceiling = noise_ceiling(world.repeats[:3], n_averaged=1, n_halvings=20)
    r = pearson(world.signal, world.repeats[3])
    assert normalized_r2(r, ceiling).mean() == pytest.approx(1, abs=0.04)


def test_without_signal_the_ceiling_is_zero_on_average_whatever_the_scaling() -> None:
    rng = np.random.default_rng(3)
    for n_repeats, n_stimuli, n_averaged in ((2, 12, 3), (12, 8, 1), (3, 50, 3)):
        found = noise_ceiling(rng.normal(size=(n_repeats, n_stimuli, 4000)), n_averaged, n_halvings=20)
        assert abs(found.mean()) < 4 * found.std() / np.sqrt(4000)
        assert np.abs(found).max() <= 1


def test_too_little_data() -> None:
    refused("got 1 repeats of 5", noise_ceiling, np.zeros((1, 5, 2)))
