"""Size and power of the spin test on the real spheres and parcels of fs_LR-32k."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shown import Record, within
from worlds.hierarchy import smooth_maps

from brainalign.datasets import parcel_means, read_cortical_maps, read_schaefer
from brainalign.encoding import half_times
from brainalign.statistics import spin_orders, spin_test

REAL = Path(os.environ.get("BRAINALIGN_DATA", "nowhere"), "cortical-maps")
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="needs cortical-maps in the folder named by BRAINALIGN_DATA")


def schaefer(n: int) -> tuple[pd.DataFrame, np.ndarray, list[np.ndarray]]:
    """Return parcel means of the real maps, distances between parcels on the spheres, and 1,000 spins."""
    maps = read_cortical_maps(REAL)
    parcels = read_schaefer(REAL / f"schaefer_{n}_conte69.csv", maps)
    apart = parcels.centres + 1e4 * (parcels.hemi == "R")[:, None] * [1, 0, 0]  # hemispheres are far from each other
    spins = spin_orders(parcels.centres, parcels.hemi, 1000)
    return parcel_means(maps.maps, parcels), np.linalg.norm(apart[:, None] - apart, axis=2), list(spins)


IN_FULL = [pytest.param(n, 10, 100, id=f"full-{n}", marks=pytest.mark.acceptance) for n in (100, 400)]


@pytest.mark.parametrize("length_mm", [20, 40])
@pytest.mark.parametrize(("n_parcels", "n_rotated", "n_fixed"), [pytest.param(100, 2, 100, id="reduced"), *IN_FULL])
def test_spin_on_the_real_sphere(n_parcels: int, n_rotated: int, n_fixed: int, length_mm: int, record: Record) -> None:
    """Spin test of Schaefer parcels on fs_LR-32k: false positives on smooth random maps, and power"""
    means, separation, spins = schaefer(n_parcels)
    maps = smooth_maps(separation, length_mm, n_rotated * (n_fixed + 1), seed=length_mm)
    hits, naive, n = 0, 0, n_rotated * n_fixed
    for rotated, *fixed in maps.reshape(n_rotated, n_fixed + 1, -1):
        found = spin_test(rotated, {str(k): given for k, given in enumerate(fixed)}, spins)
        hits += (found["p"] <= 0.05).sum()
        naive += (found["r"].abs() > 1.98 / np.sqrt(n_parcels)).sum()
    thickness = means["thickness"].to_numpy()
    unrelated = {str(k): given for k, given in enumerate(maps[:500])}
    real_map = (spin_test(thickness, unrelated, spins)["p"] <= 0.05).mean()
    planted = 0.6 * (thickness - thickness.mean()) / thickness.std() + 0.8 * maps[:100]
    power = (spin_test(thickness, {str(k): given for k, given in enumerate(planted)}, spins)["p"] <= 0.05).mean()
    where, most = f"{n_parcels} parcels, {length_mm} mm", 0.07 if n >= 500 else 0.1
    within(record, f"{where}: false positives at .05", hits / n, f" (n = {n})", most=most)
    within(record, f"{where}: the same, real thickness rotated", real_map, f" (n = {len(unrelated)})", most=most)
    record(f"{where}: assumes independent parcels", f"{naive / n:.3f}", "shown")
    within(record, f"{where}: power, .6 thickness + .8 smooth map", power, " (n = 100)", least=0.8)


def test_half_times_along_a_real_map(record: Record, rng: np.random.Generator) -> None:
    """Half-times planted along the real myelin map, from noisy training curves of 100 parcels"""
    means, separation, spins = schaefer(100)
    steps, myelin = np.r_[0, np.geomspace(10, 1e5, 40)], means["t1wt2w"].to_numpy()
    halves = 1000 * np.exp(-0.5 * (myelin - myelin.mean()) / myelin.std() + 0.5 * rng.normal(size=100))
    curves = 0.4 * (1 - 2 ** (-steps[:, None] / halves)) + 0.01 * rng.normal(size=(len(steps), 100))
    found = half_times(steps, curves, list(means.index))
    assert (found["reason"] == "").all()
    times = np.log(found["half_time"].to_numpy())
    assert np.corrcoef(times, np.log(halves))[0, 1] > 0.97
    maps = {"myelin": myelin} | {f"unrelated {k}": given for k, given in enumerate(smooth_maps(separation, 40, 5))}
    table = spin_test(times, maps, spins).set_index("map")
    assert table.loc["myelin", "r"] == pytest.approx(np.corrcoef(np.log(halves), myelin)[0, 1], abs=0.02)
    assert table.loc["myelin", "q"] <= 0.01
    assert (table["p"].iloc[1:] > 0.05).sum() >= 4
    record("half-times with myelin", f"r {table.loc['myelin', 'r']:.2f}, p {table.loc['myelin', 'p']:.3f}", "p <= .01")
