from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from sklearn.metrics import balanced_accuracy_score

from brainalign.checks import BrainalignError
from brainalign.decoding import zero_shot_labels

World = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]


def world(noise: float) -> World:
    """Three labels, one of them frequent, of 40 texts that two subjects read; all vectors share an offset."""
    rng = np.random.default_rng(0)
    means = 1.2 * rng.normal(size=(3, 8))
    label = np.repeat([0, 0, 1, 2], 10)
    texts = means[label] + rng.normal(size=(40, 8)) + 5
    shown = np.tile(np.arange(40), 2)
    decoded = texts[shown] + noise * rng.normal(size=(80, 8))
    wordings = {name: means[k] + 0.3 * rng.normal(size=(4, 8)) + 5 for k, name in enumerate("abc")}
    return decoded, texts[shown], shown, np.array(list("abc"))[label][shown], wordings


def test_labels_are_told() -> None:
    decoded, texts, shown, labels, wordings = world(1.0)
    found = zero_shot_labels(decoded, texts, shown, labels, wordings, np.full(8, 5.0))
    table = found.table.set_index("measure")
    assert table.loc["micro accuracy", "value"] == pytest.approx((found.told == labels).mean())
    assert table.loc["balanced accuracy", "value"] == pytest.approx(balanced_accuracy_score(labels, found.told))
    assert (table["p"] < 0.01).all()
    assert (table["value"] <= table["text_ceiling"]).all()
    assert table.loc["micro accuracy", "majority"] == 0.5
    assert table["n_stimuli"].tolist() == [40, 40]
    assert np.diag(found.confusion).sum() / 80 == pytest.approx(table.loc["micro accuracy", "value"])
    # With the offset left in, all vectors point one way.
    off = zero_shot_labels(decoded, texts, shown, labels, wordings, np.zeros(8)).table["value"]
    assert off[0] < table.loc["micro accuracy", "value"]


def test_nothing_is_told_from_noise_nor_by_the_majority() -> None:
    decoded, texts, shown, labels, wordings = world(0.0)
    noise = np.random.default_rng(1).normal(size=decoded.shape) + 5
    table = zero_shot_labels(noise, texts, shown, labels, wordings, np.full(8, 5.0)).table
    assert (table["p"] > 0.01).all()
    constant = np.tile(wordings["a"].mean(axis=0), (80, 1))
    table = zero_shot_labels(constant, texts, shown, labels, wordings, np.full(8, 5.0)).table.set_index("measure")
    assert table["value"].tolist() == pytest.approx([0.5, 1 / 3])
    assert (table["p"] == 1).all()


def test_bad_input() -> None:
    decoded, texts, shown, labels, wordings = world(1.0)
    refused(
        r"label\(s\) c", zero_shot_labels, decoded, texts, shown, labels, {k: wordings[k] for k in "ab"}, np.zeros(8)
    )
    with pytest.raises(BrainalignError, match="several labels"):
        zero_shot_labels(decoded, texts, shown, np.where(np.arange(80), labels, "c"), wordings, np.zeros(8))
