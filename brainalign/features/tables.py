"""Vectors of a lab's own as the features of a model: nothing is looked at, rows are found by id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import pandas as pd

from brainalign.features.extractor import Writer
from brainalign.io import file_digest
from brainalign.study import StimulusVectors, files_of, read_vectors


class TableExtractor:
    """Takes the vectors of stimuli from a file.

    Parameters
    ----------
    file : path
        .npy, .npz, .h5, .hdf5, .mat, .zarr, .csv, .tsv or .parquet.
    ids : path, optional
        Of arrays: an id per line or a table with the column stimulus_id. Where neither this nor an array stimulus_id is
        there, rows are taken in the order of the stimuli.
    layers : sequence of str, optional
        Which arrays; of a table, prefixes of the names of columns.
    """

    reads: Literal[""] = ""  # of a stimulus nothing but its id

    def __init__(self, file: str | Path, ids: str | Path | None = None, layers: Sequence[str] | None = None) -> None:
        self.file = Path(file)
        self.ids = None if ids is None else Path(ids)
        self.layers = layers

    def digest(self) -> str:
        """Return the sha256 over the files."""
        digest = hashlib.sha256()
        for path in files_of(self.file, self.ids):
            digest.update(f"{path.name} {file_digest(path)}\n".encode())
        return digest.hexdigest()

    def describe(self) -> dict[str, object]:
        """Describe whose the vectors are taken to be, and of which file."""
        return {"file": self.file.name, "file_sha256": self.digest(), "ids": self._vectors.source}

    def extract(self, stimuli: pd.DataFrame, writer: Writer) -> None:
        """Write the vectors of the stimuli, a layer per array; see `read_vectors` for what is refused."""
        pending = writer.pending
        if not len(pending):
            return
        texts = None
        if "texts" in stimuli:  # sentences have ids that the workflow makes
            texts = [wordings[0] if len(wordings) == 1 else "" for wordings in stimuli["texts"]]
        rows = self._vectors.rows_of(stimuli["stimulus_id"].astype(str).tolist(), texts)[pending]
        writer.write(pending, {name: values[rows] for name, values in self._vectors.layers.items()})

    @cached_property
    def _vectors(self) -> StimulusVectors:
        return read_vectors(self.file, self.ids, self.layers)
