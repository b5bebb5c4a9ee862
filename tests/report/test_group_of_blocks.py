"""The page over subjects of whom runs were left out: a row per model or classifier, of its layers the one over all."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from drawn import panels, points

from brainalign.report.kit import StudyMaterial
from brainalign.report.pages import group_of_blocks_chapter

SUBJECTS = ("01", "02", "03")
ROW = {"split": "runs", "chance": 0.5, "null_mean": 0.5, "null_95": 0.6, "n_null": 99, "n": 6}
# Of a network of two layers, of its random twin, and of a classifier: identification and p, which few layers share.
FITS = {
    ("net", "ridge", "early"): (0.9, 0.01), ("net", "ridge", "late"): (0.6, 0.2), ("net", "ridge", "all"): (0.75, 0.03),
    ("twin", "ridge", "early"): (0.52, 0.4), ("none", "svm", ""): (0.8, 0.01),
}  # fmt: skip


def summary() -> pd.DataFrame:
    rows = []
    for k, subject in enumerate(SUBJECTS):
        for (model, method, layer), (value, p) in FITS.items():
            keys = {"subject": subject, "model": model, "method": method, "layer": layer}
            quantity = "classification" if model == "none" else "identification"
            value += 0.02 * k
            row = {**keys, "quantity": quantity, "value": value, "p": p, "low": value - 0.1, "high": value + 0.1}
            rows += [ROW | row, ROW | row | {"quantity": "largest r", "value": 3.0}]
    return pd.DataFrame(rows)


def test_every_model_is_told_in_every_subject() -> None:
    study: Any = SimpleNamespace(recordings=dict.fromkeys(SUBJECTS), notes=("A note.",))
    models = {name: SimpleNamespace(random=name == "twin", extractor="table") for name in ("net", "twin")}
    fits = [("net", "ridge"), ("twin", "ridge")]
    config: Any = SimpleNamespace(models=models, models_of=lambda _: [*models], fits_of=lambda _: fits, confidence=0.9)
    material = StudyMaterial(config, "blocks", study, "", tables={"summary": summary()})
    # The grids of two scanners that are shaped alike are no space in common: tables of maps are there, and empty.
    material.tables |= {"grouptargets": pd.DataFrame(), "groupmaps": pd.DataFrame()}
    chapter = group_of_blocks_chapter(material)
    answer = chapter.answer
    assert (answer.opening, answer.holds) == ("Yes.", True)
    assert answer.words == (
        "net is above chance in 3 of 3 subjects, identification, runs .770, chance .500 (best control twin: .540)."
    )
    (panel,) = chapter.sections[0].panels
    assert "90%" in panel.caption
    drawn = {ax.get_title(): points(ax) for ax in panels(panel.figure)}
    assert set(drawn) == {"identification, runs", "classification, runs"}
    for name, values in (("net", [0.75, 0.77, 0.79]), ("twin", [0.52, 0.54, 0.56])):
        assert [mark.y for mark in drawn["identification, runs"] if mark.label == name] == pytest.approx(values)
    assert "A note." in chapter.findings
    del material.tables["summary"]
    chapter = group_of_blocks_chapter(material)
    assert chapter.answer is None
    assert "3" in chapter.kind
