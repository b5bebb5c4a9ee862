"""Scores of models and noise ceilings under draws of subjects and stimuli."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.condensed import n_stimuli_of
from brainalign.geometry.inference.comparisons import COMPARISONS
from brainalign.geometry.inference.resampled import Products, Resampled, noise_ceilings
from brainalign.geometry.rdms import equal_masks

CHUNK_BYTES = 100_000_000


class Evaluation:
    """Scores and ceilings under draws of stimuli and subjects; blocks of RDMs miss the same pairs."""

    def __init__(self, rdms: Values, models: Values, method: str) -> None:
        kind = COMPARISONS[method]
        self.shape = len(rdms), len(models)
        self.blocks = []
        for rows, mask in equal_masks(np.isfinite(rdms)):
            for columns, model_mask in equal_masks(np.isfinite(models)):
                seen = mask & model_mask
                if seen.sum() >= 2:
                    stack = Resampled(np.concatenate([rdms[rows], models[columns]]), kind, seen, len(rows))
                    self.blocks.append((rows, columns, stack))
        common: NDArray[np.bool_] = np.asarray(np.isfinite(rdms).all(axis=0))
        # Where no pair is missing, the products among subjects are there already.
        self.shared = len(self.blocks) == 1 and bool((self.blocks[0][2].seen == common).all())
        apart = len(rdms) > 1 and common.sum() >= 2 and not self.shared
        self.subjects = Resampled(rdms, kind, common) if apart else None

    def __call__(self, stimuli: Values, subjects: list[Values]) -> list[Values]:
        """Return an array (n_draws, n_models + 2) for each array of subject multiplicities."""
        found: list[list[Values]] = [[] for _ in subjects]
        step = max(1, CHUNK_BYTES // (8 * max([_numbers_per_draw(stack) for _, _, stack in self.blocks], default=1)))
        for start in range(0, len(stimuli), step):
            chunk = stimuli[start : start + step]
            per_subject, within = self._scores(chunk)
            for results, counts in zip(found, subjects, strict=True):
                # One set of stimuli with many of subjects, one of subjects with many of stimuli, or a pair per draw.
                drawn = counts if len(counts) == 1 or len(stimuli) == 1 else counts[start : start + step]
                scores = mean_over_subjects(per_subject, drawn)
                n_draws = len(scores)
                ceilings = np.full((n_draws, 2), np.nan) if within is None else noise_ceilings(within, drawn)
                results.append(np.concatenate([scores, ceilings], axis=1))
        return [np.concatenate(results) for results in found]

    def _scores(self, stimuli: Values) -> tuple[Values, Products | None]:
        """Return the comparison of subjects with models, (n_draws, n_subjects, n_models), and products of subjects."""
        scores = np.full((len(stimuli), *self.shape), np.nan)
        within = None if self.subjects is None else self.subjects.products(stimuli)
        for rows, columns, stack in self.blocks:
            products, n = stack.products(stimuli), len(rows)
            norms = products.norms
            with np.errstate(invalid="ignore"):
                block = products.gram[:, :n, n:] / (norms[:, :n, None] * norms[:, None, n:])
            scores[np.ix_(np.arange(len(stimuli)), rows, columns)] = block
            if self.shared and n > 1:
                within = products.of(slice(n))
        return scores, within


def _numbers_per_draw(stack: Resampled) -> int:
    n_rdms, n_pairs = stack.rdms.shape
    n_stimuli = n_stimuli_of(len(stack.seen))
    return int(n_rdms * (n_pairs if stack.kind.ranks else 2 * n_stimuli + n_rdms) + n_pairs)


def mean_over_subjects(per_subject: Values, counts: Values) -> Values:
    """Return means weighted by multiplicity, over the subjects that have a score."""
    defined = np.isfinite(per_subject)
    total = np.einsum("...sm,...s->...m", np.where(defined, per_subject, 0), counts)
    n = np.einsum("...sm,...s->...m", defined.astype(np.float64), counts)
    return np.asarray(np.where(n > 0, total / np.where(n > 0, n, 1), np.nan))
