"""Every kind of page says in a red box, before all else, which of its controls failed; none where none did."""

import re
from collections.abc import Callable
from functools import partial
from html import unescape
from types import SimpleNamespace
from typing import Any

import numpy as np
import pages
import pandas as pd
import pytest
from pages import ABOUT, RECORD, image_study, page_of, study

from brainalign import report
from brainalign.arrays import Arrays
from brainalign.report import geometry_sections, kit
from brainalign.report.geometry_sections import UNSEEN
from brainalign.report.geometry_sections import decoding_over_time as recordings_page
from brainalign.report.kit import failed_windows
from brainalign.report.pages import GroupOfRecordings, gather_group_of_recordings, group, group_of_recordings_chapter
from brainalign.report.pages import block_sections as blocks_page
from brainalign.report.pages import concepts as concepts_page
from brainalign.report.pages import images as image_page
from brainalign.report.pages import rdms as rdm_page
from brainalign.statistics.summary import Encoding
from brainalign.study import BlockFiles, Split, Study

TWIN = {"extractor": "efficientnet", "weights": "random", "n_draws": 3}
Make = Callable[[bool, pytest.MonkeyPatch], str]
RDMS = {"recordings": {"human": {"format": "kriegeskorte92", "description": "judgements"}}}
config = partial(pages.config, models={"net": {"extractor": "efficientnet"}, "twin": TWIN})


def without_drawing(patch: pytest.MonkeyPatch, module: Any, *names: str) -> None:
    """Sections are left out: what stands on top of the page is asked."""
    for name in names:
        patch.setattr(module, name, lambda *_, **__: kit.Section("x", "Drawn"))


def alarms(html: str) -> list[str]:
    """Return the failed controls of a page, which stand before every other section."""
    main = html[html.index("<main>") :]
    if 'id="failed-controls"' not in html:
        return []
    assert main.index('id="failed-controls"') == main.index("<section") + len("<section ")
    assert 'href="#failed-controls"' in html[: html.index("<main>")]
    box = main[main.index('id="failed-controls"') : main.index("</section>")]
    found = re.findall(r'<p class="failed-control">(.*?)</p>', box, re.DOTALL)
    assert f"{len(found)} control" in box
    return [unescape(re.sub("<[^>]+>", "", each)) for each in found]


def decoded(fails: bool) -> kit.DecodedTimes:
    windows = pd.DataFrame({"window": ["response", "before"], "start_s": [0.0, -0.1], "stop_s": [0.5, 0.0]})
    windows = windows.assign(scheme="recordings left out", group="all", control=[False, True], chance=0.5)
    windows = windows.assign(score=[0.8, 0.578 if fails else 0.51], low=0.4, high=0.9, null_mean=0.5, n_trials=40)
    windows = windows.assign(p=[0.01, 0.0123 if fails else 0.4], logistic=0.7, n_folds=4)
    clusters = pd.DataFrame({"p": [0.01], "start_s": [0.1], "stop_s": [0.2], "kind": "time", "group": "all"})
    scores = pd.DataFrame({"group": "all", "time_s": [-0.05, 0.1], "score": [0.6, 0.8], "chance": 0.5})
    tables = {"timewindows": windows, "timeclusters": clusters, "timescores": scores}
    facts = {"measure": "area under the curve", "categories": ["a", "b"]}
    return kit.DecodedTimes(tables | {"timepeaks": pd.DataFrame(), "timesensors": pd.DataFrame()}, Arrays(), facts)


def recordings(fails: bool, patch: pytest.MonkeyPatch) -> str:
    files = {"1": {"format": "epochs", "epochs": ["a-epo.fif"]}}
    material = kit.SubjectMaterial(config(), "study", study(recordings=files), "1", decoded=decoded(fails))
    return page_of(material, recordings_page.recordings_chapter(material))


def images(fails: bool, patch: pytest.MonkeyPatch) -> str:
    patch.setattr(image_page, "image_sections", lambda _: [])
    of = image_study(recordings={"02": {"format": "epochs", "epochs": "e.fif", "picks": "eeg"}})
    profile = pd.DataFrame({"layer": ["a"], "group": "reliable targets", "null_mean": 0.0, "null_high": 0.02})
    profile = profile.assign(control_r=0.2 if fails else 0.01)
    clusters = pd.DataFrame({"layer": "a", "p": 0.01, "start": [-0.08 if fails else 0.1], "stop": -0.02, "mass": 9.0})
    empty, scores = pd.DataFrame(), pd.DataFrame({"ceiling": [0.5], "reliable": True})
    captions = pd.DataFrame({"of": ["caption", "permuted", "shuffled"], "region": "reliable targets", "r": [0.3] * 3})
    captions["gain_low"] = [np.nan, -0.01 if fails else 0.1, 0.1]
    words = pd.DataFrame({"space": ["grounded", "shuffled"], "measure": "2-way", "value": 0.6, "chance": 0.5})
    words = words.assign(p=[0.01, 0.01 if fails else 0.5], low=[0.55, 0.55 if fails else 0.45])
    material = kit.ImageMaterial(
        config(), "study", of, "02", decoded=decoded(fails), captions={"captions": empty, "captionscores": captions},
        encodings={("net", "ridge"): kit.ImageEncoding(scores, profile, empty, clusters)},
        grounding={"groundedscores": words},
    )  # fmt: skip
    patch.setattr(image_page.synthesis_sections, "grounding_methods", lambda _: [])
    pair = {"model_a": "net", "model_b": "twin", "method_a": "ridge", "method_b": "ridge", "difference": -0.1}
    pair |= {"low": -0.15, "high": -0.05, "p": 0.01 if fails else 0.3}
    material.differences = pd.DataFrame([pair])
    return page_of(material, image_page.images_chapter(material))


def blocks(fails: bool, patch: pytest.MonkeyPatch) -> str:
    models = {"a": {"extractor": "onehot"}, "noise": {"extractor": "random", "n_features": 4, "n_draws": 9}}
    stimuli = {name: {"wordings": [name]} for name in "abcd"}
    of = Study.model_construct(
        **ABOUT, stimuli=stimuli, splits={"pairs": Split(leave_out="stimulus", size=2)}, notes=(),
        recordings={"1": BlockFiles.model_construct(format="nifti")},
    )  # fmt: skip
    of = of.model_copy(update={"citation": study(**RDMS).citation})
    material = kit.Material(config(models=models), "study", of, "1")
    scores = pd.DataFrame({"split": ["runs"], "layer": ["l"], "r": [0.1]})
    material.encodings["a", "ridge"] = Encoding(scores, scores, scores)
    row = {"model": "a", "method": "ridge", "split": "pairs", "layer": "l", "quantity": "pair matching", "value": 0.8}
    row |= {"chance": 0.5, "null_mean": 0.56, "null_95": 0.565, "p": 0.01, "n_null": 999 if fails else 2, "sd": 0.1}
    row |= {"low": 0.7, "high": 0.9, "n": 28}
    drawn = row | {"model": "noise", "layer": "all", "p": np.nan, "n": 9, "value": 0.7 if fails else 0.55}
    material.summary = pd.DataFrame([row, drawn])
    patch.setattr(report.kit, "findings", lambda _: {})
    patch.setattr(blocks_page, "SECTIONS", [])
    return page_of(material, blocks_page.blocks_chapter(material))


def rdms(fails: bool, patch: pytest.MonkeyPatch) -> str:
    without_drawing(patch, rdm_page, "_fits", "_matrices")
    row = {"reference": "human", "model": "net", "layer": "a", "kind": "layer", "score": 0.3, "n_subjects": 4}
    row |= {"family": "", "decided": False}
    row |= dict.fromkeys(("low", "high", "ceiling_low", "ceiling_high", "group_score"), 0.3) | {"p": 0.001}
    twin = {"reference": "human", "model": "twin", "layer": "a", "kind": "random weights", "n": 3, "sd": 0.01}
    twin |= {"mean": 0.31 if fails else 0.1, "group_mean": 0.1, "group_sd": 0.01}
    sidecar = RECORD | {"files": {"rdm.json": {"sha256": "0" * 64}}, "details": {"categories": []}}
    tables = {"comparison": pd.DataFrame([row, twin]), "differences": pd.DataFrame()}
    more = {"tables": tables, "arrays": {"rdm": Arrays()}, "sidecars": {"rdm.json": sidecar}}
    material = kit.StudyMaterial(config(), "study", study(**RDMS), **more)
    return page_of(material, rdm_page.rdms_chapter(material))


def groups(fails: bool, patch: pytest.MonkeyPatch) -> str:
    pair = {"subject": "1", "modality": "fMRI", "quantity": "mean r", "model_a": "twin", "model_b": "net"}
    pair |= {"difference": 0.1, "low": 0.05 if fails else -0.05, "high": 0.15, "p": 0.01}
    assert not geometry_sections.failed_identification(pd.DataFrame({"null_mean": []}), {"chance": None})
    named = pd.DataFrame({"name": ["nested"], "null_mean": [0.3 if fails else 0.25], "null_high": [0.4]})
    for name in ("score_table", "comparison_table"):
        patch.setattr(report.kit, name, lambda *_: "")
    patch.setattr(group, "answer_of_group", lambda *_, **__: None)
    chapter = group.scores_chapter(
        pd.DataFrame({"subject": ["1"], "model": ["net"]}), pd.DataFrame([pair]), controls=["twin"],
        failed_controls=geometry_sections.failed_identification(named, {"chance": 0.25, "n_shuffles": 100}),
    )  # fmt: skip
    return page_of(kit.StudyMaterial(config(), "study", SimpleNamespace(title="A study")), chapter)


def concepts(fails: bool, patch: pytest.MonkeyPatch) -> str:
    without_drawing(patch, concepts_page, "_choices", "_dimensions", "_networks", "_regions", "alignment_section")
    for name in ("_findings", "_cards"):
        patch.setattr(concepts_page, name, lambda _: [])
    after, shuffled = (0.6, 0.61) if fails else (0.5, 0.505)  # what learned nothing has an error of 0
    rows = [("unaligned", 0.5, 0.0), ("aligned", after, 0.2 * (after - 0.5)), ("shuffled choices", shuffled, 0.02)]
    scores = pd.DataFrame(rows, columns=["control", "accuracy", "gain_se"])
    scores = scores.assign(model="net", layer="a", split=UNSEEN, level="all", gain=scores["accuracy"] - 0.5)
    of = study(stimuli="o.txt", recordings={"us": {"format": "triplets", "triplets": ["t.txt"]}})
    material = kit.StudyMaterial(config(), "study", of, tables={concepts_page.ALIGNMENT_TABLES[0]: scores})
    return page_of(material, concepts_page.concepts_chapter(material))


PAGES: dict[str, tuple[Make, list[tuple[str, ...]]]] = {
    "recordings": (recordings, [("before the stimulus", ".578", "chance .500", "p = .0123")]),
    "images": (images, [
        ("before the stimulus", ".578", "p = .0123"), ("exchanged between images", ".200", "limit .031"),
        ("before the image", "p = .0100"), ("Captions of other voxels", ".300"),
        ("grounded in shuffled", ".600", "chance .500"), ("Random weights, twin", ".100"),
    ]),
    "blocks": (blocks, [("after permuting", ".560", "chance .500"), ("random spaces", ".700", "limit .643")]),
    "rdms": (rdms, [("twin a, random weights", ".310")]),
    "groups": (groups, [("a control, twin", ".100"), ("relabelling", ".300", "chance .250")]),
    "concepts": (concepts, [("shuffled choices", ".610", "chance .333")]),
}  # fmt: skip


@pytest.mark.parametrize("kind", PAGES)
def test_a_failed_control_stands_in_a_red_box_on_top(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, expected = PAGES[kind]
    found = alarms(make(True, monkeypatch))
    assert len(found) == len(expected)
    for text, parts in zip(found, expected, strict=True):
        assert all(part in text for part in parts), (text, parts)
        assert len(text.split(". ", 1)[1]) > 30  # what it means
    assert alarms(make(False, monkeypatch)) == []


def test_a_cluster_that_ends_before_the_stimulus_fails() -> None:
    of = decoded(False)
    early = of.tables["timeclusters"].assign(start_s=-0.09, stop_s=-0.01)
    (control,) = failed_windows(kit.DecodedTimes({**of.tables, "timeclusters": early}, of.squares, of.facts))
    assert control.value == 0.6
    across = early.assign(stop_s=0.05)  # it may have begun with the stimulus: borders carry no guarantee
    assert not [*failed_windows(kit.DecodedTimes({**of.tables, "timeclusters": across}, of.squares, of.facts))]
    assert ([*failed_windows(None)], kit.FailedControl("x", 0.5, "m").figures) == ([], ".500")
    assert kit.FailedControl("x", 0.5, "m", chance=0.25, limit=0.4).figures == ".500 (chance .250, limit .400)"
    assert kit.FailedControl("x", 0.5, "m", p=0.00001).figures == ".500 (p < .0001)"
    page = kit.StudyMaterial(config(), "study", SimpleNamespace(title="t"))
    html = page_of(page, kit.Chapter(failed_controls=[kit.FailedControl("<img src=x>", 0.5, "<b>m</b>")]))
    assert "<img src=x>" not in html
    assert len(alarms(html)) == 1


def test_a_group_of_recordings_names_who_fails() -> None:
    group = {name: decoded(fails=name == "02") for name in ("01", "02", "03")}
    people = study(recordings={name: {"format": "epochs", "epochs": ["a-epo.fif"]} for name in group})
    chapter = group_of_recordings_chapter(GroupOfRecordings(config(confidence=0.8), "study", people, decoded=group))
    told = " ".join(text for text, _ in chapter.methods)
    pages.check(told, "Epochs saved by MNE-Python or EEGLAB were read", "Whole recordings were left out in turn.")
    pages.check(told, "(1000 times; 200 for generalisation", "in each of the 3 subjects by itself")
    assert "lines: 80% intervals" in chapter.sections[0].panels[1].caption
    answer = chapter.answer
    assert (answer.opening, answer.holds) == ("Yes.", True)
    assert answer.words == (
        "decoding (response) is above chance in 3 of 3 subjects, area under the curve .800, chance .500 "
        "(best control decoding (before): .533)."
    )
    assert answer.numbers[0]["name"] == "subjects above chance: decoding (response)"
    (control,) = chapter.failed_controls
    assert control.name.startswith("Subject 02: Decoding before the stimulus")
    assert control.section in {section.id for section in chapter.sections}
    each = [{"subject": name} for name in ("01", "02")]
    shelf = SimpleNamespace(page=SimpleNamespace(subject=""), whole=["01"], each=lambda _: each)
    assert gather_group_of_recordings(shelf) is None  # of one no group is told
