"""Writing files so that a kill never leaves half of one behind: atomic writes, and streams that resume."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows

__all__ = ["TensorStream", "file_digest", "write_atomically", "write_json"]


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a temporary sibling, flush it to disk, rename it: readers see the old file or the new one."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")  # keeps the extension, which writers look at
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file atomically."""
    write_atomically(path, lambda file: file.write_text(json.dumps(content, indent=1) + "\n"))


class TensorStream:
    """A safetensors file of float32 tensors that grows row by row under the name `<path>.partial`.

    The tensors are laid out when the first rows arrive, and every batch goes straight to disk.

    Parameters
    ----------
    path : Path
        Name of the finished file.
    n_rows : int
        First dimension of every tensor.
    identity : JSON value
        A partial file is resumed only when it was begun with the same identity.

    Attributes
    ----------
    done : int
        Rows already on disk.
    shapes : dict
        Shape of one row, by tensor.
    """

    def __init__(self, path: Path, n_rows: int, identity: object) -> None:
        self.path = path
        self.n_rows = n_rows
        self.done = 0
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._identity = json.loads(json.dumps(identity))
        self._partial = path.with_name(path.name + ".partial")
        self._progress = path.with_name(path.name + ".progress.json")
        if self._partial.exists() and self._progress.exists():
            progress = json.loads(self._progress.read_text())
            if progress["identity"] == self._identity:
                self.done = progress["done"]
                self.shapes = {name: tuple(shape) for name, shape in progress["shapes"].items()}

    def write(self, rows: Mapping[str, NDArray[np.float32]]) -> None:
        """Append the next rows of every tensor, then record the progress.

        Raises
        ------
        BrainalignError
            If tensors or shapes differ from the first rows', or there are more rows than announced.
        """
        shapes = {name: values.shape[1:] for name, values in rows.items()}
        stop = self.done + len(next(iter(rows.values())))
        if not self.shapes:
            self.shapes = shapes
            self._allocate()
        if shapes != self.shapes:
            raise BrainalignError(f"tensors changed from {self.shapes} to {shapes} between two batches")
        if stop > self.n_rows:
            raise BrainalignError(f"{stop} rows were written to {self.path.name}, which has {self.n_rows}")
        header, starts = self._header()
        for name, values in rows.items():
            offset = len(header) + starts[name]
            tensor = np.memmap(self._partial, np.float32, "r+", offset, (self.n_rows, *shapes[name]))
            tensor[self.done : stop] = values
            tensor.flush()
        self.done = stop
        write_json(self._progress, {"identity": self._identity, "done": stop, "shapes": self.shapes})

    def finish(self) -> None:
        """Rename the complete file.

        Raises
        ------
        BrainalignError
            If rows are missing.
        """
        check_rows(self.path.name, self.done, "the table of stimuli", self.n_rows, "write a row per stimulus")
        os.replace(self._partial, self.path)
        self._progress.unlink()

    def _header(self) -> tuple[bytes, dict[str, int]]:
        """Return the safetensors header (length in 8 bytes, then padded JSON) and where each tensor starts."""
        entries: dict[str, Any] = {}
        starts, end = {}, 0
        for name, shape in self.shapes.items():
            starts[name], end = end, end + 4 * self.n_rows * int(np.prod(shape))
            entries[name] = {
                "dtype": "F32",
                "shape": [self.n_rows, *shape],
                "data_offsets": [starts[name], end],
            }
        text = json.dumps(entries).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text, starts

    def _allocate(self) -> None:
        header, _ = self._header()
        n_bytes = sum(4 * self.n_rows * int(np.prod(shape)) for shape in self.shapes.values())
        with open(self._partial, "wb") as file:
            file.write(header)
            file.truncate(len(header) + n_bytes)
