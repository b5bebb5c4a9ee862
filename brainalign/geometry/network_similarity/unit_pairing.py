"""Two representations of the same stimuli, checked once for every measure, and correlations of their units."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows, numbers

ROUNDING = 1e-12  # relative; less variation than this is none
BLOCK = 1024  # units in float64 at once


def representation(name: str, values: Values) -> NDArray[np.float64]:
    """Return a representation (n_stimuli, n_units) in float64."""
    exact = numbers(name, values, np.float64)
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
    """Return both representations in float64, columns centred."""
    X, Y = representation("X", X), representation("Y", Y)
    check_rows("X", len(X), "Y", len(Y), "both must represent the same stimuli, in the same order")
    return centred(X), centred(Y)


def rotated_to_fewer(X: Values) -> Values:
    """Return a rotated copy with at most as many columns as stimuli, for measures that ignore rotation."""
    return X if X.shape[1] <= len(X) else np.asarray(np.linalg.qr(X.T, mode="r")).T


def unit_norm(values: Values) -> NDArray[np.float64]:
    """Return columns centred and of norm 1, in float64; zeros where a column is constant."""
    exact = numbers("units", values, np.float64)
    check_finite("units", exact, "leave out the units or stimuli that hold them")
    middle = centred(exact)
    size = np.linalg.norm(middle, axis=0)
    return middle / np.where(size > 0, size, 1)


def correlation_blocks(X: Values, Y: Values, block: int = BLOCK) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
    """Yield Pearson's r of every pair of units, a block at a time: first row, first column, r; 0 where one is constant.

    Of inputs in float32 or on disk only a block is ever held in float64.
    """
    check_rows("X", len(X), "Y", len(Y), "both must represent the same stimuli, in the same order")
    for first in range(0, X.shape[1], block):
        left = unit_norm(X[:, first : first + block])
        for second in range(0, Y.shape[1], block):
            yield first, second, left.T @ unit_norm(Y[:, second : second + block])


def cross_correlations(X: Values, Y: Values, block: int = BLOCK) -> NDArray[np.float64]:
    """Return Pearson's r of every pair of units (p, q), in float64; 0 where a unit is constant."""
    X, Y = numbers("X", X), numbers("Y", Y)
    found = np.empty((X.shape[1], Y.shape[1]))
    for first, second, r in correlation_blocks(X, Y, block):
        found[first : first + len(r), second : second + r.shape[1]] = r
    return found


def pair_correlations(X: Values, Y: Values, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return Pearson's r of unit rows[k] of X with unit columns[k] of Y (n_pairs,); NaN where one is constant."""
    found = np.empty(len(rows))
    for first in range(0, len(rows), BLOCK):
        chunk = slice(first, first + BLOCK)
        left, right = unit_norm(X[:, rows[chunk]]), unit_norm(Y[:, columns[chunk]])
        r = np.einsum("ij,ij->j", left, right)
        found[chunk] = np.where((left != 0).any(axis=0) & (right != 0).any(axis=0), r, np.nan)
    return found
