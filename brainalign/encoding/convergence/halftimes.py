"""When in training a score reaches half of what it ends with, per target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows


def half_times(steps: Values, scores: Values, names: Sequence[str] | None = None, share: float = 0.5) -> pd.DataFrame:
    """Return the first training step at which each score reaches half of its final value.

    Checkpoints are joined by a cubic that is monotone between them, so nothing is crossed that was not measured.
    half_time counts from zero: the first step where score >= share · final. half_time_from_start counts from the
    score of the first checkpoint (step 0: random weights, which predict something already):
    score >= start + share · (final − start).

    Parameters
    ----------
    steps : array (n_checkpoints,), ascending
        Training steps; the first is usually 0.
    scores : array (n_checkpoints,) or (n_checkpoints, n_targets)
        Any score: encoding r per parcel, or the three convergence scores. NaN: the target has no half-time.
    names : sequence of str, optional
    share : float
        In (0, 1).

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
    if not 0 < share < 1:
        raise BrainalignError(f"share must lie between 0 and 1; got {share}")
    targets = [f"target {k}" for k in range(scores.shape[1])] if names is None else list(names)
    check_rows("names", len(targets), "the columns of scores", scores.shape[1], "give one name per target")
    rows = []
    for name, course in zip(targets, scores.T, strict=True):
        start, final = course[0], course[-1]
        reason, from_zero, from_start = "", np.nan, np.nan
        if not np.isfinite(course).all():
            reason = "a checkpoint has no score"
        elif final <= 0:
            reason = "the final score is not above 0"
        else:
            from_zero = _first_crossing(steps, course, share * final)
            if final > start:
                from_start = _first_crossing(steps, course, start + share * (final - start))
            else:
                reason = "the final score is not above that of the first checkpoint"
        row = {"target": name, "start": start, "final": final, "half_time": from_zero}
        row |= {"half_time_from_start": from_start, "relative": from_zero / steps[-1]}
        rows.append(row | {"relative_from_start": from_start / steps[-1], "reason": reason})
    return pd.DataFrame(rows)


def _first_crossing(steps: Values, course: Values, level: float) -> float:
    """Return the first step at which the interpolated course reaches the level; the last checkpoint does."""
    if course[0] >= level:
        return float(steps[0])
    first = int(np.argmax(course >= level))
    if course[first] == level:
        return float(steps[first])
    crossings = PchipInterpolator(steps, course).solve(level, extrapolate=False)
    inside = crossings[(crossings >= steps[first - 1]) & (crossings <= steps[first])]
    # A checkpoint that lies above the level by rounding alone, where the cubic is flat, has no root before it.
    return float(inside.min()) if len(inside) else float(steps[first])
