"""Figures of a page as files for papers."""

import re
from pathlib import Path

import pandas as pd

from brainalign.report.kit import CITATIONS, Answer, Chapter, Panel, Section, new_figure, write_figures


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
    written = write_figures([chapter], tmp_path / "figures")
    stems = ["01_answer", "02_left", "03_right"]
    assert [path.name for path in written] == [
        *(f"{stem}.{kind}" for stem in stems for kind in ("svg", "pdf", "csv")),
        *("captions.md", "methods.md", "references.bib"),
    ]
    for stem, width, height in zip(stems, (183, 89, 89), (63.84, 66.75, 66.75), strict=True):
        drawing = (tmp_path / "figures" / f"{stem}.svg").read_text()
        assert f'width="{width}mm" height="{height}mm"' in drawing
        assert re.search(rf"<text[^>]*>Bars of {stem[3:]}</text>", drawing)
        assert (tmp_path / "figures" / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
        assert pd.read_csv(tmp_path / "figures" / f"{stem}.csv")["r"].tolist() == [1, 2]
    captions = (tmp_path / "figures" / "captions.md").read_text()
    assert re.findall(r"## (.*)\n\n(.*)\n", captions) == [
        ("1. Title of answer", "Shows it."), ("2. Title of left", "Left."), ("3. Title of right", "Right."),
    ]  # fmt: skip
    assert (tmp_path / "figures" / "methods.md").read_text() == f"Was done. [@{keys[0]}] [@{keys[1]}]\n"
    assert (tmp_path / "figures" / "references.bib").read_text().count("@") >= 2
