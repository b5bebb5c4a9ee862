"""Choices among three objects as probabilities: differentiable, comparable between two systems, more or less sure.

The odd one is what the most similar pair leaves; a softmax over the three pairs says how probable each choice is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows
from brainalign.geometry.odd_one_out.triplets import PAIRS, choice_probabilities, judgement_counts, pair_similarities

if TYPE_CHECKING:
    import torch

Triplets = NDArray[np.integer[Any]]

ROUNDING = 1e-6
FURTHEST = 10.0  # in units of log temperature from the spread of similarities: flat, or certain


def log_choices(similarities: torch.Tensor, triplets: torch.Tensor) -> torch.Tensor:
    """Return log probabilities that each object of a triplet is the odd one.

    Parameters
    ----------
    similarities : tensor (n_objects, n_objects)
        Divided by the temperature.
    triplets : tensor (n_triplets, 3)

    Returns
    -------
    tensor (n_triplets, 3)
    """
    import torch

    pairs = torch.stack([similarities[triplets[:, i], triplets[:, j]] for i, j in PAIRS], dim=1)
    return pairs.log_softmax(dim=1)


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
    """Return the probabilities of choices; without any, those of people who always chose the last object.

    Parameters
    ----------
    probabilities : array (n_triplets, 3), optional
    n_triplets : int

    Raises
    ------
    BrainalignError
        If a row is missing or is no distribution.
    """
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
    """Return the mean KL(given choices || choices of a similarity), in nats.

    Parameters
    ----------
    similarities : array (n_objects, n_objects)
        Divided by the temperature.
    triplets : array (n_triplets, 3)
    probabilities : array (n_triplets, 3), optional
        Without them, the last object was chosen: then it is the mean surprise.
    """
    p = check_probabilities(probabilities, len(triplets))
    q = choice_probabilities(similarities, triplets).clip(np.finfo(np.float64).tiny)
    return float(-(p * np.log(q)).sum(axis=1).mean() - choice_entropy(p).mean())


def choice_entropy(probabilities: Values) -> NDArray[np.float64]:
    """Compute the entropy of each choice, in nats: 0 for certain ones, log 3 where nothing is preferred.

    Parameters
    ----------
    probabilities : array (n_triplets, 3)

    Returns
    -------
    array (n_triplets,)
    """
    p = np.asarray(probabilities, dtype=np.float64)
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=1))


def judged_shares(triplets: Triplets, least: int = 2) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return each different triplet, and how often each of its objects was the odd one: soft choices of repetitions.

    Parameters
    ----------
    triplets : array (n_judgements, 3)
        The odd one last.
    least : int
        Judgements that a triplet must have.

    Returns
    -------
    (array (n_triplets, 3), array (n_triplets, 3))
        The object that was chosen most often last; columns of both belong together.
    """
    kept, counts = judgement_counts(triplets)
    enough = counts.sum(axis=1) >= least
    kept, counts = kept[enough], counts[enough]
    order = np.argsort(counts, axis=1, kind="stable")
    counts = np.take_along_axis(counts, order, axis=1)
    return np.take_along_axis(kept, order, axis=1), counts / counts.sum(axis=1, keepdims=True)
