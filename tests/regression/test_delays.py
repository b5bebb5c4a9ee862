from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.regression import delayed_features

RUNS = np.repeat(["b", "a", "c"], [7, 2, 5])


@pytest.mark.parametrize("delays", [(0, 1, 3), (-2, 0), (6, 7), (2,)])
def test_designs_are_those_written_out(delays: tuple[int, ...]) -> None:
    """Runs of unequal length, one not longer than a delay; nothing crosses from run to run."""
    X = np.random.default_rng(0).normal(size=(14, 3))
    expected = np.zeros((14, len(delays), 3))
    for row in range(14):
        for k, delay in enumerate(delays):
            source = row - delay
            if 0 <= source < 14 and RUNS[source] == RUNS[row]:
                expected[row, k] = X[source]
    np.testing.assert_array_equal(delayed_features(X, delays, RUNS), expected.reshape(14, -1))


def test_rows_of_a_run_stand_together() -> None:
    refused("rows of a run do not stand together", delayed_features, np.ones((3, 1)), (0,), np.array(["a", "b", "a"]))
    refused("14", delayed_features, np.ones((3, 1)), (0,), RUNS)
