"""Scores of models that see and models that expect: shapes, counts, folds, missing frames, nulls."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.checks import BrainalignError
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
from brainalign.statistics import noise_ceiling


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


def test_each_number_is_what_it_says(world, law) -> None:
    """One neuron and one fold by hand, from the definitions."""
    found = score_dynamics({"law": law}, world.neural, world.visible, ridge(), folds=3, n_permutations=5)
    hidden = ~world.visible
    repeats = np.moveaxis(world.neural[hidden], 2, 0)
    rows = found.neurons[found.neurons["epoch"] == "occluded"].set_index("neuron")
    np.testing.assert_allclose(rows["reliability"], noise_ceiling(repeats, n_averaged=4))
    np.testing.assert_allclose(
        rows["r_normalized"].iloc[:5], rows["r"].iloc[:5] / np.sqrt(rows["reliability"].iloc[:5])
    )
    measured = world.neural.mean(axis=3)
    r = []
    for part in np.array_split(np.random.default_rng(0).permutation(18), 3):
        rest = np.setdiff1d(np.arange(18), part)
        train = hidden.copy()
        train[part] = False
        mean, sd = law[train].mean(axis=0), law[train].std(axis=0)
        groups = np.nonzero(train)[0]
        fit = ridge().fit((law[train] - mean) / sd, measured[train][:, :5], groups=groups)
        assert set(groups) == set(rest)
        test = np.concatenate([law[c, hidden[c]] for c in part])
        truth = np.concatenate([measured[c, hidden[c]] for c in part])
        predicted = fit.predict((test - mean) / sd)
        r.append([np.corrcoef(predicted[:, k], truth[:, k])[0, 1] for k in range(5)])
    np.testing.assert_allclose(rows["r"].iloc[:5], np.mean(r, axis=0), atol=1e-6)
    summary = found.models.set_index("epoch").loc["occluded"]
    assert (summary["n_neurons"], summary["n_dropped"], summary["n_conditions"]) == (5, 1, 18)
    assert summary["n_frames"] == hidden.sum()
    assert np.isnan(summary["low"])  # three folds make no interval
    assert np.isnan(rows["r_normalized"].iloc[5])


def test_the_law_follows_hidden_balls_and_nothing_follows_time(world, law) -> None:
    models = {"law": law, "time": time_features(18, 18)}
    for fit_on in ("epoch", "visible"):
        found = score_dynamics(models, world.neural, world.visible, ridge(), fit_on=fit_on, n_permutations=39)
        rows = found.models.set_index(["model", "epoch"])
        assert rows.loc[("law", "occluded"), "r_normalized"] > 0.85
        assert rows.loc[("law", "occluded"), "p"] == 1 / 40
        assert rows.loc[("law", "occluded"), "null_95"] < 0.5
        assert rows.loc[("law", "occluded"), "low"] < rows.loc[("law", "occluded"), "r_normalized"]
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
    found = movie_agreement(models, world.neural, world.visible, n_permutations=19)
    rows = found[found["model"] == "law"].set_index("time")
    means = world.neural.mean(axis=3)
    plain = compare(rdm(law[:, 5], "euclidean"), rdm(means[:, 5], "euclidean"), "spearman")[0, 0]
    assert rows.loc[5, "score"] == pytest.approx(plain, abs=0.05)  # there plain, here cross-validated
    assert (rows.loc[:12, "score"] > 0.4).all()
    assert (rows.loc[:12, "p_fwer"] == 0.05).all()
    assert (rows["null_95"] < 0.3).all()
    assert rows["hidden"].iloc[[0, -1]].tolist() == [0, 1]
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
