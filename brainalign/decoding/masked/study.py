"""A masked model and all that stands beside it, on one set of runs: what the stage of a study saves.

masked_study        hidden regions filled in by the model, by Gaussians, by nulls and ablations; networks in embeddings
person_features     what is known of a person or a run, by kind
network_agreement   regions clustered, beside the networks of an atlas

Functional connectivity is the simple method beside the model, for networks and for people.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.decoding.masked import fill_scores
from brainalign.decoding.masked.conditional_gaussian import ConditionalGaussian
from brainalign.decoding.masked.fill_scores import HALF, WHOLE, Fill
from brainalign.decoding.masked.model import MaskedBrainModel
from brainalign.decoding.masked.subject_scores import Features, check_people_apart
from brainalign.decoding.training import History

VALIDATION_SHARE = 0.125  # of training people
N_INIT = 10  # of k-means

INSTANT, LAGGED, MODEL = "instantaneous Gaussian", "lagged Gaussian", "masked model"
NETWORK = "network alone"  # the masked model is its prediction and that of the lagged Gaussian, weighed
WEIGHED = "lagged Gaussian, weighed"  # the same without the network
Runs = NDArray[np.floating[Any]]
NULLS: dict[str, Callable[..., Runs]] = {
    "regions shifted": fill_scores.shifted_regions,
    "frames permuted": fill_scores.permuted_frames,
}
ABLATIONS: dict[str, dict[str, Any]] = {
    "no masking": {"masking": False},
    "fixed embeddings": {"fixed_embeddings": True},
    "self loops": {"self_loops": True},
    "no region vectors": {"region_vectors": False},
}


@dataclass(frozen=True)
class SeriesStudyTables:
    """What a study of masked regions found.

    Attributes
    ----------
    model : MaskedBrainModel
    gaussian : ConditionalGaussian
        The lagged one, with the lag and penalty that it chose.
    filled : DataFrame
        From `fill_table`, with kind (model, baseline, null, ablation) and the difference to the weighed lagged
        Gaussian: added, added_low, added_high.
    agreement : DataFrame
        From `network_agreement`; empty without an atlas of networks.
    traces : dict of arrays
        true, model, gaussian (n_traces, n_frames); run and region: which (n_traces).
    histories : dict of History
        Of every training, by the name in `filled`.
    weights : dict of arrays
        Of the network and the lagged Gaussian in the masked model, by what is hidden (2).
    """

    model: MaskedBrainModel
    gaussian: ConditionalGaussian
    filled: pd.DataFrame
    agreement: pd.DataFrame
    traces: dict[str, NDArray[Any]]
    histories: dict[str, History]
    weights: dict[str, Values]


def masked_study(
    series: NDArray[np.float32],
    people: Sequence[str],
    test: NDArray[np.bool_],
    regions: Sequence[str],
    networks: Sequence[str],
    make: Callable[..., MaskedBrainModel],
    *,
    lags: Sequence[int] = (0, 1, 2, 3, 4, 5),
    nulls: Sequence[str] = ("regions shifted", "frames permuted"),
    ablations: Sequence[str] = (),
    n_halves: int = 3,
    n_traces: int = 6,
    n_draws: int = 1000,
    network_permutations: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> SeriesStudyTables:
    """Train on training runs, fill in hidden regions of test runs, and compare.

    The masked model is the network and the lagged Gaussian, weighed on runs that the network did not learn from; so
    are nulls. The network alone and the Gaussian weighed alone stand beside it; ablations are of the network alone.

    Parameters
    ----------
    series : array (n_runs, n_frames, n_regions), z-scored per run
    people : sequence of str (n_runs)
    test : array of bool (n_runs)
    regions, networks : sequence of str (n_regions)
        One network name for all where there is no atlas of networks.
    make : callable
        Returns an unfitted model, given arguments that differ (ablations).
    lags : sequence of int
        Of the lagged Gaussian.
    nulls, ablations : sequence of str
        From `NULLS` and `ABLATIONS`; each trains the model anew. A null is tested on series of its own kind.
    n_halves, n_traces, n_draws, network_permutations : int
    confidence, seed : float, int

    Raises
    ------
    BrainalignError
        If a subject is in both train and test, or the series cannot be used.
    """
    whose = np.asarray([str(name) for name in people])
    trained = whose[~test].tolist()
    check_people_apart(trained, whose[test].tolist())
    train, held_out = series[~test], series[test]
    masks = fill_scores.hidden_masks(len(held_out), networks, n_halves, seed)

    def fitted(name: str, runs: Runs, **changes: Any) -> tuple[MaskedBrainModel, tuple[Runs, Runs]]:
        model = make(**changes)
        parts = validation_runs(runs, trained, model.frames_read, seed)
        model.fit(parts[0], regions, parts[1])
        embeddings[name], histories[name] = model.region_embeddings_, model.history_
        return model, parts

    def mixed(
        own: Sequence[Fill], parts: tuple[Runs, Runs], runs: Runs, tested: NDArray[np.float32]
    ) -> tuple[dict[str, Values], fill_scores.Sums]:
        # Weights are chosen for a Gaussian that has not seen the runs that choose them; then it sees all.
        first, last = (ConditionalGaussian((lagged.lag_,), (lagged.penalty_,)).fit(some) for some in (parts[0], runs))
        seen = fill_scores.hidden_masks(len(parts[1]), networks, n_halves, seed)
        weights = fill_scores.fill_weights([*own, first.reconstruct], parts[1], seen)
        fills, found = (*own, last.reconstruct), fill_scores.Sums()
        for name, each in masks.items():
            fill = partial(_weighed, weights[HALF if name == HALF else WHOLE], fills)
            found |= fill_scores.filled_sums(fill, tested, {name: each})
        return weights, found

    embeddings: dict[str, Runs] = {}
    histories: dict[str, History] = {}
    model, parts = fitted(MODEL, train)
    embeddings["connectivity"] = mean_connectivity(train)
    gaussians = {INSTANT: ConditionalGaussian(seed=seed), LAGGED: ConditionalGaussian(lags, seed=seed)}
    gaussians = {name: one.fit(train, trained) for name, one in gaussians.items()}
    lagged = gaussians[LAGGED]
    (weights, of_model), (_, weighed) = (mixed(own, parts, train, held_out) for own in ([_filling(model)], []))
    linear = {name: fill_scores.filled_sums(one.reconstruct, held_out, masks) for name, one in gaussians.items()}
    alone = fill_scores.filled_sums(_filling(model), held_out, masks)
    sums = {MODEL: of_model, **linear, WEIGHED: weighed, NETWORK: alone}
    kinds = {MODEL: "model"} | dict.fromkeys((INSTANT, LAGGED, WEIGHED), "baseline")
    kinds |= dict.fromkeys(nulls, "null") | dict.fromkeys((NETWORK, *ablations), "ablation")
    for k, name in enumerate(nulls):
        moved = NULLS[name](series, np.random.default_rng([seed, 0x401, k])).astype(np.float32)
        null, apart = fitted(name, moved[~test])
        sums[name] = mixed([_filling(null)], apart, moved[~test], moved[test])[1]
    for name in ablations:
        ablated = fitted(name, train, **ABLATIONS[name])[0]
        sums[name] = fill_scores.filled_sums(_filling(ablated), held_out, masks)
    options: dict[str, Any] = {"n_draws": n_draws, "confidence": confidence, "seed": seed}
    options |= {"people": whose[test].tolist(), "networks": networks}
    filled = fill_scores.fill_table(sums, reference=INSTANT, **options)
    beside = fill_scores.fill_table(sums, reference=WEIGHED, **options)
    filled[["added", "added_low", "added_high"]] = beside[["difference", "difference_low", "difference_high"]]
    filled.insert(1, "kind", filled["name"].map(kinds))
    agreement = pd.DataFrame()
    if len(set(networks)) > 1:
        agreement = network_agreement(embeddings, networks, network_permutations, seed)
    # Hidden regions over time are drawn at random, without a look at how well they are filled in.
    mask = masks[HALF][0]
    places = np.argwhere(mask)
    run, region = places[np.random.default_rng([seed, 0x7ACE]).permutation(len(places))[:n_traces]].T
    both = _filling(model), lagged.reconstruct
    by = {"true": held_out, "model": _weighed(weights[HALF], both, held_out, mask), "gaussian": both[1](held_out, mask)}
    traces: dict[str, NDArray[Any]] = {name: np.array(one[run, :, region]) for name, one in by.items()}
    traces |= {"run": run, "region": region}
    return SeriesStudyTables(model, lagged, filled, agreement, traces, histories, weights)


def validation_runs(series: Runs, people: Sequence[str], frames: int, seed: int) -> tuple[Runs, Runs]:
    """Return the runs to train on, and those that say when training may end: of other people, who are drawn.

    Where one person is trained on, a run is left out; where there is one run, its end is.
    """
    rng, whose = np.random.default_rng([seed, 0x7A2]), np.asarray(people)
    labels = whose if len(set(people)) > 1 else np.arange(len(whose))
    names = np.unique(labels)
    if len(names) > 1:
        held = np.isin(labels, rng.permutation(names)[: max(1, round(VALIDATION_SHARE * len(names)))])
        return series[~held], series[held]
    last = max(frames, round(VALIDATION_SHARE * series.shape[1]))
    if series.shape[1] - last < frames:
        raise BrainalignError(
            f"one training run of {series.shape[1]} frames cannot be parted into two of {frames}; "
            "shorten decode_series.model.segment_s, or give more runs"
        )
    return series[:, :-last], series[:, -last:]


def _weighed(weights: Values, fills: Sequence[Fill], *given: Any) -> NDArray[Any]:
    """Return the weighed sum of what several predictors make of series in which regions are hidden."""
    return np.tensordot(weights, [fill(*given) for fill in fills], 1)


def _filling(model: MaskedBrainModel) -> Callable[..., NDArray[np.float32]]:
    """Return the model's reconstruction by overlapping segments, the middle half of each."""
    length = model.segment_frames
    stride = length // 2 if model.design == "tiny" else None
    return partial(model.reconstruct, stride=stride, edge=length // 4 if stride else 0)


def person_features(model: MaskedBrainModel, series: NDArray[np.float32]) -> Mapping[str, Features]:
    """Compute the features of every row: connectivity, and the model's embedding without further training.

    Parameters
    ----------
    model : MaskedBrainModel
    series : array (n_rows, n_frames, n_regions)
        A person or a run per row.
    """
    embedded = model.embed(series)
    return {
        "correlation": correlation_features(series),
        "tangent": tangent_features(series),
        "mean tokens": embedded.mean.reshape(len(series), -1),
        "latent connectivity": np.arctanh(np.clip(_upper_triangle(embedded.covariance), -0.999999, 0.999999)),
    }


def _upper_triangle(matrices: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
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
    found = _upper_triangle(measure.fit_transform(list(np.asarray(series, dtype=np.float64))))
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
    from sklearn.base import BaseEstimator
    from sklearn.covariance import LedoitWolf

    class Known(BaseEstimator):  # type: ignore[misc]
        """Of what is a covariance already: rows are estimated once, not in every fold."""

        def fit(self, covariance: NDArray[np.float64]) -> "Known":
            self.covariance_ = covariance
            return self

    rows = [LedoitWolf(store_precision=False).fit(row).covariance_ for row in np.asarray(series, dtype=np.float64)]

    def features(train: NDArray[np.intp]) -> NDArray[np.float64]:
        measure = ConnectivityMeasure(Known(), kind="tangent", vectorize=True, standardize="zscore_sample")
        return np.asarray(measure.fit([rows[k] for k in train]).transform(rows))

    return features


def mean_connectivity(series: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the correlation of regions (n_regions, n_regions), averaged over runs z-scored each."""
    values = np.asarray(series, dtype=np.float64)
    values = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    return np.asarray(np.einsum("sti,stj->ij", values, values, optimize=True) / (values.shape[0] * values.shape[1]))


def network_agreement(
    regions: Mapping[str, NDArray[np.floating[Any]]],
    networks: Sequence[Any] | NDArray[Any],
    n_permutations: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Cluster regions by k-means, as many clusters as there are networks, and compare clusters with the networks.

    Parameters
    ----------
    regions : mapping of array (n_regions, n_dimensions)
        Embeddings, or rows of a connectivity matrix.
    networks : sequence of str (n_regions)
        Of an atlas; exchanged between regions `n_permutations` times.

    Returns
    -------
    DataFrame
        A row per name: ari (adjusted Rand index), null_mean, null_high (95 %), p, n_networks.
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
