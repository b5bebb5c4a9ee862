"""Distances on simulated truth: what noise adds to them, and which true ones they find."""

import numpy as np
from scipy.stats import binomtest
from shown import Record, cases, check_size, within

from brainalign import geometry

RUNS, CONDITIONS, CHANNELS = 6, 8, 50
LABELS = np.tile(np.arange(CONDITIONS), RUNS), np.repeat(np.arange(RUNS), CONDITIONS)
seeds_and_draws = cases(((0,), 300), (range(6), 1000))("worlds")


def z_of(found: np.ndarray, truth: np.ndarray) -> float:
    errors = (found - truth).mean(axis=1)
    return float(errors.mean() / (errors.std(ddof=1) / np.sqrt(len(errors))))


@seeds_and_draws
def test_noise_alone(worlds: tuple[range, int], record: Record) -> None:
    """Distances of noise alone, six runs of unit noise"""
    seeds, n = worlds
    conditions, runs = LABELS
    held = ~np.isin(np.arange(RUNS * CONDITIONS), [9, 18, 27, 36, 45])  # five runs lack a condition each
    z, whole, averaged, biased = [], [], [], []
    for seed in seeds:
        noise = np.random.default_rng(seed).normal(size=(n, RUNS * CONDITIONS, CHANNELS))
        crossnobis = geometry.rdm(noise, "crossnobis", conditions, runs)
        unbalanced = geometry.rdm(noise[:, held], "crossnobis", conditions[held], runs[held])
        z += [z_of(found, np.zeros(1)) for found in (crossnobis, unbalanced)]
        whole.append(float((crossnobis < 0).mean()))
        euclidean = geometry.rdm(noise, "euclidean", conditions)
        averaged.append(float(euclidean.mean()))
        biased.append(z_of(euclidean, np.full(1, 2 / RUNS)))
    assert max(abs(share - 0.5) for share in whole) < 0.05  # nothing was cut off
    within(record, "crossnobis, balanced or not: SE from 0", max(map(abs, z)), f", {len(z)} worlds", most=3)
    means = f"; mean {np.mean(averaged):.4f}, expected {2 / RUNS:.4f}"
    within(record, "euclidean: SE from 2 sigma^2 / R", max(map(abs, biased)), means, most=3)


@seeds_and_draws
def test_planted_distances_under_correlated_noise(worlds: tuple[range, int], record: Record) -> None:
    """Planted Mahalanobis distances, noise known or estimated from independent residuals"""
    seeds, n = worlds
    conditions, runs = LABELS
    z, fit = [], []
    for seed in seeds:
        rng = np.random.default_rng(100 + seed)
        truth, mixing = rng.normal(size=(CONDITIONS, CHANNELS)), rng.normal(size=(CHANNELS, CHANNELS)) / 7
        covariance = mixing.T @ mixing + 0.5 * np.eye(CHANNELS)
        factor = np.linalg.cholesky(covariance)
        noise = rng.normal(size=(n, RUNS * CONDITIONS, CHANNELS)) @ factor.T
        known = np.linalg.inv(covariance)
        estimated = geometry.noise_covariance(rng.normal(size=(400, CHANNELS)) @ factor.T)
        for precision, matrix in ((known, known), (estimated, estimated.precision())):
            expected = geometry.rdm(truth, "mahalanobis", precision=matrix)
            found = geometry.rdm(truth[conditions] + noise, "crossnobis", conditions, runs, precision)
            z.append(z_of(found, expected))
            fit.append(np.corrcoef(found.mean(axis=0), expected)[0, 1])
    within(record, "crossnobis: SE from the truth", max(map(abs, z)), f", {len(z)} worlds", most=3.3)
    within(record, "correlation of mean and true distances", min(fit), " at least", least=0.99)


N_STIMULI, N_PERMUTATIONS, RADIUS_MM = 12, 199, 2.0
EFFECT = 1.0  # sd of the planted patterns, in noise of sd 1

VOXELS = np.argwhere(np.ones((7, 7, 5), dtype=bool))


@cases((40, 8), (500, 100))("n")
def test_size_and_power_of_the_largest_fit(n: tuple[int, int], record: Record) -> None:
    """Searchlight: false positives anywhere on the map, and a planted sphere of radius 2 voxels."""
    n_null, n_power = n
    around = geometry.volume_neighbourhoods(VOXELS, np.eye(4), RADIUS_MM)
    inside, hits = np.linalg.norm(VOXELS - np.array([2, 3, 2]), axis=1) <= RADIUS_MM, {0.0: 0, EFFECT: 0}
    for effect, n in ((0.0, n_null), (EFFECT, n_power)):
        for seed in range(n):
            rng = np.random.default_rng([seed, round(10 * effect)])
            features = rng.normal(size=(N_STIMULI, 6))
            patterns = rng.normal(size=(N_STIMULI, len(inside)))
            mixing = rng.normal(size=(6, int(inside.sum()))) / np.sqrt(6)
            patterns[:, inside] += effect * features @ mixing  # mixed at random into voxels of the planted place
            search = geometry.Searchlight(patterns, around, "correlation")
            model = geometry.rdm(features, "correlation")
            p = geometry.searchlight_map(search, model, "pearson", N_PERMUTATIONS, seed).p_fwer[0]
            hits[effect] += int((p <= 0.05).any() if effect == 0 else (p[inside] <= 0.05).any())
    size, power = hits[0.0] / n_null, hits[EFFECT] / n_power
    check_size(record, "anywhere on the map", hits[0.0], n_null)
    record(f"power for patterns of sd {EFFECT} in noise of sd 1", f"{power:.2f}", ">= .8")
    assert size <= 0.07 or n_null < 500
    assert power >= 0.8 if n_null >= 500 else binomtest(hits[EFFECT], n_power, 0.8, alternative="less").pvalue > 0.01
