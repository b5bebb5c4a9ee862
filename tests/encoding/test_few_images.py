from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from refusals import refused
from sklearn.base import clone

from brainalign import encoding
from brainalign.arrays import Features, Layers, Responses
from brainalign.encoding import in_context
from brainalign.encoding.in_context import reduce_texts
from brainalign.features import PCA
from brainalign.statistics import RELIABLE

CEILING = np.array([0.5, 0.1, 0.6, 0.7, 0.9, 0.3])
ABOUT = {"layers": {"early": {"n_features": 4}}, "subjects": {"02": {}}, "n_images": 9}
WORDS = ["face", "house", "hand", "tree"]
GROUPS = {"FFA": np.arange(30), "PPA": np.arange(30, 60), "noise": np.arange(60, 90), "none": np.arange(0)}
N_CONCEPTS = 6


def subject(ceiling: np.ndarray = CEILING) -> encoding.ImageSubject:
    """Six vertices in two regions that overlap; the last but one never varies in training."""
    values = np.random.default_rng(0).normal(size=(12, 6))
    values[:8, 4] = 2.0
    ids = [f"i{k}" for k in range(12)]
    trials = pd.DataFrame({"trial_id": ids, "stimulus_id": ids, "session": "1", "run": "1", "repeat": 0})
    rois = [["a"], ["a"], ["a", "b"], ["b"], ["b"], []]
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(6)], "kind": "vertex", "hemi": "L", "roi": rois})
    responses = Responses(values, trials.assign(onset_s=0.0), targets, "z")
    groups = encoding.target_groups(responses, ceiling > 0.2)
    split = {"train": np.arange(8), "test": np.arange(8, 12)}
    return encoding.ImageSubject(responses=responses, ceiling=ceiling, groups=groups, seed=3, **split)


def study(who: encoding.ImageSubject, **known: object) -> in_context.FewImages:
    return in_context.FewImages.of(who, networks={"early": None}, about=ABOUT, sizes=[3], n_repeats=2, **known)


def layer(name: str) -> Layers:
    stimuli = pd.DataFrame({"stimulus_id": [f"i{k}" for k in range(12)]})
    return Layers({name: Features(np.zeros((12, 4), dtype=np.float32), stimuli, name)})


def test_what_cannot_begin_is_said_before_anything_is_fitted() -> None:
    who = subject(np.zeros(6))
    who = replace(who, groups={RELIABLE: np.array([], dtype=int)})
    refused("no target is reliable and no region", study, who)
    refused("no network was trained for layer 'late', but for early", next, study(subject()).fits(layer("late")))


def world(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
def pretrained() -> in_context.PretrainedLayer:
    images, _, Y = world(1)
    axes = PCA(6).fit(images, rows=np.arange(120))
    encoder = encoding.InContextEncoder(n_steps=(0, 80, 0), context_sizes=(8, 60), fallback=False)
    reduction = encoding.Reduction(axes.mean_, axes.components_)
    return encoding.pretrain_layer(encoder, reduction, images, [(np.arange(120), Y)])


def test_planted_concepts_lead_and_noise_prefers_nothing(pretrained: in_context.PretrainedLayer) -> None:
    images, texts, Y = world(2)
    X = pretrained.reduction(images)[:60]
    table = encoding.text_preferences(pretrained, X, Y[:60], texts, WORDS, GROUPS)
    assert list(table.columns) == ["group", "text", "selectivity", "chance"]
    assert table["group"].unique().tolist() == ["FFA", "PPA", "noise"]
    best = table.loc[table.groupby("group")["selectivity"].idxmax()].set_index("group")
    assert best.loc[["FFA", "PPA"], "text"].tolist() == ["face", "house"]
    assert (best.loc[["FFA", "PPA"], "selectivity"] > 2 * best.loc[["FFA", "PPA"], "chance"]).all()
    assert (table.loc[table["group"] == "noise", "selectivity"].abs() < table["chance"].max()).all()
    cautious = [clone(one).set_params(fallback=True, min_group=20, n_checks=60) for one in pretrained.encoders]
    roi = np.repeat(["FFA", "PPA", "noise"], 30)
    few = replace(pretrained, encoders=tuple(cautious))
    safe = encoding.text_preferences(few, X[:10], Y[:10], texts, WORDS, GROUPS, roi=roi).set_index(["group", "text"])
    assert safe.loc[("FFA", "face"), "selectivity"] > safe.loc[("FFA", "house"), "selectivity"]


def test_texts_are_reduced_as_images_are(pretrained: in_context.PretrainedLayer) -> None:
    """About their own mean: where texts lie as a whole does not matter."""
    _, texts, _ = world(2)
    reduced = reduce_texts(pretrained.reduction, texts)
    np.testing.assert_allclose(np.linalg.norm(reduced, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(reduce_texts(pretrained.reduction, texts + 3.0), reduced, atol=1e-6)
    refused("texts have 11 features but images 12", reduce_texts, pretrained.reduction, texts[:, :11])
    refused("give two or more text_queries", reduce_texts, pretrained.reduction, texts[:1])


def shared_space(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (with their concept) and one text per concept, unit length, each modality in a cone of its own."""
    rng = np.random.default_rng(seed)
    concepts = rng.normal(size=(N_CONCEPTS, 32))
    image_mean, text_mean = 4 * rng.normal(size=(2, 32))
    label = rng.integers(N_CONCEPTS, size=600)
    images = encoding.unit_rows(image_mean + concepts[label] + 0.5 * rng.normal(size=(600, 32)))
    return images, encoding.unit_rows(text_mean + concepts), label


def test_planted_selectivity_across_the_modality_gap() -> None:
    right, without = [], []
    for seed in range(5):
        images, text, label = shared_space(seed)
        preferred = np.arange(30) % N_CONCEPTS
        rng = np.random.default_rng(seed)
        Y = (label[:, None] == preferred) + 0.5 * rng.normal(size=(600, 30))
        ridge = encoding.Ridge((1e-3, 1e-2, 0.1, 1.0)).fit(images, Y)
        right.append((encoding.text_selectivity(ridge.coef_, text).argmax(axis=0) == preferred).mean())
        shuffled = encoding.Ridge((1e-3, 1e-2, 0.1, 1.0)).fit(images, rng.permuted(Y, axis=0))
        without.append((encoding.text_selectivity(shuffled.coef_, text).argmax(axis=0) == preferred).mean())
        # Both modalities centred by hand: the images' mean response is what 0 means.
        moved = images.mean(axis=0) + text - text.mean(axis=0)
        expected = ridge.predict(moved) - ridge.predict(images).mean(axis=0)
        np.testing.assert_allclose(encoding.text_selectivity(ridge.coef_, text), expected, atol=1e-5)
    assert np.mean(right) > 0.95
    assert np.mean(without) == pytest.approx(1 / N_CONCEPTS, abs=0.1)


def test_clear_errors() -> None:
    coef = np.ones((8, 5))
    refused("give reference", encoding.text_selectivity, coef, np.ones((1, 8)))
    refused(r"text has shape \(3, 7\) but the encoder knows 8 features", encoding.text_selectivity, coef, np.eye(3, 7))
