"""Intervals of a mean over trials that share subjects and stimuli: both are drawn anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows
from brainalign.statistics.resampling import MIN_UNITS, Interval


def crossed_bootstrap(
    values: NDArray[np.floating[Any]],
    subjects: NDArray[Any],
    stimuli: NDArray[Any],
    confidence: float = 0.95,
    n_draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the mean over trials with a percentile interval over subjects and stimuli drawn with replacement.

    A trial counts as often as its subject is drawn times as often as its stimulus is. For means this errs on the wide
    side. With one subject only stimuli are drawn, and the interval speaks of that subject; with fewer than `MIN_UNITS`
    subjects it is still too narrow for people in general.

    Parameters
    ----------
    values : array (n_trials,)
    subjects, stimuli : array (n_trials,)
    confidence : float
    n_draws : int
    seed : int

    Returns
    -------
    Interval
        `n` is the number of distinct stimuli.

    Raises
    ------
    BrainalignError
        With fewer than `MIN_UNITS` stimuli, a value that is not finite, or labels that do not fit.

    References
    ----------
    Owen AB (2007). The pigeonhole bootstrap. Annals of Applied Statistics 1:386-411. doi:10.1214/07-AOAS122
    """
    values = np.asarray(values, dtype=np.float64)
    for name, labels in (("subjects", subjects), ("stimuli", stimuli)):
        check_rows(name, len(labels), "values", len(values), "give one label per trial")
    subject, subject_names = pd.factorize(np.asarray(subjects))
    stimulus, stimulus_names = pd.factorize(np.asarray(stimuli))
    n_subjects, n_stimuli = len(subject_names), len(stimulus_names)
    if n_stimuli < MIN_UNITS or not np.isfinite(values).all():
        raise BrainalignError(
            f"an interval needs {MIN_UNITS} distinct stimuli or more and finite values; got {n_stimuli} stimuli and "
            f"{int((~np.isfinite(values)).sum())} values that are not finite; report the values themselves"
        )
    sums, counts = np.zeros((2, n_subjects, n_stimuli))
    np.add.at(sums, (subject, stimulus), values)
    np.add.at(counts, (subject, stimulus), 1)
    rng = np.random.default_rng(seed)
    of_subjects = np.ones((n_draws, 1))
    if n_subjects > 1:
        of_subjects = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n_draws).astype(float)
    of_stimuli = rng.multinomial(n_stimuli, np.full(n_stimuli, 1 / n_stimuli), size=n_draws)
    total = ((of_subjects @ sums) * of_stimuli).sum(axis=1)
    drawn = ((of_subjects @ counts) * of_stimuli).sum(axis=1)
    means = total[drawn > 0] / drawn[drawn > 0]  # with gaps in the design a draw may hold no trial
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(values.mean()), float(low), float(high), n_stimuli)
