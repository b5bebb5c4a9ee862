"""Pieces of work side by side on the CPU, each with a single thread inside.

Products of one block of targets are small: to divide each of them over all cores costs more in waiting than to give
every core a block of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["in_threads"]

Item = TypeVar("Item")
Found = TypeVar("Found")


def in_threads(function: Callable[[Item], Found], items: Sequence[Item], device: torch.device) -> list[Found]:
    """Return what a function makes of every item, as many at once as torch may use threads (one by one on a GPU).

    Parameters
    ----------
    function : callable
        Writes nothing that two items share.
    items : sequence
    device : torch.device
        Where the function computes.
    """
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, len(items)) if device.type == "cpu" else 1
    if n_workers < 2:
        return [function(item) for item in items]
    try:
        # Every thread has to say for itself that it wants no further ones.
        with ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(n_threads)
