"""How convergence grows over training checkpoints: curves of the scores, and when they reach half of their end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator, PPoly

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows, listed
from brainalign.encoding.convergence.scores import layer_latencies
from brainalign.encoding.convergence.subject_convergence import MEAN, cohorts, of_areas, order_of
from brainalign.encoding.scoring import FMRI, SplitScores
from brainalign.statistics import layer_preference

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

    `by_step` holds `SplitScores` by training step and subject, the same subjects at each of two steps or more; `origin`
    and `areas` are as for `converge_subjects`.
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
        if any(some.reason for some in scores):
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
    columns = np.arange(len(last.areas))
    value, drawn, order, order_drawn = [], [], [], []
    layers_r, their_draws, null = (last.arrays[f"choice_{part}"].swapaxes(-1, -2) for part in ("r", "draws", "null"))
    decided = layer_preference(layers_r, their_draws, null, last.areas, last.layers)["decided"].to_numpy(dtype=bool)
    distance = last.arrays["distance"]
    for some in scores:
        best = np.nan_to_num(some.arrays["choice_r"], nan=-np.inf).argmax(axis=0)
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


def _sensors(scores: Sequence[SplitScores]) -> dict[tuple[str, str], Curve]:
    last = scores[-1]
    times = last.arrays["times_s"]
    r, all_draws, null = (last.arrays[name] for name in ("r", "draws", "null"))
    decided = np.flatnonzero(layer_latencies(r, all_draws, null, times, last.layers)["decided"])
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


def half_times(steps: Values, scores: Values, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the first training step at which each score reaches half of its final value.

    Checkpoints are joined by a cubic that is monotone between them, so nothing is crossed that was not measured.
    half_time counts from zero: the first step where score >= final / 2. half_time_from_start counts from the
    score of the first checkpoint (step 0: random weights, which predict something already):
    score >= start + (final − start) / 2.

    Parameters
    ----------
    steps : array (n_checkpoints,), ascending
        Training steps; the first is usually 0.
    scores : array (n_checkpoints,) or (n_checkpoints, n_targets)
        Any score: encoding r per parcel, or the three convergence scores. NaN: the target has no half-time.
    names : sequence of str, optional

    Returns
    -------
    DataFrame
        target, start, final, half_time, half_time_from_start (steps; NaN where undefined), relative and
        relative_from_start (as a share of the last step), reason.

    Raises
    ------
    BrainalignError
        If shapes do not fit, steps do not ascend, or there are fewer than 2 checkpoints.

    References
    ----------
    Raugel J et al. (2025). Disentangling the factors of convergence between brains and computer vision models.
    arXiv:2508.18226
    Fritsch FN, Carlson RE (1980). Monotone piecewise cubic interpolation. SIAM J Numer Anal 17:238-246.
    doi:10.1137/0717021

    Examples
    --------
    >>> import numpy as np
    >>> half_times(np.array([0, 10, 20]), np.array([0.0, 0.4, 0.4]))["half_time"].round(1).tolist()
    [3.5]
    """
    steps, scores = np.asarray(steps, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if scores.ndim == 1:
        scores = scores[:, None]
    check_rows("scores", len(scores), "steps", len(steps), "give one row of scores per checkpoint")
    check_finite("steps", steps, "give the training step of every checkpoint")
    if len(steps) < 2 or not (np.diff(steps) > 0).all():
        raise BrainalignError(f"a half-time needs 2 or more checkpoints in ascending order; got steps {steps.tolist()}")
    targets = [f"target {k}" for k in range(scores.shape[1])] if names is None else list(names)
    check_rows("names", len(targets), "the columns of scores", scores.shape[1], "give one name per target")
    cubics = PchipInterpolator(steps, np.nan_to_num(scores))
    rows = []
    for name, course, parts in zip(targets, scores.T, np.moveaxis(cubics.c, 2, 0), strict=True):
        start, final, cubic = course[0], course[-1], PPoly(parts, steps)
        reason, from_zero, from_start = "", np.nan, np.nan
        if not np.isfinite(course).all():
            reason = "a checkpoint has no score"
        elif final <= 0:
            reason = "the final score is not above 0"
        else:
            from_zero = _first_crossing(steps, course, cubic, final / 2)
            if final > start:
                from_start = _first_crossing(steps, course, cubic, start + (final - start) / 2)
            else:
                reason = "the final score is not above that of the first checkpoint"
        row = {"target": name, "start": start, "final": final, "half_time": from_zero}
        row |= {"half_time_from_start": from_start, "relative": from_zero / steps[-1]}
        rows.append(row | {"relative_from_start": from_start / steps[-1], "reason": reason})
    return pd.DataFrame(rows)


def _first_crossing(steps: Values, course: Values, cubic: PPoly, level: float) -> float:
    """Return the first step at which the interpolated course reaches the level; the last checkpoint does."""
    if course[0] >= level:
        return float(steps[0])
    first = int(np.argmax(course >= level))
    if course[first] == level:
        return float(steps[first])
    crossings = cubic.solve(level, extrapolate=False)
    inside = crossings[(crossings >= steps[first - 1]) & (crossings <= steps[first])]
    # A checkpoint that lies above the level by rounding alone, where the cubic is flat, has no root before it.
    return float(inside.min()) if len(inside) else float(steps[first])
