"""How alike two representations of the same stimuli are, whatever their units, and how well one predicts the other.

CKA, CCA, Procrustes and their menu; held-out R² by ridge from all units, or by an L1 path from a few.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import orth

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_rows
from brainalign.geometry.network_similarity.matching import match_units
from brainalign.geometry.network_similarity.unit_pairing import ROUNDING, centred_pair, representation, rotated_to_fewer
from brainalign.statistics import Regressor, held_out_r2


def similarity(X: Values, Y: Values, method: str = "cka") -> float:
    """Compute the similarity of two representations; 1 for a copy with other order of units, NaN of a constant one.

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


def _rotated_cosine(X: Values, Y: Values) -> float:
    X, Y = (rotated_to_fewer(Z) for Z in centred_pair(X, Y))
    norm = np.linalg.norm(X) * np.linalg.norm(Y)
    return float(np.linalg.norm(X.T @ Y, "nuc") / norm) if norm > 0 else float("nan")


def canonical_correlations(X: Values, Y: Values) -> NDArray[np.float64]:
    """Return the canonical correlations of two representations, largest first, as many as the smaller rank.

    Both (n_stimuli, n_units) have fewer units than stimuli. Where both together have n or more, some correlations are 1
    by geometry alone.
    """
    return np.asarray(_angles(*centred_pair(X, Y), "CCA")[1])


def cca(X: Values, Y: Values) -> float:
    """Return the mean canonical correlation: 1 where one representation is a linear map of the other."""
    correlations = canonical_correlations(X, Y)
    return float(correlations.mean()) if len(correlations) else float("nan")


def svcca(X: Values, Y: Values) -> float:
    """Return the mean canonical correlation of the principal components that hold 99 % of the variance.

    Both (n_stimuli, n_units), of any widths.

    Raises
    ------
    BrainalignError
        If the kept components are as many as the stimuli allow: then every correlation is 1.

    References
    ----------
    Raghu M, Gilmer J, Yosinski J, Sohl-Dickstein J (2017). SVCCA: singular vector canonical correlation analysis for
    deep learning dynamics and interpretability. NeurIPS. arXiv:1706.05806
    """
    X, Y = centred_pair(X, Y)
    _, correlations = _angles(_leading(X), _leading(Y), "SVCCA (99 % of variance)")
    return float(correlations.mean()) if len(correlations) else float("nan")


def pwcca(X: Values, Y: Values) -> float:
    """Return the mean canonical correlation, each weighted by how much of the units of X its variate accounts for.

    The weight of a variate h (n_stimuli,) is the sum of |<h, x>| over the units x of X: not symmetric in X and Y. Both
    (n_stimuli, n_units) have fewer units than stimuli.

    References
    ----------
    Morcos AS, Raghu M, Bengio S (2018). Insights on representational similarity in neural networks with canonical
    correlation. NeurIPS. arXiv:1806.05759
    """
    X, Y = centred_pair(X, Y)
    variates, correlations = _angles(X, Y, "PWCCA")
    weights = np.abs(variates.T @ X).sum(axis=1)
    return float(weights @ correlations / weights.sum()) if len(correlations) else float("nan")


def _angles(X: Values, Y: Values, method: str) -> tuple[Values, Values]:
    """Return the variates of X (n, k) and correlations (k,) of centred representations."""
    n = len(X)
    for name, Z in (("X", X), ("Y", Y)):
        if Z.shape[1] >= n - 1:  # centred stimuli span n - 1 dimensions
            raise BrainalignError(
                f"{method} of {name} with {Z.shape[1]} dimensions on {n} stimuli is 1 whatever they represent; give "
                "more stimuli than dimensions, reduce it to principal components, or take cka"
            )
    left, right = orth(X), orth(Y)  # their span, not their scale, is what counts
    U, correlations, _ = np.linalg.svd(left.T @ right, full_matrices=False)
    return left @ U, np.clip(correlations, 0, 1)


def _leading(X: Values) -> Values:
    """Return the scores of the fewest principal components that hold 99 % of the variance."""
    U, sizes, _ = np.linalg.svd(X, full_matrices=False)
    total = np.cumsum(sizes**2)
    if not total[-1] > 0:
        return X[:, :0]
    n_kept = int(np.searchsorted(total, 0.99 * total[-1] * (1 - ROUNDING))) + 1
    return np.asarray(U[:, :n_kept] * sizes[:n_kept])


SIMILARITIES: dict[str, Callable[[Values, Values], float]] = {
    "cka": cka,
    "plain_cka": lambda X, Y: cka(X, Y, debiased=False),
    "cca": cca,
    "svcca": svcca,
    "pwcca": pwcca,
    "procrustes": _rotated_cosine,  # the cosine of the angle, so that 1 is the same as elsewhere in the menu
    "one_to_one": lambda X, Y: match_units(X, Y, "one_to_one").score,
    "soft": lambda X, Y: match_units(X, Y, "soft").score,
}


def linear_predictivity(
    X: Values, Y: Values, regressor: Regressor, folds: int = 5, seed: int = 0
) -> tuple[float, float]:
    """Return the held-out R² of Y predicted from X, and of X from Y.

    Each is 1 - residual / total sum of squares over all units and held-out stimuli, the total around the mean of the
    training stimuli: large units count most, so a rotation changes nothing. Negative where prediction fails.

    Parameters
    ----------
    X, Y : array (n_stimuli, p), (n_stimuli, q)
    regressor : Regressor
        Fitted anew in every fold.
    folds : int
        Random folds over stimuli, the same both ways.
    seed : int

    Returns
    -------
    forward, backward : float
        NaN where the predicted units are constant.

    Raises
    ------
    BrainalignError
        If rows do not fit, or there are more folds than stimuli.
    """
    X, Y = representation("X", X), representation("Y", Y)
    check_rows("X", len(X), "Y", len(Y), "both must represent the same stimuli, in the same order")
    if not 2 <= folds <= len(X):
        raise BrainalignError(f"folds must be 2 to the number of stimuli ({len(X)}); got {folds}")
    parts = np.array_split(np.random.default_rng(seed).permutation(len(X)), folds)
    return held_out_r2(regressor, X, Y, parts), held_out_r2(regressor, Y, X, parts)
