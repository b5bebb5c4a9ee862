"""Texts that are all but the same: Levenshtein similarity of every pair, of which few need to be computed."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MARGIN = 1e-9  # 1 - 1/20 is not more than .95


def levenshtein_similarity(a: str, b: str, least: float = 0.0) -> float:
    """Return 1 − d / max(len), with d the number of characters to insert, delete or replace; 0 if it is below `least`.

    References
    ----------
    Ukkonen E (1985). Algorithms for approximate string matching. doi:10.1016/S0019-9958(85)80046-2
    """
    longest = max(len(a), len(b))
    if not longest:
        return 1.0
    most = math.floor((1 - least) * longest + MARGIN)
    distance = _distance(a, b, most)
    return 1 - distance / longest if distance <= most else 0.0


def _distance(a: str, b: str, most: int) -> int:
    """Return the Levenshtein distance, or `most` + 1 where it is more: only cells near the diagonal are filled."""
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    stop = 0
    while stop < min(len(a), len(b)) - start and a[-1 - stop] == b[-1 - stop]:
        stop += 1
    a, b = a[start : len(a) - stop], b[start : len(b) - stop]
    if abs(len(a) - len(b)) > most:
        return most + 1
    far = most + 1
    row = [min(j, far) for j in range(len(b) + 1)]
    for i, char in enumerate(a, start=1):
        first, last = max(1, i - most), min(len(b), i + most)
        above, row = row, [far] * (len(b) + 1)
        if first == 1:
            row[0] = min(i, far)
        for j in range(first, last + 1):
            row[j] = min(above[j - 1] + (char != b[j - 1]), above[j] + 1, row[j - 1] + 1, far)
        if min(row[first - 1 : last + 1]) >= far:
            return far
    return row[-1]


def _possible(text: NDArray[np.int32], others: NDArray[np.int32], similarity: float) -> NDArray[np.intp]:
    """Select texts that may be so similar: an edit changes a character's count by one at most in either direction."""
    most = (1 - similarity) * np.maximum(text.sum(), others.sum(axis=1)) + MARGIN
    near: NDArray[np.intp] = np.flatnonzero(np.abs(others.sum(axis=1) - text.sum()) < most)
    changes = others[near] - text
    return near[np.maximum(changes.clip(min=0).sum(axis=1), (-changes).clip(min=0).sum(axis=1)) < most[near]]


def _counts(texts: Sequence[str]) -> NDArray[np.int32]:
    """Count each character of each text (n_texts, n_characters)."""
    alphabet = {char: column for column, char in enumerate(sorted(set("".join(texts))))}
    counts = np.zeros((len(texts), len(alphabet)), dtype=np.int32)
    for row, text in enumerate(texts):
        np.add.at(counts[row], [alphabet[char] for char in text], 1)
    return counts


def near_duplicate_texts(texts: Sequence[str], similarity: float = 0.95) -> pd.DataFrame:
    """Return the pairs of texts that are more alike than `similarity` (0 to 1), whatever their case.

    Columns row_a and row_b (places in `texts`, row_a first) and similarity. Most pairs are ruled out by their counts of
    characters, in numpy.
    """
    folded = [text.casefold() for text in texts]
    counts, pairs = _counts(folded), []
    for a in range(len(folded) - 1):
        for b in (a + 1 + _possible(counts[a], counts[a + 1 :], similarity)).tolist():
            found = levenshtein_similarity(folded[a], folded[b], least=similarity)
            if found > similarity + MARGIN:
                pairs.append((a, b, found))
    return pd.DataFrame(pairs, columns=["row_a", "row_b", "similarity"]).astype({"row_a": int, "row_b": int})


def match_texts(texts: Sequence[str], candidates: Sequence[str], similarity: float = 0.95) -> pd.DataFrame:
    """Return for each text the candidate it is: the same but for case, else the most alike above `similarity`.

    Returns
    -------
    DataFrame (n_texts)
        row (place in `candidates`; -1: none, or two are equally near), similarity (1 exact; NaN none).
    """
    folded = [text.casefold() for text in candidates]
    exact = {text: row for row, text in reversed(list(enumerate(folded)))}
    asked = {text.casefold() for text in texts}
    known = {text: (exact[text], 1.0) for text in asked & exact.keys()}
    open_texts = sorted(asked - exact.keys())
    counts = _counts([*open_texts, *folded])
    for place, text in enumerate(open_texts):
        rows = _possible(counts[place], counts[len(open_texts) :], similarity).tolist()
        found = [levenshtein_similarity(text, folded[row], least=similarity) for row in rows]
        best = max(found, default=0.0)
        unique = best > similarity + MARGIN and found.count(best) == 1
        known[text] = (rows[found.index(best)], best) if unique else (-1, math.nan)
    matched = [known[text.casefold()] for text in texts]
    return pd.DataFrame(matched, columns=["row", "similarity"]).astype({"row": int, "similarity": float})


def text_groups(texts: Sequence[str], similarity: float = 0.95) -> NDArray[np.intp]:
    """Return the number of the group of each text: near-duplicates, and near-duplicates of these, share one.

    For `similarity` see `near_duplicate_texts`.
    """
    groups = np.arange(len(texts))
    for a, b in near_duplicate_texts(texts, similarity)[["row_a", "row_b"]].to_numpy():
        groups[groups == groups[b]] = groups[a]
    return np.unique(groups, return_inverse=True)[1].astype(np.intp)
