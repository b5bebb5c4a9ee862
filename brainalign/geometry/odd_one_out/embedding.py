"""Few dimensions, zero or more of each in every object, from which people's odd-one-out judgements follow.

`SparseConcepts` penalises their sum; `VariationalConcepts` has a posterior under a sparse prior, which says how sure
they are of every object. Both are trained from several starts at once, on the CPU or a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.geometry.odd_one_out.triplet_splits import split_triplets
from brainalign.geometry.odd_one_out.triplets import check_triplets, choice_probabilities, object_similarities
from brainalign.statistics import fdr

if TYPE_CHECKING:
    import torch

Values = NDArray[np.float64]
Sample = Callable[[], "tuple[torch.Tensor, torch.Tensor]"]  # embeddings (n_seeds, n_objects, n_dims), cost (n_seeds,)

ALPHAS = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07)
FIRST_SCALE = 0.15
MOST_VALUES = 30_000_000  # that the similarities, or the gathered rows, of all embeddings trained at once may hold
LAST_RATE = 0.02  # of the learning rate, which falls linearly


@dataclass(eq=False, repr=False, kw_only=True)
class _Concepts:
    """What both estimators are told of their training, by Adam from one start per seed."""

    n_dims: int = 100
    epochs: int = 60
    least_steps: int
    batch_size: int
    learning_rate: float
    seeds: Sequence[int] = (0,)
    device: str = "cpu"

    def _checked(self, triplets: NDArray[np.integer[Any]], n_objects: int) -> NDArray[np.int64]:
        """Return triplets to train on, and mark the objects that are in some triplet."""
        if self.n_dims < 1 or not len(self.seeds) or len(set(self.seeds)) < len(self.seeds):
            raise BrainalignError(
                f"give n_dims of 1 or more and different seeds; got {self.n_dims} and {tuple(self.seeds)}"
            )
        rows = check_triplets(triplets, n_objects)
        self.seen_: NDArray[np.bool_] = np.isin(np.arange(n_objects), rows)
        return rows

    def _at_once(self, items: Sequence[Any], n_objects: int) -> Iterator[Sequence[Any]]:
        """Yield as many items as fit into memory together: each is an embedding to be trained."""
        gathered = 3 * self.batch_size * self.n_dims
        step = max(int(MOST_VALUES / min(n_objects**2 if n_objects**2 <= gathered else np.inf, gathered)), 1)
        for first in range(0, len(items), step):
            yield items[first : first + step]

    def _starts(self, seeds: Sequence[int], *shape: int) -> torch.Tensor:
        """Draw uniform values from 0 to a half, (n_seeds, n_objects, n_dims); those of a seed depend on it alone."""
        import torch

        drawn = [torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) / 2 for seed in seeds]
        return torch.stack(drawn).to(self.device).requires_grad_(True)

    def _minimise(
        self,
        triplets: NDArray[np.int64],
        parameters: list[torch.Tensor],
        sample: Sample,
        seeds: Sequence[int],
        non_negative: bool,
    ) -> None:
        """Minimise cross-entropy of the choices plus the cost of a sample; `parameters` (per seed) change in place."""
        import torch

        from brainalign.regression import descend

        device = parameters[0].device
        _, n_objects, n_dims = parameters[0].shape
        rows = torch.as_tensor(triplets, device=device)
        # The pair that remained comes first.
        pairs = torch.stack([rows[:, [0, 1]], rows[:, [0, 2]], rows[:, [1, 2]]], dim=1)  # (n_triplets, 3, 2)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        optimiser = torch.optim.Adam(parameters, lr=self.learning_rate, fused=True)
        each = -(-len(rows) // self.batch_size)
        n_epochs = max(self.epochs, -(-self.least_steps // each))
        n_steps = n_epochs * each
        falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(LAST_RATE, 1 - step / n_steps))
        whole = n_objects**2 <= 3 * self.batch_size * n_dims  # all similarities cost less than those that are asked for
        table = pairs[..., 0] * n_objects + pairs[..., 1] if whole else pairs  # places among all of them, or objects

        def losses() -> Iterator[torch.Tensor]:
            for _ in range(n_epochs):
                orders = torch.stack([torch.randperm(len(rows), generator=generator) for generator in generators])
                for some in orders.to(device).split(self.batch_size, dim=1):
                    # On a CPU several times as fast as table[some], which took half of the training.
                    asked = table.index_select(0, some.reshape(-1)).unflatten(0, some.shape)  # (n_seeds, batch, 3[, 2])
                    embeddings, cost = sample()
                    logits = _all_pairs(embeddings, asked) if whole else _some_pairs(embeddings, asked)
                    surprise = (torch.logsumexp(logits, dim=2) - logits[:, :, 0]).mean(dim=1)
                    yield (surprise + cost).sum()
                    if non_negative:
                        with torch.no_grad():
                            for parameter in parameters:
                                parameter.clamp_(min=0)

        descend(losses(), optimiser, falling)


def _all_pairs(embeddings: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return (embeddings @ embeddings.transpose(1, 2)).flatten(1).gather(1, places.flatten(1)).view(places.shape)


def _some_pairs(embeddings: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    import torch

    found = []
    for embedding, of_seed in zip(embeddings, asked, strict=True):
        left, right = (embedding.index_select(0, of_seed[..., k].reshape(-1)) for k in (0, 1))
        found.append((left * right).sum(dim=1).reshape(-1, 3))
    return torch.stack(found)


@dataclass(eq=False, repr=False)
class SparseConcepts(_Concepts):
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
    least_weight: float = 0.1
    validation_share: float = 0.1
    least_steps: int = field(default=400, kw_only=True)
    batch_size: int = field(default=4096, kw_only=True)
    learning_rate: float = field(default=0.1, kw_only=True)

    def fit(self, triplets: NDArray[np.integer[Any]], n_objects: int) -> SparseConcepts:
        """Fit an embedding per seed to triplets of objects from 0 to `n_objects` - 1, the odd one last."""
        rows = self._checked(triplets, n_objects)
        if not len(self.alphas) or min(self.alphas) < 0:
            raise BrainalignError(f"alphas must be one or more numbers, 0 or above; got {tuple(self.alphas)}")
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
        p = [choice_probabilities(object_similarities(found), rows[split.test])[:, 2] for found in trained]
        surprise = -np.log(np.maximum(p, 1e-12))  # the cross-entropy of every choice
        means = surprise.mean(axis=1)
        excess = surprise - surprise[means.argmin()]
        se = excess.std(axis=1, ddof=1) / np.sqrt(len(split.test)) if len(split.test) > 1 else np.zeros(len(alphas))
        self.alpha_ = float(alphas[np.flatnonzero(excess.mean(axis=1) <= se)[-1]])
        self.cv_scores_ = means[np.argsort(np.argsort(self.alphas))]

    def _train(self, rows: NDArray[np.int64], n_objects: int, fits: list[tuple[float, int]]) -> list[Values]:
        """Return an embedding per (alpha, seed)."""
        import torch

        found: list[Values] = []
        for some in self._at_once(fits, n_objects):
            alphas, seeds = zip(*some, strict=True)
            weights = self._starts(seeds, n_objects, self.n_dims)
            penalty = torch.tensor(alphas, device=self.device) / n_objects

            def sample(
                weights: torch.Tensor = weights, penalty: torch.Tensor = penalty
            ) -> tuple[torch.Tensor, torch.Tensor]:
                return weights, penalty * weights.sum(dim=(1, 2))

            self._minimise(rows, [weights], sample, seeds, non_negative=True)
            found += list(weights.detach().cpu().numpy().astype(np.float64))
        return found

    def _pruned(self, weights: Values) -> Values:
        kept = np.flatnonzero(weights[self.seen_].max(axis=0) >= self.least_weight)
        embedding = np.where(self.seen_[:, None], weights[:, kept], 0)
        return np.asarray(embedding[:, np.argsort(-embedding.sum(axis=0), kind="stable")])


@dataclass(eq=False, repr=False)
class VariationalConcepts(_Concepts):
    """Embedding max(location + scale * noise, 0) of odd-one-out judgements, spike-and-slab Gaussian prior.

    Minimises mean cross-entropy + KL(posterior, prior) / n_triplets, one draw per step. There is no penalty to choose:
    a dimension is kept when its weight is reliably above 0 in enough objects (Benjamini-Hochberg over the objects).

    Parameters
    ----------
    spike, slab : float
        Standard deviations of the prior's narrow and wide part.
    spike_share : float
    n_dims, epochs, least_steps, batch_size, learning_rate, device
        As for `SparseConcepts`; at most a third as many dimensions as objects, since many that are small take the place
        of few that are large where judgements are few. Published: batches of 128.
    q : float
        False discovery rate of objects that have a dimension.
    least_objects : int
        A dimension is kept when more objects than this (of 1,854), or than a twentieth of them (one at least), have it.
    seeds : sequence of int
        Of starts, orders and noise; an embedding each.

    Attributes
    ----------
    embedding_ : array (n_objects, n_kept)
        Of the first seed: the location where it is above 0; the dimension with the largest sum first.
    embeddings_ : list of array (n_objects, n_kept)
    location_, scale_ : array (n_objects, n_kept)
        Posterior of the first seed.
    n_objects_with_ : list of array (n_started,)
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
    q: float = 0.05
    least_objects: int = 5
    least_steps: int = field(default=1200, kw_only=True)
    batch_size: int = field(default=1024, kw_only=True)
    learning_rate: float = field(default=0.05, kw_only=True)

    def fit(self, triplets: NDArray[np.integer[Any]], n_objects: int) -> VariationalConcepts:
        """Fit a posterior per seed to triplets of objects from 0 to `n_objects` - 1, the odd one last."""
        rows = self._checked(triplets, n_objects)
        if not (0 < self.spike < self.slab and 0 < self.spike_share < 1):
            raise BrainalignError(
                f"the prior needs 0 < spike < slab and a spike_share between 0 and 1; got spike {self.spike}, slab "
                f"{self.slab}, spike_share {self.spike_share}"
            )
        self.embeddings_: list[Values] = []
        self.n_objects_with_: list[NDArray[np.intp]] = []
        for some in self._at_once(self.seeds, n_objects):
            for location, scale in zip(*self._train(rows, n_objects, some), strict=True):
                self._keep(location, scale)
        self.embedding_ = self.embeddings_[0]
        return self

    def _train(self, rows: NDArray[np.int64], n_objects: int, seeds: Sequence[int]) -> tuple[Values, Values]:
        import torch

        location = self._starts(seeds, n_objects, min(self.n_dims, max(n_objects // 3, 1)))
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

        self._minimise(rows, [location, log_scale], sample, seeds, non_negative=False)
        found = (location.detach(), log_scale.detach().exp())
        return found[0].cpu().numpy().astype(np.float64), found[1].cpu().numpy().astype(np.float64)

    def _keep(self, location: Values, scale: Values) -> None:
        """Prune a seed's posterior and note what is left of it."""
        from scipy.special import ndtr

        p = ndtr(-location[self.seen_] / scale[self.seen_])  # that the weight is 0
        counts = np.array([int((fdr(column) <= self.q).sum()) for column in p.T])
        kept = np.flatnonzero(counts > min(self.least_objects, max(len(p) // 20, 1)))
        embedding = np.where(self.seen_[:, None], np.maximum(location[:, kept], 0), 0)
        order = np.argsort(-embedding.sum(axis=0), kind="stable")
        if not self.embeddings_:
            self.location_, self.scale_ = location[:, kept[order]], scale[:, kept[order]]
        self.embeddings_.append(np.asarray(embedding[:, order]))
        self.n_objects_with_.append(counts)
