"""Weighted combinations of the layers of a model, scored beside the layers themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from brainalign.arrays import Values
from brainalign.condensed import condensed_rdms, n_stimuli_of, square_rdms
from brainalign.geometry.inference.bootstrap import Factors
from brainalign.geometry.inference.fixed_models import RdmTest, warn_of_few_orders
from brainalign.geometry.inference.flexible import FlexibleModel, fit_weights, flexible_bootstrap, flexible_score
from brainalign.geometry.inference.reference_scores import score_rows, subject_rdms
from brainalign.study import check_combination


def combination(
    layers: Mapping[tuple[str, str], Values],
    model: str,
    name: str,
    chosen: Sequence[str] | None = None,
    fit: Literal["weighted", "select", "interpolate"] = "weighted",
) -> FlexibleModel:
    """Return the flexible model of some layers of a model.

    Parameters
    ----------
    layers : dict of array (n_pairs,) by (model, layer)
    model, name : str
        Whose layers, and what the combination is called.
    chosen : sequence of str, optional
        All layers by default.
    fit : str
        A key of `FITS`.

    Raises
    ------
    BrainalignError
        If the model has no such layers, or fewer than 2.
    """
    known = [layer for other, layer in layers if other == model]
    check_combination(name, model, chosen, known)
    return FlexibleModel(
        np.stack([condensed_rdms(f"{model} {layer}", layers[model, layer]) for layer in chosen or known]), fit
    )


def flexible_permutation_test(
    rdms: Values,
    model: FlexibleModel,
    method: str,
    n_permutations: int,
    rng: np.random.Generator,
    n_divisions: int = 4,
) -> RdmTest:
    """Test whether a flexible model fits held-out subjects and stimuli better than with its stimuli exchanged.

    Everything is fitted again for every order of the stimuli, which is the same for all RDMs of the model.

    Parameters
    ----------
    rdms, model, method, rng
        As for `flexible_bootstrap`.
    n_permutations : int
    n_divisions : int
        Divisions into folds that every score is a mean over, permuted or not.

    Returns
    -------
    RdmTest
    """
    model = replace(model, rdms=condensed_rdms("model.rdms", model.rdms, "n_rdms"))
    n_stimuli = n_stimuli_of(model.rdms.shape[1])
    warn_of_few_orders(n_stimuli)
    square, (i, j) = square_rdms(model.rdms), np.triu_indices(n_stimuli, 1)
    per_subject = flexible_score(rdms, model, method, rng, n_divisions)
    null = []
    for _ in range(n_permutations):
        order = rng.permutation(n_stimuli)
        moved = replace(model, rdms=square[:, order[i], order[j]])
        null.append(flexible_score(rdms, moved, method, rng, n_divisions))
    return RdmTest.over(per_subject, np.reshape(null, (n_permutations, len(per_subject))).T)


def score_combinations(
    sets: Mapping[str, Values],
    combinations: Mapping[tuple[str, str], FlexibleModel],
    method: str = "spearman",
    n_boot: int = 200,
    n_permutations: int = 100,
    seed: int = 0,
    alpha: float = 0.05,
    over: Factors = "both",
) -> pd.DataFrame:
    """Score combinations of layers on held-out subjects and stimuli of every reference set.

    Parameters
    ----------
    sets : dict of array (n_subjects, n_sessions, n_pairs)
        As for `score_references`.
    combinations : dict of FlexibleModel by (model, name)
    method : str
        A key of `COMPARISONS` but "tau-a".
    n_boot, n_permutations, seed : int
    alpha : float
        Intervals cover 1 - alpha.
    over : {"both", "stimuli", "subjects"}
        What errors are over, as for `dual_bootstrap`.

    Returns
    -------
    DataFrame
        A row per set and combination: the columns of `ReferenceScores.scores`, with ceilings of the same folds, and
        null_mean, null_high (95 % point) and null_p of refits with the stimuli of the model exchanged, weights (of all
        data, sum 1, space-separated), n_undefined (draws too small to divide), selected (score of the best single
        layer, chosen on the training parts and scored on the same held-out ones), gain (score - selected) and gain_p
        (two-sided).
    """
    tables = []
    for reference, rdms in sets.items():
        subjects, keys = subject_rdms(rdms, method), list(combinations)
        rng = np.random.default_rng(seed)
        # A layer's score on all data is no rival: twins choose one layer where the combination fits its weights.
        twins = [replace(model, fit="select") for model in combinations.values()]
        found = flexible_bootstrap(subjects, [*combinations.values(), *twins], method, n_boot, rng, over=over)
        n = len(keys)
        gains = np.eye(n, 2 * n + 2) - np.eye(n, 2 * n + 2, n)
        tests = [
            flexible_permutation_test(subjects, model, method, n_permutations, rng) for model in combinations.values()
        ]
        table = (
            score_rows(found, keys + keys, alpha)
            .iloc[:n]
            .assign(
                reference=reference,
                selected=found.scores[n:],
                gain=found.scores[:n] - found.scores[n:],
                gain_p=found.test(gains)[1],
                null_mean=[test.null.mean() for test in tests],
                null_high=[np.quantile(test.null, 0.95) for test in tests],
                null_p=[test.p for test in tests],
                weights=[_shares(fit_weights(subjects, model, method)) for model in combinations.values()],
                n_undefined=found.n_undefined,
            )
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _shares(weights: Values) -> str:
    total = weights.sum()
    return " ".join(f"{weight / total if total > 0 else 0:.2f}" for weight in weights)
