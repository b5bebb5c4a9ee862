"""Which channels and times a network's answer rests on: gradient times input of its similarity with a vector.

    relevance(c, t) = mean over trials of x(c, t) · ∂(v · u) / ∂x(c, t)

x is in standard deviations from the training mean; u is the unit vector of what was shown, and v is divided by its own
length. For a linear decoder the values add up to the similarity, but for its intercept; noise averages out.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.decoding.text.text_training import Feed


def relevance(feed: Feed, targets: Values | None = None) -> NDArray[np.float64]:
    """Return relevance (n_channels, n_times), mean over the trials that have the sample.

    Parameters
    ----------
    feed : Feed
    targets : array (n_trials, n_dimensions), optional
        Vectors of what was shown; without them those decoded, which say what an answer rests on, right or wrong.

    Raises
    ------
    BrainalignError
        If targets have another shape.

    References
    ----------
    Shrikumar A, Greenside P, Kundaje A (2017). Learning important features through propagating activation differences.
    arXiv:1704.02685.
    """
    wanted = (len(feed.signals), feed.network.shape.n_outputs)
    if targets is not None and targets.shape != wanted:
        raise BrainalignError(f"targets of shape {targets.shape} must be {wanted}: one vector per trial")
    total = np.zeros(feed.signals.shape[1:])
    count = np.zeros(feed.signals.shape[2])
    first = 0
    for signals, mask, prompt in feed.parts():
        signals.requires_grad_()
        _, vector = feed.network(signals, mask, prompt)
        # The gradient of a cosine vanishes where v is right; that of the projection does not.
        unit = vector / vector.detach().norm(dim=1, keepdim=True).clamp(min=1e-12)
        toward = vector.detach() if targets is None else vector.new_tensor(targets[first : first + len(signals)])
        similarity = (unit * F.normalize(toward, dim=1)).sum()
        (gradient,) = torch.autograd.grad(similarity, signals)
        total += (gradient * signals).detach().sum(dim=0).double().cpu().numpy()
        count += len(signals) if mask is None else mask.sum(dim=0).cpu().numpy()
        first += len(signals)
    return np.asarray(total / np.maximum(count, 1))
