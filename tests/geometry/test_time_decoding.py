import numpy as np
import pytest
import rsatoolbox
from mne.decoding import GeneralizingEstimator, SlidingEstimator
from refusals import refused
from sklearn.covariance import EmpiricalCovariance, ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import f_classif
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import brainalign.geometry as g
from brainalign.geometry.time import shrinkage_ridge

RIDGE = 0.3
N, SENSORS, TIMES, RUNS = 90, 7, 5, 3
CONDITIONS, MOVIE_RUNS, MOVIE_SENSORS, MOVIE_TIMES = 5, 3, 6, 7
NAMES = np.tile([f"c{k}" for k in range(CONDITIONS)], MOVIE_RUNS)
RUN = np.repeat(np.arange(MOVIE_RUNS), CONDITIONS)
MOVIE = np.random.default_rng(0).normal(size=(CONDITIONS * MOVIE_RUNS, MOVIE_SENSORS, MOVIE_TIMES))


class Ridged(EmpiricalCovariance):
    """The covariance within classes plus a multiple of the identity."""

    def fit(self, X, y=None):
        super().fit(X)
        self.covariance_ = self.covariance_ + RIDGE * np.eye(X.shape[1])
        return self


class Balanced(LinearDiscriminantAnalysis):
    """As trained (classes weigh in the covariance as often as they occur), but without a prior for frequent ones."""

    def fit(self, X, y):
        super().fit(X, y)
        log_priors = np.log(self.priors_)
        self.intercept_ -= log_priors[1] - log_priors[0] if len(log_priors) == 2 else log_priors
        return self


def world(n_classes: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels, patterns = rng.integers(n_classes, size=N), rng.normal(size=(n_classes, SENSORS, TIMES))
    noise = np.einsum("ij,njt->nit", rng.normal(size=(SENSORS, SENSORS)), rng.normal(size=(N, SENSORS, TIMES)))
    runs = np.repeat(np.arange(RUNS), N // RUNS)
    return 0.8 * patterns[labels] + noise + 5, np.array([f"c{k}" for k in labels]), runs


def theirs(values, labels, folds, wrapper, score):
    """Return scores by fold from scikit-learn's classifier in one of MNE's estimators."""
    found = []
    for train, test in folds:
        classifier = make_pipeline(StandardScaler(), Balanced("lsqr", covariance_estimator=Ridged()))
        model = wrapper(classifier, n_jobs=1, verbose="error").fit(values[train], labels[train])
        found.append(score(model, values[test], labels[test]))
    return np.mean(found, axis=0)


def auc_of(model, values, labels):
    decided = model.decision_function(values).reshape(len(values), -1)
    return [roc_auc_score(labels == max(set(labels)), column) for column in decided.T]


def accuracy_of(model, values, labels):
    return [balanced_accuracy_score(labels, column) for column in model.predict(values).reshape(len(values), -1).T]


@pytest.mark.parametrize(("n_classes", "score", "score_of"), [(2, "auc", auc_of), (4, "accuracy", accuracy_of)])
@pytest.mark.parametrize("wide", [False, True])  # more channels than trials: only the work changes
def test_categories_as_mne_and_scikit_learn(n_classes: int, score: str, score_of, wide: bool) -> None:
    values, labels, runs = world(n_classes)
    if wide:
        values = np.tile(values, (1, 12, 1)) + np.random.default_rng(1).normal(size=(N, 12 * SENSORS, TIMES))
    folds = g.leave_one_group_out(runs)
    ours = g.decode_times(values, labels, folds, score=score, ridge=RIDGE)
    assert ours.score == pytest.approx(theirs(values, labels, folds, SlidingEstimator, score_of), abs=1e-12)
    assert ours.chance == 1 / n_classes
    if n_classes == 2:
        np.testing.assert_allclose(g.pairwise_movie(values, labels, folds, ridge=RIDGE)[:, 0], ours.score, atol=1e-12)
    square = theirs(values, labels, folds, GeneralizingEstimator, score_of).reshape(TIMES, TIMES)
    found, _ = g.decode_generalization(values, labels, folds, score=score, ridge=RIDGE)
    np.testing.assert_allclose(found, square, atol=1e-12)


def test_permutations_are_refits_and_shrinkage_ignores_labels() -> None:
    values, labels, runs = world(3)
    folds, rng = g.leave_one_group_out(runs), np.random.default_rng(1)
    permuted = np.stack([rng.permutation(labels) for _ in range(4)])
    for ridge in (RIDGE, None):
        found = g.decode_times(values, labels, folds, permuted=permuted, score="accuracy", ridge=ridge).null
        alone = [g.decode_times(values, row, folds, score="accuracy", ridge=ridge).score for row in permuted]
        np.testing.assert_allclose(found, alone, atol=1e-12)
    two = np.where(labels == "c0", "a", "b")
    mixed = np.stack([rng.permutation(two) for _ in range(3)])
    _, null = g.decode_generalization(values, two, folds, permuted=mixed)
    np.testing.assert_allclose(null[2], g.decode_generalization(values, mixed[2], folds)[0], atol=1e-12)


def test_areas_with_ties_and_of_weighted_trials(rng: np.random.Generator) -> None:
    decisions, positive = rng.integers(5, size=30).astype(float), rng.random(30) < 0.4
    assert g.auc(decisions, positive) == pytest.approx(roc_auc_score(positive, decisions), abs=1e-12)
    assert np.isnan(g.auc(decisions, np.zeros(30, dtype=bool)))
    columns = np.column_stack([decisions, rng.normal(size=30)])
    weights = rng.multinomial(30, np.full(30, 1 / 30), size=4)
    found = g.auc_draws(columns, positive, weights)
    expected = [[roc_auc_score(positive, column, sample_weight=row) for column in columns.T] for row in weights]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    # Sorting keys instead of numbers: negative, tiny, huge and equal ones, zeros of both signs, neighbours.
    spread = rng.normal(size=(50, 40)) * 10.0 ** rng.integers(-12, 12, size=(50, 40))
    near, signs = 1 + np.arange(40) * np.finfo(float).eps, np.where(rng.random(40) < 0.5, 0.0, -0.0)
    rows = np.stack([*spread, near, -near, signs, np.zeros(40), *rng.integers(4, size=(2, 40))])
    mine = rng.random(rows.shape) < 0.5
    expected = [roc_auc_score(*each) for each in zip(mine, rows, strict=True)]
    np.testing.assert_allclose(g.auc(rows.reshape(2, 28, 40), mine.reshape(2, 28, 40)).ravel(), expected, atol=1e-12)


def test_contiguous_folds_keep_a_guard() -> None:
    onsets = np.concatenate([np.arange(40) * 0.6, np.arange(30) * 0.6])
    groups = np.repeat(["a", "b"], [40, 30])
    folds = g.contiguous_folds(groups, onsets, 5, guard_s=0.7)
    assert (len(folds), sorted(np.concatenate([test for _, test in folds]))) == (10, list(range(70)))
    for train, test in folds:
        assert len(set(groups[np.r_[train, test]])) == 1
        assert np.abs(onsets[train][:, None] - onsets[test]).min() >= 0.7
        assert len(train) == (groups == groups[test[0]]).sum() - len(test) - (1 if {0, 39, 40, 69} & set(test) else 2)
    refused(r"1 of 3 trials have no onset_s", g.contiguous_folds, "aaa", np.array([0, 1, np.nan]), 2, guard_s=1)
    refused(r"5 folds of the 4 trials of 'a'", g.contiguous_folds, list("aaaa"), np.arange(4.0), 5, guard_s=1)
    refused(r"one group only \(a\)", g.leave_one_group_out, list("aaa"))


def test_bad_input_is_named_and_what_says_nothing_does_not_stop_it() -> None:
    values, labels, runs = world(2)
    values[:, 3] = 7.0
    one = np.flatnonzero(labels == "c0")[:5]
    rest = np.setdiff1d(np.arange(N), one)
    found = g.decode_times(values, labels, [(rest, one), (rest[30:], rest[:30])])  # the first tests one class
    assert np.isnan(found.folds[0]).all()
    assert np.isfinite(found.score).all()
    values, labels, runs = world(3)
    two, fold = world(2), g.leave_one_group_out(runs)[:1]
    dead = [np.where((runs == np.unique(runs)[0])[:, None, None], two[0][:, :1], level) for level in (0.0, 0.1)]
    flat = [g.decode_times(np.concatenate([two[0], one], axis=1), two[1], fold).score for one in dead]
    np.testing.assert_allclose(*flat)  # whatever the level of what is flat in training
    folds, alone = g.leave_one_group_out(runs), np.where((runs != 0) & (labels == "c2"), "c1", labels)
    refused(r"3 categories \(c0, c1, c2\), but auc needs exactly two", g.decode_times, values, labels, folds)
    some = [(np.arange(30, 60), np.arange(30))]
    refused("leaves class 2 without any of the 30 training", g.decode_times, values, alone, some, score="accuracy")
    for lost in (np.ma.masked_equal(values, values[3, 1, 2]), np.where(values == values[3, 1, 2], np.nan, values)):
        refused("training trials", g.decode_times, lost, labels, folds, score="accuracy")


@pytest.mark.parametrize("sensors", [4, 60])
def test_shrinkage_is_that_of_scikit_learn(sensors: int, rng: np.random.Generator) -> None:
    shared = 2 * rng.normal(size=(40, 2)) @ rng.normal(size=(2, sensors))
    scaled = StandardScaler().fit_transform(shared + rng.normal(size=(40, sensors)))
    share = ledoit_wolf_shrinkage(scaled, assume_centered=True)
    assert 0.01 < share < 0.9
    assert shrinkage_ridge(scaled) == pytest.approx(share / (1 - share) * (scaled**2).mean(), rel=1e-10)


def test_areas_of_two_and_shares_of_variance_of_more(rng: np.random.Generator) -> None:
    values = rng.normal(size=(40, 3, 4))
    two, three = rng.choice(["a", "b"], size=40), rng.choice(["a", "b", "c"], size=40)
    orders = np.stack([rng.permutation(40) for _ in range(3)])
    effect, null = g.sensor_effects(values, two, two[orders])
    assert effect[1, 2] + 0.5 == pytest.approx(roc_auc_score(two == "b", values[:, 1, 2]))
    assert null[2, 0, 1] + 0.5 == pytest.approx(roc_auc_score(two[orders[2]] == "b", values[:, 0, 1]))
    share, _ = g.sensor_effects(values, three, three[orders])
    f, _ = f_classif(values.reshape(40, -1), three)
    np.testing.assert_allclose(share.ravel(), 2 * f / (2 * f + 37), atol=1e-12)


@pytest.mark.parametrize("method", ["euclidean", "correlation", "crossnobis"])
@pytest.mark.parametrize("bin_size", [1, 2])
def test_as_rsatoolbox_moment_by_moment(method: str, bin_size: int) -> None:
    # rsatoolbox 0.3.2 drops bins and cv_descriptor of lists of datasets, so it is given one.
    times = np.arange(MOVIE_TIMES // bin_size * bin_size) / 100.0
    about = {"obs_descriptors": {"conditions": NAMES, "runs": RUN}, "time_descriptors": {"time": times}}
    dataset = rsatoolbox.data.TemporalDataset(MOVIE[:, :, : len(times)], **about)
    bins = times.reshape(-1, bin_size)
    options = {"cv_descriptor": "runs"} if method == "crossnobis" else {}
    theirs = rsatoolbox.rdm.calc_rdm_movie(dataset, method, descriptor="conditions", bins=bins, **options)
    found = g.rdm_movie(MOVIE, method, NAMES, RUN, bin_size=bin_size)
    np.testing.assert_allclose(found, theirs.dissimilarities, atol=1e-10)


def test_moments_that_do_not_fit() -> None:
    noise = np.stack([np.eye(MOVIE_SENSORS)] * 3)
    refused(r"3 moments but the movie has 7", g.rdm_movie, MOVIE, "crossnobis", NAMES, RUN, precision=noise)
    rows = np.random.default_rng(2).normal(size=(60, MOVIE_SENSORS))
    noises = g.noise_covariance(rows), g.noise_precision(rows)
    np.testing.assert_allclose(*(g.rdm_movie(MOVIE, "crossnobis", NAMES, RUN, one) for one in noises))
    refused(r"bin_size 8", g.rdm_movie, MOVIE, "euclidean", bin_size=8)
    movie = g.rdm_movie(MOVIE, "euclidean", NAMES, RUN)
    np.testing.assert_allclose(g.rdm_time_generalization(movie), np.corrcoef(movie), atol=1e-12)
