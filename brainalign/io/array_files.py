"""Arrays in any file that a lab keeps them in: their names and shapes from headers, and their values.

    .npy  one array, under the name ""          .h5, .nc    datasets, those in groups by their whole name ("a/b")
    .npz  several, by name                      .mat        variables, fields of structs as "a/b"; version 7.3 is HDF5
    .zarr one array under "", or a group                    with its axes turned around

Nothing is unpickled.
"""

import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import StoredArray
from brainalign.checks import BrainalignError, check_choice, did_you_mean, listed
from brainalign.io.readers import check_stored, npy_header, open_hdf5, read_npy, read_npz, reading

Shapes = dict[str, tuple[int, ...]]
Values = dict[str, NDArray[Any]]
HDF5 = (".h5", ".hdf5", ".hf5", ".nc")  # NetCDF 4 is HDF5
BROKEN = "not a whole {} file of numbers"
PIECES_TOGETHER = "copy the folder again, whole"


def array_shapes(path: Path) -> Shapes:
    """Return the shape of every array of a file by name, from headers alone."""
    return _form(path)[0](path)


def chosen_array(path: Path, key: str | None = None) -> str:
    """Return the name of the one array of a file, or of `key`, which is needed where the file holds several."""
    names = list(array_shapes(path))
    if key is not None and key not in names:
        known = f"it has {listed(names, 8) or 'none'}: correct `key`"
        raise BrainalignError(f"{path}: holds no array {key!r}{did_you_mean(key, names)}; {known}")
    if key is None and len(names) != 1:
        raise BrainalignError(f"{path}: holds {len(names)} arrays ({listed(names, 8) or 'none'}); say which one: `key`")
    return names[0] if key is None else key


def stored_arrays(path: Path, names: Collection[str]) -> Values:
    """Return some arrays of a file, as they are stored: numbers or text."""
    found = _form(path)[1](path, names)
    if missing := [name for name in names if name not in found]:
        raise BrainalignError(f"{path}: holds no array {listed(missing)}; it has {listed(list(array_shapes(path)), 8)}")
    return found


def located_array(path: Path, name: str) -> StoredArray | None:
    """Locate an array whose rows lie in its file as they are, so that parts can be read; None where they are packed."""
    if path.suffix.lower() == ".npy":
        mapped: Any = read_npy(path, mapped=True)
        whole = mapped.flags.c_contiguous and mapped.size
        return StoredArray(path, mapped.offset, mapped.shape, mapped.dtype) if whole else None
    if path.suffix.lower() not in HDF5:
        return None
    with open_hdf5(path) as file:
        found = file[name]
        check_stored(found)
        offset = found.id.get_offset()
        return None if offset is None else StoredArray(path, offset, found.shape, found.dtype)


def _form(path: Path) -> tuple[Callable[[Path], Shapes], Callable[[Path, Collection[str]], Values]]:
    if not path.exists():
        raise BrainalignError(f"{path}: no such file; correct the path")
    form = path.suffix.lower()
    check_choice(f"the ending of {path}", form, [known for known in FORMS if known != "7.3"])
    if form == ".mat":
        import h5py

        with reading(path, BROKEN.format(".mat")):
            form = "7.3" if h5py.is_hdf5(path) else form
    return FORMS[form]


def _npy_shape(path: Path) -> Shapes:
    with reading(path, BROKEN.format(".npy")), path.open("rb") as file:
        return {"": npy_header(file)[0]}


def _npz_shapes(path: Path) -> Shapes:
    with reading(path, BROKEN.format(".npz")), zipfile.ZipFile(path) as archive:
        shapes = {}
        for name in archive.namelist():
            with archive.open(name) as member:
                shapes[name.removesuffix(".npy")] = npy_header(member)[0]
        return shapes


def _datasets(path: Path, *, turned: bool = False) -> Shapes:
    shapes: Shapes = {}

    def note(name: str, item: Any) -> None:
        is_size = "not a netCDF variable" in str(item.attrs.get("NAME"))  # of a dimension, as zeros
        if getattr(item, "shape", None) is not None and not (is_size or name.startswith("#")):  # MATLAB's cells
            shapes[name] = tuple(map(int, item.shape[::-1] if turned else item.shape))

    with open_hdf5(path) as file:
        file.visititems(note)
    return shapes


def _read_datasets(path: Path, names: Collection[str], *, turned: bool = False) -> Values:
    import h5py

    found: Values = {}
    with open_hdf5(path) as file:
        for name in names:
            if name not in file:
                continue
            check_stored(file[name])
            cells = turned and h5py.check_ref_dtype(file[name].dtype) is not None
            stored = file[name].asstr() if file[name].dtype.kind == "O" and not cells else file[name]
            values = np.asarray(_cells(stored) if cells else stored[()])
            found[name] = values.T if turned else values
    return found


def _cells(cells: Any) -> NDArray[Any]:
    """Read what MATLAB's cells point at: arrays, or texts, which are stored as the numbers of their letters."""
    contents = np.empty(cells.shape, dtype=object)
    for place, cell in np.ndenumerate(cells[()]):
        of = cells.file[cell]
        if is_array := hasattr(of, "shape"):  # structs in cells are left alone
            check_stored(of)
        values = of[()].T if is_array and not of.attrs.get("MATLAB_empty") else np.zeros((0, 0), int)
        is_text = of.attrs.get("MATLAB_class", b"char" if values.dtype.kind == "u" else b"") == b"char"
        contents[place] = "".join(map(chr, values.T.ravel())) if is_text else values
    return contents.astype(str) if all(isinstance(of, str) for of in contents.flat) else contents


def _variables(path: Path) -> Shapes:
    from scipy.io import whosmat

    with reading(path, BROKEN.format(".mat")):
        found = whosmat(path)
    structs = [name for name, shape, kind in found if kind == "struct" and shape == (1, 1)]
    shapes = {name: tuple(map(int, shape)) for name, shape, _ in found if name not in structs}
    fields = _read_variables(path, structs) if structs else {}
    return shapes | {name: values.shape for name, values in fields.items() if not values.dtype.names}


def _read_variables(path: Path, names: Collection[str]) -> Values:
    """Read variables; of a struct its fields, too, by the names that version 7.3 gives them (struct/field)."""
    from scipy.io import loadmat

    owners = {name.partition("/")[0] for name in names}
    with reading(path, BROKEN.format(".mat")):
        content = loadmat(path, variable_names=list(owners))
    found = {name: np.asarray(content[name]) for name in owners if name in content}
    pending = [*found]
    for name in pending:  # grows: structs hold structs
        of = found[name]
        fields = of.dtype.names if of.dtype.names and of.size == 1 else ()
        found |= {f"{name}/{field}": np.asarray(of[field].item()) for field in fields}
        pending += [f"{name}/{field}" for field in fields]
    return {name: of for name, of in found.items() if name in names or name.partition("/")[0] in names}


def _zarr_arrays(path: Path) -> dict[str, Any]:
    try:
        import zarr
    except ImportError:
        raise BrainalignError(f'{path}: .zarr needs the package zarr; pip install "zarr>=3.1", or save .npy') from None
    with reading(path, BROKEN.format(".zarr"), PIECES_TOGETHER):
        store: Any = zarr.open(path, mode="r")
        return {"": store} if hasattr(store, "shape") else dict(store.arrays())


def _read_zarr(path: Path, names: Collection[str]) -> Values:
    arrays = _zarr_arrays(path)
    with reading(path, BROKEN.format(".zarr"), PIECES_TOGETHER):
        found: Values = {}
        for name in names:
            if name not in arrays:
                continue
            array = arrays[name]
            # A chunk that is not there reads as the fill value: responses would be 0, and nobody told.
            if (there := array.nchunks_initialized) != (of := array.nchunks):
                raise ValueError(f"{there} of {of} chunks are there; those of zeros are if write_empty_chunks is on")
            found[name] = np.asarray(array[...])
        return found


FORMS: dict[str, tuple[Callable[[Path], Shapes], Callable[[Path, Collection[str]], Values]]] = {
    ".npy": (_npy_shape, lambda path, names: {"": read_npy(path)}),
    ".npz": (_npz_shapes, read_npz),
    **dict.fromkeys(HDF5, (_datasets, _read_datasets)),
    ".mat": (_variables, _read_variables),
    "7.3": (lambda path: _datasets(path, turned=True), lambda path, names: _read_datasets(path, names, turned=True)),
    ".zarr": (lambda path: {name: tuple(map(int, of.shape)) for name, of in _zarr_arrays(path).items()}, _read_zarr),
}
