"""Correlation distances between the rows of many small matrices, centred and normalised on chip."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import reference
from .split_triton import one_config

__all__ = ["correlation_rdms"]

MATRIX = 2**31  # offsets within one matrix are 32-bit; larger ones are no searchlight


def correlation_rdms(patterns: torch.Tensor) -> torch.Tensor:
    """Return what `reference.correlation_rdms` defines, for float32 patterns."""
    batch, n_rows, n_channels = patterns.shape
    if max(n_rows * patterns.stride(1) + n_channels * patterns.stride(2), n_rows**2) >= MATRIX:
        return reference.correlation_rdms(patterns)
    result = torch.empty((batch, n_rows * (n_rows - 1) // 2), dtype=torch.float32, device=patterns.device)
    if result.numel():
        _correlations[lambda meta: (batch * triton.cdiv(n_rows, meta["BLOCK"]) ** 2,)](
            patterns, result, n_rows, n_channels, *patterns.stride()
        )
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
    triton.Config({"BLOCK": rows, "BLOCK_K": 32}, num_stages=2, num_warps=warps)
    for rows, warps in [(64, 8), (64, 4), (32, 4), (128, 8)]
]


@triton.autotune(configs=one_config(CONFIGS), key=["n_rows", "n_channels"])
@triton.jit
def _correlations(
    patterns, result, n_rows, n_channels, stride_batch, stride_row, stride_channel,
    BLOCK: tl.constexpr, BLOCK_K: tl.constexpr,
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
        norm = tl.where(norm > 0, 1 / tl.sqrt(tl.where(norm > 0, norm, 1.0)), nan)
        norms = tl.where(norms > 0, 1 / tl.sqrt(tl.where(norms > 0, norms, 1.0)), nan)
        distance = 1 - product * norm[:, None] * norms[None, :]
        n_pairs = n_rows * (n_rows - 1) // 2
        at = rows[:, None] * n_rows - rows[:, None] * (rows[:, None] + 1) // 2 + others[None, :] - rows[:, None] - 1
        inside = (rows[:, None] < others[None, :]) & (others[None, :] < n_rows)
        tl.store(result + batch * n_pairs + at, distance, mask=inside)
