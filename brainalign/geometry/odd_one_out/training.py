"""Embeddings trained on odd-one-out judgements: several at once, from different starts, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.geometry.odd_one_out.triplets import check_triplets

if TYPE_CHECKING:
    import torch

MOST_VALUES = 30_000_000  # that the similarities, or the gathered rows, of all embeddings trained at once may hold
LAST_RATE = 0.02  # of the learning rate, which falls linearly

Sample = Callable[[], "tuple[torch.Tensor, torch.Tensor]"]


def check_training(
    triplets: NDArray[np.integer[Any]], n_objects: int, n_dims: int, seeds: Sequence[int]
) -> NDArray[np.int64]:
    """Return triplets to train on, after checking what an estimator was given.

    Raises
    ------
    BrainalignError
        If triplets are malformed, there are no seeds or one occurs twice, or no dimensions.
    """
    if n_dims < 1 or not len(seeds) or len(set(seeds)) < len(seeds):
        raise BrainalignError(f"give n_dims of 1 or more and different seeds; got {n_dims} and {tuple(seeds)}")
    return check_triplets(triplets, n_objects)


def objects_seen(triplets: NDArray[np.integer[Any]], n_objects: int) -> NDArray[np.bool_]:
    """Mark the objects that are in some triplet, (n_objects,)."""
    return np.asarray(np.isin(np.arange(n_objects), triplets))


def at_once(items: Sequence[Any], n_objects: int, n_dims: int, batch_size: int) -> Iterator[Sequence[Any]]:
    """Yield as many items as fit into memory together: each is an embedding to be trained."""
    each = min(n_objects**2 if n_objects**2 <= 3 * batch_size * n_dims else np.inf, 3 * batch_size * n_dims)
    step = max(int(MOST_VALUES / each), 1)
    for first in range(0, len(items), step):
        yield items[first : first + step]


def starts(seeds: Sequence[int], n_objects: int, n_dims: int, device: str) -> torch.Tensor:
    """Return uniform values from 0 to a half, (n_seeds, n_objects, n_dims); those of a seed depend on it alone."""
    import torch

    drawn = [torch.rand(n_objects, n_dims, generator=torch.Generator().manual_seed(seed)) / 2 for seed in seeds]
    return torch.stack(drawn).to(device)


def train_embeddings(
    triplets: NDArray[np.int64],
    parameters: list[torch.Tensor],
    sample: Sample,
    seeds: Sequence[int],
    *,
    epochs: int,
    least_steps: int,
    batch_size: int,
    learning_rate: float,
    non_negative: bool,
) -> None:
    """Minimise cross-entropy of the choices plus a cost, by Adam; `parameters` change in place.

    Parameters
    ----------
    triplets : array (n_triplets, 3)
        The odd one last.
    parameters : list of tensor
        Leaves that require gradients, the first axis over seeds.
    sample : callable
        Returns embeddings (n_seeds, n_objects, n_dims) made of the parameters, and the cost (n_seeds,) beside.
    seeds : sequence of int
        Of the orders in which triplets are seen.
    epochs, least_steps, batch_size, learning_rate
        Passes over the triplets: more where they would make fewer than `least_steps` steps.
    non_negative : bool
        Whether the parameters are kept from falling below 0.
    """
    import torch

    from brainalign.regression import descend

    device = parameters[0].device
    _, n_objects, n_dims = parameters[0].shape
    rows = torch.as_tensor(triplets, device=device)
    # The pair that remained comes first.
    pairs = torch.stack([rows[:, [0, 1]], rows[:, [0, 2]], rows[:, [1, 2]]], dim=1)  # (n_triplets, 3, 2)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    optimiser = torch.optim.Adam(parameters, lr=learning_rate)
    each = -(-len(rows) // batch_size)
    n_epochs = max(epochs, -(-least_steps // each))
    n_steps = n_epochs * each
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(LAST_RATE, 1 - step / n_steps))
    whole = n_objects**2 <= 3 * batch_size * n_dims  # all similarities cost less than those that are asked for
    table = pairs[..., 0] * n_objects + pairs[..., 1] if whole else pairs  # places among all similarities, or objects

    def losses() -> Iterator[torch.Tensor]:
        for _ in range(n_epochs):
            orders = torch.stack([torch.randperm(len(rows), generator=generator) for generator in generators])
            for some in orders.to(device).split(batch_size, dim=1):
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
    similarities = (embeddings @ embeddings.transpose(1, 2)).flatten(1)
    return similarities.gather(1, places.flatten(1)).view(places.shape)


def _some_pairs(embeddings: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    import torch

    found = []
    for embedding, of_seed in zip(embeddings, asked, strict=True):
        left, right = (embedding.index_select(0, of_seed[..., k].reshape(-1)) for k in (0, 1))
        found.append((left * right).sum(dim=1).reshape(-1, 3))
    return torch.stack(found)
