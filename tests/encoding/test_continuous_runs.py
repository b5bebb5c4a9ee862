from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import binom
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainalign import encoding
from brainalign.encoding import scoring
from brainalign.regression import ALPHAS, DelayedFeatures
from brainalign.statistics import pearson, permutation_test, r2

DELAYS = (1, 2, 3)


def smooth(rng: np.random.Generator, n_rows: int, n: int) -> np.ndarray:
    values = rng.normal(size=(n_rows, n))
    for row in range(1, n_rows):
        values[row] += 0.6 * values[row - 1]
    return values


def test_predictions_are_those_of_ridge_on_a_design_written_out(rng: np.random.Generator) -> None:
    runs = np.repeat(["a", "b", "c"], 60)
    X, Y = np.c_[smooth(rng, 180, 3) * [0.1, 0.1, 10], np.full(180, 7.0)], rng.normal(size=(180, 2))  # one is constant
    Y[2:] += 10 * X[:-2, :2]
    shapes = np.array([[0.2, 1.0, 0.0], [0.6, 0.0, -1.0], [0.4, 0.0, 0.0]])
    fit = encoding.fit_runs([X], Y.astype(np.float32), runs, DELAYS)
    again, weights = encoding.fit_runs([X], Y.astype(np.float32), runs, DELAYS, responses=shapes), []
    for k, run in enumerate("abc"):
        train = runs != run
        Z = (X - X[train].mean(axis=0)) / np.r_[X[train].std(axis=0)[:3], 1]
        design = np.zeros((180, 12))
        for start in (0, 60, 120):
            for d, delay in enumerate(DELAYS):
                design[start + delay : start + 60, 4 * d : 4 * d + 4] = Z[start : start + 60 - delay]
        others = [name for name in "abc" if name != run]
        folds = [(np.flatnonzero(runs[train] != name), np.flatnonzero(runs[train] == name)) for name in others]
        for target in range(2):
            theirs = RidgeCV(ALPHAS, cv=folds, scoring="r2").fit(design[train], Y[train, target])
            assert np.isclose(theirs.alpha_, fit.alphas[k, target])
            predicted = theirs.predict(design[~train])
            assert np.isclose(fit.r[k, target], np.corrcoef(predicted, Y[~train, target])[0, 1], atol=1e-5)
            assert np.isclose(fit.r2[k, target], theirs.score(design[~train], Y[~train, target]), atol=1e-5)
            assert np.isclose(fit.split[k, 0, target], fit.r2[k, target])
            weights.append(shapes @ theirs.coef_.reshape(3, 4))
    assert (fit.deltas == 1).all()
    by_run = np.sqrt(np.square(weights).reshape(3, 2, 3, 4).mean(axis=3))
    np.testing.assert_allclose(again.weights, by_run.mean(axis=0).T, rtol=1e-3)


def test_what_estimating_costs_is_given_back() -> None:
    """40 features share .4 of the variance of 400 rows, and nothing of other targets; fits of no noise lose nothing."""
    rng, runs = np.random.default_rng(4), np.repeat(list("abcde"), 80)
    X, signal = rng.normal(size=(400, 40)), np.zeros((400, 60))
    signal[:, :30] = X @ rng.normal(size=(40, 30)) * np.sqrt(0.4 / 40)
    Y, turns = signal + np.sqrt(0.6) * rng.normal(size=(400, 60)), encoding.turned_in_time(runs, 20, 10)
    fit, clean = encoding.fit_runs([X], Y, runs, (0,)), []
    for run, alphas in zip("abcde", fit.alphas, strict=True):
        train = runs != run
        ridge = make_pipeline(StandardScaler(), Ridge(alphas)).fit(X[train], signal[train])
        clean.append(r2(Y[~train], ridge.predict(X[~train])))
    found = scoring.corrected_r2([X], Y, runs, (0,), fit, turns)
    for targets in (slice(30), slice(30, None)):
        assert abs(found[:, targets].mean() - np.mean(clean, axis=0)[targets].mean()) < 0.006
    assert found[:, :30].mean() > fit.r2[:, :30].mean() + 0.05


def test_runs_set_apart_are_predicted_from_all_others_and_train_nothing() -> None:
    rng, runs = np.random.default_rng(6), np.repeat(list("abcdef"), 50)
    X, Y = smooth(rng, 300, 3), smooth(rng, 300, 2).astype(np.float32)
    Y[1:] += X[:-1, :2]
    folds = scoring.run_folds("abcdef", 2, "cf")
    assert folds == [(["b", "e"], ["a", "d"]), (["a", "d"], ["b", "e"]), (["a", "b", "d", "e"], ["c", "f"])]
    assert scoring.run_folds("abc") == [(["b", "c"], ["a"]), (["a", "c"], ["b"]), (["a", "b"], ["c"])]
    assert len(scoring.run_folds("abc", 5)) == 3  # none is empty
    fit = encoding.fit_runs([X], Y, runs, (0, 1), folds)
    for trained, tested in folds:
        inside = np.isin(runs, trained)
        Z = DelayedFeatures((X - X[inside].mean(axis=0)) / X[inside].std(axis=0), (0, 1), runs).rows()[:].numpy()
        for run in tested:
            k = "abcdef".index(run)
            theirs = Ridge(fit.alphas[k]).fit(Z[inside], Y[inside]).predict(Z[runs == run])
            np.testing.assert_allclose(fit.r[k], pearson(theirs, Y[runs == run]), atol=1e-5)
    flat = np.c_[X, np.where(runs == "f", X[:, 0], 0.1)]  # in all runs that train there
    np.testing.assert_allclose(encoding.fit_runs([flat], Y, runs, (0, 1), folds).r[[2, 5]], fit.r[[2, 5]], atol=1e-5)
    changed = Y.copy()
    changed[np.isin(runs, ["c", "f"])] *= -1
    again = encoding.fit_runs([X], changed, runs, (0, 1), folds)
    np.testing.assert_allclose(again.r[[0, 1, 3, 4]], fit.r[[0, 1, 3, 4]], atol=1e-6)
    np.testing.assert_allclose(again.r[[2, 5]], -fit.r[[2, 5]], atol=1e-6)
    turns = encoding.turned_in_time(runs, 4, 10)
    inner, outer = scoring.run_null([X], Y, runs, (0, 1), fit, turns, folds, ["abde", "cf"])
    turned = scoring.run_null([X], changed, runs, (0, 1), fit, turns, folds, ["abde", "cf"])
    np.testing.assert_allclose(turned, [inner, -outer], atol=1e-5)
    still = {run: np.ones((2, 26), dtype=complex) for run in "abcdef"}  # what is not turned gives the scores themselves
    null = scoring.run_null([X], Y, runs, (0, 1), fit, still, folds, ["abde", "cf"])
    for draws, rows in zip(null, ([0, 1, 3, 4], [2, 5]), strict=True):
        np.testing.assert_allclose(draws, [scoring.mean_over_runs(fit.r[rows])] * 2, atol=1e-6)
    assert np.isnan(encoding.fit_runs([X], np.where(runs[:, None] == "c", 0.1, Y), runs, (0, 1), folds).r2[2]).all()


def test_components_of_training_runs_take_the_place_of_features(rng: np.random.Generator) -> None:
    """Predictions, and the null of what is not turned, are of scikit-learn's components of the runs trained on."""
    runs = np.repeat(["a", "b", "c"], 60)
    X = smooth(rng, 180, 5) * [9, 1, 3, 1, 1] @ rng.normal(size=(5, 5))
    Y = (X @ rng.normal(size=(5, 2)) + 5 * smooth(rng, 180, 2)).astype(np.float32)
    fit = encoding.fit_runs([X], Y, runs, DELAYS, n_components=2)
    for k, run in enumerate("abc"):
        train = runs != run
        reduced = make_pipeline(StandardScaler(), PCA(2)).fit(X[train]).transform(X)
        Z = DelayedFeatures(reduced, DELAYS, runs).rows()[:].numpy()
        theirs = Ridge(fit.alphas[k]).fit(Z[train], Y[train]).predict(Z[~train])
        np.testing.assert_allclose(fit.r[k], pearson(theirs, Y[~train]), atol=1e-5)
    (null,) = scoring.run_null([X], Y, runs, DELAYS, fit, {run: np.ones((1, 31), dtype=complex) for run in "abc"})
    np.testing.assert_allclose(null[0], scoring.mean_over_runs(fit.r), atol=1e-5)


def test_what_two_bands_share_is_told_apart_from_what_each_has() -> None:
    """Responses are a quarter of one band, a quarter of what both know, a quarter of a third band, and noise."""
    rng = np.random.default_rng(8)
    runs, delays = np.repeat(list("abcd"), 300), (0,)
    own, both, other, third = (smooth(rng, 1200, 1) for _ in range(4))
    bands = {"one": np.hstack([own, both]), "two": np.hstack([other, both]), "three": third}
    Y = np.hstack([part / part.std() for part in (own, both, third)]).sum(axis=1, keepdims=True)
    Y = np.repeat(Y + rng.normal(size=Y.shape), 3, axis=1).astype(np.float32)
    sets = [("one", "two"), ("one", "three"), ("two", "three"), ("one", "two", "three")]
    fits = encoding.fits_without(bands, Y, runs, delays, sets=sets, n_candidates=8)
    assert list(map(len, fits)) == [1, 1, 1, 2, 2, 2]  # without all three there is nothing to fit
    fits[()] = encoding.fit_runs(list(bands.values()), Y, runs, delays, n_candidates=8)
    r2 = {left: fit.r2 for left, fit in fits.items()}
    parts = {names: scoring.common_r2(names, r2) for names in (*zip(bands, strict=True), *sets)}
    found = {names: part.mean() for names, part in parts.items()}
    expected = dict.fromkeys(found, 0.0) | {("one",): 0.25, ("three",): 0.25, ("one", "two"): 0.25}
    assert found == pytest.approx(expected, abs=0.04)
    np.testing.assert_allclose(sum(parts.values()), fits[()].r2, atol=1e-6)
    np.testing.assert_allclose(fits[()].split.sum(axis=1), fits[()].r2, atol=1e-4)


def test_layers_are_chosen_without_the_run_that_tests_them() -> None:
    """The layer that fits one run alone is not chosen for it, as it does not fit the others."""
    rng = np.random.default_rng(2)
    runs, names = np.repeat(list("abcd"), 80), list("abcd")
    layers = {"steady": smooth(rng, 320, 2), "odd": smooth(rng, 320, 2)}
    Y = (layers["steady"] + 0.5 * rng.normal(size=(320, 2))).astype(np.float32)
    Y[runs == "c"] = 3 * layers["odd"][runs == "c"]
    fits = {name: encoding.fit_runs([values], Y, runs, (0,)) for name, values in layers.items()}
    read = {name: partial(np.asarray, values) for name, values in layers.items()}
    fit, band = scoring.best_layers(read, fits, names)
    assert band is layers["steady"]
    np.testing.assert_array_equal(fit.r, fits["steady"].r)
    by_hand = encoding.fit_runs([{name: layers["odd" if name == "b" else "steady"] for name in names}], Y, runs, (0,))
    np.testing.assert_allclose(by_hand.r[1], fits["odd"].r[1])
    np.testing.assert_allclose(by_hand.r[[0, 2, 3]], fits["steady"].r[[0, 2, 3]])
    told = fits | {"odd": replace(fits["odd"], inner=fits["steady"].inner + np.eye(4)[1])}
    fit, band = scoring.best_layers(read, told, names)
    assert [name for name in names if band[name] is layers["odd"]] == ["b"]
    np.testing.assert_array_equal(fit.r[:2], [fits["steady"].r[0], fits["odd"].r[1]])
    # A constant target has no score, and decides nothing.
    flat = {name: encoding.fit_runs([layers[name]], np.c_[Y, 0 * Y], runs, (0,)) for name in ("odd", "steady")}
    assert scoring.best_layers(read, flat, names)[1] is layers["steady"]


def test_the_null_refits_responses_that_were_shifted_within_runs() -> None:
    """Each draw is a fit to shifted responses, at the same penalties; by a quarter of a run where runs are short."""
    rng, runs = np.random.default_rng(3), np.repeat(list("abc"), 40)
    X, Y = smooth(rng, 120, 3), smooth(rng, 120, 2).astype(np.float32)
    fit = encoding.fit_runs([X], Y, runs, DELAYS)
    (draws,) = scoring.run_null([X], Y, runs, DELAYS, fit, encoding.turned_in_time(runs, 3, 20))
    every = np.zeros((3, 3, 2))  # runs, draws, targets
    shifts = np.random.default_rng(0)
    drawn = [shifts.integers(10, 31, 3) for _ in "abc"]
    for number in range(3):
        moved = np.concatenate([np.roll(Y[runs == run], drawn[k][number], axis=0) for k, run in enumerate("abc")])
        for k, run in enumerate("abc"):
            train = runs != run
            Z = DelayedFeatures((X - X[train].mean(axis=0)) / X[train].std(axis=0), DELAYS, runs).rows()[:].numpy()
            for target in range(2):
                theirs = Ridge(fit.alphas[k, target]).fit(Z[train], moved[train, target])
                every[k, number, target] = np.corrcoef(theirs.predict(Z[~train]), moved[~train, target])[0, 1]
    np.testing.assert_allclose(draws, scoring.mean_over_runs(every), atol=1e-5)


@pytest.mark.parametrize("n", [60, 61])
def test_random_phases_keep_power_and_correlations_of_targets(n: int) -> None:
    rng, runs = np.random.default_rng(5), np.repeat(["a", "b"], [n, 30])
    values = smooth(rng, n, 3)
    values -= values.mean(axis=0)
    for draw in encoding.turned_in_time(runs, 2, 10, "phase")["a"]:
        moved = np.fft.irfft(np.fft.rfft(values, axis=0) * draw[:, None], n, axis=0)
        assert abs(np.corrcoef(moved[:, 0], values[:, 0])[0, 1]) < 0.6
        np.testing.assert_allclose(np.abs(np.fft.rfft(moved, axis=0)), np.abs(np.fft.rfft(values, axis=0)), atol=1e-9)
        np.testing.assert_allclose(moved.T @ moved, values.T @ values, atol=1e-9)


def test_the_null_of_what_a_band_adds_turns_only_what_others_leave() -> None:
    """Responses that are not turned give what was found; turned, what the others predict stays and the band's goes."""
    rng, runs = np.random.default_rng(6), np.repeat(list("abcd"), 100)
    bands = {"one": smooth(rng, 400, 3), "other": smooth(rng, 400, 3)}
    Y = bands["one"] @ rng.normal(size=(3, 4))
    Y += (bands["other"] @ rng.normal(size=(3, 4))) * [1, 1, 0, 0] + rng.normal(size=Y.shape)
    Y = Y.astype(np.float32)
    fit = encoding.fit_runs([bands["one"]], Y, runs, (0,))
    still = {run: np.ones((2, 51), dtype=complex) for run in "abcd"}
    found, null = scoring.unique_null(bands, "other", fit, Y, runs, (0,), still, averaged=["b", "d"])
    expected = np.zeros(4)
    for run in "bd":
        train, test = runs != run, runs == run
        both = StandardScaler().fit(np.hstack([*bands.values()])[train]).transform(np.hstack([*bands.values()]))
        for k, alpha in enumerate(fit.alphas["abcd".index(run)]):
            less, more = (Ridge(alpha).fit(Z[train], Y[train, k]).predict(Z[test]) for Z in (both[:, :3], both))
            less, more, y = (values - values.mean() for values in (less, more, Y[test, k]))
            expected[k] += (y - less) @ (more - less) / (y @ y) / 2
    np.testing.assert_allclose([found, *null], [expected] * 3, atol=1e-4)
    turns = encoding.turned_in_time(runs, 99, 20)
    p = permutation_test(*scoring.unique_null(bands, "other", fit, Y, runs, (0,), turns))
    assert (p[:2] == 0.01).all()
    assert (p[2:] > 0.05).all()
    bands["other"] = np.ones((400, 1))  # nothing to add: all are ties
    assert {*permutation_test(*scoring.unique_null(bands, "other", fit, Y, runs, (0,), turns))} == {1}


@pytest.mark.parametrize("null", ["shift", "phase"])
def test_a_band_that_adds_nothing_seldom_has_a_small_p(null: Literal["shift", "phase"]) -> None:
    """Three slow runs, of a band that resembles another. Unique R² at held penalties had one in 17 of 40."""
    ps, n, runs = [], 40, np.repeat(list("abc"), 80)
    for seed in range(n):
        rng = np.random.default_rng(seed)
        other, X, Y = (lfilter([1], [1, -0.9], rng.normal(size=(240, n)), axis=0) for n in (4, 4, 12))
        bands = {"one": other[:, :3], "X": X + other, "two": other[:, 3:]}
        Y = (Y + other @ rng.normal(size=(4, 12)) / 2).astype(np.float32)
        turns = encoding.turned_in_time(runs, 59, 10, null, seed)
        fit = encoding.fit_runs([bands["one"], bands["two"]], Y, runs, DELAYS, even=True)
        assert (fit.deltas == 0.5).all()
        ps.append(permutation_test(*scoring.unique_null(bands, "X", fit, Y, runs, DELAYS, turns), "max").min())
    assert (np.array(ps) <= 0.05).sum() <= binom.ppf(0.99, n, 0.05)


@pytest.mark.acceptance
@pytest.mark.parametrize("null", ["shift", "phase"])
def test_nulls_reject_as_often_as_they_should(null: Literal["shift", "phase"]) -> None:
    """Smooth responses that features know nothing of; other nulls, without refits, reject more than twice too often."""
    rejected, n = 0, 200
    for seed in range(n):
        rng, runs = np.random.default_rng(100 + seed), np.repeat(list("abcd"), 60)
        X, Y = smooth(rng, 240, 1), smooth(rng, 240, 3).astype(np.float32)
        turns = encoding.turned_in_time(runs, 99, 10, null, seed)
        fit = encoding.fit_runs([X], Y, runs, DELAYS)
        (draws,) = scoring.run_null([X], Y, runs, DELAYS, fit, turns)
        rejected += permutation_test(np.asarray(scoring.mean_over_runs(fit.r).mean()), draws.mean(axis=1)) <= 0.05
    assert rejected <= binom.ppf(0.99, n, 0.05)
