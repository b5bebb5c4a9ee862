"""Trials as decoders take them: signals, the vectors to decode, and what else is known of each trial."""

import math
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainalign.arrays import Values, average_rows
from brainalign.checks import BrainalignError, check_apart, check_columns, check_finite, check_rows, check_shape, listed

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
    """

    signals: Values
    targets: Values
    meta: pd.DataFrame

    def __post_init__(self) -> None:
        check_rows("signals", len(self.signals), "the table of trials", len(self.meta), "give one row per trial")
        check_rows("targets", len(self.targets), "the table of trials", len(self.meta), "give one row per trial")
        self.column(*COLUMNS)

    def column(self, *names: str) -> pd.DataFrame:
        """Return columns of the table."""
        check_columns("the table of trials", self.meta, names, "add it")
        return self.meta[list(names)]

    def select(self, rows: NDArray[Any]) -> "Trials":
        """Return the chosen trials (boolean mask or row numbers)."""
        return Trials(self.signals[rows], self.targets[rows], self.meta.iloc[rows].reset_index(drop=True))

    def distinct(self) -> "Trials":
        """Return the first trial of every stimulus, in order of appearance."""
        return self.select(np.flatnonzero(~self.meta["stimulus_id"].duplicated().to_numpy()))

    def averaged(self) -> "Trials":
        """Return one trial per subject and stimulus, the mean of its repeats, with their number as `n_averaged`."""
        codes = self.meta.groupby(["subject", "stimulus_id"], sort=False).ngroup().to_numpy().astype(np.intp)
        first = np.unique(codes, return_index=True)[1]  # positions: the index of a table may be anything
        counts = np.bincount(codes)
        means = np.empty((len(counts), *self.signals.shape[1:]), np.result_type(self.signals.dtype, np.float32))
        average_rows(self.signals, np.arange(len(codes)), codes, means)
        meta = self.meta.iloc[first].reset_index(drop=True).assign(n_averaged=counts)
        return Trials(means, self.targets[first], meta)

    def shown(self, distinct: "Trials") -> NDArray[np.intp]:
        """Find the row of `distinct` that holds each trial's stimulus."""
        return np.asarray(pd.Index(distinct.meta["stimulus_id"]).get_indexer(pd.Index(self.meta["stimulus_id"])))

    @property
    def n_samples(self) -> NDArray[np.intp] | None:
        """Return the samples of each trial, where the table has them."""
        return self.meta["n_samples"].to_numpy(dtype=np.intp) if "n_samples" in self.meta else None


def check_unseen(train: Iterable[Trials], test: Iterable[Trials], sides: tuple[str, str] = ("train", "test")) -> None:
    """Raise if a stimulus is on both sides of a split: under one id, or under two with the same text or vector.

    Vectors are the same where they differ by rounding. One speaks for a stimulus where no other stimulus of either side
    has it; those of categories do not. A text does where the vectors are the same; words in contexts differ.
    """
    remedy = "split by stimulus, not by trial"
    one, other = list(train), list(test)
    stimuli, asked_of = ([name for trials in side for name in trials.meta["stimulus_id"]] for side in (one, other))
    check_apart(stimuli, asked_of, "stimuli", remedy, sides)
    if twins := _twins(one, other):
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
        stimuli["vector"] = _same(values)
        # Alone with a vector on their side, unless both have a text: texts say more.
        alone = stimuli.drop_duplicates(["vector", "side", "name"]).drop_duplicates(["vector", "side"], keep=False)
        pairs = alone[alone["side"] == 0].merge(alone[alone["side"] == 1], on="vector", suffixes=("", "_other"))
        pairs = pairs[(pairs["text"] == "") | (pairs["text_other"] == "")]
        found |= set(zip(pairs["name"], pairs["name_other"], strict=True))
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


def _same(values: Values) -> NDArray[np.intp]:
    """Number rows alike that differ by rounding: by projections on lines, as a grid parts what lies at its edges."""
    lines = np.random.default_rng(0).normal(size=(values.shape[1], N_LINES)).astype(np.float32)
    limit = ROUNDING * np.linalg.norm(values, axis=1)
    groups = np.zeros(len(values), dtype=np.intp)
    for places in (values @ lines).T:
        order = np.lexsort((places, groups))
        close = np.diff(places[order]) <= limit[order][1:]
        apart = (np.diff(groups[order]) != 0) | ~close
        groups[order] = np.concatenate([[0], np.cumsum(apart)])
    return groups


PROMPT = ("task", "dataset", "subject")


@dataclass(frozen=True)
class Known:
    """The tasks, datasets and subjects a decoder was fitted on.

    Attributes
    ----------
    task, dataset, subject : tuple of str
    """

    task: tuple[str, ...]
    dataset: tuple[str, ...]
    subject: tuple[str, ...]

    @classmethod
    def of(cls, meta: pd.DataFrame) -> Self:
        """Return those of a table of trials; without the column dataset there is one, unnamed."""
        return cls(*(tuple(sorted(set(_labels(meta, column)))) for column in PROMPT))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Count the tasks, datasets and subjects."""
        return len(self.task), len(self.dataset), len(self.subject)

    def prompt(self, meta: pd.DataFrame) -> NDArray[np.int64]:
        """Return numbers from 1 of task, dataset and subject (n_trials, 3); 0 is unknown."""
        ids = [
            pd.Index(names).get_indexer(pd.Index(_labels(meta, column))) + 1
            for column, names in zip(PROMPT, (self.task, self.dataset, self.subject), strict=True)
        ]
        return np.stack(ids, axis=1).astype(np.int64)

    def unknown(self, meta: pd.DataFrame) -> dict[str, int]:
        """Count the trials of an unknown task, dataset, subject."""
        return dict(zip(PROMPT, (self.prompt(meta) == 0).sum(axis=0).tolist(), strict=True))


def _labels(meta: pd.DataFrame, column: str) -> list[str]:
    return [str(label) for label in meta[column]] if column in meta else [""] * len(meta)


class ChannelScale(nn.Module):
    """Centres and scales every channel as on the subject's training trials; someone new as on average."""

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.cat([mean.mean(dim=0, keepdim=True), mean]))
        self.scale = nn.Buffer(torch.cat([scale.mean(dim=0, keepdim=True), scale]))

    def forward(self, signals: Tensor, mask: Tensor | None, subjects: Tensor) -> Tensor:
        """Return signals (n, n_channels, n_times) of about unit variance, zero in padding."""
        scaled = (signals - self.mean[subjects][:, :, None]) / self.scale[subjects][:, :, None]
        return scaled if mask is None else scaled * mask[:, None]


def inside(meta: pd.DataFrame, n_times: int) -> NDArray[np.bool_] | None:
    """Return where trials are no padding (n_trials, n_times), or None where the table has no n_samples."""
    if "n_samples" not in meta:
        return None
    n_samples = meta["n_samples"].to_numpy(dtype=np.intp)
    if len(n_samples) and (n_samples.min() < 1 or n_samples.max() > n_times):
        raise BrainalignError(
            f"n_samples from {n_samples.min()} to {n_samples.max()} do not fit {n_times} times; count the samples of "
            "each trial, at least 1"
        )
    found = np.arange(n_times) < n_samples[:, None]
    return None if found.all() else np.asarray(found)


def signal_scale(trials: Trials, known: Known) -> ChannelScale:
    """Return the scale of training trials."""
    subjects = known.prompt(trials.meta)[:, 2]
    mask = inside(trials.meta, trials.signals.shape[2])
    means, scales, flat = [], [], []
    for k, name in enumerate(known.subject, start=1):
        rows = subjects == k
        signals = np.asarray(trials.signals[rows], dtype=np.float64).swapaxes(0, 1)  # (n_channels, n, n_times)
        values = signals.reshape(len(signals), -1) if mask is None else signals[:, mask[rows]]
        mean, scale = values.mean(axis=1), values.std(axis=1)
        flat += [f"channel {c} of subject {name}" for c in np.flatnonzero(scale <= 1e-6 * np.abs(mean))]
        means.append(mean)
        scales.append(scale)
    if flat:
        raise BrainalignError(
            f"{len(flat)} channels are zero or constant in all training trials ({listed(flat)}); drop them in all "
            "subjects or interpolate them"
        )
    return ChannelScale(*(torch.tensor(np.stack(a), dtype=torch.float32) for a in (means, scales)))


def check_training(train: Trials, val: Trials | None, texts: Sequence[Any] | None, language: bool) -> None:
    """Raise unless trials can be trained on."""
    if (texts is not None) != language:
        given, missing = ("a language model", "texts") if language else ("texts", "language model")
        raise BrainalignError(f"got {given} and no {missing}; give both to learn to write, or neither")
    if train.signals.ndim != 3 or train.targets.ndim != 2 or not train.signals.size or not train.targets.size:
        raise BrainalignError(
            f"signals {train.signals.shape} and targets {train.targets.shape} must be (n_trials, n_channels, n_times) "
            "and (n_trials, n_dimensions), with at least one of each"
        )
    for name, part in (("train", train), ("val", val)):
        if part is None:
            continue
        check_signals(part.signals, part.meta, train.signals.shape[1:], name)
        vectors, of_train = part.targets.shape[1:], train.targets.shape[1:]
        check_shape(f"a target of {name}", vectors, of_train, "those of train have", "take both from one text model")
        check_finite(f"targets of {name}", part.targets, "embed those texts again")
    if val is not None:
        check_unseen([train], [val], ("train", "val"))
    if texts is not None:
        check_rows("texts", len(texts), "train", len(train.meta), "give the text, or its wordings, of every trial")


def check_signals(signals: Values, meta: Sized, shape: tuple[int, ...], name: str = "new trials") -> None:
    """Raise unless signals are as they were in training."""
    if signals.ndim != 3 or not len(signals) or signals.shape[1:] != tuple(shape):
        raise BrainalignError(
            f"signals of {name} have the shape {signals.shape}, but training was on (n_trials, {shape[0]}, {shape[1]});"
            " choose the same channels, sampling rate and window"
        )
    check_rows(f"signals of {name}", len(signals), "the table of trials", len(meta), "give one row per trial")
    check_finite(f"signals of {name}", signals, "drop those trials or interpolate those channels")
