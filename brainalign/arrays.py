"""The two nouns everything passes around: measured responses and model features, each with its labels.

Values are arrays; every axis has a table. Rows of the two are matched by stimulus id (`Features.align_to`) before an
estimator sees them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_columns, check_rows, check_unique, listed, numbers

Values = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]  # numbers of rows
Stored = Literal["float32", "float16", "bfloat16"]  # what float32 is rounded to in a file
IN_FILE: dict[Stored, np.dtype[Any]]
IN_FILE = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2"), "bfloat16": np.dtype("<u2")}
LARGEST = {"float32": np.inf, "float16": 65504.0, "bfloat16": 3.38e38}

TRIAL_COLUMNS = ("trial_id", "stimulus_id", "session", "run", "repeat", "onset_s")
TARGET_COLUMNS = ("target_id", "kind", "hemi", "roi")
BLOCK_BYTES = 2**27  # of float64 that are averaged at once


def label_codes(name: str, labels: Any, *, sort: bool = False) -> tuple[Rows, NDArray[Any]]:
    """Number labels (n_rows,), or a column of them, and return the different ones; raise where one is missing."""
    values = np.asarray(labels)
    if values.ndim != 1 and values.shape[1:] != (1,):
        raise BrainalignError(f"{name} has shape {values.shape}; give one label per row")
    codes, names = pd.factorize(values.ravel(), sort=sort)
    if (missing := np.flatnonzero(codes < 0)).size:
        raise BrainalignError(f"{name} has {missing.size} missing labels (first: row {missing[0]}); fill in or drop")
    return codes, np.asarray(names)


def average_rows(
    values: Values | StoredArray, rows: Rows, codes: Rows, averages: Values | StoredArray, first: int = 0
) -> None:
    """Average the rows of every code, in float64, a block of codes in memory at a time; both arrays may lie on disk.

    `rows` (n_rows,) of `values` (n_trials, ...) belong to the averages `codes` (n_rows,), numbers from 0 on that all
    occur; `averages` is filled from row `first` on.
    """
    order, counts = rows[np.argsort(codes, kind="stable")], np.bincount(codes)
    starts = np.cumsum(counts) - counts
    n_values = max(1, int(np.prod(values.shape[1:])))
    at_once = max(1, int(BLOCK_BYTES // (8 * counts.max(initial=1) * n_values)))
    for code in range(0, len(counts), at_once):
        some, begin = counts[code : code + at_once], starts[code]
        trials = values[order[begin : begin + some.sum()]].astype(np.float64)
        sums = np.add.reduceat(trials, starts[code : code + at_once] - begin)
        averages[first + code : first + code + len(some)] = sums / some.reshape(-1, *[1] * (values.ndim - 1))


def packed(values: NDArray[Any], kind: Stored, name: str) -> NDArray[Any]:
    """Round float32 to what a file holds, to the nearest and of two to the even one; `name` is for messages."""
    values = np.ascontiguousarray(values, dtype="<f4")
    if kind != "float32" and not (largest := np.abs(values).max(initial=0)) <= LARGEST[kind]:
        raise BrainalignError(
            f"{name} holds {largest:.3g}, but {kind} ends at {LARGEST[kind]:.3g}; store it as "
            f"{'bfloat16 or ' if kind == 'float16' else ''}float32 (`dtype` of the model)"
        )
    if kind != "bfloat16":
        return values.astype(IN_FILE[kind], copy=False)
    bits = values.view("<u4")
    return np.asarray((bits + (0x7FFF + (bits >> 16 & 1))) >> 16, dtype="<u2")


def unpacked(values: NDArray[Any], kind: Stored) -> NDArray[np.float32]:
    """Return what `packed` rounded, as float32."""
    return (values.astype("<u4") << 16).view("<f4") if kind == "bfloat16" else values.astype("<f4", copy=False)


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array in a file: what is asked for by index is read, into memory of its own, and nothing else is held.

    Parameters
    ----------
    path : Path
    offset : int
        Where in the file it begins, in bytes.
    written : tuple of int
        Its shape in the file.
    dtype : dtype
    rows : array (n_rows,) of int, optional
        The rows of the file that are the rows of this array, in any order; all where not given.
    half : {"float16", "bfloat16"}, optional
        What float32 was rounded to in the file.
    standard : (array, array) of shape (n_columns,), optional
        What is taken from every value that is read, and what it is then multiplied by, where there are two axes.
    """

    path: Path
    offset: int
    written: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: Rows | None = None
    half: Stored | None = None
    standard: tuple[Values, Values] | None = None

    @classmethod
    def create(cls, path: Path, shape: tuple[int, ...], dtype: Any) -> StoredArray:
        """Make a .npy file of zeros, which takes no room on disk until they are overwritten."""
        path.parent.mkdir(parents=True, exist_ok=True)
        mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
        return cls(path, mapped.offset, shape, mapped.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of this array."""
        return self.written if self.rows is None else (len(self.rows), *self.written[1:])

    @property
    def ndim(self) -> int:
        """Count the axes."""
        return len(self.written)

    def __len__(self) -> int:
        """Count the rows."""
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Read one row after the other."""
        return (self[row] for row in range(len(self)))

    def __getitem__(self, where: Any) -> NDArray[Any]:
        """Read a part: a copy, so that the pages of the file are given back."""
        if self.rows is not None:
            first, *others = where if isinstance(where, tuple) else (where,)
            where = (self.rows if first is Ellipsis else self.rows[first], *others)
        if 0 in self.written:  # nothing can be mapped
            return np.asarray(np.empty(self.written, self.dtype)[where])
        in_file = IN_FILE[self.half] if self.half else self.dtype
        part: NDArray[Any]
        some = where[1] if isinstance(where, tuple) and len(where) == self.ndim == 2 else None
        whole = (0, *self.written[-1:], 1)
        if isinstance(some, slice) and (some.step or 1) > 0 and some.indices(self.written[-1]) != whole:
            part = self._columns(np.arange(self.written[0])[where[0]], some, in_file)
        else:
            part = np.memmap(self.path, in_file, "r", self.offset, self.written).view(np.ndarray)[where]
            part = part if self.half or part.flags.owndata else part.copy()
        part = unpacked(part, self.half) if self.half else part
        if self.standard:
            columns = where[1] if isinstance(where, tuple) and len(where) == self.ndim else slice(None)
            mean, factor = self.standard
            part -= mean[columns]
            part *= factor[columns]
        return part

    def _columns(self, rows: Rows, columns: slice, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Read some columns row by row: a map would hold what lies around them, too, until all are copied."""
        first, last, step = columns.indices(self.written[1])
        part = np.empty((rows.size, max(0, last - first)), dtype)
        starts = self.offset + (rows.ravel() * self.written[1] + first) * dtype.itemsize
        with self.path.open("rb") as file:
            read = [os.preadv(file.fileno(), [row], start) for row, start in zip(part, starts.tolist(), strict=True)]
        if sum(read) < part.nbytes:
            raise BrainalignError(f"{self.path} ends before its shape {self.written} is full; write it again")
        return part.reshape(*rows.shape, -1)[..., ::step]

    def __setitem__(self, where: Any, values: NDArray[Any]) -> None:
        """Overwrite a part of the file, whatever the rows of this array; the pages are given back."""
        np.memmap(self.path, self.dtype, "r+", self.offset, self.written)[where] = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read everything."""
        return np.asarray(self[...], dtype=dtype)


def real_values(name: str, values: Any) -> Any:
    """Return an array of real numbers, as `numbers` does; a stored one stays in the file."""
    return values if isinstance(values, StoredArray) else numbers(name, values)


def flatten_rows(values: Any) -> Any:
    """Return the same rows with one axis each; those of a stored array stay in the file."""
    if isinstance(values, StoredArray):
        return replace(values, written=(values.written[0], int(np.prod(values.written[1:]))))
    values = numbers("values", values)
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def row_blocks(values: Any, n_bytes: int = BLOCK_BYTES) -> Iterator[slice]:
    """Yield slices of the rows of an array, in memory or stored, that take so many bytes in float64."""
    at_once = max(1, n_bytes // (8 * max(1, int(np.prod(values.shape[1:])))))
    return (slice(first, first + at_once) for first in range(0, len(values), at_once))


def map_rows(function: Callable[[Any], Any], values: Any) -> NDArray[Any]:
    """Apply a function to blocks of rows of an array, in memory or stored; it returns a row for each."""
    return np.concatenate([function(values[rows]) for rows in row_blocks(values)])


def take_rows(values: Any, rows: Any) -> Any:
    """Take rows of an array, by numbers or a slice; those of a stored one stay in the file."""
    if not isinstance(values, StoredArray):
        return values[rows]
    return replace(values, rows=(np.arange(len(values)) if values.rows is None else values.rows)[rows])


@dataclass(frozen=True)
class Responses:
    """Measured activity.

    Parameters
    ----------
    values : array (n_trials, n_targets[, n_times])
        In `units`; may lie on disk.
    trials : DataFrame (n_trials)
        trial_id, stimulus_id, session, run, repeat, onset_s (seconds from the start of the run).
    targets : DataFrame (n_targets)
        target_id, kind (voxel | vertex | sensor | parcel), hemi, roi; for voxels also i, j, k, x_mm, y_mm, z_mm.
    units : str
        For example "z" or "percent signal change".
    times : array (n_times), optional
        Seconds from stimulus onset.

    Raises
    ------
    BrainalignError
        If a table does not fit its axis, lacks a column or repeats an id.
    """

    values: Values
    trials: pd.DataFrame
    targets: pd.DataFrame
    units: str
    times: Values | None = None

    def __post_init__(self) -> None:
        check_columns("the table of trials", self.trials, TRIAL_COLUMNS)
        check_columns("the table of targets", self.targets, TARGET_COLUMNS)
        check_unique("the table of trials", self.trials["trial_id"], "trial ids")
        check_unique("the table of targets", self.targets["target_id"], "target ids")
        remedy = "give one row of the table per entry of that axis"
        check_rows("responses", self.values.shape[0], "the table of trials", len(self.trials), remedy)
        check_rows("the second axis of responses", self.values.shape[1], "targets", len(self.targets), remedy)
        if (self.times is None) != (self.values.ndim == 2):
            raise BrainalignError(
                f"responses of shape {self.values.shape} need `times` exactly when they have a third axis"
            )

    def select(self, trials: NDArray[Any] | None = None, targets: NDArray[Any] | None = None) -> Responses:
        """Return the chosen trials and targets (boolean masks or row numbers)."""
        rows = np.arange(len(self.trials)) if trials is None else np.arange(len(self.trials))[trials]
        columns = np.arange(len(self.targets)) if targets is None else np.arange(len(self.targets))[targets]
        values = self.values[rows]
        return replace(
            self,
            values=values if targets is None else values[:, columns],
            trials=self.trials.iloc[rows].reset_index(drop=True),
            targets=self.targets.iloc[columns].reset_index(drop=True),
        )

    def average_repeats(self) -> Responses:
        """Average all trials of a stimulus; `repeat` then holds how many there were, session and run are empty."""
        codes, stimulus_ids = pd.factorize(self.trials["stimulus_id"])
        counts, dtype = np.bincount(codes), np.result_type(self.values.dtype, np.float32)
        means = np.empty((len(stimulus_ids), *self.values.shape[1:]), dtype=dtype)
        average_rows(self.values, np.arange(len(codes)), codes, means)
        table = pd.DataFrame(
            {
                "trial_id": stimulus_ids,
                "stimulus_id": stimulus_ids,
                "session": "",
                "run": "",
                "repeat": counts,
                "onset_s": np.nan,
            }
        )
        return replace(self, values=means, trials=table)

    def zscore(self, within: Literal["session", "run"] = "session", *, in_place: bool = False) -> Responses:
        """Z-score each target within sessions or runs (sample standard deviation, ddof 1).

        Parameters
        ----------
        within : {"session", "run"}
        in_place : bool
            `values` are overwritten, in memory or on disk, so that large ones are there once; whole numbers are copied.

        Raises
        ------
        BrainalignError
            If a target is constant within a group, so that it has no z-score.
        """
        in_place &= self.values.dtype.kind == "f"
        values = self.values if in_place else np.array(self.values, np.result_type(self.values.dtype, np.float32))
        # Runs are numbered anew in every session.
        keys = ["session"] if within == "session" else ["session", "run"]
        for label, rows in self.trials.groupby(keys, sort=False).indices.items():
            for columns in self.blocks(len(rows)):
                centred = values[rows, columns].astype(np.float64)
                centred -= centred.mean(axis=0)
                sd = centred.std(axis=0, ddof=1)
                if not (sd > 0).all():
                    flat = self.targets["target_id"][columns].iloc[np.argwhere(~(sd > 0))[:, 0]].tolist()
                    raise BrainalignError(
                        f"{len(flat)} target(s) are constant within {within} {label!r} or hold NaN ({listed(flat)}); "
                        f"drop them with responses.select(targets=...) or choose a wider group than {within!r}"
                    )
                centred /= sd
                values[rows, columns] = centred
        return replace(self, values=values, units="z")

    def blocks(self, n_trials: int) -> Iterator[slice]:
        """Yield the targets whose values in so many trials fit a block of float64."""
        at_once = max(1, BLOCK_BYTES // (8 * n_trials * max(1, int(np.prod(self.values.shape[2:])))))
        return (slice(first, first + at_once) for first in range(0, len(self.targets), at_once))

    def samples_within(self, start: float, stop: float) -> Rows:
        """Number the samples of a window that is decoded as a whole; one before the stimulus leaves its end out."""
        times = np.empty(0) if self.times is None else self.times
        return np.flatnonzero((times >= start) & (times < stop if stop <= 0 else times <= stop))

    def regions(self) -> dict[str, Rows]:
        """List the rows of the targets of every region, by its name."""
        named = self.targets["roi"].explode().dropna()
        return {str(roi): np.asarray(rows, dtype=np.intp) for roi, rows in named.groupby(named).groups.items()}

    def target_table(self) -> pd.DataFrame:
        """Tabulate what values of a trial are of: target_id, and time_s where there are times; times vary fastest."""
        targets = self.targets["target_id"].to_numpy()
        if self.times is None:
            return pd.DataFrame({"target_id": targets})
        return pd.DataFrame(
            {"target_id": np.repeat(targets, len(self.times)), "time_s": np.tile(self.times, len(targets))}
        )


@dataclass(frozen=True)
class Features:
    """Activations of one layer of a model for a list of stimuli.

    Parameters
    ----------
    values : array (n_stimuli, n_features) or (n_stimuli, n_tokens, n_channels)
    stimuli : DataFrame (n_stimuli)
        stimulus_id, and path or text, category, sha256 where known.
    layer : str
    grid : (rows, columns), optional
        How the tokens of an image are laid out.

    Raises
    ------
    BrainalignError
        If the table does not fit the values.
    """

    values: Values
    stimuli: pd.DataFrame
    layer: str
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_columns("the table of stimuli", self.stimuli, ("stimulus_id",))
        check_rows("features", len(self.values), "the table of stimuli", len(self.stimuli), "give one row per stimulus")

    def rows_of(self, stimulus_ids: Sequence[str]) -> Rows:
        """Find the row of every stimulus.

        Raises
        ------
        BrainalignError
            If a stimulus has no features (the message lists them) or features of a stimulus occur twice.
        """
        check_unique(f"features of layer {self.layer!r}", self.stimuli["stimulus_id"])
        wanted = pd.Index(stimulus_ids)
        rows = pd.Index(self.stimuli["stimulus_id"]).get_indexer(wanted)
        if missing := wanted[rows < 0].unique().tolist():
            raise BrainalignError(
                f"layer {self.layer!r} has no features for {len(missing)} of {wanted.nunique()} stimuli "
                f"({listed(missing)}); run extract again, for every stimulus of the descriptor"
            )
        return np.asarray(rows)

    def align_to(self, responses: Responses) -> Features:
        """Return one row per trial of `responses`, matched by stimulus id as `rows_of` does; stored values stay so."""
        rows = self.rows_of(responses.trials["stimulus_id"].tolist())
        return replace(
            self, values=take_rows(self.values, rows), stimuli=self.stimuli.iloc[rows].reset_index(drop=True)
        )


class Layers(dict[str, Features]):
    """Features of several layers of one model, by layer name."""


class Arrays(dict[str, NDArray[Any]]):
    """Named arrays of one artifact, for example RDMs by method."""
