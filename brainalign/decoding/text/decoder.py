"""Networks from EEG to the vectors of sentences, and from there to words.

    loss = w · contrastive(vector, vector of the sentence) + (1 − w) · cross-entropy of its words

Without a language model only the vectors are trained. The encoder is any of `EEG_ENCODERS`, a model of braindecode, or
"residual": ridge with the tiny network beside it.
"""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_rows
from brainalign.decoding import training
from brainalign.decoding.scoring import cross_fitted, reciprocal_rank
from brainalign.decoding.text.eeg_encoders import Augmentation, eeg_encoder
from brainalign.decoding.text.language import LanguageBridge, LanguageModel
from brainalign.decoding.text.residual import RidgeMaps, RidgeResidual, spread
from brainalign.decoding.training import train as train_network
from brainalign.devices import pick_device, seeded
from brainalign.io import reading

Inputs = tuple[Tensor, Tensor | None, Tensor]  # scaled signals, mask, prompt
KEY = "brainalign_text_decoder"
Texts = Sequence[str | Sequence[str]]
RESIDUAL = "residual"  # ridge, and this encoder beside it:
BESIDE_RIDGE = "tiny"
AUGMENTATIONS = {RESIDUAL: Augmentation(channel_dropout=0.1)}
SCALE, MOST = 10.0, 50.0  # inverse temperature at first, and at most
SPREAD_OF_RANKS = 0.3  # standard deviation of the difference of two decoders' reciprocal ranks of a trial, about
N_FOLDS = 5
SPREAD_TRIALS = 1000  # enough for a mean, few enough for a long recording


@dataclass(eq=False, repr=False)
class TextDecoder(BaseEstimator):  # type: ignore[misc]
    """A network from EEG to vectors of sentences.

    Parameters
    ----------
    encoder : str
        Of `EEG_ENCODERS`, "residual", "braindecode:<Model>" or "module:Model".
    n_epochs : int
    learning_rate, weight_decay, batch_size
        Of AdamW; the rate is the highest of a one-cycle schedule.
    augment : bool
        Vary training trials; see `Augmentation`.
    selection : {"last", "best_val"}
        Keep the last weights, or those with the highest mean reciprocal rank on validation stimuli, where there are
        any. Test stimuli never choose.
    language : LanguageModel, optional
        Of `LANGUAGE_MODELS`; it stays frozen, and a `LanguageBridge` to it is trained with the encoder.
    alignment_weight : float
        w, in [0, 1]; 1 without a language model.
    sfreq : float
        Samples per second, for models that ask.
    device : {"auto", "cpu", "cuda"}
    seed : int
    encoder_options, bridge_options : mapping, optional
        Keywords of the encoder and of `LanguageBridge`.

    Attributes
    ----------
    history_ : History
        Losses, and validated mean reciprocal rank, of every epoch.
    spread_ : float
        Of the vectors of training trials (at most 1000): near 0 the network says the same of everything.
    penalty_ : float
        Of the ridge in "residual", chosen by folds of training stimuli; NaN with other encoders.
    known_ : Known
        Tasks, datasets and subjects of training.

    References
    ----------
    Défossez A et al. (2023). Decoding speech perception from non-invasive brain recordings. Nature Machine Intelligence
    5:1097-1107. doi:10.1038/s42256-023-00714-5
    """

    encoder: str = "residual"
    n_epochs: int = 24
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    batch_size: int = 96
    augment: bool = True
    language: LanguageModel | None = None
    alignment_weight: float = 0.5
    selection: Literal["last", "best_val"] = "best_val"
    sfreq: float = 128.0
    device: str = "cpu"
    seed: int = 0
    encoder_options: Mapping[str, Any] | None = None
    bridge_options: Mapping[str, Any] | None = None

    def fit(self, train: training.Trials, val: training.Trials | None = None, texts: Texts | None = None) -> Self:
        """Train on the trials of one split.

        Parameters
        ----------
        train : Trials
            The table may have dataset and n_samples (what follows is padding), besides subject and task.
        val : Trials, optional
            Of other stimuli; not used by selection="last".
        texts : sequence (n_trials), optional
            With a language model: the text of every training trial, or wordings of it that take turns by epoch.

        Raises
        ------
        BrainalignError
            If values are not finite, a channel is zero in a subject, a stimulus is in both splits, shapes do not fit,
            or texts and language model do not come together.
        """
        check_choice("selection", self.selection, ("last", "best_val"))
        if not 0 <= self.alignment_weight <= 1:
            raise BrainalignError(f"alignment_weight is {self.alignment_weight}; it is a share, from 0 to 1")
        training.check_training(train, val, texts, self.language is not None)
        self.known_ = training.Known.of(train.meta)
        sizes = (*train.signals.shape[1:], train.targets.shape[1], *self.known_.counts, self.sfreq)
        shape = training.EegShape(*sizes)
        scale = training.signal_scale(train, self.known_)
        device = pick_device(self.device)
        with seeded(self.seed, device):
            self.network_ = _TextNetwork(self, shape)
            self.network_.scale.load_state_dict(scale.state_dict())
            held_out = _fit_ridge(self.network_, self.known_, train, self.seed)
            self.penalty_ = self.network_.penalty
            self.network_.to(device)
            self.history_ = self._trained(train, val, texts, held_out)
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
        with torch.no_grad():
            parts = [self.network_(*part)[1].cpu() for part in self._feed(signals, meta).parts()]
        return np.asarray(F.normalize(torch.cat(parts), dim=1).numpy())

    predict = embed

    def generate(self, signals: Values, meta: pd.DataFrame, beams: int = 1, max_length: int = 64) -> list[str]:
        """Return a sentence for every trial, written word by word without any of the true ones.

        Parameters
        ----------
        signals, meta
            As for `embed`.
        beams : int
            1: the likeliest next word each time.
        max_length : int
            Tokens at most.
        """
        bridge = self._bridge()
        found: list[str] = []
        with torch.no_grad():
            for part in self._feed(signals, meta).parts():
                found += bridge.generate(bridge(*self.network_(*part)), beams, max_length)
        return found

    def teacher_forced(self, signals: Values, meta: pd.DataFrame, texts: Sequence[str]) -> pd.DataFrame:
        """Return the likeliest words given the true ones before (text, teacher_forced, diagnostic): never a result.

        Parameters
        ----------
        signals, meta
            As for `embed`.
        texts : sequence of str (n_trials)
        """
        bridge = self._bridge()
        check_rows("texts", len(texts), "signals", len(signals), "give the text of every trial")
        found: list[str] = []
        with torch.no_grad():
            for part in self._feed(signals, meta).parts():
                states = bridge(*self.network_(*part))
                found += bridge.language.teacher_forced(states, list(texts[len(found) : len(found) + len(states)]))
        return pd.DataFrame({"text": list(texts), "teacher_forced": found, "diagnostic": True})

    def attention(self, signals: Values, meta: pd.DataFrame, targets: Values | None = None) -> NDArray[np.float64]:
        """Compute the relevance of channels and times to the vectors (n_channels, n_times): gradient times input.

            relevance(c, t) = mean over trials that have the sample of x(c, t) · ∂(v · u) / ∂x(c, t)

        x is in standard deviations from the training mean; u is the unit vector of what was shown, and v is divided by
        its own length. For a linear decoder the values add up to the similarity, but for its intercept.

        Parameters
        ----------
        signals, meta
            As for `embed`; test trials.
        targets : array (n_trials, n_dimensions), optional
            Vectors of what was shown; without them those decoded, which say what an answer rests on, right or wrong.

        References
        ----------
        Shrikumar A, Greenside P, Kundaje A (2017). Learning important features through propagating activation
        differences. arXiv:1704.02685.
        """
        feed = self._feed(signals, meta)
        wanted = (len(signals), feed.network.shape.n_outputs)
        if targets is not None and targets.shape != wanted:
            raise BrainalignError(f"targets of shape {targets.shape} must be {wanted}: one vector per trial")
        total, count, first = np.zeros(signals.shape[1:]), np.zeros(signals.shape[2]), 0
        for x, mask, prompt in feed.parts():
            x.requires_grad_()
            _, vector = feed.network(x, mask, prompt)
            # The gradient of a cosine vanishes where v is right; that of the projection does not.
            unit = vector / vector.detach().norm(dim=1, keepdim=True).clamp(min=1e-12)
            toward = vector.detach() if targets is None else vector.new_tensor(targets[first : first + len(x)])
            (gradient,) = torch.autograd.grad((unit * F.normalize(toward, dim=1)).sum(), x)
            total += (gradient * x).detach().sum(dim=0).double().cpu().numpy()
            count += len(x) if mask is None else mask.sum(dim=0).cpu().numpy()
            first += len(x)
        return np.asarray(total / np.maximum(count, 1))

    def save(self, path: Path) -> None:
        """Write weights, settings and what is known of training to one safetensors file; no language model."""
        names = [name for name in inspect.signature(type(self)).parameters if name != "language"]
        about = {
            "settings": {name: getattr(self, name) for name in names},
            "known": astuple(self.known_),
            "shape": astuple(self.network_.shape),
            "spread": self.spread_,
            "penalty": self.penalty_,
        }
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network_.state_dict().items()}
        save_file(state, path, {KEY: json.dumps(about)})

    @classmethod
    def load(cls, path: Path, language: LanguageModel | None = None, device: str = "auto") -> "TextDecoder":
        """Return the decoder that was saved.

        Parameters
        ----------
        path : Path
        language : LanguageModel, optional
            The one it was trained with; without it, it embeds and does not write.
        device : {"auto", "cpu", "cuda"}

        Raises
        ------
        BrainalignError
            If the file holds no decoder, or none that writes through this language model.
        """
        wrong, remedy = "not a readable text decoder", "give a file that TextDecoder.save wrote"
        with reading(path, wrong, remedy):
            with safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {}).get(KEY, "null"))
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            if about is None:
                raise BrainalignError(f"{path} holds no text decoder; {remedy}")
            decoder = cls(**about["settings"] | {"device": device, "language": language})
            decoder.known_ = training.Known(*(tuple(names) for names in about["known"]))
            decoder.spread_, decoder.penalty_ = about["spread"], about["penalty"]
            with torch.random.fork_rng(devices=[]):
                decoder.network_ = _TextNetwork(decoder, training.EegShape(*about["shape"]))
        if language is None:
            state = {name: tensor for name, tensor in state.items() if not name.startswith("bridge.")}
        try:
            decoder.network_.load_state_dict(state)
        except RuntimeError as error:
            raise BrainalignError(
                f"{path} does not fit this language model or version of brainalign: {error}"
            ) from error
        decoder.network_.to(pick_device(device)).eval()
        return decoder

    def _trained(
        self,
        trials: training.Trials,
        val: training.Trials | None,
        texts: Texts | None,
        held_out: NDArray[np.float32] | None,
    ) -> training.History:
        """Train the network; `held_out` is what ridge predicts of every trial from other stimuli, if there is ridge."""
        network, feed = self.network_, self._feed(trials.signals, trials.meta)
        vary = AUGMENTATIONS.get(self.encoder, Augmentation()) if self.augment else None
        scale = training.LogitScale(SCALE, MOST).to(feed.device)
        wanted = torch.as_tensor(np.asarray(trials.targets, dtype=np.float32), device=feed.device)
        stimuli = torch.as_tensor(pd.factorize(trials.meta["stimulus_id"])[0], device=feed.device)
        generator = torch.Generator().manual_seed(self.seed)
        n = len(trials.meta)
        per_epoch = max(1, n // self.batch_size)
        n_steps = self.n_epochs * per_epoch
        drawn = training.batches(n, self.batch_size, n_steps, np.random.default_rng([self.seed, 0]))

        def loss(step: int) -> Tensor:
            rows = next(drawn)
            x, mask, prompt = feed.rows(rows)
            if vary is not None:
                x = vary(x, mask, generator)
            p = None if held_out is None else torch.as_tensor(held_out[rows], device=feed.device)
            tokens, vector = network(x, mask, prompt, p)
            alignment = training.clip_loss(vector, wanted[rows], scale(), stimuli[rows])
            if network.bridge is None or texts is None:
                return alignment
            states, turn = network.bridge(tokens, vector), step // per_epoch
            words = network.bridge.loss(states, [texts[i] for i in rows], turn)
            return self.alignment_weight * alignment + (1 - self.alignment_weight) * words

        def validated(val: training.Trials) -> float:
            return reciprocal_rank(self.embed(val.signals, val.meta), val.targets, val.meta["stimulus_id"])

        # Before training ridge speaks almost alone: later weights must be better by more than chance may do.
        margin = 0.0 if val is None else SPREAD_OF_RANKS / len(val.meta) ** 0.5
        return train_network(
            [network, scale],
            loss,
            n_steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            validate=None if val is None or self.selection == "last" else partial(validated, val),
            every=per_epoch,
            start=None if held_out is None else margin,
        )

    def _feed(self, signals: Values, meta: pd.DataFrame) -> "_Feed":
        check_is_fitted(self)
        return _Feed(self.network_, self.known_, signals, meta)

    def _bridge(self) -> LanguageBridge:
        if self.network_.bridge is None:
            raise BrainalignError("this decoder has no language model; fit it with one, or load it with its own")
        return self.network_.bridge


class _TextNetwork(nn.Module):
    """From raw signals to tokens and vectors."""

    def __init__(self, decoder: TextDecoder, shape: training.EegShape) -> None:
        super().__init__()
        self.shape, encoder = shape, decoder.encoder
        n, d = shape.n_subjects, shape.n_outputs
        self.scale = training.ChannelScale(torch.zeros(n, shape.n_channels), torch.ones(n, shape.n_channels))
        self.penalty = float("nan")  # of ridge, where there is one and it was fitted
        self.ridge: RidgeMaps | None = None
        self.residual: RidgeResidual | None = None
        if encoder == RESIDUAL:
            self.ridge = RidgeMaps(torch.zeros(n, shape.n_channels * shape.n_times, d), torch.zeros(n, d))
            self.residual = RidgeResidual(d)
        self.encoder = eeg_encoder(BESIDE_RIDGE if encoder == RESIDUAL else encoder, shape, decoder.encoder_options)
        self.bridge: LanguageBridge | None = None
        if decoder.language is not None:
            width = int(self.encoder.width)  # type: ignore[arg-type]
            self.bridge = LanguageBridge(decoder.language, width, d, **(decoder.bridge_options or {}))

    def forward(
        self, signals: Tensor, mask: Tensor | None, prompt: Tensor, p: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (n, n_tokens, width) and vectors (n, n_outputs)."""
        tokens, vector = self.encoder(signals, mask, prompt)
        if self.ridge is not None and self.residual is not None:
            vector = self.residual(self.ridge(signals, prompt[:, 2]) if p is None else p, vector)
        return tokens, vector


@dataclass
class _Feed:
    """Trials for a network, a few at a time."""

    network: _TextNetwork
    known: training.Known
    signals: Values
    meta: pd.DataFrame

    def __post_init__(self) -> None:
        shape = self.network.shape
        training.check_signals(self.signals, self.meta, (shape.n_channels, shape.n_times))
        self.mask = training.inside(self.meta, self.signals.shape[2])
        self.prompt = self.known.prompt(self.meta)
        self.device = self.network.scale.mean.device

    def rows(self, rows: Any) -> Inputs:
        """Return scaled signals, mask and prompt of some trials, on the device of the network."""
        x = torch.as_tensor(np.ascontiguousarray(self.signals[rows], dtype=np.float32), device=self.device)
        mask = None if self.mask is None else torch.as_tensor(self.mask[rows], device=self.device)
        prompt = torch.as_tensor(self.prompt[rows], device=self.device)
        return self.network.scale(x, mask, prompt[:, 2]), mask, prompt

    def parts(self, size: int = 256) -> Iterator[Inputs]:
        """Yield all trials, `size` at a time."""
        for first in range(0, len(self.signals), size):
            yield self.rows(slice(first, first + size))


def _fit_ridge(
    network: _TextNetwork, known: training.Known, trials: training.Trials, seed: int
) -> NDArray[np.float32] | None:
    """Fit every subject's ridge; predict training trials by the folds that chose the penalty, None without ridge."""
    if network.ridge is None:
        return None
    feed = _Feed(network, known, trials.signals, trials.meta)
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
