"""One self-contained HTML page: sections with figures, captions and the numbers behind them."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from itertools import count, groupby
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

import brainalign
from brainalign.report.kit.canvas import MOST_BYTES, composite, drawn_marks, fit_names, letter, picture_bytes
from brainalign.report.kit.captions import CAPTIONS
from brainalign.report.kit.citations import CITATIONS
from brainalign.report.kit.drawings import drawing, drawing_bytes
from brainalign.report.kit.failed_controls import FailedControl
from brainalign.report.kit.material import Failure, StudyMaterial
from brainalign.report.kit.tables import number, p_number
from brainalign.report.kit.viewer import VIEWER_CLASS, surface_assets, surface_code

M = TypeVar("M", bound=StudyMaterial)
PLACES = {"maps": -1, "data": 1}  # of sections before and after all others
MOST_WORDS = 12  # of a finding in the contents
MOST_ROWS = 5000  # of an embedded table; longer ones lie beside the report as artifacts
# A clause on the ceiling in the middle of a caption, or at the end of its sentence.
CEILING = re.compile(
    r"(?<=[.;:] )(?:sand|dashed(?: line)?): noise ceiling[^.;]*[.;] |; (?:sand|dashed): noise ceiling[^.;]*(?=\.)", re.I
)


@dataclass(frozen=True)
class Panel:
    """A figure or a piece of HTML (a viewer, a table), how to read it, and the numbers it shows.

    HTML must be `Markup` to be taken as it is; a plain string is escaped.
    """

    id: str
    title: str
    caption: str
    figure: Figure | None
    numbers: pd.DataFrame | None = None
    html: Markup | str = ""
    parts: "tuple[Panel, ...]" = ()  # of `together`
    orders: "tuple[Panel, ...]" = ()  # the same figure in other orders, itself first, chosen by their titles

    def __post_init__(self) -> None:
        # Nothing was repeated, or the data have one RDM: then the caption does not speak of a ceiling either.
        axes = [] if self.figure is None else self.figure.axes
        if axes and not any(name.startswith("noise ceiling") for ax in axes for _, name in drawn_marks(ax)):
            object.__setattr__(self, "caption", CEILING.sub("", self.caption))

    @property
    def pieces(self) -> "tuple[Panel, ...]":
        """The panels that are drawn as this one: its parts, or itself."""
        return self.parts or (self,)

    @property
    def drawings(self) -> list[tuple[str, Markup]]:
        """Its figures of few marks as SVG, each after the letter and title of its part."""
        return [(name, drawing(figure, id)) for name, id, figure in self._figures(drawn=True)]

    @property
    def image(self) -> str:
        """Its other figures as one data URI within the size budget; empty where there are none."""
        left = [(name, figure) for name, _, figure in self._figures(drawn=False)]
        if self.parts and left:
            return _picture_uri(composite(left))
        return _picture_uri(picture_bytes(left[0][1])) if left else ""

    def _figures(self, *, drawn: bool) -> list[tuple[str, str, Figure]]:
        """List name, id and figure of those pieces that become drawings, if these fit together, or of the others."""
        pieces = [(piece, fit_names(piece.figure)) for piece in self.pieces if piece.figure is not None]
        sizes = np.array([drawing_bytes(figure) for _, figure in pieces])
        first = np.logical_and.accumulate(np.isfinite(sizes))  # drawings stand above pictures: letters keep their order
        first &= sizes[first].sum() <= MOST_BYTES
        names = [f"{letter(k)}  {piece.title}" if self.parts else "" for k, (piece, _) in enumerate(pieces)]
        each = zip(names, pieces, first, strict=True)
        return [(name, of.id, figure) for name, (of, figure), early in each if early == drawn]

    @property
    def csv(self) -> str:
        """The numbers as a data URI; empty when there are none, or so many that they would swell the page."""
        if self.numbers is None or len(self.numbers) > MOST_ROWS:
            return ""
        return data_uri(self.numbers.to_csv(index=False, float_format="%.7g").encode(), "text/csv")

    @property
    def alt(self) -> str:
        """What the picture shows, for those who do not see it."""
        return ": ".join([self.title, *(["; ".join(self._names())] if self.parts else [])])

    @property
    def notes(self) -> "list[tuple[str, str, list[Panel]]]":
        """Captions in order, each with the names of the pieces it is of ("" of a figure by itself), and these."""
        if not self.parts:
            return [("", self.caption, [self])]
        named = groupby(zip(self._names(), self.parts, strict=True), key=lambda each: each[1].caption)
        of = [(caption, list(pairs)) for caption, pairs in named]
        return [("; ".join(name for name, _ in pairs), text, [part for _, part in pairs]) for text, pairs in of]

    def _names(self) -> list[str]:
        """Return the title of every part, after its letter where it has a place in the picture."""
        letters = map(letter, count())
        return [f"{next(letters)}, {part.title}" if part.figure is not None else part.title for part in self.parts]


@dataclass(frozen=True)
class Section:
    """A heading, text, pieces of HTML (tables, boxes) and panels, in this order."""

    id: str
    title: str
    panels: list[Panel] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)
    blocks: list[Markup] = field(default_factory=list)

    @property
    def finding(self) -> str:
        """Its first sentence with a number, else its first one, of at most `MOST_WORDS` words, for the contents."""
        sentences = [each for text in self.paragraphs for each in re.split(r"(?<=[.!?]) (?=[A-Z])", text)]
        said = next((each for each in sentences if re.search(r"\d", each)), next(iter(sentences), ""))
        words = said.rstrip(".").split()
        return " ".join(words[:MOST_WORDS]) + "…" * (len(words) > MOST_WORDS)


@dataclass(frozen=True)
class Answer:
    """What a reader came for, before everything else.

    Attributes
    ----------
    question : str
    opening, words : str
        Yes or no, and what it rests on: score, interval, chance, control.
    holds : bool
        Whether the answer is yes.
    panel : Panel, optional
        The figure that shows it.
    numbers : sequence of mappings of str
        Value, name and control of the few numbers beside it.
    """

    question: str
    opening: str
    words: str
    holds: bool
    panel: Panel | None = None
    numbers: Sequence[Mapping[str, str]] = ()


@dataclass
class Chapter:
    """What an analysis adds to a page: what it draws, says and cites, and which of its controls failed.

    Attributes
    ----------
    kind : str
        What the page is of, below its title.
    sections : sequence of Section
    findings : sequence of str
        Sentences of the summary.
    cards : sequence of mappings of str
        Numbers of the summary: name, value, control.
    answer : Answer, optional
        The first screen.
    question : str
        Of a chapter without an answer: the first finding, figure and cards become one, which claims no yes.
    headline : sequence of mappings
        Rows of the table of all headline numbers with their controls, and `pairs` of those of models in pairs.
    interval_note : str
        What the intervals of these rows are over.
    summary : DataFrame, optional
        Numbers to download.
    verdicts : sequence of mappings
        What is asked before all else: name, uses (bool), words.
    methods : sequence of (text, keys of references)
    failed_controls : sequence of FailedControl
        Told in a red box before everything else.
    """

    kind: str = ""
    sections: Sequence[Section] = ()
    findings: Sequence[str] = ()
    cards: Sequence[Mapping[str, str]] = ()
    answer: Answer | None = None
    question: str = ""
    headline: Sequence[Mapping[str, Any]] = ()
    pairs: Sequence[Mapping[str, Any]] = ()
    interval_note: str = ""
    summary: pd.DataFrame | None = None
    verdicts: Sequence[Mapping[str, Any]] = ()
    methods: Sequence[tuple[str, Sequence[str]]] = ()
    failed_controls: Sequence[FailedControl] = ()

    def __post_init__(self) -> None:
        if self.answer is None and self.question and self.findings:
            drawn = next((section.panels for section in self.sections if section.panels and section.id != "data"), None)
            panel = drawn.pop(0) if drawn else None
            self.answer = Answer(self.question, "", self.findings[0], False, panel, self.cards[:3])

    @property
    def told(self) -> bool:
        """Whether the page begins with this chapter."""
        return bool(self.answer or self.findings or self.cards)

    @property
    def counted(self) -> bool:
        """Whether it has findings and numbers beyond the first screen."""
        return bool(self.findings or self.cards or self.headline or self.pairs or self.csv)

    @property
    def said(self) -> str:
        """The first sentence, for lists of pages."""
        if self.answer:
            return f"{self.answer.opening} {self.answer.words}".strip()
        told = [f"{each['name']}: {each['words']}" for each in self.verdicts]
        return next(iter([*told, *self.findings]), "").split(". ")[0].rstrip(".")

    @property
    def csv(self) -> str:
        """The summary as a data URI; empty without one."""
        return "" if self.summary is None else data_uri(self.summary.to_csv(index=False).encode(), "text/csv")


def drawn_sections(makers: Sequence[Callable[[M], Section | None]], material: M) -> list[Section]:
    """Draw the sections for which the material is there.

    In the report of a run that failed, a section that cannot be drawn is one failure more and does not stop the rest.
    """
    sections = []
    for make in makers:
        try:
            sections.append(make(material))
        except Exception as error:
            if not material.failures:
                raise
            message = f"{type(error).__name__}: {error}"
            material.failures.append(Failure("report", f"section {make.__name__.strip('_')}", message))
    return [section for section in sections if section is not None]


def captioned(
    key: str,
    title: str,
    figure: Figure | None,
    numbers: pd.DataFrame | None = None,
    /,
    *,
    id: str = "",
    html: Markup | str = "",
    **values: object,
) -> Panel:
    """Return a panel whose caption is that of its kind of figure, filled in; its id is the key where none is given."""
    chosen = r"\[(no )?(\w+): ([^]]*)\]"
    text = re.sub(chosen, lambda part: part[3] if bool(values[part[2]]) != bool(part[1]) else "", CAPTIONS[key])
    return Panel(id or key, title, " ".join(text.format(**values).split()), figure, numbers, html)


def drawn_of(most: int, n: int) -> str:
    """Say, in a title, how many of n are drawn, where these are not all."""
    return f" ({most} of {n} drawn)" * (n > most)


def together(id: str, title: str, parts: Sequence[Panel]) -> list[Panel]:
    """Return panels as one figure: one picture with a letter for each, one caption for all, numbers for each.

    What belongs together is one figure, so that a page does not grow with regions, layers or models; one panel alone
    stays as it is.
    """
    return [Panel(id, title, "", None, parts=tuple(parts))] if len(parts) > 1 else list(parts)


def data_uri(content: bytes, media_type: str) -> str:
    """Return content embedded in a URI, so that the page needs no network."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _picture_uri(content: bytes) -> str:
    return data_uri(content, "image/webp" if content[8:12] == b"WEBP" else "image/png")


def render_page(page: StudyMaterial, chapters: Sequence[Chapter]) -> str:
    """Return the HTML of a page; everything that came from data is escaped.

    Mesh and drawing code are embedded once, where a panel needs them; chapters stand in their order.
    """
    environment = Environment(
        loader=PackageLoader("brainalign.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "p_number": p_number}
    sections = [section for chapter in chapters for section in chapter.sections]
    sections.sort(key=lambda section: PLACES.get(section.id, 0))  # where comes first, of what it was computed last
    pieces = [piece for section in sections for panel in section.panels for piece in panel.pieces]
    turned = any(VIEWER_CLASS in piece.html for piece in pieces)
    methods = [paragraph for chapter in chapters for paragraph in chapter.methods]
    references = {key: CITATIONS[key] for _, cited in methods for key in cited}
    script = files("brainalign.report").joinpath("templates/page.js").read_text()
    return environment.get_template("page.html").render(
        page=page,
        stem=f"sub-{page.subject}" if page.subject else page.dataset,
        kind=", ".join(dict.fromkeys(chapter.kind for chapter in chapters if chapter.kind)),
        chapters=chapters,
        sections=sections,
        failed_controls=[control for chapter in chapters for control in chapter.failed_controls],
        methods=methods,
        references=references,
        reference_number={key: k + 1 for k, key in enumerate(references)},
        neighbours=page.neighbours,
        bibtex=data_uri("\n\n".join(reference.entry for reference in references.values()).encode(), "text/x-bibtex"),
        script=Markup(script),
        surface=surface_assets() if turned else "",
        policy=_policy([script, *(surface_code() if turned else ())], turned),
        version=brainalign.__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _policy(scripts: Sequence[str], turned: bool) -> str:
    """Write a Content-Security-Policy: whatever gets past the escaping can neither run nor fetch nor send anything."""
    rules = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    digests = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in scripts]
    sources = [f"'sha256-{digest}'" for digest in digests]
    # plotly makes functions from text as it draws.
    return " ".join([f"{rules}; script-src", *sources, *["'unsafe-eval'"] * turned])
