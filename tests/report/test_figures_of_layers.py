"""What figures of layers and regions draw: on record, main marks held against tables."""

import numpy as np
import pandas as pd
import pytest
from drawn import cells, curves, legend, panels, points, spans, ticks, words
from made import changing, made

from brainalign.report.encoding_sections import encoders, layers, partition
from brainalign.report.geometry_sections import matching

approx = pytest.approx


def profile_rows() -> pd.DataFrame:
    rows = made({"roi": ["V4", "PPA"], "model": ["net", "untrained", "deep"], "layer": ["c", "a", "b"]}, value="r")
    rows = changing(rows, ["se", "null_mean", "null_high", "ceiling_r"], 0.01, 0.2)
    rows["null_high"] += 0.2
    rows = rows[~((rows["model"] == "net") & (rows["layer"] == rows["layer"].iloc[0]))].reset_index(drop=True)
    return rows.assign(decided=(rows["roi"] == "V4") | (rows["model"] == "deep"), reason="")


def test_profiles_over_layers() -> None:
    rows = profile_rows()
    figure = layers.layer_profile(rows, ["deep", "net", "untrained"], ["untrained"])
    shown, colours = panels(figure), legend(figure)
    for ax in shown:
        part = rows[rows["roi"] == ax.get_title()]
        for name, label in {"net": "net", "deep": "deep", "untrained": "untrained (random)"}.items():
            mine = part[part["model"] == name]
            assert curves(ax)[label] == [({3: [0, 0.5, 1], 2: [0, 1]}[len(mine)], approx(mine["r"].tolist()))]
            ends = [end[1::2] for end in spans(ax, colours[label])]
            np.testing.assert_allclose(ends, np.c_[mine["r"] - mine["se"], mine["r"] + mine["se"]])
        assert [text for _, _, text in words(ax)] == ([] if ax.get_title() == "V4" else ["undecided: net"])


@pytest.mark.parametrize(("n", "said"), [(3, "undecided: net0, net1, net2"), (4, "undecided: 4 models (no star)")])
def test_undecided_models_are_named_while_their_names_leave_room(n: int, said: str) -> None:
    rows = made({"roi": ["noise"], "model": [f"net{k}" for k in range(n)], "layer": ["a", "b"]}, value="r")
    rows = rows.sort_values("model").assign(se=0.01, null_mean=0.0, null_high=0.04, ceiling_r=0.7, decided=False)
    (ax,) = panels(layers.layer_profile(rows.assign(reason="at its null")))
    assert [text.replace("\n", " ") for _, _, text in words(ax)] == [said]
    (ax,) = panels(layers.layer_profile(rows.drop_duplicates("model").assign(layer=lambda of: of["model"], reason="")))
    assert (ax.get_xlabel(), [*ticks(ax).values()]) == ("", [""])  # a layer each: no depth, and no name for all


def test_many_layers_keep_their_names_and_their_parts_and_regions() -> None:
    rows = made({"roi": ["V1"], "model": ["net"], "layer": [f"l{k}" for k in range(20)]}, value="r")
    rows = rows.assign(se=0.1, null_mean=0.0, null_high=0.1, ceiling_r=0.9, decided=False, reason="")
    (ax,) = panels(layers.layer_profile(rows))
    assert {round(19 * place): name for place, name in ticks(ax).items()} == rows["layer"][::3].to_dict()
    rows = partition_rows(["V4", "V1", "PPA", "LO", "MT"])
    rows.loc[rows["group"] == "V1", "ceiling"] = np.nan
    partition.partition_bars(rows, "R²")
    rows = made({"group": ["V4", "PPA"], "layer": ["c", "a", "b"]}, value="weight")
    rows["weight"] /= 2  # those of a group add up to 1 at most
    encoders.layer_weights(rows.drop(rows[(rows["group"] == "V4") & (rows["layer"] == "a")].index))
    rows = profile_rows().assign(r=lambda table: table["r"] - 0.3)
    ax = panels(layers.roi_layer_heatmap(rows, "untrained"))[0]
    of = rows[rows["model"] == "untrained"].set_index(["roi", "layer"])["r"]
    rois, names = list(ticks(ax, "y").values()), list(ticks(ax).values())
    np.testing.assert_allclose(cells(ax), [[of[roi, name] for name in names] for roi in rois])
    (dot,) = points(ax, "o")
    assert (names[int(dot.x)], rois[int(dot.y)]) == (of["V4"].idxmax(), "V4")
    assert [layers._end_of_scale(np.array(r)) for r in ([0.01, 0.23], [-0.3, 0.0], [np.nan, 1.31])] == [0.3, 1.0, 1.4]


def partition_rows(groups: list) -> pd.DataFrame:
    rows = made({"group": groups, "layer": ["b", "all", "a"]}, value="split")
    rows = changing(rows, ["control_split", "ceiling"], 0.7, 0.99)
    rows = rows.sort_values("layer", key=lambda layer: layer == "all", kind="stable").reset_index(drop=True)
    return rows.assign(joint=rows["layer"] == "all", n_targets=9)


@pytest.mark.parametrize("known", [True, False])
def test_parts_of_a_joint_score_over_time(known: bool) -> None:
    rows = partition_rows([-0.1, 0.0, 0.1, 0.25]).sort_values("group", kind="stable")
    rows["ceiling"] = rows["ceiling"].where([known and time != 0.1 for time in rows["group"]])
    (ax,) = panels(partition.partition_over_time(rows, "r"))
    drawn = [([-100, 0, 100, 250], approx(rows.loc[rows["joint"], "ceiling"].tolist(), nan_ok=True))]
    assert curves(ax).get("noise ceiling", []) == (drawn if known else [])


def test_networks_and_their_layers() -> None:
    names = {"model_a": ["net", "deep"], "layer_a": ["b", "a"], "model_b": ["other"]}
    matching.pair_heatmaps(made({**names, "layer_b": [f"l{k}" for k in range(13)]}))
    rows = made({"model": ["net", "deep"], "number": [2, 0, 1], "measure": ["pr", "twonn", "void", "mle"]})
    rows = rows.assign(network="net", step=-1)
    rows.loc[rows["measure"] == "void", "value"] = np.nan
    for ax, kind in zip(panels(matching.dimension_profiles(rows)), ("twonn", "mle", "pr"), strict=True):
        for model, part in rows[rows["measure"] == kind].sort_values("number").groupby("model"):
            assert curves(ax)[model] == [([0, 0.5, 1], approx(part["value"].tolist()))]
    steps = made({"model": ["net"], "step": [100, 0, 10], "number": [2, 0, 1], "measure": ["pr", "void"]})
    steps.loc[steps["measure"] == "void", "value"] = np.inf
    matching.dimension_profiles(steps.assign(network=steps["model"]))
    names = {"model": ["net", "deep"], "number": [2, 0, 1], "feature": ["colour", "size"]}
    rows = made(names, "decodability", value="explained")
    rows.loc[0, "decodability"] = -0.3
    matching.feature_shares(rows)


@pytest.mark.parametrize("training", [False, True])
def test_manifolds_over_layers(training: bool) -> None:
    measures = list(matching.DRAWN)
    names = {"layer": ["b", "a"], "step": [10, 0]} if training else {"layer": ["x"], "number": [2, 0, 1]}
    rows = made({"model": ["net", "deep"], **names, "feature": ["colour", "size"], "measure": measures}, "null")
    rows = rows.assign(null_low=rows["low"] - 0.1, null_high=rows["high"] + 0.02, network=rows["model"])
    rows = rows.assign(step=rows["step"] if training else -1, number=0 if training else rows["number"])
    rows.loc[(rows["feature"] == "size") & (rows["measure"] == "simplex"), "value"] = np.nan
    rows.loc[rows["measure"] == "cdnv", "null_high"] = np.inf
    matching.manifold_profiles(rows)
