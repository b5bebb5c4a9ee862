"""What every encoder of EEG begins with: its sizes, padding set to zero, and a matrix of each subject's own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


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


class SubjectLayers(nn.Module):
    """One matrix per subject, applied to the channels of its own trials.

    Parameters
    ----------
    n_subjects, n_in, n_out : int
        The identity at the start where sizes are equal; else the same random matrix for all.
    """

    def __init__(self, n_subjects: int, n_in: int, n_out: int) -> None:
        super().__init__()
        first = torch.eye(n_in) if n_in == n_out else torch.randn(n_out, n_in) / n_in**0.5
        self.weight = nn.Parameter(first.repeat(n_subjects, 1, 1))

    def forward(self, x: Tensor, subjects: Tensor) -> Tensor:
        """Return mapped trials (n, n_out[, n_times]).

        Parameters
        ----------
        x : Tensor (n, n_in[, n_times])
        subjects : Tensor (n,) of int
            −1: unknown, who gets the mean matrix.
        """
        # Subject by subject: a matrix gathered for every trial would not fit for thousands of voxels.
        found = x.new_empty(len(x), self.weight.shape[1], *x.shape[2:])
        for subject in torch.unique(subjects).tolist():
            rows = subjects == subject
            matrix = self.weight.mean(dim=0) if subject < 0 else self.weight[subject]
            found[rows] = torch.einsum("oi,ni...->no...", matrix, x[rows])
        return found


def silenced(signals: Tensor, mask: Tensor | None) -> Tensor:
    """Return signals (n, n_channels, n_times) that are zero where the mask (n, n_times) is False."""
    return signals if mask is None else signals * mask[:, None]
