"""Dissimilarities within neighbourhoods: gathered correlations, averaged voxel-wise distances, whitened distances."""

from __future__ import annotations

import numpy as np
import torch

from brainalign.kernels import correlation_rdms


def pair_index(n_conditions: int, device: torch.device) -> torch.Tensor:
    """Return where the pairs of an RDM stand in a flattened square matrix."""
    i, j = torch.triu_indices(n_conditions, n_conditions, 1, device=device)
    places: torch.Tensor = i * n_conditions + j
    return places


def gathered_correlations(
    patterns: torch.Tensor, members: torch.Tensor, pairs: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Return 1 − Pearson's r over the channels of every centre.

    Sparse products for Σx, Σx² and Σxy cost a quarter of the operations, but take four times as long as dense products
    of gathered channels, and lose the digits that a large common offset takes.

    Parameters
    ----------
    patterns : tensor (n_channels, n_conditions), float64
    members : tensor (n_centres, size), int64
    pairs : tensor (n_pairs,)
        From `pair_index`.
    dtype : torch dtype
        Of the products; centring is float64.

    Returns
    -------
    tensor (n_centres, n_pairs)
        NaN for pairs of a constant pattern.
    """
    n_centres, size = members.shape
    n = patterns.shape[1]
    local = patterns.index_select(0, members.reshape(-1)).view(n_centres, size, n)
    mean = torch.bmm(local.new_full((1, 1, size), 1 / size).expand(n_centres, 1, size), local)
    local -= mean
    # On a CPU the product itself holds the norms; elsewhere values are scaled before they are rounded.
    gram = _gram(local) if dtype == torch.float64 and not local.is_cuda else None
    square = local.square().sum(dim=1) if gram is None else gram.diagonal(dim1=1, dim2=2)
    # The rule of `rdm`: what remains of a pattern after centring is rounding.
    constant = square <= 1e-24 * (square + size * mean[:, 0].square())
    scale = square.masked_fill(constant, torch.nan).rsqrt_()
    if gram is None:
        local = local.mul_(scale[:, None]).to(dtype)
        if local.is_cuda:
            return correlation_rdms(local.mT.contiguous().nan_to_num())  # a row of zeros is constant there as well
        gram = torch.bmm(local.mT, local).neg_()
    else:
        gram *= scale[:, :, None]
        gram *= -scale[:, None]
    return gram.view(n_centres, n * n).index_select(1, pairs).add_(1)


def _gram(local: torch.Tensor) -> torch.Tensor:
    """Return X'X of every matrix. numpy sees that both factors are one, and computes half of the product."""
    values = local.numpy()
    return torch.from_numpy(np.matmul(values.transpose(0, 2, 1), values))


def averaged_distances(
    cube: torch.Tensor, weights: torch.Tensor, first: torch.Tensor, second: torch.Tensor
) -> torch.Tensor:
    """Return means over neighbourhoods of distances at single channels: one sparse product for all centres.

    Euclidean distances and crossnobis distances with diagonal noise are sums over channels, so every channel's own
    distances are taken once and no centre repeats them.

    Parameters
    ----------
    cube : tensor (n_runs, n_conditions, n_channels), float64
        One run: squared Euclidean distances; more: products of differences of different runs.
    weights : sparse tensor (n_centres, n_channels)
        1 / size where a channel belongs to a centre. Its dtype is that of the product.
    first, second : tensor (n_pairs,)
        Conditions of every pair.

    Returns
    -------
    tensor (n_centres, n_pairs)
    """
    n_runs = len(cube)
    differences = cube[:, first] - cube[:, second]  # (n_runs, n_pairs, n_channels)
    local = differences.sum(dim=0).square_()
    if n_runs > 1:
        local -= differences.square_().sum(dim=0)
        local /= n_runs * (n_runs - 1)
    return weights @ local.T.to(weights.dtype).contiguous()


def shrunk_correlation(residuals: torch.Tensor, dof: int) -> torch.Tensor:
    """Return noise correlations shrunk towards independence as `noise_covariance` does, for many neighbourhoods.

    Parameters
    ----------
    residuals : tensor (n_centres, n_rows, size)
        Every channel with mean 0 and mean square 1.
    dof : int
        Degrees of freedom of the residuals.

    Returns
    -------
    tensor (n_centres, size, size)

    References
    ----------
    Schäfer J, Strimmer K (2005). A shrinkage approach to large-scale covariance matrix estimation. Statistical
    Applications in Genetics and Molecular Biology 4:32. doi:10.2202/1544-6115.1175
    """
    _, n, size = residuals.shape
    found = torch.bmm(residuals.mT, residuals) / n
    squares = residuals.square()
    # Sums over pairs of different channels, of products of squares and of squared products.
    fourth = squares.sum(dim=2).square().sum(dim=1) - squares.square().sum(dim=(1, 2))
    second = n**2 * (found.square().sum(dim=(1, 2)) - size)
    amount = torch.where(second > 0, n / dof**2 * (fourth * (n - 1) / second - 1), torch.ones_like(second)).clamp(0, 1)
    found *= (1 - amount)[:, None, None]
    found.diagonal(dim1=1, dim2=2).add_(amount[:, None])
    return found


def whitened_distances(
    cube: torch.Tensor, residuals: torch.Tensor, dof: int, members: torch.Tensor, pairs: torch.Tensor
) -> torch.Tensor:
    """Return distances whitened by the noise of each neighbourhood: a Cholesky factor per centre, no inverse.

    Parameters
    ----------
    cube : tensor (n_channels, n_runs, n_conditions), float64
        In units of each channel's noise; one run: Mahalanobis, more: crossnobis.
    residuals : tensor (n_rows, n_channels), float64
        Every channel with mean 0 and mean square 1.
    dof : int
        Degrees of freedom of the residuals.
    members : tensor (n_centres, size), int64
    pairs : tensor (n_pairs,)

    Returns
    -------
    tensor (n_centres, n_pairs)
    """
    n_centres, size = members.shape
    _, n_runs, n = cube.shape
    flat = members.reshape(-1)
    noise = residuals.index_select(1, flat).view(-1, n_centres, size).transpose(0, 1)
    factor = torch.linalg.cholesky(shrunk_correlation(noise, dof))
    local = cube.index_select(0, flat).view(n_centres, size, n_runs * n)
    local = torch.linalg.solve_triangular(factor, local, upper=False).view(n_centres, size, n_runs, n)
    total = local.sum(dim=2)
    gram = torch.bmm(total.mT, total)
    if n_runs > 1:
        runs = local.transpose(1, 2).reshape(n_centres * n_runs, size, n)
        within = torch.bmm(runs.mT, runs).view(n_centres, n_runs, n, n).sum(dim=1)
        gram = (gram - within) / (n_runs * (n_runs - 1))
    own = gram.diagonal(dim1=1, dim2=2)
    i, j = pairs // n, pairs % n
    return (own[:, i] + own[:, j] - 2 * gram.view(n_centres, n * n)[:, pairs]) / size
