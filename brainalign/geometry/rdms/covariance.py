"""Covariances of noise in a form that whitening needs no more memory for than the covariance itself takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.geometry.rdms.array_kind import Kind, as_kind_of, is_tensor, namespace_of


class NoiseCovariance(Protocol):
    """Covariance of the noise of channels, whatever form it is kept in."""

    @property
    def n_channels(self) -> int:
        """Number of channels."""

    def matrix(self) -> Values:
        """Return the covariance, (n_channels, n_channels)."""

    def precision(self) -> Values:
        """Return its inverse, (n_channels, n_channels)."""

    def solve(self, patterns: Kind) -> Kind:
        """Return patterns (..., n_channels) times the inverse covariance."""

    def whiten(self, patterns: Kind) -> Kind:
        """Return patterns (..., n_channels) times W, where W W' is the inverse covariance."""


@dataclass(frozen=True)
class LowRankCovariance:
    """Covariance s (I + A'A) s of channel scales s and a few loadings A: (n_rows + 1) × n_channels numbers.

    Its inverse acts through a matrix of rows by rows (Woodbury); none of channels by channels is made.

    Attributes
    ----------
    scale : array (n_channels,), in units of the responses
    loadings : array (n_rows, n_channels)
        None (0 rows) where channels are independent.

    References
    ----------
    Woodbury MA (1950). Inverting modified matrices. Memorandum Report 42, Princeton University.
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
        """Return patterns (..., n_channels) times the inverse covariance."""
        scaled: Kind = self._shrunk(patterns, 1 / (1 + self._eigen[0])) / as_kind_of(self.scale, patterns)
        return scaled

    def whiten(self, patterns: Kind) -> Kind:
        """Return patterns (..., n_channels) times s^-1 (I + A'A)^-1/2."""
        values = self._eigen[0]
        return self._shrunk(patterns, 1 / (1 + values + np.sqrt(1 + values)))  # (1 - (1+e)^-1/2) / e, at e = 0 too

    @cached_property
    def _eigen(self) -> tuple[Values, Values]:
        values, vectors = np.linalg.eigh(self.loadings @ self.loadings.T)
        return np.maximum(values, 0), vectors

    def _shrunk(self, patterns: Kind, weights: Values) -> Kind:
        """Return y - y A' U diag(weights) U' A of scaled patterns y."""
        scale, loadings, vectors, shares = (
            as_kind_of(x, patterns) for x in (self.scale, self.loadings, self._eigen[1], weights)
        )
        y: Kind = patterns / scale
        if not len(loadings):
            return y
        back = ((y @ loadings.T) @ vectors * shares) @ vectors.T
        shrunk: Kind = y - back @ loadings
        return shrunk


@dataclass(frozen=True)
class WholeCovariance:
    """Covariance kept as its lower Cholesky factor, in place of the matrix.

    Attributes
    ----------
    factor : array (n_channels, n_channels)
    """

    factor: Values

    @classmethod
    def of(cls, covariance: Values) -> WholeCovariance:
        """Factorise a symmetric float64 matrix, which is overwritten.

        Raises
        ------
        BrainalignError
            If it is not positive definite.
        """
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
        inverse: Values = cho_solve((self.factor, True), np.eye(self.n_channels), overwrite_b=True)
        return inverse

    def solve(self, patterns: Kind) -> Kind:
        """Return patterns (..., n_channels) times the inverse covariance."""
        columns = patterns.reshape(-1, self.n_channels).T
        if is_tensor(patterns):
            solved = namespace_of(patterns).cholesky_solve(columns, as_kind_of(self.factor, patterns))
        else:
            solved = cho_solve((self.factor, True), columns)
        result: Kind = solved.T.reshape(patterns.shape)
        return result

    def whiten(self, patterns: Kind) -> Kind:
        """Return patterns (..., n_channels) times the transposed inverse of the factor."""
        columns = patterns.reshape(-1, self.n_channels).T
        if is_tensor(patterns):
            torch = namespace_of(patterns)
            solved = torch.linalg.solve_triangular(as_kind_of(self.factor, patterns), columns, upper=False)
        else:
            solved = solve_triangular(self.factor, columns, lower=True)
        result: Kind = solved.T.reshape(patterns.shape)
        return result


def mean_covariance(covariances: Sequence[NoiseCovariance]) -> NoiseCovariance:
    """Return the mean of covariances, with low rank where theirs together stays below the number of channels."""
    n, n_channels = len(covariances), covariances[0].n_channels
    low = [c for c in covariances if isinstance(c, LowRankCovariance)]
    if len(low) == n and sum(len(c.loadings) for c in low) < n_channels:
        scale = np.sqrt(sum(np.square(c.scale) for c in low) / n)
        rows = np.concatenate([c.loadings * c.scale for c in low]) / np.sqrt(n)
        return LowRankCovariance(scale, rows / scale)
    total = covariances[0].matrix()
    for covariance in covariances[1:]:
        total += covariance.matrix()
    total /= n
    return WholeCovariance.of(total)
