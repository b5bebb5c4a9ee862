"""Regions whose geometry subjects share, seen through what they do not share: maps, noise, odd stimuli, warps; families
of feature spaces, and regions that follow one of them, several alike, or none.

Every family has two layers of 20 features. A layer is half what all families share and half its own; the first layer
has nothing of what the regions follow. Targets are random mixtures of 20 directions:

    only <family>      a share `lead` of the signal's variance from what that family's second layer has alone, the rest
                       from what is shared, which every second layer knows equally well
    <one> and <other>  the same share from what two families have alone, half from each: they are equally good
    all                what is shared, and nothing else: all families are equally good
    none               no signal

Averages over repeats hold `ceiling` of their variance as signal. With 200 training images, 100 test images, a ceiling
of .4 and lead .5 the leading family is ahead by about .13 in r.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values

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


FAMILIES = ("response-optimised", "task-optimised", "language")
N_IMAGES, N_FEATURES = 300, 20  # of a layer
CEILING = 0.4
SHARED = 0.5  # of a layer's variance: what all families have


@dataclass(frozen=True)
class FamilyWorld:
    features: dict[str, list[Values]]  # dict of lists of arrays (n_images, 20): two layers by family
    responses: Values  # (n_images, n_targets): averages over repeats
    regions: dict[str, NDArray[np.intp]]  # dict of arrays of target numbers
    winners: dict[str, str]  # dict: The family that is ahead in each region; "" where none is


def family_world(n_targets: int = 20, *, lead: float = 0.5, seed: int = 0) -> FamilyWorld:
    """Draw features and responses, `n_targets` a region; `lead` is the share that only the leading family knows."""
    rng = np.random.default_rng([seed, 0xFA])
    shared = rng.normal(size=(N_IMAGES, N_FEATURES))
    own = {family: rng.normal(size=(N_IMAGES, N_FEATURES)) for family in FAMILIES}
    features = {}
    for family, alone in own.items():
        first = rng.normal(size=(N_IMAGES, N_FEATURES))
        rotation = np.linalg.qr(rng.normal(size=(N_FEATURES, N_FEATURES)))[0]
        features[family] = [first, np.sqrt(SHARED) * shared @ rotation + np.sqrt(1 - SHARED) * alone]
    leaders: dict[str, tuple[str, ...]] = {f"only {family}": (family,) for family in FAMILIES}
    leaders |= {f"{one} and {other}": (one, other) for one, other in combinations(FAMILIES, 2)}
    regions, winners, parts = {}, {}, []
    for number, region in enumerate([*leaders, "all", "none"]):
        regions[region] = np.arange(number * n_targets, (number + 1) * n_targets)
        leading = leaders.get(region, ())
        winners[region] = leading[0] if len(leading) == 1 else ""
        signal = np.sqrt(1 - lead if leading else 1) * _mixture(shared, n_targets, rng)
        for family in leading:
            signal += np.sqrt(lead / len(leading)) * _mixture(own[family], n_targets, rng)
        share = 0.0 if region == "none" else CEILING
        parts.append(np.sqrt(share) * signal + np.sqrt(1 - share) * rng.normal(size=signal.shape))
    return FamilyWorld(features, np.concatenate(parts, axis=1), regions, winners)


def _mixture(source: Values, n_targets: int, rng: np.random.Generator) -> Values:
    weights = rng.normal(size=(source.shape[1], n_targets))
    return np.asarray(source @ (weights / np.linalg.norm(weights, axis=0)))
