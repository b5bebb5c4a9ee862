from __future__ import annotations

import math

import pytest
import torch
from scipy import ndimage
from torch.nn.functional import affine_grid, grid_sample

from brainalign.encoding.networks import WARPS, affine_matrix, moved_centre, warp

ROWS, COLS = 7, 9


def delta(row: int, col: int) -> torch.Tensor:
    found = torch.zeros(1, ROWS, COLS)
    found[0, row, col] = 1
    return found


def test_to_move_a_map_by_d_takes_minus_d() -> None:
    """Two columns to the right, one row down; x is the first coordinate, arrays are (rows, cols)."""
    numbers = torch.tensor([-2 * 2 / (COLS - 1), -1 * 2 / (ROWS - 1)])
    matrices = affine_matrix("translation", numbers)[None, None]
    torch.testing.assert_close(warp(delta(2, 3), matrices)[0], delta(3, 5), atol=1e-6, rtol=0)
    shift = moved_centre(delta(2, 3), matrices)[0, 0]
    torch.testing.assert_close(shift, -numbers, atol=1e-6, rtol=0)
    assert not warp(delta(2, COLS - 1), matrices).any()  # out of the grid: zeros come in


def test_a_quarter_turn() -> None:
    square = torch.rand(3, 6, 6)
    turned = warp(square, affine_matrix("rotation", torch.tensor([math.pi / 2])).expand(1, 3, 2, 3))[0]
    torch.testing.assert_close(turned, torch.rot90(square, 1, dims=(1, 2)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("mode", "numbers"), [("scale", (1.0, 0.0)), ("shear", (0.5, 0.0))])
def test_scale_and_shear_are_about_the_centre(mode: str, numbers: tuple[float, ...]) -> None:
    """Factor 2 on x: what was at column 6 of 0 to 8 is seen at column 5. Shear: rows move apart along x."""
    matrices = affine_matrix(mode, torch.tensor(numbers))[None, None]
    if mode == "scale":
        torch.testing.assert_close(warp(delta(2, 6), matrices)[0], delta(2, 5), atol=1e-6, rtol=0)
    else:
        assert warp(delta(0, 4), matrices)[0, 0, 0].argmax() == 6  # y = -1: x + .5 y = 0 at x = .5
        torch.testing.assert_close(warp(delta(3, 4), matrices)[0], delta(3, 4), atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", WARPS)
def test_zeros_leave_maps_where_they_are(mode: str) -> None:
    maps = torch.rand(3, ROWS, COLS)
    found = warp(maps, affine_matrix(mode, torch.zeros(2, 3, WARPS[mode])))
    torch.testing.assert_close(found, maps.expand(2, -1, -1, -1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", WARPS)
def test_equals_torch(mode: str) -> None:
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(3, ROWS, COLS, generator=generator)
    matrices = affine_matrix(mode, 0.4 * torch.randn(4, 3, WARPS[mode], generator=generator))
    points = affine_grid(matrices.flatten(0, 1), [12, 1, ROWS, COLS], align_corners=True)
    copies = maps.repeat(4, 1, 1)[:, None]
    expected = grid_sample(copies, points, padding_mode="zeros", align_corners=True)[:, 0]
    torch.testing.assert_close(warp(maps, matrices).flatten(0, 1), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", WARPS)
def test_shifts_are_those_of_the_centre_of_mass(mode: str) -> None:
    """Against scipy's centre of mass of the warped map, for a small field inside a fine grid."""
    size = 81
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    field = torch.exp(-((x - 0.2).square() + (y + 0.1).square()) / (2 * 0.08**2))[None]
    matrices = affine_matrix(mode, torch.full((1, 1, WARPS[mode]), 0.15))
    row, col = ndimage.center_of_mass(warp(field, matrices)[0, 0].numpy())
    before_row, before_col = ndimage.center_of_mass(field[0].numpy())
    expected = torch.tensor([col - before_col, row - before_row]) * 2 / (size - 1)
    torch.testing.assert_close(moved_centre(field, matrices)[0, 0], expected.float(), atol=2e-3, rtol=0)
