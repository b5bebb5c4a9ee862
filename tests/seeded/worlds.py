"""Small data that cases share."""

import numpy as np

from brainalign.encoding import Ridge

RNG = np.random.default_rng
X, Y = RNG(1).normal(size=(2, 24, 6))


def ridge() -> Ridge:
    return Ridge(alphas=(1.0,), cv=2, device="cpu")
