"""Principal axes of a space of words, named by the words at their ends, and what spaces know of feature norms.

Norms are predicted from word vectors by ridge regression, folds by word:

    R² = 1 − Σ (y − ŷ)² / Σ (y − mean of training words)²        over all held-out words

A space that knows nothing has an R² of 0 or less, whatever the folds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.linear_model import RidgeCV

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows
from brainalign.decoding.masked import network_agreement
from brainalign.statistics import fdr, interval_widening, pearson, permutation_test

Errors = tuple[NDArray[np.float64], NDArray[np.float64]]  # squared, of prediction and of the training mean
ALPHAS = np.logspace(-4, 3, 15)  # in units of the mean squared singular value
ALL_NORMS = "all"  # the mean over norms
N_WORDS = 5  # at each end of an axis
LEVEL = 0.05  # false discovery rate below which an attribute names an axis


@dataclass(frozen=True)
class WordAxes:
    """Named axes.

    Attributes
    ----------
    axes : DataFrame
        A row per axis: axis (from 1), variance (share of all), low_words, high_words (separated by commas, the furthest
        first), name (the attribute with the largest significant |r|, "" where there is none).
    attributes : DataFrame
        A row per axis and attribute: axis, attribute, r, null_high (95th percentile of |r|), p (two-sided, words or
        images exchanged), q (false discovery rate over all rows), n_words.
    positions : array (n_words, n_axes)
        Where words lie on the axes.
    """

    axes: pd.DataFrame
    attributes: pd.DataFrame
    positions: NDArray[np.float64]


def word_axes(
    vectors: Values,
    words: Sequence[str],
    attributes: pd.DataFrame | None = None,
    *,
    exchanged: Sequence[pd.DataFrame] = (),
    n_axes: int = 5,
    n_permutations: int = 1000,
    seed: int = 0,
) -> WordAxes:
    """Find and name the principal axes of words.

    Parameters
    ----------
    vectors : array (n_words, n_dimensions)
    words : sequence (n_words) of str
    attributes : DataFrame (n_words, n_attributes), optional
        Numbers that are known of words, for example norms, or 0 and 1 of a class. Missing ones are left out, by word.
    exchanged : sequence of DataFrame (n_words, n_some_attributes)
        Null of attributes that are means over images, images exchanged: words that share images are alike by chance.
    n_axes : int
        At most.
    n_permutations, seed : int

    Raises
    ------
    BrainalignError
        If rows do not fit, or there are fewer than three words.
    """
    values = np.asarray(vectors, dtype=np.float64)
    check_rows("words", len(words), "vectors", len(values), "give one word per row")
    check_finite("vectors", values, "leave those words out")
    if len(values) < 3:
        raise BrainalignError(f"{len(values)} words span no axes; give three or more")
    u, s, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    n_axes = min(n_axes, int((s > 1e-9 * s[0]).sum()))
    positions = (u * s)[:, :n_axes]
    # The sign of an axis is free; the word that lies furthest out is put at its high end.
    positions = positions * np.sign(positions[np.abs(positions).argmax(axis=0), np.arange(n_axes)])
    known = pd.DataFrame(index=range(len(values))) if attributes is None else attributes
    check_rows("attributes", len(known), "words", len(values), "give one row per word")
    table = _correlates(positions, known, exchanged, n_permutations, seed)
    rows = []
    for k in range(n_axes):
        order = np.argsort(positions[:, k], kind="stable")
        sure = table[(table["axis"] == k + 1) & (table["q"] < LEVEL)]
        name = str(sure["attribute"].iloc[int(sure["r"].abs().to_numpy().argmax())]) if len(sure) else ""
        row = {
            "axis": k + 1,
            "variance": s[k] ** 2 / np.square(s).sum(),
            "low_words": ", ".join(str(words[i]) for i in order[:N_WORDS]),
            "high_words": ", ".join(str(words[i]) for i in order[::-1][:N_WORDS]),
            "name": name,
        }
        rows.append(row)
    return WordAxes(pd.DataFrame(rows), table, positions)


def _correlates(
    positions: Values, attributes: pd.DataFrame, exchanged: Sequence[pd.DataFrame], n_permutations: int, seed: int
) -> pd.DataFrame:
    rows, rng = [], np.random.default_rng([seed, 0xA7E5])
    for name in attributes:
        values = attributes[name].to_numpy(dtype=np.float64)
        has = np.isfinite(values)
        if has.sum() < 3 or values[has].std() == 0:
            continue
        own, mine = values[has], positions[has]
        observed = pearson(np.repeat(own[:, None], mine.shape[1], axis=1), mine)
        drawn = [each[name].to_numpy(dtype=np.float64)[has] for each in exchanged if name in each]
        shuffled = np.stack(drawn or [rng.permutation(own) for _ in range(n_permutations)])
        null = np.abs(np.nan_to_num(1 - cdist(shuffled, mine.T, "correlation")))  # NaN: does not vary
        p = permutation_test(np.abs(observed), null)
        high = np.quantile(null, 0.95, axis=0)
        rows += [
            {"axis": k + 1, "attribute": str(name), "r": r, "null_high": high[k], "p": p[k], "n_words": int(has.sum())}
            for k, r in enumerate(observed)
        ]
    table = pd.DataFrame(rows, columns=["axis", "attribute", "r", "null_high", "p", "q", "n_words"])
    table["q"] = fdr(table["p"].to_numpy(dtype=np.float64)) if len(table) else np.empty(0)
    order = np.lexsort((-table["r"].abs(), table["p"], table["axis"]))
    return table.iloc[order].reset_index(drop=True)


def word_attributes(said: NDArray[np.bool_], columns: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of every column over the images that a word is said of (n_words, n_columns).

    Parameters
    ----------
    said : array (n_images, n_words)
        Of training images.
    columns : DataFrame (n_images, n_columns)
        Numbers.
    """
    check_rows("columns", len(columns), "said", len(said), "give one row per image")
    numbers = columns.apply(pd.to_numeric, errors="coerce")
    wrong: list[Any] = [name for name in columns if numbers[name].isna().any()]
    if wrong:
        raise BrainalignError(f"column {wrong[0]!r} of the images holds what is no number; leave it out of attributes")
    values = numbers.to_numpy(dtype=np.float64)
    return pd.DataFrame((said.T @ values) / said.sum(axis=0)[:, None], columns=list(map(str, columns)))


def norm_prediction(
    spaces: Mapping[str, Values],
    norms: pd.DataFrame,
    *,
    baseline: str = "text",
    n_folds: int = 5,
    n_permutations: int = 200,
    n_draws: int = 1000,
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
    if constant := [str(name) for name, spread in zip(norms, values.std(axis=0), strict=True) if spread == 0]:
        raise BrainalignError(f"all words have the same {constant[0]}; leave that norm out")
    if len(values) < 2 * n_folds:
        raise BrainalignError(f"{len(values)} words with norms are too few for {n_folds} folds; give more words")
    for name, vectors in spaces.items():
        check_rows(f"space {name}", len(vectors), "norms", len(values), "give one row per word")
        check_finite(f"space {name}", np.asarray(vectors), "leave those words out")
    rng = np.random.default_rng([seed, 0x40E])
    folds = [np.sort(part) for part in np.array_split(rng.permutation(len(values)), n_folds)]
    every = np.hstack([values, *(values[rng.permutation(len(values))] for _ in range(n_permutations))])
    draws = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=n_draws).astype(float)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    # Draws do not know that folds share words to train on: as they are, equal spaces of 20 words gain or lose in 28 %.
    wider = interval_widening(len(values) * (1 - 1 / n_folds), len(values), confidence)
    n_norms, found, nulls, drawn = values.shape[1], {}, {}, {}
    for name, vectors in spaces.items():
        own, flat = _errors(np.asarray(vectors, dtype=np.float64), every, folds)
        r2 = _with_mean((1 - own.sum(axis=0) / flat.sum(axis=0)).reshape(-1, n_norms))
        found[name], nulls[name] = r2[0], r2[1:]
        drawn[name] = _with_mean(1 - (draws @ own[:, :n_norms]) / (draws @ flat[:, :n_norms]))
    rows = []
    for name in spaces:
        gain = found[name] - found[baseline]
        loss = np.maximum(1 - found[name], 1e-12)  # a ratio of squares: stretched as R², 20 words covered .88 to .90
        low, high = 1 - loss * (np.quantile(1 - drawn[name], tails[::-1], axis=0) / loss) ** wider
        gain_low, gain_high = gain + wider * (np.quantile(drawn[name] - drawn[baseline], tails, axis=0) - gain)
        table = {"space": name, "norm": [*map(str, norms), ALL_NORMS], "r2": found[name], "low": low, "high": high}
        table |= {"gain": gain, "gain_low": gain_low, "gain_high": gain_high}
        table |= {"null_mean": nulls[name].mean(axis=0), "null_high": np.quantile(nulls[name], 0.95, axis=0)}
        p = permutation_test(found[name], nulls[name])
        rows.append(pd.DataFrame(table | {"p": p, "n_words": len(values)}))
    return pd.concat(rows, ignore_index=True)


def word_clusters(
    spaces: Mapping[str, Values], labels: "NDArray[Any] | pd.Series[Any]", *, n_permutations: int = 1000, seed: int = 0
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


def _errors(vectors: NDArray[np.float64], norms: NDArray[np.float64], folds: list[NDArray[np.intp]]) -> Errors:
    """Return squared errors of held-out words (n_words, n_norms); penalties by leave-one-out on training words."""
    own, flat = np.empty(norms.shape), np.empty(norms.shape)
    for test in folds:
        train = np.setdiff1d(np.arange(len(vectors)), test)
        s = np.linalg.svd(vectors[train] - vectors[train].mean(axis=0), compute_uv=False)
        scale = np.square(s[s > 1e-9 * s.max()]).mean() if s.any() else 1.0  # 1 for words in one place: nothing to fit
        ridge = RidgeCV(ALPHAS * scale, alpha_per_target=True).fit(vectors[train], norms[train])
        own[test] = np.square(norms[test] - ridge.predict(vectors[test]))
        flat[test] = np.square(norms[test] - norms[train].mean(axis=0))
    return own, flat


def _with_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([values, values.mean(axis=1)])
