"""Correlation of areas with cortical maps: a planted map is found, unrelated ones are not; few areas."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.statistics import area_map_test, smooth_map_test, spin_orders


def sphere(n: int) -> np.ndarray:
    """Return points spread evenly over a sphere of 100 mm."""
    k = np.arange(n) + 0.5
    height, turn = 1 - 2 * k / n, np.pi * (1 + np.sqrt(5)) * k
    flat = np.sqrt(1 - height**2)
    return 100 * np.column_stack([flat * np.cos(turn), flat * np.sin(turn), height])


def smooth(places: np.ndarray, n_maps: int, seed: int) -> np.ndarray:
    chord = np.linalg.norm(places[:, None] - places, axis=2)
    values, vectors = np.linalg.eigh(np.exp(-(chord**2) / (2 * 60**2)))
    return (np.random.default_rng(seed).normal(size=(n_maps, len(places))) * np.sqrt(np.maximum(values, 0))) @ vectors.T


PLACES = sphere(90)
SEPARATION = np.linalg.norm(PLACES[:, None] - PLACES, axis=2)
SPINS = list(spin_orders(PLACES, np.full(90, "L"), 300, seed=1))


def test_a_planted_map_is_found_and_unrelated_ones_are_not() -> None:
    maps = smooth(PLACES, 8, seed=0)
    values = maps[0] + 0.3 * maps[0].std() * np.random.default_rng(2).normal(size=90)
    found = area_map_test(values, {f"map{k}": row for k, row in enumerate(maps)}, SPINS, SEPARATION).set_index("map")
    assert found.loc["map0", "q"] <= 0.05
    assert (found["q"].drop("map0") > 0.05).all()
    assert set(found["null"]) == {"spin"}
    assert found.loc["map0", "r"] == pytest.approx(np.corrcoef(values, maps[0])[0, 1])
    assert (found["null_sd"] > 1 / np.sqrt(89)).all()  # smooth maps correlate by chance more than independent areas


def test_few_areas_are_carried_over_the_whole_map() -> None:
    some = np.argsort(SEPARATION[0])[:12]  # a patch, as the visual cortex is
    maps = smooth(PLACES, 2, seed=3)
    values = np.full(90, np.nan)
    values[some] = maps[0, some]
    found = area_map_test(values, {"same": maps[0], "other": maps[1]}, SPINS, SEPARATION).set_index("map")
    assert found["n"].tolist() == [12, 12]
    assert set(found["null"]) == {"spin"}
    assert found.loc["same", "p"] < 0.05 < found.loc["other", "p"]


def test_maps_of_few_areas_are_compared_with_smooth_random_maps() -> None:
    some = np.argsort(SEPARATION[0])[:12]
    part, maps = SEPARATION[np.ix_(some, some)], smooth(PLACES, 2, seed=3)[:, some]
    found = area_map_test(maps[0], {"same": maps[0], "other": maps[1]}, [], part, n_surrogates=300)
    assert set(found["null"]) == {"smooth random maps"}
    by_hand = smooth_map_test(maps[0], maps[1], part, n_surrogates=300)
    assert found["p"].iloc[1] == pytest.approx(by_hand.p[0])
    assert found["p"].iloc[0] < 0.05
    assert (found["null_sd"] > 0.2).all()


def test_too_few_areas_have_no_p() -> None:
    found = area_map_test(np.array([1.0, 2, 4]), {"map": np.array([1.0, 3, 4])}, [], SEPARATION[:3, :3]).iloc[0]
    assert np.isnan(found["p"])
    assert np.isnan(found["q"])
    assert found["reason"].startswith("3 areas with both values")
    constant = area_map_test(np.ones(90), {"map": PLACES[:, 0]}, SPINS[:5], SEPARATION).iloc[0]
    assert np.isnan(constant["r"])
    assert constant["reason"]


def test_bad_input() -> None:
    with pytest.raises(BrainalignError, match="give maps of the same vertices or parcels"):
        area_map_test(np.ones(90), {"map": np.ones(5)}, SPINS[:5], SEPARATION)
    refused("separation_mm has 3 rows", area_map_test, np.ones(90), {"map": np.ones(90)}, SPINS[:5], SEPARATION[:3])


# --- smooth maps ------------------------------------------------------------------------------------------------------


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
