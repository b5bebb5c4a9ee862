"""Time series of regions in three pairs of networks, of which one carries the other's course three frames later.

    z_t = (e_t + e_(t−1) + e_(t−2)) / √3        leader A: z_t        follower B: z_(t−3)
    x = .7 z_network + .8 n,  n AR(1) .6,  z-scored per run

z has no autocorrelation at the lag, so that one network of a pair tells nothing of the other at the same moment: an
instantaneous predictor has a population R² of 0 where a whole network is hidden, and one that sees three frames around
it .384.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError
from brainalign.simulation.signals.regions import (
    NOISE,
    NOISE_AUTOCORRELATION,
    STRENGTH,
    RoiSeries,
    autoregressive,
    zscored,
)

LAG = SMOOTH = 3


def roi_lagged(
    n_subjects: int = 48, n_frames: int = 320, regions_per_network: int = 10, n_pairs: int = 3, *, seed: int = 0
) -> RoiSeries:
    """Simulate leaders and followers.

    Parameters
    ----------
    n_subjects, n_frames, regions_per_network, n_pairs : int
    seed : int

    Raises
    ------
    BrainalignError
        If runs are shorter than twice the lag.
    """
    if n_frames < 2 * LAG or min(n_subjects, regions_per_network, n_pairs) < 1:
        raise BrainalignError(f"{n_frames} frames cannot show a lag of {LAG}; give at least {2 * LAG}")
    rng = np.random.default_rng([seed, 0x1A66])
    network = np.repeat(np.arange(2 * n_pairs), regions_per_network)
    pair, follows = network // 2, network % 2 == 1
    series = np.empty((n_subjects, n_frames, len(network)), dtype=np.float32)
    for s in range(n_subjects):
        shocks = rng.normal(size=(n_frames + LAG + SMOOTH - 1, n_pairs))
        z = np.lib.stride_tricks.sliding_window_view(shocks, SMOOTH, axis=0).sum(axis=2) / np.sqrt(SMOOTH)
        carried = np.where(follows, z[:n_frames, pair], z[LAG : LAG + n_frames, pair])
        noise = autoregressive(rng.normal(size=(n_frames, len(network))), NOISE_AUTOCORRELATION)
        series[s] = zscored(STRENGTH * carried + NOISE * noise)
    regions = pd.DataFrame(
        {
            "region_id": [f"region{k:02d}" for k in range(len(network))],
            "network": [f"{'B' if late else 'A'}{k}" for k, late in zip(pair, follows, strict=True)],
            "pair": pair,
            "role": np.where(follows, "follower", "leader"),
        }
    )
    subjects = pd.DataFrame({"subject": [f"{k + 1:02d}" for k in range(n_subjects)]})
    return RoiSeries(series, regions, subjects, np.zeros((n_subjects, n_frames), dtype=np.int64))
