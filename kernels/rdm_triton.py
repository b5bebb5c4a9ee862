"""Correlation distances between the rows of many small matrices.

Rows are centred, brought to one length and written as two float16 numbers, as in `split_triton`; one program per matrix
and pair of blocks of its rows then multiplies them and writes the pairs.
"""

import torch
import triton
import triton.language as tl

from . import reference
from .split_triton import DEPTH, halves, up

CHUNK = 2**27  # numbers in parts at a time: bounds their memory to 512 MB
WIDEST = 4096  # channels that a program normalises


def correlation_rdms(patterns: torch.Tensor) -> torch.Tensor:
    """Compute `reference.correlation_rdms` for float32 patterns."""
    batch, n_rows, n_channels = patterns.shape
    padded = up(n_channels, DEPTH)
    width = triton.next_power_of_2(padded)
    if width > WIDEST or max(n_rows * padded, n_rows**2) >= 2**31:  # offsets within a matrix are 32-bit
        return reference.correlation_rdms(patterns)
    result = torch.empty((batch, n_rows * (n_rows - 1) // 2), dtype=torch.float32, device=patterns.device)
    if not result.numel():
        return result
    block = min(128, max(16, triton.next_power_of_2(n_rows)))
    n_blocks, rows = triton.cdiv(n_rows, block), 4096 // width
    at_once = max(1, CHUNK // (n_rows * padded))
    for start in range(0, batch, at_once):
        some, found = patterns[start : start + at_once].reshape(-1, n_channels), result[start : start + at_once]
        parts = torch.empty((2, len(some), padded), dtype=torch.float16, device=patterns.device)
        _normalise[(triton.cdiv(len(some), rows),)](
            some, parts, parts.stride(0), len(some), n_channels, padded, *some.stride(), ROWS=rows, WIDTH=width
        )
        _distances[(len(found) * n_blocks**2,)](
            parts, found, parts.stride(0), n_rows, padded,
            BLOCK=block, DEPTH=DEPTH, num_warps=8 if block == 128 else 4, num_stages=2,
        )  # fmt: skip
    return result


@triton.jit
def _normalise(
    patterns, parts, stride_part, n_rows, n_channels, padded, stride_row, stride_channel,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write rows centred and of length 2^13 in two parts; NaN where a row is constant, zero beyond the channels."""
    start = tl.program_id(0) * ROWS
    rows, channels = tl.arange(0, ROWS), tl.arange(0, WIDTH)
    known = start + rows < n_rows
    inside = known[:, None] & (channels < n_channels)[None, :]
    patterns += tl.cast(start, tl.int64) * stride_row
    value = tl.load(patterns + rows[:, None] * stride_row + channels[None, :] * stride_channel, mask=inside, other=0.0)
    # Values relative to the first keep their digits under a large offset, and a constant row is zero exactly.
    first = tl.load(patterns + rows * stride_row, mask=known, other=0.0)
    value = tl.where(inside, value - first[:, None], 0.0)
    value = tl.where(inside, value - (tl.sum(value, axis=1) / n_channels)[:, None], 0.0)
    square = tl.sum(value * value, axis=1)
    hi, lo = halves(value * (8192 / tl.sqrt(tl.where(square > 0, square, float("nan"))))[:, None])
    parts += tl.cast(start, tl.int64) * padded
    target = parts + rows[:, None] * padded + channels[None, :]
    written = known[:, None] & (channels < padded)[None, :]
    tl.store(target, hi, mask=written)
    tl.store(target + stride_part, lo, mask=written)


@triton.jit
def _distances(parts, result, stride_part, n_rows, padded, BLOCK: tl.constexpr, DEPTH: tl.constexpr):
    n_blocks = tl.cdiv(n_rows, BLOCK)
    pair = tl.program_id(0) % (n_blocks * n_blocks)
    first, second = (pair // n_blocks) * BLOCK, (pair % n_blocks) * BLOCK
    if first <= second:
        batch = (tl.program_id(0) // (n_blocks * n_blocks)).to(tl.int64)
        rows, others = first + tl.arange(0, BLOCK), second + tl.arange(0, BLOCK)
        # Rows beyond the last repeat it: their products are not written.
        columns = batch * n_rows * padded + tl.arange(0, DEPTH)
        left = parts + tl.minimum(rows, n_rows - 1)[:, None] * padded + columns[None, :]
        right = parts + tl.minimum(others, n_rows - 1)[:, None] * padded + columns[None, :]
        product = tl.zeros([BLOCK, BLOCK], tl.float32)
        for start in range(0, padded, DEPTH):
            a0, a1 = tl.load(left + start), tl.load(left + stride_part + start)
            b0, b1 = tl.load(right + start), tl.load(right + stride_part + start)
            part = tl.dot(a0, b1.T)
            part = tl.dot(a1, b0.T, part)
            product += tl.dot(a0, b0.T, part)
        result += batch * (n_rows * (n_rows - 1) // 2)
        at = rows * n_rows - rows * (rows + 1) // 2 - rows - 1
        inside = (rows[:, None] < others[None, :]) & (others[None, :] < n_rows)
        tl.store(result + at[:, None] + others[None, :], 1 - product * (1 / 8192 / 8192), mask=inside)
