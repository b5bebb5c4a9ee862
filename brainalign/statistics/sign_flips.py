"""Random effects over subjects: a one-sample t of every target, against flips of the subjects' signs.

t = mean / (sd / √n); under the null a subject's map is as likely with the other sign, whole maps at a time, so that the
largest statistic over targets of every flip corrects for all targets, however these depend on each other. Of few
subjects the largest t is that of whichever target happens to vary least; what is corrected is therefore

    pseudo-t = mean / (sd / √n + s₀)

with s₀ the median over targets of the root mean square over subjects, by √n, which flips leave as it is.

Flips know nothing of stimuli: what a model shares by accident with those that all subjects saw is in all of them, and
the surer the more they are. A claim beyond these stimuli needs a test over stimuli as well.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, numbers
from brainalign.statistics.resampling import permutation_test

MOST_FLIPS = 4096
BLOCK = 64


def sign_flip_test(scores: Values, seed: int) -> tuple[NDArray[np.float64], Values, Values]:
    """Test whether the mean over subjects is above 0 in every target.

    Parameters
    ----------
    scores : array (n_subjects, n_targets)
        0 where there is no effect, as many above as below; r as Fisher's z.
    seed : int
        Of the flips where there are more than 4,096; else all are made.

    Returns
    -------
    t, p, p_fwer : array (n_targets,)
        One-sided; p_fwer of pseudo-t, against the largest one over targets of every flip. NaN where a score is NaN.

    References
    ----------
    Nichols TE, Holmes AP (2002). Nonparametric permutation tests for functional neuroimaging. Human Brain Mapping
    15:1-25. doi:10.1002/hbm.1058
    """
    scores = numbers("scores", scores, np.float64)
    if scores.ndim != 2 or len(scores) < 2:
        raise BrainalignError(f"scores have shape {scores.shape}; give subjects × targets, 2 subjects or more")
    n = len(scores)
    if 2**n <= MOST_FLIPS:
        flips = np.array(list(product((1.0, -1.0), repeat=n)))[1:]  # the first one flips nobody
    else:
        flips = np.random.default_rng(seed).choice((1.0, -1.0), (MOST_FLIPS - 1, n))
    squares = (scores**2).sum(axis=0)

    known = np.isfinite(squares)
    shrinking = float(np.median(np.sqrt(squares[known]))) / n if known.any() else 0.0

    def t_of(means: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        spread = np.sqrt(np.maximum(squares - n * means**2, 1e-12 * squares) / (n - 1))  # squares stay under flips
        with np.errstate(invalid="ignore", divide="ignore"):
            return means / (spread / np.sqrt(n)), means / (spread / np.sqrt(n) + shrinking)

    t, pseudo = t_of(scores.mean(axis=0))
    reached, maxima = np.zeros(len(t)), []
    for block in np.array_split(flips, -(-len(flips) // BLOCK)):  # whole brains are large
        null, of_map = t_of(block @ scores / n)
        reached += (null >= t - 1e-9 * np.abs(t)).sum(axis=0)
        maxima.append(np.nanmax(of_map, axis=1, initial=-np.inf))
    known = np.isfinite(t)
    p = np.where(known, (1 + reached) / (1 + len(flips)), np.nan)
    p_fwer = permutation_test(np.where(known, pseudo, 0), np.concatenate(maxima), "max")
    return t, p, np.where(known, p_fwer, np.nan)
