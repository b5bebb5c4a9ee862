"""Decoding of categories from sensors at every moment, and whether what one moment learned holds at another.

decode_times      trained and tested at the same moment           decode_generalization    at every other one
pairwise_movie    every pair of conditions: a neural RDM over time
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values, label_codes
from brainalign.checks import BrainalignError, check_choice, check_folds, check_rows, listed, numbers
from brainalign.geometry.inference import defined_mean
from brainalign.geometry.time.areas_under_curve import auc, auc_draws
from brainalign.geometry.time.discriminant import Codes, Discriminants, fit_discriminants, membership
from brainalign.study import check_categories, check_folds_within

Score = Literal["auc", "accuracy"]
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]  # training rows, test rows


def leave_one_group_out(groups: Sequence[Any] | NDArray[Any]) -> list[Fold]:
    """Return (training rows, test rows) with every group, for example a recording, tested once.

    Raises
    ------
    BrainalignError
        If there is one group only.
    """
    codes, names = label_codes("groups", groups)
    if len(names) < 2:
        raise BrainalignError(
            f"there is one group only ({listed(list(map(str, names)))}), so none can be left out; use contiguous_folds"
        )
    return [(np.flatnonzero(codes != code), np.flatnonzero(codes == code)) for code in range(len(names))]


def contiguous_folds(
    groups: Sequence[Any] | NDArray[Any], onsets_s: NDArray[np.floating[Any]], n_folds: int = 5, *, guard_s: float
) -> list[Fold]:
    """Return folds within every group: blocks of successive trials, those near a test trial left out of training.

    Parameters
    ----------
    groups : array (n_trials,)
        For example recordings; each is cut into folds, and trained on, for itself.
    onsets_s : array (n_trials,)
        Seconds from the start of the group.
    n_folds : int
    guard_s : float
        Training trials whose onset lies less than this from that of a test trial are left out. Give the length of the
        window that is decoded, so that no sample is in a training and a test trial.

    Returns
    -------
    list of (training rows, test rows), n_groups * n_folds

    Raises
    ------
    BrainalignError
        If an onset is unknown, or a group has fewer than two trials per fold or none left to train on.
    """
    check_rows("onsets_s", len(onsets_s), "groups", len(groups), "give both for every trial")
    labels, onsets_s, found = np.asarray(groups), numbers("onsets_s", onsets_s), []
    check_folds_within(labels.tolist(), onsets_s, n_folds)
    for name in pd.unique(labels):
        rows = np.flatnonzero(labels == name)
        rows = rows[np.argsort(onsets_s[rows], kind="stable")]
        for test in np.array_split(rows, n_folds):
            near = np.abs(onsets_s[rows][:, None] - onsets_s[test]).min(axis=1) < guard_s
            train = np.sort(rows[~near])
            if not len(train):
                raise BrainalignError(
                    f"no trial of '{name}' is {guard_s:g} s or more away from the test trials; use more folds"
                )
            found.append((train, np.sort(test)))
    return found


@dataclass(frozen=True)
class TimeScores:
    """Scores over time, with those of permuted labels.

    Attributes
    ----------
    folds : array (n_folds, n_times)
        NaN where a test fold holds one class only; `score` leaves these out.
    null : array (n_permutations, n_times)
        Mean over folds under each permutation.
    decisions : list of array (n_test, n_times)
        By fold: of areas under the curve, the discriminant of the second category minus that of the first; of
        accuracies, 1 where the right category was named, else 0.
    truth : list of int array (n_test,)
        By fold: the category of every test trial, as its place among the sorted ones.
    chance : float
    measure : {"auc", "accuracy"}
    """

    folds: Values
    null: Values
    decisions: list[Values]
    truth: list[Codes]
    chance: float
    measure: Score

    @property
    def score(self) -> Values:
        """Mean over folds (n_times,)."""
        return np.asarray(np.nanmean(self.folds, axis=0))

    def draws(self, folds: Sequence[Fold], weights: Values) -> Values:
        """Return the score (n_draws, n_times) of test trials weighted by how often each was drawn (n_draws, n_trials).

        The folds are those of `decode_times`; discriminants stay as they are.
        """
        parts = []
        for (_, test), decided, truth in zip(folds, self.decisions, self.truth, strict=True):
            mine = weights[:, test]
            if self.measure == "auc":
                parts.append(auc_draws(decided, truth == 1, mine))
                continue
            members = mine * (truth == np.unique(truth)[:, None])[:, None]  # (n_classes, n_draws, n_test)
            totals = members.sum(axis=2, keepdims=True)
            parts.append(np.nanmean((members @ decided) / np.where(totals > 0, totals, np.nan), axis=0))
        return defined_mean(np.stack(parts), axis=0)


def decode_times(
    values: Values,
    labels: Sequence[Any] | NDArray[Any],
    folds: Sequence[Fold],
    *,
    permuted: NDArray[Any] | None = None,
    score: Score = "auc",
    whiteners: Sequence[Values] | None = None,
    ridge: float | None = None,
) -> TimeScores:
    """Train and test a linear discriminant with shrinkage at every moment.

    Parameters
    ----------
    values : array (n_trials, n_channels, n_times)
        For a single score of a whole window: its samples as channels, n_times 1.
    labels : array (n_trials,)
        The category of every trial. The second of the sorted two is the positive class of the area under the curve.
    folds : list of (training rows, test rows)
        From `leave_one_group_out` or `contiguous_folds`; of stimuli that repeat, whole stimuli on one side.
    permuted : array (n_permutations, n_trials), optional
        Labels under the null: exchanged among what is exchangeable (trials of a recording; stimuli).
    score : {"auc", "accuracy"}
        Area under the curve, of two categories; or balanced accuracy, of any number.
    whiteners : list of array (n_channels, n_channels), optional
        By fold: a linear map of the channels, fitted on the training trials of that fold.
    ridge : float, optional
        See `fit_discriminants`.

    Raises
    ------
    BrainalignError
        If shapes do not fit, a row is in both sides of a fold, a category is missing in a training fold, the area under
        the curve is asked of more than two categories, or the score is undefined in every fold.

    References
    ----------
    King JR, Dehaene S (2014). Characterizing the dynamics of mental representations: the temporal generalization
    method. Trends in Cognitive Sciences 18:203-210. doi:10.1016/j.tics.2014.01.002
    """
    values, codes, names = _codes(values, labels, permuted, score)
    check_folds(folds, len(values))
    n_times = values.shape[2]
    found = np.full((len(folds), len(codes), n_times), np.nan)
    decisions: list[Values] = [np.empty((len(test), n_times)) for _, test in folds]
    truth = [codes[0, test] for _, test in folds]
    for k, time, fitted, tests in _fits(values, codes, len(names), folds, whiteners, ridge):
        decided = fitted.decide(tests[:, :, time])  # (n_test, n_labelings, n_classes)
        found[k, :, time] = _scores(np.moveaxis(decided, 0, -1), codes[:, folds[k][1]], score)
        decisions[k][:, time] = decided[:, 0, 1] - decided[:, 0, 0]
        if score == "accuracy":
            decisions[k][:, time] = decided[:, 0].argmax(axis=1) == truth[k]
    return TimeScores(found[:, 0], defined_mean(found, axis=0)[1:], decisions, truth, 1 / len(names), score)


def decode_generalization(
    values: Values,
    labels: Sequence[Any] | NDArray[Any],
    folds: Sequence[Fold],
    *,
    permuted: NDArray[Any] | None = None,
    score: Score = "auc",
    whiteners: Sequence[Values] | None = None,
    ridge: float | None = None,
) -> tuple[Values, Values]:
    """Train at every moment and test at every other: a square is a lasting code, a diagonal one that moves on.

    Parameters are those of `decode_times`. Permutations train anew; take a coarser grid of times for many of them.

    Returns
    -------
    score : array (n_times, n_times)
        Mean over folds; rows are times of training, columns of testing.
    null : array (n_permutations, n_times, n_times)
    """
    values, codes, names = _codes(values, labels, permuted, score)
    n_times = values.shape[2]
    found = np.full((len(folds), len(codes), n_times, n_times), np.nan)
    for k, time, fitted, tests in _fits(values, codes, len(names), folds, whiteners, ridge):
        decided = fitted.decide(np.swapaxes(tests, 1, 2))  # (n_test, n_times, n_labelings, n_classes)
        found[k, :, time] = _scores(np.transpose(decided, (2, 1, 3, 0)), codes[:, None, folds[k][1]], score)
    scores = defined_mean(found, axis=0)
    return scores[0], scores[1:]


def pairwise_movie(
    values: Values,
    conditions: Sequence[Any] | NDArray[Any],
    folds: Sequence[Fold],
    *,
    whiteners: Sequence[Values] | None = None,
    ridge: float | None = None,
) -> Values:
    """Decode every pair of conditions at every moment: a neural RDM that needs no distance.

    Parameters
    ----------
    values, folds, whiteners, ridge
        As for `decode_times`; the covariance within conditions is that of all of them.
    conditions : array (n_trials,)

    Returns
    -------
    array (n_times, n_pairs)
        Area under the curve, mean over folds; .5 is chance. Row-major upper triangle, conditions in the order of their
        first appearance, as `rdm` has them. NaN where no fold tests both.

    Raises
    ------
    BrainalignError
        If shapes do not fit, a row is in both sides of a fold, or a condition is missing in a training fold.

    References
    ----------
    Cichy RM, Pantazis D, Oliva A (2014). Resolving human object recognition in space and time. Nature Neuroscience
    17:455-462. doi:10.1038/nn.3635
    """
    values, codes = numbers("values", values), label_codes("conditions", conditions)[0][None]
    _check(values, codes)
    check_folds(folds, len(values))
    n_conditions = int(codes.max()) + 1
    first, second = np.triu_indices(n_conditions, 1)
    found = np.full((len(folds), values.shape[2], len(first)), np.nan)
    for k, fold in enumerate(folds):  # all moments of a pair at once: there are thousands of pairs
        shown = codes[0, fold[1]]
        decided = np.empty((n_conditions, values.shape[2], len(shown)))
        whitener = None if whiteners is None else whiteners[k : k + 1]
        for _, time, fitted, tests in _fits(values, codes, n_conditions, [fold], whitener, ridge):
            decided[:, time] = fitted.decide(tests[:, :, time])[:, 0].T
        for pair, (i, j) in enumerate(zip(first, second, strict=True)):
            mine = (shown == i) | (shown == j)
            if mine.any():
                found[k, :, pair] = auc((decided[j] - decided[i])[:, mine], shown[mine] == j)
    return defined_mean(found, axis=0)


def _codes(
    values: Values, labels: Sequence[Any] | NDArray[Any], permuted: NDArray[Any] | None, score: str
) -> tuple[Values, Codes, list[str]]:
    """Return values, the class of every trial, and under each permutation (1 + n_permutations, n_trials), and names."""
    check_choice("score", score, ("auc", "accuracy"))
    observed, names = label_codes("labels", labels, sort=True)
    stack = [observed[None]]
    if permuted is not None and len(permuted):
        codes = pd.Index(names).get_indexer(np.asarray(permuted).ravel()).reshape(np.shape(permuted))
        if (codes < 0).any():
            raise BrainalignError(
                "permuted labels hold other categories than the labels; permute the labels themselves"
            )
        stack.append(codes)
    check_categories(list(map(str, names)), score)
    values = numbers("values", values)
    _check(values, stack[0])
    return values, np.concatenate(stack), [str(name) for name in names]


def _check(values: Values, codes: Codes) -> None:
    if values.ndim != 3:
        raise BrainalignError(f"values have shape {values.shape}; they must be (n_trials, n_channels, n_times)")
    check_rows("labels", codes.shape[1], "values", len(values), "give the category of every trial")


def _fits(
    values: Values,
    codes: Codes,
    n_classes: int,
    folds: Sequence[Fold],
    whiteners: Sequence[Values] | None,
    ridge: float | None,
) -> Iterator[tuple[int, int, Discriminants, Values]]:
    """Yield, by fold and moment, the discriminants trained on it and the test trials (n_test, n_channels, n_times)."""
    check_folds(folds, len(values))
    for k, (train, test) in enumerate(folds):
        trains, tests = (np.asarray(values[rows], dtype=np.float64) for rows in (train, test))
        if whiteners is not None:
            trains, tests = whiteners[k] @ trains, whiteners[k] @ tests
        member = membership(codes[:, train], n_classes)
        for time in range(values.shape[2]):
            yield k, time, fit_discriminants(trains[:, :, time], member, ridge), tests


def _scores(decided: Values, truth: Codes, score: str) -> Values:
    """Return the score over the last axis; decided (..., n_classes, n_test), truth broadcast to (..., n_test)."""
    if score == "auc":
        return auc(decided[..., 1, :] - decided[..., 0, :], truth == 1)
    right = decided.argmax(axis=-2) == truth
    members = [truth == code for code in range(decided.shape[-2])]
    recalls = [(right & one).sum(axis=-1) / np.where(one.any(axis=-1), one.sum(axis=-1), np.nan) for one in members]
    return np.asarray(np.nanmean(recalls, axis=0))
