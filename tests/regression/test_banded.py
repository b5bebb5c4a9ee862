from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from himalaya.backend import set_backend
from himalaya.ridge import GroupRidgeCV
from himalaya.scoring import r2_score as himalaya_r2
from mne.decoding import ReceptiveField
from refusals import refused
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from brainalign.encoding import HeldOut, evaluate_held_out
from brainalign.regression import BandedRidge, DelayedFeatures, Ridge, banded, partition
from brainalign.statistics import pearson

ALPHAS = (0.1, 3.0, 100.0, 3000.0)
N_TRAIN, N_TEST, WIDTH, N_TARGETS = 300, 120, 6, 40  # targets per region
CEILING = 0.6
SHARES = {"first": (1.0, 0.0), "second": (0.0, 1.0), "both": (0.7, 0.3), "nothing": (0.0, 0.0)}
GROUPS = {name: np.arange(k * N_TARGETS, (k + 1) * N_TARGETS) for k, name in enumerate(SHARES)}


def world(n: int = 120, widths: tuple[int, ...] = (9, 14), t: int = 12, seed: int = 0):
    rng = np.random.default_rng(seed)
    Xs = [rng.normal(size=(n, p)) * 10**i + 3 for i, p in enumerate(widths)]
    signal = sum(X @ rng.normal(size=(X.shape[1], t)) / X.std() * (rng.random(t) < 0.7) for X in Xs)
    return Xs, signal + rng.normal(size=(n, t)) * 3 + 20


@pytest.mark.parametrize("widths", [(9, 14), (40, 90), (5, 1, 7)])
@pytest.mark.parametrize("solver", ["auto", "primal", "dual"])
def test_equals_scaled_ridge_per_candidate(widths: tuple[int, ...], solver: str) -> None:
    """A candidate is plain ridge on scaled bands: the same scores, and the same weights after unscaling."""
    if solver == "primal" and sum(widths) > 96:
        solver, widths = "auto", (40, 70)  # fewer columns than rows, but more than the training rows of a fold
    Xs, Y = world(widths=widths)
    banded = BandedRidge(ALPHAS, 7, solver=solver, dtype="float64").fit(Xs, Y)
    for number, shares in enumerate(banded.candidates_):
        scaled = np.concatenate([X * np.sqrt(share) for X, share in zip(Xs, shares, strict=True)], axis=1)
        alone = Ridge(ALPHAS, dtype="float64").fit(scaled, Y)
        np.testing.assert_allclose(banded.cv_scores_[number], alone.cv_scores_.max(axis=0), atol=1e-8)
        for target in np.flatnonzero((banded.deltas_ == shares[:, None]).all(axis=0)):
            reference = SklearnRidge(alpha=banded.alpha_[target]).fit(scaled, Y[:, target])
            np.testing.assert_allclose(banded.predict(Xs)[:, target], reference.predict(scaled), atol=1e-7)
    np.testing.assert_array_equal(banded.deltas_, banded.candidates_[banded.cv_scores_.argmax(axis=0)].T)


@pytest.mark.filterwarnings("ignore")
def test_equals_himalaya_on_the_same_candidates() -> None:
    Xs, Y = world(n=150, widths=(8, 11), t=30, seed=3)
    Xs, Y = [(X - X.mean(axis=0)).astype(np.float32) for X in Xs], (Y - Y.mean(axis=0)).astype(np.float32)
    candidates = np.random.default_rng(1).dirichlet([1, 1], size=12)
    backend = set_backend("numpy")
    options = {"n_iter": candidates.astype("f4"), "alphas": np.array(ALPHAS, dtype="f4"), "progress_bar": False}
    peer = GroupRidgeCV(
        np.repeat([0, 1], [8, 11]), fit_intercept=True, cv=KFold(5), solver_params=options | {"score_func": himalaya_r2}
    ).fit(np.concatenate(Xs, axis=1), Y)
    mine = BandedRidge(ALPHAS, candidates=candidates).fit(Xs, Y)
    np.testing.assert_allclose(mine.cv_scores_.max(axis=0), backend.to_numpy(peer.cv_scores_).max(axis=0), atol=1e-4)
    # himalaya reports log(delta) = log(share / alpha).
    close = np.sort(mine.cv_scores_, axis=0)
    decided, shares = close[-1] - close[-2] > 1e-4, np.exp(backend.to_numpy(peer.deltas_))
    np.testing.assert_allclose(shares[:, decided], (mine.deltas_ / mine.alpha_)[:, decided], rtol=1e-3)
    np.testing.assert_allclose(mine.predict(Xs)[:, decided], peer.predict(np.concatenate(Xs, 1))[:, decided], atol=1e-3)


@pytest.mark.parametrize("metric", ["r2", "r"])
def test_split_scores_add_up(metric: str) -> None:
    Xs, Y = world(seed=1)
    banded = BandedRidge(ALPHAS, 6, metric=metric, dtype="float64").fit([X[:90] for X in Xs], Y[:90])
    held = [X[90:] for X in Xs]
    split = banded.split_scores(held, Y[90:])
    refused(r"Xs have \[14, 9\] features but .* bands of \[9, 14\]", banded.predict, held[::-1])
    of_tensors = BandedRidge(ALPHAS, 6, metric=metric, dtype="float64")
    of_tensors.fit([torch.as_tensor(X[:90]) for X in Xs], torch.as_tensor(Y[:90]))
    assert isinstance(of_tensors.coef_[0], torch.Tensor)
    again = of_tensors.split_scores([torch.as_tensor(X) for X in held], torch.as_tensor(Y[90:]))
    assert isinstance(again, torch.Tensor)
    np.testing.assert_allclose(again.numpy(), split, atol=1e-8)
    predicted = banded.predict(held)
    joint = r2_score(Y[90:], predicted, multioutput="raw_values") if metric == "r2" else pearson(Y[90:], predicted)
    assert split.shape == (2, Y.shape[1])
    np.testing.assert_allclose(split.sum(axis=0), joint, atol=1e-10)
    np.testing.assert_allclose(banded.score_targets(held, Y[90:]), joint, atol=1e-10)


def test_one_band_is_ridge_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    Xs, Y = world(widths=(9,))
    plain, one = Ridge(ALPHAS, dtype="float64").fit(Xs[0], Y), BandedRidge(ALPHAS, 1, dtype="float64").fit(Xs, Y)
    np.testing.assert_allclose(one.coef_[0], plain.coef_, atol=1e-9)
    np.testing.assert_allclose(one.intercept_, plain.intercept_, atol=1e-9)
    Xs, Y = world(t=40)
    whole, slices = BandedRidge(ALPHAS, 5, dtype="float64").fit(Xs, Y), "brainalign.regression.banded.blocks_of"
    monkeypatch.setattr(slices, lambda n, *_: [slice(i, min(i + 7, n)) for i in range(0, n, 7)])
    monkeypatch.setattr("brainalign.regression.banded.target_block", lambda *_: 14)
    parts = BandedRidge(ALPHAS, 5, dtype="float64").fit(Xs, Y)
    np.testing.assert_allclose(parts.coef_[0], whole.coef_[0], atol=1e-10)
    np.testing.assert_allclose(parts.deltas_, whole.deltas_, atol=1e-10)


@pytest.mark.parametrize(("n_targets", "memory", "runs"), [(5000, 5000, 1), (5000, 2048, 3), (300, 1, 1)])
def test_every_candidate_is_decomposed_once_for_all_targets_that_fit(n_targets, memory, runs: int, monkeypatch) -> None:
    monkeypatch.setattr("brainalign.regression.banded.target_block", lambda n, *_: min(n, memory))
    blocks = [slice(start, min(start + 1024, n_targets)) for start in range(0, n_targets, 1024)]
    held = list(banded._that_fit(blocks, 1, torch.device("cpu")))
    assert (len(held), [block for each in held for block in each]) == (runs, blocks)


def test_bad_input() -> None:
    Xs, Y = world()
    refused("2 bands need at least 3", BandedRidge(ALPHAS, 2).fit, Xs, Y)
    refused("rows sum to 1", BandedRidge(ALPHAS, candidates=[[0.5, 0.6]]).fit, Xs, Y)
    refused(r"shape \(1, 1\)", BandedRidge(ALPHAS, candidates=[[1.0]]).fit, Xs, Y)
    refused("for one array use Ridge", BandedRidge(ALPHAS).fit, np.zeros((120, 3)), Y)
    refused(r"Xs\[1\] has 5 rows but Y has 120", BandedRidge(ALPHAS).fit, [Xs[0], np.zeros((5, 3))], Y)
    refused(">= 0", BandedRidge((-1,)).fit, Xs, Y)


def study(seed: int = 0, n_repeats: int = 2) -> dict[str, Any]:
    """Return trials of two independent layers and four regions; CEILING is the signal's share of averages' variance."""
    rng, n = np.random.default_rng(seed), N_TRAIN + N_TEST
    Xs = [rng.normal(size=(n, WIDTH)) * scale for scale in (1.0, 5.0)]
    signal = np.zeros((n, len(SHARES) * N_TARGETS))
    for name, shares in SHARES.items():
        for X, share in zip(Xs, shares, strict=True):
            part = (X - X.mean(axis=0)) @ rng.normal(size=(WIDTH, N_TARGETS))
            signal[:, GROUPS[name]] += np.sqrt(share) * part / part.std(axis=0)
    sd, stimulus = np.sqrt(n_repeats * (1 - CEILING) / CEILING), rng.permutation(np.repeat(np.arange(n), n_repeats))
    Y = signal[stimulus] + sd * rng.normal(size=(len(stimulus), signal.shape[1]))
    return {
        "X": [(X / X.std())[stimulus] for X in Xs], "Y": Y.astype(np.float32),
        "train": np.flatnonzero(stimulus < N_TRAIN), "test": np.flatnonzero(stimulus >= N_TRAIN),
        "stimulus_ids": np.array([f"image{k:03d}" for k in stimulus]),
    }  # fmt: skip


def evaluated(seed: int = 0, metric: str = "r2", **options: Any) -> HeldOut:
    banded = BandedRidge(n_candidates=8, metric=metric)  # type: ignore[arg-type]
    options = {"n_permutations": 0, "n_boot": 200, "control": "refit", "target_groups": GROUPS} | options
    return evaluate_held_out(banded, **study(seed), **options, seed=seed)


def test_planted_shares_are_recovered() -> None:
    """A layer adds its share of the ceiling, less what estimating its weights costs: at most (1 - ceiling) p / n."""
    parts = evaluated().partition
    error = parts.group_draws.std(axis=0)  # (n_bands, n_groups)
    planted, cost = CEILING * np.array(list(SHARES.values())).T, 2 * WIDTH / N_TRAIN
    assert (np.abs(parts.group_split - planted) < 3 * error + cost).all()
    assert (error < 0.06).all()
    assert (np.abs(parts.group_split[:, 3]) < cost).all()  # nothing was planted
    np.testing.assert_allclose(parts.group_split[:, :2][planted[:, :2] == 0], 0, atol=0.03)


@pytest.mark.parametrize("metric", ["r2", "r"])
def test_parts_sum_to_the_joint_score(metric: str) -> None:
    found = evaluated(metric=metric)
    parts = found.partition
    np.testing.assert_allclose(parts.split.sum(axis=0), found.r2 if metric == "r2" else found.r, atol=1e-5)
    if metric == "r":  # the same draws as those of r
        np.testing.assert_allclose(parts.group_draws.sum(axis=1), found.group_draws, atol=1e-4)
        assert found.control_group_r is not None
        np.testing.assert_allclose(parts.control_group_split.sum(axis=0), found.control_group_r, atol=1e-5)


def test_a_draw_is_a_resampled_test_set() -> None:
    data = study(3)
    X, Y, train, test = data["X"], data["Y"], data["train"], data["test"]
    banded = BandedRidge((1.0, 100.0), 4, dtype="float64").fit([x[train] for x in X], Y[train])
    groups = [np.arange(7), np.r_[5:60], np.array([], dtype=int)]  # they overlap, and one is empty
    parts, n = partition(banded, [x[test] for x in X], Y[test], groups, n_draws=5, seed=9), len(test)
    for draw, count in enumerate(np.random.default_rng(9).multinomial(n, np.full(n, 1 / n), size=5)):
        rows = np.repeat(test, count)
        split = banded.split_scores([x[rows] for x in X], Y[rows])
        for k in range(2):
            np.testing.assert_allclose(parts.group_draws[draw, :, k], split[:, groups[k]].mean(axis=1), atol=1e-8)
    assert np.isnan(parts.group_draws[:, :, 2]).all()
    assert parts.control_split is None


@pytest.mark.parametrize(("metric", "n", "least"), [("r2", 60, 0.87), ("r", 12, 0.93)])
def test_intervals_hold_the_score_of_other_test_sets(metric: str, n: int, least: float, rng) -> None:
    """Of 95 % not moved to the score, the joint one holds it in 78 % of test sets of 60; r of 12, not widened, 90 %."""
    groups, weights = {"all": np.arange(10)}, [rng.normal(size=(WIDTH, 10)) for _ in range(2)]

    def drawn(n: int) -> tuple[list[np.ndarray], np.ndarray]:
        Xs = [rng.normal(size=(n, WIDTH)) for _ in weights]
        return Xs, sum(X @ w for X, w in zip(Xs, weights, strict=True)) + 4 * rng.normal(size=(n, 10))

    fit = BandedRidge(n_candidates=6, dtype="float64", metric=metric).fit(*drawn(200))
    parts = fit.split_scores(*drawn(100_000)).mean(axis=1)
    truth, held = np.append(parts, parts.sum()), []
    for k in range(200):
        table = partition(fit, *drawn(n), [groups["all"]], n_draws=200, seed=k).table(groups, "ab", np.ones(10), 0.95)
        held.append((table["low"] < truth) & (truth < table["high"]))
    assert (np.mean(held, axis=0) > least).all()


def test_one_list_for_one_kind_of_encoder() -> None:
    data = study()
    refused(r"X is a list of 2 arrays, but Ridge is fitted on one", evaluate_held_out, Ridge((1.0,)), **data)
    refused("for one array use Ridge", evaluate_held_out, BandedRidge((1.0,)), **data | {"X": data["X"][0]})
    short = data | {"X": [data["X"][0], data["X"][1][:3]]}
    refused(r"X\[1\] has 3 rows", evaluate_held_out, BandedRidge((1.0,)), **short)
    assert evaluate_held_out(Ridge((1.0,)), **data | {"X": data["X"][0]}, n_permutations=0).partition is None


RUNS = np.repeat(["b", "a", "c"], [7, 2, 5])
MANY = np.repeat(["d", "b", "e", "a"], [50, 5, 40, 30])  # the second not longer than the largest delay


def written_out(X: np.ndarray, delays: tuple[int, ...], runs: np.ndarray) -> np.ndarray:
    return pd.DataFrame(X).groupby(runs).shift([*delays], fill_value=0).to_numpy()


def drawn(n_features: int, delays: tuple[int, ...], runs: np.ndarray = MANY) -> tuple[np.ndarray, ...]:
    """Features with a mean, the design written out, and responses."""
    rng = np.random.default_rng(n_features)
    X = rng.normal(size=(len(runs), n_features)) + 3
    design = written_out(X, delays, runs)
    Y = design @ rng.normal(size=(design.shape[1], 6)) / np.sqrt(design.shape[1])
    return X, design, Y + rng.normal(size=Y.shape)


@pytest.mark.parametrize("delays", [(0, 1, 3), (-2, 0), (6, 7), (2,)])
def test_designs_are_those_written_out(delays: tuple[int, ...]) -> None:
    """Runs of unequal length, one not longer than a delay; nothing crosses from run to run."""
    X = np.random.default_rng(0).normal(size=(14, 3))
    design, expected = DelayedFeatures(X, delays, RUNS), written_out(X, delays, RUNS)
    np.testing.assert_array_equal(design.rows()[:].numpy(), expected)
    np.testing.assert_array_equal(design[RUNS != "a"].rows()[:].numpy(), expected[RUNS != "a"])
    assert design.shape == expected.shape


@pytest.mark.parametrize("options", [{"groups": MANY}, {"groups": MANY, "sample_weight": np.arange(125) % 4}, {}])
@pytest.mark.parametrize("n_features", [6, 70])  # fewer columns than rows, and more
@pytest.mark.parametrize("delays", [(1, 2, 3), (-6, 0, 4)])
def test_ridge_is_that_of_a_design_written_out(delays, n_features: int, options: dict[str, Any]) -> None:
    X, explicit, Y = drawn(n_features, delays)
    design = DelayedFeatures(X, delays, MANY)
    mine, theirs = (Ridge(dtype="float64").fit(Z, Y, **options) for Z in (design, explicit))
    np.testing.assert_allclose(mine.cv_scores_, theirs.cv_scores_, atol=1e-9)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, atol=1e-9)
    held = np.isin(MANY, ["b"])
    np.testing.assert_allclose(mine.predict(design[held]), theirs.predict(explicit[held]), atol=1e-9)


def test_bands_are_those_written_out() -> None:
    bands, (_, design, Y) = ((1, 2), (0, -1, 6)), drawn(5, (1, 2))
    Xs = [drawn(5, bands[0])[0], drawn(50, bands[1])[0]]
    delayed = [DelayedFeatures(X, delays, MANY) for X, delays in zip(Xs, bands, strict=True)]
    explicit = [design, written_out(Xs[1], bands[1], MANY)]
    options = {"n_candidates": 5, "cv": "groups", "dtype": "float64"}
    mine, theirs = (BandedRidge(**options).fit(Z, Y, groups=MANY) for Z in (delayed, explicit))
    np.testing.assert_array_equal(mine.deltas_, theirs.deltas_)
    np.testing.assert_allclose(mine.predict(delayed), theirs.predict(explicit), atol=1e-8)
    np.testing.assert_allclose(mine.split_scores(delayed, Y), theirs.split_scores(explicit, Y), atol=1e-8)


def test_lags_have_the_weights_of_receptive_fields_within_runs() -> None:
    """MNE has no intercept: silent ends of runs leave all lags of centred features a mean of zero."""
    rng, lags, shape = np.random.default_rng(0), np.arange(-3, 9), (4, 200, 3)  # runs, samples, features
    X = np.zeros(shape)
    X[:, 8:-8] = rng.normal(size=(4, 184, 3))
    X[:, 8:-8] -= X[:, 8:-8].mean(axis=(0, 1))
    Y = np.roll(X, 5, axis=1) + rng.normal(size=shape)
    Y -= Y.mean(axis=(0, 1))
    theirs = ReceptiveField(-3 / 64, 8 / 64, 64, estimator=20.0).fit(X.swapaxes(0, 1), Y.swapaxes(0, 1)).coef_
    design = DelayedFeatures(X.reshape(800, 3), lags, np.repeat(np.arange(4), 200))
    mine = Ridge(alphas=20.0).fit(design, Y.reshape(800, 3)).coef_
    np.testing.assert_allclose(mine.reshape(12, 3, 3), theirs.transpose(2, 1, 0), atol=2e-6)
    refused("rows of a run do not stand together", DelayedFeatures, np.ones((3, 1)), (0,), ["a", "b", "a"])
    refused("14", DelayedFeatures, np.ones((3, 1)), (0,), RUNS)
    design = DelayedFeatures(np.ones((14, 1)), (0, 1), RUNS)
    refused("b are chosen in part", design.__getitem__, np.arange(14) < 3)
    refused("give a mask", design.__getitem__, slice(7))
    refused("whole rows, not in seconds", DelayedFeatures, np.ones((14, 1)), (2.0, 4.0), RUNS)
    refused("NaN", Ridge().fit, DelayedFeatures(np.full((14, 1), np.nan), (0, 1), RUNS), np.eye(14))
