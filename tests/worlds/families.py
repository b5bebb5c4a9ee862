"""Families of feature spaces, and regions that follow one of them, several alike, or none.

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

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values

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
