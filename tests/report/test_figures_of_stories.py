"""What figures of stories draw, held against the tables behind them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn import bars, curves, legend, levels, panels, points, spans, ticks
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
    assert figure.get_size_inches() == pytest.approx([6.2, 2.05])
    names = {"language": "language", "event rate": "event rate", "all": "all models"}
    assert list(ticks(panels(figure)[0], "y").values()) == [names[model] for model in models]
    for ax, region in zip(panels(figure), regions, strict=True):
        assert ax.get_title() == {"V1": "V1 (7)", "A1": "A1 (9)"}[region]
        assert levels(ax, "x").get("ceiling") == {"V1": [0.7], "A1": None}[region]
        assert levels(ax, "x").get("mean of other subjects") == {"V1": None, "A1": [0.3]}[region]
        of = rows[rows["region"] == region].set_index("model").loc[models]
        assert [(mark.x, mark.y) for mark in points(ax)] == list(zip(of["r"], range(3), strict=True))
        assert levels(ax, "x")[""] == [0]
        assert {(bar.x, round(bar.y2 - bar.y, 6)) for bar in bars(ax)} == {(0, 0.8)}
        assert [mark.hollow for mark in points(ax)] == [model == "event rate" for model in models]
        assert [mark.colour for mark in points(ax)] == [COLOURS[model] for model in models]
        assert {round((b.y + b.y2) / 2): b.x2 for b in bars(ax)} == pytest.approx(dict(enumerate(of["null_95"])))
        np.testing.assert_allclose([(e[0], e[2]) for e in spans(ax)], of[["low", "high"]])
        assert ax.yaxis_inverted()


def test_what_each_model_adds() -> None:
    rows = made(
        {"region": ["V1", "A1"], "model": ["all", "language", "acoustic", BOTH, "shared"]}, "null_95", value="unique"
    )
    figure = continuous.variance_shares(rows, COLOURS)
    (ax,) = panels(figure)
    assert figure.get_size_inches() == pytest.approx([4.4, 3.2])
    of = rows.set_index(["model", "region"])
    regions, names = (list(dict.fromkeys(rows[name])) for name in ("region", "model"))
    names.remove("all")
    drawn = sorted(((bar.x + bar.x2) / 2, bar.y2 if bar.y2 else bar.y) for bar in bars(ax))
    expected = [of.loc[(model, region), "unique"] for region in regions for model in names]
    assert [height for _, height in drawn] == pytest.approx(expected)
    assert list(ticks(ax).values()) == regions
    assert set(legend(figure)) == {"language", "acoustic", BOTH, "shared by several"}
    mixed = next(bar.colour for bar in bars(ax) if of.loc[(BOTH, "V1"), "unique"] in (bar.y, bar.y2))
    assert mixed == to_hex(np.mean([to_rgb(COLOURS[name]) for name in ("language", "acoustic")], axis=0))
    across = [e for e in spans(ax) if e[1] == e[3]]
    assert {round(bar.x2 - bar.x, 6) for bar in bars(ax)} == {0.18}
    assert {round(x2 - x, 6) for x, _, x2, _ in across} == {0.2}
    assert [middle for middle, _ in drawn] == pytest.approx([n + 0.2 * (k - 1.5) for n in range(2) for k in range(4)])
    assert levels(ax) == {"": [0]}
    assert [e[1] for e in sorted(across)] == pytest.approx(
        [of.loc[(model, region), "null_95"] for region in regions for model in names]
    )
    lines = sorted((e[0], e[1], e[3]) for e in spans(ax) if e not in across)
    limits = [tuple(of.loc[(model, region), ["low", "high"]]) for region in regions for model in names]
    np.testing.assert_allclose([line[1:] for line in lines], limits)


def test_weights_of_delays() -> None:
    rows = pd.DataFrame({"model": ["language"] * 3 + ["acoustic"] * 3, "delay_s": [2.0, 4, 6] * 2})
    rows["weight"] = [0.1, 0.4, 0.2, 3.0, 1.5, 0.75]
    figure = continuous.delay_weights(rows, COLOURS)
    (ax,) = panels(figure)
    assert figure.get_size_inches() == pytest.approx([4.6, 2.8])
    assert ax.get_ylim() == (0, 1.05)
    assert curves(ax) == {
        "language": [([2, 4, 6], pytest.approx([0.25, 1, 0.5]))],
        "acoustic": [([2, 4, 6], pytest.approx([1, 0.5, 0.25]))],
    }
