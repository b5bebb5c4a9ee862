"""How alike two representations of the same stimuli are, whatever their units: CKA, Procrustes, and the menu of all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice
from brainalign.geometry.network_similarity.canonical_correlation import cca, pwcca, svcca
from brainalign.geometry.network_similarity.matching import match_units
from brainalign.geometry.network_similarity.unit_pairing import centred_pair


def similarity(X: Values, Y: Values, method: str = "cka") -> float:
    """Compute the similarity of two representations; 1 for a copy with its units in another order.

    Parameters
    ----------
    X, Y : array (n_stimuli, n_units)
        Rows are the same stimuli (of maps of a convolutional network: say whether a row is an image, averaged over
        places, or an image at one place).
    method : str
        A key of `SIMILARITIES`. Those that ignore rotation ("cka", "plain_cka", "procrustes"), those that ignore
        every invertible linear map ("cca", "svcca" up to its 99 % of variance; "pwcca" weighs by the units of X), and
        those that match units ("one_to_one", "soft": here on the stimuli the match was made on, so of unrelated units
        they are above 0; see `match_units` for held-out stimuli).

    Returns
    -------
    float
        NaN where it is undefined because a representation is constant.

    Raises
    ------
    BrainalignError
        If rows do not fit, values are not finite, or a method cannot be used on so many units.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> [round(similarity(X, X[:, ::-1], method), 6) for method in ("cka", "cca", "procrustes", "soft")]
    [1.0, 1.0, 1.0, 1.0]
    """
    check_choice("method", method, SIMILARITIES)
    return SIMILARITIES[method](X, Y)


def cka(X: Values, Y: Values, debiased: bool = True) -> float:
    """Return the centred kernel alignment of two representations, with linear kernels.

    With K and L the Gram matrices of stimuli, diagonals set to zero, the debiased form is HSIC(K, L) / sqrt(HSIC(K, K)
    HSIC(L, L)) with HSIC = [tr KL + 1'K1 1'L1 / ((n-1)(n-2)) - 2 1'KL1 / (n-2)] / (n (n-3)). Its mean over unrelated
    representations is 0; that of the plain form grows with units over stimuli, up to 1.

    Parameters
    ----------
    X, Y : array (n_stimuli, n_units)
    debiased : bool
        False for the plain form, ||X'Y||² / (||X'X|| ||Y'Y||): not to be compared between sizes.

    Returns
    -------
    float
        NaN where the debiased HSIC of a representation with itself is not positive: it holds nothing but noise.

    Raises
    ------
    BrainalignError
        If rows do not fit, or there are fewer than 4 stimuli.

    References
    ----------
    Kornblith S, Norouzi M, Lee H, Hinton G (2019). Similarity of neural network representations revisited. ICML.
    arXiv:1905.00414. Debiased: Song L, Smola A, Gretton A, Bedo J, Borgwardt K (2012). Feature selection via dependence
    maximization. JMLR 13:1393-1434.
    """
    X, Y = centred_pair(X, Y)
    n = len(X)
    if n < 4:
        raise BrainalignError(f"debiased CKA needs 4 stimuli or more; got {n}")
    products = _debiased if debiased else _frobenius
    cross, own_x, own_y = products(X, Y), products(X, X), products(Y, Y)
    return float(cross / np.sqrt(own_x * own_y)) if own_x > 0 and own_y > 0 else float("nan")


def _frobenius(X: Values, Y: Values) -> float:
    """Return tr KL of the Gram matrices, without making those of stimuli where there are fewer units."""
    if X.shape[1] * Y.shape[1] <= len(X) ** 2:
        return float(np.sum((X.T @ Y) ** 2))
    return float(np.sum((X @ X.T) * (Y @ Y.T)))


def _debiased(X: Values, Y: Values) -> float:
    """Return HSIC of the Gram matrices with zero diagonals, up to the common factor 1 / (n (n-3))."""
    n = len(X)
    own = [np.einsum("ij,ij->i", Z, Z) for Z in (X, Y)]  # the diagonals
    rows = [Z @ Z.sum(axis=0) - diagonal for Z, diagonal in zip((X, Y), own, strict=True)]  # K1, L1
    trace = _frobenius(X, Y) - own[0] @ own[1]
    return float(trace + rows[0].sum() * rows[1].sum() / ((n - 1) * (n - 2)) - 2 * rows[0] @ rows[1] / (n - 2))


def procrustes_angle(X: Values, Y: Values) -> float:
    """Return the angle between two representations after the best rotation: arccos(||X'Y||_* / (||X|| ||Y||)), radians.

    0 for rotated copies, π/2 for representations of unrelated stimuli spaces; a metric (it obeys the triangle
    inequality), which CKA and CCA are not.

    Parameters
    ----------
    X, Y : array (n_stimuli, n_units)
        Of any widths: the narrower one counts as filled up with zeros.

    Returns
    -------
    float
        NaN where a representation is constant.

    Raises
    ------
    BrainalignError
        If rows do not fit.

    References
    ----------
    Williams AH, Kunz E, Kornblith S, Linderman SW (2021). Generalized shape metrics on neural representations. NeurIPS.
    arXiv:2110.14739
    """
    return float(np.arccos(np.clip(_rotated_cosine(X, Y), -1, 1)))


def _rotated_cosine(X: Values, Y: Values) -> float:
    X, Y = (_coordinates(Z) for Z in centred_pair(X, Y))
    norm = np.linalg.norm(X) * np.linalg.norm(Y)
    return float(np.linalg.norm(X.T @ Y, "nuc") / norm) if norm > 0 else float("nan")


def _coordinates(X: Values) -> Values:
    """Return a rotated copy of at most as many columns as rows: wide ones in the axes of their rows."""
    return X if X.shape[1] <= len(X) else np.asarray(np.linalg.qr(X.T, mode="r")).T


def _soft(X: Values, Y: Values) -> float:
    return match_units(X, Y, "soft").score


def _one_to_one(X: Values, Y: Values) -> float:
    return match_units(X, Y, "one_to_one").score


def _plain_cka(X: Values, Y: Values) -> float:
    return cka(X, Y, debiased=False)


SIMILARITIES: dict[str, Callable[[Values, Values], float]] = {
    "cka": cka,
    "plain_cka": _plain_cka,
    "cca": cca,
    "svcca": svcca,
    "pwcca": pwcca,
    "procrustes": _rotated_cosine,  # the cosine of the angle, so that 1 is the same as elsewhere in the menu
    "one_to_one": _one_to_one,
    "soft": _soft,
}
