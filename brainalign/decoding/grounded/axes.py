"""Principal axes of a space of words, named by the words at their ends and by what is known of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows
from brainalign.statistics import fdr, pearson, permutation_test

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
        A row per axis and attribute: axis, attribute, r, null_high (95th percentile of |r|), p (two-sided, attributes
        exchanged between words), q (false discovery rate over all rows), n_words.
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
    furthest = np.abs(positions).argmax(axis=0)
    positions = positions * np.sign(positions[furthest, np.arange(n_axes)])
    known = pd.DataFrame(index=range(len(values))) if attributes is None else attributes
    check_rows("attributes", len(known), "words", len(values), "give one row per word")
    table = _correlates(positions, known, n_permutations, np.random.default_rng([seed, 0xA7E5]))
    rows = []
    for k in range(n_axes):
        order = np.argsort(positions[:, k], kind="stable")
        sure = table[(table["axis"] == k + 1) & (table["q"] < LEVEL)]
        name = str(sure["attribute"].iloc[int(sure["r"].abs().to_numpy().argmax())]) if len(sure) else ""
        rows.append(
            {
                "axis": k + 1,
                "variance": s[k] ** 2 / np.square(s).sum(),
                "low_words": ", ".join(str(words[i]) for i in order[:N_WORDS]),
                "high_words": ", ".join(str(words[i]) for i in order[::-1][:N_WORDS]),
                "name": name,
            }
        )
    return WordAxes(pd.DataFrame(rows), table, positions)


def _correlates(
    positions: NDArray[np.float64], attributes: pd.DataFrame, n_permutations: int, rng: np.random.Generator
) -> pd.DataFrame:
    columns = ["axis", "attribute", "r", "null_high", "p", "q", "n_words"]
    rows = []
    for name in attributes:
        values = attributes[name].to_numpy(dtype=np.float64)
        has = np.isfinite(values)
        if has.sum() < 3 or values[has].std() == 0:
            continue
        own, mine = values[has], positions[has]
        observed = pearson(np.repeat(own[:, None], mine.shape[1], axis=1), mine)
        shuffled = np.stack([rng.permutation(own) for _ in range(n_permutations)])
        null = np.abs(_unit(shuffled, 1) @ _unit(mine, 0))  # (n_permutations, n_axes)
        p = permutation_test(np.abs(observed), null)
        high = np.quantile(null, 0.95, axis=0)
        rows += [
            {"axis": k + 1, "attribute": str(name), "r": r, "null_high": high[k], "p": p[k], "n_words": int(has.sum())}
            for k, r in enumerate(observed)
        ]
    table = pd.DataFrame(rows, columns=[name for name in columns if name != "q"])
    table["q"] = fdr(table["p"].to_numpy(dtype=np.float64)) if len(table) else np.empty(0)
    order = np.lexsort((-table["r"].abs(), table["p"], table["axis"]))
    return table[columns].iloc[order].reset_index(drop=True)


def _unit(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    values = values - values.mean(axis=axis, keepdims=True)
    norm = np.linalg.norm(values, axis=axis, keepdims=True)
    return np.asarray(values / np.where(norm > 0, norm, 1))


def word_attributes(said: NDArray[np.bool_], columns: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of every column over the images that a word is said of (n_words, n_columns).

    Parameters
    ----------
    said : array (n_images, n_words)
        Of training images.
    columns : DataFrame (n_images, n_columns)
        Numbers.

    Raises
    ------
    BrainalignError
        If a column holds what is no number.
    """
    check_rows("columns", len(columns), "said", len(said), "give one row per image")
    numbers = columns.apply(pd.to_numeric, errors="coerce")
    wrong: list[Any] = [name for name in columns if numbers[name].isna().any()]
    if wrong:
        raise BrainalignError(f"column {wrong[0]!r} of the images holds what is no number; leave it out of attributes")
    values = numbers.to_numpy(dtype=np.float64)
    return pd.DataFrame((said.T @ values) / said.sum(axis=0)[:, None], columns=list(map(str, columns)))
