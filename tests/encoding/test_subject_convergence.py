from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.encoding import (
    HeldOut,
    Ridge,
    SplitScores,
    checkpoint_curves,
    converge_subjects,
    evaluate_held_out,
    split_scores,
)
from brainalign.encoding.convergence import mean_scores
from brainalign.encoding.scoring import area_places, half_rows, separations

N_LAYERS = 5
NAMES = [f"area{k}" for k in range(10)]
DEPTH = np.linspace(0, N_LAYERS - 1, len(NAMES))
PLACES = np.column_stack([np.full(10, -30.0), 8.0 * np.arange(10), 3 * np.cos(np.arange(10))])
TIMES = np.round(np.arange(-0.1, 0.4, 0.01), 3)
LAYERS = [f"layer{k}" for k in range(N_LAYERS)]


def areas(seed: int, gain: np.ndarray | float = 1.0, depth: np.ndarray = DEPTH, noise: float = 0.004) -> SplitScores:
    rng = np.random.default_rng(seed)
    r = np.asarray(gain) * (0.5 - 0.08 * np.abs(np.arange(N_LAYERS)[:, None] - np.round(depth)))
    shape = (120, *r.shape)
    arrays = {"places": PLACES, "ceiling_r": np.full(len(NAMES), 0.7)}
    for half in ("choice_", ""):
        arrays |= {f"{half}r": r + noise * rng.normal(size=r.shape), f"{half}draws": r + noise * rng.normal(size=shape)}
        arrays[f"{half}null"] = 0.05 * rng.normal(size=shape)
    return SplitScores(LAYERS, NAMES, "fMRI", arrays, (50, 50))


def sensors(seed: int, peaks: np.ndarray | None = None, kind: str = "mag") -> SplitScores:
    rng = np.random.default_rng(seed)
    peaks = 0.08 + 0.05 * np.arange(N_LAYERS) if peaks is None else peaks
    r = 0.3 * np.exp(-((TIMES - peaks[:, None]) ** 2) / (2 * 0.02**2))
    shape = (120, *r.shape)
    arrays = {"r": r + 0.005 * rng.normal(size=r.shape), "draws": r + 0.005 * rng.normal(size=shape)}
    arrays |= {"null": 0.02 * rng.normal(size=shape), "times_s": TIMES}
    return SplitScores(LAYERS, [], kind, arrays, (0, 100))


FLAT = np.zeros(len(NAMES))


def row(table: pd.DataFrame, score: str, subject: str, network: str = "trained") -> pd.Series:
    mine = table[(table["score"] == score) & (table["subject"] == subject) & (table["network"] == network)]
    assert len(mine) == 1
    return mine.iloc[0]


def test_subjects_and_their_mean() -> None:
    trained = {"01": areas(1), "02": areas(2), "03": sensors(3), "04": sensors(4, kind="eeg")}
    random = {"01": areas(5, depth=FLAT), "02": areas(6, depth=FLAT), "03": sensors(7, np.full(5, 0.1))}
    random["04"] = sensors(8, np.full(5, 0.1), "eeg")
    found = converge_subjects(trained, random, origin=["area0"], n_permutations=200)
    spatial = row(found.scores, "spatial", "mean")
    assert spatial["value"] == pytest.approx(np.corrcoef(np.round(DEPTH), np.arange(10))[0, 1], abs=0.01)
    assert spatial["n_subjects"] == 2
    assert np.isnan(spatial["low"])  # two subjects say nothing of others
    assert row(found.scores, "encoding", "01")["ceiling_r"] == pytest.approx(0.7)
    assert row(found.scores, "temporal", "03")["value"] > 0.99
    assert row(found.scores, "temporal", "04")["measured"] == "eeg"
    assert set(found.scores["subject"]) == {"01", "02", "mean", "03", "04"}  # MEG and EEG are not averaged
    assert "the same (layer0)" in row(found.scores, "spatial", "mean", "random")["reason"]
    assert row(found.scores, "temporal", "03", "random")["reason"]
    distances = found.areas[found.areas["subject"] == "01"].set_index(["network", "area"])["distance_mm"]
    assert distances["trained", "area0"] == pytest.approx(0)
    assert distances["trained", "area9"] == pytest.approx(np.linalg.norm(PLACES[9] - PLACES[0]))


def test_five_subjects_have_an_interval() -> None:
    trained = {f"{k:02d}": areas(k, noise=0.03) for k in range(5)} | {f"m{k}": sensors(k) for k in range(5)}
    random = {f"{k:02d}": areas(k + 10, depth=FLAT) for k in range(5)} | {f"m{k}": sensors(k) for k in range(5)}
    found = converge_subjects(trained, random, origin=["area0"], n_boot=200, n_permutations=200).scores
    for score in ("encoding", "spatial", "temporal"):
        mean = row(found, score, "mean")
        assert mean["low"] - 1e-9 <= mean["value"] <= mean["high"] + 1e-9
        assert mean["low"] < mean["high"] or score == "temporal"
        assert np.isnan(row(found, score, "m0" if score == "temporal" else "00")["low"])
    assert np.isnan(row(found, "spatial", "mean", "random")["low"])


def test_the_mean_averages_scores_draws_and_nulls() -> None:
    one, two = areas(1), areas(2)
    fewer = replace(two, areas=NAMES[:8], arrays={
        name: values[:8] if name == "places" else values[..., :8] for name, values in two.arrays.items()
    })  # fmt: skip
    mean = mean_scores([one, fewer])
    assert mean.areas == NAMES[:8]
    for name in ("r", "choice_null", "draws"):
        assert mean.arrays[name] == pytest.approx((one.arrays[name][..., :8] + two.arrays[name][..., :8]) / 2)
    other = sensors(2)
    shifted = replace(other, arrays={**other.arrays, "times_s": TIMES + 0.5})
    assert mean_scores([sensors(1), shifted]).reason == "subjects were measured at different times"
    assert "no region in common" in mean_scores([one, replace(two, areas=[f"x{k}" for k in range(10)])]).reason


def test_what_is_missing_is_said_in_the_table() -> None:
    nowhere = replace(areas(1), arrays={**areas(1).arrays, "places": np.full((10, 3), np.nan)})
    found = converge_subjects({"01": nowhere}, {"01": areas(5, depth=FLAT)}, origin=["area0"], n_permutations=200)
    spatial = row(found.scores, "spatial", "01")
    assert np.isnan(spatial["value"])
    assert "the targets have no coordinates" in spatial["reason"]
    assert row(found.scores, "encoding", "01")["value"] == pytest.approx(0.5, abs=0.02)
    assert found.areas["distance_mm"].isna().all()
    without = converge_subjects({"01": areas(1)}, {"01": areas(2)}, n_permutations=200)
    assert row(without.scores, "spatial", "01")["reason"] == "no region was named from which distances are measured"
    few = SplitScores(LAYERS, NAMES, reason="10 test images cannot be halved")
    both = {"01": few, "02": areas(2)}, {"01": few, "02": areas(3)}
    said = converge_subjects(*both, origin=["area0"], n_permutations=200).scores
    assert row(said, "encoding", "01")["reason"] == "10 test images cannot be halved"
    assert row(said, "spatial", "02")["value"] > 0.9
    assert "mean" not in set(said["subject"])


def test_some_areas_take_part() -> None:
    chosen = ["area2", "area4", "area6", "area8"]
    given = {"01": areas(1)}, {"01": areas(2)}
    found = converge_subjects(*given, origin=["area0", "area1"], areas=chosen, n_permutations=200)
    trained = found.areas[found.areas["network"] == "trained"]
    assert trained["area"].tolist() == chosen
    start = PLACES[:2].mean(axis=0)
    assert trained["distance_mm"].iloc[0] == pytest.approx(np.linalg.norm(PLACES[2] - start))


def test_refusals() -> None:
    given = {"01": areas(1)}, {"01": areas(2)}
    refused("region 'area00' is not among .*did you mean 'area0'", converge_subjects, *given, origin=["area00"])
    refused("fit both to the same subjects", converge_subjects, {"01": areas(1)}, {"02": areas(2)})
    refused("half-times need 2 or more checkpoints", checkpoint_curves, {0: {"01": areas(1)}})
    refused("of the same subjects", checkpoint_curves, {0: {"01": areas(1)}, 9: {"02": areas(1)}})


STEPS = (0, 1, 3, 10, 30, 100, 300)
HALF = 2.0 * 1.6 ** np.arange(10)  # planted half-times of the areas


def training() -> dict[int, dict[str, SplitScores]]:
    late = 0.05 * np.arange(5)
    found = {step: {"01": areas(step, step / (step + HALF), noise=0.002)} for step in STEPS}
    return {step: who | {"02": sensors(step, 0.08 + late * (step >= 10))} for step, who in found.items()}


def test_half_times_of_areas_are_found_in_their_order() -> None:
    found = checkpoint_curves(training(), origin=["area0"])
    times = found.half_times[(found.half_times["score"] == "encoding") & (found.half_times["area"] != "")]
    assert times["area"].tolist() == NAMES
    assert (np.diff(times["half_time"]) > 0).all()
    expected = HALF / (1 + 2 * HALF / STEPS[-1])  # half of the last score, which is not yet the ceiling
    assert times["half_time"].to_numpy() == pytest.approx(expected, rel=0.25)
    assert (times["low"] <= times["half_time"]).all()
    assert (times["half_time"] <= times["high"]).all()
    whole = found.half_times[found.half_times["area"] == ""].set_index("score")
    assert 3 <= whole.loc["temporal", "half_time"] <= 10
    curve = found.curves[(found.curves["score"] == "temporal")].set_index("step")["value"]
    assert curve[0] == 0  # one latency for all layers is no order
    assert curve[300] > 0.99
    assert set(found.curves["step"]) == set(STEPS)


def test_layers_of_a_checkpoint_are_chosen_on_the_other_half() -> None:
    """The half that scores prefers the layers in reverse, which must not change what is scored."""
    given = {step: {"01": areas(step, step / (step + HALF))} for step in STEPS}
    turned = {
        step: {"01": replace(some["01"], arrays={**some["01"].arrays, "r": some["01"].arrays["r"][::-1]})}
        for step, some in given.items()
    }
    curves = checkpoint_curves(turned).curves
    assert set(curves["score"]) == {"encoding"}  # no order of areas without a place to begin
    last = curves[(curves["score"] == "encoding") & (curves["step"] == STEPS[-1])].set_index("area")["value"]
    arrays = turned[STEPS[-1]]["01"].arrays
    expected = arrays["r"][arrays["choice_r"].argmax(axis=0), np.arange(len(NAMES))]
    np.testing.assert_allclose(last[NAMES], expected)
    assert last[""] == pytest.approx(expected.mean())
    assert (last[NAMES] < arrays["r"].max(axis=0) - 0.05).any()


def test_a_subject_without_scores_has_no_curve() -> None:
    few = SplitScores(LAYERS, NAMES, reason="10 test images cannot be halved")
    found = checkpoint_curves({step: {"01": few} for step in (0, 10)}, origin=["area0"])
    assert found.curves.empty
    assert found.half_times.empty


AREAS = {"V1": np.arange(5), "V4": np.arange(5, 12), "empty": np.empty(0, dtype=int)}


def targets(n: int = 12) -> pd.DataFrame:
    table = pd.DataFrame({"target_id": [f"v{k}" for k in range(n)], "kind": "vertex", "hemi": "L", "roi": [[]] * n})
    return table.assign(x_mm=-10.0, y_mm=np.arange(n, dtype=float), z_mm=0.0)


def fits(n_test: int = 40, n_layers: int = 2) -> dict[str, HeldOut]:
    rng = np.random.default_rng(0)
    n = 60 + n_test
    layers = [rng.normal(size=(n, 6)) for _ in range(n_layers)]
    Y = layers[0] @ rng.normal(size=(6, 12)) + rng.normal(size=(n, 12))
    names = np.array([f"image{k}" for k in rng.permutation(n)])
    split, options = (np.arange(60), np.arange(60, n), names), {"n_permutations": 50, "n_boot": 50}
    made = [evaluate_held_out(Ridge((1.0, 10.0)), X, Y, *split, target_groups=AREAS, **options) for X in layers]
    return {f"layer{k}": one for k, one in enumerate(made)}


def test_halves_depend_on_the_stimuli_alone() -> None:
    names = np.array([f"image{k}" for k in range(31)])
    choice, scored = half_rows(names, seed=3)
    assert (len(choice), len(scored)) == (15, 16)
    assert sorted([*choice, *scored]) == list(range(31))
    order = np.random.default_rng(1).permutation(31)
    again, _ = half_rows(names[order], seed=3)
    assert set(names[order][again]) == set(names[choice])
    assert set(half_rows(names, seed=4)[0]) != set(choice)


def test_each_half_is_scored_by_itself() -> None:
    results = fits()
    found = split_scores(results, targets(), AREAS, ceiling=np.full(12, 0.25), n_permutations=50, n_draws=60, seed=1)
    assert found.layers == ["layer0", "layer1"]
    assert found.areas == list(AREAS)
    assert found.n_stimuli == (20, 20)
    first = results["layer0"]
    for name, rows in zip(("choice_r", "r"), half_rows(first.test_ids, 1), strict=True):
        by_hand = [np.corrcoef(first.predicted[rows, v], first.measured[rows, v])[0, 1] for v in AREAS["V4"]]
        assert found.arrays[name][0, 1] == pytest.approx(np.mean(by_hand), abs=1e-5)
    assert found.arrays["choice_draws"].shape == (60, 2, 3)
    assert found.arrays["null"].shape == (50, 2, 3)
    assert abs(found.arrays["null"][:, 0, 0].mean()) < 0.1
    assert found.arrays["draws"][:, 0, 0].mean() == pytest.approx(found.arrays["r"][0, 0], abs=0.1)
    assert np.isnan(found.arrays["r"][:, 2]).all()  # no target, no score
    assert found.arrays["ceiling_r"][:2] == pytest.approx(0.5)
    again = SplitScores.of(found.arrays, found.details)
    assert again.details == found.details


def test_what_cannot_be_halved_says_so() -> None:
    few = split_scores(fits(n_test=13), targets(), AREAS)
    assert few.reason == "13 test images cannot be halved: either half needs 7, for a null"
    assert not few.arrays
    assert split_scores(fits(), targets(), {}).reason == "no target lies in a named region"


def test_sensors_keep_all_test_stimuli() -> None:
    results = {name: replace(found, groups=["0.0", "0.1", "all"]) for name, found in fits().items()}
    sensors = targets().assign(sensor_type=["mag", "grad"] * 6)
    groups = {"0.0": AREAS["V1"], "0.1": AREAS["V4"]}
    found = split_scores(results, sensors, groups, np.array([0.0, 0.1]))
    assert found.measured == "grad and mag"
    assert found.n_stimuli == (0, 40)
    assert found.arrays["r"] == pytest.approx(np.stack([some.group_r[:2] for some in results.values()]), abs=1e-6)
    assert found.arrays["draws"].shape == (50, 2, 2)


def test_places_mirror_the_right_hemisphere() -> None:
    table = targets(4).assign(hemi=["L", "R", "", ""], x_mm=[-30.0, 30.0, 20.0, -20.0], y_mm=0.0)
    places = area_places(table, [np.array([0, 1]), np.array([2, 3]), np.empty(0, dtype=int)])
    assert places[:2] == pytest.approx(np.array([[-30, 0, 0], [-20, 0, 0]]))  # not at the midline
    assert np.isnan(places[2]).all()
    assert separations(places[:2])[0, 1] == pytest.approx(10)
    assert np.isnan(area_places(table.drop(columns="x_mm"), [np.array([0])])).all()
    missing = table.assign(x_mm=[np.nan, 30.0, 20.0, -20.0])
    assert area_places(missing, [np.array([0, 1])])[0, 0] == pytest.approx(-30)
