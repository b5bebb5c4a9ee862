import numpy as np
import pytest
from refusals import refused
from scipy.stats import t
from sklearn import linear_model
from sklearn.model_selection import GridSearchCV, GroupKFold

import brainalign.geometry as g
from brainalign.encoding import Ridge
from brainalign.features import LatentDynamics
from brainalign.features.latent_dynamics import PENALTIES
from brainalign.geometry.dynamics.future_prediction import _summary
from brainalign.simulation import ball_features, ball_future, occluded_ball

RING = (np.roll(np.eye(8), 1, axis=1) + np.roll(np.eye(8), -1, axis=1)) / 2


def ridge() -> Ridge:
    return Ridge(alphas=(0.1, 10.0, 1000.0), cv=3, device="cpu", dtype="float64")


@pytest.fixture(scope="module")
def world():
    return occluded_ball(18, 18, 6, 4, n_videos=8, n_silent=1, noise=0.5, seed=10)


@pytest.fixture(scope="module")
def law(world) -> np.ndarray:
    return g.roll_out(ball_features(world.frames), world.visible, ball_future)


def test_hidden_frames_are_simulated_from_the_frames_before_and_no_other(world) -> None:
    features, calls = ball_features(world.frames), []

    def simulate(context: np.ndarray, n_steps: int) -> np.ndarray:
        calls.append((context.shape, n_steps))
        return g.constant_velocity(context, n_steps)

    found = g.roll_out(np.where(world.visible[:, :, None], features, np.nan), world.visible, simulate, n_context=5)
    assert (sum(shape[0] for shape, _ in calls), {shape[1] for shape, _ in calls}) == (18, {5})
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
    refused(r"simulate returned has shape .* it must return", g.roll_out, f, v, lambda c, n: c, 7)
    refused("it diverged", g.roll_out, f, v, lambda c, n: np.full((len(c), n, 4), np.nan), 7)
    refused("give a smaller context", g.roll_out, f, v, g.constant_velocity, 11)
    refused("hidden more than once", g.roll_out, f, np.arange(18) % 9 != np.full((18, 1), 8), g.constant_velocity, 2)
    refused("but the visible mask has", g.roll_out, f[0], v, g.constant_velocity, 7)
    refused("n_context must be 2 or more", g.roll_out, f, v, g.constant_velocity, 1)
    refused("two repeats or more", g.score_dynamics, {"law": law}, world.neural[..., :1], v, ridge())
    refused("features of law", g.score_dynamics, {"law": law * np.nan}, world.neural, v, ridge())
    refused("law has features of shape", g.score_dynamics, {"law": law[:, :-1]}, world.neural, v, ridge())
    still = LatentDynamics("identity", n_context=4).fit(f).simulate(f[:, :4], 3)
    np.testing.assert_allclose(still, np.repeat(f[:, 3:4], 3, axis=1), atol=1e-5)
    refused("give .n, 4,", LatentDynamics("identity", n_context=4).fit(f).simulate, f[:, :5], 3)
    constant = LatentDynamics("mlp", n_context=4, n_steps=2).fit(f * [*[1.0] * (f.shape[2] - 1), 0] + 0.7)
    assert np.abs(constant.simulate(f[:, :4], 3)).max() < 100  # though a unit that was constant moves
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


def test_few_noisy_videos_are_learned_from_with_noise_and_clean_ones_without(rng: np.random.Generator) -> None:
    angles = rng.uniform(0, 7, (60, 1, 2)) + np.arange(9)[:, None] * [0.3, 0.6]
    clean = np.concatenate([np.cos(angles), np.sin(angles)], axis=2) @ rng.normal(size=(4, 20)) / np.sqrt(2)
    seen = clean + 0.5 * rng.normal(size=clean.shape)
    chosen, without = (LatentDynamics(n_context=4, n_steps=200, jitter=jitter).fit(seen[:12]) for jitter in (None, 0.0))
    errors = [np.mean((one.simulate(seen[12:, :4], 5) - clean[12:, 4:]) ** 2) for one in (chosen, without)]
    assert errors[0] < 0.92 * errors[1]  # .76 to .89 of eight seeds
    worlds = [occluded_ball(16, 16, 4, 2, n_videos=60, side=8, seed=seed).training_frames for seed in range(2)]
    balls, others = map(ball_features, worlds)
    mlp, linear = (LatentDynamics(head, n_steps=200).fit(balls) for head in ("mlp", "linear"))
    assert (chosen.jitter_, mlp.jitter_, linear.jitter_) == (0.3, 0.0, 0.0)
    errors = [np.mean((one.simulate(others[:, :7], 9) - others[:, 7:]) ** 2) for one in (mlp, linear)]
    assert errors[0] < 0.8 * errors[1]  # a wall is not linear: .51 to .97 of six seeds
    linear = LatentDynamics("linear", n_context=4).fit(clean[:12])
    np.testing.assert_allclose(linear.simulate(clean[12:, :4], 5), clean[12:, 4:], atol=1e-5)
    z = (seen - seen.mean(axis=(0, 1))) / seen.std(axis=(0, 1))
    before, change = np.stack([z[:, k : k + 4] for k in range(5)], axis=1).reshape(300, 80), np.diff(z[:, 3:], axis=1)
    tried = GridSearchCV(linear_model.Ridge(), {"alpha": PENALTIES * before.size}, cv=GroupKFold(5), scoring="r2")
    tried.fit(before, change.reshape(300, 20), groups=np.arange(60).repeat(5))
    step = LatentDynamics("linear", n_context=4).fit(seen).simulate(seen[:, -4:], 1)[:, 0] - seen[:, -1]
    np.testing.assert_allclose(step / seen.std(axis=(0, 1)), tried.predict(z[:, -4:].reshape(60, 80)), atol=1e-6)


def test_frames_after_the_end_are_left_out_and_the_law_agrees_while_all_is_seen(world, law) -> None:
    shorter = world.neural.copy()
    shorter[:6, 16:] = np.nan
    found = g.score_dynamics({"law": law}, shorter, world.visible, ridge(), folds=3, n_permutations=4).models
    assert found.set_index("epoch").loc["occluded", "n_frames"] == (~world.visible).sum() - 12
    assert found["n_dropped"].tolist() == [1, 1]
    assert (found["r"] > found["null_95"]).all()
    moved = shorter + 9 * ~world.visible[..., None, None]  # neurons that answer to being hidden
    again = g.score_dynamics({"law": law}, moved, world.visible, ridge(), folds=3, n_permutations=4).models
    np.testing.assert_allclose(again["null_mean"], found["null_mean"], atol=1e-6)
    assert g.movie_agreement({"law": law}, shorter, world.visible, n_permutations=5)["time"].max() == 15
    models = {"law": law, "time": g.time_features(18, 18)}
    found = g.movie_agreement(models, world.neural, world.visible, n_permutations=19, seed=3)
    rows = found[found["model"] == "law"].set_index("time").loc[:12]
    assert ((rows["score"] > 0.4) & (rows["p_fwer"] == 0.05)).all()
    assert found[found["model"] == "time"]["score"].isna().all()
    scaled = world.neural * np.array([1, 9, 1, 1, 30, 2])[:, None]
    again = g.movie_agreement(models, np.concatenate([scaled, 0 * scaled], axis=2), world.visible, n_permutations=1)
    np.testing.assert_allclose(again["score"], found["score"])  # neither units nor silent neurons count
    assert g.movie_agreement(models, world.neural[..., [0, 0]], world.visible, n_permutations=1)["score"].notna().any()


def test_intervals_over_folds_allow_for_what_folds_share() -> None:
    by_fold = np.random.default_rng(0).normal(size=7)
    reach = t.ppf(0.95, 6) * by_fold.std(ddof=1) * np.sqrt(1 / 7 + 1 / 6)
    np.testing.assert_allclose([*_summary(by_fold, 0.9).values()], by_fold.mean() + np.array([0, -reach, reach]))


def test_visits_are_a_discounted_sum_of_powers_and_rings_grow_in_one_order() -> None:
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
    slow, fast = g.successor_rdm(RING, 0.5), g.successor_rdm(RING, 0.9)
    assert g.compare(slow, fast, "spearman")[0, 0] > 1 - 1e-9
    assert g.compare(slow, fast, "pearson")[0, 0] < 0.99
    assert np.ptp(g.successor_rdm(RING, 0.0)) < 1e-12
    features = np.random.default_rng(1).normal(size=(8, 3))
    found = g.successor_rdm(RING, 0.5, features=features, ahead=True, distance="correlation")
    np.testing.assert_allclose(found, g.rdm((RING @ np.linalg.inv(np.eye(8) - 0.5 * RING)) @ features, "correlation"))


def test_checkpoints_are_compared_one_by_one(rng: np.random.Generator) -> None:
    modules = {"a": rng.normal(size=(2, 8, 5)), "b": np.stack([g.successor_representation(RING, 0.8)] * 2)}
    references = {str(gamma): g.successor_rdm(RING, gamma) for gamma in (0.0, 0.5, 0.8)}
    found = g.compare_checkpoints(modules, references, [0.1, 0.4], n_permutations=39)
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
