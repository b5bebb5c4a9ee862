"""Comparisons of RDMs whose stimuli were drawn with repetition: pairs get weights, nothing is copied.

A stimulus drawn c times makes the pair (I, J) count c_I c_J times; pairs of a stimulus with itself are left out, as
their dissimilarity is zero by construction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.geometry.compare import Comparison, dense_codes, square_rdms

__all__ = ["Resampled", "multiplicities", "noise_ceilings"]

Values = NDArray[np.floating[Any]]


def multiplicities(indices: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    """Return how often each of n things was drawn, (n_draws, n), from index draws (n_draws, n_drawn)."""
    counts = np.zeros((len(indices), n))
    np.add.at(counts, (np.arange(len(indices))[:, None], indices), 1)
    return counts


class Resampled:
    """A stack of complete RDMs, ready to be compared under any draw of stimuli.

    Each RDM is sorted once; a draw only sums weights in that order.

    Parameters
    ----------
    rdms : array (n_rdms, n_pairs)
        Without missing pairs among those in `seen`.
    kind : Comparison
    seen : array (n_pairs,) of bool
        Pairs that count.
    """

    def __init__(self, rdms: Values, kind: Comparison, seen: NDArray[np.bool_]) -> None:
        self.kind = kind
        self.seen = seen
        self.rdms = rdms[:, seen]
        if kind.ranks:
            self._codes = [dense_codes(row) for row in self.rdms]
            self._orders = [np.argsort(codes, kind="stable") for codes in self._codes]

    def pair_weights(self, counts: Values) -> Values:
        """Return the weight of each pair, (n_draws, n_seen), from stimulus multiplicities (n_draws, n_stimuli)."""
        i, j = np.triu_indices(counts.shape[1], 1)
        return np.asarray(counts[:, i[self.seen]] * counts[:, j[self.seen]])

    def forms(self, weights: Values) -> Values:
        """Return what the comparison takes inner products of, (n_draws, n_rdms, n_seen): ranks or values, centred."""
        if self.kind.ranks:
            forms = np.stack([self._ranks(row, weights) for row in range(len(self.rdms))], axis=1)
        else:
            forms = np.broadcast_to(self.rdms, (len(weights), *self.rdms.shape))
        total = weights.sum(axis=1)
        if not self.kind.centre:
            return forms
        if self.kind.ranks:  # their mean is known, and a half-integer: subtracting it keeps ties exact
            return np.asarray(forms - ((total + 1) / 2)[:, None, None])
        mean = (forms @ weights[:, :, None])[..., 0] / np.where(total > 0, total, np.nan)[:, None]
        return np.asarray(forms - mean[..., None])

    def gram(self, forms: Values, weights: Values, counts: Values) -> Values:
        """Return inner products of all RDMs with all, (n_draws, n_rdms, n_rdms)."""
        products = (forms * weights[:, None]) @ np.swapaxes(forms, 1, 2)
        if not self.kind.whiten:
            return np.asarray(products)
        # Inverse of the covariance of dissimilarities when stimuli repeat, in closed form: no matrix of pairs by pairs.
        n = counts.shape[1]
        square = square_rdms(forms)
        sums = (square @ counts[:, None, :, None])[..., 0]  # (n_draws, n_rdms, n_stimuli)
        denominator = n + 2 - 2 * counts
        denominator = np.where(denominator == 0, np.nan, denominator)  # half of all draws are one stimulus
        f = counts / denominator
        sigma = (sums @ f[:, :, None]) / (1 + f.sum(axis=1))[:, None, None]
        shares = (sums - sigma) / denominator[:, None]
        return np.asarray((products - (sums * counts[:, None]) @ np.swapaxes(shares, 1, 2)) / 2)

    def norms(self, gram: Values, weights: Values) -> Values:
        """Return what products are divided by, (n_draws, n_rdms): NaN for an RDM that is constant in a draw."""
        squared = np.einsum("drr->dr", gram)
        total = weights.sum(axis=1)[:, None]
        if self.kind.untied:
            return np.asarray(np.sqrt((total**3 - total) / 12) * np.ones_like(squared))
        least = 1e-12 * np.square(self.rdms).sum(axis=1) if not self.kind.ranks else 1e-9
        return np.asarray(np.sqrt(np.where(squared > least, squared, np.nan)))

    def _ranks(self, row: int, weights: Values) -> Values:
        """Return ranks of one RDM in every draw, ties at their mean."""
        codes, order = self._codes[row], self._orders[row]
        starts = np.searchsorted(codes[order], np.arange(codes.max() + 1))
        group = np.add.reduceat(weights[:, order], starts, axis=1)
        ranks = np.cumsum(group, axis=1) - (group - 1) / 2
        return np.asarray(ranks[:, codes])


def noise_ceilings(stack: Resampled, forms: Values, gram: Values, weights: Values, subjects: Values) -> Values:
    """Return lower and upper noise ceiling of every draw, (n_draws, 2).

    Parameters
    ----------
    stack : Resampled
        The subjects' RDMs.
    forms, gram, weights
        What `stack` makes of a draw of stimuli.
    subjects : array (n_draws, n_subjects)
        Multiplicity of each subject. Leaving a subject out leaves all its copies out; the ceilings are means over the
        different subjects of the draw. One draw of subjects goes with many of stimuli, or the other way round.
    """
    if stack.kind.ranks:
        n_draws = max(len(forms), len(subjects))
        each = [np.broadcast_to(x, (n_draws, *x.shape[1:])) for x in (forms, weights, subjects)]
        found = [_ranked_ceiling(stack.kind, *draw) for draw in zip(*each, strict=True)]
        return np.array(found).reshape(-1, 2)
    # Pools are means of RDMs of unit root mean square, so every product with a pool is a sum of entries of the Gram.
    total = weights.sum(axis=1)[:, None]
    power = (np.square(forms) @ weights[:, :, None])[..., 0]
    scale = 1 / np.sqrt(np.where(power > 0, power, np.nan) / total)
    g = gram * scale[:, :, None] * scale[:, None, :]
    own, pooled = np.einsum("dss->ds", g), (g @ subjects[:, :, None])[..., 0]  # (n_draws, n_subjects)
    everything = (subjects * pooled).sum(axis=1)[:, None]
    rest = everything - 2 * subjects * pooled + np.square(subjects) * own
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = pooled / np.sqrt(own * everything)
        lower = (pooled - subjects * own) / np.sqrt(own * np.where(rest > 1e-12 * everything, rest, np.nan))
    drawn = subjects > 0
    n_drawn = drawn.sum(axis=1)
    lower = np.where(n_drawn > 1, np.where(drawn, lower, 0).sum(axis=1) / n_drawn, np.nan)
    return np.stack([lower, np.where(drawn, upper, 0).sum(axis=1) / n_drawn], axis=1)


def _ranked_ceiling(kind: Comparison, forms: Values, weights: Values, subjects: Values) -> tuple[float, float]:
    """Return the ceilings of one draw: mean ranks of subjects, ranked again, against each subject's ranks."""
    drawn, present = np.flatnonzero(subjects), weights > 0
    forms, weights = forms[drawn][:, present], weights[present]
    everything = subjects[drawn] @ forms
    pools = np.concatenate([everything[None], everything - subjects[drawn, None] * forms])
    ranks = np.stack([_weighted_ranks(pool, weights) for pool in pools])  # sums of half-integers: ties are exact
    total = weights.sum()
    ranks -= (ranks @ weights / total)[:, None]
    products = (ranks * weights) @ forms.T  # (1 + n_drawn, n_drawn)
    own, pooled = (np.square(x) @ weights for x in (forms, ranks))
    if kind.untied:
        own, pooled = (np.full_like(x, (total**3 - total) / 12) for x in (own, pooled))
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = products[0] / np.sqrt(own * pooled[0])
        lower = np.diag(products[1:]) / np.sqrt(own * pooled[1:])
    return (float(lower.mean()) if len(drawn) > 1 else np.nan), float(upper.mean())


def _weighted_ranks(values: Values, weights: Values) -> Values:
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    group = np.add.reduceat(weights[order], starts)
    rank = np.cumsum(group) - (group - 1) / 2
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(rank, np.diff(np.append(starts, len(values))))
    return ranks
