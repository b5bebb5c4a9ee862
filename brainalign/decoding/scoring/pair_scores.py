"""Scores of a decoder's outputs against every distinct stimulus: what cells of a control matrix are compared by.

Measures of one sentence against another are parts that add up over a corpus: what rotations and exchanges need.
sacrebleu, rouge-score and jiwer (extra `eval`) do what they do; overlap of content words is ours.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import check_rows, import_optional
from brainalign.decoding.scoring.retrieval import similarity_ranks, way_accuracy
from brainalign.decoding.training import Trials
from brainalign.study import FUNCTION_WORDS, words

TWO_WAY = "2-way"  # what verdicts on retrieval rest on
# (outputs of n trials, distinct stimuli) to scores (n, n_stimuli) by measure; more is better.
PairScore = Callable[[Any, Trials], Mapping[str, Values]]


def retrieval_hits(outputs: Values, distinct: Trials) -> Mapping[str, Values]:
    """Mark the stimuli that each output would retrieve, first and among the first five.

    Beside, 2-way: the share of other stimuli that are less similar. Of weak signals it tells most.

    Parameters
    ----------
    outputs : array (n_trials, n_dimensions)
    distinct : Trials
        One per stimulus.
    """
    ranks, n = similarity_ranks(np.asarray(outputs), distinct.targets), len(distinct.meta)
    found = {f"top-{k}": (ranks <= k).astype(float) for k in (1, 5) if k < n}
    return found | ({TWO_WAY: way_accuracy(n, 2)[ranks - 1]} if n > 1 else {})


def content_hits(outputs: Sequence[str], distinct: Trials) -> Mapping[str, Values]:
    """Return the overlap of content words of generated sentences with the text of every stimulus.

    Parameters
    ----------
    outputs : sequence of str (n_trials)
    distinct : Trials
        One per stimulus; its table has the column text.
    """
    return {"content words": content_overlaps(outputs, distinct.column("text")["text"].tolist())}


def label_hits(label: str) -> PairScore:
    """Return a score that says whether a decoded label is that of each stimulus.

    Parameters
    ----------
    label : str
        Column of the table, one value per stimulus.
    """

    def hits(outputs: Any, distinct: Trials) -> Mapping[str, Values]:
        decoded = np.asarray(outputs)
        check_rows("decoded labels", decoded.ndim, "one axis", 1, "give one label per trial")
        truth = distinct.column(label)[label].to_numpy(dtype=object)
        return {label: (decoded.astype(object)[:, None] == truth).astype(float)}

    return hits


Compare = Callable[[Sequence[str], Sequence[str], frozenset[str]], Values]
Total = Callable[[Values, int], float]


def content_overlaps(
    generated: Sequence[str], references: Sequence[str], function_words: frozenset[str] = FUNCTION_WORDS
) -> NDArray[np.float64]:
    """Return |G ∩ R| / |G| of the distinct content words of sentences and references (n_generated, n_references).

    A sentence without any has 0.

    Examples
    --------
    >>> float(content_overlaps(["the dog was happy at home"], ["the dog was sad at home"])[0, 0])
    0.6666666666666666
    """
    said = [set(words(one)) - function_words for one in generated]
    known = [set(words(one)) for one in references]
    return np.array([[len(mine & other) / len(mine) if mine else 0.0 for other in known] for mine in said])


def _rouge1(generated: Sequence[str], references: Sequence[str], function_words: frozenset[str]) -> Values:
    tokens = SimpleNamespace(tokenize=lambda text: re.findall(r"[^\W_]+", text))  # its own know no letters but a to z
    scorer = import_optional("rouge_score.rouge_scorer", "eval", "ROUGE").RougeScorer(["rouge1"], tokenizer=tokens)
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


# How two sentences compare, how sums over a corpus become its score, and whether more is better (1) or worse (-1).
MEASURES: dict[str, tuple[Compare, Total, int]] = {
    "content": (lambda *of: content_overlaps(*of)[..., None], _mean, 1),
    "bleu1": (*_bleu(1), 1),
    "bleu2": (*_bleu(2), 1),
    "rouge1": (_rouge1, _mean, 1),
    "wer": (_wer, lambda parts, n: float(parts[0] / parts[1]), -1),
}
