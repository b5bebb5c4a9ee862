"""Retrieval against the number of repeats, or of readers, that are averaged, and the ceiling that halves set."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import check_rows
from brainalign.decoding.scoring.retrieval import shown_in_gallery, similarity_ranks


def repeat_curve(
    signals: Values,
    trials: pd.DataFrame,
    embed: Callable[[Values, pd.DataFrame], Values],
    gallery: Values,
    gallery_ids: Sequence[Any] | NDArray[Any],
    *,
    top: int = 1,
    n_draws: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Average repeats of each stimulus within a subject, embed the averages with a fitted decoder, retrieve.

    1, 2, 4, ... repeats are averaged, and as many as every stimulus has in every subject.

    Parameters
    ----------
    signals : array (n_trials, ...)
        Test trials.
    trials : DataFrame (n_trials)
        stimulus_id, subject, and what else `embed` asks for.
    embed : callable
        (averages (n, ...), their first trials (n), n_samples as all of them have) to vectors (n, n_dimensions).
    gallery : array (n_rows, n_dimensions)
    gallery_ids : (n_rows,) ids
    top : int
    n_draws : int
        Random choices of repeats.
    seed : int

    Returns
    -------
    DataFrame
        n_averaged, value and sd (over draws), ceiling (averages of that many repeats retrieve, among all stimuli, as
        many others of the same subject; NaN where there are not twice as many), chance, n_stimuli, n_subjects.
    """
    check_rows("signals", len(signals), "trials", len(trials), "give one row of the table per trial")
    rows_of = [np.asarray(rows) for rows in trials.groupby(["subject", "stimulus_id"], sort=False).indices.values()]
    first = trials.iloc[[rows[0] for rows in rows_of]].reset_index(drop=True)
    fewest = min(len(rows) for rows in rows_of)
    vectors, _, column = shown_in_gallery(gallery, gallery_ids, first["stimulus_id"])
    counts = {"n_stimuli": first["stimulus_id"].nunique(), "n_subjects": first["subject"].nunique()}
    found = []

    def embedded(chosen: list[NDArray[np.intp]]) -> Values:
        lengths = {name: [trials[name].iloc[rows].min() for rows in chosen] for name in {*trials} & {"n_samples"}}
        return embed(np.stack([signals[rows].mean(axis=0) for rows in chosen]), first.assign(**lengths))

    for count in [*(2**k for k in range(int(np.log2(fewest)) + 1) if 2**k < fewest), fewest]:
        rng = np.random.default_rng([seed, count])
        values, ceilings = [], []
        for _ in range(n_draws):
            drawn = [rng.permutation(rows) for rows in rows_of]
            queries = embedded([rows[:count] for rows in drawn])
            values.append(_top(similarity_ranks(queries, vectors), column, top))
            if 2 * count <= fewest:
                others = embedded([rows[count : 2 * count] for rows in drawn])
                ceilings.append(_halves(queries, others, first, top))
        found.append(_point(count, values, ceilings, top / len(vectors)) | counts)
    return pd.DataFrame(found)


def _top(ranks: NDArray[np.intp], column: NDArray[np.intp], top: int) -> float:
    return float((ranks[np.arange(len(column)), column] <= top).mean())


def _halves(queries: Values, others: Values, first: pd.DataFrame, top: int) -> float:
    """Compute the top-k accuracy of retrieving one half by the other, within subjects, weighted by their stimuli."""
    hits = 0.0
    for rows in first.groupby("subject", sort=False).indices.values():
        order = np.concatenate([rows, np.arange(len(first))])  # what a subject was not shown competes by other subjects
        ranks = similarity_ranks(queries[rows], others[order[~first["stimulus_id"].iloc[order].duplicated()]])
        hits += _top(ranks, np.arange(len(rows)), top) * len(rows)
    return hits / len(first)


def subject_curve(
    decoded: Values,
    trials: pd.DataFrame,
    gallery: Values,
    gallery_ids: Sequence[Any] | NDArray[Any],
    *,
    top: int = 1,
    n_draws: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Average the vectors decoded from several subjects who were shown the same stimulus, and retrieve it.

    Longer vectors count more: how far a decoder can trust each subject is their length.

    Parameters
    ----------
    decoded : array (n_trials, n_dimensions)
        Of test trials; repeats of a stimulus in a subject are averaged first.
    trials : DataFrame (n_trials)
        stimulus_id, subject.
    gallery : array (n_rows, n_dimensions)
    gallery_ids : (n_rows,) ids
    top, n_draws, seed : int
        Draws are random choices of the subjects.

    Returns
    -------
    DataFrame
        n_averaged (1, 2, 4, ... and the most that two stimuli have), value and sd (over draws), ceiling (means of that
        many subjects retrieve means of as many others among all stimuli with so many; NaN where fewer than two have
        twice as many), chance, n_stimuli (with so many subjects).

    Raises
    ------
    BrainalignError
        If rows do not fit, or a tested stimulus is not in the gallery.
    """
    check_rows("decoded", len(decoded), "trials", len(trials), "give one row of the table per trial")
    decoded = np.asarray(decoded, dtype=np.float64)
    table = trials[["stimulus_id", "subject"]].reset_index(drop=True)
    readers: dict[Any, list[Values]] = {}
    for rows in table.groupby(["stimulus_id", "subject"], sort=False).indices.values():
        readers.setdefault(table["stimulus_id"].iloc[rows[0]], []).append(decoded[rows].mean(axis=0))
    vectors, _, columns = shown_in_gallery(gallery, gallery_ids, list(readers))
    stacks = [np.stack(found) for found in readers.values()]
    sizes = np.array([len(stack) for stack in stacks])
    most = int(np.sort(sizes)[-2:].min())
    counts = sorted({*(2**k for k in range(int(np.log2(most)) + 1)), most})
    found = []
    for count in counts:
        rng = np.random.default_rng([seed, count])
        enough = np.flatnonzero(sizes >= count)
        twice = np.flatnonzero(sizes[enough] >= 2 * count)
        values, ceilings = [], []
        for _ in range(n_draws):
            drawn = {k: rng.permutation(sizes[k]) for k in enough}
            means = np.stack([stacks[k][drawn[k][:count]].mean(axis=0) for k in enough])
            values.append(_top(similarity_ranks(means, vectors), columns[enough], top))
            if len(twice) > 1:  # stimuli without as many others compete by the subjects they have
                rest = [stacks[k][drawn[k][count * (sizes[k] >= 2 * count) :][:count]] for k in enough]
                others = np.stack([each.mean(axis=0) for each in rest])
                ceilings.append(_top(similarity_ranks(means[twice], others), twice, top))
        found.append(_point(count, values, ceilings, top / len(vectors)) | {"n_stimuli": len(enough)})
    return pd.DataFrame(found)


def _point(count: int, values: list[float], ceilings: list[float], chance: float) -> dict[str, float]:
    """Return what a curve has at a number of averages."""
    ceiling = float(np.mean(ceilings)) if ceilings else np.nan
    of_draws = {"value": float(np.mean(values)), "sd": float(np.std(values))}
    return {"n_averaged": count, **of_draws, "ceiling": ceiling, "chance": min(1.0, chance)}
