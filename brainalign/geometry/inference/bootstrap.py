"""Dual bootstrap: how well models fit the geometry of a population of subjects *and* of stimuli.

Resampling subjects alone asks what other subjects would show for these very stimuli, and calls accidents of the
stimuli effects. Resampling both at once counts the noise of measurement twice; the correction here removes that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_choice, check_rows, generator
from brainalign.condensed import condensed_rdms, n_stimuli_of, square_rdms
from brainalign.geometry.inference.comparisons import COMPARISONS, compare, pooled_rdm
from brainalign.geometry.inference.fixed_models import mean_of_defined, rdm_noise_ceiling
from brainalign.geometry.inference.resampled import CHUNK_BYTES, Evaluation, mean_over_subjects, multiplicities
from brainalign.statistics import largest_difference_p


class _CopiedEvaluation:
    """Like `Evaluation`, one draw after the other: tau-a, and whitening by the variances of stimuli.

    A stimulus that is drawn twice makes two rows and columns, the pair of both missing; its copies count as stimuli of
    their own, of the same variance. A draw costs a comparison per subject and model, and two per subject for ceilings.
    """

    def __init__(self, rdms: Values, models: Values, method: str, variances: Values | None = None) -> None:
        common = np.isfinite(rdms).all(axis=0)
        self.n_subjects, self.method, self.variances = len(rdms), method, variances
        # Ceilings are of the pairs that all subjects have.
        self._square = square_rdms(np.concatenate([rdms, models, np.where(common, rdms, np.nan)]))
        self._n_models = len(models)

    def __call__(self, stimuli: Values, subjects: list[Values]) -> list[Values]:
        """Return (n_draws, n_models + 2) for each array of subject multiplicities (n_draws or 1, n_subjects)."""
        found: list[list[Values]] = [[] for _ in subjects]
        for number, counts in enumerate(stimuli):
            copies = np.repeat(np.arange(len(counts)), counts.astype(np.intp))
            i, j = np.triu_indices(len(copies), 1)
            copied = np.where(copies[i] == copies[j], np.nan, self._square[:, copies[i], copies[j]])
            variances = None if self.variances is None else self.variances[copies]
            rdms, models, shared = np.split(copied, [self.n_subjects, self.n_subjects + self._n_models])
            per_subject = compare(rdms, models, self.method, variances)[None]
            for results, drawn in zip(found, subjects, strict=True):
                for multiplicity in drawn if len(stimuli) == 1 else drawn[[number if len(drawn) > 1 else 0]]:
                    scores = mean_over_subjects(per_subject, multiplicity[None])[0]
                    results.append(np.concatenate([scores, self._ceiling(shared, multiplicity, variances)]))
        return [np.stack(results) for results in found]

    def _ceiling(self, rdms: Values, counts: Values, variances: Values | None) -> Values:
        """Return lower and upper ceiling: means over the different subjects of the draw."""
        drawn = np.flatnonzero(counts)
        if self.n_subjects < 2:
            return np.full(2, np.nan)
        upper = compare(rdms[drawn], self._pool(rdms, counts), self.method, variances)[:, 0]
        lower = np.full(len(drawn), np.nan)
        for place, subject in enumerate(drawn if len(drawn) > 1 else ()):
            others = np.where(np.arange(len(counts)) == subject, 0, counts)
            lower[place] = compare(rdms[[subject]], self._pool(rdms, others), self.method, variances)[0, 0]
        return np.array([mean_of_defined(lower), mean_of_defined(upper)])

    def _pool(self, rdms: Values, counts: Values) -> Values:
        return pooled_rdm(np.repeat(rdms, counts.astype(np.intp), axis=0), self.method)


Factors = Literal["both", "stimuli", "subjects"]


@dataclass(frozen=True)
class DualBootstrap:
    """Scores of models, their noise ceiling, and the draws that say how sure they are.

    Attributes
    ----------
    method : str
    over : {"both", "stimuli", "subjects"}
        What was resampled: "stimuli" where there is one subject, so that nothing is known about others.
    n_subjects, n_stimuli, n_boot : int
    scores : array (n_models,)
        Mean over subjects; NaN where no subject has one.
    per_subject : array (n_subjects, n_models)
    ceiling : array (2,)
        Lower and upper; NaN for one subject.
    draws : dict of array (n_boot, n_models + 2)
        Scores, then lower and upper ceiling, by what was resampled ("both", "subjects", "stimuli").
    n_missing : array (n_subjects, n_models)
        Pairs that a comparison went without.
    divisions : dict of array (n_divisions, n_boot, n_models + 2)
        Where draws are means over divisions into folds: what each division gave. Their variance is not that of draws.
    n_undefined : int
        Draws that held too few stimuli or subjects to divide, NaN.
    """

    method: str
    over: Factors
    n_subjects: int
    n_stimuli: int
    n_boot: int
    scores: Values
    per_subject: Values
    ceiling: Values
    draws: dict[Factors, Values]
    n_missing: NDArray[np.intp]
    divisions: dict[Factors, Values] = field(default_factory=dict)
    n_undefined: int = 0

    @property
    def dof(self) -> int:
        """Degrees of freedom of the t tests: of the factor with fewer levels among those resampled."""
        return min(self._levels.values()) - 1

    @property
    def estimates(self) -> Values:
        """Scores, then lower and upper ceiling, (n_models + 2,): what `se` and `test` take contrasts of."""
        return np.concatenate([self.scores, self.ceiling])

    def se(self, contrasts: Values | None = None) -> Values:
        """Return standard errors of contrasts of `estimates`, (n_contrasts,); by default of the scores.

        A difference has 1 and -1; the gap to the lower ceiling has 1 at a model and -1 in the last but one column.
        Contrasts are (n_contrasts, n_models + 2). NaN where divisions into folds vary so much more than draws that no
        error can be told: take more draws.
        """
        if contrasts is None:
            contrasts = np.eye(len(self.scores), len(self.scores) + 2)
        found = _corrected({name: self._variance(name, contrasts) for name in self.draws}, self._levels)
        return np.sqrt(np.where((found > 0) | (not self.divisions), found, np.nan))

    def test(self, contrasts: Values, two_sided: bool = True) -> tuple[Values, Values]:
        """Return t and p of contrasts of `estimates` against zero."""
        se = self.se(contrasts)
        t = contrast_draws(self.estimates[None], contrasts)[0] / np.where(se > 0, se, np.nan)
        return t, np.asarray(2 * stdtr(self.dof, -np.abs(t)) if two_sided else stdtr(self.dof, -t))

    def _variance(self, name: Factors, contrasts: Values) -> Values:
        """Return the variance over draws, as of infinitely many divisions into folds where there are any."""
        of_means = _variance(contrast_draws(self.draws[name], contrasts))
        if name not in self.divisions:
            return of_means
        each = self.divisions[name]
        single = np.mean([_variance(contrast_draws(draws, contrasts)) for draws in each], axis=0)
        return np.asarray(np.maximum((len(each) * of_means - single) / (len(each) - 1), 0))

    @property
    def _levels(self) -> dict[Factors, int]:
        levels: dict[Factors, int] = {"subjects": self.n_subjects, "stimuli": self.n_stimuli}
        return levels if self.over == "both" else {self.over: levels[self.over]}


def dual_bootstrap(
    rdms: Values,
    models: Values,
    method: str,
    n_boot: int = 1000,
    rng: np.random.Generator | None = None,
    *,
    over: Factors = "both",
    draws: tuple[Rows, Rows] | None = None,
    sigma_k: Values | None = None,
) -> DualBootstrap:
    """Evaluate models on resampled subjects and stimuli.

    Stimuli count as drawn one by one. Of a few categories' exemplars errors are too small for other categories: two
    equally good models were told apart at .05 in .13 of studies of 6 categories of 4, in .26 of 3 categories of 8.

    Parameters
    ----------
    rdms : array (n_subjects, n_pairs)
        NaN marks missing pairs: a comparison uses those that both RDMs have; ceilings of draws, those that all have.
    models : array (n_models, n_pairs)
    method : str
        A key of `COMPARISONS`. "tau-a" has no short cut: for 4 subjects, 5 models and 92 stimuli a draw takes 0.3 s
        (of "rho-a", which does not reward ties either, 7 ms).
    n_boot : int
    rng : Generator, optional
        Needed unless `draws` are given.
    over : {"both", "stimuli", "subjects"}
        With one subject, "both" becomes "stimuli"; the result says so.
    draws : (array (n_boot, n_subjects), array (n_boot, n_stimuli)) of int, optional
        Which subjects and stimuli each draw takes.
    sigma_k : array (n_stimuli,), optional
        Variances of the noise of patterns, for the whitened comparisons; equal by default. Draws are written
        out then, 0.3 s each where they took 2 ms.

    Raises
    ------
    BrainalignError
        If neither `rng` nor `draws` is given; if `sigma_k` is a matrix, or the comparison does not whiten.

    References
    ----------
    Schuett HH, Kipnis AD, Diedrichsen J, Kriegeskorte N (2023). Statistical inference on representational geometries.
    eLife 12:e82566. doi:10.7554/eLife.82566
    """
    rdms = condensed_rdms("rdms", rdms, "n_subjects")
    models = condensed_rdms("models", models, "n_models", some_pairs=True)
    n_subjects, n_stimuli = len(rdms), n_stimuli_of(rdms.shape[1])
    over = resampled_over(over, n_subjects)
    if sigma_k is not None and not COMPARISONS[method].whiten:
        raise BrainalignError(f"sigma_k is for the whitened comparisons; {method!r} does not use it")
    if sigma_k is not None and sigma_k.ndim != 1:
        # With covariances, two copies of a stimulus would be one measurement, and no draw would have an inverse.
        raise BrainalignError(
            f"sigma_k has shape {sigma_k.shape}, but draws repeat stimuli; give variances (n_stimuli,), its diagonal"
        )
    per_subject = compare(rdms, models, method, sigma_k)
    draws = index_draws(n_subjects, n_stimuli, n_boot, rng, draws)
    counts = multiplicities(draws[0], n_subjects), multiplicities(draws[1], n_stimuli)
    written_out = COMPARISONS[method].concordance or sigma_k is not None
    evaluation: Callable[[Values, list[Values]], list[Values]] = (
        _CopiedEvaluation(rdms, models, method, sigma_k) if written_out else Evaluation(rdms, models, method)
    )
    ceiling = rdm_noise_ceiling(rdms, method, sigma_k) if n_subjects > 1 else (np.nan, np.nan)
    return DualBootstrap(
        method=method,
        over=over,
        n_subjects=n_subjects,
        n_stimuli=n_stimuli,
        n_boot=len(draws[0]),
        scores=mean_over_subjects(per_subject, np.ones((1, n_subjects)))[0],
        per_subject=per_subject,
        ceiling=np.array(ceiling),
        draws=_resample(evaluation, over, counts),
        n_missing=np.asarray((np.isnan(rdms)[:, None] | np.isnan(models)).sum(axis=2)),
    )


def bootstrap_places(rdms: Values, models: Values, method: str, n_boot: int, rng: np.random.Generator) -> Values:
    """Return standard errors over stimuli of the fit of every model at every place, (n_places, n_models).

    Those of `dual_bootstrap` (but not of "tau-a") over stimuli, place by place, of RDMs (n_places, n_pairs).
    All see the same draws, so a draw ranks the models once.
    """
    rdms = condensed_rdms("rdms", rdms, "n_places", some_pairs=True)
    models = condensed_rdms("models", models, "n_models", some_pairs=True)
    n = n_stimuli_of(rdms.shape[-1])
    counts = multiplicities(index_draws(1, n, n_boot, rng)[1], n)
    errors, step = [], max(1, CHUNK_BYTES // rdms[0].nbytes)
    for start in range(0, len(rdms), step):
        drawn = Evaluation(models, rdms[start : start + step], method).of_stimuli(counts)
        errors.append(np.sqrt(n / (n - 1) * _variance(drawn.swapaxes(1, 2))))
    return np.concatenate(errors)


def index_draws(
    n_subjects: int,
    n_stimuli: int,
    n_boot: int,
    rng: np.random.Generator | None,
    draws: tuple[Rows, Rows] | None = None,
) -> tuple[Rows, Rows]:
    """Draw the subjects and stimuli of each bootstrap sample: those given, or as many at random as there are."""
    if draws is not None:
        return draws
    rng = generator(rng)
    return rng.integers(n_subjects, size=(n_boot, n_subjects)), rng.integers(n_stimuli, size=(n_boot, n_stimuli))


def contrast_draws(draws: Values, contrasts: Values) -> Values:
    """Return contrasts of draws, (n_draws, n_contrasts); an undefined model spoils only the contrasts it is in."""
    undefined = np.isnan(draws).astype(np.float64) @ (contrasts != 0).T > 0
    return np.where(undefined, np.nan, np.where(np.isnan(draws), 0, draws) @ contrasts.T)


def resampled_over(over: Factors, n_subjects: int) -> Factors:
    """Name the axes that can be resampled: of one subject, the stimuli alone."""
    check_choice("over", over, ("both", "stimuli", "subjects"))
    if over == "subjects" and n_subjects < 2:
        raise BrainalignError("subjects cannot be resampled when there is 1; use over='stimuli'")
    return "stimuli" if n_subjects == 1 else over


def _resample(
    evaluation: Callable[[Values, list[Values]], list[Values]], over: Factors, counts: tuple[Values, Values]
) -> dict[Factors, Values]:
    """Return scores and ceilings, (n_boot, n_models + 2), for each kind of resampling the variance needs."""
    subjects, stimuli = counts
    every_subject, every_stimulus = np.ones((1, subjects.shape[1])), np.ones((1, stimuli.shape[1]))
    if over == "stimuli":
        return {"stimuli": evaluation(stimuli, [every_subject])[0]}
    kinds, place = np.unique(subjects, axis=0, return_inverse=True)
    by_subjects = evaluation(every_stimulus, [kinds])[0][place.ravel()]
    if over == "subjects":
        return {"subjects": by_subjects}
    both, by_stimuli = evaluation(stimuli, [subjects, every_subject])
    return {"both": both, "subjects": by_subjects, "stimuli": by_stimuli}


def _variance(values: Values) -> Values:
    """Return variances (ddof 1) over the draws in which each column is defined."""
    defined = np.isfinite(values)
    n = defined.sum(axis=0)
    mean = np.where(defined, values, 0).sum(axis=0) / np.maximum(n, 1)
    squares = np.where(defined, np.square(values - mean), 0).sum(axis=0)
    return np.where(n > 1, squares / np.maximum(n - 1, 1), np.nan)


def _corrected(variances: dict[Factors, Values], levels: dict[Factors, int]) -> Values:
    """Return the variance that new subjects and stimuli would show."""
    large = {name: n / (n - 1) for name, n in levels.items()}
    if len(large) == 1:
        [name] = large
        return np.asarray(large[name] * variances[name])
    single = [large[name] * variances[name] for name in large]
    interaction = variances["both"] - variances["subjects"] - variances["stimuli"]
    total = sum(single) - large["subjects"] * large["stimuli"] * interaction
    return np.asarray(np.minimum(np.maximum(np.maximum(total, single[0]), single[1]), variances["both"]))


def compare_models(result: DualBootstrap, names: Sequence[str], members: Sequence[int] | None = None) -> pd.DataFrame:
    """Compare the best of a family of models with each other one.

    The best was picked by looking, so `p_max` allows for all differences between members of the family: it is the share
    of draws in which the largest of all studentised differences exceeds the one at hand (Westfall and Young 1993). A
    model is the best only where `p_max` is small against every other.

    `members` are rows of the models that make the family, for example the layers of one network; all by default,
    undefined scores left out. Columns: model, other, difference, se, t, p (two-sided, for this difference alone),
    p_max; most similar first.
    """
    check_rows("names", len(names), "scores", len(result.scores), "give one name per model")
    chosen = range(len(names)) if members is None else members
    ranked = sorted((k for k in chosen if np.isfinite(result.scores[k])), key=lambda k: -result.scores[k])
    pairs = list(combinations(ranked, 2))  # the better of two first
    contrasts = np.zeros((len(pairs), len(names) + 2))
    for row, (better, worse) in zip(contrasts, pairs, strict=True):
        row[better], row[worse] = 1, -1
    t, p = result.test(contrasts)
    draws = contrast_draws(result.draws[result.over], contrasts)
    table = pd.DataFrame(
        {
            "model": [names[better] for better, _ in pairs],
            "other": [names[worse] for _, worse in pairs],
            "difference": contrasts @ np.nan_to_num(result.estimates),
            "se": result.se(contrasts),
            "t": t,
            "p": p,
            "p_max": largest_difference_p(t, result.dof, draws[np.isfinite(draws).all(axis=1)]),
        }
    )
    table = table[np.array([better == ranked[0] for better, _ in pairs], dtype=bool)]
    return table.sort_values("difference", kind="stable").reset_index(drop=True)
