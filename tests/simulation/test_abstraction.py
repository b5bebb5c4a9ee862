from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.simulation import abstraction_world


def test_plants_what_it_says() -> None:
    world = abstraction_world(seed=1)
    assert len(world.basic) == 320
    assert np.bincount(world.basic).tolist() == [4] * 80
    assert np.bincount(world.superordinate).tolist() == [32] * 10
    # Basic categories of one superordinate category look like those of eight different ones.
    assert len({*zip(world.superordinate.tolist(), world.lookalike.tolist(), strict=True)}) == 80
    assert np.diag(world.similarities).mean() == pytest.approx(6)
    np.testing.assert_array_equal(abstraction_world(seed=1).features, world.features)


def test_people_see_superordinate_categories_and_networks_lookalikes() -> None:
    world = abstraction_world(seed=2)
    i, j = np.triu_indices(320, 1)
    kin = world.superordinate[i] == world.superordinate[j]
    alike = world.lookalike[i] == world.lookalike[j]
    for values, mine, other in [
        (world.similarities, kin, alike),
        (np.corrcoef(world.features), alike, kin),
        (np.corrcoef(world.others), alike, kin),
    ]:
        pairs = values[i, j]
        assert pairs[mine & ~other].mean() > pairs[other & ~mine].mean()


def test_choices_are_drawn_as_probable_as_they_are() -> None:
    world, rng = abstraction_world(4, 3, 2, seed=3), np.random.default_rng(0)
    triplets, p = world.judge(np.tile([0, 5, 12], (4000, 1)), rng)
    chosen = np.array([(triplets[:, 2] == k).mean() for k in (0, 5, 12)])
    expected = [float(p[triplets[:, 2] == k, 2][0]) for k in (0, 5, 12)]
    np.testing.assert_allclose(chosen, expected, atol=0.03)
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_what_cannot_be_built() -> None:
    refused("cannot look like", abstraction_world, n_superordinate=3, n_basic=4)
    refused("cannot hold 26 dimensions", abstraction_world, n_features=20)
