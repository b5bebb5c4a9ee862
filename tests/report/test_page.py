"""Sentences that follow from numbers, and a page that escapes what came from data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from brainalign.report import Failure, Material, render_page
from brainalign.report.citations import CITATIONS
from brainalign.report.page import Panel, Section
from brainalign.report.sentences import findings, methods_text, number, p_value
from brainalign.settings import Config, Descriptor, parse
from brainalign.statistics.summary import Encoding


@pytest.fixture
def material(small) -> Material:
    config = parse(
        Config,
        {
            "datasets": {"small": {"descriptor": "x"}},
            "models": {"a": {"extractor": "onehot"}, "b": {"extractor": "onehot"}},
            "methods": {"ridge": {"encoder": "ridge"}, "fixed": {"encoder": "ridge", "alphas": [0.001]}},
        },
        "test",
    )
    material = Material(config, "small", parse(Descriptor, small.descriptor(), "small.yaml"), "1")
    scores = pd.DataFrame({"split": ["runs"], "layer": ["l"], "r": [0.1]})
    material.encodings["a", "ridge"] = Encoding(scores, scores, scores)
    return material


def summary(zero_shot_p: float, b_fixed: float) -> pd.DataFrame:
    base = {"split": "runs", "layer": "l", "low": 0.4, "high": 0.6, "chance": 0.25, "null_mean": 0.26, "n": 16}
    base |= {"null_95": 0.4, "p": 0.01, "n_null": 99, "sd": np.nan, "quantity": "identification", "value": 0.5}
    pairs = {"split": "pairs", "quantity": "pair matching", "chance": 0.5, "value": 0.8, "p": zero_shot_p}
    return pd.DataFrame(
        [
            base | {"model": "a", "method": "ridge"},
            base | {"model": "a", "method": "fixed"},
            base | {"model": "b", "method": "fixed", "value": b_fixed},
            base | {"model": "a", "method": "ridge"} | pairs,
        ]
    )


def test_numbers_are_written_as_the_field_writes_them() -> None:
    assert number(0.5) == ".500"
    assert number(-0.25, 2) == "-.25"
    assert number(12.0) == "12.000"
    assert number(float("nan")) == "–"
    assert p_value(0.004975, 200) == "p = .0050 (200 permutations)"


@pytest.mark.parametrize(("p", "verdict"), [(0.03, "This is above chance"), (0.07, "not distinguishable from chance")])
def test_the_verdict_follows_p(material: Material, p: float, verdict: str) -> None:
    material.summary = summary(p, 0.5)
    text = " ".join(findings(material))
    assert verdict in text
    assert "4 categories cannot establish a semantic effect" in text


@pytest.mark.parametrize(("b_fixed", "verdict"), [(0.51, "predicts the same"), (0.6, "look for an error")])
def test_equal_spaces_are_checked_not_asserted(material: Material, b_fixed: float, verdict: str) -> None:
    material.summary = summary(0.5, b_fixed)
    assert verdict in " ".join(findings(material))


def test_nothing_is_said_without_numbers(material: Material) -> None:
    assert findings(material) == []


def test_methods_cite_only_what_ran(material: Material) -> None:
    assert [keys for _, keys in methods_text(material)] == [["snakemake"]]
    material.sidecars["x"] = {"stage": "compare"}
    cited = [key for _, keys in methods_text(material) for key in keys]
    assert "crossnobis" in cited
    assert "ridge" not in cited
    assert set(cited) <= set(CITATIONS)


def test_every_reference_has_bibtex() -> None:
    for key, reference in CITATIONS.items():
        entry = reference.bibtex(key)
        assert entry.startswith(f"@article{{{key},")
        assert entry.count("{") == entry.count("}")
        assert str(reference.year) in reference.text


def test_what_comes_from_data_is_escaped(material: Material) -> None:
    evil = "<script>alert(1)</script>"
    material.descriptor = material.descriptor.model_copy(update={"title": evil, "licence": evil})
    material.failures = [Failure("encode", evil, evil)]
    figure = Figure(figsize=(1, 1))
    numbers = pd.DataFrame({"a": [1]})
    panel = Panel("p", evil, evil, figure, numbers)
    page = render_page(material, [Section("s", evil, [panel], [evil])])
    assert evil not in page
    assert page.count("&lt;script&gt;") >= 7
    assert "This report is incomplete: 1 job(s) left no result" in page
