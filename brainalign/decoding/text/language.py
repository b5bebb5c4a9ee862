"""From what an encoder made of brain signals to what a language model reads, whose weights stay as they are.

A model with an encoder and a decoder (T5, BART) reads vectors as if its encoder had written them. A causal model
(GPT-2, Llama) reads them as the embeddings of a beginning, which it goes on with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainalign.checks import BrainalignError, check_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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

    References
    ----------
    Li J, Li D, Savarese S, Hoi S (2023). BLIP-2: bootstrapping language-image pre-training with frozen image encoders
    and large language models. arXiv:2301.12597.
    """

    def __init__(
        self, language: LanguageModel, width: int, d: int, n_queries: int = 8, n_heads: int = 4, dropout: float = 0.1
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
    """Return the wording whose turn it is."""
    if isinstance(text, str):
        return text
    if not text:
        raise BrainalignError("a trial has no text; give at least one wording of each")
    return text[turn % len(text)]


IGNORED = -100  # a label that counts for nothing, in torch and transformers
FILLED = 0.9  # vocabularies padded to a round size leave a few rows unused; another model's leaves many


class LanguageModel(Protocol):
    """What a bridge asks of a language model. It follows the device of the states it is given.

    Attributes
    ----------
    width : int
        Of the states it reads.
    scale : float
        Their usual size (root mean square).
    """

    width: int
    scale: float

    def losses(self, states: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the teacher-forced cross-entropy of every text (n,), mean over its tokens; states (n, m, width)."""

    def teacher_forced(self, states: Tensor, texts: Sequence[str]) -> list[str]:
        """Return the likeliest token at each place of the text, given all of the text before it: a diagnostic."""

    def generate(self, states: Tensor, beams: int = 1, max_length: int = 64) -> list[str]:
        """Generate texts without any true words given, greedily or by beams, of at most `max_length` tokens."""

    def text_states(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return states of true texts (n, n_tokens, width) and the mask of their tokens."""


class _Frozen(ABC):
    """A model of transformers that takes no gradient, and what is asked of any such model and its tokenizer."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
        # transformers types little of what a loaded model is.
        self.model = cast(Any, model)
        self.model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        table: Tensor = self.model.get_input_embeddings().weight
        n_rows = len(table)
        self.width = int(table.shape[1])
        if not FILLED * n_rows <= len(tokenizer) <= n_rows:
            raise BrainalignError(
                f"the tokenizer of {name} has {len(tokenizer)} tokens, its model embeds {n_rows}; "
                "they do not belong together: give the folder both were saved to"
            )
        self.end = self._special("eos_token_id", n_rows)

    def _special(self, which: str, n_rows: int) -> int:
        """Return a special token that tokenizer and model agree on."""
        of_tokenizer, of_model = getattr(self.tokenizer, which), getattr(self.model.config, which, None)
        if of_tokenizer is None:
            raise BrainalignError(f"the tokenizer of {self.name} has no {which}; set it and save the tokenizer again")
        known = of_model if isinstance(of_model, list) else [of_model]
        if of_model is not None and of_tokenizer not in known:
            raise BrainalignError(
                f"{which} is {of_tokenizer} in the tokenizer and {of_model} in the model of {self.name}; "
                "they do not belong together: give the folder both were saved to"
            )
        if of_tokenizer >= n_rows:
            raise BrainalignError(f"{which} {of_tokenizer} of {self.name} lies past the {n_rows} tokens of its model")
        return int(of_tokenizer)

    def _check(self, states: Tensor, texts: Sequence[str]) -> None:
        check_rows("texts", len(texts), "states", len(states), "give one text per row")
        if states.ndim != 3 or states.shape[2] != self.width:
            raise BrainalignError(f"states {tuple(states.shape)} must be (n, m, {self.width}) for {self.name}")

    def _on(self, states: Tensor) -> Tensor:
        """Return states as the model computes; the model goes to their device."""
        if self.model.device != states.device:
            self.model.to(states.device)
        return states.to(self.model.dtype)

    def losses(self, states: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the teacher-forced cross-entropy of every text (n,)."""
        self._check(states, texts)
        labels = self._labels(texts, states.device)
        logits = self._logits(states, labels).float().transpose(1, 2)
        each = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none")
        return each.sum(dim=1) / (labels != IGNORED).sum(dim=1).clamp(min=1)

    def teacher_forced(self, states: Tensor, texts: Sequence[str]) -> list[str]:
        """Return the likeliest token at each place of the text, given all of the text before it."""
        self._check(states, texts)
        labels = self._labels(texts, states.device)
        with torch.no_grad():
            guesses = self._logits(states, labels).argmax(dim=-1)
        return self._texts([row[label != IGNORED] for row, label in zip(guesses, labels, strict=True)])

    def generate(self, states: Tensor, beams: int = 1, max_length: int = 64) -> list[str]:
        """Generate texts from the states alone."""
        # The model's own defaults may ask for sampling, least lengths or penalties.
        from transformers import GenerationConfig

        own = self.model.generation_config
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            num_beams=beams,
            do_sample=False,
            max_new_tokens=max_length,
            eos_token_id=self.end,
            pad_token_id=self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.end,
            bos_token_id=own.bos_token_id,
            decoder_start_token_id=getattr(self.model.config, "decoder_start_token_id", None),
            forced_bos_token_id=getattr(own, "forced_bos_token_id", None),
        )
        mask = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
        self.model.generation_config = config  # where a config says nothing, transformers 5 takes the model's own
        with torch.no_grad():
            rows = self.model.generate(attention_mask=mask, generation_config=config, **self._read(states))
        return self._texts(rows)

    def _texts(self, rows: Any) -> list[str]:
        return [str(text).strip() for text in self.tokenizer.batch_decode(rows, skip_special_tokens=True)]

    @abstractmethod
    def _read(self, states: Tensor) -> dict[str, Any]:
        """Return states as the argument by which the model reads them."""

    @abstractmethod
    def _labels(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Return the tokens of every text, filled up with IGNORED."""

    @abstractmethod
    def _logits(self, states: Tensor, labels: Tensor) -> Tensor:
        """Compute the logits at each place of the text, given the states and the tokens before."""


class Seq2SeqLanguage(_Frozen):
    """A frozen model with encoder and decoder, for example T5 or BART; states stand for what its encoder gives.

    Parameters
    ----------
    model : PreTrainedModel
        Frozen here.
    tokenizer : PreTrainedTokenizerBase
    name : str
        For messages.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str = "the model") -> None:
        super().__init__(model, tokenizer, name)
        self._special("pad_token_id", len(self.model.get_input_embeddings().weight))
        if self.model.config.decoder_start_token_id is None:
            raise BrainalignError(f"the configuration of {name} lacks decoder_start_token_id; set it and save it again")
        states, _ = self.text_states(["a"])
        self.scale = float(states.float().square().mean().sqrt())

    def _labels(self, texts: Sequence[str], device: torch.device) -> Tensor:
        batch = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        return batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED).to(device)

    def _read(self, states: Tensor) -> dict[str, Any]:
        from transformers.modeling_outputs import BaseModelOutput

        return {"encoder_outputs": BaseModelOutput(last_hidden_state=self._on(states))}

    def _logits(self, states: Tensor, labels: Tensor) -> Tensor:
        return self.model(**self._read(states), labels=labels).logits

    def text_states(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Compute the encoder's states of texts (n, n_tokens, width), and the mask of their tokens."""
        batch = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self.model.device)
        with torch.no_grad():
            states = self.model.get_encoder()(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).last_hidden_state
        return states, batch["attention_mask"].bool()


class CausalLanguage(_Frozen):
    """A frozen causal model, for example GPT-2 or Llama; states stand for the embeddings of a beginning.

    Parameters
    ----------
    model, name
        As of `Seq2SeqLanguage`.
    tokenizer : PreTrainedTokenizerBase
        Needs a token for the end of a text; one for padding is not needed.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str = "the model") -> None:
        super().__init__(model, tokenizer, name)
        self.scale = float(self.model.get_input_embeddings().weight.float().square().mean().sqrt())

    def _labels(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Return tokens and the end of every text, filled up with IGNORED."""
        rows = [
            torch.tensor([*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.end]) for text in texts
        ]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED).to(device)

    def _logits(self, states: Tensor, labels: Tensor) -> Tensor:
        """Compute the logits at each place of the text; padding comes last and changes nothing before."""
        read = self._on(states)
        told = self.model.get_input_embeddings()(labels[:, :-1].clamp(min=0))
        return self.model(inputs_embeds=torch.cat([read, told], dim=1)).logits[:, states.shape[1] - 1 :]

    def _read(self, states: Tensor) -> dict[str, Any]:
        return {"inputs_embeds": self._on(states)}

    def text_states(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Compute the last layer's states of texts (n, n_tokens, width), and the mask of their tokens."""
        tokens = self._labels(texts, self.model.device)
        with torch.no_grad():
            out = self.model(input_ids=tokens.clamp(min=0), output_hidden_states=True)
        return out.hidden_states[-1], tokens != IGNORED
