"""Feature vectors of a lab's own: a row per stimulus in a file of arrays or a table, found by the id of the stimulus.

.csv .tsv .parquet              a column stimulus_id, every other column a feature; or layers by prefix of the names
.npy .npz .h5 .hdf5 .mat .zarr  an array per layer; ids in an array stimulus_id or a file beside, else in the order
                                of the stimuli of the study
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice, check_columns, check_unique, did_you_mean, listed
from brainalign.io import array_shapes, read_lines, read_parquet, read_text_table, reading, stored_arrays

TABLES = (".csv", ".tsv", ".parquet")
ID = "stimulus_id"
ONLY = "vectors"  # the layer of a file that names none


@dataclass(frozen=True)
class StimulusVectors:
    """Vectors of stimuli.

    Attributes
    ----------
    layers : dict of array (n_rows, n_features), float32
    ids : list of str or None
        The stimulus of every row; None where nothing says it.
    source : str
        Where the ids come from, as pages say it.
    file : Path
    """

    layers: dict[str, NDArray[np.float32]]
    ids: list[str] | None
    source: str
    file: Path

    def rows_of(self, stimuli: Sequence[str], texts: Sequence[str] | None = None) -> NDArray[np.intp]:
        """Return the row of every stimulus.

        Of every id there must be a vector, but there may be vectors of others; by its text, where given, a stimulus is
        looked up where its id is not there.
        """
        n_rows = len(next(iter(self.layers.values())))
        if self.ids is None:
            if n_rows != len(stimuli):
                raise BrainalignError(
                    f"{self.file}: holds {n_rows} vectors but there are {len(stimuli)} stimuli, and nothing says whose "
                    f"they are; give `ids`, a file with an id per row, or an array {ID}"
                )
            return np.arange(n_rows)
        known = pd.Index(self.ids, dtype=object)
        rows = known.get_indexer(pd.Index(list(stimuli), dtype=object))
        if texts is not None:
            rows = np.where(rows < 0, known.get_indexer(pd.Index(list(texts), dtype=object)), rows)
        if missing := [name for name, row in zip(stimuli, rows, strict=True) if row < 0]:
            near = did_you_mean(missing[0], self.ids)
            raise BrainalignError(
                f"{self.file}: has no vector of {len(missing)} of {len(stimuli)} stimuli ({listed(missing)}){near}; "
                "add a row for each, or write ids as the study does"
            )
        return np.asarray(rows, dtype=np.intp)


def read_vectors(file: Path, ids: Path | None = None, layers: Sequence[str] | None = None) -> StimulusVectors:
    """Read vectors of stimuli and the ids that belong to them.

    `ids` of arrays are a text with an id per line, or a table with the column stimulus_id. `layers` are names of
    arrays; of a table, prefixes of the names of columns. Where not given, all arrays are read, and one layer of all
    columns. Ids that are missing, empty or there twice, and layers of other numbers of rows, are refused.
    """
    if file.suffix in TABLES:
        if ids is not None:
            raise BrainalignError(f"{file}: is a table, whose column {ID} holds the ids; leave out `ids`")
        names: list[str] | None
        names, values = _from_table(file, layers)
        source = f"column {ID} of {file.name}"
    else:
        stored, values = _from_arrays(file, layers)
        names = stored
        if ids is not None:
            cells = _table(ids)[ID].to_numpy(dtype=object) if ids.suffix in TABLES else read_lines(ids)
            names = _ids(np.array(cells, dtype=object), ids)
        source = f"array {ID} of {file.name}" if ids is None else ids.name
        if names is None:
            source = f"not given: rows of {file.name} are taken in the order of the stimuli"
    for layer, array in values.items():
        _check_layer(f"{file}: {layer}", array, names, source, len(next(iter(values.values()))))
    return StimulusVectors(
        {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in values.items()}, names, source, file
    )


def files_of(*paths: Path | None) -> list[Path]:
    """List files, those inside a folder (.zarr) one by one; None stands for none."""
    return [
        file
        for path in paths
        if path is not None
        for file in (sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path])
    ]


def _check_layer(what: str, array: NDArray[Any], names: list[str] | None, source: str, n_rows: int) -> None:
    if array.ndim != 2 or not array.size:
        raise BrainalignError(f"{what} has shape {array.shape}; give stimuli x features")
    if len(array) != n_rows:
        raise BrainalignError(f"{what} has {len(array)} rows but the first layer {n_rows}; give a row per stimulus")
    if names is not None and len(names) != len(array):
        raise BrainalignError(f"{what} has {len(array)} rows but there are {len(names)} ids ({source}); give one each")
    if len(array) > 1 and (array == array[0]).all():
        raise BrainalignError(f"{what} is the same for all {len(array)} stimuli; give features that tell them apart")
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(array.astype(np.float32)).all(axis=1))
    if len(bad):
        whose = [names[row] if names else f"row {row + 1}" for row in bad]
        raise BrainalignError(
            f"{what} holds NaN, empty cells or infinity for {len(bad)} of {len(array)} stimuli ({listed(whose)}); give "
            "every stimulus numbers, or leave these out of the study"
        )


def _table(path: Path) -> pd.DataFrame:
    table = read_parquet(path) if path.suffix == ".parquet" else read_text_table(path)
    check_columns(path, table, [ID], "name the stimuli")
    return table


def _from_table(path: Path, prefixes: Sequence[str] | None) -> tuple[list[str], dict[str, NDArray[Any]]]:
    table = _table(path)
    names = _ids(table.pop(ID).to_numpy(dtype=object), path)
    numbers = table.apply(pd.to_numeric, errors="coerce")
    columns = [str(name) for name in table]
    chosen = {ONLY: columns}
    if prefixes is not None:
        chosen = {prefix.rstrip("_.-"): [name for name in columns if name.startswith(prefix)] for prefix in prefixes}
    for layer, of in chosen.items():
        if not of:
            raise BrainalignError(f"{path}: no column of features for layer {layer!r}; it has {listed(columns, 8)}")
        for name in of:
            if name.startswith("Unnamed: "):
                raise BrainalignError(f"{path}: {name!r} is an index, no feature; save with index=False, or name it")
            text = numbers[name].isna() & table[name].notna() & ~table[name].isin(["", "nan", "NaN"])
            if text.any():
                raise BrainalignError(
                    f"{path}: column {name!r} holds {table[name][text].iloc[0]!r}, no number; leave it out, or name "
                    "the prefixes of columns of features in `layers`"
                )
    return names, {layer: numbers[of].to_numpy(dtype=np.float64) for layer, of in chosen.items()}


def _from_arrays(path: Path, layers: Sequence[str] | None) -> tuple[list[str] | None, dict[str, NDArray[Any]]]:
    there = list(array_shapes(path))
    chosen = [name for name in there if name != ID] if layers is None else list(layers)
    for name in layers or ():
        check_choice(f"{path}: layers", name, there)
    stored = stored_arrays(path, [*chosen, *([ID] if ID in there else [])])
    names = _ids(stored.pop(ID).ravel().astype(object), path) if ID in there else None
    if not stored:
        raise BrainalignError(f"{path}: holds no array of features; it has {listed(there) or 'none'}")
    for name, array in stored.items():
        if array.dtype.kind not in "iufb":
            raise BrainalignError(f"{path}: {name or 'its array'} holds {array.dtype}; give real numbers")
    return names, {name or ONLY: array for name, array in stored.items()}


def _ids(cells: NDArray[Any], path: Path) -> list[str]:
    """Return ids as text: of bytes what they spell, of 3.0 the id "3"."""
    with reading(path, "its ids are no text", "write it again"):
        spelt = [cell.decode() if isinstance(cell, bytes) else cell for cell in cells]
        names = [str(int(one)) if isinstance(one, float) and one.is_integer() else str(one).strip() for one in spelt]
        "".join(names).encode()  # a damaged array holds what no text does
    if empty := [row + 1 for row, name in enumerate(names) if name in ("", "nan", "None", "<NA>")]:
        raise BrainalignError(f"{path}: {len(empty)} rows have no {ID} (rows {listed(empty)}); fill them")
    check_unique(path, names)
    return names
