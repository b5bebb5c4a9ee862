"""Retrieval against the number of readers whose decoded vectors are averaged, and the ceiling that halves set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.decoding.scoring.retrieval import distinct_gallery, similarity_ranks


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
        many subjects retrieve means of as many others among the same stimuli; NaN where fewer than two stimuli have
        twice as many), chance, n_stimuli (with so many subjects).

    Raises
    ------
    BrainalignError
        If rows do not fit, or a tested stimulus is not in the gallery.
    """
    check_rows("decoded", len(decoded), "trials", len(trials), "give one row of the table per trial")
    vectors, ids = distinct_gallery(gallery, gallery_ids)
    unit = np.asarray(decoded, dtype=np.float64)
    norm = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = unit / np.where(norm > 0, norm, 1)
    table = trials[["stimulus_id", "subject"]].reset_index(drop=True)
    readers: dict[Any, list[Values]] = {}
    for rows in table.groupby(["stimulus_id", "subject"], sort=False).indices.values():
        readers.setdefault(table["stimulus_id"].iloc[rows[0]], []).append(unit[rows].mean(axis=0))
    columns = pd.Index(ids).get_indexer(pd.Index(list(readers)))
    if (columns < 0).any():
        raise BrainalignError(f"{int((columns < 0).sum())} tested stimuli are not in the gallery; add their vectors")
    stacks = [np.stack(found) for found in readers.values()]
    sizes = np.array([len(stack) for stack in stacks])
    most = int(np.sort(sizes)[-2:].min())
    counts = sorted({*(2**k for k in range(int(np.log2(most)) + 1)), most})
    return pd.DataFrame([_at(stacks, sizes, columns, vectors, count, top, n_draws, seed) for count in counts])


def _at(
    stacks: list[Values],
    sizes: NDArray[np.intp],
    columns: NDArray[np.intp],
    vectors: Values,
    count: int,
    top: int,
    n_draws: int,
    seed: int,
) -> dict[str, float]:
    """Return one row of the curve."""
    rng = np.random.default_rng([seed, count])
    enough, twice = np.flatnonzero(sizes >= count), np.flatnonzero(sizes >= 2 * count)
    values, ceilings = [], []
    for _ in range(n_draws):
        drawn = {k: rng.permutation(sizes[k]) for k in enough}
        means = np.stack([stacks[k][drawn[k][:count]].mean(axis=0) for k in enough])
        ranks = similarity_ranks(means, vectors)
        values.append((ranks[np.arange(len(enough)), columns[enough]] <= top).mean())
        if len(twice) > 1:
            one, other = (
                np.stack([stacks[k][drawn[k][part]].mean(axis=0) for k in twice])
                for part in (slice(0, count), slice(count, 2 * count))
            )
            ceilings.append((np.diagonal(similarity_ranks(one, other)) <= top).mean())
    return {
        "n_averaged": count,
        "value": float(np.mean(values)),
        "sd": float(np.std(values)),
        "ceiling": float(np.mean(ceilings)) if ceilings else np.nan,
        "chance": top / len(vectors),
        "n_stimuli": len(enough),
    }
