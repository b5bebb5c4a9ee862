"""What changes one image most: right-singular vectors of the Jacobian of its estimate by the middle block's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from brainalign.synthesis.directions.bottleneck import Trajectories, denoised_at

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline

FIRST_ITERATIONS, ITERATIONS = 10, 4  # of a step that starts from random vectors, and from those of the step before
STEP = 1e-3  # of central differences, relative to the length of what is moved


def jacobian_directions(pipe: BrainGuidedPipeline, recorded: Trajectories, image: int, n_directions: int) -> Tensor:
    """Return the top right-singular vectors of dx̂0 / dh_t of one image at every step, times their singular values.

    Parameters
    ----------
    pipe : BrainGuidedPipeline
    recorded : Trajectories
    image : int
        Its number among the seeds.
    n_directions : int

    Returns
    -------
    Tensor (n_directions, n_steps, channels, rows, columns)
        A direction goes on from one step to the next as the vector most like it, with its sign.
    """
    from scipy.optimize import linear_sum_assignment

    draws = torch.Generator().manual_seed(0)
    start = torch.randn((n_directions, *recorded.bottleneck.shape[2:]), generator=draws).to(recorded.bottleneck)
    steps: list[Tensor] = []
    iterations = FIRST_ITERATIONS
    for step in range(len(recorded.timesteps)):
        h = recorded.bottleneck[step, image]

        def clean(moved: Tensor, step: int = step) -> Tensor:
            return denoised_at(pipe, recorded, step, [image] * len(moved), moved)

        vectors, values = singular_vectors(clean, h, start, iterations)
        if steps:
            before = steps[-1].flatten(1)
            alike = vectors.flatten(1) @ (before / before.norm(dim=1, keepdim=True).clamp_min(1e-12)).T
            _, mine = linear_sum_assignment(-alike.abs().T.cpu().numpy())
            order = torch.as_tensor(mine, device=vectors.device)
            sign = torch.where(alike[order, torch.arange(len(order))] < 0, -1.0, 1.0)
            vectors, values = vectors[order] * sign[:, None, None, None], values[order]
        steps.append(vectors * values[:, None, None, None])
        start, iterations = vectors, ITERATIONS
    return torch.stack(steps, dim=1)


def singular_vectors(
    function: Callable[[Tensor], Tensor], h: Tensor, start: Tensor, n_iterations: int
) -> tuple[Tensor, Tensor]:
    """Return top right-singular vectors of a function's Jacobian at h, by subspace iteration.

    J v comes from central differences and Jᵀ u from a backward pass: attention has no forward-mode derivative.

    Parameters
    ----------
    function : callable
        Of a batch (n, ...), row by row.
    h : Tensor (...)
    start : Tensor (n_vectors, ...)
    n_iterations : int

    Returns
    -------
    vectors : Tensor (n_vectors, ...)
        Orthonormal.
    values : Tensor (n_vectors,)
        Descending.
    """
    n = len(start)
    point = h.detach().expand(n, *h.shape)
    size = STEP * max(float(h.norm()), 1e-6)
    vectors = _orthonormal(start.flatten(1))
    for _ in range(n_iterations):
        pushed = _pushed(function, point, vectors, size)
        moved = point.clone().requires_grad_(True)
        with torch.enable_grad():
            (pulled,) = torch.autograd.grad((function(moved).flatten(1) * pushed).sum(), moved)
        vectors = _orthonormal(pulled.flatten(1))
    # Within the space found, the singular vectors themselves.
    pushed = _pushed(function, point, vectors, size)
    rotation, values, _ = torch.linalg.svd(pushed, full_matrices=False)
    return (rotation.T @ vectors).reshape(start.shape), values


def _pushed(function: Callable[[Tensor], Tensor], point: Tensor, vectors: Tensor, size: float) -> Tensor:
    step = size * vectors.reshape(point.shape)
    with torch.no_grad():
        return (function(point + step) - function(point - step)).flatten(1) / (2 * size)


def _orthonormal(rows: Tensor) -> Tensor:
    basis: Tensor = torch.linalg.qr(rows.T)[0]
    return basis.T
