from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.encoding import half_times


def test_planted_half_times() -> None:
    """Saturating curves s(t) = s0 + (1 - s0)(1 - 2^(-t / h)) reach half of their rise at h."""
    steps = np.arange(0, 2001, 20.0)
    halves = np.array([50.0, 130.0, 300.0])
    scores = 1 - 2 ** (-steps[:, None] / halves)
    found = half_times(steps, scores, ["V1", "V4", "IT"])
    final = scores[-1]
    expected = -halves * np.log2(1 - 0.5 * final)
    assert found["half_time"].to_numpy() == pytest.approx(expected, abs=0.05)
    assert found["half_time_from_start"].to_numpy() == pytest.approx(expected, abs=0.05)  # they start at 0
    assert found["relative"].to_numpy() == pytest.approx(expected / 2000, abs=1e-4)
    raised = half_times(steps, 0.2 + 0.8 * scores, ["V1", "V4", "IT"])
    assert raised["half_time_from_start"].to_numpy() == pytest.approx(expected, abs=0.05)
    assert (raised["half_time"] < raised["half_time_from_start"]).all()


def test_interpolation_is_monotone_between_checkpoints() -> None:
    """A sharp step: a cubic spline would swing below and cross the level earlier."""
    steps = np.array([0.0, 1, 2, 3, 4, 5])
    found = half_times(steps, np.array([0, 0, 0, 1.0, 1, 1]))
    assert found["half_time"].item() == pytest.approx(2.5)
    early = half_times(steps, np.array([0, 0.6, 0.1, 0.2, 0.9, 1]))  # the first crossing counts
    assert 0 < early["half_time"].item() < 1
    exact = half_times(steps, np.array([0, 0.25, 0.5, 0.75, 0.9, 1.0]))
    assert exact["half_time"].item() == 2
    assert half_times(steps, np.array([0.8, 0.5, 0.9, 1, 1, 1]))["half_time"].item() == 0


def test_a_checkpoint_above_the_level_by_rounding_alone() -> None:
    """At a local peak the cubic is flat, and no root lies before it."""
    steps, above = np.arange(5.0), np.nextafter(0.5, 1)
    found = half_times(steps, np.array([-0.5, -0.5, above, 0.2, 1.0]))
    assert found["half_time"].item() == pytest.approx(2)


def test_what_has_no_half_time_says_why() -> None:
    scores = np.array([[0.0, 0.3, np.nan, 0.1], [0.1, 0.2, 0.2, 0.3], [-0.1, 0.2, 0.4, 0.4]])
    found = half_times(np.array([0, 10, 20]), scores)
    assert found["half_time"].isna().tolist() == [True, False, True, False]
    assert found["half_time_from_start"].isna().tolist() == [True, True, True, False]
    assert found["reason"].tolist() == [
        "the final score is not above 0",
        "the final score is not above that of the first checkpoint",
        "a checkpoint has no score",
        "",
    ]


def test_bad_input() -> None:
    refused("ascending order", half_times, np.array([0, 20, 10]), np.zeros(3))
    refused("scores has 2 rows but steps has 3", half_times, np.array([0, 10, 20]), np.zeros((2, 4)))
    refused("share must lie between 0 and 1; got 1", half_times, np.array([0, 10]), np.zeros(2), share=1)
    refused("names has 1 rows", half_times, np.array([0, 10]), np.zeros((2, 2)), ["V1"])
