from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made import responses_of
from refusals import refused, stopping
from scipy import stats
from sklearn.base import clone
from worlds.small import linear_gaussian_reference

from brainalign import encoding
from brainalign.arrays import Features, Layers
from brainalign.encoding import EmpiricalBayesRidge, Ridge, WeightPrior, estimate_prior, in_context, scaling_curve
from brainalign.encoding.in_context import PretrainedLayer, reduce_texts, training_voxels
from brainalign.encoding.in_context import study as context_study
from brainalign.features import PCA
from brainalign.simulation import voxel_prior_world
from brainalign.statistics import RELIABLE, explained_variance, pearson

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
    images, subjects = WORLD.images(300, rng), []
    for seed in (1, 2):
        responses = respond(images, WORLD.weights(200, rng), 1.5, seed)
        subjects.append((np.arange(300), (responses - responses.mean(axis=0)) / responses.std(axis=0)))
    encoder = encoding.InContextEncoder(n_steps=(0, 150, 20), context_sizes=(8, 40), n_checks=500)
    return encoding.pretrain_layer(encoder, reduction(images, 16), images, subjects)


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
    assert (ev.index[ev["beyond"]].tolist(), set(table["group"])) == ([("in_context", 50)], {"on", "off"})
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
    table, off = table.set_index(["group", "method"]), kept[0][kept[0]["target"] >= N_VOXELS]
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
    features, subjects = study()
    refused("there is no other subject to learn from", pretrain, features, [], **OPTIONS)
    few = [(rows[:6], responses[:6]) for rows, responses in subjects]
    refused(r"has 6 training images, too few for .* 5 features .*n_components to 4", pretrain, features, few, **OPTIONS)
    less = [(rows[:12], responses[:12]) for rows, responses in subjects]
    refused("12 images but training asks for contexts of 10 and 6 queries", pretrain, features, less, **OPTIONS)
    layer = pretrain(features, subjects, **OPTIONS)
    refused(r"shape \(40, 6\) but the networks were trained on 8 features", layer.reduction, features[:, :6])


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
    said, progress = stopping(8)
    with pytest.raises(KeyboardInterrupt):
        pretrain(features, subjects, **OPTIONS, folder=tmp_path, progress=progress)
    layer = pretrain(features, subjects, **OPTIONS, folder=tmp_path, progress=progress)
    steps = [(0, k) for k in range(1, 7)] + [(3, 1), (3, 2)] + [(3, k) for k in range(1, 7)]
    assert [step[:3] for step in said] == [(*step, 6) for step in steps]
    found, expected = ({name: part.tobytes() for name, part in one.arrays().items()} for one in (layer, whole))
    assert found == expected
    del said[:]
    subjects[0][1][0, 0] += 1  # other data: nothing of it may be taken over
    pretrain(features, subjects, seeds=(0,), progress=lambda *step: said.append(step[:2]), folder=tmp_path)
    assert said == [(0, k) for k in range(1, 7)]


def test_voxels_are_chosen_by_their_repeats() -> None:
    """Responses to images shown twice: some voxels repeat, some are noise, one is silent."""
    rng = np.random.default_rng(1)
    ids = np.array([f"i{k}" for k in rng.permutation(np.repeat(np.arange(30), 2))])
    signal, values = {name: rng.normal(size=4) for name in ids}, rng.normal(size=(60, 9))
    values[:, :4] += 2 * np.stack([signal[name] for name in ids])
    values[:, 8] = 0.1
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


PRIOR = WeightPrior(WORLD.prior_mean, WORLD.prior_covariance)


def responses(n_images: int, n_voxels: int, ratio: float, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    X, weights = WORLD.images(n_images, rng), WORLD.weights(n_voxels, rng)
    noise = WORLD.noise_sd(weights, ratio)
    return X, X @ weights[:-1] + weights[-1] + noise * rng.normal(size=(n_images, n_voxels)), weights, noise


def test_prior_is_recovered_where_plain_covariance_is_too_large() -> None:
    subjects = [responses(120, 400, 1.5, seed)[:2] for seed in range(3)]
    truth, prior = np.trace(WORLD.prior_covariance), estimate_prior(subjects)
    # Least squares adds its own variance to every direction; 1,200 voxels fix the trace to about 5 %.
    plain = np.hstack([np.linalg.lstsq(np.c_[X, np.ones(len(X))], Y)[0] for X, Y in subjects])
    assert np.trace(np.cov(plain)) > 1.15 * truth
    assert np.trace(prior.covariance) == pytest.approx(truth, rel=0.1)
    assert np.linalg.eigvalsh(prior.covariance).min() > 0
    assert np.count_nonzero(prior.independent().covariance) == len(prior.mean)
    shared = np.linalg.eigh(prior.covariance)[1][:-1, -3:]
    assert np.linalg.svd(np.linalg.qr(shared)[0].T @ np.linalg.qr(WORLD.basis)[0], compute_uv=False).min() > 0.95


def test_equals_the_reference_at_its_own_noise_by_marginal_likelihood() -> None:
    X, Y, *_ = responses(25, 12, 1.0, 5)
    fitted = EmpiricalBayesRidge(PRIOR).fit(X, Y)
    expected = linear_gaussian_reference(X, Y, np.sqrt(fitted.noise_), WORLD.prior_mean, WORLD.prior_covariance)
    np.testing.assert_allclose(np.vstack([fitted.coef_, fitted.intercept_]), expected, atol=1e-9)
    np.testing.assert_allclose(fitted.predict(X), X @ expected[:-1] + expected[-1])
    # Against the density itself, and against the planted noise where there are many images.
    X, Y, _, noise = responses(400, 200, 1.5, 6)
    fitted = EmpiricalBayesRidge(PRIOR, tuple(np.logspace(-2, 1, 61))).fit(X, Y)
    assert np.median(fitted.noise_ / noise**2) == pytest.approx(1, abs=0.05)
    few = EmpiricalBayesRidge(PRIOR).fit(X[:12], Y[:12, :1])
    design = np.column_stack([X[:12], np.ones(12)])

    def log_density(variance: float) -> float:
        covariance = design @ PRIOR.covariance @ design.T + variance * np.eye(12)
        return -0.5 * (np.linalg.slogdet(covariance)[1] + Y[:12, 0] @ np.linalg.solve(covariance, Y[:12, 0]))

    grid = np.array(few.noise_shares) * Y[:12, 0].var()
    assert few.noise_[0] == grid[np.argmax([log_density(value) for value in grid])]


def test_contexts_are_disjoint_and_never_scored() -> None:
    (X, Y, *_), seen = responses(300, 40, 1.0, 0), []
    recorder = SimpleNamespace(predict=lambda X: np.repeat(X[:, :1], 40, axis=1))
    recorder.fit, recorder.__sklearn_clone__ = lambda X, Y: seen.append(X) or recorder, lambda: recorder
    table = scaling_curve({"recorder": recorder}, X, Y, test=np.arange(250, 300), sizes=(10, 50), n_repeats=5)
    rows = [[int(np.flatnonzero((x == X).all(axis=1))[0]) for x in context] for context in seen]
    assert [len(context) for context in rows] == [10] * 5 + [50] * 5
    for repeats in (rows[:5], rows[5:]):
        every = np.concatenate(repeats)
        assert len(set(every)) == len(every)
        assert every.max() < 250
    assert (len(table), set(table["method"])) == (3 * 2 * 5 * 40, {"recorder", "ridge_pooled", "ridge_per_target"})
    mine = table[(table["method"] == "recorder") & (table["size"] == 10) & (table["repeat"] == 2)]
    expected = np.repeat(X[250:, :1], 40, axis=1)
    np.testing.assert_allclose(mine["r"], pearson(Y[250:], expected))
    np.testing.assert_allclose(mine["explained_variance"], explained_variance(Y[250:], expected))


def test_curves_rise_the_prior_helps_and_errors_are_clear() -> None:
    X, Y, *_ = responses(300, 40, 1.0, 0)
    options, ridge = {"test": np.arange(300) >= 200, "sizes": (10, 20, 40), "prior": PRIOR, "seed": 1}, Ridge()
    table = scaling_curve({"mine": ridge}, X, Y, **options)
    assert not hasattr(ridge, "coef_")
    mean = table.groupby(["method", "size"])["explained_variance"].mean().unstack()
    assert (mean.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    assert mean.loc["empirical_bayes", 10] > mean.loc["ridge_pooled", 10] + 0.1
    assert mean.loc["ridge_pooled", 10] > mean.loc["ridge_per_target", 10]
    mine = EmpiricalBayesRidge(PRIOR)
    refused("10 images for 16 features and a bias", estimate_prior, [(X[:10], Y[:10])])
    refused(r"shape \(16, 16\) but its mean asks for \(17, 17\)", WeightPrior, np.zeros(17), np.eye(16))
    refused(r"X has shape \(300, 15\) but the prior knows 16 features", mine.fit, X[:, 1:], Y)
    refused("cannot use roi", mine.fit, X, Y, roi=np.array(["a"] * 40))
    test, taken = np.arange(50), {"empirical_bayes": mine}
    refused("5 disjoint contexts of 60 need 300", scaling_curve, {}, X, Y, test=test, sizes=(10, 60))
    refused("named empirical_bayes", scaling_curve, taken, X, Y, test=test, sizes=(10,), prior=PRIOR)
    refused("X has 300 rows but Y has 299", scaling_curve, {}, X, Y[:-1], test=test, sizes=(10,))


ABOUT = {"layers": {"early": {"n_features": 4}}, "subjects": {"02": {}}, "n_images": 9}
WORDS = ["face", "house", "hand", "tree"]
REGIONS = {"FFA": np.arange(30), "PPA": np.arange(30, 60), "noise": np.arange(60, 90), "none": np.arange(0)}
N_CONCEPTS = 6


def test_what_cannot_begin_is_said_before_anything_is_fitted() -> None:
    shown = [f"i{k}" for k in range(12)]
    known = {"responses": responses_of(np.random.default_rng(0).normal(size=(12, 6)), shown), "ceiling": np.zeros(6)}
    known |= {"train": np.arange(8), "test": np.arange(8, 12), "groups": {RELIABLE: np.array([], dtype=int)}}
    few_images = partial(in_context.FewImages.of, networks={"early": None}, about=ABOUT, sizes=[3], n_repeats=2)
    who = encoding.ImageSubject(**known, seed=3)
    refused("no target is reliable and no region", few_images, who)
    late = Layers({"late": Features(np.zeros((12, 4), np.float32), pd.DataFrame({"stimulus_id": shown}), "late")})
    trained = few_images(replace(who, groups={RELIABLE: np.arange(3)}))
    refused("no network for layer 'late'; it has early", next, trained.fits(late))


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
def on_concepts() -> in_context.PretrainedLayer:
    images, _, Y = world(1)
    encoder = encoding.InContextEncoder(n_steps=(0, 80, 0), context_sizes=(8, 60), fallback=False)
    return encoding.pretrain_layer(encoder, reduction(images, 6), images, [(np.arange(120), Y)])


def test_planted_concepts_lead_and_noise_prefers_nothing(on_concepts: in_context.PretrainedLayer) -> None:
    images, texts, Y = world(2)
    X = on_concepts.reduction(images)[:60]
    table = encoding.text_preferences(on_concepts, X, Y[:60], texts, WORDS, REGIONS)
    assert list(table.columns) == ["group", "text", "selectivity", "chance"]
    assert table["group"].unique().tolist() == ["FFA", "PPA", "noise"]
    best = table.loc[table.groupby("group")["selectivity"].idxmax()].set_index("group")
    assert best.loc[["FFA", "PPA"], "text"].tolist() == ["face", "house"]
    assert (best.loc[["FFA", "PPA"], "selectivity"] > 2 * best.loc[["FFA", "PPA"], "chance"]).all()
    assert (table.loc[table["group"] == "noise", "selectivity"].abs() < table["chance"].max()).all()
    cautious = [clone(one).set_params(fallback=True, min_group=20, n_checks=60) for one in on_concepts.encoders]
    roi, few = np.repeat(["FFA", "PPA", "noise"], 30), replace(on_concepts, encoders=tuple(cautious))
    safe = encoding.text_preferences(few, X[:10], Y[:10], texts, WORDS, REGIONS, roi=roi).set_index(["group", "text"])
    assert safe.loc[("FFA", "face"), "selectivity"] > safe.loc[("FFA", "house"), "selectivity"]


def test_texts_are_reduced_as_images_are(on_concepts: in_context.PretrainedLayer) -> None:
    """About their own mean: where texts lie as a whole does not matter."""
    _, texts, _ = world(2)
    reduced = reduce_texts(on_concepts.reduction, texts)
    np.testing.assert_allclose(np.linalg.norm(reduced, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(reduce_texts(on_concepts.reduction, texts + 3.0), reduced, atol=1e-6)
    refused(r"texts has shape \(4, 11\) but images have 12", reduce_texts, on_concepts.reduction, texts[:, :11])
    refused("give two or more text_queries", reduce_texts, on_concepts.reduction, texts[:1])
    coef = np.ones((8, 5))
    refused("give reference", encoding.text_selectivity, coef, np.ones((1, 8)))
    refused(r"text has shape \(3, 7\) but the encoder knows 8 features", encoding.text_selectivity, coef, np.eye(3, 7))


def test_planted_selectivity_across_the_modality_gap() -> None:
    """Images of concepts and one text of each, unit length, each modality in a cone of its own."""
    right, without, preferred = [], [], np.arange(30) % N_CONCEPTS
    for seed in range(5):
        rng = np.random.default_rng(seed)
        concepts, label = rng.normal(size=(N_CONCEPTS, 32)), rng.integers(N_CONCEPTS, size=600)
        image_mean, text_mean = 4 * rng.normal(size=(2, 32))
        images = encoding.unit_rows(image_mean + concepts[label] + 0.5 * rng.normal(size=(600, 32)))
        text = encoding.unit_rows(text_mean + concepts)
        Y = (label[:, None] == preferred) + 0.5 * rng.normal(size=(600, 30))
        ridge = encoding.Ridge((1e-3, 1e-2, 0.1, 1.0)).fit(images, Y)
        right.append((encoding.text_selectivity(ridge.coef_, text).argmax(axis=0) == preferred).mean())
        shuffled = encoding.Ridge((1e-3, 1e-2, 0.1, 1.0)).fit(images, rng.permuted(Y, axis=0))
        without.append((encoding.text_selectivity(shuffled.coef_, text).argmax(axis=0) == preferred).mean())
        # Both modalities centred by hand: the images' mean response is what 0 means.
        expected = ridge.predict(images.mean(axis=0) + text - text.mean(axis=0)) - ridge.predict(images).mean(axis=0)
        np.testing.assert_allclose(encoding.text_selectivity(ridge.coef_, text), expected, atol=1e-5)
    assert np.mean(right) > 0.95
    assert np.mean(without) == pytest.approx(1 / N_CONCEPTS, abs=0.1)
