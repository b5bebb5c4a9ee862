"""What answers are worth when they are paired with the right stimuli, and when stimuli are exchanged.

Every answer is scored against every stimulus, so exchanging stimuli needs no new scores. Stimuli are exchanged as
wholes: all trials of one move together, and the number of distinct stimuli is what the test rests on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from brainalign.arrays import Rows, Values, label_codes
from brainalign.checks import BrainalignError, check_finite, check_rows, numbers
from brainalign.statistics.resampling import MIN_UNITS, Interval, expanded_tail, permutation_test, permute_within


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

    def against_null(self) -> dict[str, float]:
        """Return the columns of a table that hold the null: null_mean, null_sd, p."""
        return {"null_mean": self.null_mean, "null_sd": self.null_sd, "p": self.p}

    def counts(self) -> dict[str, int]:
        """Return the columns of a table that count: n_trials, n_stimuli."""
        return {"n_trials": self.n_trials, "n_stimuli": self.n_stimuli}


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
    scores = numbers("pair_scores", pair_scores, np.float64)
    check_rows("pair_scores", len(scores), "shown", len(shown), "name the right stimulus of every trial")
    check_finite("pair_scores", scores, "leave out the trials that have none")
    sums, stimuli = sums_by_stimulus(scores, shown)
    orders = exchanged(stimuli, scores.shape[1], groups, n_permutations, np.random.default_rng(seed))
    rows = np.arange(len(stimuli))
    value = sums[rows, stimuli].sum() / len(scores)
    null = sums[rows, orders].sum(axis=1) / len(scores)
    return PairingTest(float(value), null, float(permutation_test(np.asarray(value), null)), len(scores), len(stimuli))


def sums_by_stimulus(pair_scores: Values, shown: Rows) -> tuple[NDArray[np.float64], Rows]:
    """Return sums of scores (n_trials, n_stimuli, ...) over the trials of a shown stimulus, and which were shown."""
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


@dataclass(frozen=True)
class Exchange:
    """Labels of units: trials where each was shown for itself, stimuli where they repeat.

    Attributes
    ----------
    labels, units, blocks : array (n_trials,)
        All trials of a unit have one label and lie in one block (a recording; the training or the test stimuli).
    """

    labels: NDArray[Any]
    units: NDArray[Any]
    blocks: NDArray[Any]

    def __post_init__(self) -> None:
        for name in ("units", "blocks"):
            check_rows(name, len(getattr(self, name)), "labels", len(self.labels), "give one per trial")
        table = pd.DataFrame({"label": self.labels, "block": self.blocks}).groupby(np.asarray(self.units)).nunique()
        for name in ("label", "block"):
            if several := table.index[table[name] > 1].tolist():
                raise BrainalignError(
                    f"{len(several)} units have several {name}s (first: {several[0]!r}); what is exchanged as a whole "
                    f"must have one {name}"
                )

    def permuted(self, n_permutations: int, rng: np.random.Generator) -> NDArray[Any]:
        """Return labels exchanged between units of a block (n_permutations, n_trials)."""
        codes, first = self._units()
        orders = permute_within(np.asarray(self.blocks)[first], n_permutations, rng)
        return np.asarray(np.asarray(self.labels)[first][orders][:, codes])

    def draws(self, n_draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the counts of every trial (n_draws, n_trials): units with replacement, by block and label."""
        codes, first = self._units()
        strata = pd.DataFrame({"block": np.asarray(self.blocks)[first], "label": np.asarray(self.labels)[first]})
        counts = np.empty((n_draws, len(first)))
        for rows in strata.groupby(["block", "label"]).indices.values():
            counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=n_draws)
        return np.asarray(counts[:, codes])

    def _units(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the unit of every trial, and the first trial of every unit."""
        codes, _ = pd.factorize(np.asarray(self.units))
        return codes, np.unique(codes, return_index=True)[1]


def paired_differences_p(differences: Values, draws: Values, n_units: int) -> Values:
    """Return two-sided p of each difference, corrected for all of them by the largest one (max-statistic).

    The share of draws in which the largest of all studentised differences, each about its own mean, reaches the one at
    hand (Westfall and Young 1993). Unlike p times the number of pairs, it can be small however many pairs there are and
    however few draws. It is 1 where the draws of a pair do not vary: two scores that are the same.

    Parameters
    ----------
    differences : array (n_pairs,)
    draws : array (n_draws, n_pairs)
        The same differences under one bootstrap of what was measured (stimuli, subjects), row for row.
    n_units : int
        How many stimuli or subjects were resampled. Draws vary by 1 − 1 / n_units too little, and by chance a
        difference is as large as Student's t with n_units − 1 degrees of freedom.
    """
    check_rows("differences", len(differences), "columns of draws", draws.shape[1], "give the draws of each difference")
    spread = draws.std(axis=0, ddof=1)
    varies = spread > 1e-12 * np.abs(draws).max(axis=0, initial=0)
    p = np.ones(len(differences))
    t = differences[varies] / spread[varies] * np.sqrt(1 - 1 / n_units)
    p[varies] = largest_difference_p(t, n_units - 1, draws[:, varies])
    return p


def largest_difference_p(t: Values, dof: float, draws: Values) -> Values:
    """Return two-sided p of each t value, corrected by the largest of the studentised draws (n_draws, n_pairs).

    The draws say how differences go together; how large one gets by chance is Student's t, whose degrees of freedom the
    draws know nothing of. So |t| is carried to the normal scale, on which the draws' studentised differences are.
    Columns that do not vary take no part; a t of NaN stays NaN.
    """
    spread = draws.std(axis=0)
    varies = spread > 0
    studentised = np.abs(draws - draws.mean(axis=0))[:, varies] / spread[varies]
    largest = studentised.max(axis=1) if studentised.size else np.empty(0)
    # The tail itself, rather than 1 - cdf, keeps |t| of 40 and of 80 apart.
    tail = stdtr(dof, -np.abs(t))
    z = -ndtri(np.maximum(tail, np.exp(-700.0)))
    # The largest of many differences is never less likely to be large than one of them.
    return np.maximum(permutation_test(z, largest, correct="max"), 2 * tail)


def crossed_bootstrap(
    values: NDArray[np.floating[Any]],
    subjects: NDArray[Any],
    stimuli: NDArray[Any],
    confidence: float = 0.95,
    n_draws: int = 2000,
    seed: int = 0,
    *,
    general: bool = True,
) -> Interval:
    """Return the mean over trials with an expanded percentile interval over draws of subjects and stimuli.

    Both are drawn with replacement; a trial counts as often as its subject is drawn times as often as its stimulus is.
    Percentiles are those of `bootstrap` for the fewer of both. Draws hold three times what single cells vary by; with
    `MIN_UNITS` subjects or more it is counted once: else 95 % intervals of gains covered 99 to 100 %. With one subject
    only stimuli are drawn, and the interval speaks of that subject. Draws of 2 to 5 are too narrow for people in
    general (.76 to .91 where people differ much): there the interval is by Student's t, of the variance over subjects
    and of that over stimuli, each with its degrees of freedom, unless `general` is False. Fewer than `MIN_UNITS`
    stimuli are refused. `n` of the interval is the number of distinct stimuli.

    References
    ----------
    Owen AB (2007). The pigeonhole bootstrap. Annals of Applied Statistics 1:386-411. doi:10.1214/07-AOAS122
    Cameron AC, Gelbach JB, Miller DL (2011). Robust inference with multiway clustering. Journal of Business & Economic
    Statistics 29:238-249. doi:10.1198/jbes.2010.07136
    """
    values = numbers("values", values, np.float64)
    for name, labels in (("subjects", subjects), ("stimuli", stimuli)):
        check_rows(name, len(labels), "values", len(values), "give one label per trial")
    subject, subject_names = label_codes("subjects", subjects)
    stimulus, stimulus_names = label_codes("stimuli", stimuli)
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
    total, drawn = (((of_subjects @ cells) * of_stimuli).sum(axis=1) for cells in (sums, counts))
    means = total[drawn > 0] / drawn[drawn > 0]  # with gaps in the design a draw may hold no trial
    tail = expanded_tail(min(n for n in (n_subjects, n_stimuli) if n >= MIN_UNITS), confidence)
    mean, ends = values.mean(), np.quantile(means, [tail, 1 - tail])
    off = sums - mean * counts
    by_subject, by_stimulus, by_cell = (np.square(part).sum() for part in (off.sum(axis=1), off.sum(axis=0), off))
    if n_subjects >= MIN_UNITS and by_cell > 0:
        once = max(by_subject + by_stimulus - by_cell, by_subject, by_stimulus)
        ends = mean + np.sqrt(once / (by_subject + by_stimulus + by_cell)) * (ends - mean)
    elif n_subjects > 1 and general:
        of = np.array([n_subjects, n_stimuli])
        by_subject, by_stimulus = np.array([by_subject, by_stimulus]) * of / (of - 1)
        once = [by_subject, max(by_stimulus - by_cell, by_stimulus - by_subject, 0)]
        reach = np.sqrt(np.square(stdtrit(of - 1, (1 + confidence) / 2)) @ once) / len(values)
        ends = np.clip([mean - reach, mean + reach], values.min(), values.max())
    return Interval(float(mean), float(ends[0]), float(ends[1]), n_stimuli)
