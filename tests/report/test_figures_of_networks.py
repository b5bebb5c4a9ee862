"""What figures of networks draw (choices, convergence, reference RDMs, series), held against the tables behind them."""

import numpy as np
import pandas as pd
import pytest
from drawn import (
    bands,
    bars,
    cells,
    curves,
    legend,
    lengths,
    levels,
    near,
    over,
    panels,
    points,
    spans,
    ticks,
    words,
    zones,
)
from made import made
from refusals import refused

from brainalign.report.encoding_sections import convergence
from brainalign.report.geometry_sections import alignment as alignment_section
from brainalign.report.geometry_sections import reference_rdms
from brainalign.report.kit import canvas
from brainalign.report.pages import concepts, mds_points

approx = pytest.approx
FIRST = [shade.lower() for shade in canvas.COLOURS]
KINDS = {"own": "embedding", "own again": "reproducible", "shuffled": "control", "counts": "baseline"}
KINDS["theirs"] = "published"


def choices() -> pd.DataFrame:
    rows = made({"name": list(KINDS), "split": ["repeated", "triplets"]}, "se", value="accuracy")
    bounds = {"repeated": (0.36, 0.66, 0.91), "triplets": (1 / 3, 0.71, 0.8)}
    for k, column in enumerate(("chance", "ceiling_low", "ceiling_high")):
        rows[column] = [bounds[split][k] for split in rows["split"]]
    return rows.assign(kind=rows["name"].map(KINDS), se=rows["se"] / 10)


def test_accuracy_of_choices() -> None:
    rows = choices().drop(0)
    rows.loc[rows.index[0], "accuracy"] = 0.985  # beyond the ceiling and beyond where the axis used to end
    shown = panels(concepts.accuracy_figure(rows))
    for ax, split in zip(shown, pd.unique(rows["split"]), strict=True):
        part = rows[rows["split"] == split].iloc[::-1]
        assert [(mark.x, mark.y) for mark in points(ax)] == [(a, k) for k, a in enumerate(part["accuracy"])]
        ends = np.c_[part["accuracy"] - 1.96 * part["se"], part["accuracy"] + 1.96 * part["se"]]
        np.testing.assert_allclose([end[::2] for end in spans(ax)], ends)
        assert levels(ax, "x")["chance"] == [part["chance"].iloc[0]]
        assert zones(ax) == [approx((part["ceiling_low"].iloc[0], part["ceiling_high"].iloc[0]))]
        if ax is shown[0]:
            names = [text.split(",")[0].removesuffix(" embedding") for text in ticks(ax, "y").values()]
            assert names == [{"theirs": "published"}.get(n, n) for n in part["name"]]


def test_dimensions_that_are_found_again() -> None:
    rows = made({"method": ["spose", "vice"], "dimension": [3, 1, 2]}, value="r")
    rows = rows.assign(reproducible=rows["r"] > 0.35)
    figure = concepts.reproducibility_figure(rows, 0.35)
    for ax, (method, part) in zip(panels(figure), rows.groupby("method", sort=False), strict=True):
        drawn = {round((bar.x + bar.x2) / 2, 6): bar.y2 for bar in bars(ax)}
        assert drawn == approx(dict(zip(part["dimension"], part["r"], strict=True)))
        assert all((bar.colour != canvas.GREY) == (bar.y2 > 0.35) for bar in bars(ax))
        assert ax.get_title() == f"{method}: {int(part['reproducible'].sum())} of 3 found again"
        assert levels(ax)[""] == [0.35]


def network_rows() -> pd.DataFrame:
    return made({"model": ["net", "deep"], "layer": ["b", "a"]}, "null_high", "unseen", "unseen_sd", "unseen_null_high",
                value="cosine")  # fmt: skip


def test_networks_as_they_are_and_read_out() -> None:
    rows = network_rows().assign(unseen_sd=lambda t: t["unseen_sd"] / 10)
    left, right = panels(concepts.network_figure(rows, choices()))
    order = rows.iloc[::-1]
    for ax, value, high in ((left, "cosine", "null_high"), (right, "unseen", "unseen_null_high")):
        assert [(mark.x, mark.y) for mark in points(ax)] == [(a, k) for k, a in enumerate(order[value])]
        ends = {round((bar.y + bar.y2) / 2): (bar.x, bar.x2) for bar in bars(ax)}
        assert ends == {k: approx((0.25, v)) for k, v in enumerate(order[high])}
        spread = 0 * order["unseen_sd"] if ax is left else order["unseen_sd"]
        np.testing.assert_allclose([end[::2] for end in spans(ax)], np.c_[order[value] - spread, order[value] + spread])


def test_read_outs_of_dimensions() -> None:
    networks = network_rows()
    rows = made({"model": ["deep", "net"], "layer": ["a", "b"], "dimension": [2, 0, 1]}, "null_high", value="r2")
    ax = panels(concepts.readout_grid(rows, networks))[0]
    names = [f"{m} {n}" for m, n in zip(networks["model"], networks["layer"], strict=True)]
    numbers = [int(text) for text in ticks(ax).values()]
    of = rows.set_index(["model", "layer", "dimension"])
    keys = [[(*name.split(), d) for d in numbers] for name in names]
    np.testing.assert_allclose(cells(ax), [[of.loc[key, "r2"] for key in line] for line in keys])
    dots = {keys[round(mark.y)][round(mark.x)] for mark in points(ax, ".")}
    assert dots == {key for key in of.index if of.loc[key, "r2"] <= of.loc[key, "null_high"]}


def test_regions_against_judgements() -> None:
    rows = made({"region": ["V4", "PPA", "V1"]}, "null_high", "ceiling_low", value="score")
    rows = rows.assign(ceiling_high=rows["ceiling_low"] + 0.1)
    rows.loc[1, "ceiling_low"] = np.nan
    (ax,) = panels(concepts.region_figure(rows))
    pairs = zip(rows["region"], rows["score"], rows["null_high"], strict=True)
    assert lengths(ax) == {r: [(0, approx(s)), (0, approx(n))] for r, s, n in pairs}
    ceilings = {round(np.mean(list(band))): next(iter(band.values())) for band in bands(ax)}
    assert ceilings == near(rows.dropna()[["ceiling_low", "ceiling_high"]])


def test_best_layers_by_distance() -> None:
    rows = made({"network": ["trained", "random"], "area": [f"A{k}" for k in range(6)]}, value="distance_mm")
    rng = np.random.default_rng(0)
    rows = rows.assign(number=rng.integers(0, 3, len(rows)).astype(float), decided=rng.random(len(rows)) < 0.7)
    rows.loc[0, "number"] = np.nan
    names = [["l0", "l1", "l2"], ["r0", "r1", "r2"]]
    shown = panels(convergence.layers_by_distance(rows, names, ["one", "two"]))
    for ax, network in zip(shown, ("trained", "random"), strict=True):
        part = rows[(rows["network"] == network) & rows["number"].notna()]
        for kept, label in ((True, f"decided, {network} weights"), (False, "undecided")):
            expected = part.loc[part["decided"] == kept, ["distance_mm", "number"]]
            marks = [(mark.x, mark.y) for mark in points(ax) if mark.label == label]
            assert marks == list(expected.itertuples(index=False, name=None))
        decided = part[part["decided"]]
        places = decided[["distance_mm", "number", "area"]].itertuples(index=False, name=None)
        assert set(words(ax)) == set(places)
        lines = [line for line in curves(ax).get("", []) if len(line[0]) == 2]
        assert len(lines) == (len(decided) > 3)
        for x, y in lines:
            slope, start = np.polyfit(decided["distance_mm"], decided["number"], 1)
            assert x == [decided["distance_mm"].min(), decided["distance_mm"].max()]
            np.testing.assert_allclose(y, start + slope * np.array(x))


def test_latencies_of_decided_layers() -> None:
    levels_of = {"subject": ["03", "01"], "network": ["random", "trained"], "number": [2, 0, 1]}
    rows = made(levels_of, value="latency_s").rename(columns={"low": "latency_low_s", "high": "latency_high_s"})
    rows = rows.sort_values("number", kind="stable").assign(decided=rows["number"] != 1)
    rows["layer"] = rows["network"].str[0] + rows["number"].astype(str)
    rows = rows[~((rows["network"] == "random") & (rows["number"] == 2))]
    figure = convergence.latency_of_layers(rows, ["first", "second"])
    shown, colours = panels(figure), legend(figure)
    for ax, subject in zip(shown, pd.unique(rows["subject"]), strict=True):
        for network, depth in (("trained", 2), ("random", 1)):
            part = rows[(rows["subject"] == subject) & (rows["network"] == network) & rows["decided"]]
            marks = [mark[:2] for mark in points(ax, colour=colours[f"{network} weights"])]
            np.testing.assert_allclose(marks, np.c_[part["number"] / depth, 1000 * part["latency_s"]])
            ends = [end[1::2] for end in spans(ax, colours[f"{network} weights"])]
            np.testing.assert_allclose(ends, 1000 * part[["latency_low_s", "latency_high_s"]])


def test_half_times() -> None:
    scores = ["encoding", "rsa", "flat"]
    curves_of = made({"score": scores, "area": ["", "V1"], "step": [0, 10, 100]}, value="value")
    half = made({"score": scores, "area": ["", "V1", "V4"]}, "final", value="half_time")
    for name in ("half_time", "low", "high"):
        half[name] *= 100
    half.loc[half["score"] == "flat", "final"] = -0.1
    half.loc[half["score"] != "encoding", "half_time"] = half["half_time"].where(half["area"] == "")
    half.loc[(half["score"] == "rsa") & (half["area"] == ""), "low"] = np.nan
    figure = convergence.half_time_curves(curves_of, half)
    left, right = panels(figure)
    whole = half[half["area"] == ""].set_index("score")
    colours = legend(figure)
    assert set(colours) == {"encoding", "rsa"}
    for name in colours:
        part = curves_of[(curves_of["score"] == name) & (curves_of["area"] == "")].sort_values("step")
        assert curves(left)[name] == [([0, 10, 100], approx((part["value"] / whole.loc[name, "final"]).tolist()))]
        (mark,) = points(left, "D", colours[name])
        assert (mark.x, mark.y) == (whole.loc[name, "half_time"], 0.5)
    (span,) = spans(left)
    assert {ax.xaxis.get_transform().linthresh for ax in (left, right)} == {10}
    assert span[::2] == approx(tuple(whole.loc["encoding", ["low", "high"]]))
    assert levels(left)[""] == [0.5, 0]
    areas = half[(half["area"] != "") & half["half_time"].notna()].sort_values("half_time")
    times = zip(areas["area"], areas["half_time"], strict=True)
    assert over(right, points(right), "y") == {area: [approx(time)] for area, time in times}
    np.testing.assert_allclose([end[::2] for end in spans(right)], areas[["low", "high"]])


def test_cortical_maps() -> None:
    rows = made({"quantity": ["layer", "r"], "map": ["myelin", "gradient", "thickness"]}, "null_sd", "q", value="r")
    rows = rows.assign(r=rows["r"] * np.where(np.arange(6) % 2, 1, -1), n=rows["quantity"].map({"layer": 40, "r": 50}))
    rows["q"] = np.where(rows["map"] == "myelin", 0.03, 0.06)
    first = rows["map"].iloc[0]
    rows.loc[(rows["map"] == first) & (rows["quantity"] == rows["quantity"].iloc[0]), "r"] = np.nan
    shown, maps = panels(convergence.map_correlations(rows)), list(pd.unique(rows["map"]))
    for ax, quantity in zip(shown, pd.unique(rows["quantity"]), strict=True):
        of = rows[rows["quantity"] == quantity].set_index("map")
        known = of["r"].dropna()
        found = {
            maps[round((b.y + b.y2) / 2)]: (sorted((b.x, b.x2)), b.colour == canvas.COLOURS[0].lower())
            for b in bars(ax)
        }
        assert found == {n: (approx([min(r, 0), max(r, 0)]), n == "myelin") for n, r in known.items()}
        drawn = {maps[round(np.mean(list(band)))]: next(iter(band.values())) for band in bands(ax, "y")}
        assert drawn == {n: approx((-1.96 * of.loc[n, "null_sd"], 1.96 * of.loc[n, "null_sd"])) for n in known.index}
        said = {n: (approx(r + 0.03 * np.sign(r)), "q .030" if n == "myelin" else "q .060") for n, r in known.items()}
        said |= dict.fromkeys(set(maps) - set(known.index), (0, "no value"))
        assert {maps[round(y)]: (x, text) for x, y, text in words(ax)} == said
        assert ax.get_title() == f"{quantity}, {of['n'].iloc[0]} areas"


def test_networks_before_and_after_alignment() -> None:
    controls = ["aligned", "unaligned", "shuffled choices", "unaligned teacher"]
    rows = made({"model": ["net", "deep"], "layer": ["a", "b"], "control": controls, "level": ["coarse", "all"]},
                "gain_se", value="accuracy")  # fmt: skip
    rows = rows.drop(rows[(rows["control"] == "unaligned teacher") & (rows["model"] == "net")].index)
    about = {"ceilings": {"accuracy_low": 0.8, "accuracy_high": 0.9}}
    whole, coarse = panels(alignment_section.alignment_figure(rows, about))
    labels = {"aligned": "aligned", "unaligned": "as it is", "shuffled choices": "of shuffled choices",
              "unaligned teacher": "of an unaligned teacher"}  # fmt: skip
    keys = list(dict.fromkeys(zip(rows["model"], rows["layer"], strict=True)))[::-1]
    for ax, level in ((whole, "all"), (coarse, "coarse")):
        for control, label in labels.items():
            of = rows[(rows["control"] == control) & (rows["level"] == level)].set_index(["model", "layer"])
            marks = {keys[round(mark.y)]: mark.x for mark in points(ax) if mark.label == label}
            assert marks == of["accuracy"].to_dict()
            if control == "aligned":
                ends = {keys[round(end[1])]: end[2] - end[0] for end in spans(ax)}
                assert ends == {key: approx(2 * 1.96 * se) for key, se in of["gain_se"].items()}
        assert levels(ax, "x")["chance"] == [1 / 3]
        assert zones(ax) == ([approx((0.8, 0.9))] if ax is whole else [])


def test_fits_to_reference_rdms() -> None:
    rows = made(
        {"reference": ["hit", "eeg", "judged"], "model": ["net", "deep"], "layer": ["b", "a"]}, "se", value="score"
    )
    bounds = {"hit": (0.7, 0.8), "eeg": (np.nan, np.nan), "judged": (0.65, 0.95)}
    rows[["ceiling_low", "ceiling_high"]] = [bounds[name] for name in rows["reference"]]
    rows.loc[0, "se"] = np.nan
    random = made({"reference": ["hit", "eeg"], "model": ["net"], "layer": ["a"]}, "sd", value="mean", seed=3)
    random["n"] = 5
    both = {"kind": "combination", "null_mean": 0.02, "null_high": 0.09, "selected": 0.21, "se": np.nan}
    more = rows[rows["reference"] == "judged"].iloc[[0]].assign(layer="all layers", score=0.44, **both)
    figure = reference_rdms.reference_bars(pd.concat([rows, more], ignore_index=True), random, ["deep", "net"])
    for ax in panels(figure):
        part = rows[rows["reference"] == ax.get_title()].reset_index(drop=True)
        names = [f"{m} {n}" for m, n in zip(part["model"], part["layer"], strict=True)]
        extra = ["all layers"] if ax.get_title() == "judged" else []
        filled = [bar for bar in bars(ax) if bar.x == 0]
        assert [bar.x2 for bar in filled] == approx([*part["score"], *([0.44] if extra else [])])
        ends = {round(end[1]): end[::2] for end in spans(ax, "#000000")}
        assert ends == {
            k: approx((row["score"] - row["se"], row["score"] + row["se"]))
            for k, row in part.iterrows() if np.isfinite(row["se"])
        }  # fmt: skip
        control = random[random["reference"] == ax.get_title()]
        marks = {names[round(mark.y)]: mark.x for mark in points(ax, "d")}
        assert marks == dict(zip(["net a"], control["mean"], strict=False))
        scatter = np.c_[control["mean"] - control["sd"], control["mean"] + control["sd"]]
        assert [end[::2] for end in spans(ax, "#555555")] == [approx(tuple(ends)) for ends in scatter]
        band = bounds[ax.get_title()]
        assert zones(ax) == ([approx(band)] if np.isfinite(band).all() else [])
        if extra:
            assert [(mark.x, mark.y) for mark in points(ax, "X")] == [(0.21, 4)]
            assert [(mark.x, mark.y) for mark in points(ax, "|")] == [(0.02, 4), (0.09, 4)]
            (own,) = [bar for bar in bars(ax) if bar.x != 0]
            assert (own.x, own.x2, (own.y + own.y2) / 2) == approx((0.65, 0.95, 4))


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
            ends = [end[1::2] for end in spans(ax, legend(figure)[model])]
            np.testing.assert_allclose(ends, np.c_[mine["score"] - mine["se"], mine["score"] + mine["se"]])
        net = part[part["model"] == "net"].reset_index(drop=True)
        stars = [(mark.x, mark.y) for mark in points(ax, "*")]
        best = net[net["best"]]
        assert stars == [(scale * k, s) for k, s in zip(best.index, best["score"], strict=True)]
        text = words(ax)[0][2]
        verdicts = {m: f"{m}: no layer is called best" for m in models} | ({"net": "net: best a"} if len(best) else {})
        assert text.split("\n") == [verdicts[m] for m in pd.unique(part["model"])]
        expected = {}
        if reference == "hit":
            of = random.set_index("layer")
            places = {scale * k: name for k, name in enumerate(net["layer"]) if name != "a"}
            assert curves(ax)["random weights, mean ± sd of 5"] == [
                (list(places), approx([of.loc[n, "mean"] for n in places.values()]))
            ]
            m, s = of["mean"], of["sd"]
            expected = {x: approx((m[n] - s[n], m[n] + s[n])) for x, n in places.items()}
            assert levels(ax)["net all, held out"] == [0.51]
            assert levels(ax)["net all: best layer, held out"] == [0.42]
        assert [dict(band) for band in bands(ax)] == ([expected] if expected else [])
        assert zones(ax) == ([approx((0.7, 0.8))] if reference == "hit" else [])
        if not several:
            assert ticks(ax) == dict(enumerate(net["layer"]))


def test_rdms_grouped_by_category() -> None:
    categories = ["face", "car", "face", "car", "face"]
    pairs = np.arange(10.0)[::-1]
    rdms = {"net": pairs, "brain": pairs**2, "more": -pairs, "last": pairs}
    shown = panels(reference_rdms.rdm_grid(rdms, categories))
    order = [0, 2, 4, 1, 3]
    matrix = np.zeros((5, 5))
    matrix[np.triu_indices(5, 1)] = pairs / 9
    expected = (matrix + matrix.T)[np.ix_(order, order)]
    np.testing.assert_allclose([cells(ax) for ax in shown[:2]], [expected] * 2)
    np.testing.assert_allclose(cells(shown[2])[np.triu_indices(5, 1)], 1 - expected[np.triu_indices(5, 1)])
    assert ticks(shown[0]) == ticks(shown[0], "y") == {1.0: "face", 3.5: "car"}
    assert levels(shown[0]) == levels(shown[0], "x") == {"": [2.5]}
    assert [list(ticks(ax, "y").values()) for ax in shown] == [["face", "car"], [""] * 2, [""] * 2, ["face", "car"]]
    refused("has 6 pairs but 5 categories make 10", reference_rdms.rdm_grid, {"net": pairs[:6]}, categories)


def test_conditions_in_the_plane_by_category() -> None:
    places = np.array([[0.0, 1.0], [2.0, 0.5], [1.5, 3.0]])
    figure = reference_rdms.mds_categories(places, ["car", "face", "car"])
    (ax,) = panels(figure)
    by = {label: [(mark.x, mark.y) for mark in points(ax) if mark.label == label] for label in legend(figure)}
    assert by == {"car (2)": [(0.0, 1.0), (1.5, 3.0)], "face (1)": [(2.0, 0.5)]}
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    again = mds_points(apart[np.triu_indices(3, 1)] ** 2, 3)
    np.testing.assert_allclose(np.linalg.norm(again[:, None] - again, axis=2), apart, atol=1e-9)
