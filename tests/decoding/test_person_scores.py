import numpy as np
import pandas as pd
from refusals import refused
from scipy.stats import t

from brainalign.decoding import correlation_features, person_scores, tangent_features
from brainalign.decoding.masked.subject_scores import _fold_people
from brainalign.pipelines.decode.decode_series import _known
from brainalign.simulation import roi_series

QUICK = {"n_permutations": 10, "n_repeats": 2, "n_draws": 300}
FEW = {"n_permutations": 9, "n_repeats": 1}


def test_a_planted_trait_is_found_in_connectivity_and_not_in_noise(rng: np.random.Generator) -> None:
    world = roi_series(40, 160, 4, seed=6)
    features = {"correlation": correlation_features(world.series), "tangent": tangent_features(world.series)}
    features["noise"] = rng.normal(size=(40, 30))
    trait, people = world.subjects["trait"], world.subjects["subject"]
    table = person_scores(features, trait, people, **FEW, n_folds=3, n_draws=300).set_index("name")
    assert table.loc["correlation", "score"] >= 0.75
    assert table.loc["correlation", "score"] > table.loc["correlation", "null_high"]
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
    table = person_scores(features, states, people, **QUICK).set_index("name")
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
    for fold in folds:
        assert not set(people[fold]) & set(np.delete(people, fold))
    rounds = [np.sort(_fold_people(np.arange(33.0), people, 5, np.random.default_rng(k))[0]).tolist() for k in (0, 1)]
    assert rounds[0] != rounds[1]  # though numbers have one order
    refused("labels: 3 subjects are fewer than 5 folds", person_scores, {"correlation": x[:3]}, [1, 2, 3], list("abc"))
    once = ["x", *"yyyyy"]
    refused("one subject alone has x", person_scores, {"correlation": np.zeros((6, 2))}, once, list("abcdef"))
    x, people = np.zeros((6, 2)), list("abcdef")
    refused("nothing to tell apart", person_scores, {"correlation": x}, ["one"] * 6, people)
    refused("reference 'correlation'", person_scores, {"other": x}, list("xyxyxy"), people)
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
