"""X'Y and the refit's product at float32 precision on the matrix units, from parts made by `split_triton`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .split_triton import DEPTH, Parts, one_config, operand, split, tile_product, up, uses_descriptors

__all__ = ["apply_alpha", "cross_product", "multiply"]

BLOCK_M = 128
CHUNK = 32768  # columns at a time: bounds the memory of the parts


def cross_product(
    left: torch.Tensor, right: torch.Tensor, scale: torch.Tensor | None = None, precision: str = "fp16x3"
) -> torch.Tensor:
    """Return what `reference.cross_product` defines, for float32 left and float32 or int16 right."""
    result = torch.empty((left.shape[1], right.shape[1]), dtype=torch.float32, device=left.device)
    first = split(left, BLOCK_M, precision=precision)
    for start in range(0, right.shape[1], CHUNK):
        columns = slice(start, start + CHUNK)
        second = split(right[:, columns], _block(right.shape[1]), precision=precision)
        scales = second.scales if scale is None else second.scales * scale[columns].to(torch.float32)
        multiply(first, second, scales, result[:, columns])
    return result


def apply_alpha(
    to_coef: torch.Tensor,
    eigenvalues: torch.Tensor,
    alpha: torch.Tensor,
    coefficients: torch.Tensor,
    precision: str = "fp16x3",
) -> torch.Tensor:
    """Return what `reference.apply_alpha` defines; the quotient exists only as parts of a chunk of targets."""
    result = torch.empty((to_coef.shape[0], coefficients.shape[1]), dtype=torch.float32, device=to_coef.device)
    first = split(to_coef.T, BLOCK_M, precision=precision)
    diagonal, penalties = eigenvalues.float().contiguous(), alpha.float().contiguous()
    for start in range(0, coefficients.shape[1], CHUNK):
        columns = slice(start, start + CHUNK)
        second = split(
            coefficients[:, columns],
            _block(coefficients.shape[1]),
            eigenvalues=diagonal,
            alpha=penalties[columns],
            precision=precision,
        )
        multiply(first, second, second.scales, result[:, columns])
    return result


def _block(n_columns: int) -> int:
    return 256 if n_columns > 128 else 128


def multiply(
    left: Parts,
    right: Parts,
    scales: torch.Tensor,
    result: torch.Tensor,
    *,
    segments: int | None = None,
    promote: bool = True,
    descriptors: bool | None = None,
) -> None:
    """Write left' · right times scales (one per column of right) into result.

    Few tiles and many rows would leave most of the card idle, so rows are cut into segments, added in float32 after.
    """
    if not result.numel():
        return
    block_n = min(_block(scales.numel()), right.padded)
    tiles = triton.cdiv(result.shape[0], BLOCK_M) * triton.cdiv(result.shape[1], block_n)
    depth = left.values.shape[1]
    if segments is None:
        processors = torch.cuda.get_device_properties(result.device).multi_processor_count if result.is_cuda else 1
        segments = max(1, min(2 * processors // tiles, depth // 1024))
    length = up(triton.cdiv(depth, segments), DEPTH)
    segments = triton.cdiv(depth, length)
    if descriptors is None:
        descriptors = uses_descriptors(left.values)
    target = result
    if segments > 1:
        target = torch.empty((segments, *result.shape), dtype=torch.float32, device=result.device)
    _product[(tiles, segments)](
        operand(left, BLOCK_M, descriptors), operand(right, block_n, descriptors), left.scales, scales, target,
        left.padded, right.padded, depth, length, result.shape[0], result.shape[1],
        target.stride(0) if segments > 1 else 0, target.stride(-2), BLOCK_M, block_n,
        DESCRIPTORS=descriptors, PROMOTE=promote, BYTES=left.values.element_size(),
    )  # fmt: skip
    if segments > 1:
        torch.sum(target, dim=0, out=result) if result.is_contiguous() else result.copy_(target.sum(dim=0))


def set_depth(arguments: dict[str, object]) -> None:
    """Give the descriptors the depth of the configuration about to run."""
    for name in ("left", "right"):
        if hasattr(arguments[name], "block_shape"):
            block = "BLOCK_M" if name == "left" else "BLOCK_N"
            arguments[name].block_shape = [arguments[block], arguments["BLOCK_K"]]  # type: ignore[attr-defined]


def fitting(configs: list[triton.Config], arguments: dict[str, int], **constants: int) -> list[triton.Config]:
    """Keep configurations whose stages fit in shared memory (227 KB on capability 9): others cost a failed build."""
    known = {**arguments, **constants}
    per_depth = 2 * known["BYTES"] * (known["BLOCK_M"] + known["BLOCK_N"])
    kept = [c for c in configs if per_depth * c.kwargs["BLOCK_K"] * c.num_stages <= 220 * 1024]
    return kept or configs[:1]


def configurations() -> list[triton.Config]:
    """Return depths of a step, numbers of stages and of warps."""
    choices = [(32, 2, 8), (64, 2, 8), (32, 3, 8), (32, 4, 8), (64, 3, 8)]
    return one_config(
        [triton.Config({"BLOCK_K": k}, num_stages=s, num_warps=w, pre_hook=set_depth) for k, s, w in choices]
    )


@triton.autotune(
    configs=configurations(),
    key=["depth", "n_rows", "BLOCK_N", "PROMOTE", "BYTES"],
    prune_configs_by={"early_config_prune": fitting},
)
@triton.jit
def _product(
    left, right, left_scales, right_scales, result,
    left_padded, right_padded, depth, length, n_rows, n_columns, stride_segment, stride_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    DESCRIPTORS: tl.constexpr, PROMOTE: tl.constexpr, BYTES: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    n_tiles = tl.cdiv(n_rows, BLOCK_M)
    row = (tl.program_id(0) % n_tiles) * BLOCK_M  # tiles that share columns run together
    column = (tl.program_id(0) // n_tiles) * BLOCK_N
    start = tl.program_id(1) * length
    stop = tl.minimum(start + length, depth)
    total = tile_product(
        left, right, row, column, start, stop, left_padded, right_padded, depth,
        BLOCK_M, BLOCK_N, BLOCK_K, DESCRIPTORS, PROMOTE,
    )  # fmt: skip
    rows, columns = row + tl.arange(0, BLOCK_M), column + tl.arange(0, BLOCK_N)
    inside = (rows < n_rows)[:, None] & (columns < n_columns)[None, :]
    total = total * tl.load(left_scales + rows, mask=rows < n_rows, other=0.0)[:, None]
    total = total * tl.load(right_scales + columns, mask=columns < n_columns, other=0.0)[None, :]
    offsets = rows.to(tl.int64)[:, None] * stride_row + columns[None, :]
    tl.store(result + tl.program_id(1).to(tl.int64) * stride_segment + offsets, total, mask=inside)
