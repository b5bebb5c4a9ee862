"""Odd-one-out judgements: which of three objects does not belong, and how often that is predicted.

A triplet is a row of three different objects, the odd one last: people found the first two most similar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows, generator

if TYPE_CHECKING:
    import torch

Triplets = NDArray[np.integer[Any]]

CHANCE = 1 / 3
PAIRS = ((1, 2), (0, 2), (0, 1))  # of a triplet: what remains without its first, second, last object
TIED = 1e-12  # of the largest similarity: what rounding may differ by
ROUNDING = 1e-6
FURTHEST = 10.0  # in units of log temperature from the spread of similarities: flat, or certain


def check_triplets(triplets: Triplets, n_objects: int) -> NDArray[np.int64]:
    """Return triplets (n_triplets, 3) as whole numbers: different objects from 0 to `n_objects` - 1, at least a row.

    Raises
    ------
    BrainalignError
        If there are no triplets, or they are no triples of different objects from 0 to `n_objects` - 1.
    """
    given = np.asarray(triplets)
    if given.ndim != 2 or given.shape[1] != 3 or not len(given) or given.dtype.kind not in "iu":
        raise BrainalignError(
            f"triplets must be whole numbers of shape (n_triplets, 3), at least one; got {given.dtype} {given.shape}"
        )
    rows: NDArray[np.int64] = given.astype(np.int64)
    low, high = int(rows.min()), int(rows.max())
    if low < 0 or high >= n_objects:
        raise BrainalignError(
            f"triplets name objects {low} to {high}, but the {n_objects} objects are numbered from 0 to "
            f"{n_objects - 1}; subtract the number of the first object"
        )
    twice = np.flatnonzero((np.diff(np.sort(rows, axis=1)) == 0).any(axis=1))
    if len(twice):
        raise BrainalignError(
            f"{len(twice)} triplets hold the same object twice (first: row {twice[0]}, {rows[twice[0]].tolist()}); "
            "a triplet has three different objects"
        )
    return rows


def triplet_keys(triplets: Triplets) -> NDArray[np.int64]:
    """Return a number per triplet that is the same for the same three objects in any order."""
    a, b, c = np.sort(np.asarray(triplets, dtype=np.int64), axis=1).T
    n = int(c.max(initial=0)) + 1
    return np.asarray((a * n + b) * n + c)


def judgement_counts(triplets: Triplets) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return each different triplet (n_kinds, 3), objects ascending, and how often each object was the odd one."""
    rows = np.asarray(triplets, dtype=np.int64)
    ordered = np.sort(rows, axis=1)
    _, first, inverse = np.unique(triplet_keys(rows), return_index=True, return_inverse=True)
    counts = np.zeros((len(first), 3))
    np.add.at(counts, (inverse, (ordered == rows[:, 2:]).argmax(axis=1)), 1)
    return ordered[first], counts


def object_similarities(embedding: Values, kind: Literal["dot", "cosine"] = "dot") -> NDArray[np.float64]:
    """Return dot products of all pairs of objects of an embedding (n_objects, n_dimensions), or their cosines.

    An object without length has a cosine of 0 with all.
    """
    check_choice("kind", kind, ("dot", "cosine"))
    rows = np.asarray(embedding, dtype=np.float64)
    if kind == "cosine":
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = rows / np.where(length == 0, 1, length)  # NaN stays, to be refused
    return np.asarray(rows @ rows.T)


def pair_similarities(similarities: Values, triplets: Triplets) -> NDArray[np.float64]:
    """Return the similarity of the pair that remains without each object of a triplet, (n_triplets, 3)."""
    values = np.asarray(similarities, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise BrainalignError(
            f"similarities must have a row and a column per object; got shape {values.shape}; an embedding goes "
            "through object_similarities first"
        )
    rows = check_triplets(triplets, len(values))
    check_finite("similarities", values, "leave out the objects that have none")
    return np.stack([values[rows[:, i], rows[:, j]] for i, j in PAIRS], axis=1)


def choice_probabilities(similarities: Values, triplets: Triplets) -> NDArray[np.float64]:
    """Compute how probable each object of a triplet is the odd one (n_triplets, 3): softmax over the remaining pairs.

    The last column belongs to the choice that was made. Similarities are those of `object_similarities`.
    """
    return np.asarray(softmax(pair_similarities(similarities, triplets), axis=1))


def odd_one_out_accuracy(similarities: Values, triplets: Triplets, probabilities: Values | None = None) -> float:
    """Compute the share of triplets whose most similar pair leaves the odd one.

    Pairs that are equally similar share the prediction: 1/3 where all three are, as of an object without features. A
    largest one would be found among them all the same, and it would always be the first.

    Parameters
    ----------
    similarities : array (n_objects, n_objects)
    triplets : array (n_triplets, 3)
        The odd one last.
    probabilities : array (n_triplets, 3), optional
        How probable each object is to be chosen, where that is known: the expected accuracy, without the noise of
        single choices.
    """
    share = odd_one_out_shares(similarities, triplets)
    return float(share[:, 2].mean() if probabilities is None else (share * probabilities).sum(axis=1).mean())


def odd_one_out_shares(similarities: Values, triplets: Triplets) -> NDArray[np.float64]:
    """Split each prediction over the objects of a triplet (n_triplets, 3): 1 or 0, shares where pairs are tied."""
    pairs = pair_similarities(similarities, triplets)
    tied = pairs >= pairs.max(axis=1, keepdims=True) - TIED * np.abs(pairs).max(axis=1, keepdims=True)
    return np.asarray(tied / tied.sum(axis=1, keepdims=True))


def shuffled_triplets(triplets: Triplets, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the same triplets with an odd one drawn at random: what is left where there is nothing to learn."""
    return np.asarray(generator(rng).permuted(np.asarray(triplets, dtype=np.int64), axis=1))


@dataclass(frozen=True)
class TripletCeilings:
    """How well choices can be predicted. The two answer different questions and are never compared.

    Attributes
    ----------
    accuracy : float
        E[max p]: of whoever always names the most frequent choice. The ceiling of `odd_one_out_accuracy`. Of repeated
        judgements the mean of the two bounds.
    agreement : float
        E[sum p²]: how often two people agree. The ceiling of a model that draws its choices as people do.
    accuracy_low, accuracy_high : float
        Bounds of the first: each choice against the most frequent one of the others, and of all including itself.
    n_triplets : int
        Different triplets.
    """

    accuracy: float
    agreement: float
    accuracy_low: float
    accuracy_high: float
    n_triplets: int


def repeated_ceilings(triplets: Triplets, n_objects: int) -> TripletCeilings:
    """Estimate both ceilings from triplets (n_judgements, 3) that were judged more than once, the odd one last.

    Agreement is the share of equal choices among pairs of judgements, which is unbiased. The most frequent choice of
    few judgements is not: with all judgements in it it is too high, without the judgement that it is to predict too
    low, so that the ceiling of accuracy lies between.

    Raises
    ------
    BrainalignError
        If no triplet was judged twice.
    """
    rows = check_triplets(triplets, n_objects)
    counts = judgement_counts(rows)[1]
    counts = counts[counts.sum(axis=1) > 1]
    if not len(counts):
        raise BrainalignError(f"none of {len(rows)} triplets was judged twice: there is no ceiling to be estimated")
    n = counts.sum(axis=1)
    agreement = float(((counts * (counts - 1)).sum(axis=1) / (n * (n - 1))).mean())
    high = float((counts.max(axis=1) / n).mean())
    hits = np.zeros(len(counts))
    for k in range(3):  # a judgement of kind k, predicted by the others
        others = counts - np.eye(3)[k]
        top = others == others.max(axis=1, keepdims=True)
        hits += counts[:, k] * top[:, k] / top.sum(axis=1)
    low = float((hits / n).mean())
    return TripletCeilings((low + high) / 2, agreement, low, high, len(counts))


def log_choices(similarities: torch.Tensor, triplets: torch.Tensor) -> torch.Tensor:
    """Return log probabilities (n_triplets, 3) that each object is the odd one, at temperature 1."""
    import torch

    return torch.stack([similarities[triplets[:, i], triplets[:, j]] for i, j in PAIRS], dim=1).log_softmax(dim=1)


def kullback_leibler(log_q: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Return the mean over triplets of KL(p || q): what a student q lacks of a teacher p, in nats."""
    return (p.xlogy(p) - p * log_q).sum(dim=1).mean()


def jensen_shannon(log_q: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Return the mean over triplets of the Jensen-Shannon divergence of p and q: symmetric, at most log 2."""
    import torch

    q = log_q.exp()
    log_m = torch.log((p + q) / 2)
    return ((p.xlogy(p) + q * log_q) / 2 - (p + q) / 2 * log_m).sum(dim=1).mean()


DIVERGENCES = {"kl": kullback_leibler, "jsd": jensen_shannon}


def check_probabilities(probabilities: Values | None, n_triplets: int) -> NDArray[np.float64]:
    """Return the probabilities of choices; without any, those of people who always chose the last object."""
    if probabilities is None:
        return np.tile([0.0, 0.0, 1.0], (n_triplets, 1))
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] != 3:
        raise BrainalignError(f"probabilities must have a column per object of a triplet; got shape {p.shape}")
    check_rows("probabilities", len(p), "triplets", n_triplets, "give a row of three per triplet")
    check_finite("probabilities", p, "leave out triplets without judgements")
    wrong = np.flatnonzero((p < -ROUNDING).any(axis=1) | (np.abs(p.sum(axis=1) - 1) > ROUNDING))
    if len(wrong):
        raise BrainalignError(
            f"{len(wrong)} rows of probabilities are no distribution (first: row {wrong[0]}, {p[wrong[0]].tolist()}); "
            "divide counts by their sums"
        )
    return p.clip(0, 1)


def choice_temperature(similarities: Values, triplets: Triplets, probabilities: Values | None = None) -> float:
    """Return the temperature at which the choices of a similarity are nearest to given ones, by mean KL.

    What comes of it is fair to a network that was never asked for choices: it is as sure of them as it can justify.
    A similarity that knows nothing gets a temperature so high that its choices are all equally probable.

    Parameters
    ----------
    similarities : array (n_objects, n_objects)
    triplets : array (n_triplets, 3)
    probabilities : array (n_triplets, 3), optional
        Without them, the last object was chosen.

    Raises
    ------
    BrainalignError
        If all pairs are equally similar.
    """
    from scipy.optimize import minimize_scalar

    p = check_probabilities(probabilities, len(triplets))
    pairs = pair_similarities(similarities, triplets)
    pairs -= pairs.mean(axis=1, keepdims=True)
    spread = float(pairs.std())
    if not spread > 0:
        raise BrainalignError(
            f"all {len(pairs)} triplets have pairs that are equally similar: no temperature changes their choices; "
            "take a layer whose features differ between objects"
        )

    def loss(log_temperature: float) -> float:
        scaled = pairs / (spread * np.exp(log_temperature))
        top = scaled.max(axis=1)
        return float((top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)) - (p * scaled).sum(axis=1)).mean())

    found = minimize_scalar(loss, bounds=(-FURTHEST, FURTHEST), method="bounded", options={"xatol": 1e-6})
    return float(spread * np.exp(found.x))


def mean_divergence(similarities: Values, triplets: Triplets, probabilities: Values | None = None) -> float:
    """Return the mean KL(given choices || choices of a similarity), in nats; without choices the mean surprise."""
    p = check_probabilities(probabilities, len(triplets))
    q = choice_probabilities(similarities, triplets).clip(np.finfo(np.float64).tiny)
    return float(-(p * np.log(q)).sum(axis=1).mean() - choice_entropy(p).mean())


def choice_entropy(probabilities: Values) -> NDArray[np.float64]:
    """Compute the entropy of each choice, in nats: 0 for certain ones, log 3 where nothing is preferred."""
    p = np.asarray(probabilities, dtype=np.float64)
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=1))


def judged_shares(triplets: Triplets) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return each different triplet, and how often each of its objects was the odd one: soft choices of repetitions.

    Of triplets with 2 judgements or more, both (n_triplets, 3); the object chosen most often last.
    """
    kept, counts = judgement_counts(triplets)
    enough = counts.sum(axis=1) > 1
    kept, counts = kept[enough], counts[enough]
    order = np.argsort(counts, axis=1, kind="stable")
    counts = np.take_along_axis(counts, order, axis=1)
    return np.take_along_axis(kept, order, axis=1), counts / counts.sum(axis=1, keepdims=True)
