from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from safetensors.numpy import save_file
from scipy.stats import t

from brainalign import decoding
from brainalign.decoding import correlation_features, person_scores, tangent_features
from brainalign.decoding.masked import validation_runs
from brainalign.decoding.masked.network import _EmbeddingAttention
from brainalign.decoding.masked.subject_scores import _fold_people
from brainalign.pipelines.decode.decode_series import _known
from brainalign.simulation import RoiSeries, roi_lagged, roi_series

QUICK = {"n_steps": 150, "learning_rate": 1e-2, "schedule": "one_cycle"}
DESIGNS = [("tiny", "static"), ("tiny", "adaptive"), ("full", "static"), ("full", "adaptive")]


@pytest.fixture(scope="module")
def world() -> RoiSeries:
    return roi_series(20, 160, 6, seed=4)


@pytest.fixture(scope="module")
def fitted(world: RoiSeries) -> decoding.MaskedBrainModel:
    return decoding.MaskedBrainModel(**QUICK).fit(world.series[:14], world.regions["region_id"])


def test_hidden_regions_and_networks_are_found(world: RoiSeries, fitted) -> None:
    train, test = world.series[:14], world.series[14:]
    networks = world.regions["network"].tolist()
    mask = decoding.hidden_masks(len(test), networks, 1, seed=1)[decoding.HALF][0]
    assert [*decoding.hidden_masks(2, ["b", "b", "a"], 1)] == [decoding.HALF, "b", "a"]
    assert [*decoding.hidden_masks(2, ["b"] * 3, 1)] == [decoding.HALF]
    sums = {n: {decoding.HALF: np.array([e, [[100]] * 3])} for n, e in (("a", [[60]] * 3), ("b", [[59], [58], [57]]))}
    assert decoding.fill_table(sums, ["1", "2", "3"], reference="a")["verdict"][1] == "tie"  # t = 3.46
    linear = decoding.hidden_r2(test, decoding.ConditionalGaussian().fit(train).reconstruct(test, mask), mask)
    assert decoding.hidden_r2(test, fitted.reconstruct(test, mask), mask) > 0.8 * linear > 0.15
    by = {"model": fitted.region_embeddings_, "connectivity": decoding.mean_connectivity(train)}
    agreement = decoding.network_agreement(by, networks, 50).set_index("name")
    assert agreement["null_high"].max() < 0.2 < 0.8 <= agreement["ari"].min()


@pytest.mark.parametrize(("design", "attention"), DESIGNS)
def test_values_of_hidden_regions_are_not_read(world: RoiSeries, design: str, attention: str) -> None:
    model = decoding.MaskedBrainModel(design, attention, n_blocks=3, n_steps=3, width=16, batch_size=8)
    model.fit(world.series)
    hidden, other = np.arange(36) % 3 == 0, world.series[:3].copy()
    other[:, :, hidden] = np.random.default_rng(0).normal(size=other[:, :, hidden].shape)
    filled = model.reconstruct(world.series[:3], hidden)
    assert np.allclose(filled, model.reconstruct(other, hidden), atol=1e-5)
    changed = np.where(hidden, world.series[:3], world.series[:3, ::-1])
    assert not np.allclose(filled[:, :, hidden], model.reconstruct(changed, hidden)[:, :, hidden], atol=1e-3)


def test_attention_is_the_softmax_of_embeddings_also_of_a_saved_model(tmp_path, world, fitted) -> None:
    torch.manual_seed(0)
    block, e = _EmbeddingAttention(6, 1, 8), torch.randn(5, 6)
    silent = torch.tensor([[False, True, False, False, False]])
    q, k = (layer(e).detach().numpy() for layer in (block.query, block.key))
    logits = np.exp(q @ k.T / np.sqrt(6)) * (1 - np.eye(5)) * ~silent.numpy()
    expected = logits / logits.sum(axis=1, keepdims=True)
    assert np.allclose(block.weights(e, silent)[0, 0].detach().numpy(), expected, atol=1e-6)
    assert block.weights(e)[0, 0].diagonal().abs().max() == 0
    assert _EmbeddingAttention(6, 1, 8, self_loops=True).weights(e)[0, 0].diagonal().min() > 0
    fitted.save(tmp_path / "model.safetensors")
    again, hidden = decoding.MaskedBrainModel.load(tmp_path / "model.safetensors", device="cpu"), np.arange(36) < 9
    assert np.array_equal(again.reconstruct(world.series[:2], hidden), fitted.reconstruct(world.series[:2], hidden))
    assert (again.regions_, again.ratio) == (fitted.regions_, fitted.ratio)


def test_what_cannot_be_used_is_named(tmp_path: Path, world: RoiSeries, fitted: decoding.MaskedBrainModel) -> None:
    series, hidden = world.series[:3].copy(), np.arange(36) < 9
    refused("35 regions but the fitted model has 36", fitted.reconstruct, series[:, :, :35], hidden[:35])
    refused("15 frames but 20", fitted.embed, series[:, :15])
    refused("hidden has shape", fitted.reconstruct, series, hidden[:4])
    refused("1 to 20 frames.* got 21", fitted.reconstruct, series, hidden, stride=21)
    refused("nothing to be seen", fitted.reconstruct, series, np.ones(36, bool))
    series[1, 5, 2] = np.nan
    refused("1 NaN or infinite", decoding.MaskedBrainModel().fit, series)
    series[1, :, 2] = 0
    refused("run 1, region 2", decoding.MaskedBrainModel().fit, series)
    refused("did you mean 'static'", decoding.MaskedBrainModel().set_params(attention="sttic").fit, series)
    refused("no multiple", decoding.MaskedBrainModel(width=10, n_heads=3).fit, series)
    people = ["one", *world.subjects["subject"][1:10], "one", *world.subjects["subject"][11:]]
    given = world.series, people, np.arange(20) < 5, ["r"] * 36, ["n"] * 36, decoding.MaskedBrainModel
    refused("1 subjects occur in both train and test .one.", decoding.masked_study, *given)
    save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
    refused("no masked model", decoding.MaskedBrainModel.load, tmp_path / "other.safetensors")


def test_the_gaussian_is_the_conditional_mean_the_lagged_one_sees_what_follows_and_the_model_holds_it() -> None:
    world = roi_lagged(16, 200, 5, seed=4)
    train, test = world.series[:12], world.series[12:]
    hidden, flat = world.regions["network"].eq("B1").to_numpy(), train.reshape(-1, 30).astype(float)
    cov = flat.T @ flat / len(flat)
    weights = np.linalg.solve(cov[~hidden][:, ~hidden] + 0.3 * np.eye(25), cov[~hidden][:, hidden])
    filled = decoding.ConditionalGaussian(penalties=(0.3,)).fit(train).reconstruct(test, hidden.astype(int))
    assert np.allclose(filled[:, :, hidden], test[:, :, ~hidden] @ weights, atol=1e-4)
    assert np.array_equal(filled[:, :, ~hidden], test[:, :, ~hidden])
    assert abs(decoding.hidden_r2(test, filled, hidden)) <= 0.05
    lagged = decoding.ConditionalGaussian(lags=(0, 1, 3, 5)).fit(train)
    assert lagged.lag_ == 3
    assert decoding.hidden_r2(test, lagged.reconstruct(test, hidden), hidden) > 0.25
    given = world.series, [f"p{k}" for k in range(16)], np.arange(16) >= 12, range(30), world.regions["network"]
    study = decoding.masked_study(*given, lambda: decoding.MaskedBrainModel(**QUICK), lags=(0, 3), nulls=())
    r2 = study.filled[study.filled["network"] == ""].pivot(index="hidden", columns="name", values="r2")
    assert (r2["network alone"] + 0.02 < r2["lagged Gaussian"]).all()
    assert (r2["masked model"] + 0.005 > r2["lagged Gaussian"]).all()
    beyond = (r2["masked model"] - r2["lagged Gaussian, weighed"]).abs()
    assert 0 < beyond.min() <= beyond.max() < 0.02  # a network that learned little
    added = study.filled.set_index("name")[["added_low", "added", "added_high"]]
    assert (added.loc["lagged Gaussian, weighed"] == 0).all(axis=None)
    assert added.loc["masked model"].apply(lambda row: row.is_monotonic_increasing, axis=1).all()
    mixed = decoding.permuted_frames(world.series, np.random.default_rng(0))
    none = decoding.ConditionalGaussian(lags=(3,), penalties=(0.5,)).fit(mixed[:12])
    assert decoding.hidden_r2(mixed[12:], none.reconstruct(mixed[12:], hidden), hidden) <= 0.05
    near, third = np.exp(-(np.subtract.outer(range(40), range(40)) ** 2) / 8), np.arange(40) % 3 == 0
    smooth = np.random.default_rng(7).multivariate_normal(np.zeros(40), near + 0.003 * np.eye(40), (12, 200))
    models = [decoding.ConditionalGaussian(**of).fit(smooth[:9]) for of in ({}, {"penalties": (5e-4,)})]
    own, least = (decoding.hidden_r2(smooth[9:], one.reconstruct(smooth[9:], third), third) for one in models)
    assert own > least - 0.002  # a smooth map with little noise: .05 of a variance would hide its finest waves


def test_lag_and_penalty_are_chosen_on_other_people() -> None:
    """Pure noise, every person twice with the same run: what follows the noise of a person seen before looks good."""
    noise = np.random.default_rng(0).normal(size=(8, 12, 20)).astype(np.float32)
    series, people = np.concatenate([noise, noise]), [f"p{k}" for k in range(8)] * 2
    two = decoding.ConditionalGaussian(penalties=(1e-3, 50.0))
    assert [two.fit(series, of).penalty_ for of in (None, people)] == [1e-3, 50.0]
    one = decoding.ConditionalGaussian().fit(series, ["p0"] * 16)
    assert one.penalty_ == decoding.ConditionalGaussian().fit(series).penalty_
    refused("people has 3 rows", decoding.ConditionalGaussian().fit, series, people[:3])
    alone = decoding.ConditionalGaussian(lags=(0, 1, 2)).fit(series[:1])  # chooses nothing
    assert (alone.lag_, alone.penalty_) == (1, 0.5)


def test_fine_tuning_leaves_the_model_alone_and_people_who_validate_out(fitted: decoding.MaskedBrainModel) -> None:
    world = roi_series(32, 160, 6, trait=0.7, seed=5)
    labels, before = world.subjects["trait"].to_numpy(), fitted.region_embeddings_
    tuned = decoding.FineTuned(fitted, n_steps=40, batch_size=10, n_segments=6).fit(world.series[:22], labels[:22])
    assert (tuned.predict(world.series[22:]) == labels[22:]).mean() >= 0.7
    assert np.array_equal(before, fitted.region_embeddings_)
    refused("nothing to tell apart", tuned.fit, world.series[:3], ["low"] * 3)
    series = np.arange(6)[:, None, None] + np.zeros((6, 40, 3))
    runs, val = validation_runs(series, ["a", "a", "b", "b", "c", "c"], 10, seed=3)
    assert not set(runs[:, 0, 0] // 2) & set(val[:, 0, 0] // 2)
    refused("cannot be parted", validation_runs, series[:1, :15], ["a"], 10, seed=3)


FEW = {"n_permutations": 9, "n_repeats": 1}


def test_a_planted_trait_is_found_in_connectivity_and_not_in_noise(rng: np.random.Generator) -> None:
    world = roi_series(40, 160, 4, seed=6)
    features = {"correlation": correlation_features(world.series), "tangent": tangent_features(world.series)}
    features["noise"] = rng.normal(size=(40, 30))
    trait, people = world.subjects["trait"], world.subjects["subject"]
    table = person_scores(features, trait, people, **FEW, n_folds=3, n_draws=300).set_index("name")
    assert table.loc["correlation", "score"] > max(0.75, table.loc["correlation", "null_high"])
    assert abs(table.loc["correlation", "null_mean"] - 0.5) < 0.15
    assert table.loc["tangent", "score"] >= 0.65
    assert table.loc["noise", "verdict"] == "worse"
    assert table.loc["noise", "low"] < 0.5
    assert table["n_people"].eq(40).all()
    half = person_scores(features, trait, people, **FEW, n_folds=3, n_draws=300, confidence=0.5).set_index("name")
    reach = [(of["difference_high"] - of["difference"]).drop("correlation") for of in (table, half)]
    np.testing.assert_allclose(reach[0] / reach[1], t.ppf(0.975, 39) / t.ppf(0.75, 39))  # of people less one
    told = np.where(np.arange(40) % 8, 1.0, -1.0)[:, None] * np.where(trait == trait[0], 1, -1)[:, None]
    sure = (person_scores({"correlation": told}, trait, people, **FEW, n_folds=k, n_draws=2000) for k in (2, 5))
    np.testing.assert_allclose(np.divide(*(of["score"] - of["low"] for of in sure)), np.sqrt(3 / 2.25), rtol=0.05)


def test_states_are_permuted_within_people_and_what_is_a_persons_own_gives_nothing() -> None:
    rng, people = np.random.default_rng(2), np.repeat([f"p{k}" for k in range(20)], 4)
    states = np.tile(["off", "on", "off", "on"], 20)
    own = np.repeat(rng.normal(size=(20, 6)), 4, axis=0)  # tells people, not states
    features = {"correlation": own + 0.01 * rng.normal(size=own.shape)}
    features["signal"] = np.c_[own, np.where(states == "on", 1.0, -1.0) + 0.3 * rng.normal(size=80)]
    table = person_scores(features, states, people, **FEW, n_draws=300).set_index("name")
    assert table.loc["signal", "score"] > 0.9
    assert table.loc["signal", "verdict"] == "better"
    assert abs(table.loc["correlation", "score"] - 0.5) < 0.15


def test_p_values_of_noise_are_even_nobody_is_in_two_folds_and_bad_input() -> None:
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(30, 60)), rng.normal(size=30)
        people = [f"p{k:02d}" for k in range(30)]
        found.append(person_scores({"correlation": x}, y, people, n_folds=2, n_draws=1, seed=seed, **FEW)["p"].item())
    assert abs(np.mean(found) - 0.55) < 2.5 * 0.287 / np.sqrt(30)
    people = np.repeat([f"p{k}" for k in range(11)], 3)
    folds = _fold_people(np.arange(33), people, 5, np.random.default_rng(0))
    assert sorted(np.concatenate(folds)) == list(range(33))
    assert not any(set(people[fold]) & set(np.delete(people, fold)) for fold in folds)
    rounds = [np.sort(_fold_people(np.arange(33.0), people, 5, np.random.default_rng(k))[0]).tolist() for k in (0, 1)]
    assert rounds[0] != rounds[1]  # though numbers have one order
    refused("labels: 3 subjects are fewer than 5 folds", person_scores, {"correlation": x[:3]}, [1, 2, 3], list("abc"))
    x, people = np.zeros((6, 2)), list("abcdef")
    refused("one subject alone has x", person_scores, {"correlation": x}, list("xyyyyy"), people)
    refused("nothing to tell apart", person_scores, {"correlation": x}, ["one"] * 6, people)
    refused("reference must be one of 'other'; got 'correlation'", person_scores, {"other": x}, list("xyxyxy"), people)
    refused("5 rows", person_scores, {"correlation": x[:5]}, list("xyxyxy"), people)


def test_noise_predicts_numbers_with_r_about_0_and_every_interval_is_defined() -> None:
    people, found = [f"p{k:02d}" for k in range(20)], []
    for seed in range(6):
        x, y = np.random.default_rng(seed).normal(size=(20, 11)), np.random.default_rng([seed, 1]).normal(size=20)
        table = person_scores({"correlation": x}, y, people, n_permutations=4, n_repeats=2, n_draws=1, seed=seed)
        found.append(table["null_mean"].item())
    assert abs(np.mean(found)) < 0.1  # folds of other means and sizes: -0.2
    two = np.repeat([1.0, 2.0], [10, 2])
    table = person_scores({"correlation": x[:12]}, two, people[:12], n_permutations=0, n_repeats=1)
    assert table[["low", "high", "difference_low"]].notna().all(axis=None)


def test_numbers_that_hardly_change_within_people_are_traits() -> None:
    age, people = np.repeat(np.linspace(20, 60, 16), 2), pd.DataFrame({"subject": np.repeat(np.arange(16), 2)})
    rows, trait = _known(people.assign(age=[*(age + np.arange(32) % 4 // 3).astype(str)[:30], "N/A", "<NA>"]), "age", 5)
    assert (trait, rows["value"].tolist()[:4]) == (True, [20, 20, *[age[2] + 0.5] * 2])
    assert not _known(people.assign(age=np.arange(32) % 7), "age", 5)[1]
