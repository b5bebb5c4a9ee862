"""Objects in a hierarchy that two networks see without its upper level, and people who judge by all of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from brainalign.simulation.concepts.judgements import _judged  # as people of `concept_world` judge

Values = NDArray[np.float64]

LENGTHS = (1.0, 0.6, 0.35)  # of the superordinate, basic and instance part, as people see them
SUPERORDINATE_DIMENSIONS, DIMENSIONS = 5, 8
WIDTHS, NOISE = (40, 50), 0.1  # features of either network, and the share of their sd that is noise
HIDDEN, BIAS = 0.3, 0.9  # lengths of the superordinate and the look-alike part in networks
SHARPNESS = 6.0  # people's similarity of two equal objects, about


@dataclass(frozen=True)
class AbstractionWorld:
    """Features and the hierarchy behind them."""

    superordinate: NDArray[np.int64]  # both (n_objects,): number of the category of either level
    basic: NDArray[np.int64]
    lookalike: NDArray[np.int64]  # (n_objects,): group of basic categories that networks find alike, whatever they are
    # (n_objects, n_objects): as people see them: a softmax over those of three pairs gives their choices
    similarities: Values
    # (n_objects, n_features): of a network that knows basic categories and instances, hardly superordinate ones, and
    # look-alikes above all
    features: Values
    others: Values  # (n_objects, n_other_features): of another network with the same bias

    def judge(self, triplets: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.int64], Values]:
        """Return triplets as one person each judges them, the odd one last, and the probabilities of these choices."""
        a, b, c = triplets.T
        remaining = np.stack([self.similarities[b, c], self.similarities[a, c], self.similarities[a, b]], axis=1)
        return _judged(triplets, softmax(remaining, axis=1), rng)


def abstraction_world(n_superordinate=10, n_basic=8, n_instances=4, seed=0) -> AbstractionWorld:
    """Draw a hierarchy of objects, people's similarities and the features of two networks. An object is the sum of a
    superordinate, a basic and an instance vector. Networks have the first HIDDEN times as long, and a look-alike
    vector instead: basic categories are dealt to as many look-alike groups as there are superordinate categories,
    each of a superordinate category to another group."""
    n_dimensions, rng = 2 * SUPERORDINATE_DIMENSIONS + 2 * DIMENSIONS, np.random.default_rng(seed)
    basic = np.repeat(np.arange(n_superordinate * n_basic), n_instances)
    superordinate = basic // n_basic
    lookalike = (superordinate + basic % n_basic) % n_superordinate
    parts = [_directions(n_superordinate, SUPERORDINATE_DIMENSIONS, rng)[superordinate]]
    parts.append(_directions(n_superordinate * n_basic, DIMENSIONS, rng)[basic])
    parts.append(_directions(len(basic), DIMENSIONS, rng))
    seen = np.hstack([length * part for length, part in zip(LENGTHS, parts, strict=True)])
    false = BIAS * _directions(n_superordinate, SUPERORDINATE_DIMENSIONS, rng)[lookalike]
    kept = np.hstack([seen * np.repeat([HIDDEN, 1, 1], [SUPERORDINATE_DIMENSIONS, DIMENSIONS, DIMENSIONS]), false])
    networks = []
    for width in WIDTHS:
        mixing = np.linalg.qr(rng.normal(size=(width, n_dimensions)))[0].T * rng.uniform(0.8, 1.25, (n_dimensions, 1))
        mixed = kept @ mixing
        networks.append(mixed + NOISE * mixed.std() * rng.normal(size=mixed.shape) + rng.normal(size=width))
    similarities = SHARPNESS / (seen**2).sum(axis=1).mean() * seen @ seen.T
    return AbstractionWorld(superordinate, basic, lookalike, similarities, *networks)


def _directions(n: int, n_dimensions: int, rng: np.random.Generator) -> Values:
    drawn = rng.normal(size=(n, n_dimensions))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
