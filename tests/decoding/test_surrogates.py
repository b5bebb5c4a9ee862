from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.decoding import phase_randomised, spectrum_noise, time_reversed

Signals = np.ndarray


@pytest.fixture(scope="module")
def signals() -> Signals:
    """Trials of related channels: coloured noise and a wave at one time and phase."""
    rng = np.random.default_rng(0)
    mixing = np.array([[1, 0.8, 0], [0, 1, -0.6], [0.3, 0, 1]])
    noise = np.cumsum(rng.normal(size=(400, 3, 60)), axis=2) * 0.1 + rng.normal(size=(400, 3, 60))
    wave = np.exp(-0.5 * ((np.arange(60) - 20) / 3) ** 2)
    return mixing @ (noise - noise.mean() + wave)


def cross(signals: Signals) -> np.ndarray:
    spectrum = np.fft.rfft(signals, axis=2)
    return np.einsum("ncf,ndf->fcd", spectrum, spectrum.conj()) / len(signals)


@pytest.mark.parametrize("keep", ["power", "cross-spectrum"])
def test_random_phases(signals: Signals, keep: str) -> None:
    made = phase_randomised(signals, np.random.default_rng(1), keep)
    amplitude = np.abs(np.fft.rfft(signals, axis=2))
    np.testing.assert_allclose(np.abs(np.fft.rfft(made, axis=2)), amplitude, atol=1e-9)  # of every trial
    evoked, left = np.abs(signals.mean(axis=0)).max(), np.abs(made.mean(axis=0)).max()
    assert left < 0.3 * evoked
    assert abs(np.corrcoef(made.ravel(), signals.ravel())[0, 1]) < 0.05
    covariance, kept = (np.cov(one.swapaxes(0, 1).reshape(3, -1)) for one in (signals, made))
    if keep == "cross-spectrum":
        np.testing.assert_allclose(cross(made), cross(signals), atol=1e-9)
    else:
        assert np.abs(kept[0, 1]) < 0.15 * np.abs(covariance[0, 1])


@pytest.mark.parametrize("n_times", [60, 59])
@pytest.mark.parametrize("keep", ["power", "cross-spectrum"])
def test_noise_of_equal_spectrum(signals: Signals, keep: str, n_times: int) -> None:
    signals = signals[:, :, :n_times]
    made = spectrum_noise(np.tile(signals, (10, 1, 1)), np.random.default_rng(2), keep=keep)
    found, planted = cross(made), cross(signals)
    power = np.einsum("fcc->fc", planted).real
    np.testing.assert_allclose(np.einsum("fcc->fc", found).real, power, rtol=0.12)
    size = np.sqrt(power[:, :, None] * power[:, None])
    kept = np.abs(found - planted) / size if keep == "cross-spectrum" else np.abs(found) / size
    off = ~np.eye(3, dtype=bool)
    assert kept[:, off].max() < 0.08
    assert (np.abs(planted) / size)[:, off].max() > 0.5  # there was something to keep or lose
    # Nothing of single trials, and nothing of what is locked to their onset.
    assert np.abs(made.mean(axis=0)).max() < 0.15 * np.abs(signals.mean(axis=0)).max()
    assert abs(np.corrcoef(made[:400].ravel(), signals.ravel())[0, 1]) < 0.05


def test_noise_of_each_subject(signals: Signals) -> None:
    groups = np.repeat(["a", "b"], 200)
    loud = signals * np.where(groups == "b", 5, 1)[:, None, None]
    made = spectrum_noise(loud, np.random.default_rng(3), groups)
    assert made[200:].std() / made[:200].std() == pytest.approx(loud[200:].std() / loud[:200].std(), rel=0.1)


def test_time_reversal(signals: Signals) -> None:
    made = time_reversed(signals)
    np.testing.assert_array_equal(time_reversed(made), signals)
    np.testing.assert_allclose(np.abs(np.fft.rfft(made, axis=2)), np.abs(np.fft.rfft(signals, axis=2)), atol=1e-9)
    np.testing.assert_allclose(np.cov(made[0]), np.cov(signals[0]))
    assert signals.mean(axis=(0, 1)).argmax() == 59 - made.mean(axis=(0, 1)).argmax()


def test_padding_stays(signals: Signals) -> None:
    lengths = np.tile([40, 60], 200)
    padded = np.where(np.arange(60) < lengths[:, None, None], signals, 0)
    rng = np.random.default_rng(4)
    for made in (
        phase_randomised(padded, rng, n_samples=lengths),
        time_reversed(padded, lengths),
        spectrum_noise(padded, rng, n_samples=lengths),
        spectrum_noise(padded, rng, keep="cross-spectrum", n_samples=lengths),
    ):
        assert (made[::2, :, 40:] == 0).all()
        assert (made[1::2, :, 40:] != 0).all()
        assert made[::2, :, :40].std() == pytest.approx(padded[::2, :, :40].std(), rel=0.12)
    np.testing.assert_array_equal(time_reversed(padded, lengths)[0, :, :40], padded[0, :, 39::-1])


def test_bad_input(signals: Signals) -> None:
    rng = np.random.default_rng(5)
    refused("did you mean 'power'", phase_randomised, signals, rng, "powers")
    refused("n_channels", time_reversed, signals[0])
    refused("do not fit 60 times", time_reversed, signals, np.full(400, 61))
    refused("NaN", spectrum_noise, np.full((2, 2, 8), np.nan), rng)
