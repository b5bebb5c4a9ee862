"""Scores of predictions, one per target. Score within a fold, then average: never on concatenated folds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError

__all__ = ["explained_variance", "normalized_r2", "pearson", "r2", "signed_r2"]

Values = NDArray[np.floating[Any]]


def _same_shape(a: Values, b: Values) -> None:
    if a.shape != b.shape:
        raise BrainalignError(f"measured and predicted differ in shape: {a.shape} and {b.shape}")


def pearson(a: Values, b: Values, axis: int = 0) -> Values:
    """Return Pearson's r along `axis`, in float64; NaN where either side is constant.

    Parameters
    ----------
    a, b : array of the same shape

    Raises
    ------
    BrainalignError
        If the shapes differ.
    """
    _same_shape(a, b)
    a = np.asarray(a, dtype=np.float64)
    b = np.asarray(b, dtype=np.float64)
    a = a - a.mean(axis=axis, keepdims=True)
    b = b - b.mean(axis=axis, keepdims=True)
    scale = np.sqrt(np.square(a).sum(axis=axis) * np.square(b).sum(axis=axis))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((a * b).sum(axis=axis) / scale)


def signed_r2(r: Values) -> Values:
    """Return r·|r|: a share of variance that keeps the sign."""
    return np.asarray(r * np.abs(r))


def r2(measured: Values, predicted: Values, axis: int = 0) -> Values:
    """Return the coefficient of determination 1 − Σ(y − ŷ)² / Σ(y − ȳ)² along `axis`; NaN for a constant y.

    Raises
    ------
    BrainalignError
        If the shapes differ.
    """
    _same_shape(measured, predicted)
    measured = np.asarray(measured, dtype=np.float64)
    residual = np.square(measured - predicted).sum(axis=axis)
    return _one_minus_ratio(residual, np.square(measured - measured.mean(axis=axis, keepdims=True)).sum(axis=axis))


def explained_variance(measured: Values, predicted: Values, axis: int = 0) -> Values:
    """Return 1 − Var(y − ŷ) / Var(y) along `axis`: as R², but blind to a constant offset.

    Raises
    ------
    BrainalignError
        If the shapes differ.
    """
    _same_shape(measured, predicted)
    measured = np.asarray(measured, dtype=np.float64)
    return _one_minus_ratio((measured - predicted).var(axis=axis), measured.var(axis=axis))


def _one_minus_ratio(part: Values, whole: Values) -> Values:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - part / np.where(whole > 0, whole, np.nan))


def normalized_r2(r: Values, ceiling: Values) -> Values:
    """Return r·|r| / ceiling, never clipped; NaN where the ceiling is not positive.

    Parameters
    ----------
    r : array (n_targets,)
    ceiling : array (n_targets,)
        Share of the variance of the *scored* responses that repeats: a variance, not a correlation.
    """
    return np.asarray(signed_r2(r) / np.where(ceiling > 0, ceiling, np.nan))
