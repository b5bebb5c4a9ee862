"""Float32 products on the matrix units: operands are written once as sums of two narrow numbers.

A column is scaled by a power of two to a largest magnitude in [2^13, 2^14) and split into parts the matrix units read,
whose products they form exactly. Two float16 parts hold 22 bits of every number within 2^-16 of the largest of its
column, with an absolute error of 2^-39 of the largest below that; hi·hi + hi·lo + lo·hi then err like float32 products.
Parts lie column by column (the contracted dimension is contiguous) and are padded with zeros, so the product itself
needs no masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

__all__ = ["PRECISIONS", "Parts", "operand", "powers", "split", "tile_product"]

# Both hold 22 bits in two parts and cost three products; float16 ones run at twice the rate and half the bytes.
PRECISIONS = {"fp16x3": torch.float16, "tf32x3": torch.float32}
N_PARTS = 2
INTERPRETED = bool(triton.knobs.runtime.interpret)
DEPTH = 64  # the contracted dimension is padded to a multiple


@dataclass(frozen=True)
class Parts:
    """A matrix (n_rows, n_columns) as parts of its scaled columns.

    Attributes
    ----------
    values : tensor (2 * padded_columns, padded_rows)
        Part p of column c lies in row p * padded_columns + c.
    scales : tensor (n_columns,), float32
        Powers of two: column = scale times the sum of its parts.
    """

    values: torch.Tensor
    scales: torch.Tensor

    @property
    def padded(self) -> int:
        """Rows of `values` per part."""
        return self.values.shape[0] // N_PARTS


def up(size: int, multiple: int) -> int:
    """Return the next multiple."""
    return -(-size // multiple) * multiple


def one_config(configs: list[triton.Config]) -> list[triton.Config]:
    """Return only the first where nothing can be timed, in the interpreter."""
    return configs[:1] if INTERPRETED else configs


def uses_descriptors(values: torch.Tensor) -> bool:
    """Say whether the card copies tiles in bulk (compute capability 9 on)."""
    return not INTERPRETED and torch.version.hip is None and torch.cuda.get_device_capability(values.device)[0] >= 9


def operand(parts: Parts, block: int, descriptors: bool) -> torch.Tensor | TensorDescriptor:
    """Return what `tile_product` loads from; the depth of its block is set by the configuration."""
    return TensorDescriptor.from_tensor(parts.values, [block, DEPTH]) if descriptors else parts.values


def split(
    matrix: torch.Tensor,
    block: int,
    *,
    weights: torch.Tensor | None = None,
    eigenvalues: torch.Tensor | None = None,
    alpha: torch.Tensor | None = None,
    largest: torch.Tensor | None = None,
    depth: int = DEPTH,
    precision: str = "fp16x3",
) -> Parts:
    """Split the columns of a matrix, multiplied by a weight per row or divided by eigenvalue plus alpha on the way.

    Parameters
    ----------
    matrix : tensor (n_rows, n_columns), float32 or int16, any strides
    block : int
        Columns are padded to a multiple of it.
    weights : tensor (n_rows,), float32, optional
    eigenvalues, alpha : tensors (n_rows,) and (n_columns,), float32, optional
    largest : tensor (n_columns,), float32, optional
        Largest magnitude of each column after that, where the caller knows it.
    depth : int
        Rows are padded to a multiple of it, itself a multiple of DEPTH.
    precision : a key of PRECISIONS
    """
    dtype = PRECISIONS[precision]
    n_rows, n_columns = matrix.shape
    prologue = 1 if weights is not None else 2 if eigenvalues is not None else 0
    by_row = weights if weights is not None else eigenvalues if eigenvalues is not None else matrix
    by_column = alpha if alpha is not None else matrix
    padded = up(n_columns, block)
    values = torch.empty((N_PARTS * padded, up(n_rows, depth)), dtype=dtype, device=matrix.device)
    scales = torch.empty(n_columns, dtype=torch.float32, device=matrix.device)
    rows, columns = (64, 64) if n_rows > 1 else (16, 64)
    arguments = (matrix, by_row, by_column, n_rows, n_columns, matrix.stride(0), matrix.stride(1))
    if largest is None:
        # Many rows and few columns would leave most of the card idle: rows are shared out, their maxima joined after.
        shares = max(1, min(triton.cdiv(n_rows, 256), 64))
        maxima = torch.empty((shares, n_columns), dtype=torch.float32, device=matrix.device)
        grid = (triton.cdiv(n_columns, columns), shares)
        _largest[grid](*arguments, maxima, shares, prologue, rows, columns)
        largest = maxima.amax(dim=0)
    grid = (triton.cdiv(padded, columns), triton.cdiv(values.shape[1], rows))
    half = dtype == torch.float16
    _split[grid](*arguments, largest, values, scales, padded, values.shape[1], prologue, half, rows, columns)
    return Parts(values, scales)


@triton.jit
def _tile(
    matrix, by_row, by_column, n_rows, n_columns, stride_row, stride_column, rows, columns, PROLOGUE: tl.constexpr
):
    """Load (rows, columns) as float32, zero outside."""
    inside = (rows < n_rows)[:, None] & (columns < n_columns)[None, :]
    offsets = rows.to(tl.int64)[:, None] * stride_row + columns.to(tl.int64)[None, :] * stride_column
    value = tl.load(matrix + offsets, mask=inside, other=0).to(tl.float32)
    if PROLOGUE == 1:
        value = value * tl.load(by_row + rows, mask=rows < n_rows, other=0.0)[:, None]
    if PROLOGUE == 2:
        eigenvalue = tl.load(by_row + rows, mask=rows < n_rows, other=1.0)
        alpha = tl.load(by_column + columns, mask=columns < n_columns, other=1.0)
        value = tl.where(inside, tl.div_rn(value, eigenvalue[:, None] + alpha[None, :]), 0.0)
    return value


@triton.jit
def _largest(
    matrix, by_row, by_column, n_rows, n_columns, stride_row, stride_column,
    maxima, shares, PROLOGUE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    share = tl.program_id(1)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    largest = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(share * ROWS, n_rows, shares * ROWS):
        rows = start + tl.arange(0, ROWS)
        value = _tile(matrix, by_row, by_column, n_rows, n_columns, stride_row, stride_column, rows, columns, PROLOGUE)
        largest = tl.maximum(largest, tl.abs(value))
    offsets = share.to(tl.int64) * n_columns + columns
    tl.store(maxima + offsets, tl.max(largest, axis=0), mask=columns < n_columns)


@triton.jit
def _split(
    matrix, by_row, by_column, n_rows, n_columns, stride_row, stride_column,
    largest, values, scales, padded, depth,
    PROLOGUE: tl.constexpr, HALF: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    inside = columns < n_columns
    scale, inverse = powers(tl.load(largest + columns, mask=inside, other=1.0))
    tl.store(scales + columns, scale, mask=inside & (tl.program_id(1) == 0))
    value = _tile(matrix, by_row, by_column, n_rows, n_columns, stride_row, stride_column, rows, columns, PROLOGUE)
    rest = tl.trans(value) * inverse[:, None]
    offsets = columns.to(tl.int64)[:, None] * depth + rows[None, :]
    written = (columns < padded)[:, None] & (rows < depth)[None, :]
    for part in tl.static_range(2):
        if HALF:
            piece = rest.to(tl.float16)
        else:
            # Matrix units drop the last 13 bits of a float32: round to what they keep.
            piece = ((rest.to(tl.int32, bitcast=True) + 0x1000) & -8192).to(tl.float32, bitcast=True)
        tl.store(values + part * padded.to(tl.int64) * depth + offsets, piece, mask=written)
        rest = rest - piece.to(tl.float32)


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
def _part(
    source, part, row, column, padded, depth, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DESCRIPTORS: tl.constexpr
):
    """Load a tile of one part."""
    if DESCRIPTORS:
        tile = source.load([part * padded + row, column])
    else:
        rows = (part * padded + row).to(tl.int64) + tl.arange(0, ROWS)
        tile = tl.load(source + rows[:, None] * depth + (column + tl.arange(0, COLUMNS))[None, :])
    return tile


@triton.jit
def tile_product(
    left, right, row, column, start, stop, left_padded, right_padded, depth,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    DESCRIPTORS: tl.constexpr, PROMOTE: tl.constexpr,
):  # fmt: skip
    """Return the (BLOCK_M, BLOCK_N) tile at (row, column) of left · right', contracted from start to stop.

    With PROMOTE, every BLOCK_K terms are added outside the matrix units, which truncate what they accumulate.
    """
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for k in tl.range(start, stop, BLOCK_K):
        a0 = _part(left, 0, row, k, left_padded, depth, BLOCK_M, BLOCK_K, DESCRIPTORS)
        a1 = _part(left, 1, row, k, left_padded, depth, BLOCK_M, BLOCK_K, DESCRIPTORS)
        b0 = _part(right, 0, column, k, right_padded, depth, BLOCK_N, BLOCK_K, DESCRIPTORS)
        b1 = _part(right, 1, column, k, right_padded, depth, BLOCK_N, BLOCK_K, DESCRIPTORS)
        part = tl.zeros([BLOCK_M, BLOCK_N], tl.float32) if PROMOTE else total
        # Small terms first, the large product last.
        part = tl.dot(a0, b1.T, part, input_precision="tf32")
        part = tl.dot(a1, b0.T, part, input_precision="tf32")
        part = tl.dot(a0, b0.T, part, input_precision="tf32")
        total = total + part if PROMOTE else part
    return total
