"""Texts in the space that a CLIP-like model shares between images and texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.study import find_weights


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

    where = find_weights(weights)
    offline = Path(where).is_dir()
    try:
        model = AutoModel.from_pretrained(where, use_safetensors=True, local_files_only=offline, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=offline)
    except (OSError, ValueError) as error:
        raise BrainalignError(
            f"cannot load a model of images and texts from {weights!r}: {str(error).splitlines()[0]} Give a folder "
            "written by save_pretrained that holds the tokenizer too, or a hub id"
        ) from error
    if not hasattr(model, "get_text_features"):
        raise BrainalignError(
            f"the model in {weights!r} ({type(model).__name__}) has no text tower; give one of images and texts, such "
            "as CLIP"
        )
    batch = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    given = {name: batch[name] for name in ("input_ids", "attention_mask") if name in batch}
    with torch.inference_mode():
        output = model.eval().get_text_features(**given)
        found = torch.nn.functional.normalize(getattr(output, "pooler_output", output), dim=1)
    return np.asarray(found.numpy(), dtype=np.float32)
