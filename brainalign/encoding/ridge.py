"""Exact ridge regression of many targets, alpha chosen per target by grouped cross-validation.

Every training set is decomposed once; all alphas and all targets share the decomposition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows, listed
from brainalign.devices import pick_device, target_block
from brainalign.encoding.inner_folds import InnerFold, Layout, block_of, inner_folds, layout, score_of
from brainalign.encoding.inner_folds import scores as cross_validated
from brainalign.encoding.rotation import Rotation, rotate, symmetric
from brainalign.kernels import apply_alpha, cross_product

__all__ = ["Ridge"]

Array = NDArray[Any] | torch.Tensor
ALPHAS = tuple(np.logspace(-1, 5, 13).tolist())
BLOCK_BYTES = 16 * 2**20  # of a block's arrays on the CPU: what stays in the shared cache


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
        device, work = pick_device(self.device), getattr(torch, self.dtype)
        alphas = torch.tensor(self.alphas, dtype=torch.float64, device=device)
        targets = torch.as_tensor(Y)
        labels = None if groups is None else np.asarray(groups.cpu() if isinstance(groups, torch.Tensor) else groups)
        order = layout(len(X), self.cv, labels) if len(alphas) > 1 else Layout(None, [])
        rotation = rotate(order.sort(torch.as_tensor(X, device=device)), float(alphas.min()), self.solver, work)
        folds = self._folds(rotation, order, alphas)
        n_targets = targets.shape[1]
        scores = torch.empty((len(alphas), n_targets), dtype=work)
        alpha = torch.empty(n_targets, dtype=torch.float64)
        coef = torch.empty((X.shape[1], n_targets), dtype=work)
        means = torch.empty(n_targets, dtype=torch.float64)
        size = self._block_size(rotation, n_targets, device)
        blocks = [slice(start, start + size) for start in range(0, n_targets, size)]
        for where in blocks:
            centred, means[where] = centre(targets[:, where], order, device, work)
            block = block_of(rotation.rows, centred, order.tests)
            scores[:, where] = cross_validated(folds, block, self.metric, len(alphas)).cpu()
            if self.per_target_alpha:
                alpha[where] = best_alpha(alphas, scores[:, where])
                coef[:, where] = solve(rotation, block.rotated[:-1], alpha[where])
        if not self.per_target_alpha:
            alpha = best_alpha(alphas, self._pooled(scores, roi))
            for where in blocks:
                centred, _ = centre(targets[:, where], order, device, work)
                coef[:, where] = solve(rotation, cross_product(rotation.rows, centred), alpha[where])
        like = _same_kind_as(Y)
        self.coef_, self.intercept_ = like(coef), like((means - rotation.mean.cpu() @ coef.double()).to(work))
        self._means = rotation.mean, means
        self.alpha_, self.cv_scores_ = like(alpha), like(scores)
        edges = (min(self.alphas), max(self.alphas))
        self.alpha_at_edge_ = tuple(float((alpha == edge).double().mean()) for edge in edges)
        self.decomposition_ = rotation.method
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
        return _same_kind_as(Y)(score_of(self.metric, *moments, observed))

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

    def _folds(self, rotation: Rotation, order: Layout, alphas: torch.Tensor) -> list[InnerFold]:
        grams = [symmetric(rotation.rows[test]) for test in order.tests]
        return (
            list(
                inner_folds(
                    rotation.rows,
                    rotation.singular,
                    order.tests,
                    alphas,
                    grams=grams,
                    solver=self.solver,
                    single=rotation.benign,
                    exact=rotation.method == "svd",
                )
            )
            if grams
            else []
        )

    def _block_size(self, rotation: Rotation, n_targets: int, device: torch.device) -> int:
        n, rank = rotation.rows.shape
        width = torch.finfo(getattr(torch, self.dtype)).bits // 8
        per_target = width * (2 * n + 5 * rank + 8 * len(self.alphas)) + 8 * n
        if device.type == "cpu":
            return min(n_targets, max(256, BLOCK_BYTES // per_target))
        return target_block(n_targets, per_target + width * len(rotation.mean), device)

    def _pooled(self, scores: torch.Tensor, roi: Array | None) -> torch.Tensor:
        """Return scores summed over all targets, or over those of a label; comparing sums compares means."""
        labels = np.zeros(scores.shape[1], dtype=int) if roi is None else np.unique(roi, return_inverse=True)[1]
        codes = torch.as_tensor(labels)
        sums = torch.zeros((len(scores), int(codes.max()) + 1), dtype=torch.float64)
        return sums.index_add_(1, codes, scores.double().nan_to_num(nan=0.0))[:, codes]


def centre(
    targets: torch.Tensor, order: Layout, device: torch.device, work: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return targets minus their mean, in fold order and the working precision, and the mean in float64.

    The mean goes first in the precision of the targets, where nearby numbers subtract without loss, so a large mean
    costs no digits.
    """
    block = order.sort(targets.to(device))
    block = block if block.is_floating_point() else block.to(work)
    mean = block.mean(dim=0, dtype=torch.float64)
    first = mean.to(block)
    return (block - first).to(work).sub_((mean - first).to(work)), mean.cpu()


def best_alpha(alphas: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return the best alpha per target; the larger one of equals, the largest where no score is defined."""
    candidates = alphas.cpu()
    largest_first = torch.argsort(candidates, descending=True)
    return candidates[largest_first][scores[largest_first].nan_to_num(nan=-torch.inf).argmax(dim=0)]


def solve(rotation: Rotation, rotated: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Return the coefficients (n_features, n_targets) of rotated targets, each with its own alpha."""
    scaled = rotated * rotation.singular[:, None].to(rotated)
    eigenvalues = rotation.singular.square()
    return apply_alpha(rotation.axes, eigenvalues.to(rotated), alpha.to(rotated), scaled).cpu()


def _same_kind_as(array: Array) -> Callable[[torch.Tensor], Array]:
    """Return a function that turns a torch tensor into the kind of array the user gave."""
    if isinstance(array, torch.Tensor):
        return lambda tensor: tensor.to(array.device)
    return lambda tensor: np.asarray(tensor.cpu().numpy())
