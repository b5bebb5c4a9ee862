"""Distances between mean patterns of conditions, each from one matrix of products."""

from __future__ import annotations

from typing import Any

import numpy as np

from brainalign.checks import BrainalignError
from brainalign.geometry.rdms.array_kind import namespace_of
from brainalign.geometry.rdms.design import Design
from brainalign.geometry.rdms.whitening import Whitening

PRIOR_RATE, PRIOR_WEIGHT = 1.0, 0.1  # of the Poisson distance: a tenth of an observation at rate 1


def pair_differences(gram: Any) -> Any:
    """Return K_ii + K_jj − K_ij − K_ji of every pair, (..., n_pairs)."""
    i, j = np.triu_indices(gram.shape[-1], 1)
    return gram[..., i, i] + gram[..., j, j] - gram[..., i, j] - gram[..., j, i]


def euclidean(patterns: Any, design: Design, whitening: Whitening | None) -> Any:
    """Return squared Euclidean distances of mean patterns divided by the number of channels."""
    centred = _centred(design.condition_means(patterns))
    return _squared(centred, centred)


def mahalanobis(patterns: Any, design: Design, whitening: Whitening | None) -> Any:
    """Return squared Mahalanobis distances of mean patterns divided by the number of channels."""
    if whitening is None or whitening.per_run:
        raise BrainalignError(
            f"mahalanobis takes one precision for all runs; got {'one per run' if whitening else 'none'} (euclidean "
            "takes none, crossnobis one per run)"
        )
    centred = _centred(design.condition_means(patterns))
    return _squared(centred, whitening.covariances[0].solve(centred))


def correlation(patterns: Any, design: Design, whitening: Whitening | None) -> Any:
    """Return one minus Pearson's r between mean patterns; NaN where a pattern is constant."""
    xp, means = namespace_of(patterns), design.condition_means(patterns)
    centred = means - means.mean(axis=-1, keepdims=True)
    norm, size = (xp.sqrt((x * x).sum(axis=-1, keepdims=True)) for x in (centred, means))
    unit = centred / xp.where(norm <= 1e-12 * size, np.nan, norm)
    i, j = np.triu_indices(unit.shape[-2], 1)
    return 1 - (unit @ unit.swapaxes(-1, -2))[..., i, j]


def poisson(patterns: Any, design: Design, whitening: Whitening | None) -> Any:
    """Return the symmetrised Kullback-Leibler divergence of Poisson rates divided by the number of channels.

    Mean rates m are drawn towards a prior; the distance is the mean over channels of (m_i − m_j)(log m_i − log m_j).
    """
    if bool((patterns < 0).any()):
        raise BrainalignError(
            f"poisson distances are between rates, which are not negative; got {float(patterns.min()):.3g}; "
            "give counts or choose another distance"
        )
    xp, rates = namespace_of(patterns), design.condition_means(patterns)
    rates = (rates + PRIOR_RATE * PRIOR_WEIGHT) / (1 + PRIOR_WEIGHT)
    products = _centred(rates) @ _centred(xp.log(rates)).swapaxes(-1, -2)
    return pair_differences(products) / rates.shape[-1]


def _centred(patterns: Any) -> Any:
    # Distances ignore what all conditions share; taking it out first keeps their digits.
    return patterns - patterns.mean(axis=-2, keepdims=True)


def _squared(left: Any, right: Any) -> Any:
    gram = left @ right.swapaxes(-1, -2)
    return namespace_of(gram).clip(pair_differences(gram) / left.shape[-1], 0, None)
