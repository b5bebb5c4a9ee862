from __future__ import annotations

import numpy as np
import pytest
from worlds.shifting import shifting_fields


def test_plants_what_it_says() -> None:
    world = shifting_fields(3000, 1000, 8, seed=1)
    assert world.tokens.std() == pytest.approx(1, rel=0.02)
    np.testing.assert_allclose(world.signal.std(axis=0), 1)
    noise = world.responses - world.signal
    assert noise[world.train].std() == pytest.approx(0.7, rel=0.02)
    assert noise[world.test].std() == pytest.approx(0.4, rel=0.02)
    assert world.shifting.tolist() == [True] * 4 + [False] * 4
    assert not world.shifts[:, ~world.shifting].any()
    # Shifts are .45 of the first two semantic values, which carry noise of sd .05.
    apart = world.shifts[:, 0] - 0.45 * world.semantics[:, :2]
    assert apart.std() == pytest.approx(0.45 * 0.05, rel=0.1)
    again = shifting_fields(3000, 1000, 8, seed=1)
    np.testing.assert_array_equal(again.responses, world.responses)


def test_signals_are_fields_at_their_places() -> None:
    """Written out for single images: x goes with columns, y with rows."""
    world = shifting_fields(20, 20, 4, seed=2)
    ratios = []
    for image, voxel in [(0, 0), (7, 0), (31, 0), (3, 3), (33, 3)]:
        x, y = world.base[voxel] + world.shifts[image, voxel]
        weights = np.array(
            [
                np.exp(-((col * 2 / 9 - 1 - x) ** 2 + (row * 2 / 9 - 1 - y) ** 2) / (2 * 0.22**2))
                for row in range(10)
                for col in range(10)
            ]
        )
        expected = weights / weights.sum() @ world.tokens[image] @ world.weights[voxel]
        ratios.append(world.signal[image, voxel] / expected)
    np.testing.assert_allclose(ratios, 1)
