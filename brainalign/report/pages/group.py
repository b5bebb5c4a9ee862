"""The page of the group: every model in every subject with intervals, paired comparisons, a figure per modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainalign.report.kit import (
    GREY,
    LEVEL,
    FailedControl,
    Failure,
    Section,
    check_columns,
    comparison_table,
    data_uri,
    legend_below,
    model_colours,
    new_figure,
    render,
    score_table,
)


def group_figure(rows: pd.DataFrame, models: Sequence[str] | None = None, controls: Sequence[str] = ()) -> Figure:
    """Draw every model in every subject of one modality, with intervals; a panel per quantity.

    Parameters
    ----------
    rows : DataFrame
        As for `brainalign.report.kit.tables.score_table`, of one modality; ceiling (on the scale of value, or NaN)
        draws the subject's noise ceiling.
    models : sequence of str, optional
        Every model of the study, for colours that agree with other figures.
    controls : sequence of str
        Models drawn in grey.
    """
    check_columns("the table of scores", rows, ["quantity", "subject", "model", "value", "low", "high"])
    quantities, subjects = list(pd.unique(rows["quantity"])), list(pd.unique(rows["subject"]))
    shown = list(pd.unique(rows["model"]))
    colours = model_colours(models or shown, controls)
    columns = min(len(quantities), 2)
    n_rows = -(-len(quantities) // columns)
    figure, axes = new_figure(1.2 + 3.9 * columns, 3.3 * n_rows, columns, n_rows)
    for ax in axes[len(quantities) :]:
        ax.set_visible(False)
    for ax, quantity in zip(axes, quantities, strict=False):
        part = rows[rows["quantity"] == quantity]
        for k, model in enumerate(shown):
            mine = part[part["model"] == model].set_index("subject").reindex(subjects)
            x = np.arange(len(subjects)) + 0.7 * ((k + 0.5) / len(shown) - 0.5)
            spread = np.nan_to_num([mine["value"] - mine["low"], mine["high"] - mine["value"]]).clip(0)
            marker = "Dsv^"[list(controls).index(model) % 4] if model in controls else "o"
            ax.errorbar(
                x,
                mine["value"],
                spread,
                fmt=marker,
                color=colours.get(model, GREY),
                markersize=5,
                capsize=3,
                label=model,
            )
        if "ceiling" in part.columns:
            for k, level in enumerate(part.groupby("subject")["ceiling"].first().reindex(subjects)):
                ax.hlines(level, k - 0.42, k + 0.42, color="black", linestyle="--", linewidth=1, label="noise ceiling")
        ax.axhline(0, color=GREY, linewidth=0.6)
        ax.set_xticks(range(len(subjects)), [f"sub-{subject}" for subject in subjects], fontsize=8)
        ax.set_xlim(-0.6, len(subjects) - 0.4)
        ax.set_title(quantity, fontsize=9)
        ax.tick_params(axis="y", labelsize=8)
    legend_below(figure, axes[: len(quantities)], 4)
    return figure


def render_group_page(
    dataset: str,
    title: str,
    scores: pd.DataFrame,
    comparisons: pd.DataFrame | None = None,
    sections: Sequence[Section] = (),
    *,
    controls: Sequence[str] = (),
    notes: Sequence[str] = (),
    confidence: float = 0.95,
    failed_controls: Sequence[FailedControl] = (),
    failures: Sequence[Failure] = (),
    sidecars: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Return the HTML of the group report; everything that came from data is escaped.

    Parameters
    ----------
    dataset, title : str
    scores : DataFrame
        See `brainalign.report.kit.tables.score_table`.
    comparisons : DataFrame, optional
        See `brainalign.report.kit.tables.comparison_table`.
    sections : sequence of Section
        One per modality, usually with the panel of `group_figure`.
    controls : sequence of str
        Models that are controls.
    notes : sequence of str
        What the reader must know about the comparison.
    confidence : float
        Of the intervals in `scores`.
    failed_controls : sequence of FailedControl
        Besides random weights that predict better than a trained network, which `comparisons` tell.
    failures : sequence of Failure
    sidecars : mapping, optional
        Sidecar of every artifact the page draws from, by file name.
    """
    return render(
        "group.html",
        sections,
        failed_controls=[*failed_comparisons(comparisons, controls), *failed_controls],
        dataset=dataset,
        title=title,
        n_subjects=scores["subject"].nunique(),
        table=score_table(scores, controls),
        scores_csv=data_uri(scores.to_csv(index=False).encode(), "text/csv"),
        comparisons="" if comparisons is None or comparisons.empty else comparison_table(comparisons),
        notes=notes,
        table_note=f"In brackets: the {100 * confidence:.0f} % interval of each score. Bold: the largest of its "
        "subject and quantity; whether it is better is said under Comparisons. Grey: random weights, a control.",
        confidence=confidence,
        failures=failures,
        sidecars=sidecars or {},
    )


def failed_comparisons(comparisons: pd.DataFrame | None, controls: Sequence[str]) -> list[FailedControl]:
    """Return models with random weights that predict better than trained ones.

    Parameters
    ----------
    comparisons : DataFrame, optional
        See `brainalign.report.kit.tables.comparison_table`.
    controls : sequence of str
    """
    found = []
    for _, row in (pd.DataFrame() if comparisons is None else comparisons).iterrows():
        sign = 1 if row["low"] > 0 else -1 if row["high"] < 0 else 0
        better, other = (row["model_a"], row["model_b"])[::sign] if sign else ("", "")
        if row["p"] < LEVEL and better in controls and other not in controls:
            found.append(
                FailedControl(
                    f"sub-{row['subject']}: random weights, {better}, predict better than {other}: difference of "
                    f"{row['quantity']}",
                    abs(float(row["difference"])),
                    "What the trained network predicts is no evidence of what it learned.",
                    p=float(row["p"]),
                )
            )
    return found


def render_failed_group(dataset: str, title: str, n_subjects: int, failures: Sequence[Failure]) -> str:
    """Return the HTML of a group report with nothing to show but what failed."""
    return render(
        "group.html",
        [],
        dataset=dataset,
        title=title,
        n_subjects=n_subjects,
        table="",
        scores_csv="",
        comparisons="",
        notes=["Nothing is whole enough to be compared: see Errors."],
        table_note="",
        confidence=0.95,
        failures=failures,
        sidecars={},
    )
