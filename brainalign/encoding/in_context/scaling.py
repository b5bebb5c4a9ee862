"""Test-time scaling: how well encoders predict from contexts of growing size, on disjoint draws of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, listed, row_numbers
from brainalign.encoding.in_context.empirical_bayes import EmpiricalBayesRidge, WeightPrior
from brainalign.encoding.in_context.fallback import UNIT_ALPHAS
from brainalign.regression import Ridge, check_shapes
from brainalign.statistics import explained_variance, pearson


class Predictor(Protocol):
    """What a scaling curve asks of an encoder."""

    def fit(self, X: Values, Y: Values) -> Any:
        """Fit all targets."""

    def predict(self, X: Values) -> Values:
        """Predict all targets."""


def curve_baselines(prior: WeightPrior | None = None) -> dict[str, Predictor]:
    """Build the baselines of an in-context encoder: ridge and, with a prior, empirical-Bayes ridge.

    Ridge comes twice, with a pooled alpha and with an alpha per target. The prior is that of other voxels.
    """
    baselines: dict[str, Predictor] = {
        "ridge_pooled": Ridge(UNIT_ALPHAS, per_target_alpha=False),
        "ridge_per_target": Ridge(UNIT_ALPHAS),
    }
    return baselines if prior is None else baselines | {"empirical_bayes": EmpiricalBayesRidge(prior)}


def scaling_curve(
    encoders: Mapping[str, Predictor],
    X: Values,
    Y: Values,
    *,
    test: ArrayLike,
    sizes: Sequence[int],
    n_repeats: int = 5,
    prior: WeightPrior | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Score encoders and the baselines of `curve_baselines` after contexts of several sizes.

    The contexts of one size share no image, and every method sees the same ones.

    Parameters
    ----------
    encoders : mapping of name to encoder
        Cloned, not changed.
    X : array (n_images, n_features)
        One row per image (average repeats first).
    Y : array (n_images, n_targets)
    test : array of row numbers, or a mask
        Images to predict; the others are what contexts are drawn from.
    sizes : sequence of int
        Images in a context.
    n_repeats : int
        Contexts of each size.
    prior : WeightPrior, optional
        Adds empirical-Bayes ridge. From other subjects than those of Y.
    seed : int

    Returns
    -------
    DataFrame
        A row per method, size, repeat and target: method, size, repeat, target (column of Y), r, explained_variance.

    Raises
    ------
    BrainalignError
        If shapes do not fit, a name is taken by a baseline, or there are too few images for disjoint contexts.

    References
    ----------
    Yu M, et al. (2025). Meta-learning an in-context transformer model of human higher visual cortex. NeurIPS.
    arXiv:2505.15813
    """
    check_shapes("X", X.shape, Y.shape)
    baselines = curve_baselines(prior)
    taken = sorted(set(encoders) & set(baselines))
    if taken:
        raise BrainalignError(f"encoders named {listed(taken)} are baselines of every curve; choose other names")
    held_out = row_numbers("test", test, len(X))
    pool = np.setdiff1d(np.arange(len(X)), held_out)
    needed = max(sizes) * n_repeats
    if needed > len(pool):
        raise BrainalignError(
            f"{n_repeats} disjoint contexts of {max(sizes)} need {needed} images but {len(pool)} are not in test; "
            "lower sizes or n_repeats"
        )
    rng = np.random.default_rng(seed)
    tables = []
    for size in sizes:
        contexts = rng.permutation(pool)[: size * n_repeats].reshape(n_repeats, size)
        for repeat, context in enumerate(contexts):
            for name, encoder in {**encoders, **baselines}.items():
                fitted = clone(encoder).fit(X[context], Y[context])
                predicted = np.asarray(fitted.predict(X[held_out]))
                scores = {
                    "method": name,
                    "size": size,
                    "repeat": repeat,
                    "target": np.arange(Y.shape[1]),
                    "r": pearson(Y[held_out], predicted),
                    "explained_variance": explained_variance(Y[held_out], predicted),
                }
                tables.append(pd.DataFrame(scores))
    return pd.concat(tables, ignore_index=True)
