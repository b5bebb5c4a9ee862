import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from refusals import refused
from worlds.hierarchy import row

from brainalign.encoding import LayerScores, convergence_scores, half_times
from brainalign.encoding.convergence import layer_orders, temporal_score

DISTANCE = np.array([0.0, 5, 12, 22, 30, 45, 52, 66])
BEST = np.array([0, 0, 1, 1, 2, 3, 2, 3])  # of 4 layers
TIMES = np.linspace(-0.1, 0.4, 51)
PEAKS = np.array([0.08, 0.12, 0.18, 0.22])


def layer_scores(best: np.ndarray = BEST, n_layers: int = 4, peaks: np.ndarray = PEAKS, seed: int = 0) -> LayerScores:
    """Return scores that peak at the best layer of each area, with small errors and nulls about 0."""
    rng = np.random.default_rng(seed)
    r = 0.5 - 0.1 * np.abs(np.arange(n_layers)[:, None] - best)
    shape = (100, *r.shape)
    course = 0.3 * np.exp(-((TIMES - peaks[:, None]) ** 2) / (2 * 0.02**2))  # (n_layers, n_times)
    found = {"choice_r": r + 0.001 * rng.normal(size=r.shape), "choice_draws": r + 0.01 * rng.normal(size=shape)}
    found |= {"choice_null": 0.03 * rng.normal(size=shape), "r": r, "null": 0.03 * rng.normal(size=shape)}
    found |= {"sensor_r": np.repeat(course[:, None], 3, axis=1)}
    found |= {"time_draws": course + 0.01 * rng.normal(size=(100, *course.shape))}
    return LayerScores(**found, time_null=0.01 * rng.normal(size=(100, *course.shape)))


def test_scores_and_exact_p() -> None:
    found = convergence_scores(layer_scores(), DISTANCE, times_s=TIMES)
    r = np.corrcoef(BEST, DISTANCE)[0, 1]
    others = [np.corrcoef(np.array(order)[BEST], DISTANCE)[0, 1] for order in itertools.permutations(range(4))]
    spatial = row(found, "spatial")
    assert spatial["value"] == pytest.approx(r)
    assert (spatial["p_layers"], spatial["n"]) == (pytest.approx(np.mean(np.array(others) >= r - 1e-9)), 8)
    assert 0 < spatial["p_independent_areas"] < spatial["p_areas"] < 1
    assert spatial["area_null"] == "smooth random maps"
    temporal = row(found, "temporal")
    assert temporal["value"] == pytest.approx(np.corrcoef(np.arange(4), PEAKS)[0, 1], abs=0.01)
    assert temporal["p_layers"] == pytest.approx(1 / 24)
    encoding = row(found, "encoding")
    assert (encoding["value"], encoding["p_stimuli"]) == (pytest.approx(0.5), pytest.approx(1 / 101))
    assert encoding["p_layers"] == pytest.approx(1 / 24)


def test_layers_are_chosen_on_one_half_and_scored_on_the_other() -> None:
    """The half that scores prefers the layers in reverse: were it to choose, others would be best, and score higher."""
    plain = layer_scores()
    turned = replace(plain, r=plain.r[::-1])
    found, before = (convergence_scores(scores, DISTANCE, times_s=TIMES) for scores in (turned, plain))
    scored = turned.r[BEST, np.arange(8)]
    assert row(found, "encoding")["value"] == pytest.approx(scored.mean())
    assert scored.mean() < 0.4
    for score in ("spatial", "spatial, centre of mass"):
        assert row(found, score)["value"] == row(before, score)["value"]
    np.testing.assert_allclose(found.areas.loc[found.areas["network"] == "trained", "encoding_r"], scored)
    choices = ["area", "network", "best", "decided", "centre_of_mass"]
    assert found.areas[choices].equals(before.areas[choices])


def test_latencies_that_drift_at_random_are_no_order_of_layers() -> None:
    """Neighbouring layers are alike: a null of exchangeable layers finds an order in a third of random walks."""
    orders, p = layer_orders(12, 500, np.random.default_rng(0)), []
    for seed in range(30):
        walk = np.random.default_rng(seed).normal(size=12).cumsum()
        found = temporal_score(walk[:, None], TIMES, pd.DataFrame({"decided": True, "latency_s": walk}), orders)
        p.append([found["p_latencies"], found["p_layers"]])
    smooth, exchanged = (np.array(p) <= 0.05).mean(axis=0)
    assert smooth <= 0.05 < 0.2 < exchanged


def test_spins_replace_smooth_maps(rng: np.random.Generator) -> None:
    spins = [rng.permutation(8) for _ in range(99)]
    found = row(convergence_scores(layer_scores(), DISTANCE, times_s=TIMES, spins=spins), "spatial")
    null = [np.corrcoef(BEST[order], DISTANCE)[0, 1] for order in spins]
    assert found["area_null"] == "spin"
    assert found["p_areas"] == pytest.approx((1 + np.sum(np.array(null) >= found["value"] - 1e-9)) / 100)


def test_bad_input() -> None:
    scores = layer_scores()
    refused(r"trained: 7 distances need r and choice_r \(n_layers, 7\)", convergence_scores, scores, DISTANCE[:7])
    refused(r"needs times_s \(51,\)", convergence_scores, scores, DISTANCE)
    refused("needs times_s", convergence_scores, replace(scores, time_null=None), DISTANCE, times_s=TIMES)
    refused("random: 8 distances", convergence_scores, scores, DISTANCE, random=layer_scores(BEST[:5]), times_s=TIMES)
    apart = np.zeros((3, 3))
    refused("separation_mm has shape", convergence_scores, scores, DISTANCE, times_s=TIMES, separation_mm=apart)
    lost = np.where(DISTANCE > 60, np.nan, DISTANCE)
    refused("leave out areas without a place", convergence_scores, scores, lost, times_s=TIMES)
    refused("layers has 2 rows", convergence_scores, scores, DISTANCE, times_s=TIMES, layers=["a", "b"])


def test_planted_half_times_between_checkpoints_above_rounding_and_bad_input() -> None:
    """Saturating curves s(t) = s0 + (1 - s0)(1 - 2^(-t / h)) reach half of their rise at h."""
    steps, halves = np.arange(0, 2001, 20.0), np.array([50.0, 130.0, 300.0])
    scores = 1 - 2 ** (-steps[:, None] / halves)
    found = half_times(steps, scores, ["V1", "V4", "IT"])
    expected = -halves * np.log2(1 - 0.5 * scores[-1])
    assert found["half_time"].to_numpy() == pytest.approx(expected, abs=0.05)
    assert found["half_time_from_start"].to_numpy() == pytest.approx(expected, abs=0.05)  # they start at 0
    assert found["relative"].to_numpy() == pytest.approx(expected / 2000, abs=1e-4)
    raised = half_times(steps, 0.2 + 0.8 * scores, ["V1", "V4", "IT"])
    assert raised["half_time_from_start"].to_numpy() == pytest.approx(expected, abs=0.05)
    assert (raised["half_time"] < raised["half_time_from_start"]).all()
    steps = np.array([0.0, 1, 2, 3, 4, 5])  # a sharp step: a cubic spline would swing below and cross the level earlier
    assert half_times(steps, np.array([0, 0, 0, 1.0, 1, 1]))["half_time"].item() == pytest.approx(2.5)
    assert 0 < half_times(steps, np.array([0, 0.6, 0.1, 0.2, 0.9, 1]))["half_time"].item() < 1  # of the first crossing
    assert half_times(steps, np.array([0, 0.25, 0.5, 0.75, 0.9, 1.0]))["half_time"].item() == 2
    assert half_times(steps, np.array([0.8, 0.5, 0.9, 1, 1, 1]))["half_time"].item() == 0
    steps, above = np.arange(5.0), np.nextafter(0.5, 1)  # at a local peak the cubic is flat, and no root lies before it
    assert half_times(steps, np.array([-0.5, -0.5, above, 0.2, 1.0]))["half_time"].item() == pytest.approx(2)
    refused("ascending order", half_times, np.array([0, 20, 10]), np.zeros(3))
    refused("scores has 2 rows but steps has 3", half_times, np.array([0, 10, 20]), np.zeros((2, 4)))
    refused("names has 1 rows", half_times, np.array([0, 10]), np.zeros((2, 2)), ["V1"])
