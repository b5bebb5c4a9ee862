"""Meta-training of the in-context network: each step poses it new voxels, a context and queries that are not in it.

Three phases under one learning-rate schedule: synthetic voxels with contexts of one size; contexts of many sizes; real
voxels of other subjects, in turn with synthetic ones, which remain where there are no subjects. Synthetic voxels are
drawn from a Gaussian prior of weights, half of them, where there are other subjects, with weights that voxels of theirs
may have: clusters of voxels are no Gaussian.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from brainalign.checks import BrainalignError
from brainalign.encoding.in_context.network import InContextNetwork
from brainalign.regression import Checkpoint

LARGEST_LOSS = 50.0  # of a voxel: one that is odd must not undo a batch
CLIP = 1.0
MIN_STEPS = 3  # to warm up and to cool down
WARM_UP = 0.1  # of the steps
BETAS = (0.9, 0.98)  # training is short
# Errors count in units of signal sd × ratio ** this: clear voxels need finer weights than noisy ones.
NOISE_WEIGHT = 0.6
N_DRAWS = 16
KEEP_EVERY = 100  # steps
EPOCH = 100  # steps whose mean loss decides whether the rate of AdamW alone falls
# As published: by 10 after 5 epochs without a lower loss, 2 of rest after that.
FACTOR, PATIENCE, COOLDOWN, LOWEST_RATE = 0.1, 5, 2, 1e-5

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
    optimizer: str


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


def meta_train(
    network: InContextNetwork,
    bank: torch.Tensor,
    mean: torch.Tensor,
    root: torch.Tensor,
    real: torch.Tensor | None,
    subjects: Sequence[tuple[torch.Tensor, torch.Tensor]],
    curriculum: Curriculum,
    generator: torch.Generator,
    checkpoint: Path | None,
    progress: Progress | None,
) -> list[float]:
    """Train the network in place and return its loss at every step.

    Contexts and queries are drawn from unit rows `bank` (n_images, n_features); weights and, last, bias of voxels from
    N(mean, root · root'), half of them, where given, from `real` (n_draws, n_features + 1). The third phase is on
    `subjects`: features (n_images, n_features) and responses (n_images, n_voxels). `generator` is on the CPU, so that a
    seed means the same on every device. `checkpoint` has the state every KEEP_EVERY steps, and `progress` is told step,
    number of steps and loss.
    """
    smallest, largest = curriculum.context_sizes
    steps = list(curriculum.n_steps)
    if not subjects:  # the synthetic half of the third phase remains, and is as the second
        steps[1:] = [steps[1] + steps[2] // 2, 0]
    n_steps = sum(steps)
    if n_steps < MIN_STEPS:
        raise BrainalignError(f"training has {n_steps} step(s) in all; give n_steps that sum to {MIN_STEPS} or more")
    voxels = Voxels(bank, mean, root, curriculum.noise_ratio, generator, real)
    optimisers = _optimisers(network, curriculum)
    schedules = _schedules(optimisers, curriculum, n_steps)
    data = [bank, mean, root, *([] if real is None else [real]), *(part for subject in subjects for part in subject)]
    parts: dict[str, Any] = {"network": network} | {f"optimiser{k}": one for k, one in enumerate(optimisers)}
    parts |= {f"schedule{k}": one for k, one in enumerate(schedules)}
    state = Checkpoint(parts, checkpoint, curriculum, *data, generator.get_state(), *network.state_dict().values())
    losses: list[float] = []
    if kept := state.resume():
        losses = list(kept["losses"])
        generator.set_state(kept["generator"])
        torch.set_rng_state(kept["torch"])  # dropout draws from torch's own
        if bank.is_cuda:
            torch.cuda.set_rng_state(kept["cuda"], bank.device)
    network.train()
    for step in range(len(losses), n_steps):
        size = largest
        if step >= steps[0]:  # even on a logarithmic scale: small contexts are the harder ones, and the cheaper
            share = float(torch.rand(1, generator=generator))
            size = min(largest, int(smallest * ((largest + 1) / smallest) ** share))
        # Voxels of other subjects have the noise of these; every other step of the last phase keeps its whole range.
        if step < steps[0] + steps[1] or (step - steps[0] - steps[1]) % 2:
            episode = voxels.episode(curriculum.n_voxels, size)
        else:
            X, Y = subjects[int(torch.randint(len(subjects), (1,), generator=generator))]
            episode = real_episode(X, Y, curriculum.n_voxels, size, curriculum.n_queries, generator)
        loss = _loss(network, episode)
        if not torch.isfinite(loss):
            raise BrainalignError(
                f"the loss is {loss.item()} at step {step} of {n_steps}; lower learning_rate={curriculum.learning_rate}"
            )
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        for optimiser in optimisers:
            optimiser.step()
        losses.append(loss.item())
        for schedule in schedules:
            if isinstance(schedule, torch.optim.lr_scheduler.OneCycleLR):
                schedule.step()
            elif (step + 1) % EPOCH == 0:
                schedule.step(float(np.mean(losses[-EPOCH:])))
        if (step + 1) % KEEP_EVERY == 0:
            draws = {"generator": generator.get_state(), "torch": torch.get_rng_state()}
            draws |= {"cuda": torch.cuda.get_rng_state(bank.device)} if bank.is_cuda else {}
            state.keep(losses=losses, **draws)
        if progress is not None:
            progress(step + 1, n_steps, losses[-1])
    network.zero_grad()
    network.eval()
    state.forget()
    return losses


class Voxels:
    """Synthetic voxels: weights from the prior, noise in proportion to each voxel's signal over the bank.

    The network is asked about every image of the bank at once: with M the second moment of [x, 1] over the bank and
    M = R'R, the mean squared error of weights that are off by d is d'Md = |R d|². In place of the weights it is asked
    for their mean over draws from the posterior, given the voxel's noise, each counted as its error counts: the best
    answer is the same, but what nobody can know from the context hardly makes the gradient noisy. That posterior is the
    Gaussian prior's: of voxels with real weights it is asked for these themselves.
    """

    def __init__(
        self,
        bank: torch.Tensor,
        mean: torch.Tensor,
        root: torch.Tensor,
        noise_ratio: tuple[float, float],
        generator: torch.Generator,
        real: torch.Tensor | None = None,
    ) -> None:
        self.bank, self.mean, self.root, self.generator, self.real = bank, mean, root, generator, real
        self.log_ratio = [float(np.log(ratio)) for ratio in noise_ratio]
        design = _with_bias(bank).double()
        values, vectors = torch.linalg.eigh(design.T @ design / len(design))
        self.queries = (vectors * values.clamp(min=0).sqrt()).T.to(bank)
        self.covariance = torch.cov(bank.double().T).to(bank)

    def episode(self, n_voxels: int, n_images: int) -> Episode:
        """Draw voxels, and for each its own images."""
        device, generator = self.bank.device, self.generator
        whitened = torch.randn(n_voxels, len(self.mean), generator=generator).to(device)
        weights, n_real = self.mean + whitened @ self.root.T, 0
        if self.real is not None:
            n_real = n_voxels // 2
            weights[:n_real] = self.real[torch.randint(len(self.real), (n_real,), generator=generator).to(device)]
        X = self.bank[torch.randint(len(self.bank), (n_voxels, n_images), generator=generator).to(device)]
        signal = (X @ weights[:, :-1, None])[..., 0] + weights[:, -1:]
        low, high = self.log_ratio
        ratio = (low + (high - low) * torch.rand(n_voxels, 1, generator=generator)).exp().to(device)
        noise_sd = ratio * self.signal_sd(weights)[:, None]
        Y = signal + noise_sd * torch.randn(n_voxels, n_images, generator=generator).to(device)
        draws = torch.cat([weights[:, None], self.posterior(X, Y, noise_sd)], dim=1)
        counts = self.counts(draws, noise_sd)
        counts[:n_real, 1:] = 0
        answers = (counts[..., None] * draws).sum(dim=1) / counts.sum(dim=1, keepdim=True)
        scale = (counts.sum(dim=1, keepdim=True) / (counts > 0).sum(dim=1, keepdim=True)).rsqrt()
        return Episode(X, Y, self.queries, answers @ self.queries.T, scale)

    def signal_sd(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the standard deviation over the bank for weights and bias (..., n_features + 1)."""
        return ((weights[..., :-1] @ self.covariance) * weights[..., :-1]).sum(dim=-1).sqrt()

    def counts(self, draws: torch.Tensor, noise_sd: torch.Tensor) -> torch.Tensor:
        """Return by how much the squared error of each draw (n_voxels, n_draws, n_features + 1) counts.

        A noise ratio is log-uniform whatever the weights are, so noise says nothing about them but that the ratio lies
        in its range; draws with another ratio do not count.
        """
        sd = self.signal_sd(draws)
        ratio = noise_sd / sd  # (n_voxels, n_draws)
        low, high = self.log_ratio
        possible = (ratio.log() > low - 1e-3) & (ratio.log() < high + 1e-3)
        return possible / (sd * ratio**NOISE_WEIGHT).square()

    def posterior(self, X: torch.Tensor, Y: torch.Tensor, noise_sd: torch.Tensor) -> torch.Tensor:
        """Draw weights and biases (n_voxels, N_DRAWS, n_features + 1) given contexts and noise (n_voxels, 1)."""
        design = torch.cat([X, torch.ones_like(X[..., :1])], dim=2)  # (n_voxels, n_images, n_features + 1)
        rooted = design @ self.root / noise_sd[..., None]
        precision = rooted.transpose(1, 2) @ rooted  # of weights that the prior's root has whitened
        precision.diagonal(dim1=1, dim2=2).add_(1.0)
        lower = torch.linalg.cholesky(precision)
        centred = (Y - design @ self.mean) / noise_sd
        mean = torch.cholesky_solve(rooted.transpose(1, 2) @ centred[..., None], lower)
        normal = torch.randn(len(X), len(self.mean), N_DRAWS, generator=self.generator).to(X)
        whitened = mean + torch.linalg.solve_triangular(lower.transpose(1, 2), normal, upper=True)
        return self.mean + (self.root @ whitened).transpose(1, 2)


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
    sd = context.std(dim=1, keepdim=True)  # errors of a voxel that is silent in its context count nothing
    return Episode(images, context, queries, responses[:, n_images:], sd.masked_fill(sd == 0, torch.inf))


def _optimisers(network: InContextNetwork, curriculum: Curriculum) -> list[torch.optim.Optimizer]:
    """Return Muon for weight matrices and AdamW for the rest, a third of the steps that AdamW takes alone; or AdamW."""
    rate, decay = curriculum.learning_rate, curriculum.weight_decay
    if curriculum.optimizer == "adamw":
        return [torch.optim.AdamW(network.parameters(), rate, weight_decay=decay, fused=True)]
    narrow = {id(values) for values in (network.registers, *(network.facts.parameters() if network.facts else ()))}
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for values in network.parameters():
        groups[values.ndim == 2 and id(values) not in narrow].append(values)
    muon = torch.optim.Muon(groups[True], rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(groups[False], rate, betas=BETAS, weight_decay=decay, fused=True)]


def _schedules(
    optimisers: Sequence[torch.optim.Optimizer], curriculum: Curriculum, n_steps: int
) -> list[torch.optim.lr_scheduler.OneCycleLR | torch.optim.lr_scheduler.ReduceLROnPlateau]:
    """Return one cycle over all steps; of AdamW alone, a rate that falls where the loss no longer does."""
    if curriculum.optimizer == "adamw":
        return [
            torch.optim.lr_scheduler.ReduceLROnPlateau(
                one, factor=FACTOR, patience=PATIENCE, cooldown=COOLDOWN, min_lr=LOWEST_RATE
            )
            for one in optimisers
        ]
    rise = max(WARM_UP, 2 / n_steps)
    return [
        torch.optim.lr_scheduler.OneCycleLR(
            one, curriculum.learning_rate, total_steps=n_steps, pct_start=rise, cycle_momentum=False
        )
        for one in optimisers
    ]


def _loss(network: InContextNetwork, episode: Episode) -> torch.Tensor:
    error = (network(episode.X, episode.Y) @ episode.queries.T - episode.answers) / episode.scale
    return error.square().sum(dim=1).clamp(max=LARGEST_LOSS).mean()


def _with_bias(X: torch.Tensor) -> torch.Tensor:
    return torch.cat([X, torch.ones_like(X[:, :1])], dim=1)
