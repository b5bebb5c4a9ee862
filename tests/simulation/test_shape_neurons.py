"""Neurons that look at pixels: they must find what was drawn, and nothing where nothing was."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.simulation import (
    PREFERENCES,
    SHAPE_NEURONS,
    caption,
    draw_scenes,
    measure_things,
    preferences,
    render,
    true_responses,
)
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


# --- shapes -----------------------------------------------------------------------------------------------------------


# The renderer: what the table says is what the image shows, at any size.


def test_one_table_renders_alike_at_two_sizes() -> None:
    scenes = draw_scenes(30, 1)
    small = render(scenes, 32).astype(float)
    shrunk = render(scenes, 128).reshape(30, 32, 4, 32, 4, 3).mean(axis=(2, 4))
    assert np.abs(small - shrunk).mean() < 1.5  # of 255
    assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.99


def test_images_show_colour_size_and_place() -> None:
    scenes = draw_scenes(64, 2, textures=("plain",))
    images = render(scenes, 128) / 255.0
    place = (np.arange(128) + 0.5) / 128
    for (_, scene), image in zip(scenes.iterrows(), images, strict=True):
        inside = np.abs(image - np.array(COLOURS[scene["colour"]])).max(axis=2) < 0.02
        rows, columns = place[inside.any(axis=1)], place[inside.any(axis=0)]
        assert (columns[0] + columns[-1]) / 2 == pytest.approx(scene["x"], abs=0.012)
        if scene["shape"] in {"circle", "cross"}:
            assert (rows[-1] - rows[0]) / 2 == pytest.approx(scene["size"], abs=0.012)
            assert (rows[0] + rows[-1]) / 2 == pytest.approx(scene["y"], abs=0.012)
        corner = image[0, 0]
        assert corner == pytest.approx(corner[0])  # grey
        assert corner[0] == pytest.approx(scene["ground"], abs=0.1)


def test_captions_say_what_the_table_says() -> None:
    scenes = draw_scenes(200, 5)
    for _, scene in scenes.iterrows():
        text = caption(scene)
        assert text == scene["caption"]
        assert f" {scene['colour']} " in text
        assert f" {scene['shape']} " in text
        assert (" striped " in text) == (scene["texture"] == "striped")
        assert ("large" in text) <= (scene["size"] > 0.25)
        assert ("left" in text) <= (scene["x"] < 0.45)
        assert ("lower" in text) <= (scene["y"] > 0.55)
    scene = scenes.iloc[0].copy()
    scene["shape"], scene["colour"], scene["texture"] = "circle", "red", "plain"
    scene["size"], scene["x"], scene["y"], scene["ground"] = 0.29, 0.34, 0.34, 0.36
    assert caption(scene) == "a large red circle in the upper left on a dark background"


def test_kinds_are_balanced() -> None:
    scenes = draw_scenes(320, 0)
    assert set(scenes.groupby(["shape", "colour", "texture"]).size()) == {10}


def test_preferences_are_functions_of_the_scene() -> None:
    scenes = draw_scenes(320, 0)
    true = preferences(scenes)
    assert ((true["red"] > 0).to_numpy() == (scenes["colour"] == "red").to_numpy()).all()
    blue_circle = (scenes["shape"] == "circle") & (scenes["colour"] == "blue")
    assert ((true["bluecircle"] > 0).to_numpy() == blue_circle.to_numpy()).all()
    assert np.corrcoef(true["large"], scenes["size"])[0, 1] > 0.98
    np.testing.assert_allclose(true.std(ddof=0), 1)


def test_bad_scenes_are_named() -> None:
    scenes = draw_scenes(2, 0)
    refused("did you mean 'circle'", render, scenes.assign(shape="circel"))
    refused("at least 1", draw_scenes, 0)
    refused("positive number of pixels", render, scenes, 0)
