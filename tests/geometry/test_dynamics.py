"""Scores of models that see and models that expect: shapes, counts, folds, missing frames, nulls."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.condensed import square_rdms
from brainalign.encoding import Ridge
from brainalign.features import LatentDynamics
from brainalign.geometry import (
    at_equal_return,
    compare,
    compare_checkpoints,
    constant_velocity,
    movie_agreement,
    participation_ratio,
    rankme,
    rdm,
    roll_out,
    score_dynamics,
    successor_rdm,
    successor_representation,
    time_features,
)
from brainalign.simulation import ball_features, ball_future, occluded_ball
from brainalign.statistics import cross_validated_interval, noise_ceiling


def ridge() -> Ridge:
    return Ridge(alphas=(0.1, 10.0, 1000.0), cv=3, device="cpu", dtype="float64")


@pytest.fixture(scope="module")
def world():
    return occluded_ball(18, 18, 6, 4, n_videos=8, n_silent=1, noise=0.5, seed=10)


@pytest.fixture(scope="module")
def law(world) -> np.ndarray:
    return roll_out(ball_features(world.frames), world.visible, ball_future)


def test_hidden_frames_are_simulated_from_the_frames_before_and_no_other(world) -> None:
    features = ball_features(world.frames)
    spoiled = np.where(world.visible[:, :, None], features, np.nan)
    calls = []

    def simulate(context: np.ndarray, n_steps: int) -> np.ndarray:
        calls.append((context.shape, n_steps))
        return constant_velocity(context, n_steps)

    found = roll_out(spoiled, world.visible, simulate, n_context=5)
    assert sum(shape[0] for shape, _ in calls) == 18
    assert {shape[1] for shape, _ in calls} == {5}
    np.testing.assert_array_equal(found[world.visible], features[world.visible])
    for condition in range(18):
        start = world.visible[condition].sum()
        last, before = features[condition, start - 1], features[condition, start - 2]
        np.testing.assert_allclose(found[condition, start + 2], last + 3 * (last - before))


def test_a_ball_that_comes_back_is_seen_again() -> None:
    features = np.arange(20.0)[None, :, None].repeat(2, axis=0)
    visible = np.ones((2, 20), dtype=bool)
    visible[0, 8:12] = False
    found = roll_out(features, visible, lambda context, n: np.zeros((len(context), n, 1)))
    assert (found[0, 8:12] == 0).all()
    np.testing.assert_array_equal(found[0, 12:], features[0, 12:])
    np.testing.assert_array_equal(found[1], features[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, v: (f, v, lambda c, n: c, 7), r"simulate returned shape .* it must return"),
        (lambda f, v: (f, v, lambda c, n: np.full((len(c), n, 4), np.nan), 7), "it diverged"),
        (lambda f, v: (f, v, constant_velocity, 11), "give a smaller context"),
        (lambda f, v: (f, np.arange(18) % 9 != np.full((18, 1), 8), constant_velocity, 2), "hidden more than once"),
        (lambda f, v: (f[0], v, constant_velocity, 7), "but the visible mask has"),
        (lambda f, v: (f, v, constant_velocity, 1), "n_context must be 2 or more"),
    ],
)
def test_what_cannot_be_rolled_out_says_why(world, change, message: str) -> None:
    refused(message, roll_out, *change(ball_features(world.frames), world.visible))


@pytest.mark.parametrize("fit_on", ["epoch", "visible"])
def test_each_number_is_what_it_says(world, law, fit_on: str) -> None:
    """From the definitions, with regressions that nobody exchanged and with those of exchanged conditions."""
    time = np.concatenate([time_features(18, 18), np.ones((18, 18, 1))], axis=2)  # and a constant, which does no harm
    options = {"folds": 3, "n_permutations": 4, "seed": 5, "fit_on": fit_on, "confidence": 0.8}
    found = score_dynamics({"law": law, "time": time}, world.neural, world.visible, ridge(), **options)
    rng = np.random.default_rng(5)
    parts = np.array_split(rng.permutation(18), 3)
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
            folds += [(name, epoch, k, by_fold[k]) for k in range(3)]
            p = (1 + np.sum(np.array(null) >= same)) / 5
            numbers = (r.mean(), np.mean(null), np.quantile(null, 0.95), p, kept.sum(), (~kept).sum(), 18, scored.sum())
            models.append((name, epoch, by_fold.mean(), np.nan, np.nan, *numbers))  # three folds make no interval
    columns = ["model", "epoch", "neuron", "reliability", "r", "r_normalized"]
    check = {"rtol": 1e-6, "atol": 1e-6, "check_dtype": False}
    pd.testing.assert_frame_equal(found.neurons, pd.DataFrame(neurons, columns=columns), **check)
    columns = ["model", "epoch", "fold", "r_normalized"]
    pd.testing.assert_frame_equal(found.folds, pd.DataFrame(folds, columns=columns), **check)
    columns = ["model", "epoch", "r_normalized", "low", "high", "r", "null_mean", "null_95", "p"]
    columns += ["n_neurons", "n_dropped", "n_conditions", "n_frames"]
    pd.testing.assert_frame_equal(found.models, pd.DataFrame(models, columns=columns), **check)
    assert found.models["n_dropped"].tolist() == [1, 1, 1, 1]


def test_the_law_follows_hidden_balls_and_nothing_follows_time(world, law) -> None:
    models = {"law": law, "time": time_features(18, 18)}
    for fit_on in ("epoch", "visible"):
        found = score_dynamics(models, world.neural, world.visible, ridge(), fit_on=fit_on, n_permutations=39)
        rows = found.models.set_index(["model", "epoch"])
        assert rows.loc[("law", "occluded"), "r_normalized"] > 0.85
        assert rows.loc[("law", "occluded"), "p"] == 1 / 40
        assert rows.loc[("law", "occluded"), "null_95"] < 0.5
        folds = found.folds.query("model == 'law' and epoch == 'occluded'")["r_normalized"].to_numpy()
        interval = cross_validated_interval(folds, 1 / 5, 0.95)
        assert rows.loc[("law", "occluded"), ["low", "high"]].tolist() == [interval.low, interval.high]
        assert abs(rows.loc[("time", "occluded"), "r_normalized"]) < 0.25
        time = rows.loc[("time", "occluded")]
        assert time["null_mean"] == pytest.approx(time["r_normalized"], abs=0.15)  # exchanged or not, time is time
        assert time["p"] > 0.05
    assert found.folds.groupby(["model", "epoch"])["fold"].count().eq(6).all()


def test_frames_after_the_end_of_a_trial_are_left_out(world, law) -> None:
    shorter = world.neural.copy()
    shorter[:6, 16:] = np.nan
    found = score_dynamics({"law": law}, shorter, world.visible, ridge(), n_permutations=5)
    rows = found.models.set_index("epoch")
    assert rows.loc["occluded", "n_frames"] == (~world.visible).sum() - 12
    assert movie_agreement({"law": law}, shorter, world.visible, n_permutations=5)["time"].max() == 15


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ((0, 3, 1, slice(None)), "NaN in some neurons or repeats of 1 frames .first: condition 0, frame 3."),
        ((0, slice(2, 4)), "NaN before the end of a trial"),
        ((0,), "NaN before the end of a trial"),
    ],
)
def test_missing_values_anywhere_else_are_refused(world, law, place, message: str) -> None:
    spoiled = world.neural.copy()
    spoiled[place] = np.nan
    refused(message, score_dynamics, {"law": law}, spoiled, world.visible, ridge())


def test_what_cannot_be_scored_says_why(world, law) -> None:
    refused("two repeats or more", score_dynamics, {"law": law}, world.neural[..., :1], world.visible, ridge())
    with pytest.raises(BrainalignError, match=r"no neuron of 6 has a reliability of 0.999 or more in occluded frames"):
        score_dynamics({"law": law}, world.neural, world.visible, ridge(), min_reliability=0.999)
    refused("features of law", score_dynamics, {"law": np.full_like(law, np.nan)}, world.neural, world.visible, ridge())
    refused("law has features of shape", score_dynamics, {"law": law[:, :-1]}, world.neural, world.visible, ridge())
    with pytest.raises(BrainalignError, match="folds must be 2 to the number of conditions"):
        score_dynamics({"law": law}, world.neural, world.visible, ridge(), folds=19)


def test_neurons_are_predicted_by_other_conditions_alone(world, law) -> None:
    """One feature per condition tells everything about training conditions, nothing about others."""
    own = np.repeat(np.eye(18)[:, None], 18, axis=1)
    found = score_dynamics({"own": own}, world.neural, world.visible, ridge(), n_permutations=5)
    assert (found.models["r_normalized"].abs() < 0.1).all()


def test_movies_agree_frame_by_frame(world, law) -> None:
    models = {"law": law, "time": time_features(18, 18)}
    found = movie_agreement(models, world.neural, world.visible, n_permutations=19, seed=3)
    rows = found[found["model"] == "law"].set_index("time")
    rng = np.random.default_rng(3)
    orders = [np.arange(18), *(rng.permutation(18) for _ in range(19))]
    scores = np.empty((20, 18))
    labels = np.repeat(np.arange(18), 4), np.tile(np.arange(4), 18)
    for time in range(18):
        trials = np.moveaxis(world.neural[:, time], 2, 1).reshape(72, 6)  # of every condition its repeats in turn
        square = square_rdms(rdm(law[:, time], "euclidean"))
        moved = np.stack([square[np.ix_(order, order)][np.triu_indices(18, 1)] for order in orders])
        scores[:, time] = compare(moved, rdm(trials, "crossnobis", *labels), "spearman")[:, 0]
    observed, null = scores[0], scores[1:]
    np.testing.assert_allclose(rows["score"], observed)
    np.testing.assert_allclose(rows["null_95"], np.quantile(null, 0.95, axis=0))
    np.testing.assert_allclose(rows["p"], (1 + (null >= observed).sum(axis=0)) / 20)
    np.testing.assert_allclose(rows["p_fwer"], (1 + (null.max(axis=1)[:, None] >= observed).sum(axis=0)) / 20)
    np.testing.assert_allclose(rows["hidden"], (~world.visible).mean(axis=0))
    assert (rows.loc[:12, "score"] > 0.4).all()
    assert (rows.loc[:12, "p_fwer"] == 0.05).all()
    assert found[found["model"] == "time"]["score"].isna().all()


def test_dynamics_learn_a_rotation_and_identity_learns_nothing() -> None:
    t = np.arange(16)[None] + np.random.default_rng(0).uniform(0, 40, size=(60, 1))
    videos = np.stack([3 + np.sin(t / 4), np.cos(t / 4), 0 * t], axis=2)  # one feature never changes
    options = {"n_context": 4, "width": 16, "learning_rate": 2e-2}
    for head in ("mlp", "lstm", "ctrnn"):
        model = LatentDynamics(head, n_steps=60, **options).fit(videos[:40])
        found = model.simulate(videos[40:, :4], 8)
        error = np.sqrt(np.mean((found - videos[40:, 4:12]) ** 2))
        untrained = LatentDynamics(head, n_steps=0, **options).fit(videos[:40])
        assert error < 0.3
        assert np.sqrt(np.mean((untrained.simulate(videos[40:, :4], 8) - videos[40:, 4:12]) ** 2)) > 2 * error
        assert np.ptp(found[:, :, 2]) < 0.3
    again = LatentDynamics(head, n_steps=60, **options).fit(videos[:40])
    np.testing.assert_array_equal(again.losses_, model.losses_)
    still = LatentDynamics("identity", n_context=4).fit(videos).simulate(videos[:, :4], 3)
    np.testing.assert_allclose(still, np.repeat(videos[:, 3:4], 3, axis=1), atol=1e-5)
    refused("more than the 4 frames of the context", LatentDynamics("mlp", n_context=4).fit, videos[:, :4])


RING = (np.roll(np.eye(8), 1, axis=1) + np.roll(np.eye(8), -1, axis=1)) / 2


def test_visits_are_a_discounted_sum_of_powers() -> None:
    P = np.random.default_rng(0).dirichlet(np.ones(6), size=6)
    powers = sum(0.7**k * np.linalg.matrix_power(P, k) for k in range(200))
    np.testing.assert_allclose(successor_representation(P, 0.7), powers, atol=1e-10)
    np.testing.assert_allclose(successor_representation(P, 0.7, ahead=True), P @ powers, atol=1e-10)
    np.testing.assert_allclose(successor_representation(P, 0.7).sum(axis=1), 1 / 0.3)


def test_dissimilarities_of_a_ring_grow_with_distance_in_one_order() -> None:
    slow, fast = successor_rdm(RING, 0.5), successor_rdm(RING, 0.9)
    assert compare(slow, fast, "spearman")[0, 0] > 1 - 1e-9
    assert compare(slow, fast, "pearson")[0, 0] < 0.99
    assert np.ptp(successor_rdm(RING, 0.0)) < 1e-12
    features = np.random.default_rng(1).normal(size=(8, 3))
    np.testing.assert_allclose(
        successor_rdm(RING, 0.5, features=features, ahead=True, distance="correlation"),
        rdm(RING @ np.linalg.inv(np.eye(8) - 0.5 * RING) @ features, "correlation"),
    )


@pytest.mark.parametrize(
    ("P", "gamma", "message"),
    [
        (RING[:4], 0.5, "give .n_states, n_states."),
        (2 * RING, 0.5, "row 0 adds up to 2"),
        (RING - np.eye(8) + np.roll(np.eye(8), 3, axis=1), 0.5, "no probabilities"),
        (RING, 1.0, "gamma must be 0 or more and below 1"),
    ],
)
def test_what_is_no_policy_is_refused(P, gamma: float, message: str) -> None:
    refused(message, successor_representation, P, gamma)


def test_checkpoints_are_compared_one_by_one() -> None:
    rng = np.random.default_rng(0)
    modules = {"a": rng.normal(size=(2, 8, 5)), "b": np.stack([successor_representation(RING, 0.8)] * 2)}
    references = {str(gamma): successor_rdm(RING, gamma) for gamma in (0.0, 0.5, 0.8)}
    found = compare_checkpoints(modules, references, [0.1, 0.4], n_permutations=39)
    assert len(found) == 2 * 2 * 3
    row = found[(found["module"] == "a") & (found["checkpoint"] == 1) & (found["reference"] == "0.5")].iloc[0]
    expected = np.corrcoef(rdm(modules["a"][1], "euclidean"), references["0.5"])[0, 1]
    assert row["score"] == pytest.approx(expected)
    assert row["return"] == 0.4
    assert row["participation_ratio"] == pytest.approx(participation_ratio(modules["a"][1]))
    assert row["rankme"] == pytest.approx(rankme(modules["a"][1]))
    mine = found[found["module"] == "b"].groupby("reference")["score"].first()
    assert mine["0.8"] == pytest.approx(1)
    assert np.isnan(mine["0.0"])  # every state is as far from every other
    assert found[(found["module"] == "b") & (found["reference"] == "0.8")]["p"].eq(1 / 40).all()
    refused("give one return per checkpoint", compare_checkpoints, modules, references, [0.1])
    refused("both must have the same states", compare_checkpoints, {"a": modules["a"][:, :7]}, references, [0.1, 0.4])


def test_agents_are_compared_when_they_earn_the_same() -> None:
    returns = {"slow": [0.0, 0.2, 0.5, 0.6], "fast": [0.4, 0.9, 0.8, 0.7]}
    assert at_equal_return(returns) == {"slow": 3, "fast": 1}
    assert at_equal_return(returns, 0.3) == {"slow": 2, "fast": 0}
    refused(r"slow never earns 0.8 \(its best is 0.6\)", at_equal_return, returns, 0.8)
