"""Decoders are estimators of scikit-learn: they clone, and say what they are asked before they are fitted."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError

from brainalign import decoding

SIGNALS, PEOPLE = np.zeros((2, 3, 4)), np.array(["a", "b"])
ASKED: list[tuple[BaseEstimator, str, tuple[Any, ...]]] = [
    (decoding.LinearDecoder(penalties=(3.0,)), "predict", (SIGNALS, PEOPLE)),
    (decoding.MaskedBrainModel(n_layers=3), "reconstruct", (SIGNALS, [0])),
    (decoding.SharedSpace(options={"eeg": {"width": 3}}), "embed", ("eeg", SIGNALS, PEOPLE)),
    (decoding.TextDecoder(n_epochs=7), "predict", (SIGNALS, None)),
]


@pytest.mark.parametrize(("decoder", "method", "given"), ASKED)
def test_decoders_clone_and_must_be_fitted(decoder: BaseEstimator, method: str, given: tuple[Any, ...]) -> None:
    made = clone(decoder)
    assert made.get_params() == decoder.get_params() != type(decoder)().get_params()
    with pytest.raises(NotFittedError):
        getattr(made, method)(*given)
