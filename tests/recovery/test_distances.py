"""Distances on simulated truth: what noise adds to them, and which true distances they find."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from brainalign.geometry import noise_covariance, rdm

Record = Callable[[str, object, str], None]
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
        crossnobis = rdm(noise, "crossnobis", conditions, runs)
        unbalanced = rdm(noise[:, held], "crossnobis", conditions[held], runs[held])
        z += [z_of(found, np.zeros(1)) for found in (crossnobis, unbalanced)]
        whole.append(float((crossnobis < 0).mean()))
        euclidean = rdm(noise, "euclidean", conditions)
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
        estimated = noise_covariance(rng.normal(size=(400, CHANNELS)) @ factor.T)
        for precision, matrix in ((known, known), (estimated, estimated.precision())):
            expected = rdm(truth, "mahalanobis", precision=matrix)
            found = rdm(truth[conditions] + noise, "crossnobis", conditions, runs, precision)
            z.append(z_of(found, expected))
            fit.append(np.corrcoef(found.mean(axis=0), expected)[0, 1])
    assert max(map(abs, z)) < 3.3
    assert min(fit) > 0.99
    record(
        "crossnobis: distance from the truth", f"{max(z, key=abs):+.1f} SE at most, {len(z)} worlds", "within 3.3 SE"
    )
    record("correlation of mean and true distances", f"{min(fit):.3f} at least", "> .99")
