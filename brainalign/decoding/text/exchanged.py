"""Which channels and times a decoder rests on: what is lost when they are those of other trials."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.decoding.training import Trials
from brainalign.statistics import permute_within

MOST_TRIALS = 300  # a random sample of more


def exchange_relevance(
    embed: Callable[[Values, pd.DataFrame], Values],
    test: Trials,
    *,
    n_windows: int = 8,
    n_draws: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Exchange one channel in one window among the trials of each subject, and see how much similarity is lost.

    It asks the same of every decoder, linear or not. A channel whose content others repeat loses little, however much
    it knows: this is what a decoder uses, not where the brain holds the meaning.

    Parameters
    ----------
    embed : callable
        (signals, table of trials) to vectors (n_trials, n_dimensions).
    test : Trials
    n_windows : int
        Of equal length; the last takes what is left over.
    n_draws : int
        Exchanges, over which the loss is averaged.
    seed : int

    Returns
    -------
    DataFrame
        A row per channel and window: channel, start, stop (samples), loss (fall of the mean cosine of decoded and true
        vectors), share (of the mean cosine without exchanges).

    Raises
    ------
    BrainalignError
        If there are fewer samples than windows.

    References
    ----------
    Breiman L (2001). Random forests. Machine Learning 45:5-32. doi:10.1023/A:1010933404324
    """
    n_times = test.signals.shape[2]
    if not 1 <= n_windows <= n_times:
        raise BrainalignError(f"{n_windows} windows of {n_times} samples; give 1 to {n_times}")
    rng = np.random.default_rng(seed)
    if len(test.meta) > MOST_TRIALS:
        test = test.select(np.sort(rng.choice(len(test.meta), MOST_TRIALS, replace=False)))
    groups = pd.factorize(test.meta["subject"])[0]
    edges = np.linspace(0, n_times, n_windows + 1).astype(int)
    whole = _similarity(embed(test.signals, test.meta), test.targets)
    rows = []
    for channel in range(test.signals.shape[1]):
        for start, stop in pairwise(edges):
            found = []
            for order in permute_within(groups, n_draws, rng):
                signals = np.array(test.signals)
                signals[:, channel, start:stop] = test.signals[order, channel, start:stop]
                found.append(_similarity(embed(signals, test.meta), test.targets))
            loss = whole - float(np.mean(found))
            share = loss / whole if whole > 0 else np.nan
            rows.append({"channel": channel, "start": start, "stop": stop, "loss": loss, "share": share})
    return pd.DataFrame(rows)


def _similarity(a: Values, b: Values) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / np.where(norms > 0, norms, 1)).mean())
