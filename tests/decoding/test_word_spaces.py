from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict

from brainalign import decoding
from brainalign.decoding import GroundedLanguage, clip_loss, pair_loss, same_words
from brainalign.simulation import GroundedWords, grounded_words
from brainalign.statistics import bootstrap_correlations


def test_scenes_of_the_same_words_do_not_compete_and_nothing_is_at_chance(rng: np.random.Generator) -> None:
    sets = np.repeat(np.arange(10), 2)
    scores = (sets[:, None] == sets).astype(float)  # a caption cannot tell the two scenes of its words apart
    found = decoding.scene_retrieval(scores, sets, n_draws=50).set_index("measure")
    assert (found.loc["top-1", "value"], found.loc["top-1", "n_gallery"]) == (1, 19)
    assert decoding.scene_retrieval(scores, np.arange(20), n_draws=50).set_index("measure").loc["top-1", "value"] == 0
    options = {"n_permutations": 99, "n_draws": 10}
    tables = [decoding.scene_retrieval(rng.normal(size=(40, 40)), np.arange(40), seed=k, **options) for k in range(60)]
    assert 0.02 <= np.mean([table["p"][2] <= 0.2 for table in tables]) <= 0.36
    often = np.r_[np.zeros(40, dtype=int), np.arange(1, 41)]  # one caption of half the scenes: others have more rivals
    found = decoding.scene_retrieval(rng.normal(size=(41, 80))[often], often, n_permutations=300, n_draws=10)
    assert (found["null_mean"] - found["chance"]).abs().max() < 0.03
    refused(r"\(n, n\)", decoding.scene_retrieval, np.zeros((3, 4)), np.arange(3))


def test_norms_are_predicted_as_scikit_learn_does_with_the_same_folds_and_penalty(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(60, 5))
    norms = pd.DataFrame(vectors @ rng.normal(size=(5, 2)) + 0.5 * rng.normal(size=(60, 2)), columns=["a", "b"])
    found = decoding.norm_prediction({"text": vectors}, norms, n_permutations=2, n_draws=10).set_index("norm")
    parts = np.array_split(np.random.default_rng([0, 0x40E]).permutation(60), 5)
    folds = [(np.setdiff1d(np.arange(60), test), test) for test in parts]
    predicted = [cross_val_predict(Ridge(alpha=alpha), vectors, norms, cv=folds) for alpha in (1e-3, 0.1, 1.0)]
    best = max(r2_score(norms, one) for one in predicted)
    assert found.loc[decoding.ALL_NORMS, "r2"] == pytest.approx(best, abs=0.01)
    few = {"n_permutations": 2, "n_draws": 200}
    wide, narrow = (decoding.norm_prediction({"text": vectors}, norms, confidence=c, **few) for c in (0.95, 0.5))
    assert (np.diff([wide["low"], narrow["low"], narrow["r2"], narrow["high"], wide["high"]], axis=0) > 0).all()


def test_a_space_that_knows_the_norms_beats_the_text_and_one_of_noise_does_not() -> None:
    rng = np.random.default_rng(1)
    codes = rng.normal(size=(80, 4))
    norms = pd.DataFrame(codes @ rng.normal(size=(4, 3)))
    spaces = {"text": rng.normal(size=(80, 6)), "grounded": codes, "noise": rng.normal(size=(80, 6))}
    table = decoding.norm_prediction(spaces, norms, n_permutations=40, n_draws=200)
    rows = table[table["norm"] == decoding.ALL_NORMS].set_index("space")
    assert rows.loc["grounded", "r2"] > 0.99
    assert rows.loc["grounded", "gain_low"] > 0.5
    assert rows.loc["grounded", "p"] < 0.05
    assert rows.loc["noise", "r2"] < 0.05 < rows.loc["noise", "p"]
    equal = []
    for k in range(40):
        heard = (shared := rng.normal(size=(20, 4))) + 0.7 * rng.normal(size=(2, 20, 4))
        two = dict(zip(("text", "other"), heard, strict=True))
        told = pd.DataFrame(shared[:, :1] + rng.normal(size=(20, 1)))
        equal.append(decoding.norm_prediction(two, told, n_permutations=1, n_draws=100, seed=k).iloc[2])
    assert np.mean([row["gain_low"] > 0 or row["gain_high"] < 0 for row in equal]) <= 0.12
    refused("too few", decoding.norm_prediction, {"text": codes[:6]}, norms[:6])
    refused("the same 0", decoding.norm_prediction, {"text": codes}, norms * 0)


def test_intervals_of_few_words_cover_what_is_expected() -> None:
    rng, covered, few = np.random.default_rng(2), [], {"n_permutations": 1, "n_draws": 200}
    mix, to = rng.normal(size=(5, 15)), rng.normal(size=(5, 3))
    for k in range(200):  # R² of 20 words is skewed: stretched in its own unit, 95 % intervals cover 90 %
        norms = pd.DataFrame((codes := rng.normal(size=(20, 5))) @ to + 0.5 * rng.normal(size=(20, 3)))
        spaces = {"text": codes @ mix + 0.3 * rng.normal(size=(20, 15))}
        covered.append(decoding.norm_prediction(spaces, norms, seed=k, **few)[["low", "r2", "high"]][:3])
    low, r2, high = np.array(covered).transpose(2, 0, 1)
    assert ((low <= r2.mean(axis=0)) & (r2.mean(axis=0) <= high)).mean() >= 0.92


def test_clusters_agree_with_the_classes_that_made_them_and_not_with_shuffled_ones() -> None:
    rng, classes = np.random.default_rng(2), np.arange(90) % 3
    vectors = 6 * np.eye(3)[classes] + rng.normal(size=(90, 3))
    found = decoding.word_clusters({"own": vectors}, classes, n_permutations=50).iloc[0]
    assert found["ari"] > 0.95
    assert found["p"] < 0.05
    assert abs(found["null_mean"]) < 0.05


def test_axes_are_named_by_what_made_them() -> None:
    rng = np.random.default_rng(3)
    size, colour = rng.normal(size=(2, 60))
    vectors = np.outer(3 * size, [1, 1, 0, 0]) + np.outer(1.5 * colour, [0, 0, 1, -1]) + 0.2 * rng.normal(size=(60, 4))
    words = [f"w{k}" for k in range(60)]
    known = pd.DataFrame({"size": size, "colour": colour, "noise": rng.normal(size=60), "constant": 1.0})
    found = decoding.word_axes(vectors, words, known, n_axes=3)
    assert found.axes["name"].tolist()[:2] == ["size", "colour"]
    first = {found.axes.loc[0, end].split(", ")[0] for end in ("low_words", "high_words")}
    assert first == {words[size.argmin()], words[size.argmax()]}
    assert set(found.attributes["attribute"]) == {"size", "colour", "noise"}  # a constant tells nothing
    np.testing.assert_allclose(np.abs(found.positions).max(axis=0), found.positions.max(axis=0))


def test_nothing_names_axes_at_the_rate_and_words_of_all_or_few_are_left_out() -> None:
    rng, named, below = np.random.default_rng(4), [], []
    for _ in range(60):  # words that share images are alike in the space, and in the means of a column of nothing
        topics = rng.integers(3, size=100)
        said = rng.random((100, 18)) < np.where(np.arange(18) % 3 == topics[:, None], 0.5, 0.05)
        looks, column = rng.normal(size=(3, 8))[topics] + rng.normal(size=(100, 8)), pd.DataFrame(rng.normal(size=100))
        space, known = (decoding.word_attributes(said, each) for each in (pd.DataFrame(looks), column))
        mixed = [decoding.word_attributes(said, column.sample(frac=1, random_state=rng)) for _ in range(99)]
        given = space, list("x" * 18), known.assign(norm=rng.normal(size=18))
        found = decoding.word_axes(*given, exchanged=mixed, n_permutations=99)
        named.append((found.axes["name"] != "").any())
        below.append((found.attributes.set_index("attribute").loc["0", "p"] < 0.05).mean())
    assert np.mean(named) < 0.15
    assert np.mean(below) < 0.08  # with words exchanged .14
    texts = [["a red cat"], ["the red dog", "one हिन्दी"], ["a red cat sits"], ["a blue bird"], ["red cat and dog"]]
    train = np.array([True, True, True, False, True])
    found, said = decoding.caption_words(texts, train, min_images=1)
    assert found == ["cat", "dog", "sits", "हिन्दी"]  # red in all training captions, bird only in a test one
    assert said[1].tolist() == [False, True, False, True]
    known = decoding.word_attributes(said[train], pd.DataFrame({"size": ["1", "2", "3", "5"]}))
    assert known["size"].tolist() == [3, 3.5, 3, 2]
    refused("three", decoding.caption_words, texts, train, min_images=2)
    refused("size", decoding.word_attributes, said[train], pd.DataFrame({"size": ["1", "2", "big", "5"]}))


def test_regions_are_predicted_by_the_space_that_holds_what_they_answer_to() -> None:
    said = (rng := np.random.default_rng(6)).random((200, 12)) < 0.3
    said[:, 0] |= ~said.any(axis=1)
    looks, company = rng.normal(size=(2, 12, 3))
    grounded, text = (decoding.caption_vectors(said, each) for each in (looks, company))
    np.testing.assert_allclose(grounded[0], looks[said[0]].mean(axis=0))
    responses = np.column_stack([grounded @ rng.normal(size=(3, 8)), rng.normal(size=(200, 4))])
    responses += 0.3 * responses.std(axis=0) * rng.normal(size=responses.shape)
    spaces = {"grounded": (grounded[:150], grounded[150:]), "text": (text[:150], text[150:])}
    table = decoding.word_regions(
        spaces, responses[:150], responses[150:], {"seeing": np.arange(8), "noise": np.arange(8, 12)},
        lambda X, Y: Ridge(alpha=0.1).fit(X, Y), ceiling=np.full(12, 0.81), n_permutations=99, n_draws=200,
    ).set_index(["encoder", "group"])  # fmt: skip
    assert table.loc[("grounded", "seeing"), "r"] > 0.85
    assert table.loc[("text", "seeing"), "difference_low"] > 0
    assert table.loc[("grounded", "seeing"), "q"] < 0.05
    assert table.loc[("grounded", "noise"), "p"] > 0.05
    assert table.loc[("grounded", "seeing"), "ceiling_r"] == pytest.approx(0.9)
    assert table.loc[("text", "noise"), "difference_low"] < 0 < table.loc[("text", "noise"), "difference_high"]
    told, few = text[:12] @ rng.normal(size=(3, 12)), responses[:12]
    fit = decoding.word_regions({"text": (text[12:36], text[:12])}, responses[12:36], few, {"all": np.arange(12)},
                                lambda X, Y: SimpleNamespace(predict=lambda X: told), n_draws=200)  # fmt: skip
    plain = bootstrap_correlations(told, few, [np.arange(12)], n_draws=200, seed=0)
    assert (fit["high"] - fit["low"])[0] > 1.3 * np.ptp(np.quantile(plain, [0.025, 0.975]))  # few images: Student's t
    refused("none of the words", decoding.caption_vectors, np.zeros((2, 12)), looks)


@pytest.fixture(scope="module")
def world() -> GroundedWords:
    return grounded_words(n_words=48, n_train=200, n_test=20, n_locations=4, n_channels=16, n_text=20, seed=1)


def small(**options: object) -> GroundedLanguage:
    return GroundedLanguage(8, 16, n_steps=30, relation_steps=20, device="cpu", **options)  # type: ignore[arg-type]


def test_captions_score_by_the_best_places_of_their_words_also_when_saved(world, tmp_path) -> None:
    relations = pd.DataFrame(world.captions[:200], columns=["subject", "object"]).assign(scene=range(200))
    relations["relation"] = world.relations[:200]
    fitted = small().fit(world.text, world.captions[:200], world.scenes[:200], relations)
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


def test_few_scenes_ask_for_a_strong_decay_of_weights_which_is_found() -> None:
    rng, first = np.random.default_rng(1), {}
    looks, scenes = rng.normal(size=(80, 32)), rng.normal(size=(120, 12, 32))
    said = np.stack([rng.choice(80, size=3, replace=False) for _ in scenes])
    scenes[:, :3] += 2 * looks[said]
    for decay in (0.5, None):
        model = GroundedLanguage(n_steps=200, weight_decay=decay, device="cpu").fit(looks, said[:60], scenes[:60])
        first[model.weight_decay_] = (model.scores(said[60:], scenes[60:]).argmax(axis=1) == np.arange(60)).mean()
    assert first[15.0] > 0.6 > 0.3 > first[0.5]


def test_scenes_of_the_same_words_are_no_negatives_of_each_other() -> None:
    """As trials of one stimulus are not, of which the loss is asked by hand in test_training."""
    a, b = torch.nn.functional.normalize(torch.randn(2, 4, 5), dim=-1)
    same = torch.tensor([0, 1, 1, 2])
    assert torch.allclose(clip_loss(a, b, 3.0, same), pair_loss(3.0 * a @ b.T, same))
    assert same_words([[1, 2], [2, 1, 1], [3]]).tolist() == [0, 0, 1]


@pytest.mark.parametrize(("change", "message"), [
    ({"captions": [[0, 1]] * 200}, "same words"), ({"captions": [[0], []] * 100}, "hold no word"),
    ({"captions": [[0], [48]] * 100}, "48 word vectors"), ({"captions": [[0], [1]]}, "2 rows"),
    ({"scenes": np.zeros((200, 16))}, "keep their places"),
    ({"word_vectors": np.full((48, 20), np.nan)}, "word vectors"),
    ({"relations": pd.DataFrame({"scene": [0]})}, "no column 'subject', 'object'"),
    ({"relations": pd.DataFrame({"scene": [900], "subject": [0], "object": [1], "relation": [0]})}, "200"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(world: GroundedWords, change: dict[str, object], message: str) -> None:
    given = {"word_vectors": world.text, "captions": world.captions[:200], "scenes": world.scenes[:200]}
    refused(message, small().fit, **(given | change))
