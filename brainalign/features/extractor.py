"""The contract between extractors and whatever stores their rows."""

from collections.abc import Iterator, Mapping
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Grid = tuple[int, int]


class Writer(Protocol):
    """Takes rows in any order; `brainalign.io.artifacts.open_writer` makes one that streams to disk."""

    @property
    def pending(self) -> NDArray[np.intp]:
        """Rows of the table of stimuli that are still to be computed, in ascending order."""

    def write(
        self, rows: NDArray[np.intp], values: Mapping[str, NDArray[np.float32]], grids: Mapping[str, Grid] | None = None
    ) -> None:
        """Store the values (n_rows, ...) of `rows`, by layer; `grids` tells how the tokens of a layer are laid out."""


class Extractor(Protocol):
    """Turns stimuli into features."""

    reads: Literal["path", "texts", "sound", "film", ""]
    """The column of the stimuli that alone determines a row; empty where a row depends on its place in the table.

    Of "sound" rows are pieces of the file in `path`, `rate_hz` of the extractor a second; of "film" frames in `path`,
    each read with those around it.
    """

    def digest(self) -> str:
        """Return the sha256 of everything but code that determines the features: weights, tokeniser, preprocessing."""

    def describe(self) -> dict[str, object]:
        """Describe the features for their reader, as JSON: digests, preprocessing, layers."""

    def extract(self, stimuli: pd.DataFrame, writer: Writer) -> None:
        """Write one row per stimulus in `writer.pending`, for every layer."""


def batches(writer: Writer, size: int) -> Iterator[NDArray[np.intp]]:
    """Yield the pending rows, `size` at a time.

    Examples
    --------
    >>> for rows in batches(writer, 32):
    ...     writer.write(rows, {"layer": compute(stimuli.iloc[rows])})
    """
    pending = writer.pending
    for start in range(0, len(pending), size):
        yield pending[start : start + size]
