"""Networks from EEG to the vectors of sentences, and from there to words.

    loss = w · contrastive(vector, vector of the sentence) + (1 − w) · cross-entropy of its words

Without a language model only the vectors are trained. The encoder is any of `EEG_ENCODERS`, a model of braindecode, or
"residual": ridge with the tiny network beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from brainalign.checks import BrainalignError, check_choice
from brainalign.decoding.augmentation import Augmentation
from brainalign.decoding.contrastive import LogitScale, clip_loss
from brainalign.decoding.eeg_encoders import EegShape, eeg_encoder
from brainalign.decoding.residual import RidgeMaps, RidgeResidual, cross_fitted, spread
from brainalign.decoding.retrieval import distinct_gallery, similarity_ranks
from brainalign.decoding.training import batches, train
from brainalign.decoding.trial_tensors import Known, check_signals, check_training, inside, signal_scale
from brainalign.decoding.trials import Trials
from brainalign.devices import pick_device

__all__ = ["TextDecoder"]

Values = NDArray[np.floating[Any]]
Inputs = tuple[Tensor, Tensor | None, Tensor]  # signals, mask, prompt
AUGMENTATIONS = {"residual": Augmentation(channel_dropout=0.1)}
N_FOLDS = 5
SPREAD_TRIALS = 1000  # enough for a mean, few enough for a long recording


class TextDecoder:
    """A network from EEG to vectors of sentences.

    Parameters
    ----------
    encoder : str
        Of `EEG_ENCODERS`, "residual", "braindecode:<Model>" or "module:Model".
    n_epochs : int
    learning_rate, weight_decay : float
        Of AdamW; the rate is the highest of a one-cycle schedule.
    batch_size : int
    augment : bool
        Vary training trials; see `Augmentation`.
    selection : {"last", "best_val"}
        Keep the last weights, or those with the highest mean reciprocal rank on validation stimuli. Test stimuli never
        choose.
    sfreq : float
        Samples per second, for models that ask.
    device : {"auto", "cpu", "cuda"}
    seed : int
    encoder_options : mapping, optional
        Keywords of the encoder.

    Attributes
    ----------
    history_ : History
        Losses, and validated mean reciprocal rank, of every step.
    spread_ : float
        Of the vectors of training trials (at most 1000): near 0 the network says the same of everything.
    known_ : Known
        Tasks, datasets and subjects of training.

    References
    ----------
    Radford A et al. (2021). Learning transferable visual models from natural language supervision. arXiv:2103.00020.
    Défossez A et al. (2023). Decoding speech perception from non-invasive brain recordings. Nature Machine Intelligence
    5:1097-1107. doi:10.1038/s42256-023-00714-5

    Examples
    --------
    >>> decoder = TextDecoder("tiny", n_epochs=12, selection="best_val").fit(train, val)  # doctest: +SKIP
    >>> vectors = decoder.embed(test.signals, test.meta)  # doctest: +SKIP
    """

    def __init__(
        self,
        encoder: str = "tiny",
        n_epochs: int = 24,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.05,
        batch_size: int = 96,
        augment: bool = True,
        selection: Literal["last", "best_val"] = "last",
        sfreq: float = 128.0,
        device: str = "auto",
        seed: int = 0,
        encoder_options: Mapping[str, Any] | None = None,
    ) -> None:
        check_choice("selection", selection, ("last", "best_val"))
        self.encoder = encoder
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.augment = augment
        self.selection = selection
        self.sfreq = sfreq
        self.device = device
        self.seed = seed
        self.encoder_options = encoder_options

    def fit(self, train: Trials, val: Trials | None = None) -> TextDecoder:
        """Train on the trials of one split.

        Parameters
        ----------
        train : Trials
            The table may have dataset and n_samples (what follows is padding), besides subject and task.
        val : Trials, optional
            Of other stimuli; used by selection="best_val" alone.

        Raises
        ------
        BrainalignError
            If values are not finite, a channel is zero in a subject, a stimulus is in both splits, shapes do not fit,
            or validation trials are asked for and not given.
        """
        check_training(train, val, None)
        if self.selection == "best_val" and val is None:
            raise BrainalignError('selection="best_val" chooses by validation trials; give them, or take "last"')
        self._at = pick_device(self.device)
        self.known_ = Known.of(train.meta)
        sizes = (len(names) for names in (self.known_.task, self.known_.dataset, self.known_.subject))
        self.shape_ = EegShape(*train.signals.shape[1:], train.targets.shape[1], *sizes, sfreq=self.sfreq)
        scale = signal_scale(train, self.known_)
        with torch.random.fork_rng(devices=[self._at] if self._at.type == "cuda" else []):
            torch.manual_seed(self.seed)
            self._build(scale, self._ridge(train, scale))
            self._train(train, val if self.selection == "best_val" else None)
        some = np.random.default_rng([self.seed, 1]).permutation(len(train.meta))[:SPREAD_TRIALS]
        self.spread_ = spread(self.embed(train.signals[some], train.meta.iloc[some]))
        return self

    def embed(self, signals: Values, meta: pd.DataFrame) -> NDArray[np.float32]:
        """Return unit vectors (n_trials, n_dimensions) in the space of the targets.

        Parameters
        ----------
        signals : array (n_trials, n_channels, n_times)
        meta : DataFrame (n_trials)
            subject and task, dataset and n_samples as in training. Someone new is decoded by the mean of the fitted
            subjects; `known_.unknown(meta)` counts such trials.

        Raises
        ------
        BrainalignError
            If shapes differ from training or values are not finite.
        """
        check_signals(signals, meta, (self.shape_.n_channels, self.shape_.n_times))
        with torch.no_grad():
            parts = [self._forward(*part)[1].cpu() for part in self._parts(signals, meta)]
        vectors = torch.cat(parts) if parts else torch.zeros(0, self.shape_.n_outputs)
        return np.asarray(F.normalize(vectors, dim=1).numpy())

    predict = embed

    def _build(self, scale: nn.Module, ridge: RidgeMaps | None) -> None:
        name = "tiny" if self.encoder == "residual" else self.encoder
        parts = {"scale": scale, "encoder": eeg_encoder(name, self.shape_, self.encoder_options)}
        if ridge is not None:
            parts |= {"ridge": ridge, "residual": RidgeResidual(self.shape_.n_outputs)}
        self._modules = nn.ModuleDict(parts).to(self._at).eval()

    def _ridge(self, train: Trials, scale: nn.Module) -> RidgeMaps | None:
        """Fit the ridge of every subject, and what folds predict of training trials."""
        if self.encoder != "residual":
            return None
        prompt = self.known_.prompt(train.meta)
        mask = inside(train.meta, self.shape_.n_times)
        given = [torch.from_numpy(a) if a is not None else None for a in (train.signals, mask, prompt[:, 2])]
        signals = scale(*given).numpy()
        stimuli = pd.factorize(train.meta["stimulus_id"])[0]
        rng = np.random.default_rng([self.seed, 2])
        self._held_out = cross_fitted(signals, train.targets, prompt[:, 2], stimuli, N_FOLDS, rng)
        return RidgeMaps.fit(signals, train.targets, prompt[:, 2])

    def _parts(self, signals: Values, meta: pd.DataFrame, size: int = 256) -> Iterator[Inputs]:
        """Yield signals, mask and prompt on the device, a few trials at a time."""
        mask, prompt = inside(meta, signals.shape[2]), self.known_.prompt(meta)
        for first in range(0, len(signals), size):
            yield self._tensors(signals, mask, prompt, slice(first, first + size))

    def _tensors(self, signals: Values, mask: Any, prompt: Any, rows: Any) -> Inputs:
        x = torch.as_tensor(np.asarray(signals[rows], dtype=np.float32), device=self._at)
        part = None if mask is None else torch.as_tensor(mask[rows], device=self._at)
        ids = torch.as_tensor(prompt[rows], device=self._at)
        return self._modules["scale"](x, part, ids[:, 2]), part, ids

    def _forward(
        self, signals: Tensor, mask: Tensor | None, prompt: Tensor, p: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        tokens, vector = self._modules["encoder"](signals, mask, prompt)
        if "ridge" in self._modules:
            p = self._modules["ridge"](signals, prompt[:, 2]) if p is None else p
            vector = self._modules["residual"](p, vector)
        return tokens, vector

    def _train(self, trials: Trials, val: Trials | None) -> None:
        scale = LogitScale(10.0, 50.0).to(self._at)
        mask, prompt = inside(trials.meta, self.shape_.n_times), self.known_.prompt(trials.meta)
        targets = torch.as_tensor(np.asarray(trials.targets, dtype=np.float32), device=self._at)
        stimuli = torch.as_tensor(pd.factorize(trials.meta["stimulus_id"])[0], device=self._at)
        vary = AUGMENTATIONS.get(self.encoder, Augmentation())
        generator = torch.Generator().manual_seed(self.seed)
        n = len(trials.meta)
        per_epoch = max(1, n // self.batch_size)
        n_steps = self.n_epochs * per_epoch
        drawn = batches(n, self.batch_size, n_steps, np.random.default_rng([self.seed, 0]))

        def loss(step: int) -> Tensor:
            rows = next(drawn)
            x, inner, ids = self._tensors(trials.signals, mask, prompt, rows)
            p = None
            if "ridge" in self._modules:
                p = torch.as_tensor(self._held_out[rows], device=self._at)
            if self.augment:
                x = vary(x, inner, generator)
            _, vector = self._forward(x, inner, ids, p)
            return clip_loss(vector, targets[rows], scale(), stimuli[rows])

        def validate() -> float:
            assert val is not None
            gallery, ids = distinct_gallery(val.targets, val.meta["stimulus_id"].to_numpy())
            column = pd.Index(ids).get_indexer(pd.Index(val.meta["stimulus_id"]))
            ranks = similarity_ranks(self.embed(val.signals, val.meta), gallery)
            return float((1 / ranks[np.arange(len(column)), column]).mean())

        self.history_ = train(
            [self._modules, scale],
            loss,
            n_steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            validate=None if val is None else validate,
            every=per_epoch,
        )
        self._held_out = None
