"""Voxels that the prior or the network does not know: the context itself says whose weights serve a group best.

Groups of targets are compared by their mean leave-one-out error on z-scored responses; a single voxel's error over a
small context is too noisy to decide by. What knows other subjects must be better than ridge by more than chance: over
few images it is easily lucky. Empirical-Bayes ridge knows the same prior and takes the network's place where it is
better by more than chance. Both say too much where noise is stronger than in training, or grows with the signal: their
weights are multiplied by the share of least error in the group, plus its standard error. A group of which half the
voxels are off the prior is a known limitation: one choice for all of them must be wrong for some.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.arrays import Rows
from brainalign.encoding.in_context.empirical_bayes import (
    EmpiricalBayesRidge,
    WeightPrior,
    best_share,
    left_out_errors,
    moments,
)
from brainalign.regression import ALPHAS, Ridge

NETWORK, BAYES, RIDGE = "in_context", "empirical_bayes", "ridge"  # as columns of tables
MARGIN = 1.0  # standard errors over images
# Share of the variance by which empirical Bayes must be better too: over many images ever less is beyond chance.
RELEVANT = 0.01

SMALL_GROUPS = "(small groups)"
# Rows of length 1 leave little variance to penalise, so the grid of Ridge is continued downwards.
UNIT_ALPHAS = (*np.logspace(-4, -1, 6, endpoint=False).tolist(), *ALPHAS)

Weights = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Comparison:
    """Leave-one-out errors of a group of targets, and what is taken for it.

    Attributes
    ----------
    targets : array of target numbers
    errors : dict of float
        Mean squared errors on the same images and targets, in units of the context's variance: "in_context",
        "empirical_bayes" where a prior was given, and "ridge".
    taken : str
        One of them.
    weights : tensor (n_features + 1, n_targets) or None
        Of what is taken, the bias last; None where the network's weights stay.
    share : float
        By which weights other than ridge's are multiplied: that of least error and a standard error, to 1.
    """

    targets: Rows
    errors: dict[str, float]
    taken: str
    weights: torch.Tensor | None
    share: float


def compare_groups(
    weights: Weights,
    X: torch.Tensor,
    Y: torch.Tensor,
    *,
    prior: WeightPrior | None,
    roi: NDArray[Any] | None,
    groups: NDArray[Any] | None,
    min_group: int,
    n_checks: int,
    seed: int,
) -> dict[str, Comparison]:
    """Compare in-context weights with empirical-Bayes ridge and with pooled ridge in every group of targets.

    `weights` takes X (n_images, n_features) and Y (n_images, n_targets) to (n_targets, n_features + 1). The prior is in
    the units of Y; None leaves empirical-Bayes ridge out. Rows of one of `groups` are left out together, else one row
    at a time. Labels of `roi` with fewer than `min_group` targets are one group; about `n_checks` pairs of image and
    target of each group are left out, the targets drawn anew for every fold.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(len(X)) if groups is None else groups
    folds = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    found = {}
    for label, targets in groups_of_targets(roi, Y.shape[1], min_group).items():
        responses = Y[:, targets]
        per_fold = int(np.clip(n_checks // len(X), 1, len(targets)))
        chosen = [np.sort(rng.choice(len(targets), per_fold, replace=False)) for _ in folds]
        sizes = np.array([len(fold) * per_fold for fold in folds])
        mean, sd = responses.mean(dim=0), responses.std(dim=0)
        left_out = {NETWORK: in_context_errors(weights, X, responses, folds, chosen)}
        if prior is not None:
            bayes = EmpiricalBayesRidge(prior).fit(X, responses)
            left_out[BAYES] = left_out_errors(bayes, X, responses, folds, chosen)
        shares, sums = {RIDGE: 1.0}, {}
        for name, values in left_out.items():
            share = shares[name] = best_share(values)
            sums[name] = values @ [1, -2 * share, share**2]
        ridge, sums[RIDGE] = pooled_ridge(X, (responses - mean) / sd, folds, chosen, groups)
        best, stand_in = taken(sums, sizes), None
        if best == BAYES:
            stand_in = _rows(bayes)
        elif best == RIDGE:
            stand_in = _rows(ridge) * sd
            stand_in[-1] += mean
        errors = {name: float(values.sum() / sizes.sum()) for name, values in sums.items()}
        found[label] = Comparison(targets, errors, best, stand_in, shares[best])
    return found


def taken(sums: Mapping[str, NDArray[np.float64]], sizes: NDArray[np.intp]) -> str:
    """Return whose weights are taken: the network's, or empirical Bayes' where better; ridge's unless worse than those.

    Better and worse: by more than a standard error of the difference over folds; empirical Bayes also by `RELEVANT`.

    `sums` are squared errors of "in_context", "ridge" and perhaps "empirical_bayes", summed over a fold (n_folds,);
    `sizes` (n_folds,) are how many errors a fold has.
    """
    best = BAYES if BAYES in sums and _better(sums[BAYES] - sums[NETWORK], sizes, RELEVANT) else NETWORK
    return best if _better(sums[best] - sums[RIDGE], sizes) else RIDGE


def _better(difference: NDArray[np.float64], sizes: NDArray[np.intp], least: float = 0.0) -> bool:
    """Return whether the mean of differences is below 0 by more than `least` and a standard error."""
    n, mean = len(sizes), difference.sum() / sizes.sum()
    error = np.sqrt(n / (n - 1) * np.square(difference - mean * sizes).sum()) / sizes.sum()
    return bool(mean < -max(MARGIN * error, least))


def _rows(fitted: Ridge | EmpiricalBayesRidge) -> torch.Tensor:
    """Return coefficients and, last, intercepts (n_features + 1, n_targets)."""
    return torch.vstack([torch.as_tensor(fitted.coef_), torch.as_tensor(fitted.intercept_)[None]])


def groups_of_targets(roi: NDArray[Any] | None, n_targets: int, min_group: int) -> dict[str, Rows]:
    """Return the targets of each label; labels with fewer than `min_group` targets are one group together."""
    if roi is None:
        return {"all": np.arange(n_targets)}
    groups = {str(label): np.flatnonzero(roi == label) for label in np.unique(roi)}
    large = {label: targets for label, targets in groups.items() if len(targets) >= min_group}
    small = [targets for label, targets in groups.items() if label not in large]
    return large | ({SMALL_GROUPS: np.concatenate(small)} if small else {})


def in_context_errors(
    weights: Weights, X: torch.Tensor, Y: torch.Tensor, folds: list[Rows], chosen: list[Rows]
) -> NDArray[np.float64]:
    """Return `moments` of rows left out of the context (n_folds, 3)."""
    found, variance = np.zeros((len(folds), 3)), Y.double().var(dim=0).cpu().numpy()
    for k, (left_out, targets) in enumerate(zip(folds, chosen, strict=True)):
        kept = np.setdiff1d(np.arange(len(X)), left_out)
        read, middle = weights(X[kept], Y[kept][:, targets]), X[kept].mean(dim=0)
        rest = Y[left_out][:, targets] - (read[:, :-1] @ middle + read[:, -1])
        errors = rest - (X[left_out] - middle) @ read[:, :-1].T
        found[k] = moments(rest.double().cpu().numpy(), errors.double().cpu().numpy(), variance[targets])
    return found


def pooled_ridge(
    X: torch.Tensor, Y: torch.Tensor, folds: list[Rows], chosen: list[Rows], groups: NDArray[Any] | None
) -> tuple[Ridge, NDArray[np.float64]]:
    """Fit ridge with one alpha to z-scored targets; return it and its squared errors on rows left out, summed by fold.

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
    errors, sums = Y.double() - hat @ Y.double(), np.zeros(len(folds))
    for k, (left_out, targets) in enumerate(zip(folds, chosen, strict=True)):
        kept = one[left_out][:, left_out] - hat[left_out][:, left_out]
        sums[k] = float(torch.linalg.solve(kept, errors[left_out][:, targets]).square().sum())
    return ridge, sums
