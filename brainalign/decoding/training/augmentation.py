"""Training trials varied a little each time they are shown: moved in time, without some channels, with noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brainalign.checks import BrainalignError


@dataclass(frozen=True)
class Augmentation:
    """How trials vary.

    Attributes
    ----------
    shift : int
        Samples, at most, in either direction; the sample at the edge is repeated.
    channel_dropout : float
        Probability that a channel of a trial is silent.
    noise : float
        Standard deviation of white noise, for signals of about unit variance.

    Raises
    ------
    BrainalignError
        If a value is out of range.
    """

    shift: int = 1
    channel_dropout: float = 0.2
    noise: float = 0.5

    def __post_init__(self) -> None:
        if self.shift < 0 or not 0 <= self.channel_dropout < 1 or self.noise < 0:
            raise BrainalignError(f"{self} is out of range: shift and noise are >= 0, channel_dropout is in [0, 1)")

    def __call__(self, signals: Tensor, mask: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return varied trials.

        Parameters
        ----------
        signals : Tensor (n, n_channels, n_times)
        mask : Tensor (n, n_times) of bool or None
            False in padding, into and out of which nothing moves.
        generator : Generator
            Of the processor: the same draws on every device.
        """
        n, n_channels, n_times = signals.shape
        device = signals.device
        moved = torch.randint(-self.shift, self.shift + 1, (n, 1), generator=generator).to(device)
        last = torch.full((n, 1), n_times - 1, device=device) if mask is None else mask.sum(dim=1, keepdim=True) - 1
        times = torch.minimum((torch.arange(n_times, device=device) - moved).clamp(min=0), last)
        signals = signals.gather(2, times[:, None].expand(-1, n_channels, -1))
        kept = torch.rand(n, n_channels, 1, generator=generator) >= self.channel_dropout
        noise = self.noise * torch.randn(signals.shape, generator=generator)
        return signals * kept.to(device) + noise.to(device)
