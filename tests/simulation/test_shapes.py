"""The renderer: what the table says is what the image shows, at any size."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.simulation import caption, draw_scenes, preferences, render
from brainalign.simulation.voxels import COLOURS


def test_same_seed_same_scenes_and_pixels() -> None:
    a, b = draw_scenes(40, 3), draw_scenes(40, 3)
    assert a.equals(b)
    np.testing.assert_array_equal(render(a, 64), render(b, 64))
    assert not a.equals(draw_scenes(40, 4))


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
