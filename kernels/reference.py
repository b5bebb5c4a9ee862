"""The definition of every kernel, in plain torch: what faster versions must equal."""

from __future__ import annotations

import torch

__all__ = ["prediction_moments"]


def prediction_moments(
    basis: torch.Tensor, filters: torch.Tensor, coefficients: torch.Tensor, observed: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return Σŷ, Σŷ² and Σŷy over rows, with ŷ = basis · diag(filters[a]) · coefficients for each alpha a.

    R² and Pearson's r follow from these sums and those of `observed`; one alpha's predictions live at a time.

    Parameters
    ----------
    basis : tensor (n_rows, rank)
    filters : tensor (n_alphas, rank)
    coefficients : tensor (rank, n_targets)
    observed : tensor (n_rows, n_targets)

    Returns
    -------
    three tensors (n_alphas, n_targets)
    """
    totals, squares, crosses = [], [], []
    for weights in filters:
        predicted = (basis * weights) @ coefficients  # (n_rows, n_targets)
        totals.append(predicted.sum(dim=0))
        squares.append(predicted.square().sum(dim=0))
        crosses.append((predicted * observed).sum(dim=0))
    return torch.stack(totals), torch.stack(squares), torch.stack(crosses)
