from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from scipy.stats import spearmanr

from brainalign.statistics import layer_preference, recovered_depth

LAYERS = ["a", "b", "c", "d"]


def preference(scores: np.ndarray, noise: float = 0.01, null: float = 0.02, **options: float):
    rng = np.random.default_rng(0)
    draws = scores + noise * rng.normal(size=(400, *scores.shape))
    null_r = null * rng.normal(size=(199, *scores.shape))
    rois = [f"area{k}" for k in range(len(scores))]
    return layer_preference(scores, draws, null_r, rois, LAYERS[: scores.shape[1]], **options)


def test_definitions_by_hand() -> None:
    scores = np.array(
        [[0.1, 0.5, 0.4, 0.2], [0.30, 0.31, 0.1, 0.0], [0.01, 0.0, -0.02, 0.005], [0.0, 0.4, np.nan, 0.1]]
    )
    table = preference(scores).set_index("roi")
    same = np.array([[0.5, 0.5 - 1e-9]])  # a layer and its copy
    assert not preference(same, noise=1e-12)["decided"][0]
    assert table["best"].tolist() == ["b", "b", "a", "b"]
    assert table["second"].tolist() == ["c", "a", "d", "d"]
    np.testing.assert_allclose(table["r"], [0.5, 0.31, 0.01, 0.4])
    np.testing.assert_allclose(table["r_second"], [0.4, 0.3, 0.005, 0.1])
    np.testing.assert_allclose(table["margin"], [0.1, 0.01, 0.005, 0.3])
    np.testing.assert_allclose(table["margin_se"], 0.01 * np.sqrt(2), rtol=0.15)
    assert table["decided"].tolist() == [True, False, False, True]
    assert table.loc["area1", "reason"] == "best layer does not beat the second by more than 2 SE"
    assert table.loc["area2", "reason"].startswith("r is not above its permuted null (p = ")
    assert table.loc["area0", "p"] == 1 / 200
    assert table["decided"].dtype == bool
    rivals = {"se_factor": 0.5, "max_p": 0.9}  # what decides is asked for: half a standard error, nine in ten
    assert preference(scores, **rivals)["decided"].tolist() == [True, True, False, True]
    assert "more than 0.5 SE" in preference(scores, **rivals).loc[2, "reason"]


def test_paired_draws_decide_what_unpaired_ones_could_not() -> None:
    scores = np.array([[0.4, 0.37]])
    shared = 0.1 * np.random.default_rng(2).normal(size=(300, 1, 1))
    null = np.zeros((99, 1, 2))
    assert layer_preference(scores, scores + shared, null, ["V1"], ["a", "b"])["decided"].tolist() == [True]
    unpaired = scores + 0.1 * np.random.default_rng(3).normal(size=(300, 1, 2))
    assert layer_preference(scores, unpaired, null, ["V1"], ["a", "b"])["decided"].tolist() == [False]


def test_one_layer_and_none() -> None:
    table = preference(np.array([[0.5], [np.nan]]))
    assert table["decided"].tolist() == [False, False]
    assert table["reason"].tolist() == ["no second layer to compare with", "no layer has a score"]
    assert table["best"].tolist() == ["a", ""]
    np.testing.assert_allclose(table["p"], [1 / 200, np.nan])
    np.testing.assert_allclose(table["r"], [0.5, np.nan])
    weak = preference(np.array([[0.0]]), max_p=0.001)
    assert weak.loc[0, "reason"].endswith("; no second layer to compare with")
    for shapes in (
        [(2, 3), (3, 2, 4), (3, 2, 4)],
        [(2, 4), (3, 2, 3), (3, 2, 4)],
        [(2, 4), (1, 2, 4), (3, 2, 4)],
        [(2, 4), (3, 2, 4), (3, 1, 4)],
        [(2, 4), (3, 2, 4), (0, 2, 4)],
    ):
        refused(r"got \(2, [34]\)", layer_preference, *map(np.zeros, shapes), ["V1", "V2"], LAYERS)


def test_recovered_depth() -> None:
    planted = {"V1": "a", "V2": "b", "V4": "c", "IT": "d", "FFA": "d"}
    found = recovered_depth(planted, {"V1": "a", "V2": "a", "V4": "d", "IT": "b", "FFA": None}, LAYERS)
    assert (found.exact, found.adjacent) == (0.25, 0.75)
    assert (found.n_decided, found.n_undecided) == (4, 1)
    assert found.spearman == pytest.approx(spearmanr([0, 1, 2, 3], [0, 0, 3, 1]).statistic)
    assert found.reason == ""


def test_undefined_depths_have_a_reason() -> None:
    planted = {"V1": "a", "V4": "c", "IT": "d"}
    constant = recovered_depth(planted, dict.fromkeys(planted, "d"), LAYERS)
    assert np.isnan(constant.spearman)
    assert constant.reason == "the best layer is the same in every decided area"
    assert constant.exact == pytest.approx(1 / 3)
    few = recovered_depth(planted, {"V1": "a", "V4": ""}, LAYERS)
    assert np.isnan(few.spearman)
    assert few.reason == "1 decided area(s): a rank correlation needs 3"
    nothing = recovered_depth(planted, {}, LAYERS)
    assert np.isnan(nothing.exact)
    assert nothing.n_undecided == 3
    flat = recovered_depth(dict.fromkeys("xyz", "a"), {"x": "a", "y": "b", "z": "c"}, LAYERS)
    assert flat.reason == "the planted layer is the same in every decided area"
    assert (flat.exact, flat.adjacent) == pytest.approx((1 / 3, 2 / 3))
    refused("planted layer", recovered_depth, {"V1": "q"}, {}, LAYERS)
    refused("recovered layer", recovered_depth, {"V1": "a"}, {"V1": "q"}, LAYERS)
    refused("2 different layers", recovered_depth, {"V1": "a"}, {}, ["a"])
    refused("2 different layers", recovered_depth, {"V1": "a"}, {}, ["a", "b", "a"])
