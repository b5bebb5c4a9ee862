import numpy as np
import pandas as pd
import pytest
from refusals import refused
from scipy import stats
from scipy.stats import pearsonr
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import explained_variance_score, r2_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import brainalign.statistics as st

FOLDS = [(np.flatnonzero(np.arange(60) // 15 != k), np.flatnonzero(np.arange(60) // 15 == k)) for k in range(4)]


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    monkeypatch.setattr("brainalign.statistics.correlations.BLOCK", 70)  # several blocks of targets, the last not full
    monkeypatch.setattr("brainalign.statistics.scores.BLOCK", 25 * 70)
    measured = 1000 + rng.normal(size=(25, 300))
    return measured + 2 * rng.normal(size=measured.shape), measured


def orders_of(n_rows: int, n: int, seed: int) -> np.ndarray:
    """Return the rows of predictions beside each row: r of row numbers with a single row says which one it is."""
    number, row = np.tile(np.arange(n_rows, dtype=float)[:, None], n_rows), np.eye(n_rows)
    r = st.permuted_correlations(number, row, n, seed, n_maps=n).maps
    norm = np.linalg.norm(number[:, 0] - number[:, 0].mean()) * np.sqrt(1 - 1 / n_rows)
    found = np.rint(r * norm + number[:, 0].mean()).astype(int)
    assert (np.sort(found, axis=1) == np.arange(n_rows)).all()
    return found


@pytest.mark.parametrize("n", [7, 60])  # within the shifts of one order, and of several
def test_permuted_equal_to_scipy(pair: tuple[np.ndarray, np.ndarray], n: int) -> None:
    predicted, measured = pair
    mask = np.arange(300) % 3 == 0
    found = st.permuted_correlations(predicted, measured, n, 3, groups=[np.arange(290, 300), mask], n_maps=n)
    plain = np.stack([pearsonr(predicted[order], measured, axis=0).statistic for order in orders_of(25, n, 3)])
    np.testing.assert_allclose(found.maps, plain, atol=2e-6)
    np.testing.assert_allclose(found.max_r, plain.max(axis=1), atol=2e-6)
    np.testing.assert_allclose(found.mean_r, plain.mean(axis=1), atol=2e-6)
    of_groups = np.c_[plain[:, 290:].mean(axis=1), plain[:, mask].mean(axis=1)]
    np.testing.assert_allclose(found.group_r, of_groups, atol=2e-6)


def test_targets_that_few_orders_reach_are_permuted_ten_times_as_often(pair: tuple[np.ndarray, np.ndarray]) -> None:
    measured = pair[1][:, :90]
    predicted = 0.1 * pair[0][:, :90] + np.random.default_rng(1).normal(size=measured.shape)
    predicted[:, 4] = 1.0
    found = st.permuted_correlations(predicted, measured, 50, 3, sequential=True)
    plain = np.stack([st.pearson(predicted[order], measured) for order in orders_of(25, 500, 3)])
    reached = np.cumsum(plain >= st.pearson(predicted, measured) - 1e-7, axis=0)
    expected = np.where(reached[49] < 10, (1 + reached[-1]) / 501, (1 + reached[49]) / 51)
    np.testing.assert_array_equal(found.p, np.where(np.arange(90) == 4, np.nan, expected))
    assert 20 < (reached[49] < 10).sum() < 80


def test_orders_differ_with_the_observed_as_a_tie_and_draws_equal_loops(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert len(np.unique(orders_of(25, 500, 0), axis=0)) == 500
    few = orders_of(3, 300, 0)
    assert np.unique(few, axis=0, return_counts=True)[1] == pytest.approx(np.full(6, 50), abs=15)
    observed = np.arange(6.0).reshape(3, 2) ** 2
    found = st.permuted_correlations(observed, observed, 300, 0)
    assert (found.p == (1 + (few == np.arange(3)).all(axis=1).sum()) / 301).all()
    predicted, measured = pair
    groups = [np.arange(3), np.array([5]), np.array([279, 280, 299])]
    found = st.bootstrap_correlations(predicted, measured, groups, n_draws=30, seed=3)
    for draw, count in zip(found, np.random.default_rng(3).multinomial(25, np.full(25, 1 / 25), size=30), strict=True):
        rows = np.repeat(np.arange(25), count)
        r = [pearsonr(predicted[rows, t], measured[rows, t]).statistic for t in (0, 1, 2, 5, 279, 280, 299)]
        np.testing.assert_allclose(draw, [np.mean(r[:3]), r[3], np.mean(r[4:])], atol=1e-5)
    r = np.array([0.1, np.nan, 0.5, 0.2])
    found = st.group_means(r, [np.array([0, 1, 2]), np.array([1]), np.array([False, False, True, True])])
    np.testing.assert_allclose(found, [0.3, np.nan, 0.35])
    refused("group 0 names target 4, but there are 4", st.group_means, r, [np.array([4])])


def test_against_scipy_and_sklearn(rng: np.random.Generator) -> None:
    measured = rng.normal(size=(30, 7)) + 5
    predicted = (measured + 0.5 + rng.normal(size=(30, 7))).astype(np.float32)
    expected = [stats.pearsonr(m, p).statistic for m, p in zip(measured.T, predicted.T.astype(float), strict=True)]
    np.testing.assert_allclose(st.pearson(measured, predicted), expected, atol=1e-12)
    np.testing.assert_allclose(st.r2(measured, predicted), r2_score(measured, predicted, multioutput="raw_values"))
    expected = explained_variance_score(measured, predicted, multioutput="raw_values")
    np.testing.assert_allclose(st.explained_variance(measured, predicted), expected, rtol=1e-6)
    np.testing.assert_allclose(st.explained_variance(*map(pd.DataFrame, (measured, predicted))), expected, rtol=1e-6)


@pytest.mark.parametrize("value", [1.0, 0.1, 1000.3, -7e-5, 1e9 / 3])
def test_a_constant_that_centring_does_not_make_zero_is_constant(value: float) -> None:
    constant, varied = np.full((7, 1), value), np.random.default_rng(0).normal(size=(7, 1))
    undefined = [st.pearson(constant, constant), st.pearson(constant, varied), st.pearson(varied, constant)]
    undefined += [st.r2(measured=constant, predicted=varied), st.explained_variance(constant, varied)]
    assert np.isnan([*undefined, st.noise_ceiling(np.full((4, 30, 1), value), n_halvings=5)]).all()
    # What varies little beside a large mean still varies, in float32 by one step of rounding.
    np.testing.assert_allclose(st.pearson(1000 + 1e-6 * varied, varied), 1)
    step = np.full((7, 1), value, dtype=np.float32)
    assert np.isnan(st.pearson(step, varied)).all()
    step[3] = np.nextafter(step[3], np.float32(np.inf))
    assert np.isfinite([st.pearson(step, varied), st.r2(step, varied), st.explained_variance(step, varied)]).all()


def test_normalised_r2_divides_by_a_variance_and_is_not_clipped() -> None:
    r, ceiling = np.array([0.6, -0.6, 0.9, 0.5, 0.5]), np.array([0.36, 0.36, 0.5, 0, -0.1])
    np.testing.assert_allclose(st.normalized_r2(r, ceiling), [1, -1, 1.62, np.nan, np.nan])
    np.testing.assert_allclose(st.signed_r2(r[:3]), [0.36, -0.36, 0.81])
    refused(r"\(5, 1\) and \(5, 2\)", st.pearson, np.ones((5, 1)), np.ones((5, 2)))


def test_identification_of_perfect_swapped_equal_and_random_predictions(rng: np.random.Generator) -> None:
    patterns = rng.normal(size=(3, 8, 20))
    correct, chosen = st.identification(patterns * 2 + 1, patterns)  # correlation ignores scale and offset
    assert (correct == 1).all()
    assert (chosen == np.arange(8)).all()
    assert (st.pair_matching(patterns, patterns) == 1).all()
    pair = patterns[0, :2]
    correct, chosen = st.identification(pair[::-1], pair)
    assert (correct.tolist(), chosen.tolist(), st.pair_matching(pair[::-1], pair).tolist()) == ([0, 0], [1, 0], [0])
    four = patterns[0, :4]
    same = np.repeat(four[:1], 4, axis=0).astype(np.float32)
    assert st.identification(same, four)[0].tolist() == [0.25] * 4
    assert (st.pair_matching(same, four) == 0.5).all()
    same[3, 0] = np.nan
    np.testing.assert_array_equal(st.pair_matching(same, four), [0.5, 0.5, np.nan, 0.5, np.nan, np.nan])
    assert st.identification(np.zeros((4, 20)), four)[0].tolist() == [0.25] * 4
    predicted, measured = rng.normal(size=(2, 3000, 8, 20))
    assert st.identification(predicted, measured)[0].mean() == pytest.approx(1 / 8, abs=0.006)
    assert st.pair_matching(predicted[:, :2], measured[:, :2]).mean() == pytest.approx(0.5, abs=0.03)
    refused("2 targets or more", st.identification, np.zeros((3, 1)), np.zeros((3, 1)))


def test_linear_classification_is_sklearns_on_held_out_rows(rng: np.random.Generator) -> None:
    labels = np.tile(["a", "b", "c"], 20)
    responses = rng.normal(size=(60, 5)) + (labels[:, None] == np.array(["a", "b", "c", "a", "b"]))
    found, theirs = st.linear_classification(responses, labels, FOLDS), LogisticRegression(max_iter=2000)
    expected = cross_val_score(make_pipeline(StandardScaler(), theirs), responses, labels, cv=FOLDS)
    np.testing.assert_allclose(found, expected)
    assert 0.4 < found.mean() < 1


def test_the_area_under_the_curve_is_sklearns_on_held_out_rows() -> None:
    rng = np.random.default_rng(3)
    labels = np.array(["b", "a"])[rng.integers(2, size=60)]
    labels[45:] = "a"  # the last fold tests one category
    responses = rng.normal(size=(60, 5)) * [1, 2, 3, 4, 5] + 0.8 * (labels == "a")[:, None]
    given = responses, labels, FOLDS
    for c in (0.01, 1.0):
        theirs = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
        expected = cross_val_score(theirs, responses, labels == "b", cv=FOLDS[:3], scoring="roc_auc")
        np.testing.assert_allclose(st.logistic_auc(*given, c), [*expected, np.nan])
    np.testing.assert_allclose(st.logistic_auc(*given), st.logistic_auc(*given, 0.01))
    refused("responses of shape", st.logistic_auc, np.where(responses > 5, np.nan, responses), *given[1:])


def test_predictions_of_unseen_rows_are_those_of_a_fit_with_its_own_mean_and_scale() -> None:
    rng = np.random.default_rng(4)
    X, Y = rng.normal(size=(30, 4)) * [1, 5, 0.2, 0] + 0.1, rng.normal(size=(30, 3)) * [1, 7, 0] + 2
    unseen, scale = rng.normal(size=(6, 4)) + 3, [*X[:, :3].std(axis=0), 1]
    for standardise in (False, True):
        divided = (X / scale, unseen / scale) if standardise else (X, unseen)
        expected = Ridge(2.0).fit(divided[0], Y).predict(divided[1])
        np.testing.assert_allclose(st.held_out_prediction(Ridge(2.0), X, Y, unseen, standardise=standardise), expected)
    last = type("Last", (), {"fit": lambda *_: None, "predict": lambda _, rows: rows[:, 3:]})()
    found = st.held_out_prediction(last, X, Y[:, :1], unseen, standardise=True)[:, 0]
    np.testing.assert_allclose(found - unseen[:, 3], Y[:, 0].mean() - 0.1)
    np.testing.assert_array_equal(st.held_out_prediction(None, X, Y[:, 2:], unseen), np.full((6, 1), 2.0))
    one = st.held_out_prediction(Ridge(2.0), X, Y[:, :1], unseen)
    np.testing.assert_allclose(one[:, 0], Ridge(2.0).fit(X, Y[:, 0]).predict(unseen))
    parts = np.split(rng.permutation(30), [7, 18])
    pairs = list(zip(parts, [np.setdiff1d(np.arange(30), part) for part in parts], strict=True))
    left = [Y[part] - Ridge(2.0).fit(X[rest], Y[rest]).predict(X[part]) for part, rest in pairs]
    total = [Y[part] - Y[rest].mean(axis=0) for part, rest in pairs]
    expected = 1 - np.square(np.concatenate(left)).sum() / np.square(np.concatenate(total)).sum()
    assert st.held_out_r2(Ridge(2.0), X, Y, parts) == pytest.approx(expected)
    assert np.isnan(st.held_out_r2(Ridge(2.0), X, Y[:, 2:], parts))
