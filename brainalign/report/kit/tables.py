"""Numbers, p values and names as the pages write them, and tables: models by subjects, paired comparisons."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

LEVEL = 0.05  # of what pages call above chance


def number(value: float, digits: int = 3) -> str:
    """Return a number without a leading zero, as correlations are written; a dash for NaN."""
    if pd.isna(value):
        return "–"
    text = f"{value:.{digits}f}"
    text = text.removeprefix("-") if float(text) == 0 else text
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def signed(value: float) -> str:
    """Write a number with its sign in front."""
    return ("+" if value >= 0 else "−") + number(abs(value))


def space_name(model: str, layer: str) -> str:
    """Name the features of a layer: pixels, whose layer is called so too, once."""
    return model if layer == model else f"{model} ({layer})"


def layer_name(row: "pd.Series[Any]") -> str:
    """Name model and layer of a row one after the other, once where they are the same, and a model without layers."""
    layer = row["layer"] if isinstance(row["layer"], str) and row["layer"] != row["model"] else ""
    return f"{row['model']} {layer}".strip()


def p_number(p: float, digits: int = 3) -> str:
    """Return a p value for a column of them: never 0, which no permutation gives; a dash for NaN."""
    least = 10.0**-digits
    return f"< {number(least, digits)}" if p < least else number(p, digits)


def p_equals(p: float, digits: int = 3) -> str:
    """Format a p-value to follow the letter p: "= .012", "< .001", or a dash for NaN."""
    text = p_number(p, digits)
    return f"= {text}" if text[0] not in "<–" else text


def interval(row: "pd.Series[float]") -> str:
    """Return the interval of a row (its range over layers) in brackets after a space; nothing where there is none."""
    over = " over layers" * bool(pd.notna(row.get("sd")))
    return f" [{number(row['low'])} to {number(row['high'])}{over}]" if np.isfinite(row["low"]) else ""


def p_value(p: float, n_permutations: float) -> str:
    """Return a p value with what it rests on; "–" where there was no test."""
    if pd.isna(p):
        return "–"
    rests_on = f" of {int(n_permutations):,} permutations" if n_permutations else ""
    return f"p {p_equals(p, 4)}{least_p(p, n_permutations) or rests_on}"


def corrected_p(p: float, over: str) -> str:
    """Put a p value into brackets, with what it is corrected for; nothing where there was no test."""
    return f" (p {p_equals(p)}, corrected for {over})" if pd.notna(p) else ""


def least_p(p: float, n_permutations: float, n_models: int = 1) -> str:
    """Say, to follow a p value, that permutations are too few to show anything: p is the least they can give.

    Empty where p, corrected for so many models, is below the level, or where more permutations would not have helped.
    """
    if not n_permutations or p * n_models < LEVEL or not p * (n_permutations + 1) < 1.5:
        return ""
    models = f" with {n_models} models" if n_models > 1 else ""
    return f" (the smallest p that {int(n_permutations):,} permutations can give: too few to show more{models})"


def html_table(header: Sequence[str], rows: Sequence[Sequence[str | Markup]], label: str = "") -> Markup:
    """Return an HTML table that scrolls inside its box; cells that are not `Markup` are escaped."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(name) for name in header)
    cells = (Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row) for row in rows)
    return Markup(
        '<div class="scroll" role="region" aria-label="{}" tabindex="0"><table><thead><tr>{}</tr></thead>'
        "<tbody>\n{}\n</tbody></table></div>"
    ).format(label, head, Markup("\n").join(Markup("<tr>{}</tr>").format(row) for row in cells))


def folded(title: str, content: Markup) -> Markup:
    """Return content behind its title, for those who ask."""
    return Markup("<details><summary>{}</summary>{}</details>").format(title, content)


def rows_where(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """Return the rows of a table whose columns hold what is wanted."""
    kept = [(table[column] == value).to_numpy(dtype=bool) for column, value in wanted.items()]
    return table[np.all(kept, axis=0)] if kept else table


Columns = Mapping[str, Callable[[Any], str | Markup]]  # by header, what writes the cell of a row


def row_table(rows: pd.DataFrame, columns: Columns, label: str = "") -> Markup:
    """Return an HTML table with a row for each row of a table."""
    cells = [[write(row) for write in columns.values()] for _, row in rows.iterrows()]
    return html_table(list(columns), cells, label)


def between(row: "Mapping[Any, Any] | pd.Series[Any]", low: str = "low", high: str = "high") -> str:
    """Write the two ends of an interval, or a dash where there is none."""
    return "–" if pd.isna(row[low]) else f"{number(row[low])} to {number(row[high])}"


def with_interval(row: "Mapping[Any, Any] | pd.Series[Any]", value: str, ends: str = "", digits: int = 3) -> str:
    """Write a value of a row with its interval in brackets, which columns of this beginning hold."""
    low, high = (number(row[f"{ends}{end}"], digits) for end in ("low", "high"))
    return f"{number(row[value], digits)} ({low} to {high})"


def score_table(rows: pd.DataFrame, controls: Sequence[str] = ()) -> Markup:
    """Return models (rows) by subjects (columns), one line per quantity and model, each score with its interval.

    A row per quantity, modality, subject and model: value, low, high (interval, or NaN), n (targets, stimuli or folds
    it is over). Controls are models (random weights, permuted): in grey, and never the largest.
    """
    subjects = list(pd.unique(rows["subject"]))
    kinds = {subject: rows.loc[rows["subject"] == subject, "modality"].iloc[0] for subject in subjects}
    largest = rows[~rows["model"].isin(list(controls))].groupby(["quantity", "subject"])["value"].max()
    body = []
    for (quantity, model), part in rows.groupby(["quantity", "model"], sort=False):
        control, by_subject = model in controls, part.set_index("subject")
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

    A row per comparison: quantity, subject, model_a, model_b, difference (a minus b), low, high (interval), p
    (corrected over the comparisons, or NaN), n (targets).
    """
    columns: Columns = {
        "quantity": lambda row: row["quantity"],
        "subject": lambda row: row["subject"],
        "first": lambda row: row["model_a"],
        "second": lambda row: row["model_b"],
        "difference": lambda row: number(row["difference"]),
        "interval": between,
        "p (corrected)": lambda row: p_number(row["p"], 4),
        "targets": lambda row: "–" if pd.isna(row["n"]) else f"{row['n']:,.0f}",
        "verdict": better_model,
    }
    return row_table(rows, columns, "Paired comparisons")


def better_model(row: Mapping[Hashable, Any]) -> str | Markup:
    """Name the better model of a comparison, or call it a tie."""
    sure = (row["low"] > 0 or row["high"] < 0) and not row["p"] >= 0.05
    better = row["model_a"] if row["difference"] > 0 else row["model_b"]
    return Markup("<b>{} is better</b>").format(better) if sure else "tie"
