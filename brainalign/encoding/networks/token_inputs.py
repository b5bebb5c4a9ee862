"""Tokens and responses on their way into a network: checks, scales of the training rows, some rows at a time."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from torch.utils.checkpoint import checkpoint

from brainalign.checks import BrainalignError, check_finite, check_rows, check_width, listed
from brainalign.regression import Array, as_tensor, check_kind

# Numbers read in one go, or of one array that depends on rows, targets and space: 16 MB, and a few such arrays.
CHUNK = 2**22

Scales = tuple[torch.Tensor, torch.Tensor]
Seen = Callable[[slice], torch.Tensor]


def check_tokens(X: Array, Y: Array, grid: tuple[int, int] | None, *, needs_grid: bool = True) -> None:
    """Raise unless tokens and responses have the shapes a network on tokens takes."""
    check_kind(X=X, Y=Y)
    if X.ndim != 3:
        raise BrainalignError(
            f"X has shape {tuple(X.shape)}; a network on tokens wants rows × tokens × channels: extract features with "
            "their grid, unpooled"
        )
    if Y.ndim != 2:
        raise BrainalignError(f"Y has shape {tuple(Y.shape)}; give rows × targets: flatten the other axes")
    check_rows("X", len(X), "Y", len(Y), "call features.align_to(responses)")
    if grid is None and needs_grid:
        raise BrainalignError(
            f"X has {X.shape[1]} tokens but no grid; give grid=(rows, cols), which features.grid holds"
        )
    if grid is not None:
        remedy = "leave tokens without a place (class, registers) out"
        check_rows("X", X.shape[1], f"grid {tuple(grid)}", grid[0] * grid[1], remedy, "tokens")


def rows_of(array: Array, rows: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return some rows in float32 on a device; only these are read of a memory map."""
    some = array[rows.to(array.device)] if isinstance(array, torch.Tensor) else as_tensor(array[rows.numpy()])
    return some.to(device, torch.float32)


def in_parts(function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, at_once: int) -> torch.Tensor:
    """Apply a function of row numbers to some rows at a time, without gradients.

    Results go into one piece of memory: kept one by one they would lie between large batches, whose memory could not
    be given back.
    """
    found, start = torch.empty(0), 0
    with torch.no_grad():
        for some in rows.split(max(1, at_once)):
            part = function(some)
            found = part.new_empty((len(rows), *part.shape[1:])) if not start else found
            found[start : start + len(part)] = part
            start += len(part)
    return found


def checked(tokens: torch.Tensor) -> torch.Tensor:
    """Return tokens (n, n_tokens, n_channels), made sure to be finite, or padding: NaN in all channels."""
    missing = torch.isnan(tokens)
    padding = missing.all(dim=2)
    if bool((missing.any(dim=2) != padding).any()) or bool(torch.isinf(tokens).any()):
        raise BrainalignError(
            f"tokens of shape {tuple(tokens.shape)} hold infinite values, or NaN in some channels of a token; repair "
            "them (padding is NaN in all channels)"
        )
    if bool(padding.all(dim=1).any()):
        raise BrainalignError(f"{int(padding.all(dim=1).sum())} row(s) of tokens are nothing but padding; drop them")
    return tokens


def token_scales(X: Array, rows: NDArray[np.intp], check: Callable[[torch.Tensor], torch.Tensor] = checked) -> Scales:
    """Return mean and standard deviation of each channel over the tokens of some rows, 1 for a constant channel.

    All rows of X go through `check`, which raises where they cannot be used; padding counts for nothing.
    """
    used = torch.zeros(len(X), dtype=torch.bool)
    used[torch.from_numpy(rows)] = True
    total = squares = torch.zeros(X.shape[2], dtype=torch.float64)
    count = 0
    # The mean of one row is near enough to keep sums of squares from losing digits.
    origin = torch.nanmean(rows_of(X, torch.from_numpy(rows[:1]), torch.device("cpu")).double(), dim=(0, 1))
    for part in torch.arange(len(X)).split(max(1, CHUNK // (X.shape[1] * X.shape[2]))):
        values = check(rows_of(X, part, torch.device("cpu")))[used[part]]
        values = values[~torch.isnan(values[..., 0])].double() - origin
        total, squares = total + values.sum(dim=0), squares + values.square().sum(dim=0)
        count += len(values)
    mean = total / count
    sd = (squares / count - mean.square()).clamp(min=0).sqrt()
    return (origin + mean).float(), torch.where(sd > 1e-6 * origin.abs(), sd, 1.0).float()


def target_scales(Y: Array, rows: NDArray[np.intp]) -> Scales:
    """Return mean and standard deviation of each target over its observed responses in some rows."""
    values = as_tensor(Y).cpu()[torch.from_numpy(rows)].double().numpy()
    if np.isinf(values).any():
        raise BrainalignError(f"Y has {int(np.isinf(values).sum())} infinite values; give NaN for missing ones")
    observed = ~np.isnan(values)
    count = np.maximum(observed.sum(axis=0), 1)
    mean = np.where(observed, values, 0).sum(axis=0) / count
    sd = np.sqrt(np.where(observed, np.square(values - mean), 0).sum(axis=0) / count)
    flat = np.flatnonzero(~(sd > 1e-9 * np.abs(mean)))
    if len(flat):
        raise BrainalignError(
            f"{len(flat)} target(s) of Y are constant or missing in the {len(rows)} training rows (columns "
            f"{listed(flat.tolist())}); drop them with responses.select(targets=...)"
        )
    return torch.from_numpy(mean), torch.from_numpy(sd)


def correlations(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Return Pearson's r of each column over its measured rows, in float64; NaN where either side is constant."""
    known = ~measured.isnan()
    first = known.int().argmax(dim=0)[None]  # about one of them constants are exactly 0

    def centred(values: torch.Tensor) -> torch.Tensor:
        values = torch.where(known, values.double() - values.double().gather(0, first), 0.0)
        return torch.where(known, values - values.sum(dim=0) / known.sum(dim=0), 0.0)

    a, b = centred(predicted), centred(measured)
    scale = (a.square().sum(dim=0) * b.square().sum(dim=0)).sqrt()
    return (a * b).sum(dim=0) / scale.where(scale > 0, torch.nan)


class Shape(NamedTuple):
    """What a network is built for."""

    grid: tuple[int, int]
    n_channels: int
    n_targets: int
    n_semantic: int = 0


def check_fit_arrays(X: Array, Y: Array, grid: tuple[int, int] | None, semantics: Array | None) -> Shape:
    """Return the shape of a fit of a read-out, or raise where shapes do not go together."""
    check_tokens(X, Y, grid)
    rows, cols = grid or (0, 0)
    n_semantic = 0 if semantics is None else _check_semantics(semantics, len(X))
    return Shape((int(rows), int(cols)), X.shape[2], Y.shape[1], n_semantic)


def check_fitted_tokens(name: str, X: Array, n_tokens: int, n_channels: int) -> None:
    """Raise unless tokens are of the shape that an encoder was fitted on."""
    if X.ndim != 3 or tuple(X.shape[1:]) != (n_tokens, n_channels):
        raise BrainalignError(
            f"X has shape {tuple(X.shape)} but {name} was fitted on {n_tokens} tokens of {n_channels} channels; use "
            "the same layer, image size and reduction"
        )


def check_predict_arrays(name: str, shape: Shape, X: Array | None, semantics: Array | None) -> None:
    """Raise unless tokens (where given) and semantics are of the kind that was fitted."""
    if X is not None:
        check_fitted_tokens(name, X, shape.grid[0] * shape.grid[1], shape.n_channels)
    if (semantics is None) != (shape.n_semantic == 0):
        remedy = "needs semantics=, as in fit" if semantics is None else "cannot use semantics; leave them out"
        raise BrainalignError(f"{name} {remedy}")
    if semantics is not None:
        _check_semantics(semantics, len(semantics if X is None else X))
        check_width("semantics", semantics.shape, shape.n_semantic, f"{name} was fitted on", "use the same source")


def _check_semantics(semantics: Array, n_rows: int) -> int:
    if semantics.ndim != 2:
        raise BrainalignError(f"semantics has shape {tuple(semantics.shape)}; it must be rows × values")
    check_rows("semantics", len(semantics), "X", n_rows, "give one row per row of X")
    check_finite("semantics", np.asarray(as_tensor(semantics).cpu()), "drop or repair them")
    return int(semantics.shape[1])


def finite(tokens: torch.Tensor) -> torch.Tensor:
    """Return tokens after making sure that all are finite: a read-out of a map has no use for padding."""
    if not bool(tokens.double().sum().isfinite()):
        check_finite("X", tokens.numpy(), "drop or repair them")
    return tokens


def semantic_moments(semantics: Array, fitted: NDArray[np.intp]) -> Scales:
    """Return mean and standard deviation of each semantic value over the fitted rows."""
    values = as_tensor(semantics)[fitted].double().cpu()
    return values.mean(dim=0), (values - values[:1]).std(dim=0, correction=0)  # constants: exactly 0


def rows_at_once(shape: Shape) -> int:
    """Compute the number of rows of tokens that are processed together."""
    return max(1, CHUNK // (shape.grid[0] * shape.grid[1] * shape.n_channels))


def chunked(of_targets: Callable[[slice], torch.Tensor], n_targets: int, values_per_target: int) -> torch.Tensor:
    """Return of_targets(slice) (n, targets of the slice) for all targets, a bounded number of values at a time.

    Where it takes several chunks, each is computed anew for its gradient instead of being kept for it.
    """
    parts = list(gen_batches(n_targets, max(1, CHUNK // max(values_per_target, 1))))
    if len(parts) == 1:
        return of_targets(parts[0])
    if torch.is_grad_enabled():
        return torch.cat([checkpoint(of_targets, where, use_reentrant=False) for where in parts], dim=1)
    return torch.cat([of_targets(where) for where in parts], dim=1)
