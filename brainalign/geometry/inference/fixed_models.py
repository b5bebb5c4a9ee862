"""How good a comparison of RDMs can get, how good it gets by chance, and over and above other models."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, generator
from brainalign.condensed import condensed_rdms, exchanged_rdms, n_stimuli_of, square_rdms
from brainalign.geometry.inference.comparisons import COMPARISONS, compare, pooled_rdm, whitened_equally
from brainalign.geometry.rdms import Precision, are_constant, design_of, float64_of, rank_rdms, rdm
from brainalign.statistics import permutation_test

FEW_STIMULI = 7  # fewer have less than 5,040 orders
VALUES = 2**23  # of regressors whose stimuli are exchanged at once
N_SPLITS = 10  # into halves
LEAST_SUBJECTS = 4  # fewer say little of others


def split_half_rdms(
    patterns: Values,
    method: str,
    conditions: NDArray[Any],
    runs: NDArray[Any],
    precision: Precision | None = None,
    *,
    seed: int = 0,
) -> Values:
    """Return RDMs of halves of the runs (n_splits, 2, n_pairs), runs drawn anew for each of ten splits.

    Halves are of n_runs // 2 runs, so that of an odd number one is in neither. A crossnobis distance takes two runs at
    the least; of fewer than four, as of one run otherwise, n_splits is 0. Arguments are those of `rdm`, but every run
    holds every condition.

    Raises
    ------
    BrainalignError
        If a half lacks a condition.
    """
    values = float64_of(patterns)
    design = design_of(len(values), conditions, runs)
    codes, every, names = design.conditions, design.condition_names, design.run_names
    of_each = len(names) // 2
    own: Any = precision if isinstance(precision, Sequence) or getattr(precision, "ndim", 2) == 3 else None
    rng, found = np.random.default_rng(seed), []
    splits = 0 if of_each < (2 if method == "crossnobis" else 1) else 1 if len(names) == 2 else N_SPLITS
    for order in (rng.permutation(len(names)) for _ in range(splits)):
        for part in (order[:of_each], order[of_each : 2 * of_each]):
            rows = np.flatnonzero(np.isin(design.runs, part))
            rows = rows[np.argsort(codes[rows], kind="stable")]  # pairs in the order that those of all runs have
            if len(np.unique(codes[rows])) < len(every):
                raise BrainalignError(f"runs {', '.join(map(str, names[part]))} lack a condition; leave out such runs")
            # One precision per run, in the order in which runs appear, as `rdm` takes them.
            whitening: Any = precision if own is None else [own[run] for run in pd.unique(design.runs[rows])]
            found.append(rdm(values[rows], method, codes[rows], design.runs[rows], whitening))
    return np.reshape(found, (splits, 2, len(every) * (len(every) - 1) // 2))


def split_half_ceiling(halves: Values, method: str, times: float = 2.0) -> tuple[float, float]:
    """Bound how well the true geometry compares with the RDM of all runs, given RDMs of halves of them.

    If c is how well it compares with the RDM of m runs, halves compare with each other as c² (errors are independent),
    and 1/c² - 1, noise over signal, is a/m + b/m²: of products of signal and noise, and of noise and noise. That of k
    times as many runs lies between 1/k of it (b = 0, as in Spearman and Brown's formula) and 1/k² (a = 0).

    Parameters
    ----------
    halves : array (n_splits, 2, n_pairs)
        From `split_half_rdms`.
    method : str
        As for `compare`.
    times : float
        How often the runs of a half are in those of all data: 2, but 3 of three runs.

    Returns
    -------
    low, high : float
        0 where halves are not alike, NaN without a split.
    """
    alike = mean_of_defined(np.array([compare(one, other, method)[0, 0] for one, other in halves]))
    if not alike > 0:
        return (alike, alike) if np.isnan(alike) else (0.0, 0.0)
    noise = 1 / min(alike, 1.0) - 1
    return (1 + noise / times) ** -0.5, (1 + noise / times**2) ** -0.5


def session_average(rdms: Values) -> Values:
    """Return one RDM per subject: the mean of the ranks within each session, ranked again.

    Sessions differ in noise and so in the scale of their dissimilarities; ranks give each the same say. NaN marks
    missing pairs (n_subjects, n_sessions, n_pairs); a pair is averaged over the sessions that have it. Ranks start at
    1, of a single session as well.
    """
    rdms = condensed_rdms("rdms", rdms, "n_subjects", "n_sessions", some_pairs=True)
    return rank_rdms(np.stack([pooled_rdm(sessions, "spearman") for sessions in rdms]))


def rdm_noise_ceiling(rdms: Values, method: str, sigma_k: Values | None = None) -> tuple[float, float]:
    """Return the band in which the true model would fall: each RDM against the mean of the others, and of all.

    `rdms` (n_replicates, n_pairs), two or more, are independent measurements of one geometry: subjects. The rest is as
    for `compare`. NaN where no replicate compares with the others.

    References
    ----------
    Nili H et al. (2014). A toolbox for representational similarity analysis. doi:10.1371/journal.pcbi.1003553
    """
    rdms = condensed_rdms("rdms", rdms, "n_replicates", some_pairs=True)
    n = len(rdms)
    if n < 2:
        raise BrainalignError(f"a noise ceiling compares replicates with each other and needs 2 or more; got {n}")
    upper = compare(rdms, pooled_rdm(rdms, method), method, sigma_k)
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

    @property
    def null_mean(self) -> float:
        """Mean over the permutations that compare with something."""
        return mean_of_defined(self.null)

    @classmethod
    def over(cls, per_replicate: Values, nulls: Values) -> Self:
        """Return the test of the mean over replicates, each with its null (n_replicates, n_permutations)."""
        there = np.isfinite(per_replicate)
        if not there.any():
            return cls(np.nan, per_replicate, np.nan, np.full(nulls.shape[1], np.nan))
        score, null = float(per_replicate[there].mean()), nulls[there].mean(axis=0)
        made = null[np.isfinite(null)]  # where pairs are missing, some orders compare with nothing
        p = float(permutation_test(np.asarray(score), made)) if len(made) else np.nan
        return cls(score, per_replicate, p, null)


def rdm_permutation_test(
    rdms: Values, model: Values, method: str, n_permutations: int, rng: np.random.Generator
) -> RdmTest:
    """Test whether a model's geometry fits RDMs (n_replicates, n_pairs) better than with its stimuli exchanged.

    Permutations are drawn with repetition; with few stimuli, ask for fewer than there are (7 stimuli have 5,040).
    """
    rdms, model = condensed_rdms("rdms", rdms, "n_replicates"), condensed_rdms("model", model)
    orders = stimulus_orders(n_stimuli_of(len(model)), n_permutations, rng)
    found = RdmTest.over(compare(rdms, model, method)[:, 0], compare(rdms, exchanged_rdms(model, orders), method))
    equal = np.ptp(model) <= 1e-9 * np.abs(model).max()
    return replace(found, p=np.nan) if equal else found


def stimulus_orders(n_stimuli: int, n_permutations: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw orders of the stimuli (n_permutations, n_stimuli), with a warning where there are few."""
    warn_of_few_orders(n_stimuli, stacklevel=4)
    return generator(rng).permuted(np.tile(np.arange(n_stimuli), (n_permutations, 1)), axis=1)


def warn_of_few_orders(n_stimuli: int, stacklevel: int = 3) -> None:
    """Warn where the orders of the stimuli are too few for small p values."""
    if n_stimuli < FEW_STIMULI:
        warnings.warn(
            f"{n_stimuli} stimuli have {math.factorial(n_stimuli)} orders: p values are coarse and seldom small; use "
            f"{FEW_STIMULI} stimuli or more",
            RuntimeWarning,
            stacklevel=stacklevel,
        )


@dataclass(frozen=True)
class PartialTest(RdmTest):
    """What a model explains beyond others, over stimuli and over subjects; `p` is the larger of both.

    Attributes
    ----------
    p_stimuli : float
        Residuals exchanged between stimuli (Freedman and Lane).
    p_subjects : float
        One-sided t test of `per_replicate` against 0; NaN for fewer than 4.
    """

    p_stimuli: float = np.nan
    p_subjects: float = np.nan


def rdm_partial_test(
    rdms: Values,
    model: Values,
    others: Values,
    method: str,
    n_permutations: int,
    rng: np.random.Generator,
    *,
    strengths: bool = False,
) -> RdmTest:
    """Test whether a model's geometry fits once that of other models is accounted for (Freedman and Lane).

    The score is the partial comparison: what is left of the RDM and of the model after regression on the others. Under
    the null the others explain all there is but noise, so it is the residuals whose stimuli are exchanged; they are put
    back on what the others explain and everything is fitted again. Exchanging the model instead would break its
    relation to the others and call relatives of the true model significant.

    Residuals of stimuli are not quite alike: where there is little noise they are what each subject makes of the true
    geometry, larger for pairs that are far apart, and exchanging them gives too narrow a null. Those of subjects are
    independent, so with four replicates or more the scores must differ from 0 over them as well: p is the larger of
    both. That needs replicates with maps of their own, subjects; of replicates of one subject `p_subjects` says little.

    Ranks of sums are curved in the ranks of the summands, and a relative of the true model is curved alike: of ranks,
    the others explain by their squares and cubes as well.

    Chance findings called at .05 with two others, 14 stimuli, 6 subjects and signal of 1 to 10 times the noise (300
    studies each): by exchange of stimuli alone .03 to .08 for Pearson's r, .04 to .07 whitened, .06 to .13 for
    Spearman's; by both .01 to .05, .01 to .03, and .02 to .08. Of 1 to 3 there is the exchange alone: .08 to .20.

    Parameters
    ----------
    rdms : array (n_replicates, n_pairs)
        Of subjects, or replicates of one; scores are averaged over them.
    model : array (n_pairs,)
    others : array (n_others, n_pairs)
    method : {"pearson", "spearman", "cosine", "whitened-pearson", "whitened-cosine"}
        Partial correlation of dissimilarities or of their ranks; cosine: regression through zero; whitened:
        generalised least squares. Cosines need distances without bias, as crossnobis is: to others noise adds a
        constant, which they take for geometry (.8 of chance findings called; .06 of crossnobis).
    n_permutations : int
    rng : Generator
    strengths : bool
        For correlation distances. What is added to patterns, noise or more features, takes most of the correlations of
        weak stimuli, of brains and models alike, which others do not explain (.11 to 1 of chance findings called of 14
        to 90 stimuli, .03 to .12 with this). Others explain by their correlations times each stimulus's strength, then.

    Returns
    -------
    PartialTest
        NaN for a model that is a sum of the others. An RDM that is constant, or that they explain wholly, is left out
        (`n_undefined`).

    Warns
    -----
    RuntimeWarning
        With "spearman", or fewer than four replicates, whose p is too small.

    Raises
    ------
    BrainalignError
        If pairs are missing or their numbers differ.

    References
    ----------
    Freedman D, Lane D (1983). A nonstochastic interpretation of reported significance levels. Journal of Business and
    Economic Statistics 1:292-298. doi:10.1080/07350015.1983.10509354
    Winkler AM, Ridgway GR, Webster MA, Smith SM, Nichols TE (2014). Permutation inference for the general linear model.
    NeuroImage 92:381-397. doi:10.1016/j.neuroimage.2014.01.060
    Dekker D, Krackhardt D, Snijders TAB (2007). Sensitivity of MRQAP tests to collinearity and autocorrelation
    conditions. Psychometrika 72:563-581. doi:10.1007/s11336-007-9016-1
    """
    y, x, z = _forms(rdms, model, others, method, strengths)
    if COMPARISONS[method].ranks or len(y) < LEAST_SUBJECTS:
        warnings.warn(
            f"partial tests of {LEAST_SUBJECTS} subjects or more call .05 of chance findings at .05 for 'pearson' and "
            f"'whitened-pearson', .07 of ranks, and up to .20 of fewer subjects; these are {method} of {len(y)}",
            RuntimeWarning,
            stacklevel=2,
        )
    weigh = whitened_equally if COMPARISONS[method].whiten else np.asarray
    inverse = np.linalg.pinv(z @ weigh(z).T, rcond=1e-10, hermitian=True)
    rest_y, rest_x = (v - (v @ weigh(z).T) @ inverse @ z for v in (y, x))
    rests, wholes = ([(v * weigh(v)).sum(axis=1) for v in pair] for pair in ((rest_y, rest_x), (y, x)))
    sizes = [np.where(rest > 1e-10 * whole, rest, np.nan) for rest, whole in zip(rests, wholes, strict=True)]
    per_replicate = (rest_y @ weigh(rest_x)[0]) / np.sqrt(sizes[0] * sizes[1])
    squares = square_rdms(weigh(np.concatenate([rest_x, z])))  # (1 + n_others, n_stimuli, n_stimuli)
    i, j = np.triu_indices(squares.shape[-1], 1)
    orders = stimulus_orders(squares.shape[-1], n_permutations, rng)
    null = []
    for part in np.array_split(orders, -(-n_permutations * squares.size // VALUES)):
        # Exchanging the regressors' stimuli is exchanging the residuals' the other way round.
        products = squares[:, part[:, i], part[:, j]] @ rest_y.T  # (1 + n_others, n_permutations, n_replicates)
        explained = np.einsum("opr,oq,qpr->pr", products[1:], inverse, products[1:])
        null.append(products[0] / np.sqrt(np.maximum(sizes[0] - explained, 1e-12 * sizes[0]) * sizes[1]))
    found = RdmTest.over(per_replicate, np.concatenate(null).T)
    p_subjects = _p_over_subjects(per_replicate[np.isfinite(per_replicate)])
    p = found.p if np.isnan(p_subjects) else max(found.p, p_subjects)
    return PartialTest(found.score, per_replicate, p, found.null, p_stimuli=found.p, p_subjects=p_subjects)


def _p_over_subjects(scores: Values) -> float:
    """Return p of a one-sided t test of scores against 0."""
    n = len(scores)
    if n < LEAST_SUBJECTS:
        return np.nan
    error = scores.std(ddof=1) / np.sqrt(n)
    return float(stdtr(n - 1, -scores.mean() / error)) if error > 0 else float(scores.mean() <= 0)


def _forms(rdms: Values, model: Values, others: Values, method: str, strengths: bool) -> tuple[Values, Values, Values]:
    """Return RDMs, the model and the others as the comparison sees them, ranks of the others with their powers."""
    check_choice(
        "method", method, [name for name, kind in COMPARISONS.items() if not (kind.concordance or kind.untied)]
    )
    names = {"rdms": rdms, "model": model, "others": others}
    stacks: list[Values] = [condensed_rdms(name, stack, f"n_{name}", some_pairs=True) for name, stack in names.items()]
    if len({stack.shape[1] for stack in stacks}) > 1:
        raise BrainalignError(
            f"RDMs, model and other models have {[stack.shape[1] for stack in stacks]} pairs; use the same conditions"
        )
    if missing := sum(int((~np.isfinite(stack)).sum()) for stack in stacks):
        raise BrainalignError(
            f"{missing} pairs are missing, and their places would be exchanged with those of others; drop the "
            "stimuli that lack them"
        )
    kind, given = COMPARISONS[method], stacks[2]
    if kind.ranks:
        stacks = [rank_rdms(stack) for stack in stacks]
        degrees = stacks[2] * 2 / stacks[2].shape[1] - 1  # from -1 to 1, where powers are not all alike
        stacks[2] = np.concatenate([degrees, degrees**2, degrees**3])
    if strengths:
        i, j = np.triu_indices(n := n_stimuli_of(given.shape[1]), 1)
        pairs_of = np.eye(n)[:, i] + np.eye(n)[:, j]
        stacks[2] = np.concatenate([stacks[2], *(1 - given[:, None]) * pairs_of])  # to first order
    if kind.centre:
        stacks = [np.where(are_constant(s)[:, None], 0, s - s.mean(axis=1, keepdims=True)) for s in stacks]
    return stacks[0], stacks[1], stacks[2]
