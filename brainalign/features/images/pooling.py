"""What becomes of a layer's output: one vector per image, or its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from brainalign.checks import BrainalignError

Pooling = Literal["cls", "mean", "flatten", "tokens"]
POOLINGS = ("cls", "mean", "flatten", "tokens")


def as_tensor(output: object, layer: str) -> Tensor:
    """Return the activations in what a module returned: a tensor, or the first one of a tuple or model output.

    Raises
    ------
    BrainalignError
        If there is none.
    """
    if isinstance(output, torch.Tensor):
        return output
    parts = list(output.values()) if isinstance(output, dict) else output
    if isinstance(parts, Sequence) and parts and isinstance(parts[0], torch.Tensor):
        return parts[0]
    raise BrainalignError(f"layer {layer!r} returns {type(output).__name__}, not a tensor; choose a layer inside it")


def pool(values: Tensor, pooling: Pooling, n_prefix: int, has_cls: bool, layer: str) -> Tensor:
    """Return (n, n_features), or for "tokens" (n, n_tokens, n_channels), newly allocated.

    Parameters
    ----------
    values : tensor (n, channels, rows, columns), (n, n_tokens, n_channels) or (n, n_features)
    pooling : {"cls", "mean", "flatten", "tokens"}
        The class token; the mean over space (class and register tokens left out); everything; the spatial tokens.
    n_prefix : int
        Class and register tokens in front of the spatial ones.
    has_cls : bool
    layer : str
        For messages.

    Raises
    ------
    BrainalignError
        If the layer has no class token, or no tokens.
    """
    if pooling == "flatten" or (values.ndim == 2 and pooling == "mean"):
        return values.flatten(1).clone()  # a later layer may work in place
    if pooling == "cls":
        if values.ndim != 3 or not has_cls:
            raise BrainalignError(
                f"layer {layer!r} of shape {tuple(values.shape)} has no class token; use pooling 'mean' or 'flatten'"
            )
        return values[:, 0].clone()
    if values.ndim == 4:
        values = values.flatten(2).transpose(1, 2)  # (n, rows * columns, channels)
    elif values.ndim == 3:
        values = values[:, n_prefix:]
    else:
        raise BrainalignError(f"layer {layer!r} of shape {tuple(values.shape)} has no tokens; use pooling 'flatten'")
    return values.mean(dim=1) if pooling == "mean" else values.clone(memory_format=torch.contiguous_format)


def token_grid(values: Tensor, n_prefix: int, image: tuple[int, int]) -> tuple[int, int] | None:
    """Return (rows, columns) of a layer's spatial tokens, from its map or the proportions of the image.

    None where the tokens fill no such grid.
    """
    if values.ndim == 4:
        return int(values.shape[2]), int(values.shape[3])
    if values.ndim != 3:
        return None
    n_tokens = int(values.shape[1]) - n_prefix
    rows = round((n_tokens * image[0] / image[1]) ** 0.5)
    return (rows, n_tokens // rows) if rows and rows * (n_tokens // rows) == n_tokens else None
