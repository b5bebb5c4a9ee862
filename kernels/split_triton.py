"""Float32 products on the matrix units: operands are written once as sums of two float16 numbers.

Numbers are scaled by a power of two to a largest magnitude in [2^13, 2^14) and split into two parts, whose products the
matrix units form exactly. The parts hold 22 bits of every number within 2^-16 of the largest that shares its scale,
with an absolute error of 2^-39 of the largest below that; hi·hi + hi·lo + lo·hi then err like float32 products. Parts
lie column by column (the contracted dimension is contiguous), padded with zeros, so the product needs no masks.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

BLOCK = 128  # tiles of results are square; two float32 accumulators of this size fill the registers of a processor
DEPTH = 64  # terms of a step: they share a scale, and are added outside the matrix units, which truncate what they add
RESOURCES = {"num_warps": 8, "num_stages": 3}  # of a product; a stage is 64 KB of shared memory


@dataclass(frozen=True)
class Parts:
    """A matrix (n_rows, n_columns) as two parts of its scaled columns, padded with zeros to multiples of BLOCK.

    Attributes
    ----------
    values : tensor (2 * padded_columns, padded_rows), float16
        Part p of column c lies in row p * padded_columns + c.
    scales : tensor (padded_rows / DEPTH or 1, padded_columns), float32
        Powers of two: DEPTH rows of a column, or all of it, are scale times the sum of their parts.
    """

    values: torch.Tensor
    scales: torch.Tensor

    @property
    def padded(self) -> int:
        """Rows of `values` per part."""
        return self.scales.shape[1]


def up(size: int, multiple: int) -> int:
    """Return the next multiple."""
    return -(-size // multiple) * multiple


def operand(parts: Parts) -> TensorDescriptor:
    """Build the tensor descriptor that `tile_product` loads from."""
    return TensorDescriptor.from_tensor(parts.values, [BLOCK, DEPTH])


def split(
    matrix: torch.Tensor,
    *,
    whole: bool = False,
    weights: torch.Tensor | None = None,
    eigenvalues: torch.Tensor | None = None,
    alpha: torch.Tensor | None = None,
) -> Parts:
    """Split the columns of a matrix, multiplied by a weight per row or divided by eigenvalue plus alpha on the way.

    `whole`: one scale per column, which takes a pass to find, and a matrix that is multiplied by nothing on the way.
    """
    n_rows, n_columns = matrix.shape
    prologue = 1 if weights is not None else 2 if eigenvalues is not None else 0
    by_row = weights if weights is not None else eigenvalues if eigenvalues is not None else matrix
    by_column = alpha if alpha is not None else matrix
    padded, depth = up(n_columns, BLOCK), up(n_rows, BLOCK)
    values = torch.empty((2 * padded, depth), dtype=torch.float16, device=matrix.device)
    scales = torch.empty((1 if whole else depth // DEPTH, padded), dtype=torch.float32, device=matrix.device)
    largest = torch.linalg.vector_norm(matrix, torch.inf, dim=0) if whole else scales
    _split[(padded // 64, depth // DEPTH)](
        matrix, by_row, by_column, largest, values, scales, n_rows, n_columns, *matrix.stride(), padded, depth,
        WHOLE=whole, PROLOGUE=prologue, ROWS=DEPTH, COLUMNS=64,
    )  # fmt: skip
    return Parts(values, scales)


@triton.jit
def _split(
    matrix, by_row, by_column, largest, values, scales, n_rows, n_columns, stride_row, stride_column, padded, depth,
    WHOLE: tl.constexpr, PROLOGUE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    step = tl.program_id(1)
    rows = step * ROWS + tl.arange(0, ROWS)
    inside = (rows < n_rows)[:, None] & (columns < n_columns)[None, :]
    offsets = rows.to(tl.int64)[:, None] * stride_row + columns.to(tl.int64)[None, :] * stride_column
    value = tl.load(matrix + offsets, mask=inside, other=0).to(tl.float32)
    if PROLOGUE == 1:
        value = value * tl.load(by_row + rows, mask=rows < n_rows, other=0.0)[:, None]
    if PROLOGUE == 2:
        eigenvalue = tl.load(by_row + rows, mask=rows < n_rows, other=1.0)
        alpha = tl.load(by_column + columns, mask=columns < n_columns, other=1.0)
        value = tl.where(inside, tl.div_rn(value, eigenvalue[:, None] + alpha[None, :]), 0.0)
    if WHOLE:
        magnitude = tl.load(largest + columns, mask=columns < n_columns, other=0.0)
        tl.store(scales + columns, powers(magnitude)[0], mask=step == 0)
    else:
        magnitude = tl.max(tl.abs(value), axis=0)
        tl.store(scales + step.to(tl.int64) * padded + columns, powers(magnitude)[0])
    hi, lo = halves(tl.trans(value * powers(magnitude)[1][None, :]))
    target = values + columns.to(tl.int64)[:, None] * depth + rows[None, :]
    tl.store(target, hi)
    tl.store(target + padded.to(tl.int64) * depth, lo)


@triton.jit
def powers(largest):
    """Return the power of two that brings a magnitude down from [2^13, 2^14), and its inverse."""
    # The exponent alone, kept where both are normal numbers.
    bits = largest.to(tl.int32, bitcast=True) & 0x7F800000
    bits = tl.minimum(tl.maximum(bits, 24 << 23), 230 << 23)
    scale = (bits - (13 << 23)).to(tl.float32, bitcast=True)
    inverse = ((254 << 23) - bits + (13 << 23)).to(tl.float32, bitcast=True)
    return scale, inverse


@triton.jit
def halves(value):
    """Return two float16 numbers whose sum is a scaled float32 one to 22 bits."""
    hi = value.to(tl.float16)
    return hi, (value - hi.to(tl.float32)).to(tl.float16)


@triton.jit
def tile_product(
    left, right, left_scales, row, column, start, stop, left_padded, right_padded,
    BLOCK: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Return the square tile at (row, column) of left' · right, contracted from start to stop.

    left has a scale per step, applied where its terms join the others; the columns of right have one each.
    """
    total = tl.zeros([BLOCK, BLOCK], tl.float32)
    scale_of = left_scales + row + tl.arange(0, BLOCK)
    for k in tl.range(start, stop, DEPTH):
        scale = tl.load(scale_of + tl.cast(k // DEPTH, tl.int64) * left_padded)
        a0 = left.load([row, k])
        a1 = left.load([left_padded + row, k])
        b0 = right.load([column, k])
        b1 = right.load([right_padded + column, k])
        # Small terms first, the large product last.
        part = tl.dot(a0, b1.T)
        part = tl.dot(a1, b0.T, part)
        part = tl.dot(a0, b0.T, part)
        total += part * scale[:, None]
    return total
