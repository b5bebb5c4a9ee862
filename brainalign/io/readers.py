"""Reading files that others wrote: whatever is wrong with one is said in one way, before its numbers are believed.

What a format lets one check is checked: the sizes in a header against the file, before memory is taken for them, and
the checksums of gzip, zip and PNG, which libraries that stop early never reach.
"""

import codecs
import gzip
import json
import math
import re
import zipfile
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError

if TYPE_CHECKING:
    import pandas as pd

Part = TypeVar("Part")
Loaded = TypeVar("Loaded")
AGAIN = "copy or download it again"
LONGEST = 200  # characters of what a library says
MOST_PACKED = 1032  # deflate packs no more bytes than these into one
PIECE = 1 << 20
LETTERS = re.compile(rb"[\x80\x85\x8c\x91-\x97\x9c\xa0-\xfd]")  # of Windows in western Europe, and quotation marks


@contextmanager
def reading(path: Path | str, wrong: str, remedy: str = AGAIN) -> Iterator[None]:
    """Turn whatever a library raises over a file into the project's error.

    A damaged file makes a parser raise nearly anything, a KeyError or a MemoryError as well as an OSError, so that
    nothing but the file may be at stake inside the block.

    Parameters
    ----------
    path : path
        Named in the message.
    wrong : str
        What to say of the file: "not a readable table".
    remedy : str

    Raises
    ------
    BrainalignError
        For every error inside the block; the project's own pass as they are.
    """
    try:
        yield
    except BrainalignError:
        raise
    except FileNotFoundError as error:
        raise BrainalignError(f"{error.filename or path}: no such file; correct the path in the descriptor") from error
    except PermissionError as error:
        raise BrainalignError(f"{path}: may not be read ({error.strerror}); change its permissions") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:LONGEST]
        reason = f"{type(error).__name__}: {reason}" if isinstance(error, LookupError) or not reason else reason
        remedy = "save it as text in UTF-8" if (type(error), remedy) == (UnicodeDecodeError, AGAIN) else remedy
        raise BrainalignError(f"{path}: {wrong} ({reason}); {remedy}") from error


def counting_order(path: Path) -> list[str | int]:
    """Split a path into a key that sorts as people count, frame 9 before frame 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.as_posix())]


def read_json(path: Path | str, wrong: str = "not a readable JSON object", remedy: str = "write it again") -> Any:
    """Return the object (a dict) that a JSON file holds."""
    with reading(path, wrong, remedy):
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        if not isinstance(content, dict):
            raise TypeError(f"holds a {type(content).__name__}")
    return content


def _letter(error: UnicodeError) -> tuple[str, int]:
    """Decode a letter that is no UTF-8; three in a row, or of other bytes, are of another alphabet."""
    if not isinstance(error, UnicodeDecodeError) or error.encoding != "utf-8":
        raise error
    letter, around = error.object[error.start : error.end], error.object[max(error.start - 2, 0) : error.end + 2]
    if not LETTERS.fullmatch(letter) or re.search(rb"[\x80-\xff]{3}", around):
        raise error
    return letter.decode("cp1252"), error.end


codecs.register_error("windows", _letter)


@contextmanager
def open_text(path: Path | str) -> Iterator[IO[str]]:
    """Open a text in UTF-8, in UTF-16 that says so, or with letters of Windows (cp1252), as spreadsheets save it.

    A first line `sep=;`, which tells Excel what parts cells, is skipped.
    """
    with Path(path).open("rb") as file:
        first = file.read(16)
    wide = first[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    with Path(path).open(encoding="utf-16" if wide else "utf-8-sig", errors="windows", newline="") as text:
        if re.match(rb"\W*sep=\W", first.replace(b"\0", b"")):
            text.readline()
        yield text


def read_lines(path: Path | str, remedy: str = "save it as text in UTF-8") -> list[str]:
    """Return the lines of a text file; see `open_text`."""
    with reading(path, "not a text file", remedy), open_text(path) as file:
        text = file.read()
        if "\0" in text:
            raise ValueError("holds bytes of 0, as binary files do")
    return text.splitlines()


def read_parquet(path: Path) -> "pd.DataFrame":
    """Return the table in a .parquet file; an index that has a name is a column like the others.

    Raises
    ------
    BrainalignError
        If it is none, or damaged.
    """
    import pandas as pd

    with reading(path, "not a readable .parquet table", "write it again"):
        table = pd.read_parquet(path)
        return table.reset_index() if any(name is not None for name in table.index.names) else table


def read_npy(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    """Return the array of a .npy file, which is never unpickled; `mapped` leaves values on disk until they are read."""
    with reading(path, "no whole .npy file of numbers", "write it with numpy.save, or copy it again"):
        with open(path, "rb") as file:
            n_bytes = _declared(file) + file.tell()
        if n_bytes != path.stat().st_size:
            raise ValueError(f"its header needs {n_bytes:,} bytes, the file has {path.stat().st_size:,}")
        values = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    return np.asanyarray(values)


def read_numbers(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return arrays of a .npy (under the name ""), .npz or .safetensors file; they must be numbers.

    Of a .npz or .safetensors file those in `names` are read and judged, as far as they are there; all where not given.
    """
    if path.suffix == ".safetensors":
        arrays = read_safetensors(path, names)[0]
    else:
        arrays = {"": read_npy(path)} if path.suffix == ".npy" else read_npz(path, names)
    for name, values in arrays.items():
        if values.dtype.kind not in "iufb":
            raise BrainalignError(f"{path}: {name or 'its array'} holds {values.dtype}; give real numbers")
    return arrays


def array_names(path: Path) -> list[str]:
    """Return the names of the arrays of a .npz or .safetensors file, of which none is read; "" of a .npy file."""
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with reading(path, "not a complete safetensors file", "copy it again"), safe_open(path, "numpy") as file:
            return list(file.keys())
    if path.suffix == ".npy":
        return [""]
    with reading(path, "not a complete .npz file"), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_npz(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of a .npz file by name: those of `names` that are there, else all.

    Raises
    ------
    BrainalignError
        If there is no such file, an array is not as long as its header says, or a checksum differs.
    """
    with reading(path, "no whole .npz file of numbers", "write it with numpy.savez, or copy it again"):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if names is not None and entry.filename.removesuffix(".npy") not in names:
                    continue
                if entry.file_size > MOST_PACKED * entry.compress_size + 64:
                    raise ValueError(f"{entry.filename} would grow from {entry.compress_size:,} to {entry.file_size:,}")
                with archive.open(entry) as member:
                    n_bytes = _declared(member) + member.tell()
                if n_bytes != entry.file_size:  # else numpy stops before the checksum
                    raise ValueError(f"the header of {entry.filename} needs {n_bytes:,} bytes of {entry.file_size:,}")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files if names is None or name in names}
    return arrays


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the values of a .npy file by its header, which is read."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = readers[np.lib.format.read_magic(file)](file)
    if dtype.hasobject:
        raise ValueError("holds Python objects, which are not unpickled: save arrays of numbers or text")
    if min(shape, default=0) < 0:
        raise ValueError(f"has the shape {shape}")
    return shape, dtype


def _declared(file: IO[bytes]) -> int:
    """Count the bytes of the values of a .npy file by its header, which is read."""
    shape, dtype = npy_header(file)
    return math.prod(shape) * dtype.itemsize  # as Python's numbers: a product of numpy's would overflow


def read_safetensors(
    path: Path | str, names: Collection[str] | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays of a safetensors file by name, those of `names` that are there, else all; and its notes."""
    from safetensors import safe_open

    with reading(path, "not a complete safetensors file", "write or copy it again"), safe_open(path, "numpy") as file:
        stored = [name for name in file.keys() if names is None or name in names]  # noqa: SIM118 (it is no dict)
        return {name: file.get_tensor(name) for name in stored}, dict(file.metadata() or {})


@contextmanager
def open_hdf5(path: Path, wrong: str = "not a whole HDF5 file", remedy: str = "download it again") -> Iterator[Any]:
    """Open an HDF5 file for reading; see `reading` for what the block may raise."""
    import h5py

    with reading(path, wrong, remedy), path.open("rb") as start:
        if start.read(3) == b"CDF":
            raise BrainalignError(f'{path}: is NetCDF 3, not 4; save it anew by to_netcdf(..., engine="h5netcdf")')
        with h5py.File(path, "r") as file:
            yield file


def check_stored(dataset: Any) -> None:
    """Raise where a dataset of HDF5 says that it holds more than its file could: its values would fill the memory."""
    if int(dataset.nbytes) > MOST_PACKED * int(dataset.file.id.get_filesize()):
        raise ValueError(f"{dataset.name} of shape {dataset.shape} would take {dataset.nbytes:,} bytes")


def load_image_file(path: Path) -> Any:
    """Open a GIFTI, CIFTI, NIfTI or MGH file with nibabel; its values stay on disk until `image_values` reads them.

    nibabel leaves a compressed stream when it has the voxels, before the checksum that follows them: the stream is
    read to its end here.
    """
    import nibabel

    with reading(path, "truncated, or not of the format its name says"):
        n_bytes = _unpacked(path)
        image: Any = nibabel.load(path)
        proxy = getattr(image, "dataobj", None)
        if proxy is not None and nibabel.is_proxy(proxy):
            beside = Path(image.file_map["image"].filename or path)  # .hdr has its voxels in .img
            n_bytes = n_bytes if beside == path else _unpacked(beside)
            needed = proxy.offset + proxy.dtype.itemsize * int(np.prod([int(n) for n in proxy.shape], dtype=object))
            if min(proxy.shape, default=0) < 0 or needed > n_bytes:
                raise ValueError(f"voxels of shape {proxy.shape} need {needed:,} bytes, there are {n_bytes:,}")
    return image


def image_values(path: Path, image: Any, dtype: type[np.generic] | None = None) -> NDArray[Any]:
    """Return the values of an image that `load_image_file` opened, in the type that is asked for."""
    with reading(path, "its values cannot be read"):
        if image.dataobj.dtype.kind not in "iufb":
            raise TypeError(f"they are {image.dataobj.dtype}")
        return np.asarray(image.dataobj, dtype=dtype)


def _unpacked(path: Path) -> int:
    """Count the bytes of a file when it is unpacked."""
    state = path.stat()
    return _unpacked_as(path.absolute(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1024)  # a file is opened for its header, its grid and its values
def _unpacked_as(path: Path, n_bytes: int, _: int) -> int:
    from nibabel.openers import ImageOpener

    with open(path, "rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    if not gzipped and path.suffix.lower() not in (".bz2", ".zst"):  # which nibabel unpacks besides
        return n_bytes
    total = 0
    with gzip.open(path) if gzipped else ImageOpener(str(path)) as stream:
        while piece := stream.read(PIECE):
            total += len(piece)
    return total


def open_picture(path: Path | str, name: str = "") -> Any:
    """Return a picture (PIL) with its pixels read; the checksums of a PNG are compared, which PIL leaves out.

    `name` is what messages begin with: "stimulus 'cat': ".
    """
    from PIL import Image

    with reading(
        f"{name}cannot read the image {path}", "cut short, damaged or no picture", "copy it again, or leave it out"
    ):
        with Image.open(path) as picture:
            if picture.format == "PNG":
                picture.verify()
        picture = Image.open(path)
        picture.load()
        return picture


def load_ahead(
    load: Callable[[Part], Loaded], parts: Iterable[Part], n_threads: int | None = None
) -> Iterator[tuple[Part, Loaded]]:
    """Yield parts and what they become, in order; threads, as many as torch may use, load the next ones meanwhile."""
    import torch  # here: reading a table takes none

    at_first, later = torch.get_num_threads(), iter(parts)
    try:
        with ThreadPoolExecutor(n_threads or at_first, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            waiting = deque((part, pool.submit(load, part)) for part in islice(later, n_threads or at_first))
            while waiting:
                part, loaded = waiting.popleft()
                waiting.extend((other, pool.submit(load, other)) for other in islice(later, 1))
                yield part, loaded.result()
    finally:
        torch.set_num_threads(at_first)  # what a thread says of itself holds for threads to come, too
