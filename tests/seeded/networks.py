"""Networks as a user writes them."""

import torch


def drawn() -> torch.nn.Module:
    """Return weights that torch draws."""
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3))


def equal() -> torch.nn.Module:
    """Return weights that nobody draws."""
    network = drawn()
    for weight in network.parameters():
        torch.nn.init.ones_(weight)
    return network


class Video:
    """Features that torch draws."""

    def __init__(self) -> None:
        self.weight = torch.rand(3)

    def features(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.mean() * self.weight


def video() -> Video:
    return Video()
