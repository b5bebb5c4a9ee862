"""Neurons that look at pixels: they must find what was drawn, and nothing where nothing was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.simulation import (
    PREFERENCES,
    SHAPE_NEURONS,
    caption,
    draw_scenes,
    measure_things,
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


def test_what_is_no_thing_gives_nothing() -> None:
    images = np.full((6, 32, 32, 3), 128, np.uint8)  # two of nothing, four of scattered spots
    images[2:][np.random.default_rng(0).random((4, 32, 32)) < 0.2] = (np.array(COLOURS["red"]) * 255).astype(np.uint8)
    things = measure_things(images)
    assert not things.valid.any()
    assert (true_responses(things)[:2].to_numpy() == 0).all()
    assert (things.stray[2:] > 0.3).all()


def test_captions_floats_and_bad_scenes() -> None:
    scenes = draw_scenes(200, 5)
    assert [caption(scene) for _, scene in scenes.iterrows()] == scenes["caption"].tolist()
    look = {"shape": "circle", "colour": "red", "texture": "plain", "size": 0.29, "x": 0.34, "y": 0.34, "ground": 0.36}
    assert caption(pd.Series(look)) == "a large red circle in the upper left on a dark background"
    images = render(scenes[:10], 32)
    np.testing.assert_allclose(true_responses(measure_things(images)), true_responses(measure_things(images / 255)))
    assert set(PREFERENCES) <= set(SHAPE_NEURONS)
    refused("did you mean 'circle'", render, scenes.assign(shape="circel"))
    refused("at least 1", draw_scenes, 0)
    refused("positive number of pixels", render, scenes, 0)
    refused(r"got the shape \(2, 3, 32, 32\)", measure_things, np.zeros((2, 3, 32, 32)))
