"""Noise ceilings: how much of a target's variance repeats. Always on the variance (r²) scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.statistics.scores import pearson

__all__ = ["noise_ceiling", "spearman_brown", "split_half_reliability"]

Values = NDArray[np.floating[Any]]


def spearman_brown(reliability: Values, factor: float) -> Values:
    """Return the reliability of averages over `factor` times as many repeats: k·ρ / (1 + (k − 1)·ρ).

    References
    ----------
    Spearman C (1910). Correlation calculated from faulty data. British Journal of Psychology 3:271-295.
    Brown W (1910). Some experimental results in the correlation of mental abilities. ibid. 3:296-322.
    """
    return np.asarray(factor * reliability / (1 + (factor - 1) * reliability))


def split_half_reliability(repeats: Values, n_halvings: int = 200, seed: int = 0) -> Values:
    """Return the correlation over stimuli between averages of two halves of the repeats.

    Averaged over random halvings; with an odd number of repeats each halving leaves one out. This is the reliability
    of an average over n_repeats // 2 repeats, and unclamped: without any signal it averages 0.

    Parameters
    ----------
    repeats : array (n_repeats, n_stimuli, n_targets)
    n_halvings : int
    seed : int

    Returns
    -------
    array (n_targets,)

    Raises
    ------
    BrainalignError
        With fewer than 2 repeats or 3 stimuli.
    """
    n_repeats, n_stimuli = repeats.shape[:2]
    if n_repeats < 2 or n_stimuli < 3:
        raise BrainalignError(
            f"a split-half ceiling needs 2 repeats of 3 stimuli; got {n_repeats} repeats of {n_stimuli}"
        )
    rng = np.random.default_rng(seed)
    half = n_repeats // 2
    total = np.zeros(repeats.shape[2])
    for _ in range(n_halvings):
        order = rng.permutation(n_repeats)
        total += pearson(repeats[order[:half]].mean(axis=0), repeats[order[half : 2 * half]].mean(axis=0))
    return total / n_halvings


def noise_ceiling(repeats: Values, n_averaged: int = 1, n_halvings: int = 200, seed: int = 0) -> Values:
    """Return the share of variance that repeats in responses averaged over `n_averaged` repeats.

    Split-half reliability, scaled to `n_averaged` repeats by Spearman-Brown. It is a variance: divide r² by it, or r
    by its square root. Unclamped, so that targets without signal average 0; negative reliabilities, which only
    noise gives, are scaled like positive ones, because the formula has a pole among them.

    Parameters
    ----------
    repeats : array (n_repeats, n_stimuli, n_targets)
    n_averaged : int
        Repeats behind each response that is scored: 1 when the test set has single trials.
    n_halvings, seed : int

    Returns
    -------
    array (n_targets,)
    """
    reliability = split_half_reliability(repeats, n_halvings, seed)
    return np.sign(reliability) * spearman_brown(np.abs(reliability), n_averaged / (repeats.shape[0] // 2))
