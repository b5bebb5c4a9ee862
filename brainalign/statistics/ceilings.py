"""Noise ceilings: how much of a target's variance repeats. Always on the variance (r²) scale."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite
from brainalign.statistics.scores import pearson, signed_r2


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


def noise_ceiling(repeats: Values, n_averaged: float = 1, n_halvings: int = 200, seed: int = 0) -> Values:
    """Return the share of variance that repeats in responses averaged over `n_averaged` repeats.

    Split-half reliability, scaled to `n_averaged` repeats by Spearman-Brown. It is a variance: divide r² by it, or r
    by its square root. Unclamped, so that targets without signal average 0; negative reliabilities, which only
    noise gives, are scaled like positive ones, because the formula has a pole among them.

    Parameters
    ----------
    repeats : array (n_repeats, n_stimuli, n_targets)
    n_averaged : float
        Repeats behind each response that is scored: 1 when the test set has single trials, below 1 where a repeat is
        itself a mean of several.
    n_halvings, seed : int

    Returns
    -------
    array (n_targets,)
    """
    reliability = split_half_reliability(repeats, n_halvings, seed)
    return np.sign(reliability) * spearman_brown(np.abs(reliability), n_averaged / (repeats.shape[0] // 2))


class SubjectCeiling(NamedTuple):
    """How well other subjects predict each one: signed r² (n_subjects, n_targets), lower and upper bound."""

    lower: Values
    upper: Values


def leave_one_subject_out_ceiling(responses_per_subject: Values) -> SubjectCeiling:
    """Compute the share of each subject's variance explained by the mean of the others, and of all, itself included.

    A model of what subjects share can be expected between the two means over subjects: the lower one is noisy and
    too small, the upper one has seen the subject. Signed r² (r·|r|), unclamped.

    Parameters
    ----------
    responses_per_subject : array (n_subjects, n_stimuli, n_targets)
        Averaged over repeats; targets correspond between subjects (ROI averages, parcels, sensors).

    Returns
    -------
    SubjectCeiling
        lower, upper : array (n_subjects, n_targets); average over subjects, or bootstrap them.

    Raises
    ------
    BrainalignError
        With fewer than 2 subjects or 3 stimuli, or values that are not finite.

    References
    ----------
    Nili H et al. (2014). A toolbox for representational similarity analysis. PLoS Computational Biology 10:e1003553.
    doi:10.1371/journal.pcbi.1003553
    """
    values = np.asarray(responses_per_subject, dtype=np.float64)
    if values.ndim != 3 or len(values) < 2 or values.shape[1] < 3:
        raise BrainalignError(
            f"a leave-one-subject-out ceiling needs (>= 2 subjects, >= 3 stimuli, targets); got {values.shape}"
        )
    check_finite("responses_per_subject", values, "keep stimuli and targets that every subject has")
    # Subjects on one scale, so that a loud one does not make the mean.
    spread = values.std(axis=1, keepdims=True)
    scaled = (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    total = scaled.sum(axis=0)
    lower = np.stack([pearson(subject, total - subject) for subject in scaled])
    upper = np.stack([pearson(subject, total) for subject in scaled])
    return SubjectCeiling(signed_r2(lower), signed_r2(upper))
