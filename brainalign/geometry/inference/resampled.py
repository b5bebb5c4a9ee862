"""Comparisons of RDMs whose stimuli were drawn with repetition: pairs get weights, nothing is copied.

A stimulus drawn c times makes the pair (I, J) count c_I c_J times; pairs of a stimulus with itself are left out, as
their dissimilarity is zero by construction.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.condensed import n_stimuli_of, square_rdms
from brainalign.geometry.inference.comparisons import COMPARISONS, Comparison, defined_mean
from brainalign.geometry.rdms import dense_codes, equal_masks

CHUNK_BYTES = 100_000_000


def multiplicities(indices: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    """Count the times each of n things was drawn, (n_draws, n), from index draws (n_draws, n_drawn)."""
    counts = np.zeros((len(indices), n))
    np.add.at(counts, (np.arange(len(indices))[:, None], indices), 1)
    return counts


@dataclass(frozen=True)
class Products:
    """Inner products of a stack of RDMs in every draw of stimuli, and what they are scaled by."""

    kind: Comparison
    gram: Values
    power: Values
    least: Values
    weights: Values
    forms: Values | None = None

    def of(self, rows: slice) -> "Products":
        """Return those of some of the RDMs."""
        forms = None if self.forms is None else self.forms[:, rows]
        gram, power = self.gram[:, rows, rows], self.power[:, rows]
        return replace(self, gram=gram, power=power, least=self.least[rows], forms=forms)

    @property
    def norms(self) -> Values:
        """What products are divided by, (n_draws, n_rdms): NaN for an RDM that is constant in a draw."""
        squared = np.einsum("drr->dr", self.gram)
        if self.kind.untied:
            total = self.weights.sum(axis=1)[:, None]
            return np.asarray(np.sqrt((total**3 - total) / 12) * np.ones_like(squared))
        return np.asarray(np.sqrt(np.where(squared > self.least, squared, np.nan)))


class Resampled:
    """A stack of RDMs (n_rdms, n_pairs), whole among `seen` pairs, ready to be compared under any draw of stimuli.

    Ranks are sorted once; a draw only sums weights in that order. For other comparisons all draws are one product of
    matrices per RDM, as neither values nor products change with the draw. The first `n_crossed` RDMs (all by default)
    are multiplied with all, the others with these and themselves alone.
    """

    def __init__(self, rdms: Values, kind: Comparison, seen: NDArray[np.bool_], n_crossed: int | None = None) -> None:
        self.kind, self.seen, self.rdms = kind, seen, rdms[:, seen]
        self.n_crossed = len(rdms) if n_crossed is None else n_crossed
        if kind.ranks:
            self._codes = [dense_codes(row) for row in self.rdms]
            self._orders = [np.argsort(codes, kind="stable") for codes in self._codes]
            each = zip(self._codes, self._orders, strict=True)
            self._starts = [np.flatnonzero(np.diff(codes[order], prepend=-1)) for codes, order in each]
            return
        values = self.rdms
        # The mean of a draw is a product with ones; most of it is subtracted here, against cancellation.
        if kind.centre:
            values = np.concatenate([np.ones((1, values.shape[1])), values - values.mean(axis=1, keepdims=True)])
        self._values = values
        if kind.whiten:
            filled = np.zeros((len(values), len(seen)))
            filled[:, seen] = values
            self._square = square_rdms(filled)
            self._unseen = 1 - square_rdms(seen.astype(np.float64)) - np.eye(self._square.shape[-1])

    def pair_weights(self, counts: Values) -> Values:
        """Return the weight of each pair, (n_draws, n_seen), from stimulus multiplicities (n_draws, n_stimuli)."""
        i, j = np.triu_indices(counts.shape[1], 1)
        return np.asarray(counts[:, i[self.seen]] * counts[:, j[self.seen]])

    def products(self, counts: Values) -> Products:
        """Return inner products under stimulus multiplicities, (n_draws, n_stimuli)."""
        weights = self.pair_weights(counts)
        if self.kind.ranks:
            return self._rank_products(weights)
        total = weights.sum(axis=1)
        total = np.where(total > 0, total, np.nan)[:, None]
        gram = self._plain_gram(weights)
        power = np.einsum("drr->dr", gram) / total
        mean = gram[:, 0, 1:] / total if self.kind.centre else None
        if self.kind.whiten:
            gram = self._whitened_gram(gram, counts)
        if mean is not None:
            power = power[:, 1:] - np.square(mean)
            ones, own = gram[:, 0, 1:], gram[:, :1, :1]
            crossed = mean[:, :, None] * ones[:, None]
            gram = gram[:, 1:, 1:] - crossed - np.swapaxes(crossed, 1, 2) + own * mean[:, :, None] * mean[:, None]
        return Products(self.kind, gram, power, 1e-12 * np.square(self.rdms).sum(axis=1), weights)

    def _plain_gram(self, weights: Values) -> Values:
        """Return weighted sums of products of values, (n_draws, n_values, n_values), a product with `weights` each."""
        n = len(self._values)
        n_crossed = self.n_crossed + n - len(self.rdms)
        gram = np.full((len(weights), n, n), np.nan)
        for row, values in enumerate(self._values[:n_crossed]):
            gram[:, row, row:] = gram[:, row:, row] = weights @ (values * self._values[row:]).T
        rest = np.arange(n_crossed, n)
        gram[:, rest, rest] = weights @ np.square(self._values[rest]).T
        return gram

    def _whitened_gram(self, gram: Values, counts: Values) -> Values:
        """Return a' V^-1 b from plain a' b, V the covariance of the dissimilarities when stimuli repeat.

        Missing pairs (those of a stimulus with itself among them) take the values that make the form smallest, u_I +
        u_J: one unknown per stimulus, however many pairs are missing.
        """
        n_values, n = self._square.shape[:2]
        sums = counts @ np.moveaxis(self._square, 1, 0).reshape(n, n_values * n)  # symmetric: either axis of stimuli
        sums = sums.reshape(-1, n_values, n)
        shares = _solved(sums, counts, self._unseen)
        return np.asarray((gram - (sums * counts[:, None]) @ np.swapaxes(shares, 1, 2)) / 2)

    def _rank_products(self, weights: Values) -> Products:
        forms = np.stack([self._ranks(row, weights) for row in range(len(self.rdms))], axis=1)
        total = weights.sum(axis=1)
        forms -= ((total + 1) / 2)[:, None, None]  # their mean is known, and a half-integer: ties stay exact
        weighted = forms * weights[:, None]
        squares = (weighted * forms).sum(axis=2)
        gram = np.full((len(weights), len(self.rdms), len(self.rdms)), np.nan)
        gram[:, : self.n_crossed] = weighted[:, : self.n_crossed] @ np.swapaxes(forms, 1, 2)
        gram[:, :, : self.n_crossed] = np.swapaxes(gram[:, : self.n_crossed], 1, 2)
        rows = np.arange(len(self.rdms))
        gram[:, rows, rows] = squares
        power = squares / np.where(total > 0, total, np.nan)[:, None]
        return Products(self.kind, gram, power, np.full(len(self.rdms), 1e-9), weights, forms)

    def _ranks(self, row: int, weights: Values) -> Values:
        """Return ranks of one RDM in every draw, ties at their mean."""
        codes, starts = self._codes[row], self._starts[row]
        group = np.take(weights, self._orders[row], axis=1)  # an index would take four times as long
        if len(starts) < len(codes):  # ties
            group = np.add.reduceat(group, starts, axis=1)
        return np.take(np.cumsum(group, axis=1) - (group - 1) / 2, codes, axis=1)


def _solved(sums: Values, counts: Values, unseen: Values) -> Values:
    """Return u of (n + 2 - 2 c_I - m_I) u_I + sum_J seen_IJ c_J u_J = sums_I, m_I the draws that I has no pair with."""
    denominator = counts.sum(axis=1)[:, None] + 2 - 2 * counts - counts @ unseen
    complete = not unseen.any()
    closed = (denominator != 0).all(axis=1) & complete  # half of a draw is one stimulus where one is 0
    shares = np.empty_like(sums)
    if closed.any():
        inverse = 1 / denominator[closed]
        f = counts[closed] * inverse
        sigma = (sums[closed] @ f[:, :, None]) / (1 + f.sum(axis=1))[:, None, None]
        shares[closed] = (sums[closed] - sigma) * inverse[:, None]
    for draw in np.flatnonzero(~closed):
        matrix = np.diag(denominator[draw]) + (1 - unseen) * counts[draw]
        shares[draw] = np.linalg.solve(matrix, sums[draw].T).T
    return shares


def noise_ceilings(products: Products, subjects: Values) -> Values:
    """Return lower and upper noise ceiling of every draw (n_draws, 2), from products of the subjects' RDMs.

    Of multiplicities (n_draws, n_subjects): leaving a subject out leaves all its copies out; the ceilings are means
    over the different subjects of the draw, but for those whose RDM is constant in it. One draw of subjects goes with
    many of stimuli, or the other way round.
    """
    kind, weights = products.kind, products.weights
    if products.forms is not None:
        n_draws = max(len(weights), len(subjects))
        each = [np.broadcast_to(x, (n_draws, *x.shape[1:])) for x in (products.forms, weights, subjects)]
        return np.array([_ranked_ceiling(kind, *draw) for draw in zip(*each, strict=True)]).reshape(-1, 2)
    # Pools are means of RDMs of unit root mean square, so every product with a pool is a sum of entries of the Gram.
    known = np.isfinite(products.norms) & (products.power > 0)
    scale, subjects = 1 / np.sqrt(np.where(known, products.power, np.nan)), subjects * known
    g = np.nan_to_num(products.gram * scale[:, :, None] * scale[:, None, :])
    own, pooled = np.einsum("dss->ds", g), (g @ subjects[:, :, None])[..., 0]  # (n_draws, n_subjects)
    everything = (subjects * pooled).sum(axis=1)[:, None]
    rest = everything - 2 * subjects * pooled + np.square(subjects) * own
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = pooled / np.sqrt(own * everything)
        lower = (pooled - subjects * own) / np.sqrt(own * np.where(rest > 1e-12 * everything, rest, np.nan))
    drawn = subjects > 0
    n_drawn = np.where(drawn.any(axis=1), drawn.sum(axis=1), np.nan)
    lower = np.where(n_drawn > 1, np.where(drawn, lower, 0).sum(axis=1) / n_drawn, np.nan)
    return np.stack([lower, np.where(drawn, upper, 0).sum(axis=1) / n_drawn], axis=1)


def _ranked_ceiling(kind: Comparison, forms: Values, weights: Values, subjects: Values) -> tuple[float, float]:
    """Return the ceilings of one draw: mean ranks of subjects, ranked again, against each subject's ranks."""
    drawn, present = np.flatnonzero(subjects), weights > 0
    if present.sum() < 2:
        return np.nan, np.nan
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
    return (float(defined_mean(lower, axis=0)) if len(drawn) > 1 else np.nan), float(defined_mean(upper, axis=0))


def _weighted_ranks(values: Values, weights: Values) -> Values:
    _, codes = np.unique(values, return_inverse=True)
    group = np.bincount(codes, weights)
    return np.asarray((np.cumsum(group) - (group - 1) / 2)[codes])


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
        step = self._draws_at_once()
        for start in range(0, len(stimuli), step):
            per_subject, within = self._scores(stimuli[start : start + step])
            for results, counts in zip(found, subjects, strict=True):
                # One set of stimuli with many of subjects, one of subjects with many of stimuli, or a pair per draw.
                drawn = counts if len(counts) == 1 or len(stimuli) == 1 else counts[start : start + step]
                scores = mean_over_subjects(per_subject, drawn)
                n_draws = len(scores)
                ceilings = np.full((n_draws, 2), np.nan) if within is None else noise_ceilings(within, drawn)
                results.append(np.concatenate([scores, ceilings], axis=1))
        return [np.concatenate(results) for results in found]

    def of_stimuli(self, stimuli: Values) -> Values:
        """Return the comparison of subjects with models in every draw, (n_draws, n_subjects, n_models), no ceilings."""
        step = self._draws_at_once()
        return np.concatenate([self._scores(stimuli[k : k + step])[0] for k in range(0, len(stimuli), step)])

    def _draws_at_once(self) -> int:
        return max(1, CHUNK_BYTES // (8 * max([_numbers_per_draw(stack) for _, _, stack in self.blocks], default=1)))

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
    return int(n_rdms * (n_pairs if stack.kind.ranks else 2 * n_stimuli_of(len(stack.seen)) + n_rdms) + n_pairs)


def mean_over_subjects(per_subject: Values, counts: Values) -> Values:
    """Return means weighted by multiplicity, over the subjects that have a score."""
    defined = np.isfinite(per_subject)
    total = np.einsum("...sm,...s->...m", np.where(defined, per_subject, 0), counts)
    n = np.einsum("...sm,...s->...m", defined.astype(np.float64), counts)
    return np.asarray(np.where(n > 0, total / np.where(n > 0, n, 1), np.nan))
