"""Pieces of .npy files, read and written without mapping them.

Pages of a memory map count as memory of the process that touched them: a worker that maps a file larger than its limit
is killed for reading it. Reads and writes by position leave the pages to the operating system.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, listed
from brainalign.io import read_npy

DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64")
ALL = slice(None)


@dataclass(frozen=True)
class NpyFile:
    """A .npy file of two axes.

    Attributes
    ----------
    path : Path
    shape : (int, int)
    dtype : str
    offset : int
        Where its values begin, in bytes.
    by_column : bool
        Fortran order: a column lies in one piece.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str
    offset: int
    by_column: bool = False

    @classmethod
    def open(cls, name: str, path: Path) -> NpyFile:
        """Read the header of an existing file; `name` is what messages call it.

        Raises
        ------
        BrainalignError
            If there is no such file, or it is no .npy file of numbers.
        """
        if not path.is_file():
            raise BrainalignError(f"{name}: there is no file {path}")
        mapped = read_npy(path, mapped=True)
        if not isinstance(mapped, np.memmap) or mapped.dtype not in DTYPES:
            raise BrainalignError(f"{name}: {path} holds {mapped.dtype}; give one array of {listed(DTYPES, 8)}")
        by_column = mapped.flags.f_contiguous and not mapped.flags.c_contiguous
        return cls(path.resolve(), mapped.shape, mapped.dtype.name, mapped.offset, by_column)

    @classmethod
    def create(cls, path: Path, shape: tuple[int, int], dtype: str) -> NpyFile:
        """Make a file of zeros, which takes no room on disk until they are overwritten."""
        mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
        return cls(path.resolve(), shape, dtype, mapped.offset)

    @property
    def itemsize(self) -> int:
        """Bytes of a value."""
        return np.dtype(self.dtype).itemsize

    def read(self, rows: slice = ALL, columns: slice = ALL) -> NDArray[Any]:
        """Return a copy of the values of some rows and columns.

        Raises
        ------
        BrainalignError
            If the file is not to be seen from this machine, or ends early.
        """
        lead, trail = (columns, rows) if self.by_column else (rows, columns)
        n_lead, n_trail = self.shape[::-1] if self.by_column else self.shape
        first, last, _ = lead.indices(n_lead)
        start, stop, _ = trail.indices(n_trail)
        # torch aligns memory for its vector instructions: the same values give the same bits in every process.
        out = torch.empty((last - first, stop - start), dtype=getattr(torch, self.dtype)).numpy()
        with self._opened(os.O_RDONLY) as file:
            if stop - start == n_trail:
                self._fill(file.fd, out, first * n_trail)
            else:
                for row, values in enumerate(out, first):
                    self._fill(file.fd, values, row * n_trail + start)
        return out.T if self.by_column else out

    def write(self, values: NDArray[Any], rows: slice | NDArray[np.intp]) -> None:
        """Overwrite whole rows: those of a slice, or any in the order given."""
        values = np.ascontiguousarray(values, dtype=self.dtype)
        with self._opened(os.O_WRONLY) as file:
            if isinstance(rows, slice):
                self._put(file.fd, values, rows.start * self.shape[1])
            else:
                for row, value in zip(rows.tolist(), values, strict=True):
                    self._put(file.fd, value, row * self.shape[1])

    def _opened(self, how: int) -> _Opened:
        try:
            return _Opened(os.open(self.path, how))
        except FileNotFoundError as error:
            raise BrainalignError(
                f"a worker finds no file {self.path}; put data, coefficients and scratch where all machines see them"
            ) from error

    def _fill(self, fd: int, out: NDArray[Any], position: int) -> None:
        left = out.reshape(-1).view(np.uint8).data
        place = self.offset + position * self.itemsize
        while left:  # one call moves 2 GB at most
            n_bytes = os.preadv(fd, [left], place)
            if not n_bytes:
                raise BrainalignError(f"{self.path} ends before its shape {self.shape} is full; write it again")
            left, place = left[n_bytes:], place + n_bytes

    def _put(self, fd: int, values: NDArray[Any], position: int) -> None:
        left = values.reshape(-1).view(np.uint8).data
        place = self.offset + position * self.itemsize
        while left:
            n_bytes = os.pwrite(fd, left, place)
            left, place = left[n_bytes:], place + n_bytes


@dataclass(frozen=True)
class _Opened:
    """An open file descriptor, closed on leaving the block."""

    fd: int

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


@dataclass(frozen=True)
class Seen:
    """What reading a piece showed: values that are not finite, the first of them, and extremes of the columns."""

    n_bad: int
    first_bad: tuple[int, int] | None
    smallest: NDArray[np.float64]
    largest: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[Any], where: tuple[slice, slice]) -> Seen:
        """Look at the values (n_rows, n_columns) that lie at `where`."""
        finite = np.isfinite(values) if values.dtype.kind == "f" else np.ones((), dtype=bool)
        first = None
        if not finite.all():
            row, column = np.argwhere(~finite)[0].tolist()
            first = (row + where[0].start, column + where[1].start)
        extremes = (np.asarray(found(axis=0), dtype=np.float64) for found in (values.min, values.max))
        return cls(finite.size - int(finite.sum()), first, *extremes)


def check_finite_pieces(name: str, shape: Sequence[int], looks: Sequence[Seen]) -> None:
    """Raise if any piece of an array of that shape holds a NaN or an infinity.

    Raises
    ------
    BrainalignError
        With their number and the first of them.
    """
    bad = [seen for seen in looks if seen.first_bad is not None]
    if bad:
        raise BrainalignError(
            f"{name} of shape {tuple(shape)} has {sum(seen.n_bad for seen in bad)} NaN or infinite values "
            f"(first at {min(seen.first_bad for seen in bad if seen.first_bad)}); drop or repair them"
        )
