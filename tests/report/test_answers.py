"""What a page answers first: yes only above chance and corrected, the best model, what ties with it, its controls."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from drawn import levels, over, panels, points, ticks, zones
from pages import check

from brainalign.report import kit
from brainalign.report.kit import model_ranking
from brainalign.report.pages import answer_of_group, answer_of_rdms, answer_of_runs

GREY = kit.GREY
Kept = Callable[..., None]
SHARES = pd.DataFrame({"region": ["A1", *["all targets"] * 2], "model": ["model0", "model1", "model0"], "p": 0.5})
SHARES["unique"] = [0.7, 0.8, 0.0]
PLACES = ["reliable targets", "all targets"]


def ranking(n: int = 4) -> pd.DataFrame:
    table = pd.DataFrame({"name": [f"m{k}" for k in range(n)], "value": [0.1 * k for k in range(n)], "null": 0.02})
    return table.assign(low=table["value"] - 0.05, high=table["value"] + 0.05, control=table["name"] == "m0")


def test_models_are_drawn_from_the_best_to_the_worst() -> None:
    table = ranking().sample(4, random_state=1)
    table.loc[2, ["value", "null"]] = [0.25, np.nan]
    tied, options = [("m2", "m3"), ("m1", "m2")], {"measure": "mean r", "models": ["m3", "m0", "m1"]}
    (ax,) = panels(model_ranking.ranked_models(table, tied, ceiling=(0.5, 0.75), **options))
    rows = table.sort_index(ascending=False)
    assert list(ticks(ax, "y").values()) == list(rows["name"])
    assert [(mark.x, mark.y) for mark in points(ax, marker="o")] == list(zip(rows["value"], range(4), strict=True))
    first, _, third = (colour.lower() for colour in kit.COLOURS[:3])
    # m2 is none of the models.
    assert [mark.colour for mark in points(ax, marker="o")] == [first, "#000000", third, GREY]
    assert (levels(ax, "x")[""][0], zones(ax)) == (0.5, [(0.5, 0.75)])
    (ax,) = panels(model_ranking.ranked_models(ranking(1), measure="mean r", ceiling=0.5))  # no bars, no upper bound
    assert (levels(ax, "x")[""][0], zones(ax)) == (0.5, [])


@pytest.mark.parametrize(("tied", "runs"), [
    ([], []),
    ([("a", "b"), ("b", "c"), ("a", "c")], [(0, 2)]),
    ([("b", "a"), ("b", "c"), ("c", "d")], [(0, 1), (1, 2), (2, 3)]),
    ([("a", "b"), ("a", "c")], [(0, 1)]),  # b and c can be told apart
    ([("a", "d")], []),
])  # fmt: skip
def test_bars_join_what_cannot_be_told_apart(tied: list[tuple[str, str]], runs: list[tuple[int, int]]) -> None:
    assert model_ranking.joined(list("abcd"), tied) == runs


def test_of_many_models_the_worst_are_left_out_and_controls_stay() -> None:
    table = ranking(30)
    table.loc[29, "value"] = np.nan
    kept = model_ranking.ranked(table)
    assert list(kept["name"]) == [*(f"m{k}" for k in range(28, 17, -1)), "m0"]
    assert list(kept.index) == list(range(model_ranking.MOST_MODELS))
    controls = model_ranking.ranked(table.assign(control=table.index < 11))
    assert list(controls["name"]) == ["m28", "m27", "m26", *(f"m{k}" for k in range(10, -1, -1))]


def runs(p: float, n_models: int = 1) -> pd.DataFrame:
    rows = [(f"model{k}", "model", "all targets", 0.2 - 0.01 * k, p) for k in range(n_models)]
    rows += [("event rate", "control", "all targets", 0.01, 0.4), ("all", "joint", "all targets", 0.9, 0.001)]
    rows += [("model0", "model", "V1", 0.3, p), ("model0", "model", "A1", 0.31, p)]
    rows += [("model9", "model", "A1", np.nan, p), ("event rate", "control", "A1", 0.8, 0.4)]
    table = pd.DataFrame(rows, columns=["model", "kind", "region", "r", "p"])
    table = table.assign(low=table["r"] - 0.05, high=table["r"] + 0.04)
    return table.assign(null_mean=0.0, null_95=0.06, share=0.25, n_targets=1200, ceiling=0.6)


@pytest.mark.parametrize(("p", "n_models", "holds"), [(0.01, 1, True), (0.01, 6, False), (0.2, 1, False)])
def test_yes_is_corrected_for_the_models_tried(p: float, n_models: int, holds: bool, kept: Kept) -> None:
    answer = answer_of_runs(runs(p, n_models), SHARES, PLACES, [], 0.9)
    assert (answer.opening, answer.holds) == (("Yes.", True) if holds else ("Not shown.", False))
    kept(answer)


def test_where_nothing_is_known_nothing_is_said(kept: Kept) -> None:
    assert answer_of_runs(runs(0.01), SHARES, ["reliable targets"], [], 0.9) is None
    assert answer_of_runs(runs(0.01), SHARES, PLACES, ["model0"], 0.9) is None
    plain = runs(0.01).query("region == 'all targets' and kind == 'model'").drop(columns="ceiling").assign(low=np.nan)
    kept(answer_of_runs(plain, SHARES, PLACES, [], 0.9))
    assert not answer_of_runs(plain.assign(r=-0.2), SHARES, PLACES, [], 0.9).holds
    unknown = runs(0.01).query("region == 'all targets' or model == 'model9'")
    for rows in (unknown, runs(0.9)):  # no region is named where none has a score, or nothing is shown
        assert ": " not in answer_of_runs(rows, SHARES, PLACES, [], 0.9).words


def test_a_model_that_a_control_equals_has_to_add_to_it(kept: Kept) -> None:
    tested = runs(0.01)
    cases = ((0.25, 0.04, 0.01, "Yes, beside"), (0.2, 0.04, 0.2, "Not"), (0.25, -0.04, 0.01, "Not"))
    for rate, unique, p, opening in cases:
        tested.loc[tested["model"] == "event rate", "r"] = rate
        shares = SHARES.assign(unique=[*SHARES["unique"][:2], unique], p=[0.5, 0.6, p])
        answer = answer_of_runs(tested, shares, PLACES, [], 0.95)
        assert (answer.opening.startswith(opening), answer.holds) == (True, opening != "Not")
        kept(answer)
    # Noise that is called a model is a control.
    answer = answer_of_runs(runs(0.01, 2), SHARES, PLACES, ["model0"], 0.95)
    assert answer.words.startswith("model1 predicts")
    kept(answer)


def test_every_reference_set_is_answered(kept: Kept) -> None:
    rows = [("V1", "net", "early", 0.1, -0.1), ("V1", "net", "late", 0.3, 0.1), ("V1", "pixels", "pixels", 0.2, 0.1)]
    rows += [("IT", "net", "late", 0.05, -0.02), ("V4", "net", "early", 0.2, 0.1), ("PPA", "net", "early", 0.2, -0.1)]
    scores = pd.DataFrame(rows, columns=["reference", "model", "layer", "score", "low"])
    scores = scores.assign(high=scores["score"] + 0.2, ceiling_low=[0.4] * 4 + [np.nan] * 2, ceiling_high=0.5, p=0.01)
    twins = pd.DataFrame({"reference": ["V1", "V1", "V4"], "mean": [0.02, 0.01, 0.3], "model": "twin"})
    twins["layer"] = "early"
    answer = answer_of_rdms(scores, twins, "Spearman", 0.9)
    assert (answer.opening, answer.holds) == ("In V1.", True)
    kept(answer)
    (ax,) = panels(answer.panel.figure)
    assert over(ax, points(ax, marker="o"), "y") == {"net late": [0.3], "pixels": [0.2], "twin early": [0.02]}
    assert points(ax, marker="o")[-1].colour == GREY  # random weights are a control
    assert "No dissociation" in answer.words
    apart = answer_of_rdms(scores, twins, "Spearman", 0.9, {"V1": "net late", "V4": "pixels"})
    told = "A dissociation: net late is ahead of all others in V1; pixels is ahead of all others in V4."
    assert re.fullmatch(f"net late is ahead of all others on V1.*net late scores highest on IT: .*{told}", apart.words)
    assert "net early scores highest on V4" in apart.words  # another is ahead there of all but combinations
    alike = scores[scores["model"] == "net"].assign(layer="late")
    alike = pd.concat([alike, alike.assign(model="onehot", score=np.nan)], ignore_index=True)  # equal distances
    for low, ends in ((0.01, True), (alike["low"], False)):  # nothing is said of sets where nothing is sure
        words = answer_of_rdms(alike.assign(low=low), twins[:2], "Spearman", 0.9).words
        assert words.endswith("net late scores highest on every set.") == ends
    beaten = answer_of_rdms(scores, twins.assign(mean=[0.3, 0.1, 0.3]), "Spearman", 0.95)
    assert (beaten.opening, beaten.holds) == ("Not shown.", False)
    cases = ((0.01, 0.9, "V1", "Yes."), (0.02, 0.9, "IT", "In IT, V4, PPA."), (0.02, 0.02, "V1", "Yes."))
    for p, other, drawn, opening in cases:  # drawn is a set that the answer rests on
        tried = scores.assign(low=0.01, p=p).assign(p=lambda t, p=p, q=other: [q, p, q, p, p, p])  # three on V1
        told = answer_of_rdms(tried, twins[:2], "Spearman", 0.95)
        assert (told.opening, f"RDMs of {drawn}," in told.panel.caption) == (opening, True)
    assert answer.words.startswith("net late scores highest of 3 on V1: ")
    # Random features are no candidate but a control, and a set that answers is one of six.
    named = answer_of_rdms(scores, twins[:0], "Spearman", 0.9, {}, ["pixels"])
    told = "net late scores highest of 2 on V1: .300 [.100 to .500], ceiling .400 to .500, random features .200."
    assert named.words.startswith(told)
    assert points(*panels(named.panel.figure), marker="o")[-1].colour == GREY
    higher = scores.assign(score=np.where(scores["model"] == "pixels", 0.4, scores["score"]))
    assert answer_of_rdms(higher, twins[:0], "Spearman", 0.9, {}, ["pixels"]).opening == "In V4."
    one = scores[scores["model"] == "net"].assign(reference=[*"abcde"], low=0.1, p=[0.02, *[0.5] * 4])
    luck = answer_of_rdms(one, twins, "Spearman", 0.95)
    assert (luck.opening, luck.words[:29]) == ("Not shown.", "net early is not shown to fit")
    several = scores.assign(reference=[f"set{k}" for k in range(6)], low=[0.1] * 5 + [-0.1])
    assert answer_of_rdms(several, twins, "Spearman", 0.95).opening == "In set0, set1, set2 and 2 others."
    assert answer_of_rdms(scores[:0], twins, "Spearman", 0.95) is None


def group_rows(low: list[float], chance: float = 0.0) -> pd.DataFrame:
    subjects = [f"{k}" for k, _ in enumerate(low)]
    model = pd.DataFrame({"subject": subjects, "model": "net", "value": chance + 0.2, "low": low})
    rows = pd.concat([model, model.assign(model="twin", value=chance + 0.015, low=-0.1)], ignore_index=True)
    return rows.assign(quantity="mean r", chance=chance)


def test_a_group_is_counted(kept: Kept) -> None:
    """One subject of two at .05 is luck in .0975 of studies, two of three in .007; those that there are count."""
    for low, opening in (
        ([0.1, 0.1], "Yes."), ([0.1, 0.1, -0.1], "In 2 of 3 subjects."),
        ([0.1, -0.1], "Not shown: 1 of 2 subjects may be luck."), ([-0.1, -0.1], "Not shown."),
    ):  # fmt: skip
        rows = group_rows(low)
        rows["value"] += 0.01 * np.tile(np.arange(len(low)), 2)
        more = rows.assign(quantity="another", value=0.99)
        rows.loc[len(rows)] = ["1", "of one subject", 0.9, 0.8, "mean r", 0.0]
        answer = answer_of_group(pd.concat([rows, more]), ["twin"], len(low))
        assert (answer.opening, answer.holds) == (opening, not opening.startswith("Not"))
        kept(answer)
    rows = group_rows([0.1, 0.1])
    assert answer_of_group(rows, ["net", "twin"], 2) is None
    kept(answer_of_group(rows[rows["model"] == "net"].drop(columns="chance"), [], 2))
    for best, opening in ((0.0, "Yes."), (1.0, "Above chance, but not above twin.")):
        found = answer_of_group(rows.assign(value=rows["value"].where(rows["model"] == "net", best)), ["twin"], 3)
        assert (found.opening, found.holds) == (opening, best == 0)
    rows.loc[0, ["value", "low"]] = np.nan  # in one subject nothing repeats
    partial = answer_of_group(rows, ["twin"], 2)
    assert "in 1 of 2 subjects, mean r .200 over 1 of them (" in partial.words
    assert partial.numbers[1]["name"] == "mean r, mean over 1 of 2 subjects"
    nothing = answer_of_group(rows.assign(value=np.nan), ["twin"], 2)
    assert (nothing.opening, nothing.words) == ("Not shown.", "No model has mean r in any subject.")


def test_more_models_need_more_subjects(kept: Kept) -> None:
    """The best of eight models is above chance in two of three subjects in eight times .007 of studies."""
    rows = group_rows([0.1, 0.1, -0.1])
    nets = [rows[rows["model"] == "net"].assign(model=f"net {k}", value=0.2 - k / 100) for k in range(8)]
    answer = answer_of_group(pd.concat(nets), [], 3)
    assert (answer.opening, answer.holds) == ("Not shown: 2 of 3 subjects may be luck.", False)
    assert not answer_of_group(pd.concat(nets).assign(p=0.04), [], 3).holds  # stimuli are shared: one chance, not three
    rows = group_rows([0.6, 0.6, 0.6], 0.5).assign(p=[0.01, 0.01, 0.9] * 2)
    rows.loc[1, "value"] = 0.4
    words = {"question": "Can one tell?", "measure": "identification", "beside": "which may be enough"}
    answer = answer_of_group(rows, ["twin"], 3, **words)
    assert "in 1 of 3 subjects, identification .600, chance .500 (best control twin: .515)" in answer.words
    kept(answer)


def test_a_drawing_is_part_of_the_page() -> None:
    """Its text can be selected, it takes the ink of the theme, and ids of several drawings differ."""
    figures = {name: model_ranking.ranked_models(ranking(), measure="mean r") for name in ("one", "two")}
    drawings = [kit.Panel(name, "", "", figure).drawings[0][1] for name, figure in figures.items()]
    ids = [set(re.findall(r'\bid="([^"]+)"', drawing)) for drawing in drawings]
    assert len(ids[0] - ids[1]) == len(ids[0]) > 0
    assert all(re.search(r">\s*mean r\s*<", drawing) for drawing in drawings)
    assert all(target in ids[0] for target in re.findall(r"url\(#([^)]+)\)", drawings[0]))
    check(drawings[0], "currentColor", unsaid=["#000000"])
