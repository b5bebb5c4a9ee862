"""A wide space that knows nothing: what sparse codes have to beat at the same width."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite


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
