import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused

from brainalign.decoding import GroundedLanguage, clip_loss, pair_loss, same_words
from brainalign.simulation import GroundedWords, grounded_words


@pytest.fixture(scope="module")
def world() -> GroundedWords:
    return grounded_words(n_words=48, n_train=200, n_test=20, n_locations=4, n_channels=16, n_text=20, seed=1)


def small(**options: object) -> GroundedLanguage:
    return GroundedLanguage(8, 16, n_steps=30, relation_steps=20, device="cpu", **options)  # type: ignore[arg-type]


def relations(world: GroundedWords) -> pd.DataFrame:
    subject, other = world.captions[:200].T
    return pd.DataFrame({"scene": range(200), "subject": subject, "object": other, "relation": world.relations[:200]})


def test_captions_score_by_the_best_places_of_their_words_also_when_saved(world, tmp_path) -> None:
    fitted = small().fit(world.text, world.captions[:200], world.scenes[:200], relations(world))
    captions = [[3], [5, 7, 9], [0, 1]]
    found, words = fitted.scores(captions, world.scenes[:6]), fitted.embed()
    with torch.no_grad():
        places = fitted.network_.embed_places(torch.from_numpy(world.scenes[:6])).double().numpy()
    places /= np.linalg.norm(places, axis=2, keepdims=True)
    for row, caption in enumerate(captions):
        expected = [np.mean([(scene @ words[word]).max() for word in caption]) for scene in places]
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
    fitted.save(tmp_path / "grounded.safetensors")
    again = GroundedLanguage.load(tmp_path / "grounded.safetensors", device="cpu")
    np.testing.assert_array_equal(again.embed(), fitted.embed())
    np.testing.assert_array_equal(again.embed(world.text[:5]), fitted.embed()[:5])
    where = [1, 2], [3, 4], world.scenes[:2]
    np.testing.assert_array_equal(again.relate(*where), fitted.relate(*where))
    refused("no grounded language", GroundedLanguage.from_state, {"other": np.zeros(1)})
    refused("no relations", small().fit(world.text, world.captions[:200], world.scenes[:200]).relate, *where)


def test_scenes_of_the_same_words_are_no_negatives_of_each_other() -> None:
    """As trials of one stimulus are not, of which the loss is asked by hand in test_training."""
    a, b = torch.nn.functional.normalize(torch.randn(2, 4, 5), dim=-1)
    same = torch.tensor([0, 1, 1, 2])
    assert torch.allclose(clip_loss(a, b, 3.0, same), pair_loss(3.0 * a @ b.T, same))
    assert same_words([[1, 2], [2, 1, 1], [3]]).tolist() == [0, 0, 1]


@pytest.mark.parametrize(("change", "message"), [
    ({"captions": [[0, 1]] * 200}, "same words"),
    ({"captions": [[0], []] * 100}, "hold no word"),
    ({"captions": [[0], [48]] * 100}, "48 word vectors"),
    ({"captions": [[0], [1]]}, "2 rows"),
    ({"scenes": np.zeros((200, 16))}, "keep their places"),
    ({"word_vectors": np.full((48, 20), np.nan)}, "word vectors"),
    ({"relations": pd.DataFrame({"scene": [0]})}, "subject, object"),
    ({"relations": pd.DataFrame({"scene": [900], "subject": [0], "object": [1], "relation": [0]})}, "200"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(world: GroundedWords, change: dict[str, object], message: str) -> None:
    given = {"word_vectors": world.text, "captions": world.captions[:200], "scenes": world.scenes[:200]}
    refused(message, small().fit, **(given | change))
