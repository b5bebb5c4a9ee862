"""Cross-validated encoding: fit on the training rows of each outer fold, score on its test rows, within the fold.

Permutation nulls ride along as further targets: permuting the rows of Y leaves every decomposition as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from brainalign.arrays import Values
from brainalign.checks import check_folds
from brainalign.statistics import identification, pair_matching, pearson, r2, without_rounding

Folds = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]
Inputs = Callable[[Values, NDArray[np.intp]], Values]


class Encoder(Protocol):
    """What cross-validation asks of an encoder: the contract of `ENCODERS`."""

    alpha_: Values
    per_target_alpha: bool

    def fit(self, X: Values, Y: Values, *, groups: Any = None, roi: Any = None) -> Encoder:
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

    def of(self, sets: slice) -> FoldScores:
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


def encode_runs(
    encoder: Encoder,
    X: Values,
    stack: Values,
    folds: Folds,
    groups: NDArray[Any],
    stimulus_ids: NDArray[Any],
    inputs: Inputs | None = None,
) -> FoldScores:
    """Score an encoder on held-out runs: r and R² per target over trials, and identification of the stimuli.

    For identification the trials of a stimulus in the fold are averaged first.

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

    Raises
    ------
    BrainalignError
        If a row is in both sides of a fold, a side is empty, or there is no such row.
    """
    check_folds(folds, len(X))
    r = np.zeros((stack.shape[0], stack.shape[2]))
    determination = np.zeros_like(r)
    alphas, correct, chosen = [], [], []
    for test, predicted, measured, alpha in _fold_predictions(encoder, X, stack, folds, groups, inputs):
        r += pearson(without_rounding(predicted, measured, axis=1), measured, axis=1)
        determination += r2(measured, predicted, axis=1)
        alphas.append(alpha)
        average = _averaging(stimulus_ids[test])
        credit, best = identification(average @ predicted, average @ measured)
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


def encode_zero_shot(
    encoder: Encoder,
    X: Values,
    stack: Values,
    folds: Folds,
    groups: NDArray[Any],
    stimulus_ids: NDArray[Any],
    inputs: Inputs | None = None,
) -> FoldScores:
    """Score an encoder on stimuli it never saw: match predicted and measured patterns of the left-out stimuli.

    Test rows are averaged over repeats first. Every pair of left-out stimuli counts 1 when the right matching
    correlates better than the swapped one, 1/2 when they tie.

    Parameters
    ----------
    encoder, X, stack, folds, groups, stimulus_ids, inputs
        As for `encode_runs`.

    Raises
    ------
    BrainalignError
        If a row is in both sides of a fold, a side is empty, or there is no such row.

    References
    ----------
    Mitchell TM et al. (2008). Predicting human brain activity associated with the meanings of nouns. Science
    320:1191-1195. doi:10.1126/science.1152876
    """
    check_folds(folds, len(X))
    correct, alphas = [], []
    for test, predicted, measured, alpha in _fold_predictions(encoder, X, stack, folds, groups, inputs):
        average = _averaging(stimulus_ids[test])
        correct.append(pair_matching(average @ predicted, average @ measured))
        alphas.append(alpha)
    undefined = np.full((stack.shape[0], stack.shape[2]), np.nan)
    scores = np.stack(correct, axis=1)
    return FoldScores(undefined, undefined, np.stack(alphas), scores, np.empty((*scores.shape[:2], 0), dtype=np.intp))
