import warnings
from typing import Any

import numpy as np
import pytest
import torch
from refusals import refused
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.kernel_ridge import KernelRidge

from brainalign.decoding import LinearDecoder, MaskedBrainModel, SharedSpace, TextDecoder, signal_features, spread
from brainalign.decoding.scoring import cross_fitted
from brainalign.decoding.text import RidgeMaps
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
        origin = signals.mean(axis=0) if features == "raw" else 0
        signals = (signals - origin) / np.array([units[one] for one in subjects])[:, None, None]
        new = (new - origin) / np.array([units[one] for one in whose])[:, None, None]
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
    refused("did you mean 'pooled'", LinearDecoder().set_params(sharing="pool").fit, signals, targets, subjects)
    refused("4 settings need validation", LinearDecoder("partial", penalties=(1, 2), rhos=(0.1, 1)).fit, *trials())
    targets = targets - targets.mean(axis=0)
    same = signals, targets, subjects
    decoder = LinearDecoder("partial", penalties=(1e-3, 1e-2, 1e6), rhos=(0.1, 1.0))
    # Fitted trials as validation: what overfits wins; signals without relation: what shrinks does.
    assert decoder.fit(signals, targets, subjects, (signals, targets, subjects)).penalty_ == 1e-3
    for lost in (np.ma.masked_greater(signals, 2), np.where(signals > 2, np.nan, signals)):
        refused("NaN", LinearDecoder().fit, lost, targets, subjects)
    refused(r"no subject 'new'", LinearDecoder().fit(*same).predict, signals, np.repeat("new", 60))
    refused("lower n_components", eeg_text, np.zeros((576, 10)))
    refused("one vector per sentence", eeg_text, np.zeros((10, 30)))
    refused("at least 8 times", signal_features, signals[:, :, :5], "covariance")


@pytest.mark.parametrize("features", ["raw", "log_power"])
def test_weights_and_intercepts_predict_as_the_decoder_does(features: str) -> None:
    (signals, targets, _), subjects = trials(90), np.arange(90) % 3 + 1
    decoder = LinearDecoder("own", features).fit(signals, targets, subjects)
    seen, predicted = signal_features(signals, features), decoder.predict(signals, subjects)
    for subject, (weights, intercept) in decoder.coefficients().items():
        rows = subjects == subject
        np.testing.assert_allclose(seen[rows] @ weights + intercept, predicted[rows], atol=1e-8)
    shared = LinearDecoder("partial").fit(signals, targets, subjects)
    for one in (decoder, shared):  # 7 and "7" are one subject
        np.testing.assert_allclose(one.predict(signals.tolist(), subjects.astype(str)), one.predict(signals, subjects))
        refused("choose the same channels", one.predict, signals[:, :3], subjects)
    refused("no weights of its own", shared.coefficients)


def test_maps_predict_like_ridge_and_as_their_mean_for_someone_new() -> None:
    (signals, targets, _), subjects = trials(90), np.arange(90) % 3 + 1
    maps = RidgeMaps.fit(signals, targets, subjects)
    expected, x = LinearDecoder(penalties=(1,)).fit(signals, targets, subjects), torch.tensor(signals).float()
    np.testing.assert_allclose(maps(x, torch.tensor(subjects)).numpy(), expected.predict(signals, subjects), atol=1e-4)
    new = maps(x[:5], torch.zeros(5, dtype=torch.long)).numpy()
    of_all = [maps(x[:5], torch.full((5,), k)).numpy() for k in (1, 2, 3)]
    np.testing.assert_allclose(new, np.mean(of_all, axis=0), atol=1e-5)


def test_folds_leave_the_stimulus_out_and_see_nothing_in_noise() -> None:
    (signals, targets, _), subjects = trials(90), np.arange(90) % 3 + 1
    stimuli = np.arange(90) // 3  # all three subjects see each
    targets = targets[stimuli]
    held, penalty = cross_fitted(signals, targets, subjects, stimuli, 5, np.random.default_rng(0))
    fitted = LinearDecoder(penalties=(1.0,)).fit(signals, targets, subjects).predict(signals, subjects)
    seen, unseen = (np.corrcoef(each.ravel(), targets.ravel())[0, 1] for each in (fitted, held))
    assert seen > 0.6  # signals are noise: it looks good where it was fitted
    assert abs(unseen) < 0.25
    other = targets.copy()  # changing the targets of one stimulus leaves what is predicted for its own trials alone
    other[stimuli == 4] += 50
    again, _ = cross_fitted(signals, other, subjects, stimuli, 5, np.random.default_rng(0), penalties=(penalty,))
    np.testing.assert_array_equal(again[stimuli == 4], held[stimuli == 4])
    assert not np.allclose(again, held)
    rare = np.where((stimuli < 2) & (subjects == 1), 2, 1)  # somebody of two stimuli, one of them in some folds
    assert np.isfinite(cross_fitted(signals, targets, rare, stimuli, 5, np.random.default_rng(0))[0]).all()
    few, rng = (signals[:9], targets[:9], subjects[:9], stimuli[:9]), np.random.default_rng(0)
    refused("5 folds do not fit 3 training stimuli", cross_fitted, *few, 5, rng)
    alone = np.where(stimuli == 0, 2, 1)
    refused("nothing to train on for 1 subjects", cross_fitted, signals, targets, alone, stimuli, 5, rng)


def test_folds_choose_the_penalty_and_predict_as_ridge_does() -> None:
    """A few strong waves that say nothing: in units of the trace the best penalty is far below 1."""
    rng = np.random.default_rng(4)
    subjects, stimuli = np.repeat([1, 2], 120), np.tile(np.arange(120), 2)
    targets = rng.normal(size=(120, 3))[stimuli]
    signals = np.einsum("nd,dc->nc", targets, rng.normal(size=(3, 6)))[:, :, None] * np.sin(np.arange(8))
    signals += 0.5 * rng.normal(size=signals.shape)
    for penalty, waves in ((1.0, 0.0), (0.01, 30.0)):
        seen = signals + waves * rng.normal(size=(240, 1, 1)) * np.ones((6, 8))
        held, found = cross_fitted(seen, targets, subjects, stimuli, 4, np.random.default_rng(0))
        assert found == pytest.approx(penalty, rel=9.9) if penalty == 1 else found <= penalty
        fold = (np.random.default_rng(0).permutation(120) % 4)[stimuli]
        ridge = LinearDecoder(penalties=(found,)).fit(seen[fold != 2], targets[fold != 2], subjects[fold != 2])
        np.testing.assert_allclose(held[fold == 2], ridge.predict(seen[fold == 2], subjects[fold == 2]), atol=1e-4)
    assert all(LinearDecoder(how).fit(seen, targets, subjects).penalty_ <= 0.01 for how in ("own", "pooled", "partial"))
    with pytest.warns(RuntimeWarning, match="at the edge"):
        cross_fitted(seen, targets, subjects, stimuli, 4, np.random.default_rng(0), penalties=(1.0, 10.0))


def test_spread_is_the_mean_distance_of_all_pairs() -> None:
    vectors = np.random.default_rng(1).normal(size=(30, 4)) + 1
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert spread(vectors) == pytest.approx((1 - unit @ unit.T).mean())
    assert spread(np.ones((5, 3)) * np.arange(1, 6)[:, None]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("decoder", "method", "given"), [
    (LinearDecoder(penalties=(3.0,)), "predict", (np.zeros((2, 3, 4)), ["a", "b"])),
    (MaskedBrainModel(n_layers=3), "reconstruct", (np.zeros((2, 3, 4)), [0])),
    (SharedSpace(options={"eeg": {"width": 3}}), "embed", ("eeg", np.zeros((2, 3, 4)), ["a", "b"])),
    (TextDecoder(n_epochs=7), "predict", (np.zeros((2, 3, 4)), None)),
])  # fmt: skip
def test_decoders_are_estimators_that_must_be_fitted(decoder: Any, method: str, given: tuple[Any, ...]) -> None:
    made = clone(decoder)
    assert made.get_params() == decoder.get_params() != type(decoder)().get_params()
    with pytest.raises(NotFittedError):
        getattr(made, method)(*given)
