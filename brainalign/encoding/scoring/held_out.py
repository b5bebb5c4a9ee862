"""Encoding of held-out stimuli: one fit on the training stimuli, scores and nulls on stimuli it never saw."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from brainalign.arrays import Responses, Rows, StoredArray, Values, average_rows, flatten_rows, take_rows
from brainalign.checks import BrainalignError, check_apart, check_choice, check_folds, check_rows
from brainalign.encoding.scoring.held_out_scores import HeldOut, score_predictions
from brainalign.regression import BandedEncoder, Ridge, partition
from brainalign.statistics import Encoder
from brainalign.study import check_test_stimuli

ORDERS = 8  # of a refit that goes on predicting
REFITTED = 1000  # targets of a group, by whose mean a refit is judged: nearly as sure as that of all


def evaluate_held_out(
    encoder: Encoder | BandedEncoder,
    X: Values | Sequence[Values],
    Y: Values,
    train: Rows,
    test: Rows,
    stimulus_ids: NDArray[Any],
    *,
    groups: NDArray[Any] | None = None,
    roi: NDArray[Any] | None = None,
    grid: tuple[int, int] | None = None,
    semantics: Values | None = None,
    n_permutations: int = 1000,
    n_boot: int = 1000,
    n_maps: int = 0,
    target_groups: Mapping[str, NDArray[Any]] | None = None,
    control: Literal["none", "refit"] = "none",
    seed: int = 0,
) -> HeldOut:
    """Fit an encoder on training stimuli and score it on averages over the repeats of test stimuli.

    - Training: where every training stimulus has the same number of repeats k, they are averaged first. That is the
      fit to single trials with alpha / k, at a k-th of the cost. Where numbers differ, single trials are fitted, which
      weighs each stimulus by its repeats, as their noise asks for; inner folds then hold whole stimuli.
    - Null: the predictions are exchanged between test stimuli, without refitting. Under "the features say nothing about
      the responses" all these orders are equally likely. All targets are permuted together.
    - Bootstrap: test stimuli are drawn with replacement; the fit stays. Permutations and draws depend on the seed and
      the test stimuli only, so those of several layers or models are paired.
    - Control "refit": training stimuli exchange their features, which is to permute their responses without a second
      copy of these, and the encoder is fitted once more, with all its choices: what leaks through the procedure itself
      would show. So may chance: what features predict is near their random combinations too, so that refits vary more
      than the null. One that predicts the reliable targets is refitted, in 8 orders at most (by chance all: 1 in 256).
      Ridge, which fits every target by itself, is refitted to at most 1,000 targets of each group, drawn at random;
      these are permuted themselves, so that what the features were decomposed into serves again.

    Parameters
    ----------
    encoder : Encoder
        Cloned, not changed.
    X : array (n_trials, n_features) or (n_trials, n_tokens, n_channels), or a list of them
        One row per trial, in memory or stored. A list is for encoders of several bands: their score is also split over
        the bands.
    Y : array (n_trials, n_targets) or (n_trials, n_sensors, n_times)
        May be stored, where the encoder takes it so and every training stimulus has one row.
    train, test : arrays of trial numbers (or masks)
    stimulus_ids : array (n_trials,)
    groups : array (n_trials,), optional
        Labels that inner folds keep together, such as category or session; each must hold whole stimuli.
    roi : array (n_targets,), optional
        Passed to the encoder's fit: a label per target.
    grid : (rows, columns), optional
        Passed to the encoder's fit: how tokens lie in the image.
    semantics : array (n_trials, n_semantic), optional
        Passed to the encoder's fit and predictions: what each image shows.
    n_permutations, n_boot : int
        0: none.
    n_maps : int
        Permutations whose r is kept for every target (4 bytes each); 200 will do for cluster tests.
    target_groups : mapping of arrays of target numbers (or masks), optional
        For example ROIs, or for each time its sensors; they may overlap.
    control : {"none", "refit"}
    seed : int

    Raises
    ------
    BrainalignError
        If a stimulus is in both train and test, a group splits a stimulus, there are fewer than 7 test stimuli, or
        shapes do not fit.
    """
    check_choice("control", control, {"none", "refit"})
    banded = isinstance(X, list | tuple)
    Xs: list[Any] = list(X) if banded else [X if isinstance(X, StoredArray) else np.asarray(X)]
    if banded and not hasattr(encoder, "split_scores"):
        raise BrainalignError(
            f"X is a list of {len(Xs)} arrays, but {type(encoder).__name__} is fitted on one; give one array, or use "
            "BandedRidge"
        )
    for number, values in enumerate(Xs):
        check_rows(f"X[{number}]" if banded else "X", len(values), "Y", len(Y), "call features.align_to(responses)")
    check_rows("stimulus_ids", len(stimulus_ids), "Y", len(Y), "give one stimulus id per trial")
    if semantics is not None:
        check_rows("semantics", len(semantics), "Y", len(Y), "give one row per trial")
    arrays: list[Any] = Xs if semantics is None else [*Xs, np.asarray(semantics)]
    check_folds([(train, test)], len(Y))
    train, test = (_side(np.arange(len(Y))[side]) for side in (train, test))
    ids = np.asarray(stimulus_ids)
    check_apart(ids[train], ids[test], "stimuli", "split by stimulus_id, not by trial")
    check_test_stimuli(ids[test].tolist())
    flat = flatten_rows(Y)
    # Of every band, and after them the semantics, where given.
    train_Xs, train_Y, labels = _training_rows(
        [take_rows(X, train) for X in arrays],
        take_rows(flat, train),
        ids[train],
        None if groups is None else np.asarray(groups)[train],
    )
    test_Xs, held_out = _averaged([take_rows(X, test) for X in arrays], flat[test], ids[test])
    # What an encoder is given: all bands, or the one array.
    fit_X, test_X = (some[: len(Xs)] if banded else some[0] for some in (train_Xs, test_Xs))
    fit_semantics, test_semantics = (None if semantics is None else some[-1] for some in (train_Xs, test_Xs))
    given: dict[str, Any] = {"groups": labels, "roi": roi, "grid": grid, "semantics": fit_semantics}
    given["designs"] = {} if type(encoder) is Ridge else None  # workers of a scheduler keep their own
    start, fitted = time.monotonic(), _fit(encoder, fit_X, train_Y, given)
    seconds = time.monotonic() - start
    predicted = _predict(fitted, test_X, test_semantics)
    named = {} if target_groups is None else dict(target_groups)
    rng = np.random.default_rng([seed, 1])
    drawn = _drawn_targets(named, flat.shape[1], seed) if isinstance(encoder, Ridge) else slice(None)

    def refit() -> tuple[Any, Values, Any]:
        order = rng.permutation(len(train_Y))  # single trials where repeats differ
        if isinstance(encoder, Ridge):
            some = np.stack([train_Y[row][drawn] for row in np.argsort(order)])
            refitted = _fit(encoder, fit_X, some, given | {"roi": None if roi is None else np.asarray(roi)[drawn]})
        else:
            other_X, others = [take_rows(X, order) for X in train_Xs], dict(given)
            others["groups"] = None if labels is None else labels[order]
            others["semantics"] = None if semantics is None else other_X[-1]
            refitted = _fit(encoder, other_X[: len(Xs)] if banded else other_X[0], train_Y, others)
        return refitted, _predict(refitted, test_X, test_semantics), drawn

    options: dict[str, Any] = {"n_permutations": n_permutations, "n_boot": n_boot, "n_maps": n_maps, "seed": seed}
    options |= {"shape": Y.shape[1:], "target_groups": named, "seconds": seconds, "n_train": len(np.unique(ids[train]))}
    options["controls"] = (refit() for _ in range(ORDERS if control == "refit" else 0))
    found = score_predictions(fitted, predicted, held_out.values, held_out.ids, held_out.counts, **options)
    if not banded:
        return found
    how = {"control": found.refitted, "n_draws": n_boot, "seed": seed}
    return replace(found, partition=partition(fitted, test_Xs, held_out.values, list(named.values()), **how))


def _drawn_targets(groups: Mapping[str, NDArray[Any]], n_targets: int, seed: int) -> Any:
    """Draw the targets that are refitted: some of every group, or a slice of all."""
    rng = np.random.default_rng([seed, 2])
    numbers = [np.arange(n_targets)[rows] for rows in groups.values()] or [np.arange(n_targets)]
    some = [rng.choice(rows, min(len(rows), REFITTED), replace=False) for rows in numbers]
    drawn = np.unique(np.concatenate([np.arange(0), *some]))
    return drawn if n_targets > REFITTED and len(drawn) else slice(None)


def _side(rows: Rows) -> Any:
    """Return rows that follow one another as a slice, so that what they select is not copied."""
    first = int(rows[0]) if len(rows) else 0
    return slice(first, first + len(rows)) if np.array_equal(rows, np.arange(first, first + len(rows))) else rows


def _averaged(Xs: list[Values], Y: Values, ids: NDArray[Any]) -> "tuple[list[Values], Averages]":
    """Return the features of each stimulus, and averages over its trials."""
    averages = average_repeats(Y, ids)
    if len(averages.ids) < len(ids):
        first = averages.first[pd.Index(averages.ids).get_indexer(ids)]
        parts = np.array_split(np.arange(len(ids)), averages.counts.max())  # tokens of all trials are large
        if not all(_alike(X[rows], X[first[rows]]) for X in Xs for rows in parts):
            raise BrainalignError(
                "X differs between trials of a stimulus; give each trial the features of its stimulus"
            )
        Xs = [take_rows(X, averages.first) for X in Xs]
    return Xs, averages


def _alike(rows: Values, others: Values) -> bool:
    """Return whether features are equal, but for the rounding of products made in another order."""
    largest = np.nanmax(np.abs(others), initial=0)
    return np.allclose(rows, others, rtol=0, atol=1e-5 * largest if np.isfinite(largest) else 0, equal_nan=True)


def _training_rows(
    Xs: list[Values], Y: Values, ids: NDArray[Any], groups: NDArray[Any] | None
) -> tuple[list[Values], Values, NDArray[Any] | None]:
    """Return features and responses to fit, and the labels that inner folds keep together."""
    codes, names = pd.factorize(ids)
    counts = np.bincount(codes)
    first, labels = np.unique(codes, return_index=True)[1], None
    if groups is not None:
        labels = np.asarray(groups)
        split = np.unique(codes[labels != labels[first][codes]])
        if len(split):
            raise BrainalignError(
                f"{len(split)} training stimuli lie in several groups (first: '{names[split[0]]}'); inner folds would "
                "train and test on the same stimulus; leave groups out, inner folds then hold whole stimuli"
            )
    if (counts == counts[0]).all():
        Xs, averages = _averaged(Xs, Y, ids)
        return Xs, averages.values, None if labels is None else labels[first]
    return Xs, Y, ids if labels is None else labels


def _fit(encoder: Encoder | BandedEncoder, X: Values | list[Values], Y: Values, given: Mapping[str, Any]) -> Any:
    """Fit a clone; it is told only what there is, since an encoder refuses what it cannot use."""
    return clone(encoder).fit(X, Y, **{name: value for name, value in given.items() if value is not None})


def _predict(fitted: Any, X: Values | list[Values], semantics: Values | None) -> Values:
    return np.asarray(fitted.predict(X) if semantics is None else fitted.predict(X, semantics=semantics))


@dataclass(frozen=True)
class Averages:
    """One row per stimulus, in order of first appearance (sorted ids would put categories into contiguous folds).

    Attributes
    ----------
    ids : array (n_stimuli,)
    values : array (n_stimuli, n_targets)
    counts : array (n_stimuli,) of int
        Trials behind each average.
    first : array (n_stimuli,) of int
        The first trial of each stimulus.
    """

    ids: NDArray[Any]
    values: Values
    counts: Rows
    first: Rows


def average_repeats(values: Values, stimulus_ids: NDArray[Any]) -> Averages:
    """Return the averages over the trials of each stimulus; sums are in float64.

    In the type of the values, or one of fractions that holds them where those are whole numbers.

    Parameters
    ----------
    values : array (n_trials, n_targets)
    stimulus_ids : array (n_trials,)

    Raises
    ------
    BrainalignError
        If there is not one id per trial.

    Examples
    --------
    >>> average_repeats(np.array([[1.0], [5.0], [3.0]]), np.array(["b", "a", "b"])).values
    array([[2.],
           [5.]])
    """
    check_rows("stimulus_ids", len(stimulus_ids), "values", len(values), "give one stimulus id per trial")
    ids = np.asarray(stimulus_ids)
    first, counts, codes = _repeats(ids)
    dtype = np.result_type(values.dtype, np.float32)
    if len(first) == len(ids):
        as_they_are = values.dtype == dtype  # on disk, where they are stored
        return Averages(ids, values if as_they_are else values.astype(dtype), counts, first)
    averages = np.empty((len(first), values.shape[1]), dtype=dtype)
    average_rows(values, np.arange(len(ids)), codes, averages)
    return Averages(ids[first], averages, counts, first)


def average_split(
    responses: Responses, train: Rows, test: Rows, path: Path | None = None, least: int = 0
) -> tuple[Responses, Rows, Rows]:
    """Average trials as `evaluate_held_out` does, once for all the fits to them.

    Returns training rows, then a row per test stimulus, and the numbers of both. Where all training stimuli have as
    many repeats, a row is a stimulus, else it is a trial; `repeat` counts the trials behind each row. Responses may lie
    on disk (`load(..., stored=True)`): one block of stimuli is read at a time. `path` is a .npy file to hold averages
    that take `least` bytes or more.
    """
    ids = responses.trials["stimulus_id"].to_numpy()
    sides = [(rows, *_repeats(ids[rows])) for rows in (train, test)]
    if np.ptp(sides[0][2]):  # numbers of repeats differ: trials stay
        n = len(train)
        sides[0] = (train, np.arange(n), np.ones(n, dtype=np.intp), np.arange(n))
    sizes = [len(counts) for _, _, counts, _ in sides]
    dtype = np.result_type(responses.values.dtype, np.float32)
    shape = (sum(sizes), *responses.values.shape[1:])
    n_bytes = math.prod(shape) * dtype.itemsize
    values: Any = StoredArray.create(path, shape, dtype) if path and n_bytes >= least else np.empty(shape, dtype)
    for (rows, _, _, codes), first in zip(sides, (0, sizes[0]), strict=True):
        average_rows(responses.values, rows, codes, values, first)
    tables = [responses.trials.iloc[rows[first]].assign(repeat=counts) for rows, first, counts, _ in sides]
    averaged = replace(responses, values=values, trials=pd.concat(tables, ignore_index=True))
    return averaged, np.arange(sizes[0]), np.arange(sizes[0], sum(sizes))


def _repeats(ids: NDArray[Any]) -> tuple[Rows, Rows, Rows]:
    """Return the first row of every id, in order of appearance, its number of rows, and the number of each row's id."""
    codes, _ = pd.factorize(ids)
    return np.unique(codes, return_index=True)[1], np.bincount(codes), codes
