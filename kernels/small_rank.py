"""All alphas at once when the rank is small: sums of squares as a quadratic form of the coefficients.

Σ_rows ŷ² = Σ_ij f_i f_j (B'B)_ij z_i z_j, so one product of an (n_alphas, rank²/2) matrix with the pairwise products of
the coefficients replaces a pass over the predictions of each alpha.
"""

from __future__ import annotations

import torch

__all__ = ["MAX_RANK", "prediction_moments"]

MAX_RANK = 32  # 528 products per target; beyond it the products outweigh the predictions they replace


def prediction_moments(
    basis: torch.Tensor, filters: torch.Tensor, coefficients: torch.Tensor, observed: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what `reference.prediction_moments` defines."""
    rank = basis.shape[1]
    i, j = torch.triu_indices(rank, rank, device=basis.device)
    pairs = coefficients[i] * coefficients[j]  # (n_pairs, n_targets)
    multiplicity = torch.where(i == j, 1.0, 2.0).to(basis.dtype)
    forms = filters[:, i] * filters[:, j] * ((basis.T @ basis)[i, j] * multiplicity)  # (n_alphas, n_pairs)
    totals = (filters * basis.sum(dim=0)) @ coefficients
    crosses = filters @ (coefficients * (basis.T @ observed))
    return totals, forms @ pairs, crosses
