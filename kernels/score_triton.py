"""The scores of every penalty on a GPU: the product C·Z is reduced to squares on chip and never reaches memory.

One program holds a tile of C·Z, multiplies it by Z and by the filters of its rows, and writes what the tile adds to the
sums of every penalty. Tiles are added after, in a fixed order, so results repeat. See README.md.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from .split_triton import BLOCK, DEPTH, RESOURCES, Parts, halves, operand, powers, split, tile_product, up

CHUNK = 32768  # targets at a time: bounds the memory of their parts


@dataclass(frozen=True)
class Forms:
    """The quadratic forms of a fold as operands of the matrix units; rank and penalties are padded with zeros.

    Attributes
    ----------
    matrices : Parts
        Rows of `far`, then rows of the near pairs; columns divided by `balance`.
    weights : Parts
        For each kind of term, penalty and tile a column: what the rows of the tile add to the sums of the penalty.
        Kinds are z (far z), z (near z), z² (the diagonal), z w and z, z times `balance`.
    tiles : tensor (n_tiles, 3), int32
        First row of a tile of `matrices` and the range of columns to multiply: near pairs lie around the diagonal.
    balance : tensor (rank,)
        Powers of two close to 1 / sqrt(S_ii): coefficients times this are of one magnitude over components.
    """

    matrices: Parts
    weights: Parts
    tiles: torch.Tensor
    balance: torch.Tensor


def forms(
    far: torch.Tensor,
    diagonal: torch.Tensor,
    near: torch.Tensor,
    filters: torch.Tensor,
    contrasts: torch.Tensor,
    sums: torch.Tensor,
) -> Forms:
    """Prepare a fold once for all targets: what `FoldForm` holds, all float64, near pairs in a symmetric matrix."""
    rank, n_penalties = far.shape[0], filters.shape[0]
    padded = up(rank, BLOCK)
    size = torch.where(diagonal > 0, diagonal, 1.0).sqrt()
    balance = torch.ldexp(torch.ones_like(size), -torch.frexp(size).exponent)
    stacked = torch.zeros((2, padded, rank), dtype=torch.float32, device=far.device)
    stacked[0, :rank], stacked[1, :rank] = far / balance, near / balance
    matrices = split(stacked.flatten(0, 1).T, whole=True)

    scales = matrices.scales.reshape(2, padded)[:, :rank]
    squared = filters.square()
    kinds = (2 * contrasts * scales[0], squared * scales[1], squared * diagonal / balance, filters, filters * sums)
    weights = far.new_zeros((len(kinds), up(n_penalties, penalties_at_once(n_penalties)), padded))
    for part, rows in zip(weights, kinds, strict=True):
        part[:n_penalties, :rank] = rows / balance
    by_tile = split(weights.float().reshape(-1, BLOCK).T, whole=True)
    return Forms(matrices, by_tile, _tiles(near, padded).to(far.device), balance.float())


def _tiles(near: torch.Tensor, padded: int) -> torch.Tensor:
    """List tiles and their columns, those of `far` (all columns) first: the long ones start early."""
    rows = [(row, 0, up(near.shape[0], DEPTH)) for row in range(0, padded, BLOCK)]
    some = (near != 0).cpu()
    for row in range(0, near.shape[0], BLOCK):
        columns = some[row : row + BLOCK].any(dim=0).nonzero()
        if len(columns):
            first, last = int(columns[0]), int(columns[-1])
            rows.append((padded + row, first // DEPTH * DEPTH, up(last + 1, DEPTH)))
    return torch.tensor(rows, dtype=torch.int32)


def penalties_at_once(n_penalties: int) -> int:
    """Choose how many penalties a program holds: matrix units take multiples of 16, registers about 64."""
    return min(64, max(16, 1 << (n_penalties - 1).bit_length()))


def prediction_moments(
    form: Forms, n_penalties: int, coefficients: torch.Tensor, projections: torch.Tensor, *, totals: bool = True
) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
    """Return (totals, squares, crosses), each (n_penalties, n_targets), for float32 coefficients and projections."""
    sums = coefficients.new_empty((3 if totals else 2, n_penalties, coefficients.shape[1]))
    for start in range(0, coefficients.shape[1], CHUNK):
        columns = slice(start, start + CHUNK)
        _chunk(form, coefficients[:, columns], projections[:, columns], sums[:, :, columns])
    return sums[2] if totals else None, sums[0], sums[1]


def _chunk(form: Forms, coefficients: torch.Tensor, projections: torch.Tensor, sums: torch.Tensor) -> None:
    """Write squares, crosses and, where sums has a third entry, totals."""
    (rank, n_targets), (n_sums, n_penalties, _) = coefficients.shape, sums.shape
    n_tiles, n_far = len(form.tiles), triton.cdiv(rank, BLOCK)
    # A slot per tile for squares, then one per far tile for crosses, then for totals.
    slots = coefficients.new_empty((n_tiles + (n_sums - 1) * n_far, n_penalties, n_targets))
    z = split(coefficients, weights=form.balance)
    group = penalties_at_once(n_penalties)
    _sums[(n_tiles * triton.cdiv(n_targets, BLOCK),)](
        operand(z), operand(form.matrices), z.values, z.scales, projections, form.weights.values,
        form.weights.scales, form.tiles, slots, n_tiles, z.padded, form.matrices.padded, form.weights.padded,
        z.values.shape[1], rank, n_targets, n_penalties, *projections.stride(),
        GROUPS=triton.cdiv(n_penalties, group), GROUP=group, TOTALS=n_sums == 3, BLOCK=BLOCK, DEPTH=DEPTH,
        **RESOURCES,
    )  # fmt: skip
    for part, found in zip(slots.split([n_tiles] + [n_far] * (n_sums - 1)), sums, strict=True):
        torch.sum(part, dim=0, out=found)


@triton.jit
def _sums(
    left, right, values, scales, projections, weights, weight_scales, tiles, slots,
    n_tiles, left_padded, right_padded, weights_padded, depth, rank, n_targets, n_penalties, w_row, w_column,
    GROUPS: tl.constexpr, GROUP: tl.constexpr, TOTALS: tl.constexpr, BLOCK: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0) % n_tiles  # tiles of the same targets run together and share them in cache
    first = (tl.program_id(0) // n_tiles) * BLOCK
    row = tl.load(tiles + 3 * tile)
    start, stop = tl.load(tiles + 3 * tile + 1), tl.load(tiles + 3 * tile + 2)
    product = tile_product(left, right, scales, first, row, start, stop, left_padded, right_padded, BLOCK, DEPTH)

    padded = right_padded // 2
    n_far = padded // BLOCK
    number = (row % padded) // BLOCK
    lanes = tl.arange(0, BLOCK)
    written = first + lanes < n_targets
    # The coefficients, from the parts that the product has just brought into cache.
    values += tl.cast(first, tl.int64) * depth + number * BLOCK
    offsets = lanes[:, None] * depth + lanes[None, :]
    z = tl.load(values + offsets).to(tl.float32)
    z += tl.load(values + tl.cast(left_padded, tl.int64) * depth + offsets).to(tl.float32)
    scales += 2 * number * left_padded + first
    upper, lower = tl.load(scales + lanes), tl.load(scales + left_padded + lanes)
    z *= tl.where((lanes < DEPTH)[None, :], upper[:, None], lower[:, None])

    square_hi, square_lo, square_scale = _scaled(product * z)
    of_rows = weights + lanes
    slot_size = tl.cast(n_targets, tl.int64) * n_penalties
    slots += first + lanes
    if row >= padded:
        for group in tl.static_range(GROUPS):
            penalties = group * GROUP + tl.arange(0, GROUP)
            at = (GROUPS * GROUP + penalties) * n_far + number
            square = _weigh(square_hi, square_lo, square_scale, of_rows, weight_scales, at, weights_padded, BLOCK)
            _store(slots + tile * slot_size, square, penalties, n_targets, n_penalties, written)
    else:
        near_hi, near_lo, near_scale = _scaled(z * z)
        projections += tl.cast(number * BLOCK, tl.int64) * w_row + tl.cast(first, tl.int64) * w_column
        offsets = lanes[None, :] * w_row + lanes[:, None] * w_column
        w = tl.load(projections + offsets, mask=written[:, None] & (number * BLOCK + lanes < rank)[None, :], other=0.0)
        hi, lo, cross_scale = _scaled(z * w)
        for group in tl.static_range(GROUPS):
            penalties = group * GROUP + tl.arange(0, GROUP)
            at = penalties * n_far + number
            kind = GROUPS * GROUP * n_far
            square = _weigh(square_hi, square_lo, square_scale, of_rows, weight_scales, at, weights_padded, BLOCK)
            square += _weigh(near_hi, near_lo, near_scale, of_rows, weight_scales, at + 2 * kind, weights_padded, BLOCK)
            _store(slots + tile * slot_size, square, penalties, n_targets, n_penalties, written)
            cross = _weigh(hi, lo, cross_scale, of_rows, weight_scales, at + 3 * kind, weights_padded, BLOCK)
            _store(slots + (n_tiles + number) * slot_size, cross, penalties, n_targets, n_penalties, written)
        if TOTALS:
            hi, lo, scale = _scaled(z)
            for group in tl.static_range(GROUPS):
                penalties = group * GROUP + tl.arange(0, GROUP)
                at = (4 * GROUPS * GROUP + penalties) * n_far + number
                total = _weigh(hi, lo, scale, of_rows, weight_scales, at, weights_padded, BLOCK)
                _store(
                    slots + (n_tiles + n_far + number) * slot_size, total, penalties, n_targets, n_penalties, written
                )


@triton.jit
def _scaled(form):
    """Return (targets, rows) in two parts and the scale of each target."""
    scale, inverse = powers(tl.max(tl.abs(form), axis=1))
    hi, lo = halves(form * inverse[:, None])
    return hi, lo, scale


@triton.jit
def _weigh(hi, lo, scale, of_rows, weight_scales, at, weights_padded, BLOCK: tl.constexpr):
    """Return (targets, penalties), the parts times the columns `at` of the weights."""
    weight = of_rows[:, None] + at[None, :] * BLOCK
    weight_hi = tl.load(weight)
    found = tl.dot(lo, weight_hi)
    found = tl.dot(hi, tl.load(weight + weights_padded * BLOCK), found)
    found = tl.dot(hi, weight_hi, found)
    return found * scale[:, None] * tl.load(weight_scales + at)[None, :]


@triton.jit
def _store(slot, value, penalties, n_targets, n_penalties, written):
    inside = written[:, None] & (penalties < n_penalties)[None, :]
    tl.store(slot[:, None] + penalties[None, :] * n_targets, value, mask=inside)
