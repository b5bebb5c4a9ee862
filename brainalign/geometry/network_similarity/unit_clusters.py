"""Groups of units of two networks that do the same together, many to many: spectral clusters of their correlations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.geometry.network_similarity.unit_pairing import centred_pair, unit_norm


@dataclass(frozen=True)
class UnitClusters:
    """Clusters over the units of both networks.

    Attributes
    ----------
    labels_x, labels_y : array (p,), (q,)
        Cluster of every unit; -1 where it is constant.
    n_shared : int
        Clusters with units of both networks.
    score : float
        Mean |r| over pairs of a unit of each network in one cluster, minus that over pairs in different clusters, on
        held-out stimuli; NaN where either kind of pair is missing.
    score_fit : float
        The same on the stimuli that were clustered: above 0 for unrelated units.
    eigenvalues : array (n_units,)
        Of the normalised Laplacian, smallest first: how many are near 0 is how many clusters there are.
    """

    labels_x: NDArray[np.intp]
    labels_y: NDArray[np.intp]
    n_shared: int
    score: float
    score_fit: float
    eigenvalues: NDArray[np.float64]


def cluster_units(
    X: Values, Y: Values, held_out: tuple[Values, Values], n_clusters: int | None = None, seed: int = 0
) -> UnitClusters:
    """Cluster the units of two networks by the graph of |r| between all of them, within and across.

    Parameters
    ----------
    X, Y : array (n_stimuli, p), (n_stimuli, q)
        Stimuli that the clusters are made on.
    held_out : (array (m, p), array (m, q))
        Other stimuli, which score them.
    n_clusters : int, optional
        By default where the eigenvalues of the normalised Laplacian have their largest gap, among 2 to 20.
    seed : int
        Of the starts of k-means.

    Returns
    -------
    UnitClusters

    Raises
    ------
    BrainalignError
        If rows or units do not fit, or there are fewer varying units than clusters.

    References
    ----------
    Li Y, Yosinski J, Clune J, Lipson H, Hopcroft J (2016). Convergent learning: do different neural networks learn the
    same representations? ICLR. arXiv:1511.07543. Ng A, Jordan M, Weiss Y (2001). On spectral clustering. NeurIPS.
    """
    from sklearn.cluster import KMeans

    X, Y = centred_pair(X, Y)
    other = centred_pair(*held_out)
    for name, fit, scored in (("X", X, other[0]), ("Y", Y, other[1])):
        check_rows(f"held-out {name}.T", scored.shape[1], f"{name}.T", fit.shape[1], "give the same units")
    units = unit_norm(np.hstack([X, Y]))
    seen = np.flatnonzero((units != 0).any(axis=0))
    graph = np.abs(units[:, seen].T @ units[:, seen])
    np.fill_diagonal(graph, 0)
    degree = np.maximum(graph.sum(axis=1), np.finfo(float).tiny)
    scaled = graph / np.sqrt(np.outer(degree, degree))
    values, vectors = np.linalg.eigh(np.eye(len(seen)) - scaled)
    most = min(20, len(seen) - 1)
    if n_clusters is None and most >= 2:
        n_clusters = int(np.diff(values[: most + 1])[1:].argmax()) + 2
    if n_clusters is None or not 2 <= n_clusters <= len(seen):
        raise BrainalignError(f"{len(seen)} units that vary cannot be put into {n_clusters} clusters; take 2 or more")
    rows = vectors[:, :n_clusters]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
    found = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(rows)
    labels = np.full(units.shape[1], -1)
    labels[seen] = found
    labels_x, labels_y = labels[: X.shape[1]], labels[X.shape[1] :]
    shared = np.intersect1d(labels_x[labels_x >= 0], labels_y[labels_y >= 0])
    return UnitClusters(
        labels_x,
        labels_y,
        len(shared),
        _contrast(*other, labels_x, labels_y),
        _contrast(X, Y, labels_x, labels_y),
        np.asarray(values),
    )


def _contrast(X: Values, Y: Values, labels_x: NDArray[np.intp], labels_y: NDArray[np.intp]) -> float:
    """Compute the mean |r| between units of two networks within clusters minus that between clusters."""
    r = np.abs(unit_norm(X).T @ unit_norm(Y))
    seen = np.outer(labels_x >= 0, labels_y >= 0)
    same = labels_x[:, None] == labels_y[None]
    within, between = seen & same, seen & ~same
    return float(r[within].mean() - r[between].mean()) if within.any() and between.any() else float("nan")
