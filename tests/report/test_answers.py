"""What a page answers first: yes only above chance and corrected, the best model, what ties with it, its controls."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from drawn import levels, panels, points, ticks

from brainalign.report import kit
from brainalign.report.kit import model_ranking
from brainalign.report.pages import answer_of_group, answer_of_rdms, answer_of_runs

GREY = kit.GREY


def ranking(n: int = 4) -> pd.DataFrame:
    table = pd.DataFrame({"name": [f"m{k}" for k in range(n)], "value": [0.1 * k for k in range(n)], "null": 0.02})
    return table.assign(low=table["value"] - 0.05, high=table["value"] + 0.05, control=table["name"] == "m0")


def test_models_are_drawn_from_the_best_to_the_worst() -> None:
    table = ranking()
    figure = model_ranking.ranked_models(table, [("m2", "m3"), ("m1", "m2")], measure="mean r", ceiling=0.5)
    (ax,) = panels(figure)
    rows = table[::-1]
    assert list(ticks(ax, "y").values()) == list(rows["name"])
    assert [(mark.x, mark.y) for mark in points(ax, marker="o")] == list(zip(rows["value"], range(4), strict=True))
    assert [mark.colour == GREY for mark in points(ax, marker="o")] == [False, False, False, True]
    assert 0.5 in levels(ax, "x")[""]
    assert ax.yaxis_inverted()
    assert [text.get_text() for text in ax.texts] == ["ceiling"]


@pytest.mark.parametrize(
    ("tied", "runs"),
    [
        ([], []),
        ([("a", "b"), ("b", "c"), ("a", "c")], [(0, 2)]),
        ([("b", "a"), ("b", "c"), ("c", "d")], [(0, 1), (1, 2), (2, 3)]),
        ([("a", "b"), ("a", "c")], [(0, 1)]),  # b and c can be told apart
        ([("a", "d")], []),
    ],
)
def test_bars_join_what_cannot_be_told_apart(tied: list[tuple[str, str]], runs: list[tuple[int, int]]) -> None:
    assert model_ranking.joined(list("abcd"), tied) == runs


def test_of_many_models_the_worst_are_left_out_and_controls_stay() -> None:
    kept = model_ranking.ranked(ranking(30))
    assert len(kept) == model_ranking.MOST_MODELS
    assert list(kept["name"][:2]) == ["m29", "m28"]
    assert kept["name"].iloc[-1] == "m0"


def runs(p: float, n_models: int = 1) -> pd.DataFrame:
    rows = [(f"model{k}", "model", "all targets", 0.2 - 0.01 * k, p) for k in range(n_models)]
    rows += [("event rate", "control", "all targets", 0.01, 0.4), ("model0", "model", "A1", 0.31, p)]
    table = pd.DataFrame(rows, columns=["model", "kind", "region", "r", "p"])
    return table.assign(low=0.15, high=0.25, null_95=0.05, share=0.5, n_targets=40, ceiling=0.6)


SHARES = pd.DataFrame({"region": ["all targets"], "model": ["model0"], "unique": [0.0], "p": [0.5]})


@pytest.mark.parametrize(("p", "n_models", "holds"), [(0.01, 1, True), (0.01, 6, False), (0.2, 1, False)])
def test_yes_is_corrected_for_the_models_tried(p: float, n_models: int, holds: bool) -> None:
    answer = answer_of_runs(runs(p, n_models), SHARES, ["all targets"], [], 0.95)
    assert answer.holds == holds
    assert answer.opening == ("Yes." if holds else "Not shown.")
    assert ".200 [.150 to .250]" in answer.words
    assert "A1: model0, r = .310" in answer.words
    assert [number["value"] for number in answer.numbers] == [".200", "20", ".010"]
    assert list(answer.panel.numbers["name"]) == [*(f"model{k}" for k in range(n_models)), "event rate"]


@pytest.mark.parametrize(
    ("unique", "p", "opening", "holds"),
    [(0.04, 0.01, "Yes, beside event rate.", True), (0.04, 0.2, "Not beyond event rate.", False)],
)
def test_a_model_that_a_control_surpasses_has_to_add_to_it(unique: float, p: float, opening: str, holds: bool) -> None:
    tested = runs(0.01)
    tested.loc[tested["model"] == "event rate", "r"] = 0.25
    answer = answer_of_runs(tested, SHARES.assign(unique=unique, p=p), ["all targets"], [], 0.95)
    assert (answer.opening, answer.holds) == (opening, holds)
    assert "event rate alone predicts .250; beside all others model0 adds R² .040, p" in answer.words
    assert answer.numbers[-1]["control"].endswith("what was presented, unread")


def test_noise_that_is_called_a_model_is_a_control() -> None:
    answer = answer_of_runs(runs(0.01, 2), SHARES.assign(model="model1"), ["all targets"], ["model0"], 0.95)
    assert answer.words.startswith("model1 predicts")
    assert answer.numbers[-1]["name"] == "best control: model0"
    assert answer.numbers[-1]["control"].endswith("should be near chance")


def test_every_reference_set_is_answered() -> None:
    rows = [("V1", "net", "early", 0.3, 0.1), ("V1", "net", "late", 0.1, -0.1), ("IT", "net", "late", 0.05, -0.02)]
    scores = pd.DataFrame(rows, columns=["reference", "model", "layer", "score", "low"])
    scores = scores.assign(high=scores["score"] + 0.2, ceiling_low=0.4, ceiling_high=0.5, p=0.01)
    twins = pd.DataFrame({"reference": ["V1"], "model": "twin", "layer": "early", "mean": [0.02]})
    answer = answer_of_rdms(scores, twins, "Spearman", 0.95)
    assert answer.opening == "In V1."
    unknown = answer_of_rdms(scores.assign(ceiling_low=np.nan), twins, "Spearman", 0.95)
    assert "no ceiling" in unknown.words
    assert "V1: net early .300 [.100 to .500], ceiling .400 to .500, random weights .020" in answer.words
    assert "IT: net late .050" in answer.words
    beaten = answer_of_rdms(scores, twins.assign(mean=0.35), "Spearman", 0.95)
    assert (beaten.opening, beaten.holds) == ("Not shown.", False)


def group_rows(low: list[float], chance: float = 0.0) -> pd.DataFrame:
    """Return scores of a model that leads chance by .2 in every subject, and of its control."""
    subjects = [f"{k}" for k, _ in enumerate(low)]
    model = pd.DataFrame({"subject": subjects, "model": "net", "value": chance + 0.2, "low": low})
    rows = pd.concat([model, model.assign(model="twin", value=chance + 0.015, low=-0.1)], ignore_index=True)
    return rows.assign(quantity="mean r", chance=chance)


@pytest.mark.parametrize(
    ("low", "opening", "holds"),
    [
        ([0.1, 0.1], "Yes.", True),
        ([0.1, 0.1, -0.1], "In 2 of 3 subjects.", True),
        ([0.1, -0.1], "Not shown: 1 of 2 subjects may be luck.", False),
        ([-0.1, -0.1], "Not shown.", False),
    ],
)
def test_a_group_is_counted(low: list[float], opening: str, holds: bool) -> None:
    """One subject of two at .05 is luck in .0975 of studies, two of three in .007."""
    rows = group_rows(low)
    rows.loc[len(rows)] = ["1", "of one subject", 0.9, 0.8, "mean r", 0.0]
    answer = answer_of_group(rows, ["twin"], len(low))
    assert (answer.opening, answer.holds) == (opening, holds)
    assert "mean r .200 (best control twin: .015)" in answer.words
    assert "chance" not in answer.words.replace("above chance", "")


def test_more_models_need_more_subjects() -> None:
    """The best of eight models is above chance in two of three subjects in eight times .007 of studies."""
    rows = group_rows([0.1, 0.1, -0.1])
    nets = [rows[rows["model"] == "net"].assign(model=f"net {k}", value=0.2 - k / 100) for k in range(8)]
    answer = answer_of_group(pd.concat(nets), [], 3)
    assert (answer.opening, answer.holds) == ("Not shown: 2 of 3 subjects may be luck.", False)


def test_a_group_has_the_chance_of_its_quantity() -> None:
    """A share of right choices between two is held against a half, and says so."""
    rows = group_rows([0.6, 0.6, 0.6], 0.5).assign(p=[0.01, 0.01, 0.9] * 2)
    rows.loc[1, "value"] = 0.4
    words = {"question": "Can one tell?", "measure": "identification", "beside": "which may be enough"}
    answer = answer_of_group(rows, ["twin"], 3, **words)
    assert "in 1 of 3 subjects, identification .600, chance .500 (best control twin: .515)" in answer.words
    assert answer.question == "Can one tell?"
    assert answer.numbers[-1]["control"].endswith("which may be enough")


def test_a_drawing_is_part_of_the_page() -> None:
    """Its text can be selected, it takes the ink of the theme, and ids of several drawings differ."""
    drawings = [
        kit.Panel(name, "", "", model_ranking.ranked_models(ranking(), measure="mean r"), vector=True).drawing
        for name in ("one", "two")
    ]
    ids = [set(re.findall(r'\bid="([^"]+)"', drawing)) for drawing in drawings]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert all(re.search(r">\s*mean r\s*<", drawing) for drawing in drawings)
    assert all(target in ids[0] for target in re.findall(r"url\(#([^)]+)\)", drawings[0]))
    assert "currentColor" in drawings[0]
    assert "#000000" not in drawings[0]
