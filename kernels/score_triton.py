"""The scores of every penalty on a GPU: the product C·Z is reduced to squares on chip and never reaches memory.

One program holds a tile of C·Z, multiplies it by Z and by the filters of its rows, and writes what the tile adds to the
squares of every penalty. Tiles are added after, in a fixed order, so results repeat. See README.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from .gram_triton import configurations, fitting
from .split_triton import DEPTH, Parts, one_config, operand, powers, split, tile_product, up, uses_descriptors

__all__ = ["Forms", "forms", "prediction_moments"]

BLOCK_M = 128  # targets
CHUNK = 32768  # targets at a time: bounds the memory of their parts


@dataclass(frozen=True)
class Forms:
    """The quadratic forms of a fold as operands of the matrix units; rank and penalties are padded with zeros.

    Attributes
    ----------
    matrices : Parts
        Rows of `far`, then rows of `near` without its diagonal; columns divided by `balance`.
    weights : Parts
        What each row of the two products, times its coefficient, adds to the squares of each penalty: for each penalty
        and tile a column of `block` rows.
    linear : tensor (3 * padded_penalties, padded_rank)
        Weights of z w, z and z² in crosses, totals and squares (the diagonal of `near`).
    tiles : tensor (n_tiles, 3), int32
        First row of a tile of `matrices` and the range of columns to multiply: near pairs lie around the diagonal.
    balance : tensor (rank,)
        Powers of two close to 1 / sqrt(S_ii): coefficients times this are of one magnitude over components.
    block : int
        Rows of a tile.
    """

    matrices: Parts
    weights: Parts
    linear: torch.Tensor
    tiles: torch.Tensor
    balance: torch.Tensor
    block: int


def forms(
    far: torch.Tensor,
    near: torch.Tensor,
    filters: torch.Tensor,
    contrasts: torch.Tensor,
    sums: torch.Tensor,
    precision: str = "fp16x3",
    block: int | None = None,
) -> Forms:
    """Prepare a fold's dense matrices, all float64 and on one device, once for all targets."""
    rank, n_penalties = far.shape[0], filters.shape[0]
    if block is None:
        block = 256 if rank > 512 else 128
    padded, group = up(rank, block), penalties_at_once(n_penalties)
    diagonal = near.diagonal()
    size = torch.where(diagonal > 0, diagonal, 1.0).sqrt()
    balance = torch.ldexp(torch.ones_like(size), -torch.frexp(size).exponent)
    around = near - torch.diag(diagonal)
    stacked = torch.zeros((2 * padded, rank), dtype=torch.float32, device=far.device)
    stacked[:rank], stacked[padded : padded + rank] = far, around
    matrices = split(stacked.T, block, weights=(1 / balance).float(), depth=block, precision=precision)

    weights = far.new_zeros((up(n_penalties, group), 2 * padded))
    weights[:n_penalties, :rank] = 2 * contrasts / balance
    weights[:n_penalties, padded : padded + rank] = filters.square() / balance
    weights *= matrices.scales
    by_tile = split(weights.float().reshape(-1, block).T, 1)
    linear = far.new_zeros((3, up(n_penalties, group), up(rank, DEPTH)))
    for part, rows in zip(linear, (filters, filters * sums, filters.square() * diagonal), strict=True):
        part[:n_penalties, :rank] = rows
    tiles = _tiles(around, padded, block).to(far.device)
    return Forms(matrices, by_tile, linear.flatten(0, 1).float(), tiles, balance.float(), block)


def _tiles(around: torch.Tensor, padded: int, block: int) -> torch.Tensor:
    """List tiles and their columns, those of `far` (all columns) first: the long ones start early."""
    rows = [(row, 0, up(around.shape[0], DEPTH)) for row in range(0, padded, block)]
    some = (around != 0).cpu()
    for row in range(0, around.shape[0], block):
        columns = some[row : row + block].any(dim=0).nonzero()
        if len(columns):
            first, last = int(columns[0]), int(columns[-1])
            rows.append((padded + row, first // DEPTH * DEPTH, up(last + 1, DEPTH)))
    return torch.tensor(rows, dtype=torch.int32)


def penalties_at_once(n_penalties: int) -> int:
    """Return how many penalties a program holds: matrix units take multiples of 16, registers about 64."""
    return min(64, max(16, 1 << (n_penalties - 1).bit_length()))


def prediction_moments(
    form: Forms,
    n_penalties: int,
    coefficients: torch.Tensor,
    projections: torch.Tensor,
    *,
    promote: bool = False,
    descriptors: bool | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (totals, squares, crosses), each (n_penalties, n_targets), for float32 coefficients and projections."""
    shape = (n_penalties, coefficients.shape[1])
    totals, squares, crosses = (coefficients.new_empty(shape) for _ in range(3))
    for start in range(0, coefficients.shape[1], CHUNK):
        columns = slice(start, start + CHUNK)
        _chunk(
            form,
            coefficients[:, columns],
            projections[:, columns],
            (totals[:, columns], squares[:, columns], crosses[:, columns]),
            promote=promote,
            descriptors=uses_descriptors(coefficients) if descriptors is None else descriptors,
        )
    return totals, squares, crosses


def _chunk(
    form: Forms,
    coefficients: torch.Tensor,
    projections: torch.Tensor,
    results: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    *,
    promote: bool,
    descriptors: bool,
) -> None:
    totals, squares, crosses = results
    (rank, n_targets), n_penalties = coefficients.shape, len(totals)
    group, n_tiles = penalties_at_once(n_penalties), len(form.tiles)
    partial = coefficients.new_empty((n_tiles + 1, n_penalties, n_targets))
    largest = coefficients.new_empty(n_targets)
    _linear[lambda meta: (triton.cdiv(n_targets, meta["BLOCK_T"]), triton.cdiv(n_penalties, group))](
        coefficients, projections, form.balance, form.linear, largest, totals, partial, crosses,
        rank, n_targets, n_penalties, coefficients.stride(0), coefficients.stride(1),
        projections.stride(0), projections.stride(1), totals.stride(0), crosses.stride(0),
        form.linear.shape[0] // 3, form.linear.shape[1], GROUP=group,
    )  # fmt: skip
    dtypes = {torch.float16: "fp16x3", torch.float32: "tf32x3"}
    precision = dtypes[form.matrices.values.dtype]
    z = split(coefficients, BLOCK_M, weights=form.balance, largest=largest, depth=form.block, precision=precision)
    _squares[(n_tiles * triton.cdiv(n_targets, BLOCK_M),)](
        operand(z, BLOCK_M, descriptors), operand(form.matrices, form.block, descriptors), z.values, z.scales,
        form.weights.values, form.weights.scales, form.tiles, partial, n_tiles, z.padded, form.matrices.padded,
        form.weights.padded, z.values.shape[1], n_targets, n_penalties, GROUP=group,
        BLOCK_M=BLOCK_M, BLOCK_N=form.block, DESCRIPTORS=descriptors, PROMOTE=promote,
        BYTES=z.values.element_size(),
    )  # fmt: skip
    squares.copy_(partial.sum(dim=0))


LINEAR = [
    triton.Config({"BLOCK_T": t, "BLOCK_K": 32}, num_stages=s, num_warps=w)
    for t, s, w in [(64, 3, 4), (64, 2, 8), (128, 2, 8)]
]


@triton.autotune(configs=one_config(LINEAR), key=["depth", "GROUP"])
@triton.jit
def _linear(
    coefficients, projections, balance, weights, largest, totals, squares, crosses,
    rank, n_targets, n_penalties, z_row, z_column, w_row, w_column, totals_row, crosses_row, padded, depth,
    GROUP: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Sum what needs no product with a form: crosses, totals and the diagonal, and find the largest coefficients."""
    columns = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)
    penalties = tl.program_id(1) * GROUP + tl.arange(0, GROUP)
    cross = tl.zeros([BLOCK_T, GROUP], tl.float32)
    total = tl.zeros([BLOCK_T, GROUP], tl.float32)
    square = tl.zeros([BLOCK_T, GROUP], tl.float32)
    maximum = tl.zeros([BLOCK_K, BLOCK_T], tl.float32)
    at = columns.to(tl.int64)[None, :]
    for start in range(0, depth, BLOCK_K):
        rows = start + tl.arange(0, BLOCK_K)
        inside = (rows < rank)[:, None] & (columns < n_targets)[None, :]
        z = tl.load(coefficients + rows.to(tl.int64)[:, None] * z_row + at * z_column, mask=inside, other=0.0)
        w = tl.load(projections + rows.to(tl.int64)[:, None] * w_row + at * w_column, mask=inside, other=0.0)
        scaled = z * tl.load(balance + rows, mask=rows < rank, other=0.0)[:, None]
        maximum = tl.maximum(maximum, tl.abs(scaled))
        filters = weights + penalties[None, :] * depth + rows[:, None]
        cross = tl.dot(tl.trans(z * w), tl.load(filters), cross, input_precision="tf32x3")
        total = tl.dot(tl.trans(z), tl.load(filters + padded * depth), total, input_precision="tf32x3")
        square = tl.dot(tl.trans(z * z), tl.load(filters + 2 * padded * depth), square, input_precision="tf32x3")
    inside = (columns < n_targets)[:, None] & (penalties < n_penalties)[None, :]
    at = penalties.to(tl.int64)[None, :]
    tl.store(crosses + at * crosses_row + columns[:, None], cross, mask=inside)
    tl.store(totals + at * totals_row + columns[:, None], total, mask=inside)
    tl.store(squares + at * n_targets + columns[:, None], square, mask=inside)
    tl.store(largest + columns, tl.max(maximum, axis=0), mask=(columns < n_targets) & (tl.program_id(1) == 0))


@triton.autotune(
    configs=configurations(),
    key=["depth", "GROUP", "BLOCK_N", "PROMOTE", "BYTES"],
    prune_configs_by={"early_config_prune": fitting},
)
@triton.jit
def _squares(
    left, right, coefficients, scales, weights, weight_scales, tiles, partial, n_tiles,
    left_padded, right_padded, weights_padded, depth, n_targets, n_penalties,
    GROUP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    DESCRIPTORS: tl.constexpr, PROMOTE: tl.constexpr, BYTES: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0) % n_tiles  # tiles of the same targets run together and share them in cache
    first = (tl.program_id(0) // n_tiles) * BLOCK_M
    row = tl.load(tiles + 3 * tile)
    start, stop = tl.load(tiles + 3 * tile + 1), tl.load(tiles + 3 * tile + 2)
    product = tile_product(
        left, right, first, row, start, stop, left_padded, right_padded, depth,
        BLOCK_M, BLOCK_N, BLOCK_K, DESCRIPTORS, PROMOTE,
    )  # fmt: skip
    targets, rows = first + tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_N)
    # The coefficients themselves, from their parts. Offsets within a tile fit in 32 bits, and leave registers free.
    high = coefficients + first.to(tl.int64) * depth + row % depth
    offsets = tl.arange(0, BLOCK_M)[:, None] * depth + rows[None, :]
    z = tl.load(high + offsets).to(tl.float32)
    z += tl.load(high + left_padded.to(tl.int64) * depth + offsets).to(tl.float32)
    product = product * z
    scale, inverse = powers(tl.max(tl.abs(product), axis=1))
    product = product * inverse[:, None]
    hi = product.to(tl.float16)
    lo = (product - hi.to(tl.float32)).to(tl.float16)
    amplitude = tl.load(scales + targets, mask=targets < n_targets, other=0.0)
    for group in tl.range(0, n_penalties, GROUP, num_stages=1):
        penalties = group + tl.arange(0, GROUP)
        at = penalties * (2 * depth // BLOCK_N) + row // BLOCK_N
        weight = weights + at[None, :] * BLOCK_N + rows[:, None]
        weight_hi = tl.load(weight)
        square = tl.dot(lo, weight_hi)
        square = tl.dot(hi, tl.load(weight + weights_padded * BLOCK_N), square)
        square = tl.dot(hi, weight_hi, square)
        square = (
            square * tl.load(weight_scales + at)[None, :] * scale[:, None] * amplitude[:, None] * amplitude[:, None]
        )
        slot = (tile + 1).to(tl.int64) * n_penalties + penalties
        written = (targets < n_targets)[:, None] & (penalties < n_penalties)[None, :]
        tl.store(partial + slot[None, :] * n_targets + targets[:, None], square, mask=written)
