"""What in-context encoding checks before it computes: unit rows, the width a network knows, contexts long enough."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from brainalign.checks import BrainalignError, check_choice, check_width
from brainalign.regression import Array, MeanScore, as_tensor, same_kind_as
from brainalign.statistics import pearson, r2

MIN_CONTEXT = 3
UNIT_TOLERANCE = 1e-3


def unit_rows(X: Array) -> Array:
    """Return features with each row divided by its length.

    Raises BrainalignError if a row is all zero.
    """
    x = as_tensor(X)
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    if not bool((length > 0).all()):
        raise BrainalignError(
            f"{int((length == 0).sum())} of {len(x)} rows of X are zero and have no direction; drop them"
        )
    return same_kind_as(X)(x / length)


def check_unit_rows(name: str, X: Array) -> None:
    """Raise unless every row is of length 1, as in training."""
    length = torch.linalg.vector_norm(as_tensor(X).double(), dim=1)
    off = (length - 1).abs() > UNIT_TOLERANCE
    if bool(off.any()):
        raise BrainalignError(
            f"{int(off.sum())} of {len(off)} rows of {name} are not of length 1 (first: {float(length[off][0]):.3g}); "
            "pass unit_rows(X)"
        )


def check_features(name: str, X: Array, n_features: int, owner: str) -> None:
    """Raise unless features have two axes and the width that a prior, a checkpoint or a fit knows."""
    check_width(name, X.shape, n_features, f"the {owner} knows", "use the same model, layer and reduction")


def check_context(X: Array, n_features: int) -> None:
    """Raise unless a context has unit rows of the checkpoint's width, at least 3 of them."""
    check_features("X", X, n_features, "checkpoint")
    if len(X) < MIN_CONTEXT:
        raise BrainalignError(
            f"the context has {len(X)} image(s); in-context encoding needs {MIN_CONTEXT} or more: show more images"
        )
    check_unit_rows("X", X)


def check_ranges(
    n_steps: tuple[int, int, int], context_sizes: tuple[int, int], noise_ratio: tuple[float, float]
) -> None:
    """Raise unless the ranges that training draws from make sense."""
    low, high = context_sizes
    if not MIN_CONTEXT <= low <= high:
        raise BrainalignError(f"context_sizes must be {MIN_CONTEXT} <= smallest <= largest; got {low}, {high}")
    quiet, loud = noise_ratio
    if not 0 < quiet <= loud:
        raise BrainalignError(f"noise_ratio must be 0 < smallest <= largest; got {quiet}, {loud}")
    if min(n_steps) < 0 or sum(n_steps[:2]) < 1:
        raise BrainalignError(f"n_steps must be three numbers >= 0, one of the first two > 0; got {tuple(n_steps)}")


METRICS = {"r2": r2, "r": pearson}


class LinearWeights(MeanScore):
    """Predictions and scores of an encoder that is nothing but weights, once it is fitted."""

    coef_: Array
    intercept_: Array
    metric: str = "r2"

    def predict(self, X: Array) -> Array:
        """Return predictions (n_images, n_targets) for features (n_images, n_features), as many as in the fit."""
        check_is_fitted(self, "coef_")
        check_features("X", X, self.coef_.shape[0], "fit")
        coef, intercept = as_tensor(self.coef_), as_tensor(self.intercept_)
        return same_kind_as(X)(as_tensor(X).to(coef) @ coef + intercept)

    def score_targets(self, X: Array, Y: Array) -> Array:
        """Return R² or r (as `metric` says) of each target on the given rows; NaN where it is undefined."""
        check_choice("metric", self.metric, METRICS)
        predicted, measured = (np.asarray(as_tensor(a).cpu()) for a in (self.predict(X), Y))
        return same_kind_as(Y)(as_tensor(METRICS[self.metric](measured, predicted)))
