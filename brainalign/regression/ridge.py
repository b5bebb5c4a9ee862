"""Exact ridge regression of many targets, alpha chosen per target by grouped cross-validation.

Every training set is decomposed once; all alphas and all targets share the decomposition.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from brainalign.checks import BrainalignError, check_rows, check_width, listed
from brainalign.devices import pick_device
from brainalign.regression import inputs
from brainalign.regression.delays import Rows, as_rows
from brainalign.regression.design import Design, blocks_of, centre, design_of, pooled_alpha
from brainalign.regression.fold_scores import target_scores
from brainalign.regression.folds import Layout, layout
from brainalign.regression.inputs import Array
from brainalign.regression.rotation import centred_product
from brainalign.regression.threads import in_threads

ALPHAS = tuple(np.logspace(-1, 5, 13).tolist())


@dataclass(eq=False, repr=False)
class Ridge(inputs.MeanScore, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression with one penalty per target (or one for all), in closed form.

    Minimises Σ (y − x·w − b)² + alpha |w|² with a free intercept. Alpha maximises the score averaged over inner folds,
    every fold counting the same (R² of targets that share one: of the errors of all folds together); of equal scores
    the larger alpha wins. Everything is refitted on all rows. Arrays, tensors, tables and lists of numbers will do, in
    any unit; `score` is one number, as tools of scikit-learn ask for.

    Parameters
    ----------
    alphas : sequence of float, or float
        Penalties to try, >= 0.
    cv : int, "groups", splitter of scikit-learn, or list of (training rows, test rows)
        Number of inner folds (of whole groups, where `fit` gets groups); "groups": leave one group out; or folds that
        test every row once and train on all others.
    solver : {"auto", "primal", "dual"}
        Decompose features × features or rows × rows; "auto" takes the smaller.
    metric : {"r2", "r"}
        What alpha maximises, and what `score` averages: R² or Pearson's r, within each fold.
    per_target_alpha : bool
        False: one alpha for all targets (for each label of `roi`, if given), the better choice for few rows and
        z-scored targets of similar noise.
    device : {"auto", "cpu", "cuda"}
    dtype : {"float32", "float64"}
        Of the products with targets; decompositions are always float64.

    Attributes
    ----------
    coef_ : array (n_features, n_targets)
    intercept_ : array (n_targets,), float64
    alpha_ : array (n_targets,)
    cv_scores_ : array (n_alphas, n_targets)
        NaN with a single alpha, which needs no choice.
    alpha_at_edge_ : tuple of float
        Share of targets at the smallest and at the largest alpha: a grid too narrow shows here.
    decomposition_ : {"gram", "svd"}
        "svd" where the features were too ill-conditioned for their products (a warning says so).

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

    alphas: Sequence[float] | float = ALPHAS
    cv: int | Literal["groups"] | Any = 5
    solver: Literal["auto", "primal", "dual"] = "auto"
    metric: Literal["r2", "r"] = "r2"
    per_target_alpha: bool = True
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "float64"] = "float32"

    def fit(
        self,
        X: Any,
        Y: Any,
        *,
        sample_weight: Any = None,
        groups: Array | None = None,
        grid: tuple[int, int] | None = None,
        roi: Array | None = None,
        semantics: Array | None = None,
        designs: dict[str, Design] | None = None,
    ) -> Self:
        """Fit all targets.

        Parameters
        ----------
        X : array, DataFrame, list or DelayedFeatures (n_rows, n_features)
        Y : array, DataFrame or list (n_rows, n_targets), or (n_rows,) for one target
        sample_weight : array (n_rows,) or float, optional
            What each row counts in the sums above, in means and in scores of inner folds: a row of weight 2 is the same
            row twice, in the same fold.
        groups : array (n_rows,), optional
            Rows of one group (run, session, stimulus) stay on one side of every inner split.
        roi : array (n_targets,), optional
            Label per target; only with per_target_alpha=False, then one alpha per label.
        grid, semantics
            Not used by ridge; giving them raises.
        designs : dict, optional
            Empty, or as another fit to the same X, groups and weights left it: its decompositions serve again.

        Raises
        ------
        BrainalignError
            If shapes do not fit, values are no finite real numbers, or a keyword cannot be used.
        """
        inputs.refuse("Ridge", grid=grid, semantics=semantics)
        options: dict[str, Any] = {"groups": groups, "roi": roi, "sample_weight": sample_weight, "designs": designs}
        fit_layers({"X": self}, {"X": X}, Y, **options)
        return self

    def check_roi(self, roi: Array | None, n_targets: int) -> None:
        """Raise where labels of targets cannot be used, or are not one per target."""
        if roi is None:
            return
        if self.per_target_alpha:
            raise BrainalignError("Ridge uses roi only with per_target_alpha=False: one alpha per label")
        check_rows("roi", len(roi), "the targets of Y", n_targets, "give one label per target")

    def note(
        self,
        means: tuple[torch.Tensor, torch.Tensor],
        method: Literal["gram", "svd"],
        of_targets: torch.dtype = torch.float32,
        names: tuple[str, ...] | None = None,
        *,
        single: bool = False,
    ) -> None:
        """Keep what else a fit found: the means, in float64, how features were decomposed, and what was given."""
        self._means, self.decomposition_ = means, method
        self._of_targets, self._names, self._single = of_targets, names, single
        self.n_features_in_ = len(means[0])
        alphas = inputs.alphas_of(self.alphas)
        edges = (min(alphas), max(alphas))
        self.alpha_at_edge_ = tuple(float((torch.as_tensor(self.alpha_) == edge).double().mean()) for edge in edges)

    def predict(self, X: Any) -> Array:
        """Return predictions (n_rows, n_targets) for features (n_rows, n_features), or (n_rows,) of a single target.

        They are float64 where the targets of the fit were, or `dtype` is: float32 would round what lies far from 0.
        """
        predicted = self._centred(X)
        wide = torch.promote_types(predicted.dtype, self._of_targets)
        predicted = predicted.to(wide).add_(self._means[1].to(predicted.device, wide))
        return inputs.same_kind_as(X)(predicted[:, 0] if self._single else predicted)

    def _centred(self, X: Any) -> torch.Tensor:
        """Return predictions about the means of the targets (n_rows, n_targets)."""
        check_is_fitted(self)
        _check_names(self._names, X)
        rows = as_rows("X", X)
        remedy = "use the same layer and reduction"
        check_width("X", rows.shape, self.coef_.shape[0], "the encoder was fitted on", remedy)
        return centred_product(rows, self._means[0], torch.as_tensor(self.coef_))

    def score_targets(self, X: Any, Y: Any, sample_weight: Any = None) -> Array:
        """Return R² or r (as `metric` says) of each target on the given rows; NaN for a constant target.

        Raises
        ------
        BrainalignError
            If the number of features, rows or targets differs from the fit's.
        """
        predicted, observed = self._centred(X).double(), inputs.as_array("Y", Y)
        observed = observed[:, None] if observed.ndim == 1 and self._single else observed
        inputs.check_targets(observed.shape, *predicted.shape)
        weights, _ = inputs.row_weights(sample_weight, len(observed))
        about = inputs.as_tensor(observed).double().to(predicted.device) - self._means[1].to(predicted.device)
        return inputs.same_kind_as(observed)(target_scores(self.metric, predicted, about, weights))


def _names_of(X: Any) -> tuple[str, ...] | None:
    """Return the columns of a table, where all have names."""
    columns = getattr(X, "columns", None)
    return tuple(columns) if columns is not None and all(isinstance(name, str) for name in columns) else None


def _check_names(fitted: tuple[str, ...] | None, X: Any) -> None:
    names = _names_of(X)
    if fitted is not None and names is not None and names != fitted:
        differ = [name for name in fitted if name not in names] or [f"{name} at another place" for name in names]
        raise BrainalignError(
            f"X has other columns than the fit's, or another order ({listed(differ)}); give X[names] with the names of "
            "the fit"
        )


def fit_layers(
    encoders: Mapping[str, Ridge],
    layers: Mapping[str, Any],
    Y: Any,
    *,
    groups: Array | None = None,
    roi: Array | None = None,
    sample_weight: Any = None,
    designs: dict[str, Design] | None = None,
) -> None:
    """Fit one `Ridge` per layer to the same targets, reading and centring each block of them once.

    Parameters
    ----------
    encoders : mapping of name to Ridge
        Fitted in place; all with the same cv, device and dtype.
    layers : mapping of name to array (n_rows, n_features)
    Y : array (n_rows, n_targets)
        May be stored or a memory map: a block of columns is read at a time.
    groups, roi, sample_weight, designs
        As for `Ridge.fit`.
    """
    first = next(iter(encoders.values()))
    if encoders.keys() != layers.keys():
        raise BrainalignError(f"encoders are for {listed(list(encoders))} but layers are {listed(list(layers))}")
    names = {name: _names_of(X) for name, X in layers.items()}
    features, Y = {name: as_rows(name, X) for name, X in layers.items()}, inputs.as_targets(Y)
    single = Y.ndim == 1
    Y = Y[:, None] if single else Y
    shared, ranges = ("cv", "device", "dtype"), torch.empty(0)
    for name, encoder in encoders.items():
        inputs.check_options(encoder.alphas, encoder.solver, encoder.metric, encoder.dtype, encoder.device)
        if any(getattr(encoder, option) != getattr(first, option) for option in shared):
            raise BrainalignError(f"layers that share targets need the same {', '.join(shared)}; {name!r} differs")
        looked = inputs.check_arrays(name, features[name], Y, looked=encoder is not first)
        ranges = looked if encoder is first else ranges
        encoder.check_roi(roi, Y.shape[1])
    device, dtype = pick_device(first.device), getattr(torch, first.dtype)
    units = inputs.units_of(ranges)
    chosen = any(len(inputs.alphas_of(encoder.alphas)) > 1 for encoder in encoders.values())
    order = layout(len(Y), first.cv, inputs.labels_of(groups)) if chosen else Layout(None, [])
    order = order.weigh(*inputs.row_weights(sample_weight, len(Y)))
    made = {} if designs is None else designs
    for name in encoders.keys() - made.keys():
        made[name] = _design_of(encoders[name], features[name], order, device)
    fits = {name: _Fit(encoder, made[name], Y.shape[1], features[name].shape[1]) for name, encoder in encoders.items()}
    means = torch.empty(Y.shape[1], dtype=torch.float64)
    rank = max(design.rotation.rows.shape[1] for design in made.values())
    width, n_alphas = max(fit.coef.shape[1] for fit in fits.values()), max(len(fit.scores) for fit in fits.values())
    blocks = blocks_of(Y.shape[1], len(Y), rank, width, n_alphas, device)

    def read(where: slice) -> None:
        of_block = None if units is None else units[where]
        centred, means[where] = centre(inputs.as_tensor(Y[:, where]), order, device, dtype, of_block)
        for fit in fits.values():
            fit.read(where, centred, of_block)

    in_threads(read, blocks, device)
    pooled = [fit for fit in fits.values() if not fit.encoder.per_target_alpha]
    for fit in pooled:  # one alpha for all targets, or one per label
        fit.alpha = pooled_alpha(fit.design.alphas, fit.scores, inputs.labels_of(roi))

    def solve(where: slice) -> None:
        of_block = None if units is None else units[where]
        centred, _ = centre(inputs.as_tensor(Y[:, where]), order, device, dtype, of_block)
        for fit in pooled:
            fit.design.solve(centred, fit.alpha[where], fit.coef[where], of_block)

    in_threads(solve, blocks if pooled else [], device)
    of_targets = inputs.floating(inputs.as_tensor(Y[:1]))
    for name, fit in fits.items():
        fit.finish(means, inputs.same_kind_as(Y))
        rotation = fit.design.rotation
        fit.encoder.note((rotation.mean, means), rotation.method, of_targets, names[name], single=single)


def _design_of(encoder: Ridge, X: Rows, order: Layout, device: torch.device) -> Design:
    alphas, dtype = inputs.alphas_of(encoder.alphas), getattr(torch, encoder.dtype)
    folds = order if len(alphas) > 1 else replace(order, tests=[])  # a single penalty needs no choice
    penalties = torch.tensor(alphas, dtype=torch.float64, device=device)
    return design_of(X.to(device), folds, penalties, solver=encoder.solver, metric=encoder.metric, dtype=dtype)


class _Fit:
    """One layer's fit in the making."""

    def __init__(self, encoder: Ridge, design: Design, n_targets: int, n_features: int) -> None:
        self.encoder, self.design = encoder, design
        dtype = getattr(torch, encoder.dtype)
        self.scores = torch.empty((len(design.alphas), n_targets), dtype=dtype)
        self.alpha = torch.empty(n_targets, dtype=torch.float64)
        self.coef = torch.empty((n_targets, n_features), dtype=dtype)  # a block of targets is one piece of memory

    def read(self, where: slice, centred: torch.Tensor, units: torch.Tensor | None) -> None:
        """Score a block of targets, and solve for it unless its alphas are chosen together with others'."""
        found = self.design.fit(centred, self.coef[where] if self.encoder.per_target_alpha else None, units)
        self.scores[:, where], self.alpha[where] = found.scores, found.alpha

    def finish(self, means: torch.Tensor, like: Callable[[torch.Tensor], Array]) -> None:
        """Leave what was found in the encoder, as the kind of array the user gave."""
        encoder = self.encoder
        encoder.coef_, encoder.intercept_ = like(self.coef.T), like(self.design.intercept(means, self.coef))
        encoder.alpha_, encoder.cv_scores_ = like(self.alpha), like(self.scores)
