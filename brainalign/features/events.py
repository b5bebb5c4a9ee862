"""Features of events, such as words, and of signals, such as sounds, on the clock of a recording.

    f(t_i) = Σ_j L((t_i − τ_j) / Δ) v_j,   L(x) = sinc(x) sinc(x / a) where |x| < a, else 0

τ is the middle of an event, Δ the seconds between rows, and 1 / (2Δ) the cutoff. Events are impulses, so rates stay
rates. Samples of a signal are weighed by L / Σ L, which leaves out what changes faster than rows can follow;
Δ is then the seconds between rows or samples, whichever lie further apart.

Huth AG et al. (2016). Natural speech reveals the semantic maps that tile human cerebral cortex. Nature 532:453-458.
doi:10.1038/nature17637
Biesmans W et al. (2017). Auditory-inspired speech envelope extraction methods for improved EEG-based auditory attention
detection. IEEE Trans Neural Syst Rehabil Eng 25:402-412. doi:10.1109/TNSRE.2016.2571900
Friston KJ et al. (1998). Event-related fMRI: characterizing differential responses. NeuroImage 7:30-40.
doi:10.1006/nimg.1997.0306
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows, numbers

LOBES = 3  # of the Lanczos kernel, on either side
FINE_S = 0.05  # at which SPM's functions are computed
ENVELOPE_HZ = 200
COMPRESSION = 0.6  # of loudness, as of the envelope that follows speech best (Biesmans et al.)


def resample_events(
    onsets_s: NDArray[np.floating],
    durations_s: NDArray[np.floating],
    vectors: NDArray[np.floating],
    times_s: NDArray[np.floating],
    step_s: float | None = None,
) -> NDArray[np.float32]:
    """Sum events through a Lanczos kernel at the times of a recording: (n_rows, n_features), float32.

    Parameters
    ----------
    onsets_s, durations_s : array (n_events,)
    vectors : array (n_events, n_features)
    times_s : array (n_rows,)
        Evenly spaced, from the start of the run, as onsets are.
    step_s : float, optional
        Width of a lobe: seconds between rows, of the first two where not given, or more to average over rows.
    """
    names = ("onsets_s", "durations_s", "vectors", "times_s")
    onsets_s, durations_s, vectors, times_s = map(numbers, names, (onsets_s, durations_s, vectors, times_s))
    check_rows("events", len(onsets_s), "vectors", len(vectors), "give one vector per event")
    if vectors.ndim != 2 or (step_s is None and not (times_s[1:2] > times_s[:1]).any()):
        got = f"{vectors.shape}, {times_s[:2].tolist()}"
        raise BrainalignError(f"give vectors (n_events, n_features) and times_s that ascend; got {got}")
    middles = onsets_s + durations_s / 2
    if not np.isfinite(middles).all() or not np.isfinite(vectors).all():
        raise BrainalignError("events hold NaN or infinite onsets, durations or features; leave those events out")
    step = float(times_s[1] - times_s[0]) if step_s is None else step_s
    order = np.argsort(middles, kind="stable")
    middles, vectors = middles[order], vectors[order]
    first = np.searchsorted(middles, times_s - LOBES * step)
    last = np.searchsorted(middles, times_s + LOBES * step, side="right")
    found = np.zeros((len(times_s), vectors.shape[1]), dtype=np.float32)
    for row, (start, stop) in enumerate(zip(first, last, strict=True)):
        x = (times_s[row] - middles[start:stop]) / step
        found[row] = (np.sinc(x) * np.sinc(x / LOBES)) @ vectors[start:stop]
    return found


def resample_signal(
    times_s: NDArray[np.floating], values: NDArray[np.floating], row_times_s: NDArray[np.floating], step_s: float
) -> NDArray[np.float32]:
    """Low-pass samples of a signal and interpolate them at the times of rows (float32); 0 where it was silent.

    Parameters
    ----------
    times_s : array (n_samples,)
        Evenly spaced, ascending.
    values : array (n_samples, n_features)
    row_times_s : array (n_rows,)
        `step_s` seconds apart.
    """
    step = max(step_s, float(times_s[-1] - times_s[0]) / max(len(times_s) - 1, 1))
    nearest = np.clip(row_times_s, times_s[0], times_s[-1])
    nothing, ones = np.zeros(len(times_s)), np.ones((len(times_s), 1))
    weighed = resample_events(times_s, nothing, np.concatenate([values, ones], axis=1), nearest, step)
    there = np.abs(nearest - row_times_s) <= step / 2
    return np.where(there[:, None], weighed[:, :-1] / weighed[:, -1:], 0).astype(np.float32)


def block_means(
    times_s: NDArray[np.floating], values: NDArray[np.floating], row_times_s: NDArray[np.floating], step_s: float
) -> NDArray[np.float32]:
    """Average what lies within each row of a recording, half a step on either side of its time; 0 where nothing does.

    `times_s` are middles of events, or times of samples, in any order; all else is as of `resample_signal`. Of rows
    closer than samples, a step is the seconds between samples.
    """
    times_s, values, row_times_s = map(numbers, ("times", "values", "rows"), (times_s, values, row_times_s))
    check_rows("times", len(times_s), "values", len(values), "give one vector per time")
    if not np.isfinite(times_s).all() or not np.isfinite(values).all():
        raise BrainalignError("events hold NaN or infinite times or features; leave those events out")
    order, between = np.argsort(times_s, kind="stable"), float(np.ptp(times_s)) / max(len(times_s) - 1, 1)
    reach = max(step_s, between * (1 + 1e-9)) / 2  # of two that are equally near, rounding must not leave out both
    edges = np.searchsorted(times_s[order], [row_times_s - reach, row_times_s + reach])
    found = np.zeros((len(row_times_s), values.shape[1]), dtype=np.float32)
    for row, (first, last) in enumerate(edges.T):
        found[row] = values[order[first:last]].mean(axis=0, dtype=np.float64) if last > first else 0
    return found


def hemodynamic_responses(step_s: float) -> NDArray[np.float64]:
    """Sample SPM's response function and its derivatives to onset and dispersion (n_delays, 3) on a clock, for 32 s.

    All three have length 1: ridge then shrinks them alike. Raises BrainalignError where rows lie too far apart.
    """
    if not 0 < step_s < 16:
        raise BrainalignError(f"a response function has no shape in rows {step_s:g} s apart; give seconds, below 16")
    from nilearn.glm.first_level.hemodynamic_models import spm_dispersion_derivative, spm_hrf, spm_time_derivative

    every = max(round(step_s / FINE_S), 1)
    functions = (spm_hrf, spm_time_derivative, spm_dispersion_derivative)
    found = np.stack([each(step_s, oversampling=every)[::every] for each in functions], axis=1)
    return np.asarray(found / np.linalg.norm(found, axis=0))


def answered(values: NDArray[np.floating], responses: NDArray[np.floating]) -> NDArray[np.float32]:
    """Convolve features of a run with response functions, which stand one after the other.

    Values (n_rows, n_features), preceded by zeros, and responses (n_delays, n_functions) give (n_rows, n_functions x
    n_features), float32.
    """
    from scipy.signal import lfilter  # every step with features would import it

    parts = [lfilter(each, 1, values, axis=0) for each in responses.T]
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")


def loudness(values: NDArray[np.floating], rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the envelope of a sound: root mean square of 5 ms, compressed; with the times of their middles.

    Of values (n_samples,) at `rate` per second; returns seconds, then loudness, each (n,).
    """
    n = max(len(values) * ENVELOPE_HZ // rate, 1)
    edges = np.arange(n) * rate // ENVELOPE_HZ
    squares = np.add.reduceat(np.square(values, dtype=np.float64), edges)
    sizes = np.diff([*edges, len(values)])
    return (np.arange(n) + 0.5) / ENVELOPE_HZ, np.sqrt(squares / sizes) ** COMPRESSION


def picture_changes(frames: Iterable[NDArray[np.floating]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the luminance of every frame, and its motion energy: the mean absolute difference from the one before.

    Frames (rows, columns) are grey and of one size; both are (n_frames,), and motion energy is 0 at the first.
    """
    luminance, motion, last = [], [], None
    for frame in map(np.float64, frames):  # bytes would wrap around
        luminance.append(float(frame.mean()))
        motion.append(0.0 if last is None else float(np.abs(frame - last).mean()))
        last = frame
    return np.array(luminance), np.array(motion)
