"""Tokens and what reads them: objects that ROIs follow wherever they are, so that no fixed weighting of places predicts
them, and voxels whose receptive field moves with what an image means, beside voxels whose field stays (W3)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Values = NDArray[np.float64]

GRID = (8, 8)
N_OBJECTS, N_ATTRIBUTES = 4, 8
OBJECT_ROIS = {f"what{k}": ("what", k) for k in range(N_OBJECTS)}
OBJECT_ROIS |= {f"where{place}": ("where", place) for place in (9, 54)}
OBJECT_ROIS |= {f"whatwhere{k}": ("whatwhere", k) for k in range(N_OBJECTS)}
"""Kind of each ROI, and the object it follows or the token it looks at."""


@dataclass(frozen=True)
class ObjectWorld:
    tokens: Values  # (n_images, 64, 12): row-major over `grid`; 4 channels of identity, then 8 of attributes
    grid: tuple[int, int]  # (8, 8)
    cells: NDArray[np.intp]  # (n_images, 4): token at which each object lies
    roi: NDArray[np.str_]  # (n_targets,): names of `OBJECT_ROIS`
    # both (n_images, n_targets): the responses are signal + noise of variance 1 / n_repeats of the image
    signal: Values
    responses: Values
    n_repeats: NDArray[np.intp]  # (n_images,)

    def ceiling(self, rows: slice) -> Values:
        """Return the noise ceiling (n_targets,) of some images with equal repeats: a share of variance."""
        signal = self.signal[rows].var(axis=0)
        return np.asarray(signal / (signal + 1 / self.n_repeats[rows][0]))


def object_world(n_training: int = 2400, n_test: int = 600, n_targets: int = 10, seed: int = 0) -> ObjectWorld:
    """Simulate images and responses; the first `n_training` images are shown once, the others three times.

    The tokens are noise of sd .3. One object of each of 4 categories lies at a random token of its own: its channel of
    identity is raised by 2 and its attributes a ~ N(0, I) take the place of the noise. Each target has weights
    w ~ N(0, I / 8) on attributes, and its ROI says whose:

    - what k: w · a of object k, wherever it lies.
    - where p: w · attributes at token p, scaled to unit variance.
    - what×where k: √2 w · a of object k while that lies in the left half (columns 0-3), else 0.
    """
    rng = np.random.default_rng(seed)
    n_images, n_tokens = n_training + n_test, GRID[0] * GRID[1]
    tokens = 0.3 * rng.normal(size=(n_images, n_tokens, N_OBJECTS + N_ATTRIBUTES))
    cells = rng.permuted(np.tile(np.arange(n_tokens), (n_images, 1)), axis=1)[:, :N_OBJECTS]
    attributes = rng.normal(size=(n_images, N_OBJECTS, N_ATTRIBUTES))
    for k in range(N_OBJECTS):
        tokens[np.arange(n_images), cells[:, k], k] += 2
        tokens[np.arange(n_images), cells[:, k], N_OBJECTS:] = attributes[:, k]
    left, parts = cells % GRID[1] < GRID[1] // 2, []
    for kind, which in OBJECT_ROIS.values():
        weights = rng.normal(size=(N_ATTRIBUTES, n_targets)) / np.sqrt(N_ATTRIBUTES)
        if kind == "where":
            part = tokens[:, which, N_OBJECTS:] @ weights
            parts.append(part / part.std(axis=0))
        else:
            shown = np.sqrt(2) * left[:, which] if kind == "whatwhere" else np.ones(n_images)
            parts.append(shown[:, None] * (attributes[:, which] @ weights))
    signal, n_repeats = np.hstack(parts), np.where(np.arange(n_images) < n_training, 1, 3)
    noise = rng.normal(size=signal.shape) / np.sqrt(n_repeats)[:, None]
    return ObjectWorld(tokens, GRID, cells, np.repeat(list(OBJECT_ROIS), n_targets), signal, signal + noise, n_repeats)


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
