"""One self-contained HTML page: sections with figures, captions and the numbers behind them."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, groupby
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

import brainalign
from brainalign.report.kit.canvas import picture_bytes
from brainalign.report.kit.citations import CITATIONS
from brainalign.report.kit.failed_controls import FailedControl, failed_spaces
from brainalign.report.kit.material import Material
from brainalign.report.kit.panels import composite, letter
from brainalign.report.kit.searchlight_words import searchlight_methods
from brainalign.report.kit.sentences import findings, methods_text, number, p_equals, p_number
from brainalign.report.kit.viewer import VIEWER_CLASS, surface_assets, surface_code

MOST_ROWS = 5000  # of an embedded table; longer ones lie beside the report as artifacts


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
    vector: bool = False  # SVG: for figures of few marks
    html: Markup | str = ""
    parts: tuple[Panel, ...] = ()  # of `together`

    @property
    def pieces(self) -> tuple[Panel, ...]:
        """The panels that are drawn as this one: its parts, or itself."""
        return self.parts or (self,)

    @property
    def image(self) -> str:
        """The figure as a data URI; a picture of points keeps within the size budget, empty without a figure."""
        several = [(part.title, part.figure) for part in self.parts if part.figure is not None]
        if several:
            return _picture_uri(composite(several))
        if self.figure is None:
            return ""
        if not self.vector:
            return _picture_uri(picture_bytes(self.figure))
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="svg", metadata={"Date": None})
        return data_uri(buffer.getvalue(), "image/svg+xml")

    @property
    def csv(self) -> str:
        """The numbers as a data URI; empty when there are none, or so many that they would swell the page."""
        if self.numbers is None or len(self.numbers) > MOST_ROWS:
            return ""
        return data_uri(self.numbers.to_csv(index=False).encode(), "text/csv")

    @property
    def alt(self) -> str:
        """What the picture shows, for those who do not see it."""
        return ": ".join([self.title, *(["; ".join(self._names())] if self.parts else [])])

    @property
    def notes(self) -> list[tuple[str, str, list[Panel]]]:
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


def together(id: str, title: str, parts: Sequence[Panel]) -> list[Panel]:
    """Return panels as one figure: one picture with a letter for each, one caption for all, numbers for each.

    What belongs together is one figure, so that a page does not grow with regions, layers or models.

    Parameters
    ----------
    id, title : str
        Of the figure.
    parts : sequence of Panel
        One alone stays as it is; none give no figure.
    """
    return [Panel(id, title, "", None, parts=tuple(parts))] if len(parts) > 1 else list(parts)


def data_uri(content: bytes, media_type: str) -> str:
    """Return content embedded in a URI, so that the page needs no network."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _picture_uri(content: bytes) -> str:
    return data_uri(content, "image/webp" if content[8:12] == b"WEBP" else "image/png")


def render_page(material: Material, sections: list[Section]) -> str:
    """Return the HTML of one subject's report; everything that came from data is escaped.

    Parameters
    ----------
    material : Material
    sections : list of Section
        From `brainalign.report.pages.block_sections.sections`.
    """
    *steps, closing = methods_text(material)
    paragraphs = [*steps, *searchlight_methods(material), closing]
    keys = list(dict.fromkeys(key for _, cited in paragraphs for key in cited))
    bibtex = "\n\n".join(CITATIONS[key].bibtex(key) for key in keys)
    return render(
        "report.html",
        sections,
        failed_controls=failed_spaces(material),
        material=material,
        descriptor=material.descriptor,
        findings=findings(material),
        cards=_cards(material),
        headline=_table_rows(material.summary),
        interval_note="Intervals: over held-out runs, none where folds overlap or are few; for layer 'all': the range "
        "over layers, n of them.",
        summary_csv=""
        if material.summary is None
        else data_uri(material.summary.to_csv(index=False).encode(), "text/csv"),
        methods=paragraphs,
        references=[(key, CITATIONS[key]) for key in keys],
        reference_number={key: k + 1 for k, key in enumerate(keys)},
        bibtex=data_uri(bibtex.encode(), "text/x-bibtex"),
    )


def render(
    template: str, sections: Sequence[Section], *, failed_controls: Sequence[FailedControl] = (), **values: object
) -> str:
    """Return the HTML of a template; mesh and drawing code are embedded once, where a panel needs them.

    Parameters
    ----------
    template : str
        A file of `templates/`.
    sections : sequence of Section
    failed_controls : sequence of FailedControl
        Told in a red box before everything else.
    values : object
        What the template names.
    """
    environment = Environment(
        loader=PackageLoader("brainalign.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "p_number": p_number}
    pieces = [piece for section in sections for panel in section.panels for piece in panel.pieces]
    turned = any(VIEWER_CLASS in piece.html for piece in pieces)
    return environment.get_template(template).render(
        sections=sections,
        failed_controls=failed_controls,
        surface=surface_assets() if turned else "",
        policy=_policy(surface_code() if turned else ()),
        version=brainalign.__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **values,
    )


def _policy(scripts: Sequence[str]) -> str:
    """Return the Content-Security-Policy of a page: what it holds itself, and of code these scripts alone.

    Whatever of the data should ever get past the escaping can neither run nor fetch nor send anything.
    """
    rules = [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    if scripts:
        digests = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in scripts]
        # plotly makes functions from text as it draws.
        rules.append(" ".join(["script-src", *(f"'sha256-{digest}'" for digest in digests), "'unsafe-eval'"]))
    return "; ".join(rules)


def _table_rows(summary: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return the rows the table shows: for models of several layers the row over all; single ones are in the CSV."""
    if summary is None:
        return []
    several = summary.loc[summary["layer"] == "all", ["model", "method", "split", "quantity"]].drop_duplicates()
    marked = summary.merge(several.assign(pooled=True), how="left")
    shown = summary[(marked["pooled"].isna() | (marked["layer"] == "all")).to_numpy()]
    return [{str(key): value for key, value in row.items()} for row in shown.to_dict("records")]


def _cards(material: Material) -> list[dict[str, str]]:
    """Return the few numbers on top of the page, each with its control."""
    if material.summary is None or not material.encodings:
        return []
    model, method = next(iter(material.encodings))
    rows = material.summary[(material.summary["model"] == model) & (material.summary["method"] == method)]
    rows = rows[rows["layer"] == material.first.layer]
    cards = []
    for _, row in rows.iterrows():
        if not row["quantity"].startswith(("identification", "pair matching", "share of targets with r", "largest r")):
            continue
        control = [f"permuted {number(row['null_mean'])}"] if pd.notna(row["null_mean"]) else []
        if pd.notna(row["chance"]):
            control.insert(0, f"chance {number(row['chance'])}")
        if pd.notna(row["p"]):
            control.append(f"p {p_equals(row['p'], 4)}")
        cards.append(
            {
                "name": row["quantity"],
                "value": number(row["value"]),
                "control": ", ".join(control),
                "split": row["split"],
            }
        )
    for _, row in material.summary_rows("classification").iterrows():
        chance = f"chance {number(row['chance'])}"
        cards.append(
            {
                "name": "logistic classifier",
                "value": number(row["value"]),
                "control": chance,
                "split": row["split"],
            }
        )
    return cards
