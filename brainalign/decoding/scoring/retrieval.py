"""Retrieval: which of the distinct stimuli was shown, told from decoded vectors.

    rank(i) = #{j : q_i · g_j ≥ q_i · g_shown(i)}          ties count against

Every measure is a function of that rank, so permutations and intervals need no new similarities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_finite, check_rows, listed
from brainalign.statistics import MIN_UNITS, crossed_bootstrap, pairing_test
from brainalign.statistics.classification import TIE


@dataclass(frozen=True)
class Retrieval:
    """How well decoded vectors retrieve what was shown.

    Attributes
    ----------
    table : DataFrame
        A row per measure ("top-1", "2-way", ...): value, low, high (over subjects and stimuli drawn anew; NaN below six
        stimuli), chance, majority (what always naming the most frequent stimuli scores), null_mean, null_sd, p (of
        exchanges of distinct stimuli), n_gallery, n_trials, n_stimuli, n_subjects.
    by_subject : DataFrame
        subject, n_trials and a column per measure.
    ranks : array (n_trials,)
        1 is best.
    chosen : array (n_trials,)
        Id of the stimulus retrieved first.
    gallery_ids : array (n_gallery,)
        Distinct, in order of first appearance.
    """

    table: pd.DataFrame
    by_subject: pd.DataFrame
    ranks: Rows
    chosen: NDArray[Any]
    gallery_ids: NDArray[Any]


def retrieval_accuracy(
    queries: Values,
    gallery: Values,
    shown: Sequence[Any] | NDArray[Any],
    gallery_ids: Sequence[Any] | NDArray[Any],
    *,
    subjects: NDArray[Any] | None = None,
    groups: NDArray[Any] | None = None,
    top: Sequence[int] = (1, 5, 10),
    ways: Sequence[int] = (2, 4, 10, 24),
    n_permutations: int = 1000,
    n_draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Retrieval:
    """Retrieve the shown stimulus of every trial from the gallery of distinct stimuli.

    Parameters
    ----------
    queries : array (n_trials, n_dimensions)
        Decoded vectors; compared by cosine.
    gallery : array (n_rows, n_dimensions)
        Vectors of stimuli. Several rows of one stimulus become one, the mean of their unit vectors.
    shown : (n_trials,) ids
    gallery_ids : (n_rows,) ids
    subjects : array (n_trials,), optional
        All trials are one subject's where it is not given.
    groups : array (n_trials,), optional
        For example the task; stimuli are exchanged within their group. A stimulus has one.
    top : sequence of int
        Top-k in the full gallery; those not smaller than the gallery are left out.
    ways : sequence of int
        k-way: the shown stimulus first among k. The mean over all galleries, which random ones approach. Those larger
        than the gallery are left out.
    n_permutations, n_draws, confidence, seed : int, int, float, int

    Raises
    ------
    BrainalignError
        If shapes do not fit, a vector is not finite, a shown stimulus is not in the gallery, or it has several groups.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> words = rng.normal(size=(30, 8))
    >>> found = retrieval_accuracy(words + 0.1 * rng.normal(size=words.shape), words, range(30), range(30))
    >>> float(found.table.set_index("measure").loc["top-1", "value"])
    1.0
    """
    queries, gallery = np.asarray(queries), np.asarray(gallery)
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise BrainalignError(
            f"queries {queries.shape} and gallery {gallery.shape} must be (n_trials, n_dimensions) and "
            "(n_stimuli, n_dimensions) of the same space"
        )
    check_rows("queries", len(queries), "shown", len(shown), "name the shown stimulus of every trial")
    check_rows("gallery", len(gallery), "gallery_ids", len(gallery_ids), "name the stimulus of every row")
    check_finite("gallery", gallery, "embed those stimuli again")
    vectors, ids, column = shown_in_gallery(gallery, gallery_ids, shown)
    people = np.zeros(len(queries), dtype=int) if subjects is None else np.asarray(subjects)
    check_rows("subjects", len(people), "queries", len(queries), "give one per trial")
    stimulus_groups = None if groups is None else group_of_stimuli(np.asarray(groups), column, ids)
    ranks = similarity_ranks(queries, vectors)
    constant = np.empty(len(ids), dtype=np.intp)
    constant[np.argsort(-np.bincount(column, minlength=len(ids)), kind="stable")] = np.arange(len(ids))
    rows, by_subject = [], pd.DataFrame({"subject": people})
    for measure, n, accuracy in _measures(len(ids), top, ways):
        of_trial = accuracy[ranks[np.arange(len(column)), column] - 1]
        test = pairing_test(accuracy[ranks - 1], column, stimulus_groups, n_permutations, seed)
        low, high = stimulus_interval(of_trial, people, column, n_draws, seed, confidence)
        row = {"measure": measure, "value": test.value, "low": low, "high": high, "chance": accuracy.mean()}
        row |= {"majority": accuracy[constant][column].mean()} | test.against_null()
        rows.append(row | {"n_gallery": n} | test.counts() | {"n_subjects": len(np.unique(people))})
        by_subject[measure] = of_trial
    grouped = by_subject.groupby("subject", sort=False)
    return Retrieval(
        table=pd.DataFrame(rows),
        by_subject=grouped.mean().assign(n_trials=grouped.size()).reset_index(),
        ranks=ranks[np.arange(len(column)), column],
        chosen=ids[(unit_rows(queries) @ unit_rows(vectors).T).argmax(axis=1)],
        gallery_ids=ids,
    )


def group_of_stimuli(groups: NDArray[Any], column: Rows, ids: NDArray[Any]) -> NDArray[np.intp]:
    """Return the group of every distinct stimulus as a number; those never shown have one of their own."""
    check_rows("groups", len(groups), "trials", len(column), "give one group per trial")
    codes = pd.factorize(groups)[0]
    of = np.full(len(ids), codes.max() + 1)
    of[column] = codes
    several = np.unique(column[of[column] != codes])
    if len(several):
        raise BrainalignError(
            f"{len(several)} stimuli were shown in several groups ({listed([str(s) for s in ids[several]])}); what is "
            "exchanged as a whole has one: give the task, not the subject, and keep texts of several tasks in train"
        )
    return of


def stimulus_interval(
    values: Values, subjects: NDArray[Any], stimuli: NDArray[Any], n_draws: int, seed: int, confidence: float
) -> tuple[float, float]:
    """Bound the mean of values of trials, subjects and stimuli drawn anew; NaN where stimuli are too few."""
    if len(np.unique(stimuli)) < MIN_UNITS:
        return np.nan, np.nan
    interval = crossed_bootstrap(values, subjects, stimuli, confidence, n_draws, seed)
    return interval.low, interval.high


def distinct_gallery(gallery: Values, gallery_ids: Sequence[Any] | NDArray[Any]) -> tuple[Values, NDArray[Any]]:
    """Return one unit vector per distinct stimulus (n_gallery, n_dimensions), and their ids.

    Parameters
    ----------
    gallery : array (n_rows, n_dimensions)
    gallery_ids : (n_rows,) ids
    """
    codes, ids = pd.factorize(np.asarray(gallery_ids))
    sums = np.zeros((len(ids), gallery.shape[1]))
    np.add.at(sums, codes, unit_rows(gallery))
    return unit_rows(sums), np.asarray(ids)


def shown_in_gallery(gallery: Values, gallery_ids: Any, shown: Any) -> tuple[Values, NDArray[Any], Rows]:
    """Return the `distinct_gallery`, and the row of it that was shown in every trial; raise where there is none."""
    vectors, ids = distinct_gallery(gallery, gallery_ids)
    column = pd.Index(ids).get_indexer(pd.Index(np.asarray(shown)))
    if (column < 0).any():
        absent = sorted({str(s) for s in np.asarray(shown)[column < 0]})
        raise BrainalignError(
            f"{len(absent)} shown stimuli are not in the gallery ({listed(absent)}); add their vectors"
        )
    return vectors, ids, column


def unit_rows(rows: Values) -> Values:
    """Return rows (n_rows, n_dimensions) at unit length, in float64; a row of zeros stays as it is."""
    rows = np.asarray(rows, dtype=np.float64)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norm > 0, norm, 1))


def similarity_ranks(queries: Values, gallery: Values) -> Rows:
    """Return the rank (n_trials, n_gallery) of every stimulus for every query by cosine: 1 is best, ties count against.

    Parameters
    ----------
    queries : array (n_trials, n_dimensions)
    gallery : array (n_gallery, n_dimensions)
    """
    check_finite("queries", queries, "drop those trials and count them")
    check_finite("gallery", gallery, "embed those stimuli again")
    similar = unit_rows(queries) @ unit_rows(gallery).T
    ranks = np.empty(similar.shape, dtype=np.intp)
    for row, values in enumerate(similar):
        ranks[row] = len(values) - np.searchsorted(np.sort(values), values - TIE)
    return ranks


def shown_ranks(vectors: Values, targets: Values, stimuli: "Sequence[Any] | pd.Series[Any]") -> Rows:
    """Return the rank (n_trials,) of every trial's stimulus among the distinct ones of all trials."""
    gallery, _, column = shown_in_gallery(targets, stimuli, stimuli)
    return np.asarray(similarity_ranks(vectors, gallery)[np.arange(len(column)), column])


def reciprocal_rank(vectors: Values, targets: Values, stimuli: "Sequence[Any] | pd.Series[Any]") -> float:
    """Return the mean of 1 / rank of what was shown; arguments as of `shown_ranks`."""
    return float((1 / shown_ranks(vectors, targets, stimuli)).mean())


def way_accuracy(n_gallery: int, n_ways: int) -> Values:
    """Compute the probability that a stimulus of rank 1, 2, ... is first among itself and n_ways − 1 random others.

        C(n_gallery − rank, n_ways − 1) / C(n_gallery − 1, n_ways − 1)

    Examples
    --------
    >>> way_accuracy(3, 2).round(6).tolist()
    [1.0, 0.5, 0.0]
    """
    worse = n_gallery - np.arange(1, n_gallery + 1)
    possible = worse >= n_ways - 1
    left = np.where(possible, worse - n_ways + 1, 0)
    log = gammaln(worse + 1) - gammaln(left + 1) - gammaln(n_gallery) + gammaln(n_gallery - n_ways + 1)
    return np.where(possible, np.exp(log), 0.0)


def _measures(n: int, top: Sequence[int], ways: Sequence[int]) -> list[tuple[str, int, Values]]:
    """Return name, size of the gallery, and accuracy by rank of every measure that the gallery allows."""
    if n < 2:
        raise BrainalignError(f"a gallery of {n} distinct stimuli leaves nothing to retrieve; give two or more")
    found = [(f"top-{k}", n, (np.arange(1, n + 1) <= k).astype(float)) for k in top if k < n]
    return found + [(f"{k}-way", k, way_accuracy(n, k)) for k in ways if k <= n]
