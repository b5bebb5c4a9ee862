"""The noise of channels, estimated from residuals, by which Mahalanobis and crossnobis distances are whitened."""

from collections.abc import Callable

import numpy as np

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite
from brainalign.geometry.rdms.array_kind import Kind, as_kind_of, as_numpy
from brainalign.geometry.rdms.covariance import LowRankCovariance, NoiseCovariance, WholeCovariance
from brainalign.statistics.scores import is_constant


def noise_covariance(residuals: Kind, dof: int | None = None, method: str = "shrink-diagonal") -> NoiseCovariance:
    """Estimate the covariance of noise from residuals.

    The residuals must not come from the averages whose distances are taken: what is left of block responses around
    their category means, say, makes every direction that the means do not vary in look free of noise, and crossnobis
    distances biased. Fluctuations of volumes within blocks are safe.

    Parameters
    ----------
    residuals : array (n_rows, n_channels)
        Deviations; their mean is subtracted.
    dof : int, optional
        Rows minus the parameters estimated to make the residuals (means, regressors); n_rows - 1 by default.
    method : str
        A key of `NOISE_COVARIANCES`: "shrink-diagonal" shrinks correlations towards zero by the amount that the data
        ask for, "shrink-identity" shrinks the covariance towards one variance for all channels, "diag" keeps
        the variances alone, "full" does not shrink and needs more rows than channels.

    Returns
    -------
    NoiseCovariance
        With fewer rows than channels it is kept in n_rows × n_channels numbers, and "diag" in n_channels; else as one
        matrix.

    Raises
    ------
    BrainalignError
        If dof is not positive, a channel never deviates, or "full" has too few rows.

    References
    ----------
    Schäfer J, Strimmer K (2005). A shrinkage approach to large-scale covariance matrix estimation. Statistical
    Applications in Genetics and Molecular Biology 4:32. doi:10.2202/1544-6115.1175
    Ledoit O, Wolf M (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of
    Multivariate Analysis 88:365-411. doi:10.1016/S0047-259X(03)00096-4

    Examples
    --------
    >>> residuals = np.random.default_rng(0).normal(size=(20, 1000))
    >>> noise_covariance(residuals).solve(residuals[:3]).shape
    (3, 1000)
    """
    check_choice("method", method, NOISE_COVARIANCES)
    rows = as_numpy(residuals)
    if rows.ndim != 2:
        raise BrainalignError(f"residuals have shape {rows.shape}; give rows × channels")
    check_finite("residuals", rows, "drop the channels that hold them")
    dof = len(rows) - 1 if dof is None else dof
    if dof < 1:
        raise BrainalignError(f"{len(rows)} residuals leave {dof} degrees of freedom; noise needs 1 or more")
    deviations = rows - rows.mean(axis=0)
    variances = np.einsum("ij,ij->j", deviations, deviations) / dof
    constant = np.flatnonzero(is_constant(variances * dof, np.einsum("ij,ij->j", rows, rows)))
    if len(constant):
        raise BrainalignError(f"{len(constant)} channels never deviate (first: {constant[0]}); drop constant channels")
    return NOISE_COVARIANCES[method](deviations, variances, dof)


def noise_precision(residuals: Kind, dof: int | None = None, method: str = "shrink-diagonal") -> Kind:
    """Return the inverse noise covariance as a matrix, (n_channels, n_channels).

    For many channels pass `noise_covariance` to `rdm` instead: it whitens without this matrix.
    """
    return as_kind_of(noise_covariance(residuals, dof, method).precision(), residuals)


def _shrunk_to_diagonal(deviations: Values, variances: Values, dof: int) -> NoiseCovariance:
    """Shrink correlations by the share of their squares that is noise of estimation."""
    n, standard = len(deviations), deviations / np.sqrt(variances)
    squares = np.square(standard)
    # Sums over pairs of channels without the matrices of pairs: those of products of squares are squares of sums.
    fourth = np.square(squares.sum(axis=1)).sum() - np.square(squares).sum()
    second = _gram_norm(standard) - np.square(squares.sum(axis=0)).sum()
    if second <= 0:  # a single channel has no correlations
        return LowRankCovariance(np.sqrt(variances), deviations[:0])
    noise = n / dof**2 * (fourth / (n - 1) - second / (n - 1) ** 2)
    shrinkage = min(max(noise / (second / (n - 1) ** 2), 0.0), 1.0)
    return _covariance(shrinkage * variances, deviations, (1 - shrinkage) / dof)


def _shrunk_to_identity(deviations: Values, variances: Values, dof: int) -> NoiseCovariance:
    n, p = deviations.shape
    mean = float(variances.mean()) * dof / n
    squared = _gram_norm(deviations) / n**2
    distance = squared - p * mean**2
    fourth = np.square(np.einsum("ij,ij->i", deviations, deviations)).sum() / n
    noise = min((fourth - squared) / n, distance)
    shrinkage = noise / distance if distance > 0 else 1.0
    return _covariance(np.full(p, shrinkage * mean * n / dof), deviations, (1 - shrinkage) / dof)


def _unshrunk(deviations: Values, variances: Values, dof: int) -> NoiseCovariance:
    n, p = deviations.shape
    if min(n - 1, dof) < p:
        raise BrainalignError(
            f"{n} residuals with {dof} degrees of freedom do not determine the covariance of {p} channels; use method "
            "'shrink-diagonal'"
        )
    return _covariance(np.zeros(p), deviations, 1 / dof)


def _covariance(diagonal: Values, deviations: Values, weight: float) -> NoiseCovariance:
    """Return diag(diagonal) + weight · deviations'deviations in the form that takes less memory."""
    n, p = deviations.shape
    if weight == 0:
        return LowRankCovariance(np.sqrt(diagonal), deviations[:0])
    if n < p and diagonal.min() > 0:
        scale = np.sqrt(diagonal)
        return LowRankCovariance(scale, deviations * (np.sqrt(weight) / scale))
    whole = deviations.T @ deviations
    whole *= weight
    whole.flat[:: p + 1] += diagonal
    return WholeCovariance.of(whole)


def _gram_norm(rows: Values) -> float:
    """Return the sum of squares of rows'rows, by way of the smaller of the two Gram matrices."""
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return float(np.vdot(gram, gram))


NOISE_COVARIANCES: dict[str, Callable[[Values, Values, int], NoiseCovariance]] = {
    "shrink-diagonal": _shrunk_to_diagonal,
    "shrink-identity": _shrunk_to_identity,
    "diag": lambda deviations, variances, _: LowRankCovariance(np.sqrt(variances), deviations[:0]),
    "full": _unshrunk,
}
