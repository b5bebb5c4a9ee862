"""Headline numbers of one subject: each with its interval, its chance level, its null and what it is a mean of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from brainalign.statistics.resampling import MIN_UNITS, cross_validated_interval, permutation_test

Row = dict[str, Any]

# By how a quantity is called: the column of the null that it is held against.
NULLS = {
    "identification": "accuracy",
    "pair matching": "accuracy",
    "share of targets with r": "share_good",
    "largest r": "max_r",
}


@dataclass(frozen=True)
class Encoding:
    """What the encode stage left for one model and method: rows per target, test item, permutation, layer, region."""

    scores: pd.DataFrame
    identification: pd.DataFrame
    null: pd.DataFrame
    partition: pd.DataFrame = field(default_factory=pd.DataFrame)
    profile: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class SplitInfo:
    """What a split leaves out, and how many test rows there are per training row (NaN where folds overlap)."""

    leave_out: str
    test_share: float


def _mean_over_folds(scores: "pd.Series[float]", test_share: float, confidence: float) -> tuple[float, float, float]:
    """Return mean and interval; none where folds overlap (test_share NaN) or are too few."""
    if np.isnan(test_share) or len(scores) < MIN_UNITS:
        return float(scores.mean()), np.nan, np.nan
    interval = cross_validated_interval(scores.to_numpy(), test_share, confidence)
    return interval.mean, max(interval.low, 0.0), min(interval.high, 1.0)  # of accuracies, where t knows no ends


def summarize_encoding(
    encoding: Encoding, splits: Mapping[str, SplitInfo], *, good_r: float, confidence: float, q: float
) -> list[Row]:
    """Return rows (quantity, value, low, high, chance, null_mean, null_95, p, n) for every split and layer.

    Parameters
    ----------
    encoding : Encoding
    splits : mapping of SplitInfo by name
    good_r : float
        The share of targets above it is reported; the null has the share of every permutation.
    confidence : float
        Of the intervals over folds. Pairs of left-out stimuli overlap, so their mean has a permutation null but no
        interval.
    q : float
        False discovery rate.
    """
    rows = []
    for (split, layer), items in encoding.identification.groupby(["split", "layer"], sort=False):
        labels = {"split": split, "layer": layer}
        null = encoding.null[(encoding.null["split"] == split) & (encoding.null["layer"] == layer)]
        if splits[str(split)].leave_out == "run":
            share = splits[str(split)].test_share
            of_folds = items.groupby("fold")["correct"].agg(["mean", "size"])
            value, low, high = _mean_over_folds(of_folds["mean"], share, confidence)
            chance = float((1 / of_folds["size"]).mean())  # one of the stimuli of a held-out run
            ends = {"low": low, "high": high}
            rows.append(labels | _row("identification", value, len(items), null["accuracy"], **ends, chance=chance))
        else:
            row = _row("pair matching", items["correct"].mean(), len(items), null["accuracy"], chance=0.5)
            rows.append(labels | row)
        scores = encoding.scores[(encoding.scores["split"] == split) & (encoding.scores["layer"] == layer)]
        if len(scores):  # none of pairs of stimuli
            rows += [labels | row for row in _target_rows(scores, null, good_r, q)]
    return rows


def _row(
    quantity: str,
    value: float,
    n: int,
    null: "pd.Series[float] | None" = None,
    *,
    low: float = np.nan,
    high: float = np.nan,
    chance: float = np.nan,
) -> Row:
    row: Row = {"quantity": quantity, "value": value, "low": low, "high": high, "chance": chance, "n": n}
    if null is None or not len(null):
        return row | {"null_mean": np.nan, "null_95": np.nan, "p": np.nan, "n_null": 0}
    return row | {
        "null_mean": null.mean(),
        "null_95": null.quantile(0.95),
        "p": float(permutation_test(np.asarray(value), null.to_numpy())),
        "n_null": len(null),
    }


def _target_rows(scores: pd.DataFrame, null: pd.DataFrame, good_r: float, q: float) -> list[Row]:
    """Summarise a table of scores over targets."""
    n, r = len(scores), scores["r"]
    reliable = scores[scores["reliable"]]
    rows = [
        _row(f"share of targets with r > {good_r:g}", (r > good_r).mean(), n, null["share_good"]),
        _row("largest r", r.max(), n, null["max_r"]),
        _row("median r", r.median(), n, chance=0.0),
        _row("mean r2_normalized of reliable targets", reliable["r2_normalized"].mean(), len(reliable), chance=0.0),
    ]
    if scores["q"].notna().any():
        rows.append(_row(f"share of targets at q < {q:g} (FDR)", (scores["q"] < q).mean(), n))
        rows.append(_row("share of targets at p < 0.05 (family-wise)", (scores["p_fwer"] < 0.05).mean(), n))
    return rows


def summarize_over_layers(rows: list[Row], null: pd.DataFrame) -> list[Row]:
    """Return one row per split and quantity of a fit of several layers: their mean, its p, their range as low and high.

    For wordings of a text or draws of a random space the spread over layers is the result. All layers saw the same
    permutations, so that their mean under each of these is the null of their mean. `rows` are as `summarize_encoding`
    returns them for one fit, `null` is `Encoding.null` of this fit.
    """
    pooled = []
    for (split, quantity), part in pd.DataFrame(rows).groupby(["split", "quantity"], sort=False):
        if len(part) > 1:
            values, draws = part["value"], null[null["split"] == split]
            column = next((name for start, name in NULLS.items() if str(quantity).startswith(start)), None)
            means = draws.groupby("permutation")[column].mean() if column else None
            ends = {"low": values.min(), "high": values.max(), "chance": part["chance"].iloc[0]}
            row = _row(str(quantity), values.mean(), len(part), means, **ends)
            pooled.append({"split": split, "layer": "all"} | row | {"sd": values.std(ddof=1)})
    return pooled


def summarize_decoding(decoding: pd.DataFrame, splits: Mapping[str, SplitInfo], confidence: float) -> list[Row]:
    """Return the accuracy of the linear classifier of each split, with its interval over folds."""
    rows = []
    for split, table in decoding.groupby("split", sort=False):
        value, low, high = _mean_over_folds(table["accuracy"], splits[str(split)].test_share, confidence)
        row = _row("classification", value, len(table), low=low, high=high, chance=table["chance"].iloc[0])
        rows.append({"model": "none", "method": "logistic", "split": split, "layer": ""} | row)
    return rows
