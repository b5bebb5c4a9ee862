"""Which layer predicts an area best, and whether that can be decided."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.statistics.resampling import permutation_test

TIE = 1e-6  # mean r closer than this are equal: float32 predictions carry no more
MAX_P, SE_FACTOR = 0.05, 2.0


def layer_preference(
    scores: Values, draws: Values, null: Values, rois: Sequence[str], layers: Sequence[str]
) -> pd.DataFrame:
    """Return the best layer of every area and whether it is decided.

    - best, second: layers of the largest and second largest score. Layers without a score (NaN) do not compete.
    - margin = score(best) − score(second). margin_se = standard deviation over draws of that difference, best and
      second being those of the observed scores. It holds the chance of the test stimuli, not that of the training
      stimuli: two equally good layers are told apart in 5 % of studies, but in 9 % where training is no larger than
      the test.
    - p compares score(best) with the largest score over layers of every permutation, since best was chosen.
    - decided: p <= 0.05 and margin > 2 · margin_se (and no tie). Otherwise `reason` says what failed, and the area is
      left out wherever layers or depths are compared.

    Parameters
    ----------
    scores : array (n_rois, n_layers)
        Mean r over the targets of the area.
    draws : array (n_draws, n_rois, n_layers)
        The same under resampling of test stimuli. One draw must use the same stimuli for all layers (the same seed),
        or the margin is not paired.
    null : array (n_permutations, n_rois, n_layers)
        The same under permutation, likewise paired over layers.
    rois, layers : sequence of str

    Returns
    -------
    DataFrame
        roi, best, second, r, r_second, margin, margin_se, p, decided, reason.
    """
    shape = (len(rois), len(layers))
    if scores.shape != shape or draws.shape[1:] != shape or null.shape[1:] != shape or len(draws) < 2 or not len(null):
        raise BrainalignError(
            f"{len(rois)} areas and {len(layers)} layers need scores {shape}, draws (2 or more, *{shape}) and null "
            f"(1 or more, *{shape}); got {scores.shape}, {draws.shape} and {null.shape}"
        )
    rows = [{"roi": roi} | _prefer(scores[k], draws[:, k], null[:, k], layers) for k, roi in enumerate(rois)]
    return pd.DataFrame(rows)


def _prefer(scores: Values, draws: Values, null: Values, layers: Sequence[str]) -> dict[str, Any]:
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    order = order[~np.isnan(scores[order])]
    row: dict[str, Any] = {"best": "", "second": "", "r": np.nan, "r_second": np.nan}
    row |= {"margin": np.nan, "margin_se": np.nan, "p": np.nan, "decided": False, "reason": "no layer has a score"}
    if not len(order):
        return row
    best = order[0]
    largest = np.nan_to_num(null[:, order], nan=0.0).max(axis=1)  # a permutation without a score found no relation
    row |= {"best": layers[best], "r": float(scores[best]), "p": float(permutation_test(scores[best], largest))}
    reasons = [] if row["p"] <= MAX_P else [f"r is not above its permuted null (p = {row['p']:.3g})"]
    if len(order) == 1:
        return row | {"reason": "; ".join([*reasons, "no second layer to compare with"])}
    second = order[1]
    margin = float(scores[best] - scores[second])
    error = float(np.nanstd(draws[:, best] - draws[:, second], ddof=1))
    if not (margin > SE_FACTOR * error and margin > TIE):
        reasons.append(f"best layer does not beat the second by more than {SE_FACTOR:g} SE")
    row |= {"second": layers[second], "r_second": float(scores[second]), "margin": margin, "margin_se": error}
    return row | {"decided": not reasons, "reason": "; ".join(reasons)}
