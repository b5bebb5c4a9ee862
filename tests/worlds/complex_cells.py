"""Voxels that read out complex cells, of whose features the images' pixels tell nothing linearly."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Values = NDArray[np.float32]

SIZE = 16  # pixels of an image, in rows and in columns
PATCHES, PATCH_SD, FREQUENCY = 6, 1.5, 0.2  # per image; pixels; cycles per pixel
BACKGROUND_SD = 0.5  # of the smooth noise behind them
N_ORIENTATIONS, N_FEATURES, FILTER = 4, 6, 7
FIELD_SD = 0.3  # coordinates run from -1 to 1
TRAINING_NOISE, TEST_NOISE = 0.7, 0.4  # sd, of a signal of sd 1
CELL_CEILING = 1 / (1 + TEST_NOISE**2)  # .862


@dataclass(frozen=True)
class ComplexCells:
    # (n_images, 256, 1): grey images of 16 × 16 pixels, row by row: smooth noise and six oriented patches, each as
    # often inverted
    tokens: Values
    # (n_images, 64, 6): what voxels read out, on a grid of 8 × 8: energies of four orientations, averaged over 2 × 2
    # pixels; contrasts of orientations over 3 × 3 places, rectified; unit variance
    features: Values
    responses: Values  # (n_images, n_voxels): signal of sd 1 plus noise: sd .7, but .4 for the test images
    fields: Values  # (n_voxels, 8, 8): Gaussians of sd .3, of sum 1, where the grid runs from -1 to 1
    train: NDArray[np.intp]  # both of image numbers
    test: NDArray[np.intp]
    grid: tuple[int, int] = (SIZE, SIZE)


def complex_cells(n_train: int = 3600, n_test: int = 600, n_voxels: int = 40, seed: int = 0) -> ComplexCells:
    """Simulate voxels that sum features of two layers over a Gaussian field. The first layer squares and adds the
    outputs of a pair of filters a quarter of a cycle apart, so that an inverted image gives the same responses: no
    linear function of pixels predicts anything. The second layer compares orientations (its weights sum to 0 over
    them), so that contrast alone says little."""
    rng, n = np.random.default_rng(seed), n_train + n_test
    images = _images(n, rng)
    maps = _features(images, rng)  # (n, N_FEATURES, 8, 8)
    y, x = np.meshgrid(*[np.linspace(-1, 1, SIZE // 2)] * 2, indexing="ij")
    centres = rng.uniform(-0.6, 0.6, size=(n_voxels, 2, 1, 1))
    distance = np.square(x - centres[:, 0]) + np.square(y - centres[:, 1])
    fields = np.exp(-distance / (2 * FIELD_SD**2)).reshape(n_voxels, -1)
    fields /= fields.sum(axis=1, keepdims=True)
    weights = rng.normal(size=(n_voxels, N_FEATURES))
    weights -= weights.mean(axis=1, keepdims=True)
    signal = np.einsum("ncp,vp,vc->nv", maps.reshape(n, N_FEATURES, -1), fields, weights, optimize=True)
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    sd = np.where(np.arange(n) < n_train, TRAINING_NOISE, TEST_NOISE)
    tokens, features = images.reshape(n, -1, 1), maps.reshape(n, N_FEATURES, -1).transpose(0, 2, 1)
    responses = signal + sd[:, None] * rng.normal(size=signal.shape)
    values = (tokens, features, responses, fields.reshape(n_voxels, SIZE // 2, SIZE // 2))
    return ComplexCells(*(each.astype(np.float32) for each in values), np.arange(n_train), np.arange(n_train, n))


def _images(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.normal(size=(n, SIZE, SIZE)), (0, 1.5, 1.5), mode="wrap")
    images: NDArray[np.float64] = BACKGROUND_SD * noise / noise.std()
    y, x = np.mgrid[:SIZE, :SIZE]
    for _ in range(PATCHES):
        row, col = rng.uniform(0, SIZE - 1, size=(2, n, 1, 1))
        angle, phase = rng.uniform(0, np.pi, size=(n, 1, 1)), rng.uniform(0, 2 * np.pi, size=(n, 1, 1))
        along = (x - col) * np.cos(angle) + (y - row) * np.sin(angle)
        envelope = np.exp(-(np.square(x - col) + np.square(y - row)) / (2 * PATCH_SD**2))
        images += envelope * np.cos(2 * np.pi * FREQUENCY * along + phase)
    return images


def _features(images: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    import torch

    half = FILTER // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    angles = rng.uniform(0, np.pi) + np.pi * np.arange(N_ORIENTATIONS)[:, None, None] / N_ORIENTATIONS
    along = 2 * np.pi * FREQUENCY * (x * np.cos(angles) + y * np.sin(angles))
    envelope = np.exp(-(x**2 + y**2) / (2 * PATCH_SD**2))
    pair = np.stack([envelope * np.cos(along), envelope * np.sin(along)])  # (2, orientations, rows, cols)
    pair -= envelope * pair.sum(axis=(2, 3), keepdims=True) / envelope.sum()  # blind to brightness
    filters = torch.from_numpy(pair.reshape(-1, 1, FILTER, FILTER))
    outputs = torch.nn.functional.conv2d(torch.from_numpy(images)[:, None], filters, padding=half)
    energies = _unit(torch.nn.functional.avg_pool2d(outputs.square().unflatten(1, (2, N_ORIENTATIONS)).sum(dim=1), 2))
    weights = rng.normal(size=(N_FEATURES, N_ORIENTATIONS, 3, 3))
    weights -= weights.mean(axis=1, keepdims=True)
    return np.asarray(_unit(torch.nn.functional.conv2d(energies, torch.from_numpy(weights), padding=1).relu()).numpy())


def _unit(maps: "torch.Tensor") -> "torch.Tensor":
    sd, mean = maps.std(dim=(0, 2, 3), keepdim=True), maps.mean(dim=(0, 2, 3), keepdim=True)
    return (maps - mean) / sd
