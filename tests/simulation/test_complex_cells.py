from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.simulation import complex_cells, roi_lagged, roi_series
from brainalign.simulation.voxels.complex import _features


def test_plants_what_it_says() -> None:
    world = complex_cells(1500, 500, 10, seed=1)
    assert (world.tokens.shape, world.features.shape) == ((2000, 256, 1), (2000, 64, 6))
    np.testing.assert_allclose(world.signal.std(axis=0), 1, rtol=1e-5)
    noise = world.responses - world.signal
    assert noise[world.train].std() == pytest.approx(0.7, rel=0.02)
    assert noise[world.test].std() == pytest.approx(0.4, rel=0.02)
    np.testing.assert_allclose(world.features.std(axis=(0, 1)), 1, rtol=1e-4)
    np.testing.assert_allclose(world.fields.sum(axis=(1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(world.weights.sum(axis=1), 0, atol=1e-4)
    expected = np.einsum("npc,vp,vc->nv", world.features, world.fields.reshape(10, -1), world.weights)
    np.testing.assert_allclose(world.signal, expected - expected.mean(axis=0), atol=1e-4)


def test_an_inverted_image_gives_the_same_features() -> None:
    """Which is why no linear function of pixels predicts anything"""
    images = np.random.default_rng(0).normal(size=(30, 16, 16))
    found = [_features(sign * images, np.random.default_rng(5)) for sign in (1, -1)]
    np.testing.assert_allclose(*found, atol=1e-9)


def test_features_written_out_for_single_places() -> None:
    """Energies of quadrature pairs in 2 × 2 pixels, contrasts of orientations over 3 × 3 places, rectified"""
    images = np.random.default_rng(0).normal(size=(12, 16, 16))
    found = _features(images, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    start, half = rng.uniform(0, np.pi), np.arange(-3, 4)
    padded = np.pad(images, ((0, 0), (3, 3), (3, 3)))
    energies = np.zeros((12, 4, 16, 16))
    for k in range(4):
        angle = start + np.pi * k / 4
        for wave in (np.cos, np.sin):
            envelope = np.exp(-np.add.outer(half**2, half**2) / (2 * 1.5**2))
            gabor = envelope * wave(2 * np.pi * 0.2 * np.add.outer(half * np.sin(angle), half * np.cos(angle)))
            gabor -= envelope * gabor.sum() / envelope.sum()
            for row in range(16):
                for col in range(16):
                    outputs = (padded[:, row : row + 7, col : col + 7] * gabor).sum(axis=(1, 2))
                    energies[:, k, row, col] += outputs**2
    pooled = energies.reshape(12, 4, 8, 2, 8, 2).mean(axis=(3, 5))
    pooled -= pooled.mean(axis=(0, 2, 3), keepdims=True)
    pooled /= np.sqrt(np.square(pooled).sum(axis=(0, 2, 3), keepdims=True) / (12 * 64 - 1))
    weights = rng.normal(size=(6, 4, 3, 3))
    weights -= weights.mean(axis=1, keepdims=True)
    contrast = np.stack([(pooled[:, :, 2:5, 4:7] * each).sum(axis=(1, 2, 3)) for each in weights], axis=1)
    rectified = np.maximum(contrast, 0)
    for channel in range(6):  # at row 3, column 5, up to the scale and mean of the whole map
        at = found[:, channel, 3, 5]
        slope, offset = np.polyfit(rectified[:, channel], at, 1)
        np.testing.assert_allclose(slope * rectified[:, channel] + offset, at, atol=1e-9)
        assert slope > 0


def test_it_takes_two_images_of_each_and_a_voxel() -> None:
    refused("got 20, 1, 40", complex_cells, 20, 1)
    refused("got 20, 10, 0", complex_cells, 20, 10, 0)


# --- roi series -------------------------------------------------------------------------------------------------------


# Worlds of region series carry what they say: networks, traits, states, lags.


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


def test_bad_sizes_are_named() -> None:
    refused("at least two subjects", roi_series, 1)
    refused("within", roi_series, 3, trait=1.2)
    refused("at least 6", roi_lagged, 3, 4)
