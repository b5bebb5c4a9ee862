"""What figures of captions, words and encoders of images draw, held against the tables behind them."""

import importlib

import numpy as np
import pandas as pd
import pytest
from drawn import bands, bars, cells, curves, legend, lengths, levels, over, panels, points, spans, ticks, words
from made import changing, made

from brainalign.report.encoding_sections import encoders, few_images
from brainalign.report.kit import canvas
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
    shown, colours = panels(figure), legend(figure)
    for ax in shown:
        part = rows[rows["group"] == ax.get_title()].sort_values("size")
        for method in methods:
            mine = part[part["method"] == method]
            label, _, marker = few_images.METHODS[method]
            line, marks = mine["explained_variance"], points(ax, marker)
            assert {mark.x: mark.y for mark in marks} == dict(zip(mine["size"], line, strict=True))
            assert marker == "x" or [mark.hollow for mark in marks] == mine["beyond"].tolist()  # a cross has no face
            assert line.tolist() in [y for _, y in curves(ax)[""]]
            around = np.c_[line - mine["se"], line + mine["se"]]
            assert any(np.allclose(list(band.values()), around) for band in bands(ax))
            assert label in colours
        own = full[full["group"] == ax.get_title()]
        assert levels(ax).get("ridge, all training images", []) == own["explained_variance"].tolist()
        assert levels(ax).get("noise ceiling", []) == part["ceiling"].dropna().tolist()[:1]
        assert levels(ax)["the mean"] == [0]


def test_captions_by_temperature() -> None:
    rows = pd.DataFrame({"temperature": [np.inf, 3, 0, 30], "chosen": [False, True, False, False]})
    rows = changing(rows, ["score", "se"])
    (ax,) = panels(voxel_captions.temperature_figure(rows))
    assert ticks(ax) == {0: "0", 1: "3", 2: "30", 3: "∞"}
    of = rows.sort_values("temperature").reset_index(drop=True)
    assert {m.x: m.y for m in points(ax) if m.marker == "x"} == {0: of["score"][0], 3: of["score"][3]}
    blue = points(ax, "o", canvas.COLOURS[0].lower())
    assert {m.x: m.y for m in blue} == {1: of["score"][1], 2: of["score"][2]}
    (mark,) = points(ax, "o", canvas.COLOURS[1].lower())
    assert (mark.x, mark.y) == (1, of["score"][1])
    around = np.c_[of["score"] - 2 * of["se"], of["score"] + 2 * of["se"]]
    np.testing.assert_allclose([end[1::2] for end in sorted(spans(ax))], around)


def test_scores_of_captions() -> None:
    names = list(voxel_captions.LABELS)[::-1]
    rows = made({"region": ["V4", "PPA", "none", *(f"r{k}" for k in range(9))], "of": names}, value="r")
    sizes = {"V4": 30, "PPA": 50, "none": 0} | {f"r{k}": 20 - k for k in range(9)}
    figure = voxel_captions.caption_scores_figure(rows.assign(n=rows["region"].map(sizes)))
    shown = [ax for ax in panels(figure) if ax.axison]
    regions = ["PPA", "V4", *(f"r{k}" for k in range(7))]
    assert [ax.get_title() for ax in shown] == [f"{name} ({sizes[name]} voxels)" for name in regions]
    for ax, region in zip(shown, regions, strict=True):
        of = rows[rows["region"] == region].set_index("of")
        order = list(voxel_captions.LABELS)
        places = {name: 6 - k for k, name in enumerate(order)}
        assert {mark.y: mark.x for mark in points(ax)} == {places[n]: of.loc[n, "r"] for n in order}
        assert {y[0]: tuple(x) for x, y in curves(ax)[""] if len(x) == 2} == {
            places[n]: tuple(of.loc[n, ["low", "high"]]) for n in order
        }
        assert sorted(levels(ax, "x")[""]) == sorted([0, of.loc["caption", "r"]])
        assert {mark.y for mark in points(ax, "D")} == {places["encoder"]}
        assert {mark.y for mark in points(ax, colour=canvas.GREY)} == set(range(5))


def test_words_of_captions() -> None:
    shares = {"V4": {"dog": 0.1, "house": 0.9}, "void": dict.fromkeys(("dog", "house"), np.nan)}
    shares["PPA"] = {"dog": 0.7, "house": 0.3}
    ax = panels(voxel_captions.noun_figure(shares))[0]
    assert cells(ax).tolist() == [[0.1, 0.9], [0.7, 0.3]]
    assert {(round(y), round(x)): text for x, y, text in words(ax)} == {
        (0, 0): "0.10", (0, 1): "0.90", (1, 0): "0.70", (1, 1): "0.30",
    }  # fmt: skip
    many = {f"r{k}": {f"w{j}": 0.01 * j for j in range(21)} for k in range(10)}
    assert not words(panels(voxel_captions.noun_figure(many))[0])


def test_images_found_by_captions() -> None:
    spaces = ["ridge", "grounded", "shuffled", "words alone", "a", "b", "c"]
    rows = made({"space": spaces, "measure": ["top-5", "top-1", "rank"]}, "chance", "null_mean", "null_sd")
    rows["chance"] = rows.groupby("measure")["chance"].transform("first")
    figure = grounding.retrieval_figure(rows.assign(null_sd=rows["null_sd"] / 10))
    (ax,) = panels(figure)
    measures, order = list(pd.unique(rows["measure"])), list(pd.unique(rows["space"]))
    of, colours = rows.set_index(["measure", "space"]), legend(figure)
    assert over(ax, points(ax)) == {m: approx([of.loc[(m, s), "value"] for s in order]) for m in measures}
    for space in order:
        label = grounding.LABELS.get(space, space)
        mine = [mark for mark in points(ax, colour=colours[label]) if mark.label == label]
        assert over(ax, mine) == {m: [approx(of.loc[(m, space), "value"])] for m in measures}
    upright = sorted(end[1::2] for end in spans(ax) if end[0] == end[2])
    np.testing.assert_allclose(upright, sorted(rows[["low", "high"]].itertuples(index=False, name=None)))
    flat = [(round((a + b) / 2), y) for a, y, b, y2 in spans(ax) if y == y2]
    assert flat == [(k, of.loc[(m, order[0]), "chance"]) for k, m in enumerate(measures)]
    first = rows[rows["space"] == order[0]].set_index("measure")
    drawn = [(round(np.mean(list(band))), *next(iter(band.values()))) for band in bands(ax)]
    middle, reach = (first.loc[measures, name].to_numpy() for name in ("null_mean", "null_sd"))
    np.testing.assert_allclose(drawn, np.c_[range(3), np.maximum(middle - reach / 5, 0), middle + reach / 5])


def test_words_on_their_axes() -> None:
    positions = np.random.default_rng(0).normal(size=(70, 3))
    names = [f"w{k}" for k in range(70)]
    axes = pd.DataFrame({"axis": [1, 2, 3], "variance": [0.4, 0.2, 0.1], "name": ["size", "", "x"]})
    (ax,) = panels(grounding.words_figure(positions, names, axes))
    far = np.argsort(-np.hypot(positions[:, 0], positions[:, 1]))[:60]
    assert {(text, x, y) for x, y, text in words(ax)} == {(names[k], *positions[k, :2]) for k in far}
    assert {(m.x, m.y) for m in points(ax)} == {tuple(positions[k, :2]) for k in far}
    assert ax.get_xlabel() == "axis 1: size (40% of variance)"
    (ax,) = panels(grounding.words_figure(positions[:, :1], names, axes.head(1)))
    assert {m.y for m in points(ax)} == {0}


def test_texts_that_regions_prefer() -> None:
    rows = made({"group": ["V4", "PPA", "V1", "LO"], "text": [f"t{k}" for k in range(7)]}, value="selectivity")
    rows = rows.assign(chance=rows["group"].map({"V4": 0.4, "PPA": 0.5, "V1": 0.45, "LO": 0.3}))
    for ax in panels(few_images.text_bars(rows)):
        best = rows[rows["group"] == ax.get_title()].nlargest(5, "selectivity")
        assert lengths(ax, "y") == {t: [(0, approx(s))] for t, s in zip(best["text"], best["selectivity"], strict=True)}
        chance = best["chance"].iloc[0]
        assert {bar.x2: bar.colour != canvas.GREY for bar in bars(ax)} == {s: s > chance for s in best["selectivity"]}
        assert sorted(levels(ax, "x")[""]) == [0, chance]


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
            assert len(ax.images) == 1 + column
            if column:
                np.testing.assert_allclose(np.asarray(ax.images[-1].get_array())[..., 3], 0.25 + 0.6 * shade)
                np.testing.assert_allclose(cells(ax), pictures["s1"].mean(axis=2))
    encoders.field_maps(rng.random((8, 6)), (2, 3), [f"r{k}" for k in range(8)])  # in rows
    fields = np.arange(12.0).reshape(2, 6)
    first, second = panels(encoders.field_maps(fields, (2, 3), ["a", "b"]))
    for ax, field in ((first, fields[0]), (second, fields[1])):
        np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), magma(field.reshape(2, 3) / field.max()))
