"""Time series of regions in networks, whose connections carry a trait of the person and a state of the moment.

    z_t = .8 z_(t−1) + .6 e_t,  e ~ N(0, C)        x = .7 z_network + .8 n,  n AR(1) .6,  z-scored per run

C is a correlation matrix of networks: networks 0 and 1 are tied by ± .35 (the trait) + .1 N(0, 1), 2 and 3 by .4, and,
where states are asked for, 4 and 5 by ± `state_strength` in turns. The mean of n visible regions of the same network
predicts a hidden one with R² = .49² / (1.13 (.49 + .64 / n)).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import block_diag

from brainalign.checks import BrainalignError

STRENGTH, NOISE, NOISE_AUTOCORRELATION = 0.7, 0.8, 0.6
MEMORY, INNOVATION = 0.8, 0.6
TRAIT, TRAIT_SPREAD, TIED = 0.35, 0.1, 0.4


@dataclass(frozen=True)
class RoiSeries:
    """Runs of several people and what was planted in them.

    Attributes
    ----------
    series : array (n_subjects, n_frames, n_regions) of float32
        z-scored per run and region.
    regions : DataFrame (n_regions)
        region_id, network; of `roi_lagged` also pair and role (leader, follower).
    subjects : DataFrame (n_subjects)
        subject, and trait ("low", "high") where one was planted.
    states : array (n_subjects, n_frames) of int
        0 or 1; all 0 where no state was planted.
    """

    series: NDArray[np.float32]
    regions: pd.DataFrame
    subjects: pd.DataFrame
    states: NDArray[np.int64]


def roi_series(
    n_subjects: int = 48,
    n_frames: int = 320,
    regions_per_network: int = 10,
    *,
    trait: float = TRAIT,
    state_strength: float = 0.0,
    state_frames: int = 40,
    seed: int = 0,
) -> RoiSeries:
    """Simulate six networks.

    Parameters
    ----------
    trait : float
        Mean correlation of networks 0 and 1 in people with a high trait, minus it in the others; within ± .9, 0: none.
    state_strength : float
        Correlation of networks 4 and 5 in state 1, and minus it in state 0, within ± .9; 0: no states.
    state_frames : int
        Frames after which the state changes.
    """
    if n_subjects < 2 or min(n_frames, regions_per_network, state_frames) < 1:
        raise BrainalignError(f"{n_subjects} subjects, {n_frames} frames; give at least two subjects and one frame")
    if max(abs(trait), abs(state_strength)) > 0.9:
        raise BrainalignError(f"trait {trait} and state_strength {state_strength} are correlations; keep within ± .9")
    rng = np.random.default_rng([seed, 0x2015])
    signs = rng.permutation(np.arange(n_subjects) % 2 * 2 - 1)
    states = np.zeros((n_subjects, n_frames), dtype=np.int64)
    if state_strength:
        states = (np.arange(n_frames) // state_frames + rng.integers(2, size=n_subjects)[:, None]) % 2
    network = np.repeat(np.arange(6), regions_per_network)
    series = np.empty((n_subjects, n_frames, len(network)), dtype=np.float32)
    for s in range(n_subjects):
        tie = np.clip(signs[s] * trait + TRAIT_SPREAD * rng.normal(), -0.9, 0.9)
        pairs = [[[[1, r], [r, 1]] for r in (tie, TIED, sign * state_strength)] for sign in (-1, 1)]
        roots = [np.linalg.cholesky(block_diag(*three)) for three in pairs]  # of the correlations of six networks
        shocks = rng.normal(size=(n_frames, 6))
        shocks = np.where(states[s][:, None] == 1, shocks @ roots[1].T, shocks @ roots[0].T)
        z = autoregressive(shocks, MEMORY, INNOVATION)
        noise = autoregressive(rng.normal(size=(n_frames, len(network))), NOISE_AUTOCORRELATION)
        series[s] = zscored(STRENGTH * z[:, network] + NOISE * noise)
    names = [f"network{k}" for k in network]
    regions = pd.DataFrame({"region_id": [f"region{k:02d}" for k in range(len(network))], "network": names})
    subjects = pd.DataFrame({"subject": [f"{k + 1:02d}" for k in range(n_subjects)]})
    if trait:
        subjects["trait"] = np.where(signs > 0, "high", "low")
    return RoiSeries(series, regions, subjects, states)


def autoregressive(shocks: NDArray[np.float64], memory: float, innovation: float | None = None) -> NDArray[np.float64]:
    """Return x_t = memory · x_(t−1) + innovation · shock_t along the first axis, stationary from its first row.

    Shocks have unit variance; so have the results with the innovation √(1 − memory²), which is taken if none is given.
    """
    innovation = np.sqrt(1 - memory**2) if innovation is None else innovation
    series = shocks * innovation
    series[0] /= np.sqrt(1 - memory**2)
    for t in range(1, len(series)):
        series[t] += memory * series[t - 1]
    return series


def zscored(series: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return every column with mean 0 and variance 1."""
    return np.asarray((series - series.mean(axis=0)) / series.std(axis=0), dtype=np.float32)


# z_t = (e_t + e_(t−1) + e_(t−2)) / √3        leader A: z_t        follower B: z_(t−3)
#     x = .7 z_network + .8 n,  n AR(1) .6,  z-scored per run
#
# z has no autocorrelation at the lag, so that one network of a pair tells nothing of the other at the same moment: an
# instantaneous predictor has a population R² of 0 where a whole network is hidden, and one that sees three frames
# around it .384.

LAG = SMOOTH = 3


def roi_lagged(
    n_subjects: int = 48, n_frames: int = 320, regions_per_network: int = 10, n_pairs: int = 3, *, seed: int = 0
) -> RoiSeries:
    """Simulate leaders and followers; runs shorter than twice the lag are refused."""
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


# z_t = (e_t + e_(t−1) + e_(t−2)) / √3        leader: z_t        follower: z_(t−lag)
#     region = strength · z + √(1 − strength²) · noise,   noise AR(1)
#
# z has no autocorrelation at the lag, so a follower is unpredictable from the leader at the same moment and
# predictable from its past: what an instantaneous model must miss and a lagged one can find.

REST_STRENGTH, TR_S = 0.66, 2.0


def rest_networks(rois: Sequence[str]) -> pd.DataFrame:
    """Return regions and their networks: the ventral stream leads the dorsal, the left selective areas the right.

    `rois` are those of `plan_areas`, each a region in both hemispheres. Columns: region, roi, hemi, network, source
    (number of the pair of networks), lag (volumes), tr_s.
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
    """Simulate one subject's resting scan: a column per region of `rest_networks`, z-scored, a row per volume."""
    if n_volumes < 2 * LAG:
        raise BrainalignError(f"{n_volumes} volumes cannot show a lag of {LAG}; give at least {2 * LAG}")
    rng = np.random.default_rng([seed, 0x4E57])
    shocks = rng.normal(size=(n_volumes + LAG + SMOOTH - 1, int(regions["source"].max()) + 1))
    z = np.lib.stride_tricks.sliding_window_view(shocks, SMOOTH, axis=0).sum(axis=2) / np.sqrt(SMOOTH)
    noise = autoregressive(rng.normal(size=(n_volumes, len(regions))), NOISE_AUTOCORRELATION)
    starts = LAG - regions["lag"].to_numpy()  # z begins `LAG` volumes before the scan
    each = zip(starts, regions["source"], strict=True)
    carried = np.stack([z[start : start + n_volumes, k] for start, k in each], axis=1)
    series = REST_STRENGTH * carried + np.sqrt(1 - REST_STRENGTH**2) * noise
    series = (series - series.mean(axis=0)) / series.std(axis=0)
    return pd.DataFrame(series, columns=list(regions["region"]))
