"""What every encoder of EEG begins with: its sizes, padding set to zero, and a matrix of each subject's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainalign.arrays import Values
from brainalign.checks import BrainalignError


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
    """One matrix per subject for the channels of its own trials; at first the identity, or one random matrix."""

    def __init__(self, n_subjects: int, n_in: int, n_out: int) -> None:
        super().__init__()
        first = torch.eye(n_in) if n_in == n_out else torch.randn(n_out, n_in) / n_in**0.5
        self.weight = nn.Parameter(first.repeat(n_subjects, 1, 1))

    def forward(self, x: Tensor, subjects: Tensor) -> Tensor:
        """Return mapped trials (n, n_out[, n_times]); the unknown subject −1 gets the mean matrix."""
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


class SubjectScale:
    """Standardisation per subject; what does not vary in training (padding, dead channels) becomes 0."""

    def __init__(self, names: Sequence[str], mean: Values, deviation: Values) -> None:
        self.names = tuple(names)
        self.mean = np.asarray(mean, dtype=np.float32)
        self.deviation = np.asarray(deviation, dtype=np.float32)

    @classmethod
    def fit(cls, signals: Values, subjects: NDArray[Any]) -> Self:
        """Return the scale of training trials (n_trials, ...)."""
        labels = np.asarray(subjects).astype(str)
        names = sorted(set(labels.tolist()))
        means, deviations = [], []
        for name in names:
            own = np.asarray(signals[labels == name], dtype=np.float64)
            means.append(own.mean(axis=0))
            deviations.append((own - own[:1]).std(axis=0))  # exactly 0 of constants
            if not deviations[-1].any():
                raise BrainalignError(
                    f"subject {name}: nothing varies in its {len(own)} training trials; give more trials, or leave it "
                    "out"
                )
        return cls(names, np.stack(means), np.stack(deviations))

    def rows(self, subjects: NDArray[Any]) -> NDArray[np.intp]:
        """Return the number of every trial's subject; −1 for one that was not in training."""
        known = {name: k for k, name in enumerate(self.names)}
        return np.array([known.get(str(name), -1) for name in subjects], dtype=np.intp)

    def constant(self) -> dict[str, int]:
        """Count the values of a trial that never vary in training, by subject; these are taken as 0."""
        return {name: int((own == 0).sum()) for name, own in zip(self.names, self.deviation, strict=True)}

    def apply(self, signals: Values, subjects: NDArray[Any]) -> NDArray[np.float32]:
        """Return standardised trials; an unknown subject gets the mean of the scales of all others."""
        found = np.zeros(signals.shape, dtype=np.float32)
        rows = self.rows(subjects)
        for row in np.unique(rows):
            mean = self.mean.mean(axis=0) if row < 0 else self.mean[row]
            deviation = self.deviation.mean(axis=0) if row < 0 else self.deviation[row]
            varies = deviation > 0
            own = (signals[rows == row] - mean) / np.where(varies, deviation, 1)
            found[rows == row] = np.where(varies, own, 0)  # also where padding holds something
        return found
