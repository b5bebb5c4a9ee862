"""Ridge plus a network that learns what ridge misses.

    v = a p + g LayerNorm(network(x)),     a p of root mean square 1, g = .03 before training

p is each subject's ridge. While the network trains, p comes from folds that left the trial's stimulus out: fitted on
the same trials it would look better than it is, and the network would have nothing left to learn. The same folds choose
the penalty.
"""

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainalign.arrays import Values
from brainalign.decoding.scoring import LinearDecoder, unit_rows


class RidgeMaps(nn.Module):
    """Each subject's ridge, weights (n_subjects, n_features, n_targets); the unknown subject 0 gets their mean."""

    def __init__(self, weights: Tensor, intercepts: Tensor) -> None:
        super().__init__()
        self.weights = nn.Buffer(torch.cat([weights.mean(dim=0, keepdim=True), weights]))
        self.intercepts = nn.Buffer(torch.cat([intercepts.mean(dim=0, keepdim=True), intercepts]))

    @classmethod
    def fit(
        cls,
        signals: Values,
        targets: Values,
        subjects: NDArray[np.integer[Any]],
        penalty: float = 1.0,
        loudness: Values | None = None,
    ) -> Self:
        """Fit a ridge per subject (from 1 on); channels were multiplied by `loudness` and will not be later."""
        found = LinearDecoder("own", penalties=(penalty,)).fit(signals, targets, subjects).coefficients()
        pairs = [found[subject] for subject in sorted(found)]
        if loudness is not None:
            n_times = signals.shape[2]
            pairs = [(w * np.repeat(of, n_times)[:, None], b) for (w, b), of in zip(pairs, loudness, strict=True)]
        return cls(*(torch.tensor(np.stack(part), dtype=torch.float32) for part in zip(*pairs, strict=True)))

    def forward(self, signals: Tensor, subjects: Tensor) -> Tensor:
        """Return p (n, n_targets) of signals (n, n_channels, n_times) of subjects (n,)."""
        # One subject at a time: the weights of every trial would not fit into memory.
        p, x = self.intercepts[subjects], signals.flatten(1)
        for subject in subjects.unique():
            rows = (subjects == subject).nonzero()[:, 0]
            p = p.index_add(0, rows, x[rows] @ self.weights[subject])
        return p


class RidgeResidual(nn.Module):
    """The sum of a ridge prediction and a normalised network output, with learned weights."""

    def __init__(self, n_outputs: int, a: float = 1.0, g: float = 0.03) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))
        self.g = nn.Parameter(torch.tensor(g))
        self.normal = nn.LayerNorm(n_outputs)

    def forward(self, p: Tensor, vector: Tensor) -> Tensor:
        """Return v (n, n_outputs)."""
        return self.a * p + self.g * self.normal(vector)


def spread(vectors: Values) -> float:
    """Return 1 − |mean of unit vectors|²: the mean of 1 − cosine over all pairs, 0 if all outputs are one.

    Decoders trained on nothing, as on shuffled pairs, may end with the same answer to everything.

    Parameters
    ----------
    vectors : array (n_trials, n_dimensions)

    Examples
    --------
    >>> spread(np.eye(4)), spread(np.ones((4, 3))) < 1e-6
    (0.75, True)
    """
    return float(1 - np.square(unit_rows(vectors).mean(axis=0)).sum())
