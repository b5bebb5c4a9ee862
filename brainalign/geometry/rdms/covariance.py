"""Covariances of noise in forms that whitening needs no more memory for, and what `rdm` takes as noise precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows
from brainalign.geometry.rdms.array_kind import Kind, as_kind_of, as_numpy, is_tensor, namespace_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LowRankCovariance:
    """Covariance s (I + A'A) s of channel scales s and a few loadings A (0 rows where channels are independent).

    Its inverse acts through a matrix of rows by rows (Woodbury 1950); none of channels by channels is made.
    """

    scale: Values
    loadings: Values

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.scale)

    def matrix(self) -> Values:
        """Return the covariance, (n_channels, n_channels)."""
        covariance = self.loadings.T @ self.loadings
        covariance.flat[:: self.n_channels + 1] += 1
        covariance *= self.scale
        covariance *= self.scale[:, None]
        return np.asarray(covariance)

    def precision(self) -> Values:
        """Return the inverse covariance, (n_channels, n_channels)."""
        values, vectors = self._eigen
        rotated = (vectors.T @ self.loadings) / np.sqrt(1 + values)[:, None]
        inverse = rotated.T @ rotated
        np.negative(inverse, out=inverse)
        inverse.flat[:: self.n_channels + 1] += 1
        inverse /= self.scale
        inverse /= self.scale[:, None]
        return np.asarray(inverse)

    def solve(self, patterns: Kind) -> Kind:
        """Return patterns (..., n_channels) times the inverse covariance: y - y A' U (I + e)^-1 U' A, scaled."""
        values, vectors = self._eigen
        scale, loadings, axes, shares = (
            as_kind_of(x, patterns) for x in (self.scale, self.loadings, vectors, 1 / (1 + values))
        )
        y: Kind = patterns / scale
        if len(loadings):
            y = y - ((y @ loadings.T) @ axes * shares) @ axes.T @ loadings
        return y / scale

    @cached_property
    def _eigen(self) -> tuple[Values, Values]:
        values, vectors = np.linalg.eigh(self.loadings @ self.loadings.T)
        return np.maximum(values, 0), vectors


@dataclass(frozen=True)
class WholeCovariance:
    """Covariance kept as its lower Cholesky factor, in place of the matrix."""

    factor: Values

    @classmethod
    def of(cls, covariance: Values) -> Self:
        """Factorise a symmetric float64 matrix, which is overwritten."""
        variances = np.diag(covariance).copy()
        try:
            factor = cholesky(covariance.T, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            factor = np.zeros((1, 1))
        # A channel that is a sum of others leaves rounding, not zero: of its variance given those before it.
        if (np.square(np.diag(factor)) <= 1e-12 * variances).any():
            raise BrainalignError(
                f"the noise covariance of {len(covariance)} channels is not positive definite; shrink it, or drop "
                "channels that are sums of others"
            )
        return cls(factor)

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.factor)

    def matrix(self) -> Values:
        """Return the covariance, (n_channels, n_channels)."""
        return np.asarray(self.factor @ self.factor.T)

    def precision(self) -> Values:
        """Return the inverse covariance, (n_channels, n_channels)."""
        return cho_solve((self.factor, True), np.eye(self.n_channels), overwrite_b=True)

    def solve(self, patterns: Kind) -> Kind:
        """Return patterns (..., n_channels) times the inverse covariance."""
        columns = patterns.reshape(-1, self.n_channels).T
        if is_tensor(patterns):
            solved = namespace_of(patterns).cholesky_solve(columns, as_kind_of(self.factor, patterns))
        else:
            solved = cho_solve((self.factor, True), columns, check_finite=False)  # `rdm` says where patterns are NaN
        return solved.T.reshape(patterns.shape)


@dataclass(frozen=True)
class _PrecisionMatrix:
    """A covariance given by its inverse (n_channels, n_channels)."""

    inverse: Values

    @property
    def n_channels(self) -> int:
        return len(self.inverse)

    def matrix(self) -> Values:
        return WholeCovariance.of(self.inverse.copy()).precision()

    def precision(self) -> Values:
        return self.inverse

    def solve(self, patterns: Kind) -> Kind:
        return patterns @ as_kind_of(self.inverse, patterns)


NoiseCovariance: TypeAlias = LowRankCovariance | WholeCovariance | _PrecisionMatrix  # whatever form it is kept in


def mean_covariance(covariances: Sequence[NoiseCovariance]) -> NoiseCovariance:
    """Return the mean of covariances, with low rank where theirs together stays below the number of channels."""
    n, n_channels = len(covariances), covariances[0].n_channels
    low = [c for c in covariances if isinstance(c, LowRankCovariance)]
    if len(low) == n and sum(len(c.loadings) for c in low) < n_channels:
        scale = np.sqrt(sum(np.square(c.scale) for c in low) / n)
        return LowRankCovariance(scale, np.concatenate([c.loadings * c.scale for c in low]) / np.sqrt(n) / scale)
    total = covariances[0].matrix()
    for covariance in covariances[1:]:
        total += covariance.matrix()
    total /= n
    return WholeCovariance.of(total)


Single: TypeAlias = Union[NDArray[Any], "torch.Tensor", NoiseCovariance]
Precision: TypeAlias = Union[Single, Sequence[Single]]  # noqa: UP007


@dataclass(frozen=True)
class Whitening:
    """One noise covariance for all runs, or one per run."""

    covariances: Sequence[NoiseCovariance]
    per_run: bool

    def of_runs(self, a: int, b: int) -> NoiseCovariance:
        """Return the covariance for products of run a with run b: the mean of theirs."""
        return mean_covariance([self.covariances[a], self.covariances[b]]) if self.per_run else self.covariances[0]


def whitening_of(precision: Precision, n_channels: int, n_runs: int) -> Whitening:
    """Return a precision in the one form that distances use."""
    per_run = isinstance(precision, Sequence) or getattr(precision, "ndim", 2) == 3
    given: Any = precision if per_run else [precision]
    if per_run:
        check_rows("precision", len(given), "the runs of patterns", n_runs, "give one per run, or one for all")
    covariances = [_covariance(single) for single in given]
    for covariance in covariances:
        remedy = "estimate it on the same channels"
        check_rows("precision", covariance.n_channels, "patterns", n_channels, remedy, "channels")
    return Whitening(covariances, per_run)


def _covariance(single: Single) -> NoiseCovariance:
    if isinstance(single, NoiseCovariance):
        return single
    matrix = as_numpy(single) if is_tensor(single) else np.asarray(single, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise BrainalignError(f"precision has shape {matrix.shape}; give channels × channels, of all runs or one each")
    check_finite("precision", matrix, "estimate it from residuals without NaN")
    if np.abs(matrix - matrix.T).max() > 1e-6 * np.abs(matrix).max() or (np.diag(matrix) <= 0).any():
        raise BrainalignError("precision is not symmetric with a positive diagonal; give an inverse covariance")
    _check_definite(matrix)
    return _PrecisionMatrix(matrix)


def _check_definite(matrix: Values) -> None:
    """Raise where a direction of channels has no noise to be divided by: distances along it would be 0 or negative."""
    scale = np.sqrt(np.diag(matrix))
    correlations = matrix / scale / scale[:, None]  # channels may differ in unit
    least = len(matrix) * np.finfo(np.float64).eps
    try:
        if (np.diag(np.linalg.cholesky(correlations)) ** 2).min() > 4 * least:
            return
    except np.linalg.LinAlgError:
        pass
    smallest, largest = np.linalg.eigvalsh(correlations)[[0, -1]]
    if smallest <= least * largest:
        kind = "indefinite" if smallest < -least * largest else "singular"
        raise BrainalignError(
            f"precision of {len(matrix)} channels is {kind}: scaled to a diagonal of 1 its eigenvalues go from "
            f"{smallest:.2g} to {largest:.2g}, and all must be above 0; shrink the covariance (noise_precision does), "
            "or drop channels that are sums of others, as after re-referencing"
        )
