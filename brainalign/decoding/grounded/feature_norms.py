"""What spaces of words know of feature norms: ridge regression from word vectors, folds by word, and clusters of words.

    R² = 1 − Σ (y − ŷ)² / Σ (y − mean of training words)²        over all held-out words

A space that knows nothing has an R² of 0 or less, whatever the folds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows
from brainalign.decoding.masked import network_agreement
from brainalign.statistics import permutation_test

Errors = tuple[NDArray[np.float64], NDArray[np.float64]]  # squared, of prediction and of the training mean
ALPHAS = np.logspace(-4, 3, 15)  # in units of the mean squared singular value
ALL_NORMS = "all"  # the mean over norms


def norm_prediction(
    spaces: Mapping[str, Values],
    norms: pd.DataFrame,
    *,
    baseline: str = "text",
    n_folds: int = 5,
    n_permutations: int = 100,
    n_draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict norms of held-out words from every space, with the same folds, draws and exchanges.

    Parameters
    ----------
    spaces : mapping of arrays (n_words, n_dimensions)
    norms : DataFrame (n_words, n_norms)
        Numbers, rows as in spaces.
    baseline : str
        The space that others are compared with.
    n_folds : int
    n_permutations : int
        Norms exchanged between words, penalty chosen anew.
    n_draws, confidence, seed : int, float, int
        Of intervals: words drawn anew.

    Returns
    -------
    DataFrame
        A row per space and norm, and of their mean ("all"): space, norm, r2, low, high, gain (over the baseline),
        gain_low, gain_high, null_mean, null_high (95th percentile), p, n_words.

    Raises
    ------
    BrainalignError
        If rows do not fit, a value is not finite, a norm is the same for all words, or words are too few for the folds.
    """
    check_choice("baseline", baseline, spaces)
    values = norms.to_numpy(dtype=np.float64)
    check_finite("norms", values, "leave out words without all norms")
    constant = [str(name) for name, spread in zip(norms, values.std(axis=0), strict=True) if spread == 0]
    if constant:
        raise BrainalignError(f"all words have the same {constant[0]}; leave that norm out")
    if len(values) < 2 * n_folds:
        raise BrainalignError(f"{len(values)} words with norms are too few for {n_folds} folds; give more words")
    for name, vectors in spaces.items():
        check_rows(f"space {name}", len(vectors), "norms", len(values), "give one row per word")
        check_finite(f"space {name}", np.asarray(vectors), "leave those words out")
    rng = np.random.default_rng([seed, 0x40E])
    order = rng.permutation(len(values))
    folds = [np.sort(part) for part in np.array_split(order, n_folds)]
    exchanges = [rng.permutation(len(values)) for _ in range(n_permutations)]
    draws = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=n_draws).astype(float)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    found, nulls, drawn = {}, {}, {}
    for name, vectors in spaces.items():
        designs = list(_designs(np.asarray(vectors, dtype=np.float64), folds))
        errors = _errors(designs, values)
        found[name] = _with_mean(_r2(errors, np.ones((1, len(values)))))[0]
        drawn[name] = _with_mean(_r2(errors, draws))
        every = np.ones((1, len(values)))
        nulls[name] = np.array([_with_mean(_r2(_errors(designs, values[each]), every))[0] for each in exchanges])
    rows = []
    for name in spaces:
        low, high = np.quantile(drawn[name], tails, axis=0)
        gain_low, gain_high = np.quantile(drawn[name] - drawn[baseline], tails, axis=0)
        table = pd.DataFrame(
            {
                "space": name,
                "norm": [*map(str, norms), ALL_NORMS],
                "r2": found[name],
                "low": low,
                "high": high,
                "gain": found[name] - found[baseline],
                "gain_low": gain_low,
                "gain_high": gain_high,
                "null_mean": nulls[name].mean(axis=0),
                "null_high": np.quantile(nulls[name], 0.95, axis=0),
                "p": permutation_test(found[name], nulls[name]),
                "n_words": len(values),
            }
        )
        rows.append(table)
    return pd.concat(rows, ignore_index=True)


def word_clusters(
    spaces: Mapping[str, Values],
    labels: NDArray[Any] | pd.Series[Any],
    *,
    n_permutations: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare k-means clusters of every space, as many as there are labels, with known labels of words.

    Parameters
    ----------
    spaces : mapping of arrays (n_words, n_dimensions)
    labels : (n_words,) labels
    n_permutations, seed : int

    Returns
    -------
    DataFrame
        A row per space: space, ari (adjusted Rand index: 1 the same, 0 chance), null_mean, null_high, p (of labels
        exchanged between words), n_clusters, n_words.

    References
    ----------
    Hubert L, Arabie P (1985). Comparing partitions. Journal of Classification 2:193-218. doi:10.1007/BF01908075
    """
    codes, names = pd.factorize(np.asarray(labels))
    if not 2 <= len(names) < len(codes):
        raise BrainalignError(
            f"{len(names)} labels of {len(codes)} words; clusters need two or more, and fewer than words"
        )
    found = network_agreement(spaces, codes, n_permutations, seed)
    return found.rename(columns={"name": "space", "n_networks": "n_clusters"}).assign(n_words=len(codes))


_Design = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _designs(vectors: NDArray[np.float64], folds: list[NDArray[np.intp]]) -> Iterator[_Design]:
    """Yield train rows, test rows, U, s and test rows in the basis of the training words, for every fold."""
    for test in folds:
        train = np.setdiff1d(np.arange(len(vectors)), test)
        mean = vectors[train].mean(axis=0)
        u, s, v = np.linalg.svd(vectors[train] - mean, full_matrices=False)
        keep = s > 1e-9 * s.max(initial=0)
        yield train, test, u[:, keep], s[keep], (vectors[test] - mean) @ v[keep].T


def _errors(designs: list[_Design], norms: NDArray[np.float64]) -> Errors:
    """Return squared errors of held-out words (n_words, n_norms); penalties by leave-one-out on training words."""
    own, flat = np.empty(norms.shape), np.empty(norms.shape)
    for train, test, u, s, x in designs:
        mean = norms[train].mean(axis=0)
        y = norms[train] - mean
        projected = u.T @ y
        best, least = np.zeros((len(s), y.shape[1])), np.full(y.shape[1], np.inf)
        for alpha in ALPHAS * np.square(s).mean():
            shrunk = s**2 / (s**2 + alpha)
            leverage = 1 / len(y) + np.square(u) @ shrunk
            left = (y - u @ (shrunk[:, None] * projected)) / np.maximum(1 - leverage, 1e-9)[:, None]
            loss = np.square(left).mean(axis=0)
            better = loss < least
            least[better] = loss[better]
            best[:, better] = (s / (s**2 + alpha))[:, None] * projected[:, better]
        own[test] = np.square(norms[test] - mean - x @ best)
        flat[test] = np.square(norms[test] - mean)
    return own, flat


def _r2(errors: Errors, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 - (weights @ errors[0]) / (weights @ errors[1]))


def _with_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([values, values.mean(axis=1)])
