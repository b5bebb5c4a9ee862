"""When a score over time peaks and sets in, with intervals, and whether that can be decided at all."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, numbers
from brainalign.statistics.preference import MAX_P, SE_FACTOR
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
    n_consecutive: int = 3,
    confidence: float = 0.95,
) -> Latency:
    """Return peak and onset of a score over time; undecided where noise could have placed the peak.

    The gate is that of layer preferences. A peak is decided when its score is above the permuted null (largest over
    time, p <= 0.05) and beats the best rival by more than 2 bootstrap standard errors. Rivals are the times outside the
    peak's hump: the stretch around it in which the score stays above half its height.

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
    n_consecutive : int
        Samples in a row above the threshold that make an onset.
    confidence : float
        Of the intervals; 1 − confidence is also the level of the onset's threshold.
    """
    score, draws, null, times = _inside(score, draws, null, times, window)
    best = int(score.argmax())
    p = float(permutation_test(score[best], null.max(axis=1)))
    margin, margin_se = _margin(score - chance, draws - chance, best)
    threshold = float(np.quantile(null.max(axis=1), confidence))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    first, last = draws.argmax(axis=1), -1 - draws[:, ::-1].argmax(axis=1)  # a score at its ceiling is so several times
    peak_low, peak_high = np.quantile(times[first], tails[0]), np.quantile(times[last], tails[1])
    onset = _onsets(score[None], threshold, n_consecutive, times)[0]
    onsets = _onsets(draws, threshold, n_consecutive, times)
    some = onsets[~np.isnan(onsets)]
    enough = not np.isnan(onset) and len(some) >= confidence * len(onsets)
    onset_low, onset_high = np.quantile(some, tails) if enough else (np.nan, np.nan)
    reasons = []
    if not p <= MAX_P:
        reasons.append(f"peak score is not above its permuted null (p = {p:.3g})")
    width, whole = float(peak_high - peak_low), float(times[-1] - times[0])
    if margin <= SE_FACTOR * margin_se:
        reasons.append(f"peak does not beat the next one by more than {SE_FACTOR:g} SE")
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
    score, draws, null, times = map(numbers, ("score", "draws", "null", "times"), (score, draws, null, times))
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
    rivals = np.r_[: first + 1, low[low > best].min(initial=len(score)) : len(score)]
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


@dataclass(frozen=True)
class HumpLatency:
    """Centre and rise of the highest hump, in the unit of the times, with bootstrap intervals.

    Attributes
    ----------
    centre, centre_low, centre_high : float
        Mean of the times of the hump, weighted by what exceeds half its height.
    rise, rise_low, rise_high : float
        Where the score crosses half its height on the way up, interpolated between samples: an onset that, other than
        the first significant moment, does not come earlier where there are more trials.
    """

    centre: float
    centre_low: float
    centre_high: float
    rise: float
    rise_low: float
    rise_high: float


def first_hump(
    score: Values, times: Values, threshold: float, *, chance: float = 0.0, n_consecutive: int = 3
) -> tuple[float, float] | None:
    """Return where the first hump of a score over time begins and ends: the valleys on both sides of it.

    The hump that follows the onset, the first `n_consecutive` samples in a row above the threshold: its peak is the
    largest score before the score falls below half its height. The highest hump may be a later one: of faces against
    houses, what follows the N170 can tell them apart better than the N170 does.

    Parameters
    ----------
    score : array (n_times,)
    times : array (n_times,), ascending
    threshold : float
        Of one sample, corrected for all times: a quantile of the largest score of each permutation.
    chance : float
        From which heights are counted.
    n_consecutive : int

    Returns
    -------
    (start, stop) or None
        For `window` of `score_latency` and `hump_latency`; None where the score has no onset.
    """
    [found] = _onsets(score[None], threshold, n_consecutive, np.arange(float(len(score))))
    if np.isnan(found):
        return None
    onset, height = int(found), score - chance
    below = np.flatnonzero(height[onset:] < np.maximum.accumulate(height[onset:]) / 2)
    end = onset + int(below[0]) if len(below) else len(score)
    best = onset + int(height[onset:end].argmax())
    start, stop = best, end - 1
    while start > 0 and (height[start] >= height[best] / 2 or height[start - 1] < height[start]):
        start -= 1
    while stop < len(score) - 1 and height[stop + 1] < height[stop]:
        stop += 1
    return float(times[start]), float(times[stop])


def hump_latency(
    score: Values,
    draws: Values,
    times: Values,
    *,
    chance: float = 0.0,
    confidence: float = 0.95,
    n_folds: int | None = None,
    window: tuple[float, float] | None = None,
) -> HumpLatency:
    """Return centre and rise of the highest hump of a score over time.

    The largest sample itself is a poor latency: it jumps between neighbours, and the bootstrap interval of it is too
    wide. The centre of the hump is smooth in the scores.

    Draws of test trials do not train anew, and what was trained on few recordings makes latencies vary more than they
    show: percentiles of 95 % covered .93 of planted centres and .87 of rises (300 worlds of 6 recordings). With
    `n_folds` they are stretched about the estimate by the ratio of Student's t, n_folds - 1 degrees of freedom, to the
    normal quantile. Stretched, they covered .97 and .94; with 3 and 4 recordings 1 and .99 of centres and .98 and .93
    of rises (somewhat wide), with 12 .93 and .94 (120 worlds each). Rises come late where little is trained on, by
    2.5 ms with 6 recordings and 6 with 3: what is learned from noise lowers the flanks of the hump most.

    Parameters
    ----------
    score, times, chance
        As for `first_hump`.
    draws : array (n_draws, n_times)
        The score under resampling of test trials or subjects.
    n_folds : int, optional
        In how many folds the scores were trained and tested. By default percentiles stand: nothing was trained, or in a
        single split, which does not show how training varies (intervals are then somewhat narrow).
    window : (start, stop), optional
        Times to consider, both included, in every draw as well: the highest hump inside, such as `first_hump`.

    Raises
    ------
    BrainalignError
        If shapes do not fit, scores are not finite, there are fewer than 2 folds, or the window is empty.

    References
    ----------
    Luck SJ (2014). An introduction to the event-related potential technique, chapter 9: fractional area and fractional
    peak latencies. MIT Press.
    Hesterberg TC (2015). What teachers should know about the bootstrap. The American Statistician 69:371-386.
    doi:10.1080/00031305.2015.1089789
    """
    score, draws, times = map(numbers, ("score", "draws", "times"), (score, draws, times))
    if score.shape != times.shape or draws.shape[1:] != score.shape or len(draws) < 2:
        raise BrainalignError(
            f"a hump needs score (n_times,) and draws (n_draws, n_times) of {len(times)} times; got {score.shape} and "
            f"{draws.shape}"
        )
    if n_folds is not None and n_folds < 2:
        raise BrainalignError(f"n_folds must be 2 or more; got {n_folds}")
    keep = np.ones(len(times), dtype=bool) if window is None else (times >= window[0]) & (times <= window[1])
    if not keep.any():
        raise BrainalignError(f"no time lies in the window {window}; times go {times[0]:g} to {times[-1]:g}")
    score, draws, times = score[keep], draws[:, keep], times[keep]
    check_finite("score", score, "leave out times without a score")
    check_finite("draws", draws, "leave out draws without a score")
    centre, rise = _hump(score - chance, times)
    found = np.array([_hump(draw - chance, times) for draw in draws])
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    stretch = 1.0 if n_folds is None else float(stdtrit(n_folds - 1, tails[1]) / ndtri(tails[1]))
    estimate = np.array([centre, rise])
    low, high = estimate + stretch * (np.quantile(found, tails, axis=0) - estimate)
    return HumpLatency(centre, float(low[0]), float(high[0]), rise, float(low[1]), float(high[1]))


def _hump(height: Values, times: Values) -> tuple[float, float]:
    """Return centre and rise of the hump around the largest value; that value's time where nothing is above 0."""
    best = int(height.argmax())
    half = height[best] / 2
    if height[best] <= 0:
        return float(times[best]), float(times[best])
    low = np.flatnonzero(height < half)
    first = int(low[low < best].max(initial=-1)) + 1
    last = int(low[low > best].min(initial=len(height)))
    weights = height[first:last] - half
    centre = float(weights @ times[first:last] / weights.sum()) if weights.sum() > 0 else float(times[best])
    if first == 0:
        return centre, float(times[0])
    share = (half - height[first - 1]) / (height[first] - height[first - 1])
    return centre, float(times[first - 1] + share * (times[first] - times[first - 1]))
