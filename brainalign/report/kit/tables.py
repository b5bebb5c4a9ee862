"""Tables of the pages: models by subjects, paired comparisons."""

from collections.abc import Sequence

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
    body: list[list[str | Markup]] = []
    for _, row in rows.iterrows():
        sure = (row["low"] > 0 or row["high"] < 0) and not row["p"] >= 0.05
        better = row["model_a"] if row["difference"] > 0 else row["model_b"]
        verdict: str | Markup = Markup("<b>{} is better</b>").format(better) if sure else "tie"
        interval = f"{number(row['low'])} to {number(row['high'])}"
        body.append(
            [
                row["quantity"],
                row["subject"],
                row["model_a"],
                row["model_b"],
                number(row["difference"]),
                interval,
                p_number(row["p"], 4),
                "–" if pd.isna(row["n"]) else f"{row['n']:,.0f}",
                verdict,
            ]
        )
    header = ["quantity", "subject", "first", "second", "difference", "interval", "p (corrected)", "pairs", "verdict"]
    return html_table(header, body, "Paired comparisons")
