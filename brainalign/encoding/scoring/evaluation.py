"""Score one layer on one split, with its permutation null."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import check_folds
from brainalign.encoding.scoring.crossval import Encoder, Folds, FoldScores, Inputs, encode_runs, encode_zero_shot
from brainalign.statistics import exchange_features, permute_stimuli, permute_within

STACK_BYTES = 64 * 2**20  # permuted responses refitted at once


@dataclass(frozen=True)
class Null:
    """Statistics under permutation: summaries per permutation and a count per target, never every score.

    Attributes
    ----------
    accuracy : array (n_permutations,)
        Mean identification over folds.
    share_good : array (n_permutations,)
        Share of targets with r above a threshold.
    max_r : array (n_permutations,)
        Largest r over targets: the distribution that controls the family-wise error.
    n_reached : array (n_targets,)
        In how many permutations the target's r reached the observed one.
    """

    accuracy: NDArray[np.float64]
    share_good: NDArray[np.float64]
    max_r: NDArray[np.float64]
    n_reached: NDArray[np.intp]


@dataclass(frozen=True)
class Evaluation:
    """Observed scores (a stack of one response set) and their null, where one was asked for."""

    observed: FoldScores
    null: Null | None


def evaluate(
    encoder: Encoder,
    X: Values,
    responses: Values,
    folds: Folds,
    *,
    leave_out: Literal["run", "stimulus"],
    stimulus_ids: NDArray[Any],
    runs: NDArray[Any],
    n_permutations: int,
    good_r: float = 0.3,
    seed: int = 0,
    inputs: Inputs | None = None,
) -> Evaluation:
    """Cross-validate an encoder and refit it on permuted responses.

    Parameters
    ----------
    encoder : Encoder
    X : array (n_rows, n_features)
        One row per trial.
    responses : array (n_rows, n_targets)
    folds : sequence of (train rows, test rows)
    leave_out : {"run", "stimulus"}
        Held-out runs: scores per target and identification; the null permutes stimuli within runs. Held-out stimuli:
        matching of pairs; the null exchanges stimuli as wholes. Rows of a stimulus stay together in both.
    stimulus_ids, runs : array (n_rows,)
        Runs are the groups of the inner cross-validation.
    n_permutations : int
        0: no null.
    good_r : float
    seed : int
    inputs : callable (X, training rows), optional
        As for `encode_runs`.

    Raises
    ------
    BrainalignError
        If a row is in both sides of a fold, a side is empty, or there is no such row.
    """
    check_folds(folds, len(X))
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {"folds": folds, "groups": runs, "inputs": inputs}
    by_run = leave_out == "run"
    scored: Callable[..., FoldScores] = partial(encode_runs if by_run else encode_zero_shot, encoder, **options)
    if not _as_often(stimulus_ids, runs, everywhere=not by_run):
        # Responses have no places to go to: stimuli exchange their features, and every exchange is a fit of its own.
        observed = scored(X, responses[None], stimulus_ids=stimulus_ids)
        donors = exchange_features(stimulus_ids, runs if by_run else np.zeros(len(X)), n_permutations, rng)
        names = (stimulus_ids[rows] if by_run else stimulus_ids for rows in donors)
        null = (scored(X[rows], responses[None], stimulus_ids=of) for rows, of in zip(donors, names, strict=True))
        return Evaluation(observed, _null(null, observed.r[0], good_r) if n_permutations else None)
    score: Callable[[Values], FoldScores] = partial(scored, X, stimulus_ids=stimulus_ids)
    if by_run:
        orders = permute_within(runs, n_permutations, rng, stimulus_ids)
    else:
        orders = permute_stimuli(stimulus_ids, runs, n_permutations, rng)
    # The observed order comes first in the first stack: of small responses, a fit of one set takes as long as of many.
    orders = np.concatenate([np.arange(len(responses))[None], orders])
    at_once = max(1, STACK_BYTES // responses.nbytes)
    stacks = (score(responses[orders[start : start + at_once]]) for start in range(0, len(orders), at_once))
    first = next(stacks)
    observed = first.of(slice(1))
    if not n_permutations:
        return Evaluation(observed, None)
    return Evaluation(observed, _null(chain([first.of(slice(1, None))], stacks), observed.r[0], good_r))


def _as_often(stimulus_ids: NDArray[Any], runs: NDArray[Any], *, everywhere: bool) -> bool:
    """Return whether each run holds its stimuli equally often, and, where asked, all runs hold all of them."""
    counts = np.unique_inverse(runs).inverse_indices, np.unique_inverse(stimulus_ids).inverse_indices
    table = np.zeros([1 + int(codes.max()) for codes in counts], dtype=int)
    np.add.at(table, counts, 1)
    most = table.max(axis=1, keepdims=True)
    return bool(((table == most) | ((table == 0) & (not everywhere))).all())


def _null(permuted: Iterable[FoldScores], observed_r: Values, good_r: float) -> Null:
    accuracy, share_good, max_r = [], [], []
    n_reached = np.zeros(len(observed_r), dtype=np.intp)
    for scores in permuted:
        accuracy.append(np.nanmean(scores.correct, axis=2).mean(axis=1))
        # Scores of held-out stimuli have no r; predictions that do not vary have none either: no relation.
        r = scores.r if np.isnan(observed_r).all() else np.nan_to_num(scores.r)
        share_good.append(np.where(np.isnan(r).all(axis=1), np.nan, (r > good_r).mean(axis=1)))
        max_r.append(r.max(axis=1))
        n_reached += (r >= observed_r).sum(axis=0)
    return Null(np.concatenate(accuracy), np.concatenate(share_good), np.concatenate(max_r), n_reached)
