"""Which of several scores differ, when all were resampled together."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtr

from brainalign.arrays import Values
from brainalign.checks import check_rows
from brainalign.statistics.resampling import permutation_test


def paired_differences_p(differences: Values, draws: Values, n_units: int) -> Values:
    """Return two-sided p of each difference, corrected for all of them by the largest one (max-statistic).

    The share of draws in which the largest of all studentised differences, each about its own mean, reaches the one at
    hand. Unlike p times the number of pairs, it can be small however many pairs there are and however few draws.

    Parameters
    ----------
    differences : array (n_pairs,)
    draws : array (n_draws, n_pairs)
        The same differences under one bootstrap of what was measured (stimuli, subjects), row for row.
    n_units : int
        How many stimuli or subjects were resampled. Draws vary by 1 − 1 / n_units too little, and by chance a
        difference is as large as Student's t with n_units − 1 degrees of freedom.

    Returns
    -------
    array (n_pairs,)
        1 where the draws of a pair do not vary: two scores that are the same.

    Raises
    ------
    BrainalignError
        If there is not one column of draws for each difference.

    References
    ----------
    Westfall PH, Young SS (1993). Resampling-based multiple testing. Wiley.
    """
    check_rows("differences", len(differences), "columns of draws", draws.shape[1], "give the draws of each difference")
    spread = draws.std(axis=0, ddof=1)
    varies = spread > 1e-12 * np.abs(draws).max(axis=0, initial=0)
    p = np.ones(len(differences))
    t = differences[varies] / spread[varies] * np.sqrt(1 - 1 / n_units)
    p[varies] = largest_difference_p(t, n_units - 1, draws[:, varies])
    return p


def largest_difference_p(t: Values, dof: float, draws: Values) -> Values:
    """Return two-sided p of each t value, corrected by the largest of the studentised draws.

    The draws say how differences go together; how large one gets by chance is Student's t, whose degrees of freedom
    the draws know nothing of. So |t| is carried to the normal scale, on which the draws' studentised differences are.

    Parameters
    ----------
    t : array (n_pairs,)
        NaN stays NaN.
    dof : float
    draws : array (n_draws, n_pairs)
        Columns that do not vary take no part.
    """
    spread = draws.std(axis=0)
    varies = spread > 0
    studentised = np.abs(draws - draws.mean(axis=0))[:, varies] / spread[varies]
    largest = studentised.max(axis=1) if studentised.size else np.empty(0)
    # The tail itself, rather than 1 - cdf, keeps |t| of 40 and of 80 apart.
    tail = stdtr(dof, -np.abs(t))
    z = -ndtri(np.maximum(tail, np.exp(-700.0)))
    # The largest of many differences is never less likely to be large than one of them.
    p: Values = np.maximum(permutation_test(z, largest, correct="max"), 2 * tail)
    return p
