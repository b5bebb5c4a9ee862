"""Scores of ridge regression by scikit-learn, in float64: what every way of ours is held against."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score


def cv_scores(
    X: np.ndarray,
    Y: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    alphas: Sequence[float],
    metric: str = "r2",
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return scores (n_alphas, n_targets), averaged over folds."""
    X, Y, scores = X.astype(float), Y.astype(float), np.zeros((len(alphas), Y.shape[1]))
    for a, alpha in enumerate(alphas):
        for train, test in folds:
            of_train, of_test = (None, None) if weights is None else (weights[train], weights[test])
            model = Ridge(alpha=alpha, solver="svd").fit(X[train], Y[train], sample_weight=of_train)
            given = Y[test], model.predict(X[test])
            if metric == "r2":
                scores[a] += r2_score(*given, multioutput="raw_values", sample_weight=of_test) / len(folds)
            else:
                scores[a] += pearsonr(*given).statistic / len(folds)
    return scores
