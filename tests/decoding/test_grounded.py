"""Grounded language: the score against its definition, exact retrieval cases, a saved model, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.decoding import GroundedLanguage, clip_loss, pair_loss, same_words
from brainalign.decoding.grounded.model import _Grounding
from brainalign.simulation import GroundedWords, grounded_words


@pytest.fixture(scope="module")
def world() -> GroundedWords:
    return grounded_words(n_words=48, n_train=200, n_test=20, n_locations=4, n_channels=16, n_text=20, seed=1)


@pytest.fixture(scope="module")
def fitted(world: GroundedWords) -> GroundedLanguage:
    return small().fit(world.text, world.captions[:200], world.scenes[:200], relations(world))


def small(**options: object) -> GroundedLanguage:
    return GroundedLanguage(8, 16, n_steps=30, relation_steps=20, device="cpu", **options)  # type: ignore[arg-type]


def relations(world: GroundedWords) -> pd.DataFrame:
    subject, other = world.captions[:200].T
    return pd.DataFrame({"scene": range(200), "subject": subject, "object": other, "relation": world.relations[:200]})


def test_the_score_of_a_caption_is_the_mean_over_its_words_of_the_best_place(
    world: GroundedWords, fitted: GroundedLanguage
) -> None:
    captions = [[3], [5, 7, 9], [0, 1]]
    found = fitted.scores(captions, world.scenes[:6])
    words = fitted.embed()
    with torch.no_grad():
        places = fitted.network_.embed_places(torch.from_numpy(world.scenes[:6])).double().numpy()
    places /= np.linalg.norm(places, axis=2, keepdims=True)
    for row, caption in enumerate(captions):
        expected = [np.mean([(scene @ words[word]).max() for word in caption]) for scene in places]
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


def test_attention_falls_where_a_word_is_most_alike_and_sums_to_one(
    world: GroundedWords, fitted: GroundedLanguage
) -> None:
    attention = fitted.locate([2, 3], world.scenes[:2])
    np.testing.assert_allclose(attention.sum(axis=1), 1, atol=1e-5)
    with torch.no_grad():
        similar = fitted.network_.similarities(fitted.text_[2:4], torch.from_numpy(world.scenes[:2])).numpy()
    assert attention.argmax(axis=1).tolist() == [similar[0, 0].argmax(), similar[1, 1].argmax()]


def test_relations_are_bilinear_in_what_the_words_fetch(world: GroundedWords, fitted: GroundedLanguage) -> None:
    a, b = fitted.relate([1], [2], world.scenes[:1]), fitted.relate([2], [1], world.scenes[:1])
    np.testing.assert_allclose(a.sum(axis=1), 1, atol=1e-5)
    assert np.abs(a - b).max() > 1e-4  # who does it to whom matters
    assert fitted.relation_names_ == sorted(map(str, np.unique(world.relations[:200])))


def test_a_saved_model_says_the_same(world: GroundedWords, fitted: GroundedLanguage, tmp_path: Path) -> None:
    fitted.save(tmp_path / "grounded.safetensors")
    again = GroundedLanguage.load(tmp_path / "grounded.safetensors", device="cpu")
    np.testing.assert_array_equal(again.embed(), fitted.embed())
    np.testing.assert_array_equal(again.embed(world.text[:5]), fitted.embed()[:5])
    where = [1, 2], [3, 4], world.scenes[:2]
    np.testing.assert_array_equal(again.relate(*where), fitted.relate(*where))
    refused("no grounded language", GroundedLanguage.from_state, {"other": np.zeros(1)})


def test_words_in_other_units_and_channels_of_other_scale_make_no_difference(world: GroundedWords) -> None:
    plain = small().fit(world.text, world.captions[:200], world.scenes[:200])
    scaled = small().fit(100 * world.text + 7, world.captions[:200], 0.01 * world.scenes[:200] - 2)
    np.testing.assert_allclose(plain.embed(), scaled.embed(), atol=1e-2)


def test_scenes_of_the_same_words_are_no_negatives_of_each_other() -> None:
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    same = torch.tensor([0, 1, 1, 2])
    other = logits.clone()
    other[1, 2], other[2, 1] = 50.0, -50.0
    assert torch.allclose(pair_loss(logits, same), pair_loss(other, same))
    assert not torch.allclose(pair_loss(logits, torch.arange(4)), pair_loss(other, torch.arange(4)))
    a, b = torch.nn.functional.normalize(torch.randn(2, 4, 5), dim=-1)
    assert torch.allclose(clip_loss(a, b, 3.0, same), pair_loss(3.0 * a @ b.T, same))
    assert same_words([[1, 2], [2, 1, 1], [3]]).tolist() == [0, 0, 1]


def test_words_at_the_end_of_a_short_caption_do_not_count() -> None:
    network = _Grounding(4, 5, 6, 3)
    text, scenes = torch.randn(3, 4), torch.randn(2, 7, 5)
    words = torch.tensor([[1, 0], [1, 2]])
    scores = network(text, words, torch.tensor([[True, False], [True, True]]), scenes)
    alone = network(text, words[:1, :1], torch.ones(1, 1, dtype=torch.bool), scenes)
    assert torch.allclose(scores[:1], alone)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"captions": [[0, 1]] * 200}, "same words"),
        ({"captions": [[0], []] * 100}, "hold no word"),
        ({"captions": [[0], [48]] * 100}, "48 word vectors"),
        ({"captions": [[0], [1]]}, "2 rows"),
        ({"scenes": np.zeros((200, 16))}, "keep their places"),
        ({"word_vectors": np.full((48, 20), np.nan)}, "word vectors"),
        ({"relations": pd.DataFrame({"scene": [0]})}, "subject, object"),
        ({"relations": pd.DataFrame({"scene": [900], "subject": [0], "object": [1], "relation": [0]})}, "200"),
    ],
)
def test_what_does_not_fit_is_refused(world: GroundedWords, change: dict[str, object], message: str) -> None:
    given = {"word_vectors": world.text, "captions": world.captions[:200], "scenes": world.scenes[:200]}
    with pytest.raises(BrainalignError, match=message):
        small().fit(**(given | change))  # type: ignore[arg-type]


def test_relations_that_were_never_learned_are_not_told(world: GroundedWords) -> None:
    plain = small().fit(world.text, world.captions[:200], world.scenes[:200])
    refused("no relations", plain.relate, [0], [1], world.scenes[:1])
