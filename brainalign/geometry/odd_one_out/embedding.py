"""Few dimensions, zero or more of each in every object, from which people's odd-one-out judgements follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.geometry.odd_one_out.training import at_once, check_training, objects_seen, starts, train_embeddings
from brainalign.geometry.odd_one_out.triplet_splits import split_triplets
from brainalign.geometry.odd_one_out.triplets import choice_probabilities, object_similarities

Values = NDArray[np.float64]
ALPHAS = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07)


@dataclass(eq=False, repr=False)
class SparseConcepts:
    """Embedding X >= 0 that makes the choices likely: softmax over the dot products of the three pairs of a triplet.

    Minimises mean cross-entropy + alpha * sum(X) / n_objects. A penalty is chosen by the likelihood of held-out
    triplets: the largest whose mean is within one standard error of the best one's, errors paired by triplet. A weak
    penalty predicts nearly as well and keeps dimensions that the next start does not find again; see
    `reproducible_dimensions`.

    Parameters
    ----------
    alphas : sequence of float
        A single one is used as it is.
    n_dims : int
        Dimensions at the start; those that stay small are dropped.
    epochs, least_steps, batch_size, learning_rate
        Of Adam: passes over the triplets, more where they would make fewer than `least_steps` steps; the rate falls
        linearly. Published: 0.001 with batches of 100 triplets, which needs many more steps.
    least_weight : float
        Dimensions without any larger weight are dropped.
    validation_share : float
        Of the different triplets, held out to choose alpha; all are trained on afterwards.
    seeds : sequence of int
        Of starts and orders; an embedding each.
    device : str

    Attributes
    ----------
    embedding_ : array (n_objects, n_kept)
        Of the first seed, the dimension with the largest sum first.
    embeddings_ : list of array (n_objects, n_kept)
        Of every seed; each has its own dimensions.
    alpha_ : float
    cv_scores_ : array (n_alphas,)
        Mean cross-entropy of held-out choices; empty where there was nothing to choose.
    seen_ : array (n_objects,)
        Objects in some triplet. The rows of others are 0 and mean nothing.

    References
    ----------
    Zheng CY, Pereira F, Baker CI, Hebart MN (2019). Revealing interpretable object representations from human behavior.
    ICLR. arXiv:1901.02915
    Hebart MN, Zheng CY, Pereira F, Baker CI (2020). Revealing the multidimensional mental representations of natural
    objects underlying human similarity judgements. Nature Human Behaviour 4:1173-1185. doi:10.1038/s41562-020-00951-3

    Examples
    --------
    >>> from brainalign.geometry import object_similarities, odd_one_out_accuracy
    >>> from brainalign.simulation import concept_world
    >>> triplets = concept_world(20, 3, 1000, seed=1).triplets
    >>> found = SparseConcepts(alphas=(0.04,), n_dims=5).fit(triplets[:900], 20).embedding_
    >>> odd_one_out_accuracy(object_similarities(found), triplets[900:]) > 0.45
    True
    """

    alphas: Sequence[float] = ALPHAS
    n_dims: int = 100
    epochs: int = 60
    least_steps: int = 400
    batch_size: int = 4096
    learning_rate: float = 0.1
    least_weight: float = 0.1
    validation_share: float = 0.1
    seeds: Sequence[int] = (0,)
    device: str = "cpu"

    def fit(self, triplets: NDArray[np.integer[Any]], n_objects: int) -> SparseConcepts:
        """Fit an embedding per seed.

        Parameters
        ----------
        triplets : array (n_triplets, 3)
            Objects from 0 to `n_objects` - 1, the odd one last.
        n_objects : int

        Raises
        ------
        BrainalignError
            If triplets are malformed, there is no penalty or a negative one, or no seed.
        """
        rows = check_training(triplets, n_objects, self.n_dims, self.seeds)
        if not len(self.alphas) or min(self.alphas) < 0:
            raise BrainalignError(f"alphas must be one or more numbers, 0 or above; got {tuple(self.alphas)}")
        self.seen_ = objects_seen(rows, n_objects)
        self.alpha_, self.cv_scores_ = float(self.alphas[0]), np.zeros(0)
        if len(self.alphas) > 1:
            self._choose(rows, n_objects)
        trained = self._train(rows, n_objects, [(self.alpha_, seed) for seed in self.seeds])
        self.embeddings_ = [self._pruned(found) for found in trained]
        self.embedding_ = self.embeddings_[0]
        return self

    def _choose(self, rows: NDArray[np.int64], n_objects: int) -> None:
        split = split_triplets(rows, self.validation_share, np.random.default_rng(self.seeds[0]))
        alphas = sorted(self.alphas)
        trained = self._train(rows[split.train], n_objects, [(alpha, self.seeds[0]) for alpha in alphas])
        surprise = np.stack([_surprise(found, rows[split.test]) for found in trained])
        means = surprise.mean(axis=1)
        excess = surprise - surprise[means.argmin()]
        se = excess.std(axis=1, ddof=1) / np.sqrt(len(split.test)) if len(split.test) > 1 else np.zeros(len(alphas))
        within = excess.mean(axis=1) <= se
        self.alpha_ = float(alphas[np.flatnonzero(within)[-1]])
        self.cv_scores_ = means[np.argsort(np.argsort(self.alphas))]

    def _train(self, rows: NDArray[np.int64], n_objects: int, fits: list[tuple[float, int]]) -> list[Values]:
        """Return an embedding per (alpha, seed)."""
        import torch

        found: list[Values] = []
        for some in at_once(fits, n_objects, self.n_dims, self.batch_size):
            alphas, seeds = zip(*some, strict=True)
            weights = starts(seeds, n_objects, self.n_dims, self.device).requires_grad_(True)
            penalty = torch.tensor(alphas, device=self.device) / n_objects

            def sample(
                weights: torch.Tensor = weights, penalty: torch.Tensor = penalty
            ) -> tuple[torch.Tensor, torch.Tensor]:
                return weights, penalty * weights.sum(dim=(1, 2))

            train_embeddings(
                rows,
                [weights],
                sample,
                seeds,
                epochs=self.epochs,
                least_steps=self.least_steps,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                non_negative=True,
            )
            found += list(weights.detach().cpu().numpy().astype(np.float64))
        return found

    def _pruned(self, weights: Values) -> Values:
        kept = np.flatnonzero(weights[self.seen_].max(axis=0) >= self.least_weight)
        embedding = np.where(self.seen_[:, None], weights[:, kept], 0)
        return np.asarray(embedding[:, np.argsort(-embedding.sum(axis=0), kind="stable")])


def _surprise(embedding: Values, triplets: NDArray[np.int64]) -> Values:
    """Return the cross-entropy of every choice."""
    p = choice_probabilities(object_similarities(embedding), triplets)[:, 2]
    return np.asarray(-np.log(np.maximum(p, 1e-12)))
