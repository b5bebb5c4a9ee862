"""Scores of models and noise ceilings under draws, each draw written out: what weights cannot express."""

from __future__ import annotations

import numpy as np

from brainalign.arrays import Values
from brainalign.condensed import square_rdms
from brainalign.geometry.inference.comparisons import compare, pooled_rdm
from brainalign.geometry.inference.evaluation import mean_over_subjects


class CopiedEvaluation:
    """Like `Evaluation`, one draw after the other: tau-a, and whitening by the variances of stimuli.

    A stimulus that is drawn twice makes two rows and columns, the pair of both missing; its copies count as stimuli of
    their own, of the same variance. A draw costs a comparison per subject and model, and two per subject for ceilings.

    Parameters
    ----------
    rdms : array (n_subjects, n_pairs)
    models : array (n_models, n_pairs)
    method : str
        A key of `COMPARISONS`.
    variances : array (n_stimuli,), optional
        For whitened comparisons.
    """

    def __init__(self, rdms: Values, models: Values, method: str, variances: Values | None = None) -> None:
        common = np.isfinite(rdms).all(axis=0)
        self.n_subjects, self.method, self.variances = len(rdms), method, variances
        # Ceilings are of the pairs that all subjects have.
        self._square = square_rdms(np.concatenate([rdms, models, np.where(common, rdms, np.nan)]))
        self._n_models = len(models)

    def __call__(self, stimuli: Values, subjects: list[Values]) -> list[Values]:
        """Return an array (n_draws, n_models + 2) for each array of subject multiplicities.

        Parameters
        ----------
        stimuli : array (n_draws or 1, n_stimuli)
            Multiplicities.
        subjects : list of array (n_draws or 1, n_subjects)
        """
        found: list[list[Values]] = [[] for _ in subjects]
        for number, counts in enumerate(stimuli):
            copied, variances = self._copied(counts)
            rdms, models, shared = np.split(copied, [self.n_subjects, self.n_subjects + self._n_models])
            per_subject = compare(rdms, models, self.method, variances)[None]
            for results, drawn in zip(found, subjects, strict=True):
                for multiplicity in drawn if len(stimuli) == 1 else drawn[[number if len(drawn) > 1 else 0]]:
                    scores = mean_over_subjects(per_subject, multiplicity[None])[0]
                    results.append(np.concatenate([scores, self._ceiling(shared, multiplicity, variances)]))
        return [np.stack(results) for results in found]

    def _copied(self, counts: Values) -> tuple[Values, Values | None]:
        """Return the RDMs of the drawn stimuli, (n_rdms, n_drawn_pairs), and the variances of these stimuli."""
        drawn = np.repeat(np.arange(len(counts)), counts.astype(np.intp))
        i, j = np.triu_indices(len(drawn), 1)
        copied = np.where(drawn[i] == drawn[j], np.nan, self._square[:, drawn[i], drawn[j]])
        return copied, None if self.variances is None else self.variances[drawn]

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
        return np.array([_defined_mean(lower), _defined_mean(upper)])

    def _pool(self, rdms: Values, counts: Values) -> Values:
        return pooled_rdm(np.repeat(rdms, counts.astype(np.intp), axis=0), self.method)


def _defined_mean(values: Values) -> float:
    return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else float("nan")
