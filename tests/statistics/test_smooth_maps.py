from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.statistics import smooth_map_test


@pytest.fixture
def sheet() -> tuple[np.ndarray, np.ndarray]:
    """Return places of 20 areas on a sheet of 100 mm, and their separations."""
    places = np.random.default_rng(0).uniform(0, 100, (20, 2))
    return places, np.linalg.norm(places[:, None] - places, axis=2)


def test_r_is_pearsons(sheet: tuple[np.ndarray, np.ndarray]) -> None:
    places, separation = sheet
    maps = np.random.default_rng(1).normal(size=(3, 20))
    found = smooth_map_test(maps, places[:, 0], separation, n_surrogates=50)
    assert found.r == pytest.approx([np.corrcoef(row, places[:, 0])[0, 1] for row in maps])


def test_scale_and_shift_change_nothing(sheet: tuple[np.ndarray, np.ndarray]) -> None:
    places, separation = sheet
    maps = np.random.default_rng(1).normal(size=(3, 20))
    found = smooth_map_test(maps, places[:, 0], separation, n_surrogates=200)
    again = smooth_map_test(5 - 3 * maps, 2 * places[:, 0] + 1, separation, n_surrogates=200)
    assert again.r == pytest.approx(-found.r)
    assert again.p == pytest.approx(found.p)  # two-sided


def test_the_length_of_smooth_maps_is_found(sheet: tuple[np.ndarray, np.ndarray]) -> None:
    """Longer fields get longer lengths: the likelihood is that of the map, not of the areas."""
    places, separation = sheet
    rng = np.random.default_rng(2)
    lengths = []
    for length in (10, 60):
        covariance = np.exp(-(separation**2) / (2 * length**2)) + 1e-6 * np.eye(20)
        maps = rng.normal(size=(50, 20)) @ np.linalg.cholesky(covariance).T
        lengths.append(np.median(smooth_map_test(maps, places[:, 0], separation, n_surrogates=20).length_mm))
    assert lengths[0] < 25
    assert lengths[1] > 40


def test_a_trend_says_less_on_a_line_than_on_a_sheet() -> None:
    """On a line a smooth field is often a trend along it; on a sheet it has other ways to go."""
    distance = np.linspace(0, 80, 18)
    layer = np.round(distance / 16)
    angle = np.random.default_rng(0).uniform(-np.pi / 2, np.pi / 2, 18)
    places = distance[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    line, sheet = np.abs(distance[:, None] - distance), np.linalg.norm(places[:, None] - places, axis=2)
    p = [smooth_map_test(layer, distance, some, alternative="greater").p[0] for some in (line, sheet)]
    assert p[0] > 0.01 > p[1]


def test_results_repeat_for_a_seed(sheet: tuple[np.ndarray, np.ndarray]) -> None:
    places, separation = sheet
    values = np.random.default_rng(1).normal(size=20)
    p = [smooth_map_test(values, places[:, 0], separation, n_surrogates=50, seed=seed).p[0] for seed in (3, 3, 4)]
    assert p[0] == p[1] != p[2]


def test_what_cannot_be_tested_is_refused(sheet: tuple[np.ndarray, np.ndarray]) -> None:
    places, separation = sheet
    target = places[:, 0]
    refused("the same in all 20 areas", smooth_map_test, np.ones(20), target, separation)
    refused("4 to 500 areas; got 3; decide more areas", smooth_map_test, target[:3], target[:3], separation[:3, :3])
    refused(r"needs maps \(n_maps, n_areas\)", smooth_map_test, target[:5], target, separation)
    with pytest.raises(BrainalignError, match="leave out areas without a value"):
        smooth_map_test(np.where(np.arange(20) == 3, np.nan, target), target, separation)
    refused("must be symmetric", smooth_map_test, places[:, 1], target, separation - 1)
    refused("alternative must be one of", smooth_map_test, target, target, separation, alternative="less")
