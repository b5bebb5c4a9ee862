"""Category spaces that know nothing of meaning: the controls of every semantic feature space."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import pandas as pd

from brainalign.features.extractor import Writer


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
    """Independent Gaussian features; each draw is a layer.

    Parameters
    ----------
    n_features : int
    n_draws : int
    seed : int
    """

    reads: Literal[""] = ""

    def __init__(self, n_features: int = 384, n_draws: int = 1, seed: int = 0) -> None:
        self.n_features = n_features
        self.n_draws = n_draws
        self.seed = seed

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
