"""X'Y and the refit's product at float32 precision on the matrix units, from parts made by `split_triton`."""

import torch
import triton
import triton.language as tl

from .split_triton import BLOCK, DEPTH, RESOURCES, Parts, operand, split, tile_product, up

CHUNK = 32768  # columns at a time: bounds the memory of the parts


def cross_product(left: torch.Tensor, right: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
    """Compute `reference.cross_product` for float32 left and float32 or int16 right."""
    result = torch.empty((left.shape[1], right.shape[1]), dtype=torch.float32, device=left.device)
    features = split(left, whole=True)
    for start in range(0, right.shape[1], CHUNK):
        columns = slice(start, start + CHUNK)
        targets = split(right[:, columns])
        if scale is not None:
            targets.scales[:, : len(scale[columns])] *= scale[columns].to(torch.float32)
        multiply(targets, features, result[:, columns])
    return result


def apply_alpha(
    to_coef: torch.Tensor, eigenvalues: torch.Tensor, alpha: torch.Tensor, coefficients: torch.Tensor
) -> torch.Tensor:
    """Compute `reference.apply_alpha`; the quotient exists only as parts of a chunk of targets."""
    result = torch.empty((to_coef.shape[0], coefficients.shape[1]), dtype=torch.float32, device=to_coef.device)
    features = split(to_coef.T, whole=True)
    diagonal, penalties = eigenvalues.float().contiguous(), alpha.float().contiguous()
    for start in range(0, coefficients.shape[1], CHUNK):
        columns = slice(start, start + CHUNK)
        quotient = split(coefficients[:, columns], eigenvalues=diagonal, alpha=penalties[columns])
        multiply(quotient, features, result[:, columns])
    return result


def multiply(targets: Parts, features: Parts, result: torch.Tensor, segments: int | None = None) -> None:
    """Write features' · targets into result (n_features, n_targets).

    Few tiles and many rows would leave most of the card idle, so rows are cut into segments, added in float32 after.
    """
    if not result.numel():
        return
    tiles = triton.cdiv(result.shape[0], BLOCK) * triton.cdiv(result.shape[1], BLOCK)
    depth = targets.values.shape[1]
    if segments is None:
        processors = torch.cuda.get_device_properties(result.device).multi_processor_count if result.is_cuda else 1
        segments = max(1, min(2 * processors // tiles, depth // 1024))
    length = up(triton.cdiv(depth, segments), DEPTH)
    segments = triton.cdiv(depth, length)
    parts = result[None] if segments == 1 else result.new_empty((segments, *result.shape))
    _product[(tiles, segments)](
        operand(targets), operand(features), targets.scales, features.scales, parts,
        targets.padded, features.padded, depth, length, *result.shape, parts.stride(0), parts.stride(1),
        BLOCK=BLOCK, DEPTH=DEPTH, **RESOURCES,
    )  # fmt: skip
    if segments > 1:
        torch.sum(parts, dim=0, out=result)


@triton.jit
def _product(
    targets, features, target_scales, feature_scales, result,
    targets_padded, features_padded, depth, length, n_features, n_targets, stride_segment, stride_row,
    BLOCK: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    n_tiles = tl.cdiv(n_features, BLOCK)
    row = (tl.program_id(0) % n_tiles) * BLOCK  # tiles that share targets run together
    column = (tl.program_id(0) // n_tiles) * BLOCK
    start = tl.program_id(1) * length
    stop = tl.minimum(start + length, depth)
    total = tile_product(
        targets, features, target_scales, column, row, start, stop, targets_padded, features_padded, BLOCK, DEPTH
    )
    rows, columns = row + tl.arange(0, BLOCK), column + tl.arange(0, BLOCK)
    total = total * tl.load(feature_scales + rows)[None, :]
    inside = (columns < n_targets)[:, None] & (rows < n_features)[None, :]
    offsets = columns[:, None] + rows.to(tl.int64)[None, :] * stride_row
    tl.store(result + tl.program_id(1).to(tl.int64) * stride_segment + offsets, total, mask=inside)
