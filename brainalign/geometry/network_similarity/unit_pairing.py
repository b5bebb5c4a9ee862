"""Two representations of the same stimuli, checked once for every measure that compares them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows

ROUNDING = 1e-12  # relative; less variation than this is none


def representation(name: str, values: Values) -> NDArray[np.float64]:
    """Return a representation (n_stimuli, n_units) in float64.

    Raises
    ------
    BrainalignError
        If it is not two-dimensional, has no unit, or holds NaN.
    """
    exact = np.asarray(values, dtype=np.float64)
    if exact.ndim != 2 or not exact.shape[1]:
        raise BrainalignError(
            f"{name} has shape {exact.shape}; give (n_stimuli, n_units): average or flatten the places of maps first"
        )
    check_finite(name, exact, "drop the units or stimuli that hold them")
    return exact


def centred(values: Values) -> NDArray[np.float64]:
    """Return columns without their mean; exact zeros where a column is constant."""
    middle = np.asarray(values - values.mean(axis=0), dtype=np.float64)
    size = np.sqrt(np.einsum("ij,ij->j", middle, middle))
    middle[:, size <= ROUNDING * np.linalg.norm(values, axis=0)] = 0
    return middle


def centred_pair(X: Values, Y: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both representations in float64, columns centred.

    Raises
    ------
    BrainalignError
        If their rows are not the same number of stimuli, or a value is not finite.
    """
    X, Y = representation("X", X), representation("Y", Y)
    check_rows("X", len(X), "Y", len(Y), "both must represent the same stimuli, in the same order")
    return centred(X), centred(Y)


def rotated_to_fewer(X: Values) -> Values:
    """Return a rotated copy with at most as many columns as stimuli, for measures that ignore rotation."""
    return X if X.shape[1] <= len(X) else np.asarray(np.linalg.qr(X.T, mode="r")).T
