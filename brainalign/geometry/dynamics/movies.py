"""Geometry over time of models beside that of neurons: are conditions alike for both, frame by frame?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.condensed import square_rdms
from brainalign.geometry.rdms import rank_rdms
from brainalign.geometry.time import rdm_movie
from brainalign.statistics import permutation_test
from brainalign.study import check_neural


def movie_agreement(
    models: Mapping[str, Values],
    neural: Values,
    visible: NDArray[np.bool_],
    *,
    n_permutations: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the Spearman correlation of every model's RDM with that of the neurons, at every frame.

    Distances of neurons are crossnobis, repeats being runs, so that noise adds none; those of models are Euclidean.

    Parameters
    ----------
    models : mapping of array (n_conditions, n_times, n_units)
    neural : array (n_conditions, n_times, n_neurons, n_repeats)
        As for `score_dynamics`; frames that some condition lacks are left out.
    visible : array (n_conditions, n_times) of bool
    n_permutations : int
        Of the conditions of the models.
    seed : int

    Returns
    -------
    DataFrame
        model, time (frame), hidden (share of conditions), score, null_95, p, p_fwer (over frames). NaN where a model
        tells no conditions apart.
    """
    present = check_neural(neural, visible)
    if n_permutations < 1:
        raise BrainalignError(f"n_permutations must be 1 or more; got {n_permutations}")
    times = np.flatnonzero(present.all(axis=0))
    n_conditions, _, _, n_repeats = neural.shape
    trials = np.moveaxis(np.asarray(neural, dtype=np.float64)[:, times], [3, 2, 1], [1, 2, 3])
    flat = trials.reshape(-1, *trials.shape[2:])  # (n_conditions * n_repeats, n_neurons, n_times)
    labels, runs = np.repeat(np.arange(n_conditions), n_repeats), np.tile(np.arange(n_repeats), n_conditions)
    brain = _unit(rdm_movie(flat, "crossnobis", labels, runs))
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n_conditions) for _ in range(n_permutations)]
    upper = np.triu_indices(n_conditions, 1)
    tables = []
    for name, X in models.items():
        ranks = _unit(rdm_movie(np.moveaxis(np.asarray(X, dtype=np.float64)[:, times], 1, 2), "euclidean"))
        square = square_rdms(ranks)
        null = np.stack([np.sum(square[:, order][:, :, order][:, *upper] * brain, axis=1) for order in orders])
        score = np.where(ranks.any(axis=1), np.sum(ranks * brain, axis=1), np.nan)
        table = {"model": name, "time": times, "hidden": (~visible).mean(axis=0)[times], "score": score}
        table |= {"null_95": np.quantile(null, 0.95, axis=0), "p": permutation_test(score, null)}
        tables.append(pd.DataFrame(table | {"p_fwer": permutation_test(score, null, "max")}))
    return pd.concat(tables, ignore_index=True)


def _unit(movie: Values) -> NDArray[np.float64]:
    """Return ranks of every frame's pairs, centred and of unit length; zeros where all are equal."""
    ranks = rank_rdms(np.asarray(movie, dtype=np.float64))
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    size = np.linalg.norm(ranks, axis=1, keepdims=True)
    return np.asarray(ranks / np.where(size > 0, size, 1.0))
