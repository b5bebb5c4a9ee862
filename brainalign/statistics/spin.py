"""Spin test: correlation of cortical maps against the same map rotated on the sphere, which keeps its smoothness."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import check_choice, check_finite, check_rows
from brainalign.statistics.resampling import fdr
from brainalign.statistics.smooth_maps import MAX_AREAS, MIN_AREAS, smooth_map_test

Orders = NDArray[np.int32]

HEMISPHERES = ("L", "R")
MIRROR = np.array([-1.0, 1.0, 1.0])  # x runs from left to right
TIE = 1e-9


def spin_orders(places: Values, hemi: NDArray[Any], n_spins: int = 1000, *, seed: int = 0) -> Iterator[Orders]:
    """Yield for every random rotation of the sphere which entry of a map each place gets.

    A place gets what lies nearest to where the rotation takes it. Rotations are uniform; the right hemisphere turns as
    the mirror image of the left, so that a map that is symmetric stays so. The medial wall takes part where it is among
    the places, with NaN in the map: a place that lands there has no value under that rotation and is left out of its
    correlation. Nothing is filled in, and no value is used for a place beyond the wall.

    Parameters
    ----------
    places : array (n_entries, 3)
        Where the entries of a map lie, vertices or centres of parcels, on the spheres of both hemispheres, each about
        its own centre.
    hemi : array (n_entries,) of "L" or "R"
    n_spins : int
    seed : int

    Yields
    ------
    array (n_entries,) of int32

    References
    ----------
    Alexander-Bloch AF et al. (2018). On testing for spatial correspondence between maps of human brain structure and
    function. NeuroImage 178:540-551. doi:10.1016/j.neuroimage.2018.05.070
    Markello RD, Misic B (2021). Comparing spatial null models for brain maps. NeuroImage 236:118052.
    doi:10.1016/j.neuroimage.2021.118052
    """
    places, hemi = np.asarray(places, dtype=np.float64), np.asarray(hemi)
    check_rows("hemi", len(hemi), "places", len(places), "give one hemisphere per place")
    check_finite("places", places, "give coordinates on the sphere, and leave out parcels without vertices")
    for name in set(hemi.tolist()):
        check_choice("hemi", name, HEMISPHERES)
    return _rotated(places / np.linalg.norm(places, axis=1, keepdims=True), hemi, n_spins, seed)


def _rotated(places: Values, hemi: NDArray[Any], n_spins: int, seed: int) -> Iterator[Orders]:
    # Imported here, so that statistics without maps do not pay for it.
    from scipy.spatial import KDTree
    from scipy.spatial.transform import Rotation

    sides = [(name, np.flatnonzero(hemi == name)) for name in np.unique(hemi)]
    trees = [KDTree(places[where]) for _, where in sides]
    rng = np.random.default_rng(seed)
    for _ in range(n_spins):
        turn = Rotation.random(random_state=rng).as_matrix()
        order = np.empty(len(places), dtype=np.int32)
        for (name, where), tree in zip(sides, trees, strict=True):
            # M·R·M of the right hemisphere is R seen in the mirror.
            matrix = turn if name == "L" else MIRROR[:, None] * turn * MIRROR
            order[where] = where[tree.query(places[where] @ matrix.T)[1]]
        yield order


def spin_test(
    values: Values,
    maps: Mapping[str, Values],
    orders: Iterable[NDArray[np.integer[Any]]],
    alternative: Literal["greater", "two-sided"] = "two-sided",
) -> pd.DataFrame:
    """Correlate a map with others, and compare with the correlations of the rotated map.

    p = (1 + #{rotations whose r reaches the observed one}) / (1 + n_spins). The null is that the two maps are
    unrelated and either of them equally smooth everywhere. A rotation counts that leaves half of the n places or more.

    Parameters
    ----------
    values : array (n_entries,)
        The map that is rotated, for example half-times; NaN: no value.
    maps : mapping of arrays (n_entries,)
        Cortical maps by name, of the same entries; NaN: no value.
    orders : iterable of arrays (n_entries,)
        `spin_orders(...)`, which is a generator and good for one test; a list of it for several.
    alternative : {"greater", "two-sided"}

    Returns
    -------
    DataFrame
        A row per map: map, r, p, q (false discovery rate over the maps), null_sd, n (entries with both values),
        n_spins, reason (why r or p is NaN, or "").
    """
    check_choice("alternative", alternative, {"greater", "two-sided"})
    size = np.abs if alternative == "two-sided" else np.positive
    values = np.asarray(values, dtype=np.float64)
    for name, given in maps.items():
        check_rows(f"map {name!r}", len(given), "values", len(values), "give maps of the same vertices or parcels")
    blocks = _alike(maps, values)
    padded = np.append(values, np.nan)  # entry −1
    null = [_correlations(padded[order], blocks, len(maps)) for order in orders]
    found = _correlations(values, blocks, len(maps))
    draws, rows = np.array(null).reshape(-1, len(maps)), []
    for k, (name, given) in enumerate(maps.items()):
        r, spun = found[k], draws[np.isfinite(draws[:, k]), k]
        reason = "constant map, or fewer than 3 entries in common" if np.isnan(r) else ""
        p = (1 + int((size(spun) >= size(r) - TIE).sum())) / (1 + len(spun))
        if not reason and not len(spun):
            reason = "no rotation keeps half of the entries"
        n = int(np.isfinite(values + np.asarray(given, dtype=np.float64)).sum())
        spread = float(spun.std(ddof=1)) if len(spun) > 1 else np.nan
        rows.append({"map": name, "r": r, "p": np.nan if reason else p, "null_sd": spread, "n": n})
        rows[-1] |= {"n_spins": len(spun), "reason": reason}
    table = pd.DataFrame(rows, columns=["map", "r", "p", "null_sd", "n", "n_spins", "reason"])
    table.insert(3, "q", fdr(table["p"].to_numpy(dtype=np.float64)))
    return table


def _alike(maps: Mapping[str, Values], values: Values) -> list[tuple[list[int], NDArray[np.intp], Values, int]]:
    """Gather maps with values in the same places: (numbers, places, values (n_maps, n_places), fewest that count)."""
    gathered: dict[bytes, list[int]] = {}
    arrays = [np.asarray(given, dtype=np.float64) for given in maps.values()]
    for k, given in enumerate(arrays):
        gathered.setdefault(np.packbits(np.isfinite(given)).tobytes(), []).append(k)
    blocks = []
    for numbers in gathered.values():
        where = np.flatnonzero(np.isfinite(arrays[numbers[0]]))
        block = np.stack([arrays[k][where] for k in numbers])
        least = max(3, int(np.isfinite(values[where]).sum()) // 2)
        blocks.append((numbers, where, block - block.mean(axis=1, keepdims=True) if len(where) else block, least))
    return blocks


def _correlations(
    values: Values, blocks: list[tuple[list[int], NDArray[np.intp], Values, int]], n_maps: int
) -> NDArray[np.float64]:
    """Return r with every map over the places that have both values; NaN with fewer of them than count."""
    r = np.full(n_maps, np.nan)
    for numbers, where, block, least in blocks:
        x = values[where]
        kept = np.isfinite(x)
        if kept.sum() < least:
            continue
        x, y = x[kept] - x[kept].mean(), block[:, kept]
        variation = (y**2).sum(axis=1) - kept.sum() * y.mean(axis=1) ** 2
        scale = (x**2).sum() * variation
        floor = 1e-20 * (len(x) * np.abs(values[where][kept]).max()) ** 2  # what rounding leaves of a constant
        defined = (scale > 0) & ((x**2).sum() > floor)
        r[np.asarray(numbers)[defined]] = (y @ x)[defined] / np.sqrt(scale[defined])
    return r


def area_map_test(
    values: Values,
    maps: Mapping[str, Values],
    spins: Sequence[NDArray[np.integer[Any]]],
    separation_mm: Values,
    *,
    n_surrogates: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Correlate a value per area with every map; p from the spin test, or from smooth random maps for few areas.

    Rotations of the sphere are the better null where maps cover it: they keep whatever autocorrelation there is, and
    areas with a value, few or many, are carried over the whole map. Where the maps are known in a few areas only, a
    rotation leads nowhere: give no spins then, and surrogates of `smooth_map_test` take their place, as they do where
    fewer than half of the rotations count. `null` says which.

    Parameters
    ----------
    values : array (n_areas,)
        For example half-times; NaN: no value.
    maps : mapping of arrays (n_areas,)
        By name; NaN: no value.
    spins : sequence of arrays (n_areas,)
        A list of `spin_orders`; empty: none.
    separation_mm : array (n_areas, n_areas)
    n_surrogates, seed : int
        Of the smooth random maps.

    Returns
    -------
    DataFrame
        A row per map: map, r, p (two-sided), q (false discovery rate over the maps), null_sd, n, null ("spin" or
        "smooth random maps"), reason.
    """
    values = np.asarray(values, dtype=np.float64)
    table = spin_test(values, maps, spins).assign(null="spin")
    n_spins, r = (table[name].to_numpy(dtype=np.float64) for name in ("n_spins", "r"))
    check_rows("separation_mm", len(separation_mm), "values", len(values), "give a distance for every pair of areas")
    for k, name in enumerate(maps):
        given = np.asarray(maps[name], dtype=np.float64)
        both = np.flatnonzero(np.isfinite(values) & np.isfinite(given))
        if np.isnan(r[k]) or 0 < len(spins) <= 2 * n_spins[k]:
            continue
        if not MIN_AREAS <= len(both) <= MAX_AREAS:
            reason = f"{len(both)} areas with both values: no spin counts; smooth maps need {MIN_AREAS} to {MAX_AREAS}"
            table.loc[k, ["p", "null_sd"]] = np.nan
            table.loc[k, "reason"] = reason
            continue
        part = separation_mm[np.ix_(both, both)]
        # The map is the target: what has to be as smooth as observed are the values.
        found = smooth_map_test(values[both], given[both], part, n_surrogates=n_surrogates, seed=seed)
        table.loc[k, ["p", "null_sd"]] = found.p[0], found.null_sd[0]
        table.loc[k, ["null", "reason"]] = "smooth random maps", ""
    table["q"] = fdr(table["p"].to_numpy(dtype=np.float64))
    return table.drop(columns="n_spins")
