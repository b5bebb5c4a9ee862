from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from refusals import refused
from sklearn.covariance import LedoitWolf

from brainalign.datasets import fit_whitener

TIMES = np.arange(-20, 50) / 100


def world(n_stimuli=30, n_repeats=8, n_sensors=12, seed=0, reference=False):
    """Return epochs with a known noise covariance, stimulus ids, targets and that covariance."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_sensors, n_sensors)) / np.sqrt(n_sensors) + np.eye(n_sensors)
    if reference:
        mixing -= mixing.mean(axis=0)
    signal = 3 * rng.normal(size=(n_stimuli, n_sensors, len(TIMES))) * (TIMES >= 0)
    noise = np.einsum("st,rtk->rsk", mixing, rng.normal(size=(n_stimuli * n_repeats, n_sensors, len(TIMES))))
    values = np.repeat(signal, n_repeats, axis=0) + noise
    ids = [str(k) for k in np.repeat(np.arange(n_stimuli), n_repeats)]
    targets = pd.DataFrame({"target_id": [f"s{k}" for k in range(n_sensors)], "sensor_type": "eeg"})
    return values, ids, targets, mixing @ mixing.T, noise


@pytest.mark.parametrize("noise", ["baseline", "residuals"])
@pytest.mark.parametrize("shrinkage", ["ledoit_wolf", "oas"])
def test_noise_of_new_epochs_becomes_white(noise, shrinkage) -> None:
    values, ids, targets, covariance, true_noise = world()
    whitener = fit_whitener(values[:160], TIMES, targets, noise=noise, stimulus_ids=ids[:160], shrinkage=shrinkage)
    whitened = whitener.transform(true_noise[160:])
    found = np.cov(np.moveaxis(whitened, 1, 2).reshape(-1, 12).T)
    before = np.corrcoef(np.moveaxis(true_noise[160:], 1, 2).reshape(-1, 12).T)
    np.testing.assert_allclose(found, np.eye(12), atol=0.12)
    assert np.abs(before - np.eye(12)).max() > 0.4  # there was something to whiten
    np.testing.assert_allclose(whitener.matrix @ covariance @ whitener.matrix.T, np.eye(12), atol=0.12)


def test_it_is_the_inverse_root_of_ledoit_wolf() -> None:
    values, ids, targets, *_ = world(n_stimuli=4, n_repeats=3)
    whitener = fit_whitener(values, TIMES, targets, stimulus_ids=ids)
    cells = values.reshape(4, 3, 12, len(TIMES))
    residuals = (cells - cells.mean(axis=1, keepdims=True)).reshape(12, 12, len(TIMES)) * np.sqrt(12 / 8)
    reference = LedoitWolf(assume_centered=True).fit(np.moveaxis(residuals, 1, 2).reshape(-1, 12))
    np.testing.assert_allclose(np.linalg.inv(whitener.matrix @ whitener.matrix), reference.covariance_, rtol=1e-8)
    assert whitener.shrinkage["eeg"] == pytest.approx(reference.shrinkage_)
    values, ids, targets, *_ = world(n_stimuli=6, n_repeats=4)
    single, *_ = world(n_stimuli=20, n_repeats=1, seed=1)
    alone = fit_whitener(values, TIMES, targets, stimulus_ids=ids).matrix
    both, names = np.concatenate([values, single]), [*ids, *[f"x{k}" for k in range(20)]]
    np.testing.assert_allclose(fit_whitener(both, TIMES, targets, stimulus_ids=names).matrix, alone)


def test_sensor_types_are_apart_and_an_average_reference_stays_removed() -> None:
    values, ids, targets, *_ = world()
    values[:, 6:] *= 1e-3
    targets["sensor_type"] = ["mag"] * 6 + ["grad"] * 6
    matrix = fit_whitener(values, TIMES, targets, stimulus_ids=ids).matrix
    assert not matrix[:6, 6:].any()
    assert np.median(np.diag(matrix)[6:] / np.diag(matrix)[:6]) == pytest.approx(1000, rel=0.7)
    values, ids, targets, *_ = world(reference=True)
    values -= values.mean(axis=1, keepdims=True)
    whitener = fit_whitener(values, TIMES, targets, stimulus_ids=ids)
    assert whitener.rank == {"eeg": 11}
    np.testing.assert_allclose(whitener.matrix.sum(axis=0), 0, atol=1e-6)
    assert np.abs(whitener.matrix).max() < 20


def test_what_is_missing_is_named() -> None:
    values, ids, targets, *_ = world(n_stimuli=4, n_repeats=2)
    refused("needs stimulus_ids", fit_whitener, values, TIMES, targets)
    refused("none of the 8 training stimuli was", fit_whitener, values, TIMES, targets, stimulus_ids=list("abcdefgh"))
    refused("no time lies in the window", fit_whitener, values[:, :, 20:], TIMES[20:], targets, noise="baseline")
    whitener = fit_whitener(values, TIMES, targets, stimulus_ids=ids)
    refused("has 11 rows but the whitener has 12", whitener.transform, values[:, :11])
    values[0, 0, 0] = np.nan
    refused("1 NaN", fit_whitener, values, TIMES, targets, stimulus_ids=ids)
