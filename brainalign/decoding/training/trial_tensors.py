"""Trials as networks take them: checked, scaled, masked where padded, with numbers for task, dataset and subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows, listed
from brainalign.decoding.training.trials import Trials, check_unseen

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
    def of(cls, meta: pd.DataFrame) -> Known:
        """Return those of a table of trials; without the column dataset there is one, unnamed."""
        return cls(*(tuple(sorted(set(_labels(meta, column)))) for column in PROMPT))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Count the tasks, datasets and subjects."""
        return len(self.task), len(self.dataset), len(self.subject)

    def prompt(self, meta: pd.DataFrame) -> NDArray[np.int64]:
        """Return numbers from 1 of task, dataset and subject (n_trials, 3); 0 is unknown."""
        known = (self.task, self.dataset, self.subject)
        ids = [
            pd.Index(names).get_indexer(pd.Index(_labels(meta, column))) + 1
            for column, names in zip(PROMPT, known, strict=True)
        ]
        return np.stack(ids, axis=1).astype(np.int64)

    def unknown(self, meta: pd.DataFrame) -> dict[str, int]:
        """Count the trials of an unknown task, dataset, subject."""
        return dict(zip(PROMPT, (self.prompt(meta) == 0).sum(axis=0).tolist(), strict=True))


def _labels(meta: pd.DataFrame, column: str) -> list[str]:
    return [str(label) for label in meta[column]] if column in meta else [""] * len(meta)


class ChannelScale(nn.Module):
    """Centres and scales every channel as on the subject's training trials; someone new as on average.

    Parameters
    ----------
    mean, scale : Tensor (n_subjects, n_channels)
    """

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", torch.cat([mean.mean(dim=0, keepdim=True), mean]))
        self.register_buffer("scale", torch.cat([scale.mean(dim=0, keepdim=True), scale]))
        self.mean: Tensor
        self.scale: Tensor

    def forward(self, signals: Tensor, mask: Tensor | None, subjects: Tensor) -> Tensor:
        """Return signals (n, n_channels, n_times) of about unit variance, zero in padding."""
        scaled = (signals - self.mean[subjects][:, :, None]) / self.scale[subjects][:, :, None]
        return scaled if mask is None else scaled * mask[:, None]


def inside(meta: pd.DataFrame, n_times: int) -> NDArray[np.bool_] | None:
    """Return where trials are no padding (n_trials, n_times), or None where the table has no n_samples.

    Raises
    ------
    BrainalignError
        If n_samples do not fit.
    """
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
    """Return the scale of training trials.

    Raises
    ------
    BrainalignError
        If a channel is zero or constant in all trials of a subject.
    """
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


def check_training(
    train: Trials, val: Trials | None, texts: Sequence[Any] | None, selection: str, language: bool
) -> None:
    """Raise unless trials can be trained on.

    Raises
    ------
    BrainalignError
        If something is missing, values are not finite, shapes do not fit, a validation stimulus is trained on, or texts
        are not one per trial.
    """
    if selection == "best_val" and val is None:
        raise BrainalignError('selection="best_val" chooses by validation trials; give them, or take "last"')
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
        if part.targets.shape[1:] != train.targets.shape[1:]:
            raise BrainalignError(
                f"targets of {name} have {part.targets.shape[1:]} dimensions, those of train {train.targets.shape[1:]};"
                " take both from one text model"
            )
        check_finite(f"targets of {name}", part.targets, "embed those texts again")
    if val is not None:
        check_unseen([train], [val], ("train", "val"))
    if texts is not None:
        check_rows("texts", len(texts), "train", len(train.meta), "give the text, or its wordings, of every trial")


def check_signals(signals: Values, meta: pd.DataFrame, shape: tuple[int, ...], name: str = "new trials") -> None:
    """Raise unless signals are as they were in training.

    Raises
    ------
    BrainalignError
        If there are none, the number of rows, channels or times differs, or a value is not finite.
    """
    if signals.ndim != 3 or not len(signals) or signals.shape[1:] != tuple(shape):
        raise BrainalignError(
            f"signals of {name} have the shape {signals.shape}, but training was on (n_trials, {shape[0]}, {shape[1]});"
            " choose the same channels, sampling rate and window"
        )
    check_rows(f"signals of {name}", len(signals), "the table of trials", len(meta), "give one row per trial")
    check_finite(f"signals of {name}", signals, "drop those trials or interpolate those channels")
