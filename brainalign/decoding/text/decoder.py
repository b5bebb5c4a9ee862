"""Networks from EEG to the vectors of sentences, and from there to words.

    loss = w · contrastive(vector, vector of the sentence) + (1 − w) · cross-entropy of its words

Without a language model only the vectors are trained. The encoder is any of `EEG_ENCODERS`, a model of braindecode, or
"residual": ridge with the tiny network beside it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_rows
from brainalign.decoding.text.frozen_language import LanguageModel
from brainalign.decoding.text.language import LanguageBridge
from brainalign.decoding.text.relevance import relevance
from brainalign.decoding.text.residual import spread
from brainalign.decoding.text.text_network import RESIDUAL, TextNetwork
from brainalign.decoding.text.text_training import Feed, fit_ridge, reciprocal_rank, train_text
from brainalign.decoding.training import Augmentation, EegShape, Known, Trials, check_training, signal_scale
from brainalign.devices import pick_device
from brainalign.io import reading

Texts = Sequence[str | Sequence[str]]
AUGMENTATIONS = {RESIDUAL: Augmentation(channel_dropout=0.1)}
SPREAD_OF_RANKS = 0.3  # standard deviation of the difference of two decoders' reciprocal ranks of a trial, about
SPREAD_TRIALS = 1000  # enough for a mean, few enough for a long recording


@dataclass(eq=False, repr=False)
class TextDecoder:
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
        Keep the last weights, or those with the highest mean reciprocal rank on validation stimuli. Test stimuli never
        choose.
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
    selection: Literal["last", "best_val"] = "last"
    sfreq: float = 128.0
    device: str = "auto"
    seed: int = 0
    encoder_options: Mapping[str, Any] | None = None
    bridge_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_choice("selection", self.selection, ("last", "best_val"))
        if not 0 <= self.alignment_weight <= 1:
            raise BrainalignError(f"alignment_weight is {self.alignment_weight}; it is a share, from 0 to 1")

    def fit(self, train: Trials, val: Trials | None = None, texts: Texts | None = None) -> TextDecoder:
        """Train on the trials of one split.

        Parameters
        ----------
        train : Trials
            The table may have dataset and n_samples (what follows is padding), besides subject and task.
        val : Trials, optional
            Of other stimuli; used by selection="best_val" alone.
        texts : sequence (n_trials), optional
            With a language model: the text of every training trial, or wordings of it that take turns by epoch.

        Raises
        ------
        BrainalignError
            If values are not finite, a channel is zero in a subject, a stimulus is in both splits, shapes do not fit,
            validation trials are asked for and not given, or texts and language model do not come together.
        """
        check_training(train, val, texts, self.selection, self.language is not None)
        self.known_ = Known.of(train.meta)
        sizes = (*train.signals.shape[1:], train.targets.shape[1], *self.known_.counts, self.sfreq)
        shape = EegShape(*sizes)
        scale = signal_scale(train, self.known_)
        device = pick_device(self.device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            self.network_ = self._network(shape)
            self.network_.scale.load_state_dict(scale.state_dict())
            held_out = fit_ridge(self.network_, self.known_, train, self.seed)
            self.penalty_ = self.network_.penalty
            self.network_.to(device)
            self.history_ = train_text(
                Feed(self.network_, self.known_, train.signals, train.meta),
                train.targets,
                texts,
                held_out,
                AUGMENTATIONS.get(self.encoder, Augmentation()) if self.augment else None,
                self.alignment_weight,
                self.n_epochs,
                self.batch_size,
                self.seed,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                validate=None if val is None or self.selection == "last" else partial(self._validated, val),
                margin=0.0 if val is None else SPREAD_OF_RANKS / len(val.meta) ** 0.5,
            )
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

        Raises
        ------
        BrainalignError
            If there is no language model, or as `embed`.
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

        Raises
        ------
        BrainalignError
            If there is no language model, or as `embed`.
        """
        bridge = self._bridge()
        check_rows("texts", len(texts), "signals", len(signals), "give the text of every trial")
        found: list[str] = []
        with torch.no_grad():
            for part in self._feed(signals, meta).parts():
                states = bridge(*self.network_(*part))
                found += bridge.teacher_forced(states, list(texts[len(found) : len(found) + len(states)]))
        return pd.DataFrame({"text": list(texts), "teacher_forced": found, "diagnostic": True})

    def attention(self, signals: Values, meta: pd.DataFrame, targets: Values | None = None) -> NDArray[np.float64]:
        """Compute the relevance of channels and times to the vectors (n_channels, n_times); see `relevance`.

        Parameters
        ----------
        signals, meta
            As for `embed`; test trials.
        targets : array (n_trials, n_dimensions), optional
            Vectors of what was shown; those decoded where not given.

        Raises
        ------
        BrainalignError
            As `embed`, or if targets have another shape.
        """
        return relevance(self._feed(signals, meta), targets)

    def save(self, path: Path) -> None:
        """Write weights, settings and what is known of training to one safetensors file; no language model.

        Parameters
        ----------
        path : Path
        """
        write_decoder(self, path)

    @classmethod
    def load(cls, path: Path, language: LanguageModel | None = None, device: str = "auto") -> TextDecoder:
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
        about, state = read_decoder(path)
        decoder = cls(**about["settings"] | {"device": device, "language": language})
        decoder.known_ = Known(*(tuple(names) for names in about["known"]))
        decoder.spread_, decoder.penalty_ = about["spread"], about["penalty"]
        with torch.random.fork_rng(devices=[]):
            decoder.network_ = decoder._network(EegShape(*about["shape"]))
        load_state(decoder.network_, state, path)
        decoder.network_.to(pick_device(device)).eval()
        return decoder

    def _network(self, shape: EegShape) -> TextNetwork:
        return TextNetwork(self.encoder, shape, self.encoder_options, self.language, self.bridge_options)

    def _feed(self, signals: Values, meta: pd.DataFrame) -> Feed:
        return Feed(self.network_, self.known_, signals, meta)

    def _bridge(self) -> LanguageBridge:
        if self.network_.bridge is None:
            raise BrainalignError("this decoder has no language model; fit it with one, or load it with its own")
        return self.network_.bridge

    def _validated(self, val: Trials) -> float:
        return reciprocal_rank(self.embed(val.signals, val.meta), val)


KEY = "brainalign_text_decoder"


def write_decoder(decoder: TextDecoder, path: Path) -> None:
    """Write weights, settings and what is known of training.

    Parameters
    ----------
    decoder : TextDecoder
        Fitted. Its language model is not written.
    path : Path
    """
    names = [name for name in inspect.signature(type(decoder)).parameters if name != "language"]
    about = {
        "settings": {name: getattr(decoder, name) for name in names},
        "known": astuple(decoder.known_),
        "shape": astuple(decoder.network_.shape),
        "spread": decoder.spread_,
        "penalty": decoder.penalty_,
    }
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in decoder.network_.state_dict().items()}
    save_file(state, path, {KEY: json.dumps(about)})


def read_decoder(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a decoder that `write_decoder` wrote: its description, and the state of its network.

    Parameters
    ----------
    path : Path

    Raises
    ------
    BrainalignError
        If the file cannot be read or holds no decoder.
    """
    with (
        reading(path, "not a readable text decoder", "give a file that TextDecoder.save wrote"),
        safe_open(path, "pt") as file,
    ):
        about = json.loads((file.metadata() or {}).get(KEY, "null"))
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    if about is None:
        raise BrainalignError(f"{path} holds no text decoder; give a file that TextDecoder.save wrote")
    return about, state


def load_state(network: TextNetwork, state: dict[str, Tensor], path: Path) -> None:
    """Give a network the state that was read; that of a bridge is left out where the network has none.

    Parameters
    ----------
    network : TextNetwork
    state : dict of Tensor
    path : Path
        Named in errors.

    Raises
    ------
    BrainalignError
        If they do not fit.
    """
    if network.bridge is None:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("bridge.")}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise BrainalignError(f"{path} does not fit this language model or version of brainalign: {error}") from error
