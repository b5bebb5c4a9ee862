"""Scores of every penalty at once: held-out rows in the eigenbasis of the training rows, split by partial fractions.

With f_i(a) = 1 / (d_i + a), predictions Ŷ_a = V · diag(f(a)) · Z and S = V'V, the sum of squares over held-out rows
is Σ_ij f_i f_j S_ij z_i z_j. Because f_i f_j = (f_i − f_j) / (d_j − d_i), one product with C_ij = S_ij / (d_j − d_i)
serves every penalty, where a direct method forms the predictions of each.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .gpu import served

if TYPE_CHECKING:
    from .score_triton import Forms

__all__ = ["FoldForm", "Moments", "held_out", "prediction_moments"]

Moments = tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]  # Σŷ where asked for, Σŷ², Σŷy

# Pairs of eigenvalues closer than eps ** NEAR (.001 in float32), relative to their sizes plus the smallest penalty, are
# not divided by their difference, which would lose as many digits; taking them as equal costs .001² / 2 of their term.
NEAR = 0.43
SPARSE = 0.05  # share of near pairs up to which a sparse product is faster than a dense one


@dataclass(frozen=True)
class FoldForm:
    """What scoring needs of a fold's held-out rows, whatever the target.

    Attributes
    ----------
    filters : tensor (n_penalties, rank)
        1 / (eigenvalue + penalty).
    contrasts : tensor (n_penalties, rank)
        Filters minus that of the largest eigenvalue. `far` is antisymmetric, so a constant adds nothing to its
        quadratic form; taking this one out keeps the digits where the penalty is far above the spectrum.
    far : tensor (rank, rank)
        S_ij / (d_j − d_i) for pairs of distant eigenvalues, 0 elsewhere.
    near : tensor (rank, rank)
        S_ij for the other pairs, sparse (CSR) where they are few.
    sums : tensor (rank,)
        Column sums of the held-out rows.
    forms : Forms, optional
        The same as operands of the GPU kernel, where there is one.
    """

    filters: torch.Tensor
    contrasts: torch.Tensor
    far: torch.Tensor
    near: torch.Tensor
    sums: torch.Tensor
    forms: Forms | None = None


def held_out(basis: torch.Tensor, eigenvalues: torch.Tensor, alphas: torch.Tensor, dtype: torch.dtype) -> FoldForm:
    """Prepare a fold for `prediction_moments`.

    Parameters
    ----------
    basis : tensor (n_rows, rank)
        Held-out rows in the eigenbasis of the training rows.
    eigenvalues : tensor (rank,), float64
        Ascending.
    alphas : tensor (n_penalties,), float64
    dtype : torch.dtype
        Of the result, and of the coefficients to come.
    """
    form = (basis.T @ basis).double()
    difference = eigenvalues - eigenvalues[:, None]
    size = torch.minimum(eigenvalues, eigenvalues[:, None]) + alphas.min()
    near = difference.abs() <= torch.finfo(dtype).eps ** NEAR * size
    far = torch.where(near, 0.0, form / torch.where(near, 1.0, difference))
    close = torch.where(near, form, 0.0)
    filters = 1 / (eigenvalues + alphas[:, None])
    contrasts = filters - filters[:, -1:]
    sums = basis.sum(dim=0)
    forms = None
    if served(far.new_empty(0, dtype=dtype)):
        from . import score_triton  # only where there is a GPU

        forms = score_triton.forms(far, close, filters, contrasts, sums.double())
    far, close = far.to(dtype), close.to(dtype)
    if float(near.double().mean()) <= SPARSE:
        with warnings.catch_warnings():  # "sparse CSR is in beta": products with it are tested here
            warnings.simplefilter("ignore", UserWarning)
            close = close.to_sparse_csr()
    return FoldForm(filters.to(dtype), contrasts.to(dtype), far, close, sums.to(dtype), forms)


def prediction_moments(
    fold: FoldForm, coefficients: torch.Tensor, projections: torch.Tensor, *, totals: bool = True
) -> Moments:
    """Return what `reference.prediction_moments` defines, from projections = basis' · observed."""
    crosses = fold.filters @ (coefficients * projections)
    squares = fold.filters.square() @ (fold.near @ coefficients).mul_(coefficients)
    squares.addmm_(fold.contrasts, (fold.far @ coefficients).mul_(coefficients), alpha=2)
    return (fold.filters * fold.sums) @ coefficients if totals else None, squares, crosses
