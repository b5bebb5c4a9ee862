"""What figures of stories draw: on record, main marks held against tables."""

import numpy as np
import pandas as pd
import pytest
from drawn import curves, panels, points
from made import made

from brainalign.report.pages import continuous

COLOURS = {"language": "#0072b2", "acoustic": "#e69f00", "event rate": "#8c8c8c", "all": "#000000", "shared": "#dddddd"}
MODELS = ["language", "event rate", "all"]
BOTH = "language & acoustic"


def test_runs_shares_and_delays() -> None:
    rows = made({"region": ["V1", "A1"], "model": MODELS}, "null_95", value="r").assign(
        kind=lambda t: t["model"].map({"language": "model", "event rate": "control", "all": "joint"}),
        n_targets=lambda t: t["region"].map({"V1": 7, "A1": 9}),
        ceiling=lambda t: t["region"].map({"V1": 0.7, "A1": np.nan}),
        others=lambda t: t["region"].map({"V1": np.nan, "A1": 0.3}),
    )
    figure = continuous.predicted_runs(rows, COLOURS)
    regions, models = list(dict.fromkeys(rows["region"])), list(dict.fromkeys(rows["model"]))
    for ax, region in zip(panels(figure), regions, strict=True):
        of = rows[rows["region"] == region].set_index("model").loc[models]
        assert [(mark.x, mark.y) for mark in points(ax)] == list(zip(of["r"], range(3), strict=True))
    names = {"region": ["V1", "A1"], "model": ["all", "language", "acoustic", BOTH, "shared"]}
    rows = made(names, "null_95", "limit", value="unique")
    (ax,) = panels(continuous.variance_shares(rows, COLOURS))
    limits = rows[rows["model"] != "all"].set_index(["model", "region"])["limit"]
    order = [(model, region) for model in limits.index.unique(0) for region in dict.fromkeys(rows["region"])]
    assert [mark.y for mark in points(ax)] == [limits[pair] for pair in order]
    rows = pd.DataFrame({"model": ["language"] * 3 + ["acoustic"] * 3, "delay_s": [2.0, 4, 6] * 2})
    rows["weight"] = [0.1, 0.4, 0.2, 3.0, 1.5, 0.75]
    assert curves(panels(continuous.delay_weights(rows, COLOURS))[0]) == {
        "language": [([2, 4, 6], pytest.approx([0.25, 1, 0.5]))],
        "acoustic": [([2, 4, 6], pytest.approx([1, 0.5, 0.25]))],
    }
