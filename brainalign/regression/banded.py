"""Ridge regression on several feature spaces (bands), each with its own share of the penalty, chosen per target.

Scaling a band scales its rotated columns, so every candidate reuses the same Grams and the same rotated targets; no
candidate passes over the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from brainalign.checks import BrainalignError
from brainalign.devices import pick_device, target_block
from brainalign.kernels import apply_alpha, cross_product, lower_gram, product
from brainalign.regression import inputs
from brainalign.regression.delays import Rows, as_rows
from brainalign.regression.design import best_alpha, blocks_of, centre, fold_grams, intercepts
from brainalign.regression.fold_scores import Block, block_of, scores, target_scores
from brainalign.regression.folds import InnerFold, Layout, eigenbasis, inner_folds, layout, wants_grams
from brainalign.regression.inputs import Array
from brainalign.regression.ridge import ALPHAS
from brainalign.regression.rotation import Rotation, Solver, by_columns, centred_product, rotate
from brainalign.regression.threads import in_threads
from brainalign.regression.variance_partition import BLOCK, product_measure

CONCENTRATIONS = (1.0, 0.1)  # of the Dirichlet draws in turn: all mixtures alike, and mixtures that nearly drop a band


def band_candidates(n_bands: int, n_candidates: int, seed: int) -> NDArray[np.float64]:
    """Return shares of the bands (n_candidates, n_bands), each row summing to 1: even, one band alone, then random."""
    fixed = np.concatenate([np.full((1, n_bands), 1 / n_bands), np.eye(n_bands)])[: 1 if n_bands == 1 else None]
    if n_candidates < len(fixed):
        raise BrainalignError(
            f"n_candidates is {n_candidates}, but {n_bands} bands need at least {len(fixed)}: the even mixture and "
            "each band alone"
        )
    rng = np.random.default_rng(seed)
    drawn = [
        rng.dirichlet(np.full(n_bands, CONCENTRATIONS[i % len(CONCENTRATIONS)]))
        for i in range(n_candidates - len(fixed))
    ]
    return np.concatenate([fixed, np.reshape(drawn, (-1, n_bands))])


@dataclass(eq=False, repr=False)
class BandedRidge(inputs.MeanScore, BaseEstimator):  # type: ignore[misc]
    """Ridge regression with one penalty per band of features and target, by random search.

    Minimises Σ (y − Σ_b X_b·w_b − c)² + alpha Σ_b |w_b|² / delta_b: band b scaled by √delta_b under a common penalty.
    The shares delta sum to 1 and a band with share 0 is left out. Shares and alpha maximise the score averaged over
    inner folds; of equal scores the earlier candidate and the larger alpha win. Everything is refitted on all rows.

    Parameters
    ----------
    alphas : sequence of float, or float
        Penalties to try, >= 0.
    n_candidates : int
        How many sets of shares to try: the even mixture, each band alone, then draws from Dirichlet distributions.
    candidates : array (n_candidates, n_bands), optional
        The shares to try instead, >= 0, each row summing to 1.
    cv, solver, metric, device, dtype
        As for `Ridge`.
    seed : int
        Of the draws.

    Attributes
    ----------
    coef_ : list of array (n_features of the band, n_targets)
    intercept_ : array (n_targets,), float64
    deltas_ : array (n_bands, n_targets)
        Shares chosen.
    alpha_ : array (n_targets,)
    candidates_ : array (n_candidates, n_bands)
    cv_scores_ : array (n_candidates, n_targets)
        At the best alpha of each candidate.

    References
    ----------
    Dupré la Tour T, Eickenberg M, Nunez-Elizalde AO, Gallant JL (2022). Feature-space selection with banded ridge
    regression. NeuroImage 264:119728. doi:10.1016/j.neuroimage.2022.119728

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> bands = [rng.normal(size=(200, 5)), rng.normal(size=(200, 5))]
    >>> Y = bands[0] @ rng.normal(size=(5, 3))
    >>> BandedRidge(alphas=(0.1, 1, 10), n_candidates=3).fit(bands, Y).deltas_.tolist()
    [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """

    alphas: Sequence[float] | float = ALPHAS
    n_candidates: int = 20
    candidates: Array | None = None
    cv: int | Literal["groups"] | Any = 5
    solver: Literal["auto", "primal", "dual"] = "auto"
    metric: Literal["r2", "r"] = "r2"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "float64"] = "float32"
    seed: int = 0

    def fit(self, Xs: Sequence[Any], Y: Any, *, sample_weight: Any = None, groups: Array | None = None) -> BandedRidge:
        """Fit all targets.

        Parameters
        ----------
        Xs : sequence of array or DelayedFeatures (n_rows, n_features of the band)
        Y : array (n_rows, n_targets), or (n_rows,) for one target
        sample_weight : array (n_rows,) or float, optional
            As for `Ridge.fit`.
        groups : array (n_rows,), optional
            Rows of one group (run, session, stimulus) stay on one side of every inner split.

        Raises
        ------
        BrainalignError
            If shapes do not fit, values are not finite, or candidates are no shares.
        """
        rows, Y = self._rows(Xs), inputs.as_targets(Y)
        self._single = Y.ndim == 1
        Y = Y[:, None] if self._single else Y
        inputs.check_options(self.alphas, self.solver, self.metric, self.dtype, self.device)
        looked = [inputs.check_arrays(f"Xs[{number}]", X, Y, looked=number > 0) for number, X in enumerate(rows)]
        candidates, units = self._shares(rows), inputs.units_of(looked[0])
        device, dtype = pick_device(self.device), getattr(torch, self.dtype)
        alphas = torch.tensor(inputs.alphas_of(self.alphas), dtype=torch.float64, device=device)
        order = layout(len(Y), self.cv, inputs.labels_of(groups)).weigh(*inputs.row_weights(sample_weight, len(Y)))
        roots = None if order.roots is None else order.roots.to(device)
        smallest = float(alphas.min()) / order.weight
        rotations = [rotate(order.sort(X.to(device)), smallest, self.solver, dtype, roots) for X in rows]
        bands = _Bands(rotations, order, self.solver)
        search = _Search(Y.shape[1], candidates, alphas, sum(X.shape[1] for X in rows), dtype)
        n_columns = bands.rows.shape[1]
        blocks = blocks_of(Y.shape[1], len(Y), n_columns, search.coef.shape[1], len(alphas), device)
        for held in _that_fit(blocks, len(Y) + 2 * n_columns, device):
            first, columns = held[0].start, held[-1].stop - held[0].start
            rotated = torch.empty((n_columns + 1, columns), dtype=dtype, device=device)

            def read(where: slice, rotated: torch.Tensor = rotated, first: int = first) -> Block:
                of_block = None if units is None else units[where]
                centred, search.means[where] = centre(inputs.as_tensor(Y[:, where]), order, device, dtype, of_block)
                block = block_of(bands.rows, centred, order.tests, roots)
                piece = rotated[:, where.start - first : where.stop - first]
                piece.copy_(block.rotated)
                return replace(block, rotated=piece)

            made = in_threads(read, held, device)
            for number, shares in enumerate(search.candidates):
                folds = bands.folds(shares, alphas)

                def score(block: Block, folds: list[InnerFold] = folds) -> torch.Tensor:
                    return scores(folds, block, self.metric, len(alphas)).cpu()

                for where, by_alpha in zip(held, in_threads(score, made, device), strict=True):
                    search.compare(number, where, by_alpha)
            for number, shares in enumerate(search.candidates):
                those = (search.chosen[first : first + columns] == number).nonzero().ravel()
                if len(those):
                    alpha, of_those = search.alpha[first + those], None if units is None else units[first + those]
                    solved = bands.solve(shares, rotated[:-1, those.to(device)], alpha, of_those)
                    search.coef[first + those] = solved.cpu()
        self._finish(search, bands, [X.shape[1] for X in rows], inputs.same_kind_as(Y))
        self._of_targets = inputs.floating(inputs.as_tensor(Y[:1]))
        return self

    def predict(self, Xs: Sequence[Any]) -> Array:
        """Return predictions (n_rows, n_targets) from the features of all bands; shape and type are as `Ridge` has."""
        predicted = self._parts(self._rows(Xs)).sum(dim=0)
        predicted = predicted.to(torch.promote_types(predicted.dtype, self._of_targets))
        predicted = predicted.add_(self._means[1].to(predicted))
        return inputs.same_kind_as(Xs[0])(predicted[:, 0] if self._single else predicted)

    def score_targets(self, Xs: Sequence[Any], Y: Any, sample_weight: Any = None) -> Array:
        """Return R² or r (as `metric` says) of each target on the given rows; NaN for a constant target."""
        rows, Y = self._rows(Xs), self._targets(Y)
        weights, _ = inputs.row_weights(sample_weight, len(Y))
        found = []
        for start in range(0, Y.shape[1], BLOCK):
            parts, observed = self.parts(rows, Y, slice(start, start + BLOCK))
            found.append(target_scores(self.metric, parts.sum(dim=0), observed, weights))
        return inputs.same_kind_as(Y)(torch.cat(found))

    def split_scores(self, Xs: Sequence[Any], Y: Any) -> Array:
        """Split the score over the bands: (n_bands, n_targets), summing to `score_targets`.

        The product measure (variance_partition.py). A part can be negative where bands correlate.
        """
        rows, Y = self._rows(Xs), self._targets(Y)
        split = []
        for start in range(0, Y.shape[1], BLOCK):
            parts, observed = self.parts(rows, Y, slice(start, start + BLOCK))
            everything = torch.full((1, len(observed)), 1 / len(observed), dtype=torch.float64)
            split.append(product_measure(parts, observed, self.metric, everything.to(observed))[0])
        return inputs.same_kind_as(Y)(torch.cat(split, dim=1))

    def parts(self, Xs: Sequence[Any], Y: Array, targets: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each band's predictions (n_bands, n_rows, n_targets) and Y, about the means of the fit, in float64.

        Parameters
        ----------
        Xs : sequence of array (n_rows, n_features of the band)
        Y : array (n_rows, n_targets)
            All of them.
        targets : slice
            The targets to return.
        """
        parts = self._parts(self._rows(Xs), targets).double()
        inputs.check_targets(Y.shape, parts.shape[1], len(self._means[1]))
        return parts, inputs.as_tensor(Y[:, targets]).to(parts) - self._means[1][targets].to(parts)

    def _parts(self, Xs: Sequence[Rows], targets: slice = slice(None)) -> torch.Tensor:
        """Return each band's predictions about the means of the fit (n_bands, n_rows, n_targets)."""
        check_is_fitted(self)
        widths, given = [len(coef) for coef in self.coef_], [X.shape[-1] for X in Xs]
        if widths != given:
            raise BrainalignError(f"Xs have {given} features but the encoder was fitted on bands of {widths}")
        pairs = zip(Xs, self._means[0], (torch.as_tensor(coef[:, targets]) for coef in self.coef_), strict=True)
        return torch.stack([centred_product(*pair) for pair in pairs])

    def _rows(self, Xs: Sequence[Any]) -> list[Rows]:
        if not isinstance(Xs, Sequence) or isinstance(Xs, str) or not len(Xs):
            raise BrainalignError("BandedRidge wants a list of feature arrays, one per band; for one array use Ridge")
        return [as_rows(f"Xs[{number}]", X) for number, X in enumerate(Xs)]

    def _targets(self, Y: Any) -> Array:
        check_is_fitted(self)
        targets = inputs.as_array("Y", Y)
        return targets[:, None] if targets.ndim == 1 and self._single else targets

    def _shares(self, Xs: Sequence[Rows]) -> NDArray[np.float64]:
        if self.candidates is None:
            return band_candidates(len(Xs), self.n_candidates, self.seed)
        given = np.asarray(self.candidates, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != len(Xs) or not len(given):
            raise BrainalignError(f"candidates have shape {given.shape}; give one row per candidate, {len(Xs)} columns")
        if (given < 0).any() or not np.allclose(given.sum(axis=1), 1):
            raise BrainalignError("candidates must be shares >= 0 whose rows sum to 1; divide each row by its sum")
        return given

    def _finish(self, search: _Search, bands: _Bands, widths: list[int], like: Callable[[torch.Tensor], Array]) -> None:
        parts = torch.split(search.coef, widths, dim=1)
        feature_means = [rotation.mean for rotation in bands.rotations]
        intercept = search.means
        for part, mean in zip(parts, feature_means, strict=True):
            intercept = intercepts(intercept, part, mean)
        self.coef_, self.intercept_ = [like(part.T) for part in parts], like(intercept)
        self._means = feature_means, search.means
        self.candidates_, self.alpha_ = search.candidates, like(search.alpha)
        self.deltas_ = like(torch.as_tensor(search.candidates)[search.chosen].T)
        self.cv_scores_ = like(search.scores)


class _Search:
    """The best candidate of each target so far."""

    def __init__(
        self, n_targets: int, candidates: NDArray[np.float64], alphas: torch.Tensor, n_features: int, dtype: torch.dtype
    ) -> None:
        self.candidates, self.alphas = candidates, alphas
        self.scores = torch.empty((len(candidates), n_targets), dtype=dtype)
        self.best = torch.full((n_targets,), -torch.inf, dtype=dtype)
        # Where no score is defined, the first candidate with the largest penalty.
        self.alpha = alphas.max().cpu().repeat(n_targets)
        self.chosen = torch.zeros(n_targets, dtype=torch.long)
        self.means = torch.empty(n_targets, dtype=torch.float64)
        self.coef = torch.empty((n_targets, n_features), dtype=dtype)

    def compare(self, number: int, where: slice, by_alpha: torch.Tensor) -> None:
        """Take the scores (n_alphas, n_targets) of a candidate for a block of targets."""
        score = by_alpha.nan_to_num(nan=-torch.inf).amax(dim=0)
        better = score > self.best[where]
        self.scores[number, where] = torch.where(score.isinf(), torch.nan, score)
        self.best[where] = torch.where(better, score, self.best[where])
        self.alpha[where] = torch.where(better, best_alpha(self.alphas, by_alpha), self.alpha[where])
        self.chosen[where] = torch.where(better, number, self.chosen[where])


class _Bands:
    """The bands' rotated features side by side; a candidate only scales their columns."""

    def __init__(self, rotations: list[Rotation], order: Layout, solver: Solver) -> None:
        self.rotations, self.order, self.solver = rotations, order, solver
        tests = order.tests
        self.rows = torch.cat([rotation.rows for rotation in rotations], dim=1)
        wanted = wants_grams(len(self.rows), self.rows.shape[1], tests, solver)
        self.grams = fold_grams(self.rows, tests) if wanted else None
        self.exact = any(rotation.method == "svd" for rotation in rotations)
        self.single = self.rows.dtype == torch.float32

    @cached_property
    def gram(self) -> torch.Tensor:
        """Return the lower triangle of rows' · rows (n_columns, n_columns) in float64."""
        return sum(self.grams[1:], self.grams[0]) if self.grams else lower_gram(self.rows.double())

    def scale(self, shares: NDArray[np.float64]) -> torch.Tensor:
        """Compute the factor of each column that gives the scaled features (n_columns,)."""
        pairs = zip(shares, self.rotations, strict=True)
        return torch.cat([rotation.singular * float(share) ** 0.5 for share, rotation in pairs])

    def folds(self, shares: NDArray[np.float64], alphas: torch.Tensor) -> list[InnerFold]:
        """Decompose the training rows of every fold for a candidate."""
        scale = self.scale(shares)
        unit = inputs.unit_of(scale)
        return inner_folds(
            self.rows,
            scale / unit,
            self.order.tests,
            alphas / (unit**2 * self.order.weight),
            grams=self.grams,
            solver=self.solver,
            single=self.single and bool((shares > 0).all()),  # a band left out has eigenvalues of 0
            exact=self.exact,
            roots=self.order.roots,
        )

    def solve(
        self, shares: NDArray[np.float64], rotated: torch.Tensor, alpha: torch.Tensor, units: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the coefficients (n_targets, n_features) of rotated targets of those units under a candidate."""
        scale = self.scale(shares)
        unit = inputs.unit_of(scale)
        scale, penalty = scale / unit, alpha.double() / (unit**2 * self.order.weight)
        primal = by_columns(len(self.rows), len(scale), self.solver) and not self.exact
        gram = self.gram if primal else None
        eigenvalues, right = eigenbasis(gram, self.rows, scale, single=self.single, exact=self.exact)
        basis = scale.to(right)[:, None] * right
        ends = np.cumsum([len(rotation.singular) for rotation in self.rotations])[:-1].tolist()
        pieces = zip(shares**0.5, self.rotations, torch.tensor_split(right, ends), strict=True)
        to_coef = torch.cat(
            [product(rotation.axes, (piece * float(root)).to(rotated)) for root, rotation, piece in pieces]
        )
        coefficients = cross_product(basis.to(rotated), rotated)
        found = apply_alpha(to_coef, eigenvalues.to(rotated), penalty.to(rotated), coefficients).T
        inputs.rescale_coefficients(found, units, unit)
        return found


def _that_fit(blocks: list[slice], values_per_target: int, device: torch.device) -> Iterator[list[slice]]:
    """Yield runs of blocks whose targets can be held in memory at once; each run decomposes every candidate anew."""
    n_targets, width = blocks[-1].stop, blocks[0].stop - blocks[0].start
    most = -(-target_block(n_targets, 8 * values_per_target, device) // width)  # rounded up: the last may be narrower
    for start in range(0, len(blocks), most):
        yield blocks[start : start + most]
