"""Sentences that follow from numbers, figures as files, and a page that escapes what came from data."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pages import check, config

from brainalign.config import SummarizeSettings
from brainalign.report import kit
from brainalign.report.encoding_sections import regions
from brainalign.report.kit import CITATIONS, Answer, Chapter, Panel, Section, new_figure, write_figures
from brainalign.report.pages import answers
from brainalign.report.pages import blocks_figures as figures
from brainalign.statistics.summary import Encoding
from brainalign.study import Study, parse


@pytest.fixture
def material(small) -> kit.Material:
    models = {name: {"extractor": "onehot"} for name in "ab"}
    methods = {"ridge": {"encoder": "ridge"}, "fixed": {"encoder": "ridge", "alphas": [0.001]}}
    settings = config(datasets={"small": {"descriptor": "x"}}, models=models, methods=methods)
    material = kit.Material(settings, "small", parse(Study, small.descriptor(), "small.yaml"), "1")
    scores = pd.DataFrame({"split": ["runs"], "layer": ["l"], "r": [0.1]})
    for model in ("a", "b"):
        material.encodings[model, "ridge"] = Encoding(scores, scores, scores)
        set_rank(material, model, 3)
    return material


def set_rank(material: kit.Material, model: str, rank: int) -> None:
    sidecar = {"stage": "test", "details": {"rank": {"l": rank}}}
    material.sidecars[f"sub-1_model-{model}_method-ridge_scores.parquet"] = sidecar


def said(material: kit.Material) -> str:
    return " ".join(kit.findings(material).values())


def summary(zero_shot_p: float, b_fixed: float) -> pd.DataFrame:
    base = {"split": "runs", "layer": "l", "low": 0.4, "high": 0.6, "chance": 0.25, "null_mean": 0.26, "n": 16}
    base |= {"null_95": 0.4, "p": 0.01, "n_null": 99, "sd": np.nan, "quantity": "identification", "value": 0.5}
    pairs = {"split": "pairs", "quantity": "pair matching", "chance": 0.5, "value": 0.8, "p": zero_shot_p}
    of = [("a", "ridge", {}), ("a", "fixed", {}), ("b", "fixed", {"value": b_fixed}), ("a", "ridge", pairs)]
    return pd.DataFrame([base | {"model": model, "method": method} | more for model, method, more in of])


def test_regions_name_their_highest_model_held_against_the_largest_of_every_permutation(material: kit.Material) -> None:
    base = {"split": "runs", "layer": "l", "n_targets": 5, "ceiling_r": np.nan, "null_mean": 0.0, "null_high": 0.1}
    base |= {"low": 0.0, "high": 0.6, "accuracy": 0.5, "p": 0.01} | {
        f"accuracy_{of}": 0.5 for of in ("low", "high", "null_mean", "null_high", "p")
    }
    found = {"a": [("V1", 0.5, 4.0), ("IT", 0.1, 1.0)], "b": [("V1", 0.2, 2.0), ("IT", 0.3, 3.0)]}
    parts = []
    for model, (least, rows) in zip("ab", ((2.5, found["a"]), (3.5, found["b"])), strict=True):
        profile = pd.DataFrame([base | {"group": roi, "r": r, "z": z} for roi, r, z in rows])
        null = pd.DataFrame({"split": "runs", "permutation": range(10), "max_region_z": [0.0] * 9 + [least]})
        of = replace(material.encodings[model, "ridge"], profile=profile, null=null)
        material.encodings[model, "ridge"] = of
        parts.append(regions.region_rows(material, (model, "ridge"), profile))
    section = regions.regions_section(material)
    assert [len(panel.parts) for panel in section.panels] == [2]
    told = "a (ridge) in V1 (.500, p = .091), b (ridge) in IT (.300, p = .182)."
    assert section.paragraphs[0].endswith(told)
    second = pd.concat(parts).assign(r=0.1, p=0.2)[:3].assign(subject="2")  # without IT of b
    material.tables["profile"] = pd.concat([*(part.assign(subject="1") for part in parts), second])
    (over,) = regions.group_regions(material)
    assert over.paragraphs[0].endswith(
        ": a (ridge) in V1 (.300, p ≤ .05 in 1 of 2 subjects), a (ridge) in IT (.100, p ≤ .05 in 1 of 2 subjects)."
    )


def test_what_tells_stimuli_apart_is_answered_first(material: kit.Material, kept: Callable[..., None]) -> None:
    material.encodings |= {(name, "fixed"): of for (name, _), of in material.encodings.items()}
    material.summary = summary(0.5, 0.6)
    answer = answers.answer_of_blocks(material)
    assert (answer.question, answer.opening, answer.holds) == ("Do responses tell the categories apart?", "Yes.", True)
    kept(answer)
    share = {"model": ["b", "a", "a"], "quantity": "share of targets at q < 0.05 (FDR)", "value": [0.9, 0.9, 0.3]}
    share |= {"method": ["fixed", "fixed", "ridge"], "layer": "l", "split": "runs"}
    rows = pd.concat([material.summary.assign(high=0.7), pd.DataFrame(share)], ignore_index=True)
    material.summary = rows.assign(p=rows["p"].where(rows["model"] != "b"))  # draws have none
    noise = {"extractor": "random", "n_features": 4, "n_draws": 9}
    material.config.models["b"] = config(models={"noise": noise}).models["noise"]
    answer = answers.answer_of_blocks(material)
    assert "Random features do so as well (.600): this tells of responses, not of what models know." in answer.words
    kept(answer)
    share = rows["quantity"].replace("share of targets at q < 0.05 (FDR)", "share of targets at q < 0.1 (FDR)")
    asked = replace(material, summary=rows.assign(quantity=share))
    asked.config = material.config.model_copy(update={"summarize": SummarizeSettings(q=0.1)})
    assert answers.answer_of_blocks(asked).numbers[1]["control"] == "q < .1, chance 0"
    material.summary = rows.assign(p=0.03, sd=0.1)
    answer = answers.answer_of_blocks(material)
    assert (answer.opening, answer.holds, "over layers]" in answer.words) == ("Not shown.", False, True)
    assert "intervals" not in answer.panel.caption  # a range over layers is none
    kept(answer)
    material.summary = rows[rows["quantity"] == "pair matching"]
    kept(answers.answer_of_blocks(material))
    material.summary = None
    assert answers.answer_of_blocks(material) is None


def test_layers_are_named_where_a_model_of_images_has_several(material: kit.Material) -> None:
    names = ("table", "net", "x")
    made = {name: SimpleNamespace(reads_images=name == "net", reads_vectors=name == "table") for name in names}
    material.config.models.update(made)
    one, two = (pd.DataFrame({"layer": layers}) for layers in (["l"], ["l", "m"]))
    for name in reversed(names):
        material.encodings[name, "ridge"] = Encoding(two, two, two)
    assert material.layered_models == ["table", "net"]
    assert [material.name_of(name, "l") for name in ("net", "x")] == ["net (l)", "x"]
    material.encodings["net", "ridge"] = Encoding(one, one, one)
    assert material.layered_models == ["table"]


def test_no_p_is_printed_as_0(material: kit.Material) -> None:
    assert kit.p_equals(1 / 5001) == kit.p_number(1 / 5001) == "< .001"  # the least that 5,000 permutations give
    assert kit.p_value(1 / 50_001, 50_000) == "p < .0001 of 50,000 permutations"
    material.summary = summary(0.5, 0.5)
    row = {"model": "a", "layer": "l", "distance": "crossnobis", "comparison": "cosine", "score": 0.3, "p": 1 / 5001}
    material.comparison = pd.DataFrame([row | {"ceiling_low": 0.4, "ceiling_high": 0.5}])
    assert "crossnobis/cosine .300 (p < .001, ceiling" in said(material)
    nan = float("nan")
    assert [kit.number(0.5), kit.number(-0.25, 2), kit.number(12.0), kit.number(nan)] == [".500", "-.25", "12.000", "–"]
    assert kit.p_value(0.004975, 200) == "p = .0050 of 200 permutations"
    assert kit.p_value(0.05, 19) == "p = .0500 (the smallest p that 19 permutations can give: too few to show more)"
    assert [kit.least_p(0.1, 19), kit.least_p(0.01, 99), kit.least_p(0.05, 0)] == ["", "", ""]
    assert "99 permutations can give: too few to show more with 6 models" in kit.least_p(0.01, 99, np.int64(6))
    assert [kit.p_equals(0.0123), kit.p_equals(nan), kit.p_number(0.5, 4)] == ["= .012", "–", ".5000"]


def test_what_is_found_follows_from_the_numbers(material: kit.Material, kept: Callable[..., None]) -> None:
    """The verdict from p; equal spaces are checked, not asserted; nothing is tested without permutations."""
    assert kit.findings(material) == {}
    found = {}
    for p, b_fixed in ((0.03, 0.5), (0.07, 0.5), (0.5, 0.51), (0.5, 0.6)):
        material.summary = summary(p, b_fixed)
        found[p, b_fixed] = said(material)
    assert "This is above chance" in found[0.03, 0.5]
    assert "not distinguishable from chance" in found[0.07, 0.5]
    assert ["look for an error" in text for text in found.values()] == [False, False, False, True]
    set_rank(material, "b", 2)  # a space without full rank may predict something else
    kept(list(found.values()), said(material))
    set_rank(material, "b", 3)
    material.summary = summary(0.5, 0.51)
    material.config.methods["ridge"] = material.config.methods["ridge"].model_copy(update={"alphas": (0.001, 1e4)})
    assert "with next to none (method fixed) identification is .500 (a), .510 (b)" in said(material)
    material.summary = summary(0.5, 0.5).assign(p=np.nan, null_mean=np.nan, low=np.nan, high=np.nan)
    check(said(material), "not tested by permutation)", unsaid=["at the 5 % level", "interval"])
    material.summary = summary(0.5, 0.5)
    material.config = material.config.model_copy(update={"confidence": 0.5})
    assert "50% interval over runs" in said(material)


def test_methods_cite_only_what_ran(material: kit.Material) -> None:
    assert [keys for _, keys in kit.methods_text(material)] == [["snakemake"]]
    material.sidecars["x"] = {"stage": "compare"}
    material.comparison = pd.DataFrame({"distance": ["crossnobis"], "ceiling_low": np.nan, "low": np.nan})
    cited = [key for _, keys in kit.methods_text(material) for key in keys]
    check(cited, "crossnobis", unsaid=["ridge"])
    assert set(cited) <= set(kit.CITATIONS)
    for key, reference in kit.CITATIONS.items():
        entry = reference.entry
        assert entry.startswith(f"@article{{{key},")
        assert entry.count("{") == entry.count("}")
        authors = entry.split("author = {")[1].split("}")[0].split(" and ")
        assert all(author == "others" or author.count(", ") == 1 for author in authors), authors
        assert str(reference.year) in reference.text


def test_a_large_study_keeps_within_the_budget(rng: np.random.Generator) -> None:
    n = 20_000
    ceiling, r2 = rng.uniform(-0.1, 0.8, n), rng.uniform(-0.1, 0.7, n)
    scores = pd.DataFrame({"ceiling": ceiling, "r2_signed": r2, "reliable": True})
    cloud = figures.score_against_ceiling(scores, 0.1)
    panel = kit.Panel("p", "t", "c", cloud, scores)
    assert len(panel.image) < 200_000
    assert panel.csv == ""
    assert len(kit.Panel("p", "t", "c", cloud, scores[:500]).csv) > 1000
    table = pd.DataFrame({"fold": np.arange(40), "group": "g", "split": "test"})
    splits = pd.concat(table.assign(name=f"split{k}") for k in range(5))
    assert figures.split_matrix(splits).get_figwidth() * 110 <= 1000


def test_a_ceiling_that_is_not_drawn_is_not_named() -> None:
    for known in (0.6, np.nan):
        figure, (ax,) = kit.new_figure(3, 2)
        ax.plot([0, 1], label="net")
        ax.hlines([known] * 2, 0, 1, label="noise ceiling (r)")
        ax.fill_between([0, 1], [known] * 2, 1, label="noise ceiling, band")
        kit.legend_below(figure, [ax], 3)
        drawn = 2 * int(np.isfinite(known))
        assert len(figure.legends[0].get_texts()) == 1 + drawn
        for name, text in kit.CAPTIONS.items():
            caption = " ".join(text.split())
            if "ashed: noise ceiling" in caption or "and: noise ceiling" in caption:
                assert ("noise ceiling" in kit.Panel(name, "T", caption, figure).caption) == bool(drawn), name


def test_captions_are_read_in_one_breath() -> None:
    """No clause of a caption is longer than 25 words."""
    for name, caption in kit.CAPTIONS.items():
        for clause in re.split(r"(?<=[.!?:;]) (?=[A-Z])|; ", re.sub(r"\[[\w ]+: |\]", "", caption)):
            assert len([word for word in clause.split() if re.search(r"\w", word)]) <= 25, f"{name}: {clause}"


def panel(id: str, width: float, caption: str) -> Panel:
    figure, (ax,) = new_figure(width, 3.0)
    ax.bar(["a", "b"], [1.0, 2.0])
    ax.set_title(f"Bars of {id}")
    return Panel(id, f"Title of {id}", caption, figure, pd.DataFrame({"bar": ["a", "b"], "r": [1.0, 2.0]}))


def test_every_figure_is_a_drawing_with_numbers_and_caption(tmp_path: Path) -> None:
    both = Panel("both", "Two as one", "", None, parts=(panel("left", 4.0, "Left."), panel("right", 4.0, "Right.")))
    table = Panel("table", "A table", "Of no figure.", None, html="<table></table>")
    answer = Answer("Is it?", "Yes.", "It is.", True, panel("answer", 8.6, "Shows\n  it."))
    keys = list(CITATIONS)[:2]
    chapter = Chapter(answer=answer, sections=[Section("all", "All", [both, table])], methods=[("Was done.", keys)])
    written, stems = write_figures([chapter], tmp_path / "figures"), ["01_answer", "02_left", "03_right"]
    names = [f"{stem}.{kind}" for stem in stems for kind in ("svg", "pdf", "csv")]
    assert [path.name for path in written] == [*names, "captions.md", "methods.md", "references.bib"]
    for stem, width, height in zip(stems, (183, 89, 89), (63.84, 66.75, 66.75), strict=True):
        drawing = (tmp_path / "figures" / f"{stem}.svg").read_text()
        assert f'width="{width}mm" height="{height}mm"' in drawing
        assert re.search(rf"<text[^>]*>Bars of {stem[3:]}</text>", drawing)
        assert (tmp_path / "figures" / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
        assert pd.read_csv(tmp_path / "figures" / f"{stem}.csv")["r"].tolist() == [1, 2]
    told = [("1. Title of answer", "Shows it."), ("2. Title of left", "Left."), ("3. Title of right", "Right.")]
    assert re.findall(r"## (.*)\n\n(.*)\n", (tmp_path / "figures" / "captions.md").read_text()) == told
    assert (tmp_path / "figures" / "methods.md").read_text() == f"Was done. [@{keys[0]}] [@{keys[1]}]\n"
    assert (tmp_path / "figures" / "references.bib").read_text().count("@") >= 2
