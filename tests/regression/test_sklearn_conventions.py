import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from scipy import sparse
from sklearn.base import is_regressor
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainalign import encoding
from brainalign.encoding import BandedRidge, EmpiricalBayesRidge, Ridge, estimate_prior

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 6)) * [1, 2, 3, 4, 5, 6]
Y = X @ RNG.normal(size=(6, 3)) + 4 * RNG.normal(size=(80, 3)) + [0, 10, 100]


def test_cross_validation_and_grid_search_give_what_they_give_for_their_own_ridge() -> None:
    for targets in (Y, Y[:, 0]):
        found = cross_val_score(Ridge(10.0, device="cpu"), X, targets, cv=4)
        np.testing.assert_allclose(found, cross_val_score(SklearnRidge(alpha=10.0), X, targets, cv=4), atol=1e-5)
    grid = (0.1, 30.0, 3000.0)
    search = GridSearchCV(Ridge(device="cpu"), {"alphas": grid}, cv=4).fit(X, Y)
    expected = GridSearchCV(SklearnRidge(), {"alpha": grid}, cv=4).fit(X, Y)
    scores = search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    np.testing.assert_allclose(*scores, atol=1e-5)
    assert search.best_params_["alphas"] == expected.best_params_["alpha"]
    pipeline = make_pipeline(StandardScaler(), Ridge(1.0, device="cpu")).fit(X, Y[:, 1])
    reference = make_pipeline(StandardScaler(), SklearnRidge(alpha=1.0)).fit(X, Y[:, 1])
    np.testing.assert_allclose(pipeline.predict(X), reference.predict(X), atol=1e-5)
    assert pipeline.score(X, Y[:, 1]) == pytest.approx(reference.score(X, Y[:, 1]), abs=1e-6)
    assert is_regressor(Ridge())
    assert pipeline.n_features_in_ == pipeline[-1].n_features_in_ == 6
    for cv in (KFold(4, shuffle=True, random_state=0), list(KFold(5).split(X))):
        search = GridSearchCV(SklearnRidge(), {"alpha": grid}, cv=cv).fit(X, Y[:, 0])
        ridge = Ridge(grid, cv=cv, device="cpu", dtype="float64").fit(X, Y)
        np.testing.assert_allclose(ridge.cv_scores_[:, 0], search.cv_results_["mean_test_score"], rtol=1e-8)
    refused("folds of cv must test every row once", Ridge(cv=ShuffleSplit(3, random_state=0)).fit, X, Y)


def test_the_score_is_the_mean_over_targets_and_a_constant_one_counts_as_0() -> None:
    ridge, weights = Ridge(1.0, device="cpu").fit(X, Y), RNG.uniform(size=80)
    assert isinstance(ridge.score(X, Y), float)
    assert ridge.score(X, Y) == pytest.approx(r2_score(Y, ridge.predict(X)), abs=1e-6)
    expected = r2_score(Y, ridge.predict(X), sample_weight=weights)
    assert ridge.score(X, Y, sample_weight=weights) == pytest.approx(expected, abs=1e-6)
    flat = np.c_[Y[:, :2], np.ones(80)]
    assert ridge.score(X, flat) == pytest.approx(r2_score(flat, ridge.predict(X)), abs=1e-6)
    assert np.isnan(ridge.score_targets(X, flat)).tolist() == [False, False, True]
    banded = BandedRidge(1.0, candidates=[[0.5, 0.5]], device="cpu").fit([X[:, :3], X[:, 3:]], Y)
    found = banded.score([X[:, :3], X[:, 3:]], Y, sample_weight=weights)
    assert found == pytest.approx(r2_score(Y, banded.predict([X[:, :3], X[:, 3:]]), sample_weight=weights), abs=1e-6)
    bayes = EmpiricalBayesRidge(estimate_prior([(X, Y)])).fit(X[:20], Y[:20])
    assert bayes.score(X, Y) == pytest.approx(r2_score(Y, bayes.predict(X)), abs=1e-6)


def test_missing_values_are_no_score_of_0() -> None:
    x, y = (np.where(values == values.max(), np.nan, values) for values in (X, Y))
    banded = BandedRidge(1.0, candidates=[[0.5, 0.5]], device="cpu").fit([X[:, :3], X[:, 3:]], Y)
    ridge = Ridge(1.0, device="cpu").fit(X, Y)
    for encoder, given, hole in ((ridge, X, x), (banded, [X[:, :3], X[:, 3:]], [x[:, :3], x[:, 3:]])):
        refused("predictions from X .* NaN", encoder.score, hole, Y)
        refused("Y of shape .* has 1 NaN", encoder.score, given, y)
    readout, tokens, grid = encoding.FactorizedReadout(epochs=1, device="cpu"), X.reshape(80, 2, 3), (1, 2)
    refused("predictions from X .* NaN", readout.fit(tokens, y, grid=grid).score, x.reshape(80, 2, 3), y)
    refused("Y is a DataFrame", readout.fit, tokens, pd.DataFrame(Y), grid=grid)
    theirs = encoding.EstimatorEncoder("sklearn.linear_model:Ridge", {"alpha": 10.0})
    found, expected = (cross_val_score(one, X, Y, cv=4) for one in (theirs, SklearnRidge(alpha=10.0)))
    np.testing.assert_allclose(found, expected)
    refused("X has 79 rows but Y has 80", theirs.fit, X[1:], Y)


def test_tables_lists_and_tensors_are_the_arrays_they_hold() -> None:
    expected = Ridge((1.0, 10.0), device="cpu", dtype="float64").fit(X, Y)
    names = [f"f{k}" for k in range(6)]
    table, mixed = pd.DataFrame(X, columns=names), pd.DataFrame(X).astype(object)
    table.index = table.index[::-1]
    for features, targets in (
        (table, pd.DataFrame(Y)), (mixed, Y), (X.tolist(), Y.tolist()), (torch.tensor(X), torch.tensor(Y)),
    ):  # fmt: skip
        ridge = Ridge([1.0, 10.0], device="cpu", dtype="float64").fit(features, targets)
        # Not to the bit: where an array happens to begin in memory decides how the processor sums it.
        np.testing.assert_allclose(np.asarray(ridge.predict(features)), expected.predict(X), rtol=1e-10)
        assert ridge.score(features, targets) == pytest.approx(expected.score(X, Y), abs=1e-12)
    one, first = (Ridge(1.0, device="cpu", dtype="float64").fit(table, y) for y in (pd.Series(Y[:, 0]), Y[:, :1]))
    np.testing.assert_allclose(one.predict(table), np.ravel(first.predict(X)), rtol=1e-10)
    assert one.score(table, pd.Series(Y[:, 0])) == pytest.approx(r2_score(Y[:, 0], one.predict(X)), abs=1e-6)
    refused("another order", one.predict, table[names[::-1]])
    refused("other columns", one.predict, table.rename(columns={"f2": "g"}))
    banded = BandedRidge(1.0, candidates=[[0.5, 0.5]], device="cpu", dtype="float64")
    assert banded.fit([X[:, :3], X[:, 3:]], Y[:, 0]).predict([X[:, :3], X[:, 3:]]).shape == (80,)
    predicted = banded.fit([table[names[:3]], X[:, 3:].tolist()], pd.DataFrame(Y)).predict([X[:, :3], X[:, 3:]])
    np.testing.assert_allclose(predicted, SklearnRidge(alpha=2.0).fit(X, Y).predict(X), rtol=1e-9)


def test_predictions_have_the_digits_of_the_targets() -> None:
    """Features in float64 give weights in float32 no more digits, but predictions twice the memory."""
    banded = BandedRidge(1.0, candidates=[[0.5, 0.5]], device="cpu")
    for of_x, of_y, wide in (("f4", "f4", "f4"), ("f8", "f4", "f4"), ("f4", "f8", "f8"), ("f8", "i2", "f4")):
        x, y = X.astype(of_x), (Y * 10).astype(of_y)
        assert Ridge(1.0, device="cpu").fit(x, y).predict(x).dtype == wide
        bands = [x[:, :3], x[:, 3:]]
        assert banded.fit(bands, y).predict(bands).dtype == wide
        assert Ridge(1.0, device="cpu", dtype="float64").fit(x, y).predict(x).dtype == "f8"


@pytest.mark.parametrize(("change", "message"), [
    ({"X": X.astype(str)}, "X holds values of type <U"), ({"X": [["a"] * 6] * 80}, "X holds values of type <U"),
    ({"X": X.astype(complex)}, "X is complex"), ({"Y": Y + 1j}, "Y is complex"),
    ({"Y": torch.tensor(Y + 1j)}, "Y is complex"),
    ({"X": pd.DataFrame(X).assign(name="a")}, "X must hold numbers only"),
    ({"X": [[1.0, 2.0], [1.0]]}, "X must hold numbers only"), ({"X": sparse.csr_matrix(X)}, "sparse"),
    ({"X": np.ma.masked_greater(X, 3)}, "masked"),
    ({"Y": np.repeat(np.datetime64("2020-01-01"), 80)}, "type datetime64"),
    ({"alphas": "1"}, "alphas must be finite"), ({"alphas": (1.0, np.nan)}, "alphas must be finite"),
    ({"alphas": -1.0}, "alphas must be finite"), ({"alphas": None}, "alphas must be finite"),
])  # fmt: skip
def test_what_is_no_number_is_named(change: dict[str, object], message: str) -> None:
    given = {"X": X, "Y": Y, "alphas": 1.0} | change
    refused(message, Ridge(given["alphas"], device="cpu").fit, given["X"], given["Y"])
