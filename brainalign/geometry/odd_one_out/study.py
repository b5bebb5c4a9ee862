"""Everything one study of odd-one-out judgements is asked.

Is the odd one really last; embeddings, and which of their dimensions are found again from other starts, judged on
objects that did not match them; how well choices follow, beside similarities that need no training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows, generator
from brainalign.geometry.network_similarity import cross_correlations
from brainalign.geometry.odd_one_out import triplets as judgements
from brainalign.geometry.odd_one_out.embedding import SparseConcepts, VariationalConcepts
from brainalign.geometry.odd_one_out.triplet_splits import check_triplets_apart, split_triplets
from brainalign.geometry.odd_one_out.triplets import CHANCE, PAIRS

Triplets = NDArray[np.int64]
Method = SparseConcepts | VariationalConcepts

CONCEPT_METHODS: dict[str, type[SparseConcepts] | type[VariationalConcepts]] = {
    "sparse": SparseConcepts,
    "variational": VariationalConcepts,
}

SMOOTHING = 3.0  # judgements of a pair that are worth as much as knowing nothing of it
SPECTRAL_DIMENSIONS = 20
CLEAR = 4.0  # standard errors by which another column must be the better odd one before it is believed


@dataclass(frozen=True)
class Reproducibility:
    """How well the dimensions of one start are found again from the others.

    Attributes
    ----------
    reference : int
        The start of which most is found again: with the largest sum of r². The largest mean is that of one that lost
        dimensions.
    r : array (n_dimensions,)
        Of the reference: mean |r| with the dimension that matches it, over the other starts; 0 where one has none.
    reproducible : array (n_dimensions,)
        r above the threshold.
    means : array (n_starts,)
        Mean r if each start were the reference.
    """

    reference: int
    r: Values
    reproducible: NDArray[np.bool_]
    means: Values


def match_dimensions(a: Values, b: Values) -> tuple[Values, NDArray[np.intp]]:
    """Pair dimensions of two embeddings one to one such that the sum of |r| over objects is largest.

    Returns |r| of each of a with its partner (0 without one), and the partner's column in b (-1 without one).
    """
    check_rows("one embedding", len(a), "the other", len(b), "both must be of the same objects")
    return _paired(np.abs(cross_correlations(a, b)))


def reproducible_dimensions(
    embeddings: Sequence[Values], least: float = 0.8, rng: np.random.Generator | None = None
) -> Reproducibility:
    """Match the dimensions of every start with those of every other on half of the objects; correlate on the others.

    Both halves take both roles. Matching and judging on the same objects would find chance matches among many
    dimensions.

    Parameters
    ----------
    embeddings : sequence of array (n_objects, n_dimensions)
        From different starts, 20 or more for a figure that is to be reported.
    least : float
        |r| above which a dimension counts as reproducible.
    rng : Generator, optional
        Draws the halves; even and odd rows where not given.

    Raises
    ------
    BrainalignError
        With fewer than two starts, or fewer than six objects.
    """
    if len(embeddings) < 2 or len(embeddings[0]) < 6:
        n_objects = len(embeddings[0]) if len(embeddings) else 0
        raise BrainalignError(
            f"reproducibility needs 2 or more starts and 6 or more objects; got {len(embeddings)} and {n_objects}"
        )
    n = len(embeddings[0])
    order = np.arange(n) if rng is None else generator(rng).permutation(n)
    halves, found = [order[::2], order[1::2]], []
    for s, reference in enumerate(embeddings):
        others = [_found_again(reference, other, halves) for t, other in enumerate(embeddings) if t != s]
        found.append(np.mean(others, axis=0))
    means = np.array([values.mean() if len(values) else 0.0 for values in found])
    again = np.array([(values**2).sum() for values in found])
    best = int(again.round(9).argmax())  # of starts alike, as two always are, the first on any processor
    return Reproducibility(best, found[best], found[best] > least, means)


def _found_again(a: Values, b: Values, halves: list[NDArray[np.intp]]) -> Values:
    total = np.zeros(a.shape[1])
    for matched, judged in (halves, halves[::-1]):
        _, partner = _paired(np.abs(cross_correlations(a[matched], b[matched])))
        r = np.abs(cross_correlations(a[judged], b[judged]))
        has = partner >= 0
        total[has] += r[np.flatnonzero(has), partner[has]]
    return np.asarray(total / 2)


def _paired(r: Values) -> tuple[Values, NDArray[np.intp]]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-r)
    partner = np.full(len(r), -1, dtype=np.intp)
    partner[rows] = columns
    return np.where(partner >= 0, r[np.arange(len(r)), partner] if r.shape[1] else 0, 0), partner


@dataclass(frozen=True)
class ConceptFit:
    """Embeddings of one method from several starts.

    Attributes
    ----------
    fitted : SparseConcepts or VariationalConcepts
    found_again : Reproducibility
    embedding : array (n_objects, n_dimensions)
        Of the reference start.
    shuffled : array (n_objects, n_any)
        Fitted to the same triplets with the odd one at random: the control.
    """

    fitted: Method
    found_again: Reproducibility
    embedding: NDArray[np.float64]
    shuffled: NDArray[np.float64]

    @property
    def reproducible(self) -> NDArray[np.float64]:
        """The dimensions that are found again; all where none is, since nothing is to be compared with nothing."""
        kept = self.found_again.reproducible
        return self.embedding[:, kept] if kept.any() else self.embedding


def unrepeated(triplets: Triplets, repeats: Triplets, n_objects: int) -> Triplets:
    """Return the triplets whose three objects are in none of the repeated ones, which are for the test only."""
    top = np.full((1, 3), n_objects)  # keys depend on the largest number
    keys = judgements.triplet_keys(np.concatenate([triplets, repeats, top]))
    return triplets[~np.isin(keys[: len(triplets)], keys[len(triplets) : -1])]


def fit_concepts(
    make: Callable[[Sequence[int]], Method], triplets: Triplets, n_objects: int, seeds: Sequence[int], least_r: float
) -> ConceptFit:
    """Fit a method from every seed, find the dimensions that all starts share, and fit shuffled choices.

    `make` returns an estimator for given seeds; `triplets` (n_triplets, 3) train it; `least_r` is that of
    `reproducible_dimensions`.
    """
    fitted = make(seeds).fit(triplets, n_objects)
    again = reproducible_dimensions(fitted.embeddings_, least_r)
    control = judgements.shuffled_triplets(triplets, np.random.default_rng(seeds[0]))
    shuffled = make(seeds[:1]).fit(control, n_objects).embedding_
    return ConceptFit(fitted, again, fitted.embeddings_[again.reference], shuffled)


def choice_table(
    fits: Mapping[str, ConceptFit],
    train: Triplets,
    tests: Mapping[str, Triplets],
    n_objects: int,
    ceilings: judgements.TripletCeilings | None,
    published: Values | None = None,
) -> pd.DataFrame:
    """Tabulate the accuracy on held-out choices, beside a method without training, controls and the ceiling.

    `fits` are by the name of the method, `tests` (n, 3) by the name of the split: none of their triplets may be in
    `train` (n_train, 3). Of `ceilings` that of accuracy is used; `published` is an embedding (n_objects, n_dimensions).

    Returns
    -------
    DataFrame
        A row per candidate and split: name, kind (embedding, reproducible, baseline, published, control), split,
        accuracy, se (over triplets), n_triplets, n_dimensions, chance, ceiling_low, ceiling_high, share_low, share_high
        (of the way from chance to the ceiling's bounds). Of the split "repeated", as its ceilings, over the different
        triplets that were judged twice or more.
    """
    check_triplets_apart(train, tests)
    candidates: list[tuple[str, str, Values, int]] = []
    for name, fit in fits.items():
        kinds = {"embedding": fit.embedding, "reproducible": fit.reproducible, "control": fit.shuffled}
        candidates += [(name, kind, judgements.object_similarities(x), x.shape[1]) for kind, x in kinds.items()]
    candidates.append(("spectral", "baseline", spectral_similarities(train, n_objects), 0))
    if published is not None:
        candidates.append(("published", "published", judgements.object_similarities(published), published.shape[1]))
    low, high = (ceilings.accuracy_low, ceilings.accuracy_high) if ceilings else (np.nan, np.nan)
    rows = []
    for split, judged in tests.items():
        test, shares = judgements.judged_shares(judged) if split == "repeated" else (judged, None)
        for name, kind, similarities, n_dimensions in candidates:
            named = judgements.odd_one_out_shares(similarities, test)
            credit = named[:, 2] if shares is None else (named * shares).sum(axis=1)
            accuracy, se = float(credit.mean()), float(credit.std() / np.sqrt(len(test)))
            row = {"name": name, "kind": kind, "split": split, "accuracy": accuracy, "se": se}
            row |= {"n_triplets": len(test), "n_dimensions": n_dimensions}
            row |= {"chance": CHANCE, "ceiling_low": low, "ceiling_high": high}
            way = [(accuracy - CHANCE) / (bound - CHANCE) for bound in (high, low)]
            rows.append(row | dict(zip(("share_low", "share_high"), way, strict=True)))
    return pd.DataFrame(rows)


def dimension_table(
    fits: Mapping[str, ConceptFit], labels: Sequence[str], published: Values | None, words: Sequence[str]
) -> pd.DataFrame:
    """Return a row per dimension: how well it is found again, the objects that have most of it, its published partner.

    Parameters
    ----------
    fits : mapping of ConceptFit
    labels : sequence of str
        Names of the objects.
    published : array (n_objects, n_dimensions), optional
    words : sequence of str
        What its dimensions are; numbers where empty.
    """
    rows = []
    for method, fit in fits.items():
        r, partner = np.full(fit.embedding.shape[1], np.nan), np.full(fit.embedding.shape[1], -1)
        if published is not None:
            r, partner = match_dimensions(fit.embedding, np.asarray(published, dtype=np.float64))
        for k, weights in enumerate(fit.embedding.T):
            top = [j for j in np.argsort(-weights, kind="stable")[:8] if weights[j] > 0]
            name = "" if partner[k] < 0 else words[partner[k]] if words else f"dimension {partner[k] + 1}"
            again, weight = fit.found_again, weights.sum() / fit.embedding.sum()
            of_most = [labels[j] for j in top]
            rows.append((method, k + 1, again.r[k], bool(again.reproducible[k]), weight, of_most, name, r[k]))
    columns = ["method", "dimension", "r", "reproducible", "weight", "top", "published", "published_r"]
    return pd.DataFrame(rows, columns=columns)


def odd_column_shares(
    triplets: Triplets, n_objects: int, rng: np.random.Generator, similarities: Values | None = None
) -> NDArray[np.float64]:
    """Score each column of a table of triplets (n_triplets, 3) as the odd one: the score of the last must be largest.

    With similarities (n_objects, n_objects) from elsewhere (a published embedding), the share of triplets in which the
    pair without that column is the most similar one. Without: similarities are estimated from half of the triplets,
    under the hypothesis that this column is the odd one, as the leading components of how often pairs remain; and
    scored on the other half.
    """
    rows = judgements.check_triplets(triplets, n_objects)
    orders = [(*pair, odd) for odd, pair in enumerate(PAIRS)]
    if similarities is not None:
        return np.array([judgements.odd_one_out_accuracy(similarities, rows[:, order]) for order in orders])
    split, shares = split_triplets(rows, 0.5, rng), []
    for order in orders:
        found = spectral_similarities(rows[split.train][:, order], n_objects)
        shares.append(judgements.odd_one_out_accuracy(found, rows[split.test][:, order]))
    return np.array(shares)


def check_odd_last(
    triplets: Triplets, n_objects: int, embedding: Values | None = None, seed: int = 0
) -> NDArray[np.float64]:
    """Check that the odd one of every triplet stands last; return `odd_column_shares`.

    Refused if another column is clearly the odd one, or a published embedding (n_objects, n_dimensions) predicts the
    choices no better than chance.
    """
    published = None if embedding is None else judgements.object_similarities(embedding)
    shares = odd_column_shares(triplets, n_objects, np.random.default_rng(seed), published)
    se = 0.5 / np.sqrt(len(triplets) * (1 if published is not None else 0.5))
    best = int(shares.argmax())
    if best != 2 and shares[best] - shares[2] > CLEAR * se:
        scores = ", ".join(f"{share:.3f}" for share in shares)
        raise BrainalignError(
            f"the odd one of a triplet must stand last, but in these data column {best + 1} seems to be the odd one: "
            f"taken as odd, the three columns predict {scores} of the choices; put the odd one last"
        )
    if published is not None and shares[2] < CHANCE + CLEAR * se:
        raise BrainalignError(
            f"the published embedding predicts {shares[2]:.3f} of the choices, no more than chance: its rows, the list "
            "of objects and the numbers in the triplets do not belong together (index_base, order of the objects)"
        )
    return shares


def spectral_similarities(triplets: Triplets, n_objects: int) -> NDArray[np.float64]:
    """Return similarities from how often pairs remain, without any training: what every embedding must beat.

    Leading components of (times the pair remained - a third of the times it was shown) / (times shown + 3).
    """
    n = n_objects
    remaining, shown = np.zeros(n * n), np.zeros(n * n)
    for k, (i, j) in enumerate(PAIRS):
        counts = np.bincount(triplets[:, i].astype(np.int64) * n + triplets[:, j], minlength=n * n)
        shown += counts
        remaining += counts if k == 2 else 0
    square = [(counts.reshape(n, n) + counts.reshape(n, n).T) for counts in (remaining, shown)]
    excess = (square[0] - CHANCE * square[1]) / (square[1] + SMOOTHING)
    values, vectors = np.linalg.eigh(excess)
    kept = np.argsort(np.abs(values))[-min(SPECTRAL_DIMENSIONS, max(n // 4, 1)) :]
    return np.asarray((vectors[:, kept] * values[kept]) @ vectors[:, kept].T)
