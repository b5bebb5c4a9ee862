"""Words in their context, from any causal or masked language model: a row per word of a story, or per sentence.

Texts are read in windows that overlap by half, so that a token has at least half a window before it. A word gets the
hidden state of its last token, which in a causal model knows nothing later (or the mean over its tokens); a masked
model sees what follows within its window, which `describe` says.

Jain S, Huth AG (2018). Incorporating context into language encoding models for fMRI. NeurIPS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice, listed
from brainalign.devices import pick_device
from brainalign.features.extractor import Writer
from brainalign.features.text import layer_states, load_text_model, model_digest, positions_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(eq=False, repr=False)
class LanguageExtractor:
    """Reads texts with a language model: the words of a run in order, each in the context of those before it.

    Parameters
    ----------
    weights : str
        Local folder, Python package that carries a model, or hub id.
    layers : sequence of str, optional
        "layer0" (the embeddings), "layer1", ...; all where not given.
    context : int
        Tokens of a window; as many as the model takes where that is less.
    pooling : {"last", "mean"}
        Of the tokens of a word; of stimuli without runs, of those of a text.
    random_weights : bool
        The architecture only: the control of a trained model.
    revision : str, optional
        Of a hub id.
    batch_size : int
        Windows per forward pass.
    device : {"auto", "cpu", "cuda"}
    seed : int
        Of random weights.
    """

    reads: ClassVar[Literal[""]] = ""  # a word's row follows from those before it

    weights: str
    layers: Sequence[str] | None = None
    context: int = 256
    pooling: Literal["last", "mean"] = "last"
    random_weights: bool = False
    revision: str | None = None
    batch_size: int = 8
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("pooling", self.pooling, {"last", "mean"})

    def digest(self) -> str:
        """Return the sha256 over the model's files, its revision, and the releases that run it."""
        drawn = f" drawn {self.seed}" if self.random_weights else ""
        return f"{model_digest(self.weights)}{drawn}{self.revision or ''}"

    def describe(self) -> dict[str, object]:
        """Describe the model and its context, and whether a word's row knows later words."""
        model, tokenizer = self._loaded
        return {
            "weights_sha256": self.digest(),
            "context": self._window(model, tokenizer),
            "sees_future": _sees_future(model, tokenizer),
        }

    def extract(self, stimuli: pd.DataFrame, writer: Writer) -> None:
        """Write a row per stimulus for every layer, from the column `texts`, and `run` and `onset_s` where they are.

        Raises
        ------
        BrainalignError
            If a stimulus has no text or several, a layer is unknown, or the model cannot be loaded.
        """
        pending = writer.pending
        if not len(pending):
            return
        texts = [_one(wordings, name) for wordings, name in zip(stimuli["texts"], stimuli["stimulus_id"], strict=True)]
        loaded = self._loaded
        if not {"run", "onset_s"} <= {*stimuli.columns}:
            for row in pending:
                found = self._states([texts[row]], *loaded)
                writer.write(np.array([row]), found)
            return
        wanted = set(pending.tolist())
        for _, part in stimuli.assign(row=range(len(stimuli))).groupby("run", sort=False):
            rows = part.sort_values("onset_s", kind="stable")["row"].to_numpy()
            if wanted.isdisjoint(rows.tolist()):
                continue
            found = self._states([texts[row] for row in rows], *loaded)
            kept = np.array([row in wanted for row in rows])
            writer.write(rows[kept], {name: values[kept] for name, values in found.items()})

    @cached_property
    def _loaded(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        model, tokenizer = load_text_model(self.weights, self.revision, self.seed if self.random_weights else None)
        return model.to(pick_device(self.device)), tokenizer  # type: ignore[arg-type]

    def _window(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
        size, most = self.context, positions_of(model)
        if most is not None:
            size = min(size, most - sum(map(len, _frame(tokenizer))))
        return size - size % 2

    def _states(
        self, words: Sequence[str], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, NDArray[np.float32]]:
        """Return the hidden state of every word (n_words, n_dimensions), by layer."""
        tokens, owners = _tokens(words, tokenizer)
        size = self._window(model, tokenizer)
        before, after = _frame(tokenizer)
        # Of every window but the first its second half alone is kept: there a token has half a window before it.
        starts = [0, *range(size // 2, max(len(tokens) - size // 2, 0), size // 2)] if len(tokens) > size else [0]
        total: dict[str, NDArray[np.float32]] = {}
        counts = np.zeros(len(words))
        whole = [start for start in starts if start + size <= len(tokens)]
        groups = [whole[k : k + self.batch_size] for k in range(0, len(whole), self.batch_size)]
        # A shorter window is read by itself: nothing is padded, so that a tokenizer needs no token for it.
        for group in [*groups, *([start] for start in starts[len(whole) :])]:
            ids = [[*before, *tokens[start : start + size], *after] for start in group]
            with torch.inference_mode():
                given = torch.tensor(ids, device=model.device)
                states = model(input_ids=given, output_hidden_states=True).hidden_states
            wanted = layer_states(self.layers, states, self.weights)
            for k, start in enumerate(group):
                fresh = slice(0 if start == 0 else size // 2, None)
                of = owners[start : start + size][fresh]
                np.add.at(counts, of, 1)
                for layer, hidden in wanted.items():
                    values = hidden[k, len(before) : len(ids[k]) - len(after)][fresh].float().cpu().numpy()
                    sums = total.setdefault(layer, np.zeros((len(words), values.shape[1]), dtype=np.float32))
                    if self.pooling == "mean":
                        np.add.at(sums, of, values)
                    else:
                        sums[of] = values  # numpy keeps the last of several: the last token of a word
        if silent := [repr(word) for word, count in zip(words, counts, strict=True) if not count]:
            raise BrainalignError(f"{self.weights} reads no token of {listed(silent)}; leave such events out")
        shares = (counts if self.pooling == "mean" else np.ones(len(words)))[:, None].astype(np.float32)
        return {layer: sums / shares for layer, sums in total.items()}


def _one(wordings: Any, name: object) -> str:
    if len(wordings) != 1 or not str(wordings[0]).strip():
        raise BrainalignError(f"stimulus {name}: {len(wordings)} texts; a language model reads one that is not empty")
    return str(wordings[0]).strip()


def _tokens(words: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], NDArray[np.intp]]:
    """Return the tokens of words with blanks between them, and the word of each: that of its last letter."""
    ends = np.cumsum([len(word) + 1 for word in words]) - 1  # a blank belongs to the word that it begins
    read = tokenizer(" ".join(words), add_special_tokens=False, return_offsets_mapping=True)
    spans = np.array(read["offset_mapping"], dtype=int).reshape(-1, 2)
    owners = np.searchsorted(ends, np.maximum(spans[:, 1] - 1, 0), side="right").clip(max=len(words) - 1)
    if silent := sorted(set(range(len(words))) - set(owners.tolist())):
        raise BrainalignError(
            f"{listed([repr(words[k]) for k in silent])}: the tokenizer makes no token of it; leave such events out"
        )
    return list(read["input_ids"]), owners


def _frame(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Return the special tokens that a tokenizer puts before and after a text."""
    inside = tokenizer("a", add_special_tokens=False)["input_ids"]
    framed = list(tokenizer("a")["input_ids"])
    start = next((k for k in range(len(framed)) if framed[k : k + len(inside)] == inside), 0)
    return framed[:start], framed[start + len(inside) :]


def _sees_future(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Tell whether the first of two tokens changes with the second."""
    several = tokenizer("one two three", add_special_tokens=False)["input_ids"]
    if len(set(several)) < 2:  # words that are unknown to it
        several = [k for k in range(len(tokenizer)) if k not in tokenizer.all_special_ids][:2]
    first, *_, last = several
    with torch.inference_mode():
        pairs = [torch.tensor([[first, other]], device=model.device) for other in (first, last)]
        states = [model(input_ids=pair).last_hidden_state[0, 0] for pair in pairs]
    return not torch.allclose(states[0], states[1], atol=1e-5)
