"""Ten questions of a reader: each answer stands where the documentation says, on the first screen or one click away."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pages import RECORD, config, made_up, page_of, words

from brainalign.report.kit import StudyMaterial
from brainalign.report.pages import blocks_chapter, group_sections, images_chapter, scores_chapter, sentences

TABLE = (Path(__file__).parents[2] / "docs" / "pages" / "questions.md").read_text()
HEADER, _, *ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in TABLE.splitlines() if line[:1] == "|"]
# What an answer cannot do without, by the beginning of its question; {model} is the best one of the page.
ANSWERS = {
    "Which model": r"\b{model}\b", "Is it": r"chance|exchanged|p [=<]",
    "How sure": r"\[\S+ to \S+\]|interval|p [=<]|standard error", "Did a": r"control|random",
    "Would": r"control|random|weights|without|noise", "What is": r"ceiling",
    "Where, and": r"map|vertices|voxels|fMRI|reference|Channels", "What was": r"train|split|subjects?\b",
    "How was": r"\[1\]|settings", "Where are": r"CSV",
}  # fmt: skip


def categories() -> str:
    of = made_up("report/test_figures_of_places")
    made = of.material(of.grid())
    return page_of(made, blocks_chapter(made))


def subjects() -> str:
    of = made_up("report/test_group_and_pages")
    scores, controls = of.scores().assign(ceiling=0.6, n=800).replace({"fmri": "fMRI"}), ["effnetrandom"]
    sections = group_sections(scores, pd.DataFrame(), pd.DataFrame(), controls, 0.95)
    record = RECORD | {"files": {"s": {"sha256": "0" * 64}}}
    material = StudyMaterial(config(), "d", SimpleNamespace(title="A study", origin="Nowhere."), sidecars={"s": record})
    return page_of(material, scores_chapter(scores, of.comparisons(), sections, controls=controls))


def test_of_subjects_in_whom_nothing_repeats_it_is_said_that_no_model_has_a_score() -> None:
    scores = made_up("report/test_group_and_pages").scores().assign(value=np.nan)
    (section, *_) = group_sections(scores, pd.DataFrame(), pd.DataFrame(), [], 0.95)
    assert (list(section.panels), len(section.paragraphs)) == ([], 1)
    assert re.match("No model has .* in any subject: no target repeats", section.paragraphs[0])


def text() -> str:
    made = made_up("report/test_whole_chapters").text_material()
    made.sidecars["x_responses.parquet"] |= RECORD | {"files": {"x_responses.parquet": {"sha256": "0" * 64}}}
    return page_of(made, sentences.text_chapter(made))


KINDS: dict[str, tuple[Callable[[], str], str]] = {
    "images": (lambda: page_of(made := made_up("report/test_image_page").images_of_one(), images_chapter(made)), "net"),
    "categories": (categories, "onehot"), "all subjects": (subjects, "effnet"),
    "RDMs": (lambda: made_up("report/test_image_page").rdm_page(config(), ("published", "layer")), "V1"),
    "text from EEG": (text, "ridge"),
}  # fmt: skip


def test_the_documentation_asks_ten_questions_of_every_kind_of_page() -> None:
    assert (HEADER[1:], [len(row) for row in ROWS]) == ([*KINDS], [1 + len(KINDS)] * 10)
    assert all(sum(row[0].startswith(start) for row in ROWS) == 1 for start in ANSWERS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_is_on_the_first_screen_or_one_click_away(kind: str) -> None:
    make, model = KINDS[kind]
    page = make()
    (nav,) = re.findall("<nav.*?</nav>", page, re.DOTALL)
    sections = dict(re.findall(r'<section id="([^"]+)"[^>]*>(.*?)</section>', page, re.DOTALL))
    links = re.findall(r'<a href="#([^"]+)">([^<]+)', nav)
    head = page[page.index("<header>") : page.index("</section>", page.index('<section id="summary'))]
    parts = {"first screen": head} | {unescape(name).strip(): sections[to] for to, name in links}
    for question, *places in ROWS:
        place = places[list(KINDS).index(kind)]
        assert place in parts, f"{question}: {place} is not in {list(parts)}"
        (answer,) = [pattern for start, pattern in ANSWERS.items() if question.startswith(start)]
        said = words(parts[place])
        assert re.search(answer.format(model=model), said), f"{question}: nothing of {answer} in {said[:2000]}"
