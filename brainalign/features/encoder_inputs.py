"""What linear encoders are given of a layer: one row per trial, with the same total variance whatever the layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainalign.features.reduction import PCA

TOTAL_VARIANCE = 1000.0  # of a standardised layer


def layer_inputs(
    values: NDArray[np.floating],
    train: NDArray[np.intp],
    *,
    n_components: int | None = None,
    standardize: bool = True,
    maps: bool = False,
) -> NDArray[np.floating]:
    """Return features (n_trials, n_inputs), centred on the training rows; every layer has the same total variance.

    Layers of 20 and of 20,000 features then need the same penalties, and no layer wins by its scale. Pooled features
    are z-scored one by one; places of a map keep their own variance, which is next to 0 at empty borders.

    Parameters
    ----------
    values : array (n_trials, ...)
        Features of a layer, in any shape after the first axis.
    train : array of row numbers
        That principal components, means and variances are of.
    n_components : int, optional
        Of the principal components that take the place of features; all features where there are no more.
    standardize : bool
        False: neither centred nor scaled.
    maps : bool
        Whether the features are places of maps.

    Examples
    --------
    >>> layer_inputs(np.random.default_rng(0).normal(size=(20, 8, 3)), np.arange(15), n_components=4).shape
    (20, 4)
    """
    flat = values.reshape(len(values), -1)
    if n_components is not None and n_components < flat.shape[1]:
        flat = PCA(n_components).fit(flat, rows=train).transform(flat)
        maps = True  # components keep their own variance too
    if not standardize:
        return flat
    flat = flat - flat[train].mean(axis=0)
    if not maps:
        spread = flat[train].std(axis=0)
        flat *= np.where(spread > 1e-6 * spread.max(), 1 / np.where(spread > 0, spread, 1), 0)
    total = float(np.square(flat[train]).sum(axis=1).mean())
    return np.asarray(flat * np.sqrt(TOTAL_VARIANCE / total) if total else flat, dtype=np.float32)
