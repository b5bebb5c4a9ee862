"""Writing files so that a kill never leaves half of one behind: atomic writes, and streams that resume."""

import fcntl
import hashlib
import itertools
import json
import math
import os
import socket
import time
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from brainalign.arrays import IN_FILE, Stored, StoredArray, packed, unpacked
from brainalign.checks import BrainalignError, check_rows
from brainalign.io.readers import read_json
from brainalign.io.temporary import temporary_sibling

if TYPE_CHECKING:
    import pandas as pd


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a disk (full, read-only, gone) into the project's error."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" not in str(error):  # how torch says it
            raise
        reason = getattr(error, "strerror", None) or error
        remedy = "make room on the disk, or choose a folder that may be written to"
        raise BrainalignError(f"{path}: cannot be written ({reason}); {remedy}") from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where there is none."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a temporary sibling, flush it to disk, rename it: readers see the old file or the new one."""
    with writing(path):
        temporary = temporary_sibling(path)
        try:
            write(temporary)
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as text with tabs, atomically, its folder made where there is none."""
    make_folder(path.parent)
    write_atomically(path, lambda file: table.to_csv(file, sep="\t", index=False))


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file atomically."""
    write_atomically(path, lambda file: file.write_text(json.dumps(content, indent=1) + "\n"))


def write_sealed(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file that carries the digest of what else it says, for `read_sealed`."""
    plain = json.loads(json.dumps(content))  # as it will be read: keys are text, tuples are lists
    write_json(path, plain | {SEAL: _seal(plain)})


def read_sealed(path: Path, remedy: str) -> dict[str, Any]:
    """Read the content that `write_sealed` wrote."""
    content: dict[str, Any] = read_json(path, "not readable: empty, cut or damaged", remedy)
    if content.pop(SEAL, None) != _seal(content):
        raise BrainalignError(f"{path}: changed since it was written, or written by another version; {remedy}")
    return content


SEAL = "digest"


def _seal(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class TensorStream:
    """A safetensors file of tensors that is filled row by row, in any order, under the name `<path>.partial`.

    The tensors are laid out when the first rows arrive, every batch goes straight to disk, and memory holds one batch.
    Rows are known by keys: a row that an earlier stream of the same identity finished under the same key is copied
    instead of computed again. Earlier streams are the unfinished one (beside it: `.partial.json` says what it holds,
    `.partial.rows` has 8 bytes per row, its checksum when it is on disk) and the last finished one, of which a hard
    link is kept as `.previous.<name>`, because Snakemake deletes outputs before it makes them again. A row whose bytes
    differ from its checksum is computed again, and everything where what lies beside cannot be read. One process at a
    time may hold a stream: `.partial.lock` is locked meanwhile.

    Parameters
    ----------
    path : Path
        Name of the finished file.
    keys : sequence of str
        One per row: equal keys promise equal rows, as long as the identity is the same.
    identity : JSON value
        Everything else the rows depend on.
    kind : {"float32", "float16", "bfloat16"}
        What numbers are rounded to in the file.

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

    Raises
    ------
    BrainalignError
        If another process is writing this file, or the disk cannot be written to.
    """

    def __init__(self, path: Path, keys: Sequence[str], identity: object, kind: Stored = "float32") -> None:
        self.path = path
        self.keys = list(keys)
        self.kind = kind
        self.identity = hashlib.sha256(json.dumps([identity, kind], sort_keys=True).encode()).hexdigest()
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.notes: dict[str, object] = {}
        self.done = np.zeros(len(self.keys), dtype=bool)
        self.n_copied = 0
        self._partial = path.with_name(path.name + ".partial")
        self._previous = path.with_name(f".previous.{path.name}")
        self._lock = _companion(self._partial, ".lock")
        self._release = weakref.finalize(self, os.close, _locked(self._lock))
        replaced = path.with_name(f".replaced.{path.name}")
        with writing(path):
            if not self._resume():
                if _stored(self._partial, self.identity):  # cut short, and some of its stimuli changed since
                    _remove_all(replaced)
                    for extension in ("", ".rows", ".json"):
                        os.replace(_companion(self._partial, extension), _companion(replaced, extension))
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
        """Write rows of every tensor, then mark them as done."""
        shapes = {name: tensor.shape[1:] for name, tensor in values.items()}
        if not self.shapes:
            self._allocate(shapes, dict(notes or {}))
        if shapes != self.shapes:
            raise BrainalignError(f"tensors changed from {self.shapes} to {shapes} between two batches")
        rows = np.asarray(rows)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self.keys)):
            raise BrainalignError(f"row {rows.max()} was written to {self.path.name}, which has {len(self.keys)} rows")
        starts = self._header()[1]
        sums = [zlib.crc32(self.keys[row].encode()) for row in rows.tolist()]
        with writing(self.path), open(self._partial, "r+b") as file:
            for name in self.shapes:
                tensor = packed(values[name], self.kind, f"{self.path.name}: layer {name!r}")
                check_rows(f"tensor {name!r}", len(tensor), "the batch", len(rows), "write a row per stimulus")
                sums = [zlib.crc32(row, start) for row, start in zip(tensor, sums, strict=True)]
                for place, run in _runs(rows):
                    file.seek(starts[name] + int(rows[place]) * tensor[0].nbytes)
                    file.write(tensor[place : place + run].data)
            file.flush()
            os.fsync(file.fileno())  # before the marks, which promise that the rows are there
            self._mark(rows, sums)

    def read(self) -> dict[str, NDArray[np.float32]]:
        """Return every tensor (n_rows, ...) as it is on disk so far; rows that are not there yet are 0."""
        return {name: found[...] for name, found in stored_tensors(self._partial).items()} if self.shapes else {}

    def discard(self) -> None:
        """Remove what was written: its numbers went elsewhere."""
        _remove_all(self._partial)
        self._unlock()

    def finish(self) -> None:
        """Rename the complete file, and keep a hard link of it for the next time, where the disk allows one."""
        n_done = int(self.done.sum())
        check_rows(self.path.name, n_done, "the table of stimuli", len(self.keys), "write a row per stimulus")
        with writing(self.path):
            _remove_all(self._previous)
            try:
                os.link(self._partial, self._previous)
            except OSError:  # no hard links on this file system: the next run computes every row
                pass
            else:
                record = self._record() | {"sha256": file_digest(self._previous)}
                write_sealed(_companion(self._previous, ".json"), record)
            os.replace(self._partial, self.path)
            _remove_all(self._partial)
            self._unlock()

    def _unlock(self) -> None:
        self._lock.unlink(missing_ok=True)  # while it is locked: who waits for it must not lock a file without a name
        self._release()

    def _resume(self) -> bool:
        stored = _stored(self._partial, self.identity)
        if stored is None or stored.keys != self.keys:
            return False
        self.shapes, self.notes = stored.shapes, stored.notes
        self.done[stored.whole(range(len(self.keys)))] = True
        return True

    def _copy_from(self, earlier: Path) -> None:
        """Copy every pending row whose key an earlier stream of this identity has."""
        stored = _stored(earlier, self.identity) if len(self.pending) else None
        if stored is None or (self.shapes and stored.shapes != self.shapes):
            return
        there = np.ones(len(stored.keys)) if stored.marks is None else stored.marks
        places = {key: row for row, (key, mark) in enumerate(zip(stored.keys, there, strict=True)) if mark}
        whole = set(stored.whole([places[self.keys[row]] for row in self.pending if self.keys[row] in places]))
        rows = np.array([row for row in self.pending if places.get(self.keys[row]) in whole], dtype=np.intp)
        if not len(rows):
            return
        if not self.shapes:
            self._allocate(stored.shapes, stored.notes)
        with open(earlier, "rb") as file:
            for first in range(0, len(rows), COPIED_AT_ONCE):
                some = rows[first : first + COPIED_AT_ONCE]
                parts = [stored.row(file.fileno(), places[self.keys[row]]) for row in some]
                copied = {
                    name: np.frombuffer(b"".join(part[k] for part in parts), IN_FILE[self.kind]).reshape(
                        len(some), *shape
                    )
                    for k, (name, shape) in enumerate(self.shapes.items())
                }
                self.write(some, {name: unpacked(values, self.kind) for name, values in copied.items()})
        self.n_copied += len(rows)

    def _header(self) -> tuple[bytes, dict[str, int]]:
        return _layout(self.shapes, len(self.keys), self.kind)

    def _record(self) -> dict[str, object]:
        return {name: vars(self)[name] for name in ("identity", "kind", "keys", "shapes", "notes")}

    def _allocate(self, shapes: dict[str, tuple[int, ...]], notes: dict[str, object]) -> None:
        self.shapes, self.notes = shapes, notes
        header, _ = self._header()
        with writing(self.path), open(self._partial, "wb") as file:
            file.write(header)
            file.truncate(len(header) + len(self.keys) * sum(_row_bytes(shape, self.kind) for shape in shapes.values()))
            _companion(self._partial, ".rows").write_bytes(bytes(MARK.itemsize * len(self.keys)))
        write_sealed(_companion(self._partial, ".json"), self._record())  # last: without it nothing is resumed

    def _mark(self, rows: NDArray[np.intp], sums: Sequence[int]) -> None:
        self.done[rows] = True
        marks = DONE | np.array(sums, dtype=MARK)
        with open(_companion(self._partial, ".rows"), "r+b") as file:
            for place, run in _runs(rows):
                file.seek(MARK.itemsize * int(rows[place]))
                file.write(marks[place : place + run].tobytes())


DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
"""What safetensors calls them, and numpy."""
HALVES: dict[str, Stored] = {"F16": "float16", "BF16": "bfloat16"}
NAMES: dict[Stored, str] = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def stored_tensors(path: Path) -> dict[str, StoredArray]:
    """Locate the tensors of a safetensors file by name; none is read. Numbers of 16 bits are read as float32."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(size))
    found = {}
    for name, entry in entries.items():
        if name != "__metadata__":
            half, offset = HALVES.get(entry["dtype"]), 8 + size + entry["data_offsets"][0]
            dtype = np.dtype("<f4" if half else DTYPES[entry["dtype"]])
            found[name] = StoredArray(path, offset, tuple(entry["shape"]), dtype, half=half)
    return found


def write_tensors(path: Path, arrays: Mapping[str, NDArray[Any] | StoredArray]) -> None:
    """Write a safetensors file, a block at a time; safetensors itself copies every array into bytes before."""
    names = {np.dtype(kind): name for name, kind in DTYPES.items()}
    # Wide numbers first, so that each lies where its kind can be read in place.
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    entries: dict[str, Any] = {}
    end = 0
    for name in order:
        start, end = end, end + arrays[name].dtype.itemsize * math.prod(arrays[name].shape)
        kind = names[arrays[name].dtype.newbyteorder("<")]
        entries[name] = {"dtype": kind, "shape": list(arrays[name].shape), "data_offsets": [start, end]}
    with open(path, "wb") as file:
        file.write(_header(entries))
        for name in order:
            array = arrays[name] if arrays[name].ndim else arrays[name][None]
            dtype = array.dtype.newbyteorder("<")
            at_once = max(1, WRITTEN_AT_ONCE // max(1, dtype.itemsize * math.prod(array.shape[1:])))
            for row in range(0, len(array), at_once):
                np.ascontiguousarray(array[row : row + at_once], dtype=dtype).tofile(file)


COPIED_AT_ONCE = 32  # rows
WRITTEN_AT_ONCE = 2**26  # bytes
MARK = np.dtype("<u8")  # of a row: 0, or DONE and its checksum
DONE = np.uint64(1 << 32)
DYING_S = 2  # a job of a run that was killed and started again may hold what it wrote for a moment


@dataclass(frozen=True)
class _Stored:
    """What an earlier stream left: rows by key, each with its mark where the stream was not finished."""

    path: Path
    keys: list[str]
    shapes: dict[str, tuple[int, ...]]
    notes: dict[str, object]
    marks: NDArray[np.uint64] | None
    kind: Stored

    def row(self, descriptor: int, row: int) -> list[bytes]:
        """Return the bytes of a row, by tensor."""
        starts = _layout(self.shapes, len(self.keys), self.kind)[1]
        sizes = {name: _row_bytes(shape, self.kind) for name, shape in self.shapes.items()}
        return [os.pread(descriptor, size, starts[name] + row * size) for name, size in sizes.items()]

    def whole(self, rows: Sequence[int]) -> list[int]:
        """Return those of some rows that are there, byte by byte as they were written."""
        if self.marks is None:
            return list(rows)
        found = []
        with open(self.path, "rb") as file:
            for row in rows:
                if not self.marks[row]:
                    continue
                total = zlib.crc32(self.keys[row].encode())
                for part in self.row(file.fileno(), row):
                    total = zlib.crc32(part, total)
                if self.marks[row] == DONE | np.uint64(total):
                    found.append(row)
        return found


def _stored(path: Path, identity: str) -> _Stored | None:
    """Read the rows a stream left, if it was begun with this identity and all that lies beside it can be read."""
    try:
        record = read_sealed(_companion(path, ".json"), "")
        if record["identity"] != identity:
            return None
        keys, shapes = record["keys"], {name: tuple(shape) for name, shape in record["shapes"].items()}
        kind = record["kind"]
        if "sha256" in record:
            same = file_digest(path) == record["sha256"]  # else someone changed the finished file
            return _Stored(path, keys, shapes, record["notes"], None, kind) if same else None
        header, _ = _layout(shapes, len(keys), kind)
        size = len(header) + len(keys) * sum(_row_bytes(shape, kind) for shape in shapes.values())
        marks = np.frombuffer(_companion(path, ".rows").read_bytes(), MARK)
        with open(path, "rb") as file:
            if file.read(len(header)) != header or path.stat().st_size != size or len(marks) != len(keys):
                return None
    except (BrainalignError, OSError, ValueError, KeyError):
        return None
    return _Stored(path, keys, shapes, record["notes"], marks, kind)


def _locked(path: Path) -> int:
    """Return the descriptor of a file that this process alone has locked, until it is closed or the process ends."""
    until = time.monotonic() + DYING_S
    while True:
        with writing(path):
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            holder = os.read(lock, 200).decode(errors="replace")
            os.close(lock)
            if time.monotonic() < until:
                time.sleep(0.1)
                continue
            raise BrainalignError(
                f"{path.name.removesuffix('.partial.lock')} is being written by {holder or 'another process'}; wait "
                "for it, or stop it"
            ) from error
        except OSError:  # a file system without locks
            break
        try:
            if os.path.samestat(os.fstat(lock), path.stat()):
                break
        except FileNotFoundError:
            pass
        os.close(lock)  # its holder has finished and removed it
    try:
        with writing(path):
            os.ftruncate(lock, 0)
            os.write(lock, f"process {os.getpid()} on {socket.gethostname()}".encode())
    except BrainalignError:
        os.close(lock)
        raise
    return lock


def _companion(path: Path, extension: str) -> Path:
    return path.with_name(path.name + extension)


def _remove_all(path: Path) -> None:
    for extension in (".json", "", ".rows"):  # the record first: it vouches for the others
        _companion(path, extension).unlink(missing_ok=True)


def _runs(rows: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yield where each stretch of consecutive row numbers begins in `rows`, and its length."""
    edges = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    yield from ((start, stop - start) for start, stop in itertools.pairwise(edges) if stop > start)


def _row_bytes(shape: tuple[int, ...], kind: Stored) -> int:
    return IN_FILE[kind].itemsize * math.prod(shape)


def _layout(shapes: Mapping[str, tuple[int, ...]], n_rows: int, kind: Stored) -> tuple[bytes, dict[str, int]]:
    """Return the safetensors header and where in the file each tensor starts."""
    entries: dict[str, Any] = {}
    starts, end = {}, 0
    for name, shape in shapes.items():
        starts[name], end = end, end + n_rows * _row_bytes(shape, kind)
        entries[name] = {"dtype": NAMES[kind], "shape": [n_rows, *shape], "data_offsets": [starts[name], end]}
    header = _header(entries)
    return header, {name: len(header) + start for name, start in starts.items()}


def _header(entries: Mapping[str, Any]) -> bytes:
    """Return the header of a safetensors file: its length in 8 bytes, then JSON, padded."""
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
