import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import LeavePGroupsOut

from brainalign.encoding import BandedRidge, EstimatorEncoder, Ridge, evaluate
from brainalign.encoding.scoring import encode_folds, row_space, split_folds
from brainalign.statistics import identification, pair_matching, pearson, permute_within, r2

N_RUNS, N_STIMULI, N_TARGETS = 6, 5, 30


@pytest.fixture
def design() -> dict[str, np.ndarray]:
    rng, stimuli = np.random.default_rng(0), np.tile(np.arange(N_STIMULI), N_RUNS)
    space = rng.normal(size=(N_STIMULI, 12))
    signal = space @ rng.normal(size=(12, N_TARGETS)) / np.sqrt(12)
    return {
        "stimuli": stimuli, "runs": np.repeat(np.arange(N_RUNS), N_STIMULI), "X": space[stimuli],
        "Y": signal[stimuli] + rng.normal(size=(len(stimuli), N_TARGETS)),
    }  # fmt: skip


def folds_of(groups: np.ndarray, n_out: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    return [*LeavePGroupsOut(n_out).split(groups, groups=groups)]


def split(design: dict[str, np.ndarray], leave_out: str) -> tuple[list, dict]:
    folds = folds_of(design["runs"]) if leave_out == "run" else folds_of(design["stimuli"], 2)
    return folds, {"leave_out": leave_out, "stimulus_ids": design["stimuli"], "runs": design["runs"]}


def test_row_space_keeps_inner_products() -> None:
    X = np.random.default_rng(1).normal(size=(4, 50))[[0, 1, 2, 3, 1, 0, 2]]
    narrow = row_space(X)
    assert narrow.shape == (7, 4)
    np.testing.assert_allclose(narrow @ narrow.T, X @ X.T, atol=1e-10)
    assert (narrow[0] == narrow[5]).all()  # equal rows stay equal to the last bit, so that ties stay ties
    np.testing.assert_array_equal(row_space(np.zeros((6, 4))), np.zeros((6, 1)))


def test_runs_and_zero_shot_equal_plain_loops(design: dict[str, np.ndarray]) -> None:
    folds = folds_of(design["runs"])
    given = design["X"], design["Y"][None], folds, design["runs"], design["stimuli"]
    scores = encode_folds(Ridge((5.0,), dtype="float64"), *given)
    r, determination, correct = [], [], []
    for train, test in folds:
        predicted = SklearnRidge(alpha=5.0).fit(design["X"][train], design["Y"][train]).predict(design["X"][test])
        r.append(pearson(predicted, design["Y"][test]))
        determination.append(r2(design["Y"][test], predicted))
        correct.append(identification(predicted, design["Y"][test])[0])
    np.testing.assert_allclose(scores.r[0], np.mean(r, axis=0), atol=1e-9)
    np.testing.assert_allclose(scores.r2[0], np.mean(determination, axis=0), atol=1e-9)
    np.testing.assert_array_equal(scores.correct[0], correct)
    folds, stimuli = folds_of(design["stimuli"], 2), design["stimuli"]
    given = design["X"], design["Y"][None], folds, design["runs"], stimuli
    scores, expected = encode_folds(Ridge((5.0,), dtype="float64"), *given, leave_out="stimulus"), []
    for train, test in folds:
        predicted = SklearnRidge(alpha=5.0).fit(design["X"][train], design["Y"][train]).predict(design["X"][test])
        rows = [stimuli[test] == stimulus for stimulus in np.unique(stimuli[test])]
        means = [np.stack([values[of].mean(axis=0) for of in rows]) for values in (predicted, design["Y"][test])]
        expected.append(pair_matching(*means))
    np.testing.assert_array_equal(scores.correct[0], expected)


@pytest.mark.parametrize("leave_out", ["run", "stimulus"])
def test_groups_score_as_if_their_targets_were_all(design: dict[str, np.ndarray], leave_out: str) -> None:
    folds, of_rows = split(design, leave_out)
    groups, encoder = [np.array([5, 0, 3]), np.array([4, 7])], Ridge((1.0, 10.0), dtype="float64")
    some = of_rows | {"n_permutations": 39}  # more than targets, so that none is permuted longer
    found = evaluate(encoder, design["X"], design["Y"], folds, target_groups=groups, **some)
    for k, rows in enumerate(groups):
        alone = evaluate(encoder, design["X"], design["Y"][:, rows], folds, **some)
        np.testing.assert_allclose(found.observed.group_r[0, :, k].mean(), alone.observed.r.mean(), atol=1e-9)
        credit = np.nanmean(alone.observed.correct[0], axis=1)
        np.testing.assert_allclose(found.observed.group_accuracy[0, :, k], credit, atol=1e-9)
        np.testing.assert_allclose(found.null.group_accuracy[:, k], alone.null.accuracy, atol=1e-9)
    sparse = EstimatorEncoder("sklearn.linear_model:Lasso", {"alpha": 0.1, "tol": 0.01}, cv=2)  # at times constant
    one = evaluate(sparse, design["X"], design["Y"], folds, target_groups=[np.array([8])], **some)
    assert np.isnan(one.observed.group_accuracy).all()
    if leave_out == "run":  # of pairs nothing correlates
        below = (one.null.group_r[:, 0] < one.observed.group_r.mean()).sum()
        assert (40 - below) / 40 == pytest.approx(one.null.p[8])


def test_trials_are_averaged_before_identification_and_no_score_has_no_p(design: dict[str, np.ndarray]) -> None:
    """With two runs left out every stimulus occurs twice; equal predictions must not share the credit."""
    runs, stimuli = design["runs"], design["stimuli"]
    test = np.isin(runs, [0, 1])
    folds, encoder = [(np.flatnonzero(~test), np.flatnonzero(test))], Ridge((0.1,), dtype="float64")
    scores = encode_folds(encoder, design["X"], design["Y"][None], folds, runs, stimuli)
    assert scores.correct.shape == (1, 1, N_STIMULI)
    predicted = encoder.fit(design["X"][~test], design["Y"][~test]).predict(design["X"][runs == 0])
    expected = identification(predicted, (design["Y"][runs == 0] + design["Y"][runs == 1]) / 2)[0]
    np.testing.assert_array_equal(scores.correct[0, 0], expected)
    # Constant features predict a constant: r is undefined, and undefined must not become the smallest p.
    folds, of_rows = split(design, "run")
    found = evaluate(Ridge((1.0,)), np.ones_like(design["X"]), design["Y"], folds, n_permutations=20, **of_rows)
    assert np.isnan(found.observed.r).all()
    assert np.isnan(found.null.share_good).all()


def test_stimuli_of_equal_features_change_places_and_nothing_else() -> None:
    """Three stimuli of two categories: 6³ orders of them are 3³ of what is predicted, all reached at chance alike."""
    rng, runs, stimuli = np.random.default_rng(0), np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)
    X = np.eye(2)[np.array([0, 1, 1])[stimuli]]
    Y = X @ rng.uniform([[2], [-3]], [[3], [-2]], (2, 40)) + 0.1 * rng.normal(size=(9, 40))
    options = {"leave_out": "run", "stimulus_ids": stimuli, "runs": runs, "n_permutations": 199}
    assert np.ptp(evaluate(Ridge((1.0, 10.0)), X, Y, folds_of(runs), **options).null.p) == 0


def test_one_hot_features_cannot_generalise(design: dict[str, np.ndarray]) -> None:
    folds, of_rows = split(design, "stimulus")
    X, Y = np.eye(N_STIMULI)[design["stimuli"]], design["Y"].astype(np.float32)
    found = evaluate(Ridge((0.1, 10.0)), X, Y, folds, n_permutations=0, **of_rows)
    assert (found.observed.correct == 0.5).all()  # every pair is an exact tie


def test_runs_with_other_stimuli_each(design: dict[str, np.ndarray]) -> None:
    """Images are shown once or twice in all: a run is scored over its own, and chance is one of these."""
    kept = np.flatnonzero((design["runs"] + design["stimuli"]) % 3 > 0)
    kept = kept[(design["runs"][kept] > 0) | (design["stimuli"][kept] > 1)]  # and the first run has one less
    X, Y, runs, stimuli = (design[name][kept] for name in ("X", "Y", "runs", "stimuli"))
    sizes = np.bincount(runs)
    assert len(set(sizes)) > 1
    folds, model = folds_of(runs), Ridge((10.0,))
    options = {"leave_out": "run", "stimulus_ids": stimuli, "runs": runs, "seed": 5}
    found = evaluate(model, X, Y, folds, n_permutations=400, **options)
    for fold, (train, test) in enumerate(folds):
        fitted, order = SklearnRidge(10.0).fit(X[train], Y[train]).predict(X[test]), np.argsort(stimuli[test])
        correct, _ = identification(fitted[order][None], Y[test][order][None])
        np.testing.assert_array_equal(found.observed.correct[0, fold, : len(test)], correct[0])
        assert np.isnan(found.observed.correct[0, fold, len(test) :]).all()
    assert abs(found.null.accuracy.mean() - (1 / sizes).mean()) < 4 * (found.null.accuracy.std() / np.sqrt(400))
    # The orders of rows in the first null are those of features in the second.
    orders = permute_within(runs, 400, np.random.default_rng(5), stimuli)
    alone = encode_folds(model, X, Y[orders[7]][None], folds, runs, stimuli)
    assert np.nanmean(alone.correct, axis=2).mean() == pytest.approx(found.null.accuracy[7])


def test_groups_of_stimuli_have_a_null_of_whole_stimuli() -> None:
    """Targets that repeat follow no feature: permuted run by run they would seem to, as a stimulus has one pattern."""
    found = {"run": [], "group": []}
    stimuli, runs = np.tile(np.arange(24), 5), np.repeat(np.arange(5), 24)
    folds = [(np.flatnonzero(stimuli // 6 != k), np.flatnonzero(stimuli // 6 == k)) for k in range(4)]
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, signal = rng.normal(size=(24, 4))[stimuli], rng.normal(size=(24, 60))[stimuli]
        Y = signal + rng.normal(size=signal.shape)
        for leave_out, p in found.items():
            options = {"leave_out": leave_out, "stimulus_ids": stimuli, "runs": runs}
            scored = evaluate(Ridge((10.0,)), X, Y, folds, n_permutations=99, **options)
            p.append(scored.null.p)
            if leave_out == "group":
                fits = [SklearnRidge(10.0).fit(X[train], Y[train]) for train, _ in folds]
                means = [[Y[stimuli == k].mean(axis=0) for k in np.unique(stimuli[test])] for _, test in folds]
                shown = [X[:24][np.unique(stimuli[test])] for _, test in folds]
                by_hand = [pearson(f.predict(x), np.stack(y)) for f, x, y in zip(fits, shown, means, strict=True)]
                np.testing.assert_allclose(scored.observed.r[0], np.mean(by_hand, axis=0), atol=1e-5)
    assert (np.concatenate(found["group"]) <= 0.05).mean() < 0.08
    assert (np.concatenate(found["run"]) <= 0.05).mean() > 0.12


def test_passages_that_are_tested_together_are_exchanged_as_wholes() -> None:
    """Features and targets share the bounds of passages alone; every other one is longer."""
    passage = np.repeat(np.arange(24), np.arange(24) % 2 + 3)
    n, folds = len(passage), [(np.flatnonzero(passage % 5 != k), np.flatnonzero(passage % 5 == k)) for k in range(5)]
    of = {"leave_out": "group", "stimulus_ids": np.arange(n), "runs": np.zeros(n), "groups": passage}
    called = np.zeros(2)
    for rng in map(np.random.default_rng, range(24)):
        X, Y = (rng.normal(size=(24, k))[passage] + rng.normal(size=(n, k)) / 2 for k in (10, 20))
        for k, wholes in enumerate((None, passage)):
            called[k] += (evaluate(Ridge(), X, Y, folds, n_permutations=99, wholes=wholes, **of).null.p <= 0.05).mean()
    assert called[1] / 24 < 0.075 < 0.12 < called[0] / 24


def test_targets_that_few_orders_reach_are_refitted_ten_times_as_often(design: dict[str, np.ndarray]) -> None:
    n, runs, stimuli = N_TARGETS - 1, design["runs"], design["stimuli"]
    folds, of_rows = split(design, "run")
    some = np.where(np.arange(N_TARGETS) % 2, design["Y"], np.random.default_rng(1).normal(size=design["Y"].shape))
    for per_target_alpha in (True, False):  # one penalty for all: a few of them would have another
        model = Ridge((1.0, 100.0), dtype="float64", per_target_alpha=per_target_alpha)
        found = evaluate(model, design["X"], some, folds, n_permutations=n, seed=4, **of_rows)
        rng = np.random.default_rng(4)
        orders = [permute_within(runs, m, rng, stimuli) for m in (n, 9 * n)]
        r = [encode_folds(model, design["X"], some[rows], folds, runs, stimuli).r for rows in orders]
        reached, more = ((part >= found.observed.r[0] - 1e-9).sum(axis=0) for part in r)
        few = (reached < 10) & per_target_alpha
        assert 3 * per_target_alpha <= few.sum() < N_TARGETS
        expected = np.where(few, (1 + reached + more) / (1 + 10 * n), (1 + reached) / (1 + n))
        np.testing.assert_allclose(found.null.p, expected)


def test_a_single_target_that_few_orders_reach(design: dict[str, np.ndarray]) -> None:
    folds, of_rows = split(design, "run")
    opposed = design["X"][:, [1]] * np.where(design["runs"] % 2, 1, -1)[:, None]  # learned is what is wrong elsewhere
    some = np.c_[np.tile(opposed, N_TARGETS - 1), design["X"][:, 0]]
    p = evaluate(Ridge((1.0,)), design["X"], some, folds, n_permutations=N_TARGETS - 1, **of_rows).null.p
    assert (p[:-1] > 10 / N_TARGETS).all()
    assert p[-1] < 1 / N_TARGETS


def test_each_set_of_responses_has_an_estimator_of_its_own(design: dict[str, np.ndarray]) -> None:
    """Components of partial least squares are of all targets together."""
    folds, _ = split(design, "run")
    encoder = EstimatorEncoder("sklearn.cross_decomposition:PLSRegression", {"n_components": 2}, cv=2)
    stack = np.stack([design["Y"], design["Y"][::-1]])
    given = folds, design["runs"], design["stimuli"]
    both = encode_folds(encoder, design["X"], stack, *given)
    for k, one in enumerate(stack):
        np.testing.assert_allclose(both.r[k], encode_folds(encoder, design["X"], one[None], *given).r[0], atol=1e-6)
        assert np.isnan(both.alpha).all()


def test_parts_of_a_joint_fit_sum_to_its_score(design: dict[str, np.ndarray]) -> None:
    folds, of_rows = split(design, "run")
    encoder = BandedRidge((1.0, 10.0), n_candidates=3, cv=2)
    bands = {"true": design["X"], "noise": np.random.default_rng(9).normal(size=design["X"].shape)}
    whole = evaluate(encoder, list(bands.values()), design["Y"], folds, n_permutations=20, **of_rows)
    groups, order = {"all": np.arange(N_TARGETS)}, np.random.default_rng(0).permutation(len(design["Y"]))
    sizes = np.ones(N_TARGETS)
    table = split_folds(encoder, bands, design["Y"], folds, design["runs"], order, groups, sizes).set_index("layer")
    assert table.loc["all", "split"] == pytest.approx(whole.observed.r2.mean(), abs=1e-5)
    assert table.loc["true", "split"] + table.loc["noise", "split"] == pytest.approx(table.loc["all", "split"])
    assert table.loc["true", "split"] > max(table.loc["noise", "split"], table.loc["true", "control_split"])
    assert (table["low"] < table["split"]).all()
    assert (whole.null.accuracy >= np.nanmean(whole.observed.correct)).mean() < 0.05


@pytest.mark.parametrize(("leave_out", "per_target_alpha"), [("run", True), ("run", False), ("stimulus", True)])
def test_how_many_sets_are_fitted_at_once_changes_nothing(design, leave_out, per_target_alpha, monkeypatch) -> None:
    """The observed responses are fitted in the first stack: alone, with some permutations, or with all of them."""
    folds, of_rows = split(design, leave_out)
    encoder, found = Ridge((0.1, 3.0, 100.0), per_target_alpha=per_target_alpha, dtype="float64"), []
    for n_sets in (1, 3, 100):
        monkeypatch.setattr("brainalign.encoding.scoring.crossval.STACK_BYTES", n_sets * design["Y"].nbytes)
        found.append(evaluate(encoder, design["X"], design["Y"], folds, n_permutations=4, **of_rows))
    plain = evaluate(encoder, design["X"], design["Y"], folds, n_permutations=0, **of_rows)
    assert plain.null is None
    for other in (*found[1:], plain):
        for name in ("r", "r2", "alpha", "correct", "chosen"):
            np.testing.assert_allclose(getattr(other.observed, name), getattr(found[0].observed, name), atol=1e-9)
    for other in found[1:]:
        for name in ("accuracy", "share_good", "max_r", "p"):
            assert len(getattr(other.null, name)) == (design["Y"].shape[1] if name == "p" else 4)
            np.testing.assert_allclose(getattr(other.null, name), getattr(found[0].null, name), atol=1e-9)
