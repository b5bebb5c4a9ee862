"""From what an encoder made of brain signals to what a frozen language model reads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from brainalign.checks import BrainalignError
from brainalign.decoding.text.frozen_language import LanguageModel


class LanguageBridge(nn.Module):
    """Queries read an encoder's tokens; one more state comes from its vector; a frozen language model writes.

        states = [Linear(decoder layer(queries, tokens)), Linear(vector)]

    Only the bridge is trained. The language model is no part of its parameters or state.

    Parameters
    ----------
    language : LanguageModel
        For example of `LANGUAGE_MODELS`.
    width : int
        Of the encoder's tokens.
    d : int
        Of the encoder's vector.
    n_queries : int
        0: every token becomes a state by itself, for encoders that have queries of their own.
    n_heads : int
        Divides `width`.
    dropout : float

    Raises
    ------
    BrainalignError
        If heads do not divide the width.

    References
    ----------
    Li J, Li D, Savarese S, Hoi S (2023). BLIP-2: bootstrapping language-image pre-training with frozen image encoders
    and large language models. arXiv:2301.12597.
    """

    def __init__(
        self,
        language: LanguageModel,
        width: int,
        d: int,
        n_queries: int = 8,
        n_heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if width % n_heads:
            raise BrainalignError(f"{n_heads} heads do not divide tokens of width {width}; change n_heads")
        self.language = language
        self.width, self.d = width, d
        self.queries = nn.Parameter(torch.randn(n_queries, width) / width**0.5)
        self.read = (
            nn.TransformerDecoderLayer(width, n_heads, 2 * width, dropout, "gelu", batch_first=True, norm_first=True)
            if n_queries
            else None
        )
        self.normal = nn.LayerNorm(width)
        self.from_tokens = nn.Linear(width, language.width)
        self.from_vector = nn.Linear(d, language.width)

    def forward(self, tokens: Tensor, vector: Tensor) -> Tensor:
        """Return states of the language model (n, n_queries + 1, d_model).

        Parameters
        ----------
        tokens : Tensor (n, n_tokens, width)
        vector : Tensor (n, d)
            Brought to unit length and √d here, so that its size says nothing.

        Raises
        ------
        BrainalignError
            If shapes do not fit.
        """
        if tokens.ndim != 3 or tokens.shape[2] != self.width or vector.shape != (len(tokens), self.d):
            raise BrainalignError(
                f"tokens {tuple(tokens.shape)} and vector {tuple(vector.shape)} must be (n, n_tokens, {self.width}) "
                f"and (n, {self.d})"
            )
        if self.read is not None:
            tokens = self.read(self.queries.expand(len(tokens), -1, -1), tokens)
        whole = nn.functional.normalize(vector, dim=-1) * self.d**0.5
        states = torch.cat([self.from_tokens(self.normal(tokens)), self.from_vector(whole)[:, None]], dim=1)
        # States start at the size the model is used to; embeddings of a causal model are far smaller than 1.
        return states * self.language.scale

    def loss(self, states: Tensor, texts: Sequence[str | Sequence[str]], turn: int = 0) -> Tensor:
        """Return the teacher-forced cross-entropy, mean over trials.

        Parameters
        ----------
        states : Tensor (n, m, d_model)
        texts : sequence (n)
            The text of every trial, or several wordings of it that take turns.
        turn : int
            Which wording, counted on from the first when there are fewer; for example the epoch.
        """
        return self.language.losses(states, [wording(text, turn) for text in texts]).mean()

    def teacher_forced(self, states: Tensor, texts: Sequence[str]) -> list[str]:
        """Return the likeliest word at each place given the true words before it: a diagnostic, never a result."""
        return self.language.teacher_forced(states, texts)

    def generate(self, states: Tensor, beams: int = 1, max_length: int = 64, batch_size: int = 64) -> list[str]:
        """Generate texts with the language model from the states alone.

        Parameters
        ----------
        states : Tensor (n, m, d_model)
        beams : int
            1: greedy.
        max_length : int
            Tokens at most.
        batch_size : int
            Trials at a time.
        """
        return [
            text
            for part in states.detach().split(batch_size)
            for text in self.language.generate(part, beams, max_length)
        ]


def wording(text: str | Sequence[str], turn: int) -> str:
    """Return the wording whose turn it is.

    Raises
    ------
    BrainalignError
        If there is none.
    """
    if isinstance(text, str):
        return text
    if not text:
        raise BrainalignError("a trial has no text; give at least one wording of each")
    return text[turn % len(text)]
