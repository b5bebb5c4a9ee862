"""What of a layer drives a simulated brain: linear combinations of its features that no other layer has.

Layers of one network resemble each other, so a response to an arbitrary mix of a layer's features is predicted almost
as well from its neighbours, and nobody could say which layer was planted. The drives of a layer are the
combinations of its leading components that the other layers' features explain least.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError

__all__ = ["field_weights", "layer_drives", "pool_everywhere", "pool_grid"]

Floats = NDArray[np.float64]

RIDGE = 1e-2  # penalty, as a share of the other layers' mean variance per sample


def _standardize(values: Floats) -> Floats:
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(spread > 1e-6 * spread.max(), spread, np.inf))


def pool_everywhere(maps: NDArray[np.float32]) -> Floats:
    """Average a layer over the image: what is there, wherever it is.

    Parameters
    ----------
    maps : array (n, rows, columns, n_channels)

    Returns
    -------
    array (n, n_channels)
    """
    return np.asarray(maps.mean(axis=(1, 2), dtype=np.float64))


def pool_grid(maps: NDArray[np.float32], size: int = 4) -> Floats:
    """Average a layer over the cells of a coarse grid: what is there, and roughly where.

    Parameters
    ----------
    maps : array (n, rows, columns, n_channels)
        Rows and columns are multiples of `size`.
    size : int
        Cells per side.

    Returns
    -------
    array (n, size · size · n_channels)

    Raises
    ------
    BrainalignError
        If the grid does not divide the map.
    """
    n, rows, columns, channels = maps.shape
    if rows % size or columns % size:
        raise BrainalignError(f"a map of {rows} x {columns} cannot be cut into {size} x {size} equal cells")
    cells = maps.reshape(n, size, rows // size, size, columns // size, channels)
    return np.asarray(cells.mean(axis=(2, 4), dtype=np.float64).reshape(n, -1))


def field_weights(x: float, y: float, sd: float, size: int = 4) -> Floats:
    """Return the Gaussian receptive field at the centres of the cells of `pool_grid`, 1 at its peak.

    Parameters
    ----------
    x, y, sd : float
        Centre from the upper left corner and standard deviation, as shares of the image.
    size : int
        Cells per side.

    Returns
    -------
    array (size · size)
    """
    place = (np.arange(size) + 0.5) / size
    field = np.exp(-((place[:, None] - y) ** 2 + (place[None, :] - x) ** 2) / (2 * sd**2))
    return np.asarray(field.ravel())


def _unexplained(target: Floats, others: Floats, n_folds: int = 5) -> Floats:
    """Return the part of `target` that ridge on `others` does not predict in held-out rows."""
    left = np.empty_like(target)
    for fold in range(n_folds):
        test = np.arange(len(target)) % n_folds == fold
        X, mean = others[~test], target[~test].mean(axis=0)
        kernel = X @ X.T
        kernel[np.diag_indices_from(kernel)] += RIDGE * np.trace(kernel) / len(kernel)
        left[test] = target[test] - mean - others[test] @ (X.T @ np.linalg.solve(kernel, target[~test] - mean))
    return left


def layer_drives(
    features: Mapping[str, Floats],
    n_drives: int,
    n_components: int,
    field: Floats | None = None,
) -> dict[str, Floats]:
    """Return, for every layer, the combinations of its features that the other layers explain least.

    Features are standardised and, for an area with a receptive field, weighted by it. Of the leading `n_components`
    principal components (scaled to unit variance) those combinations are taken that keep the largest share of
    variance, in held-out images, after ridge on the features of all other layers together. They remain exactly
    linear in the layer's features.

    Parameters
    ----------
    features : mapping of arrays (n_stimuli, n_features)
        By layer.
    n_drives, n_components : int
    field : array (n_cells), optional
        Weight of each grid cell; the features are then those of `pool_grid`.

    Returns
    -------
    dict of arrays (n_stimuli, n_drives)
        Uncorrelated, mean 0, standard deviation 1, the most particular to the layer first.

    Raises
    ------
    BrainalignError
        If there are fewer than two layers, or fewer components than drives.
    """
    if len(features) < 2 or not 1 <= n_drives <= n_components:
        raise BrainalignError(
            f"{len(features)} layers, {n_drives} drives of {n_components} components: "
            "give two layers or more, and no more drives than components"
        )
    scaled = {layer: _standardize(values) for layer, values in features.items()}
    drives = {}
    for layer, values in scaled.items():
        weighted = values if field is None else values * np.repeat(field, values.shape[1] // len(field))
        left, weight, _ = np.linalg.svd(weighted, full_matrices=False)
        n_kept = min(n_components, int((weight > 1e-6 * weight[0]).sum()))
        if n_kept < n_drives:
            raise BrainalignError(f"layer {layer!r} has {n_kept} components; plant at most as many drives")
        parts = left[:, :n_kept] * np.sqrt(len(values))
        others = np.concatenate([other for name, other in scaled.items() if name != layer], axis=1)
        own = _unexplained(parts, others)
        _, directions = np.linalg.eigh(own.T @ own)  # ascending
        drives[layer] = parts @ directions[:, ::-1][:, :n_drives]
    return drives
