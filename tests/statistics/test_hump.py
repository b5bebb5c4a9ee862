"""Centre and rise of humps of known shape, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.statistics import first_hump, hump_latency, score_latency

TIMES = np.arange(0, 0.5, 0.01)


def hump(centre: float, width: float = 0.04, height: float = 0.3) -> np.ndarray:
    return 0.5 + height * np.exp(-0.5 * ((TIMES - centre) / width) ** 2)


def test_a_gaussian_hump_between_samples() -> None:
    draws = np.stack([hump(centre) for centre in np.linspace(0.16, 0.19, 101)])
    found = hump_latency(hump(0.173), draws, TIMES, chance=0.5)
    assert found.centre == pytest.approx(0.173, abs=0.001)
    assert found.rise == pytest.approx(0.173 - 0.04 * np.sqrt(2 * np.log(2)), abs=0.002)
    assert (found.centre_low, found.centre_high) == pytest.approx((0.1608, 0.1893), abs=0.002)


def test_intervals_of_few_folds_are_stretched_by_students_t() -> None:
    draws = np.stack([hump(centre) for centre in np.linspace(0.16, 0.19, 101)])
    plain, stretched = (hump_latency(hump(0.173), draws, TIMES, chance=0.5, n_folds=n) for n in (None, 6))
    assert (stretched.centre, stretched.rise) == (plain.centre, plain.rise)
    for name in ("centre", "rise"):
        for end in ("low", "high"):
            ratio = [getattr(found, f"{name}_{end}") - getattr(found, name) for found in (stretched, plain)]
            assert ratio[0] / ratio[1] == pytest.approx(2.5706 / 1.9600, abs=1e-4)
    refused("2 or more; got 1", hump_latency, hump(0.173), draws, TIMES, n_folds=1)


def test_the_rise_does_not_depend_on_the_height() -> None:
    draws = np.stack([hump(0.2), hump(0.2)])
    rises = [hump_latency(hump(0.2, height=h), draws, TIMES, chance=0.5).rise for h in (0.05, 0.4)]
    assert rises[0] == pytest.approx(rises[1], abs=1e-9)


def test_a_hump_that_begins_before_the_epoch_and_none_at_all() -> None:
    draws = np.stack([hump(0.0)] * 2)
    assert hump_latency(hump(0.0), draws, TIMES, chance=0.5).rise == 0
    flat = np.full(len(TIMES), 0.4)
    assert hump_latency(flat, np.stack([flat] * 2), TIMES, chance=0.5).centre == 0
    refused(r"got \(49,\)", hump_latency, flat[1:], draws, TIMES)


def two_humps(first: float = 0.1, second: float = 0.15) -> np.ndarray:
    return hump(0.17, 0.02, first) + hump(0.3, 0.03, second) - 0.5


def test_the_first_hump_is_not_the_highest() -> None:
    window = first_hump(two_humps(), TIMES, 0.55, chance=0.5)
    assert window is not None
    assert window[0] < 0.13
    assert 0.2 <= window[1] <= 0.25  # the valley between
    draws = np.stack([two_humps(0.1, height) for height in np.linspace(0.05, 0.3, 21)])
    found = hump_latency(two_humps(), draws, TIMES, chance=0.5, window=window)
    assert found.centre == pytest.approx(0.17, abs=0.005)
    assert found.centre_low == pytest.approx(0.17, abs=0.01)
    assert found.centre_high == pytest.approx(0.17, abs=0.01)
    assert hump_latency(two_humps(), draws, TIMES, chance=0.5).centre == pytest.approx(0.3, abs=0.005)


def test_what_is_below_the_threshold_or_short_is_no_first_hump() -> None:
    assert first_hump(two_humps(0.03), TIMES, 0.55, chance=0.5)[0] > 0.2  # type: ignore[index]
    assert first_hump(two_humps(0.03, 0.03), TIMES, 0.55, chance=0.5) is None
    spike = np.where(np.arange(len(TIMES)) == 5, 0.9, two_humps())
    assert first_hump(spike, TIMES, 0.55, chance=0.5) == (TIMES[6], TIMES[22])
    assert first_hump(spike, TIMES, 0.55, chance=0.5, n_consecutive=1) == (TIMES[0], TIMES[6])
    refused("no time lies in the window", hump_latency, spike, np.stack([spike] * 2), TIMES, window=(2, 3))


def test_rivals_are_counted_from_chance() -> None:
    """Two humps of areas under the curve: the score never falls to half of itself, but well to half its height."""
    rng = np.random.default_rng(0)
    draws = two_humps(0.14, 0.15) + 0.02 * rng.normal(size=(200, len(TIMES)))
    null = 0.5 + 0.01 * rng.normal(size=(99, len(TIMES)))
    found = score_latency(two_humps(0.14, 0.15), draws, null, TIMES, chance=0.5)
    assert not found.decided
    assert found.margin == pytest.approx(0.01, abs=0.002)
