"""Formats, atomic writing and provenance of everything a stage leaves on disk.

An artifact is a main file, the tables beside it and a JSON sidecar that is renamed last. Readers refuse an artifact
whose sidecar is missing or does not match, so a file cut short by a kill is never read. Never pickle.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays, Features, Layers, Responses, Stored, StoredArray
from brainalign.checks import BrainalignError, listed
from brainalign.io.artifact_names import layout_of, sidecar_path, table_path
from brainalign.io.files import (
    TensorStream,
    file_digest,
    make_folder,
    read_sealed,
    stored_tensors,
    write_atomically,
    write_sealed,
    write_tensors,
    writing,
)
from brainalign.io.provenance import Provenance

T = TypeVar("T")


def _write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    given = {name: v if isinstance(v, StoredArray) else np.asarray(v) for name, v in arrays.items()}
    write_atomically(path, lambda file: write_tensors(file, given))


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_atomically(path, lambda file: table.to_parquet(file, index=False))


def save(
    path: str | Path,
    content: Responses | Layers | Arrays | pd.DataFrame | Any,
    provenance: Provenance,
    images: Mapping[str, Any] | None = None,
    /,
    **details: object,
) -> None:
    """Write an artifact atomically, its sidecar last.

    Parameters
    ----------
    path : path
        From `artifact_path`.
    content : Responses, Layers, Arrays, DataFrame or nibabel image
    provenance : Provenance
    images : mapping, optional
        nibabel images of the same numbers for other tools, written beside: "statmap.nii.gz" goes to
        `<name of the artifact>_statmap.nii.gz`. The sidecar vouches for them too.
    **details
        JSON values a reader needs to know: units, definitions of metrics, counts.
    """
    path = Path(path)
    make_folder(path.parent)
    with writing(sidecar_path(path)):
        sidecar_path(path).unlink(missing_ok=True)
    tables: dict[str, pd.DataFrame] = {}
    if isinstance(content, Responses):
        arrays = {"values": content.values} | ({} if content.times is None else {"times": content.times})
        tables = {"trials": content.trials, "targets": content.targets}
        details["units"] = content.units
        _write_arrays(path, arrays)
    elif isinstance(content, Layers):
        tables = {"stimuli": next(iter(content.values())).stimuli}
        details["grids"] = {name: layer.grid for name, layer in content.items()}
        _write_arrays(path, {name: layer.values for name, layer in content.items()})
    elif isinstance(content, Arrays):
        _write_arrays(path, content)
    elif isinstance(content, pd.DataFrame):
        _write_table(path, content)
    else:
        write_atomically(path, content.to_filename)
    for name, table in tables.items():
        _write_table(table_path(path, name), table)
    beside = {path.with_name(f"{path.name.split('.')[0]}_{name}"): image for name, image in (images or {}).items()}
    for file, image in beside.items():
        write_atomically(file, image.to_filename)
    files = [path, *(table_path(path, name) for name in tables), *beside]
    write_sealed(sidecar_path(path), provenance.record(files, details))


def load_sidecar(path: str | Path) -> dict[str, Any]:
    """Return an artifact's sidecar after checking that every file is the one it describes.

    Raises
    ------
    BrainalignError
        If the sidecar is missing, cannot be read, was changed or does not name the artifact; or if a file's bytes
        differ from its digest.
    """
    path = Path(path)
    sidecar = sidecar_path(path)
    remedy = "delete the artifact and run snakemake again"
    if not sidecar.exists():
        unfinished = f"has no sidecar {sidecar.name}: it was not finished; {remedy}"
        raise BrainalignError(f"{path} {unfinished if path.exists() else 'is not there; run what makes it'}")
    record = read_sealed(sidecar, remedy)
    lacking = {path.name, *(table_path(path, name).name for name in layout_of(path).tables)} - set(record["files"])
    if lacking:
        raise BrainalignError(f"{sidecar} does not vouch for {listed(sorted(lacking))}; {remedy}")
    for name, expected in record["files"].items():
        file = path.with_name(name)
        if not file.exists():
            raise BrainalignError(f"{path} lacks its file {name}; {remedy}")
        if file.stat().st_size != expected["bytes"] or file_digest(file) != expected["sha256"]:
            raise BrainalignError(f"{file} is not the file its sidecar describes (sha256 differs); {remedy}")
    return record


def load(path: str | Path, kind: type[T], provenance: Provenance | None = None, *, stored: bool = False) -> T:
    """Read an artifact.

    Parameters
    ----------
    path : path
        From `artifact_path`.
    kind : type
        What is expected: Responses, Layers, Arrays, DataFrame or a nibabel image class.
    provenance : Provenance, optional
        Notes the digest of what was read.
    stored : bool
        Leave arrays in their file: rows are read where they are asked for, `values[rows]`, and not kept.

    Raises
    ------
    BrainalignError
        If the artifact is unfinished, changed since it was written, or of another kind.
    """
    path = Path(path)
    record = load_sidecar(path)
    if provenance is not None:
        provenance.inputs.update({name: file["sha256"] for name, file in record["files"].items()})
    content: object
    if path.suffix == ".parquet":
        content = pd.read_parquet(path)
    elif path.suffix == ".safetensors":
        content = _read_arrays(path, record, stored)
    else:
        import nibabel

        content = nibabel.load(path)
    if not isinstance(content, kind):
        raise BrainalignError(f"{path} holds {type(content).__name__}, not {kind.__name__}")
    return content


def _read_arrays(path: Path, record: Mapping[str, Any], stored: bool) -> Responses | Layers | Arrays:
    found: dict[str, Any] = dict(sorted(stored_tensors(path).items()))
    arrays = Arrays({name: array if stored and name != "times" else array[...] for name, array in found.items()})
    tables = {name: pd.read_parquet(table_path(path, name)) for name in layout_of(path).tables}
    if "trials" in tables:
        return Responses(
            arrays["values"], tables["trials"], tables["targets"], record["details"]["units"], arrays.get("times")
        )
    if "stimuli" in tables:
        return Layers(
            {
                name: Features(arrays[name], tables["stimuli"], name, grid and (grid[0], grid[1]))
                for name, grid in record["details"]["grids"].items()  # the order of the layers; safetensors keeps none
            }
        )
    return arrays


class FeatureWriter:
    """Streams features to disk batch by batch; `pending` are the rows that no earlier run has computed.

    Made by `open_writer`. Memory does not grow with the number of stimuli.
    """

    def __init__(
        self, path: Path, stimuli: pd.DataFrame, provenance: Provenance, key: str | None, kind: Stored
    ) -> None:
        self.path = path
        self.stimuli = stimuli
        self.provenance = provenance
        # Rows of another configuration must never be mixed with these.
        identity: list[object] = [provenance.stage, dict(provenance.settings), provenance.library, provenance.inputs]
        identity += [provenance.seed, provenance.device]
        self._stream = TensorStream(path, _row_keys(stimuli, key), identity, kind)

    @property
    def pending(self) -> NDArray[np.intp]:
        """Rows still to be computed, in ascending order."""
        return self._stream.pending

    def write(
        self,
        rows: NDArray[np.intp],
        values: Mapping[str, NDArray[np.float32]],
        grids: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        """Store rows of every layer, arrays (n_rows, ...) by name; `grids` tells how tokens of a layer are laid out."""
        self._stream.write(rows, values, {layer: list(grid) for layer, grid in (grids or {}).items()})

    def close(self, **details: object) -> None:
        """Rename the finished file; write the table of stimuli and, last, the sidecar with `details`."""
        self._stream.finish()
        table = table_path(self.path, "stimuli")
        _write_table(table, self.stimuli)
        details["grids"] = {layer: self._stream.notes.get(layer) for layer in self._stream.shapes}
        details |= {"n_rows_reused": self._stream.n_copied, "stored_as": self._stream.kind}
        write_sealed(sidecar_path(self.path), self.provenance.record([self.path, table], details))


def _row_keys(stimuli: pd.DataFrame, key: str | None) -> list[str]:
    """Compute the key of each row: its content, or else the whole table and its place in it."""
    if key is not None:
        return [str(digest) for digest in stimuli[key]]
    table = hashlib.sha256(json.dumps(stimuli.astype(str).to_dict("list")).encode()).hexdigest()
    return [f"{table} {row}" for row in range(len(stimuli))]


def open_writer(
    path: str | Path, stimuli: pd.DataFrame, provenance: Provenance, key: str | None = None, kind: Stored = "float32"
) -> FeatureWriter:
    """Open a streaming writer of features, which takes over the rows that need no computing.

    Parameters
    ----------
    path : path
        From `artifact_path`, suffix features.
    stimuli : DataFrame (n_stimuli)
        The table of the artifact; its order is the order of the rows.
    provenance : Provenance
        Rows of an earlier run, killed or finished, are taken over only when stage, settings, code, inputs, seed and
        device are the same.
    key : str, optional
        The column of the stimuli, a digest of their content, that alone determines a row: rows with the same value
        are taken over wherever they stood. Without it rows are taken over only when the whole table is the same.
    kind : {"float32", "float16", "bfloat16"}
        What numbers are rounded to on disk.
    """
    path = Path(path)
    make_folder(path.parent)
    with writing(sidecar_path(path)):
        sidecar_path(path).unlink(missing_ok=True)
    return FeatureWriter(path, stimuli, provenance, key, kind)
