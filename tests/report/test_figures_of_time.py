"""What figures over time, training and recordings draw: on record, main marks held against tables."""

import numpy as np
import pandas as pd
import pytest
from drawn import bands, cells, curves, legend, lengths, over, panels, points, ticks, words
from made import changing, made

from brainalign.report.geometry_sections import decoding_over_time, time_course
from brainalign.report.kit import canvas
from brainalign.report.pages import group_of_recordings, modality_figures, text_sections

approx = pytest.approx
TIMES = [-0.1, 0.0, 0.1, 0.3]


def course_rows(**more: list) -> pd.DataFrame:
    rows = made({"model": ["net", "untrained"], "layer": ["b", "a"], "time_s": TIMES, **more}, value="mean_r")
    rows = changing(rows, ["best_r", "null_low", "null_high", "best_null_high", "score"], -0.4, 0.8, seed=3)
    low, high = np.sort(rows[["null_low", "null_high"]].to_numpy(), axis=1).T
    return rows.assign(null_low=low, null_high=high, best_null_high=high + 0.07)


CLUSTERS = pd.DataFrame({
    "model": ["net", "untrained", "net", "net"], "layer": ["a", "b", "b", "a"], "start_s": [0.01, 0.02, 0.03, 0.2],
    "stop_s": [0.11, 0.12, 0.13, 0.27], "p": [0.011, 0.4, 0.022, 0.033],
})  # fmt: skip
PEAKS = pd.DataFrame({
    "model": ["net", "untrained", "net"], "layer": ["b", "a", "a"], "peak_s": [0.1, 0.3, 0.05],
    "low_s": [0.08, 0.2, 0.02], "high_s": [0.14, 0.31, 0.09], "decided": [True, False, True],
    "reason": ["", "far", ""],
})  # fmt: skip


def test_scores_over_time() -> None:
    rows = course_rows()
    figure = time_course.score_over_time(rows, CLUSTERS, PEAKS, models=["x", "net"], random_weights=["untrained"])
    mean, _, bars_of = panels(figure)
    times = [1000 * time for time in TIMES]
    for (model, layer), part in rows.sort_values("time_s").groupby(["model", "layer"]):
        assert curves(mean)[f"{model} {layer}"] == [(approx(times), approx(part["mean_r"].tolist()))]
    spans = {"net a": [approx((10, 110)), approx((200, 270))], "untrained b": [approx((20, 120))]}
    assert lengths(bars_of, "y") == spans | {"net b": [approx((30, 130))]}
    rows = rows[rows["layer"] == "a"]  # one layer of a model is named by the model
    assert {"net", "untrained"} <= set(legend(time_course.score_over_time(rows.drop(columns="best_null_high"))))
    time_course.score_over_time(rows[rows["model"] == "net"])
    rows = course_rows(comparison=["cosine", "spearman", "kendall"])
    rows = rows.assign(low=rows["score"] - 0.03, high=rows["score"] + 0.05)
    rows = changing(rows, ["ceiling_low", "ceiling_high"], 0.3, 0.9, seed=9)
    time_course.rsa_over_time(rows, random_weights=["untrained"])


def test_marks_latencies_and_layers_that_have_no_curve_are_those_of_the_tables() -> None:
    scores = pd.DataFrame({"target_id": ["Oz", "Oz", "Fz", "Fz", "Cz"], "time_s": [0.1, 0.2] * 2 + [0.1], "p": 0.01})
    scores.loc[2, "p"] = 0.6  # of the cluster Fz is at 200 ms alone
    clusters = pd.DataFrame({"p": [0.01, 0.2], "start": 0.1, "stop": 0.2, "sensors": [["Oz", "Fz"], ["Cz"]]})
    assert time_course._in_clusters(scores, clusters).tolist() == [True, True, False, True, False]
    said = "The time of the largest score is decided in 2 of 3 layers of net: "
    said += "b at 100 ms [80 to 140], a at 50 ms [20 to 90]."
    assert time_course._latencies(PEAKS.assign(model="net")) == [said]
    none = "The time of the largest score is decided in 0 of 1 layers of untrained."
    assert time_course._latencies(PEAKS[PEAKS["model"] == "untrained"]) == [none]
    rows = pd.DataFrame({"layer": [*"aaabbb"], "time_s": [0.1, 0.2, 0.3] * 2, "score": [0.6, 0.1, 0.0, 0.1, 0.3, 0.4]})
    rows = rows.assign(model="net", group=rows["time_s"].astype(str), place="at " + rows["time_s"].astype(str))
    told = time_course.undrawn_layers(rows.assign(p_fwer=0.01), rows[:3])
    assert told == ["Layers that are not drawn come closest elsewhere: net (b) at 0.3 (.400, p = .010)."]
    assert time_course.undrawn_layers(rows.assign(p_fwer=0.2), rows[:3]) == []
    rows = rows.rename(columns={"score": "mean_r"}).assign(p_fwer=0.01)
    told = [time_course._peak(rows[3:], "mean_r", "mean r", "times", n_rows=n) for n in (6, 3)]
    assert [one.partition("net (b) reaches")[0] for one in told] == ["Of layers chosen in training, ", ""]


def test_latencies_of_layers_and_decoded_courses() -> None:
    figure = time_course.layer_latencies(PEAKS.iloc[::-1], ["x", "net"])
    assert legend(figure) == {"untrained": canvas.GREY, "net": canvas.COLOURS[1].lower()}
    assert [said for *_, said in words(*panels(figure))] == ["untrained, undecided: far"]
    models = [f"m{k}" for k in range(9)]  # all stay in the line of their layer
    peaks = made({"model": models, "layer": ["a", "b", "c"]}, value="peak_s").assign(decided=True, reason="")
    peaks = peaks.rename(columns={"low": "low_s", "high": "high_s"})
    (ax,) = panels(time_course.layer_latencies(peaks))
    of = peaks.set_index(["layer", "model"])["peak_s"]
    assert over(ax, points(ax), "y") == {n: approx([1000 * of[n, m] for m in pd.unique(peaks["model"])]) for n in "cab"}
    groups = ["all", *(f"g{k}" for k in range(9))]
    rows = made({"group": groups, "time_s": [0.0, 0.1, 0.2]}, value="score").sort_values("time_s", kind="stable")
    rows = changing(rows, ["null_low", "null_high"], 0.3, 0.6, seed=2)
    rows = rows.assign(chance=rows["group"].map({name: 0.3 + k / 50 for k, name in enumerate(groups)}))
    clusters = pd.DataFrame({"group": ["g1", "g2", "g2", "g1"], "kind": ["time"] * 3 + ["square"]})
    clusters["p"], clusters["start_s"] = [0.01, 0.2, 0.03, 0.01], [0.01, 0.02, 0.03, 0.04]
    clusters["stop_s"] = [0.11, 0.12, 0.13, 0.14]
    peaks = changing(pd.DataFrame({"group": ["g8", "g2"], "decided": [True, False]}),
                     ["centre", "centre_low", "centre_high", "rise", "rise_low", "rise_high"], 0.01, 0.2)  # fmt: skip
    decoding_over_time.decoded_courses(rows, clusters, peaks, "AUC")


def test_generalisation_over_time() -> None:
    score, pairs = np.array([[0.5, 0.6, 0.7], [0.55, 0.8, 0.65], [0.5, 0.45, 0.9]]), np.arange(6).reshape(2, 3) / 10
    decoding_over_time.decoded_square(score, score > 0.75, np.array([-0.1, 0.0, 0.1]), 0.5, "AUC")
    decoding_over_time.decoded_square(score, score > 1, np.array([0, 1, 2.0]), 0.5, "x")
    ax = panels(decoding_over_time.decoded_pairs(pairs, np.array([0.0, 0.2]), ["face", "car", "house"]))[0]
    assert ticks(ax, "y") == {0: "face against car", 1: "face against house", 2: "car against house"}
    around = np.round(ax.images[0].get_extent(), 6).tolist()
    assert (cells(ax).tolist(), around) == (pairs.T.tolist(), [-100, 300, 2.5, -0.5])
    decoding_over_time.decoded_pairs(np.ones((2, 28)), np.array([0.0, 0.2]), [*"abcdefgh"])


def test_windows_with_their_control() -> None:
    rows = made({"scheme": ["recordings", "halves"], "group": ["all", "occipital"], "window": ["-100 to 0", "0 to 9"]},
                "null_95", value="score")  # fmt: skip
    chance = rows["scheme"].map({"recordings": 0.5, "halves": 0.4})
    rows = rows.assign(control=rows["window"] == "-100 to 0", chance=chance)
    (ax,) = panels(decoding_over_time._ranked(rows, "AUC"))
    names = rows["group"] + ", " + rows["window"] + " (" + rows["scheme"] + ")"
    assert over(ax, points(ax), "y") == {n: [approx(v)] for n, v in zip(names, rows["score"], strict=True)}
    grey = [name for name, mark in zip(ticks(ax, "y").values(), points(ax), strict=True) if mark.colour == canvas.GREY]
    assert set(grey) == set(names[rows["control"]])
    rows = made({"target_id": ["Cz", "Pz", "Oz"], "time_s": TIMES}, value="effect").sort_values("time_s", kind="stable")
    late = (rows["time_s"] > 0.05) & (rows["target_id"] == "Pz")
    decoding_over_time.sensor_courses(rows.assign(significant=late), "d")


def test_courses_of_a_group() -> None:
    """The second subject lacks the last time: the mean ends before it."""
    scores = made({"subject": ["01", "02", "03"], "time_s": TIMES}, value="score").assign(chance=0.5)
    scores = scores[(scores["subject"] != "02") | (scores["time_s"] < 0.3)].sort_values("time_s", kind="stable")
    (ax,) = panels(group_of_recordings.group_courses(scores, "AUC"))
    drawn, wide = curves(ax), scores.pivot(index="time_s", columns="subject", values="score")
    assert [approx(y, nan_ok=True) for _, y in drawn[""]] == [wide[name].tolist() for name in wide]
    whole = wide.dropna()
    assert drawn["mean of 3 subjects"] == [(approx([-100, 0, 100]), approx(whole.mean(axis=1).tolist()))]
    (band,) = bands(ax)
    error = whole.std(axis=1) / 3**0.5
    for time, mean in whole.mean(axis=1).items():
        assert band[1000 * time] == approx((mean - error[time], mean + error[time]))


def test_decoders_of_text() -> None:
    trained, tested = ["shuffled", "brain"], ["noise", "brain", "time-reversed"]
    rows = made({"trained": trained, "tested": tested, "measure": ["top-5", "top-1"]}, "chance", "p")
    rows["p"] = np.where(rows["measure"] == "top-1", 0.001, 0.2)
    rows["chance"] = rows["measure"].map({"top-1": 0.02, "top-5": 0.1})
    for ax, measure in zip(panels(text_sections.matrix_figure(rows)), pd.unique(rows["measure"]), strict=True):
        of = rows[rows["measure"] == measure].set_index(["trained", "tested"])["value"]
        a, b = list(pd.unique(rows["trained"])), list(pd.unique(rows["tested"]))
        np.testing.assert_allclose(cells(ax), [[of[x, y] for y in b] for x in a])
        star = "*" if measure == "top-1" else ""
        assert set(words(ax)) == {(b.index(y), a.index(x), f"{of[x, y]:.3f}{star}") for x in a for y in b}
    ranks = {"ridge": pd.Series([1, 3, 2, 9]), "residual": pd.Series([1, 1, 5, 10])}
    (ax,) = panels(text_sections.rank_figure(ranks, 10))
    for name, values in ranks.items():
        assert curves(ax)[name] == [(list(range(1, 11)), [(values <= k).mean() for k in range(1, 11)])]
    levels_of = {"over": ["subjects", "repeats"], "n_averaged": [4, 1, 2]}
    seeds = {"ridge": 1, "residual": 2}
    tables = {name: made(levels_of, "sd", "ceiling", seed=k).assign(chance=0.11) for name, k in seeds.items()}
    tables["ridge"].loc[tables["ridge"]["n_averaged"] == 4, "ceiling"] = np.nan
    text_sections.averaged_figure(tables)
    of = {"subject": ["s3", "s1", "s2"], "seed": [0, 1]}
    tables = {name: made(of, value="top-1", seed=k) for name, k in (seeds | {"linear": 3}).items()}
    tables["linear"] = tables["linear"][tables["linear"]["subject"] != "s1"]
    text_sections.subject_figure(tables, 0.07)
    table = pd.DataFrame({"true": ["b", "a", "b", "c"], "told": ["a", "a", "b", "b"], "n": [3, 5, 1, 2]})
    tables = {"ridge": table, "flipped": table.rename(columns={"true": "told", "told": "true"})}
    ridge, _ = panels(text_sections.confusion_figure(tables))
    assert cells(ridge).tolist() == [[1, 0, 0], [0.75, 0.25, 0], [0, 1, 0]]


def test_retrieval_between_modalities() -> None:
    base = {"decoder": ["joint", "ridge", "unimodal", "shuffled", "one layer"], "measure": ["top-1", "top-5"]}
    places = {"kind": ["modalities"], "query": ["eeg", "fmri", "meg"], "gallery": ["meg", "eeg", "fmri"]}
    rows = made({**base, **places}, "p", "null_mean", "null_sd").assign(chance=0.1)
    rows = rows[rows["query"] != rows["gallery"]].assign(p=lambda t: np.where(t["query"] == "eeg", 0.2, 0.01))
    part = rows[(rows["kind"] == "modalities") & (rows["measure"] == "top-1")]
    names = list(pd.unique(part["query"]))
    for ax, decoder in zip(panels(modality_figures.direction_matrix(rows, "top-1")), ("joint", "ridge"), strict=True):
        of = part[part["decoder"] == decoder].set_index(["query", "gallery"])["value"]
        np.testing.assert_allclose(cells(ax), [[of.get((q, g), np.nan) for g in names] for q in names])
