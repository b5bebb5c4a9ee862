"""Noise precision: the inverse covariance by which crossnobis distances are whitened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from brainalign.checks import BrainalignError

__all__ = ["noise_precision"]


def noise_precision(patterns: NDArray[np.floating[Any]], conditions: NDArray[Any]) -> NDArray[np.float64]:
    """Return the inverse noise covariance, estimated from how repeats of a condition differ from their mean.

    Shrunk towards its diagonal by the Ledoit-Wolf amount (on channels scaled to unit noise), so that it can be
    inverted with fewer rows than channels.

    Parameters
    ----------
    patterns : array (n_rows, n_channels)
    conditions : array (n_rows,)

    Returns
    -------
    array (n_channels, n_channels)

    Raises
    ------
    BrainalignError
        If no condition is repeated, or a channel has no noise.

    References
    ----------
    Ledoit O, Wolf M (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of
    Multivariate Analysis 88:365-411. doi:10.1016/S0047-259X(03)00096-4
    """
    codes, names = pd.factorize(np.asarray(conditions))
    dof = len(codes) - len(names)
    if dof < 1:
        raise BrainalignError(f"{len(codes)} rows of {len(names)} conditions: no condition is repeated, so no noise is seen")
    residuals = pd.DataFrame(np.asarray(patterns, dtype=np.float64))
    residuals = (residuals - residuals.groupby(codes).transform("mean")).to_numpy()
    sd = np.sqrt(np.square(residuals).sum(axis=0) / dof)
    if not (sd > 0).all():
        raise BrainalignError(f"{int((sd == 0).sum())} channels repeat exactly (first {int(sd.argmin())}); drop constant channels")
    correlation, _ = ledoit_wolf(residuals / sd * np.sqrt(len(codes) / dof), assume_centered=True)
    return np.asarray(np.linalg.inv(correlation) / np.outer(sd, sd))
