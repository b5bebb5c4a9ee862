"""What figures of captions, words and encoders of images draw: on record, main marks held against tables."""

import importlib

import numpy as np
import pandas as pd
import pytest
from drawn import cells, panels, points, words
from made import changing, made

from brainalign.report.encoding_sections import encoders, few_images
from brainalign.report.synthesis_sections import grounding, voxel_captions

approx = pytest.approx


def test_explained_variance_by_images() -> None:
    methods = ["ridge_pooled", "shuffled_context", "in_context", "empirical_bayes"]
    rows = made({"group": ["V4", "PPA", "V1", "FFA", "LO"], "method": methods, "size": [100, 10, 20]}, "se",
                value="explained_variance")  # fmt: skip
    rows = rows.assign(beyond=rows["size"] == 100, ceiling=rows["group"].map({"V4": 0.8, "PPA": 0.7}))
    full = made({"group": ["V4", "PPA"], "method": ["ridge_full"]}, "se", value="explained_variance", seed=3)
    full = full.assign(size=400, beyond=False, ceiling=full["group"].map({"V4": 0.8, "PPA": 0.7}))
    rows.loc[0, "explained_variance"] = -3.0
    figure = few_images.context_curves(pd.concat([rows, full], ignore_index=True))
    for ax in panels(figure):
        part = rows[rows["group"] == ax.get_title()].sort_values("size")
        for method in methods:
            mine, marks = part[part["method"] == method], points(ax, few_images.METHODS[method][2])
            assert {m.x: m.y for m in marks} == dict(zip(mine["size"], mine["explained_variance"], strict=True))


def test_captions_of_voxels() -> None:
    rows = pd.DataFrame({"temperature": [np.inf, 3, 0, 30], "chosen": [False, True, False, False]})
    rows = changing(rows, ["score", "se"])
    voxel_captions.temperature_figure(rows)
    names = list(voxel_captions.LABELS)[::-1]
    rows = made({"region": ["V4", "PPA", "none", *(f"r{k}" for k in range(9))], "of": names}, value="r")
    sizes = {"V4": 30, "PPA": 50, "none": 0} | {f"r{k}": 20 - k for k in range(9)}
    voxel_captions.caption_scores_figure(rows.assign(n=rows["region"].map(sizes)))
    shares = {"V4": {"dog": 0.1, "house": 0.9}, "void": dict.fromkeys(("dog", "house"), np.nan)}
    shares["PPA"] = {"dog": 0.7, "house": 0.3}
    assert cells(panels(voxel_captions.noun_figure(shares))[0]).tolist() == [[0.1, 0.9], [0.7, 0.3]]
    many = {f"r{k}": {f"w{j}": 0.01 * j for j in range(21)} for k in range(10)}
    assert not words(panels(voxel_captions.noun_figure(many))[0])


def test_words_of_images_and_regions() -> None:
    spaces = ["ridge", "grounded", "shuffled", "words alone", "a", "b", "c"]
    rows = made({"space": spaces, "measure": ["top-5", "top-1", "rank"]}, "chance", "null_mean", "null_sd")
    rows["chance"] = rows.groupby("measure")["chance"].transform("first")
    grounding.retrieval_figure(rows.assign(null_sd=rows["null_sd"] / 10))
    positions = np.random.default_rng(0).normal(size=(70, 3))
    names = [f"w{k}" for k in range(70)]
    axes = pd.DataFrame({"axis": [1, 2, 3], "variance": [0.4, 0.2, 0.1], "name": ["size", "", "x"]})
    grounding.words_figure(positions, names, axes)
    grounding.words_figure(positions[:, :1], names, axes.head(1))
    rows = made({"group": ["V4", "PPA", "V1", "LO"], "text": [f"t{k}" for k in range(7)]}, value="selectivity")
    rows = rows.assign(chance=rows["group"].map({"V4": 0.4, "PPA": 0.5, "V1": 0.45, "LO": 0.3}))
    few_images.text_bars(rows)


def test_where_regions_look() -> None:
    rng = np.random.default_rng(0)
    fields = rng.random((2, 3, 6))
    fields[1, 2] = 0
    pictures = {"s1": rng.integers(0, 255, (6, 4, 3)).astype(np.uint8)}
    names = ["V4", "PPA", "V1"]
    shown = panels(encoders.attention_maps(fields, (2, 3), names, ["s0", "s1"], pictures))
    magma = importlib.import_module("matplotlib").colormaps["magma"]
    for row in range(3):
        for column in range(2):
            ax, field = shown[2 * row + column], fields[column, row].reshape(2, 3)
            shade = field / (field.max() or 1)
            np.testing.assert_allclose(np.asarray(ax.images[-1].get_array())[..., :3], magma(shade)[..., :3])
            if column:
                np.testing.assert_allclose(np.asarray(ax.images[-1].get_array())[..., 3], 0.25 + 0.6 * shade)
                np.testing.assert_allclose(cells(ax), pictures["s1"].mean(axis=2))
    encoders.field_maps(rng.random((8, 6)), (2, 3), [f"r{k}" for k in range(8)])  # in rows
    fields = np.arange(12.0).reshape(2, 6)
    encoders.field_maps(fields, (2, 3), ["a", "b"])
