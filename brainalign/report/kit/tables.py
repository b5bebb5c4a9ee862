"""Tables of the pages: models by subjects, paired comparisons."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from brainalign.report.kit.canvas import check_columns
from brainalign.report.kit.sentences import number, p_number


def html_table(header: Sequence[str], rows: Sequence[Sequence[str | Markup]], label: str = "") -> Markup:
    """Return an HTML table that scrolls inside its box; cells that are not `Markup` are escaped."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(name) for name in header)
    cells = (Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row) for row in rows)
    body = Markup("\n").join(Markup("<tr>{}</tr>").format(row) for row in cells)
    return Markup(
        '<div class="scroll" role="region" aria-label="{}" tabindex="0"><table><thead><tr>{}</tr></thead>'
        "<tbody>\n{}\n</tbody></table></div>"
    ).format(label, head, body)


def folded(title: str, content: Markup) -> Markup:
    """Return content behind its title, for those who ask."""
    return Markup("<details><summary>{}</summary>{}</details>").format(title, content)


Columns = Mapping[str, Callable[[Any], str | Markup]]  # by header, what writes the cell of a row


def row_table(rows: pd.DataFrame, columns: Columns, label: str = "") -> Markup:
    """Return an HTML table with a row for each row of a table."""
    cells = [[write(row) for write in columns.values()] for _, row in rows.iterrows()]
    return html_table(list(columns), cells, label)


def between(row: Mapping[str, Any], low: str = "low", high: str = "high") -> str:
    """Write the two ends of an interval, or a dash where there is none."""
    return "–" if pd.isna(row[low]) else f"{number(row[low])} to {number(row[high])}"


def score_table(rows: pd.DataFrame, controls: Sequence[str] = ()) -> Markup:
    """Return models (rows) by subjects (columns), one line per quantity and model, each score with its interval.

    Parameters
    ----------
    rows : DataFrame
        A row per quantity, modality, subject and model: value, low, high (interval, or NaN), n (targets, stimuli or
        folds it is over).
    controls : sequence of str
        Models that are controls (random weights, permuted): in grey, and never the largest.
    """
    check_columns(
        "the table of scores", rows, ["quantity", "modality", "subject", "model", "value", "low", "high", "n"]
    )
    subjects = list(pd.unique(rows["subject"]))
    kinds = {subject: rows.loc[rows["subject"] == subject, "modality"].iloc[0] for subject in subjects}
    ranked = rows[~rows["model"].isin(list(controls))]
    largest = ranked.groupby(["quantity", "subject"])["value"].max()
    body = []
    for (quantity, model), part in rows.groupby(["quantity", "model"], sort=False):
        control = model in controls
        by_subject = part.set_index("subject")
        cells: list[str | Markup] = [
            str(quantity),
            Markup('<span class="soft">{}</span>').format(model) if control else str(model),
        ]
        for subject in subjects:
            if subject not in by_subject.index:
                cells.append("–")
                continue
            row = by_subject.loc[subject]
            top = not control and row["value"] == largest.get((quantity, subject))
            value = Markup("<b>{}</b>" if top else "{}").format(number(row["value"]))
            if pd.notna(row["low"]):
                value += Markup(' <span class="soft">[{}, {}]</span>').format(number(row["low"]), number(row["high"]))
            cells.append(value)
        body.append(cells)
    header = ["quantity", "model", *(f"sub-{subject} ({kinds[subject]})" for subject in subjects)]
    return html_table(header, body, "Models and subjects")


def comparison_table(rows: pd.DataFrame) -> Markup:
    """Return paired comparisons of models, with the words that follow from interval and p.

    Parameters
    ----------
    rows : DataFrame
        A row per comparison: quantity, subject, model_a, model_b, difference (a minus b), low, high (interval), p
        (corrected over the comparisons, or NaN), n (pairs).
    """
    needed = ["quantity", "subject", "model_a", "model_b", "difference", "low", "high", "p", "n"]
    check_columns("the table of comparisons", rows, needed)
    columns: Columns = {
        "quantity": lambda row: row["quantity"],
        "subject": lambda row: row["subject"],
        "first": lambda row: row["model_a"],
        "second": lambda row: row["model_b"],
        "difference": lambda row: number(row["difference"]),
        "interval": lambda row: f"{number(row['low'])} to {number(row['high'])}",
        "p (corrected)": lambda row: p_number(row["p"], 4),
        "pairs": lambda row: "–" if pd.isna(row["n"]) else f"{row['n']:,.0f}",
        "verdict": better_model,
    }
    return row_table(rows, columns, "Paired comparisons")


def better_model(row: Mapping[Hashable, Any]) -> str | Markup:
    """Name the better model of a comparison, or call it a tie."""
    sure = (row["low"] > 0 or row["high"] < 0) and not row["p"] >= 0.05
    better = row["model_a"] if row["difference"] > 0 else row["model_b"]
    return Markup("<b>{} is better</b>").format(better) if sure else "tie"
