from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.simulation import complex_cells
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
    again = complex_cells(1500, 500, 10, seed=1)
    np.testing.assert_array_equal(again.responses, world.responses)


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
