"""What figures of networks draw (choices, convergence, reference RDMs, series), held against the tables behind them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn import bands, bars, cells, curves, legend, lengths, levels, over, panels, points, spans, ticks, words, zones
from made import made
from refusals import refused

from brainalign.report.encoding_sections import convergence
from brainalign.report.geometry_sections import alignment as alignment_section
from brainalign.report.geometry_sections import reference_rdms
from brainalign.report.kit import canvas
from brainalign.report.pages import concepts, mds_points

approx = pytest.approx
FIRST = [shade.lower() for shade in canvas.COLOURS]
KINDS = {
    "own": "embedding",
    "own again": "reproducible",
    "shuffled": "control",
    "counts": "baseline",
    "theirs": "published",
}


def choices() -> pd.DataFrame:
    rows = made({"name": list(KINDS), "split": ["repeated", "triplets"]}, "se", value="accuracy")
    bounds = {"repeated": (0.36, 0.66, 0.91), "triplets": (1 / 3, 0.71, 0.8)}
    for k, column in enumerate(("chance", "ceiling_low", "ceiling_high")):
        rows[column] = [bounds[split][k] for split in rows["split"]]
    return rows.assign(kind=rows["name"].map(KINDS), se=rows["se"] / 10)


def test_accuracy_of_choices() -> None:
    rows = choices().drop(0)
    rows.loc[rows.index[0], "accuracy"] = 0.985  # beyond the ceiling and beyond where the axis used to end
    figure = concepts.accuracy_figure(rows)
    shown = panels(figure)
    assert figure.get_size_inches() == approx([9, 2.6])
    titles = {"triplets": "held-out triplets", "repeated": "triplets judged several times"}
    assert [ax.get_title() for ax in shown] == [titles[split] for split in pd.unique(rows["split"])]
    for ax, split in zip(shown, pd.unique(rows["split"]), strict=True):
        part = rows[rows["split"] == split].iloc[::-1]
        assert [(mark.x, mark.y) for mark in points(ax)] == [(a, k) for k, a in enumerate(part["accuracy"])]
        np.testing.assert_allclose(
            [(end[0], end[2]) for end in spans(ax)],
            np.c_[part["accuracy"] - 1.96 * part["se"], part["accuracy"] + 1.96 * part["se"]],
        )
        colours = {"own": 0, "own again": 4, "counts": 1, "theirs": 2}
        expected = [canvas.COLOURS[colours[n]].lower() if n in colours else canvas.GREY for n in part["name"]]
        assert [mark.colour for mark in points(ax)] == expected
        assert levels(ax, "x")["chance"] == [part["chance"].iloc[0]]
        seen = [*part["accuracy"], part["ceiling_high"].iloc[0]]
        assert ax.get_xlim() == approx((min(0.3, *seen) - 0.05, max(0.7, *seen) + 0.05))
        assert ax.get_ylim() == (-0.6, approx(len(part) - 0.4))
        assert zones(ax) == [approx((part["ceiling_low"].iloc[0], part["ceiling_high"].iloc[0]))]
        if ax is shown[0]:
            names = [text.split(",")[0].removesuffix(" embedding") for text in ticks(ax, "y").values()]
            assert names == [{"theirs": "published"}.get(n, n) for n in part["name"]]


def test_dimensions_that_are_found_again() -> None:
    rows = made({"method": ["spose", "vice"], "dimension": [3, 1, 2]}, value="r")
    rows = rows.assign(reproducible=rows["r"] > 0.35)
    figure = concepts.reproducibility_figure(rows, 0.35)
    assert figure.get_size_inches() == approx([8.8, 2.6])
    for ax, (method, part) in zip(panels(figure), rows.groupby("method", sort=False), strict=True):
        found = {round((bar.x + bar.x2) / 2, 6): (bar.y2, bar.colour) for bar in bars(ax)}
        assert {d: value for d, (value, _) in found.items()} == approx(
            dict(zip(part["dimension"], part["r"], strict=True))
        )
        assert all((shade != canvas.GREY) == (value > 0.35) for value, shade in found.values())
        assert ax.get_title() == f"{method}: {int(part['reproducible'].sum())} of 3 found again"
        assert levels(ax)[""] == [0.35]
        assert (ax.get_ylim(), {round(bar.x2 - bar.x, 6) for bar in bars(ax)}) == ((0, 1.02), {0.8})
        assert sorted(ticks(ax)) == [1, 2, 3]


def network_rows() -> pd.DataFrame:
    return made({"model": ["net", "deep"], "layer": ["b", "a"]}, "null_high", "unseen", "unseen_sd", "unseen_null_high",
                value="cosine")  # fmt: skip


def test_networks_as_they_are_and_read_out() -> None:
    rows = network_rows().assign(unseen_sd=lambda t: t["unseen_sd"] / 10)
    figure = concepts.network_figure(rows, choices())
    left, right = panels(figure)
    assert figure.get_size_inches() == approx([9, 2.24])
    order = rows.iloc[::-1]
    assert list(ticks(left, "y").values()) == [f"{m} {n}" for m, n in zip(order["model"], order["layer"], strict=True)]
    for ax, value, high in ((left, "cosine", "null_high"), (right, "unseen", "unseen_null_high")):
        assert [(mark.x, mark.y) for mark in points(ax)] == [(a, k) for k, a in enumerate(order[value])]
        np.testing.assert_allclose(sorted((bar.y + bar.y2) / 2 for bar in bars(ax)), range(4))
        ends = {round((bar.y + bar.y2) / 2): (bar.x, bar.x2) for bar in bars(ax)}
        assert {round(bar.y2 - bar.y, 6) for bar in bars(ax)} == {0.7}
        seen = [*rows[value], *rows[high], choices()["ceiling_high"].iloc[0]]
        assert ax.get_xlim() == approx((min(0.3, *seen) - 0.05, max(0.7, *seen) + 0.05))
        assert ax.get_ylim() == (-0.6, approx(3.6))
        assert ends == {k: approx((0.25, v)) for k, v in enumerate(order[high])}
        spread = 0 * order["unseen_sd"] if ax is left else order["unseen_sd"]
        np.testing.assert_allclose(
            [(end[0], end[2]) for end in spans(ax)], np.c_[order[value] - spread, order[value] + spread]
        )
    assert {mark.colour for mark in points(left)} == {c.lower() for c in canvas.COLOURS[:2]}
    shades = dict(zip(pd.unique(rows["model"]), FIRST, strict=False))
    assert [mark.colour for mark in points(right)] == [shades[model] for model in order["model"]]
    assert (left.get_title(), right.get_title()) == (
        "as they are, held-out triplets", "dimensions read out, unseen objects",
    )  # fmt: skip


def test_read_outs_of_dimensions() -> None:
    networks = network_rows()
    rows = made({"model": ["deep", "net"], "layer": ["a", "b"], "dimension": [2, 0, 1]}, "null_high", value="r2")
    ax = panels(concepts.readout_grid(rows, networks))[0]
    assert ax.figure.get_size_inches() == approx([3.3, 2.04])
    names = [f"{m} {n}" for m, n in zip(networks["model"], networks["layer"], strict=True)]
    numbers = [int(text) for text in ticks(ax).values()]
    assert list(ticks(ax, "y").values()) == names
    assert numbers == list(pd.unique(rows["dimension"]))
    of = rows.set_index(["model", "layer", "dimension"])
    keys = [[(*name.split(), d) for d in numbers] for name in names]
    np.testing.assert_allclose(cells(ax), [[of.loc[key, "r2"] for key in line] for line in keys])
    assert ax.images[0].get_clim() == (0, 1)
    dots = {keys[round(mark.y)][round(mark.x)] for mark in points(ax, ".")}
    assert dots == {key for key in of.index if of.loc[key, "r2"] <= of.loc[key, "null_high"]}
    assert 0 < len(dots) < len(of)


def test_regions_against_judgements() -> None:
    rows = made({"region": ["V4", "PPA", "V1"]}, "null_high", "ceiling_low", value="score")
    rows = rows.assign(ceiling_high=rows["ceiling_low"] + 0.1)
    rows.loc[1, "ceiling_low"] = np.nan
    figure = concepts.region_figure(rows)
    (ax,) = panels(figure)
    assert figure.get_size_inches() == approx([5.2, 3])
    assert list(ticks(ax).values()) == list(rows["region"])
    assert lengths(ax) == {
        r: [(0, approx(s)), (0, approx(n))]
        for r, s, n in zip(rows["region"], rows["score"], rows["null_high"], strict=True)
    }
    assert {bar.y2: bar.colour for bar in bars(ax)} == {
        **dict.fromkeys(rows["score"], canvas.COLOURS[0].lower()), **dict.fromkeys(rows["null_high"], canvas.NULL),
    }  # fmt: skip
    ceilings = {round(np.mean(list(band))): next(iter(band.values())) for band in bands(ax)}
    assert [round(bar.x2 - bar.x, 6) for bar in bars(ax)] == [0.6] * 3 + [0.75] * 3
    assert {round(max(band) - min(band), 6) for band in bands(ax)} == {0.8}
    assert levels(ax) == {"": [0]}
    known = rows.dropna()
    assert ceilings == {
        k: approx((low, high))
        for k, low, high in zip(known.index, known["ceiling_low"], known["ceiling_high"], strict=True)
    }


def test_best_layers_by_distance() -> None:
    rows = made({"network": ["trained", "random"], "area": [f"A{k}" for k in range(6)]}, value="distance_mm")
    rng = np.random.default_rng(0)
    rows = rows.assign(number=rng.integers(0, 3, len(rows)).astype(float), decided=rng.random(len(rows)) < 0.7)
    rows.loc[0, "number"] = np.nan
    names = [["l0", "l1", "l2"], ["r0", "r1", "r2"]]
    figure = convergence.layers_by_distance(rows, names, ["one", "two"])
    assert figure.get_size_inches() == approx([9, 3.8])
    for ax, network, labels, title in zip(panels(figure), ("trained", "random"), names, ("one", "two"), strict=True):
        part = rows[(rows["network"] == network) & rows["number"].notna()]
        assert list(ticks(ax, "y").values()) == labels
        assert ax.get_title() == title
        assert ax.get_ylim() == (-0.6, approx(2.6))
        for kept, label in ((True, f"decided, {network} weights"), (False, "undecided")):
            expected = part.loc[part["decided"] == kept, ["distance_mm", "number"]]
            marks = [(mark.x, mark.y) for mark in points(ax) if mark.label == label]
            assert marks == list(expected.itertuples(index=False, name=None))
        decided = part[part["decided"]]
        assert {(x, y, text) for x, y, text in words(ax)} == set(
            decided[["distance_mm", "number", "area"]].itertuples(index=False, name=None)
        )
        lines = [line for line in curves(ax).get("", []) if len(line[0]) == 2]
        assert len(lines) == (len(decided) > 3)
        for x, y in lines:
            slope, start = np.polyfit(decided["distance_mm"], decided["number"], 1)
            assert x == [decided["distance_mm"].min(), decided["distance_mm"].max()]
            np.testing.assert_allclose(y, start + slope * np.array(x))


def test_latencies_of_decided_layers() -> None:
    levels_of = {"subject": ["03", "01"], "network": ["random", "trained"], "number": [2, 0, 1]}
    rows = made(levels_of, value="latency_s").rename(columns={"low": "latency_low_s", "high": "latency_high_s"})
    rows = rows.sort_values("number", kind="stable").assign(
        layer=lambda t: t["network"].str[0] + t["number"].astype(str)
    )
    rows["decided"] = rows["number"] != 1
    rows = rows[~((rows["network"] == "random") & (rows["number"] == 2))]
    figure = convergence.latency_of_layers(rows, ["first", "second"])
    shown, colours = panels(figure), legend(figure)
    assert [ax.get_title() for ax in shown] == ["first", "second"]
    assert figure.get_size_inches() == approx([7.2, 3.6])
    assert {ax.get_xlim() for ax in shown} == {(-0.08, 1.08)}
    for ax, subject in zip(shown, pd.unique(rows["subject"]), strict=True):
        assert ticks(ax) == {0: "t0", 0.5: "t1", 1: "t2"}
        for network, depth in (("trained", 2), ("random", 1)):
            part = rows[(rows["subject"] == subject) & (rows["network"] == network) & rows["decided"]]
            marks = points(ax, colour=colours[f"{network} weights"])
            np.testing.assert_allclose(
                [mark[:2] for mark in marks], np.c_[part["number"] / depth, 1000 * part["latency_s"]]
            )
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
    assert figure.get_size_inches() == approx([9, 3.8])
    whole = half[half["area"] == ""].set_index("score")
    colours = legend(figure)
    assert set(colours) == {"encoding", "rsa"}
    for name in colours:
        part = curves_of[(curves_of["score"] == name) & (curves_of["area"] == "")].sort_values("step")
        assert curves(left)[name] == [([0, 10, 100], approx((part["value"] / whole.loc[name, "final"]).tolist()))]
        (mark,) = points(left, "D", colours[name])
        assert (mark.x, mark.y) == (whole.loc[name, "half_time"], 0.5)
    (span,) = spans(left)
    assert span[1] == span[3] == approx(0.52 + 0.02 * list(whole.index).index("encoding"))
    assert {ax.xaxis.get_transform().linthresh for ax in (left, right)} == {10}
    assert span[::2] == approx(tuple(whole.loc["encoding", ["low", "high"]]))
    assert levels(left)[""] == [0.5, 0]
    areas = half[(half["area"] != "") & half["half_time"].notna()].sort_values("half_time")
    assert over(right, points(right), "y") == {
        a: [approx(t)] for a, t in zip(areas["area"], areas["half_time"], strict=True)
    }
    np.testing.assert_allclose([(end[0], end[2]) for end in spans(right)], areas[["low", "high"]])
    assert [mark.y for mark in points(right)] == [0, 1]
    assert right.get_title() == "encoding, 2 areas"
    assert left.get_xlim() == right.get_xlim() == (0, approx(115))


def test_cortical_maps() -> None:
    rows = made({"quantity": ["layer", "r"], "map": ["myelin", "gradient", "thickness"]}, "null_sd", "q", value="r")
    rows = rows.assign(r=rows["r"] * np.where(np.arange(6) % 2, 1, -1), n=rows["quantity"].map({"layer": 40, "r": 50}))
    rows["q"] = np.where(rows["map"] == "myelin", 0.03, 0.06)
    first = rows["map"].iloc[0]
    rows.loc[(rows["map"] == first) & (rows["quantity"] == rows["quantity"].iloc[0]), "r"] = np.nan
    figure = convergence.map_correlations(rows)
    assert figure.get_size_inches() == approx([6.8, 2.38])
    shown, maps = panels(figure), list(pd.unique(rows["map"]))
    for k, (ax, quantity) in enumerate(zip(shown, pd.unique(rows["quantity"]), strict=True)):
        of = rows[rows["quantity"] == quantity].set_index("map")
        named = {place: maps[round(place)] for place in map(float, range(3))}
        found = {named[round((b.y + b.y2) / 2)]: (b.x, b.x2, b.colour) for b in bars(ax)}
        known = of["r"].dropna()
        assert {name: tuple(sorted(v[:2])) for name, v in found.items()} == {
            name: approx((min(r, 0), max(r, 0))) for name, r in known.items()
        }
        assert {n: v[2] == canvas.COLOURS[0].lower() for n, v in found.items()} == {
            n: n == "myelin" for n in known.index
        }
        drawn = {named[round(np.mean(list(band)))]: next(iter(band.values())) for band in bands(ax, "y")}
        assert drawn == {n: approx((-1.96 * of.loc[n, "null_sd"], 1.96 * of.loc[n, "null_sd"])) for n in known.index}
        said = {named[round(y)]: (x, text) for x, y, text in words(ax)}
        assert {n: t for n, (_, t) in said.items()} == {
            n: f"q {'.030' if n == 'myelin' else '.060'}" if n in known else "no value" for n in maps
        }
        assert all(abs(said[n][0]) > abs(r) for n, r in known.items())
        assert {n: said[n][0] for n in known.index} == approx({n: r + 0.03 * np.sign(r) for n, r in known.items()})
        assert all(said[n][0] == 0 for n in maps if n not in known)
        assert {round(b.y2 - b.y, 6) for b in bars(ax)} == {0.5}
        assert {round(max(band) - min(band), 6) for band in bands(ax, "y")} == {0.84}
        assert (ax.get_xlim(), levels(ax, "x")) == ((-1.25, 1.25), {"": [0]})
        assert ax.get_title() == f"{quantity}, {of['n'].iloc[0]} areas"
        assert list(ticks(ax, "y").values()) == (maps if k == 0 else [""] * len(maps))
        assert ax.get_ylim() == (2.5, -0.5)
    assert "95 % of unrelated maps" in legend(figure)


def test_networks_before_and_after_alignment() -> None:
    controls = ["aligned", "unaligned", "shuffled choices", "unaligned teacher"]
    rows = made({"model": ["net", "deep"], "layer": ["a", "b"], "control": controls, "level": ["coarse", "all"]},
                "gain_se", value="accuracy")  # fmt: skip
    rows = rows.drop(rows[(rows["control"] == "unaligned teacher") & (rows["model"] == "net")].index)
    about = {"ceilings": {"accuracy_low": 0.8, "accuracy_high": 0.9}}
    figure = alignment_section.alignment_figure(rows, about)
    whole, coarse = panels(figure)
    assert figure.get_size_inches() == approx([5.6, 2.58])
    labels = {"aligned": "aligned", "unaligned": "as it is", "shuffled choices": "of shuffled choices",
              "unaligned teacher": "of an unaligned teacher"}  # fmt: skip
    keys = list(dict.fromkeys(zip(rows["model"], rows["layer"], strict=True)))[::-1]
    assert list(ticks(whole, "y").values()) == [" ".join(key) for key in keys]
    for ax, level in ((whole, "all"), (coarse, "coarse")):
        for control, label in labels.items():
            of = rows[(rows["control"] == control) & (rows["level"] == level)].set_index(["model", "layer"])
            marks = {keys[round(mark.y)]: mark.x for mark in points(ax) if mark.label == label}
            assert marks == of["accuracy"].to_dict()
            if control == "aligned":
                ends = {keys[round(end[1])]: end[2] - end[0] for end in spans(ax)}
                assert ends == {key: approx(2 * 1.96 * se) for key, se in of["gain_se"].items()}
        assert levels(ax, "x")["chance"] == [1 / 3]
        assert (ax.get_ylim(), ax.get_xlabel()) == ((-0.6, approx(len(keys) - 0.4)), "accuracy")
        assert zones(ax) == ([approx((0.8, 0.9))] if ax is whole else [])
    assert (whole.get_title(), coarse.get_title()) == ("all triplets", "coarse: of three")


def test_fits_to_reference_rdms() -> None:
    rows = made(
        {"reference": ["hit", "eeg", "judged"], "model": ["net", "deep"], "layer": ["b", "a"]}, "se", value="score"
    )
    bounds = {"hit": (0.7, 0.8), "eeg": (np.nan, np.nan), "judged": (0.65, 0.95)}
    rows[["ceiling_low", "ceiling_high"]] = [bounds[name] for name in rows["reference"]]
    rows.loc[0, "se"] = np.nan
    random = made({"reference": ["hit", "eeg"], "model": ["net"], "layer": ["a"]}, "sd", value="mean", seed=3).assign(
        n=5
    )
    both = {"kind": "combination", "null_mean": 0.02, "null_high": 0.09, "selected": 0.21, "se": np.nan}
    more = rows[rows["reference"] == "judged"].iloc[[0]].assign(layer="all layers", score=0.44, **both)
    figure = reference_rdms.reference_bars(pd.concat([rows, more], ignore_index=True), random, ["deep", "net"])
    shown = panels(figure)
    assert figure.get_size_inches() == approx([9, 3.8])
    assert [ax.get_title() for ax in shown] == list(pd.unique(rows["reference"]))
    for ax in shown:
        part = rows[rows["reference"] == ax.get_title()].reset_index(drop=True)
        names = [f"{m} {n}" for m, n in zip(part["model"], part["layer"], strict=True)]
        extra = ["all layers"] if ax.get_title() == "judged" else []
        assert list(ticks(ax, "y").values()) == names + [f"{more['model'].iloc[0]} {name}" for name in extra]
        filled = [bar for bar in bars(ax) if bar.x == 0]
        assert {round(bar.y2 - bar.y, 6) for bar in bars(ax)} == {0.7}
        assert (ax.get_ylim(), levels(ax, "x")) == ((approx(len(names + extra) - 0.4), -0.6), {"": [0]})
        assert [bar.x2 for bar in filled] == approx([*part["score"], *([0.44] if extra else [])])
        assert [bar.colour for bar in filled[: len(part)]] == [
            canvas.COLOURS[["deep", "net"].index(model)].lower() for model in part["model"]
        ]
        ends = {round(end[1]): end[::2] for end in spans(ax, "#000000")}
        assert ends == {
            k: approx((row["score"] - row["se"], row["score"] + row["se"]))
            for k, row in part.iterrows() if np.isfinite(row["se"])
        }  # fmt: skip
        control = random[random["reference"] == ax.get_title()]
        marks = {names[round(mark.y)]: mark.x for mark in points(ax, "d")}
        assert marks == dict(zip(["net a"], control["mean"], strict=False))
        assert [end[::2] for end in spans(ax, "#555555")] == [
            approx((m - s, m + s)) for m, s in zip(control["mean"], control["sd"], strict=True)
        ]
        band = bounds[ax.get_title()]
        assert zones(ax) == ([approx(band)] if np.isfinite(band).all() else [])
        if extra:
            assert [(mark.x, mark.y) for mark in points(ax, "X")] == [(0.21, 4)]
            assert [(mark.x, mark.y) for mark in points(ax, "|")] == [(0.02, 4), (0.09, 4)]
            (own,) = [bar for bar in bars(ax) if bar.x != 0]
            assert (own.x, own.x2, (own.y + own.y2) / 2) == approx((0.65, 0.95, 4))
    assert "random weights, mean ± sd of 5" in legend(figure)
    assert len({ax.get_xlim() for ax in shown}) == 1


@pytest.mark.parametrize("several", [True, False])
def test_fits_over_layers(several: bool) -> None:
    models = ["net", "deep"] if several else ["net"]
    rows = made({"reference": ["hit", "eeg"], "model": models, "layer": ["b", "a", "c"]}, "se", "p_max", value="score")
    bounds = {"hit": (0.7, 0.8), "eeg": (np.nan, np.nan)}
    rows[["ceiling_low", "ceiling_high"]] = [bounds[name] for name in rows["reference"]]
    rows["best"] = (rows["layer"] == "a") & (rows["model"] == "net") & (rows["reference"] == "eeg")
    random = made({"reference": ["hit"], "model": ["net"], "layer": ["c", "b"]}, "sd", value="mean", seed=3).assign(n=5)
    combined = pd.DataFrame(
        {"reference": ["hit"], "model": ["net"], "layer": ["all"], "score": [0.51], "selected": [0.42]}
    )
    figure = reference_rdms.layer_curves(rows, random, None, combined)
    assert [legend(figure)[name] for name in pd.unique(rows["model"])] == FIRST[: len(models)]
    assert figure.get_size_inches() == approx([9, 3.5])
    reach = [(low, high) for low, high in (ax.dataLim.intervaly for ax in panels(figure))]
    room = 0.05 + 1.1 * (0.06 + 0.055 * len(models))  # for the verdicts
    limits = min(a - 0.05 * (b - a) for a, b in reach), max(b + room * (b - a) for a, b in reach)
    assert [ax.get_ylim() for ax in panels(figure)] == [approx(limits)] * 2
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
        (*place, text), *_ = words(ax)
        assert place == [0.02, 0.98]
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
        assert levels(ax)[""] == [0]
        if several:
            assert "relative depth" in ax.get_xlabel()
        else:
            assert ticks(ax) == dict(enumerate(net["layer"]))


def test_rdms_grouped_by_category() -> None:
    categories = ["face", "car", "face", "car", "face"]
    pairs = np.arange(10.0)[::-1]
    figure = reference_rdms.rdm_grid({"net": pairs, "brain": pairs**2, "more": -pairs, "last": pairs}, categories)
    shown = panels(figure)
    assert [ax.get_title() for ax in shown] == ["net", "brain", "more", "last"]
    assert figure.get_size_inches() == approx([9.05, 5.9])
    order = [0, 2, 4, 1, 3]
    matrix = np.zeros((5, 5))
    matrix[np.triu_indices(5, 1)] = pairs / 9
    expected = (matrix + matrix.T)[np.ix_(order, order)]
    np.testing.assert_allclose(cells(shown[0]), expected)
    assert {ax.images[0].get_clim() for ax in shown} == {(0, 1)}
    np.testing.assert_allclose(cells(shown[1]), expected)
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
