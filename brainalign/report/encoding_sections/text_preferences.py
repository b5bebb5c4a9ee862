"""Which texts each region prefers, in a space that images and texts share, beside what chance reaches."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from brainalign.report.kit import COLOURS, GREY, Panel, check_columns, html_table, new_figure, number, share_axis

TEXT_COLUMNS = ("group", "text", "selectivity", "chance")
MOST_TEXTS = 5  # bars of a region
CAPTION = """
    The {n} texts that move each region of subject {subject} most, of {n_texts} asked about, in standard deviations of a
    target's responses (mean over the reliable targets of a region): weights read off the context, queried in the space
    that images and texts share, texts about their own mean. Dashed: the largest value of any text after 19 refits on
    exchanged responses, the largest of them (p = .05 for the whole region). Blue: beyond it; grey: not, so that nothing
    is said. Good: in regions of known preference its words lead, beyond the dashed lines. Bad: the same words lead
    everywhere (they describe the images rather than regions), or nothing is beyond. A word that leads is the best of
    those asked about, no more."""


def text_bars(rows: pd.DataFrame) -> Figure:
    """Draw the texts that move each region most, a panel per region, beside what chance reaches.

    Parameters
    ----------
    rows : DataFrame
        A row per group and text: selectivity, chance. Groups in the order of their first row.
    """
    check_columns("the table of texts", rows, TEXT_COLUMNS)
    regions = list(pd.unique(rows["group"]))
    columns = min(len(regions), 3)
    n_rows = -(-len(regions) // columns)
    figure, axes = new_figure(max(1.0 + 2.7 * columns, 5.6), 0.7 + 1.7 * n_rows, columns, n_rows)
    for ax in axes[len(regions) :]:
        ax.set_visible(False)
    for ax, region in zip(axes, regions, strict=False):
        mine = rows[rows["group"] == region].nlargest(MOST_TEXTS, "selectivity")
        chance = float(mine["chance"].iloc[0])
        colours = [COLOURS[0] if value > chance else GREY for value in mine["selectivity"]]
        ax.barh(range(len(mine)), mine["selectivity"], color=colours)
        ax.axvline(chance, color="black", linestyle="--", linewidth=0.8)
        ax.axvline(0, color=GREY, linewidth=0.6)
        ax.set_yticks(range(len(mine)), mine["text"], fontsize=7, parse_math=False)
        ax.invert_yaxis()
        ax.set_title(region, fontsize=9)
        ax.tick_params(axis="x", labelsize=7)
        ax.set_xlabel("standard deviations", fontsize=8)
    share_axis(axes[: len(regions)], x=True, y=False)
    return figure


def text_panel(name: str, label: str, subject: str, texts: pd.DataFrame, regions: Sequence[str]) -> Panel:
    """Return the figure of the best texts of some regions, with a table of those beyond chance.

    Parameters
    ----------
    name : str
        Of the panel.
    label : str
        What the fit is called.
    subject : str
    texts : DataFrame
        As for `text_bars`.
    regions : sequence of str
    """
    shown = pd.concat([texts[texts["group"] == region] for region in regions])
    n_texts = texts["text"].nunique()
    caption = CAPTION.format(n=min(MOST_TEXTS, n_texts), subject=subject, n_texts=n_texts)
    cells = []
    for region, mine in shown.groupby("group", sort=False):
        beyond = mine[mine["selectivity"] > mine["chance"]].nlargest(MOST_TEXTS, "selectivity")
        words = ", ".join(f"{row['text']} ({number(row['selectivity'])})" for _, row in beyond.iterrows())
        cells.append([str(region), words or "none", number(mine["chance"].iloc[0])])
    table = html_table(["region", "texts beyond chance", "chance"], cells, f"Texts of {label}")
    return Panel(name, f"Texts that {label} prefers", caption, text_bars(shown), texts, html=table)
