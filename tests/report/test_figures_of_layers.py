"""What figures of layers and regions draw, held against the tables behind them."""

import numpy as np
import pandas as pd
import pytest
from drawn import bands, bars, cells, curves, legend, levels, panels, points, spans, ticks, words, zones
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
    depth = {3: [0, 0.5, 1], 2: [0, 1]}
    for ax in shown:
        part = rows[rows["roi"] == ax.get_title()]
        stars = {}
        for name, label in {"net": "net", "deep": "deep", "untrained": "untrained (random weights)"}.items():
            mine = part[part["model"] == name]
            assert curves(ax)[label] == [(depth[len(mine)], approx(mine["r"].tolist()))]
            ends = [end[1::2] for end in spans(ax, colours[label])]
            np.testing.assert_allclose(ends, np.c_[mine["r"] - mine["se"], mine["r"] + mine["se"]])
            if name != "untrained" and mine["decided"].iloc[0]:
                best = mine["r"].to_numpy().argmax()
                stars[colours[label]] = (depth[len(mine)][best], mine["r"].iloc[best])
        assert {mark.colour: (mark.x, mark.y) for mark in points(ax, "*")} == stars
        found = [list(band.values()) for band in bands(ax)]
        expected = [part.loc[part["model"] == m, ["null_mean", "null_high"]] for m in pd.unique(part["model"])
                    if m != "untrained"]  # fmt: skip
        assert all(np.allclose(a, b) for a, b in zip(found, expected, strict=True))
        assert levels(ax)["noise ceiling (r)"] == [approx(part["ceiling_r"].mean())]
        undecided = [text for _, _, text in words(ax)]
        assert undecided == ([] if ax.get_title() == "V4" else ["undecided: net"])


@pytest.mark.parametrize(("n", "said"), [(3, "undecided: net0, net1, net2"), (4, "undecided: 4 models (no star)")])
def test_undecided_models_are_named_while_their_names_leave_room(n: int, said: str) -> None:
    rows = made({"roi": ["noise"], "model": [f"net{k}" for k in range(n)], "layer": ["a", "b"]}, value="r")
    rows = rows.sort_values("model").assign(se=0.01, null_mean=0.0, null_high=0.04, ceiling_r=0.7, decided=False)
    (ax,) = panels(layers.layer_profile(rows.assign(reason="at its null")))
    assert [text.replace("\n", " ") for _, _, text in words(ax)] == [said]


def test_many_layers_keep_their_names_at_their_place() -> None:
    rows = made({"roi": ["V1"], "model": ["net"], "layer": [f"l{k}" for k in range(20)]}, value="r")
    rows = rows.assign(se=0.1, null_mean=0.0, null_high=0.1, ceiling_r=0.9, decided=False, reason="")
    (ax,) = panels(layers.layer_profile(rows))
    order = list(rows["layer"])
    assert {round(19 * place): name for place, name in ticks(ax).items()} == {k: order[k] for k in range(0, 20, 3)}


def test_scales_end_at_the_largest_value_rounded_up() -> None:
    ends = [layers._end_of_scale(np.array(values)) for values in ([0.01, 0.23], [-0.3, 0.0], [np.nan, 1.31])]
    assert ends == [0.3, 1.0, 1.4]


def test_regions_by_layers() -> None:
    rows = profile_rows().assign(r=lambda table: table["r"] - 0.3)
    ax = panels(layers.roi_layer_heatmap(rows, "untrained"))[0]
    of = rows[rows["model"] == "untrained"].set_index(["roi", "layer"])["r"]
    rois, names = list(ticks(ax, "y").values()), list(ticks(ax).values())
    np.testing.assert_allclose(cells(ax), [[of[roi, name] for name in names] for roi in rois])
    (dot,) = points(ax, "o")
    assert (names[int(dot.x)], rois[int(dot.y)]) == (of["V4"].idxmax(), "V4")
    assert [(rois[round(y)], text) for _, y, text in words(ax)] == [("PPA", "?")]
    assert zones(ax) == [(rois.index("PPA") - 0.5, rois.index("PPA") + 0.5)]


def partition_rows(groups: list) -> pd.DataFrame:
    rows = made({"group": groups, "layer": ["b", "all", "a"]}, value="split")
    rows = changing(rows, ["control_split", "ceiling"], 0.7, 0.99)
    rows = rows.sort_values("layer", key=lambda layer: layer == "all", kind="stable").reset_index(drop=True)
    return rows.assign(joint=rows["layer"] == "all", n_targets=9)


def test_parts_of_a_joint_score() -> None:
    rows = partition_rows(["V4", "V1", "PPA", "LO", "MT"])
    rows.loc[rows["group"] == "V1", "ceiling"] = np.nan
    figure = partition.partition_bars(rows, "R²")
    shown, colours = panels(figure), legend(figure)
    for ax in shown:
        part = rows[rows["group"] == ax.get_title()]
        drawn = {bar.colour: bar.y2 for bar in bars(ax)}
        layer_of = {colours["joint score" if joint else layer]: value for layer, joint, value in
                    part[["layer", "joint", "split"]].itertuples(index=False)}  # fmt: skip
        assert drawn == approx(layer_of)
        places = [(bar.x + bar.x2) / 2 for bar in bars(ax)]
        np.testing.assert_allclose(spans(ax), np.c_[places, part["low"], places, part["high"]].astype(float))
        np.testing.assert_allclose([mark[:2] for mark in points(ax, "D")], np.c_[places, part["control_split"]])
        ceiling = [] if ax.get_title() == "V1" else [approx(part["ceiling"].iloc[0])]
        assert levels(ax).get("noise ceiling", []) == ceiling


@pytest.mark.parametrize("known", [True, False])
def test_parts_of_a_joint_score_over_time(known: bool) -> None:
    rows = partition_rows([-0.1, 0.0, 0.1, 0.25]).sort_values("group", kind="stable")
    rows["ceiling"] = rows["ceiling"].where([known and time != 0.1 for time in rows["group"]])
    (ax,) = panels(partition.partition_over_time(rows, "r"))
    found = curves(ax)
    for layer, part in rows.groupby("layer"):
        label = "joint score" if layer == "all" else layer
        assert found[label] == [(approx([-100, 0, 100, 250]), approx(part["split"].tolist()))]
    joint = rows[rows["joint"]]
    assert found["refit on exchanged responses"][0][1] == approx(joint["control_split"].tolist())
    assert ("noise ceiling" in found) == known
    if known:
        assert found["noise ceiling"][0][1] == approx(joint["ceiling"].tolist(), nan_ok=True)
    drawn = sorted(list(band.values()) for band in bands(ax))
    expected = sorted(
        list(part[["low", "high"]].itertuples(index=False, name=None)) for _, part in rows.groupby("layer")
    )
    np.testing.assert_allclose(drawn, expected)


def test_weights_of_layers_add_up() -> None:
    rows = made({"group": ["V4", "PPA"], "layer": ["c", "a", "b"]}, value="weight")
    rows["weight"] /= 2  # those of a group add up to 1 at most
    rows = rows.drop(rows[(rows["group"] == "V4") & (rows["layer"] == "a")].index)
    figure = encoders.layer_weights(rows)
    (ax,) = panels(figure)
    colours, order = legend(figure), list(pd.unique(rows["layer"]))
    for k, name in enumerate(pd.unique(rows["group"])):
        assert ticks(ax, "y")[float(k)] == name
        of, start = rows[rows["group"] == name].set_index("layer")["weight"], 0.0
        for layer in order:
            (bar,) = [b for b in bars(ax) if b.colour == colours[layer] and round((b.y + b.y2) / 2) == k]
            assert (bar.x, bar.x2) == (approx(start), approx(start + of.get(layer, 0.0)))
            start = bar.x2


def test_layers_of_pairs_of_networks() -> None:
    names = {"model_a": ["net", "deep"], "layer_a": ["b", "a"], "model_b": ["other"]}
    rows = made({**names, "layer_b": [f"l{k}" for k in range(13)]})
    for ax, (_, part) in zip(panels(matching.pair_heatmaps(rows)), rows.groupby("model_a", sort=False), strict=True):
        of = part.set_index(["layer_a", "layer_b"])["value"]
        names, others = list(pd.unique(part["layer_a"])), list(pd.unique(part["layer_b"]))
        np.testing.assert_allclose(cells(ax), [[of[n, o] for o in others] for n in names])


def test_dimensions_over_layers_and_training() -> None:
    rows = made({"model": ["net", "deep"], "number": [2, 0, 1], "measure": ["pr", "twonn", "void", "mle"]})
    rows["network"] = "net"
    rows.loc[rows["measure"] == "void", "value"] = np.nan
    kinds = [name for name in pd.unique(rows["measure"]) if name != "void"]
    for ax, kind in zip(panels(matching.dimension_profiles(rows)), kinds, strict=True):
        for model, part in rows[rows["measure"] == kind].sort_values("number").groupby("model"):
            assert curves(ax)[model] == [([0, 0.5, 1], approx(part["value"].tolist()))]
    steps = made({"network": ["net"], "step": [100, 0, 10], "number": [2, 0, 1], "measure": ["pr", "void"]})
    steps.loc[steps["measure"] == "void", "value"] = np.inf
    (ax,) = panels(matching.dimension_training(steps))
    assert (ax.get_xscale(), ax.xaxis.get_transform().linthresh) == ("symlog", 1)
    shades = {}
    for number, part in steps[steps["measure"] == "pr"].sort_values("step").groupby("number"):
        assert curves(ax)[f"net {number}"] == [([0, 10, 100], approx(part["value"].tolist()))]
        shades[number] = next(float(line.get_color()) for line in ax.lines if line.get_label() == f"net {number}")
    assert shades[0] == 0.75
    assert shades[0] > shades[1] > shades[2] == approx(0.05)


def test_shares_of_known_features() -> None:
    names = {"model": ["net", "deep"], "number": [2, 0, 1], "feature": ["colour", "size"]}
    rows = made(names, "decodability", value="explained")
    rows.loc[0, "decodability"] = -0.3
    for ax in panels(matching.feature_shares(rows)):
        for feature, part in rows[rows["model"] == ax.get_title()].sort_values("number").groupby("feature"):
            assert curves(ax)[f"{feature}: variance"] == [([0, 1, 2], approx(part["explained"].tolist()))]
            read_out = part["decodability"].clip(lower=0).tolist()
            assert curves(ax)[f"{feature}: read out"] == [([0, 1, 2], approx(read_out))]


@pytest.mark.parametrize("training", [False, True])
def test_manifolds_over_layers(training: bool) -> None:
    measures = list(matching.DRAWN)
    names = {"layer": ["b", "a"], "step": [10, 0]} if training else {"layer": ["x"], "number": [2, 0, 1]}
    rows = made({"model": ["net", "deep"], **names, "feature": ["colour", "size"], "measure": measures}, "null")
    rows = rows.assign(null_low=rows["low"] - 0.1, null_high=rows["high"] + 0.02, network=rows["model"])
    rows = rows.assign(step=rows["step"] if training else -1, number=0 if training else rows["number"])
    void = (rows["feature"] == "size") & (rows["measure"] == "simplex")
    rows.loc[void, "value"] = np.nan
    rows.loc[rows["measure"] == "cdnv", "null_high"] = np.inf
    shown = panels(matching.manifold_profiles(rows))
    features = list(pd.unique(rows["feature"]))
    for k, ax in enumerate(shown):
        feature, measure = features[k // 5], measures[k % 5]
        part = rows[(rows["feature"] == feature) & (rows["measure"] == measure)]
        if feature == "size" and measure == "simplex":
            assert [text for _, _, text in words(ax)] == ["no value"]
            continue
        keys = ["model", "layer"] if training else ["model"]
        for key, mine in part.groupby(keys):
            mine = mine.sort_values("step" if training else "number")
            x = mine["step"].tolist() if training else [0, 0.5, 1]
            assert curves(ax)[" ".join(key)] == [(x, approx(mine["value"].tolist()))]
        found = sorted((round(low, 9), x) for band in bands(ax) for x, (low, _) in band.items())
        place = part["step"] if training else part["number"] / 2
        assert found == sorted((round(low, 9), x) for low, x in zip(part["null_low"], place, strict=True))
        if measure != "cdnv":
            tops = sorted(high for band in bands(ax) for _, high in band.values())
            np.testing.assert_allclose(tops, sorted(part["null_high"]))
    assert len(shown) == 10
