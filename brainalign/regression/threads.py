"""Pieces of work side by side on the CPU, each with a single thread inside.

Products of one block of targets are small: to divide each of them over all cores costs more in waiting than to give
every core a block of its own. The same holds for decompositions.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

from brainalign.devices import target_block

# Multiply-adds from which a decomposition on its own is worth all cores; below it is work of half a second.
LARGE = 2**34

Item = TypeVar("Item")
Found = TypeVar("Found")


def _is_large(n_rows: int, n_columns: int) -> bool:
    """Return whether it takes long to decompose a matrix through the products of its shorter side."""
    least = min(n_rows, n_columns)
    return n_rows * n_columns * least + 9 * least**3 > LARGE


def side_by_side(n_items: int, shape: tuple[int, int], bytes_each: int, device: torch.device) -> int:
    """Choose the number of matrices to decompose at once: as many as torch may use threads, or one with all of them.

    LAPACK leaves several threads waiting for each other: one each takes half the processor, and less time. Large
    matrices go one by one where threads are more than they, or memory would not hold one for each thread.

    Parameters
    ----------
    n_items : int
    shape : (int, int)
        Of each matrix.
    bytes_each : int
        That decomposing one takes.
    device : torch.device
    """
    at_once = min(torch.get_num_threads(), n_items) if device.type == "cpu" else 1
    if _is_large(*shape) and (at_once < torch.get_num_threads() or target_block(at_once, bytes_each, device) < at_once):
        return 1
    return max(1, at_once)


@contextmanager
def threads_for(n_rows: int, n_columns: int) -> Iterator[None]:
    """Decompose a large matrix with all threads, a small one with a single one.

    Threads that wait for their share of a small product take as much of the processor as those that work. Whoever
    leaves torch a single thread has one of BLAS, too.
    """
    with nullcontext() if torch.get_num_threads() > 1 and _is_large(n_rows, n_columns) else _one_thread():
        yield


def in_threads(
    function: Callable[[Item], Found], items: Sequence[Item], device: torch.device, shape: tuple[int, int] | None = None
) -> list[Found]:
    """Apply a function to every item, as many at once as torch may use threads (one by one on a GPU).

    The function writes nothing that two items share. `shape` is that of the matrix that an item decomposes: one on its
    own has all threads only where that is large.
    """
    n_workers = min(torch.get_num_threads(), len(items)) if device.type == "cpu" else 1
    if n_workers < 2:
        with _one_thread() if torch.get_num_threads() == 1 else threads_for(*shape) if shape else nullcontext():
            return [function(item) for item in items]
    # Every thread has to say for itself that it wants no further ones of torch's; those of BLAS are for all.
    with _one_thread(), ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(function, items))


@contextmanager
def _one_thread() -> Iterator[None]:
    # The controller's own `limit` describes every library each time, a tenth of a small fit.
    threads = torch.get_num_threads()
    several = [(library, n) for library in _blas().lib_controllers if (n := library.num_threads) > 1]
    try:
        torch.set_num_threads(1)
        for library, _ in several:
            library.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)
        for library, n in several:
            library.set_num_threads(n)


@cache
def _blas() -> ThreadpoolController:
    """Find the BLAS of numpy and scipy, which is not torch's, to limit its threads; the search takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")
