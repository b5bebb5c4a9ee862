"""How a text decoder is trained: batches of trials, varied, against the vectors and words of their sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainalign.arrays import Values
from brainalign.decoding.scoring import distinct_gallery, similarity_ranks
from brainalign.decoding.text.residual import RidgeMaps, cross_fitted
from brainalign.decoding.text.text_network import TextNetwork
from brainalign.decoding.training import (
    Augmentation,
    History,
    Known,
    LogitScale,
    Trials,
    batches,
    check_signals,
    clip_loss,
    inside,
    train,
)

Inputs = tuple[Tensor, Tensor | None, Tensor]  # scaled signals, mask, prompt
SCALE, MOST = 10.0, 50.0  # inverse temperature at first, and at most
N_FOLDS = 5


@dataclass
class Feed:
    """Trials for a network, a few at a time.

    Parameters
    ----------
    network : TextNetwork
    known : Known
    signals : array (n_trials, n_channels, n_times)
    meta : DataFrame (n_trials)

    Raises
    ------
    BrainalignError
        If signals are not as they were in training.
    """

    network: TextNetwork
    known: Known
    signals: Values
    meta: pd.DataFrame

    def __post_init__(self) -> None:
        shape = self.network.shape
        check_signals(self.signals, self.meta, (shape.n_channels, shape.n_times))
        self.mask = inside(self.meta, self.signals.shape[2])
        self.prompt = self.known.prompt(self.meta)
        self.device = self.network.scale.mean.device

    def rows(self, rows: Any) -> Inputs:
        """Return scaled signals, mask and prompt of some trials, on the device of the network."""
        x = torch.as_tensor(np.asarray(self.signals[rows], dtype=np.float32), device=self.device)
        mask = None if self.mask is None else torch.as_tensor(self.mask[rows], device=self.device)
        prompt = torch.as_tensor(self.prompt[rows], device=self.device)
        return self.network.scale(x, mask, prompt[:, 2]), mask, prompt

    def parts(self, size: int = 256) -> Iterator[Inputs]:
        """Yield all trials, `size` at a time."""
        for first in range(0, len(self.signals), size):
            yield self.rows(slice(first, first + size))


def train_text(
    feed: Feed,
    targets: Values,
    texts: Sequence[str | Sequence[str]] | None,
    held_out: Values | None,
    vary: Augmentation | None,
    alignment_weight: float,
    n_epochs: int,
    batch_size: int,
    seed: int,
    *,
    learning_rate: float,
    weight_decay: float,
    validate: Callable[[], float] | None = None,
    margin: float = 0.0,
) -> History:
    """Train the network of a feed in place.

    Parameters
    ----------
    feed : Feed
        Of the training trials.
    targets : array (n_trials, n_outputs)
    texts : sequence (n_trials), optional
        The text of every trial, or its wordings, which take turns by epoch; with a bridge.
    held_out : array (n_trials, n_targets), optional
        What ridge predicts of every trial from other stimuli.
    vary : Augmentation, optional
    alignment_weight : float
        Of the contrastive loss; the rest is the weight of the words.
    n_epochs, batch_size : int
    seed : int
    learning_rate, weight_decay : float
    validate : callable, optional
        Asked after every epoch; the best weights are kept.
    margin : float
        With ridge: by how much they must be better than before training, when ridge speaks almost alone.
    """
    network = feed.network
    scale = LogitScale(SCALE, MOST).to(feed.device)
    wanted = torch.as_tensor(np.asarray(targets, dtype=np.float32), device=feed.device)
    stimuli = torch.as_tensor(pd.factorize(feed.meta["stimulus_id"])[0], device=feed.device)
    generator = torch.Generator().manual_seed(seed)
    n = len(feed.meta)
    per_epoch = max(1, n // batch_size)
    n_steps = n_epochs * per_epoch
    drawn = batches(n, batch_size, n_steps, np.random.default_rng([seed, 0]))

    def loss(step: int) -> Tensor:
        rows = next(drawn)
        x, mask, prompt = feed.rows(rows)
        if vary is not None:
            x = vary(x, mask, generator)
        p = None if held_out is None else torch.as_tensor(held_out[rows], device=feed.device)
        tokens, vector = network(x, mask, prompt, p)
        alignment = clip_loss(vector, wanted[rows], scale(), stimuli[rows])
        if network.bridge is None or texts is None:
            return alignment
        words = network.bridge.loss(network.bridge(tokens, vector), [texts[i] for i in rows], turn=step // per_epoch)
        return alignment_weight * alignment + (1 - alignment_weight) * words

    return train(
        [network, scale],
        loss,
        n_steps,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        validate=validate,
        every=per_epoch,
        start=None if held_out is None else margin,
    )


def fit_ridge(network: TextNetwork, known: Known, trials: Trials, seed: int) -> NDArray[np.float32] | None:
    """Fit the ridge of every subject, and return what folds predict of training trials, or None without ridge.

    The folds choose the penalty, which the network keeps.

    Parameters
    ----------
    network : TextNetwork
        On the processor.
    known : Known
    trials : Trials
    seed : int
        Of the folds.
    """
    if network.ridge is None:
        return None
    feed = Feed(network, known, trials.signals, trials.meta)
    signals = torch.cat([x for x, _, _ in feed.parts()]).numpy()
    subjects = feed.prompt[:, 2]
    # Ridge sees channels as loud as they are, over the mean of the subject: scaled alike, quiet ones would be shrunk as
    # little as loud ones.
    loudness = network.scale.scale[1:].numpy()
    loudness = loudness / np.sqrt(np.square(loudness).mean(axis=1, keepdims=True))
    signals *= loudness[subjects - 1][:, :, None]
    stimuli = pd.factorize(trials.meta["stimulus_id"])[0]
    rng = np.random.default_rng([seed, 2])
    held_out, network.penalty = cross_fitted(signals, trials.targets, subjects, stimuli, N_FOLDS, rng)
    maps = RidgeMaps.fit(signals, trials.targets, subjects, network.penalty, loudness)
    network.ridge.load_state_dict(maps.state_dict())
    size = float(np.sqrt(np.square(held_out).mean()))
    if network.residual is not None and size > 0:
        network.residual.a.data.fill_(1 / size)  # a large penalty makes predictions small
    return held_out


def reciprocal_rank(vectors: Values, trials: Trials) -> float:
    """Return the mean of 1 / rank of the right stimulus among the distinct ones of `trials`.

    Parameters
    ----------
    vectors : array (n_trials, n_dimensions)
    trials : Trials
    """
    gallery, ids = distinct_gallery(trials.targets, trials.meta["stimulus_id"].to_numpy())
    column = pd.Index(ids).get_indexer(pd.Index(trials.meta["stimulus_id"]))
    return float((1 / similarity_ranks(vectors, gallery)[np.arange(len(column)), column]).mean())
