"""Correlation of a map over a few areas with another, against unrelated maps as smooth as it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite

MAX_AREAS = 500  # every covariance is decomposed: more areas are for the spin test
MIN_AREAS = 4
NUGGETS = (0.0, 0.01, 0.03, 0.1, 0.3, 0.6)
N_LENGTHS = 20
JITTER = 1e-7  # of the variance: what the smoothest covariances need to have an inverse
TIE = 1e-9
KERNELS: dict[str, Callable[[Values], Values]] = {
    "gaussian": lambda x: np.exp(-(x**2) / 2),
    "matern": lambda x: (1 + np.sqrt(3) * x) * np.exp(-np.sqrt(3) * x),
    "exponential": lambda x: np.exp(-x),
}


@dataclass(frozen=True)
class SmoothMapTest:
    """Correlations of maps with a target, and their p.

    Attributes
    ----------
    r : array (n_maps,)
    p : array (n_maps,)
        Against smooth random maps.
    length_mm : array (n_maps,)
        Mean over the likelihood of the correlation length.
    null_sd : array (n_maps,)
        Standard deviation of the correlations of smooth random maps with the target; their mean is 0.
    """

    r: NDArray[np.float64]
    p: NDArray[np.float64]
    length_mm: NDArray[np.float64]
    null_sd: NDArray[np.float64]


def smooth_map_test(
    maps: Values,
    target: Values,
    separation_mm: Values,
    *,
    alternative: Literal["greater", "two-sided"] = "two-sided",
    n_surrogates: int = 2000,
    seed: int = 0,
) -> SmoothMapTest:
    """Correlate maps with a target over areas; the null keeps the spatial autocorrelation of each map.

    Surrogates are Gaussian random fields on the same areas. Their covariance (one of three kernels; twenty correlation
    lengths from half the spacing of areas to the largest separation; six shares of independent noise) is not fitted and
    then trusted, as a matched variogram is: a dozen areas say little about it. Each covariance enters with the
    restricted likelihood that the map gives it (the mean over areas being unknown), and
    p = Σ likelihood · share of its surrogates whose r reaches the observed one. A map that is a trend over all areas
    is as smooth as the areas are wide, so p is larger where separations lie on a line than on a sheet.

    Parameters
    ----------
    maps : array (n_areas,) or (n_maps, n_areas)
    target : array (n_areas,)
        For example distance from V1.
    separation_mm : array (n_areas, n_areas)
        Distance between areas, along the cortex or straight.
    alternative : {"greater", "two-sided"}
    n_surrogates : int
        Of every covariance.
    seed : int

    Raises
    ------
    BrainalignError
        If shapes do not fit, values are not finite, a map or the target is constant, or there are fewer than 4 or more
        than `MAX_AREAS` areas.

    References
    ----------
    Burt JB, Helmer M, Shinn M, Anticevic A, Murray JD (2020). Generative modeling of brain maps with spatial
    autocorrelation. NeuroImage 220:117038. doi:10.1016/j.neuroimage.2020.117038
    Patterson HD, Thompson R (1971). Recovery of inter-block information when block sizes are unequal. Biometrika
    58:545-554. doi:10.1093/biomet/58.3.545
    """
    check_choice("alternative", alternative, {"greater", "two-sided"})
    maps, target = np.atleast_2d(np.asarray(maps, dtype=np.float64)), np.asarray(target, dtype=np.float64)
    separation = np.asarray(separation_mm, dtype=np.float64)
    _check(maps, target, separation)
    n, direction = len(target), target - target.mean()
    noise = np.random.default_rng(seed).normal(size=(n_surrogates, n))
    squares, nuggets = noise**2, np.array(NUGGETS)[:, None]
    r = 1 - cdist(maps, target[None], "correlation")[:, 0]
    size = np.abs if alternative == "two-sided" else np.positive
    reached = size(r) - TIE
    likelihoods, tails, lengths, spreads = (list[Any]() for _ in range(4))
    nearest = np.where(np.eye(n, dtype=bool), np.inf, separation).min(axis=1).mean()
    grid = np.geomspace(nearest / 2, separation.max(), N_LENGTHS)
    for kernel in KERNELS.values():
        for length in grid:
            values, vectors = np.linalg.eigh(kernel(separation / length))
            values = np.maximum(values, 0)  # distances along a folded sheet are not quite Euclidean
            ones = vectors.sum(axis=0)
            variances = (1 - nuggets) * values + nuggets + JITTER  # (n_nuggets, n_areas)
            likelihoods.extend(_restricted_likelihood(maps @ vectors, ones, variances))
            scale = np.sqrt(variances)
            norms = variances @ squares.T - (scale * ones @ noise.T) ** 2 / n  # of surrogates less their mean
            nulls = scale * (direction @ vectors) @ noise.T / np.sqrt(norms) / np.linalg.norm(direction)
            tails.extend(n_surrogates - np.searchsorted(null, reached) for null in np.sort(size(nulls)))
            lengths.extend([length] * len(nuggets))
            spreads.extend((nulls**2).mean(axis=1))
    weights = np.exp(np.array(likelihoods) - np.max(likelihoods, axis=0))
    weights /= weights.sum(axis=0)
    return SmoothMapTest(
        r=r,
        p=(1 + (weights * np.array(tails)).sum(axis=0)) / (1 + n_surrogates),
        length_mm=(weights * np.array(lengths)[:, None]).sum(axis=0),
        null_sd=np.sqrt((weights * np.array(spreads)[:, None]).sum(axis=0)),
    )


def _check(maps: Values, target: Values, separation: Values) -> None:
    n = len(target)
    if target.ndim != 1 or maps.ndim != 2 or maps.shape[1] != n or separation.shape != (n, n):
        raise BrainalignError(
            f"target of shape {target.shape} needs maps (n_maps, n_areas) and separations (n_areas, n_areas); got "
            f"{maps.shape} and {separation.shape}"
        )
    if not MIN_AREAS <= n <= MAX_AREAS:
        raise BrainalignError(
            f"smooth random maps need {MIN_AREAS} to {MAX_AREAS} areas; got {n}; "
            + ("decide more areas" if n < MIN_AREAS else "give the spins of a sphere instead")
        )
    for name, values in (("maps", maps), ("target", target), ("separation_mm", separation)):
        check_finite(name, values, "leave out areas without a value")
    for name, values in (("a map", maps), ("the target", target[None])):
        if (np.ptp(values, axis=1) <= 1e-12 * np.abs(values).max(axis=1)).any():
            raise BrainalignError(f"{name} is the same in all {n} areas; a correlation needs values that differ")
    if not np.allclose(separation, separation.T) or separation.min() < 0 or not separation.max() > 0:
        raise BrainalignError("separation_mm must be symmetric, >= 0 and not all 0; give distances between areas in mm")


def _restricted_likelihood(rotated: Values, ones: Values, variances: Values) -> NDArray[np.float64]:
    """Return the log restricted likelihood (n_covariances, n_maps) of each map, its mean and scale left free.

    Maps (n_maps, n_areas), the constant map, `ones`, and variances (n_covariances, n_areas) are in the eigenvectors.
    """
    precision = (1 / variances) @ ones**2
    mean = (1 / variances) @ (rotated * ones).T / precision[:, None]
    rest = ((rotated - mean[:, :, None] * ones) ** 2 / variances[:, None]).sum(axis=2)
    free = np.log(variances).sum(axis=1) + np.log(precision)
    return np.asarray(-(free[:, None] + (variances.shape[1] - 1) * np.log(rest)) / 2)
