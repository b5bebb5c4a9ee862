"""Held-out predictions of every penalty, as combinations of those of a few filters.

Where held-out rows are few, as when each of many runs is left out, to predict them a few times costs less than to take
all targets to the eigenbasis of every fold's training rows, and there through a product that serves all penalties
(kernels/held_out.py). A few do for all: the filters d / (d + a) of all penalties a, as functions of the eigenvalues d,
are smooth, so their singular values fall fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

# Of all filters together, whose largest values are 1, in units of rounding: 1e-5 in float32. Each of them, and so the
# predictions, are then off by about 1e-6. In float64 that leaves too many to pay.
TOLERANCE = 84
VALUES = 2**18  # predictions of all penalties at once, a megabyte of float32: what caches hold


@dataclass(frozen=True)
class FewFilters:
    """Filters of all penalties as weights · filters.

    Attributes
    ----------
    weights : tensor (n_penalties, n_filters)
    filters : tensor (n_filters, rank)
        What the basis is multiplied by; 1 / (eigenvalue + penalty) are their combinations.
    """

    weights: torch.Tensor
    filters: torch.Tensor

    def mix(self, basis: torch.Tensor) -> torch.Tensor:
        """Return every row of a basis (n_rows, rank) under every filter (n_rows · n_filters, rank)."""
        return (basis[:, None] * self.filters).flatten(0, 1)

    def moments(
        self, predicted: torch.Tensor, observed: torch.Tensor, *, totals: bool, roots: torch.Tensor | None = None
    ) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
        """Return Σŷ where asked for, Σŷ² and Σŷy over rows (n_penalties, n_targets).

        Parameters
        ----------
        predicted : tensor (n_rows · n_filters, n_targets)
            In the order of `mix`.
        observed : tensor (n_rows, n_targets)
        totals : bool
        roots : tensor (n_rows,), optional
            Of the weights that rows were multiplied by; Σŷ is weighted, too.
        """
        weights = self.weights
        each = predicted.view(len(observed), weights.shape[1], -1)
        crosses = weights @ (each * observed[:, None]).sum(dim=0)
        squares = torch.zeros_like(crosses)
        for rows in each.split(max(1, VALUES // squares.numel())):
            squares += torch.matmul(weights, rows).square_().sum(dim=0)
        if not totals:
            return None, squares, crosses
        return (
            weights @ (each.sum(dim=0) if roots is None else torch.einsum("r,rft->ft", roots, each)),
            squares,
            crosses,
        )


def few_filters(
    eigenvalues: torch.Tensor, alphas: torch.Tensor, most: int, dtype: torch.dtype, reach: torch.Tensor
) -> FewFilters | None:
    """Find the few filters whose combinations are those of all penalties; None where more than `most` are needed.

    Parameters
    ----------
    eigenvalues : tensor (rank,), float64
        All above 0.
    alphas : tensor (n_penalties,), float64
    most : int
    dtype : torch.dtype
        Of the result.
    reach : tensor (rank,), float64
        How many times larger held-out rows are than training rows along each axis (root mean squares): what a filter
        is off by there counts so much more, where it is more than once.
    """
    if most < 1 or not len(eigenvalues):
        return None
    shrinkage = eigenvalues / (eigenvalues + alphas[:, None])
    largest = shrinkage.amax(dim=1, keepdim=True)
    weight = reach.clamp(min=1)
    left, singular, right = torch.linalg.svd(shrinkage / largest * weight, full_matrices=False)
    # Left over without the smallest singular values, next to filters whose largest value is 1: at most their norm.
    dropped = singular.square().flip(0).cumsum(0).flip(0).sqrt()
    n_filters = int((dropped > TOLERANCE * torch.finfo(dtype).eps).sum())
    if n_filters > most:
        return None
    weights = (left * singular)[:, :n_filters] * largest
    return FewFilters(weights.to(dtype), (right[:n_filters] / (weight * eigenvalues)).to(dtype))
