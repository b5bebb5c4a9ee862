"""The network of a shared space, and how it is trained: one modality per batch, jointly or in two phases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from brainalign.decoding.shared_space.mixture import SoftMixture
from brainalign.decoding.shared_space.modality_encoders import MODALITY_ENCODERS
from brainalign.decoding.training import History, LogitScale, batches, clip_loss, train

Forward = Callable[[str, Tensor, Tensor], Tensor]
# Batches of every modality, the most in a cycle that takes the place of a plateau: `steps` are then a limit that
# validation hardly reaches, and without it nothing says which weights of so long a training are the best.
CYCLE = 300


class SpaceNetwork(nn.Module):
    """An encoder per modality, the projector they share, and the learned temperature.

    Parameters
    ----------
    size : str
        Of `MODALITY_ENCODERS`.
    shapes : mapping of tuple
        Of one trial, by modality.
    n_layers : mapping of int
        Subject layers, by modality.
    width, n_dimensions, n_experts, router : int
    scale : (float, float)
        Inverse temperature at the start, and its largest value.
    options : mapping
        Further arguments of encoders by modality.
    """

    def __init__(
        self,
        size: str,
        shapes: Mapping[str, tuple[int, ...]],
        n_layers: Mapping[str, int],
        width: int,
        n_dimensions: int,
        n_experts: int,
        router: int,
        scale: tuple[float, float],
        options: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__()
        menu = MODALITY_ENCODERS[size]
        self.encoders = nn.ModuleDict(
            {
                name: menu["signals" if len(shape) == 2 else "voxels"](
                    n_layers[name], tuple(shape), width, **options.get(name, {})
                )
                for name, shape in shapes.items()
            }
        )
        self.mixture = SoftMixture(width, n_dimensions, n_experts, router)
        self.scale = LogitScale(*scale)
        self.width, self.n_dimensions = width, n_dimensions

    def forward(self, modality: str, x: Tensor, subjects: Tensor) -> Tensor:
        """Return embeddings (n, n_dimensions), not of unit length."""
        found: Tensor = self.mixture(self.encoders[modality](x, subjects))
        return found


class TrainingData(NamedTuple):
    """What is known of the training trials of a modality; a row each.

    Attributes
    ----------
    signals : Tensor (n_trials, ...)
        Standardised.
    subjects, stimuli : Tensor (n_trials,) of int
    targets : Tensor (n_trials, n_dimensions)
        Unit vectors.
    """

    signals: Tensor
    subjects: Tensor
    targets: Tensor
    stimuli: Tensor


def train_space(
    network: SpaceNetwork,
    data: Mapping[str, TrainingData],
    *,
    phases: str,
    steps: int,
    batch_size: int,
    regression: float,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    schedule: str = "one_cycle",
    patience: int = 300,
    validate: Callable[[], float] | None = None,
) -> dict[str, History]:
    """Train in place.

    Parameters
    ----------
    network : SpaceNetwork
    data : mapping of TrainingData
    phases : {"joint", "two"}
        All at once; or encoders one by one, each with a linear projection of its own, then, frozen, the mixture.
    steps, batch_size : int
        Of every modality, in each phase.
    regression : float
        Weight of the squared distance to the target beside the contrastive loss.
    learning_rate, weight_decay : float
    seed : int
    schedule : {"one_cycle", "plateau"}
        Of what is validated; with "plateau" whatever is not, as encoders that are trained one by one, has one cycle of
        at most 300 batches.
    patience : int
        Batches, of "plateau".
    validate : callable, optional

    Returns
    -------
    dict of History
        By phase: "joint", or the modalities and "mixture".
    """

    def run(modules: list[nn.Module], forward: Forward, parts: Mapping[str, TrainingData], check: Any) -> History:
        names = list(parts)
        rng = np.random.default_rng(seed)
        n_steps = min(steps, CYCLE) if check is None and schedule == "plateau" else steps
        rows = {name: batches(len(parts[name].signals), batch_size, n_steps, rng) for name in names}

        def loss(step: int) -> Tensor:
            name = names[step % len(names)]
            part = parts[name]
            chosen = torch.from_numpy(next(rows[name])).to(part.signals.device)
            targets = part.targets[chosen]
            found = forward(name, part.signals[chosen], part.subjects[chosen])
            distance = (found - targets).square().sum(dim=-1).mean()
            return clip_loss(found, targets, network.scale(), part.stimuli[chosen]) + regression * distance

        return train(
            [*modules, network.scale],
            loss,
            n_steps * len(names),
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            schedule="one_cycle" if check is None else schedule,
            patience=patience,
            validate=check,
        )

    if phases == "joint":
        return {"joint": run([network.encoders, network.mixture], network, data, validate)}
    history = {}
    for name, encoder in network.encoders.items():
        head = nn.Linear(network.width, network.n_dimensions).to(data[name].signals.device)

        def alone(_: str, x: Tensor, subjects: Tensor, encoder: nn.Module = encoder, head: nn.Module = head) -> Tensor:
            found: Tensor = head(encoder(x, subjects))
            return found

        history[name] = run([encoder, head], alone, {name: data[name]}, None)
        encoder.requires_grad_(False)
    history["mixture"] = run([network.mixture], network, data, validate)  # encoders stay in evaluation mode
    return history
