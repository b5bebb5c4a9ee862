"""Kernels of the batched regression; the way is chosen from the tensors themselves. See README.md."""

from __future__ import annotations

import torch

from . import reference, small_rank

__all__ = ["prediction_moments"]

Moments = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def prediction_moments(
    basis: torch.Tensor, filters: torch.Tensor, coefficients: torch.Tensor, observed: torch.Tensor
) -> Moments:
    """Return Σŷ, Σŷ² and Σŷy of the predictions of every alpha, without storing the predictions.

    Defined by `reference.prediction_moments`; computed by the quadratic form of `small_rank` where the basis is
    narrower than about twice its rows, which a design with few distinct stimuli always is.

    Parameters
    ----------
    basis : tensor (n_rows, rank)
        Held-out rows in the eigenbasis of the training rows.
    filters : tensor (n_alphas, rank)
        1 / (eigenvalue + alpha).
    coefficients : tensor (rank, n_targets)
    observed : tensor (n_rows, n_targets)

    Returns
    -------
    three tensors (n_alphas, n_targets)
    """
    n_rows, rank = basis.shape
    if rank + 1 <= 2 * n_rows and rank <= small_rank.MAX_RANK:
        return small_rank.prediction_moments(basis, filters, coefficients, observed)
    return reference.prediction_moments(basis, filters, coefficients, observed)
