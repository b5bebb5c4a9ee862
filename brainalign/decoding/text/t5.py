"""A small language model made from the training texts alone, for where no pretrained one is at hand.

Its words are those of the training texts; it learns to write a text whose words were partly blanked, and is frozen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from brainalign.checks import BrainalignError
from brainalign.decoding.text.language import IGNORED, Seq2SeqLanguage
from brainalign.decoding.training import batches, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "</s>", "<unk>", "<blank>")
PAD, END, _, BLANK = range(4)


def word_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose tokens are the lower-case words and punctuation marks of `texts`.

    Parameters
    ----------
    texts : sequence of str

    Raises
    ------
    BrainalignError
        If there is no word.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"\w+(?:['’]\w+)*|[^\w\s]"), behavior="isolated"),
        ]
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


def word_t5(
    train_texts: Sequence[str],
    seed: int = 0,
    *,
    n_steps: int = 260,
    blanked: float = 0.15,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    width: int = 64,
) -> Seq2SeqLanguage:
    """Train a T5 of one layer each way on the training texts, then freeze it.

    Parameters
    ----------
    train_texts : sequence of str
        Of training stimuli only; each counts once, however often it was read. Words of other texts are unknown to it
        and it never writes them.
    seed : int
    n_steps, batch_size : int
    blanked : float
        Share of words hidden in what the encoder reads; the decoder writes them all.
    learning_rate : float
    width : int
        Of its states; a multiple of 4.

    Returns
    -------
    Seq2SeqLanguage

    Raises
    ------
    BrainalignError
        If there is no word to learn, or `blanked` is not a share.

    References
    ----------
    Raffel C et al. (2020). Exploring the limits of transfer learning with a unified text-to-text transformer.
    JMLR 21:1-67.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    if not 0 <= blanked < 1:
        raise BrainalignError(f"blanked is {blanked}; give a share of the words, at least 0 and below 1")
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
    with torch.random.fork_rng(devices=[]):  # first weights and dropout
        torch.manual_seed(seed)
        model = T5ForConditionalGeneration(config)
        rows = batches(len(texts), batch_size, n_steps, rng)

        def loss(step: int) -> torch.Tensor:
            chosen = torch.from_numpy(next(rows))
            read = tokens[chosen]
            hidden = torch.from_numpy(rng.random(read.shape) < blanked) & (read >= len(SPECIAL))
            out: torch.Tensor = model(
                input_ids=read.masked_fill(hidden, BLANK), attention_mask=mask[chosen], labels=labels[chosen]
            ).loss
            return out

        train([model], loss, n_steps, learning_rate=learning_rate, weight_decay=0.01, schedule="constant")
    return Seq2SeqLanguage(model, tokenizer, "the model of training texts")
