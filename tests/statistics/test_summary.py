from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brainalign.statistics.summary import (
    Encoding,
    SplitInfo,
    summarize_decoding,
    summarize_encoding,
    summarize_over_layers,
)


@pytest.fixture
def encoding() -> Encoding:
    rng = np.random.default_rng(0)
    layers = ["a", "b"]
    scores = pd.concat(
        pd.DataFrame(
            {
                "target_id": [f"v{k}" for k in range(10)],
                "r": np.linspace(-0.2, 0.7, 10),
                "ceiling": [0.05] * 5 + [0.5] * 5,
                "r2_normalized": [9.0] * 5 + [0.2, 0.3, 0.4, 0.5, 0.6],
                "q": [0.5] * 6 + [0.01] * 4,
                "p_fwer": [0.5] * 8 + [0.01] * 2,
            }
        ).assign(split="runs", layer=layer)
        for layer in layers
    )
    runs = [
        pd.DataFrame({"fold": np.repeat(range(6), 4), "item": "x", "chosen": "x", "correct": [1, 1, 1, k] * 6}).assign(
            split="runs", layer=layer
        )
        for k, layer in enumerate(layers)
    ]
    pairs = [
        pd.DataFrame({"fold": range(6), "item": "x|y", "chosen": "", "correct": [1, 1, 1, 0, 0.5, 0.5]}).assign(
            split="pairs", layer=layer
        )
        for layer in layers
    ]
    null = pd.DataFrame(
        {
            "permutation": range(99),
            "accuracy": rng.uniform(0.2, 0.3, 99),
            "share_good": 0.1,
            "max_r": 0.5,
            "split": "runs",
            "layer": "a",
        }
    )
    return Encoding(scores, pd.concat([*runs, *pairs]), null)


def rows_of(encoding: Encoding) -> pd.DataFrame:
    rows = summarize_encoding(
        encoding,
        {"runs": SplitInfo("run", 0.2), "pairs": SplitInfo("stimulus", np.nan)},
        good_r=0.3,
        confidence=0.95,
        q=0.05,
        ceiling_threshold=0.1,
    )
    return pd.DataFrame(rows)


def test_every_number_stands_beside_its_controls(encoding: Encoding) -> None:
    rows = rows_of(encoding).set_index(["split", "layer", "quantity"]).sort_index()
    found = rows.loc[("runs", "a", "identification")]
    assert found["value"] == 0.75
    assert found["chance"] == 0.25
    assert found["null_mean"] == pytest.approx(0.25, abs=0.01)
    assert found["p"] == 0.01
    assert found["n_null"] == 99
    assert rows.loc[("runs", "b", "identification"), "n_null"] == 0
    assert np.isnan(rows.loc[("runs", "b", "identification"), "p"])
    assert rows.loc[("runs", "a", "share of targets with r > 0.3"), "value"] == pytest.approx(0.4)
    assert rows.loc[("runs", "a", "share of targets with r > 0.3"), "null_mean"] == pytest.approx(0.1)
    assert rows.loc[("runs", "a", "largest r"), "p"] == 0.01
    assert rows.loc[("runs", "a", "share of targets at q < 0.05 (FDR)"), "value"] == 0.4
    assert rows.loc[("runs", "a", "share of targets at p < 0.05 (family-wise)"), "value"] == 0.2
    pairs = rows.loc[("pairs", "a", "pair matching")]
    assert pairs["value"] == pytest.approx(4 / 6)
    assert pairs["chance"] == 0.5
    assert np.isnan(pairs["low"])  # pairs share stimuli: no interval


def test_unreliable_targets_do_not_enter_normalised_means(encoding: Encoding) -> None:
    rows = rows_of(encoding)
    row = rows[rows["quantity"] == "mean r2_normalized of targets with ceiling > 0.1"].iloc[0]
    assert row["value"] == pytest.approx(0.4)
    assert row["n"] == 5


def test_the_interval_is_over_runs(encoding: Encoding) -> None:
    varied = encoding.identification.copy()
    varied.loc[varied["fold"] == 0, "correct"] = 0.0
    row = rows_of(Encoding(encoding.scores, varied, encoding.null)).iloc[0]
    assert row["low"] < row["value"] < row["high"]
    assert row["value"] == pytest.approx(0.625)


def test_the_mean_over_layers_is_a_row_of_its_own(encoding: Encoding) -> None:
    rows = rows_of(encoding).to_dict("records")
    pooled = pd.DataFrame(summarize_over_layers(rows, encoding.null)).set_index(["split", "quantity"])
    found = pooled.loc[("runs", "identification")]
    assert (found["value"], found["low"], found["high"], found["n"]) == (0.875, 0.75, 1.0, 2)
    assert found["sd"] == pytest.approx(np.std([0.75, 1.0], ddof=1))
    assert found["p"] == 0.01
    assert np.isnan(pooled.loc[("pairs", "pair matching"), "p"])  # which has no null here


def test_the_null_of_the_mean_over_layers_is_of_layers_permuted_together(encoding: Encoding) -> None:
    """Layers that permutations move together have means that vary as much as each of them does."""
    rows = rows_of(encoding).to_dict("records")
    together = pd.concat([encoding.null.assign(layer=name, accuracy=np.linspace(0, 0.95, 99)) for name in "ab"])
    apart = pd.concat([together[:99], together[99:].assign(accuracy=np.linspace(0.95, 0, 99))])
    found = [
        next(row for row in summarize_over_layers(rows, null) if row["quantity"] == "identification")
        for null in (together, apart)
    ]
    assert found[0]["p"] == pytest.approx((1 + (np.linspace(0, 0.95, 99) >= 0.875).sum()) / 100)
    assert found[1]["p"] == 0.01
    assert [row["null_95"] for row in found] == [pytest.approx(0.9025), pytest.approx(0.475)]


def test_classification_has_its_chance() -> None:
    table = pd.DataFrame(
        {"split": "runs", "fold": range(6), "accuracy": [0.5, 0.7, 0.6, 0.8, 0.9, 0.7], "chance": 0.25}
    )
    (row,) = summarize_decoding(table, {"runs": SplitInfo("run", 0.2)}, 0.95)
    assert row["value"] == pytest.approx(0.7)
    assert row["chance"] == 0.25
    assert row["low"] < 0.7 < row["high"]
    (overlapping,) = summarize_decoding(table, {"runs": SplitInfo("run", np.nan)}, 0.95)
    assert np.isnan(overlapping["low"])  # folds that share test rows are no sample
