from collections.abc import Sequence
from pathlib import Path

import jiwer
import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional as F

from brainalign.decoding import Components, TextDecoder, Trials, retrieval_accuracy, subject_curve, text_scores
from brainalign.decoding.scoring import content_overlaps, words
from brainalign.decoding.text import TextFit, TextStudy, constant_sentence, decoder_of, exchange_relevance, study_text

GLIM = {"n_blocks": 1, "n_heads": 2, "n_queries": 3, "n_query_blocks": 1}
GLIM |= dict.fromkeys(("width", "query_width", "state_width"), 16)


def trials(n: int = 96, seed: int = 0, subjects: str = "ab", first: int = 0) -> Trials:
    """Return trials whose signals carry their stimulus's vector on channels 1-4, in samples 8-15."""
    rng = np.random.default_rng([seed, first])
    targets = rng.normal(size=(n, 4))
    shared, *own = np.random.default_rng(7).normal(size=(27, 4, 4))
    signals = rng.normal(size=(n * len(subjects), 6, 32)).astype(np.float32)
    for k, name in enumerate(subjects):
        mixing = 0.8 * shared + 0.6 * own[ord(name) - ord("a")]
        signals[k * n : (k + 1) * n, 1:5, 8:16] += (targets @ mixing)[:, :, None]
    ids = [f"text{first + i}" for i in range(n)]
    meta = pd.DataFrame({"stimulus_id": ids * len(subjects), "subject": np.repeat(list(subjects), n), "task": "x"})
    return Trials(signals, np.tile(targets, (len(subjects), 1)), meta)


def small(**changes: object) -> TextDecoder:
    options = {"encoder": "tiny", "n_epochs": 20, "batch_size": 48, "device": "cpu"} | changes
    return TextDecoder(**options, encoder_options=GLIM if options["encoder"] == "glim" else None)


def top5(decoder: TextDecoder, test: Trials, **changes: object) -> float:
    shown = test.meta["stimulus_id"].to_numpy()
    vectors = decoder.embed(changes.get("signals", test.signals), test.meta)
    found = retrieval_accuracy(vectors, test.targets, shown, shown, n_permutations=20, top=(5,), ways=())
    return float(found.table["value"].iloc[0])


@pytest.mark.parametrize("encoder", ["tiny", "residual", "glim"])
def test_vectors_of_new_texts_are_retrieved_from_brain_signals_and_not_from_noise(encoder: str) -> None:
    n, epochs = (160, 20) if encoder == "glim" else (100, 12)
    train, test = trials(n), trials(40, first=1000)
    decoder = small(encoder=encoder, n_epochs=epochs).fit(train)
    np.testing.assert_allclose(np.linalg.norm(decoder.embed(test.signals, test.meta), axis=1), 1, rtol=1e-5)
    assert top5(decoder, test) > 0.5  # chance .125
    assert top5(decoder, test, signals=np.random.default_rng(3).normal(size=test.signals.shape)) < 0.3
    assert decoder.spread_ > 0.8


@pytest.mark.parametrize("encoder", ["tiny", "residual", "envelope"])
def test_what_lies_in_the_padding_changes_nothing(encoder: str) -> None:
    train = trials(48)
    lengths = np.random.default_rng(1).integers(9, 33, len(train.meta))
    train.meta["n_samples"] = lengths
    other = np.where(np.arange(32) < lengths[:, None, None], train.signals, np.float32(100))
    one = small(encoder=encoder, n_epochs=2).fit(train)
    two = small(encoder=encoder, n_epochs=2).fit(Trials(other, train.targets, train.meta))
    vectors = one.embed(train.signals, train.meta)
    np.testing.assert_allclose(vectors, two.embed(other, train.meta), atol=1e-5)
    # A trial is decoded alike by itself and among others.
    np.testing.assert_allclose(one.embed(train.signals[3:4], train.meta.iloc[3:4]), vectors[3:4], atol=1e-5)


@pytest.mark.parametrize("encoder", ["tiny", "residual"])
def test_someone_new_is_decoded_by_what_subjects_share_and_counted(encoder: str) -> None:
    train, test = trials(100, subjects="aa"), trials(40, first=1000, subjects="a")
    train.meta["subject"] = np.repeat(["x", "y"], 100)  # two people with one mixing, which the stranger has, too
    test.meta["subject"] = "new"
    decoder = small(encoder=encoder, n_epochs=12).fit(train)
    assert top5(decoder, test) > 0.5
    assert decoder.known_.unknown(test.meta) == {"task": 0, "dataset": 0, "subject": 40}
    assert decoder.known_.unknown(train.meta)["subject"] == 0


def test_trials_that_cannot_be_trained_on_are_refused_at_once() -> None:
    train = trials(48)

    def changed(**changes: object) -> Trials:
        given = {"signals": train.signals.copy(), "targets": train.targets.copy(), "meta": train.meta.copy()} | changes
        return Trials(**given)

    broken = changed()
    broken.signals[3, 2, 5] = np.nan
    refused(r"1 NaN or infinite values \(first at \(3, 2, 5\)\)", small().fit, broken)
    silent = changed()
    silent.signals[silent.meta["subject"] == "b", 2] = 0
    refused(r"1 channels are zero .*channel 2 of subject b", small().fit, silent)
    fitted = [small(selection=how, n_epochs=3).fit(train, trials(20, first=900)) for how in ("best_val", "last")]
    assert [len(one.history_.validated) > 0 for one in fitted] == [True, False]  # what is given chooses
    refused("both train and val", small(selection="best_val").fit, train, train)
    refused("'best_val', 'last'", small().set_params(selection="best_test").fit, train)
    longer = changed(meta=train.meta.assign(n_samples=[1, *[40] * 95]))
    refused("n_samples from 1 to 40 do not fit 32 times", small().fit, longer)
    # Of `training.inside`: neither end of the trials may lie outside of the recording.
    refused("n_samples from 0 to 9", small().fit, changed(meta=train.meta.assign(n_samples=[0, *[9] * 95])))
    decoder = small(n_epochs=1).fit(train)
    refused(r"\(96, 6, 31\), but training was on", decoder.embed, train.signals[:, :, 1:], train.meta)
    refused("NaN", decoder.embed, broken.signals, train.meta)
    refused("5 folds do not fit", small(encoder="residual").fit, train.select(np.array([0, 1, 48, 49])))


class Parrot:
    """A language model of one word, the stimulus's number: as small as can be trained against."""

    width, scale = 8, 1.0

    def __init__(self, n_words: int) -> None:
        self.table = torch.randn(n_words, 8, generator=torch.Generator().manual_seed(0))

    def losses(self, states: Tensor, texts: Sequence[str]) -> Tensor:
        words = torch.tensor([int(text) for text in texts])
        return F.cross_entropy(states.mean(dim=1) @ self.table.T, words, reduction="none")

    def teacher_forced(self, states: Tensor, texts: Sequence[str]) -> list[str]:
        return list(texts)

    def generate(self, states: Tensor, beams: int = 1, max_length: int = 64) -> list[str]:
        return [str(int(k)) for k in (states.mean(dim=1) @ self.table.T).argmax(dim=1)]


def test_words_are_learned_through_the_bridge_and_survive_the_file(tmp_path: Path) -> None:
    train, test = trials(160, subjects="a"), trials(60, first=1000, subjects="a")
    words, wanted = ([str(int(row[0] > 0)) for row in part.targets] for part in (train, test))
    decoder = small(language=Parrot(2)).fit(train, texts=[[w, w] for w in words])
    said = decoder.generate(test.signals, test.meta)
    assert np.mean(np.array(said) == wanted) > 0.75
    assert decoder.teacher_forced(test.signals, test.meta, wanted)["diagnostic"].all()
    assert top5(decoder, test) > 0.3  # chance .083: vectors are trained as well
    path = tmp_path / "decoder.safetensors"
    decoder.save(path)
    again = TextDecoder.load(path, Parrot(2), device="cpu")
    np.testing.assert_array_equal(decoder.embed(test.signals, test.meta), again.embed(test.signals, test.meta))
    assert again.generate(test.signals, test.meta) == said
    mute = TextDecoder.load(path)
    np.testing.assert_array_equal(decoder.embed(test.signals, test.meta), mute.embed(test.signals, test.meta))
    refused("no language model", mute.generate, test.signals, test.meta)
    refused("got texts and no language model", small().fit, train, texts=words)
    refused("got a language model and no texts", small(language=Parrot(2)).fit, train)
    refused("texts has 3 rows", small(language=Parrot(2)).fit, train, texts=words[:3])
    refused("no such file", TextDecoder.load, tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("encoder", ["tiny", "residual", "envelope"])
def test_relevance_lies_where_the_signal_was_put(encoder: str, tmp_path: Path) -> None:
    train, test = trials(160, subjects="a"), trials(60, first=1000, subjects="a")
    if encoder == "envelope":  # a random sign: only power tells
        for part in (train, test):
            part.signals[:] = np.random.default_rng(5).normal(size=part.signals.shape)
            wave = np.exp(part.targets / 2) * np.random.default_rng(6).choice([-1, 1], size=part.targets.shape)
            part.signals[:, 1:5, 8:16] += 2 * wave[:, :, None]
    decoder = small(encoder=encoder, augment=encoder != "envelope").fit(train)
    for targets in (test.targets, None):
        found = decoder.attention(test.signals, test.meta, targets)
        assert found.shape == (6, 32)
        carried = np.zeros((6, 32), dtype=bool)
        carried[1:5, 8:16] = True
        assert found[carried].mean() > 4 * abs(found[~carried].mean())
    noise = np.random.default_rng(8).normal(size=test.signals.shape)
    assert abs(decoder.attention(noise, test.meta, test.targets)[carried].sum()) < 0.3 * found[carried].sum()
    refused("one vector per trial", decoder.attention, test.signals, test.meta, test.targets[:3])
    decoder.save(tmp_path / "decoder.safetensors")
    again = TextDecoder.load(tmp_path / "decoder.safetensors", device="cpu")
    np.testing.assert_array_equal(decoder.embed(test.signals, test.meta), again.embed(test.signals, test.meta))


def test_components_are_those_of_scikit_learn_whitened(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(60, 12)) @ rng.normal(size=(12, 12))
    found, reference = Components.fit(vectors[:50], 5), PCA(5).fit(vectors[:50])
    expected = reference.transform(vectors) / np.sqrt(reference.explained_variance_ * 49 / 50)
    np.testing.assert_allclose(np.abs(found.transform(vectors)), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(found.transform(vectors[:50]).std(axis=0), 1)
    assert found.explained == pytest.approx(reference.explained_variance_ratio_.sum())
    whole = Components.fit(vectors[:50], 12)
    np.testing.assert_allclose(whole.inverse(whole.transform(vectors)), vectors, atol=1e-9)
    refused(r"13 components need more than 50 training sentences of 12 dimensions", Components.fit, vectors[:50], 13)
    refused("span 3 dimensions, fewer than the 5", Components.fit, vectors[:50] @ np.diag([1, 1, 1, *[0] * 9]), 5)


def test_stimuli_that_no_gallery_holds_and_few_with_as_many_others_meet_all(rng: np.random.Generator) -> None:
    table = pd.DataFrame({"subject": ["a", "b"] * 3, "stimulus_id": np.arange(6) // 2})
    refused("1 shown stimuli are not in the gallery", subject_curve, np.ones((6, 2)), table, np.ones((2, 2)), [0, 1])
    many = pd.DataFrame({"subject": [*[0, 1] * 40, 2, 3, 2, 3], "stimulus_id": [*np.arange(80) // 2, 0, 0, 1, 1]})
    assert subject_curve(rng.normal(size=(84, 3)), many, np.eye(40)[:, :3], range(40))["ceiling"].iloc[1] < 0.25


@pytest.mark.parametrize(("n_clear", "noise", "least"), [(1, 0.5, 0.7), (4, 1.5, 0.5)])
def test_means_of_readers_follow_those_who_decode_best(n_clear: int, noise: float, least: float) -> None:
    """One of four reads clearly, and all their vectors are equally long; one reads no sentence that validates. Where
    all read alike, and their slopes differ by less than the error of these, all count alike."""
    rng, (subject, sentence) = np.random.default_rng(2), np.divmod(np.arange(240), 60)
    meta = pd.DataFrame({"subject": subject, "stimulus_id": sentence.astype(str), "trial_id": np.arange(240)})
    side = np.array(["val", "train", "test"])[sentence // 20]
    meta = meta.assign(task="NR", split=side, text=["a" * (1 + k) for k in sentence])
    meta = meta[(subject != 3) | (side != "val")]
    vectors, clear = rng.normal(size=(60, 8)), (subject < n_clear)[:, None]
    told = clear * vectors[sentence] + np.where(clear, noise, 1.12) * rng.normal(size=(240, 8))
    trials = Trials(np.repeat(told[meta.index, :, None], 4, axis=2), vectors[sentence[meta.index]], meta)
    parts = [trials.select(np.flatnonzero(side[meta.index] == name)) for name in ("train", "val", "test")]
    study = TextStudy(*parts, Components.fit(vectors, 8), vectors[40:], {}, {}, [*"abcdefgh"], np.arange(4.0))
    fit = TextFit(lambda signals, _: signals.mean(axis=2), None, None, {})
    means = study_text(study, lambda *_: fit, seeds=(0,), n_permutations=99, n_draws=100).tables["averaged"]["value"]
    test = parts[2]
    alike = subject_curve(test.signals.mean(axis=2), test.meta, test.targets, test.meta["stimulus_id"].to_numpy())
    assert np.array_equal(means, alike["value"]) == (n_clear == 4)
    assert means.iloc[-1] > least  # of readers who count alike .25 where one reads clearly


def test_relevance_is_where_the_signal_was(rng: np.random.Generator) -> None:
    """A linear read-out of one channel in one quarter of the time."""
    signals = rng.normal(size=(80, 5, 16))
    meta = pd.DataFrame({"stimulus_id": [str(k) for k in range(80)], "subject": "a", "task": "t"})
    targets = signals[:, 3, 8:12] @ rng.normal(size=(4, 4))
    weights = np.linalg.lstsq(signals[:, 3, 8:12], targets, rcond=None)[0]
    found = exchange_relevance(lambda x, _: x[:, 3, 8:12] @ weights, Trials(signals, targets, meta), n_windows=4)
    used = found[(found["channel"] == 3) & (found["start"] == 8)]
    assert used["share"].item() == pytest.approx(1, abs=0.15)
    assert found.drop(used.index)["loss"].abs().max() < 1e-12
    refused("17 windows of 16", exchange_relevance, lambda x, _: x, Trials(signals, targets, meta), n_windows=17)


def test_validation_trials_choose_and_are_not_fitted(rng: np.random.Generator) -> None:
    signals = rng.normal(size=(60, 3, 8))
    targets = signals.reshape(60, -1) @ rng.normal(size=(24, 4)) + 5 * rng.normal(size=(60, 4))
    meta = pd.DataFrame({"stimulus_id": [str(k) for k in range(60)], "subject": "a", "task": "t"})
    meta["split"] = ["val"] * 15 + ["train"] * 45
    grid = (1e-3, 1.0, 1e3)
    fit = decoder_of({"decoder": "linear", "penalties": grid})(Trials(signals, targets, meta), 0)
    assert fit.chosen["penalty"] in grid
    only = decoder_of({"decoder": "linear", "penalties": (fit.chosen["penalty"],)})
    again = only(Trials(signals, np.where(meta["split"].eq("val").to_numpy()[:, None], 99.0, targets), meta), 0)
    np.testing.assert_allclose(fit.embed(signals, meta), again.embed(signals, meta))
    new = Trials(signals, targets, meta.assign(subject=meta["split"]))  # somebody else validates
    assert decoder_of({"decoder": "linear", "penalties": grid, "sharing": "pooled"})(new, 0).chosen == fit.chosen
    refused("nobody of val is in train", decoder_of({"decoder": "linear", "penalties": grid}), new, 0)
    none = Trials(signals, targets, meta.assign(split="train"))
    refused("0 of 60 trials validate", decoder_of({"decoder": "linear"}), none, 0)


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
