"""How good a comparison of RDMs can get, and how good it gets by chance."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice
from brainalign.condensed import condensed_rdms, square_rdms
from brainalign.geometry.inference.comparisons import compare, pooled_rdm
from brainalign.geometry.rdms import Precision, rank_rdms, rdm
from brainalign.statistics import permutation_test

FEW_STIMULI = 7  # fewer have less than 5,040 orders


def replicate_rdms(
    patterns: Values,
    method: str,
    conditions: NDArray[Any],
    runs: NDArray[Any],
    precision: Precision | None = None,
) -> Values:
    """Return RDMs of disjoint pairs of runs: independent measurements of one subject's geometry.

    Two runs are the fewest a crossnobis distance can be taken from; an odd last run joins no pair.

    Parameters
    ----------
    patterns, method, conditions, runs, precision
        As for `rdm`.

    Returns
    -------
    array (n_runs // 2, n_pairs)
        Pairs of all conditions, in the order of their first appearance; NaN for those that a pair of runs does not
        hold, which `compare` and `rdm_noise_ceiling` take as missing.
    """
    names = np.unique(runs)
    pairs = names[: 2 * (len(names) // 2)].reshape(-1, 2)
    codes, every = pd.factorize(np.asarray(conditions))
    i, j = np.triu_indices(len(every), 1)
    found = np.full((len(pairs), len(i)), np.nan)
    for row, pair in zip(found, pairs, strict=True):
        rows = np.flatnonzero(np.isin(runs, pair))
        rows = rows[np.argsort(codes[rows], kind="stable")]
        held = np.isin(np.arange(len(every)), codes[rows])
        row[held[i] & held[j]] = rdm(patterns[rows], method, conditions[rows], runs[rows], precision)
    return found


def session_average(rdms: Values) -> Values:
    """Return one RDM per subject: the mean of the ranks within each session, ranked again.

    Sessions differ in noise and so in the scale of their dissimilarities; ranks give each the same say.

    Parameters
    ----------
    rdms : array (n_subjects, n_sessions, n_pairs)
        NaN marks missing pairs; a pair is averaged over the sessions that have it.

    Returns
    -------
    array (n_subjects, n_pairs)
        Ranks from 1; of a single session as well. NaN where no session has the pair.
    """
    rdms = condensed_rdms("rdms", rdms, "n_subjects", "n_sessions", some_pairs=True)
    return rank_rdms(np.stack([pooled_rdm(sessions, "spearman") for sessions in rdms]))


def rdm_noise_ceiling(rdms: Values, method: str, sigma_k: Values | None = None) -> tuple[float, float]:
    """Return the band in which the true model would fall: each RDM against the mean of the others, and of all.

    Parameters
    ----------
    rdms : array (n_replicates, n_pairs)
        Independent measurements of one geometry: subjects, or disjoint sets of runs of one subject.
    method, sigma_k
        As for `compare`.

    Returns
    -------
    lower, upper : float
        NaN where no replicate compares with the others.

    Raises
    ------
    BrainalignError
        With fewer than 2 replicates.

    References
    ----------
    Nili H et al. (2014). A toolbox for representational similarity analysis. PLoS Computational Biology 10:e1003553.
    doi:10.1371/journal.pcbi.1003553
    """
    rdms = condensed_rdms("rdms", rdms, "n_replicates", some_pairs=True)
    n = len(rdms)
    if n < 2:
        raise BrainalignError(f"a noise ceiling compares replicates with each other and needs 2 or more; got {n}")
    everything = pooled_rdm(rdms, method)
    upper = compare(rdms, everything, method, sigma_k)
    lower = [compare(rdms[s], pooled_rdm(np.delete(rdms, s, axis=0), method), method, sigma_k) for s in range(n)]
    return mean_of_defined(np.array(lower)), mean_of_defined(upper)


def mean_of_defined(values: Values) -> float:
    """Compute the mean of all finite values: a replicate that is constant compares with nothing and is left out."""
    defined = np.isfinite(values)
    return float(values[defined].mean()) if defined.any() else np.nan


@dataclass(frozen=True)
class RdmTest:
    """How well a model's RDM fits, and by chance.

    Attributes
    ----------
    score : float
        Comparison averaged over the replicates that have one; NaN where none has.
    per_replicate : array (n_replicates,)
        NaN for an RDM that is constant, which is left out of score and null alike.
    p : float
        One-sided; NaN for an RDM whose pairs are all equal, which no permutation changes.
    null : array (n_permutations,)
    """

    score: float
    per_replicate: Values
    p: float
    null: Values

    @property
    def n_undefined(self) -> int:
        """Replicates left out because they compare with nothing."""
        return int(np.isnan(self.per_replicate).sum())

    @classmethod
    def over(cls, per_replicate: Values, nulls: Values) -> RdmTest:
        """Return the test of the mean over replicates, each with its null (n_replicates, n_permutations)."""
        there = np.isfinite(per_replicate)
        if not there.any():
            return cls(np.nan, per_replicate, np.nan, np.full(nulls.shape[1], np.nan))
        score, null = float(per_replicate[there].mean()), nulls[there].mean(axis=0)
        return cls(score, per_replicate, float(permutation_test(np.asarray(score), null)), null)


def rdm_permutation_test(
    rdms: Values, model: Values, method: str, n_permutations: int, rng: np.random.Generator
) -> RdmTest:
    """Test whether a model's geometry fits better than with its stimuli exchanged.

    Parameters
    ----------
    rdms : array (n_replicates, n_pairs)
    model : array (n_pairs,)
    method : str
        As for `compare`.
    n_permutations : int
        Drawn with repetition; with few stimuli, ask for fewer than there are (7 stimuli have 5,040).
    rng : Generator
    """
    rdms, model = condensed_rdms("rdms", rdms, "n_replicates"), condensed_rdms("model", model)
    square = square_rdms(model)
    i, j = np.triu_indices(len(square), 1)
    orders = stimulus_orders(len(square), n_permutations, rng)
    per_replicate = compare(rdms, model, method)[:, 0]
    found = RdmTest.over(per_replicate, compare(rdms, square[orders[:, i], orders[:, j]], method))
    equal = np.ptp(model) <= 1e-9 * np.abs(model).max()
    return replace(found, p=np.nan) if equal else found


def stimulus_orders(n_stimuli: int, n_permutations: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw orders of the stimuli (n_permutations, n_stimuli), with a warning where there are few."""
    warn_of_few_orders(n_stimuli, stacklevel=4)
    return rng.permuted(np.tile(np.arange(n_stimuli), (n_permutations, 1)), axis=1)


def warn_of_few_orders(n_stimuli: int, stacklevel: int = 3) -> None:
    """Warn where the orders of the stimuli are too few for small p values."""
    if n_stimuli < FEW_STIMULI:
        warnings.warn(
            f"{n_stimuli} stimuli have {math.factorial(n_stimuli)} orders: p values are coarse and seldom small; use "
            f"{FEW_STIMULI} stimuli or more",
            RuntimeWarning,
            stacklevel=stacklevel,
        )


def fixed_test(
    per_subject: Values, contrasts: Values | None = None, test: Literal["t", "wilcoxon"] = "t", two_sided: bool = True
) -> tuple[Values, Values]:
    """Test scores of models over subjects, for these very stimuli: nothing is said of others.

    Parameters
    ----------
    per_subject : array (n_subjects, n_models)
        As `DualBootstrap.per_subject`; subjects without a score are left out.
    contrasts : array (n_contrasts, n_models), optional
        A difference has 1 and -1; by default each model against 0.
    test : {"t", "wilcoxon"}
        Student's t over subjects, or Wilcoxon's signed ranks.
    two_sided : bool

    Returns
    -------
    statistic, p : array (n_contrasts,)

    Raises
    ------
    BrainalignError
        With fewer than 2 subjects.

    References
    ----------
    Nili H et al. (2014). A toolbox for representational similarity analysis. PLoS Computational Biology 10:e1003553.
    doi:10.1371/journal.pcbi.1003553
    """
    from scipy.stats import ttest_1samp, wilcoxon

    check_choice("test", test, {"t", "wilcoxon"})
    if len(per_subject) < 2:
        raise BrainalignError(f"a test over subjects needs 2 or more; got {len(per_subject)}")
    values = per_subject if contrasts is None else per_subject @ contrasts.T
    compare_with_0 = ttest_1samp if test == "t" else wilcoxon
    options = {"popmean": 0.0} if test == "t" else {}
    sides = "two-sided" if two_sided else "greater"
    found = [compare_with_0(column[np.isfinite(column)], alternative=sides, **options) for column in values.T]
    return np.array([result.statistic for result in found]), np.array([result.pvalue for result in found])
