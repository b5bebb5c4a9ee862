"""Identification: which stimulus was shown, told from how well predicted and measured patterns correlate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError

TIE = 1e-6  # correlations closer than this are equal: float32 predictions carry no more


def _pattern_correlations(predicted: Values, measured: Values) -> Values:
    """Return correlations over targets (..., n_measured, n_predicted)."""
    if predicted.shape != measured.shape or predicted.shape[-1] < 2:
        raise BrainalignError(
            f"identification correlates patterns over targets: predicted {predicted.shape} and measured "
            f"{measured.shape} must have the same shape (..., n_stimuli, n_targets) with 2 targets or more"
        )
    unit = []
    for patterns in (measured, predicted):
        centred = np.asarray(patterns, dtype=np.float64)
        centred = centred - centred.mean(axis=-1, keepdims=True)
        norm = np.linalg.norm(centred, axis=-1, keepdims=True)
        unit.append(centred / np.where(norm > 0, norm, 1))
    return np.asarray(unit[0] @ np.swapaxes(unit[1], -1, -2))


def identification(predicted: Values, measured: Values) -> tuple[Values, NDArray[np.intp]]:
    """Find, for each measured pattern, the prediction that correlates best with it.

    Parameters
    ----------
    predicted, measured : array (..., n_stimuli, n_targets)
        Row i of both belongs to the same stimulus. Chance is 1 / n_stimuli.

    Returns
    -------
    correct : array (..., n_stimuli)
        1 when the right one is best, 0 when not, 1/k when it ties with k − 1 others.
    chosen : array (..., n_stimuli) of int
        Row of the best prediction (the first of equals).

    References
    ----------
    Kay KN, Naselaris T, Prenger RJ, Gallant JL (2008). Identifying natural images from human brain activity. Nature
    452:352-355. doi:10.1038/nature06713
    """
    correlations = _pattern_correlations(predicted, measured)
    best = correlations.max(axis=-1, keepdims=True)
    tied = correlations >= best - TIE
    right = np.diagonal(tied, axis1=-2, axis2=-1)
    return right / tied.sum(axis=-1), correlations.argmax(axis=-1)


def pair_matching(predicted: Values, measured: Values) -> Values:
    """Match every two stimuli with their predictions: 1 if the right matching correlates better, 1/2 if they tie.

    Parameters
    ----------
    predicted, measured : array (..., n_stimuli, n_targets)

    Returns
    -------
    array (..., n_pairs)
        Chance is 1/2.
    """
    correlations = _pattern_correlations(predicted, measured)
    i, j = np.triu_indices(correlations.shape[-1], 1)
    right = correlations[..., i, i] + correlations[..., j, j]
    swapped = correlations[..., i, j] + correlations[..., j, i]
    return np.where(np.abs(right - swapped) < 2 * TIE, 0.5, (right > swapped).astype(float))
