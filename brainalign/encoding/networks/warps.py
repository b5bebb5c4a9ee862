"""Affine warps of maps: bilinear, zeros outside, coordinates (x, y) from -1 to 1 at the centres of the corner cells."""

from __future__ import annotations

import torch
from torch.nn.functional import grid_sample

WARPS = {"translation": 2, "rotation": 1, "scale": 2, "shear": 2, "affine": 6}
"""Modes and how many numbers each takes; zeros leave the map where it is."""


def affine_matrix(mode: str, numbers: torch.Tensor) -> torch.Tensor:
    """Return the matrices [A | t] (..., 2, 3) that take a point of the warped map to its point of the original map.

    Parameters
    ----------
    mode : str
        Key of `WARPS`.
    numbers : tensor (..., WARPS[mode])
        translation: t, the *opposite* of the way the map moves. rotation: radians about the centre of the map. scale:
        what is added to the factors of x and y. shear: of x with y, of y with x. affine: what is added to [A | t].
    """
    zero, one = torch.zeros_like(numbers[..., 0]), torch.ones_like(numbers[..., 0])
    first, last = numbers[..., 0], numbers[..., -1]
    if mode == "translation":
        values = [one, zero, first, zero, one, last]
    elif mode == "rotation":
        values = [first.cos(), -first.sin(), zero, first.sin(), first.cos(), zero]
    elif mode == "scale":
        values = [one + first, zero, zero, zero, one + last, zero]
    elif mode == "shear":
        values = [one, first, zero, last, one, zero]
    else:
        values = [
            same + part for same, part in zip([one, zero, zero, zero, one, zero], numbers.unbind(-1), strict=True)
        ]
    return torch.stack(values, dim=-1).reshape(*numbers.shape[:-1], 2, 3)


def warp(maps: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Return maps (n_maps, rows, cols) seen through matrices (n, n_maps, 2, 3), as (n, n_maps, rows, cols).

    As `torch.nn.functional.affine_grid` and `grid_sample` with align_corners=True, but without a copy of each map for
    each matrix.
    """
    rows, cols = maps.shape[1:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols), indexing="ij")
    cells = torch.stack([x.flatten(), y.flatten(), torch.ones(rows * cols)]).to(maps)  # (3, n_cells)
    # One product instead of many small ones.
    points = (matrices.transpose(0, 1).reshape(-1, 3) @ cells).view(len(maps), -1, 2, rows * cols)
    seen = grid_sample(maps[:, None], points.mT, padding_mode="zeros", align_corners=True)
    return seen[:, 0].transpose(0, 1).reshape(-1, len(maps), rows, cols)


def moved_centre(fields: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Compute the shift of the centres of mass of fields by warps, as (x, y).

    Parameters
    ----------
    fields : tensor (n_maps, rows, cols), non-negative
    matrices : tensor (n, n_maps, 2, 3)

    Returns
    -------
    tensor (n, n_maps, 2)
        NaN for an empty field.
    """
    rows, cols = fields.shape[1:]
    share = fields / fields.sum(dim=(1, 2), keepdim=True)
    x = share.sum(dim=1) @ torch.linspace(-1, 1, cols).to(share)
    y = share.sum(dim=2) @ torch.linspace(-1, 1, rows).to(share)
    centres = torch.stack([x, y], dim=-1).expand(*matrices.shape[:-2], 2)
    # Matrices take points of the result to the original; what was at a centre is seen where they take a point to it.
    seen: torch.Tensor = torch.linalg.solve(matrices[..., :2], centres - matrices[..., 2])
    return seen - centres
