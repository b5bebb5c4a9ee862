"""What figures of planted worlds, series, stories and movies draw: on record, main marks held against tables."""

import numpy as np
import pandas as pd
import pytest
from drawn import cells, curves, panels, points, ticks
from made import changing, made
from pages import check

from brainalign.report.encoding_sections import recovery
from brainalign.report.pages import continuous, dynamics, series

approx = pytest.approx
KIND = {"masked model": "model", "lagged Gaussian": "baseline", "instantaneous Gaussian": "baseline", "mean": "null"}


def test_what_was_planted_and_found(rng: np.random.Generator) -> None:
    rows = pd.DataFrame({"area": ["V1", "V2", "V4", "LO", "MT"], "planted": list("aabca"), "recovered": list("abbca")})
    depth = dict(zip("abc", (0, 0.5, 1), strict=True))
    rows = rows.assign(planted_depth=rows["planted"].map(depth), recovered_depth=rows["recovered"].map(depth))
    rows = rows.assign(decided=[True, True, True, True, False], reason="too close")
    counts, depths = panels(recovery.planted_layers(rows, ["c", "a", "b"]))
    assert cells(counts).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert depths.get_title() == "Spearman 0.83 over 4 areas\nundecided: 1 of 5 areas\n(too close)"
    recovery.planted_layers(rows.assign(planted_depth=0.7))
    recovery.planted_layers(rows.assign(planted_depth=0.7, recovered_depth=0.2, decided=True))
    planted, recovered = [60.0, 90, 120, 150], [65.0, 95, 140, 90]
    rows = pd.DataFrame({"layer": list("abcd"), "planted_ms": planted, "recovered_ms": recovered})
    rows = rows.assign(low_ms=rows["recovered_ms"] - [2, 3, 4, 5], high_ms=rows["recovered_ms"] + [6, 7, 8, 9])
    rows = rows.assign(decided=[True, True, True, False], reason="flat", modality=["meg", "eeg", "meg", "eeg"])
    (ax,) = panels(recovery.planted_latencies(rows, 15.0))
    marks = [("meg", 59.25, 65), ("meg", 119.25, 140), ("eeg", 90.75, 95)]
    assert sorted((mark.label, mark.x, mark.y) for mark in points(ax)) == sorted(marks)
    assert ax.get_title() == "2 of 3 decided within 15 ms\nundecided: 1 of 4 latencies\n(flat)"
    recovery.planted_latencies(rows.drop(columns="modality"), 2.0)
    rows = pd.concat([pd.DataFrame({"planted": p, "ceiling": p + b + 0.01 * rng.normal(size=n)})
                      for p, b, n in ((0.5, 0.0, 300), (0.0, 0.05, 100))])  # fmt: skip
    ax, _ = panels(recovery.planted_ceilings(rows))
    assert {mark.x: mark.y for mark in points(ax, "o")} == approx(rows.groupby("planted")["ceiling"].mean().to_dict())
    recovery.planted_ceilings(rows.assign(planted=0.0, ceiling=0.0))
    rows = pd.DataFrame({"area": list("vwxyz"), "planted": ["red", "red", "big", "red", "big"]})
    rows = rows.assign(recovered=["red", "big", "big", "red", "odd"], decided=[True] * 4 + [False], reason="far")
    recovery.planted_preferences(rows)
    recovery.planted_preferences(rows.assign(decided=True))  # found though never planted


@pytest.mark.parametrize(("sample_ms", "inside"), [(4.0, 3), (20.0, 4)])
def test_latencies_are_judged_by_the_larger_of_12_ms_and_a_sample(sample_ms: float, inside: int) -> None:
    rows = pd.DataFrame({"layer": list("abcdef"), "planted_ms": np.arange(6) * 25 + 80.0, "reason": "no cluster"})
    rows["recovered_ms"] = rows["planted_ms"] + np.array([0, -11, 12, 15, 40, 0])
    rows = rows.assign(low_ms=rows["recovered_ms"] - 5, high_ms=rows["recovered_ms"] + 5, decided=np.arange(6) < 5)
    title = recovery.planted_latencies(rows, sample_ms).axes[0].get_title()
    check(title, f"{inside} of 5 decided within {max(12, sample_ms):g} ms", "undecided: 1 of 6 latencies")


def test_regions_traces_and_people(rng: np.random.Generator) -> None:
    rows = made({"name": list(KIND), "hidden": ["regions", "frames"], "network": ["", "Vis", "DMN"]}, value="r2")
    rows["kind"] = rows["name"].map(KIND)
    whole = rows[rows["network"] == ""]
    names = list(pd.unique(whole["name"]))[::-1]
    for ax, view in zip(panels(series.filled_figure(rows)), pd.unique(whole["hidden"]), strict=True):
        of = whole[whole["hidden"] == view].set_index("name")
        assert [(mark.x, ticks(ax, "y")[mark.y]) for mark in points(ax)] == [(of.loc[n, "r2"], n) for n in names]
    series.filled_networks_figure(rows)
    rows = changing(pd.DataFrame({"network": [f"n{k}" for k in range(10)] * 2}), ["x", "y"]).assign(share=0.43)
    series.embedding_figure(rows)
    traces = {name: rng.normal(size=(2, 50)) for name in ("true", "model", "gaussian")}
    for lasting in ((2.0, 21.0), (2.0, 1.0), (0.5,)):
        series.traces_figure(traces, ["a", "b"], *lasting)
    names = {"label": ["age", "state"], "name": ["embedding", "connectivity", "chance"]}
    rows = made(names, "null_high", value="score")
    rows = rows.drop(rows[(rows["label"] == "age") & (rows["name"] == "chance")].index)
    rows[["chance", "metric"]] = [{"age": (0.05, "r"), "state": (0.08, "acc")}[label] for label in rows["label"]]
    rows.loc[rows.index[0], "null_high"] = np.nan
    series.person_figure(rows)


def test_followed_through_occlusion() -> None:
    levels_of = {"network": ["net", "deep"], "name": ["a", "b", ""], "epoch": ["visible", "occluded"]}
    rows = made(levels_of, "null_95", value="r_normalized")
    rows["role"] = rows["name"].map({"a": "model", "b": "control", "": "model"})
    hidden, seen = panels(dynamics.followed_bars(rows))
    keys = list(dict.fromkeys(zip(rows["network"], rows["name"], rows["role"], strict=True)))
    order = [k for k in keys if k[2] == "model"] + [k for k in keys if k[2] == "control"]
    for ax, epoch in ((hidden, "occluded"), (seen, "visible")):
        of = rows[rows["epoch"] == epoch].set_index(["network", "name"])
        assert [(m.x, m.y) for m in points(ax)] == [(of.loc[key[:2], "r_normalized"], k) for k, key in enumerate(order)]
        assert [m.hollow for m in points(ax)] == [key[2] == "control" for key in order]
    rows = made({"network": ["net", "deep"], "name": ["a", "b"], "time": [2, 0, 1]}, "null_95", value="score")
    rows = rows.sort_values("time", kind="stable").assign(role=lambda t: t["name"].map({"a": "model", "b": "control"}))
    rows = rows.assign(hidden=rows["time"].map({0: 0.1, 1: 0.5, 2: 0.9}))
    rows.loc[(rows["network"] == "net") & (rows["name"] == "b"), "score"] = np.nan
    dynamics.followed_movies(rows, 0.5)
    dynamics.followed_movies(rows)  # in frames


COLOURS = {"language": "#0072b2", "acoustic": "#e69f00", "event rate": "#8c8c8c", "all": "#000000", "shared": "#dddddd"}
MODELS = ["language", "event rate", "all"]


def test_runs_shares_and_delays() -> None:
    rows = made({"region": ["V1", "A1"], "model": MODELS}, "null_95", value="r").assign(
        kind=lambda t: t["model"].map({"language": "model", "event rate": "control", "all": "joint"}),
        n_targets=lambda t: t["region"].map({"V1": 7, "A1": 9}),
        ceiling=lambda t: t["region"].map({"V1": 0.7, "A1": np.nan}),
        others=lambda t: t["region"].map({"V1": np.nan, "A1": 0.3}),
    )
    regions, models = list(dict.fromkeys(rows["region"])), list(dict.fromkeys(rows["model"]))
    for ax, region in zip(panels(continuous.predicted_runs(rows, COLOURS)), regions, strict=True):
        of = rows[rows["region"] == region].set_index("model").loc[models]
        assert [(mark.x, mark.y) for mark in points(ax)] == list(zip(of["r"], range(3), strict=True))
    names = {"region": ["V1", "A1"], "model": ["all", "language", "acoustic", "language & acoustic", "shared"]}
    rows = made(names, "corrected", value="unique")
    rows["p"] = np.where(rows["model"] == "language", 0.01, 0.05)
    (ax,) = panels(continuous.variance_shares(rows, COLOURS))
    corrected = rows[rows["model"] != "all"].set_index(["model", "region"])["corrected"]
    order = [(model, region) for model in corrected.index.unique(0) for region in dict.fromkeys(rows["region"])]
    assert [mark.y for mark in points(ax) if mark.y] == [corrected[pair] for pair in order]
    assert sum(mark.y == 0 for mark in points(ax)) == 2  # stars
    rows = pd.DataFrame({"model": ["language"] * 3 + ["acoustic"] * 3, "delay_s": [2.0, 4, 6] * 2, "region": "A1"})
    rows["weight"] = [0.1, 0.4, 0.2, 3.0, 1.5, 0.75]
    weights = {"language": [0.25, 1, 0.5], "acoustic": [1, 0.5, 0.25]}
    expected = {name: [([2, 4, 6], pytest.approx(values))] for name, values in weights.items()}
    rows = pd.concat([rows, rows[:3].assign(region="V1", weight=[5, 1, 2.5])])
    ax, other = panels(continuous.delay_weights(rows, COLOURS))
    assert curves(ax) == expected
    assert curves(other) == {"language": [([2, 4, 6], pytest.approx([1, 0.2, 0.5]))]}
