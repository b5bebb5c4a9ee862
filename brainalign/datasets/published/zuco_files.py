"""The MATLAB files of ZuCo, in both of their versions: sentences with their text and raw EEG, one after the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_named, check_rows, listed
from brainalign.io import check_stored, open_hdf5, reading

BROKEN, TRUNCATED = "not a whole MATLAB file", "it may be truncated: download it again"
FIELDS = ("content", "rawData")
IS_ZUCO = "is this a file of ZuCo?"
Values = NDArray[Any]
EMPTY: Values = np.zeros((0, 0))


def count_sentences(path: Path) -> int:
    """Count the sentences of a file, from its header."""
    if _is_hdf5(path):
        with open_hdf5(path, BROKEN, TRUNCATED) as file:
            field = _fields(path, file)["rawData"]
            return int(field.size) if _holds_references(field) else 1
    from scipy.io import whosmat

    _check_version(path)
    with reading(path, BROKEN, TRUNCATED):
        shapes = {name: shape for name, shape, _ in whosmat(path)}
    if "sentenceData" not in shapes:
        raise _lacks(path, list(shapes))
    return int(np.prod(shapes["sentenceData"]))


def read_sentences(path: Path) -> Iterator[tuple[str, Values]]:
    """Yield text and raw EEG (n_channels, n_samples) of each sentence of a file of version 5 (also 6, 7) or 7.3.

    A sentence without EEG comes as it is stored: empty, or a single NaN.
    """
    yield from _read_hdf5(path) if _is_hdf5(path) else _read_version_5(path)


def _is_hdf5(path: Path) -> bool:
    import h5py

    if not path.exists():
        raise BrainalignError(f"{path}: no such file; correct the path")
    return bool(h5py.is_hdf5(path))


def _lacks(path: Path, found: list[str]) -> BrainalignError:
    return BrainalignError(
        f"{path}: no variable sentenceData; it has {listed(found, 6) or 'none'}: give the files results*_*.mat of the "
        "folders 'Matlab files'"
    )


def _check_version(path: Path) -> None:
    from scipy.io.matlab import matfile_version

    with reading(path, BROKEN, TRUNCATED):
        major = matfile_version(path)[0]
    if major != 1:
        raise BrainalignError(
            f"{path}: a MATLAB file of version 4 or none at all; ZuCo comes in version 5 (ZuCo 1) and 7.3 (ZuCo 2): "
            "download it again, or save it in MATLAB with save(..., '-v7')"
        )


def _read_version_5(path: Path) -> Iterator[tuple[str, Values]]:
    from scipy.io import loadmat

    _check_version(path)
    with reading(path, BROKEN, TRUNCATED):
        content = loadmat(path, squeeze_me=True, struct_as_record=False, variable_names=["sentenceData"])
    if "sentenceData" not in content:
        from scipy.io import whosmat

        raise _lacks(path, [name for name, *_ in whosmat(path)])
    # A struct of one sentence is squeezed to an array without axes.
    for row, sentence in enumerate(np.atleast_1d(content["sentenceData"]).ravel()):
        names = list(getattr(sentence, "_fieldnames", []))
        check_named(f"{path}: sentence {row}", names, FIELDS, "field", IS_ZUCO)
        yield sentence.content if isinstance(sentence.content, str) else "", np.asarray(sentence.rawData)


def _read_hdf5(path: Path) -> Iterator[tuple[str, Values]]:
    with open_hdf5(path, BROKEN, TRUNCATED) as file:
        fields = _fields(path, file)
        if not _holds_references(fields["rawData"]):  # a struct of one sentence holds its values itself
            yield _text(fields["content"]), _values(fields["rawData"]).T
            return
        for field in FIELDS:
            check_stored(fields[field])
        columns = [fields[field][()].ravel() for field in FIELDS]
        check_rows(f"{path}: content", len(columns[0]), "rawData", len(columns[1]), "download it again", "sentences")
        for text, raw in zip(*columns, strict=True):
            yield _text(file[text] if text else None), _values(file[raw] if raw else None).T


def _fields(path: Path, file: Any) -> Any:
    if "sentenceData" not in file:
        raise _lacks(path, [name for name in file if not name.startswith("#")])
    group = file["sentenceData"]
    found = list(group) if hasattr(group, "keys") else []
    check_named(f"{path}: sentenceData", found, FIELDS, "field", IS_ZUCO)
    return group


def _holds_references(dataset: Any) -> bool:
    import h5py

    return h5py.check_ref_dtype(dataset.dtype) is not None


def _values(dataset: Any) -> Values:
    """Return the numbers of a dataset; MATLAB writes an empty array as its size, with a mark."""
    if dataset is None or not hasattr(dataset, "dtype") or dataset.attrs.get("MATLAB_empty", 0):
        return EMPTY
    check_stored(dataset)
    return np.asarray(dataset[()])


def _text(dataset: Any) -> str:
    """Return the text of a dataset of 16-bit code units, pairs of which may be one character."""
    values = _values(dataset)
    if values.dtype != np.uint16:
        return ""
    return values.ravel().astype("<u2").tobytes().decode("utf-16-le", errors="replace").rstrip("\0")
