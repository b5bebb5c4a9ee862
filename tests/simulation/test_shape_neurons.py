"""Neurons that look at pixels: they must find what was drawn, and nothing where nothing was."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.simulation import PREFERENCES, SHAPE_NEURONS, draw_scenes, measure_things, render, true_responses
from brainalign.simulation.voxels import COLOURS, SHAPES


@pytest.mark.parametrize("textures", [("plain",), ("striped",)])
def test_things_are_measured_as_they_were_drawn(textures: tuple[str, ...]) -> None:
    scenes = draw_scenes(160, 3, textures=textures)
    things = measure_things(render(scenes, 32))
    assert (things.overlap.idxmax(axis=1).to_numpy() == scenes["shape"]).mean() >= 0.99
    assert things.valid.all()
    # A triangle's centre of gravity lies above the centre of its outline's box, never beside it.
    np.testing.assert_allclose(things.x, scenes["x"], atol=0.02)
    for shape in SHAPES:
        mine = (scenes["shape"] == shape).to_numpy()
        assert np.corrcoef(things.area[mine], scenes["size"][mine] ** 2)[0, 1] > 0.98


def test_neurons_prefer_what_they_are_named_for() -> None:
    scenes = draw_scenes(320, 4, textures=("plain",))
    found = true_responses(measure_things(render(scenes, 32)))
    for shape in SHAPES:
        mine = (scenes["shape"] == shape).to_numpy()
        assert found.loc[mine, shape].min() > found.loc[~mine, shape].max()
    red = (scenes["colour"] == "red").to_numpy()
    assert found.loc[red, "red"].min() > 0.7
    assert found.loc[~red, "red"].max() < 0.3  # yellow is the nearest hue
    both = ((scenes["colour"] == "blue") & (scenes["shape"] == "circle")).to_numpy()
    assert found.loc[both, "bluecircle"].min() > found.loc[~both, "bluecircle"].max()
    assert np.corrcoef(found["leftside"], scenes["x"])[0, 1] < -0.99


def test_every_selective_region_has_its_neuron() -> None:
    assert set(PREFERENCES) <= set(SHAPE_NEURONS)


def test_an_image_without_a_thing_gives_nothing() -> None:
    grey = np.full((2, 32, 32, 3), 128, np.uint8)
    things = measure_things(grey)
    assert not things.valid.any()
    assert (true_responses(things).to_numpy() == 0).all()


def test_scattered_pixels_are_no_shape() -> None:
    rng = np.random.default_rng(0)
    images = np.full((4, 32, 32, 3), 128, np.uint8)
    spots = rng.random((4, 32, 32)) < 0.2
    images[spots] = (np.array(COLOURS["red"]) * 255).astype(np.uint8)
    things = measure_things(images)
    assert not things.valid.any()
    assert (things.stray > 0.3).all()


def test_floats_and_bytes_are_the_same_image() -> None:
    images = render(draw_scenes(10, 5), 32)
    np.testing.assert_allclose(true_responses(measure_things(images)), true_responses(measure_things(images / 255)))


def test_images_of_another_shape_are_refused() -> None:
    refused(r"images \(n, size, size, 3\); got the shape \(2, 3, 32, 32\)", measure_things, np.zeros((2, 3, 32, 32)))
