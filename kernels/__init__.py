"""Kernels of the batched regression; the way is chosen from the tensors themselves. See README.md."""

import torch

from . import reference
from .blas import eigh, lower_gram, product
from .gpu import served
from .held_out import FoldForm, Moments, held_out
from .held_out import prediction_moments as _by_partial_fractions

__all__ = [
    "FoldForm", "apply_alpha", "correlation_rdms", "cross_product", "eigh", "held_out", "lower_gram",
    "prediction_moments", "product",
]  # fmt: skip


def prediction_moments(
    fold: FoldForm, coefficients: torch.Tensor, projections: torch.Tensor, *, totals: bool = True
) -> Moments:
    """Return Σŷ, Σŷ² and Σŷy over held-out rows for every penalty, without storing a prediction.

    Defined by `reference.prediction_moments`.

    Parameters
    ----------
    fold : FoldForm
    coefficients : tensor (rank, n_targets), dtype of the fold
        Training targets in the eigenbasis.
    projections : tensor (rank, n_targets), dtype of the fold
        basis' · held-out targets.
    totals : bool
        Whether Σŷ is needed: for Pearson's r it is, for R² of targets with the mean of the training rows taken out not.

    Returns
    -------
    three tensors (n_penalties, n_targets), the first None without totals
    """
    if fold.forms is not None and served(coefficients, projections):
        from . import score_triton

        return score_triton.prediction_moments(fold.forms, len(fold.filters), coefficients, projections, totals=totals)
    return _by_partial_fractions(fold, coefficients, projections, totals=totals)


def cross_product(left: torch.Tensor, right: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
    """Return left' · right at the precision of left; on a GPU float32 runs on the matrix units without losing digits.

    Defined by `reference.cross_product`.

    Parameters
    ----------
    left : tensor (n_rows, n_features), float32 or float64
    right : tensor (n_rows, n_targets), dtype of left or int16
    scale : tensor (n_targets,), optional
        What one step of an integer is worth, for each column of right.

    Returns
    -------
    tensor (n_features, n_targets), dtype of left
    """
    if left.dtype == torch.float32 and len(left) and served(left, right):
        from . import gram_triton

        return gram_triton.cross_product(left, right, scale)
    found = product(left.T, right.to(left.dtype))
    return found if scale is None else found.mul_(scale)


def apply_alpha(
    to_coef: torch.Tensor,
    eigenvalues: torch.Tensor,
    alpha: torch.Tensor,
    coefficients: torch.Tensor,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return to_coef · (coefficients / (eigenvalues + alpha)), the penalty chosen per target.

    Defined by `reference.apply_alpha`.

    Parameters
    ----------
    to_coef : tensor (n_features, rank)
    eigenvalues : tensor (rank,)
    alpha : tensor (n_targets,)
    coefficients : tensor (rank, n_targets), dtype of to_coef
    out : tensor (n_features, n_targets), optional
        Where the result goes, on any device.

    Returns
    -------
    tensor (n_features, n_targets), dtype of to_coef
    """
    if served(to_coef, coefficients):
        from . import gram_triton

        found = gram_triton.apply_alpha(to_coef, eigenvalues, alpha, coefficients)
    elif out is not None and out.device == to_coef.device:  # straight into place
        return product((coefficients / (eigenvalues[:, None] + alpha)).T, to_coef.T, out=out.T).T
    else:
        found = reference.apply_alpha(to_coef, eigenvalues, alpha, coefficients)
    return found if out is None else out.copy_(found)


def correlation_rdms(patterns: torch.Tensor) -> torch.Tensor:
    """Return 1 − Pearson's r between the rows of each matrix; pairs of a constant row are NaN.

    Defined by `reference.correlation_rdms`.

    Parameters
    ----------
    patterns : tensor (batch, n_rows, n_channels), float32 or float64

    Returns
    -------
    tensor (batch, n_rows * (n_rows - 1) / 2), dtype of patterns
        Pairs (0, 1), (0, 2), ..., (1, 2), ...
    """
    if patterns.dtype == torch.float32 and served(patterns):
        from . import rdm_triton

        return rdm_triton.correlation_rdms(patterns)
    return reference.correlation_rdms(patterns)
