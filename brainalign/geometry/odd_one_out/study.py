"""Everything one study of odd-one-out judgements is asked: embeddings, their dimensions, how well choices follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.geometry.odd_one_out.embedding import SparseConcepts, VariationalConcepts
from brainalign.geometry.odd_one_out.odd_columns import spectral_similarities
from brainalign.geometry.odd_one_out.reproducibility import Reproducibility, match_dimensions, reproducible_dimensions
from brainalign.geometry.odd_one_out.triplet_splits import check_triplets_apart
from brainalign.geometry.odd_one_out.triplets import (
    CHANCE,
    TripletCeilings,
    object_similarities,
    odd_one_out_accuracy,
    shuffled_triplets,
    triplet_keys,
)

Triplets = NDArray[np.int64]
Method = SparseConcepts | VariationalConcepts

CONCEPT_METHODS: dict[str, type[SparseConcepts] | type[VariationalConcepts]] = {
    "sparse": SparseConcepts,
    "variational": VariationalConcepts,
}


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
    keys = triplet_keys(np.concatenate([triplets, repeats, top]))
    return triplets[~np.isin(keys[: len(triplets)], keys[len(triplets) : -1])]


def fit_concepts(
    make: Callable[[Sequence[int]], Method], triplets: Triplets, n_objects: int, seeds: Sequence[int], least_r: float
) -> ConceptFit:
    """Fit a method from every seed, find the dimensions that all starts share, and fit shuffled choices.

    Parameters
    ----------
    make : callable
        Returns an estimator for given seeds.
    triplets : array (n_triplets, 3)
        For training.
    n_objects : int
    seeds : sequence of int
    least_r : float
        See `reproducible_dimensions`.
    """
    fitted = make(seeds).fit(triplets, n_objects)
    again = reproducible_dimensions(fitted.embeddings_, least_r)
    control = shuffled_triplets(triplets, np.random.default_rng(seeds[0]))
    shuffled = make(seeds[:1]).fit(control, n_objects).embedding_
    return ConceptFit(fitted, again, fitted.embeddings_[again.reference], shuffled)


def choice_table(
    fits: Mapping[str, ConceptFit],
    train: Triplets,
    tests: Mapping[str, Triplets],
    n_objects: int,
    ceilings: TripletCeilings | None,
    published: Values | None = None,
) -> pd.DataFrame:
    """Tabulate the accuracy on held-out choices, beside a method without training, controls and the ceiling.

    Parameters
    ----------
    fits : mapping of ConceptFit
        By the name of the method.
    train : array (n_train, 3)
    tests : mapping of array (n, 3)
        Triplets of which none is in `train`, by the name of the split.
    n_objects : int
    ceilings : TripletCeilings, optional
        That of accuracy is used.
    published : array (n_objects, n_dimensions), optional

    Returns
    -------
    DataFrame
        A row per candidate and split: name, kind (embedding, reproducible, baseline, published, control), split,
        accuracy, se (over choices), n_triplets, n_dimensions, chance, ceiling_low, ceiling_high, share_low, share_high
        (of the way from chance to the ceiling's bounds).

    Raises
    ------
    BrainalignError
        If a triplet is in train and in a test.
    """
    check_triplets_apart(train, tests)
    candidates: list[tuple[str, str, Values, int]] = []
    for name, fit in fits.items():
        for kind, values in (
            ("embedding", fit.embedding),
            ("reproducible", fit.reproducible),
            ("control", fit.shuffled),
        ):
            candidates.append((name, kind, object_similarities(values), values.shape[1]))
    candidates.append(("spectral", "baseline", spectral_similarities(train, n_objects), 0))
    if published is not None:
        candidates.append(("published", "published", object_similarities(published), published.shape[1]))
    low, high = (ceilings.accuracy_low, ceilings.accuracy_high) if ceilings else (np.nan, np.nan)
    rows = []
    for split, test in tests.items():
        for name, kind, similarities, n_dimensions in candidates:
            accuracy = odd_one_out_accuracy(similarities, test)
            row = {"name": name, "kind": kind, "split": split, "accuracy": accuracy, "se": _se(accuracy, len(test))}
            row |= {"n_triplets": len(test), "n_dimensions": n_dimensions}
            rows.append(row | _of_ceiling(accuracy, low, high))
    return pd.DataFrame(rows)


def _se(accuracy: float, n: int) -> float:
    return float(np.sqrt(accuracy * (1 - accuracy) / n))


def _of_ceiling(accuracy: float, low: float, high: float) -> dict[str, float]:
    row = {"chance": CHANCE, "ceiling_low": low, "ceiling_high": high}
    shares = {"share_low": (accuracy - CHANCE) / (high - CHANCE), "share_high": (accuracy - CHANCE) / (low - CHANCE)}
    return row | shares


def dimension_table(
    fits: Mapping[str, ConceptFit],
    labels: Sequence[str],
    published: Values | None,
    words: Sequence[str],
    n_top: int = 8,
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
    n_top : int
        Objects named.
    """
    rows = []
    for method, fit in fits.items():
        r, partner = np.full(fit.embedding.shape[1], np.nan), np.full(fit.embedding.shape[1], -1)
        if published is not None:
            r, partner = match_dimensions(fit.embedding, np.asarray(published, dtype=np.float64))
        for k, weights in enumerate(fit.embedding.T):
            top = [j for j in np.argsort(-weights, kind="stable")[:n_top] if weights[j] > 0]
            name = "" if partner[k] < 0 else words[partner[k]] if words else f"dimension {partner[k] + 1}"
            rows.append(
                {
                    "method": method,
                    "dimension": k + 1,
                    "r": fit.found_again.r[k],
                    "reproducible": bool(fit.found_again.reproducible[k]),
                    "weight": weights.sum() / fit.embedding.sum(),
                    "top": [labels[j] for j in top],
                    "published": name,
                    "published_r": r[k],
                }
            )
    columns = ["method", "dimension", "r", "reproducible", "weight", "top", "published", "published_r"]
    return pd.DataFrame(rows, columns=columns)
