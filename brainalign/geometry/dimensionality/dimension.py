"""Intrinsic dimension of a representation, and its geometry measured beside others at the same number of stimuli."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice
from brainalign.geometry.dimensionality.spectra import RANKS, eigenspectrum, participation_ratio, power_law, rankme
from brainalign.geometry.network_similarity import representation

# Units of the last place: what a network computes differently in another batch, and what storing a number costs.
COMPUTED, KEPT = 32, 4
# Where points lie so densely that this share of the distance to the tenth neighbour is less than what computing may
# change, closeness says nothing of copies: of points on a line one in some hundred has a neighbour so close.
CLOSE, NEIGHBOURS = 3e-4, 10


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
    dimensions, 1,500 points: 16).

    Parameters
    ----------
    X : array (n_stimuli, n_units)

    Returns
    -------
    TwoNN

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
    logs = np.log(distances[:, 1] / distances[:, 0])
    total = logs.sum()
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
    exact = representation("X", X)
    points = np.unique(exact, axis=0)
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


def _exponent(X: Values) -> float:
    values = eigenspectrum(X)
    return power_law(values).exponent if len(values) >= RANKS[1] else float("nan")


DIMENSIONS: dict[str, Callable[[Values], float]] = {
    "participation ratio": participation_ratio,
    "rankme": rankme,
    "rankme, eigenvalues": lambda X: rankme(X, spectrum="eigen", center=True),
    f"spectral exponent, ranks {RANKS[0]} to {RANKS[1]}": _exponent,
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
            found = np.array([DIMENSIONS[measure](X[subset]) for subset in chosen])
            sd = found.std(ddof=1) if len(found) > 1 else float("nan")
            rows.append({"name": name, "measure": measure, "value": found.mean(), "sd": sd} | about)
    return pd.DataFrame(rows)
