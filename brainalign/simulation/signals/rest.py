"""Resting time series per region: networks in pairs, one following the other with a lag.

    z_t = (e_t + e_(t−1) + e_(t−2)) / √3        leader: z_t        follower: z_(t−lag)
    region = strength · z + √(1 − strength²) · noise,   noise AR(1)

z has no autocorrelation at the lag, so a follower is unpredictable from the leader at the same moment and
predictable from its past: what an instantaneous model must miss and a lagged one can find.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError

LAG, SMOOTH = 3, 3  # volumes
STRENGTH, NOISE_AUTOCORRELATION = 0.66, 0.6
TR_S = 2.0


def rest_networks(rois: Sequence[str]) -> pd.DataFrame:
    """Return regions and their networks: the ventral stream leads the dorsal, the left selective areas the right.

    Parameters
    ----------
    rois : sequence of str
        As in `plan_areas`; each is a region in both hemispheres.

    Returns
    -------
    DataFrame (n_regions)
        region, roi, hemi, network, source (number of the pair of networks), lag (volumes), tr_s.
    """
    rows = []
    for roi in rois:
        for hemi in ("L", "R"):
            stream = roi.rstrip("0123456789")
            if stream in {"ventral", "dorsal"}:
                network, source, follows = stream, 0, stream == "dorsal"
            else:
                network, source, follows = f"selective{hemi}", 1, hemi == "R"
            rows.append((f"{roi}_{hemi}", roi, hemi, network, source, LAG * follows, TR_S))
    return pd.DataFrame(rows, columns=["region", "roi", "hemi", "network", "source", "lag", "tr_s"])


def simulate_rest(regions: pd.DataFrame, n_volumes: int, seed: int) -> pd.DataFrame:
    """Simulate one subject's resting scan.

    Parameters
    ----------
    regions : DataFrame (n_regions)
        From `rest_networks`.
    n_volumes, seed : int

    Returns
    -------
    DataFrame (n_volumes, n_regions)
        A column per region, z-scored.

    Raises
    ------
    BrainalignError
        If the scan is shorter than twice the lag.
    """
    if n_volumes < 2 * LAG:
        raise BrainalignError(f"{n_volumes} volumes cannot show a lag of {LAG}; give at least {2 * LAG}")
    rng = np.random.default_rng([seed, 0x4E57])
    n_sources = int(regions["source"].max()) + 1
    shocks = rng.normal(size=(n_volumes + LAG + SMOOTH - 1, n_sources))
    z = np.lib.stride_tricks.sliding_window_view(shocks, SMOOTH, axis=0).sum(axis=2) / np.sqrt(SMOOTH)
    noise = _autoregressive(rng.normal(size=(n_volumes, len(regions))))
    starts = LAG - regions["lag"].to_numpy()  # z begins `LAG` volumes before the scan
    carried = np.stack(
        [z[start : start + n_volumes, k] for start, k in zip(starts, regions["source"], strict=True)], axis=1
    )
    series = STRENGTH * carried + np.sqrt(1 - STRENGTH**2) * noise
    series = (series - series.mean(axis=0)) / series.std(axis=0)
    return pd.DataFrame(series, columns=list(regions["region"]))


def _autoregressive(shocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return stationary AR(1) series of variance 1 along the first axis."""
    series = shocks.copy()
    for t in range(1, len(series)):
        series[t] = NOISE_AUTOCORRELATION * series[t - 1] + np.sqrt(1 - NOISE_AUTOCORRELATION**2) * shocks[t]
    return series
