"""Networks beside the dimensions of human similarity: which of these can be read out of features, for new objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows
from brainalign.geometry.odd_one_out.triplets import Triplets, odd_one_out_accuracy
from brainalign.statistics import Regressor, held_out_prediction


@dataclass(frozen=True)
class DimensionFit:
    """How well every dimension is predicted for objects that the regression has not seen.

    Attributes
    ----------
    r2 : array (n_dimensions,)
        1 - residual / total sum of squares over held-out objects; NaN for a constant dimension.
    null : array (n_permutations, n_dimensions)
        The same with the objects of the embedding exchanged; every one is fitted anew.
    p : array (n_dimensions,)
    """

    r2: NDArray[np.float64]
    null: NDArray[np.float64]
    p: NDArray[np.float64]


def fit_dimensions(
    features: Values,
    embedding: Values,
    regressor: Regressor,
    folds: int,
    n_permutations: int,
    rng: np.random.Generator,
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

    Raises
    ------
    BrainalignError
        If rows do not fit, or there are more folds than objects.
    """
    X, Y = np.asarray(features, np.float64), np.asarray(embedding, np.float64)
    check_rows("features", len(X), "the embedding", len(Y), "both must be of the same objects, in the same order")
    check_finite("features", X, "leave out the objects without features")
    if not 2 <= folds <= len(X):
        raise BrainalignError(f"folds must be 2 to the number of objects ({len(X)}); got {folds}")
    orders = np.stack([np.arange(len(Y)), *(rng.permutation(len(Y)) for _ in range(n_permutations))])
    targets = Y[orders].transpose(1, 0, 2).reshape(len(Y), -1)
    residual, total = np.zeros(targets.shape[1]), np.zeros(targets.shape[1])
    parts = np.array_split(rng.permutation(len(X)), folds)
    for k, part in enumerate(parts):
        rest = np.concatenate([*parts[:k], *parts[k + 1 :]])
        predicted = held_out_prediction(regressor, X[rest], targets[rest], X[part], standardise=True)
        residual += ((targets[part] - predicted) ** 2).sum(axis=0)
        total += ((targets[part] - targets[rest].mean(axis=0)) ** 2).sum(axis=0)
    varies = total > 0
    r2 = np.where(varies, 1 - residual / np.where(varies, total, 1), np.nan).reshape(len(orders), -1)
    p = np.where(np.isnan(r2[0]), np.nan, (r2 >= r2[0] - 1e-12).mean(axis=0))
    return DimensionFit(r2[0], r2[1:], p)


def unseen_similarities(
    features: Values, embedding: Values, unseen: NDArray[np.integer[Any]], regressor: Regressor
) -> NDArray[np.float64]:
    """Return similarities of objects that were in no triplet, from what their features say of the dimensions.

    Parameters
    ----------
    features : array (n_objects, n_features)
        Of all objects.
    embedding : array (n_objects, n_dimensions)
        Fitted to triplets of the seen ones; rows of unseen ones are not looked at.
    unseen : array (n_unseen,)
        Row numbers.
    regressor : Regressor
        Fitted to the seen objects.

    Returns
    -------
    array (n_objects, n_objects)
        Dot products of predicted dimensions, which are 0 or more; 0 for seen objects.
    """
    X, Y = np.asarray(features, np.float64), np.asarray(embedding, np.float64)
    check_rows("features", len(X), "the embedding", len(Y), "both must be of the same objects, in the same order")
    seen = np.setdiff1d(np.arange(len(X)), unseen)
    predicted = np.zeros_like(Y)
    read = held_out_prediction(regressor, X[seen], Y[seen], X[unseen], standardise=True)
    predicted[unseen] = np.maximum(read, 0)
    return np.asarray(predicted @ predicted.T)


def permuted_accuracies(
    similarities: Values, triplets: Triplets, n_permutations: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the odd-one-out accuracy with the objects of the similarities exchanged, (n_permutations,).

    Parameters
    ----------
    similarities : array (n_objects, n_objects)
    triplets : array (n_triplets, 3)
    n_permutations : int
    rng : Generator
    """
    shown = np.unique(triplets)  # exchanged among themselves: of others there may be no similarities
    found = []
    for _ in range(n_permutations):
        order = np.arange(len(similarities))
        order[shown] = rng.permutation(shown)
        found.append(odd_one_out_accuracy(similarities, order[np.asarray(triplets)]))
    return np.array(found)
