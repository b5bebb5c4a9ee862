"""Trained encoders beside simpler ones, and where they look: figures of what there is, none of what is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from brainalign.checks import BrainalignError
from brainalign.report.encoding_sections import attention_maps, encoder_scores, field_maps, layer_weights
from brainalign.report.kit import NULL

GROUPS = ["V1", "FFA", "PPA"]


def table() -> pd.DataFrame:
    rows = pd.MultiIndex.from_product([["routing", "ridge"], GROUPS], names=["encoder", "group"]).to_frame(index=False)
    rows["r"] = [0.3, 0.4, 0.5, 0.3, 0.1, 0.2]
    return rows.assign(low=rows["r"] - 0.05, high=rows["r"] + 0.05, ceiling_r=0.7, null_low=-0.06, null_high=0.05)


def test_every_encoder_and_region_is_drawn() -> None:
    (ax,) = encoder_scores(table()).axes
    points = {line.get_label(): line.get_ydata().tolist() for line in ax.lines if line.get_marker() == "o"}
    assert points == {"routing": [0.3, 0.4, 0.5], "ridge": [0.3, 0.1, 0.2]}
    assert [label.get_text() for label in ax.get_xticklabels()] == GROUPS
    bands = [band for band in ax.collections if isinstance(band, PolyCollection)]
    assert [to_hex(band.get_facecolor()[0]) for band in bands] == [NULL] * 3
    with pytest.raises(BrainalignError, match="the table of encoders has no column 'ceiling_r'"):
        encoder_scores(table().drop(columns="ceiling_r"))


def test_the_legend_fits_where_there_are_few_regions() -> None:
    names = ["response_optimised", "ridge, all tokens", "ridge, tokens and semantics", "ridge, mean token"]
    rows = pd.DataFrame({"encoder": names, "group": "V1", "r": 0.1, "low": 0.0, "high": 0.2})
    figure = encoder_scores(rows.assign(ceiling_r=0.7, null_low=-0.06, null_high=0.05))
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent().transformed(figure.transFigure.inverted())
    assert 0 <= box.x0 < box.x1 <= 1


def test_attention_lies_over_its_place_in_the_image() -> None:
    fields = np.zeros((2, 3, 6))
    fields[:, :, 4] = 1.0  # the second row, second column of a grid of 2 by 3
    picture = np.full((8, 8, 3), 128, dtype=np.uint8)
    figure = attention_maps(fields, (2, 3), GROUPS, ["a", "b"], {"a": picture})
    assert len(figure.axes) == 6
    assert [len(ax.images) for ax in figure.axes] == [2, 1, 2, 1, 2, 1]  # b has no picture: attention on white
    for ax in figure.axes:
        shown = ax.images[-1].get_array()[..., :3].sum(axis=-1)
        assert np.unravel_index(shown.argmax(), shown.shape) == (1, 1)
        assert tuple(ax.images[-1].get_extent()) == (0, 1, 1, 0)  # row 0 on top, as in the picture
    assert [ax.get_ylabel() for ax in figure.axes[::2]] == GROUPS
    assert [ax.get_title() for ax in figure.axes[:2]] == ["a", "b"]


def test_fields_have_a_panel_each() -> None:
    rng = np.random.default_rng(0)
    figure = field_maps(rng.random((7, 12)), (3, 4), [f"roi{k}" for k in range(7)])
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title() for ax in shown] == [f"roi{k}" for k in range(7)]
    assert all(ax.images[0].get_array().shape == (3, 4, 4) for ax in shown)
    dark = field_maps(np.zeros((1, 4)), (2, 2), ["none"]).axes[0].images[0].get_array()
    assert np.isfinite(dark).all()


def test_many_encoders_can_be_told_apart() -> None:
    """More than there are colours: another marker."""
    rows = pd.concat([table()[:3].assign(encoder=f"encoder{k}") for k in range(10)])
    (ax,) = encoder_scores(rows).axes
    marks = {(line.get_color(), line.get_marker()) for line in ax.lines if line.get_label().startswith("encoder")}
    assert len(marks) == 10


def test_weights_of_layers_fill_a_bar_for_each_region() -> None:
    rows = pd.MultiIndex.from_product([["early", "late"], GROUPS], names=["layer", "group"]).to_frame(index=False)
    rows["weight"] = [0.9, 0.5, 0.0, 0.1, 0.5, 1.0]
    (ax,) = layer_weights(rows).axes
    bars = {bar.get_label(): [(round(b.get_x(), 9), round(b.get_width(), 9)) for b in bar] for bar in ax.containers}
    assert bars == {"early": [(0, 0.9), (0, 0.5), (0, 0.0)], "late": [(0.9, 0.1), (0.5, 0.5), (0, 1.0)]}
    assert [label.get_text() for label in ax.get_yticklabels()] == GROUPS
    with pytest.raises(BrainalignError, match="the table of weights has no column 'weight'"):
        layer_weights(rows.drop(columns="weight"))
