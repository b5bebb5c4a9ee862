"""What `rdm` takes as noise precision, in one form: a matrix, a covariance, or one of them per run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows
from brainalign.geometry.rdms.array_kind import Kind, as_kind_of, as_numpy, is_tensor
from brainalign.geometry.rdms.covariance import LowRankCovariance, NoiseCovariance, WholeCovariance, mean_covariance

if TYPE_CHECKING:
    import torch

Single: TypeAlias = Union[NDArray[Any], "torch.Tensor", NoiseCovariance]
Precision: TypeAlias = Union[Single, Sequence[Single]]  # noqa: UP007


@dataclass(frozen=True)
class PrecisionMatrix:
    """A covariance given by its inverse.

    Attributes
    ----------
    inverse : array (n_channels, n_channels)
    """

    inverse: Values

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.inverse)

    def matrix(self) -> Values:
        """Return the covariance, (n_channels, n_channels)."""
        return WholeCovariance.of(self.inverse.copy()).precision()

    def precision(self) -> Values:
        """Return the inverse covariance, (n_channels, n_channels)."""
        return self.inverse

    def solve(self, patterns: Kind) -> Kind:
        """Return patterns (..., n_channels) times the inverse covariance."""
        product: Kind = patterns @ as_kind_of(self.inverse, patterns)
        return product

    def whiten(self, patterns: Kind) -> Kind:
        """Return patterns (..., n_channels) times the lower Cholesky factor of the inverse covariance."""
        factor = WholeCovariance.of(self.inverse.copy()).factor
        product: Kind = patterns @ as_kind_of(factor, patterns)
        return product


@dataclass(frozen=True)
class Whitening:
    """One noise covariance for all runs, or one per run.

    Attributes
    ----------
    covariances : sequence of NoiseCovariance
    per_run : bool
    """

    covariances: Sequence[NoiseCovariance]
    per_run: bool

    def of_runs(self, a: int, b: int) -> NoiseCovariance:
        """Return the covariance for products of run a with run b: the mean of theirs."""
        return mean_covariance([self.covariances[a], self.covariances[b]]) if self.per_run else self.covariances[0]


def whitening_of(precision: Precision, n_channels: int, n_runs: int) -> Whitening:
    """Return a precision in the one form that distances use.

    Raises
    ------
    BrainalignError
        If it does not fit the channels or runs, or a matrix is not symmetric and positive definite.
    """
    per_run = isinstance(precision, Sequence) or getattr(precision, "ndim", 2) == 3
    given: Any = precision if per_run else [precision]
    if per_run:
        check_rows("precision", len(given), "the runs of patterns", n_runs, "give one per run, or one for all")
    covariances = [_covariance(single) for single in given]
    for covariance in covariances:
        if covariance.n_channels != n_channels:
            raise BrainalignError(
                f"precision is of {covariance.n_channels} channels but patterns have {n_channels}; estimate it on the "
                "same channels"
            )
    return Whitening(covariances, per_run)


def _covariance(single: Single) -> NoiseCovariance:
    if isinstance(single, LowRankCovariance | WholeCovariance | PrecisionMatrix):
        return single
    matrix = as_numpy(single) if is_tensor(single) else np.asarray(single, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise BrainalignError(f"precision has shape {matrix.shape}; give channels × channels, of all runs or one each")
    check_finite("precision", matrix, "estimate it from residuals without NaN")
    if np.abs(matrix - matrix.T).max() > 1e-6 * np.abs(matrix).max() or (np.diag(matrix) <= 0).any():
        raise BrainalignError("precision is not symmetric with a positive diagonal; give an inverse covariance")
    _check_definite(matrix)
    return PrecisionMatrix(matrix)


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
