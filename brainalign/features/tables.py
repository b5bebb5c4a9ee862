"""Vectors of a lab's own as the features of a model: nothing is looked at, rows are found by id."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from brainalign.features.extractor import Writer
from brainalign.io import file_digest
from brainalign.study import StimulusVectors, files_of, read_vectors

ROWS_AT_ONCE = 1000  # that are copied on their way to disk


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
        self.file, self.layers = Path(file), layers
        self.ids = None if ids is None else Path(ids)

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
        layers = self._vectors.layers
        for some in np.array_split(np.arange(len(rows)), -(-len(rows) // ROWS_AT_ONCE)):
            writer.write(pending[some], {name: values[rows[some]] for name, values in layers.items()})

    @cached_property
    def _vectors(self) -> StimulusVectors:
        return read_vectors(self.file, self.ids, self.layers)


class OneHotExtractor:
    """One feature per stimulus.

    With every stimulus in the training data it predicts as well as any full-rank space; for a stimulus it never saw
    it predicts nothing.
    """

    reads: Literal[""] = ""  # a row depends on its place in the table

    def digest(self) -> str:
        """Return an empty digest: there are no weights."""
        return ""

    def describe(self) -> dict[str, object]:
        """Return nothing: there is nothing to know."""
        return {}

    def extract(self, stimuli: pd.DataFrame, writer: Writer) -> None:
        """Write the layer "onehot" (n_stimuli, n_stimuli)."""
        rows = writer.pending
        if len(rows):
            writer.write(rows, {"onehot": np.eye(len(stimuli), dtype=np.float32)[rows]})


class RandomExtractor:
    """Independent Gaussian features; each draw is a layer."""

    reads: Literal[""] = ""

    def __init__(self, n_features: int = 384, n_draws: int = 1, seed: int = 0) -> None:
        self.n_features, self.n_draws, self.seed = n_features, n_draws, seed

    def digest(self) -> str:
        """Return the digest of the seed."""
        return hashlib.sha256(str(self.seed).encode()).hexdigest()

    def describe(self) -> dict[str, object]:
        """Return nothing: the settings say it all."""
        return {}

    def extract(self, stimuli: pd.DataFrame, writer: Writer) -> None:
        """Write the layers "draw1", "draw2", ... (n_stimuli, n_features), scaled to rows of norm about 1."""
        rows = writer.pending
        if not len(rows):
            return
        layers = {}
        for draw in range(self.n_draws):
            values = np.random.default_rng([self.seed, draw]).normal(size=(len(stimuli), self.n_features))
            layers[f"draw{draw + 1}"] = (values / np.sqrt(self.n_features)).astype(np.float32)[rows]
        writer.write(rows, layers)
