"""How convergence grows over training checkpoints: curves of the scores, and when they reach half of their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, listed
from brainalign.encoding.convergence.halftimes import half_times
from brainalign.encoding.convergence.subject_convergence import MEAN, cohorts, of_areas, order_of
from brainalign.encoding.convergence.temporal_score import layer_latencies
from brainalign.encoding.scoring import FMRI, SplitScores
from brainalign.statistics import layer_preference

Values = NDArray[np.floating]

N_DRAWS = 200  # of test stimuli, for intervals of half-times


@dataclass(frozen=True)
class CheckpointCurves:
    """Scores over training.

    Attributes
    ----------
    curves : DataFrame
        subject, measured, score ("encoding" with area "" for the mean over areas, or an area; "spatial"; "temporal"),
        area, step, value.
    half_times : DataFrame
        subject, measured, score, area, and the columns of `half_times`; low, high and low_from_start,
        high_from_start: intervals over resampled test stimuli, NaN where fewer than nine in ten resamples have a
        half-time.
    """

    curves: pd.DataFrame
    half_times: pd.DataFrame


def checkpoint_curves(
    by_step: Mapping[int, Mapping[str, SplitScores]],
    *,
    origin: Sequence[str] = (),
    areas: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> CheckpointCurves:
    """Return the scores of every checkpoint, per subject and for the mean over subjects, with their half-times.

    - Encoding: r of an area's best layer, chosen anew at every checkpoint on the stimuli that choose; and its mean.
    - Spatial and temporal: of the areas and layers that are decided at the last checkpoint, at all checkpoints and
      whatever is decided there. An early network decides little, and a curve of areas that come and go would mean
      nothing. Where all areas share a best layer, or all layers a latency, there is no order, and the score is 0.

    Parameters
    ----------
    by_step : mapping of mappings of SplitScores
        By training step and subject; the same subjects at every step.
    origin, areas : sequence of str
        As for `converge_subjects`.
    confidence : float
        Of the intervals.

    Raises
    ------
    BrainalignError
        If there are fewer than 2 checkpoints, or they have other subjects.

    References
    ----------
    Raugel J et al. (2025). Disentangling the factors of convergence between brains and computer vision models.
    arXiv:2508.18226
    """
    steps = sorted(by_step)
    subjects = [set(by_step[step]) for step in steps]
    if len(steps) < 2 or any(names != subjects[0] for names in subjects):
        raise BrainalignError(
            f"half-times need 2 or more checkpoints of the same subjects; got steps {steps} of "
            f"{'; '.join(listed(sorted(names)) for names in subjects)}"
        )
    pairs = {name: tuple(of_areas(by_step[step][name], areas, origin) for step in steps) for name in by_step[steps[0]]}
    curves, times = [], []
    for measured, names, scores in cohorts(pairs):
        reason = next((some.reason for some in scores if some.reason), "")
        if reason:
            continue  # said in the table of scores, of which every network of this subject is a row
        about = {"subject": names[0] if len(names) == 1 else MEAN, "measured": measured}
        found = _areas(scores) if measured == FMRI else _sensors(scores)
        for (score, area), (values, draws) in found.items():
            rows = pd.DataFrame({"score": score, "area": area, "step": steps, "value": values})
            curves.append(rows.assign(**about))
            times.append(_half_time(steps, values, draws, confidence) | {"score": score, "area": area} | about)
    first = ["subject", "measured", "score", "area"]
    curve = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=[*first, "step", "value"])
    table = pd.DataFrame(times) if times else pd.DataFrame(columns=[*first, "half_time", "half_time_from_start"])
    return CheckpointCurves(*(some[first + [c for c in some if c not in first]] for some in (curve, table)))


Curve = tuple[Values, Values]  # (n_steps,), (n_draws, n_steps)


def _areas(scores: Sequence[SplitScores]) -> dict[tuple[str, str], Curve]:
    last = scores[-1]
    n_areas = len(last.areas)
    columns = np.arange(n_areas)
    value, drawn, order, order_drawn = [], [], [], []
    decided = _decided_areas(last)
    distance = last.arrays["distance"]
    for some in scores:
        choice = np.nan_to_num(some.arrays["choice_r"], nan=-np.inf)
        best = choice.argmax(axis=0)
        value.append(some.arrays["r"][best, columns])
        drawn.append(some.arrays["draws"][:N_DRAWS][:, best, columns])
        order.append(np.nan_to_num(order_of(best[decided], distance[decided])))
        resampled = np.nan_to_num(some.arrays["choice_draws"][:N_DRAWS], nan=-np.inf).argmax(axis=1)
        order_drawn.append([np.nan_to_num(order_of(draw[decided], distance[decided])) for draw in resampled])
    r, draws = np.array(value), np.array(drawn).transpose(1, 0, 2)  # (n_steps, n_areas), (n_draws, n_steps, n_areas)
    known = np.isfinite(r).all(axis=0)
    found: dict[tuple[str, str], Curve] = {}
    if known.any():
        found["encoding", ""] = (r[:, known].mean(axis=1), draws[:, :, known].mean(axis=2))
    if decided.sum() >= 3 and np.isfinite(distance).all():
        found["spatial", ""] = (np.array(order), np.array(order_drawn).T)
    return found | {("encoding", name): (r[:, k], draws[:, :, k]) for k, name in enumerate(last.areas)}


def _decided_areas(last: SplitScores) -> NDArray[np.bool_]:
    table = layer_preference(
        last.arrays["choice_r"].T,
        last.arrays["choice_draws"].transpose(0, 2, 1),
        last.arrays["choice_null"].transpose(0, 2, 1),
        last.areas,
        last.layers,
    )
    return np.asarray(table["decided"], dtype=bool)


def _sensors(scores: Sequence[SplitScores]) -> dict[tuple[str, str], Curve]:
    last = scores[-1]
    times = last.arrays["times_s"]
    r, all_draws, null = (last.arrays[name] for name in ("r", "draws", "null"))
    table = layer_latencies(r, all_draws, null, times, last.layers)
    decided = np.flatnonzero(table["decided"])
    if len(decided) < 3:
        return {}
    after = times >= 0

    def order(course: Values) -> float:
        peaks = times[after][np.nan_to_num(course[decided][:, after], nan=-np.inf).argmax(axis=1)]
        return float(np.nan_to_num(order_of(decided, peaks)))

    values = np.array([order(some.arrays["r"]) for some in scores])
    draws = np.array([[order(draw) for draw in some.arrays["draws"][:N_DRAWS]] for some in scores]).T
    return {("temporal", ""): (values, draws)}


def _half_time(steps: Sequence[int], values: Values, draws: Values, confidence: float) -> dict[str, object]:
    """Return the half-times of a curve, with intervals."""
    axis = np.asarray(steps, dtype=np.float64)
    found = half_times(axis, values).iloc[0].drop("target")
    row: dict[str, object] = {str(name): value for name, value in found.items()}
    resampled = half_times(axis, draws.T)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    for end, column in (("", "half_time"), ("_from_start", "half_time_from_start")):
        known = resampled[column].dropna().to_numpy()
        enough = np.isfinite(found[column]) and len(known) >= 0.9 * len(resampled)
        row[f"low{end}"], row[f"high{end}"] = np.quantile(known, tails) if enough else (np.nan, np.nan)
    return row
