"""Is the odd one really last? And similarities that need no training, which tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.geometry.odd_one_out.triplet_splits import split_triplets
from brainalign.geometry.odd_one_out.triplets import (
    CHANCE,
    PAIRS,
    Triplets,
    check_triplets,
    object_similarities,
    odd_one_out_accuracy,
)

SMOOTHING = 3.0  # judgements of a pair that are worth as much as knowing nothing of it
SPECTRAL_DIMENSIONS = 20
CLEAR = 4.0  # standard errors by which another column must be the better odd one before it is believed


def odd_column_shares(
    triplets: Triplets, n_objects: int, rng: np.random.Generator, similarities: Values | None = None
) -> NDArray[np.float64]:
    """Score each column of a table of triplets as the odd one: the score of the last must be largest.

    With similarities from elsewhere (a published embedding), the share of triplets in which the pair without that
    column is the most similar one. Without: similarities are estimated from half of the triplets, under the hypothesis
    that this column is the odd one, as the leading components of how often pairs remain; and scored on the other half.

    Parameters
    ----------
    triplets : array (n_triplets, 3)
    n_objects : int
    rng : Generator
    similarities : array (n_objects, n_objects), optional

    Returns
    -------
    array (3,)
    """
    rows = check_triplets(triplets, n_objects)
    orders = [(*pair, odd) for odd, pair in enumerate(PAIRS)]
    if similarities is not None:
        return np.array([odd_one_out_accuracy(similarities, rows[:, order]) for order in orders])
    split = split_triplets(rows, 0.5, rng)
    shares = []
    for order in orders:
        found = spectral_similarities(rows[split.train][:, order], n_objects)
        shares.append(odd_one_out_accuracy(found, rows[split.test][:, order]))
    return np.array(shares)


def check_odd_last(
    triplets: Triplets, n_objects: int, embedding: Values | None = None, seed: int = 0
) -> NDArray[np.float64]:
    """Check that the odd one of every triplet stands last.

    Parameters
    ----------
    triplets : array (n_triplets, 3)
    n_objects : int
    embedding : array (n_objects, n_dimensions), optional
        A published one; see `odd_column_shares`.
    seed : int, optional

    Returns
    -------
    array (3,)
        As `odd_column_shares`.

    Raises
    ------
    BrainalignError
        If another column is clearly the odd one, or the embedding predicts the choices no better than chance.
    """
    published = None if embedding is None else object_similarities(embedding)
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

    Parameters
    ----------
    triplets : array (n_triplets, 3)
        The odd one last.
    n_objects : int

    Returns
    -------
    array (n_objects, n_objects)
    """
    n = n_objects
    remaining, shown = np.zeros(n * n), np.zeros(n * n)
    for k, (i, j) in enumerate(PAIRS):
        places = triplets[:, i] * n + triplets[:, j]
        counts = np.bincount(places, minlength=n * n)
        shown += counts
        remaining += counts if k == 2 else 0
    square = [(counts.reshape(n, n) + counts.reshape(n, n).T) for counts in (remaining, shown)]
    excess = (square[0] - CHANCE * square[1]) / (square[1] + SMOOTHING)
    values, vectors = np.linalg.eigh(excess)
    kept = np.argsort(np.abs(values))[-min(SPECTRAL_DIMENSIONS, max(n // 4, 1)) :]
    return np.asarray((vectors[:, kept] * values[kept]) @ vectors[:, kept].T)
