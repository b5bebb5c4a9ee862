from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign import encoding
from brainalign.encoding import Ridge, SplitScores, checkpoint_curves, converge_subjects, split_scores
from brainalign.encoding.scoring import area_places, half_rows, separations

N_LAYERS = 5
NAMES = [f"area{k}" for k in range(10)]
DEPTH = np.linspace(0, N_LAYERS - 1, len(NAMES))
PLACES = np.column_stack([np.full(10, -30.0), 8.0 * np.arange(10), 3 * np.cos(np.arange(10))])
TIMES = np.round(np.arange(-0.1, 0.4, 0.01), 3)
LAYERS = [f"layer{k}" for k in range(N_LAYERS)]
FLAT = np.zeros(len(NAMES))
STEPS = (0, 1, 3, 10, 30, 100, 300)
HALF = 2.0 * 1.6 ** np.arange(10)  # planted half-times of the areas
AREAS = {"V1": np.arange(5), "V4": np.arange(5, 12), "empty": np.empty(0, dtype=int)}


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


def row(table: pd.DataFrame, score: str, subject: str, network: str = "trained") -> pd.Series:
    mine = table[(table["score"] == score) & (table["subject"] == subject) & (table["network"] == network)]
    assert len(mine) == 1
    return mine.iloc[0]


def test_intervals_hold_the_planted_order_where_layers_differ_between_subjects(rng: np.random.Generator) -> None:
    """Percentiles over draws of subjects, expanded or not, held it in 2 of 20 such worlds."""
    inside = []
    for world in range(8):
        some = {str(k): areas(10 * world + k, noise=0.01) for k in range(6)}
        for scores in some.values():
            own = 0.06 * rng.normal(size=(N_LAYERS, len(NAMES)))
            scores.arrays.update({name: scores.arrays[name] + own for name in ("choice_r", "r")})
        found = converge_subjects(some, some, origin=["area0"], n_permutations=9, n_boot=60)
        spatial = row(found.scores, "spatial", "mean")
        inside.append(spatial["low"] <= np.corrcoef(np.round(DEPTH), np.arange(10))[0, 1] <= spatial["high"])
    assert np.mean(inside) >= 0.85


def test_subjects_and_their_mean() -> None:
    trained = {"01": areas(1), "02": areas(2), "03": sensors(3), "04": sensors(4, kind="eeg")}
    random = {"01": areas(5, depth=FLAT), "02": areas(6, depth=FLAT), "03": sensors(7, np.full(5, 0.1))}
    random["04"] = sensors(8, np.full(5, 0.1), "eeg")
    found = converge_subjects(trained, random, origin=["area0"], n_permutations=200)
    spatial = row(found.scores, "spatial", "mean")
    assert spatial["value"] == pytest.approx(np.corrcoef(np.round(DEPTH), np.arange(10))[0, 1], abs=0.01)
    assert (spatial["n_subjects"], np.isnan(spatial["low"])) == (2, True)  # two subjects say nothing of others
    six = {str(k): areas(k, 0.7 + 0.1 * k) for k in range(6)}
    encoding_score = row(converge_subjects(six, six, n_permutations=9).scores, "encoding", "mean")
    reach = 2.57 * 0.05 * np.std(range(6), ddof=1) / np.sqrt(6)  # Student's t
    assert encoding_score["high"] - encoding_score["low"] == pytest.approx(2 * reach, rel=0.06)
    assert row(found.scores, "encoding", "01")["ceiling_r"] == pytest.approx(0.7)
    assert row(found.scores, "temporal", "03")["value"] > 0.99
    assert row(found.scores, "temporal", "04")["measured"] == "eeg"
    assert set(found.scores["subject"]) == {"01", "02", "mean", "03", "04"}  # MEG and EEG are not averaged
    assert "the same (layer0)" in row(found.scores, "spatial", "mean", "random")["reason"]
    assert row(found.scores, "temporal", "03", "random")["reason"]
    distances = found.areas[found.areas["subject"] == "01"].set_index(["network", "area"])["distance_mm"]["trained"]
    assert distances[NAMES].to_numpy() == pytest.approx(np.linalg.norm(PLACES - PLACES[0], axis=1))


def test_refusals() -> None:
    given = {"01": areas(1)}, {"01": areas(2)}
    refused("'area00' is not among .*did you mean 'area0'", converge_subjects, *given, origin=["area00"])
    refused("fit both to the same subjects", converge_subjects, {"01": areas(1)}, {"02": areas(2)})
    refused("half-times need 2 or more checkpoints", checkpoint_curves, {0: {"01": areas(1)}})
    refused("of the same subjects", checkpoint_curves, {0: {"01": areas(1)}, 9: {"02": areas(1)}})


def test_half_times_of_areas_are_found_in_their_order() -> None:
    late, given = 0.05 * np.arange(5), {step: areas(step, step / (step + HALF), noise=0.002) for step in STEPS}
    given[STEPS[-1]].arrays["draws"][:13, :, 9] = given[STEPS[-1]].arrays["draws"][:11, :, 8] = -1  # have no half-time
    both = {step: {"01": one, "02": sensors(step, 0.08 + late * (step >= 10))} for step, one in given.items()}
    found = checkpoint_curves(both, origin=["area0"])
    times = found.half_times[(found.half_times["score"] == "encoding") & (found.half_times["area"] != "")]
    assert times.sort_values("half_time")["area"].tolist() == NAMES
    expected = HALF / (1 + 2 * HALF / STEPS[-1])  # half of the last score, which is not yet the ceiling
    assert times["half_time"].to_numpy() == pytest.approx(expected, rel=0.25)
    inside = (times["low"] <= times["half_time"]) & (times["half_time"] <= times["high"])
    assert [*inside, *times["low"].isna()] == [True] * 9 + [False] * 10 + [True]  # more than a tenth of 120 draws
    assert 3 <= found.half_times[found.half_times["area"] == ""].set_index("score").loc["temporal", "half_time"] <= 10
    curve = found.curves[(found.curves["score"] == "temporal")].set_index("step")["value"]
    assert curve[0] == 0 < 0.99 < curve[300]  # one latency for all layers is no order
    assert set(found.curves["step"]) == set(STEPS)


def test_layers_of_a_checkpoint_are_chosen_on_the_other_half() -> None:
    """The half that scores prefers the layers in reverse, which must not change what is scored."""
    given = {step: {"01": areas(step, step / (step + HALF))} for step in STEPS}
    arrays = {step: some["01"].arrays | {"r": some["01"].arrays["r"][::-1]} for step, some in given.items()}
    turned = {step: {"01": replace(some["01"], arrays=arrays[step])} for step, some in given.items()}
    curves = checkpoint_curves(turned).curves
    assert set(curves["score"]) == {"encoding"}  # no order of areas without a place to begin
    last = curves[(curves["score"] == "encoding") & (curves["step"] == STEPS[-1])].set_index("area")["value"]
    arrays = turned[STEPS[-1]]["01"].arrays
    expected = arrays["r"][arrays["choice_r"].argmax(axis=0), np.arange(len(NAMES))]
    np.testing.assert_allclose(last[NAMES], expected)
    assert last[""] == pytest.approx(expected.mean())
    assert (last[NAMES] < arrays["r"].max(axis=0) - 0.05).any()


def targets(n: int = 12) -> pd.DataFrame:
    table = pd.DataFrame({"target_id": [f"v{k}" for k in range(n)], "kind": "vertex", "hemi": "L", "roi": [[]] * n})
    return table.assign(x_mm=-10.0, y_mm=np.arange(n, dtype=float), z_mm=0.0)


def test_halves_depend_on_the_stimuli_alone() -> None:
    names = np.array([f"image{k}" for k in range(31)])
    choice, scored = half_rows(names, seed=3)
    assert (len(choice), len(scored), sorted([*choice, *scored])) == (15, 16, list(range(31)))
    again = np.random.default_rng(1).permutation(names)
    assert list(again[half_rows(again, seed=3)[0]]) == list(names[choice])
    assert set(half_rows(names, seed=4)[0]) != set(choice)


def test_each_half_is_scored_by_itself(rng: np.random.Generator) -> None:
    layers = rng.normal(size=(2, 100, 6))
    Y = layers[0] @ rng.normal(size=(6, 12)) + rng.normal(size=(100, 12))
    split = np.arange(60), np.arange(60, 100), np.array([f"image{k}" for k in rng.permutation(100)])
    fit = partial(encoding.evaluate_held_out, Ridge((1.0, 10.0)), n_permutations=50, n_boot=50, target_groups=AREAS)
    results = {f"layer{k}": fit(X, Y, *split) for k, X in enumerate(layers)}
    found = split_scores(results, targets(), AREAS, ceiling=np.full(12, 0.25), n_permutations=50, n_draws=60, seed=1)
    assert (found.layers, found.areas, found.n_stimuli) == (["layer0", "layer1"], list(AREAS), (20, 20))
    first = results["layer0"]
    for name, rows in zip(("choice_r", "r"), half_rows(first.test_ids, 1), strict=True):
        by_hand = [np.corrcoef(first.predicted[rows, v], first.measured[rows, v])[0, 1] for v in AREAS["V4"]]
        assert found.arrays[name][0, 1] == pytest.approx(np.mean(by_hand), abs=1e-5)
    assert (found.arrays["choice_draws"].shape, found.arrays["null"].shape) == ((60, 2, 3), (50, 2, 3))
    assert abs(found.arrays["null"][:, 0, 0].mean()) < 0.1
    assert found.arrays["draws"][:, 0, 0].mean() == pytest.approx(found.arrays["r"][0, 0], abs=0.1)
    assert np.isnan(found.arrays["r"][:, 2]).all()  # no target, no score
    assert found.arrays["ceiling_r"][:2] == pytest.approx(0.5)
    assert SplitScores.of(found.arrays, found.details).details == found.details


@pytest.mark.parametrize("times", [None, TIMES[:3]])
def test_draws_and_nulls_of_subjects_are_paired_by_stimulus(times: np.ndarray | None, rng: np.random.Generator) -> None:
    X, Y, names = rng.normal(size=(50, 4)), rng.normal(size=(50, 12)), np.array([f"image{k}" for k in range(50)])
    fit, table = partial(encoding.evaluate_held_out, n_boot=9, target_groups=AREAS), targets().assign(sensor_type="eeg")
    found = []
    for order in (np.arange(50), np.r_[:20, rng.permutation(np.arange(20, 50))]):
        results = {"layer": fit(Ridge(), X[order], Y[order], np.arange(20), np.arange(20, 50), names[order])}
        found.append(split_scores(results, table, AREAS, times, n_permutations=9, n_draws=9).arrays)
    for name in ("r", "draws", "null"):
        np.testing.assert_allclose(found[0][name], found[1][name], atol=1e-5)


def test_places_mirror_the_right_hemisphere() -> None:
    table = targets(4).assign(hemi=["L", "R", "", ""], x_mm=[-30.0, 30.0, 20.0, -20.0], y_mm=0.0)
    places = area_places(table, [np.array([0, 1]), np.array([2, 3]), np.empty(0, dtype=int)])
    assert places == pytest.approx(np.array([[-30, 0, 0], [-20, 0, 0], [np.nan] * 3]), nan_ok=True)  # not the midline
    assert separations(places[:2])[0, 1] == pytest.approx(10)
    assert np.isnan(area_places(table.drop(columns="x_mm"), [np.array([0])])).all()
    assert area_places(table.assign(x_mm=[np.nan, 30.0, 20.0, -20.0]), [np.array([0, 1])])[0, 0] == pytest.approx(-30)
