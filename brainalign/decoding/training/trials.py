"""Trials as decoders take them: signals, the vectors to decode, and what else is known of each trial."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_apart, check_rows, listed

TURN = 1e-5  # of the cosine of two vectors of one text
ROUNDING = 1e-5  # of the length of a vector
N_LINES = 8
COLUMNS = ("stimulus_id", "subject", "task")


@dataclass(frozen=True)
class Trials:
    """Trials of one split.

    Attributes
    ----------
    signals : array (n_trials, n_channels, n_times)
        Of recordings without a time axis (n_trials, n_voxels).
    targets : array (n_trials, n_dimensions)
        The vector of each trial's stimulus.
    meta : DataFrame (n_trials)
        stimulus_id, subject, task; where known text, a label, trial_index, block, and n_samples (what follows is
        padding).

    Raises
    ------
    BrainalignError
        If rows do not fit or a column is missing.
    """

    signals: Values
    targets: Values
    meta: pd.DataFrame

    def __post_init__(self) -> None:
        check_rows("signals", len(self.signals), "the table of trials", len(self.meta), "give one row per trial")
        check_rows("targets", len(self.targets), "the table of trials", len(self.meta), "give one row per trial")
        self.column(*COLUMNS)

    def column(self, *names: str) -> pd.DataFrame:
        """Return columns of the table.

        Raises
        ------
        BrainalignError
            If one is missing.
        """
        missing = [name for name in names if name not in self.meta]
        if missing:
            raise BrainalignError(f"the table of trials lacks {missing}; it has {list(self.meta)}: add the column(s)")
        return self.meta[list(names)]

    def select(self, rows: NDArray[Any]) -> Trials:
        """Return the chosen trials (boolean mask or row numbers)."""
        return Trials(self.signals[rows], self.targets[rows], self.meta.iloc[rows].reset_index(drop=True))

    def distinct(self) -> Trials:
        """Return the first trial of every stimulus, in order of appearance."""
        return self.select(np.flatnonzero(~self.meta["stimulus_id"].duplicated().to_numpy()))

    def averaged(self) -> Trials:
        """Return one trial per subject and stimulus, the mean of its repeats, with their number as `n_averaged`."""
        groups = self.meta.groupby(["subject", "stimulus_id"], sort=False)
        codes = groups.ngroup().to_numpy()
        first = np.unique(codes, return_index=True)[1]  # positions: the index of a table may be anything
        counts = np.bincount(codes)
        sums = np.zeros((len(counts), *self.signals.shape[1:]))
        np.add.at(sums, codes, self.signals)
        means = (sums / counts.reshape(-1, *[1] * (sums.ndim - 1))).astype(self.signals.dtype)
        meta = self.meta.iloc[first].reset_index(drop=True).assign(n_averaged=counts)
        return Trials(means, self.targets[first], meta)

    def shown(self, distinct: Trials) -> NDArray[np.intp]:
        """Find the row of `distinct` that holds each trial's stimulus."""
        ids = pd.Index(distinct.meta["stimulus_id"])
        return np.asarray(ids.get_indexer(pd.Index(self.meta["stimulus_id"])))

    @property
    def n_samples(self) -> NDArray[np.intp] | None:
        """Return the samples of each trial, where the table has them."""
        return self.meta["n_samples"].to_numpy(dtype=np.intp) if "n_samples" in self.meta else None


def check_unseen(train: Iterable[Trials], test: Iterable[Trials], sides: tuple[str, str] = ("train", "test")) -> None:
    """Raise if a stimulus is on both sides of a split: under one id, or under two with the same text or vector.

    Vectors are the same where they differ by rounding. One speaks for a stimulus where no other stimulus of either side
    has it; those of categories do not. A text does where the vectors are the same; words in contexts differ.

    Parameters
    ----------
    train, test : Trials of each modality or release
    sides : (str, str)
        What the two are called in the message.

    Raises
    ------
    BrainalignError
        If there is one.
    """
    remedy = "split by stimulus, not by trial"
    one, other = list(train), list(test)
    stimuli, asked_of = ([name for trials in side for name in trials.meta["stimulus_id"]] for side in (one, other))
    check_apart(stimuli, asked_of, "stimuli", remedy, sides)
    twins = _twins(one, other)
    if twins:
        named = listed([f"{a} and {b}" for a, b in twins])
        raise BrainalignError(
            f"{len(twins)} stimuli of {sides[0]} have the text or the target vector of a stimulus of {sides[1]} under "
            f"another id ({named}); give a stimulus one stimulus_id, and {remedy}"
        )


def _twins(one: list[Trials], other: list[Trials]) -> list[tuple[str, str]]:
    """Return pairs of stimuli, one of each side, that are the same."""
    tables, vectors = [], []
    for side, every in enumerate((one, other)):
        for trials in every:
            first = ~trials.meta["stimulus_id"].duplicated().to_numpy()  # signals are not touched
            rows = np.asarray(trials.targets[first], dtype=np.float32)
            vectors.append(rows.reshape(len(rows), math.prod(rows.shape[1:])))
            meta = trials.meta[first]
            texts = meta["text"].map(str) if "text" in meta else [""] * len(rows)
            tidy = [" ".join(text.split()).casefold() for text in texts]
            tables.append(pd.DataFrame({"side": side, "name": meta["stimulus_id"].map(str).to_numpy(), "text": tidy}))
    if len({rows.shape[1] for rows in vectors}) != 1:
        return []  # vectors of other models; those who compare them say so
    stimuli, values = pd.concat(tables, ignore_index=True), np.concatenate(vectors)
    found = _twins_by_text(stimuli, values)
    if (stimuli["text"] == "").any():
        found |= _twins_by_vector(stimuli.assign(vector=_same(values)))
    return sorted(found)


def _twins_by_text(stimuli: pd.DataFrame, values: Values) -> set[tuple[str, str]]:
    names, side = stimuli["name"].to_numpy(), stimuli["side"].to_numpy()
    known = stimuli[stimuli["text"] != ""]
    known = known[known.groupby("text")["side"].transform("nunique") == 2]
    squares = np.square(values).sum(axis=1)
    found: set[tuple[str, str]] = set()
    for places in known.groupby("text").indices.values():
        own = known.index.to_numpy()[places]
        a, b = own[side[own] == 0], own[side[own] == 1]
        step = max(1, 2**22 // len(b))
        for start in range(0, len(a), step):
            block = a[start : start + step]
            gaps = squares[block][:, None] + squares[b] - 2 * values[block] @ values[b].T
            same = gaps <= 2 * TURN * np.sqrt(squares[block][:, None] * squares[b])  # a turn, and about as long
            rows = same.any(axis=1)
            found |= set(zip(names[block[rows]], names[b[same[rows].argmax(axis=1)]], strict=True))
    return found


def _twins_by_vector(stimuli: pd.DataFrame) -> set[tuple[str, str]]:
    """Return stimuli alone with a vector on their side, unless both have a text: texts say more."""
    alone = stimuli.drop_duplicates(["vector", "side", "name"]).drop_duplicates(["vector", "side"], keep=False)
    pairs = alone[alone["side"] == 0].merge(alone[alone["side"] == 1], on="vector", suffixes=("", "_other"))
    pairs = pairs[(pairs["text"] == "") | (pairs["text_other"] == "")]
    return set(zip(pairs["name"], pairs["name_other"], strict=True))


def _same(values: Values) -> NDArray[np.intp]:
    """Return equal numbers for rows that are the same but for rounding.

    Rows are parted where their projections on a line are. Different rows may be close on one line, not on all; a grid
    to round to would part what lies at its edges.
    """
    lines = np.random.default_rng(0).normal(size=(values.shape[1], N_LINES)).astype(np.float32)
    limit = ROUNDING * np.linalg.norm(values, axis=1)
    groups = np.zeros(len(values), dtype=np.intp)
    for places in (values @ lines).T:
        order = np.lexsort((places, groups))
        close = np.diff(places[order]) <= limit[order][1:]
        apart = (np.diff(groups[order]) != 0) | ~close
        groups[order] = np.concatenate([[0], np.cumsum(apart)])
    return groups
