"""What figures of planted worlds, series and movies draw, held against the tables behind them."""

import numpy as np
import pandas as pd
import pytest
from drawn import bands, bars, cells, curves, legend, lengths, levels, over, panels, points, spans, ticks, words, zones
from made import changing, made
from pages import check

from brainalign.report.encoding_sections import recovery
from brainalign.report.pages import dynamics, series

approx = pytest.approx


def test_planted_layers() -> None:
    rows = pd.DataFrame({"area": ["V1", "V2", "V4", "LO", "MT"], "planted": list("aabca"), "recovered": list("abbca")})
    depth = dict(zip("abc", (0, 0.5, 1), strict=True))
    rows = rows.assign(planted_depth=rows["planted"].map(depth), recovered_depth=rows["recovered"].map(depth))
    rows = rows.assign(decided=[True, True, True, True, False], reason="too close")
    counts, depths = panels(recovery.planted_layers(rows, ["c", "a", "b"]))
    assert cells(counts).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert set(words(counts)) == {(0, 0, "1"), (1, 1, "1"), (2, 1, "1"), (2, 2, "1")}
    assert counts.get_title() == "exact in 3 of 4 decided"
    assert [(mark.x, mark.y) for mark in points(depths)] == [(0, 0), (0, 0.5), (0.5, 0.5), (1, 1)]
    assert set(words(depths)) == {(0, 0, "V1"), (0, 0.5, "V2"), (0.5, 0.5, "V4"), (1, 1, "LO")}
    assert depths.get_title() == "Spearman 0.83 over 4 areas\nundecided: 1 of 5 areas\n(too close)"
    (diagonal,) = [line for line in depths.lines if hasattr(line, "get_slope")]
    assert (diagonal.get_xy1(), diagonal.get_slope()) == ((0, 0), 1)
    (ax,) = panels(recovery.planted_layers(rows.assign(planted_depth=0.7)))
    assert "no rank correlation" in ax.get_title()
    ax = panels(recovery.planted_layers(rows.assign(planted_depth=0.7, recovered_depth=0.2, decided=True)))[0]
    assert words(ax) == [(0.7, 0.2, "V1, V2, V4 +2")]


def test_planted_latencies() -> None:
    rows = pd.DataFrame(
        {"layer": list("abcd"), "planted_ms": [60.0, 90, 120, 150], "recovered_ms": [65.0, 95, 140, 90]}
    )
    rows = rows.assign(low_ms=rows["recovered_ms"] - [2, 3, 4, 5], high_ms=rows["recovered_ms"] + [6, 7, 8, 9])
    rows = rows.assign(decided=[True, True, True, False], reason="flat", modality=["meg", "eeg", "meg", "eeg"])
    (ax,) = panels(recovery.planted_latencies(rows, 15.0))
    marks = [("meg", 59.25, 65), ("meg", 119.25, 140), ("eeg", 90.75, 95)]
    assert sorted((mark.label, mark.x, mark.y) for mark in points(ax)) == sorted(marks)
    assert sorted(end[1::2] for end in spans(ax)) == [(63, 71), (92, 102), (136, 148)]
    assert ax.get_title() == "2 of 3 decided within 15 ms\nundecided: 1 of 4 latencies\n(flat)"
    (band,) = bands(ax)
    assert all((low, high) == approx((x - 15, x + 15)) for x, (low, high) in band.items())
    (ax,) = panels(recovery.planted_latencies(rows.drop(columns="modality"), 2.0))
    assert sorted((mark.x, mark.y) for mark in points(ax)) == [(60, 65), (90, 95), (120, 140)]
    assert ax.get_title().startswith("2 of 3 decided within 12 ms")


@pytest.mark.parametrize(("sample_ms", "inside"), [(4.0, 3), (20.0, 4)])
def test_latencies_are_judged_by_the_larger_of_12_ms_and_a_sample(sample_ms: float, inside: int) -> None:
    error = np.array([0, -11, 12, 15, 40, 0])
    rows = pd.DataFrame({"layer": list("abcdef"), "planted_ms": np.arange(6) * 25 + 80.0, "reason": "no cluster"})
    rows["recovered_ms"] = rows["planted_ms"] + error
    rows = rows.assign(low_ms=rows["recovered_ms"] - 5, high_ms=rows["recovered_ms"] + 5, decided=np.arange(6) < 5)
    title = recovery.planted_latencies(rows, sample_ms).axes[0].get_title()
    check(title, f"{inside} of 5 decided within {max(12, sample_ms):g} ms", "undecided: 1 of 6 latencies")


def test_planted_ceilings() -> None:
    rng = np.random.default_rng(0)
    rows = pd.concat([pd.DataFrame({"planted": p, "ceiling": p + b + 0.01 * rng.normal(size=n)})
                      for p, b, n in ((0.5, 0.0, 300), (0.0, 0.05, 100))])  # fmt: skip
    ax, gap = panels(recovery.planted_ceilings(rows))
    means = rows.groupby("planted")["ceiling"]
    assert {mark.x: mark.y for mark in points(ax, "o")} == approx(means.mean().to_dict())
    assert {end[0]: end[3] - end[1] for end in spans(ax)} == approx((2 * means.std()).to_dict())
    assert {mark.x: mark.y for mark in points(gap)} == approx({0.5: means.mean()[0.5] - 0.5, 0.0: means.mean()[0.0]})
    error = 4 * means.std() / np.sqrt(means.size())
    assert {end[0]: end[3] - end[1] for end in spans(gap)} == approx(error.to_dict())
    dots = points(ax, ".")
    assert sum(mark.x > 0.25 for mark in dots) == 250
    assert sum(mark.x < 0.25 for mark in dots) == 100
    assert all(min(abs(mark.x), abs(mark.x - 0.5)) <= 0.008 for mark in dots)
    assert {round(mark.y, 9) for mark in dots} <= set(rows["ceiling"].round(9))
    assert zones(gap) == [approx((-0.02, 0.02))]
    assert curves(ax)[""][-1] == ([0, 0.5], [0, 0.5])
    ax, gap = panels(recovery.planted_ceilings(rows.assign(planted=0.0, ceiling=0.0)))
    assert curves(ax)[""][-1] == ([0, 0.1], [0, 0.1])


def test_planted_preferences() -> None:
    rows = pd.DataFrame({"area": list("vwxyz"), "planted": ["red", "red", "big", "red", "big"]})
    rows = rows.assign(recovered=["red", "big", "big", "red", "odd"], decided=[True] * 4 + [False], reason="far")
    (ax,) = panels(recovery.planted_preferences(rows))
    assert list(ticks(ax).values()) == list(ticks(ax, "y").values()) == ["red", "big"]
    assert cells(ax).tolist() == [[2, 1], [0, 1]]
    assert ax.get_title() == "exact in 3 of 4 decided\nundecided: 1 of 5 areas\n(far)"
    (ax,) = panels(recovery.planted_preferences(rows.assign(decided=True)))
    assert list(ticks(ax).values()) == ["red", "big", "odd"]  # found though never planted


KIND = {"masked model": "model", "lagged Gaussian": "baseline", "instantaneous Gaussian": "baseline", "mean": "null"}


def filled() -> pd.DataFrame:
    rows = made({"name": list(KIND), "hidden": ["regions", "frames"], "network": ["", "Vis", "DMN"]}, value="r2")
    return rows.assign(kind=rows["name"].map(KIND))


def test_hidden_regions() -> None:
    rows = filled()
    whole = rows[rows["network"] == ""]
    names = list(pd.unique(whole["name"]))[::-1]
    for k, (ax, view) in enumerate(zip(panels(series.filled_figure(rows)), pd.unique(whole["hidden"]), strict=True)):
        of = whole[whole["hidden"] == view].set_index("name")
        if k == 0:
            assert list(ticks(ax, "y").values()) == names
        assert [(mark.x, mark.y) for mark in points(ax)] == [(of.loc[n, "r2"], i) for i, n in enumerate(names)]
        np.testing.assert_allclose([(e[0], e[2]) for e in spans(ax)], of.loc[names, ["low", "high"]])
        assert [mark.label for mark in points(ax)] == [KIND[n] for n in names]
    figure = series.filled_networks_figure(rows)
    inside = rows[(rows["network"] != "") & (rows["name"] != "mean")]
    views, networks = (list(pd.unique(inside[name])) for name in ("hidden", "network"))
    for ax, view in zip(panels(figure), views, strict=True):
        of = inside[inside["hidden"] == view].set_index(["network", "name"])["r2"]
        assert lengths(ax) == {n: [(0, approx(of[n, name])) for name in list(KIND)[:3]] for n in networks}
        for label, shade in legend(figure).items():
            assert [bar.y2 for bar in bars(ax) if bar.colour == shade] == approx([of[n, label] for n in networks])


def test_embeddings_of_regions() -> None:
    networks = [f"n{k}" for k in range(10)]
    rows = changing(pd.DataFrame({"network": networks * 2}), ["x", "y"]).assign(share=0.43)
    (ax,) = panels(series.embedding_figure(rows))
    for name, part in rows.groupby("network"):
        marks = [(mark.x, mark.y) for mark in points(ax) if mark.label == name]
        assert marks == list(part[["x", "y"]].itertuples(index=False, name=None))
    looks = {(tuple(s.get_facecolor()[0]), s.get_paths()[0].vertices.tobytes()) for s in ax.collections}
    assert len(looks) == 10


def test_traces_of_hidden_regions() -> None:
    rng = np.random.default_rng(0)
    traces = {name: rng.normal(size=(2, 50)) for name in ("true", "model", "gaussian")}
    labels = {"measured": "true", "masked model": "model", "lagged Gaussian": "gaussian"}
    for k, ax in enumerate(panels(series.traces_figure(traces, ["V1", "V2"], 2.0, 21.0))):
        for label, name in labels.items():
            assert curves(ax)[label] == [([2.0 * i for i in range(10)], traces[name][k, :10].tolist())]
    assert curves(panels(series.traces_figure(traces, ["a", "b"], 2.0, 1.0))[0])["measured"][0][0] == [0, 2]
    assert len(curves(panels(series.traces_figure(traces, ["a", "b"], 0.5))[0])["measured"][0][0]) == 50


def test_labels_of_people() -> None:
    names = {"label": ["age", "state"], "name": ["embedding", "connectivity", "chance"]}
    rows = made(names, "null_high", value="score")
    rows = rows.drop(rows[(rows["label"] == "age") & (rows["name"] == "chance")].index)
    rows[["chance", "metric"]] = [{"age": (0.05, "r"), "state": (0.08, "acc")}[label] for label in rows["label"]]
    rows.loc[rows.index[0], "null_high"] = np.nan
    for ax, (_, part) in zip(panels(series.person_figure(rows)), rows.groupby("label", sort=False), strict=True):
        assert over(ax, points(ax), "y") == {n: [s] for n, s in zip(part["name"], part["score"], strict=True)}
        np.testing.assert_allclose([(e[0], e[2]) for e in spans(ax)], part[["low", "high"]].iloc[::-1])
        nulls = part.dropna(subset=["null_high"])
        chance = part["chance"].iloc[0]
        highest = zip(nulls["name"], nulls["null_high"], strict=True)
        assert lengths(ax, "y") == {name: [approx((chance, high))] for name, high in highest}
        assert levels(ax, "x")["chance"] == [chance]


def test_followed_through_occlusion() -> None:
    levels_of = {"network": ["net", "deep"], "name": ["a", "b", ""], "epoch": ["visible", "occluded"]}
    rows = made(levels_of, "null_95", value="r_normalized")
    rows["role"] = rows["name"].map({"a": "model", "b": "control", "": "model"})
    hidden, seen = panels(dynamics.followed_bars(rows))
    keys = list(dict.fromkeys(zip(rows["network"], rows["name"], rows["role"], strict=True)))
    order = [k for k in keys if k[2] == "model"] + [k for k in keys if k[2] == "control"]
    for ax, epoch in ((hidden, "occluded"), (seen, "visible")):
        of = rows[rows["epoch"] == epoch].set_index(["network", "name"])
        ends = {round((b.y + b.y2) / 2): b.x2 for b in bars(ax)}
        assert ends == approx({k: of.loc[key[:2], "null_95"] for k, key in enumerate(order)})
        assert [(m.x, m.y) for m in points(ax)] == [(of.loc[key[:2], "r_normalized"], k) for k, key in enumerate(order)]
        assert [m.hollow for m in points(ax)] == [key[2] == "control" for key in order]
        np.testing.assert_allclose([e[::2] for e in spans(ax)], [of.loc[key[:2], ["low", "high"]] for key in order])
        assert levels(ax, "x")["ceiling"] == [1]


def test_followed_frame_by_frame() -> None:
    rows = made({"network": ["net", "deep"], "name": ["a", "b"], "time": [2, 0, 1]}, "null_95", value="score")
    rows = rows.sort_values("time", kind="stable").assign(role=lambda t: t["name"].map({"a": "model", "b": "control"}))
    rows = rows.assign(hidden=rows["time"].map({0: 0.1, 1: 0.5, 2: 0.9}))
    rows.loc[(rows["network"] == "net") & (rows["name"] == "b"), "score"] = np.nan
    ax, shade = panels(dynamics.followed_movies(rows, 0.5))
    dynamics.followed_movies(rows)  # in frames
    found = curves(ax)
    for (network, name), part in rows.dropna().groupby(["network", "name"]):
        assert found[f"{network}, {name}"] == [([0, 0.5, 1], approx(part["score"].tolist()))]
    assert "net, b" not in found
    highest = rows.groupby("time")["null_95"].max().tolist()
    assert found["conditions exchanged, 95 %"] == [([0, 0.5, 1], approx(highest))]
    (band,) = bands(shade)
    assert band == {0: (0, 0.1), 0.25: (0, 0.5), 0.75: (0, 0.9), 1: (0, 0.9)}
