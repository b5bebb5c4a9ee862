"""The parts of a text decoder in one module: scale, encoder, and where asked for ridge and a language bridge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from brainalign.decoding.text.eeg_encoders import eeg_encoder
from brainalign.decoding.text.frozen_language import LanguageModel
from brainalign.decoding.text.language import LanguageBridge
from brainalign.decoding.text.residual import RidgeMaps, RidgeResidual
from brainalign.decoding.training import ChannelScale, EegShape

RESIDUAL = "residual"  # ridge, and this encoder beside it:
BESIDE_RIDGE = "tiny"


class TextNetwork(nn.Module):
    """From raw signals to tokens and vectors.

    Parameters
    ----------
    encoder : str
        Of `EEG_ENCODERS`, "residual" or "module:Model".
    shape : EegShape
    options : mapping, optional
        Of the encoder.
    language : LanguageModel, optional
        Read through a bridge; it is no part of the state.
    bridge_options : mapping, optional
        Of `LanguageBridge`.
    """

    def __init__(
        self,
        encoder: str,
        shape: EegShape,
        options: Mapping[str, Any] | None = None,
        language: LanguageModel | None = None,
        bridge_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        n, d = shape.n_subjects, shape.n_outputs
        self.scale = ChannelScale(torch.zeros(n, shape.n_channels), torch.ones(n, shape.n_channels))
        self.penalty = float("nan")  # of ridge, where there is one and it was fitted
        self.ridge: RidgeMaps | None = None
        self.residual: RidgeResidual | None = None
        if encoder == RESIDUAL:
            self.ridge = RidgeMaps(torch.zeros(n, shape.n_channels * shape.n_times, d), torch.zeros(n, d))
            self.residual = RidgeResidual(d)
        self.encoder = eeg_encoder(BESIDE_RIDGE if encoder == RESIDUAL else encoder, shape, options)
        self.bridge: LanguageBridge | None = None
        if language is not None:
            width = int(self.encoder.width)  # type: ignore[arg-type]
            self.bridge = LanguageBridge(language, width, d, **(bridge_options or {}))

    def forward(
        self, signals: Tensor, mask: Tensor | None, prompt: Tensor, p: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (n, n_tokens, width) and vectors (n, n_outputs).

        Parameters
        ----------
        signals : Tensor (n, n_channels, n_times)
            Scaled, by `scale`.
        mask : Tensor (n, n_times) of bool or None
            False in padding.
        prompt : Tensor (n, 3) of int
            Task, dataset, subject; 0 is unknown.
        p : Tensor (n, n_outputs), optional
            What ridge predicts, where it is not to be asked: in training.
        """
        tokens, vector = self.encoder(signals, mask, prompt)
        if self.ridge is not None and self.residual is not None:
            vector = self.residual(self.ridge(signals, prompt[:, 2]) if p is None else p, vector)
        return tokens, vector
