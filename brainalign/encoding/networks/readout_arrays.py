"""Arrays of the spatial read-outs: what is checked, how they are standardised, and how much is computed at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.checkpoint import checkpoint

from brainalign.checks import BrainalignError, check_finite, check_rows
from brainalign.regression import Array, as_tensor

CHUNK = 2**22  # values of one array that depends on rows, targets and space at once: 16 MB, and a few such arrays
Moments = tuple[torch.Tensor, torch.Tensor]


class Shape(NamedTuple):
    """What a network is built for."""

    grid: tuple[int, int]
    n_channels: int
    n_targets: int
    n_semantic: int = 0


def check_fit_arrays(name: str, X: Array, Y: Array, grid: tuple[int, int] | None, semantics: Array | None) -> Shape:
    """Return the shape of a fit, or raise where shapes do not go together; `name` is the read-out's."""
    if grid is None:
        raise BrainalignError(f"{name} needs grid=(rows, cols) of the tokens; features keep it as features.grid")
    if Y.ndim != 2:
        raise BrainalignError(f"Y has shape {tuple(Y.shape)}; {name} wants rows × targets: flatten the other axes")
    _check_tokens(X, grid)
    check_rows("X", len(X), "Y", len(Y), "call features.align_to(responses)")
    n_semantic = 0 if semantics is None else _check_semantics(semantics, len(X))
    return Shape((int(grid[0]), int(grid[1])), X.shape[2], Y.shape[1], n_semantic)


def check_predict_arrays(name: str, shape: Shape, X: Array | None, semantics: Array | None) -> None:
    """Raise unless tokens (where given) and semantics are of the kind that was fitted."""
    if X is not None:
        _check_tokens(X, shape.grid)
        if X.shape[2] != shape.n_channels:
            raise BrainalignError(
                f"X has {X.shape[2]} channels but {name} was fitted on {shape.n_channels}; use the same layer and "
                "reduction"
            )
    if (semantics is None) != (shape.n_semantic == 0):
        remedy = "needs semantics=, as in fit" if semantics is None else "cannot use semantics; leave them out"
        raise BrainalignError(f"{name} {remedy}")
    if semantics is not None:
        width = _check_semantics(semantics, len(semantics if X is None else X))
        if width != shape.n_semantic:
            raise BrainalignError(
                f"semantics has {width} columns but {name} was fitted on {shape.n_semantic}; use the same source"
            )


def _check_tokens(X: Array, grid: tuple[int, int]) -> None:
    n_tokens = grid[0] * grid[1]
    if X.ndim != 3 or X.shape[1] != n_tokens:
        raise BrainalignError(
            f"X has shape {tuple(X.shape)} but grid {tuple(grid)} takes (n, {n_tokens}, n_channels); give the tokens "
            "of a layer row by row, without class tokens"
        )


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


def semantic_moments(semantics: Array, fitted: NDArray[np.intp]) -> Moments:
    """Return mean and standard deviation of each semantic value over the fitted rows."""
    values = as_tensor(semantics)[fitted].double().cpu()
    return values.mean(dim=0), values.std(dim=0, correction=0)


def rows_at_once(shape: Shape) -> int:
    """Compute the number of rows of tokens that are processed together."""
    return max(1, CHUNK // (shape.grid[0] * shape.grid[1] * shape.n_channels))


def chunked(of_targets: Callable[[slice], torch.Tensor], n_targets: int, values_per_target: int) -> torch.Tensor:
    """Return of_targets(slice) (n, targets of the slice) for all targets, a bounded number of values at a time.

    Where it takes several chunks, each is computed anew for its gradient instead of being kept for it.
    """
    step = max(1, CHUNK // max(values_per_target, 1))
    if n_targets <= step:
        return of_targets(slice(0, n_targets))
    slices = [slice(start, min(start + step, n_targets)) for start in range(0, n_targets, step)]
    if torch.is_grad_enabled():
        return torch.cat([checkpoint(of_targets, where, use_reentrant=False) for where in slices], dim=1)
    return torch.cat([of_targets(where) for where in slices], dim=1)
