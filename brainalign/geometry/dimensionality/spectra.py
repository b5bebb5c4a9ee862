"""How many dimensions a representation uses: its spectrum, its intrinsic dimension, and tables at equal numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_rows
from brainalign.geometry.network_similarity import centred, centred_pair, representation

# Units of the last place: what a network computes differently in another batch, and what storing a number costs.
COMPUTED, KEPT = 32, 4
# Where points lie so densely that this share of the distance to the tenth neighbour is less than what computing may
# change, closeness says nothing of copies: of points on a line one in some hundred has a neighbour so close.
CLOSE, NEIGHBOURS = 3e-4, 10
RANKS = (11, 100)  # the largest components are a few strong features, the smallest noise and the edge of the sample


def eigenspectrum(X: Values) -> NDArray[np.float64]:
    """Return the eigenvalues of the covariance of units (min(n_stimuli - 1, n_units),), largest first."""
    X = representation("X", X)
    sizes = np.linalg.svd(centred(X), compute_uv=False)
    return np.asarray(sizes[: max(min(len(X) - 1, X.shape[1]), 1)] ** 2 / max(len(X) - 1, 1))


def participation_ratio(X: Values) -> float:
    """Return (Σλ)² / Σλ² of the eigenvalues of the covariance: the number of dimensions that share the variance.

    White noise in p units has p / (1 + p/n) and not p: compare representations (n_stimuli, n_units) at the same number
    of stimuli only. NaN where all units are constant.

    References
    ----------
    Gao P et al. (2017). A theory of multineuronal dimensionality, dynamics and measurement. doi:10.1101/214262
    """
    values = eigenspectrum(X)
    return float(values.sum() ** 2 / (values**2).sum()) if values.any() else float("nan")


def rankme(X: Values, *, spectrum: Literal["singular", "eigen"] = "singular", center: bool = False) -> float:
    """Return the effective rank: exp of the entropy of s / Σs + 1e-7; NaN where there is no variation.

    Parameters
    ----------
    X : array (n_stimuli, n_units)
    spectrum : {"singular", "eigen"}
        s: singular values as in RankMe, or their squares, which is the effective rank of the covariance. The two differ
        much: name which one is reported.
    center : bool
        Subtract the mean of every unit; the paper does not.

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
    n_left_out : int
        Eigenvalues in the range that are not above 0: cross-validated ones may be negative.
    """

    exponent: float
    r2: float
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
        return PowerLaw(float("nan"), float("nan"), int((~seen).sum()))
    x, y = np.log(np.arange(first, last + 1)[seen]), np.log(values[seen])
    slope, spread = float(np.polyfit(x, y, 1)[0]), y.var()
    r2 = float(np.corrcoef(x, y)[0, 1] ** 2) if spread > 0 else 1.0
    return PowerLaw(-slope, r2, int((~seen).sum()))


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
    return np.asarray(np.einsum("ik,ik->k", U[:, :n_kept] * sizes[:n_kept], B @ Vt[:n_kept].T) / max(n - 1, 1))


@dataclass(frozen=True)
class TwoNN:
    """Intrinsic dimension from the two nearest neighbours.

    Attributes
    ----------
    dimension : float
        NaN where fewer than 3 different points remain.
    n : int
        Different points.
    n_duplicates : int
        Points left out because one that is equal but for rounding is there.
    """

    dimension: float
    n: int
    n_duplicates: int


def two_nn(X: Values) -> TwoNN:
    """Return the intrinsic dimension: (N - 1) / Σ log(r₂ / r₁) of the distances to the two nearest neighbours.

    Copies, also those that differ by the rounding of float32 alone, count once: their distance would say nothing of the
    dimension and outweigh all others. Within 10 % for up to 10 dimensions; more need far more points than there are (20
    dimensions, 1,500 points: 16). X is (n_stimuli, n_units).

    References
    ----------
    Facco E, d'Errico M, Rodriguez A, Laio A (2017). Estimating the intrinsic dimension of datasets by a minimal
    neighborhood information. Scientific Reports 7:12140. doi:10.1038/s41598-017-11873-y
    """
    from sklearn.neighbors import NearestNeighbors

    points = _different(X)
    n, n_duplicates = len(points), len(X) - len(points)
    if n < 3:
        return TwoNN(float("nan"), n, n_duplicates)
    distances = NearestNeighbors(n_neighbors=2).fit(points).kneighbors()[0]  # of others: never the point itself
    total = np.log(distances[:, 1] / distances[:, 0]).sum()
    return TwoNN(float((n - 1) / total) if total > 0 else float("inf"), n, n_duplicates)


def _different(X: Values) -> NDArray[np.float64]:
    """Return the points of a representation, centred, one of every group that are equal but for rounding.

    Whatever the numbers are kept in, they may have been computed in float32: that is what a distance is compared with,
    relative to the median distance from the middle, which no outlier moves, or to the median size of numbers that are
    kept in fewer digits. Only what lies so close to a point that stays is left out: a chain of close points is no copy.
    """
    from sklearn.neighbors import NearestNeighbors

    given = np.asarray(X)
    kept_in = np.finfo(given.dtype).eps if given.dtype.kind == "f" else 0.0
    points = np.unique(representation("X", X), axis=0)
    middle = np.asarray(points - np.median(points, axis=0))
    if len(points) < 2:
        return middle
    neighbours = NearestNeighbors().fit(middle)
    apart = neighbours.kneighbors(n_neighbors=min(NEIGHBOURS, len(points) - 1))[0][:, -1]
    spread, size = (float(np.median(np.linalg.norm(x, axis=1))) for x in (middle, points))
    computed = min(COMPUTED * float(np.finfo(np.float32).eps) * spread, CLOSE * float(np.median(apart)))
    rounding = max(computed, KEPT * kept_in * size)
    near = neighbours.radius_neighbors(radius=2 * rounding, return_distance=False)  # distances of many units are rough
    stays = np.ones(len(middle), dtype=bool)
    for i, others in enumerate(near):
        if stays[i] and len(others):
            later = others[others > i]
            stays[later[np.linalg.norm(middle[later] - middle[i], axis=1) <= rounding]] = False
    return middle[stays]


DIMENSIONS: dict[str, Callable[[Values], float]] = {
    "participation ratio": participation_ratio,
    "rankme": rankme,
    "rankme, eigenvalues": lambda X: rankme(X, spectrum="eigen", center=True),
    f"spectral exponent, ranks {RANKS[0]} to {RANKS[1]}": lambda X: (
        power_law(values).exponent if len(values := eigenspectrum(X)) >= RANKS[1] else float("nan")
    ),
    "two nearest neighbours": lambda X: two_nn(X).dimension,
}


def compare_dimensions(
    representations: Mapping[str, Values],
    measures: tuple[str, ...] = tuple(DIMENSIONS),
    n_stimuli: int | None = None,
    draws: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Return measures of dimension of several representations, at one number of stimuli.

    All of them depend on it: more stimuli show more dimensions. Unequal numbers are an error unless `n_stimuli` says
    at how many to compare; then every representation is measured on random subsets of its stimuli.

    Parameters
    ----------
    representations : mapping of array (n_stimuli, n_units)
    measures : tuple of str
        Keys of `DIMENSIONS`.
    n_stimuli : int, optional
        All if not given, where all have the same number.
    draws : int
        Random subsets; representations with the same stimuli share them.
    seed : int

    Returns
    -------
    DataFrame
        A row per representation and measure: name, measure, value (mean over draws), sd (over draws; NaN of one),
        n (stimuli used), n_available, n_units, n_duplicates (stimuli equal to another one, but for rounding).

    Raises
    ------
    BrainalignError
        If numbers of stimuli differ and `n_stimuli` is not given, or is more than a representation has.
    """
    for measure in measures:
        check_choice("measure", measure, DIMENSIONS)
    values = {name: representation(name, X) for name, X in representations.items()}
    sizes = {name: len(X) for name, X in values.items()}
    least = min(sizes, key=lambda name: sizes[name])
    most = max(sizes, key=lambda name: sizes[name])
    if n_stimuli is None and sizes[least] != sizes[most]:
        raise BrainalignError(
            f"{most} has {sizes[most]} stimuli but {least} has {sizes[least]}: measures of dimension grow with them; "
            f"give n_stimuli={sizes[least]} to compare all on random subsets of that size"
        )
    n = sizes[least] if n_stimuli is None else n_stimuli
    if not 3 <= n <= sizes[least]:
        raise BrainalignError(f"n_stimuli must be 3 to the {sizes[least]} stimuli of {least}; got {n}")
    rows = []
    for name, X in values.items():
        subsets = [np.random.default_rng([seed, draw]).permutation(len(X))[:n] for draw in range(draws)]
        chosen = [np.arange(n)] if n == len(X) else subsets
        n_duplicates = len(X) - len(_different(representations[name]))
        about = {"n": n, "n_available": len(X), "n_units": X.shape[1], "n_duplicates": n_duplicates}
        for measure in measures:
            # As they were given: what rounding is depends on what the numbers are kept in.
            found = np.array([DIMENSIONS[measure](np.asarray(representations[name])[some]) for some in chosen])
            sd = found.std(ddof=1) if len(found) > 1 else float("nan")
            rows.append({"name": name, "measure": measure, "value": found.mean(), "sd": sd} | about)
    return pd.DataFrame(rows)
