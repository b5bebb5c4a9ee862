"""What figures over time, training and recordings draw, held against the tables behind them."""

import numpy as np
import pandas as pd
import pytest
from drawn import bands, bars, cells, curves, legend, lengths, levels, over, panels, points, spans, ticks, words
from made import changing, made

from brainalign.report.geometry_sections import decoding_over_time, time_course
from brainalign.report.kit import canvas
from brainalign.report.pages import modality_figures, text_sections

approx = pytest.approx
TIMES = [-0.1, 0.0, 0.1, 0.3]
FIRST = [shade.lower() for shade in canvas.COLOURS]


def course_rows(**more: list) -> pd.DataFrame:
    rows = made({"model": ["net", "untrained"], "layer": ["b", "a"], "time_s": TIMES, **more}, value="mean_r")
    rows = changing(rows, ["best_r", "null_low", "null_high", "best_null_high", "score"], -0.4, 0.8, seed=3)
    low, high = np.sort(rows[["null_low", "null_high"]].to_numpy(), axis=1).T
    return rows.assign(null_low=low, null_high=high, best_null_high=high + 0.07)


CLUSTERS = pd.DataFrame(
    {
        "model": ["net", "untrained", "net", "net"], "layer": ["a", "b", "b", "a"], "start_s": [0.01, 0.02, 0.03, 0.2],
        "stop_s": [0.11, 0.12, 0.13, 0.27], "p": [0.011, 0.4, 0.022, 0.033],
    }
)  # fmt: skip
PEAKS = pd.DataFrame(
    {
        "model": ["net", "untrained", "net"], "layer": ["b", "a", "a"], "peak_s": [0.1, 0.3, 0.05],
        "low_s": [0.08, 0.2, 0.02], "high_s": [0.14, 0.31, 0.09], "decided": [True, False, True],
        "reason": ["", "far", ""],
    }
)  # fmt: skip


def test_scores_over_time() -> None:
    rows = course_rows()
    figure = time_course.score_over_time(rows, CLUSTERS, PEAKS, models=["x", "net"], random_weights=["untrained"])
    mean, best, bars_of = panels(figure)
    colours, times = legend(figure), [1000 * time for time in TIMES]
    for (model, layer), part in rows.sort_values("time_s").groupby(["model", "layer"]):
        for ax, column in ((mean, "mean_r"), (best, "best_r")):
            assert curves(ax)[f"{model} {layer}"] == [(approx(times), approx(part[column].tolist()))]
    shades = {layer: colours[f"net {layer}"] for layer in "ab"}
    by = rows.groupby("time_s")
    for ax, column in ((mean, "null_high"), (best, "best_null_high")):
        ((band),) = bands(ax)
        assert list(band) == approx(times)
        np.testing.assert_allclose(list(band.values()), np.c_[by["null_low"].min(), by[column].max()])
    marks = {mark.colour: (mark.x, mark.y) for mark in points(mean, "o")}
    of = rows.set_index(["model", "layer", "time_s"])["mean_r"]
    heights = {"b": of["net", "b", 0.1], "a": np.mean([of["net", "a", 0.0], of["net", "a", 0.1]])}
    assert marks == {shades[k]: (approx(1000 * t), approx(heights[k])) for k, t in (("b", 100 / 1000), ("a", 0.05))}
    for layer, ends in (("b", (80, 140)), ("a", (20, 90))):
        assert spans(mean, shades[layer]) == [approx((ends[0], heights[layer], ends[1], heights[layer]))]
    names = ["net a", "untrained b", "net b"]
    assert lengths(bars_of, "y") == {
        "net a": [approx((10, 110)), approx((200, 270))], "untrained b": [approx((20, 120))],
        "net b": [approx((30, 130))],
    }  # fmt: skip
    assert sorted((names[round(y)], text) for _, y, text in words(bars_of)) == [
        ("net a", "p=.011"), ("net a", "p=.033"), ("net b", "p=.022"), ("untrained b", "p=.4"),
    ]  # fmt: skip


def test_one_layer_of_a_model_is_named_by_the_model() -> None:
    rows = course_rows()
    rows = rows[rows["layer"] == "a"]
    figure = time_course.score_over_time(rows.drop(columns="best_null_high"))
    _, best = panels(figure)
    assert {"net", "untrained"} <= set(legend(figure))
    assert bands(best) == []
    assert "a" in legend(time_course.score_over_time(rows[rows["model"] == "net"]))


def test_rsa_over_time() -> None:
    rows = course_rows(comparison=["cosine", "spearman", "kendall"])
    rows = rows.assign(low=rows["score"] - 0.03, high=rows["score"] + 0.05)
    rows = changing(rows, ["ceiling_low", "ceiling_high"], 0.3, 0.9, seed=9)
    for ax in panels(time_course.rsa_over_time(rows, random_weights=["untrained"])):
        part = rows[rows["comparison"] == ax.get_title()].sort_values("time_s")
        ceiling, null, *intervals = bands(ax)
        of = part.groupby("time_s").mean(numeric_only=True)
        np.testing.assert_allclose(list(null.values()), of[["null_low", "null_high"]])
        np.testing.assert_allclose(
            list(ceiling.values()), np.sort(of[["ceiling_low", "ceiling_high"]].to_numpy(), axis=1)
        )
        drawn = sorted(list(band.values()) for band in intervals)
        expected = sorted(
            list(p[["low", "high"]].itertuples(index=False, name=None)) for _, p in part.groupby(["model", "layer"])
        )
        np.testing.assert_allclose(drawn, expected)
        for (model, layer), line in part.groupby(["model", "layer"]):
            assert curves(ax)[f"{model} {layer}"] == [([1000 * t for t in TIMES], approx(line["score"].tolist()))]


def test_latencies_of_layers() -> None:
    (ax,) = panels(time_course.layer_latencies(PEAKS.iloc[::-1]))
    assert over(ax, points(ax), "y") == {"a": [approx(50)], "b": [approx(100)]}
    ends = {ticks(ax, "y")[round(y)]: (x, x2) for x, y, x2, _ in spans(ax)}
    assert ends == {"a": approx((20, 90)), "b": approx((80, 140))}
    ((x, y, text),) = words(ax)
    assert (x, round(y), text) == (approx(20), 0, "undecided: far")


def test_latencies_of_many_models_stay_in_the_line_of_their_layer() -> None:
    models = [f"m{k}" for k in range(9)]
    peaks = made({"model": models, "layer": ["a", "b", "c"]}, value="peak_s").assign(decided=True, reason="")
    peaks = peaks.rename(columns={"low": "low_s", "high": "high_s"})
    (ax,) = panels(time_course.layer_latencies(peaks))
    of = peaks.set_index(["layer", "model"])["peak_s"]
    assert over(ax, points(ax), "y") == {n: approx([1000 * of[n, m] for m in pd.unique(peaks["model"])]) for n in "cab"}


def test_decoded_courses() -> None:
    groups = ["all", *(f"g{k}" for k in range(9))]
    rows = made({"group": groups, "time_s": [0.0, 0.1, 0.2]}, value="score").sort_values("time_s", kind="stable")
    rows = changing(rows, ["null_low", "null_high"], 0.3, 0.6, seed=2)
    chances = {name: 0.3 + k / 50 for k, name in enumerate(groups)}
    rows = rows.assign(chance=rows["group"].map(chances))
    clusters = pd.DataFrame(
        {"group": ["g1", "g2", "g2", "g1"], "kind": ["time", "time", "time", "square"], "p": [0.01, 0.2, 0.03, 0.01],
         "start_s": [0.01, 0.02, 0.03, 0.04], "stop_s": [0.11, 0.12, 0.13, 0.14]}
    )  # fmt: skip
    peaks = changing(pd.DataFrame({"group": ["g8", "g2"], "decided": [True, False]}),
                     ["centre", "centre_low", "centre_high", "rise", "rise_low", "rise_high"], 0.01, 0.2)  # fmt: skip
    row = peaks.iloc[0]
    humps = [tuple(1000 * row[[f"{n}_low", f"{n}_high"]].astype(float)) for n in ("rise", "centre")]
    intervals = {"g1": [(10, 110)], "g2": [(30, 130)], "g8": humps}
    for ax in panels(decoding_over_time.decoded_courses(rows, clusters, peaks, "AUC")):
        part = rows[rows["group"] == ax.get_title()]
        ((x, y),) = [line for line in curves(ax)[""] if len(line[0]) == 3]
        assert (x, y) == (approx([0, 100, 200]), approx(part["score"].tolist()))
        (band,) = bands(ax)
        np.testing.assert_allclose(list(band.values()), np.sort(part[["null_low", "null_high"]].to_numpy(), axis=1))
        assert levels(ax)[""] == [approx(chances[ax.get_title()])]
        assert [end[::2] for end in spans(ax)] == [approx(ends) for ends in intervals.get(ax.get_title(), [])]
        marks = {(mark.marker, mark.label): mark.x for mark in points(ax)}
        tops = {("|", "rise to half height"): 1000 * row["rise"], ("o", "centre of the hump"): 1000 * row["centre"]}
        assert marks == approx(tops if ax.get_title() == "g8" else {})


def test_generalisation_over_time() -> None:
    score = np.array([[0.5, 0.6, 0.7], [0.55, 0.8, 0.65], [0.5, 0.45, 0.9]])
    figure = decoding_over_time.decoded_square(score, score > 0.75, np.array([-0.1, 0.0, 0.1]), 0.5, "AUC")
    ax = panels(figure)[0]
    assert cells(ax).tolist() == score.tolist()
    (outline,) = ax.collections
    vertices = np.concatenate([path.vertices for path in outline.get_paths()])
    assert vertices.min() >= -50 - 1e-9
    assert vertices.max() <= 100 + 1e-9
    assert curves(ax)[""] == [([-100, 100], [-100, 100])]
    flat, *_ = panels(decoding_over_time.decoded_square(score, score > 1, np.array([0, 1, 2.0]), 0.5, "x"))
    assert not flat.collections


def test_pairs_of_conditions() -> None:
    pairs = np.arange(6).reshape(2, 3) / 10
    ax = panels(decoding_over_time.decoded_pairs(pairs, np.array([0.0, 0.2]), ["face", "car", "house"]))[0]
    assert ticks(ax, "y") == {0: "face against car", 1: "face against house", 2: "car against house"}
    assert cells(ax).tolist() == pairs.T.tolist()
    many, *_ = panels(decoding_over_time.decoded_pairs(np.ones((2, 28)), np.array([0.0, 0.2]), [*"abcdefgh"]))
    assert many.get_ylabel() == "28 pairs"


def test_windows_with_their_control() -> None:
    rows = made({"scheme": ["recordings", "halves"], "group": ["all", "occipital"], "window": ["-100 to 0", "0 to 9"]},
                "null_95", value="score")  # fmt: skip
    rows = rows.assign(
        control=rows["window"] == "-100 to 0", chance=rows["scheme"].map({"recordings": 0.5, "halves": 0.4})
    )
    for ax in panels(decoding_over_time.decoded_windows(rows, "AUC")):
        part = rows[rows["scheme"] == ax.get_title()]
        names = [f"{g}\n{w}" for g, w in zip(part["group"], part["window"], strict=True)]
        assert over(ax, points(ax)) == {n: [approx(v)] for n, v in zip(names, part["score"], strict=True)}
        assert [mark.hollow for mark in points(ax)] == part["control"].tolist()
        upright = [end[1::2] for end in spans(ax) if end[0] == end[2]]
        np.testing.assert_allclose(upright, part[["low", "high"]])
        flat = [((a + b) / 2, y) for a, y, b, y2 in spans(ax) if y == y2]
        np.testing.assert_allclose(flat, [*enumerate(part["null_95"])])
        assert levels(ax)[""] == [part["chance"].iloc[0]]


def test_effects_at_sensors() -> None:
    rows = made({"target_id": ["Cz", "Pz", "Oz"], "time_s": TIMES}, value="effect").sort_values("time_s", kind="stable")
    rows = rows.assign(significant=(rows["time_s"] > 0.05) & (rows["target_id"] == "Pz"))
    figure = decoding_over_time.sensor_courses(rows, "d")
    (ax,) = panels(figure)
    for name, part in rows.groupby("target_id"):
        assert curves(ax)[name] == [([1000 * t for t in TIMES], approx(part["effect"].tolist()))]
    thick = {line.get_color(): np.isfinite(line.get_ydata()).tolist() for line in ax.lines if line.get_linewidth() == 3}
    assert {name: thick[next(c for c in thick if c.lower() == shade)] for name, shade in legend(figure).items()} == {
        "Cz": [False] * 4, "Pz": [False, False, True, True], "Oz": [False] * 4,
    }  # fmt: skip


def test_the_control_matrix() -> None:
    trained, tested = ["shuffled", "brain"], ["noise", "brain", "time-reversed"]
    rows = made({"trained": trained, "tested": tested, "measure": ["top-5", "top-1"]}, "chance", "p")
    rows["p"] = np.where(rows["measure"] == "top-1", 0.001, 0.2)
    rows["chance"] = rows["measure"].map({"top-1": 0.02, "top-5": 0.1})
    for ax, measure in zip(panels(text_sections.matrix_figure(rows)), pd.unique(rows["measure"]), strict=True):
        part = rows[rows["measure"] == measure]
        of = part.set_index(["trained", "tested"])["value"]
        a, b = list(pd.unique(rows["trained"])), list(pd.unique(rows["tested"]))
        np.testing.assert_allclose(cells(ax), [[of[x, y] for y in b] for x in a])
        star = "*" if measure == "top-1" else ""
        assert set(words(ax)) == {(b.index(y), a.index(x), f"{of[x, y]:.3f}{star}") for x in a for y in b}
        outlined = {(a[round((box.y + box.y2) / 2)], b[round((box.x + box.x2) / 2)]) for box in bars(ax)}
        empty = {(x, y) for x in a for y in b if x == "shuffled" or y == "noise"}
        assert outlined == (empty if star else set())
        assert ax.get_title(loc="left") == f"{measure} (chance {0.02 if star else 0.1:.3f})"


def test_ranks_add_up() -> None:
    ranks = {"ridge": pd.Series([1, 3, 2, 9]), "residual": pd.Series([1, 1, 5, 10])}
    (ax,) = panels(text_sections.rank_figure(ranks, 10))
    for name, values in ranks.items():
        assert curves(ax)[name] == [(list(range(1, 11)), [(values <= k).mean() for k in range(1, 11)])]
    assert curves(ax)["chance"] == [(list(range(1, 11)), approx([k / 10 for k in range(1, 11)]))]


def test_averages_of_subjects_and_repeats() -> None:
    levels_of = {"over": ["subjects", "repeats"], "n_averaged": [4, 1, 2]}
    tables = {
        name: made(levels_of, "sd", "ceiling", seed=seed).assign(chance=0.11)
        for name, seed in (("ridge", 1), ("residual", 2))
    }
    tables["ridge"].loc[tables["ridge"]["n_averaged"] == 4, "ceiling"] = np.nan
    figure = text_sections.averaged_figure(tables)
    shown, colours = panels(figure), legend(figure)
    for ax, kind in zip(shown, list(pd.unique(tables["ridge"]["over"])), strict=True):
        for name, table in tables.items():
            part = table[table["over"] == kind]
            assert curves(ax)[name] == [(part["n_averaged"].tolist(), approx(part["value"].tolist()))]
            ends = [end[1::2] for end in spans(ax, colours[name])]
            np.testing.assert_allclose(ends, np.c_[part["value"] - part["sd"], part["value"] + part["sd"]])
            halves = part.dropna()
            found = curves(ax)[f"{name}: halves find each other"]
            assert found == [(halves["n_averaged"].tolist(), approx(halves["ceiling"].tolist()))]
        assert levels(ax)["chance"] == [0.11]


def test_subjects_by_decoder_and_seed() -> None:
    tables = {
        name: made({"subject": ["s3", "s1", "s2"], "seed": [0, 1]}, value="top-1", seed=seed)
        for name, seed in (("ridge", 1), ("residual", 2), ("linear", 3))
    }
    tables["linear"] = tables["linear"][tables["linear"]["subject"] != "s1"]
    figure = text_sections.subject_figure(tables, 0.07)
    (ax,) = panels(figure)
    colours = legend(figure)
    for name, table in tables.items():
        assert {s: sorted(v) for s, v in over(ax, points(ax, colour=colours[name])).items()} == {
            s: approx(sorted(part["top-1"])) for s, part in table.groupby("subject")
        }
    assert levels(ax)["chance"] == [0.07]


def test_labels_that_are_told() -> None:
    table = pd.DataFrame({"true": ["b", "a", "b", "c"], "told": ["a", "a", "b", "b"], "n": [3, 5, 1, 2]})
    tables = {"ridge": table, "flipped": table.rename(columns={"true": "told", "told": "true"})}
    ridge, flipped = panels(text_sections.confusion_figure(tables))
    assert cells(ridge).tolist() == [[1, 0, 0], [0.75, 0.25, 0], [0, 1, 0]]
    np.testing.assert_allclose(cells(flipped), [[5 / 8, 3 / 8, 0], [0, 1 / 3, 2 / 3], [0, 0, 0]])
    assert {(x, y): text for x, y, text in words(ridge)}[0, 1] == "0.75"


def retrieval_rows() -> pd.DataFrame:
    decoders = ["joint", "ridge", "unimodal", "shuffled", "one layer"]
    base = {"decoder": decoders, "measure": ["top-1", "top-5"]}
    columns = ("p", "null_mean", "null_sd")
    between = made({**base, "kind": ["modalities"], "query": ["eeg", "fmri", "meg"], "gallery": ["meg", "eeg", "fmri"]},
                   *columns)  # fmt: skip
    between = between[between["query"] != between["gallery"]].assign(
        p=lambda t: np.where(t["query"] == "eeg", 0.2, 0.01)
    )
    within = made(
        {**base, "kind": ["image", "fused"], "query": ["eeg", "fmri"], "gallery": ["image"]}, *columns, seed=4
    )
    within = within[(within["kind"] == "image") | (within["query"] == "fmri")]  # all are fused at once
    rows = pd.concat([between, within], ignore_index=True)
    rows["chance"] = rows["kind"].map({"modalities": 0.1, "image": 0.05, "fused": 0.07})
    return rows


def test_retrieval_between_modalities() -> None:
    rows = retrieval_rows()
    figure = modality_figures.direction_matrix(rows, "top-1")
    part = rows[(rows["kind"] == "modalities") & (rows["measure"] == "top-1")]
    names = list(pd.unique(part["query"]))
    for ax, decoder in zip(panels(figure), ("joint", "ridge"), strict=True):
        of = part[part["decoder"] == decoder].set_index(["query", "gallery"])["value"]
        np.testing.assert_allclose(cells(ax), [[of.get((q, g), np.nan) for g in names] for q in names])
        said = {(names[round(y)], names[round(x)]): text for x, y, text in words(ax)}
        assert said == {key: f"{v:.2f}" + (" n.s." if key[0] == "eeg" else "") for key, v in of.items()}


def test_retrieval_within_modalities() -> None:
    rows = retrieval_rows()
    rows = rows[~((rows["kind"] == "image") & (rows["decoder"] == "ridge") & (rows["query"] == rows["query"].iloc[-1]))]
    figure = modality_figures.within_bars(rows, "top-5")
    (ax,) = panels(figure)
    part = rows[rows["kind"].isin(["image", "fused"]) & (rows["measure"] == "top-5")]
    places = list(dict.fromkeys(zip(part["kind"], part["query"], strict=True)))
    of, colours = part.set_index(["kind", "query", "decoder"]).sort_index(), legend(figure)
    for name in ("joint", "ridge", "unimodal"):
        marks = {places[round(mark.x)]: mark.y for mark in points(ax, "o", colours[name])}
        assert marks == approx({(k, q): of.loc[(k, q, name), "value"] for k, q in places if (k, q, name) in of.index})
        ends = {places[round(end[0])]: end[1::2] for end in spans(ax, colours[name])}
        assert ends == {key: approx(tuple(of.loc[(*key, name), ["low", "high"]])) for key in marks}
    crosses = {places[round(mark.x)]: mark.y for mark in points(ax, "x")}
    assert crosses == approx({key: of.loc[(*key, "shuffled"), "value"] for key in places})
    dotted = [(round((a + b) / 2), y) for a, y, b, y2 in spans(ax, "#000000") if y == y2]
    assert dotted == [(k, of.loc[key, "chance"].iloc[0]) for k, key in enumerate(places)]
    first = part.drop_duplicates(["kind", "query"]).set_index(["kind", "query"])
    high = [first.loc[key, "null_mean"] + 1.645 * first.loc[key, "null_sd"] for key in places]
    found = [(round((min(band) + max(band)) / 2, 6), *next(iter(band.values()))) for band in bands(ax)]
    np.testing.assert_allclose(found, [(k, 0, value) for k, value in enumerate(high)])


def test_space_over_repeats_and_geometry() -> None:
    curve = made({"modality": ["meg", "eeg"], "measure": ["top-1", "top-5"], "n_averaged": [4, 1, 2]}, "sd", "ceiling")
    curve = curve.sort_values("n_averaged", kind="stable").assign(
        chance=lambda t: t["measure"].map({"top-1": 0.03, "top-5": 0.1})
    )
    figure = modality_figures.space_curves(curve, "top-1")
    (ax,) = panels(figure)
    colours = legend(figure)
    for name, part in curve[curve["measure"] == "top-1"].groupby("modality"):
        assert curves(ax)[name] == [([1, 2, 4], approx(part["value"].tolist()))]
        np.testing.assert_allclose(
            [end[1::2] for end in spans(ax, colours[name])],
            np.c_[part["value"] - part["sd"], part["value"] + part["sd"]],
        )
        dashed = next(
            line for line in ax.lines if line.get_linestyle() == "--" and line.get_color().lower() == colours[name]
        )
        assert list(dashed.get_ydata()) == approx(part["ceiling"].tolist())
    assert levels(ax)["chance"] == [0.03]
    levels_of = {"decoder": ["joint", "ridge", "shuffled"], "source": ["meg", "eeg", "fused"]}
    geometry = made(levels_of, "null_high", value="r").drop(0)
    figure = modality_figures.space_geometry(geometry)
    (ax,) = panels(figure)
    sources, order = list(ticks(ax).values()), list(pd.unique(geometry["decoder"]))
    of = geometry.set_index(["source", "decoder"]).sort_index()
    assert lengths(ax) == {
        s: [(0, approx(of.loc[(s, d), "r"])) for d in order if (s, d) in of.index]
        for s in pd.unique(geometry["source"])
    }
    by = {label: {sources[round((b.x + b.x2) / 2)]: b.y2 for b in bars(ax) if b.colour == shade}
          for label, shade in legend(figure).items() if label in order}  # fmt: skip
    assert by == {d: approx({s: of.loc[(s, d), "r"] for s in sources if (s, d) in of.index}) for d in order}
    middles = {round((b.x + b.x2) / 2, 6): b.y2 for b in bars(ax)}
    values = {round(float(v), 9): h for v, h in zip(geometry["r"], geometry["null_high"], strict=True)}
    nulls = {round((a + b) / 2, 6): y for a, y, b, _ in spans(ax)}
    assert nulls == approx({x: values[round(v, 9)] for x, v in middles.items()})
