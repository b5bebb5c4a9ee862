"""Worlds of region series carry what they say: networks, traits, states, lags."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.simulation import roi_lagged, roi_series


def means(series: np.ndarray, networks: np.ndarray) -> np.ndarray:
    """Return the mean course of every network (n_subjects, n_frames, n_networks)."""
    return np.stack([series[:, :, networks == name].mean(axis=2) for name in np.unique(networks)], axis=2)


def test_traits_tie_two_networks_and_two_others_are_tied_in_all() -> None:
    world = roi_series(24, 320, 10, seed=3)
    courses = means(world.series, world.regions["network"].to_numpy())
    r = np.stack([np.corrcoef(one.T) for one in courses])
    high = (world.subjects["trait"] == "high").to_numpy()
    assert high.sum() == 12
    assert r[high, 0, 1].mean() - r[~high, 0, 1].mean() == pytest.approx(0.7 * 0.9, abs=0.15)
    assert r[:, 2, 3].mean() == pytest.approx(0.4 * 0.9, abs=0.1)
    assert abs(r[:, 0, 4].mean()) < 0.08
    assert np.allclose(world.series.std(axis=1), 1, atol=1e-3)


def test_a_region_follows_from_its_network_as_much_as_the_formula_says() -> None:
    world = roi_series(24, 320, 10, seed=3)
    own, others = world.series[:, :, 0], world.series[:, :, 1:6].mean(axis=2)  # five of its network
    r2 = np.corrcoef(own.ravel(), others.ravel())[0, 1] ** 2
    assert r2 == pytest.approx(0.49**2 / (1.13 * (0.49 + 0.64 / 5)), abs=0.03)


def test_states_change_the_sign_of_a_tie() -> None:
    world = roi_series(16, 320, 8, state_strength=0.6, state_frames=80, seed=3)
    courses = means(world.series, world.regions["network"].to_numpy())
    on, off = courses[world.states == 1], courses[world.states == 0]
    assert np.corrcoef(on.T)[4, 5] - np.corrcoef(off.T)[4, 5] > 0.8
    assert roi_series(4, 60, 2).states.max() == 0
    assert "trait" not in roi_series(4, 60, 2, trait=0).subjects


def test_a_follower_is_its_leader_three_frames_later_and_tells_nothing_at_the_same_moment() -> None:
    world = roi_lagged(24, 320, 10, seed=3)
    a, b = (world.series[:, :, world.regions["network"] == name].mean(axis=2) for name in ("A0", "B0"))
    assert np.corrcoef(a[:, :-3].ravel(), b[:, 3:].ravel())[0, 1] > 0.8
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.05
    assert world.regions.groupby("pair")["role"].nunique().eq(2).all()


def test_seeds_decide_and_bad_sizes_are_named() -> None:
    assert np.array_equal(roi_series(3, 40, 2, seed=1).series, roi_series(3, 40, 2, seed=1).series)
    assert not np.array_equal(roi_lagged(3, 40, 2, seed=1).series, roi_lagged(3, 40, 2, seed=2).series)
    refused("at least two subjects", roi_series, 1)
    refused("within", roi_series, 3, trait=1.2)
    refused("at least 6", roi_lagged, 3, 4)
