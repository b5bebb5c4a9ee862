"""Ridge plus a network that learns what ridge misses.

    v = a p + g LayerNorm(network(x)),     a = 3, g = .1 before training

p is each subject's ridge. While the network trains, p comes from folds that left the trial's stimulus out: fitted on
the same trials it would look better than it is, and the network would have nothing left to learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from brainalign.checks import BrainalignError
from brainalign.decoding.linear import LinearDecoder

__all__ = ["RidgeMaps", "RidgeResidual", "cross_fitted", "spread"]

Values = NDArray[np.floating[Any]]


class RidgeMaps(nn.Module):
    """Each subject's ridge as weights; the unknown subject 0 gets their mean.

    Parameters
    ----------
    weights : Tensor (n_subjects, n_channels * n_times, n_targets)
    intercepts : Tensor (n_subjects, n_targets)
    """

    def __init__(self, weights: Tensor, intercepts: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", torch.cat([weights.mean(dim=0, keepdim=True), weights]))
        self.register_buffer("intercepts", torch.cat([intercepts.mean(dim=0, keepdim=True), intercepts]))
        self.weights: Tensor
        self.intercepts: Tensor

    @classmethod
    def fit(cls, signals: Values, targets: Values, subjects: NDArray[np.integer[Any]]) -> RidgeMaps:
        """Fit a ridge per subject.

        Parameters
        ----------
        signals : array (n_trials, n_channels, n_times)
        targets : array (n_trials, n_targets)
        subjects : array (n_trials,) of int
            From 1 on, none left out.
        """
        found = LinearDecoder("own").fit(signals, targets, subjects).coefficients()
        pairs = [found[subject] for subject in sorted(found)]
        return cls(*(torch.tensor(np.stack(part), dtype=torch.float32) for part in zip(*pairs, strict=True)))

    def forward(self, signals: Tensor, subjects: Tensor) -> Tensor:
        """Return p (n, n_targets) of signals (n, n_channels, n_times) of subjects (n,)."""
        # One subject at a time: the weights of every trial would not fit into memory.
        p = self.intercepts[subjects]
        x = signals.flatten(1)
        for subject in subjects.unique():
            rows = (subjects == subject).nonzero()[:, 0]
            p = p.index_add(0, rows, x[rows] @ self.weights[subject])
        return p


class RidgeResidual(nn.Module):
    """The sum of a ridge prediction and a normalised network output, with learned weights.

    Parameters
    ----------
    n_outputs : int
    a, g : float
        Weights of both before training.
    """

    def __init__(self, n_outputs: int, a: float = 3.0, g: float = 0.1) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))
        self.g = nn.Parameter(torch.tensor(g))
        self.normal = nn.LayerNorm(n_outputs)

    def forward(self, p: Tensor, vector: Tensor) -> Tensor:
        """Return v (n, n_outputs)."""
        v: Tensor = self.a * p + self.g * self.normal(vector)
        return v


def cross_fitted(
    signals: Values,
    targets: Values,
    subjects: NDArray[np.integer[Any]],
    stimuli: NDArray[np.integer[Any]],
    n_folds: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return what ridge predicts of every trial (n_trials, n_targets), fitted on other stimuli.

    Parameters
    ----------
    signals : array (n_trials, n_channels, n_times)
    targets : array (n_trials, n_targets)
    subjects, stimuli : array (n_trials,) of int
        Stimuli from 0 on; a fold leaves out all trials of its stimuli.
    n_folds : int
    rng : Generator
        Of the folds.

    Raises
    ------
    BrainalignError
        If there are fewer stimuli than folds, or a fold leaves a subject without trials.
    """
    n_stimuli = int(stimuli.max()) + 1
    if not 2 <= n_folds <= n_stimuli:
        raise BrainalignError(f"{n_folds} folds do not fit {n_stimuli} training stimuli; take from 2 to {n_stimuli}")
    fold = (rng.permutation(n_stimuli) % n_folds)[stimuli]
    found = np.empty(targets.shape, dtype=np.float32)
    for k in range(n_folds):
        held = fold == k
        absent = np.setdiff1d(subjects, subjects[~held])
        if len(absent):
            raise BrainalignError(
                f"a fold of {n_folds} leaves nothing to train on for {len(absent)} subjects; drop subjects with "
                "few stimuli"
            )
        ridge = LinearDecoder("own").fit(signals[~held], targets[~held], subjects[~held])
        found[held] = ridge.predict(signals[held], subjects[held])
    return found


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
    unit = F.normalize(torch.as_tensor(np.asarray(vectors), dtype=torch.float64), dim=1)
    return float(1 - unit.mean(dim=0).square().sum())
