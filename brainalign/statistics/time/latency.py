"""When a score over time peaks and sets in, with intervals, and whether that can be decided at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite
from brainalign.statistics.resampling import permutation_test

WIDEST = 1 / 3  # of the times considered: a peak whose interval is longer has no place among them


@dataclass(frozen=True)
class Latency:
    """Peak and onset of one time course, in the unit of its times.

    Attributes
    ----------
    peak, peak_low, peak_high : float
        Time of the largest score, and its percentile bootstrap interval.
    onset, onset_low, onset_high : float
        First time of a stretch above the null's family-wise threshold; NaN where there is none. The interval is NaN
        where fewer than `confidence` of the draws have an onset. It comes later for weaker scores: compare peaks.
    peak_score : float
    margin, margin_se : float
        Peak score minus the largest score outside the peak's own hump, and its bootstrap standard error; NaN without
        such a rival.
    p : float
        Of the peak score against the largest score over time of each permutation.
    decided : bool
    reason : str
        Why not, or "".
    """

    peak: float
    peak_low: float
    peak_high: float
    onset: float
    onset_low: float
    onset_high: float
    peak_score: float
    margin: float
    margin_se: float
    p: float
    decided: bool
    reason: str


def score_latency(
    score: Values,
    draws: Values,
    null: Values,
    times: Values,
    *,
    window: tuple[float, float] | None = None,
    chance: float = 0.0,
    max_p: float = 0.05,
    se_factor: float = 2.0,
    n_consecutive: int = 3,
    confidence: float = 0.95,
) -> Latency:
    """Return peak and onset of a score over time; undecided where noise could have placed the peak.

    The gate is that of layer preferences. A peak is decided when its score is above the permuted null (largest over
    time, p <= max_p) and beats the best rival by more than `se_factor` bootstrap standard errors. Rivals are the times
    outside the peak's hump: the stretch around it in which the score stays above half its height.

    A response that lasts is one hump without a rival, and noise says where in it the peak comes to lie. So the interval
    of a decided peak is, besides, no longer than a third of the times considered. Where noise was a tenth of the peak,
    it was at most .32 of them for Gaussian humps (60 each; sd up to a quarter of the times), .53 to .83 for a plateau
    over five sixths, .27 to .49 for one over half. Shorter plateaus pass: there, look at the interval of the peak.

    Parameters
    ----------
    score : array (n_times,)
        For example r, averaged over sensors.
    draws : array (n_draws, n_times)
        The same under resampling of test stimuli, every draw of all times together.
    null : array (n_permutations, n_times)
        The same under permutation.
    times : array (n_times,), ascending, usually seconds from stimulus onset
    window : (start, stop), optional
        Times to consider, both included; for example (0, inf) for nothing before the stimulus.
    chance : float
        From which heights are counted: 0.5 for an area under the curve.
    max_p, se_factor : float
    n_consecutive : int
        Samples in a row above the threshold that make an onset.
    confidence : float
        Of the intervals; 1 − confidence is also the level of the onset's threshold.

    Raises
    ------
    BrainalignError
        If shapes do not fit, scores are not finite, or the window is empty.
    """
    score, draws, null, times = _inside(score, draws, null, times, window)
    best = int(score.argmax())
    p = float(permutation_test(score[best], null.max(axis=1)))
    margin, margin_se = _margin(score - chance, draws - chance, best)
    threshold = float(np.quantile(null.max(axis=1), confidence))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    peak_low, peak_high = np.quantile(times[draws.argmax(axis=1)], tails)
    onset = _onsets(score[None], threshold, n_consecutive, times)[0]
    onsets = _onsets(draws, threshold, n_consecutive, times)
    some = onsets[~np.isnan(onsets)]
    enough = not np.isnan(onset) and len(some) >= confidence * len(onsets)
    onset_low, onset_high = np.quantile(some, tails) if enough else (np.nan, np.nan)
    reasons = []
    if not p <= max_p:
        reasons.append(f"peak score is not above its permuted null (p = {p:.3g})")
    width, whole = float(peak_high - peak_low), float(times[-1] - times[0])
    if margin <= se_factor * margin_se:
        reasons.append(f"peak does not beat the next one by more than {se_factor:g} SE")
    elif width > WIDEST * whole * (1 + 1e-9):  # where there is a rival as good, the interval is long because of it
        reasons.append(f"interval of the peak is {width:.3g} long, more than a third of all times ({whole:.3g})")
    return Latency(
        peak=float(times[best]),
        peak_low=float(peak_low),
        peak_high=float(peak_high),
        onset=float(onset),
        onset_low=float(onset_low),
        onset_high=float(onset_high),
        peak_score=float(score[best]),
        margin=margin,
        margin_se=margin_se,
        p=p,
        decided=not reasons,
        reason="; ".join(reasons),
    )


def _inside(
    score: Values, draws: Values, null: Values, times: Values, window: tuple[float, float] | None
) -> tuple[Values, Values, Values, Values]:
    """Return the inputs within the window, after checking that they fit each other."""
    n = len(times)
    if score.shape != (n,) or draws.shape[1:] != (n,) or null.shape[1:] != (n,) or len(draws) < 2 or not len(null):
        raise BrainalignError(
            f"a latency needs score (n_times,), draws (n_draws, n_times) and null (n_permutations, n_times) of "
            f"{n} times; got {score.shape}, {draws.shape} and {null.shape}"
        )
    start, stop = (-np.inf, np.inf) if window is None else window
    keep = (times >= start) & (times <= stop)
    if not keep.any():
        raise BrainalignError(
            f"no time lies in the window {start:g} to {stop:g}; times go {times[0]:g} to {times[-1]:g}"
        )
    for name, values in (("score", score), ("draws", draws), ("null", null)):
        check_finite(name, values[..., keep], "leave out times without a score")
    return score[keep], draws[:, keep], null[:, keep], times[keep]


def _margin(score: Values, draws: Values, best: int) -> tuple[float, float]:
    """Return by how much the peak beats the best time outside its hump, and the standard error of that."""
    low = np.flatnonzero(score < score[best] / 2)
    first = low[low < best].max(initial=-1)
    last = low[low > best].min(initial=len(score))
    rivals = np.r_[: first + 1, last : len(score)]
    if not len(rivals):
        return np.nan, np.nan
    rival = rivals[score[rivals].argmax()]
    return float(score[best] - score[rival]), float((draws[:, best] - draws[:, rival]).std(ddof=1))


def _onsets(courses: Values, threshold: float, n_consecutive: int, times: Values) -> NDArray[np.float64]:
    """Return the first time of `n_consecutive` samples above the threshold in each course, NaN where there is none."""
    n = min(n_consecutive, courses.shape[1])
    above: NDArray[np.bool_] = np.lib.stride_tricks.sliding_window_view(courses > threshold, n, axis=1)
    stretch = np.asarray(above.all(axis=2))
    return np.where(stretch.any(axis=1), times[stretch.argmax(axis=1)], np.nan)
