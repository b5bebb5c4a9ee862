"""Scores of every penalty at once: held-out rows in the eigenbasis of the training rows, split by partial fractions.

With f_i(a) = 1 / (d_i + a), predictions Ŷ_a = V · diag(f(a)) · Z and S = V'V, the sum of squares over held-out rows
is Σ_ij f_i f_j S_ij z_i z_j. Because f_i f_j = (f_i − f_j) / (d_j − d_i), one product with C_ij = S_ij / (d_j − d_i)
serves every penalty, where a direct method forms the predictions of each.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .blas import product
from .gpu import served

if TYPE_CHECKING:
    from .score_triton import Forms

Moments = tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]  # Σŷ where asked for, Σŷ², Σŷy

# Pairs of eigenvalues closer than eps ** NEAR (.001 in float32), relative to their sizes plus the smallest penalty, are
# not divided by their difference, which would lose as many digits. Where they are many they are taken as equal, which
# costs .001² / 2 of their term.
NEAR = 0.43
ROWS = 512  # of a square matrix at once, which would else need another one
FEW = 0.02  # share of all pairs up to which near ones are multiplied one by one, which is faster than a matrix of them


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
    diagonal : tensor (rank,)
        S_ii.
    near : tensor (n_near,) or (rank, rank)
        2 S_ij of the other pairs; where they are many, S_ij of those and 0 elsewhere.
    pairs : tensor (2, n_near)
        Which pairs those are, i < j.
    sums : tensor (rank,)
        Column sums of the held-out rows, weighted where rows are.
    forms : Forms, optional
        The same as operands of the GPU kernel, where there is one.
    """

    filters: torch.Tensor
    contrasts: torch.Tensor
    far: torch.Tensor
    diagonal: torch.Tensor
    near: torch.Tensor
    pairs: torch.Tensor
    sums: torch.Tensor
    forms: "Forms | None" = None


def held_out(
    basis: torch.Tensor,
    eigenvalues: torch.Tensor,
    alphas: torch.Tensor,
    dtype: torch.dtype,
    ones: torch.Tensor | None = None,
) -> FoldForm:
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
    ones : tensor (n_rows,), optional
        What stands for 1 in sums over rows: the roots of weights that rows were multiplied by.
    """
    # Differences and filters are of the same numbers, so rounding them moves no score.
    basis, d = basis.to(dtype), eigenvalues.to(dtype)
    filters = 1 / (d.double() + alphas[:, None])
    contrasts = filters - filters[:, -1:]
    sums = basis.sum(dim=0) if ones is None else ones.to(basis) @ basis
    form = product(basis.T, basis)
    diagonal = form.diagonal().clone()
    pairs = _near(d, float(alphas.min()))
    values = form[*pairs]
    for some, own in zip(form.split(ROWS), d.split(ROWS), strict=True):
        some.div_(d - own[:, None])
    far = form.fill_diagonal_(0)
    far[*pairs] = far[*pairs.flip(0)] = 0
    forms = None
    if served(far):
        from . import score_triton  # only where there is a GPU

        near = symmetric(pairs, values, len(d)).double()
        forms = score_triton.forms(far.double(), diagonal.double(), near, filters, contrasts, sums.double())
    few = pairs.shape[1] <= FEW * len(d) ** 2
    near = 2 * values if few else symmetric(pairs, values, len(d))
    return FoldForm(filters.to(dtype), contrasts.to(dtype), far, diagonal, near, pairs, sums, forms)


def _near(eigenvalues: torch.Tensor, smallest_alpha: float) -> torch.Tensor:
    """Return the pairs i < j (2, n_near) of near eigenvalues, which ascend: those near each of them follow it."""
    tolerance = torch.finfo(eigenvalues.dtype).eps ** NEAR
    reach = eigenvalues + tolerance * (eigenvalues + smallest_alpha)
    first = torch.arange(len(reach), device=reach.device)
    count = torch.searchsorted(eigenvalues, reach, right=True) - 1 - first
    i = first.repeat_interleave(count)
    before = (count.cumsum(0) - count)[i]  # pairs of earlier eigenvalues
    return torch.stack([i, i + 1 + torch.arange(len(i), device=reach.device) - before])


def symmetric(pairs: torch.Tensor, values: torch.Tensor, size: int) -> torch.Tensor:
    """Return the symmetric matrix of that size with the values of pairs i < j, and 0 elsewhere."""
    dense = values.new_zeros((size, size))
    dense[*pairs] = dense[*pairs.flip(0)] = values
    return dense


def prediction_moments(
    fold: FoldForm, coefficients: torch.Tensor, projections: torch.Tensor, *, totals: bool = True
) -> Moments:
    """Compute `reference.prediction_moments` from projections = basis' · observed."""
    filters = fold.filters
    crosses = product(filters, coefficients * projections)
    squares = product(filters.square() * fold.diagonal, coefficients.square())
    squares.addmm_(fold.contrasts, product(fold.far, coefficients).mul_(coefficients), alpha=2)
    if fold.near.ndim == 2:
        squares.addmm_(filters.square(), product(fold.near, coefficients).mul_(coefficients))
    else:
        at_once = max(1, filters.shape[1])  # as many products of pairs as there are coefficients
        for (i, j), twice in zip(fold.pairs.split(at_once, dim=1), fold.near.split(at_once), strict=True):
            squares.addmm_(filters[:, i] * filters[:, j] * twice, coefficients[i].mul_(coefficients[j]))
    return (filters * fold.sums) @ coefficients if totals else None, squares, crosses
