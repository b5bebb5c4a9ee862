import numpy as np
import pytest
import torch
from refusals import refused

from brainalign.decoding import LinearDecoder, signal_features, spread
from brainalign.decoding.text import RidgeMaps, cross_fitted


def trials(n: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 4, 9)) + 1, rng.normal(size=(n, 3)) + 2, np.arange(n) % 3 + 1


@pytest.mark.parametrize("features", ["raw", "log_power"])
def test_weights_and_intercepts_predict_as_the_decoder_does(features: str) -> None:
    signals, targets, subjects = trials()
    decoder = LinearDecoder("own", features).fit(signals, targets, subjects)
    seen, predicted = signal_features(signals, features), decoder.predict(signals, subjects)
    for subject, (weights, intercept) in decoder.coefficients().items():
        rows = subjects == subject
        np.testing.assert_allclose(seen[rows] @ weights + intercept, predicted[rows], atol=1e-8)
    refused("no weights of its own", LinearDecoder("partial").fit(signals, targets, subjects).coefficients)


def test_maps_predict_like_ridge_and_as_their_mean_for_someone_new() -> None:
    signals, targets, subjects = trials()
    maps = RidgeMaps.fit(signals, targets, subjects)
    expected, x = LinearDecoder("own").fit(signals, targets, subjects), torch.tensor(signals, dtype=torch.float32)
    np.testing.assert_allclose(maps(x, torch.tensor(subjects)).numpy(), expected.predict(signals, subjects), atol=1e-4)
    new = maps(x[:5], torch.zeros(5, dtype=torch.long)).numpy()
    of_all = [maps(x[:5], torch.full((5,), k)).numpy() for k in (1, 2, 3)]
    np.testing.assert_allclose(new, np.mean(of_all, axis=0), atol=1e-5)


def test_folds_leave_the_stimulus_out_and_see_nothing_in_noise() -> None:
    signals, targets, subjects = trials()
    stimuli = np.arange(90) // 3  # all three subjects see each
    targets = targets[stimuli]
    held, penalty = cross_fitted(signals, targets, subjects, stimuli, 5, np.random.default_rng(0))
    fitted = LinearDecoder("own").fit(signals, targets, subjects).predict(signals, subjects)

    def relation(predicted: np.ndarray) -> float:
        return float(np.corrcoef(predicted.ravel(), targets.ravel())[0, 1])

    assert relation(fitted) > 0.6  # signals are noise: it looks good where it was fitted
    assert abs(relation(held)) < 0.25
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
    with pytest.warns(RuntimeWarning, match="at the edge"):
        cross_fitted(seen, targets, subjects, stimuli, 4, np.random.default_rng(0), penalties=(1.0, 10.0))


def test_spread_is_the_mean_distance_of_all_pairs() -> None:
    vectors = np.random.default_rng(1).normal(size=(30, 4)) + 1
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert spread(vectors) == pytest.approx((1 - unit @ unit.T).mean())
    assert spread(np.ones((5, 3)) * np.arange(1, 6)[:, None]) == pytest.approx(0, abs=1e-12)
