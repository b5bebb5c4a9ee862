"""When each layer of a network fits M/EEG best, and whether later layers do so later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from brainalign.arrays import Values
from brainalign.encoding.convergence.layer_nulls import against_layers, identical_layers
from brainalign.statistics import score_latency

MIN_LAYERS = 3


def layer_latencies(
    course: Values,
    draws: Values,
    null: Values,
    times_s: Values,
    layers: Sequence[str],
    *,
    window_s: tuple[float, float] = (0.0, np.inf),
    se_factor: float = 2.0,
    max_p: float = 0.05,
) -> pd.DataFrame:
    """Return the time of the largest score of every layer, with its interval, and whether it is decided.

    Parameters
    ----------
    course : array (n_layers, n_times)
        Mean r over sensors; NaN: the layer predicts nothing.
    draws, null : arrays (n, n_layers, n_times)
        The same under resampling and under permutation of test stimuli.
    times_s : array (n_times,), ascending
    layers : sequence of str
    window_s : (start, stop)
        In which latencies are looked for.
    se_factor, max_p : float
        Of the gates of `score_latency`.

    Returns
    -------
    DataFrame
        layer, number, latency_s, latency_low_s, latency_high_s, peak_r, p, decided, reason.
    """
    rows = []
    for k, layer in enumerate(layers):
        row: dict[str, object] = {"layer": layer, "number": k, "latency_s": np.nan, "decided": False}
        if not np.isfinite(course[k]).all():
            row |= {"reason": "no score: predictions or responses are constant"}
        else:
            found = score_latency(
                course[k], draws[:, k], null[:, k], times_s, window=window_s, se_factor=se_factor, max_p=max_p
            )
            row |= {"latency_s": found.peak, "latency_low_s": found.peak_low, "latency_high_s": found.peak_high}
            row |= {"peak_r": found.peak_score, "p": found.p, "decided": found.decided, "reason": found.reason}
        rows.append(row)
    return pd.DataFrame(rows)


def temporal_score(course: Values, times_s: Values, latencies: pd.DataFrame, orders: Values) -> dict[str, object]:
    """Correlate the number of each decided layer with its latency.

    Times that differ by one sample only are not resolved, and give no score.

    Parameters
    ----------
    course : array (n_layers, n_times)
    times_s : array (n_times,)
    latencies : DataFrame
        From `layer_latencies`.
    orders : array (n_orders, n_layers)
        From `layer_orders`: the null.

    Returns
    -------
    dict
        value, n, p_layers; or n and the reason why there is no value.

    References
    ----------
    Raugel J et al. (2025). Disentangling the factors of convergence between brains and computer vision models.
    arXiv:2508.18226
    """
    decided = np.flatnonzero(latencies["decided"])
    times = latencies["latency_s"].to_numpy()[decided]
    if identical_layers(course):
        return {"n": len(decided), "reason": "the layers have the same scores at every time: they cannot be told apart"}
    if len(decided) < MIN_LAYERS:
        return {
            "n": len(decided),
            "reason": f"{len(decided)} of {len(latencies)} layers have a decided latency; a temporal score needs 3",
        }
    if np.ptp(times) < 1.5 * np.diff(times_s).max():
        return {"n": len(decided), "reason": "the latency is the same, to one sample, for every decided layer"}
    return against_layers(np.eye(len(latencies))[decided], times, orders)
