"""The definition of every kernel, in plain torch: what faster versions must equal."""

import torch


def prediction_moments(
    basis: torch.Tensor, filters: torch.Tensor, coefficients: torch.Tensor, observed: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return Σŷ, Σŷ² and Σŷy over rows, with ŷ = basis · diag(filters[a]) · coefficients for each alpha a.

    R² and Pearson's r follow from these sums and those of `observed`; one alpha's predictions live at a time. Shapes:
    basis (n_rows, rank), filters (n_alphas, rank), coefficients (rank, n_targets), observed (n_rows, n_targets); the
    sums are (n_alphas, n_targets).
    """
    totals, squares, crosses = [], [], []
    for weights in filters:
        predicted = (basis * weights) @ coefficients  # (n_rows, n_targets)
        totals.append(predicted.sum(dim=0))
        squares.append(predicted.square().sum(dim=0))
        crosses.append((predicted * observed).sum(dim=0))
    return torch.stack(totals), torch.stack(squares), torch.stack(crosses)


def cross_product(left: torch.Tensor, right: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
    """Return left' · right, accumulated in float64; `scale` is what one step of an integer is worth."""
    product = left.double().T @ right.double()
    return (product if scale is None else product * scale.double()).to(left.dtype)


def apply_alpha(
    to_coef: torch.Tensor, eigenvalues: torch.Tensor, alpha: torch.Tensor, coefficients: torch.Tensor
) -> torch.Tensor:
    """Return to_coef · (coefficients / (eigenvalues + alpha)), the penalty chosen per target; shapes as in the face."""
    return to_coef @ (coefficients / (eigenvalues[:, None] + alpha)).to(to_coef.dtype)


def correlation_rdms(patterns: torch.Tensor) -> torch.Tensor:
    """Return 1 − Pearson's r between the rows of each matrix: pairs (0, 1), (0, 2), ...; NaN of a constant row."""
    centred = patterns - patterns.mean(dim=2, keepdim=True)
    # Rounding of the mean leaves a constant row slightly off zero, so constancy is asked of the row itself.
    constant = (patterns == patterns[:, :, :1]).all(dim=2, keepdim=True)
    norms = centred.norm(dim=2, keepdim=True).masked_fill(constant, torch.nan)
    centred = centred / norms
    first, second = torch.triu_indices(patterns.shape[1], patterns.shape[1], 1, device=patterns.device)
    return 1 - (centred @ centred.mT)[:, first, second]
