"""What figures of stories draw, held against the tables behind them."""

import numpy as np
import pandas as pd
import pytest
from drawn import bars, curves, levels, panels, points, spans
from made import made
from matplotlib.colors import to_hex, to_rgb

from brainalign.report.pages import continuous

COLOURS = {"language": "#0072b2", "acoustic": "#e69f00", "event rate": "#8c8c8c", "all": "#000000", "shared": "#dddddd"}
MODELS = ["language", "event rate", "all"]
BOTH = "language & acoustic"


def test_runs_that_are_predicted() -> None:
    rows = made({"region": ["V1", "A1"], "model": MODELS}, "null_95", value="r").assign(
        kind=lambda t: t["model"].map({"language": "model", "event rate": "control", "all": "joint"}),
        n_targets=lambda t: t["region"].map({"V1": 7, "A1": 9}),
        ceiling=lambda t: t["region"].map({"V1": 0.7, "A1": np.nan}),
        others=lambda t: t["region"].map({"V1": np.nan, "A1": 0.3}),
    )
    figure = continuous.predicted_runs(rows, COLOURS)
    regions, models = list(dict.fromkeys(rows["region"])), list(dict.fromkeys(rows["model"]))
    for ax, region in zip(panels(figure), regions, strict=True):
        assert ax.get_title() == {"V1": "V1 (7)", "A1": "A1 (9)"}[region]
        assert levels(ax, "x").get("ceiling") == {"V1": [0.7], "A1": None}[region]
        assert levels(ax, "x").get("mean of other subjects") == {"V1": None, "A1": [0.3]}[region]
        of = rows[rows["region"] == region].set_index("model").loc[models]
        assert [(mark.x, mark.y) for mark in points(ax)] == list(zip(of["r"], range(3), strict=True))
        assert [mark.hollow for mark in points(ax)] == [model == "event rate" for model in models]
        assert {round((b.y + b.y2) / 2): b.x2 for b in bars(ax)} == pytest.approx(dict(enumerate(of["null_95"])))
        np.testing.assert_allclose([(e[0], e[2]) for e in spans(ax)], of[["low", "high"]])


def test_what_each_model_adds() -> None:
    names = {"region": ["V1", "A1"], "model": ["all", "language", "acoustic", BOTH, "shared"]}
    rows = made(names, "null_95", value="unique")
    (ax,) = panels(continuous.variance_shares(rows, COLOURS))
    of = rows.set_index(["model", "region"])
    regions, names = (list(dict.fromkeys(rows[name])) for name in ("region", "model"))
    names.remove("all")
    drawn = sorted(((bar.x + bar.x2) / 2, bar.y2 if bar.y2 else bar.y) for bar in bars(ax))
    expected = [of.loc[(model, region), "unique"] for region in regions for model in names]
    assert [height for _, height in drawn] == pytest.approx(expected)
    mixed = next(bar.colour for bar in bars(ax) if of.loc[(BOTH, "V1"), "unique"] in (bar.y, bar.y2))
    assert mixed == to_hex(np.mean([to_rgb(COLOURS[name]) for name in ("language", "acoustic")], axis=0))
    across = [e for e in spans(ax) if e[1] == e[3]]
    nulls = [of.loc[(model, region), "null_95"] for region in regions for model in names]
    assert [e[1] for e in sorted(across)] == pytest.approx(nulls)
    lines = sorted((e[0], e[1], e[3]) for e in spans(ax) if e not in across)
    limits = [tuple(of.loc[(model, region), ["low", "high"]]) for region in regions for model in names]
    np.testing.assert_allclose([line[1:] for line in lines], limits)


def test_weights_of_delays() -> None:
    rows = pd.DataFrame({"model": ["language"] * 3 + ["acoustic"] * 3, "delay_s": [2.0, 4, 6] * 2})
    rows["weight"] = [0.1, 0.4, 0.2, 3.0, 1.5, 0.75]
    (ax,) = panels(continuous.delay_weights(rows, COLOURS))
    assert curves(ax) == {
        "language": [([2, 4, 6], pytest.approx([0.25, 1, 0.5]))],
        "acoustic": [([2, 4, 6], pytest.approx([1, 0.5, 0.25]))],
    }
