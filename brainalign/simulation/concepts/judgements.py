"""Objects with properties, and people who judge which of three is the odd one out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from brainalign.checks import BrainalignError

Values = NDArray[np.float64]

SCALE = 0.42  # of the properties: with it people agree on about half of the triplets


@dataclass(frozen=True)
class ConceptWorld:
    """Judgements and the truth behind them.

    Attributes
    ----------
    embedding : array (n_objects, n_dimensions)
        How much of each property an object has, >= 0; most have few.
    triplets : array (n_triplets, 3)
        Different triplets, the odd one last.
    probabilities : array (n_triplets, 3)
        How probable each object of a triplet was to be chosen.
    repeats : array (n_repeated * n_people, 3)
        Further triplets, each judged by several people.
    features : array (n_objects, n_features)
        What a network might compute: the properties mixed at random, and noise.
    """

    embedding: Values
    triplets: NDArray[np.int64]
    probabilities: Values
    repeats: NDArray[np.int64]
    features: Values


def concept_world(
    n_objects: int = 60,
    n_dimensions: int = 6,
    n_triplets: int = 30_000,
    n_repeated: int = 0,
    n_people: int = 10,
    n_features: int = 40,
    noise: float = 0.1,
    seed: int = 0,
) -> ConceptWorld:
    """Draw objects and judgements: softmax over the dot products of the three pairs; what remains leaves the odd one.

    Parameters
    ----------
    n_triplets : int
        Of the different triplets that there are; more are refused.
    n_repeated, n_people : int
        Triplets that are not among these, and how often each of them is judged.
    noise : float
        Of the features, in standard deviations of what is mixed.
    """
    possible = n_objects * (n_objects - 1) * (n_objects - 2) // 6
    if n_triplets + n_repeated > possible:
        raise BrainalignError(f"{n_objects} objects have {possible} triplets; asked for {n_triplets + n_repeated}")
    rng = np.random.default_rng(seed)
    has = rng.random((n_objects, n_dimensions)) < 0.35
    has[np.arange(n_objects), rng.integers(n_dimensions, size=n_objects)] = True  # nobody is without properties
    embedding = np.where(has, SCALE * rng.gamma(2.0, size=has.shape), 0)
    drawn = _different(n_objects, n_triplets + n_repeated, rng)
    a, b, c = embedding[drawn.T]
    p = softmax(np.stack([(b * c).sum(axis=1), (a * c).sum(axis=1), (a * b).sum(axis=1)], axis=1), axis=1)
    triplets, ordered = _judged(drawn[:n_triplets], p[:n_triplets], rng)
    again = np.repeat(np.arange(n_triplets, len(drawn)), n_people)
    mixed = embedding @ rng.normal(size=(n_dimensions, n_features))
    mixed += rng.normal(size=n_features)
    features = mixed + noise * mixed.std(axis=0) * rng.normal(size=mixed.shape)
    return ConceptWorld(embedding, triplets, ordered, _judged(drawn[again], p[again], rng)[0], features)


def _different(n_objects: int, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw different triplets: of all of them where that is little, else until there are enough."""
    found = np.zeros((0, 3), dtype=np.int64)
    while len(found) < n:
        if n_objects <= 100:
            i, j, k = np.meshgrid(*[np.arange(n_objects)] * 3, indexing="ij")
            all_of_them = np.stack([i, j, k], axis=-1)[(i < j) & (j < k)]
            return np.asarray(rng.permuted(rng.permutation(all_of_them)[:n], axis=1))
        more = np.sort(rng.integers(n_objects, size=(2 * n, 3)), axis=1)
        more = more[(more[:, 0] < more[:, 1]) & (more[:, 1] < more[:, 2])]
        found = np.unique(np.concatenate([found, more]), axis=0)
    return np.asarray(rng.permuted(rng.permutation(found)[:n], axis=1))


def _judged(triplets: NDArray[np.int64], p: Values, rng: np.random.Generator) -> tuple[NDArray[np.int64], Values]:
    """Return triplets with a drawn odd one last, and the probabilities in the same order."""
    odd = (p.cumsum(axis=1) > rng.random((len(p), 1))).argmax(axis=1)
    order = np.stack([(odd + 1) % 3, (odd + 2) % 3, odd], axis=1)
    return np.take_along_axis(triplets, order, axis=1), np.take_along_axis(p, order, axis=1)
