"""Sparse codes as a space for encoders: beside others of the same width, and whether their atoms can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from brainalign.config import DictionaryMethod
from brainalign.report.encoding_sections.encoders import encoder_scores, side_rows, side_sentences, side_table
from brainalign.report.kit import CAPTIONS, ImageMaterial, Panel, Section, html_table, number
from brainalign.statistics import RELIABLE


def dictionaries_section(material: ImageMaterial) -> Section | None:
    """Return the section on sparse dictionaries; None where none was learned."""
    panels: list[Panel] = []
    paragraphs: list[str] = []
    blocks: list[Markup] = []
    for (model, method), encoding in material.encodings.items():
        if not isinstance(material.config.methods[method], DictionaryMethod) or encoding.baselines.empty:
            continue
        label, layer = material.label(model, method), material.chosen(model, method)
        rows = side_rows(material, model, method, layer)
        shown = rows[rows["group"] == RELIABLE] if material.timed else rows[rows["group"] != RELIABLE]
        shown = shown.dropna(subset=["r"])
        if len(shown):
            caption = CAPTIONS["dictionaries"].format(model=model, layer=layer, confidence=material.config.confidence)
            title = f"Sparse codes of {model}, {layer}"
            panels.append(Panel(f"dictionaries{model}{method}", title, caption, encoder_scores(shown), rows))
        paragraphs += side_sentences(label, rows, material.timed)
        blocks.append(side_table(rows[rows["group"] == RELIABLE], f"{label}, {layer}: mean r over reliable targets"))
        quality = material.details_of(model, method, "baselines").get("dictionaries", [])
        paragraphs += [_stability(label, row) for row in quality if row["layer"] == layer]
        blocks.append(_quality(quality, f"{label}: dictionaries by layer, on test images"))
    return Section("dictionaries", "Sparse dictionaries", panels, paragraphs, blocks) if blocks else None


def _stability(label: str, row: Mapping[str, Any]) -> str:
    """Say whether another start finds the same atoms."""
    if "stability" not in row:
        return f"{label}: one start only, so nothing shows whether another would find the same atoms; give more seeds."
    verdict = "read single atoms" if row["same"] >= 0.5 else "do not read single atoms: most depend on the start"
    return (
        f"{label}, {row['layer']}: atoms of {row['n_starts']} starts resemble each other by a cosine of "
        f"{number(row['stability'])} (random atoms: {number(row['random_stability'])}); {row['same']:.0%} are the same "
        f"(cosine above .9). So {verdict}. Learned from {row['n_images']:,} images."
    )


def _quality(quality: Sequence[Mapping[str, Any]], title: str) -> Markup:
    header = ["layer", "unexplained variance", "atoms per image", "never used", "alike over starts", "random atoms"]
    cells = [
        [
            str(row["layer"]),
            f"{row['unexplained']:.0%}",
            f"{row['n_active']:.1f} of {row['n_atoms']}",
            f"{row['dead']:.0%}",
            number(row.get("stability", float("nan"))),
            number(row.get("random_stability", float("nan"))),
        ]
        for row in quality
    ]
    return html_table(header, cells, title)
