import numpy as np
import pandas as pd
import pytest
from refusals import refused
from sklearn.decomposition import PCA

from brainalign.decoding import Components, Trials, decoder_of, exchange_relevance, subject_curve


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
    refused("1 tested stimuli are not in the gallery", subject_curve, np.ones((6, 2)), table, np.ones((2, 2)), [0, 1])
    many = pd.DataFrame({"subject": [*[0, 1] * 40, 2, 3, 2, 3], "stimulus_id": [*np.arange(80) // 2, 0, 0, 1, 1]})
    assert subject_curve(rng.normal(size=(84, 3)), many, np.eye(40)[:, :3], range(40))["ceiling"].iloc[1] < 0.25


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
