"""Rows that count more than others.

Weighted least squares are plain ones of rows times the roots of their weights, in which those roots stand where a
column of ones was: means, and what centring takes away, go by them.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from brainalign.checks import BrainalignError, check_rows
from brainalign.regression.inputs import Array, as_array


def row_weights(weights: Array | float | None, n_rows: int) -> tuple[torch.Tensor | None, float]:
    """Return the weights (n_rows,) in float64 over a power of four, and that power; None and 1 without weights.

    Parameters
    ----------
    weights : array (n_rows,) or float, optional
    n_rows : int

    Raises
    ------
    BrainalignError
        If they are not one number >= 0 per row, or none is above 0.
    """
    if weights is None:
        return None, 1.0
    given = weights.cpu() if isinstance(weights, torch.Tensor) else as_array("sample_weight", weights)
    values = np.asarray(given, dtype=np.float64)
    values = np.broadcast_to(values, n_rows) if values.ndim == 0 else values
    if values.ndim != 1:
        raise BrainalignError(f"sample_weight has shape {values.shape}; give one number per row")
    check_rows("sample_weight", len(values), "X", n_rows, "give one number per row")
    if not (np.isfinite(values) & (values >= 0)).all() or not values.any():
        raise BrainalignError("sample_weight must be finite and >= 0, and above 0 for some rows")
    unit = 4.0 ** (math.frexp(values.max())[1] // 2)
    return torch.as_tensor(values / unit), unit


def weighed(rows: torch.Tensor, roots: torch.Tensor | None) -> torch.Tensor:
    """Return rows (n_rows, n_columns) times the roots of their weights, or as they are without."""
    return rows if roots is None else rows * roots.to(rows)[:, None]


def less_mean(rows: torch.Tensor, mean: torch.Tensor, roots: torch.Tensor | None) -> torch.Tensor:
    """Return weighed rows (n_rows, n_columns) less a mean (n_columns,), which is weighed as they are."""
    return rows - mean if roots is None else rows - roots.to(rows)[:, None] * mean
