"""Retrieval against the number of repeats that are averaged, and the ceiling that halves of the repeats set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.decoding.scoring.retrieval import distinct_gallery, similarity_ranks


def repeat_curve(
    signals: Values,
    trials: pd.DataFrame,
    embed: Callable[[Values, pd.DataFrame], Values],
    gallery: Values,
    gallery_ids: Sequence[Any] | NDArray[Any],
    *,
    counts: Sequence[int] | None = None,
    top: int = 1,
    n_draws: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Average repeats of each stimulus within a subject, embed the averages with a fitted decoder, retrieve.

    Parameters
    ----------
    signals : array (n_trials, ...)
        Test trials.
    trials : DataFrame (n_trials)
        stimulus_id, subject.
    embed : callable
        (averages (n, ...), DataFrame (n) of stimulus_id and subject) to vectors (n, n_dimensions).
    gallery : array (n_rows, n_dimensions)
    gallery_ids : (n_rows,) ids
    counts : sequence of int, optional
        How many repeats to average; 1, 2, 4, ... and all where not given.
    top : int
    n_draws : int
        Random choices of repeats.
    seed : int

    Returns
    -------
    DataFrame
        n_averaged, value and sd (over draws), ceiling (averages of that many repeats retrieve averages of as many
        others of the same subject; NaN where there are not twice as many), chance, n_stimuli, n_subjects.

    Raises
    ------
    BrainalignError
        If a count exceeds the fewest repeats of a stimulus in a subject, or rows do not fit.
    """
    check_rows("signals", len(signals), "trials", len(trials), "give one row of the table per trial")
    rows_of = [np.asarray(rows) for rows in trials.groupby(["subject", "stimulus_id"], sort=False).indices.values()]
    first = trials.iloc[[rows[0] for rows in rows_of]][["stimulus_id", "subject"]].reset_index(drop=True)
    fewest = min(len(rows) for rows in rows_of)
    if counts is None:
        counts = [*(2**k for k in range(int(np.log2(fewest)) + 1) if 2**k < fewest), fewest]
    if min(counts) < 1 or max(counts) > fewest:
        raise BrainalignError(
            f"counts from {min(counts)} to {max(counts)}: some stimulus has {fewest} repeats in a subject; lower them"
        )
    vectors, ids = distinct_gallery(gallery, gallery_ids)
    column = pd.Index(ids).get_indexer(pd.Index(first["stimulus_id"]))
    if (column < 0).any():
        raise BrainalignError(f"{int((column < 0).sum())} tested stimuli are not in the gallery; add their vectors")
    found = []
    for count in counts:
        rng = np.random.default_rng([seed, count])
        values, ceilings = [], []
        for _ in range(n_draws):
            drawn = [rng.permutation(rows) for rows in rows_of]
            queries = embed(np.stack([signals[rows[:count]].mean(axis=0) for rows in drawn]), first)
            values.append(_top(similarity_ranks(queries, vectors), column, top))
            if 2 * count <= fewest:
                others = embed(np.stack([signals[rows[count : 2 * count]].mean(axis=0) for rows in drawn]), first)
                ceilings.append(_halves(queries, others, first, top))
        found.append(
            {
                "n_averaged": count,
                "value": np.mean(values),
                "sd": np.std(values),
                "ceiling": np.mean(ceilings) if ceilings else np.nan,
                "chance": top / len(ids),
                "n_stimuli": first["stimulus_id"].nunique(),
                "n_subjects": first["subject"].nunique(),
            }
        )
    return pd.DataFrame(found)


def _top(ranks: NDArray[np.intp], column: NDArray[np.intp], top: int) -> float:
    return float((ranks[np.arange(len(column)), column] <= top).mean())


def _halves(queries: Values, others: Values, first: pd.DataFrame, top: int) -> float:
    """Compute the top-k accuracy of retrieving one half by the other, within subjects, weighted by their stimuli."""
    hits = 0.0
    for rows in first.groupby("subject", sort=False).indices.values():
        ranks = similarity_ranks(queries[rows], others[rows])
        hits += _top(ranks, np.arange(len(rows)), top) * len(rows)
    return hits / len(first)
