"""Measures of one sentence against another, as parts that add up over a corpus: what rotations and exchanges need.

sacrebleu, rouge-score and jiwer (extra `eval`) do what they do; overlap of content words is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import import_optional
from brainalign.study import FUNCTION_WORDS, words

Compare = Callable[[Sequence[str], Sequence[str], frozenset[str]], Values]
Total = Callable[[Values, int], float]


def content_overlap(generated: str, reference: str, function_words: frozenset[str] = FUNCTION_WORDS) -> float:
    """Return |G ∩ R| / |G|, of the distinct content words of both; 0 for a sentence without any.

    Examples
    --------
    >>> content_overlap("the dog was happy at home", "the dog was sad at home")
    0.6666666666666666
    """
    return float(content_overlaps([generated], [reference], function_words)[0, 0])


def content_overlaps(
    generated: Sequence[str], references: Sequence[str], function_words: frozenset[str] = FUNCTION_WORDS
) -> NDArray[np.float64]:
    """Return `content_overlap` of every generated sentence with every reference, (n_generated, n_references)."""
    said = [set(words(one)) - function_words for one in generated]
    known = [set(words(one)) for one in references]
    return np.array([[len(mine & other) / len(mine) if mine else 0.0 for other in known] for mine in said])


def _content(generated: Sequence[str], references: Sequence[str], function_words: frozenset[str]) -> Values:
    return content_overlaps(generated, references, function_words)[..., None]


def _rouge1(generated: Sequence[str], references: Sequence[str], function_words: frozenset[str]) -> Values:
    scorer = import_optional("rouge_score.rouge_scorer", "eval", "ROUGE").RougeScorer(["rouge1"])
    return np.array([[[scorer.score(r, g)["rouge1"].fmeasure] for r in references] for g in generated])


def _wer(generated: Sequence[str], references: Sequence[str], function_words: frozenset[str]) -> Values:
    """Return errors and words of the reference."""
    jiwer = import_optional("jiwer", "eval", "the word error rate")
    found = np.empty((len(generated), len(references), 2))
    for row, sentence in enumerate(generated):
        for column, reference in enumerate(references):
            one = jiwer.process_words(reference, sentence)
            errors = one.substitutions + one.deletions + one.insertions
            found[row, column] = errors, one.hits + one.substitutions + one.deletions
    return found


def _bleu(order: int) -> tuple[Compare, Total]:
    def compare(generated: Sequence[str], references: Sequence[str], function_words: frozenset[str]) -> Values:
        """Return matching and all n-grams of every order, and both lengths."""
        # Tokens are words already; effective_order only silences advice on sentences, whose scores are not used.
        bleu = import_optional("sacrebleu.metrics", "eval", "BLEU").BLEU(
            max_ngram_order=order, tokenize="none", force=True, effective_order=True
        )
        found = np.empty((len(generated), len(references), 2 * order + 2))
        for row, sentence in enumerate(generated):
            for column, reference in enumerate(references):
                one = bleu.sentence_score(sentence, [reference])
                found[row, column] = [*one.counts, *one.totals, one.sys_len, one.ref_len]
        return found

    def total(parts: Values, n: int) -> float:
        bleu = import_optional("sacrebleu.metrics", "eval", "BLEU").BLEU
        whole = parts.astype(int).tolist()
        one = bleu.compute_bleu(
            whole[:order], whole[order : 2 * order], *whole[-2:], smooth_method="none", max_ngram_order=order
        )
        return float(one.score) / 100

    return compare, total


def _mean(parts: Values, n: int) -> float:
    return float(parts[0] / n)


def _rate(parts: Values, n: int) -> float:
    return float(parts[0] / parts[1])


# How two sentences compare, how sums over a corpus become its score, and whether more is better (1) or worse (-1).
MEASURES: dict[str, tuple[Compare, Total, int]] = {
    "content": (_content, _mean, 1),
    "bleu1": (*_bleu(1), 1),
    "bleu2": (*_bleu(2), 1),
    "rouge1": (_rouge1, _mean, 1),
    "wer": (_wer, _rate, -1),
}
