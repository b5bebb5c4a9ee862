from __future__ import annotations

import numpy as np
import pytest
from worlds.hierarchy import R_CEILING, hierarchy, smooth_maps


def test_the_world_is_what_it_says() -> None:
    world = hierarchy(seed=3)
    assert len(world.layers) == len(world.random_layers) == 6
    assert world.voxels.shape == (600, 108)
    assert world.sensors.shape == (600, 30, 60)
    assert pytest.approx(0.573, abs=0.001) == R_CEILING
    assert world.voxels.var(axis=0).mean() == pytest.approx(1.49, abs=0.05)
    assert np.corrcoef(world.depth, world.distance_mm)[0, 1] > 0.95
    assert world.separation_mm.max() > world.distance_mm.max()  # a sheet, not a line
    assert world.latency_s == pytest.approx([0.08, 0.13, 0.18, 0.23, 0.28, 0.33])


def test_voxels_are_linear_in_the_layers_beside_their_depth() -> None:
    world = hierarchy(n_images=2000, seed=1)
    voxel = world.voxels[:, world.area == 7][:, 0]  # depth 2.06: layers 2 and 3
    for layer, expected in ((2, R_CEILING), (5, 0.45)):
        X = np.column_stack([world.layers[layer], np.ones(2000)])
        r = np.corrcoef(X @ np.linalg.lstsq(X, voxel)[0], voxel)[0, 1]
        assert (r > 0.95 * expected) if layer == 2 else (r < expected)


def test_sensors_carry_each_layer_at_its_time() -> None:
    world = hierarchy(n_images=2000, seed=1)
    power = world.sensors.var(axis=0).mean(axis=0) - 9  # the noise
    assert np.abs(power[world.times_s < 0]).max() < 0.2
    assert power[(world.times_s > 0.07) & (world.times_s < 0.34)].min() > 0.5


def test_smooth_maps_have_their_length() -> None:
    line = np.arange(30.0) * 4
    maps = smooth_maps(np.abs(line[:, None] - line), 20, 3000, seed=1)
    found = (maps[:, 0] * maps[:, 5]).mean()  # 20 mm apart
    assert maps.var(axis=0).mean() == pytest.approx(1, abs=0.05)
    assert found == pytest.approx(np.exp(-0.5), abs=0.06)
