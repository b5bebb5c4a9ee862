"""The algebra of directions: what rows differ by, and between which of them scores differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from brainalign.checks import BrainalignError
from brainalign.synthesis.directions.bottleneck import Trajectories

EXTREMES = 0.1  # share of the seeds at either end of an annotator's scores
N_SCORES, PENALTY = 32, 0.1  # principal components that ridge takes, and its penalty per seed (of unit variance)


def centred_rows(recorded: Trajectories) -> Tensor:
    """Return trajectories as rows (n_seeds, n_steps · channels · rows · columns) of mean 0."""
    rows = recorded.bottleneck.transpose(0, 1).flatten(1)
    return rows - rows.mean(dim=0)


def principal_components(centred: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return principal components (n, length) and the singular values; by the matrix of seeds, which is small."""
    values, left = torch.linalg.eigh((centred @ centred.T).double())
    singular = values.clamp_min(0).sqrt().flip(0)
    n = min(n, int((singular > 1e-6 * singular[0]).sum()))
    vectors = (left.flip(1)[:, :n] / singular[:n]).to(centred).T @ centred
    return vectors, singular


def between_extremes(centred: Tensor, scores: Tensor) -> Tensor:
    """Return the mean of the seeds that score highest minus that of those that score lowest."""
    order = scores.argsort()
    k = max(2, round(EXTREMES * len(order)))
    return centred[order[-k:]].mean(dim=0) - centred[order[:k]].mean(dim=0)


def regression_gradient(centred: Tensor, scores: Tensor) -> Tensor:
    """Return the gradient of ridge regression of scores on principal components of unit variance."""
    vectors, singular = principal_components(centred, N_SCORES)
    n = len(scores)
    spread = (singular[: len(vectors)] / n**0.5).to(centred)
    components = centred @ vectors.T / spread  # (n_seeds, n_components), orthogonal, of unit variance
    weights = components.T @ (scores - scores.mean()).to(centred) / (n * (1 + PENALTY))
    # In units of spread a step is as likely along one component as along another.
    gradient: Tensor = (weights * spread) @ vectors
    return gradient


def without_span(vectors: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Return unit vectors from which the span of others is taken out."""
    length = vectors.norm(dim=1, keepdim=True)
    left = vectors
    if others:
        basis, _ = torch.linalg.qr(torch.cat(list(others)).double().T)
        unit = (vectors / length).double()
        for _ in range(2):  # once leaves rounding errors of the size of what was taken out
            unit = unit - (unit @ basis) @ basis.T
        left = (unit * length).to(vectors)
    remaining = left.norm(dim=1, keepdim=True)
    if not (remaining > 1e-4 * length).all() or not torch.isfinite(remaining).all():
        raise BrainalignError(
            "nothing is left of a direction: it is zero, or lies in the span of those it must be orthogonal to; "
            "use fewer of them, or another method"
        )
    unit_left: Tensor = left / remaining
    return unit_left


def explained_by(method: str, centred: Tensor, projected: Tensor, scores: Tensor | None, vectors: Tensor) -> Tensor:
    """Compute the share that directions explain: of variance, of squared singular values, or of the scores."""
    if scores is not None:
        a = projected - projected.mean(dim=0)
        b = (scores - scores.mean()).to(a)[:, None]
        r: Tensor = (a * b).sum(dim=0) / (a.norm(dim=0) * b.norm())
        return r.square()
    if method == "pca":
        return projected.square().sum(dim=0) / centred.square().sum()
    strength = vectors.flatten(1).square().sum(dim=1)
    return strength / strength.sum()
