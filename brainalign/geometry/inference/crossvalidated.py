"""Weights of RDMs fitted on some of the drawn subjects and stimuli, and scored on the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.condensed import n_stimuli_of
from brainalign.geometry.inference.comparisons import Comparison
from brainalign.geometry.inference.resampled import Products, Resampled
from brainalign.geometry.rdms import mean_ranks

CHUNK = 500  # draws at once


@dataclass(frozen=True)
class Training:
    """What a fit sees of every draw: products of the RDMs it weights with the training subjects, never their pairs.

    Attributes
    ----------
    among : array (n_draws, n_rdms, n_rdms)
        Products of the RDMs with each other.
    with_pool : array (n_draws, n_rdms)
        With the sum of the subjects' RDMs of unit norm, whitened where the comparison whitens.
    fits : array (n_draws, n_rdms)
        Mean comparison with the subjects.
    """

    among: Values
    with_pool: Values
    fits: Values

    @classmethod
    def of(cls, products: Products, subjects: Values, rows: slice) -> Training:
        """Take it from products of subjects (first) and RDMs (`rows`), under multiplicities of the subjects."""
        n, norms = subjects.shape[1], products.norms
        crossed = products.gram[:, :n, rows]  # (n_draws, n_subjects, n_rdms)
        with np.errstate(invalid="ignore", divide="ignore"):
            pool = subjects / norms[:, :n]
            fits = crossed / (norms[:, :n, None] * norms[:, None, rows])
        pool = np.where(np.isfinite(pool), pool, 0)
        return cls(products.gram[:, rows, rows], np.einsum("ds,dsk->dk", pool, crossed), _weighted_mean(fits, subjects))


class CrossValidation:
    """Scores and ceilings of models on held-out subjects and stimuli, for draws of both.

    Parameters
    ----------
    stack : Resampled
        Subjects, then the RDMs of all models in turn, for the comparison that weights are fitted by.
    n_subjects : int
    models : sequence of (number of RDMs, fit)
    kind : Comparison
        That models are scored by.
    n_folds : (int, int)
        Of subjects and of stimuli.
    rng : Generator
    """

    def __init__(
        self,
        stack: Resampled,
        n_subjects: int,
        models: Sequence[tuple[int, Callable[[Training], Values]]],
        kind: Comparison,
        n_folds: tuple[int, int],
        rng: np.random.Generator,
    ) -> None:
        self.stack, self.n_subjects, self.kind, self.n_folds, self.rng = stack, n_subjects, kind, n_folds, rng
        ends = n_subjects + np.cumsum([n for n, _ in models])
        self.rows = [slice(end - n, end) for end, (n, _) in zip(ends, models, strict=True)]
        self.fits = [fit for _, fit in models]

    def __call__(self, subjects: Values, stimuli: Values) -> Values:
        """Return scores and ceilings of one division into folds per draw, (n_draws, n_models + 2)."""
        found = []
        for start in range(0, len(subjects), CHUNK):
            drawn = subjects[start : start + CHUNK], stimuli[start : start + CHUNK]
            parts = [_weighted_mean(scores, tested) for scores, tested in self._folds(*drawn)]
            n_drawn = [(counts > 0).sum(axis=1) for counts in drawn]
            enough = (n_drawn[0] >= self.n_folds[0]) & (n_drawn[1] >= 3 * self.n_folds[1])
            found.append(np.where(enough[:, None], np.mean(parts, axis=0), np.nan))
        return np.concatenate(found)

    def per_subject(self, n_divisions: int) -> tuple[Values, Values]:
        """Return scores and ceilings (n_subjects, n_models + 2) without resampling, and the mean ceilings (2,)."""
        shapes = (n_divisions, self.n_subjects), (n_divisions, n_stimuli_of(len(self.stack.seen)))
        folds = self._folds(*(np.ones(shape) for shape in shapes))
        scores = sum(np.where(tested[:, :, None] > 0, found, 0) for found, tested in folds) / self.n_folds[1]
        ceilings = np.mean([_weighted_mean(found, tested)[:, -2:] for found, tested in folds], axis=(0, 1))
        return np.asarray(np.mean(scores, axis=0)), np.asarray(ceilings)

    def _folds(self, subjects: Values, stimuli: Values) -> list[tuple[Values, Values]]:
        """Return scores of every subject (n_draws, n_subjects, n_models + 2) and which were tested, fold by fold."""
        whole = self._whole(subjects, stimuli)
        by_subject, found = fold_labels(subjects, self.n_folds[0], self.rng), []
        for fold in range(self.n_folds[0]):
            tested = subjects * (by_subject == fold)
            trained = subjects - tested if self.n_folds[0] > 1 else tested
            by_stimulus = fold_labels(stimuli, self.n_folds[1], self.rng)
            for part in range(self.n_folds[1]):
                test = stimuli * (by_stimulus == part)
                training = self.stack.products(stimuli - test)
                weights = [
                    fit(Training.of(training, trained, rows)) for fit, rows in zip(self.fits, self.rows, strict=True)
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
            pool[pairs[first]] = (drawn @ mean_ranks(self.stack.rdms[: self.n_subjects, pairs]))[first]
        return pools

    def _linear(self, test: Values, weights: list[Values], trained: Values, whole: Values) -> Values:
        """Score by products alone: every prediction and every pool is a sum of RDMs."""
        products, n = self.stack.products(test), self.n_subjects
        gram, norms = products.gram, products.norms[:, :n]
        power = products.power[:, :n]
        lower = trained / np.sqrt(np.where(power > 0, power, np.nan))
        pools = [(slice(n), lower), (slice(n), whole)]
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


def fold_labels(counts: Values, n_folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Deal the different things of every draw into folds of like size.

    Parameters
    ----------
    counts : array (n_draws, n_things)
        How often each was drawn.
    n_folds : int
    rng : Generator

    Returns
    -------
    array (n_draws, n_things)
        -1 for things that were not drawn.
    """
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


def _weighted_mean(values: Values, counts: Values) -> Values:
    """Return means over subjects (n_draws, n) of values (n_draws, n_subjects, n), over those that have one."""
    weights = np.where(np.isfinite(values), counts[:, :, None], 0)
    total = weights.sum(axis=1)
    return np.asarray((weights * np.nan_to_num(values)).sum(axis=1) / np.where(total > 0, total, np.nan))
