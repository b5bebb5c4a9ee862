"""The spectrum of a representation: how many dimensions it uses, and how fast their variance falls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_rows
from brainalign.geometry.network_similarity import centred, centred_pair, representation

RANKS = (11, 100)  # the largest components are a few strong features, the smallest noise and the edge of the sample


def eigenspectrum(X: Values) -> NDArray[np.float64]:
    """Return the eigenvalues of the covariance of units, largest first.

    Parameters
    ----------
    X : array (n_stimuli, n_units)

    Returns
    -------
    array (min(n_stimuli - 1, n_units),)
    """
    X = representation("X", X)
    sizes = np.linalg.svd(centred(X), compute_uv=False)
    return np.asarray(sizes[: max(min(len(X) - 1, X.shape[1]), 1)] ** 2 / max(len(X) - 1, 1))


def participation_ratio(X: Values) -> float:
    """Return (Σλ)² / Σλ² of the eigenvalues of the covariance: the number of dimensions that share the variance.

    White noise in p units has p / (1 + p/n) and not p: compare representations at the same number of stimuli only.

    Parameters
    ----------
    X : array (n_stimuli, n_units)

    Returns
    -------
    float
        NaN where all units are constant.

    References
    ----------
    Gao P, Trautmann E, Yu B, Santhanam G, Ryu S, Shenoy K, Ganguli S (2017). A theory of multineuronal dimensionality,
    dynamics and measurement. bioRxiv 214262. doi:10.1101/214262
    """
    values = eigenspectrum(X)
    return float(values.sum() ** 2 / (values**2).sum()) if values.any() else float("nan")


def rankme(X: Values, *, spectrum: Literal["singular", "eigen"] = "singular", center: bool = False) -> float:
    """Return the effective rank: exp of the entropy of s / Σs + 1e-7.

    Parameters
    ----------
    X : array (n_stimuli, n_units)
    spectrum : {"singular", "eigen"}
        s: singular values as in RankMe, or their squares, which is the effective rank of the covariance. The two differ
        much: name which one is reported.
    center : bool
        Subtract the mean of every unit; the paper does not.

    Returns
    -------
    float
        NaN where there is no variation.

    References
    ----------
    Garrido Q, Balestriero R, Najman L, LeCun Y (2023). RankMe: assessing the downstream performance of pretrained
    self-supervised representations by their rank. ICML. arXiv:2210.02885
    """
    check_choice("spectrum", spectrum, ("singular", "eigen"))
    X = representation("X", X)
    sizes = np.linalg.svd(centred(X) if center else X, compute_uv=False)
    if spectrum == "eigen":
        sizes = sizes**2
    if not sizes.sum() > 0:
        return float("nan")
    share = sizes / sizes.sum() + 1e-7
    return float(np.exp(-(share * np.log(share)).sum()))


@dataclass(frozen=True)
class PowerLaw:
    """A line through the spectrum on logarithmic axes.

    Attributes
    ----------
    exponent : float
        α of λ ~ rank^-α; NaN where fewer than 3 of the range are above 0.
    r2 : float
        How straight the line is.
    n_used : int
        Eigenvalues above 0 in the range.
    n_left_out : int
        Eigenvalues in the range that are not: cross-validated ones may be negative.
    """

    exponent: float
    r2: float
    n_used: int
    n_left_out: int


def power_law(eigenvalues: Values, ranks: tuple[int, int] = RANKS) -> PowerLaw:
    """Return the exponent α of a spectrum that falls as rank^-α, by least squares on logarithmic axes.

    α of the eigenvalues of a sample is biased towards larger values where the range comes near the number of stimuli;
    of noisy responses towards smaller ones, which `cross_validated_spectrum` mends.

    Parameters
    ----------
    eigenvalues : array (n,)
        Largest first, as of `eigenspectrum`.
    ranks : (int, int)
        First and last rank, from 1, both used. The range is the same for all that are compared.

    Raises
    ------
    BrainalignError
        If the range is empty or the spectrum ends before it.

    References
    ----------
    Agrawal KK, Mondal AK, Ghosh A, Richards B (2022). α-ReQ: assessing representation quality in self-supervised
    learning by measuring eigenspectrum decay. NeurIPS. Stringer C et al. (2019): see `cross_validated_spectrum`.
    """
    first, last = ranks
    if not 1 <= first < last <= len(eigenvalues):
        raise BrainalignError(
            f"the range of ranks {first} to {last} does not lie in a spectrum of {len(eigenvalues)} eigenvalues; give "
            "more stimuli or units, or a shorter range for all that are compared"
        )
    values = np.asarray(eigenvalues, dtype=np.float64)[first - 1 : last]
    seen = values > 0
    if seen.sum() < 3:
        return PowerLaw(float("nan"), float("nan"), int(seen.sum()), int((~seen).sum()))
    x, y = np.log(np.arange(first, last + 1)[seen]), np.log(values[seen])
    slope = float(np.polyfit(x, y, 1)[0])
    spread = y.var()
    r2 = float(np.corrcoef(x, y)[0, 1] ** 2) if spread > 0 else 1.0
    return PowerLaw(-slope, r2, int(seen.sum()), int((~seen).sum()))


def cross_validated_spectrum(A: Values, B: Values) -> NDArray[np.float64]:
    """Return the variance of the stimuli along the principal components of one repeat, without the noise of either.

    λ_i = <A v_i, B v_i> / (n - 1), with v_i the components of A: noise that the repeats do not share adds nothing to
    its mean, where plain eigenvalues hold it. May be negative.

    Parameters
    ----------
    A, B : array (n_stimuli, n_units)
        Responses to the same stimuli, presented again.

    Returns
    -------
    array (min(n_stimuli - 1, n_units),)
        In the order of the components of A.

    Raises
    ------
    BrainalignError
        If the repeats do not have the same stimuli and units.

    References
    ----------
    Stringer C, Pachitariu M, Steinmetz N, Carandini M, Harris KD (2019). High-dimensional geometry of population
    responses in visual cortex. Nature 571:361-365. doi:10.1038/s41586-019-1346-5
    """
    A, B = centred_pair(A, B)
    check_rows("A.T", A.shape[1], "B.T", B.shape[1], "repeats have the same units, in the same order")
    n = len(A)
    U, sizes, Vt = np.linalg.svd(A, full_matrices=False)
    n_kept = max(min(n - 1, A.shape[1]), 1)
    along = np.einsum("ik,ik->k", U[:, :n_kept] * sizes[:n_kept], B @ Vt[:n_kept].T)
    return np.asarray(along / max(n - 1, 1))
