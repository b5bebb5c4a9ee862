import jiwer
import numpy as np
import pytest
from refusals import refused
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

from brainalign.decoding import constant_sentence, text_scores
from brainalign.decoding.scoring import content_overlaps, words

TEXTS = [
    "the dog was lovely in the garden .", "the soup was awful at the market .", "the train was late near the beach .",
    "a goat was dreadful by the old school .", "the cake was excellent and rather sweet .", "the taxi was dirty .",
]  # fmt: skip
SAID = [
    "the dog was awful in the garden .", "the soup was lovely .", "the train was the train was late .",
    "a parrot by the school .", "the cake was excellent and rather sweet .", "",
]  # fmt: skip


def test_equal_to_the_packages_and_by_hand() -> None:
    found = text_scores(SAID, TEXTS, n_permutations=20).set_index("measure")["value"]
    said, texts = ([" ".join(words(text)) for text in each] for each in (SAID, TEXTS))
    for order in (1, 2):
        bleu = BLEU(max_ngram_order=order, tokenize="none", smooth_method="none", force=True)
        assert found[f"bleu{order}"] == pytest.approx(bleu.corpus_score(said, [texts]).score / 100)
    scorer = RougeScorer(["rouge1"])
    rouge = [scorer.score(text, one)["rouge1"].fmeasure for one, text in zip(said, texts, strict=True)]
    assert (found["rouge1"], found["wer"]) == (pytest.approx(np.mean(rouge)), pytest.approx(jiwer.wer(texts, said)))
    assert text_scores(["чёрный кот", "für"], ["чёрный кот", "für"], measures=("rouge1",))["value"].item() == 1
    said = [SAID[0], "it was in the", "It wasn’t a DOG!"]  # dog, garden; not awful
    assert content_overlaps(said, TEXTS[:1]).ravel().tolist() == [2 / 3, 0, 1]
    two = text_scores(["a red dog", "a blue cat"], ["a red cat", "a blue cat"], measures=("content", "wer"))
    two = two.set_index("measure")
    assert two.loc["content", "value"] == pytest.approx((1 / 2 + 1) / 2)
    assert two.loc["content", "rotated"] == pytest.approx((0 + 1 / 2) / 2)
    assert (two.loc["wer", "value"], two.loc["wer", "rotated"]) == (pytest.approx(1 / 6), pytest.approx((2 + 1) / 6))
    assert two.loc["wer", "gap"] == pytest.approx(2 / 6)


def test_controls_take_away_what_a_task_and_a_label_give() -> None:
    rng, tasks = np.random.default_rng(0), ["films"] * 30 + ["lives"] * 30
    shared = {"films": "film plot acting", "lives": "born died president"}
    labels = [("good", "bad")[k % 2] for k in range(60)]
    own = [f"word{rng.integers(1000)} thing{k}" for k in range(60)]
    texts = [f"{shared[t]} {a} {o}" for t, a, o in zip(tasks, labels, own, strict=True)]
    measures = ("content", "wer")
    right = text_scores(texts, texts, tasks=tasks, labels=labels, measures=measures).set_index(["measure", "control"])
    assert (right["p"] < 0.01).all()
    content = right.loc["content"]
    assert (content["value"] == 1).all()
    assert content["rotated"].is_monotonic_increasing  # the closer the control, the more it gives
    assert content.loc["within task x label", "gap"] == pytest.approx(2 / 6, abs=0.01)
    # A decoder that knows task and label and nothing of the text: good overlap, and no gap within them.
    order = np.random.default_rng(1).permuted(np.arange(60).reshape(2, 15, 2), axis=1).ravel()
    prior = text_scores([texts[k] for k in order], texts, tasks=tasks, labels=labels, measures=measures)
    prior = prior.set_index(["measure", "control"])
    assert prior.loc[("content", "globally"), "gap"] > 0.2
    assert prior.loc[("content", "globally"), "p"] < 0.01
    row = prior.loc[("content", "within task x label")]
    assert abs(row["gap"]) < 2 * row["null_sd"]
    assert prior.loc[("content", "within task x label"), "p"] > 0.05
    constant = text_scores([texts[0]] * 60, texts, tasks=tasks, measures=measures).set_index(["measure", "control"])
    assert (constant["p"] > 0.01).all()
    assert abs(constant.loc[("content", "within task"), "gap"]) < 0.02


def test_bad_input_and_the_most_frequent_training_sentence_whatever_its_marks() -> None:
    refused("rows but", text_scores, ["a"], ["a dog", "a cat"])
    refused("did you mean 'bleu", text_scores, SAID, TEXTS, measures=("bleu",))
    refused("no words", text_scores, SAID, [*TEXTS[:-1], "."])
    apart = {"tasks": ["a"] * 6 + ["b"] * 6, "measures": ("content",)}
    refused("several groups within task", text_scores, SAID * 2, TEXTS * 2, **apart)
    refused("none can rotate", text_scores, SAID, TEXTS, tasks=list("abcdef"), measures=("content",))
    refused("give tasks", text_scores, SAID, TEXTS, labels=list("aabbcc"), measures=("content",))
    assert constant_sentence(["the dog ran .", "a cat sat.", "A cat sat .", "", "", ""]) == "a cat sat."
    assert constant_sentence(["b", "a", "a", "b"]) == "b"  # a tie goes to the first
    refused("none of 2", constant_sentence, ["", " . "])
