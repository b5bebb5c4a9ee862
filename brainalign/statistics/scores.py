"""Scores of predictions, one per target. Score within a fold, then average: never on concatenated folds."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values, real_values
from brainalign.checks import BrainalignError

ROUNDING = 1e-12  # relative; what varies less is constant: centring leaves about 1e-16 of a column of .1
FLAT = 1e-6  # of the spread of responses: sums of float32 differ by some 1e-7 of them with the number of threads
BLOCK = 2**21  # values whose float64 copies are held at once

Score = TypeVar("Score", bound=Callable[..., Values])


def _in_blocks(score: Score) -> Score:
    """Let a function of columns see some at a time: what it makes of them in float64 would be many times as large."""
    named_as = signature(score)

    @wraps(score)
    def blockwise(*given: Any, **named: Any) -> Values:
        bound = named_as.bind(*given, **named)
        bound.apply_defaults()
        *sides, axis = bound.args
        if any(np.ma.is_masked(one) for one in sides):
            raise BrainalignError("some values are masked; drop their rows, or fill them with NaN")
        a, b = (real_values("the values", one) for one in sides)  # of tables var() is another
        width = BLOCK // max(1, len(a)) if axis == 0 and a.ndim == 2 and a.shape == b.shape else 0
        if not 0 < width < a.shape[-1]:
            return score(a, b, axis)
        blocks = [slice(first, first + width) for first in range(0, a.shape[1], width)]
        return np.concatenate([score(a[:, block], b[:, block]) for block in blocks], axis=-1)

    return cast(Score, blockwise)


def _same_shape(a: Values, b: Values) -> None:
    if a.shape != b.shape:
        raise BrainalignError(f"measured and predicted differ in shape: {a.shape} and {b.shape}")


def is_constant(deviations: Values, squares: Values) -> NDArray[np.bool_]:
    """Return where values differ by no more than rounding; False where they are NaN.

    Deviations are sums, or means, of squared differences from the mean; squares those of the values themselves.
    """
    return np.asarray(deviations <= ROUNDING**2 * squares)


@_in_blocks
def pearson(a: Values, b: Values, axis: int = 0) -> Values:
    """Return Pearson's r of arrays of the same shape along `axis`, in float64; NaN where either side is constant."""
    _same_shape(a, b)
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    centred, sums, constant = [], [], np.asarray(False)
    for values in (a, b):
        mean = values.mean(axis=axis, keepdims=True)
        centred.append(values - mean)
        sums.append(np.square(centred[-1]).sum(axis=axis))
        # The squares of the values are those around the mean and those of the mean: no second pass.
        constant = constant | is_constant(sums[-1], sums[-1] + values.shape[axis] * np.square(mean.squeeze(axis)))
    scale = np.sqrt(sums[0] * sums[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((centred[0] * centred[1]).sum(axis=axis) / np.where(constant, np.nan, scale))


@_in_blocks
def without_rounding(predicted: Values, measured: Values, axis: int = 0) -> Values:
    """Replace predictions (of the shape measured) that differ by no more than rounding by their mean.

    An encoder that can say nothing of some stimuli predicts one value for all, to the rounding of its sums. r has no
    scale and would be computed of that rounding. Predictions that vary less than `FLAT` of the responses are constant.
    """
    _same_shape(predicted, measured)
    spread, scale = (np.std(values, axis=axis, keepdims=True, dtype=np.float64) for values in (predicted, measured))
    flat = spread < FLAT * scale
    if not flat.any():
        return predicted
    return np.where(flat, predicted.mean(axis=axis, keepdims=True), predicted)


def signed_r2(r: Values) -> Values:
    """Return r·|r|: a share of variance that keeps the sign."""
    return np.asarray(r * np.abs(r))


@_in_blocks
def r2(measured: Values, predicted: Values, axis: int = 0) -> Values:
    """Return the coefficient of determination 1 − Σ(y − ŷ)² / Σ(y − ȳ)² along `axis`; NaN for a constant y."""
    _same_shape(measured, predicted)
    measured = np.asarray(measured, dtype=np.float64)
    return _one_minus_ratio(np.square(measured - predicted).mean(axis=axis), measured, axis)


@_in_blocks
def explained_variance(measured: Values, predicted: Values, axis: int = 0) -> Values:
    """Return 1 − Var(y − ŷ) / Var(y) along `axis`: as R², but blind to a constant offset."""
    _same_shape(measured, predicted)
    measured = np.asarray(measured, dtype=np.float64)
    return _one_minus_ratio((measured - predicted).var(axis=axis), measured, axis)


def _one_minus_ratio(part: Values, measured: Values, axis: int) -> Values:
    """Return 1 - part / variance of the measured; NaN where they do not vary."""
    whole = measured.var(axis=axis)
    constant = is_constant(whole, whole + np.square(measured.mean(axis=axis)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - part / np.where(constant, np.nan, whole))


def normalized_r2(r: Values, ceiling: Values) -> Values:
    """Return r·|r| / ceiling, never clipped; NaN where the ceiling is not positive.

    The ceiling is the share of the variance of the *scored* responses that repeats: a variance, not a correlation.
    """
    return np.asarray(signed_r2(r) / np.where(np.asarray(ceiling) > 0, ceiling, np.nan))
