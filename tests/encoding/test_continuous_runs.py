from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.linear_model import RidgeCV

from brainalign.encoding import best_layers, fit_runs, mean_over_runs, shift_null, unique_variance
from brainalign.regression import ALPHAS
from brainalign.statistics import permutation_test

DELAYS = (1, 2, 3)


def smooth(rng: np.random.Generator, n_rows: int, n: int) -> np.ndarray:
    values = rng.normal(size=(n_rows, n))
    for row in range(1, n_rows):
        values[row] += 0.6 * values[row - 1]
    return values


def test_predictions_are_those_of_ridge_on_a_design_written_out() -> None:
    rng = np.random.default_rng(0)
    runs = np.repeat(["a", "b", "c"], 60)
    X, Y = smooth(rng, 180, 4), rng.normal(size=(180, 2))
    Y[2:] += X[:-2, :2]
    fit = fit_runs([X], Y.astype(np.float32), runs, DELAYS)
    for k, run in enumerate("abc"):
        train = runs != run
        Z = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
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


def test_a_band_has_what_the_other_lacks() -> None:
    rng = np.random.default_rng(1)
    runs = np.repeat(list("abcd"), 100)
    bands = {"one": smooth(rng, 400, 3), "other": smooth(rng, 400, 3)}
    Y = np.concatenate([bands["one"] @ rng.normal(size=(3, 4)), rng.normal(size=(400, 4))], axis=1)
    Y = (Y / Y.std(axis=0) + rng.normal(size=Y.shape)).astype(np.float32)
    whole = fit_runs(list(bands.values()), Y, runs, (0,), n_candidates=8)
    unique = unique_variance(bands, whole, Y, runs, (0,), n_candidates=8)
    assert abs(unique["one"][:, :4].mean() - 0.5) < 0.05
    assert abs(unique["other"].mean()) < 0.02
    assert abs(unique["one"][:, 4:].mean()) < 0.02
    np.testing.assert_allclose(whole.split.sum(axis=1), whole.r2, atol=1e-4)


def test_layers_are_chosen_without_the_run_that_tests_them() -> None:
    """The layer that fits one run alone is not chosen for it, as it does not fit the others."""
    rng = np.random.default_rng(2)
    runs, names = np.repeat(list("abcd"), 80), list("abcd")
    layers = {"steady": smooth(rng, 320, 2), "odd": smooth(rng, 320, 2)}
    Y = (layers["steady"] + 0.5 * rng.normal(size=(320, 2))).astype(np.float32)
    Y[runs == "c"] = 3 * layers["odd"][runs == "c"]
    fits = {name: fit_runs([values], Y, runs, (0,)) for name, values in layers.items()}
    fit, band = best_layers(layers, fits, names)
    assert all(band[name] is layers["steady"] for name in names)
    np.testing.assert_array_equal(fit.r, fits["steady"].r)
    mixed = {name: layers["odd" if name == "b" else "steady"] for name in names}
    by_hand = fit_runs([mixed], Y, runs, (0,))
    np.testing.assert_allclose(by_hand.r[1], fits["odd"].r[1])
    np.testing.assert_allclose(by_hand.r[[0, 2, 3]], fits["steady"].r[[0, 2, 3]])


@pytest.mark.acceptance
def test_shifted_responses_reject_as_often_as_they_should() -> None:
    """Smooth responses that features know nothing of; other nulls, without refits, reject more than twice too often."""
    rejected, n = 0, 150
    for seed in range(n):
        rng = np.random.default_rng(100 + seed)
        runs = np.repeat(list("abcd"), 60)
        X, Y = smooth(rng, 240, 1), smooth(rng, 240, 3).astype(np.float32)
        fit = fit_runs([X], Y, runs, DELAYS)
        null = shift_null([X], Y, runs, DELAYS, fit, 10, 99, seed)
        rejected += permutation_test(np.asarray(mean_over_runs(fit.r).mean()), null.mean(axis=1)) <= 0.05
    assert rejected <= binom.ppf(0.99, n, 0.05)
