"""Pages of stories and of movies: tables, sentences and methods that follow from tables made up."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made import made
from pages import cells

from brainalign.config import EncodeSettings
from brainalign.report.kit import StudyMaterial
from brainalign.report.pages import continuous, continuous_chapter, dynamics
from brainalign.statistics import MIN_UNITS, SHARING

TARGETS = {"target_id": ["a", "b", "c"], "ceiling": [0.5, 0.6, 0.0], "reliable": [True, True, False]}
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
    ("language", "A1", 0.04, 0.01, 0.07, 0.02), ("acoustic", "A1", 0.03, -0.01, 0.06, 0.01),
    ("event rate", "A1", 0.05, 0.02, 0.08, 0.01),
    (SHARING.join(["language", "acoustic"]), "A1", 0.02, 0.005, 0.03, np.nan),
    ("language", "V1", 0.01, -0.2, 0.2, 0.01), ("acoustic", "V1", 0.02, -0.1, 0.2, 0.01),
    ("event rate", "V1", 0.05, 0.02, 0.08, 0.01),
    (SHARING.join(["language", "acoustic"]), "V1", 0.02, -0.005, 0.03, np.nan),
]  # fmt: skip
READ = {
    **{"step_s": 1.0, "slow": True, "trimmed": [10, 6], "presentations": {"r1": 2, "r2": 1}, "detrend": "linear"},
    **{"high_pass_hz": 0.01, "confounds": ["x", "y"], "n_dropped": 4, "delays": [2, 4, 6], "folds": 0},
    **{"resample": "mean", "test_sets": {"pieces": ["r8", "r9"]}, "hrf": None},
}
MAPS = continuous._maps
FOLLOWED = ["region", "epoch", "network", "name", "role", "r_normalized", "r", "low", "high", "null_mean", "p"]


@pytest.fixture
def material(monkeypatch: pytest.MonkeyPatch) -> StudyMaterial:
    monkeypatch.setattr(continuous, "_maps", lambda _: [])  # `MAPS` draws them
    scores = pd.DataFrame(ROWS, columns=COLUMNS)
    large = scores["region"] == "V1"
    scores = scores.assign(ceiling=np.where(large, np.nan, 0.6), share=np.where(large, 0.02, 0.26))
    scores["n_targets"] = np.where(large, 1200, 50)
    shares = pd.DataFrame(SHARES, columns=["model", "region", "unique", "low", "high", "p"])
    shares["corrected"] = shares["unique"] + 0.011
    follows = [("language", "A1", 2.0), ("language", "A1", 4.0), ("language", "V1", 6.0)]
    follows += [(name, "A1", 2.0) for name in ("acoustic", "event rate", "motion")]
    delays = pd.DataFrame(follows, columns=["model", "region", "delay_s"])
    names, noted = ["a", "b", "c"], {"sub-1_responses.safetensors": {"details": READ}}
    noted["sub-1_runtargets.parquet"] = {"details": {"alphas": [0.1, 1.0, 10.0]}}
    tables = {
        "runscores": scores,
        "runtargets": pd.DataFrame(TARGETS).assign(model="language", alpha=[0.1, 10, 10]),
        "targets": pd.DataFrame({"target_id": names, "roi": [["A1"], ["A1", "V1"], ["V1"]]}),
        "intersubject": pd.DataFrame({"target_id": names, "r": [0.4, 0.5, 0.9], "n_others": [3, 4, 3]}),
        "rundelays": delays.assign(weight=delays["delay_s"]),
        "runshares": shares,
    }
    models = {name: SimpleNamespace(random=False, extractor="table") for name in ("language", "acoustic")}
    config: Any = SimpleNamespace(
        models=models | {"noise": SimpleNamespace(random=False, extractor="random")}, models_of=lambda _: list(models),
        confidence=0.9, ceiling_threshold=0.1, encode=EncodeSettings(permutations=1000, n_candidates=50),
    )  # fmt: skip
    study: Any = SimpleNamespace(notes=["A note."], recordings={})
    return StudyMaterial(config, "story", study, "1", tables, sidecars=noted)


def test_sentences_and_numbers_follow_from_the_tables(material: StudyMaterial) -> None:
    chapter = continuous_chapter(material)
    assert chapter.answer is None  # of no region with all targets
    assert chapter.findings[1].endswith("variance is added by language (R² .040, 90% interval .010 to .070).")
    shares = material.tables["runshares"]
    shares["unique"] = shares["unique"].where(shares["p"].notna(), 9)
    corrected = "p = .0600 corrected for 6 models and regions"
    shares["corrected"] -= 0.03  # without the cost of estimating nothing would be shared
    added = (chapter := continuous_chapter(material)).sections[-2]
    assert not [text for text in chapter.findings if "share R²" in text]
    assert added.paragraphs == [f"event rate adds most: R² .050 in V1 that nothing else has (p = .0100, {corrected})."]
    shares["low"] = np.nan  # of few runs: p must hold for all six models and regions, and .01 is the least of them
    added = (chapter := continuous_chapter(material)).sections[-2]
    assert not [text for text in (*chapter.findings, added.panels[0].caption) if "add" in text or "intervals" in text]
    assert added.paragraphs[0].startswith("event rate comes first of models that are not shown to add anything")
    assert chapter.sections[-1].paragraphs == ["Weights are largest at 4 s (language, A1), 6 s (language, V1)."]
    tested = material.tables["runscores"]
    material.tables |= {"runscores": tested.assign(p=0.03), "runshares": shares.assign(p=0.05, low=0.01)}
    silent = continuous_chapter(material).sections[-2:]
    assert silent[0].paragraphs[0].startswith("event rate comes first of models that are not shown to add anything")
    assert (silent[1].panels, *silent[1].paragraphs) == ([], "No model is shown to predict: weights tell no delay.")
    material.tables |= {"runscores": tested, "runshares": shares}
    row = ["language", "A1", ".310", ".210 to .410", ".110", ".0120", ".600", ".450", "50", "26%"]
    assert cells(continuous_chapter(material).sections[0].panels[2].html)[1] == row
    material.tables["runscores"] = material.tables["runscores"].query("kind != 'layer' or layer != 'early'")
    del material.tables["intersubject"]
    continuous_chapter(material)


def test_the_best_of_two_models_needs_half_of_p(material: StudyMaterial) -> None:
    scores = material.tables["runscores"].query("kind in @continuous.KINDS and test_set == ''")
    scores.loc[(scores["model"] == "acoustic") & (scores["region"] == "A1"), "r"] = np.nan
    for p, verdict in ((0.02, "predicts"), (0.03, "is not shown to predict")):
        found = continuous._findings(scores.assign(p=p), material.tables["runshares"], 0, "90%")
        assert found[0].startswith(f"A1: language {verdict} the runs left out, r = .310")


def test_maps_of_runs(material: StudyMaterial) -> None:
    names, both = [f"t{k}" for k in range(12)], SHARING.join(["language", "acoustic"])
    xyz = np.random.default_rng(0).normal(size=(12, 3)) * 30
    material.tables["targets"] = pd.DataFrame(xyz, columns=["x_mm", "y_mm", "z_mm"]).assign(target_id=names, kind="c")
    levels = {"model": ["acoustic", "language", "event rate", both], "target_id": names}
    rows = made(levels, "p_fwer", "unique", value="r")
    rows["p_fwer"] = np.where(rows["target_id"] < "t3", 0.049, 0.05)
    rows["r"] += 0.2 * (rows["model"] == "language") - 1.0 * (rows["target_id"] == "t1")
    material.tables |= {"runtargets": rows, "rununiques": rows.drop(columns="r")}
    heard_by = {"r": np.linspace(-0.42, 0.31, 11), "n_others": [3] * 10 + [4]}
    others = material.tables["intersubject"] = pd.DataFrame({"target_id": names[::-1][:11]} | heard_by)
    (section,) = MAPS(material)
    of = rows.set_index(["model", "target_id"])
    for panel, column in zip(section.panels, ["r", "r", *["unique"] * 3], strict=True):
        known = others.set_index("target_id") if panel is section.panels[1] else of.loc[panel.numbers["model"].iloc[0]]
        np.testing.assert_array_equal(panel.numbers[column], known[column].reindex(names))
        assert panel.html == ""  # marks at places
    ijk, axes = np.argwhere(np.ones((3, 2, 2))), ["x_mm", "y_mm", "z_mm"]
    voxels = material.tables["targets"].assign(**dict(zip("ijk", ijk.T, strict=True)))
    material.tables["targets"] = voxels.assign(**dict(zip(axes, ijk.T, strict=True)))
    assert all('class="volume"' in panel.html for panel in MAPS(material)[0].panels)  # voxels are sliced
    material.tables["targets"] = material.tables["targets"].assign(x_mm=np.nan)
    assert MAPS(material) == []


def test_features_without_content_must_not_predict(material: StudyMaterial) -> None:
    for p, region, failed in ((0.009, "all targets", True), (0.009, "A1", False), (0.011, "all targets", False)):
        rows = pd.DataFrame({"model": ["noise", "language"], "region": region, "r": [0.1, 0.2], "p": [p, 0.001]})
        found = [(each.name, each.value, each.chance, each.p) for each in continuous._failed(material, rows)]
        assert found == [("noise, all targets: r of features without content", 0.1, 0.0, p)] * failed


def test_methods_say_how_runs_were_read_and_fitted(material: StudyMaterial) -> None:
    (read, _), (fitted, cited), *_ = continuous_chapter(material).methods
    assert "and entered ridge regression at delays of 2, 4, 6 s, never across runs" in fitted
    assert "(an event stands at its middle; it is 2 s wide, as delays lie apart)" in fitted
    assert "informed" not in cited
    assert "cleared of confounds (x, y) and z-scored within runs, after the first 10 s and the last 6 s were" in read
    plain = {"trimmed": [0, 0], "presentations": {"r1": 1}, "detrend": "none", "high_pass_hz": None, "confounds": []}
    plain |= {"delays": list(range(1, 10)), "folds": 5, "resample": "kernel", "test_sets": {}, "hrf": "spm"}
    material.sidecars["sub-1_responses.safetensors"] = {"details": READ | plain}
    material.sidecars["model-language_features.safetensors"] = {"details": {"sees_future": True}}
    del material.tables["intersubject"]
    material.tables["runshares"] = material.tables["runshares"].query("not model.str.contains(@SHARING, regex=False)")
    (read, _), (fitted, cited), *_ = continuous_chapter(material).methods
    assert "convolved with SPM's response function and its derivatives to onset and dispersion, and entered" in fitted
    assert "informed" in cited
    assert fitted.endswith(" Features of language know what follows in their window, which nobody has heard yet.")
    assert read.startswith("Responses of 1 runs (a row every 1 s) were z-scored within runs; 4 targets without")


def followed() -> pd.DataFrame:
    rows = [
        ("front", "occluded", "other", "rnn", "model", 0.4, 0.3, 0.1, 0.5, 0.02, 0.04),
        ("front", "occluded", "net", "mlp", "model", 0.6, 0.5, 0.35, 0.7, 0.01, 0.012),
        ("front", "occluded", "", "time alone", "control", 0.2, 0.15, 0.1, 0.3, 0.03, 0.2),
        ("front", "occluded", "net", "held", "control", 0.3, 0.25, np.nan, np.nan, 0.04, 0.1),
        ("front", "occluded", "net", "linear", "regression", 0.35, 0.3, 0.2, 0.4, 0.02, 0.01),
        ("front", "visible", "net", "mlp", "model", 0.7, 0.6, 0.5, 0.8, 0.05, 0.001),
        ("back", "visible", "", "time alone", "control", 0.1, 0.05, 0.0, 0.2, 0.06, 0.3),
    ]
    return pd.DataFrame(rows, columns=FOLLOWED).assign(n_neurons=range(5, 12), n_dropped=range(7))


def folds(n: int, gap: float) -> pd.DataFrame:
    kept = pd.DataFrame({"fold": range(n), "network": "net", "name": "held", "r_normalized": np.linspace(0.1, 0.4, n)})
    model = kept.assign(name="mlp", r_normalized=kept["r_normalized"] + gap + 0.01 * (kept["fold"] % 2))
    of = pd.concat([model, kept[::-1], kept.assign(name="linear")]).assign(region="front", epoch="occluded")
    return pd.concat([of, of.assign(region="back", r_normalized=9.0), of.assign(epoch="visible", r_normalized=9.0)])


def test_a_model_of_movies_is_held_against_its_best_control(kept: Callable[..., None]) -> None:
    for n, gap, verdict, side in (
        (8, 0.3, "which excludes 0", "net with mlp is ahead of linear regression on the same frames (.350; difference"),
        (8, -0.004, "so that nothing is shown beyond the control", "is not told apart from linear regression"),
        (8, -0.02, "so that nothing is shown beyond the control", "): that it took anything nonlinear is not shown."),
        (MIN_UNITS - 1, 0.3, "; too few folds for an interval.", "; too few folds for an interval)."),
    ):
        asked = SimpleNamespace(dynamics=SimpleNamespace(permutations=83), confidence=0.99)
        material: Any = SimpleNamespace(tables={"dynamicsfolds": folds(n, gap)}, config=asked)
        found = dynamics._findings(material, followed())
        assert verdict in found[1]
        assert side in found[2]
        assert "p = .0120 of 83 permutations" in found[0]
        failed = [*dynamics.failed_following(followed(), folds(n, gap), 0.99)]
        assert [(each.value, each.chance, each.p) for each in failed] == [(0.3, 0.0, 0.1)] * (gap < 0)
        assert not [*dynamics.failed_following(followed().assign(p=0.06), folds(n, gap), 0.99)]
        assert "not shown to predict" in dynamics._findings(material, followed().assign(p=0.03))[0]  # the best of two
        kept(found)
    scores = followed()
    kept(dynamics._cards(scores), dynamics._cards(scores[scores["epoch"] == "visible"]))
    kept(dynamics._table(scores), dynamics._headline(scores))
