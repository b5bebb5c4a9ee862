"""The same dimensions with how sure they are of every object: a variational posterior under a sparse prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.geometry.odd_one_out.training import at_once, check_training, objects_seen, starts, train_embeddings
from brainalign.statistics import fdr

Values = NDArray[np.float64]
FIRST_SCALE = 0.15


@dataclass(eq=False, repr=False)
class VariationalConcepts:
    """Embedding max(location + scale * noise, 0) of odd-one-out judgements, spike-and-slab Gaussian prior.

    Minimises mean cross-entropy + KL(posterior, prior) / n_triplets, one draw per step. There is no penalty to choose:
    a dimension is kept when its weight is reliably above 0 in enough objects (Benjamini-Hochberg over the objects).

    Parameters
    ----------
    spike, slab : float
        Standard deviations of the prior's narrow and wide part.
    spike_share : float
    n_dims : int
        At the start.
    epochs, least_steps, batch_size, learning_rate
        Of Adam: passes over the triplets, more where they would make fewer than `least_steps` steps; the rate falls
        linearly. Published: batches of 128.
    q : float
        False discovery rate of objects that have a dimension.
    least_objects : int
        A dimension is kept when more objects than this have it.
    seeds : sequence of int
        Of starts, orders and noise; an embedding each.
    device : str

    Attributes
    ----------
    embedding_ : array (n_objects, n_kept)
        Of the first seed: the location where it is above 0; the dimension with the largest sum first.
    embeddings_ : list of array (n_objects, n_kept)
    location_, scale_ : array (n_objects, n_kept)
        Posterior of the first seed.
    n_objects_with_ : list of array (n_dims,)
        By seed, how many objects reliably have each dimension of the start.
    seen_ : array (n_objects,)
        Objects in some triplet. Others have the prior and a row of 0.

    References
    ----------
    Muttenthaler L, Zheng CY, McClure P, Vandermeulen RA, Hebart MN, Pereira F (2022). VICE: Variational Interpretable
    Concept Embeddings. NeurIPS. arXiv:2205.00756

    Examples
    --------
    >>> from brainalign.geometry import object_similarities, odd_one_out_accuracy
    >>> from brainalign.simulation import concept_world
    >>> triplets = concept_world(24, 3, 2000, seed=2).triplets
    >>> found = VariationalConcepts(n_dims=5, least_steps=600).fit(triplets[:1500], 24).embedding_
    >>> odd_one_out_accuracy(object_similarities(found), triplets[1500:]) > 0.45
    True
    """

    spike: float = 0.25
    slab: float = 1.0
    spike_share: float = 0.6
    n_dims: int = 100
    epochs: int = 60
    least_steps: int = 1200
    batch_size: int = 1024
    learning_rate: float = 0.05
    q: float = 0.05
    least_objects: int = 5
    seeds: Sequence[int] = (0,)
    device: str = "cpu"

    def fit(self, triplets: NDArray[np.integer[Any]], n_objects: int) -> VariationalConcepts:
        """Fit a posterior per seed.

        Parameters
        ----------
        triplets : array (n_triplets, 3)
            Objects from 0 to `n_objects` - 1, the odd one last.
        n_objects : int

        Raises
        ------
        BrainalignError
            If triplets are malformed, the prior is not one, or there is no seed.
        """
        rows = check_training(triplets, n_objects, self.n_dims, self.seeds)
        if not (0 < self.spike < self.slab and 0 < self.spike_share < 1):
            raise BrainalignError(
                f"the prior needs 0 < spike < slab and a spike_share between 0 and 1; got spike {self.spike}, slab "
                f"{self.slab}, spike_share {self.spike_share}"
            )
        self.seen_ = objects_seen(rows, n_objects)
        self.embeddings_: list[Values] = []
        self.n_objects_with_: list[NDArray[np.intp]] = []
        for some in at_once(self.seeds, n_objects, self.n_dims, self.batch_size):
            for location, scale in zip(*self._train(rows, n_objects, some), strict=True):
                self._keep(location, scale)
        self.embedding_ = self.embeddings_[0]
        return self

    def _train(self, rows: NDArray[np.int64], n_objects: int, seeds: Sequence[int]) -> tuple[Values, Values]:
        import torch

        location = starts(seeds, n_objects, self.n_dims, self.device).requires_grad_(True)
        log_scale = torch.full_like(location, math.log(FIRST_SCALE)).requires_grad_(True)
        generators = [torch.Generator().manual_seed(seed + 1) for seed in seeds]
        spike = math.log(self.spike_share / self.spike)
        slab = math.log((1 - self.spike_share) / self.slab)

        def sample() -> tuple[torch.Tensor, torch.Tensor]:
            drawn = [torch.randn(location.shape[1:], generator=generator) for generator in generators]
            noise = torch.stack(drawn).to(self.device)
            values = location + log_scale.exp() * noise
            prior = torch.logaddexp(spike - (values / self.spike) ** 2 / 2, slab - (values / self.slab) ** 2 / 2)
            posterior = -log_scale - noise**2 / 2  # both without the constant of the Gaussian
            return values.relu(), (posterior - prior).sum(dim=(1, 2)) / len(rows)

        train_embeddings(
            rows,
            [location, log_scale],
            sample,
            seeds,
            epochs=self.epochs,
            least_steps=self.least_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            non_negative=False,
        )
        found = (location.detach(), log_scale.detach().exp())
        return found[0].cpu().numpy().astype(np.float64), found[1].cpu().numpy().astype(np.float64)

    def _keep(self, location: Values, scale: Values) -> None:
        """Prune a seed's posterior and note what is left of it."""
        from scipy.special import ndtr

        p = ndtr(-location[self.seen_] / scale[self.seen_])  # that the weight is 0
        counts = np.array([int((fdr(column) <= self.q).sum()) for column in p.T])
        kept = np.flatnonzero(counts > self.least_objects)
        embedding = np.where(self.seen_[:, None], np.maximum(location[:, kept], 0), 0)
        order = np.argsort(-embedding.sum(axis=0), kind="stable")
        if not self.embeddings_:
            self.location_, self.scale_ = location[:, kept[order]], scale[:, kept[order]]
        self.embeddings_.append(np.asarray(embedding[:, order]))
        self.n_objects_with_.append(counts)
