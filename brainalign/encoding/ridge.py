"""Exact ridge regression of many targets, alpha chosen per target by grouped cross-validation.

Every training set is decomposed once; all alphas and all targets share the decomposition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut
from sklearn.utils.validation import check_is_fitted

from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows, listed
from brainalign.devices import pick_device, target_block
from brainalign.kernels import prediction_moments

__all__ = ["Ridge"]

Array = NDArray[Any] | torch.Tensor
ALPHAS = tuple(np.logspace(-1, 5, 13).tolist())
CACHE_BLOCK = 8192  # targets whose sums for a usual grid stay in a core's cache


@dataclass(frozen=True)
class _Basis:
    """Centred training rows in their own eigenbasis: coef(a) = to_coef · diag(1 / (d + a)) · (project · Y).

    `project` spans all rows, with zeros outside the training rows, so no copy of Y is ever made; it annihilates
    constants, so Y need not be centred either.
    """

    eigenvalues: torch.Tensor  # (rank,) float64
    project: torch.Tensor  # (rank, n)
    to_coef: torch.Tensor  # (p, rank)
    mean: torch.Tensor  # (p,) of the training rows


@dataclass(frozen=True)
class _Fold:
    """What scoring one inner fold needs, whatever the target."""

    eigenvalues: torch.Tensor  # (rank,) of the training rows
    held_out: torch.Tensor  # (n_test, rank): held-out rows in the training basis
    project: torch.Tensor  # (rank + 1, n): coefficients of Y in that basis and, last, its training mean
    test: torch.Tensor  # (n_test,) row numbers


class Ridge(BaseEstimator):  # type: ignore[misc]
    """Ridge regression with one penalty per target (or one for all), in closed form.

    Minimises Σ (y − x·w − b)² + alpha |w|² with a free intercept. Alpha maximises the score averaged over inner folds,
    every fold counting the same; of equal scores the larger alpha wins. Everything is refitted on all rows.

    Parameters
    ----------
    alphas : sequence of float
        Penalties to try, >= 0.
    cv : int or "groups"
        Number of inner folds (of whole groups, where `fit` gets groups), or "groups": leave one group out.
    solver : {"auto", "primal", "dual"}
        Decompose features × features or rows × rows; "auto" takes the smaller.
    metric : {"r2", "r"}
        What alpha maximises, and what `score` returns: R² or Pearson's r, within each fold.
    per_target_alpha : bool
        False: one alpha for all targets (for each label of `roi`, if given), the better choice for few rows and
        z-scored targets of similar noise.
    device : {"auto", "cpu", "cuda"}
    dtype : {"float32", "float64"}
        Of the products with targets; decompositions are always float64.

    Attributes
    ----------
    coef_ : array (n_features, n_targets)
    intercept_ : array (n_targets,)
    alpha_ : array (n_targets,)
    cv_scores_ : array (n_alphas, n_targets)
        NaN with a single alpha, which needs no choice.
    alpha_at_edge_ : tuple of float
        Share of targets at the smallest and at the largest alpha: a grid too narrow shows here.

    References
    ----------
    Hoerl AE, Kennard RW (1970). Ridge regression: biased estimation for nonorthogonal problems. Technometrics 12:55-67.
    doi:10.1080/00401706.1970.10488634

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, W = rng.normal(size=(100, 5)), rng.normal(size=(5, 3))
    >>> ridge = Ridge(alphas=(0.1, 1, 10)).fit(X, X @ W)
    >>> ridge.alpha_.tolist()
    [0.1, 0.1, 0.1]
    """

    def __init__(
        self,
        alphas: Sequence[float] = ALPHAS,
        cv: int | Literal["groups"] = 5,
        solver: Literal["auto", "primal", "dual"] = "auto",
        metric: Literal["r2", "r"] = "r2",
        per_target_alpha: bool = True,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.solver = solver
        self.metric = metric
        self.per_target_alpha = per_target_alpha
        self.device = device
        self.dtype = dtype

    def fit(
        self,
        X: Array,
        Y: Array,
        *,
        groups: Array | None = None,
        grid: tuple[int, int] | None = None,
        roi: Array | None = None,
        semantics: Array | None = None,
    ) -> Ridge:
        """Fit all targets.

        Parameters
        ----------
        X : array (n_rows, n_features)
        Y : array (n_rows, n_targets)
        groups : array (n_rows,), optional
            Rows of one group (run, session, stimulus) stay on one side of every inner split.
        roi : array (n_targets,), optional
            Label per target; only with per_target_alpha=False, then one alpha per label.
        grid, semantics
            Not used by ridge; giving them raises.

        Raises
        ------
        BrainalignError
            If shapes do not fit, values are not finite, a target is constant, or a keyword cannot be used.
        """
        for name, value in {"grid": grid, "semantics": semantics}.items():
            if value is not None:
                raise BrainalignError(f"Ridge cannot use {name}; leave it out or choose a spatial read-out")
        self._check(X, Y, roi)
        device = pick_device(self.device)
        rows = torch.as_tensor(X, device=device).double()
        targets = torch.as_tensor(Y)
        n, n_targets = targets.shape
        folds = self._folds(rows, groups)
        basis = self._decompose(rows, torch.arange(n, device=device))
        work = getattr(torch, self.dtype)
        scores = torch.empty((len(self.alphas), n_targets), dtype=work)
        alpha = torch.empty(n_targets, dtype=torch.float64)
        coef = torch.empty((rows.shape[1], n_targets), dtype=work)
        means = torch.empty(n_targets, dtype=torch.float64)
        size = target_block(n_targets, 8 * (6 * n + 12 * len(self.alphas) + 2 * rows.shape[1]), device)
        size = min(size, CACHE_BLOCK) if device.type == "cpu" else size
        blocks = [slice(start, start + size) for start in range(0, n_targets, size)]
        for block in blocks:
            centred, means[block] = self._centred(targets[:, block], device)
            scores[:, block] = self._score(folds, centred).cpu()
            if self.per_target_alpha:
                alpha[block] = self._best(scores[:, block])
                coef[:, block] = self._solve(basis, centred, alpha[block])
        if not self.per_target_alpha:
            alpha = self._best(self._pooled(scores, roi))
            for block in blocks:
                centred, _ = self._centred(targets[:, block], device)
                coef[:, block] = self._solve(basis, centred, alpha[block])
        like = _same_kind_as(Y)
        self.coef_, self.intercept_ = like(coef), like((means - basis.mean.cpu() @ coef.double()).to(work))
        self._means = basis.mean, means
        self.alpha_, self.cv_scores_ = like(alpha), like(scores)
        edges = (min(self.alphas), max(self.alphas))
        self.alpha_at_edge_ = tuple(float((alpha == edge).double().mean()) for edge in edges)
        return self

    def predict(self, X: Array) -> Array:
        """Return predictions (n_rows, n_targets) for features (n_rows, n_features).

        Raises
        ------
        BrainalignError
            If the number of features differs from the fit's.
        """
        check_is_fitted(self)
        if X.ndim != 2 or X.shape[1] != self.coef_.shape[0]:
            raise BrainalignError(
                f"X has shape {tuple(X.shape)} but the encoder was fitted on {self.coef_.shape[0]} features; "
                "use the same layer and reduction"
            )
        coef = torch.as_tensor(self.coef_)
        # About the means of the fit, because features with a large mean would eat float32's digits.
        centred = (torch.as_tensor(X).to(coef.device).double() - self._means[0].to(coef.device)).to(coef)
        return _same_kind_as(X)(centred @ coef + self._means[1].to(coef))

    def score(self, X: Array, Y: Array) -> Array:
        """Return R² or r (as `metric` says) of each target on the given rows; NaN for a constant target."""
        predicted = torch.as_tensor(self.predict(X)).double()
        observed = torch.as_tensor(Y).double().to(predicted.device)
        centre = observed.mean(dim=0)
        predicted, observed = predicted - centre, observed - centre
        moments = (predicted.sum(0), predicted.square().sum(0), (predicted * observed).sum(0))
        return _same_kind_as(Y)(_metric(self.metric, *moments, observed))

    def _check(self, X: Array, Y: Array, roi: Array | None) -> None:
        check_choice("solver", self.solver, {"auto", "primal", "dual"})
        check_choice("metric", self.metric, {"r2", "r"})
        check_choice("dtype", self.dtype, {"float32", "float64"})
        if not len(self.alphas) or not all(np.isfinite(a) and a >= 0 for a in self.alphas):
            raise BrainalignError(f"alphas must be finite and >= 0, at least one; got {list(self.alphas)}")
        for name, array in (("X", X), ("Y", Y)):
            if array.ndim != 2:
                raise BrainalignError(
                    f"{name} has shape {tuple(array.shape)}; Ridge wants rows × columns: flatten the other axes"
                )
            check_finite(
                name,
                np.asarray(array.cpu() if isinstance(array, torch.Tensor) else array),
                "drop or repair them",
            )
        check_rows("X", len(X), "Y", len(Y), "call features.align_to(responses)")
        if len(X) < 2:
            raise BrainalignError(f"X has {len(X)} row; ridge needs at least 2")
        flat = np.flatnonzero(np.asarray((torch.as_tensor(Y) == torch.as_tensor(Y)[:1]).all(dim=0).cpu()))
        if len(flat):
            raise BrainalignError(
                f"{len(flat)} target(s) of Y are constant (columns {listed(flat.tolist())}); "
                "drop them with responses.select(targets=...)"
            )
        if roi is not None:
            if self.per_target_alpha:
                raise BrainalignError("Ridge uses roi only with per_target_alpha=False: one alpha per label")
            check_rows("roi", len(roi), "the targets of Y", Y.shape[1], "give one label per target")

    def _decompose(self, rows: torch.Tensor, train: torch.Tensor) -> _Basis:
        """Return the eigenbasis of the centred training rows; directions without variance are dropped, exactly."""
        mean = rows[train].mean(dim=0)
        centred = rows[train] - mean
        primal = self.solver == "primal" or (self.solver == "auto" and centred.shape[0] >= centred.shape[1])
        gram = centred.T @ centred if primal else centred @ centred.T
        eigenvalues, vectors = torch.linalg.eigh(gram)
        keep = eigenvalues > eigenvalues[-1] * max(centred.shape) * torch.finfo(torch.float64).eps
        eigenvalues, vectors = eigenvalues[keep], vectors[:, keep]
        project = torch.zeros((len(eigenvalues), len(rows)), dtype=torch.float64, device=rows.device)
        project[:, train] = ((centred @ vectors) if primal else vectors).T
        return _Basis(eigenvalues, project, vectors if primal else centred.T @ vectors, mean)

    def _folds(self, rows: torch.Tensor, groups: Array | None) -> list[_Fold]:
        if len(self.alphas) == 1:
            return []
        folds = []
        for split in _inner_splits(len(rows), self.cv, groups):
            train, test = (torch.as_tensor(part, device=rows.device) for part in split)
            basis = self._decompose(rows, train)
            mean = torch.zeros((1, len(rows)), dtype=torch.float64, device=rows.device)
            mean[:, train] = 1 / len(train)
            held_out = (rows[test] - basis.mean) @ basis.to_coef
            folds.append(_Fold(basis.eigenvalues, held_out, torch.cat([basis.project, mean]), test))
        return folds

    def _centred(self, targets: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return targets minus their mean in the working precision (large means would eat its digits), and the mean."""
        exact = targets.to(device).double()
        mean = exact.mean(dim=0)
        return (exact - mean).to(getattr(torch, self.dtype)), mean.cpu()

    def _score(self, folds: list[_Fold], targets: torch.Tensor) -> torch.Tensor:
        """Return the score averaged over the folds in which it is defined (n_alphas, n_targets)."""
        if not folds:
            return torch.full((len(self.alphas), targets.shape[1]), torch.nan)
        alphas = torch.tensor(self.alphas, dtype=torch.float64, device=targets.device)
        total = torch.zeros((len(alphas), targets.shape[1]), dtype=targets.dtype, device=targets.device)
        defined = torch.zeros_like(total)
        projected = torch.cat([fold.project for fold in folds]).to(targets) @ targets
        sizes = [len(fold.project) for fold in folds]
        for fold, part in zip(folds, torch.split(projected, sizes), strict=True):
            coefficients, train_mean = part[:-1], part[-1:]
            observed = targets[fold.test] - train_mean
            filters = 1 / (fold.eigenvalues + alphas[:, None])
            moments = prediction_moments(fold.held_out.to(targets), filters.to(targets), coefficients, observed)
            score = _metric(self.metric, *moments, observed)
            defined += ~score.isnan()
            total += score.nan_to_num_(nan=0.0)
        return total.div_(defined)  # NaN where no fold defines it

    def _pooled(self, scores: torch.Tensor, roi: Array | None) -> torch.Tensor:
        """Return scores summed over all targets, or over those of a label; comparing sums compares means."""
        labels = np.zeros(scores.shape[1], dtype=int) if roi is None else np.unique(roi, return_inverse=True)[1]
        codes = torch.as_tensor(labels)
        sums = torch.zeros((len(scores), int(codes.max()) + 1), dtype=torch.float64)
        return sums.index_add_(1, codes, scores.double().nan_to_num(nan=0.0))[:, codes]

    def _best(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the best alpha per target; the larger one of equals, the largest where no score is defined."""
        alphas = torch.tensor(self.alphas, dtype=torch.float64)
        largest_first = torch.argsort(alphas, descending=True)
        return alphas[largest_first][scores[largest_first].nan_to_num(nan=-torch.inf).argmax(dim=0)]

    def _solve(self, basis: _Basis, centred: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of one block (p, n_targets), each target with its own alpha."""
        penalised = (basis.eigenvalues[:, None] + alpha.to(basis.eigenvalues.device)).to(centred)
        return (basis.to_coef.to(centred) @ (basis.project.to(centred) @ centred / penalised)).cpu()


def _inner_splits(
    n_rows: int, cv: int | Literal["groups"], groups: Array | None
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    rows = np.zeros((n_rows, 1))
    if groups is None:
        if cv == "groups":
            raise BrainalignError("cv='groups' leaves one group out, but fit got no groups; pass groups or a number")
        return list(KFold(min(cv, n_rows)).split(rows))
    labels = np.asarray(groups.cpu() if isinstance(groups, torch.Tensor) else groups)
    check_rows("groups", len(labels), "X", n_rows, "give one label per row")
    n_groups = len(np.unique(labels))
    if n_groups < 2:
        raise BrainalignError(f"inner cross-validation needs 2 groups or more; all rows are of group '{labels[0]}'")
    splitter = LeaveOneGroupOut() if cv == "groups" else GroupKFold(min(cv, n_groups))
    return list(splitter.split(rows, groups=labels))


def _metric(
    metric: str, total: torch.Tensor, square: torch.Tensor, cross: torch.Tensor, observed: torch.Tensor
) -> torch.Tensor:
    """Return R² or r from the sums of predictions; NaN where what it divides by does not vary."""
    n = len(observed)
    rounding = 8 * torch.finfo(observed.dtype).eps  # a variation below it is the rounding of equal values
    observed_total, observed_square = observed.sum(dim=0), observed.square().sum(dim=0)
    variation = observed_square - observed_total.square() / n
    variation = torch.where(variation > rounding * observed_square, variation, torch.nan)
    if metric == "r2":
        return (1 - observed_square / variation) + (2 * cross - square) / variation
    spread = square - total.square() / n
    spread = torch.where(spread > rounding * square, spread, torch.nan)
    return (cross - total * observed_total / n) / (spread * variation).sqrt()


def _same_kind_as(array: Array) -> Callable[[torch.Tensor], Array]:
    """Return a function that turns a torch tensor into the kind of array the user gave."""
    if isinstance(array, torch.Tensor):
        return lambda tensor: tensor.to(array.device)
    return lambda tensor: np.asarray(tensor.cpu().numpy())
