from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import peak_bytes
from made import responses_of
from refusals import refused
from scipy import stats
from scipy.stats import pearsonr
from sklearn.linear_model import Lasso
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import GroupKFold, cross_val_score

from brainalign import encoding, statistics
from brainalign.arrays import Responses, StoredArray
from brainalign.encoding import ENCODERS, EstimatorEncoder, evaluate_held_out, scoring
from brainalign.encoding.scoring import average_repeats, average_split
from brainalign.simulation import linear_world
from brainalign.statistics import RELIABLE, pearson, without_rounding

N_TRAIN, N_TEST = 60, 20
PLACES = {"a": range(5), "b": (5, 6, 7), "a-b": (8, 9), "c-d": (1, 2, 3), "e": (0, 4)}
TRAIN, TEST = np.arange(60), np.arange(60, 100)
RELIABLE_ROWS = np.arange(4)


def study(ceiling: np.ndarray, seed: int = 0, repeats=2, n_features: int = 8) -> dict[str, np.ndarray]:
    """Return shuffled trials of a study; stimuli are named, the last `N_TEST` of them are the test."""
    n, most = N_TRAIN + N_TEST, int(np.max(repeats))
    world = linear_world(n, n_features, most, ceiling, seed)
    kept = np.arange(most)[:, None] < np.broadcast_to(repeats, n)
    stimulus = np.broadcast_to(np.arange(n), kept.shape)[kept]
    order = np.random.default_rng(seed).permutation(len(stimulus))
    stimulus = stimulus[order]
    return {
        "X": world.X[stimulus], "Y": world.repeats[kept][order], "train": np.flatnonzero(stimulus < N_TRAIN),
        "test": np.flatnonzero(stimulus >= N_TRAIN), "stimulus_ids": np.array([f"image{k:03d}" for k in stimulus]),
    }  # fmt: skip


def plain(data: dict[str, np.ndarray], alpha: float) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Fit and predict by the textbook: averages by loops, ridge by scikit-learn."""

    def averaged(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
        names = list(dict.fromkeys(data["stimulus_ids"][rows].tolist()))
        of = [[row for row in rows if data["stimulus_ids"][row] == name] for name in names]
        return np.stack([data["X"][i[0]] for i in of]), np.stack([data["Y"][i].mean(axis=0) for i in of]), names

    X, Y, _ = averaged(data["train"])
    test_X, measured, names = averaged(data["test"])
    return SklearnRidge(alpha).fit(X, Y).predict(test_X), measured, names


@pytest.mark.parametrize("test_repeats", [2, "ragged"])
def test_equal_to_the_textbook(test_repeats: int | str) -> None:
    repeats = np.full(N_TRAIN + N_TEST, 2)
    if test_repeats == "ragged":
        repeats[N_TRAIN:] = np.tile([1, 2, 3, 4], N_TEST // 4)
    data = study(np.linspace(0, 0.6, 6), repeats=repeats)
    found = encoding.evaluate_held_out(encoding.Ridge((3.0,), dtype="float64"), **data, n_permutations=0)
    predicted, measured, names = plain(data, 3.0)
    assert (found.test_ids.tolist(), sorted(found.n_repeats)) == (names, sorted(repeats[N_TRAIN:]))
    np.testing.assert_allclose(found.predicted, predicted)
    np.testing.assert_allclose(found.measured, measured)
    r = [pearsonr(a, b).statistic for a, b in zip(predicted.T, measured.T, strict=True)]
    np.testing.assert_allclose(found.r, r)
    np.testing.assert_allclose(found.r2, statistics.r2(measured, predicted))
    np.testing.assert_allclose(found.r2_signed, found.r * np.abs(found.r))
    assert np.isnan(found.p).all()
    assert found.null is None


@pytest.mark.parametrize(("repeats", "grid"), [(3, (2.0,)), (np.resize([1, 2, 3], N_TRAIN + N_TEST), (2.0, 20.0))])
def test_averages_are_fitted_as_their_trials_are(repeats: int | np.ndarray, grid: tuple[float, ...]) -> None:
    """Equal repeats at alpha times their number; unequal ones weighed by it."""
    data = study(np.full(5, 0.4), repeats=repeats)
    found = encoding.evaluate_held_out(encoding.Ridge(grid, dtype="float64"), **data, n_permutations=0)
    rows, ids = data["train"], data["stimulus_ids"]
    single = encoding.Ridge(tuple(3 * a for a in grid) if np.isscalar(repeats) else grid, dtype="float64")
    single.fit(data["X"][rows], data["Y"][rows], groups=ids[rows])
    np.testing.assert_allclose(found.encoder.coef_, single.coef_)


@pytest.fixture(scope="module")
def scored() -> tuple[encoding.HeldOut, dict[str, np.ndarray]]:
    data = study(np.repeat([0.0, 0.7], 10), seed=3)
    groups = {"noise": np.arange(10), "signal": np.arange(10, 20), "both": np.arange(20)}
    options = {"n_permutations": 199, "n_boot": 150, "n_maps": 20, "target_groups": groups, "control": "refit"}
    return encoding.evaluate_held_out(encoding.Ridge((1.0, 30.0)), **data, **options, seed=5), data  # type: ignore[arg-type]


def test_the_null_permutes_predictions(scored: tuple[encoding.HeldOut, dict[str, np.ndarray]]) -> None:
    found, _ = scored
    rng = np.random.default_rng(5)
    places, starts = np.argsort(rng.permutation(N_TEST)), [rng.permutation(N_TEST) for _ in range(-(-199 // N_TEST))]
    orders = [start[(places + shift) % N_TEST] for start in starts for shift in range(N_TEST)][:199]
    pairs = list(zip(found.predicted.T, found.measured.T, strict=True))
    null = np.array([[pearsonr(one[o], other).statistic for one, other in pairs] for o in orders])
    reached = (null >= found.r).sum(axis=0)
    np.testing.assert_allclose(found.p[reached >= 10], (1 + reached[reached >= 10]) / 200)
    assert (found.p[10:] == 1 / 1991).all()  # ten times as many where hardly any reaches it
    np.testing.assert_allclose(found.p_fwer, (1 + (null.max(axis=1)[:, None] >= found.r).sum(axis=0)) / 200)
    np.testing.assert_allclose(found.q, statistics.fdr(found.p))
    np.testing.assert_allclose(found.group_null[:, 1], null[:, 10:].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(found.null_maps, null[:20], atol=1e-6)
    assert (found.p_fwer[10:] <= 0.05).all()
    assert found.p[:10].min() > 0.005
    assert found.groups == ["noise", "signal", "both"]
    np.testing.assert_allclose(found.group_r, [found.r[:10].mean(), found.r[10:].mean(), found.r.mean()])
    assert abs(found.group_null.mean()) < 0.02


def test_the_refitted_control_finds_nothing_and_undefined_targets_have_no_p(scored) -> None:
    found, _ = scored
    np.testing.assert_allclose(found.control_group_r[1], found.control_r[10:].mean())
    assert found.group_r[1] > 0.5
    ridge, refit = encoding.Ridge((1.0, 30.0)), {"n_permutations": 0, "control": "refit"}
    worlds = [study(np.full(10, 0.7), seed=20 + seed) | refit | {"seed": seed} for seed in range(12)]
    controls = [encoding.evaluate_held_out(ridge, **world).control_r.mean() for world in worlds]
    assert abs(np.mean(controls)) < 3 * np.std(controls) / np.sqrt(12)
    rng, of, above = np.random.default_rng(3), {"n_permutations": 99, "control": "refit", "seed": 3}, []
    data = {"X": rng.normal(size=(100, 4)), "train": TRAIN, "test": TEST, "stimulus_ids": np.arange(100)}
    data["Y"] = (data["X"] @ [3, 1, 1, 1])[:, None] + 3 * rng.normal(size=(100, 10))
    fits, leaking = [], {"predict": lambda self, X: data["Y"][TEST]}
    leaking["fit"] = lambda self, X, Y: fits.append(len(X)) or encoding.Ridge.fit(self, X, Y)
    for encoder in (encoding.Ridge, type("Leaking", (encoding.Ridge,), leaking)):  # first, the 1st predicts by chance
        found = encoding.evaluate_held_out(encoder((1.0, 30.0)), **data, **of, target_groups={RELIABLE: np.arange(10)})
        above.append(found.control_group_r[0] > found.group_null.mean() + 3 * found.group_null.std())
    assert (above, len(fits)) == ([False, True], 9)
    data = study(np.full(3, 0.5), seed=9)
    data["Y"][data["test"], 1] = 7.0
    one = {"one": np.array([1])}
    found = encoding.evaluate_held_out(encoding.Ridge((1.0,)), **data, n_permutations=20, target_groups=one)
    assert np.isnan([found.r[1], found.p[1], found.p_fwer[1], found.q[1], found.group_r[0], found.r2[1]]).all()
    assert np.isfinite(found.p[[0, 2]]).all()
    assert np.isfinite(found.null.max_r).all()  # type: ignore[union-attr]


def test_bad_input() -> None:
    data, encoder = study(np.full(3, 0.5)), encoding.Ridge((1.0,))
    both = np.append(data["train"], data["test"][0])
    refused("1 rows are in both train and test", encoding.evaluate_held_out, encoder, **data | {"train": both})
    refused("7 test stimuli or more; got", encoding.evaluate_held_out, encoder, **data | {"test": data["test"][:4]})
    first = rf"lie in several groups \(first: '{data['stimulus_ids'][data['train']][0]}'"
    refused(first, encoding.evaluate_held_out, encoder, **data, groups=np.arange(len(data["Y"])))
    other = data["X"] + np.arange(len(data["X"]))[:, None]
    refused("X differs between trials", encoding.evaluate_held_out, encoder, **data | {"X": other})
    rounded = data["X"] * (1 + 1e-7 * (np.arange(len(data["X"])) % 3))[:, None]  # as products in another order are
    found = [encoding.evaluate_held_out(encoder, **data | {"X": X}).r for X in (data["X"], rounded)]
    np.testing.assert_allclose(*found, atol=1e-5)
    refused("align_to", encoding.evaluate_held_out, encoder, **data | {"X": data["X"][1:]})
    refused("must be one of 'none', 'refit'", encoding.evaluate_held_out, encoder, **data, control="rfit")


def test_of_many_targets_some_of_each_group_are_refitted_as_all_would_be() -> None:
    data, groups = study(np.full(2300, 0.4)), {"large": np.arange(2100), "small": np.arange(2000, 2200)}
    options, ridge = {"n_permutations": 0, "control": "refit"}, encoding.Ridge((3.0,), per_target_alpha=False)
    some = encoding.evaluate_held_out(ridge, **data, **options, target_groups=groups, roi=np.arange(2300) % 3)
    every = encoding.evaluate_held_out(ridge, **data, **options, target_groups={"nobody": np.arange(0)})
    drawn = np.flatnonzero(~np.isnan(some.control_r))
    assert ((drawn < 2000).sum() >= 900, (drawn >= 2000).sum(), drawn[-1]) == (True, 200, 2199)
    np.testing.assert_allclose(some.control_r[drawn], every.control_r[drawn], atol=1e-5)
    np.testing.assert_allclose(some.control_group_r[1], every.control_r[2000:2200].mean(), atol=1e-5)
    assert abs(some.control_group_r[0] - every.control_r[:2100].mean()) < 0.02
    assert np.isfinite(encoding.evaluate_held_out(ridge, **data, **options).control_r).sum() == 1000


class _Pooled(encoding.Ridge):
    def fit(self, X, Y, *, groups=None, roi=None, grid=None, semantics=None):
        self.told_ = {"tokens": X, "roi": roi, "grid": grid, "semantics": semantics}
        return super().fit(np.concatenate([X.mean(axis=1), semantics], axis=1), Y, groups=groups)

    def predict(self, X, semantics=None):
        return super().predict(np.concatenate([X.mean(axis=1), semantics], axis=1))


def test_tokens_and_semantics_follow_their_stimuli() -> None:
    """Averaged and ordered as features are: the fit equals that on pooled features and semantics side by side."""
    data = study(np.linspace(0.1, 0.6, 6))
    X = data.pop("X")
    semantics, tokens = X[:, 5:], X[:, None, :5] * np.array([0.5, 1.5])[:, None]
    labels, options = np.arange(6) // 2, {"n_permutations": 0, "n_boot": 0, "control": "refit"}
    given = {"roi": labels, "grid": (1, 2), "semantics": semantics}
    found = encoding.evaluate_held_out(_Pooled((3.0,), dtype="float64"), tokens, **data, **given, **options)
    plainly = encoding.evaluate_held_out(encoding.Ridge((3.0,), dtype="float64"), X, **data, **options)
    np.testing.assert_allclose(found.r, plainly.r, atol=1e-9)
    np.testing.assert_allclose(found.control_r, plainly.control_r, atol=1e-9)
    assert found.seconds > 0
    told = found.encoder.told_
    assert (told["tokens"].shape, told["semantics"].shape, told["grid"]) == ((N_TRAIN, 2, 5), (N_TRAIN, 3), (1, 2))
    assert told["roi"] is labels
    short = data | {"semantics": semantics[:3]}
    refused("semantics has 3 rows but Y has 160", encoding.evaluate_held_out, _Pooled((3.0,)), tokens, **short)


def views_of(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return two views of images, responses, and rows as they are fitted with their scale; the last unit is silent."""
    clean = np.c_[rng.normal(size=(40, 4)) * [0.5, 1, 5, 20] + 3, np.zeros(40)]
    views = np.stack([clean, clean + 0.1 * rng.normal(size=clean.shape)])
    sd = np.r_[clean.std(axis=0)[:4], 0.01 * np.sqrt(clean.var(axis=0).mean())]  # not blown up where a view wakes it
    Y = rng.normal(size=(40, 3)) + (clean[:, :3] - 3) / [0.5, 1, 5]
    return views, Y, (views.reshape(80, 5) - clean.mean(axis=0)) / sd, sd


def test_regions_are_fitted_to_views_in_units_of_the_clean_images_or_shuffled_ones() -> None:
    views, Y, rows, sd = views_of(np.random.default_rng(0))
    found = encoding.fit_regions(views, Y, (0.1, 10.0, 1000.0), cv=4)
    theirs = encoding.Ridge((0.1, 10.0, 1000.0), cv=4).fit(rows, np.tile(Y, (2, 1)), groups=np.tile(np.arange(40), 2))
    np.testing.assert_array_equal(found.alpha, theirs.alpha_)
    np.testing.assert_allclose(found.coef, theirs.coef_ / sd[:, None], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.predict(views[1]), theirs.predict(rows[40:]), atol=1e-3)
    assert encoding.fit_regions(views[:, :2], Y[:2], (1.0, 2.0)).coef.shape == (5, 3)  # fewer images than folds
    refused(r"got the shape \(40, 5\)", encoding.fit_regions, views[0], Y, (1.0,))
    refused("views has 40 rows but responses has 39", encoding.fit_regions, views, Y[1:], (1.0,))
    # The mean of a region's targets, each at its own penalty, image by image in another order.
    views, Y, rows, _ = views_of(np.random.default_rng(1))
    alpha, regions = np.array([1.0, 30.0, 30.0]), {"two": np.array([0, 2]), "one": np.array([1])}
    for seed in (3, 4):
        coef, intercept = encoding.shuffled_regions(views, Y, alpha, regions, 2, seed)
        rng = np.random.default_rng([seed, 0x5F0])
        for null in range(2):
            order = rng.permutation(40)
            refits = [SklearnRidge(a).fit(rows, np.tile(y[order], 2)) for a, y in zip(alpha, Y.T, strict=True)]
            said = np.stack([each.predict(rows[40:]) for each in refits], axis=1)
            expected = np.stack([said[:, own].mean(axis=1) for own in regions.values()], axis=1)
            np.testing.assert_allclose(views[1] @ coef[null] + intercept[null], expected, atol=1e-3)
    assert coef.shape == (2, 5, 2)


@pytest.mark.parametrize(("asked", "least", "message"), [
    (["a-x"], 2, "'a-x' is not among the regions of the subject"),
    (["x-a"], 2, "'x-a' is not among the regions of the subject"),
    (["ab"], 2, r"'ab' is not among the regions of the subject \(a, b, a-b, c-d, e\)"),
    (["b-e"], 2, "regions: e has 1 reliable targets, but min_targets is 2; leave it out"),
    (None, 5, r"no region has 5 reliable targets \(a: 4, b: 3, a-b: 2, c-d: 3, e: 1\); lower"),
])  # fmt: skip
def test_regions_that_no_image_can_be_made_for(asked: list[str] | None, least: int, message: str) -> None:
    groups = {name: np.array(rows) for name, rows in PLACES.items()}
    refused(message, scoring.choose_regions, groups, np.delete(np.arange(10), 4), asked, least)


@pytest.mark.parametrize("ids", [list("bacabca"), [3, 1, 2, 1, 3, 2, 1], list("gfedcba")])
def test_stimuli_stand_in_order_of_first_appearance(ids: list) -> None:
    values = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    found = average_repeats(values, np.array(ids))
    grouped = pd.DataFrame(values.astype(np.float64)).groupby(pd.Series(ids), sort=False)
    assert found.ids.tolist() == list(dict.fromkeys(ids))
    np.testing.assert_allclose(found.values, grouped.mean().loc[found.ids], rtol=1e-6)
    np.testing.assert_array_equal(found.counts, grouped.size().loc[found.ids])
    assert (found.first.tolist(), found.values.dtype) == ([ids.index(name) for name in found.ids], np.float32)
    # Means of counts are not rounded.
    assert average_repeats(np.array([[1], [2], [0], [1]]), np.array(list("aabb"))).values.ravel().tolist() == [1.5, 0.5]
    assert average_repeats(np.array([[3], [4]], dtype=np.int16), np.array(list("ab"))).values.dtype == np.float32
    refused("give one stimulus id per trial", average_repeats, np.zeros((3, 1)), np.array(["a", "b"]))


@pytest.mark.parametrize("repeats", [3, np.resize([1, 2, 3], N_TRAIN + N_TEST)])
def test_trials_averaged_before_are_fitted_as_those_averaged_here(repeats: int | np.ndarray, monkeypatch) -> None:
    monkeypatch.setattr("brainalign.arrays.BLOCK_BYTES", 1000)  # several blocks
    given = study(np.full(5, 0.4), repeats=repeats)
    ids, n = given["stimulus_ids"], len(given["Y"])
    order = np.random.default_rng(1).permutation(n)
    single = responses_of(given["Y"][order], ids[order])
    trials = single.trials
    train, test = (np.flatnonzero(np.isin(order, given[side])) for side in ("train", "test"))
    averaged, *sides = average_split(single, train, test)
    means = pd.DataFrame(single.values).groupby(trials["stimulus_id"]).mean()
    found = averaged.trials["stimulus_id"].to_numpy()
    np.testing.assert_allclose(averaged.values[sides[1]], means.loc[found[sides[1]]])
    shown = trials["stimulus_id"].value_counts()
    np.testing.assert_array_equal(averaged.trials["repeat"][sides[1]], shown[found[sides[1]]])
    if np.isscalar(repeats):
        np.testing.assert_allclose(averaged.values[sides[0]], means.loc[found[sides[0]]])
    X, rows = given["X"][order], pd.Index(trials["stimulus_id"])
    fit = partial(encoding.evaluate_held_out, encoding.Ridge((2.0, 20.0), dtype="float64"), n_permutations=20)
    whole = fit(X, single.values, train, test, ids[order])
    less = fit(X[[rows.get_indexer_for([name])[0] for name in found]], averaged.values, *sides, found)
    assert less.test_ids.tolist() == whole.test_ids.tolist()
    for name in ("r", "p", "predicted"):
        np.testing.assert_allclose(getattr(less, name), getattr(whole, name))


@pytest.mark.parametrize("pooled", [False, True])
def test_targets_on_disk_are_fitted_by_blocks(tmp_path: Path, pooled: bool, monkeypatch, rng) -> None:
    """To the same scores, bit for bit, with a quarter of the responses in memory at most."""
    monkeypatch.setattr("brainalign.regression.inputs.CHUNK", 2**18)  # looked at at once, else 17 MB
    X, n_targets = rng.normal(size=(600, 6)), 24_000
    values = (X[:, :1] + rng.normal(size=(600, n_targets))).astype(np.float32)  # 58 MB
    order, single = rng.permutation(600), responses_of(values, [f"s{k:03d}" for k in range(600)])
    given = single, order[:590], order[590:], tmp_path / "new" / "averages.npy"
    ridge = encoding.Ridge((1.0, 100.0), cv=3, per_target_alpha=not pooled, device="cpu")
    found = []
    for least in (values.nbytes + 1, values.nbytes):
        averaged, *sides = average_split(*given, least=least)
        told = averaged.values, *sides, averaged.trials["stimulus_id"].to_numpy()
        score = partial(encoding.evaluate_held_out, ridge, X[np.concatenate(given[1:3])], *told, n_permutations=0)
        peak = peak_bytes(lambda score=score: found.append(score(n_boot=0)))
    assert isinstance(averaged.values, StoredArray)
    assert peak < values.nbytes / 4
    for name in ("r", "predicted", "measured"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))
    np.testing.assert_array_equal(found[0].encoder.coef_, found[1].encoder.coef_)


def data(seed: int = 0) -> tuple[np.ndarray, Responses]:
    """Six vertices in two regions that overlap; the last two are noise."""
    rng = np.random.default_rng(seed)
    X, weights = rng.normal(size=(100, 5)), rng.normal(size=(5, 6)) * [1, 1, 1, 1, 0, 0]
    values, rois = X @ weights + rng.normal(size=(100, 6)), [["a"], ["a"], ["a", "b"], ["b"], ["b"], []]
    return X, responses_of(values, [f"i{k}" for k in range(100)], roi=rois, targets={"kind": "vertex"})


def found(X: np.ndarray, responses: Responses, metric: str, groups: dict[str, np.ndarray]) -> encoding.HeldOut:
    ids = responses.trials["stimulus_id"].to_numpy()
    encoder = encoding.Ridge((1.0, 10.0, 100.0), metric=metric)
    options = {"n_permutations": 50, "n_boot": 50, "target_groups": groups, "control": "refit"}
    return encoding.evaluate_held_out(encoder, X, responses.values, TRAIN, TEST, ids, **options)


@pytest.mark.parametrize("metric", ["r", "r2"])
def test_what_a_layer_is_chosen_by_knows_no_test_image(metric: str) -> None:
    X, responses = data()
    ceiling = np.array([0.5, 0.5, 0.5, 0.5, 0.0, 0.0])
    groups, other = encoding.target_groups(responses, ceiling > 0.2), responses.values.copy()
    other[TEST] = np.random.default_rng(9).normal(size=other[TEST].shape)
    one, two = (found(X, replace(responses, values=values), metric, groups) for values in (responses.values, other))
    scores, noise = (scoring.score_table(each, responses, ceiling, RELIABLE_ROWS, 0.2) for each in (one, two))
    inside = np.asarray(one.encoder.cv_scores_).max(axis=0)
    np.testing.assert_allclose(scores["cv_r"], inside if metric == "r" else np.sqrt(np.maximum(inside, 0)), rtol=1e-5)
    np.testing.assert_array_equal(scores["cv_r"], noise["cv_r"])
    assert scores["r"][0] > noise["r"][0] + 0.3
    profile, of_noise = (scoring.group_table(each, groups, ceiling, 0.95).set_index("group") for each in (one, two))
    assert profile.loc["b", "cv_score"] == pytest.approx(inside[2:4].mean())  # the reliable ones
    np.testing.assert_array_equal(profile["cv_score"], of_noise["cv_score"])
    assert profile.loc["a", "r"] == pytest.approx(one.r[:3].mean())
    assert encoding.target_groups(responses, ceiling > 0.9)["b"].tolist() == [2, 3, 4]  # all, where none is


def test_scores_are_not_clipped_and_q_is_of_targets_with_a_ceiling() -> None:
    X, responses = data()
    ceiling = np.array([0.05, 0.5, -0.1, np.nan, 0.6, 0.7])
    one = found(X, responses, "r", encoding.target_groups(responses, ceiling > 0.2))
    table = scoring.score_table(one, responses, ceiling, RELIABLE_ROWS, 0.2)
    normalized = one.r * abs(one.r) / np.where(ceiling > 0, ceiling, np.nan)
    tested = np.array([1, 3, 4, 5])  # more than the reliable ones, and those whose ceiling is not known
    q = np.full(6, np.nan)
    q[tested] = stats.false_discovery_control(one.p[tested])
    values = {"r": one.r, "r2": one.r2, "r2_signed": one.r2_signed, "ceiling": ceiling}
    values |= {"r2_normalized": normalized, "alpha": one.encoder.alpha_, "p": one.p, "p_fwer": one.p_fwer, "q": q}
    values |= {"control_r": one.control_r, "cv_r": one.encoder.cv_scores_.max(axis=0)}
    values |= {"reliable": np.arange(6) < 4, "n_test": 40}
    expected = pd.DataFrame({"target_id": responses.targets["target_id"]} | values)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=1e-5)
    assert table["r2_normalized"][0] > 1


def test_the_whole_table_of_groups() -> None:
    """Every column against its definition; the largest group of a permutation is what all groups are held against."""
    X, responses = data()
    ceiling = np.array([0.3, 0.5, -0.1, 0.5, 0.6, 0.7])
    groups = encoding.target_groups(responses, ceiling > 0.2)
    one = found(X, responses, "r2", groups)
    lost = replace(one, group_r=np.where(np.arange(3) == 1, np.nan, one.group_r))  # a group without a score
    null, draws, rows = one.group_null, one.group_draws, list(groups.values())
    ends, n = np.quantile(draws, [0.1, 0.9], axis=0), len(one.test_ids)
    stretch = stats.t.ppf(0.9, n - 1) / stats.norm.ppf(0.9) * (n / (n - 1)) ** 0.5
    for each, counted in ((one, [0, 1, 2]), (lost, [0, 2])):
        low, high = np.clip(each.group_r + stretch * (ends - each.group_r), -1, 1)
        largest = null[:, counted].max(axis=1)
        reached = (null >= each.group_r).sum(axis=0), (largest[:, None] >= each.group_r).sum(axis=0)
        p, p_fwer = (np.where(np.isnan(each.group_r), np.nan, (1 + n) / 51) for n in reached)
        values = {"group": list(groups), "r": each.group_r, "se": draws.std(axis=0, ddof=1), "low": low, "high": high}
        values |= {"null_mean": null.mean(axis=0), "null_low": np.quantile(null, 0.1, axis=0)}
        values |= {"null_high": np.quantile(null, 0.9, axis=0), "p": p, "p_fwer": p_fwer}
        values |= {"control_r": [one.control_r[own].mean() for own in rows]}
        values |= {"ceiling_r": [np.sqrt(np.maximum(ceiling[own], 0)).mean() for own in rows]}
        values |= {"cv_score": [one.encoder.cv_scores_.max(axis=0)[own].mean() for own in rows]}
        values |= {"n_targets": [len(own) for own in rows]}
        table = scoring.group_table(each, groups, ceiling, 0.8)
        pd.testing.assert_frame_equal(table, pd.DataFrame(values), check_dtype=False, rtol=1e-5)
    equal = replace(one, group_null=np.tile(one.group_r - 1e-7, (50, 1)))
    assert (scoring.group_table(equal, groups, ceiling, 0.8)["p"] == 1).all()  # to the rounding of float32


RNG = np.random.default_rng(3)
X = RNG.normal(size=(90, 20))
Y = X[:, :3] @ RNG.normal(size=(3, 4)) + 0.3 * RNG.normal(size=(90, 4))


def test_it_is_the_regressor_that_was_named_for_each_target() -> None:
    groups = np.repeat(np.arange(15), 6)
    found = ENCODERS["estimator"]("sklearn.linear_model:Lasso", {"alpha": 0.05}, cv=5).fit(X, Y, groups=groups)
    lasso = Lasso(alpha=0.05)
    np.testing.assert_allclose(found.predict(X), lasso.fit(X, Y).predict(X))
    for target in range(4):
        inside = cross_val_score(lasso, X, Y[:, target], groups=groups, cv=GroupKFold(5), scoring="r2")
        np.testing.assert_allclose(found.cv_scores_[0, target], inside.mean())
    still = np.where(groups[:, None] % 5 == 0, 0, Y)  # constant in a fold, which has no R² of it
    assert np.isfinite(EstimatorEncoder("sklearn.linear_model:Lasso").fit(X, still, groups=groups % 5).cv_scores_).all()
    found = EstimatorEncoder("sklearn.svm:SVR", {"C": 10.0}).fit(X, Y)
    assert (found.predict(X).shape, len(found.estimator_.estimators_)) == (Y.shape, 4)
    assert EstimatorEncoder("sklearn.svm:SVR").fit(X, Y[:, :1]).predict(X[:7]).shape == (7, 1)


def test_a_function_of_a_file_makes_it_and_it_is_scored_like_any_encoder(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\n\n\nclass Mean:\n    def __init__(self, shift=0):\n        self.shift = shift\n\n"
        "    def fit(self, X, Y):\n        self.mean = Y.mean(axis=0)\n\n"
        "    def predict(self, X):\n        return np.tile(self.mean + self.shift, (len(X), 1))\n"
    )
    found = EstimatorEncoder(f"{path}:Mean", {"shift": 2}).fit(X, Y)
    np.testing.assert_allclose(found.predict(X[:2]), np.tile(Y.mean(axis=0) + 2, (2, 1)))
    ids, split = np.array([f"s{k}" for k in range(90)]), (np.arange(70), np.arange(70, 90))
    options = {"n_permutations": 99, "n_boot": 0, "control": "refit"}
    lasso = EstimatorEncoder("sklearn.linear_model:Lasso", {"alpha": 0.05})
    found = evaluate_held_out(lasso, X, Y, *split, stimulus_ids=ids, **options)
    np.testing.assert_allclose(found.r, pearson(Lasso(alpha=0.05).fit(X[:70], Y[:70]).predict(X[70:]), Y[70:]))
    assert found.r.min() > 0.8
    assert (found.p < 0.05).all()
    null = evaluate_held_out(lasso, X, RNG.permutation(Y), *split, stimulus_ids=ids, **options)
    assert np.nanmean(np.abs(np.nan_to_num(null.r))) < 0.35


@pytest.mark.parametrize(("estimator", "options", "message"), [
    ("sklearn.linear_model:Laso", {}, "no function 'Laso'.*Lasso"),
    ("sklearn.linear_model:Lasso", {"alfa": 1}, "alfa"),
    ("collections:Counter", {}, "Counter without fit and predict"),
    ("nowhere_at_all:Lasso", {}, "cannot import 'nowhere_at_all'"),
])  # fmt: skip
def test_what_is_no_regressor_is_refused(estimator: str, options: dict[str, object], message: str) -> None:
    refused(message, EstimatorEncoder(estimator, options).fit, X, Y)


def test_folds_need_groups() -> None:
    lasso = EstimatorEncoder("sklearn.linear_model:Lasso")
    lasso.fit(X, Y, groups=np.repeat([0, 1, 2], 30))  # three folds then, as of ridge
    assert np.isfinite(lasso.fit(X[:5], Y[:5]).cv_scores_).all()  # of two rows or more, as of ridge
    refused(r"Y has shape \(90,\); give", lasso.fit, X, Y[:, 0])
    refused("needs 2 groups or more", lasso.fit, X, Y, groups=np.zeros(90))


@pytest.mark.parametrize("mean", [0.0, 1e-9, 0.4])
def test_rounding_is_no_prediction(mean: float) -> None:
    """Sums of float32 in another order differ by 1e-8; r would be computed of that."""
    measured, flat = RNG.normal(size=(40, 5)), (mean + 1e-8 * RNG.normal(size=(40, 5))).astype(np.float64)
    assert np.isnan(pearson(without_rounding(flat, measured), measured)).all()
    small = 1e-4 * measured  # strongly shrunken, and right
    np.testing.assert_allclose(pearson(without_rounding(small, measured), measured), 1)
    assert np.isnan(pearson(without_rounding(flat.T, measured.T, axis=1), measured.T, axis=1)).all()
