import warnings

import numpy as np
import pytest
from refusals import refused
from sklearn.kernel_ridge import KernelRidge

from brainalign.decoding import LinearDecoder, signal_features
from brainalign.simulation import eeg_text


def trials(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4, 16)) + 1, rng.normal(size=(n, 3)) + 2, np.repeat(["a", "b", "c"], n // 3)


@pytest.mark.parametrize("features", ["raw", "log_power", "covariance"])
@pytest.mark.parametrize("sharing", ["own", "pooled", "partial"])
def test_equal_to_kernel_ridge_of_scikit_learn(sharing: str, features: str) -> None:
    signals, targets, subjects = trials()
    new, _, whose = trials(30, seed=1)
    found = LinearDecoder(sharing, features, penalties=(0.5,), rhos=(0.2,)).fit(signals, targets, subjects)
    predicted = found.predict(new, whose)
    if sharing != "own":
        units = {one: np.sqrt(signals[subjects == one].var(axis=0).mean()) for one in "abc"}
        signals = signals / np.array([units[one] for one in subjects])[:, None, None]
        new = new / np.array([units[one] for one in whose])[:, None, None]
    x, y = signal_features(signals, features), signal_features(new, features)
    for part in "abc" if sharing == "own" else ("abc",):
        rows, asked = (np.isin(labels, list(part)) for labels in (subjects, whose))
        mean, scale = x[rows].mean(axis=0), x[rows].std(axis=0) if features != "raw" else 1
        a, b = (x[rows] - mean) / scale, (y[asked] - mean) / scale
        pairs = (one[:, None] == subjects[rows] for one in (subjects[rows], whose[asked]))
        weight, cross = (same + 0.2 if sharing == "partial" else 1.0 for same in pairs)
        kernel = a @ a.T * weight
        ridge = KernelRidge(alpha=0.5 * np.trace(kernel) / len(a), kernel="precomputed")
        ridge.fit(kernel, targets[rows] - targets[rows].mean(axis=0))
        expected = ridge.predict(b @ a.T * cross) + targets[rows].mean(axis=0)
        np.testing.assert_allclose(predicted[asked], expected, rtol=1e-7)


def test_features_by_hand() -> None:
    signals = np.random.default_rng(2).normal(size=(5, 3, 20)) * [[[1e5]], *[[[1]]] * 4]  # a loud trial is beside
    units = np.array([1.0, 1e3, 1e-9])[:, None]  # sensors of several kinds in one pattern
    power = signal_features(signals * units, "log_power").reshape(5, 2, 3)
    np.testing.assert_allclose(power[1, 1, 2], np.log(np.mean((signals * units)[1, 2, 8:16] ** 2)), atol=1e-4)
    products = signal_features(signals, "covariance").reshape(5, 2, 6)
    assert products[4, 0, 1] == pytest.approx(np.mean(signals[4, 0, :8] * signals[4, 1, :8]))
    np.testing.assert_array_equal(signal_features(-signals, "covariance"), products.reshape(5, -1))  # blind to the sign


def test_a_penalty_at_the_edge_of_the_grid_is_said() -> None:
    signals, targets, subjects = trials()
    alone = np.r_[subjects[:-1], ["alone"]]
    refused("nothing varies in 1 training trial.* of subject alone", LinearDecoder("own").fit, signals, targets, alone)
    same = (signals, targets - targets.mean(axis=0), subjects)
    with pytest.warns(RuntimeWarning, match=r"penalty 1 is at the edge of those tried, 1 to 100"):
        LinearDecoder(penalties=(1.0, 10.0, 100.0)).fit(*same, same)  # fitted trials: the less penalty the better
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LinearDecoder(penalties=(1.0,)).fit(*same, same)
        LinearDecoder(penalties=(1e-9, 1e-8, 1.0)).fit(*same, same)  # no better than the one before


def test_settings_are_chosen_on_validation_trials() -> None:
    signals, targets, subjects = trials()
    refused("4 settings need validation", LinearDecoder("partial", penalties=(1, 2), rhos=(0.1, 1)).fit, *trials())
    targets = targets - targets.mean(axis=0)
    same = signals, targets, subjects
    decoder = LinearDecoder("partial", penalties=(1e-3, 1e-2, 1e6), rhos=(0.1, 1.0))
    # Fitted trials as validation: what overfits wins; signals without relation: what shrinks does.
    assert decoder.fit(signals, targets, subjects, (signals, targets, subjects)).penalty_ == 1e-3
    refused("NaN", LinearDecoder().fit, np.full((60, 4, 16), np.nan), targets, subjects)
    refused(r"subject\(s\) new", LinearDecoder().fit(*same).predict, signals, np.repeat("new", 60))
    refused("lower n_components", eeg_text, np.zeros((576, 10)))
    refused("one vector per sentence", eeg_text, np.zeros((10, 30)))
    refused("at least 8 times", signal_features, signals[:, :, :5], "covariance")
