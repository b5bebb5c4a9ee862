"""Models with free weights: fitted to some subjects and stimuli, scored on others, inside every draw of a bootstrap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_choice, generator
from brainalign.condensed import check_not_infinite, check_pairs, condensed_rdms, n_stimuli_of
from brainalign.geometry.inference.bootstrap import DualBootstrap, Factors, index_draws, resampled_over
from brainalign.geometry.inference.comparisons import COMPARISONS, Comparison, defined_mean
from brainalign.geometry.inference.resampled import Products, Resampled, mean_over_subjects, multiplicities
from brainalign.geometry.rdms import mean_ranks

CHUNK = 500  # draws at once
# Into folds per draw. Their own variance is removed from that of the draws by comparing one division with the mean of
# them: errors are those of infinitely many.
DIVISIONS = 2


@dataclass(frozen=True)
class _Training:
    """What a fit sees of every draw: products of the RDMs it weights with the training subjects, never their pairs."""

    among: Values  # (n_draws, n_rdms, n_rdms): products of the RDMs with each other
    with_pool: Values  # (n_draws, n_rdms): with the sum of the subjects' RDMs of unit norm, whitened alike
    fits: Values  # (n_draws, n_rdms): mean comparison with the subjects

    @classmethod
    def of(cls, products: Products, subjects: Values, rows: slice) -> Self:
        """Take it from products of subjects (first) and RDMs (`rows`), under multiplicities of the subjects."""
        n, norms = subjects.shape[1], products.norms
        crossed = products.gram[:, :n, rows]  # (n_draws, n_subjects, n_rdms)
        with np.errstate(invalid="ignore", divide="ignore"):
            pool = subjects / norms[:, :n]
            fits = crossed / (norms[:, :n, None] * norms[:, None, rows])
        pool = np.where(np.isfinite(pool), pool, 0)
        return cls(
            products.gram[:, rows, rows], np.einsum("ds,dsk->dk", pool, crossed), mean_over_subjects(fits, subjects)
        )


class _CrossValidation:
    """Scores and ceilings on held-out subjects and stimuli; the stack holds subjects, then the RDMs of all models."""

    def __init__(
        self,
        stack: Resampled,
        n_subjects: int,
        models: Sequence[tuple[int, Callable[[_Training], Values]]],
        kind: Comparison,
        n_folds: tuple[int, int],
        rng: np.random.Generator,
    ) -> None:
        self.stack, self.n_subjects, self.kind, self.n_folds = stack, n_subjects, kind, n_folds
        self.rng = generator(rng)
        ends = n_subjects + np.cumsum([n for n, _ in models])
        self.rows = [slice(end - n, end) for end, (n, _) in zip(ends, models, strict=True)]
        self.fits = [fit for _, fit in models]

    def __call__(self, subjects: Values, stimuli: Values) -> Values:
        """Return scores and ceilings of one division into folds per draw, (n_draws, n_models + 2)."""
        found = []
        for start in range(0, len(subjects), CHUNK):
            drawn = subjects[start : start + CHUNK], stimuli[start : start + CHUNK]
            parts = [mean_over_subjects(scores, tested) for scores, tested in self._folds(*drawn)]
            n_drawn = [(counts > 0).sum(axis=1) for counts in drawn]
            enough = (n_drawn[0] >= self.n_folds[0]) & (n_drawn[1] >= 3 * self.n_folds[1])
            found.append(np.where(enough[:, None], np.mean(parts, axis=0), np.nan))
        return np.concatenate(found)

    def per_subject(self, n_divisions: int) -> tuple[Values, Values]:
        """Return scores and ceilings (n_subjects, n_models + 2) without resampling, and the mean ceilings (2,)."""
        shapes = (n_divisions, self.n_subjects), (n_divisions, n_stimuli_of(len(self.stack.seen)))
        folds = self._folds(*(np.ones(shape) for shape in shapes))
        scores = np.array([np.where(tested[:, :, None] > 0, found, np.nan) for found, tested in folds])
        ceilings = np.array([mean_over_subjects(found, tested)[:, -2:] for found, tested in folds])
        return defined_mean(scores, axis=(0, 1)), defined_mean(ceilings, axis=(0, 1))

    def _folds(self, subjects: Values, stimuli: Values) -> list[tuple[Values, Values]]:
        """Return scores of every subject (n_draws, n_subjects, n_models + 2) and which were tested, fold by fold."""
        whole = self._whole(subjects, stimuli)
        by_subject, found = _fold_labels(subjects, self.n_folds[0], self.rng), []
        for fold in range(self.n_folds[0]):
            tested = subjects * (by_subject == fold)
            trained = subjects - tested if self.n_folds[0] > 1 else tested
            by_stimulus = _fold_labels(stimuli, self.n_folds[1], self.rng)
            for part in range(self.n_folds[1]):
                test = stimuli * (by_stimulus == part)
                training = self.stack.products(stimuli - test)
                weights = [
                    fit(_Training.of(training, trained, rows)) for fit, rows in zip(self.fits, self.rows, strict=True)
                ]
                score = self._ranked if self.kind.ranks else self._linear
                scores = score(test, weights, trained, whole)
                if self.n_folds[0] == 1:
                    scores[:, :, -2:] = np.nan  # one subject is no ceiling for itself
                found.append((scores, tested))
        return found

    def _whole(self, subjects: Values, stimuli: Values) -> Values:
        """Return the pool of all drawn subjects: their weights in it, or its mean ranks (n_draws, n_seen)."""
        if not self.kind.ranks:
            power = self.stack.products(stimuli).power[:, : self.n_subjects]
            return np.asarray(subjects / np.sqrt(np.where(power > 0, power, np.nan)))
        pools = np.zeros((len(stimuli), self.stack.rdms.shape[1]))
        for pool, drawn, weights in zip(pools, subjects, self.stack.pair_weights(stimuli), strict=True):
            pairs, first = _copies(weights)
            if not len(pairs):
                continue
            pool[pairs[first]] = (drawn @ mean_ranks(self.stack.rdms[: self.n_subjects, pairs]))[first]
        return pools

    def _linear(self, test: Values, weights: list[Values], trained: Values, whole: Values) -> Values:
        """Score by products alone: every prediction and every pool is a sum of RDMs."""
        products, n = self.stack.products(test), self.n_subjects
        gram, norms = products.gram, products.norms[:, :n]
        power = products.power[:, :n]
        pools = [(slice(n), trained / np.sqrt(np.where(power > 0, power, np.nan))), (slice(n), whole)]
        scores = []
        for rows, mix in [*zip(self.rows, weights, strict=True), *pools]:
            mix = np.nan_to_num(mix)
            size = np.einsum("di,dij,dj->d", mix, gram[:, rows, rows], mix)
            least = 1e-12 * np.einsum("di,di->d", np.square(mix), np.einsum("dii->di", gram[:, rows, rows]))
            product = np.einsum("dsk,dk->ds", gram[:, :n, rows], mix)
            # A prediction without differences fits no better than chance: 0, not undefined.
            varies = (size > least)[:, None]
            scores.append(np.where(varies, product / np.sqrt(np.where(varies[:, 0], size, 1))[:, None], 0))
        return np.asarray(np.stack(scores, axis=2) / norms[:, :, None])

    def _ranked(self, test: Values, weights: list[Values], trained: Values, whole: Values) -> Values:
        """Score by ranks, which every prediction has of its own."""
        n = self.n_subjects
        found = np.full((len(test), n, len(weights) + 2), np.nan)
        for draw, pair_weights in enumerate(self.stack.pair_weights(test)):
            pairs, _ = _copies(pair_weights)
            if len(pairs) < 2:
                continue
            values = self.stack.rdms[:, pairs]
            ranks = mean_ranks(values[:n])
            predictions = [mix[draw] @ values[rows] for rows, mix in zip(self.rows, weights, strict=True)]
            other = mean_ranks(np.stack([*predictions, trained[draw] @ ranks, whole[draw, pairs]]))
            a, b = (x - (len(pairs) + 1) / 2 for x in (ranks, other))
            sizes = [np.sqrt((x * x).sum(axis=1)) for x in (a, b)]
            if self.kind.untied:
                sizes = [np.full_like(x, np.sqrt((len(pairs) ** 3 - len(pairs)) / 12)) for x in sizes]
            with np.errstate(invalid="ignore", divide="ignore"):
                found[draw] = np.where(sizes[1] > 0, (a @ b.T) / np.outer(*sizes), 0)
        return found


def _fold_labels(counts: Values, n_folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Deal the different things of every draw (n_draws, n_things) into folds of like size; -1 where not drawn."""
    labels = np.full(counts.shape, -1, dtype=np.intp)
    for row, drawn in zip(labels, counts > 0, strict=True):
        n = int(drawn.sum())
        place = np.arange(n)
        fold = np.where(place < n // n_folds * n_folds, place // max(n // n_folds, 1), n - 1 - place)
        row[np.flatnonzero(drawn)[rng.permutation(n)]] = fold
    return labels


def _copies(weights: Values) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return every pair as often as it was drawn, and where each stands first."""
    present = np.flatnonzero(weights)
    repeats = weights[present].astype(np.intp)
    return np.repeat(present, repeats), np.cumsum(repeats) - repeats


KEPT = 1 - np.exp(-1)  # share of the stimuli, or subjects, that a draw holds


@dataclass(frozen=True)
class FlexibleModel:
    """A few RDMs and how they are combined, for example the layers of a network.

    Attributes
    ----------
    rdms : array (n_rdms, n_pairs)
    fit : {"weighted", "select", "interpolate"}
        A key of `FITS`. The order of the RDMs matters to "interpolate": it mixes two that follow each other.
    """

    rdms: Values
    fit: Literal["weighted", "select", "interpolate"] = "weighted"

    def __post_init__(self) -> None:
        if not len(self.rdms):
            raise BrainalignError("a flexible model has no RDM to combine; give one or more")


def _weighted(training: _Training) -> Values:
    """Non-negative least squares of the pooled RDM: squares are whitened where the comparison whitens."""
    power = np.einsum("dkk->dk", training.among)
    scale = np.sqrt(np.where(power > 0, power, np.inf))  # an RDM that is constant gets no weight
    among = training.among / (scale[:, :, None] * scale[:, None])
    power, directions = np.linalg.eigh(np.nan_to_num(among))
    root = np.sqrt(np.where(power > 1e-12, power, np.inf))  # RDMs that are sums of others add nothing
    design = np.where(np.isfinite(root), root, 0)[:, :, None] * np.swapaxes(directions, 1, 2)
    target = (np.swapaxes(directions, 1, 2) @ (training.with_pool / scale)[:, :, None])[..., 0] / root
    return np.stack([nnls(a, b)[0] for a, b in zip(design, np.nan_to_num(target), strict=True)]) / scale


def _select(training: _Training) -> Values:
    """One for the RDM that compares best with the training subjects."""
    weights = np.zeros(training.fits.shape)
    weights[np.arange(len(weights)), np.nan_to_num(training.fits, nan=-np.inf).argmax(axis=1)] = 1
    return weights


def _interpolate(training: _Training) -> Values:
    """Compute w and 1 − w of the best mixture of two RDMs that follow each other: at the cosine's maximum or an end."""
    norms = np.sqrt(np.maximum(np.einsum("dkk->dk", training.among), 0))
    b = training.fits * norms  # products with the mean of the subjects' RDMs of unit norm
    weights, best = _select(training), np.nan_to_num(training.fits, nan=-np.inf).max(axis=1)
    for k in range(b.shape[1] - 1):
        pair = slice(k, k + 2)
        a, target = training.among[:, pair, pair], b[:, pair]
        with np.errstate(divide="ignore", invalid="ignore"):
            # Cramer's rule, but for the determinant, which is positive unless both are the same RDM.
            mix = np.stack(
                [
                    a[:, 1, 1] * target[:, 0] - a[:, 0, 1] * target[:, 1],
                    a[:, 0, 0] * target[:, 1] - a[:, 0, 1] * target[:, 0],
                ],
                axis=1,
            )
            mix /= mix.sum(axis=1, keepdims=True)
            reached = (mix * target).sum(axis=1) / np.sqrt(np.einsum("di,dij,dj->d", mix, a, mix))
        better = (mix > 0).all(axis=1) & (reached > best)
        weights[better], best[better] = 0, reached[better]
        weights[better, pair] = mix[better]
    return weights


FITS: dict[str, Callable[[_Training], Values]] = {"weighted": _weighted, "select": _select, "interpolate": _interpolate}


def fit_weights(rdms: Values, model: FlexibleModel, method: str) -> Values:
    """Fit a flexible model to the RDMs of subjects.

    Parameters
    ----------
    rdms : array (n_subjects, n_pairs)
        Pairs that any RDM lacks (NaN) are left out.
    model : FlexibleModel
    method : str
        A key of `COMPARISONS` but "tau-a". Weights for comparisons of ranks are those of "pearson".

    Returns
    -------
    array (n_rdms,)
        Not scaled; all 0 where no positive weight helps.

    References
    ----------
    Khaligh-Razavi SM, Kriegeskorte N (2014). Deep supervised, but not unsupervised, models may explain IT cortical
    representation. PLoS Computational Biology 10:e1003915. doi:10.1371/journal.pcbi.1003915
    """
    check_choice("model.fit", model.fit, FITS)
    rdms, model = condensed_rdms("rdms", rdms, "n_subjects"), _condensed(model)
    stack, n = _stack(rdms, [model], _linear(method)), len(rdms)
    products = stack.products(np.ones((1, n_stimuli_of(len(stack.seen)))))
    return np.asarray(FITS[model.fit](_Training.of(products, np.ones((1, n)), slice(n, n + len(model.rdms))))[0])


def flexible_bootstrap(
    rdms: Values,
    models: Sequence[FlexibleModel | Values],
    method: str,
    n_boot: int = 1000,
    rng: np.random.Generator | None = None,
    *,
    over: Factors = "both",
    draws: tuple[Rows, Rows] | None = None,
    n_folds: tuple[int, int] | None = None,
    n_cv_score: int = 20,
) -> DualBootstrap:
    """Evaluate models with free weights, cross-validated over subjects *and* stimuli in every draw.

    Folds are of different subjects and stimuli, so that no copy of a drawn one is on both sides. Models without weights
    may be among the models: they are scored on the same test folds. Ceilings are those of the folds too.

    Parameters
    ----------
    rdms : array (n_subjects, n_pairs)
        Pairs that any RDM lacks (NaN), a model's included, are left out everywhere and counted.
    models : sequence of FlexibleModel or array (n_pairs,)
    method : str
        A key of `COMPARISONS` but "tau-a". For comparisons of ranks the weights are fitted by "pearson".
    n_boot : int
    rng : Generator
        Also deals subjects and stimuli into folds.
    over, draws
        As for `dual_bootstrap`.
    n_folds : (int, int), optional
        Of subjects and stimuli; 2 to 5 by how many a draw holds. One subject is not divided.
    n_cv_score : int
        Divisions that the scores are means over.

    Returns
    -------
    DualBootstrap
        `n_undefined` counts the draws with fewer than 3 stimuli per fold or fewer subjects than folds; they are NaN.

    Raises
    ------
    BrainalignError
        If there are too few stimuli or subjects, no generator, or "tau-a" is asked for.

    References
    ----------
    Schuett HH, Kipnis AD, Diedrichsen J, Kriegeskorte N (2023). Statistical inference on representational geometries.
    eLife 12:e82566. doi:10.7554/eLife.82566
    """
    rdms, flexible = condensed_rdms("rdms", rdms, "n_subjects"), [_condensed(model) for model in models]
    n_subjects, n_stimuli = len(rdms), n_stimuli_of(rdms.shape[1])
    over, rng = resampled_over(over, n_subjects), generator(rng)
    drawn = index_draws(n_subjects, n_stimuli, n_boot, rng, draws)
    subjects, stimuli = multiplicities(drawn[0], n_subjects), multiplicities(drawn[1], n_stimuli)
    folds = _default_folds(n_subjects, n_stimuli) if n_folds is None else n_folds
    _check(n_subjects, n_stimuli, folds)
    validation = _validation(rdms, flexible, method, folds, rng)
    per_subject, score_folds = validation.per_subject(n_cv_score)
    counts: dict[Factors, tuple[Values, Values]] = {
        "both": (subjects, stimuli),
        "subjects": (subjects, np.ones_like(stimuli)),
        "stimuli": (np.ones_like(subjects), stimuli),
    }
    names: list[Factors] = list(counts) if over == "both" else [over]
    every = [np.concatenate([counts[name][k] for name in names] * DIVISIONS) for k in (0, 1)]
    found = validation(*every).reshape(DIVISIONS, len(names), len(subjects), -1)
    undefined = np.asarray(np.asarray(np.isnan(found).all(axis=3)).any(axis=(0, 1)))
    found[:, :, undefined] = np.nan  # the same draws, whatever was resampled
    divisions = {name: found[:, k] for k, name in enumerate(names)}
    return DualBootstrap(
        method=method,
        over=over,
        n_subjects=n_subjects,
        n_stimuli=n_stimuli,
        n_boot=len(subjects),
        scores=mean_over_subjects(per_subject[:, :-2], np.ones((1, n_subjects)))[0],
        per_subject=per_subject[:, :-2],
        ceiling=score_folds,
        draws={name: each.mean(axis=0) for name, each in divisions.items()},
        n_missing=np.full((n_subjects, len(flexible)), int((~validation.stack.seen).sum())),
        divisions=divisions,
        n_undefined=int(undefined.sum()),
    )


def flexible_score(
    rdms: Values, model: FlexibleModel, method: str, rng: np.random.Generator, n_divisions: int = 20
) -> Values:
    """Return the cross-validated score of a flexible model in every subject, (n_subjects,), without resampling.

    As in `flexible_bootstrap`, the mean over divisions into folds.
    """
    rdms, model = condensed_rdms("rdms", rdms, "n_subjects"), _condensed(model)
    folds = _default_folds(len(rdms), n_stimuli_of(rdms.shape[1]))
    _check(len(rdms), n_stimuli_of(rdms.shape[1]), folds)
    return _validation(rdms, [model], method, folds, rng).per_subject(n_divisions)[0][:, 0]


def _condensed(model: FlexibleModel | Values) -> FlexibleModel:
    """Return a model whose RDMs are (n_rdms, n_pairs); without weights where it is an RDM."""
    if isinstance(model, FlexibleModel):
        return replace(model, rdms=condensed_rdms("model.rdms", model.rdms, "n_rdms", some_pairs=True))
    return FlexibleModel(condensed_rdms("models", model, some_pairs=True)[None], "select")


def _validation(
    rdms: Values, models: Sequence[FlexibleModel], method: str, folds: tuple[int, int], rng: np.random.Generator
) -> _CrossValidation:
    stack = _stack(rdms, models, _linear(method))
    fits = [(len(model.rdms), FITS[model.fit]) for model in models]
    return _CrossValidation(stack, len(rdms), fits, COMPARISONS[method], folds, rng)


def _linear(method: str) -> str:
    check_choice("method", method, [name for name in COMPARISONS if name != "tau-a"])
    return "pearson" if COMPARISONS[method].ranks else method


def _stack(rdms: Values, models: Sequence[FlexibleModel], method: str) -> Resampled:
    for model in models:
        check_choice("model.fit", model.fit, FITS)
        check_pairs("an RDM of a model", model.rdms, "one of data", rdms)
    check_not_infinite(rdms, *(model.rdms for model in models))
    everything = np.concatenate([rdms, *(model.rdms for model in models)]).astype(np.float64)
    return Resampled(everything, COMPARISONS[method], np.asarray(np.isfinite(everything).all(axis=0)))


def _default_folds(n_subjects: int, n_stimuli: int) -> tuple[int, int]:
    """Choose the numbers of folds that a draw is divided into: more only where each keeps several."""
    return (
        1 if n_subjects == 1 else 2 + sum(KEPT * n_subjects >= least for least in (6, 12, 20)),
        2 + sum(KEPT * n_stimuli >= least for least in (12, 24, 40)),
    )


def _check(n_subjects: int, n_stimuli: int, folds: tuple[int, int]) -> None:
    if n_subjects < folds[0] or n_stimuli < 3 * folds[1]:
        raise BrainalignError(
            f"{folds[0]} folds of subjects and {folds[1]} of stimuli need as many subjects and 3 stimuli each; got "
            f"{n_subjects} subjects and {n_stimuli} stimuli"
        )
    if (n_subjects > 1 and folds[0] < 2) or folds[1] < 2:
        raise BrainalignError(f"cross-validation needs 2 folds or more of subjects and of stimuli; got {folds}")
