"""Scores of generated sentences, each beside the same score with references rotated: the gap is the result.

Words that every sentence of a corpus or a task shares score high against any reference. Rotation pairs each sentence
with the reference of another text, among all texts, texts of the task, or texts of the task with the same label.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_choice, check_rows
from brainalign.decoding.scoring import FUNCTION_WORDS, MEASURES, words
from brainalign.statistics import exchanged, permutation_test, sums_by_stimulus


def text_scores(
    generated: Sequence[str],
    references: Sequence[str],
    *,
    tasks: Sequence[Any] | None = None,
    labels: Sequence[Any] | None = None,
    measures: Sequence[str] = ("content", "bleu1", "bleu2", "rouge1", "wer"),
    function_words: Collection[str] = FUNCTION_WORDS,
    n_rotations: int = 20,
    n_permutations: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score generated sentences against their references and against those of other texts.

    Parameters
    ----------
    generated, references : sequence of str (n_sentences)
        Compared as lower-case words without punctuation; several sentences may have one reference.
    tasks, labels : sequence (n_sentences), optional
        One of each per text. With tasks references also rotate within them, with both within task and label.
    measures : sequence of str
        Of `MEASURES`. All but "content" need the extra `eval`. BLEU and WER are of the corpus, the others means.
    function_words : collection of str
        Words that "content" does not count.
    n_rotations : int
        Distances by which references rotate, at most; scores are averaged over them.
    n_permutations : int
        Exchanges of distinct texts.
    seed : int

    Returns
    -------
    DataFrame
        A row per measure and control ("globally", "within task", "within task x label"): value, rotated, gap
        (positive when the decoder does better than the control, also for WER), null_sd, p, n_sentences and n_texts (of
        texts that have another to rotate to), n_empty (sentences without a word).

    Raises
    ------
    BrainalignError
        If lengths differ, a text has several tasks or labels, a control leaves nothing to rotate, or a package is
        missing.
    """
    check_rows("generated", len(generated), "references", len(references), "give the reference of every sentence")
    for measure in measures:
        check_choice("measures", measure, MEASURES)
    gists, gist = _distinct([" ".join(words(text)) for text in generated])
    texts, text = _distinct([" ".join(words(text)) for text in references])
    if "" in texts:
        raise BrainalignError(f"{int((text == texts.index('')).sum())} references have no words; drop those sentences")
    empty, rows = sum(not gists[k] for k in gist), []
    controls = _controls(text, len(texts), tasks, labels)
    for measure in measures:
        compare, total, sign = MEASURES[measure]
        pairs = compare(gists, texts, frozenset(function_words))  # (n_gists, n_texts, n_parts)
        for control, group in controls.items():
            scored = _Scored(pairs, gist, text, group, total)
            value, rotated = scored.value(), scored.rotated(n_rotations)
            null = scored.permuted(n_permutations, np.random.default_rng(seed))
            p = float(permutation_test(np.asarray(sign * value), sign * null))
            row = {"measure": measure, "control": control, "value": value, "rotated": rotated}
            row |= {"gap": sign * (value - rotated), "null_sd": null.std(ddof=1), "p": p}
            counts = {"n_sentences": int(scored.kept.sum()), "n_texts": len(scored.shown), "n_empty": empty}
            rows.append(row | counts)
    return pd.DataFrame(rows)


def _distinct(texts: list[str]) -> tuple[list[str], Rows]:
    codes, names = pd.factorize(np.array(texts, dtype=object))
    return list(names), np.asarray(codes)


def _controls(text: Rows, n_texts: int, tasks: Any, labels: Any) -> dict[str, Rows]:
    """Return the group of every text under each control."""
    found = {"globally": np.zeros(n_texts, dtype=np.intp)}
    if tasks is None:
        if labels is not None:
            raise BrainalignError("labels rotate references within task and label; give tasks, too")
        return found
    for name, columns in (("within task", (tasks,)), ("within task x label", (tasks, labels))):
        if columns[-1] is None:
            continue
        for column in columns:
            check_rows("tasks or labels", len(column), "references", len(text), "give one per sentence")
        group = pd.factorize(pd.Series(list(zip(*columns, strict=True))))[0]
        of = np.full(n_texts, -1)
        of[text] = group
        if (of[text] != group).any():
            raise BrainalignError(
                f"{len(np.unique(text[of[text] != group]))} texts have several groups {name}; give each text one task "
                "and label (texts of several tasks belong in train)"
            )
        found[name] = of
    return found


@dataclass
class _Scored:
    """One measure under one control; texts alone in their group take no part."""

    pairs: Values
    gist: Rows
    text: Rows
    group: Rows
    total: Callable[[Values, int], float]

    def __post_init__(self) -> None:
        size = np.bincount(self.group)[self.group]
        self.kept = size[self.text] > 1
        if not self.kept.any():
            raise BrainalignError(f"{len(size)} texts lie in groups of one: none can rotate; leave that control out")
        self.n = int(self.kept.sum())
        self.sums, self.shown = sums_by_stimulus(self.pairs[self.gist[self.kept]], self.text[self.kept])

    def value(self) -> float:
        return self._at(self.shown)

    def rotated(self, n_rotations: int) -> float:
        """Return the mean over distances by which texts move on in their group."""
        members = {g: self.shown[self.group[self.shown] == g] for g in np.unique(self.group[self.shown])}
        most = max(len(group) for group in members.values()) - 1
        scores = []
        for shift in np.unique(np.linspace(1, most, min(most, n_rotations)).round().astype(int)):
            other = np.empty_like(self.shown)
            for g, group in members.items():
                step = (shift - 1) % (len(group) - 1) + 1  # never back to itself in a smaller group
                other[self.group[self.shown] == g] = np.roll(group, -step)
            scores.append(self._at(other))
        return float(np.mean(scores))

    def permuted(self, n_permutations: int, rng: np.random.Generator) -> Values:
        orders = exchanged(self.shown, len(self.group), self.group, n_permutations, rng)
        return np.array([self._at(order) for order in orders])

    def _at(self, other: Rows) -> float:
        return self.total(self.sums[np.arange(len(self.shown)), other].sum(axis=0), self.n)


def constant_sentence(generated: Sequence[str]) -> str:
    """Return the most frequent of sentences generated for training trials; of equally frequent ones the first.

    Test trials and their texts take no part: a sentence chosen by them would be fitted to them. Sentences are compared
    as lower-case words without punctuation; empty ones do not count.

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
