"""EEG and text brought together as GLIM does: two queries, one contrastive loss, one language model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from brainalign.checks import BrainalignError
from brainalign.decoding.text.frozen_language import LanguageModel
from brainalign.decoding.text.glim import GlimEncoder, QueryPool
from brainalign.decoding.text.language import wording
from brainalign.decoding.training import LogitScale, clip_loss


class GlimAlignment(nn.Module):
    """A frozen language model reads the encoder's tokens; its vector meets that of a query over the states of the text.

        loss = w · contrastive(vector of EEG, vector of text) + (1 − w) · cross-entropy of the text

    `TextDecoder("glim")` takes vectors of sentences as they are instead, which can be compared with other decoders.

    Parameters
    ----------
    encoder : GlimEncoder
        Whose state_width is the width of the language model.
    language : LanguageModel
        Frozen; no part of parameters or state.
    n_outputs : int
        Of both vectors, as in the encoder.
    n_heads : int
        Divides the width of the language model.
    weight : float
        w.

    Raises
    ------
    BrainalignError
        If widths differ.

    References
    ----------
    Liu et al. (2025). Learning interpretable representations leads to semantically faithful EEG-to-text generation.
    arXiv:2505.17099. (There the temperature is fixed; here it is learned.)
    """

    def __init__(
        self, encoder: GlimEncoder, language: LanguageModel, n_outputs: int, n_heads: int = 8, weight: float = 0.5
    ) -> None:
        super().__init__()
        if encoder.width != language.width:
            raise BrainalignError(
                f"states of the encoder have width {encoder.width}, the language model reads {language.width}; "
                f"give the encoder state_width={language.width}"
            )
        self.encoder = encoder
        self.language = language
        self.pool = QueryPool(language.width, n_outputs, n_heads)
        self.scale = LogitScale()
        self.weight = weight

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return vectors (n, n_outputs) of texts."""
        states, mask = self.language.text_states(texts)
        at = self.pool.query.device
        vectors: Tensor = self.pool(states.float().to(at), ~mask.to(at))
        return vectors

    def loss(
        self,
        signals: Tensor,
        mask: Tensor | None,
        prompt: Tensor,
        texts: Sequence[str | Sequence[str]],
        stimuli: Tensor,
        turn: int = 0,
    ) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        signals, mask, prompt
            As for the encoder.
        texts : sequence (n)
            The text of every trial, or several wordings: the first is aligned, all are written in turn.
        stimuli : Tensor (n,) of int
        turn : int
        """
        tokens, vector = self.encoder(signals, mask, prompt)
        aligned = clip_loss(vector, self.embed_texts([wording(text, 0) for text in texts]), self.scale(), stimuli)
        written = self.language.losses(tokens, [wording(text, turn) for text in texts]).mean()
        return self.weight * aligned + (1 - self.weight) * written

    def generate(
        self, signals: Tensor, mask: Tensor | None, prompt: Tensor, beams: int = 2, max_length: int = 64
    ) -> list[str]:
        """Generate texts with the language model from signals and prompt alone."""
        with torch.no_grad():
            return self.language.generate(self.encoder(signals, mask, prompt)[0], beams, max_length)
