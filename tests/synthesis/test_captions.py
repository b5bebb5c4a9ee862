from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from scipy.special import softmax
from scipy.stats import zscore
from seeded.recorded import Record

from brainalign import synthesis
from brainalign.encoding import Ridge
from brainalign.statistics import bootstrap_correlations, fdr, interval_widening
from brainalign.study import attribute_labels

D, N_BANK, N_VOXELS = 7, 53, 5


@pytest.fixture
def world(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(D, N_VOXELS)), rng.normal(size=(N_BANK, D)) + 0.5


@pytest.mark.parametrize("chunk", [1, 8, 53, 1000])
@pytest.mark.parametrize("temperature", [0.0, 3.0, 150.0, 1e6])
def test_the_streamed_projection_is_the_dense_one(world: tuple, chunk: int, temperature: float) -> None:
    weights, bank = world
    units = bank / np.linalg.norm(bank, axis=1, keepdims=True)
    p = softmax(temperature * (weights / np.linalg.norm(weights, axis=0)).T @ units.T, axis=1)
    mean = p @ units
    dense = mean / np.linalg.norm(mean, axis=1, keepdims=True) * (p @ np.linalg.norm(bank, axis=1))[:, None]
    found = synthesis.project_to_bank(*world, temperature=temperature, chunk=chunk)
    np.testing.assert_allclose(found, dense, rtol=1e-9, atol=1e-9)


def test_the_nearest_image_is_taken_also_streamed_or_from_the_centre(world: tuple, tmp_path: Path) -> None:
    weights, bank = world
    units = bank / np.linalg.norm(bank, axis=1, keepdims=True)
    nearest = (units @ weights).argmax(axis=0)
    for chunk in (5, 100):
        found = synthesis.project_to_bank(weights, bank, np.inf, chunk=chunk)
        np.testing.assert_allclose(found, bank[nearest], rtol=1e-9)
    dask = pytest.importorskip("dask.array")
    np.save(tmp_path / "bank.npy", bank)
    expected = synthesis.project_to_bank(weights, bank, 20, center=True)
    for stored in (np.load(tmp_path / "bank.npy", mmap_mode="r"), dask.from_array(bank, chunks=(10, 3))):
        found = synthesis.project_to_bank(weights, stored, 20, center=True, chunk=9)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    apart = units - units.mean(axis=0)
    apart /= np.linalg.norm(apart, axis=1, keepdims=True)
    nearest = synthesis.project_to_bank(weights, bank, np.inf, center=True, chunk=10)
    np.testing.assert_allclose(nearest, bank[(apart @ weights).argmax(axis=0)], rtol=1e-9)
    assert not np.allclose(nearest, synthesis.project_to_bank(weights, bank, np.inf))


@pytest.mark.parametrize(("change", "message"), [
    (lambda w, m: (w.T, m), "give weights.T"), (lambda w, m: (w[:3], m), "both must be of the same layer"),
    (lambda w, m: (w * [1, 0, 1, 1, 1], m), "first: column 1"),
    (lambda w, m: (w, np.where(np.arange(len(m))[:, None] == 20, np.nan, m)), "first: row 20"),
    (lambda w, m: (w, m[:0]), "must be"),
])  # fmt: skip
def test_bad_input_is_named(world: tuple, change: object, message: str) -> None:
    refused(message, synthesis.project_to_bank, *change(*world), chunk=8)
    refused("temperature", synthesis.project_to_bank, *world, temperature=-1)


def test_shares_sum_to_one_and_vocabularies_ignore_the_gap_to_images(world: tuple) -> None:
    kinds = np.arange(N_BANK)[:, None] % 3 == np.arange(3)[None]
    np.testing.assert_allclose(synthesis.bank_shares(*world, kinds, temperature=5, chunk=10).sum(axis=1), 1)
    expected = np.tile(kinds.mean(axis=0), (N_VOXELS, 1))
    np.testing.assert_allclose(synthesis.bank_shares(*world, kinds, temperature=0), expected)
    refused("one row per image", synthesis.bank_shares, *world, kinds[:4])
    images = np.array([[1.0, 0, 3], [-1, 0, 3], [0, 1, 3]])  # all share the third axis
    phrases = np.array([[1.0, 0, -5], [-1, 0, -5], [0, 1, -5]])
    units = images / np.linalg.norm(images, axis=1, keepdims=True)
    captioner = synthesis.VocabularyCaptioner(["right", "left", "up"], phrases, origin=units.mean(axis=0))
    assert synthesis.caption_targets(images * [[1], [7], [2]], captioner).texts.tolist() == ["right", "left", "up"]
    refused("embedding per phrase", synthesis.VocabularyCaptioner, ["one"], phrases)
    refused("embeddings of phrases", synthesis.VocabularyCaptioner, ["one"], np.full((1, D), np.nan))


def test_attributes_are_named_one_by_one_and_silenced() -> None:
    colour, shape = np.eye(4)[:2], np.eye(4)[2:]
    captioner = synthesis.AttributeCaptioner({"colour": (["red", "blue"], colour), "shape": (["disc", "cross"], shape)})
    found = synthesis.caption_targets(np.array([[1.0, 0, 0, 0.2], [0, 1, 0.1, 0]]), captioner)
    assert found.texts.tolist() == ["red, cross", "blue, disc"]
    values = {"colour": np.array(["red", synthesis.ANY]), "shape": np.array([synthesis.ANY, synthesis.ANY])}
    said = captioner.said(values)
    assert said.texts.tolist() == ["red, any shape", ""]
    assert np.isnan(said.embeddings).tolist() == [[False] * 4, [True] * 4]
    refused("two values", synthesis.AttributeCaptioner, {"colour": (["red"], colour[:1])})


def test_what_a_cell_leaves_empty_is_said_so() -> None:
    cells = {"animal": ["cat", "", "dog", "cat"], "area": ["1", "2", "", "4"]}
    table = pd.DataFrame({"stimulus_id": list("abcd")} | cells)
    assert attribute_labels(table, ["animal"])["animal"].tolist() == ["cat", "no animal", "dog", "cat"]
    assert list(attribute_labels(table, [])) == ["animal"]
    refused("area is a number, but 1 of 4 images have none", attribute_labels, table, ["area"])


def test_evidence_is_two_regressions_on_attributes() -> None:
    rng, n = np.random.default_rng(2), 40
    values = {"colour": ["red", "blue", "green"], "shape": ["disc", "cross"]}
    shares = {"colour": [1 / 6, 1 / 3, 1 / 2], "shape": [1 / 3, 2 / 3]}
    labels = {name: rng.choice(words, size=n, p=shares[name]) for name, words in values.items()}
    captioner = synthesis.AttributeCaptioner({name: (of, rng.normal(size=(len(of), D))) for name, of in values.items()})
    weights, bank, alphas = rng.normal(size=(D, 4)), rng.normal(size=(n, D)), np.array([0.1, 1, 3, 30])
    responses = rng.normal(size=(n, 4)) + 2 * np.outer(labels["colour"] == "blue", [1, 1, 0, 0])
    order = np.random.default_rng(5)
    mixed = [order.permuted(responses, axis=0) for _ in range(9)]
    asked = (bank, responses, (weights, alphas), labels, 3.0)
    found = synthesis.attribute_evidence(captioner, *asked, n_nulls=9, q=0.2, rng=np.random.default_rng(5))
    dummies = [labels[name] == word for name, words in values.items() for word in words[1:]]
    design = np.column_stack([np.ones(n), *dummies]).astype(float)
    to_coef, centre = np.linalg.pinv(design), np.eye(n) - 1 / n
    outside = np.eye(n) - design @ to_coef
    X = centre @ (bank / np.linalg.norm(bank, axis=1, keepdims=True))

    def best(y: np.ndarray, alpha: float, name: str) -> tuple[float, int]:
        """By matrices over images: the expected residual of exchanged images is a trace."""
        start = 1 + sum(len(values[each]) - 1 for each in list(values)[: list(values).index(name)])
        rows = np.vstack([np.zeros(n), to_coef[start : start + len(values[name]) - 1]])
        hat = X @ np.linalg.solve(X.T @ X + alpha * np.eye(D), X.T)
        t = []
        for row in rows - np.array([(labels[name] == word).mean() for word in values[name]]) @ rows:
            noise, rest = (row @ row * np.sum((outside @ part @ y) ** 2) / (n - 4) for part in (centre, hat))
            expected = row @ row * np.trace(hat @ outside @ hat) * y.var(ddof=1) / (n - 4)
            moves = row @ hat @ hat @ row * y.var(ddof=1)
            t.append(row @ y / np.sqrt(noise) + row @ hat @ y / np.sqrt(max(moves - expected, 0) + rest))
        return max(t), int(np.argmax(t))

    for name, table in found.groupby("attribute"):
        pairs = list(zip(responses.T, alphas, strict=True))
        strength, number = zip(*(best(*pair, name) for pair in pairs), strict=True)
        drawn = [best(y, alpha, name) for each in mixed for y, alpha in zip(each.T, alphas, strict=True)]
        np.testing.assert_allclose(table["strength"], strength)
        np.testing.assert_allclose(table["p"], [(1 + sum(t >= one for t, _ in drawn)) / 37 for one in strength])
        assert table["value"].tolist() == [values[name][k] for k in number]
        assert table["shuffled"].tolist() == [values[name][k] for _, k in drawn[:4]]
        has = labels[name][:, None] == table["value"].to_numpy()[None]
        np.testing.assert_allclose(table["prior"], has.mean(axis=0))
        np.testing.assert_allclose(table["share"], np.diag(synthesis.bank_shares(weights, bank, has, 3.0)))
    np.testing.assert_allclose(found["q"], fdr(found["p"].to_numpy()))
    assert found["said"].tolist() == [
        v if q <= 0.2 else synthesis.ANY for v, q in zip(found["value"], found["q"], strict=True)
    ]
    assert {synthesis.ANY} < set(found["said"])
    refused("one exchange", synthesis.attribute_evidence, captioner, *asked, n_nulls=0, rng=rng)


def test_shuffled_weights_are_those_of_ridge_regression() -> None:
    rng = np.random.default_rng(3)
    X, Y = rng.normal(size=(60, D)), rng.normal(size=(60, 2))
    (found,) = synthesis.shuffled_weights(X, Y, np.array([3.0, 3.0]), 1, np.random.default_rng(5))
    mixed = np.random.default_rng(5).permuted(Y, axis=0)
    np.testing.assert_allclose(found, Ridge(alphas=[3.0], device="cpu", dtype="float64").fit(X, mixed).coef_, atol=1e-8)
    assert not np.allclose(*synthesis.shuffled_weights(X, Y, np.array([3.0, 3.0]), 2, rng))
    refused("give a row per image and a penalty", synthesis.shuffled_weights, X, Y[:5], np.ones(2), 1, rng)


def test_scores_are_correlations_and_controls_are_below() -> None:
    rng = np.random.default_rng(1)
    images = rng.normal(size=(80, D))
    units = images / np.linalg.norm(images, axis=1, keepdims=True)
    phrases = np.linalg.qr(rng.normal(size=(D, D)))[0]
    captioner = synthesis.VocabularyCaptioner([f"p{k}" for k in range(D)], phrases)
    said = synthesis.caption_targets(phrases[rng.integers(D, size=30)], captioner)
    responses = units @ said.embeddings.T + 0.1 * rng.normal(size=(80, 30))
    found = synthesis.caption_scores(said, images, responses)
    every = np.corrcoef((units @ said.embeddings.T).T, responses.T)[:30, 30:]
    np.testing.assert_allclose(found.r, np.diag(every), rtol=1e-9)
    assert found.r.min() > 0.8
    np.testing.assert_allclose(found.predicted, units @ said.embeddings.T)
    orders = np.random.default_rng(0)
    drawn = [every[orders.permutation(30), np.arange(30)] for _ in range(100)]
    np.testing.assert_allclose(found.permuted_r, np.mean(drawn, axis=0))
    top = said.texts.tolist().index(max(said.texts.tolist(), key=said.texts.tolist().count))
    np.testing.assert_allclose(found.frequent, (units @ said.embeddings.T)[:, top])
    np.testing.assert_allclose(found.frequent_r, every[top])
    assert found.frequent_r.mean() < found.r.mean() - 0.3
    worse = synthesis.temperature_curve(phrases[:, :3], images, captioner, images, -responses[:, :3], [0, 10, np.inf])
    assert worse["score"][0] > worse["score"][1]
    assert worse["chosen"].tolist() == [False, True, False]  # a limit is a control, however well it does
    silent = synthesis.TextCaptioner(lambda rows: ["a thing"] * len(rows))
    captions = synthesis.caption_targets(phrases[:3], silent)
    assert np.isnan(synthesis.caption_scores(captions, images, responses[:, :3]).r).all()
    refused("no temperature", synthesis.temperature_curve, phrases, images, silent, images, responses[:, :D], [1.0])


@pytest.mark.parametrize("temperature", [30.0, None])
def test_voxels_are_captioned_by_what_they_follow(temperature: float | None, recorded: Record) -> None:
    """Red, disc and cross are planted, then two voxels of noise."""
    rng = np.random.default_rng(4)
    names = {"colour": ["red", "blue"], "shape": ["disc", "cross"]}
    values = {name: rng.choice(of, 150) for name, of in names.items()}
    is_a = np.array([values[name] == value for name in names for value in names[name]], dtype=float).T
    images = is_a + 0.3 * rng.normal(size=is_a.shape)
    responses = np.c_[is_a[:, [0, 2, 3]], np.zeros((150, 2))] + 0.3 * rng.normal(size=(150, 5))
    train, test = ((images[rows], responses[rows]) for rows in (np.arange(110), np.arange(110, 150)))
    kinds = {"colour": (names["colour"], np.eye(4)[:2]), "shape": (names["shape"], np.eye(4)[2:])}
    captioner = synthesis.AttributeCaptioner(kinds)
    labels = {name: of[:110] for name, of in values.items()}
    ridge = Ridge(alphas=[1.0, 10.0], device="cpu", dtype="float64")
    options = {"n_permutations": 99, "n_draws": 60, "n_nulls": 19, "temperature": temperature, "seed": 3}
    study = synthesis.CaptionStudy(ridge, captioner, labels, [3.0, 30.0], **options)
    found = study(train, test, {"a": np.arange(3), "b": np.arange(3, 5)})
    table = found.captions
    assert table["caption"].tolist() == ["red, any shape", "any colour, disc", "any colour, cross", "", ""]
    units = [of / np.linalg.norm(of, axis=1, keepdims=True) for of in (train[0], test[0])]
    predicted = {"encoder_r": ridge.fit(units[0], train[1]).predict(units[1])}
    predicted["r"] = units[1] @ captioner.said({"colour": table["colour"], "shape": table["shape"]}).embeddings.T
    for name, each in predicted.items():
        r = [np.corrcoef(each[:, k], test[1][:, k])[0, 1] for k in range(3)]
        np.testing.assert_allclose(table[name][:3], r, atol=1e-6)
    scores = found.scores.set_index(["region", "of"]).loc[("a", "caption")]
    drawn = bootstrap_correlations(predicted["r"][:, :3], test[1][:, :3], [np.arange(3)], n_draws=60, seed=3)[:, 0]
    ends = scores["r"] + interval_widening(np.inf, 40, 0.95) * (np.quantile(drawn, [0.025, 0.975]) - scores["r"])
    np.testing.assert_allclose(scores[["low", "high"]].astype(float), ends, atol=1e-5)
    assert (table["p"][:3] == 1 / 991).all()
    np.testing.assert_allclose(table["q"][:3], fdr(table["p"][:3].to_numpy()))
    assert table.loc[3:, ["p", "q", "r", "nearest_r", "bankmean_r"]].isna().all(axis=None)
    recorded.check(f"captions {temperature}", found)


def test_phrases_are_those_that_responses_follow() -> None:
    """30 voxels follow one phrase of 12 each; weights of their encoder point along what images differ little in."""
    rng, planted = np.random.default_rng(7), np.arange(30) % 12
    images = 2 + rng.normal(size=(160, D)) * np.linspace(0.2, 1.5, D)
    units = images / np.linalg.norm(images, axis=1, keepdims=True)
    captioner = synthesis.VocabularyCaptioner(list("abcdefghijkl"), rng.normal(size=(12, D)), units.mean(axis=0))
    responses = zscore(units @ captioner.embeddings[planted].T) + 0.5 * rng.normal(size=(160, 30))
    assert (captioner.following((300 * units).astype("f2"), responses).texts == captioner.phrases[planted]).all()
    refused("responses .* NaN", captioner.following, units, np.where(responses > 3, np.nan, responses))
    study = synthesis.CaptionStudy(Ridge(alphas=[1.0], device="cpu"), captioner, {}, [3.0, 30.0], n_draws=60)
    found = study((images[:120], responses[:120]), (images[120:], responses[120:]), {"all": np.arange(30)})
    assert (found.captions["caption"] == captioner.phrases[planted]).mean() > 0.95
    scores = found.scores.set_index("of")
    assert abs(scores.loc["shuffled", "r"]) < 0.2 < scores.loc["shuffled", "gain_low"]
    assert (found.temperature, len(found.temperatures), "followed" in scores.index) == (None, 0, False)


def test_functions_of_users_are_checked_and_nouns_are_whole_words() -> None:
    named = synthesis.TextCaptioner(lambda rows: ["red", "red"], embed=lambda texts: np.ones((len(texts), D)))
    assert synthesis.caption_targets(np.ones((2, D)), named).embeddings.shape == (2, D)
    refused("one per voxel", synthesis.caption_targets, np.ones((3, D)), synthesis.TextCaptioner(lambda rows: ["red"]))
    texts = ["a red scarf", "a car, on a road", "", "carts, red_scarf's"]
    shares = synthesis.noun_shares(texts, {"V1": np.arange(4), "V2": np.array([], dtype=int)}, ["car", "red_scarf"])
    assert (shares["V1"], np.isnan(shares["V2"]["car"])) == ({"car": 0.25, "red_scarf": 0.5}, True)


def test_a_language_model_learns_to_caption(tmp_path: Path, rng: np.random.Generator) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = {word: k for k, word in enumerate(["<end>", "a", "red", "blue", "green", "disc", "cross"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<end>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=7, n_positions=24, n_embd=24, n_layer=1, n_head=2))
    colours, shapes = rng.integers(3, size=240), rng.integers(2, size=240)
    points = np.eye(5)[colours] + np.eye(5)[3 + shapes] + 0.1 * rng.normal(size=(240, 5))
    names = [f"a {['red', 'blue', 'green'][c]} {['disc', 'cross'][s]}" for c, s in zip(colours, shapes, strict=True)]
    options = {"n_prefix": 2, "n_steps": 100, "learning_rate": 1e-2, "train_language_model": True}
    captioner = synthesis.train_prefix_captioner(points[:200], names[:200], model, fast, **options)
    written = captioner(points[200:])
    assert np.mean([a == b for a, b in zip(written, names[200:], strict=True)]) > 0.9
    model.generation_config.update(num_beams=3, min_new_tokens=9)  # a model's own ways of writing are not followed
    captioner.save(tmp_path)
    assert synthesis.PrefixCaptioner.from_folder(tmp_path)(points[200:]) == written
    refused(r", 3\) but the captioner was trained on 5 features", captioner, points[:, :3])
    refused(r"holds no mapping\.safetensors", synthesis.PrefixCaptioner.from_folder, tmp_path / "language_model")
