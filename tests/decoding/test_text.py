"""The network decoder: what it learns, what it refuses, and that padding and strangers are handled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brainalign.checks import BrainalignError
from brainalign.decoding import TextDecoder, Trials, retrieval_accuracy


def trials(n: int = 96, seed: int = 0, subjects: str = "ab", first: int = 0) -> Trials:
    """Return trials whose signals carry their stimulus's vector on channels 1-4, in samples 8-15."""
    rng = np.random.default_rng([seed, first])
    targets = rng.normal(size=(n, 4))
    shared, *own = np.random.default_rng(7).normal(size=(27, 4, 4))
    signals = rng.normal(size=(n * len(subjects), 6, 32)).astype(np.float32)
    for k, name in enumerate(subjects):
        signals[k * n : (k + 1) * n, 1:5, 8:16] += (targets @ (0.8 * shared + 0.6 * own[ord(name) - ord("a")]))[
            :, :, None
        ]
    ids = [f"text{first + i}" for i in range(n)]
    meta = pd.DataFrame(
        {"stimulus_id": ids * len(subjects), "subject": np.repeat(list(subjects), n), "task": "reading"}
    )
    return Trials(signals, np.tile(targets, (len(subjects), 1)), meta)


def small(**changes: object) -> TextDecoder:
    options = {"n_epochs": 20, "batch_size": 48, "device": "cpu"} | changes
    return TextDecoder(**options)


def top5(decoder: TextDecoder, test: Trials, **changes: object) -> float:
    shown = test.meta["stimulus_id"].to_numpy()
    vectors = decoder.embed(changes.get("signals", test.signals), test.meta)
    found = retrieval_accuracy(vectors, test.targets, shown, shown, n_permutations=20, top=(5,), ways=())
    return float(found.table["value"].iloc[0])


@pytest.mark.parametrize("encoder", ["tiny", "residual"])
def test_vectors_of_new_texts_are_retrieved_from_brain_signals_and_not_from_noise(encoder: str) -> None:
    train, test = trials(160), trials(40, first=1000)
    decoder = small(encoder=encoder).fit(train)
    vectors = decoder.embed(test.signals, test.meta)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert top5(decoder, test) > 0.5  # chance .125
    noise = np.random.default_rng(3).normal(size=test.signals.shape)
    assert top5(decoder, test, signals=noise) < 0.3
    assert decoder.spread_ > 0.8


def test_the_same_seed_gives_the_same_network_and_leaves_global_chance_alone() -> None:
    import torch

    train = trials(48)
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    one, two = (small(n_epochs=2).fit(train).embed(train.signals, train.meta) for _ in range(2))
    assert torch.equal(torch.rand(1), before)
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, small(n_epochs=2, seed=1).fit(train).embed(train.signals, train.meta))


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
    alone = one.embed(train.signals[3:4], train.meta.iloc[3:4])
    np.testing.assert_allclose(alone, vectors[3:4], atol=1e-5)


@pytest.mark.parametrize("encoder", ["tiny", "residual"])
def test_someone_new_is_decoded_by_what_subjects_share_and_counted(encoder: str) -> None:
    train, test = trials(160, subjects="aa"), trials(40, first=1000, subjects="a")
    train.meta["subject"] = np.repeat(["x", "y"], 160)  # two people with one mixing, which the stranger has, too
    test.meta["subject"] = "new"
    decoder = small(encoder=encoder).fit(train)
    assert top5(decoder, test) > 0.5
    assert decoder.known_.unknown(test.meta) == {"task": 0, "dataset": 0, "subject": 40}
    assert decoder.known_.unknown(train.meta)["subject"] == 0


def test_the_best_validated_weights_are_of_an_epoch_before_the_end() -> None:
    train, val = trials(60), trials(30, first=1000)
    decoder = small(selection="best_val", n_epochs=12, augment=False).fit(train, val)
    checked = decoder.history_.validated
    assert len(checked) == 12
    best = checked[checked[:, 0] == decoder.history_.chosen, 1]
    assert best == checked[:, 1].max()
    with pytest.raises(BrainalignError, match="validation trials"):
        small(selection="best_val").fit(train)
    with pytest.raises(BrainalignError, match="'best_val', 'last'"):
        small(selection="best_test")


def test_trials_that_cannot_be_trained_on_are_refused_at_once() -> None:
    train = trials(48)

    def changed(**changes: object) -> Trials:
        given = {"signals": train.signals.copy(), "targets": train.targets.copy(), "meta": train.meta.copy()} | changes
        return Trials(**given)

    broken = changed()
    broken.signals[3, 2, 5] = np.nan
    with pytest.raises(BrainalignError, match=r"1 NaN or infinite values \(first at \(3, 2, 5\)\)"):
        small().fit(broken)
    silent = changed()
    silent.signals[silent.meta["subject"] == "b", 2] = 0
    with pytest.raises(BrainalignError, match=r"1 channels are zero .*channel 2 of subject b"):
        small().fit(silent)
    with pytest.raises(BrainalignError, match="both train and val"):
        small(selection="best_val").fit(train, train)
    with pytest.raises(BrainalignError, match="n_samples from 1 to 40 do not fit 32 times"):
        small().fit(changed(meta=train.meta.assign(n_samples=[1, *[40] * 95])))
    decoder = small(n_epochs=1).fit(train)
    with pytest.raises(BrainalignError, match=r"\(96, 6, 31\), but training was on \(n_trials, 6, 32\)"):
        decoder.embed(train.signals[:, :, 1:], train.meta)
    with pytest.raises(BrainalignError, match="NaN"):
        decoder.embed(broken.signals, train.meta)
    with pytest.raises(BrainalignError, match="5 folds do not fit"):
        small(encoder="residual").fit(train.select(np.array([0, 1, 48, 49])))
