"""Networks and brain regions beside judged similarity: without training, and read out for new objects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows, generator
from brainalign.condensed import condensed_rdms
from brainalign.config import ConceptSettings
from brainalign.geometry.inference import rdm_noise_ceiling, rdm_permutation_test
from brainalign.geometry.odd_one_out.study import Method, Triplets
from brainalign.geometry.odd_one_out.triplet_splits import TripletSplit, split_objects_in_turn
from brainalign.geometry.odd_one_out.triplets import object_similarities, odd_one_out_accuracy
from brainalign.geometry.rdms import rdm
from brainalign.statistics import Regressor, held_out_prediction
from brainalign.statistics.scores import is_constant

NULL_TRIPLETS = 20_000  # that permuted accuracies are taken over


@dataclass(frozen=True)
class DimensionFit:
    """Held-out R² of every dimension, NaN for a constant one; the same with objects exchanged (by row); and p."""

    r2: NDArray[np.float64]
    null: NDArray[np.float64]
    p: NDArray[np.float64]


def fit_dimensions(
    features: Values, embedding: Values, regressor: Regressor, folds: int, n_permutations: int, rng: np.random.Generator
) -> DimensionFit:
    """Predict each dimension from features of held-out objects.

    Parameters
    ----------
    features : array (n_objects, n_features)
    embedding : array (n_objects, n_dimensions)
    regressor : Regressor
        Fitted anew in every fold, with all dimensions and permutations as its targets.
    folds : int
        Random folds over objects.
    n_permutations : int
    rng : Generator
    """
    X, Y = np.asarray(features, np.float64), np.asarray(embedding, np.float64)
    check_rows("features", len(X), "the embedding", len(Y), "both must be of the same objects, in the same order")
    check_finite("features", X, "leave out the objects without features")
    if not 2 <= folds <= len(X):
        raise BrainalignError(f"folds must be 2 to the number of objects ({len(X)}); got {folds}")
    rng = generator(rng)
    orders = np.stack([np.arange(len(Y)), *(rng.permutation(len(Y)) for _ in range(n_permutations))])
    targets = Y[orders].transpose(1, 0, 2).reshape(len(Y), -1)
    residual, total = np.zeros(targets.shape[1]), np.zeros(targets.shape[1])
    parts = np.array_split(rng.permutation(len(X)), folds)
    for k, part in enumerate(parts):
        rest = np.concatenate([*parts[:k], *parts[k + 1 :]])
        predicted = held_out_prediction(regressor, X[rest], targets[rest], X[part], standardise=True)
        residual += ((targets[part] - predicted) ** 2).sum(axis=0)
        total += ((targets[part] - targets[rest].mean(axis=0)) ** 2).sum(axis=0)
    varies = ~is_constant(total, np.square(targets).sum(axis=0))
    r2 = np.where(varies, 1 - residual / np.where(varies, total, 1), np.nan).reshape(len(orders), -1)
    return DimensionFit(r2[0], r2[1:], np.where(np.isnan(r2[0]), np.nan, (r2 >= r2[0] - 1e-12).mean(axis=0)))


def unseen_similarities(
    features: Values, embedding: Values, unseen: NDArray[np.integer[Any]], regressor: Regressor
) -> NDArray[np.float64]:
    """Return similarities of objects that were in no triplet, from what their features say of the dimensions.

    The regressor is fitted to seen objects; rows of unseen ones in the embedding are not looked at. Dot products
    (n_objects, n_objects) of predicted dimensions, which are 0 or more; 0 for seen objects.
    """
    X, Y = np.asarray(features, np.float64), np.asarray(embedding, np.float64)
    check_rows("features", len(X), "the embedding", len(Y), "both must be of the same objects, in the same order")
    seen = np.setdiff1d(np.arange(len(X)), unseen)
    predicted = np.zeros_like(Y)
    predicted[unseen] = np.maximum(held_out_prediction(regressor, X[seen], Y[seen], X[unseen], standardise=True), 0)
    return np.asarray(predicted @ predicted.T)


def permuted_accuracies(
    similarities: Values, triplets: Triplets, n_permutations: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the odd-one-out accuracy with the objects of the similarities exchanged, (n_permutations,)."""
    shown = np.unique(triplets)  # exchanged among themselves: of others there may be no similarities
    found, rng = [], generator(rng)
    for _ in range(n_permutations):
        order = np.arange(len(similarities))
        order[shown] = rng.permutation(shown)
        found.append(odd_one_out_accuracy(similarities, order[np.asarray(triplets)]))
    return np.array(found)


def network_tables(
    layers: Mapping[tuple[str, str], Values],
    embedding: Values,
    triplets: Triplets,
    test: Triplets,
    regressor: Regressor,
    make: Callable[[Sequence[int]], Method],
    options: ConceptSettings,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return layers of networks beside an embedding: without training, and read out for objects never seen.

    Parameters
    ----------
    layers : mapping of array (n_objects, n_features)
        By model and layer, objects in the order of the embedding.
    embedding : array (n_objects, n_dimensions)
        Fitted without the triplets of `test`.
    triplets, test : array (n, 3)
        All of them, for splits by objects; and those of the split by triplets.
    regressor : Regressor
    make : callable
        The estimator of an embedding, for splits by objects.
    options : ConceptSettings
        Of these object_share, object_splits, folds, permutations, readout_permutations and objects.
    seed : int

    Returns
    -------
    networks : DataFrame
        A row per layer: cosine, dot (accuracy without training), null_mean, null_high, p (of cosine, objects permuted),
        unseen, unseen_sd (accuracy of read-out dimensions on triplets of unseen objects, over splits),
        unseen_null_high, unseen_p (of predictions exchanged between objects), unseen_cosine (of features as they are),
        rsa, rsa_p (Spearman's r of dissimilarities), mean_r2 (over dimensions).
    readouts : DataFrame
        A row per layer and dimension: r2, null_mean, null_high (95 %), p.
    """
    n = len(embedding)
    splits = split_objects_in_turn(
        triplets, n, options.object_share, options.object_splits, np.random.default_rng(seed)
    )
    partial = [make([seed]).fit(triplets[split.train], n).embedding_ for split in splits] if layers else []
    rng = np.random.default_rng(seed)
    some = test if len(test) <= NULL_TRIPLETS else test[rng.permutation(len(test))[:NULL_TRIPLETS]]
    chosen = np.arange(n) if n <= options.objects else np.sort(rng.permutation(n)[: options.objects])
    of_people = -object_similarities(embedding)[np.ix_(chosen, chosen)][np.triu_indices(len(chosen), 1)]
    networks, readouts = [], []
    for (model, layer), features in layers.items():
        row: dict[str, Any] = {"model": model, "layer": layer, "n_features": features.shape[1], "n_triplets": len(test)}
        similarities = {kind: object_similarities(features, kind) for kind in ("cosine", "dot")}
        row |= {kind: odd_one_out_accuracy(values, test) for kind, values in similarities.items()}
        null = permuted_accuracies(similarities["cosine"], some, options.permutations, rng)
        row |= {"null_mean": null.mean(), "null_high": np.quantile(null, 0.95)}
        row["p"] = (1 + (null >= odd_one_out_accuracy(similarities["cosine"], some) - 1e-12).sum()) / (1 + len(null))
        row |= _unseen(
            features, similarities["cosine"], triplets, splits, partial, regressor, options.permutations, rng
        )
        rdm_of_layer = rdm(features[chosen], "correlation" if features.shape[1] > 2 else "euclidean")
        rsa = rdm_permutation_test(of_people[None], rdm_of_layer, "spearman", options.permutations, rng)
        row |= {"rsa": rsa.score, "rsa_p": rsa.p, "n_objects": len(chosen)}
        fit = fit_dimensions(features, embedding, regressor, options.folds, options.readout_permutations, rng)
        networks.append(row | {"mean_r2": float(np.nanmean(fit.r2))})
        for k, r2 in enumerate(fit.r2):
            readouts.append(
                (model, layer, k + 1, r2, fit.null[:, k].mean(), np.quantile(fit.null[:, k], 0.95), fit.p[k])
            )
    columns = ["model", "layer", "dimension", "r2", "null_mean", "null_high", "p"]
    return pd.DataFrame(networks), pd.DataFrame(readouts, columns=columns)


def _unseen(
    features: Values,
    cosine: Values,
    triplets: Triplets,
    splits: Sequence[TripletSplit],
    partial: Sequence[Values],
    regressor: Regressor,
    permutations: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return accuracies on triplets of unseen objects: of dimensions read out, and of the features as they are."""
    read, plain, null = [], [], np.zeros(permutations)
    for split, embedding in zip(splits, partial, strict=True):
        found = unseen_similarities(features, embedding, split.unseen, regressor)
        read.append(odd_one_out_accuracy(found, triplets[split.test]))
        some = triplets[split.test]
        some = some if len(some) <= NULL_TRIPLETS else some[rng.permutation(len(some))[:NULL_TRIPLETS]]
        null += permuted_accuracies(found, some, permutations, rng) / len(splits)
        plain.append(odd_one_out_accuracy(cosine, triplets[split.test]))
    mean = float(np.mean(read))
    return {
        "unseen": mean,
        "unseen_sd": float(np.std(read, ddof=1)) if len(read) > 1 else np.nan,
        "unseen_null_high": float(np.quantile(null, 0.95)),
        "unseen_p": float((1 + (null >= mean - 1e-12).sum()) / (1 + permutations)),
        "unseen_cosine": float(np.mean(plain)),
        "unseen_triplets": float(np.mean([len(split.test) for split in splits])),
    }


def region_table(regions: Mapping[str, Values], embedding: Values, permutations: int, seed: int) -> pd.DataFrame:
    """Score the fit of the RDMs of brain regions (n_subjects, n_pairs) to the similarity that people judge.

    Pairs are of the objects of `embedding` (n_objects, n_dimensions), the row-major upper triangle. Returns a row per
    region: region, score (Spearman's r, mean over subjects), p (objects exchanged), null_mean, null_high (95 %),
    ceiling_low, ceiling_high (NaN for one subject), n_subjects, n_objects.
    """
    n = len(embedding)
    of_people = -object_similarities(embedding)[np.triu_indices(n, 1)]
    rows = []
    for region, given in regions.items():
        rdms = condensed_rdms(region, given, "n_subjects")
        found = rdm_permutation_test(rdms, of_people, "spearman", permutations, np.random.default_rng(seed))
        low, high = rdm_noise_ceiling(rdms, "spearman") if len(rdms) > 1 else (np.nan, np.nan)
        null = (float(found.null.mean()), float(np.quantile(found.null, 0.95)))
        rows.append((region, found.score, found.p, *null, low, high, len(rdms)))
    columns = ["region", "score", "p", "null_mean", "null_high", "ceiling_low", "ceiling_high", "n_subjects"]
    return pd.DataFrame(rows, columns=columns).assign(n_objects=n)
