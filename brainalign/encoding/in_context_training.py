"""Meta-training of the in-context network: each step poses it new voxels, a context and queries that are not in it.

Three phases under one learning-rate schedule: synthetic voxels with contexts of one size; contexts of many sizes; real
voxels of other subjects. Synthetic voxels are drawn from a Gaussian prior of weights, plus noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from brainalign.checks import BrainalignError
from brainalign.encoding.in_context_network import InContextNetwork

__all__ = ["Curriculum", "meta_train", "standardised"]

LARGEST_LOSS = 50.0  # of a voxel: one that is odd must not undo a batch
CLIP = 1.0
# Errors count in units of signal sd × ratio ** this: clear voxels need finer weights than noisy ones.
NOISE_WEIGHT = 0.25

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Curriculum:
    """What the phases pose and how long each takes; as the constructor arguments of InContextEncoder."""

    n_steps: tuple[int, int, int]
    context_sizes: tuple[int, int]
    noise_ratio: tuple[float, float]
    n_voxels: int
    n_queries: int
    learning_rate: float
    weight_decay: float


@dataclass(frozen=True)
class Episode:
    """Contexts of a batch of voxels, and what is asked about them.

    Attributes
    ----------
    X : tensor (n_voxels, n_images, n_features)
    Y : tensor (n_voxels, n_images)
    queries : tensor (n_queries, n_features + 1)
        Images with a 1 for the bias, so scaled that the sum of squared errors is the mean over images.
    answers : tensor (n_voxels, n_queries)
    scale : tensor (n_voxels, 1)
        Errors are divided by it.
    """

    X: torch.Tensor
    Y: torch.Tensor
    queries: torch.Tensor
    answers: torch.Tensor
    scale: torch.Tensor


def standardised(Y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return responses (n_voxels, n_images) z-scored over each context, their means and standard deviations."""
    mean, sd = Y.mean(dim=1, keepdim=True), Y.std(dim=1, keepdim=True)
    sd = torch.where(sd > 0, sd, 1.0)  # a voxel may be silent but for the image left out
    return (Y - mean) / sd, mean, sd


def meta_train(
    network: InContextNetwork,
    bank: torch.Tensor,
    mean: torch.Tensor,
    root: torch.Tensor,
    subjects: Sequence[tuple[torch.Tensor, torch.Tensor]],
    curriculum: Curriculum,
    generator: torch.Generator,
    progress: Progress | None,
) -> list[float]:
    """Train the network in place and return its loss at every step.

    Parameters
    ----------
    network : InContextNetwork
    bank : tensor (n_images, n_features)
        Unit rows from which synthetic contexts and queries are drawn.
    mean, root : tensors (n_features + 1,), (n_features + 1, n_features + 1)
        Prior of weights and, last, bias: N(mean, root · root').
    subjects : sequence of (X, Y)
        Features (n_images, n_features) and responses (n_images, n_voxels) for the third phase.
    curriculum : Curriculum
    generator : torch.Generator
        On the CPU, so that a seed means the same on every device.
    progress : callable (step, n_steps, loss), optional
    """
    smallest, largest = curriculum.context_sizes
    steps = list(curriculum.n_steps)
    steps[2] = steps[2] if subjects else 0
    n_steps = sum(steps)
    voxels = Voxels(bank, mean, root, curriculum.noise_ratio, generator)
    optimiser = torch.optim.AdamW(
        network.parameters(), curriculum.learning_rate, weight_decay=curriculum.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, curriculum.learning_rate, total_steps=n_steps)
    losses = []
    network.train()
    for step in range(n_steps):
        size = largest if step < steps[0] else _log_uniform(smallest, largest, generator)
        if step < steps[0] + steps[1]:
            episode = voxels.episode(curriculum.n_voxels, size)
        else:
            X, Y = subjects[_uniform(0, len(subjects) - 1, generator)]
            episode = real_episode(X, Y, curriculum.n_voxels, size, curriculum.n_queries, generator)
        loss = _loss(network, episode)
        if not torch.isfinite(loss):
            raise BrainalignError(
                f"the loss is {loss.item()} at step {step} of {n_steps}; lower learning_rate={curriculum.learning_rate}"
            )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if progress is not None:
            progress(step + 1, n_steps, losses[-1])
    optimiser.zero_grad()
    network.eval()
    return losses


class Voxels:
    """Synthetic voxels: weights from the prior, noise in proportion to each voxel's signal over the bank.

    The network is asked about every image of the bank at once: with M the second moment of [x, 1] over the bank and
    M = R'R, the mean squared error of weights that are off by d is d'Md = |R d|². It is asked for the posterior mean
    of the weights, given the voxel's noise, in place of the weights: the best answer is the same, because nobody can
    know more from the context, but what nobody can know no longer makes the gradient noisy.
    """

    def __init__(
        self,
        bank: torch.Tensor,
        mean: torch.Tensor,
        root: torch.Tensor,
        noise_ratio: tuple[float, float],
        generator: torch.Generator,
    ) -> None:
        self.bank, self.mean, self.root, self.generator = bank, mean, root, generator
        self.log_ratio = [float(np.log(ratio)) for ratio in noise_ratio]
        design = _with_bias(bank).double()
        values, vectors = torch.linalg.eigh(design.T @ design / len(design))
        self.queries = (vectors * values.clamp(min=0).sqrt()).T.to(bank)
        self.covariance = torch.cov(bank.double().T).to(bank)

    def episode(self, n_voxels: int, n_images: int) -> Episode:
        """Draw voxels, and for each its own images."""
        device, generator = self.bank.device, self.generator
        weights = self.mean + torch.randn(n_voxels, len(self.mean), generator=generator).to(device) @ self.root.T
        rows = torch.randint(len(self.bank), (n_voxels, n_images), generator=generator).to(device)
        X = self.bank[rows]
        signal = (X @ weights[:, :-1, None])[..., 0] + weights[:, -1:]
        sd = ((weights[:, :-1] @ self.covariance) * weights[:, :-1]).sum(dim=1, keepdim=True).sqrt()
        low, high = self.log_ratio
        ratio = (low + (high - low) * torch.rand(n_voxels, 1, generator=generator)).exp().to(device)
        Y = signal + ratio * sd * torch.randn(n_voxels, n_images, generator=generator).to(device)
        answers = self.posterior(X, Y, ratio * sd) @ self.queries.T
        return Episode(X, Y, self.queries, answers, sd * ratio**NOISE_WEIGHT)

    def posterior(self, X: torch.Tensor, Y: torch.Tensor, noise_sd: torch.Tensor) -> torch.Tensor:
        """Return the posterior mean of weights and bias (n_voxels, n_features + 1), noise (n_voxels, 1) being known."""
        design = torch.cat([X, torch.ones_like(X[..., :1])], dim=2).double()  # (n_voxels, n_images, n_features + 1)
        mean, root = self.mean.double(), self.root.double()
        rooted = design @ root
        gram = rooted @ rooted.transpose(1, 2)
        gram.diagonal(dim1=1, dim2=2).add_(noise_sd.double().square())
        centred = Y.double() - design @ mean
        shrunk = torch.cholesky_solve(centred[..., None], torch.linalg.cholesky(gram))
        return (mean + (rooted.transpose(1, 2) @ shrunk)[..., 0] @ root.T).to(X)


def real_episode(
    X: torch.Tensor, Y: torch.Tensor, n_voxels: int, n_images: int, n_queries: int, generator: torch.Generator
) -> Episode:
    """Draw voxels of a subject and images that they share; errors count in units of the context's variance."""
    rows = torch.randperm(len(X), generator=generator)[: n_images + n_queries].to(X.device)
    chosen = torch.randint(Y.shape[1], (n_voxels,), generator=generator).to(X.device)
    responses = Y[rows][:, chosen].T / n_queries**0.5
    context = responses[:, :n_images] * n_queries**0.5
    queries = _with_bias(X[rows[n_images:]]) / n_queries**0.5
    images = X[rows[:n_images]].expand(n_voxels, -1, -1)
    return Episode(images, context, queries, responses[:, n_images:], context.std(dim=1, keepdim=True))


def _loss(network: InContextNetwork, episode: Episode) -> torch.Tensor:
    z, mean, sd = standardised(episode.Y)
    found = network(episode.X, z) * sd
    weights = torch.cat([found[:, :-1], found[:, -1:] + mean], dim=1)
    error = (weights @ episode.queries.T - episode.answers) / episode.scale
    return error.square().sum(dim=1).clamp(max=LARGEST_LOSS).mean()


def _with_bias(X: torch.Tensor) -> torch.Tensor:
    return torch.cat([X, torch.ones_like(X[:, :1])], dim=1)


def _uniform(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (1,), generator=generator))


def _log_uniform(low: int, high: int, generator: torch.Generator) -> int:
    """Draw a size evenly on a logarithmic scale: small contexts are the harder ones, and the cheaper."""
    share = float(torch.rand(1, generator=generator))
    return min(high, int(low * ((high + 1) / low) ** share))
