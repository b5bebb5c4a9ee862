"""Ridge regression on a space that is learned from the training rows: sparse codes, or what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from brainalign.checks import check_choice
from brainalign.encoding.inputs import Array
from brainalign.encoding.ridge import ALPHAS, Ridge
from brainalign.features import SPACES

__all__ = ["DictionaryRidge"]

TOTAL_VARIANCE = 1000.0  # of the codes, as of every standardised layer: penalties then mean the same


class DictionaryRidge(BaseEstimator):  # type: ignore[misc]
    """Learn a space from the features of the training rows, then regress responses on it.

    Parameters
    ----------
    space : {"topk", "matching_pursuit", "pca", "random"}
        Sparse codes of two kinds; principal components and rectified random projections, which sparse codes have to
        beat at the same width.
    width : int
        Atoms, components or projections; of components as many as there can be, where those are fewer.
    n_active : int
        Atoms that may explain an image; sparse codes only.
    epochs : int
        Of training a dictionary.
    seed : int
        Of its start, or of the projections.
    alphas, cv, metric, per_target_alpha, device, dtype
        Of `Ridge`.

    Attributes
    ----------
    space_ : Space
    ridge_ : Ridge
    alpha_, cv_scores_
        Of `ridge_`.
    """

    def __init__(
        self,
        space: Literal["topk", "matching_pursuit", "pca", "random"] = "topk",
        width: int = 256,
        n_active: int = 8,
        epochs: int = 100,
        seed: int = 0,
        alphas: Sequence[float] = ALPHAS,
        cv: int | Literal["groups"] = 5,
        metric: Literal["r2", "r"] = "r2",
        per_target_alpha: bool = True,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None:
        self.space = space
        self.width = width
        self.n_active = n_active
        self.epochs = epochs
        self.seed = seed
        self.alphas = alphas
        self.cv = cv
        self.metric = metric
        self.per_target_alpha = per_target_alpha
        self.device = device
        self.dtype = dtype

    def fit(
        self,
        X: Array,
        Y: Array,
        *,
        groups: Array | None = None,
        grid: tuple[int, int] | None = None,
        roi: Array | None = None,
        semantics: Array | None = None,
    ) -> DictionaryRidge:
        """Learn the space from all rows of X (n_rows, n_features), then fit `Ridge` to Y (n_rows, n_targets).

        Inner folds share the space: it never sees responses.

        Raises
        ------
        BrainalignError
            If the space is unknown or cannot be learned, or as `Ridge.fit`.
        """
        check_choice("space", self.space, SPACES)
        values = np.asarray(X)
        width = min(self.width, len(values) - 1, values.shape[-1]) if self.space == "pca" else self.width
        self.space_ = SPACES[self.space](width, self.n_active, self.epochs, self.seed)
        self.space_.fit(values, rows=np.arange(len(values)))
        codes = self.space_.transform(values)
        variance = float(codes.var(axis=0, dtype=np.float64).sum())
        self.factor_ = np.sqrt(TOTAL_VARIANCE / variance) if variance else 1.0
        options = ("alphas", "cv", "metric", "per_target_alpha", "device", "dtype")
        self.ridge_ = Ridge(**{name: getattr(self, name) for name in options})
        self.ridge_.fit(self._scaled(codes), np.asarray(Y), groups=groups, grid=grid, roi=roi, semantics=semantics)
        self.alpha_, self.cv_scores_ = self.ridge_.alpha_, self.ridge_.cv_scores_
        return self

    def predict(self, X: Array) -> NDArray[np.floating[Any]]:
        """Return predictions (n_rows, n_targets) for features (n_rows, n_features)."""
        check_is_fitted(self, "ridge_")
        return np.asarray(self.ridge_.predict(self._scaled(self.space_.transform(np.asarray(X)))))

    def _scaled(self, codes: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        return np.asarray(codes * self.factor_, dtype=np.float32)
