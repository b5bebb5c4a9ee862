"""Does a test sentence reach training: as itself, almost word for word, or through the order in which it was read?"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import check_columns, listed
from brainalign.datasets.problems import Problem, listing_faults
from brainalign.datasets.sentences.near_texts import near_duplicate_texts

SIDES = (("train", "test"), ("val", "test"), ("train", "val"))
BY_CHANCE = 0.01  # an order that tells labels more often than this many of its permutations leaks
LEAST_GAIN = 0.05  # and by more than this above them


def text_leakage(
    splits: pd.DataFrame,
    sentences: pd.DataFrame,
    *,
    similarity: float = 0.95,
    left_out: str | None = None,
    label: str | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> list[Problem]:
    """Return every way in which sentences of one split reach another; `stop_on` turns them into a stop.

    All are errors and name their rows: a text in two splits (between train and val: repeats in validation), texts all
    but the same in two splits, a left-out subject or block on both sides, labels that the order of reading tells, and
    trials without a split or a table.

    Parameters
    ----------
    splits : DataFrame
        trial_id, split, fold.
    sentences : DataFrame
        trial_id, text, and dataset, subject, task, row where `label` is given.
    similarity : float
        See `near_duplicate_texts`.
    left_out : str, optional
        Column whose values no test trial shares with training, for example "subject" or "block".
    label : str, optional
        Column that will be decoded; see `order_leak`.
    n_permutations, seed : int
        Of the test of `order_leak`.
    """
    needed = ["text", *([left_out] if left_out else []), *([label] if label else [])]
    needed += ["dataset", "subject", "task", "row"] if label else []
    check_columns("the table of sentences", sentences, needed)
    problems, texts = [], sentences["text"].drop_duplicates().tolist()
    pairs = near_duplicate_texts(texts, similarity)
    pairs = pairs.assign(a=[texts[row] for row in pairs["row_a"]], b=[texts[row] for row in pairs["row_b"]])
    for fold, table in splits.groupby("fold", sort=True):
        where = f"splits: fold {fold}"
        shown = table[["trial_id", "split"]].merge(sentences, on="trial_id", suffixes=("", "_"))
        lost = "in the table of sentences ({}); split the same table"
        found = [*listing_faults(table, sentences["trial_id"], lost), *_same_texts(shown), *_near_texts(shown, pairs)]
        if left_out:
            found += _both_sides(shown, left_out)
        if label:
            found += _by_order(shown, label, n_permutations, seed)
        problems += [Problem(where, what, "error", rows) for what, rows in found]
    return problems


Found = tuple[str, tuple[str, ...]]


def _same_texts(shown: pd.DataFrame) -> Iterator[Found]:
    folded = shown["text"].str.casefold()
    for one, other in SIDES:
        both = set(folded[shown["split"] == one]) & set(folded[shown["split"] == other])
        rows = shown[folded.isin(both) & shown["split"].isin((one, other))]
        if len(rows):
            what = "repeats in validation: " if other == "val" else ""
            yield (
                f"{what}{len(both)} sentences are both {one} and {other} (trials {_named(rows)}); split by text, not "
                "by trial (make_text_split)",
                tuple(rows["trial_id"]),
            )


def _near_texts(shown: pd.DataFrame, pairs: pd.DataFrame) -> Iterator[Found]:
    sides = shown.groupby("text")["split"].agg(set).to_dict()
    across = [
        (a, b, alike)
        for a, b, alike in pairs[["a", "b", "similarity"]].itertuples(index=False)
        if a in sides and b in sides and a.casefold() != b.casefold() and len(sides[a] | sides[b]) > 1
    ]
    if across:
        rows = shown[shown["text"].isin({text for a, b, _ in across for text in (a, b)})]
        a, b, alike = max(across, key=lambda pair: pair[2])
        yield (
            f"{len(across)} pairs of almost the same text lie in two splits, such as {a!r} and {b!r} (similarity "
            f"{alike:.3f}; trials {_named(rows)}); keep them together (make_text_split)",
            tuple(rows["trial_id"]),
        )


def _both_sides(shown: pd.DataFrame, column: str) -> Iterator[Found]:
    test = shown["split"] == "test"
    both = set(shown[column][test]) & set(shown[column][~test])
    rows = shown[shown[column].isin(both) & test]
    if len(rows):
        yield (
            f"{column} {listed(sorted(both))} is tested and trained on, though it was to be left out (trials "
            f"{_named(rows)}); split with leave_out(sentences, {column!r})",
            tuple(rows["trial_id"]),
        )


def _by_order(shown: pd.DataFrame, label: str, n_permutations: int, seed: int) -> Iterator[Found]:
    accuracy, null, p, rows = order_leak(shown, label, n_permutations=n_permutations, seed=seed)
    if p <= BY_CHANCE and accuracy > null + LEAST_GAIN:
        yield (
            f"{label} follows the order of reading: the nearest training sentence of the recording has the label of "
            f"{accuracy:.0%} of the test sentences, against {null:.0%} with labels permuted (p = {p:.3f}; trials "
            f"{listed(rows)}), so that slow drift of the EEG would be decoded; leave out blocks "
            "(order_blocks, leave_out)",
            tuple(rows),
        )


def order_leak(
    shown: pd.DataFrame, label: str, *, n_permutations: int = 1000, seed: int = 0
) -> tuple[float, float, float, list[str]]:
    """Compute the accuracy of a test sentence's label as told by the training sentence read nearest to it.

    Parameters
    ----------
    shown : DataFrame
        trial_id, split, text, dataset, subject, task, row, and the label; trials without a label ("") are left out.
    label : str
    n_permutations, seed : int
        Labels are permuted among the different texts of a task.

    Returns
    -------
    accuracy, null, p : float
        Share of test sentences whose label the nearest one has, the mean of it under permutations, and
        (1 + number at least as large) / (1 + permutations). NaN, NaN and 1 where nothing can be compared.
    rows : list of str
        Trials whose label the order tells.
    """
    known = shown[shown[label].astype(str).ne("") & shown[label].notna()].reset_index(drop=True)
    tested, nearest = _nearest_in_order(known)
    if not len(tested):
        return float("nan"), float("nan"), 1.0, []
    texts = known.assign(place=known["dataset"] + " " + known["task"]).drop_duplicates(["place", "text"])
    keys = pd.MultiIndex.from_frame(texts[["place", "text"]])
    rows = keys.get_indexer(pd.MultiIndex.from_arrays([known["dataset"] + " " + known["task"], known["text"]]))
    codes = pd.factorize(texts[label].astype(str))[0]
    place = pd.factorize(texts["place"])[0]
    test_text, near_text = rows[tested], rows[nearest]
    told = codes[test_text] == codes[near_text]
    # Uniform numbers above the number of the task sort texts within tasks, in random order.
    drawn = np.argsort(place + np.random.default_rng(seed).random((n_permutations, len(codes))), axis=1)
    permuted = np.empty_like(drawn)
    permuted[:, np.argsort(place, kind="stable")] = codes[drawn]
    null = (permuted[:, test_text] == permuted[:, near_text]).mean(axis=1)
    p = (1 + (null >= told.mean() - 1e-12).sum()) / (1 + n_permutations)
    return float(told.mean()), float(null.mean()), float(p), known["trial_id"].iloc[tested[told]].tolist()


def _nearest_in_order(known: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return test rows, and for each the training row of the same recording that was read nearest to it."""
    tested: list[NDArray[np.intp]] = [np.zeros(0, np.intp)]
    nearest: list[NDArray[np.intp]] = [np.zeros(0, np.intp)]
    place, side = known["row"].to_numpy(dtype=np.int64), known["split"].to_numpy(dtype=object)
    recording = known.groupby(["dataset", "subject", "task"], sort=False).ngroup().to_numpy()
    for number in np.unique(recording):
        train = np.flatnonzero((recording == number) & (side == "train"))
        test = np.flatnonzero((recording == number) & (side == "test"))
        if len(train) and len(test):
            tested.append(test)
            nearest.append(train[np.abs(place[test][:, None] - place[train]).argmin(axis=1)])
    return np.concatenate(tested), np.concatenate(nearest)


def _named(rows: pd.DataFrame) -> str:
    return listed([f"{name} ({side})" for name, side in zip(rows["trial_id"], rows["split"], strict=True)])
