"""Writing files so that a kill never leaves half of one behind: atomic writes, and streams that resume."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

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
    """A safetensors file of float32 tensors that is filled row by row, in any order, under the name `<path>.partial`.

    The tensors are laid out when the first rows arrive, every batch goes straight to disk, and memory holds one batch.
    Rows are known by keys: a row that an earlier stream of the same identity finished under the same key is copied
    instead of computed again. Earlier streams are the unfinished one (beside it: `.partial.json` says what it holds,
    `.partial.rows` has a byte per row, 1 when it is on disk) and the last finished one, of which a hard link is kept as
    `.previous.<name>`, because Snakemake deletes outputs before it makes them again.

    Parameters
    ----------
    path : Path
        Name of the finished file.
    keys : sequence of str
        One per row: equal keys promise equal rows, as long as the identity is the same.
    identity : JSON value
        Everything else the rows depend on.

    Attributes
    ----------
    done : array of bool (n_rows,)
        Rows already on disk.
    shapes : dict
        Shape of one row, by tensor.
    notes : dict
        What `write` was told to keep with the tensors.
    n_copied : int
        Rows that were copied when the stream was opened.
    """

    def __init__(self, path: Path, keys: Sequence[str], identity: object) -> None:
        self.path = path
        self.keys = list(keys)
        self.identity = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.notes: dict[str, object] = {}
        self.done = np.zeros(len(self.keys), dtype=bool)
        self.n_copied = 0
        self._partial = path.with_name(path.name + ".partial")
        self._previous = path.with_name(f".previous.{path.name}")
        replaced = path.with_name(f".replaced.{path.name}")
        if not self._resume():
            if _read_record(self._partial, self.identity):  # cut short, and some of its stimuli changed since
                _rename_all(self._partial, replaced)
            _remove_all(self._partial)
        for earlier in (replaced, self._previous):
            self._copy_from(earlier)
        _remove_all(replaced)

    @property
    def pending(self) -> NDArray[np.intp]:
        """Rows that are not on disk yet."""
        return np.flatnonzero(~self.done)

    def write(
        self,
        rows: NDArray[np.intp],
        values: Mapping[str, NDArray[np.float32]],
        notes: Mapping[str, object] | None = None,
    ) -> None:
        """Write rows of every tensor, then mark them as done.

        Raises
        ------
        BrainalignError
            If tensors or shapes differ from the first rows', or the rows are not those of the stream.
        """
        shapes = {name: tensor.shape[1:] for name, tensor in values.items()}
        if not self.shapes:
            self._allocate(shapes, dict(notes or {}))
        if shapes != self.shapes:
            raise BrainalignError(f"tensors changed from {self.shapes} to {shapes} between two batches")
        rows = np.asarray(rows)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self.keys)):
            raise BrainalignError(f"row {rows.max()} was written to {self.path.name}, which has {len(self.keys)} rows")
        starts = self._header()[1]
        with open(self._partial, "r+b") as file:
            for name, tensor in values.items():
                check_rows(f"tensor {name!r}", len(tensor), "the batch", len(rows), "write a row per stimulus")
                for place, run in _runs(rows):
                    file.seek(starts[name] + int(rows[place]) * self._row_bytes(name))
                    file.write(np.ascontiguousarray(tensor[place : place + run], dtype="<f4").data)
            file.flush()
            os.fsync(file.fileno())  # before the marks, which promise that the rows are there
        self._mark(rows)

    def read(self) -> dict[str, NDArray[np.float32]]:
        """Return every tensor (n_rows, ...) as it is on disk so far; rows that are not there yet are 0."""
        starts = self._header()[1]
        return {
            name: np.fromfile(
                self._partial, dtype="<f4", count=len(self.keys) * self._row_bytes(name) // 4, offset=starts[name]
            ).reshape(len(self.keys), *shape)
            for name, shape in self.shapes.items()
        }

    def discard(self) -> None:
        """Remove what was written: its numbers went elsewhere."""
        _remove_all(self._partial)

    def finish(self) -> None:
        """Rename the complete file, and keep a hard link of it for the next time, where the disk allows one.

        Raises
        ------
        BrainalignError
            If rows are missing.
        """
        n_done = int(self.done.sum())
        check_rows(self.path.name, n_done, "the table of stimuli", len(self.keys), "write a row per stimulus")
        _remove_all(self._previous)
        try:
            os.link(self._partial, self._previous)
        except OSError:  # no hard links on this file system: the next run computes every row
            pass
        else:
            record = self._record() | {"sha256": file_digest(self._previous)}
            write_json(_companion(self._previous, ".json"), record)
        os.replace(self._partial, self.path)
        _remove_all(self._partial)

    def _resume(self) -> bool:
        record = _read_record(self._partial, self.identity)
        if record is None or record["keys"] != self.keys:
            return False
        self.shapes, self.notes = _shapes(record), record["notes"]
        self.done = np.frombuffer(_companion(self._partial, ".rows").read_bytes(), dtype=np.uint8) == 1
        return True

    def _copy_from(self, earlier: Path) -> None:
        """Copy every pending row whose key an earlier stream of this identity has."""
        record = _read_record(earlier, self.identity) if len(self.pending) else None
        if record is None or (self.shapes and _shapes(record) != self.shapes):
            return
        marks = _companion(earlier, ".rows")
        if not marks.exists() and file_digest(earlier) != record["sha256"]:
            return  # someone changed the finished file
        there = np.frombuffer(marks.read_bytes(), np.uint8) if marks.exists() else np.ones(len(record["keys"]))
        places = {key: row for row, (key, done) in enumerate(zip(record["keys"], there, strict=True)) if done}
        rows = np.array([row for row in self.pending if self.keys[row] in places], dtype=np.intp)
        if not len(rows):
            return
        if not self.shapes:
            self._allocate(_shapes(record), record["notes"])
        starts = _layout(self.shapes, len(record["keys"]))[1]
        with open(earlier, "rb") as file:
            for first in range(0, len(rows), COPIED_AT_ONCE):
                some = rows[first : first + COPIED_AT_ONCE]
                copied = {}
                for name, shape in self.shapes.items():
                    size = self._row_bytes(name)
                    parts = [
                        os.pread(file.fileno(), size, starts[name] + places[self.keys[row]] * size) for row in some
                    ]
                    copied[name] = np.frombuffer(b"".join(parts), dtype="<f4").reshape(len(some), *shape)
                self.write(some, copied)
        self.n_copied += len(rows)

    def _row_bytes(self, name: str) -> int:
        return 4 * int(np.prod(self.shapes[name]))

    def _header(self) -> tuple[bytes, dict[str, int]]:
        return _layout(self.shapes, len(self.keys))

    def _record(self) -> dict[str, object]:
        return {"identity": self.identity, "keys": self.keys, "shapes": self.shapes, "notes": self.notes}

    def _allocate(self, shapes: dict[str, tuple[int, ...]], notes: dict[str, object]) -> None:
        self.shapes, self.notes = shapes, notes
        header, _ = self._header()
        with open(self._partial, "wb") as file:
            file.write(header)
            file.truncate(len(header) + sum(len(self.keys) * self._row_bytes(name) for name in shapes))
        _companion(self._partial, ".rows").write_bytes(bytes(len(self.keys)))
        write_json(_companion(self._partial, ".json"), self._record())  # last: without it nothing is resumed

    def _mark(self, rows: NDArray[np.intp]) -> None:
        self.done[rows] = True
        with open(_companion(self._partial, ".rows"), "r+b") as file:
            for place, run in _runs(rows):
                file.seek(int(rows[place]))
                file.write(b"\1" * run)


COPIED_AT_ONCE = 32  # rows


def _companion(path: Path, extension: str) -> Path:
    return path.with_name(path.name + extension)


def _remove_all(path: Path) -> None:
    for extension in (".json", "", ".rows"):  # the record first: it vouches for the others
        _companion(path, extension).unlink(missing_ok=True)


def _rename_all(path: Path, target: Path) -> None:
    _remove_all(target)
    for extension in ("", ".rows", ".json"):
        os.replace(_companion(path, extension), _companion(target, extension))


def _read_record(path: Path, identity: str) -> dict[str, Any] | None:
    """Return what a stream's record says, if the stream is whole and was begun with this identity."""
    if not (path.exists() and _companion(path, ".json").exists()):
        return None
    record = cast(dict[str, Any], json.loads(_companion(path, ".json").read_text()))
    return record if record["identity"] == identity else None


def _shapes(record: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in record["shapes"].items()}


def _runs(rows: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yield where each stretch of consecutive row numbers begins in `rows`, and its length."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    edges = [0, *breaks.tolist(), len(rows)]
    yield from ((start, stop - start) for start, stop in itertools.pairwise(edges) if stop > start)


def _layout(shapes: Mapping[str, tuple[int, ...]], n_rows: int) -> tuple[bytes, dict[str, int]]:
    """Return the safetensors header (length in 8 bytes, then padded JSON) and where in the file each tensor starts."""
    entries: dict[str, Any] = {}
    starts, end = {}, 0
    for name, shape in shapes.items():
        starts[name], end = end, end + 4 * n_rows * int(np.prod(shape))
        entries[name] = {"dtype": "F32", "shape": [n_rows, *shape], "data_offsets": [starts[name], end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: len(header) + start for name, start in starts.items()}
