"""Texts that move regions: planted concepts are found over the gap between images and texts, and noise prefers none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from refusals import refused
from sklearn.base import clone

from brainalign.checks import BrainalignError
from brainalign.encoding import InContextEncoder, PretrainedLayer, Reduction, pretrain_layer, text_preferences
from brainalign.encoding.in_context import reduce_texts
from brainalign.features import PCA

WORDS = ["face", "house", "hand", "tree"]
GROUPS = {"FFA": np.arange(30), "PPA": np.arange(30, 60), "noise": np.arange(60, 90), "none": np.arange(0)}


def world(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images that show concepts, texts that name them from elsewhere in the space, and regions that want one each."""
    concepts = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0][:4]
    rng = np.random.default_rng([seed, 1])
    shown = rng.normal(size=(120, 4))
    images = shown @ concepts + 0.1 * rng.normal(size=(120, 12)) + 5.0
    texts = concepts - 7.0  # the gap
    Y = rng.normal(size=(120, 90))
    Y[:, :30] += 2 * shown[:, [0]]
    Y[:, 30:60] += 2 * shown[:, [1]]
    return images, texts, (Y - Y.mean(axis=0)) / Y.std(axis=0)


@pytest.fixture(scope="module")
def pretrained() -> PretrainedLayer:
    images, _, Y = world(1)
    axes = PCA(6).fit(images, rows=np.arange(120))
    encoder = InContextEncoder(n_steps=(0, 80, 0), context_sizes=(8, 60), fallback=False)
    return pretrain_layer(encoder, Reduction(axes.mean_, axes.components_), images, [(np.arange(120), Y)])


def test_planted_concepts_lead_and_noise_prefers_nothing(pretrained: PretrainedLayer) -> None:
    images, texts, Y = world(2)
    X = pretrained.reduction(images)[:60]
    table = text_preferences(pretrained, X, Y[:60], texts, WORDS, GROUPS)
    assert list(table.columns) == ["group", "text", "selectivity", "chance"]
    assert table["group"].unique().tolist() == ["FFA", "PPA", "noise"]
    best = table.loc[table.groupby("group")["selectivity"].idxmax()].set_index("group")
    assert best.loc[["FFA", "PPA"], "text"].tolist() == ["face", "house"]
    assert (best.loc[["FFA", "PPA"], "selectivity"] > 2 * best.loc[["FFA", "PPA"], "chance"]).all()
    assert (table.loc[table["group"] == "noise", "selectivity"].abs() < table["chance"].max()).all()
    cautious = [clone(one).set_params(fallback=True, min_group=20, n_checks=60) for one in pretrained.encoders]
    roi = np.repeat(["FFA", "PPA", "noise"], 30)
    few = replace(pretrained, encoders=tuple(cautious))
    safe = text_preferences(few, X[:10], Y[:10], texts, WORDS, GROUPS, roi=roi).set_index(["group", "text"])
    assert safe.loc[("FFA", "face"), "selectivity"] > safe.loc[("FFA", "house"), "selectivity"]


def test_texts_are_reduced_as_images_are(pretrained: PretrainedLayer) -> None:
    """About their own mean: where texts lie as a whole does not matter."""
    _, texts, _ = world(2)
    reduced = reduce_texts(pretrained.reduction, texts)
    np.testing.assert_allclose(np.linalg.norm(reduced, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(reduce_texts(pretrained.reduction, texts + 3.0), reduced, atol=1e-6)
    with pytest.raises(BrainalignError, match="texts have 11 features but images 12: they are not of one space"):
        reduce_texts(pretrained.reduction, texts[:, :11])
    refused("give two or more text_queries", reduce_texts, pretrained.reduction, texts[:1])
