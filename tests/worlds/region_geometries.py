"""Regions whose geometry subjects share, seen through what they do not share: maps, noise, odd stimuli, warps."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

N_LATENT, N_CHANNELS = 8, 60
OWN = 0.5  # of a region, beside what all regions share
DISPLACED, DISPLACEMENT = 4, 3.0  # stimuli, and how far in units of the latent
REGION_REGIMES = {"outliers": 1.5, "isotropic": 2.5}  # sd of the noise of a channel


def region_patterns(regime: str, n_subjects=12, n_regions=6, n_stimuli=40, seed=0, signal=1.0) -> Values:
    """Simulate patterns of regions in subjects, (n_subjects, n_regions, n_stimuli, 60). Regions share a latent of 8
    dimensions and differ by half as much; every subject maps the latent of every region onto channels of its own,
    with independent noise. In "outliers" four stimuli of every subject and region lie elsewhere, as idiosyncratic
    experience would have it, under noise of sd 1.5; "isotropic" is noise alone, of sd 2.5. A signal of 0 leaves no
    region anything of its own."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(1, n_stimuli, N_LATENT))
    latent = latent + signal * OWN * rng.normal(size=(n_regions, n_stimuli, N_LATENT))
    seen = np.repeat(latent[None], n_subjects, axis=0)
    if regime == "outliers":
        odd = rng.random((n_subjects, n_regions, n_stimuli)).argsort(axis=-1) < DISPLACED
        seen[odd] += DISPLACEMENT * rng.normal(size=(int(odd.sum()), N_LATENT))
    patterns = seen @ (rng.normal(size=(n_subjects, n_regions, N_LATENT, N_CHANNELS)) / np.sqrt(N_LATENT))
    return np.asarray(patterns + REGION_REGIMES[regime] * rng.normal(size=patterns.shape))


def dependent_pair(relation: str, n: int, rng: np.random.Generator) -> tuple[Values, Values]:
    """Simulate two variables, (n,) each, that are related as a key of `RELATIONS` says."""
    return RELATIONS[relation](rng.random(n), rng)


RELATIONS: dict[str, Callable[[Values, np.random.Generator], tuple[Values, Values]]] = {
    "independent": lambda x, rng: (x, rng.random(len(x))),
    "linear": lambda x, rng: (x, x + 0.75 * rng.normal(size=len(x))),
    "sine": lambda x, rng: (x, np.sin(8 * np.pi * x) + 0.2 * rng.normal(size=len(x))),
    "circle": lambda x, rng: [np.cos(2 * np.pi * x), np.sin(2 * np.pi * x)] + 0.1 * rng.normal(size=(2, len(x))),
    "checkerboard": lambda x, rng: (
        4 * x, 2 * rng.integers(0, 2, len(x)) + np.floor(4 * x) % 2 + rng.random(len(x)),
    ),
}  # fmt: skip
