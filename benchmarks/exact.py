"""The float64 reference: scikit-learn's Ridge for every fold and penalty, and how far a fit lies from it.

scikit-learn's RidgeCV is no peer: one penalty per target it has for leave-one-out only, which is another score. Its
Ridge takes one penalty per column, so a target repeated once per penalty gives all of them from one SVD per fold.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from peers import Fit
from worlds import N_FOLDS, Data

Array = NDArray[Any]


@dataclass(frozen=True)
class Distance:
    """How far a fit is from the reference, on some of the targets.

    Attributes
    ----------
    score : float
        Largest |ΔR²| / (1 + |R²|) over penalties (candidates) and targets.
    lost : float
        Largest reference score that the chosen penalty gives away.
    coefficients : float
        Largest relative error (norms) of a target's coefficients at the penalty the fit chose.
    same : float
        Share of targets with exactly the penalty of the reference.
    """

    score: float
    lost: float
    coefficients: float
    same: float

    @property
    def good(self) -> bool:
        """Return whether the fit meets the criteria of exactness."""
        return self.score < 1e-5 and self.lost < 1e-5 and self.coefficients < 1e-4


def scores(X: Array, Y: Array, alphas: Array) -> Array:
    """Return R² averaged over folds (n_alphas, n_targets)."""
    total = np.zeros(len(alphas) * Y.shape[1])
    for train, test in KFold(N_FOLDS).split(X):
        model = Ridge(alpha=np.repeat(alphas, Y.shape[1]), solver="svd").fit(X[train], np.tile(Y[train], len(alphas)))
        total += r2_score(np.tile(Y[test], len(alphas)), model.predict(X[test]), multioutput="raw_values")
    return total.reshape(len(alphas), -1) / N_FOLDS


def distance(data: Data, fit: Fit, n_targets: int = 64) -> Distance:
    """Compare a fit with scikit-learn in float64 on evenly spread targets."""
    columns = np.unique(np.linspace(0, data.Y.shape[1] - 1, n_targets).astype(int))
    X, Y = data.X.astype(np.float64), data.Y[:, columns].astype(np.float64)
    alpha, coef = fit.alpha[columns].astype(np.float64), fit.coef[:, columns]
    width = X.shape[1] // data.candidates.shape[1]
    scales = np.repeat(np.sqrt(data.candidates), width, axis=1)  # (n_candidates, n_features)
    grid = np.stack([scores(X * scale, Y, data.alphas) for scale in scales])  # (n_candidates, n_alphas, n_targets)
    picked = np.zeros(len(columns), dtype=int)
    expected = grid[0]
    if fit.deltas is not None:
        gaps = np.abs(data.candidates[:, :, None] - fit.deltas[:, columns]).max(axis=1)
        picked, expected = gaps.argmin(axis=0), grid.max(axis=1)
    row = np.abs(np.log(data.alphas[:, None] / alpha)).argmin(axis=0)
    best, chosen = grid.max(axis=(0, 1)), grid[picked, row, np.arange(len(columns))]
    error = 0.0
    for candidate in np.unique(picked):
        own = picked == candidate
        exact = Ridge(alpha=data.alphas[row[own]], solver="svd").fit(X * scales[candidate], Y[:, own]).coef_.T
        exact = exact.reshape(X.shape[1], -1) * scales[candidate][:, None]
        error = max(error, float((norms(coef[:, own] - exact) / norms(exact)).max()))
    off = np.nan if fit.scores is None else np.abs(fit.scores[:, columns] - expected) / (1 + np.abs(expected))
    return Distance(float(np.max(off)), float((best - chosen).max()), error, float((best == chosen).mean()))


def norms(columns: Array) -> Array:
    """Return the norm of each column."""
    return np.asarray(np.sqrt(np.square(columns).sum(axis=0)))
