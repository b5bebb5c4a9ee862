"""Objects in a hierarchy that two networks see without its upper level, and people who judge by all of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError

Values = NDArray[np.float64]

LENGTHS = (1.0, 0.6, 0.35)  # of the superordinate, basic and instance part, as people see them
SUPERORDINATE_DIMENSIONS, DIMENSIONS = 5, 8


@dataclass(frozen=True)
class AbstractionWorld:
    """Features and the hierarchy behind them.

    Attributes
    ----------
    superordinate, basic : array (n_objects,)
        Number of the category of either level.
    lookalike : array (n_objects,)
        Group of basic categories that networks find alike, whatever they are.
    similarities : array (n_objects, n_objects)
        As people see them: a softmax over those of three pairs gives their choices.
    features : array (n_objects, n_features)
        Of a network that knows basic categories and instances, hardly superordinate ones, and look-alikes above all.
    others : array (n_objects, n_other_features)
        Of another network with the same bias.
    """

    superordinate: NDArray[np.int64]
    basic: NDArray[np.int64]
    lookalike: NDArray[np.int64]
    similarities: Values
    features: Values
    others: Values

    def judge(self, triplets: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.int64], Values]:
        """Return triplets as one person each judges them, the odd one last, and the probabilities of these choices.

        Parameters
        ----------
        triplets : array (n_triplets, 3)
        rng : Generator

        Returns
        -------
        (array (n_triplets, 3), array (n_triplets, 3))
        """
        a, b, c = triplets.T
        remaining = np.stack([self.similarities[b, c], self.similarities[a, c], self.similarities[a, b]], axis=1)
        return _judged(triplets, _softmax(remaining), rng)


def abstraction_world(
    n_superordinate: int = 10,
    n_basic: int = 8,
    n_instances: int = 4,
    n_features: int = 40,
    n_other_features: int = 50,
    sharpness: float = 6.0,
    hidden: float = 0.3,
    bias: float = 0.9,
    noise: float = 0.1,
    seed: int = 0,
) -> AbstractionWorld:
    """Draw a hierarchy of objects, people's similarities and the features of two networks.

    An object is the sum of a superordinate, a basic and an instance vector. Networks have the first `hidden` times as
    long, and a look-alike vector instead: basic categories are dealt to as many look-alike groups as there are
    superordinate categories, each of a superordinate category to another group.

    Parameters
    ----------
    n_superordinate : int
    n_basic, n_instances : int
        Of each superordinate, of each basic category.
    n_features, n_other_features : int
        Of the networks, which mix everything at random.
    sharpness : float
        Of people: similarity of two equal objects, about.
    hidden, bias : float
        Lengths of the superordinate part and of the look-alike part in networks.
    noise : float
        Standard deviation of what is added to features, as a share of theirs.
    seed : int

    Raises
    ------
    BrainalignError
        If there are more basic categories of one than superordinate ones, or features cannot hold all dimensions.
    """
    n_dimensions = 2 * SUPERORDINATE_DIMENSIONS + 2 * DIMENSIONS
    if n_basic > n_superordinate or min(n_features, n_other_features) < n_dimensions:
        raise BrainalignError(
            f"{n_basic} basic categories cannot look like those of {n_superordinate - 1} others, or "
            f"{min(n_features, n_other_features)} features cannot hold {n_dimensions} dimensions"
        )
    rng = np.random.default_rng(seed)
    basic = np.repeat(np.arange(n_superordinate * n_basic), n_instances)
    superordinate = basic // n_basic
    lookalike = (superordinate + basic % n_basic) % n_superordinate
    parts = [
        _directions(n_superordinate, SUPERORDINATE_DIMENSIONS, rng)[superordinate],
        _directions(n_superordinate * n_basic, DIMENSIONS, rng)[basic],
        _directions(len(basic), DIMENSIONS, rng),
    ]
    seen = np.hstack([length * part for length, part in zip(LENGTHS, parts, strict=True)])
    false = bias * _directions(n_superordinate, SUPERORDINATE_DIMENSIONS, rng)[lookalike]
    kept = np.hstack([seen * np.repeat([hidden, 1, 1], [SUPERORDINATE_DIMENSIONS, DIMENSIONS, DIMENSIONS]), false])
    networks = []
    for width in (n_features, n_other_features):
        mixing = np.linalg.qr(rng.normal(size=(width, n_dimensions)))[0].T * rng.uniform(0.8, 1.25, (n_dimensions, 1))
        mixed = kept @ mixing
        networks.append(mixed + noise * mixed.std() * rng.normal(size=mixed.shape) + rng.normal(size=width))
    similarities = sharpness / (seen**2).sum(axis=1).mean() * seen @ seen.T
    return AbstractionWorld(superordinate, basic, lookalike, similarities, *networks)


def _directions(n: int, n_dimensions: int, rng: np.random.Generator) -> Values:
    drawn = rng.normal(size=(n, n_dimensions))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


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
    n_objects, n_dimensions : int
    n_triplets : int
        Of the different triplets that there are.
    n_repeated, n_people : int
        Triplets that are not among these, and how often each of them is judged.
    n_features : int
    noise : float
        Of the features, in standard deviations of what is mixed.
    seed : int

    Raises
    ------
    BrainalignError
        If there are not so many triplets.
    """
    possible = n_objects * (n_objects - 1) * (n_objects - 2) // 6
    if n_triplets + n_repeated > possible:
        raise BrainalignError(f"{n_objects} objects have {possible} triplets; asked for {n_triplets + n_repeated}")
    rng = np.random.default_rng(seed)
    has = rng.random((n_objects, n_dimensions)) < 0.35
    has[np.arange(n_objects), rng.integers(n_dimensions, size=n_objects)] = True  # nobody is without properties
    embedding = np.where(has, SCALE * rng.gamma(2.0, size=has.shape), 0)
    drawn = _different(n_objects, n_triplets + n_repeated, rng)
    p = _probabilities(embedding, drawn)
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


def _probabilities(embedding: Values, triplets: NDArray[np.int64]) -> Values:
    a, b, c = embedding[triplets.T]
    return _softmax(np.stack([(b * c).sum(axis=1), (a * c).sum(axis=1), (a * b).sum(axis=1)], axis=1))


def _softmax(remaining: Values) -> Values:
    """Return the probability that each object is chosen (n_triplets, 3), given how alike the other two are."""
    raised = np.exp(remaining - remaining.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _judged(triplets: NDArray[np.int64], p: Values, rng: np.random.Generator) -> tuple[NDArray[np.int64], Values]:
    """Return triplets with a drawn odd one last, and the probabilities in the same order."""
    odd = (p.cumsum(axis=1) > rng.random((len(p), 1))).argmax(axis=1)
    order = np.stack([(odd + 1) % 3, (odd + 2) % 3, odd], axis=1)
    return np.take_along_axis(triplets, order, axis=1), np.take_along_axis(p, order, axis=1)
