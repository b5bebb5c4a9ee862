"""Voxels whose receptive field moves with what an image means, beside voxels whose field stays (world W3)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Values = NDArray[np.float64]

FIELD_SD = 0.22  # coordinates run from -1 to 1
GAIN = 0.45
TRAINING_NOISE, TEST_NOISE = 0.7, 0.4  # sd, of a signal of sd 1
FIELD_CEILING = 1 / (1 + TEST_NOISE**2)  # .862


@dataclass(frozen=True)
class ShiftingFields:
    """Simulated feature maps, semantics and responses, and the truth behind them."""

    tokens: Values  # (n_images, 100, 6): smoothed noise of unit variance on a grid of 10 rows × 10 columns, row by row
    # (n_images, 8): the two numbers that move fields, and six that do nothing, all measured with noise of sd .05
    semantics: Values
    responses: Values  # (n_images, n_voxels): signal of sd 1 plus noise: sd .7, but .4 for the test images
    # (n_images, n_voxels, 2): how far each field was moved, as (x, y), in units where the grid runs from -1 to 1
    shifts: Values
    shifting: NDArray[np.bool_]  # (n_voxels,) of bool: The first half of the voxels
    train: NDArray[np.intp]  # both of image numbers
    test: NDArray[np.intp]
    grid: tuple[int, int] = (10, 10)  # (10, 10)


def shifting_fields(n_train: int = 2400, n_test: int = 800, n_voxels: int = 12, seed: int = 0) -> ShiftingFields:
    """Simulate voxels that sum weighted channels over a Gaussian field, which moves with semantics in half of them."""
    rng = np.random.default_rng(seed)
    n, (rows, cols), channels = n_train + n_test, ShiftingFields.grid, 6
    noise = rng.normal(size=(n, rows + 2, cols + 2, channels))
    maps = 3 * uniform_filter(noise, (1, 3, 3, 1))[:, 1:-1, 1:-1]  # 3 × 3 means away from the border: variance 1
    state = rng.uniform(-1, 1, size=(n, 2))
    semantics = np.hstack([state, rng.normal(size=(n, 6))]) + 0.05 * rng.normal(size=(n, 8))
    shifting, base = np.arange(n_voxels) < n_voxels // 2, rng.uniform(-0.3, 0.3, size=(n_voxels, 2))
    shifts = GAIN * shifting[:, None] * state[:, None]  # (n_images, n_voxels, 2)
    weights = rng.normal(size=(n_voxels, channels)) / np.sqrt(channels)
    signal = np.empty((n, n_voxels))
    for voxel in range(n_voxels):
        x, y = (base[voxel] + shifts[:, voxel]).T
        apart = [np.linspace(-1, 1, size) - centre[:, None] for size, centre in ((cols, x), (rows, y))]
        along_x, along_y = (np.exp(-0.5 * np.square(distance / FIELD_SD)) for distance in apart)
        field = along_y[:, :, None] * along_x[:, None, :]
        field /= field.sum(axis=(1, 2), keepdims=True)
        signal[:, voxel] = np.einsum("nhw,nhwc,c->n", field, maps, weights[voxel], optimize=True)
    signal /= signal.std(axis=0)
    train, test = np.arange(n_train), np.arange(n_train, n)
    sd = np.where(np.arange(n) < n_train, TRAINING_NOISE, TEST_NOISE)
    responses = signal + sd[:, None] * rng.normal(size=signal.shape)
    return ShiftingFields(maps.reshape(n, rows * cols, channels), semantics, responses, shifts, shifting, train, test)
