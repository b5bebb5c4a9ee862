"""Regions whose geometry subjects share, seen through what they do not share: maps, noise, odd stimuli, warps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import check_choice

__all__ = ["REGION_REGIMES", "SwissRoll", "region_patterns", "swiss_roll"]

Values = NDArray[np.float64]

N_LATENT, N_CHANNELS = 8, 60
OWN = 0.5  # of a region, beside what all regions share
DISPLACED, DISPLACEMENT = 4, 3.0  # stimuli, and how far in units of the latent
REGION_REGIMES = {"outliers": 1.5, "isotropic": 2.5}  # sd of the noise of a channel


def region_patterns(
    regime: str, n_subjects: int = 12, n_regions: int = 6, n_stimuli: int = 40, seed: int = 0, signal: float = 1.0
) -> Values:
    """Simulate patterns of regions in subjects, (n_subjects, n_regions, n_stimuli, 60).

    Regions share a latent of 8 dimensions and differ by half as much; every subject maps the latent of every region
    onto channels of its own, with independent noise.

    Parameters
    ----------
    regime : {"outliers", "isotropic"}
        In "outliers" four stimuli of every subject and region lie elsewhere, as idiosyncratic experience would have it,
        under noise of sd 1.5; "isotropic" is noise alone, of sd 2.5.
    n_subjects, n_regions, n_stimuli, seed : int
    signal : float
        0 leaves no region anything of its own.

    Examples
    --------
    >>> region_patterns("outliers", 3, 2, 10).shape
    (3, 2, 10, 60)
    """
    check_choice("regime", regime, REGION_REGIMES)
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(1, n_stimuli, N_LATENT)) + signal * OWN * rng.normal(
        size=(n_regions, n_stimuli, N_LATENT)
    )
    seen = np.repeat(latent[None], n_subjects, axis=0)
    if regime == "outliers":
        odd = rng.random((n_subjects, n_regions, n_stimuli)).argsort(axis=-1) < DISPLACED
        seen[odd] += DISPLACEMENT * rng.normal(size=(int(odd.sum()), N_LATENT))
    maps = rng.normal(size=(n_subjects, n_regions, N_LATENT, N_CHANNELS)) / np.sqrt(N_LATENT)
    patterns = seen @ maps
    return np.asarray(patterns + REGION_REGIMES[regime] * rng.normal(size=patterns.shape))


@dataclass(frozen=True)
class SwissRoll:
    """Points on a rolled sheet.

    Attributes
    ----------
    points : array (n, 3)
    intrinsic : array (n, 2)
        Arc length along the spiral, and height.
    """

    points: Values
    intrinsic: Values


def swiss_roll(n: int, seed: int = 0) -> SwissRoll:
    """Simulate points spread evenly in angle and height over a sheet rolled up one and a half times.

    References
    ----------
    Tenenbaum JB, de Silva V, Langford JC (2000). A global geometric framework for nonlinear dimensionality reduction.
    Science 290:2319-2323. doi:10.1126/science.290.5500.2319
    """
    rng = np.random.default_rng(seed)
    angle = 1.5 * np.pi * (1 + 2 * rng.random(n))
    height = 21 * rng.random(n)
    arc = (angle * np.sqrt(1 + angle**2) + np.arcsinh(angle)) / 2
    points = np.column_stack([angle * np.cos(angle), height, angle * np.sin(angle)])
    return SwissRoll(points, np.column_stack([arc, height]))
