from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from torch import Tensor
from torch.nn import functional as F

from brainalign.decoding import TextDecoder, Trials, retrieval_accuracy

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
    other = train.signals.copy()
    for signal, length in zip(other, lengths, strict=True):
        signal[:, length:] = 100.0
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
    refused("both train and val", small(selection="best_val").fit, train, train)
    refused("validation trials", small(selection="best_val").fit, trials(8))
    refused("'best_val', 'last'", small, selection="best_test")
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
