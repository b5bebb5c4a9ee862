"""Planted codes and latencies decoded over time, size and power of the cluster tests."""

import numpy as np
import pytest
from scipy.sparse import diags_array
from scipy.stats import beta, binomtest
from shown import Record, within
from worlds.small import category_epochs

from brainalign.geometry import auc, decode_generalization, decode_times, leave_one_group_out, sensor_effects
from brainalign.statistics import Exchange, cluster_permutation, first_hump, hump_latency, score_latency

PEAK, STEP = 0.17, 0.01
SEEDS = (0, 1, 2)
SMALL = {"n_trials": 60, "n_recordings": 3, "n_sensors": 4, "step_s": 0.05, "smoothness": 0.7, "width_s": 0.06}


def decoded(seed: int, **planted: object):
    """Return a world, its score over time, 100 draws of it, and the latency of the highest hump."""
    world = category_epochs(seed=seed, **planted)
    folds = leave_one_group_out(world.recordings)
    found = decode_times(world.values, world.labels, folds)
    exchange = Exchange(world.labels, np.arange(len(world.labels)), world.recordings)
    draws = found.draws(folds, exchange.draws(100, np.random.default_rng(seed)))
    return world, found.score, draws, hump_latency(found.score, draws, world.times, chance=0.5, n_folds=len(folds))


def true_rise() -> float:
    """Return where the area under the curve of the best weights rises to half its height."""
    world = category_epochs(60_000, 1, 1, amplitude=1.5, seed=99)
    course = auc(np.moveaxis(world.values[:, 0], 0, -1), world.labels == "b")
    course = np.maximum(course, 1 - course)
    best, half = course.argmax(), 0.5 + (course.max() - 0.5) / 2
    last = np.flatnonzero(course[:best] < half)[-1]
    return float(np.interp(half, course[[last, last + 1]], world.times[[last, last + 1]]))


def test_a_planted_latency_is_found() -> None:
    world, score, _, hump = decoded(0)
    assert abs(hump.centre - PEAK) <= 0.012
    assert abs(world.times[score.argmax()] - PEAK) <= 0.012 + STEP
    assert hump.centre_low <= PEAK <= hump.centre_high
    assert np.abs(score[world.times < 0.0] - 0.5).max() < 0.15
    assert abs(hump.rise - true_rise()) <= 0.012


@pytest.mark.acceptance
def test_latencies(record: Record) -> None:
    """Latencies of a planted hump (170 ms, sd 40 ms): 3 x 40 worlds of 240 trials in 6 recordings"""
    rise, humps = true_rise(), [decoded(1000 * (seed + 1) + k)[-1] for seed in SEEDS for k in range(40)]
    inside = [(h.centre_low <= PEAK <= h.centre_high, h.rise_low <= rise <= h.rise_high) for h in humps]
    mean_error = [abs(np.mean([h.centre for h in humps[k : k + 40]]) - PEAK) for k in (0, 40, 80)]
    errors = [(abs(h.centre - PEAK), abs(h.rise - rise)) for h in humps]
    cover, error = np.mean(inside, axis=0), 1000 * np.median(errors, axis=0)
    record("centre: coverage of 95 % intervals", f"{cover[0]:.3f}", "compatible with .95")
    record("centre: median error; largest", f"{error[0]:.1f} ms; {1000 * np.max(errors, axis=0)[0]:.1f} ms", "12 ms")
    record("rise: coverage of 95 % intervals", f"{cover[1]:.3f}", "compatible with .95")
    record("rise: median error", f"{error[1]:.1f} ms", "12 ms")
    assert max(mean_error) <= 0.012
    assert np.quantile(errors, 0.95, axis=0).max() <= 0.016
    for hits in np.sum(inside, axis=0):
        assert binomtest(int(hits), len(inside), 0.95).pvalue > 0.01


def first_of_two(seed: int) -> tuple[float, bool, bool]:
    """Return the error of the first of two equal humps (150, 350 ms), if covered, and if the highest is decided."""
    world, score, draws, _ = decoded(seed, peaks_s=(0.15, 0.35), amplitude=1.5)
    after = world.times >= 0
    score, draws, times = score[after], draws[:, after], world.times[after]
    window = first_hump(score, times, 0.62, chance=0.5)  # about what the largest of permuted labels reaches
    assert window is not None
    hump = hump_latency(score, draws, times, chance=0.5, window=window)
    highest = score_latency(score, draws, np.full_like(draws, 0.5), times, chance=0.5)
    return hump.centre - 0.15, hump.centre_low <= 0.15 <= hump.centre_high, highest.decided


@pytest.mark.acceptance
def test_first_humps(record: Record) -> None:
    """First of two equal humps (150 and 350 ms): 3 x 20 worlds of 240 trials in 6 recordings"""
    found = np.array([first_of_two(100 * (seed + 1) + k) for seed in SEEDS for k in range(20)])
    record("median error; largest", f"{1000 * np.median(np.abs(found[:, 0])):.1f} ms; "
           f"{1000 * np.abs(found[:, 0]).max():.1f} ms", "12 ms")  # fmt: skip
    within(record, "coverage of 95 % intervals, given a first hump", found[:, 1].mean(), least=0.85)
    within(record, "highest of two equal humps called decided", found[:, 2].mean(), most=0.1)
    assert np.abs(found[:, 0].mean()) <= 0.012
    assert np.quantile(np.abs(found[:, 0]), 0.95) <= 0.016


def squares(seed: int) -> dict[str, tuple[float, float]]:
    peaks = (0.1, 0.25, 0.4)
    found = {}
    for code in ("lasting", "moving"):
        world = category_epochs(peaks_s=peaks, amplitude=2.5, code=code, step_s=0.025, smoothness=0.7, seed=seed)
        score, _ = decode_generalization(world.values, world.labels, leave_one_group_out(world.recordings))
        at = [int(np.abs(world.times - peak).argmin()) for peak in peaks]
        block = score[np.ix_(at, at)]
        found[code] = float(np.diag(block).mean()), float(block[~np.eye(3, dtype=bool)].mean())
    return found


@pytest.mark.acceptance
def test_generalisation_over_time(record: Record) -> None:
    """Generalisation over time: area under the curve on and off the diagonal, 3 seeds"""
    for seed in SEEDS:
        found = squares(seed + 10)
        assert min(found["lasting"][0], found["moving"][0]) > 0.85
        assert found["lasting"][1] > found["lasting"][0] - 0.05
        assert abs(found["moving"][1] - 0.5) < 0.08
        for code, (on, off) in found.items():
            record(f"seed {seed}, {code}: on, off the diagonal", f"{on:.3f}, {off:.3f}", "lasting: equal; moving: .5")


def smallest_p(kind: str, amplitude: float, seed: int, n_permutations: int = 39) -> float:
    world = category_epochs(**SMALL, amplitude=amplitude, seed=seed)
    exchange = Exchange(world.labels, np.arange(len(world.labels)), world.recordings)
    permuted = exchange.permuted(n_permutations, np.random.default_rng([seed, 1]))
    if kind == "sensors x time":
        chain = diags_array([np.ones(3)] * 2, offsets=[-1, 1])
        test = cluster_permutation(*sensor_effects(world.values, world.labels, permuted), chain, tail="both", power=2)
    elif kind == "time":
        found = decode_times(world.values, world.labels, leave_one_group_out(world.recordings), permuted=permuted)
        test = cluster_permutation(found.score[None], found.null[:, None])
    else:
        folds, values = leave_one_group_out(world.recordings), world.values[:, :, ::2]
        score, null = decode_generalization(values, world.labels, folds, permuted=permuted)
        test = cluster_permutation(score, null, diags_array([np.ones(len(score) - 1)] * 2, offsets=[-1, 1]))
    return min([cluster.p for cluster in test.clusters], default=1.0)


@pytest.mark.acceptance
@pytest.mark.parametrize("kind", ["time", "time x time", "sensors x time"])
def test_calibration(record: Record, kind: str) -> None:
    """Clusters of decoding: 501 worlds without effect, 102 with one of 1.5 sd, three sets of seeds each"""
    null = [smallest_p(kind, 0.0, 10_000 * seed + k) <= 0.05 for seed in SEEDS for k in range(167)]
    power = [smallest_p(kind, 1.5, 10_000 * seed + 5000 + k) <= 0.05 for seed in SEEDS for k in range(34)]
    upper = beta.ppf(0.95, sum(null) + 1, len(null) - sum(null))
    within(record, f"{kind}: false positives at .05, upper bound", upper, f" of {np.mean(null):.3f}", most=0.075)
    within(record, f"{kind}: power", np.mean(power), least=0.8)
