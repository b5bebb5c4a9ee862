"""Kernels of the batched regression; the way is chosen from the tensors themselves. See README.md."""

from __future__ import annotations

import torch

from .held_out import HeldOut, Moments, held_out
from .held_out import prediction_moments as _by_partial_fractions

__all__ = ["HeldOut", "apply_alpha", "cross_product", "held_out", "prediction_moments"]


def prediction_moments(fold: HeldOut, coefficients: torch.Tensor, projections: torch.Tensor) -> Moments:
    """Return Σŷ, Σŷ² and Σŷy over held-out rows for every penalty, without storing a prediction.

    Defined by `reference.prediction_moments`.

    Parameters
    ----------
    fold : HeldOut
    coefficients : tensor (rank, n_targets)
        Training targets in the eigenbasis.
    projections : tensor (rank, n_targets)
        basis' · held-out targets.

    Returns
    -------
    three tensors (n_penalties, n_targets)
    """
    return _by_partial_fractions(fold, coefficients, projections)


def cross_product(X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
    """Return X'Y (n_columns, n_targets) of X (n_rows, n_columns) and Y (n_rows, n_targets)."""
    return X.T @ Y


def apply_alpha(
    to_coef: torch.Tensor,
    eigenvalues: torch.Tensor,
    alpha: torch.Tensor,
    coefficients: torch.Tensor,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return (to_coef · (coefficients / (eigenvalues + alpha)))', every target with its own penalty.

    Parameters
    ----------
    to_coef : tensor (n_features, rank)
    eigenvalues : tensor (rank,)
    alpha : tensor (n_targets,)
    coefficients : tensor (rank, n_targets)
    out : tensor (n_targets, n_features), optional
        Where the result goes; one row per target, so that a block of targets is one piece of memory.

    Returns
    -------
    tensor (n_targets, n_features)
    """
    return torch.mm((coefficients / (eigenvalues[:, None] + alpha)).T, to_coef.T, out=out)
