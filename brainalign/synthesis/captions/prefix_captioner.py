"""Captions by a language model that continues a prefix made of an image embedding, trained on pairs of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_width
from brainalign.devices import seeded
from brainalign.study import loading_model

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAPPING, MODEL = "mapping.safetensors", "language_model"  # of a saved captioner
BATCH = 64


@dataclass(eq=False, repr=False)
class PrefixCaptioner:
    """Writes texts for points of an image embedding; `TextCaptioner` makes a captioner of it.

    A mapping network turns an embedding into a few vectors of the size of word embeddings, and a causal language model
    goes on from there. The length of embeddings counts: `project_to_bank` keeps it.

    Parameters
    ----------
    mapping : torch.nn.Sequential
        (n, d) to (n, n_prefix × width): linear, tanh, linear.
    language_model : PreTrainedModel
        Any causal language model of transformers.
    tokenizer : PreTrainedTokenizerBase
        With a token for the end of a text.
    max_tokens : int
        At most so many are written.

    References
    ----------
    Mokady R, Hertz A, Bermano AH (2021). ClipCap: CLIP prefix for image captioning. arXiv:2111.09734
    """

    mapping: torch.nn.Sequential
    language_model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_tokens: int = 30

    def __call__(self, projected: Values) -> list[str]:
        """Return the likeliest continuation (greedy) of every row, an embedding of as many features as in training."""
        import torch
        from transformers import GenerationConfig

        wanted: Any = self.mapping[0].in_features
        remedy = "take the layer that it was trained on"
        check_width("an embedding", projected.shape, wanted, "the captioner was trained on", remedy)
        model: Any = self.language_model
        model.eval()
        ended, n = _end_of(self.tokenizer), self.max_tokens
        ends = {"max_new_tokens": n, "eos_token_id": ended, "pad_token_id": ended, "do_sample": False}
        # Where a config says nothing, transformers takes the model's own: beams, penalties.
        model.generation_config = GenerationConfig(**ends)  # type: ignore[no-untyped-call]
        texts: list[str] = []
        for start in range(0, len(projected), BATCH):
            part = torch.as_tensor(projected[start : start + BATCH], dtype=torch.float32)
            with torch.inference_mode():
                prefix = _prefix(self.mapping, model, part)
                seen = {"inputs_embeds": prefix, "attention_mask": torch.ones(prefix.shape[:2], dtype=torch.long)}
                written = model.generate(**seen, generation_config=model.generation_config)
            texts += [text.strip() for text in self.tokenizer.batch_decode(written, skip_special_tokens=True)]
        return texts

    def save(self, folder: Path) -> None:
        """Write mapping network, language model and tokenizer to a folder."""
        from safetensors.torch import save_file

        self.language_model.save_pretrained(folder / MODEL)
        self.tokenizer.save_pretrained(folder / MODEL)
        save_file({name: tensor.contiguous() for name, tensor in self.mapping.state_dict().items()}, folder / MAPPING)

    @classmethod
    def from_folder(cls, folder: Path, max_tokens: int = 30) -> PrefixCaptioner:
        """Read what `save` wrote; neither pickle nor the network is touched."""
        import torch
        from safetensors.torch import load_file
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if not (folder / MAPPING).is_file():
            raise BrainalignError(f"{folder} holds no {MAPPING}; give a folder written by PrefixCaptioner.save")
        with loading_model(f"the language model in {folder}", "Give a folder written by PrefixCaptioner.save"):
            given: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "dtype": torch.float32}
            model = AutoModelForCausalLM.from_pretrained(folder / MODEL, **given)
            tokenizer = AutoTokenizer.from_pretrained(folder / MODEL, local_files_only=True)
        weights, width = load_file(folder / MAPPING), _width(model)
        d, hidden, out = weights["0.weight"].shape[1], weights["0.weight"].shape[0], weights["2.weight"].shape[0]
        if out % width:
            raise BrainalignError(
                f"{MAPPING} in {folder} gives {out} numbers, no multiple of the {width} of a word of its language model"
            )
        mapping = torch.nn.Sequential(torch.nn.Linear(d, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, out))
        mapping.load_state_dict(weights)
        return cls(mapping.eval(), model, tokenizer, max_tokens)


def train_prefix_captioner(
    embeddings: Values,
    captions: Sequence[str],
    language_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    n_prefix: int = 10,
    n_steps: int = 2000,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    train_language_model: bool = False,
    seed: int = 0,
) -> PrefixCaptioner:
    """Train the mapping network, and the language model where asked, to write the captions of images.

    Parameters
    ----------
    embeddings : array (n_images, d)
        In the space, and of the lengths, of the bank that voxels are projected to.
    captions : sequence of str (n_images)
    language_model, tokenizer
        A causal language model of transformers; changed in place where it is trained too.
    n_prefix : int
        Vectors that an embedding is turned into.
    n_steps, batch_size, learning_rate
        Of AdamW, with the rate falling to 0.
    train_language_model : bool
        The mapping alone suffices for a model that knows its language.

    Raises
    ------
    BrainalignError
        If there is not a caption per embedding, or the tokenizer has no end of text.
    """
    import torch
    from torch.nn import functional

    from brainalign.regression import descend

    if len(embeddings) != len(captions) or not len(captions):
        raise BrainalignError(f"{len(embeddings)} embeddings need as many captions; got {len(captions)}")
    end = _end_of(tokenizer)
    tokens = [[*tokenizer(text, add_special_tokens=False)["input_ids"], end] for text in captions]
    points = torch.as_tensor(np.asarray(embeddings), dtype=torch.float32)
    width = _width(language_model)
    hidden = max(width * n_prefix // 2, int(points.shape[1]))
    with seeded(seed):
        mapping = torch.nn.Sequential(
            torch.nn.Linear(points.shape[1], hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, n_prefix * width)
        )
    trained = [*mapping.parameters(), *(language_model.parameters() if train_language_model else ())]
    frozen = {name: weight.requires_grad for name, weight in language_model.named_parameters()}
    network: Any = language_model
    network.requires_grad_(train_language_model).eval()
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    draws = torch.Generator().manual_seed(seed)

    def losses() -> Iterator[torch.Tensor]:
        for _ in range(n_steps):
            rows = torch.randint(len(tokens), (min(batch_size, len(tokens)),), generator=draws).tolist()
            longest = max(len(tokens[row]) for row in rows)
            padded = torch.tensor([tokens[row] + [end] * (longest - len(tokens[row])) for row in rows])
            counted = torch.tensor([[k < len(tokens[row]) for k in range(longest)] for row in rows])
            words = language_model.get_input_embeddings()(padded)
            given = torch.cat([_prefix(mapping, language_model, points[rows]), words], dim=1)
            logits = language_model(inputs_embeds=given).logits[:, n_prefix - 1 : -1]
            yield functional.cross_entropy(logits[counted], padded[counted])

    descend(losses(), optimizer, schedule, clip=1.0)
    for name, weight in language_model.named_parameters():
        weight.requires_grad_(frozen[name])
    return PrefixCaptioner(mapping.eval(), language_model, tokenizer)


def _prefix(mapping: torch.nn.Sequential, model: PreTrainedModel, points: torch.Tensor) -> torch.Tensor:
    vectors: torch.Tensor = mapping(points)
    return vectors.reshape(len(points), -1, _width(model))


def _width(model: PreTrainedModel) -> int:
    words: Any = model.get_input_embeddings()
    return int(words.embedding_dim)


def _end_of(tokenizer: PreTrainedTokenizerBase) -> int:
    end = tokenizer.eos_token_id
    if not isinstance(end, int):
        raise BrainalignError("the tokenizer has no token for the end of a text; set tokenizer.eos_token")
    return end
