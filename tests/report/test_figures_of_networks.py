"""What figures of networks draw (choices, convergence, reference RDMs): on record, main marks held against tables."""

import numpy as np
import pandas as pd
import pytest
from drawn import cells, curves, legend, panels, points, ticks, words
from made import made
from matplotlib.colors import to_hex
from refusals import refused

from brainalign.report import kit
from brainalign.report.encoding_sections import convergence
from brainalign.report.geometry_sections import reference_rdms
from brainalign.report.kit import Panel, canvas
from brainalign.report.pages import concepts, mds_points

approx = pytest.approx
KINDS = {"own": "embedding", "own again": "reproducible", "shuffled": "control", "counts": "baseline"}
KINDS["theirs"] = "published"


def test_choices_dimensions_and_networks() -> None:
    rows = made({"name": list(KINDS), "split": ["repeated", "triplets"]}, "se", value="accuracy")
    bounds = {"repeated": (0.36, 0.66, 0.91), "triplets": (1 / 3, 0.71, 0.8)}
    rows[["chance", "ceiling_low", "ceiling_high"]] = [bounds[split] for split in rows["split"]]
    rows = rows.assign(kind=rows["name"].map(KINDS), se=rows["se"] / 10).drop(0)
    rows.loc[rows.index[0], "accuracy"] = 0.985  # beyond the ceiling and beyond where the axis used to end
    for ax, split in zip(panels(concepts.accuracy_figure(rows)), pd.unique(rows["split"]), strict=True):
        part = rows[rows["split"] == split].iloc[::-1]
        assert [(mark.x, mark.y) for mark in points(ax)] == [(a, k) for k, a in enumerate(part["accuracy"])]
    networks = made({"model": ["net", "deep"], "layer": ["b", "a"]}, value="cosine")
    rows = made({"model": ["deep", "net"], "layer": ["a", "b"], "dimension": [2, 0, 1]}, "p", value="r2")
    rows["p"] = np.linspace(0, 0.1, len(rows))
    ax = panels(concepts.readout_grid(rows, networks))[0]
    names = [f"{m} {n}" for m, n in zip(networks["model"], networks["layer"], strict=True)]
    numbers = [int(text) for text in ticks(ax).values()]
    of = rows.set_index(["model", "layer", "dimension"])
    keys = [[(*name.split(), d) for d in numbers] for name in names]
    np.testing.assert_allclose(cells(ax), [[of.loc[key, "r2"] for key in line] for line in keys])
    dotted = {(dot.x, dot.y) for dot in points(ax)}  # of 20 draws one exceeds their 95 % point about twice in twenty
    assert dotted == {(k, y) for y, line in enumerate(keys) for k, key in enumerate(line) if of.loc[key, "p"] >= 0.05}


def test_layers_over_distance_time_and_training(rng: np.random.Generator) -> None:
    rows = made({"network": ["trained", "random"], "area": [f"A{k}" for k in range(6)]}, value="distance_mm")
    rows = rows.assign(number=rng.integers(0, 3, len(rows)).astype(float), decided=rng.random(len(rows)) < 0.7)
    rows.loc[0, "number"] = np.nan
    convergence.layers_by_distance(rows, [["l0", "l1", "l2"], ["r0", "r1", "r2"]], ["one", "two"])
    levels_of = {"subject": ["03", "01"], "network": ["random", "trained"], "number": [2, 0, 1]}
    rows = made(levels_of, value="latency_s").rename(columns={"low": "latency_low_s", "high": "latency_high_s"})
    rows = rows.sort_values("number", kind="stable").assign(decided=rows["number"] != 1)
    rows["layer"] = rows["network"].str[0] + rows["number"].astype(str)
    convergence.latency_of_layers(rows[~((rows["network"] == "random") & (rows["number"] == 2))], ["first", "second"])
    scores = ["encoding", "rsa", "flat"]
    curves_of = made({"score": scores, "area": ["", "V1"], "step": [0, 10, 100]}, value="value")
    half = made({"score": scores, "area": ["", "V1", "V4"]}, "final", value="half_time")
    for name in ("half_time", "low", "high"):
        half[name] *= 100
    half.loc[half["score"] == "flat", "final"] = -0.1
    half.loc[half["score"] != "encoding", "half_time"] = half["half_time"].where(half["area"] == "")
    half.loc[(half["score"] == "rsa") & (half["area"] == ""), "low"] = np.nan
    figure = convergence.half_time_curves(curves_of, half)
    left, _ = panels(figure)
    whole, colours = half[half["area"] == ""].set_index("score"), legend(figure)
    assert set(colours) == {"encoding", "rsa"}
    for name in colours:
        part = curves_of[(curves_of["score"] == name) & (curves_of["area"] == "")].sort_values("step")
        assert curves(left)[name] == [([0, 10, 100], approx((part["value"] / whole.loc[name, "final"]).tolist()))]
    rows = made({"quantity": ["layer", "r"], "map": ["myelin", "gradient", "thickness"]}, "null_sd", "q", value="r")
    rows = rows.assign(r=rows["r"] * np.where(np.arange(6) % 2, 1, -1), n=rows["quantity"].map({"layer": 40, "r": 50}))
    rows["q"] = np.where(rows["map"] == "myelin", 0.03, 0.06)
    rows.loc[(rows["map"] == rows["map"].iloc[0]) & (rows["quantity"] == rows["quantity"].iloc[0]), "r"] = np.nan
    convergence.map_correlations(rows)


def test_fits_to_reference_rdms() -> None:
    levels = {"reference": ["hit", "eeg", "judged"], "model": ["net", "deep"], "layer": ["b", "a"]}
    rows = made(levels, "se", value="score")
    bounds = {"hit": (0.7, 0.8), "eeg": (np.nan, np.nan), "judged": (0.65, 0.95)}
    rows[["ceiling_low", "ceiling_high"]] = [bounds[name] for name in rows["reference"]]
    rows.loc[0, "se"] = np.nan
    random = made({"reference": ["hit", "eeg"], "model": ["net"], "layer": ["a"]}, "sd", value="mean", seed=3)
    random["n"] = 5
    both = {"kind": "combination", "null_mean": 0.02, "null_high": 0.09, "selected": 0.21, "se": np.nan}
    more = rows[rows["reference"] == "judged"].iloc[[0]].assign(layer="all layers", score=0.44, **both)
    reference_rdms.reference_bars(pd.concat([rows, more], ignore_index=True), random, ["deep", "net"])


@pytest.mark.parametrize("several", [True, False])
def test_fits_over_layers(several: bool) -> None:
    models = ["net", "deep"] if several else ["net"]
    rows = made({"reference": ["hit", "eeg"], "model": models, "layer": ["b", "a", "c"]}, "se", "p_max", value="score")
    bounds = {"hit": (0.7, 0.8), "eeg": (np.nan, np.nan)}
    rows[["ceiling_low", "ceiling_high"]] = [bounds[name] for name in rows["reference"]]
    rows["best"] = (rows["layer"] == "a") & (rows["model"] == "net") & (rows["reference"] == "eeg")
    random = made({"reference": ["hit"], "model": ["net"], "layer": ["c", "b"]}, "sd", value="mean", seed=3).assign(n=5)
    combined = pd.DataFrame([{"reference": "hit", "model": "net", "layer": "all", "score": 0.51, "selected": 0.42}])
    figure = reference_rdms.layer_curves(rows, random, None, combined)
    for ax, reference in zip(panels(figure), pd.unique(rows["reference"]), strict=True):
        part, scale = rows[rows["reference"] == reference], 0.5 if several else 1
        for model in models:
            mine = part[part["model"] == model]
            assert curves(ax)[model] == [([0, scale, 2 * scale], approx(mine["score"].tolist()))]
        verdicts = {m: f"{m}: no layer is called best" for m in models}
        verdicts |= {"net": "net: best a"} if reference == "eeg" else {}
        assert words(ax)[0][2].split("\n") == [verdicts[m] for m in pd.unique(part["model"])]


def test_rdms_grouped_by_category() -> None:
    categories, pairs = ["face", "car", "face", "car", "face"], np.arange(10.0)[::-1]
    rdms = {"net": pairs, "brain": pairs**2, "more": -pairs, "last": pairs}
    shown, order = panels(reference_rdms.rdm_grid(rdms, categories)), [0, 2, 4, 1, 3]
    assert kit.layer_name(pd.Series({"model": "pixels", "layer": "pixels"})) == "pixels"
    matrix = np.zeros((5, 5))
    matrix[np.triu_indices(5, 1)] = pairs / 9
    expected = (matrix + matrix.T)[np.ix_(order, order)]
    np.testing.assert_allclose([cells(ax) for ax in shown[:2]], [expected] * 2)
    assert ticks(shown[0]) == ticks(shown[0], "y") == {1.0: "face", 3.5: "car"}
    panel = reference_rdms.rdm_panel(rdms, categories, "RDMs", "rdm")
    assert [each.title for each in panel.orders] == ["By category", "As given", "By likeness in net"]
    assert "conditions by category; buttons put them into other orders" in panel.caption
    by_category, given, alike = (cells(panels(each.figure)[0]) for each in panel.orders)
    np.testing.assert_allclose([by_category, given], [expected, matrix + matrix.T])
    assert np.diag(alike, 1).sum() < np.diag(given, 1).sum()  # neighbours are alike
    without = reference_rdms.rdm_panel({"net": pairs - 1}, ["image"] * 5, "RDMs", "rdm")  # noise: negative
    assert "conditions as given" in without.caption
    assert "category" not in " ".join(each.title for each in without.orders)
    refused("has 6 pairs but 5 categories make 10", reference_rdms.rdm_grid, {"net": pairs[:6]}, categories)


def test_conditions_in_the_plane_by_category() -> None:
    places = np.array([[0.0, 1.0], [2.0, 0.5], [1.5, 3.0]])
    reference_rdms.mds_categories(places, ["car", "face", "car"])
    pictures = [np.full((8, 8, 3), shade, dtype=np.uint8) for shade in (10, 100, 200)]
    figure = reference_rdms.mds_categories(places, ["car", "face", "car"], pictures)
    shown = {int(box.offsetbox.get_data()[0, 0, 0]): box for box in figure.axes[0].artists}
    found = {shade: box.xy for shade, box in shown.items()}
    assert found == dict(zip((10, 100, 200), map(approx, places.tolist()), strict=True))
    frames = {shade: to_hex(box.patch.get_edgecolor()) for shade, box in shown.items()}
    assert frames[10] == frames[200] == canvas.COLOURS[0].lower() != frames[100]
    assert Panel("p", "P", "c", figure).drawings == []  # pictures stay pixels
    (ax,) = panels(reference_rdms.mds_categories(places, ["b", "c", "a"]))  # each by its own name
    assert [(mark.x, mark.y) for mark in points(ax)] == [tuple(place) for place in places]
    assert [text for *_, text in words(ax)] == ["b", "c", "a"]
    reference_rdms.mds_categories(np.tile(places, (20, 1)) + np.arange(60)[:, None], [f"s{k}" for k in range(60)])
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    again = mds_points(apart[np.triu_indices(3, 1)] ** 2)
    np.testing.assert_allclose(np.linalg.norm(again[:, None] - again, axis=2), apart, atol=1e-9)
