from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from scipy.stats import binomtest

from brainalign.checks import BrainalignError
from brainalign.statistics import spin_orders, spin_test

N = 300  # vertices per hemisphere


def fibonacci(n: int = N) -> np.ndarray:
    """Return points spread evenly on a sphere."""
    z = 1 - (2 * np.arange(n) + 1) / n
    turn = np.pi * (1 + 5**0.5) * np.arange(n)
    radius = np.sqrt(1 - z**2)
    return 100 * np.column_stack([radius * np.cos(turn), radius * np.sin(turn), z])


LEFT = fibonacci()
SPHERE = np.vstack([LEFT, LEFT * [-1, 1, 1]])  # vertex k of the right is the mirror image of vertex k of the left
HEMI = np.repeat(["L", "R"], N)


def test_hemispheres_turn_as_mirror_images() -> None:
    for order in spin_orders(SPHERE, HEMI, 20):
        left, right = order[:N], order[N:]
        assert left.max() < N <= right.min()
        assert np.array_equal(left, right - N)


def test_a_spin_is_a_rotation() -> None:
    """What the places get lies as far apart as the places do, up to the grain of the mesh."""
    for order in spin_orders(SPHERE, HEMI, 5):
        turned = SPHERE[order[:N]]
        before = np.linalg.norm(LEFT[:, None] - LEFT, axis=2)
        after = np.linalg.norm(turned[:, None] - turned, axis=2)
        assert np.abs(before - after).max() < 40  # two vertices, each off by less than a spacing of 20 mm
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.98


def test_rotations_are_uniform() -> None:
    first = np.array([LEFT[order[0]] for order in spin_orders(SPHERE, HEMI, 1000)])
    assert np.abs(first.mean(axis=0)).max() < 3 * 100 / np.sqrt(3 * 1000)


def test_the_medial_wall_takes_part_but_gives_no_value() -> None:
    wall = SPHERE[:, 2] > 80
    entries = np.where(wall, -1, np.cumsum(~wall) - 1)
    lost = []
    for order in spin_orders(SPHERE, HEMI, 50, entries=entries):
        assert len(order) == (~wall).sum()
        assert -1 <= order.min() <= order.max() < len(order)
        lost.append((order == -1).mean())
    assert np.mean(lost) == pytest.approx(wall.mean(), abs=0.03)


def test_parcels_get_the_parcel_they_land_on() -> None:
    entries = (SPHERE[:, 2] < 0).astype(int) + 2 * (HEMI == "R")  # north and south of each hemisphere
    places = np.array([[0, 0, 100.0], [0, 0, -100], [0, 0, 100], [0, 0, -100]])
    orders = np.array(
        list(spin_orders(SPHERE, HEMI, 60, entries=entries, places=places, place_hemi=np.array(["L", "L", "R", "R"])))
    )
    assert (orders[:, 2:] == orders[:, :2] + 2).all()
    assert (orders[:, 0] != orders[:, 1]).mean() > 0.9  # both in one half only where they land beside the equator
    assert 15 < (orders[:, 0] == 0).sum() < 45


def test_correlations_leave_out_places_without_a_value() -> None:
    rng = np.random.default_rng(0)
    values, other = rng.normal(size=12), rng.normal(size=12)
    values[3], other[5] = np.nan, np.nan
    orders = [rng.permutation(12), np.array([-1, *rng.permutation(11)]), np.full(12, -1)]
    found = spin_test(values, {"other": other}, orders).iloc[0]
    null = []
    for order in orders[:2]:
        turned = np.where(order < 0, np.nan, values[order])
        both = np.isfinite(turned + other)
        null.append(np.corrcoef(turned[both], other[both])[0, 1])
    both = np.isfinite(values + other)
    assert found["r"] == pytest.approx(np.corrcoef(values[both], other[both])[0, 1])
    assert found["n"] == 10
    assert found["n_spins"] == 2  # the third keeps no place
    assert found["null_sd"] == pytest.approx(np.std(null, ddof=1))
    assert found["p"] == pytest.approx((1 + sum(abs(r) >= abs(found["r"]) for r in null)) / 3)


def test_maps_that_say_nothing_give_nan_with_a_reason() -> None:
    orders = list(spin_orders(SPHERE, HEMI, 5))
    values = SPHERE[:, 0]
    maps = {"constant": np.full(2 * N, 0.1), "empty": np.full(2 * N, np.nan), "itself": values}
    found = spin_test(values, maps, orders).set_index("map")
    assert found["r"].isna().tolist() == [True, True, False]
    assert found["p"].isna().tolist() == [True, True, False]
    assert found["q"].isna().tolist() == [True, True, False]
    assert "constant" in found.loc["constant", "reason"]
    assert found.loc["itself", "r"] == pytest.approx(1)
    assert found.loc["itself", "reason"] == ""


def test_one_sided() -> None:
    rng = np.random.default_rng(0)
    orders = list(spin_orders(SPHERE, HEMI, 200))
    values = SPHERE[:, 2] + 30 * rng.normal(size=2 * N)
    maps = {"with": SPHERE[:, 2], "against": -SPHERE[:, 2]}
    greater = spin_test(values, maps, orders, "greater")["p"]
    both = spin_test(values, maps, orders)["p"]
    assert greater[0] <= 0.05
    assert greater[1] > 0.9
    assert both[0] == both[1]


def smooth(rng: np.random.Generator, n_maps: int, length_mm: float = 40) -> np.ndarray:
    """Return maps on the spheres: sums of waves of random direction, a Gaussian field of that length."""
    waves = rng.normal(size=(n_maps, 2, 60, 3)) / length_mm
    phases = rng.uniform(0, 2 * np.pi, (n_maps, 2, 60))
    parts = [
        np.cos(np.einsum("mkc,vc->mvk", waves[:, side], SPHERE[name == HEMI]) + phases[:, side, None]).sum(axis=2)
        for side, name in enumerate("LR")
    ]
    return np.concatenate(parts, axis=1)


def test_size_where_vertices_are_far_from_independent() -> None:
    rng = np.random.default_rng(1)
    wall = SPHERE[:, 2] > 80
    entries = np.where(wall, -1, np.cumsum(~wall) - 1)
    orders = list(spin_orders(SPHERE, HEMI, 199, entries=entries))
    hits, naive = 0, 0
    for _ in range(12):
        values, *maps = smooth(rng, 11)[:, ~wall]
        found = spin_test(values, {str(k): given for k, given in enumerate(maps)}, orders)
        hits += (found["p"] <= 0.05).sum()
        naive += (found["r"].abs() > 2 / np.sqrt(len(values))).sum()
    assert binomtest(int(hits), 120, 0.05, alternative="greater").pvalue > 0.01
    assert naive / 120 > 0.4


def test_bad_input() -> None:
    refused("give one hemisphere per vertex", spin_orders, SPHERE, HEMI[:5])
    with pytest.raises(BrainalignError, match="must be among L, R; got 'left'"):
        spin_orders(SPHERE, np.repeat(["left", "R"], N), places=SPHERE[:1], place_hemi=np.array(["left"]))
    refused("for parcels give places", spin_orders, SPHERE, HEMI, entries=np.zeros(2 * N, dtype=int))
    refused("go together", spin_orders, SPHERE, HEMI, places=SPHERE)
    refused("there are 1 places", spin_orders, SPHERE, HEMI, places=SPHERE[:1], place_hemi=HEMI[:1])
    refused("map 'short' has 5 rows", spin_test, SPHERE[:, 0], {"short": np.ones(5)}, [])
