"""Model geometries against the geometry of many places at once: regions, or moments after the stimulus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from brainalign.checks import BrainalignError, check_choice

__all__ = ["PlacesTest", "rdm_permutation_places"]

Values = NDArray[np.floating[Any]]
CHUNK_BYTES = 50_000_000


@dataclass(frozen=True)
class PlacesTest:
    """Fit of every model at every place, and by chance.

    Attributes
    ----------
    scores : array (n_places, n_models)
    p : array (n_places, n_models)
        One-sided, for this place alone.
    p_fwer : array (n_places, n_models)
        Against the largest fit over places of every permutation.
    null_mean, null_high : array (n_places, n_models)
        Mean and 95 % point under permutation.
    """

    scores: Values
    p: Values
    p_fwer: Values
    null_mean: Values
    null_high: Values


def rdm_permutation_places(
    rdms: Values,
    models: Values,
    method: Literal["spearman", "pearson", "cosine"],
    n_permutations: int,
    rng: np.random.Generator,
) -> PlacesTest:
    """Compare models with the RDMs of every place, and with the stimuli of the models exchanged.

    An exchange of stimuli moves the entries of a model's RDM without changing their ranks or their norm, so the null of
    all places is one matrix product. All models and places see the same exchanges.

    Parameters
    ----------
    rdms : array (n_places, n_pairs) or (n_places, n_repeats, n_pairs)
        With repeats, the score of a place is the mean over its repeats, as its noise ceiling is.
    models : array (n_models, n_pairs)
    method : {"spearman", "pearson", "cosine"}
    n_permutations : int
    rng : Generator

    Returns
    -------
    PlacesTest
        NaN for RDMs that are constant, zero or not finite.

    Raises
    ------
    BrainalignError
        If the numbers of pairs differ or are those of no set of stimuli.

    References
    ----------
    Kriegeskorte N, Mur M, Bandettini P (2008). Representational similarity analysis. Frontiers in Systems Neuroscience
    2:4. doi:10.3389/neuro.06.004.2008
    """
    check_choice("method", method, {"spearman", "pearson", "cosine"})
    n_pairs = rdms.shape[-1]
    n_stimuli = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    if models.shape[1] != n_pairs or n_stimuli * (n_stimuli - 1) // 2 != n_pairs:
        raise BrainalignError(
            f"RDMs of places have {n_pairs} pairs and those of models {models.shape[1]}; both need the pairs of "
            "the same stimuli"
        )
    places = _unit(rdms.reshape(-1, n_pairs), method).reshape(len(rdms), -1, n_pairs).mean(axis=1)
    forms = _unit(models, method)
    i, j = np.triu_indices(n_stimuli, 1)
    orders = [rng.permutation(n_stimuli) for _ in range(n_permutations)]
    scores = places @ forms.T
    reached, largest_reached, total = (np.zeros(scores.shape) for _ in range(3))
    high = np.full(scores.shape, np.nan)
    at_once = max(1, CHUNK_BYTES // (8 * n_pairs))
    for k, form in enumerate(forms):
        square = np.zeros((n_stimuli, n_stimuli))
        square[i, j] = square[j, i] = form
        null = np.concatenate(
            [
                np.stack([square[np.ix_(order, order)][i, j] for order in orders[start : start + at_once]]) @ places.T
                for start in range(0, n_permutations, at_once)
            ]
        )  # (n_permutations, n_places)
        reached[:, k] = (null >= scores[:, k]).sum(axis=0)
        largest = np.nan_to_num(null, nan=-np.inf).max(axis=1)
        largest_reached[:, k] = (largest[:, None] >= scores[:, k]).sum(axis=0)
        total[:, k] = null.mean(axis=0)
        high[:, k] = np.quantile(null, 0.95, axis=0)
    undefined = np.isnan(scores)
    p, p_fwer = ((1 + counts) / (1 + n_permutations) for counts in (reached, largest_reached))
    return PlacesTest(scores, np.where(undefined, np.nan, p), np.where(undefined, np.nan, p_fwer), total, high)


def _unit(rdms: Values, method: str) -> Values:
    """Return RDMs whose inner products are the comparison; NaN where there is none."""
    values = np.asarray(rdms, dtype=np.float64)
    whole = np.asarray(np.isfinite(values).all(axis=1))
    values = np.where(whole[:, None], values, 0)
    if method == "spearman":
        values = rankdata(values, axis=1)
    if method != "cosine":
        values = values - values.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(whole[:, None] & (norm > 0), values / np.where(norm > 0, norm, 1), np.nan)
