import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from refusals import killed, refused
from sklearn.base import clone
from sklearn.linear_model import Ridge as SklearnRidge
from worlds.small import linear_gaussian_reference

from brainalign.encoding import EmpiricalBayesRidge, InContextEncoder, WeightPrior, estimate_prior, in_context
from brainalign.encoding.in_context import NETWORKS, Episode, InContextNetwork, NetworkSize, Voxels, taken, unit_rows
from brainalign.encoding.in_context.study import InContextEnsemble, _group_means, scaling_curve
from brainalign.simulation import voxel_prior_world
from brainalign.statistics import explained_variance

WORLD = voxel_prior_world()
PRIOR = WeightPrior(WORLD.prior_mean, WORLD.prior_covariance)
BAD = {"network": "tiny", "context_sizes": (2, 10), "noise_ratio": (4.0, 0.5), "n_steps": (0, 0, 10)}
BAD |= {"prior": "flat", "units": "volts", "optimizer": "sgd"}


def voxels(n_images: int, n_voxels: int, seed: int, ratio: float = 1.5, **options: bool) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng([seed, 1])
    X, new, weights = WORLD.images(n_images, rng), WORLD.images(300, rng), WORLD.weights(n_voxels, rng, **options)
    noise = WORLD.noise_sd(weights, ratio) * rng.normal(size=(n_images, n_voxels))
    return X, X @ weights[:-1] + weights[-1] + noise, new, new @ weights[:-1] + weights[-1]


@pytest.fixture(scope="module")
def trained() -> InContextEncoder:
    encoder = InContextEncoder(n_steps=(0, 90, 0), context_sizes=(8, 40), n_voxels=48, fallback=False)
    return encoder.pretrain(WORLD.images(1000, np.random.default_rng(0)), PRIOR)


def test_fit_changes_no_weight_and_forgets_the_order(trained: InContextEncoder) -> None:
    X, Y, new, _ = voxels(30, 50, 2)
    before, first = trained.parameter_hash(), clone(trained).fit(X, Y)
    order = np.random.default_rng(3).permutation(30)
    second = clone(trained).fit(X[order], Y[order])
    assert np.abs(first.predict(new) - second.predict(new)).max() < 1e-4
    assert trained.parameter_hash() == first.parameter_hash() == second.parameter_hash() == before
    assert all(values.grad is None for values in first.network_.parameters())
    np.testing.assert_allclose(first.predict(new), new @ first.coef_ + first.intercept_, atol=1e-5)
    assert (first.coef_.shape, first.intercept_.shape) == ((16, 50), (50,))


def test_units_of_the_responses() -> None:
    """With the prior in other units, the same network gives the same weights in those; without units, in any."""
    X, Y = voxels(20, 10, 4)[:2]
    shown, read = torch.as_tensor(X).float().expand(10, -1, -1), torch.as_tensor(Y.T).float()
    covariance, images = torch.as_tensor(PRIOR.covariance), torch.as_tensor(X)
    read[0] = 2  # a silent voxel
    mean = torch.zeros(17, dtype=torch.float64)
    for knows_units in (True, False):
        network = InContextNetwork(16, NETWORKS["small"], knows_units=knows_units)
        network.count_in(mean, covariance, images)
        plain, other = network(shown, read), network(shown, 300 * read - 40)
        assert torch.allclose(other[:, :-1], 300 * plain[:, :-1], rtol=1e-3, atol=1e-2) is not knows_units
        network.count_in(torch.cat([mean[:-1], torch.tensor([-40.0])]), 300**2 * covariance, images)
        other = network(shown, 300 * read - 40)
        torch.testing.assert_close(other[:, :-1], 300 * plain[:, :-1], rtol=1e-3, atol=1e-2)
        torch.testing.assert_close(other[:, -1], 300 * plain[:, -1] - 40, rtol=1e-3, atol=1e-2)
    signal = WORLD.images(4000, np.random.default_rng(1)) @ WORLD.weights(2000, np.random.default_rng(2))[:-1]
    network.count_in(mean, covariance, torch.as_tensor(WORLD.images(4000, np.random.default_rng(3))))
    assert network.units[1] == pytest.approx(np.sqrt(signal.var(axis=0).mean()), rel=0.05)


def test_responses_in_other_units_blocks_and_torch(trained: InContextEncoder, monkeypatch) -> None:
    X, Y, _, _ = voxels(20, 10, 4)
    low, high = float(trained.network_.units[1]) * np.sqrt(1 + np.square(trained.noise_ratio))
    typical = np.sort(300 * Y.std(axis=0, ddof=1))[4]
    said = f"responses is {typical:.3g}, in training {low:.3g} to {high:.3g}; bring both to the same"
    with pytest.warns(UserWarning, match=re.escape(said)):
        clone(trained).fit(X, 300 * Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ratio in (0.5, 4.0):
            clone(trained).fit(*voxels(20, 10, 4, ratio)[:2])
    X, Y, _, _ = voxels(15, 23, 5)
    whole = clone(trained).fit(X, Y)
    monkeypatch.setattr("brainalign.encoding.in_context.encoder.target_block", lambda *_: 7)
    np.testing.assert_allclose(clone(trained).fit(X, Y).coef_, whole.coef_, atol=1e-5)
    X, Y, new, truth = voxels(15, 6, 6)
    expected, tensors = clone(trained).fit(X, Y), clone(trained).fit(torch.as_tensor(X), torch.as_tensor(Y))
    assert isinstance(tensors.coef_, torch.Tensor)
    np.testing.assert_allclose(tensors.predict(torch.as_tensor(new)).numpy(), expected.predict(new), atol=1e-5)
    scores = tensors.score_targets(torch.as_tensor(new), torch.as_tensor(truth))
    np.testing.assert_allclose(scores, expected.score_targets(new, truth))


def test_a_killed_pretraining_goes_on_to_the_same_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainalign.encoding.in_context.meta_training.KEEP_EVERY", 2)
    monkeypatch.setitem(NETWORKS, "small", replace(NETWORKS["small"], dropout=0.3))  # draws of its own
    images = WORLD.images(100, np.random.default_rng(0))
    options: dict[str, Any] = {"n_steps": (1, 3, 3), "n_voxels": 4, "context_sizes": (5, 20)}
    X, Y, *_ = voxels(60, 20, 5)
    data = {"subjects": [(X, np.where((np.arange(60) == 7)[:, None] | (np.arange(20) > 9), Y, 0.3))]}  # half are silent
    whole = InContextEncoder(**options).pretrain(images, PRIOR, **data)
    killed(5, InContextEncoder(**options).pretrain, images, PRIOR, checkpoint=tmp_path, **data)
    assert len(list(tmp_path.iterdir())) == 1
    seen: list[int] = []
    again: dict[str, Any] = {"checkpoint": tmp_path, "progress": lambda step, *_: seen.append(step)} | data
    InContextEncoder(**options, learning_rate=1e-4).pretrain(images, PRIOR, **again)
    assert seen == [1, 2, 3, 4, 5, 6, 7]  # another training takes nothing over
    resumed = InContextEncoder(**options).pretrain(images, PRIOR, **again)
    assert seen[7:] == [5, 6, 7]
    assert (resumed.losses_, resumed.parameter_hash()) == (whole.losses_, whole.parameter_hash())
    assert not list(tmp_path.iterdir())  # nothing is left to resume


def test_saved_and_loaded(trained: InContextEncoder, tmp_path: Path) -> None:
    X, Y, new, _ = voxels(15, 6, 7)
    trained.save(tmp_path / "network.safetensors")
    loaded = InContextEncoder.load(tmp_path / "network.safetensors", fallback=False)
    assert (loaded.get_params(), loaded.parameter_hash()) == (trained.get_params(), trained.parameter_hash())
    np.testing.assert_array_equal(loaded.fit(X, Y).predict(new), clone(trained).fit(X, Y).predict(new))
    refused(r"X has shape \(15, 12\) but the checkpoint knows 16 features", loaded.fit, unit_rows(X[:, :12]), Y)
    content = json.loads((tmp_path / "network.json").read_text())
    (tmp_path / "network.json").write_text(json.dumps(content | {"hash": "0"}))
    refused("another digest", InContextEncoder.load, tmp_path / "network.safetensors")
    (tmp_path / "network.json").write_text(json.dumps(content | {"n_features": 12}))
    refused("does not hold the network of its description", InContextEncoder.load, tmp_path / "network.safetensors")
    refused(r"other\.safetensors is missing", InContextEncoder.load, tmp_path / "other.safetensors")


def synthetic(n_voxels: int, n_images: int, ratio: tuple[float, float]) -> tuple[Voxels, Episode, torch.Tensor]:
    bank = torch.as_tensor(WORLD.images(200, np.random.default_rng(0))).float()
    root = torch.linalg.cholesky(torch.as_tensor(PRIOR.covariance)).float()
    made = Voxels(bank, torch.zeros(17), root, ratio, torch.Generator().manual_seed(0))
    return made, made.episode(n_voxels, n_images), torch.cat([bank, torch.ones(200, 1)], dim=1)


def test_draws_are_from_the_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainalign.encoding.in_context.meta_training.N_DRAWS", 40_000)
    made, _, _ = synthetic(1, 5, (1.0, 1.0))
    X, Y, *_ = voxels(12, 3, 3)
    noise, shared = np.array([0.3, 1.0, 2.0]), torch.as_tensor(X).float().expand(3, -1, -1)
    draws = made.posterior(shared, torch.as_tensor(Y.T).float(), torch.as_tensor(noise).float()[:, None]).double()
    expected = linear_gaussian_reference(X, Y, noise, PRIOR.mean, PRIOR.covariance)
    np.testing.assert_allclose(draws.mean(dim=1).numpy().T, expected, atol=0.02)
    design = np.column_stack([X, np.ones(12)])
    for found, sd in zip(draws, noise, strict=True):
        covariance = np.linalg.inv(np.linalg.inv(PRIOR.covariance) + design.T @ design / sd**2)
        np.testing.assert_allclose(np.cov(found.numpy().T), covariance, atol=0.02)


def test_errors_count_by_signal_and_noise_of_possible_weights() -> None:
    made, _, design = synthetic(1, 5, (0.5, 4.0))
    weights = torch.as_tensor(WORLD.weights(50, np.random.default_rng(1)).T).float()
    sd = (design @ weights.T).std(dim=0)
    torch.testing.assert_close(made.signal_sd(weights), sd, rtol=1e-3, atol=1e-5)
    noise = torch.full((1, 1), float(sd.median()))
    counts, ratio = made.counts(weights[None], noise)[0], noise[0] / sd
    possible = (ratio > 0.5) & (ratio < 4)
    assert 5 < possible.sum() < 50
    torch.testing.assert_close(counts, possible / (sd * ratio**in_context.NOISE_WEIGHT) ** 2, rtol=1e-3, atol=1e-5)


def test_synthetic_errors_are_exact_and_real_queries_not_in_their_context() -> None:
    _, episode, design = synthetic(400, 60, (2.0, 2.0))
    best = torch.linalg.lstsq(episode.queries, episode.answers.T).solution.T  # queries have full rank
    wrong = best + 0.1 * torch.randn(best.shape, generator=torch.Generator().manual_seed(1))
    exact = ((wrong - best) @ design.T).square().mean(dim=1)
    found = (wrong @ episode.queries.T - episode.answers).square().sum(dim=1)
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-5)
    Y = torch.arange(30.0)[:, None] + 100 * torch.arange(5)
    made = in_context.real_episode(torch.eye(30), Y, 8, 20, 10, torch.Generator().manual_seed(0))
    shown, asked = made.X[0].argmax(dim=1), made.queries[:, :-1].argmax(dim=1)
    assert sorted([*shown.tolist(), *asked.tolist()]) == list(range(30))
    torch.testing.assert_close(made.Y % 100, shown.float().expand(8, -1), rtol=0, atol=1e-3)
    torch.testing.assert_close(made.answers * 10**0.5 % 100, asked.float().expand(8, -1), rtol=0, atol=1e-3)


def test_published_networks_have_their_sizes() -> None:
    # In millions 97.1, 156.0 and 277.0 are published; to the last one, counted layer by layer.
    released = {"clip": (512, 97_071_492), "dino": (768, 155_995_396), "siglip": (1152, 277_036_932)}
    for name, (n_features, n_parameters) in released.items():
        with torch.device("meta"):
            network = InContextNetwork(n_features, NETWORKS[name], knows_units=False)
        assert sum(values.numel() for values in network.parameters()) == n_parameters
        assert (len(network.blocks), network.registers.shape[0]) == (20, 4)
        assert network.head.hidden[1].weight.shape == (2 * NETWORKS[name].width, NETWORKS[name].width)
    network = InContextNetwork(6, NetworkSize(20, 2, 2, 4, 32, "mlp", np.e, 0.5, False), knows_units=False).eval()
    X, Y = torch.randn(3, 9, 6), torch.randn(3, 9)
    order = torch.randperm(9)
    torch.testing.assert_close(network(X, Y), network(X[:, order], Y[:, order]), atol=1e-4, rtol=0)


def test_prior_axes_lose_nothing() -> None:
    network = InContextNetwork(16, NETWORKS["small"], knows_units=True)
    images = torch.as_tensor(WORLD.images(500, np.random.default_rng(0)))
    network.look_along(torch.as_tensor(WORLD.prior_covariance[:-1, :-1]), images)
    assert (4 * images @ network.axes.double()).std(dim=0).max() == pytest.approx(1, abs=1e-3)
    gram = (network.axes @ network.axes.T).double().numpy()
    assert np.corrcoef(gram.ravel(), WORLD.prior_covariance[:-1, :-1].ravel())[0, 1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("steps", [3, 10])
def test_short_trainings_have_a_schedule(steps: int) -> None:
    images, small = WORLD.images(200, np.random.default_rng(0)), WeightPrior(PRIOR.mean, PRIOR.covariance / 4**40)
    encoder = InContextEncoder(n_steps=(0, steps, 0), n_voxels=4)
    plain, other = (encoder.pretrain(images, prior).losses_ for prior in (PRIOR, small))
    assert (len(plain), other) == (steps, pytest.approx(plain, rel=1e-4))
    encoder.set_params(n_steps=(0, 2, 1))  # no other subjects are given
    refused(r"training has 2 step\(s\) in all", encoder.pretrain, images, PRIOR)


def test_real_voxels_of_other_subjects_are_learned_from() -> None:
    """A prior that says nothing: what is learned of voxels' common weights comes from the other subjects alone."""
    images = WORLD.images(500, np.random.default_rng(0))
    flat, subject = WeightPrior(np.zeros(17), np.eye(17)), voxels(200, 400, 8, ratio=0.7)[:2]
    X, Y, new, truth = voxels(15, 200, 9)
    scores = []
    for steps, subjects in (((0, 100, 0), []), ((0, 1, 100), [subject])):
        encoder = InContextEncoder(n_steps=steps, context_sizes=(8, 30), fallback=False)
        encoder.pretrain(images, flat, subjects=subjects)
        scores.append(explained_variance(truth, encoder.fit(X, Y).predict(new)).mean())
    assert scores[1] > scores[0] + 0.1


def test_weights_that_real_voxels_may_have_keep_their_clusters(rng: np.random.Generator) -> None:
    """Two clusters with a gap between: draws have the prior's covariance, as a Gaussian's would, but not its middle."""
    X, W = WORLD.images(300, rng), WORLD.weights(400, rng) * 0.3
    W[0] += np.where(np.arange(400) % 2, 3.0, -3.0)
    subject = (X, X @ W[:-1] + W[-1] + 0.3 * rng.normal(size=(300, 400)))
    prior, tesla = estimate_prior([subject]), estimate_prior([(X, subject[1] / 1e12)])
    np.testing.assert_allclose(1e24 * tesla.covariance, prior.covariance, rtol=1e-6)
    drawn = in_context.posterior_weights(prior, [subject, subject], 4000)
    np.testing.assert_allclose(np.cov(drawn), prior.covariance, atol=0.1 * prior.covariance[0, 0])
    assert (drawn.shape, drawn.mean(axis=1)) == ((17, 4000), pytest.approx(prior.mean, abs=0.2))
    assert (abs(drawn[0]) < 1).mean() < 0.02  # of a Gaussian with this deviation: a quarter
    X[:, 3], W = 0, rng.normal(size=(17, 2000))  # of what was never seen the prior alone speaks, and much of noisy ones
    subject = (X, X @ W[:-1] + W[-1] + 10 * rng.normal(size=(300, 2000)))
    drawn = in_context.posterior_weights(WeightPrior(np.zeros(17), np.eye(17)), [subject], 4000)
    assert drawn.std(axis=1) == pytest.approx(np.ones(17), abs=0.05)


def test_adamw_alone_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """One optimiser over all weights, whose rate is 1e-4 until the loss stands still, then a tenth."""
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def note(self: torch.optim.AdamW, *a: object, **k: object) -> object:
        assert len(list(self.param_groups[0]["params"])) == len(list(encoder.network_.parameters()))
        rates.append(self.param_groups[0]["lr"])
        return step(self, *a, **k)

    monkeypatch.setattr(torch.optim.AdamW, "step", note)
    monkeypatch.setattr("brainalign.encoding.in_context.meta_training.EPOCH", 1)
    monkeypatch.setattr("brainalign.encoding.in_context.meta_training._loss", lambda n, e: n(e.X, e.Y).sum() * 0 + 1)
    sizes = {"n_steps": (1, 11, 0), "context_sizes": (3, 4), "n_voxels": 2}
    encoder = InContextEncoder(optimizer="adamw", learning_rate=1e-4, weight_decay=0.1, **sizes)
    encoder.pretrain(WORLD.images(20, np.random.default_rng(0)), PRIOR)
    np.testing.assert_allclose(rates, [1e-4] * 7 + [1e-5] * 5)


def test_leave_one_out_is_exact() -> None:
    """Of ridge with the penalty of all rows, and of empirical Bayes with the noise of all."""
    X, Y, _, _ = voxels(24, 5, 10)
    fitted, some = EmpiricalBayesRidge(PRIOR).fit(X, Y), [0, 3]
    Z, noise = (Y - Y.mean(axis=0)) / Y.std(axis=0, ddof=1), np.sqrt(fitted.noise_[some])
    for groups in (None, np.arange(24) // 3):
        labels, total = np.arange(24) if groups is None else groups, 0.0
        folds = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        every = torch.as_tensor(X), torch.as_tensor(Z), folds, [np.arange(5)] * len(folds), groups
        ridge, sums = in_context.pooled_ridge(*every)
        moments = in_context.left_out_errors(fitted, X, Y, folds, [np.array(some)] * len(folds))
        for fold, found in zip(folds, moments, strict=True):
            kept = np.setdiff1d(np.arange(24), fold)
            plain, middle = SklearnRidge(alpha=float(ridge.alpha_[0])).fit(X[kept], Z[kept]), X[kept].mean(axis=0)
            total += np.square(Z[fold] - plain.predict(X[fold])).sum()
            weights = linear_gaussian_reference(X[kept], Y[kept][:, some], noise, PRIOR.mean, PRIOR.covariance)
            said, rest = (X[fold] - middle) @ weights[:-1], Y[fold][:, some] - (middle @ weights[:-1] + weights[-1])
            pairs = ((rest, rest), (rest, said), (said, said))
            expected = [(one * other / Y[:, some].var(axis=0, ddof=1)).sum() for one, other in pairs]
            assert found == pytest.approx(expected, rel=1e-6)
        assert sums.sum() == pytest.approx(total, rel=1e-6)


def test_what_noise_makes_up_is_shrunk(trained: InContextEncoder) -> None:
    X, Y, new, truth = voxels(30, 300, 16, ratio=6.0)
    free, fitted = clone(trained).fit(X, Y), clone(trained).set_params(fallback=True).fit(X, Y)
    scores = [explained_variance(truth, one.predict(new)).mean() for one in (free, fitted)]
    assert scores[1] > scores[0] + 0.1
    np.testing.assert_allclose(fitted.coef_, fitted.shares_["all"] * free.coef_, rtol=1e-6)
    np.testing.assert_allclose(*(X.mean(axis=0) @ one.coef_ + one.intercept_ for one in (free, fitted)), atol=1e-6)


def test_what_is_taken_is_better_by_more_than_chance() -> None:
    """Against ridge, over images: a lucky mean is not enough, and neither is a difference in a single image."""
    sizes, ridge = np.full(20, 50), np.full(20, 45.0)
    wide = np.where(np.arange(20) % 2, 4.0, -4.2)  # mean -.1, standard error .94
    assert taken({"in_context": ridge + wide, "ridge": ridge}, sizes) == "ridge"
    assert taken({"in_context": ridge + 0.1 * wide - 1, "ridge": ridge}, sizes) == "in_context"
    assert taken({"in_context": ridge + np.where(np.arange(20) == 3, -20.0, 0.0), "ridge": ridge}, sizes) == "ridge"
    below = {"in_context": ridge - 10, "empirical_bayes": ridge - 10 + wide, "ridge": ridge}
    assert taken(below, sizes) == "in_context"
    assert taken(below | {"empirical_bayes": ridge - 12 + 0.1 * wide}, sizes) == "empirical_bayes"
    assert taken(below | {"empirical_bayes": ridge - 10.4}, sizes) == "in_context"  # better by .008 of the variance
    assert taken({"in_context": ridge + 5, "empirical_bayes": ridge + 2, "ridge": ridge}, sizes) == "ridge"


def test_groups_fall_back_by_themselves(trained: InContextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """On its prior, empirical Bayes is surely better than a briefly trained network, by .01 of the variance."""
    X, on, _, _ = voxels(30, 150, 11)
    rng = np.random.default_rng(12)
    foreign = WORLD.weights(150, rng, on_prior=False)
    noise = WORLD.noise_sd(foreign, 1.5) * rng.normal(size=(30, 150))
    Y, roi = np.hstack([on, X @ foreign[:-1] + foreign[-1] + noise]), np.repeat(["known", "foreign"], 150)
    free, bayes = clone(trained).fit(X, Y), EmpiricalBayesRidge(PRIOR).fit(X, on)
    assert not np.allclose(free.coef_[:, :150], bayes.coef_, rtol=1e-2)
    for relevant, name, known in ((0.05, "in_context", free.coef_[:, :150]), (0.0, "empirical_bayes", bayes.coef_)):
        monkeypatch.setattr("brainalign.encoding.in_context.fallback.RELEVANT", relevant)
        encoder = clone(trained).set_params(fallback=True, n_checks=2000).fit(X, Y, roi=roi)
        assert list(encoder.taken_.items()) == [("foreign", "ridge"), ("known", name)]
        assert encoder.fell_back_ == {"known": name != "in_context", "foreign": True}
        errors = encoder.context_errors_["foreign"]
        assert errors["ridge"] < min(errors["in_context"], errors["empirical_bayes"]) - 0.04
        np.testing.assert_allclose(encoder.coef_[:, :150], encoder.shares_["known"] * known, rtol=1e-5, atol=1e-6)
        assert not np.allclose(encoder.coef_[:, 150:], free.coef_[:, 150:])
    assert free.fell_back_ == {}
    other = clone(trained).set_params(fallback=True, units="any", n_checks=2000).fit(X, Y, roi=roi)  # no prior to know
    assert other.taken_ == {"known": "in_context", "foreign": "ridge"}
    np.testing.assert_allclose(other.coef_[:, :150], other.shares_["known"] * free.coef_[:, :150], rtol=1e-6)
    again = clone(trained).set_params(fallback=True, n_checks=2000).fit(X, Y, roi=roi, groups=np.arange(30))
    for label, errors in again.context_errors_.items():  # ridge has its own folds where rows are grouped
        for name in ("in_context", "empirical_bayes"):
            assert errors[name] == pytest.approx(encoder.context_errors_[label][name], rel=1e-6)


def test_what_is_constant_in_a_context_is_predicted_by_its_value(trained: InContextEncoder) -> None:
    X, Y = WORLD.images(80, np.random.default_rng(0)), np.random.default_rng(1).normal(size=(80, 6))
    Y[:, 1] = np.arange(80) % 40 == 39
    ensemble = InContextEnsemble([trained], np.array(list("aababb")))
    assert (ensemble.fit(X[60:70], Y[60:70]).predict(X[:3])[:, 1] == 0).all()
    encoders = {"mine": ensemble, "one": trained}
    table = scaling_curve(encoders, X, Y, test=np.arange(40), sizes=(10,), n_repeats=2, prior=PRIOR)
    flat = table[table["r"].isna()]
    assert (set(flat["target"]), set(flat["method"])) == ({1}, set(table["method"]))
    assert flat["explained_variance"].abs().max() < 1e-6
    assert _group_means(table, {"all": np.arange(6)}, 6).notna().all(axis=None)


def test_three_images_are_enough(trained: InContextEncoder) -> None:
    X, Y, new, _ = voxels(3, 120, 15)
    encoder = clone(trained).set_params(fallback=True).fit(X, Y)
    assert np.isfinite(encoder.predict(new)).all()
    assert list(encoder.fell_back_) == ["all"]


def test_clear_errors_and_contexts_longer_than_trained(trained: InContextEncoder) -> None:
    X, Y, _, _ = voxels(10, 4, 13)
    encoder = clone(trained)
    refused(r"the context has 2 image\(s\); in-context encoding needs 3", encoder.fit, X[:2], Y[:2])
    refused(r"10 of 10 rows of X are not of length 1 .*unit_rows", encoder.fit, 2 * X, Y)
    refused("NaN or infinite", encoder.fit, X, np.where(Y[3, 1] == Y, np.nan, Y))
    refused("cannot use semantics", encoder.fit, X, Y, semantics=X)
    refused("roi has 3 rows but the targets of Y has 4", encoder.fit, X, Y, roi=np.array(["a", "b", "c"]))
    refused("groups has a single label", encoder.fit, X, Y, groups=np.zeros(10))
    refused("call pretrain", InContextEncoder().fit, X, Y)
    refused("fit knows 16 features", encoder.fit(X, Y).predict, X[:, :5])
    refused("1 of 2 rows of X are zero", unit_rows, np.array([[1.0, 2.0], [0.0, 0.0]]))
    X, Y, _, _ = voxels(41, 4, 14)
    with pytest.warns(UserWarning, match="41 images, more than the 40 of training"):
        encoder = clone(trained).fit(X, Y)
    assert encoder.beyond_training_
    assert not clone(trained).fit(X[:40], Y[:40]).beyond_training_


@pytest.mark.parametrize("name", BAD)
def test_bad_options(name: str) -> None:
    encoder = InContextEncoder(**{name: BAD[name]})
    refused(f"{name} must be", encoder.pretrain, WORLD.images(50, np.random.default_rng(0)), PRIOR)


def test_bad_training_data() -> None:
    images = WORLD.images(50, np.random.default_rng(0))
    few = "X of subject 0 has 50 images .* contexts of 100 and 32 queries"
    refused(few, InContextEncoder().pretrain, images, PRIOR, subjects=[voxels(50, 5, 0)[:2]])
    refused("prior knows 16 features", InContextEncoder().pretrain, images[:, :8], PRIOR)
    refused("there is 1 voxel in all", estimate_prior, [voxels(50, 1, 0)[:2]])
