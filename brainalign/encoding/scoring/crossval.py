"""Cross-validated encoding: fit on the training rows of each outer fold, score on its test rows, within the fold.

Permutation nulls ride along as further targets: permuting the rows of Y leaves every decomposition as it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from brainalign.arrays import Rows, Values
from brainalign.checks import check_folds
from brainalign.regression import BandedRidge
from brainalign.statistics import (
    FEW,
    LONGER,
    MIN_UNITS,
    Encoder,
    cross_validated_interval,
    exchange_features,
    group_means,
    identification,
    pair_matching,
    pearson,
    permute_stimuli,
    permute_within,
    r2,
    without_rounding,
)
from brainalign.statistics.classification import TIE

Folds = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]
Inputs = Callable[[Values, NDArray[np.intp]], Values]
Several = Values | Sequence[Values]  # features (n_rows, n_features), or those of every band
LeftOut = Literal["run", "group", "stimulus"]
LEAST_SCORED = 3  # stimuli of a fold: over fewer nothing correlates


@dataclass(frozen=True)
class FoldScores:
    """Scores of a stack of B response sets (the observed one, or permutations of it) under one layer.

    Attributes
    ----------
    r, r2 : array (B, n_targets)
        Computed within each fold, then averaged over folds; NaN where a fold has too few test stimuli.
    alpha : array (B, n_folds, n_targets)
        NaN of encoders that choose none.
    correct : array (B, n_folds, n_items)
        Credit per test item (a stimulus, or for zero-shot a pair): 1, 0, or what a tie leaves. Stimuli of a fold are
        in sorted order; where it has fewer than others, the rest is NaN.
    chosen : array (B, n_folds, n_items)
        Which of the fold's stimuli was identified (empty for zero-shot pairs).
    group_r, group_accuracy : array (B, n_folds, n_groups)
        Mean r of the targets of each group, and the mean credit that their patterns alone earn (NaN of one target).
    """

    r: Values
    r2: Values
    alpha: Values
    correct: Values
    chosen: NDArray[np.intp]
    group_r: Values
    group_accuracy: Values

    def of(self, sets: slice) -> "FoldScores":
        """Return the scores of some of the response sets."""
        return FoldScores(**{field.name: getattr(self, field.name)[sets] for field in fields(self)})


def row_space(X: Values) -> Values:
    """Rotate features into the span of their rows: exact for ridge, and narrow when few stimuli are distinct.

    In float64 (n_rows, rank), with the same inner products between rows.
    """
    distinct, inverse = np.unique(X, axis=0, return_inverse=True)
    u, s, _ = np.linalg.svd(np.asarray(distinct, dtype=np.float64), full_matrices=False)
    keep = s > s[0] * max(distinct.shape) * np.finfo(np.float64).eps
    keep[0] = True  # a layer that answers nothing keeps a column of zeros
    return np.asarray((u[:, keep] * s[keep])[inverse])


def _fitted(
    encoder: Encoder, X: Several, Y: Values, folds: Folds, groups: NDArray[Any], inputs: Inputs | None, **given: Any
) -> Iterator[tuple[NDArray[np.intp], Any, Any]]:
    """Yield (test rows, what was fitted to the others, what it is given to predict them) of every fold.

    Encoders with penalties are given features in the span of their rows; others may care for single features.
    """
    turned = row_space if hasattr(encoder, "alphas") else np.asarray
    bands = [X] if isinstance(X, np.ndarray) else X
    inner = [turned(band) for band in bands] if inputs is None else []
    for train, test in folds:
        made = inner if inputs is None else [turned(inputs(band, train)) for band in bands]
        some, others = ([values[rows] for values in made] for rows in (train, test))
        one = isinstance(X, np.ndarray)
        fitted = clone(encoder).fit(some[0] if one else some, Y[train], groups=groups[train], **given)
        yield test, fitted, others[0] if one else others


def _fold_predictions(
    encoder: Encoder, X: Several, stack: Values, folds: Folds, groups: NDArray[Any], inputs: Inputs | None
) -> Iterator[tuple[NDArray[np.intp], Values, Values, Values]]:
    """Yield (test rows, predictions (B, n_test, t), measured (B, n_test, t), alpha (B, t)) of every fold.

    All B sets of responses are fitted as one, as B · t targets; where the encoder has one alpha for all targets, each
    set gets its own. Without penalties an encoder may fit targets together: each set is then fitted by itself.
    """
    n_sets, n_rows, n_targets = stack.shape
    if not hasattr(encoder, "alphas"):
        each = (_fitted(encoder, X, one, folds, groups, inputs) for one in stack)
        for fold in zip(*each, strict=True):
            test = fold[0][0]
            predicted = np.stack([np.asarray(fitted.predict(asked)) for _, fitted, asked in fold])
            yield test, predicted, stack[:, test], np.full((n_sets, n_targets), np.nan)
        return
    targets = np.ascontiguousarray(stack.transpose(1, 0, 2)).reshape(n_rows, n_sets * n_targets)
    given = {} if getattr(encoder, "per_target_alpha", True) else {"roi": np.repeat(np.arange(n_sets), n_targets)}
    for test, fitted, asked in _fitted(encoder, X, targets, folds, groups, inputs, **given):
        shape = (len(test), n_sets, n_targets)
        yield (
            test,
            fitted.predict(asked).reshape(shape).transpose(1, 0, 2),
            targets[test].reshape(shape).transpose(1, 0, 2),
            fitted.alpha_.reshape(n_sets, n_targets),
        )


def split_folds(
    encoder: BandedRidge,
    bands: Mapping[str, Values],
    Y: Values,
    folds: Folds,
    groups: NDArray[Any],
    control: NDArray[np.intp],
    target_groups: Mapping[str, NDArray[np.intp]],
    ceiling: Values,
    *,
    inputs: Inputs | None = None,
    confidence: float = 0.95,
    together: str = "all",
) -> pd.DataFrame:
    """Return what each band adds to the score of a joint fit, as `Partition.table`: means over folds and targets.

    Intervals are over folds, NaN where these are few or share test rows. In the control, a refit, each row takes the
    features of another one (n_rows,). `ceiling` is a share of variance (n_targets,), `together` the name of the sum.
    """

    def parts(rows: Rows) -> Values:
        fitted = _fitted(encoder, [band[rows] for band in bands.values()], Y, folds, groups, inputs)
        found = np.stack([np.asarray(one.split_scores(asked, Y[test])) for test, one, asked in fitted])
        return np.concatenate([found, found.sum(axis=1, keepdims=True)], axis=1)  # (n_folds, n_bands + 1, n_targets)

    found, refitted = parts(np.arange(len(Y))), parts(control)
    limit = np.sqrt(np.maximum(ceiling, 0)) if encoder.metric == "r" else ceiling
    table = []
    for band, name in enumerate([*bands, together]):
        for group, rows in target_groups.items():
            of_folds = np.array([group_means(one, [rows])[0] for one in found[:, band]])
            row: dict[str, object] = {"group": group, "layer": name, "joint": name == together}
            low, high = fold_interval(of_folds, folds, confidence)
            row |= {"metric": encoder.metric, "split": of_folds.mean(), "low": low, "high": high}
            row["n_targets"] = len(rows)
            row["control_split"] = group_means(refitted[:, band].mean(axis=0), [rows])[0]
            table.append(row | {"ceiling": group_means(limit, [rows])[0]})
    return pd.DataFrame(table)


def fold_interval(scores: Values, folds: Folds, confidence: float) -> tuple[float, float]:
    """Return the interval of a mean over folds (n_folds,): NaN where few, sharing test rows, or one has no score."""
    tests = np.concatenate([test for _, test in folds])
    if len(np.unique(tests)) < len(tests) or len(folds) < MIN_UNITS or not np.isfinite(scores).all():
        return np.nan, np.nan
    share = float(np.mean([len(test) / len(train) for train, test in folds]))
    found = cross_validated_interval(scores, share, confidence)
    return found.low, found.high


def encode_folds(
    encoder: Encoder,
    X: Several,
    stack: Values,
    folds: Folds,
    groups: NDArray[Any],
    stimulus_ids: NDArray[Any],
    inputs: Inputs | None = None,
    *,
    leave_out: LeftOut = "run",
    target_groups: Sequence[Rows] = (),
) -> FoldScores:
    """Score an encoder on held-out runs, or on stimuli it never saw.

    r and R² per target: of held-out runs over trials; of held-out stimuli, alone or in groups, over the averages of
    each, where a fold has `LEAST_SCORED` or more. Of runs and groups the stimuli are identified. Of stimuli every pair
    counts 1 when the right matching of predicted and measured patterns correlates better than the swapped one, 1/2
    when they tie. For both the trials of a stimulus in the fold are averaged first.

    `stack` (B, n_rows, n_targets) holds responses that share X: those observed, or their rows permuted; `groups` are of
    the inner cross-validation. `inputs` (X, training rows) makes what the encoder is given of the features; they are
    taken as they are where it is not given. X is a list for encoders of several bands. `target_groups` lists the
    numbers of the targets of every group.

    References
    ----------
    Mitchell TM et al. (2008). Predicting human brain activity associated with the meanings of nouns. Science
    320:1191-1195. doi:10.1126/science.1152876
    """
    check_folds(folds, stack.shape[1])
    r = np.zeros((stack.shape[0], stack.shape[2]))
    determination = r.copy()
    alphas, correct, chosen, group_r, group_accuracy = [], [], [], [], []
    for test, predicted, measured, alpha in _fold_predictions(encoder, X, stack, folds, groups, inputs):
        _, codes = np.unique(stimulus_ids[test], return_inverse=True)
        average = (codes == np.arange(codes.max() + 1)[:, None]).astype(np.float64)
        average /= average.sum(axis=1, keepdims=True)  # (n_stimuli, n_rows): means over the rows of each stimulus
        patterns = average @ predicted, average @ measured
        told, seen = (predicted, measured) if leave_out == "run" else patterns
        of_fold, explained = np.full((2, *r.shape), np.nan)
        if leave_out == "run" or len(average) >= LEAST_SCORED:
            of_fold = pearson(without_rounding(told, seen, axis=1), seen, axis=1)
            explained = r2(seen, told, axis=1)
        r += of_fold
        determination += explained
        credit, best = _told_apart(patterns, leave_out)
        alphas.append(alpha)
        correct.append(credit)
        chosen.append(best)
        group_r.append(np.full((len(stack), len(target_groups)), np.nan))
        group_accuracy.append(group_r[-1].copy())
        for k, rows in enumerate(target_groups):
            n_scored = np.isfinite(of_fold[:, rows]).sum(axis=1)
            group_r[-1][:, k] = np.nan_to_num(of_fold[:, rows]).sum(axis=1) / np.where(n_scored, n_scored, np.nan)
            if len(rows) > 1:  # one target is no pattern
                alone = patterns[0][:, :, rows], patterns[1][:, :, rows]
                group_accuracy[-1][:, k] = _told_apart(alone, leave_out)[0].mean(axis=1)
    of_groups = np.stack(group_r, axis=1), np.stack(group_accuracy, axis=1)
    n, items = len(folds), (_filled(correct, np.nan), _filled(chosen, -1))
    return FoldScores(r / n, determination / n, np.stack(alphas, axis=1), *items, *of_groups)


def _told_apart(patterns: tuple[Values, Values], leave_out: LeftOut) -> tuple[Values, NDArray[np.intp]]:
    """Return the credit of every item (B, n_items), and which stimulus was identified (of pairs: nothing)."""
    if leave_out == "stimulus":
        return pair_matching(*patterns), np.empty((len(patterns[0]), 0), dtype=np.intp)
    return identification(*patterns)


def _filled(folds: list[NDArray[Any]], rest: float) -> NDArray[Any]:
    """Stack what folds have of their items (B, n_items) as (B, n_folds, most items)."""
    found = np.full((len(folds[0]), len(folds), max(items.shape[1] for items in folds)), rest, dtype=folds[0].dtype)
    for fold, items in enumerate(folds):
        found[:, fold, : items.shape[1]] = items
    return found


STACK_BYTES = 64 * 2**20  # permuted responses refitted at once


@dataclass(frozen=True)
class Null:
    """Statistics under permutation: summaries per permutation and a p value per target, never every score.

    Attributes
    ----------
    accuracy : array (n_permutations,)
        Mean identification over folds.
    share_good : array (n_permutations,)
        Share of targets with r above a threshold.
    max_r : array (n_permutations,)
        Largest r over targets: the distribution that controls the family-wise error.
    p : array (n_targets,)
        One-sided: the share of orders, the observed among them, whose r reaches the observed one; NaN without r.
    group_r, group_accuracy : array (n_permutations, n_groups)
        Means over folds.
    """

    accuracy: NDArray[np.float64]
    share_good: NDArray[np.float64]
    max_r: NDArray[np.float64]
    p: Values
    group_r: Values
    group_accuracy: Values


@dataclass(frozen=True)
class Evaluation:
    """Observed scores (a stack of one response set) and their null, where one was asked for."""

    observed: FoldScores
    null: Null | None


def evaluate(
    encoder: Encoder,
    X: Several,
    responses: Values,
    folds: Folds,
    *,
    leave_out: LeftOut,
    stimulus_ids: NDArray[Any],
    runs: NDArray[Any],
    n_permutations: int,
    groups: NDArray[Any] | None = None,
    wholes: NDArray[Any] | None = None,
    good_r: float = 0.3,
    seed: int = 0,
    inputs: Inputs | None = None,
    target_groups: Sequence[Rows] = (),
) -> Evaluation:
    """Cross-validate an encoder and refit it on permuted responses.

    Parameters
    ----------
    encoder : Encoder
    X : array (n_rows, n_features), or a list of them
        One row per trial; a list is for encoders of several bands.
    responses : array (n_rows, n_targets)
    folds : sequence of (train rows, test rows)
    leave_out : {"run", "group", "stimulus"}
        Held-out runs: the null permutes stimuli within runs. Held-out stimuli, in groups or alone: the null exchanges
        stimuli as wholes, as each has one pattern in all runs, and what was left out was never trained on (permuted
        within runs, .19 of targets that repeat had p < .05 where nothing was planted). Rows of a stimulus stay together
        in both.
    stimulus_ids, runs : array (n_rows,)
    n_permutations : int
        0: no null. Where targets outnumber them, and each is fitted by itself, those that fewer than 10 reach are
        permuted 10 times as often (Besag and Clifford 1991): a false discovery rate over many needs smaller p.
    groups : array (n_rows,), optional
        Of the inner cross-validation; runs where not given.
    wholes : array (n_rows,), optional
        Of held-out stimuli: labels, as of passages, that the null exchanges in place of stimuli. Where folds test
        several, .09 to .15 of targets that share nothing with features but the bounds of passages had p < .05 else.
    good_r : float
    seed : int
    inputs : callable (X, training rows), optional
    target_groups : sequence of arrays of target numbers
        Both as for `encode_folds`.

    Raises
    ------
    BrainalignError
        If a row is in both sides of a fold, a side is empty, or there is no such row.
    """
    check_folds(folds, len(responses))
    rng, by_run = np.random.default_rng(seed), leave_out == "run"
    inner = runs if groups is None else groups
    scored: Callable[..., FoldScores] = partial(
        encode_folds, encoder, folds=folds, groups=inner, inputs=inputs, leave_out=leave_out
    )
    if not _as_often(stimulus_ids, runs, everywhere=not by_run):
        # Responses have no places to go to: stimuli exchange their features, and every exchange is a fit of its own.
        scored = partial(scored, target_groups=target_groups)
        observed = scored(X, responses[None], stimulus_ids=stimulus_ids)
        donors = exchange_features(stimulus_ids, runs if by_run else np.zeros(len(runs)), n_permutations, rng, wholes)
        names = (stimulus_ids[rows] if by_run else stimulus_ids for rows in donors)
        chosen = (X[rows] if isinstance(X, np.ndarray) else [band[rows] for band in X] for rows in donors)
        exchanged = (scored(some, responses[None], stimulus_ids=of) for some, of in zip(chosen, names, strict=True))
        return Evaluation(observed, _null(exchanged, observed.r[0], good_r) if n_permutations else None)

    def stacks(responses: Values, n: int, **of_groups: Sequence[Rows]) -> Iterator[FoldScores]:
        ids = stimulus_ids
        orders = permute_within(runs, n, rng, ids) if by_run else permute_stimuli(ids, runs, n, rng, wholes)
        # The observed order comes first in the first stack: small responses take as long to fit once as many times.
        orders = np.concatenate([np.arange(len(responses))[None], orders])
        at_once = max(1, STACK_BYTES // responses.nbytes)
        sets = (responses[orders[start : start + at_once]] for start in range(0, len(orders), at_once))
        found = (scored(X, some, stimulus_ids=stimulus_ids, **of_groups) for some in sets)
        first = next(found)
        return chain([first.of(slice(1)), first.of(slice(1, None))], found)

    permuted = stacks(responses, n_permutations, target_groups=target_groups)
    observed = next(permuted)
    if not n_permutations:
        return Evaluation(observed, None)
    null = _null(permuted, observed.r[0], good_r)
    few = np.flatnonzero(null.p * (1 + n_permutations) < FEW + 0.5)  # reached by 9 at most, whatever rounding does
    one_by_one = hasattr(encoder, "alphas") and getattr(encoder, "per_target_alpha", True)
    if len(few) and one_by_one and len(null.p) > n_permutations:
        some = few if len(few) > 1 else np.append(few, (few + 1) % len(null.p))  # one target is no pattern
        longer = stacks(responses[:, some], (LONGER - 1) * n_permutations)
        alone = next(longer).r
        reached = sum((found.r >= alone - TIE).sum(axis=0) for found in longer)[: len(few)]
        null.p[few] = (null.p[few] * (1 + n_permutations) + reached) / (1 + LONGER * n_permutations)
    return Evaluation(observed, null)


def _as_often(stimulus_ids: NDArray[Any], runs: NDArray[Any], *, everywhere: bool) -> bool:
    """Return whether each run holds its stimuli equally often, and, where asked, all runs hold all of them."""
    table = pd.crosstab(runs, stimulus_ids).to_numpy()
    most = table.max(axis=1, keepdims=True)
    return bool(((table == most) | ((table == 0) & (not everywhere))).all())


def _null(permuted: Iterable[FoldScores], observed_r: Values, good_r: float) -> Null:
    accuracy, share_good, max_r, group_r, group_accuracy = [], [], [], [], []
    reached = np.zeros(len(observed_r), dtype=np.intp)
    for scores in permuted:
        accuracy.append(np.nanmean(scores.correct, axis=2).mean(axis=1))
        # Scores of held-out stimuli have no r; predictions that do not vary have none either: no relation.
        r, groups = scores.r, scores.group_r.mean(axis=1)
        if not np.isnan(observed_r).all():
            r, groups = np.nan_to_num(r), np.nan_to_num(groups)
        share_good.append(np.where(np.isnan(r).all(axis=1), np.nan, (r > good_r).mean(axis=1)))
        max_r.append(r.max(axis=1))
        group_r.append(groups)
        group_accuracy.append(scores.group_accuracy.mean(axis=1))
        reached += (r >= observed_r - TIE).sum(axis=0)  # stimuli of equal features change places, and nothing else
    maxima = np.concatenate(max_r)
    p = np.where(np.isnan(observed_r), np.nan, (1 + reached) / (1 + len(maxima)))
    of_groups = np.concatenate(group_r), np.concatenate(group_accuracy)
    return Null(np.concatenate(accuracy), np.concatenate(share_good), maxima, p, *of_groups)
