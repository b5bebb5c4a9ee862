"""Trials as decoders take them: signals, the vectors to decode, and what else is known of each trial."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_apart, check_rows, listed

__all__ = ["Trials", "check_unseen"]

Values = NDArray[np.floating[Any]]
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
        """Return which row of `distinct` holds each trial's stimulus."""
        ids = pd.Index(distinct.meta["stimulus_id"])
        return np.asarray(ids.get_indexer(pd.Index(self.meta["stimulus_id"])))

    @property
    def n_samples(self) -> NDArray[np.intp] | None:
        """Return the samples of each trial, where the table has them."""
        return self.meta["n_samples"].to_numpy(dtype=np.intp) if "n_samples" in self.meta else None


def check_unseen(train: Iterable[Trials], test: Iterable[Trials], sides: tuple[str, str] = ("train", "test")) -> None:
    """Raise if a stimulus is on both sides of a split: under one id, or under two with the same text or vector.

    A vector speaks for a stimulus where no other stimulus of either side has it; those of categories do not.

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
    known, asked = _owners(one), _owners(other)
    twins = [pair for vector in known.keys() & asked.keys() if (pair := _twins(known[vector], asked[vector]))]
    if twins:
        named = listed(sorted(f"{a} and {b}" for a, b in twins))
        raise BrainalignError(
            f"{len(twins)} stimuli of {sides[0]} have the text or the target vector of a stimulus of {sides[1]} under "
            f"another id ({named}); give a stimulus one stimulus_id, and {remedy}"
        )


def _owners(side: list[Trials]) -> dict[bytes, dict[str, str]]:
    """Return which stimuli have each vector, with their texts ("" where there is none)."""
    found: dict[bytes, dict[str, str]] = {}
    for trials in side:
        distinct = trials.distinct()
        rows = np.asarray(distinct.targets, dtype=np.float32) + np.float32(0)  # -0 is 0
        texts = distinct.meta["text"].map(str) if "text" in distinct.meta else [""] * len(rows)
        for name, text, row in zip(distinct.meta["stimulus_id"].map(str), texts, rows, strict=True):
            found.setdefault(row.tobytes(), {})[name] = " ".join(text.split()).casefold()
    return found


def _twins(known: dict[str, str], asked: dict[str, str]) -> tuple[str, str] | None:
    """Return two stimuli with one vector that are the same: by their text, or because no others have the vector."""
    for a, text in known.items():
        for b, other in asked.items():
            if (text == other) if text and other else len(known) == len(asked) == 1:
                return a, b
    return None
