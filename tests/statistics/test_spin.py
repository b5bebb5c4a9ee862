from itertools import product

import numpy as np
import pytest
from refusals import refused
from scipy.linalg import null_space
from worlds.hierarchy import smooth_maps

from brainalign.statistics import area_map_test, smooth_map_test, spin_orders, spin_test
from brainalign.statistics.smooth_maps import JITTER, NUGGETS

N = 300  # vertices per hemisphere


def fibonacci(n: int = N) -> np.ndarray:
    z, turn = 1 - (2 * np.arange(n) + 1) / n, np.pi * (1 + 5**0.5) * np.arange(n)
    radius = np.sqrt(1 - z**2)
    return 100 * np.column_stack([radius * np.cos(turn), radius * np.sin(turn), z])


LEFT = fibonacci()
SPHERE = np.vstack([LEFT, LEFT * [-1, 1, 1]])  # vertex k of the right is the mirror image of vertex k of the left
HEMI = np.repeat(["L", "R"], N)


def test_hemispheres_turn_as_mirror_images_by_uniform_rotations() -> None:
    for order in spin_orders(SPHERE, HEMI, 20):
        left, right = order[:N], order[N:]
        assert left.max() < N <= right.min()
        assert np.array_equal(left, right - N)
    # What the places get lies as far apart as the places do, up to the grain of the mesh.
    for order in spin_orders(SPHERE, HEMI, 5):
        turned, before = SPHERE[order[:N]], np.linalg.norm(LEFT[:, None] - LEFT, axis=2)
        after = np.linalg.norm(turned[:, None] - turned, axis=2)
        assert np.abs(before - after).max() < 40  # two vertices, each off by less than a spacing of 20 mm
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.98
    first = np.array([LEFT[order[0]] for order in spin_orders(SPHERE, HEMI, 1000)])
    assert np.abs(first.mean(axis=0)).max() < 3 * 100 / np.sqrt(3 * 1000)


def test_the_medial_wall_gives_no_value_and_maps_that_say_nothing_a_reason() -> None:
    wall, values = SPHERE[:, 2] > 80, SPHERE[:, 0]
    orders = list(spin_orders(SPHERE, HEMI, 50))
    assert np.mean([wall[order] for order in orders]) == pytest.approx(wall.mean(), abs=0.03)
    given = spin_test(np.where(wall, np.nan, values), {"y": SPHERE[:, 1]}, orders).iloc[0]
    landed = [(~wall[order], values[order]) for order in orders]  # a place in the wall may get a value, too
    null = [np.corrcoef(turned[there], SPHERE[there, 1])[0, 1] for there, turned in landed]
    assert (given["null_sd"], given["n"], given["n_spins"]) == (pytest.approx(np.std(null, ddof=1)), (~wall).sum(), 50)
    orders, values = list(spin_orders(SPHERE, HEMI, 5)), SPHERE[:, 0]
    maps = {"constant": np.full(2 * N, 0.1), "empty": np.full(2 * N, np.nan), "itself": values}
    maps["part"] = np.where(SPHERE[:, 2] > 60, values, np.nan)  # of which every rotation keeps all places
    found = spin_test(values, maps, orders).set_index("map")
    for column in "rpq":
        assert found[column].isna().tolist() == [True, True, False, False]
    assert found["reason"].tolist() == ["constant map, or fewer than 3 entries in common"] * 2 + [""] * 2
    flat, steep = (spin_test(0.1 + size * values, {"itself": values}, orders)["r"][0] for size in (0, 1e-9))
    assert np.isnan(flat)
    assert (steep, found.loc["itself", "r"]) == (pytest.approx(1), pytest.approx(1))


PLACES = fibonacci(90)
SEPARATION = np.linalg.norm(PLACES[:, None] - PLACES, axis=2)
SPINS = list(spin_orders(PLACES, np.full(90, "L"), 300, seed=1))


def test_planted_maps_are_found_few_areas_compared_with_smooth_maps_too_few_not() -> None:
    maps = smooth_maps(SEPARATION, 60, 8, seed=0)
    values = maps[0] + 0.3 * maps[0].std() * np.random.default_rng(2).normal(size=90)
    found = area_map_test(values, {f"map{k}": row for k, row in enumerate(maps)}, SPINS, SEPARATION).set_index("map")
    assert found.loc["map0", "q"] <= 0.05
    assert (found["q"].drop("map0") > 0.05).all()
    assert (set(found["null"]), found.loc["map0", "r"]) == ({"spin"}, pytest.approx(np.corrcoef(values, maps[0])[0, 1]))
    assert (found["null_sd"] > 1 / np.sqrt(89)).all()  # smooth maps correlate by chance more than independent areas
    some = np.argsort(SEPARATION[0])[:12]
    part, maps = SEPARATION[np.ix_(some, some)], smooth_maps(SEPARATION, 60, 2, seed=3)[:, some]
    found = area_map_test(maps[0], {"same": maps[0], "other": maps[1]}, [], part, n_surrogates=300)
    assert set(found["null"]) == {"smooth random maps"}
    assert found["p"].iloc[1] == pytest.approx(smooth_map_test(maps[0], maps[1], part, n_surrogates=300).p[0])
    assert found["p"].iloc[0] < 0.05
    assert (found["null_sd"] > 0.2).all()
    found = area_map_test(np.array([1.0, 2, 4]), {"map": np.array([1.0, 3, 4])}, [], SEPARATION[:3, :3]).iloc[0]
    assert np.isnan([found["p"], found["q"]]).all()
    assert found["reason"].startswith("3 areas with both values")
    constant = area_map_test(np.ones(90), {"map": PLACES[:, 0]}, SPINS[:5], SEPARATION).iloc[0]
    assert (np.isnan(constant["r"]), constant["reason"] != "") == (True, True)
    refused("give one hemisphere per place", spin_orders, SPHERE, HEMI[:5])
    refused("hemi must be one of 'L', 'R'; got 'left'", spin_orders, SPHERE, np.repeat(["left", "R"], N))
    refused("map 'short' has 5 rows", spin_test, SPHERE[:, 0], {"short": np.ones(5)}, [])
    flat = np.ones(90)
    refused("give maps of the same vertices or parcels", area_map_test, flat, {"map": flat[:5]}, SPINS[:5], SEPARATION)
    refused("separation_mm has 3 rows", area_map_test, flat, {"map": flat}, SPINS[:5], SEPARATION[:3])


@pytest.fixture
def sheet() -> tuple[np.ndarray, np.ndarray]:
    places = np.random.default_rng(0).uniform(0, 100, (20, 2))
    return places, np.linalg.norm(places[:, None] - places, axis=2)


@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
def test_likelihoods_and_surrogates_by_hand(sheet: tuple[np.ndarray, np.ndarray], alternative: str) -> None:
    """The restricted likelihood is that of contrasts, in which no mean is left; its scale is the one that fits best."""
    places, separation = sheet
    maps = np.random.default_rng(3).normal(size=(2, 20)) + places.T / 40
    found = smooth_map_test(maps, places[:, 0], separation, alternative=alternative, n_surrogates=60, seed=5)
    assert found.r == pytest.approx([np.corrcoef(row, places[:, 0])[0, 1] for row in maps])
    noise, contrasts = np.random.default_rng(5).normal(size=(60, 20)), null_space(np.ones((1, 20)))
    kernels = (
        lambda x: np.exp(-(x**2) / 2), lambda x: (1 + np.sqrt(3) * x) * np.exp(-np.sqrt(3) * x), lambda x: np.exp(-x)
    )  # fmt: skip
    lengths = np.geomspace(np.sort(separation, axis=1)[:, 1].mean() / 2, separation.max(), 20)
    size = np.abs if alternative == "two-sided" else np.positive
    rows = []
    for kernel, length, nugget in product(kernels, lengths, NUGGETS):
        values, vectors = np.linalg.eigh(kernel(separation / length))
        variances = (1 - nugget) * np.maximum(values, 0) + nugget + JITTER
        covariance, y = contrasts.T @ (vectors * variances) @ vectors.T @ contrasts, maps @ contrasts
        rest = (y * np.linalg.solve(covariance, y.T).T).sum(axis=1)
        likelihood = -(np.linalg.slogdet(covariance)[1] + 19 * np.log(rest)) / 2
        null = np.corrcoef(places[:, 0], noise * np.sqrt(variances) @ vectors.T)[0, 1:]
        reached = [(size(null) >= size(r) - 1e-9).sum() for r in found.r]
        rows.append((likelihood, reached, np.full(2, length), np.full(2, (null**2).mean())))
    likelihoods, reached, length, spread = np.array(rows).transpose(1, 0, 2)
    weights = np.exp(likelihoods - likelihoods.max(axis=0))
    weights /= weights.sum(axis=0)
    np.testing.assert_allclose(found.p, (1 + (weights * reached).sum(axis=0)) / 61)
    np.testing.assert_allclose(found.length_mm, (weights * length).sum(axis=0))
    np.testing.assert_allclose(found.null_sd, np.sqrt((weights * spread).sum(axis=0)))


def test_what_cannot_be_tested_is_refused(sheet: tuple[np.ndarray, np.ndarray]) -> None:
    places, separation = sheet
    target = places[:, 0]
    refused("the same in all 20 areas", smooth_map_test, np.ones(20), target, separation)
    refused("4 to 500 areas; got 3; decide more areas", smooth_map_test, target[:3], target[:3], separation[:3, :3])
    refused(r"needs maps \(n_maps, n_areas\)", smooth_map_test, target[:5], target, separation)
    gap = np.where(np.arange(20) == 3, np.nan, target)
    refused("leave out areas without a value", smooth_map_test, gap, target, separation)
    refused("must be symmetric", smooth_map_test, places[:, 1], target, separation - 1)
    refused("alternative must be one of", smooth_map_test, target, target, separation, alternative="less")
