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
