import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import compute_regressor
from refusals import refused
from scipy.signal import upfirdn

from brainalign import features


def test_lanczos_sums_are_those_written_out(rng: np.random.Generator) -> None:
    onsets, durations, times = rng.uniform(0, 60, 80), rng.uniform(0, 1, 80), np.arange(0.75, 60, 1.5)
    vectors = rng.normal(size=(80, 3))
    expected = np.zeros((len(times), 3))
    for i, t in enumerate(times):
        for onset, duration, vector in zip(onsets, durations, vectors, strict=True):
            x = (t - onset - duration / 2) / 1.5
            if abs(x) < 3:
                expected[i] += np.sinc(x) * np.sinc(x / 3) * vector
    np.testing.assert_allclose(features.resample_events(onsets, durations, vectors, times), expected, atol=1e-5)


@pytest.mark.parametrize("step", [0.72, 2.0])
def test_responses_are_those_of_nilearn(step: float) -> None:
    times = step * np.arange(60)
    values = np.zeros((60, 2))
    values[[3, 20], 0], values[8, 1] = [1, -2], 0.5
    found = features.answered(values, features.hemodynamic_responses(step)).reshape(60, 3, 2)
    for k, events in enumerate(([[3, 20], [1, -2]], [[8], [0.5]])):
        condition = [step * np.array(events[0]), np.full(len(events[0]), 0.05), events[1]]
        theirs, names = compute_regressor(np.array(condition), "spm + derivative + dispersion", times)
        assert names == ["cond", "cond_derivative", "cond_dispersion"]
        # They make derivatives orthogonal to what stands before: all three span the same.
        for one in theirs.T:
            left = one - found[:, :, k] @ np.linalg.lstsq(found[:, :, k], one)[0]
            assert left @ left < 0.002 * (one @ one)
        assert np.corrcoef(theirs[:, 0], found[:, 0, k])[0, 1] > 0.999
    np.testing.assert_allclose(np.linalg.norm(features.hemodynamic_responses(step), axis=0), 1)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_number_is_refused(place: int) -> None:
    events = [np.arange(4.0), np.ones(4), np.ones((4, 2))]
    events[place] = events[place].copy()
    events[place].flat[0] = np.nan
    refused("NaN or infinite", features.resample_events, *events, np.arange(5.0))


def test_signals_are_filtered_as_scipy_filters_them() -> None:
    """50 samples a second onto rows of 0.5 s: a FIR filter whose taps are the kernel, every 25th sample."""
    times, rows = (np.arange(1000) + 0.5) / 50, np.arange(0.51, 20, 0.5)
    values = np.random.default_rng(0).normal(size=(1000, 2))
    x = np.arange(-75, 76) / 25
    taps = np.sinc(x) * np.sinc(x / 3)
    theirs = upfirdn(taps / taps.sum(), values, down=25, axis=0)  # three rows late; rows are samples 25, 50 ...
    np.testing.assert_allclose(features.resample_signal(times, values, rows, 0.5)[2:36], theirs[6:40], atol=1e-5)


def test_signals_keep_their_level_and_lose_what_rows_cannot_follow() -> None:
    times, rows = (np.arange(4000) + 0.5) / 40, np.arange(1.0, 110, 2.0)
    waves = np.stack([np.full(4000, 3.0), *(np.sin(2 * np.pi * hz * times) for hz in (0.05, 0.6, 2.0))], axis=1)
    found = features.resample_signal(times, waves, rows, 2.0)
    inside = rows < 95
    np.testing.assert_allclose(found[rows < 100, 0], 3, rtol=1e-5)
    assert np.abs(found[inside, 1] - np.sin(2 * np.pi * 0.05 * rows[inside])).max() < 0.05
    assert np.abs(found[inside][3:, 2:]).max() < 0.03
    assert not found[rows > 101].any()  # it has ended
    finer = features.resample_signal(times[:40], waves[:40], times[:40] + 0.0, 0.001)
    np.testing.assert_allclose(finer, waves[:40], atol=1e-5)  # rows that are closer than samples interpolate


def test_means_of_rows_are_those_of_pandas() -> None:
    """Samples before the first row and after the last are left out; a row without samples is zero."""
    rng = np.random.default_rng(2)
    times, values = rng.permutation(np.arange(0.02, 30, 0.04)), rng.normal(size=(750, 3))
    kept = np.abs(times - 14) > 1.5
    rows = np.arange(3.0, 27, 2.0)
    expected = pd.DataFrame(values[kept]).groupby(pd.cut(times[kept], np.arange(2.0, 28, 2.0)), observed=False).mean()
    found = features.block_means(times[kept], values[kept], rows, 2.0)
    np.testing.assert_allclose(found, expected.fillna(0), atol=1e-6)
    refused("NaN or infinite", features.block_means, times, values * np.nan, rows, 2.0)
    refused("give one vector per time", features.block_means, times, values[1:], rows, 2.0)


def test_loudness_and_motion_are_those_computed_by_hand() -> None:
    rate = 16000
    wave = np.repeat([0.1, 0.4], rate) * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)
    times, found = features.loudness(wave.astype(np.float32), rate)
    np.testing.assert_allclose(found, np.repeat([0.1, 0.4], 200) ** 0.6 / 2**0.3, rtol=1e-3)
    np.testing.assert_allclose(times[[0, -1]], [0.0025, 1.9975])
    frames = np.random.default_rng(1).random((5, 3, 4))
    luminance, motion = features.picture_changes(frames)
    np.testing.assert_allclose(luminance, frames.mean(axis=(1, 2)))
    np.testing.assert_allclose(motion, [0, *np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2))])
