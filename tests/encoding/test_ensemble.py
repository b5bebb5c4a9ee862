from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from brainalign.checks import BrainalignError
from brainalign.encoding import LayerEnsemble, RoutingEncoder
from brainalign.encoding.scoring import ensemble_weights

GRID = (2, 3)


def two_layers(n: int, seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """ROI "early" is linear in the first layer, "late" in the second; both average over tokens."""
    rng = np.random.default_rng(seed)
    layers = [rng.normal(size=(n, 6, width)).astype(np.float32) for width in (4, 3)]
    rng = np.random.default_rng(9)
    signal = np.hstack([layer.mean(axis=1) @ rng.normal(size=(layer.shape[2], 5)) for layer in layers])
    noise = np.random.default_rng(seed + 1).normal(size=signal.shape)
    return layers, signal + 0.4 * signal.std() * noise, np.repeat(["early", "late"], 5)


def test_weights() -> None:
    r = np.random.default_rng(0).uniform(-0.2, 0.9, size=(6, 20))
    weights = ensemble_weights(r)
    np.testing.assert_allclose(weights, softmax(40 * r, axis=0))
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    np.testing.assert_allclose(ensemble_weights(r, 0.0), 1 / 6)
    r[2, 3] = np.nan
    np.testing.assert_allclose(ensemble_weights(r)[:, 3], softmax(40 * np.nan_to_num(r[:, 3])))


def test_each_roi_takes_its_layer() -> None:
    """Weights sum to 1 over all layers and runs, find each ROI's layer, and beat the mean member."""
    layers, Y, roi = two_layers(500, seed=1)
    encoder = RoutingEncoder(d_model=8, epochs=12, validation=0.3)
    ensemble = LayerEnsemble(encoder, n_runs=2).fit(layers, Y, grid=GRID, roi=roi)
    assert ensemble.weights_.shape == (4, 10)
    np.testing.assert_allclose(ensemble.weights_.sum(axis=0), 1)
    assert ensemble.weights_[:2, :5].sum(axis=0).min() > 0.95  # the first layer's two runs
    assert ensemble.weights_[2:, 5:].sum(axis=0).min() > 0.95
    assert [each.seed for each in ensemble.encoders_] == [0, 1, 0, 1]
    assert encoder.seed == 0
    held, measured, _ = two_layers(400, seed=5)
    tokens = [layer for layer in held for _ in range(2)]
    members = [each.score_targets(layer, measured) for each, layer in zip(ensemble.encoders_, tokens, strict=True)]
    assert (ensemble.score_targets(held, measured) > np.mean(members, axis=0) + 0.2).all()
    predicted = [each.predict(layer) for each, layer in zip(ensemble.encoders_, tokens, strict=True)]
    expected = (np.array(predicted) * ensemble.weights_[:, None]).sum(axis=0)
    np.testing.assert_allclose(ensemble.predict(held), expected, rtol=1e-4, atol=1e-6)
    assert ensemble.n_parameters_ == sum(each.n_parameters_ for each in ensemble.encoders_)


def test_layers_with_grids_of_their_own() -> None:
    layers, Y, roi = two_layers(40, seed=1)
    layers[1] = layers[1][:, :4]
    ensemble = LayerEnsemble(RoutingEncoder(d_model=4, epochs=1)).fit(layers, Y, grid=[GRID, (2, 2)], roi=roi)
    assert [each.grid_ for each in ensemble.encoders_] == [GRID, (2, 2)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros((40, 6, 4))}, "wants a list with an array of tokens per layer"),
        ({"grid": [GRID]}, "grid has 1 entries for 2 layers"),
        ({"semantics": np.zeros((40, 2))}, "cannot use semantics"),
        ({"n_runs": 0}, "n_runs >= 1"),
    ],
)
def test_bad_input(change: dict, message: str) -> None:
    layers, Y, roi = two_layers(40, seed=1)
    call = {"X": layers, "Y": Y, "grid": GRID, "roi": roi} | change
    ensemble = LayerEnsemble(RoutingEncoder(epochs=1), n_runs=call.pop("n_runs", 1))
    with pytest.raises(BrainalignError, match=message):
        ensemble.fit(call.pop("X"), call.pop("Y"), **call)


def test_as_many_layers_as_in_the_fit() -> None:
    layers, Y, roi = two_layers(40, seed=1)
    ensemble = LayerEnsemble(RoutingEncoder(d_model=4, epochs=1)).fit(layers, Y, grid=GRID, roi=roi)
    with pytest.raises(BrainalignError, match="X has 1 layers but the ensemble was fitted on 2"):
        ensemble.predict(layers[:1])
