"""Voxels that the prior does not know: the context itself says whether in-context weights or pooled ridge serve better.

Groups of targets are compared by their mean leave-one-out error on z-scored responses; a single voxel's error over a
small context is too noisy to decide by. A group of which half the voxels are off the prior is a known limitation: one
choice for all of them must be wrong for some.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.encoding.ridge import ALPHAS, Ridge

__all__ = ["SMALL_GROUPS", "UNIT_ALPHAS", "Comparison", "compare_groups", "groups_of_targets", "pooled_ridge"]

SMALL_GROUPS = "(small groups)"
# Rows of length 1 leave little variance to penalise, so the grid of Ridge is continued downwards.
UNIT_ALPHAS = (*np.logspace(-4, -1, 6, endpoint=False).tolist(), *ALPHAS)

Weights = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Comparison:
    """Leave-one-out errors of a group of targets, in units of the context's variance, and its ridge.

    Attributes
    ----------
    targets : array of target numbers
    in_context, ridge : float
        Mean squared errors on the same images and targets.
    weights : tensor (n_features + 1, n_targets)
        Of ridge, with one alpha for the group; the bias last.
    """

    targets: Rows
    in_context: float
    ridge: float
    weights: torch.Tensor

    @property
    def falls_back(self) -> bool:
        """Whether ridge predicts the group better than the network does."""
        return self.ridge < self.in_context


def compare_groups(
    weights: Weights,
    X: torch.Tensor,
    Y: torch.Tensor,
    *,
    roi: NDArray[Any] | None,
    groups: NDArray[Any] | None,
    min_group: int,
    n_checks: int,
    seed: int,
) -> dict[str, Comparison]:
    """Compare in-context weights with ridge in every group of targets.

    Parameters
    ----------
    weights : callable
        From X (n_images, n_features) and Y (n_images, n_targets) to (n_targets, n_features + 1).
    X : tensor (n_images, n_features)
    Y : tensor (n_images, n_targets)
    roi : array (n_targets,) or None
    groups : array (n_images,) or None
        Rows left out together; otherwise one row at a time.
    min_group : int
        Labels of `roi` with fewer targets are one group.
    n_checks : int
        About how many (image, target) pairs of a group are left out; targets are drawn anew for every fold.
    seed : int
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(len(X)) if groups is None else groups
    folds = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    found = {}
    for label, targets in groups_of_targets(roi, Y.shape[1], min_group).items():
        responses = Y[:, targets]
        per_fold = int(np.clip(n_checks // len(X), 1, len(targets)))
        chosen = [np.sort(rng.choice(len(targets), per_fold, replace=False)) for _ in folds]
        mean, sd = responses.mean(dim=0), responses.std(dim=0)
        own = in_context_error(weights, X, responses, folds, chosen)
        ridge, error = pooled_ridge(X, (responses - mean) / sd, folds, chosen, groups)
        both = torch.vstack([torch.as_tensor(ridge.coef_), torch.as_tensor(ridge.intercept_)[None]]) * sd
        both[-1] += mean
        found[label] = Comparison(targets, own, error, both)
    return found


def groups_of_targets(roi: NDArray[Any] | None, n_targets: int, min_group: int) -> dict[str, Rows]:
    """Return the targets of each label; labels with fewer than `min_group` targets are one group together."""
    if roi is None:
        return {"all": np.arange(n_targets)}
    groups = {str(label): np.flatnonzero(roi == label) for label in np.unique(roi)}
    large = {label: targets for label, targets in groups.items() if len(targets) >= min_group}
    small = [targets for label, targets in groups.items() if label not in large]
    return large | ({SMALL_GROUPS: np.concatenate(small)} if small else {})


def in_context_error(
    weights: Weights, X: torch.Tensor, Y: torch.Tensor, folds: list[Rows], chosen: list[Rows]
) -> float:
    """Return the mean squared error on rows left out of the context, in units of each target's variance."""
    total, sd = 0.0, Y.std(dim=0)
    for left_out, targets in zip(folds, chosen, strict=True):
        kept = np.setdiff1d(np.arange(len(X)), left_out)
        found = weights(X[kept], Y[kept][:, targets])
        predicted = X[left_out] @ found[:, :-1].T + found[:, -1]
        total += float(((Y[left_out][:, targets] - predicted) / sd[targets]).square().sum())
    return total / _n_errors(folds, chosen)


def pooled_ridge(
    X: torch.Tensor, Y: torch.Tensor, folds: list[Rows], chosen: list[Rows], groups: NDArray[Any] | None
) -> tuple[Ridge, float]:
    """Fit ridge with one alpha to z-scored targets; return it and its mean squared error on the rows left out.

    With H the matrix that turns responses into fitted values, leaving the rows g out changes their errors from e to
    (I − H_gg)⁻¹ e: no refit is needed.
    """
    device: Literal["cuda", "cpu"] = "cuda" if X.is_cuda else "cpu"
    cv = max(2, min(5, len(folds) // 2))  # two rows or more in a fold, for its R² to be defined
    ridge = Ridge(UNIT_ALPHAS, cv=cv, per_target_alpha=False, device=device, dtype="float64")
    ridge.fit(X, Y, groups=groups)
    x = X.double() - X.double().mean(dim=0)
    gram, one = x @ x.T, torch.eye(len(x), device=x.device, dtype=torch.float64)
    hat = torch.linalg.solve(gram + float(ridge.alpha_[0]) * one, gram) + 1 / len(x)
    errors = Y.double() - hat @ Y.double()
    total = 0.0
    for left_out, targets in zip(folds, chosen, strict=True):
        kept = one[left_out][:, left_out] - hat[left_out][:, left_out]
        total += float(torch.linalg.solve(kept, errors[left_out][:, targets]).square().sum())
    return ridge, total / _n_errors(folds, chosen)


def _n_errors(folds: list[Rows], chosen: list[Rows]) -> int:
    return sum(len(left_out) * len(targets) for left_out, targets in zip(folds, chosen, strict=True))
