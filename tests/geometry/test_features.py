from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Features
from brainalign.checks import BrainalignError
from brainalign.geometry import feature_rdms, rdm


def test_stimuli_are_matched_by_id_and_a_missing_one_is_named() -> None:
    values = np.random.default_rng(0).normal(size=(5, 2, 3))  # tokens are flattened
    layers = {"late": Features(values, pd.DataFrame({"stimulus_id": list("abcde")}), "late")}
    expected = rdm(values[[3, 0, 2]].reshape(3, -1), "euclidean")
    np.testing.assert_array_equal(feature_rdms(layers, ["d", "a", "c"], "euclidean")["late"], expected)
    with pytest.raises(BrainalignError, match=r"layer 'late' has no features for 1 of 3 stimuli \(x\); run extract"):
        feature_rdms(layers, ["d", "x", "c"], "euclidean")
