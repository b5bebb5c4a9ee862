"""Canonical correlations of two representations: similarity up to every invertible linear map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.geometry.network_similarity.unit_pairing import ROUNDING, centred_pair


def canonical_correlations(X: Values, Y: Values) -> NDArray[np.float64]:
    """Return the canonical correlations of two representations, largest first.

    Parameters
    ----------
    X, Y : array (n_stimuli, n_units)
        With fewer units than stimuli. Where both together have n or more, some correlations are 1 by geometry alone.

    Returns
    -------
    array (min of the ranks,)

    Raises
    ------
    BrainalignError
        If rows do not fit, or a representation has as many units as stimuli: then every correlation is 1.
    """
    return np.asarray(_angles(*centred_pair(X, Y), "CCA")[1])


def cca(X: Values, Y: Values) -> float:
    """Return the mean canonical correlation: 1 where one representation is a linear map of the other.

    Parameters
    ----------
    X, Y : array (n_stimuli, n_units)
        With fewer units than stimuli.

    Raises
    ------
    BrainalignError
        As for `canonical_correlations`.
    """
    correlations = canonical_correlations(X, Y)
    return float(correlations.mean()) if len(correlations) else float("nan")


def svcca(X: Values, Y: Values, variance: float = 0.99) -> float:
    """Return the mean canonical correlation of the principal components that hold most of the variance.

    Parameters
    ----------
    X, Y : array (n_stimuli, n_units)
        Of any widths.
    variance : float
        Share that is kept of each.

    Raises
    ------
    BrainalignError
        If the kept components are as many as the stimuli allow: then every correlation is 1.

    References
    ----------
    Raghu M, Gilmer J, Yosinski J, Sohl-Dickstein J (2017). SVCCA: singular vector canonical correlation analysis for
    deep learning dynamics and interpretability. NeurIPS. arXiv:1706.05806
    """
    if not 0 < variance <= 1:
        raise BrainalignError(f"variance is the share to keep, above 0 and up to 1; got {variance}")
    X, Y = centred_pair(X, Y)
    _, correlations, _ = _angles(_leading(X, variance), _leading(Y, variance), f"SVCCA ({variance:.0%} of variance)")
    return float(correlations.mean()) if len(correlations) else float("nan")


def pwcca(X: Values, Y: Values) -> float:
    """Return the mean canonical correlation, each weighted by how much of the units of X its variate accounts for.

    The weight of a variate h (n_stimuli,) is the sum of |<h, x>| over the units x of X: not symmetric in X and Y.

    Parameters
    ----------
    X, Y : array (n_stimuli, n_units)
        With fewer units than stimuli.

    Raises
    ------
    BrainalignError
        As for `canonical_correlations`.

    References
    ----------
    Morcos AS, Raghu M, Bengio S (2018). Insights on representational similarity in neural networks with canonical
    correlation. NeurIPS. arXiv:1806.05759
    """
    X, Y = centred_pair(X, Y)
    variates, correlations, _ = _angles(X, Y, "PWCCA")
    weights = np.abs(variates.T @ X).sum(axis=1)
    return float(weights @ correlations / weights.sum()) if len(correlations) else float("nan")


def _angles(X: Values, Y: Values, method: str) -> tuple[Values, Values, Values]:
    """Return the variates of X (n, k), correlations (k,) and variates of Y, of centred representations."""
    n = len(X)
    for name, Z in (("X", X), ("Y", Y)):
        if Z.shape[1] >= n - 1:  # centred stimuli span n - 1 dimensions
            raise BrainalignError(
                f"{method} of {name} with {Z.shape[1]} dimensions on {n} stimuli is 1 whatever they represent; give "
                "more stimuli than dimensions, reduce it to principal components, or take cka"
            )
    left, right = _basis(X), _basis(Y)
    U, correlations, Vt = np.linalg.svd(left.T @ right, full_matrices=False)
    return left @ U, np.clip(correlations, 0, 1), right @ Vt.T


def _basis(X: Values) -> Values:
    """Return an orthonormal basis of the columns; their span, not their scale, is what counts."""
    U, sizes, _ = np.linalg.svd(X, full_matrices=False)
    return np.asarray(U[:, sizes > max(X.shape) * np.finfo(float).eps * sizes[:1].max(initial=ROUNDING)])


def _leading(X: Values, variance: float) -> Values:
    """Return the scores of the fewest principal components that hold a share of the variance."""
    U, sizes, _ = np.linalg.svd(X, full_matrices=False)
    total = np.cumsum(sizes**2)
    if not total[-1] > 0:
        return X[:, :0]
    n_kept = int(np.searchsorted(total, variance * total[-1] * (1 - ROUNDING))) + 1
    return np.asarray(U[:, :n_kept] * sizes[:n_kept])
