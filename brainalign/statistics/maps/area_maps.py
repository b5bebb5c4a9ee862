"""Correlation of a value per area with cortical maps, against maps that are unrelated and as smooth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import check_rows
from brainalign.statistics.maps.smooth_maps import MAX_AREAS, MIN_AREAS, smooth_map_test
from brainalign.statistics.maps.spin import spin_test
from brainalign.statistics.resampling import fdr


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

    Raises
    ------
    BrainalignError
        If a map has other areas than `values`.

    References
    ----------
    Alexander-Bloch AF et al. (2018). On testing for spatial correspondence between maps of human brain structure and
    function. NeuroImage 178:540-551. doi:10.1016/j.neuroimage.2018.05.070
    Burt JB et al. (2020). Generative modeling of brain maps with spatial autocorrelation. NeuroImage 220:117038.
    doi:10.1016/j.neuroimage.2020.117038
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
            reason = f"{len(both)} areas with both values: no rotations count, and smooth random maps need {MIN_AREAS}"
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
