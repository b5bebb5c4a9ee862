"""EEG of sentences that were read: padded signals, a mask of what was measured, and a row per sentence and subject."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_columns, check_rows, check_unique, listed

RATE_HZ, N_CHANNELS, N_SAMPLES = 128.0, 128, 1280
COLUMNS = ("trial_id", "stimulus_id", "text", "sha256", "dataset", "subject", "task", "row")
LEDGER = ("dataset", "subject", "task", "row", "text", "reason", "kept")


@dataclass(frozen=True)
class TextRecordings:
    """EEG recorded while sentences were read.

    Parameters
    ----------
    signals : array (n, 128, 1280), float32
        128 samples per second; zero beyond the channels recorded and after the end of a sentence. May lie on disk.
    mask : array (n, 1280) of bool
        Samples that were measured.
    sentences : DataFrame (n)
        trial_id, stimulus_id and sha256 (both of the text), text, dataset, subject, task, row (place in its file, from
        0), session, run, repeat (of the text within a subject), onset_s, and the labels of the task's table.
    n_channels : int
        How many of the 128 were recorded.
    ledger : DataFrame
        A row per trial that was dropped or noted: dataset, subject, task, row, text, reason, kept.
    units : str

    Raises
    ------
    BrainalignError
        If axes and tables disagree, a column is missing, ids repeat, or a sentence has no measured sample.
    """

    signals: NDArray[np.float32]
    mask: NDArray[np.bool_]
    sentences: pd.DataFrame
    n_channels: int
    ledger: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(LEDGER)))
    units: str = "µV"

    def __post_init__(self) -> None:
        check_columns("the table of sentences", self.sentences, COLUMNS)
        remedy = "give one row of the table per signal"
        check_rows("signals", len(self.signals), "the table of sentences", len(self.sentences), remedy)
        if self.signals.ndim != 3 or self.mask.shape != (len(self.signals), self.signals.shape[-1]):
            raise BrainalignError(
                f"signals have shape {self.signals.shape} and the mask {self.mask.shape}; give (n, channels, samples) "
                "and (n, samples)"
            )
        ids = self.sentences["trial_id"]
        check_unique("the table of sentences", ids, "trial ids")
        if unmeasured := ids.iloc[np.flatnonzero(~self.mask.any(axis=1))].tolist():
            raise BrainalignError(f"{len(unmeasured)} trials have no sample in the mask ({listed(unmeasured)})")

    def select(self, rows: NDArray[Any]) -> Self:
        """Return the chosen trials (boolean mask or row numbers); the ledger stays as it is."""
        chosen = np.arange(len(self.sentences))[rows]
        table = self.sentences.iloc[chosen].reset_index(drop=True)
        return replace(self, signals=self.signals[chosen], mask=self.mask[chosen], sentences=table)

    def duplicates(self) -> pd.DataFrame:
        """Return the texts that occur in several tasks or releases, or that a subject read more than once."""
        table = self.sentences.assign(place=self.sentences["dataset"] + " " + self.sentences["task"])
        table = table.assign(reader=table["dataset"] + " " + table["subject"])
        found = []
        for stimulus, rows in table.groupby("stimulus_id", sort=False):
            places, readers = sorted(set(rows["place"])), rows["reader"].value_counts()
            if len(places) > 1 or readers.iloc[0] > 1:
                found.append((stimulus, rows["text"].iloc[0], ", ".join(places), len(places), len(readers), len(rows),
                              int(readers.iloc[0])))  # fmt: skip
        names = ["stimulus_id", "text", "tasks", "n_tasks", "n_subjects", "n_trials", "most_by_subject"]
        return pd.DataFrame(found, columns=names)

    def drops(self) -> pd.DataFrame:
        """Count the dropped trials: dataset, task, reason, n, subjects (how many)."""
        dropped = self.ledger[~self.ledger["kept"].astype(bool)]
        counted = dropped.groupby(["dataset", "task", "reason"], sort=True)["subject"].agg(["size", "nunique"])
        return counted.reset_index().rename(columns={"size": "n", "nunique": "subjects"})

    def describe(self) -> str:
        """Return in words what was read, what was dropped and why, and which texts occur more than once."""
        table, drops = self.sentences, self.drops()
        readers = table[["dataset", "subject"]].drop_duplicates()
        lines = [
            f"{len(table):,} sentences read by {len(readers)} subjects, {table['stimulus_id'].nunique():,} different "
            f"texts; {self.n_channels} channels, {self.signals.shape[-1]} samples; {drops['n'].sum():,} trials dropped"
        ]
        lines += [
            f"  {row.n:,} of {row.dataset} {row.task} ({row.subjects} subjects): {row.reason}"
            for row in drops.itertuples()
        ]
        notes = self.ledger[self.ledger["kept"].astype(bool)]["reason"].value_counts()
        lines += [f"  kept, but noted: {n:,} trials: {reason}" for reason, n in notes.items()]
        twice = self.duplicates()
        lines += [f"  {len(twice):,} texts in several tasks or read again by a subject"] if len(twice) else []
        return "\n".join(lines)


def join_recordings(parts: Sequence[TextRecordings]) -> TextRecordings:
    """Return several recordings as one, for example ZuCo 1 and 2; a text has the same id in both.

    Their shapes and units agree; the signals are copied into memory.

    Raises
    ------
    BrainalignError
        If there is none, or they have other numbers of channels or samples, or units.
    """
    if not parts:
        raise BrainalignError("no recordings to join; give one or more")
    kinds = {(part.signals.shape[1:], part.n_channels, part.units) for part in parts}
    if len(kinds) > 1:
        raise BrainalignError(f"recordings of different shape, channels or units: {sorted(map(str, kinds))}")
    return TextRecordings(
        np.concatenate([part.signals for part in parts]),
        np.concatenate([part.mask for part in parts]),
        pd.concat([part.sentences for part in parts], ignore_index=True),
        parts[0].n_channels,
        pd.concat([part.ledger for part in parts], ignore_index=True).astype({"kept": bool}),
        parts[0].units,
    )
