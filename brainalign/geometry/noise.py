"""Noise precision: the inverse covariance by which crossnobis distances are whitened."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_finite

__all__ = ["noise_precision"]


def noise_precision(residuals: NDArray[np.floating[Any]], dof: int) -> NDArray[np.float64]:
    """Return the inverse noise covariance, shrunk towards its diagonal by the Ledoit-Wolf amount.

    The residuals must not come from the averages whose distances are taken: what is left of block responses around
    their category means, say, makes every direction that the means do not vary in look free of noise, and crossnobis
    distances biased. Fluctuations of volumes within blocks are safe.

    Parameters
    ----------
    residuals : array (n_rows, n_channels)
        Deviations of mean 0.
    dof : int
        Rows minus the parameters estimated to make them (means, regressors).

    Returns
    -------
    array (n_channels, n_channels)

    Raises
    ------
    BrainalignError
        If dof is not positive, or a channel never deviates.

    References
    ----------
    Ledoit O, Wolf M (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of
    Multivariate Analysis 88:365-411. doi:10.1016/S0047-259X(03)00096-4
    """
    from sklearn.covariance import ledoit_wolf

    residuals = np.asarray(residuals, dtype=np.float64)
    check_finite("residuals", residuals, "drop the channels that hold them")
    if dof < 1:
        raise BrainalignError(f"{len(residuals)} residuals leave {dof} degrees of freedom; noise needs 1 or more")
    sd = np.sqrt(np.square(residuals).sum(axis=0) / dof)
    if not (sd > 0).all():
        raise BrainalignError(
            f"{int((sd == 0).sum())} channels never deviate (first: {int(sd.argmin())}); drop constant channels"
        )
    # On channels of unit noise, shrinking towards the identity is shrinking towards the diagonal.
    correlation, _ = ledoit_wolf(residuals / sd * np.sqrt(len(residuals) / dof), assume_centered=True)
    return np.asarray(np.linalg.inv(correlation) / np.outer(sd, sd))
