"""Pages of stories and of movies: tables, sentences and methods that follow from tables made up."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made import made
from pages import cells, check

from brainalign.report import StudyMaterial
from brainalign.report.kit import number
from brainalign.report.pages import continuous, continuous_chapter, dynamics
from brainalign.statistics import MIN_UNITS, SHARING, cross_validated_interval

COLUMNS = ["model", "kind", "layer", "region", "test_set", "r", "low", "high", "null_95", "null_mean", "p"]
ROWS = [
    ("language", "model", "late", "A1", "", 0.31, 0.21, 0.41, 0.11, 0.01, 0.012),
    ("acoustic", "model", "only", "A1", "", 0.25, np.nan, np.nan, 0.12, 0.02, 0.3),
    ("motion", "control", "only", "A1", "", 0.05, 0.01, 0.07, 0.13, 0.03, 0.5),
    ("event rate", "control", "only", "A1", "", 0.15, 0.05, 0.2, 0.14, 0.04, 0.4),
    ("all", "joint", "all", "A1", "", 0.35, 0.3, 0.45, 0.15, 0.05, 0.001),
    ("acoustic", "model", "only", "V1", "", 0.09, -0.1, 0.2, 0.12, 0.02, 0.05),
    ("language", "model", "late", "V1", "", 0.05, -0.1, 0.1, 0.12, 0.02, 0.01),
    ("motion", "control", "only", "V1", "", 0.02, -0.01, 0.04, 0.14, 0.04, 0.4),
    ("event rate", "control", "only", "V1", "", 0.07, 0.01, 0.1, 0.14, 0.04, 0.4),
    ("all", "joint", "all", "V1", "", 0.1, 0.01, 0.2, 0.14, 0.04, 0.4),
    ("language", "layer", "early", "A1", "", 0.2, 0.1, 0.3, 0.1, 0.0, 0.02),
    ("language", "layer", "late", "A1", "", 0.3, 0.2, 0.4, 0.1, 0.0, 0.01),
    ("language", "model", "late", "all targets", "pieces", 0.22, 0.1, 0.3, 0.1, 0.0, 0.02),
    ("event rate", "control", "only", "all targets", "pieces", 0.12, 0.1, 0.2, 0.1, 0.0, 0.3),
]
SHARES = [
    ("language", "A1", 0.04, 0.01, 0.07, 0.02),
    ("acoustic", "A1", 0.03, -0.01, 0.06, 0.01),
    ("event rate", "A1", 0.05, 0.02, 0.08, 0.01),
    (SHARING.join(["language", "acoustic"]), "A1", 0.02, 0.005, 0.03, np.nan),
    ("language", "V1", 0.01, -0.2, 0.2, 0.01),
    ("acoustic", "V1", 0.02, -0.1, 0.2, 0.01),
    ("event rate", "V1", 0.05, 0.02, 0.08, 0.01),
    (SHARING.join(["language", "acoustic"]), "V1", 0.02, -0.005, 0.03, np.nan),
]
READ = {
    **{"step_s": 2.0, "trimmed": [5, 3], "presentations": {"r1": 2, "r2": 1}, "detrend": "linear"},
    **{"high_pass_hz": 0.01, "confounds": ["x", "y"], "n_dropped": 4, "delays": [1, 2, 3], "folds": 0},
    **{"resample": "mean", "test_sets": {"pieces": ["r8", "r9"]}},
}
MAPS = continuous._maps


@pytest.fixture
def material(monkeypatch: pytest.MonkeyPatch) -> StudyMaterial:
    monkeypatch.setattr(continuous, "_maps", lambda _: [])  # `MAPS` draws them
    scores = pd.DataFrame(ROWS, columns=COLUMNS)
    large = scores["region"] == "V1"
    scores = scores.assign(ceiling=np.where(large, np.nan, 0.6), share=np.where(large, 0.02, 0.26))
    scores["n_targets"] = np.where(large, 1200, 50)
    shares = pd.DataFrame(SHARES, columns=["model", "region", "unique", "low", "high", "p"]).assign(null_95=0.01)
    delays = pd.DataFrame({"model": ["language", "acoustic", "event rate", "motion", "all"], "delay_s": 2.0})
    names = ["a", "b", "c"]
    tables = {
        "runscores": scores,
        "runtargets": pd.DataFrame({"target_id": names, "ceiling": [0.5, 0.6, 0.0]}),
        "targets": pd.DataFrame({"target_id": names, "roi": [["A1"], ["A1", "V1"], ["V1"]]}),
        "intersubject": pd.DataFrame({"target_id": names, "r": [0.4, 0.5, 0.9], "n_others": [3, 4, 3]}),
        "rundelays": delays.assign(weight=1.0),
        "runshares": shares,
    }
    models = {name: SimpleNamespace(random=False, extractor="table") for name in ("language", "acoustic")}
    config: Any = SimpleNamespace(
        models=models | {"noise": SimpleNamespace(random=False, extractor="random")},
        models_of=lambda _: list(models),
        confidence=0.9,
        ceiling_threshold=0.1,
        encode_runs=SimpleNamespace(permutations=1000, n_candidates=50),
    )
    study: Any = SimpleNamespace(notes=["A note."], recordings={})
    sidecars = {"sub-1_responses.safetensors": {"details": READ}}
    return StudyMaterial(config, "story", study, "1", tables, sidecars=sidecars)


def test_every_sentence_follows_from_the_tables(material: StudyMaterial) -> None:
    chapter = continuous_chapter(material)
    assert chapter.answer is None  # of no region with all targets
    assert chapter.kind == "Subject 1"
    assert list(chapter.findings) == [
        "A1: language predicts the runs left out, r = .310 (95 % interval .210 to .410, 95 % of the null below .110, "
        "p = .0120); event rate alone: .150. By themselves 13 of 50 targets are predicted (p < 0.05, corrected for all "
        "targets).",
        "A1: beyond all other models and controls, variance is added by language (R² .040, 95 % interval .010 to "
        ".070).",
        f"A1: language{SHARING}acoustic share R² .020 that nothing else has (95 % interval .005 to .030).",
        "V1: acoustic is not shown to predict the runs left out, r = .090 (95 % interval -.100 to .200, 95 % of the "
        "null below .120, p = .0500); event rate alone: .070. By themselves 24 of 1,200 targets are predicted "
        "(p < 0.05, corrected for all targets).",
        "V1: no model is shown to add to the others and the controls.",
        "Test set pieces, never trained on, all targets: language r = .220 (p = .0200).",
        "A note.",
    ]
    material.tables["runshares"]["low"] = np.nan
    assert not [text for text in continuous_chapter(material).findings if "add" in text]


def test_every_number_stands_in_its_column(material: StudyMaterial) -> None:
    chapter = continuous_chapter(material)
    assert [section.id for section in chapter.sections] == ["prediction", "test-sets", "shares", "delays"]
    drawn, layers, table = chapter.sections[0].panels
    assert (drawn.id, layers.id, table.id) == ("predictedruns", "runlayers", "runtable")
    assert cells(layers.html)[1:] == [["language", "early", "A1", ".200"], ["language", "late", "A1", ".300"]]
    _, *rows = cells(table.html)
    assert rows[0] == ["language", "A1", ".310", ".210 to .410", ".110", ".0120", ".600", ".450", "50", "26%"]
    assert rows[1][3] == "–"
    assert rows[4][:2] == ["all models", "A1"]
    assert rows[5][6:] == ["–", ".500", "1200", "2%"]
    assert len(rows) == len(chapter.headline) == 10
    first, joint, last = (chapter.headline[k] for k in (0, 4, 5))
    named = {"quantity": "r, A1", "split": "runs left out", "model": "language", "method": "ridge", "layer": "model"}
    values = {"value": 0.31, "chance": 0.0, "n": 50, "null_mean": 0.01, "low": 0.21, "high": 0.41, "p": 0.012}
    assert first == named | values
    assert (joint["method"], joint["model"], last["quantity"]) == ("banded ridge", "all models", "r, V1")
    scores = material.tables["runscores"]
    material.tables["runscores"] = scores[~((scores["kind"] == "layer") & (scores["layer"] == "early"))]
    del material.tables["intersubject"]
    drawn, table = continuous_chapter(material).sections[0].panels
    assert (drawn.id, table.id, cells(table.html)[1][7]) == ("predictedruns", "runtable", "–")


def test_maps_of_runs(material: StudyMaterial) -> None:
    names, both = [f"t{k}" for k in range(12)], SHARING.join(["language", "acoustic"])
    xyz = np.random.default_rng(0).normal(size=(12, 3)) * 30
    material.tables["targets"] = pd.DataFrame(xyz, columns=["x_mm", "y_mm", "z_mm"]).assign(target_id=names, kind="c")
    levels = {"model": ["acoustic", "language", "event rate", both], "target_id": names}
    rows = made(levels, "p_fwer", "unique", value="r")
    rows["p_fwer"] = np.where(rows["target_id"] < "t3", 0.049, 0.05)
    rows["r"] += 0.2 * (rows["model"] == "language") - 1.0 * (rows["target_id"] == "t1")
    material.tables |= {"runtargets": rows, "rununiques": rows.drop(columns="r")}
    others = pd.DataFrame(
        {"target_id": names[::-1][:11], "r": np.linspace(-0.42, 0.31, 11), "n_others": [3] * 10 + [4]}
    )
    material.tables["intersubject"] = others
    (section,) = MAPS(material)
    run, heard, *shares = section.panels
    assert [run.id, heard.id, run.title] == ["runmap", "intersubject", "r of language"]
    assert {panel.id for panel in shares} == {
        f"uniquemap-{name}" for name in ("acoustic", "language", "language-acoustic")
    }
    assert [panel.id for panel in section.panels if "(5 of them)" not in panel.caption] == [
        heard.id,
        "uniquemap-language-acoustic",
    ]
    assert "(4 of them)" in heard.caption
    of = rows.set_index(["model", "target_id"])
    top = of.loc[["acoustic", "language", both], "unique"].quantile(0.995)
    ends = [np.ceil(10 * of.loc["language", "r"].abs().max()) / 10, 0.5, *[top] * 3]
    for panel, end, column in zip(section.panels, ends, ["r", "r", *["unique"] * 3], strict=True):
        known = others.set_index("target_id") if panel is heard else of.loc[panel.numbers["model"].iloc[0]]
        np.testing.assert_array_equal(panel.numbers[column], known[column].reindex(names))
        marks = panel.figure.axes[0].collections[0]
        assert marks.get_clim() == pytest.approx((-end, end))
        assert sorted(marks.get_array()) == sorted(known[column])
    material.tables["targets"] = material.tables["targets"].assign(x_mm=np.nan)
    assert MAPS(material) == []


def test_features_without_content_must_not_predict(material: StudyMaterial) -> None:
    for p, region, failed in ((0.009, "all targets", True), (0.009, "A1", False), (0.011, "all targets", False)):
        rows = pd.DataFrame({"model": ["noise", "language"], "region": region, "r": [0.1, 0.2], "p": [p, 0.001]})
        found = [(each.name, each.value, each.chance, each.p) for each in continuous._failed(material, rows)]
        assert found == [("noise, all targets: r of features without content", 0.1, 0.0, p)] * failed


def test_methods_say_how_runs_were_read_and_fitted(material: StudyMaterial) -> None:
    (read, keys), (fitted, _), (apart, _), (beside, _), (tested, cited) = continuous_chapter(material).methods
    assert read.startswith(
        "Responses of 2 runs (a row every 2 s) were detrended linearly, high-pass filtered at 0.01 Hz (cosines), "
        "cleared of confounds (x, y) and z-scored within runs, after the first 10 s and the last 6 s were left out; "
        "4 targets without variance were dropped. 1 of them were presented more than once: their mean was fitted."
    )
    check(fitted, "averaged within rows", "at delays of 2, 4, 6 s, never across runs. Each run was left out in turn;")
    assert apart == "Runs that were never trained on, predicted from all others: pieces: r8, r9."
    assert "other subjects (4) whose" in beside
    check(tested, "(1,000 times)", "What several have in common")
    assert (keys, cited) == (("explainable",), ("banded", "commonality"))
    plain = {"trimmed": [0, 0], "presentations": {"r1": 1}, "detrend": "none", "high_pass_hz": None, "confounds": []}
    plain |= {"delays": list(range(1, 10)), "folds": 5, "resample": "kernel", "test_sets": {}}
    material.sidecars["sub-1_responses.safetensors"] = {"details": READ | plain}
    del material.tables["intersubject"]
    shares = material.tables["runshares"]
    material.tables["runshares"] = shares[~shares["model"].str.contains(SHARING, regex=False)]
    (read, keys), (fitted, _), (tested, cited) = continuous_chapter(material).methods
    assert read == (
        "Responses of 1 runs (a row every 2 s) were z-scored within runs; 4 targets without variance were dropped. No "
        "run was presented twice, so that there is no ceiling."
    )
    check(fitted, "averaged through it", "at delays of 2 to 18 s, never across runs. Runs were left out in 5 groups;")
    assert "What several have in common" not in tested
    assert (keys, cited) == ((), ("banded",))


FOLLOWED = ["region", "epoch", "network", "name", "role", "r_normalized", "r", "low", "high", "null_mean", "p"]


def followed() -> pd.DataFrame:
    rows = [
        ("front", "occluded", "other", "rnn", "model", 0.4, 0.3, 0.1, 0.5, 0.02, 0.04),
        ("front", "occluded", "net", "mlp", "model", 0.6, 0.5, 0.35, 0.7, 0.01, 0.012),
        ("front", "occluded", "", "time alone", "control", 0.2, 0.15, 0.1, 0.3, 0.03, 0.2),
        ("front", "occluded", "net", "held", "control", 0.3, 0.25, np.nan, np.nan, 0.04, 0.1),
        ("front", "visible", "net", "mlp", "model", 0.7, 0.6, 0.5, 0.8, 0.05, 0.001),
        ("back", "visible", "", "time alone", "control", 0.1, 0.05, 0.0, 0.2, 0.06, 0.3),
    ]
    return pd.DataFrame(rows, columns=FOLLOWED).assign(n_neurons=range(5, 11), n_dropped=range(6))


def folds(n: int, gap: float) -> pd.DataFrame:
    """Return scores of folds, those of a control in another order, beside rows of another region and epoch."""
    kept = pd.DataFrame({"fold": range(n), "network": "net", "name": "held", "r_normalized": np.linspace(0.1, 0.4, n)})
    model = kept.assign(name="mlp", r_normalized=kept["r_normalized"] + gap + 0.01 * (kept["fold"] % 2))
    of = pd.concat([model, kept[::-1]]).assign(region="front", epoch="occluded")
    return pd.concat([of, of.assign(region="back", r_normalized=9.0), of.assign(epoch="visible", r_normalized=9.0)])


NOTHING = "so that nothing is shown beyond the control"


@pytest.mark.parametrize(
    ("n", "gap", "verdict"), [(8, 0.3, "which excludes 0"), (8, -0.004, NOTHING), (MIN_UNITS - 1, 0.3, "")]
)
def test_a_model_of_movies_is_held_against_its_best_control(n: int, gap: float, verdict: str) -> None:
    material: Any = SimpleNamespace(tables={"dynamicsfolds": folds(n, gap)})
    found = dynamics._findings(material, followed())
    differences = gap + 0.01 * (np.arange(n) % 2)
    end = "; too few folds for an interval."
    if verdict:
        interval = cross_validated_interval(differences, 1 / (n - 1))
        end = f" (95 % interval {number(interval.low)} to {number(interval.high)}, {verdict})."
    assert found == [
        "front, hidden frames: net with mlp predicts 6 neurons with r / sqrt(reliability) = .600 (1 dropped as "
        "unreliable; conditions exchanged: .010, p = .0120).",
        f"The best control is net with held: .300. Difference {number(differences.mean())}{end}",
        "front, shown frames: net with mlp predicts 9 neurons with r / sqrt(reliability) = .700 (4 dropped as "
        "unreliable; conditions exchanged: .050, p = .0010).",
    ]
    failed = dynamics.failed_following(followed(), folds(n, gap))
    assert [(each.value, each.chance, each.p) for each in failed] == [(0.3, 0.0, 0.1)] * (gap < 0)
    assert not dynamics.failed_following(followed().assign(p=0.06), folds(n, gap))


def test_every_number_of_movies_stands_in_its_column() -> None:
    scores = followed()
    cards = [("front: net with mlp", ".600", "best control .300, p = .0120", "hidden frames")]
    assert [tuple(card.values()) for card in dynamics._cards(scores)] == cards
    shown = dynamics._cards(scores[scores["epoch"] == "visible"])
    assert [tuple(card.values()) for card in shown] == [("front: net with mlp", ".700", "p = .0010", "shown frames")]
    _, *rows = cells(dynamics._table(scores))
    start = ["front", "hidden frames", "net", "mlp", "model"]
    assert rows[1] == [*start, ".600", ".350 to .700", ".500", ".010", ".0120", "6", "1"]
    assert rows[3][6] == "–"
    assert rows[2][2:5] == ["–", "time alone", "control"]
    headline = dynamics._headline(scores)
    assert headline[1] == {
        **{"quantity": "r / sqrt(reliability), front", "split": "hidden frames", "model": "net", "method": "mlp"},
        **{"layer": "model", "value": 0.6, "chance": 0.0, "n": 6, "low": 0.35, "high": 0.7, "null_mean": 0.01},
        "p": 0.012,
    }
    assert (headline[2]["model"], headline[5]["split"]) == ("–", "shown frames")
