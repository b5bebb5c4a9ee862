"""Tables and boxes of the pages: the split card, the leakage box, models by subjects, paired comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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


def split_card(splits: pd.DataFrame) -> Markup:
    """Return the split card: what each split trains on and tests, and by what it keeps things together.

    Parameters
    ----------
    splits : DataFrame
        A row per split: split (name), left_out (stimulus_id, run ...), n_folds, n_train, n_val, n_test (stimuli or
        trials), unit (what is counted), n_both (groups on both sides of a fold: 0 unless something is wrong), seed.
        Further columns are shown after these.
    """
    named = {
        "split": "split", "left_out": "kept together", "n_folds": "folds", "n_train": "train", "n_val": "validation",
        "n_test": "test", "unit": "counted in", "n_both": "on both sides", "seed": "seed",
    }  # fmt: skip
    check_columns("the split card", splits, list(named))
    others = [str(name) for name in splits.columns if name not in named]
    rows = []
    for _, row in splits.iterrows():
        cells: list[str | Markup] = [_plain(row[name]) for name in (*named, *others)]
        if row["n_both"]:
            cells[list(named).index("n_both")] = Markup("<b>{}: LEAK</b>").format(row["n_both"])
        rows.append(cells)
    return html_table([*named.values(), *others], rows, "Split card")


def _plain(value: str | float | None) -> str:
    """Return a cell: whole numbers with separators, others as the field writes them, nothing as a dash."""
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    if value is None or np.isnan(value):
        return "–"
    return f"{int(value):,}" if value == int(value) else number(float(value))


def leakage_box(checks: pd.DataFrame) -> Markup:
    """Return the leakage box: every check with how much was found among how much, and whether it stops the run.

    Parameters
    ----------
    checks : DataFrame
        A row per check: check (what was looked for), found (number), among (number compared), severity ("leak" makes
        the box red; "note" is information, such as near-duplicate images on one side), detail (names, threshold).
    """
    check_columns("the table of leakage checks", checks, ["check", "found", "among", "severity", "detail"])
    leaks = checks[(checks["found"] > 0) & (checks["severity"] == "leak")]
    notes = checks[(checks["found"] > 0) & (checks["severity"] != "leak")]
    if len(leaks):
        verdict = f"{len(leaks)} of {len(checks)} checks found a leak between training and test."
    else:
        verdict = f"No leak between training and test in {len(checks)} checks."
    if len(notes):
        verdict += f" {len(notes)} found something to know."
    rows = [
        [
            row["check"],
            Markup("<b>{}</b>").format(_plain(row["found"])) if row["found"] else "0",
            _plain(row["among"]),
            _plain(row["detail"]),
        ]
        for _, row in checks.iterrows()
    ]
    table = html_table(["check", "found", "among", "detail"], rows, "Leakage checks")
    return Markup('<div class="check{}"><b>{}</b>{}</div>').format(" found" if len(leaks) else "", verdict, table)


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
                _plain(row["n"]),
                verdict,
            ]
        )
    header = ["quantity", "subject", "first", "second", "difference", "interval", "p (corrected)", "pairs", "verdict"]
    return html_table(header, body, "Paired comparisons")
