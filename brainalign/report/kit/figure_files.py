"""Figures of a page as files for papers: drawings at column width, captions, numbers, methods and references."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib

from brainalign.report.kit.canvas import fit_names
from brainalign.report.kit.citations import CITATIONS
from brainalign.report.kit.page import Chapter, Panel

COLUMNS_MM = {"one": 89, "two": 183}  # of most journals
WIDEST_IN_ONE = 5.0  # inches as drawn: wider figures take both columns


def write_figures(chapters: Sequence[Chapter], folder: Path) -> list[Path]:
    """Write every figure of a page as .svg at column width and .pdf, with its numbers as .csv.

    Captions go to `captions.md`, the text of methods to `methods.md`, what it cites to `references.bib`.

    Parameters
    ----------
    chapters : sequence of Chapter
        In the order of the page; answers come first.
    folder : Path
        Made where it is not there.

    Returns
    -------
    list of Path
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, captions = [], []
    for n, panel in enumerate(_drawn(chapters), start=1):
        stem = f"{n:02d}_{panel.id}"
        captions.append(f"## {n}. {panel.title}\n\n{' '.join(panel.caption.split())}\n")
        written += [_write_svg(panel, folder / f"{stem}.svg"), folder / f"{stem}.pdf"]
        assert panel.figure is not None
        panel.figure.savefig(written[-1], metadata={"CreationDate": None})
        if panel.numbers is not None:
            written.append(folder / f"{stem}.csv")
            panel.numbers.to_csv(written[-1], index=False)
    methods = [paragraph for chapter in chapters for paragraph in chapter.methods]
    cited = dict.fromkeys(key for _, keys in methods for key in keys)
    texts = {
        "captions.md": "\n".join(captions),
        "methods.md": "\n\n".join(f"{text} {' '.join(f'[@{key}]' for key in keys)}".strip() for text, keys in methods),
        "references.bib": "\n\n".join(CITATIONS[key].entry for key in cited),
    }
    for name, text in texts.items():
        (folder / name).write_text(text + "\n", encoding="utf-8")
    return [*written, *(folder / name for name in texts)]


def _drawn(chapters: Sequence[Chapter]) -> Iterator[Panel]:
    """Yield every panel with a figure; of figures that stand together each by itself."""
    answers = [chapter.answer.panel for chapter in chapters if chapter.answer and chapter.answer.panel]
    sections = [section for chapter in chapters for section in chapter.sections]
    for panel in [*answers, *(panel for section in sections for panel in section.panels)]:
        yield from (piece for piece in panel.pieces if piece.figure is not None)


def _write_svg(panel: Panel, path: Path) -> Path:
    """Write a figure whose text stays text, so wide as one or two columns."""
    assert panel.figure is not None
    width, height = panel.figure.get_size_inches()
    column = COLUMNS_MM["one" if width <= WIDEST_IN_ONE else "two"]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": panel.id}):
        fit_names(panel.figure).savefig(path, metadata={"Date": None})
    size = f'width="{column}mm" height="{column * height / width:.2f}mm"'
    path.write_text(re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', size, path.read_text("utf-8"), count=1), "utf-8")
    return path
