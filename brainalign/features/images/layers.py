"""Which modules of a network are its layers, and how their outputs are read during one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from torch import Tensor, nn


def block_names(module: nn.Module) -> list[str]:
    """Return the names of a network's main blocks: the items of its outermost lists of modules.

    Where it has no such list, its direct parts that have weights, a sequence among them item by item unless there are
    several.
    """
    lists: list[str] = []
    for name, part in module.named_modules():
        if isinstance(part, nn.ModuleList) and len(part) and not any(name.startswith(f"{other}.") for other in lists):
            lists.append(name)
    if lists:
        return [f"{name}.{key}" for name in lists for key, _ in module.get_submodule(name).named_children()]
    parts = {name: part for name, part in module.named_children() if _has_weights(part)}
    sequences = [name for name, part in parts.items() if isinstance(part, nn.Sequential)]
    names: list[str] = []
    for name, part in parts.items():
        if len(sequences) <= 2 and name in sequences:  # features, classifier
            names += [f"{name}.{key}" for key, item in part.named_children() if _has_weights(item)]
        else:
            names.append(name)
    return names


def _has_weights(part: nn.Module) -> bool:
    return next(part.parameters(), None) is not None


class _AllSeen(Exception):
    """Ends a forward pass as soon as the last layer asked for has been seen."""


def read_layers(module: nn.Module, images: Tensor, readers: Mapping[nn.Module, Callable[[Any], None]]) -> None:
    """Run one forward pass, handing each reader the output of its module at its first call."""
    waiting = set(readers)

    def hook(part: nn.Module, _: object, output: object) -> None:
        if part in waiting:
            readers[part](output)
            waiting.discard(part)
            if not waiting:
                raise _AllSeen

    handles = [part.register_forward_hook(hook) for part in readers]
    try:
        with suppress(_AllSeen):
            module(images)
    finally:
        for handle in handles:
            handle.remove()
