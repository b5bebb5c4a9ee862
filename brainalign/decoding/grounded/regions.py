"""How well words of captions predict regions: mean word vectors of several spaces, the same images, side by side.

    x(image) = mean over the words of its caption of their vectors            response = x β, ridge regression

Every space is scaled to the same total variance over training images, so that the same penalties mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.statistics import (
    bootstrap_correlations,
    fdr,
    group_means,
    pearson,
    permute_within,
    permuted_correlations,
)


class Regression(Protocol):
    """What is fitted to predict responses."""

    def predict(self, X: Values) -> Values:
        """Return responses (n_images, n_targets)."""
        ...


def caption_vectors(said: NDArray[Any], vectors: Values) -> NDArray[np.float64]:
    """Return the mean vector of the words of every caption (n_images, n_dimensions).

    Parameters
    ----------
    said : array (n_images, n_words)
        Whether, or how often, a caption holds a word.
    vectors : array (n_words, n_dimensions)

    Raises
    ------
    BrainalignError
        If a caption holds none of the words, or there is not one vector per word.
    """
    check_rows("words", said.shape[1], "vectors", len(vectors), "give one vector per word")
    total = np.asarray(said, dtype=np.float64).sum(axis=1, keepdims=True)
    if not total.all():
        raise BrainalignError(f"{int((total == 0).sum())} captions hold none of the words; leave those images out")
    return np.asarray(said / total @ np.asarray(vectors, dtype=np.float64))


def word_regions(
    spaces: Mapping[str, tuple[Values, Values]],
    train: Values,
    test: Values,
    regions: Mapping[str, NDArray[np.intp]],
    regress: Callable[[Values, Values], Regression],
    *,
    ceiling: Values | None = None,
    n_permutations: int = 1000,
    n_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict the responses to held-out images from every space.

    Parameters
    ----------
    spaces : mapping of (array (n_train, n_dimensions), array (n_test, n_dimensions))
        Vectors of captions; the first one is compared with each of the others.
    train, test : array (n_train, n_targets), array (n_test, n_targets)
        Mean responses to images.
    regions : mapping of arrays of target numbers
    regress : callable
        Fits targets on vectors, penalties chosen inside the training images.
    ceiling : array (n_targets,), optional
        Share of variance that can be explained.
    n_permutations, n_draws : int
        Test images exchanged; test images drawn anew, the same ones for all spaces.
    confidence, seed : float, int

    Returns
    -------
    DataFrame
        A row per space and region: encoder (the space), group (the region), r (mean over targets), low, high,
        difference (of the first space minus this one) with difference_low and difference_high, null_low and null_high
        (the middle 95 % of exchanges), p, q (false discovery rate over the regions of a space), ceiling_r, n_targets.

    Raises
    ------
    BrainalignError
        If rows do not fit.
    """
    names, rows = list(regions), list(regions.values())
    rng = np.random.default_rng([seed, 0x3D5])
    orders = permute_within(np.zeros(len(test), dtype=int), n_permutations, rng)
    limit = np.full(len(names), np.nan)
    if ceiling is not None and np.isfinite(ceiling).any():
        limit = group_means(np.sqrt(np.maximum(ceiling, 0)), rows)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    first: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    tables = []
    for name, (mine, held) in spaces.items():
        check_rows(f"{name}, training", len(mine), "responses", len(train), "give one row per training image")
        check_rows(f"{name}, test", len(held), "responses", len(test), "give one row per test image")
        centre = mine.mean(axis=0)
        scale = np.sqrt(np.square(mine - centre).sum(axis=1).mean())
        if scale == 0:
            raise BrainalignError(f"all training captions have the same vector in the space {name}; leave it out")
        predicted = np.asarray(regress((mine - centre) / scale, train).predict((held - centre) / scale))
        r = group_means(pearson(predicted, test), rows)
        draws = bootstrap_correlations(predicted, test, rows, n_draws=n_draws, seed=seed)
        null = permuted_correlations(predicted, test, orders, groups=rows).group_r
        first = first or (r, draws)
        low, high = np.quantile(draws, tails, axis=0)
        apart_low, apart_high = np.quantile(first[1] - draws, tails, axis=0)
        null_low, null_high = np.quantile(null, [0.025, 0.975], axis=0)
        p = np.where(np.isfinite(r), (1 + (null >= r - 1e-9).sum(axis=0)) / (1 + n_permutations), np.nan)
        tables.append(
            pd.DataFrame(
                {
                    "encoder": name,
                    "group": names,
                    "r": r,
                    "low": low,
                    "high": high,
                    "difference": first[0] - r,
                    "difference_low": apart_low,
                    "difference_high": apart_high,
                    "null_low": null_low,
                    "null_high": null_high,
                    "p": p,
                    "q": fdr(p),
                    "ceiling_r": limit,
                    "n_targets": [len(each) for each in rows],
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
