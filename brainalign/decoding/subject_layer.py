"""What every encoder of EEG begins with: its sizes, padding set to zero, and a matrix of each subject's own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["EegShape", "SubjectLayer", "silenced"]


@dataclass(frozen=True)
class EegShape:
    """What an encoder is built for.

    Attributes
    ----------
    n_channels, n_times : int
        Of a recording, padding included.
    n_outputs : int
        Dimensions of the vector.
    n_tasks, n_datasets, n_subjects : int
        Known ones. In a prompt (n, 3) they are numbered from 1 in this order; 0 is unknown.
    sfreq : float
        Samples per second.
    """

    n_channels: int
    n_times: int
    n_outputs: int
    n_tasks: int = 1
    n_datasets: int = 1
    n_subjects: int = 1
    sfreq: float = 128.0


class SubjectLayer(nn.Module):
    """A matrix over channels for every subject, the identity at first; the unknown subject 0 gets their mean.

    Parameters
    ----------
    n_subjects, n_channels : int
    """

    def __init__(self, n_subjects: int, n_channels: int) -> None:
        super().__init__()
        self.matrices = nn.Parameter(torch.eye(n_channels).repeat(n_subjects, 1, 1))

    def forward(self, signals: Tensor, subjects: Tensor) -> Tensor:
        """Return signals (n, n_channels, n_times) mixed by the matrices of their subjects (n,)."""
        matrices = torch.cat([self.matrices.mean(dim=0, keepdim=True), self.matrices])
        return torch.bmm(matrices[subjects], signals)


def silenced(signals: Tensor, mask: Tensor | None) -> Tensor:
    """Return signals (n, n_channels, n_times) that are zero where the mask (n, n_times) is False."""
    return signals if mask is None else signals * mask[:, None]
