"""Voxels that are linear in features plus noise, with known weights and noise ceilings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainalign.checks import BrainalignError

Values = NDArray[np.float64]


@dataclass(frozen=True)
class LinearWorld:
    """Simulated responses and the truth behind them.

    Attributes
    ----------
    X : array (n_stimuli, n_features)
    repeats : array (n_repeats, n_stimuli, n_targets)
        signal + noise, of total variance 1.
    weights : array (n_features, n_targets)
    signal : array (n_stimuli, n_targets)
        X · weights.
    ceiling : array (n_targets,)
        Planted share of the variance of a single repeat that is signal.
    """

    X: Values
    repeats: Values
    weights: Values
    signal: Values
    ceiling: Values


def linear_world(n_stimuli: int, n_features: int, n_repeats: int, ceiling: ArrayLike, seed: int = 0) -> LinearWorld:
    """Simulate responses: independent Gaussian features, weights and noise.

    Parameters
    ----------
    n_stimuli, n_features, n_repeats : int
    ceiling : array (n_targets,)
        In [0, 1]; 0 plants a target without signal.
    seed : int

    Raises
    ------
    BrainalignError
        If a ceiling lies outside [0, 1].

    Examples
    --------
    >>> world = linear_world(100, 10, 3, ceiling=[0.0, 0.5])
    >>> world.repeats.shape
    (3, 100, 2)
    """
    share = np.asarray(ceiling, dtype=np.float64)
    if share.ndim != 1 or not ((share >= 0) & (share <= 1)).all():
        raise BrainalignError(f"ceiling must be a list of shares in [0, 1], one per target; got {ceiling!r}")
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_stimuli, n_features))
    # Weights scaled so that the signal has variance `share` over stimuli drawn like these.
    weights = rng.normal(size=(n_features, len(share)))
    weights *= np.sqrt(share) / np.linalg.norm(weights, axis=0)
    signal = X @ weights
    noise = rng.normal(size=(n_repeats, *signal.shape)) * np.sqrt(1 - share)
    return LinearWorld(X, signal + noise, weights, signal, share)
