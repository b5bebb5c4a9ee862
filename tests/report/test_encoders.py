"""Figures of encoders beside each other: legends that fit, and columns that must be there."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from refusals import refused

from brainalign.report.encoding_sections import contest_scores, context_curves, encoder_scores, layer_weights

GROUPS = ["V1", "FFA", "PPA"]


def test_the_legend_fits_where_there_are_few_regions() -> None:
    names = ["response_optimised", "ridge, all tokens", "ridge, tokens and semantics", "ridge, mean token"]
    rows = pd.DataFrame({"encoder": names, "group": "V1", "r": 0.1, "low": 0.0, "high": 0.2})
    figure = encoder_scores(rows.assign(ceiling_r=0.7, null_low=-0.06, null_high=0.05))
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent().transformed(figure.transFigure.inverted())
    assert 0 <= box.x0 < box.x1 <= 1


@pytest.mark.parametrize(
    ("draw", "columns", "name"),
    [
        (encoder_scores, ("encoder", "group", "r", "low", "high", "null_low", "null_high"), "encoders"),
        (layer_weights, ("group", "layer"), "weights"),
        (context_curves, ("group", "method", "size", "explained_variance", "se", "ceiling"), "curve"),
        (contest_scores, ("region", "family", "r", "low", "high", "ahead"), "contest"),
    ],
)
def test_a_column_that_is_missing_is_named(
    draw: Callable[[pd.DataFrame], object], columns: tuple[str, ...], name: str
) -> None:
    refused(f"{name} has no column", draw, pd.DataFrame(columns=columns))
