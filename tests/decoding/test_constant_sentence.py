"""One sentence for every trial: it may win on BLEU, and shows no gap to rotated references."""

from __future__ import annotations

import numpy as np
from refusals import refused

from brainalign.decoding import constant_scores, constant_sentence, text_scores
from brainalign.simulation import text_sentences


def test_the_most_frequent_training_sentence_is_taken_whatever_its_marks() -> None:
    written = ["the dog ran .", "a cat sat.", "A cat sat .", "", "", ""]
    assert constant_sentence(written) == "a cat sat."
    assert constant_sentence(["b", "a", "a", "b"]) == "b"  # a tie goes to the first
    refused("none of 2", constant_sentence, ["", " . "])


def test_a_constant_beats_wrong_sentences_of_other_templates_and_has_no_gap() -> None:
    texts = text_sentences()["text"].tolist()[::10]
    options = {"measures": ("bleu1", "content"), "n_permutations": 100}
    constant = constant_scores([texts[0]] * 3 + [texts[1]] * 2, texts, **options).set_index("measure")
    assert (constant["sentence"] == texts[0]).all()
    assert constant["gap"].abs().max() < 1e-9
    assert constant["p"].min() > 0.5
    # A decoder that always gets the noun and nothing else reads something, and loses on BLEU.
    nouns = [f"maybe some {text.split()[1]} once stood nearby sir !" for text in texts]
    decoder = text_scores(nouns, texts, **options).set_index("measure")
    assert decoder.loc["content", "gap"] > 0.1
    assert decoder.loc["content", "p"] < 0.05
    assert constant.loc["bleu1", "value"] > decoder.loc["bleu1", "value"] + 0.1
    assert np.isclose(constant.loc["bleu1", "value"], constant.loc["bleu1", "rotated"])
