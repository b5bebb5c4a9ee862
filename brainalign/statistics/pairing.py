"""What answers are worth when they are paired with the right stimuli, and when stimuli are exchanged.

Every answer is scored against every stimulus, so exchanging stimuli needs no new scores. Stimuli are exchanged as
wholes: all trials of one move together, and the number of distinct stimuli is what the test rests on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.statistics.resampling import permutation_test, permute_within


@dataclass(frozen=True)
class PairingTest:
    """The mean score of right pairs beside the same mean after exchanges of stimuli.

    Attributes
    ----------
    value : float
    null : array (n_permutations,)
    p : float
        One-sided: how often an exchange does as well, (1 + count) / (1 + n_permutations).
    n_trials, n_stimuli : int
        Distinct stimuli that were shown.
    """

    value: float
    null: NDArray[np.float64]
    p: float
    n_trials: int
    n_stimuli: int

    @property
    def null_mean(self) -> float:
        """Return the mean of the null."""
        return float(self.null.mean())

    @property
    def null_sd(self) -> float:
        """Return the standard deviation of the null."""
        return float(self.null.std(ddof=1))


def pairing_test(
    pair_scores: Values, shown: Rows, groups: NDArray[Any] | None = None, n_permutations: int = 1000, seed: int = 0
) -> PairingTest:
    """Test the mean score of right pairs against exchanges of distinct stimuli.

    Parameters
    ----------
    pair_scores : array (n_trials, n_stimuli)
        Score of the answer of a trial if the stimulus were the right one; more is better.
    shown : array (n_trials,) of int
        Column of the right stimulus.
    groups : array (n_stimuli,), optional
        Stimuli change places within their group only, for example the task they were shown in.
    n_permutations : int
    seed : int

    Raises
    ------
    BrainalignError
        If rows or columns do not fit, or no two stimuli can be exchanged.

    References
    ----------
    Phipson B, Smyth GK (2010). Permutation p-values should never be zero. doi:10.2202/1544-6115.1585

    Examples
    --------
    >>> test = pairing_test(np.eye(8)[[0, 0, 1, 2, 3, 4, 5, 6, 7]], np.array([0, 0, 1, 2, 3, 4, 5, 6, 7]))
    >>> test.value, test.n_stimuli, bool(test.p < 0.01)
    (1.0, 8, True)
    """
    scores = np.asarray(pair_scores, dtype=np.float64)
    check_rows("pair_scores", len(scores), "shown", len(shown), "name the right stimulus of every trial")
    sums, stimuli = sums_by_stimulus(scores, shown)
    orders = exchanged(stimuli, scores.shape[1], groups, n_permutations, np.random.default_rng(seed))
    rows = np.arange(len(stimuli))
    value = sums[rows, stimuli].sum() / len(scores)
    null = sums[rows, orders].sum(axis=1) / len(scores)
    p = float(permutation_test(np.asarray(value), null))
    return PairingTest(float(value), null, p, len(scores), len(stimuli))


def sums_by_stimulus(pair_scores: Values, shown: Rows) -> tuple[NDArray[np.float64], Rows]:
    """Return sums over the trials of a shown stimulus (n_shown, n_stimuli, ...), and which stimuli were shown.

    Parameters
    ----------
    pair_scores : array (n_trials, n_stimuli, ...)
    shown : array (n_trials,) of int
    """
    stimuli, row = np.unique(shown, return_inverse=True)
    sums = np.zeros((len(stimuli), *pair_scores.shape[1:]))
    np.add.at(sums, row, pair_scores)
    return sums, stimuli


def exchanged(
    stimuli: Rows, n_stimuli: int, groups: NDArray[Any] | None, n_permutations: int, rng: np.random.Generator
) -> Rows:
    """Draw the stimulus that takes the place of every shown one, within groups (n_permutations, n_shown).

    Parameters
    ----------
    stimuli : array (n_shown,) of int
    n_stimuli : int
        Shown or not.
    groups : array (n_stimuli,), optional
    n_permutations : int
    rng : Generator

    Raises
    ------
    BrainalignError
        If `groups` does not fit, or every group has a single shown stimulus.
    """
    labels = np.zeros(n_stimuli, dtype=int) if groups is None else np.asarray(groups)
    check_rows("groups", len(labels), "stimuli", n_stimuli, "give one group per distinct stimulus, not per trial")
    counts = np.unique(labels[stimuli], return_counts=True)[1]
    if counts.max() < 2:
        raise BrainalignError(
            f"{len(stimuli)} shown stimuli lie in {len(counts)} groups of one: none can be exchanged; give wider groups"
        )
    return np.asarray(stimuli[permute_within(labels[stimuli], n_permutations, rng)])
