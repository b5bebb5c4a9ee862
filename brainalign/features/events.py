"""Features of events, such as words, on the clock of a recording.

    f(t_i) = Σ_j L((t_i − τ_j) / Δ) v_j,   L(x) = sinc(x) sinc(x / a) where |x| < a, else 0

τ is the middle of an event, Δ the seconds between rows, and 1 / (2Δ) the cutoff. Events are impulses, so rates stay
rates.

Huth AG et al. (2016). Natural speech reveals the semantic maps that tile human cerebral cortex. Nature 532:453-458.
doi:10.1038/nature17637
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows

LOBES = 3  # of the Lanczos kernel, on either side


def resample_events(
    onsets_s: NDArray[np.floating],
    durations_s: NDArray[np.floating],
    vectors: NDArray[np.floating],
    times_s: NDArray[np.floating],
    step_s: float | None = None,
) -> NDArray[np.float32]:
    """Sum events through a Lanczos kernel at the times of a recording.

    Parameters
    ----------
    onsets_s, durations_s : array (n_events,)
        From the start of the run.
    vectors : array (n_events, n_features)
    times_s : array (n_rows,)
        Evenly spaced, from the start of the run.
    step_s : float, optional
        Seconds between rows; those of the first two where not given.

    Returns
    -------
    array (n_rows, n_features), float32

    Raises
    ------
    BrainalignError
        If events and vectors differ in number, or an onset or a vector is no number.
    """
    check_rows("events", len(onsets_s), "vectors", len(vectors), "give one vector per event")
    middles = np.asarray(onsets_s, dtype=np.float64) + np.asarray(durations_s, dtype=np.float64) / 2
    if not np.isfinite(middles).all() or not np.isfinite(vectors).all():
        raise BrainalignError("events hold NaN or infinite onsets, durations or features; leave those events out")
    step = float(times_s[1] - times_s[0]) if step_s is None else step_s
    order = np.argsort(middles, kind="stable")
    middles, vectors = middles[order], np.asarray(vectors)[order]
    first = np.searchsorted(middles, times_s - LOBES * step)
    last = np.searchsorted(middles, times_s + LOBES * step, side="right")
    found = np.zeros((len(times_s), vectors.shape[1]), dtype=np.float32)
    for row, (start, stop) in enumerate(zip(first, last, strict=True)):
        x = (times_s[row] - middles[start:stop]) / step
        found[row] = (np.sinc(x) * np.sinc(x / LOBES)) @ vectors[start:stop]
    return found
