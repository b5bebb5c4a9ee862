"""What linear encoders are given of a layer."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.features import layer_inputs
from brainalign.features.reduction import TOTAL_VARIANCE


@pytest.mark.parametrize(("maps", "n_components"), [(False, None), (True, None), (True, 3)])
def test_features_are_scaled_and_reduced_on_training_rows_alone(maps: bool, n_components: int | None) -> None:
    rng = np.random.default_rng(0)
    values, train = rng.normal(size=(30, 8)).astype(np.float32), np.arange(20)
    options = {"n_components": n_components, "maps": maps}
    ours = layer_inputs(values, train, **options)
    other = values.copy()
    other[20:] = 50 + 9 * rng.normal(size=(10, 8))  # nothing of the test rows may reach the training rows
    np.testing.assert_array_equal(layer_inputs(other, train, **options)[:20], ours[:20])
    assert ours.shape[1] == (n_components or 8)
    np.testing.assert_allclose(ours[:20].mean(axis=0), 0, atol=1e-5)
    assert np.square(ours[:20]).sum(axis=1).mean() == pytest.approx(TOTAL_VARIANCE, rel=1e-5)
