from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from refusals import refused
from scipy.stats import norm, t

import brainalign.statistics as st

REGIONS = {"V1": np.array([0, 1]), "IT": np.array([2, 3])}
SIZES = {"n_train": 300, "n_test": 100}
LAYERS = ["a", "b", "c", "d"]


def candidate(family: str, layer: str, r, cv_r: list[float], noise: float = 0.01, seed: int = 0) -> st.Candidate:
    rng = np.random.default_rng([seed, len(family), len(layer)])
    draws = np.array([np.nanmean(r[:2]), np.nanmean(r[2:])]) + noise * rng.normal(size=(500, 2))
    null = 0.02 * rng.normal(size=(199, 2))
    p, cv = np.full(4, 0.01), np.array(cv_r)
    return st.Candidate(family, f"{family}net", "ridge", layer, np.array(r), p, cv, draws, null)


TASK = [
    candidate("task", "early", [0.5, 0.5, 0.2, 0.2], [0.4, 0.4, 0.1, 0.1]),
    candidate("task", "late", [0.6, 0.6, 0.3, 0.3], [0.3, 0.3, 0.2, 0.2], seed=1),  # better in V1, but not chosen there
]
LANGUAGE = candidate("language", "mean", [0.2, 0.2, 0.31, 0.31], [0.2, 0.2, 0.3, 0.3], seed=2)


def test_definitions_by_hand() -> None:
    table = st.family_contest([*TASK, LANGUAGE], REGIONS, ceiling=np.array([0.25, 0.25, 0.0, 0.36]), **SIZES)
    rows = table.set_index(["region", "family"])
    assert rows.index.tolist() == [("V1", "task"), ("V1", "language"), ("IT", "task"), ("IT", "language")]
    assert rows["layer"].tolist() == ["early", "mean", "late", "mean"]
    np.testing.assert_allclose(rows["r"], [0.5, 0.2, 0.3, 0.31])
    np.testing.assert_allclose(rows["ahead"], [0.3, -0.3, -0.01, 0.01])
    assert rows["winner"].tolist() == [True, False, False, True]
    assert rows["runner_up"].tolist() == [False, True, True, False]
    assert rows["decided"].tolist() == [True, True, False, False]
    assert rows.loc["IT", "reason"].unique().tolist() == ["the interval of the margin includes 0"]
    np.testing.assert_allclose(rows["ceiling_r"], [0.5, 0.5, 0.3, 0.3])
    assert (rows["p_null"] == 1 / 200).all()
    widening = st.interval_widening(300, 100, 0.95)
    assert widening == pytest.approx(t(99).isf(0.025) / norm.isf(0.025) * np.sqrt(100 / 99) * np.sqrt(1 + 100 / 300))
    assert st.family_contest([*TASK, LANGUAGE], REGIONS, **SIZES)["ceiling_r"].isna().all()


def test_draws_are_paired_and_the_best_is_ahead_of_each_of_the_others() -> None:
    shared = 0.2 * np.random.default_rng(3).normal(size=(500, 2))  # the same images are easy for all families
    together = [replace(one, draws=one.draws + shared) for one in (*TASK, LANGUAGE)]
    assert st.family_contest(together, REGIONS, **SIZES)["decided"].tolist() == [True, True, False, False]
    # A third family that is certain of nothing: often the best of the others, though far behind on average.
    wild = candidate("wild", "x", [0.1] * 4, [0.1] * 4, noise=0.4)
    rows = st.family_contest([*TASK, LANGUAGE, wild], REGIONS, **SIZES).set_index(["region", "family"])
    assert not rows["decided"].any()
    assert rows.loc[("V1", "task"), "ahead_low"] < 0 < rows.loc[("V1", "task"), "ahead"]
    alike = [candidate("o" * k, "x", [0.463] * 4, [0.1] * 4) for k in range(1, 6)]  # each 2.6 standard errors behind
    assert st.family_contest([TASK[0], *alike], REGIONS, **SIZES)["decided"].tolist() == [True] * 6 + [False] * 6


def test_what_is_not_above_its_null_ties_or_is_constant_is_undecided() -> None:
    table = st.family_contest([replace(one, null=one.null + 0.55) for one in (*TASK, LANGUAGE)], REGIONS, **SIZES)
    assert not table["decided"].any()
    assert table["reason"].str.startswith("r is not above its permuted null (p = ").all()
    # The null is that of the largest of all families: one loud family is enough.
    one_loud = [*TASK, replace(LANGUAGE, null=LANGUAGE.null + 0.55)]
    assert not st.family_contest(one_loud, REGIONS, **SIZES)["decided"].any()
    table = st.family_contest([TASK[0], replace(TASK[0], family="copy")], REGIONS, **SIZES)
    np.testing.assert_allclose(table["ahead"], 0)
    assert not table["decided"].any()
    assert table["winner"].sum() == 2  # one per region
    silent = candidate("silent", "a", [np.nan, 0.4, 0.1, 0.1], [np.nan, 0.2, 0.1, 0.1])
    rows = st.family_contest([silent, LANGUAGE], REGIONS, **SIZES).set_index(["region", "family"])
    assert rows.loc[("V1", "silent"), "r"] == pytest.approx(0.2)  # the other target counts as 0
    assert rows.loc[("V1", "silent"), "cv_r"] == pytest.approx(0.1)


def test_what_cannot_be_compared_and_targets_of_the_best_family() -> None:
    refused("two families or more; got task", st.family_contest, TASK, REGIONS, **SIZES)
    blind = replace(TASK[1], cv_r=np.full(4, np.nan))
    unscored = r"'task' has 2 fits.*nothing was scored.*tasknet/ridge \(late\)"
    refused(unscored, st.family_contest, [TASK[0], blind, LANGUAGE], REGIONS, **SIZES)
    assert len(st.family_contest([blind, LANGUAGE], REGIONS, **SIZES)) == 4  # nothing to choose
    message = "compare fits of the same targets with the same draws"
    for name, values in (("draws", LANGUAGE.draws[:100]), ("null", LANGUAGE.null[:9]), ("r", LANGUAGE.r[:3])):
        refused(message, st.family_contest, [*TASK, replace(LANGUAGE, **{name: values})], REGIONS, **SIZES)
    refused(message, st.family_contest, [*TASK, LANGUAGE], REGIONS | {"V4": np.array([0])}, **SIZES)
    empty = REGIONS | {"IT": np.empty(0, dtype=int)}
    refused(r"1 regions have no target \(IT\)", st.family_contest, [*TASK, LANGUAGE], empty, **SIZES)
    found = st.target_winners([replace(LANGUAGE, family="last", r=LANGUAGE.r / 4), *TASK, LANGUAGE], np.array([3, 0]))
    expected = {"target": [3, 0], "family": ["language", "task"], "layer": ["mean", "early"], "r": [0.31, 0.5]}
    expected |= {"margin": [0.01, 0.3], "second": ["task", "language"], "q": [0.03, 0.03]}
    pd.testing.assert_frame_equal(found[[*expected]], pd.DataFrame(expected))


def test_draws_of_regions_equal_their_definition() -> None:
    rng = np.random.default_rng(4)
    measured = rng.normal(size=(40, 6))
    predicted = measured + rng.normal(size=(40, 6))
    predicted[:, 1] = 3.0  # constant
    regions = {"V1": np.array([0, 1]), "IT": np.isin(np.arange(6), [2, 3, 5]), "gone": np.array([1])}
    draws, null = st.region_draws(predicted, measured, regions, n_draws=50, n_permutations=30, seed=5)
    plain = st.bootstrap_correlations(predicted, measured, list(regions.values()), n_draws=50, seed=5)
    np.testing.assert_allclose(draws[:, 0], plain[:, 0] / 2, atol=1e-6)  # the constant one counts as 0
    np.testing.assert_allclose(draws[:, 1], plain[:, 1], atol=1e-6)
    assert (draws[:, 2] == 0).all()
    every = st.permuted_correlations(predicted, measured, 30, 5, n_maps=30).maps
    np.testing.assert_allclose(null[:, 1], every[:, [2, 3, 5]].mean(axis=1), atol=1e-5)
    again, _ = st.region_draws(-predicted, measured, regions, n_draws=50, n_permutations=1, seed=5)
    np.testing.assert_allclose(again[:, 1], -draws[:, 1], atol=1e-5)  # paired: the same rows were drawn


def kept(**changes: object) -> st.RegionDraws:
    values = {"a.b": np.arange(6, dtype=np.float32).reshape(3, 2), "c": np.ones((3, 2), dtype=np.float32)}
    return replace(st.RegionDraws(dict(REGIONS), values, values, ["x", "y"], 300), **changes)


def test_fits_of_other_stimuli_or_targets_are_refused() -> None:
    for one, other, message in (
        (kept(test_ids=["x", "y", "z"]), kept(), "a was tested on 3 stimuli and b on 2, 2 of them the same"),
        (kept(regions=REGIONS | {"IT": np.array([2])}), kept(), "in IT a was scored on 1 targets and b on 2, 1"),
        (kept(), kept(regions=REGIONS | {"V4": np.array([9])}), "in V4 a was scored on 0 targets and b on 1, 0"),
    ):
        refused(message, one.check_same, other, "a", "b")


def preference(scores: np.ndarray, noise: float = 0.01, null: float = 0.02, **options: float):
    rng = np.random.default_rng(0)
    draws = scores + noise * rng.normal(size=(400, *scores.shape))
    null_r, rois = null * rng.normal(size=(199, *scores.shape)), [f"area{k}" for k in range(len(scores))]
    return st.layer_preference(scores, draws, null_r, rois, LAYERS[: scores.shape[1]], **options)


def test_preferences_by_hand() -> None:
    scores = np.array([[0.1, 0.5, 0.4, 0.2], [0.3, 0.31, 0.1, 0.0], [0.01, 0.0, -0.02, 0.005], [0.0, 0.4, np.nan, 0.1]])
    table = preference(scores).set_index("roi")
    assert not preference(np.array([[0.5, 0.5 - 1e-9]]), noise=1e-12)["decided"][0]  # a layer and its copy
    assert (table["best"].tolist(), table["second"].tolist()) == (["b", "b", "a", "b"], ["c", "a", "d", "d"])
    np.testing.assert_allclose(table["r"], [0.5, 0.31, 0.01, 0.4])
    np.testing.assert_allclose(table["r_second"], [0.4, 0.3, 0.005, 0.1])
    np.testing.assert_allclose(table["margin"], [0.1, 0.01, 0.005, 0.3])
    np.testing.assert_allclose(table["margin_se"], 0.01 * np.sqrt(2), rtol=0.15)
    assert table["decided"].tolist() == [True, False, False, True]
    assert table.loc["area1", "reason"] == "best layer does not beat the second by more than 2 SE"
    assert table.loc["area2", "reason"].startswith("r is not above its permuted null (p = ")
    assert (table.loc["area0", "p"], table["decided"].dtype) == (1 / 200, bool)


def test_one_layer_and_none() -> None:
    table = preference(np.array([[0.5], [np.nan]]))
    assert table["decided"].tolist() == [False, False]
    assert table["reason"].tolist() == ["no second layer to compare with", "no layer has a score"]
    assert table["best"].tolist() == ["a", ""]
    np.testing.assert_allclose(table["p"], [1 / 200, np.nan])
    np.testing.assert_allclose(table["r"], [0.5, np.nan])
    assert preference(np.array([[0.0]])).loc[0, "reason"].endswith("; no second layer to compare with")
    for shapes in (
        [(2, 3), (3, 2, 4), (3, 2, 4)], [(2, 4), (3, 2, 3), (3, 2, 4)], [(2, 4), (1, 2, 4), (3, 2, 4)],
        [(2, 4), (3, 2, 4), (3, 1, 4)], [(2, 4), (3, 2, 4), (0, 2, 4)],
    ):  # fmt: skip
        refused(r"got \(2, [34]\)", st.layer_preference, *map(np.zeros, shapes), ["V1", "V2"], LAYERS)
