"""What is written of scores on held-out stimuli: a row per target, per group of targets, per permutation, per band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from brainalign.arrays import Responses, Rows, Values
from brainalign.encoding.networks import SeedEnsemble
from brainalign.encoding.scoring.groups import target_columns
from brainalign.encoding.scoring.held_out_scores import HeldOut
from brainalign.regression import Partition
from brainalign.statistics import RELIABLE, fdr, group_means, normalized_r2, permutation_test

METRICS = {
    "r": "Pearson r over test images, responses averaged over repeats",
    "r2": "coefficient of determination over the same",
    "r2_signed": "r times its absolute value",
    "ceiling": "share of the variance of these averages that repeats (variance units, unclamped)",
    "r2_normalized": "r2_signed / ceiling, never clipped",
    "p": "one-sided permutation p: predictions exchanged between test images",
    "p_fwer": "the same against the maximum over targets",
    "q": "Benjamini-Hochberg over the reliable targets of one layer; the others are not tested",
    "control_r": "r after a refit on training responses exchanged between images",
    "cv_r": "r inside the training images; where folds were scored by R², the square root of what is above 0",
}
SPLIT = "what a layer adds to the joint score (product measure: layers sum to it; negative where they correlate)"


def score_table(found: HeldOut, responses: Responses, ceiling: Values, reliable: Rows) -> pd.DataFrame:
    """Return a row per target [and time]: the columns of `METRICS`, alpha and n_test.

    Parameters
    ----------
    found : HeldOut
    responses : Responses
        That were encoded.
    ceiling : array (n_targets,), share of variance
    reliable : array of target numbers
        That q is corrected over.
    """
    values = {
        "r": found.r,
        "r2": found.r2,
        "r2_signed": found.r2_signed,
        "ceiling": ceiling,
        "r2_normalized": normalized_r2(found.r, ceiling),
        "alpha": np.broadcast_to(getattr(found.encoder, "alpha_", np.nan), found.r.shape),
        "p": found.p,
        "p_fwer": found.p_fwer,
        "q": _over(reliable, found.p),
        "control_r": found.control_r,
        "cv_r": _inner(found, as_r=True),
    }
    compact = {name: np.asarray(value, dtype=np.float32) for name, value in values.items()}
    return pd.DataFrame(target_columns(responses) | compact | {"n_test": len(found.test_ids)})


def group_table(found: HeldOut, groups: Mapping[str, Rows], ceiling: Values, confidence: float) -> pd.DataFrame:
    """Return a row per group: mean r with standard error and interval over test images, its null, the refit control.

    `cv_score` is the score inside the training images: what a layer may be chosen by.

    Parameters
    ----------
    found : HeldOut
        Of these groups.
    groups : mapping of arrays of target numbers
    ceiling : array (n_targets,), share of variance
    confidence : float
        Of the intervals.
    """
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(found.group_draws, tails, axis=0)
    r, null = found.group_r, found.group_null
    # Corrected for the choice among groups: the largest group of every permutation. One without a score has no null.
    largest = null[:, ~np.isnan(r)].max(axis=1, initial=-1)
    return pd.DataFrame(
        {
            "group": found.groups,
            "r": r,
            "se": found.group_draws.std(axis=0, ddof=1),
            "low": low,
            "high": high,
            "null_mean": null.mean(axis=0),
            "null_low": np.quantile(null, tails[0], axis=0),
            "null_high": np.quantile(null, tails[1], axis=0),
            "p": permutation_test(r, null),
            "p_fwer": permutation_test(r, largest, correct="max"),
            "control_r": found.control_group_r,
            "ceiling_r": [float(np.sqrt(np.maximum(ceiling[rows], 0)).mean()) for rows in groups.values()],
            "cv_score": group_means(_inner(found), list(groups.values())),
            "n_targets": [len(rows) for rows in groups.values()],
        }
    )


def null_table(results: Mapping[str, HeldOut]) -> pd.DataFrame:
    """Return per layer: largest r of any target and mean r of the reliable ones under permutation; its bootstrap."""
    tables = []
    for layer, found in results.items():
        k = found.groups.index(RELIABLE)
        columns = {"null_r": found.group_null[:, k], "draw_r": found.group_draws[:, k]}
        if found.null is not None:
            columns["null_max_r"] = found.null.max_r
        table = pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})
        tables.append(table.assign(layer=layer, number=np.arange(len(table))))
    return pd.concat(tables, ignore_index=True)


def band_table(parts: Partition, responses: Responses, layers: Sequence[str]) -> pd.DataFrame:
    """Return a row per target and layer: what the layer adds, the same after the refit control, and its share."""
    tables = []
    for k, layer in enumerate(layers):
        values = {"split": parts.split[k], "delta": parts.deltas[k]}
        if parts.control_split is not None:
            values["control_split"] = parts.control_split[k]
        compact = {name: np.asarray(value, dtype=np.float32) for name, value in values.items()}
        tables.append(pd.DataFrame(target_columns(responses) | compact).assign(layer=layer))
    return pd.concat(tables, ignore_index=True)


def _over(reliable: Rows, p: Values) -> Values:
    """Return q over the reliable targets.

    Whether a target repeats is independent of whether features predict it under the null, so choosing targets by their
    ceiling leaves the false discovery rate as it is, and a few hundred permutations suffice.
    """
    q = np.full(len(p), np.nan)
    q[reliable] = fdr(p[reliable])
    return q


def _inner(found: HeldOut, *, as_r: bool = False) -> Values:
    """Return the score inside the training images (n_targets,); NaN where a single penalty left nothing to score."""
    inner = np.full((1, len(found.r)), np.nan)
    squared = False
    if isinstance(found.encoder, SeedEnsemble):
        inner = found.encoder.validation_r_[None]
    elif hasattr(found.encoder, "cv_scores_"):
        inner = np.asarray(found.encoder.cv_scores_)
        squared = getattr(found.encoder, "metric", "r") == "r2"
    best = np.nan_to_num(inner, nan=-np.inf).max(axis=0)
    inside = np.where(np.isfinite(best), best, np.nan)
    return np.sqrt(np.maximum(inside, 0)) if as_r and squared else inside
