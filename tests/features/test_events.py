from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.features import resample_events


def test_lanczos_sums_are_those_written_out() -> None:
    rng = np.random.default_rng(0)
    onsets, durations, times = rng.uniform(0, 60, 80), rng.uniform(0, 1, 80), np.arange(0.75, 60, 1.5)
    vectors = rng.normal(size=(80, 3))
    expected = np.zeros((len(times), 3))
    for i, t in enumerate(times):
        for onset, duration, vector in zip(onsets, durations, vectors, strict=True):
            x = (t - onset - duration / 2) / 1.5
            if abs(x) < 3:
                expected[i] += np.sinc(x) * np.sinc(x / 3) * vector
    found = resample_events(onsets, durations, vectors, times)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_rates_stay_rates() -> None:
    """Four events a second are eight in a row of two seconds."""
    onsets = np.arange(0, 200, 0.25)
    found = resample_events(onsets, np.zeros(len(onsets)), np.ones((len(onsets), 1)), np.arange(1.0, 200, 2.0))
    np.testing.assert_allclose(found[5:-5], 8, rtol=0.01)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_number_is_refused(place: int) -> None:
    events = [np.arange(4.0), np.ones(4), np.ones((4, 2))]
    events[place] = events[place].copy()
    events[place].flat[0] = np.nan
    refused("NaN or infinite", resample_events, *events, np.arange(5.0))
