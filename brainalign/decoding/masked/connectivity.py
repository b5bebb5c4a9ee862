"""Functional connectivity: the simple method beside a model of regions, for networks and for people.

correlation_features, tangent_features    of a person or a stretch of time, for linear predictors
network_agreement                         regions clustered, beside the networks of an atlas
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows

N_INIT = 10


def upper_triangle(matrices: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the part above the diagonal of symmetric matrices (n, k, k), as rows (n, k · (k − 1) / 2)."""
    i, j = np.triu_indices(matrices.shape[-1], 1)
    return np.asarray(matrices[:, i, j], dtype=np.float64)


def correlation_features(series: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return correlations between regions, Fisher-transformed (n_rows, n_pairs).

    Parameters
    ----------
    series : array (n_rows, n_frames, n_regions)
        A run, or a stretch of one, per row.
    """
    from nilearn.connectome import ConnectivityMeasure

    measure = ConnectivityMeasure(kind="correlation", standardize="zscore_sample")
    found = upper_triangle(measure.fit_transform(list(np.asarray(series, dtype=np.float64))))
    return np.asarray(np.arctanh(np.clip(found, -0.999999, 0.999999)))


def tangent_features(series: NDArray[np.floating[Any]]) -> Callable[[NDArray[np.intp]], NDArray[np.float64]]:
    """Return a function that gives covariances in the tangent space at the mean of training rows (n_rows, n_pairs).

    Parameters
    ----------
    series : array (n_rows, n_frames, n_regions)

    References
    ----------
    Varoquaux G, Baronnet F, Kleinschmidt A, Fillard P, Thirion B (2010). Detection of brain functional-connectivity
    difference in post-stroke patients using group-level covariance modeling. MICCAI 2010.
    """
    from nilearn.connectome import ConnectivityMeasure

    rows = list(np.asarray(series, dtype=np.float64))

    def features(train: NDArray[np.intp]) -> NDArray[np.float64]:
        measure = ConnectivityMeasure(kind="tangent", vectorize=True, standardize="zscore_sample")
        measure.fit([rows[k] for k in train])
        return np.asarray(measure.transform(rows))

    return features


def mean_connectivity(series: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the correlation of regions (n_regions, n_regions), averaged over runs z-scored each."""
    values = np.asarray(series, dtype=np.float64)
    values = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    return np.asarray(np.einsum("sti,stj->ij", values, values, optimize=True) / (values.shape[0] * values.shape[1]))


def network_agreement(
    regions: Mapping[str, NDArray[np.floating[Any]]],
    networks: Sequence[str],
    n_permutations: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Cluster regions by k-means, as many clusters as there are networks, and compare clusters with the networks.

    Parameters
    ----------
    regions : mapping
        Name to array (n_regions, n_dimensions): embeddings, rows of a connectivity matrix.
    networks : sequence of str (n_regions)
        Of an atlas.
    n_permutations : int
        Of the networks over regions.
    seed : int

    Returns
    -------
    DataFrame
        A row per name: ari (adjusted Rand index), null_mean, null_high (95 %), p, n_networks.

    Raises
    ------
    BrainalignError
        If the rows do not fit, or there are fewer than two networks.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    given = np.asarray(networks)
    k = len(np.unique(given))
    if k < 2:
        raise BrainalignError(f"{k} network for {len(given)} regions; name at least two, or leave networks out")
    rng = np.random.default_rng([seed, 0xA61])
    orders = [rng.permutation(len(given)) for _ in range(n_permutations)]
    rows = []
    for name, values in regions.items():
        check_rows(name, len(values), "networks", len(given), "give a row per region")
        found = KMeans(k, n_init=N_INIT, random_state=seed).fit_predict(np.asarray(values, dtype=np.float64))
        ari = adjusted_rand_score(given, found)
        null = np.array([adjusted_rand_score(given[order], found) for order in orders])
        p = (1 + (null >= ari).sum()) / (1 + n_permutations)
        high = float(np.quantile(null, 0.95))
        rows.append({"name": name, "ari": ari, "null_mean": float(null.mean()), "null_high": high, "p": p})
    return pd.DataFrame(rows).assign(n_networks=k)
