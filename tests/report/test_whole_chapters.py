"""Chapters of studies with one page, drawn whole from tables made up: what a number means stands where it belongs."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made import changing, made
from pages import cells, check, config, study
from refusals import refused

from brainalign.arrays import Arrays
from brainalign.report.kit import Chapter, StudyMaterial, number
from brainalign.report.pages import TextMaterial, concepts, dynamics, modalities, sentence_section, sentences, series

NAN = np.nan
FILLED = [
    ("masked model", "model", "", 0.31, 0.27, 0.34, "better", 0.061, 0.041, 0.081),
    ("instantaneous Gaussian", "baseline", "", 0.25, 0.21, 0.29, "reference", NAN, NAN, NAN),
    ("lagged Gaussian", "baseline", "", 0.37, 0.35, 0.39, "tie", 0.12, -0.01, 0.25),
    ("lagged Gaussian, weighed", "baseline", "", 0.3, 0.28, 0.32, "better", 0.05, 0.04, 0.06),
    ("network alone", "ablation", "", 0.28, 0.27, 0.29, "better", 0.03, 0.02, 0.04),
    ("regions shifted", "null", "", 0.021, 0.001, 0.03, "worse", -0.24, -0.25, -0.23),
    ("frames permuted", "null", "", 0.2, 0.1, 0.3, "worse", -0.24, -0.25, -0.23),  # keeps what regions share
    ("masked model", "model", "Vis", 0.41, 0.4, 0.42, "tie", 0.01, -0.02, 0.03),
    ("instantaneous Gaussian", "baseline", "Vis", 0.42, 0.41, 0.43, "reference", NAN, NAN, NAN),
    ("lagged Gaussian", "baseline", "Vis", 0.43, 0.41, 0.44, "tie", 0.01, -0.02, 0.03),
]
PEOPLE = [
    ("age", "number", "r", 0.0, "correlation", 0.21, 0.11, 0.32, NAN, NAN, "reference", NAN),
    ("age", "number", "r", 0.0, "latent connectivity", 0.35, 0.24, 0.44, 0.012, 0.071, "better", 0.05),
    ("sex", "category", "accuracy", 0.5, "latent connectivity", 0.55, NAN, NAN, 0.502, 0.61, "tie", 0.051),
    ("sex", "category", "accuracy", 0.5, "correlation", 0.58, 0.51, 0.63, 0.501, 0.6, "reference", 0.03),
]
KINDS = {"sparse": "embedding", "shuffled": "control", "counts": "baseline", "theirs": "published"}


def frame(columns: str, rows: Any) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def material_of(tables: dict[str, pd.DataFrame], of: Any, noted: dict[str, Any], **more: Any) -> StudyMaterial:
    sidecars: Any = {f"x_{name}.parquet": {"details": details} for name, details in noted.items()}
    settings = config(concepts={"regions_of": "study"}, confidence=0.9)
    return StudyMaterial(settings, "study", of, tables=tables, sidecars=sidecars, **more)


def rows_of(chapter: Chapter, section: int, block: int = 0) -> list[list[str]]:
    return cells(chapter.sections[section].blocks[block])[1:]


def series_material(lag: int = 2, n_test: int = 19) -> StudyMaterial:
    filled = frame("name kind network r2 low high verdict difference difference_low difference_high", FILLED)
    filled = filled.assign(added=0.01, added_low=-0.002, added_high=0.022)
    more = filled[filled["network"] == ""].eval("r2 = r2 + 0.1\nhigh = high + 0.2")
    people = frame("label kind metric chance name score low high null_mean null_high verdict p", PEOPLE)
    networks = [("masked model", 0.41, 0.01, 0.08, 0.001, 7), ("connectivity", 0.32, 0.02, 0.09, 0.02, 7)]
    tables = {
        "filled": pd.concat([filled.assign(hidden="random halves"), more.assign(hidden="whole networks")]),
        "regionnetworks": frame("name ari null_mean null_high p n_networks", networks),
        "regionmap": changing(pd.DataFrame({"network": ["Vis", "DMN", "Vis"]}), ["x", "y"]).assign(share=0.4),
        "personscores": people.assign(n_people=40, n_repeats=5),
        "people": frame("subject run", [("01", "1"), ("01", "2"), ("02", "1")]),
    }
    traces = dict(zip(("true", "model", "gaussian"), np.random.default_rng(0).normal(size=(3, 2, 40)), strict=True))
    traces |= {"run": np.array([2, 0]), "region": np.array([1, 0])}
    fitted = {"converged": {"masked model": True, "regions shifted": False}, "lag": lag, "n_test": n_test}
    fitted |= {"n_train": 21, "steps": {"masked model": 1500}, "chosen": 1200}
    fitted["weights"] = {view: [0.4, 0.67] for view in ("random halves", "whole networks")}
    prepared = {"regions": ["V1", "V2"], "tr_s": 2.0, "frames_left_out": 1234, "dropped": ["V3", "V4"]}
    noted = {"series": prepared | {"warnings": ["A warning."]}, "maskedmodel": fitted}
    of = study(simulate={"world": "roi_series"}, notes=["A note."])
    return material_of(tables, of, noted, arrays={"filledtraces": Arrays(traces)})


def test_regions_that_were_hidden() -> None:
    chapter = series.series_chapter(series_material())
    assert chapter.findings[1].startswith(
        "With random halves hidden, the masked model explains .310 of the variance of hidden regions [.270 to .340] "
        "and beats the instantaneous Gaussian, the simplest predictor (.250; difference .061, .041 to .081). "
        "The network weighs .40 in it, the lagged Gaussian .67; to that Gaussian weighed alone (.300) it adds nothing "
        "clear, .010 (-.002 to .022). "
    )
    assert rows_of(chapter, 0)[0] == ["random halves", *FILLED[0][:2], ".310", ".270 to .340", ".061 (better)"]
    assert [(each.name[6:-12], round(each.value, 6), each.limit) for each in chapter.failed_controls] == [
        ("regions shifted (random halves", 0.021, 0.02), ("regions shifted (whole networks", 0.121, 0.02),
        ("frames permuted (whole networks", 0.3, 0.02),
    ]  # fmt: skip
    assert rows_of(chapter, 2)[2] == ["sex (category)", PEOPLE[2][4], "accuracy .550", "–", ".50", ".502, .610", "tie"]
    traces = chapter.sections[0].panels[1].figure
    assert [ax.get_title(loc="left") for ax in traces.axes] == ["V2, subject 02, run 1", "V1, subject 01, run 1"]
    material = series_material(lag=0, n_test=20)
    tables = material.tables | {name: material.tables[name].head(0) for name in ("regionnetworks", "personscores")}
    nulls = tables["filled"]["kind"] == "null"
    filled = tables["filled"].assign(r2=tables["filled"]["r2"].mask(nulls, series.NULL_R2)).query("network == ''")
    material.tables = tables | {"filled": filled.assign(added_low=0.002)}
    chapter = series.series_chapter(material)
    assert (len(chapter.findings), chapter.failed_controls) == (4, [])
    assert "it adds .010 (.002 to .022). To a linear" in chapter.findings[1]


def test_neurons_followed() -> None:
    levels = {"region": ["front", "back"], "name": ["rnn", "held"]}
    scores = made({**levels, "epoch": ["occluded", "visible"]}, "null_95", "null_mean", "r", value="r_normalized")
    movies = made({**levels, "time": [0, 1, 2]}, "null_95", value="score").sort_values("time").assign(hidden=0.5)
    roles = {"rnn": "model", "held": "control"}
    scores, movies = (rows.assign(network="net", role=rows["name"].map(roles)) for rows in (scores, movies))
    scores = scores.assign(n_neurons=5, n_dropped=1, p=0.01)
    folds = pd.concat([scores.assign(fold=fold) for fold in range(8)])
    facts = {"n_conditions": 9, "n_times": 30, "n_hidden": 1234, "n_neurons": 12, "n_repeats": 4}
    of: Any = SimpleNamespace(notes=["A note."], frame_s=0.5)
    tables = {"dynamics": scores, "dynamicsmovies": movies, "dynamicsfolds": folds}
    material = material_of(tables, of, {"dynamicsmovies": facts}, subject="1")
    hidden = scores[scores["epoch"] == "occluded"].pivot(index="region", columns="name", values="r_normalized")
    failed = hidden.loc[hidden["held"] > hidden["rnn"], "held"]
    assert [each.value for each in dynamics.dynamics_chapter(material).failed_controls] == failed.tolist()
    assert 0 < len(failed) < 2
    material.tables["dynamics"] = scores[scores["region"] == "front"]
    assert dynamics.dynamics_chapter(material).answer.panel.title == "Neurons predicted"


def concepts_material(**fitted: Any) -> StudyMaterial:
    choices = made({"name": list(KINDS), "split": ["triplets", "repeated"]}, "share_low", value="accuracy")
    choices = choices.assign(kind=choices["name"].map(KINDS), se=0.01, n_triplets=1234, share_high=0.9)
    dimensions = made({"method": ["sparse"], "dimension": [1, 2, 3]}, "weight", "published_r", value="r")
    dimensions["top"] = [["cat", "dog"], ["cup"], ["car", "bus"]]
    tables = {
        "choices": choices.assign(chance=1 / 3, ceiling_low=0.7, ceiling_high=0.8),
        "conceptdimensions": dimensions.assign(reproducible=[True, False, True], published=["", "red", ""]),
        "networks": made({"model": ["net"], "layer": ["a", "b"]}, "null_high", "p", "dot", "unseen", "unseen_null_high",
                         "unseen_p", "unseen_cosine", "rsa", "rsa_p", "mean_r2", value="cosine"),
        "readouts": made({"model": ["net"], "layer": ["a", "b"], "dimension": [1, 2]}, "p", value="r2"),
        "conceptregions": made({"region": ["V1", "IT"]}, "null_high", "ceiling_low", "p", value="score"),
    }  # fmt: skip
    tables["networks"] = tables["networks"].assign(unseen_sd=0.02, unseen_triplets=4321.4, n_objects=48)
    tables["conceptregions"] = tables["conceptregions"].assign(ceiling_high=0.9, n_subjects=[3, 4], n_objects=[31, 30])
    ceilings = {"accuracy_low": 0.71, "accuracy_high": 0.82, "n_triplets": 1070, "agreement": 0.61}
    noted = {"ceilings": ceilings, "alpha_at_edge": True, "starts": 19, "n_objects": 1854, "n_train": 4000}
    prepared = {"n_triplets": 5000, "n_different": 4900, "odd_column_shares": [0.2, 0.21, 0.61]}
    of = study(stimuli="o.txt", recordings={"us": {"format": "triplets", "triplets": ["t.txt"]}}, notes=["A note."])
    return material_of(tables, of, {"choices": noted | {"n_left_out": 2000} | fitted, "triplets": prepared})


def test_choices_and_what_they_rest_on() -> None:
    tables, chapter = (material := concepts_material()).tables, concepts.concepts_chapter(material)
    accuracy = tables["choices"].query("split == 'triplets'").set_index("kind")["accuracy"]
    best, shuffled, counts, _ = (number(accuracy[kind]) for kind in KINDS.values())
    check(chapter.findings[0], f"predicts {best} of 1,234 held-out", f"choices {shuffled}, ", f"training {counts}. ")
    for line, (_, row) in zip(rows_of(chapter, 2), tables["networks"].iterrows(), strict=True):
        names = ("cosine", "p", "dot", "unseen", "unseen_p", "unseen_cosine", "rsa", "rsa_p")
        assert re.findall(r"\.\d{3}", " ".join(line[1:6]).replace(" ± .020", "")) == [number(row[n]) for n in names]
    material = concepts_material(ceilings=None, alpha_at_edge=False, starts=20)
    tables = material.tables | {name: material.tables[name].head(0) for name in ("networks", "conceptregions")}
    choices = tables["choices"].query("kind != 'published'").assign(ceiling_low=np.nan, ceiling_high=np.nan)
    material.tables = tables | {"choices": choices, "conceptdimensions": tables["conceptdimensions"].head(0)}
    _, dimensions, _, regions = (chapter := concepts.concepts_chapter(material)).sections[:4]
    assert ("Grey band" in chapter.answer.panel.caption, dimensions.panels) == (False, [])  # neither can be drawn
    assert "study is not there" in regions.paragraphs[0]


def modalities_material(**fitted: Any) -> StudyMaterial:
    base = {"decoder": ["joint", "ridge", "shuffled", "low level"], "measure": ["2-way", "top-1", "top-5"]}
    places = ["modalities eeg meg", "modalities meg eeg", "image eeg image", "fused all image"]
    rows = made({**base, "place": range(4)}).sort_values(["place", "measure"], kind="stable")
    rows[["kind", "query", "gallery"]] = [places[k].split() for k in rows["place"]]
    rows = rows[(rows["decoder"] != "low level") | (rows["kind"] == "image")]
    rows = rows.assign(chance=np.where(rows["measure"] == "top-1", 0.02, 0.1), n_gallery=50, null_sd=0.01)
    rows["p"] = np.where(rows["query"] == "eeg", 0.01, 0.011)
    plain = rows["decoder"] == "low level"  # as good as the joint space
    rows.loc[plain, "value"] = rows.loc[(rows["decoder"] == "joint") & (rows["kind"] == "image"), "value"].tolist()
    rows["null_mean"] = rows["value"] - np.where(rows["kind"] == "fused", 0.031, 0.02)
    changes = pd.DataFrame({"beside": ["unimodal", "ridge", "one layer", "mean layer", "ridge"]})
    changes = changes.assign(modality=["all"] * 4 + ["eeg"], change=[0.05, -0.03, -0.01, 0.02, 0.011], se=0.012)
    curve = made({"modality": ["meg", "eeg"], "measure": ["top-1", "top-5"], "n_averaged": [1, 2, 4]}, "sd", "ceiling")
    geometry = made({"decoder": ["joint", "ridge"], "source": ["meg"]}, "null_high", "null_mean", "p", value="r")
    tables = {
        "spaceretrieval": rows,
        "spacechanges": changes.assign(n_stimuli=48, clear=[True, True, False, True, False]),
        "spacegeometry": geometry.assign(n_stimuli=48),
        "spacecurve": curve.sort_values("n_averaged", kind="stable").assign(chance=0.1),
    }
    noted = {"converged": {"meg": True, "eeg": False}, "blend": {"eeg": 0.51, "meg": 0.5}, "has_val": True}
    noted |= {"steps": {"eeg": 1000, "meg": 500}, "validated": True, "unknown": {"02": 3, "03": 0}}
    noted |= {"n_train": {"eeg": 100, "meg": 90}, "n_test": {"eeg": 50, "meg": 50}, "warnings": ["Copies."]}
    noted |= {"train_repeats": {"eeg": 2, "meg": 2}, "test_repeats": {"eeg": 4.5, "meg": 3}, "penalty": {"eeg": 0.1}}
    of = study(simulate={"world": "modalities"}, notes=["A note."])
    return material_of(tables, of, {"spaceretrieval": noted | fitted})


def test_modalities_in_one_space_and_one_alone() -> None:
    rows = (material := modalities_material()).tables["spaceretrieval"]
    chapter = modalities.modalities_chapter(material)
    top = rows[rows["measure"] == "top-1"].set_index(["kind", "decoder"])["value"].map(number)
    first, low = top.drop("modalities").to_dict(), top["image", "low level"]
    check(chapter.findings[3], "1 of 4 scores", f"fused (all in image) {first['fused', 'shuffled']} (chance .020), top")
    failed = [each.name.split(",")[0] for each in chapter.failed_controls]
    assert failed == ["Trained on shuffled pairs: fused (all in image)", "Luminance"]
    assert chapter.failed_controls[0].value - chapter.failed_controls[0].limit == pytest.approx(0.001)
    (found,) = (line for line in rows_of(chapter, 1) if line[:4] == ["image", "eeg", "image", "top-1"])
    beside = [first["image", name] for name in ("joint", "ridge", "shuffled")]
    assert [found[4], *found[6:]] == [beside[0], ".010", ".02 of 50", *beside[1:], low]
    plain = {name: {"eeg": 10} for name in ("n_train", "n_test", "train_repeats", "test_repeats")}
    material = modalities_material(converged={"eeg": True}, blend={"eeg": 0.5}, unknown={"02": 0}, warnings=[], **plain)
    tables, rows = material.tables, material.tables["spaceretrieval"]
    rows = rows[(rows["kind"] == "image") & ~rows["decoder"].isin(["shuffled", "low level"])]
    plain = tables["spaceretrieval"].query("decoder == 'low level'").eval("value = value - 0.001")
    assert not [*modalities.failed_relations(pd.concat([rows, plain]))]
    material.tables = tables | {"spaceretrieval": rows, "spacechanges": tables["spacechanges"][2:3].assign(clear=True)}
    modalities.modalities_chapter(material)


def text_material() -> TextMaterial:
    tested, measures = ["brain", "noise", "time-reversed", "pre-stimulus"], {"measure": ["top-1", "top-5"]}
    controls = made({"trained": ["brain", "noise", "shuffled"], "tested": tested, **measures}, "limit", seed=3)
    controls = controls.assign(chance=0.02, limit=0.9, p=0.5)
    before = (controls["tested"] == "pre-stimulus") & (controls["trained"] == "brain")
    controls.loc[before & (controls["measure"] == "top-1"), ["value", "limit", "p", "chance"]] = 0.3, 0.06, 0.001, 0.03
    numbers = ("chance", "null_mean", "null_sd", "majority", "p")
    nuisances = made({"nuisance": ["all", "trial index", "neighbours in time"], **measures}, "p", "chance")
    rows = [("t1", "s1", "a b", "a c", "a d", 2), ("t2", "s2", "e f", "e g", "e h", 1), ("t3", "s1", "i", "j", "k", 3)]
    scores = made({**measures, "sentences": ["decoded", "constant", "teacher-forced", "teacher-forced noise"]},
                  "rotated", "gap", "p").replace({"top-1": "bleu1", "top-5": "wer"}).assign(control="all")  # fmt: skip
    left = made({"block": range(3), "measure": ["top-1"]}, "chance", "neighbours")
    tables = {
        "controls": controls, "nuisances": nuisances, "leftblocks": left, "textscores": scores,
        "retrieval": made({"seed": [0, 1], **measures}, *numbers).assign(n_stimuli=9, n_trials=1234, n_subjects=7),
        "retrievalsubjects": made({"subject": ["s1", "s2"], "seed": [0, 1]}, value="top-1"),
        "sentences": frame("trial_id subject true decoded retrieved rank", rows),
        "averaged": made({"over": ["subjects", "repeats"], "n_averaged": [1, 2]}, "sd", "ceiling").assign(chance=0.11),
        "zeroshot": made({"measure": ["accuracy"]}, *numbers, "text_ceiling"),
        "confusion": frame("true told n", [("u", "v", 2), ("v", "v", 3), ("u", "u", 4)]),
        "relevance": made({"target_id": ["Cz", "Pz"], "time_s": [0.0, 0.1]}, value="loss"),
    }  # fmt: skip
    said = {"not_excluded": {"top-1": ["trial index", "all"]}, "blocks_fail": ["top-1"], "others": [], "chosen": {}}
    said |= {"uses_brain": {"content words": False}, "verdict": {"content words": ["Said.", "More."]}}
    said |= {"test_trials": ["t1", "t2", "t3"], "sentences_by": "search", "explained": 0.8, "decoder": {"decoder": "x"}}
    counts = {"train": 2000, "val": 30, "test": 40}
    said["splits"] = {"texts": counts, "trials": {name: 3 * n for name, n in counts.items()}, "warnings": ["Careful."]}
    ledger = [("z", "NR", "short", False, name) for name in "aab"] + [("z", "NR", "odd", True, "a")]
    models = {"minilm": {"extractor": "sentence", "weights": "x"}}
    of, noted = study(simulate={"world": "eeg_text"}), {"subjects": ["a", "b"], "n_texts": 2070}
    sidecars: Any = {"x_responses.parquet": {"details": noted}}
    found = TextMaterial(config(models=models), "study", of, sidecars=sidecars, said={"ridge": said})
    found.decoders["ridge"] = tables
    found.tables = {"ledger": frame("dataset task reason kept subject", ledger)}
    found.tables["targets"] = pd.DataFrame({"target_id": ["Cz", "Pz"], "x_mm": NAN, "y_mm": NAN, "z_mm": NAN})
    return found


def test_text_from_recordings() -> None:
    chapter = sentences.text_chapter(material := text_material())
    tables, (brain, time, _) = material.decoders["ridge"], chapter.failed_controls
    assert brain.name == "ridge, trained on brain, tested on pre-stimulus (top-1)"
    assert (brain.value, brain.chance, brain.p, brain.limit) == (0.3, 0.03, 0.001, 0.06)
    assert time.meaning.endswith(" Nor does it beat all nuisances together.")
    assert not [c for c in tables["nuisances"]["chance"] if f"(chance {number(c)}" not in chapter.sections[1].blocks[0]]
    header, *lines = cells(chapter.sections[2].blocks[0])
    found = pd.DataFrame(lines, columns=header).set_index("measure")
    for measure, part in tables["retrieval"].groupby("measure"):
        expected = [part["value"].mean(), part["value"].std(), *part.iloc[0][["chance", "majority"]], part["p"].max()]
        written = found.loc[measure, ["score", "sd of seeds", "chance", "always the same", "p"]]
        assert written.tolist() == [number(value) for value in expected]
    for rows in (tables["controls"], tables["nuisances"]):
        rows["p"], rows["value"] = 0.011, 0.95
    material.said["ridge"] |= {"not_excluded": {}, "blocks_fail": []}
    assert sentences.text_chapter(material).failed_controls == []
    for matrix, details, message in (
        (tables["controls"].head(0), material.said, "have no control matrix"),
        (tables["controls"], {}, "have no control matrix"),
        (tables["controls"].query("trained != 'shuffled'"), material.said, "lacks the cells .* shuffled / brain"),
        (tables["controls"], {"ridge": material.said["ridge"] | {"test_trials": ["t1"]}}, "is of other trials"),
    ):
        refused(message, sentence_section, {"ridge": tables | {"controls": matrix}}, details, 3, 0)
