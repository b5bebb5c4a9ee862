"""Scores of models that see and models that expect: shapes, counts, folds, missing frames, nulls."""

import numpy as np
import pandas as pd
import pytest
from refusals import refused

import brainalign.geometry as g
from brainalign.condensed import square_rdms
from brainalign.encoding import Ridge
from brainalign.features import LatentDynamics
from brainalign.simulation import ball_features, ball_future, occluded_ball
from brainalign.statistics import cross_validated_interval, noise_ceiling


def ridge() -> Ridge:
    return Ridge(alphas=(0.1, 10.0, 1000.0), cv=3, device="cpu", dtype="float64")


@pytest.fixture(scope="module")
def world():
    return occluded_ball(18, 18, 6, 4, n_videos=8, n_silent=1, noise=0.5, seed=10)


@pytest.fixture(scope="module")
def law(world) -> np.ndarray:
    return g.roll_out(ball_features(world.frames), world.visible, ball_future)


def test_hidden_frames_are_simulated_from_the_frames_before_and_no_other(world) -> None:
    features = ball_features(world.frames)
    spoiled = np.where(world.visible[:, :, None], features, np.nan)
    calls = []

    def simulate(context: np.ndarray, n_steps: int) -> np.ndarray:
        calls.append((context.shape, n_steps))
        return g.constant_velocity(context, n_steps)

    found = g.roll_out(spoiled, world.visible, simulate, n_context=5)
    assert sum(shape[0] for shape, _ in calls) == 18
    assert {shape[1] for shape, _ in calls} == {5}
    np.testing.assert_array_equal(found[world.visible], features[world.visible])
    for condition in range(18):
        start = world.visible[condition].sum()
        last, before = features[condition, start - 1], features[condition, start - 2]
        np.testing.assert_allclose(found[condition, start + 2], last + 3 * (last - before))
    back = world.visible.copy()
    back[0], back[0, 8:12] = True, False  # one that comes back is seen again
    found = g.roll_out(features, back, lambda context, n: np.zeros((len(context), n, features.shape[2])))
    assert not found[0, 8:12].any()
    np.testing.assert_array_equal(found[back], features[back])


def test_what_cannot_be_rolled_out_or_scored_says_why(world, law) -> None:
    f, v = ball_features(world.frames), world.visible
    refused(r"simulate returned shape .* it must return", g.roll_out, f, v, lambda c, n: c, 7)
    refused("it diverged", g.roll_out, f, v, lambda c, n: np.full((len(c), n, 4), np.nan), 7)
    refused("give a smaller context", g.roll_out, f, v, g.constant_velocity, 11)
    twice = np.arange(18) % 9 != np.full((18, 1), 8)
    refused("hidden more than once", g.roll_out, f, twice, g.constant_velocity, 2)
    refused("but the visible mask has", g.roll_out, f[0], v, g.constant_velocity, 7)
    refused("n_context must be 2 or more", g.roll_out, f, v, g.constant_velocity, 1)
    refused("two repeats or more", g.score_dynamics, {"law": law}, world.neural[..., :1], v, ridge())
    refused("features of law", g.score_dynamics, {"law": law * np.nan}, world.neural, v, ridge())
    refused("law has features of shape", g.score_dynamics, {"law": law[:, :-1]}, world.neural, v, ridge())
    still = LatentDynamics("identity", n_context=4).fit(f).simulate(f[:, :4], 3)
    np.testing.assert_allclose(still, np.repeat(f[:, 3:4], 3, axis=1), atol=1e-5)
    refused("more than the 4 frames of the context", LatentDynamics("mlp", n_context=4).fit, f[:, :4])
    given = {"law": law}, world.neural, v, ridge()
    refused("no neuron of 6 has a reliability", g.score_dynamics, *given, min_reliability=0.999)
    refused("folds must be 2 to the number of conditions", g.score_dynamics, *given, folds=19)
    for place, message in (
        ((0, 3, 1), "1 frames .first: condition 0, frame 3."),
        ((0, slice(2, 4)), "NaN before the end of a trial"),
        ((0,), "NaN before the end of a trial"),
    ):
        spoiled = world.neural.copy()
        spoiled[place] = np.nan
        refused(message, g.score_dynamics, {"law": law}, spoiled, v, ridge())


@pytest.mark.parametrize(("fit_on", "n_folds"), [("epoch", 3), ("visible", 6)])
def test_each_number_is_what_it_says(world, law, fit_on: str, n_folds: int) -> None:
    """From the definitions, with regressions that nobody exchanged and with those of exchanged conditions."""
    time = np.concatenate([g.time_features(18, 18), np.ones((18, 18, 1))], axis=2)  # and a constant, which does no harm
    options = {"folds": n_folds, "n_permutations": 4, "seed": 5, "fit_on": fit_on, "confidence": 0.8}
    found = g.score_dynamics({"law": law, "time": time}, world.neural, world.visible, ridge(), **options)
    rng = np.random.default_rng(5)
    parts = np.array_split(rng.permutation(18), n_folds)
    orders = [np.arange(18), *(rng.permutation(18) for _ in range(4))]
    measured = world.neural.mean(axis=3)
    neurons, models, folds = [], [], []
    for epoch, scored in (("occluded", ~world.visible), ("visible", world.visible)):
        fitted = scored if fit_on == "epoch" else world.visible
        reliability = noise_ceiling(np.moveaxis(world.neural[scored], 2, 0), n_averaged=4, seed=5)
        kept = reliability >= 0.1
        for name, X in (("law", law), ("time", time)):
            scores = []
            for order in orders:
                Y, r = measured[order][:, :, kept], []
                for part in parts:
                    train = fitted.copy()
                    train[part] = False
                    mean, sd = X[train].mean(axis=0), X[train].std(axis=0)
                    sd[sd < 1e-9] = np.inf
                    fit = ridge().fit((X[train] - mean) / sd, Y[train], groups=np.nonzero(train)[0])
                    rows = [(c, t) for c in part for t in np.flatnonzero(scored[c])]
                    predicted = fit.predict((np.array([X[row] for row in rows]) - mean) / sd)
                    truth = np.array([Y[row] for row in rows])
                    r.append([np.corrcoef(predicted[:, k], truth[:, k])[0, 1] for k in range(truth.shape[1])])
                scores.append(np.array(r))
            r, scale = scores[0], np.sqrt(reliability[kept])
            same, *null = ((each.mean(axis=0) / scale).mean() for each in scores)
            own = np.full(len(kept), np.nan)
            own[kept] = r.mean(axis=0)
            normalized = np.where(kept, own / np.sqrt(np.maximum(reliability, 0.1)), np.nan)
            neurons += list(zip([name] * 6, [epoch] * 6, range(6), reliability, own, normalized, strict=True))
            by_fold = (r / scale).mean(axis=1)
            folds += [(name, epoch, k, by_fold[k]) for k in range(n_folds)]
            p = (1 + np.sum(np.array(null) >= same)) / 5
            numbers = (r.mean(), np.mean(null), np.quantile(null, 0.95), p, kept.sum(), (~kept).sum(), 18, scored.sum())
            low, high = np.nan, np.nan  # three folds make no interval
            if n_folds == 6:
                interval = cross_validated_interval(by_fold, 1 / 5, 0.8)
                low, high = interval.low, interval.high
            models.append((name, epoch, by_fold.mean(), low, high, *numbers))
    columns = ["model", "epoch", "neuron", "reliability", "r", "r_normalized"]
    check = {"rtol": 1e-6, "atol": 1e-6, "check_dtype": False}
    pd.testing.assert_frame_equal(found.neurons, pd.DataFrame(neurons, columns=columns), **check)
    columns = ["model", "epoch", "fold", "r_normalized"]
    pd.testing.assert_frame_equal(found.folds, pd.DataFrame(folds, columns=columns), **check)
    columns = ["model", "epoch", "r_normalized", "low", "high", "r", "null_mean", "null_95", "p"]
    columns += ["n_neurons", "n_dropped", "n_conditions", "n_frames"]
    pd.testing.assert_frame_equal(found.models, pd.DataFrame(models, columns=columns), **check)
    assert found.models["n_dropped"].tolist() == [1, 1, 1, 1]
    shorter = world.neural.copy()
    shorter[:6, 16:] = np.nan  # frames after the end of a trial are left out
    found = g.score_dynamics({"law": law}, shorter, world.visible, ridge(), **options).models.set_index("epoch")
    assert found.loc["occluded", "n_frames"] == (~world.visible).sum() - 12
    assert g.movie_agreement({"law": law}, shorter, world.visible, n_permutations=5)["time"].max() == 15


def test_movies_agree_frame_by_frame(world, law) -> None:
    models = {"law": law, "time": g.time_features(18, 18)}
    found = g.movie_agreement(models, world.neural, world.visible, n_permutations=19, seed=3)
    rows = found[found["model"] == "law"].set_index("time")
    rng = np.random.default_rng(3)
    orders = [np.arange(18), *(rng.permutation(18) for _ in range(19))]
    scores = np.empty((20, 18))
    labels = np.repeat(np.arange(18), 4), np.tile(np.arange(4), 18)
    for time in range(18):
        trials = np.moveaxis(world.neural[:, time], 2, 1).reshape(72, 6)  # of every condition its repeats in turn
        square = square_rdms(g.rdm(law[:, time], "euclidean"))
        moved = np.stack([square[np.ix_(order, order)][np.triu_indices(18, 1)] for order in orders])
        scores[:, time] = g.compare(moved, g.rdm(trials, "crossnobis", *labels), "spearman")[:, 0]
    observed, null = scores[0], scores[1:]
    np.testing.assert_allclose(rows["score"], observed)
    np.testing.assert_allclose(rows["null_95"], np.quantile(null, 0.95, axis=0))
    np.testing.assert_allclose(rows["p"], (1 + (null >= observed).sum(axis=0)) / 20)
    np.testing.assert_allclose(rows["p_fwer"], (1 + (null.max(axis=1)[:, None] >= observed).sum(axis=0)) / 20)
    np.testing.assert_allclose(rows["hidden"], (~world.visible).mean(axis=0))
    assert (rows.loc[:12, "score"] > 0.4).all()
    assert (rows.loc[:12, "p_fwer"] == 0.05).all()
    assert found[found["model"] == "time"]["score"].isna().all()


RING = (np.roll(np.eye(8), 1, axis=1) + np.roll(np.eye(8), -1, axis=1)) / 2


def test_visits_are_a_discounted_sum_of_powers() -> None:
    P = np.random.default_rng(0).dirichlet(np.ones(6), size=6)
    powers = sum(0.7**k * np.linalg.matrix_power(P, k) for k in range(200))
    np.testing.assert_allclose(g.successor_representation(P, 0.7), powers, atol=1e-10)
    np.testing.assert_allclose(g.successor_representation(P, 0.7, ahead=True), P @ powers, atol=1e-10)
    for wrong, gamma, message in (
        (RING[:4], 0.5, "give .n_states, n_states."),
        (2 * RING, 0.5, "row 0 adds up to 2"),
        (RING - np.eye(8) + np.roll(np.eye(8), 3, axis=1), 0.5, "no probabilities"),
        (RING, 1.0, "gamma must be 0 or more and below 1"),
    ):
        refused(message, g.successor_representation, wrong, gamma)


def test_dissimilarities_of_a_ring_grow_with_distance_in_one_order() -> None:
    slow, fast = g.successor_rdm(RING, 0.5), g.successor_rdm(RING, 0.9)
    assert g.compare(slow, fast, "spearman")[0, 0] > 1 - 1e-9
    assert g.compare(slow, fast, "pearson")[0, 0] < 0.99
    assert np.ptp(g.successor_rdm(RING, 0.0)) < 1e-12
    features = np.random.default_rng(1).normal(size=(8, 3))
    np.testing.assert_allclose(
        g.successor_rdm(RING, 0.5, features=features, ahead=True, distance="correlation"),
        g.rdm(RING @ np.linalg.inv(np.eye(8) - 0.5 * RING) @ features, "correlation"),
    )


def test_checkpoints_are_compared_one_by_one() -> None:
    rng = np.random.default_rng(0)
    modules = {"a": rng.normal(size=(2, 8, 5)), "b": np.stack([g.successor_representation(RING, 0.8)] * 2)}
    references = {str(gamma): g.successor_rdm(RING, gamma) for gamma in (0.0, 0.5, 0.8)}
    found = g.compare_checkpoints(modules, references, [0.1, 0.4], n_permutations=39)
    assert len(found) == 2 * 2 * 3
    row = found[(found["module"] == "a") & (found["checkpoint"] == 1) & (found["reference"] == "0.5")].iloc[0]
    expected = np.corrcoef(g.rdm(modules["a"][1], "euclidean"), references["0.5"])[0, 1]
    assert row["score"] == pytest.approx(expected)
    assert row["return"] == 0.4
    assert row["participation_ratio"] == pytest.approx(g.participation_ratio(modules["a"][1]))
    assert row["rankme"] == pytest.approx(g.rankme(modules["a"][1]))
    mine = found[found["module"] == "b"].groupby("reference")["score"].first()
    assert mine["0.8"] == pytest.approx(1)
    assert np.isnan(mine["0.0"])  # every state is as far from every other
    assert found[(found["module"] == "b") & (found["reference"] == "0.8")]["p"].eq(1 / 40).all()
    refused("give one return per checkpoint", g.compare_checkpoints, modules, references, [0.1])
    refused("both must have the same states", g.compare_checkpoints, {"a": modules["a"][:, :7]}, references, [0.1, 0.4])
    returns = {"slow": [0.0, 0.2, 0.5, 0.6], "fast": [0.4, 0.9, 0.8, 0.7]}
    assert g.at_equal_return(returns) == {"slow": 3, "fast": 1}
    assert g.at_equal_return(returns, 0.3) == {"slow": 2, "fast": 0}
    refused(r"slow never earns 0.8 \(its best is 0.6\)", g.at_equal_return, returns, 0.8)
