"""What one and the same sentence scores, whatever the brain did: the least that generated text has to beat.

A sentence that shares what all of a corpus have in common can score higher in BLEU than a decoder that reads something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from brainalign.checks import BrainalignError
from brainalign.decoding.scoring import words
from brainalign.decoding.text.scores import text_scores


def constant_sentence(generated: Sequence[str]) -> str:
    """Return the most frequent of sentences generated for training trials; of equally frequent ones the first.

    Test trials and their texts take no part: a sentence chosen by them would be fitted to them.

    Parameters
    ----------
    generated : sequence of str
        Compared as lower-case words without punctuation; empty ones do not count.

    Raises
    ------
    BrainalignError
        If none has a word.

    Examples
    --------
    >>> constant_sentence(["A dog.", "the cat", "a dog", ""])
    'A dog.'
    """
    kept = [(text, " ".join(words(text))) for text in generated]
    counts = Counter(gist for _, gist in kept if gist)
    if not counts:
        raise BrainalignError(f"none of {len(generated)} generated sentences has a word; train the decoder longer")
    most = counts.most_common(1)[0][0]
    return next(text for text, gist in kept if gist == most)


def constant_scores(generated_in_training: Sequence[str], references: Sequence[str], **options: Any) -> pd.DataFrame:
    """Score the most frequent training generation against the references of test trials.

    Parameters
    ----------
    generated_in_training : sequence of str
        What the decoder wrote for training trials.
    references : sequence of str (n_sentences)
        Of test trials.
    **options
        Of `text_scores`: those of the decoder it stands beside.

    Returns
    -------
    DataFrame
        As of `text_scores`, and `sentence`. Compare `value` with the decoder's; the gap is that of a constant, 0 but
        for texts with more trials than others.
    """
    sentence = constant_sentence(generated_in_training)
    return text_scores([sentence] * len(references), references, **options).assign(sentence=sentence)
