import numpy as np
import pytest
from refusals import refused

from brainalign.decoding import phase_randomised, spectrum_noise, time_reversed

Signals = np.ndarray


@pytest.fixture(scope="module")
def signals() -> Signals:
    rng, mixing = np.random.default_rng(0), np.array([[1, 0.8, 0], [0, 1, -0.6], [0.3, 0, 1]])
    noise = np.cumsum(rng.normal(size=(400, 3, 60)), axis=2) * 0.1 + rng.normal(size=(400, 3, 60))
    return mixing @ (noise - noise.mean() + np.exp(-0.5 * ((np.arange(60) - 20) / 3) ** 2))


def cross(signals: Signals) -> np.ndarray:
    spectrum = np.fft.rfft(signals, axis=2)
    return np.einsum("ncf,ndf->fcd", spectrum, spectrum.conj()) / len(signals)


@pytest.mark.parametrize("keep", ["power", "cross-spectrum"])
def test_random_phases(signals: Signals, keep: str) -> None:
    made, amplitude = phase_randomised(signals, np.random.default_rng(1), keep), np.abs(np.fft.rfft(signals, axis=2))
    np.testing.assert_allclose(np.abs(np.fft.rfft(made, axis=2)), amplitude, atol=1e-9)  # of every trial
    assert np.abs(made.mean(axis=0)).max() < 0.3 * np.abs(signals.mean(axis=0)).max()
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


def test_bad_input(signals: Signals) -> None:
    rng = np.random.default_rng(5)
    refused("did you mean 'power'", phase_randomised, signals, rng, "powers")
    refused("n_channels", time_reversed, signals[0])
    refused("do not fit 60 times", time_reversed, signals, np.full(400, 61))
    refused("NaN", spectrum_noise, np.full((2, 2, 8), np.nan), rng)
