"""Small data that cases share."""

import numpy as np

from brainalign import geometry
from brainalign.encoding import Ridge

RNG = np.random.default_rng
N = 8  # stimuli
X, Y = RNG(1).normal(size=(2, 24, 6))
WORLD = RNG(2)
SUBJECTS, MODELS = (geometry.rdm(WORLD.normal(size=(4, 12, 5)), "euclidean") for _ in range(2))
REGIONS = geometry.rdm(WORLD.normal(size=(4, 3, N, 5)), "euclidean")
TRIPLETS = np.stack([WORLD.permutation(10)[:3] for _ in range(150)])
GROUPS = np.repeat(np.arange(5), 2)
CLUSTERS = np.repeat(np.arange(4), 6)
R = WORLD.normal(size=(20, 30, 4))  # repeats, stimuli, targets


def ridge() -> Ridge:
    return Ridge(alphas=(1.0,), cv=2, device="cpu")
