from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from refusals import refused
from scipy import stats

from brainalign import encoding
from brainalign.encoding.in_context import PretrainedLayer, training_voxels
from brainalign.encoding.in_context import study as context_study
from brainalign.features import PCA
from brainalign.simulation import voxel_prior_world

WORLD = voxel_prior_world()
SIZES = (10, 20)
N_VOXELS, N_OFF = 110, 100  # of the subject left out; the last are not of the prior
TEST = np.arange(250, 350)
GROUPS = {"on": np.arange(N_VOXELS), "off": np.arange(N_VOXELS, N_VOXELS + N_OFF), "none": np.arange(0)}
ROI = np.repeat(["on", "off"], [N_VOXELS, N_OFF])
ENCODER = encoding.InContextEncoder(n_steps=(2, 2, 2), context_sizes=(4, 10), n_voxels=4, n_queries=6, fallback=False)
OPTIONS = {"seeds": (0, 3)}


def respond(images: np.ndarray, weights: np.ndarray, ratio: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng([seed, 9]).normal(size=(len(images), weights.shape[1]))
    return images @ weights[:-1] + weights[-1] + WORLD.noise_sd(weights, ratio) * noise


@pytest.fixture(scope="module")
def pretrained() -> PretrainedLayer:
    rng = np.random.default_rng(0)
    images = WORLD.images(300, rng)
    subjects = []
    for seed in (1, 2):
        responses = respond(images, WORLD.weights(200, rng), 1.5, seed)
        subjects.append((np.arange(300), (responses - responses.mean(axis=0)) / responses.std(axis=0)))
    encoder = encoding.InContextEncoder(n_steps=(0, 150, 20), context_sizes=(8, 40), n_checks=500)
    axes = PCA(16).fit(images, rows=np.arange(300))
    return encoding.pretrain_layer(encoder, encoding.Reduction(axes.mean_, axes.components_), images, subjects)


def left_out(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images and responses of the subject left out: 250 noisy ones, then 100 without noise."""
    rng = np.random.default_rng([seed, 3])
    images = WORLD.images(350, rng)
    weights = np.hstack([WORLD.weights(N_VOXELS, rng), WORLD.weights(N_OFF, rng, on_prior=False)])
    Y = respond(images, weights, 1.5, seed)
    Y[250:] = images[250:] @ weights[:-1] + weights[-1]
    return images, Y


def test_the_curve_shows_what_the_prior_gives(pretrained: PretrainedLayer) -> None:
    images, Y = left_out()
    X = pretrained.reduction(images)
    options = {"test": TEST, "groups": GROUPS, "roi": ROI, "sizes": (*SIZES, 50), "n_repeats": 5}
    table = encoding.context_curve(pretrained, X, Y, **options)
    ev = table[table["group"] == "on"].set_index(["method", "size"])
    for size in SIZES:
        for name in ("ridge_pooled", "ridge_per_target"):
            assert ev.loc[("in_context", size), "explained_variance"] > 0.1 + ev.loc[(name, size), "explained_variance"]
        assert ev.loc[("ridge_pooled", size), "low"] > 0  # ahead: the paired interval excludes 0
        assert abs(ev.loc[("shuffled_context", size), "r"]) < 0.1
        assert ev.loc[("shuffled_context", size), "low"] > 0
    assert ev.loc["in_context", "explained_variance"].is_monotonic_increasing
    assert ev.loc[("ridge_full", 250), "explained_variance"] > ev.loc[("ridge_pooled", 50), "explained_variance"]
    assert ev.loc[("ridge_full", 250), ["se", "low", "high"]].isna().all()
    assert ev.index[ev["beyond"]].tolist() == [("in_context", 50)]
    assert set(table["group"]) == {"on", "off"}
    assert (ev["n_repeats"] == [5] * 15 + [1]).all()
    assert (ev.loc["in_context", ["difference", "low", "high"]] == 0).all(axis=None)
    off = table[table["group"] == "off"].set_index(["method", "size"])["explained_variance"]
    assert off[("in_context", 20)] == pytest.approx(off[("ridge_pooled", 20)], abs=0.05)  # fell back
    options |= {"sizes": (10,), "n_repeats": 2}
    plain, scaled = (encoding.context_curve(pretrained, X, unit, **options) for unit in (Y, 300 * Y - 40))
    pd.testing.assert_frame_equal(plain, scaled, rtol=1e-3, atol=1e-3)


def test_intervals_are_over_contexts(pretrained: PretrainedLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recomputed by hand from the table of single targets."""
    kept: list[pd.DataFrame] = []
    curve = context_study.scaling_curve
    monkeypatch.setattr(context_study, "scaling_curve", lambda *a, **k: kept.append(curve(*a, **k)) or kept[-1])
    images, Y = left_out()
    options = {"test": TEST, "groups": GROUPS, "sizes": (10,), "n_repeats": 4, "confidence": 0.9}
    table = encoding.context_curve(pretrained, pretrained.reduction(images), Y, **options)
    table = table.set_index(["group", "method"])
    off = kept[0][kept[0]["target"] >= N_VOXELS]
    each = off.groupby(["method", "repeat"])["explained_variance"].mean().unstack("repeat")
    expected = stats.ttest_rel(each.loc["in_context"], each.loc["ridge_pooled"]).confidence_interval(0.9)
    row = table.loc[("off", "ridge_pooled")]
    np.testing.assert_allclose([row["low"], row["high"]], expected, rtol=1e-6)
    assert row["se"] == pytest.approx(each.loc["ridge_pooled"].std() / 2)


def run(pretrained: PretrainedLayer, images: np.ndarray, Y: np.ndarray, targets: np.ndarray, **changes: object):
    """Every training image shown twice, every test image once; scores of all that is asked for."""
    ids = np.concatenate([np.repeat([f"a{k}" for k in range(250)], 2), [f"b{k}" for k in range(100)]])
    rows = np.concatenate([np.repeat(np.arange(250), 2), np.arange(250, 350)])
    groups = {"on": np.intersect1d(GROUPS["on"], targets), "off": np.intersect1d(GROUPS["off"], targets)}
    score = partial(encoding.evaluate_held_out, n_permutations=200, n_boot=100, control="refit", target_groups=groups)
    options = {"evaluate": score, "targets": targets, "groups": groups, "roi": ROI[targets], "sizes": SIZES}
    options |= {"ceiling": np.full(Y.shape[1], 0.8), "n_repeats": 2, "confidence": 0.95, "seed": 0} | changes
    shown = images[rows], Y[rows], ids, np.arange(500), np.arange(500, 600)
    return encoding.score_context(pretrained, *shown, **options)


def test_clear_errors(pretrained: PretrainedLayer) -> None:
    images, Y = left_out()
    every = np.arange(N_VOXELS + N_OFF)
    refused(r"a context of 2 image.* 3 or more", run, pretrained, images, Y, every, sizes=(2, 20))
    refused("13 disjoint contexts of 20 need 260", run, pretrained, images, Y, every, n_repeats=13)
    refused(r"shape \(600, 15\) but .* 16 features", run, pretrained, images[:, :15], Y, every)


def reduction(features: np.ndarray, n_components: int = 5) -> encoding.Reduction:
    axes = PCA(n_components).fit(features, rows=np.arange(len(features)))
    return encoding.Reduction(axes.mean_, axes.components_)


def pretrain(features: np.ndarray, subjects: list[tuple[np.ndarray, np.ndarray]], **options: object) -> PretrainedLayer:
    return encoding.pretrain_layer(ENCODER, reduction(features), features, subjects, **options)


def study(n_images: int = 40) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Features of images, and two subjects who saw the first and the last 30 of them."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n_images, 8)).astype(np.float32)
    seen = [np.arange(30), np.arange(10, 40)]
    return features, [(rows, rng.normal(size=(30, 7)).astype(np.float32)) for rows in seen]


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    features, subjects = study()
    whole = pretrain(features, subjects, **OPTIONS)
    said: list[tuple[int, int]] = []

    def killed(seed: int, step: int, n_steps: int, loss: float) -> None:
        said.append((seed, step))
        assert n_steps == 6
        if len(said) == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(features, subjects, **OPTIONS, folder=tmp_path, progress=killed)
    layer = pretrain(features, subjects, **OPTIONS, folder=tmp_path, progress=killed)
    assert said == [(0, k) for k in range(1, 7)] + [(3, 1), (3, 2)] + [(3, k) for k in range(1, 7)]
    found, expected = ({name: part.tobytes() for name, part in one.arrays().items()} for one in (layer, whole))
    assert found == expected
    del said[:]
    subjects[0][1][0, 0] += 1  # other data: nothing of it may be taken over
    options = {"seeds": (0,), "progress": lambda *step: said.append(step[:2])}
    pretrain(features, subjects, **options, folder=tmp_path)
    assert said == [(0, k) for k in range(1, 7)]


def test_voxels_are_chosen_by_their_repeats() -> None:
    """Responses to images shown twice: some voxels repeat, some are noise, one is silent."""
    rng = np.random.default_rng(1)
    ids = np.array([f"i{k}" for k in rng.permutation(np.repeat(np.arange(30), 2))])
    signal = {name: rng.normal(size=4) for name in ids}
    values = rng.normal(size=(60, 9))
    values[:, :4] += 2 * np.stack([signal[name] for name in ids])
    values[:, 8] = 1
    images, kept = training_voxels(values, ids, 0.5)
    assert kept.shape == (30, 4)
    np.testing.assert_allclose(kept.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(kept.std(axis=0), 1, rtol=1e-5)
    assert images.tolist() == list(dict.fromkeys(ids.tolist()))
    one = np.array([values[ids == name, 0].mean() for name in images])
    np.testing.assert_allclose(kept[:, 0], (one - one.mean()) / one.std(), rtol=1e-5)
    once, every = training_voxels(values[:30], np.arange(30), 0.5)  # no repeats: all that vary
    assert (len(once), every.shape) == (30, (30, 8))
    refused(r"none of 9 voxels is reliable \(ceiling above 1.5, .*over 30 tr", training_voxels, values, ids, 1.5)


def test_clear_errors_of_context_pretraining() -> None:
    features, subjects = study()
    refused("there is no other subject to learn from", pretrain, features, [], **OPTIONS)
    few = [(rows[:6], responses[:6]) for rows, responses in subjects]
    refused(r"has 6 training images, too few for .* 5 features .*n_components to 4", pretrain, features, few, **OPTIONS)
    less = [(rows[:12], responses[:12]) for rows, responses in subjects]
    refused("12 images but training asks for contexts of 10 and 6 queries", pretrain, features, less, **OPTIONS)
    layer = pretrain(features, subjects, **OPTIONS)
    refused(r"shape \(40, 6\) but the networks were trained on 8 features", layer.reduction, features[:, :6])
