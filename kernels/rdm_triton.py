"""Correlation distances between the rows of many small matrices, centred and normalised on chip."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .split_triton import one_config

__all__ = ["correlation_rdms"]


def correlation_rdms(patterns: torch.Tensor) -> torch.Tensor:
    """Return what `reference.correlation_rdms` defines, for float32 patterns."""
    batch, n_rows, n_channels = patterns.shape
    result = torch.empty((batch, n_rows * (n_rows - 1) // 2), dtype=torch.float32, device=patterns.device)
    if result.numel():
        block = min(128, max(16, triton.next_power_of_2(n_rows)))
        n_blocks = triton.cdiv(n_rows, block)
        strides = patterns.stride()
        _correlations[(batch * n_blocks * n_blocks,)](patterns, result, n_blocks, n_rows, n_channels, *strides, block)
    return result


@triton.jit
def _centred(pointer, rows, start, n_rows, n_channels, stride_row, stride_channel, shift, mean, BLOCK_K: tl.constexpr):
    """Load (rows, BLOCK_K) minus shift and mean, zero outside."""
    channels = start + tl.arange(0, BLOCK_K)
    inside = (rows < n_rows)[:, None] & (channels < n_channels)[None, :]
    value = tl.load(pointer + rows[:, None] * stride_row + channels[None, :] * stride_channel, mask=inside, other=0.0)
    return tl.where(inside, (value - shift[:, None]) - mean[:, None], 0.0)


@triton.jit
def _mean(pointer, rows, n_rows, n_channels, stride_row, stride_channel, BLOCK: tl.constexpr, BLOCK_K: tl.constexpr):
    # Values relative to the first keep their digits under a large offset, and a constant row is zero exactly.
    shift = tl.load(pointer + rows * stride_row, mask=rows < n_rows, other=0.0)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, n_channels, BLOCK_K):
        value = _centred(
            pointer, rows, start, n_rows, n_channels, stride_row, stride_channel, shift, tl.zeros_like(shift), BLOCK_K
        )
        total += tl.sum(value, axis=1)
    return shift, total / n_channels


CONFIGS = [
    triton.Config({"BLOCK_K": 32}, num_stages=2, num_warps=4),
    triton.Config({"BLOCK_K": 32}, num_stages=2, num_warps=8),
    triton.Config({"BLOCK_K": 64}, num_stages=2, num_warps=8),
]


@triton.autotune(configs=one_config(CONFIGS), key=["n_rows", "n_channels"])
@triton.jit
def _correlations(
    patterns, result, n_blocks, n_rows, n_channels, stride_batch, stride_row, stride_channel,
    BLOCK: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(0) % (n_blocks * n_blocks)
    first, second = pair // n_blocks, pair % n_blocks
    if first <= second:
        batch = (tl.program_id(0) // (n_blocks * n_blocks)).to(tl.int64)
        pointer = patterns + batch * stride_batch
        rows = (first * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
        others = (second * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
        shift, mean = _mean(pointer, rows, n_rows, n_channels, stride_row, stride_channel, BLOCK, BLOCK_K)
        shifts, means = _mean(pointer, others, n_rows, n_channels, stride_row, stride_channel, BLOCK, BLOCK_K)
        product = tl.zeros([BLOCK, BLOCK], tl.float32)
        norm = tl.zeros([BLOCK], tl.float32)
        norms = tl.zeros([BLOCK], tl.float32)
        for start in range(0, n_channels, BLOCK_K):
            left = _centred(pointer, rows, start, n_rows, n_channels, stride_row, stride_channel, shift, mean, BLOCK_K)
            right = _centred(
                pointer, others, start, n_rows, n_channels, stride_row, stride_channel, shifts, means, BLOCK_K
            )
            product = tl.dot(left, tl.trans(right), product, input_precision="tf32x3")
            norm += tl.sum(left * left, axis=1)
            norms += tl.sum(right * right, axis=1)
        nan = float("nan")
        norm = tl.where(norm > 0, 1 / tl.sqrt(norm), nan)
        norms = tl.where(norms > 0, 1 / tl.sqrt(norms), nan)
        distance = 1 - product * norm[:, None] * norms[None, :]
        n_pairs = n_rows.to(tl.int64) * (n_rows - 1) // 2
        at = rows[:, None] * n_rows - rows[:, None] * (rows[:, None] + 1) // 2 + others[None, :] - rows[:, None] - 1
        inside = (rows[:, None] < others[None, :]) & (others[None, :] < n_rows)
        tl.store(result + batch * n_pairs + at, distance, mask=inside)
