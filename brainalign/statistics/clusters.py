"""Cluster permutation test of a score over sensors and time: where, when and how surely it exceeds its null."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_shape, numbers

LABELLED = 1_000_000  # points, or pairs of them, whose clusters are found together: a call takes longer than a map


@dataclass(frozen=True)
class Cluster:
    """Neighbouring points above the threshold.

    Attributes
    ----------
    mass : float
        Sum of the statistic, or of its power, over the cluster; negative for a cluster below the null.
    p : float
        Family-wise: against the largest mass of every permutation.
    mask : bool array (n_sensors, n_times)
    sensors : array of int
        Rows that take part.
    start, stop : float
        First and last time point, in the unit of `times` (numbers of samples without).
    peak_sensor : int
        Where the statistic is most extreme.
    """

    mass: float
    p: float
    mask: NDArray[np.bool_]
    sensors: NDArray[np.intp]
    start: float
    stop: float
    peak_sensor: int


@dataclass(frozen=True)
class ClusterTest:
    """All clusters, largest mass first, and what they were compared with.

    Attributes
    ----------
    clusters : list of Cluster
    null_mass : array (n_permutations,)
        Largest absolute mass of each permutation; 0 where nothing exceeded the threshold.
    statistic : array (n_sensors, n_times)
        What was summed: the score, or its z.
    """

    clusters: list[Cluster]
    null_mass: NDArray[np.float64]
    statistic: Values

    def mask(self, p: float = 0.05) -> NDArray[np.bool_]:
        """Return the points that lie in a cluster below this p (n_sensors, n_times)."""
        found = np.zeros(self.statistic.shape, dtype=bool)
        for cluster in self.clusters:
            found |= cluster.mask if cluster.p < p else False
        return found

    def table(self, sensor_ids: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a row per cluster: cluster, mass, p, start, stop, n_sensors, n_points, peak_sensor, sensors."""
        ids = [str(row) for row in range(len(self.statistic))] if sensor_ids is None else list(sensor_ids)
        rows = [
            {
                "cluster": number,
                "mass": c.mass,
                "p": c.p,
                "start": c.start,
                "stop": c.stop,
                "n_sensors": len(c.sensors),
                "n_points": int(c.mask.sum()),
                "peak_sensor": ids[c.peak_sensor],
                "sensors": [ids[row] for row in c.sensors],
            }
            for number, c in enumerate(self.clusters)
        ]
        columns = ["cluster", "mass", "p", "start", "stop", "n_sensors", "n_points", "peak_sensor", "sensors"]
        return pd.DataFrame(rows, columns=columns)


def cluster_permutation(
    observed: Values,
    null: Values,
    adjacency: sparse.sparray | sparse.spmatrix | None = None,
    *,
    threshold: float = 2.33,
    kind: Literal["z", "score", "quantile"] = "z",
    tail: Literal["greater", "both"] = "greater",
    power: float = 1,
    times: Values | None = None,
) -> ClusterTest:
    """Find clusters of points above a threshold and compare their mass with the largest of each permutation.

    Points are neighbours when they are one sample apart at one sensor, or at one time at adjacent sensors. The mass is
    the sum of the statistic. The p value, (1 + #{largest null mass >= mass}) / (1 + n_permutations), controls the
    family-wise error of the claim "this cluster is no chance"; its borders carry no such guarantee.

    Parameters
    ----------
    observed : array (n_sensors, n_times)
        Score of every point, for example r on the test stimuli.
    null : array (n_permutations, n_sensors, n_times)
        The same score under permutation; every map from one permutation of all points together.
    adjacency : sparse matrix (n_sensors, n_sensors), optional
        Non-zero where sensors are neighbours, as from `mne.channels.find_ch_adjacency`; None: none are.
    threshold : float
        In units of `kind`: a z, a score, or the quantile of each point's own values under permutation.
    kind : {"z", "score", "quantile"}
        The z of a point is taken over the permutations and the observed map together, and so is the quantile: treating
        all maps alike keeps the test exact.
    tail : {"greater", "both"}
        "both" also forms clusters below minus the threshold (for quantiles: below the opposite quantile).
    power : float
        Of the statistic that is summed, its sign kept: with 2 masses of t are those of F.
    times : array (n_times,), optional

    Raises
    ------
    BrainalignError
        If shapes do not fit, scores are not finite, or the threshold is no quantile.

    References
    ----------
    Maris E, Oostenveld R (2007). Nonparametric statistical testing of EEG- and MEG-data. Journal of Neuroscience
    Methods 164:177-190. doi:10.1016/j.jneumeth.2007.03.024
    Sassenhagen J, Draschkow D (2019). Cluster-based permutation tests of MEG/EEG data do not establish significance of
    effect latency or location. Psychophysiology 56:e13335. doi:10.1111/psyp.13335
    """
    observed, null = numbers("observed", observed), numbers("null", null)
    _check(observed, null, adjacency, threshold, kind, tail, times)
    maps = np.concatenate([observed[None], null]).astype(np.float64)  # (1 + n_permutations, n_sensors, n_times)
    if kind == "z":
        spread = maps.std(axis=0, ddof=1)
        maps = (maps - maps.mean(axis=0)) / np.where(spread > 0, spread, 1)
    upper: Values = np.full(observed.shape, threshold)
    lower = -upper
    if kind == "quantile":
        upper, lower = np.quantile(maps, [threshold, 1 - threshold], axis=0)
    flat = maps.reshape(len(maps), -1)
    above = flat > upper.ravel()
    below = flat < lower.ravel() if tail == "both" else np.zeros_like(above)
    edges = _edges(observed.shape, adjacency)
    null_mass = np.zeros(len(null))
    step = max(1, LABELLED // max(len(edges[0]), observed.size))
    for rows in np.split(np.arange(1, len(maps)), range(step, len(null), step)):
        for side in (above, below):
            masses, of, _ = _label(flat[rows], side[rows], edges, power)
            np.maximum.at(null_mass, rows[of] - 1, np.abs(masses))
    found = []
    for side in (above[:1], below[:1]):
        masses, _, labels = _label(flat[:1], side, edges, power)
        for number, mass in enumerate(masses):
            # The same mass reached by another order of sums is a tie, and ties count against the observed.
            p = (1 + (null_mass >= abs(mass) * (1 - 1e-9)).sum()) / (1 + len(null))
            found.append(_describe(float(mass), float(p), (labels == number).reshape(observed.shape), maps[0], times))
    found.sort(key=lambda cluster: -abs(cluster.mass))
    return ClusterTest(found, null_mass, maps[0])


def _describe(mass: float, p: float, mask: NDArray[np.bool_], statistic: Values, times: Values | None) -> Cluster:
    within = np.asarray(np.arange(mask.shape[1]) if times is None else times)[mask.any(axis=0)]
    peak = np.where(mask, np.abs(statistic), -1).max(axis=1).argmax()
    ends = float(within[0]), float(within[-1])
    return Cluster(mass, p, mask, np.flatnonzero(mask.any(axis=1)), *ends, int(peak))


def _edges(
    shape: tuple[int, ...], adjacency: sparse.sparray | sparse.spmatrix | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of neighbouring points, as positions in the flattened map."""
    points = np.arange(shape[0] * shape[1]).reshape(shape[:2])
    first, second = [points[:, :-1].ravel()], [points[:, 1:].ravel()]
    if adjacency is not None:
        i, j = sparse.coo_array(adjacency).nonzero()
        i, j = i[i != j], j[i != j]
        first.append(points[i].ravel())
        second.append(points[j].ravel())
    return np.concatenate(first), np.concatenate(second)


def _label(
    statistic: Values, inside: NDArray[np.bool_], edges: tuple[NDArray[np.intp], NDArray[np.intp]], power: float
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Return mass and map of every cluster in maps (n_maps, n_points), and every point's cluster (−1 outside)."""
    from scipy.sparse.csgraph import connected_components  # brings solvers along

    labels, of = np.where(inside, 0, -1), np.nonzero(inside)[0]
    if not len(of):
        return np.empty(0), of, labels
    rows, kept = np.nonzero(inside[:, edges[0]] & inside[:, edges[1]])
    number = np.cumsum(inside).reshape(inside.shape) - 1  # position among the points inside, of all maps
    pairs = number[rows, edges[0][kept]], number[rows, edges[1][kept]]
    graph = sparse.coo_array((np.ones(len(rows), dtype=bool), pairs), shape=(len(of), len(of)))
    _, ids = connected_components(graph, directed=False)
    labels[inside] = ids
    weights = np.sign(statistic[inside]) * np.abs(statistic[inside]) ** power
    return np.bincount(ids, weights=weights).astype(float), of[np.unique(ids, return_index=True)[1]], labels


def _check(
    observed: Values,
    null: Values,
    adjacency: sparse.sparray | sparse.spmatrix | None,
    threshold: float,
    kind: str,
    tail: str,
    times: Values | None,
) -> None:
    check_choice("kind", kind, {"z", "score", "quantile"})
    check_choice("tail", tail, {"greater", "both"})
    if observed.ndim != 2 or null.shape[1:] != observed.shape or not len(null):
        raise BrainalignError(
            f"clusters need a map (n_sensors, n_times) and its null (n_permutations, n_sensors, n_times); "
            f"got {observed.shape} and {null.shape}"
        )
    n_sensors, n_times = observed.shape
    if adjacency is not None:
        remedy = "compute it for the sensors that were scored, in their order"
        check_shape("adjacency", adjacency.shape, (n_sensors, n_sensors), "sensors of the map need", remedy)
    if times is not None and len(times) != n_times:
        raise BrainalignError(f"times has {len(times)} entries but the map has {n_times} time points")
    if kind == "quantile" and not 0.5 < threshold < 1:
        raise BrainalignError(
            f"with kind='quantile' the threshold is a quantile in (.5, 1), such as .99; got {threshold}"
        )
    if kind != "quantile" and threshold < 0:
        raise BrainalignError(f"threshold must be 0 or more; got {threshold}")
    check_finite("observed", observed, "leave out points without a score")
    check_finite("null", null, "leave out points without a score")


if TYPE_CHECKING:
    from scipy.sparse import csr_array

N_NEIGHBOURS = 6  # of a sensor


def sensor_adjacency(targets: pd.DataFrame) -> "csr_array[Any]":
    """Find the neighbours of sensors: the nearest ones, and those that call this one near; types apart.

    Nearest places rather than triangles, because the two gradiometers of a place coincide. Sensors have
    sensor_type, x_mm, y_mm, z_mm; without positions none are neighbours.
    """
    # Imported here, so that stages without sensors do not pay for it.
    from scipy.sparse import lil_array
    from sklearn.neighbors import kneighbors_graph

    places = targets[["x_mm", "y_mm", "z_mm"]]
    adjacency = lil_array((len(places), len(places)), dtype=bool)
    if places.isna().any(axis=None):
        return adjacency.tocsr()  # without positions none are neighbours: clusters run over time only
    for kind in pd.unique(targets["sensor_type"]):
        rows = np.flatnonzero(targets["sensor_type"] == kind)
        n_neighbours = min(N_NEIGHBOURS, len(rows) - 1)
        if n_neighbours > 0:
            near = kneighbors_graph(places.to_numpy()[rows], n_neighbours).toarray().astype(bool)
            adjacency[np.ix_(rows, rows)] = near | near.T
    return adjacency.tocsr()
