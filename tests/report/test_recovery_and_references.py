"""Planted against recovered, and networks against reference RDMs: counts, verdicts and bands follow from the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brainalign.checks import BrainalignError
from brainalign.report import (
    layer_curves,
    mds_categories,
    planted_ceilings,
    planted_latencies,
    planted_layers,
    planted_preferences,
    rdm_grid,
    reference_bars,
)
from brainalign.report.geometry_sections import RANDOM_COLUMNS
from brainalign.report.kit import COLOURS, picture_bytes
from brainalign.report.pages import mds_points, score_against_ceiling

LAYERS = [f"block{k}" for k in range(5)]
CATEGORIES = np.repeat(["face", "body", "natural", "artificial"], [24, 24, 23, 21])


def planted() -> pd.DataFrame:
    rows = [
        (f"area{k}", LAYERS[k], LAYERS[k if k != 2 else 3], k / 4, (k if k != 2 else 3) / 4, True, "") for k in range(5)
    ]
    rows.append(("noise", "block4", "block0", 1.0, 0.0, False, "at its permuted null"))
    names = ["area", "planted", "recovered", "planted_depth", "recovered_depth", "decided", "reason"]
    return pd.DataFrame(rows, columns=names)


def test_undecided_areas_are_counted_and_left_out() -> None:
    counts, depths = planted_layers(planted(), LAYERS).axes
    assert counts.get_title() == "exact in 4 of 5 decided"
    assert np.asarray(counts.images[0].get_array()).sum() == 5
    assert "undecided: 1 of 6 areas\n(at its permuted null)" in depths.get_title()
    assert "Spearman 0.97 over 5 areas" in depths.get_title()
    assert len(depths.collections[0].get_offsets()) == 5
    assert "noise" not in [text.get_text() for text in depths.texts]


def test_a_constant_recovery_has_no_rank_correlation() -> None:
    figure = planted_layers(planted().assign(recovered_depth=0.5))
    assert len(figure.axes) == 1
    assert "no rank correlation: 5 areas with a constant depth" in figure.axes[0].get_title()


@pytest.mark.parametrize(("sample_ms", "inside"), [(4.0, 3), (20.0, 4)])
def test_latencies_are_judged_by_the_larger_of_12_ms_and_a_sample(sample_ms: float, inside: int) -> None:
    error = np.array([0, -11, 12, 15, 40, 0])
    rows = pd.DataFrame({"layer": list("abcdef"), "planted_ms": np.arange(6) * 25 + 80.0, "reason": "no cluster"})
    rows["recovered_ms"] = rows["planted_ms"] + error
    rows = rows.assign(low_ms=rows["recovered_ms"] - 5, high_ms=rows["recovered_ms"] + 5, decided=np.arange(6) < 5)
    title = planted_latencies(rows, sample_ms).axes[0].get_title()
    assert f"{inside} of 5 decided within {max(12, sample_ms):g} ms" in title
    assert "undecided: 1 of 6 latencies" in title


def test_ceilings_outside_the_tolerance_change_colour() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"planted": np.repeat([0, 0.05, 0.1, 0.3, 0.6], 800)})
    rows["ceiling"] = rows["planted"] + rng.normal(0, 0.03, len(rows)) + np.where(rows["planted"] == 0.3, 0.05, 0)
    left, right = planted_ceilings(rows).axes
    marks = {round(c.lines[0].get_xdata()[0], 2): c.lines[0] for c in right.containers}
    assert list(marks) == [0, 0.05, 0.1, 0.3, 0.6]
    assert [level for level, mark in marks.items() if mark.get_color() == COLOURS[5]] == [0.3]
    assert marks[0.3].get_ydata()[0] == pytest.approx(0.05, abs=0.005)
    assert right.get_title() == "800 targets per planted level"
    assert min(line.get_ydata().min() for line in left.lines) < 0  # not clamped


def test_preferences_are_counted() -> None:
    rows = planted().replace({"recovered": {"block3": "block9"}})
    ax = planted_preferences(rows).axes[0]
    assert "exact in 3 of 5 decided" in ax.get_title()
    assert [label.get_text() for label in ax.get_xticklabels()][-1] == "block9"  # found though never planted


def fits() -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, random = [], []
    for reference, ceiling in (("human IT", (0.378, 0.669)), ("monkey IT", (np.nan, np.nan))):
        for model in ("effnet", "vit"):
            for k, layer in enumerate(LAYERS):
                best = model == "vit" and k == 4
                rows.append((reference, model, layer, 0.15 + 0.05 * k, 0.02, *ceiling, best, 0.01 if best else np.nan))
                if model == "effnet":
                    random.append((reference, model, layer, 0.09, 0.02, 10))
    names = ["reference", "model", "layer", "score", "se", "ceiling_low", "ceiling_high", "best", "p_max"]
    return pd.DataFrame(rows, columns=names), pd.DataFrame(random, columns=RANDOM_COLUMNS)


def test_no_layer_is_called_best_without_the_maximum_statistic() -> None:
    rows, random = fits()
    figure = layer_curves(rows, random)
    for ax in figure.axes:
        assert ax.texts[0].get_text() == "effnet: no layer is called best\nvit: best block4"
        assert sum(line.get_marker() == "*" for line in ax.lines) == 1
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "random weights, mean ± sd of 10" in labels
    assert "noise ceiling" in labels
    alone = layer_curves(rows[rows["model"] == "effnet"]).axes[0]
    assert [label.get_text() for label in alone.get_xticklabels()] == LAYERS


def test_bars_have_ceilings_only_where_there_are_several_rdms() -> None:
    rows, random = fits()
    figure = reference_bars(rows, random)
    human, monkey = figure.axes
    widths = [bar.get_width() for bar in human.patches[1:]]  # the first patch is the ceiling
    np.testing.assert_allclose(widths, rows[rows["reference"] == "human IT"]["score"])
    assert len(monkey.patches) == len(widths) == 10
    assert human.get_yticklabels()[0].get_text() == "effnet block0"
    diamonds = [c for c in human.containers if hasattr(c, "has_xerr") and c.has_xerr]
    assert len(diamonds) == 5
    assert figure.get_figwidth() * figure.dpi <= 1000
    assert len(picture_bytes(figure)) <= 200_000


def world() -> np.ndarray:
    """Return the distances of 92 conditions that cluster by category."""
    rng = np.random.default_rng(0)
    codes = np.unique(CATEGORIES, return_inverse=True)[1]
    points = np.eye(4)[codes] * 3 + rng.normal(size=(92, 4)) * 0.4
    return np.linalg.norm(points[:, None] - points, axis=2)[np.triu_indices(92, 1)]


def test_rdms_are_grouped_by_category() -> None:
    pairs = world()
    shuffled = np.random.default_rng(1).permutation(92)
    square = np.zeros((92, 92))
    square[np.triu_indices(92, 1)] = pairs
    square += square.T
    mixed = square[np.ix_(shuffled, shuffled)][np.triu_indices(92, 1)]
    figure = rdm_grid({"a": mixed, "b": mixed, "c": mixed, "d": mixed}, CATEGORIES[shuffled])
    ax = figure.axes[0]
    drawn = np.asarray(ax.images[0].get_array())
    assert drawn.shape == (92, 92)
    assert (drawn.min(), drawn.max()) == (0, 1)  # ranks
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert sorted(names) == sorted(set(CATEGORIES))
    sizes = [int((name == CATEGORIES).sum()) for name in names]
    first = drawn[: sizes[0], : sizes[0]]
    assert first.mean() < 0.2 < 0.5 < drawn[: sizes[0], sizes[0] :].mean()  # a dark block on the diagonal
    assert ax.get_xticks()[0] == pytest.approx((sizes[0] - 1) / 2)
    assert len(picture_bytes(figure)) <= 200_000
    with pytest.raises(BrainalignError, match="has 10 pairs but 92 categories make 4186"):
        rdm_grid({"a": pairs[:10]}, CATEGORIES)


def test_the_arrangement_has_a_colour_per_category() -> None:
    ax = mds_categories(mds_points(world() ** 2, 92), CATEGORIES).axes[0]
    assert [len(part.get_offsets()) for part in ax.collections] == [24, 24, 23, 21]
    assert len({tuple(part.get_facecolor()[0]) for part in ax.collections}) == 4
    assert ax.get_legend().get_texts()[0].get_text() == "face (24)"


def test_scores_above_their_ceiling_are_marked_and_counted() -> None:
    scores = pd.DataFrame({"ceiling": [0.05, 0.2, 0.4, 0.6, 0.5], "r2_signed": [0.3, 0.25, 0.1, 0.7, 0.5]})
    figure = score_against_ceiling(scores, 0.1)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "above the ceiling: 2 of 4" in labels  # the first has no reliable ceiling, the last lies on the line
    marked = next(line for line in figure.axes[0].lines if line.get_marker() == "^")
    np.testing.assert_array_equal(marked.get_ydata(), [0.25, 0.7])
