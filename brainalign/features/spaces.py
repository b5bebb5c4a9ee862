"""Spaces of equal width that are learned from training rows: sparse codes, and what they have to beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_finite
from brainalign.features.dictionaries import SparseAutoencoder
from brainalign.features.reduction import PCA

__all__ = ["SPACES", "RandomUnits", "Space"]

Values = NDArray[np.floating[Any]]


class Space(Protocol):
    """Learns from training rows, then maps any row."""

    def fit(self, values: Values, *, rows: NDArray[Any]) -> Any:
        """Learn from `values[rows]`."""

    def transform(self, values: Values) -> Values:
        """Return (n_stimuli, width)."""


class RandomUnits:
    """Rectified random projections, nothing learned but mean and scale: what any wide nonlinear space gives.

    Parameters
    ----------
    width : int
    seed : int

    References
    ----------
    Rahimi A, Recht B (2008). Weighted sums of random kitchen sinks. NeurIPS 21.
    """

    def __init__(self, width: int, seed: int = 0) -> None:
        self.width = width
        self.seed = seed

    def fit(self, values: Values, *, rows: NDArray[Any]) -> RandomUnits:
        """Take the mean and the scale of `values[rows]`, values (n_stimuli, n_features).

        Raises
        ------
        BrainalignError
            If they are not finite, or do not vary.
        """
        train = np.asarray(values[rows], dtype=np.float64)
        check_finite("the training rows", train, "drop the stimuli or the layer")
        self.mean_ = train.mean(axis=0)
        scale = float(np.sqrt(np.square(train - self.mean_).sum(axis=1).mean()))
        if not scale:
            raise BrainalignError("the training rows are all alike; give features that vary")
        rng = np.random.default_rng(self.seed)
        self.weights_ = rng.normal(size=(values.shape[1], self.width)) / scale
        return self

    def transform(self, values: Values) -> Values:
        """Return (n_stimuli, width), >= 0."""
        return np.asarray(np.maximum((values - self.mean_) @ self.weights_, 0))


def _principal(width: int, n_active: int, epochs: int, seed: int) -> Space:
    return PCA(width)


def _random(width: int, n_active: int, epochs: int, seed: int) -> Space:
    return RandomUnits(width, seed)


def _top_k(width: int, n_active: int, epochs: int, seed: int) -> Space:
    return SparseAutoencoder(width, n_active, "topk", epochs, seed=seed)


def _pursuit(width: int, n_active: int, epochs: int, seed: int) -> Space:
    return SparseAutoencoder(width, n_active, "matching_pursuit", epochs, seed=seed)


# Of a width, the number of active units, training epochs and a seed, which some of them do without.
SPACES: dict[str, Callable[[int, int, int, int], Space]] = {
    "topk": _top_k,
    "matching_pursuit": _pursuit,
    "pca": _principal,
    "random": _random,
}
