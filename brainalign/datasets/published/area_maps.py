"""Tables of cortical maps by area: a row per region or parcel, its place on the sphere, a column per map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_columns, check_finite, listed
from brainalign.datasets.formats import read_table
from brainalign.datasets.published.cortical_maps import Parcels
from brainalign.io import reading

SPHERE = ["sphere_x", "sphere_y", "sphere_z"]
MIN_PARCELS, MIN_COVERED = 20, 0.8


@dataclass(frozen=True)
class AreaMaps:
    """Cortical maps of areas, averaged over the hemispheres where an area has a part in both.

    Attributes
    ----------
    areas : list of str
    hemi : array (n_areas,) of "L" or "R"
        "L" of an area in both.
    places : array (n_areas, 3)
        On the sphere of that hemisphere.
    maps : dict of arrays (n_areas,)
        By name; NaN: no value.
    """

    areas: list[str]
    hemi: NDArray[np.str_]
    places: NDArray[np.float64]
    maps: dict[str, NDArray[np.float64]]

    @property
    def covers_sphere(self) -> bool:
        """Whether a random point of the sphere usually has an area nearby, so that rotations make sense.

        Parcels of a whole cortex do, the medial wall left out; the visual areas of a study do not.
        """
        points = np.random.default_rng(0).normal(size=(2000, 3))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        for side in np.unique(self.hemi):
            unit = self.places[self.hemi == side]
            unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
            if len(unit) < MIN_PARCELS:
                return False
            # Of n caps that share a sphere each has the area 4π/n; two of their radii reach any neighbour.
            if ((points @ unit.T).max(axis=1) >= np.cos(2 * np.arccos(1 - 2 / len(unit)))).mean() < MIN_COVERED:
                return False
        return True

    @property
    def separation_mm(self) -> NDArray[np.float64]:
        """Distances (n_areas, n_areas) along the sphere, in the unit of its radius, the right hemisphere mirrored."""
        radius = float(np.linalg.norm(self.places, axis=1).mean())
        unit = self.places / np.linalg.norm(self.places, axis=1, keepdims=True)
        unit[self.hemi == "R", 0] *= -1
        # Of two points apart by the chord c the angle is 2·arcsin(c/2), exact for neighbours too.
        return np.asarray(2 * radius * np.arcsin((np.linalg.norm(unit[:, None] - unit, axis=2) / 2).clip(0, 1)))


def read_area_maps(path: Path) -> AreaMaps:
    """Read a table (.tsv, .csv, .parquet) of cortical maps.

    Columns: area; sphere_x, sphere_y, sphere_z (the centre of the area on the sphere of its hemisphere, x from left to
    right, in mm); hemi ("L" or "R"), where an area has a row in both; every other column is a map. A map and a place of
    both hemispheres are averaged, the right one mirrored: what they are compared with is a value per area.

    Raises
    ------
    BrainalignError
        If a column is missing or not of numbers, an area has two rows in one hemisphere, or there is no map.
    """
    path = Path(path)
    table = read_table(path)
    check_columns(path, table, ("area", *SPHERE), "a table of maps has these, perhaps hemi, and a column per map")
    table = table.assign(hemi=table["hemi"].astype(str) if "hemi" in table else "L")
    if unknown := sorted(set(table["hemi"]) - {"L", "R"}):
        raise BrainalignError(f"{path}: hemi must be L or R; got {unknown[0]!r}")
    twice = table[table.duplicated(["area", "hemi"])]
    if len(twice):
        raise BrainalignError(
            f"{path}: {listed(sorted(set(twice['area'].astype(str))))} have several rows in one hemisphere; give one"
        )
    names = [str(name) for name in table if name not in ("area", "hemi", *SPHERE)]
    if not names:
        raise BrainalignError(f"{path}: no column is a map; add one, such as thickness")
    numbers = pd.DataFrame({name: _numbers(table[name], path) for name in SPHERE + names})
    check_finite(f"{path}: places", numbers[SPHERE].to_numpy(), "give every area its centre on the sphere")
    areas = table["area"].astype(str)
    hemi = table["hemi"].groupby(areas, sort=False).min().to_numpy(dtype=str)
    numbers.loc[table["hemi"] == "R", "sphere_x"] *= -1
    means = numbers.groupby(areas, sort=False).mean()  # of what is there: NaN is left out
    places = means[SPHERE].to_numpy(dtype=np.float64, copy=True)
    places[hemi == "R", 0] *= -1
    length = np.linalg.norm(places, axis=1)
    if not (length > 0).all():
        raise BrainalignError(f"{path}: a place lies in the middle of the sphere; give centres on its surface")
    places *= length.mean() / length[:, None]
    return AreaMaps(list(means.index), hemi, places, {name: means[name].to_numpy(dtype=np.float64) for name in names})


def _numbers(column: "pd.Series[Any]", path: Path) -> "pd.Series[Any]":
    """Return a column as numbers; empty cells, n/a and NaN are NaN."""
    with reading(path, f"column {column.name} holds other things than numbers", "leave out what is no map"):
        return pd.to_numeric(column.mask(column.astype(str).isin(["", "n/a"]))).astype(np.float64)


def area_maps_table(means: pd.DataFrame, parcels: Parcels) -> pd.DataFrame:
    """Return the table that `read_area_maps` reads, from parcel means of maps on fs_LR-32k.

    Means are from `parcel_means` of the same parcels. A prefix "L_" or "R_" of a parcel's name is taken off: the area
    is called V1 in both hemispheres.
    """
    hemi: NDArray[Any] = np.asarray(parcels.hemi, dtype=str)
    areas = [name.removeprefix(f"{side}_") for name, side in zip(parcels.names, hemi, strict=True)]
    places = dict(zip(SPHERE, parcels.centres.T, strict=True))
    return pd.DataFrame({"area": areas, "hemi": hemi, **places}).assign(**means.reset_index(drop=True))
