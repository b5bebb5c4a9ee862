"""Correlation distances between the rows of many small matrices, centred and normalised on chip."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import reference
from .split_triton import halves, powers

__all__ = ["correlation_rdms"]

MATRIX = 2**31  # offsets within one matrix are 32-bit; larger ones are no searchlight


def correlation_rdms(patterns: torch.Tensor) -> torch.Tensor:
    """Return what `reference.correlation_rdms` defines, for float32 patterns."""
    batch, n_rows, n_channels = patterns.shape
    if max(n_rows * patterns.stride(1) + n_channels * patterns.stride(2), n_rows**2) >= MATRIX:
        return reference.correlation_rdms(patterns)
    result = torch.empty((batch, n_rows * (n_rows - 1) // 2), dtype=torch.float32, device=patterns.device)
    block = min(128, max(16, triton.next_power_of_2(n_rows)))
    n_blocks = triton.cdiv(n_rows, block)
    if result.numel():
        _correlations[(batch * n_blocks**2,)](
            patterns, result, n_rows, n_channels, *patterns.stride(),
            BLOCK=block, CHANNELS=64, ONE=n_blocks == 1, num_warps=8 if block == 128 else 4, num_stages=1,
        )  # fmt: skip
    return result


@triton.jit
def _values(pointer, rows, start, n_rows, n_channels, stride_row, stride_channel, shift, CHANNELS: tl.constexpr):
    """Load (rows, CHANNELS) minus shift, zero outside."""
    channels = start + tl.arange(0, CHANNELS)
    inside = (rows < n_rows)[:, None] & (channels < n_channels)[None, :]
    value = tl.load(pointer + rows[:, None] * stride_row + channels[None, :] * stride_channel, mask=inside, other=0.0)
    return tl.where(inside, value - shift[:, None], 0.0), inside


@triton.jit
def _rows(
    pointer, rows, n_rows, n_channels, stride_row, stride_channel, BLOCK: tl.constexpr, CHANNELS: tl.constexpr
):  # fmt: skip
    """Return the first value of each row, the mean after it is taken away, and the power of two for float16."""
    # Values relative to the first keep their digits under a large offset, and a constant row is zero exactly.
    shift = tl.load(pointer + rows * stride_row, mask=rows < n_rows, other=0.0)
    total = tl.zeros([BLOCK, CHANNELS], tl.float32)
    largest = tl.zeros([BLOCK, CHANNELS], tl.float32)
    for start in range(0, n_channels, CHANNELS):
        value, _ = _values(pointer, rows, start, n_rows, n_channels, stride_row, stride_channel, shift, CHANNELS)
        total += value
        largest = tl.maximum(largest, tl.abs(value))
    mean = tl.sum(total, axis=1) / n_channels
    # Less than twice the largest remains after the mean is taken away, which float16 has room for.
    return shift, mean, powers(tl.max(largest, axis=1))[1]


@triton.jit
def _centred(
    pointer, rows, start, n_rows, n_channels, stride_row, stride_channel, shift, mean, inverse, CHANNELS: tl.constexpr
):  # fmt: skip
    value, inside = _values(pointer, rows, start, n_rows, n_channels, stride_row, stride_channel, shift, CHANNELS)
    value = tl.where(inside, (value - mean[:, None]) * inverse[:, None], 0.0)
    hi, lo = halves(value)
    return hi, lo, tl.sum(value * value, axis=1)


@triton.jit
def _inverse_root(square):
    return 1 / tl.sqrt(tl.where(square > 0, square, float("nan")))


@triton.jit
def _correlations(
    patterns, result, n_rows, n_channels, stride_batch, stride_row, stride_channel,
    BLOCK: tl.constexpr, CHANNELS: tl.constexpr, ONE: tl.constexpr,
):  # fmt: skip
    n_blocks = tl.cdiv(n_rows, BLOCK)
    pair = tl.program_id(0) % (n_blocks * n_blocks)
    first, second = pair // n_blocks, pair % n_blocks
    if first <= second:
        batch = (tl.program_id(0) // (n_blocks * n_blocks)).to(tl.int64)
        # Only whole matrices need 64 bits; see MATRIX.
        pointer = patterns + batch * stride_batch
        rows = first * BLOCK + tl.arange(0, BLOCK)
        others = second * BLOCK + tl.arange(0, BLOCK)
        shift, mean, inverse = _rows(pointer, rows, n_rows, n_channels, stride_row, stride_channel, BLOCK, CHANNELS)
        if not ONE:
            shifts, means, inverses = _rows(
                pointer, others, n_rows, n_channels, stride_row, stride_channel, BLOCK, CHANNELS
            )
        product = tl.zeros([BLOCK, BLOCK], tl.float32)
        norm = tl.zeros([BLOCK], tl.float32)
        norms = tl.zeros([BLOCK], tl.float32)
        for start in range(0, n_channels, CHANNELS):
            hi, lo, square = _centred(
                pointer, rows, start, n_rows, n_channels, stride_row, stride_channel, shift, mean, inverse, CHANNELS
            )
            norm += square
            if ONE:
                his, los = hi, lo
            else:
                his, los, square = _centred(
                    pointer, others, start, n_rows, n_channels, stride_row, stride_channel, shifts, means, inverses,
                    CHANNELS,
                )  # fmt: skip
                norms += square
            part = tl.dot(hi, los.T)
            part = tl.dot(lo, his.T, part)
            product += tl.dot(hi, his.T, part)
        norm, norms = _inverse_root(norm), _inverse_root(norm if ONE else norms)
        distance = 1 - product * norm[:, None] * norms[None, :]
        n_pairs = n_rows * (n_rows - 1) // 2
        at = rows * n_rows - rows * (rows + 1) // 2 - rows - 1
        inside = (rows[:, None] < others[None, :]) & (others[None, :] < n_rows)
        tl.store(result + batch * n_pairs + at[:, None] + others[None, :], distance, mask=inside)
