"""Distances on simulated truth: what noise adds to them, which true ones they find, and where in the cortex."""

import numpy as np
import pytest
from scipy.stats import binomtest
from shown import Record

from brainalign import geometry
from brainalign.datasets import load_mesh

RUNS, CONDITIONS, CHANNELS = 6, 8, 50
SEEDS = [pytest.param((0,), 300, id="reduced"), pytest.param(range(6), 1000, id="full", marks=pytest.mark.acceptance)]


def labels() -> tuple[np.ndarray, np.ndarray]:
    return np.tile(np.arange(CONDITIONS), RUNS), np.repeat(np.arange(RUNS), CONDITIONS)


def z_of(found: np.ndarray, truth: np.ndarray) -> float:
    """Return how many standard errors the mean over pairs of RDMs (n_simulations, n_pairs) lies from the truth."""
    errors = (found - truth).mean(axis=1)
    return float(errors.mean() / (errors.std(ddof=1) / np.sqrt(len(errors))))


@pytest.mark.parametrize(("seeds", "n"), SEEDS)
def test_noise_alone(seeds: range, n: int, record: Record) -> None:
    """Distances of noise alone, six runs of unit noise"""
    conditions, runs = labels()
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
    assert max(map(abs, z)) < 3
    assert max(abs(share - 0.5) for share in whole) < 0.05  # nothing was cut off
    assert max(map(abs, biased)) < 3
    worst = max(z, key=abs)
    record("crossnobis, balanced or not: distance from 0", f"{worst:+.1f} SE at most, {len(z)} worlds", "within 3 SE")
    record("euclidean: 2 sigma^2 / R", f"{np.mean(averaged):.4f}", f"{2 / RUNS:.4f} within 3 SE")


@pytest.mark.parametrize(("seeds", "n"), SEEDS)
def test_planted_distances_under_correlated_noise(seeds: range, n: int, record: Record) -> None:
    """Planted Mahalanobis distances, noise known or estimated from independent residuals"""
    conditions, runs = labels()
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
    assert max(map(abs, z)) < 3.3
    assert min(fit) > 0.99
    record(
        "crossnobis: distance from the truth", f"{max(z, key=abs):+.1f} SE at most, {len(z)} worlds", "within 3.3 SE"
    )
    record("correlation of mean and true distances", f"{min(fit):.3f} at least", "> .99")


N_STIMULI, N_PERMUTATIONS, RADIUS_MM = 12, 199, 2.0
EFFECT = 1.0  # sd of the planted patterns, in noise of sd 1


def sizes(full: int, power: int) -> pytest.MarkDecorator:
    """Run a test with few simulations in `make test` and with `full` null simulations in `make acceptance`."""
    cases = [pytest.param(40, 8, id="reduced"), pytest.param(full, power, id="full", marks=pytest.mark.acceptance)]
    return pytest.mark.parametrize(("n_null", "n_power"), cases)


@pytest.fixture(scope="module")
def around() -> geometry.Neighbourhoods:
    return geometry.volume_neighbourhoods(VOXELS, np.eye(4), RADIUS_MM)


VOXELS = np.argwhere(np.ones((7, 7, 5), dtype=bool))
CENTRE = np.array([2, 3, 2])


def measured(rng: np.random.Generator, features: np.ndarray, inside: np.ndarray, effect: float) -> np.ndarray:
    """Return noise, and inside the planted place the features mixed at random into voxels."""
    patterns = rng.normal(size=(len(features), len(inside)))
    mixing = rng.normal(size=(features.shape[1], int(inside.sum()))) / np.sqrt(features.shape[1])
    patterns[:, inside] += effect * features @ mixing
    return patterns


@sizes(full=600, power=100)
def test_size_and_power_of_the_largest_fit(
    around: geometry.Neighbourhoods, record: Record, n_null: int, n_power: int
) -> None:
    """Searchlight: false positives anywhere on the map, and a planted sphere of radius 2 voxels."""
    inside = np.linalg.norm(VOXELS - CENTRE, axis=1) <= RADIUS_MM
    hits = {0.0: 0, EFFECT: 0}
    for effect, n in ((0.0, n_null), (EFFECT, n_power)):
        for seed in range(n):
            rng = np.random.default_rng([seed, round(10 * effect)])
            features = rng.normal(size=(N_STIMULI, 6))
            search = geometry.Searchlight(measured(rng, features, inside, effect), around, "correlation")
            found = geometry.searchlight_map(
                search, geometry.rdm(features, "correlation"), "pearson", N_PERMUTATIONS, seed
            )
            p = found.p_fwer[0]
            hits[effect] += int((p <= 0.05).any() if effect == 0 else (p[inside] <= 0.05).any())
    size, power = hits[0.0] / n_null, hits[EFFECT] / n_power
    bound = float(binomtest(hits[0.0], n_null, alternative="less").proportion_ci(0.95).high)
    record("false positives anywhere (95 % bound)", f"{size:.3f} ({bound:.3f})", "<= .07 (<= .075)")
    record(f"power for patterns of sd {EFFECT} in noise of sd 1", f"{power:.2f}", ">= .8")
    if n_null >= 500:
        assert size <= 0.07
        assert bound <= 0.075
        assert power >= 0.8
    else:
        assert binomtest(hits[0.0], n_null, 0.05, alternative="greater").pvalue > 0.01
        assert binomtest(hits[EFFECT], n_power, 0.8, alternative="less").pvalue > 0.01


@pytest.mark.parametrize("method", ["correlation", "crossnobis"])
def test_a_planted_sphere_is_found(around: geometry.Neighbourhoods, method: str) -> None:
    inside = np.linalg.norm(VOXELS - CENTRE, axis=1) <= RADIUS_MM
    for seed in range(3):
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(N_STIMULI, 6))
        true = measured(rng, features, inside, 2.0)
        runs = np.repeat(np.arange(4), N_STIMULI)
        patterns = np.tile(true, (4, 1)) + rng.normal(size=(4 * N_STIMULI, len(VOXELS)))
        search = geometry.Searchlight(patterns, around, method, runs=runs)
        model = geometry.rdm(features, "correlation" if method == "correlation" else "euclidean")
        found = geometry.searchlight_map(search, model, "pearson", N_PERMUTATIONS, seed)
        peak = VOXELS[np.nanargmax(found.scores[0])]
        assert np.linalg.norm(peak - CENTRE) <= 1.0
        assert found.p_fwer[0].min() <= 0.05


def test_a_planted_patch_is_found_on_the_surface() -> None:
    mesh = load_mesh("L", 10_242)
    near = np.linalg.norm(mesh.coordinates - mesh.coordinates[500], axis=1) < 30  # a part, for speed
    around = geometry.surface_neighbourhoods(mesh.coordinates, mesh.faces, radius_mm=10.0, cortex=mesh.cortex & near)
    centre = 500
    row = int(np.flatnonzero(around.centres == centre)[0])
    patch = np.zeros(len(mesh.cortex), dtype=bool)
    patch[around.members[[row]].indices] = True
    ring = geometry.surface_neighbourhoods(mesh.coordinates, mesh.faces, n_nearest=7, cortex=mesh.cortex & near)
    neighbours = set(ring.members[[row]].indices)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        patterns = rng.normal(size=(N_STIMULI, len(patch)))
        planted = 2 * rng.normal(size=(N_STIMULI, int(patch.sum())))
        patterns[:, patch] += planted
        search = geometry.Searchlight(patterns, around, "correlation")
        found = geometry.searchlight_map(search, geometry.rdm(planted, "correlation"), "pearson", N_PERMUTATIONS, seed)
        assert around.centres[np.nanargmax(found.scores[0])] in neighbours
        assert found.p_fwer[0, row] <= 0.05
