"""Any regressor with scikit-learn's interface as an encoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.features import find_function
from brainalign.regression import MeanScore, layout
from brainalign.statistics import r2


@dataclass(eq=False, repr=False)
class EstimatorEncoder(MeanScore, BaseEstimator):  # type: ignore[misc]
    """A regressor of scikit-learn, or anything with its `fit` and `predict`, as an encoder.

    Parameters
    ----------
    estimator : str
        "module:name" or "path/to/file.py:name" of its class, or of a function that returns one: its code is run.
    options : mapping, optional
        Keyword arguments of the class or function.
    cv : int
        Inner folds of whole groups, for the score that layers are chosen by.
    device : {"cpu"}

    Attributes
    ----------
    estimator_ : regressor
        Fitted to all rows; one per target where it can fit no more than one.
    cv_scores_ : array (1, n_targets)
        R² on inner folds, averaged over them.

    Examples
    --------
    >>> lasso = EstimatorEncoder("sklearn.linear_model:Lasso", {"alpha": 0.1})
    >>> X, Y = np.random.default_rng(0).normal(size=(2, 60, 3))
    >>> lasso.fit(X, X).predict(X).shape
    (60, 3)
    """

    metric = "r2"

    estimator: str
    options: Mapping[str, Any] | None = None
    cv: int = 5
    device: str = "cpu"

    def fit(
        self,
        X: Values,
        Y: Values,
        *,
        groups: NDArray[Any] | None = None,
        grid: object = None,
        roi: object = None,
        semantics: object = None,
    ) -> Self:
        """Fit the regressor to all targets, and score it on inner folds.

        Parameters
        ----------
        X : array (n_rows, n_features)
        Y : array (n_rows, n_targets)
        groups : array (n_rows,), optional
            Labels that inner folds keep together.
        grid, roi, semantics
            Not used: of other encoders.
        """
        X, Y = np.asarray(X), np.asarray(Y)
        if Y.ndim != 2:
            raise BrainalignError(f"Y has shape {Y.shape}; give (n_rows, n_targets), one target as Y[:, None]")
        check_rows("X", len(X), "Y", len(Y), "call features.align_to(responses)")
        inner, rows = layout(len(X), self.cv, groups), np.arange(len(X))
        scores: list[Values] = []
        for where in inner.tests:  # as of ridge
            test = np.sort(rows[where] if inner.order is None else inner.order[where])
            found = self._fitted(np.delete(X, test, axis=0), np.delete(Y, test, axis=0)).predict(X[test])
            scores.append(r2(Y[test], np.reshape(found, Y[test].shape)))
        n_defined = np.isfinite(scores).sum(axis=0)  # a target may be constant in a fold
        self.cv_scores_ = (np.nan_to_num(scores).sum(axis=0) / np.where(n_defined > 0, n_defined, np.nan))[None]
        self.estimator_ = self._fitted(X, Y)
        self.n_targets_ = Y.shape[1]
        return self

    def predict(self, X: Values) -> Values:
        """Predict all targets: array (n_rows, n_targets)."""
        check_is_fitted(self, "estimator_")
        return np.reshape(self.estimator_.predict(X), (len(X), self.n_targets_))

    def score_targets(self, X: Values, Y: Values) -> Values:
        """Compute R² of each target (n_targets,) on the given rows; NaN for a constant target."""
        return r2(Y, self.predict(X))

    def _fitted(self, X: Values, Y: Values) -> Any:
        from sklearn.multioutput import MultiOutputRegressor
        from sklearn.utils import get_tags

        make, _ = find_function(self.estimator)
        try:
            made = make(**(self.options or {}))
        except TypeError as error:
            raise BrainalignError(
                f"{self.estimator}: {error}; correct its options {dict(self.options or {})}"
            ) from None
        if not (hasattr(made, "fit") and hasattr(made, "predict")):
            raise BrainalignError(
                f"{self.estimator} makes a {type(made).__name__} without fit and predict; name a regressor"
            )
        single = isinstance(made, BaseEstimator) and not get_tags(made).target_tags.multi_output
        made = MultiOutputRegressor(made) if single else made
        made.fit(X, Y)  # what it returns may be nothing
        return made
