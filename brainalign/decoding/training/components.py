"""What is decoded of a sentence: principal components of its vector, of unit variance over training sentences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite


@dataclass(frozen=True)
class Components:
    """Principal components, fitted on training sentences only.

    Attributes
    ----------
    mean : array (n_dimensions,)
    axes : array (n_components, n_dimensions)
    scale : array (n_components,)
        Standard deviation over training sentences.
    explained : float
        Share of the variance of training sentences.
    """

    mean: Values
    axes: Values
    scale: Values
    explained: float

    @classmethod
    def fit(cls, vectors: Values, n_components: int) -> Components:
        """Return components of distinct training sentences.

        Parameters
        ----------
        vectors : array (n_sentences, n_dimensions)
            A row per sentence, however often it was read.
        n_components : int

        Raises
        ------
        BrainalignError
            If sentences or dimensions are too few, or a vector is not finite.
        """
        check_finite("sentence vectors", vectors, "extract the features again")
        vectors = np.asarray(vectors, dtype=np.float64)
        if min(len(vectors) - 1, vectors.shape[1]) < n_components:
            raise BrainalignError(
                f"{n_components} components need more than {len(vectors)} training sentences of {vectors.shape[1]} "
                "dimensions; lower decode.n_components"
            )
        mean = vectors.mean(axis=0)
        _, values, axes = np.linalg.svd(vectors - mean, full_matrices=False)
        scale = values[:n_components] / np.sqrt(len(vectors))
        if not scale.min() > 1e-9 * scale.max():
            raise BrainalignError(
                f"the training sentences span {int((values > 1e-9 * values[0]).sum())} dimensions, fewer than the "
                f"{n_components} components asked for; lower decode.n_components"
            )
        explained = float((values[:n_components] ** 2).sum() / (values**2).sum())
        return cls(mean, axes[:n_components], scale, explained)

    def transform(self, vectors: Values) -> Values:
        """Return components (n, n_components) of vectors (n, n_dimensions)."""
        return np.asarray((vectors - self.mean) @ self.axes.T / self.scale)

    def inverse(self, components: Values) -> Values:
        """Return vectors (n, n_dimensions) of components (n, n_components)."""
        return np.asarray(components * self.scale @ self.axes + self.mean)
