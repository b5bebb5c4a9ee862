"""Cross-validated encoding: fit on the training rows of each outer fold, score on its test rows, within the fold.

Permutation nulls ride along as further targets: permuting the rows of Y leaves every decomposition as it is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from brainalign.arrays import Values
from brainalign.checks import check_folds
from brainalign.statistics import (
    exchange_features,
    identification,
    pair_matching,
    pearson,
    permute_stimuli,
    permute_within,
    r2,
    without_rounding,
)

Folds = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]
Inputs = Callable[[Values, NDArray[np.intp]], Values]


class Encoder(Protocol):
    """What cross-validation asks of an encoder: the contract of `ENCODERS`."""

    alpha_: Values
    per_target_alpha: bool

    def fit(self, X: Values, Y: Values, *, groups: Any = None, roi: Any = None) -> "Encoder":
        """Fit all targets."""

    def predict(self, X: Values) -> Values:
        """Predict all targets."""


@dataclass(frozen=True)
class FoldScores:
    """Scores of a stack of B response sets (the observed one, or permutations of it) under one layer.

    Attributes
    ----------
    r, r2 : array (B, n_targets)
        Computed within each fold, then averaged over folds; NaN where a fold has too few test stimuli.
    alpha : array (n_folds, B, n_targets)
    correct : array (B, n_folds, n_items)
        Credit per test item (a stimulus, or for zero-shot a pair): 1, 0, or what a tie leaves. Stimuli of a fold are
        in sorted order; where it has fewer than others, the rest is NaN.
    chosen : array (B, n_folds, n_items)
        Which of the fold's stimuli was identified (runs only; empty for zero-shot pairs).
    """

    r: Values
    r2: Values
    alpha: Values
    correct: Values
    chosen: NDArray[np.intp]

    def of(self, sets: slice) -> "FoldScores":
        """Return the scores of some of the response sets."""
        return FoldScores(self.r[sets], self.r2[sets], self.alpha[:, sets], self.correct[sets], self.chosen[sets])


def row_space(X: Values) -> Values:
    """Rotate features into the span of their rows: exact for ridge, and narrow when few stimuli are distinct.

    Parameters
    ----------
    X : array (n_rows, n_features)

    Returns
    -------
    array (n_rows, rank), float64, with the same inner products between rows
    """
    distinct, inverse = np.unique(X, axis=0, return_inverse=True)
    u, s, _ = np.linalg.svd(np.asarray(distinct, dtype=np.float64), full_matrices=False)
    keep = s > s[0] * max(distinct.shape) * np.finfo(np.float64).eps
    keep[0] = True  # a layer that answers nothing keeps a column of zeros
    return np.asarray((u[:, keep] * s[keep])[inverse])


def _fold_predictions(
    encoder: Encoder, X: Values, stack: Values, folds: Folds, groups: NDArray[Any], inputs: Inputs | None
) -> Iterator[tuple[NDArray[np.intp], Values, Values, Values]]:
    """Yield (test rows, predictions (B, n_test, t), measured (B, n_test, t), alpha (B, t)) of every fold.

    All B sets of responses are fitted as one, as B · t targets; where the encoder has one alpha for all targets, each
    set gets its own.
    """
    n_sets, n_rows, n_targets = stack.shape
    targets = np.ascontiguousarray(stack.transpose(1, 0, 2)).reshape(n_rows, n_sets * n_targets)
    sets = None if encoder.per_target_alpha else np.repeat(np.arange(n_sets), n_targets)
    inner = X if inputs is not None else row_space(X)
    for train, test in folds:
        if inputs is not None:
            inner = row_space(inputs(X, train))
        fitted = clone(encoder).fit(inner[train], targets[train], groups=groups[train], roi=sets)
        shape = (len(test), n_sets, n_targets)
        yield (
            test,
            fitted.predict(inner[test]).reshape(shape).transpose(1, 0, 2),
            targets[test].reshape(shape).transpose(1, 0, 2),
            fitted.alpha_.reshape(n_sets, n_targets),
        )


def _averaging(stimulus_ids: NDArray[Any]) -> Values:
    """Return the matrix (n_stimuli, n_rows) that averages the rows of each stimulus."""
    _, codes = np.unique(stimulus_ids, return_inverse=True)
    average = (codes == np.arange(codes.max() + 1)[:, None]).astype(np.float64)
    return np.asarray(average / average.sum(axis=1, keepdims=True))


def encode_folds(
    encoder: Encoder,
    X: Values,
    stack: Values,
    folds: Folds,
    groups: NDArray[Any],
    stimulus_ids: NDArray[Any],
    inputs: Inputs | None = None,
    *,
    leave_out: Literal["run", "stimulus"] = "run",
) -> FoldScores:
    """Score an encoder on held-out runs, or on stimuli it never saw.

    Of held-out runs: r and R² per target over trials, and identification of the stimuli. Of held-out stimuli: every
    pair of them counts 1 when the right matching of predicted and measured patterns correlates better than the swapped
    one, 1/2 when they tie. For both the trials of a stimulus in the fold are averaged first.

    Parameters
    ----------
    encoder : Encoder
        Cloned for every fold.
    X : array (n_rows, n_features)
    stack : array (B, n_rows, n_targets)
        Response sets that share X: the observed responses, or row permutations of them.
    folds : sequence of (train rows, test rows)
    groups : array (n_rows,)
        Groups of the inner cross-validation.
    stimulus_ids : array (n_rows,)
    inputs : callable (X, training rows), optional
        Makes what the encoder is given of the features; as they are where not given.
    leave_out : {"run", "stimulus"}

    References
    ----------
    Mitchell TM et al. (2008). Predicting human brain activity associated with the meanings of nouns. Science
    320:1191-1195. doi:10.1126/science.1152876
    """
    check_folds(folds, len(X))
    r = np.full((stack.shape[0], stack.shape[2]), 0.0 if leave_out == "run" else np.nan)
    determination = r.copy()
    alphas, correct, chosen = [], [], []
    for test, predicted, measured, alpha in _fold_predictions(encoder, X, stack, folds, groups, inputs):
        average = _averaging(stimulus_ids[test])
        patterns = average @ predicted, average @ measured
        if leave_out == "run":
            r += pearson(without_rounding(predicted, measured, axis=1), measured, axis=1)
            determination += r2(measured, predicted, axis=1)
            credit, best = identification(*patterns)
        else:
            credit, best = pair_matching(*patterns), np.empty((len(stack), 0), dtype=np.intp)
        alphas.append(alpha)
        correct.append(credit)
        chosen.append(best)
    n = len(folds)
    return FoldScores(r / n, determination / n, np.stack(alphas), _filled(correct, np.nan), _filled(chosen, -1))


def _filled(folds: list[NDArray[Any]], rest: float) -> NDArray[Any]:
    """Stack what folds have of their items (B, n_items) as (B, n_folds, most items)."""
    found = np.full((len(folds[0]), len(folds), max(items.shape[1] for items in folds)), rest, dtype=folds[0].dtype)
    for fold, items in enumerate(folds):
        found[:, fold, : items.shape[1]] = items
    return found


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
    groups: NDArray[Any] | None = None,
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
    n_permutations : int
        0: no null.
    groups : array (n_rows,), optional
        Of the inner cross-validation; runs where not given.
    good_r : float
    seed : int
    inputs : callable (X, training rows), optional
        As for `encode_folds`.

    Raises
    ------
    BrainalignError
        If a row is in both sides of a fold, a side is empty, or there is no such row.
    """
    check_folds(folds, len(X))
    rng = np.random.default_rng(seed)
    by_run = leave_out == "run"
    scored: Callable[..., FoldScores] = partial(
        encode_folds,
        encoder,
        folds=folds,
        groups=runs if groups is None else groups,
        inputs=inputs,
        leave_out=leave_out,
    )
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
