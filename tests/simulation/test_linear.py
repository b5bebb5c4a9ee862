from __future__ import annotations

import numpy as np
from refusals import refused

from brainalign.simulation import linear_world


def test_plants_what_it_says() -> None:
    ceiling = np.repeat([0.0, 0.3, 0.8, 1.0], 50)
    world = linear_world(2000, 15, 3, ceiling, seed=1)
    np.testing.assert_allclose(world.X @ world.weights, world.signal)
    # Features are independent and of unit variance, so the variance of the signal is that of its weights.
    np.testing.assert_allclose(np.square(world.weights).sum(axis=0), ceiling)
    noise = world.repeats - world.signal
    for level in np.unique(ceiling):
        these = noise[:, :, ceiling == level]
        standard_error = (1 - level) * np.sqrt(2 / these.size)
        assert abs(these.var() - (1 - level)) <= 4 * standard_error
    again = linear_world(2000, 15, 3, ceiling, seed=1)
    np.testing.assert_array_equal(again.repeats, world.repeats)


def test_ceilings_are_shares() -> None:
    refused(r"shares in \[0, 1\]", linear_world, 10, 2, 2, [1.2])
