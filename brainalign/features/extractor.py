"""The contract between extractors and whatever stores their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Extractor", "Writer"]


class Writer(Protocol):
    """Takes rows in the order of the stimuli; `brainalign.artifacts.open_writer` makes one that streams to disk."""

    @property
    def done(self) -> int:
        """Rows already stored: extraction goes on from here."""

    def write(self, rows: Mapping[str, NDArray[np.float32]]) -> None:
        """Append rows (n_rows, ...) of every layer."""


class Extractor(Protocol):
    """Turns stimuli into features."""

    def digest(self) -> str:
        """Return the sha256 of everything but code that determines the features: weights, tokeniser."""

    def extract(self, stimuli: pd.DataFrame, writer: Writer) -> None:
        """Write one row per stimulus and layer, from `writer.done` on."""
