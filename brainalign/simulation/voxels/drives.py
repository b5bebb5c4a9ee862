"""What of a layer drives a simulated brain: linear combinations of its features that no other layer has.

Layers of one network resemble each other, so a response to an arbitrary mix of a layer's features is predicted almost
as well from its neighbours, and nobody could say which layer was planted. The drives of a layer are the
combinations of its leading components that the other layers' features explain least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows

Floats = NDArray[np.float64]

RIDGE = 1e-2  # penalty, as a share of the mean eigenvalue of the other layers' kernel


def _standardize(values: NDArray[np.floating], n_channels: int) -> Floats:
    """Centre every feature and scale every channel, alike at all its places.

    Scaled place by place, a pixel that one scene in a hundred reaches would weigh as much as the centre.
    """
    centred = (values - values.mean(axis=0, dtype=np.float64)).reshape(len(values), -1, n_channels)
    spread = np.sqrt((centred**2).mean(axis=(0, 1)))
    return np.asarray(centred / np.where(spread > 1e-6 * spread.max(), spread, np.inf)).reshape(len(values), -1)


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


def field_weights(n_rows: int, n_columns: int, x: float, y: float, sd: float) -> Floats:
    """Return a Gaussian receptive field at the pixels of a layer's map, 1 at its peak.

    Parameters
    ----------
    n_rows, n_columns : int
    x, y, sd : float
        Centre from the upper left corner and standard deviation, as shares of the image.

    Returns
    -------
    array (n_rows · n_columns)
    """
    rows, columns = ((np.arange(n) + 0.5) / n for n in (n_rows, n_columns))
    return np.asarray(np.exp(-((rows[:, None] - y) ** 2 + (columns[None, :] - x) ** 2) / (2 * sd**2)).ravel())


def _unexplained(target: Floats, kernel: Floats, n_folds: int = 5) -> Floats:
    """Return the part of `target` that kernel ridge does not predict in held-out rows."""
    left = np.empty_like(target)
    for fold in range(n_folds):
        test = np.arange(len(target)) % n_folds == fold
        inner, mean = kernel[np.ix_(~test, ~test)], target[~test].mean(axis=0)
        inner[np.diag_indices_from(inner)] += RIDGE * np.trace(inner) / len(inner)
        left[test] = target[test] - mean - kernel[np.ix_(test, ~test)] @ np.linalg.solve(inner, target[~test] - mean)
    return left


def _components(kernel: Floats, n_components: int) -> Floats:
    """Return the leading principal components, of unit variance, from the inner products of centred rows."""
    variances, vectors = np.linalg.eigh(kernel)  # ascending
    n_kept = min(n_components, int((variances > 1e-10 * variances[-1]).sum()))
    return np.asarray(vectors[:, ::-1][:, :n_kept] * np.sqrt(len(kernel)))


def layer_drives(
    features: Mapping[str, NDArray[np.floating]],
    n_drives: int,
    n_components: Sequence[int],
    fields: Mapping[str, Floats] | None = None,
) -> dict[str, Floats]:
    """Return, for every layer, the combinations of its features that the other layers explain least.

    Features are standardised and, for an area with a receptive field, weighted by it. Of the leading `n_components`
    principal components of a layer (scaled to unit variance) those combinations are taken that keep the largest share
    of variance, in held-out stimuli, after ridge on the features of all other layers together, each layer counting
    the same. They remain exactly linear in the layer's features.

    Parameters
    ----------
    features : mapping of arrays (n_stimuli, n_features)
        By layer: from `pool_everywhere`, or whole maps (n_stimuli, rows · columns · n_channels).
    n_drives : int
    n_components : sequence of int (n_layers)
        Fewer make drives that other networks share, more make drives that only this layer has.
    fields : mapping of arrays (rows · columns), optional
        Receptive field by layer, from `field_weights`.

    Returns
    -------
    dict of arrays (n_stimuli, n_drives)
        Uncorrelated, mean 0, standard deviation 1, the most particular to the layer first.

    Raises
    ------
    BrainalignError
        If there are fewer than two layers, not a number of components for each, or fewer components than drives.
    """
    if len(features) < 2:
        raise BrainalignError(f"{len(features)} layer(s) cannot be told from others; give two or more")
    check_rows("n_components", len(n_components), "the layers", len(features), "give one number per layer")
    kernels, components = {}, {}
    for (layer, values), n_kept in zip(features.items(), n_components, strict=True):
        n_places = 1 if fields is None else len(fields[layer])
        scaled = _standardize(values, values.shape[1] // n_places)
        kernels[layer] = scaled @ scaled.T / scaled.shape[1]
        if fields is None:
            components[layer] = _components(kernels[layer], n_kept)
        else:
            scaled *= np.repeat(fields[layer], scaled.shape[1] // n_places)
            components[layer] = _components(scaled @ scaled.T, n_kept)
    drives = {}
    for layer, parts in components.items():
        if parts.shape[1] < n_drives:
            raise BrainalignError(f"layer {layer!r} has {parts.shape[1]} components; plant at most as many drives")
        others = np.sum([kernel for name, kernel in kernels.items() if name != layer], axis=0)
        own = _unexplained(parts, others)
        _, directions = np.linalg.eigh(own.T @ own)  # ascending
        drives[layer] = parts @ directions[:, ::-1][:, :n_drives]
    return drives
