"""Tables of cortical maps by area: both hemispheres averaged, everything wrong with them said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.datasets import (
    AreaMaps,
    area_maps_table,
    parcel_means,
    read_area_maps,
    read_cortical_maps,
    read_schaefer,
)

ROWS = [
    ("V1", "L", -10.0, -99.0, 5.0, 2.0, 1.5),
    ("V4", "L", -60, -80, 5, 2.5, None),
    ("V1", "R", 10, -99, 5, 2.2, 1.7),
]
TABLE = pd.DataFrame(ROWS, columns=["area", "hemi", "sphere_x", "sphere_y", "sphere_z", "thickness", "myelin"])
LIMIT = -0.325  # of a hundred points above it two radii reach four in five places of the sphere
REAL = Path(os.environ.get("BRAINALIGN_DATA", "")) / "cortical-maps"


def write(folder: Path, table: pd.DataFrame) -> Path:
    table.to_csv(folder / "maps.tsv", sep="\t", index=False, na_rep="n/a")
    return folder / "maps.tsv"


def test_hemispheres_are_averaged_and_mirrored(tmp_path: Path) -> None:
    found = read_area_maps(write(tmp_path, TABLE))
    assert found.areas == ["V1", "V4"]
    assert found.maps["thickness"].tolist() == pytest.approx([2.1, 2.5])
    assert found.maps["myelin"][0] == pytest.approx(1.6)
    assert np.isnan(found.maps["myelin"][1])
    assert found.places[0, 0] < 0  # the right hemisphere mirrored, not cancelled
    radius = np.linalg.norm(found.places, axis=1)
    assert radius[0] == pytest.approx(radius[1])
    angle = np.arccos(found.places[0] @ found.places[1] / radius[0] ** 2)
    assert found.separation_mm[0, 1] == pytest.approx(radius[0] * angle)
    TABLE.to_parquet(tmp_path / "maps.parquet")
    assert read_area_maps(tmp_path / "maps.parquet").areas == found.areas
    places = 10 * np.array([[-1.0, 0, 0], [1, 0, 0], [0, 2, 0], [-1, 0, 0]])
    places[2] /= 2
    maps = AreaMaps(list("abcd"), np.array(["L", "R", "L", "R"]), places, {})
    quarter = 5 * np.pi
    expected = [[0, 0, 1, 2], [0, 0, 1, 2], [1, 1, 0, 1], [2, 2, 1, 0]]
    np.testing.assert_allclose(maps.separation_mm, quarter * np.array(expected), atol=1e-9)


def spread(n: int, lowest: float) -> np.ndarray:
    z, angle = np.linspace(1, lowest, n + 2)[1:-1], np.pi * (1 + 5**0.5) * np.arange(n)
    return np.column_stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z])


def test_what_covers_a_sphere() -> None:
    """On both sides of the limits of number and of cover, for one hemisphere beside nothing and beside a whole one."""
    for n, lowest, covers in (
        (20, -1.0, True),
        (19, -1.0, False),
        (100, LIMIT - 0.05, True),
        (100, LIMIT + 0.05, False),
    ):
        cap = 7 * spread(n, lowest)
        assert AreaMaps([], np.array(["R"] * n), cap, {}).covers_sphere == covers
        both = AreaMaps([], np.array(["L"] * 200 + ["R"] * n), np.concatenate([spread(200, -1.0), cap]), {})
        assert both.covers_sphere == covers


def test_bad_tables(tmp_path: Path) -> None:
    for table, message in (
        (TABLE.drop(columns="sphere_y"), "has no column sphere_y"),
        (TABLE.assign(hemi=["L", "L", "L"]), "V1 have several rows in one hemisphere"),
        (TABLE.assign(hemi=["L", "L", "right"]), "hemi must be L or R; got 'right'"),
        (TABLE.drop(columns=["thickness", "myelin"]), "no column is a map"),
        (TABLE.assign(thickness=["thin", "2", "2"]), "column thickness holds other things than numbers"),
        (TABLE.assign(sphere_x=[np.nan, 1, 2]), "give every area its centre on the sphere"),
        (TABLE.assign(sphere_x=0.0, sphere_y=0.0, sphere_z=0.0), "in the middle of the sphere"),
    ):
        refused(message, read_area_maps, write(tmp_path, table))


@pytest.mark.skipif(not REAL.is_dir(), reason="needs $BRAINALIGN_DATA/cortical-maps")
def test_parcels_of_the_real_maps_become_a_table(tmp_path: Path) -> None:
    maps = read_cortical_maps(REAL)
    parcels = read_schaefer(REAL / "schaefer_100_conte69.csv", maps)
    means = parcel_means(maps.maps, parcels)
    found = read_area_maps(write(tmp_path, area_maps_table(means, parcels)))
    assert len(found.areas) == 100
    assert found.hemi.tolist() == ["L"] * 50 + ["R"] * 50  # each parcel lies in one
    assert found.maps["thickness"] == pytest.approx(means["thickness"].to_numpy())
    assert found.covers_sphere
