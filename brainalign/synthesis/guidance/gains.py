"""What guidance gained over every control, with intervals: paired by seed where both have the same seeds."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from brainalign.statistics import permutation_test

Floats = NDArray[np.floating]
Gain = tuple[float, float, float, float, int]  # gain, low, high, p, n
Best = tuple[Floats, Floats, float]  # scores, what they were chosen by, share that was not chosen

SCORES = ("guide", "check", "true", "valid", "typical")
PAIRED = ("unguided", "recurrent", "prompted")
OTHERS = ("best of n", "evolved", "natural", "natural true")
N_DRAWS = 10_000


def synthesis_gains(table: pd.DataFrame, confidence: float = 0.95, seed: int = 0) -> pd.DataFrame:
    """Compare what each region's images give with every control.

    Parameters
    ----------
    table : DataFrame
        `Synthesised.table`.
    confidence : float
        Of the intervals over images: Student's t, Welch's where images are not paired; NaN of a single image.

    Returns
    -------
    DataFrame
        region, condition (guided | matched), against, score, value (mean under the condition), gain, low, high, p, n.
        Of searches and natural images fewer may have been kept: as many guided ones that the guide likes best are
        compared with them, and are what `value` is the mean of.
        Against "unguided", "recurrent" and "prompted" images are paired by seed: p is that of flipped signs, two-sided.
        Against searches and natural images it is that of exchanged images, or of the interval's t where that is larger:
        the best of many vary by more than they differ. Against "null": the gain over the mean of the null encoders,
        low and high the quantiles of single ones, p = (1 + #{null >= guided}) / (m + 1), and n = m.

    Notes
    -----
    Images of one encoder are draws of its prior: an interval over them says nothing of other encoders or people.
    """
    rng, rows = np.random.default_rng([seed, 0x6A1]), []
    scores = [name for name in SCORES if name in table and table[name].notna().any()]
    for region in table.loc[table["condition"] == "guided", "region"].unique():
        mine = table[table["scored"] == region]
        for condition in ("guided", "matched"):
            own = mine[(mine["condition"] == condition) & (mine["region"] == region)]
            if own.empty:
                continue
            for score in scores:
                for against, *found in _against(own, mine, region, score, confidence, rng):
                    rows.append((region, condition, against, score, *found))
    columns = ["region", "condition", "against", "score", "value", "gain", "low", "high", "p", "n"]
    return pd.DataFrame(rows, columns=columns)


def _against(
    own: pd.DataFrame, mine: pd.DataFrame, region: str, score: str, confidence: float, rng: np.random.Generator
) -> Iterator[tuple[str, float, float, float, float, float, int]]:
    """Yield control, value, gain, low, high, p, n for every control there is."""
    for control in PAIRED:
        other = mine[(mine["condition"] == control) & mine["region"].isin([region, ""])].set_index("seed")[score]
        if len(other):
            gains = own[score].to_numpy() - other.loc[own["seed"]].to_numpy()
            yield control, own[score].mean(), *_paired(gains, confidence, rng)
    for control in OTHERS:
        found = mine[(mine["condition"] == control) & (mine["region"] == region)]
        if len(found):
            # Of so many guided images as the search kept: it kept what the guide likes best, and so do they.
            kept = own.nlargest(len(found), "guide") if len(found) < len(own) else own
            likes = "true" if control == "natural true" else "guide"
            best = kept[score].to_numpy(), kept["guide"].to_numpy(), 1 - len(kept) / len(own)
            its_best = found[score].to_numpy(), found[likes].to_numpy(), 1.0  # of far more
            yield control, kept[score].mean(), *_unpaired(best, its_best, confidence, rng)
    nulls = mine[mine["condition"] == "null"]
    if len(nulls):
        # On the seeds that the null encoders were given.
        value = own.loc[own["seed"].isin(nulls["seed"]), score].mean()
        null = nulls.groupby("null")[score].mean().to_numpy()
        low, high = np.quantile(value - null, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
        p = float(permutation_test(np.asarray(value), null))
        yield "null", own[score].mean(), float(value - null.mean()), low, high, p, len(null)


def _paired(gains: Floats, confidence: float, rng: np.random.Generator) -> Gain:
    n = len(gains)
    signs = rng.choice([-1.0, 1.0], size=(N_DRAWS, n))
    p = float(permutation_test(np.abs(gains.mean()), np.abs(signs @ gains) / n))
    return (float(gains.mean()), *_around(float(gains.mean()), [_of_best(gains, gains, 0.0)], confidence)[:2], p, n)


def _unpaired(best: Best, other_best: Best, confidence: float, rng: np.random.Generator) -> Gain:
    own, other = best[0], other_best[0]
    gain = float(own.mean() - other.mean())
    orders = rng.permuted(np.tile(np.concatenate([own, other]), (N_DRAWS, 1)), axis=1)
    null = orders[:, : len(own)].mean(axis=1) - orders[:, len(own) :].mean(axis=1)
    p = float(permutation_test(np.asarray(abs(gain)), np.abs(null)))
    low, high, p_of_t = _around(gain, [_of_best(*best), _of_best(*other_best)], confidence)
    return gain, low, high, float(np.fmax(p, p_of_t)), len(own)


def _of_best(scores: Floats, liked: Floats, share_left: float) -> tuple[float, int]:
    """Return the variance of the mean score of the k images that are liked best, and its degrees of freedom.

    Another draw of N would have another worst of the best, x. The mean m above it moves by h (m − y) per unit of x, for
    y the score expected at x and h the hazard f / (k / N); x varies by (k / N)(1 − k / N) / (N f²). So the variance is
    (s² + share_left (m − y)²) / k, with share_left = 1 − k / N, and y of the line through the kept images.
    """
    k = len(scores)
    if k < 2:
        return np.nan, 0
    about = liked - liked.mean()
    slope = float(about @ (scores - scores.mean())) / max(float(about @ about), np.finfo(float).tiny)
    return float(scores.var(ddof=1) + share_left * (slope * about.min()) ** 2) / k, k - 1


def _around(gain: float, errors: Sequence[tuple[float, int]], confidence: float) -> tuple[float, float, float]:
    """Return low, high and two-sided p by Welch's t; NaN of a single image."""
    shares, dof = np.array(errors).T
    if not dof.all():
        return np.nan, np.nan, np.nan
    total = max(float(shares.sum()), np.finfo(float).tiny)
    of_all = 1 / max(float((np.square(shares / total) / dof).sum()), 1 / dof.sum())
    reach = float(stdtrit(of_all, (1 + confidence) / 2) * total**0.5)
    return gain - reach, gain + reach, 2 * float(stdtr(of_all, -abs(gain) / total**0.5))
